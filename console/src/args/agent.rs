//! The words of `agentidp agent`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args as ClapArgs, Subcommand, ValueEnum};

use agentidp_shared::{AgentStatus, AgentType, DeploymentEnv};

use super::{Consent, DryRun, Limit, Revision, Watch};
use crate::{complete, duration};

const FILTER_HELP: &str = "\
A filter is key=value and key!=value, apart by spaces; several values of a key
by commas. The keys: org, owner, status, type, env, capability, email (its
beginning), expires-within (such as 7d), text. A status that is not named is any
but archived.";

/// What `agent` can do.
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Registers an agent
    #[command(after_help = "\
Example:
  agentidp agent register --org acme --email screener-001@acme.example \\
      --type screener --version 1.0.0 --capability resume:read \\
      --capability resume:write --owner team-a --env production \\
      --audience https://mcp.example/ --metadata ticket=OPS-7")]
    Register(RegisterArgs),
    /// Registers the agents of a file, each a JSON object on a line of its own
    #[command(after_help = "\
A line has email, agent_type, version, capabilities, owner and deployment_env,
and may have audiences and metadata. All lines are looked at first; then up to
100 at a time are registered, all of them or none.

Example:
  echo '{\"email\":\"a@acme.example\",\"agent_type\":\"screener\",\"version\":\"1.0.0\",
    \"capabilities\":[\"resume:read\"],\"owner\":\"team-a\",
    \"deployment_env\":\"production\"}' |
      tr -d '\\n' | agentidp agent register-many - --org acme")]
    RegisterMany(RegisterManyArgs),
    /// Lists agents
    #[command(after_help = format!("\
{FILTER_HELP}

Examples:
  agentidp agent list --org acme --status suspended --limit 100000 -o ndjson
  agentidp agent list --status '!archived,revoked' --expires-within 7d \\
      --sort expires
  agentidp agent list --filter 'owner=billing env=production text=invoice'"))]
    List(AgentListArgs),
    /// Shows one agent
    Show {
        /// The agent's id or e-mail
        #[arg(add = complete::agents())]
        agent: String,
        /// Once or for ever.
        #[command(flatten)]
        watch: Watch,
    },
    /// Changes an agent's record
    #[command(after_help = "\
What is not named stays as it is. A list that is named replaces the whole list.

Example:
  agentidp agent update screener-001@acme.example --version 1.1.0 \\
      --owner team-b --revision 3")]
    Update(UpdateArgs),
    /// Suspends agents: no token until they are resumed
    #[command(after_help = format!("\
{FILTER_HELP}

Examples:
  agentidp agent suspend screener-001@acme.example --reason 'odd requests' --yes
  agentidp agent suspend --filter 'owner=billing env=production' --dry-run
  agentidp agent suspend --filter 'owner=billing env=production' \\
      --reason 'incident 12'"))]
    Suspend(EndingArgs),
    /// Lets suspended agents ask for tokens again
    #[command(after_help = "\
Examples:
  agentidp agent resume screener-001@acme.example
  agentidp agent resume --filter 'owner=billing status=suspended' --dry-run")]
    Resume(PlainArgs),
    /// Ends agents after an incident, with their credentials, for good
    #[command(after_help = "\
Examples:
  agentidp agent revoke screener-001@acme.example \\
      --reason 'its host was broken into'
  agentidp agent revoke --filter 'owner=billing type=screener' \\
      --reason 'incident 12'")]
    Revoke(EndingArgs),
    /// Ends agents at the end of their life, with their credentials, for good
    #[command(after_help = "\
Example:
  agentidp agent decommission screener-001@acme.example \\
      --reason 'replaced by screener-002'")]
    Decommission(EndingArgs),
    /// Hides agents that have ended from lists that do not ask for them, for good
    #[command(after_help = "\
Examples:
  agentidp agent archive screener-001@acme.example
  agentidp agent archive --filter 'status=revoked,decommissioned' --dry-run")]
    Archive(PlainArgs),
}

/// What an agent is registered with.
#[derive(Debug, ClapArgs)]
pub struct RegisterArgs {
    /// Id or name of its organization
    #[arg(long, value_name = "ORG", add = complete::organizations())]
    pub org: String,
    /// Its e-mail, unique in the installation
    #[arg(long)]
    pub email: String,
    /// What it does: screener, classifier, orchestrator, extractor, summarizer, router, monitor
    /// or custom
    #[arg(long = "type", value_name = "TYPE", add = complete::words(AgentType::ALL, AgentType::as_str))]
    pub agent_type: String,
    /// Its version, such as 1.0.0
    #[arg(long)]
    pub version: String,
    /// A scope it may be granted, as resource:action; may be repeated
    #[arg(long = "capability", value_name = "SCOPE")]
    pub capabilities: Vec<String>,
    /// Who answers for it
    #[arg(long)]
    pub owner: String,
    /// Where it runs: development, staging or production
    #[arg(long, add = complete::words(DeploymentEnv::ALL, DeploymentEnv::as_str))]
    pub env: String,
    /// A resource it may ask tokens for; may be repeated. None: the issuer's default
    #[arg(long = "audience", value_name = "URI")]
    pub audiences: Vec<String>,
    /// A note about it; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub metadata: Vec<(String, String)>,
    /// Do it or not.
    #[command(flatten)]
    pub dry: DryRun,
}

/// Which agents to register at once.
#[derive(Debug, ClapArgs)]
pub struct RegisterManyArgs {
    /// The file; - for standard input
    pub file: PathBuf,
    /// Id or name of their organization
    #[arg(long, value_name = "ORG", add = complete::organizations())]
    pub org: String,
    /// Only look whether the lines are in order
    #[arg(long)]
    pub dry_run: bool,
}

/// What to change of an agent.
#[derive(Debug, ClapArgs)]
pub struct UpdateArgs {
    /// The agent's id or e-mail
    #[arg(add = complete::agents())]
    pub agent: String,
    /// What it does
    #[arg(long = "type", value_name = "TYPE", add = complete::words(AgentType::ALL, AgentType::as_str))]
    pub agent_type: Option<String>,
    /// Its version
    #[arg(long)]
    pub version: Option<String>,
    /// A scope it may be granted; may be repeated, and replaces all that it has
    #[arg(long = "capability", value_name = "SCOPE")]
    pub capabilities: Vec<String>,
    /// Who answers for it
    #[arg(long)]
    pub owner: Option<String>,
    /// Where it runs
    #[arg(long, add = complete::words(DeploymentEnv::ALL, DeploymentEnv::as_str))]
    pub env: Option<String>,
    /// A resource it may ask tokens for; may be repeated, and replaces all that it has
    #[arg(long = "audience", value_name = "URI")]
    pub audiences: Vec<String>,
    /// Takes all its audiences away, so that the issuer's default holds
    #[arg(long, conflicts_with = "audiences")]
    pub no_audiences: bool,
    /// A note about it; may be repeated, and replaces all notes
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub metadata: Vec<(String, String)>,
    /// Takes all notes away
    #[arg(long, conflicts_with = "metadata")]
    pub no_metadata: bool,
    /// Revision.
    #[command(flatten)]
    pub revision: Revision,
    /// Do it or not.
    #[command(flatten)]
    pub dry: DryRun,
}

/// Which agents to list, and in which order.
#[derive(Debug, ClapArgs)]
pub struct AgentListArgs {
    /// Which.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// What to order them by
    #[arg(long, value_enum, default_value = "created")]
    pub sort: Sort,
    /// Which way [default: newest, or first in the alphabet, or soonest to expire, first]
    #[arg(long, value_enum)]
    pub order: Option<Direction>,
    /// How many.
    #[command(flatten)]
    pub limit: Limit,
    /// Once or for ever.
    #[command(flatten)]
    pub watch: Watch,
}

/// Which agents. A `!` before the values of an option means those without them.
#[derive(Debug, Default, ClapArgs)]
pub struct FilterArgs {
    /// Only those of this organization, by id or name
    #[arg(long, value_name = "ORG", add = complete::organizations())]
    pub org: Option<String>,
    /// Only those of this status; several by commas, !revoked for all others [default: !archived]
    #[arg(long, add = complete::words(AgentStatus::ALL, AgentStatus::as_str))]
    pub status: Option<String>,
    /// Only those that this owner answers for; several by commas, ! for all others
    #[arg(long)]
    pub owner: Option<String>,
    /// Only those of this type; several by commas, ! for all others
    #[arg(long = "type", value_name = "TYPE", add = complete::words(AgentType::ALL, AgentType::as_str))]
    pub agent_type: Option<String>,
    /// Only those that run there; several by commas, ! for all others
    #[arg(long, add = complete::words(DeploymentEnv::ALL, DeploymentEnv::as_str))]
    pub env: Option<String>,
    /// Only those that may be granted this scope
    #[arg(long, value_name = "SCOPE")]
    pub capability: Option<String>,
    /// Only those whose e-mail begins so
    #[arg(long, value_name = "TEXT")]
    pub email_prefix: Option<String>,
    /// Only those of which a credential expires within this time, such as 7d
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub expires_within: Option<Duration>,
    /// Only those with this text in e-mail, owner, capabilities or metadata
    #[arg(long)]
    pub text: Option<String>,
    /// Only those that this filter lets through, such as 'owner=billing status!=revoked'
    #[arg(long, value_name = "FILTER")]
    pub filter: Option<String>,
}

/// What agents are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// When they were registered
    Created,
    /// Their e-mail
    Email,
    /// When they last got a token
    #[value(alias = "last_auth")]
    LastAuth,
    /// When the first of their credentials expires
    Expires,
}

/// Which way a list goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Direction {
    /// The smallest or oldest first
    Asc,
    /// The largest or newest first
    Desc,
}

/// One agent or many.
#[derive(Debug, ClapArgs)]
#[command(group(ArgGroup::new("which").args(["agent", "filter"]).required(true)))]
pub struct BulkArgs {
    /// The agent's id or e-mail
    #[arg(add = complete::agents())]
    pub agent: Option<String>,
    /// All agents that this filter lets through, such as 'owner=billing status!=revoked'
    #[arg(long, value_name = "FILTER", conflicts_with = "rev")]
    pub filter: Option<String>,
    /// Only tell what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// How to take something away from agents.
#[derive(Debug, ClapArgs)]
pub struct EndingArgs {
    /// Which.
    #[command(flatten)]
    pub bulk: BulkArgs,
    /// Reason and consent.
    #[command(flatten)]
    pub consent: Consent,
}

/// How to do to agents what takes no reason.
#[derive(Debug, ClapArgs)]
pub struct PlainArgs {
    /// Which.
    #[command(flatten)]
    pub bulk: BulkArgs,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Revision.
    #[command(flatten)]
    pub revision: Revision,
    /// Do it without asking; one agent is never asked about
    #[arg(short, long)]
    pub yes: bool,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "must be NAME=VALUE".to_owned())
}
