//! Verifying inclusion and consistency proofs: the algorithms of RFC 9162, sections 2.1.3.2 and
//! 2.1.4.2, which are those that RFC 6962 describes in words.

use super::hash::NodeHash;

/// The most hashes that a proof has in a tree of any size.
pub const MAX_PROOF: usize = 64;

/// A proof that does not prove what it is said to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// There is no such leaf in such a tree, or no such smaller tree.
    #[error("there is no such place in the tree")]
    OutOfRange,
    /// It has too few or too many hashes.
    #[error("the proof has too few or too many hashes")]
    Length,
    /// It leads to another root.
    #[error("the proof leads to another root")]
    OtherRoot,
}

/// Verifies that the leaf at `index` of the tree of `size` leaves under `root` is `leaf`.
///
/// # Errors
///
/// [`ProofError`], when it does not follow from `proof`.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &NodeHash,
    proof: &[NodeHash],
    root: &NodeHash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange);
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            hash = NodeHash::of_node(sibling, &hash);
            (node, last) = to_right_child(node, last);
        } else {
            hash = NodeHash::of_node(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if hash != *root {
        return Err(ProofError::OtherRoot);
    }
    Ok(())
}

/// Verifies that the tree of `second` leaves under `second_root` begins with the `first` leaves of
/// the tree under `first_root`.
///
/// Of an empty first tree nothing can be proved, and nothing needs to be; it is refused.
///
/// # Errors
///
/// [`ProofError`], when it does not follow from `proof`.
pub fn verify_consistency(
    first: u64,
    second: u64,
    first_root: &NodeHash,
    second_root: &NodeHash,
    proof: &[NodeHash],
) -> Result<(), ProofError> {
    if first == 0 || first > second {
        return Err(ProofError::OutOfRange);
    }
    if first == second {
        return match proof {
            [] if first_root == second_root => Ok(()),
            [] => Err(ProofError::OtherRoot),
            _ => Err(ProofError::Length),
        };
    }
    let shift = (first - 1).trailing_ones();
    let (mut node, mut last) = ((first - 1) >> shift, (second - 1) >> shift);
    // The first tree is a subtree of its own: the proof does not repeat its root.
    let (start, proof) = if first.is_power_of_two() {
        (first_root, proof)
    } else {
        proof.split_first().ok_or(ProofError::Length)?
    };
    let (mut first_hash, mut second_hash) = (*start, *start);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            first_hash = NodeHash::of_node(sibling, &first_hash);
            second_hash = NodeHash::of_node(sibling, &second_hash);
            (node, last) = to_right_child(node, last);
        } else {
            second_hash = NodeHash::of_node(&second_hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if first_hash != *first_root || second_hash != *second_root {
        return Err(ProofError::OtherRoot);
    }
    Ok(())
}

/// Skips the levels on which the last node of an incomplete tree has no sibling.
const fn to_right_child(node: u64, last: u64) -> (u64, u64) {
    if node == 0 {
        return (node, last);
    }
    let levels = node.trailing_zeros();
    (node >> levels, last >> levels)
}
