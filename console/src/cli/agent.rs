//! `agentidp agent`.

use std::collections::HashMap;
use std::io::Write;

use agentidp_proto::v1;
use agentidp_shared::agent::Transition;

use crate::args::{AgentCommand, AgentListArgs, EndingArgs, RegisterArgs};
use crate::client::{AgentQuery, Client};
use crate::error::Error;
use crate::text::inert;

use super::output::Output;
use super::{consent, pages, tell};

pub(super) async fn run(
    command: AgentCommand,
    connect: impl AsyncFnOnce() -> Result<Client, Error>,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    match command {
        AgentCommand::Register(args) => {
            let request = registration(args)?;
            let registered = connect().await?.register(request).await?;
            output.one(&registered.record)?;
            tell(&format!("registered (audit {})", registered.audit_seq));
            Ok(())
        }
        AgentCommand::List(args) => list(args, &connect().await?, output).await,
        AgentCommand::Show { agent } => output.one(&connect().await?.agent(agent).await?),
        AgentCommand::Suspend(args) => {
            end(Transition::Suspend, "Suspend", args, connect, output).await
        }
        AgentCommand::Revoke(args) => {
            end(Transition::Revoke, "Revoke for good", args, connect, output).await
        }
        AgentCommand::Decommission(args) => {
            let what = "Decommission for good";
            end(Transition::Decommission, what, args, connect, output).await
        }
        AgentCommand::Resume(args) => {
            let change = Change {
                transition: Transition::Resume,
                agent: args.agent,
                reason: args.reason.unwrap_or_default(),
                revision: args.rev.unwrap_or(0),
            };
            change.make(&connect().await?, output).await
        }
    }
}

fn registration(args: RegisterArgs) -> Result<v1::RegisterAgentRequest, Error> {
    let mut metadata = HashMap::new();
    for (name, value) in args.metadata {
        if metadata.insert(name.clone(), value).is_some() {
            return Err(Error::usage(
                format!("--metadata names {} twice", inert(&name)),
                "give each name one value",
            ));
        }
    }
    Ok(v1::RegisterAgentRequest {
        organization: args.org,
        email: args.email,
        agent_type: args.agent_type,
        version: args.version,
        capabilities: args.capabilities,
        owner: args.owner,
        deployment_env: args.env,
        audiences: args.audiences,
        metadata,
    })
}

async fn list(
    args: AgentListArgs,
    client: &Client,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let query = AgentQuery {
        organization: args.org.unwrap_or_default(),
        status: args.status.unwrap_or_default(),
        owner: args.owner.unwrap_or_default(),
    };
    pages::print(
        args.limit.limit,
        output,
        async |size, token: Option<String>| {
            client
                .agents(query.clone(), size, token.unwrap_or_default())
                .await
        },
    )
    .await
}

async fn end(
    transition: Transition,
    what: &str,
    args: EndingArgs,
    connect: impl AsyncFnOnce() -> Result<Client, Error>,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let question = format!("{what}: {}?", inert(&args.agent));
    let change = Change {
        transition,
        reason: consent::obtain(&args.consent, &question)?,
        agent: args.agent,
        revision: args.consent.rev.unwrap_or(0),
    };
    change.make(&connect().await?, output).await
}

struct Change {
    transition: Transition,
    agent: String,
    reason: String,
    revision: u64,
}

impl Change {
    async fn make(self, client: &Client, output: &mut Output<impl Write>) -> Result<(), Error> {
        let changed = client
            .transition(self.transition, self.agent, self.reason, self.revision)
            .await?;
        output.one(&changed.record)?;
        tell(&format!(
            "{} is {} (audit {})",
            changed.record.email, changed.record.status, changed.audit_seq
        ));
        Ok(())
    }
}
