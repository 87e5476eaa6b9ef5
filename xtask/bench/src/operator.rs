//! The operators' socket, called from code that waits.

use std::path::{Path, PathBuf};
use std::time::Duration;

use agentidp_proto::v1;
use agentidp_proto::v1::agent_service_client::AgentServiceClient;
use agentidp_proto::v1::audit_service_client::AuditServiceClient;
use agentidp_proto::v1::credential_service_client::CredentialServiceClient;
use agentidp_proto::v1::organization_service_client::OrganizationServiceClient;
use agentidp_proto::v1::status_service_client::StatusServiceClient;
use agentidp_proto::v1::store_service_client::StoreServiceClient;
use anyhow::Context as _;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

/// No call takes this long, unless something is wrong.
const PATIENCE: Duration = Duration::from_mins(2);

/// A tier that every configuration has and that limits nothing.
const TIER: &str = "unlimited";

/// A connection to the operators' socket.
pub(crate) struct Operator {
    runtime: Runtime,
    channel: Channel,
}

/// Who an agent is to the server: what it authenticates with.
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Operator {
    /// Connects.
    pub(crate) fn connect(socket: &Path) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let channel = runtime
            .block_on(connect(socket.to_owned()))
            .with_context(|| format!("cannot connect to {}", socket.display()))?;
        Ok(Self { runtime, channel })
    }

    /// The connection, for calls that are under way together.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Runs calls to their end.
    pub(crate) fn run<T>(&self, calls: impl Future<Output = T>) -> T {
        self.runtime.block_on(calls)
    }

    fn wait<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> anyhow::Result<T> {
        Ok(self.run(call)?.into_inner())
    }

    /// Creates an organization without limits.
    pub(crate) fn create_organization(&self, name: &str) -> anyhow::Result<()> {
        let request = v1::CreateOrganizationRequest {
            name: name.to_owned(),
            tier: TIER.to_owned(),
        };
        self.wait(OrganizationServiceClient::new(self.channel()).create(request))
            .with_context(|| format!("cannot create the organization {name}"))?;
        Ok(())
    }

    /// Registers an agent with one capability and issues it a secret.
    pub(crate) fn client(
        &self,
        organization: &str,
        name: &str,
        capability: &str,
    ) -> anyhow::Result<Client> {
        let request = v1::RegisterAgentRequest {
            organization: organization.to_owned(),
            email: format!("{name}@bench.example"),
            agent_type: "custom".to_owned(),
            version: "1.0.0".to_owned(),
            capabilities: vec![capability.to_owned()],
            owner: "bench".to_owned(),
            deployment_env: "production".to_owned(),
            ..v1::RegisterAgentRequest::default()
        };
        let registered = self
            .wait(AgentServiceClient::new(self.channel()).register(request))
            .with_context(|| format!("cannot register the agent {name}"))?;
        let agent = registered.agent.context("an answer without an agent")?;
        self.issue(&agent.id)
    }

    /// Issues a client secret to an agent, by its id or e-mail.
    pub(crate) fn issue(&self, agent: &str) -> anyhow::Result<Client> {
        let request = v1::IssueCredentialRequest {
            agent: agent.to_owned(),
            ..v1::IssueCredentialRequest::default()
        };
        let issued = self
            .wait(CredentialServiceClient::new(self.channel()).issue(request))
            .with_context(|| format!("cannot issue a secret to {agent}"))?;
        Ok(Client {
            id: issued.client_id,
            secret: issued.client_secret,
        })
    }

    /// Suspends an agent.
    pub(crate) fn suspend(&self, agent: &str) -> anyhow::Result<()> {
        let request = v1::AgentTransitionRequest {
            agent: agent.to_owned(),
            reason: "benchmark".to_owned(),
            revision: 0,
        };
        self.wait(AgentServiceClient::new(self.channel()).suspend(request))
            .with_context(|| format!("cannot suspend {agent}"))?;
        Ok(())
    }

    /// A page of agents.
    pub(crate) fn list(
        &self,
        request: v1::ListAgentsRequest,
    ) -> anyhow::Result<v1::ListAgentsResponse> {
        self.wait(AgentServiceClient::new(self.channel()).list(request))
            .context("cannot list agents")
    }

    /// The proof that an entry is in the log.
    pub(crate) fn prove(&self, seq: u64) -> anyhow::Result<String> {
        let request = v1::ProveAuditEntryRequest { seq };
        let answer = self.wait(AuditServiceClient::new(self.channel()).prove(request));
        Ok(answer.context("cannot get a proof")?.proof)
    }

    /// Has the whole store checked; gives the place of the log's entry that says so.
    pub(crate) fn check_store(&self) -> anyhow::Result<u64> {
        let request = v1::CheckStoreRequest {};
        let answer = self.wait(StoreServiceClient::new(self.channel()).check(request));
        Ok(answer.context("cannot have the store checked")?.audit_seq)
    }

    /// What the daemon says of itself.
    pub(crate) fn status(&self) -> anyhow::Result<v1::Status> {
        self.wait(StatusServiceClient::new(self.channel()).get(v1::GetStatusRequest {}))
            .context("cannot get the status")
    }
}

async fn connect(socket: PathBuf) -> Result<Channel, tonic::transport::Error> {
    let connector = tower::service_fn(move |_uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    // The URI names nothing: there is no host behind a socket.
    Endpoint::from_static("http://agentidp.invalid")
        .timeout(PATIENCE)
        .connect_with_connector(connector)
        .await
}
