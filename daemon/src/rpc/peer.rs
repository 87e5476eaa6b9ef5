//! Who is at the other end of the socket, as the kernel says.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use agentidp_shared::{Actor, ActorKind, Via};
use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

/// The process at the other end of a connection, as it was when it connected.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its user.
    pub(crate) uid: u32,
    /// Its user's name, if it has one.
    pub(crate) name: Option<String>,
    /// The user who logged in, when that is another: someone acts through sudo or su.
    pub(crate) login: Option<String>,
    /// Names and numbers of its groups.
    groups: Vec<String>,
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
        let process = pid
            .and_then(|pid| Process::read(pid, uid))
            .unwrap_or_default();
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
            login: login.map(|uid| name_of(uid).unwrap_or_else(|| uid.to_string())),
            groups,
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
#[derive(Debug)]
pub(crate) struct OperatorStream {
    stream: UnixStream,
    peer: Arc<Peer>,
}

impl Connected for OperatorStream {
    type ConnectInfo = Arc<Peer>;

    fn connect_info(&self) -> Arc<Peer> {
        Arc::clone(&self.peer)
    }
}

impl AsyncRead for OperatorStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for OperatorStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Accepts connections until `stopping`, and hands each on with its peer.
pub(super) async fn accept(
    listener: UnixListener,
    connections: mpsc::Sender<io::Result<OperatorStream>>,
    stopping: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let connections = connections.clone();
                tokio::spawn(async move {
                    let resolved = tokio::task::spawn_blocking(move || {
                        Peer::of(&stream).map(|peer| (stream, peer))
                    });
                    match resolved.await {
                        Ok(Ok((stream, peer))) => {
                            // Sending fails only when the server is gone, and the connection with it.
                            let _ = connections
                                .send(Ok(OperatorStream {
                                    stream,
                                    peer: Arc::new(peer),
                                }))
                                .await;
                        }
                        Ok(Err(error)) => {
                            tracing::warn!(%error, "a connection without peer credentials was dropped");
                        }
                        Err(error) => {
                            tracing::error!(%error, "the peer of a connection could not be resolved");
                        }
                    }
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: others must end before more can begin.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}
