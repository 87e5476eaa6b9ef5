//! Many agents at once.

use agentidp_shared::AgentStatus;

use super::*;
use crate::service::agent::{MAX_AT_ONCE, Registration};
use crate::service::bulk::{Bulk, Progress};
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
    let Progress { matched, done, .. } = first.unwrap();
    assert_eq!(matched, 300);
    let suspended = bench.suspended().await;
    assert!(
        (usize::try_from(done).unwrap()..300).contains(&suspended),
        "{suspended}"
    );
}
