//! The operators' socket: calls that name their request, and what came of them.

use std::path::Path;
use std::time::Duration;

use agentidp_proto::v1::agent_service_client::AgentServiceClient;
use agentidp_proto::v1::audit_service_client::AuditServiceClient;
use agentidp_proto::v1::credential_service_client::CredentialServiceClient;
use agentidp_proto::v1::organization_service_client::OrganizationServiceClient;
use agentidp_proto::v1::status_service_client::StatusServiceClient;
use agentidp_proto::v1::tail_audit_response::Event;
use agentidp_proto::v1::token_service_client::TokenServiceClient;
use agentidp_proto::{CODE_METADATA, REQUEST_ID_METADATA, v1};
use agentidp_shared::RequestId;
use anyhow::{Context as _, bail, ensure};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

/// No call takes this long, unless the daemon hangs.
const PATIENCE: Duration = Duration::from_mins(1);
/// The longest message of a tail.
const MESSAGE: usize = 64 << 20;

/// What a call came to.
#[derive(Debug)]
pub(crate) enum Called<T> {
    /// It was done.
    Done(T),
    /// The daemon refused, with this code, and nothing was changed.
    Refused(String),
    /// The daemon's disk has little room left: nothing was changed, and it goes on when there is more.
    LowOnSpace,
    /// The daemon could not write, or says so: what the call came to is not known.
    Unavailable(String),
    /// No answer: what it came to is not known.
    Gone,
}

/// A connection to the operators' socket.
#[derive(Debug, Clone)]
pub(crate) struct Operator(Channel);

impl Operator {
    /// Connects.
    pub(crate) async fn connect(socket: &Path) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(format!("unix://{}", socket.display()))?
            .connect()
            .await
            .with_context(|| format!("cannot connect to {}", socket.display()))?;
        Ok(Self(channel))
    }

    /// Calls about organizations.
    pub(crate) fn organizations(&self) -> OrganizationServiceClient<Channel> {
        OrganizationServiceClient::new(self.0.clone())
    }

    /// Calls about agents.
    pub(crate) fn agents(&self) -> AgentServiceClient<Channel> {
        AgentServiceClient::new(self.0.clone())
    }

    /// Calls about credentials.
    pub(crate) fn credentials(&self) -> CredentialServiceClient<Channel> {
        CredentialServiceClient::new(self.0.clone())
    }

    /// Calls about tokens.
    pub(crate) fn tokens(&self) -> TokenServiceClient<Channel> {
        TokenServiceClient::new(self.0.clone())
    }

    /// What the daemon says of itself.
    pub(crate) async fn status(&self) -> anyhow::Result<v1::Status> {
        let mut client = StatusServiceClient::new(self.0.clone());
        answer(client.get(v1::GetStatusRequest {})).await
    }

    /// Every organization.
    pub(crate) async fn all_organizations(&self) -> anyhow::Result<Vec<v1::Organization>> {
        let mut all = Vec::new();
        let mut request = v1::ListOrganizationsRequest {
            limit: 1_000,
            ..v1::ListOrganizationsRequest::default()
        };
        loop {
            let page = answer(self.organizations().list(request.clone())).await?;
            all.extend(page.organizations);
            if page.next_page_token.is_empty() {
                return Ok(all);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Every agent.
    pub(crate) async fn all_agents(&self) -> anyhow::Result<Vec<v1::Agent>> {
        let mut all = Vec::new();
        let mut request = v1::ListAgentsRequest {
            limit: 1_000,
            ..v1::ListAgentsRequest::default()
        };
        loop {
            let page = answer(self.agents().list(request.clone())).await?;
            all.extend(page.agents.into_iter().filter_map(|listed| listed.agent));
            if page.next_page_token.is_empty() {
                return Ok(all);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Every credential of an agent.
    pub(crate) async fn credentials_of(&self, agent: &str) -> anyhow::Result<Vec<v1::Credential>> {
        let request = v1::ListCredentialsRequest {
            agent: agent.to_owned(),
        };
        Ok(answer(self.credentials().list(request)).await?.credentials)
    }

    /// What the daemon knows of a token.
    pub(crate) async fn inspect(&self, token: &str) -> anyhow::Result<v1::InspectTokenResponse> {
        let request = v1::InspectTokenRequest {
            token: token.to_owned(),
        };
        answer(self.tokens().inspect(request)).await
    }

    /// The audit entries from number `from` to the last there is, each with its number.
    pub(crate) async fn entries(&self, from: u64) -> anyhow::Result<Vec<v1::AuditEntry>> {
        let mut client = AuditServiceClient::new(self.0.clone()).max_decoding_message_size(MESSAGE);
        let mut stream = answer(client.tail(v1::TailAuditRequest {
            from: Some(from),
            ..v1::TailAuditRequest::default()
        }))
        .await?;
        let mut entries = Vec::new();
        loop {
            let message = timeout(PATIENCE, stream.message())
                .await
                .context("the audit log does not go on")??;
            match message.and_then(|message| message.event) {
                Some(Event::Entry(entry)) => entries.push(entry),
                Some(Event::Position(_)) => return Ok(entries),
                Some(Event::Gap(gap)) => bail!("the audit log has a gap: {gap:?}"),
                None => bail!("the audit log ends before its end"),
            }
        }
    }
}

/// A request that has a name, by which its audit entries are known.
pub(crate) fn named<T>(id: RequestId, message: T) -> anyhow::Result<Request<T>> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert(REQUEST_ID_METADATA, id.to_string().parse()?);
    Ok(request)
}

/// Waits for what a call comes to.
///
/// # Errors
///
/// When nothing happens at all.
pub(crate) async fn called<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> anyhow::Result<Called<T>> {
    let outcome = timeout(PATIENCE, call)
        .await
        .with_context(|| format!("a call has not answered for {} s", PATIENCE.as_secs()))?;
    Ok(match outcome {
        Ok(response) => Called::Done(response.into_inner()),
        Err(status) => match status.metadata().get(CODE_METADATA) {
            Some(code) if code == "STORAGE_LOW" => Called::LowOnSpace,
            Some(code) if code == "STORE_UNAVAILABLE" => Called::Unavailable(status.to_string()),
            Some(code) => Called::Refused(format!("{}: {}", code.to_str()?, status.message())),
            None => Called::Gone,
        },
    })
}

async fn answer<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> anyhow::Result<T> {
    let response = timeout(PATIENCE, call)
        .await
        .with_context(|| format!("a call has not answered for {} s", PATIENCE.as_secs()))?;
    Ok(response?.into_inner())
}

/// The audit entries' numbers have to be these, one after the other.
pub(crate) fn check_numbers(entries: &[v1::AuditEntry], from: u64) -> anyhow::Result<()> {
    for (entry, expected) in entries.iter().zip(from..) {
        ensure!(
            entry.seq == expected,
            "the audit log has entry {} where entry {expected} should be",
            entry.seq
        );
    }
    Ok(())
}
