//! What a call is about, as its message names it: so that what came to nothing is in the audit log with the
//! record that somebody wanted.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use agentidp_shared::TargetKind::{self, Agent, Credential, Organization};
use hyper::body::Body as _;
use prost::Message as _;
use tonic::body::Body;

use crate::service::about::About;

/// The calls that are about one record, and of which kind the records are that the first fields of their
/// messages name.
const NAMES: &[(&str, &[TargetKind])] = &[
    ("OrganizationService/Get", &[Organization]),
    ("OrganizationService/Update", &[Organization]),
    ("OrganizationService/Suspend", &[Organization]),
    ("OrganizationService/Resume", &[Organization]),
    ("OrganizationService/Hold", &[Organization]),
    ("OrganizationService/Release", &[Organization]),
    ("AgentService/Register", &[Organization]),
    ("AgentService/RegisterMany", &[Organization]),
    ("AgentService/Get", &[Agent]),
    ("AgentService/GetActivity", &[Agent]),
    ("AgentService/Update", &[Agent]),
    ("AgentService/Suspend", &[Agent]),
    ("AgentService/Resume", &[Agent]),
    ("AgentService/Revoke", &[Agent]),
    ("AgentService/Decommission", &[Agent]),
    ("AgentService/Archive", &[Agent]),
    ("CredentialService/Issue", &[Agent]),
    ("CredentialService/List", &[Agent]),
    ("CredentialService/Rotate", &[Credential]),
    ("CredentialService/Revoke", &[Credential]),
    ("CredentialService/Get", &[Credential]),
    (
        "TokenService/RevokeIssued",
        &[Agent, Credential, Organization],
    ),
    ("AuditService/Export", &[Organization]),
];

/// The most bytes of a message that is refused and read nevertheless, and how long it is waited for.
const MOST: usize = 64 * 1_024;
const PATIENCE: Duration = Duration::from_secs(1);

/// A message whose first field is a text.
#[derive(prost::Message)]
struct One {
    #[prost(string, tag = "1")]
    first: String,
}

/// A message whose first three fields are.
#[derive(prost::Message)]
struct Three {
    #[prost(string, tag = "1")]
    first: String,
    #[prost(string, tag = "2")]
    second: String,
    #[prost(string, tag = "3")]
    third: String,
}

/// What a call is about, as soon as its message has been read.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    kinds: &'static [TargetKind],
    about: Arc<OnceLock<About>>,
}

impl Asked {
    /// Of the call of `path`, if it is about one record.
    pub(super) fn of(path: &str) -> Option<Self> {
        let call = path.strip_prefix("/agentidp.operator.v1.")?;
        let (_, kinds) = NAMES.iter().find(|(name, _)| *name == call)?;
        Some(Self {
            kinds,
            about: Arc::default(),
        })
    }

    /// Notes what the message names.
    pub(super) fn note(&self, message: &[u8]) {
        if let Some(about) = about(self.kinds, message) {
            // The first is what counts.
            let _ = self.about.set(about);
        }
    }

    /// Reads the message of a call that goes no further. A client that does not send it is not waited for.
    pub(super) async fn read(&self, body: Body) {
        if let Ok(Some(message)) = tokio::time::timeout(PATIENCE, message(body)).await {
            self.note(&message);
        }
    }

    /// What was noted.
    pub(super) fn about(&self) -> Option<&About> {
        self.about.get()
    }
}

fn about(kinds: &[TargetKind], message: &[u8]) -> Option<About> {
    let names = if kinds.len() == 1 {
        vec![One::decode(message).ok()?.first]
    } else {
        let it = Three::decode(message).ok()?;
        vec![it.first, it.second, it.third]
    };
    let mut both = kinds.iter().zip(names);
    let (kind, name) = both.find(|(_, name)| !name.is_empty())?;
    Some(About { kind: *kind, name })
}

/// The first message of a body, in gRPC's frame: 0, since it is not compressed, and its length in four bytes.
async fn message(mut body: Body) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        if let Some((head, rest)) = bytes.split_first_chunk::<5>() {
            let [0, length @ ..] = *head else { return None };
            let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
            if let Some(message) = rest.get(..length) {
                return Some(message.to_vec());
            }
        }
        let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context));
        let data = frame.await?.ok()?.into_data().ok()?;
        if bytes.len() + data.len() > MOST {
            return None;
        }
        bytes.extend_from_slice(&data);
    }
}

#[cfg(test)]
mod tests {
    use agentidp_proto::v1;

    use super::super::table::rule_of;
    use super::*;

    fn named(path: &str, message: &impl prost::Message) -> Option<(TargetKind, String)> {
        let asked = Asked::of(&format!("/agentidp.operator.v1.{path}")).unwrap();
        asked.note(&message.encode_to_vec());
        asked.about().map(|it| (it.kind, it.name.clone()))
    }

    #[test]
    fn every_call_in_the_table_is_one_that_there_is() {
        for (name, _) in NAMES {
            assert!(
                rule_of(&format!("/agentidp.operator.v1.{name}")).is_some(),
                "{name}"
            );
        }
    }

    #[test]
    fn a_message_names_its_record() {
        let hold = v1::OrganizationTransitionRequest {
            organization: "acme".to_owned(),
            reason: "a case".to_owned(),
            revision: 3,
        };
        let acme = Some((Organization, "acme".to_owned()));
        assert_eq!(named("OrganizationService/Hold", &hold), acme);
        let mut tokens = v1::RevokeIssuedTokensRequest {
            organization: "acme".to_owned(),
            reason: "a case".to_owned(),
            ..v1::RevokeIssuedTokensRequest::default()
        };
        assert_eq!(named("TokenService/RevokeIssued", &tokens), acme);
        tokens.credential_id = "c".to_owned();
        let credential = Some((Credential, "c".to_owned()));
        assert_eq!(named("TokenService/RevokeIssued", &tokens), credential);
        let all = v1::ExportAuditRequest::default();
        assert_eq!(named("AuditService/Export", &all), None);
        assert!(Asked::of("/agentidp.operator.v1.StatusService/Get").is_none());
    }

    #[tokio::test]
    async fn the_message_of_a_call_that_is_refused_is_read_and_not_waited_for() {
        let asked = || Asked::of("/agentidp.operator.v1.AgentService/Suspend").unwrap();
        let request = v1::AgentTransitionRequest {
            agent: "a@acme.example".to_owned(),
            ..v1::AgentTransitionRequest::default()
        };
        let mut bytes = vec![0, 0, 0, 0, 0];
        bytes[4] = u8::try_from(request.encoded_len()).unwrap();
        bytes.extend(request.encode_to_vec());
        let whole = asked();
        whole
            .read(Body::new(axum::body::Body::from(bytes.clone())))
            .await;
        assert_eq!(whole.about().unwrap().name, "a@acme.example");
        bytes.pop();
        for other in [bytes, vec![1; 100], vec![0, 255, 255, 255, 255], Vec::new()] {
            let part = asked();
            part.read(Body::new(axum::body::Body::from(other))).await;
            assert!(part.about().is_none());
        }
    }
}
