//! The agents' interface: OAuth 2.0 over HTTP.
//!
//! A request passes [`server`] (limits, request id, headers that every answer has), the table of
//! routes in [`route`], and then one adapter: parse → service → answer. [`error`] turns the
//! service's errors into those of RFC 6749, in one place.

mod authorize;
mod client;
mod error;
mod form;
mod health;
mod introspect;
mod jwks;
mod measure;
mod metadata;
mod revoke;
mod route;
mod server;
mod token;

use std::sync::Arc;

use agentidp_shared::RequestId;
use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::lifecycle::open_files_limit;
use crate::service::Service;
use crate::service::bearer::Origin;
pub(crate) use server::serve;

/// What every adapter has.
pub(crate) struct App {
    service: Arc<Service>,
    /// The metadata document: it does not change while the daemon runs.
    metadata: Bytes,
    /// A permit for each connection that may be open at once.
    connections: Arc<Semaphore>,
    /// What requests are counted with.
    measure: measure::Measure,
}

impl App {
    /// The interface to `service`, for as many connections as the process may have open.
    pub(crate) fn new(service: Arc<Service>) -> anyhow::Result<Self> {
        let metadata = metadata::document(&service.settings().issuer)?;
        let connections = server::most_connections(open_files_limit()?);
        let measure = measure::Measure::new(&service.settings().issuer, &service.metrics().http)?;
        Ok(Self {
            service,
            measure,
            metadata,
            connections: Arc::new(Semaphore::new(connections)),
        })
    }
}

/// What [`server`] knows of a request before it is routed.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    address: std::net::IpAddr,
    request_id: RequestId,
}

impl From<Arrival> for Origin {
    fn from(arrival: Arrival) -> Self {
        Self {
            address: arrival.address,
            request_id: arrival.request_id,
        }
    }
}
