//! The plain way to answer a question for agents, from all of them: what the model does, and what
//! every store must do.

use std::sync::Arc;

use agentidp_shared::{Agent, AgentStatus, Timestamp};

use super::query::has_text;
use super::{
    AgentFilter, AgentOrder, AgentPage, AgentPosition, AgentQuery, PageRoom, Stored, agent_bytes,
};

impl AgentFilter {
    /// Whether it lets an agent through, of which the first credential expires at `expires_at`.
    pub(crate) fn lets(&self, agent: &Agent, expires_at: Option<Timestamp>) -> bool {
        let lets_status = match &self.status {
            Some(status) => status.lets(&agent.status),
            None => agent.status != AgentStatus::Archived,
        };
        let expires = |before: &Timestamp| expires_at.is_some_and(|at| at < *before);
        lets_status
            && self
                .organizations
                .as_ref()
                .is_none_or(|it| it.contains(&agent.organization_id))
            && self.owner.as_ref().is_none_or(|it| it.lets(&agent.owner))
            && self
                .agent_type
                .as_ref()
                .is_none_or(|it| it.lets(&agent.agent_type))
            && self
                .deployment_env
                .as_ref()
                .is_none_or(|it| it.lets(&agent.deployment_env))
            && self
                .capability
                .as_ref()
                .is_none_or(|it| agent.capabilities.iter().any(|has| has == it))
            && self
                .email_prefix
                .as_ref()
                .is_none_or(|it| agent.email.as_str().starts_with(it.as_str()))
            && self.expires_before.as_ref().is_none_or(expires)
            && self
                .text
                .as_ref()
                .is_none_or(|it| has_text(agent, &it.to_lowercase()))
    }
}

/// The value that an agent is ordered by.
pub(crate) fn order_value(
    order: AgentOrder,
    agent: &Agent,
    last_auth_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
) -> Vec<u8> {
    let bytes = |time: Option<Timestamp>, absent: i64| {
        time.map_or(absent, Timestamp::as_millis)
            .to_be_bytes()
            .to_vec()
    };
    match order {
        AgentOrder::Created => Vec::new(),
        AgentOrder::Email => agent.email.as_str().as_bytes().to_vec(),
        AgentOrder::LastAuth => bytes(last_auth_at, 0),
        AgentOrder::Expires => bytes(expires_at, i64::MAX),
    }
}

/// Answers a question from all agents, with when each last got a token and when the first of its
/// live credentials expires.
pub(crate) fn page_of(
    agents: impl Iterator<Item = (Arc<Stored<Agent>>, Option<Timestamp>, Option<Timestamp>)>,
    query: &AgentQuery,
) -> AgentPage {
    let mut found: Vec<_> = agents
        .filter(|(agent, _, expires_at)| query.filter.lets(&agent.record, *expires_at))
        .map(|(agent, last_auth_at, expires_at)| {
            let value = order_value(query.order, &agent.record, last_auth_at, expires_at);
            (
                AgentPosition {
                    value,
                    id: agent.record.id,
                },
                agent,
            )
        })
        .collect();
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    if query.is_descending {
        found.reverse();
    }
    let total = found.len() as u64;
    let is_beyond = |position: &AgentPosition| {
        query.after.as_ref().is_none_or(|after| {
            if query.is_descending {
                position < after
            } else {
                position > after
            }
        })
    };
    let mut rest = found
        .into_iter()
        .filter(|(position, _)| is_beyond(position))
        .peekable();
    let mut page = AgentPage {
        total: query.filter.text.is_none().then_some(total),
        ..AgentPage::default()
    };
    let mut room = PageRoom::new(query.limit);
    while !room.is_full() {
        let Some((position, agent)) = rest.next() else {
            break;
        };
        room.take(agent_bytes(&agent.record));
        page.agents.push(agent);
        page.next = rest.peek().map(|_| position);
    }
    page
}
