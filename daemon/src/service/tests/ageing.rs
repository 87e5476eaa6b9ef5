//! Looking through all credentials, of which there may be many.

use agentidp_shared::Credential;

use super::*;
use crate::store::{Commit, Record, suite};

/// So many agents that a page of a hundred does not hold them.
const AGENTS: u64 = 101;

/// Agents of two organizations that let credentials become a day old, with a credential each.
async fn agents(bench: &Bench, expires_at: Option<Timestamp>) {
    let put = async |record| {
        let commit = Commit::new(suite::entry(Action::AgentRegister)).put(record);
        bench.store.commit(commit).await.unwrap();
    };
    let mut organizations = Vec::new();
    for (number, name) in [(1, "one"), (2, "two")] {
        let organization = Organization {
            max_credential_age: Some(Duration::from_hours(24)),
            ..suite::organization(number, name, 1)
        };
        organizations.push(organization.id);
        put(Record::Organization(organization)).await;
    }
    for (number, organization_id) in (0..AGENTS).zip(organizations.into_iter().cycle()) {
        let agent = Agent {
            organization_id,
            ..suite::agent(number, &format!("a{number}@one.example"), 1)
        };
        put(Record::Agent(agent)).await;
        let mut record = suite::credential(number, number, 1);
        record.credential = Credential {
            organization_id,
            expires_at,
            ..record.credential
        };
        put(Record::Credential(record)).await;
    }
}

#[tokio::test]
async fn the_agents_of_all_organizations_are_gone_through_once_for_credentials_that_are_too_old() {
    let bench = Bench::new().await;
    agents(&bench, None).await;
    let before = bench.store.lists();
    let retired = bench.service.retire_old_credentials().await;
    assert_eq!(retired, Ok(usize::try_from(AGENTS).unwrap()));
    assert_eq!(bench.store.lists() - before, 1);
}

#[tokio::test]
async fn the_agents_are_gone_through_once_for_credentials_that_are_about_to_expire() {
    let bench = Bench::new().await;
    agents(
        &bench,
        Some(bench.clock.now().plus(Duration::from_hours(1))),
    )
    .await;
    let before = bench.store.lists();
    let warned = bench.service.warn_of_expiry().await;
    assert_eq!(warned, Ok(usize::try_from(AGENTS).unwrap()));
    assert_eq!(bench.store.lists() - before, 1);
}
