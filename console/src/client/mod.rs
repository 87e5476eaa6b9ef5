//! The client of the operators' interface: one method a call, domain types in and out.
//!
//! The calls stand in the file of their noun.

mod agent;
mod audit;
mod change;
mod credential;
mod guard;
mod key;
mod organization;
mod rates;
mod retention;
mod status;
mod store;
mod token;

pub(crate) use self::agent::word;
pub use self::agent::{AgentQuery, Bulk, BulkProgress, ListedAgent, Refused};
pub use self::audit::LogKeyRange;
pub use self::credential::{Issued, ReviewedCredential};
pub use self::key::RotatedKeys;
pub use self::organization::{OrganizationUsage, ShownOrganization};
pub use self::rates::{AgentActivity, HOURS, SECONDS, TokenRates};
pub use self::retention::RetentionStatus;
pub use self::status::{
    Backup, BackupStatus, Caller, Certificate, Check, CheckpointStatus, Connection, DaemonStatus,
    Delivery, Disk, StoreStatus, Work,
};
pub use self::token::{InspectedToken, RevokedTokens, TokenClaims};

use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;
use std::time::Duration;

use agentidp_proto::v1;
use agentidp_proto::v1::status_service_client::StatusServiceClient;
use agentidp_shared::{FieldError, RequestId};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::Request;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use self::guard::Guard;
use crate::error::Error;
use crate::socket::SocketChoice;

/// The most records that the daemon gives in one answer.
pub const MAX_PAGE: u32 = 1_000;

/// How long one call may take before the daemon counts as gone.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// After how long without a word the daemon is asked whether it is still there.
const SILENCE: Duration = Duration::from_secs(5);

/// How long it has to answer that: a daemon that hangs counts as gone after both.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most bytes of one answer: a page of agents with all the metadata they may have.
const MAX_ANSWER: usize = 64 << 20;

/// What calls go through: the connection, and before it the guard of read-only mode.
type Transport = InterceptedService<Channel, Guard>;

/// A connection to the daemon. Clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
    guard: Guard,
    socket: PathBuf,
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The records.
    pub items: Vec<T>,
    /// What to ask the next page with; none when there is no more.
    pub next: Option<String>,
    /// How many there are on all pages together, where that is known.
    pub total: Option<u64>,
}

/// A record after a change, and the audit entry that says so.
#[derive(Debug, Clone)]
pub struct Changed<T> {
    /// The record as it is now.
    pub record: T,
    /// The entry's place in the log.
    pub audit_seq: u64,
}

impl Client {
    /// Connects to the daemon behind `choice`.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`] when there is no socket, no daemon behind it, or no right to use it.
    pub async fn connect(choice: &SocketChoice) -> Result<Self, Error> {
        let guard = Guard {
            is_read_only: choice.is_read_only(),
            request_id: None,
        };
        Self::open(choice.resolve()?, guard).await
    }

    /// A connection of its own to the same daemon. What it has read goes with it, whereas the buffers of
    /// a connection that lives on keep what came through them: so secrets come through one of these.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`].
    pub async fn apart(&self) -> Result<Self, Error> {
        Self::open(self.socket.clone(), self.guard).await
    }

    async fn open(socket: PathBuf, guard: Guard) -> Result<Self, Error> {
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
            .http2_keep_alive_interval(SILENCE)
            .keep_alive_timeout(PATIENCE)
            .connect_with_connector(connector)
            .await
            .map_err(|error| Error::Unreachable {
                why: format!("{} does not speak gRPC ({error})", socket.display()),
                hint: "check that the socket is the daemon's operator socket".to_owned(),
            })?;
        Ok(Self {
            channel,
            guard,
            socket,
        })
    }

    /// The same connection for a request of this name: asked again under it, it is done once.
    #[must_use]
    pub fn named(&self, request_id: RequestId) -> Self {
        let mut named = self.clone();
        named.guard.request_id = Some(request_id);
        named
    }

    /// The socket that the connection goes through.
    #[must_use]
    pub fn socket(&self) -> &std::path::Path {
        &self.socket
    }

    /// Whether it refuses to change anything.
    #[must_use]
    pub const fn is_read_only(&self) -> bool {
        self.guard.is_read_only
    }

    /// Tells the daemon's state and who the caller is to it.
    ///
    /// # Errors
    ///
    /// See [`Error`], as for every call.
    pub async fn status(&self) -> Result<DaemonStatus, Error> {
        let answer = StatusServiceClient::with_interceptor(self.channel.clone(), self.guard)
            .get(call(v1::GetStatusRequest {}))
            .await?
            .into_inner();
        answer.try_into().map_err(Error::Answer)
    }

    /// Counts the agents that there are for the caller, and tells the rate of tokens.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn count_agents(&self) -> Result<AgentCounts, Error> {
        let answer = StatusServiceClient::with_interceptor(self.channel.clone(), self.guard)
            .count(call(v1::CountRequest {}))
            .await?
            .into_inner();
        Ok(AgentCounts {
            by_status: answer.agents.into_iter().collect(),
            expiring: answer.expiring,
            tokens: answer
                .tokens
                .map(TryInto::try_into)
                .transpose()
                .map_err(Error::Answer)?,
        })
    }
}

/// How many agents there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentCounts {
    /// By status.
    pub by_status: std::collections::BTreeMap<String, u64>,
    /// With a credential that expires within seven days.
    pub expiring: u64,
    /// What was issued in the last minute; none for a caller who is limited to organizations.
    pub tokens: Option<TokenRates>,
}

/// Why the socket could not be connected to, and what to do about it.
fn unreachable(socket: &std::path::Path, error: &std::io::Error) -> Error {
    use std::io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};
    let is_socket =
        std::fs::metadata(socket).is_ok_and(|metadata| metadata.file_type().is_socket());
    let socket = socket.display();
    let (why, hint) = match error.kind() {
        NotFound => (
            format!("there is no socket at {socket}"),
            "start the daemon, or name its socket with --socket PATH or AGENTIDP_SOCKET",
        ),
        // What connecting to another kind of file gives.
        ConnectionRefused if !is_socket => (
            format!("{socket} is no socket"),
            "name the daemon's operator socket with --socket PATH or AGENTIDP_SOCKET",
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
        total: None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_socket_is_not_taken_for_a_daemon_that_does_not_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("operator.sock");
        let error = async || {
            let choice = SocketChoice::new(Some(path.clone()));
            Client::connect(&choice).await.unwrap_err()
        };
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let why = error().await.to_string();
        assert!(why.contains("nobody listens on"), "{why}");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        let error = error().await;
        assert!(error.to_string().ends_with("operator.sock is no socket"));
        assert_eq!(error.exit_code(), 6);
        assert!(error.hint().unwrap().starts_with("name the daemon's"));
    }
}
