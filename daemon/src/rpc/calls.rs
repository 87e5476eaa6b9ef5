//! The calls of one connection: what they say of it, and how many are not answered or not sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::busy::Busy;
use crate::sending::Untaken;

/// The calls of one connection.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    is_read_only: AtomicBool,
    answering: Busy,
    sending: Busy,
    /// What of their answers is not taken.
    untaken: Arc<Untaken>,
}

/// A call that is not answered yet; for a stream, that has not begun.
#[derive(Debug)]
pub(super) struct Unanswered(Arc<Calls>);

/// A call that was let through, until its answer is sent.
#[derive(Debug)]
pub(super) struct Unsent(Arc<Calls>);

impl Calls {
    /// A call comes in, which says whether it changes nothing.
    pub(super) fn come(self: &Arc<Self>, is_read_only: bool) -> Unanswered {
        self.is_read_only.store(is_read_only, Ordering::Relaxed);
        self.answering.begin();
        Unanswered(Arc::clone(self))
    }

    /// A call is let through.
    pub(super) fn begin(self: &Arc<Self>) -> Unsent {
        self.sending.begin();
        Unsent(Arc::clone(self))
    }

    /// Whether the last call said that it changes nothing.
    pub(super) fn are_read_only(&self) -> bool {
        self.is_read_only.load(Ordering::Relaxed)
    }

    /// How many calls have been answered, when none waits for its answer.
    pub(super) fn all_answered(&self) -> Option<u64> {
        self.answering.all_ended()
    }

    /// Whether no answer was on its way, and no call let through, since the look that left `before` behind.
    pub(super) fn were_none_since(&self, before: &mut Option<u64>) -> bool {
        self.sending.was_idle_since(before)
    }

    /// What of their answers is not taken.
    pub(super) fn untaken(&self) -> &Arc<Untaken> {
        &self.untaken
    }
}

impl Unsent {
    /// What of the connection's answers is not taken.
    pub(super) fn untaken(&self) -> Arc<Untaken> {
        Arc::clone(self.0.untaken())
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.answering.end();
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.0.sending.end();
    }
}
