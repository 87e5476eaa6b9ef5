//! Where records stand in the index. Those of a tenant stand together: the key of an agent begins
//! with its organization, that of a credential with its organization and its agent.

use agentidp_shared::{AgentId, CredentialId, OrganizationId};

use crate::store::{Record, ServerSecretName};

// The kinds of records share a tree; the first byte of a key tells them apart.
/// The first byte of an organization's key.
pub(super) const ORGANIZATION: u8 = b'o';
/// The first byte of an agent's key.
pub(super) const AGENT: u8 = b'a';
/// The first byte of a credential's key.
pub(super) const CREDENTIAL: u8 = b'c';
/// The first byte of a signing key's key.
pub(super) const SIGNING_KEY: u8 = b'k';
const SERVER_SECRET: u8 = b's';

/// Where an agent's credentials stand: its organization, and itself.
pub(super) type Home = [u8; 32];

/// The home of an agent's credentials.
pub(super) fn home(organization: OrganizationId, agent: AgentId) -> Home {
    let mut home = [0; 32];
    let parts = [*organization.as_bytes(), *agent.as_bytes()];
    let slots = home.iter_mut().zip(parts.as_flattened());
    slots.for_each(|(slot, byte)| *slot = *byte);
    home
}

/// The key of an organization.
pub(super) fn organization(id: OrganizationId) -> Vec<u8> {
    tagged(ORGANIZATION, &[id.as_bytes()])
}

/// The key of an agent.
pub(super) fn agent(organization: OrganizationId, id: AgentId) -> Vec<u8> {
    tagged(AGENT, &[organization.as_bytes(), id.as_bytes()])
}

/// The key of a credential.
pub(super) fn credential(home: &Home, id: CredentialId) -> Vec<u8> {
    tagged(CREDENTIAL, &[home, id.as_bytes()])
}

/// What the keys of the credentials of one home begin with.
pub(super) fn credentials(home: &Home) -> Vec<u8> {
    tagged(CREDENTIAL, &[home])
}

/// The key of a signing key.
pub(super) fn signing_key(kid: &str) -> Vec<u8> {
    tagged(SIGNING_KEY, &[kid.as_bytes()])
}

/// The key of a secret of the server's own.
pub(super) fn server_secret(name: ServerSecretName) -> Vec<u8> {
    tagged(SERVER_SECRET, &[name.as_str().as_bytes()])
}

/// The key of any record.
pub(super) fn key_of(record: &Record) -> Vec<u8> {
    match record {
        Record::Organization(it) => organization(it.id),
        Record::Agent(it) => agent(it.organization_id, it.id),
        Record::Credential(it) => {
            let it = &it.credential;
            credential(&home(it.organization_id, it.agent_id), it.id)
        }
        Record::SigningKey(it) => signing_key(&it.key.kid),
        Record::ServerSecret(it) => server_secret(it.name),
    }
}

fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut key = Vec::with_capacity(1 + length);
    key.push(tag);
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}
