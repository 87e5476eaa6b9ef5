//! What an operator does on a day, in a real terminal, and what must be left of it afterwards.

use std::fs;
use std::path::Path;

use agentidp_tests::{
    Client, DevDaemon, StoppedDev, TestConsole, find_in_files, forms, traces_in_memory,
};
use nix::unistd::Pid;

pub(crate) const ESC: &str = "\u{1b}";

/// How long a secret is as it is shown.
const SECRET_LENGTH: usize = 77;

/// The e-mails of the demo's agents, and a client for the first.
pub(crate) fn demo(daemon: &DevDaemon) -> (Vec<String>, Client) {
    let agents = daemon.cli().ndjson(&["agent", "list", "-o", "ndjson"]);
    let mut emails: Vec<_> = agents
        .iter()
        .map(|it| it["email"].as_str().unwrap().to_owned())
        .collect();
    emails.sort();
    let issued = daemon
        .cli()
        .json(&["credential", "issue", &emails[0], "-o", "json"]);
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let client = Client {
        http: daemon.http(),
        id: text(&issued["client_id"]),
        secret: text(&issued["client_secret"]),
        credential: text(&issued["credential"]["id"]),
    };
    (emails, client)
}

/// What an e-mail shows as in a list, which may cut its end off.
pub(crate) fn short(email: &str) -> &str {
    email.split('@').next().unwrap()
}

/// Moves the selection to the row that shows `text`.
pub(crate) fn select(console: &mut TestConsole, text: &str) {
    console.press("g");
    settle(console);
    // The place of the selection, which nothing but a key moves: what the row shows changes by itself.
    let selected = |screen: &str| {
        screen
            .lines()
            .position(|it| it.trim_start().starts_with('>'))
    };
    let is_selected = |screen: &str| {
        selected(screen).is_some_and(|row| screen.lines().nth(row).unwrap().contains(text))
    };
    console.wait_until("a selection", |screen| selected(screen).is_some());
    for _ in 0..3 {
        if is_selected(&console.screen()) {
            return;
        }
        let before = selected(&console.screen());
        console.press("j");
        console.wait_until("another selection", |screen| {
            let now = selected(screen);
            now.is_some() && now != before
        });
    }
    assert!(
        is_selected(&console.screen()),
        "{text} cannot be selected:\n{}",
        console.screen()
    );
}

/// Waits until the keys that were pressed so far have done what they do: the help opens only after
/// them, and it closes again. What stands below its last line may still be drawn.
pub(crate) fn settle(console: &mut TestConsole) {
    // Its title and its last line: a frame comes from the top to the bottom, and in parts.
    let (title, last) = ("Help", "esc close");
    console.press("?");
    console.wait_until("the whole help", |screen| {
        screen.contains(title) && screen.contains(last)
    });
    console.press(ESC);
    console.wait_until("no help", |screen| {
        !screen.contains(title) && !screen.contains(last)
    });
}

/// Waits for the dialog of a new secret down to its last line, which stands below the secret.
pub(crate) fn wait_for_the_whole_secret(console: &mut TestConsole) {
    console.wait_until("the whole dialog of the secret", |screen| {
        screen.contains("SHOWN ONCE")
            && screen.contains("aidp_")
            && screen.contains("it can never be shown again")
    });
}

/// The secret that stands in `text` in full, if one does.
pub(crate) fn secret_in(text: &str) -> Option<String> {
    let starts = text.match_indices("aidp_").map(|(at, _)| at);
    let candidates = starts.filter_map(|at| text.get(at..at + SECRET_LENGTH));
    let is_secret = |it: &&str| {
        it.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    candidates.into_iter().find(is_secret).map(str::to_owned)
}

/// The end of an id, which is what screens show of it.
fn ending(id: &str) -> &str {
    &id[30..]
}

/// What happens to the daemon and the terminal while a new secret is on the screen.
pub(crate) type Meanwhile<'a> = &'a mut dyn FnMut(&mut TestConsole, DevDaemon, &str) -> DevDaemon;

/// A daemon with an agent that has a credential and a token, and what the daemons before it said.
pub(crate) struct Day {
    pub(crate) daemon: DevDaemon,
    pub(crate) emails: Vec<String>,
    pub(crate) client: Client,
    /// What was revealed, to be looked for everywhere.
    pub(crate) secret: String,
    said: Vec<u8>,
}

impl Day {
    pub(crate) fn begin() -> Self {
        let daemon = DevDaemon::start();
        let (emails, client) = demo(&daemon);
        assert_eq!(client.token(&[]).status, 200);
        Self {
            daemon,
            emails,
            client,
            secret: String::new(),
            said: Vec::new(),
        }
    }

    /// The whole day: finds an agent by filter, opens it, rotates its credential, sees the secret
    /// once, revokes the old credential, sees both in the log, suspends the agent and takes it back.
    /// `meanwhile` has its turn while the secret stands on the screen.
    pub(crate) fn spend(mut self, console: &mut TestConsole, meanwhile: Meanwhile<'_>) -> Self {
        self.find(console);
        self.rotate(console);
        self.daemon = meanwhile(console, self.daemon, &self.secret);
        self.client.http = self.daemon.http();
        self.close_the_secret(console);
        self.revoke_the_old(console);
        self.watch_and_undo(console);
        self
    }

    /// Finds the agent by a filter and opens it.
    pub(crate) fn find(&self, console: &mut TestConsole) {
        console.wait_for("LIVE");
        for email in &self.emails {
            console.wait_for(short(email));
        }
        let (found, others) = self.emails.split_first().unwrap();
        console.press(&format!("/email={}\r", short(found)));
        console.wait_for("1/3");
        console.wait_until("the found agent alone", |screen| {
            !others.iter().any(|it| screen.contains(short(it)))
        });
        console.press("\r");
        console.wait_for(&format!("credential id  {}", self.client.credential));
    }

    /// Rotates the credential and reveals the new secret.
    pub(crate) fn rotate(&mut self, console: &mut TestConsole) {
        console.press("ar");
        console.wait_for("[ Rotate ]");
        console.press_until("\t", "y/N");
        console.press_until_screen("y", "the answer", |screen| !screen.contains("[ Rotate ]"));
        wait_for_the_whole_secret(console);
        assert_eq!(secret_in(&console.screen()), None, "it is masked");
        console.press_until_screen("v", "the secret", |screen| secret_in(screen).is_some());
        self.secret = secret_in(&console.screen()).unwrap();
        let new = self.client.with_secret(&self.secret);
        assert_eq!(new.token(&[]).status, 200, "it is the secret");
        assert_eq!(self.client.token(&[]).status, 200, "the grace lasts");
        self.assert_in_no_process_list();
    }

    /// Says that the secret is stored, and closes its dialog.
    pub(crate) fn close_the_secret(&self, console: &mut TestConsole) {
        // Shown or masked by now, it is still the same one.
        if secret_in(&console.screen()).is_none() {
            console.press_until_screen("v", "the secret", |screen| secret_in(screen).is_some());
        }
        assert_eq!(
            secret_in(&console.screen()).as_ref(),
            Some(&self.secret),
            "a secret is made once"
        );
        console.press(" ");
        console.wait_for("[x] I have stored it");
        console.press("\r");
        // Both, since the one may be painted over before the other.
        console.wait_until("neither the dialog nor the secret", |screen| {
            !screen.contains("SHOWN ONCE") && !screen.contains(&self.secret)
        });
    }

    /// Revokes the credential that was replaced, by typing the end of its id.
    fn revoke_the_old(&self, console: &mut TestConsole) {
        let old = &self.client.credential;
        console.wait_for("retiring");
        select(console, ending(old));
        console.wait_for(&format!("credential id  {old}"));
        console.press("ac");
        console.wait_for("IRREVERSIBLE");
        console.press_until("r", "Reason   r");
        console.press("eplaced\r");
        console.wait_for("Reason   replaced");
        console.press(ending(old));
        console.wait_for("[ Revoke ]");
        console.press("\t\t\r");
        console.wait_for("x revoked");
        let old = self.client.token(&[]);
        assert_eq!(old.error(), (401, "invalid_client".to_owned()));
        let new = self.client.with_secret(&self.secret);
        assert_eq!(new.token(&[]).status, 200);
    }

    /// Sees what was done in the log; suspends the agent and takes it back.
    fn watch_and_undo(&self, console: &mut TestConsole) {
        let new = self.client.with_secret(&self.secret);
        console.press("5");
        console.wait_for("FOLLOW");
        console.wait_for("credential.rotate");
        console.wait_for("credential.revoke");
        console.press("2\r");
        console.wait_for(&format!("id     {}", self.client.id));
        console.press("as");
        console.wait_for("Reason");
        console.press_until("o", "Reason   o");
        console.press("dd requests\ty");
        console.wait_for("~ suspended");
        assert_eq!(new.token(&[]).status, 401);
        console.press("U");
        console.wait_until("an active agent", |screen| {
            screen.contains("* active") && !screen.contains("~ suspended")
        });
        assert_eq!(new.token(&[]).status, 200);
        console.press("5");
        console.wait_for("agent.resume");
    }

    /// Kills the daemon and starts it again while the console looks on.
    pub(crate) fn kill_and_restart(
        console: &mut TestConsole,
        daemon: DevDaemon,
        said: &mut Vec<u8>,
    ) -> DevDaemon {
        said.extend(said_by(&daemon));
        let killed: StoppedDev = daemon.kill();
        console.wait_for("STALE");
        let daemon = killed.start();
        console.wait_for("LIVE");
        daemon
    }

    /// Nobody who lists processes sees the secret.
    fn assert_in_no_process_list(&self) {
        let needle = &forms(&self.secret)[0];
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            for name in ["cmdline", "environ"] {
                let text = fs::read(entry.path().join(name)).unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                assert!(!text.contains(needle), "{}/{name}", entry.path().display());
            }
        }
    }

    /// The secret is in no file of the daemon and in nothing that it said.
    pub(crate) fn assert_no_trace_outside(mut self, said_before: &[u8]) {
        self.said.extend(said_before);
        self.said.extend(said_by(&self.daemon));
        assert!(!self.said.is_empty(), "the daemon says what it does");
        let said = String::from_utf8_lossy(&self.said).into_owned();
        for form in forms(&self.secret) {
            assert!(!said.contains(&form), "in what the daemon says");
            let files = find_in_files(self.daemon.directory(), &form);
            assert_eq!(files, Vec::<std::path::PathBuf>::new());
        }
    }
}

/// What the daemon wrote to its output.
fn said_by(daemon: &DevDaemon) -> Vec<u8> {
    daemon
        .process
        .seen(|seen| [seen.stdout.as_slice(), &seen.stderr].concat())
}

/// There is nothing of the secret in the console's memory, and so in no core dump of it.
pub(crate) fn assert_no_trace_in_memory(console: Pid, secret: &str) {
    let traces = traces_in_memory(console, secret);
    assert!(traces.is_empty(), "{}", traces.join("\n"));
}

/// The process that `program` runs as, which is a descendant of a shell in a multiplexer.
pub(crate) fn find_process(program: &Path, socket: &Path) -> Pid {
    let socket = format!("AGENTIDP_SOCKET={}", socket.display());
    let is_it = |pid: &i32| {
        let link = fs::read_link(format!("/proc/{pid}/exe"));
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mut environment = environment.split(|byte| *byte == 0);
        link.is_ok_and(|it| it == program) && environment.any(|it| it == socket.as_bytes())
    };
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let mut pids = pids.filter_map(|it| it.file_name().to_str()?.parse().ok());
    Pid::from_raw(pids.find(is_it).expect("the console runs"))
}
