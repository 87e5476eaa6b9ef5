//! The command lines that do what the screens do, so that every dialog can name its own.

use agentidp_shared::agent::Transition;

use crate::client::word;
use crate::text::shell_word;

/// Whether a transition has to be given a reason.
const fn needs_reason(transition: Transition) -> bool {
    !matches!(transition, Transition::Resume | Transition::Archive)
}

/// The line that moves one agent.
pub(crate) fn transition(
    transition: Transition,
    email: &str,
    revision: u64,
    reason: &str,
) -> String {
    let line = CommandLine::new(&format!("agent {}", word(transition)), email).revision(revision);
    with_reason(line, transition, reason).into_text()
}

/// The line that moves all agents that a filter lets through.
pub(crate) fn transition_many(transition: Transition, filter: &str, reason: &str) -> String {
    let line = CommandLine::bare(&format!("agent {}", word(transition))).word("--filter", filter);
    let needs_yes = !needs_reason(transition);
    let line = with_reason(line, transition, reason);
    if needs_yes { line.yes() } else { line }.into_text()
}

fn with_reason(line: CommandLine, transition: Transition, reason: &str) -> CommandLine {
    if needs_reason(transition) {
        line.reason(reason).yes()
    } else if reason.is_empty() {
        line
    } else {
        line.reason(reason)
    }
}

/// A command line under construction.
#[derive(Debug, Clone)]
pub(crate) struct CommandLine(String);

impl CommandLine {
    /// `agentidp NOUN VERB`
    pub(crate) fn bare(noun_and_verb: &str) -> Self {
        Self(format!("agentidp {noun_and_verb}"))
    }

    /// Adds an option with a word.
    pub(crate) fn word(mut self, option: &str, value: &str) -> Self {
        self.option(option, &shell_word(value));
        self
    }

    /// Adds an option that stands alone.
    pub(crate) fn flag(mut self, option: &str) -> Self {
        self.0.push(' ');
        self.0.push_str(option);
        self
    }

    /// `agentidp NOUN VERB SUBJECT`
    pub(crate) fn new(noun_and_verb: &str, subject: &str) -> Self {
        Self(format!("agentidp {noun_and_verb} {}", shell_word(subject)))
    }

    fn option(&mut self, name: &str, value: &str) {
        for part in [" ", name, " ", value] {
            self.0.push_str(part);
        }
    }

    /// Pins the revision.
    pub(crate) fn revision(mut self, revision: u64) -> Self {
        self.option("--rev", &revision.to_string());
        self
    }

    /// Adds the reason; one that is not there yet stands as `'…'`.
    pub(crate) fn reason(mut self, reason: &str) -> Self {
        let word = if reason.is_empty() {
            "'...'".into()
        } else {
            shell_word(reason)
        };
        self.option("--reason", &word);
        self
    }

    /// Adds an option with a duration, when there is one.
    pub(crate) fn duration(mut self, option: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.option(option, &shell_word(value));
        }
        self
    }

    /// Adds `--yes`.
    pub(crate) fn yes(self) -> Self {
        self.flag("--yes")
    }

    /// The text.
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Args;

    #[test]
    fn a_named_command_line_is_one_that_works() {
        for line in [
            CommandLine::new("agent suspend", "a@acme.example")
                .revision(4)
                .reason("leak")
                .yes(),
            CommandLine::new("agent resume", "a@acme.example").revision(4),
            CommandLine::new("credential revoke", "c")
                .revision(4)
                .reason("")
                .yes(),
            CommandLine::new("credential issue", "a@acme.example")
                .duration("--expires-in", Some("90m")),
            CommandLine::new("credential rotate", "c")
                .duration("--grace", None)
                .revision(2),
        ] {
            let text = line.into_text();
            let words = text.split(' ').map(|word| word.trim_matches('\''));
            assert!(Args::try_parse_from(words).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_reason_is_quoted_for_the_shell() {
        let line = CommandLine::new("agent revoke", "a").reason("it's out");
        assert_eq!(
            line.into_text(),
            r"agentidp agent revoke a --reason 'it'\''s out'"
        );
    }
}
