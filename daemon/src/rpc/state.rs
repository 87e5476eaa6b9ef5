//! The daemon's own state over gRPC.

use std::net::SocketAddr;
use std::sync::Arc;

use agentidp_proto::convert::{duration, timestamp};
use agentidp_proto::v1;
use agentidp_proto::v1::status_service_server::StatusService;
use agentidp_shared::Timestamp;
use tonic::{Request, Response, Status};

use super::backup::backup;
use super::caller;
use super::error::status;
use super::peer::Peer;
use super::policy::Operators;
use super::presence::{Connections, Seen};
use crate::backup::job::{Backups, Standing};
use crate::metrics::minute::Rates;
use crate::service::{Reach, Service};
use crate::store::Step;

/// What the daemon knows of itself from its start.
#[derive(Debug, Clone)]
pub(crate) struct About {
    /// When it started.
    pub(crate) started_at: Timestamp,
    /// Where agents find it.
    pub(crate) http_address: SocketAddr,
    /// What it proves itself to them with, if it speaks TLS itself.
    pub(crate) certificate: Option<Arc<dyn Certified>>,
}

/// Something that has a certificate.
pub(crate) trait Certified: std::fmt::Debug + Send + Sync {
    /// From when on and until when it holds, in seconds since 1970; `None` when that cannot be read.
    fn validity(&self) -> Option<(i64, i64)>;
}

impl About {
    fn certificate(&self) -> Option<v1::status::Certificate> {
        let (not_before, not_after) = self.certificate.as_ref()?.validity()?;
        let time = |secs: i64| timestamp(Timestamp::from_millis(secs.saturating_mul(1_000)));
        Some(v1::status::Certificate {
            not_before: Some(time(not_before)),
            not_after: Some(time(not_after)),
        })
    }
}

pub(super) struct Adapter {
    pub(super) service: Arc<Service>,
    pub(super) backups: Arc<Backups>,
    pub(super) operators: Operators,
    pub(super) connections: Connections,
    pub(super) about: About,
}

impl Adapter {
    fn checkpoints(&self, failure: Option<String>) -> v1::status::Checkpoints {
        let newest = self.service.checkpoints();
        let entries = newest.borrow().as_ref().map_or(0, |signed| signed.size());
        let deliveries =
            self.service
                .deliveries()
                .into_iter()
                .map(|(place, it)| v1::status::Delivery {
                    place: place.to_owned(),
                    entries: it.size,
                    failure: it.failure.unwrap_or_default(),
                });
        v1::status::Checkpoints {
            entries,
            failure: failure.unwrap_or_default(),
            deliveries: deliveries.collect(),
        }
    }
}

fn connection(it: &Seen) -> v1::status::Connection {
    v1::status::Connection {
        uid: it.peer.uid,
        name: it.peer.name.clone().unwrap_or_default(),
        login: it.peer.login.clone().unwrap_or_default(),
        role: it.standing.role.to_string(),
        since: Some(timestamp(it.since)),
        read_only: it.peer.calls.are_read_only(),
        own: it.is_own,
    }
}

fn work(step: Step) -> v1::status::Work {
    v1::status::Work {
        stage: step.stage.to_owned(),
        done: step.done,
        of: step.of,
    }
}

fn rates(rates: Rates) -> v1::TokenRates {
    v1::TokenRates {
        issued: rates.issued,
        denied: rates.denied,
        p99: rates.p99.and_then(|it| it.try_into().ok()),
    }
}

/// What the log keeps, and how the last look for the rest went.
fn retention(service: &Service) -> v1::status::Retention {
    let (kept, last) = service.retention();
    let mut told = v1::status::Retention {
        keep_for: kept.keep_for.map(duration),
        keep_bytes: kept.keep_bytes.unwrap_or_default(),
        ..v1::status::Retention::default()
    };
    let Some(last) = last else { return told };
    let progress = last.progress;
    told.ran_at = Some(timestamp(last.time));
    told.held = progress.held;
    told.failure = last.failure.unwrap_or_default();
    match last.waits {
        None => told.entries = progress.entries,
        Some(waits) => {
            told.overdue = progress.times.map(|(oldest, _)| timestamp(oldest));
            told.waits = waits.why;
            told.waits_until = Some(timestamp(waits.until));
        }
    }
    told
}

/// How backups stand, if there are to be any.
fn backups(job: &Backups) -> Option<v1::status::Backups> {
    let settings = job.settings()?;
    let Standing {
        last,
        next,
        running,
        failure,
    } = job.standing();
    let (failed_at, failure) = failure.unzip();
    Some(v1::status::Backups {
        folder: settings.folder.display().to_string(),
        last: last.as_ref().map(backup),
        next: next.map(timestamp),
        running: running.map(|it| v1::create_backup_response::Progress {
            section: it.section,
            bytes: it.bytes,
        }),
        failed_at: failed_at.map(timestamp),
        failure: failure.unwrap_or_default(),
    })
}

#[tonic::async_trait]
impl StatusService for Adapter {
    async fn count(
        &self,
        request: Request<v1::CountRequest>,
    ) -> Result<Response<v1::Counts>, Status> {
        let caller = caller(&request)?;
        let counts = self.service.count_agents(&caller).await;
        let (agents, expiring) = counts.map_err(|error| status(&error))?;
        let agents = agents
            .into_iter()
            .map(|(it, count)| (it.to_string(), count));
        // Whoever is limited to organizations is told nothing of what others do.
        let reaches_all = caller.reach == Reach::Installation;
        let tokens = reaches_all.then(|| rates(self.service.metrics().tokens.rates()));
        Ok(Response::new(v1::Counts {
            agents: agents.collect(),
            expiring,
            tokens,
        }))
    }

    async fn get(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::Status>, Status> {
        let reached = caller(&request)?.reach.narrowed(None);
        let peer = request.extensions().get::<Arc<Peer>>();
        let standing = peer.and_then(|peer| self.operators.standing_of(peer));
        let caller = peer.map(|peer| v1::status::Caller {
            uid: peer.uid,
            name: peer.name.clone().unwrap_or_default(),
            login: peer.login.clone().unwrap_or_default(),
            role: standing
                .map(|standing| standing.role.to_string())
                .unwrap_or_default(),
            is_limited: reached.is_some(),
            organizations: reached.iter().flatten().map(ToString::to_string).collect(),
        });
        let connections = peer.map(|peer| self.connections.seen_by(&self.operators, peer));
        let reason = self.service.not_ready_reason();
        let store = self.service.store().status();
        let space = store.room.space;
        Ok(Response::new(v1::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            issuer: self.service.settings().issuer.clone(),
            time: Some(timestamp(self.service.now())),
            started_at: Some(timestamp(self.about.started_at)),
            ready: reason.is_none(),
            not_ready_reason: reason.unwrap_or_default(),
            retention: Some(retention(&self.service)),
            store: Some(v1::status::Store {
                id: store.id.to_string(),
                path: store.path,
                format: store.format,
                entries: store.entries,
                journal_bytes: store.journal_bytes,
                journal_segments: store.journal_segments,
                index_bytes: store.upkeep.index_bytes,
                index_content_bytes: store.upkeep.content_bytes,
                was_unclean: store.upkeep.was_unclean,
                checking: store.upkeep.checking.map(work),
                checked: store.upkeep.checked.map(|it| v1::status::Check {
                    time: Some(timestamp(it.time)),
                    entries: it.entries,
                    findings: it.findings,
                    first: it.first.unwrap_or_default(),
                }),
                compacting: store.upkeep.compacting.map(work),
                disk_free_bytes: space.unwrap_or_default().free,
                disk_total_bytes: space.unwrap_or_default().total,
                reserve_bytes: store.room.reserve,
                is_low_on_space: store.room.is_low,
            }),
            caller,
            http_address: self.about.http_address.to_string(),
            certificate: self.about.certificate(),
            disk: space.map(|it| v1::status::Disk {
                free_bytes: it.free,
                total_bytes: it.total,
            }),
            warnings: self.service.warnings(),
            signing_key: self.service.keyring().active().kid().to_owned(),
            checkpoints: Some(self.checkpoints(store.head_failure)),
            backups: backups(&self.backups),
            connections: connections.iter().flatten().map(connection).collect(),
        }))
    }
}
