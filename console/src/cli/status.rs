//! `agentidp status`.

use std::io::Write;

use crate::args::Watch;
use crate::client::{Client, DaemonStatus};
use crate::duration;
use crate::error::Error;
use crate::text::thousands;

use super::output::{Output, Record};
use super::watch::{self, Look, Shape, Watched};

pub(super) async fn run(
    args: Watch,
    client: &Client,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let Some(interval) = args.watch else {
        return output.one(&client.status().await?);
    };
    watch::run(interval, Shape::One, client, output, async |client| {
        Ok(Look::one(client.status().await?))
    })
    .await
}

impl Watched for DaemonStatus {
    fn key(&self) -> String {
        String::new()
    }

    fn face(&self) -> Result<String, Error> {
        // That time goes by is no change.
        let still = Self {
            time: self.started_at,
            ..self.clone()
        };
        still.json()
    }
}

impl Record for DaemonStatus {
    const HEADINGS: &'static [&'static str] = &[];

    fn cells(&self) -> Vec<String> {
        Vec::new()
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let ready = if self.ready {
            "yes".to_owned()
        } else {
            format!("no: {}", self.not_ready_reason)
        };
        let caller = &self.caller;
        let login = match caller.login.as_str() {
            "" => String::new(),
            login => format!(", logged in as {login}"),
        };
        let reach = match &caller.organizations {
            None => String::new(),
            Some(ids) if ids.is_empty() => ", for no organization that there is".to_owned(),
            Some(ids) => format!(", for {} only", ids.join(" ")),
        };
        let mut fields = vec![
            ("ready", ready),
            ("version", self.version.clone()),
            ("issuer", self.issuer.clone()),
            ("http", self.http_address.clone()),
            ("signing key", self.signing_key.clone()),
            (
                "up",
                format!(
                    "{} (since {})",
                    duration::short(self.time.since(self.started_at)),
                    self.started_at
                ),
            ),
            ("store", format!("{} ({})", self.store.path, self.store.id)),
            (
                "audit log",
                format!(
                    "{} entries, journal {} bytes in {} segments, format {}",
                    thousands(self.store.entries),
                    thousands(self.store.journal_bytes),
                    self.store.journal_segments,
                    self.store.format
                ),
            ),
            (
                "you",
                format!(
                    "{} (uid {}{login}), role {}{reach}",
                    caller.name, caller.uid, caller.role
                ),
            ),
        ];
        if let Some(certificate) = self.certificate {
            let until = certificate.not_after.to_string();
            fields.push(("certificate", format!("until {until}")));
        }
        if let Some(disk) = self.disk {
            let (free, total) = (thousands(disk.free_bytes), thousands(disk.total_bytes));
            fields.push(("disk", format!("{free} bytes free of {total}")));
        }
        fields
    }
}
