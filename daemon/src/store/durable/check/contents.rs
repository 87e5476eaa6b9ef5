//! What the index holds, against what the log says. What changed from the index's mark on may be
//! missing there, as it is after a crash: the next start brings it up to date.

use super::super::OpenError;
use super::super::bundle;
use super::super::index::Index;
use super::super::kept::MARGIN;
use super::super::places;
use super::super::records::Header;
use super::compact::Compact;
use super::log::{Expected, short, tile_digest};
use super::naming::Asked;
use super::pruned::{bundle_digest, finds};
use super::{Bounds, Check, Finding, Part, word};
use agentidp_shared::count::counted;

use crate::crypto::sha256;
use crate::store::form::hex;
use crate::store::{Record, RecordKey, Temporary, TemporaryKey, form};

/// How many records lie between two looks at whether to go on.
const STEP: u64 = 256;

impl Check<'_> {
    /// Whether to go on, asked now and then.
    fn go_on(&self, done: u64) -> Result<(), OpenError> {
        if !done.is_multiple_of(STEP) {
            return Ok(());
        }
        self.progress.reach(done);
        if self.progress.rest() {
            Ok(())
        } else {
            Err(OpenError::Interrupted)
        }
    }

    /// Every record is the one that its last entry names.
    pub(super) fn records(
        &mut self,
        index: &Index,
        expected: &mut Expected,
        bounds: &Bounds,
        asked: &mut Asked,
    ) -> Result<(), OpenError> {
        let count = expected.records.len() as u64;
        self.progress.begin("comparing the records", count);
        let mut there = 0;
        for (found, done) in index.all_records().zip(1..) {
            let (key, header, stored) = found?;
            self.record(expected, bounds, &key, header, &stored);
            there = done;
            self.go_on(done)?;
        }
        self.report.records = there + expected.records.len() as u64;
        let missing = expected.records.iter().map(|(_, last)| last.seq());
        for seq in missing.filter(|seq| *seq < bounds.settled) {
            asked.lost(seq);
        }
        // What comes next takes memory too.
        expected.records = Compact::default();
        Ok(())
    }

    /// Holds a record against the log.
    fn record(
        &mut self,
        expected: &mut Expected,
        bounds: &Bounds,
        key: &[u8],
        header: Header,
        stored: &[u8],
    ) {
        let Ok(record) = form::decode::<Record>(stored) else {
            let problem = format!("what stands under {} is no record", hex(key));
            self.report.add(Finding::whole(Part::Index, problem));
            return;
        };
        let (kind, id) = record.key().target();
        let last = expected.records.remove(&expected.tags.record(kind, &id));
        let seq = header.past.seq;
        let problem = match last {
            Some(last) if last.seq() == seq => {
                let digest = expected.tags.digest(short(&sha256(stored)));
                (last.digest != digest).then(|| {
                    format!("the record was changed: it is not the one that entry {seq} names")
                })
            }
            Some(_) | None if seq >= bounds.unknown => None,
            Some(last) if last.seq() >= bounds.settled => None,
            Some(last) => Some(format!(
                "the record was put back: it is as entry {seq} left it, and entry {} changed it last",
                last.seq()
            )),
            None => Some("the record was put there: no entry accounts for it".to_owned()),
        };
        let problem = problem.or_else(|| {
            (places::key_of(&record) != key).then(|| {
                format!(
                    "the record stands under {}, where it is not looked for",
                    hex(key)
                )
            })
        });
        if let Some(problem) = problem {
            let seq = last.map_or(seq, |last| last.seq());
            let finding = Finding::new(Part::Index, word(kind), Some(id), problem);
            self.report.add(finding.of(seq));
        }
    }

    /// Every organization is found by its name, and no name is that of another.
    pub(super) fn names(&mut self, index: &Index) -> Result<(), OpenError> {
        for found in index.organizations(None, usize::MAX)? {
            let Record::Organization(it) = &found.record else {
                continue;
            };
            if index.organization_by_name(&it.name)? != Some(it.id) {
                let (kind, id) = RecordKey::Organization(it.id).target();
                let problem = format!("it is not found by its name, {}", it.name.as_str());
                let finding = Finding::new(Part::Index, word(kind), Some(id), problem);
                self.report.add(finding.of(found.audit_seq));
            }
        }
        for found in index.all_names() {
            let (name, id) = found?;
            let owner = index.get(&[&[places::ORGANIZATION], id.as_slice()].concat())?;
            let owner = owner.and_then(|stored| stored.record.into_organization());
            if owner.is_none_or(|owner| owner.name.as_str().as_bytes() != name) {
                let name = String::from_utf8_lossy(&name).into_owned();
                let problem = "the name is that of no organization".to_owned();
                self.report
                    .add(Finding::new(Part::Index, "name", Some(name), problem));
            }
        }
        Ok(())
    }

    /// What is kept for a time. What has expired may be gone, or still be there.
    pub(super) fn kept(
        &mut self,
        index: &Index,
        expected: &mut Expected,
        bounds: &Bounds,
    ) -> Result<(), OpenError> {
        let limit = expected.latest - MARGIN;
        let is_over = |it: &Temporary| it.expires_at.as_millis() <= limit;
        for found in index.kept.all() {
            let (seq, found) = found?;
            let problem = match expected.kept.remove(&found.key) {
                Some((_, same)) if same == found => None,
                _ if seq >= bounds.unknown || is_over(&found) => None,
                Some((last, _)) if last >= bounds.settled => None,
                Some((last, _)) => Some(format!("it is not what entry {last} kept")),
                None if seq < expected.kept_from(&found.key) => None,
                None => Some("no entry accounts for it".to_owned()),
            };
            if let Some(problem) = problem {
                let finding = kept_finding(&found.key, problem);
                self.report.add(finding.of(seq));
            }
        }
        let missing = expected.kept.values();
        // In use, what expires meanwhile goes meanwhile.
        let grace = i64::from(bounds.unknown != u64::MAX) * MARGIN * 60;
        for (seq, it) in missing.filter(|(seq, it)| {
            *seq < bounds.settled && it.expires_at.as_millis() > limit.saturating_add(grace)
        }) {
            let finding = kept_finding(&it.key, "it is not there".to_owned());
            self.report.add(finding.of(*seq));
        }
        if expected.journal_from > 0 {
            self.report.notes.push(format!(
                "what was kept for a time before entry {}, such as which assertions were used, cannot be verified, for the journal begins there; which tokens were revoked was verified from entry {} on",
                expected.journal_from, expected.revoked_from
            ));
        }
        Ok(())
    }

    /// How records were used is what the log says.
    pub(super) fn uses(
        &mut self,
        index: &Index,
        expected: &mut Expected,
        bounds: &Bounds,
    ) -> Result<(), OpenError> {
        if expected.hides_some {
            let note = "how often credentials were used cannot be verified: the entries that say so were pruned";
            self.report.notes.push(note.to_owned());
            return Ok(());
        }
        self.progress
            .begin("comparing the uses", expected.uses.len() as u64);
        for (found, done) in index.all_uses().zip(1..) {
            let (key, count) = found?;
            self.go_on(done)?;
            let Some(key) = key else {
                let problem = "there is a count of nothing that is counted".to_owned();
                self.report.add(Finding::whole(Part::Index, problem));
                continue;
            };
            let is_right = match expected.uses.remove(&key) {
                Some(same) if same == count => true,
                Some(last) if last.end() > bounds.counted => count.may_become(last, bounds.unknown),
                Some(_) | None => count.end() > bounds.unknown,
            };
            if !is_right {
                let (kind, id) = key.name();
                let problem = format!(
                    "it was used {} times by entry {}, says the index, and the log says something else",
                    count.total(),
                    count.end()
                );
                self.report
                    .add(Finding::new(Part::Index, kind, Some(id), problem));
            }
        }
        let lost = expected.uses.iter();
        for (key, last) in lost.filter(|(_, last)| last.end() <= bounds.counted) {
            let (kind, id) = key.name();
            let problem = "its uses are not counted".to_owned();
            let finding = Finding::new(Part::Index, kind, Some(id), problem);
            self.report.add(finding.of(last.end().saturating_sub(1)));
        }
        Ok(())
    }

    /// Every entry is the one that was written, and is found by what it says.
    pub(super) fn bundles(
        &mut self,
        index: &Index,
        expected: &Expected,
        bounds: &Bounds,
        asked: &mut Asked,
    ) -> Result<(), OpenError> {
        let count = bounds.bundled / bundle::ENTRIES;
        self.progress.begin("comparing the entries", bounds.bundled);
        let digests = expected.bundles().zip(&expected.summaries);
        for (number, (digest, summary)) in (0..count).zip(digests) {
            let entries = index
                .bundle(number)
                .and_then(|packed| bundle::unpack(number, &packed));
            let found = index.summary(number)?;
            let is_as_made = short(&sha256(&found)) == *summary;
            let finds_all = match entries {
                Ok(entries) if bundle_digest(index, number, &entries)? == digest => {
                    self.lacking(index, expected, number, &entries);
                    let is_whole = entries.len() as u64 == bundle::ENTRIES;
                    // One of a bundle that was pruned was made of entries that the log may have no more.
                    let may_differ = entries.is_empty() || !(is_whole || expected.is_whole);
                    is_as_made || (may_differ && finds(&found, &entries))
                }
                other => {
                    asked.differs(number, other.unwrap_or_default());
                    is_as_made
                }
            };
            // A summary that is missing hides nothing.
            if !finds_all && !found.is_empty() {
                let (first, last) = bundle::range(number);
                let problem = format!("what finds the entries {first} to {last} is not theirs");
                self.report.add(Finding::whole(Part::Index, problem));
            }
            self.progress.reach((number + 1) * bundle::ENTRIES);
            if !self.progress.rest() {
                return Err(OpenError::Interrupted);
            }
        }
        if self.report.pruned > 0 {
            let note = format!(
                "pruned: {}, of which only the hashes are there",
                counted(self.report.pruned, "entry")
            );
            self.report.notes.push(note);
        }
        Ok(())
    }

    /// Every full tile of the log's tree is there.
    pub(super) fn tiles(&mut self, index: &Index, expected: &Expected, bounds: &Bounds) {
        let full = expected.tiles.iter();
        for tile in full.take_while(|tile| tile.end <= bounds.bundled) {
            let (level, place) = tile.place;
            let hashes = index.tile(level, place);
            if !hashes.is_ok_and(|hashes| tile_digest(&hashes) == tile.digest) {
                let problem = "it is not there, or not what the entries make".to_owned();
                let id = format!("{level}/{place}");
                self.report
                    .add(Finding::new(Part::Index, "tile", Some(id), problem));
            }
        }
    }
}

fn kept_finding(key: &TemporaryKey, problem: String) -> Finding {
    let (kind, id) = match key {
        TemporaryKey::RevokedToken(jti) => ("revoked_token", jti.to_string()),
        TemporaryKey::UsedAssertion(hash) => ("used_assertion", hex(hash)),
        TemporaryKey::Idempotency(hash) => ("idempotency_key", hex(hash)),
        TemporaryKey::Notice(hash) => ("notice", hex(hash)),
    };
    Finding::new(Part::Index, kind, Some(id), problem)
}
