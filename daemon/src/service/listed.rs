//! Agents as lists show them: the record, with what hangs on it.

use agentidp_shared::{Agent, OrganizationId, Timestamp};

use super::{Caller, Service, ServiceError};
use crate::store::{AgentPosition, AgentQuery, RecordKey, first_expiry};

/// An agent as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedAgent {
    /// The record, with when the agent last got a token.
    pub(crate) agent: Agent,
    /// How many of its credentials are accepted now.
    pub(crate) credentials: usize,
    /// When the first of its active credentials expires; absent: none does.
    pub(crate) expires_at: Option<Timestamp>,
}

/// A page of them.
#[derive(Debug, Default)]
pub(crate) struct ListedPage {
    /// The agents, in order.
    pub(crate) agents: Vec<ListedAgent>,
    /// Where the next page begins. `None`: there is no more.
    pub(crate) next: Option<AgentPosition>,
    /// How many there are on all pages together, where that is known.
    pub(crate) total: Option<u64>,
}

impl Service {
    /// A page of the agents that there are for the caller, with what their rows show.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) async fn list_agents_with_credentials(
        &self,
        caller: &Caller,
        query: AgentQuery,
        organization: Option<OrganizationId>,
    ) -> Result<ListedPage, ServiceError> {
        let page = self.list_agents(caller, query, organization).await?;
        let now = self.now();
        self.read(move |store| {
            let listed = page.agents.iter().map(|stored| {
                let agent = &stored.record;
                let credentials = store.credentials_of(agent.id)?;
                let credentials = credentials.iter().map(|it| &it.record.credential);
                Ok(ListedAgent {
                    agent: Agent {
                        last_auth_at: store.usage(&RecordKey::Agent(agent.id))?.last,
                        ..agent.clone()
                    },
                    credentials: credentials
                        .clone()
                        .filter(|it| it.check_accepted(now).is_ok())
                        .count(),
                    expires_at: first_expiry(credentials),
                })
            });
            Ok(ListedPage {
                agents: listed.collect::<Result<_, ServiceError>>()?,
                next: page.next,
                total: page.total,
            })
        })
        .await
    }
}
