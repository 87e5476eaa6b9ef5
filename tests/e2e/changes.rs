//! The stream of changes, and who is connected.

use std::fs;
use std::path::Path;

use agentidp_proto::v1;
use agentidp_proto::v1::change_service_client::ChangeServiceClient;
use agentidp_proto::v1::watch_changes_response::{Change, Event};
use agentidp_tests::{DEADLINE, Installation, Registration, Role, TestConsole, TestDaemon};
use nix::sys::signal::Signal;
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use super::evidence::copy;

/// One who watches.
struct Watcher {
    runtime: Runtime,
    client: ChangeServiceClient<Channel>,
}

impl Watcher {
    fn connect(socket: &Path) -> Self {
        let runtime = Runtime::new().unwrap();
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).unwrap();
        let channel = runtime.block_on(endpoint.connect()).unwrap();
        Self {
            runtime,
            client: ChangeServiceClient::new(channel),
        }
    }

    fn watch(&self, after: Option<u64>) -> Result<Stream<'_>, Status> {
        let mut client = self.client.clone();
        let request = v1::WatchChangesRequest { after };
        let answer = self.runtime.block_on(client.watch(request))?;
        Ok(Stream {
            runtime: &self.runtime,
            messages: answer.into_inner(),
        })
    }
}

struct Stream<'a> {
    runtime: &'a Runtime,
    messages: Streaming<v1::WatchChangesResponse>,
}

impl Stream<'_> {
    fn next(&mut self) -> Event {
        let next = async { tokio::time::timeout(DEADLINE, self.messages.message()).await };
        let message = self.runtime.block_on(next).expect("in time");
        message.unwrap().unwrap().event.unwrap()
    }

    /// What is told until the reader has caught up, and the revision that it then has.
    fn told(&mut self) -> (Vec<Change>, u64) {
        let mut changes = Vec::new();
        loop {
            match self.next() {
                Event::Change(change) => changes.push(change),
                Event::Revision(at) => return (changes, at.revision),
                Event::Lost(_) => panic!("something was lost"),
            }
        }
    }

    /// The same, when something is known to come.
    fn told_something(&mut self) -> (Vec<Change>, u64) {
        loop {
            let (changes, at) = self.told();
            if !changes.is_empty() {
                return (changes, at);
            }
        }
    }
}

fn words(changes: &[Change]) -> Vec<String> {
    let words = changes
        .iter()
        .map(|it| format!("{} {} {} {}", it.kind, it.id, it.revision, it.action));
    words.collect()
}

#[test]
fn each_record_that_changes_is_told_with_its_revision_and_nothing_twice() {
    let daemon = TestDaemon::start();
    let organization = daemon.organization("acme");
    let watcher = Watcher::connect(&daemon.installation.config.socket);
    let mut stream = watcher.watch(None).unwrap();
    let (before, from) = stream.told();
    assert_eq!(before, [], "what was before is to be read, not told");

    let agent = daemon.register(&Registration::new("a@acme.example"));
    let id = agent["id"].as_str().unwrap();
    let (told, _) = stream.told_something();
    assert_eq!(words(&told), [format!("agent {id} 1 agent.register")]);
    assert_eq!(
        told[0].organization_id,
        organization["id"].as_str().unwrap()
    );

    let client = daemon.issue("a@acme.example", &[]);
    let (told, _) = stream.told_something();
    let credential = &client.credential;
    assert_eq!(
        words(&told),
        [format!("credential {credential} 1 credential.issue")]
    );
    assert_eq!(told[0].agent_id, id);

    // Using it changes no record.
    assert_eq!(client.token(&[]).status, 200);
    daemon.change("suspend", id);
    let (told, at) = stream.told_something();
    assert_eq!(words(&told), [format!("agent {id} 2 agent.suspend")]);

    // Who comes back from an earlier place is told of the last change of each.
    let mut again = watcher.watch(Some(from)).unwrap();
    let (told, caught_up) = again.told();
    assert_eq!(
        words(&told),
        [
            format!("credential {credential} 1 credential.issue"),
            format!("agent {id} 2 agent.suspend"),
        ]
    );
    assert!(caught_up >= at);
    let beyond = watcher.watch(Some(caught_up + 1_000));
    assert_eq!(beyond.err().unwrap().code(), Code::InvalidArgument);
}

#[test]
fn an_operator_of_one_organization_is_told_of_its_changes_alone() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    daemon.organization("other");
    let (mut installation, _) = daemon.stop();
    let users = installation.config.roles[0].users.clone();
    installation.config.roles = vec![Role {
        role: "operator",
        users,
        groups: Vec::new(),
        organizations: Some(vec!["acme".to_owned()]),
    }];
    let daemon = installation.start();
    let watcher = Watcher::connect(&daemon.installation.config.socket);
    let mut all = watcher.watch(Some(0)).unwrap();
    let (told, _) = all.told();
    assert_eq!(told.len(), 1, "no key, and one organization: {told:?}");
    assert_eq!(told[0].kind, "organization");
}

#[test]
fn the_console_follows_what_somebody_else_changes_by_id() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    for name in ["a", "b"] {
        daemon.register(&Registration::new(&format!("{name}@acme.example")));
    }
    let mut console = TestConsole::start(&daemon.installation.config.socket);
    console.wait_for("LIVE");
    console.wait_for("a@acme.example");
    console.press("j");
    let selected = |screen: &str| {
        let row = screen.lines().find(|it| it.trim_start().starts_with('>'));
        row.unwrap_or_default().to_owned()
    };
    console.wait_until("the second row", |screen| {
        selected(screen).contains("a@acme.example")
    });
    daemon.change("suspend", "a@acme.example");
    console.wait_until("the change", |screen| {
        selected(screen).contains("a@acme.example") && selected(screen).contains("suspended")
    });
    daemon.register(&Registration::new("c@acme.example"));
    console.wait_until("a new row and the same selection", |screen| {
        screen.contains("c@acme.example") && selected(screen).contains("a@acme.example")
    });
}

#[test]
fn a_daemon_that_hangs_is_told_of_and_is_found_again_when_it_goes_on() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    daemon.register(&Registration::new("a@acme.example"));
    let mut console = TestConsole::start(&daemon.installation.config.socket);
    console.wait_for("LIVE");
    // Nothing is asked for any more whose failure would be told in place of the silence.
    console.wait_for("a@acme.example");
    daemon.process.signal(Signal::SIGSTOP);
    console.wait_for("STALE");
    console.wait_for("no word from the daemon");
    daemon.process.signal(Signal::SIGCONT);
    console.wait_for("LIVE");
}

#[test]
fn a_console_goes_on_when_the_store_is_put_back_from_an_earlier_time() {
    let installation = Installation::initialized();
    let (store, earlier) = (
        installation.config.store.clone(),
        installation.directory().join("earlier"),
    );
    copy(&store, &earlier);
    let daemon = installation.start();
    daemon.organization("acme");
    daemon.register(&Registration::new("a@acme.example"));
    let mut console = TestConsole::start(&daemon.installation.config.socket);
    console.wait_for("LIVE");
    console.wait_for("a@acme.example");
    let (installation, _) = daemon.stop();
    console.wait_for("STALE");
    fs::remove_dir_all(&store).unwrap();
    fs::rename(&earlier, &store).unwrap();
    let daemon = installation.start();
    console.wait_for("LIVE");
    console.wait_until("no agent that never was", |screen| {
        !screen.contains("a@acme.example")
    });
    daemon.organization("other");
    daemon.register(&Registration::new("b@other.example").of("other"));
    console.wait_for("b@other.example");
}

#[test]
fn those_who_are_connected_are_known_and_forgotten_when_they_go() {
    let daemon = TestDaemon::start();
    let socket = &daemon.installation.config.socket;
    let connections = || {
        let status = daemon.cli().json(&["status", "-o", "json"]);
        status["connections"].as_array().unwrap().clone()
    };
    let alone = connections();
    assert_eq!(alone.len(), 1, "the command itself: {alone:?}");
    assert_eq!(alone[0]["own"], true);
    assert_eq!(alone[0]["role"], "admin");
    assert!(alone[0]["since"].as_str().unwrap().ends_with('Z'));

    let watcher = Watcher::connect(socket);
    let mut stream = watcher.watch(None).unwrap();
    assert_eq!(stream.told().0, []);
    let mut console = TestConsole::start(socket);
    console.wait_for("LIVE");
    console.wait_for("+1 connected");
    // A command that has just ended may still be known.
    let others = || connections().iter().filter(|it| it["own"] == false).count();
    assert!(
        (0..100).any(|_| others() == 2),
        "the watcher and the console"
    );

    let read_only = daemon.cli().json(&["--read-only", "status", "-o", "json"]);
    let open = read_only["connections"].as_array().unwrap();
    let own: Vec<_> = open.iter().filter(|it| it["own"] == true).collect();
    assert_eq!(own.len(), 1);
    assert_eq!(own[0]["read_only"], true);

    console.press("1");
    console.wait_for("CONNECTED");
    console.wait_for("this one");
    console.press(":q\r");
    assert!(console.wait_for_end().status.success());
    drop(stream);
    drop(watcher);
    assert!((0..100).any(|_| others() == 0), "they are forgotten");
}
