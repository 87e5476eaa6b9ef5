//! How the console changes: one function from what is known and what happened to what is known
//! next and what is to be done. It does no I/O, so a test is a list of events.

mod actions;
mod bulk;
mod command;
mod confirm;
mod follow;
mod lists;
mod network;
mod prompt;
mod records;
mod search;
mod secret;
mod silent;

pub(crate) use self::actions::menu;

use agentidp_shared::Timestamp;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tui_input::Input;

use super::event::{Command, Effect, Event};
use super::input;
use super::key_name::pressed;
use super::keys::Deed;
use super::state::agents::Want;
use super::state::dialog::{Dialog, Help, Reader};
use super::state::health::EVERY;
use super::state::{Link, Prompt, PromptKind, Screen, State};

/// Takes in `event`, which happened at `now`.
pub(crate) fn update(state: &mut State, now: Timestamp, event: Event) -> Vec<Effect> {
    state.now = now;
    let mut effects = match event {
        Event::Key(key) => {
            if let Some(demo) = &mut state.demo {
                demo.press(pressed(key), now);
            }
            press(state, key)
        }
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
        Event::SecretPiped(result) => {
            secret::piped(state, result);
            Vec::new()
        }
        Event::Copied(result) => {
            secret::copied(state, result);
            Vec::new()
        }
        Event::Ran(number, output) => {
            command::ran(state, number, &output);
            Vec::new()
        }
        Event::Exported(result) => {
            match result {
                Ok(path) => state.say(format!("written to {}", path.display())),
                Err(error) => state.complain(error),
            }
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
        effects.extend(follow_screen(state, height));
    }
    if let Some(demo) = &mut state.demo {
        demo.pass(now);
    }
    effects
}

/// What the screen that is shown asks for by itself.
fn follow_screen(state: &mut State, height: usize) -> Vec<Effect> {
    match state.screen {
        Screen::Credentials => {
            let (ticket, kind) = (state.credentials.ticket, state.credentials.kind);
            let token = state.credentials.want(height);
            let ask = token.map(|token| {
                Effect::Send(Command::Credentials {
                    ticket,
                    kind,
                    token,
                })
            });
            ask.into_iter().collect()
        }
        Screen::Detail => {
            let now = state.now;
            let due = state.detail.as_mut().filter(|it| it.wants_activity(now));
            let ask = due.map(|detail| {
                detail.activity_asked = Some(now);
                Effect::Send(Command::Activity(detail.agent.id))
            });
            ask.into_iter().collect()
        }
        Screen::Health => {
            let is_due = |asked| state.now.since(asked) >= EVERY;
            if state.health.asked.is_none_or(is_due) {
                return ask_for_health(state);
            }
            Vec::new()
        }
        _ => Vec::new(),
    }
}

/// Notes that a page of agents is on its way.
fn ask(state: &mut State, want: Want) -> Effect {
    state.agents.loading = Some(want.page);
    Effect::Send(Command::Agents {
        ticket: state.agents.ticket,
        page: want.page,
        query: Box::new(state.agents.query()),
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
        Some(Dialog::Bulk(_)) => return bulk::press(state, key),
        Some(Dialog::Reader(reader)) if key.code == KeyCode::Char('y') => {
            return vec![Effect::Copy(reader.copied.clone().into())];
        }
        Some(Dialog::Reader(_) | Dialog::Help(_)) => {
            read(state, key);
            return Vec::new();
        }
        None => {}
    }
    if state.prompt.is_some() {
        return prompt::press(state, key);
    }
    if state.menu.is_some() {
        return actions::choose(state, key);
    }
    if let Some(deed) = state.key_map.find(state.places(), key) {
        return perform(state, deed);
    }
    silent::nothing(state, key);
    Vec::new()
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
        Deed::Help => {
            let help = Help::new(state.places(), &state.key_map);
            state.dialog = Some(Dialog::Help(help));
        }
        Deed::CommandLog => command::show_log(state),
        Deed::Back => back(state),
        Deed::Cancel if state.running.is_some() => return command::stop(state),
        Deed::Cancel => state.remark(":q quits, esc goes back"),
        Deed::Redraw => return vec![Effect::Redraw],
        Deed::Stop => return vec![Effect::Stop],
        Deed::Undo => return actions::undo(state),
        Deed::Menu => actions::open_menu(state),
        Deed::MenuOfAll => actions::open_menu_of_all(state),
        Deed::Time if state.screen == Screen::Audit => {
            state.audit_times = state.audit_times.next();
        }
        Deed::Time => {
            state.times = state.times.next();
            state.remark(format!("times: {}", state.times.word()));
        }
        Deed::Search => ask_for(state, PromptKind::Search, String::new()),
        Deed::NextMatch => search::go(state, true),
        Deed::MatchBefore => search::go(state, false),
        Deed::Export => {
            let day = state.now.to_string();
            let time: String = day.chars().filter(char::is_ascii_digit).take(14).collect();
            ask_for(state, PromptKind::Export, format!("audit-{time}.ndjson"));
        }
        Deed::Copy => return records::copy(state),
        Deed::Json => records::show(state),
        _ => return lists::perform(state, deed),
    }
    Vec::new()
}

/// Shows a screen, and asks for what it needs.
fn open_screen(state: &mut State, screen: Screen) -> Vec<Effect> {
    state.screen = screen;
    state.message = None;
    if state.link != Link::Live {
        return Vec::new();
    }
    match screen {
        Screen::Keys => return vec![Effect::Send(Command::Keys)],
        Screen::Health => return ask_for_health(state),
        Screen::Credentials => state.credentials.restart(false),
        _ => {}
    }
    Vec::new()
}

fn ask_for_health(state: &mut State) -> Vec<Effect> {
    state.health.asked = Some(state.now);
    vec![Effect::Send(Command::Health)]
}

fn ask_for(state: &mut State, kind: PromptKind, text: String) {
    state.prompt = Some(Prompt {
        kind,
        input: Input::new(text),
        completion: None,
        recalled: None,
    });
}

/// One step back: a message, then a search, a filter, and then the screen. Never out of the console.
fn back(state: &mut State) {
    if state.message.take().is_some() {
        return;
    }
    match state.screen {
        Screen::Agents if state.agents.marks.anchor.take().is_some() => {}
        Screen::Agents if !state.agents.filter.text.is_empty() => {
            state.restart_agents(super::state::filter::Filter::default());
        }
        Screen::Audit if !state.audit.search.is_empty() => state.audit.search.clear(),
        Screen::Audit if !state.audit.filter.text.is_empty() => prompt::filter_nothing(state),
        Screen::Agents => state.remark(":q quits"),
        Screen::Detail => {
            state.screen = state.detail.as_ref().map_or(Screen::Agents, |it| it.from);
        }
        _ => state.screen = Screen::Agents,
    }
}

fn paste(state: &mut State, text: &str) {
    match &mut state.dialog {
        Some(Dialog::Confirm(_)) => confirm::refuse_paste(state),
        Some(Dialog::Bulk(_)) => bulk::refuse_paste(state),
        Some(Dialog::Secret(dialog)) => {
            if let Some(path) = &mut dialog.path {
                input::paste(path, text);
            }
        }
        Some(Dialog::Help(help)) if help.is_typing => input::paste(&mut help.filter, text),
        Some(Dialog::Help(_) | Dialog::Reader(_)) => {}
        None => match &mut state.prompt {
            Some(prompt) => input::paste(&mut prompt.input, text),
            // A paste is text: where there is no line to put it in, it does nothing.
            None => state.complain("pasted text was dropped: there is nothing to paste it into"),
        },
    }
}

/// Keys in a dialog that is only read.
fn read(state: &mut State, key: KeyEvent) {
    let size = state.size;
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let is_typing = matches!(&state.dialog, Some(Dialog::Help(help)) if help.is_typing);
    let is_close = match key.code {
        KeyCode::Esc => true,
        KeyCode::Char('c') if control => true,
        KeyCode::Char('q') | KeyCode::Enter => !is_typing,
        _ => false,
    };
    if is_close {
        if let Some(Dialog::Reader(reader)) = &state.dialog
            && reader.was_following
        {
            state.audit.follow();
        }
        state.dialog = None;
        return;
    }
    let (top, last) = match &mut state.dialog {
        Some(Dialog::Reader(dialog)) => {
            match key.code {
                KeyCode::Right | KeyCode::Char('l') => dialog.go_sideways(true, size),
                KeyCode::Left | KeyCode::Char('h') => dialog.go_sideways(false, size),
                _ => {}
            }
            let rows = dialog.rows(size).len();
            let last = rows.saturating_sub(Reader::height(size));
            (&mut dialog.top, last)
        }
        Some(Dialog::Help(help)) => {
            let starts = key.code == KeyCode::Char('/') && !help.is_typing;
            let was_edited = help.is_typing && input::edit(&mut help.filter, key);
            if starts || key.code == KeyCode::Enter {
                help.is_typing = starts;
            }
            if was_edited {
                help.top = 0;
                return;
            }
            let last = help.lines().len().saturating_sub(Help::height(size));
            (&mut help.top, last)
        }
        _ => return,
    };
    let half = isize::try_from(size.1 / 2).unwrap_or(1);
    let by = match key.code {
        KeyCode::Down => 1,
        KeyCode::Up => -1,
        KeyCode::PageDown => half,
        KeyCode::PageUp => -half,
        KeyCode::End => isize::MAX,
        KeyCode::Home => isize::MIN,
        KeyCode::Char(c) if control => match c {
            'd' => half,
            'u' => -half,
            _ => 0,
        },
        KeyCode::Char(c) if !is_typing => match c {
            'j' => 1,
            'k' => -1,
            'G' => isize::MAX,
            'g' => isize::MIN,
            _ => 0,
        },
        _ => 0,
    };
    *top = (*top).min(last).saturating_add_signed(by).min(last);
}

#[cfg(test)]
mod tests;
