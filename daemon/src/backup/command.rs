//! What the command line offers about backups, one function each.

use std::io::{self, ErrorKind, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentidp_shared::count::{counted, mebibytes};
use agentidp_shared::{Action, Actor, Entry, Outcome, Reason, Target, TargetKind, Timestamp, Via};
use anyhow::{Context as _, bail};
use nix::fcntl::{Flock, FlockArg};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::file::Whole;
use super::job::{Asked, Backups};
use super::{BackupError, Encryption, Manifest, file, remote};
use crate::clock::{Clock as _, System};
use crate::closed_store::options;
use crate::config::Config;
use crate::rpc::peer::Peer;
use crate::service::{grace, time_of};
use crate::store::durable::{JournaledStore, OpenError, Restorer, StoreOptions, Until};
use crate::store::{Commit, Store as _};

/// How often it is said how far a backup is.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Says on standard error how far something is.
fn tell(line: &str) {
    // When standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "agentidpd: {line}");
}

fn this_user() -> Actor {
    Actor {
        via: Via::Internal,
        ..Peer::of_this_process().actor()
    }
}

fn how(encryption: Encryption, recipients: &[String]) -> String {
    match encryption {
        Encryption::Age => format!("encrypted to {}", recipients.join(", ")),
        Encryption::None => "NOT encrypted".to_owned(),
    }
}

/// What came of making one.
fn made(path: &str, bytes: u64, entries: u64, how: &str) -> String {
    let (size, entries) = (mebibytes(bytes), counted(entries, "audit entry"));
    format!("made {path}: {size} with {entries}, {how}; it was read back")
}

/// Makes a backup: has the daemon make it when one runs, and reads the store itself otherwise.
///
/// # Errors
///
/// When no backups are configured, or it could not be made.
pub fn create_backup(config: &Config, reason: Option<&str>) -> anyhow::Result<()> {
    if config.backup.is_none() {
        bail!("no backups are configured: set backup.folder and backup.recipients");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let socket = &config.operator.socket;
    let line = runtime.block_on(async {
        match UnixStream::connect(socket).await {
            Ok(stream) => ask(stream, reason.unwrap_or_default().to_owned()).await,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::ConnectionRefused
                ) =>
            {
                make(config, reason).await
            }
            Err(error) => Err(error).with_context(|| format!("cannot use {}", socket.display())),
        }
    })?;
    writeln!(io::stdout(), "{line}")?;
    Ok(())
}

async fn ask(stream: UnixStream, reason: String) -> anyhow::Result<String> {
    let mut told = Instant::now();
    let made = remote::create(stream, reason, |progress| {
        if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            tell(&format!("so far {}", mebibytes(progress.bytes)));
        }
    });
    let v1 = made.await?;
    let encryption = if v1.recipients.is_empty() {
        Encryption::None
    } else {
        Encryption::Age
    };
    let how = how(encryption, &v1.recipients);
    Ok(self::made(&v1.path, v1.size_bytes, v1.entries, &how))
}

async fn make(config: &Config, reason: Option<&str>) -> anyhow::Result<String> {
    tell("no daemon runs, so the store is read by this command");
    let store = JournaledStore::open(&options(config)).map_err(|error| match error {
        OpenError::Locked(_) => anyhow::anyhow!(
            "{error}; and none answers on {}",
            config.operator.socket.display()
        ),
        error => error.into(),
    })?;
    let store = Arc::new(store);
    let clock = time_of(store.as_ref(), Arc::new(System::default()))?;
    grace::note_leap(store.as_ref(), &clock).await?;
    let backups = Arc::new(Backups::new(
        Arc::clone(&store),
        config.backup.clone(),
        Arc::new(clock),
        CancellationToken::new(),
    ));
    let asked = Asked {
        actor: this_user(),
        reason: reason.map(str::parse::<Reason>).transpose()?,
        request_id: None,
    };
    let made = backups.create(asked, None).await;
    store.give_back();
    let Whole {
        path,
        manifest,
        bytes,
        ..
    } = made?.whole;
    let how = how(manifest.encryption, &manifest.recipients);
    let path = path.display().to_string();
    Ok(self::made(&path, bytes, manifest.cut.entries, &how))
}

/// Verifies a backup: its checksums always, its content too when it can be read.
///
/// # Errors
///
/// When it is not what was written, or `identity` is not one that it is encrypted to.
pub fn verify_backup(backup: &Path, identity: Option<&Path>) -> anyhow::Result<()> {
    let whole = file::verify(backup)?;
    let Manifest {
        cut, encryption, ..
    } = &whole.manifest;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "the file is whole: store {}, {}, {}",
        cut.store_id,
        counted(cut.entries, "audit entry"),
        how(*encryption, &whole.manifest.recipients)
    )?;
    if *encryption == Encryption::Age && identity.is_none() {
        writeln!(
            out,
            "its content was not looked at: give an identity with --identity FILE to decrypt it"
        )?;
        return Ok(());
    }
    let records = file::inspect(backup, &whole.manifest, identity)?;
    writeln!(
        out,
        "its content is whole: {}, and the frames {} to {}",
        counted(records, "record"),
        cut.first_frame,
        cut.frame
    )?;
    Ok(())
}

/// Restores a backup into an empty folder, replays the journal that there is beyond it, as far as
/// `until`, and puts that into the restored store's audit log.
///
/// # Errors
///
/// When the folder is not empty, or the backup or the journal will not do; the folder is then as it was.
pub fn restore_backup(
    backup: &Path,
    identity: Option<&Path>,
    into: &Path,
    journal: Option<&Path>,
    until: Option<&str>,
    reason: Option<&str>,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let until = until.map(parse_until).transpose()?;
    let reason = reason.map(str::parse::<Reason>).transpose()?;
    let whole = file::verify(backup)?;
    if whole.manifest.encryption == Encryption::Age && identity.is_none() {
        return Err(BackupError::Encrypted(backup.to_owned()).into());
    }
    let now = System::default().now();
    let options = StoreOptions::new(into.to_owned(), into.join("head"), now);
    let unfinished = Unfinished::of(into);
    let mut restorer = Restorer::begin(&options, &whole.manifest.cut, journal, until)?;
    file::read(backup, &whole.manifest, identity, &mut restorer)?;
    let entries = restorer.finish()?;
    let seq = note(&options, &whole, reason)?;
    unfinished.keep();
    writeln!(
        io::stdout(),
        "restored {} into {} in {:.1} s; entry {seq} says so",
        counted(entries, "audit entry"),
        into.display(),
        begun.elapsed().as_secs_f64()
    )?;
    Ok(())
}

/// Puts the restore into the log of the store that it made, which brings its index up to date.
fn note(options: &StoreOptions, whole: &Whole, reason: Option<Reason>) -> anyhow::Result<u64> {
    // Its head file is written with the entry that says that it was restored.
    let store = JournaledStore::open_accepting(options)?;
    let now = time_of(&store, Arc::new(System::default()))?.now();
    let mut entry = Entry::new(now, this_user(), Action::StoreRestore, Outcome::Success);
    entry.reason = reason;
    entry.target = Some(Target {
        kind: TargetKind::Backup,
        id: whole.name(),
        revision: None,
        digest: Some(whole.sha256.clone()),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let committed = runtime.block_on(store.commit(Commit::new(entry)))?;
    store.close().map_err(anyhow::Error::msg)?;
    Ok(committed.seq)
}

/// A folder that is being restored into. Dropped before it is [kept](Self::keep), it is made what it was:
/// empty, or not there.
struct Unfinished<'a> {
    /// `None` for a folder that has something, of which nothing is ever removed, and for one that is kept.
    folder: Option<&'a Path>,
    was_there: bool,
}

impl<'a> Unfinished<'a> {
    fn of(folder: &'a Path) -> Self {
        let (is_empty, was_there) = match std::fs::read_dir(folder) {
            Ok(mut files) => (files.next().is_none(), true),
            Err(error) if error.kind() == ErrorKind::NotFound => (true, false),
            // Who restores says what is wrong with it.
            Err(_) => (false, true),
        };
        Self {
            folder: is_empty.then_some(folder),
            was_there,
        }
    }

    fn keep(mut self) {
        self.folder = None;
    }

    /// Whether another one restores into it.
    fn is_another_s(folder: &Path) -> bool {
        let lock = std::fs::File::options()
            .write(true)
            .open(folder.join("lock"));
        lock.is_ok_and(|lock| Flock::lock(lock, FlockArg::LockExclusiveNonblock).is_err())
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let Some(folder) = self.folder.filter(|it| !Self::is_another_s(it)) else {
            return;
        };
        // What cannot be removed, the next attempt names: it finds a folder that is not empty.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let _ = match entry.file_type() {
                Ok(kind) if kind.is_dir() => std::fs::remove_dir_all(path),
                _ => std::fs::remove_file(path),
            };
        }
        if !self.was_there {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

fn parse_until(text: &str) -> anyhow::Result<Until> {
    if let Ok(seq) = text.parse() {
        return Ok(Until::Seq(seq));
    }
    match text.parse::<Timestamp>() {
        Ok(time) => Ok(Until::Time(time)),
        Err(_) => bail!(
            "--until: must be the number of an audit entry, or a time such as 2026-11-21T10:00:00.000Z"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What a restore makes, wherever it ends.
    fn leave_behind(folder: &Path) {
        fs::create_dir_all(folder.join("index").join("sled")).unwrap();
        fs::create_dir(folder.join("journal")).unwrap();
        for name in ["lock", "running", "checkpoint", "head.new", "store.json"] {
            fs::write(folder.join(name), b"half").unwrap();
        }
    }

    #[test]
    fn a_restore_that_fails_anywhere_leaves_its_folder_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("store");
        let unfinished = Unfinished::of(&folder);
        leave_behind(&folder);
        drop(unfinished);
        assert!(!folder.exists());

        fs::create_dir(&folder).unwrap();
        let unfinished = Unfinished::of(&folder);
        leave_behind(&folder);
        drop(unfinished);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);

        let unfinished = Unfinished::of(&folder);
        leave_behind(&folder);
        unfinished.keep();
        let files = || fs::read_dir(&folder).unwrap().count();
        assert_eq!(files(), 7);
        drop(Unfinished::of(&folder));
        assert_eq!(files(), 7, "something of value was there before");
    }

    #[test]
    fn a_restore_that_fails_takes_nothing_from_another_that_is_under_way() {
        let root = tempfile::tempdir().unwrap();
        let second = Unfinished::of(root.path());
        leave_behind(root.path());
        let lock = fs::File::create(root.path().join("lock")).unwrap();
        let first = Flock::lock(lock, FlockArg::LockExclusiveNonblock).unwrap();
        drop(second);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 7);
        drop(first);
    }
}
