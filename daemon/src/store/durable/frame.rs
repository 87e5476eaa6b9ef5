//! One group commit as bytes.
//!
//! ```text
//! u32 length of the body | u32 CRC-32C of the body | body
//! body: u64 frame number | u64 seq of its first entry | 32 bytes hash of the frame before
//!     | u32 count of the items | each: u32 length, entry (JSON), u32 length, record (0: none),
//!         u32 length, list of what is kept for a time (0: none)
//!     | 32 bytes SHA-256 of the body up to here: the hash of this frame
//! ```
//!
//! Integers are little-endian. The CRC tells a torn write, the hash chain a changed history.

use std::ops::Range;

use bytes::Bytes;

use crate::crypto::sha256;

/// The SHA-256 that names a frame and everything before it.
pub(super) type Hash = [u8; 32];

/// Length and CRC.
pub(super) const PREFIX: usize = 8;
/// The shortest body: numbers, hash before, one empty item, hash.
const MIN_BODY: usize = 8 + 8 + 32 + 4 + 12 + 32;
/// The longest body; a longer length is no frame.
pub(super) const MAX_BODY: usize = 64 * 1_024 * 1_024;

/// An entry as it is stored, and the stored form of the record that is put with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FrameItem {
    /// The entry: JSON.
    pub(super) entry: Bytes,
    /// The record, as [`form`](crate::store::form) writes it.
    pub(super) change: Option<Bytes>,
    /// What is kept for a time, as a list in that form.
    pub(super) kept: Option<Bytes>,
}

impl FrameItem {
    /// How many bytes it is.
    pub(super) fn size(&self) -> usize {
        let optional = [&self.change, &self.kept].into_iter().flatten();
        self.entry.len() + optional.map(Bytes::len).sum::<usize>()
    }
}

/// A frame, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// Its place in the journal: 1 for the first.
    pub(super) number: u64,
    /// The `seq` of its first entry.
    pub(super) first_seq: u64,
    /// The hash of the frame before.
    pub(super) previous: Hash,
    /// Its own hash.
    pub(super) hash: Hash,
    /// What it commits.
    pub(super) items: Vec<FrameItem>,
}

impl Frame {
    /// The places of its entries.
    pub(super) fn places(&self) -> Range<u64> {
        self.first_seq..self.first_seq + self.items.len() as u64
    }
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    /// There are fewer bytes than the frame has.
    #[error("the frame is cut off")]
    Short,
    /// The bytes are not those that were written.
    #[error("the frame's checksum does not fit")]
    Damaged,
    /// The bytes are those that were written, and not of this form.
    #[error("the frame is not of a form that this version knows")]
    Form,
}

/// Appends a frame to `out`; gives its hash.
///
/// # Errors
///
/// [`FrameError::Form`] when it would be too long.
pub(super) fn encode(
    out: &mut Vec<u8>,
    number: u64,
    first_seq: u64,
    previous: &Hash,
    items: &[FrameItem],
) -> Result<Hash, FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX]);
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&first_seq.to_le_bytes());
    out.extend_from_slice(previous);
    out.extend_from_slice(&length(items.len())?);
    for item in items {
        put(out, &item.entry)?;
        put(out, item.change.as_deref().unwrap_or_default())?;
        put(out, item.kept.as_deref().unwrap_or_default())?;
    }
    let hash = sha256(out.get(start + PREFIX..).unwrap_or_default());
    out.extend_from_slice(&hash);
    let body = out.get(start + PREFIX..).unwrap_or_default();
    if body.len() > MAX_BODY {
        return Err(FrameError::Form);
    }
    let (length, crc) = (length(body.len())?, crc32c::crc32c(body).to_le_bytes());
    let prefix = length.into_iter().chain(crc);
    out.iter_mut()
        .skip(start)
        .zip(prefix)
        .for_each(|(slot, byte)| *slot = byte);
    Ok(hash)
}

fn length(length: usize) -> Result<[u8; 4], FrameError> {
    u32::try_from(length)
        .map(u32::to_le_bytes)
        .map_err(|_error| FrameError::Form)
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), FrameError> {
    out.extend_from_slice(&length(bytes.len())?);
    out.extend_from_slice(bytes);
    Ok(())
}

/// The frame number that a frame at the front of `bytes` would have.
pub(super) fn peek_number(bytes: &[u8]) -> Option<u64> {
    let mut reader = Reader(bytes);
    reader.take(PREFIX).ok()?;
    reader.u64().ok()
}

/// Reads the frame that `bytes` begin with: the frame, and how many bytes it has.
///
/// # Errors
///
/// [`FrameError`] when there is none.
pub(super) fn decode(bytes: &[u8]) -> Result<(Frame, usize), FrameError> {
    let mut prefix = Reader(bytes);
    let (length, crc) = (prefix.u32()?, prefix.u32()?);
    let frame = decode_body(body(prefix.0, length)?, crc)?;
    Ok((frame, PREFIX + length as usize))
}

/// The body of `length` bytes that `bytes` begin with.
fn body(bytes: &[u8], length: u32) -> Result<&[u8], FrameError> {
    let length = usize::try_from(length).map_err(|_error| FrameError::Short)?;
    // Zeros, which a file may end in when power failed while it grew, have a fitting checksum.
    if !(MIN_BODY..=MAX_BODY).contains(&length) {
        return Err(FrameError::Damaged);
    }
    Reader(bytes).take(length)
}

fn decode_body(body: &[u8], crc: u32) -> Result<Frame, FrameError> {
    if crc32c::crc32c(body) != crc {
        return Err(FrameError::Damaged);
    }
    let (content, hash) = body.split_last_chunk::<32>().ok_or(FrameError::Form)?;
    if sha256(content) != *hash {
        return Err(FrameError::Damaged);
    }
    decode_content(content, *hash).map_err(|_error| FrameError::Form)
}

/// The one bit that is to be flipped to make a frame of what `bytes` begin with, counted from the lowest
/// of the first byte; `None` when there is no such bit. It tells a frame that was written whole from one
/// that was cut off.
pub(super) fn flipped_bit(bytes: &[u8]) -> Option<usize> {
    let mut prefix = Reader(bytes);
    let (length, crc) = (prefix.u32().ok()?, prefix.u32().ok()?);
    let is_frame =
        |length, crc| body(prefix.0, length).is_ok_and(|body| decode_body(body, crc).is_ok());
    if let Some(bit) = (0..32).find(|bit| is_frame(length ^ 1 << bit, crc)) {
        return Some(bit);
    }
    if let Some(bit) = (0..32).find(|bit| is_frame(length, crc ^ 1 << bit)) {
        return Some(32 + bit);
    }
    let body = body(prefix.0, length).ok()?;
    let bit = super::flip::flipped_bit(body, crc)?;
    let mut mended = body.to_vec();
    *mended.get_mut(bit / 8)? ^= 1 << (bit % 8);
    decode_body(&mended, crc).ok()?;
    Some(PREFIX * 8 + bit)
}

fn decode_content(content: &[u8], hash: Hash) -> Result<Frame, FrameError> {
    let mut reader = Reader(content);
    let (number, first_seq, previous) = (reader.u64()?, reader.u64()?, reader.array::<32>()?);
    let mut items = Vec::new();
    for _ in 0..reader.u32()? {
        let entry = Bytes::copy_from_slice(reader.counted()?);
        let change = reader.optional()?;
        let kept = reader.optional()?;
        items.push(FrameItem {
            entry,
            change,
            kept,
        });
    }
    if items.is_empty() || !reader.0.is_empty() {
        return Err(FrameError::Form);
    }
    Ok(Frame {
        number,
        first_seq,
        previous,
        hash,
        items,
    })
}

/// Takes values off the front of bytes.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], FrameError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(FrameError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(FrameError::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// The next integer of 32 bits.
    pub(super) fn u32(&mut self) -> Result<u32, FrameError> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next integer of 64 bits.
    pub(super) fn u64(&mut self) -> Result<u64, FrameError> {
        self.array().map(u64::from_le_bytes)
    }

    fn size(&mut self) -> Result<usize, FrameError> {
        usize::try_from(self.u32()?).map_err(|_error| FrameError::Short)
    }

    /// Bytes after their length, if there are any.
    fn optional(&mut self) -> Result<Option<Bytes>, FrameError> {
        let bytes = Some(self.counted()?).filter(|bytes| !bytes.is_empty());
        Ok(bytes.map(Bytes::copy_from_slice))
    }

    /// Bytes after their length.
    pub(super) fn counted(&mut self) -> Result<&'a [u8], FrameError> {
        let count = self.size()?;
        self.take(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items() -> Vec<FrameItem> {
        vec![
            FrameItem {
                entry: Bytes::from_static(b"{\"seq\":7}"),
                change: Some(Bytes::from_static(b"\x01record")),
                kept: None,
            },
            FrameItem {
                entry: Bytes::from_static(b"{\"seq\":8}"),
                change: None,
                kept: Some(Bytes::from_static(b"\x01kept")),
            },
        ]
    }

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        let mut bytes = vec![9];
        let hash = encode(&mut bytes, 3, 7, &[1; 32], &items()).unwrap();
        let (frame, length) = decode(&bytes[1..]).unwrap();
        assert_eq!(
            (frame.number, frame.first_seq, frame.previous, frame.hash),
            (3, 7, [1; 32], hash)
        );
        assert_eq!(frame.items, items());
        assert_eq!(length, bytes.len() - 1);
        assert_eq!(peek_number(&bytes[1..]), Some(3));
    }

    #[test]
    fn the_one_bit_that_was_flipped_is_found_and_a_cut_is_none() {
        let mut bytes = Vec::new();
        encode(&mut bytes, 3, 7, &[1; 32], &items()).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(flipped_bit(&changed), Some(bit));
        }
        for length in 0..bytes.len() {
            assert_eq!(flipped_bit(&bytes[..length]), None, "{length}");
            let mut changed = bytes.clone();
            changed[length..].fill(0);
            // The last bytes may be zeros, or one bit away from that.
            let is_none = flipped_bit(&changed).is_none();
            assert!(is_none || bytes.len() - length < 4, "{length}");
        }
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_noticed() {
        let mut bytes = Vec::new();
        encode(&mut bytes, 3, 7, &[1; 32], &items()).unwrap();
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), Err(FrameError::Short), "{length}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&changed).is_err(), "bit {bit}");
        }
    }

    /// `content` as the body of a frame whose checksums fit.
    fn sealed(content: &[u8]) -> Vec<u8> {
        let body = [content, &sha256(content)].concat();
        let length = u32::try_from(body.len()).unwrap().to_le_bytes();
        let crc = crc32c::crc32c(&body).to_le_bytes();
        [&length[..], &crc, &body].concat()
    }

    #[test]
    fn whatever_bytes_a_file_holds_a_frame_is_what_was_written_or_none() {
        let mut whole = Vec::new();
        encode(&mut whole, 3, 7, &[1; 32], &items()).unwrap();
        let content = whole[PREFIX..whole.len() - 32].to_vec();
        crate::fuzz::throw("journal-frame", vec![whole, content], |bytes| {
            let _ = peek_number(bytes);
            // As they are, which the checksums nearly always refuse, and with checksums that fit.
            for bytes in [bytes.to_vec(), sealed(bytes)] {
                let Ok((frame, length)) = decode(&bytes) else {
                    continue;
                };
                let mut again = Vec::new();
                let Frame {
                    number,
                    first_seq,
                    previous,
                    items,
                    ..
                } = &frame;
                let hash = encode(&mut again, *number, *first_seq, previous, items).unwrap();
                assert_eq!((hash, again.as_slice()), (frame.hash, &bytes[..length]));
            }
        });
    }
}
