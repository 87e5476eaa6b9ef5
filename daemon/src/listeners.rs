//! The sockets that the daemon listens on, bound before anything is opened or written, so that a
//! port or path in use leaves everything as it was.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, umask};

/// Why a socket could not be bound.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    /// The TCP port, or its address, is not to be had.
    #[error(
        "cannot listen on {address} ({setting}): {cause}; choose another address or end what uses it"
    )]
    Tcp {
        /// The setting that says so.
        setting: &'static str,
        /// What was to be bound.
        address: SocketAddr,
        /// Why it was not.
        cause: io::Error,
    },
    /// Another daemon answers on the Unix socket.
    #[error("the operators' socket {} is in use: another daemon answers there; end it, or set another operator.socket", .0.display())]
    InUse(PathBuf),
    /// Something that is no socket stands where it should be.
    #[error("{} (operator.socket) is there and is not a socket: move it away, or set another operator.socket", .0.display())]
    NotASocket(PathBuf),
    /// The Unix socket could not be bound.
    #[error("cannot listen on {} (operator.socket): {cause}; its directory must be there and writable", path.display())]
    Unix {
        /// What was to be bound.
        path: PathBuf,
        /// Why it was not.
        cause: io::Error,
    },
}

/// The sockets, bound. The operators' one is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) http: TcpListener,
    pub(crate) operator: UnixListener,
    /// For `/metrics`, if that is served.
    pub(crate) metrics: Option<TcpListener>,
    pub(crate) socket: SocketFile,
}

/// The file of a Unix socket that this process made.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listeners {
    /// Binds the sockets of agents and operators.
    ///
    /// Call it before any thread is started: the Unix socket gets its mode, 0660, from the
    /// process's file mode creation mask, which all threads share. Setting the mode after binding
    /// would leave a moment in which anyone could connect.
    ///
    /// # Errors
    ///
    /// [`BindError`]; then neither is bound, and no file is left behind.
    pub(crate) fn bind(address: SocketAddr, path: &Path) -> Result<Self, BindError> {
        let http = bind_tcp(address, "http.listen")?;
        let operator = bind_unix(path)?;
        Ok(Self {
            http,
            operator,
            metrics: None,
            socket: SocketFile(path.to_owned()),
        })
    }

    /// Binds the socket for `/metrics` too, if there is to be one.
    ///
    /// # Errors
    ///
    /// [`BindError`]; then none is bound any more, and no file is left behind.
    pub(crate) fn with_metrics(mut self, address: Option<SocketAddr>) -> Result<Self, BindError> {
        self.metrics = address
            .map(|address| bind_tcp(address, "metrics.listen"))
            .transpose()?;
        Ok(self)
    }

    /// Where `/metrics` is, with the real port when port 0 was asked for.
    ///
    /// # Errors
    ///
    /// When the operating system cannot tell.
    pub(crate) fn metrics_address(&self) -> io::Result<Option<SocketAddr>> {
        self.metrics
            .as_ref()
            .map(TcpListener::local_addr)
            .transpose()
    }

    /// Where agents find the daemon, with the real port when port 0 was asked for.
    ///
    /// # Errors
    ///
    /// When the operating system cannot tell.
    pub(crate) fn http_address(&self) -> io::Result<SocketAddr> {
        self.http.local_addr()
    }
}

fn bind_tcp(address: SocketAddr, setting: &'static str) -> Result<TcpListener, BindError> {
    let error = |cause| BindError::Tcp {
        setting,
        address,
        cause,
    };
    let listener = TcpListener::bind(address).map_err(error)?;
    listener.set_nonblocking(true).map_err(error)?;
    Ok(listener)
}

fn bind_unix(path: &Path) -> Result<UnixListener, BindError> {
    use std::os::unix::fs::FileTypeExt as _;

    let unix_error = |cause| BindError::Unix {
        path: path.to_owned(),
        cause,
    };
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(BindError::NotASocket(path.to_owned()));
        }
        Ok(_) => match UnixStream::connect(path) {
            // Left over from a daemon that was killed: nobody listens any more.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(unix_error)?;
            }
            Ok(_) => return Err(BindError::InUse(path.to_owned())),
            Err(cause) => return Err(unix_error(cause)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(cause) => return Err(unix_error(cause)),
    }
    let before = umask(Mode::from_bits_truncate(0o117));
    let bound = UnixListener::bind(path);
    umask(before);
    let listener = bound.map_err(unix_error)?;
    listener.set_nonblocking(true).map_err(unix_error)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn loopback() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn the_socket_is_made_with_its_mode_and_removed_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("operator.sock");
        let listeners = Listeners::bind(loopback(), &path).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o660
        );
        assert!(matches!(
            Listeners::bind(loopback(), &path),
            Err(BindError::InUse(_))
        ));
        drop(listeners);
        assert!(!path.exists());
    }

    #[test]
    fn when_the_address_of_the_metrics_is_taken_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("operator.sock");
        let taken = TcpListener::bind(loopback()).unwrap();
        let address = taken.local_addr().unwrap();
        let listeners = Listeners::bind(loopback(), &path).unwrap();
        let error = listeners.with_metrics(Some(address)).unwrap_err();
        assert!(error.to_string().contains("(metrics.listen)"), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn a_file_in_the_socket_s_place_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("operator.sock");
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(
            Listeners::bind(loopback(), &path),
            Err(BindError::NotASocket(_))
        ));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_socket_that_nobody_listens_on_any_more_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("operator.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        assert!(Listeners::bind(loopback(), &path).is_ok());
    }
}
