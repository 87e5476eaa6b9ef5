//! What a store counts: its writes, and how often its caches had a record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::lookups::Lookups;

/// The upper bounds of how many commits shared a write.
const COMMITS: [f64; 11] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0,
];
/// The upper bounds of how long the disk took, in seconds.
const SECONDS: [f64; 12] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0,
];

/// What is counted of a store.
#[derive(Debug)]
pub(crate) struct StoreMetrics {
    /// Lookups of organizations.
    pub(crate) organizations: Arc<Lookups>,
    /// Lookups of agents.
    pub(crate) agents: Arc<Lookups>,
    /// Lookups of credentials.
    pub(crate) credentials: Arc<Lookups>,
    commits: Histogram,
    syncs: Histogram,
    last: Mutex<Option<(Instant, Duration)>>,
}

/// The last write that the disk confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastWrite {
    /// How long ago it was.
    pub(crate) ago: Duration,
    /// How long the disk took to make it durable.
    pub(crate) took: Duration,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        Self {
            organizations: Arc::default(),
            agents: Arc::default(),
            credentials: Arc::default(),
            commits: Histogram::new(COMMITS),
            syncs: Histogram::new(SECONDS),
            last: Mutex::default(),
        }
    }
}

impl StoreMetrics {
    /// One write made `commits` commits durable; syncing it took `took`.
    pub(crate) fn written(&self, commits: usize, took: Duration) {
        let commits = u32::try_from(commits).unwrap_or(u32::MAX);
        self.commits.observe(commits.into());
        self.syncs.observe(took.as_secs_f64());
        *self.last.lock() = Some((Instant::now(), took));
    }

    /// The last write, if there was one since the store was opened.
    pub(crate) fn last_write(&self) -> Option<LastWrite> {
        let (at, took) = (*self.last.lock())?;
        Some(LastWrite {
            ago: at.elapsed(),
            took,
        })
    }

    /// Puts the families that are counted here into `registry`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "agentidp_store_commits_per_write",
            "How many commits shared one write to the journal",
            self.commits.clone(),
        );
        registry.register_with_unit(
            "agentidp_store_sync_duration",
            "How long the disk took to make a write to the journal durable",
            Unit::Seconds,
            self.syncs.clone(),
        );
    }
}
