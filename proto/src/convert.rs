//! Between the wire and the domain.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agentidp_shared as domain;
use agentidp_shared::error::FieldError;
use agentidp_shared::{ScopeSet, Timestamp};

use crate::v1;

/// A domain time on the wire.
#[must_use]
pub fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let millis = time.as_millis();
    prost_types::Timestamp {
        seconds: millis.div_euclid(1_000),
        nanos: i32::try_from(millis.rem_euclid(1_000) * 1_000_000).unwrap_or(0),
    }
}

/// A time from the wire, cut to milliseconds.
#[must_use]
pub fn to_domain_timestamp(time: prost_types::Timestamp) -> Timestamp {
    Timestamp::from_millis(
        time.seconds
            .saturating_mul(1_000)
            .saturating_add(i64::from(time.nanos / 1_000_000)),
    )
}

fn required(
    time: Option<prost_types::Timestamp>,
    field: &'static str,
) -> Result<Timestamp, FieldError> {
    time.map(to_domain_timestamp)
        .ok_or(FieldError::new(field, "must be present"))
}

/// The wire's form of a duration.
#[must_use]
pub fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

/// The duration of `field`.
///
/// # Errors
///
/// [`FieldError`] when it is negative or not one.
pub fn to_domain_duration(
    duration: prost_types::Duration,
    field: &'static str,
) -> Result<Duration, FieldError> {
    let rule = FieldError::new(field, "must be a duration that is not negative");
    let seconds = u64::try_from(duration.seconds).map_err(|_error| rule.clone())?;
    let nanos = u32::try_from(duration.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000);
    Ok(Duration::new(seconds, nanos.ok_or(rule)?))
}

impl From<domain::Organization> for v1::Organization {
    fn from(it: domain::Organization) -> Self {
        Self {
            id: it.id.to_string(),
            name: it.name.into(),
            status: it.status.to_string(),
            tier: it.tier.into(),
            created_at: Some(timestamp(it.created_at)),
            updated_at: Some(timestamp(it.updated_at)),
            max_credential_age: it.max_credential_age.map(duration),
            tokens_revoked_until: it.tokens_revoked_until.map(timestamp),
            is_held: it.is_held,
            revision: it.revision,
            usage: None,
        }
    }
}

impl TryFrom<v1::Organization> for domain::Organization {
    type Error = FieldError;

    fn try_from(it: v1::Organization) -> Result<Self, FieldError> {
        Ok(Self {
            id: it.id.parse()?,
            name: it.name.try_into()?,
            status: it.status.parse()?,
            tier: it.tier.try_into()?,
            created_at: required(it.created_at, "created_at")?,
            updated_at: required(it.updated_at, "updated_at")?,
            max_credential_age: it
                .max_credential_age
                .map(|age| to_domain_duration(age, "max_credential_age"))
                .transpose()?,
            tokens_revoked_until: it.tokens_revoked_until.map(to_domain_timestamp),
            is_held: it.is_held,
            revision: it.revision,
        })
    }
}

impl From<domain::Agent> for v1::Agent {
    fn from(it: domain::Agent) -> Self {
        Self {
            id: it.id.to_string(),
            organization_id: it.organization_id.to_string(),
            email: it.email.into(),
            agent_type: it.agent_type.to_string(),
            version: it.version.to_string(),
            capabilities: it.capabilities.iter().map(ToString::to_string).collect(),
            owner: it.owner.into(),
            deployment_env: it.deployment_env.to_string(),
            status: it.status.to_string(),
            audiences: it.audiences.into_iter().map(Into::into).collect(),
            metadata: BTreeMap::from(it.metadata).into_iter().collect(),
            created_at: Some(timestamp(it.created_at)),
            updated_at: Some(timestamp(it.updated_at)),
            last_auth_at: it.last_auth_at.map(timestamp),
            tokens_revoked_until: it.tokens_revoked_until.map(timestamp),
            revision: it.revision,
        }
    }
}

impl TryFrom<v1::Agent> for domain::Agent {
    type Error = FieldError;

    fn try_from(it: v1::Agent) -> Result<Self, FieldError> {
        Ok(Self {
            id: it.id.parse()?,
            organization_id: it.organization_id.parse()?,
            email: it.email.try_into()?,
            agent_type: it.agent_type.parse()?,
            version: domain::agent::parse_version(&it.version)?,
            capabilities: capabilities(it.capabilities)?,
            owner: it.owner.try_into()?,
            deployment_env: it.deployment_env.parse()?,
            status: it.status.parse()?,
            audiences: audiences(it.audiences)?,
            metadata: metadata(it.metadata)?,
            created_at: required(it.created_at, "created_at")?,
            updated_at: required(it.updated_at, "updated_at")?,
            last_auth_at: it.last_auth_at.map(to_domain_timestamp),
            tokens_revoked_until: it.tokens_revoked_until.map(to_domain_timestamp),
            revision: it.revision,
        })
    }
}

impl From<domain::Credential> for v1::Credential {
    fn from(it: domain::Credential) -> Self {
        Self {
            id: it.id.to_string(),
            agent_id: it.agent_id.to_string(),
            organization_id: it.organization_id.to_string(),
            kind: it.kind.to_string(),
            status: it.status.to_string(),
            created_at: Some(timestamp(it.created_at)),
            expires_at: it.expires_at.map(timestamp),
            retires_at: it.retires_at.map(timestamp),
            last_used_at: it.last_used_at.map(timestamp),
            use_count: it.use_count,
            public_key: it.public_key.map(|key| v1::PublicKey {
                thumbprint: key.thumbprint,
                jwk: key.jwk,
            }),
            tokens_revoked_until: it.tokens_revoked_until.map(timestamp),
            revision: it.revision,
        }
    }
}

impl TryFrom<v1::Credential> for domain::Credential {
    type Error = FieldError;

    fn try_from(it: v1::Credential) -> Result<Self, FieldError> {
        Ok(Self {
            id: it.id.parse()?,
            agent_id: it.agent_id.parse()?,
            organization_id: it.organization_id.parse()?,
            kind: it.kind.parse()?,
            status: it.status.parse()?,
            created_at: required(it.created_at, "created_at")?,
            expires_at: it.expires_at.map(to_domain_timestamp),
            retires_at: it.retires_at.map(to_domain_timestamp),
            last_used_at: it.last_used_at.map(to_domain_timestamp),
            use_count: it.use_count,
            public_key: it.public_key.map(|key| domain::PublicKey {
                thumbprint: key.thumbprint,
                jwk: key.jwk,
            }),
            tokens_revoked_until: it.tokens_revoked_until.map(to_domain_timestamp),
            revision: it.revision,
        })
    }
}

impl From<domain::ScheduledKey> for v1::SigningKey {
    fn from(it: domain::ScheduledKey) -> Self {
        let domain::ScheduledKey { key, next } = it;
        Self {
            kid: key.kid,
            algorithm: key.algorithm.to_string(),
            state: key.state.to_string(),
            created_at: Some(timestamp(key.created_at)),
            activated_at: key.activated_at.map(timestamp),
            retires_at: key.retires_at.map(timestamp),
            revision: key.revision,
            next_state: next.map(|next| next.state.to_string()).unwrap_or_default(),
            next_change_at: next.map(|next| timestamp(next.at)),
        }
    }
}

impl TryFrom<v1::SigningKey> for domain::ScheduledKey {
    type Error = FieldError;

    fn try_from(it: v1::SigningKey) -> Result<Self, FieldError> {
        let next = match it.next_state.as_str() {
            "" => None,
            state => Some(domain::NextChange {
                state: state.parse()?,
                at: required(it.next_change_at, "next_change_at")?,
            }),
        };
        let key = domain::SigningKey {
            kid: it.kid,
            algorithm: it.algorithm.parse()?,
            state: it.state.parse()?,
            created_at: required(it.created_at, "created_at")?,
            activated_at: it.activated_at.map(to_domain_timestamp),
            retires_at: it.retires_at.map(to_domain_timestamp),
            revision: it.revision,
        };
        Ok(Self { key, next })
    }
}

/// Capabilities from the wire.
///
/// # Errors
///
/// [`FieldError`] for one that is no scope, or too many.
pub fn capabilities(list: Vec<String>) -> Result<ScopeSet, FieldError> {
    let scopes: BTreeSet<_> = list
        .into_iter()
        .map(TryInto::try_into)
        .collect::<Result<_, _>>()?;
    scopes.try_into()
}

/// Audiences from the wire.
///
/// # Errors
///
/// [`FieldError`] for one that is no resource, or too many.
pub fn audiences(list: Vec<String>) -> Result<Vec<domain::Resource>, FieldError> {
    domain::agent::audiences(
        list.into_iter()
            .map(TryInto::try_into)
            .collect::<Result<_, _>>()?,
    )
}

/// Metadata from the wire.
///
/// # Errors
///
/// [`FieldError`] when it breaks [`domain::Metadata`]'s rules.
pub fn metadata(
    entries: impl IntoIterator<Item = (String, String)>,
) -> Result<domain::Metadata, FieldError> {
    entries.into_iter().collect::<BTreeMap<_, _>>().try_into()
}
