//! How much may be under way at once. What comes on top of it is refused at once, which costs little
//! and leaves the time to those who are being served.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::task::{Context, Poll};

use agentidp_shared::RequestKind;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// One of how many places is for those who ask for tokens, whatever else is under way.
const KEPT_FOR_TOKENS: isize = 4;

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
    pub(super) fn enter(self: &Arc<Self>, kind: RequestKind) -> Option<Pass> {
        let most = match kind {
            RequestKind::Token => self.most,
            RequestKind::Read | RequestKind::Write => self.most - self.most / KEPT_FOR_TOKENS,
        };
        if self.under_way.fetch_add(1, Ordering::Relaxed) < most {
            Some(Pass(Arc::clone(self)))
        } else {
            self.leave();
            None
        }
    }

    /// Waits for something that takes nothing from the others. The request that does does not count
    /// meanwhile; whoever waits bounds how many there are.
    pub(super) async fn aside<F: Future>(self: &Arc<Self>, waiting: F) -> F::Output {
        self.leave();
        let _aside = Aside(Arc::clone(self));
        waiting.await
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

/// A request that does not count until this is dropped.
struct Aside(Arc<Gate>);

impl Drop for Aside {
    fn drop(&mut self) {
        self.0.come_back();
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
        let first = gate.enter(RequestKind::Token).unwrap();
        let second = gate.enter(RequestKind::Token).unwrap();
        assert!(
            gate.enter(RequestKind::Token).is_none() && gate.enter(RequestKind::Token).is_none()
        );
        drop(first);
        let third = gate.enter(RequestKind::Token).unwrap();
        assert!(gate.enter(RequestKind::Token).is_none());
        drop((second, third));
        assert_eq!(gate.under_way.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_quarter_is_for_those_who_ask_for_tokens() {
        let gate = Gate::new(8);
        let held: Vec<_> = (0..6)
            .map(|_| gate.enter(RequestKind::Read).unwrap())
            .collect();
        for kind in [RequestKind::Read, RequestKind::Write] {
            assert!(gate.enter(kind).is_none());
        }
        let tokens = [(); 2].map(|()| gate.enter(RequestKind::Token).unwrap());
        assert!(gate.enter(RequestKind::Token).is_none());
        drop((held, tokens));
        assert!(Gate::new(1).enter(RequestKind::Write).is_some());
    }

    #[test]
    fn who_waits_aside_keeps_nobody_out_also_when_he_gives_up() {
        let gate = Gate::new(1);
        let pass = gate.enter(RequestKind::Read).unwrap();
        let mut waiting = Box::pin(gate.aside(std::future::pending::<()>()));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(gate.enter(RequestKind::Read).is_some());
        drop(waiting);
        assert!(gate.enter(RequestKind::Read).is_none());
        assert_eq!(gate.aside(std::future::ready(7)).now_or_never(), Some(7));
        drop(pass);
        assert_eq!(gate.under_way.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn who_does_not_send_his_body_keeps_nobody_out() {
        let gate = Gate::new(1);
        let pass = gate.enter(RequestKind::Token).unwrap();
        assert!(gate.enter(RequestKind::Token).is_none());
        let never = stream::pending::<Result<Bytes, std::io::Error>>();
        let mut body = pass.watch(axum::body::Body::from_stream(never));
        for _ in 0..2 {
            let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context));
            assert!(frame.now_or_never().is_none());
            assert!(gate.enter(RequestKind::Token).is_some());
        }
        drop(body);
        assert!(gate.enter(RequestKind::Token).is_none());
        drop(pass);
        assert!(gate.enter(RequestKind::Token).is_some());
    }
}
