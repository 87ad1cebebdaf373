//! Orders to groups: what an administrator wants done in a group whose keys the organisation does not have (R-GROUP-9).

use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::label;
use chancery_crypto::rng::CryptoRng;
use chancery_identity::{Capabilities, MemberId};
use chancery_wire::records::{Batch, Records};
use chancery_wire::{Timestamp, encode, proto};

use crate::audit::Act;
use crate::{AdminKeys, Desk, OrgError, ceremony};

/// How long an order can be carried out: 29 days by the log's time, one less than groups take, for clocks that differ.
const LIFETIME: Duration = Duration::from_secs(29 * 24 * 60 * 60);

/// What is ordered, and how the record of the act says it.
#[derive(Debug)]
pub struct GroupOrdered<'a> {
    /// The group.
    pub group_id: [u8; 16],
    /// The epoch that it was made in; 0 if that is not known.
    pub epoch: u64,
    /// What is to be done, in order.
    pub changes: Vec<proto::GroupOrdered>,
    /// The group and the order in words.
    pub said: (&'a str, &'a str),
    /// The member it is about, if it is about one.
    pub member: Option<MemberId>,
}

impl Desk {
    /// Signs an order to a group, and records the act. Whether the group allows it shows when a member carries it out.
    ///
    /// # Errors
    ///
    /// [`OrgError::WrongKeys`]: the administrator's keys are no issuer's with GROUPS. [`OrgError::Records`] when the store cannot
    /// answer.
    pub fn order_group(
        &self,
        admin: &AdminKeys,
        (records, ordered): (&dyn Records, GroupOrdered<'_>),
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Batch, proto::Signed), OrgError> {
        ceremony::check_may_sign(records, &self.organisation, (admin, Capabilities::GROUPS), now)?;
        let body = encode(&proto::GroupOrderBody {
            org_id: self.organisation.id().as_bytes().to_vec(),
            issuer_id: admin.issuer().id().as_bytes().to_vec(),
            device_id: Vec::new(),
            group_id: ordered.group_id.to_vec(),
            epoch: ordered.epoch,
            expires: now.after(LIFETIME).as_millis(),
            changes: ordered.changes,
        });
        let signature = admin.issuer().signing().sign(label::SIGN_GROUP_ORDER, &body, rng);
        let mut batch = Batch::default();
        let (target, after) = ordered.said;
        let act = Act { action: "group order", target, after, member: ordered.member, ..Act::default() };
        self.record_act((records, &mut batch), &act, now, rng)?;
        Ok((batch, proto::Signed { body, signature }))
    }
}
