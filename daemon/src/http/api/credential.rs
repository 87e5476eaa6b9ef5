//! Credentials over REST.

use std::time::Duration;

use agentidp_shared::{AgentId, Credential, CredentialId, PublicKey};

use super::Answer;
use super::agent::take_reason;
use super::error::ApiError;
use super::json::Members;
use super::page::{Page, PageRequest, bad_cursor};
use super::request::Call;
use super::view::{CredentialView, IssuedView};
use crate::service::ServiceError;
use crate::service::credential::{self, Issued, MAX_EXPIRY, MAX_GRACE, Proof, Rotation};

/// `POST /agents/{id}/credentials`
pub(super) async fn issue(mut call: Call) -> Result<Answer, ApiError> {
    call.query.finish()?;
    let agent: AgentId = call.id("agent_id")?;
    let mut members = std::mem::take(&mut call.body);
    let proof = public_key(&mut members)?.map_or(Proof::ClientSecret, Proof::PublicKey);
    let expires_in = members
        .integer("expires_in", 1..=MAX_EXPIRY.as_secs())?
        .map(Duration::from_secs);
    members.finish()?;
    let service = &call.app.service;
    let issued = service
        .issue_credential(&call.caller, &agent.to_string(), proof, expires_in)
        .await?;
    let location = call.location(&issued.credential.id);
    Ok(written(&issued)?.created(location))
}

/// `GET /agents/{id}/credentials`
pub(super) fn list(mut call: Call) -> Result<Answer, ApiError> {
    let agent: AgentId = call.id("agent_id")?;
    let asked = PageRequest::take(&mut call, &format!("credentials of {agent}"))?;
    call.query.finish()?;
    let service = &call.app.service;
    let all = service.list_credentials(&call.caller, &agent.to_string())?;
    let after = match asked.after.as_deref().map(<[u8; 16]>::try_from) {
        Some(Ok(id)) => Some(CredentialId::from_bytes(id)),
        Some(Err(_)) => return Err(bad_cursor()),
        None => None,
    };
    // Newest first, which is by id.
    let mut rest = all
        .iter()
        .filter(|credential| after.is_none_or(|after| credential.id < after));
    let items: Vec<_> = rest.by_ref().take(asked.limit).collect();
    let has_more = rest.next().is_some();
    let last = items.last().filter(|_| has_more);
    let next_cursor = last.map(|last| asked.cursor(&call, last.id.as_bytes()));
    Answer::new(&Page {
        items: items.into_iter().map(CredentialView::from).collect(),
        next_cursor,
        total: Some(all.len() as u64),
    })
}

/// `GET /agents/{id}/credentials/{cid}`
pub(super) fn show(call: &Call) -> Result<Answer, ApiError> {
    call.query.finish()?;
    let credential = named(call)?;
    answer(&credential)
}

/// `POST /agents/{id}/credentials/{cid}/rotate`
pub(super) async fn rotate(mut call: Call) -> Result<Answer, ApiError> {
    call.query.finish()?;
    let mut members = std::mem::take(&mut call.body);
    let rotation = Rotation {
        public_key: public_key(&mut members)?,
        grace: members
            .integer("grace", 0..=MAX_GRACE.as_secs())?
            .map(Duration::from_secs),
        seen: call.seen(),
    };
    members.finish()?;
    let old = named(&call)?;
    let service = &call.app.service;
    let issued = service
        .rotate_credential(&call.caller, old.id, rotation)
        .await?;
    // `…/credentials/{cid}/rotate` made `…/credentials/{other}`.
    let location = call.location_beside(2, &issued.credential.id);
    Ok(written(&issued)?.created(location))
}

/// `DELETE /agents/{id}/credentials/{cid}`
pub(super) async fn revoke(mut call: Call) -> Result<Answer, ApiError> {
    let reason = take_reason(&mut call.query)?;
    call.query.finish()?;
    let credential = named(&call)?;
    let service = &call.app.service;
    let revoked = service
        .revoke_credential(&call.caller, credential.id, Some(reason), call.seen())
        .await?;
    answer(&revoked.record)
}

/// The credential that the path names. One of another agent than the path says is not there.
fn named(call: &Call) -> Result<Credential, ApiError> {
    let agent: AgentId = call.id("agent_id")?;
    let id: CredentialId = call.id("credential_id")?;
    let credential = call.app.service.find_credential(&call.caller, id)?;
    if credential.agent_id == agent {
        Ok(credential)
    } else {
        Err(ServiceError::credential_not_found().into())
    }
}

fn answer(credential: &Credential) -> Result<Answer, ApiError> {
    Ok(Answer::new(&CredentialView::from(credential))?.revision(credential.revision))
}

fn written(issued: &Issued) -> Result<Answer, ApiError> {
    Ok(Answer::new(&IssuedView::from(issued))?.revision(issued.credential.revision))
}

/// The agent's own key.
fn public_key(members: &mut Members) -> Result<Option<PublicKey>, ApiError> {
    let Some(object) = members.object("public_key")? else {
        return Ok(None);
    };
    let json = serde_json::to_vec(&object)
        .map_err(|_error| ApiError::invalid("public_key", "must be a JWK"))?;
    Ok(Some(credential::public_key(&json)?))
}
