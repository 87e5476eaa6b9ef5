//! `agentidp org`.

use std::io::Write;
use std::time::Duration;

use agentidp_shared::Organization;

use crate::args::{AgeLimit, OrgCommand};
use crate::client::{Changed, Client};
use crate::error::Error;
use crate::text::inert;

use super::output::Output;
use super::{consent, pages, tell};

pub(super) async fn run(
    command: OrgCommand,
    connect: impl AsyncFnOnce() -> Result<Client, Error>,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let changed = match command {
        OrgCommand::Create { name, tier } => {
            let client = connect().await?;
            let created = client
                .create_organization(name, tier.unwrap_or_default())
                .await?;
            output.one(&created.record)?;
            tell(&format!("created (audit {})", created.audit_seq));
            return Ok(());
        }
        OrgCommand::List { limit } => {
            let client = connect().await?;
            return pages::print(limit.limit, output, async |size, token: Option<String>| {
                client.organizations(size, token.unwrap_or_default()).await
            })
            .await;
        }
        OrgCommand::Show { organization } => {
            return output.one(&connect().await?.organization(organization).await?);
        }
        OrgCommand::Update {
            organization,
            tier,
            max_credential_age,
            revision,
        } => {
            let age = max_credential_age.map(|age| match age {
                AgeLimit::Of(age) => age,
                AgeLimit::None => Duration::ZERO,
            });
            let client = connect().await?;
            client
                .update_organization(organization, tier, age, revision.seen())
                .await?
        }
        OrgCommand::Suspend {
            organization,
            consent,
        } => {
            let question = format!("Suspend {} and all its agents?", inert(&organization));
            let reason = consent::obtain(&consent, &question)?;
            let client = connect().await?;
            client
                .set_organization_suspended(true, organization, reason, consent.revision.seen())
                .await?
        }
        OrgCommand::Resume {
            organization,
            reason,
            revision,
            yes: _,
        } => {
            let client = connect().await?;
            client
                .set_organization_suspended(
                    false,
                    organization,
                    reason.unwrap_or_default(),
                    revision.seen(),
                )
                .await?
        }
    };
    answer(&changed, output)
}

fn answer(changed: &Changed<Organization>, output: &mut Output<impl Write>) -> Result<(), Error> {
    let organization = &changed.record;
    output.one(organization)?;
    tell(&format!(
        "{} is {}, tier {} (audit {})",
        organization.name, organization.status, organization.tier, changed.audit_seq
    ));
    Ok(())
}
