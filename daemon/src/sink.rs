//! Ways for checkpoints off the machine: a file, a command, and witnesses. A log that is rewritten later
//! contradicts what is there.
//!
//! Each is a task of its own, behind the checkpoints and never before them: nobody waits for a file
//! on a slow disk, or a command that hangs. What it could not deliver it skips when there is a newer
//! one, which says more.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::service::Service;
use crate::witness::Witness;

/// How long a command may take over a checkpoint.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after a failure it is tried again when there is no newer checkpoint.
const AGAIN: Duration = Duration::from_secs(30);
/// How long the last checkpoint may take to get off the machine.
const LAST_DELIVERY: Duration = Duration::from_secs(2);
/// What a command finds in its environment: nothing of the daemon's own, which may hold secrets.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A way off the machine.
#[derive(Debug, Clone)]
pub(crate) enum Sink {
    /// Appends to a file.
    File(PathBuf),
    /// Hands it to a command, program and arguments, on its standard input.
    Command(Vec<String>),
    /// Has a witness sign it.
    Witness(Arc<Witness>),
}

impl Sink {
    /// Its name, for measurements.
    fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Command(_) => "command",
            Self::Witness(witness) => witness.name,
        }
    }

    /// Delivers every checkpoint that is the newest when its turn comes, until `ended`; then the
    /// last.
    pub(crate) async fn run(self, service: Arc<Service>, ended: CancellationToken) {
        let place = self.name();
        service.expect_deliveries(place);
        let mut newest = service.checkpoints();
        newest.mark_changed();
        let mut has_failed = false;
        // Of the last checkpoint that a witness signed.
        let mut known = 0;
        loop {
            tokio::select! {
                biased;
                changed = newest.changed() => if changed.is_err() { return },
                () = ended.cancelled() => return,
                () = tokio::time::sleep(AGAIN), if has_failed => {}
            }
            let Some(signed) = newest.borrow_and_update().clone() else {
                continue;
            };
            let delivered = match &self {
                Self::Witness(witness) => {
                    let cosigned = witness.cosign(&service, &signed, &mut known);
                    let cosigned = tokio::time::timeout(PATIENCE, cosigned).await;
                    cosigned.unwrap_or_else(|_elapsed| Err(late()))
                }
                _ => self.deliver(signed.note.to_string(), PATIENCE).await,
            };
            let failure = delivered.err();
            match &failure {
                // Once, not each second: `status` says how it stands.
                Some(error) if !has_failed => {
                    tracing::error!(%error, place, "a checkpoint did not get off the machine");
                }
                None if has_failed => {
                    tracing::info!(place, "checkpoints get off the machine again");
                }
                _ => {}
            }
            has_failed = failure.is_some();
            service.note_delivery(place, signed.size(), failure.map(|it| it.to_string()));
        }
    }

    async fn deliver(&self, note: String, patience: Duration) -> io::Result<()> {
        match self {
            Self::File(path) => {
                let at = path.clone();
                let appended = tokio::task::spawn_blocking(move || append(&at, &note)).await?;
                appended.map_err(|error| named(&path.display().to_string(), &error))
            }
            Self::Command(command) => {
                let program = command.first().map_or("", String::as_str);
                let ran = tokio::time::timeout(patience, run(command, note.as_bytes())).await;
                let killed = || {
                    let cause = format!("took more than {} s, and was killed", patience.as_secs());
                    Err(io::Error::other(cause))
                };
                ran.unwrap_or_else(|_elapsed| killed())
                    .map_err(|error| named(program, &error))
            }
            Self::Witness(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

fn late() -> io::Error {
    let cause = format!("it took more than {} s", PATIENCE.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, cause)
}

fn named(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// Appends a note and an empty line, and waits for the disk. Opened anew each time, so that the file
/// may be moved away.
fn append(path: &Path, note: &str) -> io::Result<()> {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?;
    // In one write, so that no other writer comes in between.
    file.write_all(format!("{note}\n").as_bytes())?;
    file.sync_data()
}

async fn run(command: &[String], note: &[u8]) -> io::Result<()> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no command"))?;
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        match input.write_all(note).await {
            // It may know enough; its exit code tells.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written?,
        }
    }
    let status = child.wait().await?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("it ended with {status}")))
    }
}

/// What signs checkpoints of the audit log, and what carries them off the machine. It lives longer than
/// the other parts: the last checkpoint is of the entry that says that the daemon ended.
pub(crate) struct Checkpoints {
    signing: JoinSet<()>,
    delivering: JoinSet<()>,
    end_of_signing: CancellationToken,
    end_of_delivering: CancellationToken,
}

impl Checkpoints {
    /// Starts it, with these ways off the machine.
    pub(crate) fn start(service: &Arc<Service>, sinks: Vec<Sink>) -> Self {
        let end_of_signing = CancellationToken::new();
        let mut signing = JoinSet::new();
        let (signer, end) = (Arc::clone(service), end_of_signing.clone());
        signing.spawn(async move { signer.keep_checkpoints(end).await });
        let end_of_delivering = CancellationToken::new();
        let mut delivering = JoinSet::new();
        for sink in sinks {
            delivering.spawn(sink.run(Arc::clone(service), end_of_delivering.clone()));
        }
        Self {
            signing,
            delivering,
            end_of_signing,
            end_of_delivering,
        }
    }

    /// Signs the last one, and has the store keep it.
    pub(crate) async fn sign_last(&mut self) {
        self.end_of_signing.cancel();
        while self.signing.join_next().await.is_some() {}
    }

    /// Gives the last one a moment to get off the machine.
    pub(crate) async fn finish(mut self) {
        self.end_of_delivering.cancel();
        let all = async { while self.delivering.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_DELIVERY, all).await.is_err() {
            tracing::warn!("the last checkpoint may not have got off the machine");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: &str = "/bin/sh";

    async fn deliver(sink: &Sink, note: &str) -> Result<(), String> {
        let delivered = sink.deliver(note.to_owned(), PATIENCE).await;
        delivered.map_err(|error| error.to_string())
    }

    fn shell(script: &str) -> Sink {
        Sink::Command([SHELL, "-c", script].map(str::to_owned).to_vec())
    }

    #[tokio::test]
    async fn a_file_gets_one_checkpoint_after_the_other_with_an_empty_line_between() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoints");
        let sink = Sink::File(path.clone());
        deliver(&sink, "a\n\n— a\n").await.unwrap();
        deliver(&sink, "b\n\n— b\n").await.unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "a\n\n— a\n\nb\n\n— b\n\n");
        std::fs::rename(&path, folder.path().join("moved")).unwrap();
        deliver(&sink, "c\n").await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "c\n\n");
        let nowhere = Sink::File(folder.path().join("none").join("checkpoints"));
        let error = deliver(&nowhere, "d\n").await.unwrap_err();
        assert!(error.contains("none/checkpoints: No such file"), "{error}");
    }

    #[tokio::test]
    async fn a_command_gets_the_checkpoint_and_nothing_of_the_daemon_s_environment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("got");
        let sink = shell(&format!("{{ cat; env; }} > {}", path.display()));
        deliver(&sink, "a\n\n— a\n").await.unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let environment = text.strip_prefix("a\n\n— a\n").unwrap();
        assert!(
            environment.contains("PATH=/usr/local/sbin"),
            "{environment}"
        );
        assert!(!environment.contains("CARGO"), "{environment}");
    }

    #[tokio::test]
    async fn a_command_that_fails_is_named_and_one_that_reads_nothing_may_succeed() {
        deliver(&shell("exit 0"), "a\n").await.unwrap();
        let error = deliver(&shell("exit 3"), "a\n").await.unwrap_err();
        assert_eq!(error, "/bin/sh: it ended with exit status: 3");
        let none = Sink::Command(vec!["/nonexistent/program".to_owned()]);
        let error = deliver(&none, "a\n").await.unwrap_err();
        assert!(error.starts_with("/nonexistent/program: "), "{error}");
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_given_up() {
        let sink = shell("exec tail -f /dev/null");
        let ended = sink.deliver("a\n".to_owned(), Duration::from_millis(50));
        let error = ended.await.unwrap_err().to_string();
        assert!(error.contains("took more than"), "{error}");
    }
}
