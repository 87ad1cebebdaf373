use alloc::vec::Vec;

use chancery_crypto::signature::VerifyingKey;
use chancery_identity::{DeviceId, IssuerId, MemberId, OrgId};

use super::*;

/// A log that ended one device with every entry.
struct Ends(Vec<DeviceId>);

impl LogView for Ends {
    fn org_id(&self) -> OrgId {
        OrgId::new([0; 32])
    }
    fn size(&self) -> u64 {
        self.0.len() as u64
    }
    fn root(&self, _: u64) -> Option<[u8; 32]> {
        None
    }
    fn time(&self, _: u64) -> Option<Timestamp> {
        None
    }
    fn device(&self, _: &DeviceId, _: u64) -> Option<(MemberId, [u8; 32])> {
        None
    }
    fn devices_of(&self, _: &MemberId, _: u64) -> Vec<DeviceId> {
        Vec::new()
    }
    fn is_ended(&self, _: &DeviceId, _: &MemberId, _: u64) -> bool {
        false
    }
    fn ended(&self, from: u64, to: u64) -> Vec<Ended> {
        let of = |number: u64| usize::try_from(number).unwrap();
        self.0[of(from)..of(to)].iter().map(|device| Ended::Device(*device)).collect()
    }
    fn group_successors(&self, _: &[u8; 16], _: u64) -> Vec<MemberId> {
        Vec::new()
    }
    fn groups_issuer(&self, _: &IssuerId, _: u64) -> Option<VerifyingKey> {
        None
    }
    fn credential(&self, _: &DeviceId) -> Option<Credential> {
        None
    }
}

#[test]
fn more_ends_than_a_commit_holds_are_shared_among_several_r_group_8() {
    let nothing = MemoryRows::default();
    let mut roster = Roster::empty(&nothing);
    let mut devices = Vec::new();
    for number in 0..1_100_u16 {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&number.to_be_bytes());
        let (member, device) = (MemberId::new(id), DeviceId::new(id));
        let (credential, group_key) = ([0; 32], [0; 32]);
        roster.add(Entry { member, device, credential, group_key, role: Role::Member, added: 1 }).unwrap();
        devices.push(device);
    }
    let log = Ends(devices);
    let (mut known, mut rounds) = (0, 0);
    while known < log.size() {
        let (slots, size) = ended_slots(&roster, known, &log).unwrap();
        assert!(size > known && !slots.is_empty() && slots.len() <= MAX_EVICTIONS);
        for slot in slots {
            roster.put(slot, None).unwrap();
        }
        (known, rounds) = (size, rounds + 1);
    }
    assert_eq!(roster.taken(), 0);
    assert!(rounds <= 12);
}
