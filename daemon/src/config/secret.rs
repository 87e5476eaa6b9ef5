//! The key-encryption key: what seals the signing keys in the store; and the one before it.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::error::{ConfigError, Place, Warning};
use super::source::{Environment, Sources};
use super::value::{self, Rule};

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

/// The names by which a key can be given.
#[derive(Debug)]
pub(super) struct KeyNames {
    /// The setting of the key itself, for the environment.
    pub(super) key: &'static str,
    /// The setting of the file that holds it.
    pub(super) file: &'static str,
    /// The credential by which the service manager gives it.
    pub(super) credential: &'static str,
}

/// Where a key-encryption key comes from. It is read when it is asked for, because `init` may
/// have to make the file first, and because not every command needs it.
#[derive(Debug, Clone)]
pub(super) struct KeySource {
    /// By which names it can be given.
    pub(super) names: &'static KeyNames,
    /// By which of them it was.
    pub(super) given: Given,
}

/// How a key was given.
#[derive(Debug, Clone)]
pub(super) enum Given {
    /// It was not.
    Absent(Place),
    /// It was in the environment.
    Text(KeyEncryptionKey),
    /// It is in a file.
    File(PathBuf, Place),
    /// The service manager gave it. Who may read it is the service manager's affair.
    Credential(PathBuf),
}

impl KeySource {
    /// Where the key is looked for.
    pub(super) fn find(
        names: &'static KeyNames,
        sources: &Sources<'_>,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        sources.refuse_both(names.key)?;
        let given = if let Some(key) = sources.text(names.key, KeyEncryptionKey::parse)? {
            Given::Text(key)
        } else if let Some(path) = sources.text(names.file, value::path)? {
            Given::File(path, sources.place(names.file))
        } else if let Some(path) = environment.credential(names.credential) {
            Given::Credential(path)
        } else {
            Given::Absent(sources.place(names.file))
        };
        Ok(Self { names, given })
    }

    /// Reads the key, which has to be given.
    pub(super) fn load(&self) -> Result<KeyEncryptionKey, ConfigError> {
        let place = match &self.given {
            Given::Text(key) => return Ok(key.clone()),
            Given::File(path, place) => return self.read(path, place),
            Given::Credential(path) => {
                let place = Place::Named("$CREDENTIALS_DIRECTORY".to_owned());
                return self.read(path, &place);
            }
            Given::Absent(place) => place.clone(),
        };
        let KeyNames {
            file, credential, ..
        } = self.names;
        let rule =
            format!("must be set, unless the service manager gives the credential {credential}");
        Err(ConfigError::new(place, file, rule))
    }

    /// Reads the key, if one was given.
    pub(super) fn load_if_given(&self) -> Result<Option<KeyEncryptionKey>, ConfigError> {
        match self.given {
            Given::Absent(_) => Ok(None),
            _ => self.load().map(Some),
        }
    }

    /// That its file is not there, which `init` makes with the store.
    pub(super) fn to_be_made(&self) -> Option<Warning> {
        let Given::File(path, place) = &self.given else {
            return None;
        };
        let is_missing = path
            .symlink_metadata()
            .is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        is_missing.then(|| Warning {
            place: place.clone(),
            key: Some(self.names.file.to_owned()),
            text: format!(
                "{} is not there yet: `agentidpd init` makes it, with the store",
                path.display()
            )
            .into(),
        })
    }

    /// What to know about the source, though it works.
    pub(super) fn warning(&self) -> Option<Warning> {
        let Given::File(path, place) = &self.given else {
            return None;
        };
        warn_if_open(path, place, self.names.file)
    }

    fn read(&self, path: &Path, place: &Place) -> Result<KeyEncryptionKey, ConfigError> {
        let refuse = |rule: String| {
            let rule = format!("{}: {rule}", path.display());
            ConfigError::new(place.clone(), self.names.file, rule)
        };
        let text = read_text(path).map_err(|error| refuse(format!("cannot be read: {error}")))?;
        KeyEncryptionKey::parse(&text).map_err(|rule| refuse(rule.into_owned()))
    }
}

/// The warning that others than its owner may open the file at `path`, which the setting `key` names.
pub(super) fn warn_if_open(path: &Path, place: &Place, key: &str) -> Option<Warning> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o077 != 0).then(|| Warning {
        place: place.clone(),
        key: Some(key.to_owned()),
        text: format!(
            "{} is open to others than its owner (mode {:03o}); make it 600",
            path.display(),
            mode & 0o777
        )
        .into(),
    })
}

fn read_text(path: &Path) -> io::Result<Zeroizing<String>> {
    // Reserved at once, so that growing leaves no copies behind.
    let mut text = Zeroizing::new(String::with_capacity(8_192));
    File::open(path)?.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(text)
}
