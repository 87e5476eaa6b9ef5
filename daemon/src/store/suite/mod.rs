//! What every store must do. [`every_store`] makes one test of each behaviour for a store that it
//! is told how to make; [`steps`] and [`queries`] hold it against the model.

pub(crate) mod queries;
pub(crate) mod steps;

use std::collections::BTreeMap;
use std::sync::Arc;

use agentidp_shared::merkle::NodeHash;
use agentidp_shared::{
    Action, Actor, ActorKind, Agent, AgentId, AgentStatus, AgentType, Credential, CredentialId,
    CredentialKind, CredentialStatus, DeploymentEnv, Entry, Metadata, Organization, OrganizationId,
    OrganizationStatus, Outcome, Pruned, TargetKind, Timestamp, Via,
};

use super::query::PAGE_BYTES;
use super::{
    AgentFilter, AgentOrder, AgentPosition, AgentQuery, Commit, CommitError, Conflict,
    CredentialRecord, EntryFilter, Quota, Record, RecordKey, SecretVerifier, Store, Temporary,
    TemporaryKey,
};

/// One test of each behaviour, on the stores that `$make` makes: it gives the store, and whatever
/// must live as long.
macro_rules! every_store {
    ($make:expr) => {
        $crate::store::suite::every_store!($make;
            what_is_committed_is_read,
            a_commit_is_made_whole_or_not_at_all,
            a_record_is_changed_only_from_the_revision_it_has,
            names_and_emails_belong_to_one,
            of_many_who_want_one_email_at_once_one_gets_it,
            a_requirement_that_does_not_hold_refuses_the_commit,
            an_entry_names_the_digest_and_revision_of_its_record,
            entries_are_numbered_without_gaps_and_read_in_pages,
            a_filter_finds_what_it_asks_for_in_any_bundle,
            lists_are_newest_first_and_continue,
            a_page_of_large_records_is_shorter_and_leaves_none_out,
            the_last_use_is_drawn_from_the_log,
            the_head_tells_of_every_commit,
            an_entry_that_is_too_large_is_refused_alone,
            what_is_kept_for_a_time_is_kept_once_and_goes_by_itself,
            an_organization_has_no_more_agents_than_its_quota,
            tokens_are_counted_by_organization_and_month,
            what_was_pruned_is_not_found_and_everything_else_is,
        );
    };
    ($make:expr; $($name:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                let (store, _keep) = $make;
                $crate::store::suite::$name(std::sync::Arc::new(store)).await;
            }
        )+
    };
}

pub(crate) use every_store;

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn number_bytes(number: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// An entry of `action`.
pub(crate) fn entry(action: Action) -> Entry {
    Entry::new(at(1_000), Actor::system(), action, Outcome::Success)
}

/// Organization `number` with `name`.
pub(crate) fn organization(number: u64, name: &str, revision: u64) -> Organization {
    Organization {
        id: OrganizationId::from_bytes(number_bytes(number)),
        name: name.parse().unwrap(),
        status: OrganizationStatus::Active,
        tier: "free".parse().unwrap(),
        created_at: at(1),
        updated_at: at(1),
        max_credential_age: None,
        tokens_revoked_until: None,
        is_held: false,
        revision,
    }
}

/// Agent `number` with an e-mail.
pub(crate) fn agent(number: u64, email: &str, revision: u64) -> Agent {
    Agent {
        id: AgentId::from_bytes(number_bytes(number)),
        organization_id: OrganizationId::from_bytes(number_bytes(1)),
        email: email.parse().unwrap(),
        agent_type: AgentType::Router,
        version: semver::Version::new(1, 2, 3),
        capabilities: "a:b".parse().unwrap(),
        owner: "team".parse().unwrap(),
        deployment_env: DeploymentEnv::Staging,
        status: AgentStatus::Active,
        audiences: vec!["https://mcp.example/".parse().unwrap()],
        metadata: Metadata::default(),
        created_at: at(1),
        updated_at: at(2),
        last_auth_at: None,
        tokens_revoked_until: None,
        revision,
    }
}

/// Credential `number` of agent `of`.
pub(crate) fn credential(number: u64, of: u64, revision: u64) -> CredentialRecord {
    CredentialRecord {
        credential: Credential {
            id: CredentialId::from_bytes(number_bytes(number)),
            agent_id: AgentId::from_bytes(number_bytes(of)),
            organization_id: OrganizationId::from_bytes(number_bytes(1)),
            kind: CredentialKind::ClientSecret,
            status: CredentialStatus::Active,
            created_at: at(1),
            expires_at: Some(at(9_000)),
            retires_at: None,
            last_used_at: None,
            use_count: 0,
            public_key: None,
            tokens_revoked_until: None,
            revision,
        },
        verifier: Some(SecretVerifier {
            check: [1, 2, 3, 4],
            hash: "$argon2id$".to_owned(),
        }),
    }
}

/// The question for all agents but archived ones, newest first, older than `before`.
pub(crate) fn newest(before: Option<AgentId>, limit: usize) -> AgentQuery {
    AgentQuery {
        is_descending: true,
        after: before.map(|id| AgentPosition {
            value: Vec::new(),
            id,
        }),
        limit,
        ..AgentQuery::default()
    }
}

fn put_agent(agent: Agent) -> Commit {
    Commit::new(entry(Action::AgentRegister)).put(Record::Agent(agent))
}

/// The entry of a token of agent `number` by credential `credential`.
pub(crate) fn token(number: u64, credential: u64, time: i64) -> Entry {
    let mut entry = entry(Action::TokenIssue);
    entry.time = at(time);
    entry.actor = Actor {
        kind: ActorKind::Agent,
        id: Some(AgentId::from_bytes(number_bytes(number)).to_string()),
        name: None,
        login: None,
        via: Via::Http,
        address: None,
    };
    entry.credential_id = Some(CredentialId::from_bytes(number_bytes(credential)));
    entry
}

/// All entries, newest first, in pages of `limit`.
fn pages(store: &dyn Store, filter: &EntryFilter, limit: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    let mut before = None;
    loop {
        let page = store.entries_before(before, filter, limit).unwrap();
        assert!(page.entries.len() <= limit);
        seqs.extend(page.entries.iter().map(|stored| stored.seq));
        match page.next_before {
            Some(next) => before = Some(next),
            None => return seqs,
        }
    }
}

pub(crate) async fn what_is_committed_is_read(store: Arc<dyn Store>) {
    let (tenant, router) = (organization(1, "acme", 1), agent(2, "a@acme.example", 1));
    let secret = credential(3, 2, 1);
    let commit =
        Commit::new(entry(Action::OrganizationCreate)).put(Record::Organization(tenant.clone()));
    let first = store.commit(commit).await.unwrap().seq;
    let second = store.commit(put_agent(router.clone())).await.unwrap().seq;
    let commit =
        Commit::new(entry(Action::CredentialIssue)).put(Record::Credential(secret.clone()));
    let third = store.commit(commit).await.unwrap().seq;

    let read = store.organization(tenant.id).unwrap().unwrap();
    assert_eq!((&read.record, read.audit_seq), (&tenant, first));
    assert_eq!(
        store.organization_by_name(&tenant.name).unwrap(),
        Some(tenant.id)
    );
    let read = store.agent(router.id).unwrap().unwrap();
    assert_eq!((&read.record, read.audit_seq), (&router, second));
    assert_eq!(
        store.agent_by_email(&router.email).unwrap(),
        Some(router.id)
    );
    let read = store.credential(secret.credential.id).unwrap().unwrap();
    assert_eq!((&read.record, read.audit_seq), (&secret, third));
    assert_eq!(store.credentials_of(router.id).unwrap(), [read]);
    assert!(
        store
            .agent(AgentId::from_bytes(number_bytes(9)))
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .credentials_of(AgentId::from_bytes(number_bytes(9)))
            .unwrap()
            .is_empty()
    );
}

pub(crate) async fn a_commit_is_made_whole_or_not_at_all(store: Arc<dyn Store>) {
    let before = *store.head().borrow();
    // The second record does not fit, so the first must not be there either.
    let commit = put_agent(agent(2, "a@acme.example", 1))
        .and(entry(Action::AgentRegister))
        .put(Record::Agent(agent(3, "b@acme.example", 7)));
    let refused = store.commit(commit).await;
    assert_eq!(
        refused,
        Err(CommitError::Conflict(Conflict::Revision(TargetKind::Agent)))
    );
    assert!(
        store
            .agent(AgentId::from_bytes(number_bytes(2)))
            .unwrap()
            .is_none()
    );
    assert_eq!(
        store
            .agent_by_email(&"a@acme.example".parse().unwrap())
            .unwrap(),
        None
    );
    assert_eq!(*store.head().borrow(), before);
}

pub(crate) async fn a_record_is_changed_only_from_the_revision_it_has(store: Arc<dyn Store>) {
    store
        .commit(put_agent(agent(2, "a@acme.example", 1)))
        .await
        .unwrap();
    let conflict = Err(CommitError::Conflict(Conflict::Revision(TargetKind::Agent)));
    assert_eq!(
        store.commit(put_agent(agent(2, "a@acme.example", 1))).await,
        conflict
    );
    assert_eq!(
        store.commit(put_agent(agent(2, "a@acme.example", 3))).await,
        conflict
    );
    let changed = Agent {
        status: AgentStatus::Suspended,
        ..agent(2, "a@acme.example", 2)
    };
    store.commit(put_agent(changed.clone())).await.unwrap();
    assert_eq!(store.agent(changed.id).unwrap().unwrap().record, changed);
}

pub(crate) async fn names_and_emails_belong_to_one(store: Arc<dyn Store>) {
    let create = |number, name| {
        Commit::new(entry(Action::OrganizationCreate))
            .put(Record::Organization(organization(number, name, 1)))
    };
    store.commit(create(1, "acme")).await.unwrap();
    assert_eq!(
        store.commit(create(2, "acme")).await,
        Err(CommitError::Conflict(Conflict::Taken("name")))
    );
    store
        .commit(put_agent(agent(2, "a@acme.example", 1)))
        .await
        .unwrap();
    let taken = store.commit(put_agent(agent(3, "a@acme.example", 1))).await;
    assert_eq!(taken, Err(CommitError::Conflict(Conflict::Taken("email"))));
    // Its owner keeps it through a change, and has no other.
    let renamed = store.commit(put_agent(agent(2, "b@acme.example", 2))).await;
    assert_eq!(
        renamed,
        Err(CommitError::Conflict(Conflict::Renamed("email")))
    );
    store
        .commit(put_agent(agent(2, "a@acme.example", 2)))
        .await
        .unwrap();
    let rename = Commit::new(entry(Action::OrganizationUpdate))
        .put(Record::Organization(organization(1, "globex", 2)));
    assert_eq!(
        store.commit(rename).await,
        Err(CommitError::Conflict(Conflict::Renamed("name")))
    );
}

pub(crate) async fn of_many_who_want_one_email_at_once_one_gets_it(store: Arc<dyn Store>) {
    let tasks: Vec<_> = (0..64)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                store
                    .commit(put_agent(agent(number, "a@acme.example", 1)))
                    .await
            })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => won += 1,
            Err(error) => assert_eq!(error, CommitError::Conflict(Conflict::Taken("email"))),
        }
    }
    assert_eq!(won, 1);
}

pub(crate) async fn a_requirement_that_does_not_hold_refuses_the_commit(store: Arc<dyn Store>) {
    store
        .commit(put_agent(agent(2, "a@acme.example", 1)))
        .await
        .unwrap();
    let key = RecordKey::Agent(AgentId::from_bytes(number_bytes(2)));
    let issue = |revision| Commit::new(token(2, 3, 5)).require(key.clone(), revision);
    store.commit(issue(1)).await.unwrap();
    store
        .commit(put_agent(agent(2, "a@acme.example", 2)))
        .await
        .unwrap();
    let conflict = Err(CommitError::Conflict(Conflict::Revision(TargetKind::Agent)));
    assert_eq!(store.commit(issue(1)).await, conflict);
    store.commit(issue(2)).await.unwrap();
}

pub(crate) async fn an_entry_names_the_digest_and_revision_of_its_record(store: Arc<dyn Store>) {
    let record = Record::Agent(agent(2, "a@acme.example", 1));
    let stored = super::form::encode(&record).unwrap();
    let digest = super::form::digest(&stored);
    let seq = store
        .commit(put_agent(agent(2, "a@acme.example", 1)))
        .await
        .unwrap()
        .seq;
    let read = store.entries_from(seq, 1).unwrap().remove(0);
    let read: Entry = serde_json::from_slice(&read.json).unwrap();
    let target = read.target.unwrap();
    assert_eq!(
        (read.seq, target.kind, target.revision),
        (seq, TargetKind::Agent, Some(1))
    );
    assert_eq!(target.digest, Some(digest));
}

pub(crate) async fn entries_are_numbered_without_gaps_and_read_in_pages(store: Arc<dyn Store>) {
    let first = *store.head().borrow();
    for time in 0..700 {
        store.commit(Commit::new(token(2, 3, time))).await.unwrap();
    }
    let end = first + 700;
    for (from, limit) in [
        (first, 1_000),
        (first + 255, 3),
        (first + 256, 300),
        (end - 1, 5),
        (end, 5),
        (end + 9, 5),
    ] {
        let seqs: Vec<_> = store
            .entries_from(from, limit)
            .unwrap()
            .iter()
            .map(|stored| stored.seq)
            .collect();
        let expected: Vec<_> = (from..end).take(limit).collect();
        assert_eq!(seqs, expected, "from {from}, {limit}");
    }
    for limit in [1, 7, 256, 1_000] {
        let expected: Vec<_> = (0..end).rev().collect();
        assert_eq!(
            pages(store.as_ref(), &EntryFilter::default(), limit),
            expected,
            "in pages of {limit}"
        );
    }
}

pub(crate) async fn a_filter_finds_what_it_asks_for_in_any_bundle(store: Arc<dyn Store>) {
    let mut wanted = Vec::new();
    for number in 0..800_u64 {
        let rare = number % 190 == 7;
        let mut entry = token(if rare { 5 } else { 1_000 + number }, 3, 1);
        entry.outcome = if rare {
            Outcome::Denied
        } else {
            Outcome::Success
        };
        let seq = store.commit(Commit::new(entry)).await.unwrap().seq;
        wanted.extend(rare.then_some(seq));
    }
    wanted.reverse();
    let by_agent = EntryFilter {
        agent: Some(AgentId::from_bytes(number_bytes(5))),
        ..EntryFilter::default()
    };
    let by_outcome = EntryFilter {
        outcome: Some(Outcome::Denied),
        ..EntryFilter::default()
    };
    let by_both = EntryFilter {
        action: Some(Action::TokenIssue),
        ..by_agent.clone()
    };
    let by_none = EntryFilter {
        action: Some(Action::AgentRevoke),
        ..EntryFilter::default()
    };
    for limit in [1, 2, 100] {
        assert_eq!(pages(store.as_ref(), &by_agent, limit), wanted);
        assert_eq!(pages(store.as_ref(), &by_outcome, limit), wanted);
        assert_eq!(pages(store.as_ref(), &by_both, limit), wanted);
        assert!(pages(store.as_ref(), &by_none, limit).is_empty());
    }
}

pub(crate) async fn lists_are_newest_first_and_continue(store: Arc<dyn Store>) {
    for number in [5, 3, 9, 1] {
        let email = format!("a{number}@acme.example");
        store
            .commit(put_agent(agent(number, &email, 1)))
            .await
            .unwrap();
        let tenant = organization(number, &format!("org-{number}"), 1);
        let commit =
            Commit::new(entry(Action::OrganizationCreate)).put(Record::Organization(tenant));
        store.commit(commit).await.unwrap();
    }
    let id = |number| AgentId::from_bytes(number_bytes(number));
    let agents = |before: Option<AgentId>, limit| -> Vec<AgentId> {
        store
            .agents(&newest(before, limit))
            .unwrap()
            .agents
            .iter()
            .map(|stored| stored.record.id)
            .collect()
    };
    assert_eq!(agents(None, 3), [id(9), id(5), id(3)]);
    assert_eq!(agents(Some(id(3)), 3), [id(1)]);
    assert_eq!(agents(Some(id(1)), 3), []);
    let organizations = store.organizations(None, 2).unwrap();
    let names: Vec<_> = organizations
        .iter()
        .map(|stored| stored.record.name.as_str())
        .collect();
    assert_eq!(names, ["org-9", "org-5"]);
    let older = store
        .organizations(Some(organizations[1].record.id), 9)
        .unwrap();
    assert_eq!(older.len(), 2);
}

pub(crate) async fn a_page_of_large_records_is_shorter_and_leaves_none_out(store: Arc<dyn Store>) {
    const LARGE: usize = 2_048 * 100;
    let notes = (0..100).map(|number| (format!("note-{number}"), "n".repeat(2_048)));
    let metadata = Metadata::try_from(notes.collect::<BTreeMap<_, _>>()).unwrap();
    for number in 1..=9 {
        let mut large = agent(number, &format!("a{number}@acme.example"), 1);
        large.metadata = metadata.clone();
        store.commit(put_agent(large)).await.unwrap();
    }
    let mut query = AgentQuery {
        filter: AgentFilter::default(),
        order: AgentOrder::Created,
        is_descending: false,
        after: None,
        limit: 100,
    };
    let mut seen = Vec::new();
    loop {
        let page = store.agents(&query).unwrap();
        assert!((1..=PAGE_BYTES / LARGE + 1).contains(&page.agents.len()));
        seen.extend(page.agents.iter().map(|it| it.record.email.to_string()));
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    let all: Vec<_> = (1..=9).map(|it| format!("a{it}@acme.example")).collect();
    assert_eq!(seen, all);
}

pub(crate) async fn the_last_use_is_drawn_from_the_log(store: Arc<dyn Store>) {
    let agent = RecordKey::Agent(AgentId::from_bytes(number_bytes(2)));
    let credential = RecordKey::Credential(CredentialId::from_bytes(number_bytes(3)));
    assert_eq!(store.usage(&agent).unwrap().last, None);
    store.commit(Commit::new(token(2, 3, 5000))).await.unwrap();
    store.commit(Commit::new(token(2, 4, 6000))).await.unwrap();
    let mut denied = token(2, 3, 7000);
    denied.outcome = Outcome::Denied;
    store.commit(Commit::new(denied)).await.unwrap();
    assert_eq!(store.usage(&agent).unwrap().last, Some(at(6000)));
    assert_eq!(store.usage(&credential).unwrap().last, Some(at(5000)));

    // A resource server that introspects, whose reads are counted.
    let mut read = token(2, 3, 8000);
    read.action = Action::TokenIntrospect;
    read.count = Some(4);
    let theirs = organization(1, "some", 1).id;
    read.organization_id = Some(theirs);
    store.commit(Commit::new(read.clone())).await.unwrap();
    let usage = store.usage(&credential).unwrap();
    assert_eq!((usage.last, usage.count), (Some(at(8000)), 5));
    assert_eq!(store.usage(&agent).unwrap().last, Some(at(8000)));
    assert_eq!(store.tokens_issued(theirs, at(8000)).unwrap(), 0);
    // Those who use it not: who comes with a token, and an operator who ends what hangs on it.
    let mut by_token = token(2, 3, 9000);
    by_token.action = Action::TokenIntrospect;
    by_token.credential_id = None;
    let mut operator = token(2, 3, 9000);
    operator.action = Action::TokenRevoke;
    operator.actor.kind = ActorKind::Operator;
    for entry in [by_token, operator] {
        store.commit(Commit::new(entry)).await.unwrap();
        assert_eq!(store.usage(&credential).unwrap(), usage);
    }
}

pub(crate) async fn the_head_tells_of_every_commit(store: Arc<dyn Store>) {
    let mut head = store.head();
    let before = *head.borrow_and_update();
    store
        .commit(Commit::new(token(2, 3, 1)).and(token(2, 3, 2)))
        .await
        .unwrap();
    head.changed().await.unwrap();
    assert_eq!(*head.borrow(), before + 2);
    assert_eq!(store.status().entries, before + 2);
}

pub(crate) async fn an_entry_that_is_too_large_is_refused_alone(store: Arc<dyn Store>) {
    let before = *store.head().borrow();
    let mut large = token(2, 3, 1);
    large.scope = Some("x".repeat(5_000));
    assert_eq!(
        store.commit(Commit::new(large)).await,
        Err(CommitError::TooLarge)
    );
    store.commit(Commit::new(token(2, 3, 1))).await.unwrap();
    assert_eq!(*store.head().borrow(), before + 1);
}

/// Keeps `body` under the idempotency key `key` at a time, until another.
pub(crate) fn keep(key: u8, body: &[u8], time: i64, until: i64) -> Commit {
    let mut entry = entry(Action::TokenRevoke);
    entry.time = at(time);
    Commit::new(entry).keep(Temporary {
        key: TemporaryKey::Idempotency([key; 32]),
        expires_at: at(until),
        body: body.to_vec(),
    })
}

pub(crate) async fn what_is_kept_for_a_time_is_kept_once_and_goes_by_itself(store: Arc<dyn Store>) {
    let key = TemporaryKey::Idempotency([7; 32]);
    assert_eq!(store.temporary(&key, at(0)).unwrap(), None);
    store.commit(keep(7, b"one", 1_000, 5_000)).await.unwrap();
    assert_eq!(
        store.commit(keep(7, b"two", 4_999, 9_000)).await,
        Err(CommitError::Conflict(Conflict::Kept(key)))
    );
    let kept = store.temporary(&key, at(4_999)).unwrap().unwrap();
    assert_eq!(
        (kept.body.as_slice(), kept.expires_at),
        (&b"one"[..], at(5_000))
    );
    assert_eq!(store.temporary(&key, at(5_000)).unwrap(), None);
    store.commit(keep(7, b"", 5_000, 9_000)).await.unwrap();
    let kept = store.temporary(&key, at(5_000)).unwrap().unwrap();
    assert_eq!(
        (kept.body.as_slice(), kept.expires_at),
        (&b""[..], at(9_000))
    );
}

pub(crate) async fn an_organization_has_no_more_agents_than_its_quota(store: Arc<dyn Store>) {
    let quota = Quota {
        organization: OrganizationId::from_bytes(number_bytes(1)),
        agents: 2,
    };
    let register =
        |number: u64| put_agent(agent(number, &format!("a{number}@acme.example"), 1)).within(quota);
    store.commit(register(1)).await.unwrap();
    store.commit(register(2)).await.unwrap();
    let refused = Err(CommitError::Conflict(Conflict::Quota(2)));
    assert_eq!(store.commit(register(3)).await, refused);
    let mut elsewhere = agent(4, "a4@other.example", 1);
    elsewhere.organization_id = OrganizationId::from_bytes(number_bytes(2));
    store.commit(put_agent(elsewhere)).await.unwrap();
    // One that ends makes room for another.
    let mut ended = agent(1, "a1@acme.example", 2);
    ended.status = AgentStatus::Revoked;
    store.commit(put_agent(ended)).await.unwrap();
    store.commit(register(3)).await.unwrap();
    assert_eq!(store.commit(register(5)).await, refused);
}

pub(crate) async fn tokens_are_counted_by_organization_and_month(store: Arc<dyn Store>) {
    const DAY: i64 = 86_400_000;
    let (one, other) = (
        OrganizationId::from_bytes(number_bytes(1)),
        OrganizationId::from_bytes(number_bytes(2)),
    );
    for (organization, day) in [(one, 3), (one, 30), (other, 4), (one, 31)] {
        let mut entry = token(2, 3, day * DAY);
        entry.organization_id = Some(organization);
        store.commit(Commit::new(entry)).await.unwrap();
    }
    assert_eq!(store.tokens_issued(one, at(0)).unwrap(), 2);
    assert_eq!(store.tokens_issued(one, at(40 * DAY)).unwrap(), 1);
    assert_eq!(store.tokens_issued(other, at(DAY)).unwrap(), 1);
    assert_eq!(store.tokens_issued(other, at(40 * DAY)).unwrap(), 0);
}

mod on_the_model {
    use crate::store::model::ModelStore;

    super::every_store!((ModelStore::new(), ()));
}

/// Prunes the entries from `from` to before `to` as the service does, but for those of organization `held`.
pub(crate) fn prune(store: &dyn Store, from: u64, to: u64, held: u64) -> Commit {
    let held = Some(organization(held, "held", 1).id);
    let (mut kept, mut count) = (Vec::new(), 0);
    let there = store.entries_from(from, usize::MAX).unwrap();
    for stored in there.iter().filter(|it| it.seq < to) {
        let entry: Entry = serde_json::from_slice(&stored.json).unwrap();
        let stays = entry.organization_id == held
            || entry.accounts_for_log()
            || store.is_last_change(&entry).unwrap();
        if stays {
            kept.push(stored.seq);
        } else {
            count += 1;
        }
    }
    let mut it = entry(Action::AuditPrune);
    it.count = Some(count);
    it.pruned = Some(Pruned::new(from..to, &kept).unwrap());
    Commit::new(it)
}

pub(crate) async fn what_was_pruned_is_not_found_and_everything_else_is(store: Arc<dyn Store>) {
    let of = |number| organization(number, "some", 1).id;
    for number in 0..600 {
        let mut issued = token(number, number, 1_000);
        // The first bundle is all of one that is not held.
        issued.organization_id = Some(of(if number < 256 { 1 } else { number % 3 }));
        store.commit(Commit::new(issued)).await.unwrap();
    }
    let seqs = |from, limit| -> Vec<u64> {
        let entries = store.entries_from(from, limit).unwrap();
        entries.iter().map(|it| it.seq).collect()
    };
    let mut before = store.tree();
    let begin = seqs(0, usize::MAX).len() as u64 - 600;
    let commit = prune(store.as_ref(), 0, 512, 2);
    let pruned = store.commit(commit).await.unwrap().seq;
    let is_held = |seq: u64| {
        let number = seq.wrapping_sub(begin);
        (256..600).contains(&number) && number % 3 == 2
    };
    let expected: Vec<u64> = (0..=pruned)
        .filter(|it| *it >= 512 || is_held(*it))
        .collect();
    assert_eq!(seqs(0, usize::MAX), expected);
    assert_eq!(seqs(0, 5), expected[..5]);
    assert_eq!(seqs(expected[4], 2), expected[4..6]);
    for seq in 0..pruned + 600 {
        let found = store.entry(seq).unwrap().map(|it| it.seq);
        let is_there = expected.binary_search(&seq).is_ok();
        assert_eq!(found, is_there.then_some(seq), "{seq}");
    }
    assert_eq!(
        pages(store.as_ref(), &EntryFilter::default(), 50).len(),
        expected.len()
    );
    let theirs = EntryFilter {
        organizations: Some([of(1)].into()),
        ..EntryFilter::default()
    };
    assert!(
        pages(store.as_ref(), &theirs, 50)
            .iter()
            .all(|it| *it >= 512)
    );
    assert_eq!(store.bundle(0).unwrap().unwrap().entries, []);
    let held = store.bundle(1).unwrap().unwrap();
    assert!(held.entries.iter().all(|it| is_held(it.seq)) && held.entries.len() > 80);
    assert_eq!(store.bundle(9).unwrap(), None);
    // The tree has grown by one entry; what was counted stays counted.
    let last = store.entries_from(pruned, 1).unwrap().remove(0);
    before.push(NodeHash::of_leaf(&last.json), |_, _, _| {});
    assert_eq!(store.tree().root(), before.root());
    let usage = store.usage(&RecordKey::Credential(credential(3, 3, 1).credential.id));
    assert_eq!(usage.unwrap().count, 1);
    // What says that others were removed stays.
    let commit = prune(store.as_ref(), 512, 768, 2);
    store.commit(commit).await.unwrap();
    assert!(seqs(0, usize::MAX).contains(&pruned));
}
