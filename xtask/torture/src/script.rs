//! The operations of a scripted run, one after the other.

use std::sync::Arc;

use agentidp_shared::Action;
use anyhow::ensure;

use crate::load::calls::IssuedTo;
use crate::load::hand::{Asked, Hand};
use crate::oracle::Oracle;
use crate::random::Random;
use crate::running::Running;

/// What came of the script.
pub(super) struct Outcome {
    /// The daemon said that it can write no more, and acknowledged nothing from then on.
    pub(super) is_read_only: bool,
}

/// How much is asked of a daemon that writes no more.
const STUBBORN: usize = 3;

/// Does one thing after another, as long as the daemon does them.
///
/// # Errors
///
/// When it acknowledges anything after it has said that it cannot write, or says that it is ready then.
pub(super) async fn run(
    running: &Running,
    oracle: &Arc<Oracle>,
    random: Random,
    name: &str,
) -> anyhow::Result<Outcome> {
    let mut hand = Hand::new(running, oracle, random, true).await?;
    let mut is_done = all(&mut hand, name).await?.is_some();
    if !is_done && hand.has_waited_for_room().await? {
        // It did what it did not call for room, and goes on with the rest.
        is_done = all(&mut hand, &format!("{name}-again")).await?.is_some();
    }
    if is_done {
        return Ok(Outcome {
            is_read_only: false,
        });
    }
    for number in 0..STUBBORN {
        let organization = format!("{name}-stubborn-{number}");
        ensure!(
            hand.create_organization(&organization).await?.is_none(),
            "a change is acknowledged after one could not be written"
        );
    }
    let steady = hand.oracle.some_client(&mut hand.random);
    if let Some(client) = steady {
        ensure!(
            matches!(hand.token(&client).await?, Asked::Nothing | Asked::Refused),
            "a token is given out after a change could not be written"
        );
    }
    let status = hand.operator.status().await?;
    ensure!(
        !status.ready,
        "the daemon says that it is ready, and cannot write"
    );
    ensure!(
        !status.not_ready_reason.is_empty(),
        "not ready, and no reason"
    );
    // What is there can still be read.
    ensure!(
        !hand.operator.all_organizations().await?.is_empty(),
        "nothing can be read"
    );
    Ok(Outcome { is_read_only: true })
}

/// `None` as soon as something was not acknowledged.
async fn all(hand: &mut Hand, name: &str) -> anyhow::Result<Option<()>> {
    let Some(organization) = hand.create_organization(&format!("{name}-org")).await? else {
        return Ok(None);
    };
    let email = format!("agent@{name}.example");
    let Some(agent) = hand.register(&organization, &email, "resume:read").await? else {
        return Ok(None);
    };
    let Some(first) = hand.issue(&agent).await? else {
        return Ok(None);
    };
    for _ in 0..2 {
        let why = "for an agent of the script";
        if hand.token_if(&first, true, why).await?.is_none() {
            return Ok(None);
        }
    }
    if let Some((jti, ..)) = hand
        .oracle
        .doom_a_token(&mut hand.random, |held| held.agent == first.id)
        && hand.revoke_token(jti).await?.is_none()
    {
        return Ok(None);
    }
    let Some(second) = hand.rotate(&first, false).await? else {
        return Ok(None);
    };
    if hand.update(&agent, "1.0.1".to_owned()).await?.is_none()
        || hand
            .move_agent(&agent, Action::AgentSuspend)
            .await?
            .is_none()
        || hand
            .token_if(&second, false, "for a suspended agent")
            .await?
            .is_none()
        || hand
            .move_agent(&agent, Action::AgentResume)
            .await?
            .is_none()
        || hand.revoke_issued(IssuedTo::Agent(&agent)).await?.is_none()
    {
        return Ok(None);
    }
    let why = "for an agent that was resumed";
    hand.token_if(&second, true, why).await
}
