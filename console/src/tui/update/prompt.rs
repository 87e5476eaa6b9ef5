//! The line below the screen: commands and filters.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::text::fit;
use crate::tui::event::Effect;
use crate::tui::input;
use crate::tui::state::dialog::{Dialog, Help};
use crate::tui::state::filter::Filter;
use crate::tui::state::{PromptKind, Screen, State, agents, audit};

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
    if key.code != KeyCode::Enter {
        input::edit(&mut prompt.input, key);
        return Vec::new();
    }
    let (kind, text) = (prompt.kind, prompt.input.value().trim().to_owned());
    state.prompt = None;
    match kind {
        PromptKind::Command => command(state, &text),
        PromptKind::Filter => {
            filter(state, &text);
            Vec::new()
        }
    }
}

fn command(state: &mut State, text: &str) -> Vec<Effect> {
    let screen = match text {
        "" => return Vec::new(),
        "q" | "quit" => return vec![Effect::Quit],
        "health" => Screen::Health,
        "agents" => Screen::Agents,
        "audit" => Screen::Audit,
        "keys" => Screen::Keys,
        "help" => {
            state.dialog = Some(Dialog::Help(Help::new(state.places(), &state.key_map)));
            return Vec::new();
        }
        "clock" => {
            state.shows_clock = !state.shows_clock;
            return Vec::new();
        }
        other => {
            state.complain(format!(
                "no command :{}; there are :agents :audit :keys :help :clock :q",
                fit(other, 24).trim_end(),
            ));
            return Vec::new();
        }
    };
    super::open_screen(state, screen)
}

fn filter(state: &mut State, text: &str) {
    let is_audit = state.screen == Screen::Audit;
    let keys = if is_audit {
        audit::FILTER_KEYS
    } else {
        agents::FILTER_KEYS
    };
    let filter = match Filter::parse(text, keys) {
        Ok(filter) => filter,
        Err(rule) => return state.complain(rule),
    };
    state.message = None;
    if is_audit {
        state.audit.filter = filter;
    } else if filter.pairs == state.agents.filter.pairs {
        // Only the words changed, and they are matched here.
        state.agents.filter = filter;
        let height = state.list_height();
        state.agents.settle(height);
    } else {
        state.restart_agents(filter);
    }
}
