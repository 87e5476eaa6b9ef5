//! Answers that are on their way: what is held for one is given back when its last byte has gone, not when
//! it has been made.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

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

/// How often it is looked whether answers are taken.
pub(crate) const LOOK: Duration = Duration::from_secs(5);
/// After how many looks an answer, or a part of one that goes on, must have been taken: a client that keeps its
/// window shut stops neither the connection nor any other clock.
pub(crate) const LOOKS: usize = 12;

/// What was made for the other side of a connection and is not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Untaken {
    /// How many looks there have been.
    looks: AtomicUsize,
    /// How much was made after each of the last looks and is not taken.
    made: [AtomicU64; LOOKS],
}

/// Something that is not taken, until it is dropped.
#[derive(Debug)]
pub(crate) struct Offered {
    untaken: Arc<Untaken>,
    look: usize,
}

impl Untaken {
    /// Something is made now.
    pub(crate) fn offer(self: &Arc<Self>) -> Offered {
        let look = self.looks.load(Ordering::Relaxed) % LOOKS;
        if let Some(made) = self.made.get(look) {
            made.fetch_add(1, Ordering::Relaxed);
        }
        Offered {
            untaken: Arc::clone(self),
            look,
        }
    }

    /// Looks, and gives whether something has not been taken since [`LOOKS`] looks ago: its place is needed.
    pub(crate) fn look(&self) -> bool {
        let look = self.looks.fetch_add(1, Ordering::Relaxed) + 1;
        let made = self.made.get(look % LOOKS);
        made.is_some_and(|it| it.load(Ordering::Relaxed) > 0)
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        if let Some(made) = self.untaken.made.get(self.look) {
            made.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A body each part of which is to be taken in time: until it has been sent and the next is asked for. So it
/// may go on for ever, and wait for what there is to say as long as it likes.
#[derive(Debug)]
pub(crate) struct Flowing<B> {
    body: B,
    untaken: Arc<Untaken>,
    part: Option<Arc<Offered>>,
}

impl<B> Flowing<B> {
    /// `body`, on a connection of which `untaken` is kept.
    pub(crate) fn new(body: B, untaken: Arc<Untaken>) -> Self {
        Self {
            body,
            untaken,
            part: None,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Flowing<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.part = None;
        let polled = Pin::new(&mut self.body).poll_frame(context);
        polled.map_ok(|frame| {
            frame.map_data(|bytes| {
                let part = Arc::new(self.untaken.offer());
                self.part = Some(Arc::clone(&part));
                holding(bytes, part)
            })
        })
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

    #[test]
    fn a_part_that_is_not_taken_is_overdue_and_an_answer_that_has_nothing_to_say_is_not() {
        let untaken = Arc::new(Untaken::default());
        let (said, heard) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(2);
        let stream = tokio_stream::wrappers::ReceiverStream::new(heard);
        let body = axum::body::Body::from_stream(stream);
        let mut body = Flowing::new(body, Arc::clone(&untaken));
        let mut next = || {
            let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context));
            let frame = frame.now_or_never()?.unwrap().unwrap();
            Some(frame.into_data().unwrap())
        };
        let is_overdue = || (0..LOOKS).any(|_| untaken.look());
        assert_eq!(next(), None);
        assert!(!is_overdue(), "there is nothing to take");
        said.try_send(Ok("one".into())).unwrap();
        said.try_send(Ok("two".into())).unwrap();
        let first = next().unwrap();
        assert!(is_overdue(), "it is not sent");
        drop(first);
        assert!(is_overdue(), "the rest is not asked for");
        drop(next().unwrap());
        assert_eq!(next(), None);
        assert!(!is_overdue());
    }
}
