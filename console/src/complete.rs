//! What can follow on the command line: the shells' completion scripts ask here.
//!
//! A script calls `agentidp` again with the words typed so far and the name of its shell in
//! [`VARIABLE`]. What stands in the daemon is asked for there, within [`LIMIT`]; whatever goes wrong,
//! nothing is offered and nothing is said, because whoever types wants to go on.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use agentidp_proto::v1;
use clap::CommandFactory as _;
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};
use clap_complete::env::Shells;

use crate::args::Args;
use crate::client::{AgentQuery, Client};
use crate::error::Error;
use crate::socket::SocketChoice;

/// The environment variable that makes a call one for completions, as a shell's name.
const VARIABLE: &str = "AGENTIDP_COMPLETE";
/// How long the daemon has for its part: longer than a socket on this machine ever needs, and
/// shorter than a person waits.
const LIMIT: Duration = Duration::from_millis(500);
/// How many names are offered at most.
const MOST: u32 = 100;

/// Answers when the call is one for completions; gives its exit code then.
pub(crate) fn respond() -> Option<ExitCode> {
    let here = std::env::current_dir().ok();
    let answered = CompleteEnv::with_factory(Args::command)
        .var(VARIABLE)
        .try_complete(std::env::args_os(), here.as_deref());
    match answered {
        Ok(false) => None,
        Ok(true) => Some(ExitCode::SUCCESS),
        // A shell that is not known, or that has gone.
        Err(_) => Some(ExitCode::FAILURE),
    }
}

/// Prints the script that registers the completions.
///
/// It calls `agentidp` by its name, not by where it is now: the script stays when the program moves.
pub(crate) fn print_script(shell: clap_complete::Shell) -> Result<(), Error> {
    let name = shell.to_string();
    let shells = Shells::builtins();
    let completer = shells.completer(&name).ok_or_else(|| {
        Error::usage(
            format!("there are no completions for {name}"),
            "agentidp completions --help lists the shells that there are",
        )
    })?;
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, "agentidp", "agentidp", "agentidp", &mut script)
        .map_err(Error::io("cannot make the script"))?;
    io::stdout()
        .lock()
        .write_all(&script)
        .map_err(Error::output)
}

/// Offers words that there is a fixed list of.
pub(crate) fn words<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    word: impl Fn(T) -> &'static str + Send + Sync + 'static,
) -> ArgValueCandidates {
    ArgValueCandidates::new(move || {
        let words = all.iter().map(|it| CompletionCandidate::new(word(*it)));
        words.collect::<Vec<_>>()
    })
}

/// Offers the e-mails of agents.
pub(crate) fn agents() -> ArgValueCompleter {
    from_daemon(async |client, typed| {
        let query = AgentQuery {
            filter: v1::AgentFilter {
                email_prefix: typed,
                ..v1::AgentFilter::default()
            },
            order: "email".to_owned(),
            is_ascending: true,
        };
        let page = client.agents(query, MOST, String::new()).await?;
        let emails = page.items.iter().map(|it| it.agent.email.to_string());
        Ok(emails.collect())
    })
}

/// Offers the names of organizations.
pub(crate) fn organizations() -> ArgValueCompleter {
    from_daemon(async |client, _| {
        let page = client
            .organizations(crate::client::MAX_PAGE, String::new())
            .await?;
        Ok(page.items.iter().map(|it| it.name.to_string()).collect())
    })
}

/// Offers the kids of signing keys.
pub(crate) fn kids() -> ArgValueCompleter {
    from_daemon(async |client, _| {
        let keys = client.keys().await?;
        Ok(keys.into_iter().map(|it| it.key.kid).collect())
    })
}

/// Offers what `ask` gets from the daemon for what is typed so far.
fn from_daemon<F>(ask: F) -> ArgValueCompleter
where
    F: AsyncFn(Client, String) -> Result<Vec<String>, Error> + Send + Sync + 'static,
{
    ArgValueCompleter::new(move |typed: &OsStr| {
        let Some(typed) = typed.to_str() else {
            return Vec::new();
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let Ok(runtime) = runtime else {
            return Vec::new();
        };
        let socket = socket_among(std::env::args_os());
        let asked = runtime.block_on(async {
            tokio::time::timeout(LIMIT, async {
                ask(Client::connect(&socket).await?, typed.to_owned()).await
            })
            .await
        });
        let names = asked.ok().and_then(Result::ok).unwrap_or_default();
        let fitting = names.into_iter().filter(|name| name.starts_with(typed));
        let most = usize::try_from(MOST).unwrap_or(usize::MAX);
        let fitting = fitting.take(most);
        fitting.map(CompletionCandidate::new).collect()
    })
}

/// The socket that the words typed so far name, or the environment does.
fn socket_among(words: impl Iterator<Item = OsString>) -> SocketChoice {
    let mut words = words.skip_while(|word| word != "--").skip(1);
    let mut named = std::env::var_os("AGENTIDP_SOCKET");
    while let Some(word) = words.next() {
        if word == "--socket" {
            named = words.next();
        } else if let Some(path) = word.to_str().and_then(|it| it.strip_prefix("--socket=")) {
            named = Some(path.into());
        }
    }
    // Completing must never change anything.
    SocketChoice::new(named.map(Into::into)).read_only(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(words: &[&str]) -> std::path::PathBuf {
        let words = words.iter().map(OsString::from);
        socket_among(words).resolve().unwrap()
    }

    #[test]
    fn the_socket_is_the_one_that_is_typed() {
        let before = ["agentidp", "--", "agentidp"];
        for words in [&["--socket", "/x.sock", "agent"][..], &["--socket=/x.sock"]] {
            let line = [&before[..], words].concat();
            assert_eq!(socket(&line), std::path::Path::new("/x.sock"));
        }
    }
}
