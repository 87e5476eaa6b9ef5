//! The certificate that the agents' interface shows, and its key.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::error::{ConfigError, Place, Warning};
use super::secret::warn_if_open;
use super::source::{Environment, Sources};
use super::value;

const CERTIFICATE: &str = "http.tls.certificate";
const KEY: &str = "http.tls.key";
/// The name of the credential by which the service manager gives the key.
const CREDENTIAL: &str = "tls-key";
/// Far more than the longest chain.
const MAX_FILE: u64 = 1 << 20;

/// TLS for the agents' interface.
#[derive(Debug, Clone)]
pub struct Tls {
    certificate: (PathBuf, Place),
    key: (PathBuf, Place),
    /// Who may read a credential is the service manager's affair.
    is_credential: bool,
}

impl Tls {
    /// What was given; `None` when nothing was.
    pub(super) fn of(
        sources: &Sources<'_>,
        environment: &Environment,
    ) -> Result<Option<Self>, ConfigError> {
        let certificate = sources.text(CERTIFICATE, value::path)?;
        let key = sources.text(KEY, value::path)?;
        let Some(certificate) = certificate else {
            return match key {
                Some(_) => {
                    Err(sources.refuse(KEY, format!("must not be set without {CERTIFICATE}")))
                }
                None => Ok(None),
            };
        };
        let is_credential = key.is_none();
        let key = if let Some(path) = key {
            (path, sources.place(KEY))
        } else if let Some(path) = environment.credential(CREDENTIAL) {
            (path, Place::Named("$CREDENTIALS_DIRECTORY".to_owned()))
        } else {
            let rule = format!(
                "must be set with {CERTIFICATE}, unless the service manager gives the credential {CREDENTIAL}"
            );
            return Err(sources.refuse(KEY, rule));
        };
        Ok(Some(Self {
            certificate: (certificate, sources.place(CERTIFICATE)),
            key,
            is_credential,
        }))
    }

    /// The two files.
    pub(crate) fn files(&self) -> [&Path; 2] {
        [&self.certificate.0, &self.key.0]
    }

    /// Reads both files and makes sure that they belong together.
    ///
    /// # Errors
    ///
    /// When one cannot be read, holds nothing of its kind in PEM, or is not the other's.
    pub fn load(&self) -> Result<CertifiedKey, ConfigError> {
        let ((certificate, place), (key, key_place)) = (&self.certificate, &self.key);
        let bytes = read(certificate)
            .map_err(|error| unreadable(CERTIFICATE, certificate, place, &error))?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let chain = chain
            .ok()
            .filter(|chain| !chain.is_empty())
            .ok_or_else(|| {
                refuse(
                    CERTIFICATE,
                    certificate,
                    place,
                    "must hold certificates in PEM, the server's own first",
                )
            })?;
        let bytes = read(key).map_err(|error| unreadable(KEY, key, key_place, &error))?;
        // The reader's errors repeat what it read: they are not shown.
        let private = PrivateKeyDer::from_pem_slice(&bytes).map_err(|_error| {
            refuse(
                KEY,
                key,
                key_place,
                "must hold a private key in PEM, without a password",
            )
        })?;
        CertifiedKey::from_der(chain, private, &default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => refuse(
                KEY,
                key,
                key_place,
                &format!("must be the key of the first certificate in {}", certificate.display()),
            ),
            rustls::Error::InvalidCertificate(error) => {
                refuse(CERTIFICATE, certificate, place, &format!("holds an unusable certificate: {error}"))
            }
            // Of the key nothing is told but that it will not do.
            _ => refuse(
                KEY,
                key,
                key_place,
                "must be an RSA key of 2048 to 8192 bits, an ECDSA key on P-256, P-384 or P-521, or an Ed25519 key",
            ),
        })
    }

    /// What to know about the files, though they work.
    pub(super) fn warning(&self) -> Option<Warning> {
        let (path, place) = &self.key;
        (!self.is_credential).then(|| warn_if_open(path, place, KEY))?
    }
}

/// The provider of all cryptography, named because rustls would look for one that was installed.
pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(default_provider())
}

fn refuse(key: &str, path: &Path, place: &Place, rule: &str) -> ConfigError {
    ConfigError::new(place.clone(), key, format!("{}: {rule}", path.display()))
}

fn unreadable(key: &str, path: &Path, place: &Place, error: &io::Error) -> ConfigError {
    refuse(key, path, place, &format!("cannot be read: {error}"))
}

fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // Reserved at once, so that growing leaves no copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(16_384));
    File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}
