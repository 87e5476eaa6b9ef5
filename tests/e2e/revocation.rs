//! What is revoked is dead from the acknowledgement on, also for a daemon that was killed right
//! after it.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;

use agentidp_tests::{Client, DEADLINE, Installation, Registration, TestDaemon};

/// How often each way of revoking is tried.
const ROUNDS: usize = 2;
/// How many ask for tokens and about them at the same time.
const ASKING: usize = 3;
/// How many tokens there are before the revocation.
const TOKENS: usize = 20;
/// Of all agents.
const ORGANIZATION: &str = "acme";
/// What is said about a token that does not count (RFC 7662, section 2.2).
const DEAD: &str = r#"{"active":false}"#;

/// A way of revoking.
struct Way {
    name: &'static str,
    /// Does it, and returns once it is acknowledged.
    revoke: fn(&TestDaemon, &Client, &str),
    effect: Effect,
}

/// What a way of revoking leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// One token is dead, and the agent gets others.
    OneToken,
    /// Every token from before is dead, and the agent gets others.
    UntilNow,
    /// Every token is dead, and the agent gets none.
    Agent,
    /// As for the agent, and so it is for all of its organization, who asks about tokens too.
    Organization,
}

impl Effect {
    /// Whether no token is issued from then on.
    const fn cuts_off(self) -> bool {
        matches!(self, Self::Agent | Self::Organization)
    }
}

const REASON: [&str; 3] = ["--reason", "the test says so", "--yes"];

fn operator(daemon: &TestDaemon, words: &[&str]) {
    let _ = daemon.cli().run(&[words, &REASON].concat()).ok();
}

/// A file that holds a token.
fn file_of(daemon: &TestDaemon, token: &str) -> String {
    let file = daemon.installation.directory().join("token");
    fs::write(&file, token).unwrap();
    file.to_str().unwrap().to_owned()
}

const WAYS: &[Way] = &[
    Way {
        name: "the credential is revoked",
        revoke: |daemon, client, _| {
            operator(daemon, &["credential", "revoke", &client.credential]);
        },
        effect: Effect::Agent,
    },
    Way {
        name: "the credential is rotated without grace",
        revoke: |daemon, client, _| {
            let _ = daemon.rotate(&client.credential, &["--grace", "0s"]);
        },
        effect: Effect::Agent,
    },
    Way {
        name: "the agent is suspended",
        revoke: |daemon, client, _| operator(daemon, &["agent", "suspend", &client.id]),
        effect: Effect::Agent,
    },
    Way {
        name: "the agent is revoked",
        revoke: |daemon, client, _| operator(daemon, &["agent", "revoke", &client.id]),
        effect: Effect::Agent,
    },
    Way {
        name: "the agent is decommissioned",
        revoke: |daemon, client, _| operator(daemon, &["agent", "decommission", &client.id]),
        effect: Effect::Agent,
    },
    Way {
        name: "the organization is suspended",
        revoke: |daemon, _, _| operator(daemon, &["org", "suspend", ORGANIZATION]),
        effect: Effect::Organization,
    },
    Way {
        name: "the credential's tokens until now are revoked",
        revoke: |daemon, client, _| {
            operator(
                daemon,
                &["token", "revoke", "--credential", &client.credential],
            );
        },
        effect: Effect::UntilNow,
    },
    Way {
        name: "the agent's tokens until now are revoked",
        revoke: |daemon, client, _| {
            operator(daemon, &["token", "revoke", "--agent", &client.id]);
        },
        effect: Effect::UntilNow,
    },
    Way {
        name: "the organization's tokens until now are revoked",
        revoke: |daemon, _, _| operator(daemon, &["token", "revoke", "--org", ORGANIZATION]),
        effect: Effect::UntilNow,
    },
    Way {
        name: "the token is revoked by its client",
        revoke: |_, client, token| assert_eq!(client.revoke(token).status, 200),
        effect: Effect::OneToken,
    },
    Way {
        name: "the token is revoked by an operator who has it",
        revoke: |daemon, _, token| {
            operator(daemon, &["token", "revoke", &file_of(daemon, token)]);
        },
        effect: Effect::OneToken,
    },
    Way {
        name: "the token is revoked by an operator who knows its id",
        revoke: |daemon, _, token| {
            let claims = Client::claims(token);
            let jti = claims["jti"].as_str().unwrap();
            operator(daemon, &["token", "revoke", "--jti", jti]);
        },
        effect: Effect::OneToken,
    },
];

/// One round: what is under way.
struct Round<'a> {
    client: &'a Client,
    server: &'a Client,
    /// The token that is revoked when it is one that is.
    first: &'a str,
    effect: Effect,
    begun: AtomicBool,
    acknowledged: AtomicBool,
    issued: AtomicUsize,
}

/// What one saw who asked.
#[derive(Default)]
struct Seen {
    /// Tokens that are to be dead.
    dead: Vec<String>,
    /// Tokens that are not.
    live: Vec<String>,
    /// What must not be.
    wrong: Vec<String>,
}

impl Round<'_> {
    /// Asks for tokens, and about them, until the daemon is gone.
    fn ask(&self, enough: &Sender<()>) -> Seen {
        let mut seen = Seen::default();
        loop {
            // What was acknowledged before a question is asked holds for its answer.
            let after = self.acknowledged.load(Ordering::SeqCst);
            let Ok(answer) = self.client.try_token() else {
                break;
            };
            if answer.status == 200 {
                self.keep(answer.token(), after, &mut seen);
                if self.issued.fetch_add(1, Ordering::SeqCst) == TOKENS {
                    let _ = enough.send(());
                }
            } else if !(self.effect.cuts_off() && self.begun.load(Ordering::SeqCst)) {
                seen.wrong.push(format!("no token: {}", answer.text()));
            }
            let asked = seen.dead.last().map_or(self.first, String::as_str);
            let after = self.acknowledged.load(Ordering::SeqCst);
            let Ok(answer) = self.server.try_introspect(asked) else {
                break;
            };
            let is_dead = match self.effect {
                Effect::Organization => answer.status == 401,
                _ => answer.text() == DEAD,
            };
            if after && !is_dead {
                seen.wrong.push(format!("not dead: {}", answer.text()));
            }
        }
        seen
    }

    /// Puts a token that was asked for, when `after` after the acknowledgement, where it belongs.
    fn keep(&self, token: String, after: bool, seen: &mut Seen) {
        let is_before = !self.begun.load(Ordering::SeqCst);
        match self.effect {
            Effect::OneToken => seen.live.push(token),
            Effect::UntilNow if is_before => seen.dead.push(token),
            Effect::UntilNow if after => seen.live.push(token),
            // At the same time as the revocation: the one or the other came first.
            Effect::UntilNow => {}
            Effect::Agent | Effect::Organization => {
                if after {
                    seen.wrong.push("a token was issued".to_owned());
                }
                seen.dead.push(token);
            }
        }
    }
}

#[test]
fn what_was_revoked_stays_dead_when_the_daemon_is_killed_right_after() {
    let mut installation = Installation::initialized();
    let daemon = installation.start();
    daemon.organization(ORGANIZATION);
    let server = daemon.enrol(&Registration::new("api@acme.example").capability("tokens:read"));
    installation = daemon.stop().0;
    for round in 0..ROUNDS {
        for (number, way) in WAYS.iter().enumerate() {
            installation =
                revoke_and_kill(installation, &server, way, &format!("r{round}w{number}"));
        }
    }
    installation.check_store();
}

fn revoke_and_kill(
    installation: Installation,
    server: &Client,
    way: &Way,
    name: &str,
) -> Installation {
    let daemon = installation.start();
    let client = daemon.enrol(&Registration::new(&format!("{name}@acme.example")));
    let server = server.at(daemon.http());
    let first = client.token(&[]).token();
    assert_eq!(server.introspect(&first).json()["active"], true);
    let round = Round {
        client: &client,
        server: &server,
        first: &first,
        effect: way.effect,
        begun: AtomicBool::new(false),
        acknowledged: AtomicBool::new(false),
        issued: AtomicUsize::new(0),
    };
    let (enough, has_enough) = mpsc::channel();
    let (installation, seen) = thread::scope(|scope| {
        let asking: Vec<_> = (0..ASKING)
            .map(|_| scope.spawn(|| round.ask(&enough)))
            .collect();
        has_enough.recv_timeout(DEADLINE).expect("tokens");
        round.begun.store(true, Ordering::SeqCst);
        (way.revoke)(&daemon, &client, &first);
        round.acknowledged.store(true, Ordering::SeqCst);
        let installation = daemon.kill();
        let seen: Vec<_> = asking.into_iter().map(|it| it.join().unwrap()).collect();
        (installation, seen)
    });

    let daemon = installation.start();
    let (client, server) = (client.at(daemon.http()), server.at(daemon.http()));
    let (mut dead, mut live) = (vec![first], Vec::new());
    for seen in seen {
        assert!(seen.wrong.is_empty(), "{}: {:?}", way.name, seen.wrong);
        dead.extend(seen.dead);
        live.extend(seen.live);
    }
    let answer = client.token(&[]);
    if way.effect.cuts_off() {
        assert_eq!(answer.status, 401, "{}", way.name);
    } else {
        live.push(answer.token());
    }
    if way.effect == Effect::Organization {
        assert_eq!(server.introspect(&dead[0]).status, 401, "{}", way.name);
        let inspect = [
            "token",
            "inspect",
            &file_of(&daemon, &dead[0]),
            "-o",
            "json",
        ];
        assert_eq!(daemon.cli().json(&inspect)["active"], false, "{}", way.name);
        // And they do not rise with their organization.
        operator(&daemon, &["org", "resume", ORGANIZATION]);
    }
    for token in &dead {
        assert_eq!(server.introspect(token).text(), DEAD, "{}", way.name);
    }
    for token in &live {
        let answer = server.introspect(token);
        assert_eq!(answer.json()["active"], true, "{}", way.name);
    }
    daemon.kill()
}
