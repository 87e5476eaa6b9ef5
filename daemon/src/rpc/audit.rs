//! The audit log over gRPC.

use std::sync::Arc;

use agentidp_proto::v1;
use agentidp_proto::v1::audit_service_server::AuditService;
use agentidp_shared::FieldError;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use super::error::{invalid, status};
use super::{caller, page_size, present};
use crate::service::audit::{EntryFilter, StoredEntry, TailEvent};
use crate::service::{Caller, Service};

/// How many events wait for a slow reader; the log holds the rest.
const EVENTS: usize = 64;

pub(super) struct Adapter(pub(super) Arc<Service>);

impl Adapter {
    fn filter(
        &self,
        caller: &Caller,
        filter: Option<v1::AuditFilter>,
    ) -> Result<EntryFilter, Status> {
        let filter = filter.unwrap_or_default();
        let agent = present(filter.agent)
            .map(|text| self.0.find_agent(caller, &text))
            .transpose();
        let organization = present(filter.organization)
            .map(|text| self.0.find_organization(caller, &text))
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
            .0
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
        let end = *self.0.store().head().borrow();
        if request.from.is_some_and(|from| from > end) {
            let rule = "must not be beyond the log's end; a store put back from an earlier time has a shorter log";
            return Err(invalid(FieldError::new("from", rule)));
        }
        let (sender, receiver) = mpsc::channel(EVENTS);
        let service = Arc::clone(&self.0);
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
}
