//! Moving many agents through their lifecycle at once: every one that a filter lets through.
//!
//! The agents are found first, all of them, and then moved one by one, each in a commit and with an
//! entry of its own. So what the caller was told is what is done, whatever is registered meanwhile,
//! and ending half way leaves a log that says how far it came.

use std::sync::Arc;

use agentidp_shared::agent::Transition;
use agentidp_shared::count::counted;
use agentidp_shared::{Action, AgentId, Code, OrganizationId, Reason};
use tokio::sync::mpsc;

use super::{Caller, Service, ServiceError};
use crate::store::{AgentFilter, AgentOrder, AgentQuery};

/// How many agents are found at a time.
const PAGE: usize = 1_000;
/// After how many agents at the most the caller hears how far it is. One who keeps up hears of each that is
/// moved, and can take back what was done until it went away.
const BATCH: usize = 50;

/// What is to be done to which agents.
#[derive(Debug, Clone)]
pub(crate) struct Bulk {
    /// Which agents; something of it, or the organization, must be given.
    pub(crate) filter: AgentFilter,
    /// Only this organization's.
    pub(crate) organization: Option<OrganizationId>,
    /// What is done to each.
    pub(crate) transition: Transition,
    /// Why, in the entry of each.
    pub(crate) reason: Option<Reason>,
    /// How many agents the caller means, if it says so.
    pub(crate) expected: Option<u64>,
    /// Whether nothing is done, and only told what would be.
    pub(crate) is_dry_run: bool,
}

/// What has been decided, and the agents that it is about.
#[derive(Debug)]
pub(crate) struct BulkPlan {
    agents: Vec<AgentId>,
    transition: Transition,
    reason: Option<Reason>,
    is_dry_run: bool,
}

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BulkProgress {
    /// How many agents the filter lets through.
    pub(crate) matched: u64,
    /// How many of them have been moved, or would be.
    pub(crate) done: u64,
    /// How many were there already.
    pub(crate) unchanged: u64,
    /// Those that have been moved, since the time before.
    pub(crate) moved: Vec<Moved>,
    /// Those that could not be moved, since the time before.
    pub(crate) refused: Vec<Refused>,
}

/// An agent that was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    /// The agent.
    pub(crate) agent: AgentId,
    /// Its e-mail.
    pub(crate) email: String,
    /// Its revision after that.
    pub(crate) revision: u64,
}

/// An agent that could not be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The agent.
    pub(crate) agent: AgentId,
    /// Its e-mail; empty when it is not there any more.
    pub(crate) email: String,
    /// Why.
    pub(crate) error: ServiceError,
}

/// What came of one agent.
enum Came {
    Moved(Moved),
    WouldMove,
    Unchanged,
    Refused(Refused),
}

impl Service {
    /// Finds the agents that `bulk` is about.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` when the filter is empty or the reason is missing; `REVISION_CONFLICT`
    /// when it lets through another number of agents than the caller means.
    pub(crate) async fn plan_transitions(
        &self,
        caller: &Caller,
        bulk: Bulk,
    ) -> Result<BulkPlan, ServiceError> {
        if bulk.filter == AgentFilter::default() && bulk.organization.is_none() {
            return Err(ServiceError::new(
                Code::InvalidArgument,
                "filter: must say which agents: there is no such call for all of them",
            ));
        }
        if !bulk.is_dry_run {
            Self::check_reason(bulk.transition, bulk.reason.as_ref())?;
        }
        let mut agents = Vec::new();
        let mut after = None;
        loop {
            let query = AgentQuery {
                filter: bulk.filter.clone(),
                order: AgentOrder::Created,
                is_descending: false,
                after,
                limit: PAGE,
            };
            let page = self.list_agents(caller, query, bulk.organization).await?;
            agents.extend(page.agents.iter().map(|stored| stored.record.id));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let matched = agents.len() as u64;
        if let Some(expected) = bulk.expected
            && expected != matched
        {
            let message = format!(
                "the filter lets {} through now, not {expected}: look again and repeat",
                counted(matched, "agent")
            );
            let error = ServiceError::new(Code::RevisionConflict, message);
            return Err(error.with("matched", matched).with("expected", expected));
        }
        Ok(BulkPlan {
            agents,
            transition: bulk.transition,
            reason: bulk.reason,
            is_dry_run: bulk.is_dry_run,
        })
    }

    /// Moves the agents of a plan, or tells what would come of it, and says how far it is into
    /// `progress`: at least once, at the end. An agent that refuses holds up no other. Ends when
    /// nobody listens any more.
    ///
    /// # Errors
    ///
    /// When not the agent but the daemon is at fault, or stops; those before it have been moved.
    pub(crate) async fn run_transitions(
        self: &Arc<Self>,
        caller: &Caller,
        plan: BulkPlan,
        progress: &mpsc::Sender<BulkProgress>,
    ) -> Result<(), ServiceError> {
        let mut now = BulkProgress {
            matched: plan.agents.len() as u64,
            ..BulkProgress::default()
        };
        let mut untold = 0;
        for agent in &plan.agents {
            if progress.is_closed() {
                return Ok(());
            }
            match self.transition_one(caller, &plan, *agent).await {
                Ok(Came::Moved(moved)) => {
                    now.done += 1;
                    now.moved.push(moved);
                }
                Ok(Came::WouldMove) => now.done += 1,
                Ok(Came::Unchanged) => now.unchanged += 1,
                Ok(Came::Refused(refused)) => now.refused.push(refused),
                Err(error) => {
                    // What was done so far is known in any case; that the rest was not, is here.
                    let _ = progress.send(now).await;
                    let action = Action::AgentTransitionMany;
                    let came_to = (error.code.outcome(), error.code);
                    self.deny_operator(caller, action, came_to, None);
                    return Err(error);
                }
            }
            untold += 1;
            let keeps_up = !plan.is_dry_run && progress.capacity() > 0;
            if untold == BATCH || keeps_up {
                untold = 0;
                let told = now.clone();
                now.moved.clear();
                now.refused.clear();
                if progress.send(told).await.is_err() {
                    return Ok(());
                }
            }
        }
        // When nobody listens any more, all has been done nevertheless.
        let _ = progress.send(now).await;
        Ok(())
    }

    async fn transition_one(
        self: &Arc<Self>,
        caller: &Caller,
        plan: &BulkPlan,
        id: AgentId,
    ) -> Result<Came, ServiceError> {
        if self.stopping.is_cancelled() {
            return Err(ServiceError::new(
                Code::Overloaded,
                "the daemon is stopping: ask for the rest when it is back",
            ));
        }
        let current = match self.require_agent(caller, id) {
            Ok(current) => current,
            Err(error) if error.code == Code::AgentNotFound => {
                return Ok(refused(id, String::new(), error));
            }
            Err(error) => return Err(error),
        };
        let email = current.record.email.to_string();
        match current.record.status.after(plan.transition) {
            Ok(status) if status == current.record.status => return Ok(Came::Unchanged),
            Ok(_) if plan.is_dry_run => return Ok(Came::WouldMove),
            Ok(_) => {}
            Err(error) => {
                let error = ServiceError::new(Code::InvalidState, error.to_string());
                return Ok(refused(id, email, error));
            }
        }
        let moved = self
            .transition_agent(
                caller,
                &id.to_string(),
                plan.transition,
                plan.reason.clone(),
                0,
            )
            .await;
        match moved {
            Ok(changed) => Ok(Came::Moved(Moved {
                agent: id,
                email,
                revision: changed.record.revision,
            })),
            Err(error) if is_of_the_agent(error.code) => Ok(refused(id, email, error)),
            Err(error) => Err(error),
        }
    }
}

const fn refused(agent: AgentId, email: String, error: ServiceError) -> Came {
    Came::Refused(Refused {
        agent,
        email,
        error,
    })
}

/// Whether an error says something of this agent only, so that the next may fare better.
const fn is_of_the_agent(code: Code) -> bool {
    matches!(
        code,
        Code::AgentNotFound | Code::InvalidState | Code::RevisionConflict | Code::InvalidArgument
    )
}
