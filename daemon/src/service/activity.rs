//! How many tokens agents got and were refused lately: by the hour, for as many agents as there is room.
//!
//! Nothing depends on it, so it is kept in memory alone and begins anew with the daemon; what is
//! true for ever is in the audit log. It says itself from when on it knows.

use std::num::NonZeroUsize;

use agentidp_shared::{AgentId, Timestamp};
use lru::LruCache;
use parking_lot::Mutex;

use super::{Caller, Service, ServiceError};

/// How many hours it goes back, the one under way included.
const HOURS: usize = 24;

/// How many agents are remembered: those that asked last. About 300 bytes each.
const AGENTS: usize = 8_192;
const _: () = assert!(size_of::<Ring>() < 256);

const HOUR_MILLIS: i64 = 3_600_000;

/// What one agent got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AgentActivity {
    /// From when on it is known. What was before is not told.
    pub(crate) since: Timestamp,
    /// How many tokens it got in each of the last [`HOURS`] whole hours of UTC, the one under way last.
    pub(crate) issued: [u32; HOURS],
    /// How many requests for one were refused.
    pub(crate) denied: [u32; HOURS],
}

/// What the agents got that asked last.
#[derive(Debug)]
pub(super) struct Activity(Mutex<Recent>);

#[derive(Debug)]
struct Recent {
    agents: LruCache<AgentId, Ring>,
    /// An agent that is not here has asked for nothing since then.
    since: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct Ring {
    since: Timestamp,
    /// The number of the hour that was counted last.
    newest: i64,
    /// By the remainder of an hour's number.
    hours: [Counts; HOURS],
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    issued: u32,
    denied: u32,
}

fn hour(time: Timestamp) -> i64 {
    time.as_millis().div_euclid(HOUR_MILLIS)
}

/// The place of an hour in a ring.
fn place(hour: i64) -> usize {
    let hours = i64::try_from(HOURS).unwrap_or(24);
    usize::try_from(hour.rem_euclid(hours)).unwrap_or_default()
}

impl Ring {
    fn new(since: Timestamp, hour: i64) -> Self {
        Self {
            since,
            newest: hour,
            hours: [Counts::default(); HOURS],
        }
    }

    /// Lets go of the hours that are a day before `hour`.
    fn go_to(&mut self, hour: i64) {
        // Time does not go back here; if it did, the hour under way would have what comes.
        let hour = hour.max(self.newest);
        for gone in (self.newest + 1..=hour).rev().take(HOURS) {
            self.change(gone, |it| *it = Counts::default());
        }
        self.newest = hour;
    }

    fn change(&mut self, hour: i64, change: impl FnOnce(&mut Counts)) {
        if let Some(counts) = self.hours.get_mut(place(hour)) {
            change(counts);
        }
    }

    fn count(&mut self, hour: i64, add: impl FnOnce(&mut Counts)) {
        self.go_to(hour);
        self.change(self.newest, add);
    }

    fn picture(mut self, now: Timestamp) -> AgentActivity {
        self.go_to(hour(now));
        let mut picture = AgentActivity {
            since: self.since,
            issued: [0; HOURS],
            denied: [0; HOURS],
        };
        let hours = (0..).map_while(|ago| self.hours.get(place(self.newest - ago)));
        let slots = picture.issued.iter_mut().zip(&mut picture.denied).rev();
        for ((issued, denied), counts) in slots.zip(hours) {
            (*issued, *denied) = (counts.issued, counts.denied);
        }
        picture
    }
}

impl Activity {
    /// Nothing is known of what was before `now`.
    pub(super) fn new(now: Timestamp) -> Self {
        Self::of(NonZeroUsize::new(AGENTS).unwrap_or(NonZeroUsize::MIN), now)
    }

    fn of(capacity: NonZeroUsize, now: Timestamp) -> Self {
        Self(Mutex::new(Recent {
            agents: LruCache::new(capacity),
            since: now,
        }))
    }

    /// The agent got a token.
    pub(super) fn issued(&self, agent: AgentId, now: Timestamp) {
        self.count(agent, now, |it| it.issued = it.issued.saturating_add(1));
    }

    /// The agent, or who gave its id, asked for a token and got none.
    pub(super) fn denied(&self, agent: AgentId, now: Timestamp) {
        self.count(agent, now, |it| it.denied = it.denied.saturating_add(1));
    }

    fn count(&self, agent: AgentId, now: Timestamp, add: impl FnOnce(&mut Counts)) {
        let mut recent = self.0.lock();
        let hour = hour(now);
        if let Some(ring) = recent.agents.get_mut(&agent) {
            ring.count(hour, add);
            return;
        }
        let mut ring = Ring::new(recent.since, hour);
        ring.count(hour, add);
        if recent.agents.push(agent, ring).is_some() {
            recent.since = now;
        }
    }

    fn of_agent(&self, agent: AgentId, now: Timestamp) -> AgentActivity {
        let recent = self.0.lock();
        // Looking at an agent does not make it one that asked.
        let ring = recent.agents.peek(&agent).copied();
        let ring = ring.unwrap_or_else(|| Ring::new(recent.since, hour(now)));
        drop(recent);
        ring.picture(now)
    }
}

impl Service {
    /// What an agent got lately, by its id or e-mail.
    ///
    /// # Errors
    ///
    /// `AGENT_NOT_FOUND`.
    pub(crate) fn agent_activity(
        &self,
        caller: &Caller,
        agent: &str,
    ) -> Result<AgentActivity, ServiceError> {
        let agent = self.find_agent(caller, agent)?;
        Ok(self.activity.of_agent(agent.record.id, self.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(number: u128) -> AgentId {
        AgentId::from_bytes(number.to_be_bytes())
    }

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_millis((500_000 + hours) * HOUR_MILLIS + 7)
    }

    /// The last hours of it, the newest last.
    fn end<const N: usize>(counts: [u32; HOURS]) -> [u32; N] {
        *counts.last_chunk().unwrap()
    }

    #[test]
    fn what_an_agent_got_is_counted_by_the_hour_and_forgotten_after_a_day() {
        let activity = Activity::new(at(0));
        activity.issued(agent(1), at(0));
        activity.issued(agent(1), at(0));
        activity.denied(agent(1), at(2));
        activity.issued(agent(2), at(2));
        let seen = activity.of_agent(agent(1), at(3));
        assert_eq!(end(seen.issued), [2, 0, 0, 0]);
        assert_eq!(end(seen.denied), [0, 0, 1, 0]);
        let seen = activity.of_agent(agent(1), at(23));
        assert_eq!(seen.issued.first(), Some(&2));
        activity.issued(agent(1), at(25));
        let seen = activity.of_agent(agent(1), at(25));
        assert_eq!(seen.issued.iter().sum::<u32>(), 1);
        assert_eq!(seen.denied.first(), Some(&1));
        let seen = activity.of_agent(agent(1), at(1_000));
        assert_eq!((seen.issued, seen.denied), ([0; HOURS], [0; HOURS]));
        activity.issued(agent(1), at(1_000));
        let seen = activity.of_agent(agent(1), at(1_000));
        assert_eq!(end(seen.issued), [0, 1]);
    }

    #[test]
    fn only_so_many_agents_are_remembered_and_what_is_forgotten_is_not_told_as_nothing() {
        let capacity = NonZeroUsize::new(2).unwrap();
        let activity = Activity::of(capacity, at(0));
        let since = |number| activity.of_agent(agent(number), at(9)).since;
        activity.issued(agent(1), at(1));
        activity.issued(agent(2), at(2));
        assert_eq!((since(1), since(3)), (at(0), at(0)));
        // The first asked last, so the second makes room.
        activity.denied(agent(1), at(3));
        activity.issued(agent(3), at(4));
        assert_eq!(activity.0.lock().agents.len(), 2);
        let kept = activity.of_agent(agent(1), at(4));
        assert_eq!((kept.since, kept.issued.iter().sum::<u32>()), (at(0), 1));
        assert_eq!((since(3), since(2)), (at(0), at(4)));
    }
}
