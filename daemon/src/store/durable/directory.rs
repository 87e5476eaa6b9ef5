//! The directory: of every agent, in memory, what lists filter and sort by, and how many agents
//! each organization has. It follows the index, and is made from it when the store is opened.

use std::collections::HashMap;

use agentidp_shared::{AgentId, AgentStatus, AgentType, DeploymentEnv, OrganizationId, Timestamp};
use parking_lot::RwLock;

use super::glance::Facts;
use super::intern::Interned;
use crate::store::ReadError;

/// When an agent expires that does not.
pub(super) const NEVER: i64 = i64::MAX;

/// An agent. There may be a million of them: 56 bytes and the e-mail.
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

    /// For each number, whether its organization is as `is_wanted` says.
    pub(super) fn wanted(&self, is_wanted: impl Fn(&OrganizationId) -> bool) -> Vec<bool> {
        self.known.iter().map(|(id, _)| is_wanted(id)).collect()
    }

    /// Changes whenever there is one more.
    pub(super) fn generation(&self) -> u64 {
        self.known.len() as u64
    }
}

/// All rows, and what they refer to.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// By id: agents are registered in nearly that order, so that few rows move for a new one.
    rows: Vec<Row>,
    /// Their e-mails, one after another, in nearly the order of the rows.
    emails: Vec<u8>,
    /// How many bytes of the e-mails no row has any more.
    waste: usize,
    /// The organizations.
    pub(super) organizations: Organizations,
    /// The owners.
    pub(super) owners: Interned,
    /// The sets of capabilities, each written with a space between them.
    pub(super) capabilities: Interned,
}

impl Table {
    /// The rows, by id.
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// A row's e-mail.
    pub(super) fn email(&self, row: &Row) -> &[u8] {
        let start = row.email as usize;
        let end = start + usize::from(row.email_length);
        self.emails.get(start..end).unwrap_or_default()
    }

    fn find(&self, id: AgentId) -> Result<usize, usize> {
        self.rows.binary_search_by(|row| row.id.cmp(&id))
    }

    fn row_mut(&mut self, id: AgentId) -> Option<&mut Row> {
        self.find(id).ok().and_then(|at| self.rows.get_mut(at))
    }

    /// A row for an agent that has none.
    fn make(&mut self, facts: &Facts<'_>, last_auth: i64) -> Row {
        let organization = self.organizations.number(facts.organization);
        let mut row = Row {
            id: facts.id,
            last_auth,
            expires: NEVER,
            email: 0,
            email_length: 0,
            organization,
            owner: self.owners.take(facts.owner),
            capabilities: self.capabilities.take(facts.capabilities),
            status: facts.status,
            agent_type: facts.agent_type,
            deployment_env: facts.deployment_env,
        };
        self.write_email(&mut row, facts.email);
        self.count(&row, true);
        row
    }

    fn write_email(&mut self, row: &mut Row, email: &str) {
        row.email = u32::try_from(self.emails.len()).unwrap_or(u32::MAX);
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

    /// Makes row `at` say what `facts` say.
    fn change(&mut self, at: usize, facts: &Facts<'_>) {
        let Some(mut row) = self.rows.get(at).copied() else {
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
            self.waste += usize::from(row.email_length);
            self.write_email(&mut row, facts.email);
        }
        self.count(&row, true);
        if let Some(slot) = self.rows.get_mut(at) {
            *slot = row;
        }
        if self.waste > self.emails.len() / 2 {
            self.put_emails_in_order();
        }
    }

    fn put_emails_in_order(&mut self) {
        let mut emails = Vec::with_capacity(self.emails.len().saturating_sub(self.waste));
        for row in &mut self.rows {
            let start = row.email as usize;
            let end = start + usize::from(row.email_length);
            row.email = u32::try_from(emails.len()).unwrap_or(u32::MAX);
            emails.extend_from_slice(self.emails.get(start..end).unwrap_or_default());
        }
        self.emails = emails;
        self.waste = 0;
    }

    /// Adds an agent's row while the table is made, in any order. The table is of no use until it is
    /// [`completed`](Self::complete).
    pub(super) fn add(&mut self, facts: &Facts<'_>) {
        let row = self.make(facts, 0);
        self.rows.push(row);
    }

    /// Puts the rows in order, and adds when agents last got a token and when their credentials
    /// expire.
    pub(super) fn complete(
        &mut self,
        mut auths: Vec<(AgentId, i64)>,
        mut expiries: Vec<(AgentId, i64)>,
    ) {
        if !self.rows.is_sorted_by_key(|row| row.id) {
            self.rows.sort_unstable_by_key(|row| row.id);
            self.put_emails_in_order();
        }
        auths.sort_unstable();
        expiries.sort_unstable();
        let (mut auths, mut expiries) = (auths.iter().peekable(), expiries.iter().peekable());
        for row in &mut self.rows {
            while let Some((id, time)) = auths.next_if(|(id, _)| *id <= row.id) {
                if *id == row.id {
                    row.last_auth = *time;
                }
            }
            while let Some((id, time)) = expiries.next_if(|(id, _)| *id <= row.id) {
                if *id == row.id {
                    row.expires = row.expires.min(*time);
                }
            }
        }
    }
}

/// The directory.
#[derive(Debug, Default)]
pub(super) struct Directory(RwLock<Table>);

impl From<Table> for Directory {
    fn from(table: Table) -> Self {
        Self(RwLock::new(table))
    }
}

impl Directory {
    /// The table, for as long as nothing may change in it.
    pub(super) fn read(&self) -> parking_lot::RwLockReadGuard<'_, Table> {
        self.0.read()
    }

    /// Notes what an agent's record has become. Of an agent that is new here, `last_auth` tells when
    /// it last got a token.
    pub(super) fn put(
        &self,
        facts: &Facts<'_>,
        last_auth: impl FnOnce() -> Result<i64, ReadError>,
    ) -> Result<(), ReadError> {
        let mut table = self.0.write();
        match table.find(facts.id) {
            Ok(at) => table.change(at, facts),
            Err(at) => {
                let row = table.make(facts, last_auth()?);
                table.rows.insert(at, row);
            }
        }
        Ok(())
    }

    /// Notes that an agent got a token.
    pub(super) fn note_auth(&self, id: AgentId, time: Timestamp) {
        if let Some(row) = self.0.write().row_mut(id) {
            row.last_auth = time.as_millis();
        }
    }

    /// Notes that an agent has one more credential, which expires then.
    pub(super) fn add_expiry(&self, id: AgentId, time: Timestamp) {
        if let Some(row) = self.0.write().row_mut(id) {
            row.expires = row.expires.min(time.as_millis());
        }
    }

    /// Notes when the first of an agent's credentials expires.
    pub(super) fn set_expiry(&self, id: AgentId, time: Option<Timestamp>) {
        if let Some(row) = self.0.write().row_mut(id) {
            row.expires = time.map_or(NEVER, Timestamp::as_millis);
        }
    }

    /// The organization that an agent belongs to; `None` when there is no such agent.
    pub(super) fn organization_of(&self, id: AgentId) -> Option<OrganizationId> {
        let table = self.0.read();
        let row = table.rows.get(table.find(id).ok()?)?;
        let known = table.organizations.known.get(row.organization as usize);
        known.map(|(id, _)| *id)
    }

    /// How many agents that have not ended an organization has.
    pub(super) fn living_agents(&self, organization: OrganizationId) -> u64 {
        let table = self.0.read();
        let number = table.organizations.numbers.get(&organization);
        let known = number.and_then(|number| table.organizations.known.get(*number as usize));
        known.map_or(0, |(_, living)| *living)
    }
}
