//! TLS: the certificate in use, and how another takes its place while the daemon runs.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::config::{ConfigError, Tls, provider};

/// HTTP/2, as ALPN names it (RFC 9113, section 3.1).
pub(super) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// The certificate that the configuration names, as its files are now.
#[derive(Debug)]
pub(crate) struct Certificate {
    tls: Tls,
    current: Arc<Current>,
    /// What the files were like when they were last read, whether they were any good or not.
    seen: Mutex<[Option<Stamp>; 2]>,
}

/// A file at one time: its device, its inode, its size, and when it was changed.
type Stamp = (u64, u64, u64, (i64, i64));

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Certificate {
    /// Reads the certificate.
    ///
    /// # Errors
    ///
    /// When it cannot be used.
    pub(crate) fn load(tls: Tls) -> Result<Self, ConfigError> {
        // Before they are read: whatever changes later is noticed.
        let seen = stamps(&tls);
        let current = tls.load()?;
        Ok(Self {
            tls,
            current: Arc::new(Current(ArcSwap::from_pointee(current))),
            seen: Mutex::new(seen),
        })
    }

    /// Reads the certificate again when its files have changed, or `anyway`; gives how that went. One that
    /// cannot be used leaves the old one where it is; when the other file of a pair comes later, it is read
    /// again.
    pub(crate) fn renew(&self, anyway: bool) -> Option<Result<(), ConfigError>> {
        let now = stamps(&self.tls);
        if std::mem::replace(&mut *self.seen.lock(), now) == now && !anyway {
            return None;
        }
        let renewed = self.tls.load();
        Some(renewed.map(|new| self.current.0.store(Arc::new(new))))
    }

    /// From when on and until when it holds, in seconds since 1970 (RFC 5280, section 4.1.2.5); `None` when it
    /// cannot be read.
    pub(crate) fn validity(&self) -> Option<(i64, i64)> {
        let current = self.current.0.load();
        let (_, certificate) = x509_parser::parse_x509_certificate(current.cert.first()?).ok()?;
        let validity = certificate.validity();
        Some((
            validity.not_before.timestamp(),
            validity.not_after.timestamp(),
        ))
    }

    /// What speaks TLS with it: 1.3 and 1.2, and over them HTTP/2 or HTTP/1.1.
    ///
    /// # Errors
    ///
    /// When the provider of cryptography lacks what these versions need.
    pub(super) fn acceptor(&self) -> anyhow::Result<TlsAcceptor> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.current) as _);
        config.alpn_protocols = [HTTP2, HTTP1].map(<[u8]>::to_vec).to_vec();
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn stamps(tls: &Tls) -> [Option<Stamp>; 2] {
    tls.files().map(stamp)
}

/// `None` when there is no such file.
fn stamp(path: &Path) -> Option<Stamp> {
    let file = fs::metadata(path).ok()?;
    // The time of its status, because a file can be given any other time.
    let changed = (file.ctime(), file.ctime_nsec());
    Some((file.dev(), file.ino(), file.size(), changed))
}
