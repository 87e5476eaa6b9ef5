//! The audit log as a Merkle tree, so that nobody can change it unseen.
//!
//! The tree is that of RFC 6962 with SHA-256; a leaf is an entry's stored bytes. It is kept as C2SP
//! tlog-tiles ([`Tile`], [`Edge`]), committed to by C2SP checkpoints ([`Checkpoint`], in a signed
//! [`Note`]), and proved by RFC 6962's proofs. What is given out to be verified elsewhere is an
//! [`export`] or a [`TlogProof`]. `docs/reference/audit-log.md` has the formats.

pub mod export;

mod checkpoint;
mod frontier;
mod hash;
mod key;
mod note;
mod proof;
mod tile;
mod tiles;
mod tlog_proof;

#[cfg(test)]
mod tests;

pub use checkpoint::{Checkpoint, CheckpointError, verify_cosignature};
pub use frontier::Frontier;
pub use hash::NodeHash;
pub use key::{KeyId, LogKey, SignatureType, VerifierKey};
pub use note::{MAX_NOTE_BYTES, Note, NoteError, Signature};
pub use proof::{MAX_PROOF, ProofError, verify_consistency, verify_inclusion};
pub use tile::{TILE_WIDTH, Tile, TileKind, bundle};
pub use tiles::{
    CachedTiles, Edge, Grown, TileError, TileSource, leaf, peaks, prove_consistency,
    prove_inclusion, root,
};
pub use tlog_proof::{TLOG_PROOF, TlogProof, TlogProofError};
