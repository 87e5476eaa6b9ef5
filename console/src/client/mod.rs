//! The client of the operators' interface: one method a call, domain types in and out.

mod status;

pub use self::status::{Caller, DaemonStatus, StoreStatus};

use std::path::PathBuf;
use std::time::Duration;

use agentidp_proto::convert::to_domain_duration;
use agentidp_proto::v1;
use agentidp_proto::v1::agent_service_client::AgentServiceClient;
use agentidp_proto::v1::audit_service_client::AuditServiceClient;
use agentidp_proto::v1::credential_service_client::CredentialServiceClient;
use agentidp_proto::v1::organization_service_client::OrganizationServiceClient;
use agentidp_proto::v1::signing_key_service_client::SigningKeyServiceClient;
use agentidp_proto::v1::status_service_client::StatusServiceClient;
use agentidp_shared::agent::Transition;
use agentidp_shared::{Agent, Credential, FieldError, Organization, ScheduledKey};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Streaming};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::socket::SocketChoice;

/// The most records that the daemon gives in one answer.
pub const MAX_PAGE: u32 = 1_000;

/// How long one call may take before the daemon counts as gone.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// The most bytes of one answer: a page of agents with all the metadata they may have.
const MAX_ANSWER: usize = 64 << 20;

/// A connection to the daemon. Clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
    socket: PathBuf,
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The records.
    pub items: Vec<T>,
    /// What to ask the next page with; none when there is no more.
    pub next: Option<String>,
}

/// A record after a change, and the audit entry that says so.
#[derive(Debug, Clone)]
pub struct Changed<T> {
    /// The record as it is now.
    pub record: T,
    /// The entry's place in the log.
    pub audit_seq: u64,
}

/// A credential with its secret, which is shown once.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The new credential.
    pub credential: Credential,
    /// The one that it replaces, after a rotation.
    pub retiring: Option<Credential>,
    /// What the agent names itself with.
    pub client_id: String,
    /// What the agent proves itself with.
    pub client_secret: Zeroizing<String>,
    /// The entry's place in the log.
    pub audit_seq: u64,
}

/// The signing keys after a rotation.
#[derive(Debug, Clone)]
pub struct RotatedKeys {
    /// The one that will sign; after an emergency, the one that signs.
    pub key: ScheduledKey,
    /// The ones that were withdrawn in an emergency.
    pub revoked: Vec<ScheduledKey>,
    /// The entry's place in the log.
    pub audit_seq: u64,
    /// For how long caches may still hold the JWKS of before.
    pub jwks_max_age: Duration,
}

/// Which agents to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentQuery {
    /// Id or name of their organization; empty: all.
    pub organization: String,
    /// Their status; empty: all but archived.
    pub status: String,
    /// Who answers for them; empty: all.
    pub owner: String,
}

impl Client {
    /// Connects to the daemon behind `choice`.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`] when there is no socket, no daemon behind it, or no right to use it.
    pub async fn connect(choice: &SocketChoice) -> Result<Self, Error> {
        let socket = choice.resolve()?;
        // tonic would hide the cause of a failed connection, so the first one is made here.
        let first = UnixStream::connect(&socket)
            .await
            .map_err(|error| unreachable(&socket, &error))?;
        let mut first = Some(first);
        let path = socket.clone();
        let connector = tower::service_fn(move |_| {
            let (first, path) = (first.take(), path.clone());
            async move {
                match first {
                    Some(stream) => Ok(stream),
                    None => UnixStream::connect(path).await,
                }
                .map(TokioIo::new)
            }
        });
        // The URI names nothing: there is no host behind a socket.
        let channel = Endpoint::from_static("http://agentidp.invalid")
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .connect_with_connector(connector)
            .await
            .map_err(|error| Error::Unreachable {
                why: format!("{} does not speak gRPC ({error})", socket.display()),
                hint: "check that the socket is the daemon's operator socket".to_owned(),
            })?;
        Ok(Self { channel, socket })
    }

    /// The socket that the connection goes through.
    #[must_use]
    pub fn socket(&self) -> &std::path::Path {
        &self.socket
    }

    fn organization_service(&self) -> OrganizationServiceClient<Channel> {
        OrganizationServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    fn agent_service(&self) -> AgentServiceClient<Channel> {
        AgentServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    fn credential_service(&self) -> CredentialServiceClient<Channel> {
        CredentialServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    fn signing_key_service(&self) -> SigningKeyServiceClient<Channel> {
        SigningKeyServiceClient::new(self.channel.clone())
    }

    fn audit_service(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    /// Tells the daemon's state and who the caller is to it.
    ///
    /// # Errors
    ///
    /// See [`Error`], as for every call.
    pub async fn status(&self) -> Result<DaemonStatus, Error> {
        let answer = StatusServiceClient::new(self.channel.clone())
            .get(call(v1::GetStatusRequest {}))
            .await?
            .into_inner();
        answer.try_into().map_err(Error::Answer)
    }

    /// Creates an organization.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn create_organization(&self, name: String) -> Result<Changed<Organization>, Error> {
        let answer = self
            .organization_service()
            .create(call(v1::CreateOrganizationRequest { name }))
            .await?
            .into_inner();
        changed(answer.organization, "organization", answer.audit_seq)
    }

    /// Lists organizations, newest first.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn organizations(
        &self,
        limit: u32,
        page_token: String,
    ) -> Result<Page<Organization>, Error> {
        let answer = self
            .organization_service()
            .list(call(v1::ListOrganizationsRequest { limit, page_token }))
            .await?
            .into_inner();
        page(answer.organizations, answer.next_page_token)
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

    /// Lists agents, newest first.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn agents(
        &self,
        query: AgentQuery,
        limit: u32,
        page_token: String,
    ) -> Result<Page<Agent>, Error> {
        let answer = self
            .agent_service()
            .list(call(v1::ListAgentsRequest {
                limit,
                page_token,
                organization: query.organization,
                status: query.status,
                owner: query.owner,
            }))
            .await?
            .into_inner();
        page(answer.agents, answer.next_page_token)
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

    /// Issues a client secret.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn issue_credential(
        &self,
        agent: String,
        expires_in: Option<Duration>,
    ) -> Result<Issued, Error> {
        let answer = self
            .credential_service()
            .issue(call(v1::IssueCredentialRequest {
                agent,
                expires_in: expires_in.map(wire_duration),
            }))
            .await?
            .into_inner();
        issued(answer)
    }

    /// Issues a successor of a credential.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn rotate_credential(
        &self,
        credential_id: String,
        grace: Option<Duration>,
        revision: u64,
    ) -> Result<Issued, Error> {
        let answer = self
            .credential_service()
            .rotate(call(v1::RotateCredentialRequest {
                credential_id,
                grace: grace.map(wire_duration),
                revision,
            }))
            .await?
            .into_inner();
        issued(answer)
    }

    /// Cuts a credential off.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn revoke_credential(
        &self,
        credential_id: String,
        reason: String,
        revision: u64,
    ) -> Result<Changed<Credential>, Error> {
        let answer = self
            .credential_service()
            .revoke(call(v1::RevokeCredentialRequest {
                credential_id,
                reason,
                revision,
            }))
            .await?
            .into_inner();
        changed(answer.credential, "credential", answer.audit_seq)
    }

    /// Lists an agent's credentials, newest first.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn credentials(&self, agent: String) -> Result<Vec<Credential>, Error> {
        let answer = self
            .credential_service()
            .list(call(v1::ListCredentialsRequest { agent }))
            .await?
            .into_inner();
        records(answer.credentials)
    }

    /// Lists signing keys, newest first.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn keys(&self) -> Result<Vec<ScheduledKey>, Error> {
        let answer = self
            .signing_key_service()
            .list(call(v1::ListSigningKeysRequest {}))
            .await?
            .into_inner();
        records(answer.keys)
    }

    /// Replaces the key that signs; in an emergency, withdraws the key `kid`, or every published one
    /// when it is empty, at once.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn rotate_keys(
        &self,
        emergency: bool,
        kid: String,
        reason: String,
    ) -> Result<RotatedKeys, Error> {
        let answer = self
            .signing_key_service()
            .rotate(call(v1::RotateSigningKeyRequest {
                reason,
                emergency,
                kid,
            }))
            .await?
            .into_inner();
        let Changed { record, audit_seq } = changed(answer.key, "key", answer.audit_seq)?;
        let max_age = answer
            .jwks_max_age
            .ok_or(FieldError::new("jwks_max_age", "must be present"))?;
        Ok(RotatedKeys {
            key: record,
            revoked: records(answer.revoked)?,
            audit_seq,
            jwks_max_age: to_domain_duration(max_age, "jwks_max_age")?,
        })
    }

    /// Lists audit entries, newest first, from before `before` on.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn audit_page(
        &self,
        limit: u32,
        before: Option<u64>,
        filter: v1::AuditFilter,
    ) -> Result<v1::ListAuditEntriesResponse, Error> {
        let answer = self
            .audit_service()
            .list(call(v1::ListAuditEntriesRequest {
                limit,
                before,
                filter: Some(filter),
            }))
            .await?;
        Ok(answer.into_inner())
    }

    /// Follows the audit log from entry `from` on, or from the next one.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn tail(
        &self,
        from: Option<u64>,
        filter: v1::AuditFilter,
        max_lag: u32,
    ) -> Result<Streaming<v1::TailAuditResponse>, Error> {
        let answer = self
            .audit_service()
            .tail(Request::new(v1::TailAuditRequest {
                from,
                filter: Some(filter),
                max_lag,
            }))
            .await?;
        Ok(answer.into_inner())
    }
}

/// Why the socket could not be connected to, and what to do about it.
fn unreachable(socket: &std::path::Path, error: &std::io::Error) -> Error {
    use std::io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};
    let socket = socket.display();
    let (why, hint) = match error.kind() {
        NotFound => (
            format!("there is no socket at {socket}"),
            "start the daemon, or name its socket with --socket PATH or AGENTIDP_SOCKET",
        ),
        ConnectionRefused => (
            format!("nobody listens on {socket}"),
            "the daemon is not running: start it (systemctl start agentidpd), or look why it \
             ended (journalctl -u agentidpd)",
        ),
        PermissionDenied => (
            format!("this user may not use {socket}"),
            "the socket is for its group: ask your administrator to add you, then log in again",
        ),
        _ => (
            format!("{socket}: {error}"),
            "check that the path is the daemon's operator socket",
        ),
    };
    Error::Unreachable {
        why,
        hint: hint.to_owned(),
    }
}

fn call<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL_TIMEOUT);
    request
}

fn wire_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

fn records<W, D>(list: Vec<W>) -> Result<Vec<D>, Error>
where
    W: TryInto<D, Error = FieldError>,
{
    list.into_iter()
        .map(|it| it.try_into().map_err(Error::Answer))
        .collect()
}

fn page<W, D>(list: Vec<W>, next: String) -> Result<Page<D>, Error>
where
    W: TryInto<D, Error = FieldError>,
{
    Ok(Page {
        items: records(list)?,
        next: Some(next).filter(|token| !token.is_empty()),
    })
}

fn changed<W, D>(
    record: Option<W>,
    field: &'static str,
    audit_seq: u64,
) -> Result<Changed<D>, Error>
where
    W: TryInto<D, Error = FieldError>,
{
    let record = record.ok_or(FieldError::new(field, "must be present"))?;
    Ok(Changed {
        record: record.try_into()?,
        audit_seq,
    })
}

fn issued(answer: v1::IssuedCredential) -> Result<Issued, Error> {
    // Taken first, so that the secret is wiped whatever happens to the rest.
    let client_secret = Zeroizing::new(answer.client_secret);
    let credential = answer
        .credential
        .ok_or(FieldError::new("credential", "must be present"))?;
    Ok(Issued {
        credential: credential.try_into()?,
        retiring: answer.retiring.map(TryInto::try_into).transpose()?,
        client_id: answer.client_id,
        client_secret,
        audit_seq: answer.audit_seq,
    })
}
