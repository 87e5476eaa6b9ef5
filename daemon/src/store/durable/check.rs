//! `agentidpd store check`: is everything there, is it what was written, and does the index say
//! the same as the journal? Reads only.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use agentidp_shared::Entry;

use super::frame::Hash;
use super::index::{Index, Mark, stored_pair};
use super::layout::Layout;
use super::open::check_head;
use super::{OpenError, StoreOptions, journal};
use crate::store::form::hex;
use crate::store::{Record, form};

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
    let mut at_head: Option<Hash> = None;
    let mut records = Records::new();
    let end = journal::scan(&layout.journal(), identity.id, 1, &mut |frame| {
        report.frames += 1;
        if head.as_ref().is_some_and(|head| head.frame == frame.number) {
            at_head = Some(frame.hash);
        }
        for (item, seq) in frame.items.iter().zip(frame.first_seq..) {
            report.entries += 1;
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
                    records.insert(key, (frame.number, value));
                }
                Err(error) => report
                    .findings
                    .push(format!("the record of entry {seq}: {error}")),
            }
        }
        Ok(())
    })?;
    report.records = records.len() as u64;
    if end.torn > 0 {
        tracing::warn!(
            bytes = end.torn,
            "the journal ends in a write that was cut off; the next start removes it"
        );
    }
    if let Err(error) = check_head(head, identity.id, at_head, &end.position) {
        report.findings.push(error.to_string());
    }
    check_index(&layout, records, &mut report)?;
    Ok(report)
}

/// The records as the journal has them last: by key, the frame of the last change and the value.
type Records = BTreeMap<Vec<u8>, (u64, Vec<u8>)>;

/// Holds the index against what the journal says. What changed from the index's mark on may be
/// missing there, as it is after a crash: the next start brings it up to date.
fn check_index(
    layout: &Layout,
    mut records: Records,
    report: &mut Report,
) -> Result<(), OpenError> {
    let folder = layout.index();
    let Some(Mark { frame: mark, .. }) = Index::read_mark(&folder) else {
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
        match records.remove(&key) {
            Some((changed, expected)) if expected == value || changed >= mark => {}
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
    let missing = records.iter().filter(|(_, (changed, _))| *changed < mark);
    report
        .findings
        .extend(missing.map(|(key, _)| format!("the index lacks record {}", hex(key))));
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
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
