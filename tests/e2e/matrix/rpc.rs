//! Tenant isolation, call by call: for an operator of one organization, what belongs to another is
//! answered byte for byte like what does not exist.
//!
//! The calls are those of the definitions. One without a row here fails the test, and so does a row
//! without a call.

use std::collections::BTreeSet;

use agentidp_proto::FILE_DESCRIPTOR_SET;
use agentidp_tests::{Client, Installation, Registration, Role, TestDaemon};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use serde_json::Value;
use tonic::Code;

use super::calls::ROWS;
use super::raw::{Answer, Operator};

/// The calls that are others' definitions.
pub(super) const STANDARD: [&str; 4] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// What is asked for, seen from the caller.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) organization: String,
    pub(super) organization_name: String,
    pub(super) agent: String,
    pub(super) email: String,
    pub(super) credential: String,
    /// Another one, which was never used.
    pub(super) unused: String,
    pub(super) token: String,
    pub(super) jti: String,
    /// The number of an entry about the agent.
    pub(super) seq: u64,
}

/// What a row does with its call.
#[derive(Debug, Clone, Copy)]
pub(super) enum Check {
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

/// A call, what it is asked, and how it is to end.
pub(super) struct Row {
    pub(super) call: &'static str,
    pub(super) request: fn(&Subject) -> Vec<u8>,
    pub(super) check: Check,
}

/// What does not exist, in the form of what does.
fn absent() -> Subject {
    Subject {
        organization: "0193f2c4-0000-7000-8000-000000009b1f".to_owned(),
        organization_name: "nowhere".to_owned(),
        agent: "0193f2c4-0000-7000-8000-000000009b20".to_owned(),
        email: "nobody@nowhere.example".to_owned(),
        credential: "0193f2c4-0000-7000-8000-000000009b21".to_owned(),
        unused: "0193f2c4-0000-7000-8000-000000009b23".to_owned(),
        token: "e30.e30.AA".to_owned(),
        jti: "0193f2c4-0000-7000-8000-000000009b22".to_owned(),
        seq: 4_000_000_000,
    }
}

/// A new agent of an organization, with everything that belongs to it.
pub(super) fn subject(daemon: &TestDaemon, organization: &Value, name: &str) -> Subject {
    let organization_name = organization["name"].as_str().unwrap().to_owned();
    let email = format!("{name}@{organization_name}.example");
    let client: Client = daemon.enrol(&Registration::new(&email).of(&organization_name));
    let token = client.token(&[]).token();
    let unused = daemon.issue(&email, &[]).credential;
    let list = [
        "audit", "list", "--agent", &email, "--limit", "1", "-o", "ndjson",
    ];
    let seq = daemon.cli().ndjson(&list)[0]["seq"].as_u64().unwrap();
    Subject {
        organization: organization["id"].as_str().unwrap().to_owned(),
        organization_name,
        agent: client.id,
        email,
        credential: client.credential,
        unused,
        jti: Client::claims(&token)["jti"].as_str().unwrap().to_owned(),
        token,
        seq,
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

/// Where a row succeeds for one who may do everything: on an agent of one's own that is served, or on one
/// that has ended.
pub(super) fn takes_what_has_ended(row: &Row) -> bool {
    matches!(row.check, Check::Record { own, .. } if own != Code::Ok)
}

/// The user who runs the test, with a role for these organizations, or for all.
pub(crate) fn with_role(
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
            &it.unused,
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
