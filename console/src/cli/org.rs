//! `agentidp org`.

use std::io::Write;
use std::time::Duration;

use agentidp_shared::{FieldError, Organization, OrganizationName, OrganizationStatus};

use crate::args::{AgeLimit, HoldArgs, Limit, OrgCommand, Revision, Watch};
use crate::client::{Changed, Client};
use crate::duration;
use crate::error::Error;
use crate::text::inert;

use super::already::Before;
use super::output::Output;
use super::watch::{self, Look, Shape};
use super::{consent, dry, pages, tell};

pub(super) async fn run(
    command: OrgCommand,
    connect: impl AsyncFnOnce() -> Result<Client, Error>,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    match command {
        OrgCommand::Create { name, tier, dry } => {
            let client = connect().await?;
            if dry.dry_run {
                return tell_of_creation(name, &client).await;
            }
            let created = client
                .create_organization(name, tier.unwrap_or_default())
                .await?;
            output.one(&created.record)?;
            tell(&format!("created (audit {})", created.audit_seq));
            Ok(())
        }
        OrgCommand::List { limit, watch } => {
            return list(limit, watch, &connect().await?, output).await;
        }
        OrgCommand::Show {
            organization,
            watch,
        } => {
            let client = connect().await?;
            let Some(interval) = watch.watch else {
                return output.one(&client.show_organization(organization).await?);
            };
            let look = async |client: &Client| {
                let organization = client.show_organization(organization.clone()).await?;
                Ok(Look::one(organization))
            };
            return watch::run(interval, Shape::One, &client, output, look).await;
        }
        OrgCommand::Update {
            organization,
            tier,
            max_credential_age,
            revision,
            dry,
        } => {
            let age = max_credential_age.map(|age| match age {
                AgeLimit::Of(age) => age,
                AgeLimit::None => Duration::ZERO,
            });
            let client = connect().await?;
            if dry.dry_run {
                let what = "its limits would be changed";
                let _ = look_at(organization, revision, &client, output).await?;
                dry::would(what);
                return Ok(());
            }
            let seen = revision.seen();
            let changed = client.update_organization(organization, tier, age, seen);
            return answer_limits(&changed.await?, output);
        }
        OrgCommand::Suspend {
            organization,
            consent,
            dry,
        } => {
            if dry.dry_run {
                let what = "it would be suspended, and none of its agents would get a token";
                let client = connect().await?;
                let it = look_at(organization, consent.revision, &client, output).await?;
                let is_so = it.status == OrganizationStatus::Suspended;
                tell_of_change(is_so, "suspended", what);
                return Ok(());
            }
            let question = format!("Suspend {} and all its agents?", inert(&organization));
            let reason = consent::obtain(&consent, &question)?;
            let (client, seen) = (connect().await?, consent.revision.seen());
            set_suspended(true, organization, reason, seen, &client, output).await
        }
        OrgCommand::Resume {
            organization,
            reason,
            revision,
            dry,
            yes: _,
        } => {
            let client = connect().await?;
            if dry.dry_run {
                let what = "it would be active, and its agents could ask for tokens again";
                let it = look_at(organization, revision, &client, output).await?;
                let is_so = it.status == OrganizationStatus::Active;
                tell_of_change(is_so, "active", what);
                return Ok(());
            }
            let (reason, seen) = (reason.unwrap_or_default(), revision.seen());
            set_suspended(false, organization, reason, seen, &client, output).await
        }
        OrgCommand::Hold(args) => set_held(true, args, connect, output).await,
        OrgCommand::Release(args) => set_held(false, args, connect, output).await,
    }
}

/// Suspends an organization, or has it active again.
async fn set_suspended(
    is_suspended: bool,
    organization: String,
    reason: String,
    seen: u64,
    client: &Client,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let before = Before::call(client).await?;
    let changed = client.set_organization_suspended(is_suspended, organization, reason, seen);
    let changed = changed.await?;
    let is = &changed.record;
    if before.has(changed.audit_seq) {
        return answer_already(&changed, is.status.as_str(), output);
    }
    let now = format!("{} is {}, tier {}", is.name, is.status, is.tier);
    answer(&changed, &now, output)
}

/// Puts an organization under legal hold, or lifts that.
async fn set_held(
    is_held: bool,
    args: HoldArgs,
    connect: impl AsyncFnOnce() -> Result<Client, Error>,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let HoldArgs {
        organization,
        consent,
        dry,
    } = args;
    let (state, would, question) = if is_held {
        (
            "under legal hold",
            "its entries would stay in the audit log, however old",
            format!(
                "Keep every audit entry of {} from now on?",
                inert(&organization)
            ),
        )
    } else {
        (
            "under no legal hold",
            "its entries would be removed from the audit log when they are old",
            format!(
                "Let old audit entries of {} go? What is removed cannot be brought back.",
                inert(&organization)
            ),
        )
    };
    if dry.dry_run {
        let client = connect().await?;
        let it = look_at(organization, consent.revision, &client, output).await?;
        if it.is_held == is_held {
            // Another case may need it, or need it no more, and that is to be found.
            dry::would(&format!(
                "it is {state} already: the log would tell the reason too"
            ));
        } else {
            dry::would(would);
        }
        return Ok(());
    }
    let (reason, seen) = (
        consent::obtain(&consent, &question)?,
        consent.revision.seen(),
    );
    let client = connect().await?;
    let changed = client.set_organization_held(is_held, organization, reason, seen);
    let changed = changed.await?;
    let now = format!("{} is {state} now", changed.record.name);
    answer(&changed, &now, output)
}

async fn list(
    limit: Limit,
    watch: Watch,
    client: &Client,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let fetch = async |size, token: Option<String>| {
        client.organizations(size, token.unwrap_or_default()).await
    };
    let Some(interval) = watch.watch else {
        return pages::print(limit.limit, output, fetch).await;
    };
    let limit = limit.limit.min(watch::MOST);
    let look = async |_: &Client| {
        let (records, has_more) = pages::collect(limit, fetch).await?;
        let note = has_more.then(|| format!("there are more than {limit}"));
        Ok(Look { records, note })
    };
    watch::run(interval, Shape::List, client, output, look).await
}

/// Whether there is an organization of this name. It is looked for in the list: to ask for one that is not there
/// would be a refusal in the audit log.
async fn is_there(name: &OrganizationName, client: &Client) -> Result<bool, Error> {
    let mut token = String::new();
    loop {
        let page = client.organizations(100, token).await?;
        if page.items.iter().any(|it| it.name == *name) {
            return Ok(true);
        }
        match page.next {
            Some(next) => token = next,
            None => return Ok(false),
        }
    }
}

/// Tells whether an organization could be created.
async fn tell_of_creation(name: String, client: &Client) -> Result<(), Error> {
    let name: OrganizationName = name
        .parse()
        .map_err(|rule: FieldError| Error::usage(rule.to_string(), "choose another name"))?;
    if is_there(&name, client).await? {
        let why = format!("there is an organization {name} already");
        return Err(dry::refused("ALREADY_EXISTS", why));
    }
    dry::would(&format!("the organization {name} would be created"));
    Ok(())
}

/// Shows an organization as it is.
async fn look_at(
    organization: String,
    revision: Revision,
    client: &Client,
    output: &mut Output<impl Write>,
) -> Result<Organization, Error> {
    let organization = client.organization(organization).await?;
    output.one(&organization)?;
    dry::check_revision(revision.seen(), organization.revision)?;
    Ok(organization)
}

/// Tells what would be made of one, unless it is in that `state` already.
fn tell_of_change(is_so: bool, state: &str, what: &str) {
    if is_so {
        tell(&format!("it is {state} already: nothing would be done"));
    } else {
        dry::would(what);
    }
}

/// Prints an organization whose limits were changed, and tells them.
fn answer_limits(
    changed: &Changed<Organization>,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let is = &changed.record;
    let age = match is.max_credential_age {
        Some(age) => format!("credentials retire after {}", duration::exact(age)),
        None => "credentials become as old as they like".to_owned(),
    };
    let now = format!("{} has the tier {}, and its {age}", is.name, is.tier);
    answer(changed, &now, output)
}

/// Prints what was not changed, because it was in that `state` already.
fn answer_already(
    found: &Changed<Organization>,
    state: &str,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    output.one(&found.record)?;
    let (name, seq) = (&found.record.name, found.audit_seq);
    tell(&format!(
        "{name} was {state} already (audit {seq}): nothing was done"
    ));
    Ok(())
}

/// Prints what was changed, and tells what it is now.
fn answer(
    changed: &Changed<Organization>,
    now: &str,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    output.one(&changed.record)?;
    tell(&format!("{now} (audit {})", changed.audit_seq));
    Ok(())
}
