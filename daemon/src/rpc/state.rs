//! The daemon's own state over gRPC.

use std::net::SocketAddr;
use std::sync::Arc;

use agentidp_proto::convert::timestamp;
use agentidp_proto::v1;
use agentidp_proto::v1::status_service_server::StatusService;
use agentidp_shared::Timestamp;
use tonic::{Request, Response, Status};

use super::backup::backup;
use super::caller;
use super::peer::Peer;
use super::policy::Operators;
use crate::backup::job::{Backups, Standing};
use crate::service::Service;

/// What the daemon knows of itself from its start.
#[derive(Debug, Clone)]
pub(crate) struct About {
    /// When it started.
    pub(crate) started_at: Timestamp,
    /// Where agents find it.
    pub(crate) http_address: SocketAddr,
}

pub(super) struct Adapter {
    pub(super) service: Arc<Service>,
    pub(super) backups: Arc<Backups>,
    pub(super) operators: Operators,
    pub(super) about: About,
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
        let reason = self.service.not_ready_reason();
        let store = self.service.store().status();
        Ok(Response::new(v1::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            issuer: self.service.settings().issuer.clone(),
            time: Some(timestamp(self.service.now())),
            started_at: Some(timestamp(self.about.started_at)),
            ready: reason.is_none(),
            not_ready_reason: reason.unwrap_or_default(),
            store: Some(v1::status::Store {
                id: store.id.to_string(),
                path: store.path,
                format: store.format,
                entries: store.entries,
                journal_bytes: store.journal_bytes,
                journal_segments: store.journal_segments,
            }),
            caller,
            http_address: self.about.http_address.to_string(),
            signing_key: self.service.keyring().active().kid().to_owned(),
            backups: backups(&self.backups),
        }))
    }
}
