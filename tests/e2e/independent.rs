//! What the log gives out is verified by an implementation that is not ours: `signed_note` and
//! `tlog_tiles`, which have keys, notes, checkpoints, trees and proofs of their own.
//!
//! Here is only what the documented form of an export asks for: which line holds what.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use agentidp_tests::{Registration, TestDaemon};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{
    Checkpoint, EMPTY_HASH, Hash, HashReader, check_record, check_tree, record_hash,
    stored_hash_index, stored_hashes_for_record_hash, tree_hash,
};

/// The hashes of a tree, by their places.
#[derive(Default)]
struct Stored(HashMap<u64, Hash>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.0[index]).collect())
    }
}

impl Stored {
    /// The tree of `size` entries, of which only the roots of the complete subtrees are known.
    fn of(size: u64, roots: Vec<Hash>) -> Self {
        let levels = (0..64_u8).rev().filter(|level| size >> level & 1 == 1);
        let places = levels.map(|level| stored_hash_index(level, (size >> level) - 1));
        Self(places.zip(roots).collect())
    }

    fn push(&mut self, place: u64, leaf: Hash) {
        let hashes = stored_hashes_for_record_hash(place, leaf, self).unwrap();
        let places = stored_hash_index(0, place)..;
        self.0.extend(places.zip(hashes));
    }
}

/// The checkpoint in a note, if the key has signed it.
fn checkpoint(note: &str, vkey: &str) -> Option<Checkpoint> {
    let key = StandardVerifier::new(vkey).ok()?;
    let note = Note::from_bytes(note.as_bytes()).ok()?;
    note.verify(&VerifierList::new(vec![Box::new(key)])).ok()?;
    let checkpoint = Checkpoint::from_bytes(note.text()).ok()?;
    let (origin, _) = vkey.split_once('+')?;
    (checkpoint.origin() == origin).then_some(checkpoint)
}

fn hashes(value: &Value) -> Option<Vec<Hash>> {
    let hash = |value: &Value| Hash::parse_hash(value.as_str()?).ok();
    value.as_array()?.iter().map(hash).collect()
}

/// The entry on a line as it is stored.
fn entry(line: &[u8]) -> Option<&[u8]> {
    let name = b"\"entry\":";
    let at = line.windows(name.len()).position(|it| it == name)?;
    line[at + name.len()..].strip_suffix(b"}")
}

/// How many entries of the log an export is of; `None` when it does not hold.
pub(super) fn entries_in(export: &[u8], vkey: &str) -> Option<u64> {
    let mut lines: Vec<_> = export
        .strip_suffix(b"\n")?
        .split(|it| *it == b'\n')
        .collect();
    let json = |line: &[u8]| serde_json::from_slice::<Value>(line).ok();
    let (header, end) = (json(lines.remove(0))?, json(lines.pop()?)?);
    let checkpoint = checkpoint(header["checkpoint"].as_str()?, vkey)?;
    let (size, root) = (checkpoint.size(), *checkpoint.hash());
    let (from, to) = (header["from"].as_u64()?, header["to"].as_u64()?);
    if header.get("organization_id").is_some() {
        for line in &lines {
            let (entry, line) = (entry(line)?, json(line)?);
            let (place, proof) = (line["entry"]["seq"].as_u64()?, hashes(&line["proof"])?);
            check_record(&proof, size, root, place, record_hash(entry)).ok()?;
        }
        return Some(lines.len() as u64);
    }
    let mut tree = Stored::of(from, hashes(&header["start"])?);
    for (place, line) in (from..to).zip(&lines) {
        // Of what was pruned there is the hash alone.
        let leaf = match entry(line)? {
            b"null" => Hash::parse_hash(json(line)?["hash"].as_str()?).ok()?,
            entry => record_hash(entry),
        };
        tree.push(place, leaf);
    }
    if to - from != lines.len() as u64 {
        return None;
    }
    let proof = hashes(&end["end"]["proof"])?;
    match to {
        0 => assert_eq!(tree_hash(0, &tree).unwrap(), EMPTY_HASH),
        _ => check_tree(&proof, size, root, to, tree_hash(to, &tree).ok()?).ok()?,
    }
    Some(to - from)
}

/// The entry that is proved to be in the log (C2SP tlog-proof); `None` when it is not.
fn proved(proof: &str, vkey: &str) -> Option<Vec<u8>> {
    let (proof, note) = proof.split_once("\n\n")?;
    let checkpoint = checkpoint(note, vkey)?;
    let mut lines = proof.lines();
    let ("c2sp.org/tlog-proof@v1", extra, index) = (lines.next()?, lines.next()?, lines.next()?)
    else {
        return None;
    };
    let entry = STANDARD.decode(extra.strip_prefix("extra ")?).ok()?;
    let index = index.strip_prefix("index ")?.parse().ok()?;
    let hashes = lines.map(|line| Hash::parse_hash(line).ok());
    let hashes: Vec<_> = hashes.collect::<Option<_>>()?;
    let (size, root) = (checkpoint.size(), *checkpoint.hash());
    check_record(&hashes, size, root, index, record_hash(&entry)).ok()?;
    Some(entry)
}

/// A daemon that has issued tokens, and the log's key.
fn daemon(tokens: usize) -> (TestDaemon, String) {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    daemon.organization("other");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    for _ in 0..tokens {
        let _ = client.token(&[]).token();
    }
    let vkey = daemon.cli().run(&["audit", "key"]).ok();
    let vkey = vkey.stdout().trim_end().to_owned();
    (daemon, vkey)
}

fn export(daemon: &TestDaemon, folder: &Path, options: &[&str]) -> Vec<u8> {
    let file = folder.join("export");
    let name = file.to_str().unwrap();
    let _ = daemon
        .cli()
        .run(&[&["audit", "export", name], options].concat())
        .ok();
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(file).unwrap();
    bytes
}

#[test]
fn exports_and_proofs_are_accepted_by_an_implementation_that_is_not_ours() {
    // More than a tile holds.
    let (daemon, vkey) = daemon(300);
    let folder = tempfile::tempdir().unwrap();
    let count = |options: &[&str]| entries_in(&export(&daemon, folder.path(), options), &vkey);
    assert!(count(&[]) > Some(300));
    for (from, to) in [(0, 0), (0, 1), (7, 256), (255, 258), (256, 300), (300, 300)] {
        let (first, end) = (from.to_string(), to.to_string());
        let options = ["--from", &first, "--to", &end];
        assert_eq!(count(&options), Some(to - from), "{from} to {to}");
    }
    assert!(count(&["--org", "acme"]) > Some(300));
    assert!(count(&["--org", "other"]) > Some(0));
    assert!(count(&["--org", "acme", "--from", "100", "--to", "110"]) == Some(10));

    let entries = daemon
        .cli()
        .ndjson(&["audit", "list", "--limit", "400", "-o", "ndjson"]);
    for seq in ["0", "255", "256", "299"] {
        let proof = daemon.cli().run(&["audit", "prove", seq]).ok();
        let entry: Value = serde_json::from_slice(&proved(proof.stdout(), &vkey).unwrap()).unwrap();
        assert!(entries.contains(&entry), "{entry}");
        assert_eq!(entry["seq"].to_string(), seq);
    }
}

#[test]
fn an_implementation_that_is_not_ours_refuses_what_was_changed() {
    let (daemon, vkey) = daemon(10);
    let folder = tempfile::tempdir().unwrap();
    for options in [&["--to", "12"][..], &["--org", "acme"]] {
        let mut export = export(&daemon, folder.path(), options);
        assert!(entries_in(&export, &vkey).is_some());
        let mut bits = Vec::new();
        let mut start = 0;
        for line in export.split_inclusive(|it| *it == b'\n') {
            // A bit of each entry, and some of all proofs and of the checkpoint.
            if let Some(entry) = entry(line.trim_ascii_end()) {
                let at = line.len() - 2 - entry.len();
                bits.push((start + at) * 8 + start % (entry.len() * 8));
            }
            let name = if start == 0 { "checkpoint" } else { "proof" };
            let text = String::from_utf8_lossy(line);
            // What follows an empty proof is a digest, which only we have.
            if let Some(at) = text.find(&format!("\"{name}\":"))
                && !text.contains("\"proof\":[]")
            {
                let to = text.find("entry").unwrap_or(at + 60);
                bits.extend((start + at..start + to).step_by(13).map(|at| at * 8));
            }
            start += line.len();
        }
        assert!(bits.len() > 20, "{}", bits.len());
        for bit in bits {
            export[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(entries_in(&export, &vkey), None, "bit {bit}");
            export[bit / 8] ^= 1 << (bit % 8);
        }
        let other = vkey.replace("agentidp/", "agentidp/x");
        assert_eq!(entries_in(&export, &other), None);
    }
    let proof = daemon.cli().run(&["audit", "prove", "7"]).ok();
    let moved = proof.stdout().replace("index 7", "index 6");
    assert_eq!(proved(&moved, &vkey), None);
}
