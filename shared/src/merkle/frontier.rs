//! A tree that only grows, kept as the roots of its complete subtrees: one for each bit of its
//! size that is set.

use super::hash::NodeHash;
use crate::error::FieldError;

/// The frontier of a tree: enough to append to it and to know its root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// The roots of the complete subtrees, the largest first.
    peaks: Vec<NodeHash>,
}

impl Frontier {
    /// The tree of `size` leaves with these complete subtrees, the largest first.
    ///
    /// # Errors
    ///
    /// When a tree of that size has another number of them.
    pub fn new(size: u64, peaks: Vec<NodeHash>) -> Result<Self, FieldError> {
        if usize::try_from(size.count_ones()) != Ok(peaks.len()) {
            let rule = "must have a hash for each bit of the tree's size that is set";
            return Err(FieldError::new("frontier", rule));
        }
        Ok(Self { size, peaks })
    }

    /// How many leaves the tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, the largest first.
    #[must_use]
    pub fn peaks(&self) -> &[NodeHash] {
        &self.peaks
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: NodeHash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = NodeHash::of_node(&left, &hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The tree's root.
    #[must_use]
    pub fn root(&self) -> NodeHash {
        let from_the_right = self.peaks.iter().rev().copied();
        from_the_right
            .reduce(|right, left| NodeHash::of_node(&left, &right))
            .unwrap_or_else(NodeHash::of_empty_tree)
    }
}
