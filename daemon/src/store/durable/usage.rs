//! How agents, credentials and organizations were used: drawn from the log, kept in memory, and
//! written to the index from time to time, never for each token.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use agentidp_shared::{
    Action, ActorKind, AgentId, CredentialId, Entry, OrganizationId, Outcome, Timestamp,
};
use parking_lot::Mutex;

use super::index::Index;
use crate::store::{ReadError, Usage};

/// What uses are counted of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

    /// The key that has these bytes in the index.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        match kind {
            b'a' => Some(Self::Agent(AgentId::from_bytes(rest.try_into().ok()?))),
            b'c' => Some(Self::Credential(CredentialId::from_bytes(
                rest.try_into().ok()?,
            ))),
            b'm' => {
                let (id, month) = rest.split_first_chunk()?;
                let month = u32::from_be_bytes(month.try_into().ok()?);
                Some(Self::Month(OrganizationId::from_bytes(*id), month))
            }
            _ => None,
        }
    }

    /// What it is called: a kind and an id.
    pub(super) fn name(self) -> (&'static str, String) {
        match self {
            Self::Agent(id) => ("agent", id.to_string()),
            Self::Credential(id) => ("credential", id.to_string()),
            Self::Month(id, month) => ("organization", format!("{id} in month {month}")),
        }
    }

    /// The agent of a key in the index, if it is an agent's.
    pub(super) fn agent_of(bytes: &[u8]) -> Option<AgentId> {
        let id = bytes.strip_prefix(b"a")?.try_into().ok()?;
        Some(AgentId::from_bytes(id))
    }
}

/// A count of uses, and how far into the log it has got: what comes before is in it, so replaying
/// entries counts none twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    last: i64,
    total: u64,
    end: u64,
}

impl Count {
    /// The stored form.
    pub(super) fn bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        let parts = [
            self.last.to_be_bytes(),
            self.total.to_be_bytes(),
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
        let (total, rest) = rest.split_first_chunk::<8>()?;
        Some(Self {
            last: i64::from_be_bytes(*last),
            total: u64::from_be_bytes(*total),
            end: u64::from_be_bytes(rest.try_into().ok()?),
        })
    }

    /// When it was last used, in milliseconds; 0 for never.
    pub(super) const fn last(self) -> i64 {
        self.last
    }

    /// How many uses it counts.
    pub(super) const fn total(self) -> u64 {
        self.total
    }

    /// The entry after the last that it counts.
    pub(super) const fn end(self) -> u64 {
        self.end
    }

    /// Counts the uses that `entry` tells of.
    pub(super) fn add(&mut self, entry: &Entry) {
        *self = Self {
            last: entry.time.as_millis(),
            total: self.total + times(entry),
            end: entry.seq + 1,
        };
    }

    /// Whether it can become `later`, or has gone beyond it by entries from `unknown` on.
    pub(super) const fn may_become(self, later: Self, unknown: u64) -> bool {
        if self.end > unknown {
            return self.total > later.total;
        }
        self.end < later.end && self.total < later.total
    }

    /// With the uses that came after it; without those that it has.
    fn and(self, fresh: Fresh) -> Self {
        if fresh.end <= self.end {
            return self;
        }
        Self {
            last: fresh.last,
            total: self.total + fresh.count,
            end: fresh.end,
        }
    }

    fn usage(self) -> Usage {
        Usage {
            last: (self.total > 0).then(|| Timestamp::from_millis(self.last)),
            count: self.total,
        }
    }
}

/// Uses that are in no [`Count`] yet.
#[derive(Debug, Clone, Copy, Default)]
struct Fresh {
    count: u64,
    last: i64,
    /// The entry after the last of them.
    end: u64,
}

impl Fresh {
    fn add(&mut self, entry: &Entry) {
        self.count += times(entry);
        self.last = entry.time.as_millis();
        self.end = entry.seq + 1;
    }
}

/// What is in memory of one key.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// The count in the index, where that is known.
    base: Option<Count>,
    /// What is on its way into the index.
    written: Fresh,
    /// What is not.
    fresh: Fresh,
    /// How many times the index was written since the last use.
    idle: u8,
}

/// How often the index is written before a key without new uses leaves the memory: a minute's worth.
const IDLE: u8 = 12;
/// How many keys without new uses stay in memory.
const HOT: usize = 16_384;
/// How many counts go to the index in one batch.
const BATCH: usize = 1_024;

/// What an entry tells of a use: an agent got a token, or introspected or revoked some and proved by a credential
/// who it is.
#[derive(Debug)]
pub(super) struct Use {
    /// The agent.
    pub(super) agent: Option<AgentId>,
    credential: Option<CredentialId>,
    /// The agent's, if it got a token.
    organization: Option<OrganizationId>,
}

impl Use {
    /// The keys that `entry`, of which this is, counts for.
    pub(super) fn keys(&self, entry: &Entry) -> [Option<UsageKey>; 3] {
        let month = |id| UsageKey::Month(id, entry.time.month());
        [
            self.agent.map(UsageKey::Agent),
            self.credential.map(UsageKey::Credential),
            self.organization.map(month),
        ]
    }

    /// What `entry` tells of, if it is of a use.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        if entry.outcome != Outcome::Success {
            return None;
        }
        let is_agent = entry.actor.kind == ActorKind::Agent;
        let agent = entry.actor.id.as_ref().filter(|_| is_agent);
        let organization = match entry.action {
            Action::TokenIssue => entry.organization_id,
            // Who comes with a token uses no credential, and an operator names that of another.
            Action::TokenIntrospect | Action::TokenRevoke if is_agent => {
                entry.credential_id?;
                None
            }
            _ => return None,
        };
        Some(Self {
            agent: agent.and_then(|id| id.parse().ok()),
            credential: entry.credential_id,
            organization,
        })
    }
}

/// How many uses an entry tells of.
fn times(entry: &Entry) -> u64 {
    entry.count.unwrap_or(1)
}

/// The counts that are in use or that the index does not have yet.
#[derive(Debug, Default)]
pub(super) struct Uses {
    slots: Mutex<HashMap<UsageKey, Slot>>,
    /// Held while counts go to the index: two at once would each write what the other has on its way,
    /// and forget what came in between.
    writing: Mutex<()>,
    /// Whether entries are new, and so in no count of the index.
    is_live: AtomicBool,
}

impl Uses {
    /// Says that the journal has been read: what comes from here on is new.
    pub(super) fn go_live(&self) {
        self.is_live.store(true, Ordering::Relaxed);
    }

    /// Counts what `entry` says.
    pub(super) fn note(&self, used: &Use, entry: &Entry, index: &Index) -> Result<(), ReadError> {
        let keys = used.keys(entry);
        let is_live = self.is_live.load(Ordering::Relaxed);
        let mut slots = self.slots.lock();
        for key in keys.into_iter().flatten() {
            let slot = slots.entry(key).or_default();
            if !is_live {
                // The index may have this entry already.
                let base = match slot.base {
                    Some(base) => base,
                    None => *slot.base.insert(index.usage(key)?),
                };
                if entry.seq < base.end {
                    continue;
                }
            }
            slot.fresh.add(entry);
            slot.idle = 0;
        }
        Ok(())
    }

    /// The count of `key`.
    pub(super) fn of(&self, key: UsageKey, index: &Index) -> Result<Usage, ReadError> {
        let mut slots = self.slots.lock();
        let Some(slot) = slots.get_mut(&key) else {
            drop(slots);
            return Ok(index.usage(key)?.usage());
        };
        let count = if let Some(base) = slot.base {
            base.and(slot.written)
        } else {
            // With the lock held, or what is on its way might arrive in between.
            let base = index.usage(key)?;
            if slot.written.count == 0 {
                slot.base = Some(base);
            }
            base.and(slot.written)
        };
        Ok(count.and(slot.fresh).usage())
    }

    /// Whether there are so many keys in memory that they should go to the index.
    pub(super) fn are_many(&self) -> bool {
        self.slots.lock().len() > 4 * HOT
    }

    /// Writes what is new to the index. It is the keeper's work, never a token's: reading and writing
    /// a count costs as much as signing a token.
    pub(super) fn write(&self, index: &Index) -> Result<(), ReadError> {
        let _alone = self.writing.lock();
        let mut fresh = Vec::new();
        for (key, slot) in self.slots.lock().iter_mut() {
            slot.idle = slot.idle.saturating_add(1);
            if slot.fresh.count > 0 {
                // What an attempt that failed has left goes with it.
                slot.written = Fresh {
                    count: slot.written.count + slot.fresh.count,
                    ..slot.fresh
                };
                slot.fresh = Fresh::default();
            }
            if slot.written.count > 0 {
                fresh.push((*key, slot.base, slot.written));
            }
        }
        // Neighbours in the index one after the other.
        fresh.sort_by_cached_key(|(key, ..)| key.bytes());
        for batch in fresh.chunks(BATCH) {
            let mut counts = Vec::with_capacity(batch.len());
            for (key, base, written) in batch {
                let base = base.map_or_else(|| index.usage(*key), Ok)?;
                counts.push((*key, base.and(*written)));
            }
            index.put_usage(counts.iter().copied())?;
            let mut slots = self.slots.lock();
            for (key, count) in counts {
                if let Some(slot) = slots.get_mut(&key) {
                    slot.base = Some(count);
                    slot.written = Fresh::default();
                }
            }
        }
        self.evict();
        Ok(())
    }

    /// Lets go of what the index has and nobody seems to use.
    fn evict(&self) {
        let mut slots = self.slots.lock();
        let is_new = |slot: &Slot| slot.fresh.count + slot.written.count > 0;
        slots.retain(|_, slot| is_new(slot) || slot.idle < IDLE);
        if slots.len() > HOT {
            slots.retain(|_, slot| is_new(slot));
        }
        if slots.capacity() > 4 * HOT {
            slots.shrink_to(HOT);
        }
    }
}

#[cfg(test)]
mod tests {
    use agentidp_shared::{Actor, AgentId};

    use super::*;

    #[test]
    fn counts_that_two_write_at_once_lose_no_use() {
        const USES: u64 = 20_000;
        let root = tempfile::tempdir().unwrap();
        let index = Index::open(root.path()).unwrap();
        let uses = Uses::default();
        uses.go_live();
        let agent = AgentId::from_bytes([7; 16]);
        let issue = Use {
            agent: Some(agent),
            credential: None,
            organization: None,
        };
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        uses.write(&index).unwrap();
                    }
                });
            }
            let time = Timestamp::from_millis(1_000);
            let mut entry = Entry::new(time, Actor::system(), Action::TokenIssue, Outcome::Success);
            for seq in 0..USES {
                entry.seq = seq;
                uses.note(&issue, &entry, &index).unwrap();
            }
            is_over.store(true, Ordering::Relaxed);
        });
        uses.write(&index).unwrap();
        assert_eq!(index.usage(UsageKey::Agent(agent)).unwrap().total(), USES);
    }
}
