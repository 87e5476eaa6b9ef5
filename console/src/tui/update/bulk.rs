//! The dialog that changes many agents: counted first, confirmed by the count, then watched.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::actions;
use crate::text::{counted, thousands};
use crate::tui::event::{Command, Effect};
use crate::tui::input;
use crate::tui::state::bulk::{Bulk, Many, Stage, Sums};
use crate::tui::state::confirm::{Act, Field};
use crate::tui::state::dialog::{DEAF, Dialog};
use crate::tui::state::log::AnswerTo;
use crate::tui::state::marks::Pinned;
use crate::tui::state::{State, Undo, Undoing};

/// Opens the dialog, and has the daemon count what is not known here.
pub(super) fn open(state: &mut State, act: Act, many: Many) -> Vec<Effect> {
    state.bulk_ticket += 1;
    let bulk = Bulk::new(state.bulk_ticket, act, many, state.now);
    let effects = match (bulk.stage, bulk.order(true)) {
        (Stage::Counting, Some(order)) => vec![Effect::Send(Command::Bulk(Box::new(order)))],
        _ => Vec::new(),
    };
    state.dialog = Some(Dialog::Bulk(Box::new(bulk)));
    effects
}

/// A key while the dialog is open.
pub(super) fn press(state: &mut State, key: KeyEvent) -> Vec<Effect> {
    let now = state.now;
    let why_read_only = state.why_read_only();
    let Some(Dialog::Bulk(bulk)) = &mut state.dialog else {
        return Vec::new();
    };
    if now.since(bulk.opened) < DEAF {
        return Vec::new();
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    if key.code == KeyCode::Esc || (control && key.code == KeyCode::Char('c')) {
        return leave(state);
    }
    // It is offered for seconds, and stands on the screen below.
    if bulk.stage == Stage::Over && key.code == KeyCode::Char('U') {
        if state.undo.is_some() {
            state.dialog = None;
            return actions::undo(state);
        }
        bulk.note = Some("nothing to undo, or not any more".to_owned());
        return Vec::new();
    }
    if !bulk.stage.has_fields() {
        let closes = key.code == KeyCode::Enter && bulk.stage != Stage::Working;
        return if closes { leave(state) } else { Vec::new() };
    }
    bulk.note = None;
    let on_button = !bulk.focus.is_typed();
    match key.code {
        KeyCode::Tab | KeyCode::Down => bulk.turn(true),
        KeyCode::BackTab | KeyCode::Up => bulk.turn(false),
        KeyCode::Left | KeyCode::Right if on_button => {
            bulk.focus = match bulk.focus {
                Field::Go => Field::Cancel,
                _ => Field::Go,
            };
        }
        KeyCode::Enter => match bulk.focus {
            Field::Cancel => return leave(state),
            Field::Go => return go(state, why_read_only),
            // As in the dialog of one: what is complete is a key away from being done.
            _ if bulk.why_locked().is_none() => bulk.focus = Field::Go,
            // As there, too: whoever mistypes goes on typing.
            Field::Typed if bulk.is_mistyped() => {
                bulk.note = Some(format!("that is not {}: type it again", bulk.count()));
            }
            _ => bulk.turn(true),
        },
        _ => {
            if let Some(input) = bulk.input() {
                input::edit(input, key);
            }
        }
    }
    Vec::new()
}

/// Closes the dialog; what is under way is stopped first, and its sums stay to be read.
fn leave(state: &mut State) -> Vec<Effect> {
    let Some(Dialog::Bulk(bulk)) = &mut state.dialog else {
        return Vec::new();
    };
    match bulk.stage {
        Stage::Working => {
            bulk.stage = Stage::Stopping;
            bulk.note = Some("stopping".to_owned());
            vec![Effect::Send(Command::StopBulk)]
        }
        Stage::Counting => {
            state.dialog = None;
            state.remark("nothing was done");
            vec![Effect::Send(Command::StopBulk)]
        }
        Stage::Deciding => {
            state.dialog = None;
            state.remark("nothing was done");
            Vec::new()
        }
        Stage::Stopping | Stage::Over => {
            state.dialog = None;
            Vec::new()
        }
    }
}

fn go(state: &mut State, why_read_only: Option<String>) -> Vec<Effect> {
    let Some(Dialog::Bulk(bulk)) = &mut state.dialog else {
        return Vec::new();
    };
    if let Some(why) = why_read_only.or_else(|| bulk.why_locked()) {
        bulk.note = Some(why);
        return Vec::new();
    }
    let Some(order) = bulk.order(false) else {
        return Vec::new();
    };
    bulk.begin();
    state.undo = None;
    let asked = AnswerTo::Bulk(bulk.ticket);
    state.log.begin(state.now, asked, order.command_lines());
    vec![Effect::Send(Command::Bulk(Box::new(order)))]
}

/// The connection tells how far it is, and at the end, whatever that is, which agents were moved.
pub(super) fn progressed(
    state: &mut State,
    ticket: u64,
    sums: Sums,
    over: Option<Result<(), String>>,
    moved: Vec<Pinned>,
) {
    if let Some(result) = &over {
        state.log.end(&AnswerTo::Bulk(ticket), result.clone());
    }
    if state.undoing == Some(Undoing::Many(ticket)) {
        if let Some(result) = over {
            state.undoing = None;
            undone(state, &sums, result);
        }
        return;
    }
    let count = moved.len() as u64;
    let undo = Undo::of(moved, state.now);
    let is_offered = undo.is_some();
    if is_offered {
        state.undo = undo;
    }
    let its_dialog = match &mut state.dialog {
        Some(Dialog::Bulk(bulk)) if bulk.ticket == ticket => Some(bulk),
        _ => None,
    };
    let Some(bulk) = its_dialog else {
        // It was closed before the end of what it stopped.
        if let Some(Err(why)) = over
            && count > 0
        {
            state.complain(why);
        }
        return;
    };
    if matches!(bulk.stage, Stage::Deciding | Stage::Over) {
        return;
    }
    if sums.matched > 0 || bulk.stage == Stage::Counting {
        bulk.went_on(sums);
    }
    match over {
        None => return,
        Some(Err(why)) => {
            bulk.note = Some(if is_offered {
                format!("{why}; U takes back {}", thousands(count))
            } else {
                why
            });
            bulk.stage = Stage::Over;
            return;
        }
        Some(Ok(())) if bulk.stage == Stage::Counting => {
            bulk.stage = Stage::Deciding;
            return;
        }
        Some(Ok(())) => bulk.stage = Stage::Over,
    }
    let verb = bulk.act.verb().to_lowercase();
    let text = format!("{verb}: {} done", counted(bulk.sums.done, "agent"));
    if matches!(bulk.many, Many::Marked(_)) {
        state.agents.marks.clear();
    }
    state.say(text);
}

/// Tells what came of an undo of many: each was taken back at the revision that it was left at, if at all.
fn undone(state: &mut State, sums: &Sums, result: Result<(), String>) {
    let done = thousands(sums.done);
    let are = match (sums.refused, sums.first_refused.first()) {
        (0, _) | (_, None) if result.is_ok() => {
            return state.say(format!("{done} agents are as they were"));
        }
        (0, _) | (_, None) => format!(
            "{done} of {} agents are as they were",
            thousands(sums.matched)
        ),
        (refused, Some(first)) => format!(
            "{done} of {} agents are as they were, {} refused: {}: {}",
            thousands(sums.matched),
            thousands(refused),
            first.email,
            first.message
        ),
    };
    state.complain(match result {
        Ok(()) => are,
        Err(why) => format!("{why}; {are}"),
    });
}

/// The count is typed: a paste may hold anything.
pub(super) fn refuse_paste(state: &mut State) {
    if let Some(Dialog::Bulk(bulk)) = &mut state.dialog
        && bulk.stage.has_fields()
    {
        bulk.note = Some("pasting is refused here: type it".to_owned());
    }
}
