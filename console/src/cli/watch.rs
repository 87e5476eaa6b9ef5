//! `--watch`: records shown again whenever they change, until it is interrupted.
//!
//! On a terminal the table is drawn in place, and only when it is another; anywhere else each record
//! that is new or changed is a line of NDJSON, and one that left the list is `{"gone":ID}`. The daemon
//! may go away and come back meanwhile.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use crate::args::Format;
use crate::client::Client;
use crate::error::Error;
use crate::text::{fit, inert, wrap};

use super::narrow::Table;
use super::output::{Output, Record};
use super::tell;

/// The most records that are watched at once: each look fetches all of them.
pub(super) const MOST: u64 = 10_000;

/// How many lines say what is wrong.
const TROUBLE: usize = 3;

/// A record that can be watched.
pub(super) trait Watched: Record {
    /// What tells it from others in its list.
    fn key(&self) -> String;

    /// What is compared with how it was before. Not all of it has to count as a change.
    fn face(&self) -> Result<String, Error> {
        self.json()
    }
}

/// What one look found.
pub(super) struct Look<T> {
    pub(super) records: Vec<T>,
    /// A word on them for people.
    pub(super) note: Option<String>,
}

impl<T> Look<T> {
    /// One record.
    pub(super) fn one(record: T) -> Self {
        Self {
            records: vec![record],
            note: None,
        }
    }
}

/// How the records stand on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A row each.
    List,
    /// One record with its fields.
    One,
}

/// Looks every `interval` until it is interrupted. That the first look fails is an error; later an
/// unreachable daemon is waited for.
pub(super) async fn run<T: Watched>(
    interval: Duration,
    shape: Shape,
    client: &Client,
    output: &mut Output<impl Write>,
    mut look: impl AsyncFnMut(&Client) -> Result<Look<T>, Error>,
) -> Result<(), Error> {
    let mut ending = Ending::new()?;
    let first = tokio::select! {
        first = look(client) => first?,
        () = ending.wait() => return Ok(()),
    };
    let mut view = View::choose(shape, output)?;
    view.show(&first)?;
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut resized = signal(SignalKind::window_change()).map_err(Error::io("cannot watch"))?;
    loop {
        tokio::select! {
            () = ending.wait() => return Ok(()),
            _ = resized.recv() => {
                view.redraw()?;
                continue;
            }
            _ = ticks.tick() => {}
        }
        let found = tokio::select! {
            () = ending.wait() => return Ok(()),
            found = look(client) => found,
        };
        match found {
            Ok(look) => view.show(&look)?,
            Err(error) if error.is_unreachable() => view.lost(&error)?,
            Err(error) => return Err(error),
        }
    }
}

/// What ends it in good order: a terminal must be left as it was found.
struct Ending([Signal; 3]);

impl Ending {
    fn new() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(Error::io("cannot watch"));
        Ok(Self([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ]))
    }

    async fn wait(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Where what changed is shown.
enum View<'a, W> {
    Stream(Stream<'a, W>),
    Screen(Screen),
}

impl<'a, W: Write> View<'a, W> {
    fn choose(shape: Shape, output: &'a mut Output<W>) -> Result<Self, Error> {
        let is_screen = io::stdout().is_terminal();
        match output.format() {
            Format::Json => Err(Error::usage(
                "records that go on changing are not one JSON document",
                "use -o ndjson",
            )),
            Format::Table if is_screen => Ok(Self::Screen(Screen::new(shape))),
            Format::Table | Format::Ndjson => Ok(Self::Stream(Stream {
                output,
                faces: BTreeMap::new(),
                is_lost: false,
            })),
        }
    }

    fn show<T: Watched>(&mut self, look: &Look<T>) -> Result<(), Error> {
        match self {
            Self::Stream(stream) => stream.show(look),
            Self::Screen(screen) => screen.show(look),
        }
    }

    fn lost(&mut self, error: &Error) -> Result<(), Error> {
        match self {
            Self::Stream(stream) => {
                if !stream.is_lost {
                    tell(&format!("{error}; waiting for it to come back"));
                }
                stream.is_lost = true;
                Ok(())
            }
            Self::Screen(screen) => {
                screen.trouble = Some(format!("STALE: {error}; waiting for it to come back"));
                screen.redraw()
            }
        }
    }

    fn redraw(&mut self) -> Result<(), Error> {
        match self {
            Self::Stream(_) => Ok(()),
            Self::Screen(screen) => {
                screen.drawn.clear();
                screen.redraw()
            }
        }
    }
}

/// A line for each record that is new or changed.
struct Stream<'a, W> {
    output: &'a mut Output<W>,
    faces: BTreeMap<String, String>,
    is_lost: bool,
}

impl<W: Write> Stream<'_, W> {
    fn show<T: Watched>(&mut self, look: &Look<T>) -> Result<(), Error> {
        if std::mem::take(&mut self.is_lost) {
            tell("connected again");
        }
        let mut faces = BTreeMap::new();
        for record in &look.records {
            let (key, face) = (record.key(), record.face()?);
            if self.faces.remove(&key).as_ref() != Some(&face) {
                self.output.line(&record.json()?)?;
            }
            faces.insert(key, face);
        }
        for gone in std::mem::replace(&mut self.faces, faces).keys() {
            self.output.line(&json!({ "gone": gone }).to_string())?;
        }
        self.output.flush()
    }
}

/// The table, drawn in place.
struct Screen {
    shape: Shape,
    /// What the last look found: a table, or the lines of one record.
    table: Option<Table>,
    lines: Vec<String>,
    trouble: Option<String>,
    /// What stands on the terminal.
    drawn: String,
    is_dumb: bool,
}

impl Screen {
    fn new(shape: Shape) -> Self {
        let term = std::env::var("TERM").unwrap_or_default();
        let screen = Self {
            shape,
            table: None,
            lines: Vec::new(),
            trouble: None,
            drawn: String::new(),
            is_dumb: matches!(term.as_str(), "" | "dumb"),
        };
        if !screen.is_dumb {
            // The other screen, no cursor.
            let _ = put("\u{1b}[?1049h\u{1b}[?25l");
        }
        screen
    }

    fn show<T: Watched>(&mut self, look: &Look<T>) -> Result<(), Error> {
        let mut text = Vec::new();
        match self.shape {
            Shape::List => self.table = Some(Table::of(&look.records)),
            Shape::One => {
                let mut output = Output::new(Format::Table, &mut text);
                look.records.iter().try_for_each(|it| output.one(it))?;
            }
        }
        let text = String::from_utf8_lossy(&text);
        self.lines = text.lines().map(str::to_owned).collect();
        self.lines.extend(look.note.clone());
        self.trouble = None;
        self.redraw()
    }

    /// Writes when what is to be seen is another than what is.
    fn redraw(&mut self) -> Result<(), Error> {
        let (columns, rows) = crossterm::terminal::size().unwrap_or((80, 24));
        let table = self.table.as_ref().map(|it| it.lines(columns.into()));
        let mut lines = table.unwrap_or_default();
        lines.extend(self.lines.iter().cloned());
        let frame = if self.is_dumb {
            lines.extend(self.trouble.clone());
            lines.join("\n") + "\n\n"
        } else {
            frame(&lines, self.trouble.as_deref(), columns.into(), rows.into())
        };
        if frame != self.drawn {
            put(&frame).map_err(Error::output)?;
            self.drawn = frame;
        }
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if !self.is_dumb {
            // Nothing is left to do when the terminal has gone.
            let _ = put("\u{1b}[?25h\u{1b}[?1049l");
        }
    }
}

fn put(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// The bytes that show `lines` from the top of a terminal of this size, the trouble last.
fn frame(lines: &[String], trouble: Option<&str>, columns: usize, rows: usize) -> String {
    let mut trouble = trouble.map_or_else(Vec::new, |it| wrap(&inert(it), columns));
    trouble.truncate(TROUBLE);
    let room = rows.saturating_sub(1 + trouble.len()).max(1);
    let (shown, rest) = if lines.len() > room {
        (room.saturating_sub(1), lines.len() - room + 1)
    } else {
        (lines.len(), 0)
    };
    let more = (rest > 0).then(|| format!(".. and {rest} more lines"));
    let all = lines.iter().take(shown).map(String::as_str);
    let trouble = trouble.iter().map(String::as_str);
    let all = all.chain(more.as_deref()).chain(trouble);
    let mut frame = String::from("\u{1b}[H");
    for line in all {
        frame.push_str(fit(line, columns).trim_end());
        frame.push_str("\u{1b}[K\r\n");
    }
    frame.push_str("\u{1b}[J");
    frame
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Serialize)]
    struct Thing(&'static str, u32);

    impl Record for Thing {
        const HEADINGS: &'static [&'static str] = &["NAME", "SIZE"];

        fn cells(&self) -> Vec<String> {
            vec![self.0.to_owned(), self.1.to_string()]
        }

        fn fields(&self) -> Vec<(&'static str, String)> {
            Vec::new()
        }
    }

    impl Watched for Thing {
        fn key(&self) -> String {
            self.0.to_owned()
        }
    }

    #[test]
    fn a_stream_has_what_is_new_what_changed_and_what_is_gone() {
        let mut bytes = Vec::new();
        let mut output = Output::new(Format::Ndjson, &mut bytes);
        let mut stream = Stream {
            output: &mut output,
            faces: BTreeMap::new(),
            is_lost: false,
        };
        for records in [
            vec![Thing("a", 1), Thing("b", 1)],
            vec![Thing("a", 1), Thing("b", 1)],
            vec![Thing("a", 2), Thing("b", 1)],
            vec![Thing("b", 1), Thing("c", 1)],
        ] {
            let look = Look {
                records,
                note: None,
            };
            stream.show(&look).unwrap();
        }
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "[\"a\",1]\n[\"b\",1]\n[\"a\",2]\n[\"c\",1]\n{\"gone\":\"a\"}\n"
        );
    }

    #[test]
    fn what_does_not_fit_is_said_and_the_trouble_stays_in_sight() {
        let lines: Vec<_> = (0..10).map(|n| format!("line {n} which is long")).collect();
        let shown = |trouble, rows| {
            let frame = frame(&lines, trouble, 8, rows);
            frame.replace("\u{1b}[K\r\n", "|")
        };
        assert_eq!(
            shown(None, 4),
            "\u{1b}[Hline 0..|line 1..|.. and..|\u{1b}[J"
        );
        assert_eq!(
            shown(Some("gone"), 4),
            "\u{1b}[Hline 0..|.. and..|gone|\u{1b}[J"
        );
        assert!(shown(None, 24).ends_with("line 9..|\u{1b}[J"));
    }
}
