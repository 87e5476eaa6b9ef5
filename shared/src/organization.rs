//! Organizations: the tenants. Nothing crosses from one to another.

use std::time::Duration;

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
    pub tier: Tier,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its record last changed.
    pub updated_at: Timestamp,
    /// How old a credential of its agents may become before it is retired; absent: as old as it
    /// likes.
    pub max_credential_age: Option<Duration>,
    /// Tokens of its agents that were issued until then are dead.
    pub tokens_revoked_until: Option<Timestamp>,
    /// Whether its entries in the audit log are kept however old they become.
    pub is_held: bool,
    /// 1 when created, one more with every change.
    pub revision: u64,
}

/// The name of a set of limits: 1 to 32 lower-case letters, digits and hyphens. Which there are, the
/// configuration says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tier(String);

impl Tier {
    fn check(text: &str) -> Result<(), FieldError> {
        let is_word = (1..=32).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        is_word.then_some(()).ok_or(FieldError::new(
            "tier",
            "must be 1 to 32 lower-case letters, digits or hyphens",
        ))
    }
}

text_type!(Tier);

/// What is to change of an organization; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrganizationUpdate {
    /// See [`Organization::tier`].
    pub tier: Option<Tier>,
    /// See [`Organization::max_credential_age`]; the inner absence takes the limit away.
    pub max_credential_age: Option<Option<Duration>>,
}

impl Organization {
    /// The names of the fields in which the two differ that an update can change, as the wire spells them.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let fields = [
            ("tier", self.tier == other.tier),
            (
                "max_credential_age",
                self.max_credential_age == other.max_credential_age,
            ),
        ];
        let differs = fields.into_iter().filter(|(_, is_same)| !is_same);
        differs.map(|(name, _)| name.to_owned()).collect()
    }
}

impl OrganizationUpdate {
    /// The organization with the changes; its revision and times are as they were.
    #[must_use]
    pub fn apply(self, organization: &Organization) -> Organization {
        let mut organization = organization.clone();
        if let Some(it) = self.tier {
            organization.tier = it;
        }
        if let Some(it) = self.max_credential_age {
            organization.max_credential_age = it;
        }
        organization
    }
}
