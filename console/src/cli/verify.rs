//! `agentidp audit verify FILE`: what was exported from an audit log is verified here, without the
//! daemon and without the network.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::path::Path;

use agentidp_shared::OrganizationId;
use agentidp_shared::merkle::export::{Report, VerifyError, verify_export};
use agentidp_shared::merkle::{Checkpoint, MAX_NOTE_BYTES, TLOG_PROOF, TlogProof, VerifierKey};
use serde::Serialize;

use crate::error::Error;
use crate::text::{counted, thousands};

use super::output::{Output, Record};
use super::progress::Progress;

/// From this size on, how far it is is told.
const LARGE: u64 = 32 * 1_024 * 1_024;
/// The most bytes that a proof of one entry has.
const MAX_PROOF_BYTES: u64 = 2 * MAX_NOTE_BYTES as u64;

pub(super) fn run(
    path: &Path,
    key: &VerifierKey,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let name = path.display().to_string();
    let unreadable = || Error::io(format!("cannot read {name}"));
    let file = File::open(path).map_err(unreadable())?;
    let size = file.metadata().map_err(unreadable())?.len();
    let mut file = BufReader::with_capacity(256 * 1_024, file);
    let not_verified = |why: String| Error::NotVerified {
        file: name.clone(),
        why,
    };
    let start = file.fill_buf().map_err(unreadable())?;
    if start.starts_with(TLOG_PROOF.as_bytes()) {
        let mut bytes = Vec::new();
        let mut file = file.take(MAX_PROOF_BYTES);
        file.read_to_end(&mut bytes).map_err(unreadable())?;
        let proof =
            TlogProof::from_bytes(&bytes).map_err(|error| not_verified(error.to_string()))?;
        let checkpoint = proof
            .verify(key)
            .map_err(|error| not_verified(error.to_string()))?;
        return output.one(&Verified::proof(&proof, checkpoint));
    }
    let mut progress = Progress::new("verified", LARGE);
    let mut done = 0;
    let report = verify_export(file, key, |bytes| {
        done += u64::try_from(bytes).unwrap_or(u64::MAX);
        progress.at(done, size);
    });
    drop(progress);
    match report {
        Ok(report) => {
            let unproved = unproved(&name, &report)?;
            output.one(&Verified::export(report))?;
            unproved.map_or(Ok(()), Err)
        }
        Err(VerifyError::Io(error)) => Err(unreadable()(error)),
        Err(error @ VerifyError::Fault { .. }) => Err(not_verified(error.to_string())),
    }
}

/// What `report` leaves open of the log in `file` that it is of: holes that no entry explains, in a part whose
/// end they could be explained behind.
///
/// # Errors
///
/// [`Error::NotVerified`] when the log cannot have been like this.
pub(super) fn unproved(file: &str, report: &Report) -> Result<Option<Error>, Error> {
    let file = file.to_owned();
    if report.put_back > 0 {
        let why = format!(
            "it has {} entries that were pruned, says another of its entries: they were put back",
            thousands(report.put_back)
        );
        return Err(Error::NotVerified { file, why });
    }
    if report.unexplained == 0 {
        return Ok(None);
    }
    let missing = format!(
        "of {} entries only the hashes are there, and no entry says that they were pruned",
        thousands(report.unexplained)
    );
    if report.to == report.checkpoint.size {
        let why = format!("{missing}; if entries were being pruned just then, do it once more");
        return Err(Error::NotVerified { file, why });
    }
    let why = format!(
        "{missing}; whether one behind entry {} does cannot be told from it",
        report.to.saturating_sub(1)
    );
    Ok(Some(Error::Undecided { file, why }))
}

/// What holds.
#[derive(Serialize)]
pub(super) struct Verified {
    origin: String,
    /// The size of the checkpoint's tree.
    size: u64,
    root: String,
    /// The entries that the file is about: from this place in the log.
    from: u64,
    /// To before this one.
    to: u64,
    entries: u64,
    /// How many more there were, of which only the hashes are there.
    pruned: u64,
    /// How many of these no entry that is there says to have been pruned.
    unexplained: u64,
    /// How many entries the log was known to have before, all of which it still begins with.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization_id: Option<OrganizationId>,
    /// The one entry of a proof, as it is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<String>,
}

impl Verified {
    fn export(report: Report) -> Self {
        Self {
            origin: report.checkpoint.origin,
            size: report.checkpoint.size,
            root: report.checkpoint.root.to_string(),
            from: report.from,
            to: report.to,
            entries: report.entries,
            pruned: report.pruned,
            unexplained: report.unexplained,
            since: None,
            organization_id: report.organization_id,
            entry: None,
        }
    }

    /// Of a log that is known to have had the entries up to `since`.
    pub(super) fn online(report: Report, since: Option<u64>) -> Self {
        Self {
            since,
            ..Self::export(report)
        }
    }

    fn proof(proof: &TlogProof, checkpoint: Checkpoint) -> Self {
        Self {
            origin: checkpoint.origin,
            size: checkpoint.size,
            root: checkpoint.root.to_string(),
            from: proof.index,
            to: proof.index + 1,
            entries: 1,
            pruned: 0,
            unexplained: 0,
            since: None,
            organization_id: None,
            entry: Some(String::from_utf8_lossy(&proof.entry).into_owned()),
        }
    }

    fn what_holds(&self) -> String {
        let entries = counted(self.entries, "entry");
        let last = self.to.saturating_sub(1);
        match (&self.entry, &self.organization_id) {
            (Some(_), _) => format!("entry {} is in the log", self.from),
            (None, Some(_)) => format!(
                "{entries}, as the log has them; that none between {} and {last} is missing \
                 cannot be proved of one organization's",
                self.from
            ),
            (None, None) if self.unexplained > 0 => format!(
                "{entries} of {} to {last}, as the log has them; of {} only the hashes are there, and of {} \
                 no entry here says that they were pruned",
                self.from,
                thousands(self.pruned),
                thousands(self.unexplained)
            ),
            (None, None) if self.pruned > 0 => format!(
                "{entries} of {} to {last}, as the log has them; {} pruned, of which only the hashes are there",
                self.from,
                thousands(self.pruned)
            ),
            (None, None) if self.entries == 0 => "no entries, and none missing".to_owned(),
            (None, None) => format!(
                "{entries}, {} to {last}, as the log has them, and none is missing",
                self.from
            ),
        }
    }
}

impl Record for Verified {
    const HEADINGS: &'static [&'static str] = &[];

    fn cells(&self) -> Vec<String> {
        Vec::new()
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("verified", self.what_holds()),
            ("log", self.origin.clone()),
            (
                "checkpoint",
                format!("{}, root {}", counted(self.size, "entry"), self.root),
            ),
        ];
        if let Some(since) = self.since {
            let begins = format!("begins with the {} that it had", counted(since, "entry"));
            fields.push(("history", begins));
        }
        if let Some(organization) = self.organization_id {
            fields.push(("organization", organization.to_string()));
        }
        if let Some(entry) = &self.entry {
            fields.push(("entry", entry.clone()));
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use agentidp_shared::Pruned;
    use agentidp_shared::merkle::export::{ExportWriter, Header};
    use agentidp_shared::merkle::{Edge, LogKey, NodeHash};

    use super::*;
    use crate::args::Format;

    const ENTRIES: [&[u8]; 2] = [br#"{"v":1,"seq":0}"#, br#"{"v":1,"seq":1}"#];

    fn key() -> LogKey {
        LogKey::from_seed("log.example/audit".to_owned(), &[1; 32]).unwrap()
    }

    fn checkpoint() -> String {
        let mut edge = Edge::default();
        for entry in ENTRIES {
            edge.push(NodeHash::of_leaf(entry), |_, _, _| {});
        }
        let checkpoint = Checkpoint::new("log.example/audit".to_owned(), 2, edge.root());
        checkpoint.sign(&key()).unwrap().to_string()
    }

    fn export() -> Vec<u8> {
        let header = Header::complete(0, 2, Vec::new(), checkpoint());
        let mut writer = ExportWriter::begin(Vec::new(), &header).unwrap();
        for entry in ENTRIES {
            writer.entry(entry).unwrap();
        }
        writer.end(Vec::new()).unwrap()
    }

    fn verify(file: &[u8], format: Format) -> Result<String, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, file).unwrap();
        let mut printed = Vec::new();
        run(
            &path,
            key().verifier(),
            &mut Output::new(format, &mut printed),
        )?;
        Ok(String::from_utf8(printed).unwrap())
    }

    #[test]
    fn an_export_that_holds_says_what_holds() {
        let root = checkpoint().lines().nth(2).unwrap().to_owned();
        assert_eq!(
            verify(&export(), Format::Table).unwrap(),
            format!(
                "verified    2 entries, 0 to 1, as the log has them, and none is missing\n\
                 log         log.example/audit\n\
                 checkpoint  2 entries, root {root}\n"
            )
        );
        assert_eq!(
            verify(&export(), Format::Ndjson).unwrap(),
            format!(
                "{{\"origin\":\"log.example/audit\",\"size\":2,\"root\":\"{root}\",\"from\":0,\
                 \"to\":2,\"entries\":2,\"pruned\":0,\"unexplained\":0}}\n"
            )
        );
    }

    /// An export of a log of 40 entries, of which entry 30 says that all before it were pruned but for each third.
    fn with_holes(to: u64, is_gone: impl Fn(u64) -> bool) -> Vec<u8> {
        let kept: Vec<_> = (0..30).step_by(3).collect();
        let pruned = Pruned::new(0..30, &kept).unwrap();
        let entry = |seq: u64| {
            let pruned = (seq == 30).then(|| serde_json::to_string(&pruned).unwrap());
            let said = pruned.map_or_else(String::new, |it| {
                format!(",\"action\":\"audit.prune\",\"outcome\":\"success\",\"pruned\":{it}")
            });
            format!("{{\"v\":1,\"seq\":{seq}{said}}}").into_bytes()
        };
        let mut edge = Edge::default();
        for seq in 0..40 {
            edge.push(NodeHash::of_leaf(&entry(seq)), |_, _, _| {});
        }
        let checkpoint = Checkpoint::new("log.example/audit".to_owned(), 40, edge.root());
        let checkpoint = checkpoint.sign(&key()).unwrap().to_string();
        let header = Header::complete(0, to, Vec::new(), checkpoint);
        let mut writer = ExportWriter::begin(Vec::new(), &header).unwrap();
        for seq in 0..to {
            if is_gone(seq) {
                writer.pruned(NodeHash::of_leaf(&entry(seq))).unwrap();
            } else {
                writer.entry(&entry(seq)).unwrap();
            }
        }
        // From 32 on there is one complete subtree more, of eight.
        let mut rest = Edge::default();
        (32..40).for_each(|seq| rest.push(NodeHash::of_leaf(&entry(seq)), |_, _, _| {}));
        let proof = if to == 32 {
            vec![rest.root()]
        } else {
            Vec::new()
        };
        writer.end(proof).unwrap()
    }

    #[test]
    fn what_is_missing_unsaid_or_there_against_what_is_said_does_not_verify() {
        let pruned = |seq: u64| seq < 30 && !seq.is_multiple_of(3);
        let found = |to, is_gone: &dyn Fn(u64) -> bool| match verify(
            &with_holes(to, is_gone),
            Format::Table,
        ) {
            Ok(_) => 0,
            Err(error) => error.exit_code(),
        };
        assert_eq!(found(40, &pruned), 0);
        // All that stayed is taken out.
        assert_eq!(found(40, &|seq| seq < 30), 1);
        // One of these, and one that was pruned is put in its place.
        assert_eq!(found(40, &|seq| seq == 3 || (pruned(seq) && seq != 4)), 1);
        assert_eq!(found(40, &|seq| pruned(seq) && seq != 4), 1);
        // In a part an entry behind its end may say so.
        assert_eq!(found(32, &|seq| pruned(seq) || seq == 31), 7);
        assert_eq!(found(32, &pruned), 0);
    }

    #[test]
    fn a_proof_of_an_entry_that_holds_shows_the_entry() {
        let proof = TlogProof {
            entry: ENTRIES[1].to_vec(),
            index: 1,
            proof: vec![NodeHash::of_leaf(ENTRIES[0])],
            checkpoint: agentidp_shared::merkle::Note::from_bytes(checkpoint().as_bytes()).unwrap(),
        };
        let text = verify(proof.to_string().as_bytes(), Format::Table).unwrap();
        assert!(text.starts_with("verified    entry 1 is in the log\n"));
        assert!(text.ends_with("entry       {\"v\":1,\"seq\":1}\n"));
        let moved = TlogProof { index: 0, ..proof };
        let error = verify(moved.to_string().as_bytes(), Format::Table).unwrap_err();
        assert_eq!(error.exit_code(), 1);
    }

    #[test]
    fn what_does_not_hold_is_an_error_that_names_file_line_and_cause() {
        let changed = String::from_utf8(export())
            .unwrap()
            .replace("\"seq\":1", "\"seq\":7");
        let error = verify(changed.as_bytes(), Format::Table).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        let text = error.to_string();
        assert!(
            text.contains(" does not verify: line 3: the entry and its hash do not"),
            "{text}"
        );
        let nothing = run(
            Path::new("/nonexistent"),
            key().verifier(),
            &mut Output::new(Format::Table, Vec::new()),
        );
        assert!(matches!(nothing, Err(Error::Io { .. })));
    }
}
