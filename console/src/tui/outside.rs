//! What comes from outside of the loop, the terminal's events and signals; and the files that go there.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use crossterm::event::{Event as TerminalEvent, EventStream, KeyEventKind};
use futures_util::StreamExt as _;
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;

use super::event::Event;
use crate::error::Error;
use crate::secret_file::SecretFile;

/// How long an orderly end may take before the program ends anyway.
const LAST_WORDS: Duration = Duration::from_millis(700);

/// Reads the terminal in a task of its own. The stream of events must not be polled in passing:
/// it remembers whom it has to wake from the first time that it has nothing.
pub(super) fn read_input() -> mpsc::UnboundedReceiver<Event> {
    let (events, queue) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut input = EventStream::new();
        while let Some(Ok(event)) = input.next().await {
            if let Some(event) = translate(event)
                && events.send(event).is_err()
            {
                return;
            }
        }
        // The terminal is gone. Going on would be an orphan that spins.
        drop(events.send(Event::Terminate));
    });
    queue
}

fn translate(event: TerminalEvent) -> Option<Event> {
    match event {
        TerminalEvent::Key(key) if key.kind != KeyEventKind::Release => Some(Event::Key(key)),
        TerminalEvent::Paste(text) => Some(Event::Paste(text)),
        TerminalEvent::Resize(width, height) => Some(Event::Resize(width, height)),
        _ => None,
    }
}

/// Asks the loop to end when the signal comes, and ends the program when the loop cannot: a
/// terminal that takes no more bytes holds it in the middle of a frame.
pub(super) async fn end_on(mut signal: Signal, events: mpsc::UnboundedSender<Event>) {
    if signal.recv().await.is_none() {
        return;
    }
    drop(events.send(Event::Terminate));
    tokio::time::sleep(LAST_WORDS).await;
    // Only the modes: writing is what hangs.
    let _ = crossterm::terminal::disable_raw_mode();
    std::process::exit(0);
}

/// Writes a text to a file that was not there: what is there is never overwritten.
pub(super) fn export(path: &Path, text: &str) -> Result<(), Error> {
    let what = format!("cannot write {}", path.display());
    std::fs::File::create_new(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(Error::io(what))
}

/// Writes a secret to a new file that nobody else can read.
pub(super) fn write_secret(path: &Path, secret: &str) -> Result<(), Error> {
    SecretFile::create(path)?.write(secret)
}
