//! Anything that may be done to a store, done to it and to the model alike.

use agentidp_shared::{
    Action, AgentId, AgentStatus, AgentType, CredentialId, CredentialStatus, DeploymentEnv,
    OrganizationId, Timestamp,
};
use proptest::prelude::*;

use super::{agent, at, credential, entry, keep, newest, number_bytes, organization, pages, token};
use crate::store::model::ModelStore;
use crate::store::{Commit, EntryFilter, Record, RecordKey, Store, TemporaryKey};

/// How many agents, and how many credentials, the steps are about.
const AGENTS: u64 = 8;

/// Something that is done to a store.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Agent {
        number: u64,
        /// Whose e-mail it has: its own, or that of one so many further.
        shift: u64,
        revision: u64,
        look: u8,
    },
    Organization {
        number: u64,
        /// As an agent's e-mail.
        shift: u64,
        revision: u64,
    },
    Credential {
        number: u64,
        revision: u64,
        look: u8,
    },
    Token {
        agent: u64,
        credential: u64,
        required: u64,
    },
    Keep {
        key: u8,
        seconds: i64,
    },
    Many(u8),
}

/// Any few dozen steps, of which many do not fit.
pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..AGENTS, shift(), 1..4_u64, any::<u8>()).prop_map(
            |(number, shift, revision, look)| Step::Agent { number, shift, revision, look }
        ),
        1 => (0..3_u64, shift(), 1..3_u64).prop_map(|(number, shift, revision)| Step::Organization {
            number,
            shift,
            revision
        }),
        3 => (0..AGENTS, 1..3_u64, any::<u8>()).prop_map(
            |(number, revision, look)| Step::Credential { number, revision, look }
        ),
        1 => (0..AGENTS, 0..AGENTS, 0..3_u64).prop_map(|(agent, credential, required)| Step::Token {
            agent,
            credential,
            required
        }),
        2 => (0..4_u8, 0..120_i64).prop_map(|(key, seconds)| Step::Keep { key, seconds }),
        1 => (1..90_u8).prop_map(Step::Many),
    ];
    prop::collection::vec(step, 1..80)
}

/// Mostly none, for those of whom one has what is another's.
fn shift() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(0), 1 => 1..AGENTS]
}

/// One of `all`, by a number.
fn pick<T: Copy>(all: &[T], number: u8) -> T {
    all[usize::from(number) % all.len()]
}

fn agent_id(number: u64) -> AgentId {
    AgentId::from_bytes(number_bytes(number))
}

/// An agent stays its organization's for good, and a credential its agent's.
fn organization_of(agent: u64) -> OrganizationId {
    OrganizationId::from_bytes(number_bytes(agent % 3))
}

fn agent_of(credential: u64) -> u64 {
    credential / 2
}

fn commits(step: &Step, now: Timestamp) -> Vec<Commit> {
    let one = |action, record| {
        let mut entry = entry(action);
        entry.time = now;
        vec![Commit::new(entry).put(record)]
    };
    match *step {
        Step::Agent {
            number,
            shift,
            revision,
            look,
        } => {
            let email = format!("a{}@acme.example", (number + shift) % AGENTS);
            let mut agent = agent(number, &email, revision);
            agent.organization_id = organization_of(number);
            agent.status = pick(AgentStatus::ALL, look);
            agent.agent_type = pick(&AgentType::ALL[..3], look / 3);
            agent.deployment_env = pick(DeploymentEnv::ALL, look / 5);
            agent.owner = pick(&["team", "Other"], look / 7).parse().unwrap();
            agent.capabilities = pick(&["a:b", "a:b c:d", "c:d"], look / 11).parse().unwrap();
            one(Action::AgentRegister, Record::Agent(agent))
        }
        Step::Organization {
            number,
            shift,
            revision,
        } => {
            let name = format!("org-{}", (number + shift) % 3);
            let tenant = organization(number, &name, revision);
            one(Action::OrganizationCreate, Record::Organization(tenant))
        }
        Step::Credential {
            number,
            revision,
            look,
        } => {
            let agent = agent_of(number);
            let mut secret = credential(number, agent, revision);
            secret.credential.organization_id = organization_of(agent);
            secret.credential.status = pick(&CredentialStatus::ALL[..3], look / 2);
            secret.credential.expires_at = (look % 4 != 0).then(|| at(i64::from(look % 4) * 1_000));
            one(Action::CredentialIssue, Record::Credential(secret))
        }
        Step::Token {
            agent,
            credential,
            required,
        } => {
            let mut entry = token(agent, credential, now.as_millis());
            entry.organization_id = Some(organization_of(agent));
            let key = RecordKey::Agent(agent_id(agent));
            vec![Commit::new(entry).require(key, required)]
        }
        Step::Keep { key, seconds } => {
            let (now, body) = (now.as_millis(), vec![key; usize::from(key)]);
            vec![keep(key, &body, now, now + seconds * 1_000)]
        }
        Step::Many(count) => (0..count)
            .map(|_| Commit::new(token(1, 1, now.as_millis())))
            .collect(),
    }
}

/// The time, which goes on with the log.
fn clock(model: &ModelStore) -> Timestamp {
    at(i64::try_from(*model.head().borrow()).unwrap() * 2_000)
}

/// Does `steps` to `store` and to a model of it, which begins with the same entries.
pub(crate) async fn do_to_both(store: &dyn Store, steps: &[Step], model: &ModelStore) {
    for step in steps {
        if let Step::Credential { number, .. } = step
            && model.agent(agent_id(agent_of(*number))).unwrap().is_none()
        {
            continue;
        }
        for commit in commits(step, clock(model)) {
            assert_eq!(
                store.commit(commit.clone()).await,
                model.commit(commit).await
            );
        }
    }
}

/// Holds all that can be read of `store` against the model, but for questions for agents.
pub(crate) fn assert_alike(store: &dyn Store, model: &ModelStore) {
    assert_eq!(store.tree(), model.tree());
    assert_eq!(store.tile(0, 0).unwrap(), model.tile(0, 0).unwrap());
    assert_eq!(
        store.agents(&newest(None, 100)).unwrap(),
        model.agents(&newest(None, 100)).unwrap()
    );
    assert_eq!(
        store.organizations(None, 100).unwrap(),
        model.organizations(None, 100).unwrap()
    );
    for number in 0..AGENTS {
        let agent = agent_id(number);
        let credential = CredentialId::from_bytes(number_bytes(number));
        assert_eq!(store.agent(agent).unwrap(), model.agent(agent).unwrap());
        assert_eq!(
            store.credential(credential).unwrap(),
            model.credential(credential).unwrap()
        );
        assert_eq!(
            store.credentials_of(agent).unwrap(),
            model.credentials_of(agent).unwrap()
        );
        for key in [RecordKey::Agent(agent), RecordKey::Credential(credential)] {
            assert_eq!(store.usage(&key).unwrap(), model.usage(&key).unwrap());
        }
        let (organization, now) = (organization_of(number), clock(model));
        assert_eq!(
            store.tokens_issued(organization, now).unwrap(),
            model.tokens_issued(organization, now).unwrap()
        );
    }
    for key in 0..4 {
        let key = TemporaryKey::Idempotency([key; 32]);
        let now = clock(model);
        assert_eq!(
            store.temporary(&key, now).unwrap(),
            model.temporary(&key, now).unwrap()
        );
    }
    let count = usize::MAX;
    assert_eq!(
        store.entries_from(0, count).unwrap(),
        model.entries_from(0, count).unwrap()
    );
    for number in 0..3 {
        assert_eq!(
            store.bundle_entries(number).unwrap(),
            model.bundle_entries(number).unwrap()
        );
    }
    let filter = EntryFilter {
        agent: Some(agent_id(1)),
        ..EntryFilter::default()
    };
    assert_eq!(pages(store, &filter, 10), pages(model, &filter, 10));
}
