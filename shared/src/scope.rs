//! Scopes and capabilities: `resource:action`.
//!
//! A capability is the same word seen from the agent's side: the ceiling of the scopes that the
//! agent can ever be granted.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::FieldError;
use crate::text::text_type;

/// One scope: `resource:action`, each part 1 to 64 of lower-case letters, digits, `_`, `-` and `.`.
///
/// A subset of RFC 6749's scope-token (section 3.3).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope(String);

impl Scope {
    fn check(text: &str) -> Result<(), FieldError> {
        let is_part = |part: &str| {
            (1..=64).contains(&part.len())
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.".contains(&b))
        };
        text.split_once(':')
            .is_some_and(|(resource, action)| is_part(resource) && is_part(action))
            .then_some(())
            .ok_or(FieldError::new(
                "scope",
                "must be resource:action in lower-case letters, digits, '_', '-' or '.'",
            ))
    }

    /// Whether the scope governs this server's own management interface, and so is granted only
    /// when it is asked for by name.
    #[must_use]
    pub fn is_management(&self) -> bool {
        MANAGEMENT.contains(&self.as_str())
    }
}

text_type!(Scope);

/// The scopes of this server's own management interface.
pub const MANAGEMENT: &[&str] = &[
    "agents:read",
    "agents:write",
    "credentials:write",
    "audit:read",
    "tokens:read",
    "tokens:write",
    "health:read",
];

/// How many scopes an agent may have, or a request ask for.
pub const MAX_SCOPES: usize = 64;

/// How many bytes a set of scopes may have when written: an audit entry must hold it.
pub const MAX_SCOPES_BYTES: usize = 1_024;

/// A set of at most [`MAX_SCOPES`] scopes and [`MAX_SCOPES_BYTES`], in alphabetical order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "BTreeSet<Scope>")]
pub struct ScopeSet(BTreeSet<Scope>);

impl ScopeSet {
    /// Whether every scope of `self` is in `ceiling`.
    #[must_use]
    pub fn is_within(&self, ceiling: &Self) -> bool {
        self.0.is_subset(&ceiling.0)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }

    /// The scopes that are in both sets.
    #[must_use]
    pub fn common_with(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    /// The set without the management scopes.
    #[must_use]
    pub fn without_management(&self) -> Self {
        Self(
            self.0
                .iter()
                .filter(|scope| !scope.is_management())
                .cloned()
                .collect(),
        )
    }
}

impl TryFrom<BTreeSet<Scope>> for ScopeSet {
    type Error = FieldError;

    fn try_from(scopes: BTreeSet<Scope>) -> Result<Self, Self::Error> {
        if scopes.len() > MAX_SCOPES {
            return Err(FieldError::new("scope", "must be at most 64 scopes"));
        }
        let bytes: usize = scopes.iter().map(|scope| scope.as_str().len() + 1).sum();
        if bytes > MAX_SCOPES_BYTES {
            return Err(FieldError::new(
                "scope",
                "must be at most 1024 bytes in all",
            ));
        }
        Ok(Self(scopes))
    }
}

impl FromStr for ScopeSet {
    type Err = FieldError;

    /// Parses the `scope` parameter: scopes with one space between them (RFC 6749, section 3.3).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let scopes = text
            .split(' ')
            .map(str::parse)
            .collect::<Result<BTreeSet<_>, _>>()?;
        Self::try_from(scopes)
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_one_resource_and_one_action() {
        for bad in [
            "", ":", "a", "a:", ":b", "a:b:c", "A:b", "a b:c", "a:b\u{0}", "a:\u{e9}",
        ] {
            assert!(bad.parse::<Scope>().is_err(), "{bad:?}");
        }
        assert!("resume:read".parse::<Scope>().is_ok());
    }

    #[test]
    fn a_set_is_written_in_order_and_once() {
        let set: ScopeSet = "b:x a:y b:x".parse().unwrap();
        assert_eq!(set.to_string(), "a:y b:x");
        assert!("a:y  b:x".parse::<ScopeSet>().is_err());
    }
}
