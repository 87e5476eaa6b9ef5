//! Calls about the audit log.

use agentidp_proto::v1;
use agentidp_proto::v1::audit_service_client::AuditServiceClient;
use tonic::{Request, Streaming};

use super::{Client, MAX_ANSWER, Transport, call};
use crate::error::Error;

impl Client {
    fn audit_service(&self) -> AuditServiceClient<Transport> {
        AuditServiceClient::with_interceptor(self.channel.clone(), self.guard)
            .max_decoding_message_size(MAX_ANSWER)
    }

    /// Lists audit entries, newest first, from before `before` on.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn audit_page(
        &self,
        limit: u32,
        before: Option<u64>,
        filter: v1::AuditFilter,
    ) -> Result<v1::ListAuditEntriesResponse, Error> {
        let answer = self
            .audit_service()
            .list(call(v1::ListAuditEntriesRequest {
                limit,
                before,
                filter: Some(filter),
            }))
            .await?;
        Ok(answer.into_inner())
    }

    /// Follows the audit log from entry `from` on, or from the next one.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn tail(
        &self,
        from: Option<u64>,
        filter: v1::AuditFilter,
        max_lag: u32,
    ) -> Result<Streaming<v1::TailAuditResponse>, Error> {
        let answer = self
            .audit_service()
            .tail(Request::new(v1::TailAuditRequest {
                from,
                filter: Some(filter),
                max_lag,
            }))
            .await?;
        Ok(answer.into_inner())
    }
}
