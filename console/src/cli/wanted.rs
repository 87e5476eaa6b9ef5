//! What part of the audit log is asked for, and whether it is what the daemon sends.

use std::ops::Range;

use agentidp_proto::v1;
use agentidp_shared::OrganizationId;
use agentidp_shared::merkle::export::Report;

use crate::client::Client;
use crate::error::Error;
use crate::text::thousands;

/// The entries of an organization, or all of them, in a part of the log.
pub(super) struct Wanted {
    organization_id: Option<OrganizationId>,
    from: u64,
    to: Option<u64>,
}

impl Wanted {
    /// What `request` asks for. What an organization's name stands for, the daemon says; an id is taken as it is.
    pub(super) async fn of(
        client: &Client,
        request: &v1::ExportAuditRequest,
    ) -> Result<Self, Error> {
        let organization_id = match request.organization.as_str() {
            "" => None,
            name => match name.parse() {
                Ok(id) => Some(id),
                Err(_) => Some(client.organization(name.to_owned()).await?.id),
            },
        };
        Ok(Self {
            organization_id,
            from: request.from,
            to: request.to,
        })
    }

    /// Whether these `places` in the log are those that are wanted; `end` is where they end when nothing else was
    /// said.
    pub(super) fn is_met_by(
        &self,
        organization_id: Option<OrganizationId>,
        places: &Range<u64>,
        end: u64,
    ) -> bool {
        let wanted = self.from..self.to.unwrap_or(end);
        organization_id == self.organization_id && *places == wanted
    }

    /// Why what was sent is not what is wanted, however well it verifies: who sends something else hides the
    /// rest.
    pub(super) fn not_met(&self, sent: &Report) -> Option<String> {
        let (places, end) = (sent.from..sent.to, sent.checkpoint.size);
        if self.is_met_by(sent.organization_id, &places, end) {
            return None;
        }
        let wanted = self.from..self.to.unwrap_or(end);
        Some(format!(
            "the daemon was asked for {}, and sent {}",
            told(self.organization_id, &wanted),
            told(sent.organization_id, &places)
        ))
    }
}

fn told(organization_id: Option<OrganizationId>, places: &Range<u64>) -> String {
    let whose = organization_id.map_or_else(String::new, |id| format!(" of organization {id}"));
    let (from, to) = (thousands(places.start), thousands(places.end));
    format!("the entries{whose} from {from} up to {to}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_is_what_is_wanted() {
        let id = |n| OrganizationId::from_bytes([n; 16]);
        let all = Wanted {
            organization_id: None,
            from: 0,
            to: None,
        };
        assert!(all.is_met_by(None, &(0..9), 9));
        for (organization_id, places) in [
            (None, 0..0),
            (None, 9..9),
            (None, 5..9),
            (Some(id(1)), 0..9),
        ] {
            assert!(!all.is_met_by(organization_id, &places, 9), "{places:?}");
        }
        let some = Wanted {
            organization_id: Some(id(1)),
            from: 2,
            to: Some(4),
        };
        assert!(some.is_met_by(Some(id(1)), &(2..4), 9));
        for (organization_id, places) in [(Some(id(2)), 2..4), (None, 2..4), (Some(id(1)), 2..9)] {
            assert!(!some.is_met_by(organization_id, &places, 9), "{places:?}");
        }
    }
}
