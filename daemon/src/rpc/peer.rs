//! Who is at the other end of the socket, as the kernel says.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use agentidp_shared::{Actor, ActorKind, Timestamp, Via};
use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use super::presence::{Connections, Manner, Presence};
use crate::service::Service;

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
    /// Runs until the first bytes arrive: one who connects and says nothing is not kept.
    silence: Option<Pin<Box<Sleep>>>,
    parting: Parting,
    _place: Place,
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

/// How many connections there may be, and how many of one user, so that none keeps out the others.
const CONNECTIONS: usize = 256;
/// See [`CONNECTIONS`].
const CONNECTIONS_OF_ONE: usize = 64;
/// How long one who connects may say nothing.
const SILENCE: Duration = Duration::from_secs(5);

/// The connections that there are, by user.
#[derive(Debug, Clone, Default)]
struct Places(Arc<Mutex<HashMap<u32, usize>>>);

/// The place of one connection; free again when it is dropped.
#[derive(Debug)]
struct Place {
    places: Places,
    uid: u32,
}

impl Places {
    fn take(&self, uid: u32) -> Option<Place> {
        let mut taken = self.0.lock();
        let all: usize = taken.values().sum();
        let own = taken.entry(uid).or_default();
        if all >= CONNECTIONS || *own >= CONNECTIONS_OF_ONE {
            return None;
        }
        *own += 1;
        Some(Place {
            places: self.clone(),
            uid,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock();
        if let Some(own) = taken.get_mut(&self.uid) {
            *own -= 1;
        }
        taken.retain(|_, own| *own > 0);
    }
}

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
        let it = &mut *self;
        let read = Pin::new(&mut it.stream).poll_read(context, buffer);
        if read.is_ready() {
            it.silence = None;
            return read;
        }
        if let Some(silence) = &mut it.silence
            && silence.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        it.unless_parted(read, context)
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

/// Accepts connections until `stopping`, notes each in `open`, and hands it on with its peer.
pub(super) async fn accept(
    listener: UnixListener,
    open: Connections,
    service: Arc<Service>,
    connections: mpsc::Sender<io::Result<OperatorStream>>,
    stopping: CancellationToken,
) {
    let places = Places::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let place = stream
                    .peer_cred()
                    .ok()
                    .and_then(|peer| places.take(peer.uid()));
                let Some(place) = place else {
                    tracing::warn!("a connection was dropped: there are too many already");
                    continue;
                };
                let begin = (open.clone(), service.now());
                let parting = Parting::new(stopping.clone());
                tokio::spawn(admit(stream, place, begin, parting, connections.clone()));
            }
            Err(error) => {
                // Out of descriptors, most likely: others must end before more can begin.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// Finds out who is at the other end, and hands the connection on.
async fn admit(
    stream: UnixStream,
    place: Place,
    (open, since): (Connections, Timestamp),
    parting: Parting,
    connections: mpsc::Sender<io::Result<OperatorStream>>,
) {
    let resolved =
        tokio::task::spawn_blocking(move || Peer::of(&stream).map(|peer| (stream, peer)));
    match resolved.await {
        Ok(Ok((stream, peer))) => {
            let peer = Arc::new(peer);
            let stream = OperatorStream {
                _presence: open.begin(Arc::clone(&peer), since),
                stream,
                peer,
                silence: Some(Box::pin(tokio::time::sleep(SILENCE))),
                parting,
                _place: place,
            };
            // Sending fails only when the server is gone, and the connection with it.
            let _ = connections.send(Ok(stream)).await;
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "a connection without peer credentials was dropped");
        }
        Err(error) => tracing::error!(%error, "the peer of a connection could not be resolved"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_has_ended_is_not_taken_for_one_that_nobody_logged_in_to() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        child.wait().unwrap();
        let peer = Peer::new(geteuid().as_raw(), getegid().as_raw(), Some(pid));
        assert_eq!(peer.login.as_deref(), Some(UNKNOWN));
    }

    #[test]
    fn one_user_cannot_keep_out_the_others_and_a_place_is_free_again() {
        let places = Places::default();
        let mut own: Vec<_> = (0..CONNECTIONS_OF_ONE)
            .map(|_| places.take(7).unwrap())
            .collect();
        assert!(places.take(7).is_none());
        assert!(places.take(8).is_some());
        own.pop();
        assert!(places.take(7).is_some());
        drop(own);
        assert!(places.0.lock().is_empty());
    }
}
