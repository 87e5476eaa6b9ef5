//! The server under the routes: connections, limits, request ids, and the headers that every
//! answer has.

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
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use super::error::OAuthError;
use super::route::router;
use super::{App, Arrival};

/// How long a client may take to send its header.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes of a header.
const MAX_HEADER: usize = 8 * 1_024;
/// The header that names a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Serves agents on `listener` until `stopping`, and then until their requests are answered.
pub(crate) async fn serve(app: App, listener: TcpListener, stopping: CancellationToken) {
    let app = Arc::new(app);
    let router = router(Arc::clone(&app));
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER.max(8_192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(MAX_HEADER).unwrap_or(u32::MAX));
    let connections = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                serve_connection(stream, peer, &builder, &connections, &app, &router);
            }
            Err(error) => {
                // Out of descriptors, most likely: others must end before more can begin.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    connections.shutdown().await;
}

fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    builder: &Builder<TokioExecutor>,
    connections: &GracefulShutdown,
    app: &Arc<App>,
    router: &Router,
) {
    // Answers are small and are waited for.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection has ended already");
    }
    let address = peer.ip().to_canonical();
    let (app, router) = (Arc::clone(app), router.clone());
    let service = service_fn(move |request| {
        let (app, router) = (Arc::clone(&app), router.clone());
        async move { Ok::<_, std::convert::Infallible>(answer(&app, router, address, request).await) }
    });
    let connection = connections.watch(
        builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned(),
    );
    tokio::spawn(async move {
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
    response
}
