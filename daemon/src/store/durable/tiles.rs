//! The tree over the log, in the index: its full tiles. What is not full is remade from them and
//! from the entries that the journal has after them.

use agentidp_shared::merkle::{Edge, Grown, NodeHash, TileError, TileSource, root};

use super::database::{damaged, failed};
use super::index::Index;
use super::memory::{ask_again, ask_for_page};
use super::state::State;
use crate::store::ReadError;

type Read<T> = Result<T, ReadError>;

/// The bytes of a hash.
const HASH: usize = 32;

impl Index {
    /// Puts a full tile.
    pub(super) fn put_tile(&self, level: u8, index: u64, hashes: &[NodeHash]) -> Read<()> {
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
        self.database.write(|trees| {
            trees.tiles.insert(key(level, index), bytes.as_slice())?;
            Ok(())
        })?;
        ask_again(&self.trees().tiles, key(level, index), bytes.len())
    }

    /// The hashes of a full tile; none when there is no such tile.
    pub(super) fn tile(&self, level: u8, index: u64) -> Read<Vec<NodeHash>> {
        let (tiles, key) = (&self.trees().tiles, key(level, index));
        let Some(bytes) = tiles.get(key).map_err(failed)? else {
            return Ok(Vec::new());
        };
        ask_for_page(tiles, key, bytes.len())?;
        let (hashes, rest) = bytes.as_chunks::<HASH>();
        if !rest.is_empty() {
            return Err(damaged());
        }
        Ok(hashes.iter().copied().map(NodeHash::from_bytes).collect())
    }

    /// The edge of the tree of the first `size` entries, which fill their bundles.
    pub(super) fn edge(&self, size: u64) -> Read<Edge> {
        Edge::read(self, size).map_err(unproved)
    }
}

impl State {
    /// Appends an entry to the tree.
    pub(super) fn grow(&self, tree: &mut Edge, entry: &[u8]) -> Read<()> {
        let mut full = Vec::new();
        tree.push(NodeHash::of_leaf(entry), |level, index, hashes| {
            full.push((level, index, hashes.to_vec()));
        });
        full.iter()
            .try_for_each(|(level, index, hashes)| self.index.put_tile(*level, *index, hashes))
    }

    /// The root of the tree over the first `size` entries.
    ///
    /// # Errors
    ///
    /// When there are not as many, or the index lacks something of the tree.
    pub(super) fn root_of(&self, size: u64) -> Read<NodeHash> {
        let edge = &self.tree.lock();
        let full = &self.index;
        root(&Grown { full, edge }, size).map_err(unproved)
    }
}

/// Why something could not be read off the tree.
fn unproved(error: TileError<ReadError>) -> ReadError {
    match error {
        TileError::Source(error) => error,
        error => ReadError(error.to_string()),
    }
}

impl TileSource for Index {
    type Error = ReadError;

    fn hashes(&self, level: u8, index: u64) -> Read<Vec<NodeHash>> {
        self.tile(level, index)
    }
}

fn key(level: u8, index: u64) -> [u8; 9] {
    let mut key = [level; 9];
    let (_, place) = key.split_at_mut(1);
    place.copy_from_slice(&index.to_be_bytes());
    key
}
