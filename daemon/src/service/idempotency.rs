//! Requests that may be repeated and are done once.
//!
//! A caller names such a request by a key. What it came to is kept for 24 hours in the same commit,
//! so that a repetition is answered with what the first one made, also after a crash.

use std::time::Duration;

use agentidp_shared::{AgentId, ClientSecret, Code, CredentialId, OrganizationId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Caller, Service, ServiceError};
use crate::crypto::sha256;
use crate::store::{Commit, Sealed, Temporary, TemporaryKey, form};

/// How long a key is remembered.
const KEPT: Duration = Duration::from_hours(24);
/// How long a secret can be asked for again.
const SECRET_KEPT: Duration = Duration::from_mins(1);

/// The key of a request, and the request itself, as digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdempotencyKey {
    /// SHA-256 of who asks and the key that they chose.
    key: [u8; 32],
    /// SHA-256 of what they ask for.
    request: [u8; 32],
}

impl IdempotencyKey {
    /// The key `chosen` by `caller` for the request whose parts are `request`.
    pub(crate) fn new(caller: &str, chosen: &str, request: &[&[u8]]) -> Self {
        Self {
            key: hash(&[caller.as_bytes(), chosen.as_bytes()]),
            request: hash(request),
        }
    }
}

impl IdempotencyKey {
    /// The key for a request that is `message` besides. What was asked under the same name and says
    /// something else is another request.
    pub(crate) fn with(self, message: &[u8]) -> Self {
        Self {
            key: hash(&[&self.key, message]),
            ..self
        }
    }
}

/// SHA-256 of parts, each after its length.
pub(super) fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    sha256(&bytes)
}

/// What a request made or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Made {
    /// An organization.
    Organization(OrganizationId),
    /// An agent.
    Agent(AgentId),
    /// A credential.
    Credential {
        /// It.
        id: CredentialId,
        /// The one that it replaces.
        retiring: Option<CredentialId>,
        /// Its secret, sealed, and until when it is given out again.
        secret: Option<(Sealed, Timestamp)>,
    },
    /// Agents, in the order in which they were asked for.
    Agents(Vec<AgentId>),
    /// Signing keys, by their names.
    Keys {
        /// The key that will sign; after an emergency, the one that signs.
        kid: String,
        /// Those that were withdrawn.
        revoked: Vec<String>,
        /// The one whose entry says so.
        said_of: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Reply {
    request: [u8; 32],
    made: Made,
}

fn purpose(id: CredentialId) -> String {
    format!("reply {id}")
}

impl Service {
    /// What the request came to when it was made before.
    ///
    /// # Errors
    ///
    /// `IDEMPOTENCY_CONFLICT` when the key was used for another request.
    pub(super) fn made_before(&self, caller: &Caller) -> Result<Option<Made>, ServiceError> {
        let Some(idempotency) = &caller.idempotency else {
            return Ok(None);
        };
        let key = TemporaryKey::Idempotency(idempotency.key);
        let Some(kept) = self.store.temporary(&key, self.now())? else {
            return Ok(None);
        };
        let reply: Reply = form::decode(&kept.body)
            .map_err(|error| ServiceError::new(Code::Internal, error.to_string()))?;
        if reply.request != idempotency.request {
            return Err(ServiceError::new(
                Code::IdempotencyConflict,
                "the idempotency key was used for another request within 24 h: choose a new one",
            ));
        }
        Ok(Some(reply.made))
    }

    /// The commit of a request, which also remembers what the request makes.
    pub(super) fn remembering(
        &self,
        caller: &Caller,
        commit: Commit,
        made: Made,
    ) -> Result<Commit, ServiceError> {
        let Some(idempotency) = &caller.idempotency else {
            return Ok(commit);
        };
        let reply = Reply {
            request: idempotency.request,
            made,
        };
        let body = form::encode(&reply)
            .map_err(|error| ServiceError::new(Code::Internal, error.to_string()))?;
        Ok(commit.keep(Temporary {
            key: TemporaryKey::Idempotency(idempotency.key),
            expires_at: self.now().plus(KEPT),
            body,
        }))
    }

    /// The secret of a credential that is made, to be remembered for a minute when the request can be
    /// repeated.
    pub(super) fn remembered_secret(
        &self,
        caller: &Caller,
        id: CredentialId,
        secret: &ClientSecret,
    ) -> Result<Option<(Sealed, Timestamp)>, ServiceError> {
        if caller.idempotency.is_none() {
            return Ok(None);
        }
        let bytes = secret.expose().as_bytes();
        let sealed = self
            .reply_sealer
            .seal(&purpose(id), bytes, self.random.as_ref())?;
        Ok(Some((sealed, self.now().plus(SECRET_KEPT))))
    }

    /// The secret that was remembered.
    ///
    /// # Errors
    ///
    /// `IDEMPOTENCY_CONFLICT` when its minute is over.
    pub(super) fn secret_again(
        &self,
        id: CredentialId,
        remembered: Option<&(Sealed, Timestamp)>,
    ) -> Result<ClientSecret, ServiceError> {
        let live = remembered.filter(|(_, until)| *until > self.now());
        // A start in between made another key: the secret is gone, as it is after the minute.
        let opened = live.and_then(|(sealed, _)| self.reply_sealer.open(&purpose(id), sealed).ok());
        let Some(bytes) = opened else {
            let message = format!(
                "the request made credential {id}; its secret was shown then and can be had again for a minute only: rotate the credential"
            );
            return Err(
                ServiceError::new(Code::IdempotencyConflict, message).with("credential_id", id)
            );
        };
        let text = str::from_utf8(&bytes).map_err(|_error| {
            ServiceError::new(Code::Internal, "a remembered secret is damaged")
        })?;
        ClientSecret::parse(text)
            .map_err(|_error| ServiceError::new(Code::Internal, "a remembered secret is damaged"))
    }
}
