//! The table of routes: what there is, and who may use it. What is not here is refused.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::{App, authorize, error, health, introspect, jwks, metadata, revoke, token};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Anyone; it tells nothing that is not public.
    Anyone,
    /// A client that authenticates in the request (RFC 6749, section 2.3).
    Client,
}

/// What answers on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Token,
    Introspect,
    Revoke,
    Authorize,
    Metadata,
    Jwks,
    Live,
    Ready,
}

/// Where a route's path stands in relation to the path of the issuer, if that has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Below it.
    Issuer,
    /// A well-known document: before the issuer's path (RFC 8414, section 3), after it (`OpenID`
    /// Connect Discovery 1.0, section 4), and at the root.
    WellKnown,
    /// At the root.
    Root,
}

/// One route.
#[derive(Debug, Clone, Copy)]
struct Route {
    method: MethodFilter,
    path: &'static str,
    place: Place,
    access: Access,
    endpoint: Endpoint,
}

const fn route(
    method: MethodFilter,
    path: &'static str,
    place: Place,
    access: Access,
    endpoint: Endpoint,
) -> Route {
    Route {
        method,
        path,
        place,
        access,
        endpoint,
    }
}

const GET: MethodFilter = MethodFilter::GET;
const POST: MethodFilter = MethodFilter::POST;

const ROUTES: &[Route] = &[
    route(
        POST,
        "/oauth2/token",
        Place::Issuer,
        Access::Client,
        Endpoint::Token,
    ),
    route(
        POST,
        "/oauth2/introspect",
        Place::Issuer,
        Access::Client,
        Endpoint::Introspect,
    ),
    route(
        POST,
        "/oauth2/revoke",
        Place::Issuer,
        Access::Client,
        Endpoint::Revoke,
    ),
    route(
        GET,
        "/oauth2/authorize",
        Place::Issuer,
        Access::Anyone,
        Endpoint::Authorize,
    ),
    route(
        GET,
        "/.well-known/oauth-authorization-server",
        Place::WellKnown,
        Access::Anyone,
        Endpoint::Metadata,
    ),
    route(
        GET,
        "/.well-known/openid-configuration",
        Place::WellKnown,
        Access::Anyone,
        Endpoint::Metadata,
    ),
    route(
        GET,
        "/.well-known/jwks.json",
        Place::Issuer,
        Access::Anyone,
        Endpoint::Jwks,
    ),
    route(
        GET,
        "/health/live",
        Place::Root,
        Access::Anyone,
        Endpoint::Live,
    ),
    route(
        GET,
        "/health/ready",
        Place::Root,
        Access::Anyone,
        Endpoint::Ready,
    ),
];

impl Route {
    /// The paths that the route answers on, for an issuer whose path is `issuer_path` (no slash at
    /// its end; empty for none).
    fn paths(&self, issuer_path: &str) -> Vec<String> {
        let path = self.path;
        let mut paths = match self.place {
            Place::Issuer => vec![format!("{issuer_path}{path}")],
            Place::WellKnown => vec![
                format!("{path}{issuer_path}"),
                format!("{issuer_path}{path}"),
                path.to_owned(),
            ],
            Place::Root => vec![path.to_owned()],
        };
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    fn handler(&self) -> MethodRouter<Arc<App>> {
        // The compiler sees to it that no endpoint is without a handler, and the table that no
        // handler is without an access rule.
        let Self {
            method,
            access,
            endpoint,
            ..
        } = *self;
        match (endpoint, access) {
            (Endpoint::Token, Access::Client) => answer(method, token::token),
            (Endpoint::Introspect, Access::Client) => answer(method, introspect::introspect),
            (Endpoint::Revoke, Access::Client) => answer(method, revoke::revoke),
            (Endpoint::Authorize, Access::Anyone) => answer(method, authorize::authorize),
            (Endpoint::Metadata, Access::Anyone) => answer(method, metadata::metadata),
            (Endpoint::Jwks, Access::Anyone) => answer(method, jwks::jwks),
            (Endpoint::Live, Access::Anyone) => answer(method, health::live),
            (Endpoint::Ready, Access::Anyone) => answer(method, health::ready),
            // A route whose access does not fit its endpoint answers like one that is not there.
            (Endpoint::Token | Endpoint::Introspect | Endpoint::Revoke, Access::Anyone)
            | (_, Access::Client) => answer(method, error::no_route),
        }
    }
}

fn answer<H, T>(method: MethodFilter, handler: H) -> MethodRouter<Arc<App>>
where
    H: Handler<T, Arc<App>>,
    T: 'static,
{
    // For other methods axum answers 405 with the `Allow` that RFC 9110, section 15.5.6, requires.
    on(method, handler)
}

/// The router of the table, for an issuer.
pub(super) fn router(app: Arc<App>) -> Router {
    let issuer_path = issuer_path(&app.service.settings().issuer).to_owned();
    let mut router = Router::new();
    for route in ROUTES {
        for path in route.paths(&issuer_path) {
            router = router.route(&path, route.handler());
        }
    }
    router.fallback(error::no_route).with_state(app)
}

/// Every path that a route answers on, for an issuer, after the route's path in the table.
pub(super) fn paths(issuer: &str) -> impl Iterator<Item = (&'static str, String)> {
    let issuer_path = issuer_path(issuer);
    ROUTES.iter().flat_map(move |route| {
        let paths = route.paths(issuer_path).into_iter();
        paths.map(|path| (route.path, path))
    })
}

/// The path of an issuer, without a slash at its end.
fn issuer_path(issuer: &str) -> &str {
    let after_scheme = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
    after_scheme
        .find('/')
        .and_then(|at| after_scheme.get(at..))
        .unwrap_or_default()
        .trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_stands_in_the_table_with_the_access_that_it_is_made_for() {
        for endpoint in [
            Endpoint::Token,
            Endpoint::Introspect,
            Endpoint::Revoke,
            Endpoint::Authorize,
            Endpoint::Metadata,
            Endpoint::Jwks,
            Endpoint::Live,
            Endpoint::Ready,
        ] {
            let routes: Vec<_> = ROUTES
                .iter()
                .filter(|route| route.endpoint == endpoint)
                .collect();
            assert!(!routes.is_empty(), "{endpoint:?} is not listed");
            for route in routes {
                let clients = [Endpoint::Token, Endpoint::Introspect, Endpoint::Revoke];
                let expected = if clients.contains(&endpoint) {
                    Access::Client
                } else {
                    Access::Anyone
                };
                assert_eq!(route.access, expected, "{}", route.path);
            }
        }
    }

    #[test]
    fn an_issuer_with_a_path_is_found_wherever_clients_look() {
        let metadata: Vec<_> = ROUTES
            .iter()
            .filter(|it| it.place == Place::WellKnown)
            .flat_map(|it| it.paths("/t"))
            .collect();
        for path in [
            "/.well-known/oauth-authorization-server/t",
            "/.well-known/openid-configuration/t",
            "/t/.well-known/openid-configuration",
        ] {
            assert!(metadata.iter().any(|known| known == path), "{path}");
        }
        assert_eq!(issuer_path("https://h.example/t"), "/t");
        assert_eq!(issuer_path("https://h.example/"), "");
        assert_eq!(issuer_path("https://h.example"), "");
    }
}
