//! Whether the relay took the keys of an offboarding, and a desk whose store was put back from an old copy.

use super::*;
use crate::KeyStep;

fn keys(world: &World) -> (KeyStep, KeyStep) {
    let report = world.report("alice");
    (report.delivery_key, report.directory_key)
}

#[test]
fn an_offboarding_is_complete_only_with_the_relays_word_on_both_keys_r_org_62() {
    let mut world = World::new(170);
    let mut log = Log::of(&world.public);
    world.enrolled("alice");
    world.flush(&mut log);
    world.publish();
    let batch = world.offboard("alice");
    apply(&mut world.store, &batch);
    world.flush(&mut log);
    assert_eq!(keys(&world), (KeyStep::Pending, KeyStep::Pending));
    let update = Desk::pending_directory(&world.store).unwrap().remove(0);
    let refused = Desk::delivery_key_given(&world.store, 2, false).unwrap();
    apply(&mut world.store, &refused);
    assert_eq!(keys(&world), (KeyStep::Refused, KeyStep::Pending));
    let refused = Desk::directory_refused(&world.store, &update.entry_id).unwrap();
    apply(&mut world.store, &refused);
    assert_eq!(keys(&world), (KeyStep::Refused, KeyStep::Refused));
    assert!(!world.report("alice").is_complete() && !world.report("alice").is_waiting());
    world.publish();
    assert_eq!(keys(&world), (KeyStep::Done, KeyStep::Done));
    assert!(world.report("alice").is_complete());
}

#[test]
fn a_desk_put_back_goes_above_the_epochs_that_the_relay_has_r_org_68() {
    let mut world = World::new(171);
    let mut log = Log::of(&world.public);
    world.enrolled("alice");
    world.enrolled("bob");
    world.flush(&mut log);
    world.publish();
    let batch = world.offboard("alice");
    apply(&mut world.store, &batch);
    world.flush(&mut log);
    // The relay has updates of the epochs 2 and 3 that this store knows nothing of.
    for epoch in [2, 3] {
        let update = Desk::pending_directory(&world.store).unwrap().remove(0);
        assert_eq!(key_epoch(&update), Some(0));
        let with = (update.entry_id.as_slice(), update.version);
        let (batch, raised) = world.desk.superseded(&world.store, with, world.now, &mut *world.rng).unwrap();
        assert!(raised);
        apply(&mut world.store, &batch);
        assert_eq!(world.desk.delivery_key(&world.store).unwrap().epoch(), epoch + 1);
        assert_eq!(keys(&world).1, KeyStep::Pending, "the relay has not taken ours");
        // Another process that heard the same does not raise it again.
        let again = world.desk.superseded(&world.store, with, world.now, &mut *world.rng).unwrap();
        assert!(again.0.is_empty() && !again.1);
    }
    world.publish();
    assert_eq!(keys(&world), (KeyStep::Done, KeyStep::Done));
    assert!(world.report("alice").is_complete());
}
