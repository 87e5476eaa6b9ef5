//! `agentidp agent`: what is about one agent, and lists. What is about many is in
//! [`super::agent_many`].

use std::collections::HashMap;
use std::io::Write;

use agentidp_proto::convert::timestamp;
use agentidp_proto::v1;
use agentidp_shared::agent::Transition;

use crate::agent_filter::{self, Term};
use crate::args::{
    AgentCommand, AgentListArgs, Consent, Direction, EndingArgs, FilterArgs, PlainArgs,
    RegisterArgs, Sort, UpdateArgs,
};
use crate::client::{AgentQuery, Client, ListedAgent, Page};
use crate::clock;
use crate::error::Error;
use crate::text::{counted, inert};
use crate::tui::read_stakes;

use super::agent_many::Many;
use super::already::Before;
use super::named::Named;
use super::output::Output;
use super::watch::{self, Look, Shape};
use super::{consent, dry, pages, register_many, tell};

pub(super) async fn run(
    command: AgentCommand,
    connect: impl AsyncFnOnce() -> Result<Client, Error>,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    match command {
        AgentCommand::Register(args) => {
            let is_dry = args.dry.dry_run;
            let request = registration(args)?;
            let client = connect().await?;
            if is_dry {
                return dry::registration(request, &client).await;
            }
            let registered = client.register(request).await?;
            output.one(&registered.record)?;
            tell(&format!("registered (audit {})", registered.audit_seq));
            Ok(())
        }
        AgentCommand::RegisterMany(args) => register_many::run(args, connect, output).await,
        AgentCommand::List(args) => list(args, connect, output).await,
        AgentCommand::Show { agent, watch } => {
            let client = connect().await?;
            let format = output.format();
            let look = async |client: &Client| {
                let found = client.agent(agent.clone()).await?;
                let organization = found.organization_id.to_string();
                Named::of(found, Some(organization), client, format).await
            };
            let Some(interval) = watch.watch else {
                return output.one(&look(&client).await?);
            };
            let look = async |client: &Client| look(client).await.map(Look::one);
            watch::run(interval, Shape::One, &client, output, look).await
        }
        AgentCommand::Update(args) => {
            let is_dry = args.dry.dry_run;
            let request = update(args)?;
            let client = connect().await?;
            if is_dry {
                return dry::update(&request, &client, output).await;
            }
            let before = Before::call(&client).await?;
            let updated = client.update_agent(request).await?;
            output.one(&updated.record)?;
            let (email, seq) = (&updated.record.email, updated.audit_seq);
            let revision = updated.record.revision;
            tell(&if before.has(seq) {
                format!("{email} is so already (audit {seq}): nothing to change, nothing was done")
            } else {
                format!("revision {revision} (audit {seq})")
            });
            Ok(())
        }
        AgentCommand::Suspend(args) => end(Transition::Suspend, args, connect, output).await,
        AgentCommand::Revoke(args) => end(Transition::Revoke, args, connect, output).await,
        AgentCommand::Decommission(args) => {
            end(Transition::Decommission, args, connect, output).await
        }
        AgentCommand::Resume(args) => plain(Transition::Resume, args, connect, output).await,
        AgentCommand::Archive(args) => plain(Transition::Archive, args, connect, output).await,
    }
}

fn registration(args: RegisterArgs) -> Result<v1::RegisterAgentRequest, Error> {
    Ok(v1::RegisterAgentRequest {
        organization: args.org,
        email: args.email,
        agent_type: args.agent_type,
        version: args.version,
        capabilities: args.capabilities,
        owner: args.owner,
        deployment_env: args.env,
        audiences: args.audiences,
        metadata: metadata(args.metadata)?,
    })
}

fn metadata(list: Vec<(String, String)>) -> Result<HashMap<String, String>, Error> {
    let mut metadata = HashMap::new();
    for (name, value) in list {
        if metadata.insert(name.clone(), value).is_some() {
            return Err(Error::usage(
                format!("--metadata names {} twice", inert(&name)),
                "give each name one value",
            ));
        }
    }
    Ok(metadata)
}

fn update(args: UpdateArgs) -> Result<v1::UpdateAgentRequest, Error> {
    let nothing = v1::UpdateAgentRequest {
        agent: args.agent.clone(),
        revision: args.revision.seen(),
        ..v1::UpdateAgentRequest::default()
    };
    let has_metadata = args.no_metadata || !args.metadata.is_empty();
    let metadata = metadata(args.metadata)?;
    let request = v1::UpdateAgentRequest {
        agent_type: args.agent_type,
        version: args.version,
        capabilities: (!args.capabilities.is_empty()).then_some(v1::Scopes {
            scopes: args.capabilities,
        }),
        owner: args.owner,
        deployment_env: args.env,
        audiences: (args.no_audiences || !args.audiences.is_empty()).then_some(v1::Resources {
            resources: args.audiences,
        }),
        metadata: has_metadata.then_some(v1::MetadataEntries { entries: metadata }),
        ..nothing.clone()
    };
    if request == nothing {
        return Err(Error::usage(
            "nothing is to be changed",
            "agentidp agent update --help shows what can be",
        ));
    }
    Ok(request)
}

async fn list(
    args: AgentListArgs,
    connect: impl AsyncFnOnce() -> Result<Client, Error>,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let (order, is_usually_ascending) = match args.sort {
        Sort::Created => ("created", false),
        Sort::Email => ("email", true),
        Sort::LastAuth => ("last_auth", false),
        Sort::Expires => ("expires", true),
    };
    let query = AgentQuery {
        filter: filter(args.filter)?,
        order: order.to_owned(),
        is_ascending: args
            .order
            .map_or(is_usually_ascending, |it| it == Direction::Asc),
    };
    let client = &connect().await?;
    let limit = args.limit.limit;
    if let Some(interval) = args.watch.watch {
        let look = async |client: &Client| {
            let mut total = None;
            let fetch = fetch(client, &query, &mut total);
            let (records, _) = pages::collect(limit.min(watch::MOST), fetch).await?;
            let note = total.map(in_all);
            Ok(Look { records, note })
        };
        return watch::run(interval, Shape::List, client, output, look).await;
    }
    let mut total = None;
    pages::print(limit, output, fetch(client, &query, &mut total)).await?;
    if let Some(total) = total {
        tell(&in_all(total));
    }
    Ok(())
}

/// Fetches pages, and notes how many there are in all.
fn fetch(
    client: &Client,
    query: &AgentQuery,
    total: &mut Option<u64>,
) -> impl AsyncFnMut(u32, Option<String>) -> Result<Page<ListedAgent>, Error> {
    async |size, token: Option<String>| {
        let page = client
            .agents(query.clone(), size, token.unwrap_or_default())
            .await?;
        *total = page.total;
        Ok(page)
    }
}

fn in_all(total: u64) -> String {
    format!("{} in all", counted(total, "agent"))
}

/// The filter that the options of a list stand for.
fn filter(args: FilterArgs) -> Result<v1::AgentFilter, Error> {
    let now = clock::now();
    let mut filter = match &args.filter {
        Some(text) => parse_filter(text)?,
        None => v1::AgentFilter::default(),
    };
    for (key, field, value) in [
        ("org", "org", args.org),
        ("status", "status", args.status),
        ("owner", "owner", args.owner),
        ("type", "agent_type", args.agent_type),
        ("env", "env", args.env),
        ("capability", "capability", args.capability),
        ("email", "email_prefix", args.email_prefix),
        ("text", "text", args.text),
    ] {
        let Some(value) = value else { continue };
        let takes_not = matches!(key, "status" | "owner" | "type" | "env");
        let (value, is_not) = match value.strip_prefix('!').filter(|_| takes_not) {
            Some(value) => (value.to_owned(), true),
            None => (value, false),
        };
        let term = Term {
            key: key.to_owned(),
            value,
            is_not,
        };
        agent_filter::add(&mut filter, &term, now).map_err(|rule| {
            // The option's name and its value are put before it like before any field's rule.
            let rule = rule.strip_prefix(key).unwrap_or(&rule).trim_start();
            not_a_filter(format!("{field}: {rule}"))
        })?;
    }
    if let Some(within) = args.expires_within {
        if filter.expires_before.is_some() {
            return Err(not_a_filter("expires_within: stands twice".to_owned()));
        }
        filter.expires_before = Some(timestamp(now.plus(within)));
    }
    Ok(filter)
}

fn parse_filter(text: &str) -> Result<v1::AgentFilter, Error> {
    agent_filter::parse(text, clock::now()).map_err(not_a_filter)
}

fn not_a_filter(rule: String) -> Error {
    Error::usage(rule, "agentidp agent list --help shows what a filter is")
}

/// Takes something away from one agent or from many.
async fn end(
    transition: Transition,
    args: EndingArgs,
    connect: impl AsyncFnOnce() -> Result<Client, Error>,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let EndingArgs { bulk, consent } = args;
    let Some(agent) = bulk.agent else {
        let many = Many {
            filter: parse_filter(&bulk.filter.unwrap_or_default())?,
            transition,
            consent,
            takes_reason: true,
            is_dry_run: bulk.dry_run,
        };
        return many.make(&connect().await?, output).await;
    };
    if bulk.dry_run {
        let seen = consent.revision.seen();
        return dry::transition(transition, agent, seen, &connect().await?, output).await;
    }
    let what = match transition {
        Transition::Suspend => "Suspend",
        Transition::Revoke => "Revoke for good",
        _ => "Decommission for good",
    };
    let question = format!("{what}: {}?", inert(&agent));
    let change = |reason, agent| Change {
        transition,
        reason,
        agent,
        revision: consent.revision.seen(),
    };
    if !consent::is_asked(&consent) {
        let reason = consent::obtain(&consent, &question)?;
        return change(reason, agent).make(&connect().await?, output).await;
    }
    // What hangs on it is read before one decides.
    let client = connect().await?;
    let found = client.agent(agent.clone()).await?;
    let stakes = read_stakes(&client, found.id).await?;
    tell(&stakes.sentence(None, false));
    let reason = consent::obtain(&consent, &question)?;
    change(reason, agent).make(&client, output).await
}

/// Does to one agent, or to many, what takes no reason.
async fn plain(
    transition: Transition,
    args: PlainArgs,
    connect: impl AsyncFnOnce() -> Result<Client, Error>,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let Some(agent) = args.bulk.agent else {
        let many = Many {
            filter: parse_filter(&args.bulk.filter.unwrap_or_default())?,
            transition,
            consent: Consent {
                reason: args.reason,
                revision: args.revision,
                yes: args.yes,
            },
            takes_reason: false,
            is_dry_run: args.bulk.dry_run,
        };
        return many.make(&connect().await?, output).await;
    };
    if args.bulk.dry_run {
        let seen = args.revision.seen();
        return dry::transition(transition, agent, seen, &connect().await?, output).await;
    }
    let change = Change {
        transition,
        agent,
        reason: args.reason.unwrap_or_default(),
        revision: args.revision.seen(),
    };
    change.make(&connect().await?, output).await
}

struct Change {
    transition: Transition,
    agent: String,
    reason: String,
    revision: u64,
}

impl Change {
    async fn make(self, client: &Client, output: &mut Output<impl Write>) -> Result<(), Error> {
        let before = Before::call(client).await?;
        let changed = client
            .transition(self.transition, self.agent, self.reason, self.revision)
            .await?;
        output.one(&changed.record)?;
        let (email, status) = (&changed.record.email, changed.record.status);
        let seq = changed.audit_seq;
        tell(&if before.has(seq) {
            format!("{email} was {status} already (audit {seq}): nothing was done")
        } else {
            format!("{email} is {status} (audit {seq})")
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_a_list_are_terms_of_its_filter() {
        let args = FilterArgs {
            status: Some("!archived,revoked".to_owned()),
            text: Some("!x".to_owned()),
            filter: Some("owner=billing".to_owned()),
            ..FilterArgs::default()
        };
        let filter = filter(args).unwrap();
        assert!(
            filter
                .status
                .is_some_and(|it| it.is_not && it.words.len() == 2)
        );
        assert_eq!(filter.text, "!x", "a text may begin as it likes");
        assert!(filter.owner.is_some());
    }

    #[test]
    fn an_option_that_breaks_a_rule_of_the_filter_is_told_like_a_field_that_does() {
        let refused = |args| filter(args).unwrap_err().to_string();
        assert_eq!(
            refused(FilterArgs {
                status: Some("!foo".to_owned()),
                ..FilterArgs::default()
            }),
            "status: must be one of active, suspended, revoked, decommissioned, archived"
        );
        assert_eq!(
            refused(FilterArgs {
                agent_type: Some("screener".to_owned()),
                filter: Some("type=screener".to_owned()),
                ..FilterArgs::default()
            }),
            "agent_type: stands twice: several values are apart by commas"
        );
        assert_eq!(
            refused(FilterArgs {
                expires_within: Some(std::time::Duration::from_secs(1)),
                filter: Some("expires-within=1h".to_owned()),
                ..FilterArgs::default()
            }),
            "expires_within: stands twice"
        );
    }

    #[test]
    fn what_stands_twice_is_refused() {
        let args = FilterArgs {
            owner: Some("ops".to_owned()),
            filter: Some("owner=billing".to_owned()),
            ..FilterArgs::default()
        };
        assert_eq!(filter(args).unwrap_err().exit_code(), 2);
    }
}
