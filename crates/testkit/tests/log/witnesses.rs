//! Witnesses that policy names, and what a device makes of their staying away (R-ENGINE-65).

use chancery_crypto::cosignature::WitnessSigningKey;
use chancery_crypto::secret::Secret;
use chancery_identity::{LEAST_FRESHNESS, Witnesses};

use super::*;

const HALF: Duration = Duration::from_secs(31 * 60);

fn witness(n: u8) -> WitnessSigningKey {
    WitnessSigningKey::from_seed(Secret::from_bytes([n; 32]))
}

/// Three witnesses, of whom so many are needed, within an hour.
fn watched(seed: u64, quorum: u32) -> (World, PersonId, PersonId, [WitnessSigningKey; 3]) {
    let (mut world, alice, bob) = pair(seed);
    let all = [1, 2, 3].map(witness);
    let keys: Vec<[u8; 32]> = all.iter().map(|it| *it.verifying_key().as_bytes()).collect();
    let mut policy = Policy::default();
    policy.freshness = LEAST_FRESHNESS;
    policy.witnesses = Witnesses::new(&keys, quorum).unwrap_or_default();
    world.set_policy(&policy, 1);
    world.run();
    (world, alice, bob, all)
}

#[test]
fn a_device_ages_when_witnesses_stay_away_though_the_relay_does_not_r_engine_65() {
    for quorum in [0, 2] {
        let (mut world, alice, bob, all) = watched(41, quorum);
        assert!(world.check_log(alice), "they have as long as policy allows from when it names them");
        let mut states = Vec::new();
        for _ in 0..2 {
            world.wait(HALF);
            // One of them is not enough.
            world.cosign(&all[0]);
            world.check_log(alice);
            states.push(world.log_status(alice).state);
        }
        if quorum == 0 {
            assert_eq!(states, [LogState::Current; 2], "the control");
            continue;
        }
        assert_eq!(states, [LogState::Aging, LogState::Stale]);
        world.say(alice, bob, "waits for the witnesses");
        world.run();
        assert!(!world.heard(bob).contains(&"waits for the witnesses".to_owned()));
        // The same checkpoint, which alice has, with a line more.
        world.cosign(&all[0]);
        world.check_log(alice);
        assert_eq!(world.log_status(alice).state, LogState::Stale);
        world.cosign(&all[2]);
        assert!(world.check_log(alice));
        assert_eq!(world.log_status(alice).state, LogState::Current);
        world.run();
        assert!(world.heard(bob).contains(&"waits for the witnesses".to_owned()));
    }
}

#[test]
fn what_witnesses_signed_long_ago_refreshes_nothing_when_it_is_shown_late_r_engine_65() {
    let (mut world, alice, _, all) = watched(42, 1);
    let from = world.log().size();
    world.wait(Duration::from_secs(11 * 60));
    // The relay keeps what a witness has signed.
    world.cosign(&all[1]);
    let kept = world.page(from);
    world.wait(2 * LEAST_FRESHNESS);
    world.give_page(alice, from, &kept);
    assert_eq!(world.log_status(alice).state, LogState::Stale);
    world.cosign(&all[1]);
    assert!(world.check_log(alice), "the control");
}

#[test]
fn lines_of_others_and_of_one_witness_twice_count_for_nothing_r_engine_65_r_log_14() {
    let (mut world, alice, _, all) = watched(43, 2);
    world.wait(2 * HALF);
    world.cosign(&witness(9));
    world.cosign(&all[0]);
    world.cosign(&all[0]);
    assert!(!world.check_log(alice));
    assert_eq!(world.log_status(alice).state, LogState::Stale);
}

#[test]
fn a_clock_that_is_set_back_makes_no_witness_fresh_again_r_engine_65_r_engine_68() {
    let (mut world, alice, _, all) = watched(44, 1);
    world.wait(2 * HALF);
    world.pass_time(alice);
    assert!(!world.check_log(alice), "the control: checkpoints come, witnesses do not");
    for hours in [1, 30] {
        world.set_clock(alice, -hours * 3_600_000);
        world.pass_time(alice);
        assert!(!world.check_log(alice));
        assert_eq!(world.log_status(alice).state, LogState::Stale, "{hours}");
    }
    world.set_clock(alice, 0);
    world.wait(Duration::from_secs(601));
    world.cosign(&all[0]);
    assert!(world.check_log(alice));
    assert_eq!(world.log_status(alice).state, LogState::Current);
}
