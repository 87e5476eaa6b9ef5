//! argon2 is asked only for what will be done.

use agentidp_shared::credential::MAX_LIVE_CREDENTIALS;
use agentidp_shared::{ClientSecret, CredentialId};
use futures_util::FutureExt as _;

use super::*;
use crate::crypto::secret::For;

#[tokio::test]
async fn who_may_have_no_more_credentials_is_refused_before_argon2() {
    let bench = Bench::new().await;
    for _ in 0..MAX_LIVE_CREDENTIALS {
        bench.credential().await;
    }
    let issue = async || {
        let operator = bench.operator();
        let issued = bench
            .service
            .issue_credential(&operator, AGENT, Proof::ClientSecret, None);
        issued.await.unwrap_err().code
    };
    assert_eq!(issue().await, Code::LimitReached);
    // Now that no hash can be had.
    let secret = || ClientSecret::new(CredentialId::from_bytes([9; 16]), &[1; 32]);
    let hash = || Box::pin(bench.service.secrets().hash(secret(), For::Operator));
    let mut waiting = Vec::new();
    loop {
        let mut one = hash();
        match one.as_mut().now_or_never() {
            None => waiting.push(one),
            Some(hashed) => break assert!(hashed.is_err()),
        }
    }
    assert_eq!(issue().await, Code::LimitReached);
}

/// As many as the daemon has are taken by something that does not end.
#[test]
fn a_daemon_whose_work_on_the_store_gets_no_turn_is_not_ready() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let bench = Bench::new().await;
        let second = Duration::from_secs(1);
        bench.service.watch_turns();
        tokio::task::spawn_blocking(|| {}).await.unwrap();
        bench.pass(10 * second);
        assert_eq!(bench.service.not_ready_reason(), None, "it had its turn");

        let (release, held) = std::sync::mpsc::channel::<()>();
        let holder = tokio::task::spawn_blocking(move || held.recv());
        bench.service.watch_turns();
        bench.pass(5 * second);
        assert_eq!(bench.service.not_ready_reason(), None);
        bench.pass(5 * second);
        bench.service.watch_turns();
        let reason = bench.service.not_ready_reason().unwrap();
        assert!(reason.contains("waited for 10 s"), "{reason}");
        drop(release);
        let _ = holder.await.unwrap();
        tokio::task::spawn_blocking(|| {}).await.unwrap();
        assert_eq!(bench.service.not_ready_reason(), None);
    });
}
