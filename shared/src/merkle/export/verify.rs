//! Verifying an export, line by line.

use std::fmt::Write as _;
use std::io::{self, BufRead, Read as _};

use aws_lc_rs::digest::{Context, SHA256};

use super::line::{End, EntryHead, EntryLine, Evidence, Fault, Header, MAX_LINE};
use crate::id::OrganizationId;
use crate::merkle::{
    Checkpoint, CheckpointError, Frontier, NodeHash, Note, ProofError, VerifierKey,
    verify_consistency, verify_inclusion,
};

/// What an export was found to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The checkpoint that it was verified against.
    pub checkpoint: Checkpoint,
    /// The organization whose entries it has; `None`: all of them.
    pub organization_id: Option<OrganizationId>,
    /// The first place in the log that it is about.
    pub from: u64,
    /// The first place that it is not about any more.
    pub to: u64,
    /// How many entries it has.
    pub entries: u64,
}

/// Why an export is not to be believed, or could not be read.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A line is not as it must be.
    #[error("line {line}: {fault}")]
    Fault {
        /// The first such line, counted from 1.
        line: u64,
        /// What is wrong with it.
        fault: Fault,
    },
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Verifies an export against the log's key, in one pass. `progress` is told after each line how
/// many bytes it had.
///
/// # Errors
///
/// [`VerifyError`], with the first line that is not as it must be.
pub fn verify_export(
    mut export: impl BufRead,
    key: &VerifierKey,
    progress: impl FnMut(usize),
) -> Result<Report, VerifyError> {
    let line = next_line(&mut export, 1)?;
    let at = |fault| VerifyError::Fault { line: 1, fault };
    let header = line.ok_or_else(|| at(Fault::NoEnd))?;
    let verifier = Verifier::new(&header, key).map_err(at)?;
    verifier.run(export, progress)
}

/// The next line without its newline; `None` at the end of the file.
fn next_line(export: &mut impl BufRead, number: u64) -> Result<Option<Vec<u8>>, VerifyError> {
    let mut line = Vec::with_capacity(1_024);
    let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
    let length = export.take(limit).read_until(b'\n', &mut line)?;
    let fault = match line.pop() {
        None => return Ok(None),
        Some(b'\n') => return Ok(Some(line)),
        Some(_) if length == MAX_LINE => Fault::TooLong,
        Some(_) => Fault::CutOff,
    };
    Err(VerifyError::Fault {
        line: number,
        fault,
    })
}

/// What is known after some lines.
#[derive(Clone)]
pub(super) struct Verifier {
    header: Header,
    checkpoint: Checkpoint,
    /// The tree up to here, in a complete export.
    frontier: Frontier,
    /// The first place that the next entry may have.
    next: u64,
    entries: u64,
    /// The number of the next line.
    line: u64,
    digest: Context,
}

impl Verifier {
    /// Begins with the first line.
    pub(super) fn new(line: &[u8], key: &VerifierKey) -> Result<Self, Fault> {
        let header = Header::parse(line).ok_or(Fault::NotAHeader)?;
        let note = Note::from_bytes(header.checkpoint.as_bytes()).map_err(CheckpointError::Text)?;
        if note.to_string() != header.checkpoint {
            return Err(Fault::NotAHeader);
        }
        let checkpoint = Checkpoint::verified(&note, key)?;
        let before = match header.organization_id {
            None => header.from,
            Some(_) => 0,
        };
        if header.from > header.to || header.to > checkpoint.size {
            return Err(Fault::Contradiction);
        }
        let frontier =
            Frontier::new(before, header.start.clone()).map_err(|_error| Fault::Contradiction)?;
        let mut verifier = Self {
            next: header.from,
            header,
            checkpoint,
            frontier,
            entries: 0,
            line: 2,
            digest: Context::new(&SHA256),
        };
        verifier.digest(line);
        Ok(verifier)
    }

    /// Goes on to the end.
    pub(super) fn run(
        mut self,
        mut export: impl BufRead,
        mut progress: impl FnMut(usize),
    ) -> Result<Report, VerifyError> {
        loop {
            let number = self.line;
            let at = |line, fault| VerifyError::Fault { line, fault };
            let line = next_line(&mut export, number)?;
            let line = line.ok_or_else(|| at(number, Fault::NoEnd))?;
            if End::is_on(&line) {
                self.end(&line).map_err(|fault| at(number, fault))?;
                if !export.fill_buf()?.is_empty() {
                    return Err(at(number + 1, Fault::AfterEnd));
                }
                return Ok(self.report());
            }
            self.entry(&line).map_err(|fault| at(number, fault))?;
            progress(line.len() + 1);
        }
    }

    /// Takes the line of an entry.
    pub(super) fn entry(&mut self, line: &[u8]) -> Result<(), Fault> {
        let EntryLine { entry, evidence } = EntryLine::parse(line).ok_or(Fault::NotAnEntry)?;
        let hash = NodeHash::of_leaf(entry);
        let of = self.header.organization_id;
        match (evidence, of) {
            (Evidence::Hash(said), None) => {
                if hash != said {
                    return Err(Fault::OtherHash);
                }
                let EntryHead { seq, .. } = EntryHead::of(entry).ok_or(Fault::NotAnEntry)?;
                if seq != self.next {
                    return Err(Fault::OtherPlace {
                        found: seq,
                        expected: self.next,
                    });
                }
                if seq >= self.header.to {
                    return Err(Fault::NotInRange { found: seq });
                }
                self.frontier.push(hash);
                self.next = seq + 1;
            }
            (Evidence::Proof(proof), Some(_)) => {
                let head = EntryHead::of(entry).ok_or(Fault::NotAnEntry)?;
                let found = head.seq;
                let Checkpoint { size, root, .. } = &self.checkpoint;
                verify_inclusion(found, *size, &hash, &proof, root)
                    .map_err(|proof| Fault::NotInTheLog { found, proof })?;
                if found < self.next || found >= self.header.to {
                    return Err(Fault::NotInRange { found });
                }
                if head.organization_id != of {
                    return Err(Fault::OtherOrganization { found });
                }
                self.next = found + 1;
            }
            _ => return Err(Fault::NotAnEntry),
        }
        self.digest(line);
        self.entries += 1;
        self.line += 1;
        Ok(())
    }

    fn end(&self, line: &[u8]) -> Result<(), Fault> {
        let end = End::parse(line).ok_or(Fault::NotAnEnd)?;
        if end.entries != self.entries {
            return Err(Fault::OtherCount {
                said: end.entries,
                there: self.entries,
            });
        }
        if self.header.organization_id.is_none() {
            if self.next != self.header.to {
                return Err(Fault::Short {
                    expected: self.next,
                });
            }
            self.tree(&end.proof).map_err(Fault::OtherTree)?;
        } else if !end.proof.is_empty() {
            return Err(Fault::NotAnEnd);
        }
        if end.sha256 != hex(self.digest.clone()) {
            return Err(Fault::OtherDigest);
        }
        Ok(())
    }

    /// Verifies that the checkpoint's tree begins with that of the export.
    fn tree(&self, proof: &[NodeHash]) -> Result<(), ProofError> {
        let Checkpoint { size, root, .. } = &self.checkpoint;
        let (there, own) = (self.frontier.size(), self.frontier.root());
        if there == 0 && proof.is_empty() {
            // Every tree begins with the empty one.
            return if *size > 0 || own == *root {
                Ok(())
            } else {
                Err(ProofError::OtherRoot)
            };
        }
        verify_consistency(there, *size, &own, root, proof)
    }

    fn digest(&mut self, line: &[u8]) {
        self.digest.update(line);
        self.digest.update(b"\n");
    }

    fn report(self) -> Report {
        Report {
            checkpoint: self.checkpoint,
            organization_id: self.header.organization_id,
            from: self.header.from,
            to: self.header.to,
            entries: self.entries,
        }
    }
}

/// A digest in hex.
pub(super) fn hex(digest: Context) -> String {
    digest
        .finish()
        .as_ref()
        .iter()
        .fold(String::new(), |mut hex, byte| {
            // Writing to a string does not fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}
