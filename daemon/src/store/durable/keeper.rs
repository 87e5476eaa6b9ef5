//! What is done beside the commits: the head file every second, the index every few.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use agentidp_shared::StoreId;

use super::head::Head;
use super::layout::Layout;
use super::open::Trust;
use super::room::{failed_call, remedy};
use super::state::State;

/// How often the head file is written while the log grows.
const HEAD_EVERY: Duration = Duration::from_secs(1);
/// How many of those make the time after which the index is made durable.
const HEADS_PER_FLUSH: u32 = 5;

/// What there may be trouble with. Without the head file no checkpoint is signed.
pub(super) const HEAD: &str = "head file";
const DISK: &str = "disk";
const INDEX: &str = "index";

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
                            work.look_at_disk();
                            work.write_head();
                            work.guard(Work::relieve);
                            if tick.is_multiple_of(HEADS_PER_FLUSH) {
                                work.guard(Work::flush);
                            }
                        }
                        Ok(Order::Settle(answer)) => {
                            work.write_head();
                            // Whoever asked may have gone away.
                            let _ = answer.send(work.settle());
                        }
                        Ok(Order::Finish) => {
                            work.write_head();
                            work.guard(Work::flush);
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
        if written.is_ok() {
            self.headed = position.frame;
            self.state.headed.send_replace(edge);
        }
        // The next one is tried as long as the log grows; until then an older one stands.
        let trouble = written.err().map(|error| {
            let failed = failed_call("writing the head file", self.layout.head(), &error);
            format!("{failed}; it is tried again every second that the log grows")
        });
        self.state.trouble(HEAD, trouble);
    }

    fn look_at_disk(&self) {
        let found = self.state.disk.look(self.layout.root());
        let trouble = found.err().map(|error| {
            format!(
                "the disk of {} does not tell how much room it has: {error}: {}",
                self.layout.root().display(),
                remedy(&error)
            )
        });
        self.state.trouble(DISK, trouble);
    }

    /// Does something with the index, of which sled may panic.
    fn guard(&mut self, work: fn(&mut Self)) {
        let worked = std::panic::catch_unwind(AssertUnwindSafe(|| work(self)));
        if worked.is_err() {
            self.index_trouble(Some("sled gave up on it".to_owned()));
        }
    }

    fn index_trouble(&self, cause: Option<String>) {
        let trouble = cause.map(|cause| {
            format!(
                "the index cannot be made durable: {cause}; the journal has everything that was acknowledged, and it is tried again every five seconds: if it lasts, restart the daemon, which makes the index good again from the journal"
            )
        });
        self.state.trouble(INDEX, trouble);
    }

    fn relieve(&mut self) {
        if let Err(error) = self.state.relieve() {
            self.index_trouble(Some(error.to_string()));
        }
    }

    /// Makes the index durable; whether it is as far as the journal was when it was called.
    fn settle(&mut self) -> bool {
        let frame = self.state.journal.lock().0.frame;
        self.guard(Self::flush);
        self.flushed >= frame
    }

    fn flush(&mut self) {
        let frame = self.state.journal.lock().0.frame;
        if frame == self.flushed {
            return;
        }
        // When it fails, the journal has it all; the next start reads more of it.
        let flushed = self.state.flush(self.store_id);
        if flushed.is_ok() {
            self.flushed = frame;
            self.state.claim_for_index();
        }
        self.index_trouble(flushed.err().map(|error| error.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use agentidp_shared::Timestamp;

    use super::super::StoreOptions;
    use super::super::directory::Directory;
    use super::super::index::Index;
    use super::*;

    #[test]
    fn an_index_that_sled_gives_up_on_is_told_until_it_is_durable_again() {
        let root = tempfile::tempdir().unwrap();
        let state = State::new(
            Index::open(root.path()).unwrap(),
            Directory::default(),
            0,
            1,
        )
        .unwrap();
        let mut work = Work {
            state: Arc::new(state),
            layout: Layout::new(&StoreOptions::new(
                root.path().to_owned(),
                root.path().join("head"),
                Timestamp::from_millis(0),
            )),
            store_id: StoreId::from_bytes([7; 16]),
            headed: 0,
            flushed: 1,
        };
        let troubles =
            |work: &Work| -> Vec<String> { work.state.troubles.lock().values().cloned().collect() };
        work.guard(|_| panic!("a page is damaged"));
        let told = troubles(&work);
        assert!(
            matches!(told.as_slice(), [only] if only.contains("sled gave up") && only.contains("restart the daemon")),
            "{told:?}"
        );
        work.guard(Work::flush);
        assert_eq!(troubles(&work), Vec::<String>::new());
    }
}
