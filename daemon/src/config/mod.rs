//! What the daemon is told: a TOML file, with the environment above it.
//!
//! `source` collects what was written and where, `value` has the rule of every kind of value,
//! and this module puts them together into a [`Config`] whose values are valid. Every setting of
//! the file has an environment variable, `AGENTIDP_<SECTION>_<KEY>`. See `setting` for how to add
//! one.
//!
//! Nothing here reads the process's own environment: whoever calls passes it, so tests own it.

mod backup;
mod error;
mod network;
mod secret;
mod setting;
mod source;
mod tls;
mod value;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agentidp_shared::key_schedule::DEFAULT_JWKS_MAX_AGE;
use agentidp_shared::{AgentId, Rate, Rates, RequestLimits, Role, SigningAlgorithm, Tier};

pub use backup::{Backup, BackupPlaces};
pub use error::{ConfigError, Place, Warning};
pub use network::{ForwardedHeader, Network, Origin};
pub use secret::KeyEncryptionKey;
pub use source::Environment;
pub use tls::Tls;
pub(crate) use tls::provider;
pub use value::{LogFilter, RoleMapping, TierSetting, WitnessSetting};

use secret::{Given, KeyNames, KeySource};
use source::Sources;

const DEFAULT_LIFETIME: Duration = Duration::from_mins(15);
const DEFAULT_WARN_BEFORE: [Duration; 3] = [
    Duration::from_hours(30 * 24),
    Duration::from_hours(7 * 24),
    Duration::from_hours(24),
];
const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8420);
const DEFAULT_METRICS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9464);
const DEFAULT_MAX_REQUESTS: u32 = 1_024;
const DEFAULT_SOCKET: &str = "/run/agentidp/operator.sock";
const DEFAULT_STORE: &str = "/var/lib/agentidp";
/// How old audit entries become unless it is configured.
const DEFAULT_KEEP_FOR: Duration = Duration::from_hours(90 * 24);
/// How long after one whole check of the store the next is made unless it is configured.
const DEFAULT_CHECK_EVERY: Duration = Duration::from_hours(7 * 24);
const DEFAULT_RESERVE: u64 = 32 << 20;
const DEFAULT_ROTATION_PERIOD: Duration = Duration::from_hours(30 * 24);
const KEY_ENCRYPTION_KEY: &KeyNames = &KeyNames {
    key: "keys.key_encryption_key",
    file: "keys.key_encryption_key_file",
    credential: "key-encryption-key",
};
const PREVIOUS_KEY_ENCRYPTION_KEY: &KeyNames = &KeyNames {
    key: "keys.previous_key_encryption_key",
    file: "keys.previous_key_encryption_key_file",
    credential: "previous-key-encryption-key",
};

/// What the daemon is told, valid.
#[derive(Debug, Clone)]
pub struct Config {
    /// The name that tokens are issued under (RFC 8414, section 2). `run` needs one
    /// ([`Config::require_issuer`]); in development it follows from the address.
    pub issuer: Option<String>,
    /// The agents' interface.
    pub http: Http,
    /// The operators' interface.
    pub operator: Operator,
    /// What organizations may have.
    pub organizations: Organizations,
    /// The store.
    pub store: Store,
    /// The audit log.
    pub audit: Audit,
    /// Backups of it, if there are to be any.
    pub backup: Option<Backup>,
    /// Signing keys and what seals them.
    pub keys: Keys,
    /// Access tokens.
    pub tokens: Tokens,
    /// What agents prove themselves with.
    pub credentials: Credentials,
    /// What is measured.
    pub metrics: Metrics,
    /// How often agents may ask.
    pub limits: RequestLimits,
    /// What is logged, and where.
    pub log: Log,
    /// The file, for errors about what is not in it.
    file: PathBuf,
}

/// The agents' interface.
#[derive(Debug, Clone)]
pub struct Http {
    /// Where it listens. Port 0 lets the operating system choose.
    pub listen: SocketAddr,
    /// Whether plain HTTP may be spoken on an address that is not loopback.
    pub allow_plaintext: bool,
    /// The proxies that are believed when they say whom they speak for.
    pub trusted_proxies: Vec<Network>,
    /// Where they say it.
    pub forwarded_header: ForwardedHeader,
    /// The origins of web pages that may read the answers.
    pub cors_origins: Vec<Origin>,
    /// How many requests may be under way at once: 1 to 100,000.
    pub max_requests: u32,
    /// TLS; otherwise plain HTTP is spoken.
    pub tls: Option<Tls>,
}

/// The name of the setting that says who may do what.
const ROLES: &str = "operator.roles";

/// The operators' interface.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The path of the Unix socket.
    pub socket: PathBuf,
    /// Who may do what there; never empty.
    pub roles: Vec<RoleMapping>,
    /// Where they are given; `None` for the defaults.
    pub roles_place: Option<Place>,
}

/// What organizations may have.
#[derive(Debug, Clone)]
pub struct Organizations {
    /// The tiers; never empty.
    pub tiers: Vec<TierSetting>,
    /// The tier of an organization that is given no other: one of them.
    pub default_tier: Tier,
}

/// The store.
#[derive(Debug, Clone)]
pub struct Store {
    /// Its folder.
    pub path: PathBuf,
    /// Where the head of the log is noted, so that a log cut short is noticed.
    pub head_file: PathBuf,
    /// How long after one whole check the next is made; `None`: only after an unclean end.
    pub check_every: Option<Duration>,
    /// How many bytes of its disk are kept for what must be written when it is nearly full; 0: none.
    pub reserve: u64,
}

/// The audit log: how long it keeps entries, where its checkpoints go beside it, and who may read it.
#[derive(Debug, Clone)]
pub struct Audit {
    /// How old entries become; `None`: they stay.
    pub keep_for: Option<Duration>,
    /// How many bytes of the index they may take; `None`: as many as there are.
    pub keep_bytes: Option<u64>,
    /// The file that they are appended to.
    pub checkpoint_file: Option<PathBuf>,
    /// The program that gets each on its standard input, and its arguments; never empty.
    pub checkpoint_command: Option<Vec<String>>,
    /// The agents that may read all of it over HTTP, whatever their organization.
    pub readers: Vec<AgentId>,
    /// Who is asked to sign them too.
    pub witnesses: Vec<WitnessSetting>,
}

/// Signing keys and what seals them.
#[derive(Debug, Clone)]
pub struct Keys {
    /// What new signing keys sign with.
    pub algorithm: SigningAlgorithm,
    /// How long a key signs; `None`: until an operator replaces it.
    pub rotation_period: Option<Duration>,
    /// How long the JWKS may be cached: whole seconds, 1 s to an hour.
    pub jwks_max_age: Duration,
    key_encryption_key: KeySource,
    previous_key_encryption_key: KeySource,
}

impl Keys {
    /// Reads the key-encryption key.
    ///
    /// # Errors
    ///
    /// When none is configured, or its file cannot be read or holds no key.
    pub fn load_key_encryption_key(&self) -> Result<KeyEncryptionKey, ConfigError> {
        self.key_encryption_key.load()
    }

    /// Reads the key-encryption key of before, if one is configured.
    ///
    /// # Errors
    ///
    /// When its file cannot be read or holds no key.
    pub fn load_previous_key_encryption_key(
        &self,
    ) -> Result<Option<KeyEncryptionKey>, ConfigError> {
        self.previous_key_encryption_key.load_if_given()
    }

    /// The file that the configuration names for the key-encryption key, for `init` to make when it
    /// is missing. A credential of the service manager is not ours to make, and is not named here.
    #[must_use]
    pub fn key_encryption_key_file(&self) -> Option<&Path> {
        match &self.key_encryption_key.given {
            Given::File(path, _) => Some(path),
            _ => None,
        }
    }
}

/// Access tokens.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// How long they live: whole seconds, 1 s to 24 h.
    pub lifetime: Duration,
    /// What they are for when the request and the agent do not say; otherwise the issuer.
    pub default_audience: Option<String>,
}

/// What is measured.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Where it is served; `None`: nowhere. Port 0 lets the operating system choose.
    pub listen: Option<SocketAddr>,
}

/// What agents prove themselves with.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// How long before one expires that is said; each once.
    pub warn_before: Vec<Duration>,
}

/// What is logged, and where.
#[derive(Debug, Clone)]
pub struct Log {
    /// Which events.
    pub level: LogFilter,
    /// The folder of the daily files.
    pub directory: Option<PathBuf>,
    /// Whether lines go to standard error; true when there is no folder.
    pub stderr: bool,
}

impl Config {
    /// Reads the file at `path`, and `environment` above it.
    ///
    /// # Errors
    ///
    /// The first setting that breaks a rule, or why the file cannot be read.
    pub fn load(
        path: &Path,
        environment: &Environment,
    ) -> Result<(Self, Vec<Warning>), ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let place = Place::File(path.to_owned(), None);
            ConfigError::whole(place, format!("cannot be read: {error}"))
        })?;
        Self::parse(path, &text, environment)
    }

    /// Reads `text` as the content of the file at `path`, and `environment` above it.
    ///
    /// # Errors
    ///
    /// The first setting that breaks a rule.
    pub fn parse(
        path: &Path,
        text: &str,
        environment: &Environment,
    ) -> Result<(Self, Vec<Warning>), ConfigError> {
        let mut sources = Sources::read(path, text, environment)?;
        let config = Self::of(path, &sources, environment)?;
        config.check_plaintext(|| sources.place("http.listen"))?;
        config.check_issuer(|| sources.place("issuer"))?;
        let mut warnings = std::mem::take(&mut sources.warnings);
        warnings.extend(config.keys.key_encryption_key.warning());
        warnings.extend(config.keys.previous_key_encryption_key.warning());
        warnings.extend(config.http.tls.as_ref().and_then(Tls::warning));
        Ok((config, warnings))
    }

    /// The configuration of development mode: everything in `dir`, logs both there and on standard
    /// error, and no file. `environment` holds for what the arguments do not say.
    ///
    /// The user of this process is an admin beside the operators whom the environment or the
    /// defaults name. The file of the key-encryption key, when the environment does not name
    /// another, is `<dir>/key-encryption-key`, and may have to be made.
    ///
    /// # Errors
    ///
    /// The first variable that breaks a rule, and an address that is not loopback unless the
    /// environment allows it.
    pub fn dev(
        dir: &Path,
        listen: SocketAddr,
        socket: &Path,
        environment: &Environment,
    ) -> Result<(Self, Vec<Warning>), ConfigError> {
        let mut sources = Sources::read(dir, "", environment)?;
        let mut config = Self::of(dir, &sources, environment)?;
        let warnings = std::mem::take(&mut sources.warnings);
        config.http.listen = listen;
        if sources
            .text("metrics.listen", value::address_or_off)?
            .is_none()
        {
            // Several may run at once, beside one in production.
            config.metrics.listen = Some(SocketAddr::new(DEFAULT_METRICS.ip(), 0));
        }
        // Nor does it ask for certificates.
        config.http.tls = None;
        config.check_plaintext(|| Place::Named("--listen".to_owned()))?;
        socket
            .to_str()
            .ok_or_else(|| "must be text in UTF-8".into())
            .and_then(value::socket)
            .map_err(|rule| {
                let place = Place::Named("--socket".to_owned());
                ConfigError::new(place, "operator.socket", rule)
            })?;
        socket.clone_into(&mut config.operator.socket);
        config.operator.roles.push(RoleMapping {
            role: Role::Admin,
            users: vec![nix::unistd::geteuid().to_string()],
            groups: Vec::new(),
            organizations: None,
        });
        // Whatever the environment says: trying something out must not touch a store in production.
        config.store = Store {
            path: dir.to_owned(),
            head_file: dir.join("head"),
            check_every: config.store.check_every,
            reserve: config.store.reserve,
        };
        let key = &mut config.keys.key_encryption_key;
        if matches!(key.given, Given::Absent(_)) {
            let place = Place::Named("--dir".to_owned());
            key.given = Given::File(dir.join(key.names.credential), place);
        }
        // Trying something out must not end at a quota, unless that is what is tried.
        if !sources.has("organizations.default_tier") {
            let unlimited =
                |tier: &&TierSetting| tier.agents.is_none() && tier.tokens_per_month.is_none();
            if let Some(tier) = config.organizations.tiers.iter().find(unlimited) {
                config.organizations.default_tier = tier.name.clone();
            }
        }
        config.log.directory.get_or_insert_with(|| dir.join("log"));
        config.log.stderr = true;
        Ok((config, warnings))
    }

    fn of(
        path: &Path,
        sources: &Sources<'_>,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let store = sources
            .text("store.path", value::path)?
            .unwrap_or_else(|| DEFAULT_STORE.into());
        let directory = sources.text("log.directory", value::path)?;
        Ok(Self {
            issuer: sources.text("issuer", value::issuer)?,
            http: http(sources, environment)?,
            operator: Operator {
                socket: sources
                    .text("operator.socket", value::socket)?
                    .unwrap_or_else(|| DEFAULT_SOCKET.into()),
                roles: roles(sources)?,
                roles_place: sources.has(ROLES).then(|| sources.place(ROLES)),
            },
            organizations: organizations(sources)?,
            store: Store {
                head_file: sources
                    .text("store.head_file", value::path)?
                    .unwrap_or_else(|| store.join("head")),
                check_every: sources
                    .text("store.check_every", value::rotation_period)?
                    .unwrap_or(Some(DEFAULT_CHECK_EVERY)),
                path: store,
                reserve: sources
                    .text("store.reserve", value::reserve)?
                    .unwrap_or(DEFAULT_RESERVE),
            },
            audit: Audit {
                keep_for: sources
                    .text("audit.keep_for", value::keep_for)?
                    .unwrap_or(Some(DEFAULT_KEEP_FOR)),
                keep_bytes: sources
                    .text("audit.keep_bytes", value::keep_bytes)?
                    .unwrap_or_default(),
                checkpoint_file: sources.text("audit.checkpoint_file", value::path)?,
                checkpoint_command: checkpoint_command(sources)?,
                readers: sources.value("audit.readers")?.unwrap_or_default(),
                witnesses: witnesses(sources)?,
            },
            backup: Backup::of(sources)?,
            keys: Keys {
                algorithm: sources
                    .word("keys.algorithm")?
                    .unwrap_or(SigningAlgorithm::Es256),
                jwks_max_age: sources
                    .text("keys.jwks_max_age", value::jwks_max_age)?
                    .unwrap_or(DEFAULT_JWKS_MAX_AGE),
                rotation_period: sources
                    .text("keys.rotation_period", value::rotation_period)?
                    .unwrap_or(Some(DEFAULT_ROTATION_PERIOD)),
                key_encryption_key: KeySource::find(KEY_ENCRYPTION_KEY, sources, environment)?,
                previous_key_encryption_key: KeySource::find(
                    PREVIOUS_KEY_ENCRYPTION_KEY,
                    sources,
                    environment,
                )?,
            },
            tokens: Tokens {
                lifetime: sources
                    .text("tokens.lifetime", value::lifetime)?
                    .unwrap_or(DEFAULT_LIFETIME),
                default_audience: sources.text("tokens.default_audience", value::audience)?,
            },
            metrics: Metrics {
                listen: sources
                    .text("metrics.listen", value::address_or_off)?
                    .unwrap_or(Some(DEFAULT_METRICS)),
            },
            credentials: Credentials {
                warn_before: warn_before(sources)?,
            },
            limits: limits(sources)?,
            log: Log {
                level: sources
                    .text("log.level", value::log_filter)?
                    .unwrap_or_default(),
                stderr: directory.is_none(),
                directory,
            },
            file: path.to_owned(),
        })
    }

    fn check_plaintext(&self, place: impl FnOnce() -> Place) -> Result<(), ConfigError> {
        let Http { listen, tls, .. } = &self.http;
        if tls.is_some() || self.http.allow_plaintext || listen.ip().is_loopback() {
            return Ok(());
        }
        Err(ConfigError::new(
            place(),
            "http.listen",
            "must be a loopback address unless http.tls is set or http.allow_plaintext is true",
        ))
    }

    fn check_issuer(&self, place: impl FnOnce() -> Place) -> Result<(), ConfigError> {
        let is_plain = |issuer: &String| issuer.starts_with("http:");
        if self.http.tls.is_some() && self.issuer.as_ref().is_some_and(is_plain) {
            let rule = "must be an https URL when http.tls is set";
            return Err(ConfigError::new(place(), "issuer", rule));
        }
        Ok(())
    }

    /// The issuer, which `run` cannot do without.
    ///
    /// # Errors
    ///
    /// When none is configured.
    pub fn require_issuer(&self) -> Result<&str, ConfigError> {
        self.issuer.as_deref().ok_or_else(|| {
            let place = Place::File(self.file.clone(), None);
            ConfigError::new(place, "issuer", "must be set: there is no default")
        })
    }

    /// That backups are not encrypted, when they are not: for `run` and `config check`. What makes a backup
    /// says it anyway, and it is no affair of the other commands.
    #[must_use]
    pub fn unencrypted_backups(&self) -> Option<Warning> {
        self.backup.as_ref().and_then(Backup::unencrypted_warning)
    }

    /// Verifies what `run` needs beyond what the file itself says, and tells what may be missing. Without a store
    /// (`has_store`) the key-encryption key's file may still have to be made.
    ///
    /// # Errors
    ///
    /// When there is no issuer; when a key-encryption key or the certificate is configured and cannot be had.
    pub fn check(&self, has_store: bool) -> Result<Vec<Warning>, ConfigError> {
        let to_warning = |error: ConfigError| Warning {
            place: error.place,
            key: error.key,
            text: error.rule,
        };
        self.require_issuer()?;
        let mut warnings = Vec::new();
        if let Some(tls) = &self.http.tls {
            tls.load()?;
        }
        match self.keys.load_key_encryption_key() {
            Ok(_) => {}
            // It may still come from the service manager, which this command does not run under.
            Err(error) if matches!(self.keys.key_encryption_key.given, Given::Absent(_)) => {
                warnings.push(to_warning(error));
            }
            Err(error) => match self.keys.key_encryption_key.to_be_made() {
                Some(warning) if !has_store => warnings.push(warning),
                _ => return Err(error),
            },
        }
        self.keys.load_previous_key_encryption_key()?;
        warnings.extend(self.backup.iter().filter_map(Backup::folder_warning));
        warnings.extend(self.unencrypted_backups());
        if let Some(place) = &self.operator.roles_place {
            warnings.extend(
                value::unknown_names(&self.operator.roles).map(|text| Warning {
                    place: place.clone(),
                    key: Some(ROLES.to_owned()),
                    text: text.into(),
                }),
            );
        }
        Ok(warnings)
    }
}

fn http(sources: &Sources<'_>, environment: &Environment) -> Result<Http, ConfigError> {
    const MAX_REQUESTS: &str = "http.max_requests";
    let max_requests = sources.value(MAX_REQUESTS)?.unwrap_or(DEFAULT_MAX_REQUESTS);
    value::check_max_requests(max_requests).map_err(|rule| sources.refuse(MAX_REQUESTS, rule))?;
    Ok(Http {
        listen: sources
            .text("http.listen", value::address)?
            .unwrap_or(DEFAULT_LISTEN),
        allow_plaintext: sources.value("http.allow_plaintext")?.unwrap_or(false),
        trusted_proxies: sources.value("http.trusted_proxies")?.unwrap_or_default(),
        forwarded_header: sources
            .text("http.forwarded_header", ForwardedHeader::parse)?
            .unwrap_or_default(),
        cors_origins: sources.value("http.cors_origins")?.unwrap_or_default(),
        max_requests,
        tls: Tls::of(sources, environment)?,
    })
}

fn limits(sources: &Sources<'_>) -> Result<RequestLimits, ConfigError> {
    let rate = |key: &str, default: Option<Rate>| {
        Ok::<_, ConfigError>(sources.text(key, value::rate)?.unwrap_or(default))
    };
    let RequestLimits { token, write, read } = RequestLimits::default();
    Ok(RequestLimits {
        token: Rates {
            per_address: rate("limits.token.per_address", token.per_address)?,
            per_agent: rate("limits.token.per_agent", token.per_agent)?,
            per_organization: rate("limits.token.per_organization", token.per_organization)?,
        },
        write: Rates {
            per_address: rate("limits.write.per_address", write.per_address)?,
            per_agent: rate("limits.write.per_agent", write.per_agent)?,
            per_organization: rate("limits.write.per_organization", write.per_organization)?,
        },
        read: Rates {
            per_address: rate("limits.read.per_address", read.per_address)?,
            per_agent: rate("limits.read.per_agent", read.per_agent)?,
            per_organization: rate("limits.read.per_organization", read.per_organization)?,
        },
    })
}

fn roles(sources: &Sources<'_>) -> Result<Vec<RoleMapping>, ConfigError> {
    let Some(roles) = sources.value::<Vec<RoleMapping>>(ROLES)? else {
        return Ok(default_roles());
    };
    value::check_roles(&roles).map_err(|rule| sources.refuse(ROLES, rule))?;
    Ok(roles)
}

fn checkpoint_command(sources: &Sources<'_>) -> Result<Option<Vec<String>>, ConfigError> {
    const KEY: &str = "audit.checkpoint_command";
    let command = sources.value::<Vec<String>>(KEY)?;
    if let Some(command) = &command {
        value::check_command(command).map_err(|rule| sources.refuse(KEY, rule))?;
    }
    Ok(command)
}

fn witnesses(sources: &Sources<'_>) -> Result<Vec<WitnessSetting>, ConfigError> {
    const KEY: &str = "audit.witnesses";
    let witnesses = sources.value::<Vec<WitnessSetting>>(KEY)?;
    let witnesses = witnesses.unwrap_or_default();
    value::check_witnesses(&witnesses).map_err(|rule| sources.refuse(KEY, rule))?;
    Ok(witnesses)
}

fn warn_before(sources: &Sources<'_>) -> Result<Vec<Duration>, ConfigError> {
    const KEY: &str = "credentials.warn_before";
    match sources.value::<Vec<String>>(KEY)? {
        Some(texts) => value::warn_before(&texts).map_err(|rule| sources.refuse(KEY, rule)),
        None => Ok(DEFAULT_WARN_BEFORE.to_vec()),
    }
}

fn organizations(sources: &Sources<'_>) -> Result<Organizations, ConfigError> {
    const TIERS: &str = "organizations.tiers";
    const DEFAULT: &str = "organizations.default_tier";
    let tiers = match sources.value::<Vec<TierSetting>>(TIERS)? {
        Some(tiers) => {
            value::check_tiers(&tiers).map_err(|rule| sources.refuse(TIERS, rule))?;
            tiers
        }
        None => value::default_tiers(),
    };
    let default_tier = sources.word(DEFAULT)?;
    let default_tier = match (default_tier, tiers.first()) {
        (Some(tier), _) => tier,
        (None, Some(first)) => first.name.clone(),
        (None, None) => return Err(sources.refuse(TIERS, "must not be empty")),
    };
    if !tiers.iter().any(|tier| tier.name == default_tier) {
        return Err(sources.refuse(DEFAULT, "must be one of organizations.tiers"));
    }
    Ok(Organizations {
        tiers,
        default_tier,
    })
}

fn default_roles() -> Vec<RoleMapping> {
    let mapping = |role, users: &[&str], group: &str| RoleMapping {
        role,
        users: users.iter().map(|user| (*user).to_owned()).collect(),
        groups: vec![group.to_owned()],
        organizations: None,
    };
    vec![
        mapping(Role::Admin, &["root"], "agentidp-admin"),
        mapping(Role::Operator, &[], "agentidp-operator"),
        mapping(Role::Auditor, &[], "agentidp-auditor"),
    ]
}

/// A configuration file that says what holds without one, with every setting explained.
#[must_use]
pub const fn default_toml() -> &'static str {
    include_str!("default.toml")
}
