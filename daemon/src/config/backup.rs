//! What the configuration says about backups.

use std::path::PathBuf;
use std::time::Duration;

use super::error::{ConfigError, Place, Warning};
use super::source::Sources;
use super::value;

const FOLDER: &str = "backup.folder";
const EVERY: &str = "backup.every";
const KEEP: &str = "backup.keep";
const KEEP_DAYS: &str = "backup.keep_days";
const RECIPIENTS: &str = "backup.recipients";
const UNENCRYPTED: &str = "backup.unencrypted";

const DEFAULT_EVERY: Duration = Duration::from_hours(6);
const DEFAULT_KEEP: usize = 8;
const DEFAULT_KEEP_DAYS: u32 = 0;

/// Backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The folder for them.
    pub folder: PathBuf,
    /// How often one is made; `None`: only when an operator asks.
    pub every: Option<Duration>,
    /// How many are kept at least; 2 or more.
    pub keep: usize,
    /// For how many days each is kept at least.
    pub keep_days: u32,
    /// To whom they are encrypted: age recipients (X25519). None only with `unencrypted`.
    pub recipients: Vec<String>,
    /// Whether they are not encrypted.
    pub unencrypted: bool,
    /// Where it is said.
    pub places: BackupPlaces,
}

/// Where the settings stand that there may be something to say of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupPlaces {
    /// See [`Backup::folder`].
    pub folder: Place,
    /// See [`Backup::unencrypted`].
    pub unencrypted: Place,
}

impl Backup {
    /// What the sources say; `None` without a folder.
    pub(super) fn of(sources: &Sources<'_>) -> Result<Option<Self>, ConfigError> {
        let every = sources.text(EVERY, value::backup_every)?;
        let keep = sources.value(KEEP)?.unwrap_or(DEFAULT_KEEP);
        if !(2..=10_000).contains(&keep) {
            let rule = "must be between 2 and 10000: the journal lets go of what two backups have";
            return Err(sources.refuse(KEEP, rule));
        }
        let keep_days = sources.value(KEEP_DAYS)?.unwrap_or(DEFAULT_KEEP_DAYS);
        if keep_days > 3_650 {
            return Err(sources.refuse(KEEP_DAYS, "must be between 0 and 3650"));
        }
        let recipients: Vec<String> = sources.value(RECIPIENTS)?.unwrap_or_default();
        value::check_recipients(&recipients).map_err(|rule| sources.refuse(RECIPIENTS, rule))?;
        let unencrypted = sources.value(UNENCRYPTED)?.unwrap_or(false);
        let Some(folder) = sources.text(FOLDER, value::path)? else {
            return Ok(None);
        };
        if recipients.is_empty() && !unencrypted {
            let rule = "must name an age recipient (age1…) at least: make one with age-keygen, and keep its identity elsewhere; or set backup.unencrypted = true";
            return Err(sources.refuse(RECIPIENTS, rule));
        }
        if !recipients.is_empty() && unencrypted {
            let rule = "must not be true when there are backup.recipients";
            return Err(sources.refuse(UNENCRYPTED, rule));
        }
        Ok(Some(Self {
            folder,
            every: every.unwrap_or(Some(DEFAULT_EVERY)),
            keep,
            keep_days,
            recipients,
            unencrypted,
            places: BackupPlaces {
                folder: sources.place(FOLDER),
                unencrypted: sources.place(UNENCRYPTED),
            },
        }))
    }

    /// That they are not encrypted, when they are not.
    pub(super) fn unencrypted_warning(&self) -> Option<Warning> {
        self.unencrypted.then(|| Warning {
            place: self.places.unencrypted.clone(),
            key: Some(UNENCRYPTED.to_owned()),
            text: "whoever can read a backup can read the whole store: agents, hashes of secrets and the audit log".into(),
        })
    }

    /// That there is no such folder, when there is none: the daemon serves, and every backup fails.
    pub(super) fn folder_warning(&self) -> Option<Warning> {
        (!self.folder.is_dir()).then(|| Warning {
            place: self.places.folder.clone(),
            key: Some(FOLDER.to_owned()),
            text: format!(
                "{} is no folder, so no backup can be made: make it, for the daemon's user alone, or mount it",
                self.folder.display()
            )
            .into(),
        })
    }
}
