//! What goes on on a connection over HTTP/2: when it is idle, and when its client does not take its answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;

use crate::busy::Busy;
use crate::sending::Sending;

/// How often it is looked whether a connection is idle: between once and twice as long one may be. It bounds
/// the header too, for which HTTP/2 has no clock of its own.
const IDLE: Duration = Duration::from_secs(5);
/// After how many looks an answer must have been sent: a client that keeps its window shut stops neither the
/// connection nor any other clock.
const LOOKS: usize = 12;

/// What goes on on a connection.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// The requests, each until its answer is sent.
    requests: Busy,
    /// How many looks there have been.
    looks: AtomicUsize,
    /// How many answers were made after each of the last looks and are not sent.
    unsent: [AtomicU64; LOOKS],
}

/// A request on a connection, until its answer is sent.
#[derive(Debug)]
pub(super) struct UnderWay {
    traffic: Arc<Traffic>,
    /// The look before its answer, when that is made.
    look: Option<usize>,
}

impl Traffic {
    /// A request begins.
    pub(super) fn begin(traffic: &Arc<Self>) -> UnderWay {
        traffic.requests.begin();
        UnderWay {
            traffic: Arc::clone(traffic),
            look: None,
        }
    }

    /// Returns when nothing has begun, ended or been under way for at least [`IDLE`].
    pub(super) async fn until_idle(&self) {
        let mut before = None;
        while !self.requests.was_idle_since(&mut before) {
            tokio::time::sleep(IDLE).await;
        }
    }

    /// Returns when an answer has not been sent for [`LOOKS`] times [`IDLE`].
    pub(super) async fn until_overdue(&self) {
        while !self.look() {
            tokio::time::sleep(IDLE).await;
        }
    }

    /// Looks, and gives whether an answer has not been sent since so many looks ago that its place is needed
    /// for new ones.
    fn look(&self) -> bool {
        let look = self.looks.fetch_add(1, Ordering::Relaxed) + 1;
        self.unsent_since(look) > 0
    }

    fn unsent_since(&self, look: usize) -> u64 {
        let unsent = self.unsent.get(look % LOOKS);
        unsent.map_or(0, |it| it.load(Ordering::Relaxed))
    }
}

impl UnderWay {
    /// The body of its answer, which is made now.
    pub(super) fn until_sent(mut self, body: Body) -> Body {
        let look = self.traffic.looks.load(Ordering::Relaxed) % LOOKS;
        if let Some(unsent) = self.traffic.unsent.get(look) {
            unsent.fetch_add(1, Ordering::Relaxed);
            self.look = Some(look);
        }
        Body::new(Sending::new(body, self))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let unsent = self.look.and_then(|look| self.traffic.unsent.get(look));
        if let Some(unsent) = unsent {
            unsent.fetch_sub(1, Ordering::Relaxed);
        }
        self.traffic.requests.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_not_taken_is_overdue_and_keeps_the_connection_from_being_idle() {
        let traffic = Arc::new(Traffic::default());
        let answer = || Traffic::begin(&traffic).until_sent(Body::from("an answer"));
        let mut before = None;
        for _ in 0..3 * LOOKS {
            drop(answer());
            assert!(!traffic.look(), "they are taken");
        }
        let untaken = answer();
        for _ in 1..LOOKS {
            drop(answer());
            assert!(!traffic.look());
            assert!(!traffic.requests.was_idle_since(&mut before));
        }
        assert!(traffic.look());
        drop(untaken);
        assert!(!traffic.look());
    }
}
