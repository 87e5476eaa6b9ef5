//! The server under the routes: connections, limits, request ids, and the headers that every
//! answer has.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use super::error::OAuthError;
use super::route::router;
use super::{App, Arrival};

/// How long a client may take to send its header, from the moment that it connects or has its last
/// answer. So it is also how long a connection may be idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes of a header; hyper takes no less.
const MAX_HEADER: usize = 8 * 1_024;
/// The most connections at once, however many files the process may open: beyond it the proxy
/// should share its own.
const MAX_CONNECTIONS: usize = 10_000;
/// The header that names a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How many connections may be open at once in a process that may have `open_files` open: half of
/// that, because the store and the operators need some too.
pub(super) fn most_connections(open_files: u64) -> usize {
    usize::try_from(open_files / 2).map_or(MAX_CONNECTIONS, |half| half.clamp(1, MAX_CONNECTIONS))
}

/// Serves agents on `listener` until `stopping`, and then until their requests are answered.
pub(crate) async fn serve(app: App, listener: TcpListener, stopping: CancellationToken) {
    let app = Arc::new(app);
    let router = router(Arc::clone(&app));
    // HTTP/1.1 alone: without TLS nobody negotiates HTTP/2, and to tell the two apart a server waits
    // for the first bytes, which no timer would bound.
    let mut builder = Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER)
        .keep_alive(true);
    let connections = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &app.connections) => accepted,
            () = stopping.cancelled() => break,
        };
        match accepted {
            Ok(accepted) => serve_connection(accepted, &builder, &connections, &app, &router),
            Err(error) => {
                // The system is out of something, most likely: others must end before more can begin.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    // Who connects now is refused instead of left waiting.
    drop(listener);
    connections.shutdown().await;
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

fn serve_connection(
    accepted: Accepted,
    builder: &Builder,
    connections: &GracefulShutdown,
    app: &Arc<App>,
    router: &Router,
) {
    let Accepted {
        stream,
        peer,
        permit,
    } = accepted;
    // Answers are small and are waited for.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection has ended already");
    }
    let address = peer.ip().to_canonical();
    let (app, router) = (Arc::clone(app), router.clone());
    let open = app.service.metrics().http.connection();
    let service = service_fn(move |request| {
        let (app, router) = (Arc::clone(&app), router.clone());
        async move { Ok::<_, std::convert::Infallible>(answer(&app, router, address, request).await) }
    });
    let connection = connections.watch(builder.serve_connection(TokioIo::new(stream), service));
    tokio::spawn(async move {
        let _while_it_lasts = (permit, open);
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended in disorder");
        }
    });
}

async fn answer(
    app: &App,
    router: Router,
    address: IpAddr,
    mut request: Request<Incoming>,
) -> Response {
    let counted = app.measure.begin(request.uri().path());
    let request_id = app.service.new_request_id();
    request.extensions_mut().insert(Arrival {
        address,
        request_id,
    });
    let span = tracing::info_span!("http", %request_id, method = %request.method(), path = request.uri().path());
    let answering =
        AssertUnwindSafe(router.oneshot(request.map(axum::body::Body::new))).catch_unwind();
    let mut response = match answering.instrument(span.clone()).await {
        Ok(Ok(response)) => response,
        // The panic hook has logged it.
        Err(_) => OAuthError::server_error().into_response(),
    };
    span.in_scope(|| tracing::debug!(status = response.status().as_u16(), "answered"));
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&request_id.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
    );
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    counted.answered(response.status());
    response
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
