//! What the command line prints: a table for people, JSON or NDJSON for programs.

use std::io::Write;

use serde::Serialize;

use crate::args::Format;
use crate::error::Error;
use crate::text::{inert, inert_json, width};

/// Something that can be printed in every format.
pub trait Record: Serialize {
    /// The headings of a list.
    const HEADINGS: &'static [&'static str];

    /// The headings of what a terminal that is too narrow for all goes without, the first of them first.
    const SPARE: &'static [&'static str] = &[];

    /// The row in a list, one text a heading. The table makes them inert.
    fn cells(&self) -> Vec<String>;

    /// Everything about it, by name, for when it is shown alone.
    fn fields(&self) -> Vec<(&'static str, String)>;

    /// The JSON of it on one line.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when it cannot be written as JSON.
    fn json(&self) -> Result<String, Error> {
        let json = serde_json::to_string(self).map_err(not_json)?;
        Ok(inert_json(&json).into_owned())
    }

    /// The JSON of it over several lines.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when it cannot be written as JSON.
    fn pretty_json(&self) -> Result<String, Error> {
        let json = serde_json::to_string_pretty(self).map_err(not_json)?;
        Ok(inert_json(&json).into_owned())
    }
}

fn not_json(error: serde_json::Error) -> Error {
    Error::io("cannot write JSON")(error.into())
}

/// Where a command's data goes.
#[derive(Debug)]
pub struct Output<W> {
    format: Format,
    out: W,
}

impl<W: Write> Output<W> {
    /// Prints to `out` as `format`.
    pub const fn new(format: Format, out: W) -> Self {
        Self { format, out }
    }

    /// The format that was asked for.
    pub(crate) const fn format(&self) -> Format {
        self.format
    }

    /// Prints one record.
    ///
    /// # Errors
    ///
    /// When the output takes no more.
    pub fn one<T: Record>(&mut self, record: &T) -> Result<(), Error> {
        match self.format {
            Format::Table => self.fields(&record.fields())?,
            Format::Json => self.line(&record.pretty_json()?)?,
            Format::Ndjson => self.line(&record.json()?)?,
        }
        self.flush()
    }

    /// Prints a list that is there as a whole.
    ///
    /// # Errors
    ///
    /// When the output takes no more.
    pub fn all<T: Record>(&mut self, records: &[T]) -> Result<(), Error> {
        let mut list = self.list()?;
        list.page(records)?;
        list.end()
    }

    /// Begins a list.
    ///
    /// # Errors
    ///
    /// When the output takes no more.
    pub fn list<T: Record>(&mut self) -> Result<List<'_, W, T>, Error> {
        if self.format == Format::Json {
            self.text("[")?;
        }
        Ok(List {
            output: self,
            widths: Vec::new(),
            count: 0,
            record: std::marker::PhantomData,
        })
    }

    /// Prints a line as it is.
    ///
    /// # Errors
    ///
    /// When the output takes no more.
    pub fn line(&mut self, line: &str) -> Result<(), Error> {
        self.text(line)?;
        self.text("\n")
    }

    /// Hands everything printed so far to the reader.
    ///
    /// # Errors
    ///
    /// When the output takes no more.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.out.flush().map_err(Error::output)
    }

    /// Prints a text as it is.
    ///
    /// # Errors
    ///
    /// When the output takes no more.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Error> {
        self.out.write_all(text.as_bytes()).map_err(Error::output)
    }

    fn fields(&mut self, fields: &[(&'static str, String)]) -> Result<(), Error> {
        let names = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in fields {
            let line = format!("{name:names$}  {}", inert(value));
            self.line(line.trim_end())?;
        }
        Ok(())
    }

    fn row(&mut self, cells: &[String], widths: &[usize]) -> Result<(), Error> {
        let mut line = String::new();
        for (cell, cells) in cells.iter().zip(widths) {
            line.push_str(cell);
            let spaces = (cells + 2).saturating_sub(width(cell));
            line.extend(std::iter::repeat_n(' ', spaces));
        }
        self.line(line.trim_end())
    }
}

/// A list that is being printed, page by page.
#[derive(Debug)]
pub struct List<'a, W, T> {
    output: &'a mut Output<W>,
    widths: Vec<usize>,
    count: u64,
    record: std::marker::PhantomData<T>,
}

impl<W: Write, T: Record> List<'_, W, T> {
    /// Prints some more records, and hands them to the reader.
    ///
    /// # Errors
    ///
    /// When the output takes no more.
    pub fn page(&mut self, records: &[T]) -> Result<(), Error> {
        match self.output.format {
            Format::Table => self.table_rows(records)?,
            Format::Json => {
                for record in records {
                    let separator = if self.count == 0 { "\n  " } else { ",\n  " };
                    self.output.text(separator)?;
                    self.output
                        .text(&record.pretty_json()?.replace('\n', "\n  "))?;
                    self.count += 1;
                }
            }
            Format::Ndjson => {
                for record in records {
                    self.output.line(&record.json()?)?;
                }
            }
        }
        self.output.flush()
    }

    /// Rows aligned with those before; a wider cell of a later page widens its column from there.
    fn table_rows(&mut self, records: &[T]) -> Result<(), Error> {
        let rows: Vec<Vec<String>> = records
            .iter()
            .map(|record| {
                let cells = record.cells();
                cells.iter().map(|cell| inert(cell).into_owned()).collect()
            })
            .collect();
        let is_first = self.widths.is_empty();
        let headings: Vec<String> = T::HEADINGS.iter().map(|&it| it.to_owned()).collect();
        self.widths.resize(headings.len(), 0);
        for row in rows.iter().chain([&headings]) {
            for (column, cell) in self.widths.iter_mut().zip(row) {
                *column = width(cell).max(*column);
            }
        }
        if is_first {
            self.output.row(&headings, &self.widths)?;
        }
        for row in &rows {
            self.output.row(row, &self.widths)?;
        }
        Ok(())
    }

    /// Ends the list.
    ///
    /// # Errors
    ///
    /// When the output takes no more.
    pub fn end(mut self) -> Result<(), Error> {
        match self.output.format {
            Format::Table if self.widths.is_empty() => self.page(&[])?,
            Format::Json if self.count == 0 => self.output.line("]")?,
            Format::Json => self.output.line("\n]")?,
            Format::Table | Format::Ndjson => {}
        }
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Thing {
        name: &'static str,
        size: u32,
    }

    impl Record for Thing {
        const HEADINGS: &'static [&'static str] = &["NAME", "SIZE"];

        fn cells(&self) -> Vec<String> {
            vec![self.name.to_owned(), self.size.to_string()]
        }

        fn fields(&self) -> Vec<(&'static str, String)> {
            vec![
                ("name", self.name.to_owned()),
                ("size", self.size.to_string()),
            ]
        }
    }

    const THINGS: [Thing; 3] = [
        Thing { name: "a", size: 1 },
        Thing {
            name: "\u{1b}[2J組",
            size: 22,
        },
        Thing {
            name: "long-long-long",
            size: 3,
        },
    ];

    fn list(format: Format, pages: &[&[Thing]]) -> String {
        let mut output = Output::new(format, Vec::new());
        let mut list = output.list().unwrap();
        for page in pages {
            list.page(page).unwrap();
        }
        list.end().unwrap();
        String::from_utf8(output.out).unwrap()
    }

    #[test]
    fn a_table_is_aligned_and_inert() {
        let (first, second) = THINGS.split_at(2);
        insta::assert_snapshot!(list(Format::Table, &[first, second]), @r"
        NAME         SIZE
        a            1
        \u{1b}[2J組  22
        long-long-long  3
        ");
    }

    #[test]
    fn an_empty_table_still_has_its_headings() {
        assert_eq!(list(Format::Table, &[]), "NAME  SIZE\n");
    }

    #[test]
    fn a_json_list_is_one_document_whatever_its_pages() {
        let (first, second) = THINGS.split_at(2);
        let text = list(Format::Json, &[first, second]);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value.as_array().unwrap().len(), 3);
        insta::assert_snapshot!(list(Format::Json, &[first]), @r#"
        [
          {
            "name": "a",
            "size": 1
          },
          {
            "name": "\u001b[2J組",
            "size": 22
          }
        ]
        "#);
        assert_eq!(list(Format::Json, &[]), "[]\n");
    }

    #[test]
    fn ndjson_is_one_object_a_line() {
        assert_eq!(
            list(Format::Ndjson, &[&THINGS]),
            "{\"name\":\"a\",\"size\":1}\n{\"name\":\"\\u001b[2J組\",\"size\":22}\n\
             {\"name\":\"long-long-long\",\"size\":3}\n"
        );
    }

    #[test]
    fn one_record_is_shown_with_its_fields() {
        let mut output = Output::new(Format::Table, Vec::new());
        output
            .one(&Thing {
                name: "a\nb",
                size: 1,
            })
            .unwrap();
        assert_eq!(
            String::from_utf8(output.out).unwrap(),
            "name  a\\u{a}b\nsize  1\n"
        );
    }

    #[test]
    fn a_closed_output_is_told_apart() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let error = Output::new(Format::Json, Closed).one(&THINGS[0]);
        assert!(matches!(error, Err(Error::OutputClosed)));
    }
}
