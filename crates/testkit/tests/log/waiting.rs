//! What waits for the log or the directory, and what becomes of it.

use chancery_engine::unaddressed;

use super::*;

#[test]
fn a_letter_that_waits_for_somebody_who_is_ended_has_failed_r_engine_35() {
    for ended in [true, false] {
        let (mut world, alice, bob) = pair(26);
        // The log is ahead of the directory: the letter waits for the entry.
        let newer = world.sign_newer_entry(bob);
        world.commit_to(&newer);
        world.sync_log(alice);
        let id = world.say_by_name(alice, "bob", "waits for the entry");
        assert_eq!(unaddressed(&world.disk(alice)).unwrap().len(), 1, "the control");
        if ended {
            world.revoke(bob, true);
        }
        world.sync_log(alice);
        assert_eq!(unaddressed(&world.disk(alice)).unwrap().len(), usize::from(!ended));
        if ended {
            assert_eq!(world.state(alice, id), chancery_engine::MessageState::Failed as u32);
            assert_eq!(world.history(alice, bob).last().unwrap(), "waits for the entry");
            // It is known afterwards as well (R-ENGINE-143).
            let (disk, own) = (world.disk(alice), world.member_id(alice));
            let failed = chancery_engine::message(&disk, &own, &id).unwrap().unwrap();
            let why = chancery_engine::WhyFailed::of(&failed);
            assert_eq!(why, Some(chancery_engine::WhyFailed::NoRecipient));
        }
    }
}

#[test]
fn a_message_waits_while_one_s_own_entry_does_not_count_r_engine_32() {
    let (mut world, alice, bob) = pair(27);
    let tablet = world.add_device(alice);
    world.run();
    let newer = world.sign_newer_entry(alice);
    world.commit_to(&newer);
    world.sync_log(alice);
    world.say_by_name(alice, "bob", "also for the tablet");
    assert_eq!(unaddressed(&world.disk(alice)).unwrap().len(), 1);
    world.list_devices(alice);
    world.run();
    world.address(alice);
    world.run();
    assert_eq!(unaddressed(&world.disk(alice)).unwrap().len(), 0);
    assert_eq!(world.heard(bob).last().unwrap(), "also for the tablet");
    assert!(world.heard(tablet).contains(&"also for the tablet".to_owned()));
}

#[test]
fn a_note_overtakes_what_may_not_be_sealed_r_engine_33() {
    let (mut world, alice, bob) = pair(28);
    split(&mut world, bob);
    world.sync(alice);
    world.sync(bob);
    let size = world.log().size();
    let cut = world.log().cut(size - 1);
    world.show(alice, Some(cut));
    world.sync(alice);
    assert_eq!(world.log_status(alice).state, LogState::RolledBack);
    world.say(alice, bob, "may not be sealed");
    world.flush(alice);
    let mail = world.mail(bob).len();
    world.say(bob, alice, "with a claim that is wrong");
    world.flush(bob);
    world.sync(alice);
    world.flush(alice);
    assert_eq!(world.mail(bob).len(), mail + 1, "the note alone");
    world.sync(bob);
    assert_eq!(world.log_status(bob).state, LogState::Forked);
    assert!(!world.heard(bob).contains(&"may not be sealed".to_owned()));
}

#[test]
fn what_waits_is_sealed_only_while_the_recipient_s_entry_counts_r_engine_32() {
    for is_outdated in [false, true] {
        let (mut world, alice, bob) = pair(29);
        let heard = world.heard(bob).len();
        let size = world.log().size();
        let whole = world.log().clone();
        let cut = world.log().cut(size - 1);
        // Nothing may be sealed when it is written: it waits in the outbox, addressed already.
        world.show(alice, Some(cut));
        world.check_log(alice);
        world.say(alice, bob, "waits to be sealed");
        *world.log() = whole;
        world.show(alice, None);
        if is_outdated {
            let newer = world.sign_newer_entry(bob);
            world.commit_to(&newer);
        }
        world.sync_log(alice);
        assert_eq!(world.log_status(alice).state, LogState::Current);
        world.flush(alice);
        world.sync(bob);
        assert_eq!(world.heard(bob).len(), heard + usize::from(!is_outdated));
        world.list_devices(bob);
        world.run();
        assert_eq!(world.heard(bob).last().unwrap(), "waits to be sealed");
        assert_eq!(world.heard(bob).len(), heard + 1);
    }
}

#[test]
fn a_relay_that_never_says_that_the_mailbox_is_read_keeps_no_ended_device_readable_r_engine_67() {
    let short_of_a_day = DAY - Duration::from_secs(1);
    for (waits, is_read) in [(short_of_a_day, true), (DAY, false)] {
        let (mut world, alice, bob) = pair(30);
        world.say(bob, alice, "kept back by the relay");
        world.flush(bob);
        world.revoke(bob, true);
        world.sync_log(alice);
        assert!(world.session(alice, bob).0.is_some(), "what was sent before is still read");
        world.wait(waits);
        world.give_mail(alice);
        assert_eq!(world.heard(alice).contains(&"kept back by the relay".to_owned()), is_read);
        assert_eq!(world.session(alice, bob).0.is_some(), is_read);
    }
}

#[test]
fn a_clock_that_went_back_keeps_no_ended_device_readable_for_longer_r_engine_67() {
    let (mut world, alice, bob) = pair(31);
    world.set_clock(alice, YEAR);
    world.revoke(bob, true);
    world.sync_log(alice);
    world.set_clock(alice, 0);
    world.pass_upkeep(alice);
    world.wait(DAY - Duration::from_secs(1));
    world.pass_upkeep(alice);
    assert!(world.session(alice, bob).0.is_some(), "counted from when the clock was seen to have gone back");
    world.wait(Duration::from_secs(1));
    world.pass_upkeep(alice);
    assert!(world.session(alice, bob).0.is_none());
}
