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
