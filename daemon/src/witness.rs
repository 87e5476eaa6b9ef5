//! A client of witnesses: C2SP tlog-witness, `add-checkpoint`.
//!
//! A witness signs a checkpoint once it knows that the log has only grown since the one that it signed
//! before. Whoever trusts it need not have followed the log to know that nobody was shown another.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentidp_shared::count::counted;
use agentidp_shared::merkle::{Signature, VerifierKey, verify_cosignature};
use anyhow::Context as _;
use axum::body::{Body, to_bytes};
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode, Uri};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::config::{WitnessSetting, provider};
use crate::service::Service;
use crate::service::log::Signed;

/// Where systems keep the certificates of the authorities that they trust.
const AUTHORITIES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];
/// The most bytes of an answer: there is room for more signatures than a note may have.
const MAX_ANSWER: usize = 64 * 1_024;
/// The type of the answer that says of what size the witness's last checkpoint was.
const SIZE: &str = "text/x.tlog.size";

/// A witness.
pub(crate) struct Witness {
    /// Its key's name, by which status and measurements name it.
    pub(crate) name: &'static str,
    key: VerifierKey,
    host: String,
    port: u16,
    /// The path of `add-checkpoint`.
    path: String,
    tls: Option<TlsConnector>,
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Witness({}, {})", self.name, self.host)
    }
}

/// What a witness said.
enum Answer {
    /// Lines of signatures.
    Signed(String),
    /// Its last checkpoint was of this size.
    Has(u64),
}

impl Witness {
    /// The witness that the configuration describes.
    ///
    /// # Errors
    ///
    /// When the certificates of authorities cannot be read.
    pub(crate) fn new(setting: &WitnessSetting) -> anyhow::Result<Self> {
        let (key, uri) = setting.parsed().map_err(|rule| {
            let rule = rule.into_owned();
            anyhow::Error::msg(rule).context("audit.witnesses")
        })?;
        let is_tls = uri.scheme_str() == Some("https");
        let tls = is_tls.then(|| connector(setting.authorities.as_deref()));
        Ok(Self {
            // As long as the process: like every other name of a measurement.
            name: String::leak(key.name().to_owned()),
            key,
            host: uri.host().unwrap_or_default().to_owned(),
            port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            path: format!("{}/add-checkpoint", uri.path().trim_end_matches('/')),
            tls: tls.transpose()?,
        })
    }

    /// Has the witness sign a checkpoint, and adds its signature to it. `known` is the size of the last
    /// one that it signed, as far as is known; 0 when nothing is.
    ///
    /// # Errors
    ///
    /// When it cannot be reached, does not want to, or its signature is not one.
    pub(crate) async fn cosign(
        &self,
        service: &Service,
        signed: &Signed,
        known: &mut u64,
    ) -> io::Result<()> {
        let mut connections = JoinSet::new();
        let mut sender = self.connect(&mut connections).await?;
        let mut answer = self.ask(&mut sender, service, signed, *known).await?;
        if let Answer::Has(size) = answer {
            if size == *known || size > signed.size() {
                return Err(other(format!(
                    "it has signed a log of {}, which is not the beginning of this one of {}: \
                     the log was put back to an earlier time, or another has its name",
                    counted(size, "entry"),
                    signed.size()
                )));
            }
            *known = size;
            answer = self.ask(&mut sender, service, signed, size).await?;
        }
        let Answer::Signed(lines) = answer else {
            return Err(other("it names another size each time".to_owned()));
        };
        let cosignature = self.cosignature(signed, &lines)?;
        *known = signed.size();
        let added = service.add_cosignature(signed.size(), cosignature).await;
        added.map_err(|error| other(error.to_string()))
    }

    /// The witness's own signature among the lines of its answer, verified. One: the checkpoint has room for
    /// those of the others too.
    fn cosignature(&self, signed: &Signed, lines: &str) -> io::Result<Signature> {
        let lines = lines.lines().map(Signature::from_line);
        let all: Result<Vec<_>, _> = lines.collect();
        let all = all.map_err(|error| other(error.to_string()))?;
        let own = all
            .into_iter()
            .find(|it| it.name() == self.key.name() && it.id() == self.key.id())
            .ok_or_else(|| other("its answer has no signature of its key".to_owned()))?;
        verify_cosignature(&signed.note, &own, &self.key)
            .map_err(|error| other(error.to_string()))?;
        Ok(own)
    }

    async fn ask(
        &self,
        sender: &mut SendRequest<Body>,
        service: &Service,
        signed: &Signed,
        old: u64,
    ) -> io::Result<Answer> {
        let proof = service.prove_up_to(old, signed).await;
        let proof = proof.map_err(|error| other(error.to_string()))?;
        let proof = proof.iter().map(|hash| format!("{hash}\n"));
        let body = format!("old {old}\n{}\n{}", proof.collect::<String>(), signed.note);
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header(HOST, format!("{}:{}", self.host, self.port))
            .header(CONTENT_TYPE, "text/plain; charset=utf-8")
            .body(Body::from(body))
            .map_err(io::Error::other)?;
        sender.ready().await.map_err(io::Error::other)?;
        let answer = sender.send_request(request).await;
        let (head, body) = answer.map_err(io::Error::other)?.into_parts();
        let body = to_bytes(Body::new(body), MAX_ANSWER).await;
        let body = String::from_utf8_lossy(&body.map_err(io::Error::other)?).into_owned();
        match head.status {
            StatusCode::OK => Ok(Answer::Signed(body)),
            StatusCode::CONFLICT if head.headers.get(CONTENT_TYPE).is_some_and(|it| it == SIZE) => {
                let size = body.strip_suffix('\n').and_then(|it| it.parse().ok());
                let size = size.ok_or_else(|| other("it names no size".to_owned()))?;
                Ok(Answer::Has(size))
            }
            status => Err(other(format!("{status}: {}", meaning(status)))),
        }
    }

    async fn connect(&self, connections: &mut JoinSet<()>) -> io::Result<SendRequest<Body>> {
        // The brackets of an IPv6 address are the URL's.
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, self.port)).await?;
        match &self.tls {
            None => talk(stream, connections).await,
            Some(tls) => {
                let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
                talk(tls.connect(name, stream).await?, connections).await
            }
        }
    }
}

/// Speaks HTTP over `stream`, for as long as `connections` is kept.
async fn talk<S>(stream: S, connections: &mut JoinSet<()>) -> io::Result<SendRequest<Body>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(io::Error::other)?;
    // What fails on it, the request tells.
    connections.spawn(async move { drop(connection.await) });
    Ok(sender)
}

fn other(cause: String) -> io::Error {
    io::Error::other(cause)
}

/// What a status means, by the specification.
fn meaning(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "it does not know this log: have `agentidp audit key` added there",
        StatusCode::FORBIDDEN => {
            "it does not trust the log's key: have `agentidp audit key` added there"
        }
        StatusCode::CONFLICT => "it has another tree of the same size",
        StatusCode::UNPROCESSABLE_ENTITY => "it has signed another history of this log",
        _ => "it did not sign the checkpoint",
    }
}

fn connector(authorities: Option<&Path>) -> anyhow::Result<TlsConnector> {
    let file = match authorities {
        Some(file) => file.to_owned(),
        None => AUTHORITIES
            .iter()
            .map(PathBuf::from)
            .find(|it| it.is_file())
            .context("audit.witnesses: the system has no certificates of authorities: name a file with `authorities`")?,
    };
    let unreadable = || format!("audit.witnesses: {}", file.display());
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(&file).with_context(unreadable)?;
    for certificate in certificates {
        // One that is of a form that is not known is not the one that is needed.
        let _ = roots.add(certificate.with_context(unreadable)?);
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A URL of a witness: its prefix of submissions.
pub(crate) fn parse_url(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let is_url = matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.host().is_some_and(|host| !host.is_empty())
        && uri.query().is_none()
        && !uri.authority()?.as_str().contains('@');
    is_url.then_some(uri)
}
