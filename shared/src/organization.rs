//! Organizations: the tenants. Nothing crosses from one to another.

use serde::{Deserialize, Serialize};

use crate::error::FieldError;
use crate::id::OrganizationId;
use crate::text::{text_type, word_enum};
use crate::time::Timestamp;

/// The unique name of an organization: a slug of 1 to 63 lower-case letters, digits and hyphens
/// that starts and ends with a letter or digit (a DNS label, RFC 1123 section 2.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OrganizationName(String);

impl OrganizationName {
    fn check(text: &str) -> Result<(), FieldError> {
        let is_label = (1..=63).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        is_label.then_some(()).ok_or(FieldError::new(
            "name",
            "must be 1 to 63 lower-case letters, digits or hyphens, with no hyphen at either end",
        ))
    }
}

text_type!(OrganizationName);

word_enum! {
    /// Whether an organization's agents are served.
    OrganizationStatus, "status" {
        /// Its agents are served.
        Active = "active",
        /// None of its agents gets a token.
        Suspended = "suspended",
    }
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// Immutable.
    pub id: OrganizationId,
    /// Unique in the installation.
    pub name: OrganizationName,
    /// Whether its agents are served.
    pub status: OrganizationStatus,
    /// The name of the set of limits that holds for it.
    pub tier: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// 1 when created, one more with every change.
    pub revision: u64,
}

/// The tier of an organization that was given no other.
pub const DEFAULT_TIER: &str = "free";
