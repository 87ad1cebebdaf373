//! What a relay shows as confirmed is believed of no device that did not sign it.

use super::*;
use chancery_identity::log::{Leaf, LeafKind};
use chancery_identity::{DeviceId, MemberId, confirm_end};

#[test]
fn a_confirmation_counts_only_if_the_devices_own_key_signed_its_own_end_r_org_57() {
    let mut world = World::new(31);
    let enrolled: [(DeviceKeys, MemberId, DeviceId); 2] = ["alice", "bob"].map(|who| {
        let (link, keys) = (world.invite(who), world.device());
        let credential = world.enrol(&link, &keys).unwrap().credential;
        (keys, credential.member_id(), credential.device_id())
    });
    let [(keys, member, device), (others, other, _)] = &enrolled;
    let org = world.public.id();
    let end = |member: &MemberId| Leaf {
        kind: LeafKind::MemberRevoked,
        time: NOW,
        subject: *member.as_bytes(),
        object: [0; 16],
        issuer: [1; 16],
        commitment: [2; 32],
    };
    let at = Timestamp::from_millis(77);
    let rng = &mut *world.rng;
    let own = confirm_end(&keys.signing, (&org, device), &end(member), at, rng);
    let by_another = confirm_end(&others.signing, (&org, device), &end(member), at, rng);
    let of_another_end = confirm_end(&keys.signing, (&org, device), &end(other), at, rng);
    let mut forged = own.clone();
    forged.time = 78;
    let unknown = DeviceId::new([9; 16]);
    let shown = |shown: &[proto::EndConfirmation]| {
        let ends = world.desk.confirmed_ends(&world.store, (member, &[*device, unknown]), shown).unwrap();
        assert_eq!((ends[0].device, ends[1].device, ends[1].confirmed), (*device, unknown, None));
        ends[0].confirmed
    };
    for wrong in [&by_another, &of_another_end, &forged] {
        assert_eq!(shown(core::slice::from_ref(wrong)), None, "R-ORG-57");
    }
    assert_eq!(shown(&[]), None, "nothing is known");
    assert_eq!(shown(&[forged, by_another, own]), Some(at), "the control");
}
