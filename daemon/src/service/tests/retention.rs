//! What the audit log keeps no longer, and what it keeps whatever its age.

use agentidp_shared::merkle::{Checkpoint, verify_consistency};
use agentidp_shared::{Pruned, TargetKind};
use futures_util::poll;

use super::evidence::ALL;
use super::*;
use crate::service::about::About;
use crate::service::grace::Waits;
use crate::service::retention::{Asked, LastRun, Progress};
use crate::store::Commit;

const DAY: Duration = Duration::from_hours(24);
/// About how many bytes of the model 256 of the entries take.
const BUNDLE: u64 = 256 * 220;

fn older_than(days: u32) -> Asked {
    let retention = Retention {
        keep_for: Some(DAY * days),
        keep_bytes: None,
    };
    Asked {
        retention,
        reason: Some("they are old".parse().unwrap()),
        is_dry: false,
    }
}

fn dry(asked: &Asked) -> Asked {
    Asked {
        is_dry: true,
        reason: None,
        retention: asked.retention,
    }
}

impl Bench {
    /// Writes entries about an organization.
    async fn fill(&self, count: u64, organization: Option<OrganizationId>) {
        for _ in 0..count {
            let (now, action) = (self.service.now(), Action::AgentShow);
            let mut entry = Entry::new(now, Actor::system(), action, Outcome::Success);
            entry.organization_id = organization;
            self.store.commit(Commit::new(entry)).await.unwrap();
        }
    }

    async fn prune(&self, asked: Asked) -> Result<Progress, Code> {
        let pruning = self.service.plan_pruning(&self.operator(), asked);
        let pruning = pruning.map_err(|error| error.code)?;
        let (sender, _steps) = tokio::sync::mpsc::channel(1_000);
        let (done, pruned) = self.service.prune_log(pruning, &sender).await;
        pruned.map(|()| done).map_err(|error| error.code)
    }

    async fn set_held(&self, is_held: bool) -> Changed<Organization> {
        let (operator, reason) = (self.operator(), Some("the court asks".parse().unwrap()));
        let service = &self.service;
        let changed = service.hold_organization(&operator, "demo", is_held, reason, 0);
        changed.await.unwrap()
    }

    fn entries(&self) -> Vec<Entry> {
        let all = self.store.entries_from(0, usize::MAX).unwrap();
        let entries = all.iter().map(|it| serde_json::from_slice(&it.json));
        entries.map(Result::unwrap).collect()
    }

    /// The entries that account for records as they are.
    fn accounts(&self) -> Vec<u64> {
        let mut last = std::collections::BTreeMap::new();
        for entry in self.entries() {
            if let Some(target) = entry.target.filter(|it| it.digest.is_some()) {
                last.insert((target.kind.as_str(), target.id), entry.seq);
            }
        }
        let mut places: Vec<_> = last.into_values().collect();
        places.sort_unstable();
        places
    }

    /// How many of the entries before `end` account for no record.
    fn removable(&self, end: u64) -> u64 {
        let stay = self.accounts().iter().filter(|it| **it < end).count();
        end - stay as u64
    }

    /// The first entry that is like those of [`Bench::fill`].
    fn first_filled(&self) -> u64 {
        let entries = self.entries();
        let is_it = |it: &&Entry| it.action == Action::AgentShow;
        entries.iter().find(is_it).unwrap().seq
    }

    fn size(&self) -> u64 {
        *self.store.head().borrow()
    }

    /// The newest entry.
    fn last(&self) -> Entry {
        self.entries().pop().unwrap()
    }
}

#[tokio::test]
async fn what_is_older_is_removed_in_whole_bundles_and_the_log_says_so() {
    let bench = Bench::new().await;
    bench.fill(600, None).await;
    let old = bench.size() / 256 * 256;
    bench.pass(DAY * 60);
    bench.fill(600, None).await;
    let size = bench.size();
    let mut stay = bench.accounts();
    stay.retain(|seq| *seq < old);
    assert!(stay.len() > 3, "{stay:?}");
    let removed = old - stay.len() as u64;
    let done = bench.prune(older_than(30)).await.unwrap();
    assert_eq!((done.entries, done.held), (removed, 0));
    assert!(done.bytes > 0);
    assert_eq!(done.audit_seq, Some(size));
    let left: Vec<_> = bench.entries().iter().map(|it| it.seq).collect();
    let expected: Vec<_> = stay.iter().copied().chain(old..=size).collect();
    assert_eq!(left, expected);
    let last = bench.last();
    assert_eq!(
        (last.action, last.outcome),
        (Action::AuditPrune, Outcome::Success)
    );
    assert_eq!(last.actor.name.as_deref(), Some("alice"));
    assert_eq!(last.reason, Some("they are old".parse().unwrap()));
    assert_eq!(last.count, Some(removed));
    assert_eq!(last.pruned, Some(Pruned::new(0..old, &stay).unwrap()));
    // A second time nothing is left to do, and it is noted that somebody asked.
    let again = bench.prune(older_than(30)).await.unwrap();
    assert_eq!((again.entries, again.audit_seq), (0, Some(size + 1)));
    assert_eq!(bench.last().pruned, None);
}

#[tokio::test]
async fn a_dry_run_tells_the_same_and_removes_nothing() {
    let bench = Bench::new().await;
    bench.fill(600, None).await;
    bench.pass(DAY * 60);
    let before = bench.entries();
    let told = bench.prune(dry(&older_than(30))).await.unwrap();
    let entries = bench.entries();
    assert_eq!(entries[..before.len()], before);
    assert_eq!(entries.len(), before.len() + 1, "that somebody looked");
    let last = bench.last();
    assert_eq!((last.action, last.pruned), (Action::AuditPrune, None));
    assert_eq!(told.audit_seq, Some(last.seq));
    let done = bench.prune(older_than(30)).await.unwrap();
    let numbers = |it: Progress| (it.entries, it.bytes, it.held);
    assert_eq!(numbers(done), numbers(told));
    assert!(done.entries > 400);
}

#[tokio::test]
async fn the_oldest_go_when_there_is_more_than_may_be_however_new_they_are() {
    let bench = Bench::new().await;
    bench.fill(2_000, None).await;
    let mut asked = older_than(1);
    asked.retention = Retention {
        keep_for: None,
        keep_bytes: Some(BUNDLE * 3),
    };
    let done = bench.prune(asked.clone()).await.unwrap();
    let first = bench.first_filled();
    assert_eq!((done.entries, first % 256), (bench.removable(first), 0));
    let there: u64 = (0..bench.size() / 256)
        .map(|number| bench.store.bundle_bytes(number).unwrap())
        .sum();
    assert!((BUNDLE..=BUNDLE * 3).contains(&there), "{there}");
    // Both together: what is too old, or too much.
    bench.pass(DAY * 2);
    asked.retention.keep_for = Some(DAY);
    let _ = bench.prune(asked).await.unwrap();
    assert!(bench.first_filled() >= 2_000 / 256 * 256);
}

#[tokio::test]
async fn nothing_of_an_organization_under_legal_hold_is_removed_until_it_is_lifted() {
    let bench = Bench::new().await;
    let (demo, _) = bench.of_demo();
    for _ in 0..300 {
        bench.fill(1, Some(demo)).await;
        bench.fill(2, None).await;
    }
    let held = bench.set_held(true).await;
    assert!(held.record.is_held);
    let again = bench.set_held(true).await;
    assert!(again.record.is_held);
    bench.pass(DAY * 60);
    bench.fill(256, None).await;
    let of_demo = |entries: Vec<Entry>| -> Vec<u64> {
        let theirs = entries
            .into_iter()
            .filter(|it| it.organization_id == Some(demo));
        theirs.map(|it| it.seq).collect()
    };
    let before = of_demo(bench.entries());
    let done = bench.prune(older_than(30)).await.unwrap();
    assert!(done.entries > 500 && done.held > 250, "{done:?}");
    let pruned = bench.last().pruned.unwrap();
    assert!(before.iter().all(|seq| !pruned.removes(*seq)));
    assert_eq!(of_demo(bench.entries()), before);
    // It holds for a daemon that is started anew.
    let bench = Box::pin(bench.restart()).await;
    assert_eq!(bench.prune(older_than(30)).await.unwrap().entries, 0);
    assert_eq!(of_demo(bench.entries()), before);

    let released = bench.set_held(false).await;
    assert!(!released.record.is_held);
    assert_eq!(bench.last().action, Action::OrganizationRelease);
    let after = bench.prune(older_than(30)).await.unwrap();
    assert_eq!((after.entries, after.held), (done.held, 0));
    let left = of_demo(bench.entries());
    let accounts = bench.accounts();
    let is_new = |seq: &u64| *seq >= 900 / 256 * 256;
    let stay = left.iter().filter(|seq| !is_new(seq));
    assert!(stay.clone().count() > 0, "the agents' are there");
    assert!(stay.clone().all(|seq| accounts.contains(seq)), "{left:?}");
}

#[tokio::test]
async fn each_hold_and_each_release_is_in_the_log_with_its_reason() {
    let bench = Bench::new().await;
    let operator = bench.operator();
    for (is_held, reason) in [
        (true, "case A"),
        (true, "case B"),
        (false, "case A is closed"),
        (false, "case B is closed"),
    ] {
        let why = Some(reason.parse().unwrap());
        let service = &bench.service;
        let changed = service.hold_organization(&operator, "demo", is_held, why.clone(), 0);
        let changed = changed.await.unwrap();
        let last = bench.last();
        assert_eq!((last.seq, last.reason), (changed.audit_seq, why));
        let action = if is_held {
            Action::OrganizationHold
        } else {
            Action::OrganizationRelease
        };
        assert_eq!(last.action, action);
        // One release ends them all.
        assert_eq!(changed.record.is_held, is_held);
    }
}

#[tokio::test]
async fn a_hold_is_never_between_the_decision_on_what_to_remove_and_its_removal() {
    let bench = Bench::new().await;
    bench.fill(600, None).await;
    bench.pass(DAY * 60);
    let alone = bench.service.keeping.alone.lock().await;
    let mut hold = std::pin::pin!(bench.set_held(true));
    let mut prune = std::pin::pin!(bench.prune(older_than(30)));
    assert!(poll!(&mut hold).is_pending());
    assert!(poll!(&mut prune).is_pending());
    let size = bench.size();
    drop(alone);
    // In their order, each as a whole.
    assert_eq!(hold.await.audit_seq, size);
    assert!(prune.await.unwrap().audit_seq > Some(size));
}

#[tokio::test]
async fn what_remains_of_a_pruned_log_still_proves() {
    let bench = Bench::new().await;
    let (demo, _) = bench.of_demo();
    bench.fill(300, Some(demo)).await;
    bench.fill(300, None).await;
    bench.sign().await;
    let verifier = bench.service.log_verifier();
    let signed = bench.service.newest_checkpoint().await.unwrap();
    let before = Checkpoint::verified(&signed.note, verifier).unwrap();
    let _ = bench.set_held(true).await;
    bench.pass(DAY * 60);
    bench.fill(10, None).await;
    let done = bench.prune(older_than(30)).await.unwrap();
    assert!(done.entries > 0 && done.held > 0);
    bench.sign().await;

    let operator = bench.operator();
    for entry in bench.entries() {
        let proof = bench.service.prove_entry(&operator, entry.seq).await;
        assert_eq!(proof.unwrap().verify(verifier).unwrap().size, bench.size());
    }
    let there: Vec<_> = bench.entries().iter().map(|it| it.seq).collect();
    let gone = (0..bench.size()).find(|seq| !there.contains(seq)).unwrap();
    let refused = bench.service.prove_entry(&operator, gone).await;
    let refused = refused.unwrap_err();
    assert!(
        refused.message.contains("was pruned"),
        "{}",
        refused.message
    );
    let never = bench.service.prove_entry(&operator, bench.size()).await;
    assert!(!never.unwrap_err().message.contains("was pruned"));
    let grown = bench.service.prove_growth(before.size, None).await.unwrap();
    let now = Checkpoint::verified(&grown.checkpoint, verifier).unwrap();
    verify_consistency(before.size, now.size, &before.root, &now.root, &grown.proof).unwrap();

    let report = bench.export(&operator, ALL).await.unwrap();
    assert_eq!((report.from, report.to), (0, bench.size()));
    assert_eq!((report.pruned, report.unexplained), (done.entries, 0));
    assert_eq!(report.entries + report.pruned, report.to);
    let (demo, theirs) = bench.of_demo();
    let own = crate::service::log::ExportRange {
        organization: Some(demo),
        ..ALL
    };
    let own = bench.export(&theirs, own).await.unwrap();
    assert!(own.entries >= 300 && own.pruned == 0);
    // A tenant cannot tell what was another's from what was never there.
    let [gone, never] = [gone, bench.size()].map(|seq| bench.service.prove_entry(&theirs, seq));
    let (gone, never) = (gone.await.unwrap_err(), never.await.unwrap_err());
    assert_eq!((gone.code, gone.message), (never.code, never.message));
}

#[tokio::test]
async fn the_configuration_is_enforced_and_a_failure_is_told() {
    let mut bench = Bench::new().await;
    bench.fill(600, None).await;
    bench.pass(DAY * 60);
    let before = bench.size();
    bench.service.enforce_retention().await;
    assert_eq!(bench.size(), before, "everything is kept");
    assert!(bench.service.retention().1.is_none());
    bench.settings().retention.keep_for = Some(DAY * 30);
    bench.store.fail("the disk is full");
    bench.service.enforce_retention().await;
    let failed = bench.service.retention().1.unwrap();
    assert_eq!(
        (failed.time, failed.progress.entries),
        (bench.service.now(), 0)
    );
    assert!(
        failed
            .failure
            .unwrap()
            .contains("nothing can be written now")
    );

    bench.store.recover();
    let removable = bench.removable(before / 256 * 256);
    bench.service.enforce_retention().await;
    let last = bench.service.retention().1.unwrap();
    assert_eq!(last.progress.entries, removable);
    assert_eq!(last.failure, None);
    let entry = bench.last();
    assert_eq!(entry.actor, Actor::system());
    assert_eq!(entry.count, Some(last.progress.entries));
    // Where nothing is to be done nothing is said.
    let size = bench.size();
    bench.service.enforce_retention().await;
    assert_eq!(bench.size(), size);
}

impl Bench {
    /// What `action` leaves in the log when no daemon runs.
    async fn note(&self, action: Action) {
        let now = self.clock.now();
        let entry = Entry::new(now, Actor::system(), action, Outcome::Success);
        self.store.commit(Commit::new(entry)).await.unwrap();
    }

    /// The daemon, started anew, with everything but the last 30 days to be removed.
    async fn restart_keeping(self) -> Self {
        let mut bench = Box::pin(self.restart()).await;
        bench.settings().retention.keep_for = Some(DAY * 30);
        bench
    }

    /// One look that nobody asks for.
    async fn look(&self) -> LastRun {
        self.service.enforce_retention().await;
        let last = self.service.retention().1.unwrap();
        assert_eq!(last.failure, None);
        last
    }

    /// The same, which has to wait; gives why.
    async fn waits(&self) -> Waits {
        let before = self.entries();
        let waits = self.look().await.waits;
        let after = self.entries();
        assert_eq!(after[..before.len()], before, "nothing is removed");
        waits.expect("it does not wait")
    }
}

#[tokio::test]
async fn a_look_that_fails_half_way_tells_how_far_it_got() {
    // More than one step removes.
    let mut bench = Bench::new().await;
    bench.fill(18 * 256, None).await;
    bench.pass(DAY * 60);
    bench.settings().retention.keep_for = Some(DAY * 30);
    bench.store.fail_after(1, "the disk is full");
    bench.service.enforce_retention().await;
    let failed = bench.service.retention().1.unwrap();
    assert_eq!(failed.progress.next, 16 * 256);
    assert!(failed.progress.entries > 15 * 256, "all but of records");
    assert!(failed.failure.is_some());
    bench.store.recover();
    bench.service.enforce_retention().await;
    let done = bench.service.retention().1.unwrap();
    assert_eq!((done.progress.entries, done.failure), (2 * 256, None));
}

#[tokio::test]
async fn a_look_goes_on_where_the_last_one_ended_until_a_hold_is_lifted() {
    let mut bench = Bench::new().await;
    let (demo, _) = bench.of_demo();
    for _ in 0..300 {
        bench.fill(1, Some(demo)).await;
        bench.fill(2, None).await;
    }
    let _ = bench.set_held(true).await;
    bench.pass(DAY * 60);
    bench.fill(256, None).await;
    bench.settings().retention.keep_for = Some(DAY * 30);
    let look = async || {
        let before = bench.store.bundles_read();
        bench.service.enforce_retention().await;
        let last = bench.service.retention().1.unwrap();
        assert_eq!(last.failure, None);
        let read = bench.store.bundles_read() - before;
        (last.progress.entries, last.progress.held, read)
    };
    let (entries, held, read) = look().await;
    assert!(
        entries > 500 && held > 250 && read > 3,
        "{entries} {held} {read}"
    );
    assert_eq!(look().await, (0, held, 1), "the first that is not old");
    let _ = bench.set_held(false).await;
    assert_eq!(look().await, (held, 0, read));
    assert_eq!(look().await, (0, 0, 1));
}

#[tokio::test]
async fn what_accounts_for_a_record_no_more_goes_within_a_day() {
    let mut bench = Bench::new().await;
    bench.fill(600, None).await;
    bench.pass(DAY * 60);
    bench.fill(1, None).await;
    bench.settings().retention.keep_for = Some(DAY * 30);
    let _ = bench.look().await;
    let before = bench.accounts();
    let _ = bench.set_held(false).await;
    let after = bench.accounts();
    let stays: Vec<_> = before.iter().filter(|it| after.contains(it)).collect();
    assert_eq!(stays.len() + 1, before.len());
    let left = || bench.entries().iter().filter(|it| it.seq < 512).count();
    assert_eq!(bench.look().await.progress.entries, 0);
    assert_eq!(left(), before.len());
    bench.pass(DAY);
    assert_eq!(bench.look().await.progress.entries, 1);
    assert_eq!(left(), stays.len());
}

#[tokio::test]
async fn after_a_restore_and_after_another_store_was_accepted_holds_can_be_put_before_anything_goes()
 {
    for (action, why) in [
        (Action::StoreRestore, "was restored"),
        (Action::StoreAccept, "was accepted"),
    ] {
        let bench = Bench::new().await;
        bench.fill(600, None).await;
        bench.pass(DAY * 60);
        bench.note(action).await;
        // Nobody can put a hold before the daemon runs: that is when the day begins, however late.
        bench.set_ahead(DAY * 3);
        let bench = bench.restart_keeping().await;
        let waits = bench.waits().await;
        assert!(waits.why.contains(why), "{}", waits.why);
        assert_eq!(waits.until, bench.service.now().plus(DAY));
        let told = bench.service.retention().1.unwrap().progress;
        let oldest = bench.entries()[0].time;
        let removable = bench.removable(512);
        assert_eq!((told.entries, told.times.unwrap().0), (removable, oldest));
        bench.pass(DAY / 2);
        bench.fill(1, None).await;
        // Nor does what was left of the day count that another run had.
        let bench = bench.restart_keeping().await;
        let _ = bench.waits().await;
        bench.pass(DAY / 2);
        assert_eq!(bench.waits().await.until, bench.service.now().plus(DAY / 2));
        bench.pass(DAY / 2);
        let removable = bench.removable(512);
        let done = bench.look().await;
        assert_eq!((done.waits, done.progress.entries), (None, removable));
        // Once and for all.
        let bench = bench.restart_keeping().await;
        assert_eq!(bench.look().await.waits, None);
    }
}

#[tokio::test]
async fn a_clock_that_is_ahead_at_a_start_or_jumps_removes_nothing_before_it_can_be_put_right() {
    let bench = Bench::new().await;
    bench.fill(600, None).await;
    bench.set_ahead(DAY * 100);
    let bench = bench.restart_keeping().await;
    let waits = bench.waits().await;
    assert!(waits.why.contains("at once"), "{}", waits.why);
    bench.service.record(Action::DaemonStop).await.unwrap();
    // The next start finds nothing wrong with the time, and knows it nevertheless.
    let bench = bench.restart_keeping().await;
    assert_eq!(bench.waits().await, waits);
    bench.pass(DAY);
    let removable = bench.removable(512);
    assert_eq!(bench.look().await.progress.entries, removable);
    // While it runs.
    bench.fill(600, None).await;
    bench.set_ahead(DAY * 100);
    let _ = bench.waits().await;
    bench.pass(DAY / 2);
    let _ = bench.waits().await;
    bench.pass(DAY / 2);
    assert!(bench.look().await.progress.entries > 500);
}

#[tokio::test]
async fn a_clock_that_is_put_right_makes_nothing_old_though_time_is_still_ahead_of_it() {
    let bench = Bench::new().await;
    bench.fill(600, None).await;
    bench.set_ahead(DAY * 100);
    let bench = bench.restart_keeping().await;
    let _ = bench.waits().await;
    *bench.clock.0.lock() = Timestamp::from_millis(1_800_000_000_000);
    bench.pass(DAY);
    let done = bench.look().await;
    assert_eq!((done.waits, done.progress.entries), (None, 0));
}

#[tokio::test]
async fn that_the_wait_is_over_is_in_the_log_though_nothing_was_to_be_removed() {
    let bench = Bench::new().await;
    bench.note(Action::StoreRestore).await;
    let bench = bench.restart_keeping().await;
    let size = bench.size();
    let _ = bench.waits().await;
    assert_eq!(bench.size(), size, "to wait leaves no trace");
    bench.pass(DAY);
    assert_eq!(bench.look().await.waits, None);
    let last = bench.last();
    assert_eq!(
        (last.action, last.actor),
        (Action::AuditPrune, Actor::system())
    );
    assert_eq!(bench.size(), size + 1);
    let bench = bench.restart_keeping().await;
    assert_eq!(bench.look().await.waits, None);
    assert_eq!(bench.size(), size + 1, "and not twice");
}

#[tokio::test]
async fn what_begins_the_wait_and_what_ends_it_is_never_removed() {
    let bench = Bench::new().await;
    let begins = bench.size();
    bench.note(Action::StoreAccept).await;
    bench.note(Action::StoreRestore).await;
    bench.set_ahead(DAY * 100);
    // Which notes that time went on at once.
    let bench = bench.restart_keeping().await;
    let _ = bench.waits().await;
    bench.fill(600, None).await;
    bench.pass(DAY / 2);
    // By hand, nothing waits.
    let all = || Asked {
        retention: Retention {
            keep_for: Some(Duration::ZERO),
            keep_bytes: None,
        },
        ..older_than(0)
    };
    assert!(bench.prune(all()).await.unwrap().entries > 400);
    let stay: Vec<_> = (begins..begins + 3).collect();
    let actions = [
        Action::StoreAccept,
        Action::StoreRestore,
        Action::AuditPrune,
    ];
    let left = |bench: &Bench| {
        let entries = bench.entries().into_iter();
        let mut left = entries.filter(|it| stay.contains(&it.seq));
        actions.map(|action| assert_eq!(left.next().map(|it| it.action), Some(action)))
    };
    let _ = left(&bench);
    let bench = bench.restart_keeping().await;
    let why = bench.waits().await.why;
    assert!(why.contains("was restored"), "{why}");
    bench.pass(DAY);
    assert_eq!(bench.look().await.waits, None);
    // What ends it stays too: without it the wait would begin again.
    bench.fill(600, None).await;
    bench.pass(DAY / 2);
    assert!(bench.prune(all()).await.unwrap().entries > 400);
    let _ = left(&bench);
    let bench = bench.restart_keeping().await;
    assert_eq!(bench.look().await.waits, None);
}

#[tokio::test]
async fn entries_of_a_clock_that_was_ahead_do_not_keep_those_behind_them() {
    let bench = Bench::new().await;
    bench.fill(300, None).await;
    bench.set_ahead(DAY * 300);
    bench.fill(600, None).await;
    *bench.clock.0.lock() = Timestamp::from_millis(1_800_000_000_000);
    bench.note(Action::StoreAccept).await;
    let bench = Box::pin(bench.restart()).await;
    bench.fill(600, None).await;
    let old = bench.size() / 256 * 256;
    // As long as nothing behind them is old, nobody can tell how old they are.
    bench.pass(DAY);
    assert_eq!(bench.prune(older_than(30)).await.unwrap().entries, 0);
    bench.pass(DAY * 30);
    bench.fill(256, None).await;
    let _ = bench.prune(older_than(30)).await.unwrap();
    assert_eq!(bench.first_filled(), old);
}

#[tokio::test]
async fn who_asked_is_told_when_the_end_of_the_daemon_cuts_it_off() {
    let bench = Bench::new().await;
    bench.fill(4_500, None).await;
    bench.pass(DAY * 60);
    bench.service.stopping.cancel();
    let pruning = bench
        .service
        .plan_pruning(&bench.operator(), older_than(30));
    let (sender, _steps) = tokio::sync::mpsc::channel(1_000);
    let removable = bench.removable(4_096);
    let (done, cut) = bench.service.prune_log(pruning.unwrap(), &sender).await;
    let told = cut.unwrap_err().message;
    let far = format!("after 4096 of 4352 entries, of which {removable} were removed");
    assert!(told.contains(&far), "{told}");
    assert_eq!(done.entries, removable);
    assert_eq!(bench.last().count, Some(removable), "what was done is done");
}

#[tokio::test]
async fn who_may_not_or_does_not_say_what_and_why_is_refused() {
    let bench = Bench::new().await;
    let nothing = Asked {
        retention: Retention::default(),
        ..older_than(1)
    };
    let unexplained = Asked {
        reason: None,
        ..older_than(1)
    };
    for asked in [nothing, unexplained] {
        assert_eq!(bench.prune(asked).await, Err(Code::InvalidArgument));
    }
    let (_, limited) = bench.of_demo();
    let refused = bench.service.plan_pruning(&limited, older_than(1));
    assert_eq!(refused.unwrap_err().code, Code::PermissionDenied);
    let operator = bench.operator();
    let unexplained = bench
        .service
        .hold_organization(&operator, "demo", true, None, 0);
    assert_eq!(unexplained.await.unwrap_err().code, Code::InvalidArgument);
}

#[tokio::test]
async fn what_operators_were_refused_says_of_what_and_stays_under_its_legal_hold() {
    let bench = Bench::new().await;
    let (demo, _) = bench.of_demo();
    let credential = bench.credential().await.credential;
    let deny = |kind, name: &str| {
        let (action, name) = (Action::OrganizationRelease, name.to_owned());
        let denied = (Outcome::Denied, Code::PermissionDenied);
        let about = About { kind, name };
        let service = &bench.service;
        service.deny_operator(&bench.operator(), action, denied, Some(&about));
    };
    let named = |kind, name: &str| {
        deny(kind, name);
        bench.service.flush_denials(true);
        let last = bench.last();
        (last.target.map(|it| it.id), last.organization_id)
    };
    let (id, of_demo) = (|id: &str| Some(id.to_owned()), Some(demo));
    let agent = credential.agent_id.to_string();
    let unknown = AgentId::from_bytes([7; 16]).to_string();
    for (kind, name, expected) in [
        (
            TargetKind::Organization,
            "demo",
            (id(&demo.to_string()), of_demo),
        ),
        (TargetKind::Organization, "nobody", (id("nobody"), None)),
        (TargetKind::Organization, "\u{1b}[2J", (None, None)),
        (TargetKind::Agent, AGENT, (id(&agent), of_demo)),
        (TargetKind::Agent, &unknown, (id(&unknown), None)),
        (TargetKind::Agent, "someone@elsewhere.example", (None, None)),
        (
            TargetKind::Credential,
            &credential.id.to_string(),
            (id(&credential.id.to_string()), of_demo),
        ),
    ] {
        assert_eq!(named(kind, name), expected, "{name}");
    }
    // More than have entries of their own are counted for the organization.
    for _ in 0..20 {
        deny(TargetKind::Organization, "demo");
    }
    bench.service.flush_denials(true);
    let _ = bench.set_held(true).await;
    bench.fill(300, None).await;
    bench.pass(DAY * 60);
    let attempts = |bench: &Bench| {
        let denied = bench.entries().into_iter();
        let denied = denied.filter(|it| it.outcome == Outcome::Denied);
        let denied = denied.filter(|it| it.organization_id == Some(demo));
        denied.map(|it| it.count.unwrap_or(1)).sum::<u64>()
    };
    assert_eq!(attempts(&bench), 23);
    let done = bench.prune(older_than(30)).await.unwrap();
    assert!(done.entries > 0);
    assert_eq!(attempts(&bench), 23, "they stay");
}
