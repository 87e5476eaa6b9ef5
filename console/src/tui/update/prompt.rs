//! The line below the screen: commands and filters.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tui_input::Input;

use super::{command, search};
use crate::tui::event::{Command, Effect};
use crate::tui::state::filter::Filter;
use crate::tui::state::{PromptKind, Screen, State, agents, audit};
use crate::tui::{completion, input};

/// A key while a line is typed.
pub(super) fn press(state: &mut State, key: KeyEvent) -> Vec<Effect> {
    let Some(prompt) = &mut state.prompt else {
        return Vec::new();
    };
    let is_cancel = key.code == KeyCode::Esc
        || (key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL))
        || (key.code == KeyCode::Backspace && prompt.input.value().is_empty());
    if is_cancel {
        state.prompt = None;
        return Vec::new();
    }
    match key.code {
        KeyCode::Enter => {}
        KeyCode::Tab | KeyCode::BackTab => {
            complete(state, key.code == KeyCode::Tab);
            return Vec::new();
        }
        KeyCode::Up | KeyCode::Down => {
            recall(state, key.code == KeyCode::Up);
            return Vec::new();
        }
        _ => {
            prompt.completion = None;
            input::edit(&mut prompt.input, key);
            return Vec::new();
        }
    }
    let (kind, text) = (prompt.kind, prompt.input.value().trim().to_owned());
    if kind == PromptKind::Filter {
        return filter(state, &text);
    }
    state.prompt = None;
    match kind {
        PromptKind::Command => return command::perform(state, &text),
        PromptKind::Filter => {}
        PromptKind::Search => search::begin(state, &text),
        PromptKind::Export if text.is_empty() => {}
        PromptKind::Export => return search::export(state, &text),
    }
    Vec::new()
}

/// Goes on with what is certain, and then through what is possible.
fn complete(state: &mut State, is_forward: bool) {
    let known = state.known();
    let is_audit = state.screen == Screen::Audit;
    let Some(prompt) = &mut state.prompt else {
        return;
    };
    if let Some(completion) = &mut prompt.completion {
        if let Some(line) = completion.turn(is_forward) {
            prompt.input = Input::new(line);
        }
        return;
    }
    let line = prompt.input.value().to_owned();
    let completion = match prompt.kind {
        PromptKind::Command => completion::of_command(&line, &known),
        PromptKind::Filter if is_audit => completion::of_filter(&line, audit::FILTER_KEYS, &known),
        PromptKind::Filter => completion::of_filter(&line, agents::FILTER_KEYS, &known),
        PromptKind::Search | PromptKind::Export => return,
    };
    prompt.input = Input::new(completion.certain(&line));
    let is_empty = completion.candidates.is_empty();
    prompt.completion = Some(completion).filter(|it| it.candidates.len() > 1);
    if is_empty {
        state.remark("nothing that is known here goes on like this");
    }
}

/// Goes through the commands of before.
fn recall(state: &mut State, is_older: bool) {
    let Some(prompt) = &mut state.prompt else {
        return;
    };
    if prompt.kind != PromptKind::Command {
        return;
    }
    prompt.completion = None;
    let (at, typed) = match prompt.recalled.take() {
        Some((at, typed)) => (Some(at), typed),
        None => (None, prompt.input.value().to_owned()),
    };
    let to = match (at, is_older) {
        (None, true) => Some(0),
        (Some(at), true) => Some((at + 1).min(state.history.len().saturating_sub(1))),
        (None | Some(0), false) => None,
        (Some(at), false) => Some(at - 1),
    };
    let line = to.and_then(|to| state.history.iter().rev().nth(to));
    prompt.input = Input::new(line.unwrap_or(&typed).clone());
    prompt.recalled = to.filter(|_| line.is_some()).map(|to| (to, typed));
}

/// Lets everything in the log through.
pub(super) fn filter_nothing(state: &mut State) {
    // An empty filter breaks no rule and names no agent.
    let clock = state.audit_clock();
    let _ = state.audit.filter_by(Filter::default(), &clock);
}

/// The log is filtered here, and only the daemon knows whom the filter names.
fn filter_log(state: &mut State, text: &str) -> Result<Vec<Effect>, String> {
    let filter = Filter::parse(text, audit::FILTER_KEYS)?;
    let clock = state.audit_clock();
    let names = state.audit.filter_by(filter, &clock)?;
    let ask = |name| Effect::Send(Command::Name(name));
    Ok(names.into_iter().map(ask).collect())
}

/// Filters by what was typed. What is refused stays there to be put right.
fn filter(state: &mut State, text: &str) -> Vec<Effect> {
    let filtered = if state.screen == Screen::Audit {
        filter_log(state, text)
    } else {
        filter_agents(state, text).map(|()| Vec::new())
    };
    match filtered {
        Ok(effects) => {
            state.prompt = None;
            state.message = None;
            if state.screen == Screen::Audit
                && let Some(span) = state.audit_span()
            {
                state.remark(span);
            }
            effects
        }
        Err(rule) => {
            state.complain(rule);
            Vec::new()
        }
    }
}

fn filter_agents(state: &mut State, text: &str) -> Result<(), String> {
    let filter = Filter::parse(text, agents::FILTER_KEYS)?;
    let org = filter.pairs.iter().find(|it| it.key == "org");
    if let Some(why) = org.and_then(|it| state.why_no_organization(&it.value)) {
        return Err(why);
    }
    if filter.pairs == state.agents.filter.pairs {
        // Only the words changed, and they are matched here.
        state.agents.filter = filter;
        let height = state.list_height();
        state.agents.settle(height);
        return Ok(());
    }
    state.agents.restart(filter, state.now)
}
