//! A secret given to a command of the shell: on its standard input, and nowhere else. Arguments and
//! the environment can be read by others. What the command says is not shown: it may say the secret.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// How long the command may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `command` with `secret` on its standard input, without a line end, and waits for its end.
pub(super) async fn run(command: &str, secret: &str) -> Result<(), String> {
    within(PATIENCE, command, secret).await
}

async fn within(patience: Duration, command: &str, secret: &str) -> Result<(), String> {
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A group of its own: the terminal is the console's, and so are the keys.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("the command could not be started: {error}"))?;
    let stdin = child.stdin.take();
    let work = async {
        if let Some(mut stdin) = stdin {
            // One that does not read tells by how it ends.
            let _ = stdin.write_all(secret.as_bytes()).await;
        }
        child.wait().await
    };
    let ended = tokio::time::timeout(patience, work).await;
    match ended {
        Err(_) => Err(format!(
            "the command did not end within {} s and was ended",
            patience.as_secs()
        )),
        Ok(Err(error)) => Err(format!("the command failed: {error}")),
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!(
            "the command failed ({status}): run it in a shell to see what it says"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_command_has_the_secret_on_its_standard_input_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let seen = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let place = folder.path().display();
        let command = format!(
            "cat > {place}/stdin; tr '\\0' ' ' < /proc/$$/cmdline > {place}/words; env > {place}/env"
        );
        run(&command, "aidp_s3cr3t").await.unwrap();
        assert_eq!(seen("stdin"), "aidp_s3cr3t");
        assert!(seen("words").contains("cat") && !seen("words").contains("s3cr3t"));
        assert!(!seen("env").contains("s3cr3t"));
    }

    #[tokio::test]
    async fn a_command_that_fails_or_does_not_end_says_so_and_repeats_nothing() {
        let error = run("cat >&2; exit 3", "aidp_s3cr3t").await.unwrap_err();
        assert!(error.contains('3') && !error.contains("s3cr3t"), "{error}");
        let patience = Duration::from_millis(50);
        let error = within(patience, "sleep 60", "aidp_s3cr3t")
            .await
            .unwrap_err();
        assert!(error.contains("did not end"), "{error}");
        // One that never reads is not waited for.
        run("true", &"x".repeat(1 << 20)).await.unwrap();
    }
}
