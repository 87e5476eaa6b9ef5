//! Agents over gRPC.

use std::sync::Arc;

use agentidp_proto::v1::agent_service_server::AgentService;
use agentidp_proto::{convert, v1};
use agentidp_shared::agent::{Transition, parse_version};
use agentidp_shared::{Agent, AgentId, AgentStatus, FieldError, Owner};
use tonic::{Request, Response, Status};

use super::error::{invalid, status};
use super::{caller, page_size, present};
use crate::service::agent::Registration;
use crate::service::{Changed, Service, ServiceError};
use crate::store::{AgentFilter, AgentOrder, AgentPosition, AgentQuery, OneOf};

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
        let reason = present(reason)
            .map(TryInto::try_into)
            .transpose()
            .map_err(invalid)?;
        let changed = self
            .0
            .transition_agent(&caller, &agent, transition, reason, revision)
            .await;
        changed
            .and_then(|changed| self.answer(&changed))
            .map_err(|error| status(&error))
    }

    fn answer(&self, changed: &Changed<Agent>) -> Result<Response<v1::AgentChange>, ServiceError> {
        let agent = self.0.shown_agent(&changed.record)?;
        Ok(Response::new(v1::AgentChange {
            agent: Some(agent.into()),
            audit_seq: changed.audit_seq,
        }))
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

fn query(
    status: String,
    owner: String,
    page_token: String,
    limit: u32,
) -> Result<AgentQuery, FieldError> {
    let status: Option<AgentStatus> = present(status).map(|it| it.parse()).transpose()?;
    let owner: Option<Owner> = present(owner).map(TryInto::try_into).transpose()?;
    let after: Option<AgentId> = present(page_token).map(|it| it.parse()).transpose()?;
    Ok(AgentQuery {
        filter: AgentFilter {
            status: status.map(OneOf::only),
            owner: owner.map(OneOf::only),
            ..AgentFilter::default()
        },
        order: AgentOrder::Created,
        is_descending: true,
        after: after.map(|id| AgentPosition {
            value: Vec::new(),
            id,
        }),
        limit: page_size(limit),
    })
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
            .map_err(|error| status(&error))
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

    async fn list(
        &self,
        request: Request<v1::ListAgentsRequest>,
    ) -> Result<Response<v1::ListAgentsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let organization = present(request.organization)
            .map(|text| self.0.find_organization(&caller, &text))
            .transpose();
        let organization = organization
            .map_err(|error| status(&error))?
            .map(|stored| stored.record.id);
        let query = query(
            request.status,
            request.owner,
            request.page_token,
            request.limit,
        );
        let query = query.map_err(invalid)?;
        let page = self.0.list_agents(&caller, query, organization).await;
        let page = page.map_err(|error| status(&error))?;
        let agents = page
            .agents
            .iter()
            .map(|stored| self.0.shown_agent(&stored.record).map(Into::into));
        Ok(Response::new(v1::ListAgentsResponse {
            agents: agents
                .collect::<Result<_, _>>()
                .map_err(|error| status(&error))?,
            next_page_token: page
                .next
                .map(|next| next.id.to_string())
                .unwrap_or_default(),
        }))
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
}
