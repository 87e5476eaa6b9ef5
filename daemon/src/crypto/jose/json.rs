//! JSON objects from outside, in which nothing can be read in two ways.
//!
//! Of a name that stands twice, one program takes the first and another the last: what was checked
//! is then not what is used (RFC 8725, section 2.4 and RFC 7515, section 4). So it is refused, at
//! every depth, before anything is read.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// How deep objects and arrays may lie in each other. Claims have two levels, rarely three.
const MAX_DEPTH: usize = 8;

/// Why something was not taken for a JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsonError {
    /// It is no JSON, or no object, or more than one.
    #[error("is not one JSON object")]
    NotAnObject,
    /// A name stands twice in one object.
    #[error("has an object in which a name stands twice")]
    DuplicateName,
    /// Objects or arrays lie deeper in each other than eight levels.
    #[error("is nested deeper than 8 levels")]
    TooDeep,
    /// A member that must be there is not, or one has a value of the wrong type or range.
    #[error("lacks a member, or has one with a value of the wrong type or out of range")]
    Member,
}

/// Reads a `T` from a JSON object that [`check`] finds nothing wrong with.
pub(super) fn object<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, JsonError> {
    check(json)?;
    checked(json)
}

/// Reads a `T` from what [`check`] has passed.
pub(super) fn checked<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, JsonError> {
    serde_json::from_slice(json).map_err(|_error| JsonError::Member)
}

/// Checks that `json` is one object, has no name twice at any depth and is not too deep.
pub(super) fn check(json: &[u8]) -> Result<(), JsonError> {
    // Serde would read a struct from an array as well.
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(JsonError::NotAnObject);
    }
    let fault = Cell::new(JsonError::NotAnObject);
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = Value {
        depth: 0,
        fault: &fault,
    };
    value
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(|_error| fault.get())
}

/// For `deserialize_with`: a member that may be missing, but not null.
pub(super) fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Whether `text` can name something: 1 to 256 bytes and no control character, as it gets into logs.
pub(super) fn is_name(text: &str) -> bool {
    (1..=256).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// A value that is looked through and not kept.
#[derive(Clone, Copy)]
struct Value<'a> {
    depth: usize,
    fault: &'a Cell<JsonError>,
}

impl Value<'_> {
    /// Serde's errors are text; the cause goes beside them.
    fn fail<E: serde::de::Error>(self, fault: JsonError) -> E {
        self.fault.set(fault);
        E::custom(fault)
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.fail(JsonError::TooDeep));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        // Not `deserialize_ignored_any`, which lets pass a number that no type can hold.
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let item = self.deeper()?;
        while items.next_element_seed(item)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let member = self.deeper()?;
        let mut names = BTreeSet::new();
        while let Some(Name(name)) = members.next_key()? {
            if !names.insert(name) {
                return Err(self.fail(JsonError::DuplicateName));
            }
            members.next_value_seed(member)?;
        }
        Ok(())
    }
}

/// A member's name with its escapes resolved, borrowed when it has none.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_object_without_a_name_twice_is_read() {
        let nested = |levels: usize| {
            let (open, close) = (r#"{"a":"#.repeat(levels), "}".repeat(levels));
            format!("{open}1{close}")
        };
        for (json, expected) in [
            (r#" {"a":[1,{"b":null},-2.5,"x",true]} "#, Ok(())),
            (r#"{"a":{"b":1},"b":{"b":1}}"#, Ok(())),
            (&nested(MAX_DEPTH), Ok(())),
            (&nested(MAX_DEPTH + 1), Err(JsonError::TooDeep)),
            (&nested(1_000), Err(JsonError::TooDeep)),
            (r#"{"a":1,"a":1}"#, Err(JsonError::DuplicateName)),
            (r#"{"a":1,"\u0061":1}"#, Err(JsonError::DuplicateName)),
            (
                r#"{"x":[{"a":1,"b":2,"a":1}]}"#,
                Err(JsonError::DuplicateName),
            ),
            ("", Err(JsonError::NotAnObject)),
            ("[]", Err(JsonError::NotAnObject)),
            (r#""a""#, Err(JsonError::NotAnObject)),
            ("{}{}", Err(JsonError::NotAnObject)),
            ("{} x", Err(JsonError::NotAnObject)),
            ("{}\0", Err(JsonError::NotAnObject)),
            ("\u{feff}{}", Err(JsonError::NotAnObject)),
            (r#"{"a":1,}"#, Err(JsonError::NotAnObject)),
            (r#"{"a":1e400}"#, Err(JsonError::NotAnObject)),
            (r#"{"a":NaN}"#, Err(JsonError::NotAnObject)),
            (r#"{"a":"\ud800"}"#, Err(JsonError::NotAnObject)),
            (r"{'a':1}", Err(JsonError::NotAnObject)),
        ] {
            assert_eq!(check(json.as_bytes()), expected, "{json:.80}");
        }
        assert_eq!(check(b"{\"a\":\"\xff\"}"), Err(JsonError::NotAnObject));
    }
}
