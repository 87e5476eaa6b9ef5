//! The directory: of every agent, in memory, what lists filter and sort by, where its credentials
//! stand, and how many agents each organization has. It follows the index, and is made from it when
//! the store is opened. What is here need not be in the index: there an e-mail or a place costs three
//! times the memory, and a second of every start for a million of them.

use agentidp_shared::{AgentId, CredentialId, Email, OrganizationId, Timestamp};
use parking_lot::{RwLock, RwLockReadGuard};

use super::glance::Facts;
use super::places::{Home, home};
use super::table::{NEVER, Table};
use crate::store::ReadError;

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
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Table> {
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
            Some(number) => table.change(number, facts),
            None => table.add(facts, last_auth()?),
        }
        Ok(())
    }

    /// Notes that an agent got a token.
    pub(super) fn note_auth(&self, id: AgentId, time: Timestamp) {
        self.0.write().note_auth(id, time.as_millis());
    }

    /// Notes that an agent has one more credential, and when that expires.
    pub(super) fn add_credential(
        &self,
        id: CredentialId,
        agent: AgentId,
        expiry: Option<Timestamp>,
    ) {
        let mut table = self.0.write();
        table.add_credential(id, agent);
        if let (Some(expires), Some(expiry)) = (table.expires_mut(agent), expiry) {
            *expires = expiry.as_millis().min(*expires);
        }
    }

    /// Notes when the first of an agent's credentials expires, after one of them has changed.
    pub(super) fn change_credential(
        &self,
        id: CredentialId,
        agent: AgentId,
        first_expiry: Option<Timestamp>,
    ) {
        let mut table = self.0.write();
        table.add_credential(id, agent);
        if let Some(expires) = table.expires_mut(agent) {
            *expires = first_expiry.map_or(NEVER, Timestamp::as_millis);
        }
    }

    /// The organization that an agent belongs to; `None` when there is no such agent.
    pub(super) fn organization_of(&self, id: AgentId) -> Option<OrganizationId> {
        let table = self.0.read();
        let row = table.row(table.find(id)?)?;
        table.organizations.id(row.organization)
    }

    /// Where a credential stands; `None` when there is no such credential.
    pub(super) fn home_of(&self, id: CredentialId) -> Option<Home> {
        let table = self.0.read();
        let number = table.holder_of(id)?;
        let organization = table.organizations.id(table.row(number)?.organization)?;
        Some(home(organization, table.id(number)?))
    }

    /// Who has the e-mail.
    pub(super) fn agent_by_email(&self, email: &Email) -> Option<AgentId> {
        self.0.read().find_email(email.as_str())
    }

    /// How many agents that have not ended an organization has.
    pub(super) fn living_agents(&self, organization: OrganizationId) -> u64 {
        self.0.read().organizations.living_agents(organization)
    }
}
