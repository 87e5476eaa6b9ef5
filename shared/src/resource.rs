//! Resource indicators (RFC 8707): what a token is for.

use serde::{Deserialize, Serialize};

use crate::error::FieldError;
use crate::text::text_type;

/// How many resources one request may name: an audit entry must hold them.
pub const MAX_RESOURCES: usize = 4;

/// An absolute `http` or `https` URI without fragment or user information (RFC 8707, section 2),
/// at most 256 bytes, as the one who names it spells it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Resource(String);

impl Resource {
    fn check(text: &str) -> Result<(), FieldError> {
        const RULE: FieldError = FieldError::new(
            "resource",
            "must be an absolute http or https URI without fragment or user information, at most 256 bytes",
        );
        if text.len() > 256 || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(RULE);
        }
        let url = url::Url::parse(text).map_err(|_error| RULE)?;
        let valid = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && !text.contains(['#', '\\'])
            && url.username().is_empty()
            && url.password().is_none();
        valid.then_some(()).ok_or(RULE)
    }

    /// Whether both name one resource: equal, or apart only in the slash after the authority
    /// (RFC 3986, section 6.2.3: an empty path is the path `/`).
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.0 == other.0 || self.without_root_slash() == other.without_root_slash()
    }

    fn without_root_slash(&self) -> &str {
        match self.0.strip_suffix('/') {
            Some(rest) if rest.matches('/').count() == 2 => rest,
            _ => &self.0,
        }
    }
}

text_type!(Resource);

#[cfg(test)]
mod tests {
    use super::Resource;

    fn resource(text: &str) -> Resource {
        text.parse().unwrap()
    }

    #[test]
    fn a_resource_is_an_absolute_web_uri() {
        for bad in [
            "",
            "mcp",
            "/mcp",
            "ftp://a.example/",
            "https://",
            "https://a.example/#x",
            "https://u:p@a.example/",
            "https://a.example/ x",
            "urn:x:y",
            "https:\\\\a.example",
        ] {
            assert!(bad.parse::<Resource>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_the_root_slash_is_forgiven() {
        assert!(resource("https://a.example").is_same(&resource("https://a.example/")));
        assert!(!resource("https://a.example/x").is_same(&resource("https://a.example/x/")));
        assert!(!resource("https://a.example/").is_same(&resource("https://b.example/")));
    }
}
