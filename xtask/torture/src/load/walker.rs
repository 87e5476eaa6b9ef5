//! One who registers agents and leads them through their lives.

use agentidp_proto::v1;
use agentidp_shared::Action;

use super::Flow;
use super::calls::IssuedTo;
use super::hand::Hand;
use crate::http::Client;
use crate::operator::Operator;

/// How many agents are led at once.
const AGENTS: usize = 5;
/// How many credentials an agent has at most.
const CREDENTIALS: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Active,
    Suspended,
    Ended,
}

struct Mine {
    id: String,
    status: Status,
    /// Its credentials that are accepted.
    credentials: Vec<Client>,
    /// Whether nothing of it is under way.
    is_sure: bool,
}

/// Owns some agents.
pub(super) struct Walker {
    number: usize,
    organization: &'static str,
    agents: Vec<Mine>,
    /// What is counted up, so that no name and no version is used twice.
    count: u64,
}

impl Walker {
    pub(super) const fn new(number: usize, organization: &'static str) -> Self {
        Self {
            number,
            organization,
            agents: Vec::new(),
            count: 0,
        }
    }

    pub(super) const fn number(&self) -> usize {
        self.number
    }

    /// Reads what has become of agents that something was under way for.
    pub(super) async fn look_again(&mut self, operator: &Operator) -> anyhow::Result<()> {
        for mine in self.agents.iter_mut().filter(|mine| !mine.is_sure) {
            let request = v1::GetAgentRequest {
                agent: mine.id.clone(),
            };
            let agent = operator.agents().get(request).await?.into_inner();
            mine.status = match agent.status.as_str() {
                "active" => Status::Active,
                "suspended" => Status::Suspended,
                _ => Status::Ended,
            };
            let there = operator.credentials_of(&mine.id).await?;
            // One that is being replaced cannot be replaced once more.
            mine.credentials.retain(|client| {
                let id = client.credential.to_string();
                there.iter().any(|it| it.id == id && it.status == "active")
            });
            mine.is_sure = true;
        }
        self.agents.retain(|mine| mine.status != Status::Ended);
        Ok(())
    }

    /// Does the next thing.
    pub(super) async fn step(&mut self, hand: &mut Hand) -> anyhow::Result<Flow> {
        self.count += 1;
        self.agents.retain(|mine| mine.status != Status::Ended);
        let done = if self.agents.len() < AGENTS {
            self.register(hand).await?
        } else {
            let place = hand.random.index(self.agents.len());
            match self.agents.get_mut(place) {
                Some(mine) => {
                    mine.is_sure = false;
                    let done = mine.step(hand, self.count).await?;
                    mine.is_sure = done.is_some();
                    done
                }
                None => None,
            }
        };
        Ok(if done.is_some() {
            Flow::Goes
        } else {
            Flow::Ends
        })
    }

    async fn register(&mut self, hand: &mut Hand) -> anyhow::Result<Option<()>> {
        let (number, count) = (self.number, self.count);
        let email = format!("agent-{number}-{count}@{}.example", self.organization);
        let made = hand
            .register(self.organization, &email, "resume:read")
            .await?;
        let Some(id) = made else { return Ok(None) };
        self.agents.push(Mine {
            id,
            status: Status::Active,
            credentials: Vec::new(),
            is_sure: true,
        });
        Ok(Some(()))
    }
}

impl Mine {
    /// Does something to the agent; `None` when nobody knows what it came to.
    async fn step(&mut self, hand: &mut Hand, count: u64) -> anyhow::Result<Option<()>> {
        let drawn = hand.random.below(100);
        if drawn < 4 {
            return self.end(hand).await;
        }
        match self.status {
            Status::Ended => Ok(Some(())),
            Status::Suspended if drawn < 30 => self.ask(hand, false).await,
            Status::Suspended => {
                let done = hand.move_agent(&self.id, Action::AgentResume).await?;
                Ok(self.status_after(done, Status::Active))
            }
            Status::Active => match drawn {
                0..40 => hand.update(&self.id, format!("1.0.{count}")).await,
                40..55 => {
                    let done = hand.move_agent(&self.id, Action::AgentSuspend).await?;
                    if self.status_after(done, Status::Suspended).is_none() {
                        return Ok(None);
                    }
                    self.ask(hand, false).await
                }
                55..63 if self.credentials.len() < CREDENTIALS => self.issue(hand).await,
                63..70 => self.rotate(hand).await,
                70..75 => self.revoke(hand).await,
                75..80 => hand.revoke_issued(IssuedTo::Agent(&self.id)).await,
                _ => self.ask(hand, true).await,
            },
        }
    }

    const fn status_after(&mut self, done: Option<()>, status: Status) -> Option<()> {
        if done.is_some() {
            self.status = status;
        }
        done
    }

    /// Asks for a token with one of its credentials.
    async fn ask(&self, hand: &mut Hand, is_due: bool) -> anyhow::Result<Option<()>> {
        let Some(client) = hand.random.one_of(&self.credentials).cloned() else {
            return Ok(Some(()));
        };
        let why = if is_due {
            "for an active agent"
        } else {
            "for an agent that is suspended or has ended"
        };
        hand.token_if(&client, is_due, why).await
    }

    async fn end(&mut self, hand: &mut Hand) -> anyhow::Result<Option<()>> {
        let action = if hand.random.chance(50) {
            Action::AgentRevoke
        } else {
            Action::AgentDecommission
        };
        let done = hand.move_agent(&self.id, action).await?;
        if self.status_after(done, Status::Ended).is_none() {
            return Ok(None);
        }
        self.ask(hand, false).await
    }

    async fn issue(&mut self, hand: &mut Hand) -> anyhow::Result<Option<()>> {
        let Some(client) = hand.issue(&self.id).await? else {
            return Ok(None);
        };
        self.credentials.push(client);
        Ok(Some(()))
    }

    /// Rotates a credential that has not been rotated yet.
    async fn rotate(&mut self, hand: &mut Hand) -> anyhow::Result<Option<()>> {
        // The newest one has not: what retires stands before its successor.
        let Some(old) = self.credentials.pop() else {
            return self.issue(hand).await;
        };
        let has_grace = hand.random.chance(50) && self.credentials.len() + 1 < CREDENTIALS;
        let rotated = hand.rotate(&old, has_grace).await?;
        if has_grace || rotated.is_none() {
            self.credentials.push(old.clone());
        }
        let Some(new) = rotated else { return Ok(None) };
        self.credentials.push(new);
        if has_grace {
            return Ok(Some(()));
        }
        let why = "for a credential that was replaced without grace";
        hand.token_if(&old, false, why).await
    }

    async fn revoke(&mut self, hand: &mut Hand) -> anyhow::Result<Option<()>> {
        if self.credentials.is_empty() {
            return Ok(Some(()));
        }
        // Only one from the front is sure to stay behind those that are still to be rotated.
        let client = self.credentials.remove(0);
        let Some(()) = hand.revoke_credential(&client).await? else {
            self.credentials.insert(0, client);
            return Ok(None);
        };
        let why = "for a credential that is revoked";
        hand.token_if(&client, false, why).await
    }
}
