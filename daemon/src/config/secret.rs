//! The key-encryption key: what seals the signing keys in the store.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::error::{ConfigError, Place, Warning};
use super::value::Rule;

const FILE_KEY: &str = "keys.key_encryption_key_file";
/// Far more than a key with white space around it.
const MAX_FILE: u64 = 4_096;

/// 256 bits, wiped from memory when dropped, never shown.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct KeyEncryptionKey([u8; 32]);

impl KeyEncryptionKey {
    /// The key of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The line that a key file holds: base64 (RFC 4648, section 4) and a line feed.
    #[must_use]
    pub fn to_line(&self) -> Zeroizing<String> {
        let mut line = Zeroizing::new(String::with_capacity(45));
        STANDARD.encode_string(self.0, &mut line);
        line.push('\n');
        line
    }

    /// Parses 32 bytes in base64, with white space around them or not.
    pub(super) fn parse(text: &str) -> Result<Self, Rule> {
        let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new);
        let mut key = Zeroizing::new([0; 32]);
        match bytes {
            Ok(bytes) if bytes.len() == key.len() => key.copy_from_slice(&bytes),
            _ => return Err("must be 32 bytes in base64, on one line".into()),
        }
        Ok(Self(*key))
    }
}

impl std::fmt::Debug for KeyEncryptionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyEncryptionKey(…)")
    }
}

/// Where the key-encryption key comes from. It is read when it is asked for, because `init` may
/// have to make the file first, and because not every command needs it.
#[derive(Debug, Clone)]
pub(super) enum KeySource {
    /// It was not configured.
    Absent(Place),
    /// It was in the environment.
    Given(KeyEncryptionKey),
    /// It is in a file.
    File(PathBuf, Place),
    /// The service manager gave it. Who may read it is the service manager's affair.
    Credential(PathBuf),
}

impl KeySource {
    /// Reads the key.
    pub(super) fn load(&self) -> Result<KeyEncryptionKey, ConfigError> {
        match self {
            Self::Given(key) => Ok(key.clone()),
            Self::File(path, place) => read(path, place),
            Self::Credential(path) => {
                read(path, &Place::Named("$CREDENTIALS_DIRECTORY".to_owned()))
            }
            Self::Absent(place) => Err(ConfigError::new(
                place.clone(),
                FILE_KEY,
                "must be set, unless the service manager gives the credential key-encryption-key",
            )),
        }
    }

    /// What to know about the source, though it works.
    pub(super) fn warning(&self) -> Option<Warning> {
        let Self::File(path, place) = self else {
            return None;
        };
        let mode = std::fs::metadata(path).ok()?.permissions().mode();
        (mode & 0o077 != 0).then(|| Warning {
            place: place.clone(),
            key: Some(FILE_KEY.to_owned()),
            text: format!(
                "{} is open to others than its owner (mode {:03o}); make it 600",
                path.display(),
                mode & 0o777
            )
            .into(),
        })
    }
}

fn read(path: &Path, place: &Place) -> Result<KeyEncryptionKey, ConfigError> {
    let refuse = |rule: String| {
        ConfigError::new(
            place.clone(),
            FILE_KEY,
            format!("{}: {rule}", path.display()),
        )
    };
    let text = read_text(path).map_err(|error| refuse(format!("cannot be read: {error}")))?;
    KeyEncryptionKey::parse(&text).map_err(|rule| refuse(rule.into_owned()))
}

fn read_text(path: &Path) -> io::Result<Zeroizing<String>> {
    // Reserved at once, so that growing leaves no copies behind.
    let mut text = Zeroizing::new(String::with_capacity(8_192));
    File::open(path)?.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(text)
}
