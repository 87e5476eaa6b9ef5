//! What the command line offers, one function each.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use agentidp_shared::{Actor, Via};
use anyhow::{Context as _, bail};

use crate::clock::{System, random};
use crate::closed_store::{
    accept_store as accept, create_store, missing_store, rotate_log_key as rotate, store_exists,
};
use crate::config::{Config, ConfigError, KeyEncryptionKey, Warning};
use crate::daemon::Daemon;
use crate::lifecycle::{Notifier, raise_open_files_limit, shutdown_signal};
use crate::listeners::Listeners;
use crate::rpc::peer::Peer;
use crate::service::log::Handover;
use crate::telemetry;

/// Makes the store, and the key-encryption key when its file is configured and missing.
///
/// # Errors
///
/// When there is no issuer, with which nothing could be started; when there is a store already, or the disk
/// refuses.
pub fn init(config: &Config) -> anyhow::Result<()> {
    config.require_issuer()?;
    if store_exists(config) {
        bail!(
            "there is a store in {} already: it is left as it is",
            config.store.path.display()
        );
    }
    let made = make_key_encryption_key(config)?;
    if let Err(error) = create_store(config) {
        if let Some(path) = made {
            // It seals nothing yet.
            let _ = fs::remove_file(path);
        }
        return Err(error);
    }
    let mut out = io::stdout().lock();
    writeln!(out, "made a store in {}", config.store.path.display())?;
    if let Some(path) = made {
        writeln!(out, "made the key-encryption key in {}", path.display())?;
        writeln!(
            out,
            "keep a copy of it apart from the store: without it no signing key can be opened"
        )?;
    }
    Ok(())
}

/// Verifies a configuration together with what it names, and tells what to know of it.
///
/// # Errors
///
/// When a key-encryption key or the certificate is configured and cannot be had.
pub fn check(config: &Config) -> Result<Vec<Warning>, ConfigError> {
    config.check(store_exists(config))
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
///
/// When the daemon cannot start: an address in use, a store that cannot be opened.
pub fn run(config: &Config) -> anyhow::Result<()> {
    config.require_issuer()?;
    if !store_exists(config) {
        return Err(missing_store(config).into());
    }
    serve(config, |_| Ok(()), false)
}

/// Serves for development: makes what is missing, and an organization with three agents.
///
/// # Errors
///
/// As [`run`].
pub fn dev(config: &Config) -> anyhow::Result<()> {
    let folder = &config.store.path;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    if !store_exists(config) {
        make_key_encryption_key(config)?;
        create_store(config)?;
    }
    let socket = config.operator.socket.clone();
    let tell = move |daemon: &Daemon| tell_what_next(daemon, &socket);
    serve(config, tell, true)
}

/// Accepts the store as it is, whatever its head file says: after a restore that was meant.
///
/// # Errors
///
/// When the store cannot be opened for another reason, or not be written.
pub fn accept_store(config: &Config, reason: &str) -> anyhow::Result<()> {
    let actor = Actor {
        via: Via::Internal,
        ..Peer::of_this_process().actor()
    };
    accept(config, actor, reason.parse()?)?;
    writeln!(
        io::stdout(),
        "the store in {} is accepted as it is",
        config.store.path.display()
    )?;
    Ok(())
}

/// Gives the audit log another key; the key of before signs for so many days more.
///
/// # Errors
///
/// When a daemon has the store open, or it cannot be opened or written.
pub fn rotate_log_key(config: &Config, reason: &str, overlap_days: u16) -> anyhow::Result<()> {
    let actor = Actor {
        via: Via::Internal,
        ..Peer::of_this_process().actor()
    };
    let overlap = Duration::from_hours(24 * u64::from(overlap_days));
    let Handover {
        verifier,
        until,
        note,
    } = rotate(config, actor, reason.parse()?, overlap)?;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "the log has another key, which verifies by\n\n{verifier}\n"
    )?;
    if overlap_days > 0 {
        writeln!(out, "The key of before signs too until {until}.")?;
    }
    writeln!(
        out,
        "Both have signed this checkpoint: keep it where the key of before is kept.\n\n{note}"
    )?;
    Ok(())
}

fn serve(
    config: &Config,
    tell: impl FnOnce(&Daemon) -> anyhow::Result<()>,
    with_demo: bool,
) -> anyhow::Result<()> {
    raise_open_files_limit()?;
    // Before any thread is started, the log's too: see `Listeners::bind`.
    let listeners = Listeners::bind(config.http.listen, &config.operator.socket)?
        .with_metrics(config.metrics.listen)?;
    let _telemetry = telemetry::start(&config.log)?;
    serve_on(listeners, config, tell, with_demo).inspect_err(|error| {
        if !config.log.stderr {
            // Standard error gets it from `main`; whoever reads the files must find it there too.
            tracing::error!("{error:#}");
        }
    })
}

fn serve_on(
    listeners: Listeners,
    config: &Config,
    tell: impl FnOnce(&Daemon) -> anyhow::Result<()>,
    with_demo: bool,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(async {
        let mut shutdown = Box::pin(shutdown_signal()?);
        let notifier = Notifier::new();
        let daemon = tokio::select! {
            daemon = Daemon::build(config, listeners, &notifier) => daemon?,
            // Making the index anew can take long, and loses nothing when it is cut off.
            _ = &mut shutdown => return Ok(()),
        };
        if with_demo {
            daemon.seed_demo().await?;
        }
        tell(&daemon)?;
        daemon.run(shutdown, &notifier).await
    });
    runtime.shutdown_background();
    served
}

/// Makes the file of the key-encryption key, if one is configured and missing.
fn make_key_encryption_key(config: &Config) -> anyhow::Result<Option<&Path>> {
    let Some(path) = config
        .keys
        .key_encryption_key_file()
        .filter(|path| !path.exists())
    else {
        return Ok(None);
    };
    let key = KeyEncryptionKey::from_bytes(random(&System::default()));
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    made.and_then(|mut file| {
        file.write_all(key.to_line().as_bytes())?;
        file.sync_all()
    })
    .with_context(|| format!("cannot make the key-encryption key in {}", path.display()))?;
    Ok(Some(path))
}

fn tell_what_next(daemon: &Daemon, socket: &Path) -> anyhow::Result<()> {
    // The other terminal may be in another folder, and may not have our programs on its path.
    let socket = std::path::absolute(socket)?;
    let beside = std::env::current_exe()?.with_file_name("agentidp");
    let agentidp = if beside.exists() {
        &beside
    } else {
        Path::new("agentidp")
    };
    let command = format!("{} --socket {}", agentidp.display(), socket.display());
    let (issuer, socket) = (daemon.issuer(), socket.display());
    let mut out = io::stdout().lock();
    writeln!(out, "agentidpd serves {issuer}, and operators on {socket}")?;
    if let Some(address) = daemon.metrics_address() {
        writeln!(out, "what it measures is at http://{address}/metrics")?;
    }
    writeln!(
        out,
        "
Next, in another terminal:
  {command}                      the console
  {command} agent list           the agents
  {command} credential issue screener@demo.example
  curl -u CLIENT_ID:CLIENT_SECRET -d grant_type=client_credentials {issuer}/oauth2/token

Ctrl-C ends it."
    )?;
    out.flush()?;
    Ok(())
}
