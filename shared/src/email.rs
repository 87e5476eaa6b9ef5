//! The e-mail form of an agent's name.

use serde::{Deserialize, Serialize};

use crate::error::FieldError;
use crate::text::text_type;

/// An agent's e-mail, unique in the installation, such as `screener-001@acme.example`.
///
/// A subset of RFC 5321's mailbox: lower case, ASCII, no quoting, at most 254 bytes. One spelling
/// only, so that two agents cannot look alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Email(String);

impl Email {
    fn check(text: &str) -> Result<(), FieldError> {
        let valid = text.len() <= 254
            && text
                .split_once('@')
                .is_some_and(|(local, domain)| is_local(local) && is_domain(domain));
        valid.then_some(()).ok_or(FieldError::new(
            "email",
            "must be a lower-case ASCII address such as screener-001@acme.example, at most 254 bytes",
        ))
    }
}

fn is_local(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.split('.').all(|atom| {
            !atom.is_empty()
                && atom
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_+".contains(&b))
        })
}

fn is_domain(text: &str) -> bool {
    text.contains('.')
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

text_type!(Email);

#[cfg(test)]
mod tests {
    use super::Email;

    #[test]
    fn only_one_spelling_of_an_address_is_an_email() {
        for good in [
            "a@acme.example",
            "screener-001@acme.example",
            "a.b+c_d@x-y.example",
        ] {
            assert!(good.parse::<Email>().is_ok(), "{good}");
        }
        let long = format!("{}@acme.example", "a".repeat(65));
        for bad in [
            "",
            "a",
            "@acme.example",
            "a@",
            "a@acme",
            "A@acme.example",
            "a@Acme.example",
            "a b@acme.example",
            "a@acme..example",
            ".a@acme.example",
            "a@-acme.example",
            "\"a\"@acme.example",
            "a@b@acme.example",
            "а@acme.example",
            "a@acme.example\n",
            &long,
        ] {
            assert!(bad.parse::<Email>().is_err(), "{bad:?}");
        }
    }
}
