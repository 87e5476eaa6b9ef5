//! The command line: one file a noun. Each command connects, calls, and hands what it got to
//! [`output`].

pub mod output;

mod agent;
mod agent_many;
mod already;
mod audit;
mod consent;
mod credential;
mod diagnose;
mod dry;
mod export;
mod key;
mod named;
mod narrow;
mod online;
mod org;
mod pages;
mod progress;
mod prune;
mod record;
mod register_many;
mod remembered;
mod span;
mod status;
mod store;
mod tail;
mod token;
mod verify;
mod wanted;
mod watch;

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;

use crate::args::{Command, Format};
use crate::client::Client;
use crate::complete;
use crate::error::Error;
use crate::manual;
use crate::socket::SocketChoice;

use self::output::Output;

/// Runs one command.
///
/// # Errors
///
/// What the command ended with; [`Error::exit_code`] is for the shell.
pub async fn run(command: Command, format: Format, socket: &SocketChoice) -> Result<(), Error> {
    let stdout = io::BufWriter::new(io::stdout());
    let mut output = Output::new(format, stdout);
    let connect = || Client::connect(socket);
    match command {
        Command::Org(command) => org::run(command, connect, &mut output).await,
        Command::Agent(command) => agent::run(command, connect, &mut output).await,
        Command::Credential(command) => credential::run(command, connect, &mut output).await,
        Command::Token(command) => token::run(command, connect, &mut output).await,
        Command::Audit(command) => audit::run(command, socket, &mut output).await,
        Command::Key(command) => key::run(command, connect, &mut output).await,
        Command::Store(command) => store::run(command, connect, &mut output).await,
        Command::Status(args) => status::run(args, &connect().await?, &mut output).await,
        Command::Diagnose => diagnose::run(socket, &mut output).await,
        Command::Completions { shell } => complete::print_script(shell),
        Command::Man { out } => manual::write(out.as_deref()),
    }
}

/// Tells a person something on the standard error output.
fn tell(message: &str) {
    // When nobody can be told, the command still does what it was asked.
    let _ = writeln!(io::stderr().lock(), "{message}");
}

/// What a file to read from is called to people: `-` is the standard input.
fn of_input(path: &Path) -> Cow<'_, str> {
    if path == Path::new("-") {
        Cow::Borrowed("standard input")
    } else {
        path.to_string_lossy()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_input_has_a_name() {
        assert_eq!(of_input(Path::new("-")), "standard input");
        assert_eq!(of_input(Path::new("./-")), "./-");
    }
}
