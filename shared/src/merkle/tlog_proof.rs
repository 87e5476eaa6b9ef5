//! The proof that an entry is in the log, as one small file: C2SP tlog-proof. The entry is in it
//! too, as its `extra` data, so that the file says by itself what it proves.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::{Checkpoint, CheckpointError, decimal};
use super::export::EntryHead;
use super::hash::NodeHash;
use super::key::VerifierKey;
use super::note::Note;
use super::proof::{MAX_PROOF, ProofError, verify_inclusion};
use crate::error::FieldError;

/// The first line of such a file.
pub const TLOG_PROOF: &str = "c2sp.org/tlog-proof@v1";
const FIELD: &str = "proof";

/// An entry, and the proof that it is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// The entry as it is stored.
    pub entry: Vec<u8>,
    /// Its place in the log.
    pub index: u64,
    /// The inclusion proof, from the leaf's sibling up.
    pub proof: Vec<NodeHash>,
    /// The log's checkpoint.
    pub checkpoint: Note,
}

/// Why a proof does not prove anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// The checkpoint.
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The entry is not one, or says that its place is another.
    #[error("the entry says to have another place in the log, or none")]
    OtherPlace,
    /// The path to the root.
    #[error("the entry: {0}")]
    Proof(#[from] ProofError),
}

impl TlogProof {
    /// Verifies that the log whose `key` this is has the entry, and gives the checkpoint that says
    /// so.
    ///
    /// # Errors
    ///
    /// [`TlogProofError`], when that does not follow.
    pub fn verify(&self, key: &VerifierKey) -> Result<Checkpoint, TlogProofError> {
        let checkpoint = Checkpoint::verified(&self.checkpoint, key)?;
        let leaf = NodeHash::of_leaf(&self.entry);
        verify_inclusion(
            self.index,
            checkpoint.size,
            &leaf,
            &self.proof,
            &checkpoint.root,
        )?;
        match EntryHead::of(&self.entry) {
            Some(head) if head.seq == self.index => Ok(checkpoint),
            _ => Err(TlogProofError::OtherPlace),
        }
    }

    /// Parses the file.
    ///
    /// # Errors
    ///
    /// When it breaks a rule of the specification, or has no `extra` data.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FieldError> {
        let invalid = |rule| FieldError::new(FIELD, rule);
        let text = std::str::from_utf8(bytes).map_err(|_error| invalid("must be UTF-8"))?;
        let (proof, checkpoint) = text
            .split_once("\n\n")
            .ok_or_else(|| invalid("must be a proof, an empty line and a checkpoint"))?;
        let mut lines = proof.split('\n');
        if lines.next() != Some(TLOG_PROOF) {
            return Err(invalid("must begin with c2sp.org/tlog-proof@v1"));
        }
        let entry = lines
            .next()
            .and_then(|line| STANDARD.decode(line.strip_prefix("extra ")?).ok())
            .ok_or_else(|| invalid("must have the entry in a line extra, in base64"))?;
        let index = lines
            .next()
            .and_then(|line| decimal(line.strip_prefix("index ")?))
            .ok_or_else(|| invalid("must have the entry's place in a line index"))?;
        let proof: Vec<_> = lines.map(str::parse).collect::<Result<_, _>>()?;
        if proof.len() > MAX_PROOF {
            return Err(invalid("must have at most 64 hashes"));
        }
        Ok(Self {
            entry,
            index,
            proof,
            checkpoint: Note::from_bytes(checkpoint.as_bytes())?,
        })
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = STANDARD.encode(&self.entry);
        writeln!(f, "{TLOG_PROOF}\nextra {entry}\nindex {}", self.index)?;
        self.proof.iter().try_for_each(|it| writeln!(f, "{it}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Log, log_key};
    use super::super::{NoteError, prove_inclusion};
    use super::*;

    fn proof() -> TlogProof {
        let log = Log::of(300);
        TlogProof {
            entry: log.entries[256].clone(),
            index: 256,
            proof: prove_inclusion(&log.tiles, 256, 300).unwrap(),
            checkpoint: log.checkpoint(),
        }
    }

    #[test]
    fn a_proof_is_read_as_it_was_written_and_proves_its_entry() {
        let proof = proof();
        let read = TlogProof::from_bytes(proof.to_string().as_bytes()).unwrap();
        assert_eq!(read, proof);
        assert_eq!(read.verify(log_key().verifier()).unwrap().size, 300);
        assert_eq!(
            proof.to_string().lines().count(),
            3 + proof.proof.len() + 1 + 5
        );
    }

    #[test]
    fn every_bit_of_a_proof_counts() {
        let bytes = proof().to_string().into_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let holds = TlogProof::from_bytes(&damaged)
                .is_ok_and(|proof| proof.verify(log_key().verifier()).is_ok());
            assert!(!holds, "bit {bit}");
        }
    }

    #[test]
    fn a_proof_of_another_log_proves_nothing() {
        let other = super::super::LogKey::from_seed("other.example".to_owned(), &[9; 32]).unwrap();
        assert_eq!(
            proof().verify(other.verifier()),
            Err(CheckpointError::Note(NoteError::NotSigned).into())
        );
        let moved = TlogProof {
            index: 257,
            ..proof()
        };
        assert_eq!(
            moved.verify(log_key().verifier()),
            Err(ProofError::OtherRoot.into())
        );
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        let text = proof().to_string();
        let hash = NodeHash::of_empty_tree().to_string();
        for wrong in [
            String::new(),
            text.replace("@v1", "@v2"),
            text.replace("extra ", "extra  "),
            text.replace("index 256", "index 0256"),
            text.replace("index 256\n", ""),
            text.replace(
                "index 256",
                &format!("index 256\n{}", vec![hash; 64].join("\n")),
            ),
            text.replace("\n\nlog", "\nlog"),
        ] {
            assert!(TlogProof::from_bytes(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
