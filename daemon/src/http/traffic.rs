//! What goes on on a connection over HTTP/2: when it is idle, and when its client does not take its answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;

use crate::sending::{LOOK, Offered, Sending, Untaken};

/// How often it is looked whether a connection is idle: between once and twice as long one may be. It bounds
/// the header too, for which HTTP/2 has no clock of its own.
const IDLE: Duration = Duration::from_secs(5);

/// What goes on on a connection.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// How many requests have begun.
    begun: AtomicU64,
    /// How many have ended: their answers are sent.
    ended: AtomicU64,
    /// The answers that are not sent.
    unsent: Arc<Untaken>,
}

/// A request on a connection, until its answer is sent.
#[derive(Debug)]
pub(super) struct UnderWay {
    traffic: Arc<Traffic>,
    /// Its answer, when that is made.
    answer: Option<Offered>,
}

impl Traffic {
    /// A request begins.
    pub(super) fn begin(traffic: &Arc<Self>) -> UnderWay {
        traffic.begun.fetch_add(1, Ordering::Relaxed);
        UnderWay {
            traffic: Arc::clone(traffic),
            answer: None,
        }
    }

    /// Returns when nothing has begun, ended or been under way for at least [`IDLE`].
    pub(super) async fn until_idle(&self) {
        let mut before = None;
        while !self.was_idle_since(&mut before) {
            tokio::time::sleep(IDLE).await;
        }
    }

    /// Returns when an answer has not been sent for too long.
    pub(super) async fn until_overdue(&self) {
        while !self.unsent.look() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether nothing has happened since the call that left `before` behind.
    fn was_idle_since(&self, before: &mut Option<u64>) -> bool {
        let begun = self.begun.load(Ordering::Relaxed);
        let now = (begun == self.ended.load(Ordering::Relaxed)).then_some(begun);
        std::mem::replace(before, now) == now && now.is_some()
    }
}

impl UnderWay {
    /// The body of its answer, which is made now.
    pub(super) fn until_sent(mut self, body: Body) -> Body {
        self.answer = Some(self.traffic.unsent.offer());
        Body::new(Sending::new(body, self))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.traffic.ended.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sending::LOOKS;

    #[test]
    fn a_connection_is_idle_when_nothing_is_asked_and_nothing_is_under_way() {
        let traffic = Arc::new(Traffic::default());
        let mut before = None;
        assert!(!traffic.was_idle_since(&mut before), "it has just begun");
        assert!(traffic.was_idle_since(&mut before));
        let long = Traffic::begin(&traffic);
        for _ in 0..3 {
            assert!(!traffic.was_idle_since(&mut before), "one is under way");
        }
        drop(long);
        for _ in 0..3 {
            assert!(
                !traffic.was_idle_since(&mut before),
                "one has come and gone"
            );
            drop(Traffic::begin(&traffic));
        }
        assert!(!traffic.was_idle_since(&mut before));
        assert!(traffic.was_idle_since(&mut before));
    }

    #[test]
    fn an_answer_that_is_not_taken_is_overdue_and_keeps_the_connection_from_being_idle() {
        let traffic = Arc::new(Traffic::default());
        let answer = || Traffic::begin(&traffic).until_sent(Body::from("an answer"));
        let mut before = None;
        for _ in 0..3 * LOOKS {
            drop(answer());
            assert!(!traffic.unsent.look(), "they are taken");
        }
        let untaken = answer();
        for _ in 1..LOOKS {
            drop(answer());
            assert!(!traffic.unsent.look());
            assert!(!traffic.was_idle_since(&mut before));
        }
        assert!(traffic.unsent.look());
        drop(untaken);
        assert!(!traffic.unsent.look());
    }
}
