//! The clock is put back and forth, and nothing that has ended counts again.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::clock::ClockStanding;
use crate::service::bearer::Presents;
use crate::service::revocation::TokenRef;

const START: i64 = 1_800_000_000_000;
const DAY: i64 = 86_400_000;

#[derive(Debug, Clone)]
enum Step {
    /// The clock is set to so many milliseconds after the beginning, or before it.
    Jump(i64),
    /// Time passes.
    Pass(u64),
    Issue,
    Revoke(usize),
    Rotate,
    /// The daemon is started anew.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => prop_oneof![
            -3 * DAY..3 * DAY,
            -40 * 365 * DAY..80 * 365 * DAY,
            -20 * 60_000..20 * 60_000_i64,
        ]
        .prop_map(Step::Jump),
        3 => (0..30 * 60_000_u64).prop_map(Step::Pass),
        3 => Just(Step::Issue),
        1 => any::<usize>().prop_map(Step::Revoke),
        1 => Just(Step::Rotate),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..40)
}

/// What has been seen to have ended.
#[derive(Default)]
struct Seen {
    tokens: Vec<String>,
    credentials: Vec<Issued>,
    jtis: BTreeSet<String>,
    ended_tokens: BTreeSet<usize>,
    ended_credentials: BTreeSet<usize>,
}

impl Seen {
    /// Asks about everything; what had ended must not count.
    async fn look(&mut self, bench: &Bench, reader: &Issued) {
        for (number, token) in self.tokens.iter().enumerate() {
            let presents = Presents::Client(bench.request(reader).client);
            let found = bench
                .service
                .introspect(&presents, token, bench.origin())
                .await
                .unwrap()
                .value;
            if found.is_none() {
                self.ended_tokens.insert(number);
            }
            assert!(
                found.is_none() || !self.ended_tokens.contains(&number),
                "token {number} counts again"
            );
        }
        for (number, issued) in self.credentials.iter().enumerate() {
            let client = bench.request(issued).client;
            let now = bench.service.now();
            let is_good = bench
                .service
                .authenticate(&client, now)
                .await
                .unwrap()
                .is_ok();
            if !is_good {
                self.ended_credentials.insert(number);
            }
            assert!(
                !is_good || !self.ended_credentials.contains(&number),
                "credential {number} counts again"
            );
        }
    }
}

impl Bench {
    fn entry_times(&self) -> Vec<Timestamp> {
        let filter = EntryFilter::default();
        let page = self.store.entries_before(None, &filter, 10_000).unwrap();
        let read = |it: &crate::store::StoredEntry| {
            serde_json::from_slice::<Entry>(&it.json).unwrap().time
        };
        page.entries.iter().rev().map(read).collect()
    }
}

async fn play(steps: Vec<Step>) {
    let mut bench = Bench::new().await;
    let reader = bench
        .agent_with("demo", "reader@demo.example", "tokens:read")
        .await;
    let mut seen = Seen::default();
    seen.credentials.push(bench.credential().await);
    for step in steps {
        match step {
            Step::Jump(by) => *bench.clock.0.lock() = Timestamp::from_millis(START + by),
            Step::Pass(millis) => bench.pass(Duration::from_millis(millis)),
            Step::Issue => {
                if let Some(issued) = seen.credentials.last()
                    && let Ok(token) = bench.token(issued).await
                {
                    let token = token.access_token.to_string();
                    let jti = token.clone();
                    assert!(seen.jtis.insert(jti), "a token twice");
                    seen.tokens.push(token);
                }
            }
            Step::Revoke(which) => {
                if let Some(token) = seen.tokens.get(which % seen.tokens.len().max(1)) {
                    let token = TokenRef::Token(token.clone());
                    let reason = Some("for the test".parse().unwrap());
                    // What has expired need not be revoked.
                    let _ = bench
                        .service
                        .revoke_token(&bench.operator(), token, reason)
                        .await;
                }
            }
            Step::Rotate => {
                let old = seen.credentials.last().unwrap().credential.id;
                let rotation = Rotation {
                    grace: Some(Duration::from_mins(10)),
                    ..Rotation::default()
                };
                let new = bench
                    .service
                    .rotate_credential(&bench.operator(), old, rotation)
                    .await;
                seen.credentials.extend(new);
            }
            Step::Restart => {
                bench.service.record(Action::DaemonStop).await.unwrap();
                bench = Box::pin(bench.restart()).await;
            }
        }
        seen.look(&bench, &reader).await;
    }
    let times = bench.entry_times();
    assert!(times.is_sorted(), "{times:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_to_the_clock_nothing_that_has_ended_counts_again(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(play(steps));
    }
}

#[tokio::test]
async fn a_clock_from_the_far_future_keeps_tokens_back_and_leaves_nothing_behind() {
    let bench = Bench::new().await;
    let issued = bench.credential().await;
    bench.set_ahead(Duration::from_hours(24 * 365 * 70));
    assert!(matches!(
        bench.service.clock_standing(),
        ClockStanding::Ahead(_)
    ));
    assert_eq!(bench.token(&issued).await.err(), Some(Code::ClockAhead));
    let reason = bench.service.not_ready_reason().unwrap();
    assert!(reason.contains("store accept"), "{reason}");
    // What takes power away works, and is dated by the log.
    bench.transition(Transition::Suspend).await.unwrap();
    bench.transition(Transition::Resume).await.unwrap();
    let latest = *bench.entry_times().last().unwrap();
    assert_eq!(latest.as_millis(), START);
    *bench.clock.0.lock() = Timestamp::from_millis(START + 1_000);
    assert!(bench.token(&issued).await.is_ok());
    assert_eq!(bench.service.not_ready_reason(), None);
    assert_eq!(bench.service.warnings(), Vec::<String>::new());
}

#[tokio::test]
async fn a_clock_that_is_behind_shows_and_holds_nothing_up() {
    let bench = Bench::new().await;
    let issued = bench.credential().await;
    *bench.clock.0.lock() = Timestamp::from_millis(START - 60_000);
    assert!(bench.token(&issued).await.is_ok());
    let warnings = bench.service.warnings();
    assert!(
        matches!(warnings.as_slice(), [only] if only.contains("60 s behind")),
        "{warnings:?}"
    );
    let health = bench.service.health().await;
    let clock = health.parts.iter().find(|part| part.name == "clock");
    assert_eq!(clock.unwrap().state, Condition::Degraded);
}

#[tokio::test]
async fn low_on_space_nothing_is_issued_or_registered_and_everything_can_be_taken_away() {
    let bench = Bench::new().await;
    let issued = bench.credential().await;
    bench.store.set_low(true);
    let before = bench.log().len();
    for _ in 0..100 {
        assert_eq!(bench.token(&issued).await.err(), Some(Code::StorageLow));
    }
    assert_eq!(
        bench.log().len(),
        before,
        "refusals do not fill what is left"
    );
    let again = bench
        .service
        .issue_credential(&bench.operator(), AGENT, Proof::ClientSecret, None)
        .await;
    assert_eq!(again.err().map(|it| it.code), Some(Code::StorageLow));
    bench.transition(Transition::Suspend).await.unwrap();
    bench.transition(Transition::Resume).await.unwrap();
    let reason = Some("for the test".parse().unwrap());
    let id = issued.credential.id;
    let revoked = bench
        .service
        .revoke_credential(&bench.operator(), id, reason, 0)
        .await;
    assert!(revoked.is_ok());
    assert_eq!(bench.service.not_ready_reason(), None);
    assert!(bench.service.warnings()[0].contains("low on space"));
    // They are counted, and the count is one entry that names nobody.
    bench.pass(Duration::from_mins(1));
    bench.service.flush_denials(false);
    let filter = EntryFilter {
        outcome: Some(Outcome::Failed),
        ..EntryFilter::default()
    };
    let page = bench.store.entries_before(None, &filter, 10).unwrap();
    let counts: Vec<Entry> = page
        .entries
        .iter()
        .map(|it| serde_json::from_slice(&it.json).unwrap())
        .collect();
    let [count] = counts.as_slice() else {
        panic!("{counts:?}");
    };
    assert_eq!(count.count, Some(100));
    assert_eq!(count.code, Some(Code::StorageLow));
    assert_eq!((&count.actor.address, &count.actor.id), (&None, &None));
    bench.store.set_low(false);
    assert!(bench.credential().await.secret.is_some());
}
