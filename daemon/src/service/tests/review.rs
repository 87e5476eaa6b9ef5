//! Credentials that somebody should look after, over all agents.

use agentidp_shared::{Credential, CredentialStatus};

use super::*;
use crate::service::review::{Concern, ReviewPage};
use crate::store::{AgentPosition, Commit, Record, suite};

async fn put(bench: &Bench, record: Record) {
    let commit = Commit::new(suite::entry(Action::AgentRegister)).put(record);
    bench.store.commit(commit).await.unwrap();
}

/// Agent `number` with credential `number`, which is as `change` makes it.
async fn agent(bench: &Bench, number: u64, change: impl FnOnce(&mut Credential)) {
    let agent = suite::agent(number, &format!("a{number}@one.example"), 1);
    put(bench, Record::Agent(agent)).await;
    let mut record = suite::credential(number, number, 1);
    record.credential.expires_at = None;
    change(&mut record.credential);
    put(bench, Record::Credential(record)).await;
}

async fn bench() -> Bench {
    let bench = Bench::new().await;
    let organization = suite::organization(1, "one", 1);
    put(&bench, Record::Organization(organization)).await;
    bench
}

async fn page(bench: &Bench, concern: Concern, after: Option<AgentPosition>) -> ReviewPage {
    let caller = bench.operator();
    let page = bench.service.review_credentials(&caller, concern, after, 2);
    page.await.unwrap()
}

fn emails(page: &ReviewPage) -> Vec<&str> {
    page.credentials
        .iter()
        .map(|it| it.email.as_str())
        .collect()
}

#[tokio::test]
async fn credentials_that_expire_soon_come_the_soonest_first() {
    let bench = Box::pin(bench()).await;
    let now = bench.clock.now();
    for (number, hours) in [(1, 30), (2, 10), (3, 20), (4, 24 * 8)] {
        let end = now.plus(Duration::from_hours(hours));
        agent(&bench, number, |it| it.expires_at = Some(end)).await;
    }
    let concern = Concern::Expiring(Duration::from_hours(24 * 7));
    let first = page(&bench, concern, None).await;
    assert_eq!(emails(&first), ["a2@one.example", "a3@one.example"]);
    let second = page(&bench, concern, first.next).await;
    assert_eq!(emails(&second), ["a1@one.example"]);
    assert_eq!(second.next, None);
}

#[tokio::test]
async fn credentials_that_were_never_used_come_page_by_page_and_once() {
    let bench = Box::pin(bench()).await;
    for number in 1..=4 {
        agent(&bench, number, |_| {}).await;
    }
    let used = Commit::new(suite::token(3, 3, 5));
    bench.store.commit(used).await.unwrap();
    let first = page(&bench, Concern::NeverUsed, None).await;
    assert_eq!(emails(&first), ["a4@one.example", "a2@one.example"]);
    let second = page(&bench, Concern::NeverUsed, first.next).await;
    assert_eq!(emails(&second), ["a1@one.example"]);
}

#[tokio::test]
async fn a_credential_that_was_replaced_is_told_when_it_is_used_after_that() {
    let bench = Box::pin(bench()).await;
    let end = bench.clock.now().plus(Duration::from_hours(1));
    for number in [1, 2] {
        agent(&bench, number, |it| {
            it.status = CredentialStatus::Retiring;
            it.retires_at = Some(end);
        })
        .await;
        let mut newer = suite::credential(number + 10, number, 1);
        newer.credential.created_at = suite::at(100);
        newer.credential.expires_at = None;
        put(&bench, Record::Credential(newer)).await;
    }
    for (number, time) in [(1, 99), (2, 101)] {
        let used = Commit::new(suite::token(number, number, time));
        bench.store.commit(used).await.unwrap();
    }
    let found = page(&bench, Concern::RetiringUsed, None).await;
    assert_eq!(emails(&found), ["a2@one.example"]);
}

#[tokio::test]
async fn nothing_of_another_organization_is_reviewed_or_counted() {
    let bench = Box::pin(bench()).await;
    agent(&bench, 1, |_| {}).await;
    let caller = Caller {
        reach: Reach::only(suite::organization(2, "two", 1).id),
        ..bench.operator()
    };
    let found = bench
        .service
        .review_credentials(&caller, Concern::NeverUsed, None, 10);
    assert_eq!(found.await.unwrap(), ReviewPage::default());
    let (counts, expiring) = bench.service.count_agents(&caller).await.unwrap();
    assert_eq!((counts.values().sum::<u64>(), expiring), (0, 0));
    let (counts, _) = bench.service.count_agents(&bench.operator()).await.unwrap();
    assert!(counts[&agentidp_shared::AgentStatus::Active] > 1);
}
