//! The listener: few connections, short requests, one path.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::picture;
use crate::backup::job::Backups;
use crate::service::Service;
use crate::service::health::Health;

/// How long a scraper may take to send its header, and leave its connection idle. Between two
/// scrapes it may well connect again.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// The most connections at once; more wait.
const MAX_CONNECTIONS: usize = 16;
/// The most bytes of a header; hyper takes no less.
const MAX_HEADER: usize = 8 * 1_024;
/// The `OpenMetrics` text format, which Prometheus has read since its version 2.5.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves `/metrics` on `listener` until `stopping`.
///
/// # Errors
///
/// When no connection can ever be accepted any more.
pub(crate) async fn serve(
    service: Arc<Service>,
    backups: Arc<Backups>,
    listener: TcpListener,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .with_state((service, backups));
    let mut builder = Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER);
    let connections = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            permit = Arc::clone(&permits).acquire_owned() => {
                let permit = permit?;
                tokio::select! {
                    accepted = listener.accept() => accepted.map(|(stream, _)| (stream, permit)),
                    () = stopping.cancelled() => break,
                }
            }
            () = stopping.cancelled() => break,
        };
        let (stream, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // The system is out of something, most likely: others must end before more can
                // begin.
                tracing::warn!(%error, "a scraper's connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let router = router.clone();
        let service = service_fn(move |request: http::Request<Incoming>| {
            let router = router.clone();
            async move { answer(router, request).await }
        });
        let connection = connections.watch(builder.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a scraper's connection ended in disorder");
            }
        });
    }
    drop(listener);
    connections.shutdown().await;
    Ok(())
}

async fn answer(
    router: Router,
    request: http::Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let mut response = router.oneshot(request.map(Body::new)).await?;
    let headers = response.headers_mut();
    headers.insert(
        X_CONTENT_TYPE_OPTIONS,
        http::HeaderValue::from_static("nosniff"),
    );
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn metrics(State((service, backups)): State<(Arc<Service>, Arc<Backups>)>) -> Response {
    let health = service.health().await;
    // It asks the disk, which may not answer at once.
    let writing = tokio::task::spawn_blocking(move || written(&service, &backups, &health));
    match writing.await {
        Ok(Ok(text)) => ([(CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        failed => {
            tracing::error!(?failed, "the metrics could not be written");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "the metrics could not be written: the daemon's log says why\n",
            )
                .into_response()
        }
    }
}

/// Every family, in the `OpenMetrics` text format.
fn written(
    service: &Service,
    backups: &Backups,
    health: &Health,
) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    service.metrics().register(&mut registry);
    service.store().metrics().register(&mut registry);
    picture::register(service, health, &mut registry);
    picture::backups(backups, &mut registry);
    let mut written = String::new();
    text::encode(&mut written, &registry)?;
    Ok(written)
}
