//! What the journal is read a second time for, when something is wrong: which records are lost, and
//! which entries differ.

use std::collections::{BTreeMap, BTreeSet};

use agentidp_shared::Entry;

use super::super::bundle;
use super::super::index::Index;
use super::super::{OpenError, journal};
use super::{Check, Finding, Part, word};
use crate::store::StoredEntry;

/// How many bundles are compared entry by entry.
const MOST_BUNDLES: usize = 16;

/// What is to be named.
#[derive(Default)]
pub(super) struct Asked {
    /// The last entries of the records that are lost.
    lost: BTreeSet<u64>,
    /// The bundles that differ, as far as they can be read.
    differing: BTreeMap<u64, Vec<StoredEntry>>,
}

impl Asked {
    /// A record is lost whose last entry is `seq`.
    pub(super) fn lost(&mut self, seq: u64) {
        self.lost.insert(seq);
    }

    /// The index has `entries` as a bundle, and they are not those of the log.
    pub(super) fn differs(&mut self, number: u64, entries: Vec<StoredEntry>) {
        let is_few = self.differing.len() < MOST_BUNDLES;
        self.differing
            .insert(number, if is_few { entries } else { Vec::new() });
    }
}

impl Check<'_> {
    /// Names what was asked for.
    pub(super) fn name(&mut self, index: &Index, mut asked: Asked) -> Result<(), OpenError> {
        for (number, _) in asked.differing.iter().filter(|(_, it)| it.is_empty()) {
            let (first, last) = bundle::range(*number);
            let problem =
                format!("the entries {first} to {last} are not there as they were written");
            self.report.add(Finding::whole(Part::Index, problem));
        }
        asked.differing.retain(|_, entries| !entries.is_empty());
        if asked.lost.is_empty() && asked.differing.is_empty() {
            return Ok(());
        }
        let (folder, id) = (self.layout.journal(), self.id);
        let first = journal::first_frame(&folder)?;
        self.progress
            .begin("naming what was found", self.report.entries);
        journal::scan(&folder, id, first, &mut |frame| {
            for (item, seq) in frame.items.iter().zip(frame.first_seq..) {
                if asked.lost.remove(&seq) {
                    self.name_lost(seq, &item.entry);
                }
                let bundle = asked.differing.get(&(seq / bundle::ENTRIES));
                let found = bundle.and_then(|bundle| bundle.iter().find(|it| it.seq == seq));
                if let Some(found) = found
                    && found.json != item.entry
                {
                    let problem = "it is not the entry that was written".to_owned();
                    self.report.add(Finding::entry(Part::Index, seq, problem));
                }
            }
            self.progress.reach(frame.first_seq);
            if self.progress.rest() {
                Ok(())
            } else {
                Err(OpenError::Interrupted)
            }
        })?;
        // The journal has let go of these entries, and the index has them.
        for seq in asked.lost {
            let number = seq / bundle::ENTRIES;
            let packed = index.bundle(number)?;
            let entries = bundle::unpack(number, &packed).unwrap_or_default();
            let found = entries.iter().find(|it| it.seq == seq);
            self.name_lost(seq, found.map(|it| it.json.as_ref()).unwrap_or_default());
        }
        Ok(())
    }

    fn name_lost(&mut self, seq: u64, json: &[u8]) {
        let entry = serde_json::from_slice::<Entry>(json).ok();
        let target = entry.and_then(|entry| entry.target);
        let kind = target.as_ref().map_or("record", |target| word(target.kind));
        let problem = "the record is not there".to_owned();
        let id = target.map(|target| target.id);
        self.report
            .add(Finding::new(Part::Index, kind, id, problem).of(seq));
    }
}
