//! Calls about the daemon's store.

use agentidp_proto::v1;
use agentidp_proto::v1::store_service_client::StoreServiceClient;
use tonic::transport::Channel;

use super::{Client, call};
use crate::error::Error;

impl Client {
    fn store_service(&self) -> StoreServiceClient<Channel> {
        StoreServiceClient::new(self.channel.clone())
    }

    /// Has all of the store verified; gives the audit entry's place.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn check_store(&self) -> Result<u64, Error> {
        let request = call(v1::CheckStoreRequest {});
        Ok(self
            .store_service()
            .check(request)
            .await?
            .into_inner()
            .audit_seq)
    }

    /// Has the index compacted; gives the audit entry's place.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn compact_store(&self) -> Result<u64, Error> {
        let request = call(v1::CompactStoreRequest {});
        Ok(self
            .store_service()
            .compact(request)
            .await?
            .into_inner()
            .audit_seq)
    }
}
