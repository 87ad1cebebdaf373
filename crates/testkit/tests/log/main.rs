//! What devices make of the organisation's log, honest and not.

use std::time::Duration;

use chancery_crypto::merkle;
use chancery_engine::{Event, LogState, Notice, events, log_size, member, resolve, verify_revoked};
use chancery_identity::checkpoint::{origin, verify_fork};
use chancery_identity::log::{Leaf, LeafKind};
use chancery_identity::{LogError, Policy};
use chancery_testkit::{PersonId, World};

mod agreement;
mod floor;
mod policy;
mod waiting;
mod witnesses;

const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: i64 = 365 * 24 * 3_600_000;

/// Two who have written to each other.
fn pair(seed: u64) -> (World, PersonId, PersonId) {
    let (mut world, alice, bob) = World::pair(seed);
    talk(&mut world, alice, bob);
    (world, alice, bob)
}

/// Each writes to the other.
fn talk(world: &mut World, alice: PersonId, bob: PersonId) {
    for (from, to) in [(alice, bob), (bob, alice)] {
        world.say(from, to, "hello");
        world.run();
    }
}

/// Lets the log have one entry more, which ends nobody.
fn grow(world: &mut World, sequence: u64) {
    world.set_policy(&Policy::default(), sequence);
}

fn told(world: &World, id: PersonId, notice: Notice) -> usize {
    world.notices(id).iter().filter(|told| **told == notice).count()
}

#[test]
fn an_honest_log_is_current_for_everybody_and_asks_nothing_of_anybody() {
    // R-LOG-6, R-LOG-7, R-ENGINE-30
    let (mut world, alice, bob) = pair(1);
    for id in [alice, bob] {
        let status = world.log_status(id);
        assert_eq!((status.state, status.size), (LogState::Current, world.log().size()));
    }
    for sequence in 1..4 {
        grow(&mut world, sequence);
        world.wait(DAY);
        talk(&mut world, alice, bob);
    }
    assert_eq!(world.log_status(alice).size, world.log().size());
    assert_eq!(world.log_status(alice).root, world.log_status(bob).root);
    assert_eq!((world.fork_proof(alice), world.fork_proof(bob)), (None, None));
    assert_eq!(told(&world, alice, Notice::PolicyChanged), 3);
    assert_eq!(world.heard(bob).len(), 4);
}

/// Shows one of the two another log of the same length.
fn split(world: &mut World, bob: PersonId) {
    let mut other = world.log().clone();
    grow(world, 1);
    grow(world, 2);
    let honest = world.log().clone();
    // The dishonest one has the same number of true statements, in which another policy comes first.
    std::mem::swap(world.log(), &mut other);
    let mut policy = Policy::default();
    policy.may_export = false;
    world.set_policy(&policy, 1);
    grow(world, 2);
    let dishonest = world.log().clone();
    *world.log() = honest;
    world.show(bob, Some(dishonest));
}

#[test]
fn a_split_view_is_found_by_one_message_and_proved_r_engine_33_r_content_12_r_content_13() {
    for honest in [true, false] {
        let (mut world, alice, bob) = pair(2);
        if !honest {
            split(&mut world, bob);
        } else {
            grow(&mut world, 1);
        }
        for id in [alice, bob] {
            world.sync(id);
        }
        world.say(alice, bob, "the claim goes with it");
        world.run();
        assert_eq!(world.heard(bob).last().unwrap(), "the claim goes with it");
        let (org, key) = (world.org_id(), world.log().key().verifying_key().clone());
        for id in [alice, bob] {
            let proof = world.fork_proof(id);
            assert_eq!(proof.is_some(), !honest, "honest: {honest}");
            assert_eq!(told(&world, id, Notice::LogForked), usize::from(!honest));
            if let Some(proof) = proof {
                assert_eq!(verify_fork(&proof, &org, &key), Ok(()), "anybody accepts it (R-LOG-11)");
                assert_eq!(world.log_status(id).state, LogState::Forked);
            }
        }
        world.say(bob, alice, "is sealed only in an honest log");
        world.run();
        let arrived = world.heard(alice).last().unwrap() == "is sealed only in an honest log";
        assert_eq!(arrived, honest);
        assert_eq!(world.heard(alice).len(), 1 + usize::from(honest));
        // The state lasts; what is received goes on being read.
        world.show(bob, None);
        world.run();
        assert_eq!(world.log_status(alice).state.allows_sealing(), honest);
    }
}

#[test]
fn whoever_makes_wrong_claims_gets_one_checkpoint_an_hour_r_engine_33() {
    let (mut world, alice, bob) = pair(3);
    split(&mut world, bob);
    world.sync(bob);
    world.sync(alice);
    let before = world.deliveries(alice).len();
    for sequence in 3..8 {
        world.grow_shown(bob, sequence);
        world.say(bob, alice, "again");
        world.flush(bob);
        world.sync(alice);
    }
    world.flush(alice);
    assert_eq!(world.deliveries(alice).len(), before + 1);
}

#[test]
fn a_log_that_was_rolled_back_stops_sealing_until_it_is_whole_again_r_engine_34() {
    let (mut world, alice, bob) = pair(4);
    grow(&mut world, 1);
    world.sync(alice);
    let whole = world.log().clone();
    let cut = whole.cut(whole.size() - 1);
    world.show(alice, Some(cut));
    world.sync(alice);
    assert_eq!(world.log_status(alice).state, LogState::RolledBack);
    assert_eq!(told(&world, alice, Notice::LogRolledBack), 1);
    let text = "waits for the log";
    world.say(alice, bob, text);
    world.run();
    assert_ne!(world.heard(bob).last().unwrap(), text, "nothing is sealed");
    world.wait(Duration::from_secs(1));
    world.run();
    assert_eq!(told(&world, alice, Notice::LogRolledBack), 1, "told once");
    world.say(bob, alice, "still read");
    world.run();
    assert_eq!(world.heard(alice).last().unwrap(), "still read");
    world.show(alice, None);
    world.run();
    assert_eq!(world.log_status(alice).state, LogState::Current);
    assert_eq!(world.heard(bob).last().unwrap(), text, "the control: it was only the log");
}

#[test]
fn fewer_entries_at_a_later_time_are_a_proof_r_engine_34() {
    // R-LOG-11
    let (mut world, alice, _) = pair(5);
    grow(&mut world, 1);
    world.sync(alice);
    let cut = world.log().cut(2);
    world.show(alice, Some(cut));
    world.wait(DAY);
    world.sync(alice);
    assert_eq!(world.log_status(alice).state, LogState::RolledBack);
    let (org, key) = (world.org_id(), world.log().key().verifying_key().clone());
    assert_eq!(verify_fork(&world.fork_proof(alice).unwrap(), &org, &key), Ok(()));
}

#[test]
fn a_revocation_that_the_relay_hides_from_one_is_found_by_what_another_knows_r_engine_34() {
    let mut world = World::new(6);
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|handle| world.enrol(handle));
    world.run();
    talk(&mut world, alice, bob);
    talk(&mut world, alice, carol);
    let frozen = world.log().clone();
    world.show(alice, Some(frozen));
    world.revoke(carol, true);
    world.run();
    // The control: as long as nobody says more, alice believes the relay, and carol reads.
    world.say(alice, carol, "to somebody who has left");
    world.flush(alice);
    assert!(!world.mail(carol).is_empty());
    world.say(bob, alice, "bob knows more");
    world.run();
    assert_eq!(world.heard(alice).last().unwrap(), "bob knows more");
    assert_eq!(world.log_status(alice).state, LogState::Withheld);
    assert_eq!(told(&world, alice, Notice::LogWithheld), 1);
    let before = world.mail(carol).len();
    world.say(alice, carol, "not sealed any more");
    world.run();
    assert_eq!(world.mail(carol).len(), before);
    // The relay gives in.
    world.show(alice, None);
    world.run();
    assert_eq!(world.log_status(alice).state, LogState::Current);
    assert_eq!(world.mail(carol).len(), before, "what waited has failed");
    world.say(alice, bob, "to bob it goes");
    world.run();
    assert_eq!(world.heard(bob).last().unwrap(), "to bob it goes");
}

#[test]
fn a_credential_that_is_not_in_the_log_is_refused_by_name_r_engine_32() {
    // R-LOG-9
    for logged in [true, false] {
        let (mut world, alice, bob) = pair(7);
        let mallory = if logged { world.add_device_unlisted(bob) } else { world.add_device_unlogged(bob) };
        let notice =
            Notice::UnloggedCredential { device: world.device_id(mallory), member: world.member_id(bob) };
        world.sync(alice);
        // Whoever has the issuer's key has a directory entry as well: nothing is sealed for the device.
        world.list_devices(bob);
        world.run();
        world.say(alice, bob, "for bob's devices");
        world.run();
        let heard = world.heard(mallory);
        assert_eq!(heard.contains(&"for bob's devices".to_owned()), logged, "{heard:?}");
        // And nothing is believed that it says, though a device of another make seals it.
        world.say_unchecked(mallory, alice, "from bob");
        world.run();
        assert_eq!(world.heard(alice).contains(&"from bob".to_owned()), logged);
        assert_eq!(told(&world, alice, notice), usize::from(!logged));
    }
}

#[test]
fn a_directory_entry_counts_only_as_the_log_commits_to_it_r_log_10() {
    let (mut world, alice, bob) = pair(22);
    let phone = world.add_device_unlisted(bob);
    let entry = world.list_devices_uncommitted(bob);
    world.run();
    let devices =
        |world: &World| member(&world.disk(alice), &world.member_id(bob)).unwrap().unwrap().device_ids.len();
    assert_eq!(devices(&world), 1, "the entry came, and waits");
    world.say(alice, bob, "by the entry that counts");
    world.run();
    assert_eq!(world.heard(phone).len(), 0);
    world.commit_to(&entry);
    world.sync_log(alice);
    assert_eq!(devices(&world), 2, "it need not come again");
    world.say(alice, bob, "by the newer one");
    world.run();
    assert_eq!(world.heard(phone), ["by the newer one"]);
    // One that the log has replaced counts no more, though the relay shows no other.
    let newer = world.sign_newer_entry(bob);
    world.commit_to(&newer);
    world.sync(alice);
    let mail = world.mail(bob).len();
    world.say_unchecked(alice, bob, "by an old one");
    world.flush(alice);
    assert_eq!(world.mail(bob).len(), mail);
}

#[test]
fn nothing_is_sealed_for_a_member_once_the_page_came_that_ends_them_r_engine_35() {
    for known in [true, false] {
        let mut world = World::new(8);
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|handle| world.enrol(handle));
        world.run();
        talk(&mut world, alice, bob);
        talk(&mut world, alice, carol);
        // Sent before the end, read after it.
        world.say(bob, alice, "before the end");
        world.flush(bob);
        let waiting = world.say(alice, bob, "sealed before the page, not delivered");
        if !known {
            let frozen = world.log().clone();
            world.show(alice, Some(frozen));
        }
        world.revoke(bob, true);
        let mail = world.mail(bob).len();
        world.sync_log(alice);
        let failed = u32::from(known) * 4;
        assert_eq!(world.state(alice, waiting), failed.max(2));
        world.sync(alice);
        assert!(world.heard(alice).contains(&"before the end".to_owned()));
        world.flush(alice);
        world.say_unchecked(alice, bob, "after the page");
        world.flush(alice);
        // The control: with the end ignored, all of it would be readable.
        assert_eq!(world.mail(bob).len() == mail, known);
        world.sync(bob);
        assert_eq!(world.heard(bob).contains(&"after the page".to_owned()), !known);
        assert_eq!(world.session(alice, bob).0.is_none(), known, "sessions went once the mailbox was read");
        let left = Notice::MemberLeft { member: world.member_id(bob) };
        assert_eq!(told(&world, alice, left), usize::from(known));
        let member = world.member_id(bob);
        let events = events(&world.disk(alice), usize::MAX).unwrap();
        let is_left = |event: &Event| *event == Event::MemberLeft { member };
        assert_eq!(events.iter().any(|(_, event)| is_left(event)), known);
        assert_eq!(told(&world, bob, Notice::Revoked), 1, "and bob's own device knows");
        assert_eq!(world.log_status(bob).state, LogState::Revoked);
    }
}

#[test]
fn one_ended_device_stops_and_the_others_of_its_member_go_on_r_engine_35() {
    let (mut world, alice, bob) = pair(9);
    let phone = world.add_device(bob);
    world.run();
    world.say(alice, bob, "to both");
    world.run();
    assert!(world.heard(phone).contains(&"to both".to_owned()), "the control");
    world.revoke(phone, false);
    world.remove_device(phone);
    world.sync(alice);
    let mail = world.mail(phone).len();
    world.say(alice, bob, "to one");
    world.flush(alice);
    world.sync(bob);
    assert!(world.heard(bob).contains(&"to one".to_owned()));
    assert_eq!(world.mail(phone).len(), mail);
    assert!(!world.notices(alice).iter().any(|told| matches!(told, Notice::MemberLeft { .. })));
}

#[test]
fn a_handle_that_is_given_again_names_the_new_member_alone_r_engine_35() {
    let mut world = World::new(10);
    let [old, bob] = ["alice", "bob"].map(|handle| world.enrol(handle));
    world.run();
    talk(&mut world, old, bob);
    world.revoke(old, true);
    let new = world.enrol_again("alice", old);
    world.run_but(old);
    let names = |world: &World| resolve(&world.disk(bob), "alice").unwrap().unwrap().member_id;
    assert_eq!(names(&world), world.member_id(new));
    let told_of = Notice::HandleReassigned { old: world.member_id(old), new: world.member_id(new) };
    assert_eq!(told(&world, bob, told_of), 1);
    let (before, after) = (world.member_id(old), world.member_id(new));
    let events = events(&world.disk(bob), usize::MAX).unwrap();
    assert!(events.iter().any(|(_, event)| *event == Event::HandleReassigned { old: before, new: after }));
    let mail = world.mail(old).len();
    world.say_by_name(bob, "alice", "to the new one");
    world.run_but(old);
    assert_eq!(world.heard(new), ["to the new one"]);
    assert_eq!(world.mail(old).len(), mail);
    assert_eq!(world.history(bob, old), ["hello", "hello"], "stays with who wrote it");
    assert_eq!(world.history(bob, new), ["to the new one"]);
    assert!(member(&world.disk(bob), &before).unwrap().is_some(), "and can still be named by identifier");
}

#[test]
fn an_issuer_that_was_ended_issues_nothing_and_what_it_issued_stands_r_engine_32() {
    // R-LOG-4, R-LOG-6, R-LOG-9
    let (mut world, alice, bob) = pair(11);
    world.replace_enrolling_issuer();
    let phone = world.add_device(bob);
    world.run();
    world.say(alice, bob, "what the old one issued stands, the new one issues");
    world.run();
    assert_eq!(world.heard(bob).last(), world.heard(phone).last());
    assert_eq!(world.heard(phone).len(), 1);
    // The stolen key signs on; an honest log takes none of it, and a dishonest one is found out.
    let (leaf, statement) = world.credential_by_former_issuer(bob);
    let refused = world.log().authority().prepare(LeafKind::Credential, &statement, leaf.time).err();
    assert_eq!(refused, Some(LogError::NotPermitted));
    let mut dishonest = world.log().clone();
    dishonest.append_leaf(&leaf, None);
    world.show(alice, Some(dishonest));
    let before = world.log_status(alice);
    world.sync_log(alice);
    assert_eq!(told(&world, alice, Notice::LogInvalid(LogError::NotPermitted)), 1);
    assert_eq!(world.log_status(alice), before, "nothing of a bad page stays");
}

#[test]
fn a_bad_page_changes_nothing_and_has_a_name_r_engine_30() {
    // R-LOG-3, R-LOG-5, R-LOG-6
    let (mut world, alice, bob) = pair(12);
    grow(&mut world, 1);
    let from = log_size(&world.disk(alice)).unwrap();
    let page = world.page(from);
    let mut cases = Vec::new();
    let mut bad = page.clone();
    bad.entries[0].leaf[89] ^= 1;
    cases.push((bad, LogError::NotAuthentic));
    let mut bad = page.clone();
    bad.entries[0].leaf.pop();
    cases.push((bad, LogError::Malformed));
    let mut bad = page.clone();
    bad.entries[0].content = None;
    cases.push((bad, LogError::Malformed));
    let mut bad = page.clone();
    bad.entries.push(page.entries[0].clone());
    cases.push((bad, LogError::OutOfOrder));
    let mut bad = page.clone();
    bad.checkpoint = page.checkpoint.replace(&origin(&world.org_id()), "chancery/1/other");
    cases.push((bad, LogError::Malformed));
    let mut bad = page.clone();
    let mut early = Leaf::from_bytes(&bad.entries[0].leaf).unwrap();
    early.time = chancery_wire::Timestamp::from_millis(1);
    bad.entries[0].leaf = early.to_bytes().to_vec();
    cases.push((bad, LogError::OutOfOrder));
    for (number, (bad, error)) in cases.into_iter().enumerate() {
        let before = world.disk(alice);
        world.give_page(alice, from, &bad);
        assert_eq!(world.notices(alice).last(), Some(&Notice::LogInvalid(error)), "{number}");
        assert!(world.disk(alice) == before, "{number}");
    }
    // One that was meant for another size is nobody's fault.
    let (before, count) = (world.disk(alice), world.notices(alice).len());
    world.give_page(alice, from - 1, &page);
    assert!(world.disk(alice) == before && world.notices(alice).len() == count);
    world.give_page(alice, from, &page);
    assert_eq!(world.log_status(alice).size, from + 1);
    talk(&mut world, alice, bob);
}

#[test]
fn a_root_s_successor_ends_the_old_root_s_word_r_engine_30() {
    // R-LOG-6, R-ID-16
    let (mut world, alice, bob) = pair(13);
    let (old, statement) = world.issuer_by_the_root();
    world.replace_root();
    world.replace_enrolling_issuer();
    world.run();
    assert_eq!(world.log_status(alice).state, LogState::Current);
    talk(&mut world, alice, bob);
    let mut dishonest = world.log().clone();
    dishonest.append_leaf(&old, Some(statement));
    world.show(alice, Some(dishonest));
    world.sync_log(alice);
    assert_eq!(told(&world, alice, Notice::LogInvalid(LogError::NotAuthentic)), 1);
}

#[test]
fn a_clock_that_jumps_by_years_misleads_until_the_next_checkpoint_r_engine_31() {
    for years in [10, -10] {
        let (mut world, alice, bob) = pair(14);
        world.set_clock(alice, years * YEAR);
        world.restart(alice);
        // Before a checkpoint came: ahead, the log seems old and nothing is sealed.
        assert_eq!(world.log_status(alice).state.allows_sealing(), years < 0);
        world.wait(Duration::from_secs(601));
        world.sync(alice);
        assert_eq!(world.log_status(alice).state, LogState::Current, "the next checkpoint mends it");
        world.say(alice, bob, "by a wrong clock");
        world.run();
        assert_eq!(world.heard(bob).last().unwrap(), "by a wrong clock");
        let carol = world.enrol("carol");
        world.run();
        world.say(alice, carol, "a new session as well");
        world.run();
        assert_eq!(world.heard(carol), ["a new session as well"]);
    }
}

#[test]
fn an_expired_credential_is_accepted_by_no_clock_r_engine_31() {
    for years in [0, 10, -10] {
        let (mut world, alice, bob) = pair(15);
        let short = world.add_device_for(bob, 20 * DAY);
        world.list_devices(bob);
        world.run();
        world.set_clock(alice, years * YEAR);
        world.wait(Duration::from_secs(601));
        world.sync(alice);
        let disks = [alice, short].map(|id| world.disk(id));
        let alive = "while it is valid";
        world.say_unchecked(short, alice, alive);
        world.flush(short);
        world.sync(alice);
        assert!(world.heard(alice).contains(&alive.to_owned()), "the control ({years})");
        for (id, disk) in [alice, short].into_iter().zip(disks) {
            world.restore(id, disk);
        }
        world.wait(21 * DAY);
        for id in [alice, bob] {
            world.sync(id);
        }
        let (begun, late) = (world.handshakes(alice), "after its end");
        world.say(alice, bob, "to the devices that are left");
        world.flush(alice);
        assert_eq!(world.handshakes(alice), begun, "no session is begun with an expired one ({years})");
        // Whoever holds the expired one has its clock say what it likes, and does not ask the log.
        world.set_clock(short, -21 * 24 * 3_600_000);
        world.say_unchecked(short, alice, late);
        let mail = world.mail(alice).len();
        world.flush_blindly(short);
        assert_eq!(world.mail(alice).len(), mail + 1, "it is tried ({years})");
        world.sync(alice);
        assert!(!world.heard(alice).contains(&late.to_owned()), "{years}");
    }
}

#[test]
fn a_log_that_dates_itself_ahead_is_proved_to_lie_r_engine_31() {
    let (mut world, alice, _) = pair(16);
    let mut ahead = world.log().clone();
    world.wait(DAY);
    let future = chancery_wire::Timestamp::from_millis(4_000_000_000_000);
    world.sign_checkpoint(&mut ahead, future);
    world.show(alice, Some(ahead));
    world.check_log(alice);
    assert_eq!(world.log_status(alice).time, future);
    world.show(alice, None);
    grow(&mut world, 1);
    world.sync(alice);
    assert_eq!(world.log_status(alice).state, LogState::Forked);
    let (org, key) = (world.org_id(), world.log().key().verifying_key().clone());
    assert_eq!(verify_fork(&world.fork_proof(alice).unwrap(), &org, &key), Ok(()));
}

#[test]
fn only_the_organisation_s_word_destroys_a_device_r_engine_37() {
    let (mut world, alice, bob) = pair(18);
    let index = world.revoke(alice, true);
    let good = world.revoked(index);
    let check = |world: &mut World, id: PersonId, revoked: &chancery_wire::proto::Revoked| {
        let engine = chancery_engine::Engine::load(&world.disk(id), world.now()).unwrap();
        verify_revoked(&engine, &world.disk(id), revoked).unwrap()
    };
    assert_eq!(check(&mut world, alice, &good), Ok(()));
    assert_eq!(check(&mut world, bob, &good), Err(LogError::NotPermitted), "it is not about bob");
    let mut bad = good.clone();
    bad.statement.as_mut().unwrap().signature[9] ^= 1;
    assert!(check(&mut world, alice, &bad).is_err());
    let mut bad = good.clone();
    bad.index -= 1;
    assert!(check(&mut world, alice, &bad).is_err());
    let mut bad = good.clone();
    bad.proof[0][0] ^= 1;
    assert!(check(&mut world, alice, &bad).is_err());
    let mut bad = good.clone();
    bad.note = good.note.replace("time 1", "time 2");
    assert!(check(&mut world, alice, &bad).is_err());
    // A relay without the organisation's keys makes the whole of it itself: log, leaf, proof; and has no statement.
    let leaf = Leaf::from_bytes(&good.leaf).unwrap();
    assert_eq!(merkle::leaf_hash(&good.leaf), leaf.hash());
    let (_, forged) = world.revocation(alice, true);
    let mut bad = good.clone();
    bad.statement = Some(chancery_wire::proto::Signed { body: forged.body, signature: vec![0; 3373] });
    assert!(check(&mut world, alice, &bad).is_err());
    assert_eq!(world.log_status(alice).state, LogState::Current, "asking changes nothing");
}

#[test]
fn a_claim_costs_no_longer_bucket_until_it_was_left_out_eight_times_r_content_12() {
    let (mut world, alice, bob) = pair(21);
    let length = |world: &mut World, len: usize| {
        world.say(alice, bob, &"x".repeat(len));
        world.flush(alice);
        let length = world.mail(bob).last().unwrap().len();
        world.sync(bob);
        length
    };
    // The longest text that fits into the smallest bucket.
    let longest = (300..512).rev().find(|len| length(&mut world, *len) == 512).unwrap();
    grow(&mut world, 1);
    world.sync(alice);
    let lengths: Vec<_> = (0..10).map(|_| length(&mut world, longest)).collect();
    assert_eq!(lengths.iter().filter(|length| **length > 512).count(), 2, "{lengths:?}");
    assert_eq!(lengths[8], 1024, "the ninth has to say it");
    assert_eq!(world.fork_proof(bob), None);
}
