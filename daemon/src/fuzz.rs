//! Bytes from anywhere, thrown at what reads them: it must not panic, and what it takes must hold
//! what the target says.
//!
//! A target is a test beside its parser that calls [`throw`]. The inputs are the files of
//! `corpus/NAME`, those files changed by chance, and chance alone. An input that once broke
//! something stays in the corpus, under a name that says what it is. A run is short;
//! `PROPTEST_CASES=1000000 cargo nextest run --workspace -E 'test(whatever_bytes)'` is a long one.
//! Fuzzers guided by coverage need a nightly compiler; the corpus is laid out as theirs is.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

/// How many inputs a target gets for each of `PROPTEST_CASES`, which is 256 when nobody says.
const INPUTS_A_CASE: u32 = 8;
/// The longest input that is chance alone.
const MAX_RANDOM: usize = 300;
/// The most changes that are made to one input.
const MAX_CHANGES: usize = 6;

/// What parsers have stumbled over before.
const WORDS: &[&[u8]] = &[
    b"%",
    b"%00",
    b"%ff",
    b"%C0%80",
    b"+",
    b"&",
    b"&&",
    b"=",
    b"==",
    b":",
    b"\0",
    b"\r\n",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xae",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"[",
    b"[[",
    b"]",
    b"}",
    b",",
    b"'",
    b"#",
    b"-1",
    b"1e309",
    b"9223372036854775808",
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"\"\"",
    b"../",
    b"=\"",
    b"A",
    b"\x00\x00\x00\x00",
    b"\xff\xff\xff\xff",
];

/// A change of some bytes.
#[derive(Debug, Clone)]
enum Change {
    Bit(Index, u8),
    Byte(Index, u8),
    Word(Index, usize),
    Remove(Index, usize),
    Repeat(Index, usize, usize),
    Cut(Index),
    /// What another input has from there on.
    Cross(Index, Index, Index),
}

impl Change {
    fn any() -> impl Strategy<Value = Self> {
        let at = any::<Index>;
        prop_oneof![
            (at(), 0..8_u8).prop_map(|(at, bit)| Self::Bit(at, bit)),
            (at(), any::<u8>()).prop_map(|(at, byte)| Self::Byte(at, byte)),
            (at(), 0..WORDS.len()).prop_map(|(at, word)| Self::Word(at, word)),
            (at(), 1..16_usize).prop_map(|(at, length)| Self::Remove(at, length)),
            (at(), 1..32_usize, 1..80_usize)
                .prop_map(|(at, length, times)| Self::Repeat(at, length, times)),
            at().prop_map(Self::Cut),
            (at(), at(), at()).prop_map(|(at, other, from)| Self::Cross(at, other, from)),
        ]
    }

    fn make(&self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let place = |at: &Index, length: usize| at.index(length + 1);
        let length = bytes.len();
        match self {
            Self::Bit(at, bit) if length > 0 => bytes[at.index(length)] ^= 1 << bit,
            Self::Byte(at, byte) if length > 0 => bytes[at.index(length)] = *byte,
            Self::Bit(..) | Self::Byte(..) => {}
            Self::Word(at, word) => {
                let at = place(at, length);
                bytes.splice(at..at, WORDS[*word].iter().copied());
            }
            Self::Remove(at, count) => {
                let at = place(at, length);
                bytes.drain(at..length.min(at + count));
            }
            Self::Repeat(at, count, times) => {
                let at = place(at, length);
                let part = bytes[at..length.min(at + count)].repeat(*times);
                bytes.splice(at..at, part);
            }
            Self::Cut(at) => bytes.truncate(place(at, length)),
            Self::Cross(at, other, from) => {
                let other = other.get(seeds);
                bytes.truncate(place(at, length));
                bytes.extend_from_slice(&other[place(from, other.len())..]);
            }
        }
    }
}

/// Throws the corpus of that name, `seeds`, and what chance makes of both, at `target`.
pub(crate) fn throw(corpus: &str, mut seeds: Vec<Vec<u8>>, target: impl Fn(&[u8])) {
    seeds.extend(files(corpus));
    assert!(!seeds.is_empty(), "{corpus}: nothing to begin with");
    for seed in &seeds {
        target(seed);
    }
    let changed = (
        any::<Index>(),
        prop::collection::vec(Change::any(), 1..=MAX_CHANGES),
    );
    let changed = changed.prop_map(move |(seed, changes)| {
        let mut bytes = seed.get(&seeds).clone();
        for change in changes {
            change.make(&mut bytes, &seeds);
        }
        bytes
    });
    let random = prop::collection::vec(any::<u8>(), 0..MAX_RANDOM);
    let default = Config::default();
    let mut runner = TestRunner::new(Config {
        cases: default.cases.saturating_mul(INPUTS_A_CASE),
        failure_persistence: None,
        ..default
    });
    let outcome = runner.run(&prop_oneof![1 => random, 9 => changed], |bytes| {
        target(&bytes);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{corpus}: {error}");
    }
}

/// The files of a corpus, in the order of their names.
fn files(corpus: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(corpus);
    let Ok(files) = fs::read_dir(&folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort_unstable();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}
