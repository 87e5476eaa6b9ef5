//! The tree cut into tiles of 256 hashes, and their names: C2SP tlog-tiles.

use std::fmt;
use std::str::FromStr;

use crate::error::FieldError;

/// How many hashes a full tile has, and how many entries a full bundle.
pub const TILE_WIDTH: u64 = 256;
/// How many levels of the tree a tile spans.
pub(super) const TILE_HEIGHT: u32 = 8;
/// The highest level of a tile.
const MAX_LEVEL: u8 = 63;

/// What a resource of the log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Hashes of this level: 0 are those of entries, and each of the next is that of a full tile.
    Hashes(u8),
    /// The entries themselves: a bundle.
    Entries,
}

/// The name of a tile or of a bundle of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    kind: TileKind,
    index: u64,
    width: u16,
}

impl Tile {
    /// The tile or bundle `index` with `width` hashes or entries.
    ///
    /// # Errors
    ///
    /// When the level is above 63, or the width not from 1 to 256.
    pub fn new(kind: TileKind, index: u64, width: u16) -> Result<Self, FieldError> {
        if matches!(kind, TileKind::Hashes(level) if level > MAX_LEVEL) {
            return Err(FieldError::new("tile", "must have a level from 0 to 63"));
        }
        if width == 0 || u64::from(width) > TILE_WIDTH {
            return Err(FieldError::new("tile", "must have a width from 1 to 256"));
        }
        Ok(Self { kind, index, width })
    }

    /// What it holds.
    #[must_use]
    pub const fn kind(&self) -> TileKind {
        self.kind
    }

    /// Its place among those of its kind.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes or entries it has.
    #[must_use]
    pub const fn width(&self) -> u16 {
        self.width
    }

    /// Whether a tree of `size` leaves has it, in this width or in full.
    #[must_use]
    pub fn is_in_tree_of(&self, size: u64) -> bool {
        let level = match self.kind {
            TileKind::Hashes(level) => u32::from(level),
            TileKind::Entries => 0,
        };
        let there = size.checked_shr(level * TILE_HEIGHT).unwrap_or(0);
        let end = u128::from(self.index) * u128::from(TILE_WIDTH) + u128::from(self.width);
        end <= u128::from(there)
    }
}

/// The path below the log's prefix.
impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes(level) => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        let mut groups = vec![self.index % 1_000];
        let mut rest = self.index / 1_000;
        while rest > 0 {
            groups.push(rest % 1_000);
            rest /= 1_000;
        }
        while let Some(group) = groups.pop() {
            if groups.is_empty() {
                write!(f, "{group:03}")?;
            } else {
                write!(f, "x{group:03}/")?;
            }
        }
        if u64::from(self.width) < TILE_WIDTH {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

impl FromStr for Tile {
    type Err = FieldError;

    fn from_str(path: &str) -> Result<Self, FieldError> {
        let tile = parsed(path)
            .ok_or_else(|| FieldError::new("tile", "must be a path of C2SP tlog-tiles"))??;
        // Leading zeroes, a sign, a needless group: each tile has one path.
        if tile.to_string() != path {
            return Err(FieldError::new(
                "tile",
                "must be written without needless digits",
            ));
        }
        Ok(tile)
    }
}

fn parsed(path: &str) -> Option<Result<Tile, FieldError>> {
    let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
    let kind = match kind {
        "entries" => TileKind::Entries,
        level => TileKind::Hashes(level.parse().ok()?),
    };
    let (index, width) = match rest.split_once(".p/") {
        Some((index, width)) => (index, width.parse().ok()?),
        None => (rest, 256),
    };
    let mut number = 0_u64;
    for group in index.split('/') {
        let digits: u64 = group.strip_prefix('x').unwrap_or(group).parse().ok()?;
        number = number.checked_mul(1_000)?.checked_add(digits)?;
    }
    Some(Tile::new(kind, number, width))
}

/// The bytes of a bundle of entries: each after its length as a big-endian `u16`.
///
/// # Errors
///
/// When an entry is longer than 65,535 bytes.
pub fn bundle<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, FieldError> {
    let mut bytes = Vec::new();
    for entry in entries {
        let Ok(length) = u16::try_from(entry.len()) else {
            return Err(FieldError::new("entry", "must have at most 65,535 bytes"));
        };
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(kind: TileKind, index: u64, width: u16) -> Tile {
        Tile::new(kind, index, width).unwrap()
    }

    #[test]
    fn paths_are_those_of_the_specification() {
        for (tile, path) in [
            (
                tile(TileKind::Hashes(0), 1_234_067, 256),
                "tile/0/x001/x234/067",
            ),
            (tile(TileKind::Hashes(0), 0, 256), "tile/0/000"),
            (tile(TileKind::Hashes(2), 0, 1), "tile/2/000.p/1"),
            (tile(TileKind::Hashes(63), 999, 255), "tile/63/999.p/255"),
            (tile(TileKind::Entries, 1_000, 256), "tile/entries/x001/000"),
            (tile(TileKind::Entries, 273, 112), "tile/entries/273.p/112"),
            (
                tile(TileKind::Hashes(0), u64::MAX, 256),
                "tile/0/x018/x446/x744/x073/x709/x551/615",
            ),
        ] {
            assert_eq!(tile.to_string(), path);
            assert_eq!(path.parse(), Ok(tile));
        }
    }

    #[test]
    fn a_path_that_is_written_otherwise_is_refused() {
        for path in [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/0000",
            "tile/0/+01",
            "tile/00/001",
            "tile/64/001",
            "tile/-1/001",
            "tile/0/x000/001",
            "tile/0/001/001",
            "tile/0/x001",
            "tile/0/xx01",
            "tile/0/001.p/0",
            "tile/0/001.p/01",
            "tile/0/001.p/256",
            "tile/0/001.p/",
            "tile/0/001.p/1/",
            "tile/0/x001/x000/x000/x000/x000/x000/x000/000",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/8/0/001",
            "tile/data/001",
            "/tile/0/001",
        ] {
            assert!(path.parse::<Tile>().is_err(), "{path}");
        }
    }

    #[test]
    fn a_tree_has_the_tiles_that_the_specification_counts() {
        // "a tree of size 70,000 will be represented by 273 full level 0 tiles, one partial level
        // 0 tile of width 112, one full level 1 tile, one partial level 1 tile of width 17, and one
        // partial level 2 tile of width 1"
        for (level, index, width) in [
            (0, 272, 256),
            (0, 273, 112),
            (1, 0, 256),
            (1, 1, 17),
            (2, 0, 1),
        ] {
            assert!(tile(TileKind::Hashes(level), index, width).is_in_tree_of(70_000));
        }
        for (level, index, width) in [(0, 273, 113), (1, 1, 18), (2, 0, 2), (3, 0, 1), (63, 0, 1)] {
            assert!(!tile(TileKind::Hashes(level), index, width).is_in_tree_of(70_000));
        }
        assert!(!tile(TileKind::Hashes(0), u64::MAX, 1).is_in_tree_of(u64::MAX));
    }

    #[test]
    fn a_bundle_has_its_entries_after_their_lengths() {
        assert_eq!(
            bundle([b"ab".as_slice(), b""]),
            Ok(b"\0\x02ab\0\0".to_vec())
        );
        assert!(bundle([vec![0; 65_536].as_slice()]).is_err());
    }
}
