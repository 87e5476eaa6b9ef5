//! The agents' interface: connections, requests under way, and answers by route.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Labels;

/// What is counted of HTTP.
#[derive(Debug, Default)]
pub(crate) struct HttpMetrics {
    requests: Family<Labels<2>, Counter>,
    in_flight: Gauge,
    connections: Gauge,
}

impl HttpMetrics {
    /// The handles of a route, by its path in the table.
    pub(crate) fn route(&self, route: &'static str) -> RouteMetrics {
        let counter = |status| {
            self.requests
                .get_or_create_owned(&[("route", route), ("status", status)])
        };
        RouteMetrics {
            success: counter("2xx"),
            redirection: counter("3xx"),
            client_error: counter("4xx"),
            server_error: counter("5xx"),
            aborted: counter("aborted"),
            in_flight: self.in_flight.clone(),
        }
    }

    /// A connection is open until what this gives is dropped.
    pub(crate) fn connection(&self) -> Open {
        self.connections.inc();
        Open(self.connections.clone())
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "agentidp_http_requests",
            "HTTP requests of agents, by route and by the class of the answer's status",
            self.requests.clone(),
        );
        registry.register(
            "agentidp_http_requests_in_flight",
            "HTTP requests of agents that are being answered",
            self.in_flight.clone(),
        );
        registry.register(
            "agentidp_http_connections",
            "Connections of agents that are open",
            self.connections.clone(),
        );
    }
}

/// A connection that is counted for as long as this lasts.
#[derive(Debug)]
pub(crate) struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The handles of one route.
#[derive(Debug)]
pub(crate) struct RouteMetrics {
    success: Counter,
    redirection: Counter,
    client_error: Counter,
    server_error: Counter,
    aborted: Counter,
    in_flight: Gauge,
}

impl RouteMetrics {
    /// A request begins. Until [`Answering::answered`] says otherwise it counts as aborted: the
    /// client went away.
    pub(crate) fn begin(&self) -> Answering<'_> {
        self.in_flight.inc();
        Answering {
            route: self,
            counter: &self.aborted,
        }
    }
}

/// A request that is being answered, and is counted when this is dropped.
#[derive(Debug)]
pub(crate) struct Answering<'a> {
    route: &'a RouteMetrics,
    counter: &'a Counter,
}

impl Answering<'_> {
    /// The answer is ready.
    pub(crate) fn answered(mut self, status: http::StatusCode) {
        self.counter = match status.as_u16() {
            ..300 => &self.route.success,
            300..400 => &self.route.redirection,
            400..500 => &self.route.client_error,
            _ => &self.route.server_error,
        };
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.counter.inc();
        self.route.in_flight.dec();
    }
}
