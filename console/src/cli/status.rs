//! `agentidp status`.

use std::io::Write;

use crate::client::{Client, DaemonStatus};
use crate::duration;
use crate::error::Error;
use crate::text::{inert, thousands};

use super::output::{Output, Record};

pub(super) async fn run(client: &Client, output: &mut Output<impl Write>) -> Result<(), Error> {
    output.one(&client.status().await?)
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
        let store = &self.store;
        let mebibytes = |bytes: u64| thousands(bytes >> 20);
        let mut fields = vec![("ready", ready)];
        let warnings = self.warnings.iter();
        fields.extend(warnings.map(|it| ("warning", inert(it).into_owned())));
        fields.extend([
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
                "disk",
                format!(
                    "{} of {} MiB free, {} MiB of it kept{}",
                    mebibytes(store.disk_free_bytes),
                    mebibytes(store.disk_total_bytes),
                    mebibytes(store.reserve_bytes),
                    if store.is_low_on_space {
                        ": low on space"
                    } else {
                        ""
                    }
                ),
            ),
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
        ]);
        fields
    }
}
