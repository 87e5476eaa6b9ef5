//! Development mode: everything in one folder, with something to look at.

use std::process::Command;

use agentidp_tests::{DevDaemon, Process, agentidp, agentidpd};

#[test]
fn the_first_start_makes_a_demo_organization_and_the_second_keeps_it() {
    let daemon = DevDaemon::start();
    let list = |daemon: &DevDaemon| {
        let cli = daemon.cli();
        (
            cli.ndjson(&["org", "list", "-o", "ndjson"]),
            cli.ndjson(&["agent", "list", "-o", "ndjson"]),
        )
    };
    let (organizations, agents) = list(&daemon);
    assert_eq!(
        organizations
            .iter()
            .map(|it| &it["name"])
            .collect::<Vec<_>>(),
        ["demo"]
    );
    assert_eq!(agents.len(), 3);
    assert!(
        agents
            .iter()
            .all(|it| it["organization_id"] == organizations[0]["id"])
    );
    assert!(agents.iter().all(|it| it["status"] == "active"));
    assert_eq!(
        daemon.cli().json(&["status", "-o", "json"])["caller"]["role"],
        "admin"
    );

    let daemon = daemon.stop().start();
    assert_eq!(list(&daemon), (organizations, agents));
}

#[test]
fn an_agent_of_the_demo_gets_a_token() {
    let daemon = DevDaemon::start();
    let http = daemon.http();
    let document = http.get("/.well-known/oauth-authorization-server").json();
    assert_eq!(document["issuer"], format!("http://{}", http.address));
    let agents = daemon.cli().ndjson(&["agent", "list", "-o", "ndjson"]);
    let email = agents[0]["email"].as_str().unwrap();
    let issued = daemon
        .cli()
        .json(&["credential", "issue", email, "-o", "json"]);
    let text = |name: &str| issued[name].as_str().unwrap().to_owned();
    let client = agentidp_tests::Client {
        http,
        id: text("client_id"),
        secret: text("client_secret"),
        credential: issued["credential"]["id"].as_str().unwrap().to_owned(),
    };
    assert_eq!(
        agentidp_tests::Client::claims(&client.token(&[]).token())["iss"],
        document["issuer"]
    );
}

#[test]
fn the_command_line_finds_a_daemon_in_the_folder_it_is_called_in() {
    let daemon = DevDaemon::start();
    let mut command = Command::new(agentidp());
    command
        .args(["agent", "list", "-o", "ndjson"])
        .current_dir(daemon.directory());
    let finished = Process::spawn(command).wait();
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr);
    assert_eq!(finished.stdout.lines().count(), 3);
}

#[test]
fn what_to_do_next_works_in_a_terminal_in_another_folder() {
    let daemon = DevDaemon::start();
    let line = daemon
        .process
        .wait_for_line("what lists the agents", |line| {
            let line = line.trim().strip_suffix("the agents")?;
            Some(line.trim().to_owned())
        });
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap());
    command
        .args(words)
        .args(["-o", "ndjson"])
        .current_dir("/")
        .env("PATH", "");
    let finished = Process::spawn(command).wait();
    assert_eq!(finished.code(), Some(0), "{line}: {}", finished.stderr);
    assert_eq!(finished.stdout.lines().count(), 3);
}

#[test]
fn the_store_can_be_put_elsewhere() {
    let daemon = DevDaemon::start();
    let folder = daemon.directory().join("elsewhere");
    let socket = daemon.directory().join("other.sock");
    let mut command = Command::new(agentidpd());
    command
        .args(["dev", "--listen", "127.0.0.1:0", "--dir"])
        .arg(&folder)
        .arg("--socket")
        .arg(&socket);
    let other = Process::spawn_service(command, &daemon.directory().join("other-notify.sock"));
    other.wait_for_notification("READY=1");
    let agents = agentidp_tests::Cli::new(&socket).ndjson(&["agent", "list", "-o", "ndjson"]);
    assert_eq!(agents.len(), 3);
    assert!(folder.is_dir());
}
