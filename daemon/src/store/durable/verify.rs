//! The one look at everything in the index when it is opened: whether it still holds what it held
//! when it was marked, and the directory that is made on the way.

use std::thread::ScopedJoinHandle;

use agentidp_shared::Timestamp;
use parking_lot::Mutex;
use sled::IVec;

use super::database::{failed, gave_up};
use super::directory::Directory;
use super::glance::Glance;
use super::index::{Index, Marking};
use super::memory::{ASKED_AGAIN, ask_again};
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

/// From which end a walk goes.
#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

type Pair = (IVec, IVec);

/// How many records a walk takes at a time.
const TAKEN: usize = 256;

/// How far two have come who walk towards each other. Where half of the records is, no key tells.
#[derive(Default)]
struct Meeting {
    front: Option<IVec>,
    back: Option<IVec>,
}

impl Meeting {
    /// Leaves of `pairs`, which are the next from `end`, those that the other has not taken, and takes them.
    fn take(&mut self, end: End, pairs: &mut Vec<Pair>) {
        let (mine, others) = match end {
            End::Front => (&mut self.front, &self.back),
            End::Back => (&mut self.back, &self.front),
        };
        if let Some(others) = others {
            pairs.truncate(pairs.partition_point(|(key, _)| match end {
                End::Front => key < others,
                End::Back => key > others,
            }));
        }
        if let Some((key, _)) = pairs.last() {
            *mine = Some(key.clone());
        }
    }
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
        let meeting = Mutex::new(Meeting::default());
        let walk = |end| self.walk(end, &meeting, mark, &table);
        // With a million agents each of these takes its second, and they need not wait for each
        // other.
        let (some, others, beside) = std::thread::scope(|scope| {
            let some = scope.spawn(|| walk(End::Front));
            let others = scope.spawn(|| walk(End::Back));
            let beside = scope.spawn(|| {
                let auths = self.last_auths()?;
                let kept = self.kept.load(mark)?;
                Ok((self.trees().names.len(), auths, kept))
            });
            (joined(some), joined(others), joined(beside))
        });
        let walk = some?.and(others?);
        self.trees().let_go()?;
        let (names, auths, kept) = beside?;
        // A record is put before its name; the one that a crash came between is put again.
        let is_found = names + 1 >= walk.organizations;
        let is_marked =
            mark.generation == self.trees().generation && mark.is_of(walk.sums.then, kept.then);
        *self.tally.lock() = Tally {
            records: walk.sums.now,
            kept: kept.now,
            entries: mark.entries,
            begun: mark.entries,
            marked: mark.entries,
            bytes: mark.bytes,
        };
        if !is_marked || !is_found {
            return Ok(None);
        }
        *self.marking.lock() = Marking::on_disk(mark.clone());
        let mut table = table.into_inner();
        table.complete(walk.credentials, auths);
        Ok(Some(table.into()))
    }

    fn walk(
        &self,
        end: End,
        meeting: &Mutex<Meeting>,
        mark: &Mark,
        table: &Mutex<Table>,
    ) -> Read<Walk> {
        let mut walk = Walk::default();
        let trees = self.trees();
        let mut records = trees.records.iter();
        let next = std::iter::from_fn(|| match end {
            End::Front => records.next(),
            End::Back => records.next_back(),
        });
        let mut next = next.map(|pair| pair.map_err(failed));
        loop {
            let mut pairs = next.by_ref().take(TAKEN).collect::<Read<Vec<_>>>()?;
            meeting.lock().take(end, &mut pairs);
            for (key, value) in &pairs {
                self.look_at(key, value, mark, table, &mut walk)?;
            }
            let some = pairs.iter().step_by(ASKED_AGAIN);
            some.into_iter()
                .try_for_each(|(key, value)| ask_again(&trees.records, key, value.len()))?;
            if pairs.len() < TAKEN {
                return Ok(walk);
            }
        }
    }

    /// Adds a record to what a walk gives.
    fn look_at(
        &self,
        key: &[u8],
        value: &[u8],
        mark: &Mark,
        table: &Mutex<Table>,
        walk: &mut Walk,
    ) -> Read<()> {
        let (header, inline) = Header::read(value)?;
        walk.sums.add(key, &header.past, mark.entries);
        let kind = key.first().copied().unwrap_or_default();
        walk.organizations += usize::from(kind == ORGANIZATION);
        if kind != AGENT && kind != CREDENTIAL {
            return Ok(());
        }
        let parts;
        let stored = if inline.is_empty() {
            parts = self.stored(key, value)?.1;
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
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_who_walk_towards_each_other_take_all_and_nothing_twice() {
        let keys: Vec<Pair> = (0..10_u8)
            .map(|n| (IVec::from(&[n]), IVec::default()))
            .collect();
        for of_front in 0..=keys.len() {
            let mut meeting = Meeting::default();
            let (front, _) = keys.split_at(of_front);
            let mut front = front.to_vec();
            let mut back: Vec<_> = keys.iter().rev().cloned().collect();
            meeting.take(End::Front, &mut front);
            meeting.take(End::Back, &mut back);
            let mut rest = keys.clone();
            meeting.take(End::Front, &mut rest);
            let beyond: Vec<_> = keys
                .get(of_front..)
                .unwrap()
                .iter()
                .rev()
                .cloned()
                .collect();
            assert_eq!((front.len(), back), (of_front, beyond));
            assert!(rest.len() <= of_front, "nothing is left");
        }
    }
}
