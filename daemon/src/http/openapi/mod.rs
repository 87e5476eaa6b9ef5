//! The contract: an `OpenAPI` 3.1 document of every route, made from the table of routes.
//!
//! What the table says (path, method, access) is taken from it; what it does not say stands in
//! [`management`] and [`public`], by endpoint, and in [`component`] and [`schema`]. A copy is kept in `docs/reference/openapi.json`,
//! and a test fails when the two differ: run it with `BLESS=1` to write the copy anew.

mod component;
mod management;
mod operation;
mod public;
mod refusal;
mod schema;

use bytes::Bytes;
use serde_json::{Map, json};

use super::route::Place;
use super::table::ROUTES;

/// The document, for an issuer whose path is `issuer_path` (no slash at its end; empty for none).
pub(super) fn document(issuer_path: &str) -> serde_json::Result<Bytes> {
    let mut paths = Map::new();
    for route in ROUTES {
        // A path that goes on has no sign of its own there.
        let path = route.path.replace("{*", "{");
        let item = paths.entry(path).or_insert_with(|| json!({}));
        item[route.method_name()] = operation::describe(route);
        if !issuer_path.is_empty() && route.place != Place::Issuer {
            item["servers"] = json!([{ "url": "/" }]);
        }
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "AgentIdP",
            "summary": "An identity provider for AI agents",
            "description": "Agents get tokens with OAuth 2.0; an organization's automation manages \
                            its agents below /api/v1 with an access token of this server.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": if issuer_path.is_empty() { "/" } else { issuer_path } }],
        "tags": operation::tags(),
        "paths": paths,
        "components": {
            "schemas": component::all(),
            "responses": refusal::all(),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "An access token of this server, for this server (RFC 6750).",
                },
                "client": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "Client authentication (RFC 6749, section 2.3.1), which may stand \
                                    in the form instead.",
                },
            },
        },
    });
    let mut json = serde_json::to_vec_pretty(&document)?;
    json.push(b'\n');
    Ok(json.into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use serde_json::Value;

    use super::*;
    use crate::http::api::samples;

    fn value() -> Value {
        serde_json::from_slice(&document("").unwrap()).unwrap()
    }

    #[test]
    fn the_committed_contract_is_the_one_that_is_served() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/openapi.json");
        let generated = document("").unwrap();
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &generated).unwrap();
        }
        let committed = std::fs::read(&path).unwrap();
        assert!(
            committed == generated,
            "docs/reference/openapi.json is not what the code says: run this test with BLESS=1"
        );
    }

    #[test]
    fn every_route_is_in_the_contract_and_nothing_else() {
        let listed: BTreeSet<_> = ROUTES
            .iter()
            .map(|route| {
                let path = route.path.replace("{*", "{");
                (path, route.method_name().to_owned())
            })
            .collect();
        assert_eq!(listed.len(), ROUTES.len(), "a route is listed twice");
        let document = value();
        let described: BTreeSet<_> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys();
                methods.map(move |method| (path.clone(), method.clone()))
            })
            .collect();
        assert_eq!(described, listed);
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_its_parameters_are_those_of_its_path() {
        let document = value();
        let mut names = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for operation in item.as_object().unwrap().values() {
                let name = operation["operationId"].as_str().unwrap();
                assert!(names.insert(name.to_owned()), "{name} stands twice");
                let parameters = operation["parameters"].as_array().unwrap();
                let in_path: BTreeSet<_> = parameters
                    .iter()
                    .filter(|it| it["in"] == "path")
                    .map(|it| it["name"].as_str().unwrap())
                    .collect();
                let expected: BTreeSet<_> = path
                    .split('/')
                    .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
                    .collect();
                assert_eq!(in_path, expected, "{path}");
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = value();
        let text = document.to_string();
        for part in text.split("\"$ref\":\"#").skip(1) {
            let pointer = part.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
        for name in document["components"]["schemas"]
            .as_object()
            .unwrap()
            .keys()
        {
            assert!(
                text.contains(&format!("schemas/{name}\"")),
                "{name} is not used"
            );
        }
    }

    #[test]
    fn what_is_answered_has_the_members_that_its_schema_says() {
        let document = value();
        for (name, sample) in samples() {
            let schema = &document["components"]["schemas"][name];
            let members = |value: &Value| -> BTreeSet<String> {
                value.as_object().unwrap().keys().cloned().collect()
            };
            assert_eq!(members(&sample), members(&schema["properties"]), "{name}");
        }
    }
}
