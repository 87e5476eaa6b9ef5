//! Every action of the screen names the command line that does the same, and that very line does it:
//! the same effect, and the same entries in the log.
//!
//! What the screen offers is read from its menus. An action without a row here fails the test, and so
//! does a row without an action.

mod compare;
mod screen;

use std::collections::BTreeSet;
use std::process::Command;

use agentidp_tests::{Registration, TestDaemon, agentidp};
use serde_json::Value;

use compare::{Picture, picture};
use screen::{Offer, Screen};

/// Where an action stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// The list of agents, at an agent.
    List,
    /// The same at an agent that has ended.
    ListEnded,
    /// The screen of one agent, at a credential.
    Agent,
    /// The list of agents, some of which are marked.
    Marked,
    /// The list of agents, with all that the filter lets through.
    All,
    /// The signing keys.
    Keys,
}

/// An action, what its agents are like before it, and where the screen shows its line.
struct Row {
    place: Place,
    key: char,
    label: &'static str,
    before: Before,
}

/// What was done to the agents before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Suspended,
    Revoked,
}

const fn row(place: Place, key: char, label: &'static str, before: Before) -> Row {
    Row {
        place,
        key,
        label,
        before,
    }
}

use Before::{Nothing, Revoked, Suspended};
use Place::{Agent, All, Keys, List, ListEnded, Marked};

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row(List, 's', "suspend", Nothing),
    row(List, 'u', "resume", Suspended),
    row(List, 'i', "issue a client secret", Nothing),
    row(List, 't', "revoke the agent's tokens", Nothing),
    row(List, 'x', "revoke the agent", Nothing),
    row(List, 'd', "decommission the agent", Nothing),
    row(ListEnded, 'h', "archive the agent", Revoked),
    row(Agent, 's', "suspend", Nothing),
    row(Agent, 'u', "resume", Suspended),
    row(Agent, 'i', "issue a client secret", Nothing),
    row(Agent, 'r', "rotate the credential", Nothing),
    row(Agent, 'c', "revoke the credential", Nothing),
    row(Agent, 'k', "revoke the credential's tokens", Nothing),
    row(Agent, 't', "revoke the agent's tokens", Nothing),
    row(Agent, 'x', "revoke the agent", Nothing),
    row(Agent, 'd', "decommission the agent", Nothing),
    row(Marked, 's', "suspend them", Nothing),
    row(Marked, 'u', "resume them", Suspended),
    row(Marked, 'x', "revoke them", Nothing),
    row(Marked, 'd', "decommission them", Nothing),
    row(Marked, 'h', "archive them: hide those that have ended", Revoked),
    row(All, 's', "suspend them", Nothing),
    row(All, 'u', "resume them", Suspended),
    row(All, 'x', "revoke them", Nothing),
    row(All, 'd', "decommission them", Nothing),
    row(All, 'h', "archive them: hide those that have ended", Revoked),
    row(Keys, 'x', "withdraw the selected key: it is compromised", Nothing),
    row(Keys, 'r', "rotate: replace the key that signs", Nothing),
];

/// The agents of an action: with an `a` and a `b` before their domain, and on both daemons.
fn emails(number: usize) -> [String; 2] {
    ["a", "b"].map(|it| format!("case{number:02}{it}@acme.example"))
}

/// Two installations that are alike: on the one the screen acts, on the other its command lines.
struct Twins {
    screens: TestDaemon,
    lines: TestDaemon,
}

impl Twins {
    fn start() -> Self {
        let start = || {
            let daemon = TestDaemon::start();
            daemon.organization("acme");
            daemon
        };
        let twins = Self {
            screens: start(),
            lines: start(),
        };
        for daemon in [&twins.screens, &twins.lines] {
            for (number, row) in ROWS.iter().enumerate().filter(|(_, it)| it.place != Keys) {
                prepare(daemon, number, row.before);
            }
        }
        twins
    }

    /// What became of an action's agents, or of the keys, on both.
    fn pictures(&self, number: usize, from: [u64; 2]) -> [Picture; 2] {
        let place = ROWS[number].place;
        let agents = match place {
            Keys => Vec::new(),
            Marked | All => emails(number).to_vec(),
            _ => emails(number)[..1].to_vec(),
        };
        let of = |daemon: &TestDaemon, from| picture(&daemon.cli(), from, &agents);
        [of(&self.screens, from[0]), of(&self.lines, from[1])]
    }

    fn ends(&self) -> [u64; 2] {
        [&self.screens, &self.lines].map(|it| {
            let status = it.cli().json(&["status", "-o", "json"]);
            status["store"]["entries"].as_u64().unwrap()
        })
    }

    /// Runs a line as a shell does, for the second.
    fn run(&self, line: &str) {
        let folder = agentidp().parent().unwrap().display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("sh")
            .args(["-c", line])
            .env("PATH", format!("{folder}:{path}"))
            .env("AGENTIDP_SOCKET", &self.lines.installation.config.socket)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}\n{said}");
    }
}

fn prepare(daemon: &TestDaemon, number: usize, before: Before) {
    for email in emails(number) {
        let client = daemon.enrol(&Registration::new(&email));
        assert_eq!(client.token(&[]).status, 200);
        match before {
            Nothing => {}
            Suspended => drop(daemon.change("suspend", &email)),
            Revoked => drop(daemon.change("revoke", &email)),
        }
    }
}

#[test]
fn every_action_of_the_screen_does_what_the_command_line_does_that_it_names() {
    let twins = Twins::start();
    let mut acting = Screen::open(&twins.screens);
    let mut naming = Screen::open(&twins.lines);
    for (number, row) in ROWS.iter().enumerate() {
        let from = twins.ends();
        let agents = emails(number);
        let offer = Offer {
            place: row.place,
            key: row.key,
        };
        let lines = if row.place == Marked {
            // One line for each, and the dialog has room for the first: the log of commands has all.
            acting.act(&offer, &agents);
            acting.last_lines(2)
        } else {
            let line = naming.name(&offer, &agents);
            acting.act(&offer, &agents);
            vec![line]
        };
        for line in &lines {
            assert!(line.starts_with("agentidp "), "{line}");
            twins.run(line);
        }
        let [by_screen, by_line] = twins.pictures(number, from);
        let what = format!("{:?} {}: {lines:?}", row.place, row.label);
        assert!(!by_screen.entries.is_empty(), "{what}: nothing happened");
        assert_eq!(by_screen.records, by_line.records, "{what}");
        assert_eq!(by_screen.entries, by_line.entries, "{what}");
    }
}

#[test]
fn what_undoes_an_action_is_a_command_line_too() {
    let twins = Twins::start();
    let mut acting = Screen::open(&twins.screens);
    let (active, suspended) = (0, 1);
    assert_eq!((ROWS[active].key, ROWS[suspended].key), ('s', 'u'));
    for number in [active, suspended] {
        let agents = emails(number);
        let (verb, before) = if number == active {
            ("suspend", "active")
        } else {
            ("resume", "suspended")
        };
        let offer = Offer {
            place: List,
            key: ROWS[number].key,
        };
        acting.act(&offer, &agents);
        twins.lines.change(verb, &agents[0]);
        let from = twins.ends();
        acting.undo(before);
        let lines = acting.last_lines(1);
        twins.run(&lines[0]);
        let [by_screen, by_line] = twins.pictures(number, from);
        assert_eq!(by_screen.entries.len(), 1, "{lines:?}");
        assert_eq!(by_screen.records, by_line.records, "{lines:?}");
        assert_eq!(by_screen.entries, by_line.entries, "{lines:?}");
    }
}

#[test]
fn the_rows_are_the_actions_that_the_screen_offers() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    prepare(&daemon, 0, Nothing);
    prepare(&daemon, 1, Revoked);
    let mut screen = Screen::open(&daemon);
    let mut offered = BTreeSet::new();
    let live: BTreeSet<_> = ROWS
        .iter()
        .filter(|it| it.place == List)
        .map(|it| (it.key, it.label.to_owned()))
        .collect();
    for place in [List, ListEnded, Agent, Marked, All, Keys] {
        let agents = emails(usize::from(place == ListEnded));
        for (key, label) in screen.menu(place, &agents) {
            // An ended agent is offered the rest too, and told why not.
            if place != ListEnded || !live.contains(&(key, label.clone())) {
                offered.insert((place, key, label));
            }
        }
    }
    let rows: BTreeSet<_> = ROWS
        .iter()
        .map(|it| (it.place, it.key, it.label.to_owned()))
        .collect();
    assert_eq!(offered, rows);
    // A menu of another screen would stand in the help, which is made from the keys in force.
    assert_eq!(
        BTreeSet::from_iter(screen.menus()),
        BTreeSet::from(
            [
                "actions on the agent, or on those marked",
                "actions on all that the filter lets through",
                "actions on the agent and the credential",
                "actions on the signing keys",
            ]
            .map(str::to_owned)
        )
    );
}

/// The first text of an object's field.
fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}
