//! Tests that need to be root, or another user.

use std::io::Write as _;

use nix::unistd::{Group, User, geteuid};

/// Whether the test runs as root. When not, says on standard error that `what` is not tested, past
/// the capture of the test runner, and fails where `CI=true` promises that everything is.
#[must_use]
pub fn is_root_to_test(what: &str) -> bool {
    if geteuid().is_root() {
        return true;
    }
    let message = format!("not tested, because it needs root: {what}");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
    let _ = writeln!(std::io::stderr(), "{message}");
    false
}

/// Whether `program` can be run. When not, says on standard error that `what` is not tested, and
/// fails where `CI=true` promises that everything is.
#[must_use]
pub fn is_there_to_test(program: &str, what: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&folders)
        .chain(["/usr/sbin".into()])
        .any(|folder| folder.join(program).is_file());
    if !is_there {
        let message = format!("not tested, because {program} is not installed: {what}");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
        let _ = writeln!(std::io::stderr(), "{message}");
    }
    is_there
}

/// A user that every Debian has.
#[must_use]
pub fn user(name: &str) -> User {
    User::from_name(name)
        .expect("users can be looked up")
        .unwrap_or_else(|| panic!("there is no user {name}"))
}

/// A group that every Debian has.
#[must_use]
pub fn group(name: &str) -> Group {
    Group::from_name(name)
        .expect("groups can be looked up")
        .unwrap_or_else(|| panic!("there is no group {name}"))
}

/// The words that start a command as user `name` with primary group `group` and no others.
#[must_use]
pub fn by_way_of(name: &str, group: &str) -> [String; 4] {
    [
        "setpriv".to_owned(),
        format!("--reuid={}", user(name).uid),
        format!("--regid={}", self::group(group).gid),
        "--clear-groups".to_owned(),
    ]
}
