//! Who is at the other end of the socket, as the kernel says.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use agentidp_shared::{Action, Actor, ActorKind, Code, Outcome, Via};
use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use super::policy::Operators;
use super::presence::{Connections, Manner, Presence};
use super::seats::Seats;
use crate::service::{Caller, Reach, Service};
use crate::shares::Share;

/// What stands for a login that cannot be told.
const UNKNOWN: &str = "unknown";

/// The process at the other end of a connection, as it was when it connected.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its user.
    pub(crate) uid: u32,
    /// Its user's name, if it has one.
    pub(crate) name: Option<String>,
    /// The user who logged in, when that is another: someone acts through sudo or su. [`UNKNOWN`] when it
    /// cannot be told, as of a process that connected, gave the connection away and ended.
    pub(crate) login: Option<String>,
    /// Names and numbers of its groups.
    groups: Vec<String>,
    /// What it says of itself.
    pub(super) manner: Manner,
    /// Its calls.
    pub(super) calls: Arc<Calls>,
}

/// The calls of one connection.
#[derive(Debug, Default)]
pub(super) struct Calls {
    begun: AtomicU64,
    under_way: AtomicU64,
}

/// A call, until its answer is sent.
#[derive(Debug)]
pub(super) struct Calling(Arc<Calls>);

impl Calls {
    /// A call begins.
    pub(super) fn begin(self: &Arc<Self>) -> Calling {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        Calling(Arc::clone(self))
    }

    /// Whether there was none since the look that left `before` behind.
    fn were_none_since(&self, before: &mut u64) -> bool {
        let begun = self.begun.load(Ordering::Relaxed);
        let is_idle = self.under_way.load(Ordering::Relaxed) == 0;
        std::mem::replace(before, begun) == begun && is_idle
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Peer {
    /// Asks the kernel who it is, and the user database for names. Blocks: the database may be on
    /// the network.
    fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        Ok(Self::new(
            credentials.uid(),
            credentials.gid(),
            credentials.pid(),
        ))
    }

    /// This process, for what is done without the socket.
    pub(crate) fn of_this_process() -> Self {
        let pid = i32::try_from(std::process::id()).ok();
        Self::new(geteuid().as_raw(), getegid().as_raw(), pid)
    }

    fn new(uid: u32, gid: u32, pid: Option<i32>) -> Self {
        let process = pid.and_then(|pid| Process::read(pid, uid));
        let is_known = process.is_some();
        let process = process.unwrap_or_default();
        let mut gids = process.groups;
        gids.push(gid);
        gids.sort_unstable();
        gids.dedup();
        let mut groups = Vec::new();
        for gid in gids {
            groups.push(gid.to_string());
            groups.extend(
                Group::from_gid(Gid::from_raw(gid))
                    .ok()
                    .flatten()
                    .map(|group| group.name),
            );
        }
        let name_of = |uid| {
            User::from_uid(Uid::from_raw(uid))
                .ok()
                .flatten()
                .map(|user| user.name)
        };
        let login = process.login_uid.filter(|login| *login != uid);
        Self {
            uid,
            name: name_of(uid),
            login: match login {
                Some(uid) => Some(name_of(uid).unwrap_or_else(|| uid.to_string())),
                None if is_known => None,
                None => Some(UNKNOWN.to_owned()),
            },
            groups,
            manner: Manner::default(),
            calls: Arc::default(),
        }
    }

    /// One of whom nothing but the user's number is known.
    fn unresolved(uid: u32) -> Self {
        Self {
            uid,
            name: None,
            login: Some(UNKNOWN.to_owned()),
            groups: Vec::new(),
            manner: Manner::default(),
            calls: Arc::default(),
        }
    }

    /// Whether `user` is its user's name or number.
    pub(crate) fn is_user(&self, user: &str) -> bool {
        self.name.as_deref() == Some(user) || self.uid.to_string() == user
    }

    /// Whether `group` is the name or number of one of its groups.
    pub(crate) fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }

    /// Its name in the audit log.
    pub(crate) fn actor(&self) -> Actor {
        Actor {
            kind: ActorKind::Operator,
            id: Some(self.uid.to_string()),
            name: self.name.clone(),
            login: self.login.clone(),
            via: Via::Socket,
            address: None,
        }
    }
}

/// What the kernel says of a process beyond the credentials of its socket.
#[derive(Debug, Default)]
struct Process {
    /// Its supplementary groups.
    groups: Vec<u32>,
    /// The user who logged in to the session that it belongs to.
    login_uid: Option<u32>,
}

impl Process {
    /// Reads it of process `pid`, which is of user `uid`.
    ///
    /// The process may have ended and its number may belong to another by now; so the number must
    /// still be that of a process of `uid`, and of the same one before and after the reading.
    fn read(pid: i32, uid: u32) -> Option<Self> {
        const NEVER_LOGGED_IN: u32 = u32::MAX;
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
        // The 22nd field; the second is the command in parentheses and may hold anything.
        let started = || {
            read("stat")?
                .rsplit(')')
                .next()?
                .split_whitespace()
                .nth(19)
                .map(str::to_owned)
        };
        let before = started()?;
        let status = read("status")?;
        let login: Option<u32> = read("loginuid").and_then(|login| login.trim().parse().ok());
        let numbers = |name: &str| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or_default();
            line.split_whitespace()
                .filter_map(|number| number.parse().ok())
                .collect::<Vec<u32>>()
        };
        // Real, effective, saved, file system: the second is what the socket's credentials have.
        let same = started()? == before && numbers("Uid:").get(1) == Some(&uid);
        same.then(|| Self {
            groups: numbers("Groups:"),
            login_uid: login.filter(|login| *login != NEVER_LOGGED_IN),
        })
    }
}

/// A connection together with who is at its other end.
pub(crate) struct OperatorStream {
    stream: UnixStream,
    peer: Arc<Peer>,
    /// Runs until the first bytes arrive, and then from one look at the calls to the next.
    patience: Pin<Box<Sleep>>,
    /// The calls at the last look; `None` until the first bytes.
    seen: Option<u64>,
    /// How long it is left alone without a call; `None`: it ends when its time is over.
    idle: Option<Duration>,
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
    answered: Option<usize>,
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
            let answered = peer.manner.all_answered();
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
    /// What has come of reading or writing, and when that waits, whether the connection is to end instead.
    /// Whoever waits to write does not read meanwhile.
    fn unless_parted<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_pending() && self.parting.is_over(&self.peer, context) {
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
        if let (true, None, Some(idle)) = (read.is_ready(), self.seen, self.idle) {
            self.seen = Some(0);
            self.patience.as_mut().reset(Instant::now() + idle);
        }
        if read.is_ready() {
            return read;
        }
        while self.patience.as_mut().poll(context).is_ready() {
            let calls = Arc::clone(&self.peer.calls);
            let idle = self.idle;
            let (Some(seen), Some(idle)) = (self.seen.as_mut(), idle) else {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            };
            if calls.were_none_since(seen) {
                // As if the other side had ended it: what is still to be said is said.
                return Poll::Ready(Ok(()));
            }
            self.patience.as_mut().reset(Instant::now() + idle);
        }
        self.unless_parted(Poll::Pending, context)
    }
}

impl AsyncWrite for OperatorStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.unless_parted(written, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.unless_parted(flushed, context)
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
            seen: None,
            idle: role.map(|_| IDLE),
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
            .deny_operator(&caller, action, Outcome::Denied, code);
    }
}

#[cfg(test)]
mod tests {
    use super::super::access::tests::{operators, service};
    use super::*;
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
                let (client, ours) = UnixStream::pair().unwrap();
                let place = door.seats.wait(uid).unwrap();
                door.clone().admit(ours, place).await;
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

    #[test]
    fn a_process_that_has_ended_is_not_taken_for_one_that_nobody_logged_in_to() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        child.wait().unwrap();
        let peer = Peer::new(geteuid().as_raw(), getegid().as_raw(), Some(pid));
        assert_eq!(peer.login.as_deref(), Some(UNKNOWN));
    }

    #[test]
    fn a_connection_is_idle_when_it_has_no_call_and_had_none_since() {
        let (calls, mut seen) = (Arc::new(Calls::default()), 0);
        assert!(calls.were_none_since(&mut seen));
        let call = calls.begin();
        assert!(!calls.were_none_since(&mut seen));
        assert!(!calls.were_none_since(&mut seen), "it is under way");
        drop(call);
        assert!(calls.were_none_since(&mut seen));
        drop(calls.begin());
        assert!(!calls.were_none_since(&mut seen), "it came and went");
    }
}
