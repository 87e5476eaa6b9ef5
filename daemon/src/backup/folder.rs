//! The folder that backups are in.

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agentidp_shared::{StoreId, Timestamp};

use super::envelope::glance;
use super::{BackupError, Manifest};

const PARTIAL: &str = ".partial";
const BEGINNING: &str = "agentidp-";
const ENDING: &str = ".backup";

/// The time in the name of a file. Names sort by it.
fn stamp(time: Timestamp) -> String {
    let time = time.to_string();
    time.chars().filter(|it| !matches!(it, '-' | ':')).collect()
}

/// The name of a backup that was begun at `time` and has so many entries.
pub(super) fn file_name(time: Timestamp, entries: u64) -> String {
    format!("{BEGINNING}{}-{entries}{ENDING}", stamp(time))
}

/// The name of what is no backup of `store` yet, and was begun at `time`.
pub(super) fn partial_name(time: Timestamp, store: StoreId) -> String {
    format!("{BEGINNING}{}{}", stamp(time), partial_ending(store))
}

/// Several stores may have their backups in one folder, and what another daemon is writing is not ours.
fn partial_ending(store: StoreId) -> String {
    format!("-{store}{PARTIAL}")
}

/// A backup in the folder, as its manifest has it.
#[derive(Debug)]
pub(crate) struct Listed {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// The manifest and the file's size, or why there is none.
    pub(crate) manifest: Result<(Manifest, u64), BackupError>,
}

impl Listed {
    /// The file's name.
    pub(crate) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// The manifest, when it is of a store.
    pub(crate) fn of(&self, store: StoreId) -> Option<&Manifest> {
        let (manifest, _) = self.manifest.as_ref().ok()?;
        Some(manifest).filter(|it| it.cut.store_id == store)
    }

    fn time(&self) -> Option<Timestamp> {
        let (manifest, _) = self.manifest.as_ref().ok()?;
        Some(manifest.created_at)
    }
}

fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, BackupError> {
    let mut found = Vec::new();
    let read = fs::read_dir(folder).map_err(|cause| BackupError::Folder {
        path: folder.to_owned(),
        cause,
    })?;
    for entry in read {
        let entry = entry.map_err(BackupError::io(folder))?;
        let name = entry.file_name();
        // Whoever else may write there may put a pipe there, which would be waited for, or a name that a
        // terminal obeys.
        let is_ours = name.to_str().is_some_and(|name| {
            name.starts_with(BEGINNING)
                && name.ends_with(ending)
                && name.chars().all(|c| c.is_ascii_graphic())
        }) && entry.file_type().is_ok_and(|it| it.is_file());
        if is_ours {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// The backups in a folder, newest first; those that cannot be read last.
///
/// # Errors
///
/// When the folder cannot be read.
pub(crate) fn list(folder: &Path) -> Result<Vec<Listed>, BackupError> {
    let mut found: Vec<_> = files(folder, ENDING)?
        .into_iter()
        .map(|path| Listed {
            manifest: glance(&path),
            path,
        })
        .collect();
    found.sort_by_key(|it| Reverse((it.time(), it.path.clone())));
    Ok(found)
}

/// Removes what attempts at a backup of `store` that were cut off have left.
///
/// # Errors
///
/// When it cannot.
pub(super) fn sweep(folder: &Path, store: StoreId) -> Result<(), BackupError> {
    for path in files(folder, &partial_ending(store))? {
        tracing::warn!(file = %path.display(), "a backup that was cut off is removed");
        fs::remove_file(&path).map_err(BackupError::io(&path))?;
    }
    Ok(())
}

/// The backups of `store` that were made until `now`, newest first. One that is dated later was made while
/// the clock was ahead: it stays, and nothing goes by it before its time has come.
pub(crate) fn made_until(
    listed: &[Listed],
    store: StoreId,
    now: Timestamp,
) -> impl Iterator<Item = (&Listed, &Manifest)> {
    let ours = listed
        .iter()
        .filter_map(move |it| Some((it, it.of(store)?)));
    ours.filter(move |(_, manifest)| manifest.created_at <= now)
}

/// Which of the backups of `store` that were [made until `now`](made_until) are beyond what is kept: those
/// that `keep` newer ones take the place of, once they are also older than `for_at_least`. What `is_other`
/// says is of another history of the store takes no other's place.
pub(crate) fn surplus(
    listed: &[Listed],
    store: StoreId,
    keep: usize,
    for_at_least: Duration,
    now: Timestamp,
    is_other: impl Fn(&Listed) -> bool,
) -> Vec<&Listed> {
    let mut newer = 0;
    let is_beyond = |(it, manifest): &(&Listed, &Manifest)| {
        let is_beyond = newer >= keep && now.since(manifest.created_at) >= for_at_least;
        newer += usize::from(!is_other(it));
        is_beyond
    };
    made_until(listed, store, now)
        .filter(is_beyond)
        .map(|(it, _)| it)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn only_files_with_names_that_are_given_here_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let ours = "agentidp-20261121T110000.000Z-1.backup";
        for name in [ours, "notes.txt", "agentidp-\u{1b}]0;hey\u{7}.backup"] {
            fs::write(path(name), "").unwrap();
        }
        // Whoever opens it waits for somebody to write to it.
        mkfifo(&path("agentidp-pipe.backup"), Mode::S_IRWXU).unwrap();
        symlink("/dev/zero", path("agentidp-link.backup")).unwrap();
        fs::create_dir(path("agentidp-folder.backup")).unwrap();
        let found: Vec<_> = list(folder.path()).unwrap();
        let found: Vec<_> = found.iter().map(|it| it.path.clone()).collect();
        assert_eq!(found, [path(ours)]);
    }
}
