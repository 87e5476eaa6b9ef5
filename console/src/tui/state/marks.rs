//! Agents that were marked, to do something to all of them.

use std::collections::BTreeMap;

use agentidp_shared::agent::Transition;
use agentidp_shared::{Agent, AgentId, AgentStatus};

/// How many agents can be marked: each is asked for by itself, at the revision that was seen.
pub(crate) const MOST: usize = 1_000;

/// An agent at the revision that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pinned {
    pub(crate) id: AgentId,
    pub(crate) email: String,
    pub(crate) status: AgentStatus,
    pub(crate) revision: u64,
}

impl Pinned {
    /// An agent as it is known now.
    pub(crate) fn new(agent: &Agent) -> Self {
        Self {
            id: agent.id,
            email: agent.email.to_string(),
            status: agent.status,
            revision: agent.revision,
        }
    }

    /// Whether `transition` would change it; an error says why it cannot.
    pub(crate) fn would_move(&self, transition: Transition) -> Result<bool, String> {
        match self.status.after(transition) {
            Ok(status) => Ok(status != self.status),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Marks, by id: they stay when the rows go.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    agents: BTreeMap<AgentId, Pinned>,
    /// Where a range was begun.
    pub(crate) anchor: Option<AgentId>,
}

impl Marks {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.agents.len()
    }

    /// Whether an agent is marked.
    pub(crate) fn contains(&self, id: AgentId) -> bool {
        self.agents.contains_key(&id)
    }

    /// The marked agents, in the order of their e-mails.
    pub(crate) fn pinned(&self) -> Vec<Pinned> {
        let mut all: Vec<_> = self.agents.values().cloned().collect();
        all.sort_by(|one, other| one.email.cmp(&other.email));
        all
    }

    /// Marks an agent, or takes its mark away.
    pub(super) fn toggle(&mut self, agent: &Agent) -> Result<(), String> {
        if self.agents.remove(&agent.id).is_some() {
            return Ok(());
        }
        self.add(std::slice::from_ref(agent))
    }

    /// Marks agents: all of them, or when there is no room for all, none.
    pub(super) fn add(&mut self, agents: &[Agent]) -> Result<(), String> {
        let new = agents.iter().filter(|it| !self.contains(it.id)).count();
        if self.len() + new > MOST {
            return Err(format!(
                "no more than {MOST} can be marked: filter, and A acts on all that match"
            ));
        }
        for agent in agents {
            self.agents.insert(agent.id, Pinned::new(agent));
        }
        Ok(())
    }

    /// Takes in an agent as it is now.
    pub(super) fn patch(&mut self, agent: &Agent) {
        if let Some(pinned) = self.agents.get_mut(&agent.id)
            && pinned.revision < agent.revision
        {
            *pinned = Pinned::new(agent);
        }
    }

    /// Takes all marks away.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
