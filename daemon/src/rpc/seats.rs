//! How many connections there may be to the operators' socket, and of whom, so that nobody keeps out those
//! who can help.

use agentidp_shared::Role;

use crate::shares::{Share, Shares};

/// How many connections of users with a role there may be, and how many of one.
const MOST: usize = 256;
const OF_ONE: usize = 64;
/// How many of those are for admins.
const FOR_ADMINS: usize = 64;
/// How many there may be of users without one: they are told why they are refused, and that is all.
const STRANGERS: usize = 16;
const STRANGERS_OF_ONE: usize = 4;
/// How many may wait until it is known who they are, and how many more when that is root.
const WAITING: usize = 192;
const WAITING_FOR_ROOT: usize = OF_ONE;

/// The places that there are, by user.
#[derive(Debug, Clone)]
pub(super) struct Seats {
    operators: Shares<u32>,
    strangers: Shares<u32>,
    waiting: Shares<u32>,
}

impl Seats {
    /// All of them free.
    pub(super) fn new() -> Self {
        Self {
            operators: Shares::new(MOST, OF_ONE),
            strangers: Shares::new(STRANGERS, STRANGERS_OF_ONE),
            waiting: Shares::new(WAITING + WAITING_FOR_ROOT, OF_ONE),
        }
    }

    /// A place until it is known who `uid` is, which a user database on the network may take long to say.
    pub(super) fn wait(&self, uid: u32) -> Option<Share<u32>> {
        let most = match uid {
            0 => WAITING + WAITING_FOR_ROOT,
            _ => WAITING,
        };
        self.waiting.take_within(most, uid, 1)
    }

    /// The place of a connection of a user with `role`.
    pub(super) fn sit(&self, uid: u32, role: Option<Role>) -> Option<Share<u32>> {
        match role {
            None => self.strangers.take(uid, 1),
            Some(Role::Admin) => self.operators.take(uid, 1),
            Some(Role::Auditor | Role::Operator) => {
                self.operators.take_within(MOST - FOR_ADMINS, uid, 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(take: impl Fn(u32) -> Option<Share<u32>>) -> Vec<Share<u32>> {
        let users = 1..=100;
        let all = users.flat_map(|uid| std::iter::from_fn(|| take(uid)).collect::<Vec<_>>());
        all.collect()
    }

    #[test]
    fn users_without_a_role_take_no_place_of_those_who_have_one() {
        let seats = Seats::new();
        let strangers = fill(|uid| seats.sit(uid, None));
        assert_eq!(strangers.len(), STRANGERS);
        let operators = fill(|uid| seats.sit(uid, Some(Role::Operator)));
        assert_eq!(operators.len(), MOST - FOR_ADMINS);
        let admins = fill(|uid| seats.sit(uid + 100, Some(Role::Admin)));
        assert_eq!(admins.len(), FOR_ADMINS, "those are theirs");
        drop(strangers);
        assert!(seats.sit(1, None).is_some());
    }

    #[test]
    fn one_user_cannot_keep_out_the_others_and_nobody_root() {
        let seats = Seats::new();
        let own: Vec<_> = std::iter::from_fn(|| seats.sit(7, Some(Role::Admin))).collect();
        assert_eq!(own.len(), OF_ONE);
        assert!(seats.sit(8, Some(Role::Auditor)).is_some());
        let waiting = fill(|uid| seats.wait(uid));
        assert_eq!(waiting.len(), WAITING);
        assert!(seats.wait(101).is_none() && seats.wait(0).is_some());
    }
}
