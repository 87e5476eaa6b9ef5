//! An incident from beginning to end: how few keys it takes, and the recording of it that the README
//! shows. `BLESS=1` records it anew.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use agentidp_tests::{
    Client, DevDaemon, Registration, Terminal, TestConsole, agentidp, project_root,
};

use super::journey::{demo, short};

/// Where the recording stands, below the top folder of the project.
const RECORDING: &str = "docs/incident.cast";

/// The most keys besides what is typed to confirm.
const MOST_KEYS: usize = 8;

/// What stands around the screens in the README.
const MARKS: (&str, &str) = ("<!-- incident -->\n", "<!-- /incident -->");

/// A console whose keys are counted.
struct Counted {
    console: TestConsole,
    keys: usize,
}

impl Counted {
    /// Presses one key.
    fn key(&mut self, key: &str) {
        assert!(key.chars().count() == 1, "{key:?} is not one key");
        self.keys += 1;
        self.console.press(key);
    }

    /// Pastes what an alert said, which is one key of the terminal.
    fn paste(&mut self, text: &str) {
        self.keys += 1;
        self.console.press(&format!("\u{1b}[200~{text}\u{1b}[201~"));
    }

    /// Types what confirms, which is not counted.
    fn confirm(&mut self, text: &str) {
        for c in text.chars() {
            self.console.press(&c.to_string());
        }
        self.console.wait_for(text);
    }
}

/// A client that may ask whether tokens are active.
fn checker(daemon: &DevDaemon) -> Client {
    let email = "checker@demo.example";
    let registration = Registration::new(email)
        .of("demo")
        .capability("tokens:read");
    let _ = daemon.cli().json(&registration.arguments());
    let issued = daemon
        .cli()
        .json(&["credential", "issue", email, "-o", "json"]);
    let text = |name: &str| issued.pointer(name).unwrap().as_str().unwrap().to_owned();
    Client {
        http: daemon.http(),
        id: text("/client_id"),
        secret: text("/client_secret"),
        credential: text("/credential/id"),
    }
}

#[test]
fn an_incident_takes_eight_keys_besides_what_is_typed_to_confirm() {
    let daemon = DevDaemon::start();
    let (emails, client) = demo(&daemon);
    let checker = checker(&daemon);
    let tokens: Vec<_> = (0..3).map(|_| client.token(&[]).token()).collect();
    for token in &tokens {
        assert_eq!(checker.introspect(token).json()["active"], true);
    }

    let program = agentidp();
    let folder = daemon.directory().display().to_string();
    let arguments = ["-C", &folder, program.to_str().unwrap(), "--socket"];
    let console = TestConsole::open(&Terminal {
        program: Path::new("env"),
        arguments: &[&arguments[..], &["./.agentidp/operator.sock"]].concat(),
        socket: Path::new(""),
        environment: &[],
        size: (24, 80),
    });
    let mut it = Counted { console, keys: 0 };
    it.console.wait_for("LIVE");
    it.console.wait_for(short(&emails[0]));

    it.key("/");
    it.paste(&emails[0]);
    it.key("\r");
    let (agent, others) = emails.split_first().unwrap();
    // The count stands over the rows and is drawn before them.
    it.console.wait_until("the found agent alone", |screen| {
        let mut gone = others.iter().map(|it| short(it)).chain(["checker"]);
        screen.contains("1/4")
            && screen.contains(short(agent))
            && !gone.any(|it| screen.contains(it))
    });
    let found = it.console.screen();
    it.key("a");
    it.key("x");
    it.console.wait_for("live tokens");
    // Nothing is taken in for a quarter of a second after the dialog opens; the first letter waits
    // for that, as a hand does.
    it.console.press_until("l", "Reason   l");
    it.confirm("eaked in CI log 4412");
    it.key("\r");
    let id = &client.id;
    it.confirm(&id[id.len() - 6..]);
    it.key("\r");
    // The button has the focus: it was unlocked a key before.
    it.console.wait_until("the button", |screen| {
        screen.contains("[ Revoke ]") && screen.contains("tab next   esc cancel")
    });
    let confirmed = it.console.screen();
    it.key("\r");
    // The row may tell before the answer does.
    it.console.wait_until("the end of it", |screen| {
        screen.contains("x revoked") && screen.contains("is revoked (audit ")
    });

    for token in &tokens {
        assert_eq!(checker.introspect(token).json()["active"], false);
    }
    assert_eq!(
        client.token(&[]).error(),
        (401, "invalid_client".to_owned())
    );
    assert!(it.keys <= MOST_KEYS, "{} keys", it.keys);
    let done = it.console.screen();
    let recording = it
        .console
        .recording("An incident in AgentIdP", Duration::from_millis(400));
    it.console.press(":q\r");
    assert!(it.console.wait_for_end().status.success());
    keep(
        &[
            ("`/`, the agent's e-mail pasted, Enter", found),
            (
                "`a` `x`; the reason and the end of the id typed, Enter after each",
                confirmed,
            ),
            (
                "Enter: none of its tokens and credentials is accepted any more",
                done,
            ),
        ],
        &recording,
    );
}

/// Writes the recording, or holds the one that is there against what was seen now.
fn keep(screens: &[(&str, String)], recording: &str) {
    let mut shown = String::new();
    for (keys, screen) in screens {
        let mut lines: Vec<_> = screen.lines().map(str::trim_end).collect();
        // Rows of an empty list say nothing.
        lines.dedup_by(|one, other| one.is_empty() && other.is_empty());
        let _ = write!(shown, "{keys}:\n\n```text\n{}\n```\n\n", lines.join("\n"));
    }
    let path = project_root().join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(MARKS.0).unwrap();
    let (now, after) = rest.split_once(MARKS.1).unwrap();
    if std::env::var_os("BLESS").is_some() {
        fs::write(project_root().join(RECORDING), recording).unwrap();
        let text = format!("{before}{}{shown}{}{after}", MARKS.0, MARKS.1);
        fs::write(&path, text).unwrap();
        return;
    }
    assert_eq!(
        alike(now),
        alike(&shown),
        "the README shows another program: record it with BLESS=1"
    );
    let kept = fs::read_to_string(project_root().join(RECORDING)).unwrap();
    assert!(
        kept.contains("x revoked"),
        "{RECORDING} is not that of an incident"
    );
}

/// Screens without ids, times, ages and ports, which are others each time.
pub(crate) fn alike(screens: &str) -> Vec<String> {
    let word = |word: &str| {
        let is_other = word.contains(|c: char| c.is_ascii_digit());
        if is_other { "#" } else { word }.to_owned()
    };
    screens
        .lines()
        .map(|line| {
            line.split_whitespace()
                .map(word)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}
