//! Handing a secret to the clipboard of the terminal that the operator sits at.

use std::io::{self, Write};
use std::process::Stdio;

use crossterm::Command as _;
use crossterm::clipboard::CopyToClipboard;
use tokio::io::AsyncWriteExt as _;

/// What the terminal runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Multiplexer {
    None,
    Tmux,
    Screen,
}

impl Multiplexer {
    /// Chosen from the environment.
    pub(crate) fn choose(tmux: Option<&str>, sty: Option<&str>) -> Self {
        let is_set = |value: Option<&str>| value.is_some_and(|value| !value.is_empty());
        if is_set(tmux) {
            Self::Tmux
        } else if is_set(sty) {
            Self::Screen
        } else {
            Self::None
        }
    }
}

/// Sends `secret` through tmux, which hands it on to its own terminal. Through its standard input:
/// arguments can be seen by others.
pub(crate) async fn through_tmux(secret: &str) -> io::Result<()> {
    let mut tmux = tokio::process::Command::new("tmux")
        .args(["load-buffer", "-w", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = tmux.stdin.take() {
        stdin.write_all(secret.as_bytes()).await?;
    }
    let status = tmux.wait().await?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("tmux ended with {status}")))
    }
}

/// Sends `secret` to the terminal itself as OSC 52, through screen when that is in between.
pub(crate) fn to_terminal(
    out: &mut impl Write,
    secret: &str,
    multiplexer: Multiplexer,
) -> io::Result<()> {
    let mut sequence = String::new();
    CopyToClipboard::to_clipboard_from(secret)
        .write_ansi(&mut sequence)
        .map_err(io::Error::other)?;
    if multiplexer == Multiplexer::Screen {
        // Screen passes on what stands in a device control string, and ends it at ESC backslash:
        // OSC 52 that ends with BEL has none.
        let inner = sequence
            .trim_end_matches("\u{1b}\\")
            .trim_end_matches('\u{7}');
        sequence = format!("\u{1b}P{inner}\u{7}\u{1b}\\");
    }
    out.write_all(sequence.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_gets_the_secret_as_osc_52() {
        let mut out = Vec::new();
        to_terminal(&mut out, "aidp_x", Multiplexer::None).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("\u{1b}]52;c;YWlkcF94"), "{text:?}");
    }

    #[test]
    fn screen_gets_it_in_its_wrapper() {
        let mut out = Vec::new();
        to_terminal(&mut out, "aidp_x", Multiplexer::Screen).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "\u{1b}P\u{1b}]52;c;YWlkcF94\u{7}\u{1b}\\");
    }

    #[test]
    fn the_environment_tells_the_multiplexer() {
        for (tmux, sty, multiplexer) in [
            (None, None, Multiplexer::None),
            (Some("/tmp/tmux"), None, Multiplexer::Tmux),
            (Some(""), Some("1.pts"), Multiplexer::Screen),
        ] {
            assert_eq!(Multiplexer::choose(tmux, sty), multiplexer);
        }
    }
}
