//! The one look at everything in the index when it is opened: whether it still holds what it held
//! when it was marked, and the directory that is made on the way.

use std::ops::RangeBounds;
use std::thread::ScopedJoinHandle;

use agentidp_shared::Timestamp;

use super::directory::Directory;
use super::glance::Glance;
use super::index::{Index, failed};
use super::places::{AGENT, CREDENTIAL, ORGANIZATION};
use super::records::{Header, glance};
use super::table::{Held, NEVER, Table};
use super::tally::{Mark, NowAndThen, Tally};
use crate::store::ReadError;

type Read<T> = Result<T, ReadError>;

/// What a walk over some of the records gave.
#[derive(Default)]
struct Walk {
    sums: NowAndThen,
    organizations: usize,
    table: Table,
    held: Vec<Held>,
}

fn gave_up<T>(_panic: T) -> ReadError {
    ReadError("the index is damaged: sled gave up on it".to_owned())
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
        // With a million agents each of the three takes its second, and they need not wait for each
        // other.
        let (agents, rest, others) = std::thread::scope(|scope| {
            let agents = scope.spawn(|| self.walk(..[AGENT + 1], mark));
            let rest = scope.spawn(|| self.walk([AGENT + 1].., mark));
            let others = scope.spawn(|| {
                let auths = self.last_auths()?;
                let kept = self.kept.load(mark)?;
                Ok((self.names.len(), auths, kept))
            });
            (joined(agents), joined(rest), joined(others))
        });
        let (mut walk, rest, (names, auths, kept)) = (agents?, rest?, others?);
        walk.sums.add_all(rest.sums);
        // A record is put before its name; the one that a crash came between is put again.
        let is_found = names + 1 >= rest.organizations;
        let is_marked = mark.generation == self.generation && mark.is_of(walk.sums.then, kept.then);
        *self.tally.lock() = Tally {
            records: walk.sums.now,
            kept: kept.now,
            entries: mark.entries,
            marked: mark.entries,
        };
        if !is_marked || !is_found {
            return Ok(None);
        }
        walk.table.complete(rest.held, auths);
        Ok(Some(walk.table.into()))
    }

    fn walk<const N: usize>(&self, range: impl RangeBounds<[u8; N]>, mark: &Mark) -> Read<Walk> {
        let mut walk = Walk::default();
        for pair in self.records.range(range) {
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
                Glance::Agent(it) => walk.table.load(&it.facts()),
                Glance::Credential(it) => {
                    let expires = it.expiry().map_or(NEVER, Timestamp::as_millis);
                    walk.held.push((it.id, it.agent_id, expires));
                }
            }
        }
        Ok(walk)
    }
}
