//! The daemon as its service manager sees it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use agentidp_tests::{
    DEADLINE, Installation, Process, Registration, Request, TestDaemon, project_root,
};
use nix::sys::signal::Signal;

#[test]
fn the_daemon_is_ready_only_when_it_serves() {
    let installation = Installation::initialized();
    let process = installation.spawn();
    // The answer is asked for the moment that the notification is there.
    process.wait_for_notification("READY=1");
    let http = agentidp_tests::Http {
        address: installation.config.listen,
    };
    assert_eq!(http.get("/health/ready").status, 200);
    let cli = agentidp_tests::Cli::new(&installation.config.socket);
    assert_eq!(cli.json(&["status", "-o", "json"])["ready"], true);
}

#[test]
fn the_watchdog_is_fed_when_there_is_one() {
    let mut installation = Installation::initialized();
    installation
        .environment
        .push(("WATCHDOG_USEC".to_owned(), "400000".to_owned()));
    let daemon = installation.start();
    daemon.process.wait_for("three feedings", |seen| {
        (seen
            .notifications
            .iter()
            .filter(|it| *it == "WATCHDOG=1")
            .count()
            >= 3)
            .then_some(())
    });
}

#[test]
fn sigterm_ends_the_daemon_in_time_though_clients_hold_on() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let tail = daemon
        .cli()
        .spawn(&["audit", "tail", "--from", "0", "-o", "ndjson"]);
    tail.wait_for_line("the first entry", |line| {
        line.contains("store.init").then_some(())
    });
    let http = daemon.http();
    let mut idle = [(); 4].map(|()| http.keep_alive());
    for connection in &mut idle {
        assert_eq!(
            connection
                .exchange(&Request::new("GET", "/health/live"))
                .status,
            200
        );
    }
    let silent = http.keep_alive();
    let mut busy = http.keep_alive();
    assert_eq!(busy.exchange(&client.basic(&[])).status, 200);

    daemon.process.signal(Signal::SIGTERM);
    daemon.process.wait_for_notification("STOPPING=1");
    let (installation, finished) = daemon.stop();
    assert_eq!(finished.code(), Some(0));
    assert!(
        !installation.config.socket.exists(),
        "the socket is taken away"
    );
    drop((idle, silent, busy));
    installation.check_store();

    // Who follows the log follows it over the restart, and misses and repeats nothing.
    let _daemon = installation.start();
    let entry = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok();
    let stop = tail.wait_for_line("the end", |line| {
        entry(line).filter(|it| it["action"] == "daemon.stop")
    });
    tail.wait_for_line("the start after it", |line| {
        let entry = entry(line)?;
        (entry["action"] == "daemon.start" && entry["seq"].as_u64() > stop["seq"].as_u64())
            .then_some(())
    });
    let text = tail.seen(|seen| String::from_utf8_lossy(&seen.stdout).into_owned());
    for (index, line) in text.lines().enumerate() {
        assert_eq!(entry(line).unwrap()["seq"], index);
    }
}

#[test]
fn one_who_follows_the_log_and_reads_nothing_of_it_holds_up_no_end() {
    /// What requests under way are given; one who does not read is given less.
    const DRAIN: Duration = Duration::from_secs(7);
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let tail = daemon
        .cli()
        .spawn(&["audit", "tail", "--from", "0", "-o", "ndjson"]);
    tail.wait_for_line("the first entry", |line| {
        line.contains("store.init").then_some(())
    });
    tail.signal(Signal::SIGSTOP);
    // More than all buffers on the way to the reader hold.
    let agents = (0..6_000).map(|number| {
        let agent = serde_json::json!({
            "email": format!("bot-{number:04}@acme.example"), "agent_type": "screener",
            "version": "1.0.0", "capabilities": ["resume:read"], "owner": "team-a",
            "deployment_env": "production",
        });
        format!("{agent}\n")
    });
    let path = daemon.installation.directory().join("agents.ndjson");
    fs::write(&path, agents.collect::<String>()).unwrap();
    let path = path.to_str().unwrap();
    let words = ["agent", "register-many", path, "--org", "acme"];
    let _ = daemon.cli().run(&words).ok();
    let begun = Instant::now();
    let (installation, finished) = daemon.stop();
    let took = begun.elapsed();
    assert_eq!(finished.code(), Some(0));
    assert!(took < DRAIN, "{took:?}");
    installation.check_store();
    tail.signal(Signal::SIGCONT);
}

#[test]
fn sigterm_under_load_gives_every_token_that_was_issued_to_whom_it_was_issued() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    assert_eq!(client.token(&[]).status, 200);
    let (had_enough, enough) = std::sync::mpsc::channel();
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (client, had_enough) = (client.clone(), had_enough.clone());
            std::thread::spawn(move || {
                let mut tokens = 0;
                while let Ok(answer) = client.try_token() {
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    tokens += 1;
                    if tokens == 50 {
                        let _ = had_enough.send(());
                    }
                }
                tokens
            })
        })
        .collect();
    enough.recv().unwrap();
    let (installation, _) = daemon.stop();
    let received: usize = load.into_iter().map(|it| it.join().unwrap()).sum();
    let daemon = installation.start();
    let issued = [
        "audit",
        "list",
        "--action",
        "token.issue",
        "--limit",
        "100000",
        "-o",
        "ndjson",
    ];
    assert_eq!(daemon.cli().ndjson(&issued).len(), 1 + received);
}

/// Connects and says `bytes`. What the daemon answers until it closes the connection, which has to
/// be soon.
fn answer_to_no_more_than(daemon: &TestDaemon, bytes: &[u8]) -> String {
    let mut connection = TcpStream::connect(daemon.installation.config.listen).unwrap();
    connection.write_all(bytes).unwrap();
    connection.set_read_timeout(Some(DEADLINE)).unwrap();
    let started = Instant::now();
    let mut answer = String::new();
    let ended = connection.read_to_string(&mut answer);
    assert!(
        ended.is_ok() && started.elapsed() < Duration::from_secs(10),
        "{ended:?}"
    );
    answer
}

#[test]
fn a_client_that_says_nothing_is_let_go() {
    let daemon = TestDaemon::start();
    assert_eq!(answer_to_no_more_than(&daemon, b""), "");
    let _ = daemon.stop();
}

#[test]
fn a_client_that_does_not_finish_its_request_is_let_go() {
    let daemon = TestDaemon::start();
    // The second begins as HTTP/2 does, which is not spoken here.
    for begun in [
        &b"POST /oauth2/token HTTP/1.1\r\nhost: x\r\n"[..],
        b"PRI * HTTP/2.0\r\n",
    ] {
        answer_to_no_more_than(&daemon, begun);
    }
    let _ = daemon.stop();
}

#[test]
fn a_client_that_asks_no_more_is_let_go() {
    let daemon = TestDaemon::start();
    let request = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
    let answer = answer_to_no_more_than(&daemon, request);
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("live\n"),
        "{answer}"
    );
    let _ = daemon.stop();
}

#[test]
fn more_clients_than_there_may_be_wait_for_the_others_to_end() {
    let mut installation = Installation::initialized();
    // Half of these are for connections.
    installation.by_way_of = ["prlimit", "--nofile=64"].map(str::to_owned).to_vec();
    let daemon = installation.start();
    let http = daemon.http();
    let silent = [(); 60].map(|()| http.keep_alive());
    assert_eq!(http.get("/health/ready").status, 200);
    drop(silent);
    let (_, finished) = daemon.stop();
    // It never ran out of files, which the store and the operators need too.
    assert!(
        !finished.stderr.contains("could not be accepted"),
        "{}",
        finished.stderr
    );
}

#[test]
fn the_daemon_raises_the_limit_of_open_files_as_far_as_it_may() {
    let mut installation = Installation::initialized();
    installation.by_way_of = ["prlimit", "--nofile=64:256"].map(str::to_owned).to_vec();
    let daemon = installation.start();
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.process.pid())).unwrap();
    let open_files = limits.lines().find(|it| it.starts_with("Max open files"));
    let words: Vec<_> = open_files.unwrap().split_whitespace().collect();
    assert_eq!(words[3..5], ["256", "256"], "{words:?}");
    let _ = daemon.stop();
}

#[test]
fn every_line_that_the_daemon_logs_is_json_and_requests_have_their_id() {
    let mut installation = Installation::initialized();
    let level = ("AGENTIDP_LOG_LEVEL".to_owned(), "debug".to_owned());
    installation.environment.push(level);
    let daemon = installation.start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let denied = client.with_secret("x").token(&[]);
    let (_, finished) = daemon.stop();
    let mut lines = Vec::new();
    for line in finished.stderr.lines() {
        let value: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        lines.push(value);
    }
    let request = denied.header("x-request-id").unwrap();
    assert!(
        lines.iter().any(|line| line.to_string().contains(request)),
        "{lines:#?}"
    );
}

#[test]
fn the_units_verify_without_a_word() {
    let folder = fs::read_dir(project_root().join("systemd")).unwrap();
    let mut units: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    units.retain(|path| {
        path.extension()
            .is_some_and(|it| it == "service" || it == "socket")
    });
    units.sort();
    assert!(!units.is_empty());
    let mut command = Command::new("systemd-analyze");
    command.arg("verify").args(&units);
    let finished = Process::spawn(command).wait();
    assert_eq!(
        (finished.stdout.as_str(), finished.stderr.as_str()),
        ("", ""),
        "{}",
        finished.command
    );
    assert_eq!(finished.code(), Some(0));
}
