//! How much may be under way at once. What comes on top of it is refused at once, which costs little
//! and leaves the time to those who are being served.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// Counts the requests under way.
///
/// One whose body is still to come does not count: otherwise clients that send nothing could keep
/// everyone else out. It counts again when the body is there; so there can be more for a moment than
/// there should be, and then no others are let in.
#[derive(Debug)]
pub(super) struct Gate {
    under_way: AtomicIsize,
    most: isize,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Pass(Arc<Gate>);

impl Gate {
    /// A gate that lets `most` through at once.
    pub(super) fn new(most: u32) -> Arc<Self> {
        Arc::new(Self {
            under_way: AtomicIsize::new(0),
            most: isize::try_from(most).unwrap_or(isize::MAX),
        })
    }

    /// Lets a request in; `None` when there are too many.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Pass> {
        if self.under_way.fetch_add(1, Ordering::Relaxed) < self.most {
            Some(Pass(Arc::clone(self)))
        } else {
            self.leave();
            None
        }
    }

    fn leave(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    fn come_back(&self) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
    }
}

impl Pass {
    /// The body of the request, which does not count while it is waited for. It has to be dropped
    /// before the pass.
    pub(super) fn watch<B>(&self, body: B) -> Arriving<B> {
        Arriving {
            body,
            gate: Arc::clone(&self.0),
            is_waiting: false,
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// A body that may be still to come.
#[derive(Debug)]
pub(super) struct Arriving<B = Incoming> {
    body: B,
    gate: Arc<Gate>,
    is_waiting: bool,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Arriving<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match (polled.is_pending(), self.is_waiting) {
            (true, false) => self.gate.leave(),
            (false, true) => self.gate.come_back(),
            _ => {}
        }
        self.is_waiting = polled.is_pending();
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Arriving<B> {
    fn drop(&mut self) {
        if self.is_waiting {
            self.gate.come_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::stream;

    use super::*;

    #[test]
    fn more_than_there_may_be_are_refused_until_one_ends() {
        let gate = Gate::new(2);
        let first = gate.enter().unwrap();
        let second = gate.enter().unwrap();
        assert!(gate.enter().is_none() && gate.enter().is_none());
        drop(first);
        let third = gate.enter().unwrap();
        assert!(gate.enter().is_none());
        drop((second, third));
        assert_eq!(gate.under_way.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn who_does_not_send_his_body_keeps_nobody_out() {
        let gate = Gate::new(1);
        let pass = gate.enter().unwrap();
        assert!(gate.enter().is_none());
        let never = stream::pending::<Result<Bytes, std::io::Error>>();
        let mut body = pass.watch(axum::body::Body::from_stream(never));
        for _ in 0..2 {
            let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context));
            assert!(frame.now_or_never().is_none());
            assert!(gate.enter().is_some());
        }
        drop(body);
        assert!(gate.enter().is_none());
        drop(pass);
        assert!(gate.enter().is_some());
    }
}
