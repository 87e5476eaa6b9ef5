//! The connections that there are to the operators' socket, and whose they are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agentidp_shared::Timestamp;
use parking_lot::Mutex;

use super::peer::Peer;
use super::policy::{Operators, Standing};

/// The connections that there are, in the order in which they came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connections(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    next: AtomicU64,
    open: Mutex<BTreeMap<u64, Open>>,
}

/// One connection.
#[derive(Debug, Clone)]
struct Open {
    peer: Arc<Peer>,
    since: Timestamp,
}

/// What one connection is kept by; forgotten when it is dropped.
#[derive(Debug)]
pub(super) struct Presence {
    connections: Connections,
    number: u64,
}

/// A connection, for one who asks.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) peer: Arc<Peer>,
    pub(super) standing: Standing,
    pub(super) since: Timestamp,
    pub(super) is_own: bool,
}

impl Connections {
    /// Notes a connection that began at `since`.
    pub(super) fn begin(&self, peer: Arc<Peer>, since: Timestamp) -> Presence {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.0.open.lock().insert(number, Open { peer, since });
        Presence {
            connections: self.clone(),
            number,
        }
    }

    /// The connections of those who have a role, as far as `own` may know of them. What one user does in
    /// organizations that another does not reach is none of the other's business.
    pub(super) fn seen_by(&self, operators: &Operators, own: &Arc<Peer>) -> Vec<Seen> {
        let Some(standing) = operators.standing_of(own) else {
            return Vec::new();
        };
        let open: Vec<_> = self.0.open.lock().values().cloned().collect();
        let seen = open.into_iter().filter_map(|open| {
            let other = operators.standing_of(&open.peer)?;
            let is_own = Arc::ptr_eq(&open.peer, own);
            (is_own || standing.meets(&other)).then_some(Seen {
                is_own,
                standing: other,
                peer: open.peer,
                since: open.since,
            })
        });
        seen.collect()
    }

    /// How many connections there are beside `own` that it may know of.
    pub(super) fn others(&self, operators: &Operators, own: &Arc<Peer>) -> u32 {
        let seen = self.seen_by(operators, own);
        let others = seen.iter().filter(|it| !it.is_own).count();
        u32::try_from(others).unwrap_or(u32::MAX)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.connections.0.open.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use agentidp_shared::Role;

    use super::*;
    use crate::config::RoleMapping;

    fn roles(organizations: Option<&[&str]>) -> Operators {
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        Operators::new(vec![RoleMapping {
            role: Role::Operator,
            users: vec![nix::unistd::geteuid().to_string()],
            groups: Vec::new(),
            organizations: organizations.map(texts),
        }])
    }

    #[test]
    fn a_connection_is_known_until_it_ends_and_only_to_those_who_reach_as_far() {
        let connections = Connections::default();
        let (own, other) = (
            Arc::new(Peer::of_this_process()),
            Arc::new(Peer::of_this_process()),
        );
        let time = Timestamp::from_millis(1_800_000_000_000);
        let _own = connections.begin(Arc::clone(&own), time);
        let presence = connections.begin(Arc::clone(&other), time);
        let everywhere = roles(None);
        assert_eq!(connections.others(&everywhere, &own), 1);
        let seen = connections.seen_by(&everywhere, &own);
        assert_eq!(
            seen.iter().map(|it| it.is_own).collect::<Vec<_>>(),
            [true, false]
        );
        drop(other.calls.come(true));
        assert!(
            connections.seen_by(&everywhere, &own)[1]
                .peer
                .calls
                .are_read_only()
        );
        assert_eq!(connections.others(&roles(Some(&["acme"])), &own), 1);
        assert_eq!(connections.others(&Operators::new(Vec::new()), &own), 0);
        drop(presence);
        assert_eq!(connections.others(&everywhere, &own), 0);
    }
}
