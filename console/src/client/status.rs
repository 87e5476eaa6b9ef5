//! The daemon's state as the console knows it.

use agentidp_proto::convert::to_domain_timestamp;
use agentidp_proto::v1;
use agentidp_shared::{FieldError, Timestamp};
use serde::Serialize;

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
    /// Who the caller is.
    pub caller: Caller,
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
    /// How much room its disk has, in bytes.
    pub disk_free_bytes: u64,
    /// How large its disk is, in bytes.
    pub disk_total_bytes: u64,
    /// How much of it is kept for revocations, suspensions and keys, in bytes.
    pub reserve_bytes: u64,
    /// Whether less than that is free.
    pub is_low_on_space: bool,
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

impl TryFrom<v1::Status> for DaemonStatus {
    type Error = FieldError;

    fn try_from(it: v1::Status) -> Result<Self, FieldError> {
        let time = |time: Option<_>, field| {
            time.map(to_domain_timestamp)
                .ok_or(FieldError::new(field, "must be present"))
        };
        let store = it.store.unwrap_or_default();
        let caller = it.caller.unwrap_or_default();
        Ok(Self {
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
                disk_free_bytes: store.disk_free_bytes,
                disk_total_bytes: store.disk_total_bytes,
                reserve_bytes: store.reserve_bytes,
                is_low_on_space: store.is_low_on_space,
            },
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
