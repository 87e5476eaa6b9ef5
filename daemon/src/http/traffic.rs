//! What goes on on a connection over HTTP/2: when it is idle, and when its client does not take its answers.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;

use crate::busy::Busy;
use crate::sending::{LOOK, Offered, Sending, Untaken};

/// How often it is looked whether a connection is idle: between once and twice as long one may be. It bounds
/// the header too, for which HTTP/2 has no clock of its own.
const IDLE: Duration = Duration::from_secs(5);

/// What goes on on a connection.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// The requests, each until its answer is sent.
    requests: Busy,
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
        traffic.requests.begin();
        UnderWay {
            traffic: Arc::clone(traffic),
            answer: None,
        }
    }

    /// Returns when nothing has begun, ended or been under way for at least [`IDLE`].
    pub(super) async fn until_idle(&self) {
        let mut before = None;
        while !self.requests.was_idle_since(&mut before) {
            tokio::time::sleep(IDLE).await;
        }
    }

    /// Returns when an answer has not been sent for too long.
    pub(super) async fn until_overdue(&self) {
        while !self.unsent.look() {
            tokio::time::sleep(LOOK).await;
        }
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
        self.traffic.requests.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sending::LOOKS;

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
            assert!(!traffic.requests.was_idle_since(&mut before));
        }
        assert!(traffic.unsent.look());
        drop(untaken);
        assert!(!traffic.unsent.look());
    }
}
