//! Client authentication (RFC 6749, section 2.3), in one place for every endpoint that needs it.
//!
//! The caller of a failed authentication learns that it failed and nothing else; the audit log
//! learns why. What is looked up and computed is the same whether the client exists or not, as far
//! as that goes; what differs by microseconds, `http` hides by answering failures at a set time.

use std::sync::Arc;

use agentidp_shared::{
    Agent, AgentId, ClientSecret, Code, CredentialId, CredentialKind, Organization, PublicKey,
    Timestamp, token,
};
use zeroize::Zeroizing;

use super::idempotency::hash;
use super::{Service, ServiceError};
use crate::crypto::jose::{Assertion, ClientAssertion, PublicJwk};
use crate::crypto::secret::Verdict;
use crate::store::{CredentialRecord, SecretVerifier, Stored, Temporary, TemporaryKey};

/// What a client presented: a secret, which is never printed.
pub(crate) enum Presented {
    /// `client_secret_basic` or `client_secret_post`.
    Secret {
        /// The `client_id`.
        client_id: String,
        /// The `client_secret`.
        client_secret: Zeroizing<String>,
    },
    /// `private_key_jwt` (RFC 7523, section 2.2).
    Assertion {
        /// The `client_id`, when the form has one.
        client_id: Option<String>,
        /// The `client_assertion`.
        client_assertion: Zeroizing<String>,
    },
}

/// A client that proved to be an agent, with the records that said so.
pub(crate) struct Authenticated {
    /// The agent's tenant.
    pub(crate) organization: Arc<Stored<Organization>>,
    /// The agent.
    pub(crate) agent: Arc<Stored<Agent>>,
    /// The credential that proved it.
    pub(crate) credential: Arc<Stored<CredentialRecord>>,
    /// The assertion that was used, to be kept with the commit of what it was used for, so that it
    /// is used once.
    pub(crate) used: Option<Temporary>,
}

/// Why authentication failed, for the audit log.
pub(crate) struct Failure {
    /// Why.
    pub(crate) code: Code,
    /// The agent whose id was given, if there is one.
    pub(crate) agent: Option<Arc<Stored<Agent>>>,
    /// Its credential that was tried, if that much was right.
    pub(crate) credential_id: Option<CredentialId>,
    /// What is wrong with the assertion, for the daemon's own log: the audit log has one code for all
    /// of it.
    pub(crate) why: Option<String>,
}

impl Failure {
    const fn stranger(code: Code) -> Self {
        Self {
            code,
            agent: None,
            credential_id: None,
            why: None,
        }
    }

    const fn of(agent: Arc<Stored<Agent>>, code: Code) -> Self {
        Self {
            code,
            agent: Some(agent),
            credential_id: None,
            why: None,
        }
    }

    fn because(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    fn with(agent: Arc<Stored<Agent>>, credential: &CredentialRecord, code: Code) -> Self {
        Self {
            code,
            agent: Some(agent),
            credential_id: Some(credential.credential.id),
            why: None,
        }
    }

    /// Its assertion was used before: whoever sends it a second time has not proved to be the agent.
    pub(super) fn replayed(agent: Arc<Stored<Agent>>, credential: &CredentialRecord) -> Self {
        Self::with(agent, credential, Code::ReplayedAssertion)
            .because("the assertion's jti was used before")
    }
}

/// The credential whose key signed an assertion, and what the assertion says.
type Proved = (Arc<Stored<CredentialRecord>>, Assertion);

/// The outer error when the store failed; the inner one when authentication did.
type Outcome = Result<Result<Authenticated, Failure>, ServiceError>;

impl Service {
    /// Authenticates a client, and checks that it may have tokens at `now`.
    ///
    /// # Errors
    ///
    /// The outer error when the store failed; the inner one when authentication did.
    pub(super) async fn authenticate(&self, presented: &Presented, now: Timestamp) -> Outcome {
        match presented {
            Presented::Secret {
                client_id,
                client_secret,
            } => self.by_secret(client_id, client_secret, now).await,
            Presented::Assertion {
                client_id,
                client_assertion,
            } => self.by_assertion(client_id.as_deref(), client_assertion, now),
        }
    }

    async fn by_secret(&self, client_id: &str, presented: &str, now: Timestamp) -> Outcome {
        let mac = self.secrets.mac(presented);
        let secret = ClientSecret::parse(presented);
        let agent = match client_id.parse::<AgentId>() {
            Ok(id) => self.store.agent(id)?,
            Err(_) => None,
        };
        let credential = match &secret {
            Ok(secret) => self.store.credential(secret.credential_id())?,
            Err(_) => None,
        };
        let Some(agent) = agent else {
            return Ok(Err(Failure::stranger(Code::UnknownClient)));
        };
        let Ok(secret) = secret else {
            return Ok(Err(Failure::of(agent, Code::MalformedSecret)));
        };
        let is_its =
            |it: &Arc<Stored<CredentialRecord>>| it.record.credential.agent_id == agent.record.id;
        let Some(credential) = credential.filter(is_its) else {
            return Ok(Err(Failure::of(agent, Code::WrongSecret)));
        };
        let Some(organization) = self.store.organization(agent.record.organization_id)? else {
            return Ok(Err(Failure::of(agent, Code::UnknownClient)));
        };
        let public = &credential.record.credential;
        let Some(SecretVerifier { check, hash }) = &credential.record.verifier else {
            let failure = Failure::with(agent, &credential.record, Code::WrongSecret);
            return Ok(Err(failure));
        };
        if mac.check() != *check {
            let failure = Failure::with(agent, &credential.record, Code::WrongSecret);
            return Ok(Err(failure));
        }
        // Before argon2: whoever is not served must not cost thirty milliseconds.
        if let Err(code) = token::check_served(&organization.record, &agent.record, public, now) {
            return Ok(Err(Failure::with(agent, &credential.record, code)));
        }
        let known = (check, hash.as_str(), public.revision);
        let whose = organization.record.id;
        match self.secrets.verify(&secret, &mac, known, whose, now).await {
            Verdict::Right => Ok(Ok(Authenticated {
                organization,
                agent,
                credential,
                used: None,
            })),
            Verdict::Wrong => {
                let failure = Failure::with(agent, &credential.record, Code::WrongSecret);
                Ok(Err(failure))
            }
            Verdict::Overloaded => Err(ServiceError::new(
                Code::Overloaded,
                "too many secrets are being verified: try again in a second",
            )),
        }
    }

    fn by_assertion(&self, client_id: Option<&str>, presented: &str, now: Timestamp) -> Outcome {
        let assertion = match ClientAssertion::peek(presented) {
            Ok(assertion) => assertion,
            Err(error) => {
                let failure = Failure::stranger(Code::WrongAssertion);
                return Ok(Err(failure.because(error.to_string())));
            }
        };
        let id = assertion.client_id();
        if client_id.is_some_and(|named| named != id.to_string()) {
            let failure = Failure::stranger(Code::WrongAssertion);
            let why = "the assertion's iss and sub are not the client_id of the form";
            return Ok(Err(failure.because(why)));
        }
        let Some(agent) = self.store.agent(id)? else {
            return Ok(Err(Failure::stranger(Code::UnknownClient)));
        };
        let Some(organization) = self.store.organization(agent.record.organization_id)? else {
            return Ok(Err(Failure::of(agent, Code::UnknownClient)));
        };
        let (credential, verified) = match self.prove(&assertion, id, now)? {
            Ok(proved) => proved,
            Err(why) => {
                let failure = Failure::of(agent, Code::WrongAssertion);
                return Ok(Err(failure.because(why)));
            }
        };
        let public = &credential.record.credential;
        if let Err(code) = token::check_served(&organization.record, &agent.record, public, now) {
            return Ok(Err(Failure::with(agent, &credential.record, code)));
        }
        let used = Temporary {
            key: TemporaryKey::UsedAssertion(hash(&[id.as_bytes(), verified.jti.as_bytes()])),
            expires_at: verified.expires_at,
            body: Vec::new(),
        };
        if self.store.temporary(&used.key, now)?.is_some() {
            return Ok(Err(Failure::replayed(agent, &credential.record)));
        }
        Ok(Ok(Authenticated {
            organization,
            agent,
            credential,
            used: Some(used),
        }))
    }

    /// The public key of the client's that signed the assertion. A `kid` has to name one. The inner
    /// error says why there is none.
    fn prove(
        &self,
        assertion: &ClientAssertion<'_>,
        client: AgentId,
        now: Timestamp,
    ) -> Result<Result<Proved, String>, ServiceError> {
        let mut why = "the client has no public key that is accepted";
        let mut causes = Vec::new();
        for stored in self.store.credentials_of(client)? {
            let credential = &stored.record.credential;
            let key = credential.public_key.as_ref();
            let Some(key) = key.filter(|_| credential.kind == CredentialKind::PublicKey) else {
                continue;
            };
            let jwk = match assertion.kid() {
                Some(kid) => named(key, kid),
                None if credential.check_accepted(now).is_ok() => {
                    PublicJwk::parse(key.jwk.as_bytes()).ok()
                }
                None => None,
            };
            let Some(jwk) = jwk else {
                if assertion.kid().is_some() {
                    why = "the assertion's kid names no public key of the client's";
                }
                continue;
            };
            let verified = assertion.verify(jwk.verifier(), &self.settings.issuer, now);
            match verified {
                Ok(verified) => return Ok(Ok((stored, verified))),
                Err(error) => causes.push(format!("with credential {}: {error}", credential.id)),
            }
        }
        if causes.is_empty() {
            return Ok(Err(why.to_owned()));
        }
        Ok(Err(causes.join("; ")))
    }
}

/// The key, if `kid` names it: by its thumbprint, or as its owner did. Keys that are no longer accepted are
/// many in time, and reading one costs as much as a signature: only what may be named is read.
fn named(key: &PublicKey, kid: &str) -> Option<PublicJwk> {
    let has_thumbprint = key.thumbprint == kid;
    // As the stored form, which is this server's, has it.
    let member = format!("\"kid\":{}", serde_json::Value::from(kid));
    if !has_thumbprint && !key.jwk.contains(&member) {
        return None;
    }
    let jwk = PublicJwk::parse(key.jwk.as_bytes()).ok()?;
    let is_named = has_thumbprint || jwk.kid() == Some(kid);
    is_named.then_some(jwk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::credential::public_key;

    #[test]
    fn a_kid_names_a_key_by_its_thumbprint_or_as_its_owner_wrote_it() {
        let point = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        for kid in ["k1", "with \"quotes\" and \\", "Schl\u{fc}ssel", "a/b"] {
            let jwk = serde_json::json!({
                "kty": "OKP", "crv": "Ed25519", "x": point, "kid": kid, "use": "sig",
            });
            let key = public_key(jwk.to_string().as_bytes()).unwrap();
            assert!(named(&key, kid).is_some(), "{kid}: {}", key.jwk);
            assert!(named(&key, &key.thumbprint).is_some());
            assert!(named(&key, "OKP").is_none() && named(&key, "").is_none());
            assert!(named(&key, "k").is_none() && named(&key, point).is_none());
        }
    }
}
