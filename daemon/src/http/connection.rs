//! One connection, from its first byte to its last: how it is spoken on, and when it ends.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::stream::Impatient;
use super::tls::HTTP2;
use super::traffic::Traffic;

/// How long a client may take to send its header, from the moment that it connects or has its last
/// answer. So it is also how long a connection over HTTP/1.1 may be idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes of a header; hyper takes no less.
const MAX_HEADER: usize = 8 * 1_024;
/// How long a client may take to make room for more of its answers.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take to agree on a key.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one that is to end may take to say that it knows, and to receive what it has asked for.
const HTTP2_FAREWELL: Duration = Duration::from_secs(5);
/// The most requests at once on a connection over HTTP/2.
const HTTP2_STREAMS: u32 = 100;
/// The most streams of one connection that its client has reset and that are not cleared away yet
/// (rapid reset, CVE-2023-44487); beyond it the connection ends.
const HTTP2_RESETS: usize = 20;
/// As much as the body of one request.
const HTTP2_STREAM_WINDOW: u32 = 64 * 1_024;
const HTTP2_CONNECTION_WINDOW: u32 = 4 * HTTP2_STREAM_WINDOW;

/// How connections are spoken on.
pub(super) struct Protocols {
    /// Without it plain HTTP is spoken, and that is HTTP/1.1 alone: nobody negotiates HTTP/2 there, and
    /// to tell the two apart a server waits for the first bytes, which no timer would bound.
    tls: Option<TlsAcceptor>,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Protocols {
    pub(super) fn new(tls: Option<TlsAcceptor>) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_HEADER)
            .keep_alive(true);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_header_list_size(8 * 1_024)
            .max_concurrent_streams(HTTP2_STREAMS)
            .max_pending_accept_reset_streams(HTTP2_RESETS)
            .max_local_error_reset_streams(HTTP2_RESETS)
            .initial_stream_window_size(HTTP2_STREAM_WINDOW)
            .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
            .max_send_buf_size(64 * 1_024);
        Self { tls, http1, http2 }
    }

    /// Speaks on a connection until one side ends it, or until `stopping` and what has
    /// been asked by then is answered.
    pub(super) async fn speak<A, F>(
        &self,
        stream: TcpStream,
        stopping: &CancellationToken,
        answer: A,
    ) where
        A: Fn(Request<Incoming>) -> F,
        F: Future<Output = Response> + Send + 'static,
    {
        // Answers are small and are waited for.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection has ended already");
        }
        let stream = Impatient::new(stream, WRITE_TIMEOUT);
        let Some(tls) = &self.tls else {
            return self.speak_http1(stream, stopping, answer).await;
        };
        let accepted = tokio::select! {
            accepted = timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)) => accepted,
            () = stopping.cancelled() => return,
        };
        match accepted {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(HTTP2) => {
                self.speak_http2(stream, stopping, answer).await;
            }
            Ok(Ok(stream)) => self.speak_http1(stream, stopping, answer).await,
            Ok(Err(error)) => tracing::debug!(%error, "a client did not agree on TLS"),
            Err(_elapsed) => tracing::debug!("a client took too long to agree on TLS"),
        }
    }

    async fn speak_http1<S, A, F>(&self, stream: S, stopping: &CancellationToken, answer: A)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        A: Fn(Request<Incoming>) -> F,
        F: Future<Output = Response>,
    {
        let service = service_fn(|request| {
            let answer = answer(request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let connection = self.http1.serve_connection(TokioIo::new(stream), service);
        log(until_stopping(connection, stopping).await);
    }

    async fn speak_http2<S, A, F>(&self, stream: S, stopping: &CancellationToken, answer: A)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        A: Fn(Request<Incoming>) -> F,
        F: Future<Output = Response> + Send + 'static,
    {
        let traffic = Arc::new(Traffic::default());
        let service = service_fn(|request| {
            let (answer, under_way) = (answer(request), Traffic::begin(&traffic));
            async move {
                let answer = answer.await.map(|body| under_way.until_sent(body));
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = self.http2.serve_connection(TokioIo::new(stream), service);
        // HTTP/2 itself lets a client stay for ever that asks nothing, or takes no answer.
        let ending = stopping.child_token();
        let idle = async {
            traffic.until_idle().await;
            ending.cancel();
            tokio::time::sleep(HTTP2_FAREWELL).await;
        };
        tokio::select! {
            ended = until_stopping(connection, &ending) => log(ended),
            () = idle => tracing::debug!("a connection did not end when it was asked to"),
            () = traffic.until_overdue() => tracing::debug!("a client did not take its answers"),
        }
    }
}

/// Drives a connection to its end; once `stopping`, to the end of what has been asked.
async fn until_stopping<C: GracefulConnection>(
    connection: C,
    stopping: &CancellationToken,
) -> Result<(), C::Error> {
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        ended = connection.as_mut() => return ended,
        () = stopping.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

fn log<E: std::fmt::Display>(ended: Result<(), E>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended in disorder");
    }
}
