//! Painting text into cells. Everything that is painted is made inert here, once.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Modifier, Style};
use tui_input::Input;

use crate::text::{fit, head, inert, width, wrap};
use crate::tui::style::{Palette, faint, focus, heading};

/// How many cells beside a window are too few to be left of what is below.
const SLIVER: u16 = 4;

/// How long a field is that nothing was typed in.
const BLANK: u16 = 24;

/// A buffer to paint on.
pub(super) struct Canvas<'a> {
    buffer: &'a mut Buffer,
    pub(super) palette: Palette,
}

/// Cells as the type that coordinates have.
pub(super) fn cells(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// Notes a text of which there is more than room, for the tests that no words of ours are among them.
#[cfg_attr(
    not(test),
    expect(unused_variables, reason = "nobody looks at them but tests")
)]
fn is_cut(text: &str) {
    #[cfg(test)]
    CUT.with_borrow_mut(|cut| cut.push(text.to_owned()));
}

#[cfg(test)]
thread_local! {
    /// The texts of which there was more than room, since somebody looked.
    pub(super) static CUT: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) };
}

impl<'a> Canvas<'a> {
    pub(super) const fn new(buffer: &'a mut Buffer, palette: Palette) -> Self {
        Self { buffer, palette }
    }

    pub(super) const fn area(&self) -> Rect {
        self.buffer.area
    }

    /// Paints `text` from `x` on; gives the column after it.
    pub(super) fn text(&mut self, x: u16, y: u16, text: &str, style: Style) -> u16 {
        let room = self.area().width.saturating_sub(x);
        self.clipped(x, y, text, room, style)
    }

    /// Paints at most `room` cells of `text`; gives the column after it.
    pub(super) fn clipped(&mut self, x: u16, y: u16, text: &str, room: u16, style: Style) -> u16 {
        let room = room.min(self.area().width.saturating_sub(x));
        if y >= self.area().height || room == 0 {
            is_cut(text);
            return x;
        }
        let text = inert(head(text, usize::from(room)));
        let shown = if width(&text) > usize::from(room) {
            is_cut(&text);
            fit(&text, usize::from(room))
        } else {
            text.into_owned()
        };
        self.buffer
            .set_stringn(x, y, &shown, usize::from(room), style)
            .0
    }

    /// Paints `text` so that it ends before column `end`.
    pub(super) fn right(&mut self, end: u16, y: u16, text: &str, style: Style) {
        let text = inert(head(text, usize::from(end)));
        let start = end.saturating_sub(cells(width(&text)));
        self.clipped(start, y, &text, end - start, style);
    }

    /// Paints pieces after each other; gives the column after them.
    pub(super) fn pieces(&mut self, x: u16, y: u16, pieces: &[(&str, Style)]) -> u16 {
        pieces
            .iter()
            .fold(x, |x, (text, style)| self.text(x, y, text, *style))
    }

    /// A line across the screen.
    pub(super) fn rule(&mut self, y: u16) {
        let line = "-".repeat(usize::from(self.area().width));
        self.text(0, y, &line, crate::tui::style::faint());
    }

    /// Marks the row of the cursor.
    pub(super) fn highlight(&mut self, area: Rect) {
        let area = area.intersection(self.area());
        self.buffer.set_style(area, focus());
    }

    /// Paints a row of cells into `columns`; gives nothing: what does not fit is cut.
    pub(super) fn row(&mut self, x: u16, y: u16, columns: &[Column], row: &[(String, Style)]) {
        let mut x = x;
        for (column, (text, style)) in columns.iter().zip(row) {
            if width(&inert(head(text, usize::from(column.width)))) > usize::from(column.width) {
                is_cut(text);
            }
            let text = fit(text, usize::from(column.width));
            self.clipped(x, y, &text, column.width, *style);
            x = x.saturating_add(column.width + 2);
        }
    }

    /// Paints the headings of `columns`.
    pub(super) fn headings(&mut self, x: u16, y: u16, columns: &[Column]) {
        let row: Vec<_> = columns
            .iter()
            .map(|column| (column.heading.to_owned(), heading()))
            .collect();
        self.row(x, y, columns, &row);
    }

    /// How wide a window of `width` is here: so little beside it is no use to anyone.
    fn spread(&self, width: u16) -> u16 {
        let whole = self.area().width;
        if width.saturating_add(2 * SLIVER) >= whole {
            whole
        } else {
            width
        }
    }

    /// How many cells the inside of a window of `width` has.
    pub(super) fn inside(&self, width: u16) -> u16 {
        self.spread(width).saturating_sub(4)
    }

    /// A frame with a title, its inside empty; gives the inside.
    pub(super) fn window(&mut self, size: (u16, u16), title: &str, badge: &str) -> Rect {
        let area = self.area();
        let (width, height) = (self.spread(size.0), size.1.min(area.height));
        let x = (area.width - width) / 2;
        let y = (area.height - height) / 2;
        let window = Rect::new(x, y, width, height);
        for row in window.rows() {
            let blank = " ".repeat(usize::from(width));
            self.buffer
                .set_stringn(x, row.y, &blank, usize::from(width), Style::reset());
            self.text(x, row.y, "|", Style::new());
            self.text(window.right().saturating_sub(1), row.y, "|", Style::new());
        }
        let line = format!("+{}+", "-".repeat(usize::from(width.saturating_sub(2))));
        for row in [y, window.bottom().saturating_sub(1)] {
            self.text(x, row, &line, Style::new());
        }
        self.text(x + 2, y, &format!(" {title} "), heading());
        if !badge.is_empty() {
            let style = self.palette.warn().add_modifier(Modifier::BOLD);
            let badge = format!(" {badge} ");
            self.right(window.right().saturating_sub(3), y, &badge, style);
        }
        Rect::new(
            x + 2,
            y + 1,
            width.saturating_sub(4),
            height.saturating_sub(2),
        )
    }

    /// Paints `text` over as many lines as it takes; gives the line after it.
    pub(super) fn wrapped(&mut self, area: Rect, text: &str, style: Style) -> u16 {
        let mut y = area.y;
        for line in wrap(&inert(text), usize::from(area.width)) {
            if y >= area.bottom() {
                is_cut(&line);
                break;
            }
            self.clipped(area.x, y, &line, area.width, style);
            y += 1;
        }
        y
    }

    /// Paints lines from `y` on, each made inert and broken before; gives the line after them.
    pub(super) fn lines(&mut self, area: Rect, y: u16, lines: &[String], style: Style) -> u16 {
        let mut y = y;
        for line in lines {
            self.clipped(area.x, y, line, area.width, style);
            y = y.saturating_add(1);
        }
        y
    }

    /// Paints a field of a dialog, which is seen when nothing is in it; gives where its cursor is.
    pub(super) fn field(&mut self, x: u16, y: u16, room: u16, input: &Input) -> Position {
        if input.value().is_empty() {
            self.text(x, y, &"_".repeat(usize::from(room.min(BLANK))), faint());
            return Position::new(x, y);
        }
        self.input(x, y, room, input)
    }

    /// Paints a line that is being typed; gives where its cursor is.
    pub(super) fn input(&mut self, x: u16, y: u16, room: u16, input: &Input) -> Position {
        let scroll = input.visual_scroll(usize::from(room.saturating_sub(1)));
        let mut skipped = 0;
        let shown: String = input
            .value()
            .chars()
            .skip_while(|c| {
                let is_left = skipped < scroll;
                skipped += width(c.encode_utf8(&mut [0; 4]));
                is_left
            })
            .collect();
        self.clipped(x, y, &fit(&shown, usize::from(room)), room, Style::new());
        let at = input.visual_cursor().saturating_sub(scroll);
        Position::new(x.saturating_add(cells(at)), y)
    }
}

/// A column of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) heading: &'static str,
    pub(super) width: u16,
}
