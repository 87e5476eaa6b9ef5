//! The call that tells what changes among the records.

use agentidp_proto::v1;
use agentidp_proto::v1::change_service_client::ChangeServiceClient;
use tonic::{Request, Streaming};

use super::Client;
use crate::error::Error;

impl Client {
    /// Follows which records change, after the revision that is known or from now on.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn watch_changes(
        &self,
        after: Option<u64>,
    ) -> Result<Streaming<v1::WatchChangesResponse>, Error> {
        let mut service = ChangeServiceClient::with_interceptor(self.channel.clone(), self.guard);
        let request = Request::new(v1::WatchChangesRequest { after });
        Ok(service.watch(request).await?.into_inner())
    }
}
