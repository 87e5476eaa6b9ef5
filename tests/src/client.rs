//! An agent that asks for tokens.

use std::io;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::http::{Http, Request, Response};

/// The token endpoint's path.
const TOKEN: &str = "/oauth2/token";
/// The introspection endpoint's path.
const INTROSPECT: &str = "/oauth2/introspect";
/// The revocation endpoint's path.
const REVOKE: &str = "/oauth2/revoke";

/// An OAuth 2.0 client with a secret.
#[derive(Debug, Clone)]
pub struct Client {
    /// The server.
    pub http: Http,
    /// The `client_id`, which is the agent's id.
    pub id: String,
    /// The secret.
    pub secret: String,
    /// The id of the credential that the secret belongs to.
    pub credential: String,
}

impl Client {
    /// Asks for a token by `client_secret_basic`, with `parameters` beside the grant type.
    #[must_use]
    pub fn token(&self, parameters: &[(&str, &str)]) -> Response {
        self.http.send(&self.basic(parameters))
    }

    /// Asks for a token by `client_secret_basic`.
    ///
    /// # Errors
    ///
    /// When no whole answer comes.
    pub fn try_token(&self) -> io::Result<Response> {
        self.http.try_send(&self.basic(&[]))
    }

    /// Asks for a token by `client_secret_post`.
    #[must_use]
    pub fn token_by_post(&self, parameters: &[(&str, &str)]) -> Response {
        let mut all = vec![
            ("grant_type", "client_credentials"),
            ("client_id", self.id.as_str()),
            ("client_secret", self.secret.as_str()),
        ];
        all.extend(parameters);
        self.http.send(&Request::form(TOKEN, &all))
    }

    /// Asks about a token.
    #[must_use]
    pub fn introspect(&self, token: &str) -> Response {
        self.http.send(&self.about(token))
    }

    /// Asks about a token.
    ///
    /// # Errors
    ///
    /// When no whole answer comes.
    pub fn try_introspect(&self, token: &str) -> io::Result<Response> {
        self.http.try_send(&self.about(token))
    }

    /// Revokes a token.
    #[must_use]
    pub fn revoke(&self, token: &str) -> Response {
        self.http.send(&self.with_token(REVOKE, token))
    }

    /// An introspection request.
    #[must_use]
    pub fn about(&self, token: &str) -> Request {
        self.with_token(INTROSPECT, token)
    }

    fn with_token(&self, path: &str, token: &str) -> Request {
        Request::form(path, &[("token", token)]).header("authorization", &self.basic_header())
    }

    /// A token request by `client_secret_basic`, with `parameters` beside the grant type.
    #[must_use]
    pub fn basic(&self, parameters: &[(&str, &str)]) -> Request {
        let mut all = vec![("grant_type", "client_credentials")];
        all.extend(parameters);
        Request::form(TOKEN, &all).header("authorization", &self.basic_header())
    }

    /// The `Authorization` header of `client_secret_basic`.
    #[must_use]
    pub fn basic_header(&self) -> String {
        format!(
            "Basic {}",
            BASE64_STANDARD.encode(format!("{}:{}", self.id, self.secret))
        )
    }

    /// The same client of a server that has moved.
    #[must_use]
    pub fn at(&self, http: Http) -> Self {
        Self {
            http,
            ..self.clone()
        }
    }

    /// The same client with another secret.
    #[must_use]
    pub fn with_secret(&self, secret: &str) -> Self {
        Self {
            secret: secret.to_owned(),
            ..self.clone()
        }
    }

    /// The same secret under another client's name.
    #[must_use]
    pub fn with_id(&self, id: &str) -> Self {
        Self {
            id: id.to_owned(),
            ..self.clone()
        }
    }

    /// The claims of a token, unverified.
    #[must_use]
    pub fn claims(token: &str) -> Value {
        let payload = token.split('.').nth(1).expect("a JWT has three parts");
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(payload).expect("base64url");
        serde_json::from_slice(&bytes).expect("JSON")
    }
}
