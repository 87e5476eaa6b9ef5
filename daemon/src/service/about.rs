//! What a call that came to nothing was about: for the log, which has to say what somebody tried.

use agentidp_shared::{AgentId, CredentialId, OrganizationId, TargetKind};

use super::Service;
use crate::store::ReadError;

/// The record that a call was to be about, as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    /// Which kind of record.
    pub(crate) kind: TargetKind,
    /// Its id, name or e-mail, or any other text.
    pub(crate) name: String,
}

impl Service {
    /// The id of the record that an operator named, whether there is one or not, and the organization that it
    /// belongs to. Of what no record has, only what is an id or an organization's name is told: any other text
    /// is nothing that the log should keep.
    pub(super) fn named(
        &self,
        about: &About,
    ) -> Result<(Option<String>, Option<OrganizationId>), ReadError> {
        let (store, name) = (self.store.as_ref(), about.name.as_str());
        Ok(match about.kind {
            TargetKind::Organization => {
                let id = match (name.parse::<OrganizationId>(), name.parse()) {
                    (Ok(id), _) => Some(id),
                    (_, Ok(name)) => match store.organization_by_name(&name)? {
                        Some(id) => Some(id),
                        None => return Ok((Some(name.to_string()), None)),
                    },
                    _ => None,
                };
                let there = id.map(|id| store.organization(id)).transpose()?.flatten();
                let organization = there.map(|it| it.record.id);
                (id.map(|it| it.to_string()), organization)
            }
            TargetKind::Agent => {
                let id = match (name.parse::<AgentId>(), name.parse()) {
                    (Ok(id), _) => Some(id),
                    (_, Ok(email)) => store.agent_by_email(&email)?,
                    _ => None,
                };
                let there = id.map(|id| store.agent(id)).transpose()?.flatten();
                let organization = there.map(|it| it.record.organization_id);
                (id.map(|it| it.to_string()), organization)
            }
            TargetKind::Credential => {
                let id = name.parse::<CredentialId>().ok();
                let there = id.map(|id| store.credential(id)).transpose()?.flatten();
                let agent = there.map(|it| it.record.credential.agent_id);
                let agent = agent.map(|id| store.agent(id)).transpose()?.flatten();
                let organization = agent.map(|it| it.record.organization_id);
                (id.map(|it| it.to_string()), organization)
            }
            _ => (None, None),
        })
    }
}
