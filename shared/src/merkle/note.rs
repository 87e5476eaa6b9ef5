//! Signed notes: C2SP signed-note.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::key::{KeyId, LogKey, SignatureType, VerifierKey, is_name};
use crate::error::FieldError;

/// The most signatures that a note has; the specification asks for room for 16.
const MAX_SIGNATURES: usize = 32;
/// The most bytes that a note has.
pub const MAX_NOTE_BYTES: usize = 64 * 1_024;
const FIELD: &str = "note";

/// A text and its signatures, none of them verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// A line under a note: who says to have signed it, and the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    name: String,
    id: KeyId,
    /// In the form of the key's type.
    bytes: Vec<u8>,
}

/// Why a note is not to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// No signature of the key is under it.
    #[error("it has no signature of this key")]
    NotSigned,
    /// What is said to be the key's signature is not.
    #[error("the signature is not that of this key over this text")]
    WrongSignature,
}

impl Note {
    /// The note `text`, signed with `key`.
    ///
    /// # Errors
    ///
    /// When a note cannot have that text.
    pub fn sign(text: String, key: &LogKey) -> Result<Self, FieldError> {
        check_text(&text)?;
        let signature = Signature::by(key, &text);
        Ok(Self {
            text,
            signatures: vec![signature],
        })
    }

    /// Signs it with another key as well.
    ///
    /// # Errors
    ///
    /// When the note has as many signatures as it may have.
    pub fn sign_also(&mut self, key: &LogKey) -> Result<(), FieldError> {
        self.add(Signature::by(key, &self.text))
    }

    /// The text, with its last newline. Not to be believed before [`Note::verify`].
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Verifies that `key` has signed the text. Signatures of other keys are not looked at.
    ///
    /// # Errors
    ///
    /// [`NoteError`], when it has not.
    pub fn verify(&self, key: &VerifierKey) -> Result<(), NoteError> {
        let id = key.id();
        let mut of_key = self
            .signatures
            .iter()
            .filter(|it| it.name == key.name() && it.id == id)
            .peekable();
        if of_key.peek().is_none() || key.signs() != SignatureType::Ed25519 {
            return Err(NoteError::NotSigned);
        }
        if of_key.all(|it| key.has_signed(self.text.as_bytes(), &it.bytes)) {
            Ok(())
        } else {
            Err(NoteError::WrongSignature)
        }
    }

    /// Adds what a witness has signed it with.
    ///
    /// # Errors
    ///
    /// When the note has as many signatures as it may have.
    pub fn add(&mut self, signature: Signature) -> Result<(), FieldError> {
        if self.signatures.len() >= MAX_SIGNATURES {
            return Err(too_many());
        }
        self.signatures.push(signature);
        Ok(())
    }

    /// Parses a note.
    ///
    /// # Errors
    ///
    /// When it breaks a rule of the specification.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FieldError> {
        if bytes.len() > MAX_NOTE_BYTES {
            return Err(FieldError::new(FIELD, "must have at most 65,536 bytes"));
        }
        let text =
            std::str::from_utf8(bytes).map_err(|_error| FieldError::new(FIELD, "must be UTF-8"))?;
        let rule = "must be a text, an empty line and signatures";
        let malformed = || FieldError::new(FIELD, rule);
        let (text, signatures) = text.rsplit_once("\n\n").ok_or_else(malformed)?;
        let text = format!("{text}\n");
        check_text(&text)?;
        let lines = signatures.strip_suffix('\n').ok_or_else(malformed)?;
        let signatures: Vec<_> = lines
            .split('\n')
            .map(Signature::from_line)
            .collect::<Result<_, _>>()?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(too_many());
        }
        Ok(Self { text, signatures })
    }
}

fn too_many() -> FieldError {
    FieldError::new(FIELD, "must have at most 32 signatures")
}

fn check_text(text: &str) -> Result<(), FieldError> {
    if !text.ends_with('\n') {
        return Err(FieldError::new(FIELD, "must end with a newline"));
    }
    if text.chars().any(|c| c < ' ' && c != '\n') {
        let rule = "must have no control characters but newlines";
        return Err(FieldError::new(FIELD, rule));
    }
    Ok(())
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|it| writeln!(f, "{it}"))
    }
}

impl Signature {
    fn by(key: &LogKey, text: &str) -> Self {
        Self {
            name: key.verifier().name().to_owned(),
            id: key.verifier().id(),
            bytes: key.sign(text.as_bytes()),
        }
    }

    /// The name of the key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of the key.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The signature, in the form of the key's type.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Parses a signature line, without its newline.
    ///
    /// # Errors
    ///
    /// When it is not one.
    pub fn from_line(line: &str) -> Result<Self, FieldError> {
        let rule =
            "must be a signature line: an em dash, the key's name and the signature in base64";
        let malformed = || FieldError::new("signature", rule);
        let (name, signature) = line
            .strip_prefix("— ")
            .and_then(|rest| rest.split_once(' '))
            .ok_or_else(malformed)?;
        let signature = STANDARD.decode(signature).map_err(|_error| malformed())?;
        let (id, signature) = signature.split_first_chunk().ok_or_else(malformed)?;
        if !is_name(name) || signature.is_empty() {
            return Err(malformed());
        }
        Ok(Self {
            name: name.to_owned(),
            id: *id,
            bytes: signature.to_vec(),
        })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = [self.id.as_slice(), &self.bytes].concat();
        write!(f, "— {} {}", self.name, STANDARD.encode(signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The examples of the specification.
    const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    const POEM: &str = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";

    fn note(text: &str) -> Note {
        Note::from_bytes(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_examples_of_the_specification_are_read_and_verified() {
        let key: VerifierKey = VKEY.parse().unwrap();
        assert_eq!(key.to_string(), VKEY);
        assert_eq!(note(NOTE).verify(&key), Ok(()));
        assert_eq!(note(NOTE).to_string(), NOTE);
        assert!(note(POEM).text().ends_with("\n\ned è subito sera.\n"));
        assert_eq!(note(POEM).to_string(), POEM);
        assert_eq!(note(POEM).verify(&key), Err(NoteError::NotSigned));
    }

    #[test]
    fn signatures_of_other_keys_are_passed_over_and_a_wrong_one_of_this_key_is_not() {
        let key: VerifierKey = VKEY.parse().unwrap();
        let stranger = POEM.rsplit_once("\n\n").unwrap().1;
        let mine = NOTE.rsplit_once("\n\n").unwrap().1;
        assert_eq!(note(&format!("{NOTE}{stranger}")).verify(&key), Ok(()));
        let wrong = mine.replace("Uw2QOkn8", "Uw2QOkn9");
        let both = note(&format!("{NOTE}{wrong}"));
        assert_eq!(both.verify(&key), Err(NoteError::WrongSignature));
        let namesake = mine.replace("Uw2QOk", "Uw2QOW");
        assert_eq!(
            note(&NOTE.replace(mine, &namesake)).verify(&key),
            Err(NoteError::NotSigned)
        );
        let other_text = note(&NOTE.replace("example m", "Example m"));
        assert_eq!(other_text.verify(&key), Err(NoteError::WrongSignature));
    }

    #[test]
    fn a_note_that_two_keys_have_signed_verifies_with_either() {
        let [one, other, third] = [1, 2, 3].map(|it| {
            let name = "log.example".to_owned();
            LogKey::from_seed(name, &[it; 32]).unwrap()
        });
        let mut signed = Note::sign("text\n".to_owned(), &one).unwrap();
        signed.sign_also(&other).unwrap();
        let read = note(&signed.to_string());
        assert_eq!(read.verify(one.verifier()), Ok(()));
        assert_eq!(read.verify(other.verifier()), Ok(()));
        assert_eq!(read.verify(third.verifier()), Err(NoteError::NotSigned));
    }

    #[test]
    fn what_breaks_a_rule_of_the_specification_is_no_note() {
        let line = NOTE.rsplit_once("\n\n").unwrap().1;
        for text in [
            "",
            "\n",
            "text\n",
            "text\n\n",
            line,
            &format!("text\n{line}"),
            &format!("text\n\n{}", line.trim_end()),
            &format!("text\n\n{line} "),
            &format!("text\n\n{line}\n"),
            &format!("text\n\nnothing\n{line}"),
            &format!("te\txt\n\n{line}"),
            &format!("text\r\n\n{line}"),
            &format!("text\n\n{}", line.replace("— ", "- ")),
            &format!("text\n\n{}", line.replace("— ", "—  ")),
            &format!("text\n\n{}", line.replace("com/foo", "com+foo")),
            &format!("text\n\n{}", line.replace("com/foo", "com\u{a0}foo")),
            &format!("text\n\n{}", line.replace("IneyaQM=", "IneyaQM")),
            &format!("text\n\n{}", line.replace("IneyaQM=", "IneyaQN=")),
            "text\n\n— example.com/foo Uw2QOg==\n",
            &format!("text\n\n{}", line.repeat(33)),
            &format!("{}\n\n{line}", "x".repeat(MAX_NOTE_BYTES)),
        ] {
            assert!(Note::from_bytes(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Note::from_bytes(b"t\xff\n\n").is_err());
        assert!(Note::from_bytes(format!("text\n\n{}", line.repeat(32)).as_bytes()).is_ok());
    }

    #[test]
    fn what_is_no_verifier_key_is_refused() {
        for text in [
            "",
            "example.com/foo",
            "example.com/foo+530d903a",
            "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/fooo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+30d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2l",
            "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3Q==",
            "example.com/foo+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k ",
        ] {
            assert!(text.parse::<VerifierKey>().is_err(), "{text}");
        }
    }

    #[test]
    fn another_implementation_verifies_what_is_signed_here() {
        let key = LogKey::from_seed("log.example/audit".to_owned(), &[7; 32]).unwrap();
        let note = Note::sign("a\n\nb\n".to_owned(), &key).unwrap();
        assert_eq!(note.verify(key.verifier()), Ok(()));
        assert_eq!(
            key.verifier().to_string().parse(),
            Ok(key.verifier().clone())
        );

        let theirs = signed_note::StandardVerifier::new(&key.verifier().to_string()).unwrap();
        let known = signed_note::VerifierList::new(vec![Box::new(theirs)]);
        let read = signed_note::Note::from_bytes(note.to_string().as_bytes()).unwrap();
        assert_eq!(read.verify(&known).unwrap().0.len(), 1);
        assert_eq!(read.text(), b"a\n\nb\n");
    }

    #[test]
    fn the_secret_half_of_a_key_is_not_shown() {
        let key = LogKey::from_seed("log.example".to_owned(), &[7; 32]).unwrap();
        assert_eq!(format!("{key:?}"), format!("LogKey({})", key.verifier()));
        assert!(LogKey::from_seed("log.example".to_owned(), &[7; 31]).is_err());
        assert!(LogKey::from_seed("log example".to_owned(), &[7; 32]).is_err());
    }
}
