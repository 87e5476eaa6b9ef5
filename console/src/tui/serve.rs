//! What the connection is asked for, one call or a few each, and the answers.

use agentidp_proto::v1::{AuditFilter, RevokeIssuedTokensRequest};
use agentidp_shared::AgentId;
use tokio::sync::mpsc;

use crate::client::{Client, ListedAgent, MAX_PAGE};
use crate::error::Error;

use super::event::{
    Change, ChangeDone, ChangeResult, Command, DetailData, HealthData, NetEvent, NotDone, TokensOf,
};
use super::naming::Naming;
use super::stakes;
use super::state::agents::PAGE;
use super::state::audit::{AuditEntry, AuditRow};
use super::state::credentials;

/// How many entries an agent's screen begins with.
const DETAIL_ENTRIES: u32 = 50;

pub(super) fn rows(entries: &[agentidp_proto::v1::AuditEntry]) -> Vec<AuditRow> {
    entries
        .iter()
        .map(|entry| AuditRow::Entry(Box::new(AuditEntry::new(entry))))
        .collect()
}

/// Carries out one command beside the stream. It is not ended with the connection: a change that
/// is under way has an answer, and the operator is owed it.
pub(super) fn serve(
    client: Client,
    command: Command,
    (naming, events): (Naming, mpsc::Sender<NetEvent>),
) {
    tokio::spawn(async move {
        if let Some(answer) = answer(&client, command, &naming).await {
            // When the console is gone, nobody waits for the answer.
            let _ = events.send(answer).await;
        }
    });
}

async fn answer(client: &Client, command: Command, naming: &Naming) -> Option<NetEvent> {
    Some(match command {
        Command::Agents {
            ticket,
            page,
            query,
            token,
        } => NetEvent::Agents {
            ticket,
            page,
            result: client.agents(*query, PAGE, token).await.map_err(sentence),
        },
        Command::Agent(id) => {
            let listed = listed(client, id).await;
            NetEvent::Agent(listed.map(Box::new).map_err(sentence))
        }
        Command::Detail(id) => {
            let detail = detail(client, id).await;
            NetEvent::Detail(id, detail.map(Box::new).map_err(sentence))
        }
        Command::Name(name) => {
            let agent = client.agent(name.clone()).await;
            NetEvent::Named(name, agent.map(|agent| agent.id).map_err(sentence))
        }
        Command::Activity(id) => {
            let activity = client.agent_activity(id.to_string()).await;
            NetEvent::Activity(id, activity.map_err(sentence))
        }
        Command::Keys => NetEvent::Keys(client.keys().await.map_err(sentence)),
        Command::Organizations => {
            let page = client.organizations(MAX_PAGE, String::new()).await;
            NetEvent::Organizations(page.map(|it| it.items).map_err(sentence))
        }
        Command::Credentials {
            ticket,
            kind,
            token,
        } => {
            let page = client.review_credentials(kind.word(), None, credentials::PAGE, token);
            NetEvent::Credentials(ticket, page.await.map_err(sentence))
        }
        Command::Health => {
            let health = health(client).await;
            NetEvent::Health(health.map(Box::new).map_err(sentence))
        }
        Command::Change(change) => {
            let outcome = make(client, change.clone(), naming).await;
            let outcome = outcome.map_err(NotDone::from);
            NetEvent::Changed(Box::new(ChangeResult { change, outcome }))
        }
        Command::Stakes(id) => {
            let stakes = stakes::read(client, id).await;
            NetEvent::Stakes(id, stakes.map(Box::new).map_err(sentence))
        }
        // These are not answered but done.
        Command::Bulk(_) | Command::StopBulk => return None,
    })
}

/// The answer to a command that cannot be carried out.
pub(super) fn failure(command: Command, why: String) -> Option<NetEvent> {
    Some(match command {
        Command::Agents { ticket, page, .. } => NetEvent::Agents {
            ticket,
            page,
            result: Err(why),
        },
        Command::Agent(_) => NetEvent::Agent(Err(why)),
        Command::Detail(id) => NetEvent::Detail(id, Err(why)),
        Command::Name(name) => NetEvent::Named(name, Err(why)),
        Command::Activity(id) => NetEvent::Activity(id, Err(why)),
        Command::Keys => NetEvent::Keys(Err(why)),
        Command::Organizations => NetEvent::Organizations(Err(why)),
        Command::Credentials { ticket, .. } => NetEvent::Credentials(ticket, Err(why)),
        Command::Health => NetEvent::Health(Err(why)),
        Command::Change(change) => NetEvent::Changed(Box::new(ChangeResult {
            change,
            outcome: Err(why.into()),
        })),
        Command::Bulk(order) => NetEvent::Bulk {
            ticket: order.ticket,
            sums: Box::default(),
            over: Some(Err(why)),
            moved: Vec::new(),
        },
        Command::Stakes(id) => NetEvent::Stakes(id, Err(why)),
        Command::StopBulk => return None,
    })
}

async fn health(client: &Client) -> Result<HealthData, Error> {
    let (status, counts, keys) =
        tokio::try_join!(client.status(), client.count_agents(), client.keys())?;
    Ok(HealthData {
        status,
        counts,
        keys,
    })
}

/// An agent with what its row shows.
async fn listed(client: &Client, id: AgentId) -> Result<ListedAgent, Error> {
    let (agent, credentials) = tokio::try_join!(
        client.agent(id.to_string()),
        client.credentials(id.to_string()),
    )?;
    Ok(ListedAgent::new(agent, &credentials))
}

async fn detail(client: &Client, id: AgentId) -> Result<DetailData, Error> {
    let filter = AuditFilter {
        agent: id.to_string(),
        ..AuditFilter::default()
    };
    let (agent, credentials, entries) = tokio::try_join!(
        client.agent(id.to_string()),
        client.credentials(id.to_string()),
        client.audit_page(DETAIL_ENTRIES, None, filter),
    )?;
    let mut entries = rows(&entries.entries);
    entries.reverse();
    Ok(DetailData {
        agent,
        credentials,
        entries,
    })
}

async fn make(client: &Client, change: Change, naming: &Naming) -> Result<ChangeDone, Error> {
    if !matches!(change, Change::Issue { .. } | Change::Rotate { .. }) {
        return make_once(client, change).await;
    }
    let named = client.named(naming.name(&change));
    let made = make_once(&named, change).await;
    if !matches!(made, Err(Error::Unreachable { .. })) {
        naming.answered();
    }
    made
}

async fn make_once(client: &Client, change: Change) -> Result<ChangeDone, Error> {
    Ok(match change {
        Change::Transition {
            transition,
            agent,
            reason,
            revision,
        } => ChangeDone::Agent(
            client
                .transition(transition, agent.to_string(), reason, revision)
                .await?,
        ),
        Change::Issue { agent, expires_in } => ChangeDone::Secret(
            client
                .apart()
                .await?
                .issue_credential(agent.to_string(), expires_in, String::new())
                .await?,
        ),
        Change::Rotate {
            credential,
            grace,
            revision,
        } => ChangeDone::Secret(
            client
                .apart()
                .await?
                .rotate_credential(credential.to_string(), grace, String::new(), revision)
                .await?,
        ),
        Change::RevokeCredential {
            credential,
            reason,
            revision,
        } => ChangeDone::Credential(
            client
                .revoke_credential(credential.to_string(), reason, revision)
                .await?,
        ),
        Change::RevokeTokens { of, reason } => {
            let mut request = RevokeIssuedTokensRequest {
                reason,
                ..RevokeIssuedTokensRequest::default()
            };
            match of {
                TokensOf::Agent(agent) => request.agent = agent.to_string(),
                TokensOf::Credential(id) => request.credential_id = id.to_string(),
            }
            ChangeDone::Tokens(client.revoke_issued_tokens(request).await?)
        }
        Change::RotateKey { withdrawn, reason } => {
            let (emergency, kid) = (withdrawn.is_some(), withdrawn.unwrap_or_default());
            let rotated = client.rotate_keys(emergency, kid, reason).await?;
            ChangeDone::Keys(Box::new(rotated))
        }
    })
}

/// An error as one sentence for the message line.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn sentence(error: Error) -> String {
    match error.hint() {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    }
}
