//! Where the daemon's socket is.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The socket of the daemon that systemd runs.
pub const SYSTEM: &str = "/run/agentidp/operator.sock";

/// The socket of a daemon in dev mode, from the folder it was started in.
pub const DEV: &str = "./.agentidp/operator.sock";

/// Which socket to use: one that was named, or the first of the usual ones that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SocketChoice {
    named: Option<PathBuf>,
    is_read_only: bool,
}

impl SocketChoice {
    /// The socket that `--socket` or `AGENTIDP_SOCKET` names. An empty name is none.
    #[must_use]
    pub fn new(named: Option<PathBuf>) -> Self {
        Self {
            named: named.filter(|path| !path.as_os_str().is_empty()),
            is_read_only: false,
        }
    }

    /// The same, with clients that refuse to change anything when `is_read_only`.
    #[must_use]
    pub fn read_only(self, is_read_only: bool) -> Self {
        Self {
            is_read_only,
            ..self
        }
    }

    /// Whether clients refuse to change anything.
    #[must_use]
    pub const fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    /// The path to connect to. Looked for anew at each call, because a daemon may start later.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`] when no socket was named and none of the usual ones is there.
    pub fn resolve(&self) -> Result<PathBuf, Error> {
        match &self.named {
            Some(path) => Ok(path.clone()),
            None => search(&[Path::new(SYSTEM), Path::new(DEV)]),
        }
    }
}

/// The first of `candidates` that is there. One that may not be looked at is better than none:
/// connecting to it says why.
fn search(candidates: &[&Path]) -> Result<PathBuf, Error> {
    let mut hidden = None;
    for path in candidates {
        match std::fs::metadata(path) {
            Ok(_) => return Ok(path.to_path_buf()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                hidden.get_or_insert(path.to_path_buf());
            }
            Err(_) => {}
        }
    }
    hidden.ok_or_else(|| {
        let looked_at = candidates
            .iter()
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>()
            .join(" and ");
        Error::Unreachable {
            why: format!("there is no socket at {looked_at}"),
            hint: "start the daemon (systemctl start agentidpd, or cargo dev in a clone), or name \
                   its socket with --socket PATH or AGENTIDP_SOCKET"
                .to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_socket_is_taken_as_it_is() {
        let choice = SocketChoice::new(Some("/nowhere/x.sock".into()));
        assert_eq!(choice.resolve().unwrap(), Path::new("/nowhere/x.sock"));
    }

    #[test]
    fn an_empty_name_is_no_name() {
        assert_eq!(SocketChoice::new(Some("".into())), SocketChoice::new(None));
    }

    #[test]
    fn the_first_socket_that_is_there_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("a.sock"), dir.path().join("b.sock"));
        std::fs::write(&second, "").unwrap();
        assert_eq!(search(&[&first, &second]).unwrap(), second);
        std::fs::write(&first, "").unwrap();
        assert_eq!(search(&[&first, &second]).unwrap(), first);
    }

    #[test]
    fn no_socket_at_all_is_an_error_that_names_every_place() {
        let error = search(&[Path::new("/nowhere/a"), Path::new("/nowhere/b")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot reach the daemon: there is no socket at /nowhere/a and /nowhere/b"
        );
    }
}
