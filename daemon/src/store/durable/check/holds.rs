//! Legal holds, as the log has them: an organization is under one from `organization.hold` to the next
//! `organization.release`. Its record says the same, and nothing of its entries is pruned in between.
//!
//! It is told from the log alone, so no crash, restore, older index or compaction makes a difference, and where the log
//! begins before the journal too: the entry of a hold is the organization's own, and stays for as long as the hold. A
//! second hold changes nothing, and one release ends all. Whom an entry concerned that is gone from the index, only
//! the journal tells.

use std::collections::{BTreeMap, HashMap};

use agentidp_shared::count::counted;
use agentidp_shared::{Action, Entry, OrganizationId, TargetKind};

use super::log::Expected;
use super::{Finding, Part, Report};
use crate::store::{Record, form};

/// Nobody's, in [`Holds::owners`].
const NOBODY: u32 = 0;

/// Whether an organization is under legal hold.
#[derive(Clone, Copy)]
struct Hold {
    /// As the last hold or release says.
    by_log: bool,
    /// As its record says, or has to after that.
    by_record: bool,
}

impl Hold {
    const fn is(held: bool) -> Self {
        Self {
            by_log: held,
            by_record: held,
        }
    }
}

/// The holds after some of the log, and whose the journal's entries are.
#[derive(Default)]
pub(super) struct Holds {
    known: HashMap<OrganizationId, Hold>,
    /// Whether there may have been others before: then the first record of an organization is believed.
    are_some: bool,
    /// The organizations of entries, and of each its place here counted from 1.
    organizations: Vec<OrganizationId>,
    numbers: HashMap<OrganizationId, u32>,
    /// The first entry of the journal.
    first: u64,
    /// Whose it is, and those after it. Four bytes each, beside some hundred of the journal.
    owners: Vec<u32>,
}

impl Holds {
    /// Those after a part of the log of which nothing is known.
    pub(super) fn unknown() -> Self {
        Self {
            are_some: true,
            ..Self::default()
        }
    }

    /// Takes in what an entry says of a hold.
    pub(super) fn note(&mut self, entry: &Entry) {
        let is_held = match entry.action {
            Action::OrganizationHold => true,
            Action::OrganizationRelease => false,
            _ => return,
        };
        // One that was refused changed no record.
        let target = entry.target.as_ref().filter(|it| it.digest.is_some());
        let target = target.filter(|it| it.kind == TargetKind::Organization);
        if let Some(Ok(id)) = target.map(|it| it.id.parse()) {
            self.known.insert(id, Hold::is(is_held));
        }
    }

    /// The entry `seq`, the next of the journal, is of this organization.
    pub(super) fn owned(&mut self, seq: u64, by: Option<OrganizationId>) {
        if self.owners.is_empty() {
            self.first = seq;
        }
        let number = by.map_or(NOBODY, |id| {
            *self.numbers.entry(id).or_insert_with(|| {
                self.organizations.push(id);
                u32::try_from(self.organizations.len()).unwrap_or(NOBODY)
            })
        });
        if self.owners.len() == self.owners.capacity() {
            self.owners.reserve_exact(self.owners.len() / 8 + 1_024);
        }
        self.owners.push(number);
    }

    /// Whose the entry at `place` is, if it is under legal hold now.
    fn keeper_of(&self, place: u64) -> Option<OrganizationId> {
        let after = usize::try_from(place.checked_sub(self.first)?).ok()?;
        let number = self.owners.get(after)?.checked_sub(1)?;
        let id = *self.organizations.get(usize::try_from(number).ok()?)?;
        self.known.get(&id).filter(|it| it.by_log).map(|_| id)
    }
}

impl Expected {
    /// Takes in what the entry `by` says was pruned, if it says so.
    pub(super) fn prune(&mut self, entry: &Entry, by: u64, report: &mut Report) {
        if entry.pruned.is_none() {
            return;
        }
        let mut problems = Vec::new();
        if let Some(pruned) = entry.prunes() {
            let (mut count, mut kept) = (0, BTreeMap::<OrganizationId, u64>::new());
            for place in pruned.removed() {
                // What went before a hold can be named again behind it.
                if self.pruned.contains(place) || self.pruned_late.contains(place) {
                    continue;
                }
                count += 1;
                if let Some(id) = self.holds.keeper_of(place) {
                    *kept.entry(id).or_default() += 1;
                }
            }
            let noted = if by < self.settled {
                &mut self.pruned
            } else {
                &mut self.pruned_late
            };
            noted.extend(pruned.removed());
            problems.extend(kept.into_iter().map(|(id, kept)| {
                let kept = counted(kept, "entry");
                format!("it says that {kept} of organization {id} went, which was under legal hold")
            }));
            // What went before the part of the log that can be read is not known.
            if entry.count != Some(count) && !self.is_partial {
                let (said, there) = (entry.count.unwrap_or(0), counted(count, "entry"));
                problems.push(format!(
                    "it counts {said} that it pruned, and says so of {there}"
                ));
            }
        } else {
            problems.push("it cannot prune what it says that it did: it is no audit.prune that succeeded, or not all of that comes before it".to_owned());
        }
        for problem in problems {
            report.add(Finding::entry(Part::Journal, by, problem));
        }
    }

    /// What is wrong with what the record that is `stored` with its entry says of a legal hold.
    pub(super) fn hold_problem(&mut self, entry: &Entry, stored: Option<&[u8]>) -> Option<String> {
        let target = entry.target.as_ref();
        let stored =
            stored.filter(|_| target.is_some_and(|it| it.kind == TargetKind::Organization));
        let Ok(Record::Organization(it)) = form::decode(stored?) else {
            return None;
        };
        let unheard = Hold::is(self.holds.are_some && it.is_held);
        let hold = self.holds.known.entry(it.id).or_insert(unheard);
        if it.is_held == hold.by_record {
            return None;
        }
        hold.by_record = it.is_held;
        let (says, by) = if it.is_held {
            ("is under legal hold", Action::OrganizationHold)
        } else {
            (
                "is not under legal hold any more",
                Action::OrganizationRelease,
            )
        };
        Some(format!(
            "the record says that it {says}, and no {} of the log does",
            by.as_str()
        ))
    }
}
