//! Audit entries in bundles of 256: the unit in which the index keeps them, compressed, each with
//! a summary that tells a query whether the bundle is worth opening.

use std::io::{self, Read as _};

use agentidp_shared::audit::MAX_ENTRY_BYTES;
use agentidp_shared::{ActorKind, AgentId, Entry, TargetKind};
use bytes::Bytes;

use super::frame::Reader;
use crate::store::{Bundle, EntryFilter, ReadError, StoredEntry};

/// How many entries a bundle has; C2SP's tlog-tiles has the same.
pub(super) const ENTRIES: u64 = Bundle::ENTRIES;
/// The largest window that is set up for a frame, as a power of two: what RFC 8878, section 3.1.1.1.2, recommends.
const WINDOW_LOG: u32 = 23;
/// The most bytes that a bundle has when it is not compressed: of each entry its length and its JSON.
const MAX_BYTES: u64 = ENTRIES * (4 + MAX_ENTRY_BYTES as u64);
/// zstd's fastest ordinary level: the entries of a bundle are much alike.
const LEVEL: i32 = 1;

/// The first and the last entry of bundle `number`.
pub(super) const fn range(number: u64) -> (u64, u64) {
    (number * ENTRIES, (number + 1) * ENTRIES - 1)
}

/// The compressed form of bundle `number`, which has `entries`; those that it lacks were pruned.
pub(super) fn pack(number: u64, entries: &[StoredEntry]) -> Result<Vec<u8>, ReadError> {
    let mut plain = Vec::with_capacity(entries.iter().map(|entry| entry.json.len() + 4).sum());
    let mut entries = entries.iter().peekable();
    let (first, last) = range(number);
    for seq in first..=last {
        let entry = entries.next_if(|entry| entry.seq == seq);
        let json = entry.map(|entry| entry.json.as_ref()).unwrap_or_default();
        let length = u32::try_from(json.len()).unwrap_or(u32::MAX);
        plain.extend_from_slice(&length.to_le_bytes());
        plain.extend_from_slice(json);
    }
    zstd::encode_all(plain.as_slice(), LEVEL)
        .map_err(|error| ReadError(format!("compressing audit entries failed: {error}")))
}

/// What a bundle's compressed form has, or an error when it is more than a bundle can have: a few bytes may say
/// that they are gibibytes.
fn decompressed(packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    let mut decoder = zstd::Decoder::with_buffer(packed)?;
    decoder.window_log_max(WINDOW_LOG)?;
    decoder.by_ref().take(MAX_BYTES).read_to_end(&mut plain)?;
    match decoder.read(&mut [0])? {
        0 => Ok(plain),
        _ => Err(io::ErrorKind::FileTooLarge.into()),
    }
}

/// The entries of bundle `number` that were not pruned.
pub(super) fn unpack(number: u64, packed: &[u8]) -> Result<Vec<StoredEntry>, ReadError> {
    let damaged = || {
        ReadError(format!(
            "bundle {number} of the audit log is damaged in the index: stop the daemon and have it rebuilt with `agentidpd store rebuild`"
        ))
    };
    let plain = decompressed(packed).map_err(|_error| damaged())?;
    let plain = Bytes::from(plain);
    let mut reader = Reader(&plain);
    let mut entries = Vec::new();
    let (first, last) = range(number);
    for seq in first..=last {
        let json = plain.slice_ref(reader.counted().map_err(|_error| damaged())?);
        if !json.is_empty() {
            entries.push(StoredEntry { seq, json });
        }
    }
    if !reader.0.is_empty() {
        return Err(damaged());
    }
    Ok(entries)
}

/// The summary of a bundle all of whose entries were pruned: no query opens it.
pub(super) const PRUNED: &[u8] = &[0];

/// A Bloom filter over what queries ask for. 1 KiB and four hashes: with the eight hundred values of
/// a bundle in which every entry has its own agent, token and organization, one bundle in a hundred
/// is opened in vain.
#[derive(Debug, Clone)]
pub(super) struct Summary(Vec<u8>);

const SUMMARY_BYTES: usize = 1_024;

impl Summary {
    /// The summary of no entries.
    pub(super) fn new() -> Self {
        Self(vec![0; SUMMARY_BYTES])
    }

    /// The summary of a stored form.
    #[cfg(test)]
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// The stored form.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Adds an entry.
    pub(super) fn add(&mut self, entry: &Entry) {
        self.insert(b'a', entry.action.as_str().as_bytes());
        self.insert(b'o', entry.outcome.as_str().as_bytes());
        if let Some(organization) = entry.organization_id {
            self.insert(b'r', organization.to_string().as_bytes());
        }
        if let Some(agent) = entry.agent_id {
            self.insert(b'g', agent.to_string().as_bytes());
        }
        if let (ActorKind::Agent, Some(id)) = (entry.actor.kind, &entry.actor.id) {
            self.insert(b'g', id.as_bytes());
        }
        if let Some(target) = entry
            .target
            .as_ref()
            .filter(|target| target.kind == TargetKind::Agent)
        {
            self.insert(b'g', target.id.as_bytes());
        }
        if let Some(jti) = entry.jti {
            self.insert(b'j', jti.to_string().as_bytes());
        }
    }

    fn insert(&mut self, kind: u8, value: &[u8]) {
        for bit in bits(kind, value) {
            if let Some(byte) = self.0.get_mut(bit / 8) {
                *byte |= 1 << (bit % 8);
            }
        }
    }
}

/// Whether a bundle with this stored summary can hold an entry that `filter` lets through.
pub(super) fn may_match(summary: &[u8], filter: &EntryFilter) -> bool {
    if summary == PRUNED {
        return false;
    }
    let has = |kind, value: &str| {
        bits(kind, value.as_bytes()).into_iter().all(|bit| {
            summary
                .get(bit / 8)
                .is_none_or(|byte| byte & (1 << (bit % 8)) != 0)
        })
    };
    filter
        .action
        .is_none_or(|action| has(b'a', action.as_str()))
        && filter
            .outcome
            .is_none_or(|outcome| has(b'o', outcome.as_str()))
        && filter
            .agent
            .is_none_or(|agent: AgentId| has(b'g', &agent.to_string()))
        && filter.jti.is_none_or(|jti| has(b'j', &jti.to_string()))
        && filter.organizations.as_ref().is_none_or(|organizations| {
            let mut organizations = organizations.iter();
            organizations.any(|id| has(b'r', &id.to_string()))
        })
}

/// Four bits of the filter for a value. CRC-32C twice: stored summaries must mean the same to every
/// later version, which the standard library's hashers do not promise.
fn bits(kind: u8, value: &[u8]) -> [usize; 4] {
    let first = crc32c::crc32c_append(u32::from(kind), value);
    let second = crc32c::crc32c_append(first.rotate_left(13) ^ 0x9E37_79B9, value) | 1;
    [0, 1, 2, 3].map(|step: u32| {
        (first
            .wrapping_add(step.wrapping_mul(second))
            .wrapping_mul(0x85EB_CA6B)
            >> 19) as usize
    })
}

#[cfg(test)]
mod tests {
    use agentidp_shared::{Action, Actor, OrganizationId, Outcome, Timestamp};

    use super::*;

    #[test]
    fn a_bundle_is_read_as_it_was_written() {
        let mut entries: Vec<_> = (512..768)
            .map(|seq| StoredEntry {
                seq,
                json: Bytes::from(format!("{{\"seq\":{seq}}}")),
            })
            .collect();
        assert_eq!(unpack(2, &pack(2, &entries).unwrap()).unwrap(), entries);
        entries.retain(|entry| entry.seq % 3 == 0);
        assert_eq!(unpack(2, &pack(2, &entries).unwrap()).unwrap(), entries);
        assert_eq!(unpack(2, &pack(2, &[]).unwrap()).unwrap(), []);
        assert!(unpack(2, b"nonsense").is_err());
        let endless = io::repeat(0).take(1 << 30);
        let endless = zstd::encode_all(endless, LEVEL).unwrap();
        assert!(unpack(2, &endless).is_err());
        assert!(
            decompressed(&endless).is_err(),
            "no more is unpacked than a bundle can have"
        );
    }

    #[test]
    fn a_summary_never_hides_an_entry_and_rules_most_others_out() {
        let mut summary = Summary::new();
        let agent = |number: u64| {
            let mut bytes = [0; 16];
            bytes[8..].copy_from_slice(&number.to_be_bytes());
            AgentId::from_bytes(bytes)
        };
        for number in 0..256 {
            let mut entry = Entry::new(
                Timestamp::from_millis(0),
                Actor::system(),
                Action::TokenIssue,
                Outcome::Success,
            );
            entry.agent_id = Some(agent(number));
            summary.add(&entry);
        }
        let asks = |number| EntryFilter {
            agent: Some(agent(number)),
            ..EntryFilter::default()
        };
        assert!((0..256).all(|number| may_match(summary.as_bytes(), &asks(number))));
        let in_vain = (256..10_256)
            .filter(|number| may_match(summary.as_bytes(), &asks(*number)))
            .count();
        assert!(in_vain < 200, "{in_vain} of 10,000");
    }

    #[test]
    fn a_bundle_without_an_entry_of_the_organizations_asked_for_is_not_opened() {
        let organization = |number| OrganizationId::from_bytes([number; 16]);
        let mut summary = Summary::new();
        for number in 0..20 {
            let mut entry = Entry::new(
                Timestamp::from_millis(0),
                Actor::system(),
                Action::AgentRegister,
                Outcome::Success,
            );
            entry.organization_id = Some(organization(number));
            summary.add(&entry);
        }
        let opens = |numbers: &[u8]| {
            let filter = EntryFilter {
                organizations: Some(numbers.iter().map(|it| organization(*it)).collect()),
                ..EntryFilter::default()
            };
            may_match(summary.as_bytes(), &filter)
        };
        assert!((0..20).all(|number| opens(&[number]) && opens(&[200, number])));
        let in_vain = (20..=255).filter(|number| opens(&[*number])).count();
        assert!(in_vain < 5, "{in_vain} of 236");
        assert!(!opens(&[]), "nobody's");
    }
}
