//! Messages to names that the directory did not have when they were written (R-ENGINE-14).
#![cfg(test)]

use std::time::Duration;

use chancery_engine::{ENROLLED_WINDOW, Event, MessageState, WhyFailed, events, unaddressed};
use chancery_testkit::{PersonId, World};

const DAY: Duration = Duration::from_secs(86_400);
const SECOND: Duration = Duration::from_secs(1);

fn learn(world: &mut World, who: PersonId) {
    world.sync(who);
    world.address(who);
    world.run();
}

fn failures(world: &World, who: PersonId) -> Vec<([u8; 16], WhyFailed)> {
    let told = events(&world.disk(who), 100).unwrap().into_iter();
    told.filter_map(|(_, event)| match event {
        Event::Settled(settled) => settled.failed.map(|why| (settled.id, why)),
        _ => None,
    })
    .collect()
}

/// What is listed: names, and whether they have failed.
fn listed(world: &World, who: PersonId) -> Vec<(String, bool)> {
    let letters = unaddressed(&world.disk(who)).unwrap().into_iter();
    letters.map(|letter| (letter.to, letter.failed.is_some())).collect()
}

#[test]
fn a_letter_goes_only_to_who_was_enrolled_when_it_was_written_or_shortly_after_r_engine_140() {
    let cases =
        [(Duration::ZERO, true), (ENROLLED_WINDOW, true), (ENROLLED_WINDOW + SECOND, false), (DAY, false)];
    for (later, goes) in cases {
        let (mut world, alice, _) = World::pair(70);
        let id = world.say_by_name(alice, "dave", "for the dave of today");
        world.wait(later);
        let dave = world.enrol("dave");
        learn(&mut world, alice);
        assert_eq!(world.heard(dave).contains(&"for the dave of today".to_owned()), goes, "{later:?}");
        let expected = if goes { Vec::new() } else { vec![(id, WhyFailed::UnknownName)] };
        assert_eq!(failures(&world, alice), expected, "{later:?}");
        assert_eq!(listed(&world, alice).len(), usize::from(!goes));
        // Nor later: another dave, or the same one under a newer entry.
        world.wait(DAY);
        learn(&mut world, alice);
        assert_eq!(world.heard(dave).len(), usize::from(goes));
    }
}

#[test]
fn somebody_enrolled_before_is_written_to_however_late_the_directory_comes_r_engine_140() {
    let (mut world, alice, _) = World::pair(71);
    let carol = world.enrol("carol");
    world.wait(DAY);
    world.say_by_name(alice, "carol", "welcome");
    world.wait(20 * DAY);
    learn(&mut world, alice);
    assert_eq!(world.heard(carol), ["welcome"]);
    assert_eq!(listed(&world, alice), []);
}

#[test]
fn a_name_that_nobody_has_fails_once_the_directory_was_asked_or_after_30_days_r_engine_141() {
    let (mut world, alice, _) = World::pair(72);
    let slip = world.say_by_name(alice, "dvae", "a slip");
    learn(&mut world, alice);
    assert_eq!(listed(&world, alice), [("dvae".into(), false)], "whom it is for may be entered any moment");
    world.wait(ENROLLED_WINDOW + SECOND);
    world.pass_upkeep(alice);
    assert_eq!(failures(&world, alice), [], "nobody was asked");
    learn(&mut world, alice);
    assert_eq!(failures(&world, alice), [(slip, WhyFailed::UnknownName)]);

    let away = world.say_by_name(alice, "away", "written far from any relay");
    world.wait(30 * DAY - SECOND);
    world.pass_upkeep(alice);
    assert_eq!(failures(&world, alice).len(), 1);
    world.wait(SECOND);
    world.pass_upkeep(alice);
    assert_eq!(failures(&world, alice).last(), Some(&(away, WhyFailed::UnknownName)));
    assert_eq!(listed(&world, alice), [("away".into(), true)], "the slip has been listed for 30 days");
    world.wait(30 * DAY);
    world.pass_upkeep(alice);
    assert_eq!(listed(&world, alice), []);
}

#[test]
fn a_letter_is_taken_back_once_r_engine_141() {
    let (mut world, alice, _) = World::pair(73);
    let dave = world.enrol("dave");
    let (kept, back) = (world.say_by_name(alice, "dave", "kept"), world.say_by_name(alice, "dave", "back"));
    world.discard(alice, back).unwrap();
    assert!(world.discard(alice, back).is_err());
    learn(&mut world, alice);
    assert_eq!(world.heard(dave), ["kept"]);
    assert!(world.discard(alice, kept).is_err(), "it is on its way");
    assert_eq!(world.state(alice, kept), MessageState::Sent as u32);
}

#[test]
fn a_clock_that_was_ahead_keeps_no_letter_for_longer_r_engine_141() {
    let (mut world, alice, _) = World::pair(74);
    world.set_clock(alice, 400 * 86_400_000);
    world.say_by_name(alice, "nobody", "written by a wrong clock");
    world.set_clock(alice, 0);
    world.pass_upkeep(alice);
    world.wait(30 * DAY);
    world.pass_upkeep(alice);
    assert_eq!(listed(&world, alice), [("nobody".into(), true)]);
}

#[test]
fn a_letter_of_a_clock_that_was_ahead_says_no_time_to_come_r_engine_141() {
    let (mut world, alice, _) = World::pair(75);
    let dave = world.enrol("dave");
    world.set_clock(alice, 3_600_000);
    let id = world.say_by_name(alice, "dave", "written by a wrong clock");
    world.sync(alice);
    assert_eq!(listed(&world, alice), [("dave".into(), false)]);
    world.set_clock(alice, 0);
    world.address(alice);
    let later = world.say(alice, dave, "later");
    world.run();
    let sent_at = |id| world.record(alice, alice, id).unwrap().sent_at;
    assert!(sent_at(id) <= sent_at(later), "{} {}", sent_at(id), sent_at(later));
}
