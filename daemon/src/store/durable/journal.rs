//! The journal: segments of frames, appended to and synced before anything is acknowledged.
//!
//! A segment is named for its first frame and begins with a header that ties it to its store and
//! to the frame before. It is made whole, synced and renamed into place before it is used, so a
//! header is never torn; only the end of the last segment can be.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentidp_shared::StoreId;

use super::OpenError;
use super::frame::{self, Frame, FrameError, FrameItem, Hash, Reader};
use super::layout::sync_folder;
use super::output::{Output, WriteError};
use super::room::{Disk, failed_call};
use super::window::Window;

const MAGIC: &[u8; 8] = b"AIDPJRNL";
const FORMAT: u32 = 1;
/// Magic, format, store, first frame, entries and hash before it, CRC.
pub(super) const HEADER: usize = 8 + 4 + 16 + 8 + 8 + 32 + 4;
/// The size from which on a new segment is begun.
pub(super) const SEGMENT_BYTES: u64 = 64 * 1_024 * 1_024;
/// The unit of [`MetadataExt::blocks`](std::os::unix::fs::MetadataExt::blocks).
const BLOCK: u64 = 512;
/// How much more than its length a file may have on the disk without anything being claimed behind its
/// end: a block, and what says where the blocks are.
const SLACK: u64 = 128 * 1_024;

/// Where the journal stands: after which frame, with which hash, and at which entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// The last frame; 0 for none.
    pub(super) frame: u64,
    /// Its hash; zeros for none.
    pub(super) hash: Hash,
    /// How many entries there are.
    pub(super) entries: u64,
}

impl Position {
    /// Before the first frame.
    pub(super) const START: Self = Self {
        frame: 0,
        hash: [0; 32],
        entries: 0,
    };

    /// After `frame`.
    pub(super) fn after(frame: &Frame) -> Self {
        let count = u64::try_from(frame.items.len()).unwrap_or(u64::MAX);
        Self {
            frame: frame.number,
            hash: frame.hash,
            entries: frame.first_seq + count,
        }
    }
}

/// The journal's end, to be appended to.
pub(super) struct Journal {
    folder: PathBuf,
    store_id: StoreId,
    output: Box<dyn Output>,
    segment_bytes: u64,
    position: Position,
    buffer: Vec<u8>,
    /// Bytes in all segments, and how many segments there are.
    size: (u64, u64),
    synced_in: Duration,
    /// The file that is written to.
    segment: PathBuf,
    disk: Arc<Disk>,
    /// Up to which byte of the segment room is claimed; `None` when it cannot be.
    claimed: Option<u64>,
    /// Whether the last attempt to begin a segment failed.
    is_overdue: bool,
}

impl Journal {
    /// Makes the first segment of a new journal.
    pub(super) fn create(folder: &Path, store_id: StoreId) -> io::Result<()> {
        std::fs::create_dir(folder)?;
        new_segment(folder, store_id, Position::START).map(drop)
    }

    /// Opens the journal at the end that [`scan`] found, and cuts off what is torn.
    pub(super) fn open(folder: &Path, store_id: StoreId, end: &End) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).open(&end.segment)?;
        if end.torn > 0 {
            tracing::warn!(
                bytes = end.torn,
                "the last write was cut off before it was acknowledged, and is removed"
            );
            file.set_len(end.segment_bytes)?;
            file.sync_all()?;
        }
        Ok(Self {
            folder: folder.to_owned(),
            store_id,
            output: Box::new(file),
            segment_bytes: end.segment_bytes,
            position: end.position,
            buffer: Vec::new(),
            size: (end.bytes - end.torn, end.segments),
            synced_in: Duration::ZERO,
            segment: end.segment.clone(),
            disk: Arc::new(Disk::new(0)),
            claimed: None,
            is_overdue: false,
        })
    }

    /// Claims room on `disk` ahead from here on.
    pub(super) fn keep_room(&mut self, disk: Arc<Disk>) {
        self.claimed = (disk.claim() > 0).then_some(0);
        self.disk = disk;
        give_back_all(&self.folder);
        self.claim(0);
    }

    /// Claims room for the next `bytes` and what may come after them, when there is not enough.
    fn claim(&mut self, bytes: u64) {
        let Some(claimed) = self.claimed else { return };
        let ahead = self.disk.claim();
        let needed = self.segment_bytes.saturating_add(bytes);
        if claimed >= needed.saturating_add(ahead / 2) {
            return;
        }
        let (from, to) = (
            self.segment_bytes.max(claimed),
            needed.saturating_add(ahead),
        );
        let is_possible = self.output.claim(&self.disk, from, to);
        // What a full disk does not give is tried for again with the next frame.
        self.claimed = if !is_possible {
            None
        } else if self.disk.is_low() {
            Some(claimed)
        } else {
            Some(to)
        };
    }

    /// Where the journal stands.
    pub(super) const fn position(&self) -> Position {
        self.position
    }

    /// Bytes in all segments, and how many segments there are.
    pub(super) const fn size(&self) -> (u64, u64) {
        self.size
    }

    /// How long the disk took to make the last frame durable.
    pub(super) const fn synced_in(&self) -> Duration {
        self.synced_in
    }

    /// Replaces what is written to.
    #[cfg(test)]
    pub(super) fn set_output(&mut self, output: Box<dyn Output>) {
        self.output = output;
    }

    /// Appends one frame and makes it durable.
    ///
    /// # Errors
    ///
    /// Whatever the disk says. The end of the journal is then unknown: nothing may be appended any
    /// more.
    pub(super) fn append(&mut self, items: &[FrameItem]) -> Result<Position, WriteError> {
        // The room that is claimed is behind the end of the segment that there is.
        if self.segment_bytes >= SEGMENT_BYTES && !self.disk.is_low() {
            self.begin_segment()?;
        }
        self.buffer.clear();
        let (number, first_seq) = (self.position.frame + 1, self.position.entries);
        let hash = frame::encode(
            &mut self.buffer,
            number,
            first_seq,
            &self.position.hash,
            items,
        )
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
        .map_err(WriteError::of("framing for", &self.segment))?;
        let written = self.buffer.len() as u64;
        self.claim(written);
        self.output
            .append(&self.buffer)
            .map_err(WriteError::of("write to", &self.segment))?;
        let begun = Instant::now();
        self.output
            .sync()
            .map_err(WriteError::of("fdatasync of", &self.segment))?;
        self.synced_in = begun.elapsed();
        self.segment_bytes += written;
        self.size.0 += written;
        let entries = first_seq + items.len() as u64;
        self.position = Position {
            frame: number,
            hash,
            entries,
        };
        Ok(self.position)
    }

    /// Goes on in a new segment. Where none can be made, the present one takes more: nothing has been
    /// written yet that could be in doubt.
    fn begin_segment(&mut self) -> Result<(), WriteError> {
        let path = self.folder.join(segment_name(self.position.frame + 1));
        let next = match new_segment(&self.folder, self.store_id, self.position) {
            Ok(next) => next,
            Err(error) if matches!(path.try_exists(), Ok(false)) => {
                if !self.is_overdue {
                    let failed = failed_call("beginning a segment in", &self.folder, &error);
                    tracing::warn!("{failed}; the present one takes more until then");
                }
                self.is_overdue = true;
                return Ok(());
            }
            Err(error) => {
                return Err(WriteError::of("beginning a segment in", &self.folder)(
                    error,
                ));
            }
        };
        self.is_overdue = false;
        self.output = Box::new(next);
        let before = std::mem::replace(&mut self.segment, path);
        give_back(&before);
        self.segment_bytes = HEADER as u64;
        self.size = (self.size.0 + HEADER as u64, self.size.1 + 1);
        self.claimed = self.claimed.map(|_| 0);
        Ok(())
    }
}

/// Gives back the room that was claimed behind the end of a segment to which nothing is appended any
/// more. What cannot be given back stays claimed until the segment goes.
fn give_back(segment: &Path) {
    // The length stays as it is; what is behind it goes.
    let given = OpenOptions::new()
        .write(true)
        .open(segment)
        .and_then(|file| file.set_len(file.metadata()?.len()));
    if let Err(error) = given {
        tracing::warn!(segment = %segment.display(), %error, "the room that was claimed behind a full segment could not be given back");
    }
}

/// Does the same for all segments but the last, where a crash came between.
fn give_back_all(folder: &Path) {
    let segments = segments(folder).unwrap_or_default();
    let full = segments.iter().rev().skip(1);
    for (_, path) in full {
        if let Ok(found) = std::fs::metadata(path)
            && found.blocks() * BLOCK > found.len() + SLACK
        {
            give_back(path);
        }
    }
}

fn segment_name(first_frame: u64) -> String {
    format!("{first_frame:020}.journal")
}

/// Makes a segment whose first frame comes after `before`.
pub(super) fn new_segment(folder: &Path, store_id: StoreId, before: Position) -> io::Result<File> {
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&FORMAT.to_le_bytes());
    header.extend_from_slice(store_id.as_bytes());
    header.extend_from_slice(&(before.frame + 1).to_le_bytes());
    header.extend_from_slice(&before.entries.to_le_bytes());
    header.extend_from_slice(&before.hash);
    header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
    let path = folder.join(segment_name(before.frame + 1));
    let temporary = path.with_extension("new");
    let made = File::create(&temporary).and_then(|mut file| {
        file.write_all(&header)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)?;
        Ok(file)
    });
    if made.is_err() {
        // It is in nobody's way but for its room.
        let _ = std::fs::remove_file(&temporary);
    }
    let file = made?;
    sync_folder(folder)?;
    Ok(file)
}

/// The end of a journal, as [`scan`] found it.
#[derive(Debug)]
pub(super) struct End {
    /// After the last whole frame.
    pub(super) position: Position,
    /// The last segment.
    segment: PathBuf,
    /// How many bytes of it are whole frames.
    segment_bytes: u64,
    /// How many bytes after them are a torn frame.
    pub(super) torn: u64,
    /// Bytes in all segments.
    bytes: u64,
    /// How many segments there are.
    segments: u64,
}

/// The number of the first frame that the journal has.
///
/// # Errors
///
/// [`OpenError::NoJournal`] when it has no segment.
pub(super) fn first_frame(folder: &Path) -> Result<u64, OpenError> {
    let first = segments(folder)?.into_iter().next();
    first
        .map(|(number, _)| number)
        .ok_or_else(|| OpenError::NoJournal(folder.to_owned()))
}

/// Reads all frames from the segment on that holds frame `from`, verifies their chain, and shows
/// each to `visit`. Changes nothing.
///
/// # Errors
///
/// [`OpenError::Damaged`] when a frame is not what was written and is not the torn end either;
/// whatever `visit` gives.
pub(super) fn scan(
    folder: &Path,
    store_id: StoreId,
    from: u64,
    visit: &mut dyn FnMut(&Frame) -> Result<(), OpenError>,
) -> Result<End, OpenError> {
    let segments = segments(folder)?;
    let first = segments
        .partition_point(|(number, _)| *number <= from)
        .saturating_sub(1);
    if let Some((number, path)) = segments
        .get(first)
        .filter(|(number, _)| *number > from.max(1))
    {
        return Err(OpenError::Damaged {
            segment: path.clone(),
            offset: 0,
            cause: format!("it begins with frame {number}, and the segments before it are missing"),
        });
    }
    let mut bytes = 0;
    for (_, path) in &segments {
        bytes += std::fs::metadata(path).map_err(OpenError::io(path))?.len();
    }
    let mut position = None;
    let mut end = None;
    for (index, (number, path)) in segments.iter().enumerate().skip(first) {
        let mut window = Window::open(path).map_err(OpenError::io(path))?;
        let damaged = |offset: usize, cause: &str| OpenError::Damaged {
            segment: path.clone(),
            offset: offset as u64,
            cause: cause.to_owned(),
        };
        window.more().map_err(OpenError::io(path))?;
        let before =
            read_header(window.rest(), store_id, *number).map_err(|cause| damaged(0, cause))?;
        let mut at = before;
        if position.is_some_and(|position| position != before) {
            return Err(damaged(0, "the segment does not follow the one before it"));
        }
        window.pass(HEADER);
        let mut offset = HEADER;
        let torn = loop {
            match frame::decode(window.rest()) {
                Ok((frame, length)) => {
                    if (frame.number, frame.first_seq, frame.previous)
                        != (at.frame + 1, at.entries, at.hash)
                    {
                        let cause = "it does not follow the frame before it";
                        return Err(damaged(offset, &names(&at, cause)));
                    }
                    visit(&frame)?;
                    at = Position::after(&frame);
                    window.pass(length);
                    offset += length;
                }
                Err(FrameError::Short) if window.more().map_err(OpenError::io(path))? => {}
                Err(error) => {
                    let rest = window.all().map_err(OpenError::io(path))?;
                    if rest.is_empty() {
                        break 0;
                    }
                    let is_last = index + 1 == segments.len();
                    let flipped = frame::flipped_bit(rest);
                    if let Some(bit) = flipped {
                        let (byte, bit) = (offset + bit / 8, bit % 8);
                        let cause =
                            format!("one bit is not as it was written, bit {bit} of byte {byte}");
                        return Err(damaged(offset, &names(&at, &cause)));
                    }
                    if error == FrameError::Form || !is_last || frame_follows(rest, at.frame) {
                        return Err(damaged(offset, &names(&at, &error.to_string())));
                    }
                    break rest.len() as u64;
                }
            }
        };
        position = Some(at);
        end = Some((path.clone(), offset as u64, torn));
    }
    let (Some(position), Some((segment, segment_bytes, torn))) = (position, end) else {
        return Err(OpenError::NoJournal(folder.to_owned()));
    };
    Ok(End {
        position,
        segment,
        segment_bytes,
        torn,
        bytes,
        segments: segments.len() as u64,
    })
}

/// What is wrong with the frame after `before`, which is named.
fn names(before: &Position, cause: &str) -> String {
    format!(
        "frame {}, with the entries from {} on: {cause}",
        before.frame + 1,
        before.entries
    )
}

/// Whether a whole frame stands somewhere in `bytes`: then what is before it was not torn by a
/// crash but damaged later, for nothing is appended behind an unfinished frame.
fn frame_follows(bytes: &[u8], last: u64) -> bool {
    (1..bytes.len())
        .filter_map(|at| bytes.get(at..))
        .any(|rest| {
            frame::peek_number(rest)
                .is_some_and(|number| number > last && number < last + 1_000_000)
                && frame::decode(rest).is_ok()
        })
}

/// Where the journal stands before the first frame of a segment.
pub(super) fn read_header(
    content: &[u8],
    store_id: StoreId,
    number: u64,
) -> Result<Position, &'static str> {
    const SHORT: fn(FrameError) -> &'static str = |_| "the segment has no header";
    let mut reader = Reader(content);
    let body = reader.take(HEADER - 4).map_err(SHORT)?;
    let crc = reader.u32().map_err(SHORT)?;
    if crc32c::crc32c(body) != crc {
        return Err("the segment's header is damaged");
    }
    let mut reader = Reader(body);
    if reader.array::<8>().map_err(SHORT)? != *MAGIC || reader.u32().map_err(SHORT)? != FORMAT {
        return Err("the segment is not of a form that this version knows");
    }
    if StoreId::from_bytes(reader.array().map_err(SHORT)?) != store_id {
        return Err("the segment belongs to another store");
    }
    if reader.u64().map_err(SHORT)? != number || number == 0 {
        return Err("the segment is not the one that its name says");
    }
    Ok(Position {
        frame: number - 1,
        entries: reader.u64().map_err(SHORT)?,
        hash: reader.array().map_err(SHORT)?,
    })
}

/// Whether the journal goes back to the first frame: what backups have, it lets go of.
///
/// # Errors
///
/// As [`first_frame`].
pub(super) fn is_whole(folder: &Path) -> Result<bool, OpenError> {
    Ok(first_frame(folder)? == 1)
}

/// The segments, in order, each with the number of its first frame.
pub(super) fn segments(folder: &Path) -> Result<Vec<(u64, PathBuf)>, OpenError> {
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(OpenError::io(folder))? {
        let path = entry.map_err(OpenError::io(folder))?.path();
        let is_segment = path
            .extension()
            .is_some_and(|extension| extension == "journal");
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok());
        if let (true, Some(number)) = (is_segment, number) {
            segments.push((number, path));
        }
    }
    segments.sort_unstable();
    Ok(segments)
}
