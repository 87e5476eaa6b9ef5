//! What the daemon tells of itself, judged.

use std::time::Duration;

use agentidp_shared::{KeyState, ScheduledKey, Timestamp};

use super::{Finding, connect, within};
use crate::cli::status;
use crate::client::{Certificate, DaemonStatus, Disk};
use crate::clock;
use crate::duration;
use crate::error::Error;
use crate::socket::SocketChoice;
use crate::text::{counted, mebibytes};

use super::local::LOGIN;

const MIB: u64 = 1 << 20;
/// How long before its end a certificate is worth a word: two weeks, in which most are renewed.
const RENEWAL: Duration = Duration::from_hours(14 * 24);
/// How late a key may be moved on: the daemon looks every few seconds.
const LATE: Duration = Duration::from_mins(1);
/// How long an answer may take that needs no disk.
const SLOW: Duration = Duration::from_secs(1);

/// What the daemon answered.
pub(super) struct Answers {
    pub(super) status: DaemonStatus,
    pub(super) keys: Result<Vec<ScheduledKey>, Error>,
    /// How far its clock is from this one.
    pub(super) skew: Duration,
    /// How long the first answer took.
    pub(super) took: Duration,
}

/// Asks the daemon; the error is why it does not say who it is, if there is anything to say of it.
pub(super) async fn ask(socket: &SocketChoice) -> Result<Answers, Option<Error>> {
    let client = connect(socket).await?;
    let before = clock::now();
    let status = within(client.status()).await?;
    let after = clock::now();
    let took = after.since(before);
    let keys = within(client.keys()).await;
    Ok(Answers {
        skew: apart(before, status.time, after),
        took,
        status,
        keys,
    })
}

/// How far `theirs` is outside of the time that passed here while it was asked for.
fn apart(before: Timestamp, theirs: Timestamp, after: Timestamp) -> Duration {
    if theirs < before {
        before.since(theirs)
    } else if theirs > after {
        theirs.since(after)
    } else {
        Duration::ZERO
    }
}

/// The daemon that does not say who it is.
pub(super) fn without_answer(error: Option<&Error>) -> Finding {
    const CHECK: &str = "daemon";
    let Some(error) = error else {
        return Finding::skipped(CHECK, "there is no way to it");
    };
    match error.exit_code() {
        4 => Finding::ok(CHECK, "answers, but not this user"),
        code => {
            let finding = Finding::failed(CHECK, error.to_string()).code(code);
            let next = error.hint().unwrap_or("journalctl -u agentidpd -n 20");
            finding.next(next)
        }
    }
}

pub(super) fn permissions(status: &DaemonStatus, new_groups: Option<String>) -> Finding {
    const CHECK: &str = "permissions";
    let caller = &status.caller;
    let login = match caller.login.as_str() {
        "" => String::new(),
        login => format!(", logged in as {login}"),
    };
    let reach = match &caller.organizations {
        None => "",
        Some(_) => ", for some organizations only",
    };
    let found = format!(
        "{} (uid {}{login}), role {}{reach}",
        caller.name, caller.uid, caller.role
    );
    match new_groups {
        Some(new) => Finding::warning(CHECK, format!("{found}; {new}")).next(LOGIN),
        None => Finding::ok(CHECK, found),
    }
}

pub(super) fn daemon(answers: &Answers) -> Finding {
    const CHECK: &str = "daemon";
    let status = &answers.status;
    let up = duration::short(status.time.since(status.started_at));
    let took = answers.took.as_millis();
    let found = format!("{}, up {up}, answers within {took} ms", status.issuer);
    if answers.took > SLOW {
        let next = "the machine is overloaded, most likely: top, and iostat for its disk";
        return Finding::warning(CHECK, found).next(next);
    }
    Finding::ok(CHECK, found)
}

pub(super) fn store(status: &DaemonStatus) -> Finding {
    const CHECK: &str = "store";
    let store = &status.store;
    if !status.ready {
        return Finding::failed(
            CHECK,
            format!("{}: {}", store.path, status.not_ready_reason),
        )
        .next("no token is issued until that is mended; then systemctl restart agentidpd");
    }
    let found = format!(
        "{}, format {}, {}, journal of {} in {}",
        store.path,
        store.format,
        counted(store.entries, "audit entry"),
        mebibytes(store.journal_bytes),
        counted(store.journal_segments, "segment")
    );
    Finding::ok(CHECK, found)
}

pub(super) fn backups(status: &DaemonStatus) -> Finding {
    const CHECK: &str = "backups";
    let found = status::backups(status.backups.as_ref());
    match &status.backups {
        None => Finding::skipped(CHECK, found),
        Some(backups) if !backups.failure.is_empty() => Finding::warning(CHECK, found)
            .next("mend that, then make one at once: agentidpd backup create"),
        Some(_) => Finding::ok(CHECK, found),
    }
}

pub(super) fn keys(answers: &Answers) -> Finding {
    const CHECK: &str = "keys";
    match &answers.keys {
        Ok(keys) => judge_keys(keys, answers.status.time),
        Err(error) => Finding::failed(CHECK, error.to_string()).code(error.exit_code()),
    }
}

fn judge_keys(keys: &[ScheduledKey], now: Timestamp) -> Finding {
    const CHECK: &str = "keys";
    let active = keys.iter().find(|it| it.key.state == KeyState::Active);
    let Some(active) = active else {
        return Finding::failed(CHECK, "no key signs")
            .next("journalctl -u agentidpd -n 20 -o cat says why");
    };
    let is_late = |it: &&ScheduledKey| it.next.is_some_and(|next| now.since(next.at) > LATE);
    if let Some(late) = keys.iter().find(is_late) {
        let found = format!("{} should have been moved on", late.key.kid);
        return Finding::warning(CHECK, found)
            .next("journalctl -u agentidpd -o cat --since today says why it was not");
    }
    let age = duration::short(now.since(active.key.created_at));
    let published = keys.iter().filter(|it| it.key.state.is_published()).count();
    let key = &active.key;
    Finding::ok(
        CHECK,
        format!(
            "{} signs ({}, {age} old), {published} in the JWKS",
            key.kid, key.algorithm
        ),
    )
}

pub(super) fn disk(disk: Option<Disk>) -> Finding {
    const CHECK: &str = "disk";
    let Some(Disk {
        free_bytes,
        total_bytes,
    }) = disk
    else {
        return Finding::skipped(CHECK, "the store's disk does not tell its room");
    };
    let part = total_bytes.max(1) / 100;
    let found = format!(
        "{} free of {}, {} %",
        mebibytes(free_bytes),
        mebibytes(total_bytes),
        free_bytes / part.max(1)
    );
    let next = "make room, or let the store have another disk: when it is full, no token is issued";
    if free_bytes < 64 * MIB || free_bytes < part {
        Finding::failed(CHECK, found).next(next)
    } else if free_bytes < 1_024 * MIB || free_bytes < part * 5 {
        Finding::warning(CHECK, found).next(next)
    } else {
        Finding::ok(CHECK, found)
    }
}

pub(super) fn certificate(status: &DaemonStatus) -> Finding {
    let found = validity(status.certificate, status.time);
    // What was put there lately is not what holds.
    let mut warnings = status.warnings.iter();
    match warnings.find_map(|it| it.strip_prefix("certificate: ")) {
        Some(warning) => Finding::failed(found.check, warning.to_owned()),
        None => found,
    }
}

fn validity(certificate: Option<Certificate>, now: Timestamp) -> Finding {
    const CHECK: &str = "certificate";
    let Some(Certificate {
        not_before,
        not_after,
    }) = certificate
    else {
        let why = "the daemon has none of its own: TLS is a proxy's, look there";
        return Finding::skipped(CHECK, why);
    };
    let next = "put a renewed one in its place; the daemon takes it within five seconds";
    if now > not_after {
        return Finding::failed(CHECK, format!("expired at {not_after}")).next(next);
    }
    if now < not_before {
        return Finding::failed(CHECK, format!("holds only from {not_before} on")).next(next);
    }
    let left = not_after.since(now);
    let found = format!(
        "holds for {} more, until {not_after}",
        duration::short(left)
    );
    if left < RENEWAL {
        Finding::warning(CHECK, found).next(next)
    } else {
        Finding::ok(CHECK, found)
    }
}

pub(super) fn versions(daemon: &str) -> Finding {
    const CHECK: &str = "versions";
    let own = env!("CARGO_PKG_VERSION");
    if own == daemon {
        return Finding::ok(CHECK, format!("agentidp and agentidpd {own}"));
    }
    Finding::warning(CHECK, format!("agentidp {own}, agentidpd {daemon}"))
        .next("install both of one version, and restart the daemon after an upgrade")
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_clock_is_right_when_it_is_between_asking_and_being_answered() {
        let apart = |theirs| apart(at(10_000), at(theirs), at(12_000)).as_millis();
        assert_eq!(apart(10_000), 0);
        assert_eq!(apart(11_500), 0);
        assert_eq!(apart(7_000), 3_000);
        assert_eq!(apart(15_000), 3_000);
    }

    #[test]
    fn a_disk_is_judged_by_bytes_and_by_its_share() {
        let verdict = |free: u64, total: u64| {
            let disk = Disk {
                free_bytes: free * MIB,
                total_bytes: total * MIB,
            };
            super::disk(Some(disk)).verdict
        };
        assert_eq!(verdict(50_000, 100_000), Verdict::Ok);
        assert_eq!(verdict(4_000, 100_000), Verdict::Warning);
        assert_eq!(verdict(900, 1_000), Verdict::Warning);
        assert_eq!(verdict(900, 100_000), Verdict::Failed);
        assert_eq!(verdict(10, 20), Verdict::Failed);
        assert_eq!(super::disk(None).verdict, Verdict::Skipped);
    }

    #[test]
    fn a_certificate_is_worth_a_word_two_weeks_before_its_end() {
        const DAY: i64 = 86_400_000;
        let verdict = |now| {
            let certificate = Certificate {
                not_before: at(DAY),
                not_after: at(90 * DAY),
            };
            validity(Some(certificate), at(now)).verdict
        };
        assert_eq!(verdict(0), Verdict::Failed);
        assert_eq!(verdict(DAY), Verdict::Ok);
        assert_eq!(verdict(80 * DAY), Verdict::Warning);
        assert_eq!(verdict(91 * DAY), Verdict::Failed);
        assert_eq!(validity(None, at(0)).verdict, Verdict::Skipped);
    }

    #[test]
    fn other_versions_are_named() {
        assert_eq!(versions(env!("CARGO_PKG_VERSION")).verdict, Verdict::Ok);
        let other = versions("99.0.0");
        assert_eq!(other.verdict, Verdict::Warning);
        assert!(other.found.contains("99.0.0"));
    }
}
