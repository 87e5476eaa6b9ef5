//! Many agents at once.

use agentidp_shared::AgentStatus;

use super::*;
use crate::service::agent::{MAX_AT_ONCE, Registration};
use crate::service::bulk::{Bulk, BulkProgress};
use crate::store::{AgentFilter, AgentQuery, OneOf};

impl Bench {
    /// Registers agents in the demo organization.
    async fn fleet(&self, batches: usize) {
        for batch in 0..batches {
            let agents = (0..MAX_AT_ONCE).map(|number| Registration {
                email: format!("bot-{batch}-{number}@demo.example")
                    .parse()
                    .unwrap(),
                agent_type: agentidp_shared::AgentType::Custom,
                version: semver::Version::new(1, 0, 0),
                capabilities: "a:read".parse().unwrap(),
                owner: "fleet".parse().unwrap(),
                deployment_env: agentidp_shared::DeploymentEnv::Staging,
                audiences: Vec::new(),
                metadata: agentidp_shared::Metadata::default(),
            });
            let registered = self
                .service
                .register_agents(&self.operator(), "demo", agents.collect())
                .await;
            assert_eq!(registered.unwrap().len(), MAX_AT_ONCE);
        }
    }

    async fn suspended(&self) -> usize {
        let query = AgentQuery {
            filter: AgentFilter {
                status: Some(OneOf::only(AgentStatus::Suspended)),
                ..AgentFilter::default()
            },
            limit: 10_000,
            ..AgentQuery::default()
        };
        let operator = self.operator();
        let page = self.service.list_agents(&operator, query, None).await;
        page.unwrap().agents.len()
    }
}

fn bulk() -> Bulk {
    Bulk {
        filter: AgentFilter {
            owner: Some(OneOf::only("fleet".parse().unwrap())),
            ..AgentFilter::default()
        },
        organization: None,
        transition: Transition::Suspend,
        reason: Some("for the test".parse().unwrap()),
        expected: None,
        is_dry_run: false,
    }
}

#[tokio::test]
async fn agents_that_are_registered_together_are_listed_in_their_order() {
    let bench = Bench::new().await;
    bench.fleet(1).await;
    let query = AgentQuery {
        filter: bulk().filter,
        limit: MAX_AT_ONCE,
        ..AgentQuery::default()
    };
    let operator = bench.operator();
    let page = bench.service.list_agents(&operator, query, None).await;
    let agents = page.unwrap().agents;
    let names = agents.iter().map(|it| it.record.email.to_string());
    let expected = (0..MAX_AT_ONCE).map(|number| format!("bot-0-{number}@demo.example"));
    assert!(names.eq(expected));
}

#[tokio::test]
async fn what_is_not_clearly_meant_is_refused_before_anything_is_done() {
    let bench = Bench::new().await;
    bench.fleet(1).await;
    for (wrong, code) in [
        (
            Bulk {
                filter: AgentFilter::default(),
                ..bulk()
            },
            Code::InvalidArgument,
        ),
        (
            Bulk {
                reason: None,
                ..bulk()
            },
            Code::InvalidArgument,
        ),
        (
            Bulk {
                expected: Some(99),
                ..bulk()
            },
            Code::RevisionConflict,
        ),
    ] {
        let operator = bench.operator();
        let refused = bench.service.plan_transitions(&operator, wrong).await;
        let error = refused.unwrap_err();
        assert_eq!(error.code, code);
        if code == Code::RevisionConflict {
            assert_eq!(error.details["matched"], "100");
        }
    }
    assert_eq!(bench.suspended().await, 0);
}

#[tokio::test]
async fn nothing_more_is_moved_when_nobody_listens_any_more() {
    let bench = Bench::new().await;
    bench.fleet(3).await;
    let operator = bench.operator();
    let plan = bench.service.plan_transitions(&operator, bulk());
    let plan = plan.await.unwrap();
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let first = async move { receiver.recv().await };
    let (ended, first) = tokio::join!(
        bench.service.run_transitions(&operator, plan, &sender),
        first
    );
    ended.unwrap();
    let BulkProgress { matched, done, .. } = first.unwrap();
    assert_eq!(matched, 300);
    // Of those that were moved only the one that was under way was not told.
    let (done, suspended) = (usize::try_from(done).unwrap(), bench.suspended().await);
    assert!((done..=done + 1).contains(&suspended), "{suspended}");
    assert!(suspended < 300);
}

#[tokio::test]
async fn those_that_were_moved_are_told_with_the_revision_that_they_came_to() {
    let bench = Bench::new().await;
    bench.fleet(1).await;
    let operator = bench.operator();
    for (is_dry_run, moved) in [(true, 0), (false, MAX_AT_ONCE), (false, 0)] {
        let bulk = Bulk {
            is_dry_run,
            ..bulk()
        };
        let plan = bench.service.plan_transitions(&operator, bulk).await;
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<BulkProgress>(8);
        let all = async {
            let mut all = Vec::new();
            while let Some(progress) = receiver.recv().await {
                all.extend(progress.moved);
            }
            all
        };
        let run = async {
            let sender = sender;
            let plan = plan.unwrap();
            bench
                .service
                .run_transitions(&operator, plan, &sender)
                .await
        };
        let (ended, all) = tokio::join!(run, all);
        ended.unwrap();
        assert_eq!(all.len(), moved);
        for one in all {
            let id = one.agent.to_string();
            let stored = bench.service.find_agent(&operator, &id).unwrap();
            let stored = &stored.record;
            assert_eq!(one.revision, stored.revision);
            assert_eq!(one.email, stored.email.to_string());
        }
    }
}
