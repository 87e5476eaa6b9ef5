//! The calls of the operators' interface, what each is asked, and how it is to end.

use agentidp_proto::v1;
use prost::Message;
use tonic::Code;

use super::rpc::{Check, Row, STANDARD, Subject};

const fn row(call: &'static str, check: Check, request: fn(&Subject) -> Vec<u8>) -> Row {
    Row {
        call,
        request,
        check,
    }
}

/// A record that is not there for the caller is not found.
const fn record(own: Code, ended: Code) -> Check {
    let none = Code::NotFound;
    Check::Record { own, ended, none }
}

/// What is answered in the same way whether there is something or not.
const ALWAYS: Check = Check::Record {
    own: Code::Ok,
    ended: Code::Ok,
    none: Code::Ok,
};

fn bytes(message: &impl Message) -> Vec<u8> {
    message.encode_to_vec()
}

fn reason() -> String {
    "the test says so".to_owned()
}

fn get_organization(organization: &str) -> Vec<u8> {
    bytes(&v1::GetOrganizationRequest {
        organization: organization.to_owned(),
    })
}

fn get_agent(agent: &str) -> Vec<u8> {
    bytes(&v1::GetAgentRequest {
        agent: agent.to_owned(),
    })
}

fn organization_transition(of: &Subject) -> Vec<u8> {
    bytes(&v1::OrganizationTransitionRequest {
        organization: of.organization.clone(),
        reason: reason(),
        revision: 0,
    })
}

fn agent_transition(of: &Subject) -> Vec<u8> {
    bytes(&v1::AgentTransitionRequest {
        agent: of.agent.clone(),
        reason: reason(),
        revision: 0,
    })
}

fn registration(of: &Subject) -> v1::RegisterAgentRequest {
    v1::RegisterAgentRequest {
        organization: of.organization.clone(),
        email: format!("{}@made.example", of.agent),
        agent_type: "screener".to_owned(),
        version: "1.0.0".to_owned(),
        owner: "team-a".to_owned(),
        deployment_env: "production".to_owned(),
        ..Default::default()
    }
}

fn many(filter: v1::AgentFilter) -> Vec<u8> {
    bytes(&v1::TransitionManyAgentsRequest {
        filter: Some(filter),
        transition: "suspend".to_owned(),
        reason: reason(),
        ..Default::default()
    })
}

fn of_organization(of: &Subject) -> v1::AgentFilter {
    v1::AgentFilter {
        organization: of.organization.clone(),
        ..Default::default()
    }
}

fn of_email(of: &Subject) -> v1::AgentFilter {
    v1::AgentFilter {
        email_prefix: of.email.clone(),
        ..Default::default()
    }
}

fn agents(filter: v1::AgentFilter) -> Vec<u8> {
    bytes(&v1::ListAgentsRequest {
        limit: 1_000,
        filter: Some(filter),
        ..Default::default()
    })
}

fn export(organization: String) -> Vec<u8> {
    bytes(&v1::ExportAuditRequest {
        organization,
        ..Default::default()
    })
}

fn entries(filter: v1::AuditFilter) -> Vec<u8> {
    bytes(&v1::ListAuditEntriesRequest {
        limit: 1_000,
        before: None,
        filter: Some(filter),
    })
}

fn tail(filter: v1::AuditFilter) -> Vec<u8> {
    bytes(&v1::TailAuditRequest {
        from: Some(0),
        filter: Some(filter),
        max_lag: 0,
    })
}

fn entries_of_agent(of: &Subject) -> v1::AuditFilter {
    v1::AuditFilter {
        agent: of.agent.clone(),
        ..Default::default()
    }
}

fn entries_of_organization(of: &Subject) -> v1::AuditFilter {
    v1::AuditFilter {
        organization: of.organization.clone(),
        ..Default::default()
    }
}

fn revoke_issued(agent: &str, credential_id: &str, organization: &str) -> Vec<u8> {
    bytes(&v1::RevokeIssuedTokensRequest {
        agent: agent.to_owned(),
        credential_id: credential_id.to_owned(),
        organization: organization.to_owned(),
        reason: reason(),
    })
}

macro_rules! operator {
    ($call:literal) => {
        concat!("/agentidp.operator.v1.", $call)
    };
}

/// An entry that is another organization's is as one that nobody made.
const ENTRY: Check = Check::Record {
    own: Code::Ok,
    ended: Code::Ok,
    none: Code::PermissionDenied,
};

/// A token that is not the caller's is none of this server's.
const TOKEN: Check = Check::Record {
    own: Code::Ok,
    ended: Code::Ok,
    none: Code::Unauthenticated,
};

/// Asks the reflection service for all services: `list_services`, the field 7, is empty.
const LIST_SERVICES: [u8; 2] = [0x3a, 0x00];

const OK: Code = Code::Ok;
const ENDED: Code = Code::FailedPrecondition;

/// All rows, in the order in which they are asked.
pub(super) const ROWS: &[Row] = &[
    row(
        operator!("OrganizationService/Create"),
        Check::Installation,
        |of| {
            bytes(&v1::CreateOrganizationRequest {
                name: of.organization_name.clone(),
                tier: String::new(),
            })
        },
    ),
    row(operator!("OrganizationService/Get"), record(OK, OK), |of| {
        get_organization(&of.organization)
    }),
    row(operator!("OrganizationService/Get"), record(OK, OK), |of| {
        get_organization(&of.organization_name)
    }),
    row(operator!("OrganizationService/List"), Check::List, |_| {
        bytes(&v1::ListOrganizationsRequest::default())
    }),
    row(
        operator!("OrganizationService/Update"),
        Check::Installation,
        |of| {
            bytes(&v1::UpdateOrganizationRequest {
                organization: of.organization.clone(),
                tier: Some("free".to_owned()),
                ..Default::default()
            })
        },
    ),
    row(
        operator!("OrganizationService/Suspend"),
        Check::Installation,
        organization_transition,
    ),
    row(
        operator!("OrganizationService/Resume"),
        Check::Installation,
        organization_transition,
    ),
    row(
        operator!("OrganizationService/Hold"),
        Check::Installation,
        organization_transition,
    ),
    row(
        operator!("OrganizationService/Release"),
        Check::Installation,
        organization_transition,
    ),
    row(operator!("AgentService/Register"), record(OK, OK), |of| {
        bytes(&registration(of))
    }),
    row(
        operator!("AgentService/RegisterMany"),
        record(OK, OK),
        |of| {
            let mut agent = registration(of);
            agent.email.insert_str(0, "many-");
            bytes(&v1::RegisterManyAgentsRequest {
                organization: of.organization_name.clone(),
                agents: vec![agent],
            })
        },
    ),
    row(operator!("AgentService/Get"), record(OK, OK), |of| {
        get_agent(&of.agent)
    }),
    row(operator!("AgentService/Get"), record(OK, OK), |of| {
        get_agent(&of.email)
    }),
    row(
        operator!("AgentService/GetActivity"),
        record(OK, OK),
        |of| get_agent(&of.agent),
    ),
    row(operator!("AgentService/List"), Check::List, |_| {
        agents(v1::AgentFilter::default())
    }),
    row(operator!("AgentService/List"), record(OK, OK), |of| {
        agents(of_organization(of))
    }),
    row(operator!("AgentService/List"), ALWAYS, |of| {
        agents(of_email(of))
    }),
    row(operator!("AgentService/Update"), record(OK, ENDED), |of| {
        bytes(&v1::UpdateAgentRequest {
            agent: of.agent.clone(),
            owner: Some("team-b".to_owned()),
            ..Default::default()
        })
    }),
    row(
        operator!("AgentService/Suspend"),
        record(OK, ENDED),
        agent_transition,
    ),
    row(
        operator!("AgentService/Resume"),
        record(OK, ENDED),
        agent_transition,
    ),
    row(
        operator!("AgentService/Revoke"),
        record(OK, ENDED),
        agent_transition,
    ),
    row(
        operator!("AgentService/Decommission"),
        record(OK, ENDED),
        agent_transition,
    ),
    row(
        operator!("AgentService/Archive"),
        record(ENDED, OK),
        agent_transition,
    ),
    row(operator!("AgentService/TransitionMany"), ALWAYS, |of| {
        many(of_email(of))
    }),
    row(
        operator!("CredentialService/Issue"),
        record(OK, ENDED),
        |of| {
            bytes(&v1::IssueCredentialRequest {
                agent: of.agent.clone(),
                ..Default::default()
            })
        },
    ),
    row(
        operator!("CredentialService/Rotate"),
        record(OK, ENDED),
        |of| {
            bytes(&v1::RotateCredentialRequest {
                credential_id: of.credential.clone(),
                ..Default::default()
            })
        },
    ),
    row(
        operator!("CredentialService/Revoke"),
        record(OK, OK),
        |of| {
            bytes(&v1::RevokeCredentialRequest {
                credential_id: of.credential.clone(),
                reason: reason(),
                revision: 0,
            })
        },
    ),
    row(operator!("CredentialService/List"), record(OK, OK), |of| {
        bytes(&v1::ListCredentialsRequest {
            agent: of.agent.clone(),
        })
    }),
    row(operator!("CredentialService/Get"), record(OK, OK), |of| {
        bytes(&v1::GetCredentialRequest {
            credential_id: of.credential.clone(),
        })
    }),
    row(operator!("CredentialService/Review"), Check::List, |_| {
        bytes(&v1::ReviewCredentialsRequest {
            kind: "never_used".to_owned(),
            limit: 1_000,
            ..v1::ReviewCredentialsRequest::default()
        })
    }),
    row(operator!("TokenService/Inspect"), ALWAYS, |of| {
        bytes(&v1::InspectTokenRequest {
            token: of.token.clone(),
        })
    }),
    row(operator!("TokenService/Revoke"), TOKEN, |of| {
        bytes(&v1::RevokeTokenRequest {
            token: of.token.clone(),
            jti: String::new(),
            reason: reason(),
        })
    }),
    row(operator!("TokenService/Revoke"), TOKEN, |of| {
        bytes(&v1::RevokeTokenRequest {
            token: String::new(),
            jti: of.jti.clone(),
            reason: reason(),
        })
    }),
    row(
        operator!("TokenService/RevokeIssued"),
        record(OK, OK),
        |of| revoke_issued(&of.agent, "", ""),
    ),
    row(
        operator!("TokenService/RevokeIssued"),
        record(OK, OK),
        |of| revoke_issued(&of.email, "", ""),
    ),
    row(
        operator!("TokenService/RevokeIssued"),
        record(OK, OK),
        |of| revoke_issued("", &of.credential, ""),
    ),
    row(operator!("SigningKeyService/List"), Check::Public, |_| {
        bytes(&v1::ListSigningKeysRequest {})
    }),
    row(
        operator!("SigningKeyService/Rotate"),
        Check::Installation,
        |_| {
            bytes(&v1::RotateSigningKeyRequest {
                reason: reason(),
                ..Default::default()
            })
        },
    ),
    row(operator!("AuditService/List"), Check::List, |_| {
        entries(v1::AuditFilter::default())
    }),
    row(operator!("AuditService/List"), record(OK, OK), |of| {
        entries(entries_of_agent(of))
    }),
    row(operator!("AuditService/List"), record(OK, OK), |of| {
        entries(entries_of_organization(of))
    }),
    row(operator!("AuditService/Tail"), Check::List, |_| {
        tail(v1::AuditFilter::default())
    }),
    row(operator!("AuditService/Tail"), record(OK, OK), |of| {
        tail(entries_of_agent(of))
    }),
    row(operator!("AuditService/Tail"), record(OK, OK), |of| {
        tail(entries_of_organization(of))
    }),
    row(operator!("ChangeService/Watch"), Check::List, |_| {
        bytes(&v1::WatchChangesRequest { after: Some(0) })
    }),
    row(operator!("AuditService/GetKey"), Check::Public, |_| {
        bytes(&v1::GetAuditKeyRequest {})
    }),
    row(
        operator!("AuditService/GetCheckpoint"),
        Check::Public,
        |_| bytes(&v1::GetAuditCheckpointRequest {}),
    ),
    row(
        operator!("AuditService/ProveConsistency"),
        Check::Public,
        |_| bytes(&v1::ProveAuditConsistencyRequest { from: 1, to: None }),
    ),
    // The first entry is the installation's.
    row(operator!("AuditService/Prove"), Check::Installation, |_| {
        bytes(&v1::ProveAuditEntryRequest { seq: 0 })
    }),
    row(operator!("AuditService/Prove"), ENTRY, |of| {
        bytes(&v1::ProveAuditEntryRequest { seq: of.seq })
    }),
    row(
        operator!("AuditService/Export"),
        Check::Installation,
        |_| export(String::new()),
    ),
    row(operator!("AuditService/Export"), record(OK, OK), |of| {
        export(of.organization.clone())
    }),
    // There is nothing as old, and still somebody asked.
    row(operator!("AuditService/Prune"), Check::Installation, |_| {
        bytes(&v1::PruneAuditRequest {
            reason: reason(),
            ..Default::default()
        })
    }),
    row(operator!("StoreService/Check"), Check::Installation, |_| {
        bytes(&v1::CheckStoreRequest {})
    }),
    row(
        operator!("StoreService/Compact"),
        Check::Installation,
        |_| bytes(&v1::CompactStoreRequest {}),
    ),
    row(
        operator!("BackupService/Create"),
        Check::Installation,
        |_| bytes(&v1::CreateBackupRequest { reason: reason() }),
    ),
    row(operator!("StatusService/Get"), Check::Public, |_| {
        bytes(&v1::GetStatusRequest {})
    }),
    row(operator!("StatusService/Count"), Check::Public, |_| {
        bytes(&v1::CountRequest {})
    }),
    row(STANDARD[0], Check::Public, |_| Vec::new()),
    row(STANDARD[1], Check::Public, |_| Vec::new()),
    row(STANDARD[2], Check::Public, |_| LIST_SERVICES.to_vec()),
    row(STANDARD[3], Check::Public, |_| LIST_SERVICES.to_vec()),
    // What touches all agents of the organization comes last.
    row(
        operator!("AgentService/TransitionMany"),
        record(OK, OK),
        |of| many(of_organization(of)),
    ),
    row(
        operator!("TokenService/RevokeIssued"),
        record(OK, OK),
        |of| revoke_issued("", "", &of.organization),
    ),
];
