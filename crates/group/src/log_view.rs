//! What a device's copy of the organisation's log tells a group.

use alloc::vec::Vec;

use chancery_crypto::signature::VerifyingKey;
use chancery_identity::{Credential, DeviceId, IssuerId, MemberId, OrgId};
use chancery_wire::Timestamp;

/// Somebody whom the log ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// One device.
    Device(DeviceId),
    /// A member with every device.
    Member(MemberId),
}

/// The log as a device has it. `size` is always a number of first entries: what comes after must not change an answer,
/// so that everybody judges a commit alike (R-GROUP-5).
pub trait LogView {
    /// Returns the organisation.
    fn org_id(&self) -> OrgId;

    /// Returns how many entries this device has.
    fn size(&self) -> u64;

    /// Whether this copy is at least as long as a checkpoint that was fetched after what is judged now was seen: then an
    /// entry that it lacks did not exist, and what names one is not valid (R-GROUP-5). Who cannot say that says `false`,
    /// and is told to get the rest of the log first.
    fn is_fresh(&self) -> bool {
        false
    }

    /// Returns the root of the first `size` entries; `None` if there are not as many.
    fn root(&self, size: u64) -> Option<[u8; 32]>;

    /// Returns the time of entry `size` − 1; `None` if there is none.
    fn time(&self, size: u64) -> Option<Timestamp>;

    /// Returns whose a device is and the hash of its credential, if the first `size` entries have one.
    fn device(&self, device: &DeviceId, size: u64) -> Option<(MemberId, [u8; 32])>;

    /// Returns a member's devices in the first `size` entries that have not ended in them.
    fn devices_of(&self, member: &MemberId, size: u64) -> Vec<DeviceId>;

    /// Whether the device, or the member whose it is, ended in the first `size` entries.
    fn is_ended(&self, device: &DeviceId, member: &MemberId, size: u64) -> bool;

    /// Returns who ended in the entries from `from` up to but without `to`.
    fn ended(&self, from: u64, to: u64) -> Vec<Ended>;

    /// Returns who takes a group over as the first `size` entries say: the newest statement for it, else for all.
    fn group_successors(&self, group: &[u8; 16], size: u64) -> Vec<MemberId>;

    /// Returns the key of an issuer with GROUPS that is active (R-LOG-4) after the first `size` entries, at the time of
    /// the last of them.
    fn groups_issuer(&self, issuer: &IssuerId, size: u64) -> Option<VerifyingKey>;

    /// Returns a device's credential, verified at some time, if this device has it at hand.
    fn credential(&self, device: &DeviceId) -> Option<Credential>;
}
