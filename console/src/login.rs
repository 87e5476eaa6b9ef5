//! `agentidp` as a login shell, or as what sshd is told to run: the command comes as one line.
//!
//! sshd starts a login shell as `SHELL -c LINE`, and gives a `ForceCommand` what was asked for in
//! `SSH_ORIGINAL_COMMAND`. The line is split into words as a shell splits it; nothing in it is
//! expanded, and nothing but `agentidp` is run.

use std::ffi::OsString;

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::args::Args;
use crate::error::Error;

/// The arguments that are meant: those in the line, when there is one. An empty line stands for
/// none, and so for the console.
///
/// # Errors
///
/// A usage error for a line that is none of ours. What clap says of it has been printed then.
pub(crate) fn resolve(outer: Args) -> Result<Args, Error> {
    let Some(line) = &outer.line else {
        return Ok(outer);
    };
    if outer.command.is_some() {
        return Err(Error::usage(
            "a command stands beside -c LINE",
            "give the command in the line alone",
        ));
    }
    let words =
        split(line).ok_or_else(|| Error::usage("a quote in the line is not closed", HINT))?;
    let names_socket = words
        .iter()
        .any(|word| word == "--socket" || word.starts_with("--socket="));
    let inner = Args::try_parse_from(words).map_err(|error| refused(&error))?;
    if inner.line.is_some() {
        return Err(Error::usage("-c stands in the line of -c", HINT));
    }
    Ok(inner.within(&outer, names_socket))
}

/// The words of a line, of which the first is the program's name; none when a quote is not closed.
fn split(line: &str) -> Option<Vec<String>> {
    let mut words = shlex::split(line)?;
    if words.first().is_none_or(|first| !is_agentidp(first)) {
        words.insert(0, "agentidp".to_owned());
    }
    Some(words)
}

/// The words that [`resolve`] goes by, from those of the process.
pub(crate) fn words(of_process: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let words: Vec<_> = of_process.into_iter().collect();
    let line = Args::try_parse_from(&words).ok().and_then(|it| it.line);
    match line.as_deref().and_then(split) {
        Some(inner) => inner.into_iter().map(Into::into).collect(),
        None => words,
    }
}

const HINT: &str = "this login runs agentidp alone: give its words, such as agent list, or none \
                    for the console";

fn is_agentidp(word: &str) -> bool {
    let name = std::path::Path::new(word).file_name();
    name.is_some_and(|name| name == "agentidp")
}

fn refused(error: &clap::Error) -> Error {
    // Also what is no error, such as --help, is said here.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Error::OutputClosed,
        _ => Error::usage("the line is none that agentidp takes", HINT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{AgentCommand, Command};

    fn resolved(arguments: &[&str]) -> Result<Args, Error> {
        resolve(Args::try_parse_from([&["agentidp"], arguments].concat()).unwrap())
    }

    #[test]
    fn a_line_is_split_as_a_shell_splits_it_and_nothing_is_expanded() {
        for line in [
            "agent suspend a@acme.example --reason 'it is $(id) & more' --yes",
            "agentidp agent suspend a@acme.example --reason 'it is $(id) & more' --yes",
            "/usr/local/bin/agentidp agent suspend a@acme.example --reason 'it is $(id) & more' -y",
        ] {
            let args = resolved(&["-c", line]).unwrap();
            let Some(Command::Agent(AgentCommand::Suspend(args))) = args.command else {
                panic!("{line}");
            };
            assert_eq!(args.consent.reason.unwrap(), "it is $(id) & more");
        }
    }

    #[test]
    fn the_words_are_those_of_the_line_when_there_is_one() {
        let of = |words: &[&str]| super::words(words.iter().map(OsString::from));
        let show = ["agentidp", "agent", "show", "a b"];
        assert_eq!(of(&show), show);
        assert_eq!(of(&["agentidp", "-c", "agent show 'a b'"]), show);
    }

    #[test]
    fn no_line_and_an_empty_one_are_the_console() {
        assert!(resolved(&[]).unwrap().command.is_none());
        assert!(resolved(&["-c", ""]).unwrap().command.is_none());
    }

    #[test]
    fn read_only_mode_is_not_left_by_a_line() {
        let args = resolved(&["--read-only", "-c", "status"]).unwrap();
        assert!(args.read_only);
    }

    #[test]
    fn the_socket_of_the_line_is_not_forgotten() {
        let socket = |arguments: &[&str]| resolved(arguments).unwrap().socket().resolve().unwrap();
        assert_eq!(
            socket(&["--socket", "/a", "-c", "status"]),
            std::path::Path::new("/a")
        );
        assert_eq!(
            socket(&["-c", "status --socket /b"]),
            std::path::Path::new("/b")
        );
    }

    #[test]
    fn what_is_not_agentidp_s_is_refused() {
        for line in [
            "/usr/lib/openssh/sftp-server",
            "scp -t /tmp",
            "sh",
            "agent list; id",
            "agent show 'a",
            "-c status",
        ] {
            let error = resolved(&["-c", line]).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
        assert!(resolved(&["-c", "status", "status"]).is_err());
    }
}
