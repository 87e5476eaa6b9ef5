//! Agents over gRPC.

use std::sync::Arc;

use agentidp_proto::convert::timestamp;
use agentidp_proto::v1::agent_service_server::AgentService;
use agentidp_proto::{convert, v1};
use agentidp_shared::agent::{Transition, parse_version};
use agentidp_shared::{Agent, AgentUpdate, Code, FieldError, OrganizationId};
use futures_util::StreamExt as _;
use futures_util::future::ready;
use futures_util::stream::{self, BoxStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::error::{invalid, status};
use super::{agent_query, caller, present, reason};
use crate::service::agent::Registration;
use crate::service::bulk::{Bulk, BulkProgress};
use crate::service::listed::ListedAgent;
use crate::service::{Caller, Changed, Service, ServiceError, to_its_end};

pub(super) struct Adapter(pub(super) Arc<Service>);

impl Adapter {
    async fn transition(
        &self,
        request: Request<v1::AgentTransitionRequest>,
        transition: Transition,
    ) -> Result<Response<v1::AgentChange>, Status> {
        let caller = caller(&request)?;
        let v1::AgentTransitionRequest {
            agent,
            reason,
            revision,
        } = request.into_inner();
        let reason = self::reason(reason).map_err(invalid)?;
        let changed = self
            .0
            .transition_agent(&caller, &agent, transition, reason, revision)
            .await;
        changed
            .and_then(|changed| self.answer(&changed))
            .map(Response::new)
            .map_err(|error| status(&error))
    }

    fn answer(&self, changed: &Changed<Agent>) -> Result<v1::AgentChange, ServiceError> {
        let agent = self.0.shown_agent(&changed.record)?;
        Ok(v1::AgentChange {
            agent: Some(agent.into()),
            audit_seq: changed.audit_seq,
        })
    }

    /// The organization that a filter names, if it does.
    fn organization(
        &self,
        caller: &Caller,
        text: Option<String>,
    ) -> Result<Option<OrganizationId>, Status> {
        let found = text
            .and_then(present)
            .map(|text| self.0.find_organization(caller, &text))
            .transpose()
            .map_err(|error| status(&error))?;
        Ok(found.map(|stored| stored.record.id))
    }
}

fn registration(request: v1::RegisterAgentRequest) -> Result<(String, Registration), FieldError> {
    let registration = Registration {
        email: request.email.try_into()?,
        agent_type: request.agent_type.parse()?,
        version: parse_version(&request.version)?,
        capabilities: convert::capabilities(request.capabilities)?,
        owner: request.owner.try_into()?,
        deployment_env: request.deployment_env.parse()?,
        audiences: convert::audiences(request.audiences)?,
        metadata: convert::metadata(request.metadata)?,
    };
    Ok((request.organization, registration))
}

fn update(request: v1::UpdateAgentRequest) -> Result<AgentUpdate, FieldError> {
    Ok(AgentUpdate {
        agent_type: request.agent_type.map(|it| it.parse()).transpose()?,
        version: request.version.map(|it| parse_version(&it)).transpose()?,
        capabilities: request
            .capabilities
            .map(|it| convert::capabilities(it.scopes))
            .transpose()?,
        owner: request.owner.map(TryInto::try_into).transpose()?,
        deployment_env: request.deployment_env.map(|it| it.parse()).transpose()?,
        audiences: request
            .audiences
            .map(|it| convert::audiences(it.resources))
            .transpose()?,
        metadata: request
            .metadata
            .map(|it| convert::metadata(it.entries))
            .transpose()?,
    })
}

fn transition_of(text: &str) -> Result<Transition, FieldError> {
    Ok(match text {
        "suspend" => Transition::Suspend,
        "resume" => Transition::Resume,
        "revoke" => Transition::Revoke,
        "decommission" => Transition::Decommission,
        "archive" => Transition::Archive,
        _ => {
            return Err(FieldError::new(
                "transition",
                "must be one of suspend, resume, revoke, decommission, archive",
            ));
        }
    })
}

fn listed(listed: ListedAgent) -> v1::ListedAgent {
    v1::ListedAgent {
        agent: Some(listed.agent.into()),
        credentials: u32::try_from(listed.credentials).unwrap_or(u32::MAX),
        expires_at: listed.expires_at.map(timestamp),
    }
}

fn progress(progress: BulkProgress) -> v1::TransitionManyAgentsResponse {
    use v1::transition_many_agents_response::{Moved, Refused};
    let moved = progress.moved.into_iter().map(|it| Moved {
        agent_id: it.agent.to_string(),
        email: it.email,
        revision: it.revision,
    });
    let refused = progress.refused.into_iter().map(|it| Refused {
        agent_id: it.agent.to_string(),
        email: it.email,
        code: it.error.code.to_string(),
        message: it.error.message.into_owned(),
    });
    v1::TransitionManyAgentsResponse {
        matched: progress.matched,
        done: progress.done,
        unchanged: progress.unchanged,
        refused: refused.collect(),
        moved: moved.collect(),
    }
}

#[tonic::async_trait]
impl AgentService for Adapter {
    async fn register(
        &self,
        request: Request<v1::RegisterAgentRequest>,
    ) -> Result<Response<v1::AgentChange>, Status> {
        let caller = caller(&request)?;
        let (organization, registration) = registration(request.into_inner()).map_err(invalid)?;
        let changed = self
            .0
            .register_agent(&caller, &organization, registration)
            .await;
        changed
            .and_then(|changed| self.answer(&changed))
            .map(Response::new)
            .map_err(|error| status(&error))
    }

    async fn register_many(
        &self,
        request: Request<v1::RegisterManyAgentsRequest>,
    ) -> Result<Response<v1::RegisterManyAgentsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut registrations = Vec::with_capacity(request.agents.len());
        for (number, agent) in (1..).zip(request.agents) {
            let (_, registration) = registration(agent).map_err(|error| {
                // The one that is at fault must be found among many.
                let field = error.field;
                let message = format!("agent {number}: {error}");
                let error = ServiceError::new(Code::InvalidArgument, message);
                status(&error.with("field", field))
            })?;
            registrations.push(registration);
        }
        let changed = self
            .0
            .register_agents(&caller, &request.organization, registrations)
            .await;
        let agents = changed.and_then(|all| all.iter().map(|it| self.answer(it)).collect());
        Ok(Response::new(v1::RegisterManyAgentsResponse {
            agents: agents.map_err(|error| status(&error))?,
        }))
    }

    async fn get(
        &self,
        request: Request<v1::GetAgentRequest>,
    ) -> Result<Response<v1::Agent>, Status> {
        let caller = caller(&request)?;
        let agent = self.0.find_agent(&caller, &request.into_inner().agent);
        let agent = agent
            .and_then(|agent| self.0.shown_agent(&agent.record))
            .map_err(|error| status(&error))?;
        Ok(Response::new(agent.into()))
    }

    async fn get_activity(
        &self,
        request: Request<v1::GetAgentRequest>,
    ) -> Result<Response<v1::AgentActivity>, Status> {
        let caller = caller(&request)?;
        let activity = self.0.agent_activity(&caller, &request.into_inner().agent);
        let activity = activity.map_err(|error| status(&error))?;
        Ok(Response::new(v1::AgentActivity {
            since: Some(timestamp(activity.since)),
            issued: activity.issued.to_vec(),
            denied: activity.denied.to_vec(),
        }))
    }

    async fn list(
        &self,
        request: Request<v1::ListAgentsRequest>,
    ) -> Result<Response<v1::ListAgentsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let organization = request.filter.as_ref().map(|it| it.organization.clone());
        let organization = self.organization(&caller, organization)?;
        let query = agent_query::query(&request).map_err(invalid)?;
        let page = self
            .0
            .list_agents_with_credentials(&caller, query.clone(), organization)
            .await;
        let page = page.map_err(|error| status(&error))?;
        let next = page.next.map(|next| agent_query::token(&query, &next));
        Ok(Response::new(v1::ListAgentsResponse {
            agents: page.agents.into_iter().map(listed).collect(),
            next_page_token: next.unwrap_or_default(),
            total: page.total,
        }))
    }

    async fn update(
        &self,
        request: Request<v1::UpdateAgentRequest>,
    ) -> Result<Response<v1::AgentChange>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (agent, revision) = (request.agent.clone(), request.revision);
        let update = update(request).map_err(invalid)?;
        let changed = self.0.update_agent(&caller, &agent, update, revision).await;
        changed
            .and_then(|changed| self.answer(&changed))
            .map(Response::new)
            .map_err(|error| status(&error))
    }

    async fn suspend(
        &self,
        request: Request<v1::AgentTransitionRequest>,
    ) -> Result<Response<v1::AgentChange>, Status> {
        self.transition(request, Transition::Suspend).await
    }

    async fn resume(
        &self,
        request: Request<v1::AgentTransitionRequest>,
    ) -> Result<Response<v1::AgentChange>, Status> {
        self.transition(request, Transition::Resume).await
    }

    async fn revoke(
        &self,
        request: Request<v1::AgentTransitionRequest>,
    ) -> Result<Response<v1::AgentChange>, Status> {
        self.transition(request, Transition::Revoke).await
    }

    async fn decommission(
        &self,
        request: Request<v1::AgentTransitionRequest>,
    ) -> Result<Response<v1::AgentChange>, Status> {
        self.transition(request, Transition::Decommission).await
    }

    async fn archive(
        &self,
        request: Request<v1::AgentTransitionRequest>,
    ) -> Result<Response<v1::AgentChange>, Status> {
        self.transition(request, Transition::Archive).await
    }

    type TransitionManyStream =
        BoxStream<'static, Result<v1::TransitionManyAgentsResponse, Status>>;

    async fn transition_many(
        &self,
        request: Request<v1::TransitionManyAgentsRequest>,
    ) -> Result<Response<Self::TransitionManyStream>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let filter = request.filter.unwrap_or_default();
        let bulk = Bulk {
            organization: self.organization(&caller, Some(filter.organization.clone()))?,
            filter: agent_query::filter(filter).map_err(invalid)?,
            transition: transition_of(&request.transition).map_err(invalid)?,
            reason: reason(request.reason).map_err(invalid)?,
            expected: request.expected,
            is_dry_run: request.dry_run,
        };
        let plan = self.0.plan_transitions(&caller, bulk).await;
        let plan = plan.map_err(|error| status(&error))?;
        let (sender, receiver) = mpsc::channel(1);
        let service = Arc::clone(&self.0);
        // In a task of its own, so that what is being written ends well when the caller goes away.
        let running =
            to_its_end(async move { service.run_transitions(&caller, plan, &sender).await });
        let end = stream::once(running)
            .filter_map(|ended| ready(ended.err().map(|error| Err(status(&error)))));
        let told = ReceiverStream::new(receiver)
            .map(|so_far| Ok(progress(so_far)))
            .chain(end);
        Ok(Response::new(told.boxed()))
    }
}
