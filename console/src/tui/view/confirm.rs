//! The dialog that confirms a change.

use ratatui::layout::{Position, Rect};
use ratatui::style::Style;

use crate::audit_text::short_id;
use crate::text::wrap;
use crate::tui::state::confirm::{Act, Confirm, Field, Subject, Tier};
use crate::tui::style::{faint, focus, heading};

use super::canvas::{Canvas, cells};

/// The width of the dialog.
const WIDTH: u16 = 78;

pub(super) fn render(confirm: &Confirm, canvas: &mut Canvas<'_>) -> Option<Position> {
    let badge = match confirm.act.tier() {
        Tier::Reversible => "",
        Tier::Irreversible => "IRREVERSIBLE",
    };
    let command = format!("same as: {}", confirm.command_line());
    let command_lines = cells(wrap(&command, usize::from(WIDTH) - 4).len());
    let inputs = confirm
        .act
        .fields()
        .iter()
        .filter(|it| label(confirm, **it).is_some());
    let stakes = if confirm.act.has_stakes() {
        wrap(&confirm.stakes_text(), usize::from(WIDTH) - 4)
    } else {
        Vec::new()
    };
    let stakes_lines = cells(stakes.len()).min(3);
    let height = 10 + stakes_lines + command_lines + cells(inputs.count());
    let inner = canvas.window((WIDTH, height), confirm.act.title(), badge);

    let mut y = inner.y;
    subject(confirm, canvas, Rect { height: 1, ..inner });
    y += 1;
    let place = Rect {
        y,
        height: 3,
        ..inner
    };
    canvas.wrapped(place, confirm.act.consequence(), Style::new());
    y += 3;
    for line in stakes.iter().take(usize::from(stakes_lines)) {
        canvas.clipped(inner.x, y, line, inner.width, heading());
        y += 1;
    }
    y += 1;

    let mut cursor = None;
    for field in confirm.act.fields() {
        let Some(label) = label(confirm, *field) else {
            continue;
        };
        let has_focus = confirm.focus == *field;
        let style = if has_focus { heading() } else { Style::new() };
        let x = canvas.text(inner.x, y, &label, style) + 1;
        let input = match field {
            Field::Reason => &confirm.reason,
            Field::Typed => &confirm.typed,
            _ => &confirm.period,
        };
        let room = inner.right().saturating_sub(x);
        if input.value().is_empty() {
            canvas.text(x, y, &"_".repeat(usize::from(room.min(24))), faint());
            if has_focus {
                cursor = Some(Position::new(x, y));
            }
        } else {
            let at = canvas.input(x, y, room, input);
            if has_focus {
                cursor = Some(at);
            }
        }
        y += 1;
    }
    y += 1;
    let place = Rect {
        y,
        height: command_lines,
        ..inner
    };
    canvas.wrapped(place, &command, faint());
    y += command_lines;
    if let Some(note) = &confirm.note {
        canvas.clipped(inner.x, y, note, inner.width, canvas.palette.warn());
    }
    buttons(confirm, canvas, inner, y + 1);
    cursor
}

fn subject(confirm: &Confirm, canvas: &mut Canvas<'_>, place: Rect) {
    let text = match &confirm.subject {
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
    };
    canvas.clipped(place.x, place.y, &text, place.width, heading());
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
    let is_typing = !matches!(confirm.focus, Field::Cancel | Field::Go);
    let hint = match confirm.act.tier() {
        _ if is_typing => "enter next   esc cancel",
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
