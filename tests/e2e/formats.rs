//! The formats that docs/reference promises, read by a program that knows nothing else.

use std::fs;

use agentidp_tests::{Installation, Registration};

use super::clients::script;
use super::store::occupy;

#[test]
fn a_program_that_knows_the_documented_formats_alone_verifies_a_store_and_a_backup() {
    let mut installation = Installation::initialized();
    let folder = installation.directory().join("backups");
    fs::create_dir(&folder).unwrap();
    installation.config.backup = vec![
        format!("folder = {folder:?}"),
        "unencrypted = true".to_owned(),
        "every = \"off\"".to_owned(),
    ];
    let daemon = installation.start();
    let _ = occupy(&daemon);
    let prune = "audit prune --older-than 0s --reason test --yes -o json";
    let prune: Vec<_> = prune.split(' ').collect();
    let pruned = daemon.cli().run(&prune).ok().json();
    assert!(pruned["entries"].as_u64() > Some(500), "{pruned}");
    // Who prunes behind a hold names again what went before it.
    let hold = ["org", "hold", "acme", "--reason", "test", "--yes"];
    let _ = daemon.cli().run(&hold).ok();
    let other = daemon.enrol(&Registration::new("a@other.example").of("other"));
    for _ in 0..300 {
        let _ = other.token(&[]).token();
    }
    let again = daemon.cli().run(&prune).ok().json();
    let removed = [&pruned, &again].map(|it| it["entries"].as_u64().unwrap());
    assert!(removed[1] > 200, "{again}");
    let made = daemon.installation.run("backup create");
    assert_eq!(made.code(), Some(0), "{}", made.stderr);
    let vkey = daemon.cli().run(&["audit", "key"]).ok();
    let vkey = vkey.stdout().trim_end().to_owned();
    let (installation, _) = daemon.stop();

    let store = installation.config.store.clone();
    let backup = fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
    let [store_text, backup] = [&store, &backup.path()].map(|it| it.to_str().unwrap().to_owned());
    let verify = || script("verify_store.py", &[&store_text, &backup, &vkey], &[]);
    let seen = verify();
    assert!(seen["entries"].as_u64() > Some(750), "{seen}");
    assert_eq!(seen["pruned"].as_u64(), Some(removed.iter().sum()));
    assert_eq!(seen["checkpoint"], seen["entries"], "of the very end");
    assert!(seen["backup"].as_u64() < seen["entries"].as_u64());

    // It does look: the root of another log is another.
    let head = store.join("head");
    let text = fs::read_to_string(&head).unwrap();
    fs::write(&head, text.replacen("\"root\":\"", "\"root\":\"A", 1)).unwrap();
    assert!(std::panic::catch_unwind(verify).is_err());
}
