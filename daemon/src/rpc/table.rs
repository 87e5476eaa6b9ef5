//! The table of calls: who may make which. `policy` says who has which role.

use agentidp_shared::{Action, Role};

/// What a call takes, and what it is in the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The call's path in HTTP/2.
    pub(crate) path: &'static str,
    /// The least role that may call it.
    pub(crate) role: Role,
    /// What it is in the audit log.
    pub(crate) action: Action,
    /// Whether it changes nothing: then it is counted, and what changes something has its entry from whoever
    /// changed it.
    pub(crate) is_read: bool,
}

const fn read(path: &'static str, role: Role, action: Action) -> Rule {
    Rule {
        path,
        role,
        action,
        is_read: true,
    }
}

const fn change(path: &'static str, role: Role, action: Action) -> Rule {
    Rule {
        path,
        role,
        action,
        is_read: false,
    }
}

/// Every call that can be made. What is not here is refused.
pub(crate) const RULES: &[Rule] = &[
    change(
        "/agentidp.operator.v1.OrganizationService/Create",
        Role::Admin,
        Action::OrganizationCreate,
    ),
    read(
        "/agentidp.operator.v1.OrganizationService/Get",
        Role::Auditor,
        Action::OrganizationShow,
    ),
    read(
        "/agentidp.operator.v1.OrganizationService/List",
        Role::Auditor,
        Action::OrganizationList,
    ),
    change(
        "/agentidp.operator.v1.OrganizationService/Update",
        Role::Admin,
        Action::OrganizationUpdate,
    ),
    change(
        "/agentidp.operator.v1.OrganizationService/Suspend",
        Role::Admin,
        Action::OrganizationSuspend,
    ),
    change(
        "/agentidp.operator.v1.OrganizationService/Resume",
        Role::Admin,
        Action::OrganizationResume,
    ),
    change(
        "/agentidp.operator.v1.OrganizationService/Hold",
        Role::Admin,
        Action::OrganizationHold,
    ),
    change(
        "/agentidp.operator.v1.OrganizationService/Release",
        Role::Admin,
        Action::OrganizationRelease,
    ),
    change(
        "/agentidp.operator.v1.AgentService/Register",
        Role::Operator,
        Action::AgentRegister,
    ),
    change(
        "/agentidp.operator.v1.AgentService/RegisterMany",
        Role::Operator,
        Action::AgentRegister,
    ),
    read(
        "/agentidp.operator.v1.AgentService/Get",
        Role::Auditor,
        Action::AgentShow,
    ),
    read(
        "/agentidp.operator.v1.AgentService/List",
        Role::Auditor,
        Action::AgentList,
    ),
    read(
        "/agentidp.operator.v1.AgentService/GetActivity",
        Role::Auditor,
        Action::AgentShow,
    ),
    change(
        "/agentidp.operator.v1.AgentService/Update",
        Role::Operator,
        Action::AgentUpdate,
    ),
    change(
        "/agentidp.operator.v1.AgentService/Suspend",
        Role::Operator,
        Action::AgentSuspend,
    ),
    change(
        "/agentidp.operator.v1.AgentService/Resume",
        Role::Operator,
        Action::AgentResume,
    ),
    change(
        "/agentidp.operator.v1.AgentService/Revoke",
        Role::Operator,
        Action::AgentRevoke,
    ),
    change(
        "/agentidp.operator.v1.AgentService/Decommission",
        Role::Operator,
        Action::AgentDecommission,
    ),
    change(
        "/agentidp.operator.v1.AgentService/Archive",
        Role::Operator,
        Action::AgentArchive,
    ),
    change(
        "/agentidp.operator.v1.AgentService/TransitionMany",
        Role::Operator,
        Action::AgentTransitionMany,
    ),
    change(
        "/agentidp.operator.v1.CredentialService/Issue",
        Role::Operator,
        Action::CredentialIssue,
    ),
    change(
        "/agentidp.operator.v1.CredentialService/Rotate",
        Role::Operator,
        Action::CredentialRotate,
    ),
    change(
        "/agentidp.operator.v1.CredentialService/Revoke",
        Role::Operator,
        Action::CredentialRevoke,
    ),
    read(
        "/agentidp.operator.v1.CredentialService/List",
        Role::Auditor,
        Action::CredentialList,
    ),
    read(
        "/agentidp.operator.v1.CredentialService/Get",
        Role::Auditor,
        Action::CredentialShow,
    ),
    read(
        "/agentidp.operator.v1.CredentialService/Review",
        Role::Auditor,
        Action::CredentialList,
    ),
    read(
        "/agentidp.operator.v1.TokenService/Inspect",
        Role::Auditor,
        Action::TokenIntrospect,
    ),
    change(
        "/agentidp.operator.v1.TokenService/Revoke",
        Role::Operator,
        Action::TokenRevoke,
    ),
    change(
        "/agentidp.operator.v1.TokenService/RevokeIssued",
        Role::Operator,
        Action::TokenRevoke,
    ),
    read(
        "/agentidp.operator.v1.SigningKeyService/List",
        Role::Auditor,
        Action::KeyList,
    ),
    change(
        "/agentidp.operator.v1.SigningKeyService/Rotate",
        Role::Admin,
        Action::KeyRotate,
    ),
    read(
        "/agentidp.operator.v1.AuditService/List",
        Role::Auditor,
        Action::AuditList,
    ),
    read(
        "/agentidp.operator.v1.AuditService/Tail",
        Role::Auditor,
        Action::AuditTail,
    ),
    read(
        "/agentidp.operator.v1.AuditService/GetKey",
        Role::Auditor,
        Action::AuditKey,
    ),
    read(
        "/agentidp.operator.v1.AuditService/Prove",
        Role::Auditor,
        Action::AuditProve,
    ),
    read(
        "/agentidp.operator.v1.AuditService/GetCheckpoint",
        Role::Auditor,
        Action::AuditCheckpoint,
    ),
    read(
        "/agentidp.operator.v1.AuditService/ProveConsistency",
        Role::Auditor,
        Action::AuditConsistency,
    ),
    read(
        "/agentidp.operator.v1.AuditService/Export",
        Role::Auditor,
        Action::AuditExport,
    ),
    change(
        "/agentidp.operator.v1.AuditService/Prune",
        Role::Admin,
        Action::AuditPrune,
    ),
    read(
        "/agentidp.operator.v1.ChangeService/Watch",
        Role::Auditor,
        Action::ChangeWatch,
    ),
    change(
        "/agentidp.operator.v1.StoreService/Check",
        Role::Admin,
        Action::StoreCheck,
    ),
    change(
        "/agentidp.operator.v1.StoreService/Compact",
        Role::Admin,
        Action::StoreCompact,
    ),
    change(
        "/agentidp.operator.v1.BackupService/Create",
        Role::Admin,
        Action::BackupCreate,
    ),
    read(
        "/agentidp.operator.v1.StatusService/Get",
        Role::Auditor,
        Action::StatusShow,
    ),
    read(
        "/agentidp.operator.v1.StatusService/Count",
        Role::Auditor,
        Action::StatusShow,
    ),
    read(
        "/grpc.health.v1.Health/Check",
        Role::Auditor,
        Action::HealthCheck,
    ),
    read(
        "/grpc.health.v1.Health/Watch",
        Role::Auditor,
        Action::HealthCheck,
    ),
    read(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        Role::Auditor,
        Action::ReflectionRead,
    ),
    read(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        Role::Auditor,
        Action::ReflectionRead,
    ),
];

/// The rule of a call, if there is one.
pub(crate) fn rule_of(path: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.path == path)
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
    fn auditors_read_and_change_nothing() {
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
            assert_eq!(rule.is_read, is_read, "{}", rule.path);
            assert!(rule.is_read || rule.role > Role::Auditor, "{}", rule.path);
        }
    }
}
