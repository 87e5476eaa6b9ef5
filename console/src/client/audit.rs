//! Calls about the audit log.

use agentidp_proto::convert::to_domain_timestamp;
use agentidp_proto::v1;
use agentidp_proto::v1::audit_service_client::AuditServiceClient;
use agentidp_shared::Timestamp;
use agentidp_shared::merkle::{Note, TlogProof, VerifierKey};
use serde::Serialize;
use tonic::{Request, Streaming};

use super::guard::Harmless;
use super::{Client, MAX_ANSWER, Transport, call};
use crate::error::Error;

/// A key of the audit log, and what it signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogKeyRange {
    /// Its verifier key (C2SP vkey).
    pub vkey: String,
    /// The size of the log from which on it signs.
    pub from: u64,
    /// Until when; `None` for the present key.
    pub until: Option<Timestamp>,
}

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

    /// What verifies the audit log's checkpoints.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn audit_key(&self) -> Result<VerifierKey, Error> {
        let request = call(v1::GetAuditKeyRequest {});
        let answer = self.audit_service().get_key(request).await?;
        Ok(answer.into_inner().vkey.parse()?)
    }

    /// Every key that the audit log has had, the present one last.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn audit_keys(&self) -> Result<Vec<LogKeyRange>, Error> {
        let request = call(v1::GetAuditKeyRequest {});
        let answer = self.audit_service().get_key(request).await?;
        let range = |it: v1::LogKey| {
            Ok(LogKeyRange {
                vkey: it.vkey.parse::<VerifierKey>()?.to_string(),
                from: it.from,
                until: it.until.map(to_domain_timestamp),
            })
        };
        answer.into_inner().keys.into_iter().map(range).collect()
    }

    /// An entry, and the proof that it is in the audit log: C2SP tlog-proof.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn audit_proof(&self, seq: u64) -> Result<String, Error> {
        let request = call(v1::ProveAuditEntryRequest { seq });
        let answer = self.audit_service().prove(request).await?;
        // What is not a proof is not passed on.
        let proof = TlogProof::from_bytes(answer.into_inner().proof.as_bytes())?;
        Ok(proof.to_string())
    }

    /// The audit log's newest checkpoint: a signed note.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn audit_checkpoint(&self) -> Result<String, Error> {
        let request = call(v1::GetAuditCheckpointRequest {});
        let answer = self.audit_service().get_checkpoint(request).await?;
        let note = Note::from_bytes(answer.into_inner().note.as_bytes())?;
        Ok(note.to_string())
    }

    /// The proof that the log of `to` entries begins with that of `from` (RFC 6962, section 2.1.2): hashes
    /// in base64.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn audit_consistency(&self, from: u64, to: u64) -> Result<Vec<String>, Error> {
        let request = call(v1::ProveAuditConsistencyRequest { from, to: Some(to) });
        let answer = self.audit_service().prove_consistency(request).await?;
        Ok(answer.into_inner().proof)
    }

    /// The audit log as a file to be verified elsewhere, in parts.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn audit_export(
        &self,
        request: v1::ExportAuditRequest,
    ) -> Result<Streaming<v1::ExportAuditResponse>, Error> {
        let answer = self.audit_service().export(Request::new(request)).await?;
        Ok(answer.into_inner())
    }

    /// Removes entries that are kept no longer, or tells what would be removed: how far it is, and at
    /// last what it did.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn audit_prune(
        &self,
        request: v1::PruneAuditRequest,
    ) -> Result<Streaming<v1::PruneAuditResponse>, Error> {
        let is_dry = request.dry_run;
        let mut request = Request::new(request);
        if is_dry {
            request.extensions_mut().insert(Harmless);
        }
        let answer = self.audit_service().prune(request).await?;
        Ok(answer.into_inner())
    }
}
