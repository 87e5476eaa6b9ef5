//! What the daemon does not start on: one clear line, an exit code that is not 0, nothing touched.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Instant;

use agentidp_tests::{
    Client, DEADLINE, Installation, MountNamespace, Process, Registration, TestDaemon, Tree,
    one_line_of_refusal,
};

/// Expects a refusal whose line holds every one of `words`, with `folder` left as it was.
fn assert_refused(installation: &Installation, folder: &Path, words: &[&str]) {
    // Written now, so that it is not taken for a change.
    let command = installation.command("run");
    let before = Tree::read(folder);
    let line = one_line_of_refusal(&Process::spawn(command).wait());
    before.assert_untouched(&Tree::read(folder));
    for word in words {
        assert!(line.contains(word), "no {word:?} in {line:?}");
    }
}

#[test]
fn a_missing_store_is_refused_and_not_made() {
    let installation = Installation::new();
    let store = installation.config.store.to_str().unwrap().to_owned();
    assert_refused(
        &installation,
        installation.directory(),
        &[&store, "agentidpd init"],
    );
}

#[test]
fn an_empty_folder_is_no_store() {
    let installation = Installation::initialized();
    fs::remove_dir_all(&installation.config.store).unwrap();
    fs::create_dir(&installation.config.store).unwrap();
    let store = installation.config.store.to_str().unwrap().to_owned();
    assert_refused(&installation, installation.directory(), &[&store]);
}

#[test]
fn a_store_is_not_made_where_one_is() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let (installation, _) = daemon.stop();
    let command = installation.command("init");
    let before = Tree::read(installation.directory());
    let line = one_line_of_refusal(&Process::spawn(command).wait());
    before.assert_untouched(&Tree::read(installation.directory()));
    assert!(
        line.contains(installation.config.store.to_str().unwrap()),
        "{line}"
    );
}

#[test]
fn a_second_daemon_on_the_same_store_is_refused_and_the_first_does_not_notice() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let mut second = Installation::new();
    let store = daemon.installation.config.store.clone();
    second.config.store.clone_from(&store);
    second
        .config
        .key_encryption_key
        .clone_from(&daemon.installation.config.key_encryption_key);
    let command = second.command("run");
    // The index belongs to the first, which writes to it when it likes.
    let tree = || {
        (
            Tree::read(&store).without("index"),
            Tree::read(second.directory()),
        )
    };
    let before = tree();
    let line = one_line_of_refusal(&Process::spawn(command).wait());
    let after = tree();
    before.0.assert_untouched(&after.0);
    before.1.assert_untouched(&after.1);
    assert!(line.contains(store.to_str().unwrap()), "{line}");
    assert_eq!(client.token(&[]).status, 200);

    let check = daemon.installation.run("store check");
    assert!(
        check.code().is_some_and(|code| code != 0),
        "a store in use is not checked: {}",
        check.stdout
    );
    assert_eq!(client.token(&[]).status, 200);
    daemon.stop().0.check_store();
}

#[test]
fn a_store_of_a_newer_format_is_refused() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let (installation, _) = daemon.stop();
    let file = installation.config.store.join("store.json");
    let mut description: serde_json::Value =
        serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let format = description["format"].as_u64().unwrap() + 1;
    description["format"] = format.into();
    fs::write(&file, description.to_string()).unwrap();
    assert_refused(
        &installation,
        installation.directory(),
        &["format", &format.to_string()],
    );
}

#[test]
fn a_read_only_store_is_refused() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let (mut installation, _) = daemon.stop();
    let store = installation.config.store.to_str().unwrap().to_owned();
    let namespace = MountNamespace::new(&format!(
        "mount --bind {store} {store}; mount -o remount,bind,ro {store}"
    ));
    installation.by_way_of = namespace.by_way_of();
    assert_refused(&installation, &installation.config.store, &[&store]);

    installation.by_way_of.clear();
    let daemon = installation.start();
    assert_eq!(
        daemon.cli().ndjson(&["org", "list", "-o", "ndjson"]).len(),
        1
    );
}

/// An installation whose store is on a disk of its own, of 64 MiB.
fn on_a_small_disk() -> (Installation, MountNamespace) {
    let mut installation = Installation::new();
    let disk = installation.directory().join("disk");
    fs::create_dir(&disk).unwrap();
    installation.config.store = disk.join("store");
    let namespace = MountNamespace::new(&format!(
        "mount -t tmpfs -o size=64m,mode=700 tmpfs {}",
        disk.display()
    ));
    installation.by_way_of = namespace.by_way_of();
    // Who starts it without being root is root in there.
    installation.config.roles[0].users.push("root".to_owned());
    (installation, namespace)
}

fn fill(installation: &Installation, namespace: &MountNamespace) {
    let filler = installation.directory().join("disk/filler");
    // dd fails when the disk is full, which is what it is for.
    namespace.run(&format!(
        "dd if=/dev/zero of={} bs=4096 2>/dev/null || true",
        filler.display()
    ));
}

#[test]
fn a_store_is_not_half_made_on_a_full_disk() {
    let (installation, namespace) = on_a_small_disk();
    fill(&installation, &namespace);
    let line = one_line_of_refusal(&installation.run("init"));
    let store = installation.config.store.to_str().unwrap();
    assert!(line.contains(store), "{line}");
    namespace.run(&format!(
        "rm {}/disk/filler",
        installation.directory().display()
    ));
    installation.init();
    let daemon = installation.start();
    assert_eq!(daemon.http().get("/health/ready").status, 200);
}

#[test]
fn a_full_disk_is_refused_at_the_start() {
    let (installation, namespace) = on_a_small_disk();
    installation.init();
    let daemon = installation.start();
    daemon.organization("acme");
    let (installation, _) = daemon.stop();
    fill(&installation, &namespace);
    let store = namespace.outside(&installation.config.store);
    assert_refused(
        &installation,
        &store,
        &[installation.config.store.to_str().unwrap()],
    );

    namespace.run(&format!(
        "rm {}/disk/filler",
        installation.directory().display()
    ));
    let daemon = installation.start();
    assert_eq!(
        daemon.cli().ndjson(&["org", "list", "-o", "ndjson"]).len(),
        1
    );
}

#[test]
fn a_disk_that_runs_full_without_a_reserve_stops_all_writing_and_loses_nothing() {
    let (mut installation, namespace) = on_a_small_disk();
    installation.config.reserve = Some("off");
    installation.init();
    let daemon = installation.start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    fill(&daemon.installation, &namespace);

    let mut tokens = Vec::new();
    let deadline = Instant::now() + DEADLINE;
    let refused = loop {
        assert!(
            Instant::now() < deadline,
            "still issues after {} tokens on a full disk",
            tokens.len()
        );
        let answer = client.token(&[]);
        if answer.status != 200 {
            break answer;
        }
        tokens.push(Client::claims(&answer.token())["jti"].clone());
    };
    assert_eq!(refused.error(), (503, "temporarily_unavailable".to_owned()));
    assert!(!refused.text().contains("access_token"));
    assert_eq!(daemon.http().get("/health/ready").status, 503);
    assert_eq!(daemon.http().get("/health/live").status, 200);
    assert_eq!(daemon.http().get("/.well-known/jwks.json").status, 200);
    assert_eq!(
        daemon
            .cli()
            .ndjson(&["agent", "list", "-o", "ndjson"])
            .len(),
        1,
        "what is there can be read"
    );
    let status = daemon.cli().json(&["status", "-o", "json"]);
    assert_eq!(status["ready"], false);
    let suspend = [
        "agent",
        "suspend",
        "a@acme.example",
        "--reason",
        "the test says so",
        "--yes",
    ];
    assert_eq!(daemon.cli().run(&suspend).code(), Some(1));

    let installation = daemon.kill();
    namespace.run(&format!(
        "rm {}/disk/filler",
        installation.directory().display()
    ));
    let daemon = installation.start();
    let issued = daemon.cli().ndjson(&[
        "audit",
        "list",
        "--action",
        "token.issue",
        "--limit",
        "100000",
        "-o",
        "ndjson",
    ]);
    for jti in tokens {
        assert!(
            issued.iter().any(|it| it["jti"] == jti),
            "{jti} was given out and is not in the log"
        );
    }
    assert_eq!(client.token(&[]).status, 200);
    daemon.stop().0.check_store();
}

#[test]
fn a_socket_path_in_use_is_refused_and_its_owner_keeps_it() {
    let installation = Installation::initialized();
    let socket = installation.config.socket.clone();
    let listener = UnixListener::bind(&socket).unwrap();
    assert_refused(
        &installation,
        installation.directory(),
        &[socket.to_str().unwrap()],
    );
    assert!(
        std::os::unix::net::UnixStream::connect(&socket).is_ok(),
        "the other still listens"
    );

    drop(listener);
    let daemon = installation.start();
    assert_eq!(
        daemon.cli().run(&["status"]).code(),
        Some(0),
        "a socket that nobody listens on is no hindrance"
    );
}

#[test]
fn a_file_at_the_socket_s_path_is_refused_and_kept() {
    let installation = Installation::initialized();
    let socket = installation.config.socket.clone();
    fs::write(&socket, "not a socket").unwrap();
    assert_refused(
        &installation,
        installation.directory(),
        &[socket.to_str().unwrap()],
    );
}

#[test]
fn a_port_in_use_is_refused() {
    let installation = Installation::initialized();
    let _other = TcpListener::bind(installation.config.listen).unwrap();
    let address = installation.config.listen.to_string();
    assert_refused(&installation, installation.directory(), &[&address]);
}

#[test]
fn a_missing_or_wrong_key_encryption_key_is_refused() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let (installation, _) = daemon.stop();
    let file = installation.config.key_encryption_key.clone();
    let right = fs::read(&file).unwrap();
    let name = file.to_str().unwrap().to_owned();

    let other = Installation::initialized();
    fs::copy(&other.config.key_encryption_key, &file).unwrap();
    // The store must be open for its keys to be tried; the index may have been brought up to date.
    let journal = installation.config.store.join("journal");
    assert_refused(&installation, &journal, &["key-encryption key"]);
    fs::write(&file, "short").unwrap();
    assert_refused(&installation, installation.directory(), &[&name]);
    fs::remove_file(&file).unwrap();
    assert_refused(&installation, installation.directory(), &[&name]);

    fs::write(&file, right).unwrap();
    let daemon = installation.start();
    assert_eq!(daemon.http().get("/health/ready").status, 200);
}

/// Expects that both `config check` and `run` refuse `text`, naming file and line, and `words`.
fn assert_bad_config(text: &str, line: usize, words: &[&str]) {
    let installation = Installation::initialized();
    let file = installation.directory().join("bad.toml");
    fs::write(&file, text).unwrap();
    let before = Tree::read(installation.directory());
    for subcommand in ["config check", "run"] {
        let message = one_line_of_refusal(
            &Process::spawn(installation.command_with(subcommand, &file)).wait(),
        );
        let place = format!("{}:{line}", file.display());
        assert!(
            message.contains(&place),
            "{subcommand}: no {place} in {message:?}"
        );
        for word in words {
            assert!(
                message.contains(word),
                "{subcommand}: no {word:?} in {message:?}"
            );
        }
    }
    before.assert_untouched(&Tree::read(installation.directory()));
}

#[test]
fn a_bad_configuration_is_refused_with_the_key_the_place_and_the_rule() {
    let good = Installation::new().config.to_string();
    let line_of = |needle: &str| {
        1 + good
            .lines()
            .position(|line| line.starts_with(needle))
            .unwrap()
    };
    let replaced = |needle: &str, line: &str| {
        let lines = good
            .lines()
            .map(|it| if it.starts_with(needle) { line } else { it });
        lines.collect::<Vec<_>>().join("\n")
    };
    for (needle, line, words) in [
        (
            "listen",
            "lisen = \"127.0.0.1:8420\"",
            &["lisen", "listen"][..],
        ),
        ("listen", "listen = 8420", &["http.listen"]),
        ("listen", "listen = \"nowhere\"", &["http.listen"]),
        ("issuer", "issuer = \"ftp://id.example\"", &["issuer"]),
        ("issuer", "issuer = \"https://id.example/?q\"", &["issuer"]),
        (
            "algorithm",
            "algorithm = \"HS256\"",
            &["keys.algorithm", "ES256"],
        ),
        ("lifetime", "lifetime = \"15\"", &["tokens.lifetime"]),
        ("lifetime", "lifetime = \"25h\"", &["tokens.lifetime", "24"]),
        ("lifetime", "lifetime = \"0s\"", &["tokens.lifetime"]),
        ("role ", "role = \"root\"", &["role", "auditor"]),
    ] {
        assert_bad_config(&replaced(needle, line), line_of(needle), words);
    }
    assert_bad_config(
        &format!("{good}\n[nonsense]\nx = 1\n"),
        good.lines().count() + 2,
        &["nonsense"],
    );
    assert_bad_config("issuer = \"unfinished", 1, &[]);
}

#[test]
fn a_missing_configuration_is_refused() {
    let installation = Installation::new();
    let file = installation.directory().join("missing.toml");
    let line = one_line_of_refusal(&Process::spawn(installation.command_with("run", &file)).wait());
    assert!(line.contains(file.to_str().unwrap()), "{line}");
}

#[test]
fn the_environment_overrides_the_configuration_file() {
    let mut installation = Installation::initialized();
    let written = installation.config.listen;
    let other = Installation::new().config.listen;
    installation
        .environment
        .push(("AGENTIDP_HTTP_LISTEN".to_owned(), other.to_string()));
    installation
        .environment
        .push(("AGENTIDP_TOKENS_LIFETIME".to_owned(), "5m".to_owned()));
    let daemon = installation.start();
    assert_eq!(
        daemon.cli().json(&["status", "-o", "json"])["http_address"],
        other.to_string()
    );
    assert!(
        daemon
            .http()
            .try_send(&agentidp_tests::Request::new("GET", "/health/live"))
            .is_err(),
        "{written}"
    );
    daemon.organization("acme");
    let mut client = daemon.enrol(&Registration::new("a@acme.example"));
    client.http.address = other;
    assert_eq!(client.token(&[]).json()["expires_in"], 300);

    let (mut installation, _) = daemon.stop();
    installation.environment = vec![("AGENTIDP_TOKENS_LIFETIME".to_owned(), "soon".to_owned())];
    let line = installation.refusal();
    assert!(line.contains("AGENTIDP_TOKENS_LIFETIME"), "{line}");
    // A name that means nothing is a mistake that must not go unseen.
    let typo = "AGENTIDP_TOKENS_LIFETIM";
    installation.environment = vec![(typo.to_owned(), "5m".to_owned())];
    let (_, finished) = installation.start().stop();
    assert!(finished.stderr.contains(typo), "{}", finished.stderr);
}

#[test]
fn the_printed_default_configuration_is_a_good_one() {
    let installation = Installation::new();
    let mut command = std::process::Command::new(agentidp_tests::agentidpd());
    command.args(["config", "default"]);
    let printed = Process::spawn(command).wait();
    assert_eq!(printed.code(), Some(0), "{}", printed.stderr);
    let file = installation.directory().join("default.toml");
    fs::write(&file, &printed.stdout).unwrap();
    // All but the one setting that has no default.
    for command in ["config check", "run", "init"] {
        let mut refused = installation.command_with(command, &file);
        refused.env("AGENTIDP_STORE_PATH", installation.directory());
        let line = one_line_of_refusal(&Process::spawn(refused).wait());
        assert!(line.contains("issuer: must be set"), "{command}: {line}");
    }
    let mut check = installation.command_with("config check", &file);
    check.env("AGENTIDP_ISSUER", "https://id.example.com");
    let check = Process::spawn(check).wait();
    assert_eq!(check.code(), Some(0), "{}", check.stderr);
}
