//! How far long work on a store is, for whoever waits for it; and what makes it rest or end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// For how long work that is to leave room for others goes on before it rests for as long.
const TURN: Duration = Duration::from_millis(4);

/// How far some work is. Who works writes it, others read it.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    stage: Mutex<Option<&'static str>>,
    done: AtomicU64,
    of: AtomicU64,
    is_stopped: AtomicBool,
    /// When the last turn began; `None` for work that need not rest.
    turn: Mutex<Option<Instant>>,
}

/// A moment of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// What is being done.
    pub(crate) stage: &'static str,
    /// How much of it.
    pub(crate) done: u64,
    /// Of how much, as far as that was known when the stage began.
    pub(crate) of: u64,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let done = self.done.min(self.of);
        let percent = (done * 100).checked_div(self.of).unwrap_or(100);
        write!(f, "{}: {done} of {} ({percent} %)", self.stage, self.of)
    }
}

impl Progress {
    /// For work that leaves as much of a processor to others as it takes.
    pub(crate) fn beside_others() -> Self {
        Self {
            turn: Mutex::new(Some(Instant::now())),
            ..Self::default()
        }
    }

    /// A stage of it begins, with `of` things to do.
    pub(crate) fn begin(&self, stage: &'static str, of: u64) {
        let mut now = self.stage.lock();
        self.done.store(0, Ordering::Relaxed);
        self.of.store(of, Ordering::Relaxed);
        *now = Some(stage);
    }

    /// So much of the stage is done.
    pub(crate) fn reach(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
    }

    /// Nothing is being done any more.
    pub(crate) fn end(&self) {
        *self.stage.lock() = None;
    }

    /// How far it is; `None`: nothing is being done.
    pub(crate) fn now(&self) -> Option<Step> {
        let stage = self.stage.lock();
        stage.map(|stage| Step {
            stage,
            done: self.done.load(Ordering::Relaxed),
            of: self.of.load(Ordering::Relaxed),
        })
    }

    /// Lets the work end where it is.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Rests for a moment, if it is time; `false` when the work is to end.
    pub(crate) fn rest(&self) -> bool {
        if let Some(turn) = self.turn.lock().as_mut() {
            let worked = turn.elapsed();
            if worked >= TURN {
                thread::sleep(worked.min(TURN * 8));
                *turn = Instant::now();
            }
        }
        !self.is_stopped.load(Ordering::Relaxed)
    }
}
