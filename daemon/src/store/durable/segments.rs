//! The journal's files beside the one that is written to: reading their frames one by one, writing
//! frames that another journal had, and removing what backups have.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use agentidp_shared::StoreId;

use super::OpenError;
use super::frame::{self, Frame, MAX_BODY, PREFIX};
use super::journal::{HEADER, Position, SEGMENT_BYTES, new_segment, read_header, segments};
use super::layout::sync_folder;

/// The frames of a journal from some segment on, in order, with their chain verified. No more than one
/// frame is in memory.
pub(super) struct Frames {
    store_id: StoreId,
    rest: VecDeque<(u64, PathBuf)>,
    open: Option<Segment>,
    at: Option<Position>,
}

struct Segment {
    path: PathBuf,
    file: BufReader<File>,
    offset: u64,
}

impl Segment {
    fn damaged(&self, cause: &dyn std::fmt::Display) -> OpenError {
        OpenError::Damaged {
            segment: self.path.clone(),
            offset: self.offset,
            cause: cause.to_string(),
        }
    }

    /// Fills `bytes` with the frame that comes next; `false` at the end of the file.
    fn read(&mut self, bytes: &mut Vec<u8>) -> Result<bool, OpenError> {
        bytes.clear();
        let path = self.path.clone();
        let mut take = |count: u64, bytes: &mut Vec<u8>| {
            let read = (&mut self.file).take(count).read_to_end(bytes);
            read.map_err(OpenError::io(&path))
        };
        let got = take(PREFIX as u64, bytes)?;
        let length = bytes.first_chunk::<4>().map(|it| u32::from_le_bytes(*it));
        match length {
            None if got == 0 => Ok(false),
            Some(length) if got == PREFIX && length as usize <= MAX_BODY => {
                take(length.into(), bytes)?;
                Ok(true)
            }
            _ => Err(self.damaged(&frame::FrameError::Damaged)),
        }
    }
}

impl Frames {
    /// The frames from the beginning of the segment on that has frame `from`.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when no segment has it.
    pub(super) fn open(folder: &Path, store_id: StoreId, from: u64) -> Result<Self, OpenError> {
        let segments = segments(folder)?;
        let first = segments.partition_point(|(number, _)| *number <= from);
        let Some(first) = first.checked_sub(1) else {
            return Err(OpenError::Before {
                journal: folder.to_owned(),
                frame: from,
            });
        };
        Ok(Self {
            store_id,
            rest: segments.into_iter().skip(first).collect(),
            open: None,
            at: None,
        })
    }

    /// The next frame, whose bytes `bytes` then has; `None` after the last one.
    ///
    /// # Errors
    ///
    /// [`OpenError`] for whatever is not a whole frame that follows the one before it, a torn end too.
    pub(super) fn next(&mut self, bytes: &mut Vec<u8>) -> Result<Option<Frame>, OpenError> {
        loop {
            let Some(segment) = &mut self.open else {
                if !self.open_next()? {
                    return Ok(None);
                }
                continue;
            };
            if !segment.read(bytes)? {
                self.open = None;
                continue;
            }
            let (frame, _) = frame::decode(bytes).map_err(|error| segment.damaged(&error))?;
            let follows = self.at.is_none_or(|at| {
                (frame.number, frame.first_seq, frame.previous)
                    == (at.frame + 1, at.entries, at.hash)
            });
            if !follows {
                return Err(segment.damaged(&"the frame does not follow the one before it"));
            }
            segment.offset += bytes.len() as u64;
            self.at = Some(Position::after(&frame));
            return Ok(Some(frame));
        }
    }

    fn open_next(&mut self) -> Result<bool, OpenError> {
        let Some((number, path)) = self.rest.pop_front() else {
            return Ok(false);
        };
        let file = File::open(&path).map_err(OpenError::io(&path))?;
        let mut segment = Segment {
            file: BufReader::with_capacity(256 * 1_024, file),
            offset: 0,
            path,
        };
        let mut header = Vec::with_capacity(HEADER);
        (&mut segment.file)
            .take(HEADER as u64)
            .read_to_end(&mut header)
            .map_err(OpenError::io(&segment.path))?;
        let before =
            read_header(&header, self.store_id, number).map_err(|cause| segment.damaged(&cause))?;
        if self.at.is_some_and(|at| at != before) {
            return Err(segment.damaged(&"the segment does not follow the one before it"));
        }
        segment.offset = HEADER as u64;
        self.at = Some(before);
        self.open = Some(segment);
        Ok(true)
    }
}

/// A journal that is made of frames which another one had.
pub(super) struct Copied {
    folder: PathBuf,
    store_id: StoreId,
    file: Option<BufWriter<File>>,
    bytes: u64,
    /// Where it stands.
    pub(super) position: Option<Position>,
}

impl Copied {
    /// An empty one in `folder`, which is made.
    pub(super) fn begin(folder: &Path, store_id: StoreId) -> io::Result<Self> {
        std::fs::create_dir(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            store_id,
            file: None,
            bytes: 0,
            position: None,
        })
    }

    /// Appends a frame, whose bytes are `bytes`; the first may be any.
    pub(super) fn put(&mut self, frame: &Frame, bytes: &[u8]) -> io::Result<()> {
        if self.bytes >= SEGMENT_BYTES {
            self.close()?;
        }
        let file = if let Some(file) = &mut self.file {
            file
        } else {
            let before = Position {
                frame: frame.number.saturating_sub(1),
                hash: frame.previous,
                entries: frame.first_seq,
            };
            let file = new_segment(&self.folder, self.store_id, before)?;
            self.bytes = HEADER as u64;
            self.file
                .insert(BufWriter::with_capacity(256 * 1_024, file))
        };
        file.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        self.position = Some(Position::after(frame));
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        if let Some(mut file) = self.file.take() {
            file.flush()?;
            file.get_ref().sync_all()?;
        }
        self.bytes = 0;
        Ok(())
    }

    /// Makes it durable.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.close()?;
        sync_folder(&self.folder)
    }
}

/// Whether there are segments that have only frames before `frame`.
pub(super) fn has_before(folder: &Path, frame: u64) -> Result<bool, OpenError> {
    let segments = segments(folder)?;
    Ok(segments.get(1).is_some_and(|(next, _)| *next <= frame))
}

/// Removes the segments that have only frames before `frame`; gives their bytes, and how many they
/// were. The segment that is written to always stays.
pub(super) fn remove_before(folder: &Path, frame: u64) -> Result<(u64, u64), OpenError> {
    let segments = segments(folder)?;
    let (mut bytes, mut count) = (0, 0);
    for ((_, path), (next, _)) in segments.iter().zip(segments.iter().skip(1)) {
        // In order: what is left is without gaps, whenever this is cut off.
        if *next > frame {
            break;
        }
        bytes += std::fs::metadata(path).map_err(OpenError::io(path))?.len();
        std::fs::remove_file(path).map_err(OpenError::io(path))?;
        count += 1;
    }
    if count > 0 {
        sync_folder(folder).map_err(OpenError::io(folder))?;
    }
    Ok((bytes, count))
}
