//! Who may call what: the table of calls, and the roles of users.

use std::sync::Arc;

use agentidp_shared::{Action, Role};

use super::peer::Peer;
use crate::config::RoleMapping;

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
        "/agentidp.operator.v1.OrganizationService/List",
        Role::Auditor,
        Action::OrganizationList,
    ),
    rule(
        "/agentidp.operator.v1.AgentService/Register",
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
        "/agentidp.operator.v1.StatusService/Get",
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

    /// The highest role that `peer` has.
    pub(crate) fn role_of(&self, peer: &Peer) -> Option<Role> {
        let has = |mapping: &&RoleMapping| {
            mapping.users.iter().any(|user| peer.is_user(user))
                || mapping.groups.iter().any(|group| peer.is_in(group))
        };
        self.0.iter().filter(has).map(|mapping| mapping.role).max()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
    fn only_auditors_calls_are_without_effect() {
        for rule in RULES {
            let reads = [
                "List",
                "Get",
                "Tail",
                "Check",
                "Watch",
                "ServerReflectionInfo",
            ];
            let is_read = reads
                .iter()
                .any(|name| rule.path.ends_with(&format!("/{name}")));
            assert_eq!(rule.role == Role::Auditor, is_read, "{}", rule.path);
        }
    }
}
