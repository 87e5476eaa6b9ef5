//! One who creates organizations and leads them through their lives.

use agentidp_proto::v1;
use agentidp_shared::Action;

use super::Flow;
use super::calls::IssuedTo;
use super::hand::Hand;
use crate::http::Client;
use crate::operator::Operator;

/// How many organizations there are of this kind at once; later ones take the place of earlier ones.
const ORGANIZATIONS: usize = 3;
/// How old credentials may be, at least, in seconds: longer than any run.
const AGE: u64 = 86_400 * 1_000;

struct Tenant {
    id: String,
    is_active: bool,
    client: Option<Client>,
    is_sure: bool,
}

/// Owns some organizations.
#[derive(Default)]
pub(super) struct Tenants {
    tenants: Vec<Tenant>,
    count: u64,
}

impl Tenants {
    /// Reads what has become of organizations that something was under way for.
    pub(super) async fn look_again(&mut self, operator: &Operator) -> anyhow::Result<()> {
        for tenant in self.tenants.iter_mut().filter(|tenant| !tenant.is_sure) {
            let request = v1::GetOrganizationRequest {
                organization: tenant.id.clone(),
            };
            let there = operator.organizations().get(request).await?.into_inner();
            tenant.is_active = there.status == "active";
            tenant.is_sure = true;
        }
        Ok(())
    }

    /// Does the next thing.
    pub(super) async fn step(&mut self, hand: &mut Hand) -> anyhow::Result<Flow> {
        self.count += 1;
        let is_full = self.tenants.len() >= ORGANIZATIONS;
        let done = if is_full && !hand.random.chance(5) {
            let place = hand.random.index(self.tenants.len());
            match self.tenants.get_mut(place) {
                Some(tenant) => {
                    tenant.is_sure = false;
                    let done = tenant.step(hand, self.count).await?;
                    tenant.is_sure = done.is_some();
                    done
                }
                None => None,
            }
        } else {
            self.create(hand).await?
        };
        Ok(if done.is_some() {
            Flow::Goes
        } else {
            Flow::Ends
        })
    }

    async fn create(&mut self, hand: &mut Hand) -> anyhow::Result<Option<()>> {
        let name = format!("tenant-{}", self.count);
        let Some(id) = hand.create_organization(&name).await? else {
            return Ok(None);
        };
        if self.tenants.len() >= ORGANIZATIONS {
            self.tenants.remove(0);
        }
        self.tenants.push(Tenant {
            id,
            is_active: true,
            client: None,
            is_sure: true,
        });
        Ok(Some(()))
    }
}

impl Tenant {
    async fn step(&mut self, hand: &mut Hand, count: u64) -> anyhow::Result<Option<()>> {
        let Some(client) = self.client.clone() else {
            let email = format!("agent-{count}@tenant.example");
            // In a suspended one there are no new agents.
            if self.is_active {
                self.client = hand.enrol(&self.id, &email, "resume:read").await?;
                return Ok(self.client.as_ref().map(|_| ()));
            }
            return self.turn(hand).await;
        };
        match hand.random.below(100) {
            0..30 => {
                let seconds = i64::try_from(AGE + count)?;
                hand.update_organization(&self.id, seconds).await
            }
            30..60 => {
                if self.turn(hand).await?.is_none() {
                    return Ok(None);
                }
                let why = "right after its organization was suspended or resumed";
                hand.token_if(&client, self.is_active, why).await
            }
            60..70 => hand.revoke_issued(IssuedTo::Organization(&self.id)).await,
            _ => {
                let why = "for an agent whose organization is active or is not";
                hand.token_if(&client, self.is_active, why).await
            }
        }
    }

    /// Suspends it, or resumes it.
    async fn turn(&mut self, hand: &mut Hand) -> anyhow::Result<Option<()>> {
        let action = if self.is_active {
            Action::OrganizationSuspend
        } else {
            Action::OrganizationResume
        };
        let done = hand.move_organization(&self.id, action).await?;
        if done.is_some() {
            self.is_active = !self.is_active;
        }
        Ok(done)
    }
}
