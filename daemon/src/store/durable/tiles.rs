//! The tree over the log, in the index: its full tiles. What is not full is remade from them and
//! from the entries that the journal has after them.

use agentidp_shared::merkle::{Edge, NodeHash, TileError, TileSource};

use super::database::{damaged, failed};
use super::index::Index;
use crate::store::ReadError;

/// The bytes of a hash.
const HASH: usize = 32;

impl Index {
    /// Puts a full tile.
    pub(super) fn put_tile(
        &self,
        level: u8,
        index: u64,
        hashes: &[NodeHash],
    ) -> Result<(), ReadError> {
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
        self.database.write(|trees| {
            trees.tiles.insert(key(level, index), bytes.as_slice())?;
            Ok(())
        })
    }

    /// The hashes of a full tile; none when there is no such tile.
    pub(super) fn tile(&self, level: u8, index: u64) -> Result<Vec<NodeHash>, ReadError> {
        let Some(bytes) = self.trees().tiles.get(key(level, index)).map_err(failed)? else {
            return Ok(Vec::new());
        };
        let (hashes, rest) = bytes.as_chunks::<HASH>();
        if !rest.is_empty() {
            return Err(damaged());
        }
        Ok(hashes.iter().copied().map(NodeHash::from_bytes).collect())
    }

    /// The edge of the tree of the first `size` entries, which fill their bundles.
    pub(super) fn edge(&self, size: u64) -> Result<Edge, ReadError> {
        Edge::read(self, size).map_err(unproved)
    }
}

/// Why something could not be read off the tree.
pub(super) fn unproved(error: TileError<ReadError>) -> ReadError {
    match error {
        TileError::Source(error) => error,
        error => ReadError(error.to_string()),
    }
}

impl TileSource for Index {
    type Error = ReadError;

    fn hashes(&self, level: u8, index: u64) -> Result<Vec<NodeHash>, ReadError> {
        self.tile(level, index)
    }
}

fn key(level: u8, index: u64) -> [u8; 9] {
    let mut key = [level; 9];
    let (_, place) = key.split_at_mut(1);
    place.copy_from_slice(&index.to_be_bytes());
    key
}
