//! Dry runs: what would be done is told, with the exit code that doing it would have, as far as that
//! can be known from outside.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::Write;
use std::time::Duration;

use agentidp_proto::{convert, v1};
use agentidp_shared::agent::{Transition, parse_version};
use agentidp_shared::credential::check_grace;
use agentidp_shared::{
    Agent, AgentType, CredentialStatus, DeploymentEnv, FieldError, Metadata, Owner,
};
use tonic::Code;

use crate::args::Revision;
use crate::client::Client;
use crate::duration;
use crate::error::{Error, Refusal};
use crate::text::inert;

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
    let changes = changes(&agent, request).map_err(|rule| {
        let hint = "put it right; agentidp agent update --help says what it may be";
        Error::usage(rule.to_string(), hint)
    })?;
    for change in &changes {
        tell(change);
    }
    would(match changes.len() {
        0 => "it is so already: nothing would be changed",
        _ => "this would be changed",
    });
    Ok(())
}

/// What a change would make of each field that it names.
fn changes(agent: &Agent, request: &v1::UpdateAgentRequest) -> Result<Vec<String>, FieldError> {
    let mut changes = Vec::new();
    let mut note = |name: &str, from: String, to: String| {
        if from != to {
            changes.push(format!("{name}: {} -> {}", listed(&from), listed(&to)));
        }
    };
    if let Some(it) = &request.agent_type {
        let to: AgentType = it.parse()?;
        note("type", agent.agent_type.to_string(), to.to_string());
    }
    if let Some(it) = &request.version {
        let to = parse_version(it)?;
        note("version", agent.version.to_string(), to.to_string());
    }
    if let Some(it) = &request.owner {
        let to: Owner = it.parse()?;
        note("owner", agent.owner.to_string(), to.to_string());
    }
    if let Some(it) = &request.deployment_env {
        let to: DeploymentEnv = it.parse()?;
        note("env", agent.deployment_env.to_string(), to.to_string());
    }
    if let Some(it) = &request.capabilities {
        let to = convert::capabilities(it.scopes.clone())?;
        let from = joined(agent.capabilities.iter());
        note("capabilities", from, joined(to.iter()));
    }
    if let Some(it) = &request.audiences {
        let to = convert::audiences(it.resources.clone())?;
        note("audiences", joined(&agent.audiences), joined(&to));
    }
    if let Some(it) = &request.metadata {
        let to = convert::metadata(it.entries.clone())?;
        let pairs =
            |it: &Metadata| joined(it.iter().map(|(name, value)| format!("{name}={value}")));
        note("metadata", pairs(&agent.metadata), pairs(&to));
    }
    Ok(changes)
}

fn joined(items: impl IntoIterator<Item = impl ToString>) -> String {
    let items = items.into_iter().map(|it| it.to_string());
    items.collect::<Vec<_>>().join(" ")
}

fn listed(text: &str) -> Cow<'_, str> {
    if text.is_empty() {
        Cow::Borrowed("none")
    } else {
        inert(text)
    }
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
    check_grace(grace.unwrap_or_default())
        .map_err(|rule| Error::usage(rule.to_string(), "give a shorter one"))?;
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
    fn a_dry_run_of_an_update_tells_what_each_field_would_become() {
        let agent = crate::tui::an_agent();
        let mut request = v1::UpdateAgentRequest {
            owner: Some("team-\u{1b}b".to_owned()),
            ..v1::UpdateAgentRequest::default()
        };
        assert!(changes(&agent, &request).is_err());
        request.owner = Some("team-b".to_owned());
        request.deployment_env = Some(agent.deployment_env.to_string());
        request.audiences = Some(v1::Resources {
            resources: vec!["https://mcp.example/".to_owned()],
        });
        assert_eq!(
            changes(&agent, &request).unwrap(),
            [
                "owner: billing -> team-b",
                "audiences: none -> https://mcp.example/"
            ]
        );
    }

    #[test]
    fn a_dry_run_ends_as_the_thing_itself_would() {
        assert!(check_revision(0, 7).is_ok());
        assert!(check_revision(7, 7).is_ok());
        assert_eq!(check_revision(6, 7).unwrap_err().exit_code(), 5);
        assert_eq!(refused("INVALID_STATE", "no").exit_code(), 5);
        assert_eq!(refused("ALREADY_EXISTS", "no").exit_code(), 5);
    }
}
