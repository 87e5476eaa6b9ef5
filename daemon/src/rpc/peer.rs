//! Who is at the other end of the socket, as the kernel says.

use std::io;
use std::sync::Arc;

use agentidp_shared::{Actor, ActorKind, Via};
use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid};
use tokio::net::UnixStream;

use super::calls::Calls;

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
    /// Its calls.
    pub(super) calls: Arc<Calls>,
}

impl Peer {
    /// Asks the kernel who it is, and the user database for names. Blocks: the database may be on
    /// the network.
    pub(super) fn of(stream: &UnixStream) -> io::Result<Self> {
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
            calls: Arc::default(),
        }
    }

    /// One of whom nothing but the user's number is known.
    pub(super) fn unresolved(uid: u32) -> Self {
        Self {
            uid,
            name: None,
            login: Some(UNKNOWN.to_owned()),
            groups: Vec::new(),
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
}
