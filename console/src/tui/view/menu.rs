//! The menu of actions behind `a`.

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::tui::state::{Menu, State};
use crate::tui::style::{faint, heading};
use crate::tui::update::menu;

use super::canvas::{Canvas, cells};

pub(super) fn render(state: &State, canvas: &mut Canvas<'_>) {
    let actions = menu(state);
    let area = canvas.area();
    let height = cells(actions.len()) + 2;
    let top = area.height.saturating_sub(height);
    let blank = " ".repeat(usize::from(area.width));
    for y in top..area.height {
        canvas.text(0, y, &blank, Style::reset());
    }
    canvas.rule(top);
    let title = match state.menu {
        Some(Menu::Marked) => format!(" Actions on {} marked ", state.agents.marks.len()),
        Some(Menu::All) => {
            let count = state.agents.total.map_or_else(String::new, |total| {
                format!(" the {}", crate::text::thousands(total))
            });
            format!(" Actions on all{count} that the filter lets through ")
        }
        _ => " Actions ".to_owned(),
    };
    canvas.text(2, top, &title, heading());
    for (row, action) in (1..).zip(&actions) {
        let y = top + row;
        let key = action.key.to_string();
        match &action.why_not {
            None => {
                canvas.text(2, y, &key, canvas.palette.key());
                canvas.text(5, y, action.label, Style::new());
            }
            Some(why_not) => {
                canvas.text(2, y, &key, faint());
                let x = canvas.text(5, y, action.label, faint());
                let place = Rect::new(x + 2, y, area.width.saturating_sub(x + 3), 1);
                canvas.clipped(place.x, y, &format!("({why_not})"), place.width, faint());
            }
        }
    }
    let y = area.height.saturating_sub(1);
    canvas.pieces(
        2,
        y,
        &[("esc", canvas.palette.key()), ("  nothing", Style::new())],
    );
}
