//! Answering questions for agents: which, and in which order, from the directory; then the records
//! of one page.

use std::cmp::Ordering;

use agentidp_shared::{AgentId, AgentStatus, AgentType, DeploymentEnv, Timestamp};

use super::directory::Directory;
use super::state::State;
use super::table::{Row, Table};
use crate::store::query::has_text;
use crate::store::{
    AgentFilter, AgentOrder, AgentPage, AgentPosition, AgentQuery, PageRoom, ReadError, agent_bytes,
};

/// How many rows are looked at before those who wait to change the directory get their turn.
const CHUNK: usize = 32_768;
/// How many records one page reads when the filter has free text.
const READS: usize = 2_000;

/// Where a row stands in an order, so that places compare as the positions do: a time, or an e-mail,
/// or neither; then the agent. The number in front decides nearly always: it is the time, or how the
/// e-mail or the agent's id begins.
type Place<'a> = (u64, &'a [u8], AgentId);

fn place(order: AgentOrder, number: u32, table: &Table) -> Option<Place<'_>> {
    let id = table.id(number)?;
    Some(match order {
        AgentOrder::Created => (head(id.as_bytes()), &[], id),
        AgentOrder::Email => {
            let email = table.email(number);
            (head(email), email, id)
        }
        AgentOrder::LastAuth => (table.last_auth(number).cast_unsigned(), &[], id),
        AgentOrder::Expires => (table.expires(number).cast_unsigned(), &[], id),
    })
}

/// The place of a position, which may be any bytes.
fn place_of(order: AgentOrder, position: &AgentPosition) -> Place<'_> {
    let value = position.value.as_slice();
    match order {
        AgentOrder::Created => (head(position.id.as_bytes()), value, position.id),
        AgentOrder::Email => (head(value), value, position.id),
        AgentOrder::LastAuth | AgentOrder::Expires => {
            let (_, rest) = value.split_at(value.len().min(8));
            (head(value), rest, position.id)
        }
    }
}

/// The first eight bytes, as a number that compares as they do.
fn head(bytes: &[u8]) -> u64 {
    let head = bytes.first_chunk().copied().unwrap_or_else(|| {
        let mut head = [0; 8];
        let slots = head.iter_mut().zip(bytes);
        slots.for_each(|(slot, byte)| *slot = *byte);
        head
    });
    u64::from_be_bytes(head)
}

/// A place that outlives the look at the table.
#[derive(Debug)]
struct Found {
    head: u64,
    email: Box<[u8]>,
    id: AgentId,
}

impl Found {
    fn place(&self) -> Place<'_> {
        (self.head, &self.email, self.id)
    }

    fn into_position(self, order: AgentOrder) -> AgentPosition {
        let value = match order {
            AgentOrder::Created => Vec::new(),
            AgentOrder::Email => self.email.into_vec(),
            AgentOrder::LastAuth | AgentOrder::Expires => self.head.to_be_bytes().to_vec(),
        };
        AgentPosition { value, id: self.id }
    }
}

/// The first few of many, without order until they are taken out: cutting twice as many down from
/// time to time costs a few comparisons each, in whatever order they come.
struct First {
    wanted: usize,
    is_descending: bool,
    found: Vec<Found>,
    /// Whether the last of `found` that is wanted is known to be the last of them in order.
    is_cut: bool,
}

impl First {
    /// Whether a place is known not to be among the first.
    fn is_out(&self, place: Place<'_>) -> bool {
        let is_worse = |last: &Found| !is_before(self.is_descending, place, last.place());
        let last = self.wanted.checked_sub(1);
        let last = last.and_then(|at| self.found.get(at));
        self.wanted == 0 || (self.is_cut && last.is_some_and(is_worse))
    }

    /// Takes a place that is not known to be [out](Self::is_out).
    fn take(&mut self, place: Place<'_>) {
        let (head, email, id) = place;
        self.found.push(Found {
            head,
            email: email.into(),
            id,
        });
        if self.found.len() >= self.wanted.saturating_mul(2) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.found.len() > self.wanted && self.wanted > 0 {
            let is_descending = self.is_descending;
            self.found
                .select_nth_unstable_by(self.wanted - 1, |one, other| {
                    in_order(is_descending, one.place(), other.place())
                });
            self.found.truncate(self.wanted);
            self.is_cut = true;
        }
    }

    fn in_order(mut self) -> Vec<Found> {
        self.cut();
        self.found.sort_unstable_by(|one, other| {
            in_order(self.is_descending, one.place(), other.place())
        });
        self.found
    }
}

fn in_order(is_descending: bool, one: Place<'_>, other: Place<'_>) -> Ordering {
    let mut order = one.0.cmp(&other.0);
    // Comparing nothing with nothing is slow: an empty slice may point where nothing is, and the C
    // library's comparison then faults and recovers, which takes it a hundred nanoseconds.
    if order.is_eq() && !(one.1.is_empty() && other.1.is_empty()) {
        order = one.1.cmp(other.1);
    }
    if order.is_eq() {
        order = one.2.cmp(&other.2);
    }
    if is_descending {
        order.reverse()
    } else {
        order
    }
}

fn is_before(is_descending: bool, one: Place<'_>, other: Place<'_>) -> bool {
    in_order(is_descending, one, other).is_lt()
}

/// A filter in the numbers that rows have.
struct Matcher<'a> {
    filter: &'a AgentFilter,
    statuses: u32,
    types: u32,
    envs: u32,
    expires_before: Option<i64>,
    email_prefix: Option<EmailPrefix<'a>>,
    organizations: Option<Vec<bool>>,
    owners: Option<Vec<bool>>,
    capabilities: Option<Vec<bool>>,
    /// What the numbers meant when those were made.
    generations: Option<(u64, u64, u64)>,
}

/// One bit for each value that is let through.
fn bits<T: Copy>(all: &[T], bit: impl Fn(T) -> u32, lets: impl Fn(&T) -> bool) -> u32 {
    let let_through = all.iter().filter(|value| lets(value));
    let_through.fold(0, |bits, value| bits | bit(*value))
}

const fn status_bit(status: AgentStatus) -> u32 {
    1 << status as u32
}

const fn type_bit(agent_type: AgentType) -> u32 {
    1 << agent_type as u32
}

const fn env_bit(env: DeploymentEnv) -> u32 {
    1 << env as u32
}

impl<'a> Matcher<'a> {
    fn new(filter: &'a AgentFilter) -> Self {
        let lets_status = |it: &AgentStatus| match &filter.status {
            Some(status) => status.lets(it),
            None => *it != AgentStatus::Archived,
        };
        let types = filter.agent_type.as_ref();
        let lets_type = |it: &AgentType| types.is_none_or(|types| types.lets(it));
        let envs = filter.deployment_env.as_ref();
        let lets_env = |it: &DeploymentEnv| envs.is_none_or(|envs| envs.lets(it));
        Self {
            filter,
            statuses: bits(AgentStatus::ALL, status_bit, lets_status),
            types: bits(AgentType::ALL, type_bit, lets_type),
            envs: bits(DeploymentEnv::ALL, env_bit, lets_env),
            expires_before: filter.expires_before.map(Timestamp::as_millis),
            email_prefix: filter.email_prefix.as_deref().map(EmailPrefix::new),
            organizations: None,
            owners: None,
            capabilities: None,
            generations: None,
        }
    }

    /// Learns what the numbers mean, if that has changed since the last look at the table.
    fn catch_up(&mut self, table: &Table) {
        let generations = (
            table.organizations.generation(),
            table.owners.generation(),
            table.capabilities.generation(),
        );
        if self.generations == Some(generations) {
            return;
        }
        self.generations = Some(generations);
        let organizations = self.filter.organizations.as_ref();
        self.organizations =
            organizations.map(|wanted| table.organizations.wanted(|id| wanted.contains(id)));
        self.owners = self.filter.owner.as_ref().map(|wanted| {
            let is_one = |text: &str| wanted.values.iter().any(|owner| owner.as_str() == text);
            table.owners.wanted(|text| is_one(text) != wanted.is_not)
        });
        self.capabilities = self.filter.capability.as_ref().map(|wanted| {
            let has = |text: &str| text.split(' ').any(|it| it == wanted.as_str());
            table.capabilities.wanted(has)
        });
    }

    /// Puts into `kept` those of `rows` that the filter lets through, but for its free text.
    fn sift(&self, rows: &[u32], table: &Table, kept: &mut Vec<u32>) {
        kept.clear();
        kept.resize(rows.len(), 0);
        let mut count = 0;
        for number in rows {
            // Written whether it is let through or not: which rows are is nothing that the processor
            // could foresee, and a million wrong guesses take longer than all the rest.
            if let Some(slot) = kept.get_mut(count) {
                *slot = *number;
            }
            let is_in = table.row(*number).is_some_and(|row| self.lets_row(row));
            count += usize::from(is_in);
        }
        kept.truncate(count);
        if let Some(time) = self.expires_before {
            kept.retain(|number| table.expires(*number) < time);
        }
        if let Some(prefix) = &self.email_prefix {
            kept.retain(|number| prefix.begins(table.email(*number)));
        }
    }

    /// Whether the filter lets through what a row itself says.
    fn lets_row(&self, row: &Row) -> bool {
        let is_wanted = |wanted: &Option<Vec<bool>>, number: u32| {
            wanted
                .as_ref()
                .is_none_or(|wanted| wanted.get(number as usize).is_some_and(|it| *it))
        };
        // All of them, one as soon as the other: see `sift`.
        (self.statuses & status_bit(row.status) != 0)
            & (self.types & type_bit(row.agent_type) != 0)
            & (self.envs & env_bit(row.deployment_env) != 0)
            & is_wanted(&self.organizations, row.organization)
            & is_wanted(&self.owners, row.owner)
            & is_wanted(&self.capabilities, row.capabilities)
    }
}

/// What an e-mail has to begin with.
struct EmailPrefix<'a> {
    bytes: &'a [u8],
    /// How it begins itself, and which bits of that an e-mail is held to.
    head: u64,
    mask: u64,
}

impl<'a> EmailPrefix<'a> {
    fn new(prefix: &'a str) -> Self {
        let bytes = prefix.as_bytes();
        let unheld = 8 * 8_usize.saturating_sub(bytes.len());
        let mask = u64::MAX.unbounded_shl(u32::try_from(unheld).unwrap_or(u64::BITS));
        Self {
            bytes,
            head: head(bytes),
            mask,
        }
    }

    fn begins(&self, email: &[u8]) -> bool {
        head(email) & self.mask == self.head && email.starts_with(self.bytes)
    }
}

/// What a look through the directory gave.
struct Scan {
    /// The first that were wanted, in order.
    found: Vec<Found>,
    /// How many there are in all.
    total: u64,
    /// How many of them are beyond where the question begins, as far as that is more than `found`.
    beyond: u64,
}

impl Directory {
    /// The first `wanted` agents that a question asks for, free text aside. Each agent is taken as it
    /// is at some moment of the look; those who change the directory are not kept waiting for all
    /// of it.
    fn scan(&self, query: &AgentQuery, wanted: usize) -> Scan {
        let mut matcher = Matcher::new(&query.filter);
        let after = query.after.as_ref();
        let after = after.map(|after| place_of(query.order, after));
        let mut first = First {
            wanted,
            is_descending: query.is_descending,
            found: Vec::new(),
            is_cut: false,
        };
        let (mut total, mut beyond) = (0, 0);
        // Nobody asks how many there are, and the rows are in order already.
        let is_enough = query.filter.text.is_some() && query.order == AgentOrder::Created;
        let mut from = after.filter(|_| is_enough).map(|(.., id)| id);
        let mut kept = Vec::new();
        loop {
            let table = self.read();
            matcher.catch_up(&table);
            let rows = chunk(&table, from, query.is_descending);
            let last = if query.is_descending {
                rows.first()
            } else {
                rows.last()
            };
            let Some(last) = last.and_then(|last| table.id(*last)) else {
                break;
            };
            from = Some(last);
            matcher.sift(rows, &table, &mut kept);
            total += kept.len() as u64;
            let mut look = |number: &u32| {
                let Some(place) = place(query.order, *number, &table) else {
                    return;
                };
                // Of those that are out, it only matters that there are some.
                let is_out = first.is_out(place);
                if is_out && beyond > wanted as u64 {
                    return;
                }
                if after.is_none_or(|after| is_before(query.is_descending, after, place)) {
                    beyond += 1;
                    if !is_out {
                        first.take(place);
                    }
                }
            };
            // In the order that is asked for, because other orders are often much like that of the
            // ids, and then few places have to be taken that are given up again.
            if query.is_descending {
                kept.iter().rev().for_each(&mut look);
            } else {
                kept.iter().for_each(&mut look);
            }
            if is_enough && beyond > wanted as u64 {
                break;
            }
        }
        Scan {
            found: first.in_order(),
            total,
            beyond,
        }
    }
}

/// The next rows to look at, after the one of `from`.
fn chunk(table: &Table, from: Option<AgentId>, is_descending: bool) -> &[u32] {
    let rows = table.order();
    let range = if is_descending {
        let end = from.map_or(rows.len(), |from| table.count_while(|id| *id < from));
        end.saturating_sub(CHUNK)..end
    } else {
        let start = from.map_or(0, |from| table.count_while(|id| *id <= from));
        start..rows.len().min(start + CHUNK)
    };
    rows.get(range).unwrap_or_default()
}

impl State {
    /// A page of agents.
    pub(super) fn agents(&self, query: &AgentQuery) -> Result<AgentPage, ReadError> {
        let text = query.filter.text.as_ref().map(|text| text.to_lowercase());
        let wanted = if text.is_some() { READS } else { query.limit };
        let Scan {
            found,
            total,
            beyond,
        } = self.directory.scan(query, wanted);
        let mut page = AgentPage {
            total: text.is_none().then_some(total),
            ..AgentPage::default()
        };
        let (mut rest, mut room) = (beyond, PageRoom::new(query.limit));
        for found in found {
            if room.is_full() {
                break;
            }
            rest -= 1;
            let agent = self.agent_once(found.id)?;
            let has = |text: &String| agent.as_ref().is_some_and(|it| has_text(&it.record, text));
            if text.as_ref().is_none_or(has) {
                room.take(agent.as_ref().map_or(0, |it| agent_bytes(&it.record)));
                page.agents.extend(agent);
            }
            page.next = (rest > 0).then(|| found.into_position(query.order));
        }
        Ok(page)
    }
}
