//! Names of requests that give a secret: when the answer is lost, the same request is asked again under
//! the same name, and the daemon gives the secret that it made, for a minute, and makes no other.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};

use agentidp_shared::RequestId;

use super::event::Change;
use crate::clock;

/// The last request whose answer has not come.
#[derive(Debug, Clone, Default)]
pub(super) struct Naming(Arc<Mutex<Option<(Change, RequestId)>>>);

impl Naming {
    /// The name of a request for `change`: that of the one before, when it is the same and was not
    /// answered.
    pub(super) fn name(&self, change: &Change) -> RequestId {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, id)) = last.as_ref().filter(|(asked, _)| asked == change) {
            return *id;
        }
        let id = fresh();
        *last = Some((change.clone(), id));
        id
    }

    /// The request was answered, whatever the answer.
    pub(super) fn answered(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A name that no other request has. The standard library's hash keys are random, which is enough: a
/// name is no secret.
fn fresh() -> RequestId {
    let mut random = [0; 10];
    for (byte, of) in random.iter_mut().zip([0, 1].iter().flat_map(|_| word())) {
        *byte = of;
    }
    RequestId::new(clock::now(), random)
}

fn word() -> [u8; 8] {
    RandomState::new().build_hasher().finish().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixtures::{agent_id, credential_id};

    #[test]
    fn a_request_keeps_its_name_until_it_is_answered_and_no_other_has_it() {
        let rotate = |revision| Change::Rotate {
            credential: credential_id(1),
            grace: None,
            revision,
        };
        let issue = Change::Issue {
            agent: agent_id(1),
            expires_in: None,
        };
        let naming = Naming::default();
        let first = naming.name(&rotate(3));
        assert_eq!(naming.name(&rotate(3)), first);
        assert_ne!(naming.name(&issue), first);
        let second = naming.name(&rotate(4));
        naming.answered();
        assert_ne!(naming.name(&rotate(4)), second);
    }
}
