//! How each part of the daemon is. `/health/ready` is one word of this; here is the rest.
//!
//! What is said here may be read by an organization's own automation, so it names no path, no
//! record and no cause that only an operator can act on: those are in the daemon's log.

use std::time::{Duration, Instant};

use agentidp_shared::count::counted;
use agentidp_shared::{KeySchedule, KeyState, SigningKey, Timestamp};
use serde::{Serialize, Serializer};

use super::Service;
use crate::clock::{BEHIND_UNSAID, ClockStanding};
use crate::crypto::secret::Load;
use crate::metrics::store::LastWrite;
use crate::store::{CheckStatus, Room, ServerSecretName, Space, Store};

/// How long the disk may take over a write before the store counts as degraded.
const SLOW_WRITE: Duration = Duration::from_secs(1);
/// How long reading a record may take before the index counts as degraded.
const SLOW_READ: Duration = Duration::from_millis(250);
/// How late a key may be moved on: what is due is looked at every few seconds.
const LATE_KEY: Duration = Duration::from_mins(1);
/// How far the clock may stray from time as it passes. Slewing stays far below it.
const CLOCK_JUMP: i64 = 5_000;
/// The room on the disk below which it counts as degraded: some days of tokens for a small server,
/// and an hour in which to act for a busy one.
const LITTLE_SPACE: u64 = 1 << 30;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Condition {
    /// As it should be.
    Healthy,
    /// It works, and needs looking at.
    Degraded,
    /// It does not work.
    Unreachable,
}

impl Condition {
    /// Every value, in order.
    pub(crate) const ALL: [Self; 3] = [Self::Healthy, Self::Degraded, Self::Unreachable];

    /// The word for it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unreachable => "unreachable",
        }
    }
}

/// One part of the daemon.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Part {
    /// Its name.
    pub(crate) name: &'static str,
    /// How it is.
    pub(crate) state: Condition,
    /// How long it took to answer; of the store, how long its last write took. Absent where there was none, and
    /// where nothing could be asked. In milliseconds when written.
    #[serde(
        rename = "latency_ms",
        serialize_with = "milliseconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) latency: Option<Duration>,
    /// What was found, in one sentence without a full stop.
    pub(crate) detail: String,
}

/// The daemon, part by part.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Health {
    /// The worst of its parts.
    pub(crate) state: Condition,
    /// Its parts, always the same, in the same order.
    pub(crate) parts: Vec<Part>,
}

#[expect(
    clippy::ref_option,
    reason = "the serializer hands in a reference to the field"
)]
fn milliseconds<S: Serializer>(
    latency: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_some(&latency.map(|latency| latency.as_secs_f64() * 1_000.0))
}

impl Part {
    fn new(name: &'static str, state: Condition, detail: impl Into<String>) -> Self {
        Self {
            name,
            state,
            latency: None,
            detail: detail.into(),
        }
    }

    fn took(mut self, latency: Duration) -> Self {
        self.latency = Some(latency);
        self
    }
}

/// A part as `look` finds it, with how long it took to answer.
fn timed(look: impl FnOnce() -> Part) -> Part {
    let begun = Instant::now();
    let part = look();
    part.took(begun.elapsed())
}

/// What the log says more of.
const SEE_THE_LOG: &str = "the daemon's log says why";
/// The names of the parts that are read from the disk.
const INDEX: &str = "index";
const KEYS: &str = "signing_keys";
const DISK: &str = "disk";
const CHECKPOINTS: &str = "checkpoints";

impl Service {
    /// Looks at every part of the daemon.
    pub(crate) async fn health(&self) -> Health {
        let now = self.now();
        let signing = self.keyring().active().kid().to_owned();
        let schedule = self.settings.key_schedule();
        let from_disk = self
            .read(move |store| {
                Ok([
                    index(store),
                    timed(|| signing_keys(store, schedule, &signing, now)),
                    timed(|| disk(store.status().room)),
                ])
            })
            .await;
        let unread = |name| Part::new(name, Condition::Unreachable, SEE_THE_LOG);
        let from_disk = from_disk.unwrap_or_else(|_error| [INDEX, KEYS, DISK].map(unread));
        let status = self.store.status();
        let written = write_path(
            status.failure.is_none(),
            status.troubles.len(),
            self.store.metrics().last_write(),
        );
        let mut parts = vec![checked(written, status.upkeep.checked.as_ref())];
        parts.extend(from_disk);
        parts.push(timed(|| {
            let by_clock = self.clock.clock().now();
            standing(self.clock_standing())
                .unwrap_or_else(|| clock(self.begun, (by_clock, Instant::now())))
        }));
        parts.push(timed(|| secrets(self.secrets.load())));
        parts.push(timed(|| self.checkpoints_part()));
        parts.push(timed(|| {
            certificate(self.certificate_failure.lock().is_some())
        }));
        Health {
            state: parts
                .iter()
                .map(|part| part.state)
                .max()
                .unwrap_or(Condition::Unreachable),
            parts,
        }
    }
}

impl Service {
    /// Whether the audit log's checkpoints are signed, and get off the machine.
    fn checkpoints_part(&self) -> Part {
        let signed = self
            .checkpoints()
            .borrow()
            .as_ref()
            .map_or(0, |it| it.size());
        let stuck = self.deliveries().values().any(|it| it.failure.is_some());
        let (state, detail) = if self.store.status().head_failure.is_some() {
            let detail = format!("the head file cannot be written: {SEE_THE_LOG}");
            (Condition::Degraded, detail)
        } else if stuck {
            let detail = format!("checkpoints do not get off the machine: {SEE_THE_LOG}");
            (Condition::Degraded, detail)
        } else {
            (
                Condition::Healthy,
                format!("the newest is of {}", counted(signed, "entry")),
            )
        };
        Part::new(CHECKPOINTS, state, detail)
    }
}

/// Whether the certificate in use is the one that was put there last.
fn certificate(has_failed: bool) -> Part {
    const NAME: &str = "certificate";
    if has_failed {
        let detail = format!("the new one cannot be used, and the old one stays: {SEE_THE_LOG}");
        return Part::new(NAME, Condition::Degraded, detail);
    }
    Part::new(NAME, Condition::Healthy, "none waits to be used")
}

fn write_path(can_write: bool, troubles: usize, last: Option<LastWrite>) -> Part {
    const NAME: &str = "store";
    if !can_write {
        let detail = format!("nothing can be written: {SEE_THE_LOG}");
        return Part::new(NAME, Condition::Unreachable, detail);
    }
    if troubles > 0 {
        let detail = format!(
            "what is written is durable, and {troubles} of its parts need looking at: {SEE_THE_LOG}"
        );
        return Part::new(NAME, Condition::Degraded, detail);
    }
    let Some(LastWrite { ago, took }) = last else {
        return Part::new(NAME, Condition::Healthy, "nothing was written yet");
    };
    let state = if took > SLOW_WRITE {
        Condition::Degraded
    } else {
        Condition::Healthy
    };
    let detail = format!("the last write was {} s ago", ago.as_secs());
    Part::new(NAME, state, detail).took(took)
}

/// The part that the store is, with what the last check of it found.
fn checked(part: Part, last: Option<&CheckStatus>) -> Part {
    let Some(last) = last.filter(|last| last.findings > 0) else {
        return part;
    };
    let detail = format!(
        "the last check found {} things that are not as they should be: {SEE_THE_LOG}",
        last.findings
    );
    Part {
        state: part.state.max(Condition::Degraded),
        detail,
        ..part
    }
}

/// Reads a record that every store has, past all caches.
fn index(store: &dyn Store) -> Part {
    let begun = Instant::now();
    let found = store.server_secret(ServerSecretName::SecretCheck);
    let took = begun.elapsed();
    match found {
        Ok(Some(_)) if took <= SLOW_READ => {
            Part::new(INDEX, Condition::Healthy, "a record was read").took(took)
        }
        Ok(Some(_)) => Part::new(INDEX, Condition::Degraded, "reading a record is slow").took(took),
        Ok(None) | Err(_) => {
            let detail = format!("a record could not be read: {SEE_THE_LOG}");
            Part::new(INDEX, Condition::Unreachable, detail).took(took)
        }
    }
}

fn signing_keys(store: &dyn Store, schedule: KeySchedule, signing: &str, now: Timestamp) -> Part {
    let Ok(stored) = store.signing_keys() else {
        let detail = format!("the keys could not be read: {SEE_THE_LOG}");
        return Part::new(KEYS, Condition::Unreachable, detail);
    };
    let keys: Vec<SigningKey> = stored.iter().map(|it| it.record.key.clone()).collect();
    let is_active = keys
        .iter()
        .any(|key| key.state == KeyState::Active && key.kid == signing);
    let next = |key| schedule.scheduled(key, &keys, now).next;
    let is_late = keys
        .iter()
        .filter_map(next)
        .any(|next| next.at.plus(LATE_KEY) < now);
    let (state, detail) = match (is_active, is_late) {
        (false, _) => (
            Condition::Degraded,
            "the key that signs is not the store's active one",
        ),
        (true, true) => (Condition::Degraded, "a key should have been moved on"),
        (true, false) => (Condition::Healthy, "a key signs, and none is late"),
    };
    Part::new(KEYS, state, detail)
}

fn disk(room: Room) -> Part {
    let Some(Space { free, total }) = room.space else {
        let detail = "the store's disk does not say how much room it has";
        return Part::new(DISK, Condition::Unreachable, detail);
    };
    if room.is_low {
        let detail = format!(
            "low on space: {} MiB are free, and {} MiB are kept: no token is issued and nothing registered until there is more room; revocations and suspensions work",
            free >> 20,
            room.reserve >> 20
        );
        return Part::new(DISK, Condition::Degraded, detail);
    }
    let percent = free.saturating_mul(100).checked_div(total).unwrap_or(0);
    let state = if free < LITTLE_SPACE.max(room.reserve.saturating_mul(2)) {
        Condition::Degraded
    } else {
        Condition::Healthy
    };
    let detail = format!("{} MiB are free, {percent} %", free >> 20);
    Part::new(DISK, state, detail)
}

/// The clock, when it is not what the daemon goes by.
fn standing(standing: ClockStanding) -> Option<Part> {
    let (state, detail) = match standing {
        ClockStanding::Ahead(by) => (
            Condition::Unreachable,
            format!(
                "it is {} days ahead of the audit log, which is not believed: no token is issued until it is put right",
                by.as_secs() / 86_400
            ),
        ),
        ClockStanding::Behind(by) if by > BEHIND_UNSAID => (
            Condition::Degraded,
            format!(
                "it is {} s behind the audit log: time goes on at half speed until it has caught up",
                by.as_secs()
            ),
        ),
        ClockStanding::Behind(_) | ClockStanding::Believed => return None,
    };
    Some(Part::new("clock", state, detail))
}

/// How far the clock has strayed, since `begun`, from time as it passes.
fn clock(begun: (Timestamp, Instant), now: (Timestamp, Instant)) -> Part {
    const NAME: &str = "clock";
    let passed = now.1.saturating_duration_since(begun.1);
    let expected = begun.0.plus(passed);
    let strayed = now.0.as_millis().saturating_sub(expected.as_millis());
    let seconds = strayed / 1_000;
    if strayed.abs() <= CLOCK_JUMP {
        return Part::new(NAME, Condition::Healthy, "it has not jumped");
    }
    let direction = if strayed < 0 { "back" } else { "ahead" };
    let detail = format!(
        "it has jumped {} s {direction} since the daemon started: see that it is right, then restart the daemon",
        seconds.abs()
    );
    Part::new(NAME, Condition::Degraded, detail)
}

fn secrets(load: Load) -> Part {
    let state = if load.waiting >= load.most_waiting {
        Condition::Unreachable
    } else if load.waiting > load.most_waiting / 2 {
        Condition::Degraded
    } else {
        Condition::Healthy
    };
    let detail = format!("{} of at most {} wait", load.waiting, load.most_waiting);
    Part::new("secret_verification", state, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(waiting: usize) -> Load {
        Load {
            most: 1,
            running: 1,
            most_waiting: 64,
            waiting,
            refused: 0,
        }
    }

    #[test]
    fn a_store_that_cannot_write_is_unreachable_and_a_slow_one_degraded() {
        let write_path = |can_write, last| write_path(can_write, 0, last);
        let last = |millis| {
            Some(LastWrite {
                ago: Duration::from_secs(3),
                took: Duration::from_millis(millis),
            })
        };
        assert_eq!(
            write_path(false, last(1)).state,
            Condition::Unreachable,
            "also when it wrote before"
        );
        assert_eq!(write_path(true, last(1_001)).state, Condition::Degraded);
        assert_eq!(write_path(true, None).state, Condition::Healthy);
        let part = write_path(true, last(2));
        assert_eq!(
            serde_json::to_value(part).unwrap(),
            serde_json::json!({
                "name": "store", "state": "healthy", "latency_ms": 2.0,
                "detail": "the last write was 3 s ago",
            })
        );
    }

    #[test]
    fn what_the_last_check_found_shows() {
        let last = |findings| CheckStatus {
            time: Timestamp::from_millis(1),
            entries: 7,
            findings,
            first: None,
        };
        let part = |findings| checked(write_path(true, 0, None), Some(&last(findings)));
        assert_eq!(part(0).state, Condition::Healthy);
        assert_eq!(part(2).state, Condition::Degraded);
        assert!(part(2).detail.contains("found 2 things"));
        let unreachable = checked(write_path(false, 0, None), Some(&last(2)));
        assert_eq!(unreachable.state, Condition::Unreachable);
    }

    #[test]
    fn a_jump_of_the_clock_shows_until_the_daemon_is_started_again() {
        let (begun, instant) = (Timestamp::from_millis(1_000_000), Instant::now());
        let later = instant + Duration::from_mins(1);
        let at = |millis: i64| {
            clock(
                (begun, instant),
                (Timestamp::from_millis(1_000_000 + millis), later),
            )
        };
        assert_eq!(at(60_000).state, Condition::Healthy);
        assert_eq!(at(64_000).state, Condition::Healthy);
        assert_eq!(at(0).state, Condition::Degraded);
        assert!(at(0).detail.contains("60 s back"), "{}", at(0).detail);
        assert!(at(3_660_000).detail.contains("3600 s ahead"));
    }

    #[test]
    fn little_room_on_the_disk_shows_before_it_is_full() {
        let space = |free| {
            disk(Room {
                space: Some(Space {
                    free,
                    total: 100 << 30,
                }),
                reserve: 1 << 26,
                is_low: free < 1 << 26,
            })
        };
        assert_eq!(space(50 << 30).state, Condition::Healthy);
        assert_eq!(space(1 << 29).state, Condition::Degraded);
        let low = space(1 << 25);
        assert_eq!(low.state, Condition::Degraded);
        assert!(
            low.detail.starts_with("low on space: 32 MiB"),
            "{}",
            low.detail
        );
    }

    #[test]
    fn a_queue_for_argon2_shows_before_it_is_full() {
        assert_eq!(secrets(load(0)).state, Condition::Healthy);
        assert_eq!(secrets(load(33)).state, Condition::Degraded);
        assert_eq!(secrets(load(64)).state, Condition::Unreachable);
    }
}
