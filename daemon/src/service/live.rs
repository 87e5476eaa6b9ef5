//! Whether an access token of this server counts now: the one rule behind introspection, revocation
//! and the management interface.

use std::num::NonZeroUsize;
use std::sync::Arc;

use agentidp_shared::{Code, Timestamp, token};
use lru::LruCache;
use parking_lot::Mutex;

use super::{Service, ServiceError};
use crate::crypto::jose::{AccessToken, verify_access_token};
use crate::crypto::{Keyring, sha256};
use crate::store::TemporaryKey;

/// How many verified tokens are remembered.
const REMEMBERED: usize = 16_384;

/// Tokens whose signature has been verified, by SHA-256 of the token. A token that is asked about
/// again costs a hash instead of a signature; whether it counts is looked up every time.
pub(super) struct VerifiedTokens(Mutex<LruCache<[u8; 32], Verified>>);

struct Verified {
    token: Arc<AccessToken>,
    /// The keys that it was verified with. Other keys, and it is verified anew.
    keyring: Arc<Keyring>,
}

impl Default for VerifiedTokens {
    fn default() -> Self {
        let capacity = NonZeroUsize::new(REMEMBERED).unwrap_or(NonZeroUsize::MIN);
        Self(Mutex::new(LruCache::new(capacity)))
    }
}

impl Service {
    /// The token, if this server signed it and it has not expired.
    pub(super) fn verified(&self, token: &str, now: Timestamp) -> Option<Arc<AccessToken>> {
        let (name, keyring) = (sha256(token.as_bytes()), self.keyring.load_full());
        let remembered = {
            let mut verified = self.verified_tokens.0.lock();
            let same = verified
                .get(&name)
                .filter(|it| Arc::ptr_eq(&it.keyring, &keyring));
            same.map(|it| Arc::clone(&it.token))
        };
        if let Some(token) = remembered {
            return Some(token).filter(|token| token.exp > now.as_secs());
        }
        let verified = verify_access_token(token, &keyring, &self.settings.issuer, now);
        let token = verified
            .inspect_err(|error| tracing::debug!(%error, "a token is not one of ours"))
            .ok()?;
        let token = Arc::new(token);
        let verified = Verified {
            token: Arc::clone(&token),
            keyring,
        };
        self.verified_tokens.0.lock().put(name, verified);
        Some(token)
    }

    /// Whether a token that is verified has not been revoked, by itself or with what it hangs on.
    ///
    /// # Errors
    ///
    /// The outer error when the store failed; the inner one says why the token does not count.
    pub(super) fn check_live(
        &self,
        token: &AccessToken,
        now: Timestamp,
    ) -> Result<Result<(), Code>, ServiceError> {
        let revoked = TemporaryKey::RevokedToken(token.jti);
        if self.store.temporary(&revoked, now)?.is_some() {
            return Ok(Err(Code::TokenRevoked));
        }
        let organization = self.store.organization(token.organization_id)?;
        let agent = self.store.agent(token.sub)?;
        let credential = self.store.credential(token.cid)?;
        let (Some(organization), Some(agent), Some(credential)) = (organization, agent, credential)
        else {
            return Ok(Err(Code::InvalidToken));
        };
        Ok(token::check_live(
            &organization.record,
            &agent.record,
            &credential.record.credential,
            token.jti.made_at(),
        ))
    }
}
