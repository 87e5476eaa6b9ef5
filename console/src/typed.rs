//! Errors in the words of whoever typed the command: the daemon names a field as the wire does, and
//! the command line has an option for it, and what it was given.

use std::ffi::OsString;

use agentidp_shared::{Resource, Scope};
use clap::{Arg, ArgMatches, Command, CommandFactory as _};

use crate::agent_filter::{self, Term};
use crate::args::Args;
use crate::error::Error;
use crate::text::{fit, inert, width};

/// How much of a value is repeated, in cells: it may be as long as its writer likes.
const MOST: usize = 64;

/// `error` with the option that it is about instead of the wire's field, and the value that it was given.
/// `words` is the command line that it ended, as it was typed.
pub(crate) fn retold(error: Error, words: impl IntoIterator<Item = OsString>) -> Error {
    let retell = |message: &str| Typed::read(words).and_then(|typed| typed.retell(message));
    match error {
        Error::Refused(mut refusal) if refusal.code.as_deref() == Some("INVALID_ARGUMENT") => {
            if let Some(message) = retell(&refusal.message) {
                refusal.message = message;
            }
            Error::Refused(refusal)
        }
        Error::Usage { message, hint } => Error::Usage {
            message: retell(&message).unwrap_or(message),
            hint,
        },
        error => error,
    }
}

/// A command line that was understood: the verb's command, and what it was given.
struct Typed {
    command: Command,
    matches: ArgMatches,
}

impl Typed {
    fn read(words: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let mut command = Args::command();
        let mut matches = command.try_get_matches_from_mut(words).ok()?;
        while let Some((name, inner)) = matches.remove_subcommand() {
            command = command.find_subcommand(&name)?.clone();
            matches = inner;
        }
        Some(Self { command, matches })
    }

    /// `FIELD: RULE` with what gives that field here; none when nothing does.
    fn retell(&self, message: &str) -> Option<String> {
        let (field, rule) = message.split_once(": ")?;
        let subject = match self.option(field) {
            Some(arg) => match self.value(field, arg) {
                Some(value) => format!("{} {}", shown(arg), quoted(&value)),
                // What is missing can be in the filter that names it otherwise.
                None => self.term(field).unwrap_or_else(|| shown(arg)),
            },
            None => self.term(field)?,
        };
        Some(format!("{subject}: {rule}"))
    }

    /// What gives `field`.
    fn option(&self, field: &str) -> Option<&Arg> {
        let by_id = |id: &str| self.command.get_arguments().find(|it| it.get_id() == id);
        match field {
            "deployment_env" => by_id("env"),
            "scope" => by_id("capabilities").or_else(|| by_id("capability")),
            "resource" => by_id("audiences"),
            field => by_id(field),
        }
    }

    /// What was given; of several the first that breaks the field's rule.
    fn value(&self, field: &str, arg: &Arg) -> Option<String> {
        let given = self.matches.try_get_raw(arg.get_id().as_str()).ok()??;
        let mut given: Vec<_> = given.map(|it| it.to_string_lossy().into_owned()).collect();
        if given.len() > 1 {
            given.retain(|it| breaks_rule(field, it));
        }
        given.into_iter().next()
    }

    /// The term of `--filter` that gives `field`.
    fn term(&self, field: &str) -> Option<String> {
        let key = agent_filter::key_of(field);
        let mut given = self.matches.try_get_raw("filter").ok()??;
        let filter = given.next()?.to_string_lossy();
        let term = filter
            .split_whitespace()
            .find(|it| Term::parse(it).is_some_and(|term| term.key == key))?;
        Some(format!("--filter {}", quoted(term)))
    }
}

/// Whether one of several values of `field` is at fault, where that can be told of one.
fn breaks_rule(field: &str, value: &str) -> bool {
    match field {
        "scope" => value.parse::<Scope>().is_err(),
        "resource" => value.parse::<Resource>().is_err(),
        _ => false,
    }
}

/// How an option or an argument is named.
fn shown(arg: &Arg) -> String {
    match (arg.get_long(), arg.get_value_names()) {
        (Some(long), _) => format!("--{long}"),
        (None, Some([name, ..])) => name.to_string(),
        (None, _) => arg.get_id().as_str().to_uppercase(),
    }
}

fn quoted(value: &str) -> String {
    let value = inert(value);
    let value = if width(&value) > MOST {
        fit(&value, MOST)
    } else {
        value.into_owned()
    };
    format!("'{value}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(words: &[&str], message: &str) -> String {
        let words = ["agentidp"].iter().chain(words).map(OsString::from);
        let error = Error::usage(message, "");
        retold(error, words.collect::<Vec<_>>()).to_string()
    }

    #[test]
    fn an_error_names_the_option_and_quotes_the_value() {
        let register = [
            "agent",
            "register",
            "--org",
            "acme",
            "--email",
            "A@acme",
            "--type",
            "foo",
            "--version",
            "1",
            "--owner",
            "x",
            "--env",
            "live",
            "--capability",
            "a:b",
            "--capability",
            "Write",
            "--audience",
            "nowhere",
        ];
        for (field, told_as) in [
            ("agent_type", "--type 'foo'"),
            ("deployment_env", "--env 'live'"),
            ("version", "--version '1'"),
            ("email", "--email 'A@acme'"),
            ("scope", "--capability 'Write'"),
            ("resource", "--audience 'nowhere'"),
            ("tier", "tier"),
        ] {
            let message = format!("{field}: must be so: and so");
            assert_eq!(
                told(&register, &message),
                format!("{told_as}: must be so: and so")
            );
        }
        let update = ["org", "update", "acme", "--tier", "gold"];
        assert_eq!(
            told(&update, "tier: must be so"),
            "--tier 'gold': must be so"
        );
        let age = ["org", "update", "acme", "--max-credential-age", "5m"];
        assert_eq!(
            told(&age, "max_credential_age: must be so"),
            "--max-credential-age '5m': must be so"
        );
        assert_eq!(
            told(&["org", "create", "A"], "name: must be so"),
            "NAME 'A': must be so"
        );
        assert_eq!(
            told(&["org", "suspend", "a"], "reason: must be so"),
            "--reason: must be so"
        );
    }

    #[test]
    fn an_option_of_a_list_is_named_and_its_value_quoted() {
        for (option, value, field, told_as) in [
            ("--org", "", "org", "--org ''"),
            ("--status", "!f\u{1b}", "status", r"--status '!f\u{1b}'"),
            ("--owner", "!", "owner", "--owner '!'"),
            ("--type", "a,b c", "agent_type", "--type 'a,b c'"),
            ("--env", "live", "env", "--env 'live'"),
            ("--capability", "xx", "capability", "--capability 'xx'"),
            ("--email-prefix", "", "email_prefix", "--email-prefix ''"),
            ("--text", "", "text", "--text ''"),
            (
                "--expires-within",
                "7d",
                "expires_within",
                "--expires-within '7d'",
            ),
        ] {
            let list = [
                "agent",
                "list",
                "--filter",
                "owner=x type=foo",
                option,
                value,
            ];
            assert_eq!(
                told(&list, &format!("{field}: must be so")),
                format!("{told_as}: must be so")
            );
        }
    }

    #[test]
    fn a_term_of_a_filter_is_named_as_it_was_typed() {
        let list = ["agent", "list", "--filter", "owner=x type=foo"];
        assert_eq!(
            told(&list, "agent_type: must be so"),
            "--filter 'type=foo': must be so"
        );
        assert_eq!(told(&list, "agents: must be so"), "agents: must be so");
    }

    #[test]
    fn a_value_is_repeated_inert_and_not_at_any_length() {
        let value = format!("\u{1b}{}", "x".repeat(100));
        let told = told(&["org", "create", &value], "name: must be so");
        assert!(
            told.starts_with(r"NAME '\u{1b}xxx") && told.len() < 100,
            "{told}"
        );
    }

    #[test]
    fn what_is_no_field_stays_as_it_is() {
        for message in [
            "line 2: version: must be so",
            "nothing was done",
            "it: is so",
        ] {
            assert_eq!(told(&["org", "create", "a"], message), message);
        }
    }
}
