//! The daemon's state as the console knows it.

use std::time::Duration;

use agentidp_proto::convert::{to_domain_duration, to_domain_timestamp};
use agentidp_proto::v1;
use agentidp_shared::{FieldError, Timestamp};
use serde::Serialize;

use super::RetentionStatus;

/// The daemon's state, and who the caller is to it.
#[derive(Debug, Clone, Serialize)]
pub struct DaemonStatus {
    /// The daemon's version.
    pub version: String,
    /// The `iss` of its tokens.
    pub issuer: String,
    /// Its clock.
    pub time: Timestamp,
    /// When it started.
    pub started_at: Timestamp,
    /// Whether it can write and sign.
    pub ready: bool,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub not_ready_reason: String,
    /// What needs looking at, each with what to do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Where it serves agents.
    pub http_address: String,
    /// The `kid` that signs now.
    pub signing_key: String,
    /// Its store.
    pub store: StoreStatus,
    /// The checkpoints of its audit log.
    pub checkpoints: CheckpointStatus,
    /// How long its audit log keeps entries.
    pub retention: RetentionStatus,
    /// The certificate of its own TLS; none: it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// The disk that the store is on; none: it does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,
    /// Its backups, if there are to be any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backups: Option<BackupStatus>,
    /// Who the caller is.
    pub caller: Caller,
    /// The connections of operators that the caller may know of, oldest first.
    pub connections: Vec<Connection>,
}

/// A connection to the operators' socket.
#[derive(Debug, Clone, Serialize)]
pub struct Connection {
    /// Its user.
    pub uid: u32,
    /// The user's name.
    pub name: String,
    /// The user who logged in, when that is another.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub login: String,
    /// The user's role.
    pub role: String,
    /// When it began.
    pub since: Timestamp,
    /// Whether it says of itself that it changes nothing.
    pub read_only: bool,
    /// Whether it is the caller's.
    pub own: bool,
}

impl Connection {
    /// Who it is and what they may do, in words.
    #[must_use]
    pub fn who(&self) -> String {
        let name = if self.name.is_empty() {
            self.uid.to_string()
        } else {
            self.name.clone()
        };
        let login = match self.login.as_str() {
            "" => String::new(),
            login => format!(" (logged in as {login})"),
        };
        let only = if self.read_only { ", read-only" } else { "" };
        format!("{name}{login} {}{only}", self.role)
    }
}

/// From when on and until when a certificate holds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Certificate {
    /// From then on.
    pub not_before: Timestamp,
    /// Until then.
    pub not_after: Timestamp,
}

/// The room on a disk, in bytes.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Disk {
    /// What the daemon may still fill.
    pub free_bytes: u64,
    /// All that there is.
    pub total_bytes: u64,
}

/// How the daemon's backups stand.
#[derive(Debug, Clone, Serialize)]
pub struct BackupStatus {
    /// Where they are.
    pub folder: String,
    /// The newest, which was read back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Backup>,
    /// When the next is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
    /// Which part of the store the one under way is at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<String>,
    /// Why the last attempt failed, if it did.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub failure: String,
}

/// A backup.
#[derive(Debug, Clone, Serialize)]
pub struct Backup {
    /// The file's name.
    pub name: String,
    /// Its size.
    pub size_bytes: u64,
    /// How many audit entries the log had.
    pub entries: u64,
    /// When it was begun.
    pub created_at: Timestamp,
    /// How long it took, in seconds, when that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Whether it is encrypted.
    pub encrypted: bool,
}

/// The state of the daemon's store.
#[derive(Debug, Clone, Serialize)]
pub struct StoreStatus {
    /// Tells one store from another.
    pub id: String,
    /// Where it is.
    pub path: String,
    /// The version of its format.
    pub format: u32,
    /// How many audit entries its log has.
    pub entries: u64,
    /// The size of its journal in bytes.
    pub journal_bytes: u64,
    /// How many files the journal has.
    pub journal_segments: u64,
    /// The size of its index in bytes.
    pub index_bytes: u64,
    /// About how many of them are of use; 0: that is not known.
    pub index_content_bytes: u64,
    /// Whether it was not closed in good order before the daemon started.
    pub was_unclean: bool,
    /// How far the check of the whole store is that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checking: Option<Work>,
    /// How the last one ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checked: Option<Check>,
    /// How far the compaction of the index is that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compacting: Option<Work>,
    /// How much room its disk has, in bytes.
    pub disk_free_bytes: u64,
    /// How large its disk is, in bytes.
    pub disk_total_bytes: u64,
    /// How much of it is kept for revocations, suspensions and keys, in bytes.
    pub reserve_bytes: u64,
    /// Whether less than that is free.
    pub is_low_on_space: bool,
}

/// How far something is.
#[derive(Debug, Clone, Serialize)]
pub struct Work {
    /// What is being done.
    pub stage: String,
    /// How much of it.
    pub done: u64,
    /// Of how much.
    pub of: u64,
}

/// How a check of the whole store ended.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// When it began.
    pub time: Timestamp,
    /// How many entries the log had.
    pub entries: u64,
    /// How many things were not as they should be.
    pub findings: u64,
    /// The first of them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub first: String,
}

impl From<v1::status::Work> for Work {
    fn from(it: v1::status::Work) -> Self {
        Self {
            stage: it.stage,
            done: it.done,
            of: it.of,
        }
    }
}

/// The checkpoints of the audit log.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CheckpointStatus {
    /// How many entries the newest is of.
    pub entries: u64,
    /// Why the next cannot be signed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub failure: String,
    /// The ways off the machine.
    pub deliveries: Vec<Delivery>,
}

/// A way off the machine for checkpoints.
#[derive(Debug, Clone, Serialize)]
pub struct Delivery {
    /// `file` or `command`.
    pub place: String,
    /// How many entries the last that got there is of.
    pub entries: u64,
    /// Why the newest did not get there.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub failure: String,
}

/// Who the caller is to the daemon.
#[derive(Debug, Clone, Serialize)]
pub struct Caller {
    /// The user's number.
    pub uid: u32,
    /// The user's name.
    pub name: String,
    /// The user who logged in, when it is another.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub login: String,
    /// What the caller may do.
    pub role: String,
    /// The organizations that there are for the caller, by id; none: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organizations: Option<Vec<String>>,
}

impl TryFrom<v1::status::Backups> for BackupStatus {
    type Error = FieldError;

    fn try_from(it: v1::status::Backups) -> Result<Self, FieldError> {
        Ok(Self {
            folder: it.folder,
            last: it.last.map(TryInto::try_into).transpose()?,
            next: it.next.map(to_domain_timestamp),
            running: it.running.map(|it| it.section),
            failure: it.failure,
        })
    }
}

impl TryFrom<v1::Backup> for Backup {
    type Error = FieldError;

    fn try_from(it: v1::Backup) -> Result<Self, FieldError> {
        let took = it.duration.map(|it| to_domain_duration(it, "duration"));
        Ok(Self {
            name: it.name,
            size_bytes: it.size_bytes,
            entries: it.entries,
            created_at: it
                .created_at
                .map(to_domain_timestamp)
                .ok_or(FieldError::new("created_at", "must be present"))?,
            seconds: took.transpose()?.as_ref().map(Duration::as_secs_f64),
            encrypted: !it.recipients.is_empty(),
        })
    }
}

impl TryFrom<v1::Status> for DaemonStatus {
    type Error = FieldError;

    fn try_from(it: v1::Status) -> Result<Self, FieldError> {
        let time = |time: Option<_>, field| {
            time.map(to_domain_timestamp)
                .ok_or(FieldError::new(field, "must be present"))
        };
        let certificate = it.certificate.map(|it| {
            Ok::<_, FieldError>(Certificate {
                not_before: time(it.not_before, "not_before")?,
                not_after: time(it.not_after, "not_after")?,
            })
        });
        let store = it.store.unwrap_or_default();
        let checkpoints = it.checkpoints.unwrap_or_default();
        let delivery = |it: v1::status::Delivery| Delivery {
            place: it.place,
            entries: it.entries,
            failure: it.failure,
        };
        let caller = it.caller.unwrap_or_default();
        let connection = |it: v1::status::Connection| {
            Ok::<_, FieldError>(Connection {
                uid: it.uid,
                name: it.name,
                login: it.login,
                role: it.role,
                since: time(it.since, "connections.since")?,
                read_only: it.read_only,
                own: it.own,
            })
        };
        let connections = it.connections.into_iter().map(connection);
        Ok(Self {
            connections: connections.collect::<Result<_, _>>()?,
            version: it.version,
            issuer: it.issuer,
            time: time(it.time, "time")?,
            started_at: time(it.started_at, "started_at")?,
            ready: it.ready,
            not_ready_reason: it.not_ready_reason,
            warnings: it.warnings,
            http_address: it.http_address,
            signing_key: it.signing_key,
            store: StoreStatus {
                id: store.id,
                path: store.path,
                format: store.format,
                entries: store.entries,
                journal_bytes: store.journal_bytes,
                journal_segments: store.journal_segments,
                index_bytes: store.index_bytes,
                index_content_bytes: store.index_content_bytes,
                was_unclean: store.was_unclean,
                checking: store.checking.map(Work::from),
                checked: match store.checked {
                    Some(it) => Some(Check {
                        time: time(it.time, "store.checked.time")?,
                        entries: it.entries,
                        findings: it.findings,
                        first: it.first,
                    }),
                    None => None,
                },
                compacting: store.compacting.map(Work::from),
                disk_free_bytes: store.disk_free_bytes,
                disk_total_bytes: store.disk_total_bytes,
                reserve_bytes: store.reserve_bytes,
                is_low_on_space: store.is_low_on_space,
            },
            checkpoints: CheckpointStatus {
                entries: checkpoints.entries,
                failure: checkpoints.failure,
                deliveries: checkpoints.deliveries.into_iter().map(delivery).collect(),
            },
            retention: it.retention.unwrap_or_default().try_into()?,
            certificate: certificate.transpose()?,
            disk: it.disk.map(|it| Disk {
                free_bytes: it.free_bytes,
                total_bytes: it.total_bytes,
            }),
            backups: it.backups.map(TryInto::try_into).transpose()?,
            caller: Caller {
                uid: caller.uid,
                name: caller.name,
                login: caller.login,
                role: caller.role,
                organizations: caller.is_limited.then_some(caller.organizations),
            },
        })
    }
}
