//! Verifying an export: what its lines say, one after the other.

use std::fmt::Write as _;

use aws_lc_rs::digest::{Context, SHA256};

use super::holes::Holes;
use super::line::{End, EntryHead, EntryLine, Evidence, Fault, Header, PRUNED};
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
    /// The same, with its signatures.
    pub note: Note,
    /// The organization whose entries it has; `None`: all of them.
    pub organization_id: Option<OrganizationId>,
    /// The first place in the log that it is about.
    pub from: u64,
    /// The first place that it is not about any more.
    pub to: u64,
    /// How many entries it has.
    pub entries: u64,
    /// How many more there were, of which it has only the hashes: they were pruned, or someone has taken
    /// them out of the export.
    pub pruned: u64,
    /// How many of these no entry of the export says to have been pruned. Only of an export that goes to
    /// the end of the checkpoint's log does it prove anything: the entries that say so may be behind its end.
    pub unexplained: u64,
    /// How many of the entries that it has were pruned, says another of its entries.
    pub put_back: u64,
}

/// What is known after some lines.
#[derive(Clone)]
pub(super) struct Verifier {
    header: Header,
    checkpoint: Checkpoint,
    note: Note,
    /// The tree up to here, in a complete export.
    frontier: Frontier,
    /// The first place that the next entry may have.
    next: u64,
    entries: u64,
    holes: Holes,
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
            note,
            frontier,
            entries: 0,
            holes: Holes::default(),
            digest: Context::new(&SHA256),
        };
        verifier.digest(line);
        Ok(verifier)
    }

    /// Takes the line of an entry.
    pub(super) fn entry(&mut self, line: &[u8]) -> Result<(), Fault> {
        let EntryLine { entry, evidence } = EntryLine::parse(line).ok_or(Fault::NotAnEntry)?;
        let of = self.header.organization_id;
        if let (Evidence::Hash(hash), None, PRUNED) = (&evidence, of, entry) {
            return self.pruned(line, *hash);
        }
        let hash = NodeHash::of_leaf(entry);
        match (evidence, of) {
            (Evidence::Hash(said), None) => {
                if hash != said {
                    return Err(Fault::OtherHash);
                }
                let head = EntryHead::of(entry).ok_or(Fault::NotAnEntry)?;
                let seq = head.seq;
                if seq != self.next {
                    return Err(Fault::OtherPlace {
                        found: seq,
                        expected: self.next,
                    });
                }
                if seq >= self.header.to {
                    return Err(Fault::NotInRange { found: seq });
                }
                if let Some(pruned) = &head.pruned {
                    self.holes.said(self.header.from, pruned);
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
        Ok(())
    }

    /// Takes the line of an entry that was pruned.
    fn pruned(&mut self, line: &[u8], hash: NodeHash) -> Result<(), Fault> {
        if self.next >= self.header.to {
            return Err(Fault::NotInRange { found: self.next });
        }
        self.frontier.push(hash);
        self.holes.add(self.next);
        self.next += 1;
        self.digest(line);
        Ok(())
    }

    /// Takes the last line.
    pub(super) fn end(&self, line: &[u8]) -> Result<Report, Fault> {
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
        Ok(self.report())
    }

    /// The first line.
    pub(super) const fn header(&self) -> &Header {
        &self.header
    }

    /// The first place that the next entry may have.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// The last line that belongs here, with this proof.
    pub(super) fn closing(&self, proof: Vec<NodeHash>) -> End {
        End {
            entries: self.entries,
            proof,
            sha256: hex(self.digest.clone()),
        }
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

    fn report(&self) -> Report {
        Report {
            checkpoint: self.checkpoint.clone(),
            note: self.note.clone(),
            organization_id: self.header.organization_id,
            from: self.header.from,
            to: self.header.to,
            entries: self.entries,
            pruned: self.holes.count(),
            unexplained: self.holes.unexplained(),
            put_back: self.holes.put_back(),
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
