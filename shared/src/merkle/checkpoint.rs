//! Checkpoints, by which a log commits itself to what it holds: C2SP tlog-checkpoint; and what
//! witnesses say of them: C2SP tlog-cosignature (Ed25519).

use std::fmt;
use std::str::FromStr;

use super::hash::NodeHash;
use super::key::{LogKey, SignatureType, VerifierKey};
use super::note::{Note, NoteError, Signature};
use crate::error::FieldError;

const FIELD: &str = "checkpoint";

/// The size and the root of a log's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// How many entries it has.
    pub size: u64,
    /// The root of the tree over them.
    pub root: NodeHash,
    /// Lines that mean nothing here.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// The checkpoint of the log with this origin, size and root.
    #[must_use]
    pub const fn new(origin: String, size: u64, root: NodeHash) -> Self {
        Self {
            origin,
            size,
            root,
            extensions: Vec::new(),
        }
    }

    /// Signs it with the log's key.
    ///
    /// # Errors
    ///
    /// When the origin is not the key's name.
    pub fn sign(&self, key: &LogKey) -> Result<Note, FieldError> {
        if self.origin != key.verifier().name() {
            return Err(FieldError::new(FIELD, "must be of the log that signs it"));
        }
        Note::sign(self.to_string(), key)
    }

    /// Reads the checkpoint in `note`, once it is known that the log's `key` has signed it.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`].
    pub fn verified(note: &Note, key: &VerifierKey) -> Result<Self, CheckpointError> {
        note.verify(key)?;
        let checkpoint: Self = note.text().parse()?;
        if checkpoint.origin != key.name() {
            return Err(CheckpointError::OtherLog);
        }
        Ok(checkpoint)
    }
}

/// Why a checkpoint is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Its signature.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Its text.
    #[error(transparent)]
    Text(#[from] FieldError),
    /// It is of another log than the key.
    #[error("it is of another log than the key")]
    OtherLog,
}

/// The note's text.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, self.root)?;
        self.extensions
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl FromStr for Checkpoint {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let invalid = |rule| FieldError::new(FIELD, rule);
        let lines = text
            .strip_suffix('\n')
            .ok_or_else(|| invalid("must end with a newline"))?;
        let mut lines = lines.split('\n');
        let mut next = || {
            lines
                .next()
                .filter(|line| !line.is_empty())
                .ok_or_else(|| invalid("must have the lines origin, size and root"))
        };
        let (origin, size, root) = (next()?, next()?, next()?);
        let size = decimal(size)
            .ok_or_else(|| invalid("must have a size in decimal digits without leading zeroes"))?;
        let root = root
            .parse()
            .map_err(|_error| invalid("must have a root of 32 bytes in base64"))?;
        let extensions: Vec<_> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(invalid("must have no empty line"));
        }
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
            extensions,
        })
    }
}

/// A number in decimal digits, without a sign and without leading zeroes.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Verifies that a witness has signed a checkpoint, and gives when it says it did: in seconds since
/// 1970.
///
/// # Errors
///
/// [`NoteError`], when it has not.
pub fn verify_cosignature(
    checkpoint: &Note,
    signature: &Signature,
    witness: &VerifierKey,
) -> Result<u64, NoteError> {
    if witness.signs() != SignatureType::Cosignature
        || signature.name() != witness.name()
        || signature.id() != witness.id()
    {
        return Err(NoteError::NotSigned);
    }
    let wrong = NoteError::WrongSignature;
    let (time, signature) = signature.bytes().split_first_chunk().ok_or(wrong)?;
    let time = u64::from_be_bytes(*time);
    if i64::try_from(time).is_err() {
        return Err(wrong);
    }
    let message = format!("cosignature/v1\ntime {time}\n{}", checkpoint.text());
    if !witness.has_signed(message.as_bytes(), signature) {
        return Err(wrong);
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The examples of tlog-checkpoint and tlog-cosignature; the specifications do not publish the
    // keys.
    const CHECKPOINT: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
    const COSIGNED: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

    fn key() -> LogKey {
        LogKey::from_seed("log.example/audit".to_owned(), &[3; 32]).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint::new("log.example/audit".to_owned(), 7, NodeHash::of_leaf(b"x"))
    }

    #[test]
    fn the_examples_of_the_specifications_are_read() {
        for text in [CHECKPOINT, COSIGNED] {
            let note = Note::from_bytes(text.as_bytes()).unwrap();
            let checkpoint: Checkpoint = note.text().parse().unwrap();
            assert_eq!(checkpoint.origin, "example.com/behind-the-sofa");
            assert_eq!(checkpoint.size, 20_852_163);
            assert_eq!(checkpoint.to_string(), note.text());
            assert_eq!(note.to_string(), text);
        }
    }

    #[test]
    fn a_checkpoint_that_is_written_otherwise_is_refused() {
        let text = "o\n7\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        assert!(text.parse::<Checkpoint>().is_ok());
        let extended: Checkpoint = format!("{text}e 1\ne 2\n").parse().unwrap();
        assert_eq!(extended.extensions, ["e 1", "e 2"]);
        for wrong in [
            "",
            "\n",
            "o\n7\n",
            text.trim_end(),
            &format!("\n{text}"),
            &format!("{text}\n"),
            &format!("{text}\ne\n"),
            &text.replace("\n7", "\n07"),
            &text.replace("\n7", "\n+7"),
            &text.replace("\n7", "\n-7"),
            &text.replace("\n7", "\n 7"),
            &text.replace("\n7", "\n18446744073709551616"),
            &text.replace("q2I=", "q2J="),
            &text.replace("q2I=", "q2I"),
        ] {
            assert!(wrong.parse::<Checkpoint>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_checkpoint_is_believed_when_its_log_signed_it() {
        let note = checkpoint().sign(&key()).unwrap();
        assert_eq!(
            Checkpoint::verified(&note, key().verifier()),
            Ok(checkpoint())
        );
        let of_other = Checkpoint::new("log.example/x".to_owned(), 7, NodeHash::of_leaf(b"x"));
        assert!(of_other.sign(&key()).is_err());
        let note = Note::sign(of_other.to_string(), &key()).unwrap();
        assert_eq!(
            Checkpoint::verified(&note, key().verifier()),
            Err(CheckpointError::OtherLog)
        );
    }

    #[test]
    fn a_witness_is_believed_for_what_it_signed_and_when() {
        let mut note = checkpoint().sign(&key()).unwrap();
        let witness = LogKey::from_seed("witness.example".to_owned(), &[4; 32]).unwrap();
        let vkey = VerifierKey::new(
            "witness.example".to_owned(),
            SignatureType::Cosignature,
            witness.verifier().public(),
        )
        .unwrap();
        let cosign = |time: u64| {
            let message = format!("cosignature/v1\ntime {time}\n{}", note.text());
            let bytes = [
                vkey.id().as_slice(),
                &time.to_be_bytes(),
                &witness.sign(message.as_bytes()),
            ]
            .concat();
            let line = format!("— witness.example {}", base64_of(&bytes));
            Signature::from_line(&line).unwrap()
        };
        let signature = cosign(1_679_315_147);
        assert_eq!(
            verify_cosignature(&note, &signature, &vkey),
            Ok(1_679_315_147)
        );
        assert_eq!(
            verify_cosignature(&note, &cosign(u64::MAX), &vkey),
            Err(NoteError::WrongSignature)
        );
        assert_eq!(
            verify_cosignature(&note, &signature, witness.verifier()),
            Err(NoteError::NotSigned)
        );
        let other = Checkpoint::new("log.example/audit".to_owned(), 8, NodeHash::of_leaf(b"x"));
        let other = other.sign(&key()).unwrap();
        assert_eq!(
            verify_cosignature(&other, &signature, &vkey),
            Err(NoteError::WrongSignature)
        );
        note.add(signature).unwrap();
        assert_eq!(note.verify(key().verifier()), Ok(()));
        assert_eq!(Note::from_bytes(note.to_string().as_bytes()), Ok(note));
    }

    fn base64_of(bytes: &[u8]) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }

    #[test]
    fn another_implementation_reads_the_same_checkpoint() {
        let text = checkpoint().to_string();
        let theirs = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).unwrap();
        assert_eq!(theirs.size(), 7);
        assert_eq!(theirs.hash().0, *checkpoint().root.as_bytes());
        assert_eq!(theirs.origin(), "log.example/audit");
    }
}
