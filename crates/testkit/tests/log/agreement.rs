//! Checkpoints that came, against the entries that come after them.

use chancery_wire::Timestamp;
use chancery_wire::proto::LogPage;

use super::*;

/// The time in so many milliseconds.
fn in_millis(world: &World, millis: u64) -> Timestamp {
    world.now().after(Duration::from_millis(millis))
}

/// A page of one entry, with a checkpoint of one more; and, of another log with the same first entry, the page that follows.
/// Its checkpoint is of that time, or of a log that has `grown` beyond.
fn pages(world: &mut World, from: u64, time: u64, grown: bool) -> [LogPage; 2] {
    grow(world, 1);
    let common = world.log().clone();
    grow(world, 2);
    let newest = in_millis(world, 10_000);
    let mut log = world.log().clone();
    world.sign_checkpoint(&mut log, newest);
    *world.log() = log;
    let first = world.page_of(from, 1);
    *world.log() = common;
    let mut policy = Policy::default();
    policy.may_export = false;
    world.set_policy(&policy, 2);
    let time = in_millis(world, time);
    if grown {
        world.wait(Duration::from_secs(60));
        grow(world, 3);
    } else {
        let mut log = world.log().clone();
        world.sign_checkpoint(&mut log, time);
        *world.log() = log;
    }
    [first, world.page(from.saturating_add(1))]
}

#[test]
fn a_checkpoint_is_compared_with_the_entries_that_reach_it_r_log_7() {
    for (time, grown) in [(5000, false), (15_000, false), (15_000, true)] {
        let (mut world, alice, _) = pair(23);
        let from = log_size(&world.disk(alice)).unwrap();
        let [first, second] = pages(&mut world, from, time, grown);
        world.give_page(alice, from, &first);
        assert_eq!(world.log_status(alice).state, LogState::Unconfirmed, "an entry is missing");
        assert_eq!(told(&world, alice, Notice::LogForked), 0);
        world.give_page(alice, from + 1, &second);
        assert_eq!(world.log_status(alice).state, LogState::Forked, "{time} {grown}");
        assert_eq!(told(&world, alice, Notice::LogForked), 1);
        let (org, key) = (world.org_id(), world.log().key().verifying_key().clone());
        assert_eq!(verify_fork(&world.fork_proof(alice).unwrap(), &org, &key), Ok(()));
    }
}

#[test]
fn a_smaller_checkpoint_than_the_newest_is_never_taken_for_it_r_log_7() {
    // R-ENGINE-34
    let (mut world, alice, _) = pair(24);
    let from = log_size(&world.disk(alice)).unwrap();
    grow(&mut world, 1);
    grow(&mut world, 2);
    let page = world.page_of(from, 1);
    world.give_page(alice, from, &page);
    let before = world.log_status(alice);
    // As many entries as were taken over, and fewer than the newest checkpoint has.
    let cut = world.log().cut(from + 1);
    world.show(alice, Some(cut));
    world.check_log(alice);
    let status = world.log_status(alice);
    assert_eq!(status.state, LogState::RolledBack);
    assert_eq!((status.root, status.time), (before.root, before.time));
    world.show(alice, None);
    world.sync_log(alice);
    assert_eq!(world.log_status(alice).state, LogState::Current, "the control");
    assert_eq!(world.fork_proof(alice), None);
}

#[test]
fn an_entry_is_no_older_than_a_checkpoint_without_it_r_log_6() {
    // R-LOG-5
    for is_early in [false, true] {
        let (mut world, alice, bob) = pair(25);
        let early = world.now();
        world.wait(DAY);
        world.check_log(alice);
        let time = if is_early { early } else { world.now() };
        let (kind, statement) = world.revocation(alice, true);
        let index = world.log().append(kind, &statement, time);
        let revoked = world.revoked(index);
        let check = |world: &World| {
            let engine = chancery_engine::Engine::load(&world.disk(alice), world.now()).unwrap();
            verify_revoked(&engine, &world.disk(alice), &revoked).unwrap()
        };
        let expected = if is_early { Err(LogError::OutOfOrder) } else { Ok(()) };
        assert_eq!(check(&world), expected);
        for id in [alice, bob] {
            let size = log_size(&world.disk(id)).unwrap();
            world.sync_log(id);
            // Bob has not heard of the later checkpoint.
            let is_taken = !is_early || id == bob;
            assert_eq!(log_size(&world.disk(id)).unwrap(), size + u64::from(is_taken));
        }
        let refused = Notice::LogInvalid(LogError::OutOfOrder);
        assert_eq!(told(&world, alice, refused), usize::from(is_early));
    }
}

/// Replaces the log's key twice, with something before and after.
fn replace_keys(world: &mut World) {
    for sequences in [[1, 2], [3, 4]] {
        grow(world, sequences[0]);
        world.replace_log_key();
        grow(world, sequences[1]);
    }
}

#[test]
fn a_new_device_replays_a_log_whose_key_was_replaced_entry_by_entry_r_log_7() {
    let (mut world, alice, _) = pair(33);
    replace_keys(&mut world);
    let carol = world.enrol("carol");
    // Once more from the beginning, with pages that end before each record.
    let mut disk = world.disk(carol);
    disk.retain(|key, _| !(0x0190..=0x0199).contains(&key.table.0));
    world.restore(carol, disk);
    assert_eq!(log_size(&world.disk(carol)).unwrap(), 0);
    for from in 0..world.log().size() {
        let page = world.page_of(from, 1);
        world.give_page(carol, from, &page);
        assert_eq!(log_size(&world.disk(carol)).unwrap(), from + 1);
    }
    world.run();
    for id in [alice, carol] {
        assert_eq!(world.log_status(id).state, LogState::Current);
        assert_eq!(world.log_status(id).size, world.log().size());
    }
    world.say(carol, alice, "by the new key");
    world.run();
    assert_eq!(world.heard(alice).last().unwrap(), "by the new key");
}

#[test]
fn a_log_that_leads_to_another_key_than_the_enrolment_s_is_refused_r_log_7() {
    let (mut world, _, _) = pair(34);
    let honest = world.log().clone();
    replace_keys(&mut world);
    let carol = world.enrol("carol");
    let mut disk = world.disk(carol);
    disk.retain(|key, _| !(0x0190..=0x0199).contains(&key.table.0));
    // Another log, with as many relay records, of which the last names a key that nobody recorded.
    *world.log() = honest;
    replace_keys(&mut world);
    world.restore(carol, disk);
    let page = world.page(0);
    world.give_page(carol, 0, &page);
    assert_eq!(log_size(&world.disk(carol)).unwrap(), 0);
    assert_eq!(told(&world, carol, Notice::LogInvalid(LogError::NotAuthentic)), 1);
}

#[test]
fn pages_before_the_record_that_names_the_key_are_taken_over_with_it_and_not_without_r_engine_70() {
    let (mut world, alice, _) = pair(35);
    let from = log_size(&world.disk(alice)).unwrap();
    grow(&mut world, 1);
    world.replace_log_key();
    grow(&mut world, 2);
    let page = world.page_of(from, 1);
    world.give_page(alice, from, &page);
    assert_eq!(log_size(&world.disk(alice)).unwrap(), from, "nobody whom it knows vouches for it");
    let refused = Notice::LogInvalid(LogError::NotAuthentic);
    assert_eq!(told(&world, alice, refused), 1, "by this a shell knows what to do");
    let page = world.page_of(from, 2);
    world.give_page(alice, from, &page);
    assert_eq!(log_size(&world.disk(alice)).unwrap(), from + 2);
    world.run();
    assert_eq!(world.log_status(alice).state, LogState::Current);
}
