//! The records in the index: how they are put, found and listed.

use agentidp_shared::{OrganizationId, OrganizationName, Timestamp};
use sled::{Batch, IVec};

use super::database::{damaged, failed};
use super::glance::Glance;
use super::index::Index;
use super::memory::{ASKED_AGAIN, ask_again, ask_for_page};
use super::places::{self, Home};
use super::tally::{Past, Tally};
use crate::store::{ReadError, Record, Stored, Temporary, form};

/// The largest value that is put in one piece. sled writes sixteen neighbours as one, and what
/// passes 128 KiB goes to files that it never syncs.
pub(super) const MAX_VALUE: usize = 6 * 1_024;
/// The least that stands before a record: its [`Past`], and the length of its stored form. A record that is
/// too large for one value has only this; the rest is in parts.
pub(super) const HEADER: usize = Past::LEAST + 4;

type Read<T> = Result<T, ReadError>;

/// The header of a record's value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    /// The entry of the last change, and those before it.
    pub(super) past: Past,
    length: usize,
}

impl Header {
    /// Reads the header of a value; gives what follows it too.
    pub(super) fn read(value: &[u8]) -> Read<(Self, &[u8])> {
        let (past, rest) = Past::read(value).ok_or_else(damaged)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let length = u32::from_be_bytes(*length) as usize;
        Ok((Self { past, length }, rest))
    }

    /// Writes the header of a stored form of `length` bytes.
    pub(super) fn write(past: Past, length: usize, value: &mut Vec<u8>) {
        past.write(value);
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        value.extend_from_slice(&length.to_be_bytes());
    }
}

/// The front of a stored record that is found by a name or belongs to an agent.
pub(super) fn glance(stored: &[u8]) -> Read<Glance<'_>> {
    form::decode_front(stored).map_err(|_error| damaged())
}

impl Index {
    /// Applies what came with entry `seq`: a record in its stored form, and what is kept for a time.
    /// Gives whether the record is a new one.
    pub(super) fn apply(
        &self,
        change: Option<(&Record, &[u8])>,
        kept: &[Temporary],
        seq: u64,
    ) -> Read<bool> {
        // A mark has all that came with an entry, or nothing of it.
        let mut tally = self.tally.lock();
        for temporary in kept {
            self.kept.put(&mut tally, temporary, seq)?;
        }
        let is_new = match change {
            Some((record, stored)) => self.put(&mut tally, record, stored, seq)?,
            None => false,
        };
        tally.entries = tally.entries.max(seq + 1);
        Ok(is_new)
    }

    fn put(&self, tally: &mut Tally, record: &Record, stored: &[u8], seq: u64) -> Read<bool> {
        let key = places::key_of(record);
        let before = self.trees().records.get(&key).map_err(failed)?;
        let (mut past, mut length_before) = (Past::new(seq), 0);
        if let Some(before) = &before {
            let header = Header::read(before)?.0;
            if header.past.seq > seq {
                // Read again, as by a start: as an earlier entry left it, it would be what no mark is of.
                return Ok(false);
            }
            length_before = header.length;
            past = header.past.followed_by(seq, tally);
            tally.records.remove(&key, header.past.seq);
            tally.resize(key.len() + HEADER + header.length, 0);
        }
        let mut value = Vec::with_capacity(HEADER + stored.len());
        Header::write(past, stored.len(), &mut value);
        let (parts, parts_before) = (parts_of(stored.len()), parts_of(length_before));
        let (mut needed, mut surplus) = (Batch::default(), Batch::default());
        if parts == 0 {
            value.extend_from_slice(stored);
        } else {
            for (part, chunk) in stored.chunks(MAX_VALUE).enumerate() {
                needed.insert(part_key(&key, part), chunk);
            }
        }
        for part in parts..parts_before {
            surplus.remove(part_key(&key, part));
        }
        let writing = (parts.max(parts_before) > 0).then(|| self.parts_lock.write());
        // sled writes its buffer out twice for a batch, also for an empty one.
        self.database.write(|trees| {
            if parts > 0 {
                trees.parts.apply_batch(needed.clone())?;
            }
            trees.records.insert(&key, value.as_slice())?;
            // Last: as long as the record of before stands there, it needs them.
            if parts < parts_before {
                trees.parts.apply_batch(surplus.clone())?;
            }
            Ok(())
        })?;
        drop(writing);
        tally.records.add(&key, seq);
        tally.resize(0, key.len() + HEADER + stored.len());
        if let Record::Organization(it) = record {
            let name = it.name.as_str().as_bytes();
            self.database.write(|trees| {
                trees.names.insert(name, it.id.as_bytes())?;
                Ok(())
            })?;
        }
        Ok(before.is_none())
    }

    /// The record under `key`.
    pub(super) fn get(&self, key: &[u8]) -> Read<Option<Stored<Record>>> {
        let trees = self.trees();
        let Some(value) = trees.records.get(key).map_err(failed)? else {
            return Ok(None);
        };
        ask_for_page(&trees.records, key, value.len())?;
        self.whole(key, &value).map(Some)
    }

    /// The record of which `found` stands under its key.
    fn whole(&self, key: &[u8], found: &[u8]) -> Read<Stored<Record>> {
        let (header, stored) = self.stored(key, found)?;
        let record = form::decode(&stored).map_err(|_error| damaged())?;
        Ok(Stored {
            record,
            audit_seq: header.past.seq,
        })
    }

    /// The stored form of a record of which `found` stands under its key.
    pub(super) fn stored(&self, key: &[u8], found: &[u8]) -> Read<(Header, Vec<u8>)> {
        let (header, inline) = Header::read(found)?;
        if header.length == inline.len() {
            return Ok((header, inline.to_vec()));
        }
        let _reading = self.parts_lock.read();
        let trees = self.trees();
        // It may have been replaced since it was found.
        let found = trees
            .records
            .get(key)
            .map_err(failed)?
            .ok_or_else(damaged)?;
        let (header, inline) = Header::read(&found)?;
        let mut stored = inline.to_vec();
        if header.length != inline.len() {
            for part in 0..parts_of(header.length) {
                let part = trees.parts.get(part_key(key, part)).map_err(failed)?;
                stored.extend_from_slice(&part.ok_or_else(damaged)?);
            }
            stored.truncate(header.length);
        }
        Ok((header, stored))
    }

    fn name(&self, name: &str) -> Read<Option<IVec>> {
        self.trees().names.get(name).map_err(failed)
    }

    /// Who has the name.
    pub(super) fn organization_by_name(
        &self,
        name: &OrganizationName,
    ) -> Read<Option<OrganizationId>> {
        let id = self.name(name.as_str())?;
        id.map(|id| id.as_ref().try_into().map_err(|_error| damaged()))
            .transpose()
            .map(|id| id.map(OrganizationId::from_bytes))
    }

    /// At most `limit` organizations, newest first, older than `before`.
    pub(super) fn organizations(
        &self,
        before: Option<OrganizationId>,
        limit: usize,
    ) -> Read<Vec<Stored<Record>>> {
        let end = before.map_or_else(|| vec![places::ORGANIZATION + 1], places::organization);
        self.descending(vec![places::ORGANIZATION], end, limit)
    }

    /// All signing keys.
    pub(super) fn signing_keys(&self) -> Read<Vec<Stored<Record>>> {
        let kind = places::SIGNING_KEY;
        self.descending(vec![kind], vec![kind + 1], usize::MAX)
    }

    /// The credentials of a home, newest first.
    pub(super) fn credentials_of(&self, home: &Home) -> Read<Vec<Stored<Record>>> {
        let trees = self.trees();
        let found = trees.records.scan_prefix(places::credentials(home)).rev();
        found
            .map(|pair| {
                let (key, value) = pair.map_err(failed)?;
                ask_again(&trees.records, &key, value.len())?;
                self.whole(&key, &value)
            })
            .collect()
    }

    /// When the first of the credentials of a home expires.
    pub(super) fn first_expiry(&self, home: &Home) -> Read<Option<Timestamp>> {
        let mut first: Option<Timestamp> = None;
        for pair in self.trees().records.scan_prefix(places::credentials(home)) {
            let (key, value) = pair.map_err(failed)?;
            if let Glance::Credential(it) = glance(&self.stored(&key, &value)?.1)? {
                first = [first, it.expiry()].into_iter().flatten().min();
            }
        }
        Ok(first)
    }

    fn descending(&self, start: Vec<u8>, end: Vec<u8>, limit: usize) -> Read<Vec<Stored<Record>>> {
        let range = self.trees().records.range(start..end).rev().take(limit);
        range
            .map(|pair| {
                let (key, value) = pair.map_err(failed)?;
                self.whole(&key, &value)
            })
            .collect()
    }

    /// Every record in its stored form, with its key and its header: what a check compares.
    pub(super) fn all_records(&self) -> impl Iterator<Item = Read<(Vec<u8>, Header, Vec<u8>)>> {
        let trees = self.trees();
        trees.records.iter().enumerate().map(move |(at, pair)| {
            let (key, value) = pair.map_err(failed)?;
            if at.is_multiple_of(ASKED_AGAIN) {
                ask_again(&trees.records, &key, value.len())?;
            }
            let (header, stored) = self.stored(&key, &value)?;
            Ok((key.to_vec(), header, stored))
        })
    }

    /// The names of organizations, each with the id of who has it.
    pub(super) fn all_names(&self) -> impl Iterator<Item = Read<(Vec<u8>, Vec<u8>)>> + use<> {
        self.trees().names.iter().map(|pair| {
            let (name, id) = pair.map_err(failed)?;
            Ok((name.to_vec(), id.to_vec()))
        })
    }
}

/// In how many parts a record of `length` bytes stands beside its header; 0: in none, but behind it.
const fn parts_of(length: usize) -> usize {
    if length <= MAX_VALUE {
        0
    } else {
        length.div_ceil(MAX_VALUE)
    }
}

pub(super) fn part_key(key: &[u8], part: usize) -> Vec<u8> {
    let mut bytes = key.to_vec();
    bytes.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(&u16::try_from(part).unwrap_or(u16::MAX).to_be_bytes());
    bytes
}
