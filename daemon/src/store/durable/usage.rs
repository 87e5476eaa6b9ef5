//! How agents, credentials and organizations were used: drawn from the log, kept in memory, and
//! written to the index from time to time, never for each token.

use std::collections::HashMap;

use agentidp_shared::{
    Action, ActorKind, AgentId, CredentialId, Entry, OrganizationId, Outcome, Timestamp,
};
use parking_lot::Mutex;

use super::index::Index;
use crate::store::{ReadError, Usage};

/// What uses are counted of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum UsageKey {
    /// An agent.
    Agent(AgentId),
    /// A credential.
    Credential(CredentialId),
    /// An organization in a calendar month ([`Timestamp::month`]).
    Month(OrganizationId, u32),
}

impl UsageKey {
    /// The key in the index.
    pub(super) fn bytes(self) -> Vec<u8> {
        match self {
            Self::Agent(id) => [b"a".as_slice(), id.as_bytes()].concat(),
            Self::Credential(id) => [b"c".as_slice(), id.as_bytes()].concat(),
            Self::Month(id, month) => {
                [b"m".as_slice(), id.as_bytes(), &month.to_be_bytes()].concat()
            }
        }
    }
}

/// A count of uses, and how far into the log it has got: what comes before is in it, so replaying
/// entries counts none twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    last: i64,
    count: u64,
    end: u64,
}

impl Count {
    /// The stored form.
    pub(super) fn bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        let parts = [
            self.last.to_be_bytes(),
            self.count.to_be_bytes(),
            self.end.to_be_bytes(),
        ];
        bytes
            .iter_mut()
            .zip(parts.as_flattened())
            .for_each(|(slot, byte)| *slot = *byte);
        bytes
    }

    /// The count of a stored form.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (last, rest) = bytes.split_first_chunk::<8>()?;
        let (count, rest) = rest.split_first_chunk::<8>()?;
        Some(Self {
            last: i64::from_be_bytes(*last),
            count: u64::from_be_bytes(*count),
            end: u64::from_be_bytes(rest.try_into().ok()?),
        })
    }

    fn usage(self) -> Usage {
        Usage {
            last: (self.count > 0).then(|| Timestamp::from_millis(self.last)),
            count: self.count,
        }
    }
}

/// The counts that the index does not have yet.
#[derive(Debug, Default)]
pub(super) struct Uses(Mutex<HashMap<UsageKey, Count>>);

impl Uses {
    /// Counts what `entry` says, if it says that a token was issued.
    pub(super) fn note(&self, entry: &Entry, index: &Index) -> Result<(), ReadError> {
        if entry.action != Action::TokenIssue || entry.outcome != Outcome::Success {
            return Ok(());
        }
        let is_agent = entry.actor.kind == ActorKind::Agent;
        let agent = entry.actor.id.as_ref().filter(|_| is_agent);
        let agent = agent.and_then(|id| id.parse().ok()).map(UsageKey::Agent);
        let credential = entry.credential_id.map(UsageKey::Credential);
        let month = |id| UsageKey::Month(id, entry.time.month());
        let organization = entry.organization_id.map(month);
        let mut uses = self.0.lock();
        for key in [agent, credential, organization].into_iter().flatten() {
            let count = match uses.get_mut(&key) {
                Some(count) => count,
                None => uses.entry(key).or_insert(index.usage(key)?),
            };
            if entry.seq >= count.end {
                count.count += 1;
                count.last = entry.time.as_millis();
                count.end = entry.seq + 1;
            }
        }
        Ok(())
    }

    /// The count of `key`.
    pub(super) fn of(&self, key: UsageKey, index: &Index) -> Result<Usage, ReadError> {
        let fresh = self.0.lock().get(&key).copied();
        let count = fresh.map_or_else(|| index.usage(key), Ok)?;
        Ok(count.usage())
    }

    /// Writes the counts to the index; gives what was written, to be [`forgotten`](Self::forget)
    /// once it is durable.
    pub(super) fn write(&self, index: &Index) -> Result<HashMap<UsageKey, Count>, ReadError> {
        let uses = self.0.lock().clone();
        index.put_usage(uses.iter().map(|(key, count)| (*key, *count)))?;
        Ok(uses)
    }

    /// Forgets what has not changed since it was written.
    pub(super) fn forget(&self, written: &HashMap<UsageKey, Count>) {
        self.0
            .lock()
            .retain(|key, count| written.get(key) != Some(count));
    }
}
