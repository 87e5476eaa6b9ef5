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

/// An agent. There may be a million of them: 56 bytes, a dozen in what finds it, and the e-mail.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// The agent.
    pub(super) id: AgentId,
    /// When it last got a token, in milliseconds; 0 for never.
    pub(super) last_auth: i64,
    /// When the first of its credentials expires, in milliseconds; [`NEVER`].
    pub(super) expires: i64,
    /// Where its e-mail begins.
    email: u32,
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

/// All rows, and what they refer to. Rows stay where they are: they are referred to by number.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Row>,
    /// The rows' numbers by the agents' ids. Agents are registered in nearly that order, so that few
    /// numbers move for a new one.
    order: Vec<u32>,
    /// Their e-mails, one after another.
    emails: Vec<u8>,
    /// How many bytes of the e-mails no row has any more.
    waste: usize,
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
pub(super) type Held = (CredentialId, AgentId, i64);

fn bytes_of<'a>(emails: &'a [u8], row: &Row) -> &'a [u8] {
    let start = row.email as usize;
    let end = start + usize::from(row.email_length);
    emails.get(start..end).unwrap_or_default()
}

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

    /// A row's e-mail.
    pub(super) fn email(&self, row: &Row) -> &[u8] {
        bytes_of(&self.emails, row)
    }

    /// How many of the agents in order are such that `is_before` says so of their ids: the first ones.
    pub(super) fn count_while(&self, is_before: impl Fn(&AgentId) -> bool) -> usize {
        let is_before = |number: &u32| self.row(*number).is_some_and(|row| is_before(&row.id));
        self.order.partition_point(is_before)
    }

    /// The number of an agent's row.
    pub(super) fn find(&self, id: AgentId) -> Option<u32> {
        let at = self.count_while(|other| *other < id);
        let found = self.order.get(at).copied()?;
        self.row(found).filter(|row| row.id == id).map(|_| found)
    }

    /// An agent's row.
    pub(super) fn row_mut(&mut self, id: AgentId) -> Option<&mut Row> {
        let number = self.find(id)?;
        self.rows.get_mut(number as usize)
    }

    /// The agent that has an e-mail.
    pub(super) fn find_email(&self, email: &str) -> Option<AgentId> {
        let email = email.as_bytes();
        let has = |it: &u32| self.row(*it).is_some_and(|row| self.email(row) == email);
        let found = self.by_email.find(self.hasher.hash_one(email), has)?;
        self.row(*found).map(|row| row.id)
    }

    /// Makes an e-mail that of row `number`, whoever had it.
    fn own_email(&mut self, number: u32) {
        let Some(row) = self.rows.get(number as usize) else {
            return;
        };
        let email = bytes_of(&self.emails, row);
        let hash = self.hasher.hash_one(email);
        let email_of = |it: u32| {
            let row = self.rows.get(it as usize);
            row.map_or(&[][..], |row| bytes_of(&self.emails, row))
        };
        let entry = self.by_email.entry(
            hash,
            |it| email_of(*it) == email,
            |it| self.hasher.hash_one(email_of(*it)),
        );
        *entry.or_insert(number).into_mut() = number;
    }

    /// Takes its e-mail from row `number`, if it has it.
    fn disown_email(&mut self, number: u32) {
        if let Some(row) = self.rows.get(number as usize) {
            let hash = self.hasher.hash_one(bytes_of(&self.emails, row));
            if let Ok(entry) = self.by_email.find_entry(hash, |it| *it == number) {
                entry.remove();
            }
        }
    }

    fn write_email(&mut self, row: &mut Row, email: &str) {
        row.email = number(self.emails.len());
        row.email_length = u8::try_from(email.len()).unwrap_or(u8::MAX);
        self.emails.extend_from_slice(email.as_bytes());
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
        let mut row = Row {
            id: facts.id,
            last_auth,
            expires: NEVER,
            email: 0,
            email_length: 0,
            organization: self.organizations.number(facts.organization),
            owner: self.owners.take(facts.owner),
            capabilities: self.capabilities.take(facts.capabilities),
            status: facts.status,
            agent_type: facts.agent_type,
            deployment_env: facts.deployment_env,
        };
        self.write_email(&mut row, facts.email);
        self.count(&row, true);
        self.rows.push(row);
        number(self.rows.len() - 1)
    }

    /// Adds a row for an agent that has none.
    pub(super) fn add(&mut self, facts: &Facts<'_>, last_auth: i64) {
        let at = self.count_while(|id| *id < facts.id);
        let number = self.make(facts, last_auth);
        self.order.insert(at, number);
        self.own_email(number);
    }

    /// Makes a row say what `facts` say.
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
        if self.email(&row) != facts.email.as_bytes() {
            self.disown_email(number);
            self.waste += usize::from(row.email_length);
            self.write_email(&mut row, facts.email);
        }
        self.count(&row, true);
        if let Some(slot) = self.rows.get_mut(number as usize) {
            *slot = row;
        }
        // Also when it has not changed: while the journal is read again, another may have had it.
        self.own_email(number);
        if self.waste > self.emails.len() / 2 {
            self.put_emails_in_order();
        }
    }

    /// Writes the e-mails anew, in the order of the rows.
    fn put_emails_in_order(&mut self) {
        let mut emails = Vec::with_capacity(self.emails.len().saturating_sub(self.waste));
        for row in &mut self.rows {
            let start = number(emails.len());
            emails.extend_from_slice(bytes_of(&self.emails, row));
            row.email = start;
        }
        self.emails = emails;
        self.waste = 0;
    }

    /// Adds a credential to an agent's row; nothing when there is no such agent.
    pub(super) fn add_credential(&mut self, id: CredentialId, agent: AgentId) {
        let Some(row) = self.find(agent) else { return };
        if let Err(at) = self.credentials.binary_search_by_key(&id, |(id, _)| *id) {
            self.credentials.insert(at, (id, row));
        }
    }

    /// The row of the agent that a credential is for.
    pub(super) fn holder_of(&self, id: CredentialId) -> Option<&Row> {
        let at = self.credentials.binary_search_by_key(&id, |(id, _)| *id);
        self.row(self.credentials.get(at.ok()?)?.1)
    }

    /// Adds an agent's row while the table is made, in any order. The table is of no use until it is
    /// [`completed`](Self::complete).
    pub(super) fn load(&mut self, facts: &Facts<'_>) {
        self.make(facts, 0);
    }

    /// Puts what was loaded in order, and adds the credentials and when agents last got a token.
    pub(super) fn complete(&mut self, mut held: Vec<Held>, mut auths: Vec<(AgentId, i64)>) {
        // Those who walk through the agents find them one after the other.
        if !self.rows.is_sorted_by_key(|row| row.id) {
            self.rows.sort_unstable_by_key(|row| row.id);
            self.put_emails_in_order();
        }
        self.order = (0..number(self.rows.len())).collect();
        let Self {
            rows,
            emails,
            by_email,
            hasher,
            ..
        } = self;
        let hash = |it: &u32| {
            let row = rows.get(*it as usize);
            hasher.hash_one(row.map_or(&[][..], |row| bytes_of(emails, row)))
        };
        by_email.reserve(rows.len(), hash);
        for it in &self.order {
            by_email.insert_unique(hash(it), *it, hash);
        }
        // Both in the order of the rows: looking each up would take longer than all the rest.
        held.sort_unstable_by_key(|(_, agent, _)| *agent);
        auths.sort_unstable();
        self.credentials.reserve_exact(held.len());
        let (mut held, mut auths) = (held.into_iter().peekable(), auths.into_iter().peekable());
        for (row, number) in self.rows.iter_mut().zip(0_u32..) {
            while let Some((id, agent, expires)) = held.next_if(|(_, agent, _)| *agent <= row.id) {
                if agent == row.id {
                    row.expires = row.expires.min(expires);
                    self.credentials.push((id, number));
                }
            }
            while let Some((agent, time)) = auths.next_if(|(agent, _)| *agent <= row.id) {
                if agent == row.id {
                    row.last_auth = time;
                }
            }
        }
        self.credentials.sort_unstable();
    }
}
