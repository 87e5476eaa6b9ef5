//! `agentidp status`.

use std::io::Write;

use crate::client::{Backup, BackupStatus, Client, DaemonStatus};
use crate::duration;
use crate::error::Error;
use crate::text::thousands;

use super::output::{Output, Record};

pub(super) async fn run(client: &Client, output: &mut Output<impl Write>) -> Result<(), Error> {
    output.one(&client.status().await?)
}

fn backups(status: Option<&BackupStatus>) -> String {
    let Some(status) = status else {
        return "none are configured".to_owned();
    };
    let last = match &status.last {
        None => "none yet".to_owned(),
        Some(Backup {
            name,
            size_bytes,
            entries,
            created_at,
            seconds,
            encrypted,
        }) => {
            let took = seconds.map(|it| format!(" in {it:.1} s"));
            let sealed = if *encrypted { "" } else { ", NOT encrypted" };
            format!(
                "{name}, of {created_at}{}: {} entries in {} bytes{sealed}",
                took.unwrap_or_default(),
                thousands(*entries),
                thousands(*size_bytes)
            )
        }
    };
    let running = status.running.as_ref();
    let running = running.map(|it| format!("; one is under way ({it})"));
    let next = status.next.map(|it| format!("; next {it}"));
    let failed = Some(&status.failure).filter(|it| !it.is_empty());
    let failed = failed.map(|it| format!("; the last attempt FAILED: {it}"));
    [
        last,
        running.unwrap_or_default(),
        next.unwrap_or_default(),
        failed.unwrap_or_default(),
    ]
    .concat()
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
        vec![
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
            ("backups", backups(self.backups.as_ref())),
            (
                "you",
                format!(
                    "{} (uid {}{login}), role {}{reach}",
                    caller.name, caller.uid, caller.role
                ),
            ),
        ]
    }
}
