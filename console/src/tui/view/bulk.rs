//! The dialog that changes many agents.

use ratatui::layout::{Position, Rect};
use ratatui::style::Style;

use crate::text::{counted, fit, it_or_them, thousands, wrap};
use crate::tui::state::bulk::{Bulk, Many, Stage};
use crate::tui::state::confirm::Field;
use crate::tui::style::{faint, focus, heading};

use super::canvas::{Canvas, cells};

/// The size of the dialog.
const SIZE: (u16, u16) = (78, 21);

/// How many agents are named.
const NAMED: u16 = 4;

pub(super) fn render(bulk: &Bulk, canvas: &mut Canvas<'_>) -> Option<Position> {
    let title = format!("{} many agents", bulk.act.verb());
    let inner = canvas.window(SIZE, &title, badge(bulk));
    let mut y = canvas.wrapped(Rect { height: 2, ..inner }, &subject(bulk), heading());
    let place = Rect {
        y,
        height: 3,
        ..inner
    };
    y = canvas.wrapped(place, bulk.act.consequence_for_many(), Style::new()) + 1;
    y = sums(bulk, canvas, Rect { y, ..inner }) + 1;
    let cursor = inputs(bulk, canvas, Rect { y, ..inner }, &mut y);
    let lines = bulk.command_lines();
    let more = match lines.len() {
        0 | 1 => String::new(),
        count => format!("   and {} more like it: @ lists them", count - 1),
    };
    let command = format!(
        "same as: {}{more}",
        lines.first().map_or("", String::as_str)
    );
    let bottom = inner.bottom().saturating_sub(1);
    let rows = cells(wrap(&command, usize::from(inner.width)).len()).min(3);
    let place = Rect {
        y: bottom.saturating_sub(rows + 1),
        height: rows,
        ..inner
    };
    canvas.wrapped(place, &command, faint());
    if let Some(note) = &bulk.note {
        let y = bottom.saturating_sub(1);
        canvas.clipped(inner.x, y, note, inner.width, canvas.palette.warn());
    }
    buttons(bulk, canvas, inner, bottom);
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

fn subject(bulk: &Bulk) -> String {
    match &bulk.many {
        Many::Marked(pinned) => {
            let names: Vec<_> = pinned.iter().take(3).map(|it| it.email.as_str()).collect();
            let rest = pinned.len().saturating_sub(names.len());
            let rest = if rest > 0 {
                format!(" and {rest} more")
            } else {
                String::new()
            };
            format!("marked: {}{rest}", names.join(", "))
        }
        Many::Filter(text, _) => format!("all that /{text} lets through"),
    }
}

/// What it comes to; gives the line after it.
fn sums(bulk: &Bulk, canvas: &mut Canvas<'_>, place: Rect) -> u16 {
    let sums = &bulk.sums;
    let number = thousands;
    let mut y = place.y;
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
    canvas.clipped(place.x, y, &text, place.width, heading());
    y += 1;
    for refused in sums.first_refused.iter().take(usize::from(NAMED)) {
        let email = fit(&refused.email, 32);
        let text = format!("  {} {}", email, refused.message);
        canvas.clipped(place.x, y, &text, place.width, canvas.palette.warn());
        y += 1;
    }
    y
}

fn inputs(bulk: &Bulk, canvas: &mut Canvas<'_>, place: Rect, y: &mut u16) -> Option<Position> {
    if !matches!(bulk.stage, Stage::Counting | Stage::Deciding) {
        return None;
    }
    let mut cursor = None;
    for field in bulk.fields() {
        let (label, input) = match field {
            Field::Reason => ("Reason  ".to_owned(), &bulk.reason),
            Field::Typed if bulk.stage == Stage::Counting => continue,
            Field::Typed => {
                let verb = bulk.act.verb().to_lowercase();
                (
                    format!(
                        "Type {} to {verb} {}: ",
                        bulk.count(),
                        it_or_them(bulk.sums.matched)
                    ),
                    &bulk.typed,
                )
            }
            _ => continue,
        };
        let has_focus = bulk.focus == *field;
        let style = if has_focus { heading() } else { Style::new() };
        let x = canvas.text(place.x, *y, &label, style) + 1;
        let room = place.right().saturating_sub(x);
        if input.value().is_empty() {
            canvas.text(x, *y, &"_".repeat(usize::from(room.min(24))), faint());
        }
        let at = canvas.input(x, *y, room, input);
        if has_focus {
            cursor = Some(at);
        }
        *y += 1;
    }
    cursor
}

fn buttons(bulk: &Bulk, canvas: &mut Canvas<'_>, inner: Rect, y: u16) {
    let hint = match bulk.stage {
        Stage::Working => "esc stop: what was done stays",
        Stage::Stopping | Stage::Over => "enter close",
        _ if bulk.focus == Field::Cancel => "tab next   enter cancel   esc cancel",
        _ if bulk.focus == Field::Go => "tab next   enter go on   esc cancel",
        _ => "tab next   enter next   esc cancel",
    };
    canvas.text(inner.x, y, hint, faint());
    if matches!(bulk.stage, Stage::Working | Stage::Stopping | Stage::Over) {
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
