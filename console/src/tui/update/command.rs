//! Typed commands: the console's own, and those of the command line.

use clap::{ArgMatches, CommandFactory as _};

use crate::args::Args;
use crate::text::{fit, shell_word};
use crate::tui::completion::OWN;
use crate::tui::event::Effect;
use crate::tui::run::Output;
use crate::tui::state::dialog::{Dialog, Help, Reader};
use crate::tui::state::log::AnswerTo;
use crate::tui::state::{Screen, State};
use crate::tui::words::Words;

/// How many commands are remembered.
const HISTORY: usize = 200;

/// The verbs of the command line that change nothing. What is not here may change something.
const READING: &[(&str, &[&str])] = &[
    ("org", &["list", "show"]),
    ("agent", &["list", "show"]),
    ("credential", &["list", "review", "show"]),
    ("token", &["inspect"]),
    (
        "audit",
        &["checkpoint", "key", "list", "prove", "show", "verify"],
    ),
    ("key", &["list", "show"]),
];

/// The same for those that have no verb.
const READING_ALONE: &[&str] = &["status", "diagnose", "completions", "help"];

/// Does what a typed line says.
pub(super) fn perform(state: &mut State, text: &str) -> Vec<Effect> {
    remember(state, text);
    let screen = match text {
        "" => return Vec::new(),
        "q" | "quit" => return vec![Effect::Quit],
        "health" => Screen::Health,
        "agents" => Screen::Agents,
        "credentials" => Screen::Credentials,
        "approvals" => Screen::Approvals,
        "audit" => Screen::Audit,
        "keys" => Screen::Keys,
        "help" => {
            let help = Help::new(state.places(), &state.key_map);
            state.dialog = Some(Dialog::Help(help));
            return Vec::new();
        }
        "log" => {
            show_log(state);
            return Vec::new();
        }
        "clock" => {
            state.shows_clock = !state.shows_clock;
            return Vec::new();
        }
        _ => return start(state, text),
    };
    super::open_screen(state, screen)
}

/// Shows what was done here.
pub(super) fn show_log(state: &mut State) {
    let reader = Reader::text("What was done here", &state.log.text());
    state.dialog = Some(Dialog::Reader(Box::new(reader)));
}

fn remember(state: &mut State, text: &str) {
    if text.is_empty() || state.history.last().is_some_and(|last| last == text) {
        return;
    }
    state.history.push(text.to_owned());
    if state.history.len() > HISTORY {
        state.history.remove(0);
    }
}

/// Starts a command of the command line.
fn start(state: &mut State, text: &str) -> Vec<Effect> {
    let mut words = match Words::all(text) {
        Ok(words) => words,
        Err(why) => {
            state.complain(why);
            return Vec::new();
        }
    };
    if words.first().is_some_and(|it| it == "agentidp") {
        words.remove(0);
    }
    let command = Args::command();
    let noun = words.first().map(String::as_str).unwrap_or_default();
    if OWN.contains(&noun) && command.find_subcommand(noun).is_none() {
        state.complain(format!(":{noun} stands alone: nothing comes after it"));
        return Vec::new();
    }
    if command.find_subcommand(noun).is_none() {
        state.complain(format!(
            "no command :{}; tab shows what there is",
            fit(noun, 24).trim_end(),
        ));
        return Vec::new();
    }
    let line = ["agentidp"]
        .into_iter()
        .chain(words.iter().map(String::as_str));
    // Help and errors are the command line's own.
    let matches = match command.try_get_matches_from(line) {
        Ok(matches) => matches,
        Err(error) => {
            let reader = Reader::text(format!("agentidp {text}"), &error.render().to_string());
            state.dialog = Some(Dialog::Reader(Box::new(reader)));
            return Vec::new();
        }
    };
    if let Some(why) = why_not(state, &matches) {
        state.complain(why);
        return Vec::new();
    }
    state.runs += 1;
    let quoted: Vec<_> = words.iter().map(|it| shell_word(it)).collect();
    let line = format!("agentidp {}", quoted.join(" "));
    state
        .log
        .begin(state.now, AnswerTo::Run(state.runs), vec![line.clone()]);
    state.remark(format!("{line}: ^c ends it"));
    state.running = Some((state.runs, line));
    vec![Effect::Run(state.runs, words)]
}

/// Why a command is not run here; none when it is.
fn why_not(state: &State, matches: &ArgMatches) -> Option<String> {
    let (noun, verb, options) = named(matches);
    let has = |option| matches!(options.try_contains_id(option), Ok(true));
    if let Some((_, line)) = &state.running {
        return Some(format!("{line} still runs: ^c ends it"));
    }
    if matches!(noun, "man" | "completions") {
        return Some(format!(
            "this is for files that a shell reads: agentidp {noun}"
        ));
    }
    if has("watch") || (noun, verb) == ("audit", "tail") {
        return Some("this would not end: the screens follow by themselves, 5 the log".to_owned());
    }
    let is_secret = noun == "credential" && matches!(verb, "issue" | "rotate");
    if is_secret && !has("secret_out") && !has("public_key") {
        return Some(
            "this would print a secret: use a in the agent's screen, or add --secret-out FILE"
                .to_owned(),
        );
    }
    let is_dry = matches!(options.try_get_one("dry_run"), Ok(Some(true)));
    if is_dry || is_reading(noun, verb) {
        return None;
    }
    let why = state.is_read_only.then(|| state.why_read_only()).flatten();
    why.map(|why| format!("cannot do that: {why}"))
}

/// The noun, the verb if there is one, and what was given to them. Options of every command may stand
/// between the words, so the words' places tell nothing.
fn named(matches: &ArgMatches) -> (&str, &str, &ArgMatches) {
    let Some((noun, options)) = matches.subcommand() else {
        return ("", "", matches);
    };
    match options.subcommand() {
        Some((verb, options)) => (noun, verb, options),
        None => (noun, "", options),
    }
}

fn is_reading(noun: &str, verb: &str) -> bool {
    READING_ALONE.contains(&noun)
        || READING
            .iter()
            .any(|(it, verbs)| *it == noun && verbs.contains(&verb))
}

/// Ends the command that runs.
pub(super) fn stop(state: &mut State) -> Vec<Effect> {
    if let Some((number, line)) = state.running.take() {
        let why = "ended by the operator".to_owned();
        state.log.end(&AnswerTo::Run(number), Err(why));
        state.complain(format!("{line}: ended; what it did stays"));
    }
    vec![Effect::StopRun]
}

/// A command ended: what it gave is shown.
pub(super) fn ran(state: &mut State, number: u64, output: &Output) {
    let Some((_, line)) = state.running.take_if(|(running, _)| *running == number) else {
        return;
    };
    let told = output.told.trim_end();
    let result = if output.is_done {
        Ok(())
    } else {
        Err(told.lines().next().unwrap_or("it failed").to_owned())
    };
    state.log.end(&AnswerTo::Run(number), result);
    let mut text = output.data.trim_end().to_owned();
    if !told.is_empty() {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str(told);
    }
    if output.is_cut {
        text.push_str("\n\nThere is more than is kept here: run it in a shell.");
    }
    if !output.is_done {
        let code = output.code.map_or_else(String::new, |it| format!(" {it}"));
        text.extend([format!("\n\nexit code{code}")]);
    }
    if text.is_empty() {
        "done".clone_into(&mut text);
    }
    state.message = None;
    // A dialog that is open is not taken away: the log has the line, and this the answer.
    if state.dialog.is_some() || state.prompt.is_some() {
        let first = text.lines().next().unwrap_or_default().to_owned();
        if output.is_done {
            state.say(first);
        } else {
            state.complain(first);
        }
        return;
    }
    let reader = Reader::answer(line, &text);
    state.dialog = Some(Dialog::Reader(Box::new(reader)));
}
