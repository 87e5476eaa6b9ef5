//! Calls about agents.

use agentidp_proto::convert::to_domain_timestamp;
use agentidp_proto::v1;
use agentidp_proto::v1::agent_service_client::AgentServiceClient;
use agentidp_proto::v1::transition_many_agents_response as wire;
use agentidp_shared::agent::Transition;
use agentidp_shared::{Agent, Credential, CredentialStatus, FieldError, Timestamp};
use serde::Serialize;
use tonic::{Request, Streaming};

use super::guard::Harmless;
use super::{AgentActivity, Changed, Client, MAX_ANSWER, Page, Transport, call, changed, page};
use crate::error::Error;

/// Which agents to list, and in which order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentQuery {
    /// Which.
    pub filter: v1::AgentFilter,
    /// What they are ordered by; empty: when they were registered.
    pub order: String,
    /// Whether the smallest or oldest come first.
    pub is_ascending: bool,
}

/// An agent with what its row in a list shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedAgent {
    /// The record.
    #[serde(flatten)]
    pub agent: Agent,
    /// How many of its credentials are accepted.
    pub credentials: u32,
    /// When the first of its active credentials expires; none: none does.
    pub expires_at: Option<Timestamp>,
}

impl ListedAgent {
    /// An agent with its credentials.
    #[must_use]
    pub fn new(agent: Agent, credentials: &[Credential]) -> Self {
        let is_accepted = |it: &&Credential| {
            matches!(
                it.status,
                CredentialStatus::Active | CredentialStatus::Retiring
            )
        };
        let active = credentials
            .iter()
            .filter(|it| it.status == CredentialStatus::Active);
        Self {
            agent,
            credentials: u32::try_from(credentials.iter().filter(is_accepted).count())
                .unwrap_or(u32::MAX),
            expires_at: active.filter_map(|it| it.expires_at).min(),
        }
    }
}

impl TryFrom<v1::ListedAgent> for ListedAgent {
    type Error = FieldError;

    fn try_from(it: v1::ListedAgent) -> Result<Self, FieldError> {
        let agent = it
            .agent
            .ok_or(FieldError::new("agent", "must be present"))?;
        Ok(Self {
            agent: agent.try_into()?,
            credentials: it.credentials,
            expires_at: it.expires_at.map(to_domain_timestamp),
        })
    }
}

/// What is to be done to which agents.
#[derive(Debug, Clone)]
pub struct Bulk {
    /// Which.
    pub filter: v1::AgentFilter,
    /// What is done to each.
    pub transition: Transition,
    /// Why; empty where none is needed.
    pub reason: String,
    /// Whether it is only told what would be done.
    pub is_dry_run: bool,
    /// How many agents are meant, if that is known.
    pub expected: Option<u64>,
}

/// How far the daemon is with many agents.
#[derive(Debug)]
pub struct BulkProgress(Streaming<v1::TransitionManyAgentsResponse>);

/// An agent that could not be moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Its id.
    pub agent_id: String,
    /// Its e-mail.
    pub email: String,
    /// The code of the reference's list.
    pub code: String,
    /// The sentence for people.
    pub message: String,
}

impl From<wire::Refused> for Refused {
    fn from(it: wire::Refused) -> Self {
        Self {
            agent_id: it.agent_id,
            email: it.email,
            code: it.code,
            message: it.message,
        }
    }
}

impl BulkProgress {
    /// The next message: the sums so far, and who refused since the message before. None: it has
    /// ended.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn next(
        &mut self,
    ) -> Result<Option<(v1::TransitionManyAgentsResponse, Vec<Refused>)>, Error> {
        let Some(mut message) = self.0.message().await? else {
            return Ok(None);
        };
        let refused = std::mem::take(&mut message.refused);
        Ok(Some((
            message,
            refused.into_iter().map(Into::into).collect(),
        )))
    }
}

/// The transition as the wire spells it, which is also the command's verb.
pub(crate) const fn word(transition: Transition) -> &'static str {
    match transition {
        Transition::Suspend => "suspend",
        Transition::Resume => "resume",
        Transition::Revoke => "revoke",
        Transition::Decommission => "decommission",
        Transition::Archive => "archive",
    }
}

impl Client {
    fn agent_service(&self) -> AgentServiceClient<Transport> {
        AgentServiceClient::with_interceptor(self.channel.clone(), self.guard)
            .max_decoding_message_size(MAX_ANSWER)
    }

    /// Registers an agent.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn register(
        &self,
        request: v1::RegisterAgentRequest,
    ) -> Result<Changed<Agent>, Error> {
        let answer = self
            .agent_service()
            .register(call(request))
            .await?
            .into_inner();
        changed(answer.agent, "agent", answer.audit_seq)
    }

    /// Shows the agent of an id or e-mail.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn agent(&self, agent: String) -> Result<Agent, Error> {
        let answer = self
            .agent_service()
            .get(call(v1::GetAgentRequest { agent }))
            .await?
            .into_inner();
        answer.try_into().map_err(Error::Answer)
    }

    /// Tells what an agent got and was refused lately.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn agent_activity(&self, agent: String) -> Result<AgentActivity, Error> {
        let answer = self
            .agent_service()
            .get_activity(call(v1::GetAgentRequest { agent }))
            .await?
            .into_inner();
        answer.try_into().map_err(Error::Answer)
    }

    /// Lists agents.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn agents(
        &self,
        query: AgentQuery,
        limit: u32,
        page_token: String,
    ) -> Result<Page<ListedAgent>, Error> {
        let answer = self
            .agent_service()
            .list(call(v1::ListAgentsRequest {
                limit,
                page_token,
                filter: Some(query.filter),
                order: query.order,
                ascending: query.is_ascending,
            }))
            .await?
            .into_inner();
        let total = answer.total;
        let page = page(answer.agents, answer.next_page_token)?;
        Ok(Page { total, ..page })
    }

    /// Registers up to 100 agents of one organization: all of them or none.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn register_many(
        &self,
        organization: String,
        agents: Vec<v1::RegisterAgentRequest>,
    ) -> Result<Vec<Changed<Agent>>, Error> {
        let answer = self
            .agent_service()
            .register_many(call(v1::RegisterManyAgentsRequest {
                organization,
                agents,
            }))
            .await?
            .into_inner();
        let agents = answer.agents.into_iter();
        agents
            .map(|it| changed(it.agent, "agent", it.audit_seq))
            .collect()
    }

    /// Changes an agent's record.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn update_agent(
        &self,
        request: v1::UpdateAgentRequest,
    ) -> Result<Changed<Agent>, Error> {
        let answer = self
            .agent_service()
            .update(call(request))
            .await?
            .into_inner();
        changed(answer.agent, "agent", answer.audit_seq)
    }

    /// Moves every agent that a filter lets through. The daemon goes on for as long as somebody
    /// listens; the last message has the sums.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn transition_many(&self, bulk: Bulk) -> Result<BulkProgress, Error> {
        // Finding the agents, and moving them, may take longer than any other call.
        let mut request = Request::new(v1::TransitionManyAgentsRequest {
            filter: Some(bulk.filter),
            transition: word(bulk.transition).to_owned(),
            reason: bulk.reason,
            dry_run: bulk.is_dry_run,
            expected: bulk.expected,
        });
        if bulk.is_dry_run {
            request.extensions_mut().insert(Harmless);
        }
        let answer = self.agent_service().transition_many(request).await?;
        Ok(BulkProgress(answer.into_inner()))
    }

    /// Changes an agent's status. `revision` is the one that the caller saw; 0 is any.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn transition(
        &self,
        transition: Transition,
        agent: String,
        reason: String,
        revision: u64,
    ) -> Result<Changed<Agent>, Error> {
        let request = call(v1::AgentTransitionRequest {
            agent,
            reason,
            revision,
        });
        let mut service = self.agent_service();
        let answer = match transition {
            Transition::Suspend => service.suspend(request).await?,
            Transition::Resume => service.resume(request).await?,
            Transition::Revoke => service.revoke(request).await?,
            Transition::Decommission => service.decommission(request).await?,
            Transition::Archive => service.archive(request).await?,
        }
        .into_inner();
        changed(answer.agent, "agent", answer.audit_seq)
    }
}
