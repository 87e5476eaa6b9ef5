//! A table on a terminal that may be too narrow for all of it.

use crate::text::{fit, inert, width};

use super::output::Record;

/// What stands between two columns.
const GAP: usize = 2;

/// To how many cells the widest column shrinks at most.
const LEAST: usize = 16;

/// Records as a table, to be laid out anew for each size of the terminal.
#[derive(Debug, Default)]
pub(super) struct Table {
    headings: &'static [&'static str],
    /// The headings of what a narrow terminal goes without, in that order.
    spare: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    /// The table of `records`.
    pub(super) fn of<T: Record>(records: &[T]) -> Self {
        let row = |record: &T| {
            let cells = record.cells();
            cells.iter().map(|cell| inert(cell).into_owned()).collect()
        };
        Self {
            headings: T::HEADINGS,
            spare: T::SPARE,
            rows: records.iter().map(row).collect(),
        }
    }

    /// Its lines in `room` cells; what is left out for that is named in the last.
    pub(super) fn lines(&self, room: usize) -> Vec<String> {
        let widest = |(at, heading): (usize, &&str)| {
            let cells = self.rows.iter().filter_map(|row| row.get(at));
            cells.map(|it| width(it)).fold(heading.len(), usize::max)
        };
        let widths = self.headings.iter().enumerate().map(widest);
        // Each column that is shown: its place in a row, and its width.
        let mut shown: Vec<(usize, usize)> = widths.enumerate().collect();
        let all = |shown: &[(usize, usize)]| {
            let cells: usize = shown.iter().map(|(_, width)| width + GAP).sum();
            cells.saturating_sub(GAP)
        };
        let mut missing = Vec::new();
        for heading in self.spare {
            if all(&shown) <= room {
                break;
            }
            shown.retain(|(at, _)| self.headings.get(*at) != Some(heading));
            missing.push(*heading);
        }
        let beyond = all(&shown).saturating_sub(room);
        if let Some((_, width)) = shown.iter_mut().max_by_key(|(_, width)| *width) {
            *width = width.saturating_sub(beyond).max(LEAST.min(*width));
        }
        let line = |cell: &dyn Fn(usize) -> String| {
            let cells = shown.iter().map(|(at, width)| fit(&cell(*at), *width));
            let cells: Vec<_> = cells.collect();
            cells.join("  ").trim_end().to_owned()
        };
        let heading = |at: usize| {
            self.headings
                .get(at)
                .copied()
                .unwrap_or_default()
                .to_owned()
        };
        let mut lines = vec![line(&heading)];
        for row in &self.rows {
            lines.push(line(&|at| row.get(at).cloned().unwrap_or_default()));
        }
        if !missing.is_empty() {
            let missing = missing.join(", ");
            lines.push(format!("no room for {missing}"));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Serialize)]
    struct Thing(&'static str, &'static str);

    impl Record for Thing {
        const HEADINGS: &'static [&'static str] = &["ID", "NAME", "STATUS"];
        const SPARE: &'static [&'static str] = &["ID"];

        fn cells(&self) -> Vec<String> {
            vec![
                "0123456789".to_owned(),
                self.0.to_owned(),
                self.1.to_owned(),
            ]
        }

        fn fields(&self) -> Vec<(&'static str, String)> {
            Vec::new()
        }
    }

    #[test]
    fn what_is_watched_for_is_seen_on_a_narrow_terminal_and_what_is_not_is_named() {
        let name = "invoice-matcher@acme.example";
        let table = Table::of(&[Thing(name, "active"), Thing("b", "suspended")]);
        let whole = format!("0123456789  {name}  active");
        assert_eq!(table.lines(80)[1], whole);
        assert_eq!(
            table.lines(40),
            [
                "NAME                          STATUS",
                "invoice-matcher@acme.example  active",
                "b                             suspended",
                "no room for ID",
            ]
        );
        assert_eq!(table.lines(30)[1], "invoice-matcher@a..  active");
        // Below what makes sense it is cut at the end.
        assert_eq!(table.lines(5)[1], "invoice-matche..  active");
    }
}
