//! What an access token is, and whether it counts (RFC 7662).

use std::sync::Arc;

use agentidp_shared::{Action, Code, Outcome};

use super::bearer::{Counted, Origin, Presents};
use super::{Caller, Service, ServiceError};
use crate::crypto::jose::AccessToken;

/// The scope that introspection takes.
const SCOPE: &str = "tokens:read";

/// What an operator is told of a token.
#[derive(Debug)]
pub(crate) struct Inspection {
    /// Why the token does not count; `Ok` when it does.
    pub(crate) state: Result<(), Code>,
    /// What it says, when this server signed it, it has not expired, and its organization is there
    /// for the operator.
    pub(crate) token: Option<Arc<AccessToken>>,
}

impl Service {
    /// Introspects a token for a resource server: what it says when it counts and is of the caller's
    /// organization, and otherwise nothing.
    ///
    /// # Errors
    ///
    /// The codes of client authentication; `INVALID_TOKEN`, `INSUFFICIENT_SCOPE`.
    pub(crate) async fn introspect(
        &self,
        presents: &Presents,
        token: &str,
        origin: Origin,
    ) -> Result<Counted<Option<Arc<AccessToken>>>, ServiceError> {
        let action = Action::TokenIntrospect;
        let identified = self.identify(presents, SCOPE, action, origin).await?;
        if !identified.is_allowed {
            return Err(self.refuse_scope(&identified, SCOPE, action).await?);
        }
        let mut entry = self.entry(&identified.caller, action, Outcome::Success);
        entry.organization_id = Some(identified.organization);
        if identified.uses_assertion() {
            let commit = identified.commit_of(entry);
            self.commit_identified(&identified, commit, action).await?;
        } else {
            entry.credential_id = identified.credential;
            self.note(entry, identified.agent);
        }
        let now = self.now();
        let Some(token) = self.verified(token, now) else {
            return Ok(identified.counted(None));
        };
        let is_own = token.organization_id == identified.organization;
        let is_live = self.check_live(&token, now)?.is_ok();
        let told = Some(token).filter(|_| is_own && is_live);
        Ok(identified.counted(told))
    }

    /// Tells an operator what a token is, and whether it counts.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) fn inspect_token(
        &self,
        caller: &Caller,
        token: &str,
    ) -> Result<Inspection, ServiceError> {
        let now = self.now();
        let token = self.verified(token, now);
        let Some(token) = token.filter(|it| caller.reach.has(it.organization_id)) else {
            return Ok(Inspection {
                state: Err(Code::InvalidToken),
                token: None,
            });
        };
        Ok(Inspection {
            state: self.check_live(&token, now)?,
            token: Some(token),
        })
    }
}
