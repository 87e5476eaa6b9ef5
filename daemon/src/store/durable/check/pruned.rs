//! Entries that are not there because they were pruned, and those that only seem to be.

use std::collections::{BTreeSet, HashMap};

use agentidp_shared::count::counted;
use agentidp_shared::merkle::NodeHash;
use agentidp_shared::{Entry, OrganizationId, Pruned};

use super::super::bundle::{self, Summary};
use super::super::index::Index;
use super::log::{Expected, Short, tile_digest};
use super::{Check, Finding, Part};
use crate::store::{ReadError, StoredEntry};

/// Of each entry, which organization it concerns: a number for each organization, to be small.
#[derive(Default)]
pub(super) struct Concerned {
    numbers: HashMap<Option<OrganizationId>, u32>,
    organizations: Vec<Option<OrganizationId>>,
    entries: Vec<u32>,
}

/// An entry that is there no more, so that nobody can tell whom it concerned.
const UNKNOWN: u32 = u32::MAX;

impl Concerned {
    /// Notes whom the next entry concerns.
    pub(super) fn note(&mut self, entry: &Entry) {
        let organization = entry.organization_id;
        let organizations = &mut self.organizations;
        let number = *self.numbers.entry(organization).or_insert_with(|| {
            organizations.push(organization);
            u32::try_from(organizations.len() - 1).unwrap_or(UNKNOWN)
        });
        self.entries.push(number);
    }

    /// Notes that the next entry is not there.
    pub(super) fn note_unknown(&mut self) {
        self.entries.push(UNKNOWN);
    }

    /// Whether `pruned` may have removed the entry at `seq`.
    fn may_be_covered(&self, pruned: &Pruned, seq: u64) -> bool {
        let place = usize::try_from(seq).ok();
        let number = place.and_then(|place| self.entries.get(place)).copied();
        let known = number.and_then(|number| self.organizations.get(number as usize));
        // With nobody named, no hold stands against it.
        pruned.covers(seq, known.copied().flatten())
    }

    /// Whether it cannot be told whom the entry at `seq` concerned.
    fn is_unknown(&self, seq: u64) -> bool {
        let place = usize::try_from(seq).ok();
        let number = place.and_then(|place| self.entries.get(place)).copied();
        number.is_none_or(|number| number == UNKNOWN)
    }
}

impl Expected {
    /// Whether the entry at `seq` may be missing from the index.
    fn may_lack(&self, seq: u64, since: &[Entry]) -> bool {
        let prunings = self.prunings.iter().chain(since);
        let mut prunings = prunings.filter_map(|entry| entry.pruned.as_ref());
        prunings.any(|pruned| self.concerned.may_be_covered(pruned, seq))
    }

    /// How many entries are said to have been pruned.
    fn said(&self, since: &[Entry]) -> u64 {
        let later = since.iter().filter(|entry| entry.seq >= self.end);
        let prunings = self.prunings.iter().chain(later);
        prunings.filter_map(|entry| entry.count).sum()
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
    /// Whatever bundle `number` lacks was pruned. `since` are the prunings that the log did not have
    /// when it was read.
    pub(super) fn lacking(
        &mut self,
        expected: &Expected,
        number: u64,
        entries: &[StoredEntry],
        since: &[Entry],
    ) {
        if entries.len() as u64 == bundle::ENTRIES {
            return;
        }
        let there: BTreeSet<_> = entries.iter().map(|entry| entry.seq).collect();
        let (first, last) = bundle::range(number);
        for seq in (first..=last).filter(|seq| !there.contains(seq)) {
            if expected.may_lack(seq, since) {
                self.report.pruned += 1;
            } else {
                let problem = "it is not there, and no entry says that it was pruned".to_owned();
                self.report.add(Finding::entry(Part::Index, seq, problem));
            }
        }
    }

    /// No more are missing than the entries that say so have counted: whom one concerned that is there no
    /// more, and so whether a legal hold stood against it, nothing else can tell.
    pub(super) fn lacking_in_all(&mut self, expected: &Expected, since: &[Entry]) {
        let (missing, said) = (self.report.pruned, expected.said(since));
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
