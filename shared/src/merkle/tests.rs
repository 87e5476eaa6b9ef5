//! The tree against a naive one, and against the vectors that others publish.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{Action, Actor, Entry, OrganizationId, Outcome, Pruned, Timestamp};

/// The definition of RFC 6962, section 2.1, word for word.
fn naive_root(leaves: &[NodeHash]) -> NodeHash {
    match leaves {
        [] => NodeHash::of_empty_tree(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            NodeHash::of_node(&naive_root(left), &naive_root(right))
        }
    }
}

pub(super) fn leaves(count: u64) -> Vec<NodeHash> {
    (0..count)
        .map(|number| NodeHash::of_leaf(&number.to_be_bytes()))
        .collect()
}

/// Full tiles, and the edge for what is not full.
#[derive(Default)]
pub(super) struct Tiles {
    full: HashMap<(u8, u64), Vec<NodeHash>>,
    pub(super) edge: Edge,
}

impl Tiles {
    pub(super) fn of(leaves: &[NodeHash]) -> Self {
        let mut tiles = Self::default();
        for leaf in leaves {
            tiles.edge.push(*leaf, |level, index, hashes| {
                assert_eq!(hashes.len(), 256);
                let before = tiles.full.insert((level, index), hashes.to_vec());
                assert_eq!(before, None);
            });
        }
        tiles
    }
}

impl TileSource for Tiles {
    type Error = Infallible;

    fn hashes(&self, level: u8, index: u64) -> Result<Vec<NodeHash>, Infallible> {
        match self.full.get(&(level, index)) {
            Some(hashes) => Ok(hashes.clone()),
            None => self.edge.hashes(level, index),
        }
    }
}

/// A place in a list.
pub(super) fn place(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

fn flipped(hash: NodeHash, bit: usize) -> NodeHash {
    let mut bytes = *hash.as_bytes();
    bytes[bit / 8] ^= 1 << (bit % 8);
    NodeHash::from_bytes(bytes)
}

#[test]
fn every_small_tree_has_the_root_of_the_definition() {
    let leaves = leaves(600);
    let (mut frontier, mut edge) = (Frontier::default(), Edge::default());
    for size in 0..=leaves.len() {
        let root = naive_root(&leaves[..size]);
        assert_eq!(frontier.root(), root, "{size}");
        assert_eq!(edge.root(), root, "{size}");
        assert_eq!(
            Frontier::new(size as u64, frontier.peaks().to_vec()),
            Ok(frontier.clone())
        );
        if let Some(leaf) = leaves.get(size) {
            frontier.push(*leaf);
            edge.push(*leaf, |_, _, _| {});
        }
    }
}

#[test]
fn every_proof_of_every_small_tree_is_accepted() {
    let leaves = leaves(70);
    let tiles = Tiles::of(&leaves);
    let cached = CachedTiles::new(&tiles);
    let roots: Vec<_> = (0..=70).map(|size| naive_root(&leaves[..size])).collect();
    for size in 1..=70_u64 {
        let root = roots[place(size)];
        for index in 0..size {
            let proof = prove_inclusion(&tiles, index, size).unwrap();
            assert_eq!(prove_inclusion(&cached, index, size), Ok(proof.clone()));
            let leaf = &leaves[place(index)];
            assert_eq!(verify_inclusion(index, size, leaf, &proof, &root), Ok(()));
        }
        for first in 1..=size {
            let proof = prove_consistency(&tiles, first, size).unwrap();
            let before = &roots[place(first)];
            assert_eq!(
                verify_consistency(first, size, before, &root, &proof),
                Ok(())
            );
        }
    }
}

#[test]
fn a_tree_of_three_levels_of_tiles_is_read_and_grown_from_its_tiles() {
    let leaves = leaves(70_000);
    let tiles = Tiles::of(&leaves);
    assert_eq!(tiles.full.len(), 273 + 1);
    for size in [1, 255, 256, 257, 65_535, 65_536, 65_537, 69_888, 70_000_u64] {
        let expected = naive_root(&leaves[..place(size)]);
        assert_eq!(root(&tiles, size), Ok(expected), "{size}");
        let peaks = peaks(&tiles, size).unwrap();
        assert_eq!(Frontier::new(size, peaks).unwrap().root(), expected);
        let mut edge = Edge::read(&tiles, size).unwrap();
        assert_eq!(edge.root(), expected);
        for leaf in leaves.iter().skip(place(size)) {
            edge.push(*leaf, |level, index, hashes| {
                assert_eq!(tiles.full[&(level, index)], hashes);
            });
        }
        assert_eq!(edge, tiles.edge);
    }
}

#[test]
fn what_is_not_there_is_not_proved() {
    let tiles = Tiles::of(&leaves(300));
    assert_eq!(
        prove_inclusion(&tiles, 300, 300),
        Err(TileError::OutOfRange)
    );
    assert_eq!(
        prove_consistency(&tiles, 0, 300),
        Err(TileError::OutOfRange)
    );
    assert_eq!(
        prove_consistency(&tiles, 301, 300),
        Err(TileError::OutOfRange)
    );
    let missing = TileError::Missing { level: 0, index: 1 };
    assert_eq!(root(&tiles, 301), Err(missing));
    let missing = TileError::Missing { level: 0, index: 1 };
    assert_eq!(Edge::read(&tiles, 301), Err(missing));
    assert!(Frontier::new(3, leaves(1)).is_err());
}

proptest! {
    #[test]
    fn an_inclusion_proof_proves_one_thing_only(
        size in 1_u64..3_000, index: u64, bit in 0_usize..256, which: proptest::sample::Index,
    ) {
        let index = index % size;
        let leaves = leaves(size);
        let tiles = Tiles::of(&leaves);
        let root = tiles.edge.root();
        let leaf = leaves[place(index)];
        let proof = prove_inclusion(&tiles, index, size).unwrap();
        prop_assert_eq!(verify_inclusion(index, size, &leaf, &proof, &root), Ok(()));

        prop_assert!(verify_inclusion(index, size, &flipped(leaf, bit), &proof, &root).is_err());
        prop_assert!(verify_inclusion(index, size, &leaf, &proof, &flipped(root, bit)).is_err());
        let other = (index + 1) % size;
        prop_assert!(size == 1 || verify_inclusion(other, size, &leaf, &proof, &root).is_err());
        prop_assert!(verify_inclusion(size, size, &leaf, &proof, &root).is_err());
        let longer = [proof.as_slice(), &[leaf]].concat();
        prop_assert!(verify_inclusion(index, size, &leaf, &longer, &root).is_err());
        if let Some((_, shorter)) = proof.split_last() {
            prop_assert!(verify_inclusion(index, size, &leaf, shorter, &root).is_err());
            let mut damaged = proof.clone();
            let which = which.index(proof.len());
            damaged[which] = flipped(damaged[which], bit);
            prop_assert!(verify_inclusion(index, size, &leaf, &damaged, &root).is_err());
        }
    }

    #[test]
    fn a_consistency_proof_proves_one_thing_only(
        second in 1_u64..3_000, first: u64, bit in 0_usize..256, which: proptest::sample::Index,
    ) {
        let first = 1 + first % second;
        let leaves = leaves(second);
        let tiles = Tiles::of(&leaves);
        let before = root(&tiles, first).unwrap();
        let after = tiles.edge.root();
        let proof = prove_consistency(&tiles, first, second).unwrap();
        prop_assert_eq!(verify_consistency(first, second, &before, &after, &proof), Ok(()));

        let wrong = flipped(before, bit);
        prop_assert!(verify_consistency(first, second, &wrong, &after, &proof).is_err());
        let wrong = flipped(after, bit);
        prop_assert!(verify_consistency(first, second, &before, &wrong, &proof).is_err());
        let longer = [proof.as_slice(), &[before]].concat();
        prop_assert!(verify_consistency(first, second, &before, &after, &longer).is_err());
        if let Some((_, shorter)) = proof.split_last() {
            prop_assert!(verify_consistency(first, second, &before, &after, shorter).is_err());
            let mut damaged = proof.clone();
            let which = which.index(proof.len());
            damaged[which] = flipped(damaged[which], bit);
            prop_assert!(verify_consistency(first, second, &before, &after, &damaged).is_err());
        }
    }

    #[test]
    fn proofs_are_those_that_another_implementation_makes(second in 1_u64..1_500, first: u64) {
        let first = 1 + first % second;
        let leaves = leaves(second);
        let tiles = Tiles::of(&leaves);
        let theirs = Theirs::of(second);
        let hashes = |proof: Vec<tlog_tiles::Hash>| -> Vec<_> {
            proof.iter().map(|hash| NodeHash::from_bytes(hash.0)).collect()
        };
        let root = tlog_tiles::tree_hash(second, &theirs).unwrap();
        prop_assert_eq!(tiles.edge.root(), NodeHash::from_bytes(root.0));
        let proof = tlog_tiles::prove_record(second, first - 1, &theirs).unwrap();
        prop_assert_eq!(prove_inclusion(&tiles, first - 1, second), Ok(hashes(proof)));
        let proof = tlog_tiles::prove_tree(second, first, &theirs).unwrap();
        prop_assert_eq!(prove_consistency(&tiles, first, second), Ok(hashes(proof)));
    }
}

/// The same tree as the `tlog_tiles` crate keeps it.
struct Theirs(Vec<tlog_tiles::Hash>);

impl Theirs {
    fn of(size: u64) -> Self {
        let mut theirs = Self(Vec::new());
        for number in 0..size {
            let more = tlog_tiles::stored_hashes(number, &number.to_be_bytes(), &theirs).unwrap();
            theirs.0.extend(more);
        }
        theirs
    }
}

impl tlog_tiles::HashReader for Theirs {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|&index| self.0[place(index)]).collect())
    }
}

/// The files of vectors in `folder` and the folders in it. Without them only CI fails: they are
/// not part of this project.
fn vectors(folder: &str) -> Vec<Value> {
    let root = std::env::var_os("AGENTIDP_TEST_VECTORS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    let folder = root.join("merkle").join(folder);
    if !folder.is_dir() {
        let missing = format!(
            "no {}; it is from testdata of github.com/transparency-dev/merkle",
            folder.display()
        );
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
        eprintln!("not run: {missing}");
        return Vec::new();
    }
    let mut vectors = Vec::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder)
            .unwrap()
            .map(|it| it.unwrap().path())
        {
            if path.is_dir() {
                folders.push(path);
            } else {
                vectors.push(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap());
            }
        }
    }
    vectors
}

/// A hash of a vector. Of those that are wrong, some are empty, which is refused before a proof is
/// looked at, and some have another length, which a [`NodeHash`] cannot have.
fn hash(value: &Value) -> Option<NodeHash> {
    let mut bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
    if bytes.is_empty() {
        return None;
    }
    bytes.resize(32, 0);
    Some(NodeHash::from_bytes(bytes.try_into().unwrap()))
}

fn hashes(value: &Value) -> Option<Vec<NodeHash>> {
    value.as_array().into_iter().flatten().map(hash).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// Judges the vectors of `folder`, all of which must come out as their publishers say.
fn judge(folder: &str, holds: impl Fn(&Value) -> Option<bool>) {
    let vectors = vectors(folder);
    assert!(vectors.is_empty() || vectors.iter().any(|it| it["wantErr"] == false));
    for vector in vectors {
        let refused = holds(&vector) != Some(true);
        assert_eq!(refused, vector["wantErr"] == true, "{vector}");
    }
}

#[test]
fn published_inclusion_proofs_are_judged_as_their_publishers_judge_them() {
    judge("inclusion", |vector| {
        let result = verify_inclusion(
            number(&vector["leafIdx"]),
            number(&vector["treeSize"]),
            &hash(&vector["leafHash"])?,
            &hashes(&vector["proof"])?,
            &hash(&vector["root"])?,
        );
        Some(result.is_ok())
    });
}

#[test]
fn published_consistency_proofs_are_judged_as_their_publishers_judge_them() {
    judge("consistency", |vector| {
        let result = verify_consistency(
            number(&vector["size1"]),
            number(&vector["size2"]),
            &hash(&vector["root1"])?,
            &hash(&vector["root2"])?,
            &hashes(&vector["proof"])?,
        );
        Some(result.is_ok())
    });
}

/// The key of the log of the tests.
pub(super) fn log_key() -> LogKey {
    LogKey::from_seed("log.example/audit".to_owned(), &[5; 32]).unwrap()
}

/// The organizations whose entries take turns in the log of the tests.
pub(super) fn organization(number: u64) -> OrganizationId {
    OrganizationId::from_bytes([u8::try_from(number % 3).unwrap(); 16])
}

/// A log with entries as the daemon writes them.
pub(super) struct Log {
    pub(super) entries: Vec<Vec<u8>>,
    pub(super) tiles: Tiles,
}

impl Log {
    pub(super) fn of(size: u64) -> Self {
        Self::made(size, |_| {})
    }

    /// One whose entry `seq` says what was pruned.
    pub(super) fn with(size: u64, seq: u64, pruned: &Pruned) -> Self {
        Self::made(size, |entry| {
            if entry.seq == seq {
                entry.action = Action::AuditPrune;
                entry.outcome = Outcome::Success;
                entry.pruned = Some(pruned.clone());
                entry.count = Some(pruned.removed().count() as u64);
            }
        })
    }

    fn made(size: u64, change: impl Fn(&mut Entry)) -> Self {
        let entries: Vec<_> = (0..size)
            .map(|seq| {
                let mut entry = Entry::new(
                    Timestamp::from_millis(1_795_248_000_000 + i64::try_from(seq).unwrap()),
                    Actor::client("192.0.2.7".to_owned()),
                    Action::TokenIssue,
                    Outcome::Success,
                );
                entry.seq = seq;
                entry.organization_id = Some(organization(seq));
                entry.scope = Some("resume:read".to_owned());
                change(&mut entry);
                serde_json::to_vec(&entry).unwrap()
            })
            .collect();
        let leaves: Vec<_> = entries.iter().map(|it| NodeHash::of_leaf(it)).collect();
        Self {
            tiles: Tiles::of(&leaves),
            entries,
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.tiles.edge.size()
    }

    pub(super) fn checkpoint(&self) -> Note {
        let key = log_key();
        let origin = key.verifier().name().to_owned();
        Checkpoint::new(origin, self.size(), self.tiles.edge.root())
            .sign(&key)
            .unwrap()
    }
}
