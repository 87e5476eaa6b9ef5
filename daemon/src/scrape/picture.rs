//! What is asked for at the moment of a scrape: states, sizes, and what the kernel knows.

use agentidp_shared::{KeyState, ScheduledKey};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::backup::job::Backups;
use crate::clock::ClockStanding;
use crate::metrics::Labels;
use crate::metrics::process::Usage;
use crate::service::Service;
use crate::service::health::{Condition, Health};
use crate::store::Upkeep;

/// A gauge of fractions.
type Fractions = Gauge<f64, std::sync::atomic::AtomicU64>;

/// Puts everything into `registry`, as it is now. What cannot be read is left out: a scrape is
/// wanted most when something is wrong.
pub(super) fn register(service: &Service, found: &Health, registry: &mut Registry) {
    daemon(service, registry);
    clock(service, registry);
    health(found, registry);
    store(service, registry);
    checkpoints(service, registry);
    caches(service, registry);
    secrets(service, registry);
    if let Ok(keys) = service.list_signing_keys() {
        signing_keys(service, &keys, registry);
    }
    match Usage::read() {
        Ok(usage) => process(service, usage, registry),
        Err(error) => tracing::warn!(%error, "the kernel does not tell what this process uses"),
    }
}

fn daemon(service: &Service, registry: &mut Registry) {
    registry.register(
        "agentidp_build",
        "Which program this is",
        Info::new([("version", env!("CARGO_PKG_VERSION"))]),
    );
    registry.register(
        "agentidp_ready",
        "Whether the daemon can serve, as /health/ready says: 1 or 0",
        ConstGauge::new(u64::from(service.not_ready_reason().is_none())),
    );
}

/// How far the machine's clock is from the time that the daemon goes by.
fn clock(service: &Service, registry: &mut Registry) {
    let offset = match service.clock_standing() {
        ClockStanding::Believed => 0.0,
        ClockStanding::Behind(by) => -by.as_secs_f64(),
        ClockStanding::Ahead(by) => by.as_secs_f64(),
    };
    registry.register_with_unit(
        "agentidp_clock_offset",
        "How far the system clock is ahead of the time that the daemon goes by; negative when behind",
        Unit::Seconds,
        ConstGauge::new(offset),
    );
}

fn health(health: &Health, registry: &mut Registry) {
    let states: Family<Labels<2>, Gauge> = Family::default();
    let latencies: Family<Labels<1>, Fractions> = Family::default();
    for part in &health.parts {
        for state in Condition::ALL {
            let labels = [("part", part.name), ("state", state.as_str())];
            let is_it = i64::from(part.state == state);
            states.get_or_create(&labels).set(is_it);
        }
        if let Some(latency) = part.latency {
            let labels = [("part", part.name)];
            latencies.get_or_create(&labels).set(latency.as_secs_f64());
        }
    }
    registry.register(
        "agentidp_part_state",
        "How each part of the daemon is: 1 for the state that it is in, 0 for the others",
        states,
    );
    registry.register_with_unit(
        "agentidp_part_latency",
        "How long a part took to answer, or the last time that it was used",
        Unit::Seconds,
        latencies,
    );
}

fn store(service: &Service, registry: &mut Registry) {
    let status = service.store().status();
    registry.register(
        "agentidp_audit_entries",
        "Entries that the audit log has",
        ConstCounter::new(status.entries),
    );
    registry.register_with_unit(
        "agentidp_store_journal",
        "Size of the journal",
        Unit::Bytes,
        ConstGauge::new(status.journal_bytes),
    );
    registry.register(
        "agentidp_store_journal_segments",
        "Files that the journal is in",
        ConstGauge::new(status.journal_segments),
    );
    upkeep(&status.upkeep, registry);
    registry.register_with_unit(
        "agentidp_store_reserve",
        "Room that is kept for revocations, suspensions and keys",
        Unit::Bytes,
        ConstGauge::new(status.room.reserve),
    );
    registry.register(
        "agentidp_store_low_on_space",
        "Whether less than the reserve is free, so that no token is issued: 1 or 0",
        ConstGauge::new(u64::from(status.room.is_low)),
    );
    registry.register(
        "agentidp_store_troubles",
        "What needs looking at in the store though everything is written and read",
        ConstGauge::new(u64::try_from(status.troubles.len()).unwrap_or(u64::MAX)),
    );
    if let Some(space) = status.room.space {
        registry.register_with_unit(
            "agentidp_store_disk_free",
            "Room on the store's disk that the daemon may still fill",
            Unit::Bytes,
            ConstGauge::new(space.free),
        );
    }
}

fn checkpoints(service: &Service, registry: &mut Registry) {
    let entries: Family<Labels<1>, Gauge> = Family::default();
    let failures: Family<Labels<1>, Counter> = Family::default();
    let set = |place, size: u64| {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        entries.get_or_create(&[("place", place)]).set(size);
    };
    if let Some(signed) = service.checkpoints().borrow().as_ref() {
        set("daemon", signed.size());
    }
    for (place, delivery) in service.deliveries() {
        set(place, delivery.size);
        let counter = failures.get_or_create(&[("place", place)]);
        counter.inc_by(delivery.failures);
    }
    registry.register(
        "agentidp_checkpoint_entries",
        "Entries that the newest checkpoint of the audit log is of, by where it has got to",
        entries,
    );
    registry.register(
        "agentidp_checkpoint_failures",
        "Attempts to get a checkpoint off the machine that failed",
        failures,
    );
}

fn upkeep(upkeep: &Upkeep, registry: &mut Registry) {
    registry.register_with_unit(
        "agentidp_store_index",
        "Size of the index",
        Unit::Bytes,
        ConstGauge::new(upkeep.index_bytes),
    );
    registry.register_with_unit(
        "agentidp_store_index_content",
        "About how many bytes of the index are of use; 0 while that is not known",
        Unit::Bytes,
        ConstGauge::new(upkeep.content_bytes),
    );
    let checked = upkeep.checked.as_ref();
    registry.register(
        "agentidp_store_check_findings",
        "Things that the last check of the whole store found not to be as they should",
        ConstGauge::new(checked.map_or(0, |it| it.findings)),
    );
    registry.register_with_unit(
        "agentidp_store_check_time",
        "When the last check of the whole store began, since 1970-01-01 UTC; 0 before the first",
        Unit::Seconds,
        ConstGauge::new(checked.map_or(0, |it| it.time.as_secs())),
    );
    let (done, of) = upkeep.checking.map_or((0, 0), |step| (step.done, step.of));
    registry.register(
        "agentidp_store_check_stage_done",
        "How much of its present stage a check of the whole store has done",
        ConstGauge::new(done),
    );
    registry.register(
        "agentidp_store_check_stage_of",
        "How much there is to do in that stage; 0 while no check is made",
        ConstGauge::new(of),
    );
}

/// How backups stand; zeros when there are none.
pub(super) fn backups(job: &Backups, registry: &mut Registry) {
    let ((made, failed), standing) = (job.counts(), job.standing());
    let last = standing.last.as_ref();
    registry.register(
        "agentidp_backups_made",
        "Backups that were made and read back",
        ConstCounter::new(made),
    );
    registry.register(
        "agentidp_backups_failed",
        "Backups that could not be made",
        ConstCounter::new(failed),
    );
    registry.register_with_unit(
        "agentidp_backup_last_time",
        "When the newest backup was begun, since 1970-01-01 UTC; 0 when there is none",
        Unit::Seconds,
        ConstGauge::new(last.map_or(0, |it| it.whole.manifest.created_at.as_secs())),
    );
    registry.register_with_unit(
        "agentidp_backup_last_size",
        "Size of the newest backup",
        Unit::Bytes,
        ConstGauge::new(last.map_or(0, |it| it.whole.bytes)),
    );
    let took = last.and_then(|it| it.took);
    registry.register_with_unit(
        "agentidp_backup_last_duration",
        "How long the newest backup took, if it was made since the daemon started",
        Unit::Seconds,
        ConstGauge::new(took.map_or(0.0, |it| it.as_secs_f64())),
    );
}

fn caches(service: &Service, registry: &mut Registry) {
    let store = service.store().metrics();
    let lookups: Family<Labels<2>, Counter> = Family::default();
    for (cache, (hits, misses)) in [
        ("organization", store.organizations.read()),
        ("agent", store.agents.read()),
        ("credential", store.credentials.read()),
        ("secret", service.secrets().lookups().read()),
    ] {
        for (result, count) in [("hit", hits), ("miss", misses)] {
            let labels = [("cache", cache), ("result", result)];
            lookups.get_or_create(&labels).inc_by(count);
        }
    }
    registry.register(
        "agentidp_cache_lookups",
        "Lookups in what is kept in memory, by whether it was there",
        lookups,
    );
}

fn secrets(service: &Service, registry: &mut Registry) {
    let load = service.secrets().load();
    registry.register(
        "agentidp_argon2_permits",
        "How many secrets may be hashed or verified with argon2 at once",
        ConstGauge::new(load.most),
    );
    registry.register(
        "agentidp_argon2_running",
        "How many secrets are being hashed or verified with argon2",
        ConstGauge::new(load.running),
    );
    registry.register(
        "agentidp_argon2_waiting",
        "How many secrets wait to be verified with argon2",
        ConstGauge::new(load.waiting),
    );
    registry.register(
        "agentidp_argon2_refused",
        "Secrets that were turned away because too many waited",
        ConstCounter::new(load.refused),
    );
}

fn signing_keys(service: &Service, keys: &[ScheduledKey], registry: &mut Registry) {
    let states: Family<Labels<1>, Gauge> = Family::default();
    for state in KeyState::ALL {
        drop(states.get_or_create(&[("key_state", state.as_str())]));
    }
    for key in keys {
        states
            .get_or_create(&[("key_state", key.key.state.as_str())])
            .inc();
    }
    registry.register(
        "agentidp_signing_keys",
        "Signing keys in the store, by state",
        states,
    );
    // Without a change to come there is no series: zero would mean that one is due.
    if let Some(next) = keys.iter().filter_map(|key| Some(key.next?.at)).min() {
        let until = next.as_secs().saturating_sub(service.now().as_secs());
        registry.register_with_unit(
            "agentidp_signing_key_next_change",
            "Time until the next key is moved on; negative when that is late",
            Unit::Seconds,
            ConstGauge::new(until),
        );
    }
}

/// The names that Prometheus's own client libraries give these.
fn process(service: &Service, usage: Usage, registry: &mut Registry) {
    registry.register_with_unit(
        "process_cpu",
        "Processor time, of user and system together",
        Unit::Seconds,
        ConstCounter::new(usage.cpu_seconds),
    );
    registry.register_with_unit(
        "process_resident_memory",
        "Memory that is in RAM",
        Unit::Bytes,
        ConstGauge::new(usage.resident_bytes),
    );
    registry.register(
        "process_open_fds",
        "Open files, sockets included",
        ConstGauge::new(usage.open_files),
    );
    registry.register(
        "process_max_fds",
        "How many files may be open",
        ConstGauge::new(usage.most_open_files),
    );
    registry.register_with_unit(
        "process_start_time",
        "When the daemon started, since 1970-01-01 UTC",
        Unit::Seconds,
        ConstGauge::new(service.begun_at().as_secs()),
    );
}
