//! The command line.
//!
//! Exit codes: 0 when what was asked for is done, 1 when it could not be (one line on standard error
//! says why), 2 when the command line itself is wrong. `store check`: 3 when something is wrong in the
//! index only, which can be made anew, 4 when it is in the journal or the head file.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// The identity provider for AI agents: the daemon.
#[derive(Debug, Parser)]
#[command(
    name = "agentidpd",
    version,
    disable_help_subcommand = true,
    arg_required_else_help = true
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an empty store, and the key-encryption key's file when it is missing
    ///
    /// Refuses, and changes nothing, when there is a store already.
    Init(ConfigFile),
    /// Serve agents and operators until SIGTERM or SIGINT
    Run(ConfigFile),
    /// Try it out: everything in one folder, with a demonstration organization
    ///
    /// Makes what is missing in the folder, and makes the user who starts it an admin. Not for
    /// production.
    Dev(DevArguments),
    /// Verify a configuration, or print one to start from
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make, list, verify and restore backups
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Work on a store that no daemon has open
    #[command(subcommand)]
    Store(StoreCommand),
    /// Print a script that completes this command line in a shell
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Which configuration.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The configuration file, in TOML
    #[arg(long = "config", value_name = "FILE", env = "AGENTIDP_CONFIG")]
    pub path: PathBuf,
}

/// How to run in development mode.
#[derive(Debug, Args)]
pub struct DevArguments {
    /// The folder for the store, the keys and the logs
    #[arg(long, value_name = "DIR", default_value = "./.agentidp")]
    pub dir: PathBuf,
    /// Where to serve agents; port 0 takes a free one
    #[arg(
        long,
        value_name = "ADDR:PORT",
        env = "AGENTIDP_HTTP_LISTEN",
        default_value = "127.0.0.1:8420"
    )]
    pub listen: SocketAddr,
    /// The Unix socket for operators [default: operator.sock in DIR]
    #[arg(long, value_name = "PATH", env = "AGENTIDP_OPERATOR_SOCKET")]
    pub socket: Option<PathBuf>,
}

impl DevArguments {
    /// The Unix socket for operators.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.socket
            .clone()
            .unwrap_or_else(|| self.dir.join("operator.sock"))
    }
}

/// What to do with a configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether a configuration is valid, environment included
    Check(ConfigFile),
    /// Print a configuration file with every setting, its default and its rule
    Default,
}

/// Which store.
#[derive(Debug, Args)]
pub struct StorePlace {
    /// The configuration file that names it
    #[arg(
        long = "config",
        value_name = "FILE",
        env = "AGENTIDP_CONFIG",
        required_unless_present = "store"
    )]
    pub config: Option<PathBuf>,
    /// Its folder, whatever the configuration says
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Its head file [default: head in DIR]
    #[arg(long, value_name = "FILE", requires = "store")]
    pub head_file: Option<PathBuf>,
}

/// How to print something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// One JSON document
    Json,
}

/// What to do with a store.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Verify every record and the chain of the audit log, and change nothing
    ///
    /// Exits with 0 when the store is sound, 3 when only its index is not (`store rebuild` makes it anew),
    /// 4 when its journal or head file is not, and 1 when it could not be told.
    Check {
        /// Which store.
        #[command(flatten)]
        place: StorePlace,
        /// How to print what was found
        #[arg(short, long, value_name = "FORM", default_value = "text")]
        output: Output,
    },
    /// Copy the index into a fresh one, which takes less room on the disk
    ///
    /// A daemon that has the store open does that by itself when it is worth it.
    Compact(StorePlace),
    /// Make the index anew from the journal, and set the old one aside
    ///
    /// Once backups have let the journal become shorter, the newest backup is needed as well.
    Rebuild {
        /// Which store.
        #[command(flatten)]
        place: StorePlace,
        /// The backup to begin with
        #[arg(long, value_name = "FILE")]
        backup: Option<PathBuf>,
        /// The file with an age identity that the backup is encrypted to
        #[arg(long, value_name = "FILE", requires = "backup")]
        identity: Option<PathBuf>,
    },
    /// Try whether an index opens
    #[command(hide = true)]
    TryIndex {
        /// Its folder.
        folder: PathBuf,
    },
    /// Accept a store that its head file contradicts, and put that into its audit log
    ///
    /// For a store that was put back from an earlier time on purpose. What was acknowledged since
    /// then is lost.
    Accept {
        /// Which configuration.
        #[command(flatten)]
        file: ConfigFile,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Give the audit log another key to sign its checkpoints with
    ///
    /// Prints the new verifier key, and the checkpoint that both keys have signed: whoever trusts the old
    /// key is led to the new one by it.
    RotateLogKey {
        /// Which configuration.
        #[command(flatten)]
        file: ConfigFile,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// For how many days the old keys sign too, at the most; 0 when one may be known to someone
        #[arg(long, value_name = "DAYS", default_value_t = 30)]
        overlap: u16,
    },
}

/// What to do with backups.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Make a backup now, and read it back
    ///
    /// The daemon makes it when one runs, which takes the role admin; otherwise this command reads the
    /// store itself.
    Create {
        /// Which configuration.
        #[command(flatten)]
        file: ConfigFile,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// List the backups in the configured folder, newest first
    List {
        /// Which configuration.
        #[command(flatten)]
        file: ConfigFile,
        /// How to print them
        #[arg(short, long, value_name = "FORM", default_value = "text")]
        output: Output,
    },
    /// Verify that a backup is what was written
    ///
    /// Without an identity its checksums alone, which tell any change of the file; with one also its
    /// content.
    Verify {
        /// The backup
        #[arg(value_name = "BACKUP")]
        backup: PathBuf,
        /// The file with an age identity that it is encrypted to
        #[arg(long, value_name = "FILE")]
        identity: Option<PathBuf>,
    },
    /// Restore a backup into an empty folder, and replay the journal that there is beyond it
    Restore(RestoreArguments),
}

/// What to restore, and how far.
#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// The backup
    #[arg(value_name = "BACKUP")]
    pub backup: PathBuf,
    /// The folder for the store: an empty one, or one that is made
    #[arg(long, value_name = "DIR")]
    pub into: PathBuf,
    /// The journal of the store that was lost, or a copy of it; what it has beyond the backup is replayed
    #[arg(long, value_name = "DIR")]
    pub journal: Option<PathBuf>,
    /// Replay up to this audit entry or time (RFC 3339), and leave out what came after
    #[arg(long, value_name = "TIME|SEQ")]
    pub until: Option<String>,
    /// The file with an age identity that the backup is encrypted to
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn development_mode_needs_no_arguments() {
        let words = ["agentidpd", "dev", "--listen", "127.0.0.1:1"];
        let Command::Dev(dev) = Arguments::try_parse_from(words).unwrap().command else {
            panic!("not dev");
        };
        assert_eq!(dev.dir, PathBuf::from("./.agentidp"));
        assert_eq!(dev.listen, SocketAddr::from(([127, 0, 0, 1], 1)));
        let elsewhere = DevArguments {
            dir: "d".into(),
            socket: None,
            ..dev
        };
        assert_eq!(elsewhere.socket(), PathBuf::from("d/operator.sock"));
    }

    #[test]
    fn a_wrong_command_line_exits_with_2_and_help_with_0() {
        for (words, code) in [
            (&["agentidpd", "run", "--nonsense"][..], 2),
            (&["agentidpd", "nonsense"], 2),
            (&["agentidpd", "dev", "--listen", "nowhere"], 2),
            (&["agentidpd", "completions", "cmd.exe"], 2),
            (&["agentidpd", "--help"], 0),
            (&["agentidpd", "--version"], 0),
        ] {
            let error = Arguments::try_parse_from(words).unwrap_err();
            assert_eq!(error.exit_code(), code, "{words:?}");
        }
    }
}
