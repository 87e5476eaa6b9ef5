//! What is done beside the commits: the head file every second, the index every few.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use agentidp_shared::StoreId;

use super::head::Head;
use super::layout::Layout;
use super::open::Trust;
use super::state::State;

/// How often the head file is written while the log grows.
const HEAD_EVERY: Duration = Duration::from_secs(1);
/// How many of those make the time after which the index is made durable.
const HEADS_PER_FLUSH: u32 = 5;

/// The thread that does it.
pub(super) struct Keeper {
    orders: Sender<Order>,
    thread: JoinHandle<bool>,
}

/// Tells once whether the index is durable as far as it had got when that was asked for.
pub(super) type Settled = Receiver<bool>;

/// What it is told.
#[derive(Debug)]
enum Order {
    /// To make the index durable now.
    Settle(SyncSender<bool>),
    /// To end with everything durable.
    Finish,
    /// To end with everything as it is.
    Abandon,
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
    /// Starts it for a store. One whose head file is not trusted gets a new one with its next commit
    /// only, which is the entry that says who accepted it.
    pub(super) fn start(
        state: Arc<State>,
        layout: Layout,
        store_id: StoreId,
        trust: Trust,
    ) -> std::io::Result<Self> {
        let (orders, ordered) = channel();
        let headed = match trust {
            Trust::HeadFile => 0,
            Trust::Journal => state.journal.lock().0.frame,
        };
        let mut work = Work {
            state,
            layout,
            store_id,
            headed,
            flushed: 0,
        };
        let thread = std::thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || {
                work.write_head();
                for tick in 1_u32.. {
                    match ordered.recv_timeout(HEAD_EVERY) {
                        Err(RecvTimeoutError::Timeout) => {
                            work.write_head();
                            work.relieve();
                            if tick.is_multiple_of(HEADS_PER_FLUSH) {
                                work.flush();
                            }
                        }
                        Ok(Order::Settle(answer)) => {
                            work.write_head();
                            // Whoever asked may have gone away.
                            let _ = answer.send(work.flush());
                        }
                        Ok(Order::Finish) => {
                            work.write_head();
                            work.flush();
                            return work.is_durable();
                        }
                        Ok(Order::Abandon) | Err(RecvTimeoutError::Disconnected) => return false,
                    }
                }
                false
            })?;
        Ok(Self { orders, thread })
    }

    /// Has the index made durable as far as it has got.
    pub(super) fn settle(&self) -> Settled {
        let (answer, settled) = sync_channel(1);
        // When the thread is gone, so is the answer's sender, which the receiver tells.
        let _ = self.orders.send(Order::Settle(answer));
        settled
    }

    /// Leaves everything durable and ends; `false` when it could not.
    pub(super) fn finish(self) -> bool {
        self.end(Order::Finish)
    }

    /// Ends and leaves everything as it is.
    pub(super) fn abandon(self) {
        self.end(Order::Abandon);
    }

    fn end(self, how: Order) -> bool {
        // It fails only when the thread is gone, which joining it tells.
        let _ = self.orders.send(how);
        self.thread.join().unwrap_or_else(|_panic| {
            tracing::error!("the keeper panicked");
            false
        })
    }
}

impl Work {
    /// Whether head file and index have all that the journal has.
    fn is_durable(&self) -> bool {
        let frame = self.state.journal.lock().0.frame;
        frame == self.headed && frame == self.flushed && self.state.failure.read().is_none()
    }

    fn write_head(&mut self) {
        if self.state.journal.lock().0.frame == self.headed {
            return;
        }
        let (position, edge) = {
            // In the sequencer's order: it moves the journal's position while it holds the tree.
            let tree = self.state.tree.lock();
            (self.state.journal.lock().0, Arc::new(tree.clone()))
        };
        if edge.size() != position.entries {
            // A frame was applied in part, and the store has failed.
            return;
        }
        let head = Head::new(self.store_id, &position, edge.root());
        let written = self.layout.write_head(&head);
        let failure = written.as_ref().err().map(ToString::to_string);
        *self.state.head_failure.write() = failure;
        match written {
            Ok(()) => {
                self.headed = position.frame;
                self.state.headed.send_replace(edge);
            }
            Err(error) => tracing::error!(%error, "the head file could not be written"),
        }
    }

    fn relieve(&self) {
        if let Err(error) = self.state.relieve() {
            tracing::error!(%error, "the index does not take how records were used");
        }
    }

    /// Whether the index is durable now.
    fn flush(&mut self) -> bool {
        let frame = self.state.journal.lock().0.frame;
        if frame == self.flushed {
            return true;
        }
        match self.state.flush(self.store_id) {
            Ok(()) => self.flushed = frame,
            // The journal has it all; the next start reads more of it.
            Err(error) => tracing::error!(%error, "the index could not be made durable"),
        }
        self.flushed == frame
    }
}
