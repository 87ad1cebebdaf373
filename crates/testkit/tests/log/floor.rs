//! A checkpoint that was known before the store was put back from an old copy (R-ENGINE-64).

use super::*;

/// What the log says of itself when it has three entries more than anybody here knows, and how many it has then.
fn grown(world: &mut World) -> (String, u64) {
    for sequence in 1..4 {
        grow(world, sequence);
    }
    let size = world.log().size();
    (world.page(0).checkpoint, size)
}

#[test]
fn a_log_with_fewer_entries_than_were_known_is_rolled_back_until_it_has_them_r_engine_64() {
    for missing in 1..=3 {
        let (mut world, alice, bob) = pair(91);
        let (note, size) = grown(&mut world);
        let cut = world.log().cut(size - missing);
        world.give_floor(alice, &note);
        assert_eq!(world.log_status(alice).state, LogState::Unconfirmed, "nothing is shown yet");
        world.show(alice, Some(cut));
        world.sync_log(alice);
        assert_eq!(world.log_status(alice).state, LogState::RolledBack, "{missing}");
        world.say(alice, bob, "must wait");
        world.flush(alice);
        assert!(!world.heard(bob).contains(&"must wait".to_owned()));
        world.show(alice, None);
        world.run();
        assert_eq!(world.log_status(alice).state, LogState::Current);
        assert_eq!(world.fork_proof(alice).is_none(), world.log_status(alice).state == LogState::Current);
        assert!(world.heard(bob).contains(&"must wait".to_owned()));
    }
}

#[test]
fn without_it_nobody_notices_and_with_a_whole_log_nothing_is_missed_r_engine_64() {
    let (mut world, alice, _) = pair(92);
    let (note, size) = grown(&mut world);
    let cut = world.log().cut(size - 1);
    world.show(alice, Some(cut));
    world.sync_log(alice);
    assert_eq!(world.log_status(alice).state, LogState::Current, "the control");
    world.show(alice, None);
    world.give_floor(alice, &note);
    world.sync_log(alice);
    assert_eq!((world.log_status(alice).state, world.log_status(alice).size), (LogState::Current, size));
    // One that says no more than is known changes nothing.
    world.give_floor(alice, &note);
    assert_eq!(world.log_status(alice).state, LogState::Current);
}

#[test]
fn another_root_at_that_size_is_a_fork_r_engine_64() {
    let (mut world, alice, bob) = pair(93);
    split(&mut world, bob);
    let honest = world.page(0).checkpoint;
    world.give_floor(bob, &honest);
    world.sync_log(bob);
    assert_eq!(world.log_status(bob).state, LogState::Forked);
    // Also if the entries are here already.
    let (mut again, _, other) = pair(93);
    split(&mut again, other);
    again.sync_log(other);
    again.give_floor(other, &honest);
    assert_eq!(again.log_status(other).state, LogState::Forked);
    assert!(again.fork_proof(other).is_some());
    assert_eq!(world.log_status(alice).state, LogState::Current, "the control");
}

#[test]
fn a_checkpoint_of_nobody_changes_nothing_and_one_that_holds_unlocks_nothing_r_engine_64() {
    let (mut world, alice, _) = pair(94);
    let mut policy = Policy::default();
    policy.max_offline = Some(DAY);
    world.set_policy(&policy, 1);
    world.sync_log(alice);
    world.wait(DAY * 2);
    let locked = |world: &World| {
        let now =
            chancery_wire::Timestamp::from_millis(world.log_status(alice).time.as_millis()).after(DAY * 2);
        chancery_engine::check_unlocked(&world.disk(alice), now).is_err()
    };
    assert!(locked(&world), "the control");
    grow(&mut world, 2);
    let note = world.page(0).checkpoint;
    let (mut stranger, ..) = pair(95);
    // What has passed is noted with the first input after it (R-ENGINE-68).
    world.give_floor(alice, "");
    let before = world.disk(alice);
    for wrong in [stranger.page(0).checkpoint, note.replacen("time 1", "time 2", 1), String::new()] {
        world.give_floor(alice, &wrong);
        assert_eq!(world.disk(alice), before);
    }
    world.give_floor(alice, &note);
    assert_ne!(world.disk(alice), before);
    assert!(locked(&world), "when a checkpoint came last stays what it was");
}
