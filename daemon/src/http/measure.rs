//! Which route of the table a request is for, so that it can be counted with it.
//!
//! Counting stands around everything that answers, so it has to know the route before the router
//! does, also for a request that never gets that far. It reads paths with the library that the
//! router itself uses.

use std::collections::HashSet;

use matchit::Router;

use super::route;
use crate::metrics::http::{Answering, HttpMetrics, RouteMetrics};

/// What is not in the table.
const OTHER: &str = "other";

/// The handles of every route, by its paths.
pub(super) struct Measure {
    routes: Router<usize>,
    handles: Vec<RouteMetrics>,
    other: RouteMetrics,
}

impl Measure {
    /// The handles for an issuer's routes.
    pub(super) fn new(issuer: &str, metrics: &HttpMetrics) -> anyhow::Result<Self> {
        let mut routes = Router::new();
        let mut handles = Vec::new();
        let mut known = HashSet::new();
        for (path, alias) in route::paths(issuer) {
            // Several methods of one path are one route here.
            if known.insert(alias.clone()) {
                routes.insert(alias, handles.len())?;
                handles.push(metrics.route(path));
            }
        }
        Ok(Self {
            routes,
            handles,
            other: metrics.route(OTHER),
        })
    }

    /// A request for `path` begins.
    pub(super) fn begin(&self, path: &str) -> Answering<'_> {
        let found = self.routes.at(path).ok();
        found
            .and_then(|found| self.handles.get(*found.value))
            .unwrap_or(&self.other)
            .begin()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use http::StatusCode;
    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::metrics::{Metrics, assert_specified};

    fn written(metrics: &Metrics) -> String {
        let (mut registry, mut written) = (Registry::default(), String::new());
        metrics.register(&mut registry);
        text::encode(&mut written, &registry).unwrap();
        written
    }

    #[test]
    fn a_request_counts_with_its_route_or_with_the_others() {
        let metrics = Metrics::default();
        let measure = Measure::new("https://id.example/tenant", &metrics.http).unwrap();
        measure
            .begin("/tenant/oauth2/token")
            .answered(StatusCode::OK);
        for path in ["/oauth2/token", "/tenant/oauth2/token/", "/0a1b2c", ""] {
            measure.begin(path).answered(StatusCode::NOT_FOUND);
        }
        let under_way = measure.begin("/health/live");
        let text = written(&metrics);
        for line in [
            "agentidp_http_requests_total{route=\"/oauth2/token\",status=\"2xx\"} 1",
            "agentidp_http_requests_total{route=\"other\",status=\"4xx\"} 4",
            "agentidp_http_requests_total{route=\"/health/live\",status=\"aborted\"} 0",
            "agentidp_http_requests_in_flight 1",
        ] {
            assert!(text.lines().any(|it| it == line), "no {line} in\n{text}");
        }
        assert!(!text.contains("0a1b2c"), "{text}");
        drop(under_way);
        let text = written(&metrics);
        assert!(
            text.contains("{route=\"/health/live\",status=\"aborted\"} 1"),
            "{text}"
        );
        assert!(text.contains("in_flight 0"), "{text}");
    }

    #[test]
    fn the_specification_lists_the_routes_of_the_table() {
        let table: BTreeSet<&str> = route::paths("https://id.example")
            .map(|(path, _)| path)
            .chain([OTHER])
            .collect();
        assert_specified("route", table);
    }
}
