//! Dry runs: what would be done is told, with the exit code that doing it would have, as far as that
//! can be known from outside.

use std::fmt::Display;
use std::io::Write;
use std::time::Duration;

use agentidp_proto::v1;
use agentidp_shared::CredentialStatus;
use agentidp_shared::agent::Transition;
use tonic::Code;

use crate::args::Revision;
use crate::client::Client;
use crate::duration;
use crate::error::{Error, Refusal};

use super::output::Output;
use super::{register_many, tell};

/// Tells what would be done.
pub(super) fn would(what: &str) {
    tell(&format!("{what}; nothing was done"));
}

/// That the daemon would refuse it, with its code for that.
pub(super) fn refused(code: &str, why: impl Display) -> Error {
    Error::Refused(Refusal {
        grpc: Code::FailedPrecondition,
        code: Some(code.to_owned()),
        message: format!("it would be refused: {why}"),
        request_id: None,
    })
}

/// Refuses when the revision that the caller saw is not the record's. `seen` 0 is any.
pub(super) fn check_revision(seen: u64, now: u64) -> Result<(), Error> {
    if seen == 0 || seen == now {
        return Ok(());
    }
    Err(refused(
        "REVISION_CONFLICT",
        format!("the revision is {now}, not {seen}"),
    ))
}

/// Whether what was looked for is there: that it is not is no error here.
pub(super) fn if_found<T>(looked_for: Result<T, Error>) -> Result<Option<T>, Error> {
    match looked_for {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.exit_code() == 3 => Ok(None),
        Err(error) => Err(error),
    }
}

/// Shows an agent, and tells what the transition would make of it.
pub(super) async fn transition(
    change: Transition,
    agent: String,
    seen: u64,
    client: &Client,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let agent = client.agent(agent).await?;
    output.one(&agent)?;
    check_revision(seen, agent.revision)?;
    match agent.status.after(change) {
        Ok(status) if status == agent.status => {
            tell(&format!("it is {status} already: nothing would be done"));
        }
        Ok(status) => tell(&format!("it would be {status}; nothing was done")),
        Err(error) => return Err(refused("INVALID_STATE", error)),
    }
    Ok(())
}

/// Tells whether an agent could be registered, as far as that can be known from here.
pub(super) async fn registration(
    request: v1::RegisterAgentRequest,
    client: &Client,
) -> Result<(), Error> {
    let email = register_many::check(&request)
        .map_err(|rule| Error::usage(rule.to_string(), "put it right and repeat"))?;
    client.organization(request.organization).await?;
    if if_found(client.agent(email.to_string()).await)?.is_some() {
        let why = format!("there is an agent {email} already");
        return Err(refused("ALREADY_EXISTS", why));
    }
    would(&format!(
        "the agent {email} would be registered, if its organization's tier has room for it"
    ));
    Ok(())
}

/// Shows an agent as it is, and tells that it would be changed.
pub(super) async fn update(
    request: &v1::UpdateAgentRequest,
    client: &Client,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let agent = client.agent(request.agent.clone()).await?;
    output.one(&agent)?;
    check_revision(request.revision, agent.revision)?;
    if agent.status.is_final() {
        let why = format!("the agent is {}: its record stays as it is", agent.status);
        return Err(refused("INVALID_STATE", why));
    }
    would("what is named would be changed");
    Ok(())
}

/// Shows the agent that a credential would be issued to.
pub(super) async fn issue(
    agent: String,
    client: &Client,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let agent = client.agent(agent).await?;
    output.one(&agent)?;
    if agent.status.is_final() {
        let why = format!("the agent is {}", agent.status);
        return Err(refused("INVALID_STATE", why));
    }
    would("it would get a credential more");
    Ok(())
}

/// Shows the credential that would be rotated.
pub(super) async fn rotation(
    credential: String,
    grace: Option<Duration>,
    revision: Revision,
    client: &Client,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let current = client.credential(credential).await?;
    output.one(&current)?;
    check_revision(revision.seen(), current.revision)?;
    if current.status != CredentialStatus::Active {
        let why = format!("the credential is {}", current.status);
        return Err(refused("INVALID_STATE", why));
    }
    would(&match grace {
        Some(Duration::ZERO) => {
            "a successor would be issued, and this one be revoked at once".to_owned()
        }
        Some(grace) => format!(
            "a successor would be issued, and this one be accepted for {} more",
            duration::exact(grace)
        ),
        None => "a successor would be issued, and this one be accepted for 24h more".to_owned(),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_ends_as_the_thing_itself_would() {
        assert!(check_revision(0, 7).is_ok());
        assert!(check_revision(7, 7).is_ok());
        assert_eq!(check_revision(6, 7).unwrap_err().exit_code(), 5);
        assert_eq!(refused("INVALID_STATE", "no").exit_code(), 5);
        assert_eq!(refused("ALREADY_EXISTS", "no").exit_code(), 5);
    }
}
