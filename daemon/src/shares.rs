//! Shares of what there is for all, so that nobody uses up what is for the others.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

/// Counts how much of something is taken, and by whom.
#[derive(Debug, Clone)]
pub(crate) struct Shares<K>(Arc<Inner<K>>);

#[derive(Debug)]
struct Inner<K> {
    most: usize,
    of_one: usize,
    taken: Mutex<Taken<K>>,
}

#[derive(Debug)]
struct Taken<K> {
    all: usize,
    by: HashMap<K, usize>,
}

impl<K: Eq + Hash + Copy> Shares<K> {
    /// Nothing taken of `most`, of which one may take `of_one`.
    pub(crate) fn new(most: usize, of_one: usize) -> Self {
        let (all, by) = (0, HashMap::new());
        Self(Arc::new(Inner {
            most,
            of_one,
            taken: Mutex::new(Taken { all, by }),
        }))
    }

    /// Takes `amount` for `who`, if so much is left of the share and of all.
    pub(crate) fn take(&self, who: K, amount: usize) -> Option<Share<K>> {
        self.take_within(self.0.most, who, amount)
    }

    /// Takes as [`take`](Self::take) does, as long as all have no more than `most`: the rest is for others.
    pub(crate) fn take_within(&self, most: usize, who: K, amount: usize) -> Option<Share<K>> {
        let mut taken = self.0.taken.lock();
        let own = taken.by.get(&who).copied().unwrap_or(0);
        let fits = taken.all + amount <= most && own + amount <= self.0.of_one;
        fits.then(|| self.add(&mut taken, who, amount))
    }

    /// Takes `amount` for `who` even if that is more than is left: what has been done already.
    pub(crate) fn take_anyway(&self, who: K, amount: usize) -> Share<K> {
        self.add(&mut self.0.taken.lock(), who, amount)
    }

    /// Whether anything is left for `who`.
    pub(crate) fn has_room(&self, who: K) -> bool {
        let taken = self.0.taken.lock();
        let own = taken.by.get(&who).copied().unwrap_or(0);
        taken.all < self.0.most && own < self.0.of_one
    }

    /// How much is taken.
    pub(crate) fn taken(&self) -> usize {
        self.0.taken.lock().all
    }

    fn add(&self, taken: &mut Taken<K>, who: K, amount: usize) -> Share<K> {
        taken.all += amount;
        *taken.by.entry(who).or_default() += amount;
        Share {
            inner: Arc::clone(&self.0),
            who,
            amount,
        }
    }
}

/// What one has taken; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share<K: Eq + Hash + Copy> {
    inner: Arc<Inner<K>>,
    who: K,
    amount: usize,
}

impl<K: Eq + Hash + Copy> Drop for Share<K> {
    fn drop(&mut self) {
        let mut taken = self.inner.taken.lock();
        taken.all = taken.all.saturating_sub(self.amount);
        if let Some(own) = taken.by.get_mut(&self.who) {
            *own = own.saturating_sub(self.amount);
            if *own == 0 {
                taken.by.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cannot_use_up_what_is_for_the_others_and_what_is_given_back_is_there_again() {
        let shares = Shares::new(6, 4);
        let one = shares.take('a', 3).unwrap();
        assert!(shares.take('a', 2).is_none());
        let rest = shares.take('a', 1).unwrap();
        assert!(!shares.has_room('a') && shares.has_room('b'));
        let other = shares.take('b', 2).unwrap();
        assert!(shares.take('c', 1).is_none() && !shares.has_room('c'));
        drop(one);
        assert!(shares.take_within(4, 'c', 2).is_none(), "kept for others");
        assert!(shares.take('c', 2).is_some());
        let owed = shares.take_anyway('a', 9);
        assert_eq!(shares.taken(), 12);
        drop((rest, other, owed));
        assert_eq!(shares.taken(), 0);
        assert!(shares.0.taken.lock().by.is_empty());
    }
}
