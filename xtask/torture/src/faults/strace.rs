//! strace, by which calls are seen and made to fail.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::points::{Calls, Fault, Point};
use crate::site::Site;

/// The calls that open, write, sync, name and size files.
const CALLS: &str = "openat,write,writev,pwrite64,pwritev,fsync,fdatasync,sync_file_range,\
rename,renameat,renameat2,ftruncate,fallocate,unlink,unlinkat,mkdir,mkdirat";

/// Makes sure that there is a strace.
pub(crate) fn require() -> anyhow::Result<()> {
    let status = Command::new("strace")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .context("cannot run strace: install it (Debian's package strace)")?;
    ensure!(status.success(), "`strace --version` failed: {status}");
    Ok(())
}

fn strace(log: &Path) -> Command {
    let mut command = Command::new("strace");
    // Names of files beside their descriptors, and nothing of what is written.
    command
        .args(["-f", "-qq", "-y", "-s", "0", "-e", "signal=none", "-o"])
        .arg(log)
        .stdin(Stdio::null());
    command
}

fn then(mut strace: Command, command: &Command) -> Command {
    strace
        .arg("--")
        .arg(command.get_program())
        .args(command.get_args());
    strace
}

/// The command, with its calls written to a file.
pub(super) fn record(log: &Path, command: &Command) -> Command {
    let mut strace = strace(log);
    strace.args(["--seccomp-bpf", "-e", &format!("trace={CALLS}")]);
    then(strace, command)
}

/// The command, with one call failing.
pub(super) fn inject(log: &Path, site: &Site, point: &Point, command: &Command) -> Command {
    let Point {
        path,
        call,
        number,
        fault,
        ..
    } = point;
    let mut strace = strace(log);
    // Stopped by seccomp, a process does not take a signal from its tracer.
    if *fault != Fault::Kill {
        strace.arg("--seccomp-bpf");
    }
    strace
        .arg("-P")
        .arg(site.folder().join(path))
        .args(["-e", &format!("trace={call}")])
        .args([
            "-e",
            &format!("inject={call}:{}:when={number}", fault.injection()),
        ]);
    then(strace, command)
}

/// How often what was called in a folder, in the thread that did so most.
pub(super) fn calls(log: &str, folder: &Path) -> Calls {
    let folder = format!("{}/", folder.display());
    let mut by_thread: HashMap<(&str, String, &str), u64> = HashMap::new();
    for line in log.lines() {
        let Some((thread, rest)) = line.split_once(char::is_whitespace) else {
            continue;
        };
        // Of a call that another interrupts, the second line has no parenthesis after its name.
        let Some((call, arguments)) = rest.trim_start().split_once('(') else {
            continue;
        };
        if call.starts_with('<')
            || !call
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || it == b'_')
        {
            continue;
        }
        let path = path_of(call, arguments);
        if let Some(path) = path.and_then(|path| path.strip_prefix(&folder)) {
            if !path.starts_with("disk") {
                continue;
            }
            *by_thread
                .entry((thread, path.to_owned(), call))
                .or_default() += 1;
        }
    }
    let mut calls = Calls::new();
    for ((_, path, call), count) in by_thread {
        let most = calls.entry((path, call.to_owned())).or_default();
        *most = count.max(*most);
    }
    calls
}

/// The file that a call is about: named in quotes, or beside its descriptor.
fn path_of<'a>(call: &str, arguments: &'a str) -> Option<&'a str> {
    let (open, close) = match call {
        "openat" | "rename" | "renameat" | "renameat2" | "unlink" | "unlinkat" | "mkdir"
        | "mkdirat" => ('"', '"'),
        _ => ('<', '>'),
    };
    let (_, rest) = arguments.split_once(open)?;
    Some(rest.split_once(close)?.0)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::calls;

    #[test]
    fn calls_are_counted_by_the_thread_that_makes_most() {
        let log = "\
7 openat(AT_FDCWD</home>, \"/t/disk/head\"..., O_RDONLY|O_CLOEXEC) = 9</t/disk/head>
8 write(9</t/disk/head.new>, \"\"..., 12) = 12
8 write(9</t/disk/head.new>, \"\"..., 12 <unfinished ...>
9 write(9</t/disk/head.new>, \"\"..., 12) = 12
8 <... write resumed>) = 12
8 write(2</t/stderr>, \"\"..., 12) = 12
8 rename(\"/t/disk/head.new\", \"/t/disk/head\") = 0
8 write(10<socket:[1]>, \"\"..., 12) = 12
";
        let calls: Vec<_> = calls(log, Path::new("/t")).into_iter().collect();
        let expected = [
            ("disk/head", "openat", 1),
            ("disk/head.new", "rename", 1),
            ("disk/head.new", "write", 2),
        ];
        let expected = expected.map(|(path, call, n)| ((path.to_owned(), call.to_owned()), n));
        assert_eq!(calls, expected);
    }
}
