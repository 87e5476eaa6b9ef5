//! Reading and growing a tree that is kept in tiles.

use std::cell::RefCell;
use std::collections::HashMap;

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

    /// The hash of the subtree over the hashes `offset..offset + 2^height` of a tile; `None` when it
    /// has not all of them.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    fn subtree(
        &self,
        level: u8,
        index: u64,
        offset: usize,
        height: u32,
    ) -> Result<Option<NodeHash>, Self::Error> {
        let hashes = self.hashes(level, index)?;
        let nodes = hashes.get(offset..offset + (1 << height));
        Ok(nodes.map(|nodes| NodeHash::of_subtree(nodes.to_vec())))
    }
}

impl<S: TileSource + ?Sized> TileSource for &S {
    type Error = S::Error;

    fn hashes(&self, level: u8, index: u64) -> Result<Vec<NodeHash>, S::Error> {
        (**self).hashes(level, index)
    }
}

/// Tiles that are read and hashed once, for whoever makes many proofs near each other.
pub struct CachedTiles<S> {
    source: S,
    tiles: RefCell<HashMap<(u8, u64), Rows>>,
}

/// A tile's hashes, the hashes of each two of them, and so on.
type Rows = Vec<Vec<NodeHash>>;

/// How many tiles are kept; a proof needs two on each level of tiles.
const CACHED: usize = 32;

impl<S> CachedTiles<S> {
    /// The tiles of `source`.
    pub fn new(source: S) -> Self {
        Self {
            source,
            tiles: RefCell::default(),
        }
    }
}

impl<S: TileSource> TileSource for CachedTiles<S> {
    type Error = S::Error;

    fn hashes(&self, level: u8, index: u64) -> Result<Vec<NodeHash>, S::Error> {
        self.source.hashes(level, index)
    }

    fn subtree(
        &self,
        level: u8,
        index: u64,
        offset: usize,
        height: u32,
    ) -> Result<Option<NodeHash>, S::Error> {
        let mut tiles = self.tiles.borrow_mut();
        if !tiles.contains_key(&(level, index)) {
            let mut rows = vec![self.source.hashes(level, index)?];
            while let Some(row) = rows.last()
                && row.len() > 1
            {
                let (pairs, _) = row.as_chunks();
                let above = pairs.iter().map(|[a, b]| NodeHash::of_node(a, b)).collect();
                rows.push(above);
            }
            if tiles.len() >= CACHED {
                tiles.clear();
            }
            tiles.insert((level, index), rows);
        }
        let rows = tiles.get(&(level, index));
        let row = rows.and_then(|rows| rows.get(usize::try_from(height).ok()?));
        Ok(row.and_then(|row| row.get(offset >> height)).copied())
    }
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
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    let hash = source.subtree(tile_level, tile, offset, below)?;
    hash.ok_or(TileError::Missing {
        level: tile_level,
        index: tile,
    })
}

/// The leaf hash of an entry.
///
/// # Errors
///
/// When the source fails or does not have it.
pub fn leaf<S: TileSource>(source: &S, seq: u64) -> Result<NodeHash, TileError<S::Error>> {
    let (level, index) = (0, seq / TILE_WIDTH);
    let offset = usize::try_from(seq % TILE_WIDTH).unwrap_or(usize::MAX);
    let hash = source.subtree(level, index, offset, 0)?;
    hash.ok_or(TileError::Missing { level, index })
}

/// The first `width` hashes of a tile, all of which there must be.
fn first<S: TileSource>(
    source: &S,
    level: u8,
    index: u64,
    width: u64,
) -> Result<Vec<NodeHash>, TileError<S::Error>> {
    let width = usize::try_from(width).unwrap_or(usize::MAX);
    let mut hashes = source.hashes(level, index)?;
    if hashes.len() < width {
        return Err(TileError::Missing { level, index });
    }
    hashes.truncate(width);
    Ok(hashes)
}

/// The right edge of a tree that grows: the tiles that are not full yet, one on each level.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    levels: Vec<Vec<NodeHash>>,
}

impl Edge {
    /// The edge of the tree of `size` leaves, made from the full tiles of `source`, and from its
    /// tile of leaves that is not full.
    ///
    /// # Errors
    ///
    /// [`TileError`].
    pub fn read<S: TileSource>(source: &S, size: u64) -> Result<Self, TileError<S::Error>> {
        let mut levels = Vec::new();
        let mut there = size;
        while there > 0 {
            let level = u8::try_from(levels.len()).unwrap_or(u8::MAX);
            let (index, width) = (there / TILE_WIDTH, there % TILE_WIDTH);
            let hashes = match level.checked_sub(1) {
                None if width == 0 => Vec::new(),
                None => first(source, level, index, width)?,
                Some(below) => (index * TILE_WIDTH..there)
                    .map(|tile| {
                        Ok(NodeHash::of_subtree(first(
                            source, below, tile, TILE_WIDTH,
                        )?))
                    })
                    .collect::<Result<_, TileError<S::Error>>>()?,
            };
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

/// The tiles of a tree that grows: the full ones of a source, which may have become more since, and
/// those that were not full at its edge.
#[derive(Debug, Clone, Copy)]
pub struct Grown<'a, S: ?Sized> {
    /// The full tiles.
    pub full: &'a S,
    /// The edge.
    pub edge: &'a Edge,
}

impl<S: TileSource + ?Sized> TileSource for Grown<'_, S> {
    type Error = S::Error;

    fn hashes(&self, level: u8, index: u64) -> Result<Vec<NodeHash>, S::Error> {
        let Ok(hashes) = self.edge.hashes(level, index);
        if hashes.is_empty() {
            self.full.hashes(level, index)
        } else {
            Ok(hashes)
        }
    }
}
