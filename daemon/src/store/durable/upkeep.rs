//! What looks after a store in use: the whole check in the background, and compaction.

use std::sync::Arc;

use agentidp_shared::Timestamp;
use agentidp_shared::merkle::{Checkpoint, Note};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::check::{Report, check_in_use};
use super::progress::{Progress, Step};
use super::{JournaledStore, OpenError, journal};
use crate::store::ReadError;

/// How the last whole check ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CheckStatus {
    /// When.
    pub(crate) time: Timestamp,
    /// How many entries it read.
    pub(crate) entries: u64,
    /// How many things are wrong.
    pub(crate) findings: u64,
    /// The first of them.
    pub(crate) first: Option<String>,
}

/// What `status` says of how the store is looked after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Upkeep {
    /// How many bytes the index has on the disk.
    pub(crate) index_bytes: u64,
    /// About how many of them its contents need.
    pub(crate) content_bytes: u64,
    /// Whether the store was not closed in good order before it was opened.
    pub(crate) was_unclean: bool,
    /// How far the check is that is under way.
    pub(crate) checking: Option<Step>,
    /// How the last one ended.
    pub(crate) checked: Option<CheckStatus>,
    /// How far the compaction is that is under way.
    pub(crate) compacting: Option<Step>,
}

impl Upkeep {
    /// How much of the index is of no use, from 0 to 1.
    pub(crate) fn fragmentation(&self) -> f64 {
        if self.index_bytes == 0 {
            return 0.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "it is a ratio to look at")]
        let used = self.content_bytes.min(self.index_bytes) as f64 / self.index_bytes as f64;
        1.0 - used
    }
}

/// One piece of work at a time.
#[derive(Default)]
struct Work {
    /// Held while it is done.
    turn: Mutex<()>,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    progress: Option<Arc<Progress>>,
    /// Whether none is begun any more.
    is_over: bool,
}

impl Work {
    /// Does it, after whoever is doing it; `None` once that is over.
    fn in_turn<T>(&self, work: impl FnOnce(&Progress) -> T) -> Option<T> {
        let _turn = self.turn.lock();
        let progress = Arc::new(Progress::beside_others());
        {
            let mut now = self.now.lock();
            if now.is_over {
                return None;
            }
            now.progress = Some(Arc::clone(&progress));
        }
        let done = work(&progress);
        self.now.lock().progress = None;
        Some(done)
    }

    fn now(&self) -> Option<Step> {
        self.now.lock().progress.as_ref().and_then(|it| it.now())
    }

    fn stop(&self) {
        {
            let mut now = self.now.lock();
            now.is_over = true;
            if let Some(progress) = &now.progress {
                progress.stop();
            }
        }
        // Until it has ended.
        drop(self.turn.lock());
    }
}

/// The state of it.
#[derive(Default)]
pub(super) struct Care {
    check: Work,
    compaction: Work,
    checked: Mutex<Option<CheckStatus>>,
}

impl Care {
    /// With the last check having ended so.
    pub(super) fn after(checked: Option<CheckStatus>) -> Self {
        Self {
            checked: Mutex::new(checked),
            ..Self::default()
        }
    }

    /// Does something that a check must not see being done; `None` when one is under way.
    pub(super) fn unless_checking<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let _turn = self.check.turn.try_lock()?;
        Some(work())
    }

    /// Ends what is under way, and waits for that.
    pub(super) fn stop(&self) {
        self.check.stop();
        self.compaction.stop();
    }
}

impl JournaledStore {
    /// With how many entries the store was opened that its newest checkpoint was not of; `None` when there are none,
    /// and it had been closed in good order. `verified` gives a checkpoint that the log has signed; one that the log
    /// does not begin with was of none of them.
    pub(crate) fn unsigned(&self, verified: impl Fn(&Note) -> Option<Checkpoint>) -> Option<u64> {
        let note = self.layout.read_note().ok().flatten();
        let signed = note.and_then(|note| verified(&note)).filter(|it| {
            it.size <= self.opened_with
                && self
                    .state
                    .root_of(it.size)
                    .is_ok_and(|root| root == it.root)
        });
        let count = self.opened_with - signed.map_or(0, |it| it.size);
        (self.was_unclean || count > 0).then_some(count)
    }

    /// Verifies everything at `now`, while the store is in use, after whoever is doing that; `None` when it is
    /// shut down. It takes its time, on the thread that calls it.
    ///
    /// # Errors
    ///
    /// When something cannot be read, or the store is shut down.
    pub(crate) fn check_in_use(&self, now: Timestamp) -> Option<Result<Report, OpenError>> {
        self.care.check.in_turn(|progress| {
            let report = check_in_use(&self.layout, self.id, &self.state, progress)?;
            let checked = CheckStatus {
                time: now,
                entries: report.entries,
                findings: report.findings.len() as u64 + report.more_findings,
                first: report.findings.first().map(ToString::to_string),
            };
            self.layout
                .write_checked(&checked)
                .map_err(OpenError::io(self.layout.root()))?;
            *self.care.checked.lock() = Some(checked);
            Ok(report)
        })
    }

    /// Has the next start make the index anew; gives whether it can. Where the journal does not go back to
    /// the first entry the index stays, for without a backup the daemon would not start any more.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read, or the mark not be removed.
    pub(crate) fn distrust_index(&self) -> Result<bool, OpenError> {
        if !journal::is_whole(&self.layout.journal())? {
            return Ok(false);
        }
        self.state.index.distrust()?;
        Ok(true)
    }

    /// Copies the index into a fresh one while it is in use, after whoever is doing that; `None` when it is shut
    /// down. Gives its size before and after it.
    ///
    /// # Errors
    ///
    /// When the index fails; all is then as it was.
    pub(crate) fn compact(&self) -> Option<Result<(u64, u64), ReadError>> {
        self.care.compaction.in_turn(|progress| {
            let before = self.state.index.sizes().0;
            self.state.compact(self.id, progress)?;
            Ok((before, self.state.index.sizes().0))
        })
    }

    pub(super) fn upkeep(&self) -> Upkeep {
        let (index_bytes, content_bytes) = self.state.index.sizes();
        Upkeep {
            index_bytes,
            content_bytes,
            was_unclean: self.was_unclean,
            checking: self.care.check.now(),
            checked: self.care.checked.lock().clone(),
            compacting: self.care.compaction.now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn what_is_asked_for_while_it_is_done_is_done_once_more_and_nothing_after_the_end() {
        let work = Arc::new(Work::default());
        let again = |asks: mpsc::Sender<()>| {
            let work = Arc::clone(&work);
            std::thread::spawn(move || {
                asks.send(()).unwrap();
                work.in_turn(|_| "again")
            })
        };
        let (asks, asked) = mpsc::channel();
        let second = work.in_turn(|_| {
            let second = again(asks.clone());
            asked.recv().unwrap();
            second
        });
        assert_eq!(second.unwrap().join().unwrap(), Some("again"));
        let waits = work.in_turn(|progress| {
            let waits = again(asks);
            asked.recv().unwrap();
            let stopped = Arc::clone(&work);
            let stopping = std::thread::spawn(move || stopped.stop());
            // It is told to end, and waited for.
            while progress.rest() {
                std::thread::yield_now();
            }
            (waits, stopping)
        });
        let (waits, stopping) = waits.unwrap();
        stopping.join().unwrap();
        assert_eq!(waits.join().unwrap(), None);
        assert!(work.in_turn(|_| ()).is_none());
    }
}
