//! What the daemon does by itself when its time has come.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::http;
use crate::service::Service;

/// How often what waits for its time is looked at.
const TICK: Duration = Duration::from_secs(5);
/// How often the audit log is looked through for what is kept no longer.
const RETENTION_CHECK: Duration = Duration::from_hours(1);
/// How often credentials are looked through for those that are old or about to expire.
const AGE_CHECK: Duration = Duration::from_mins(10);

/// Does what waits for its time and takes a moment: keys that are due, refusals of a minute that is
/// over.
pub(crate) async fn tick(service: Arc<Service>, stopping: CancellationToken) -> anyhow::Result<()> {
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
        service.forget_full_buckets();
        if let Err(error) = service.advance_signing_keys().await {
            tracing::error!(%error, "signing keys could not be moved on; it is tried again");
        }
    }
}

/// Removes from time to time what the audit log keeps no longer.
pub(crate) async fn enforce_retention(
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
pub(crate) async fn look_through_credentials(
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
pub(crate) async fn renew(
    certificate: Arc<http::Certificate>,
    service: Arc<Service>,
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
        let renewed = tokio::task::spawn_blocking(move || certificate.renew(anyway)).await?;
        if let Some(renewed) = renewed {
            service.note_certificate(renewed.map_err(|error| error.to_string()));
        }
    }
}
