//! Cursors of lists over HTTP.

use super::{Caller, Reach, Service};

impl Service {
    /// A cursor to `position` in a list, of which `list` says which it is, what it is filtered by and
    /// how it is ordered. It counts for callers of the same reach only.
    pub(crate) fn seal_cursor(&self, caller: &Caller, list: &str, position: &[u8]) -> String {
        let reach = reach(caller);
        self.cursors
            .seal(&[reach.as_bytes(), list.as_bytes()], position)
    }

    /// The position in a list that a cursor stands for; `None` when it was not made here, for this
    /// list and for a caller of this reach.
    pub(crate) fn open_cursor(&self, caller: &Caller, list: &str, cursor: &str) -> Option<Vec<u8>> {
        let reach = reach(caller);
        self.cursors
            .open(&[reach.as_bytes(), list.as_bytes()], cursor)
    }
}

fn reach(caller: &Caller) -> String {
    match &caller.reach {
        Reach::Installation => "*".to_owned(),
        Reach::Organizations(reached) => {
            let ids: Vec<_> = reached.iter().map(ToString::to_string).collect();
            ids.join(" ")
        }
    }
}
