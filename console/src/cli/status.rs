//! `agentidp status`.

use std::io::Write;

use crate::args::{Format, Watch};
use crate::client::{
    Backup, BackupStatus, CheckpointStatus, Client, DaemonStatus, StoreStatus, Work,
};
use crate::duration;
use crate::error::Error;
use crate::text::{counted, inert, mebibytes};

use super::named::organization_name;
use super::output::{Output, Record};
use super::watch::{self, Look, Shape, Watched};

pub(super) async fn run(
    args: Watch,
    client: &Client,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let Some(interval) = args.watch else {
        return output.one(&read(client, output.format()).await?);
    };
    let format = output.format();
    watch::run(interval, Shape::One, client, output, async |client| {
        Ok(Look::one(read(client, format).await?))
    })
    .await
}

/// The daemon's state; for people, with the names of the organizations that they are limited to.
async fn read(client: &Client, format: Format) -> Result<DaemonStatus, Error> {
    let mut status = client.status().await?;
    if format == Format::Table {
        for id in status.caller.organizations.iter_mut().flatten() {
            // Its id says which it is, too.
            if let Some(name) = organization_name(client, id.clone()).await? {
                *id = name;
            }
        }
    }
    Ok(status)
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

/// How backups are, in words.
pub(super) fn backups(status: Option<&BackupStatus>) -> String {
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
                "{name}, of {created_at}{}: {} in {}{sealed}",
                took.unwrap_or_default(),
                counted(*entries, "entry"),
                mebibytes(*size_bytes)
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
        let store = &self.store;
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
                    "{} of {} free, {} of it kept{}",
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
                    "{}, journal of {} in {}, format {}",
                    counted(self.store.entries, "entry"),
                    mebibytes(self.store.journal_bytes),
                    counted(self.store.journal_segments, "segment"),
                    self.store.format
                ),
            ),
            ("retention", inert(&self.retention.to_string()).into_owned()),
            ("checkpoints", checkpoints(&self.checkpoints)),
            ("index", index(&self.store)),
            ("integrity", integrity(&self.store)),
            ("backups", backups(self.backups.as_ref())),
            ("connected", connected(self)),
            (
                "you",
                format!(
                    "{} (uid {}{login}), role {}{reach}",
                    caller.name, caller.uid, caller.role
                ),
            ),
        ]);
        if let Some(certificate) = self.certificate {
            let until = certificate.not_after.to_string();
            fields.push(("certificate", format!("until {until}")));
        }
        fields
    }
}

/// Who is connected, this command among them.
fn connected(status: &DaemonStatus) -> String {
    let seen = status.connections.iter().map(|it| {
        let own = if it.own { ", this one" } else { "" };
        let age = duration::short(status.time.since(it.since));
        format!("{} for {age}{own}", it.who())
    });
    seen.collect::<Vec<_>>().join("; ")
}

fn checkpoints(it: &CheckpointStatus) -> String {
    let entries = |count| counted(count, "entry");
    let failing = |failure: &str| match failure {
        "" => String::new(),
        failure => format!(", failing: {failure}"),
    };
    let mut parts = vec![format!("{}{}", entries(it.entries), failing(&it.failure))];
    parts.extend(it.deliveries.iter().map(|it| {
        format!(
            "{}: {}{}",
            it.place,
            entries(it.entries),
            failing(&it.failure)
        )
    }));
    parts.join("; ")
}

fn index(store: &StoreStatus) -> String {
    let size = mebibytes(store.index_bytes);
    if let Some(work) = &store.compacting {
        return format!("{size}; {}", far(work));
    }
    let used = store.index_content_bytes.min(store.index_bytes);
    match (used * 100).checked_div(store.index_bytes) {
        Some(percent) if used > 0 => format!("{size}, about {percent} % of it of use"),
        _ => size,
    }
}

fn integrity(store: &StoreStatus) -> String {
    let last = match &store.checked {
        None => "not checked yet".to_owned(),
        Some(it) if it.findings == 0 => {
            format!("sound at {}, {}", it.time, counted(it.entries, "entry"))
        }
        Some(it) => format!(
            "NOT SOUND: {} at {}; {}",
            counted(it.findings, "finding"),
            it.time,
            it.first
        ),
    };
    match &store.checking {
        Some(work) => format!("{last}; being checked, {}", far(work)),
        None => last,
    }
}

fn far(work: &Work) -> String {
    let percent = (work.done.min(work.of) * 100).checked_div(work.of);
    format!("{}: {} %", work.stage, percent.unwrap_or(100))
}
