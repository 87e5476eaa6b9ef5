//! `agentidpd store check`: is everything there, is it what was written, and does the index say
//! the same as the journal? Reads only.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::{fs, io};

use agentidp_shared::Entry;
use agentidp_shared::merkle::{Edge, NodeHash};

use super::bundle;
use super::frame::{Hash, sha256};
use super::head::check_head;
use super::index::Index;
use super::journal::Position;
use super::kept::MARGIN;
use super::layout::Layout;
use super::records::stored_pair;
use super::tally::Mark;
use super::{OpenError, StoreOptions, journal};
use crate::store::form::hex;
use crate::store::{ReadError, Record, StoredEntry, Temporary, TemporaryKey, form};

/// What a check found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// How many frames the journal has.
    pub(crate) frames: u64,
    /// How many audit entries.
    pub(crate) entries: u64,
    /// How many records.
    pub(crate) records: u64,
    /// What is wrong; empty for a sound store.
    pub(crate) findings: Vec<String>,
}

/// Verifies a store that nobody has open: every frame, the chain, the head file, the order of the
/// entries, the digest of each record, and the index against all of it.
///
/// # Errors
///
/// [`OpenError`] when the journal itself cannot be read to its end.
pub(crate) fn check(options: &StoreOptions) -> Result<Report, OpenError> {
    let layout = Layout::new(options);
    let identity = layout.read_identity()?;
    let _lock = layout.lock()?;
    let head = layout.read_head()?;
    let mut report = Report::default();
    let mut at_head = None;
    let mut expected = Expected::default();
    if let Some(head) = &head {
        expected.promise("head file", head.entries, head.root);
    }
    match layout.read_checkpoint() {
        Ok(None) => {}
        Ok(Some(kept)) => expected.promise("checkpoint", kept.size, kept.root),
        Err(error) => report.findings.push(error.to_string()),
    }
    let end = journal::scan(&layout.journal(), identity.id, 1, &mut |frame| {
        report.frames += 1;
        if head.as_ref().is_some_and(|head| head.frame == frame.number) {
            at_head = Some(Position::after(frame));
        }
        for (item, seq) in frame.items.iter().zip(frame.first_seq..) {
            report.entries += 1;
            expected.add(StoredEntry {
                seq,
                json: item.entry.clone(),
            });
            let Ok(entry) = serde_json::from_slice::<Entry>(&item.entry) else {
                report
                    .findings
                    .push(format!("entry {seq} is not an audit entry"));
                continue;
            };
            if entry.seq != seq {
                report
                    .findings
                    .push(format!("entry {seq} says that it is entry {}", entry.seq));
            }
            expected.newest = entry.time.as_millis();
            if let Some(stored) = &item.kept {
                match form::decode::<Vec<Temporary>>(stored) {
                    Ok(kept) => expected.keep(frame.number, kept),
                    Err(error) => report
                        .findings
                        .push(format!("what entry {seq} keeps for a time: {error}")),
                }
            }
            let Some(stored) = &item.change else { continue };
            let named = entry.target.and_then(|target| target.digest);
            if named.as_deref() != Some(form::digest(stored).as_str()) {
                report.findings.push(format!(
                    "the record of entry {seq} is not the one that the entry names"
                ));
            }
            match form::decode::<Record>(stored) {
                Ok(record) => {
                    let (key, value) = stored_pair(&record, stored, seq);
                    expected.records.insert(key, (frame.number, record, value));
                }
                Err(error) => report
                    .findings
                    .push(format!("the record of entry {seq}: {error}")),
            }
        }
        Ok(())
    })?;
    report.records = expected.records.len() as u64;
    if end.torn > 0 {
        tracing::warn!(
            bytes = end.torn,
            "the journal ends in a write that was cut off; the next start removes it"
        );
    }
    if let Err(error) = check_head(&layout, identity.id, head.as_ref(), at_head, &end.position) {
        report.findings.push(error.to_string());
    }
    report.findings.extend(expected.promises.iter().map(|promise| {
        format!(
            "the {} says that the log's first {} entries have the root {}, and the journal's have not",
            promise.what, promise.size, promise.root
        )
    }));
    check_index(&layout, expected, &mut report)?;
    Ok(report)
}

/// What the journal says that the index must say too.
#[derive(Default)]
struct Expected {
    /// The records as the journal has them last: by key, the frame of the last change, the record,
    /// and the value.
    records: BTreeMap<Vec<u8>, (u64, Record, Vec<u8>)>,
    /// What is kept for a time: the frame, and what it is.
    kept: HashMap<TemporaryKey, (u64, Temporary)>,
    /// The time of the newest entry, in milliseconds.
    newest: i64,
    /// The digest of each full bundle of entries.
    bundles: Vec<Hash>,
    /// The entries of the bundle that is not full yet.
    open: Vec<StoredEntry>,
    /// The tree over the log.
    tree: Edge,
    /// How many entries there were when a tile of it was full, its level and its place, and the digest
    /// of its hashes.
    tiles: Vec<(u64, u8, u64, Hash)>,
    /// What others say of the tree and was not found to hold yet.
    promises: Vec<Promise>,
}

/// A tree that the log is said to begin with.
struct Promise {
    what: &'static str,
    size: u64,
    root: NodeHash,
}

impl Expected {
    fn promise(&mut self, what: &'static str, size: u64, root: NodeHash) {
        self.promises.push(Promise { what, size, root });
    }

    fn keep(&mut self, frame: u64, kept: Vec<Temporary>) {
        self.kept
            .extend(kept.into_iter().map(|it| (it.key, (frame, it))));
    }

    fn add(&mut self, entry: StoredEntry) {
        let end = entry.seq + 1;
        let tiles = &mut self.tiles;
        self.tree
            .push(NodeHash::of_leaf(&entry.json), |level, place, hashes| {
                tiles.push((end, level, place, tile_digest(hashes)));
            });
        let tree = &self.tree;
        self.promises
            .retain(|it| it.size != end || it.root != tree.root());
        self.open.push(entry);
        if self.open.len() as u64 == bundle::ENTRIES {
            self.bundles.push(bundle_digest(&self.open));
            self.open.clear();
        }
    }
}

fn tile_digest(hashes: &[NodeHash]) -> Hash {
    let bytes: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
    sha256(&bytes)
}

fn bundle_digest(entries: &[StoredEntry]) -> Hash {
    let hashes: Vec<u8> = entries
        .iter()
        .flat_map(|entry| sha256(&entry.json))
        .collect();
    sha256(&hashes)
}

/// Holds the index against what the journal says. What changed from the index's mark on may be
/// missing there, as it is after a crash: the next start brings it up to date.
fn check_index(
    layout: &Layout,
    mut expected: Expected,
    report: &mut Report,
) -> Result<(), OpenError> {
    let folder = layout.index();
    let Some(mark) = Index::read_mark(&folder) else {
        tracing::warn!("there is no index; the next start makes one from the journal");
        return Ok(());
    };
    // Opening a sled database writes to it; what is checked is to stay as it is.
    let copy = tempfile::tempdir().map_err(OpenError::io(&folder))?;
    copy_folder(&folder, copy.path()).map_err(OpenError::io(&folder))?;
    let index = match Index::open(copy.path()) {
        Ok(index) => index,
        Err(error) => {
            report.findings.push(error.to_string());
            return Ok(());
        }
    };
    for pair in index.all_records() {
        let (key, value) = pair?;
        match expected.records.remove(&key) {
            Some((changed, ..)) if changed >= mark.frame => {}
            Some((_, record, same)) if same == value => {
                if !index.finds(&record)? {
                    let finding =
                        format!("the index does not find record {} by its name", hex(&key));
                    report.findings.push(finding);
                }
            }
            Some(_) => report.findings.push(format!(
                "the index has another version of record {}",
                hex(&key)
            )),
            None => report.findings.push(format!(
                "the index has a record that the journal has not: {}",
                hex(&key)
            )),
        }
    }
    let missing = expected
        .records
        .iter()
        .filter(|(_, (changed, ..))| *changed < mark.frame);
    report
        .findings
        .extend(missing.map(|(key, _)| format!("the index lacks record {}", hex(key))));
    check_kept(&index, &mark, &mut expected, report)?;
    for (number, digest) in (0..mark.open_seq / bundle::ENTRIES).zip(&expected.bundles) {
        let entries = index
            .bundle(number)
            .and_then(|packed| bundle::unpack(number, &packed));
        if !entries.is_ok_and(|entries| bundle_digest(&entries) == *digest) {
            let (first, last) = (number * bundle::ENTRIES, (number + 1) * bundle::ENTRIES - 1);
            report.findings.push(format!(
                "the index has not the entries {first} to {last} as they were written"
            ));
        }
    }
    for (end, level, place, digest) in &expected.tiles {
        if *end > mark.open_seq {
            break;
        }
        let hashes = index.tile(*level, *place);
        if !hashes.is_ok_and(|hashes| tile_digest(&hashes) == *digest) {
            report.findings.push(format!(
                "the index has not tile {place} of level {level} of the log's tree"
            ));
        }
    }
    Ok(())
}

/// Holds what the index keeps for a time against the journal. What has expired may be gone there, or
/// still be there.
fn check_kept(
    index: &Index,
    mark: &Mark,
    expected: &mut Expected,
    report: &mut Report,
) -> Result<(), ReadError> {
    let limit = mark.kept_after.max(expected.newest - MARGIN);
    let is_over = |it: &Temporary| it.expires_at.as_millis() <= limit;
    let name = |key: &TemporaryKey| form::encode(key).map(|key| hex(&key)).unwrap_or_default();
    for found in index.kept.all() {
        let found = found?;
        match expected.kept.remove(&found.key) {
            Some((frame, _)) if frame >= mark.frame => {}
            Some((_, same)) if same == found => {}
            Some((_, other)) if is_over(&other) => {}
            Some(_) => report.findings.push(format!(
                "the index keeps another version of {}",
                name(&found.key)
            )),
            None => report.findings.push(format!(
                "the index keeps what the journal has not: {}",
                name(&found.key)
            )),
        }
    }
    let missing = expected
        .kept
        .values()
        .filter(|(frame, it)| *frame < mark.frame && !is_over(it));
    report
        .findings
        .extend(missing.map(|(_, it)| format!("the index has not kept {}", name(&it.key))));
    Ok(())
}

/// Copies a folder and all that is in it.
pub(super) fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&target)?;
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
