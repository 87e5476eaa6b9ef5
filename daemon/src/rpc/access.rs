//! The gate before every call: who is it, may they, and under which request id.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use agentidp_proto::{CODE_METADATA, READ_ONLY_METADATA, REQUEST_ID_METADATA};
use agentidp_shared::{Action, Code, Outcome, RequestId, Role};
use http::{HeaderValue, Request, Response};
use tonic::body::Body;
use tower::{Layer, Service as TowerService};
use tracing::Instrument as _;

use super::asked::Asked;
use super::calls::{Unanswered, Unsent};
use super::error::status;
use super::measure;
use super::peer::Peer;
use super::policy::{Operators, Standing};
use super::table::rule_of;
use crate::sending::{Flowing, Sending};
use crate::service::{Caller, IdempotencyKey, Reach, Service, ServiceError};
use crate::shares::{Share, Shares};

/// How far one reaches who has no role.
const NOWHERE: Reach = Reach::Organizations(BTreeSet::new());

/// How many calls one user may have under way, streams included; a call is under way until its answer is
/// sent. A client that takes no answer has the daemon hold so many of them, and no more.
const CALLS_OF_ONE: usize = 128;
/// How many all users together may have.
const CALLS: usize = 4 * CALLS_OF_ONE;

/// Puts the gate before a server.
#[derive(Clone)]
pub(super) struct AccessLayer {
    service: Arc<Service>,
    operators: Operators,
    calls: Shares<u32>,
}

impl AccessLayer {
    /// A gate that lets `operators` through.
    pub(super) fn new(service: Arc<Service>, operators: Operators) -> Self {
        Self {
            service,
            operators,
            calls: Shares::new(CALLS, CALLS_OF_ONE),
        }
    }

    /// A place among the calls under way; admins have the last quarter to themselves.
    fn begin(
        &self,
        peer: &Arc<Peer>,
        standing: &Standing,
    ) -> Result<(Share<u32>, Unsent), ServiceError> {
        let most = match standing.role {
            Role::Admin => CALLS,
            Role::Operator | Role::Auditor => CALLS - CALLS_OF_ONE,
        };
        let share = self.calls.take_within(most, peer.uid, 1).ok_or_else(|| {
            let message = "too many calls are under way: take the answers of those, or end them";
            ServiceError::new(Code::Overloaded, message)
        })?;
        Ok((share, peer.calls.begin()))
    }

    /// Lets the call through as `caller`, or gives what refuses it.
    fn check(
        &self,
        path: &str,
        standing: Option<&Standing>,
        caller: &Caller,
        asked: Option<&Asked>,
    ) -> Result<(), Box<Refused>> {
        Self::admit(path, standing, caller).map_err(|(action, error)| {
            Box::new(Refused {
                service: Arc::clone(&self.service),
                caller: caller.clone(),
                action,
                error,
                asked: asked.cloned(),
            })
        })
    }

    /// Lets the call through as `caller`, or says why not, and what it is in the log.
    fn admit(
        path: &str,
        standing: Option<&Standing>,
        caller: &Caller,
    ) -> Result<(), (Action, ServiceError)> {
        let refuse = |action, message: String| {
            Err((action, ServiceError::new(Code::PermissionDenied, message)))
        };
        // Users are called anything, also "nobody".
        let name = caller.actor.name.as_ref().or(caller.actor.id.as_ref());
        let who = name.map_or_else(|| "this user".to_owned(), |name| format!("the user {name}"));
        match (rule_of(path), standing) {
            (listed, None) => refuse(
                listed.map_or(Action::UnknownCall, |rule| rule.action),
                format!(
                    "{who} has no role here: an administrator gives one under [[operator.roles]] in the configuration"
                ),
            ),
            (None, Some(_)) => refuse(
                Action::UnknownCall,
                "this daemon has no such call".to_owned(),
            ),
            (Some(listed), Some(standing)) if standing.role < listed.role => refuse(
                listed.action,
                format!(
                    "{who} has the role {}; {} takes the role {}",
                    standing.role, listed.action, listed.role
                ),
            ),
            (Some(listed), Some(standing)) if !standing.allows(listed) => refuse(
                listed.action,
                format!(
                    "{who} has the role {} for some organizations only; {} takes it for all",
                    standing.role, listed.action
                ),
            ),
            (Some(_), Some(_)) => Ok(()),
        }
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = Access<S>;

    fn layer(&self, inner: S) -> Access<S> {
        Access {
            inner,
            gate: self.clone(),
        }
    }
}

/// The body of an answer, which holds the call's place, and is given up with its connection when its client
/// does not take it.
fn until_taken(body: Body, held: Option<(Share<u32>, Unsent)>) -> Body {
    match held {
        Some(held) => {
            let untaken = held.1.untaken();
            Body::new(Sending::new(Flowing::new(body, untaken), held))
        }
        None => body,
    }
}

/// The code of an answer that is an error. One that does not come from the service, such as that a
/// message could not be read, has none of its own.
fn code_of(response: &Response<Body>) -> Option<Code> {
    let text = |name| response.headers().get(name)?.to_str().ok();
    text("grpc-status").filter(|status| *status != "0")?;
    let code = text(CODE_METADATA).and_then(|code| code.parse().ok());
    Some(code.unwrap_or(Code::InvalidRequest))
}

/// A call under way: whatever an operator attempted is part of the log, whatever came of it. When the
/// caller goes away or its deadline passes, the call is dropped where it stands, and this with it.
struct Attempt {
    service: Arc<Service>,
    caller: Caller,
    action: Action,
    path: String,
    is_read: bool,
    is_answered: bool,
    asked: Option<Asked>,
    /// What the connection has of it.
    _unanswered: Option<Unanswered>,
}

impl Attempt {
    /// Notes that the call was answered; `failure` is the code when that is an error. What changes
    /// something has its entry from whoever changed it.
    fn answered(mut self, failure: Option<Code>) {
        self.is_answered = true;
        match failure {
            Some(code) => self.failed(code),
            None if self.is_read => self.service.note_read(&self.caller, self.action),
            None => {}
        }
    }

    fn failed(&self, code: Code) {
        let about = self.asked.as_ref().and_then(Asked::about);
        let came_to = (code.outcome(), code);
        self.service
            .deny_operator(&self.caller, self.action, came_to, about);
    }
}

/// A call that goes no further. It is in the log though its caller goes away before the rest of it is read.
struct Refused {
    service: Arc<Service>,
    caller: Caller,
    action: Action,
    error: ServiceError,
    asked: Option<Asked>,
}

impl Refused {
    /// Reads what was asked for, if that is of use, and says no.
    async fn answer(&self, body: Body) -> Response<Body> {
        if let Some(asked) = &self.asked {
            asked.read(body).await;
        }
        status(&self.error).into_http()
    }
}

impl Drop for Refused {
    fn drop(&mut self) {
        let about = self.asked.as_ref().and_then(Asked::about);
        let came_to = (Outcome::Denied, self.error.code);
        self.service
            .deny_operator(&self.caller, self.action, came_to, about);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.is_answered {
            self.failed(Code::Abandoned);
            measure::abandoned(&self.service.metrics().rpc, &self.path);
        }
    }
}

/// A server behind the gate.
#[derive(Clone)]
pub(super) struct Access<S> {
    inner: S,
    gate: AccessLayer,
}

impl<S> TowerService<Request<Body>> for Access<S>
where
    S: TowerService<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let service = &self.gate.service;
        let named = request
            .headers()
            .get(REQUEST_ID_METADATA)
            .and_then(|id| id.to_str().ok()?.parse::<RequestId>().ok());
        let request_id = named.unwrap_or_else(|| service.new_request_id());
        let peer = request.extensions().get::<Arc<Peer>>().cloned();
        let is_read_only = request.headers().contains_key(READ_ONLY_METADATA);
        let unanswered = peer.as_ref().map(|peer| peer.calls.come(is_read_only));
        let actor = peer
            .as_ref()
            .map_or_else(agentidp_shared::Actor::system, |peer| peer.actor());
        // A caller who names the request may ask for it again and have it done once.
        let idempotency = named.map(|named| {
            let user = actor.id.as_deref().unwrap_or_default();
            // The message joins it when it has been read.
            let call = format!("operator {user} {}", request.uri().path());
            IdempotencyKey::new(&call, &named.to_string(), &[])
        });
        let standing = peer
            .as_ref()
            .and_then(|peer| self.gate.operators.standing_of(peer));
        let reach = standing
            .as_ref()
            .map_or(Ok(NOWHERE), |standing| standing.reach(service));
        let (reach, unread) = match reach {
            Ok(reach) => (reach, Ok(())),
            Err(error) => (NOWHERE, Err(error)),
        };
        let caller = Caller {
            actor,
            request_id,
            reach,
            ceiling: None,
            idempotency,
        };
        let span = tracing::info_span!(
            "rpc", request_id = %request_id, path = request.uri().path(),
            user = caller.actor.name.as_deref().unwrap_or_default()
        );
        let path = request.uri().path().to_owned();
        // What a stranger asks for is nobody's business, and looking it up would cost a read.
        let asked = standing.as_ref().and_then(|_| Asked::of(&path));
        let admitted = self
            .gate
            .check(&path, standing.as_ref(), &caller, asked.as_ref());
        let is_read = rule_of(&path).is_some_and(|rule| rule.is_read);
        let action = rule_of(&path).map_or(Action::UnknownCall, |rule| rule.action);
        let failed = |error: &ServiceError| {
            let came_to = (Outcome::Failed, error.code);
            service.deny_operator(&caller, action, came_to, None);
        };
        let begun = match (&admitted, &peer, &standing) {
            (Ok(()), Some(peer), Some(standing)) => span.in_scope(|| {
                let begun = unread.and_then(|()| self.gate.begin(peer, standing));
                begun.inspect_err(failed).map(Some)
            }),
            // Whoever is refused is so whatever could be read.
            _ => unread.map(|()| None),
        };
        request.extensions_mut().insert(caller.clone());
        if let Some(asked) = &asked {
            request.extensions_mut().insert(asked.clone());
        }
        let service = Arc::clone(service);
        // The clone that was polled ready serves this call; the fresh one waits for the next.
        let fresh = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, fresh);
        let answer = async move {
            let mut response = match (admitted, begun) {
                (Ok(()), Ok(held)) => {
                    let attempt = Attempt {
                        service: Arc::clone(&service),
                        caller,
                        action,
                        path: path.clone(),
                        is_read,
                        is_answered: false,
                        asked,
                        _unanswered: unanswered,
                    };
                    let response = ready.call(request).await?;
                    attempt.answered(code_of(&response));
                    response.map(|body| until_taken(body, held))
                }
                (Err(refused), _) => refused.answer(request.into_body()).await,
                (_, Err(error)) => status(&error).into_http(),
            };
            measure::called(&service.metrics().rpc, &path, &response);
            if let Ok(id) = HeaderValue::from_str(&request_id.to_string()) {
                response.headers_mut().insert(REQUEST_ID_METADATA, id);
            }
            Ok(response)
        };
        Box::pin(answer.instrument(span))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;
    use std::time::Duration;

    use agentidp_shared::{Entry, RequestLimits, SigningAlgorithm};
    use futures_util::FutureExt as _;
    use tokio_util::sync::CancellationToken;
    use tower::service_fn;

    use super::*;
    use crate::clock::{Clock as _, System};
    use crate::config::RoleMapping;
    use crate::crypto::Sealer;
    use crate::service::tier::TierLimits;
    use crate::service::{Settings, Tiers, init};
    use crate::store::model::ModelStore;
    use crate::store::{EntryFilter, Store as _};

    pub(crate) async fn service(store: &Arc<ModelStore>) -> Arc<Service> {
        let system = Arc::new(System::default());
        let sealer = || Sealer::new(&[7; 32]).unwrap();
        let first = init::first_commit(store.status().id, &sealer(), system.as_ref(), system.now())
            .unwrap()
            .0;
        store.commit(first).await.unwrap();
        let settings = Settings {
            issuer: "https://id.example".to_owned(),
            default_audience: "https://id.example".to_owned(),
            token_lifetime: Duration::from_mins(15),
            algorithm: SigningAlgorithm::EdDsa,
            jwks_max_age: Duration::from_mins(5),
            warn_before: Vec::new(),
            log_readers: Vec::new(),
            tiers: Tiers {
                limits: BTreeMap::from([("free".parse().unwrap(), TierLimits::default())]),
                default: "free".parse().unwrap(),
            },
            rotation_period: None,
            limits: RequestLimits::default(),
            retention: crate::service::retention::Retention::default(),
        };
        let stopping = CancellationToken::new();
        let (clock, random) = (Arc::clone(&system) as _, system as _);
        let store = Arc::clone(store) as _;
        let service = Service::open(settings, store, clock, random, sealer(), stopping).await;
        Arc::new(service.unwrap())
    }

    /// Those among whom whoever tests is an admin.
    pub(crate) fn operators() -> Operators {
        Operators::new(vec![RoleMapping {
            role: Role::Admin,
            users: vec![Peer::of_this_process().uid.to_string()],
            groups: Vec::new(),
            organizations: None,
        }])
    }

    fn rotate_keys() -> Request<Body> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = "/agentidp.operator.v1.SigningKeyService/Rotate"
            .parse()
            .unwrap();
        let peer = Arc::new(Peer::of_this_process());
        request.extensions_mut().insert(peer);
        request
    }

    /// What the log says of calls that did not succeed.
    fn unsuccessful(store: &ModelStore) -> Vec<(Action, Outcome, Option<Code>)> {
        let page = store
            .entries_before(None, &EntryFilter::default(), 100)
            .unwrap();
        let entries = page.entries.iter().rev();
        entries
            .map(|it| serde_json::from_slice::<Entry>(&it.json).unwrap())
            .filter(|entry| entry.outcome != Outcome::Success)
            .map(|entry| (entry.action, entry.outcome, entry.code))
            .collect()
    }

    #[tokio::test]
    async fn what_a_rule_keeps_from_the_caller_is_denied_and_what_could_not_be_done_failed() {
        let store = Arc::new(ModelStore::new());
        let service = service(&store).await;
        let expected = [
            (Code::PermissionDenied, Outcome::Denied),
            (Code::AgentNotFound, Outcome::Denied),
            (Code::QuotaExceeded, Outcome::Denied),
            (Code::InvalidState, Outcome::Failed),
            (Code::StoreUnavailable, Outcome::Failed),
        ];
        for (code, _) in expected {
            let inner = service_fn(move |_request: Request<Body>| async move {
                let error = crate::service::ServiceError::new(code, "no");
                Ok::<_, Infallible>(status(&error).into_http())
            });
            let mut gate = AccessLayer::new(Arc::clone(&service), operators()).layer(inner);
            assert!(gate.call(rotate_keys()).now_or_never().is_some());
        }
        let expected = expected.map(|(code, outcome)| (Action::KeyRotate, outcome, Some(code)));
        assert_eq!(unsuccessful(&store), expected);
    }

    #[tokio::test]
    async fn what_is_refused_is_in_the_log_with_its_record_and_also_when_its_caller_goes_away() {
        let store = Arc::new(ModelStore::new());
        let service = service(&store).await;
        let inner = service_fn(|_request: Request<Body>| async {
            Ok::<_, Infallible>(Response::new(Body::empty()))
        });
        let auditors = Operators::new(vec![RoleMapping {
            role: Role::Auditor,
            users: vec![Peer::of_this_process().uid.to_string()],
            groups: Vec::new(),
            organizations: None,
        }]);
        let mut gate = AccessLayer::new(service, auditors).layer(inner);
        let mut release = |body| {
            let path = "/agentidp.operator.v1.OrganizationService/Release";
            let mut request = Request::new(Body::new(body));
            *request.uri_mut() = path.parse().unwrap();
            let peer = Arc::new(Peer::of_this_process());
            request.extensions_mut().insert(peer);
            gate.call(request)
        };
        let message = [&[0, 0, 0, 0, 6, 10, 4][..], b"acme"].concat();
        let answer = release(axum::body::Body::from(message)).await.unwrap();
        assert_eq!(code_of(&answer), Some(Code::PermissionDenied));
        let never = futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
        let unread = release(axum::body::Body::from_stream(never)).now_or_never();
        assert!(unread.is_none());
        let page = store.entries_before(None, &EntryFilter::default(), 2);
        let entries = page.unwrap().entries;
        let targets: Vec<_> = entries
            .iter()
            .map(|it| serde_json::from_slice::<Entry>(&it.json).unwrap())
            .map(|entry| (entry.outcome, entry.target.map(|it| it.id)))
            .collect();
        let acme = Some("acme".to_owned());
        assert_eq!(targets, [(Outcome::Denied, None), (Outcome::Denied, acme)]);
    }

    #[tokio::test]
    async fn who_takes_no_answers_gets_only_so_many() {
        let service = service(&Arc::new(ModelStore::new())).await;
        let inner = service_fn(|_request: Request<Body>| async {
            let body = Body::new(axum::body::Body::from("an answer"));
            Ok::<_, Infallible>(Response::new(body))
        });
        let mut gate = AccessLayer::new(Arc::clone(&service), operators()).layer(inner);
        let mut call = || {
            let mut request = Request::new(Body::empty());
            *request.uri_mut() = "/agentidp.operator.v1.AgentService/List".parse().unwrap();
            let peer = Arc::new(Peer::of_this_process());
            request.extensions_mut().insert(peer);
            gate.call(request).now_or_never().unwrap().unwrap()
        };
        let mut untaken: Vec<_> = (0..CALLS_OF_ONE).map(|_| call()).collect();
        assert!(untaken.iter().all(|answer| code_of(answer).is_none()));
        assert_eq!(code_of(&call()), Some(Code::Overloaded));
        untaken.pop();
        assert_eq!(code_of(&call()), None);
    }

    #[tokio::test]
    async fn a_call_that_is_dropped_before_its_answer_is_in_the_log_once() {
        let store = Arc::new(ModelStore::new());
        let service = service(&store).await;
        let call = |is_answered: bool| {
            let inner = service_fn(move |_request: Request<Body>| async move {
                if !is_answered {
                    std::future::pending::<()>().await;
                }
                Ok::<_, Infallible>(Response::new(Body::empty()))
            });
            let mut gate = AccessLayer::new(Arc::clone(&service), operators()).layer(inner);
            gate.call(rotate_keys())
        };
        assert!(call(true).now_or_never().is_some());
        assert_eq!(unsuccessful(&store), []);
        assert!(call(false).now_or_never().is_none());
        let abandoned = (Action::KeyRotate, Outcome::Failed, Some(Code::Abandoned));
        assert_eq!(unsuccessful(&store), [abandoned]);
    }
}
