//! Credentials: how an agent proves that it is itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Code, FieldError};
use crate::id::{AgentId, CredentialId, OrganizationId};
use crate::text::word_enum;
use crate::time::Timestamp;

word_enum! {
    /// What the agent proves itself with.
    CredentialKind, "kind" {
        /// A shared secret (RFC 6749, section 2.3.1).
        ClientSecret = "client_secret",
        /// A key of its own that signs assertions (RFC 7523, section 2.2).
        PublicKey = "public_key",
    }
}

word_enum! {
    /// Where a credential stands in its life.
    CredentialStatus, "status" {
        /// Accepted.
        Active = "active",
        /// Replaced by a rotation and accepted until `retires_at`.
        Retiring = "retiring",
        /// Cut off, for good.
        Revoked = "revoked",
        /// Its time, or its grace after a rotation, is over.
        Expired = "expired",
    }
}

/// The public key of a credential of that kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKey {
    /// Its JWK thumbprint with SHA-256 in base64url (RFC 7638).
    pub thumbprint: String,
    /// The JWK (RFC 7517), without members that its use here does not need.
    pub jwk: String,
}

/// How many credentials an agent may have that are not revoked or expired.
pub const MAX_LIVE_CREDENTIALS: usize = 16;

/// The longest time that a rotated credential is still accepted.
pub const MAX_GRACE: Duration = Duration::from_hours(90 * 24);

/// Whether a rotated credential may be accepted for so long.
///
/// # Errors
///
/// When that is longer than [`MAX_GRACE`].
pub fn check_grace(grace: Duration) -> Result<(), FieldError> {
    if grace > MAX_GRACE {
        return Err(FieldError::new("grace", "must be at most 90 days"));
    }
    Ok(())
}

/// A credential, without what proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Immutable; part of the secret's text, so that it is found in one look-up.
    pub id: CredentialId,
    /// The agent that it is for.
    pub agent_id: AgentId,
    /// The agent's tenant.
    pub organization_id: OrganizationId,
    /// What the agent proves itself with.
    pub kind: CredentialKind,
    /// Where it stands. A record is written with what was decided; [`Self::status_at`] adds what
    /// time alone has done.
    pub status: CredentialStatus,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it stops being accepted.
    pub expires_at: Option<Timestamp>,
    /// After a rotation: when its grace is over.
    pub retires_at: Option<Timestamp>,
    /// When a token was last issued for it. The store fills it in from the log; a record leaves
    /// it empty.
    pub last_used_at: Option<Timestamp>,
    /// How many tokens were issued for it. The store fills it in from the log; a record leaves it 0.
    pub use_count: u64,
    /// The public key, of a credential of that kind.
    pub public_key: Option<PublicKey>,
    /// Tokens that were issued for it until then are dead.
    pub tokens_revoked_until: Option<Timestamp>,
    /// 1 when issued, one more with every change.
    pub revision: u64,
}

impl Credential {
    /// The status at `now`, with what time alone has done.
    #[must_use]
    pub fn status_at(&self, now: Timestamp) -> CredentialStatus {
        let is_over = |end: Option<Timestamp>| end.is_some_and(|end| end <= now);
        match self.status {
            CredentialStatus::Active if is_over(self.expires_at) => CredentialStatus::Expired,
            CredentialStatus::Retiring if is_over(self.expires_at) || is_over(self.retires_at) => {
                CredentialStatus::Expired
            }
            status => status,
        }
    }

    /// Whether the credential is accepted at `now`.
    ///
    /// # Errors
    ///
    /// The code for the audit log when it is not.
    pub fn check_accepted(&self, now: Timestamp) -> Result<(), Code> {
        match self.status_at(now) {
            CredentialStatus::Active | CredentialStatus::Retiring => Ok(()),
            CredentialStatus::Revoked => Err(Code::CredentialRevoked),
            CredentialStatus::Expired => Err(Code::CredentialExpired),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(
        status: CredentialStatus,
        expires: Option<i64>,
        retires: Option<i64>,
    ) -> Credential {
        let at = Timestamp::from_millis;
        Credential {
            id: CredentialId::from_bytes([1; 16]),
            agent_id: AgentId::from_bytes([2; 16]),
            organization_id: OrganizationId::from_bytes([3; 16]),
            kind: CredentialKind::ClientSecret,
            status,
            created_at: at(0),
            expires_at: expires.map(at),
            retires_at: retires.map(at),
            last_used_at: None,
            use_count: 0,
            public_key: None,
            tokens_revoked_until: None,
            revision: 1,
        }
    }

    #[test]
    fn a_retiring_credential_retires_by_itself_at_the_end_of_its_grace() {
        let retiring = credential(CredentialStatus::Retiring, None, Some(100));
        assert_eq!(retiring.check_accepted(Timestamp::from_millis(99)), Ok(()));
        assert_eq!(
            retiring.check_accepted(Timestamp::from_millis(100)),
            Err(Code::CredentialExpired)
        );
    }

    #[test]
    fn a_credential_is_not_accepted_from_its_expiry_on() {
        let active = credential(CredentialStatus::Active, Some(100), None);
        assert_eq!(active.check_accepted(Timestamp::from_millis(99)), Ok(()));
        assert_eq!(
            active.status_at(Timestamp::from_millis(100)),
            CredentialStatus::Expired
        );
    }

    #[test]
    fn time_does_not_undo_a_revocation() {
        let revoked = credential(CredentialStatus::Revoked, Some(100), None);
        assert_eq!(
            revoked.check_accepted(Timestamp::from_millis(200)),
            Err(Code::CredentialRevoked)
        );
    }
}
