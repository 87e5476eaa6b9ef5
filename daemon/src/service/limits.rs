//! How often an address, an agent and an organization may ask.
//!
//! [`Service::admit`] counts an agent once it is known which one asks: where tokens are issued, and in
//! `bearer` for everything else. The interface calls [`Service::admit_address`] before it reads anything. Not before authentication is
//! an agent's bucket touched: otherwise anyone who knows its id could keep it from being served.
//!
//! The arithmetic is that of `agentidp_shared::rate`. What is here keeps the buckets, in bounded
//! memory whoever asks: one that is full again is forgotten, and those for which there is no room
//! share one.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::{IpAddr, Ipv6Addr};

use agentidp_shared::rate::Bucket;
use agentidp_shared::{
    Action, AgentId, Code, Entry, Exhausted, Headroom, OrganizationId, Outcome, Rate, Rates,
    RequestId, RequestKind, RequestLimits, Timestamp,
};
use parking_lot::Mutex;

use super::{Service, ServiceError};

/// Locks for each set of buckets, so that two cores seldom meet.
const SHARDS: usize = 16;
/// The most buckets under one lock: with all shards of all sets full that is 20 MiB.
const PER_SHARD: usize = 2_048;
/// How often at most, in milliseconds, a shard without room looks for buckets that are full again.
const FORGET_EVERY: u64 = 100;

/// The buckets of everyone who asked lately.
#[derive(Debug)]
pub(crate) struct Limits {
    token: Subjects,
    write: Subjects,
    read: Subjects,
}

/// The buckets of one kind of request.
#[derive(Debug)]
struct Subjects {
    address: Buckets,
    agent: Buckets,
    organization: Buckets,
}

impl Limits {
    /// Full buckets, at these rates.
    pub(super) fn new(limits: &RequestLimits) -> Self {
        let subjects = |rates: &Rates| Subjects {
            address: Buckets::new(rates.per_address),
            agent: Buckets::new(rates.per_agent),
            organization: Buckets::new(rates.per_organization),
        };
        Self {
            token: subjects(&limits.token),
            write: subjects(&limits.write),
            read: subjects(&limits.read),
        }
    }

    const fn of(&self, kind: RequestKind) -> &Subjects {
        match kind {
            RequestKind::Token => &self.token,
            RequestKind::Write => &self.write,
            RequestKind::Read => &self.read,
        }
    }

    /// Forgets whoever could ask as much as one who has never asked.
    fn forget_full(&self, now: Timestamp) {
        for subjects in [&self.token, &self.write, &self.read] {
            let Subjects {
                address,
                agent,
                organization,
            } = subjects;
            for buckets in [address, agent, organization] {
                buckets.forget_full(now);
            }
        }
    }
}

/// Buckets of one rate, by whose they are.
#[derive(Debug)]
struct Buckets {
    rate: Option<Rate>,
    /// Keyed at random, so that nobody can choose addresses that fall into one shard.
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    buckets: HashMap<u128, Bucket>,
    /// The one of all for whom there is no room.
    others: Bucket,
    forgotten_at: i64,
}

impl Buckets {
    fn new(rate: Option<Rate>) -> Self {
        Self {
            rate,
            hasher: RandomState::new(),
            shards: Default::default(),
        }
    }

    /// Takes a request out of the bucket of `key`; `None` where there is no limit.
    fn take(&self, key: u128, now: Timestamp) -> Result<Option<Headroom>, Exhausted> {
        let Some(rate) = &self.rate else {
            return Ok(None);
        };
        let hash = self.hasher.hash_one(key);
        let shard = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        let Some(shard) = self.shards.get(shard) else {
            return Ok(None);
        };
        let mut shard = shard.lock();
        let bucket = shard.bucket(key, rate, now);
        let (left, headroom) = rate.take(*bucket, now)?;
        *bucket = left;
        Ok(Some(headroom))
    }

    fn forget_full(&self, now: Timestamp) {
        let Some(rate) = &self.rate else { return };
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.forget_full(rate, now);
            let kept = shard.buckets.len();
            shard.buckets.shrink_to(kept * 2);
        }
    }
}

impl Shard {
    fn bucket(&mut self, key: u128, rate: &Rate, now: Timestamp) -> &mut Bucket {
        let is_full = |it: &Self| it.buckets.len() >= PER_SHARD;
        if is_full(self) && !self.buckets.contains_key(&key) {
            if now.as_millis().abs_diff(self.forgotten_at) >= FORGET_EVERY {
                self.forget_full(rate, now);
            }
            if is_full(self) {
                return &mut self.others;
            }
        }
        self.buckets.entry(key).or_default()
    }

    fn forget_full(&mut self, rate: &Rate, now: Timestamp) {
        self.forgotten_at = now.as_millis();
        self.buckets.retain(|_, bucket| !rate.is_full(*bucket, now));
    }
}

/// What an address is counted as: itself, or its network of 64 bits, all of which one host may have.
fn address_key(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_ipv6_mapped()),
        IpAddr::V6(address) => u128::from(Ipv6Addr::from(u128::from(address) >> 64 << 64)),
    }
}

/// The tighter of what is left in two buckets; one without limit says nothing.
pub(crate) fn tighter(one: Option<Headroom>, other: Option<Headroom>) -> Option<Headroom> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.tighter(other)),
        (one, other) => one.or(other),
    }
}

impl Service {
    /// Counts a request from `address`, before anything of it is read but its header. Refusals are put
    /// into the log, or counted.
    ///
    /// # Errors
    ///
    /// `RATE_LIMITED`.
    pub(crate) fn admit_address(
        &self,
        kind: RequestKind,
        address: IpAddr,
        request_id: RequestId,
    ) -> Result<Option<Headroom>, ServiceError> {
        let buckets = &self.limits.of(kind).address;
        let taken = buckets.take(address_key(address), self.now());
        taken.map_err(|exhausted| {
            let action = match kind {
                RequestKind::Token => Action::TokenIssue,
                RequestKind::Write | RequestKind::Read => Action::RequestRefuse,
            };
            self.deny_stranger(address, Code::RateLimited, Some(request_id), action);
            ServiceError::rate_limited(exhausted)
        })
    }

    /// Counts a request of an agent that has proved who it is, for it and for its organization.
    /// `refusal` makes the entry for the log when there is no room; its outcome and code are set here.
    ///
    /// What is left is for the answer's headers: the tighter of the two.
    ///
    /// # Errors
    ///
    /// `RATE_LIMITED`.
    pub(crate) fn admit(
        &self,
        kind: RequestKind,
        agent: AgentId,
        organization: OrganizationId,
        refusal: impl FnOnce() -> Entry,
    ) -> Result<Option<Headroom>, ServiceError> {
        let (now, buckets) = (self.now(), self.limits.of(kind));
        let of_agent = buckets
            .agent
            .take(u128::from_be_bytes(*agent.as_bytes()), now);
        // An agent that is beyond its own limit takes nothing from the others of its organization.
        let taken = of_agent.and_then(|of_agent| {
            let key = u128::from_be_bytes(*organization.as_bytes());
            Ok(tighter(of_agent, buckets.organization.take(key, now)?))
        });
        taken.map_err(|exhausted| {
            let mut entry = refusal();
            entry.outcome = Outcome::Denied;
            entry.code = Some(Code::RateLimited);
            self.deny(entry, agent);
            ServiceError::rate_limited(exhausted)
        })
    }

    /// Forgets the buckets of those who have not asked for a while.
    pub(crate) fn forget_full_buckets(&self) {
        self.limits.forget_full(self.now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + millis)
    }

    fn kept(buckets: &Buckets) -> usize {
        buckets
            .shards
            .iter()
            .map(|it| it.lock().buckets.len())
            .sum()
    }

    #[test]
    fn each_has_a_bucket_of_its_own() {
        let buckets = Buckets::new("1/m burst 2".parse().ok());
        for key in [1, 2] {
            let remaining = |taken: Option<Headroom>| taken.unwrap().remaining;
            assert_eq!(buckets.take(key, at(0)).map(remaining), Ok(1));
            assert_eq!(buckets.take(key, at(0)).map(remaining), Ok(0));
            assert!(buckets.take(key, at(0)).is_err());
        }
        assert_eq!(Buckets::new(None).take(1, at(0)), Ok(None));
    }

    #[test]
    fn buckets_that_are_full_again_are_forgotten() {
        let buckets = Buckets::new("1/s".parse().ok());
        for key in 0..1_000 {
            buckets.take(key, at(0)).unwrap();
        }
        buckets.forget_full(at(500));
        assert_eq!(kept(&buckets), 1_000);
        buckets.forget_full(at(1_000));
        assert_eq!(kept(&buckets), 0);
    }

    #[test]
    fn a_flood_of_addresses_stays_bounded_and_leaves_those_who_were_there_alone() {
        let buckets = Buckets::new("1/m burst 3".parse().ok());
        assert!(buckets.take(u128::MAX, at(0)).is_ok());
        let flood: u128 = 4 * (SHARDS * PER_SHARD) as u128;
        let served = (0..flood).filter(|key| buckets.take(*key, at(0)).is_ok());
        assert!(
            served.count() < SHARDS * (PER_SHARD + 3),
            "the rest share a bucket a shard"
        );
        assert_eq!(kept(&buckets), SHARDS * PER_SHARD);
        assert!(buckets.take(u128::MAX, at(0)).is_ok());
        // As soon as there is room again, newcomers have buckets of their own.
        let (key, later) = (flood + 1, at(60_000));
        assert!((0..3).all(|_| buckets.take(key, later).is_ok()));
        assert!(buckets.take(key, later).is_err());
    }

    #[test]
    fn an_address_is_counted_with_all_that_one_host_may_have() {
        let key = |text: &str| address_key(text.parse().unwrap());
        assert_eq!(key("192.0.2.7"), key("::ffff:192.0.2.7"));
        assert_ne!(key("192.0.2.7"), key("192.0.2.8"));
        assert_eq!(key("2001:db8:0:1::7"), key("2001:db8:0:1:ffff::8"));
        assert_ne!(key("2001:db8:0:1::7"), key("2001:db8:0:2::7"));
    }
}
