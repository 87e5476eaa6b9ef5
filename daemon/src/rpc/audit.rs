//! The audit log over gRPC.

use std::sync::Arc;

use agentidp_proto::v1::audit_service_server::AuditService;
use agentidp_proto::{convert, v1};
use agentidp_shared::{Code, FieldError};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use super::error::{invalid, status};
use super::peer::Peer;
use super::{caller, duration, page_size, present, reason};
use crate::service::audit::{EntryFilter, StoredEntry, TailEvent};
use crate::service::log::{ExportChunk, ExportRange};
use crate::service::retention::{Asked, Progress, Retention};
use crate::service::{Caller, Service, ServiceError, to_its_end};
use crate::shares::{Share, Shares};

/// How many events wait for a slow reader; the log holds the rest.
const EVENTS: usize = 64;
/// How many parts of an export wait for a slow reader.
const CHUNKS: usize = 4;

/// How many exports there may be at once, and how many of one user: each holds some hundred kilobytes, and
/// has the store work for it.
const EXPORTS: usize = 16;
/// See [`EXPORTS`].
const EXPORTS_OF_ONE: usize = 4;

pub(super) struct Adapter {
    service: Arc<Service>,
    exports: Shares<u32>,
}

impl Adapter {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self {
            service,
            exports: Shares::new(EXPORTS, EXPORTS_OF_ONE),
        }
    }

    /// A place among the exports under way.
    fn begin_export<T>(&self, request: &Request<T>) -> Result<Option<Share<u32>>, Status> {
        let peer = request.extensions().get::<Arc<Peer>>();
        let share = peer.map(|peer| self.exports.take(peer.uid, 1).ok_or_else(too_many_exports));
        share.transpose()
    }

    fn filter(
        &self,
        caller: &Caller,
        filter: Option<v1::AuditFilter>,
    ) -> Result<EntryFilter, Status> {
        let filter = filter.unwrap_or_default();
        let agent = present(filter.agent)
            .map(|text| self.service.find_agent(caller, &text))
            .transpose();
        let organization = present(filter.organization)
            .map(|text| self.service.find_organization(caller, &text))
            .transpose()
            .map_err(|error| status(&error))?
            .map(|stored| stored.record.id);
        Ok(EntryFilter {
            action: present(filter.action)
                .map(|text| text.parse())
                .transpose()
                .map_err(invalid)?,
            outcome: present(filter.outcome)
                .map(|text| text.parse())
                .transpose()
                .map_err(invalid)?,
            agent: agent
                .map_err(|error| status(&error))?
                .map(|stored| stored.record.id),
            jti: None,
            organizations: caller.reach.narrowed(organization),
        })
    }
}

fn too_many_exports() -> Status {
    let message = "too many exports are under way: wait until one has ended";
    status(&ServiceError::new(Code::Overloaded, message))
}

fn entry(entry: StoredEntry) -> v1::AuditEntry {
    v1::AuditEntry {
        seq: entry.seq,
        json: entry.json.into(),
    }
}

fn event(event: TailEvent) -> v1::TailAuditResponse {
    use v1::tail_audit_response::{Event, Gap, Position};
    let event = match event {
        TailEvent::Entry(stored) => Event::Entry(entry(stored)),
        TailEvent::Gap { from, to } => Event::Gap(Gap { from, to }),
        TailEvent::Position(next) => Event::Position(Position { next }),
    };
    v1::TailAuditResponse { event: Some(event) }
}

#[tonic::async_trait]
impl AuditService for Adapter {
    async fn list(
        &self,
        request: Request<v1::ListAuditEntriesRequest>,
    ) -> Result<Response<v1::ListAuditEntriesResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let filter = self.filter(&caller, request.filter)?;
        let page = self
            .service
            .list_entries(request.before, filter, page_size(request.limit))
            .await;
        let page = page.map_err(|error| status(&error))?;
        Ok(Response::new(v1::ListAuditEntriesResponse {
            entries: page.entries.into_iter().map(entry).collect(),
            next_before: page.next_before,
        }))
    }

    type TailStream = BoxStream<'static, Result<v1::TailAuditResponse, Status>>;

    async fn tail(
        &self,
        request: Request<v1::TailAuditRequest>,
    ) -> Result<Response<Self::TailStream>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let filter = self.filter(&caller, request.filter)?;
        let end = *self.service.store().head().borrow();
        if request.from.is_some_and(|from| from > end) {
            let rule = "must not be beyond the log's end; a store put back from an earlier time has a shorter log";
            return Err(invalid(FieldError::new("from", rule)));
        }
        let (sender, receiver) = mpsc::channel(EVENTS);
        let service = Arc::clone(&self.service);
        let follow = async move {
            // The reader sees the stream end and comes back from where it was.
            if let Err(error) = service
                .tail(request.from, &filter, u64::from(request.max_lag), &sender)
                .await
            {
                tracing::error!(%error, "a reader of the audit log was cut off");
            }
        };
        tokio::spawn(follow.in_current_span());
        Ok(Response::new(
            ReceiverStream::new(receiver)
                .map(|it| Ok(event(it)))
                .boxed(),
        ))
    }

    async fn get_key(
        &self,
        request: Request<v1::GetAuditKeyRequest>,
    ) -> Result<Response<v1::AuditKey>, Status> {
        caller(&request)?;
        let vkey = self.service.log_verifier().to_string();
        let keys = self.service.log_keys().iter().map(|it| v1::LogKey {
            vkey: it.verifier.to_string(),
            from: it.from,
            until: it.until.map(convert::timestamp),
        });
        let keys = keys.collect();
        Ok(Response::new(v1::AuditKey { vkey, keys }))
    }

    async fn prove(
        &self,
        request: Request<v1::ProveAuditEntryRequest>,
    ) -> Result<Response<v1::AuditProof>, Status> {
        let caller = caller(&request)?;
        let proof = self
            .service
            .prove_entry(&caller, request.into_inner().seq)
            .await;
        let proof = proof.map_err(|error| status(&error))?.to_string();
        Ok(Response::new(v1::AuditProof { proof }))
    }

    async fn get_checkpoint(
        &self,
        request: Request<v1::GetAuditCheckpointRequest>,
    ) -> Result<Response<v1::AuditCheckpoint>, Status> {
        caller(&request)?;
        let signed = self.service.newest_checkpoint().await;
        let note = signed.map_err(|error| status(&error))?.note.to_string();
        Ok(Response::new(v1::AuditCheckpoint { note }))
    }

    async fn prove_consistency(
        &self,
        request: Request<v1::ProveAuditConsistencyRequest>,
    ) -> Result<Response<v1::AuditConsistency>, Status> {
        caller(&request)?;
        let request = request.into_inner();
        let proved = self.service.prove_growth(request.from, request.to).await;
        let proved = proved.map_err(|error| status(&error))?;
        Ok(Response::new(v1::AuditConsistency {
            to: proved.to,
            proof: proved.proof.iter().map(ToString::to_string).collect(),
            checkpoint: proved.checkpoint.to_string(),
        }))
    }

    type ExportStream = BoxStream<'static, Result<v1::ExportAuditResponse, Status>>;

    async fn export(
        &self,
        request: Request<v1::ExportAuditRequest>,
    ) -> Result<Response<Self::ExportStream>, Status> {
        let caller = caller(&request)?;
        let share = self.begin_export(&request)?;
        let request = request.into_inner();
        let organization = present(request.organization)
            .map(|text| self.service.find_organization(&caller, &text))
            .transpose()
            .map_err(|error| status(&error))?;
        let range = ExportRange {
            organization: organization.map(|stored| stored.record.id),
            from: request.from,
            to: request.to,
            size: request.size,
        };
        let (sender, receiver) = mpsc::channel(CHUNKS);
        self.service
            .export(&caller, range, sender)
            .await
            .map_err(|error| status(&error))?;
        let chunks = ReceiverStream::new(receiver).map(move |chunk| {
            // It counts until its reader has it all, or is gone.
            let _until_dropped = &share;
            match chunk {
                Ok(ExportChunk { data, next, to }) => Ok(v1::ExportAuditResponse {
                    data: data.into(),
                    next,
                    to,
                }),
                Err(error) => Err(status(&error)),
            }
        });
        Ok(Response::new(chunks.boxed()))
    }

    type PruneStream = BoxStream<'static, Result<v1::PruneAuditResponse, Status>>;

    async fn prune(
        &self,
        request: Request<v1::PruneAuditRequest>,
    ) -> Result<Response<Self::PruneStream>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let asked = Asked {
            retention: Retention {
                keep_for: duration(request.older_than, "older_than").map_err(invalid)?,
                keep_bytes: request.larger_than,
            },
            reason: reason(request.reason).map_err(invalid)?,
            is_dry: request.dry_run,
        };
        let pruning = self
            .service
            .plan_pruning(&caller, asked)
            .map_err(|error| status(&error))?;
        let (service, (steps, receiver)) = (Arc::clone(&self.service), mpsc::channel(CHUNKS));
        let last = to_its_end(async move {
            let (done, pruned) = service.prune_log(pruning, &steps).await;
            pruned.map(|()| done)
        });
        let last = last
            .map(|last| last.map(pruned).map_err(|error| status(&error)))
            .into_stream();
        let steps = ReceiverStream::new(receiver).map(|step| Ok(pruned(step)));
        Ok(Response::new(steps.chain(last).boxed()))
    }
}

fn pruned(it: Progress) -> v1::PruneAuditResponse {
    v1::PruneAuditResponse {
        next: it.next,
        to: it.to,
        entries: it.entries,
        bytes: it.bytes,
        held: it.held,
        audit_seq: it.audit_seq.unwrap_or_default(),
        oldest: it.times.map(|(oldest, _)| convert::timestamp(oldest)),
        newest: it.times.map(|(_, newest)| convert::timestamp(newest)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::access::tests::service;
    use super::*;
    use crate::store::model::ModelStore;

    #[tokio::test]
    async fn one_operator_has_only_so_many_exports_under_way() {
        let adapter = Adapter::new(service(&Arc::new(ModelStore::new())).await);
        let mut request = Request::new(());
        let peer = Arc::new(Peer::of_this_process());
        request.extensions_mut().insert(peer);
        let held: Vec<_> = (0..EXPORTS_OF_ONE)
            .map(|_| adapter.begin_export(&request).unwrap())
            .collect();
        let refused = adapter.begin_export(&request).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unavailable);
        drop(held);
        assert!(adapter.begin_export(&request).is_ok());
    }
}
