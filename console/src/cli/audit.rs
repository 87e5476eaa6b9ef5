//! `agentidp audit`.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use agentidp_proto::v1;
use agentidp_proto::v1::tail_audit_response::Event;
use agentidp_shared::Entry;
use serde::{Serialize, Serializer};
use tonic::Streaming;

use crate::args::{AuditCommand, AuditFilterArgs, Format};
use crate::backoff::Backoff;
use crate::client::{Client, DaemonStatus, Page};
use crate::error::{Error, Refusal};
use crate::socket::SocketChoice;
use crate::text::{fit, inert};

use super::output::{Output, Record};
use super::{export, online, pages, prune, tell, verify};

pub(super) async fn run(
    command: AuditCommand,
    socket: &SocketChoice,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    match command {
        AuditCommand::List { filter, limit } => {
            let client = Client::connect(socket).await?;
            let filter = wire_filter(filter);
            let is_table = output.format() == Format::Table;
            let mut names = Names::default();
            pages::print(limit.limit, output, async |size, token: Option<String>| {
                // This list goes on before a sequence number instead of from a token.
                let before = token.and_then(|token| token.parse().ok());
                let answer = client.audit_page(size, before, filter.clone()).await?;
                let mut items: Vec<_> = answer.entries.iter().map(AuditLine::new).collect();
                if is_table {
                    names.add(&client, &mut items).await?;
                }
                Ok(Page {
                    items,
                    next: answer.next_before.map(|before| before.to_string()),
                    total: None,
                })
            })
            .await
        }
        AuditCommand::Show { seq } => show(seq, &Client::connect(socket).await?, output).await,
        AuditCommand::Tail { from, filter } => {
            if output.format() == Format::Json {
                return Err(Error::usage(
                    "a log that goes on is not one JSON document",
                    "use -o ndjson",
                ));
            }
            let tail = Tail {
                socket,
                filter: wire_filter(filter),
                next: from,
                output,
            };
            tokio::select! {
                result = tail.follow() => result,
                _ = tokio::signal::ctrl_c() => Ok(()),
            }
        }
        AuditCommand::Key { all: true } => {
            output.all(&Client::connect(socket).await?.audit_keys().await?)
        }
        AuditCommand::Key { all: false } => {
            let key = Client::connect(socket).await?.audit_key().await?;
            output.line(&key.to_string())?;
            output.flush()
        }
        AuditCommand::Checkpoint => {
            let note = Client::connect(socket).await?.audit_checkpoint().await?;
            output
                .text(&inert_lines(&note))
                .and_then(|()| output.flush())
        }
        AuditCommand::Prove { seq, out } => {
            let proof = Client::connect(socket).await?.audit_proof(seq).await?;
            match out {
                Some(path) => export::write_new(&path, proof.as_bytes()),
                None => output
                    .text(&inert_lines(&proof))
                    .and_then(|()| output.flush()),
            }
        }
        AuditCommand::Export {
            file,
            org,
            from,
            to,
        } => {
            let request = v1::ExportAuditRequest {
                organization: org.unwrap_or_default(),
                from,
                to,
                size: None,
            };
            export::run(&Client::connect(socket).await?, &file, request).await
        }
        AuditCommand::Prune(args) => {
            prune::run(&Client::connect(socket).await?, args, output).await
        }
        AuditCommand::Verify {
            file: Some(file),
            key: Some(key),
            ..
        } => verify::run(&file, &key, output),
        AuditCommand::Verify {
            key, since, org, ..
        } => {
            let asked = online::Asked {
                key,
                since,
                organization: org.unwrap_or_default(),
            };
            online::run(&Client::connect(socket).await?, asked, output).await
        }
    }
}

/// A text of many lines, each made inert. A proof's own names are not: it is printed as it is, whatever it is
/// printed to.
fn inert_lines(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(inert).collect();
    lines.join("\n")
}

async fn show(seq: u64, client: &Client, output: &mut Output<impl Write>) -> Result<(), Error> {
    let after = Some(seq.saturating_add(1));
    let filter = v1::AuditFilter::default();
    let answer = client.audit_page(1, after, filter).await?;
    match answer.entries.iter().find(|it| it.seq == seq) {
        Some(entry) => output.one(&AuditLine::new(entry)),
        // It may also be another organization's, which is the same to this operator.
        None => Err(not_found(seq, &client.status().await?)),
    }
}

fn not_found(seq: u64, status: &DaemonStatus) -> Error {
    let is_pruned = status.caller.organizations.is_none() && seq < status.store.entries;
    let message = if is_pruned {
        format!("entry {seq} was pruned: the log has its hash, and no longer what it said")
    } else {
        format!("there is no entry {seq} for you to see")
    };
    Error::Refused(Refusal {
        grpc: tonic::Code::NotFound,
        code: None,
        message,
        request_id: None,
    })
}

fn wire_filter(args: AuditFilterArgs) -> v1::AuditFilter {
    v1::AuditFilter {
        action: args.action.unwrap_or_default(),
        outcome: args.outcome.unwrap_or_default(),
        agent: args.agent.unwrap_or_default(),
        organization: args.org.unwrap_or_default(),
    }
}

/// How many agents are asked for by their ids, at most: a table need not wait for more.
const MAX_NAMES: usize = 200;

/// The e-mails of agents, by id; none for one that could not be read.
#[derive(Default)]
struct Names(HashMap<String, Option<String>>);

impl Names {
    /// Names the agents of a page, each asked for once.
    async fn add(&mut self, client: &Client, lines: &mut [AuditLine]) -> Result<(), Error> {
        for line in lines {
            let Some(entry) = &line.entry else { continue };
            let mut details = HashMap::new();
            for id in crate::audit_text::agents(entry) {
                if !self.0.contains_key(&id) && self.0.len() < MAX_NAMES {
                    let name = match client.agent(id.clone()).await {
                        Ok(agent) => Some(agent.email.to_string()),
                        // It may be gone, or not for this operator to see.
                        Err(Error::Refused(_)) => None,
                        Err(error) => return Err(error),
                    };
                    self.0.insert(id.clone(), name);
                }
                if let Some(Some(name)) = self.0.get(&id) {
                    details.insert(id, name.clone());
                }
            }
            line.names = details;
        }
        Ok(())
    }
}

/// An entry as it is stored, and what of it a table shows.
#[derive(Debug)]
pub(super) struct AuditLine {
    stored: String,
    entry: Option<Entry>,
    /// The e-mails of the agents in it, where they are known.
    names: HashMap<String, String>,
}

impl AuditLine {
    pub(super) fn new(entry: &v1::AuditEntry) -> Self {
        Self {
            // An entry of a later version is still printed as it is.
            entry: serde_json::from_slice(&entry.json).ok(),
            stored: String::from_utf8_lossy(&entry.json).into_owned(),
            names: HashMap::new(),
        }
    }

    /// One line for a person: the columns of the table, in widths that seldom change.
    fn row(&self) -> String {
        let cells = self.cells();
        let mut line = String::new();
        for (cell, width) in cells.iter().zip([8, 24, 8, 22, 24]) {
            line.push_str(&if crate::text::width(cell) > width {
                inert(cell).into_owned()
            } else {
                fit(cell, width)
            });
            line.push_str("  ");
        }
        line.push_str(&inert(cells.get(5).map_or("", String::as_str)));
        line.trim_end().to_owned()
    }
}

/// The stored bytes stand for it: there is no second form of an entry.
impl Serialize for AuditLine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.stored)
    }
}

impl Record for AuditLine {
    const HEADINGS: &'static [&'static str] =
        &["SEQ", "TIME", "OUTCOME", "ACTION", "ACTOR", "DETAILS"];

    fn cells(&self) -> Vec<String> {
        let Some(entry) = &self.entry else {
            return vec![self.stored.clone()];
        };
        vec![
            entry.seq.to_string(),
            entry.time.to_string(),
            entry.outcome.to_string(),
            entry.action.to_string(),
            crate::audit_text::actor(entry),
            crate::audit_text::details_with(entry, |id| {
                self.names.get(id).cloned().unwrap_or_else(|| id.to_owned())
            }),
        ]
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let names = ["seq", "time", "outcome", "action", "actor", "details"];
        let mut fields: Vec<_> = match &self.entry {
            Some(_) => names.into_iter().zip(self.cells()).collect(),
            None => Vec::new(),
        };
        fields.push(("entry", self.stored.clone()));
        fields
    }

    fn json(&self) -> Result<String, Error> {
        Ok(self.stored.clone())
    }

    fn pretty_json(&self) -> Result<String, Error> {
        Ok(self.stored.clone())
    }
}

/// The log being followed, over as many connections as it takes.
struct Tail<'a, W> {
    socket: &'a SocketChoice,
    filter: v1::AuditFilter,
    /// The next entry wanted; none until the daemon has said where the log ends.
    next: Option<u64>,
    output: &'a mut Output<W>,
}

impl<W: Write> Tail<'_, W> {
    /// Ends when the output closes, or with what connecting again cannot help.
    async fn follow(mut self) -> Result<(), Error> {
        // That the daemon cannot be reached at first is an error; later it is waited for.
        let mut stream = self.open().await?;
        self.heading()?;
        loop {
            let Err(error) = self.print_all(&mut stream).await;
            if !error.is_unreachable() {
                return Err(error);
            }
            tell(&format!("{error}; waiting for it to come back"));
            stream = self.open_again().await?;
            match self.next {
                Some(next) => tell(&format!("connected again, going on at {next}")),
                None => tell("connected again"),
            }
        }
    }

    async fn open(&self) -> Result<Streaming<v1::TailAuditResponse>, Error> {
        // Never skipped: whoever reads a pipe sets the pace.
        Client::connect(self.socket)
            .await?
            .tail(self.next, self.filter.clone(), 0)
            .await
    }

    async fn open_again(&self) -> Result<Streaming<v1::TailAuditResponse>, Error> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            tokio::time::sleep(backoff.next_delay()).await;
            match self.open().await {
                Err(error) if error.is_unreachable() => {}
                result => return result,
            }
        }
    }

    async fn print_all(
        &mut self,
        stream: &mut Streaming<v1::TailAuditResponse>,
    ) -> Result<std::convert::Infallible, Error> {
        loop {
            let message = stream.message().await?.ok_or_else(|| Error::Unreachable {
                why: "the daemon ended the stream".to_owned(),
                hint: String::new(),
            })?;
            match message.event {
                Some(Event::Entry(entry)) => {
                    let next = entry.seq.saturating_add(1);
                    self.entry(&AuditLine::new(&entry))?;
                    self.next = Some(next);
                }
                Some(Event::Gap(gap)) => {
                    self.gap(gap.from, gap.to)?;
                    self.next = Some(gap.to.saturating_add(1));
                }
                Some(Event::Position(position)) => self.next = Some(position.next),
                None => {}
            }
        }
    }

    fn heading(&mut self) -> Result<(), Error> {
        if self.output.format() == Format::Table {
            let [seq, time, outcome, action, actor, details] =
                ["SEQ", "TIME", "OUTCOME", "ACTION", "ACTOR", "DETAILS"];
            self.output.line(&format!(
                "{seq:8}  {time:24}  {outcome:8}  {action:22}  {actor:24}  {details}"
            ))?;
        }
        self.output.flush()
    }

    fn entry(&mut self, line: &AuditLine) -> Result<(), Error> {
        match self.output.format() {
            Format::Table => self.output.line(&line.row())?,
            Format::Json | Format::Ndjson => self.output.line(&line.stored)?,
        }
        self.output.flush()
    }

    fn gap(&mut self, from: u64, to: u64) -> Result<(), Error> {
        match self.output.format() {
            Format::Table => {
                let count = to.saturating_sub(from).saturating_add(1);
                let line = format!("~~~~ {count} entries not shown: {from}-{to} ~~~~");
                self.output.line(&line)?;
            }
            Format::Json | Format::Ndjson => {
                let line = format!("{{\"gap\":{{\"from\":{from},\"to\":{to}}}}}");
                self.output.line(&line)?;
            }
        }
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = r#"{"v":1,"seq":8,"time":"2026-11-21T04:43:34.120Z","actor":{"kind":"operator","id":"0","name":"alice","via":"socket"},"action":"agent.suspend","target":{"kind":"agent","id":"01936f2c-0000-7000-8000-000000000001"},"outcome":"success","reason":"odd requests"}"#;

    fn line(json: &str) -> AuditLine {
        AuditLine::new(&v1::AuditEntry {
            seq: 8,
            json: json.as_bytes().to_vec(),
        })
    }

    fn printed(format: Format, print: impl FnOnce(&mut Tail<'_, &mut Vec<u8>>)) -> String {
        let mut bytes = Vec::new();
        let mut output = Output::new(format, &mut bytes);
        print(&mut Tail {
            socket: &SocketChoice::default(),
            filter: v1::AuditFilter::default(),
            next: None,
            output: &mut output,
        });
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn programs_get_the_very_bytes_that_are_stored() {
        let spaced = ENTRY.replace(":8,", ": 8 ,");
        let text = printed(Format::Ndjson, |tail| tail.entry(&line(&spaced)).unwrap());
        assert_eq!(text, format!("{spaced}\n"));
    }

    #[test]
    fn people_get_a_row() {
        let text = printed(Format::Table, |tail| {
            tail.heading().unwrap();
            tail.entry(&line(ENTRY)).unwrap();
        });
        insta::assert_snapshot!(text);
    }

    #[test]
    fn an_entry_of_a_later_version_is_shown_as_it_is() {
        let json = r#"{"v":9,"seq":8,"new":"\u001b"}"#;
        let text = printed(Format::Table, |tail| tail.entry(&line(json)).unwrap());
        assert_eq!(text.trim_end(), json);
    }

    #[test]
    fn a_text_of_many_lines_is_printed_as_it_is_but_for_what_a_terminal_would_obey() {
        let proof = "c2sp.org/tlog-proof@v1\nindex 8\n\nid.example/log\n9\n";
        assert_eq!(inert_lines(proof), proof);
        let hostile = inert_lines("extra \u{1b}]0;pwn\u{7}\nid.example\u{202e}\n");
        assert!(
            hostile.lines().count() == 2 && hostile.is_ascii() && !hostile.contains('\u{1b}'),
            "{hostile}"
        );
    }

    #[test]
    fn a_gap_is_never_silent() {
        let table = printed(Format::Table, |tail| tail.gap(88_413, 89_616).unwrap());
        assert_eq!(table, "~~~~ 1204 entries not shown: 88413-89616 ~~~~\n");
        let ndjson = printed(Format::Ndjson, |tail| tail.gap(3, 4).unwrap());
        assert_eq!(ndjson, "{\"gap\":{\"from\":3,\"to\":4}}\n");
    }
}
