//! Answers that are on their way: what is held for one is given back when its last byte has gone, not when
//! it has been made.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Bytes, and what is held until nobody has them any more.
struct Held<G> {
    bytes: Bytes,
    _guard: G,
}

impl<G> AsRef<[u8]> for Held<G> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// `bytes` that hold `guard` until the last reference to them is gone. What sends them cuts them and queues
/// them, but does not copy them.
pub(crate) fn holding<G: Send + 'static>(bytes: Bytes, guard: G) -> Bytes {
    Bytes::from_owner(Held {
        bytes,
        _guard: guard,
    })
}

/// A body that holds something until all of it has been sent or given up.
#[derive(Debug)]
pub(crate) struct Sending<B, G> {
    body: B,
    guard: Arc<G>,
}

impl<B, G> Sending<B, G> {
    /// `body`, which holds `guard`.
    pub(crate) fn new(body: B, guard: G) -> Self {
        let guard = Arc::new(guard);
        Self { body, guard }
    }
}

impl<B, G> Body for Sending<B, G>
where
    B: Body<Data = Bytes> + Unpin,
    G: Send + Sync + 'static,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        polled.map_ok(|frame| frame.map_data(|bytes| holding(bytes, Arc::clone(&self.guard))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn what_an_answer_holds_is_held_until_its_bytes_are_gone() {
        let watched = Arc::new(());
        let held = || Arc::strong_count(&watched) > 1;
        let body = axum::body::Body::from("an answer");
        let mut body = Sending::new(body, Arc::clone(&watched));
        assert_eq!(body.size_hint().exact(), Some(9));
        let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context));
        let frame = frame.now_or_never().unwrap().unwrap().unwrap();
        drop(body);
        let mut bytes = frame.into_data().unwrap();
        let first = bytes.split_to(2);
        drop(bytes);
        assert_eq!(first, "an");
        assert!(held(), "the queue still has a part of it");
        drop(first);
        assert!(!held());
    }
}
