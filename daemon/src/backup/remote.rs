//! Asking the daemon that runs for a backup, over the operators' socket.

use agentidp_proto::v1;
use agentidp_proto::v1::backup_service_client::BackupServiceClient;
use agentidp_proto::v1::create_backup_response::Event;
use anyhow::{Context as _, anyhow, bail};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::Endpoint;

/// Has the daemon behind `stream` make a backup; shows `tell` how far it is.
///
/// # Errors
///
/// When the daemon refuses or fails, or goes away.
pub(super) async fn create(
    stream: UnixStream,
    reason: String,
    mut tell: impl FnMut(&v1::create_backup_response::Progress),
) -> anyhow::Result<v1::Backup> {
    let mut stream = Some(stream);
    let connector = tower::service_fn(move |_| {
        let stream = stream.take();
        async move { stream.map(TokioIo::new).ok_or_else(gone) }
    });
    // The URI names nothing: there is no host behind a socket.
    let channel = Endpoint::from_static("http://agentidp.invalid")
        .connect_with_connector(connector)
        .await
        .context("the daemon on the operators' socket does not answer")?;
    let mut events = BackupServiceClient::new(channel)
        .create(v1::CreateBackupRequest { reason })
        .await
        .map_err(|status| anyhow!("{}", status.message()))?
        .into_inner();
    while let Some(event) = events
        .message()
        .await
        .map_err(|status| anyhow!("{}", status.message()))?
    {
        match event.event {
            Some(Event::Progress(progress)) => tell(&progress),
            Some(Event::Backup(backup)) => return Ok(backup),
            None => {}
        }
    }
    bail!("the daemon stopped before the backup was made")
}

fn gone() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the daemon went away")
}
