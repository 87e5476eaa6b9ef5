//! Whether there is anything under way: what has begun and what has ended is counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// How much has begun on a connection, and how much of that has ended.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Busy {
    /// Something begins.
    pub(crate) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// Something that has begun ends.
    pub(crate) fn end(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// How much there has been, when nothing is under way.
    pub(crate) fn all_ended(&self) -> Option<u64> {
        let begun = self.begun.load(Ordering::Relaxed);
        (begun == self.ended.load(Ordering::Relaxed)).then_some(begun)
    }

    /// Whether nothing has begun, ended or been under way since the look that left `before` behind. The first
    /// look leaves it behind only, unless that begins with `Some(0)`.
    pub(crate) fn was_idle_since(&self, before: &mut Option<u64>) -> bool {
        let now = self.all_ended();
        std::mem::replace(before, now) == now && now.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_idle_when_nothing_is_under_way_and_nothing_was_since() {
        let (busy, mut before) = (Busy::default(), None);
        assert!(!busy.was_idle_since(&mut before), "it has just begun");
        assert!(busy.was_idle_since(&mut before));
        busy.begin();
        for _ in 0..3 {
            assert!(!busy.was_idle_since(&mut before), "one is under way");
        }
        busy.end();
        for _ in 0..3 {
            assert!(!busy.was_idle_since(&mut before), "one has come and gone");
            busy.begin();
            busy.end();
        }
        assert!(!busy.was_idle_since(&mut before));
        assert!(busy.was_idle_since(&mut before));
        assert!(Busy::default().was_idle_since(&mut Some(0)));
    }
}
