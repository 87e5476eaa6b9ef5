//! Backups over gRPC.

use std::sync::Arc;

use agentidp_proto::convert::{self, timestamp};
use agentidp_proto::v1;
use agentidp_proto::v1::backup_service_server::BackupService;
use agentidp_proto::v1::create_backup_response::{Event, Progress};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::error::{invalid, status};
use super::{caller, reason};
use crate::backup::job::{Asked, Backups, Made};
use crate::service::to_its_end;

/// How many words about progress wait for a slow reader.
const WORDS: usize = 16;

pub(super) struct Adapter(pub(super) Arc<Backups>);

fn event(event: Event) -> v1::CreateBackupResponse {
    v1::CreateBackupResponse { event: Some(event) }
}

/// A backup on the wire.
pub(super) fn backup(made: &Made) -> v1::Backup {
    let Made {
        whole,
        took,
        audit_seq,
    } = made;
    v1::Backup {
        name: whole.name(),
        path: whole.path.display().to_string(),
        size_bytes: whole.bytes,
        entries: whole.manifest.cut.entries,
        created_at: Some(timestamp(whole.manifest.created_at)),
        duration: took.map(convert::duration),
        sha256: whole.sha256.clone(),
        recipients: whole.manifest.recipients.clone(),
        audit_seq: audit_seq.unwrap_or_default(),
    }
}

#[tonic::async_trait]
impl BackupService for Adapter {
    type CreateStream = BoxStream<'static, Result<v1::CreateBackupResponse, Status>>;

    async fn create(
        &self,
        request: Request<v1::CreateBackupRequest>,
    ) -> Result<Response<Self::CreateStream>, Status> {
        let caller = caller(&request)?;
        let reason = reason(request.into_inner().reason).map_err(invalid)?;
        self.0.check().map_err(|error| status(&error))?;
        let asked = Asked {
            actor: caller.actor,
            reason,
            request_id: Some(caller.request_id),
        };
        let (sender, receiver) = mpsc::channel(WORDS);
        let backups = Arc::clone(&self.0);
        // In a task of its own, so that it is made also when the caller goes away.
        let running = to_its_end(async move { backups.create(asked, Some(sender)).await });
        let end = stream::once(async move {
            let made = running.await;
            made.map(|made| event(Event::Backup(backup(&made))))
                .map_err(|error| status(&error))
        });
        let told = ReceiverStream::new(receiver)
            .map(|it| {
                Ok(event(Event::Progress(Progress {
                    section: it.section,
                    bytes: it.bytes,
                })))
            })
            .chain(end);
        Ok(Response::new(told.boxed()))
    }
}
