//! Connections to the operators' socket: who is let in, and when one ends.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use agentidp_shared::{Action, Code, Outcome};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use super::peer::Peer;
use super::policy::Operators;
use super::presence::{Connections, Presence};
use super::seats::Seats;
use crate::sending::LOOK;
use crate::service::{Caller, Reach, Service};
use crate::shares::Share;

/// A connection together with who is at its other end.
pub(crate) struct OperatorStream {
    stream: UnixStream,
    peer: Arc<Peer>,
    /// Runs until the first bytes arrive, and then from one look at the calls to the next.
    patience: Pin<Box<Sleep>>,
    /// Whether it has said anything.
    is_heard: bool,
    /// How many calls there had been at the last look, when none was under way.
    seen: Option<u64>,
    /// How long it is left alone without a call; `None`: it ends when its time is over.
    idle: Option<Duration>,
    /// Runs from one look at whether answers are taken to the next.
    looking: Pin<Box<Sleep>>,
    parting: Parting,
    _seat: Share<u32>,
    _presence: Presence,
}

/// How long a connection may last when the daemon stops and no call on it waits for its answer. Streams have
/// ended by then; what is left is a reader who takes nothing, whom HTTP/2 would wait for.
const PARTING: Duration = Duration::from_secs(1);

/// Tells when a connection is to end because the daemon stops.
struct Parting {
    stopping: CancellationToken,
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// How many calls had been answered when it was looked at last.
    answered: Option<u64>,
}

impl Parting {
    fn new(stopping: CancellationToken) -> Self {
        Self {
            over: Box::pin(Self::after(stopping.clone())),
            stopping,
            answered: None,
        }
    }

    async fn after(stopping: CancellationToken) {
        stopping.cancelled().await;
        tokio::time::sleep(PARTING).await;
    }

    /// Whether it is to end now. It is looked at again after a while as long as a call of `peer` waits, or
    /// has just been answered: the answer has to get there.
    fn is_over(&mut self, peer: &Peer, context: &mut Context<'_>) -> bool {
        while self.over.as_mut().poll(context).is_ready() {
            let answered = peer.calls.all_answered();
            if answered.is_some() && answered == self.answered {
                return true;
            }
            self.answered = answered;
            self.over = Box::pin(Self::after(self.stopping.clone()));
        }
        false
    }
}

/// How long one who connects may say nothing, and how long one without a role may stay.
const SILENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether there was a call: between once and twice as long a connection may be
/// without.
const IDLE: Duration = Duration::from_secs(30);

impl Connected for OperatorStream {
    type ConnectInfo = Arc<Peer>;

    fn connect_info(&self) -> Arc<Peer> {
        Arc::clone(&self.peer)
    }
}

impl OperatorStream {
    /// Whether its client has not taken an answer for too long, which no end of its own sees: a stream waits
    /// for a client for ever.
    fn is_untaken(&mut self, context: &mut Context<'_>) -> bool {
        while self.looking.as_mut().poll(context).is_ready() {
            if self.peer.calls.untaken().look() {
                return true;
            }
            self.looking.as_mut().reset(Instant::now() + LOOK);
        }
        false
    }

    /// What has come of reading or writing, and when that waits, whether the connection is to end instead.
    /// Whoever waits to write does not read meanwhile.
    fn unless_over<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        let is_over = |it: &mut Self, context: &mut Context<'_>| {
            it.is_untaken(context) || it.parting.is_over(&it.peer, context)
        };
        if polled.is_pending() && is_over(self, context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl AsyncRead for OperatorStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let (true, false, Some(idle)) = (read.is_ready(), self.is_heard, self.idle) {
            self.is_heard = true;
            self.patience.as_mut().reset(Instant::now() + idle);
        }
        if read.is_ready() {
            return read;
        }
        while self.patience.as_mut().poll(context).is_ready() {
            let calls = Arc::clone(&self.peer.calls);
            let idle = self.idle;
            let (true, Some(idle)) = (self.is_heard, idle) else {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            };
            if calls.were_none_since(&mut self.seen) {
                // As if the other side had ended it: what is still to be said is said.
                return Poll::Ready(Ok(()));
            }
            self.patience.as_mut().reset(Instant::now() + idle);
        }
        self.unless_over(Poll::Pending, context)
    }
}

impl AsyncWrite for OperatorStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.unless_over(written, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.unless_over(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Accepts connections until `stopping`, and hands each on with its peer to where it is served.
pub(super) async fn accept(listener: UnixListener, door: Door) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = door.stopping.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => door.knock(stream),
            Err(error) => {
                // Out of descriptors, most likely: others must end before more can begin.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// Where connections are let in.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) open: Connections,
    pub(super) service: Arc<Service>,
    pub(super) operators: Operators,
    pub(super) seats: Seats,
    pub(super) stopping: CancellationToken,
    pub(super) served: mpsc::Sender<io::Result<OperatorStream>>,
}

impl Door {
    /// Finds out who is there, without waiting for it.
    fn knock(&self, stream: UnixStream) {
        let Ok(uid) = stream.peer_cred().map(|peer| peer.uid()) else {
            return;
        };
        match self.seats.wait(uid) {
            Some(place) => {
                tokio::spawn(self.clone().admit(stream, place));
            }
            None => self.turn_away(&Peer::unresolved(uid), Code::Overloaded),
        }
    }

    /// Finds out who is at the other end, and hands the connection on.
    async fn admit(self, stream: UnixStream, place: Share<u32>) {
        let resolved =
            tokio::task::spawn_blocking(move || Peer::of(&stream).map(|peer| (stream, peer)));
        let (stream, peer) = match resolved.await {
            Ok(Ok(resolved)) => resolved,
            Ok(Err(error)) => {
                tracing::warn!(%error, "a connection without peer credentials was dropped");
                return;
            }
            Err(error) => {
                tracing::error!(%error, "the peer of a connection could not be resolved");
                return;
            }
        };
        let role = self.operators.standing_of(&peer).map(|it| it.role);
        let Some(seat) = self.seats.sit(peer.uid, role) else {
            let code = role.map_or(Code::PermissionDenied, |_| Code::Overloaded);
            return self.turn_away(&peer, code);
        };
        drop(place);
        let peer = Arc::new(peer);
        let stream = OperatorStream {
            _presence: self.open.begin(Arc::clone(&peer), self.service.now()),
            stream,
            peer,
            patience: Box::pin(tokio::time::sleep(SILENCE)),
            is_heard: false,
            seen: Some(0),
            idle: role.map(|_| IDLE),
            looking: Box::pin(tokio::time::sleep(LOOK)),
            parting: Parting::new(self.stopping.clone()),
            _seat: seat,
        };
        // Sending fails only when the server is gone, and the connection with it.
        let _ = self.served.send(Ok(stream)).await;
    }

    /// Puts into the log, or counts, that there was no place for someone.
    fn turn_away(&self, peer: &Peer, code: Code) {
        let caller = Caller {
            actor: peer.actor(),
            request_id: self.service.new_request_id(),
            reach: Reach::Organizations(BTreeSet::new()),
            ceiling: None,
            idempotency: None,
        };
        let action = Action::UnknownCall;
        self.service
            .deny_operator(&caller, action, (Outcome::Denied, code), None);
    }
}

#[cfg(test)]
mod tests {
    use nix::unistd::geteuid;
    use tokio::io::AsyncReadExt as _;

    use super::super::access::tests::{operators, service};
    use super::*;
    use crate::sending::LOOKS;
    use crate::store::model::ModelStore;
    use crate::store::{EntryFilter, Store as _};

    #[tokio::test]
    async fn who_has_no_role_takes_few_places_and_is_in_the_log_when_there_is_none() {
        let store = Arc::new(ModelStore::new());
        let service = service(&store).await;
        for (operators, most) in [(Operators::new(Vec::new()), 4), (operators(), 64)] {
            let (served, mut handed) = mpsc::channel(128);
            let door = Door {
                open: Connections::default(),
                service: Arc::clone(&service),
                operators,
                seats: Seats::new(),
                stopping: CancellationToken::new(),
                served,
            };
            let uid = geteuid().as_raw();
            let mut clients = Vec::new();
            for _ in 0..most + 2 {
                let (client, end) = UnixStream::pair().unwrap();
                let place = door.seats.wait(uid).unwrap();
                door.clone().admit(end, place).await;
                clients.push(client);
            }
            let seated: Vec<_> = std::iter::from_fn(|| handed.try_recv().ok()).collect();
            assert_eq!(seated.len(), most);
            drop(seated);
            assert!(
                door.seats.sit(uid, None).is_some(),
                "there are places again"
            );
        }
        let filter = EntryFilter {
            action: Some(Action::UnknownCall),
            ..EntryFilter::default()
        };
        let page = store.entries_before(None, &filter, 10).unwrap();
        assert_eq!(page.entries.len(), 4, "each who was turned away");
    }

    #[tokio::test]
    async fn a_connection_ends_whose_client_takes_no_answer_for_a_minute() {
        let service = service(&Arc::new(ModelStore::new())).await;
        let (served, mut handed) = mpsc::channel(1);
        let door = Door {
            open: Connections::default(),
            service,
            operators: operators(),
            seats: Seats::new(),
            stopping: CancellationToken::new(),
            served,
        };
        let place = door.seats.wait(geteuid().as_raw()).unwrap();
        let (_client, end) = UnixStream::pair().unwrap();
        door.clone().admit(end, place).await;
        let mut stream = handed.try_recv().unwrap().unwrap();
        let untaken = Arc::clone(stream.peer.calls.untaken());
        let answer = untaken.offer();
        for _ in 1..LOOKS {
            assert!(!untaken.look());
        }
        stream.looking = Box::pin(tokio::time::sleep(Duration::ZERO));
        let ended = stream.read(&mut [0]).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
        drop(answer);
    }
}
