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
