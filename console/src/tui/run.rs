//! The verbs of the command line inside the console: the same program is started with the words that
//! were typed, without a terminal, and what it says is shown. So both do the same, to the last error.

use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

/// How much of an answer is kept.
const MOST: u64 = 256 << 10;

/// This program, also when its file was replaced since it started.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// What a command ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    /// Whether it did what it was asked.
    pub(crate) is_done: bool,
    /// Its exit code; none when a signal ended it or it could not be started.
    pub(crate) code: Option<i32>,
    /// What it gave out, and what it had to say.
    pub(crate) data: String,
    pub(crate) told: String,
    /// More came than is kept.
    pub(crate) is_cut: bool,
}

impl Output {
    fn failed(why: &str) -> Self {
        Self {
            is_done: false,
            code: None,
            data: String::new(),
            told: why.to_owned(),
            is_cut: false,
        }
    }
}

/// Runs `agentidp WORDS` for the daemon on `socket`. Dropped, the command is ended.
pub(super) async fn run(words: Vec<String>, socket: &str) -> Output {
    let mut command = Command::new(THIS_PROGRAM);
    command
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if !socket.is_empty() {
        command.env("AGENTIDP_SOCKET", socket);
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Output::failed(&format!("it could not be started: {error}")),
    };
    let (data, told) = tokio::join!(keep(child.stdout.take()), keep(child.stderr.take()));
    let is_cut = data.1 || told.1;
    if is_cut {
        // It would wait for ever for someone to read the rest.
        let _ = child.start_kill();
    }
    match child.wait().await {
        Ok(status) => Output {
            is_done: status.success(),
            code: status.code(),
            data: data.0,
            told: told.0,
            is_cut,
        },
        Err(error) => Output::failed(&error.to_string()),
    }
}

/// Reads what there is, up to a limit; tells whether there was more.
async fn keep(pipe: Option<impl AsyncRead + Unpin>) -> (String, bool) {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What was read before an error counts.
        let _ = pipe.take(MOST).read_to_end(&mut bytes).await;
    }
    let is_cut = bytes.len() as u64 >= MOST;
    (String::from_utf8_lossy(&bytes).into_owned(), is_cut)
}
