//! Completions in real shells, and the manual pages.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use agentidp_tests::users::is_there_to_test;
use agentidp_tests::{Finished, Process, Registration, TestDaemon, agentidp};

/// Each shell with what makes it print the candidates for the words in `$WORDS`, one a line.
///
/// Bash and zsh complete only at a prompt, so what they would call there is called by hand; what zsh
/// would show is printed instead.
const SHELLS: [(&str, &[&str], &str); 3] = [
    (
        "bash",
        &["--norc", "--noprofile", "-c"],
        r#"source <(agentidp completions bash) || exit 9
        complete -p agentidp >/dev/null || exit 8
        read -ra COMP_WORDS <<< "$WORDS"; [[ $WORDS == *' ' ]] && COMP_WORDS+=("")
        COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )); COMP_TYPE=9
        _clap_complete_agentidp agentidp "${COMP_WORDS[COMP_CWORD]}" ""
        printf '%s\n' "${COMPREPLY[@]}""#,
    ),
    (
        "zsh",
        &["-f", "-c"],
        r#"autoload -Uz compinit && compinit -u -D || exit 9
        source <(agentidp completions zsh) || exit 9
        [[ -n $_comps[agentidp] ]] || exit 8
        _describe() { print -l -- ${(P)${@[-1]}} }
        words=("${(@s: :)WORDS}"); CURRENT=$#words
        $_comps[agentidp]"#,
    ),
    (
        "fish",
        &["--no-config", "-c"],
        r#"agentidp completions fish | source; or exit 9
        complete -C "$WORDS""#,
    ),
];

/// What a shell offers after these words; the last is the one that is being typed.
fn offered(shell: &str, words: &str, socket: &Path) -> Vec<String> {
    let (_, options, script) = SHELLS.iter().find(|(name, ..)| *name == shell).unwrap();
    let finished = run(shell, options, script, words, socket);
    assert_eq!(finished.code(), Some(0), "{words}: {}", finished.stderr);
    assert_eq!(finished.stderr, "", "{shell} {words}");
    let lines = finished.stdout.lines().filter(|line| !line.is_empty());
    // Fish has the help after a tab, zsh after a colon.
    let values = lines.map(|line| line.split(['\t', ':']).next().unwrap());
    values.map(|it| it.trim().to_owned()).collect()
}

fn run(shell: &str, options: &[&str], script: &str, words: &str, socket: &Path) -> Finished {
    let folder = agentidp().parent().unwrap().to_owned();
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new(shell);
    command
        .args(options)
        .arg(script)
        .env("PATH", format!("{}:{path}", folder.display()))
        .env("HOME", "/nonexistent")
        .env("WORDS", words)
        .env("AGENTIDP_SOCKET", socket);
    Process::spawn(command).wait()
}

fn installed() -> impl Iterator<Item = &'static str> {
    let names = SHELLS.iter().map(|(name, ..)| *name);
    names.filter(|name| is_there_to_test(name, "completions in it"))
}

#[test]
fn shells_offer_verbs_options_and_what_is_in_the_daemon() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    daemon.organization("apex");
    for email in [
        "alpha@acme.example",
        "alps@acme.example",
        "beta@acme.example",
    ] {
        daemon.register(&Registration::new(email));
    }
    let socket = &daemon.installation.config.socket;
    for shell in installed() {
        for (words, expected) in [
            ("agentidp agent susp", &["suspend"][..]),
            ("agentidp agent list --expires-w", &["--expires-within"]),
            ("agentidp agent list --env prod", &["production"]),
            ("agentidp audit list --outcome d", &["denied"]),
            (
                "agentidp agent show al",
                &["alpha@acme.example", "alps@acme.example"],
            ),
            ("agentidp agent list --org ap", &["apex"]),
            ("agentidp org show a", &["acme", "apex"]),
        ] {
            let mut offered = offered(shell, words, socket);
            offered.sort();
            assert_eq!(offered, expected, "{shell}: {words}");
        }
    }
}

#[test]
fn a_daemon_that_is_away_or_hangs_costs_completion_a_moment_and_no_word() {
    let folder = tempfile::tempdir().unwrap();
    let hanging = folder.path().join("hanging.sock");
    // Connections are made, and nobody ever answers.
    let _listener = UnixListener::bind(&hanging).unwrap();
    for socket in [&folder.path().join("missing.sock"), &hanging] {
        for shell in installed() {
            let begun = Instant::now();
            let offered = offered(shell, "agentidp agent show al", socket);
            assert_eq!(offered, [""; 0], "{shell}");
            assert!(begun.elapsed() < Duration::from_secs(10), "{shell}");
        }
    }
}

#[test]
fn every_command_has_a_manual_page_that_renders() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("man1");
    let written = Process::spawn({
        let mut command = Command::new(agentidp());
        command.args(["man", "--out"]).arg(&out);
        command
    })
    .wait();
    assert_eq!(written.code(), Some(0), "{}", written.stderr);
    for page in [
        "agentidp.1",
        "agentidp-agent-suspend.1",
        "agentidp-diagnose.1",
    ] {
        assert!(out.join(page).is_file(), "{page}");
    }
    if !is_there_to_test("mandoc", "manual pages are well formed") {
        return;
    }
    let pages = std::fs::read_dir(&out).unwrap();
    let pages: Vec<_> = pages.map(|it| it.unwrap().path()).collect();
    assert!(pages.len() > 30, "{}", pages.len());
    let mut lint = Command::new("mandoc");
    lint.args(["-T", "lint", "-W", "error"]).args(&pages);
    let lint = Process::spawn(lint).wait();
    assert_eq!(lint.code(), Some(0), "{}", lint.stdout);
    let mut render = Command::new("mandoc");
    render
        .args(["-T", "ascii"])
        .arg(out.join("agentidp-agent-list.1"));
    let page = Process::spawn(render).wait().stdout;
    // An example is a line of its own.
    for example in [
        "agentidp agent list --filter 'owner=billing env=production text=invoice'",
        r"agentidp agent list --status '!archived,revoked' --expires-within 7d \",
    ] {
        assert!(page.lines().any(|line| line.trim() == example), "{page}");
    }
}
