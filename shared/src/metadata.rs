//! What an organization notes about an agent, as text under names.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::FieldError;
use crate::text::check_untold;

/// At most 100 entries; names of 1 to 64 bytes in letters, digits, `.`, `_`, `-`, `/`; values of at
/// most 2 KiB of any text: it is inert, and whoever shows it makes control characters visible.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Metadata(BTreeMap<String, String>);

impl Metadata {
    /// The entries, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many bytes names and values have together.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<BTreeMap<String, String>> for Metadata {
    type Error = FieldError;

    fn try_from(entries: BTreeMap<String, String>) -> Result<Self, Self::Error> {
        for value in entries.values() {
            check_untold("metadata", value)?;
        }
        Self::kept(entries)
    }
}

/// What was kept may be older than the rule that refuses secrets.
impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::kept(BTreeMap::deserialize(from)?).map_err(D::Error::custom)
    }
}

impl Metadata {
    fn kept(entries: BTreeMap<String, String>) -> Result<Self, FieldError> {
        if entries.len() > 100 {
            return Err(FieldError::new("metadata", "must be at most 100 entries"));
        }
        let is_name = |name: &str| {
            (1..=64).contains(&name.len())
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b))
        };
        for (name, value) in &entries {
            if !is_name(name) {
                return Err(FieldError::new(
                    "metadata",
                    "names must be 1 to 64 letters, digits, '.', '_', '-' or '/'",
                ));
            }
            if value.len() > 2_048 {
                return Err(FieldError::new("metadata", "values must be at most 2 KiB"));
            }
        }
        Ok(Self(entries))
    }
}

impl From<Metadata> for BTreeMap<String, String> {
    fn from(metadata: Metadata) -> Self {
        metadata.0
    }
}
