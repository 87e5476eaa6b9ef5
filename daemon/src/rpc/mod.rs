//! The operators' interface: gRPC on a Unix socket.
//!
//! A call passes [`access`], which asks the kernel who is calling ([`peer`]) and the table what
//! that takes ([`table`]), and then one adapter: request → service → answer. To add a call, add it
//! to the definitions, to the table, and to the adapter of its noun; a test holds the three
//! together.

mod access;
mod agent;
mod agent_query;
mod asked;
mod audit;
mod backup;
mod calls;
mod change;
mod credential;
mod door;
mod error;
mod key;
mod measure;
mod organization;
pub(crate) mod peer;
pub(crate) mod policy;
mod presence;
mod seats;
mod state;
mod store;
mod table;
mod token;

use std::sync::Arc;

use agentidp_proto::convert;
use agentidp_proto::v1::agent_service_server::AgentServiceServer;
use agentidp_proto::v1::audit_service_server::AuditServiceServer;
use agentidp_proto::v1::backup_service_server::BackupServiceServer;
use agentidp_proto::v1::change_service_server::ChangeServiceServer;
use agentidp_proto::v1::credential_service_server::CredentialServiceServer;
use agentidp_proto::v1::organization_service_server::OrganizationServiceServer;
use agentidp_proto::v1::signing_key_service_server::SigningKeyServiceServer;
use agentidp_proto::v1::status_service_server::StatusServiceServer;
use agentidp_proto::v1::store_service_server::StoreServiceServer;
use agentidp_proto::v1::token_service_server::TokenServiceServer;
use agentidp_shared::{FieldError, Reason};
use tokio::net::UnixListener;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::backup::job::Backups;
use crate::service::{Caller, Service, ServiceError};
pub(crate) use policy::Operators;
pub(crate) use state::{About, Certified};
pub(crate) use store::StoreWork;

/// How long an idle connection is left alone before it is asked whether it lives, and how long that
/// answer may take.
const KEEPALIVE: std::time::Duration = std::time::Duration::from_secs(20);
/// How often the health service is brought up to date.
const HEALTH_EVERY: std::time::Duration = std::time::Duration::from_secs(1);
/// How many calls one connection may have under way; more wait with the client.
const CALLS: u32 = 100;
/// How many accepted connections may wait to be served.
const ACCEPTED: usize = 64;

/// Serves operators on `listener` until `stopping`, and then until their calls have ended.
///
/// # Errors
///
/// When the server itself fails.
pub(crate) async fn serve(
    service: Arc<Service>,
    operators: Operators,
    about: About,
    store_work: StoreWork,
    backups: Arc<Backups>,
    listener: UnixListener,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    let (health, health_server) = tonic_health::server::health_reporter();
    tokio::spawn(report_health(
        health,
        Arc::clone(&service),
        stopping.clone(),
    ));
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(agentidp_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Many clients, grpcio's among them, know the service only by its older name.
    let (reflection, old_reflection) = (reflection().build_v1()?, reflection().build_v1alpha()?);

    let (connections, incoming) = tokio::sync::mpsc::channel(ACCEPTED);
    let open = presence::Connections::default();
    let door = door::Door {
        open: open.clone(),
        service: Arc::clone(&service),
        operators: operators.clone(),
        seats: seats::Seats::new(),
        stopping: stopping.clone(),
        served: connections,
    };
    tokio::spawn(door::accept(listener, door));
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .max_concurrent_streams(Some(CALLS))
        .layer(access::AccessLayer::new(
            Arc::clone(&service),
            operators.clone(),
        ))
        .add_service(OrganizationServiceServer::new(organization::Adapter(
            Arc::clone(&service),
        )))
        .add_service(AgentServiceServer::new(agent::Adapter(Arc::clone(
            &service,
        ))))
        .add_service(CredentialServiceServer::new(credential::Adapter(
            Arc::clone(&service),
        )))
        .add_service(TokenServiceServer::new(token::Adapter(Arc::clone(
            &service,
        ))))
        .add_service(SigningKeyServiceServer::new(key::Adapter(Arc::clone(
            &service,
        ))))
        .add_service(AuditServiceServer::new(audit::Adapter::new(Arc::clone(
            &service,
        ))))
        .add_service(ChangeServiceServer::new(change::Adapter {
            service: Arc::clone(&service),
            operators: operators.clone(),
            connections: open.clone(),
        }))
        .add_service(StoreServiceServer::new(store::Adapter {
            service: Arc::clone(&service),
            work: store_work,
        }))
        .add_service(BackupServiceServer::new(backup::Adapter(Arc::clone(
            &backups,
        ))))
        .add_service(StatusServiceServer::new(state::Adapter {
            service,
            backups,
            operators,
            connections: open,
            about,
        }))
        .add_service(health_server)
        .add_service(reflection)
        .add_service(old_reflection)
        .serve_with_incoming_shutdown(ReceiverStream::new(incoming), stopping.cancelled_owned())
        .await?;
    Ok(())
}

/// Keeps the health service (gRPC's standard one) true to the daemon's readiness.
async fn report_health(
    health: tonic_health::server::HealthReporter,
    service: Arc<Service>,
    stopping: CancellationToken,
) {
    let mut ticks = tokio::time::interval(HEALTH_EVERY);
    while !stopping.is_cancelled() {
        let status = match service.not_ready_reason() {
            None => tonic_health::ServingStatus::Serving,
            Some(_) => tonic_health::ServingStatus::NotServing,
        };
        health.set_service_status("", status).await;
        tokio::select! {
            _ = ticks.tick() => {}
            () = stopping.cancelled() => {}
        }
    }
}

/// The page size that a request's `limit` stands for.
fn page_size(limit: u32) -> usize {
    match limit {
        0 => 100,
        limit => usize::try_from(limit).unwrap_or(usize::MAX).min(1_000),
    }
}

/// `None` for an absent text: on the wire that is the empty one.
fn present(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// The caller of a request that has passed [`access`].
fn caller<T: prost::Message>(request: &tonic::Request<T>) -> Result<Caller, tonic::Status> {
    let caller = request.extensions().get::<Caller>();
    let mut caller = caller.cloned().ok_or_else(|| {
        error::status(&ServiceError::new(
            agentidp_shared::Code::PermissionDenied,
            "the call has no caller",
        ))
    })?;
    let message = || request.get_ref().encode_to_vec();
    if let Some(asked) = request.extensions().get::<asked::Asked>() {
        asked.note(&message());
    }
    caller.idempotency = caller.idempotency.map(|key| key.with(&message()));
    Ok(caller)
}

/// The reason that a request gives, if it does.
fn reason(text: String) -> Result<Option<Reason>, FieldError> {
    present(text).map(TryInto::try_into).transpose()
}

fn duration(
    duration: Option<prost_types::Duration>,
    field: &'static str,
) -> Result<Option<std::time::Duration>, FieldError> {
    duration
        .map(|it| convert::to_domain_duration(it, field))
        .transpose()
}
