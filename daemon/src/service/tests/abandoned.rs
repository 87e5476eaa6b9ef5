//! Calls that are dropped while their commit waits in the queue.

use agentidp_shared::CredentialStatus;
use agentidp_shared::credential::MAX_LIVE_CREDENTIALS;
use futures_util::FutureExt as _;

use super::*;

fn key(thumbprint: &str) -> Proof {
    Proof::PublicKey(agentidp_shared::PublicKey {
        thumbprint: thumbprint.to_owned(),
        jwk: "{}".to_owned(),
    })
}

impl Bench {
    fn active(&self) -> usize {
        let operator = self.operator();
        let all = self.service.list_credentials(&operator, AGENT).unwrap();
        let active = all
            .iter()
            .filter(|it| it.status == CredentialStatus::Active);
        active.count()
    }

    /// Begins `call` and drops it as soon as its commit waits in the queue.
    async fn abandon<T>(&self, call: impl Future<Output = T>) {
        let queued = self.store.queued();
        let mut call = Box::pin(call);
        while self.store.queued() == queued {
            assert!(call.as_mut().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
    }

    async fn issue(&self, key: Proof) -> Result<Issued, Code> {
        let operator = self.operator();
        let issued = self.service.issue_credential(&operator, AGENT, key, None);
        issued.await.map_err(|error| error.code)
    }
}

#[tokio::test]
async fn a_revocation_ends_the_credential_whose_issuing_was_under_way_when_its_caller_went_away() {
    let bench = Bench::new().await;
    bench.store.queue_up();
    bench.abandon(bench.issue(key("one"))).await;
    let mut revoking = Box::pin(bench.transition(Transition::Revoke));
    assert!(revoking.as_mut().now_or_never().is_none());
    bench.store.settle();
    revoking.await.unwrap();
    assert_eq!(bench.active(), 0);
    let log = bench.log();
    let last: Vec<_> = log.iter().rev().take(3).map(|it| it.0).collect();
    let expected = [
        Action::CredentialRevoke,
        Action::AgentRevoke,
        Action::CredentialIssue,
    ];
    assert_eq!(last, expected);
}

#[tokio::test]
async fn who_goes_away_after_each_request_gets_no_more_credentials_than_others() {
    let bench = Bench::new().await;
    for number in bench.active() + 1..MAX_LIVE_CREDENTIALS {
        bench.issue(key(&number.to_string())).await.unwrap();
    }
    bench.store.queue_up();
    bench.abandon(bench.issue(key("the last"))).await;
    let mut another = Box::pin(bench.issue(key("another")));
    assert!(another.as_mut().now_or_never().is_none());
    bench.store.settle();
    assert_eq!(another.await.err(), Some(Code::LimitReached));
    assert_eq!(bench.active(), MAX_LIVE_CREDENTIALS);
}

#[tokio::test]
async fn a_hold_keeps_entries_from_being_removed_though_its_caller_goes_away() {
    let bench = Bench::new().await;
    let (operator, reason) = (bench.operator(), Some("the court asks".parse().unwrap()));
    bench.store.queue_up();
    let held = bench
        .service
        .hold_organization(&operator, "demo", true, reason, 0);
    bench.abandon(held).await;
    // As long as nobody knows of the hold.
    assert!(bench.service.keeping.alone.try_lock().is_err());
    bench.store.settle();
    drop(bench.service.keeping.alone.lock().await);
    let demo = bench.service.find_organization(&operator, "demo").unwrap();
    assert!(demo.record.is_held);
}
