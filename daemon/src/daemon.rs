//! The daemon itself: the one place that names every part and puts them together.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use agentidp_shared::{Action, Actor, Entry, Outcome, Reason, StoreId};
use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::backup;
use crate::backup::job::Backups;
use crate::clock::{Clock as _, System, random};
use crate::config::{self, Config};
use crate::crypto::Sealer;
use crate::http;
use crate::lifecycle::Notifier;
use crate::listeners::Listeners;
use crate::rpc::{self, About, Certified, Operators, StoreWork};
use crate::scrape;
use crate::service::log::{self, Handover};
use crate::service::retention::Retention;
use crate::service::tier::TierLimits;
use crate::service::{Service, Settings, Tiers, grace, init, time_of};
use crate::sink::{Checkpoints, Sink};
use crate::store::durable::{JournaledStore, OpenError, StoreOptions};
use crate::store::{Commit, Store};
use crate::upkeep;
use crate::witness::Witness;

/// How long requests under way are waited for when the daemon is to end. With what comes after it
/// the daemon ends within ten seconds.
const DRAIN: Duration = Duration::from_secs(7);
/// How often what waits for its time is looked at.
const TICK: Duration = Duration::from_secs(5);
/// How often the audit log is looked through for what is kept no longer.
const RETENTION_CHECK: Duration = Duration::from_hours(1);
/// How often credentials are looked through for those that are old or about to expire.
const AGE_CHECK: Duration = Duration::from_mins(10);
/// How often the service manager hears how far a long start is.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// A daemon whose parts are built and whose store is open.
pub(crate) struct Daemon {
    service: Arc<Service>,
    store: Arc<JournaledStore>,
    backups: Arc<Backups>,
    listeners: Listeners,
    operators: Operators,
    about: About,
    metrics_address: Option<SocketAddr>,
    http: config::Http,
    certificate: Option<Arc<http::Certificate>>,
    sinks: Vec<Sink>,
    check_every: Option<Duration>,
    stopping: CancellationToken,
}

fn sinks(config: &config::Audit) -> anyhow::Result<Vec<Sink>> {
    let file = config.checkpoint_file.clone().map(Sink::File);
    let command = config.checkpoint_command.clone().map(Sink::Command);
    let mut sinks: Vec<_> = file.into_iter().chain(command).collect();
    for witness in &config.witnesses {
        sinks.push(Sink::Witness(Arc::new(Witness::new(witness)?)));
    }
    Ok(sinks)
}

/// The store that `config` describes.
pub(crate) fn options(config: &Config) -> StoreOptions {
    let now = System::default().now();
    StoreOptions {
        reserve: config.store.reserve,
        trial: Some(trial),
        ..StoreOptions::new(
            config.store.path.clone(),
            config.store.head_file.clone(),
            now,
        )
    }
}

/// This program, told to try whether an index opens. It needs nothing of the environment.
pub(crate) fn trial(folder: &Path) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["store", "try-index"]).arg(folder).env_clear();
    Ok(command)
}

/// Opens the store, and says from time to time how far that is.
async fn open_store(config: &Config, notifier: &Notifier) -> anyhow::Result<JournaledStore> {
    let (options, backup) = (options(config), config.backup.clone());
    let progress = Arc::clone(&options.progress);
    let mut opening =
        tokio::task::spawn_blocking(move || open_or_rebuild(&options, backup.as_ref()));
    let mut ticks = tokio::time::interval(TOLD_EVERY);
    loop {
        tokio::select! {
            opened = &mut opening => return opened?,
            _ = ticks.tick() => {
                if let Some(step) = progress.now() {
                    notifier.starting(&step.to_string());
                }
            }
        }
    }
}

/// Opens the store. When its index is lost and the journal alone does not make one, it is made from the
/// newest backup that can be read without an identity.
fn open_or_rebuild(
    options: &StoreOptions,
    backup: Option<&config::Backup>,
) -> anyhow::Result<JournaledStore> {
    match (JournaledStore::open(options), backup) {
        (Err(OpenError::NeedsBackup(folder)), Some(settings)) if settings.unencrypted => {
            tracing::warn!(folder = %folder.display(), "the index is missing or damaged, and is made anew from the newest backup");
            backup::rebuild_from_newest(options, &settings.folder)?;
            Ok(JournaledStore::open(options)?)
        }
        (opened, _) => Ok(opened?),
    }
}

fn tiers(config: &Config) -> Tiers {
    let limits = config.organizations.tiers.iter().map(|tier| {
        let limits = TierLimits {
            agents: tier.agents,
            tokens_per_month: tier.tokens_per_month,
        };
        (tier.name.clone(), limits)
    });
    Tiers {
        limits: limits.collect(),
        default: config.organizations.default_tier.clone(),
    }
}

/// What seals, with the configured key-encryption keys.
fn sealer(config: &Config) -> anyhow::Result<Sealer> {
    let sealer = Sealer::new(config.keys.load_key_encryption_key()?.expose())?;
    Ok(match config.keys.load_previous_key_encryption_key()? {
        Some(previous) => sealer.with_previous(previous.expose())?,
        None => sealer,
    })
}

/// Makes the store that `config` describes.
///
/// # Errors
///
/// When there is one already, or it cannot be made.
pub(crate) fn create_store(config: &Config) -> anyhow::Result<()> {
    let system = System::default();
    let sealer = Sealer::new(config.keys.load_key_encryption_key()?.expose())?;
    let now = system.now();
    let first = init::first_commit(&sealer, &system, now)?;
    JournaledStore::create(
        &options(config),
        StoreId::new(now, random(&system)),
        now,
        first,
    )?;
    Ok(())
}

/// Whether the store that `config` describes has been made.
pub(crate) fn store_exists(config: &Config) -> bool {
    JournaledStore::exists(&options(config))
}

/// Accepts the store that `config` describes as it is, whatever its head file says, and puts that
/// into its audit log.
///
/// # Errors
///
/// When the store cannot be opened for another reason, or not be written.
pub(crate) fn accept_store(config: &Config, actor: Actor, reason: Reason) -> anyhow::Result<()> {
    let refused = JournaledStore::head_of(&options(config));
    let store = JournaledStore::open_accepting(&options(config))?;
    let mut entry = Entry::new(
        System::default().now(),
        actor,
        Action::StoreAccept,
        Outcome::Success,
    );
    entry.reason = Some(reason);
    entry.refused_head = refused;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(store.commit(Commit::new(entry)))?;
    store.shutdown();
    Ok(())
}

/// Gives the log of the store that `config` describes another key; the key of before signs for `overlap`
/// more.
///
/// # Errors
///
/// When a daemon has the store open, its keys do not open with the key-encryption key, or it cannot be
/// written.
pub(crate) fn rotate_log_key(
    config: &Config,
    actor: Actor,
    reason: Reason,
    overlap: Duration,
) -> anyhow::Result<Handover> {
    let sealer = sealer(config)?;
    let store = JournaledStore::open(&options(config))?;
    let time = time_of(&store, Arc::new(System::default()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(grace::note_leap(&store, &time))?;
    let mut entry = Entry::new(time.now(), actor, Action::KeyRotate, Outcome::Success);
    entry.reason = Some(reason);
    let source = System::default();
    let rotated = runtime.block_on(log::rotate(&store, &sealer, &source, entry, overlap));
    store.shutdown();
    Ok(rotated?)
}

impl Daemon {
    /// Opens the store and puts the daemon together on `listeners`. It serves once it [`run`](Self::run)s.
    ///
    /// # Errors
    ///
    /// When the store cannot be opened, or its keys do not open with the key-encryption key.
    pub(crate) async fn build(
        config: &Config,
        listeners: Listeners,
        notifier: &Notifier,
    ) -> anyhow::Result<Self> {
        let system = Arc::new(System::default());
        let sealer = sealer(config)?;
        // Before the store is opened: a certificate that will not do leaves everything as it was.
        let certificate = config.http.tls.clone().map(http::Certificate::load);
        let certificate = certificate.transpose()?.map(Arc::new);
        let http_address = listeners
            .http_address()
            .context("the HTTP listener has no address")?;
        let issuer = config
            .issuer
            .clone()
            .unwrap_or_else(|| format!("http://{http_address}"));
        let settings = Settings {
            default_audience: config
                .tokens
                .default_audience
                .clone()
                .unwrap_or_else(|| issuer.clone()),
            issuer,
            token_lifetime: config.tokens.lifetime,
            algorithm: config.keys.algorithm,
            jwks_max_age: config.keys.jwks_max_age,
            warn_before: config.credentials.warn_before.clone(),
            log_readers: config.audit.readers.clone(),
            tiers: tiers(config),
            rotation_period: config.keys.rotation_period,
            limits: config.limits,
            retention: Retention {
                keep_for: config.audit.keep_for,
                keep_bytes: config.audit.keep_bytes,
            },
        };
        let sinks = sinks(&config.audit)?;
        let store = Arc::new(open_store(config, notifier).await?);
        let stopping = CancellationToken::new();
        let service = Service::open(
            settings,
            Arc::clone(&store) as Arc<dyn Store>,
            Arc::clone(&system) as _,
            Arc::clone(&system) as _,
            sealer,
            stopping.clone(),
        )
        .await
        .inspect_err(|_error| store.give_back())?;
        let backups = Backups::new(
            Arc::clone(&store),
            config.backup.clone(),
            service.clock(),
            stopping.clone(),
        );
        Ok(Self {
            about: About {
                started_at: service.begun_at(),
                http_address,
                certificate: certificate.clone().map(|it| it as _),
            },
            service: Arc::new(service),
            store,
            backups: Arc::new(backups),
            metrics_address: listeners.metrics_address()?,
            listeners,
            operators: Operators::new(config.operator.roles.clone()),
            http: config.http.clone(),
            certificate,
            sinks,
            check_every: config.store.check_every,
            stopping,
        })
    }

    /// The issuer that it serves as.
    pub(crate) fn issuer(&self) -> &str {
        &self.service.settings().issuer
    }

    /// Where it serves `/metrics`, if it does.
    pub(crate) const fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Makes the demonstration organization, in a store that has none.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(crate) async fn seed_demo(&self) -> anyhow::Result<()> {
        Ok(self.service.seed_demo().await?)
    }

    /// Serves until `shutdown`, then answers what is under way, and ends in good order.
    ///
    /// # Errors
    ///
    /// When a listener cannot be used, or the store cannot be closed.
    pub(crate) async fn run(
        self,
        shutdown: impl Future<Output = &'static str>,
        notifier: &Notifier,
    ) -> anyhow::Result<()> {
        let Self {
            service,
            store,
            backups,
            listeners,
            operators,
            about,
            metrics_address,
            http,
            certificate,
            sinks,
            check_every,
            stopping,
        } = self;
        let http_listener = tokio::net::TcpListener::from_std(listeners.http)?;
        let operator_listener = tokio::net::UnixListener::from_std(listeners.operator)?;
        service.record(Action::DaemonStart).await?;
        let checkpoints = Checkpoints::start(&service, sinks);

        let mut parts = JoinSet::new();
        let app = http::App::new(Arc::clone(&service), &http, certificate.clone())?;
        parts.spawn(http::serve(app, http_listener, stopping.clone()));
        let store_work = StoreWork::default();
        parts.spawn(rpc::serve(
            Arc::clone(&service),
            operators,
            about,
            store_work.clone(),
            Arc::clone(&backups),
            operator_listener,
            stopping.clone(),
        ));
        if let Some(listener) = listeners.metrics {
            parts.spawn(scrape::serve(
                Arc::clone(&service),
                Arc::clone(&backups),
                tokio::net::TcpListener::from_std(listener)?,
                stopping.clone(),
            ));
        }
        parts.spawn(backups.run_schedule());
        parts.spawn(tick(Arc::clone(&service), stopping.clone()));
        parts.spawn(enforce_retention(Arc::clone(&service), stopping.clone()));
        parts.spawn(look_through_credentials(
            Arc::clone(&service),
            stopping.clone(),
        ));
        parts.spawn(upkeep::look_after(
            Arc::clone(&store),
            Arc::clone(&service),
            check_every,
            store_work,
            stopping.clone(),
        ));
        if let Some(certificate) = certificate {
            parts.spawn(renew(certificate, stopping.clone()));
        }
        let watchdog = notifier.feed_watchdog();
        notifier.ready();
        let metrics = metrics_address.map(tracing::field::display);
        tracing::info!(issuer = service.settings().issuer, metrics, "serving");

        // A daemon that has lost one of its parts must not go on as if it were whole.
        let lost = tokio::select! {
            signal = shutdown => {
                tracing::info!(signal, "stopping");
                false
            }
            Some(ended) = parts.join_next() => {
                tracing::error!(?ended, "a part of the daemon ended by itself; stopping");
                true
            }
        };
        notifier.stopping();
        stopping.cancel();
        let drained =
            tokio::time::timeout(DRAIN, async { while parts.join_next().await.is_some() {} });
        if drained.await.is_err() {
            tracing::warn!("requests that were still under way were cut off");
            parts.abort_all();
        }
        service.flush_denials(true);
        service.flush_reads(true);
        if let Err(error) = service.record(Action::DaemonStop).await {
            tracing::error!(%error, "the end could not be put into the audit log");
        }
        // The store stays locked until it is dropped, after its last checkpoint.
        let closed = Arc::clone(&store);
        tokio::task::spawn_blocking(move || closed.shutdown()).await?;
        checkpoints.finish().await;
        drop(store);
        if let Some(watchdog) = watchdog {
            watchdog.abort();
        }
        drop(listeners.socket);
        tracing::info!("stopped");
        if lost {
            bail!(
                "a part of the daemon ended by itself: the lines before this one say which and why"
            );
        }
        Ok(())
    }
}

impl Certified for http::Certificate {
    fn validity(&self) -> Option<(i64, i64)> {
        self.validity()
    }
}

/// Does what waits for its time and takes a moment: keys that are due, refusals of a minute that is
/// over.
async fn tick(service: Arc<Service>, stopping: CancellationToken) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stopping.cancelled() => return Ok(()),
        }
        service.watch_clock();
        service.watch_turns();
        if let Err(error) = service.watch_leaps().await {
            tracing::error!(%error, "that time went on at once could not be put into the audit log; it is tried again");
        }
        service.flush_denials(false);
        service.flush_reads(false);
        service.prune_limits();
        if let Err(error) = service.advance_signing_keys().await {
            tracing::error!(%error, "signing keys could not be moved on; it is tried again");
        }
    }
}

/// Removes from time to time what the audit log keeps no longer.
async fn enforce_retention(
    service: Arc<Service>,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(RETENTION_CHECK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let enforce = async {
        loop {
            ticks.tick().await;
            service.enforce_retention().await;
        }
    };
    // Where it is cut off, the next start goes on: each step is a commit of its own.
    stopping.run_until_cancelled(enforce).await;
    Ok(())
}

/// Looks through all credentials from time to time. Apart from [`tick`], because it takes the longer
/// the more there are.
async fn look_through_credentials(
    service: Arc<Service>,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(AGE_CHECK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let look = async {
        loop {
            ticks.tick().await;
            if let Err(error) = service.warn_of_expiry().await {
                tracing::error!(%error, "credentials about to expire could not be looked for; it is tried again");
            }
            match service.retire_old_credentials().await {
                Ok(0) => {}
                Ok(retired) => tracing::info!(retired, "credentials had become too old"),
                Err(error) => {
                    tracing::error!(%error, "old credentials could not be retired; it is tried again");
                }
            }
        }
    };
    // Where it is cut off, the next start goes on: each credential is a commit of its own.
    stopping.run_until_cancelled(look).await;
    Ok(())
}

/// Looks whether there is another certificate; on SIGHUP at once, and whether it has changed or not.
async fn renew(
    certificate: Arc<http::Certificate>,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(TICK);
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        let anyway = tokio::select! {
            _ = ticks.tick() => false,
            _ = hangup.recv() => true,
            () = stopping.cancelled() => return Ok(()),
        };
        let certificate = Arc::clone(&certificate);
        tokio::task::spawn_blocking(move || certificate.renew(anyway)).await?;
    }
}
