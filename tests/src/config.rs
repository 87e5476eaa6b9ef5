//! The configuration that a test's daemon runs with.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// One `[[operator.roles]]`.
#[derive(Debug, Clone)]
pub struct Role {
    /// `auditor`, `operator` or `admin`.
    pub role: &'static str,
    /// Names or numeric ids of users.
    pub users: Vec<String>,
    /// Names or numeric ids of groups.
    pub groups: Vec<String>,
    /// Names or ids of the organizations that there are for them; none: all.
    pub organizations: Option<Vec<String>>,
}

/// What the configuration file says. [`fmt::Display`] writes it as TOML.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the daemon listens for agents; its issuer follows from it.
    pub listen: SocketAddr,
    /// More lines of the section `[http]`.
    pub http: Vec<String>,
    /// The files of the certificate and its key, for TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Rates by their names in `[limits]`. Those that are not here are as high as can be: a test asks as
    /// fast as it can.
    pub limits: Vec<(&'static str, &'static str)>,
    /// Where it listens for operators.
    pub socket: PathBuf,
    /// Who may do what there.
    pub roles: Vec<Role>,
    /// The store's folder.
    pub store: PathBuf,
    /// How much of its disk is kept, when it is not to be the default.
    pub reserve: Option<&'static str>,
    /// The lines of the section `[backup]`.
    pub backup: Vec<String>,
    /// The file with the key that seals signing keys.
    pub key_encryption_key: PathBuf,
    /// What signs tokens: `ES256`, `EdDSA` or `RS256`.
    pub algorithm: &'static str,
    /// How long the JWKS may be kept, when it is not to be the default.
    pub jwks_max_age: Option<&'static str>,
    /// The issuer's path, if it is to have one, with its slash.
    pub issuer_path: &'static str,
    /// How long tokens live.
    pub lifetime: &'static str,
    /// What tokens are for when nobody says.
    pub default_audience: Option<&'static str>,
    /// The tier of organizations.
    pub default_tier: &'static str,
    /// The lines of the section `[audit]`.
    pub audit: Vec<String>,
    /// Where `/metrics` is served; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// Where logs go beside standard error.
    pub log_directory: Option<PathBuf>,
}

impl Config {
    /// A configuration whose every path is in `directory`, with the user who runs the test as admin.
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            listen: free_address(),
            http: Vec::new(),
            tls: None,
            limits: Vec::new(),
            socket: directory.join("run/operator.sock"),
            roles: vec![Role {
                role: "admin",
                users: vec![nix::unistd::geteuid().to_string()],
                groups: Vec::new(),
                organizations: None,
            }],
            store: directory.join("store"),
            reserve: None,
            backup: Vec::new(),
            key_encryption_key: directory.join("key-encryption-key"),
            algorithm: "ES256",
            jwks_max_age: None,
            issuer_path: "",
            lifetime: "15m",
            default_audience: None,
            default_tier: "unlimited",
            audit: Vec::new(),
            metrics: None,
            log_directory: None,
        }
    }

    /// The issuer's name.
    #[must_use]
    pub fn issuer(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{}", self.listen, self.issuer_path)
    }

    pub(crate) fn choose_another_address(&mut self) {
        self.listen = free_address();
        self.metrics = self.metrics.map(|_| free_address());
    }

    /// Whether nothing listens where the daemon is to.
    pub(crate) fn is_free(&self) -> bool {
        is_free(self.listen) && self.metrics.is_none_or(is_free)
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |path: &Path| text(&path.to_string_lossy());
        writeln!(f, "issuer = {}\n", text(&self.issuer()))?;
        writeln!(f, "[http]\nlisten = {}", text(&self.listen.to_string()))?;
        for line in &self.http {
            writeln!(f, "{line}")?;
        }
        if let Some((certificate, key)) = &self.tls {
            let (certificate, key) = (path(certificate), path(key));
            writeln!(f, "tls = {{ certificate = {certificate}, key = {key} }}")?;
        }
        writeln!(f, "\n[limits]")?;
        for kind in ["token", "write", "read"] {
            for whose in ["per_address", "per_agent", "per_organization"] {
                let name = format!("{kind}.{whose}");
                let rate = self.limits.iter().find(|(it, _)| *it == name);
                let rate = rate.map_or("1000000/s", |(_, rate)| rate);
                writeln!(f, "{name} = {}", text(rate))?;
            }
        }
        writeln!(f, "\n[operator]\nsocket = {}\n", path(&self.socket))?;
        for Role {
            role,
            users,
            groups,
            organizations,
        } in &self.roles
        {
            let list = |names: &[String]| Value::from(names).to_string();
            writeln!(f, "[[operator.roles]]\nrole = {}", text(role))?;
            if let Some(organizations) = organizations {
                writeln!(f, "organizations = {}", list(organizations))?;
            }
            writeln!(f, "users = {}\ngroups = {}\n", list(users), list(groups))?;
        }
        writeln!(
            f,
            "[organizations]\ndefault_tier = {}\n",
            text(self.default_tier)
        )?;
        writeln!(f, "[store]\npath = {}", path(&self.store))?;
        if let Some(reserve) = self.reserve {
            writeln!(f, "reserve = {}", text(reserve))?;
        }
        writeln!(f, "\n[audit]\n{}\n", self.audit.join("\n"))?;
        if !self.backup.is_empty() {
            writeln!(f, "[backup]\n{}\n", self.backup.join("\n"))?;
        }
        writeln!(f, "[keys]\nalgorithm = {}", text(self.algorithm))?;
        if let Some(age) = self.jwks_max_age {
            writeln!(f, "jwks_max_age = {}", text(age))?;
        }
        writeln!(
            f,
            "key_encryption_key_file = {}\n",
            path(&self.key_encryption_key)
        )?;
        writeln!(f, "[tokens]\nlifetime = {}", text(self.lifetime))?;
        if let Some(audience) = self.default_audience {
            writeln!(f, "default_audience = {}", text(audience))?;
        }
        let metrics = self.metrics.map_or("off".to_owned(), |it| it.to_string());
        writeln!(f, "\n[metrics]\nlisten = {}", text(&metrics))?;
        writeln!(f, "\n[log]\nlevel = \"info\"")?;
        if let Some(directory) = &self.log_directory {
            writeln!(f, "directory = {}", path(directory))?;
        }
        Ok(())
    }
}

/// A text as TOML writes it, which for paths and names is as JSON does.
fn text(text: &str) -> String {
    Value::from(text).to_string()
}

/// An address on the loopback that nothing listens on just now.
///
/// Outside the range that the kernel takes the ports of outgoing connections from: a daemon that is
/// started again must find its port free.
#[must_use]
pub fn free_address() -> SocketAddr {
    loop {
        let random = RandomState::new().build_hasher().finish() % 20_000;
        let port = 10_000 + u16::try_from(random).expect("below 20,000");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if is_free(address) {
            return address;
        }
    }
}

/// Whether nothing listens on `address` just now.
fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}
