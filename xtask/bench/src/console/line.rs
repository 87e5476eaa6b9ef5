//! Sixty keys at once over a long and slow line: a real sshd and ssh with the line between them.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use agentidp_tests::{Link, Process, TestConsole, free_address};
use anyhow::{Context as _, ensure};
use nix::unistd::{User, geteuid};

use super::{Desk, figure, is_listed};

/// One way.
const DELAY: Duration = Duration::from_millis(150);

/// Each way.
const BYTES_PER_SECOND: u32 = 16_000;

/// How long the console is quiet before and after.
const QUIET: Duration = Duration::from_secs(2);

pub(super) fn sixty_keys(desk: &Desk) -> anyhow::Result<()> {
    if !Path::new("/usr/sbin/sshd").exists() {
        println!("60 keys over a slow line: not measured, because sshd is not installed");
        return Ok(());
    }
    let far = free_address();
    let _sshd = sshd(desk.folder(), far)?;
    let link = Link::to(far, DELAY, BYTES_PER_SECOND);
    let mut console = ssh(desk, &link, far)?;
    console.wait_until("a list", is_listed);
    let before = console.written_after(QUIET);
    console.press(&"j".repeat(60));
    console.wait_for(&desk.row(60)?);
    let shown = Instant::now();
    let arrived = link.arrived().context("nothing came through the line")?;
    let took = shown.duration_since(arrived).as_secs_f64();
    let written = u32::try_from(console.written_after(QUIET) - before)?;
    figure(
        "60 keys over the line: last one there to all shown",
        took,
        "s",
        0.5,
    );
    figure(
        "60 keys over the line: written",
        f64::from(written),
        "B",
        3_000.0,
    );
    Ok(())
}

fn sshd(folder: &Path, address: SocketAddr) -> anyhow::Result<Process> {
    for key in ["host_key", "client_key"] {
        let status = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(folder.join(key))
            .stdin(Stdio::null())
            .status()?;
        ensure!(status.success(), "ssh-keygen failed");
    }
    let at = folder.display();
    let config = format!(
        "Port {}\nListenAddress {}\nHostKey {at}/host_key\nPidFile none\nStrictModes no\n\
         AuthorizedKeysFile {at}/client_key.pub\nPasswordAuthentication no\nUsePAM no\n",
        address.port(),
        address.ip()
    );
    fs::write(folder.join("sshd_config"), config)?;
    if geteuid().is_root() {
        // sshd wants it, and has it where it runs as a service.
        fs::create_dir_all("/run/sshd")?;
    }
    let mut command = Command::new("/usr/sbin/sshd");
    command
        .args(["-D", "-e", "-f"])
        .arg(folder.join("sshd_config"));
    let sshd = Process::spawn(command);
    sshd.wait_for("listening sshd", |seen| {
        let said = String::from_utf8_lossy(&seen.stderr);
        said.contains("Server listening").then_some(())
    });
    Ok(sshd)
}

fn ssh(desk: &Desk, link: &Link, far: SocketAddr) -> anyhow::Result<TestConsole> {
    let folder = desk.folder().display();
    let user = User::from_uid(geteuid())?.context("a user without a name")?;
    let public = fs::read_to_string(desk.folder().join("host_key.pub"))?;
    let known = format!("[127.0.0.1]:{} {public}", far.port());
    fs::write(desk.folder().join("known_hosts"), known)?;
    let options = [
        format!("Port={}", link.address.port()),
        format!("HostKeyAlias=[127.0.0.1]:{}", far.port()),
        format!("UserKnownHostsFile={folder}/known_hosts"),
        format!("User={}", user.name),
        "BatchMode=yes".to_owned(),
    ];
    let key = format!("{folder}/client_key");
    let command = format!(
        "env AGENTIDP_SOCKET={} {} --config {}",
        desk.socket.display(),
        desk.program.display(),
        desk.config
    );
    let mut words = vec!["-F", "none", "-i", &key, "-tt"];
    for option in &options {
        words.extend(["-o", option]);
    }
    words.extend(["127.0.0.1", &command]);
    Ok(TestConsole::by_way_of(Path::new("ssh"), &words))
}
