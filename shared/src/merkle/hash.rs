//! The hashes of the tree (RFC 6962, section 2.1), with SHA-256.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::FieldError;

/// The bytes of a hash.
pub(super) const HASH_BYTES: usize = 32;
/// The characters of a hash in base64.
pub(super) const HASH_TEXT_BYTES: usize = 44;

/// What precedes an entry, so that no inner node can be taken for a leaf.
const LEAF: u8 = 0;
/// What precedes the two halves of an inner node.
const NODE: u8 = 1;

/// The hash of a leaf or of an inner node. Its text is standard base64 (RFC 4648, section 4) with
/// its padding, and nothing else is accepted for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NodeHash([u8; HASH_BYTES]);

impl NodeHash {
    /// The hash that these bytes are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }

    /// The root of the tree that has no leaves.
    #[must_use]
    pub fn of_empty_tree() -> Self {
        sha256(&[])
    }

    /// The hash of a leaf: of the entry as it is stored.
    #[must_use]
    pub fn of_leaf(entry: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&[LEAF]);
        context.update(entry);
        copied(context.finish().as_ref())
    }

    /// The hash of an inner node.
    #[must_use]
    pub fn of_node(left: &Self, right: &Self) -> Self {
        let mut input = [NODE; 1 + 2 * HASH_BYTES];
        let (_, halves) = input.split_at_mut(1);
        for (to, from) in halves.iter_mut().zip(left.0.iter().chain(&right.0)) {
            *to = *from;
        }
        sha256(&input)
    }

    /// The hash of the whole subtree with these nodes at its bottom; how many there are is a power
    /// of two. That of none is that of the empty tree.
    #[must_use]
    pub fn of_subtree(mut nodes: Vec<Self>) -> Self {
        while nodes.len() > 1 {
            nodes = nodes
                .chunks(2)
                .filter_map(|pair| match pair {
                    [left, right] => Some(Self::of_node(left, right)),
                    [single] => Some(*single),
                    _ => None,
                })
                .collect();
        }
        nodes.pop().unwrap_or_else(Self::of_empty_tree)
    }
}

/// SHA-256 of `bytes` with nothing before it.
pub(super) fn sha256(bytes: &[u8]) -> NodeHash {
    copied(digest(&SHA256, bytes).as_ref())
}

fn copied(digest: &[u8]) -> NodeHash {
    let mut bytes = [0; HASH_BYTES];
    bytes.copy_from_slice(digest);
    NodeHash(bytes)
}

impl fmt::Display for NodeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for NodeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for NodeHash {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let rule = "must be 32 bytes in base64";
        let mut bytes = [0; HASH_BYTES];
        match STANDARD.decode_slice(text, &mut bytes) {
            Ok(HASH_BYTES) => Ok(Self(bytes)),
            _ => Err(FieldError::new("hash", rule)),
        }
    }
}

impl serde::Serialize for NodeHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for NodeHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hashes_are_those_of_rfc_6962() {
        // Certificate Transparency's own reference values.
        assert_eq!(
            NodeHash::of_empty_tree().to_string(),
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
        );
        assert_eq!(
            NodeHash::of_leaf(b"").to_string(),
            "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0="
        );
        let leaf = NodeHash::of_leaf(b"");
        assert_eq!(
            NodeHash::of_subtree(vec![leaf, leaf]),
            sha256(&[&[1], leaf.0.as_slice(), &leaf.0].concat())
        );
    }

    #[test]
    fn a_hash_has_one_text() {
        let hash = NodeHash::of_leaf(b"x");
        let text = hash.to_string();
        assert_eq!(text.len(), HASH_TEXT_BYTES);
        assert_eq!(text.parse(), Ok(hash));
        let last = text.chars().nth(42).unwrap();
        let unused_bits = char::from(last as u8 + 1);
        for wrong in [
            String::new(),
            text.replace('=', ""),
            format!("{text}="),
            format!(" {text}"),
            format!("{}{unused_bits}=", text.split_at(42).0),
            "AAAA".to_owned(),
        ] {
            assert!(wrong.parse::<NodeHash>().is_err(), "{wrong}");
        }
    }
}
