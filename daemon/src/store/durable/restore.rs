//! Putting an image back: into a store that is made anew, or as the index of one that has lost its own.

use std::path::{Path, PathBuf};

use agentidp_shared::Timestamp;
use nix::fcntl::Flock;

use super::builder::Builder;
use super::care::set_aside;
use super::image::{Cut, ImageError, Sink, latest, one_frame, section};
use super::journal::{self, Position, segments};
use super::layout::{FORMAT, Identity, Layout, make_folder, sync_folder, write_json};
use super::segments::{Copied, Frames};
use super::{OpenError, StoreOptions};
use crate::store::form::hex;

/// How far a journal is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Up to this entry, with it.
    Seq(u64),
    /// Up to this time, with it.
    Time(Timestamp),
}

impl Until {
    /// Whether what ends with entry `seq`, the latest of whose times is `time`, is to be there.
    pub(crate) fn has(self, seq: u64, time: Timestamp) -> bool {
        match self {
            Self::Seq(last) => seq <= last,
            Self::Time(last) => time <= last,
        }
    }
}

impl std::fmt::Display for Until {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Seq(seq) => write!(f, "entry {seq}"),
            Self::Time(time) => write!(f, "{time}"),
        }
    }
}

fn content(cause: impl Into<String>) -> ImageError {
    ImageError::Content(cause.into())
}

/// A store that is made from an image, and from the journal that it had.
pub(crate) struct Restorer {
    layout: Layout,
    _lock: Flock<std::fs::File>,
    cut: Cut,
    builder: Builder,
    copied: Copied,
    /// The journal that there is beside the image, and whether it reaches back as far as the image.
    journal: Option<(PathBuf, bool)>,
    until: Option<Until>,
}

impl Restorer {
    /// Begins in the folder that `options` name, which must be empty or not be there.
    ///
    /// # Errors
    ///
    /// [`ImageError`] when the folder or the journal will not do.
    pub(crate) fn begin(
        options: &StoreOptions,
        cut: &Cut,
        journal: Option<&Path>,
        until: Option<Until>,
    ) -> Result<Self, ImageError> {
        let layout = Layout::new(options);
        let root = layout.root();
        if cut.store_format != FORMAT {
            return Err(content(format!(
                "the store in the backup has format {}, and this daemon knows format {FORMAT}: use the version of the daemon that made the backup, and upgrade afterwards",
                cut.store_format
            )));
        }
        if let Some(until) = until.filter(|it| !it.has(cut.entries.saturating_sub(1), cut.time)) {
            return Err(content(format!(
                "the backup is of entry {} ({}), which is after {until}: choose an earlier backup",
                cut.entries.saturating_sub(1),
                cut.time
            )));
        }
        let (journal, entries) = match journal {
            Some(folder) => {
                let (is_whole, entries) = reaches_back(folder, cut)?;
                (Some((folder.to_owned(), is_whole)), entries)
            }
            None => (None, cut.entries),
        };
        if let Some(Until::Seq(seq)) = until
            && seq >= entries
        {
            return Err(content(format!(
                "the log ends with entry {}, before entry {seq}: name the last entry that is to stay, or leave --until out to restore everything; nothing was changed",
                entries.saturating_sub(1)
            )));
        }
        match std::fs::read_dir(root) {
            Ok(mut files) => {
                if files.next().is_some() {
                    return Err(content(format!(
                        "{} is not empty: a backup is restored into an empty folder only; nothing was changed",
                        root.display()
                    )));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                make_folder(root).map_err(OpenError::io(root))?;
            }
            Err(error) => return Err(OpenError::io(root)(error).into()),
        }
        let lock = layout.lock()?;
        Ok(Self {
            builder: Builder::begin(&layout.index())?,
            copied: Copied::begin(&layout.journal(), cut.store_id)?,
            layout,
            _lock: lock,
            cut: cut.clone(),
            journal,
            until,
        })
    }

    /// Ends it, once everything of the image has been taken: adds the journal, and makes the folder a
    /// store, which has no head file yet: it is to be opened without one
    /// ([`JournaledStore::open_accepting`](super::JournaledStore::open_accepting)), to put into its log
    /// that it was restored. Gives how many entries its log has.
    ///
    /// # Errors
    ///
    /// [`ImageError`]; what there is of the store is no store.
    pub(crate) fn finish(self) -> Result<u64, ImageError> {
        let Self {
            layout,
            cut,
            builder,
            mut copied,
            journal,
            until,
            ..
        } = self;
        builder.finish(&cut)?;
        if let Some((folder, is_whole)) = journal {
            add(&mut copied, &folder, is_whole, &cut, until)?;
        }
        let position = copied.position;
        let position = position.filter(|it| it.frame >= cut.frame);
        let position = position.ok_or_else(|| content("it has no frames"))?;
        copied.finish()?;
        // Last, because it is what makes the folder a store.
        write_json(
            &layout.identity(),
            &Identity {
                format: FORMAT,
                id: cut.store_id,
                created_at: cut.store_created_at,
            },
        )?;
        sync_folder(layout.root())?;
        Ok(position.entries)
    }
}

impl Sink for Restorer {
    fn section(&mut self, name: &str) -> Result<(), ImageError> {
        self.builder.section(name)
    }

    fn pair(&mut self, key: &[u8], value: &[u8]) -> Result<(), ImageError> {
        if self.builder.section != section::FRAMES {
            return self.builder.pair(key, value);
        }
        if !matches!(self.journal, Some((_, true))) {
            self.copied.put(&one_frame(value)?, value)?;
        }
        Ok(())
    }
}

/// Whether a journal has everything from the image's first frame on, and how many entries the log has up to
/// the end of both. One that begins only after the image's last frame is refused.
fn reaches_back(folder: &Path, cut: &Cut) -> Result<(bool, u64), ImageError> {
    let segments = segments(folder)?;
    let Some((first, _)) = segments.first() else {
        return Err(OpenError::NoJournal(folder.to_owned()).into());
    };
    if *first > cut.frame + 1 {
        return Err(content(format!(
            "the journal in {} begins with frame {first}, and the backup ends with frame {}: what is between them is missing; choose a newer backup",
            folder.display(),
            cut.frame
        )));
    }
    // Verifies it, and tells a torn end from damage.
    let end = journal::scan(folder, cut.store_id, cut.frame.max(*first), &mut |_| Ok(()))?;
    let is_whole = *first <= cut.first_frame && end.position.frame >= cut.frame;
    Ok((is_whole, cut.entries.max(end.position.entries)))
}

/// Copies what the journal in `folder` has: all of it when it is whole, otherwise what comes after the
/// image.
fn add(
    copied: &mut Copied,
    folder: &Path,
    is_whole: bool,
    cut: &Cut,
    until: Option<Until>,
) -> Result<(), ImageError> {
    let first = segments(folder)?.first().map_or(1, |(number, _)| *number);
    let from = if is_whole {
        first
    } else {
        cut.frame.max(first)
    };
    let last = journal::scan(folder, cut.store_id, cut.frame.max(first), &mut |_| Ok(()))?;
    let last: Position = last.position;
    let mut frames = Frames::open(folder, cut.store_id, from)?;
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < last.frame {
        let Some(frame) = frames.next(&mut bytes)? else {
            break;
        };
        at = frame.number;
        if frame.number == cut.frame && hex(&frame.hash) != cut.hash {
            return Err(content(format!(
                "the journal in {} is not the one that goes on after the backup: frame {} is another",
                folder.display(),
                cut.frame
            )));
        }
        if frame.number > cut.frame {
            let end = (frame.first_seq + frame.items.len() as u64).saturating_sub(1);
            if let Some(until) = until
                && !until.has(end, latest(&frame)?)
            {
                break;
            }
        }
        if is_whole || frame.number > cut.frame {
            let follows = copied.position.is_none_or(|at| at.hash == frame.previous);
            if !follows {
                return Err(content(format!(
                    "the journal in {} is not the one that goes on after the backup: frame {} does not follow",
                    folder.display(),
                    frame.number
                )));
            }
            copied.put(&frame, &bytes)?;
        }
    }
    Ok(())
}

/// The index of a store that nobody has open, made from an image; whatever index there was is set
/// aside. The next start brings it up to date from the journal.
pub(crate) struct Rebuilder {
    layout: Layout,
    _lock: Flock<std::fs::File>,
    cut: Cut,
    now: Timestamp,
    folder: PathBuf,
    builder: Builder,
}

impl Rebuilder {
    /// Begins for the store that `options` name.
    ///
    /// # Errors
    ///
    /// [`ImageError`] when the image is of another store, or the journal does not go on where it ends.
    pub(crate) fn begin(options: &StoreOptions, cut: &Cut) -> Result<Self, ImageError> {
        let layout = Layout::new(options);
        let identity = layout.read_identity()?;
        let lock = layout.lock()?;
        if identity.id != cut.store_id {
            return Err(content(format!(
                "the backup is of store {}, and this is store {}",
                cut.store_id, identity.id
            )));
        }
        let first = journal::first_frame(&layout.journal())?;
        if first > cut.first_frame {
            return Err(content(format!(
                "the journal begins with frame {first}, and the index of this backup goes on with what the journal has from frame {} on: choose a newer backup; nothing was changed",
                cut.first_frame
            )));
        }
        // The frame must be there, and be the same: otherwise the store is of another history.
        let mut at_cut = None;
        journal::scan(
            &layout.journal(),
            cut.store_id,
            cut.first_frame,
            &mut |frame| {
                if frame.number == cut.frame {
                    at_cut = Some(hex(&frame.hash));
                }
                Ok(())
            },
        )?;
        if at_cut.as_ref() != Some(&cut.hash) {
            return Err(content(format!(
                "the store's journal has not the frame {} with which the backup ends: they are of different histories",
                cut.frame
            )));
        }
        let folder = layout.root().join("index.new");
        if folder.exists() {
            // Of an attempt that was cut off.
            std::fs::remove_dir_all(&folder)?;
        }
        Ok(Self {
            builder: Builder::begin(&folder)?,
            layout,
            _lock: lock,
            cut: cut.clone(),
            now: options.opened_at,
            folder,
        })
    }

    /// Ends it, once everything of the image has been taken.
    ///
    /// # Errors
    ///
    /// [`ImageError`]; the store is then as it was.
    pub(crate) fn finish(self) -> Result<(), ImageError> {
        self.builder.finish(&self.cut)?;
        let index = self.layout.index();
        if index.exists() {
            set_aside(&index, self.now)?;
        }
        self.layout.forget_checked();
        // Until it is brought up to date, which a store that was closed in good order is.
        self.layout.begin()?;
        std::fs::rename(&self.folder, &index)?;
        Ok(sync_folder(self.layout.root())?)
    }
}

impl Sink for Rebuilder {
    fn section(&mut self, name: &str) -> Result<(), ImageError> {
        self.builder.section(name)
    }

    fn pair(&mut self, key: &[u8], value: &[u8]) -> Result<(), ImageError> {
        if self.builder.section == section::FRAMES {
            // The journal has them.
            return Ok(());
        }
        self.builder.pair(key, value)
    }
}
