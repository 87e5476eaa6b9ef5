//! How the console changes: one function from what is known and what happened to what is known
//! next and what is to be done. It does no I/O, so a test is a list of events.

mod actions;
mod confirm;
mod lists;
mod network;
mod prompt;
mod secret;

pub(crate) use self::actions::menu;

use agentidp_shared::Timestamp;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tui_input::Input;

use super::event::{Command, Effect, Event};
use super::input;
use super::keys::{self, Deed};
use super::state::agents::Want;
use super::state::dialog::{Dialog, Help};
use super::state::{Link, Prompt, PromptKind, Screen, State};

/// Takes in `event`, which happened at `now`.
pub(crate) fn update(state: &mut State, now: Timestamp, event: Event) -> Vec<Effect> {
    state.now = now;
    let mut effects = match event {
        Event::Key(key) => press(state, key),
        Event::Paste(text) => {
            paste(state, &text);
            Vec::new()
        }
        Event::Resize(width, height) => {
            state.size = (width, height);
            secret::mask(state);
            Vec::new()
        }
        Event::Tick => Vec::new(),
        Event::Net(event) => network::take_in(state, event),
        Event::SecretWritten(result) => {
            secret::written(state, result);
            Vec::new()
        }
        Event::Copied(result) => {
            secret::copied(state, result);
            Vec::new()
        }
        Event::Terminate => vec![Effect::Quit],
    };
    if state.undo.as_ref().is_some_and(|undo| undo.until <= now) {
        state.undo = None;
    }
    secret::mask_when_due(state);
    if state.link == Link::Live {
        let height = state.list_height();
        effects.extend(state.agents.want(height).map(|want| ask(state, want)));
        let (changed, first) = state.agents.want_changed(now);
        effects.extend(
            changed
                .into_iter()
                .map(|id| Effect::Send(Command::Agent(id))),
        );
        effects.extend(first.map(|want| ask(state, want)));
    }
    effects
}

/// Notes that a page of agents is on its way.
fn ask(state: &mut State, want: Want) -> Effect {
    state.agents.loading = Some(want.page);
    Effect::Send(Command::Agents {
        ticket: state.agents.ticket,
        page: want.page,
        query: state.agents.query(),
        token: want.token,
    })
}

fn press(state: &mut State, key: KeyEvent) -> Vec<Effect> {
    // These two work everywhere: they change nothing but the terminal.
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        match key.code {
            KeyCode::Char('l') => return vec![Effect::Redraw],
            KeyCode::Char('z') => {
                secret::mask(state);
                return vec![Effect::Stop];
            }
            _ => {}
        }
    }
    match &mut state.dialog {
        Some(Dialog::Confirm(_)) => return confirm::press(state, key),
        Some(Dialog::Secret(_)) => return secret::press(state, key),
        Some(Dialog::Entry(_) | Dialog::Help(_)) => {
            read(state, key);
            return Vec::new();
        }
        None => {}
    }
    if state.prompt.is_some() {
        return prompt::press(state, key);
    }
    if state.is_menu_open {
        return actions::choose(state, key);
    }
    match keys::find(state.places(), key) {
        Some(deed) => perform(state, deed),
        None => Vec::new(),
    }
}

fn perform(state: &mut State, deed: Deed) -> Vec<Effect> {
    let screen = match deed {
        Deed::Health => Some(Screen::Health),
        Deed::Agents => Some(Screen::Agents),
        Deed::Credentials => Some(Screen::Credentials),
        Deed::Approvals => Some(Screen::Approvals),
        Deed::Audit => Some(Screen::Audit),
        Deed::Keys => Some(Screen::Keys),
        _ => None,
    };
    if let Some(screen) = screen {
        return open_screen(state, screen);
    }
    match deed {
        Deed::CommandLine => ask_for(state, PromptKind::Command, String::new()),
        Deed::Filter => {
            let text = match state.screen {
                Screen::Audit => state.audit.filter.text.clone(),
                _ => state.agents.filter.text.clone(),
            };
            let more = if text.is_empty() { "" } else { " " };
            ask_for(state, PromptKind::Filter, text + more);
        }
        Deed::Help => state.dialog = Some(Dialog::Help(Help::default())),
        Deed::Back => back(state),
        Deed::Cancel => state.say(":q quits, esc goes back"),
        Deed::Redraw => return vec![Effect::Redraw],
        Deed::Stop => return vec![Effect::Stop],
        Deed::Undo => return actions::undo(state),
        Deed::Menu => actions::open_menu(state),
        Deed::Time => state.shows_ages = !state.shows_ages,
        _ => return lists::perform(state, deed),
    }
    Vec::new()
}

/// Shows a screen, and asks for what it needs.
fn open_screen(state: &mut State, screen: Screen) -> Vec<Effect> {
    state.screen = screen;
    state.message = None;
    if screen == Screen::Keys && state.link == Link::Live {
        return vec![Effect::Send(Command::Keys)];
    }
    Vec::new()
}

fn ask_for(state: &mut State, kind: PromptKind, text: String) {
    state.prompt = Some(Prompt {
        kind,
        input: Input::new(text),
    });
}

/// One step back: a message, then a filter, then the screen. Never out of the console.
fn back(state: &mut State) {
    if state.message.take().is_some() {
        return;
    }
    match state.screen {
        Screen::Agents if !state.agents.filter.text.is_empty() => {
            state
                .agents
                .restart(super::state::filter::Filter::default());
        }
        Screen::Audit if !state.audit.filter.text.is_empty() => {
            state.audit.filter = super::state::filter::Filter::default();
        }
        Screen::Agents => state.say(":q quits"),
        _ => state.screen = Screen::Agents,
    }
}

fn paste(state: &mut State, text: &str) {
    match &mut state.dialog {
        Some(Dialog::Confirm(_)) => confirm::refuse_paste(state),
        Some(Dialog::Secret(dialog)) => {
            if let Some(path) = &mut dialog.path {
                input::paste(path, text);
            }
        }
        Some(Dialog::Help(help)) => input::paste(&mut help.filter, text),
        Some(Dialog::Entry(_)) => {}
        None => match &mut state.prompt {
            Some(prompt) => input::paste(&mut prompt.input, text),
            // A paste is text: where there is no line to put it in, it does nothing.
            None => state.complain("pasted text was dropped: there is nothing to paste it into"),
        },
    }
}

/// Keys in a dialog that is only read.
fn read(state: &mut State, key: KeyEvent) {
    let is_help = matches!(state.dialog, Some(Dialog::Help(_)));
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let half = usize::from(state.size.1) / 2;
    let is_close = match key.code {
        KeyCode::Esc => true,
        KeyCode::Char('c') => control,
        KeyCode::Char('q') | KeyCode::Enter => !is_help || key.code == KeyCode::Enter,
        _ => false,
    };
    if is_close {
        state.dialog = None;
        return;
    }
    let by: isize = match key.code {
        KeyCode::Down => 1,
        KeyCode::Up => -1,
        KeyCode::PageDown => isize::try_from(half).unwrap_or(1),
        KeyCode::PageUp => -isize::try_from(half).unwrap_or(1),
        KeyCode::Char('j') if !is_help => 1,
        KeyCode::Char('k') if !is_help => -1,
        _ => 0,
    };
    match &mut state.dialog {
        Some(Dialog::Entry(dialog)) => {
            let last = dialog.lines().len().saturating_sub(1);
            dialog.top = dialog.top.saturating_add_signed(by).min(last);
        }
        Some(Dialog::Help(help)) if by != 0 => {
            let last = keys::BINDINGS.len();
            help.top = help.top.saturating_add_signed(by).min(last);
        }
        Some(Dialog::Help(help)) => {
            let was_edited = input::edit(&mut help.filter, key);
            help.top = if was_edited { 0 } else { help.top };
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
