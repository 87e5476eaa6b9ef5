//! What a process has in its memory, to see whether a secret is left in it.
//!
//! A core dump is a copy of this memory, so what is not here is in no core dump either; and no
//! setting that forbids core dumps can hide it from root, who reads it here.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use nix::unistd::Pid;

/// How much of a secret makes a trace of it: less could be chance, and is no use to anyone.
const TRACE: usize = 16;

/// The widest cell of a screen in memory, in bytes: a secret may stand in cells, a character each.
const WIDEST_CELL: usize = 64;

/// The forms that a secret may be found in: as it is, and as base64, in which it goes to the
/// terminal's clipboard. Each is cut to what is secret of it.
#[must_use]
pub fn forms(secret: &str) -> Vec<String> {
    let at = secret.rfind('_').map_or(0, |at| at + 1);
    let encoded = BASE64_STANDARD_NO_PAD.encode(secret);
    let (random, encoded_at) = (secret.get(at..), at.div_ceil(3) * 4);
    let both = [random, encoded.get(encoded_at..encoded.len() - 2)];
    both.into_iter().flatten().map(str::to_owned).collect()
}

/// Where traces of `secret` are in the memory of a process: for each the mapping, the address and
/// the distance from one character to the next. Needs root, or that it is a child of this process.
#[must_use]
pub fn traces_in_memory(pid: Pid, secret: &str) -> Vec<String> {
    let needles: Vec<Vec<u8>> = forms(secret)
        .iter()
        .flat_map(|form| {
            let form = form.as_bytes();
            [form.first_chunk::<TRACE>(), form.last_chunk::<TRACE>()]
        })
        .flatten()
        .map(|it| it.to_vec())
        .collect();
    assert_eq!(needles.len(), 4, "not a secret: {secret}");
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("the process runs");
    let memory = File::open(format!("/proc/{pid}/mem")).expect("its memory can be read");
    let mut traces = Vec::new();
    for line in maps.lines() {
        let Some((from, to)) = bounds(line) else {
            continue;
        };
        let mut bytes = vec![0; to - from];
        // The kernel's own mappings, such as [vvar], cannot be read.
        let read = memory.read_at(&mut bytes, from as u64).unwrap_or_default();
        bytes.truncate(read);
        for (at, step) in find(&bytes, &needles) {
            traces.push(format!("{line}: at {:#x}, step {step}", from + at));
        }
    }
    traces
}

/// The addresses of a line of `/proc/PID/maps`, when the process can write there: what it cannot
/// write to, it has from a file.
fn bounds(line: &str) -> Option<(usize, usize)> {
    let (range, rest) = line.split_once(' ')?;
    let (from, to) = range.split_once('-')?;
    let parse = |text| usize::from_str_radix(text, 16).ok();
    rest.starts_with("rw")
        .then(|| Some((parse(from)?, parse(to)?)))?
}

/// Where the needles are, and with how many bytes from one character to the next.
fn find(bytes: &[u8], needles: &[Vec<u8>]) -> Vec<(usize, usize)> {
    let mut starts = [false; 256];
    for first in needles.iter().filter_map(|it| it.first()) {
        if let Some(start) = starts.get_mut(usize::from(*first)) {
            *start = true;
        }
    }
    let mut found = Vec::new();
    for (at, first) in bytes.iter().enumerate() {
        if !starts.get(usize::from(*first)).is_some_and(|it| *it) {
            continue;
        }
        for step in 1..=WIDEST_CELL {
            let is_there = |needle: &Vec<u8>| {
                let mut characters = needle.iter().zip(0..);
                characters.all(|(byte, nth)| bytes.get(at + nth * step) == Some(byte))
            };
            if needles.iter().any(is_there) {
                found.push((at, step));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_this_process_is_found_as_it_is_and_in_cells() {
        let secret = format!("aidp_{}_{}", "a".repeat(22), "0k3Jd92LxPq7".repeat(4));
        let cells: Vec<[u8; 24]> = forms(&secret)[0]
            .bytes()
            .map(|byte| {
                let mut cell = [0; 24];
                cell[3] = byte;
                cell
            })
            .collect();
        let traces = traces_in_memory(Pid::this(), &secret);
        assert!(traces.iter().any(|it| it.ends_with("step 1")), "{traces:?}");
        assert!(
            traces.iter().any(|it| it.ends_with("step 24")),
            "{traces:?}"
        );
        drop(cells);
    }

    #[test]
    fn base64_of_a_secret_is_found_wherever_it_begins() {
        let secret = format!("aidp_{}_{}", "b".repeat(22), "Zx81Qw7Lm4Ty".repeat(4));
        let encoded = BASE64_STANDARD_NO_PAD.encode(&secret);
        assert!(encoded.contains(&forms(&secret)[1]));
        assert!(forms(&secret)[1].len() > 2 * TRACE);
    }
}
