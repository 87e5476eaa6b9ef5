//! `agentidp agent register-many`.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use agentidp_proto::{convert, v1};
use agentidp_shared::agent::parse_version;
use agentidp_shared::{AgentType, DeploymentEnv, Email, FieldError, Owner};
use serde::Deserialize;

use crate::args::{Format, RegisterManyArgs};
use crate::client::Client;
use crate::error::Error;
use crate::text::counted;

use super::output::Output;
use super::tell;

/// How many agents the daemon registers at once.
const AT_ONCE: usize = 100;
/// How many bytes of lines go into one request, which may have 4 MiB.
const BYTES_AT_ONCE: usize = 2 << 20;
/// The longest line: an agent with all the notes that it may have.
const MAX_LINE: u64 = 1 << 20;
/// How many lines at fault are told.
const MAX_FAULTS: usize = 10;

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

/// Registrations that go into one request, and the lines that they stand on.
struct Batch {
    lines: Vec<usize>,
    agents: Vec<v1::RegisterAgentRequest>,
    bytes: usize,
}

impl Batch {
    fn first_line(&self) -> usize {
        self.lines.first().copied().unwrap_or_default()
    }

    /// The line that a refusal is about, when it names the e-mail that stands there.
    fn line_of(&self, refusal: &str) -> Option<usize> {
        let mut lines = self.agents.iter().zip(&self.lines);
        let is_named = |(agent, _): &(&v1::RegisterAgentRequest, &usize)| {
            refusal.split_whitespace().any(|word| word == agent.email)
        };
        lines.find(is_named).map(|(_, line)| *line)
    }
}

pub(super) async fn run(
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
    let count: u64 = batches.iter().map(|it| it.agents.len() as u64).sum();
    if count == 0 {
        return Err(Error::usage(
            "there is no agent to register",
            "agentidp agent register-many --help shows what a line is",
        ));
    }
    if args.dry_run {
        tell(&format!(
            "{} in the right form; whether each e-mail is free and the tier has room, only the registration tells",
            counted(count, "agent")
        ));
        return Ok(());
    }
    let client = connect().await?;
    let is_table = output.format() == Format::Table;
    let mut list = output.list()?;
    let mut done = 0_u64;
    for batch in batches {
        let agents = batch.agents.clone();
        let registered = match client.register_many(args.org.clone(), agents).await {
            Ok(registered) => registered,
            Err(error) => {
                // Headings alone would say that it was done to nobody.
                if done > 0 || !is_table {
                    list.end()?;
                }
                return Err(refused(error, &batch, done, count));
            }
        };
        done += registered.len() as u64;
        let records: Vec<_> = registered.into_iter().map(|it| it.record).collect();
        list.page(&records)?;
    }
    list.end()?;
    tell(&format!("registered {}", counted(done, "agent")));
    Ok(())
}

/// Tells what was done before a batch was refused; gives the refusal with the line that it is about.
fn refused(error: Error, batch: &Batch, done: u64, count: u64) -> Error {
    tell(&match done {
        0 => "nothing was registered".to_owned(),
        _ => format!(
            "registered {done} of {}: those before line {}, and none from there on",
            counted(count, "agent"),
            batch.first_line()
        ),
    });
    match error {
        Error::Refused(mut refusal) => {
            if let Some(line) = batch.line_of(&refusal.message) {
                refusal.message = format!("line {line}: {}", refusal.message);
            }
            Error::Refused(refusal)
        }
        error => error,
    }
}

/// Reads and checks all lines, so that a fault in the last is found before the first is registered.
fn batches(file: &mut impl BufRead) -> Result<Vec<Batch>, Error> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut emails = HashMap::new();
    let mut faults = Faults::default();
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
        let request = match parse(&text, number, &mut emails) {
            Ok(request) => request,
            Err(rule) => {
                faults.note(number, &rule);
                continue;
            }
        };
        let room = |batch: &&mut Batch| {
            batch.agents.len() < AT_ONCE && batch.bytes + text.len() <= BYTES_AT_ONCE
        };
        match batches.last_mut().filter(room) {
            Some(batch) => {
                batch.lines.push(number);
                batch.agents.push(request);
                batch.bytes += text.len();
            }
            None => batches.push(Batch {
                lines: vec![number],
                agents: vec![request],
                bytes: text.len(),
            }),
        }
    }
    faults.none().map(|()| batches)
}

/// The lines that cannot be what they should be.
#[derive(Default)]
struct Faults {
    told: Vec<String>,
    more: u64,
}

impl Faults {
    fn note(&mut self, line: usize, rule: &str) {
        if self.told.len() < MAX_FAULTS {
            self.told.push(format!("line {line}: {rule}"));
        } else {
            self.more += 1;
        }
    }

    /// Tells all of them at once, so that they are put right at once.
    fn none(mut self) -> Result<(), Error> {
        let hint = match self.told.len() {
            0 => return Ok(()),
            1 => "nothing was registered: put the line right and repeat",
            _ => "nothing was registered: put the lines right and repeat",
        };
        if self.more > 0 {
            self.told
                .push(format!("and {}", counted(self.more, "more line")));
        }
        Err(Error::usage(self.told.join("\n       "), hint))
    }
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
    let line: Line = serde_json::from_str(text).map_err(|error| {
        // It counts lines, too, and has seen but this one.
        let told = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let what = told.strip_suffix(&place).unwrap_or(&told);
        format!("{what} (column {})", error.column())
    })?;
    let request = line.into_request();
    let email = check(&request).map_err(|error| error.to_string())?;
    match emails.insert(email, number) {
        None => Ok(request),
        Some(first) => Err(format!("email: stands on line {first} already")),
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
        assert_eq!(batches[1].first_line(), 102);
        let taken = "the e-mail a101@acme.example is taken";
        assert_eq!(batches[1].line_of(taken), Some(103));
        assert_eq!(batches[0].line_of(taken), None);
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
            ("{}".to_owned(), "line 2: missing field `email` (column 2)"),
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

    #[test]
    fn all_lines_at_fault_are_told_at_once_and_of_very_many_the_first() {
        let right = line("a@acme.example");
        let error = |text: String| batches(&mut text.as_bytes()).err().unwrap().to_string();
        assert_eq!(
            error(format!("{{}}\n{right}\n{right}\n")),
            "line 1: missing field `email` (column 2)\n       \
             line 3: email: stands on line 2 already"
        );
        let many = error("{}\n".repeat(1_000));
        assert_eq!(many.lines().count(), MAX_FAULTS + 1);
        assert!(many.ends_with("\n       and 990 more lines"), "{many}");
    }
}
