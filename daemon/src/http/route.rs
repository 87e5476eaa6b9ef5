//! Routes: what there can be, who may use it, and what answers. Which there are, [`table`] says.
//!
//! [`table`]: super::table

use std::sync::Arc;

use agentidp_shared::Action;
use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::handler::Handler;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use super::api::{self, Operation};
use super::table::ROUTES;
use super::{
    App, Arrival, authorize, docs, error, health, introspect, jwks, metadata, revoke, token,
};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Anyone; it tells nothing that is not public.
    Anyone,
    /// A client that authenticates in the request (RFC 6749, section 2.3).
    Client,
    /// Whoever carries an access token of this server with a scope (RFC 6750).
    Scope {
        /// The scope.
        scope: &'static str,
        /// What the request is in the audit log when it is refused.
        action: Action,
    },
}

/// What answers on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// Issues tokens.
    Token,
    /// Tells what a token is worth.
    Introspect,
    /// Revokes a token.
    Revoke,
    /// Says that there is no authorization endpoint.
    Authorize,
    /// The server's metadata.
    Metadata,
    /// The JWK set.
    Jwks,
    /// Whether the daemon lives.
    Live,
    /// Whether it can serve.
    Ready,
    /// The contract.
    Contract,
    /// A page for the contract.
    Docs,
    /// Where that page is, for one who writes a slash behind it.
    DocsFolder,
    /// A part of that page.
    DocsFile,
    /// The management interface.
    Api(Operation),
}

/// Where a route's path stands in relation to the path of the issuer, if that has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
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
pub(super) struct Route {
    /// Its method.
    pub(super) method: MethodFilter,
    /// Its path, without that of the issuer.
    pub(super) path: &'static str,
    /// Where that is.
    pub(super) place: Place,
    /// Who may use it.
    pub(super) access: Access,
    /// What answers.
    pub(super) endpoint: Endpoint,
}

impl Route {
    /// The method's name, as a contract has it.
    pub(super) fn method_name(&self) -> &'static str {
        let names = [
            (MethodFilter::GET, "get"),
            (MethodFilter::POST, "post"),
            (MethodFilter::PATCH, "patch"),
            (MethodFilter::DELETE, "delete"),
        ];
        let known = names.iter().find(|(method, _)| *method == self.method);
        known.map_or("", |(_, name)| name)
    }

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
            (Endpoint::Contract, Access::Anyone) => answer(method, contract),
            (Endpoint::Docs, Access::Anyone) => answer(method, docs::page),
            (Endpoint::DocsFolder, Access::Anyone) => answer(method, docs::folder),
            (Endpoint::DocsFile, Access::Anyone) => answer(method, docs::file),
            (Endpoint::Api(operation), Access::Scope { scope, action }) => answer(
                method,
                move |State(app), Extension(arrival): Extension<Arrival>, request: Request| {
                    api::answer(app, arrival, operation, (scope, action), request)
                },
            ),
            // A route whose access does not fit its endpoint answers like one that is not there.
            (
                Endpoint::Token | Endpoint::Introspect | Endpoint::Revoke | Endpoint::Api(_),
                Access::Anyone,
            )
            | (_, Access::Client | Access::Scope { .. }) => answer(method, error::not_found),
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

/// Answers with the contract.
async fn contract(State(app): State<Arc<App>>) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "public, max-age=300"),
    ];
    (headers, app.contract.clone()).into_response()
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
    router
        .method_not_allowed_fallback(error::method_not_allowed)
        .fallback(error::not_found)
        .with_state(app)
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
pub(super) fn issuer_path(issuer: &str) -> &str {
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
            Endpoint::Contract,
            Endpoint::Docs,
            Endpoint::DocsFolder,
            Endpoint::DocsFile,
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
    fn the_management_interface_takes_the_scope_that_fits_what_is_done() {
        let mut seen = 0;
        for route in ROUTES {
            let Endpoint::Api(operation) = route.endpoint else {
                continue;
            };
            seen += 1;
            let Access::Scope { scope, .. } = route.access else {
                panic!("{} takes no scope", route.path);
            };
            let thing = if route.path.starts_with("/health/") {
                "health"
            } else if route.path.contains("/audit") {
                "audit"
            } else if route.path.contains("/credentials") && route.method != MethodFilter::GET {
                "credentials"
            } else {
                "agents"
            };
            let deed = if route.method == MethodFilter::GET {
                "read"
            } else {
                "write"
            };
            assert_eq!(scope, format!("{thing}:{deed}"), "{}", route.path);
            assert!(agentidp_shared::scope::MANAGEMENT.contains(&scope));
            let rows = ROUTES
                .iter()
                .filter(|other| other.endpoint == Endpoint::Api(operation));
            assert_eq!(rows.count(), 1, "{operation:?}");
        }
        assert_eq!(seen, 20);
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
