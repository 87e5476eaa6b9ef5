//! Reading and growing a tree that is kept in tiles.

use super::hash::NodeHash;
use super::tile::{TILE_HEIGHT, TILE_WIDTH};

/// Where the hashes of tiles come from.
pub trait TileSource {
    /// Why one could not be read.
    type Error;

    /// The hashes of the tile `index` of `level`: those that there are, and none when there is no
    /// such tile.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    fn hashes(&self, level: u8, index: u64) -> Result<Vec<NodeHash>, Self::Error>;
}

/// Why something could not be read off tiles.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError<E> {
    /// The source failed.
    #[error(transparent)]
    Source(#[from] E),
    /// The tree that was asked about has this tile, and the source has not enough of it.
    #[error("tile {index} of level {level} of the audit log's tree is missing or too short")]
    Missing {
        /// The tile's level.
        level: u8,
        /// The tile's place on its level.
        index: u64,
    },
    /// The tree has no such leaf, or there is no such smaller tree.
    #[error("there is no such place in the tree")]
    OutOfRange,
}

/// The root of the tree of the first `size` leaves.
///
/// # Errors
///
/// [`TileError`].
pub fn root<S: TileSource>(source: &S, size: u64) -> Result<NodeHash, TileError<S::Error>> {
    if size == 0 {
        return Ok(NodeHash::of_empty_tree());
    }
    range(source, 0, size)
}

/// The inclusion proof of the leaf at `index` in the tree of the first `size` leaves (RFC 6962,
/// section 2.1.1), from the leaf's sibling up.
///
/// # Errors
///
/// [`TileError`].
pub fn prove_inclusion<S: TileSource>(
    source: &S,
    index: u64,
    size: u64,
) -> Result<Vec<NodeHash>, TileError<S::Error>> {
    if index >= size {
        return Err(TileError::OutOfRange);
    }
    let mut proof = Vec::new();
    let (mut from, mut to) = (0, size);
    while to - from > 1 {
        let middle = from + left_size(to - from);
        if index < middle {
            proof.push(range(source, middle, to)?);
            to = middle;
        } else {
            proof.push(range(source, from, middle)?);
            from = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of the first `second` leaves begins with that of the first `first`
/// (RFC 6962, section 2.1.2).
///
/// # Errors
///
/// [`TileError`].
pub fn prove_consistency<S: TileSource>(
    source: &S,
    first: u64,
    second: u64,
) -> Result<Vec<NodeHash>, TileError<S::Error>> {
    if first == 0 || first > second {
        return Err(TileError::OutOfRange);
    }
    let mut proof = Vec::new();
    let (mut from, mut to) = (0, second);
    while first < to {
        let middle = from + left_size(to - from);
        if first <= middle {
            proof.push(range(source, middle, to)?);
            to = middle;
        } else {
            proof.push(range(source, from, middle)?);
            from = middle;
        }
    }
    // Whoever verifies has the root of the first tree.
    if from > 0 {
        proof.push(range(source, from, to)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The roots of the complete subtrees of the tree of the first `size` leaves, the largest first:
/// what a [`super::Frontier`] goes on from.
///
/// # Errors
///
/// [`TileError`].
pub fn peaks<S: TileSource>(source: &S, size: u64) -> Result<Vec<NodeHash>, TileError<S::Error>> {
    (0..u64::BITS)
        .rev()
        .filter(|level| size >> level & 1 == 1)
        .map(|level| node(source, level, (size >> level) - 1))
        .collect()
}

/// How many of `size` leaves are left of the root: the largest power of two below.
const fn left_size(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size - 1).leading_zeros())
}

/// The hash over the leaves `from..to`, which are a node of the tree or, at its right end, what
/// there is of one.
fn range<S: TileSource>(source: &S, from: u64, to: u64) -> Result<NodeHash, TileError<S::Error>> {
    let size = to - from;
    if size.is_power_of_two() {
        let level = size.trailing_zeros();
        return node(source, level, from >> level);
    }
    let middle = from + left_size(size);
    let left = range(source, from, middle)?;
    Ok(NodeHash::of_node(&left, &range(source, middle, to)?))
}

/// The hash of the node `index` on `level` of the tree, all of whose leaves there are.
fn node<S: TileSource>(
    source: &S,
    level: u32,
    index: u64,
) -> Result<NodeHash, TileError<S::Error>> {
    let (tile_level, below) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
    // No overflow: the node has leaves, so its first one has a number.
    let first = index << below;
    let (tile, offset) = (first / TILE_WIDTH, first % TILE_WIDTH);
    let tile_level = u8::try_from(tile_level).unwrap_or(u8::MAX);
    let hashes = source.hashes(tile_level, tile)?;
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let nodes = hashes.get(start..start + (1 << below));
    let nodes = nodes.ok_or(TileError::Missing {
        level: tile_level,
        index: tile,
    })?;
    Ok(NodeHash::of_subtree(nodes.to_vec()))
}

/// The right edge of a tree that grows: the tiles that are not full yet, one on each level.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    levels: Vec<Vec<NodeHash>>,
}

impl Edge {
    /// The edge of the tree of `size` leaves, its tiles read from `source`.
    ///
    /// # Errors
    ///
    /// [`TileError`].
    pub fn read<S: TileSource>(source: &S, size: u64) -> Result<Self, TileError<S::Error>> {
        let mut levels = Vec::new();
        let mut there = size;
        while there > 0 {
            let level = u8::try_from(levels.len()).unwrap_or(u8::MAX);
            let index = there / TILE_WIDTH;
            let width = usize::try_from(there % TILE_WIDTH).unwrap_or(usize::MAX);
            let mut hashes = if width == 0 {
                Vec::new()
            } else {
                source.hashes(level, index)?
            };
            if hashes.len() < width {
                return Err(TileError::Missing { level, index });
            }
            hashes.truncate(width);
            levels.push(hashes);
            there = index;
        }
        Ok(Self { size, levels })
    }

    /// How many leaves the tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf, and hands each tile that it fills to `full`, with its level and its place
    /// there.
    pub fn push(&mut self, leaf: NodeHash, mut full: impl FnMut(u8, u64, &[NodeHash])) {
        self.size += 1;
        let mut hash = leaf;
        let mut there = self.size;
        for level in 0.. {
            if self.levels.len() == usize::from(level) {
                self.levels.push(Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(usize::from(level)) else {
                return;
            };
            hashes.push(hash);
            if !there.is_multiple_of(TILE_WIDTH) {
                return;
            }
            let tile = std::mem::take(hashes);
            there /= TILE_WIDTH;
            full(level, there - 1, &tile);
            hash = NodeHash::of_subtree(tile);
        }
    }

    /// The tree's root.
    #[must_use]
    pub fn root(&self) -> NodeHash {
        let mut root = None;
        for hashes in &self.levels {
            // The complete subtrees among them, from the right: each bit of their number is one.
            let mut left = hashes.as_slice();
            for height in 0..TILE_HEIGHT {
                if hashes.len() >> height & 1 == 0 {
                    continue;
                }
                let (rest, subtree) = left.split_at(left.len().saturating_sub(1 << height));
                left = rest;
                let subtree = NodeHash::of_subtree(subtree.to_vec());
                root = Some(match root {
                    Some(right) => NodeHash::of_node(&subtree, &right),
                    None => subtree,
                });
            }
        }
        root.unwrap_or_else(NodeHash::of_empty_tree)
    }
}

impl TileSource for Edge {
    type Error = std::convert::Infallible;

    fn hashes(&self, level: u8, index: u64) -> Result<Vec<NodeHash>, Self::Error> {
        let there = self.size.checked_shr(u32::from(level) * TILE_HEIGHT);
        Ok(match self.levels.get(usize::from(level)) {
            Some(hashes) if there.is_some_and(|there| there / TILE_WIDTH == index) => {
                hashes.clone()
            }
            _ => Vec::new(),
        })
    }
}
