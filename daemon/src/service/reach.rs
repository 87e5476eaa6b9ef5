//! How far a caller reaches: which organizations there are for it.
//!
//! Every function that finds a record by what a caller named asks here, so that a record of another
//! organization and one that does not exist are the same from the start: neither is found.

use std::collections::BTreeSet;

use agentidp_shared::OrganizationId;

/// The organizations that there are for a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All of them, and what belongs to none.
    Installation,
    /// These, and nothing else.
    Organizations(BTreeSet<OrganizationId>),
}

impl Reach {
    /// Only this organization.
    pub(crate) fn only(organization: OrganizationId) -> Self {
        Self::Organizations(BTreeSet::from([organization]))
    }

    /// Whether what belongs to `organization` is there for the caller.
    pub(crate) fn has(&self, organization: OrganizationId) -> bool {
        match self {
            Self::Installation => true,
            Self::Organizations(reached) => reached.contains(&organization),
        }
    }

    /// The one organization that there is for the caller, if it is one.
    pub(crate) fn single(&self) -> Option<OrganizationId> {
        match self {
            Self::Organizations(reached) if reached.len() == 1 => reached.first().copied(),
            _ => None,
        }
    }

    /// The organizations that a list may show when `asked` is asked for; `None`: all, and what
    /// belongs to none.
    pub(crate) fn narrowed(
        &self,
        asked: Option<OrganizationId>,
    ) -> Option<BTreeSet<OrganizationId>> {
        match (self, asked) {
            (Self::Installation, None) => None,
            (Self::Organizations(reached), None) => Some(reached.clone()),
            (_, Some(asked)) if self.has(asked) => Some(BTreeSet::from([asked])),
            (_, Some(_)) => Some(BTreeSet::new()),
        }
    }
}
