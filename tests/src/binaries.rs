//! Where the binaries under test are.

use std::path::{Path, PathBuf};

/// The daemon's binary.
#[must_use]
pub fn agentidpd() -> PathBuf {
    find("agentidpd")
}

/// The console's binary.
#[must_use]
pub fn agentidp() -> PathBuf {
    find("agentidp")
}

/// The top folder of the project.
#[must_use]
pub fn project_root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("the tests stand in a folder of the project")
        .to_owned()
}

/// Test executables stand in `target/PROFILE/deps`, the binaries one folder up.
fn find(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its own path");
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("the test stands in target/PROFILE/deps");
    let binary = profile.join(name);
    assert!(
        binary.is_file(),
        "{} is missing: run `cargo build --workspace --bins` first",
        binary.display()
    );
    binary
}
