//! Who may call what: the table of calls, and the roles of users.

use std::collections::BTreeSet;
use std::sync::Arc;

use agentidp_shared::{Action, Role};

use super::peer::Peer;
use crate::config::RoleMapping;
use crate::service::{Reach, Service, ServiceError};

/// What a call takes, and what it is in the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The call's path in HTTP/2.
    pub(crate) path: &'static str,
    /// The least role that may call it.
    pub(crate) role: Role,
    /// What it is in the audit log.
    pub(crate) action: Action,
}

impl Rule {
    /// Whether the call changes nothing: what an auditor may do.
    pub(crate) fn is_read(&self) -> bool {
        self.role == Role::Auditor
    }
}

const fn rule(path: &'static str, role: Role, action: Action) -> Rule {
    Rule { path, role, action }
}

/// Every call that can be made. What is not here is refused.
pub(crate) const RULES: &[Rule] = &[
    rule(
        "/agentidp.operator.v1.OrganizationService/Create",
        Role::Admin,
        Action::OrganizationCreate,
    ),
    rule(
        "/agentidp.operator.v1.OrganizationService/Get",
        Role::Auditor,
        Action::OrganizationShow,
    ),
    rule(
        "/agentidp.operator.v1.OrganizationService/List",
        Role::Auditor,
        Action::OrganizationList,
    ),
    rule(
        "/agentidp.operator.v1.OrganizationService/Update",
        Role::Admin,
        Action::OrganizationUpdate,
    ),
    rule(
        "/agentidp.operator.v1.OrganizationService/Suspend",
        Role::Admin,
        Action::OrganizationSuspend,
    ),
    rule(
        "/agentidp.operator.v1.OrganizationService/Resume",
        Role::Admin,
        Action::OrganizationResume,
    ),
    rule(
        "/agentidp.operator.v1.OrganizationService/Hold",
        Role::Admin,
        Action::OrganizationHold,
    ),
    rule(
        "/agentidp.operator.v1.OrganizationService/Release",
        Role::Admin,
        Action::OrganizationRelease,
    ),
    rule(
        "/agentidp.operator.v1.AgentService/Register",
        Role::Operator,
        Action::AgentRegister,
    ),
    rule(
        "/agentidp.operator.v1.AgentService/RegisterMany",
        Role::Operator,
        Action::AgentRegister,
    ),
    rule(
        "/agentidp.operator.v1.AgentService/Get",
        Role::Auditor,
        Action::AgentShow,
    ),
    rule(
        "/agentidp.operator.v1.AgentService/List",
        Role::Auditor,
        Action::AgentList,
    ),
    rule(
        "/agentidp.operator.v1.AgentService/GetActivity",
        Role::Auditor,
        Action::AgentShow,
    ),
    rule(
        "/agentidp.operator.v1.AgentService/Update",
        Role::Operator,
        Action::AgentUpdate,
    ),
    rule(
        "/agentidp.operator.v1.AgentService/Suspend",
        Role::Operator,
        Action::AgentSuspend,
    ),
    rule(
        "/agentidp.operator.v1.AgentService/Resume",
        Role::Operator,
        Action::AgentResume,
    ),
    rule(
        "/agentidp.operator.v1.AgentService/Revoke",
        Role::Operator,
        Action::AgentRevoke,
    ),
    rule(
        "/agentidp.operator.v1.AgentService/Decommission",
        Role::Operator,
        Action::AgentDecommission,
    ),
    rule(
        "/agentidp.operator.v1.AgentService/Archive",
        Role::Operator,
        Action::AgentArchive,
    ),
    rule(
        "/agentidp.operator.v1.AgentService/TransitionMany",
        Role::Operator,
        Action::AgentTransitionMany,
    ),
    rule(
        "/agentidp.operator.v1.CredentialService/Issue",
        Role::Operator,
        Action::CredentialIssue,
    ),
    rule(
        "/agentidp.operator.v1.CredentialService/Rotate",
        Role::Operator,
        Action::CredentialRotate,
    ),
    rule(
        "/agentidp.operator.v1.CredentialService/Revoke",
        Role::Operator,
        Action::CredentialRevoke,
    ),
    rule(
        "/agentidp.operator.v1.CredentialService/List",
        Role::Auditor,
        Action::CredentialList,
    ),
    rule(
        "/agentidp.operator.v1.CredentialService/Get",
        Role::Auditor,
        Action::CredentialShow,
    ),
    rule(
        "/agentidp.operator.v1.CredentialService/Review",
        Role::Auditor,
        Action::CredentialList,
    ),
    rule(
        "/agentidp.operator.v1.TokenService/Inspect",
        Role::Auditor,
        Action::TokenIntrospect,
    ),
    rule(
        "/agentidp.operator.v1.TokenService/Revoke",
        Role::Operator,
        Action::TokenRevoke,
    ),
    rule(
        "/agentidp.operator.v1.TokenService/RevokeIssued",
        Role::Operator,
        Action::TokenRevoke,
    ),
    rule(
        "/agentidp.operator.v1.SigningKeyService/List",
        Role::Auditor,
        Action::KeyList,
    ),
    rule(
        "/agentidp.operator.v1.SigningKeyService/Rotate",
        Role::Admin,
        Action::KeyRotate,
    ),
    rule(
        "/agentidp.operator.v1.AuditService/List",
        Role::Auditor,
        Action::AuditList,
    ),
    rule(
        "/agentidp.operator.v1.AuditService/Tail",
        Role::Auditor,
        Action::AuditTail,
    ),
    rule(
        "/agentidp.operator.v1.AuditService/GetKey",
        Role::Auditor,
        Action::AuditKey,
    ),
    rule(
        "/agentidp.operator.v1.AuditService/Prove",
        Role::Auditor,
        Action::AuditProve,
    ),
    rule(
        "/agentidp.operator.v1.AuditService/GetCheckpoint",
        Role::Auditor,
        Action::AuditCheckpoint,
    ),
    rule(
        "/agentidp.operator.v1.AuditService/ProveConsistency",
        Role::Auditor,
        Action::AuditConsistency,
    ),
    rule(
        "/agentidp.operator.v1.AuditService/Export",
        Role::Auditor,
        Action::AuditExport,
    ),
    rule(
        "/agentidp.operator.v1.AuditService/Prune",
        Role::Admin,
        Action::AuditPrune,
    ),
    rule(
        "/agentidp.operator.v1.ChangeService/Watch",
        Role::Auditor,
        Action::ChangeWatch,
    ),
    rule(
        "/agentidp.operator.v1.StoreService/Check",
        Role::Admin,
        Action::StoreCheck,
    ),
    rule(
        "/agentidp.operator.v1.StoreService/Compact",
        Role::Admin,
        Action::StoreCompact,
    ),
    rule(
        "/agentidp.operator.v1.BackupService/Create",
        Role::Admin,
        Action::BackupCreate,
    ),
    rule(
        "/agentidp.operator.v1.StatusService/Get",
        Role::Auditor,
        Action::StatusShow,
    ),
    rule(
        "/agentidp.operator.v1.StatusService/Count",
        Role::Auditor,
        Action::StatusShow,
    ),
    rule(
        "/grpc.health.v1.Health/Check",
        Role::Auditor,
        Action::HealthCheck,
    ),
    rule(
        "/grpc.health.v1.Health/Watch",
        Role::Auditor,
        Action::HealthCheck,
    ),
    rule(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        Role::Auditor,
        Action::ReflectionRead,
    ),
    rule(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        Role::Auditor,
        Action::ReflectionRead,
    ),
];

/// The rule of a call, if there is one.
pub(crate) fn rule_of(path: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.path == path)
}

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
    use prost::Message as _;

    use super::*;

    /// Every call of every service that the daemon serves, from the definitions that it serves
    /// them by.
    fn calls() -> BTreeSet<String> {
        let sets = [
            agentidp_proto::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut calls = BTreeSet::new();
        for set in sets {
            for file in prost_types::FileDescriptorSet::decode(set).unwrap().file {
                for service in &file.service {
                    for method in &service.method {
                        calls.insert(format!(
                            "/{}.{}/{}",
                            file.package(),
                            service.name(),
                            method.name()
                        ));
                    }
                }
            }
        }
        calls
    }

    #[test]
    fn the_table_lists_every_call_and_no_other() {
        let listed: BTreeSet<String> = RULES.iter().map(|rule| rule.path.to_owned()).collect();
        assert_eq!(listed.len(), RULES.len(), "a call is listed twice");
        assert_eq!(listed, calls());
    }

    #[test]
    fn the_security_page_lists_every_call_with_its_roles() {
        let page = include_str!("../../../docs/security.md");
        let listed: BTreeSet<&str> = page.lines().filter(|it| it.starts_with("| `")).collect();
        for rule in RULES {
            let Some(call) = rule.path.strip_prefix("/agentidp.operator.v1.") else {
                continue;
            };
            let mark = |role| if role >= rule.role { "✓" } else { "" };
            let marks = [Role::Auditor, Role::Operator, Role::Admin].map(mark);
            let row = format!("| `{call}` | {} |", marks.join(" | ")).replace("|  |", "| |");
            let row = row.replace("|  |", "| |");
            assert!(
                listed.contains(row.as_str()),
                "docs/security.md has no row\n{row}"
            );
        }
    }

    #[test]
    fn only_auditors_calls_are_without_effect() {
        for rule in RULES {
            let reads = [
                "List",
                "Get",
                "Inspect",
                "Review",
                "GetActivity",
                "Count",
                "Tail",
                "GetKey",
                "Prove",
                "GetCheckpoint",
                "ProveConsistency",
                "Export",
                "Health/Check",
                "Watch",
                "ServerReflectionInfo",
            ];
            let is_read = reads.iter().any(|name| {
                rule.path.ends_with(&format!("/{name}")) || rule.path.ends_with(&format!(".{name}"))
            });
            assert_eq!(rule.role == Role::Auditor, is_read, "{}", rule.path);
        }
    }

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
