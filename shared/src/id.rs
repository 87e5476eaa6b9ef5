//! Identifiers: UUID version 7 (RFC 9562, section 5.7), one type for each thing they name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::FieldError;
use crate::time::Timestamp;

macro_rules! id_type {
    ($(#[$meta:meta])* $name:ident, $field:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new identifier made at `now` from ten random bytes.
            #[must_use]
            pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
                let millis = u64::try_from(now.as_millis()).unwrap_or(0);
                Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
            }

            /// The identifier with these 16 bytes, as [`Self::as_bytes`] gave them.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The moment at which it was made.
            #[must_use]
            pub fn made_at(&self) -> Timestamp {
                let millis = self.0.as_bytes().iter().take(6).fold(0, |high, byte| high << 8 | i64::from(*byte));
                Timestamp::from_millis(millis)
            }

            /// The 16 bytes, most significant first, so that they sort by time of creation.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
                f.pad(self.0.hyphenated().encode_lower(&mut text))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = FieldError;

            /// Parses the hyphenated lower-case form and no other, so that one thing has one name.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                const RULE: FieldError =
                    FieldError::new($field, "must be a UUID in lower case with hyphens");
                let is_plain = text.len() == uuid::fmt::Hyphenated::LENGTH
                    && !text.bytes().any(|b| b.is_ascii_uppercase());
                let uuid = Uuid::try_parse(text).ok().filter(|_| is_plain).ok_or(RULE)?;
                Ok(Self(uuid))
            }
        }
    };
}

id_type!(
    /// Names an organization.
    OrganizationId, "organization_id");
id_type!(
    /// Names an agent. It is also the agent's `client_id` and the `sub` of its tokens.
    AgentId, "agent_id");
id_type!(
    /// Names a credential.
    CredentialId, "credential_id");
id_type!(
    /// The `jti` of an access token (RFC 7519, section 4.1.7).
    TokenId, "jti");
id_type!(
    /// Names one request, in logs, answers and audit entries.
    RequestId, "request_id");
id_type!(
    /// Names a store, so that one is never taken for another.
    StoreId, "store_id");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_the_time_they_were_made() {
        let early = AgentId::new(Timestamp::from_millis(1_000), [255; 10]);
        let late = AgentId::new(Timestamp::from_millis(1_001), [0; 10]);
        assert!(early < late && early.as_bytes() < late.as_bytes());
    }

    #[test]
    fn only_the_canonical_form_is_an_id() {
        let id = AgentId::new(Timestamp::from_millis(1_800_000_000_000), [7; 10]);
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        for other in [
            text.to_uppercase(),
            text.replace('-', ""),
            format!("{{{text}}}"),
            String::new(),
        ] {
            assert!(other.parse::<AgentId>().is_err(), "{other}");
        }
    }
}
