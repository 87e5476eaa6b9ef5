//! The file around a backup's content: blocks with checksums, between a header and a manifest. It can be
//! verified by whoever cannot decrypt it.
//!
//! ```text
//! "AIDPBKUP" | u32 format
//! | blocks, each: u32 length (1 to 1 MiB), u32 CRC-32C of the bytes, bytes
//! | u32 0
//! | manifest (JSON) | u32 its length | 32 bytes SHA-256 of the file up to here
//! ```
//!
//! Integers are little-endian.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use super::{BackupError, Manifest};

const MAGIC: &[u8; 8] = b"AIDPBKUP";
/// The version that this code writes, and the only one that it reads.
pub(super) const FORMAT: u32 = 1;
/// Magic and format.
const HEADER: usize = 12;
/// The most bytes of a block.
const BLOCK: usize = 1_024 * 1_024;
/// The most bytes of a manifest.
const MANIFEST: u32 = 1_024 * 1_024;
/// The length of the manifest, and the digest.
const TAIL: u64 = 4 + 32;
/// How many bytes are written before the disk is given time to take them: one flush of a large file at
/// its end would hold up the journal, which may be on the same disk.
const SYNC_EVERY: u64 = 4 * 1_024 * 1_024;

/// Writes a file; what is written into it is its content.
pub(super) struct Writer {
    file: File,
    hash: Context,
    block: Vec<u8>,
    written: u64,
    synced: u64,
}

impl Writer {
    /// Begins in an empty file.
    pub(super) fn begin(file: File) -> io::Result<Self> {
        let mut it = Self {
            file,
            hash: Context::new(&SHA256),
            block: Vec::with_capacity(BLOCK),
            written: 0,
            synced: 0,
        };
        it.put(MAGIC)?;
        it.put(&FORMAT.to_le_bytes())?;
        Ok(it)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        if self.written - self.synced >= SYNC_EVERY {
            self.file.sync_data()?;
            self.synced = self.written;
        }
        Ok(())
    }

    fn put_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let block = std::mem::take(&mut self.block);
        let length = u32::try_from(block.len()).map_err(io::Error::other)?;
        self.put(&length.to_le_bytes())?;
        self.put(&crc32c::crc32c(&block).to_le_bytes())?;
        self.put(&block)?;
        self.block = block;
        self.block.clear();
        Ok(())
    }

    /// Ends the file with its manifest, and makes it durable; gives its digest.
    pub(super) fn finish(mut self, manifest: &Manifest) -> io::Result<[u8; 32]> {
        self.put_block()?;
        self.put(&0_u32.to_le_bytes())?;
        let manifest = serde_json::to_vec(manifest)?;
        let length = u32::try_from(manifest.len()).map_err(io::Error::other)?;
        self.put(&manifest)?;
        self.put(&length.to_le_bytes())?;
        let digest = digest(self.hash);
        self.file.write_all(&digest)?;
        self.file.sync_all()?;
        Ok(digest)
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(BLOCK - self.block.len());
        let (taken, _) = bytes.split_at(taken);
        self.block.extend_from_slice(taken);
        if self.block.len() == BLOCK {
            self.put_block()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn digest(hash: Context) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.finish().as_ref());
    bytes
}

/// Reads a file's content, and verifies each block on the way.
pub(super) struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    hash: Context,
    block: Vec<u8>,
    taken: usize,
    offset: u64,
    is_over: bool,
}

impl Reader {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> Result<Self, BackupError> {
        let file = File::open(path).map_err(BackupError::io(path))?;
        let mut it = Self {
            path: path.to_owned(),
            file: BufReader::with_capacity(64 * 1_024, file),
            hash: Context::new(&SHA256),
            block: Vec::new(),
            taken: 0,
            offset: 0,
            is_over: false,
        };
        let mut header = Vec::with_capacity(HEADER);
        (&mut it.file)
            .take(HEADER as u64)
            .read_to_end(&mut header)
            .map_err(BackupError::io(path))?;
        let format = header
            .strip_prefix(MAGIC)
            .and_then(|rest| rest.try_into().ok())
            .map(u32::from_le_bytes)
            .ok_or_else(|| BackupError::NotOne(path.to_owned()))?;
        if format > FORMAT {
            return Err(BackupError::Newer {
                path: path.to_owned(),
                found: format,
            });
        }
        if format != FORMAT {
            return Err(damaged(path, Some(8), "there is no such format"));
        }
        it.hash.update(&header);
        it.offset = HEADER as u64;
        Ok(it)
    }

    fn exactly(&mut self, count: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
        bytes.clear();
        let got = (&mut self.file).take(count as u64).read_to_end(bytes)?;
        if got < count {
            return Err(self.wrong("it is cut off"));
        }
        self.hash.update(bytes);
        Ok(())
    }

    fn number(&mut self) -> io::Result<u32> {
        let mut bytes = Vec::with_capacity(4);
        self.exactly(4, &mut bytes)?;
        let number = bytes.first_chunk().copied().unwrap_or_default();
        Ok(u32::from_le_bytes(number))
    }

    fn wrong(&self, cause: &str) -> io::Error {
        io::Error::new(
            io::ErrorKind::InvalidData,
            Wrong {
                offset: self.offset,
                cause: cause.to_owned(),
            },
        )
    }

    /// Reads the next block; `false` when there is no more.
    fn next(&mut self) -> io::Result<bool> {
        self.taken = 0;
        let length = self.number()? as usize;
        if length == 0 {
            self.is_over = true;
            self.block.clear();
            return Ok(false);
        }
        if length > BLOCK {
            return Err(self.wrong("a block is longer than one may be"));
        }
        let crc = self.number()?;
        let mut block = std::mem::take(&mut self.block);
        self.exactly(length, &mut block)?;
        self.block = block;
        if crc32c::crc32c(&self.block) != crc {
            return Err(self.wrong("the checksum of a block does not fit"));
        }
        self.offset += 8 + length as u64;
        Ok(true)
    }

    /// Reads to the end; gives the manifest, how many bytes the file has, and its digest.
    pub(super) fn finish(mut self) -> Result<(Manifest, u64, [u8; 32]), BackupError> {
        let path = self.path.clone();
        self.finish_file().map_err(|error| of(&path, error))
    }

    fn finish_file(&mut self) -> io::Result<(Manifest, u64, [u8; 32])> {
        while !self.is_over {
            self.next()?;
        }
        self.offset += 4;
        let mut rest = Vec::new();
        let limit = u64::from(MANIFEST) + TAIL;
        (&mut self.file).take(limit + 1).read_to_end(&mut rest)?;
        let (front, stored) = rest
            .split_last_chunk::<32>()
            .ok_or_else(|| self.wrong("it is cut off"))?;
        self.hash.update(front);
        let hash = std::mem::replace(&mut self.hash, Context::new(&SHA256));
        if digest(hash) != *stored {
            return Err(self.wrong("the checksum of the whole does not fit"));
        }
        let (manifest, _) = front
            .split_last_chunk::<4>()
            .filter(|(manifest, length)| u32::from_le_bytes(**length) as usize == manifest.len())
            .ok_or_else(|| self.wrong("the manifest has another length"))?;
        let manifest = serde_json::from_slice(manifest)
            .map_err(|error| self.wrong(&format!("the manifest cannot be read: {error}")))?;
        Ok((manifest, self.offset + rest.len() as u64, *stored))
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.block.len() && (self.is_over || !self.next()?) {
            return Ok(0);
        }
        let rest = self.block.get(self.taken..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        let (slots, _) = buffer.split_at_mut(count);
        slots.copy_from_slice(rest.get(..count).unwrap_or_default());
        self.taken += count;
        Ok(count)
    }
}

/// Damage, on its way through readers that know only of I/O errors.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
struct Wrong {
    offset: u64,
    cause: String,
}

/// What an error in reading `path` is.
pub(super) fn of(path: &Path, error: io::Error) -> BackupError {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::Other => {
            let wrong = error.get_ref().and_then(|it| it.downcast_ref::<Wrong>());
            let offset = wrong.map(|it| it.offset);
            damaged(path, offset, &error.to_string())
        }
        _ => BackupError::io(path)(error),
    }
}

/// Damage to `path`.
pub(super) fn damaged(path: &Path, offset: Option<u64>, cause: &str) -> BackupError {
    BackupError::Damaged {
        path: path.to_owned(),
        offset,
        cause: cause.to_owned(),
    }
}

/// The manifest of a file, of which nothing else is looked at; and how many bytes it has.
pub(super) fn glance(path: &Path) -> Result<(Manifest, u64), BackupError> {
    let mut file = Reader::open(path)?.file.into_inner();
    let mut read = || -> io::Result<(Manifest, u64)> {
        let wrong = |cause: &str| io::Error::new(io::ErrorKind::InvalidData, cause);
        let end = file.metadata()?.len();
        let at = end
            .checked_sub(TAIL)
            .ok_or_else(|| wrong("it is cut off"))?;
        file.seek(SeekFrom::Start(at))?;
        let mut length = [0; 4];
        file.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length > MANIFEST || u64::from(length) + HEADER as u64 > at {
            return Err(wrong("the manifest has no such length"));
        }
        file.seek(SeekFrom::Start(at - u64::from(length)))?;
        let mut bytes = vec![0; length as usize];
        file.read_exact(&mut bytes)?;
        Ok((serde_json::from_slice(&bytes)?, end))
    };
    read().map_err(|error| of(path, error))
}
