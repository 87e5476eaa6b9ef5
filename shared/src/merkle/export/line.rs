//! The lines of an export, each written in one way only.

use serde::{Deserialize, Serialize};

use crate::audit::{Action, Outcome};
use crate::id::OrganizationId;
use crate::merkle::hash::HASH_TEXT_BYTES;
use crate::merkle::{CheckpointError, MAX_PROOF, NodeHash, ProofError};
use crate::pruned::Pruned;

/// The format's name and version.
pub(super) const FORMAT: &str = "agentidp-audit-export/1";
/// The most bytes that a line has, its newline among them.
pub(super) const MAX_LINE: usize = 256 * 1_024;
/// What the last line begins with.
const END: &[u8] = b"{\"end\":";

/// What an export holds: its first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    format: String,
    /// The organization whose entries it has; absent in a complete export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<OrganizationId>,
    /// The first place in the log that it is about.
    pub from: u64,
    /// The first place that it is not about any more.
    pub to: u64,
    /// In a complete export, the roots of the complete subtrees before `from`, the largest first.
    pub start: Vec<NodeHash>,
    /// The log's checkpoint: a signed note.
    pub checkpoint: String,
}

impl Header {
    /// The header of a complete export of the entries `from..to`, before which there is the tree
    /// with these complete subtrees.
    #[must_use]
    pub fn complete(from: u64, to: u64, start: Vec<NodeHash>, checkpoint: String) -> Self {
        Self {
            format: FORMAT.to_owned(),
            organization_id: None,
            from,
            to,
            start,
            checkpoint,
        }
    }

    /// The header of an export of an organization's entries among `from..to`.
    #[must_use]
    pub fn of_organization(
        organization_id: OrganizationId,
        from: u64,
        to: u64,
        checkpoint: String,
    ) -> Self {
        Self {
            organization_id: Some(organization_id),
            ..Self::complete(from, to, Vec::new(), checkpoint)
        }
    }

    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        canonical(line).filter(|header: &Self| header.format == FORMAT)
    }

    /// Whether this is of the rest of an export with the header `other`, from the place `next` on.
    pub(super) fn follows(&self, other: &Self, next: u64) -> bool {
        let same = |it: &Self| (it.organization_id, it.to, it.checkpoint.clone());
        same(self) == same(other) && self.from == next
    }
}

/// What closes an export: its last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    /// How many entries it has.
    pub(super) entries: u64,
    /// In a complete export, the consistency proof from its end to the checkpoint.
    pub(super) proof: Vec<NodeHash>,
    /// SHA-256, in hex, of all lines before.
    pub(super) sha256: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndLine {
    end: End,
}

impl End {
    pub(super) fn is_on(line: &[u8]) -> bool {
        line.starts_with(END)
    }

    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        canonical(line).map(|line: EndLine| line.end)
    }

    pub(super) fn to_line(&self) -> Vec<u8> {
        to_line(&EndLine { end: self.clone() })
    }
}

/// `value` as JSON, and a newline.
pub(super) fn to_line(value: &impl Serialize) -> Vec<u8> {
    // Nothing that is written here can fail to be JSON; if it did, nobody would accept the line.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

/// What `line` says, if it is written as it would be here.
fn canonical<T: Serialize + for<'de> Deserialize<'de>>(line: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(line).ok()?;
    (serde_json::to_vec(&value).ok()? == line).then_some(value)
}

/// What stands in the place of an entry that was pruned.
pub(super) const PRUNED: &[u8] = b"null";

/// An entry's line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EntryLine<'a> {
    /// The entry as it is stored.
    pub(super) entry: &'a [u8],
    /// What goes with it.
    pub(super) evidence: Evidence,
}

/// What goes with an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// In a complete export, its leaf hash: so that damage is found where it is.
    Hash(NodeHash),
    /// In one of an organization, its inclusion proof.
    Proof(Vec<NodeHash>),
}

impl<'a> EntryLine<'a> {
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_prefix(b"{")?;
        let (evidence, rest) = if let Some(rest) = rest.strip_prefix(b"\"hash\":") {
            let (hash, rest) = hash(rest)?;
            (Evidence::Hash(hash), rest)
        } else {
            let mut rest = rest.strip_prefix(b"\"proof\":[")?;
            let mut hashes = Vec::new();
            while !rest.starts_with(b"]") {
                if !hashes.is_empty() {
                    rest = rest.strip_prefix(b",")?;
                }
                let (next, after) = hash(rest)?;
                hashes.push(next);
                rest = after;
                if hashes.len() > MAX_PROOF {
                    return None;
                }
            }
            (Evidence::Proof(hashes), rest.strip_prefix(b"]")?)
        };
        let entry = rest.strip_prefix(b",\"entry\":")?.strip_suffix(b"}")?;
        Some(Self { entry, evidence })
    }

    pub(super) fn to_line(&self) -> Vec<u8> {
        let evidence = match &self.evidence {
            Evidence::Hash(hash) => format!("{{\"hash\":\"{hash}\""),
            Evidence::Proof(proof) => {
                let hashes: Vec<_> = proof.iter().map(|hash| format!("\"{hash}\"")).collect();
                format!("{{\"proof\":[{}]", hashes.join(","))
            }
        };
        [evidence.as_bytes(), b",\"entry\":", self.entry, b"}\n"].concat()
    }
}

/// The hash in quotes that `text` begins with, and what follows.
fn hash(text: &[u8]) -> Option<(NodeHash, &[u8])> {
    let (hash, rest) = text
        .strip_prefix(b"\"")?
        .split_at_checked(HASH_TEXT_BYTES)?;
    let hash = std::str::from_utf8(hash).ok()?.parse().ok()?;
    Some((hash, rest.strip_prefix(b"\"")?))
}

/// What of an entry of any version is known without knowing the version.
#[derive(Debug, Deserialize)]
pub struct EntryHead {
    /// Its place in the log.
    pub seq: u64,
    /// The tenant it concerns.
    #[serde(default)]
    pub organization_id: Option<OrganizationId>,
    /// The entries that were removed from the log with it.
    #[serde(default)]
    pub pruned: Option<Pruned>,
    /// What was done.
    #[serde(default)]
    action: Option<String>,
    /// How it ended.
    #[serde(default)]
    outcome: Option<String>,
}

impl EntryHead {
    /// The head of an entry as it is stored; `None` if it is not one, or says that others were removed and cannot
    /// ([`Entry::prunes`](crate::Entry::prunes)).
    #[must_use]
    pub fn of(entry: &[u8]) -> Option<Self> {
        let head: Self = serde_json::from_slice(entry).ok()?;
        let is = |said: &Option<String>, word: &str| said.as_deref() == Some(word);
        let is_prune = is(&head.action, Action::AuditPrune.as_str())
            && is(&head.outcome, Outcome::Success.as_str());
        let pruned = head.pruned.as_ref();
        pruned
            .is_none_or(|pruned| is_prune && pruned.is_before(head.seq))
            .then_some(head)
    }
}

/// What is wrong with a line of an export.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The file ends in the middle of a line.
    #[error("the line is cut off: the file is not whole")]
    CutOff,
    /// The file has no such line.
    #[error("the file ends before its last line: it is not whole")]
    NoEnd,
    /// A line is longer than any can be.
    #[error("the line is longer than any line of an export")]
    TooLong,
    /// The first line is not a header.
    #[error("this is not the first line of an audit export, version 1, as it is written")]
    NotAHeader,
    /// The header's numbers contradict each other or the checkpoint.
    #[error("the first line contradicts itself")]
    Contradiction,
    /// The checkpoint.
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// A line is not an entry's, or is written otherwise.
    #[error("this is not the line of an entry as it is written")]
    NotAnEntry,
    /// An entry is not the one that the line's hash is of.
    #[error("the entry and its hash do not belong together: one of them was changed")]
    OtherHash,
    /// An entry is not the next one.
    #[error("here is entry {found}, where entry {expected} belongs")]
    OtherPlace {
        /// Its place as it says itself.
        found: u64,
        /// The place that is next.
        expected: u64,
    },
    /// An entry is beyond what the export is about, or before the one before it.
    #[error("entry {found} does not belong here")]
    NotInRange {
        /// Its place as it says itself.
        found: u64,
    },
    /// An entry is of another organization than the export.
    #[error("entry {found} is not of the export's organization")]
    OtherOrganization {
        /// Its place.
        found: u64,
    },
    /// An entry's proof does not hold.
    #[error("entry {found} is not in the log: {proof}")]
    NotInTheLog {
        /// Its place as it says itself.
        found: u64,
        /// Why.
        proof: ProofError,
    },
    /// The last line is written otherwise.
    #[error("this is not the last line of an export as it is written")]
    NotAnEnd,
    /// Entries are missing at the end.
    #[error("the export ends before entry {expected}")]
    Short {
        /// The entry that should be next.
        expected: u64,
    },
    /// There are more entries or fewer than the last line says.
    #[error("the last line counts {said} entries, and there are {there}")]
    OtherCount {
        /// How many it says.
        said: u64,
        /// How many there are.
        there: u64,
    },
    /// The entries make another tree than the checkpoint's.
    #[error("the entries are not those of the log: {0}")]
    OtherTree(ProofError),
    /// The digest of all lines is another.
    #[error("a line before was changed: the export's SHA-256 is another")]
    OtherDigest,
    /// There is something after the last line.
    #[error("there is something after the last line")]
    AfterEnd,
}
