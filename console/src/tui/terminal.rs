//! The terminal: taken over, drawn to, and always given back.
//!
//! Drawing does not go through ratatui's `Terminal`: that one writes a cursor sequence with every
//! frame, also when nothing changed, and its `clear` asks the terminal for its cursor and can wait
//! two seconds for the answer. Here a frame that is like the one before writes nothing at all.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute, queue};
use ratatui::backend::{Backend, ClearType, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use zeroize::Zeroize as _;

/// Whether the terminal is taken over now, so that a panic knows what to give back.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Where frames go, each in one write. What was written is wiped: it may have been a secret.
///
/// Standard output itself has a buffer that is not, and so it is passed by.
#[derive(Debug)]
struct Output {
    terminal: File,
    frame: Vec<u8>,
}

impl Output {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminal: io::stdout().as_fd().try_clone_to_owned()?.into(),
            frame: Vec::with_capacity(16 << 10),
        })
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.frame.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = self.terminal.write_all(&self.frame);
        self.frame.zeroize();
        written
    }
}

/// The terminal while the console has it.
#[derive(Debug)]
pub(crate) struct Terminal {
    backend: CrosstermBackend<Output>,
    shown: Buffer,
    cursor: Option<Position>,
}

impl Terminal {
    /// Takes the terminal over.
    pub(crate) fn take() -> io::Result<Self> {
        // The palette decides about colour; crossterm would drop attributes with `NO_COLOR` too.
        crossterm::style::force_color_output(true);
        give_back_on_panic();
        let mut terminal = Self {
            backend: CrosstermBackend::new(Output::new()?),
            shown: Buffer::empty(Rect::ZERO),
            cursor: None,
        };
        terminal.enter()?;
        Ok(terminal)
    }

    /// Takes the terminal over again, with nothing drawn.
    pub(crate) fn enter(&mut self) -> io::Result<()> {
        enable_raw_mode()?;
        IS_TAKEN.store(true, Ordering::SeqCst);
        execute!(
            self.backend,
            EnterAlternateScreen,
            EnableBracketedPaste,
            cursor::Hide
        )?;
        self.reset()
    }

    /// Gives the terminal back as it was.
    pub(crate) fn leave(&mut self) {
        // Whatever was not written yet belongs to the screen that is left.
        let _ = Backend::flush(&mut self.backend);
        give_back();
    }

    /// Forgets what is shown: the next frame is written in full, at the size there is now.
    pub(crate) fn reset(&mut self) -> io::Result<()> {
        let size = self.backend.size()?;
        self.backend.clear_region(ClearType::All)?;
        self.shown = Buffer::empty(Rect::new(0, 0, size.width, size.height));
        self.cursor = None;
        queue!(self.backend, cursor::Hide)
    }

    /// The size that frames have.
    pub(crate) fn area(&self) -> Rect {
        self.shown.area
    }

    /// Whether the terminal has another size than the frames.
    pub(crate) fn is_resized(&self) -> bool {
        self.backend.size().is_ok_and(|size| {
            (size.width, size.height) != (self.shown.area.width, self.shown.area.height)
        })
    }

    /// Shows `frame`. Writes what is other than before, in one go, or nothing.
    /// Tells whether anything was written.
    pub(crate) fn show(&mut self, frame: Buffer, cursor: Option<Position>) -> io::Result<bool> {
        let updates = self.shown.diff(&frame);
        if updates.is_empty() && cursor == self.cursor {
            return Ok(false);
        }
        if !updates.is_empty() {
            self.backend.draw(updates.into_iter())?;
        }
        match cursor {
            Some(position) => {
                self.backend.set_cursor_position(position)?;
                if self.cursor.is_none() {
                    queue!(self.backend, cursor::Show)?;
                }
            }
            None if self.cursor.is_some() => queue!(self.backend, cursor::Hide)?,
            None => {}
        }
        self.cursor = cursor;
        self.shown = frame;
        Backend::flush(&mut self.backend)?;
        Ok(true)
    }

    /// Where sequences for the terminal go that are no part of a frame.
    pub(crate) fn writer(&mut self) -> &mut impl io::Write {
        &mut self.backend
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Gives the terminal back, when it is taken. Safe to do twice, and from any thread.
pub(crate) fn give_back() {
    if !IS_TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // The modes first: that cannot wait, whereas a terminal may take no more bytes. When it is
    // gone altogether there is nothing to give back.
    let _ = disable_raw_mode();
    let mut stdout = io::stdout();
    let _ = execute!(
        stdout,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        cursor::Show
    );
    let _ = stdout.flush();
}

fn give_back_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        give_back();
        report(panic);
    }));
}
