//! What `agentidp agent` does to many agents at once.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Write};
use std::path::Path;

use agentidp_proto::{convert, v1};
use agentidp_shared::agent::{Transition, parse_version};
use agentidp_shared::{AgentType, DeploymentEnv, Email, FieldError, Owner};
use serde::{Deserialize, Serialize};

use crate::args::{Consent, RegisterManyArgs};
use crate::client::{Bulk, Client, Refused};
use crate::error::Error;
use crate::text::{inert, thousands};

use super::output::{Output, Record};
use super::{consent, tell};

/// How many agents the daemon registers at once.
const AT_ONCE: usize = 100;
/// How many bytes of lines go into one request, which may have 4 MiB.
const BYTES_AT_ONCE: usize = 2 << 20;
/// The longest line: an agent with all the notes that it may have.
const MAX_LINE: u64 = 1 << 20;

/// A line of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    email: String,
    agent_type: String,
    version: String,
    capabilities: Vec<String>,
    owner: String,
    deployment_env: String,
    #[serde(default)]
    audiences: Vec<String>,
    #[serde(default)]
    metadata: HashMap<String, String>,
}

impl Line {
    fn into_request(self) -> v1::RegisterAgentRequest {
        v1::RegisterAgentRequest {
            organization: String::new(),
            email: self.email,
            agent_type: self.agent_type,
            version: self.version,
            capabilities: self.capabilities,
            owner: self.owner,
            deployment_env: self.deployment_env,
            audiences: self.audiences,
            metadata: self.metadata,
        }
    }
}

/// Whether the daemon would take a registration, as far as that can be known here.
pub(super) fn check(request: &v1::RegisterAgentRequest) -> Result<Email, FieldError> {
    let email = request.email.parse()?;
    let _: AgentType = request.agent_type.parse()?;
    let _ = parse_version(&request.version)?;
    let _ = convert::capabilities(request.capabilities.clone())?;
    let _: Owner = request.owner.parse()?;
    let _: DeploymentEnv = request.deployment_env.parse()?;
    let _ = convert::audiences(request.audiences.clone())?;
    let _ = convert::metadata(request.metadata.clone())?;
    Ok(email)
}

/// Registrations that go into one request, and the line that the first stands on.
struct Batch {
    first_line: usize,
    agents: Vec<v1::RegisterAgentRequest>,
    bytes: usize,
}

pub(super) async fn register(
    args: RegisterManyArgs,
    connect: impl AsyncFnOnce() -> Result<Client, Error>,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let batches = if args.file == Path::new("-") {
        batches(&mut io::stdin().lock())?
    } else {
        let what = format!("cannot read {}", args.file.display());
        let file = std::fs::File::open(&args.file).map_err(Error::io(what))?;
        batches(&mut BufReader::new(file))?
    };
    let count: usize = batches.iter().map(|batch| batch.agents.len()).sum();
    if count == 0 {
        return Err(Error::usage(
            "there is no agent to register",
            "agentidp agent register-many --help shows what a line is",
        ));
    }
    if args.dry_run {
        tell(&format!(
            "{count} agents have the right form; whether their e-mails are free and the tier has room for them, only the registration tells"
        ));
        return Ok(());
    }
    let client = connect().await?;
    let mut list = output.list()?;
    let mut done = 0;
    for batch in batches {
        let registered = client.register_many(args.org.clone(), batch.agents).await;
        let registered = match registered {
            Ok(registered) => registered,
            Err(error) => {
                list.end()?;
                tell(&match done {
                    0 => "no agent was registered".to_owned(),
                    _ => format!(
                        "{done} of {count} agents are registered: those before line {}, and none from there on",
                        batch.first_line
                    ),
                });
                return Err(error);
            }
        };
        done += registered.len();
        let records: Vec<_> = registered.into_iter().map(|it| it.record).collect();
        list.page(&records)?;
    }
    list.end()?;
    tell(&format!("{done} agents are registered"));
    Ok(())
}

/// Reads and checks all lines, so that a fault in the last is found before the first is registered.
fn batches(file: &mut impl BufRead) -> Result<Vec<Batch>, Error> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut emails = HashMap::new();
    for number in 1.. {
        let mut text = String::new();
        let read = io::Read::take(&mut *file, MAX_LINE)
            .read_line(&mut text)
            .map_err(Error::io(format!("cannot read line {number}")))?;
        if read == 0 {
            break;
        }
        if text.trim().is_empty() {
            continue;
        }
        let request = parse(&text, number, &mut emails).map_err(|rule| {
            Error::usage(
                format!("line {number}: {rule}"),
                "nothing was registered: put the line right and repeat",
            )
        })?;
        let room = |batch: &&mut Batch| {
            batch.agents.len() < AT_ONCE && batch.bytes + text.len() <= BYTES_AT_ONCE
        };
        match batches.last_mut().filter(room) {
            Some(batch) => {
                batch.agents.push(request);
                batch.bytes += text.len();
            }
            None => batches.push(Batch {
                first_line: number,
                agents: vec![request],
                bytes: text.len(),
            }),
        }
    }
    Ok(batches)
}

/// Reads and checks the line `number`; `emails` has the lines on which the e-mails before it stand.
fn parse(
    text: &str,
    number: usize,
    emails: &mut HashMap<Email, usize>,
) -> Result<v1::RegisterAgentRequest, String> {
    if !(text.trim().starts_with('{') && text.trim().ends_with('}')) {
        return Err("must be one JSON object a line: jq -c '.[]' makes that of an array, and jq -c . of objects over several lines".to_owned());
    }
    let line: Line = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let request = line.into_request();
    let email = check(&request).map_err(|error| error.to_string())?;
    match emails.insert(email, number) {
        None => Ok(request),
        Some(first) => Err(format!("email: stands on line {first} already")),
    }
}

/// How many of those that cannot be moved are named before one is asked.
const NAMED: usize = 10;

/// Something that is to be done to every agent that a filter lets through.
pub(super) struct Many {
    pub(super) filter: v1::AgentFilter,
    pub(super) transition: Transition,
    pub(super) consent: Consent,
    pub(super) takes_reason: bool,
    pub(super) is_dry_run: bool,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// How many agents the filter lets through.
    matched: u64,
    /// How many have been moved, or would be.
    done: u64,
    /// How many were there already.
    unchanged: u64,
    /// Those that could not be moved.
    refused: Vec<Refused>,
    /// Whether nothing was done.
    dry_run: bool,
}

impl Many {
    /// Tells what would be done, asks, and does it to as many agents as were told of.
    pub(super) async fn make(
        self,
        client: &Client,
        output: &mut Output<impl Write>,
    ) -> Result<(), Error> {
        if !self.is_dry_run {
            consent::check_can_be_had(&self.consent, self.takes_reason)?;
        }
        let would = self.run(client, None, String::new()).await?;
        if self.is_dry_run {
            return output.one(&would);
        }
        let verb = self.verb();
        let question = format!(
            "{} agents match: {} would be {verb}, {} are already, {} cannot be.",
            thousands(would.matched),
            thousands(would.done),
            thousands(would.unchanged),
            thousands(would.refused.len() as u64)
        );
        tell(&question);
        for refused in would.refused.iter().take(NAMED) {
            tell(&format!("  {}", why(refused)));
        }
        if would.refused.len() > NAMED {
            tell("  and more: --dry-run names them all");
        }
        let reason = consent::obtain_count(&self.consent, self.takes_reason, would.matched, verb)?;
        let done = self.run(client, Some(would.matched), reason).await?;
        output.one(&done)?;
        tell(&format!("{} agents {verb}", thousands(done.done)));
        if done.refused.is_empty() {
            return Ok(());
        }
        Err(Error::Partly {
            what: format!(
                "{} of {} agents could not be {verb}",
                thousands(done.refused.len() as u64),
                thousands(done.matched)
            ),
        })
    }

    const fn verb(&self) -> &'static str {
        match self.transition {
            Transition::Suspend => "suspended",
            Transition::Resume => "resumed",
            Transition::Revoke => "revoked",
            Transition::Decommission => "decommissioned",
            Transition::Archive => "archived",
        }
    }

    /// Runs it for real when it is known how many agents are meant, and otherwise dry.
    async fn run(
        &self,
        client: &Client,
        expected: Option<u64>,
        reason: String,
    ) -> Result<Summary, Error> {
        let is_dry_run = expected.is_none();
        let bulk = Bulk {
            filter: self.filter.clone(),
            transition: self.transition,
            reason,
            is_dry_run,
            expected,
        };
        let mut progress = client.transition_many(bulk).await?;
        let mut summary = Summary {
            dry_run: is_dry_run,
            ..Summary::default()
        };
        let shows = !is_dry_run && io::stderr().is_terminal();
        while let Some((so_far, refused)) = progress.next().await? {
            summary.matched = so_far.matched;
            summary.done = so_far.done;
            summary.unchanged = so_far.unchanged;
            summary.refused.extend(refused);
            if shows {
                let gone = so_far.done + so_far.unchanged + summary.refused.len() as u64;
                let line = format!("\r{} of {}", thousands(gone), thousands(so_far.matched));
                // Only for the eye.
                let _ = io::stderr().write_all(line.as_bytes());
            }
        }
        if shows {
            tell("");
        }
        Ok(summary)
    }
}

/// Which agent cannot be moved, and why not.
fn why(refused: &Refused) -> String {
    let who = if refused.email.is_empty() {
        &refused.agent_id
    } else {
        &refused.email
    };
    format!("{}: {} ({})", inert(who), refused.message, refused.code)
}

impl Record for Summary {
    const HEADINGS: &'static [&'static str] = &[];

    fn cells(&self) -> Vec<String> {
        Vec::new()
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let done = if self.dry_run {
            "would be done"
        } else {
            "done"
        };
        let mut fields = vec![
            ("matched", self.matched.to_string()),
            (done, self.done.to_string()),
            ("unchanged", self.unchanged.to_string()),
        ];
        for refused in &self.refused {
            fields.push(("refused", why(refused)));
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(email: &str) -> String {
        format!(
            r#"{{"email":"{email}","agent_type":"screener","version":"1.0.0","capabilities":["resume:read"],"owner":"team-a","deployment_env":"production"}}"#
        )
    }

    #[test]
    fn a_file_goes_in_batches_that_the_daemon_takes() {
        let lines: Vec<_> = (0..250)
            .map(|n| line(&format!("a{n}@acme.example")))
            .collect();
        let text = format!("\n{}\n\n", lines.join("\n"));
        let batches = batches(&mut text.as_bytes()).unwrap();
        let sizes: Vec<_> = batches.iter().map(|it| it.agents.len()).collect();
        assert_eq!(sizes, [100, 100, 50]);
        assert_eq!(batches[1].first_line, 102);
    }

    #[test]
    fn a_line_at_fault_is_named_before_anything_is_registered() {
        for (wrong, part) in [
            (line("no e-mail"), "line 2: email"),
            (
                line("b@acme.example").replace("1.0.0", "1"),
                "line 2: version",
            ),
            (
                line("b@acme.example").replace("owner", "boss"),
                "line 2: unknown field",
            ),
            ("{}".to_owned(), "line 2: missing field"),
            ("not json".to_owned(), "line 2: must be one JSON object"),
            (
                format!("[{}]", line("b@acme.example")),
                "line 2: must be one JSON object a line",
            ),
            (
                line("a@acme.example"),
                "line 2: email: stands on line 1 already",
            ),
        ] {
            let text = format!("{}\n{wrong}\n", line("a@acme.example"));
            let error = batches(&mut text.as_bytes()).err().unwrap();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
