//! What is stored: the domain's records, and beside them what only the daemon may see.

use agentidp_shared::{
    Agent, AgentId, Credential, CredentialId, Organization, OrganizationId, SigningKey, TargetKind,
};
use serde::{Deserialize, Serialize};

/// A record as a store gives it out: with the audit entry that last changed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored<T> {
    /// The record.
    pub(crate) record: T,
    /// The audit entry of its last change.
    pub(crate) audit_seq: u64,
}

/// Bytes sealed with AES-256-GCM under the key-encryption key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sealed {
    /// The nonce of this one sealing.
    pub(crate) nonce: [u8; 12],
    /// Ciphertext and tag.
    pub(crate) ciphertext: Vec<u8>,
}

/// A credential with what a secret is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CredentialRecord {
    /// What everyone may see; of a public key that is all there is.
    pub(crate) credential: Credential,
    /// What a client secret is compared with.
    pub(crate) verifier: Option<SecretVerifier>,
}

/// What a client secret is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SecretVerifier {
    /// The first 32 bits of an HMAC of the secret under [`ServerSecretName::SecretCheck`]: a wrong
    /// secret is refused by it before argon2 is asked.
    pub(crate) check: [u8; 4],
    /// The argon2id hash of the secret as a PHC string.
    pub(crate) hash: String,
}

/// A signing key with its sealed private half.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SigningKeyRecord {
    /// What everyone may see.
    pub(crate) key: SigningKey,
    /// The private half: PKCS#8 (RFC 5958), sealed. Wiped when the key leaves the JWKS.
    pub(crate) private: Sealed,
}

/// What a secret of the server's own is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum ServerSecretName {
    /// The HMAC key of [`SecretVerifier::check`].
    SecretCheck,
    /// The Ed25519 key that signs the audit log's checkpoints.
    LogKey,
}

impl ServerSecretName {
    /// Every one that there is.
    pub(crate) const ALL: &'static [Self] = &[Self::SecretCheck, Self::LogKey];

    /// The name it has in the audit log and in what it is sealed with.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::SecretCheck => "secret-check",
            Self::LogKey => "log-key",
        }
    }
}

/// A secret of the server's own, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerSecret {
    /// What it is for.
    pub(crate) name: ServerSecretName,
    /// The secret, sealed.
    pub(crate) secret: Sealed,
    /// 1 when made, one more with every change.
    pub(crate) revision: u64,
}

/// Any record. The order of the variants is part of the stored form: add at the end only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Record {
    /// A tenant.
    Organization(Organization),
    /// An agent.
    Agent(Agent),
    /// A credential with what proves it.
    Credential(CredentialRecord),
    /// A signing key with its sealed private half.
    SigningKey(SigningKeyRecord),
    /// A secret of the server's own.
    ServerSecret(ServerSecret),
}

/// What names a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum RecordKey {
    /// A tenant.
    Organization(OrganizationId),
    /// An agent.
    Agent(AgentId),
    /// A credential.
    Credential(CredentialId),
    /// A signing key, by `kid`.
    SigningKey(String),
    /// A secret of the server's own.
    ServerSecret(ServerSecretName),
}

impl RecordKey {
    /// The kind and id that an audit entry's target has when it means this record.
    pub(crate) fn target(&self) -> (TargetKind, String) {
        match self {
            Self::Organization(id) => (TargetKind::Organization, id.to_string()),
            Self::Agent(id) => (TargetKind::Agent, id.to_string()),
            Self::Credential(id) => (TargetKind::Credential, id.to_string()),
            Self::SigningKey(kid) => (TargetKind::SigningKey, kid.clone()),
            Self::ServerSecret(name) => (TargetKind::Store, name.as_str().to_owned()),
        }
    }

    /// The record that an audit entry's target of this kind and id means, if that is one.
    pub(crate) fn of_target(kind: TargetKind, id: &str) -> Option<Self> {
        match kind {
            TargetKind::Organization => id.parse().ok().map(Self::Organization),
            TargetKind::Agent => id.parse().ok().map(Self::Agent),
            TargetKind::Credential => id.parse().ok().map(Self::Credential),
            TargetKind::SigningKey => Some(Self::SigningKey(id.to_owned())),
            TargetKind::Store => {
                let mut names = ServerSecretName::ALL.iter().copied();
                names.find(|it| it.as_str() == id).map(Self::ServerSecret)
            }
            TargetKind::Backup | TargetKind::Token => None,
        }
    }
}

impl Record {
    /// What names it.
    pub(crate) fn key(&self) -> RecordKey {
        match self {
            Self::Organization(it) => RecordKey::Organization(it.id),
            Self::Agent(it) => RecordKey::Agent(it.id),
            Self::Credential(it) => RecordKey::Credential(it.credential.id),
            Self::SigningKey(it) => RecordKey::SigningKey(it.key.kid.clone()),
            Self::ServerSecret(it) => RecordKey::ServerSecret(it.name),
        }
    }

    /// Its revision: 1 when made, one more with every change.
    pub(crate) fn revision(&self) -> u64 {
        match self {
            Self::Organization(it) => it.revision,
            Self::Agent(it) => it.revision,
            Self::Credential(it) => it.credential.revision,
            Self::SigningKey(it) => it.key.revision,
            Self::ServerSecret(it) => it.revision,
        }
    }
}

/// Takes the record of one kind out of a record of any.
macro_rules! into_kind {
    ($($name:ident: $variant:ident => $kind:ty),+ $(,)?) => {
        impl Record {
            $(
                /// The record of this kind, if it is of it.
                pub(crate) fn $name(self) -> Option<$kind> {
                    match self {
                        Self::$variant(it) => Some(it),
                        _ => None,
                    }
                }
            )+
        }
    };
}

into_kind! {
    into_organization: Organization => Organization,
    into_agent: Agent => Agent,
    into_credential: Credential => CredentialRecord,
    into_signing_key: SigningKey => SigningKeyRecord,
    into_server_secret: ServerSecret => ServerSecret,
}
