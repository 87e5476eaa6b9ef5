//! The audit log over REST. An entry is written as it is stored: those bytes are what is hashed.

use agentidp_shared::merkle::NodeHash;
use agentidp_shared::{Action, FieldError, Outcome};
use axum::body::Bytes;
use serde::Serialize;

use super::Answer;
use super::error::ApiError;
use super::page::{PageRequest, bad_cursor};
use super::request::Call;
use crate::service::audit::{EntryFilter, StoredEntry};

/// The largest number that an entry can have here: beyond it JSON's numbers are not exact.
pub(in crate::http) const MAX_SEQ: u64 = (1 << 53) - 1;

/// `GET /audit`
pub(super) async fn list(mut call: Call) -> Result<Answer, ApiError> {
    let asked = PageRequest::take(&mut call, "audit")?;
    let filter = EntryFilter {
        action: call.query.take_by("action", str::parse::<Action>)?,
        outcome: call.query.take_by("outcome", str::parse::<Outcome>)?,
        agent: call.query.take_by("agent_id", str::parse)?,
        jti: call.query.take_by("jti", str::parse)?,
        organizations: call.caller.reach.narrowed(None),
    };
    call.query.finish()?;
    let before = match asked.after.as_deref().map(<[u8; 8]>::try_from) {
        Some(Ok(seq)) => Some(u64::from_be_bytes(seq)),
        Some(Err(_)) => return Err(bad_cursor()),
        None => None,
    };
    let service = &call.app.service;
    let page = service.list_entries(before, filter, asked.limit).await?;
    let next = page
        .next_before
        .map(|seq| asked.cursor(&call, &seq.to_be_bytes()));
    Ok(Answer::of_json(document(&page.entries, next.as_deref())))
}

/// `GET /audit/{seq}`
pub(super) async fn show(call: Call) -> Result<Answer, ApiError> {
    call.query.finish()?;
    let seq = call.id::<Seq>("seq")?.0;
    let service = &call.app.service;
    let entry = service.find_entry(&call.caller, seq).await?;
    // There is a checkpoint each second: long enough to hold up the others.
    let signed = call
        .app
        .gate
        .aside(service.checkpoint_with(&call.caller, seq));
    let proved = service.proof_of(entry, signed.await?).await?;
    let proof = serde_json::to_string(&Evidence {
        index: proved.index,
        proof: &proved.proof,
        checkpoint: proved.checkpoint.to_string(),
    });
    let proof = proof.map_err(|error| {
        tracing::error!(%error, "a proof cannot be written");
        ApiError::server_error()
    })?;
    let rest = proof.strip_prefix('{').unwrap_or_default().as_bytes();
    let json = [b"{\"entry\":", proved.entry.as_slice(), b",", rest].concat();
    Ok(Answer::of_json(json.into()))
}

/// What proves an entry, which stands before it as it is stored.
#[derive(Serialize)]
struct Evidence<'a> {
    index: u64,
    proof: &'a [NodeHash],
    checkpoint: String,
}

/// A page of entries, their bytes untouched. How many there are in all is not known without reading
/// them.
fn document(entries: &[StoredEntry], next: Option<&str>) -> Bytes {
    let mut json = b"{\"items\":[".to_vec();
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        json.extend_from_slice(&entry.json);
    }
    json.extend_from_slice(b"],\"next_cursor\":");
    match next {
        // A cursor is base64url: nothing in it needs escaping.
        Some(cursor) => json.extend_from_slice(format!("\"{cursor}\"").as_bytes()),
        None => json.extend_from_slice(b"null"),
    }
    json.extend_from_slice(b",\"total\":null}");
    json.into()
}

/// The number of an entry in a path.
struct Seq(u64);

impl std::str::FromStr for Seq {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let seq = text.parse().ok().filter(|seq| *seq <= MAX_SEQ);
        seq.filter(|seq: &u64| seq.to_string() == text)
            .map(Self)
            .ok_or(FieldError::new("seq", "must be the number of an entry"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_bytes_of_entries_are_not_touched() {
        let entry = |seq, json: &'static str| StoredEntry {
            seq,
            json: Bytes::from_static(json.as_bytes()),
        };
        let entries = [entry(7, "{\"z\":1,\"a\":2}"), entry(3, "{}")];
        let json = document(&entries, Some("abc"));
        assert_eq!(
            json,
            "{\"items\":[{\"z\":1,\"a\":2},{}],\"next_cursor\":\"abc\",\"total\":null}"
        );
        let empty: Value = serde_json::from_slice(&document(&[], None)).unwrap();
        assert_eq!(empty["next_cursor"], Value::Null);
    }

    #[test]
    fn an_entry_has_one_number() {
        for (text, expected) in [
            ("0", true),
            ("12", true),
            ("012", false),
            ("-1", false),
            ("+1", false),
            ("", false),
            ("9007199254740992", false),
        ] {
            assert_eq!(text.parse::<Seq>().is_ok(), expected, "{text}");
        }
    }
}
