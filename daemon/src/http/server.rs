//! The server under the routes: connections, limits, request ids, and the headers that every
//! answer has.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use agentidp_shared::Code;
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use http::header::HOST;
use http::{Request, Version};
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use super::connection::Protocols;
use super::cors::Verdict;
use super::error::{self, OAuthError};
use super::route::router;
use super::{App, Arrival, headers, limit};
use crate::service::ServiceError;

/// The most connections at once, however many files the process may open: beyond it the proxy
/// should share its own.
const MAX_CONNECTIONS: usize = 10_000;

/// How many connections may be open at once in a process that may have `open_files` open: half of
/// that, because the store and the operators need some too.
pub(super) fn most_connections(open_files: u64) -> usize {
    usize::try_from(open_files / 2).map_or(MAX_CONNECTIONS, |half| half.clamp(1, MAX_CONNECTIONS))
}

/// What every connection has.
struct Server {
    app: Arc<App>,
    router: Router,
    protocols: Protocols,
    stopping: CancellationToken,
}

/// Serves agents on `listener` until `stopping`, and then until their requests are answered.
///
/// # Errors
///
/// When TLS cannot be spoken.
pub(crate) async fn serve(
    app: App,
    listener: TcpListener,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    let tls = app.certificate.as_ref().map(|it| it.acceptor());
    let app = Arc::new(app);
    let server = Arc::new(Server {
        router: router(Arc::clone(&app)),
        app,
        protocols: Protocols::new(tls.transpose()?),
        stopping,
    });
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &server.app.connections) => accepted,
            () = server.stopping.cancelled() => break,
        };
        match accepted {
            Ok(accepted) => {
                connections.spawn(Arc::clone(&server).serve_connection(accepted));
            }
            Err(error) => {
                // The system is out of something, most likely: others must end before more can begin.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    // Who connects now is refused instead of left waiting.
    drop(listener);
    connections.close();
    connections.wait().await;
    Ok(())
}

/// A connection, and the permit that it holds while it lasts.
struct Accepted {
    stream: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
}

/// Waits for a permit, and only then takes a connection: more than there are permits for wait in the
/// kernel's queue, where they cost this process nothing.
async fn accept(listener: &TcpListener, connections: &Arc<Semaphore>) -> io::Result<Accepted> {
    let permit = Arc::clone(connections).acquire_owned().await;
    let permit = permit.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok(Accepted {
        stream,
        peer,
        permit,
    })
}

impl Server {
    async fn serve_connection(self: Arc<Self>, accepted: Accepted) {
        let Accepted {
            stream,
            peer,
            permit: _permit,
        } = accepted;
        let _open = self.app.service.metrics().http.connection();
        let answer = |request| {
            let server = Arc::clone(&self);
            async move { server.answer(peer.ip(), request).await }
        };
        let speaking = self.protocols.speak(stream, &self.stopping, answer);
        speaking.await;
    }

    async fn answer(&self, peer: IpAddr, request: Request<Incoming>) -> Response {
        let app = &self.app;
        let counted = app.measure.begin(request.uri().path());
        let request_id = app.service.new_request_id();
        let span = tracing::info_span!("http", %request_id);
        span.in_scope(
            || tracing::debug!(method = %request.method(), path = request.uri().path(), "asked"),
        );
        let arrival = Arrival {
            address: app.proxies.client(peer, request.headers()),
            request_id,
            headroom: None,
        };
        let cors = app.cors.look_at(&request);
        let answering = self.admit_and_route(arrival, request, cors.as_ref());
        let mut response = match AssertUnwindSafe(answering.instrument(span.clone()))
            .catch_unwind()
            .await
        {
            Ok(response) => response,
            // The panic hook has logged it.
            Err(_) => OAuthError::server_error().into_response(),
        };
        span.in_scope(|| tracing::debug!(status = response.status().as_u16(), "answered"));
        let headers = response.headers_mut();
        if let Some(cors) = cors {
            cors.tell(headers);
        }
        headers::complete(headers, &request_id.to_string(), app.is_https);
        counted.answered(response.status());
        response
    }

    /// Lets a request in if there is room for it, and if whoever sends it has not asked too often; all
    /// that before its body is read.
    async fn admit_and_route(
        &self,
        mut arrival: Arrival,
        request: Request<Incoming>,
        cors: Option<&Verdict>,
    ) -> Response {
        let app = &self.app;
        // What two servers on the way could take for two requests' worth of hosts is refused
        // (RFC 9112, section 3.2).
        let hosts = request.headers().get_all(HOST).iter().count();
        if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
            error::log_refusal(app, arrival, Code::InvalidRequest);
            let error = ServiceError::new(Code::InvalidRequest, "there must be one Host header");
            return error::refused(app, request.uri().path(), arrival.request_id, error);
        }
        let Some(kind) = limit::kind(request.method(), request.uri().path()) else {
            return self.route(arrival, request.map(Body::new)).await;
        };
        let Some(pass) = app.gate.enter(kind) else {
            let error = ServiceError::new(Code::Overloaded, "too much is under way");
            return error::refused(app, request.uri().path(), arrival.request_id, error);
        };
        let (address, request_id) = (arrival.address, arrival.request_id);
        match app.service.admit_address(kind, address, request_id) {
            Ok(headroom) => arrival.headroom = headroom,
            Err(error) => {
                return error::refused(app, request.uri().path(), request_id, error);
            }
        }
        let mut response = if let Some(preflight) = cors.and_then(Verdict::preflight) {
            preflight
        } else {
            let request = request.map(|body| Body::new(pass.watch(body)));
            self.route(arrival, request).await
        };
        // Refusals that must look alike would not if each had another number.
        let is_refusal = response.status().is_client_error() || response.status().is_server_error();
        if let Some(headroom) = arrival.headroom.filter(|_| !is_refusal) {
            limit::tell(response.headers_mut(), headroom);
        }
        response
    }

    async fn route(&self, arrival: Arrival, mut request: Request<Body>) -> Response {
        request.extensions_mut().insert(arrival);
        match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_open_files_may_be_connections_up_to_the_most() {
        for (open_files, connections) in [
            (0, 1),
            (1_024, 512),
            (65_536, MAX_CONNECTIONS),
            (u64::MAX, MAX_CONNECTIONS),
        ] {
            assert_eq!(most_connections(open_files), connections, "{open_files}");
        }
    }
}
