//! Calls about signing keys.

use std::time::Duration;

use agentidp_proto::convert::to_domain_duration;
use agentidp_proto::v1;
use agentidp_proto::v1::signing_key_service_client::SigningKeyServiceClient;
use agentidp_shared::{FieldError, ScheduledKey};

use super::{Changed, Client, Transport, call, changed, records};
use crate::error::Error;

/// The signing keys after a rotation.
#[derive(Debug, Clone)]
pub struct RotatedKeys {
    /// The one that will sign; after an emergency, the one that signs.
    pub key: ScheduledKey,
    /// The ones that were withdrawn in an emergency.
    pub revoked: Vec<ScheduledKey>,
    /// The entry's place in the log.
    pub audit_seq: u64,
    /// For how long caches may still hold the JWKS of before.
    pub jwks_max_age: Duration,
}

impl Client {
    fn signing_key_service(&self) -> SigningKeyServiceClient<Transport> {
        SigningKeyServiceClient::with_interceptor(self.channel.clone(), self.guard)
    }

    /// Lists signing keys, newest first.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn keys(&self) -> Result<Vec<ScheduledKey>, Error> {
        let answer = self
            .signing_key_service()
            .list(call(v1::ListSigningKeysRequest {}))
            .await?
            .into_inner();
        records(answer.keys)
    }

    /// Replaces the key that signs; in an emergency, withdraws the key `kid`, or every published one
    /// when it is empty, at once.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn rotate_keys(
        &self,
        emergency: bool,
        kid: String,
        reason: String,
    ) -> Result<RotatedKeys, Error> {
        let answer = self
            .signing_key_service()
            .rotate(call(v1::RotateSigningKeyRequest {
                reason,
                emergency,
                kid,
            }))
            .await?
            .into_inner();
        let Changed { record, audit_seq } = changed(answer.key, "key", answer.audit_seq)?;
        let max_age = answer
            .jwks_max_age
            .ok_or(FieldError::new("jwks_max_age", "must be present"))?;
        Ok(RotatedKeys {
            key: record,
            revoked: records(answer.revoked)?,
            audit_seq,
            jwks_max_age: to_domain_duration(max_age, "jwks_max_age")?,
        })
    }
}
