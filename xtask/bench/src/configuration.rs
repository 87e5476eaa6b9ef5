//! The configuration of the server under test.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

/// Everything as a server in production has it, but for the places and the rates.
pub(crate) fn configuration(
    folder: &Path,
    socket: &Path,
    algorithm: &str,
) -> anyhow::Result<String> {
    let path = |path: &Path| Value::from(path.to_string_lossy()).to_string();
    let user = nix::unistd::geteuid();
    let mut text = String::new();
    writeln!(text, "issuer = \"http://127.0.0.1:8420\"")?;
    writeln!(text, "[http]\nlisten = \"127.0.0.1:0\"")?;
    writeln!(text, "[operator]\nsocket = {}", path(socket))?;
    writeln!(
        text,
        "[[operator.roles]]\nrole = \"admin\"\nusers = [\"{user}\"]"
    )?;
    writeln!(text, "[store]\npath = {}", path(&folder.join("store")))?;
    writeln!(text, "[keys]\nalgorithm = \"{algorithm}\"")?;
    let key = folder.join("key-encryption-key");
    writeln!(text, "key_encryption_key_file = {}", path(&key))?;
    writeln!(text, "[metrics]\nlisten = \"127.0.0.1:0\"")?;
    // Counted like everywhere, and never refused: one address, and often one agent, stands for all.
    for kind in ["token", "read"] {
        writeln!(text, "[limits.{kind}]")?;
        for whose in ["per_address", "per_agent", "per_organization"] {
            writeln!(text, "{whose} = \"1000000/s\"")?;
        }
    }
    writeln!(text, "[log]\nlevel = \"info\"")?;
    Ok(text)
}
