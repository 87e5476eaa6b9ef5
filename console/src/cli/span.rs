//! Where the entries of a span of time stand in the audit log.
//!
//! Entries are dated in their order, so a place is found by halving: some twenty questions in a log of
//! a million. Only `agentidpd store accept` can put the time back; the log says where, and is looked
//! through in parts between those places.

use agentidp_proto::v1::{AuditEntry, AuditFilter, ListAuditEntriesResponse};
use agentidp_shared::{Action, Timestamp};
use serde::Deserialize;

use crate::client::{Client, MAX_PAGE};
use crate::error::Error;

/// The places `from` up to and without `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Part {
    /// All of the log.
    pub(super) const WHOLE: Self = Self {
        from: 0,
        to: u64::MAX,
    };
}

/// A log that can be asked for its newest entries before a place.
pub(super) trait Pages {
    /// A page of at most `limit` entries, newest first; it may have fewer though there are more.
    async fn page(
        &self,
        limit: u32,
        before: Option<u64>,
        filter: AuditFilter,
    ) -> Result<ListAuditEntriesResponse, Error>;
}

impl Pages for Client {
    async fn page(
        &self,
        limit: u32,
        before: Option<u64>,
        filter: AuditFilter,
    ) -> Result<ListAuditEntriesResponse, Error> {
        self.audit_page(limit, before, filter).await
    }
}

/// Refuses a span that nothing can be in.
pub(super) fn check((since, until): (Option<Timestamp>, Option<Timestamp>)) -> Result<(), Error> {
    match (since, until) {
        (Some(since), Some(until)) if since >= until => Err(Error::usage(
            format!("--since {since} is not before --until {until}: nothing is between them"),
            "exchange them: what was earlier is longer ago",
        )),
        _ => Ok(()),
    }
}

/// The parts of the log with the entries from `since` on and before `until`, the newest part first.
pub(super) async fn parts(
    log: &impl Pages,
    (since, until): (Option<Timestamp>, Option<Timestamp>),
) -> Result<Vec<Part>, Error> {
    let Some(newest) = newest_before(log, None).await? else {
        return Ok(Vec::new());
    };
    let mut to = newest.seq.saturating_add(1);
    let mut parts = Vec::new();
    for from in breaks(log).await?.into_iter().chain([0]) {
        let whole = Part { from, to };
        let part = Part {
            from: match since {
                Some(since) => place(log, whole, since).await?,
                None => from,
            },
            to: match until {
                Some(until) => place(log, whole, until).await?,
                None => to,
            },
        };
        if part.from < part.to {
            parts.push(part);
        }
        to = from;
    }
    Ok(parts)
}

/// The page of the entries in `parts` before `before`, and where the next begins.
pub(super) async fn page(
    log: &impl Pages,
    parts: &[Part],
    (limit, before): (u32, Option<u64>),
    filter: AuditFilter,
) -> Result<ListAuditEntriesResponse, Error> {
    let before = before.unwrap_or(u64::MAX);
    let mut later = parts.iter().filter(|part| part.from < before);
    let Some(part) = later.next() else {
        return Ok(ListAuditEntriesResponse::default());
    };
    let mut answer = log.page(limit, Some(before.min(part.to)), filter).await?;
    answer.entries.retain(|entry| entry.seq >= part.from);
    answer.next_before = answer
        .next_before
        .filter(|next| *next > part.from)
        .or_else(|| later.next().map(|part| part.to));
    Ok(answer)
}

/// The first place in `part` with an entry of `time` or later; its end when there is none.
async fn place(log: &impl Pages, part: Part, time: Timestamp) -> Result<u64, Error> {
    // All before `low` are earlier, and all from `high` on are not.
    let Part {
        from: mut low,
        to: mut high,
    } = part;
    while low < high {
        let middle = low + (high - low) / 2;
        // Pruned entries, and those that this operator does not see, have no time that is known here.
        let found = newest_before(log, Some(middle.saturating_add(1))).await?;
        match found.filter(|entry| entry.seq >= low) {
            Some(entry) if dated(&entry)? >= time => high = entry.seq,
            _ => low = middle.saturating_add(1),
        }
    }
    Ok(low)
}

/// Where the time may have been put back, the last place first.
async fn breaks(log: &impl Pages) -> Result<Vec<u64>, Error> {
    let filter = AuditFilter {
        action: Action::StoreAccept.to_string(),
        ..AuditFilter::default()
    };
    let (mut places, mut before) = (Vec::new(), None);
    loop {
        let page = log.page(MAX_PAGE, before, filter.clone()).await?;
        places.extend(page.entries.iter().map(|entry| entry.seq));
        before = page.next_before;
        if before.is_none() {
            return Ok(places);
        }
    }
}

async fn newest_before(
    log: &impl Pages,
    mut before: Option<u64>,
) -> Result<Option<AuditEntry>, Error> {
    loop {
        let page = log.page(1, before, AuditFilter::default()).await?;
        if let Some(entry) = page.entries.into_iter().next() {
            return Ok(Some(entry));
        }
        before = page.next_before;
        if before.is_none() {
            return Ok(None);
        }
    }
}

/// When an entry was made; also one of a later version has that.
fn dated(entry: &AuditEntry) -> Result<Timestamp, Error> {
    #[derive(Deserialize)]
    struct Dated {
        time: Timestamp,
    }
    serde_json::from_slice::<Dated>(&entry.json)
        .map(|it| it.time)
        .map_err(|_error| {
            let rule = "must have a time in RFC 3339";
            Error::Answer(agentidp_shared::FieldError::new("entry", rule))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_that_ends_before_it_begins_is_refused() {
        let at = |seconds: i64| Some(Timestamp::from_millis(seconds * 1_000));
        for (span, is_one) in [
            ((at(1), at(2)), true),
            ((at(2), at(1)), false),
            ((at(1), at(1)), false),
            ((None, at(1)), true),
            ((at(1), None), true),
        ] {
            assert_eq!(check(span).is_ok(), is_one, "{span:?}");
        }
        assert_eq!(check((at(2), at(1))).unwrap_err().exit_code(), 2);
    }

    /// The entries that there are: the place, the second, and whether it is a `store.accept`.
    struct Log(Vec<(u64, i64, bool)>);

    impl Pages for Log {
        async fn page(
            &self,
            limit: u32,
            before: Option<u64>,
            filter: AuditFilter,
        ) -> Result<ListAuditEntriesResponse, Error> {
            let before = before.unwrap_or(u64::MAX);
            let is_wanted = |it: &&(u64, i64, bool)| filter.action.is_empty() || it.2;
            let older = self.0.iter().rev().filter(|it| it.0 < before);
            let entries: Vec<_> = older
                .filter(is_wanted)
                .take(usize::try_from(limit).unwrap())
                .map(|(seq, second, _)| {
                    let time = Timestamp::from_millis(second * 1_000);
                    AuditEntry {
                        seq: *seq,
                        json: format!("{{\"time\":\"{time}\"}}").into_bytes(),
                    }
                })
                .collect();
            let next_before = entries.last().map(|it| it.seq).filter(|seq| *seq > 0);
            Ok(ListAuditEntriesResponse {
                entries,
                next_before,
            })
        }
    }

    async fn found(log: &Log, since: Option<i64>, until: Option<i64>) -> Vec<u64> {
        let moment = |second: i64| Timestamp::from_millis(second * 1_000);
        let span = (since.map(moment), until.map(moment));
        let parts = parts(log, span).await.unwrap();
        let (mut seqs, mut before) = (Vec::new(), None);
        loop {
            let filter = AuditFilter::default();
            let page = page(log, &parts, (2, before), filter).await.unwrap();
            seqs.extend(page.entries.iter().map(|it| it.seq));
            before = page.next_before;
            if before.is_none() {
                return seqs;
            }
        }
    }

    #[tokio::test]
    async fn a_span_has_all_its_entries_and_no_other() {
        // Some are pruned, and some were made in the same second.
        let log = Log((0..50)
            .filter(|seq| ![0, 1, 7, 8, 9, 30].contains(seq))
            .map(|seq: u64| (seq, i64::try_from(seq / 3 * 10).unwrap(), false))
            .collect());
        for since in [
            None,
            Some(-5),
            Some(0),
            Some(15),
            Some(20),
            Some(165),
            Some(900),
        ] {
            for until in [None, Some(-1), Some(10), Some(25), Some(160), Some(999)] {
                let expected: Vec<_> = log
                    .0
                    .iter()
                    .rev()
                    .filter(|it| since.is_none_or(|since| it.1 >= since))
                    .filter(|it| until.is_none_or(|until| it.1 < until))
                    .map(|it| it.0)
                    .collect();
                assert_eq!(
                    found(&log, since, until).await,
                    expected,
                    "{since:?} {until:?}"
                );
            }
        }
        assert!(found(&Log(Vec::new()), Some(1), None).await.is_empty());
    }

    #[tokio::test]
    async fn entries_of_before_the_time_was_put_back_are_found_too() {
        let log = Log(vec![
            (0, 100, false),
            (1, 200, false),
            (2, 300, false),
            (3, 50, true),
            (4, 150, false),
            (5, 250, false),
        ]);
        assert_eq!(found(&log, Some(150), Some(260)).await, [5, 4, 1]);
        assert_eq!(found(&log, Some(260), None).await, [2]);
    }
}
