//! The roles of users, and how far they reach.

use std::collections::BTreeSet;
use std::sync::Arc;

use agentidp_shared::Role;

use super::peer::Peer;
use super::table::Rule;
use crate::config::RoleMapping;
use crate::service::{Reach, Service, ServiceError};

/// Which users have which roles.
#[derive(Debug, Clone)]
pub(crate) struct Operators(Arc<[RoleMapping]>);

impl Operators {
    /// The roles that the configuration gives.
    pub(crate) fn new(mappings: Vec<RoleMapping>) -> Self {
        Self(mappings.into())
    }

    /// Where `peer` stands: the highest role that it has, and how far that reaches.
    ///
    /// Only the mappings that give this very role say how far it reaches, all of them together: a
    /// lower role that reaches further does not stretch a higher one.
    pub(crate) fn standing_of(&self, peer: &Peer) -> Option<Standing> {
        let has = |mapping: &&RoleMapping| {
            mapping.users.iter().any(|user| peer.is_user(user))
                || mapping.groups.iter().any(|group| peer.is_in(group))
        };
        let role = self
            .0
            .iter()
            .filter(has)
            .map(|mapping| mapping.role)
            .max()?;
        let mut organizations = Some(BTreeSet::new());
        for mapping in self.0.iter().filter(has).filter(|it| it.role == role) {
            organizations = match (organizations, &mapping.organizations) {
                (Some(mut all), Some(more)) => {
                    all.extend(more.iter().cloned());
                    Some(all)
                }
                _ => None,
            };
        }
        Some(Standing {
            role,
            organizations,
        })
    }
}

/// What a user may do, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The role.
    pub(crate) role: Role,
    /// The organizations, by name or id, that there are for the user; `None`: all, and what belongs
    /// to none.
    pub(crate) organizations: Option<BTreeSet<String>>,
}

impl Standing {
    /// Whether the user may make a call: has the role that it takes. The role admin is about the
    /// installation as a whole, so what it alone may do takes an admin who is not limited to some
    /// organizations.
    pub(crate) fn allows(&self, rule: &Rule) -> bool {
        self.role >= rule.role && (rule.role < Role::Admin || self.organizations.is_none())
    }

    /// Whether there is an organization that both reach, as they are named.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        match (&self.organizations, &other.organizations) {
            (Some(own), Some(others)) => !own.is_disjoint(others),
            _ => true,
        }
    }

    /// The organizations that there are for the user now. A name that no organization has, or no
    /// more, stands for nothing.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) fn reach(&self, service: &Service) -> Result<Reach, ServiceError> {
        let Some(organizations) = &self.organizations else {
            return Ok(Reach::Installation);
        };
        let found = organizations
            .iter()
            .map(|organization| service.organization_id(organization));
        let found = found.collect::<Result<Vec<_>, _>>()?;
        Ok(Reach::Organizations(found.into_iter().flatten().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::RULES;
    use super::*;

    fn mapping(role: Role, user: &str, organizations: Option<&[&str]>) -> RoleMapping {
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        RoleMapping {
            role,
            users: vec![user.to_owned()],
            groups: Vec::new(),
            organizations: organizations.map(texts),
        }
    }

    #[test]
    fn the_highest_role_counts_and_reaches_as_far_as_the_mappings_that_give_it() {
        let me = nix::unistd::geteuid().to_string();
        let peer = Peer::of_this_process();
        let of = |mappings: Vec<RoleMapping>| Operators::new(mappings).standing_of(&peer);
        let standing = |role, organizations: Option<&[&str]>| {
            let names = |list: &[&str]| list.iter().map(ToString::to_string).collect();
            Some(Standing {
                role,
                organizations: organizations.map(names),
            })
        };
        let acme = Some(&["acme"][..]);
        assert_eq!(of(vec![mapping(Role::Admin, "4294967294", None)]), None);
        assert_eq!(
            of(vec![
                mapping(Role::Auditor, &me, None),
                mapping(Role::Operator, &me, acme),
            ]),
            standing(Role::Operator, acme),
            "that the lower role reaches everywhere does not stretch the higher one"
        );
        assert_eq!(
            of(vec![
                mapping(Role::Operator, &me, acme),
                mapping(Role::Operator, &me, Some(&["globex"])),
            ]),
            standing(Role::Operator, Some(&["acme", "globex"]))
        );
        assert_eq!(
            of(vec![
                mapping(Role::Operator, &me, None),
                mapping(Role::Operator, &me, acme),
            ]),
            standing(Role::Operator, None)
        );
    }

    #[test]
    fn an_admin_of_some_organizations_may_do_there_what_an_operator_may() {
        let limited = Standing {
            role: Role::Admin,
            organizations: Some(BTreeSet::from(["acme".to_owned()])),
        };
        for rule in RULES {
            assert_eq!(
                limited.allows(rule),
                rule.role < Role::Admin,
                "{}",
                rule.path
            );
        }
    }
}
