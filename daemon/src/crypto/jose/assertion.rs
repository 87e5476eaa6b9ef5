//! Client assertions: how an agent proves itself with its own key (`private_key_jwt`; RFC 7523,
//! section 3).

use std::time::Duration;

use agentidp_shared::{AgentId, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::jwt::{NumericDate, Types, UnverifiedJwt};
use super::{JwtError, Verifier, json};

/// The longest time that an assertion may have left, and the longest that it may be old.
///
/// It is used once, at once. The shorter it lives, the shorter its `jti` has to be remembered.
const MAX_LIFETIME: Duration = Duration::from_mins(5);

/// How far the agent's clock may be ahead of ours, or behind it.
///
/// It widens every limit but the end: an assertion that has expired by our clock has expired. Its
/// `jti` may be forgotten at that moment, and to live five minutes is enough for any clock.
const MAX_SKEW: Duration = Duration::from_secs(30);

/// `client-authentication+jwt` is what new clients send, and `JWT` what most do. RFC 7523 asks for
/// none and many clients send none, so `typ` may be missing: an assertion is told from other tokens
/// by its issuer, who is the client, and by its key, which signs nothing else for this server.
const TYPES: Types = Types {
    names: &["JWT", "client-authentication+jwt"],
    may_be_absent: true,
};

/// Why a client assertion was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AssertionError {
    /// It is no JWT that can be verified, or its signature is wrong.
    #[error(transparent)]
    Jwt(#[from] JwtError),
    /// `sub` is missing or no agent's id, or `iss` is another.
    #[error("the assertion's iss and sub are not both the client_id")]
    Client,
    /// `aud` is not this server's issuer, as one string.
    #[error("the assertion's aud is not the issuer of this server, as a string")]
    Audience,
    /// There is no `exp`.
    #[error("the assertion has no exp")]
    NoExpiry,
    /// `exp` has passed.
    #[error("the assertion has expired")]
    Expired,
    /// `exp` is too far ahead, and there is no `iat`.
    #[error("the assertion's exp is more than five minutes ahead, and it has no iat")]
    ExpiresTooLate,
    /// `iat` is ahead of our clock.
    #[error("the assertion's iat is in the future; set the agent's clock")]
    IssuedInFuture,
    /// `iat` is too long ago.
    #[error("the assertion's iat is more than five minutes ago")]
    TooOld,
    /// `nbf` is ahead of our clock.
    #[error("the assertion's nbf is in the future")]
    NotYetValid,
    /// There is no `jti`, or one that is empty, too long or with control characters.
    #[error("the assertion's jti is not a text of 1 to 256 bytes without control characters")]
    Id,
}

/// The claims that are looked at.
#[derive(Deserialize)]
struct Claims {
    #[serde(default, deserialize_with = "json::present")]
    iss: Option<String>,
    #[serde(default, deserialize_with = "json::present")]
    sub: Option<String>,
    #[serde(default)]
    aud: Value,
    #[serde(default, deserialize_with = "json::present")]
    exp: Option<NumericDate>,
    #[serde(default, deserialize_with = "json::present")]
    iat: Option<NumericDate>,
    #[serde(default, deserialize_with = "json::present")]
    nbf: Option<NumericDate>,
    #[serde(default, deserialize_with = "json::present")]
    jti: Option<String>,
}

/// A client assertion that has been read and not verified.
pub(crate) struct ClientAssertion<'a> {
    jwt: UnverifiedJwt<'a>,
    client_id: AgentId,
    claims: Claims,
}

/// What a verified assertion says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assertion {
    /// Who proved itself.
    pub(crate) client_id: AgentId,
    /// The assertion's id, unique for the client: it is used once.
    pub(crate) jti: String,
    /// When it expires, and its `jti` may be forgotten.
    pub(crate) expires_at: Timestamp,
}

impl<'a> ClientAssertion<'a> {
    /// Reads an assertion, to find the agent and its keys by. Nothing of it is proved yet.
    pub(crate) fn peek(assertion: &'a str) -> Result<Self, AssertionError> {
        let jwt = UnverifiedJwt::parse(assertion, TYPES)?;
        let claims: Claims = jwt.unverified_claims()?;
        let sub = claims.sub.as_deref().ok_or(AssertionError::Client)?;
        if claims.iss.as_deref() != Some(sub) {
            return Err(AssertionError::Client);
        }
        let client_id = sub.parse().map_err(|_error| AssertionError::Client)?;
        Ok(Self {
            jwt,
            client_id,
            claims,
        })
    }

    /// Who the assertion says it is from: its `iss` and `sub`.
    pub(crate) const fn client_id(&self) -> AgentId {
        self.client_id
    }

    /// The name of the key that the assertion says it was signed with.
    pub(crate) fn kid(&self) -> Option<&str> {
        self.jwt.kid()
    }

    /// Verifies the assertion with a key of the client's: that it signed it, for the server that is
    /// `issuer`, and that `now` is within its time. Whether its `jti` has been used before is for
    /// the caller to find out.
    pub(crate) fn verify(
        &self,
        key: &Verifier,
        issuer: &str,
        now: Timestamp,
    ) -> Result<Assertion, AssertionError> {
        self.jwt.verify(key)?;
        if !self.is_for(issuer) {
            return Err(AssertionError::Audience);
        }
        let expires_at = self.check_time(now)?;
        let jti = self.claims.jti.as_deref();
        Ok(Assertion {
            client_id: self.client_id,
            jti: jti
                .filter(|jti| json::is_name(jti))
                .ok_or(AssertionError::Id)?
                .to_owned(),
            expires_at,
        })
    }

    /// Whether `aud` is the issuer, with or without its last slash, as a string and nothing else.
    ///
    /// RFC 7523, section 3 leaves more open than is safe. An assertion for several servers can be
    /// used at each by the others; and the address of a token endpoint is what a hostile server
    /// would name as its own, to be sent an assertion that is good here.
    fn is_for(&self, issuer: &str) -> bool {
        fn bare(url: &str) -> &str {
            url.strip_suffix('/').unwrap_or(url)
        }
        let aud = self.claims.aud.as_str();
        aud.is_some_and(|aud| bare(aud) == bare(issuer))
    }

    /// When the assertion expires, if `now` is within its time.
    ///
    /// Some clients give every assertion an hour. One that says when it was made is good for
    /// [`MAX_LIFETIME`] from then on, whatever its `exp`; one that does not may not ask for more.
    fn check_time(&self, now: Timestamp) -> Result<Timestamp, AssertionError> {
        let NumericDate(expires_at) = self.claims.exp.ok_or(AssertionError::NoExpiry)?;
        let far = MAX_LIFETIME + MAX_SKEW;
        let is_ahead = |date: NumericDate| date.0 > now.plus(MAX_SKEW);
        let too_old_at = self.claims.iat.map(|NumericDate(iat)| iat.plus(far));
        if expires_at <= now {
            Err(AssertionError::Expired)
        } else if self.claims.iat.is_none() && expires_at > now.plus(far) {
            Err(AssertionError::ExpiresTooLate)
        } else if self.claims.iat.is_some_and(is_ahead) {
            Err(AssertionError::IssuedInFuture)
        } else if too_old_at.is_some_and(|end| end <= now) {
            Err(AssertionError::TooOld)
        } else if self.claims.nbf.is_some_and(is_ahead) {
            Err(AssertionError::NotYetValid)
        } else {
            Ok(too_old_at.map_or(expires_at, |end| end.min(expires_at)))
        }
    }
}
