//! Changes of records over gRPC.

use std::sync::Arc;

use agentidp_proto::v1;
use agentidp_proto::v1::change_service_server::ChangeService;
use agentidp_proto::v1::watch_changes_response::{Change, Event, Lost, Revision};
use agentidp_shared::FieldError;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use super::caller;
use super::error::invalid;
use super::peer::Peer;
use super::policy::Operators;
use super::presence::Connections;
use crate::service::Service;
use crate::service::changes::{ChangeEvent, RecordChange};

/// How many events wait for a slow reader; the log holds the rest.
const EVENTS: usize = 64;

pub(super) struct Adapter {
    pub(super) service: Arc<Service>,
    pub(super) operators: Operators,
    pub(super) connections: Connections,
}

fn change(it: RecordChange) -> Change {
    let text = |id: Option<String>| id.unwrap_or_default();
    Change {
        kind: it.kind.to_string(),
        id: it.id,
        revision: it.revision,
        organization_id: text(it.organization.map(|id| id.to_string())),
        agent_id: text(it.agent.map(|id| id.to_string())),
        action: it.action.to_string(),
        audit_seq: it.seq,
    }
}

#[tonic::async_trait]
impl ChangeService for Adapter {
    type WatchStream = BoxStream<'static, Result<v1::WatchChangesResponse, Status>>;

    async fn watch(
        &self,
        request: Request<v1::WatchChangesRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let organizations = caller(&request)?.reach.narrowed(None);
        let peer = request.extensions().get::<Arc<Peer>>().cloned();
        let after = request.into_inner().after;
        let end = *self.service.store().head().borrow();
        if after.is_some_and(|after| after > end) {
            let rule = "must not be beyond the log's end; a store put back from an earlier time has a shorter log";
            return Err(invalid(FieldError::new("after", rule)));
        }
        let (sender, receiver) = mpsc::channel(EVENTS);
        let service = Arc::clone(&self.service);
        let follow = async move {
            // The reader sees the stream end and comes back from where it was.
            let watched = service.watch_changes(after, organizations, &sender).await;
            if let Err(error) = watched {
                tracing::error!(%error, "one who watches changes was cut off");
            }
        };
        tokio::spawn(follow.in_current_span());
        let (connections, operators) = (self.connections.clone(), self.operators.clone());
        let events = ReceiverStream::new(receiver).map(move |event| {
            let event = match event {
                ChangeEvent::Changed(it) => Event::Change(change(it)),
                ChangeEvent::Lost => Event::Lost(Lost {}),
                ChangeEvent::Revision(revision) => Event::Revision(Revision {
                    revision,
                    others: peer
                        .as_ref()
                        .map_or(0, |peer| connections.others(&operators, peer)),
                }),
            };
            Ok(v1::WatchChangesResponse { event: Some(event) })
        });
        Ok(Response::new(events.boxed()))
    }
}
