//! The dialog that confirms a change.

use ratatui::layout::{Position, Rect};
use ratatui::style::Style;

use crate::audit_text::short_id;
use crate::text::{inert, wrap};
use crate::tui::state::confirm::{Act, Confirm, Field, Subject, Tier};
use crate::tui::style::{faint, focus, heading};

use super::canvas::{Canvas, cells};

/// The widest that a dialog gets.
const WIDEST: u16 = 110;

/// How many lines the stakes may take, and the command.
const MOST: (usize, usize) = (3, 4);

/// How wide a dialog is on this terminal.
pub(super) fn width_on(canvas: &Canvas<'_>) -> u16 {
    canvas.area().width.saturating_sub(2).clamp(78, WIDEST)
}

pub(super) fn render(confirm: &Confirm, canvas: &mut Canvas<'_>) -> Option<Position> {
    let badge = match confirm.act.tier() {
        Tier::Reversible => "",
        Tier::Irreversible => "IRREVERSIBLE",
    };
    let width = width_on(canvas);
    let room = usize::from(canvas.inside(width));
    let broken = |text: &str| wrap(&inert(text), room);
    let mut stakes = if confirm.act.has_stakes() {
        broken(&confirm.stakes_text())
    } else {
        Vec::new()
    };
    stakes.truncate(MOST.0);
    let mut command = broken(&format!("same as: {}", confirm.command_line()));
    command.truncate(MOST.1);
    let mut about = broken(&subject(confirm));
    about.truncate(2);
    let consequence = broken(confirm.act.consequence());
    // There is always a line for what there is to say, so that nothing moves when there is.
    let note = broken(confirm.note.as_deref().unwrap_or_default());
    let fields = confirm.act.fields().iter();
    let fields: Vec<_> = fields
        .filter_map(|it| Some((*it, label(confirm, *it)?)))
        .collect();

    let texts = [&about, &consequence, &stakes, &command, &note];
    let lines = texts.iter().map(|it| it.len()).sum::<usize>() + fields.len() + 1;
    // What is apart for the eye closes up where there is no room.
    let apart = u16::from(lines + 4 <= usize::from(canvas.area().height));
    let height = cells(lines) + 2 + 2 * apart;
    let inner = canvas.window((width, height), confirm.act.title(), badge);

    let mut y = inner.y;
    for (text, style) in [
        (&about, heading()),
        (&consequence, Style::new()),
        (&stakes, heading()),
    ] {
        y = canvas.lines(inner, y, text, style);
    }
    y += apart;
    let mut cursor = None;
    for (field, label) in &fields {
        let at = input(confirm, canvas, Rect { y, ..inner }, (*field, label));
        cursor = cursor.or(at);
        y += 1;
    }
    y = canvas.lines(inner, y + apart, &command, faint());
    let style = canvas.palette.warn();
    canvas.lines(inner, y, &note, style);
    buttons(confirm, canvas, inner, inner.bottom().saturating_sub(1));
    cursor
}

/// A field with what is typed in it; gives where the cursor is, when it is here.
fn input(
    confirm: &Confirm,
    canvas: &mut Canvas<'_>,
    place: Rect,
    (field, label): (Field, &str),
) -> Option<Position> {
    let has_focus = confirm.focus == field;
    let style = if has_focus { heading() } else { Style::new() };
    let x = canvas.text(place.x, place.y, label, style) + 1;
    let input = match field {
        Field::Reason => &confirm.reason,
        Field::Typed => &confirm.typed,
        _ => &confirm.period,
    };
    let at = canvas.field(x, place.y, place.right().saturating_sub(x), input);
    has_focus.then_some(at)
}

fn subject(confirm: &Confirm) -> String {
    match &confirm.subject {
        Subject::Credential(agent, credential) => format!(
            "{}  {}  of {}  ({})   rev {}",
            short_id(&credential.id.to_string()),
            credential.kind,
            agent.email,
            agent.owner,
            credential.revision
        ),
        Subject::Agent(agent) => format!(
            "{}  {}  ({})   {}   rev {}",
            short_id(&agent.id.to_string()),
            agent.email,
            agent.owner,
            agent.status,
            agent.revision
        ),
        Subject::Key(key) => format!("{}  {}   {}", key.kid, key.algorithm, key.state),
    }
}

/// What stands before a field that is typed in.
fn label(confirm: &Confirm, field: Field) -> Option<String> {
    match field {
        Field::Reason => Some("Reason  ".to_owned()),
        Field::Typed => {
            let verb = confirm.act.verb().to_lowercase();
            Some(format!("Type {} to {verb}: ", confirm.ending()))
        }
        Field::Period if confirm.act == Act::Rotate => Some("Grace of the old secret  ".to_owned()),
        Field::Period => Some("Expires in (empty: never)  ".to_owned()),
        Field::Cancel | Field::Go => None,
    }
}

fn buttons(confirm: &Confirm, canvas: &mut Canvas<'_>, inner: Rect, y: u16) {
    let verb = confirm.act.verb();
    let locked = confirm.why_locked();
    let go = match &locked {
        None => format!("[ {verb} ]"),
        Some(_) if confirm.sent.is_some() => format!("  {verb} (asking)"),
        Some(_) => format!("  {verb} (locked)"),
    };
    let style = |field, otherwise| {
        if confirm.focus == field {
            focus()
        } else {
            otherwise
        }
    };
    let hint = match confirm.act.tier() {
        _ if confirm.focus.is_typed() => "enter next   esc cancel",
        Tier::Reversible => "y/N   tab next   esc cancel",
        Tier::Irreversible => "tab next   esc cancel",
    };
    canvas.text(inner.x, y, hint, faint());
    let otherwise = if locked.is_some() {
        faint()
    } else {
        Style::new()
    };
    canvas.right(inner.right(), y, &go, style(Field::Go, otherwise));
    let end = inner.right().saturating_sub(cells(go.len()) + 3);
    canvas.right(end, y, "[ Cancel ]", style(Field::Cancel, Style::new()));
}
