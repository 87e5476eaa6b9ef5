//! The one look at everything in the index when it is opened: whether it still holds what it held
//! when it was marked, and the directory that is made on the way.

use std::ops::RangeBounds;
use std::thread::ScopedJoinHandle;

use agentidp_shared::Timestamp;
use parking_lot::Mutex;

use super::database::{failed, gave_up};
use super::directory::Directory;
use super::glance::Glance;
use super::index::Index;
use super::places::{AGENT, CREDENTIAL, ORGANIZATION};
use super::records::{Header, glance};
use super::table::{LoadedCredential, NEVER, Table};
use super::tally::{Mark, NowAndThen, Tally};
use crate::store::ReadError;

type Read<T> = Result<T, ReadError>;

/// What a walk over some of the records gave.
#[derive(Default)]
struct Walk {
    sums: NowAndThen,
    organizations: usize,
    credentials: Vec<LoadedCredential>,
}

impl Walk {
    /// What both walks gave.
    fn and(mut self, other: Self) -> Self {
        self.sums.add_all(other.sums);
        self.organizations += other.organizations;
        self.credentials.extend(other.credentials);
        self
    }
}

/// A key half-way between two of the same length, as numbers.
fn between(first: &[u8], last: &[u8]) -> Vec<u8> {
    let mut sum: Vec<u16> = Vec::with_capacity(first.len() + 1);
    let mut carry = 0;
    for (one, other) in first.iter().zip(last).rev() {
        let digit = u16::from(*one) + u16::from(*other) + carry;
        sum.push(digit % 256);
        carry = digit / 256;
    }
    let mut rest = carry;
    let halved = sum.into_iter().rev().map(|digit| {
        let digit = rest * 256 + digit;
        rest = digit % 2;
        u8::try_from(digit / 2).unwrap_or(u8::MAX)
    });
    halved.collect()
}

fn joined<T>(thread: ScopedJoinHandle<'_, Read<T>>) -> Read<T> {
    thread.join().map_err(gave_up)?
}

impl Index {
    /// The directory, if this database is the one that `mark` belongs to, and still holds what it
    /// held then. What was changed since counts by what it was.
    ///
    /// # Errors
    ///
    /// When it cannot be told, or sled panics.
    pub(super) fn verify(&self, mark: &Mark) -> Read<Option<Directory>> {
        let table = Mutex::new(Table::default());
        let (end, middle) = (vec![AGENT + 1], self.middle()?);
        // With a million agents each of these takes its second, and they need not wait for each
        // other.
        let (some, others, rest, beside) = std::thread::scope(|scope| {
            let some = scope.spawn(|| self.walk(..middle.clone(), mark, &table));
            let others = scope.spawn(|| self.walk(middle.clone()..end.clone(), mark, &table));
            let rest = scope.spawn(|| self.walk(end.clone().., mark, &table));
            let beside = scope.spawn(|| {
                let auths = self.last_auths()?;
                let kept = self.kept.load(mark)?;
                Ok((self.trees().names.len(), auths, kept))
            });
            (joined(some), joined(others), joined(rest), joined(beside))
        });
        let walk = rest?.and(some?).and(others?);
        let (names, auths, kept) = beside?;
        // A record is put before its name; the one that a crash came between is put again.
        let is_found = names + 1 >= walk.organizations;
        let is_marked =
            mark.generation == self.trees().generation && mark.is_of(walk.sums.then, kept.then);
        *self.tally.lock() = Tally {
            records: walk.sums.now,
            kept: kept.now,
            entries: mark.entries,
            marked: mark.entries,
            bytes: mark.bytes,
        };
        if !is_marked || !is_found {
            return Ok(None);
        }
        let mut table = table.into_inner();
        table.complete(walk.credentials, auths);
        Ok(Some(table.into()))
    }

    /// A key that some of the agents stand before and some do not, so that two can share the work.
    fn middle(&self) -> Read<Vec<u8>> {
        let end = [AGENT + 1];
        let mut agents = self.trees().records.range([AGENT]..end).keys();
        match (agents.next(), agents.next_back()) {
            (Some(first), Some(last)) => {
                Ok(between(&first.map_err(failed)?, &last.map_err(failed)?))
            }
            _ => Ok(end.to_vec()),
        }
    }

    fn walk(
        &self,
        range: impl RangeBounds<Vec<u8>>,
        mark: &Mark,
        table: &Mutex<Table>,
    ) -> Read<Walk> {
        let mut walk = Walk::default();
        for pair in self.trees().records.range(range) {
            let (key, value) = pair.map_err(failed)?;
            let (header, inline) = Header::read(&value)?;
            walk.sums
                .add(&key, header.seq, header.settled, mark.entries);
            let kind = key.first().copied().unwrap_or_default();
            walk.organizations += usize::from(kind == ORGANIZATION);
            if kind != AGENT && kind != CREDENTIAL {
                continue;
            }
            let parts;
            let stored = if inline.is_empty() {
                parts = self.stored(&key, &value)?.1;
                &parts
            } else {
                inline
            };
            match glance(stored)? {
                Glance::Organization(_) => {}
                Glance::Agent(it) => table.lock().load(&it.facts()),
                Glance::Credential(it) => {
                    let expires = it.expiry().map_or(NEVER, Timestamp::as_millis);
                    walk.credentials.push((it.id, it.agent_id, expires));
                }
            }
        }
        Ok(walk)
    }
}

#[cfg(test)]
mod tests {
    use super::between;

    #[test]
    fn what_is_between_two_keys_is_not_before_the_first_and_not_after_the_last() {
        assert_eq!(between(b"a\x00\x00", b"a\x00\x10"), b"a\x00\x08");
        assert_eq!(between(b"a\x01\xff", b"a\xff\xff"), b"a\x80\xff");
        assert_eq!(between(b"a\xff", b"a\xff"), b"a\xff");
    }
}
