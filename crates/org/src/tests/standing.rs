//! What the books say of a handle.

use super::*;
use crate::Standing;

fn standing(world: &World, who: &str) -> Standing {
    let relay = world.public.relay().unwrap();
    world.desk.standing(&world.store, &handle(who), relay, world.now).unwrap()
}

#[test]
fn an_open_invitation_is_given_again_as_it_was_and_no_other_r_org_26() {
    let mut world = World::new(40);
    assert!(matches!(standing(&world, "alice"), Standing::Free));
    let link = world.invite("alice");
    let Standing::Open { link: again, member_id, name: shown } = standing(&world, "alice") else {
        panic!("open")
    };
    assert_eq!(again.encode(), link.encode());
    assert_eq!(shown, name("Some Body"));
    // After the relay moved, the link leads to where it is.
    let log_key = log_key();
    let there = RelayPlace { url: "wss://new.example:443", pin: &[8; 32], log_key: &log_key };
    let moved = world.admin.record_relay(&world.public, there, &mut *world.rng);
    let moved = verified(&moved.unwrap());
    let found = world.desk.standing(&world.store, &handle("alice"), moved.relay().unwrap(), world.now);
    let Ok(Standing::Open { link: again, .. }) = found else { panic!("open") };
    assert_eq!((again.relay_url.as_str(), again.relay_pin), ("wss://new.example:443", [8; 32]));
    assert_eq!(again.invitation_id, link.invitation_id);
    world.now = link.expires;
    assert!(matches!(standing(&world, "alice"), Standing::Free), "expired unused");
    world.now = NOW;
    let alice = world.device();
    world.enrol(&link, &alice).unwrap();
    assert!(matches!(standing(&world, "alice"), Standing::Enrolled { member_id: it, .. } if it == member_id));
    world.now = link.expires;
    assert!(matches!(standing(&world, "alice"), Standing::Enrolled { .. }), "for ever");
}
