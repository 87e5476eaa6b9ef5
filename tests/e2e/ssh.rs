//! SSH as the way in, as `docs/ssh.md` has it: a real sshd on the loopback, with users, groups and
//! `sudo` that only it and the daemon see.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use agentidp_tests::users::{is_root_to_test, is_there_to_test};
use agentidp_tests::{
    Cli, Finished, Installation, Link, MountNamespace, Process, Registration, Role, TestConsole,
    TestDaemon, agentidp, free_address, project_root,
};
use serde_json::{Value, json};

/// The group of the socket; those of the roles and of the documentation's blocks follow it.
const SOCKET_GROUP: u32 = 20_101;

const GROUPS: [(&str, u32, &str); 5] = [
    ("agentidp", SOCKET_GROUP, "alice,bob,carol"),
    ("agentidp-operator", 20_102, "alice,bob"),
    ("agentidp-auditor", 20_103, "carol"),
    ("agentidp-console", 20_104, "carol"),
    ("agentidp-remote", 20_105, "alice"),
];

/// Name, number and shell. Alice is an administrator, bob's shell is the console, carol is forced to
/// it, and dave is nobody to the daemon.
const USERS: [(&str, u32, &str); 4] = [
    ("alice", 20_001, "/bin/bash"),
    ("bob", 20_002, "/usr/local/bin/agentidp"),
    ("carol", 20_003, "/bin/bash"),
    ("dave", 20_004, "/bin/bash"),
];

/// A server with a daemon and an sshd.
struct Server {
    daemon: TestDaemon,
    namespace: MountNamespace,
    _sshd: Process,
    port: u16,
    folder: PathBuf,
}

impl Server {
    /// None where there is not what it takes.
    fn start(what: &str) -> Option<Self> {
        if !is_root_to_test(what)
            || !is_there_to_test("sshd", what)
            || !is_there_to_test("sudo", what)
        {
            return None;
        }
        let mut installation = Installation::new();
        let folder = installation.directory().to_owned();
        set_mode(&folder, 0o755);
        let namespace = MountNamespace::new(&setup(&folder));
        namespace.run(
            "mkdir -m 0755 /run/sshd && mkdir -m 0750 /run/agentidp && \
             chown root:20101 /run/agentidp",
        );
        installation.config.socket = "/run/agentidp/operator.sock".into();
        installation.config.roles = roles();
        installation.by_way_of = namespace.by_way_of();
        installation
            .by_way_of
            .extend(["setpriv", "--regid=20101", "--clear-groups"].map(str::to_owned));
        installation.init();
        let daemon = installation.start();
        let port = free_address().port();
        let sshd = sshd(&folder, &namespace, port);
        let server = Self {
            daemon,
            namespace,
            _sshd: sshd,
            port,
            folder,
        };
        let cli = server.local();
        let _ = cli.json(&["org", "create", "acme", "-o", "json"]);
        let _ = cli.json(&Registration::new("a@acme.example").arguments());
        Some(server)
    }

    /// The command line of root on the server, without SSH.
    fn local(&self) -> Cli {
        let socket = &self.daemon.installation.config.socket;
        Cli::new(&self.namespace.outside(socket))
    }

    fn options(&self, user: &str) -> Vec<String> {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let mut words: Vec<_> = ["-F", "none", "-i"].map(str::to_owned).to_vec();
        words.push(at("client_key"));
        for option in [
            "BatchMode=yes".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            "ExitOnForwardFailure=yes".to_owned(),
            format!("UserKnownHostsFile={}", at("known_hosts")),
            format!("Port={}", self.port),
            format!("User={user}"),
        ] {
            words.extend(["-o".to_owned(), option]);
        }
        words
    }

    fn command(&self, user: &str, options: &[&str], line: &str) -> Command {
        let mut command = Command::new("ssh");
        command
            .args(self.options(user))
            .args(options)
            .arg("127.0.0.1");
        if !line.is_empty() {
            command.arg(line);
        }
        command
    }

    /// Runs a line as `user` on the server.
    fn ssh(&self, user: &str, line: &str) -> Finished {
        Process::spawn(self.command(user, &[], line)).wait()
    }

    /// The newest entry of this action.
    fn entry(&self, action: &str) -> Value {
        let list = ["audit", "list", "--limit", "1", "-o", "ndjson", "--action"];
        let list = [&list[..], &[action]].concat();
        self.local().ndjson(&list).remove(0)
    }
}

/// The script that gives the namespace its users, groups, rights and folders.
fn setup(folder: &Path) -> String {
    let etc = folder.join("etc");
    fs::create_dir(&etc).unwrap();
    let put = |name: &str, mode, text: &str| {
        fs::write(etc.join(name), text).unwrap();
        set_mode(&etc.join(name), mode);
    };
    let with = |file: &str, more: &[String]| {
        let text = fs::read_to_string(file).unwrap();
        format!("{}\n{}\n", text.trim_end(), more.join("\n"))
    };
    let passwd = USERS.map(|(name, id, shell)| format!("{name}:x:{id}:{id}::/:{shell}"));
    put("passwd", 0o644, &with("/etc/passwd", &passwd));
    let shadow = USERS.map(|(name, ..)| format!("{name}:*:20000:0:99999:7:::"));
    put("shadow", 0o640, &with("/etc/shadow", &shadow));
    let groups = GROUPS.map(|(name, id, members)| format!("{name}:x:{id}:{members}"));
    let own = USERS.map(|(name, id, _)| format!("{name}:x:{id}:"));
    put(
        "group",
        0o644,
        &with("/etc/group", &[&groups[..], &own].concat()),
    );
    put("sudoers", 0o440, "alice ALL=(root) NOPASSWD: SETENV: ALL\n");
    put(
        "pam-sshd",
        0o644,
        "account required pam_permit.so\nsession required pam_loginuid.so\n",
    );
    put(
        "pam-sudo",
        0o644,
        "auth required pam_permit.so\naccount required pam_permit.so\n\
         session required pam_permit.so\n",
    );
    let etc = etc.display();
    let program = agentidp();
    let program = program.display();
    format!(
        "for it in passwd shadow group sudoers; do mount --bind {etc}/$it /etc/$it; done; \
         mount --bind {etc}/pam-sshd /etc/pam.d/sshd; mount --bind {etc}/pam-sudo /etc/pam.d/sudo; \
         cp {program} {etc}/agentidp; \
         mount -t tmpfs -o mode=755 tmpfs /run; mount -t tmpfs -o mode=755 tmpfs /usr/local/bin; \
         install -m 0755 {etc}/agentidp /usr/local/bin/agentidp"
    )
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn roles() -> Vec<Role> {
    let role = |role, users: &[&str], groups: &[&str]| Role {
        role,
        users: users.iter().map(ToString::to_string).collect(),
        groups: groups.iter().map(ToString::to_string).collect(),
        organizations: None,
    };
    vec![
        role("admin", &["root"], &["agentidp-admin"]),
        role("operator", &[], &["agentidp-operator"]),
        role("auditor", &[], &["agentidp-auditor"]),
    ]
}

/// Starts sshd inside, with the blocks that the documentation has for its configuration.
fn sshd(folder: &Path, namespace: &MountNamespace, port: u16) -> Process {
    for key in ["host_key", "client_key"] {
        let path = folder.join(key);
        let mut make = Command::new("ssh-keygen");
        make.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path);
        assert_eq!(Process::spawn(make).wait().code(), Some(0));
    }
    let public = |key: &str| fs::read_to_string(folder.join(key).with_extension("pub")).unwrap();
    let known = format!("[127.0.0.1]:{port} {}", public("host_key"));
    fs::write(folder.join("known_hosts"), known).unwrap();
    fs::write(folder.join("authorized_keys"), public("client_key")).unwrap();
    let at = folder.display();
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host_key\nPidFile none\n\
         AuthorizedKeysFile {at}/authorized_keys\nStrictModes no\nPasswordAuthentication no\n\
         UsePAM yes\nPrintMotd no\nSubsystem sftp /usr/lib/openssh/sftp-server\n{}{}",
        documented("force"),
        documented("forward")
    );
    let path = folder.join("sshd_config");
    fs::write(&path, config).unwrap();
    chown(&path, Some(0), Some(0)).unwrap();
    let words = namespace.by_way_of();
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .args(["/usr/sbin/sshd", "-D", "-e", "-f"])
        .arg(&path);
    let sshd = Process::spawn(command);
    sshd.wait_for("listening sshd", |seen| {
        let said = String::from_utf8_lossy(&seen.stderr);
        said.contains("Server listening").then_some(())
    });
    sshd
}

/// The block of `docs/ssh.md` that is marked by this name.
fn documented(name: &str) -> String {
    let text = fs::read_to_string(project_root().join("docs/ssh.md")).unwrap();
    let (_, after) = text
        .split_once(&format!("<!-- sshd_config: {name} -->\n```\n"))
        .unwrap();
    after.split_once("```").unwrap().0.to_owned()
}

/// Whether the kernel keeps who logged in.
fn keeps_logins() -> bool {
    let keeps = Path::new("/proc/self/loginuid").exists();
    if !keeps {
        let _ = is_there_to_test(
            "loginuid",
            "the login user, which this kernel does not keep",
        );
    }
    keeps
}

#[test]
fn a_login_whose_shell_is_the_console_gets_it_and_nothing_else() {
    let Some(server) = Server::start("the console as a login shell") else {
        return;
    };
    let listed = server.ssh("bob", "agent list -o ndjson");
    assert_eq!(listed.code(), Some(0), "{}", listed.stderr);
    assert!(listed.stdout.contains("a@acme.example"));
    let line = "agent suspend a@acme.example --reason 'odd $(id) requests' --yes";
    let suspended = server.ssh("bob", line);
    assert_eq!(suspended.code(), Some(0), "{}", suspended.stderr);
    let entry = server.entry("agent.suspend");
    assert_eq!(entry["actor"]["name"], "bob");
    assert_eq!(entry["actor"]["id"], "20002");
    assert_eq!(entry["reason"], "odd $(id) requests");

    for line in [
        "id",
        "sh -c id",
        "agent list; id",
        "/usr/lib/openssh/sftp-server",
    ] {
        let refused = server.ssh("bob", line);
        assert_eq!(refused.code(), Some(2), "{line}: {}", refused.stderr);
        assert!(!refused.stdout.contains("uid="), "{line}");
        assert!(refused.stderr.contains("agentidp"), "{line}");
    }
    assert_eq!(
        server.ssh("bob", "agent show nobody@x.example").code(),
        Some(3)
    );

    // And with a terminal, the console itself.
    let options = server.options("bob");
    let mut words: Vec<_> = options.iter().map(String::as_str).collect();
    words.extend(["-tt", "127.0.0.1"]);
    let mut console = TestConsole::by_way_of(Path::new("ssh"), &words);
    console.wait_for("LIVE");
    console.wait_for("bob");
    console.press("2");
    console.wait_for("a@acme");
    console.press(":q\r");
    drop(console);
}

#[test]
fn sixty_keys_at_once_over_a_slow_line_are_one_small_answer() {
    let Some(server) = Server::start("the console over a slow line") else {
        return;
    };
    let agents = server.folder.join("agents.ndjson");
    let lines = (0..100).map(|number| {
        json!({
            "email": format!("bot-{number:04}@acme.example"), "agent_type": "screener",
            "version": "1.0.0", "capabilities": ["resume:read"], "owner": "team-a",
            "deployment_env": "production",
        })
        .to_string()
    });
    fs::write(&agents, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let words = [
        "agent",
        "register-many",
        agents.to_str().unwrap(),
        "--org",
        "acme",
    ];
    let _ = server.local().run(&words).ok();

    let listed = server
        .local()
        .ndjson(&["agent", "list", "--limit", "100", "-o", "ndjson"]);
    let row = |number: usize| {
        let email = listed[number]["email"].as_str().unwrap();
        format!("> {}", &email[..9])
    };

    let far = ([127, 0, 0, 1], server.port).into();
    let link = Link::to(far, Duration::from_millis(150), 16_000);
    let mut words = vec![
        "-o".to_owned(),
        format!("Port={}", link.address.port()),
        "-o".to_owned(),
        format!("HostKeyAlias=[127.0.0.1]:{}", server.port),
    ];
    words.extend(server.options("bob"));
    words.extend(["-tt".to_owned(), "127.0.0.1".to_owned()]);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let mut console = TestConsole::by_way_of(Path::new("ssh"), &words);
    console.wait_for("LIVE");
    console.wait_for(&row(0));
    let before = console.written_after(Duration::from_secs(2));
    console.press(&"j".repeat(60));
    console.wait_for(&row(60));
    let shown = Instant::now();
    let arrived = link.arrived().unwrap();
    let written = console.written_after(Duration::from_secs(1)) - before;
    assert!(written < 3_000, "{written} bytes");
    // A frame for each key would be sixty times the delay of one; this bound leaves room for a busy
    // machine, and `cargo xtask bench console` has the figure.
    let took = shown.duration_since(arrived);
    assert!(took < Duration::from_secs(2), "{took:?}");
    console.press(":q\r");
}

#[test]
fn a_forced_command_holds_whatever_is_asked_for() {
    let Some(server) = Server::start("the console by ForceCommand") else {
        return;
    };
    let shown = server.ssh("carol", "agent show a@acme.example -o json");
    assert_eq!(shown.code(), Some(0), "{}", shown.stderr);
    let refused = server.ssh("carol", "agent suspend a@acme.example --reason test --yes");
    assert_eq!(refused.code(), Some(4), "an auditor: {}", refused.stderr);
    for line in [
        "id",
        "status; id",
        "status && id",
        "$(id)",
        "`id`",
        "status' ; id ; '",
        "status\" ; id ; \"",
        "sh",
    ] {
        let refused = server.ssh("carol", line);
        assert_eq!(refused.code(), Some(2), "{line}: {}", refused.stderr);
        assert!(!refused.stdout.contains("uid="), "{line}");
    }
    // Nothing asked for and no terminal: the console says what to do.
    let nothing = server.ssh("carol", "");
    assert_ne!(nothing.code(), Some(0));
    assert!(nothing.stderr.contains("terminal"), "{}", nothing.stderr);
    let local = server.folder.join("carol.sock");
    let forward = format!("{}:/run/agentidp/operator.sock", local.display());
    let refused = server.command("carol", &["-L", &forward], "status");
    let refused = Process::spawn(refused).wait();
    // The local end is made by the client; what comes through it is refused by the server.
    let through = Cli::new(&local).run(&["status"]);
    assert_eq!(through.code(), Some(6), "{}", refused.stderr);
}

#[test]
fn a_forwarded_socket_is_used_by_whoever_logged_in() {
    let Some(server) = Server::start("a forwarded socket") else {
        return;
    };
    let local = server.folder.join("local.sock");
    let forward = format!("{}:/run/agentidp/operator.sock", local.display());
    let forwarding = server.command("alice", &["-v", "-N", "-L", &forward], "");
    let forwarding = Process::spawn(forwarding);
    forwarding.wait_for("the local end", |seen| {
        let said = String::from_utf8_lossy(&seen.stderr);
        said.contains("Entering interactive session").then_some(())
    });
    let laptop = Cli::new(&local);
    // Here it is root who calls, there it is alice.
    let caller = &laptop.json(&["status", "-o", "json"])["caller"];
    assert_eq!(
        (&caller["name"], &caller["role"]),
        (&"alice".into(), &"operator".into())
    );
    let suspend = [
        "agent",
        "suspend",
        "a@acme.example",
        "--reason",
        "test",
        "--yes",
    ];
    let _ = laptop.run(&suspend).ok();
    assert_eq!(server.entry("agent.suspend")["actor"]["name"], "alice");
    let _ = laptop.run(&["org", "create", "mine"]).failing_with(4);
    let mode = fs::metadata(&local).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the laptop's other users stay out");
}

#[test]
fn the_login_user_stands_in_the_log_through_sudo_whatever_is_claimed() {
    let Some(server) = Server::start("the login user through sudo") else {
        return;
    };
    if !keeps_logins() {
        return;
    }
    let agentidp = "/usr/local/bin/agentidp";
    let reason = "--reason test --yes";
    for before in [
        "sudo",
        "sudo env SUDO_USER=dave SUDO_UID=20004 LOGNAME=dave USER=dave",
        "sudo -E SUDO_USER=dave SUDO_UID=20004",
        "sudo su root -c 'exec \"$0\" \"$@\"' --",
        "sudo setsid --wait",
    ] {
        let line = format!("{before} {agentidp} agent suspend a@acme.example {reason}");
        let done = server.ssh("alice", &line);
        assert_eq!(done.code(), Some(0), "{line}: {}", done.stderr);
        let actor = &server.entry("agent.suspend")["actor"];
        assert_eq!(
            (&actor["name"], &actor["id"]),
            (&"root".into(), &"0".into())
        );
        assert_eq!(actor["login"], "alice", "{before}");
        let _ = server
            .local()
            .run(&["agent", "resume", "a@acme.example"])
            .ok();
    }
    // Without sudo there is one user, and one name.
    let done = server.ssh("alice", &format!("{agentidp} status -o json"));
    let status: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(status["caller"]["name"], "alice");
    assert_eq!(status["caller"]["login"], Value::Null);
    let whole = format!("SUDO_USER=root SUDO_UID=0 {agentidp} org create mine");
    assert_eq!(
        server.ssh("alice", &whole).code(),
        Some(4),
        "she stays who she is"
    );
}

#[test]
fn a_login_without_the_groups_learns_which_it_lacks() {
    let Some(server) = Server::start("a login without groups") else {
        return;
    };
    let agentidp = "/usr/local/bin/agentidp";
    let refused = server.ssh("dave", &format!("{agentidp} agent list"));
    assert_eq!(refused.code(), Some(6), "{}", refused.stderr);
    assert!(refused.stderr.contains("group"), "{}", refused.stderr);
    let diagnosed = server.ssh("dave", &format!("{agentidp} diagnose"));
    assert_eq!(diagnosed.code(), Some(4), "{}", diagnosed.stderr);
    assert!(
        diagnosed.stdout.contains("root:agentidp 0750"),
        "{}",
        diagnosed.stdout
    );
}
