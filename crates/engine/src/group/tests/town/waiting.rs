//! What waits to be done, and clocks that go back.

use super::*;
use crate::GroupOutlook;

impl Town {
    pub(in crate::group::tests) fn set_back(&mut self, time: Duration) {
        let back = u64::try_from(time.as_millis()).unwrap();
        self.now = Timestamp::from_millis(self.now.as_millis().checked_sub(back).unwrap());
    }

    /// The commit that waits to be put by a device.
    pub(in crate::group::tests) fn pending(&self, id: usize) -> Option<GroupCommitRecord> {
        crate::group::commit::pending(self.disk(id), &GROUP).unwrap()
    }

    /// A commit waits to be put by a device.
    pub(in crate::group::tests) fn keep_commit(&mut self, id: usize, made: &Made) {
        let own = GroupCommitRecord {
            envelope: made.envelope.clone(),
            content_hash: chancery_crypto::hash::sha256(&[&made.envelope]).to_vec(),
            epoch: self.epoch(id).saturating_add(1),
            made_at: self.now.as_millis(),
            hash: made.hash.to_vec(),
            ..made.own.clone()
        };
        self.act(id, |turn| save(turn.records, key(GROUP_COMMIT, &[&GROUP]), &own));
    }

    /// What is to be done next for a device's groups.
    pub(in crate::group::tests) fn next(&self, id: usize, blocked: &BTreeSet<[u8; 16]>) -> Option<GroupStep> {
        let resident = &self.residents[id];
        resident.engine.next_group_step(&resident.disk, self.now, blocked).unwrap()
    }

    /// The same, and when there is something if there is nothing now.
    pub(in crate::group::tests) fn outlook(&self, id: usize, blocked: &BTreeSet<[u8; 16]>) -> GroupOutlook {
        let resident = &self.residents[id];
        resident.engine.group_outlook(&resident.disk, self.now, blocked).unwrap()
    }
}
