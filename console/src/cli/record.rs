//! How the domain's records look in the command line's tables.

use agentidp_shared::{Agent, Credential, CredentialStatus, Organization, ScheduledKey, Timestamp};

use crate::client::{ListedAgent, LogKeyRange, ReviewedCredential, ShownOrganization};
use crate::duration;
use crate::text::thousands;

use super::output::Record;
use super::watch::Watched;

macro_rules! watched {
    ($($record:ty => $key:expr),+ $(,)?) => {
        $(impl Watched for $record {
            fn key(&self) -> String {
                let key: fn(&Self) -> String = $key;
                key(self)
            }
        })+
    };
}

watched! {
    Organization => |it| it.id.to_string(),
    ShownOrganization => |it| it.organization.id.to_string(),
    Agent => |it| it.id.to_string(),
    ListedAgent => |it| it.agent.id.to_string(),
    Credential => |it| it.id.to_string(),
    ScheduledKey => |it| it.key.kid.clone(),
}

/// A moment to the second, as tables show it.
pub(super) fn moment(time: Timestamp) -> String {
    let text = time.to_string();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

fn moment_or_dash(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), moment)
}

fn moment_or_never(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "never".to_owned(), moment)
}

fn or(time: Option<Timestamp>, text: &str) -> String {
    time.map_or_else(|| text.to_owned(), |time| time.to_string())
}

fn join(items: impl Iterator<Item = impl ToString>) -> String {
    let items: Vec<_> = items.map(|it| it.to_string()).collect();
    if items.is_empty() {
        "-".to_owned()
    } else {
        items.join(" ")
    }
}

impl Record for LogKeyRange {
    const HEADINGS: &'static [&'static str] = &["VERIFIER KEY", "FROM SIZE", "UNTIL"];

    fn cells(&self) -> Vec<String> {
        let until = moment_or_dash(self.until);
        vec![self.vkey.clone(), self.from.to_string(), until]
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        vec![
            ("vkey", self.vkey.clone()),
            ("from", self.from.to_string()),
            ("until", moment_or_dash(self.until)),
        ]
    }
}

impl Record for Organization {
    const HEADINGS: &'static [&'static str] = &["ID", "NAME", "STATUS", "TIER", "HOLD", "CREATED"];
    const SPARE: &'static [&'static str] = &["ID"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.name.to_string(),
            self.status.to_string(),
            self.tier.to_string(),
            if self.is_held { "held" } else { "-" }.to_owned(),
            moment(self.created_at),
        ]
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        vec![
            ("id", self.id.to_string()),
            ("name", self.name.to_string()),
            ("status", self.status.to_string()),
            ("tier", self.tier.to_string()),
            (
                "max_credential_age",
                self.max_credential_age
                    .map_or_else(|| "none".to_owned(), duration::exact),
            ),
            ("created_at", self.created_at.to_string()),
            ("updated_at", self.updated_at.to_string()),
            ("tokens_revoked_until", or(self.tokens_revoked_until, "-")),
            (
                "legal_hold",
                if self.is_held { "yes" } else { "no" }.to_owned(),
            ),
            ("revision", self.revision.to_string()),
        ]
    }
}

/// So many of those that there may be.
fn of_limit(number: u64, limit: Option<u64>) -> String {
    let number = thousands(number);
    match limit {
        Some(limit) => format!("{number} of {}", thousands(limit)),
        None => format!("{number}, no limit"),
    }
}

impl Record for ShownOrganization {
    const HEADINGS: &'static [&'static str] = Organization::HEADINGS;
    const SPARE: &'static [&'static str] = Organization::SPARE;

    fn cells(&self) -> Vec<String> {
        self.organization.cells()
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = self.organization.fields();
        if let Some(usage) = &self.usage {
            let tokens = of_limit(usage.tokens_this_month, usage.tokens_per_month);
            let after_tier = fields.iter().position(|(name, _)| *name == "tier");
            let at = after_tier.map_or(fields.len(), |tier| tier + 1);
            let usage = [
                ("agents", of_limit(usage.agents, usage.agents_limit)),
                ("tokens_this_month", tokens),
            ];
            fields.splice(at..at, usage);
        }
        fields
    }
}

impl Record for Agent {
    const HEADINGS: &'static [&'static str] = &[
        "ID",
        "EMAIL",
        "TYPE",
        "VERSION",
        "OWNER",
        "ENV",
        "STATUS",
        "LAST AUTH",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.email.to_string(),
            self.agent_type.to_string(),
            self.version.to_string(),
            self.owner.to_string(),
            self.deployment_env.to_string(),
            self.status.to_string(),
            moment_or_never(self.last_auth_at),
        ]
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("id", self.id.to_string()),
            ("organization_id", self.organization_id.to_string()),
            ("email", self.email.to_string()),
            ("agent_type", self.agent_type.to_string()),
            ("version", self.version.to_string()),
            ("capabilities", join(self.capabilities.iter())),
            ("owner", self.owner.to_string()),
            ("deployment_env", self.deployment_env.to_string()),
            ("status", self.status.to_string()),
            ("audiences", join(self.audiences.iter())),
        ];
        for (name, value) in self.metadata.iter() {
            fields.push(("metadata", format!("{name}={value}")));
        }
        fields.extend([
            ("created_at", self.created_at.to_string()),
            ("updated_at", self.updated_at.to_string()),
            ("last_auth_at", or(self.last_auth_at, "never")),
            ("tokens_revoked_until", or(self.tokens_revoked_until, "-")),
            ("revision", self.revision.to_string()),
        ]);
        fields
    }
}

impl Record for ListedAgent {
    const HEADINGS: &'static [&'static str] = &[
        "ID",
        "EMAIL",
        "TYPE",
        "VERSION",
        "OWNER",
        "ENV",
        "STATUS",
        "CREDS",
        "LAST AUTH",
        "EXPIRES",
    ];
    const SPARE: &'static [&'static str] = &["ID", "VERSION", "TYPE", "ENV", "OWNER", "EXPIRES"];

    fn cells(&self) -> Vec<String> {
        let mut cells = self.agent.cells();
        let last_auth = cells.pop();
        cells.push(self.credentials.to_string());
        cells.extend(last_auth);
        cells.push(moment_or_dash(self.expires_at));
        cells
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = self.agent.fields();
        fields.push(("credentials", self.credentials.to_string()));
        fields.push(("expires_at", or(self.expires_at, "never")));
        fields
    }
}

impl Record for Credential {
    const HEADINGS: &'static [&'static str] = &[
        "ID",
        "KIND",
        "STATUS",
        "CREATED",
        "EXPIRES",
        "RETIRES",
        "LAST USED",
        "USES",
    ];
    const SPARE: &'static [&'static str] = &["KIND", "CREATED", "RETIRES"];

    fn cells(&self) -> Vec<String> {
        // One that is cut off ends no more.
        let end = |time: Option<Timestamp>| {
            moment_or_dash(time.filter(|_| self.status != CredentialStatus::Revoked))
        };
        vec![
            self.id.to_string(),
            self.kind.to_string(),
            self.status.to_string(),
            moment(self.created_at),
            end(self.expires_at),
            end(self.retires_at),
            moment_or_never(self.last_used_at),
            self.use_count.to_string(),
        ]
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("id", self.id.to_string()),
            ("agent_id", self.agent_id.to_string()),
            ("organization_id", self.organization_id.to_string()),
            ("kind", self.kind.to_string()),
            ("status", self.status.to_string()),
            ("created_at", self.created_at.to_string()),
            ("expires_at", or(self.expires_at, "never")),
            ("retires_at", or(self.retires_at, "-")),
            ("last_used_at", or(self.last_used_at, "never")),
            ("use_count", self.use_count.to_string()),
            ("tokens_revoked_until", or(self.tokens_revoked_until, "-")),
        ];
        if let Some(key) = &self.public_key {
            fields.push(("thumbprint", key.thumbprint.clone()));
            fields.push(("jwk", key.jwk.clone()));
        }
        fields.push(("revision", self.revision.to_string()));
        fields
    }
}

impl Record for ReviewedCredential {
    const HEADINGS: &'static [&'static str] = &[
        "ID",
        "AGENT",
        "OWNER",
        "STATUS",
        "CREATED",
        "EXPIRES",
        "RETIRES",
        "LAST USED",
        "USES",
    ];

    fn cells(&self) -> Vec<String> {
        let credential = &self.credential;
        vec![
            credential.id.to_string(),
            self.agent_email.clone(),
            self.owner.clone(),
            credential.status.to_string(),
            moment(credential.created_at),
            moment_or_dash(credential.expires_at),
            moment_or_dash(credential.retires_at),
            moment_or_never(credential.last_used_at),
            credential.use_count.to_string(),
        ]
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = self.credential.fields();
        fields.push(("agent_email", self.agent_email.clone()));
        fields.push(("owner", self.owner.clone()));
        fields
    }
}

impl Record for ScheduledKey {
    const HEADINGS: &'static [&'static str] =
        &["KID", "ALGORITHM", "STATE", "CREATED", "ACTIVATED", "NEXT"];

    fn cells(&self) -> Vec<String> {
        let key = &self.key;
        let next = self.next.map_or_else(
            || "-".to_owned(),
            |next| format!("{} {}", next.state, moment(next.at)),
        );
        vec![
            key.kid.clone(),
            key.algorithm.to_string(),
            key.state.to_string(),
            moment(key.created_at),
            moment_or_dash(key.activated_at),
            next,
        ]
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        Self::HEADINGS.iter().copied().zip(self.cells()).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::output::Output;
    use super::*;
    use crate::args::Format;
    use crate::client::OrganizationUsage;

    const ID: &str = "0193f2c4-0000-7000-8000-000000000001";
    const TIME: &str = "2026-11-21T04:43:34.120Z";

    fn agent() -> Agent {
        let agent = json!({
            "id": ID, "organization_id": ID, "email": "a@acme.example", "agent_type": "screener",
            "version": "1.0.0", "capabilities": ["resume:read", "resume:write"], "owner": "team-a",
            "deployment_env": "production", "status": "active", "audiences": [],
            "metadata": {"note": "\u{1b}[31mred"}, "created_at": TIME, "updated_at": TIME,
            "last_auth_at": null, "tokens_revoked_until": null, "revision": 3,
        });
        serde_json::from_value(agent).unwrap()
    }

    fn organization(usage: Option<OrganizationUsage>) -> ShownOrganization {
        let organization = json!({
            "id": ID, "name": "acme", "status": "active", "tier": "free", "created_at": TIME,
            "updated_at": TIME, "max_credential_age": null, "tokens_revoked_until": null,
            "is_held": false, "revision": 2,
        });
        ShownOrganization {
            organization: serde_json::from_value(organization).unwrap(),
            usage,
        }
    }

    fn credential() -> Credential {
        let credential = json!({
            "id": ID, "agent_id": ID, "organization_id": ID, "kind": "client_secret",
            "status": "retiring", "created_at": TIME, "expires_at": null, "retires_at": TIME,
            "last_used_at": TIME, "use_count": 1204, "public_key": null,
            "tokens_revoked_until": null, "revision": 2,
        });
        serde_json::from_value(credential).unwrap()
    }

    /// The record in a list and alone, as people see it, and as programs do.
    fn shown<T: Record>(record: T) -> String {
        let records = [record];
        let mut bytes = Vec::new();
        for format in [Format::Table, Format::Ndjson] {
            Output::new(format, &mut bytes).all(&records).unwrap();
        }
        Output::new(Format::Table, &mut bytes)
            .one(&records[0])
            .unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn records_are_shown_as_they_were_looked_at() {
        let listed = ListedAgent {
            agent: agent(),
            credentials: 2,
            expires_at: Some(TIME.parse().unwrap()),
        };
        insta::assert_snapshot!("agent_of_a_list", shown(listed));
        insta::assert_snapshot!("agent", shown(agent()));
        insta::assert_snapshot!("credential", shown(credential()));
        insta::assert_snapshot!(
            "organization",
            shown(organization(Some(OrganizationUsage {
                agents: 37,
                agents_limit: Some(100),
                tokens_this_month: 12_481,
                tokens_per_month: None,
            })))
        );
    }
}
