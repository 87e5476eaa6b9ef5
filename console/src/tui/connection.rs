//! The connection to the daemon, in a task of its own: commands go in, events come out, and the
//! screen never waits for it. It connects again for ever.

use std::time::Duration;

use agentidp_proto::v1::tail_audit_response::Event as TailEvent;
use agentidp_proto::v1::{AuditFilter, RevokeIssuedTokensRequest, TailAuditResponse};
use agentidp_shared::AgentId;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::backoff::Backoff;
use crate::client::{Client, ListedAgent, MAX_PAGE};
use crate::error::Error;
use crate::socket::SocketChoice;

use super::event::{
    Change, ChangeDone, ChangeResult, Command, DetailData, HealthData, NetEvent, TokensOf,
    Welcome,
};
use super::many;
use super::stakes;
use super::state::agents::PAGE;
use super::state::audit::{AuditEntry, AuditRow};
use super::state::credentials;

/// How many entries of the log's end are read at first.
const HISTORY: u32 = 500;

/// How far this console may fall behind before the daemon skips entries and says so.
const MAX_LAG: u32 = 1_000;

/// How many entries an agent's screen begins with.
const DETAIL_ENTRIES: u32 = 50;

/// The connection's task.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: SocketChoice,
    commands: mpsc::UnboundedReceiver<Command>,
    events: mpsc::Sender<NetEvent>,
    /// The next entry of the log, once it is known.
    next: Option<u64>,
    /// The store that `next` is a place in.
    store: String,
    /// The change of many that is under way.
    bulk: Option<AbortHandle>,
}

/// The console is gone: there is nobody left to tell.
struct Gone;

impl Connection {
    pub(crate) fn new(
        socket: SocketChoice,
        commands: mpsc::UnboundedReceiver<Command>,
        events: mpsc::Sender<NetEvent>,
    ) -> Self {
        Self {
            socket,
            commands,
            events,
            next: None,
            store: String::new(),
            bulk: None,
        }
    }

    /// Runs until the console is gone.
    pub(crate) async fn run(mut self) {
        let mut backoff = fresh_backoff();
        loop {
            let error = match self.session(&mut backoff).await {
                Ok(Gone) => return,
                Err(error) => error,
            };
            // That the daemon is not reached, the badge says.
            let what = match &error {
                Error::Unreachable { why, .. } => why.clone(),
                other => other.to_string(),
            };
            let why = match error.hint() {
                Some(hint) if !hint.is_empty() => format!("{what}; {hint}"),
                _ => what,
            };
            if self.events.send(NetEvent::Lost(why)).await.is_err()
                || self.wait(backoff.next_delay()).await.is_err()
            {
                return;
            }
        }
    }

    /// Waits, and meanwhile answers every command with the truth.
    async fn wait(&mut self, delay: Duration) -> Result<(), Gone> {
        let sleep = tokio::time::sleep(delay);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                () = &mut sleep => return Ok(()),
                command = self.commands.recv() => {
                    let command = command.ok_or(Gone)?;
                    if let Some(answer) = failure(command, "not connected".to_owned()) {
                        self.events.send(answer).await.map_err(|_gone| Gone)?;
                    }
                }
            }
        }
    }

    /// One connection from its beginning to its end.
    async fn session(&mut self, backoff: &mut Backoff) -> Result<Gone, Error> {
        let client = Client::connect(&self.socket).await?;
        let welcome = self.welcome(&client).await?;
        let mut stream = client
            .tail(self.next, AuditFilter::default(), MAX_LAG)
            .await?;
        if self
            .tell(NetEvent::Connected(Box::new(welcome)))
            .await
            .is_err()
        {
            return Ok(Gone);
        }
        *backoff = fresh_backoff();
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::StopBulk) => {
                        if let Some(bulk) = self.bulk.take() {
                            bulk.abort();
                        }
                    }
                    Some(Command::Bulk(order)) => {
                        let work = many::run(client.clone(), *order, self.events.clone());
                        self.bulk = Some(tokio::spawn(work).abort_handle());
                    }
                    Some(command) => serve(client.clone(), command, self.events.clone()),
                    None => return Ok(Gone),
                },
                message = stream.message() => {
                    let message = message?.ok_or_else(|| Error::Unreachable {
                        why: "the daemon ended the stream".to_owned(),
                        hint: String::new(),
                    })?;
                    if let Some(row) = self.take_in(message)
                        && self.tell(NetEvent::Audit(row)).await.is_err()
                    {
                        return Ok(Gone);
                    }
                }
            }
        }
    }

    async fn tell(&self, event: NetEvent) -> Result<(), Gone> {
        self.events.send(event).await.map_err(|_gone| Gone)
    }

    async fn welcome(&mut self, client: &Client) -> Result<Welcome, Error> {
        let status = client.status().await?;
        let organizations = client.organizations(MAX_PAGE, String::new()).await?.items;
        if self.store != status.store.id {
            self.next = None;
            self.store.clone_from(&status.store.id);
        }
        let history = match self.next {
            Some(_) => None,
            None => Some(self.history(client).await?),
        };
        Ok(Welcome {
            status,
            socket: client.socket().display().to_string(),
            organizations,
            history,
        })
    }

    async fn history(&mut self, client: &Client) -> Result<Vec<AuditRow>, Error> {
        let answer = client
            .audit_page(HISTORY, None, AuditFilter::default())
            .await?;
        let mut rows = rows(&answer.entries);
        rows.reverse();
        self.next = rows.last().map(|row| row.seq().saturating_add(1));
        Ok(rows)
    }

    fn take_in(&mut self, message: TailAuditResponse) -> Option<AuditRow> {
        let (row, next) = match message.event? {
            TailEvent::Entry(entry) => {
                let row = AuditRow::Entry(Box::new(AuditEntry::new(&entry)));
                (Some(row), entry.seq.saturating_add(1))
            }
            TailEvent::Gap(gap) => {
                let row = AuditRow::Gap {
                    from: gap.from,
                    to: gap.to,
                };
                (Some(row), gap.to.saturating_add(1))
            }
            // Nothing to show: it only says where to go on.
            TailEvent::Position(position) => (None, position.next),
        };
        self.next = Some(next);
        row
    }
}

const fn fresh_backoff() -> Backoff {
    Backoff::new(Duration::from_millis(200), Duration::from_secs(5))
}

fn rows(entries: &[agentidp_proto::v1::AuditEntry]) -> Vec<AuditRow> {
    entries
        .iter()
        .map(|entry| AuditRow::Entry(Box::new(AuditEntry::new(entry))))
        .collect()
}

/// Carries out one command beside the stream. It is not ended with the connection: a change that
/// is under way has an answer, and the operator is owed it.
fn serve(client: Client, command: Command, events: mpsc::Sender<NetEvent>) {
    tokio::spawn(async move {
        if let Some(answer) = answer(&client, command).await {
            // When the console is gone, nobody waits for the answer.
            let _ = events.send(answer).await;
        }
    });
}

async fn answer(client: &Client, command: Command) -> Option<NetEvent> {
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
        Command::Keys => NetEvent::Keys(client.keys().await.map_err(sentence)),
        Command::Credentials {
            ticket,
            kind,
            token,
        } => {
            let page = client.review_credentials(kind.word(), credentials::PAGE, token);
            NetEvent::Credentials(ticket, page.await.map_err(sentence))
        }
        Command::Health => {
            let health = health(client).await;
            NetEvent::Health(health.map(Box::new).map_err(sentence))
        }
        Command::Change(change) => {
            let outcome = make(client, change.clone()).await.map_err(sentence);
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
fn failure(command: Command, why: String) -> Option<NetEvent> {
    Some(match command {
        Command::Agents { ticket, page, .. } => NetEvent::Agents {
            ticket,
            page,
            result: Err(why),
        },
        Command::Agent(_) => NetEvent::Agent(Err(why)),
        Command::Detail(id) => NetEvent::Detail(id, Err(why)),
        Command::Keys => NetEvent::Keys(Err(why)),
        Command::Credentials { ticket, .. } => NetEvent::Credentials(ticket, Err(why)),
        Command::Health => NetEvent::Health(Err(why)),
        Command::Change(change) => NetEvent::Changed(Box::new(ChangeResult {
            change,
            outcome: Err(why),
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

async fn make(client: &Client, change: Change) -> Result<ChangeDone, Error> {
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
