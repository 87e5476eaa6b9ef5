//! Those who ask for tokens, and revoke some.

use std::collections::HashSet;

use agentidp_shared::AgentId;
use anyhow::{bail, ensure};

use super::Flow;
use super::hand::{Asked, Hand};
use crate::http::{Answer, Client};

/// Asks for a token, of an agent that nobody touches or of any other, or revokes one.
pub(super) async fn step(hand: &mut Hand, steady: &[Client]) -> anyhow::Result<Flow> {
    let drawn = hand.random.below(100);
    if drawn < 3 {
        return revoke_as_operator(hand).await;
    }
    if drawn < 8 {
        return revoke_as_client(hand, steady).await;
    }
    if drawn < 14 {
        // It may be suspended or revoked meanwhile: the order of the log tells who was right.
        return match hand.oracle.some_client(&mut hand.random) {
            Some(client) => Ok(match hand.token(&client).await? {
                Asked::Nothing => Flow::Ends,
                Asked::Token | Asked::Refused => Flow::Goes,
            }),
            None => Ok(Flow::Goes),
        };
    }
    let Some(client) = hand.random.one_of(steady).cloned() else {
        return Ok(Flow::Ends);
    };
    let why = "for an agent that nobody has touched";
    Ok(match hand.token_if(&client, true, why).await? {
        Some(()) => Flow::Goes,
        None => Flow::Ends,
    })
}

async fn revoke_as_operator(hand: &mut Hand) -> anyhow::Result<Flow> {
    let Some((jti, ..)) = hand.oracle.doom_a_token(&mut hand.random, |_| true) else {
        return Ok(Flow::Goes);
    };
    Ok(match hand.revoke_token(jti).await? {
        Some(()) => Flow::Goes,
        None => Flow::Ends,
    })
}

/// A client revokes a token of its own (RFC 7009).
async fn revoke_as_client(hand: &mut Hand, steady: &[Client]) -> anyhow::Result<Flow> {
    let ids: HashSet<AgentId> = steady.iter().map(|client| client.id).collect();
    let is_steady = |held: &crate::oracle::Held| ids.contains(&held.agent);
    let Some((jti, text, held)) = hand.oracle.doom_a_token(&mut hand.random, is_steady) else {
        return Ok(Flow::Goes);
    };
    let Some(client) = steady.iter().find(|client| client.id == held.agent) else {
        return Ok(Flow::Goes);
    };
    let power = hand.oracle.power();
    match hand.http.revoke(client, &text).await? {
        _ if !hand.oracle.counts(power) => {
            hand.oracle.unanswered();
            return Ok(Flow::Ends);
        }
        Answer::Status(200, _) => hand.oracle.revoked(jti),
        Answer::Gone | Answer::Status(503, _) => {
            hand.oracle.unanswered();
            return Ok(Flow::Ends);
        }
        other @ Answer::Status(..) => bail!("{other:?} to a revocation"),
    }
    if hand.random.chance(30) {
        let Ok(seen) = hand.operator.inspect(&text).await else {
            return Ok(Flow::Ends);
        };
        ensure!(!seen.active, "token {jti} is active after its revocation");
    }
    Ok(Flow::Goes)
}
