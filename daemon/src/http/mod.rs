//! The agents' interface: OAuth 2.0 over HTTP, and below `/api/v1` the management of agents.
//!
//! A request arrives on a [`connection`] ([`tls`], [`stream`]), passes [`server`] (where it comes from:
//! [`proxy`], whether there is room: [`load`], how often its sender may ask: [`limit`], and what every
//! answer says: [`headers`], [`cors`]), the table of routes in [`table`] ([`route`]), and then one
//! adapter: parse → service → answer; [`unsent`] bounds what waits to be taken. [`error`] turns the service's errors into those of RFC 6749, in
//! one place; [`api`] has errors of its own. [`openapi`] describes all of it.

mod api;
mod authorize;
mod body;
mod client;
mod connection;
mod cors;
mod docs;
mod error;
mod form;
mod headers;
mod health;
mod introspect;
mod jwks;
mod limit;
mod load;
mod measure;
mod metadata;
#[expect(
    clippy::indexing_slicing,
    reason = "members are written into JSON objects made on the spot, alike in every process"
)]
mod openapi;
mod proxy;
mod revoke;
mod route;
mod server;
mod stream;
mod table;
mod tls;
mod token;
mod traffic;
mod unsent;

use std::sync::Arc;

use agentidp_shared::{Headroom, RequestId};
use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::config;
use crate::lifecycle::open_files_limit;
use crate::service::Service;
use crate::service::bearer::Origin;
use cors::Cors;
use load::Gate;
use proxy::Proxies;
pub(crate) use server::serve;
pub(crate) use tls::Certificate;
use unsent::Unsent;

/// What every adapter has.
pub(crate) struct App {
    service: Arc<Service>,
    /// The metadata document: it does not change while the daemon runs.
    metadata: Bytes,
    /// The contract: it does not change either.
    contract: Bytes,
    /// A permit for each connection that may be open at once.
    connections: Arc<Semaphore>,
    /// What requests are counted with.
    measure: measure::Measure,
    /// Bounds the requests under way.
    gate: Arc<Gate>,
    /// Bounds the answers that nobody takes.
    unsent: Unsent,
    proxies: Proxies,
    cors: Cors,
    /// With it TLS is spoken.
    certificate: Option<Arc<Certificate>>,
    /// Whether clients reach the issuer by https, here or at a proxy.
    is_https: bool,
}

impl App {
    /// The interface to `service`, for as many connections as the process may have open.
    pub(crate) fn new(
        service: Arc<Service>,
        config: &config::Http,
        certificate: Option<Arc<Certificate>>,
    ) -> anyhow::Result<Self> {
        let issuer = &service.settings().issuer;
        let metadata = metadata::document(issuer)?;
        let contract = openapi::document(route::issuer_path(issuer))?;
        let connections = server::most_connections(open_files_limit()?);
        let measure = measure::Measure::new(&service.settings().issuer, &service.metrics().http)?;
        Ok(Self {
            is_https: service.settings().issuer.starts_with("https:"),
            service,
            measure,
            metadata,
            contract,
            connections: Arc::new(Semaphore::new(connections)),
            gate: Gate::new(config.max_requests),
            unsent: Unsent::new(),
            proxies: Proxies::new(config.trusted_proxies.clone(), config.forwarded_header),
            cors: Cors::new(&config.cors_origins),
            certificate,
        })
    }

    /// The path of the issuer, without a slash at its end.
    fn issuer_path(&self) -> &str {
        route::issuer_path(&self.service.settings().issuer)
    }
}

/// What [`server`] knows of a request before it is routed.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    /// The client's, also behind a proxy that is listed.
    address: std::net::IpAddr,
    request_id: RequestId,
    /// What the address may still ask, where that is limited.
    headroom: Option<Headroom>,
}

impl From<Arrival> for Origin {
    fn from(arrival: Arrival) -> Self {
        Self {
            address: arrival.address,
            request_id: arrival.request_id,
        }
    }
}
