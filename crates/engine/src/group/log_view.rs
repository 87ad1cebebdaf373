//! The device's log as a group sees it (R-GROUP-5): what it was at some size, whatever came after (R-ENGINE-71).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::cell::RefCell;

use chancery_crypto::signature::VerifyingKey;
use chancery_group::{Ended, LogView};
use chancery_identity::log::LeafKind;
use chancery_identity::{Capabilities, Credential, DeviceId, IssuerId, MemberId, OrgId};
use chancery_wire::Timestamp;
use chancery_wire::records::Records;

use crate::engine::Acting;
use crate::error::EngineError;
use crate::group::credentials;
use crate::group::waiting::{self, Seen};
use crate::log;

/// The log, for one call. A record that cannot be read is an answer that refuses; [`Self::check`] tells it from an honest one.
pub(crate) struct DeviceLog<'a> {
    me: &'a Acting<'a>,
    records: &'a dyn Records,
    size: u64,
    fresh: bool,
    failed: RefCell<Option<EngineError>>,
}

impl<'a> DeviceLog<'a> {
    pub(crate) fn new(me: &'a Acting<'a>, records: &'a dyn Records) -> Result<Self, EngineError> {
        Ok(Self { me, records, size: log::log_size(records)?, fresh: false, failed: RefCell::default() })
    }

    /// Says of the log whether it is as long as a checkpoint that was fetched after something was seen (R-GROUP-5).
    pub(crate) fn since(mut self, seen: Seen) -> Result<Self, EngineError> {
        self.fresh = waiting::is_fresh(self.records, seen)?;
        Ok(self)
    }

    /// Refuses if something could not be read.
    pub(crate) fn check(&self) -> Result<(), EngineError> {
        self.failed.borrow().map_or(Ok(()), Err)
    }

    fn read<T: Default>(&self, read: impl FnOnce() -> Result<T, EngineError>) -> T {
        read().unwrap_or_else(|error| {
            *self.failed.borrow_mut() = Some(error);
            T::default()
        })
    }

    fn row(&self, device: &DeviceId, size: u64) -> Option<chancery_wire::proto::LogDeviceRecord> {
        let row = self.read(|| log::device(self.records, device))?;
        (row.index < size && !row.commitment.is_empty()).then_some(row)
    }
}

/// Whether an end, noted as one above its index, is among the first `size` entries.
const fn has_ended(noted: u64, size: u64) -> bool {
    noted != 0 && noted <= size
}

impl LogView for DeviceLog<'_> {
    fn org_id(&self) -> OrgId {
        self.me.organisation().id()
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn is_fresh(&self) -> bool {
        self.fresh
    }

    fn root(&self, size: u64) -> Option<[u8; 32]> {
        if size > self.size {
            return None;
        }
        self.read(|| log::root_at(self.records, size).map(Some))
    }

    fn time(&self, size: u64) -> Option<Timestamp> {
        let index = size.checked_sub(1).filter(|_| size <= self.size)?;
        self.read(|| log::subject(self.records, index)).map(|row| row.time)
    }

    fn device(&self, device: &DeviceId, size: u64) -> Option<(MemberId, [u8; 32])> {
        let row = self.row(device, size)?;
        Some((MemberId::from_bytes(&row.member_id)?, row.commitment.try_into().ok()?))
    }

    fn devices_of(&self, member: &MemberId, size: u64) -> Vec<DeviceId> {
        let mut devices = BTreeSet::new();
        let size = size.min(self.size);
        self.read(|| {
            log::visit_subjects(self.records, (0, size), |_, row| {
                if row.is(LeafKind::Credential) && row.object == *member.as_bytes() {
                    devices.insert(DeviceId::new(row.subject));
                }
            })
        });
        devices.into_iter().filter(|device| !self.is_ended(device, member, size)).collect()
    }

    fn is_ended(&self, device: &DeviceId, member: &MemberId, size: u64) -> bool {
        let device = self.read(|| log::device(self.records, device));
        device.is_some_and(|row| has_ended(row.ended, size))
            || has_ended(self.read(|| log::member(self.records, member)).ended, size)
    }

    fn ended(&self, from: u64, to: u64) -> Vec<Ended> {
        let mut ended = Vec::new();
        self.read(|| {
            log::visit_subjects(self.records, (from, to.min(self.size)), |_, row| ended.extend(end(row)))
        });
        ended
    }

    fn group_successors(&self, group: &[u8; 16], size: u64) -> Vec<MemberId> {
        let (mut of_group, mut of_all) = (None, None);
        self.read(|| {
            log::visit_subjects(self.records, (0, size.min(self.size)), |index, row| {
                if row.is(LeafKind::GroupSuccessor) && row.subject == *group {
                    of_group = Some(index);
                } else if row.is(LeafKind::GroupSuccessor) && row.subject == [0; 16] {
                    of_all = Some(index);
                }
            })
        });
        let Some(index) = of_group.or(of_all) else { return Vec::new() };
        self.read(|| log::successors(self.records, index))
    }

    fn groups_issuer(&self, issuer: &IssuerId, size: u64) -> Option<VerifyingKey> {
        let issuer = self.me.known.authority.issuer_at(issuer, size, self.time(size)?)?;
        issuer.capabilities().contains(Capabilities::GROUPS).then(|| issuer.key().clone())
    }

    fn credential(&self, device: &DeviceId) -> Option<Credential> {
        self.read(|| credentials::get(self.me, self.records, device))
    }
}

/// Returns whom an entry ends.
pub(crate) fn end(row: &log::Row) -> Option<Ended> {
    if row.is(LeafKind::DeviceRevoked) {
        Some(Ended::Device(DeviceId::new(row.subject)))
    } else if row.is(LeafKind::MemberRevoked) {
        Some(Ended::Member(MemberId::new(row.subject)))
    } else {
        None
    }
}
