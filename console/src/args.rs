//! The command line: its words, its options and its help.

mod agent;
mod common;
mod credential;
mod key;
mod organization;
mod prune;
mod screen;
mod token;

use std::path::PathBuf;

use agentidp_shared::merkle::VerifierKey;
use agentidp_shared::{Action, Outcome, Timestamp};
use clap::{Args as ClapArgs, CommandFactory as _, Parser, Subcommand, ValueEnum};

pub use self::agent::{
    AgentCommand, AgentListArgs, BulkArgs, Direction, EndingArgs, FilterArgs, PlainArgs,
    RegisterArgs, RegisterManyArgs, Sort, UpdateArgs,
};
pub use self::common::{Consent, DryRun, Limit, Revision, Watch};
pub use self::credential::{CredentialCommand, Review};
pub use self::key::{KeyCommand, KeyRotateArgs};
pub use self::organization::{AgeLimit, HoldArgs, OrgCommand};
pub use self::prune::PruneArgs;
pub use self::screen::ScreenArgs;
pub use self::token::{RevokeTokenArgs, TokenCommand, WhichTokens};

use crate::complete;
use crate::socket::SocketChoice;
use crate::{clock, when};

/// How the command line answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns for people
    Table,
    /// One JSON document, indented
    Json,
    /// One JSON object a line, as it comes
    Ndjson,
}

const ABOUT: &str = "The operators' console and command line of AgentIdP";

/// The heading of what every command takes.
const GLOBAL: &str = "Global options";

const AFTER_HELP: &str = "\
Without a command, agentidp opens the full-screen console.

Examples:
  agentidp org create acme
  agentidp agent register --org acme --email screener-001@acme.example \\
      --type screener --version 1.0.0 --capability resume:read \\
      --owner team-a --env production
  agentidp credential issue screener-001@acme.example \\
      --secret-out screener.secret
  agentidp agent suspend screener-001@acme.example --reason 'odd requests' --yes
  agentidp agent suspend --filter 'owner=team-a env=production' --dry-run
  agentidp audit tail -o ndjson

Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 not permitted,
5 conflict (revision changed, name taken, state does not allow it),
6 daemon unreachable, 7 verified in part, and the rest cannot be told.";

/// The operators' console and command line of `AgentIdP`.
#[derive(Debug, Parser)]
#[command(name = "agentidp", version, about = ABOUT, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Args {
    #[command(flatten)]
    socket: SocketArgs,

    /// The full-screen console.
    #[command(flatten)]
    pub screen: ScreenArgs,

    /// How to answer
    #[arg(
        short,
        long,
        global = true,
        help_heading = GLOBAL,
        value_enum,
        default_value = "table",
        value_name = "FORMAT"
    )]
    pub output: Format,

    /// Change nothing: what would is refused here, before it is asked for
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        env = "AGENTIDP_READ_ONLY",
        value_parser = clap::builder::FalseyValueParser::new(),
        hide_env_values = true
    )]
    pub read_only: bool,

    /// Take the command from this line, as a login shell or sshd gives it
    #[arg(
        short = 'c',
        value_name = "LINE",
        hide = true,
        allow_hyphen_values = true
    )]
    pub line: Option<String>,

    /// What to do; nothing: the full-screen console.
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, ClapArgs)]
struct SocketArgs {
    /// The daemon's socket [default: /run/agentidp/operator.sock, then ./.agentidp/operator.sock]
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        env = "AGENTIDP_SOCKET",
        value_name = "PATH",
        hide_env_values = true
    )]
    socket: Option<PathBuf>,
}

impl Args {
    /// The arguments of the process; ends it when they are wrong.
    ///
    /// What the environment says is no part of how a command is to be used, but would stand there.
    #[must_use]
    pub fn of_process() -> Self {
        Self::try_parse().unwrap_or_else(|error| {
            let plain = Self::command()
                .mut_arg("socket", |it| it.env(None::<&str>))
                .mut_arg("read_only", |it| it.env(None::<&str>));
            plain
                .try_get_matches_from(std::env::args_os())
                .err()
                .unwrap_or(error)
                .exit()
        })
    }

    /// The socket that was named, if one was.
    #[must_use]
    pub fn socket(&self) -> SocketChoice {
        SocketChoice::new(self.socket.socket.clone()).read_only(self.read_only)
    }

    /// These, with what `outer` says: its socket unless `names_socket`, and its read-only mode.
    pub(crate) fn within(mut self, outer: &Self, names_socket: bool) -> Self {
        if !names_socket {
            self.socket.socket.clone_from(&outer.socket.socket);
        }
        self.read_only |= outer.read_only;
        self
    }
}

/// A noun of the command line.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Organizations: the tenants
    #[command(subcommand)]
    Org(OrgCommand),
    /// Agents and their lifecycle
    #[command(subcommand)]
    Agent(AgentCommand),
    /// What agents prove themselves with
    #[command(subcommand)]
    Credential(CredentialCommand),
    /// Access tokens that were issued
    #[command(subcommand)]
    Token(TokenCommand),
    /// The audit log
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Keys that sign access tokens
    #[command(subcommand)]
    Key(KeyCommand),
    /// Has the daemon look after its store
    #[command(subcommand)]
    Store(StoreCommand),
    /// The daemon's state, and who you are to it
    Status(Watch),
    /// Finds out what is wrong, also when the daemon is away
    #[command(after_help = DIAGNOSE_HELP)]
    Diagnose,
    /// Prints completions for a shell
    #[command(after_help = COMPLETIONS_HELP)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Writes the manual pages
    #[command(after_help = "\
Example:
  agentidp man --out /usr/local/share/man/man1")]
    Man {
        /// Write one file a command into this folder [default: the first page to standard output]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

const DIAGNOSE_HELP: &str = "\
Looks at the socket, your permissions, the daemon, the clock, the store, the
signing keys, the disk, the certificate and the versions. Each gets a verdict:
ok, warning, failed, or skipped with the reason; and what is not ok gets a next
step. Nothing is changed, and nothing secret is shown.

Exit codes: 0 all is ok, 1 something is not, 4 you are not permitted,
6 the daemon is unreachable.";

const COMPLETIONS_HELP: &str = "\
The script asks agentidp what can follow; names of agents, organizations and
keys come from the daemon, which is given half a second, and none come when it
is away.

Examples:
  agentidp completions bash > /etc/bash_completion.d/agentidp
  echo 'source <(agentidp completions zsh)' >> ~/.zshrc
  agentidp completions fish > /etc/fish/completions/agentidp.fish";

/// What `audit` can do.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Lists entries, newest first
    #[command(after_help = "\
WHEN is how long ago (2h, 1d12h) or a time in UTC: 02:40, 2026-11-21,
2026-11-21T02:40, 2026-11-21T03:40+01:00. A time of day is the last one that
was.

Examples:
  agentidp audit list --outcome denied --since 2h
  agentidp audit list --since 2026-11-21T02:40 --until 2026-11-21T02:50 \\
      --limit 100000 -o ndjson
  agentidp audit list --outcome denied --agent screener-001@acme.example \\
      --limit 1000 -o ndjson")]
    List {
        /// Which ones.
        #[command(flatten)]
        filter: AuditFilterArgs,
        /// Only entries from then on
        #[arg(long, value_name = "WHEN", value_parser = moment)]
        since: Option<Timestamp>,
        /// Only entries before then
        #[arg(long, value_name = "WHEN", value_parser = moment)]
        until: Option<Timestamp>,
        /// How many.
        #[command(flatten)]
        limit: Limit,
    },
    /// Shows one entry as it is stored
    Show {
        /// The entry's number
        seq: u64,
    },
    /// Follows the log until it is interrupted, over restarts of the daemon too
    #[command(after_help = "\
Entries are printed as they are stored. Entries that the daemon could not send
are named: with -o ndjson as {\"gap\":{\"from\":FIRST,\"to\":LAST}}.

Example:
  agentidp audit tail --from 0 -o ndjson > audit.ndjson")]
    Tail {
        /// The first entry wanted [default: the next one that is written]
        #[arg(long, value_name = "SEQ")]
        from: Option<u64>,
        /// Which ones.
        #[command(flatten)]
        filter: AuditFilterArgs,
    },
    /// Prints the key that verifies the log's checkpoints, and with them exports and proofs
    Key {
        /// Every key that the log has had: from which size of it on each signs, and until when
        #[arg(long)]
        all: bool,
    },
    /// Prints the newest checkpoint: what the log commits itself to, signed
    Checkpoint,
    /// Proves that an entry is in the log: a file for `audit verify`, with the entry in it
    Prove {
        /// The entry's number
        seq: u64,
        /// Write the proof to this new file [default: the standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Exports the log to a file that can be verified without the daemon
    #[command(after_help = "\
The file is JSON, an entry a line after the first; docs/reference/audit-log.md
has its form. It grows in FILE.part, and is verified while it is written. After
an interruption the same command goes on with that.

Examples:
  agentidp audit export audit.ndjson
  agentidp audit export acme.ndjson --org acme --from 200000")]
    Export {
        /// The file to make
        file: PathBuf,
        /// Only the entries of this organization, by id or name, each with its proof
        #[arg(long, value_name = "ORG", add = complete::organizations())]
        org: Option<String>,
        /// The first entry wanted
        #[arg(long, value_name = "SEQ", default_value_t = 0)]
        from: u64,
        /// The first that is not wanted any more [default: to the end]
        #[arg(long, value_name = "SEQ")]
        to: Option<u64>,
    },
    /// Removes entries that are kept no longer; their hashes stay, so that the rest still proves
    #[command(after_help = "\
Without --older-than and --larger-than, what the configuration says. Entries of
organizations under legal hold stay. The log is cut in whole bundles of 256
entries, and what is removed cannot be brought back: export it first.

Examples:
  agentidp audit prune --older-than 365d --dry-run
  agentidp audit prune --larger-than 20480 --reason 'the disk is small'")]
    Prune(PruneArgs),
    /// Verifies the daemon's log; or, without the daemon, an export or the proof of an entry
    #[command(after_help = "\
Without FILE every entry of the log is read from the daemon, and must make the
tree of the checkpoint that the daemon's key has signed. Key and checkpoint are
remembered in ~/.local/state/agentidp: the next time the log must begin with
what it was.

With FILE nothing but the file and the key is needed. Exit code 0: every byte of
the file is as the log has it, by a checkpoint that the key has signed. Else the
first line that is not is named.

Examples:
  agentidp audit verify
  agentidp audit verify --since checkpoint-of-last-month
  agentidp audit verify audit.ndjson --key \\
      id.example/audit+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")]
    Verify {
        /// The file [default: the daemon's log]
        #[arg(requires = "key", conflicts_with_all = ["since", "org"])]
        file: Option<PathBuf>,
        /// The log's verifier key (C2SP vkey) [default, without FILE: the daemon's]
        #[arg(long, value_name = "VKEY")]
        key: Option<VerifierKey>,
        /// A file with an earlier checkpoint, with which the log must begin
        #[arg(long, value_name = "FILE")]
        since: Option<PathBuf>,
        /// Only the entries of this organization, by id or name
        #[arg(long, value_name = "ORG", add = complete::organizations())]
        org: Option<String>,
    },
}

fn moment(text: &str) -> Result<Timestamp, String> {
    when::parse(text, clock::now())
}

/// Which audit entries.
#[derive(Debug, ClapArgs)]
pub struct AuditFilterArgs {
    /// Only this action.
    #[arg(
        long,
        help = "Only this action, such as token.issue",
        add = complete::words(Action::ALL, Action::as_str)
    )]
    pub action: Option<String>,
    /// Only this outcome: success, denied or failed
    #[arg(long, add = complete::words(Outcome::ALL, Outcome::as_str))]
    pub outcome: Option<String>,
    /// Only those that concern this agent, by id or e-mail
    #[arg(long, add = complete::agents())]
    pub agent: Option<String>,
    /// Only those that concern this organization, by id or name
    #[arg(long, add = complete::organizations())]
    pub org: Option<String>,
}

/// `agentidp store`.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Verifies all of the store while the daemon serves
    #[command(after_help = "\
It takes half of one processor at the most. `agentidp status` tells how far it
is and what it found. With the daemon stopped, `agentidpd store check` does the
same and names each finding.")]
    Check,
    /// Copies the index into a fresh one, which takes less room, while the daemon serves
    #[command(after_help = "\
For that time both are on the disk. `agentidp status` tells how far it is, and
how large the index is.")]
    Compact,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_help_of_every_command_is_as_it_was_looked_at() {
        fn collect(command: &mut clap::Command, texts: &mut Vec<String>) {
            let name = command.get_bin_name().unwrap_or("agentidp").to_owned();
            let help = command.render_long_help();
            texts.push(format!("===== {name}\n{help}"));
            for command in command.get_subcommands_mut() {
                collect(command, texts);
            }
        }
        let mut command = Args::command()
            .disable_help_subcommand(true)
            .term_width(100);
        command.build();
        let mut texts = Vec::new();
        collect(&mut command, &mut texts);
        insta::assert_snapshot!("help", texts.join("\n"));
    }

    #[test]
    fn no_line_of_the_help_is_too_long_for_the_smallest_terminal() {
        fn check(command: &clap::Command, long: &mut Vec<String>) {
            let help = command.get_after_long_help().or(command.get_after_help());
            let help = help.map(ToString::to_string).unwrap_or_default();
            long.extend(help.lines().filter(|it| it.len() > 80).map(str::to_owned));
            for command in command.get_subcommands() {
                check(command, long);
            }
        }
        let mut long = Vec::new();
        check(&Args::command(), &mut long);
        assert_eq!(long, Vec::<String>::new());
    }

    #[test]
    fn the_lines_that_scripts_rely_on_are_understood() {
        for line in [
            "agentidp",
            "agentidp --socket /x/operator.sock",
            "agentidp org create acme -o json",
            "agentidp agent register --org acme --email a@acme.example --type screener --version 1.0.0 --capability resume:read --capability resume:write --owner team-a --env production --audience https://mcp.example/ --metadata k=v -o json",
            "agentidp credential issue a@acme.example --expires-in 90d --secret-out f -o json",
            "agentidp credential rotate c --grace 24h -o json",
            "agentidp credential revoke c --reason text --yes",
            "agentidp agent suspend a --reason text --yes -o json",
            "agentidp agent resume a --reason text --yes -o json",
            "agentidp agent resume a",
            "agentidp agent revoke a --reason text --rev 4 --yes -o json",
            "agentidp agent decommission a --reason text --yes -o json",
            "agentidp agent list --org o --status active --owner x --limit 5000000 -o ndjson",
            "agentidp agent list --status !archived,revoked --type screener --env production --capability resume:read --email-prefix scr --expires-within 7d --text eu --sort expires --order asc",
            "agentidp agent list --filter owner=billing,ops",
            "agentidp agent suspend --filter owner=billing --dry-run",
            "agentidp agent suspend a --dry-run",
            "agentidp agent suspend --filter owner=billing --reason text --yes",
            "agentidp agent resume --filter owner=billing --yes",
            "agentidp agent archive a --yes",
            "agentidp agent update a --owner team-b --capability resume:read --no-audiences --revision 3",
            "agentidp agent register-many agents.ndjson --org acme --dry-run",
            "agentidp agent register-many - --org acme",
            "agentidp org create acme --tier unlimited",
            "agentidp org show acme",
            "agentidp org update acme --tier unlimited --max-credential-age 90d --rev 2",
            "agentidp org update acme --max-credential-age none",
            "agentidp org suspend acme --reason text --yes",
            "agentidp org resume acme",
            "agentidp credential issue a --public-key -",
            "agentidp credential rotate c --public-key key.jwk",
            "agentidp credential show c",
            "agentidp token inspect",
            "agentidp token inspect -",
            "agentidp token revoke - --reason text --yes",
            "agentidp token revoke --jti j --reason text --yes",
            "agentidp token revoke --agent a",
            "agentidp token revoke --credential c",
            "agentidp token revoke --org acme",
            "agentidp agent show a -o json",
            "agentidp audit list --action token.issue --outcome denied --agent a --limit 7 -o ndjson",
            "agentidp audit tail --from 0 -o ndjson",
            "agentidp audit key",
            "agentidp audit key --all",
            "agentidp audit checkpoint",
            "agentidp audit prove 7 --out f",
            "agentidp audit export f --org acme --from 1 --to 9",
            "agentidp audit verify",
            "agentidp audit verify --since f --org acme",
            "agentidp audit verify f --key example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "agentidp key list",
            "agentidp key rotate",
            "agentidp key rotate --reason text --yes -o json",
            "agentidp key rotate --emergency --reason text --yes",
            "agentidp key rotate --emergency --kid -kid --reason text --yes",
            "agentidp -o json status",
            "agentidp status --watch",
            "agentidp agent list --watch=5s",
            "agentidp agent show --watch a",
            "agentidp audit show 7",
            "agentidp key show -kid",
            "agentidp org suspend acme --dry-run",
            "agentidp key rotate --dry-run",
            "agentidp --read-only",
            "agentidp diagnose -o json",
            "agentidp man --out d",
            "agentidp -c status",
            "agentidp completions bash",
        ] {
            let parsed = Args::try_parse_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}: {parsed:?}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            "agentidp agent list --limit 0",
            "agentidp agent list --limit -1",
            "agentidp credential issue a --expires-in 90",
            "agentidp agent register --metadata k",
            "agentidp agent suspend a --rev 0",
            "agentidp token revoke --reason text",
            "agentidp token revoke --jti j --agent a",
            "agentidp key rotate --kid k",
            "agentidp agent suspend",
            "agentidp agent suspend a --filter owner=billing",
            "agentidp agent suspend --filter owner=billing --rev 3",
            "agentidp agent list --sort size",
            "agentidp agent update a --audience https://a.example --no-audiences",
            "agentidp credential issue a --public-key k --secret-out f",
            "agentidp org update acme --max-credential-age 90",
            "agentidp audit tail --from x",
            "agentidp audit verify f",
            "agentidp audit verify f --since g --key example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "agentidp audit verify f --key example.com/foo+530d903a+AAAA",
            "agentidp status -o yaml",
        ] {
            assert!(Args::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
