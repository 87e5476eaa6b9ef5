//! Records as the operators' interface shows them, without what time alone changes.

use agentidp_proto::v1;

use super::Wants;

/// A record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Record {
    Organization(v1::Organization),
    Agent(v1::Agent),
    Credential(v1::Credential),
}

impl From<v1::Organization> for Record {
    fn from(organization: v1::Organization) -> Self {
        Self::Organization(organization)
    }
}

impl From<v1::Agent> for Record {
    fn from(agent: v1::Agent) -> Self {
        Self::Agent(v1::Agent {
            last_auth_at: None,
            ..agent
        })
    }
}

impl From<v1::Credential> for Record {
    fn from(credential: v1::Credential) -> Self {
        Self::Credential(v1::Credential {
            last_used_at: None,
            use_count: 0,
            ..credential
        })
    }
}

impl Record {
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Organization(it) => &it.id,
            Self::Agent(it) => &it.id,
            Self::Credential(it) => &it.id,
        }
    }

    pub(crate) const fn revision(&self) -> u64 {
        match self {
            Self::Organization(it) => it.revision,
            Self::Agent(it) => it.revision,
            Self::Credential(it) => it.revision,
        }
    }

    pub(crate) fn status(&self) -> &str {
        match self {
            Self::Organization(it) => &it.status,
            Self::Agent(it) => &it.status,
            Self::Credential(it) => &it.status,
        }
    }

    /// The moment, in milliseconds, until which tokens that hang on it are dead.
    pub(crate) fn revoked_until(&self) -> Option<i64> {
        let until = match self {
            Self::Organization(it) => it.tokens_revoked_until,
            Self::Agent(it) => it.tokens_revoked_until,
            Self::Credential(it) => it.tokens_revoked_until,
        };
        until.map(|until| until.seconds * 1_000 + i64::from(until.nanos) / 1_000_000)
    }

    /// Whether tokens that hang on it count, as far as its status goes.
    pub(crate) fn bears_tokens(&self) -> bool {
        match self {
            Self::Organization(_) | Self::Agent(_) => self.status() == "active",
            Self::Credential(_) => self.status() != "revoked",
        }
    }

    /// Whether it says what an operation wanted it to.
    pub(crate) fn says(&self, wants: &Wants) -> bool {
        match (wants, self) {
            (Wants::Name(name), Self::Organization(it)) => it.name == *name,
            (Wants::Email(email), Self::Agent(it)) => it.email == *email,
            (Wants::Version(version), Self::Agent(it)) => it.version == *version,
            (Wants::MaxAge(seconds), Self::Organization(it)) => it
                .max_credential_age
                .is_some_and(|age| age.seconds == *seconds),
            (Wants::Of(agent), Self::Credential(it)) => it.agent_id == *agent,
            // Of a rotation with a time of grace there is the old one, too, and of an agent that has
            // ended the credentials that ended with it.
            (Wants::Status(_), Self::Credential(it)) => {
                it.status == "revoked" || it.status == "retiring"
            }
            (Wants::Status(status), _) => self.status() == *status,
            (Wants::RevokedUntil, _) => self.revoked_until().is_some(),
            _ => false,
        }
    }
}
