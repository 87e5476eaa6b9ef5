//! The command line: its words, its options and its help.

mod agent;
mod credential;
mod organization;
mod screen;
mod token;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

pub use self::agent::{
    AgentCommand, AgentListArgs, BulkArgs, Direction, EndingArgs, FilterArgs, PlainArgs,
    RegisterArgs, RegisterManyArgs, Sort, UpdateArgs,
};
pub use self::credential::CredentialCommand;
pub use self::organization::{AgeLimit, OrgCommand};
pub use self::screen::ScreenArgs;
pub use self::token::{RevokeTokenArgs, TokenCommand, WhichTokens};

use crate::socket::SocketChoice;

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

const AFTER_HELP: &str = "\
Without a command, agentidp opens the full-screen console.

Examples:
  agentidp org create acme
  agentidp agent register --org acme --email screener-001@acme.example --type screener \\
      --version 1.0.0 --capability resume:read --owner team-a --env production
  agentidp credential issue screener-001@acme.example --secret-out screener.secret
  agentidp agent suspend screener-001@acme.example --reason 'odd requests' --yes
  agentidp agent suspend --filter 'owner=team-a env=production' --dry-run
  agentidp audit tail -o ndjson

Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 not permitted,
5 conflict (revision changed, name taken, state does not allow it), 6 daemon unreachable.";

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
        value_enum,
        default_value = "table",
        value_name = "FORMAT"
    )]
    pub output: Format,

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
        env = "AGENTIDP_SOCKET",
        value_name = "PATH",
        hide_env_values = true
    )]
    socket: Option<PathBuf>,
}

impl Args {
    /// The socket that was named, if one was.
    #[must_use]
    pub fn socket(&self) -> SocketChoice {
        SocketChoice::new(self.socket.socket.clone())
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
    /// The daemon's state, and who you are to it
    Status,
    /// Prints completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// How much of a list to give.
#[derive(Debug, Clone, Copy, ClapArgs)]
pub struct Limit {
    /// How many to give at most; any number
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: u64,
}

/// What a command that is hard to undo asks for.
#[derive(Debug, ClapArgs)]
pub struct Consent {
    /// Why, for the audit log; asked for on a terminal
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Revision.
    #[command(flatten)]
    pub revision: Revision,
    /// Do it without asking
    #[arg(short, long)]
    pub yes: bool,
}

/// The revision that the caller saw.
#[derive(Debug, Clone, Copy, Default, ClapArgs)]
pub struct Revision {
    /// Only if the record still has this revision
    #[arg(long, visible_alias = "revision", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub rev: Option<u64>,
}

impl Revision {
    /// The revision on the wire, where 0 is any.
    #[must_use]
    pub fn seen(self) -> u64 {
        self.rev.unwrap_or(0)
    }
}

/// What `audit` can do.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Lists entries, newest first
    #[command(after_help = "\
Example:
  agentidp audit list --outcome denied --agent screener-001@acme.example --limit 1000 -o ndjson")]
    List {
        /// Which ones.
        #[command(flatten)]
        filter: AuditFilterArgs,
        /// How many.
        #[command(flatten)]
        limit: Limit,
    },
    /// Follows the log until it is interrupted, over restarts of the daemon too
    #[command(after_help = "\
Entries are printed as they are stored. Entries that the daemon could not send are named: with
-o ndjson as {\"gap\":{\"from\":FIRST,\"to\":LAST}}.

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
}

/// Which audit entries.
#[derive(Debug, ClapArgs)]
pub struct AuditFilterArgs {
    /// Only this action.
    #[arg(long, help = "Only this action, such as token.issue")]
    pub action: Option<String>,
    /// Only this outcome: success, denied or failed
    #[arg(long)]
    pub outcome: Option<String>,
    /// Only those that concern this agent, by id or e-mail
    #[arg(long)]
    pub agent: Option<String>,
    /// Only those that concern this organization, by id or name
    #[arg(long)]
    pub org: Option<String>,
}

/// What `key` can do.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Lists signing keys, newest first, with what happens to each next
    List,
    /// Replaces the key that signs; the new one is published before it signs
    #[command(after_help = "\
The new key signs ten minutes after it was made, when no copy of the JWKS is older than it. The one
before it stays published until the last token that it signed has expired. Asked twice, the answer
is the key that is on its way already.

In an emergency the compromised keys leave the JWKS at once, and a new key signs at once: the tokens
that they signed are dead, and copies of the JWKS may be wrong for five minutes.

Examples:
  agentidp key rotate --reason 'yearly' --yes
  agentidp key rotate --emergency --reason 'the store was copied' --yes
  agentidp key rotate --emergency --kid KID --reason 'leaked' --yes")]
    Rotate(KeyRotateArgs),
}

/// How to replace signing keys.
#[derive(Debug, ClapArgs)]
pub struct KeyRotateArgs {
    /// Keys are compromised: withdraw them now, and sign with a new one
    #[arg(long)]
    pub emergency: bool,
    /// The one key that is compromised [default: every key in the JWKS]
    #[arg(long, requires = "emergency", allow_hyphen_values = true)]
    pub kid: Option<String>,
    /// Why, for the audit log; asked for on a terminal
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Do it without asking
    #[arg(short, long)]
    pub yes: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
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
            "agentidp key list",
            "agentidp key rotate",
            "agentidp key rotate --reason text --yes -o json",
            "agentidp key rotate --emergency --reason text --yes",
            "agentidp key rotate --emergency --kid -kid --reason text --yes",
            "agentidp -o json status",
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
            "agentidp status -o yaml",
        ] {
            assert!(Args::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
