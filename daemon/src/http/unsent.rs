//! How many bytes of answers may wait to be taken by their clients. An answer counts until its last byte
//! has been written, or its connection has ended.

use agentidp_shared::{Code, OrganizationId};
use bytes::Bytes;

use crate::sending::holding;
use crate::service::ServiceError;
use crate::shares::Shares;

/// For all together: what the daemon can spare besides its own.
const MOST: usize = 64 * 1_024 * 1_024;
/// For the clients of one organization, so that those who do not read have no say over the others.
const OF_ONE: usize = MOST / 8;

/// The answers of the management interface that are not sent yet. Others are small, or the same for all.
#[derive(Debug)]
pub(super) struct Unsent(Shares<Option<OrganizationId>>);

impl Unsent {
    /// None.
    pub(super) fn new() -> Self {
        Self(Shares::new(MOST, OF_ONE))
    }

    /// Refuses a request whose answer would have no room, before anything is done for it.
    ///
    /// # Errors
    ///
    /// `OVERLOADED`.
    pub(super) fn check(&self, organization: Option<OrganizationId>) -> Result<(), ServiceError> {
        let has_room = self.0.has_room(organization);
        has_room.then_some(()).ok_or_else(refusal)
    }

    /// The bytes of an answer that only tells something. They count until they are sent.
    ///
    /// # Errors
    ///
    /// `OVERLOADED`.
    pub(super) fn told(
        &self,
        organization: Option<OrganizationId>,
        bytes: Bytes,
    ) -> Result<Bytes, ServiceError> {
        let share = self.0.take(organization, bytes.len()).ok_or_else(refusal)?;
        Ok(holding(bytes, share))
    }

    /// The bytes of an answer to what has been done, which its client has to hear. They count until they
    /// are sent.
    pub(super) fn done(&self, organization: Option<OrganizationId>, bytes: Bytes) -> Bytes {
        let share = self.0.take_anyway(organization, bytes.len());
        holding(bytes, share)
    }
}

fn refusal() -> ServiceError {
    ServiceError::new(
        Code::Overloaded,
        "too many answers wait to be read: read those that were asked for, then ask again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_read_is_refused_and_nobody_else() {
        let unsent = Unsent::new();
        let [one, other] = [1, 2].map(|it| Some(OrganizationId::from_bytes([it; 16])));
        let page = || Bytes::from(vec![b'x'; OF_ONE / 2]);
        let first = unsent.told(one, page()).unwrap();
        let _second = unsent.told(one, page()).unwrap();
        assert_eq!(unsent.check(one).unwrap_err().code, Code::Overloaded);
        assert!(unsent.told(one, page()).is_err());
        assert!(unsent.check(other).is_ok() && unsent.told(other, page()).is_ok());
        // What has been done is told in any case.
        drop(unsent.done(one, page()));
        drop(first);
        assert!(unsent.check(one).is_ok());
    }

    #[test]
    fn all_together_have_a_bound_too() {
        let unsent = Unsent::new();
        let held: Vec<_> = (0..=MOST / OF_ONE)
            .map(|number| {
                let number = u8::try_from(number).unwrap();
                let organization = Some(OrganizationId::from_bytes([number; 16]));
                unsent.told(organization, vec![b'x'; OF_ONE].into())
            })
            .collect();
        assert!(held[..held.len() - 1].iter().all(Result::is_ok));
        assert!(held[held.len() - 1].is_err());
    }
}
