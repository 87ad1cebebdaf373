//! What the organisation's policy demands of a device.

use chancery_identity::LEAST_FRESHNESS;

use super::*;

#[test]
fn what_is_stale_is_not_sealed_and_half_of_it_is_warned_of_r_engine_32() {
    let (mut world, alice, bob) = pair(17);
    let mut policy = Policy::default();
    policy.freshness = 2 * LEAST_FRESHNESS;
    world.set_policy(&policy, 1);
    world.run();
    let before = world.mail(bob).len();
    world.wait(LEAST_FRESHNESS + Duration::from_secs(1));
    world.say(alice, bob, "late");
    assert_eq!((told(&world, alice, Notice::LogAging), told(&world, alice, Notice::LogStale)), (1, 0));
    assert_eq!(world.log_status(alice).state, LogState::Aging);
    world.wait(LEAST_FRESHNESS);
    world.say(alice, bob, "too late");
    assert_eq!(told(&world, alice, Notice::LogStale), 1);
    assert_eq!(world.log_status(alice).state, LogState::Stale);
    world.flush_blindly(alice);
    assert_eq!(world.mail(bob).len(), before + 1, "only what was sealed in time");
    world.run();
    assert_eq!(world.heard(bob)[1..], ["late", "too late"], "it waited, and nothing is lost");
}

#[test]
fn what_policy_lets_expire_is_deleted_and_does_not_come_again_r_engine_36() {
    for expires in [true, false] {
        let (mut world, alice, bob) = pair(19);
        let mut policy = Policy::default();
        policy.retention = expires.then_some(3 * DAY);
        world.set_policy(&policy, 1);
        let old = "an old message of alice's";
        let id = world.say(alice, bob, old);
        world.run();
        world.wait(2 * DAY);
        world.say(alice, bob, "young");
        world.run();
        assert_eq!(world.history(bob, alice).len(), 4);
        world.wait(DAY + DAY / 24);
        world.run();
        let all = ["hello", "hello", old, "young"];
        let left = if expires { &all[3..] } else { &all[..] };
        for (id, with) in [(alice, bob), (bob, alice)] {
            assert_eq!(world.history(id, with), left);
        }
        assert_eq!(
            world.heard(bob).len(),
            1 + 2 * usize::from(!expires),
            "an event of what is gone is no event"
        );
        let has_text = |value: &Vec<u8>| value.windows(old.len()).any(|part| part == old.as_bytes());
        assert_eq!(world.disk(bob).values().any(has_text), !expires, "nothing of it stays");
        let left = chancery_engine::message(&world.disk(bob), &world.member_id(alice), &id).unwrap();
        assert_eq!(left.unwrap().text.is_some(), !expires, "but what keeps it from coming again");
    }
}

#[test]
fn a_device_that_was_offline_for_too_long_shows_nothing_until_it_heard_of_the_log_r_engine_36() {
    let (mut world, alice, _) = pair(20);
    let mut policy = Policy::default();
    policy.max_offline = Some(3 * DAY);
    world.set_policy(&policy, 1);
    world.run();
    let locked = |world: &World| chancery_engine::check_unlocked(&world.disk(alice), world.now()).is_err();
    world.wait(3 * DAY);
    assert!(!locked(&world));
    world.wait(Duration::from_millis(1));
    assert!(locked(&world));
    world.sync(alice);
    assert!(!locked(&world));
}

#[test]
fn a_clock_that_is_set_back_unlocks_nothing_and_one_that_is_far_off_locks_nobody_out_r_engine_68() {
    let day = 24 * 3_600_000_i64;
    let (mut world, alice, _) = pair(32);
    let mut policy = Policy::default();
    policy.max_offline = Some(3 * DAY);
    world.set_policy(&policy, 1);
    world.run();
    let locked = |world: &World, skew: i64| {
        let now = world.now().as_millis().saturating_add_signed(skew);
        let now = chancery_wire::Timestamp::from_millis(now);
        chancery_engine::check_unlocked(&world.disk(alice), now).is_err()
    };
    world.wait(2 * DAY);
    world.pass_time(alice);
    // Set back by all that has passed, and again before each look.
    for back in [2 * day, 20 * day, 200 * day] {
        world.set_clock(alice, -back);
        world.pass_time(alice);
        assert!(!locked(&world, -back), "two days have passed");
    }
    world.wait(DAY + Duration::from_secs(1));
    assert!(locked(&world, -200 * day), "three have, whatever the clock says");
    world.pass_time(alice);
    for skew in [-10 * YEAR, 0] {
        world.set_clock(alice, skew);
        world.pass_time(alice);
        assert!(locked(&world, skew), "what has passed once has passed");
    }
    world.sync(alice);
    assert!(!locked(&world, 0), "the next checkpoint counts from its coming");
    // A clock that was years ahead for a moment locks until the next checkpoint, and no longer.
    world.set_clock(alice, 10 * YEAR);
    world.pass_time(alice);
    world.set_clock(alice, 0);
    assert!(locked(&world, 0), "nobody knows better until then");
    world.wait(Duration::from_secs(601));
    world.sync(alice);
    assert!(!locked(&world, 0));
    assert_eq!(world.log_status(alice).state, LogState::Current);
}
