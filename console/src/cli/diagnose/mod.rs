//! `agentidp diagnose`: one look at everything that an operator's work depends on.
//!
//! Every check gives a [`Finding`], also when the daemon is away: what can be seen from here is in
//! [`local`], what the daemon tells is judged in [`remote`]. A new check is a function there and a
//! line in [`run`]. Every look has a time limit, and none changes anything.

mod local;
mod remote;

use std::io::Write;
use std::time::Duration;

use serde::Serialize;

use crate::args::Format;
use crate::client::Client;
use crate::error::Error;
use crate::socket::SocketChoice;
use crate::text::inert;

use super::output::{Output, Record};

/// How long each look may take.
const LIMIT: Duration = Duration::from_secs(5);

/// What is thought of what was found, from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Skipped,
    Warning,
    Failed,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
        }
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    found: String,
    /// What to do next; none when all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// The exit code that it asks for, if it is worse than a warning of its own.
    #[serde(skip)]
    code: u8,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self {
            check,
            verdict,
            found: found.into(),
            next: None,
            code: u8::from(verdict >= Verdict::Warning),
        }
    }

    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, found)
    }

    fn skipped(check: &'static str, why: impl Into<String>) -> Self {
        Self::new(check, Verdict::Skipped, why)
    }

    fn warning(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Verdict::Warning, found)
    }

    fn failed(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Verdict::Failed, found)
    }

    fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }
}

impl Record for Finding {
    const HEADINGS: &'static [&'static str] = &["VERDICT", "CHECK", "FOUND"];

    fn cells(&self) -> Vec<String> {
        [self.verdict.word(), self.check, &self.found]
            .map(str::to_owned)
            .to_vec()
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// Looks at everything, prints what was found, and ends with the code of the worst.
pub(super) async fn run(
    socket: &SocketChoice,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let findings = findings(socket).await;
    print(&findings, output)?;
    verdict_of(&findings)
}

async fn findings(socket: &SocketChoice) -> Vec<Finding> {
    let looked = local::socket(socket).await;
    let mut findings = vec![looked.finding];
    let answers = if looked.is_open {
        remote::ask(socket).await
    } else {
        Err(None)
    };
    let answers = match answers {
        Ok(answers) => answers,
        Err(error) => {
            findings.push(local::permissions(looked.group, error.as_ref()));
            findings.push(remote::without_answer(error.as_ref()));
            findings.push(local::clock(None).await);
            let why = match error {
                Some(Error::Refused(_)) => "the daemon does not tell this user",
                _ => "the daemon does not answer",
            };
            for check in ["store", "keys", "backups"] {
                findings.push(Finding::skipped(check, why));
            }
            findings.push(local::disk());
            for check in ["certificate", "versions"] {
                findings.push(Finding::skipped(check, why));
            }
            return findings;
        }
    };
    findings.extend([
        remote::permissions(&answers.status, local::new_groups(looked.group)),
        remote::daemon(&answers),
        local::clock(Some(answers.skew)).await,
        remote::store(&answers.status),
        remote::keys(&answers),
        remote::backups(&answers.status),
        remote::disk(answers.status.disk),
        remote::certificate(&answers.status),
        remote::versions(&answers.status.version),
    ]);
    findings
}

fn print(findings: &[Finding], output: &mut Output<impl Write>) -> Result<(), Error> {
    if output.format() != Format::Table {
        return output.all(findings);
    }
    for finding in findings {
        let word = finding.verdict.word();
        let (check, found) = (finding.check, inert(&finding.found));
        output.line(&format!("{word:7}  {check:11}  {found}"))?;
        if let Some(next) = &finding.next {
            output.line(&format!("{:7}  {:11}  -> {}", "", "", inert(next)))?;
        }
    }
    output.flush()
}

/// Nothing when all is well; else how much is not, with the exit code of the worst.
fn verdict_of(findings: &[Finding]) -> Result<(), Error> {
    let count = |verdict| findings.iter().filter(|it| it.verdict == verdict).count();
    let (failed, warnings) = (count(Verdict::Failed), count(Verdict::Warning));
    if failed + warnings == 0 {
        return Ok(());
    }
    let worst = findings.iter().map(|it| it.code).max().unwrap_or(1);
    let warnings = match warnings {
        1 => "1 warning".to_owned(),
        count => format!("{count} warnings"),
    };
    Err(Error::Unwell {
        what: match failed {
            0 => warnings,
            _ => format!("{failed} of {} checks failed, {warnings}", findings.len()),
        },
        code: worst,
    })
}

/// What a client asks within the limit.
async fn within<T>(asked: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(LIMIT, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::Unreachable {
            why: format!("no answer within {} s", LIMIT.as_secs()),
            hint: "the daemon hangs, or the machine is overloaded: journalctl -u agentidpd -n 20"
                .to_owned(),
        }),
    }
}

async fn connect(socket: &SocketChoice) -> Result<Client, Error> {
    within(Client::connect(socket)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(findings: &[Finding]) -> u8 {
        verdict_of(findings).map_or_else(|error| error.exit_code(), |()| 0)
    }

    #[test]
    fn the_worst_verdict_is_the_exit_code() {
        let ok = Finding::ok("a", "");
        let skipped = Finding::skipped("b", "");
        let warning = Finding::warning("c", "");
        let failed = Finding::failed("d", "");
        assert_eq!(code(&[ok.clone(), skipped.clone()]), 0);
        assert_eq!(code(&[ok.clone(), warning.clone()]), 1);
        assert_eq!(code(&[ok.clone(), failed.clone()]), 1);
        assert_eq!(code(&[failed.clone().code(4), warning]), 4);
        assert_eq!(code(&[failed.clone().code(6), failed, skipped]), 6);
    }

    #[test]
    fn people_see_the_next_step_below_what_it_is_for() {
        let findings = [
            Finding::ok("socket", "/x.sock"),
            Finding::warning("clock", "3s apart\u{1b}").next("mend it"),
        ];
        let printed = |format| {
            let mut bytes = Vec::new();
            print(&findings, &mut Output::new(format, &mut bytes)).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        insta::assert_snapshot!(printed(Format::Table), @r"
        ok       socket       /x.sock
        warning  clock        3s apart\u{1b}
                              -> mend it
        ");
        insta::assert_snapshot!(printed(Format::Ndjson), @r#"
        {"check":"socket","verdict":"ok","found":"/x.sock"}
        {"check":"clock","verdict":"warning","found":"3s apart\u001b","next":"mend it"}
        "#);
    }
}
