//! Records that are in use, in memory.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use crate::metrics::lookups::Lookups;
use crate::store::Stored;

/// How many records of each kind are kept in memory.
const CACHED: usize = 10_000;

/// Records of one kind that are in use, decoded.
pub(super) struct Cache<K: Hash + Eq, V> {
    /// The records.
    pub(super) records: LruCache<K, Arc<Stored<V>>>,
    /// Counts the changes. Who missed and read the index keeps what it found only if this is still
    /// what it was before; else it may have read what has been replaced since.
    pub(super) epoch: u64,
    /// How often it helped.
    pub(super) lookups: Arc<Lookups>,
}

impl<K: Hash + Eq + Copy, V> Cache<K, V> {
    /// An empty cache that counts how often it helps.
    pub(super) fn new(lookups: &Arc<Lookups>) -> Mutex<Self> {
        let capacity = NonZeroUsize::new(CACHED).unwrap_or(NonZeroUsize::MIN);
        Mutex::new(Self {
            records: LruCache::new(capacity),
            epoch: 0,
            lookups: Arc::clone(lookups),
        })
    }

    /// Notes what a record has become. A large one is forgotten rather than kept.
    pub(super) fn put(cache: &Mutex<Self>, key: K, record: V, audit_seq: u64, is_large: bool) {
        let mut cache = cache.lock();
        cache.epoch += 1;
        if is_large {
            cache.records.pop(&key);
            return;
        }
        cache
            .records
            .put(key, Arc::new(Stored { record, audit_seq }));
    }
}
