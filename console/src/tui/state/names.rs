//! What records are called.

use agentidp_shared::{AgentId, Organization};

use crate::client::MAX_PAGE;
use crate::text::inert;
use crate::tui::completion::Known;

use super::State;

impl State {
    /// The name of an agent's organization, or its id while the name is not known.
    pub(crate) fn organization(&self, id: agentidp_shared::OrganizationId) -> String {
        self.organizations
            .iter()
            .find(|it| it.id == id)
            .map_or_else(|| id.to_string(), |it| it.name.to_string())
    }

    /// Why no organization is of this id or name; none when there is one, or they are not all known here.
    pub(crate) fn why_no_organization(&self, text: &str) -> Option<String> {
        let all = &self.organizations;
        let is_known = |it: &Organization| it.name.as_str() == text || it.id.to_string() == text;
        let may_be_more = all.is_empty() || all.len() >= MAX_PAGE as usize;
        if may_be_more || all.iter().any(is_known) {
            return None;
        }
        let names: Vec<_> = all.iter().take(8).map(|it| it.name.as_str()).collect();
        let more = if all.len() > names.len() { ", .." } else { "" };
        Some(format!(
            "no organization {} that you may see: there are {}{more}",
            inert(text),
            names.join(", ")
        ))
    }

    /// The e-mail of an agent, or the end of its id while it is not known.
    pub(crate) fn agent_name(&self, id: &str) -> String {
        let known = id.parse().ok().and_then(|id: AgentId| {
            let of_detail = self.detail.as_ref().map(|detail| &detail.agent);
            of_detail
                .filter(|agent| agent.id == id)
                .or_else(|| self.agents.get(id))
        });
        known.map_or_else(
            || format!("agent {}", crate::audit_text::short_id(id)),
            |agent| agent.email.to_string(),
        )
    }

    /// The organizations that there are for this operator, by name; none: all.
    pub(crate) fn only_of(&self) -> Option<String> {
        let ids = self.status.as_ref()?.caller.organizations.as_ref()?;
        let name = |id: &String| {
            id.parse()
                .map_or_else(|_| id.clone(), |id| self.organization(id))
        };
        let names: Vec<_> = ids.iter().map(name).collect();
        Some(match names.as_slice() {
            [] => "none".to_owned(),
            names => names.join(", "),
        })
    }

    /// An agent's name without the domain of its e-mail and, where there are several organizations, with
    /// that of its own.
    pub(crate) fn brief_name(&self, id: &str) -> String {
        let email = self.agent_name(id);
        let local = email.split('@').next().unwrap_or_default();
        let agent = id.parse().ok().and_then(|id: AgentId| self.agents.get(id));
        match agent.filter(|_| self.organizations.len() > 1) {
            Some(agent) => format!("{}/{local}", self.organization(agent.organization_id)),
            None => local.to_owned(),
        }
    }

    /// The names of records that are known here, for whoever types one.
    pub(crate) fn known(&self) -> Known {
        let loaded = || self.agents.loaded().map(|it| &it.agent);
        let capabilities = loaded().flat_map(|it| it.capabilities.iter());
        let organizations = self.organizations.iter().map(|it| it.name.to_string());
        let of_detail = self.detail.iter().flat_map(|it| &it.credentials).flatten();
        let keys = self.keys.rows.iter().flatten();
        Known {
            agents: loaded().map(|it| it.email.to_string()).collect(),
            owners: loaded().map(|it| it.owner.to_string()).collect(),
            capabilities: capabilities.map(ToString::to_string).collect(),
            organizations: organizations.collect(),
            credentials: of_detail.map(|it| it.id.to_string()).collect(),
            keys: keys.map(|it| it.key.kid.clone()).collect(),
        }
    }
}
