//! What a terminal shows, as a picture.

use std::fmt::Write as _;

use vt100::{Cell, Color, Screen};

/// Width and height of a cell, in the picture's units.
const CELL: (u32, u32) = (8, 18);
/// The space around the cells.
const MARGIN: u32 = 14;
/// How far above its cell's lower edge a letter stands.
const BASELINE: u32 = 5;
/// The sixteen colours, by the names of their classes.
const COLOURS: [(&str, &str); 16] = [
    ("black", "#1b1f27"),
    ("red", "#e06c75"),
    ("green", "#98c379"),
    ("yellow", "#e5c07b"),
    ("blue", "#61afef"),
    ("magenta", "#c678dd"),
    ("cyan", "#56b6c2"),
    ("white", "#d7dae0"),
    ("bright-black", "#7f848e"),
    ("bright-red", "#e06c75"),
    ("bright-green", "#98c379"),
    ("bright-yellow", "#e5c07b"),
    ("bright-blue", "#61afef"),
    ("bright-magenta", "#c678dd"),
    ("bright-cyan", "#56b6c2"),
    ("bright-white", "#ffffff"),
];

/// How a run of cells looks.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
struct Look {
    ink: &'static str,
    paper: &'static str,
    is_bold: bool,
    is_dim: bool,
}

impl Look {
    fn of(cell: &Cell) -> Self {
        let ink = colour(cell.fgcolor(), "white");
        let paper = colour(cell.bgcolor(), "black");
        let (ink, paper) = if cell.inverse() {
            (paper, ink)
        } else {
            (ink, paper)
        };
        Self {
            ink,
            paper,
            is_bold: cell.bold(),
            is_dim: cell.dim(),
        }
    }

    fn classes(self) -> String {
        let bold = if self.is_bold { " bold" } else { "" };
        let dim = if self.is_dim { " dim" } else { "" };
        format!("{}{bold}{dim}", self.ink)
    }
}

/// The screen as an SVG, with its colours and attributes: 16 colours, bold, dim and reversed.
#[must_use]
pub fn picture(screen: &Screen, title: &str) -> String {
    let (rows, columns) = screen.size();
    let width = u32::from(columns) * CELL.0 + 2 * MARGIN;
    let height = u32::from(rows) * CELL.1 + 2 * MARGIN;
    let mut drawn = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"13\" xml:space=\"preserve\">\n\
         <title>{}</title>\n<style>\n.bold {{ font-weight: bold }}\n.dim {{ opacity: 0.6 }}\n",
        escape(title)
    );
    for (name, value) in COLOURS {
        let _ = writeln!(drawn, ".{name} {{ fill: {value} }}");
    }
    let _ = writeln!(
        drawn,
        "</style>\n<rect width=\"{width}\" height=\"{height}\" rx=\"8\" class=\"black\"/>"
    );
    for row in 0..rows {
        draw(&mut drawn, screen, row, columns);
    }
    drawn.push_str("</svg>\n");
    drawn
}

/// Draws a row, run by run.
fn draw(drawn: &mut String, screen: &Screen, row: u16, columns: u16) {
    let cells: Vec<_> = (0..columns).filter_map(|it| screen.cell(row, it)).collect();
    let mut left = MARGIN;
    let top = MARGIN + u32::from(row) * CELL.1;
    for run in cells.chunk_by(|one, other| Look::of(one) == Look::of(other)) {
        let look = run.first().copied().map(Look::of).expect("a run has cells");
        let width = u32::try_from(run.len()).expect("a row is short") * CELL.0;
        if look.paper != "black" {
            let _ = writeln!(
                drawn,
                "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{}\" class=\"{}\"/>",
                CELL.1, look.paper
            );
        }
        let text: String = run.iter().map(|cell| shown(cell)).collect();
        let kept = text.trim_end();
        if !kept.trim_start().is_empty() {
            let blanks = text.chars().count() - kept.chars().count();
            let blanks = u32::try_from(blanks).expect("a row is short") * CELL.0;
            let _ = writeln!(
                drawn,
                "<text x=\"{left}\" y=\"{}\" textLength=\"{}\" class=\"{}\">{}</text>",
                top + CELL.1 - BASELINE,
                width - blanks,
                look.classes(),
                escape(kept)
            );
        }
        left += width;
    }
}

/// What stands in a cell; the second of a wide letter has nothing.
fn shown(cell: &Cell) -> &str {
    match cell.contents() {
        "" if !cell.is_wide_continuation() => " ",
        contents => contents,
    }
}

fn colour(colour: Color, otherwise: &'static str) -> &'static str {
    match colour {
        Color::Idx(number) => COLOURS
            .get(usize::from(number))
            .map_or(otherwise, |(name, _)| name),
        Color::Default | Color::Rgb(..) => otherwise,
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
