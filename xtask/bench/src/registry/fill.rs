//! Filling a store through the operators' socket.

use std::time::Instant;

use agentidp_proto::v1;
use agentidp_proto::v1::agent_service_client::AgentServiceClient;
use agentidp_proto::v1::credential_service_client::CredentialServiceClient;
use anyhow::{Context as _, ensure};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use xtask::signals::Interrupt;

use super::Arguments;
use super::sample::{self, BATCH, PUBLIC_KEY};
use crate::client;
use crate::server::Server;

/// How many agents at most get a client secret and a token: each costs argon2id twice.
const MOST_SECRETS: u64 = 200;

/// Registers all agents, many in a call and some calls at once. How many there were a second.
pub(super) fn register(
    server: &Server,
    arguments: &Arguments,
    interrupt: &Interrupt,
) -> anyhow::Result<f64> {
    for name in sample::organizations() {
        server.operator().create_organization(&name)?;
    }
    let agents = arguments.agents;
    let channel = server.operator().channel();
    let cpu = server.cpu()?;
    let start = Instant::now();
    let registering = each(
        agents.div_ceil(BATCH),
        arguments.calls,
        interrupt,
        |batch| register_batch(channel.clone(), batch, agents),
    );
    server.operator().run(registering)?;
    let elapsed = start.elapsed().as_secs_f64();
    let cpu = server.cpu()?.saturating_sub(cpu).as_secs_f64();
    #[expect(
        clippy::cast_precision_loss,
        reason = "a number of agents does not come near 2^52"
    )]
    let count = agents as f64;
    println!(
        "{agents} agents registered in {elapsed:.1} s; the server used {:.1} µs of CPU for each",
        cpu * 1e6 / count
    );
    Ok(count / elapsed)
}

/// Ends some agents, suspends others, and gives some credentials, last uses and expiries.
pub(super) fn diversify(
    server: &Server,
    arguments: &Arguments,
    interrupt: &Interrupt,
) -> anyhow::Result<()> {
    let (agents, calls) = (arguments.agents, arguments.calls);
    let operator = server.operator();
    let channel = operator.channel();
    let start = Instant::now();
    operator.run(async {
        // No agent is in two of these: they differ in what is left after division by 50.
        each(agents / 100, calls, interrupt, |at| {
            transition(channel.clone(), Transition::Suspend, at * 100 + 7)
        })
        .await?;
        each(agents / 250, calls, interrupt, |at| {
            transition(channel.clone(), Transition::Revoke, at * 250 + 3)
        })
        .await?;
        each(agents / 400, calls, interrupt, |at| {
            transition(channel.clone(), Transition::Decommission, at * 400 + 1)
        })
        .await?;
        each(agents / 800, calls, interrupt, |at| {
            transition(channel.clone(), Transition::Archive, at * 800 + 1)
        })
        .await?;
        each(agents / 50, calls, interrupt, |at| {
            give_key(channel.clone(), at * 50 + 20)
        })
        .await
    })?;
    let address = server.address()?;
    let secrets = (agents / 100).min(MOST_SECRETS);
    for at in 0..secrets {
        ensure!(!interrupt.raised(), "interrupted");
        let client = operator.issue(&sample::email(at * 50 + 30))?;
        client::token(address, &client)?;
    }
    println!(
        "{} of them suspended or ended, {} with public keys, {secrets} with secrets and tokens, in \
         {:.1} s",
        agents / 100 + agents / 250 + agents / 400,
        agents / 50,
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Calls with 0, 1, 2 and so on, some under way at once. The first failure ends it.
async fn each<C>(
    count: u64,
    at_once: u16,
    interrupt: &Interrupt,
    call: impl Fn(u64) -> C,
) -> anyhow::Result<()>
where
    C: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut running = JoinSet::new();
    for number in 0..count {
        ensure!(!interrupt.raised(), "interrupted");
        if running.len() >= usize::from(at_once)
            && let Some(ended) = running.join_next().await
        {
            ended??;
        }
        running.spawn(call(number));
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}

async fn register_batch(channel: Channel, batch: u64, agents: u64) -> anyhow::Result<()> {
    let first = batch * BATCH;
    let request = v1::RegisterManyAgentsRequest {
        organization: sample::organization_of(batch),
        agents: (first..agents.min(first + BATCH))
            .map(sample::agent)
            .collect(),
    };
    AgentServiceClient::new(channel)
        .register_many(request)
        .await
        .with_context(|| format!("cannot register the agents from {first} on"))?;
    Ok(())
}

enum Transition {
    Suspend,
    Revoke,
    Decommission,
    Archive,
}

async fn transition(channel: Channel, transition: Transition, number: u64) -> anyhow::Result<()> {
    let agent = sample::email(number);
    let mut service = AgentServiceClient::new(channel);
    let request = v1::AgentTransitionRequest {
        agent: agent.clone(),
        reason: "benchmark".to_owned(),
        revision: 0,
    };
    let answer = match transition {
        Transition::Suspend => service.suspend(request).await,
        Transition::Revoke => service.revoke(request).await,
        Transition::Decommission => service.decommission(request).await,
        Transition::Archive => service.archive(request).await,
    };
    answer.with_context(|| format!("cannot move {agent}"))?;
    Ok(())
}

/// Issues a credential for a public key: unlike a secret, it costs no argon2id.
async fn give_key(channel: Channel, number: u64) -> anyhow::Result<()> {
    let agent = sample::email(number);
    let request = v1::IssueCredentialRequest {
        agent: agent.clone(),
        expires_in: Some(sample::life(number).try_into()?),
        public_key_jwk: PUBLIC_KEY.to_owned(),
    };
    CredentialServiceClient::new(channel)
        .issue(request)
        .await
        .with_context(|| format!("cannot issue a credential to {agent}"))?;
    Ok(())
}
