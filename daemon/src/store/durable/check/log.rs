//! What the journal says, and with it the audit log: everything else is held against that.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::panic::AssertUnwindSafe;

use agentidp_shared::count::counted;
use agentidp_shared::merkle::{Edge, NodeHash};
use agentidp_shared::{Entry, Places, Target, TargetKind};

use super::super::bundle::{self, Summary};
use super::super::database::gave_up;
use super::super::frame::{Frame, FrameItem, Hash};
use super::super::head::Head;
use super::super::index::Index;
use super::super::journal::{self, Position};
use super::super::kept::MARGIN;
use super::super::usage::{Count, UsageKey, Use};
use super::super::{OpenError, progress::Progress};
use super::compact::Compact;
use super::holds::Holds;
use super::marked::Marked;
use super::{Check, Finding, Part, word};
use crate::crypto::sha256;
use crate::store::{ReadError, Record, Temporary, TemporaryKey, form};

/// How many things may be kept for a time before what has expired is dropped.
const MANY: usize = 65_536;

/// The first half of a SHA-256.
pub(super) type Short = [u8; 16];

/// The first half of a hash.
pub(super) fn short(hash: &Hash) -> Short {
    hash.first_chunk().copied().unwrap_or_default()
}

/// The tag of a record.
pub(super) type RecordTag = [u8; 7];

/// The tag of a digest.
pub(super) type DigestTag = [u8; 4];

/// The last change of a record: nine bytes, with its tag sixteen, for there may be millions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Last {
    seq: [u8; 5],
    /// The tag of the digest that the entry names.
    pub(super) digest: DigestTag,
}

impl Last {
    fn new(seq: u64, digest: DigestTag) -> Self {
        let seq = first(seq);
        Self { seq, digest }
    }

    /// The entry.
    pub(super) fn seq(&self) -> u64 {
        let mut bytes = [0; 8];
        bytes
            .iter_mut()
            .zip(self.seq)
            .for_each(|(to, byte)| *to = byte);
        u64::from_le_bytes(bytes)
    }
}

/// As much of a number as `N` bytes hold: of a hash, so many bits; of an entry's place, all.
fn first<const N: usize>(number: u64) -> [u8; N] {
    number
        .to_le_bytes()
        .first_chunk()
        .copied()
        .unwrap_or([0; N])
}

/// Tags that stand for records and digests, others in each check, so that nobody can choose a record by its tag. That
/// two records of a million have the same, which would be a finding, happens once in 140,000 checks, and of two million
/// in 36,000; that a digest has the tag of another, once in four thousand million.
#[derive(Default)]
pub(super) struct Tags(RandomState);

impl Tags {
    /// The tag of a record.
    pub(super) fn record(&self, kind: TargetKind, id: &str) -> RecordTag {
        first(self.0.hash_one((kind.as_str(), id)))
    }

    /// The tag of a digest.
    pub(super) fn digest(&self, digest: Short) -> DigestTag {
        first(self.0.hash_one(digest))
    }
}

/// A full tile of the log's tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct FullTile {
    /// How many entries there were when it was full.
    pub(super) end: u64,
    /// Its level and its place on it.
    pub(super) place: (u8, u64),
    /// The digest of its hashes.
    pub(super) digest: Short,
}

/// What the log says that everything else must say too.
#[derive(Default)]
pub(super) struct Expected {
    /// How many entries there are.
    pub(super) end: u64,
    /// Where the journal stands after the frame that the head file remembers.
    pub(super) at_head: Option<Position>,
    /// What others say of the tree and was not found to hold yet.
    pub(super) promises: Vec<Promise>,
    /// Whether the journal goes back to the first entry.
    pub(super) is_whole: bool,
    /// Whether nothing is known of what was before the journal's begin: the tree is none of the whole log,
    /// and no index can be held against it.
    pub(super) is_partial: bool,
    /// What records and digests are called here.
    pub(super) tags: Tags,
    /// The last change of each record, by its tag.
    pub(super) records: Compact<RecordTag, Last>,
    /// What is kept for a time: the entry, and what it is.
    pub(super) kept: HashMap<TemporaryKey, (u64, Temporary)>,
    /// How records were used.
    pub(super) uses: Compact<UsageKey, Count>,
    /// The latest time of an entry, in milliseconds: what had expired by then may be gone, also when the
    /// clock was set back later.
    pub(super) latest: i64,
    /// The digest of the summary of each full bundle of entries.
    pub(super) summaries: Vec<Short>,
    /// The full tiles of the tree, in the order in which they became full.
    pub(super) tiles: Vec<FullTile>,
    /// The tree.
    pub(super) tree: Edge,
    /// The index must have done what the entries before this one say.
    pub(super) settled: u64,
    /// The entries that were pruned, as entries say that it must have done.
    pub(super) pruned: Places,
    /// Those that were pruned by entries that it may not have come to yet.
    pub(super) pruned_late: Places,
    /// The legal holds.
    pub(super) holds: Holds,
    /// Whether there are entries that are known only by their hashes.
    pub(super) hides_some: bool,
    /// What the index's mark must fit.
    pub(super) marked: Marked,
    /// What was kept for a time with the entries before this one is not known: the journal has let go of it.
    pub(super) journal_from: u64,
    /// Nor which tokens were revoked by those before this one, though the log says so: one of them was pruned, and by
    /// its time they may have expired.
    pub(super) revoked_from: u64,
    summary: Option<Summary>,
    kept_limit: usize,
}

/// A tree that the log is said to begin with.
pub(super) struct Promise {
    /// Who says so.
    pub(super) what: &'static str,
    /// How many entries it is of.
    pub(super) size: u64,
    /// Its root.
    pub(super) root: NodeHash,
}

/// The digest of a tile's hashes.
pub(super) fn tile_digest(hashes: &[NodeHash]) -> Short {
    let bytes: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
    short(&sha256(&bytes))
}

impl Expected {
    /// What is expected of an index that must have done what the entries before `settled` say, and whose mark names
    /// `frame`.
    pub(super) fn of(settled: u64, frame: u64) -> Self {
        Self {
            settled,
            marked: Marked::of(frame),
            ..Self::default()
        }
    }

    /// From which entry on it is known what was kept under `key`.
    pub(super) const fn kept_from(&self, key: &TemporaryKey) -> u64 {
        match key {
            TemporaryKey::RevokedToken(_) => self.revoked_from,
            _ => self.journal_from,
        }
    }

    /// The digests of the full tiles of the lowest level, which are those of the full bundles.
    pub(super) fn bundles(&self) -> impl Iterator<Item = Short> + '_ {
        let lowest = self.tiles.iter().filter(|tile| tile.place.0 == 0);
        lowest.map(|tile| tile.digest)
    }

    /// Has the log's first `size` entries compared with `root`.
    pub(super) fn promise(&mut self, what: &'static str, size: u64, root: NodeHash) {
        self.promises.push(Promise { what, size, root });
    }

    /// Forgets everything, and goes on with entry `end`: those before it cannot be read.
    fn begin_at(&mut self, end: u64) {
        *self = Self {
            end,
            is_partial: true,
            holds: Holds::unknown(),
            ..Self::default()
        };
    }

    /// Takes in an entry; gives what it says.
    fn add(&mut self, seq: u64, json: &[u8], check: &mut Check<'_>) -> Option<Entry> {
        self.grow(seq, NodeHash::of_leaf(json));
        let end = self.end;
        let Ok(entry) = serde_json::from_slice::<Entry>(json) else {
            let problem = "it is not an audit entry".to_owned();
            let finding = Finding::entry(Part::Journal, seq, problem);
            check.report.add(finding);
            return None;
        };
        self.holds.note(&entry);
        self.prune(&entry, seq, &mut check.report);
        if entry.seq != seq {
            let problem = format!("it says that it is entry {}", entry.seq);
            check
                .report
                .add(Finding::entry(Part::Journal, seq, problem));
        }
        self.latest = self.latest.max(entry.time.as_millis());
        self.marked.note_time(entry.time.as_millis());
        let summary = self.summary.get_or_insert_with(Summary::new);
        summary.add(&entry);
        if end.is_multiple_of(bundle::ENTRIES) {
            self.summaries.push(short(&sha256(summary.as_bytes())));
            self.summary = None;
        }
        if let Some(used) = Use::of(&entry) {
            for key in used.keys(&entry).into_iter().flatten() {
                self.uses.change(key, |count| count.add(&entry));
            }
        }
        if let Some((target, digest)) = named(&entry)
            && let Some(digest) = parse_digest(digest)
        {
            let tag = self.tags.record(target.kind, &target.id);
            let digest = self.tags.digest(digest);
            self.records
                .change(tag, |last| *last = Last::new(seq, digest));
        }
        Some(entry)
    }

    /// Takes in an entry that was pruned: of it there is only its hash.
    fn hide(&mut self, seq: u64, hash: NodeHash) {
        self.grow(seq, hash);
        self.hides_some = true;
        self.kept.clear();
        self.revoked_from = seq + 1;
        let summary = self.summary.get_or_insert_with(Summary::new);
        if self.end.is_multiple_of(bundle::ENTRIES) {
            self.summaries.push(short(&sha256(summary.as_bytes())));
            self.summary = None;
        }
    }

    /// Takes the hash of an entry into the tree.
    fn grow(&mut self, seq: u64, hash: NodeHash) {
        let (end, tiles) = (seq + 1, &mut self.tiles);
        self.end = end;
        self.tree.push(hash, |level, place, hashes| {
            tiles.push(FullTile {
                end,
                place: (level, place),
                digest: tile_digest(hashes),
            });
        });
        let tree = &self.tree;
        self.promises
            .retain(|it| it.size != end || it.root != tree.root());
    }

    fn keep(&mut self, seq: u64, kept: Vec<Temporary>) {
        self.kept
            .extend(kept.into_iter().map(|it| (it.key, (seq, it))));
        if self.kept.len() > self.kept_limit.max(MANY) {
            let limit = self.latest - MARGIN;
            self.kept
                .retain(|_, (_, it)| it.expires_at.as_millis() > limit);
            self.kept_limit = self.kept.len() * 2;
        }
    }
}

/// The record that an entry names, and the digest that it says the record has. A backup is a file.
fn named(entry: &Entry) -> Option<(&Target, &str)> {
    let target = entry.target.as_ref()?;
    let digest = target.digest.as_deref()?;
    (target.kind != TargetKind::Backup).then_some((target, digest))
}

fn parse_digest(hex: &str) -> Option<Short> {
    let mut digest = Short::default();
    for (at, slot) in digest.iter_mut().enumerate() {
        *slot = u8::from_str_radix(hex.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(digest)
}

/// Reads the journal to its end, or to its frame `last`. What was before the journal's begin is read from
/// the bundles of `index`.
pub(super) fn read(
    check: &mut Check<'_>,
    mut expected: Expected,
    head: Option<&Head>,
    last: u64,
    index: Option<&Index>,
) -> Result<(Expected, Position), OpenError> {
    let (folder, id) = (check.layout.journal(), check.id);
    let progress = check.progress;
    expected.is_whole = true;
    let first = journal::first_frame(&folder)?;
    let mut position = Position::START;
    let mut begun = false;
    progress.begin("reading the journal", head.map_or(0, |head| head.entries));
    let end = journal::scan(&folder, id, first, &mut |frame| {
        if !begun {
            begun = true;
            check.report.first_frame = frame.number;
            if frame.first_seq > 0 {
                expected.is_whole = false;
                before(check, &mut expected, index, frame)?;
            }
        }
        if frame.number <= last {
            expected.marked.look_at(frame);
            take(check, &mut expected, frame);
            position = Position::after(frame);
            if head.is_some_and(|head| head.frame == frame.number) {
                expected.at_head = Some(position);
            }
        }
        pause(progress, expected.end)
    })?;
    check.report.entries = expected.end;
    check.report.records = expected.records.len() as u64;
    if !expected.is_partial {
        check.report.root = Some(expected.tree.root().to_string());
    }
    if end.torn > 0 && last == u64::MAX {
        check.report.notes.push(format!(
            "the journal ends in {} of a write that was cut off; the next start removes what is there of it",
            counted(end.torn, "byte")
        ));
    }
    Ok((expected, position))
}

fn pause(progress: &Progress, done: u64) -> Result<(), OpenError> {
    progress.reach(done);
    if progress.rest() {
        Ok(())
    } else {
        Err(OpenError::Interrupted)
    }
}

/// Takes in the entries before `first`, with which the journal begins: the index has them. Without one that
/// can be read nothing is known of them, and what is wrong is the index: a backup and the journal make
/// another.
fn before(
    check: &mut Check<'_>,
    expected: &mut Expected,
    index: Option<&Index>,
    first: &Frame,
) -> Result<(), OpenError> {
    let (number, seq) = (first.number, first.first_seq);
    let read = index.map(|index| from_index(check, expected, index, seq));
    let cause = match read {
        Some(Ok(())) => {
            check.report.notes.push(format!(
                "the journal begins with frame {number}, for backups have what was before it; the entries before {seq} are those that the index has"
            ));
            return Ok(());
        }
        Some(Err(OpenError::Index(error))) => error.to_string(),
        Some(Err(error)) => return Err(error),
        None => "it is missing, or cannot be read".to_owned(),
    };
    let problem = format!(
        "{cause}; the journal begins with frame {number}, and beside backups it alone has the entries before {seq}"
    );
    check.report.add(Finding::whole(Part::Index, problem));
    check.report.notes.push(
        "without the index the journal was verified for itself: the tree over the log, and with it what head file and checkpoint say of that, cannot be told"
            .to_owned(),
    );
    expected.begin_at(seq);
    Ok(())
}

/// Reads the entries before `end` from the bundles of the index.
fn from_index(
    check: &mut Check<'_>,
    expected: &mut Expected,
    index: &Index,
    end: u64,
) -> Result<(), OpenError> {
    let mut is_moving = false;
    for number in 0..end.div_ceil(bundle::ENTRIES) {
        // sled panics on damage that it meets on its way.
        let read = std::panic::catch_unwind(AssertUnwindSafe(|| {
            Ok::<_, ReadError>((index.bundle(number)?, index.tile(0, number)?))
        }));
        let (packed, hashes) = read.map_err(gave_up)??;
        let entries = bundle::unpack(number, &packed)?;
        let (mut entries, (first, last)) = (entries.iter().peekable(), bundle::range(number));
        for (hash, seq) in hashes
            .into_iter()
            .zip(first..=last)
            .filter(|(_, seq)| *seq < end)
        {
            if let Some(entry) = entries.next_if(|entry| entry.seq == seq) {
                let entry = expected.add(seq, &entry.json, check);
                let said = entry.as_ref().and_then(Temporary::said_by);
                expected.keep(seq, said.into_iter().collect());
                continue;
            }
            expected.hide(seq, hash);
            let prunings = index.prunings.lock();
            is_moving |= prunings.as_ref().is_some_and(|it| it.contains(seq));
        }
        pause(check.progress, expected.end)?;
    }
    expected.journal_from = end;
    if is_moving {
        // A hold was read, and its release may have gone before it was.
        expected.holds = Holds::unknown();
    }
    Ok(())
}

/// Takes in a frame.
fn take(check: &mut Check<'_>, expected: &mut Expected, frame: &Frame) {
    check.report.frames = frame.number;
    for (item, seq) in frame.items.iter().zip(frame.first_seq..) {
        let entry = expected.add(seq, &item.entry, check);
        let owner = entry.as_ref().and_then(|it| it.organization_id);
        expected.holds.owned(seq, owner);
        let Some(entry) = entry else { continue };
        if let Some(stored) = &item.kept {
            match form::decode::<Vec<Temporary>>(stored) {
                Ok(kept) => expected.keep(seq, kept),
                Err(error) => {
                    let problem = format!("what it keeps for a time: {error}");
                    check
                        .report
                        .add(Finding::entry(Part::Journal, seq, problem));
                }
            }
        }
        let problem = record_problem(&entry, item);
        if let Some(problem) =
            problem.or_else(|| expected.hold_problem(&entry, item.change.as_deref()))
        {
            let target = entry.target.as_ref();
            let kind = target.map_or("record", |target| word(target.kind));
            let id = target.map(|target| target.id.clone());
            check
                .report
                .add(Finding::new(Part::Journal, kind, id, problem).of(seq));
        }
    }
}

/// What is wrong with the record of an item, whose entry is `entry`.
fn record_problem(entry: &Entry, item: &FrameItem) -> Option<String> {
    let named = named(entry).map(|(_, digest)| digest);
    let Some(stored) = &item.change else {
        return named.map(|_| "its entry names a record, and there is none".to_owned());
    };
    if named.and_then(parse_digest) != Some(short(&sha256(stored))) {
        return Some("the record is not the one that its entry names".to_owned());
    }
    let record = match form::decode::<Record>(stored) {
        Ok(record) => record,
        Err(error) => return Some(error.to_string()),
    };
    let (kind, id) = record.key().target();
    let target = entry.target.as_ref()?;
    let is_it = (kind, id.as_str()) == (target.kind, target.id.as_str())
        && target.revision == Some(record.revision());
    (!is_it).then(|| "its entry names another record, or another revision of it".to_owned())
}
