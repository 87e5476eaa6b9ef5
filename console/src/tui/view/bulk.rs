//! The dialog that changes many agents.

use ratatui::layout::{Position, Rect};
use ratatui::style::Style;

use crate::text::{counted, inert, it_or_them, thousands, wrap};
use crate::tui::state::bulk::{Bulk, Many, Stage, Sums};
use crate::tui::state::confirm::Field;
use crate::tui::style::{faint, focus, heading};

use super::canvas::{Canvas, cells};
use super::confirm::width_on;

/// How high the dialog is where there is room.
const HEIGHT: u16 = 26;

/// How many lines say which agents, and how many the command.
const MOST: (usize, usize) = (3, 3);

/// How many of the marked agents are named at most.
const NAMED: usize = 8;

/// Paints it; `has_undo` is whether there is a change to be taken back.
pub(super) fn render(bulk: &Bulk, has_undo: bool, canvas: &mut Canvas<'_>) -> Option<Position> {
    let title = format!("{} many agents", bulk.act.verb());
    let height = HEIGHT.min(canvas.area().height);
    let inner = canvas.window((width_on(canvas), height), &title, badge(bulk));
    let room = usize::from(inner.width);
    let broken = |text: &str| wrap(&inert(text), room);
    let mut y = canvas.lines(inner, inner.y, &subject(bulk, room), heading());
    let consequence = broken(bulk.act.consequence_for_many());
    y = canvas.lines(inner, y, &consequence, Style::new()) + 1;

    let lines = bulk.command_lines();
    let more = match lines.len() {
        0 | 1 => String::new(),
        count => format!("   and {} more like it: @ lists them", count - 1),
    };
    let first = lines.first().map_or("", String::as_str);
    let mut command = broken(&format!("same as: {first}{more}"));
    command.truncate(MOST.1);
    let note = broken(bulk.note.as_deref().unwrap_or_default());
    let bottom = inner.bottom().saturating_sub(1);
    let below = bottom.saturating_sub(cells(command.len() + note.len()));
    let fields = fields(bulk);
    let end = below.saturating_sub(cells(fields.len()) + 2);

    let place = Rect {
        y,
        height: end.saturating_sub(y),
        ..inner
    };
    y = sums(bulk, canvas, place) + 1;
    let cursor = inputs(bulk, canvas, Rect { y, ..inner }, &fields);
    let y = canvas.lines(inner, below, &command, faint());
    let style = canvas.palette.warn();
    canvas.lines(inner, y, &note, style);
    buttons(bulk, has_undo, canvas, inner, bottom);
    cursor
}

fn badge(bulk: &Bulk) -> &'static str {
    match bulk.stage {
        Stage::Counting => "DRY RUN",
        Stage::Working => "UNDER WAY",
        Stage::Stopping => "STOPPING",
        Stage::Over => "OVER",
        Stage::Deciding => "MANY",
    }
}

/// Which agents: as many of their names as there is room for, and how many more there are.
fn subject(bulk: &Bulk, room: usize) -> Vec<String> {
    let pinned = match &bulk.many {
        Many::Marked(pinned) => pinned,
        Many::Filter(text, _) => {
            return wrap(&inert(&format!("all that /{text} lets through")), room);
        }
    };
    let naming = |count: usize| {
        let names: Vec<_> = pinned
            .iter()
            .take(count)
            .map(|it| it.email.as_str())
            .collect();
        let text = match pinned.len() - names.len() {
            0 => format!("marked: {}", names.join(", ")),
            rest if names.is_empty() => format!("{} marked", thousands(rest as u64)),
            rest => format!(
                "marked: {} and {} more",
                names.join(", "),
                thousands(rest as u64)
            ),
        };
        wrap(&inert(&text), room)
    };
    let most = NAMED.min(pinned.len());
    let fitting = (0..=most).rev().map(naming).find(|it| it.len() <= MOST.0);
    fitting.unwrap_or_default()
}

/// What it comes to, and who cannot; gives the line after it.
fn sums(bulk: &Bulk, canvas: &mut Canvas<'_>, place: Rect) -> u16 {
    let sums = &bulk.sums;
    let number = thousands;
    let text = match bulk.stage {
        Stage::Counting => format!("counting: {} so far", number(sums.matched)),
        Stage::Deciding => format!(
            "of {} {} would change, {} need not, {} cannot",
            counted(sums.matched, "agent"),
            number(sums.done),
            number(sums.unchanged),
            number(sums.refused),
        ),
        Stage::Working | Stage::Stopping | Stage::Over => format!(
            "{} of {} done, {} needed nothing, {} refused",
            number(sums.done),
            counted(sums.matched, "agent"),
            number(sums.unchanged),
            number(sums.refused),
        ),
    };
    canvas.clipped(place.x, place.y, &text, place.width, heading());
    let rest = usize::from(place.height.saturating_sub(1));
    let lines = refusals(sums, usize::from(place.width), rest);
    let style = canvas.palette.warn();
    canvas.lines(place, place.y + 1, &lines, style)
}

/// Who cannot, and why, in at most `height` lines, of which the last says how many more there are.
fn refusals(sums: &Sums, room: usize, height: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = sums.refused;
    for refused in &sums.first_refused {
        let text = format!("{}: {}", refused.email, refused.message);
        let text = wrap(&inert(&text), room.saturating_sub(2));
        if lines.len() + text.len() + usize::from(rest > 1) > height {
            break;
        }
        lines.extend(text.iter().map(|line| format!("  {line}")));
        rest = rest.saturating_sub(1);
    }
    if rest > 0 && height > 0 {
        lines.push(format!("  and {} more", thousands(rest)));
    }
    lines
}

/// The fields that are there to be typed in now, each with what stands before it.
fn fields(bulk: &Bulk) -> Vec<(Field, String)> {
    let label = |field: Field| match (field, bulk.stage) {
        (Field::Reason, Stage::Counting | Stage::Deciding) => Some("Reason  ".to_owned()),
        (Field::Typed, Stage::Deciding) => {
            let verb = bulk.act.verb().to_lowercase();
            let them = it_or_them(bulk.sums.done);
            Some(format!("Type {} to {verb} {them}: ", bulk.count()))
        }
        _ => None,
    };
    let fields = bulk.fields().iter();
    fields.filter_map(|it| Some((*it, label(*it)?))).collect()
}

fn inputs(
    bulk: &Bulk,
    canvas: &mut Canvas<'_>,
    place: Rect,
    fields: &[(Field, String)],
) -> Option<Position> {
    let mut cursor = None;
    for (y, (field, label)) in (place.y..).zip(fields) {
        let input = match field {
            Field::Reason => &bulk.reason,
            _ => &bulk.typed,
        };
        let has_focus = bulk.focus == *field;
        let style = if has_focus { heading() } else { Style::new() };
        let x = canvas.text(place.x, y, label, style) + 1;
        let at = canvas.field(x, y, place.right().saturating_sub(x), input);
        if has_focus {
            cursor = Some(at);
        }
    }
    cursor
}

fn buttons(bulk: &Bulk, has_undo: bool, canvas: &mut Canvas<'_>, inner: Rect, y: u16) {
    let hint = match bulk.stage {
        Stage::Working => "esc stop: what was done stays",
        Stage::Over if has_undo => "enter close   U undo",
        Stage::Stopping | Stage::Over => "enter close",
        _ if bulk.focus == Field::Cancel => "tab next   enter cancel   esc cancel",
        _ if bulk.focus == Field::Go => "tab next   enter go on   esc cancel",
        _ => "tab next   enter next   esc cancel",
    };
    canvas.text(inner.x, y, hint, faint());
    if !bulk.stage.has_fields() {
        return;
    }
    let verb = bulk.act.verb();
    let is_locked = bulk.why_locked().is_some();
    let go = if is_locked {
        format!("  {verb} (locked)")
    } else {
        format!("[ {verb} ]")
    };
    let style = |field, otherwise| {
        if bulk.focus == field {
            focus()
        } else {
            otherwise
        }
    };
    let otherwise = if is_locked { faint() } else { Style::new() };
    canvas.right(inner.right(), y, &go, style(Field::Go, otherwise));
    let end = inner.right().saturating_sub(cells(go.len()) + 3);
    canvas.right(end, y, "[ Cancel ]", style(Field::Cancel, Style::new()));
}
