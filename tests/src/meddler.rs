//! Someone between the console and the daemon who replaces what the daemon says: what a daemon that
//! is not ours could say.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

/// What is said, and what is made of it.
type Replaced = (String, String);

/// Listens on `near` for the daemon behind `far`, and replaces each of the texts on the way from the
/// daemon, or each of those `asked` on the way to it, by another of the same length, so that all around them
/// stays what it is.
///
/// # Panics
///
/// When `near` cannot be made or lengths differ.
pub fn meddle(near: &Path, far: &Path, texts: &[Replaced], asked: &[Replaced]) {
    for (honest, hostile) in texts.iter().chain(asked) {
        assert_eq!(honest.len(), hostile.len(), "{honest}");
    }
    let listener = UnixListener::bind(near).expect("a socket can be made");
    let (far, texts, asked) = (far.to_owned(), texts.to_vec(), asked.to_vec());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(daemon) = UnixStream::connect(&far) else {
                continue;
            };
            let (Ok(stream_too), Ok(daemon_too)) = (stream.try_clone(), daemon.try_clone()) else {
                continue;
            };
            carry(stream, daemon, asked.clone());
            carry(daemon_too, stream_too, texts.clone());
        }
    });
}

fn carry(mut from: UnixStream, mut to: UnixStream, texts: Vec<Replaced>) {
    thread::spawn(move || {
        let mut buffer = [0; 16_384];
        let mut held = Vec::new();
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            held.extend_from_slice(buffer.get(..count).unwrap_or_default());
            for (honest, hostile) in &texts {
                replace(&mut held, honest.as_bytes(), hostile.as_bytes());
            }
            // The beginning of a text may be all that has come of it so far.
            let begun = texts
                .iter()
                .map(|(honest, _)| begun(&held, honest.as_bytes()));
            let keep = begun.max().unwrap_or(0);
            let rest = held.split_off(held.len() - keep);
            if to.write_all(&held).is_err() {
                return;
            }
            held = rest;
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

fn replace(bytes: &mut [u8], honest: &[u8], hostile: &[u8]) {
    let places: Vec<_> = bytes
        .windows(honest.len())
        .enumerate()
        .filter_map(|(at, window)| (window == honest).then_some(at))
        .collect();
    for at in places {
        if let Some(place) = bytes.get_mut(at..at + honest.len()) {
            place.copy_from_slice(hostile);
        }
    }
}

/// How many bytes at the end of `bytes` are the beginning of `text`.
fn begun(bytes: &[u8], text: &[u8]) -> usize {
    (1..text.len())
        .rev()
        .find(|length| bytes.ends_with(text.get(..*length).unwrap_or_default()))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_comes_in_two_parts_is_kept_until_it_is_whole() {
        assert_eq!(begun(b"xxho", b"honest"), 2);
        assert_eq!(begun(b"xxhonest", b"honest"), 0);
        let mut bytes = *b"a honest b";
        replace(&mut bytes, b"honest", b"lies..");
        assert_eq!(&bytes, b"a lies.. b");
    }
}
