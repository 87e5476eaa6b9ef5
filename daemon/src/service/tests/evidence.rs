//! What the log gives out can be verified, and nobody is given what is not there for them.

use std::path::Path;

use agentidp_shared::StoreId;
use agentidp_shared::merkle::export::{Report, verify_export};
use agentidp_shared::merkle::{
    Checkpoint, Edge, LogKey, NodeHash, Note, Signature, verify_consistency,
};
use futures_util::FutureExt as _;

use super::*;
use crate::service::log::{ExportRange, Handover, LogKeys, Signed, WAITING_OF_ONE, rotate};
use crate::store::durable::{JournaledStore, StoreOptions};

pub(super) const ALL: ExportRange = ExportRange {
    organization: None,
    from: 0,
    to: None,
    size: None,
};

impl Bench {
    /// What the daemon does each second.
    pub(super) async fn sign(&self) {
        let edge = Arc::clone(&self.store.headed().borrow());
        self.service.sign_checkpoint(&edge).await.unwrap();
    }

    pub(super) async fn export(&self, caller: &Caller, range: ExportRange) -> Result<Report, Code> {
        let (sender, mut chunks) = tokio::sync::mpsc::channel(1);
        self.sign().await;
        let begun = self.service.export(caller, range, sender).await;
        begun.map_err(|error| error.code)?;
        let mut file = Vec::new();
        while let Some(chunk) = chunks.recv().await {
            file.extend_from_slice(&chunk.map_err(|error| error.code)?.data);
        }
        Ok(verify_export(file.as_slice(), self.service.log_verifier(), |_| {}).unwrap())
    }

    pub(super) fn of_demo(&self) -> (OrganizationId, Caller) {
        let caller = self.operator();
        let demo = self.service.find_organization(&caller, "demo").unwrap();
        let reach = Reach::only(demo.record.id);
        (demo.record.id, Caller { reach, ..caller })
    }
}

#[tokio::test]
async fn every_entry_can_be_exported_and_proved() {
    let bench = Bench::new().await;
    let issued = bench.credential().await;
    for _ in 0..300 {
        bench.token(&issued).await.unwrap();
    }
    let caller = bench.operator();
    let size = *bench.store.head().borrow();
    let report = bench.export(&caller, ALL).await.unwrap();
    assert_eq!((report.from, report.to, report.entries), (0, size, size));
    let part = ExportRange {
        from: 255,
        to: Some(258),
        ..ALL
    };
    assert_eq!(bench.export(&caller, part).await.unwrap().entries, 3);

    let verifier = bench.service.log_verifier();
    for seq in [0, 255, 256, size - 1] {
        let proof = bench.service.prove_entry(&caller, seq).await.unwrap();
        assert_eq!(proof.verify(verifier).unwrap().size, size);
    }
    assert!(bench.service.prove_entry(&caller, size).await.is_err());
}

#[tokio::test]
async fn only_so_many_of_one_organization_wait_for_a_checkpoint() {
    let bench = Bench::new().await;
    let issued = bench.credential().await;
    bench.sign().await;
    bench.token(&issued).await.unwrap();
    let seq = *bench.store.head().borrow() - 1;
    let [one, other] = [1, 2].map(|number| Caller {
        reach: Reach::Organizations([OrganizationId::from_bytes([number; 16])].into()),
        ..bench.operator()
    });
    let wait = |caller| Box::pin(bench.service.checkpoint_with(caller, seq));
    let mut waiting: Vec<_> = (0..WAITING_OF_ONE).map(|_| wait(&one)).collect();
    for one in &mut waiting {
        assert!(one.as_mut().now_or_never().is_none());
    }
    let refused = wait(&one).await.map(|signed| signed.size());
    assert_eq!(refused.unwrap_err().code, Code::Overloaded);
    let mut served = wait(&other);
    assert!(served.as_mut().now_or_never().is_none());
    bench.sign().await;
    assert!(served.await.is_ok());
    for one in waiting {
        assert!(one.await.is_ok());
    }
    assert!(wait(&one).await.is_ok());
}

/// A store as the daemon has it, and how far its head file is, which is in a folder of its own.
async fn journaled(root: &Path, now: Timestamp) -> (Arc<JournaledStore>, Arc<Edge>) {
    let (head, id) = (root.join("head"), StoreId::from_bytes([7; 16]));
    std::fs::create_dir(&head).unwrap();
    let options = StoreOptions::new(root.join("store"), head.join("head"), now);
    let sealer = Sealer::new(&[7; 32]).unwrap();
    let (first, key) = init::first_commit(id, &sealer, &System::default(), now).unwrap();
    JournaledStore::create(&options, id, now, first, &key).unwrap();
    let store = Arc::new(JournaledStore::open(&options).unwrap());
    let mut headed = store.headed();
    let edge = headed.wait_for(|edge| edge.size() > 0).await;
    let edge = Arc::clone(&edge.unwrap());
    (store, edge)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_checkpoint_that_many_sign_at_once_is_kept_whole_and_with_every_signature() {
    let (root, clock) = (tempfile::tempdir().unwrap(), Bench::new().await.clock);
    let (store, edge) = journaled(root.path(), clock.now()).await;
    let service = Arc::new(Bench::open(&store, &clock).await);
    service.sign_checkpoint(&edge).await.unwrap();

    let file = root.path().join("store/checkpoint");
    let kept = move || Note::from_bytes(&std::fs::read(&file).unwrap());
    let (text, size) = (kept().unwrap().text().to_owned(), edge.size());
    let witnesses: Vec<_> = (1..=30_u8)
        .map(|number| LogKey::from_seed(format!("witness-{number}"), &[number; 32]).unwrap())
        .collect();
    let ended = CancellationToken::new();
    let reader = {
        let (kept, ended) = (kept.clone(), ended.clone());
        std::thread::spawn(move || {
            while !ended.is_cancelled() {
                kept().unwrap();
            }
        })
    };
    let mut adding = tokio::task::JoinSet::new();
    for witness in &witnesses {
        let note = Note::sign(text.clone(), witness).unwrap().to_string();
        let signature = Signature::from_line(note.lines().last().unwrap()).unwrap();
        let service = Arc::clone(&service);
        adding.spawn(async move { service.add_cosignature(size, signature).await });
    }
    while let Some(added) = adding.join_next().await {
        added.unwrap().unwrap();
    }
    ended.cancel();
    reader.join().unwrap();
    let kept = kept().unwrap();
    for witness in &witnesses {
        kept.verify(witness.verifier()).unwrap();
    }
    kept.verify(service.log_verifier()).unwrap();
}

#[tokio::test]
async fn the_log_is_proved_to_have_only_grown_between_any_two_sizes() {
    let bench = Bench::new().await;
    let verifier = bench.service.log_verifier();
    let held = async || {
        bench.sign().await;
        let signed = bench.service.newest_checkpoint().await.unwrap();
        Checkpoint::verified(&signed.note, verifier).unwrap()
    };
    let first = held().await;
    let issued = bench.credential().await;
    let mut all = vec![first];
    for _ in 0..3 {
        for _ in 0..100 {
            bench.token(&issued).await.unwrap();
        }
        all.push(held().await);
    }
    let last = all.last().unwrap();
    for one in &all {
        let newest = bench.service.prove_growth(one.size, None).await.unwrap();
        let signed = Checkpoint::verified(&newest.checkpoint, verifier).unwrap();
        assert_eq!((newest.to, &signed), (last.size, last));
        for other in all.iter().filter(|it| it.size >= one.size) {
            let proved = bench.service.prove_growth(one.size, Some(other.size));
            let proof = proved.await.unwrap().proof;
            verify_consistency(one.size, other.size, &one.root, &other.root, &proof).unwrap();
        }
    }
    for (from, to) in [
        (0, None),
        (last.size + 1, None),
        (2, Some(1)),
        (1, Some(last.size + 1)),
    ] {
        let refused = bench.service.prove_growth(from, to).await.unwrap_err();
        assert_eq!(refused.code, Code::InvalidArgument, "{from} {to:?}");
    }
}

#[tokio::test]
async fn a_checkpoint_is_signed_whenever_the_log_has_grown_and_the_store_keeps_it() {
    let bench = Bench::new().await;
    let issued = bench.credential().await;
    let ended = CancellationToken::new();
    let mut newest = bench.service.checkpoints();
    let follow = async {
        for _ in 0..3 {
            bench.token(&issued).await.unwrap();
            let size = *bench.store.head().borrow();
            let covers = |it: &Option<Arc<Signed>>| it.as_ref().is_some_and(|it| it.size() == size);
            newest.wait_for(covers).await.unwrap();
        }
        bench.token(&issued).await.unwrap();
        ended.cancel();
    };
    tokio::join!(bench.service.keep_checkpoints(ended.clone()), follow);
    let last = bench.service.newest_checkpoint().await.unwrap();
    assert_eq!(last.size(), *bench.store.head().borrow(), "also at the end");
    assert_eq!(bench.store.checkpoint(), last.note.to_string());
}

#[tokio::test]
async fn an_export_is_proved_against_an_earlier_checkpoint_when_that_is_asked_for() {
    let bench = Bench::new().await;
    let issued = bench.credential().await;
    bench.sign().await;
    let earlier = bench.service.newest_checkpoint().await.unwrap();
    for _ in 0..300 {
        bench.token(&issued).await.unwrap();
    }
    let (demo, caller) = bench.of_demo();
    let range = ExportRange {
        from: 1,
        size: Some(earlier.size()),
        ..ALL
    };
    let whole = bench.export(&bench.operator(), range).await.unwrap();
    let own = ExportRange {
        organization: Some(demo),
        ..range
    };
    let own = bench.export(&caller, own).await.unwrap();
    let verifier = bench.service.log_verifier();
    let held = Checkpoint::verified(&earlier.note, verifier).unwrap();
    for report in [whole, own] {
        assert_eq!((report.to, &report.checkpoint), (held.size, &held));
    }
    let again = bench.service.newest_checkpoint().await.unwrap();
    let again = bench
        .service
        .checkpoint_at(&again, held.size)
        .await
        .unwrap();
    assert_eq!(again, earlier.note, "to the last bit");
    let end = *bench.store.head().borrow();
    let operator = bench.operator();
    for size in [0, end + 1] {
        let size = Some(size);
        let refused = bench.export(&operator, ExportRange { size, ..ALL }).await;
        assert_eq!(refused.unwrap_err(), Code::InvalidArgument);
    }
    let to = Some(held.size + 1);
    let refused = bench.export(&operator, ExportRange { to, ..range }).await;
    assert_eq!(refused.unwrap_err(), Code::InvalidArgument);
}

#[tokio::test]
async fn an_organization_is_given_its_own_entries_only() {
    let bench = Bench::new().await;
    let (demo, caller) = bench.of_demo();
    let own = ExportRange {
        organization: Some(demo),
        ..ALL
    };
    let report = bench.export(&caller, own).await.unwrap();
    assert_eq!(report.organization_id, Some(demo));
    assert!(report.entries > 0 && report.entries < report.to);
    let whole = bench.export(&caller, ALL).await;
    assert_eq!(whole.unwrap_err(), Code::PermissionDenied);
    // The first entry is the installation's.
    let foreign = bench.service.prove_entry(&caller, 0).await;
    assert_eq!(foreign.unwrap_err().code, Code::AuthorizationError);
}

#[tokio::test]
async fn a_range_that_is_not_one_is_refused() {
    let bench = Bench::new().await;
    let size = *bench.store.head().borrow();
    for (from, to) in [(0, Some(size + 1)), (size + 1, None), (2, Some(1))] {
        let range = ExportRange { from, to, ..ALL };
        let refused = bench.export(&bench.operator(), range).await;
        assert_eq!(refused.unwrap_err(), Code::InvalidArgument);
    }
    let nothing = ExportRange { from: size, ..ALL };
    let report = bench.export(&bench.operator(), nothing).await.unwrap();
    assert_eq!(report.entries, 0);
}

#[tokio::test]
async fn a_key_of_before_signs_until_its_end_and_is_listed_for_ever() {
    const HOUR: Duration = Duration::from_hours(1);
    let bench = Bench::new().await;
    let sealer = Sealer::new(&[7; 32]).unwrap();
    let store: &dyn Store = bench.store.as_ref();
    let change = async |overlap| -> Handover {
        let (action, now) = (Action::KeyRotate, bench.clock.now());
        let entry = Entry::new(now, Actor::system(), action, Outcome::Success);
        let source = System::default();
        let changed = rotate(store, &sealer, &source, entry, overlap, HOUR).await;
        changed.unwrap()
    };
    let mut verifiers = vec![bench.service.log_verifier().clone()];
    for _ in 0..2 {
        let handover = change(HOUR).await;
        for key in [verifiers.last().unwrap(), &handover.verifier] {
            let handed = Checkpoint::verified(&handover.note, key).unwrap();
            assert_eq!(handed.size, *bench.store.head().borrow());
        }
        verifiers.push(handover.verifier);
    }
    let keys = LogKeys::open(store, &sealer).unwrap();
    assert_eq!(keys.verifier(), verifiers.last().unwrap());
    let root = NodeHash::of_empty_tree();
    let checkpoint = Checkpoint::new(keys.verifier().name().to_owned(), 9, root);
    let signs = |keys: &LogKeys, now| -> Vec<bool> {
        let note = keys.sign(&checkpoint, now).unwrap();
        let has = verifiers.iter().map(|it| note.verify(it).is_ok());
        has.collect()
    };
    let now = bench.clock.now();
    assert_eq!(signs(&keys, now), [true, true, true]);
    assert_eq!(signs(&keys, now.plus(HOUR)), [false, false, true]);

    // Also those that an earlier change lets sign for longer.
    let _ = change(Duration::ZERO).await;
    let keys = LogKeys::open(store, &sealer).unwrap();
    let listed: Vec<_> = keys.all().iter().map(|it| it.verifier.clone()).collect();
    assert_eq!(listed[..3], verifiers);
    // Nothing is left to sign with, whatever the clock says.
    assert_eq!(signs(&keys, now), [false, false, false]);
}

/// There is one thread, and it is for all who read the store.
#[test]
fn exports_that_nobody_reads_hold_no_thread_that_others_need() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(1).enable_all().build();
    runtime.unwrap().block_on(async {
        let bench = Bench::new().await;
        for _ in 0..1_000 {
            bench.service.record(Action::DaemonStart).await.unwrap();
        }
        bench.sign().await;
        let (chunks, mut unread) = tokio::sync::mpsc::channel(1);
        let operator = bench.operator();
        for _ in 0..4 {
            let export = bench.service.export(&operator, ALL, chunks.clone());
            export.await.unwrap();
        }
        let looked = tokio::time::timeout(Duration::from_secs(30), bench.service.health());
        assert!(looked.await.is_ok(), "the store cannot be read");
        // Nobody wants them any more.
        while unread.try_recv().is_ok() {}
        drop(unread);
        chunks.closed().await;
    });
}

#[tokio::test]
async fn another_key_is_not_waited_for_when_the_head_file_cannot_be_written() {
    let (root, now) = (tempfile::tempdir().unwrap(), Timestamp::from_millis(1_000));
    let (store, _) = journaled(root.path(), now).await;
    std::fs::remove_dir_all(root.path().join("head")).unwrap();
    let sealer = Sealer::new(&[7; 32]).unwrap();
    let change = async || {
        let entry = Entry::new(now, Actor::system(), Action::KeyRotate, Outcome::Success);
        let (source, moment) = (System::default(), Duration::from_millis(1));
        rotate(store.as_ref(), &sealer, &source, entry, moment, moment).await
    };
    let error = change().await.err().unwrap();
    assert_eq!(error.code, Code::StoreUnavailable);
    assert!(error.message.contains("head file"), "{error}");
    // What a command did is not said to be done.
    let failure = store.close().unwrap_err();
    assert!(failure.contains("its head file does not"), "{failure}");
    let changes = *store.head().borrow();
    let error = change().await.err().unwrap();
    assert!(error.message.contains("writing the head file"), "{error}");
    assert_eq!(*store.head().borrow(), changes);
}
