//! Care for sled: what a killed one leaves behind goes, one that may be damaged is first opened in a
//! child process, and one that does not open is set aside.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use agentidp_shared::Timestamp;

use super::OpenError;
use super::database::{NAMES, failed};
use super::index::Index;
use crate::store::ReadError;

/// Makes the command that tries to open the index in a folder: see [`try_index`].
pub(crate) type Trial = fn(&Path) -> io::Result<Command>;

/// How long a trial may take at least.
const TRIAL: Duration = Duration::from_mins(1);
/// How many bytes a second a disk reads that is slow.
const SLOW_DISK: u64 = 8 * 1_024 * 1_024;
/// The longest time between two looks at whether a trial has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Opens the index in `folder` and reads of it what a start reads. It is for a process of its own: sled
/// may panic over a damaged database, never come to an end, or ask for all memory that there is.
///
/// # Errors
///
/// When it does not open or cannot be read.
pub(crate) fn try_index(folder: &Path) -> Result<(), ReadError> {
    let index = Index::open(folder)?;
    let trees = index.trees();
    for tree in [&trees.records, &trees.names, &trees.usage, &trees.kept] {
        for pair in tree {
            pair.map_err(failed)?;
        }
    }
    Ok(())
}

/// Tries whether the index in `folder` opens, in a process that `trial` makes.
///
/// # Errors
///
/// Why it does not; [`OpenError`] when there is no such process.
pub(super) fn tried(folder: &Path, trial: Trial) -> Result<Result<(), String>, OpenError> {
    let limit = TRIAL + Duration::from_secs(bytes_in(folder) / SLOW_DISK);
    let mut command = trial(folder).map_err(OpenError::io(folder))?;
    let program = PathBuf::from(command.get_program());
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(OpenError::io(&program))?;
    let begun = Instant::now();
    let mut look = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait().map_err(OpenError::io(&program))? {
            return Ok(verdict(status));
        }
        if begun.elapsed() > limit {
            // It is gone, or will be.
            let _ = child.kill();
            let _ = child.wait();
            return Ok(Err(format!("it was not open after {} s", limit.as_secs())));
        }
        thread::sleep(look);
        look = (look * 2).min(LOOK_EVERY);
    }
}

fn verdict(status: ExitStatus) -> Result<(), String> {
    if status.success() {
        Ok(())
    } else {
        Err(format!("opening it ended with {status}"))
    }
}

/// Removes what a sled that was killed has left behind, and a copy that was not finished. `name` is the
/// database that is in use. Call it only with the lock.
///
/// # Errors
///
/// When something cannot be removed.
pub(super) fn remove_leftovers(folder: &Path, name: &str) -> Result<(), OpenError> {
    for other in NAMES.into_iter().filter(|other| *other != name) {
        let path = folder.join(other);
        if path.exists() {
            tracing::info!(folder = %path.display(), "a database that was not finished, or no longer in use, is removed");
            fs::remove_dir_all(&path).map_err(OpenError::io(&path))?;
        }
    }
    let database = folder.join(name);
    let Ok(entries) = fs::read_dir(&database) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry.map_err(OpenError::io(&database))?.path();
        // With it there sled does not open.
        let is_leftover = path.extension().is_some_and(|it| it == "generating");
        if is_leftover {
            tracing::warn!(file = %path.display(), "half a snapshot, which sled left behind, is removed");
            fs::remove_file(&path).map_err(OpenError::io(&path))?;
        }
    }
    Ok(())
}

/// Sets the index in `folder` aside at `now` for whoever wants to look into it, in place of one that
/// was set aside before.
///
/// # Errors
///
/// When it cannot be moved, or the one before not be removed.
pub(super) fn set_aside(folder: &Path, now: Timestamp) -> Result<(), OpenError> {
    let root = folder.parent().unwrap_or(folder);
    for entry in fs::read_dir(root).map_err(OpenError::io(root))?.flatten() {
        let name = entry.file_name();
        if is_aside(&name.to_string_lossy()) {
            fs::remove_dir_all(entry.path()).map_err(OpenError::io(&entry.path()))?;
        }
    }
    let aside = root.join(format!("{ASIDE}{}", compact(now)));
    fs::rename(folder, &aside).map_err(OpenError::io(folder))?;
    tracing::warn!(folder = %aside.display(), "the old index is kept there until another is set aside; it can be deleted");
    Ok(())
}

/// What the name of an index begins with that was set aside.
pub(super) const ASIDE: &str = "index.broken-";

fn is_aside(name: &str) -> bool {
    name.starts_with(ASIDE)
}

/// A time as part of a file's name: `20261121T114503Z`.
fn compact(now: Timestamp) -> String {
    let text = now.to_string();
    let seconds = text.split('.').next().unwrap_or_default();
    let digits = seconds.chars().filter(char::is_ascii_alphanumeric);
    digits.chain(['Z']).collect()
}

/// How many bytes the files in a folder have.
pub(super) fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(it) if it.is_dir() => bytes_in(&entry.path()),
            Ok(it) => it.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_is_set_aside_is_named_for_the_time_and_replaces_the_one_before() {
        let root = tempfile::tempdir().unwrap();
        let index = root.path().join("index");
        for (millis, name) in [
            (1_795_258_900_735, "index.broken-20261121T110140Z"),
            (1_795_258_901_735, "index.broken-20261121T110141Z"),
        ] {
            fs::create_dir(&index).unwrap();
            set_aside(&index, Timestamp::from_millis(millis)).unwrap();
            let names: Vec<_> = fs::read_dir(root.path()).unwrap().collect();
            assert_eq!(names.len(), 1);
            assert_eq!(names[0].as_ref().unwrap().file_name(), name);
        }
    }

    #[test]
    fn a_trial_that_fails_or_dies_is_no_success() {
        let folder = tempfile::tempdir().unwrap();
        let run = |trial: Trial| tried(folder.path(), trial).unwrap();
        assert_eq!(run(|_| Ok(Command::new("true"))), Ok(()));
        assert!(run(|_| Ok(Command::new("false"))).is_err());
        let died = run(|_| {
            let mut command = Command::new("sh");
            command.args(["-c", "kill -ABRT $$"]);
            Ok(command)
        });
        assert!(died.unwrap_err().contains("signal"));
    }
}
