//! What is delivered, read and typed, and what disappears, through a true relay.
#![allow(missing_docs, reason = "a test")]

use std::time::Duration;

use chancery_engine::ReceiptSettings;
use chancery_identity::{Policy, Receipts};
use chancery_testkit::{PersonId, World};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const ALL: ReceiptSettings = ReceiptSettings { read: true, delivery: true, typing: true };

/// Two people who have written to each other.
fn pair(seed: u64) -> (World, PersonId, PersonId) {
    let (mut world, alice, bob) = World::pair(seed);
    world.say(alice, bob, "hello");
    world.run();
    world.say(bob, alice, "hello");
    world.run();
    (world, alice, bob)
}

#[test]
fn what_a_device_acknowledges_is_delivered_and_what_is_read_is_read_r_content_28_r_content_29_r_engine_107() {
    let (mut world, alice, bob) = pair(401);
    let id = world.say(alice, bob, "one");
    world.run();
    assert_eq!(
        world.receipt((alice, id), bob),
        (false, false),
        "the mailbox has it, and nobody has said more"
    );
    world.say(bob, alice, "an answer, which acknowledges");
    world.run();
    assert_eq!(world.receipt((alice, id), bob), (true, false));
    assert_eq!(world.unread(bob, alice), 2);
    world.read_all(bob, alice);
    world.run();
    assert_eq!(world.receipt((alice, id), bob), (true, true));
    assert_eq!((world.unread(bob, alice), world.unread(alice, bob)), (0, 2), "bob's own reading alone");
    let (delivered, read) = world.receipt_events(alice);
    assert_eq!((delivered, read), (2, 2), "once for each message");
    // Read again is nothing new.
    world.read_all(bob, alice);
    world.run();
    assert_eq!(world.receipt_events(alice), (2, 2));
}

#[test]
fn a_read_receipt_alone_says_that_it_came_r_content_28() {
    let (mut world, alice, bob) = pair(402);
    let id = world.say(alice, bob, "one");
    world.run();
    world.read_all(bob, alice);
    world.run();
    assert_eq!(world.receipt((alice, id), bob), (true, true));
}

#[test]
fn who_does_not_want_it_tells_nothing_and_who_wants_it_does_r_content_30_r_engine_108() {
    for (settings, delivered, read) in [
        (ALL, true, true),
        (ReceiptSettings { read: false, ..ALL }, true, false),
        (ReceiptSettings { read: false, delivery: false, ..ALL }, false, false),
    ] {
        let (mut world, alice, bob) = pair(403);
        world.set_receipts(bob, settings);
        let id = world.say(alice, bob, "one");
        world.run();
        world.read_all(bob, alice);
        world.say(bob, alice, "an answer");
        world.run();
        assert_eq!(world.receipt((alice, id), bob), (delivered, read), "{settings:?}");
        assert_eq!(world.unread(bob, alice), 0, "it is read all the same");
    }
}

#[test]
fn the_organisation_may_switch_off_what_its_members_want_r_content_30_r_log_8() {
    for (receipts, delivered, read) in [
        (Receipts::default(), true, true),
        (Receipts { read: false, ..Receipts::default() }, true, false),
        (Receipts { read: false, delivery: false, ..Receipts::default() }, false, false),
    ] {
        let (mut world, alice, bob) = pair(404);
        let mut policy = Policy::default();
        policy.receipts = receipts;
        world.set_policy(&policy, 1);
        world.run();
        world.set_receipts(bob, ALL);
        let id = world.say(alice, bob, "one");
        world.run();
        world.read_all(bob, alice);
        world.say(bob, alice, "an answer");
        world.run();
        assert_eq!(world.receipt((alice, id), bob), (delivered, read), "{receipts:?}");
    }
}

#[test]
fn own_devices_agree_on_what_was_read_and_on_what_was_set_r_content_31_r_content_35_r_engine_109() {
    let (mut world, alice, bob) = pair(405);
    let phone = world.add_device(bob);
    world.sync(alice);
    world.sync(bob);
    let id = world.say(alice, bob, "to both");
    world.run();
    assert_eq!(world.unread(phone, alice), 1);
    world.set_receipts(bob, ReceiptSettings { typing: false, ..ALL });
    world.set_disappearing(bob, alice, Some(DAY));
    world.read_all(bob, alice);
    world.run();
    assert_eq!((world.unread(bob, alice), world.unread(phone, alice)), (0, 0));
    assert_eq!(world.receipt((alice, id), bob), (true, true));
    let disk = world.disk(phone);
    assert!(!chancery_engine::receipt_settings(&disk).unwrap().typing);
    assert_eq!(chancery_engine::disappearing(&disk, &world.member_id(alice)), Ok(Some(DAY)));
}

#[test]
fn what_another_own_device_has_read_before_it_came_is_not_unread_r_content_31() {
    let (mut world, alice, bob) = pair(406);
    let phone = world.add_device(bob);
    world.sync(alice);
    world.sync(bob);
    // The phone knows its own other device.
    world.say(bob, alice, "for a session");
    world.run();
    world.say(alice, bob, "to both");
    world.flush_but(alice, phone);
    world.sync(bob);
    world.read_all(bob, alice);
    world.flush(bob);
    world.sync(phone);
    assert_ne!(world.heard(phone).last().map(String::as_str), Some("to both"));
    world.run();
    assert_eq!(world.heard(phone).last().unwrap(), "to both");
    assert_eq!(world.unread(phone, alice), 0);
}

#[test]
fn writing_is_told_at_once_or_not_at_all_and_not_too_often_r_content_32_r_engine_112() {
    let (mut world, alice, bob) = pair(407);
    let before = world.disk(bob).len();
    assert_eq!(world.type_to(alice, bob, false), 1);
    assert_eq!(world.type_to(alice, bob, false), 0, "just told");
    assert_eq!((world.type_to(alice, bob, true), world.type_to(alice, bob, true)), (1, 0));
    world.run();
    assert_eq!(world.typing(bob), [false, true]);
    assert_eq!(world.unread(bob, alice), 1, "it is no message");
    assert!(
        world.disk(bob).len() <= before + 4,
        "fingerprints of two envelopes, and nothing of what they said"
    );
    world.wait(5 * SECOND);
    assert_eq!(world.type_to(alice, bob, false), 1);
    world.wait(16 * SECOND);
    world.run();
    assert_eq!(world.typing(bob).len(), 2, "too old");
    // Nobody has written for long.
    world.wait(HOUR);
    world.run();
    assert_eq!(world.type_to(alice, bob, false), 0);
    // Not before what waits.
    world.say(bob, alice, "back");
    world.run();
    world.say(alice, bob, "waits");
    assert_eq!(world.type_to(alice, bob, false), 0);
    world.run();
    assert_eq!(world.type_to(alice, bob, false), 1);
}

#[test]
fn who_switches_typing_off_neither_tells_nor_is_told_r_content_33() {
    for (tells, shows, told) in [(true, true, 1), (false, true, 0), (true, false, 0)] {
        let (mut world, alice, bob) = pair(408);
        world.set_receipts(alice, ReceiptSettings { typing: tells, ..ALL });
        world.set_receipts(bob, ReceiptSettings { typing: shows, ..ALL });
        world.run();
        assert_eq!(world.type_to(alice, bob, false), usize::from(tells));
        world.run();
        assert_eq!(world.typing(bob).len(), told, "{tells} {shows}");
    }
}

#[test]
fn a_message_disappears_when_its_time_after_reading_is_over_and_not_before_r_content_34_r_engine_110() {
    let (mut world, alice, bob) = pair(409);
    world.set_disappearing(alice, bob, Some(HOUR));
    let gone = "soon gone";
    let id = world.say(alice, bob, gone);
    world.run();
    world.say(alice, bob, "behind it");
    world.run();
    world.wait(HOUR - SECOND);
    world.pass_time(alice);
    assert!(world.record(alice, alice, id).unwrap().text.is_some());
    world.wait(2 * SECOND);
    world.pass_time(alice);
    assert!(world.record(alice, alice, id).unwrap().expired, "at the author's: from when it was sent");
    world.wait(3 * DAY);
    world.run();
    assert_eq!(world.history(bob, alice), ["hello", "hello", gone, "behind it"], "nobody has read it");
    world.read_all(bob, alice);
    world.wait(HOUR - SECOND);
    world.pass_time(bob);
    assert_eq!(world.history(bob, alice).len(), 4);
    // The clock goes back, the process starts anew: the time counts on, at the latest from now.
    world.set_clock(bob, -5_000);
    world.restart(bob);
    world.pass_time(bob);
    world.set_clock(bob, 0);
    world.wait(2 * SECOND);
    world.pass_time(bob);
    assert_eq!(world.history(bob, alice), ["hello", "hello"]);
    let has_text = |value: &Vec<u8>| value.windows(gone.len()).any(|part| part == gone.as_bytes());
    assert!(!world.disk(bob).values().any(has_text), "nothing of it stays");
    assert!(world.record(bob, alice, id).unwrap().expired, "but what keeps it from coming again");
    world.set_disappearing(alice, bob, None);
    world.say(alice, bob, "stays");
    world.run();
    world.read_all(bob, alice);
    world.wait(3 * DAY);
    world.run();
    assert_eq!(world.history(bob, alice), ["hello", "hello", "stays"]);
}

#[test]
fn a_clock_that_was_ahead_when_it_was_read_does_not_keep_it_r_engine_110() {
    let (mut world, alice, bob) = pair(410);
    world.set_disappearing(alice, bob, Some(HOUR));
    world.say(alice, bob, "soon gone");
    world.run();
    world.set_clock(bob, 400 * 24 * 3_600_000);
    world.read_all(bob, alice);
    world.set_clock(bob, 0);
    world.pass_time(bob);
    world.wait(HOUR - SECOND);
    world.pass_time(bob);
    assert_eq!(world.history(bob, alice).len(), 3);
    world.wait(2 * SECOND);
    world.pass_time(bob);
    assert_eq!(world.history(bob, alice).len(), 2);
}

#[test]
fn what_policy_lets_disappear_counts_from_reading_r_engine_36() {
    let (mut world, alice, bob) = pair(411);
    let mut policy = Policy::default();
    policy.disappearing = Some(2 * DAY);
    world.set_policy(&policy, 1);
    world.run();
    world.wait(3 * DAY);
    world.run();
    assert_eq!(world.history(bob, alice), ["hello"], "what alice wrote, which nobody has read");
    world.read_all(bob, alice);
    world.wait(2 * DAY - HOUR);
    world.run();
    assert_eq!(world.history(bob, alice), ["hello"]);
    world.wait(2 * HOUR);
    world.run();
    assert!(world.history(bob, alice).is_empty());
}

#[test]
fn receipts_leave_half_of_a_device_s_places_to_messages_r_engine_111() {
    for (waiting, sent) in [(499, 1), (500, 0)] {
        let (mut world, alice, bob) = pair(412);
        for _ in 0..waiting {
            world.say(alice, bob, "waits");
        }
        assert_eq!(world.unread(alice, bob), 1);
        world.read_all(alice, bob);
        assert_eq!(world.waiting_for(alice, bob), waiting + sent);
        assert_eq!(world.unread(alice, bob), 0);
    }
}

#[test]
fn receipts_that_wait_are_taken_back_when_they_may_not_be_told_any_more_r_engine_121() {
    let mut policy = Policy::default();
    policy.receipts = Receipts { read: false, ..Receipts::default() };
    for (by, has_talked, told) in [
        ("nobody", true, true),
        ("person", true, false),
        ("other device", true, false),
        ("policy", true, false),
        ("nobody", false, true),
        ("person", false, false),
    ] {
        let (mut world, alice, bob) = if has_talked { pair(413) } else { World::pair(413) };
        let phone = world.add_device(bob);
        world.sync(alice);
        world.sync(bob);
        world.say(bob, bob, "for a session with the phone");
        world.run();
        let id = world.say(alice, bob, "one");
        world.run();
        // Bob reads while his device reaches nobody.
        world.read_all(bob, alice);
        world.say(bob, alice, "written behind the receipt");
        match by {
            "person" => world.set_receipts(bob, ReceiptSettings { read: false, ..ALL }),
            "other device" => {
                world.set_receipts(phone, ReceiptSettings { read: false, ..ALL });
                world.flush(phone);
                world.sync(bob);
            }
            "policy" => {
                world.set_policy(&policy, 1);
                world.sync(bob);
            }
            _ => {}
        }
        world.run();
        assert_eq!(world.receipt((alice, id), bob), (true, told), "{by}, {has_talked}");
        assert_eq!(world.heard(alice).last().unwrap(), "written behind the receipt");
        assert_eq!(world.unread(phone, alice), 0, "the own other device learns of it all the same");
        world.say(alice, bob, "and on");
        world.run();
        assert_eq!(world.heard(bob).last().unwrap(), "and on");
        assert_eq!([alice, bob, phone].map(|who| world.undecryptable(who)), [0; 3]);
    }
}

#[test]
fn of_what_acts_on_messages_no_receipt_is_told_r_content_28() {
    let (mut world, alice, bob) = pair(414);
    let id = world.say(alice, bob, "one");
    world.run();
    let target = world.reference(alice, id);
    world.edit(alice, &target, "two").unwrap();
    world.react(alice, &target, "👍").unwrap();
    world.run();
    let (before, _) = world.receipt_events(alice);
    world.say(bob, alice, "an answer, which acknowledges");
    world.run();
    assert_eq!(world.receipt((alice, id), bob), (true, false));
    assert_eq!(world.receipt_events(alice), (before + 1, 0), "of the message alone");
}

#[test]
fn a_group_s_receipts_are_on_all_devices_of_the_author_r_content_29() {
    let mut world = World::new(415);
    let [alice, bob] = ["alice", "bob"].map(|handle| world.enrol(handle));
    world.run();
    let tablet = world.add_device(alice);
    world.run();
    let group = world.found_group(alice, &[bob]);
    world.run_groups();
    let id = world.say_to_group(alice, group, "to both");
    world.run_groups();
    world.read_group(bob, group);
    world.run_groups();
    assert_eq!(world.receipt((alice, id), bob), (true, true), "the control");
    let on_tablet = world.record(tablet, alice, id).unwrap();
    assert_eq!(on_tablet.receipts.len(), 1, "by the other device");
}

#[test]
fn what_policy_has_switched_off_is_not_shown_though_somebody_tells_it_r_content_30() {
    for (allowed, shown) in [(true, true), (false, false)] {
        let (mut world, alice, bob) = pair(416);
        let id = world.say(alice, bob, "one");
        world.run();
        let mut policy = Policy::default();
        policy.receipts.read = allowed;
        world.set_policy(&policy, 1);
        world.sync(alice);
        // Bob's device has not heard of it.
        world.read_all(bob, alice);
        world.flush_blindly(bob);
        world.sync(alice);
        assert_eq!(world.receipt((alice, id), bob).1, shown, "{allowed}");
    }
}

/// Whether anything on a device has these words.
fn has_words(world: &World, who: PersonId, words: &str) -> bool {
    world.disk(who).values().any(|value| value.windows(words.len()).any(|part| part == words.as_bytes()))
}

#[test]
fn no_quote_outlives_what_it_quotes_r_content_36() {
    let mut policy = Policy::default();
    policy.disappearing = Some(2 * DAY);
    for (by, is_quoted) in [("nobody", true), ("its author", false), ("policy", false)] {
        let (mut world, alice, bob) = pair(417);
        if by == "its author" {
            world.set_disappearing(alice, bob, Some(HOUR));
        }
        if by == "policy" {
            world.set_policy(&policy, 1);
        }
        world.run();
        let id = world.say(alice, bob, "soon gone");
        world.run();
        world.read_all(bob, alice);
        // Whoever was not there has nothing but the quote.
        let phone = world.add_device(alice);
        world.sync(bob);
        let target = world.reference(alice, id);
        let reply = world.reply((bob, alice), &target, ("Gladly", "soon gone"));
        world.run();
        let quote =
            |world: &World, who| world.record(who, bob, reply).unwrap().text.unwrap().reply_to.unwrap().quote;
        assert_eq!(quote(&world, phone), if is_quoted { "soon gone" } else { "" }, "{by}");
        assert_eq!(quote(&world, alice), "", "alice has the message itself");
        world.wait(2 * DAY + HOUR);
        world.run();
        world.pass_time(bob);
        world.pass_time(alice);
        if !is_quoted {
            assert!(world.record(bob, alice, id).unwrap().expired);
            assert!([alice, bob, phone].iter().all(|who| !has_words(&world, *who, "soon gone")), "{by}");
        }
    }
}

#[test]
fn own_devices_agree_on_what_was_set_whatever_their_clocks_say_r_content_35() {
    for (ahead, together) in [(0, false), (2 * 3_600_000, false), (0, true)] {
        let (mut world, alice, bob) = pair(418);
        let phone = world.add_device(bob);
        world.sync(alice);
        world.sync(bob);
        world.say(bob, bob, "for a session");
        world.run();
        world.set_clock(phone, ahead);
        world.set_receipts(phone, ReceiptSettings { typing: false, ..ALL });
        world.set_disappearing(phone, alice, Some(HOUR));
        if !together {
            world.run();
        }
        // What bob switches off last is off on all devices.
        world.set_receipts(bob, ReceiptSettings { read: false, ..ALL });
        world.set_disappearing(bob, alice, Some(DAY));
        world.run();
        let set = |who| {
            let disk = world.disk(who);
            let timer = chancery_engine::disappearing(&disk, &world.member_id(alice)).unwrap();
            (chancery_engine::receipt_settings(&disk).unwrap(), timer)
        };
        assert_eq!(set(bob), set(phone), "{ahead} {together}");
        if !together {
            assert_eq!(set(phone), (ReceiptSettings { read: false, ..ALL }, Some(DAY)));
        }
    }
}
