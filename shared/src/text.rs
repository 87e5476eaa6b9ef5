//! Short texts that people write, and the macros that give every text type the same faces.

use crate::error::FieldError;

/// Implements `FromStr`, `TryFrom<String>`, `Display`, `AsRef<str>` and the conversions that
/// serde needs for a newtype around `String` that has a `const FIELD` and a `fn check(&str)`.
macro_rules! text_type {
    ($name:ident) => {
        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::error::FieldError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::error::FieldError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::check(&text)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

/// Gives a field-less enum its words: `as_str`, `ALL`, `Display`, `FromStr` and serde by word.
///
/// The wire, the log and the screens all use these words, so they stand in one place.
macro_rules! word_enum {
    (
        $(#[$meta:meta])* $name:ident, $field:literal {
            $( $(#[$vmeta:meta])* $variant:ident = $word:literal ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $( $(#[$vmeta])* #[serde(rename = $word)] $variant ),+
        }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it on the wire, in the log and on screens.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::error::FieldError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::error::FieldError::new(
                        $field,
                        $crate::text::one_of!($($word),+),
                    )),
                }
            }
        }
    };
}

/// "must be one of a, b, c" as a constant.
macro_rules! one_of {
    ($first:literal $(, $word:literal)*) => {
        concat!("must be one of ", $first $(, ", ", $word)*)
    };
}

pub(crate) use {one_of, text_type, word_enum};

/// Whether `text` holds a control character, one that changes the direction of what follows, or one
/// that is not seen (Unicode's format characters and those it ignores by default).
///
/// Names with such characters could pass for others on a screen, so records refuse them.
fn is_deceptive(text: &str) -> bool {
    text.chars().any(|c| {
        c.is_control()
            || matches!(c,
                '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
                | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}'
                | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{1D173}'..='\u{1D17A}'
                | '\u{E0000}'..='\u{E0FFF}')
    })
}

fn check_line(field: &'static str, text: &str, max: usize) -> Result<(), FieldError> {
    if text.trim().is_empty() {
        return Err(FieldError::new(field, "must not be empty"));
    }
    if text.chars().count() > max {
        return Err(FieldError::new(field, "is too long"));
    }
    if is_deceptive(text) {
        return Err(FieldError::new(
            field,
            "must not contain control, zero-width or direction-changing characters",
        ));
    }
    Ok(())
}

/// Refuses what nobody meant to write down for good.
pub(crate) fn check_untold(field: &'static str, text: &str) -> Result<(), FieldError> {
    if crate::secret::is_told_in(text) {
        return Err(FieldError::new(
            field,
            "must not hold a client secret or a token: leave it out, and revoke it if others have seen it",
        ));
    }
    Ok(())
}

/// Reads a line that was kept, which may be older than the rule that refuses secrets.
macro_rules! kept_line {
    ($name:ident, $field:literal, $max:literal) => {
        impl $name {
            fn check(text: &str) -> Result<(), FieldError> {
                check_line($field, text, $max)?;
                check_untold($field, text)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                check_line($field, &text, $max).map_err(serde::de::Error::custom)?;
                Ok(Self(text))
            }
        }
    };
}

/// The team or person that answers for an agent; 1 to 128 characters, one line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(into = "String")]
pub struct Owner(String);

kept_line!(Owner, "owner", 128);

text_type!(Owner);

/// Why an operator did something, for the audit log; 1 to 512 characters, one line.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(into = "String")]
pub struct Reason(String);

kept_line!(Reason, "reason", 512);

text_type!(Reason);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_that_could_deceive_on_a_screen_is_refused() {
        for text in [
            "",
            "  ",
            "a\u{1b}[31m",
            "team\nb",
            "abc\u{202e}def",
            "a\u{200b}b",
            "a\u{61c}",
            "\u{3164}",
            "a\u{e0041}",
        ] {
            assert!(text.parse::<Owner>().is_err(), "{text:?}");
        }
        assert_eq!("équipe-a".parse::<Owner>().unwrap().as_str(), "équipe-a");
    }

    #[test]
    fn a_reason_that_gives_a_secret_away_is_refused_and_one_that_was_kept_is_read() {
        let id = crate::CredentialId::from_bytes([1; 16]);
        let secret = crate::ClientSecret::new(id, &[2; 32]);
        let text = format!("it was {}", secret.expose());
        let refused = text.parse::<Reason>().unwrap_err();
        assert!(!refused.to_string().contains("aidp_"), "{refused}");
        assert!(text.parse::<Owner>().is_err());
        let kept = serde_json::to_string(&text).unwrap();
        assert_eq!(
            serde_json::from_str::<Reason>(&kept).unwrap().as_str(),
            text
        );
        assert!(serde_json::from_str::<Reason>("\"a\\nb\"").is_err());
    }
}
