//! `agentidp key`.

use std::io::Write;

use crate::args::KeyCommand;
use crate::client::Client;
use crate::error::Error;

use super::output::Output;

pub(super) async fn run(
    command: &KeyCommand,
    client: &Client,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    match command {
        KeyCommand::List => {
            let keys = client.keys().await?;
            let mut list = output.list()?;
            list.page(&keys)?;
            list.end()
        }
    }
}
