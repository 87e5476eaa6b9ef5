//! Work on the store over gRPC.

use std::sync::Arc;

use agentidp_proto::v1;
use agentidp_proto::v1::store_service_server::StoreService;
use agentidp_shared::Action;
use tokio::sync::Notify;
use tonic::{Request, Response, Status};

use super::caller;
use super::error::status;
use crate::service::Service;

/// Where work on the store is asked for. What is asked for while it is being done is done once more.
#[derive(Debug, Clone, Default)]
pub(crate) struct StoreWork {
    /// A check of all of it.
    pub(crate) check: Arc<Notify>,
    /// A compaction of its index.
    pub(crate) compaction: Arc<Notify>,
}

pub(super) struct Adapter {
    pub(super) service: Arc<Service>,
    pub(super) work: StoreWork,
}

#[tonic::async_trait]
impl StoreService for Adapter {
    async fn check(
        &self,
        request: Request<v1::CheckStoreRequest>,
    ) -> Result<Response<v1::CheckStoreResponse>, Status> {
        let caller = caller(&request)?;
        let asked = self.service.ask_for_store_work(&caller, Action::StoreCheck);
        let audit_seq = asked.await.map_err(|error| status(&error))?;
        self.work.check.notify_one();
        Ok(Response::new(v1::CheckStoreResponse { audit_seq }))
    }

    async fn compact(
        &self,
        request: Request<v1::CompactStoreRequest>,
    ) -> Result<Response<v1::CompactStoreResponse>, Status> {
        let caller = caller(&request)?;
        let asked = self
            .service
            .ask_for_store_work(&caller, Action::StoreCompact);
        let audit_seq = asked.await.map_err(|error| status(&error))?;
        self.work.compaction.notify_one();
        Ok(Response::new(v1::CompactStoreResponse { audit_seq }))
    }
}
