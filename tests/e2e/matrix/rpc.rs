//! Tenant isolation, call by call: for an operator of one organization, what belongs to another is
//! answered byte for byte like what does not exist.
//!
//! The calls are those of the definitions. One without a row here fails the test, and so does a row
//! without a call.

use std::collections::BTreeSet;

use agentidp_proto::{FILE_DESCRIPTOR_SET, v1};
use agentidp_tests::{Client, Installation, Registration, Role, TestDaemon};
use prost::Message;
use prost_types::FileDescriptorSet;
use serde_json::Value;
use tonic::Code;

use super::raw::{Answer, Operator};

/// The calls that are others' definitions.
const STANDARD: [&str; 4] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// What is asked for, seen from the caller.
#[derive(Debug, Clone)]
struct Subject {
    organization: String,
    organization_name: String,
    agent: String,
    email: String,
    credential: String,
    token: String,
    jti: String,
}

/// What a row does with its call.
#[derive(Debug, Clone, Copy)]
enum Check {
    /// It names a record: how it ends for the caller's own, for the caller's own that has ended, and
    /// for what is not the caller's or is not at all.
    Record { own: Code, ended: Code, none: Code },
    /// It lists what there is: the caller's own, and nothing of another organization.
    List,
    /// It is about the installation: refused, whatever it names.
    Installation,
    /// It names nothing, and tells nothing of another organization.
    Public,
}

struct Row {
    call: &'static str,
    request: fn(&Subject) -> Vec<u8>,
    check: Check,
}

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

fn bytes(message: impl Message) -> Vec<u8> {
    message.encode_to_vec()
}

fn reason() -> String {
    "the test says so".to_owned()
}

fn organization_transition(of: &Subject) -> Vec<u8> {
    bytes(v1::OrganizationTransitionRequest {
        organization: of.organization.clone(),
        reason: reason(),
        revision: 0,
    })
}

fn agent_transition(of: &Subject) -> Vec<u8> {
    bytes(v1::AgentTransitionRequest {
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
    bytes(v1::TransitionManyAgentsRequest {
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
    bytes(v1::ListAgentsRequest {
        limit: 1_000,
        filter: Some(filter),
        ..Default::default()
    })
}

fn entries(filter: v1::AuditFilter) -> Vec<u8> {
    bytes(v1::ListAuditEntriesRequest {
        limit: 1_000,
        before: None,
        filter: Some(filter),
    })
}

fn tail(filter: v1::AuditFilter) -> Vec<u8> {
    bytes(v1::TailAuditRequest {
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

fn revoke_issued(
    fill: impl FnOnce(&mut v1::RevokeIssuedTokensRequest),
) -> v1::RevokeIssuedTokensRequest {
    let mut request = v1::RevokeIssuedTokensRequest {
        reason: reason(),
        ..Default::default()
    };
    fill(&mut request);
    request
}

macro_rules! operator {
    ($call:literal) => {
        concat!("/agentidp.operator.v1.", $call)
    };
}

const OK: Code = Code::Ok;
const ENDED: Code = Code::FailedPrecondition;

const ROWS: &[Row] = &[
    row(
        operator!("OrganizationService/Create"),
        Check::Installation,
        |of| {
            bytes(v1::CreateOrganizationRequest {
                name: of.organization_name.clone(),
                tier: String::new(),
            })
        },
    ),
    row(operator!("OrganizationService/Get"), record(OK, OK), |of| {
        bytes(v1::GetOrganizationRequest {
            organization: of.organization.clone(),
        })
    }),
    row(operator!("OrganizationService/Get"), record(OK, OK), |of| {
        bytes(v1::GetOrganizationRequest {
            organization: of.organization_name.clone(),
        })
    }),
    row(operator!("OrganizationService/List"), Check::List, |_| {
        bytes(v1::ListOrganizationsRequest::default())
    }),
    row(
        operator!("OrganizationService/Update"),
        Check::Installation,
        |of| {
            bytes(v1::UpdateOrganizationRequest {
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
    row(operator!("AgentService/Register"), record(OK, OK), |of| {
        bytes(registration(of))
    }),
    row(
        operator!("AgentService/RegisterMany"),
        record(OK, OK),
        |of| {
            let mut agent = registration(of);
            agent.email.insert_str(0, "many-");
            bytes(v1::RegisterManyAgentsRequest {
                organization: of.organization_name.clone(),
                agents: vec![agent],
            })
        },
    ),
    row(operator!("AgentService/Get"), record(OK, OK), |of| {
        bytes(v1::GetAgentRequest {
            agent: of.agent.clone(),
        })
    }),
    row(operator!("AgentService/Get"), record(OK, OK), |of| {
        bytes(v1::GetAgentRequest {
            agent: of.email.clone(),
        })
    }),
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
        bytes(v1::UpdateAgentRequest {
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
            bytes(v1::IssueCredentialRequest {
                agent: of.agent.clone(),
                ..Default::default()
            })
        },
    ),
    row(
        operator!("CredentialService/Rotate"),
        record(OK, ENDED),
        |of| {
            bytes(v1::RotateCredentialRequest {
                credential_id: of.credential.clone(),
                ..Default::default()
            })
        },
    ),
    row(
        operator!("CredentialService/Revoke"),
        record(OK, OK),
        |of| {
            bytes(v1::RevokeCredentialRequest {
                credential_id: of.credential.clone(),
                reason: reason(),
                revision: 0,
            })
        },
    ),
    row(operator!("CredentialService/List"), record(OK, OK), |of| {
        bytes(v1::ListCredentialsRequest {
            agent: of.agent.clone(),
        })
    }),
    row(operator!("CredentialService/Get"), record(OK, OK), |of| {
        bytes(v1::GetCredentialRequest {
            credential_id: of.credential.clone(),
        })
    }),
    row(operator!("TokenService/Inspect"), ALWAYS, |of| {
        bytes(v1::InspectTokenRequest {
            token: of.token.clone(),
        })
    }),
    row(operator!("TokenService/Revoke"), TOKEN, |of| {
        bytes(v1::RevokeTokenRequest {
            token: of.token.clone(),
            jti: String::new(),
            reason: reason(),
        })
    }),
    row(operator!("TokenService/Revoke"), TOKEN, |of| {
        bytes(v1::RevokeTokenRequest {
            token: String::new(),
            jti: of.jti.clone(),
            reason: reason(),
        })
    }),
    row(
        operator!("TokenService/RevokeIssued"),
        record(OK, OK),
        |of| bytes(revoke_issued(|it| it.agent = of.agent.clone())),
    ),
    row(
        operator!("TokenService/RevokeIssued"),
        record(OK, OK),
        |of| bytes(revoke_issued(|it| it.agent = of.email.clone())),
    ),
    row(
        operator!("TokenService/RevokeIssued"),
        record(OK, OK),
        |of| bytes(revoke_issued(|it| it.credential_id = of.credential.clone())),
    ),
    row(operator!("SigningKeyService/List"), Check::Public, |_| {
        bytes(v1::ListSigningKeysRequest {})
    }),
    row(
        operator!("SigningKeyService/Rotate"),
        Check::Installation,
        |_| {
            bytes(v1::RotateSigningKeyRequest {
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
    row(operator!("StatusService/Get"), Check::Public, |_| {
        bytes(v1::GetStatusRequest {})
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
        |of| {
            bytes(revoke_issued(|it| {
                it.organization = of.organization.clone()
            }))
        },
    ),
];

/// A token that is not the caller's is none of this server's.
const TOKEN: Check = Check::Record {
    own: Code::Ok,
    ended: Code::Ok,
    none: Code::Unauthenticated,
};

/// Asks the reflection service for all services: `list_services`, the field 7, is empty.
const LIST_SERVICES: [u8; 2] = [0x3a, 0x00];

/// What does not exist, in the form of what does.
fn absent() -> Subject {
    Subject {
        organization: "0193f2c4-0000-7000-8000-000000009b1f".to_owned(),
        organization_name: "nowhere".to_owned(),
        agent: "0193f2c4-0000-7000-8000-000000009b20".to_owned(),
        email: "nobody@nowhere.example".to_owned(),
        credential: "0193f2c4-0000-7000-8000-000000009b21".to_owned(),
        token: "e30.e30.AA".to_owned(),
        jti: "0193f2c4-0000-7000-8000-000000009b22".to_owned(),
    }
}

/// A new agent of an organization, with everything that belongs to it.
fn subject(daemon: &TestDaemon, organization: &Value, name: &str) -> Subject {
    let organization_name = organization["name"].as_str().unwrap().to_owned();
    let email = format!("{name}@{organization_name}.example");
    let client: Client = daemon.enrol(&Registration::new(&email).of(&organization_name));
    let token = client.token(&[]).token();
    Subject {
        organization: organization["id"].as_str().unwrap().to_owned(),
        organization_name,
        agent: client.id,
        email,
        credential: client.credential,
        jti: Client::claims(&token)["jti"].as_str().unwrap().to_owned(),
        token,
    }
}

/// An agent that has ended and is hidden.
fn ended(daemon: &TestDaemon, organization: &Value, name: &str) -> Subject {
    let subject = subject(daemon, organization, name);
    daemon.change("decommission", &subject.agent);
    daemon.change("archive", &subject.agent);
    subject
}

/// All that an admin sees of another organization.
fn picture(daemon: &TestDaemon, foreign: &[Subject]) -> Vec<Value> {
    let cli = daemon.cli();
    let name = &foreign[0].organization_name;
    let mut all = vec![cli.json(&["org", "show", name, "-o", "json"])];
    all.extend(cli.ndjson(&["agent", "list", "--org", name, "-o", "ndjson"]));
    for it in foreign {
        all.push(cli.json(&["agent", "show", &it.agent, "-o", "json"]));
        all.extend(cli.ndjson(&["credential", "list", &it.agent, "-o", "ndjson"]));
        let file = daemon.installation.directory().join("token");
        std::fs::write(&file, &it.token).unwrap();
        all.push(cli.json(&["token", "inspect", file.to_str().unwrap(), "-o", "json"]));
    }
    all
}

/// The user who runs the test, with a role for these organizations, or for all.
fn with_role(
    mut installation: Installation,
    role: &'static str,
    organizations: Option<&str>,
) -> TestDaemon {
    let users = installation.config.roles[0].users.clone();
    installation.config.roles = vec![Role {
        role,
        users,
        groups: Vec::new(),
        organizations: organizations.map(|it| vec![it.to_owned()]),
    }];
    installation.start()
}

#[test]
fn every_call_answers_for_another_organization_s_as_for_what_does_not_exist() {
    assert_every_call_has_a_row();
    let daemon = TestDaemon::start();
    let (own, other) = (daemon.organization("acme"), daemon.organization("other"));
    let own: Vec<_> = (0..ROWS.len())
        .map(|number| {
            (
                subject(&daemon, &own, &format!("own-{number}")),
                ended(&daemon, &own, &format!("ended-{number}")),
            )
        })
        .collect();
    let foreign = [
        subject(&daemon, &other, "live"),
        ended(&daemon, &other, "ended"),
    ];
    let before = picture(&daemon, &foreign);

    let (installation, _) = daemon.stop();
    let daemon = with_role(installation, "operator", Some("acme"));
    let operator = Operator::connect(&daemon.installation.config.socket);
    for (row, (own, ended)) in ROWS.iter().zip(&own) {
        check(&operator, row, own, ended, &foreign);
    }
    drop(operator);

    let (installation, _) = daemon.stop();
    let daemon = with_role(installation, "admin", None);
    assert_eq!(picture(&daemon, &foreign), before, "nothing has changed");
}

fn assert_every_call_has_a_row() {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let mut calls: BTreeSet<String> = STANDARD.iter().map(ToString::to_string).collect();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                let (package, service) = (file.package(), service.name());
                calls.insert(format!("/{package}.{service}/{}", method.name()));
            }
        }
    }
    let rows: BTreeSet<String> = ROWS.iter().map(|row| row.call.to_owned()).collect();
    assert_eq!(rows, calls, "rows, and calls");
}

fn check(operator: &Operator, row: &Row, own: &Subject, ended: &Subject, foreign: &[Subject; 2]) {
    let ask = |what: &str, subject: &Subject, expected: Code| {
        let request = (row.request)(subject);
        let message = String::from_utf8_lossy(&request).into_owned();
        let answer = operator.call(row.call, request);
        let text = answer.text();
        assert_eq!(
            answer.code, expected,
            "{} {what} {message}: {text}",
            row.call
        );
        assert_nothing_foreign(row, &answer, foreign);
        answer
    };
    let none = match row.check {
        Check::Public => {
            let _ = ask("public", own, Code::Ok);
            return;
        }
        Check::List => {
            let answer = ask("list", own, Code::Ok);
            let text = answer.text();
            let lists = text.contains(&own.agent) || text.contains(&own.organization_name);
            assert!(lists, "{} lists one's own: {text}", row.call);
            return;
        }
        Check::Installation => {
            let _ = ask("own", own, Code::PermissionDenied);
            Code::PermissionDenied
        }
        Check::Record {
            own: mine,
            ended: gone,
            none,
        } => {
            let _ = ask("own", own, mine);
            let _ = ask("ended", ended, gone);
            none
        }
    };
    let absent = ask("absent", &absent(), none);
    for foreign in foreign {
        assert_eq!(ask("foreign", foreign, none), absent, "{}", row.call);
    }
}

/// Fails the test when anything of the other organization is in an answer.
fn assert_nothing_foreign(row: &Row, answer: &Answer, foreign: &[Subject]) {
    let text = answer.text();
    for it in foreign {
        for secret in [
            &it.organization,
            &it.agent,
            &it.credential,
            &it.jti,
            &it.email,
        ] {
            assert!(
                !text.contains(secret),
                "{} tells {secret}: {text}",
                row.call
            );
        }
    }
}
