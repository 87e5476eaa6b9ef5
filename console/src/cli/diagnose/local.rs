//! What can be seen without the daemon: its socket, the groups of this process, the clock's state,
//! the disk, and what systemd says of the service.

use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist, getgroups};
use tokio::net::UnixStream;
use tokio::process::Command;

use super::{Finding, LIMIT};
use crate::client::Disk;
use crate::duration;
use crate::error::Error;
use crate::socket::SocketChoice;

/// Where the store is unless the configuration says otherwise.
const STORE: &str = "/var/lib/agentidp";
/// How far two clocks may be apart before it is worth a word, and before tokens suffer.
const NOTABLE: Duration = Duration::from_secs(1);
const TOO_FAR: Duration = Duration::from_secs(30);

/// The socket as it was found.
pub(super) struct Socket {
    pub(super) finding: Finding,
    /// Whether somebody listens on it.
    pub(super) is_open: bool,
    /// The group that it is for.
    pub(super) group: Option<Gid>,
}

const CHECK: &str = "socket";

/// Looks at the socket: missing, not one, not for this user, left behind, or open.
pub(super) async fn socket(choice: &SocketChoice) -> Socket {
    let shut = |finding: Finding, group| Socket {
        finding,
        is_open: false,
        group,
    };
    let path = match choice.resolve() {
        Ok(path) => path,
        Err(error) => {
            let service = service().await;
            let found = join(&error.to_string(), service.as_ref());
            let next = next_of(service.as_ref(), error.hint().unwrap_or_default());
            return shut(Finding::failed(CHECK, found).next(next).code(6), None);
        }
    };
    let shown = path.display();
    let metadata = match std::fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let (who, group) = folder(&path);
            let found = format!("this user may not look into {who}");
            return shut(Finding::failed(CHECK, found).next(JOIN).code(4), group);
        }
        Err(error) => {
            let service = service().await;
            let found = join(&format!("{shown}: {error}"), service.as_ref());
            let next = next_of(service.as_ref(), START);
            return shut(Finding::failed(CHECK, found).next(next).code(6), None);
        }
    };
    let group = Some(Gid::from_raw(metadata.gid()));
    let owner = owner(
        metadata.uid(),
        metadata.gid(),
        metadata.permissions().mode(),
    );
    if !metadata.file_type().is_socket() {
        let found = format!("{shown} is no socket");
        let next = "move it away, or name the daemon's socket with --socket";
        return shut(Finding::failed(CHECK, found).next(next).code(6), group);
    }
    let connected = tokio::time::timeout(LIMIT, UnixStream::connect(&path)).await;
    let error = match connected {
        Ok(Ok(_)) => {
            return Socket {
                finding: Finding::ok(CHECK, format!("{shown}, {owner}")),
                is_open: true,
                group,
            };
        }
        Ok(Err(error)) => error,
        Err(_) => ErrorKind::TimedOut.into(),
    };
    let finding = match error.kind() {
        ErrorKind::PermissionDenied => {
            let found = format!("{shown} is not for this user: {owner}");
            Finding::failed(CHECK, found).next(JOIN).code(4)
        }
        ErrorKind::ConnectionRefused => {
            let service = service().await;
            let found = format!("{shown} was left behind: nobody listens on it");
            Finding::failed(CHECK, join(&found, service.as_ref()))
                .next(next_of(service.as_ref(), START))
                .code(6)
        }
        _ => Finding::failed(CHECK, format!("{shown}: {error}"))
            .next("systemctl status agentidpd")
            .code(6),
    };
    shut(finding, group)
}

const JOIN: &str = "ask an administrator for the group of the socket (usermod --append --groups \
                    agentidp USER), then log in anew";
const START: &str =
    "start the daemon (systemctl start agentidpd), or name its socket with --socket";

/// The nearest folder above `path` that can be looked at, in words, and its group.
fn folder(path: &Path) -> (String, Option<Gid>) {
    let mut above = path.ancestors().skip(1);
    let found = above.find_map(|it| Some((it, std::fs::metadata(it).ok()?)));
    found.map_or(("its folder".to_owned(), None), |(folder, metadata)| {
        let (uid, gid) = (metadata.uid(), metadata.gid());
        let owner = owner(uid, gid, metadata.permissions().mode());
        (
            format!("{} ({owner})", folder.display()),
            Some(Gid::from_raw(gid)),
        )
    })
}

/// `agentidp:agentidp 0660`
fn owner(uid: u32, gid: u32, mode: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let user = user.map_or_else(|| uid.to_string(), |user| user.name);
    format!(
        "{user}:{} {:04o}",
        group_name(Gid::from_raw(gid)),
        mode & 0o7777
    )
}

fn group_name(gid: Gid) -> String {
    let group = Group::from_gid(gid).ok().flatten();
    group.map_or_else(|| gid.to_string(), |group| group.name)
}

/// What systemd says of the service: its state, and how it ended.
struct Service {
    active: String,
    result: String,
}

/// None where there is no systemd, or no such service.
async fn service() -> Option<Service> {
    let said = said_by(&[
        "systemctl",
        "show",
        "agentidpd.service",
        "--property=LoadState,ActiveState,SubState,Result",
    ])
    .await?;
    let value = |name: &str| {
        said.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .unwrap_or_default()
            .to_owned()
    };
    (value("LoadState") == "loaded").then(|| Service {
        active: format!("{} ({})", value("ActiveState"), value("SubState")),
        result: value("Result"),
    })
}

fn join(found: &str, service: Option<&Service>) -> String {
    match service {
        None => found.to_owned(),
        Some(it) if matches!(it.result.as_str(), "" | "success") => {
            format!("{found}; systemd: agentidpd is {}", it.active)
        }
        Some(it) => format!(
            "{found}; systemd: agentidpd is {}, it ended with {}",
            it.active, it.result
        ),
    }
}

fn next_of(service: Option<&Service>, otherwise: &str) -> String {
    match service {
        Some(it) if !matches!(it.result.as_str(), "" | "success") => {
            "journalctl -u agentidpd -n 20 -o cat says why it ended".to_owned()
        }
        _ => otherwise.to_owned(),
    }
}

/// What a command writes, when it is there, succeeds and takes no longer than it may.
async fn said_by(words: &[&str]) -> Option<String> {
    let (program, arguments) = words.split_first()?;
    let output = Command::new(program)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, output).await.ok()?.ok()?;
    let is_good = output.status.success();
    is_good.then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Who this is, when the daemon cannot tell: `error` is why.
pub(super) fn permissions(socket: Option<Gid>, error: Option<&Error>) -> Finding {
    const CHECK: &str = "permissions";
    let uid = geteuid();
    let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
    let name = name.unwrap_or_else(|| uid.to_string());
    let groups = getgroups().unwrap_or_default();
    let names: Vec<_> = groups.iter().map(|gid| group_name(*gid)).collect();
    let who = match names.as_slice() {
        [] => format!("{name} (uid {uid})"),
        names => format!("{name} (uid {uid}), groups {}", names.join(" ")),
    };
    if let Some(new) = new_groups(socket) {
        return Finding::failed(CHECK, format!("{who}; {new}"))
            .next(LOGIN)
            .code(4);
    }
    match error {
        Some(error @ Error::Refused(_)) if error.exit_code() == 4 => {
            Finding::failed(CHECK, format!("{who}: {error}"))
                .next(way_to_a_role(&name))
                .code(4)
        }
        _ => Finding::skipped(CHECK, format!("{who}; the role is the daemon's to say")),
    }
}

/// What an administrator does for a user who has no role.
fn way_to_a_role(name: &str) -> String {
    format!(
        "an administrator gives a role by its group (usermod --append --groups agentidp-operator \
         {name}; agentidp-auditor is for reading alone), or by [[operator.roles]] in the \
         configuration, of which the first table there replaces those groups; then log in anew"
    )
}

pub(super) const LOGIN: &str =
    "log out and in again: a session keeps the groups that it began with";

/// In words, groups that this user was given after this session began, so far as they matter: that
/// of the socket, and those that are named after the product.
pub(super) fn new_groups(socket: Option<Gid>) -> Option<String> {
    let user = User::from_uid(geteuid()).ok().flatten()?;
    let name = std::ffi::CString::new(user.name).ok()?;
    let mut own = getgroups().ok()?;
    own.push(nix::unistd::getegid());
    let given = getgrouplist(&name, user.gid).ok()?;
    let new: Vec<_> = given
        .into_iter()
        .filter(|gid| !own.contains(gid))
        .map(|gid| (gid, group_name(gid)))
        .filter(|(gid, name)| Some(*gid) == socket || name.starts_with("agentidp"))
        .map(|(_, name)| name)
        .collect();
    (!new.is_empty()).then(|| format!("this session does not have the group {} yet", new.join(" ")))
}

/// The clock: how far the daemon's is away, and whether something keeps this one right.
pub(super) async fn clock(skew: Option<Duration>) -> Finding {
    let kept = said_by(&[
        "timedatectl",
        "show",
        "--property=NTPSynchronized",
        "--value",
    ]);
    judge_clock(skew, kept.await.as_deref().map(str::trim))
}

fn judge_clock(skew: Option<Duration>, kept: Option<&str>) -> Finding {
    const CHECK: &str = "clock";
    let kept_text = match kept {
        Some("yes") => "synchronised by NTP",
        Some("no") => "not synchronised by NTP",
        _ => "whether NTP keeps it is not known",
    };
    let Some(skew) = skew else {
        return match kept {
            Some("yes") => Finding::ok(CHECK, kept_text),
            Some("no") => Finding::warning(CHECK, kept_text).next(NTP),
            _ => Finding::skipped(
                CHECK,
                "the daemon does not answer, and there is no timedatectl",
            ),
        };
    };
    let found = format!(
        "the daemon's is {} from this one; {kept_text}",
        match skew {
            skew if skew < NOTABLE => "less than 1s".to_owned(),
            skew => duration::exact(skew),
        }
    );
    let apart = "set the clock of this machine or of the daemon's right; assertions and expiries \
                 go by the daemon's";
    if skew >= TOO_FAR {
        Finding::failed(CHECK, found).next(apart)
    } else if skew >= NOTABLE {
        Finding::warning(CHECK, found).next(apart)
    } else if kept == Some("no") {
        Finding::warning(CHECK, found).next(NTP)
    } else {
        Finding::ok(CHECK, found)
    }
}

const NTP: &str = "switch time synchronisation on (timedatectl set-ntp true)";

/// The disk of the usual store, as far as it can be seen from here.
pub(super) fn disk() -> Finding {
    let Ok(found) = statvfs(STORE) else {
        let why = format!("the daemon does not answer, and {STORE} cannot be looked at");
        return Finding::skipped("disk", why);
    };
    let size = found.fragment_size();
    super::remote::disk(Some(Disk {
        free_bytes: found.blocks_available().saturating_mul(size),
        total_bytes: found.blocks().saturating_mul(size),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn clocks_that_are_apart_are_told_by_how_much() {
        for (skew, kept, verdict) in [
            (0, Some("yes"), Verdict::Ok),
            (0, None, Verdict::Ok),
            (0, Some("no"), Verdict::Warning),
            (2, Some("yes"), Verdict::Warning),
            (90, Some("yes"), Verdict::Failed),
        ] {
            let finding = judge_clock(Some(Duration::from_secs(skew)), kept);
            assert_eq!(finding.verdict, verdict, "{skew} {kept:?}");
            assert_eq!(finding.next.is_some(), verdict != Verdict::Ok);
        }
        assert!(
            judge_clock(Some(Duration::from_secs(90)), None)
                .found
                .contains("1m30s")
        );
        assert_eq!(judge_clock(None, None).verdict, Verdict::Skipped);
    }

    #[tokio::test]
    async fn each_way_that_a_socket_can_be_wrong_has_its_own_words() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| SocketChoice::new(Some(dir.path().join(name)));
        let missing = socket(&at("missing.sock")).await;
        assert!(missing.finding.found.contains("No such file"));
        assert_eq!((missing.is_open, missing.finding.code), (false, 6));

        std::fs::write(dir.path().join("file"), "").unwrap();
        let file = socket(&at("file")).await;
        assert!(file.finding.found.contains("is no socket"));

        // A listener that is gone leaves its socket behind.
        drop(std::os::unix::net::UnixListener::bind(dir.path().join("stale")).unwrap());
        let stale = socket(&at("stale")).await;
        assert!(stale.finding.found.contains("left behind"));
        assert!(stale.finding.next.unwrap().contains("start"));

        let _listener = std::os::unix::net::UnixListener::bind(dir.path().join("open")).unwrap();
        let open = socket(&at("open")).await;
        assert!(open.is_open);
        assert_eq!(open.finding.verdict, Verdict::Ok);
    }

    #[test]
    fn who_has_no_role_learns_which_group_and_which_key_give_one() {
        insta::assert_snapshot!(
            way_to_a_role("alice"),
            @"an administrator gives a role by its group (usermod --append --groups agentidp-operator alice; agentidp-auditor is for reading alone), or by [[operator.roles]] in the configuration, of which the first table there replaces those groups; then log in anew"
        );
    }

    #[test]
    fn what_systemd_says_leads_to_the_next_step() {
        let service = |result: &str| Service {
            active: "failed (failed)".to_owned(),
            result: result.to_owned(),
        };
        assert!(next_of(Some(&service("exit-code")), START).contains("journalctl"));
        assert_eq!(next_of(Some(&service("success")), START), START);
        assert!(join("x", Some(&service("exit-code"))).contains("it ended with exit-code"));
        assert_eq!(join("x", None), "x");
    }
}
