//! The daemon's own state over gRPC.

use std::net::SocketAddr;
use std::sync::Arc;

use agentidp_proto::convert::timestamp;
use agentidp_proto::v1;
use agentidp_proto::v1::status_service_server::StatusService;
use agentidp_shared::Timestamp;
use tonic::{Request, Response, Status};

use super::caller;
use super::peer::Peer;
use super::policy::Operators;
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
    pub(super) operators: Operators,
    pub(super) about: About,
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
                disk_free_bytes: store.room.space.free,
                disk_total_bytes: store.room.space.total,
                reserve_bytes: store.room.reserve,
                is_low_on_space: store.room.is_low,
            }),
            caller,
            http_address: self.about.http_address.to_string(),
            warnings: self.service.warnings(),
            signing_key: self.service.keyring().active().kid().to_owned(),
        }))
    }
}
