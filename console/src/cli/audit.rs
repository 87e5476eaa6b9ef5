//! `agentidp audit`.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use agentidp_proto::v1;
use agentidp_shared::{Code, Entry, Timestamp};
use serde::{Serialize, Serializer};

use crate::args::{AuditCommand, AuditFilterArgs, Format, Limit};
use crate::client::{Client, DaemonStatus, Page};
use crate::error::Error;
use crate::socket::SocketChoice;
use crate::text::{counted, fit, inert};

use super::named::organization_name;
use super::output::{Output, Record};
use super::{export, online, pages, prune, span, tail, tell, verify};

pub(super) async fn run(
    command: AuditCommand,
    socket: &SocketChoice,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    match command {
        AuditCommand::List {
            filter,
            since,
            until,
            limit,
        } => {
            let client = Client::connect(socket).await?;
            list(filter, (since, until), limit, &client, output).await
        }
        AuditCommand::Show { seq } => show(seq, &Client::connect(socket).await?, output).await,
        AuditCommand::Tail { from, filter } => {
            if output.format() == Format::Json {
                return Err(Error::usage(
                    "a log that goes on is not one JSON document",
                    "use -o ndjson",
                ));
            }
            tail::run(socket, wire_filter(filter), from, output).await
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
            prove(seq, out.as_deref(), &Client::connect(socket).await?, output).await
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
            let asked = online::LogQuery {
                key,
                since,
                organization: org.unwrap_or_default(),
            };
            online::run(&Client::connect(socket).await?, asked, output).await
        }
    }
}

async fn list(
    filter: AuditFilterArgs,
    moments: (Option<Timestamp>, Option<Timestamp>),
    limit: Limit,
    client: &Client,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let filter = wire_filter(filter);
    span::check(moments)?;
    let parts = match moments {
        (None, None) => vec![span::Part::WHOLE],
        moments => span::parts(client, moments).await?,
    };
    let is_table = output.format() == Format::Table;
    let is_whole = moments == (None, None) && filter == v1::AuditFilter::default();
    let mut names = Names::default();
    let (mut last, mut missing) = (None, 0);
    pages::print(limit.limit, output, async |size, token: Option<String>| {
        // This list goes on before a sequence number instead of from a token.
        let before = token.and_then(|token| token.parse().ok());
        let answer = span::page(client, &parts, (size, before), filter.clone()).await?;
        let mut items: Vec<_> = answer.entries.iter().map(AuditLine::new).collect();
        for entry in &answer.entries {
            // Newest first.
            let after = last.replace(entry.seq).unwrap_or(entry.seq + 1);
            missing += after.saturating_sub(entry.seq + 1);
        }
        if is_table {
            names.add(client, &mut items).await?;
        }
        Ok(Page {
            items,
            next: answer.next_before.map(|before| before.to_string()),
            total: None,
        })
    })
    .await?;
    if is_table && is_whole {
        tell_missing(missing);
    }
    Ok(())
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

async fn prove(
    seq: u64,
    out: Option<&Path>,
    client: &Client,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let proof = match client.audit_proof(seq).await {
        // One answer for what is not there, however it is looked for.
        Err(Error::Refused(refusal)) if refusal.code.as_deref() == Some(NOT_FOR_YOU) => {
            return Err(not_found(seq, &client.status().await?));
        }
        proof => proof?,
    };
    let Some(path) = out else {
        return output
            .text(&inert_lines(&proof))
            .and_then(|()| output.flush());
    };
    export::write_new(path, proof.as_bytes())?;
    let path = inert(&path.to_string_lossy()).into_owned();
    tell(&format!("the proof of entry {seq} is in {path}"));
    Ok(())
}

/// A text of many lines, each made inert. A proof's own names are not: it is printed as it is, whatever it is
/// printed to.
fn inert_lines(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(inert).collect();
    lines.join("\n")
}

/// The code for what is another organization's, or nobody's.
const NOT_FOR_YOU: &str = Code::AuthorizationError.as_str();

fn not_found(seq: u64, status: &DaemonStatus) -> Error {
    let is_pruned = status.caller.organizations.is_none() && seq < status.store.entries;
    let (what, hint) = if is_pruned {
        (
            format!("entry {seq} was pruned: the log has its hash, and no longer what it said"),
            "agentidp audit list --action audit.prune shows who did that and when; an export or a backup of before has it",
        )
    } else {
        (
            format!("there is no entry {seq} for you to see"),
            "agentidp audit list shows those that there are",
        )
    };
    Error::Told {
        what,
        hint: hint.to_owned(),
        code: 3,
    }
}

/// Tells how many numbers are passed over where no filter does that.
pub(super) fn tell_missing(count: u64) {
    if count > 0 {
        tell(&format!(
            "{} in between not shown: pruned, or not for you to see",
            counted(count, "entry")
        ));
    }
}

fn wire_filter(args: AuditFilterArgs) -> v1::AuditFilter {
    v1::AuditFilter {
        action: args.action.unwrap_or_default(),
        outcome: args.outcome.unwrap_or_default(),
        agent: args.agent.unwrap_or_default(),
        organization: args.org.unwrap_or_default(),
    }
}

/// How many agents and organizations are asked for by their ids, at most: a table need not wait for more.
const MAX_NAMES: usize = 200;

/// The e-mails of agents and the names of organizations, by id; none for one that could not be read.
#[derive(Default)]
pub(super) struct Names(HashMap<String, Option<String>>);

impl Names {
    /// Names the agents and organizations of a page, each asked for once.
    pub(super) async fn add(
        &mut self,
        client: &Client,
        lines: &mut [AuditLine],
    ) -> Result<(), Error> {
        for line in lines {
            let Some(entry) = &line.entry else { continue };
            let mut details = HashMap::new();
            let agents = crate::audit_text::agents(entry).map(|id| (id, true));
            let organization = crate::audit_text::organization(entry).map(|id| (id, false));
            for (id, is_agent) in agents.chain(organization) {
                if !self.0.contains_key(&id) && self.0.len() < MAX_NAMES {
                    let name = if is_agent {
                        agent_name(client, id.clone()).await?
                    } else {
                        organization_name(client, id.clone()).await?
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

/// The e-mail of an agent; `None` for one that is gone, or not for this operator to see.
async fn agent_name(client: &Client, id: String) -> Result<Option<String>, Error> {
    match client.agent(id).await {
        Ok(agent) => Ok(Some(agent.email.to_string())),
        Err(Error::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// An entry as it is stored, and what of it a table shows.
#[derive(Debug)]
pub(super) struct AuditLine {
    stored: String,
    entry: Option<Entry>,
    /// The e-mails of the agents in it and the name of its organization, where they are known.
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

    /// The bytes that are stored.
    pub(super) fn stored(&self) -> &str {
        &self.stored
    }

    /// One line for a person: the columns of the table, in widths that seldom change.
    pub(super) fn row(&self) -> String {
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
            crate::audit_text::details_with(
                entry,
                |id| self.names.get(id).cloned().unwrap_or_else(|| id.to_owned()),
                |id| self.names.get(id).cloned(),
            ),
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
