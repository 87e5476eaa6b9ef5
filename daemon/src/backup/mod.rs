//! Backups: what the store had at one moment, in one file. docs/reference/backup.md is the format.
//!
//! The store writes an image of itself ([`JournaledStore::write_image`]) as sections of pairs
//! ([`content`]); those are compressed, encrypted to the configured recipients, and cut into blocks with
//! checksums, between a header and a manifest ([`envelope`]). [`mod@file`] puts the three together, [`folder`]
//! keeps the files, and [`job`] makes them when it is time and when an operator asks.
//!
//! To add something to backups, give it a tree of the index: it becomes a section by itself.

mod command;
mod content;
mod envelope;
mod file;
mod folder;
pub(crate) mod job;
mod listing;
mod remote;
mod tidy;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use agentidp_shared::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::durable::{Cut, ImageError, Rebuilder, StoreOptions};
pub use command::{create_backup, restore_backup, verify_backup};
pub use listing::list_backups;

#[cfg(doc)]
use crate::store::durable::JournaledStore;

/// Why a backup could not be made, read or put back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// The operating system refused.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The folder of the backups cannot be read.
    #[error("{}: {cause}; backup.folder must be a folder that the daemon's user may write to: make it, or mount it", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// It is no backup.
    #[error("{} is not a backup: it does not begin as one", .0.display())]
    NotOne(PathBuf),
    /// It is of a later version.
    #[error("{} has format {found}, and this version reads format {}: use the version of the daemon that made it; nothing was changed", path.display(), envelope::FORMAT)]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It is not what was written.
    #[error("{} is damaged{}: {cause}; use another backup", path.display(), offset.map(|at| format!(" at byte {at}")).unwrap_or_default())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it, when that is known.
        offset: Option<u64>,
        /// How.
        cause: String,
    },
    /// It is encrypted, and no identity was given.
    #[error("{} is encrypted: give the identity of one of its recipients with --identity FILE", .0.display())]
    Encrypted(PathBuf),
    /// It is encrypted to others.
    #[error("{} cannot be decrypted with any identity in {}: it is encrypted to {recipients}", path.display(), identity.display())]
    WrongIdentity {
        /// The file.
        path: PathBuf,
        /// The file of the identities.
        identity: PathBuf,
        /// To whom it is encrypted.
        recipients: String,
    },
    /// The identity's file has none.
    #[error("{}: {cause}", path.display())]
    Identity {
        /// The file of the identities.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
    /// The image could not be taken or put back.
    #[error(transparent)]
    Image(#[from] ImageError),
}

impl BackupError {
    /// An operating system's error about `path`.
    fn io(path: &Path) -> impl Fn(io::Error) -> Self {
        move |cause| Self::Io {
            path: path.to_owned(),
            cause,
        }
    }
}

/// How a backup's content is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encryption {
    /// With age, to the recipients that the manifest names.
    Age,
    /// It is not.
    None,
}

/// What a backup says of itself, in the clear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// When it was begun.
    pub(crate) created_at: Timestamp,
    /// The version of the daemon that made it.
    pub(crate) version: String,
    /// The moment that it is of.
    pub(crate) cut: Cut,
    /// How the content is encrypted.
    pub(crate) encryption: Encryption,
    /// To whom: age recipients.
    pub(crate) recipients: Vec<String>,
    /// What it has.
    pub(crate) content: Summary,
}

/// What the content is, before it is compressed and encrypted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// Its bytes.
    pub(crate) bytes: u64,
    /// Their SHA-256, in hex.
    pub(crate) sha256: String,
    /// Its sections, in order.
    pub(crate) sections: Vec<Section>,
}

/// A section of the content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Section {
    /// Its name.
    pub(crate) name: String,
    /// How many pairs it has.
    pub(crate) pairs: u64,
}

/// Makes the index of a store that nobody has open anew from a backup; the next start brings it up to
/// date from the journal. An index that there is is set aside.
///
/// # Errors
///
/// [`BackupError`]; the store is then as it was.
pub(crate) fn rebuild_index(
    store: &StoreOptions,
    backup: &Path,
    identity: Option<&Path>,
) -> Result<Manifest, BackupError> {
    let opened = file::verify(backup)?;
    let mut rebuilder = Rebuilder::begin(store, &opened.manifest.cut)?;
    file::read(backup, &opened.manifest, identity, &mut rebuilder)?;
    rebuilder.finish()?;
    Ok(opened.manifest)
}

/// The same from the newest backup in `folder` that is of this store, can be read without an identity,
/// and is whole.
///
/// # Errors
///
/// Why none of them would do; the store is then as it was.
pub(crate) fn rebuild_from_newest(store: &StoreOptions, folder: &Path) -> Result<(), BackupError> {
    let mut failure = None;
    for it in folder::list(folder)? {
        match rebuild_index(store, &it.path, None) {
            Ok(_) => return Ok(()),
            Err(error) => {
                tracing::warn!(%error, "a backup would not do");
                failure.get_or_insert(error);
            }
        }
    }
    Err(failure.unwrap_or_else(|| {
        let cause = format!("{} has no backup", folder.display());
        ImageError::Content(cause).into()
    }))
}
