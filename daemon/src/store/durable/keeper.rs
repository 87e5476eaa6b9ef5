//! What is done beside the commits: the head file every second, the index every few.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use agentidp_shared::StoreId;

use super::layout::{Head, Layout};
use super::state::State;

/// How often the head file is written while the log grows.
const HEAD_EVERY: Duration = Duration::from_secs(1);
/// How many of those make the time after which the index is made durable.
const HEADS_PER_FLUSH: u32 = 5;

/// The thread that does it.
pub(super) struct Keeper {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

struct Work {
    state: Arc<State>,
    layout: Layout,
    store_id: StoreId,
    /// The last frame in the head file, and in the index's mark.
    headed: u64,
    flushed: u64,
}

impl Keeper {
    /// Starts it for a store.
    pub(super) fn start(state: Arc<State>, layout: Layout, store_id: StoreId) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let mut work = Work { state, layout, store_id, headed: 0, flushed: 0 };
        let thread = std::thread::Builder::new().name("keeper".to_owned()).spawn(move || {
            let mut ticks = 0;
            while stopped.recv_timeout(HEAD_EVERY) == Err(RecvTimeoutError::Timeout) {
                ticks += 1;
                work.write_head();
                if ticks % HEADS_PER_FLUSH == 0 {
                    work.flush();
                }
            }
            // Dropped without a word is a crash; a word is an orderly end.
            work.write_head();
            work.flush();
        })?;
        Ok(Self { stop, thread })
    }

    /// Leaves everything durable and ends.
    pub(super) fn finish(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the keeper panicked");
        }
    }
}

impl Work {
    fn write_head(&mut self) {
        let position = self.state.journal.lock().0;
        if position.frame == self.headed {
            return;
        }
        match self.layout.write_head(&Head::new(self.store_id, &position)) {
            Ok(()) => self.headed = position.frame,
            Err(error) => tracing::error!(%error, "the head file could not be written"),
        }
    }

    fn flush(&mut self) {
        let frame = self.state.journal.lock().0.frame;
        if frame == self.flushed {
            return;
        }
        match self.state.flush(self.store_id) {
            Ok(()) => self.flushed = frame,
            // The journal has it all; the next start reads more of it.
            Err(error) => tracing::error!(%error, "the index could not be made durable"),
        }
    }
}
