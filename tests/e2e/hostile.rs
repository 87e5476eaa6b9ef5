//! Text that someone hostile chose changes nothing on the screen but its own cell.

use std::fs;
use std::path::Path;

use agentidp_proto::v1;
use agentidp_tests::{Cli, Registration, TestConsole, TestDaemon, meddle};
use prost::Message as _;
use serde_json::{Value, json};

use self::impostor::Impostor;
use super::journey::{ESC, settle};

mod impostor;

/// What a terminal would obey: titles, clipboards, printing, the other screen, colours, cursors, bells,
/// queries that it answers as if typed, and their forms of one byte.
const SEQUENCES: [&str; 12] = [
    "\u{1b}]52;c;ZXZpbA==\u{7}",
    "\u{1b}]0;evil\u{7}",
    "\u{1b}]8;;http://evil.example/\u{1b}\\",
    "\u{1b}[2J\u{1b}[H",
    "\u{1b}[?1049l",
    "\u{1b}[31;7m",
    "\u{1b}[5i",
    "\u{1b}[6n\u{1b}[c",
    "\u{1b}P+q544e\u{1b}\\",
    "\u{1b}c",
    "\u{9b}2J\u{9d}0;evil\u{9c}",
    "\r\n\t\u{8}\u{7f}\u{e}\u{0}",
];

/// What only seems to be other text: turned round, unseen, wide, and heaped upon one cell.
const GUISES: [&str; 6] = [
    "\u{202e}live\u{202c}\u{2066}\u{2069}\u{200f}\u{61c}",
    "a\u{200b}b\u{200d}c\u{feff}d\u{2060}e\u{ad}f\u{e0041}\u{fe0f}",
    "\u{5bbd}\u{5b57}\u{ff21}\u{ff22}\u{30a2}\u{ac00}",
    "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{1f3fd}\u{1f1e9}\u{1f1ea}",
    "z\u{300}\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}\u{308}\u{20dd}\u{489}",
    "\u{fdfd}\u{12345}\u{e000}\u{fffd}",
];

/// What must not be written for a text: the sequences themselves, and characters that act unseen.
fn assert_inert(written: &str) {
    for sequence in [
        "\u{1b}]",
        "\u{1b}P",
        "\u{1b}[5i",
        "\u{1b}[6n",
        "\u{1b}[c",
        "\u{1b}c",
        "\u{9b}",
        "\u{9d}",
        "\u{7}",
        "\u{e}",
        "\u{202e}",
        "\u{2066}",
        "\u{200b}",
        "\u{200d}",
        "\u{feff}",
        "\u{ad}",
        "\u{e0041}",
        "\u{fe0f}",
        "\u{200f}",
        "\u{61c}",
    ] {
        assert!(!written.contains(sequence), "{sequence:?} was written");
    }
}

/// The screen's rows, with what is different at each look made alike.
fn rows(console: &TestConsole) -> Vec<String> {
    let width = console.cells().size().1;
    let rows = console.cells().rows(0, width);
    let alike = |row: String| {
        let row = row.replace(|c: char| c.is_ascii_hexdigit(), "0");
        row.trim_end().to_owned()
    };
    rows.map(alike).collect()
}

/// The rows in which two screens differ.
fn different(one: &[String], other: &[String]) -> Vec<usize> {
    let pairs = one.iter().zip(other).enumerate();
    pairs
        .filter_map(|(row, (one, other))| (one != other).then_some(row))
        .collect()
}

/// Waits until the whole screen is as the keys left it, where nothing else has a frame.
fn settle_to_the_bottom(console: &mut TestConsole) {
    settle(console);
    // A frame comes from the top to the bottom.
    console.wait_until("no frame of the help", |screen| !screen.contains("--+"));
}

/// Waits until what stands in a frame is there to its bottom.
fn wait_for_the_frame(console: &mut TestConsole, text: &str) {
    console.wait_until(&format!("{text} in its frame"), |screen| {
        screen.contains(text) && screen.matches("--+").count() == 2
    });
}

/// Looks at an agent, in the list and on its own screen, and gives both.
fn look(daemon: &TestDaemon) -> (TestConsole, [Vec<String>; 2]) {
    let mut console = TestConsole::start(&daemon.installation.config.socket);
    console.wait_for("LIVE");
    console.wait_for("bot@acme");
    settle_to_the_bottom(&mut console);
    let list = rows(&console);
    console.press("\r");
    console.wait_for("notes");
    console.wait_for("no credentials");
    console.wait_for("peak 0");
    settle_to_the_bottom(&mut console);
    let detail = rows(&console);
    (console, [list, detail])
}

#[test]
fn hostile_metadata_and_owners_change_nothing_but_their_own_cell() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    daemon.register(&Registration::new("bot@acme.example"));
    let set = |owner: &str, value: &str| {
        let metadata = format!("note={value}");
        let words = [
            "agent",
            "update",
            "bot@acme.example",
            "--owner",
            owner,
            "--metadata",
        ];
        daemon.cli().run(&[&words[..], &[&metadata]].concat())
    };
    // From here on revisions have two digits.
    for number in 0..10 {
        let _ = set("team-a", &format!("plain {number}")).ok();
    }
    let (console, honest) = look(&daemon);
    drop(console);
    let text = |text: &str| text.replace('\0', "\u{1}");
    for value in SEQUENCES.iter().chain(&GUISES) {
        let value = text(value);
        // Owners with what acts or is not seen are refused; any other stands in the list.
        let owner = format!("team-a {value}");
        if set(&owner, &value).code() != Some(0) {
            let _ = set("team-a", &value).ok();
        }
        let (mut console, hostile) = look(&daemon);
        for (row, honest, hostile) in [(0, &honest[0], &hostile[0]), (1, &honest[1], &hostile[1])] {
            let others = different(honest, hostile);
            let is_own = |it: &usize| {
                let honest = honest.get(*it);
                honest.is_some_and(|it| it.contains("t00m-0") || it.contains("not0s"))
            };
            assert!(
                others.iter().all(is_own),
                "{value:?} on screen {row}:\n{}",
                console.screen()
            );
        }
        // As JSON it stands in a frame, and the frame holds.
        console.press("e");
        wait_for_the_frame(&mut console, "capabilities");
        let size = console.cells().size();
        let cell = |row, column| {
            let cell = console.cells().cell(row, column);
            cell.map(|it| it.contents().to_owned()).unwrap_or_default()
        };
        let framed = (0..size.0).filter(|row| cell(*row, 1) == "|");
        for row in framed {
            assert_eq!(
                cell(row, size.1 - 2),
                "|",
                "{value:?}:\n{}",
                console.screen()
            );
        }
        // An escape and a key in one go would be another key.
        console.press(ESC);
        console.wait_until("no record", |screen| !screen.contains("capabilities"));
        console.press(":q\r");
        let restored = console.wait_for_end();
        assert_inert(&String::from_utf8_lossy(&restored.written));
    }
}

#[test]
fn a_mebibyte_of_metadata_is_refused_and_changes_nothing() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    daemon.register(&Registration::new("bot@acme.example"));
    let (mut console, _) = look(&daemon);
    let path = daemon.installation.directory().join("agents.ndjson");
    let line = json!({
        "email": "big@acme.example", "agent_type": "screener", "version": "1.0.0",
        "capabilities": ["resume:read"], "owner": "team-a", "deployment_env": "production",
        "metadata": {"note": SEQUENCES.concat().repeat(8_000)},
    });
    assert!(line.to_string().len() > 1 << 20);
    fs::write(&path, line.to_string()).unwrap();
    let path = path.to_str().unwrap();
    let words = ["agent", "register-many", path, "--org", "acme"];
    let refused = daemon.cli().run(&words).failing_with(2);
    assert_inert(refused.stderr());
    assert!(refused.stderr().len() < 1_000, "it does not repeat it");
    console.press("q");
    console.wait_for("Agents 1 ");
    console.press(":q\r");
    assert!(console.wait_for_end().status.success());
}

#[test]
fn a_hostile_daemon_cannot_command_the_terminal() {
    let mut email = "hostile-agent-0123456789abcdef0123456789abcdef".to_owned();
    email.push_str("@acme.example");
    let owner = "hostile-owner-0123456789abcdef0123456789abcdef-0123456789";
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    daemon.register(&Registration::new(&email));
    let words = ["agent", "update", &email, "--owner", owner];
    let _ = daemon.cli().run(&words).ok();
    let far = &daemon.installation.config.socket;
    for (number, sequence) in SEQUENCES.iter().chain(&GUISES).enumerate() {
        let near = daemon
            .installation
            .directory()
            .join(format!("near-{number}.sock"));
        let padded = |length: usize| {
            let mut text = (*sequence).to_owned();
            assert!(text.len() <= length, "{text:?}");
            text.extend(std::iter::repeat_n('x', length - text.len()));
            text
        };
        let texts = [
            (owner.to_owned(), padded(owner.len())),
            (email.clone(), padded(email.len())),
        ];
        meddle(&near, far, &texts, &[]);
        let mut console = TestConsole::start(&near);
        console.wait_for("LIVE");
        // Refused or shown inert: the frame around it stands, and every screen can be gone to.
        for (key, title) in [
            ("1", "Health"),
            ("3", "Credentials"),
            ("5", "FOLLOW"),
            ("2", "Agents"),
        ] {
            console.press(key);
            console.wait_until(title, |screen| {
                let mut lines = screen.lines();
                lines.next().is_some_and(|it| it.starts_with(" agentidp  "))
                    && lines.next().is_some_and(|it| it.contains(title))
                    && lines.last().is_some_and(|it| it.contains("? help"))
            });
        }
        console.press(":q\r");
        let restored = console.wait_for_end();
        assert!(restored.status.success(), "{sequence:?}");
        assert_inert(&String::from_utf8_lossy(&restored.written));
    }
}

/// A mebibyte or a little more, of nothing but this.
fn mebibyte(unit: &str) -> String {
    unit.repeat((1 << 20) / unit.len() + 1)
}

/// What the daemon says of itself, and the entry of a registration, with `text` where a name may stand.
fn lie_of_names(path: &str, text: &str, message: Vec<u8>) -> Vec<u8> {
    let entry = |it: &mut v1::AuditEntry| {
        let mut json: Value = serde_json::from_slice(&it.json).unwrap();
        if json["action"] == "agent.register" {
            json["actor"]["name"] = text.into();
            it.json = json.to_string().into_bytes();
        }
    };
    match path.rsplit_once("v1.").unwrap().1 {
        "StatusService/Get" => {
            let mut status = v1::Status::decode(message.as_slice()).unwrap();
            let caller = status.caller.as_mut().unwrap();
            for it in [&mut status.version, &mut status.issuer, &mut caller.name] {
                text.clone_into(it);
            }
            status.encode_to_vec()
        }
        "AuditService/List" => {
            let mut list = v1::ListAuditEntriesResponse::decode(message.as_slice()).unwrap();
            list.entries.iter_mut().for_each(entry);
            list.encode_to_vec()
        }
        _ => message,
    }
}

/// Agents with more metadata than there may be.
fn lie_of_metadata(path: &str, text: &str, message: Vec<u8>) -> Vec<u8> {
    if !path.ends_with("AgentService/List") {
        return message;
    }
    let mut list = v1::ListAgentsResponse::decode(message.as_slice()).unwrap();
    let agents = list.agents.iter_mut().filter_map(|it| it.agent.as_mut());
    for agent in agents {
        agent.metadata.insert("note".to_owned(), text.to_owned());
    }
    list.encode_to_vec()
}

/// Looks at the agents, at the log with the one entry of a registration, and at that entry; gives the
/// rows of all three below the two on top, which must be the header and the title.
fn tour(socket: &Path) -> [Vec<String>; 3] {
    let mut console = TestConsole::start(socket);
    console.wait_for("bot@acme");
    let take = |console: &mut TestConsole, title: &str| {
        settle_to_the_bottom(console);
        let rows = rows(console);
        let header = rows.first().unwrap();
        let is_whole = header.starts_with(" 0g0nti0p  ") && header.trim_end().ends_with("LIV0");
        assert!(is_whole, "{}", console.screen());
        let second = console.screen().lines().nth(1).unwrap().to_owned();
        assert!(second.starts_with(title), "{}", console.screen());
        rows[2..].to_vec()
    };
    let agents = take(&mut console, " Agents 1 ");
    console.press("1");
    console.wait_for("CONNECTED");
    let _ = take(&mut console, " Health  OK ");
    console.press("5/action=agent.register\r");
    console.wait_for("1 of ");
    let log = take(&mut console, " Audit  FOLLOW  /action=agent.register ");
    console.press("k\r");
    wait_for_the_frame(&mut console, "+- Audit entry");
    let entry = rows(&console);
    console.press("G");
    console.wait_for("? help");
    console.press(ESC);
    console.wait_until("no entry", |screen| !screen.contains("+- Audit entry"));
    console.press(":q\r");
    let restored = console.wait_for_end();
    assert!(restored.status.success());
    assert_inert(&String::from_utf8_lossy(&restored.written));
    assert!(restored.written.len() < 64 << 10, "a screen is a screen");
    [agents, log, entry]
}

#[test]
fn a_mebibyte_where_a_name_may_stand_changes_nothing_but_its_own_cell() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    daemon.register(&Registration::new("bot@acme.example"));
    let far = &daemon.installation.config.socket;
    let [agents, log, entry] = tour(far);
    let heap = format!("z{}", "\u{301}".repeat(1 << 19));
    let units = [&SEQUENCES.concat(), &GUISES.concat(), "x", &heap];
    for (number, unit) in units.iter().enumerate() {
        let folder = daemon.installation.directory();
        let near = folder.join(format!("near-{number}.sock"));
        let _impostor = Impostor::between(&near, far, lie_of_names, &mebibyte(unit));
        let seen = tour(&near);
        assert_eq!(seen[0], agents, "{number}");
        let others = different(&log, &seen[1]);
        let is_own = |it: &usize| log[*it].contains("0g0nt.r0gist0r");
        assert!(others.iter().all(is_own), "{number}: {:#?}", seen[1]);
        // Its frame, and what is beside it.
        for (honest, hostile) in entry.iter().zip(&seen[2]).skip(2) {
            let edges = |row: &str| {
                let cells: Vec<_> = row.chars().collect();
                (cells.first().copied(), cells.last().copied())
            };
            assert_eq!(edges(honest), edges(hostile), "{number}: {:#?}", seen[2]);
        }
    }
}

#[test]
fn agents_with_a_mebibyte_of_metadata_are_not_believed_and_the_console_goes_on() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    daemon.register(&Registration::new("bot@acme.example"));
    let far = &daemon.installation.config.socket;
    let near = daemon.installation.directory().join("near.sock");
    let text = mebibyte(&SEQUENCES.concat());
    let _impostor = Impostor::between(&near, far, lie_of_metadata, &text);
    let mut console = TestConsole::start(&near);
    console.wait_for("could not be read");
    console.wait_for("metadata");
    console.press("5");
    console.wait_for("agent.register");
    console.press(":q\r");
    let restored = console.wait_for_end();
    assert!(restored.status.success());
    assert_inert(&String::from_utf8_lossy(&restored.written));
    assert!(restored.written.len() < 64 << 10);
    let refused = Cli::new(&near).run(&["agent", "list"]).failing_with(1);
    assert_inert(refused.stderr());
    assert!(refused.stderr().contains("metadata"));
    assert!(refused.stderr().len() < 1_000, "it does not repeat it");
}
