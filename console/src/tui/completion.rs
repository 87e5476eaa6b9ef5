//! What a typed line may go on with: the words of the command line, which are clap's, and the
//! records that this console knows.

use agentidp_shared::Action;
use clap::{Arg, CommandFactory as _};

use crate::agent_filter;
use crate::args::Args;
use crate::text::shell_word;

use super::words::Words;

/// The commands of the console itself.
pub(crate) const OWN: &[&str] = &[
    "health",
    "agents",
    "credentials",
    "approvals",
    "audit",
    "keys",
    "help",
    "log",
    "clock",
    "q",
];

/// The names of records that are known here.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) agents: Vec<String>,
    pub(crate) owners: Vec<String>,
    pub(crate) capabilities: Vec<String>,
    pub(crate) organizations: Vec<String>,
    pub(crate) credentials: Vec<String>,
    pub(crate) keys: Vec<String>,
}

/// What may stand in the place of the last word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Completion {
    /// The line up to there.
    pub(crate) head: String,
    /// What may follow, in order.
    pub(crate) candidates: Vec<String>,
    /// The one that stands in the line; none: only what all have in common.
    pub(crate) at: Option<usize>,
}

impl Completion {
    fn new(line: &str, from: usize, last: &str, all: impl IntoIterator<Item = String>) -> Self {
        let mut candidates: Vec<_> = all.into_iter().filter(|it| it.starts_with(last)).collect();
        candidates.sort();
        candidates.dedup();
        Self {
            head: line.get(..from).unwrap_or_default().to_owned(),
            candidates,
            at: None,
        }
    }

    /// The line with what is certain: the only candidate, or what all have in common.
    pub(crate) fn certain(&self, line: &str) -> String {
        let common = match self.candidates.as_slice() {
            [] => return line.to_owned(),
            [only] => return self.with(only, true),
            [first, rest @ ..] => rest.iter().fold(first.as_str(), |common, it| {
                let same = common
                    .char_indices()
                    .zip(it.chars())
                    .find(|((_, one), other)| one != other)
                    .map_or(common.len().min(it.len()), |((at, _), _)| at);
                common.get(..same).unwrap_or_default()
            }),
        };
        self.with(common, false)
    }

    /// The line with the next candidate, or the one before.
    pub(crate) fn turn(&mut self, is_forward: bool) -> Option<String> {
        let count = self.candidates.len();
        if count == 0 {
            return None;
        }
        let at = match (self.at, is_forward) {
            (None, true) => 0,
            (None, false) => count - 1,
            (Some(at), true) => (at + 1) % count,
            (Some(at), false) => (at + count - 1) % count,
        };
        self.at = Some(at);
        Some(self.with(self.candidates.get(at)?, false))
    }

    fn with(&self, word: &str, is_whole: bool) -> String {
        let is_option_value = word.ends_with('=');
        // What may be the beginning of a word is not put between quotes.
        let word = if is_whole {
            shell_word(word)
        } else {
            word.into()
        };
        let space = if is_whole && !is_option_value {
            " "
        } else {
            ""
        };
        format!("{}{word}{space}", self.head)
    }
}

/// What a command may go on with.
pub(crate) fn of_command(line: &str, known: &Known) -> Completion {
    let words = Words::divide(line);
    let mut command = Args::command();
    let mut before = words.before.as_slice();
    if before.is_empty() {
        let nouns = command
            .get_subcommands()
            .map(|it| it.get_name().to_owned())
            .collect::<Vec<_>>();
        let own = OWN.iter().map(ToString::to_string);
        return Completion::new(line, words.last_at, &words.last, own.chain(nouns));
    }
    // Options that work everywhere come down with the build.
    command.build();
    let mut command = &command;
    while let Some((word, rest)) = before.split_first() {
        let Some(found) = command.find_subcommand(word) else {
            break;
        };
        command = found;
        before = rest;
    }
    let all = candidates(command, before, &words.last, known);
    Completion::new(line, words.last_at, &words.last, all)
}

fn candidates(
    command: &clap::Command,
    before: &[String],
    last: &str,
    known: &Known,
) -> Vec<String> {
    let option = |word: &str| {
        command.get_arguments().find(|arg| {
            let is_long = word
                .strip_prefix("--")
                .is_some_and(|it| arg.get_long() == Some(it));
            let mut short = word.chars().skip(1);
            let is_short = word.starts_with('-')
                && short.next() == arg.get_short()
                && arg.get_short().is_some()
                && short.next().is_none();
            is_long || is_short
        })
    };
    if let Some(open) = before
        .last()
        .and_then(|word| option(word))
        .filter(|it| takes_value(it))
    {
        return values(open, known);
    }
    if last.starts_with('-') {
        let longs = command.get_arguments().filter(|it| !it.is_hide_set());
        return longs
            .filter_map(|it| Some(format!("--{}", it.get_long()?)))
            .collect();
    }
    if command.has_subcommands() {
        let names = command.get_subcommands().filter(|it| !it.is_hide_set());
        return names.map(|it| it.get_name().to_owned()).collect();
    }
    // Which of the words without a dash it is.
    let mut place = 0;
    let mut words = before.iter();
    while let Some(word) = words.next() {
        match option(word) {
            Some(arg) if takes_value(arg) => {
                words.next();
            }
            Some(_) => {}
            None => place += usize::from(!word.starts_with('-')),
        }
    }
    let positional = command.get_positionals().nth(place);
    positional.map(|arg| values(arg, known)).unwrap_or_default()
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

/// The values that are known for an argument.
fn values(arg: &Arg, known: &Known) -> Vec<String> {
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        let shown = possible.iter().filter(|it| !it.is_hide_set());
        return shown.map(|it| it.get_name().to_owned()).collect();
    }
    match arg.get_id().as_str() {
        "agent" => known.agents.clone(),
        "org" | "organization" => known.organizations.clone(),
        "credential" => known.credentials.clone(),
        "kid" => known.keys.clone(),
        "owner" => known.owners.clone(),
        "capability" | "capabilities" => known.capabilities.clone(),
        "action" => Action::ALL.iter().map(ToString::to_string).collect(),
        name => words_of(name).iter().map(ToString::to_string).collect(),
    }
}

/// The values that a field of a record may have.
fn words_of(name: &str) -> &'static [&'static str] {
    match name {
        "status" => &[
            "active",
            "suspended",
            "revoked",
            "decommissioned",
            "archived",
        ],
        "type" | "agent_type" => &[
            "screener",
            "classifier",
            "orchestrator",
            "extractor",
            "summarizer",
            "router",
            "monitor",
            "custom",
        ],
        "env" => &["development", "staging", "production"],
        "outcome" => &["success", "denied", "failed"],
        _ => &[],
    }
}

/// What a filter may go on with.
pub(crate) fn of_filter(line: &str, keys: &[&str], known: &Known) -> Completion {
    let from = line.rfind(' ').map_or(0, |at| at + 1);
    let last = line.get(from..).unwrap_or_default();
    let Some(term) = agent_filter::Term::parse(last) else {
        let all = keys.iter().map(|key| format!("{key}="));
        return Completion::new(line, from, last, all);
    };
    let listed = term.value.rfind(',').map_or(0, |at| at + 1);
    let value = term.value.get(listed..).unwrap_or_default().to_owned();
    let from = line.len() - value.len();
    let all = match term.key.as_str() {
        "org" => known.organizations.clone(),
        "agent" | "email" => known.agents.clone(),
        "owner" => known.owners.clone(),
        "capability" => known.capabilities.clone(),
        "action" => Action::ALL.iter().map(ToString::to_string).collect(),
        key => words_of(key).iter().map(ToString::to_string).collect(),
    };
    Completion::new(line, from, &value, all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        Known {
            agents: vec![
                "scr-1@acme.example".to_owned(),
                "scr-2@acme.example".to_owned(),
            ],
            owners: vec!["billing".to_owned()],
            capabilities: vec!["invoice:read".to_owned()],
            organizations: vec!["acme".to_owned()],
            ..Known::default()
        }
    }

    #[test]
    fn a_command_goes_on_with_what_the_command_line_has() {
        for (line, certain) in [
            ("agent su", "agent suspend "),
            ("agent list --stat", "agent list --status "),
            ("agent list --status act", "agent list --status active "),
            ("agent list --org a", "agent list --org acme "),
            ("agent suspend sc", "agent suspend scr-"),
            ("agent suspend scr-2", "agent suspend scr-2@acme.example "),
            (
                "agent suspend --reason x scr-1",
                "agent suspend --reason x scr-1@acme.example ",
            ),
            ("agent list --owner b", "agent list --owner billing "),
            (
                "audit list --action token.is",
                "audit list --action token.issue ",
            ),
            ("status -o nd", "status -o ndjson "),
            ("statu", "status "),
            ("hea", "health "),
            ("nothing such", "nothing such"),
        ] {
            assert_eq!(of_command(line, &known()).certain(line), certain);
        }
    }

    #[test]
    fn candidates_are_gone_through_and_come_round() {
        let mut completion = of_command("agent suspend sc", &known());
        let mut lines = Vec::new();
        for is_forward in [true, true, true, false] {
            lines.push(completion.turn(is_forward).unwrap());
        }
        let (one, two) = (
            "agent suspend scr-1@acme.example",
            "agent suspend scr-2@acme.example",
        );
        assert_eq!(lines, [one, two, one, two]);
    }

    #[test]
    fn a_filter_goes_on_with_its_keys_and_values() {
        for (line, certain) in [
            ("sta", "status="),
            ("owner=x status!=arch", "owner=x status!=archived "),
            ("status=active,susp", "status=active,suspended "),
            ("org=a", "org=acme "),
            ("owner=b", "owner=billing "),
            ("capability=i", "capability=invoice:read "),
            ("e", "e"),
        ] {
            let completion = of_filter(line, agent_filter::KEYS, &known());
            assert_eq!(completion.certain(line), certain);
        }
    }
}
