//! Which agents: filters as people write them, for the command line and the screens alike.
//!
//! `owner=billing,ops status!=revoked` are terms apart by spaces, each a key, `=` or `!=`, and values
//! apart by commas.

use agentidp_proto::convert::timestamp;
use agentidp_proto::v1::{AgentFilter, Words};
use agentidp_shared::Timestamp;

use crate::duration;
use crate::text::inert;

/// The keys that a filter may have, as people write them.
pub(crate) const KEYS: &[&str] = &[
    "org",
    "owner",
    "status",
    "type",
    "env",
    "capability",
    "email",
    "expires-within",
    "text",
];

/// The key that stands for a field of the wire.
pub(crate) fn key_of(field: &str) -> &str {
    match field {
        "agent_type" => "type",
        "deployment_env" => "env",
        "scope" => "capability",
        "organization" => "org",
        "email_prefix" => "email",
        "expires_before" => "expires-within",
        field => field,
    }
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Term {
    /// One of [`KEYS`].
    pub(crate) key: String,
    /// The values, apart by commas.
    pub(crate) value: String,
    /// Whether it must be none of them.
    pub(crate) is_not: bool,
}

impl Term {
    /// Reads `key=value` or `key!=value`; none for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (key, value) = text.split_once('=')?;
        let (key, is_not) = match key.strip_suffix('!') {
            Some(key) => (key, true),
            None => (key, false),
        };
        Some(Self {
            key: key.to_owned(),
            value: value.to_owned(),
            is_not,
        })
    }
}

/// Reads a whole filter, of which nothing may be empty.
pub(crate) fn parse(text: &str, now: Timestamp) -> Result<AgentFilter, String> {
    let mut filter = AgentFilter::default();
    for part in text.split_whitespace() {
        let term = Term::parse(part)
            .ok_or_else(|| format!("{} is not key=value or key!=value", inert(part)))?;
        add(&mut filter, &term, now)?;
    }
    if filter == AgentFilter::default() {
        return Err("the filter is empty".to_owned());
    }
    Ok(filter)
}

/// Adds a term to a filter. A key stands once.
pub(crate) fn add(filter: &mut AgentFilter, term: &Term, now: Timestamp) -> Result<(), String> {
    let key = term.key.as_str();
    if term.value.is_empty() {
        return Err(format!("{key} has no value"));
    }
    let words = || Words {
        words: term.value.split(',').map(str::to_owned).collect(),
        is_not: term.is_not,
    };
    let several = match key {
        "owner" => Some(&mut filter.owner),
        "status" => Some(&mut filter.status),
        "type" => Some(&mut filter.agent_type),
        "env" => Some(&mut filter.deployment_env),
        _ => None,
    };
    if let Some(field) = several {
        return set(field, words(), key);
    }
    if !KEYS.contains(&key) {
        let keys = KEYS.join(", ");
        return Err(format!("there is no key {}: use one of {keys}", inert(key)));
    }
    if term.is_not {
        return Err(format!("{key} can only be asked for with ="));
    }
    if key == "expires-within" {
        let within = duration::parse(&term.value).map_err(|rule| format!("{key} {rule}"))?;
        return set(&mut filter.expires_before, timestamp(now.plus(within)), key);
    }
    let field = match key {
        "org" => &mut filter.organization,
        "capability" => &mut filter.capability,
        "email" => &mut filter.email_prefix,
        _ => &mut filter.text,
    };
    if !field.is_empty() {
        return Err(twice(key));
    }
    field.clone_from(&term.value);
    Ok(())
}

fn set<T>(field: &mut Option<T>, value: T, key: &str) -> Result<(), String> {
    if field.is_some() {
        return Err(twice(key));
    }
    *field = Some(value);
    Ok(())
}

fn twice(key: &str) -> String {
    format!("{key} stands twice: several values are apart by commas")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_millis(1_000)
    }

    #[test]
    fn a_filter_is_read_as_it_is_written() {
        let filter = parse(
            "owner=billing,ops status!=revoked org=acme email=scr expires-within=1h text=eu",
            now(),
        );
        let words = |words: &[&str], is_not| {
            let words = words.iter().map(ToString::to_string).collect();
            Some(Words { words, is_not })
        };
        assert_eq!(
            filter.unwrap(),
            AgentFilter {
                organization: "acme".to_owned(),
                owner: words(&["billing", "ops"], false),
                status: words(&["revoked"], true),
                email_prefix: "scr".to_owned(),
                expires_before: Some(timestamp(Timestamp::from_millis(3_601_000))),
                text: "eu".to_owned(),
                ..AgentFilter::default()
            }
        );
    }

    #[test]
    fn what_it_cannot_mean_is_refused() {
        for (text, part) in [
            ("", "empty"),
            ("  ", "empty"),
            ("billing", "key=value"),
            ("colour=red", "no key"),
            ("owner=", "no value"),
            ("owner=a owner=b", "twice"),
            ("org=a org=b", "twice"),
            ("org!=a", "="),
            ("expires-within=soon", "duration"),
        ] {
            let error = parse(text, now()).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
