//! `agentidp store`.

use std::io::Write;

use serde::Serialize;

use crate::args::StoreCommand;
use crate::client::Client;
use crate::error::Error;

use super::output::{Output, Record};
use super::tell;

/// What is printed: the entry that says who asked for it.
#[derive(Debug, Serialize)]
struct AskedFor {
    audit_seq: u64,
}

impl Record for AskedFor {
    const HEADINGS: &'static [&'static str] = &["AUDIT"];

    fn cells(&self) -> Vec<String> {
        vec![self.audit_seq.to_string()]
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        vec![("audit", self.audit_seq.to_string())]
    }
}

pub(super) async fn run(
    command: StoreCommand,
    connect: impl AsyncFnOnce() -> Result<Client, Error>,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let client = connect().await?;
    let audit_seq = match command {
        StoreCommand::Check => client.check_store().await?,
        StoreCommand::Compact => client.compact_store().await?,
    };
    output.one(&AskedFor { audit_seq })?;
    tell("it is asked for; `agentidp status` tells how far it is");
    Ok(())
}
