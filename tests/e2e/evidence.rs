//! What is exported from the log is verified elsewhere, without the daemon.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use agentidp_shared::merkle::{
    Checkpoint, Frontier, NodeHash, Note, Signature, VerifierKey, verify_cosignature,
};
use agentidp_tests::{
    Cli, DEADLINE, Installation, Process, Registration, TestDaemon, meddle, project_root,
};
use serde_json::Value;

use super::clients::installed;
use super::tls;

/// The command line where there is no daemon.
fn elsewhere() -> Cli {
    Cli::new(Path::new("/nonexistent/operator.sock"))
}

fn key_of(daemon: &TestDaemon) -> String {
    let answer = daemon.cli().run(&["audit", "key"]).ok();
    answer.stdout().trim_end().to_owned()
}

#[test]
fn an_export_verifies_without_the_daemon_also_after_restarts_and_a_crash() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    // More than one bundle, so that there are full tiles.
    for _ in 0..300 {
        let _ = client.token(&[]).token();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let key = key_of(&daemon);
    let export = |daemon: &TestDaemon, name: &str, options: &[&str]| {
        let file = path(name);
        let arguments = [&["audit", "export", &file], options].concat();
        let _ = daemon.cli().run(&arguments).ok();
        file
    };
    let verify = |file: &str| {
        let arguments = ["audit", "verify", file, "--key", &key, "-o", "json"];
        elsewhere().run(&arguments).ok().json()
    };
    let whole = verify(&export(&daemon, "whole", &[]));
    assert!(whole["entries"].as_u64().unwrap() > 300, "{whole}");
    let acme = verify(&export(&daemon, "acme", &["--org", "acme"]));
    assert!(acme["organization_id"].is_string());
    assert!(acme["entries"].as_u64().unwrap() > 300, "{acme}");

    let (installation, _) = daemon.stop();
    let daemon = installation.start();
    assert_eq!(key_of(&daemon), key);
    let from = whole["to"].to_string();
    let rest = verify(&export(&daemon, "rest", &["--from", &from]));
    assert_eq!(rest["from"], whole["to"]);
    let daemon = daemon.kill().start();
    let again = verify(&export(&daemon, "again", &[]));
    assert!(again["size"].as_u64() > rest["size"].as_u64());

    let proof = path("proof");
    let prove = ["audit", "prove", "299", "--out", &proof];
    let _ = daemon.cli().run(&prove).ok();
    assert_eq!(verify(&proof)["from"], 299);
    let (installation, _) = daemon.stop();
    installation.check_store();
}

#[test]
fn an_export_that_was_changed_is_refused_and_the_line_is_named() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.ndjson");
    let name = file.to_str().unwrap();
    let _ = daemon.cli().run(&["audit", "export", name]).ok();
    let key = key_of(&daemon);

    let again = daemon.cli().run(&["audit", "export", name]);
    let again = again.failing_with(2);
    assert!(
        again.stderr().contains("is there already"),
        "{}",
        again.stderr()
    );

    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("store.init", "store.Init")).unwrap();
    let refused = elsewhere().run(&["audit", "verify", name, "--key", &key]);
    let refused = refused.failing_with(1);
    assert!(
        refused.stderr().contains("line 2: "),
        "{}",
        refused.stderr()
    );
}

/// An export that the system ends, because its file gets larger than it may, is gone on with.
#[test]
fn an_export_that_was_interrupted_is_gone_on_with() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    for _ in 0..100 {
        let _ = client.token(&[]).token();
    }
    let folder = tempfile::tempdir().unwrap();
    let key = key_of(&daemon);
    let limit = "ulimit -f 32; exec \"$@\"";
    let interrupted = daemon.cli().by_way_of(&["sh", "-c", limit, "sh"]);
    for (name, options) in [("whole", &["--from", "2"][..]), ("own", &["--org", "acme"])] {
        let path = folder.path().join(name);
        let part = folder.path().join(format!("{name}.part"));
        let file = path.to_str().unwrap();
        let command = [&["audit", "export", file], options].concat();
        assert_eq!(interrupted.run(&command).code(), None);
        assert!(!path.exists());
        let begun = fs::read(&part).unwrap();
        assert_eq!(begun.len(), 32 * 512);
        // The log goes on meanwhile, and a crash may leave anything at the end.
        let _ = client.token(&[]).token();
        fs::write(&part, [&begun, &[0; 100][..]].concat()).unwrap();

        let other = ["audit", "export", file, "--from", "1"];
        let refused = daemon.cli().run(&other).failing_with(2);
        assert!(
            refused.stderr().contains("of another export"),
            "{}",
            refused.stderr()
        );
        let resumed = daemon.cli().run(&command).ok();
        assert!(
            resumed.stderr().contains(".part at entry "),
            "{}",
            resumed.stderr()
        );
        assert!(!part.exists());
        let made = fs::read(&path).unwrap();
        let whole = begun.iter().rposition(|it| *it == b'\n').unwrap();
        assert!(made.starts_with(&begun[..whole]), "{name}");
        let verify = ["audit", "verify", file, "--key", &key, "-o", "json"];
        let report = elsewhere().run(&verify).ok().json();
        assert!(report["entries"].as_u64() > Some(100), "{report}");
    }
    // A part that is whole but for its name, and one that is of something else.
    let whole = fs::read(folder.path().join("whole")).unwrap();
    let [part, other] = ["again", "other"].map(|it| folder.path().join(format!("{it}.part")));
    fs::write(&part, &whole).unwrap();
    fs::write(&other, "something else\n").unwrap();
    let file = |part: &Path| part.with_extension("").to_str().unwrap().to_owned();
    let _ = daemon.cli().run(&["audit", "export", &file(&part)]).ok();
    assert_eq!(fs::read(part.with_extension("")).unwrap(), whole);
    let refused = daemon.cli().run(&["audit", "export", &file(&other)]);
    let _ = refused.failing_with(1);
    assert_eq!(fs::read(&other).unwrap(), b"something else\n");
}

#[test]
fn the_daemon_s_log_is_verified_and_must_begin_with_what_it_was() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let verify = |options: &[&str]| {
        let arguments = [&["audit", "verify", "-o", "json"], options].concat();
        daemon.cli().run(&arguments)
    };
    let first = verify(&[]).ok().json();
    assert_eq!(first["entries"], first["size"]);
    assert_eq!(first.get("since"), None);
    let folder = tempfile::tempdir().unwrap();
    let held = folder.path().join("held");
    let held = held.to_str().unwrap();
    let checkpoint = daemon.cli().run(&["audit", "checkpoint"]).ok();
    fs::write(held, checkpoint.stdout()).unwrap();
    daemon.organization("other");

    let second = verify(&[]).ok().json();
    assert_eq!(second["since"], first["size"]);
    assert!(second["size"].as_u64() > first["size"].as_u64());
    assert_eq!(
        verify(&["--since", held]).ok().json()["since"],
        first["size"]
    );
    let own = verify(&["--org", "acme"]).ok().json();
    assert!(own["organization_id"].is_string() && own["entries"].as_u64() > Some(0));
    let key = key_of(&daemon);
    assert_eq!(verify(&["--key", &key]).ok().json()["from"], 0);

    // A key or a checkpoint that is another log's.
    let other = TestDaemon::start();
    let refused = verify(&["--key", &key_of(&other)]).failing_with(1);
    assert!(
        refused.stderr().contains("and not with"),
        "{}",
        refused.stderr()
    );
    let checkpoint = other.cli().run(&["audit", "checkpoint"]).ok();
    fs::write(held, checkpoint.stdout()).unwrap();
    let _ = verify(&["--since", held]).failing_with(1);
}

/// The checkpoints in a file that the daemon appends them to.
fn checkpoints_in(file: &Path, key: &str) -> Vec<Checkpoint> {
    let key: VerifierKey = key.parse().unwrap();
    let text = fs::read_to_string(file).unwrap();
    let notes = text.split_terminator("\n\nagentidp/").enumerate();
    notes
        .map(|(place, rest)| {
            let origin = if place == 0 { "" } else { "agentidp/" };
            let note = format!("{origin}{}\n", rest.trim_end());
            let note = Note::from_bytes(note.as_bytes()).unwrap();
            Checkpoint::verified(&note, &key).unwrap()
        })
        .collect()
}

/// The root of the tree over the first `size` entries, as an export has them.
fn root_of(daemon: &TestDaemon, size: u64) -> NodeHash {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("export");
    let (name, to) = (file.to_str().unwrap(), size.to_string());
    let _ = daemon
        .cli()
        .run(&["audit", "export", name, "--to", &to])
        .ok();
    let mut tree = Frontier::default();
    for line in fs::read_to_string(&file).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if let Some(hash) = line["hash"].as_str() {
            tree.push(hash.parse().unwrap());
        }
    }
    assert_eq!(tree.size(), size);
    tree.root()
}

#[test]
fn checkpoints_get_to_the_log_a_file_and_a_command_and_the_last_is_of_everything() {
    let mut installation = Installation::initialized();
    let [file, got] = ["checkpoints", "got"].map(|it| installation.directory().join(it));
    let script = format!("cat >> {0} && echo >> {0}", got.display());
    installation.config.audit = vec![
        format!("checkpoint_file = {file:?}"),
        format!("checkpoint_command = ['/bin/sh', '-c', {script:?}]"),
    ];
    let daemon = installation.start();
    let key = key_of(&daemon);
    daemon.organization("acme");
    let head = daemon.cli().json(&["status", "-o", "json"]);
    let entries = head["store"]["entries"].as_u64().unwrap();
    // While it runs: not only at its end.
    daemon.process.wait_for("a checkpoint in the log", |seen| {
        let text = String::from_utf8_lossy(&seen.stderr);
        let lines = text.lines();
        let lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .filter(|line| line["target"] == "audit_checkpoint")
            .any(|line| line["size"].as_u64() >= Some(entries))
            .then_some(())
    });
    let newest = daemon.cli().run(&["audit", "checkpoint"]).ok();
    let (installation, finished) = daemon.stop();

    let logged: Vec<Value> = finished
        .stderr
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["target"] == "audit_checkpoint")
        .collect();
    let notes: Vec<_> = logged.iter().filter_map(|it| it["note"].as_str()).collect();
    assert!(notes.contains(&newest.stdout()), "{notes:?}");
    let last = *notes.last().unwrap();
    let kept = fs::read_to_string(installation.config.store.join("checkpoint")).unwrap();
    assert_eq!(kept, last);
    let in_file = checkpoints_in(&file, &key);
    assert!(in_file.is_sorted_by(|a, b| a.size < b.size), "{in_file:?}");
    assert_eq!(in_file.last(), checkpoints_in(&got, &key).last());
    assert!(
        fs::read_to_string(&file)
            .unwrap()
            .ends_with(&format!("{last}\n"))
    );
    let last = in_file.last().unwrap();
    let daemon = installation.start();
    assert_eq!(root_of(&daemon, last.size), last.root);
    let status = daemon.cli().json(&["status", "-o", "json"]);
    assert_eq!(status["checkpoints"]["deliveries"][0]["place"], "command");
    let before = daemon
        .cli()
        .json(&["audit", "list", "--action", "daemon.stop", "-o", "json"]);
    assert_eq!(before[0]["seq"].as_u64(), Some(last.size - 1), "{before}");
}

#[test]
fn a_way_off_the_machine_that_fails_holds_up_nobody_and_shows() {
    let mut installation = Installation::initialized();
    let none = installation.directory().join("none").join("checkpoints");
    installation.config.audit = vec![
        format!("checkpoint_file = {none:?}"),
        "checkpoint_command = ['/bin/sleep', '1000']".to_owned(),
    ];
    let daemon = installation.start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let _ = client.token(&[]).token();
    daemon.process.wait_for("the failure in the log", |seen| {
        String::from_utf8_lossy(&seen.stderr)
            .contains("none/checkpoints: No such file")
            .then_some(())
    });
    let status = daemon.cli().run(&["status"]).ok();
    assert!(
        status.stdout().contains("file: 0 entries, failing: "),
        "{}",
        status.stdout()
    );
    // It ends in time though the command hangs.
    let _ = daemon.stop();
}

/// A witness for the log with this key, which keeps what it has seen in `file` and, with a certificate and
/// its key, speaks TLS; its setting.
fn witness(log: &str, file: &Path, tls: &[&Path]) -> (Process, String, VerifierKey) {
    let mut command = Command::new(installed("python"));
    let script = project_root().join("tests/clients/witness.py");
    command.arg("-I").arg(script).arg(log).arg(file).args(tls);
    let process = Process::spawn(command);
    let [url, key] = process.wait_for("its URL and its key", |seen| {
        let said = String::from_utf8_lossy(&seen.stdout);
        let mut lines = said.lines().map(str::to_owned);
        let is_whole = said.lines().count() >= 2 && said.ends_with('\n');
        is_whole.then(|| [lines.next().unwrap(), lines.next().unwrap()])
    });
    let setting = format!("url = {url:?}, key = {key:?}");
    (process, setting, key.parse().unwrap())
}

/// Waits until the newest checkpoint has the signature of `witness`; gives its size.
fn cosigned(daemon: &TestDaemon, witness: &VerifierKey) -> u64 {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let note = daemon.cli().run(&["audit", "checkpoint"]).ok();
        let note = note.stdout().to_owned();
        let lines = note.lines().filter(|line| line.starts_with("— "));
        let mut signatures = lines.map(|line| Signature::from_line(line).unwrap());
        if let Some(signature) = signatures.find(|it| it.name() == witness.name()) {
            let note = Note::from_bytes(note.as_bytes()).unwrap();
            verify_cosignature(&note, &signature, witness).unwrap();
            return Checkpoint::verified(&note, &key_of(daemon).parse().unwrap())
                .unwrap()
                .size;
        }
        assert!(Instant::now() < deadline, "not cosigned: {note}");
    }
}

#[test]
fn a_witness_signs_checkpoints_and_one_that_has_seen_more_than_there_is_refuses_and_shows() {
    let daemon = TestDaemon::start();
    let key = key_of(&daemon);
    let (mut installation, _) = daemon.stop();
    let yesterday = tempfile::tempdir().unwrap();
    let store = installation.config.store.clone();
    let before = yesterday.path().join("store");
    copy(&store, &before);
    let seen = installation.directory().join("seen");
    let (process, setting, vkey) = witness(&key, &seen, &[]);
    installation.config.audit = vec![format!("witnesses = [{{ {setting} }}]")];

    let daemon = installation.start();
    let first = cosigned(&daemon, &vkey);
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    for _ in 0..300 {
        let _ = client.token(&[]).token();
    }
    let _ = daemon.cli().run(&["audit", "prove", "299"]).ok();
    assert!(cosigned(&daemon, &vkey) > first);
    let status = daemon.cli().json(&["status", "-o", "json"]);
    assert_eq!(status["checkpoints"]["deliveries"][0]["place"], vkey.name());
    // The daemon has forgotten what the witness has seen: it is told, and goes on from there.
    let (installation, _) = daemon.stop();
    let daemon = installation.start();
    daemon.organization("other");
    let _ = cosigned(&daemon, &vkey);
    let said = process.seen(|seen| String::from_utf8_lossy(&seen.stdout).into_owned());
    assert!(said.contains("answered 409"), "{said}");
    assert!(
        !said.contains("answered 422") && !said.contains("answered 400"),
        "{said}"
    );

    // The whole store from before, with its head file.
    let installation = daemon.kill();
    fs::remove_dir_all(&store).unwrap();
    copy(&before, &store);
    let daemon = installation.start();
    daemon
        .process
        .wait_for("the witness's refusal in the log", |seen| {
            let log = String::from_utf8_lossy(&seen.stderr);
            log.contains("which is not the beginning of this one")
                .then_some(())
        });
    daemon.organization("served-all-the-same");
    let status = daemon.cli().run(&["status"]).ok();
    assert!(
        status.stdout().contains("failing: it has signed a log of"),
        "{}",
        status.stdout()
    );
}

#[test]
fn a_witness_over_tls_is_asked_only_if_its_authority_is_trusted() {
    let daemon = TestDaemon::start();
    let key = key_of(&daemon);
    let (mut installation, _) = daemon.stop();
    let made = tls::make();
    let files = ["authority", "certificate", "key"].map(|it| installation.directory().join(it));
    let texts = [&made.authority, &made.certificate, &made.key];
    for (file, text) in files.iter().zip(texts) {
        fs::write(file, text).unwrap();
    }
    let [authority, certificate, its_key] = &files;
    let seen = installation.directory().join("seen");
    let (_process, setting, vkey) = witness(&key, &seen, &[certificate, its_key]);
    installation.config.audit = vec![format!("witnesses = [{{ {setting} }}]")];
    let daemon = installation.start();
    daemon.process.wait_for("that it is not trusted", |seen| {
        let log = String::from_utf8_lossy(&seen.stderr);
        log.contains("UnknownIssuer").then_some(())
    });
    assert!(!seen.exists());

    (installation, _) = daemon.stop();
    let trusted = format!("witnesses = [{{ {setting}, authorities = {authority:?} }}]");
    installation.config.audit = vec![trusted];
    let daemon = installation.start();
    assert!(cosigned(&daemon, &vkey) > 0);
}

/// The store and its head file together, from before: nothing on the machine contradicts that. What is
/// held elsewhere does.
#[test]
fn a_whole_folder_put_back_is_contradicted_by_the_checkpoints_held_elsewhere() {
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("checkpoints");
    let mut installation = Installation::initialized();
    installation.config.audit = vec![format!("checkpoint_file = {file:?}")];
    let daemon = installation.start();
    let key = key_of(&daemon);
    let (installation, _) = daemon.stop();
    let store = installation.config.store.clone();
    let yesterday = elsewhere.path().join("yesterday");
    copy(&store, &yesterday);

    let daemon = installation.start();
    daemon.organization("acme");
    let _ = daemon.cli().run(&["audit", "verify"]).ok();
    let (installation, _) = daemon.stop();
    let held = checkpoints_in(&file, &key).pop().unwrap();
    fs::remove_dir_all(&store).unwrap();
    copy(&yesterday, &store);

    let daemon = installation.start();
    let shorter = daemon.cli().run(&["audit", "verify"]).failing_with(1);
    let shorter = shorter.stderr();
    assert!(
        shorter.contains("it was put back or cut short"),
        "{shorter}"
    );
    // Until it is longer than what was verified, and another.
    for number in 0..held.size {
        daemon.organization(&format!("other-{number}"));
    }
    let another = daemon.cli().run(&["audit", "verify"]).failing_with(1);
    let another = another.stderr();
    assert!(another.contains("it does not begin with the "), "{another}");
    assert_ne!(root_of(&daemon, held.size), held.root);
    let (_, _) = daemon.stop();
    let of_that_size = checkpoints_in(&file, &key);
    assert!(
        !of_that_size.is_sorted_by(|a, b| a.size < b.size),
        "it went back"
    );
}

#[test]
fn a_daemon_that_sends_another_part_of_its_log_than_was_asked_for_is_not_verified() {
    let daemon = TestDaemon::start();
    let id = |name| daemon.organization(name)["id"].as_str().unwrap().to_owned();
    let (ours, theirs) = (id("acme"), id("other"));
    let near = daemon.installation.directory().join("near.sock");
    let far = &daemon.installation.config.socket;
    meddle(&near, far, &[], &[(ours.clone(), theirs.clone())]);
    let hidden = Cli::new(&near);
    let export = daemon.installation.directory().join("export");
    let export = export.to_str().unwrap();
    for arguments in [
        ["audit", "verify", "--org", &ours].as_slice(),
        &["audit", "export", export, "--org", &ours],
    ] {
        let _ = daemon.cli().run(arguments).ok();
        let _ = fs::remove_file(export);
        let refused = hidden.run(arguments).failing_with(1).stderr().to_owned();
        let said = format!("the daemon was asked for the entries of organization {ours} ");
        assert!(refused.contains(&said), "{refused}");
        assert!(refused.contains(&format!("and sent the entries of organization {theirs} ")));
        assert!(!Path::new(export).exists());
    }
}

#[test]
fn an_export_from_before_and_one_from_after_another_key_verify_and_the_log_only_grew() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let old = key_of(&daemon);
    let export = |daemon: &TestDaemon, name: &str| {
        let _ = daemon.cli().run(&["audit", "export", &path(name)]).ok();
    };
    let verify = |name: &str, key: &str| {
        let arguments = ["audit", "verify", &path(name), "--key", key, "-o", "json"];
        elsewhere().run(&arguments)
    };
    export(&daemon, "before");
    let online = |daemon: &TestDaemon, options: &[&str]| {
        daemon
            .cli()
            .run(&[&["audit", "verify"][..], options].concat())
    };
    let _ = online(&daemon, &[]).ok();
    let held = daemon.cli().run(&["audit", "checkpoint"]).ok();
    let (installation, _) = daemon.stop();
    for reason in ["yearly", "again"] {
        change_log_key(&installation, &["--reason", reason]);
    }
    let daemon = installation.start();
    daemon.organization("other");
    export(&daemon, "after");
    let new = key_of(&daemon);
    let keys = daemon
        .cli()
        .ndjson(&["audit", "key", "--all", "-o", "ndjson"]);
    let vkeys: Vec<_> = keys.iter().map(|it| it["vkey"].as_str().unwrap()).collect();
    assert_eq!((vkeys[0], vkeys[2]), (old.as_str(), new.as_str()));
    assert_eq!(
        (&keys[0]["from"], &keys[2]["until"]),
        (&0.into(), &Value::Null)
    );
    assert!(keys[1]["from"].as_u64() < keys[2]["from"].as_u64());

    let _ = verify("before", &old).ok();
    let _ = verify("before", &new).failing_with(1);
    // The old ones sign too, for thirty days.
    for vkey in vkeys {
        let _ = verify("after", vkey).ok();
    }
    // The same tree: what was held is what the log of that size is now.
    let held = Note::from_bytes(held.stdout().as_bytes()).unwrap();
    let held = Checkpoint::verified(&held, &old.parse().unwrap()).unwrap();
    assert_eq!(root_of(&daemon, held.size), held.root);
    let log = daemon
        .cli()
        .ndjson(&["audit", "list", "--action", "key.rotate", "-o", "ndjson"]);
    assert_eq!(log[0]["reason"], "again");
    assert_eq!(log[0]["target"]["id"], "log-key");
    assert_eq!(
        log[0]["seq"].as_u64().map(|it| it + 1),
        keys[2]["from"].as_u64()
    );

    // The key that is remembered signs too, and says that the other one is right.
    let changed = online(&daemon, &["--key", &old]).ok();
    assert!(changed.stderr().contains("the log's key was changed"));
    let _ = online(&daemon, &[]).ok();
    assert_eq!(online(&daemon, &[]).ok().stderr(), "");

    // Where the old one no longer does, somebody has to say so.
    let (installation, _) = daemon.stop();
    change_log_key(
        &installation,
        &["--reason", "known to someone", "--overlap", "0"],
    );
    let daemon = installation.start();
    let refused = online(&daemon, &[]).failing_with(1);
    assert!(refused.stderr().contains("--key"), "{}", refused.stderr());
    let newest = key_of(&daemon);
    let _ = online(&daemon, &["--key", &newest]).ok();
    let _ = online(&daemon, &[]).ok();
    daemon.stop().0.check_store();
}

fn change_log_key(installation: &Installation, options: &[&str]) {
    let mut rotate = installation.command("store rotate-log-key");
    rotate.args(options);
    let rotated = Process::spawn(rotate).wait();
    assert_eq!(rotated.code(), Some(0), "{}", rotated.stderr);
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}
