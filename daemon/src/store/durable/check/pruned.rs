//! Entries that are not there because they were pruned, and those that only seem to be.

use std::collections::{BTreeSet, HashMap};

use agentidp_shared::count::counted;
use agentidp_shared::merkle::NodeHash;
use agentidp_shared::{Entry, OrganizationId, Pruned};

use super::super::bundle::{self, Summary};
use super::super::index::Index;
use super::super::prune::Prunings;
use super::log::{Expected, Short, tile_digest};
use super::{Check, Finding, Part};
use crate::store::{ReadError, StoredEntry};

/// Of each entry, which organization it concerns: a number for each organization, to be small.
#[derive(Default)]
pub(super) struct Concerned {
    numbers: HashMap<Option<OrganizationId>, u32>,
    organizations: Vec<Option<OrganizationId>>,
    full: Vec<Whom>,
    /// Of the bundle that is not full yet.
    open: Vec<u32>,
}

/// Whom the entries of a full bundle concern. Of one that was pruned it takes no more room than the type.
#[derive(Default)]
struct Whom {
    /// The numbers, each once and in order; none when nobody can tell.
    numbers: Box<[u32]>,
    /// For each entry which of them; nothing when it is the same for all.
    places: Box<[u8]>,
}

/// An entry that is there no more, so that nobody can tell whom it concerned.
const UNKNOWN: u32 = u32::MAX;

impl Whom {
    fn of(entries: &[u32]) -> Self {
        let mut numbers = entries.to_vec();
        numbers.sort_unstable();
        numbers.dedup();
        if numbers == [UNKNOWN] {
            return Self::default();
        }
        let place = |number| {
            let place = numbers.binary_search(number).unwrap_or_default();
            u8::try_from(place).unwrap_or_default()
        };
        let places = if numbers.len() == 1 {
            Box::default()
        } else {
            entries.iter().map(place).collect()
        };
        Self {
            places,
            numbers: numbers.into(),
        }
    }

    fn get(&self, place: usize) -> u32 {
        let number = self.places.get(place).copied().unwrap_or_default();
        let number = self.numbers.get(usize::from(number));
        number.copied().unwrap_or(UNKNOWN)
    }
}

impl Concerned {
    /// Notes whom the next entry concerns.
    pub(super) fn note(&mut self, entry: &Entry) {
        let organization = entry.organization_id;
        let organizations = &mut self.organizations;
        let number = *self.numbers.entry(organization).or_insert_with(|| {
            organizations.push(organization);
            u32::try_from(organizations.len() - 1).unwrap_or(UNKNOWN)
        });
        self.push(number);
    }

    /// Notes that the next entry is not there.
    pub(super) fn note_unknown(&mut self) {
        self.push(UNKNOWN);
    }

    fn push(&mut self, number: u32) {
        self.open.push(number);
        if self.open.len() as u64 == bundle::ENTRIES {
            self.full.push(Whom::of(&self.open));
            self.open.clear();
        }
    }

    fn number(&self, seq: u64) -> Option<u32> {
        let bundle = usize::try_from(seq / bundle::ENTRIES).ok()?;
        let place = usize::try_from(seq % bundle::ENTRIES).ok()?;
        if bundle == self.full.len() {
            return self.open.get(place).copied();
        }
        self.full.get(bundle).map(|whom| whom.get(place))
    }

    /// Whether `pruned` may have removed the entry at `seq`.
    fn may_be_covered(&self, pruned: &Pruned, seq: u64) -> bool {
        let number = self.number(seq);
        let known = number.and_then(|number| self.organizations.get(number as usize));
        // With nobody named, no hold stands against it.
        pruned.covers(seq, known.copied().flatten())
    }

    /// Whether it cannot be told whom the entry at `seq` concerned.
    fn is_unknown(&self, seq: u64) -> bool {
        self.number(seq).is_none_or(|number| number == UNKNOWN)
    }
}

impl Expected {
    /// Those of `missing` from `first` to `last` that none of `prunings` may have removed.
    fn unsaid(&self, missing: &[u64], (first, last): (u64, u64), prunings: &Prunings) -> Vec<u64> {
        let near: Vec<_> = prunings.near(first, last).collect();
        let may_be = |seq| near.iter().any(|it| self.concerned.may_be_covered(it, seq));
        let unsaid = missing.iter().copied().filter(|seq| !may_be(*seq));
        unsaid.collect()
    }

    /// Whether the entry at `seq` is known only by its hash.
    pub(super) fn is_hidden(&self, seq: u64) -> bool {
        seq < self.end && self.concerned.is_unknown(seq)
    }
}

/// The digest of the tile that a bundle's entries make. What was pruned of them counts as the tile in
/// the index has it, which is held against the log for itself.
pub(super) fn bundle_digest(
    index: &Index,
    number: u64,
    entries: &[StoredEntry],
) -> Result<Short, ReadError> {
    let (first, last) = bundle::range(number);
    let leaf = |entry: &StoredEntry| NodeHash::of_leaf(&entry.json);
    if entries.len() as u64 == bundle::ENTRIES {
        return Ok(tile_digest(&entries.iter().map(leaf).collect::<Vec<_>>()));
    }
    let mut there = entries.iter().peekable();
    let hashes = index.tile(0, number)?.into_iter().zip(first..=last);
    let leaves = hashes.map(|(hash, seq)| match there.next_if(|it| it.seq == seq) {
        Some(entry) => leaf(entry),
        None => hash,
    });
    Ok(tile_digest(&leaves.collect::<Vec<_>>()))
}

/// Whether each of `entries` is found by the summary `found`.
pub(super) fn finds(found: &[u8], entries: &[StoredEntry]) -> bool {
    let mut own = Summary::new();
    for stored in entries {
        if let Ok(entry) = serde_json::from_slice(&stored.json) {
            own.add(&entry);
        }
    }
    let mut pairs = own.as_bytes().iter().zip(found);
    entries.is_empty()
        || (found.len() == own.as_bytes().len() && pairs.all(|(own, it)| own & it == *own))
}

impl Check<'_> {
    /// Whatever bundle `number` lacks was pruned: so says the log, or what `index` was told of since that was
    /// read.
    pub(super) fn lacking(
        &mut self,
        expected: &Expected,
        number: u64,
        entries: &[StoredEntry],
        index: &Index,
    ) {
        if entries.len() as u64 == bundle::ENTRIES {
            return;
        }
        let there: BTreeSet<_> = entries.iter().map(|entry| entry.seq).collect();
        let (first, last) = bundle::range(number);
        let missing: Vec<_> = (first..=last).filter(|it| !there.contains(it)).collect();
        let mut unsaid = expected.unsaid(&missing, (first, last), &expected.prunings);
        if !unsaid.is_empty()
            && let Some(since) = &*index.prunings.lock()
        {
            unsaid = expected.unsaid(&unsaid, (first, last), since);
        }
        self.report.pruned += (missing.len() - unsaid.len()) as u64;
        for seq in unsaid {
            let problem = "it is not there, and no entry says that it was pruned".to_owned();
            self.report.add(Finding::entry(Part::Index, seq, problem));
        }
    }

    /// No more are missing than the entries that say so have counted: whom one concerned that is there no
    /// more, and so whether a legal hold stood against it, nothing else can tell.
    pub(super) fn lacking_in_all(&mut self, expected: &Expected, index: &Index) {
        let since = index.prunings.lock();
        let since = since.as_ref().map(|it| it.removed_from(expected.end));
        let said = expected.prunings.removed_from(0) + since.unwrap_or(0);
        let missing = self.report.pruned;
        if missing > 0 {
            let note = format!(
                "pruned: {}, of which only the hashes are there",
                counted(missing, "entry")
            );
            self.report.notes.push(note);
        }
        if missing > said {
            let problem = format!(
                "missing: {}, and the log says that {said} were pruned",
                counted(missing, "entry")
            );
            self.report.add(Finding::whole(Part::Index, problem));
        }
    }
}

#[cfg(test)]
mod tests {
    use agentidp_shared::{Action, Actor, Outcome, Timestamp};

    use super::*;

    #[test]
    fn whom_entries_concern_is_remembered_and_of_what_was_pruned_next_to_nothing() {
        let organization = |number: u64| {
            let number = u8::try_from(number % 256).unwrap();
            (number > 0).then(|| OrganizationId::from_bytes([number; 16]))
        };
        // One bundle of each kind: all pruned, all of one, of 256, of some with gaps; and one that is open.
        let whom = |seq: u64| match seq / bundle::ENTRIES {
            0 => None,
            1 => Some(organization(7)),
            2 => Some(organization(seq)),
            _ if seq.is_multiple_of(5) => None,
            _ => Some(organization(seq % 3)),
        };
        let mut concerned = Concerned::default();
        let mut entry = Entry::new(
            Timestamp::from_millis(0),
            Actor::system(),
            Action::TokenIssue,
            Outcome::Success,
        );
        let end = 4 * bundle::ENTRIES + 100;
        for seq in 0..end {
            if let Some(organization) = whom(seq) {
                entry.organization_id = organization;
                concerned.note(&entry);
            } else {
                concerned.note_unknown();
            }
        }
        for seq in 0..end {
            assert_eq!(concerned.is_unknown(seq), whom(seq).is_none(), "{seq}");
            for held in [7, 1, 2, 200].map(organization) {
                let pruned = Pruned {
                    from: 0,
                    to: end,
                    held: held.into_iter().collect(),
                };
                let is_held = whom(seq).is_some_and(|it| it == held);
                assert_eq!(concerned.may_be_covered(&pruned, seq), !is_held, "{seq}");
            }
        }
        assert!(concerned.is_unknown(end));
        let room = |it: &Whom| it.numbers.len() * 4 + it.places.len();
        let rooms: Vec<_> = concerned.full.iter().map(room).collect();
        assert_eq!(rooms, [0, 4, 1_280, 272]);
    }
}
