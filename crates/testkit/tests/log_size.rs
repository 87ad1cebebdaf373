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
fn pages_that_do_not_lead_to_their_checkpoint_are_given_to_nobody_r_engine_30() {
    let (mut world, alice, _) = World::pair(2);
    vouch(&mut world, 2 * PAGE);
    let good = world.pages(alice);
    assert_eq!(good.len(), 2);
    assert_eq!(world.check_pages(alice, &good), Ok(()));
    let mut bad = good.clone();
    bad[0].entries.swap(0, 1);
    assert_eq!(world.check_pages(alice, &bad), Err(LogError::NotAuthentic));
    assert_eq!(world.check_pages(alice, &good[..1]), Err(LogError::Malformed));
    let before = world.disk(alice);
    // A device twice: no honest log says so, whoever has signed it.
    let from = log_size(&before).unwrap();
    let twice = good[0].entries[0].clone();
    let leaf = Leaf::from_bytes(&twice.leaf).unwrap();
    world.log().append_leaf(&leaf, None);
    let mut page = world.page(from);
    assert_eq!(page.entries.len() as u64, 2 * PAGE + 1);
    world.give_page(alice, from, &page);
    assert_eq!(world.notices(alice).last(), Some(&Notice::LogInvalid(LogError::Duplicate)));
    assert!(world.disk(alice) == before);
    page.entries.clear();
    world.give_page(alice, from, &page);
    assert_eq!(world.log_status(alice).size, from, "a checkpoint alone brings no entries");
}
