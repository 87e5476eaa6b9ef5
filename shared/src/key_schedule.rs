//! When signing keys are made, sign, and leave: what is due, and what comes next.
//!
//! A key is published before it signs, for twice as long as the JWKS may be cached. So a copy that
//! is still fresh lists every key that signs, whenever it was fetched, as long as no copy is fresh
//! for longer than [`KeySchedule::jwks_max_age`]. And a key stays published until the last token that it signed
//! has expired.

use std::time::Duration;

use crate::key::{KeyState, NextChange, ScheduledKey, SigningAlgorithm, SigningKey};
use crate::time::Timestamp;
use crate::token::MAX_LIFETIME;

/// How long the JWKS may be cached when the configuration does not say.
pub const DEFAULT_JWKS_MAX_AGE: Duration = Duration::from_mins(5);

/// The longest that the configuration may let the JWKS be cached.
pub const LONGEST_JWKS_MAX_AGE: Duration = Duration::from_hours(1);

/// How long a key that signs no more is still published: as long as a token can live at most,
/// whatever the configuration says now, and a little more for the token that is being signed at
/// that moment and for resource servers whose clocks are slow.
const PUBLISHED_AFTER: Duration =
    Duration::from_secs(MAX_LIFETIME.as_secs() + DEFAULT_JWKS_MAX_AGE.as_secs());

/// What the configuration says of the keys' schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySchedule {
    /// What new keys sign with.
    pub algorithm: SigningAlgorithm,
    /// How long a key signs; `None`: until an operator replaces it.
    pub rotation_period: Option<Duration>,
    /// How long the JWKS may be cached.
    pub jwks_max_age: Duration,
}

/// One thing that is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// Make a key that signs at once: there is none, so nobody holds a token or a copy of the JWKS.
    CreateActive,
    /// Make a key and publish it.
    CreatePending,
    /// Let the pending key of this `kid` sign, and the one that signed before retire.
    Activate(String),
    /// Take the key of this `kid` out of the JWKS: no valid token is signed with it.
    Withdraw(String),
}

impl KeySchedule {
    /// How long a key is published before it signs: for the copies that were fetched just before it,
    /// and as long again for what is slow on the way.
    #[must_use]
    pub const fn published_before(&self) -> Duration {
        self.jwks_max_age.saturating_mul(2)
    }

    /// When a pending key comes to sign.
    fn activates_at(&self, pending: &SigningKey) -> Timestamp {
        pending.created_at.plus(self.published_before())
    }

    /// What is due first, if anything is. `keys` are newest first.
    #[must_use]
    pub fn due(&self, keys: &[SigningKey], now: Timestamp) -> Option<Due> {
        let of_state = |state: KeyState| keys.iter().filter(move |key| key.state == state);
        let is_over = |key: &&SigningKey| key.retires_at.is_some_and(|end| end <= now);
        if let Some(retired) = of_state(KeyState::Retiring).find(is_over) {
            return Some(Due::Withdraw(retired.kid.clone()));
        }
        let Some(active) = of_state(KeyState::Active).next() else {
            return Some(Due::CreateActive);
        };
        let next = self.successor(keys);
        let is_unwanted = |key: &&SigningKey| next.is_none_or(|next| next.kid != key.kid);
        if let Some(unwanted) = of_state(KeyState::Pending).find(is_unwanted) {
            return Some(Due::Withdraw(unwanted.kid.clone()));
        }
        if let Some(next) = next {
            return (self.activates_at(next) <= now).then(|| Due::Activate(next.kid.clone()));
        }
        let end = self.rotates_at(active)?;
        (end <= now.plus(self.published_before())).then_some(Due::CreatePending)
    }

    /// The pending key that comes to sign: the newest of the algorithm that is configured. The
    /// configuration may have changed, even twice, while a key waited.
    #[must_use]
    pub fn successor<'a>(&self, keys: &'a [SigningKey]) -> Option<&'a SigningKey> {
        keys.iter()
            .find(|key| key.state == KeyState::Pending && key.algorithm == self.algorithm)
    }

    /// `key`, which is one of `keys`, with what happens to it next.
    #[must_use]
    pub fn scheduled(&self, key: &SigningKey, keys: &[SigningKey], now: Timestamp) -> ScheduledKey {
        let successor = self.successor(keys);
        let change = |state, at| Some(NextChange { state, at });
        let next = match key.state {
            KeyState::Pending if successor.is_some_and(|it| it.kid == key.kid) => {
                change(KeyState::Active, self.activates_at(key))
            }
            // The configuration no longer asks for it.
            KeyState::Pending => change(KeyState::Retired, now),
            KeyState::Active => {
                // What is not published yet cannot sign before it was.
                let earliest = now.plus(self.published_before());
                successor
                    .map(|it| self.activates_at(it))
                    .or_else(|| self.rotates_at(key).map(|at| at.max(earliest)))
                    .and_then(|at| change(KeyState::Retiring, at))
            }
            KeyState::Retiring => key.retires_at.and_then(|at| change(KeyState::Retired, at)),
            KeyState::Retired | KeyState::Revoked => None,
        };
        ScheduledKey {
            key: key.clone(),
            next,
        }
    }

    /// When `active` should have a successor: at the end of its period, or at once when the
    /// configuration asks for another algorithm.
    fn rotates_at(&self, active: &SigningKey) -> Option<Timestamp> {
        let since = active.activated_at.unwrap_or(active.created_at);
        if active.algorithm != self.algorithm {
            return Some(since);
        }
        self.rotation_period.map(|period| since.plus(period))
    }
}

impl SigningKey {
    /// Lets it sign from `now` on.
    pub fn activate(&mut self, now: Timestamp) {
        self.state = KeyState::Active;
        self.activated_at = Some(now);
        self.revision += 1;
    }

    /// Lets it sign no more from `now` on, and stay published until its last token has expired.
    pub fn retire(&mut self, now: Timestamp) {
        self.state = KeyState::Retiring;
        self.retires_at = Some(now.plus(PUBLISHED_AFTER));
        self.revision += 1;
    }

    /// Takes it out of the JWKS in good order.
    pub fn withdraw(&mut self, now: Timestamp) {
        self.state = KeyState::Retired;
        self.retires_at = Some(now);
        self.revision += 1;
    }

    /// Takes it out of the JWKS because it is compromised.
    pub fn revoke(&mut self, now: Timestamp) {
        self.state = KeyState::Revoked;
        self.retires_at = Some(now);
        self.revision += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const DAY: Duration = Duration::from_hours(24);

    const JWKS_MAX_AGE: Duration = DEFAULT_JWKS_MAX_AGE;
    const PUBLISHED_BEFORE: Duration = SCHEDULE.published_before();
    const SCHEDULE: KeySchedule = KeySchedule {
        algorithm: SigningAlgorithm::Es256,
        rotation_period: Some(Duration::from_hours(30 * 24)),
        jwks_max_age: JWKS_MAX_AGE,
    };

    fn key(kid: &str, state: KeyState, created_at: Timestamp) -> SigningKey {
        SigningKey {
            kid: kid.to_owned(),
            algorithm: SigningAlgorithm::Es256,
            state,
            created_at,
            activated_at: (state != KeyState::Pending).then_some(created_at),
            retires_at: None,
            revision: 1,
        }
    }

    /// Does what is due until nothing is, as the daemon does; gives what was done.
    fn run(schedule: &KeySchedule, keys: &mut Vec<SigningKey>, now: Timestamp) -> Vec<Due> {
        let mut done = Vec::new();
        while let Some(due) = schedule.due(keys, now) {
            assert!(done.len() < 10, "it does not come to rest: {done:?}");
            let mut of = |kid: &str, change: fn(&mut SigningKey, Timestamp)| {
                let key = keys.iter_mut().find(|key| key.kid == kid);
                change(key.unwrap(), now);
            };
            match &due {
                Due::CreateActive | Due::CreatePending => {
                    let state = match due {
                        Due::CreateActive => KeyState::Active,
                        _ => KeyState::Pending,
                    };
                    let mut made = key(&format!("k{}", keys.len()), state, now);
                    made.algorithm = schedule.algorithm;
                    keys.insert(0, made);
                }
                Due::Activate(kid) => {
                    let active = keys.iter_mut().find(|key| key.state == KeyState::Active);
                    active.unwrap().retire(now);
                    let next = keys.iter_mut().find(|key| key.kid == *kid);
                    next.unwrap().activate(now);
                }
                Due::Withdraw(kid) => of(kid, SigningKey::withdraw),
            }
            done.push(due);
        }
        done
    }

    fn states(keys: &[SigningKey]) -> Vec<KeyState> {
        keys.iter().map(|key| key.state).collect()
    }

    #[test]
    fn a_key_is_replaced_when_its_period_ends_and_its_successor_was_published_before() {
        let mut keys = Vec::new();
        assert_eq!(run(&SCHEDULE, &mut keys, START), [Due::CreateActive]);
        let end = START.plus(30 * DAY);
        let publishes = end.as_millis() - 600_000;
        let just_before = Timestamp::from_millis(publishes - 1);
        assert_eq!(run(&SCHEDULE, &mut keys, just_before), []);
        let publishes = Timestamp::from_millis(publishes);
        assert_eq!(run(&SCHEDULE, &mut keys, publishes), [Due::CreatePending]);
        let late = Timestamp::from_millis(end.as_millis() - 1);
        assert_eq!(run(&SCHEDULE, &mut keys, late), []);
        assert_eq!(
            run(&SCHEDULE, &mut keys, end),
            [Due::Activate("k1".to_owned())]
        );
        assert_eq!(states(&keys), [KeyState::Active, KeyState::Retiring]);
        // The last token of the first key may have been signed at that moment, for a day.
        assert_eq!(run(&SCHEDULE, &mut keys, end.plus(DAY)), []);
        let gone = end.plus(DAY + JWKS_MAX_AGE);
        assert_eq!(
            run(&SCHEDULE, &mut keys, gone),
            [Due::Withdraw("k0".to_owned())]
        );
    }

    #[test]
    fn a_key_without_a_period_signs_until_someone_replaces_it() {
        let never = KeySchedule {
            rotation_period: None,
            ..SCHEDULE
        };
        let mut keys = vec![key("a", KeyState::Active, START)];
        let later = START.plus(10_000 * DAY);
        assert_eq!(run(&never, &mut keys, later), []);
        assert_eq!(never.scheduled(&keys[0], &keys, later).next, None);
    }

    #[test]
    fn a_period_that_was_shortened_counts_from_when_the_key_began_and_still_publishes_first() {
        let mut keys = vec![key("a", KeyState::Active, START)];
        let now = START.plus(10 * DAY);
        assert_eq!(run(&SCHEDULE, &mut keys, now), []);
        let short = KeySchedule {
            rotation_period: Some(2 * DAY),
            ..SCHEDULE
        };
        assert_eq!(run(&short, &mut keys, now), [Due::CreatePending]);
        assert_eq!(
            run(&short, &mut keys, now.plus(JWKS_MAX_AGE)),
            [],
            "copies of before may still be in use"
        );
        let signs = now.plus(PUBLISHED_BEFORE);
        assert_eq!(
            run(&short, &mut keys, signs),
            [Due::Activate("k1".to_owned())]
        );
    }

    #[test]
    fn a_pending_key_that_the_configuration_no_longer_asks_for_is_withdrawn() {
        let eddsa = KeySchedule {
            algorithm: SigningAlgorithm::EdDsa,
            ..SCHEDULE
        };
        let mut keys = vec![key("a", KeyState::Active, START)];
        assert_eq!(run(&eddsa, &mut keys, START), [Due::CreatePending]);
        assert_eq!(keys[0].algorithm, SigningAlgorithm::EdDsa);
        // And back again, while the first change still waits.
        assert_eq!(
            run(&SCHEDULE, &mut keys, START.plus(JWKS_MAX_AGE)),
            [Due::Withdraw("k1".to_owned())]
        );
        assert_eq!(states(&keys), [KeyState::Retired, KeyState::Active]);
        assert_eq!(run(&SCHEDULE, &mut keys, START.plus(DAY)), []);
    }

    #[test]
    fn of_two_pending_keys_the_newer_comes_to_sign() {
        let keys = [
            key("new", KeyState::Pending, START.plus(JWKS_MAX_AGE)),
            key("old", KeyState::Pending, START),
            key("a", KeyState::Active, START),
        ];
        assert_eq!(
            SCHEDULE.due(&keys, START.plus(DAY)),
            Some(Due::Withdraw("old".to_owned()))
        );
    }

    #[test]
    fn an_operator_sees_what_happens_to_each_key_next() {
        let mut retiring = key("r", KeyState::Active, START);
        retiring.retire(START);
        let mut revoked = key("x", KeyState::Active, START);
        revoked.revoke(START);
        let keys = [
            key("p", KeyState::Pending, START),
            key("a", KeyState::Active, START),
            retiring,
            revoked,
        ];
        let next = |index: usize, keys: &[SigningKey], now| {
            let scheduled = SCHEDULE.scheduled(&keys[index], keys, now);
            scheduled.next.map(|next| (next.state, next.at))
        };
        let signs = START.plus(PUBLISHED_BEFORE);
        assert_eq!(next(0, &keys, START), Some((KeyState::Active, signs)));
        assert_eq!(next(1, &keys, START), Some((KeyState::Retiring, signs)));
        let gone = START.plus(PUBLISHED_AFTER);
        assert_eq!(next(2, &keys, START), Some((KeyState::Retired, gone)));
        assert_eq!(next(3, &keys, START), None);
        // Without a successor, the end of the period; when that is over, as soon as may be.
        let alone = &keys[1..2];
        let end = START.plus(30 * DAY);
        assert_eq!(next(0, alone, START), Some((KeyState::Retiring, end)));
        let late = end.plus(DAY);
        assert_eq!(
            next(0, alone, late),
            Some((KeyState::Retiring, late.plus(PUBLISHED_BEFORE)))
        );
    }

    #[test]
    fn whatever_the_configuration_and_whenever_it_is_looked_at_a_fresh_copy_knows_each_key_that_signs()
     {
        // A copy of the JWKS is fetched at every look; one of them is kept for as long as allowed.
        for (period, look) in [
            (1, 5),
            (1, 301),
            (2, 599),
            (24, 600),
            (24, 3_601),
            (24, 90_000),
        ] {
            let (mut keys, mut copies) = (Vec::new(), Vec::new());
            let mut now = START;
            for turn in 0..2_000 {
                let schedule = KeySchedule {
                    // The configuration changes now and then, mid-way too.
                    algorithm: SigningAlgorithm::ALL[turn / 300 % 2],
                    rotation_period: (turn / 700 != 1).then_some(Duration::from_hours(period)),
                    jwks_max_age: JWKS_MAX_AGE,
                };
                run(&schedule, &mut keys, now);
                let published: Vec<String> = keys
                    .iter()
                    .filter(|key| key.state.is_published())
                    .map(|key| key.kid.clone())
                    .collect();
                copies.push((now, published));
                copies.retain(|(fetched, _)| now.since(*fetched) <= JWKS_MAX_AGE);
                let signs = keys.iter().filter(|key| key.state == KeyState::Active);
                let kids: Vec<_> = signs.map(|key| key.kid.clone()).collect();
                assert_eq!(kids.len(), 1);
                for (fetched, copy) in &copies {
                    assert!(
                        copy.contains(&kids[0]),
                        "{period} h, looked at every {look} s: {} of {fetched} at {now}",
                        kids[0]
                    );
                }
                now = now.plus(Duration::from_secs(look));
            }
        }
    }
}
