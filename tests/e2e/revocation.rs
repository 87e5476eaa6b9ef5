//! What is revoked is dead from the acknowledgement on, also for a daemon that was killed right
//! after it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;

use agentidp_tests::{Client, DEADLINE, Installation, Registration, TestDaemon};

/// How often each way of revoking is tried.
const ROUNDS: usize = 3;
/// How many ask for tokens and about them at the same time.
const ASKING: usize = 3;
/// How many tokens there are before the revocation.
const TOKENS: usize = 20;

/// A way of revoking.
struct Way {
    name: &'static str,
    /// Does it, and returns once it is acknowledged.
    revoke: fn(&TestDaemon, &Client, &str),
    /// Whether the agent is cut off, and not one token of it.
    cuts_off: bool,
}

const REASON: [&str; 3] = ["--reason", "the test says so", "--yes"];

fn operator(daemon: &TestDaemon, words: &[&str]) {
    let _ = daemon.cli().run(&[words, &REASON].concat()).ok();
}

const WAYS: &[Way] = &[
    Way {
        name: "the credential is revoked",
        revoke: |daemon, client, _| {
            operator(daemon, &["credential", "revoke", &client.credential]);
        },
        cuts_off: true,
    },
    Way {
        name: "the credential is rotated without grace",
        revoke: |daemon, client, _| {
            let _ = daemon.rotate(&client.credential, &["--grace", "0s"]);
        },
        cuts_off: true,
    },
    Way {
        name: "the agent is suspended",
        revoke: |daemon, client, _| operator(daemon, &["agent", "suspend", &client.id]),
        cuts_off: true,
    },
    Way {
        name: "the agent is revoked",
        revoke: |daemon, client, _| operator(daemon, &["agent", "revoke", &client.id]),
        cuts_off: true,
    },
    Way {
        name: "the agent is decommissioned",
        revoke: |daemon, client, _| operator(daemon, &["agent", "decommission", &client.id]),
        cuts_off: true,
    },
    Way {
        name: "the token is revoked by its client",
        revoke: |_, client, token| assert_eq!(client.revoke(token).status, 200),
        cuts_off: false,
    },
];

/// One round: what is under way, and what was seen that must not be.
struct Round<'a> {
    client: &'a Client,
    server: &'a Client,
    /// The token that is revoked when it is one that is.
    first: &'a str,
    cuts_off: bool,
    acknowledged: AtomicBool,
    issued: AtomicUsize,
}

impl Round<'_> {
    /// Asks for tokens, and about them, until the daemon is gone; gives the tokens and what was seen
    /// that must not be.
    fn ask(&self, enough: &Sender<()>) -> (Vec<String>, Vec<String>) {
        let (mut tokens, mut wrong) = (Vec::new(), Vec::new());
        loop {
            // What was acknowledged before a question is asked holds for its answer.
            let after = self.acknowledged.load(Ordering::SeqCst);
            let Ok(answer) = self.client.try_token() else {
                break;
            };
            if answer.status == 200 {
                tokens.push(answer.token());
                if self.issued.fetch_add(1, Ordering::SeqCst) == TOKENS {
                    let _ = enough.send(());
                }
                if after && self.cuts_off {
                    wrong.push("a token was issued".to_owned());
                }
            }
            let asked = match tokens.last() {
                Some(last) if self.cuts_off => last,
                _ => self.first,
            };
            let after = self.acknowledged.load(Ordering::SeqCst);
            let Ok(answer) = self.server.try_introspect(asked) else {
                break;
            };
            if after && answer.json()["active"] != false {
                wrong.push(format!("active: {}", answer.text()));
            }
        }
        (tokens, wrong)
    }
}

#[test]
fn what_was_revoked_stays_dead_when_the_daemon_is_killed_right_after() {
    let mut installation = Installation::initialized();
    let daemon = installation.start();
    daemon.organization("acme");
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
        cuts_off: way.cuts_off,
        acknowledged: AtomicBool::new(false),
        issued: AtomicUsize::new(0),
    };
    let (enough, has_enough) = mpsc::channel();
    let (installation, asked) = thread::scope(|scope| {
        let asking: Vec<_> = (0..ASKING)
            .map(|_| scope.spawn(|| round.ask(&enough)))
            .collect();
        has_enough.recv_timeout(DEADLINE).expect("tokens");
        (way.revoke)(&daemon, &client, &first);
        round.acknowledged.store(true, Ordering::SeqCst);
        let installation = daemon.kill();
        let asked: Vec<_> = asking.into_iter().map(|it| it.join().unwrap()).collect();
        (installation, asked)
    });

    let daemon = installation.start();
    let (client, server) = (client.at(daemon.http()), server.at(daemon.http()));
    let mut dead = vec![first];
    for (tokens, wrong) in asked {
        assert!(wrong.is_empty(), "{}: {wrong:?}", way.name);
        if way.cuts_off {
            dead.extend(tokens);
        }
    }
    for token in &dead {
        let answer = server.introspect(token);
        assert_eq!(answer.text(), r#"{"active":false}"#, "{}", way.name);
    }
    let expected = if way.cuts_off { 401 } else { 200 };
    assert_eq!(client.token(&[]).status, expected, "{}", way.name);
    daemon.kill()
}
