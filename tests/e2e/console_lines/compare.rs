//! What an action left behind, without what differs between two that are alike.

use std::collections::BTreeMap;

use agentidp_shared::Timestamp;
use agentidp_tests::Cli;
use serde_json::Value;

use super::text;

/// What there is afterwards, and what the log says of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) records: Vec<Value>,
    /// Oldest first.
    pub(super) entries: Vec<Value>,
}

/// What the log says from entry `from` on, and the agents' records or, without any, the keys.
pub(super) fn picture(cli: &Cli, from: u64, agents: &[String]) -> Picture {
    let mut entries = cli.ndjson(&["audit", "list", "--limit", "50", "-o", "ndjson"]);
    entries.retain(|it| it["seq"].as_u64().is_some_and(|seq| seq >= from));
    // Checkpoints and the like come by themselves.
    entries.retain(|it| it["actor"]["kind"] == "operator");
    entries.sort_by_key(|it| it["seq"].as_u64());
    let mut records = Vec::new();
    for email in agents {
        records.push(cli.json(&["agent", "show", email, "-o", "json"]));
        let mut credentials = cli.ndjson(&["credential", "list", email, "-o", "ndjson"]);
        credentials.sort_by_key(|it| text(it, "created_at"));
        records.extend(credentials);
    }
    if agents.is_empty() {
        let mut keys = cli.ndjson(&["key", "list", "-o", "ndjson"]);
        keys.sort_by_key(|it| text(it, "created_at"));
        records.extend(keys);
    }
    let mut names = Names::default();
    let mut plain = |values: Vec<Value>| -> Vec<Value> {
        let plain = |value| {
            let time = time_of(&value);
            names.plain(value, time)
        };
        values.into_iter().map(plain).collect()
    };
    Picture {
        entries: plain(entries),
        records: plain(records),
    }
}

/// When an entry was made, or a record.
fn time_of(value: &Value) -> Option<Timestamp> {
    let time = value.get("time").or_else(|| value.get("created_at"))?;
    time.as_str()?.parse().ok()
}

/// Ids in the order in which they came.
#[derive(Default)]
struct Names(BTreeMap<String, usize>);

impl Names {
    /// A value with its ids counted, times as the hours since its own, and without what tells two that
    /// are alike apart.
    fn plain(&mut self, value: Value, time: Option<Timestamp>) -> Value {
        const OWN: [&str; 5] = ["seq", "time", "request_id", "digest", "created_at"];
        match value {
            Value::Object(fields) => fields
                .into_iter()
                .filter(|(name, _)| !OWN.contains(&name.as_str()))
                .map(|(name, value)| (name, self.plain(value, time)))
                .collect(),
            Value::Array(values) => values
                .into_iter()
                .map(|value| self.plain(value, time))
                .collect(),
            Value::String(text) => Value::String(self.word(text, time)),
            other => other,
        }
    }

    fn word(&mut self, text: String, time: Option<Timestamp>) -> String {
        if let Ok(other) = text.parse::<Timestamp>() {
            const HOUR: i64 = 3_600_000;
            let Some(time) = time else {
                return "at a time".to_owned();
            };
            let between = other.as_millis() - time.as_millis();
            return format!("after {} h", (between + HOUR / 2).div_euclid(HOUR));
        }
        let is_uuid = text.len() == 36 && text.matches('-').count() == 4;
        let is_key_name = text.len() == 43
            && text
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_');
        if !is_uuid && !is_key_name {
            return text;
        }
        let next = self.0.len();
        format!("id {}", self.0.entry(text).or_insert(next))
    }
}
