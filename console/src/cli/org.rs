//! `agentidp org`.

use std::io::Write;

use crate::args::OrgCommand;
use crate::client::Client;
use crate::error::Error;

use super::output::Output;
use super::{pages, tell};

pub(super) async fn run(
    command: OrgCommand,
    client: &Client,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    match command {
        OrgCommand::Create { name } => {
            let created = client.create_organization(name).await?;
            output.one(&created.record)?;
            tell(&format!("created (audit {})", created.audit_seq));
            Ok(())
        }
        OrgCommand::List { limit } => {
            pages::print(limit.limit, output, async |size, token: Option<String>| {
                client.organizations(size, token.unwrap_or_default()).await
            })
            .await
        }
    }
}
