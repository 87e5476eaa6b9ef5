//! A backup's content before it is compressed and encrypted: sections of pairs.
//!
//! ```text
//! each section: "S", u8 length and name
//! each pair of it: "P", u32 length and key, u32 length and value
//! at the end: "E"
//! ```
//!
//! Integers are little-endian.

use std::io::{self, Read, Write};

use aws_lc_rs::digest::{Context, SHA256};

use super::{Section, Summary};
use crate::store::durable::{ImageError, Sink};
use crate::store::form::hex;

/// The most bytes of a key.
const MAX_KEY: u32 = 64 * 1_024;
/// The most bytes of a value: a frame, which has at most 64 MiB and eight bytes.
const MAX_VALUE: u32 = 65 * 1_024 * 1_024;

/// Counts and hashes what passes.
struct Account {
    hash: Context,
    summary: Summary,
}

impl Account {
    fn new() -> Self {
        Self {
            hash: Context::new(&SHA256),
            summary: Summary::default(),
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.summary.bytes += bytes.len() as u64;
    }

    fn begin(&mut self, name: &str) {
        self.summary.sections.push(Section {
            name: name.to_owned(),
            pairs: 0,
        });
    }

    fn count(&mut self) {
        if let Some(section) = self.summary.sections.last_mut() {
            section.pairs += 1;
        }
    }

    fn finish(mut self) -> Summary {
        self.summary.sha256 = hex(self.hash.finish().as_ref());
        self.summary
    }
}

/// Writes content, for as long as `goes_on` says so of what it has written.
pub(super) struct Writer<W, F> {
    out: W,
    account: Account,
    goes_on: F,
}

impl<W: Write, F: FnMut(&Summary) -> bool> Writer<W, F> {
    /// Begins.
    pub(super) fn new(out: W, goes_on: F) -> Self {
        Self {
            out,
            account: Account::new(),
            goes_on,
        }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.account.add(bytes);
        self.out.write_all(bytes)
    }

    fn counted(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.put(&length.to_le_bytes())?;
        self.put(bytes)
    }

    fn check(&mut self) -> Result<(), ImageError> {
        if (self.goes_on)(&self.account.summary) {
            Ok(())
        } else {
            Err(ImageError::Stopped)
        }
    }

    /// Ends it.
    pub(super) fn finish(mut self) -> io::Result<(W, Summary)> {
        self.put(b"E")?;
        Ok((self.out, self.account.finish()))
    }
}

impl<W: Write, F: FnMut(&Summary) -> bool> Sink for Writer<W, F> {
    fn section(&mut self, name: &str) -> Result<(), ImageError> {
        let length = u8::try_from(name.len()).map_err(io::Error::other)?;
        self.account.begin(name);
        self.put(&[b'S', length])?;
        self.put(name.as_bytes())?;
        self.check()
    }

    fn pair(&mut self, key: &[u8], value: &[u8]) -> Result<(), ImageError> {
        self.put(b"P")?;
        self.counted(key)?;
        self.counted(value)?;
        self.account.count();
        self.check()
    }
}

struct Reading<'a> {
    from: &'a mut dyn Read,
    account: Account,
}

impl Reading<'_> {
    fn take(&mut self, count: u32, bytes: &mut Vec<u8>) -> io::Result<()> {
        bytes.clear();
        let got = self.from.take(count.into()).read_to_end(bytes)?;
        if got < count as usize {
            return Err(wrong("it ends too early"));
        }
        self.account.add(bytes);
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes)?;
        self.account.add(&bytes);
        Ok(bytes)
    }

    fn counted(&mut self, most: u32, bytes: &mut Vec<u8>) -> io::Result<()> {
        let length = u32::from_le_bytes(self.array()?);
        if length > most {
            return Err(wrong("a pair is larger than one may be"));
        }
        self.take(length, bytes)
    }
}

fn wrong(cause: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, cause)
}

/// Why content could not be read into something.
pub(super) enum Failed {
    /// It is not content, or cannot be read.
    Content(io::Error),
    /// It was not taken.
    Sink(ImageError),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Content(error)
    }
}

/// Reads content into `sink`; tells what it was.
///
/// # Errors
///
/// [`Failed`] says on which side it failed.
pub(super) fn read(from: &mut dyn Read, sink: &mut dyn Sink) -> Result<Summary, Failed> {
    let mut reading = Reading {
        from,
        account: Account::new(),
    };
    let (mut key, mut value) = (Vec::new(), Vec::new());
    loop {
        match &reading.array()? {
            b"S" => {
                let [length] = reading.array()?;
                reading.take(length.into(), &mut key)?;
                let name = std::str::from_utf8(&key);
                let name = name.map_err(|_error| wrong("the name of a section is not text"))?;
                reading.account.begin(name);
                sink.section(name).map_err(Failed::Sink)?;
            }
            b"P" => {
                reading.counted(MAX_KEY, &mut key)?;
                reading.counted(MAX_VALUE, &mut value)?;
                reading.account.count();
                sink.pair(&key, &value).map_err(Failed::Sink)?;
            }
            b"E" => {
                if reading.from.read(&mut [0])? > 0 {
                    return Err(wrong("it goes on after its end").into());
                }
                return Ok(reading.account.finish());
            }
            _ => return Err(wrong("it has what is neither a section nor a pair").into()),
        }
    }
}
