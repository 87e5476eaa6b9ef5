//! What a backup has of a store: its records and its log as they were after one frame, taken while the
//! store is written to.
//!
//! sled has no snapshots. So the index is copied as it changes, and the frames that were written
//! meanwhile are copied after it: what they change is absolute, and replaying them over whatever mixture
//! was copied ends in the state after the last of them. That is also how a store is opened after a
//! crash. Nothing waits for a backup, and a backup waits for nothing.

use std::io;

use agentidp_shared::{Entry, StoreId, Timestamp};
use serde::{Deserialize, Serialize};
use sled::Tree;

use super::bundle;
use super::index::{Index, failed};
use super::keeper::Settled;
use super::segments::{self, Frames};
use super::{JournaledStore, OpenError};
use crate::store::form::hex;
use crate::store::{ReadError, Record, form};

/// The sections of an image, in their order; beside them there are the index's other trees.
pub(crate) mod section {
    /// The records: key, and entry of the last change (big-endian) with the stored form.
    pub(crate) const RECORDS: &str = "records";
    /// What is kept for a time: key, and entry (big-endian) with the stored form.
    pub(crate) const KEPT: &str = "kept";
    /// How records were used.
    pub(crate) const USAGE: &str = "usage";
    /// The full bundles of audit entries: number (big-endian), and the compressed entries.
    pub(crate) const BUNDLES: &str = "bundles";
    /// What the bundles can be asked for: number (big-endian), and summary.
    pub(crate) const SUMMARIES: &str = "summaries";
    /// The frames: number (big-endian), and the frame as it stands in the journal.
    pub(crate) const FRAMES: &str = "frames";
    /// What the names of the sections of other trees begin with.
    pub(crate) const TREE: &str = "tree:";
}

/// The trees that have sections of their own, or are made anew.
const OWN_TREES: &[&[u8]] = &[
    b"__sled__default",
    b"meta",
    b"records",
    b"parts",
    b"names",
    b"usage",
    b"kept",
    b"bundles",
    b"summaries",
];

/// Why an image could not be taken or put back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    /// The store's own files.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The index.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Where the image goes or comes from.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It was told to stop.
    #[error("it was stopped")]
    Stopped,
    /// The image is not what can be put back.
    #[error("{0}")]
    Content(String),
}

/// What an image is written into, or read into: sections of pairs.
pub(crate) trait Sink {
    /// Begins a section, and ends the one before it.
    fn section(&mut self, name: &str) -> Result<(), ImageError>;
    /// Takes a pair of it.
    fn pair(&mut self, key: &[u8], value: &[u8]) -> Result<(), ImageError>;
}

/// The moment that an image is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cut {
    /// The store.
    pub(crate) store_id: StoreId,
    /// The version of its form.
    pub(crate) store_format: u32,
    /// When it was made.
    pub(crate) store_created_at: Timestamp,
    /// The first frame that the image has.
    pub(crate) first_frame: u64,
    /// How many entries the bundles have.
    pub(crate) open_seq: u64,
    /// The last frame: the moment.
    pub(crate) frame: u64,
    /// The hash of that frame, in hex.
    pub(crate) hash: String,
    /// How many entries the log then had.
    pub(crate) entries: u64,
    /// The latest time of the entries of that frame.
    pub(crate) time: Timestamp,
}

impl JournaledStore {
    /// Writes an image of the store into `sink`; gives the moment that it is of.
    ///
    /// # Errors
    ///
    /// [`ImageError`]; the store is as it was.
    pub(crate) fn write_image(&self, sink: &mut dyn Sink) -> Result<Cut, ImageError> {
        let identity = self.layout.read_identity()?;
        // What the index does not have on the disk, such as counts of uses, is put there first. Then
        // everything before the mark's frame is in it.
        self.settle()?;
        let mark = Index::read_mark(&self.layout.index())
            .filter(|mark| mark.store_id == self.id)
            .ok_or_else(|| ReadError("the index has no mark".to_owned()))?;
        self.state.index.export(mark.open_seq, sink)?;
        // From here on nothing is copied but frames. What is being applied may be in it in part.
        let end = self.state.applied();
        sink.section(section::FRAMES)?;
        let mut frames = Frames::open(&self.layout.journal(), self.id, mark.frame)?;
        let (mut bytes, mut last) = (Vec::new(), None);
        while let Some(frame) = frames.next(&mut bytes)? {
            if frame.number >= mark.frame {
                sink.pair(&frame.number.to_be_bytes(), &bytes)?;
            }
            let is_end = frame.number == end.frame;
            last = Some(frame);
            if is_end {
                break;
            }
        }
        let last = last.filter(|frame| frame.hash == end.hash);
        let last = last.ok_or_else(|| {
            ImageError::Content("the journal does not end where the daemon has it".to_owned())
        })?;
        Ok(Cut {
            store_id: self.id,
            store_format: identity.format,
            store_created_at: identity.created_at,
            first_frame: mark.frame,
            open_seq: mark.open_seq,
            frame: end.frame,
            hash: hex(&end.hash),
            entries: end.entries,
            time: latest(&last)?,
        })
    }

    /// Has the keeper bring the index up to date on the disk, and waits for it.
    fn settle(&self) -> Result<(), ImageError> {
        let closed = || ImageError::Content("the store is shut down".to_owned());
        let settled: Settled = {
            let threads = self.threads.lock();
            let (_, keeper) = threads.as_ref().ok_or_else(closed)?;
            keeper.settle()
        };
        if settled.recv().map_err(|_error| closed())? {
            Ok(())
        } else {
            Err(
                ReadError("the index could not be made durable: the log says why".to_owned())
                    .into(),
            )
        }
    }

    /// Removes the segments of the journal that images of all these moments have; gives how many bytes
    /// that was. What the index does not have on the disk stays, and so does what comes after the moment
    /// that the head file is of. Everything stays while a check reads the journal, and when one of the
    /// images is of another history of the store, as after a restore to a moment before it.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when the journal cannot be read, or a file cannot be removed.
    pub(crate) fn trim_journal(&self, cuts: &[&Cut]) -> Result<u64, OpenError> {
        let folder = self.layout.journal();
        let mark = Index::read_mark(&self.layout.index());
        // A start goes back to the earlier of the two.
        let head = self.layout.read_head()?;
        let needed = [
            mark.map_or(0, |mark| mark.frame),
            head.map_or(0, |head| head.frame),
        ];
        let frames = cuts.iter().map(|cut| cut.first_frame);
        let frame = frames.chain(needed).min().unwrap_or_default();
        if !segments::has_before(&folder, frame)? {
            return Ok(0);
        }
        for cut in cuts {
            if self.has_come_by(cut)? != Some(true) {
                return Ok(0);
            }
        }
        let remove = || segments::remove_before(&folder, frame);
        let removed = self.care.unless_checking(remove).transpose()?;
        let removed = removed.unwrap_or_default();
        let mut trimmed = self.state.trimmed.lock();
        *trimmed = (trimmed.0 + removed.0, trimmed.1 + removed.1);
        Ok(removed.0)
    }

    /// Whether the journal has the frame that a moment came after, with the same hash: a moment that it never
    /// came by is of another history of the store, as after a restore to one before it. `None` where the
    /// journal has let go of that frame.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when the journal cannot be read.
    pub(crate) fn has_come_by(&self, cut: &Cut) -> Result<Option<bool>, OpenError> {
        let end = self.state.journal.lock().0;
        if cut.frame > end.frame {
            return Ok(Some(false));
        }
        let mut frames = match Frames::open(&self.layout.journal(), self.id, cut.frame) {
            Ok(frames) => frames,
            Err(OpenError::Before { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        while let Some(frame) = frames.next(&mut bytes)? {
            if frame.number == cut.frame {
                return Ok(Some(hex(&frame.hash) == cut.hash));
            }
        }
        Ok(Some(false))
    }
}

/// The latest time of the entries of a frame.
pub(super) fn latest(frame: &super::frame::Frame) -> Result<Timestamp, ImageError> {
    let mut latest = None;
    for item in &frame.items {
        let entry: Entry = serde_json::from_slice(&item.entry).map_err(|error| {
            ImageError::Content(format!("an entry of frame {}: {error}", frame.number))
        })?;
        latest = latest.max(Some(entry.time));
    }
    latest.ok_or_else(|| ImageError::Content(format!("frame {} has no entry", frame.number)))
}

impl Index {
    /// Writes all sections but that of the frames, the bundles as far as the entry `open_seq`.
    fn export(&self, open_seq: u64, sink: &mut dyn Sink) -> Result<(), ImageError> {
        sink.section(section::RECORDS)?;
        for record in self.all_records() {
            let (key, header, stored) = record?;
            let value = [header.past.seq.to_be_bytes().as_slice(), &stored].concat();
            sink.pair(&key, &value)?;
        }
        sink.section(section::KEPT)?;
        for pair in self.kept.pairs() {
            let (key, value) = pair?;
            sink.pair(&key, &value)?;
        }
        sink.section(section::USAGE)?;
        let trees = self.trees();
        copy(&trees.usage, None, sink)?;
        let bundles = open_seq / bundle::ENTRIES;
        sink.section(section::BUNDLES)?;
        for number in 0..bundles {
            // Each in one piece, and not while another takes its place.
            let packed = self.bundle(number)?;
            if !packed.is_empty() {
                sink.pair(&number.to_be_bytes(), &packed)?;
            }
        }
        sink.section(section::SUMMARIES)?;
        copy(&trees.summaries, Some(bundles), sink)?;
        for name in trees.db.tree_names() {
            if OWN_TREES.contains(&&*name) {
                continue;
            }
            let name = String::from_utf8_lossy(&name).into_owned();
            sink.section(&format!("{}{name}", section::TREE))?;
            copy(&trees.db.open_tree(&name).map_err(failed)?, None, sink)?;
        }
        Ok(())
    }
}

/// Writes a tree as it is; those with numbers for keys up to `end`.
fn copy(tree: &Tree, end: Option<u64>, sink: &mut dyn Sink) -> Result<(), ImageError> {
    let pairs = match end {
        Some(end) => tree.range(..end.to_be_bytes()),
        None => tree.iter(),
    };
    for pair in pairs {
        let (key, value) = pair.map_err(failed)?;
        sink.pair(&key, &value)?;
    }
    Ok(())
}

/// Looks at everything in an image without putting it anywhere: whether records, entries and frames can
/// be read, and whether the frames follow each other.
#[derive(Debug, Default)]
pub(crate) struct Inspector {
    section: String,
    first: Option<u64>,
    last: Option<(u64, String, u64)>,
    bundles: u64,
    /// How many records it has.
    pub(crate) records: u64,
}

impl Inspector {
    /// Whether what was seen is an image of `cut`.
    ///
    /// # Errors
    ///
    /// [`ImageError::Content`] says in what it is not.
    pub(crate) fn finish(&self, cut: &Cut) -> Result<(), ImageError> {
        let end = Some((cut.frame, cut.hash.clone(), cut.entries));
        if self.first != Some(cut.first_frame) || self.last != end {
            let cause = "its frames are not those that it says it has";
            return Err(ImageError::Content(cause.to_owned()));
        }
        if self.bundles != cut.open_seq / bundle::ENTRIES {
            let cause = "its audit entries are not those that it says it has";
            return Err(ImageError::Content(cause.to_owned()));
        }
        Ok(())
    }

    fn frame(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        let frame = one_frame(bytes)?;
        let follows = self.last.as_ref().is_none_or(|(number, hash, entries)| {
            (frame.number, hex(&frame.previous), frame.first_seq)
                == (number + 1, hash.clone(), *entries)
        });
        if !follows {
            return Err(ImageError::Content(format!(
                "frame {} does not follow the one before it",
                frame.number
            )));
        }
        self.first.get_or_insert(frame.number);
        let entries = frame.first_seq + frame.items.len() as u64;
        self.last = Some((frame.number, hex(&frame.hash), entries));
        Ok(())
    }
}

impl Sink for Inspector {
    fn section(&mut self, name: &str) -> Result<(), ImageError> {
        name.clone_into(&mut self.section);
        Ok(())
    }

    fn pair(&mut self, key: &[u8], value: &[u8]) -> Result<(), ImageError> {
        match self.section.as_str() {
            section::RECORDS => {
                self.records += 1;
                let stored = value.get(8..).unwrap_or_default();
                form::decode::<Record>(stored)
                    .map_err(|error| ImageError::Content(error.to_string()))?;
            }
            section::BUNDLES => {
                let number = key.first_chunk::<8>().copied().map(u64::from_be_bytes);
                let number = number.filter(|number| *number == self.bundles);
                let number = number.ok_or_else(|| {
                    ImageError::Content("a bundle of audit entries is missing".to_owned())
                })?;
                bundle::unpack(number, value)?;
                self.bundles += 1;
            }
            section::FRAMES => self.frame(value)?,
            _ => {}
        }
        Ok(())
    }
}

/// The frame that `bytes` are, and nothing else.
pub(super) fn one_frame(bytes: &[u8]) -> Result<super::frame::Frame, ImageError> {
    match super::frame::decode(bytes) {
        Ok((frame, length)) if length == bytes.len() => Ok(frame),
        Ok(_) => Err(ImageError::Content("a frame is too long".to_owned())),
        Err(error) => Err(ImageError::Content(error.to_string())),
    }
}
