//! The connection to the daemon, in a task of its own: commands go in, events come out, and the
//! screen never waits for it. It connects again for ever.

use std::time::Duration;

use agentidp_proto::v1::tail_audit_response::Event as TailEvent;
use agentidp_proto::v1::watch_changes_response::Event as ChangeEvent;
use agentidp_proto::v1::{AuditFilter, TailAuditResponse, WatchChangesResponse};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Code as GrpcCode;

use crate::backoff::Backoff;
use crate::client::{Client, MAX_PAGE};
use crate::error::Error;
use crate::socket::SocketChoice;

use super::event::{Command, NetEvent, RecordChange, Welcome};
use super::many;
use super::naming::Naming;
use super::serve::{failure, rows, serve};
use super::state::audit::{AuditEntry, AuditRow};

/// How many entries of the log's end are read at first.
const HISTORY: u32 = 500;

/// How far this console may fall behind before the daemon skips entries and says so.
const MAX_LAG: u32 = 1_000;

/// From when on silence is what is told of a connection that is lost.
const SILENT: Duration = Duration::from_secs(4);

/// The connection's task.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: SocketChoice,
    commands: mpsc::UnboundedReceiver<Command>,
    events: mpsc::Sender<NetEvent>,
    /// The next entry of the log, once it is known.
    next: Option<u64>,
    /// Up to where in the log it was told what changed, once that is known.
    revision: Option<u64>,
    /// The store that these are places in.
    store: Option<String>,
    /// It is another store, or one of an earlier time, and the console has not been told.
    is_another: bool,
    naming: Naming,
    /// Stops the change of many that is under way.
    bulk: CancellationToken,
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
            revision: None,
            naming: Naming::default(),
            store: None,
            is_another: false,
            bulk: CancellationToken::new(),
        }
    }

    /// Runs until the console is gone.
    pub(crate) async fn run(mut self) {
        let mut backoff = fresh_backoff();
        loop {
            let event = match self.session(&mut backoff).await {
                Ok(Gone) => return,
                Err(End::Silence(long)) => NetEvent::Silent(long),
                Err(End::Error(error)) => NetEvent::Lost(why(&error)),
            };
            if self.events.send(event).await.is_err()
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
                    if command == Command::StopBulk {
                        self.bulk.cancel();
                    }
                    if let Some(answer) = failure(command, "not connected".to_owned()) {
                        self.events.send(answer).await.map_err(|_gone| Gone)?;
                    }
                }
            }
        }
    }

    /// One connection from its beginning to its end.
    async fn session(&mut self, backoff: &mut Backoff) -> Result<Gone, End> {
        let client = Client::connect(&self.socket).await?;
        let asked = Instant::now();
        let welcome = self.welcome(&client).await;
        let welcome = welcome.map_err(|error| end(error, asked.elapsed()))?;
        let stream = client
            .tail(self.next, AuditFilter::default(), MAX_LAG)
            .await;
        let mut stream = stream.map_err(|error| self.forget_if_refused(error))?;
        // What is read after this began is not older than the first revision.
        let changes = client.watch_changes(self.revision).await;
        let mut changes = changes.map_err(|error| self.forget_if_refused(error))?;
        if self
            .tell(NetEvent::Connected(Box::new(welcome)))
            .await
            .is_err()
        {
            return Ok(Gone);
        }
        self.is_another = false;
        *backoff = fresh_backoff();
        // The last word of the daemon: it tells a revision now and then, whatever else there is to tell.
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::StopBulk) => self.bulk.cancel(),
                    Some(Command::Bulk(order)) => {
                        self.bulk = CancellationToken::new();
                        let (events, stop) = (self.events.clone(), self.bulk.clone());
                        tokio::spawn(many::run(client.clone(), *order, events, stop));
                    }
                    Some(command) => serve(client.clone(), command, (self.naming.clone(), self.events.clone())),
                    None => return Ok(Gone),
                },
                message = stream.message() => {
                    let message = message.map_err(|it| end(it.into(), heard.elapsed()))?;
                    let message = message.ok_or_else(ended)?;
                    heard = Instant::now();
                    if let Some(row) = self.take_in(message)
                        && self.tell(NetEvent::Audit(row)).await.is_err()
                    {
                        return Ok(Gone);
                    }
                }
                message = changes.message() => {
                    let message = message.map_err(|it| end(it.into(), heard.elapsed()))?;
                    let message = message.ok_or_else(ended)?;
                    heard = Instant::now();
                    if let Some(event) = self.take_change(message)
                        && self.tell(event).await.is_err()
                    {
                        return Ok(Gone);
                    }
                }
            }
        }
    }

    /// Begins anew where the daemon does not know the place to go on from: its store is one of an
    /// earlier time, put back.
    fn forget_if_refused(&mut self, error: Error) -> Error {
        if matches!(&error, Error::Refused(refusal) if refusal.grpc == GrpcCode::InvalidArgument) {
            self.is_another = true;
        }
        error
    }

    async fn tell(&self, event: NetEvent) -> Result<(), Gone> {
        self.events.send(event).await.map_err(|_gone| Gone)
    }

    async fn welcome(&mut self, client: &Client) -> Result<Welcome, Error> {
        let status = client.status().await?;
        let organizations = client.organizations(MAX_PAGE, String::new()).await?.items;
        let is_other_store = self.is_another
            || self
                .store
                .as_ref()
                .is_some_and(|store| *store != status.store.id);
        if is_other_store {
            self.next = None;
            self.revision = None;
        }
        self.store = Some(status.store.id.clone());
        self.is_another = is_other_store;
        let history = match self.next {
            Some(_) => None,
            None => Some(self.history(client).await?),
        };
        Ok(Welcome {
            status,
            is_other_store,
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

impl Connection {
    fn take_change(&mut self, message: WatchChangesResponse) -> Option<NetEvent> {
        match message.event? {
            ChangeEvent::Change(change) => RecordChange::of(&change).map(NetEvent::Record),
            ChangeEvent::Lost(_) => Some(NetEvent::ChangesLost),
            ChangeEvent::Revision(at) => {
                self.revision = Some(at.revision);
                Some(NetEvent::Others(at.others))
            }
        }
    }
}

/// Why the daemon is away, in a sentence. That it is, the badge says.
fn why(error: &Error) -> String {
    let what = match error {
        Error::Unreachable { why, .. } => why.clone(),
        other => other.to_string(),
    };
    match error.hint() {
        Some(hint) if !hint.is_empty() => format!("{what}; {hint}"),
        _ => what,
    }
}

/// Why a connection ended.
#[derive(Debug)]
enum End {
    /// The daemon said nothing for so long, though it was asked whether it is there.
    Silence(Duration),
    Error(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// How a connection ended on which the last word was so `long` ago. Nothing was asked on it that may have been
/// done, so that is not said.
fn end(error: Error, long: Duration) -> End {
    match error {
        Error::Unreachable { .. } if long >= SILENT => End::Silence(long),
        Error::Unreachable { why, .. } => End::Error(Error::Unreachable {
            why,
            hint: String::new(),
        }),
        error => End::Error(error),
    }
}

fn ended() -> Error {
    Error::Unreachable {
        why: "the daemon ended the stream".to_owned(),
        hint: String::new(),
    }
}

const fn fresh_backoff() -> Backoff {
    Backoff::new(Duration::from_millis(200), Duration::from_secs(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_told_as_such_and_a_refusal_as_it_is() {
        let lost = || Error::Unreachable {
            why: "it ended".to_owned(),
            hint: "what was asked may have been done".to_owned(),
        };
        let long = Duration::from_secs(10);
        let told = |end| match end {
            End::Silence(long) => format!("{long:?}"),
            End::Error(error) => why(&error),
        };
        assert_eq!(told(end(lost(), long)), "10s");
        assert_eq!(told(end(lost(), Duration::from_secs(1))), "it ended");
        let refused = Error::from(tonic::Status::permission_denied("not you"));
        assert_eq!(told(end(refused, long)), "not you");
    }
}
