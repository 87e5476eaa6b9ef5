//! The daemon itself: the one place that names every part and puts them together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agentidp_shared::Action;
use agentidp_shared::merkle::Checkpoint;
use anyhow::{Context as _, bail};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::backup;
use crate::backup::job::Backups;
use crate::clock::System;
use crate::closed_store::{options, sealer};
use crate::config::{self, Config};
use crate::http;
use crate::lifecycle::Notifier;
use crate::listeners::Listeners;
use crate::rpc::{self, About, Certified, Operators, StoreWork};
use crate::scrape;
use crate::service::retention::Retention;
use crate::service::tier::TierLimits;
use crate::service::{Service, Settings, Tiers};
use crate::sink::{Checkpoints, Sink};
use crate::store::Store;
use crate::store::durable::{JournaledStore, OpenError, StoreOptions};
use crate::timers::{enforce_retention, look_through_credentials, renew, tick};
use crate::upkeep;
use crate::witness::Witness;

/// How long requests under way are waited for when the daemon is to end. With what comes after it
/// the daemon ends within ten seconds.
const DRAIN: Duration = Duration::from_secs(7);
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

/// How many of the store's entries the newest checkpoint was not of, if there are any or the store was not closed in
/// good order. Of these nobody has signed yet that they are what was written.
fn unsigned(store: &JournaledStore, service: &Service) -> Option<u64> {
    let unsigned = store.unsigned(|note| {
        let mut keys = service.log_keys().iter();
        keys.find_map(|key| Checkpoint::verified(note, &key.verifier).ok())
    });
    if let Some(entries) = unsigned {
        tracing::warn!(
            entries,
            "the store was not closed in good order, or was added to since: its log goes on beyond the newest signed checkpoint by this many entries, which were taken as the journal has them; all of it is verified meanwhile"
        );
    }
    unsigned
}

/// Closes the store in good order: once its last checkpoint is signed. It stays locked until it is dropped.
async fn close(store: &Arc<JournaledStore>, mut checkpoints: Checkpoints) -> anyhow::Result<()> {
    let finished = Arc::clone(store);
    tokio::task::spawn_blocking(move || finished.finish()).await?;
    checkpoints.sign_last().await;
    let ended = Arc::clone(store);
    tokio::task::spawn_blocking(move || ended.end()).await?;
    checkpoints.finish().await;
    Ok(())
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
        let unsigned = unsigned(&store, &service);
        service.record_start(unsigned).await?;
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
            unsigned.is_some(),
            check_every,
            store_work,
            stopping.clone(),
        ));
        if let Some(certificate) = certificate {
            parts.spawn(renew(certificate, Arc::clone(&service), stopping.clone()));
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
        close(&store, checkpoints).await?;
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
