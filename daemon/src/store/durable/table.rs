//! The rows of the directory, and what finds them.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use agentidp_shared::{
    AgentId, AgentStatus, AgentType, CredentialId, DeploymentEnv, OrganizationId,
};
use hashbrown::HashTable;

use super::glance::Facts;
use super::intern::Interned;

/// When an agent expires that does not.
pub(super) const NEVER: i64 = i64::MAX;

/// What filters look at of an agent: 16 bytes, because a list looks at those of all agents, and a
/// million of them come from memory no faster than they are small.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// Its organization's number.
    pub(super) organization: u32,
    /// Its owner's number.
    pub(super) owner: u32,
    /// Its capabilities' number.
    pub(super) capabilities: u32,
    email_length: u8,
    /// Where it stands.
    pub(super) status: AgentStatus,
    /// What it does.
    pub(super) agent_type: AgentType,
    /// Where it runs.
    pub(super) deployment_env: DeploymentEnv,
}

/// The organizations that have agents, under numbers, each with how many of its agents have not
/// ended.
#[derive(Debug, Default)]
pub(super) struct Organizations {
    known: Vec<(OrganizationId, u64)>,
    numbers: HashMap<OrganizationId, u32>,
}

impl Organizations {
    fn number(&mut self, id: OrganizationId) -> u32 {
        *self.numbers.entry(id).or_insert_with(|| {
            self.known.push((id, 0));
            u32::try_from(self.known.len() - 1).unwrap_or(u32::MAX)
        })
    }

    fn living(&mut self, number: u32) -> Option<&mut u64> {
        let known = self.known.get_mut(number as usize);
        known.map(|(_, living)| living)
    }

    /// The organization of a number.
    pub(super) fn id(&self, number: u32) -> Option<OrganizationId> {
        self.known.get(number as usize).map(|(id, _)| *id)
    }

    /// How many agents that have not ended an organization has.
    pub(super) fn living_agents(&self, id: OrganizationId) -> u64 {
        let number = self.numbers.get(&id);
        let known = number.and_then(|number| self.known.get(*number as usize));
        known.map_or(0, |(_, living)| *living)
    }

    /// For each number, whether its organization is as `is_wanted` says.
    pub(super) fn wanted(&self, is_wanted: impl Fn(&OrganizationId) -> bool) -> Vec<bool> {
        self.known.iter().map(|(id, _)| is_wanted(id)).collect()
    }

    /// Changes whenever there is one more.
    pub(super) fn generation(&self) -> u64 {
        self.known.len() as u64
    }
}

/// All rows, and what they refer to. Rows stay where they are: they are referred to by number. There
/// may be a million: 56 bytes in the columns, a dozen in what finds them, and the e-mail. What only
/// one order or filter looks at has a column of its own.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Row>,
    /// The agents.
    ids: Vec<AgentId>,
    /// When they last got a token, in milliseconds; 0 for never.
    last_auths: Vec<i64>,
    /// When the first of their credentials expires, in milliseconds; [`NEVER`].
    expiries: Vec<i64>,
    /// Where their e-mails begin.
    email_starts: Vec<u32>,
    /// The rows' numbers by the agents' ids. Agents are registered in nearly that order, so that few
    /// numbers move for a new one.
    order: Vec<u32>,
    /// Their e-mails, one after another.
    emails: Vec<u8>,
    by_email: HashTable<u32>,
    hasher: RandomState,
    /// The credentials by id, each with its agent's row.
    credentials: Vec<(CredentialId, u32)>,
    /// The organizations.
    pub(super) organizations: Organizations,
    /// The owners.
    pub(super) owners: Interned,
    /// The sets of capabilities, each written with a space between them.
    pub(super) capabilities: Interned,
}

/// A credential as the directory is told of it when it is made: which, whose, and when it expires, in
/// milliseconds; [`NEVER`].
pub(super) type LoadedCredential = (CredentialId, AgentId, i64);

fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

impl Table {
    /// The rows' numbers by the agents' ids.
    pub(super) fn order(&self) -> &[u32] {
        &self.order
    }

    /// A row by its number.
    pub(super) fn row(&self, number: u32) -> Option<&Row> {
        self.rows.get(number as usize)
    }

    /// The agent of a row.
    pub(super) fn id(&self, number: u32) -> Option<AgentId> {
        self.ids.get(number as usize).copied()
    }

    /// When the agent of a row last got a token, in milliseconds; 0 for never.
    pub(super) fn last_auth(&self, number: u32) -> i64 {
        self.last_auths.get(number as usize).map_or(0, |it| *it)
    }

    /// When the first credential of a row's agent expires, in milliseconds; [`NEVER`].
    pub(super) fn expires(&self, number: u32) -> i64 {
        self.expiries.get(number as usize).map_or(NEVER, |it| *it)
    }

    /// The e-mail of a row's agent.
    pub(super) fn email(&self, number: u32) -> &[u8] {
        let start = self.email_starts.get(number as usize);
        let row = self.row(number);
        let email = start.zip(row).and_then(|(start, row)| {
            let start = *start as usize;
            self.emails
                .get(start..start + usize::from(row.email_length))
        });
        email.unwrap_or_default()
    }

    /// How many of the agents in order are such that `is_before` says so of their ids: the first ones.
    pub(super) fn count_while(&self, is_before: impl Fn(&AgentId) -> bool) -> usize {
        let is_before = |number: &u32| self.id(*number).is_some_and(|id| is_before(&id));
        self.order.partition_point(is_before)
    }

    /// The number of an agent's row.
    pub(super) fn find(&self, id: AgentId) -> Option<u32> {
        let at = self.count_while(|other| *other < id);
        let found = self.order.get(at).copied()?;
        (self.id(found) == Some(id)).then_some(found)
    }

    /// Notes when an agent got a token, in milliseconds.
    pub(super) fn note_auth(&mut self, id: AgentId, time: i64) {
        let number = self.find(id).map(|number| number as usize);
        if let Some(slot) = number.and_then(|number| self.last_auths.get_mut(number)) {
            *slot = time;
        }
    }

    /// When the first credential of an agent expires, in milliseconds, to be changed.
    pub(super) fn expires_mut(&mut self, id: AgentId) -> Option<&mut i64> {
        let number = self.find(id)?;
        self.expiries.get_mut(number as usize)
    }

    /// The agent that has an e-mail.
    pub(super) fn find_email(&self, email: &str) -> Option<AgentId> {
        let email = email.as_bytes();
        let has = |it: &u32| self.email(*it) == email;
        let found = self.by_email.find(self.hasher.hash_one(email), has)?;
        self.id(*found)
    }

    /// Has row `number` found by its e-mail.
    fn own_email(&mut self, number: u32) {
        // What finds the e-mails is taken out while the e-mails are looked at.
        let mut by_email = std::mem::take(&mut self.by_email);
        let email = self.email(number);
        let entry = by_email.entry(
            self.hasher.hash_one(email),
            |it| self.email(*it) == email,
            |it| self.hasher.hash_one(self.email(*it)),
        );
        *entry.or_insert(number).into_mut() = number;
        self.by_email = by_email;
    }

    /// Writes an e-mail, and tells where it begins and how long it is.
    fn write_email(&mut self, email: &str) -> (u32, u8) {
        let start = number(self.emails.len());
        self.emails.extend_from_slice(email.as_bytes());
        (start, u8::try_from(email.len()).unwrap_or(u8::MAX))
    }

    fn count(&mut self, row: &Row, is_in: bool) {
        if row.status.is_final() {
            return;
        }
        if let Some(living) = self.organizations.living(row.organization) {
            *living = if is_in {
                *living + 1
            } else {
                living.saturating_sub(1)
            };
        }
    }

    /// Makes a row for an agent that has none, which nothing finds yet.
    fn make(&mut self, facts: &Facts<'_>, last_auth: i64) -> u32 {
        let (email_start, email_length) = self.write_email(facts.email);
        let row = Row {
            organization: self.organizations.number(facts.organization),
            owner: self.owners.take(facts.owner),
            capabilities: self.capabilities.take(facts.capabilities),
            email_length,
            status: facts.status,
            agent_type: facts.agent_type,
            deployment_env: facts.deployment_env,
        };
        self.count(&row, true);
        self.rows.push(row);
        self.ids.push(facts.id);
        self.last_auths.push(last_auth);
        self.expiries.push(NEVER);
        self.email_starts.push(email_start);
        number(self.rows.len() - 1)
    }

    /// Adds a row for an agent that has none.
    pub(super) fn add(&mut self, facts: &Facts<'_>, last_auth: i64) {
        let at = self.count_while(|id| *id < facts.id);
        let number = self.make(facts, last_auth);
        self.order.insert(at, number);
        self.own_email(number);
    }

    /// Makes a row say what `facts` say. Its e-mail stays.
    pub(super) fn change(&mut self, number: u32, facts: &Facts<'_>) {
        let Some(mut row) = self.row(number).copied() else {
            return;
        };
        self.count(&row, false);
        let (owner, capabilities) = (row.owner, row.capabilities);
        row.owner = self.owners.take(facts.owner);
        row.capabilities = self.capabilities.take(facts.capabilities);
        self.owners.give_back(owner);
        self.capabilities.give_back(capabilities);
        row.status = facts.status;
        row.agent_type = facts.agent_type;
        row.deployment_env = facts.deployment_env;
        self.count(&row, true);
        if let Some(slot) = self.rows.get_mut(number as usize) {
            *slot = row;
        }
    }

    /// Writes the e-mails anew, in the order of the rows.
    fn put_emails_in_order(&mut self) {
        let mut emails = Vec::with_capacity(self.emails.len());
        for row in 0..self.rows.len() {
            let start = number(emails.len());
            emails.extend_from_slice(self.email(number(row)));
            if let Some(slot) = self.email_starts.get_mut(row) {
                *slot = start;
            }
        }
        self.emails = emails;
    }

    /// Adds a credential to an agent's row; nothing when there is no such agent.
    pub(super) fn add_credential(&mut self, id: CredentialId, agent: AgentId) {
        let Some(row) = self.find(agent) else { return };
        if let Err(at) = self.credentials.binary_search_by_key(&id, |(id, _)| *id) {
            self.credentials.insert(at, (id, row));
        }
    }

    /// The number of the row of the agent that a credential is for.
    pub(super) fn holder_of(&self, id: CredentialId) -> Option<u32> {
        let at = self.credentials.binary_search_by_key(&id, |(id, _)| *id);
        Some(self.credentials.get(at.ok()?)?.1)
    }

    /// Adds an agent's row while the table is made, in any order. The table is of no use until it is
    /// [`completed`](Self::complete).
    pub(super) fn load(&mut self, facts: &Facts<'_>) {
        self.make(facts, 0);
    }

    /// Puts what was loaded in order, and adds the credentials and when agents last got a token.
    pub(super) fn complete(
        &mut self,
        mut loaded: Vec<LoadedCredential>,
        mut auths: Vec<(AgentId, i64)>,
    ) {
        // Those who walk through the agents find them one after the other.
        if !self.ids.is_sorted() {
            self.put_rows_in_order();
        }
        self.order = (0..number(self.rows.len())).collect();
        let mut by_email = HashTable::new();
        let hash = |it: &u32| self.hasher.hash_one(self.email(*it));
        by_email.reserve(self.rows.len(), hash);
        for it in &self.order {
            by_email.insert_unique(hash(it), *it, hash);
        }
        self.by_email = by_email;
        // Both in the order of the rows: looking each up would take longer than all the rest.
        loaded.sort_unstable_by_key(|(_, agent, _)| *agent);
        auths.sort_unstable();
        self.credentials.reserve_exact(loaded.len());
        let (mut loaded, mut auths) = (loaded.into_iter().peekable(), auths.into_iter().peekable());
        let times = self.last_auths.iter_mut().zip(&mut self.expiries);
        for ((row, number), (last_auth, expires)) in self.ids.iter().zip(0_u32..).zip(times) {
            while let Some((id, agent, expiry)) = loaded.next_if(|(_, agent, _)| agent <= row) {
                if agent == *row {
                    *expires = expiry.min(*expires);
                    self.credentials.push((id, number));
                }
            }
            while let Some((agent, time)) = auths.next_if(|(agent, _)| agent <= row) {
                if agent == *row {
                    *last_auth = time;
                }
            }
        }
        self.credentials.sort_unstable();
    }

    /// Moves the rows so that the agents' ids are in order.
    fn put_rows_in_order(&mut self) {
        let mut order: Vec<_> = (0..self.rows.len()).map(number).collect();
        order.sort_unstable_by_key(|row| self.id(*row));
        // Where they are: columns made anew beside the old would be kept as memory for good. What stood
        // at the begin of a circle is passed on until its end.
        for begin in 0..order.len() {
            let mut place = begin;
            while let Some(slot) = order.get_mut(place) {
                let row = std::mem::replace(slot, number(place)) as usize;
                if row == begin {
                    break;
                }
                self.rows.swap(place, row);
                self.ids.swap(place, row);
                self.last_auths.swap(place, row);
                self.expiries.swap(place, row);
                self.email_starts.swap(place, row);
                place = row;
            }
        }
        self.put_emails_in_order();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_order_they_were_loaded_in_each_agent_keeps_what_is_its_own() {
        let mut table = Table::default();
        let id = |n: u8| AgentId::from_bytes([n; 16]);
        let email = |n: u8| format!("{n}{}@x", "a".repeat(usize::from(n)));
        // Circles of several lengths: of one, of two, and of all the rest.
        for n in [0, 2, 1, 9, 3, 7, 5, 4, 8, 6] {
            table.load(&Facts {
                id: id(n),
                organization: OrganizationId::from_bytes([n % 3; 16]),
                email: &email(n),
                owner: "o",
                capabilities: "",
                status: AgentStatus::Active,
                agent_type: AgentType::Router,
                deployment_env: DeploymentEnv::Staging,
            });
        }
        let held = |n: u8| (CredentialId::from_bytes([n; 16]), id(n), i64::from(n));
        table.complete((0..10).rev().map(held).collect(), vec![(id(4), 44)]);
        for n in 0..10 {
            let row = table.find(id(n)).unwrap();
            assert_eq!(row, u32::from(n), "rows are in the order of the ids");
            assert_eq!(table.email(row), email(n).as_bytes());
            assert_eq!(table.find_email(&email(n)), Some(id(n)));
            assert_eq!(table.expires(row), i64::from(n));
            assert_eq!(table.last_auth(row), if n == 4 { 44 } else { 0 });
            let organization = table.row(row).unwrap().organization;
            let organization = table.organizations.id(organization);
            assert_eq!(organization, Some(OrganizationId::from_bytes([n % 3; 16])));
        }
    }
}
