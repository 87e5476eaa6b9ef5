//! What the command line does with a store that no daemon has open.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use agentidp_shared::count::{counted, mebibytes};
use serde::Serialize;

use crate::args::Output;
use crate::backup::rebuild_index;
use crate::clock::{Clock as _, System};
use crate::closed_store::{options, trial};
use crate::config::Config;
use crate::store::durable::{self, JournaledStore, Progress, Report, StoreOptions};
use crate::store::{Store as _, StoreStatus};

/// How often it is said how far long work is.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// The exit code when something is wrong in the index only.
const INDEX: u8 = 3;
/// The exit code when something else is wrong.
const TRUTH: u8 = 4;

/// Where a store is.
#[derive(Debug)]
pub struct Place(StoreOptions);

impl Place {
    /// The store in a folder; its head file is there too unless it is named.
    #[must_use]
    pub fn of_folder(folder: PathBuf, head_file: Option<PathBuf>) -> Self {
        let head_file = head_file.unwrap_or_else(|| folder.join("head"));
        Self(StoreOptions {
            trial: Some(trial),
            ..StoreOptions::new(folder, head_file, System::default().now())
        })
    }

    /// The store that a configuration describes.
    #[must_use]
    pub fn of_config(config: &Config) -> Self {
        Self(options(config))
    }
}

/// What `store check -o json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    sound: bool,
    #[serde(flatten)]
    report: &'a Report,
}

/// Verifies the store and prints what was found; the exit code says how it is.
///
/// # Errors
///
/// When there is no store, a daemon has it open, or it cannot be read.
pub fn check_store(place: &Place, output: Output) -> anyhow::Result<ExitCode> {
    let report = telling(&place.0, || durable::check(&place.0))?;
    let mut out = io::stdout().lock();
    match output {
        Output::Json => {
            let sound = report.is_sound();
            let printed = Printed {
                sound,
                report: &report,
            };
            serde_json::to_writer(&mut out, &printed)?;
            writeln!(out)?;
        }
        Output::Text => print(&mut out, &report)?,
    }
    Ok(if report.is_sound() {
        ExitCode::SUCCESS
    } else if report.is_index_only() {
        INDEX.into()
    } else {
        TRUTH.into()
    })
}

fn print(out: &mut impl io::Write, report: &Report) -> io::Result<()> {
    for note in &report.notes {
        writeln!(out, "note: {note}")?;
    }
    for finding in &report.findings {
        writeln!(out, "{finding}")?;
    }
    if report.more_findings > 0 {
        writeln!(out, "and {} more", report.more_findings)?;
    }
    let verdict = if report.is_sound() {
        "sound"
    } else {
        "NOT sound"
    };
    match &report.root {
        Some(root) => writeln!(
            out,
            "the store is {verdict}: {}, {}, {}; root {root}",
            counted(report.frames, "frame"),
            counted(report.entries, "audit entry"),
            counted(report.records, "record"),
        )?,
        None => writeln!(
            out,
            "the store is {verdict}: its journal cannot be read to the end, so nothing was counted"
        )?,
    }
    if report.is_sound() {
        return Ok(());
    }
    let first = report.first_frame;
    if report.is_index_only() && first > 1 {
        return writeln!(
            out,
            "only the index is concerned, and the journal has only what came after the backups: `agentidpd store rebuild --backup FILE --identity FILE` makes it anew from a backup that reaches to frame {} or beyond, and from the journal; nothing is lost",
            first - 1
        );
    }
    let next = if report.is_index_only() {
        "only the index is concerned: `agentidpd store rebuild` makes it anew from the journal; nothing is lost"
    } else if report.is_head_only() {
        "the store by itself is whole, and no head file says that it is the newest: find out which of them was put back or lost; once the store is the one that you mean, `agentidpd store accept` says so"
    } else {
        "keep this store as it is, and restore the newest backup that verifies together with what is whole of this journal: `agentidpd backup list`, `agentidpd backup restore … --journal`"
    };
    writeln!(out, "{next}")
}

/// Copies the index into a fresh one and prints how large it was and is.
///
/// # Errors
///
/// When the store cannot be opened, or the disk refuses.
pub fn compact_store(place: &Place) -> anyhow::Result<()> {
    let (before, after) = telling(&place.0, || JournaledStore::compact_closed(&place.0))?;
    writeln!(
        io::stdout(),
        "the index had {} and has {}",
        mebibytes(before),
        mebibytes(after)
    )?;
    Ok(())
}

/// Makes the index anew from the journal, or from `backup` and what the journal has after it; `identity`
/// is what decrypts that.
///
/// # Errors
///
/// When the store cannot be opened, its journal or the backup is damaged, the journal does not go back to
/// the first entry and there is no backup, or the disk refuses.
pub fn rebuild_store(
    place: &Place,
    backup: Option<&Path>,
    identity: Option<&Path>,
) -> anyhow::Result<()> {
    let status = telling(&place.0, || match backup {
        None => Ok(JournaledStore::rebuild(&place.0)?),
        Some(backup) => rebuild_from(&place.0, backup, identity),
    })?;
    writeln!(
        io::stdout(),
        "made the index of {} anew from {}",
        status.path,
        counted(status.entries, "audit entry")
    )?;
    Ok(())
}

fn rebuild_from(
    options: &StoreOptions,
    backup: &Path,
    identity: Option<&Path>,
) -> anyhow::Result<StoreStatus> {
    rebuild_index(options, backup, identity)?;
    // Which brings it up to date from the journal.
    let store = JournaledStore::open(options)?;
    let status = store.status();
    store.give_back();
    Ok(status)
}

/// Tries whether an index opens: the child process of a start.
///
/// # Errors
///
/// When it does not.
pub fn try_index(folder: &Path) -> anyhow::Result<()> {
    Ok(durable::try_index(folder)?)
}

/// Does `work`, and says on standard error how far it is while it takes long.
fn telling<T: Send>(options: &StoreOptions, work: impl FnOnce() -> T + Send) -> T {
    let progress: &Progress = &options.progress;
    let (done, is_done) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = is_done.recv_timeout(TOLD_EVERY) {
                if let Some(step) = progress.now() {
                    // When standard error is closed there is nobody to tell.
                    let _ = writeln!(io::stderr(), "{step}");
                }
            }
        });
        let result = work();
        drop(done);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_counted_is_not_told_as_if_it_were_nothing() {
        let told = |report: &Report| {
            let mut bytes = Vec::new();
            print(&mut bytes, report).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        let sound = Report {
            root: Some("abc=".to_owned()),
            frames: 1,
            entries: 2,
            ..Report::default()
        };
        assert_eq!(
            told(&sound),
            "the store is sound: 1 frame, 2 audit entries, 0 records; root abc=\n"
        );
        let damaged = told(&Report::default());
        assert!(damaged.contains("nothing was counted"), "{damaged}");
        assert!(
            !damaged.contains("root") && !damaged.contains(" 0 "),
            "{damaged}"
        );
    }
}
