//! A log of a large organisation.

use std::time::{Duration, Instant};

use chancery_engine::{LogState, Notice, log_size};
use chancery_identity::LogError;
use chancery_identity::log::{Leaf, LeafKind};
use chancery_testkit::World;
use chancery_wire::records::Table;

/// Entries of a full page: 256 KiB.
const PAGE: u64 = 2800;
const LOG_DEVICE: Table = Table(0x0192);

/// Has the log vouch for so many devices of as many members.
fn vouch(world: &mut World, count: u64) {
    let issuer = world.enrolling_issuer();
    for number in 0..count {
        let mut id = [9; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let leaf = Leaf {
            kind: LeafKind::Credential,
            time: world.now(),
            subject: id,
            object: id,
            issuer,
            commitment: [7; 32],
        };
        world.log().append_leaf(&leaf, None);
    }
}

#[test]
fn a_hundred_thousand_devices_are_taken_over_page_by_page_r_engine_30() {
    // R-LOG-1
    const DEVICES: u64 = 100_000;
    let (mut world, alice, bob) = World::pair(1);
    vouch(&mut world, DEVICES);
    let mut slowest = Duration::ZERO;
    loop {
        let from = log_size(&world.disk(alice)).unwrap();
        let begun = Instant::now();
        let more = world.sync_log_page(alice);
        slowest = slowest.max(begun.elapsed());
        assert_eq!(log_size(&world.disk(alice)).unwrap(), world.log().size().min(from + PAGE));
        if !more {
            break;
        }
        assert_eq!(world.log_status(alice).state, LogState::Unconfirmed, "nothing is sealed half way");
    }
    let rows = world.disk(alice).keys().filter(|key| key.table == LOG_DEVICE).count();
    assert_eq!(rows as u64, DEVICES + 2);
    assert_eq!(world.log_status(alice).state, LogState::Current);
    eprintln!("the slowest of {} pages took {slowest:?}", DEVICES.div_ceil(PAGE));
    // Without optimisation; with it a fraction.
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    world.say(alice, bob, "among many");
    world.run();
    assert_eq!(world.heard(bob), ["among many"]);
}

#[test]
fn a_page_that_does_not_begin_what_is_signed_is_dropped_r_log_7() {
    let (mut world, alice, _) = World::pair(2);
    vouch(&mut world, 2 * PAGE);
    let (from, before) = (log_size(&world.disk(alice)).unwrap(), world.disk(alice));
    let good = world.page_of(from, 2800);
    assert!(good.more && !good.proof.is_empty());
    let mut cases = Vec::new();
    let mut bad = good.clone();
    bad.entries.swap(0, 1);
    cases.push((bad, LogError::NotAuthentic));
    let mut bad = good.clone();
    bad.proof[0][0] ^= 1;
    cases.push((bad, LogError::NotAuthentic));
    let mut bad = good.clone();
    bad.proof[0].pop();
    cases.push((bad, LogError::Malformed));
    let mut bad = good.clone();
    bad.proof.clear();
    cases.push((bad, LogError::NotAuthentic));
    let mut bad = good.clone();
    bad.entries.truncate(100);
    cases.push((bad, LogError::NotAuthentic));
    let mut bad = good.clone();
    bad.checkpoint.clear();
    cases.push((bad, LogError::Malformed));
    for (number, (bad, error)) in cases.iter().enumerate() {
        world.give_page(alice, from, bad);
        assert_eq!(world.notices(alice).last(), Some(&Notice::LogInvalid(*error)), "{number}");
        assert!(world.disk(alice) == before, "{number}");
    }
    // A device twice: no honest log says so, whoever has signed it.
    let leaf = Leaf::from_bytes(&good.entries[0].leaf).unwrap();
    world.log().append_leaf(&leaf, None);
    let mut page = world.page(from);
    world.give_page(alice, from, &page);
    assert_eq!(world.notices(alice).last(), Some(&Notice::LogInvalid(LogError::Duplicate)));
    assert!(world.disk(alice) == before);
    page.entries.clear();
    world.give_page(alice, from, &page);
    assert_eq!(world.log_status(alice).size, from, "a checkpoint alone brings no entries");
    world.give_page(alice, from, &good);
    assert_eq!(world.log_status(alice).size, from + PAGE, "the control");
}

#[test]
fn a_checkpoint_in_the_middle_of_many_pages_leads_to_the_rest_of_them_r_engine_30() {
    let (mut world, alice, bob) = World::pair(3);
    vouch(&mut world, 2 * PAGE + 7);
    assert!(world.sync_log_page(alice));
    let half = world.disk(alice);
    assert!(world.check_log(alice));
    assert_eq!(world.log_status(alice).size, world.log().size());
    // The same with a relay that shows fewer entries than its own page has promised.
    world.restore(alice, half);
    let cut = world.log().cut_leaves(usize::try_from(PAGE).unwrap() + 100);
    world.show(alice, Some(cut));
    world.check_log(alice);
    assert!(!world.log_status(alice).state.allows_sealing());
    world.show(alice, None);
    world.say(bob, alice, "all is there again");
    world.run();
    assert_eq!(world.log_status(alice).state, LogState::Current);
}
