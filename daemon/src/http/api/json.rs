//! JSON objects in requests, read strictly: what could be read in two ways, or says something that
//! nobody understands, is refused.

use std::cell::Cell;
use std::fmt;
use std::ops::RangeInclusive;

use agentidp_shared::FieldError;
use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::error::ApiError;

/// How deep objects and arrays may lie in each other.
const MAX_DEPTH: usize = 16;
/// Members that may stand in any request and say nothing: the organization is the token's.
pub(in crate::http) const IGNORED: [&str; 2] = ["organization_id", "organizationId"];

/// The members of an object that have not been taken yet.
#[derive(Debug, Default)]
pub(super) struct Members(Map<String, Value>);

impl Members {
    /// Reads one object from `bytes`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ApiError> {
        let fault = Cell::new("must be one JSON object in UTF-8");
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let read = Strict {
            depth: 0,
            fault: &fault,
        }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
        match read {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) | Err(_) => Err(ApiError::invalid("body", fault.get())),
        }
    }

    /// A member that is text of the type `T`.
    pub(super) fn text<T>(&mut self, name: &'static str) -> Result<Option<T>, ApiError>
    where
        T: std::str::FromStr<Err = FieldError>,
    {
        self.text_by(name, str::parse)
    }

    /// A member that is text which `parse` reads.
    pub(super) fn text_by<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, FieldError>,
    ) -> Result<Option<T>, ApiError> {
        let value = self.0.remove(name);
        value.map(|value| text(name, &value, &parse)).transpose()
    }

    /// A member that is an array of at most `max` texts of the type `T`.
    pub(super) fn list<T>(
        &mut self,
        name: &'static str,
        max: usize,
    ) -> Result<Option<Vec<T>>, ApiError>
    where
        T: std::str::FromStr<Err = FieldError>,
    {
        let Some(value) = self.0.remove(name) else {
            return Ok(None);
        };
        let Value::Array(items) = value else {
            return Err(ApiError::invalid(name, "must be an array of strings"));
        };
        if items.len() > max {
            let rule = format!("must be at most {max} strings");
            return Err(ApiError::invalid(name, &rule));
        }
        let items = items.iter().map(|item| text(name, item, &str::parse));
        items.collect::<Result<_, _>>().map(Some)
    }

    /// A member that is an object.
    pub(super) fn object(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Map<String, Value>>, ApiError> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(members)),
            Some(_) => Err(ApiError::invalid(name, "must be an object")),
        }
    }

    /// A member that is a whole number.
    pub(super) fn integer(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.0.remove(name) else {
            return Ok(None);
        };
        let number = value.as_number().and_then(whole);
        let number = number.filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| {
            let rule = format!(
                "must be a whole number from {} to {}",
                range.start(),
                range.end()
            );
            ApiError::invalid(name, &rule)
        })
    }

    /// Refuses what has not been taken, but for what is ignored everywhere.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        let unknown = self.0.keys().find(|name| !IGNORED.contains(&name.as_str()));
        match unknown {
            // Shortened: it comes from outside and stands in the answer.
            Some(name) => {
                let name: String = name.chars().take(64).collect();
                Err(ApiError::invalid(&name, "is not a member of this request"))
            }
            None => Ok(()),
        }
    }
}

/// The value of a member that must be there.
pub(super) fn required<T>(name: &'static str, value: Option<T>) -> Result<T, ApiError> {
    value.ok_or_else(|| ApiError::invalid(name, "must be given"))
}

fn text<T>(
    name: &'static str,
    value: &Value,
    parse: &impl Fn(&str) -> Result<T, FieldError>,
) -> Result<T, ApiError> {
    let Some(text) = value.as_str() else {
        return Err(ApiError::invalid(name, "must be a string"));
    };
    parse(text).map_err(|error| ApiError::invalid(name, error.rule))
}

/// A number without a fraction, however it is written (JSON Schema, section 4.2.1: `1.0` is one).
fn whole(number: &Number) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole, and between 0 and 2^53"
    )]
    let from_float = |number: f64| {
        let is_exact = number.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&number);
        is_exact.then_some(number as u64)
    };
    number
        .as_u64()
        .or_else(|| number.as_f64().and_then(from_float))
}

/// A value in which no name stands twice in an object and nothing lies too deep.
#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    fault: &'a Cell<&'static str>,
}

impl Strict<'_> {
    /// Serde's errors are text; the rule goes beside them.
    fn fail<E: serde::de::Error>(self, rule: &'static str) -> E {
        self.fault.set(rule);
        E::custom(rule)
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.fail("must be at most 16 levels deep"));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(inner)?;
            if members.insert(name, value).is_some() {
                return Err(self.fail("must not have an object in which a name stands twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use agentidp_shared::Code;

    use super::*;

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let deep =
            |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(Members::parse(deep(MAX_DEPTH - 1).as_bytes()).is_ok());
        for bad in [
            "",
            "[]",
            "null",
            "{",
            "{}{}",
            "{\"a\":1,\"a\":1}",
            "{\"a\":{\"b\":1,\"b\":2}}",
            "{\"a\":[{\"b\":1,\"\\u0062\":2}]}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":1e999}",
            "{'a':1}",
            "{\"a\":1,}",
            "\u{feff}{}",
            &deep(MAX_DEPTH),
            &deep(60_000),
        ] {
            let error = Members::parse(bad.as_bytes()).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{bad:.40}");
            assert_eq!(error.field(), Some("body"), "{bad:.40}");
        }
        assert!(Members::parse(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn a_number_is_whole_or_refused() {
        for (text, expected) in [
            ("5", Some(5)),
            ("5.0", Some(5)),
            ("5e0", Some(5)),
            ("5.5", None),
            ("-5", None),
            ("\"5\"", None),
            ("true", None),
            ("null", None),
            ("11", None),
            ("1e300", None),
            ("99999999999999999999", None),
        ] {
            let mut members = Members::parse(format!("{{\"n\":{text}}}").as_bytes()).unwrap();
            let number = members.integer("n", 1..=10).ok().flatten();
            assert_eq!(number, expected, "{text}");
        }
    }

    #[test]
    fn a_member_that_nobody_knows_is_refused_and_the_organization_ignored() {
        let members = Members::parse(b"{\"organizationId\":7,\"organization_id\":\"x\"}").unwrap();
        assert!(members.finish().is_ok());
        let members = Members::parse(b"{\"status\":\"active\"}").unwrap();
        assert_eq!(members.finish().unwrap_err().field(), Some("status"));
    }
}
