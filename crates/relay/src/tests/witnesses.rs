//! Lines of witnesses: whose are taken, for which checkpoint, and how long they stay.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use chancery_crypto::cosignature::{WitnessSigningKey, WitnessVerifyingKey};
use chancery_crypto::secret::Secret;
use chancery_identity::log::LeafKind;
use chancery_identity::{Policy, Witnesses, sign};
use chancery_wire::{RefusalCode, proto};
use proto::client_frame::Body as Request;
use proto::relay_frame::Body;

use super::world::{World, done, refusal};
use crate::limits::CHECKPOINT_INTERVAL;

fn witness(n: u8) -> WitnessSigningKey {
    WitnessSigningKey::from_seed(Secret::from_bytes([n; 32]))
}

/// A policy that names the witnesses 1 and 2.
fn watched() -> World {
    let mut world = World::new();
    enter(&mut world, 1, &[1, 2]);
    world
}

fn enter(world: &mut World, sequence: u64, witnesses: &[u8]) {
    let keys: Vec<[u8; 32]> = witnesses.iter().map(|n| *witness(*n).verifying_key().as_bytes()).collect();
    let mut policy = Policy::default();
    policy.witnesses = Witnesses::new(&keys, 1).unwrap();
    let (org_id, issuer_id) = (world.org_id().as_bytes().to_vec(), world.issuer_id());
    let body = proto::PolicyBody { org_id, issuer_id, sequence, policy: Some(policy.to_proto()) };
    let statement = sign::sign_policy(&world.issuer, &body, &mut *world.rng);
    assert!(matches!(world.enter(LeafKind::Policy, &statement), Body::Appended(_)));
}

fn add(world: &mut World, note: String) -> Body {
    let connection = world.anonymous();
    world.ask(connection, Request::AddCosignature(proto::AddCosignature { note }))
}

/// How many of the witnesses 1 and 2 have seen what the relay shows.
fn seen(world: &mut World) -> usize {
    let keys: Vec<WitnessVerifyingKey> = [1, 2].map(|n| witness(n).verifying_key()).to_vec();
    world.checkpoint().cosignatures(&keys).len()
}

#[test]
fn lines_of_the_policys_witnesses_stay_with_the_newest_checkpoint_r_relay_64() {
    let mut world = watched();
    let newest = world.checkpoint();
    let by = |n| newest.cosign("witness", &witness(n), 1_000).unwrap();
    assert_eq!(seen(&mut world), 0);
    assert_eq!(add(&mut world, by(1)), done());
    let once = world.checkpoint();
    assert_eq!(add(&mut world, by(1)), done(), "again is no fault");
    assert_eq!(world.checkpoint(), once, "and changes nothing");
    // The second has fetched the note before the first brought its line.
    assert_eq!(add(&mut world, by(2)), done());
    assert_eq!(seen(&mut world), 2);
    world.restart();
    assert_eq!(seen(&mut world), 2, "R-RELAY-44: they are stored with it");
    let alice = world.member(1);
    assert_eq!(seen(&mut world), 0, "of what it is now nobody has said anything");
    assert_eq!(add(&mut world, by(1)), refusal(RefusalCode::Conflict), "R-RELAY-64");
    let newest = world.checkpoint();
    assert_eq!(add(&mut world, newest.cosign("witness", &witness(1), 2_000).unwrap()), done());
    let alices = world.login(&alice);
    let Body::LogPage(page) = world.ask(alices, Request::SyncLog(proto::SyncLog { from: 0 })) else {
        panic!("no page")
    };
    assert_eq!(world.verified(&page.checkpoint).cosignatures(&[witness(1).verifying_key()]).len(), 1);
    world.wait(CHECKPOINT_INTERVAL);
    assert_eq!(seen(&mut world), 0, "R-RELAY-53: signed anew");
}

#[test]
fn a_line_of_anybody_else_is_refused_and_changes_nothing_r_relay_64() {
    let mut world = watched();
    let newest = world.checkpoint();
    let fine = newest.cosign("witness", &witness(1), 1_000).unwrap();
    let stranger = newest.cosign("witness", &witness(3), 1_000).unwrap();
    let renamed = fine.replace("\u{2014} witness ", "\u{2014} another ");
    for wrong in [stranger.clone(), renamed, newest.note().to_string()] {
        assert_eq!(add(&mut world, wrong), refusal(RefusalCode::NotAuthorised), "R-RELAY-64");
    }
    assert_eq!(add(&mut world, String::new()), refusal(RefusalCode::BadRequest));
    assert_eq!(add(&mut world, "x".repeat(16 * 1024 + 1)), refusal(RefusalCode::TooLarge));
    let other = fine.replacen("time ", "time 9", 1);
    assert_eq!(add(&mut world, other), refusal(RefusalCode::Conflict));
    assert_eq!(world.checkpoint(), newest);
    let alice = world.member(1);
    let alices = world.login(&alice);
    let newest = world.checkpoint();
    let note = newest.cosign("witness", &witness(1), 1_000).unwrap();
    let by_member = Request::AddCosignature(proto::AddCosignature { note: note.clone() });
    assert_eq!(world.ask(alices, by_member), refusal(RefusalCode::NotAuthorised), "R-RELAY-5");
    assert_eq!(add(&mut world, note), done(), "the control");
    // A witness that the policy names no more.
    enter(&mut world, 2, &[3]);
    let newest = world.checkpoint();
    let note = newest.cosign("witness", &witness(1), 1_000).unwrap();
    assert_eq!(add(&mut world, note), refusal(RefusalCode::NotAuthorised), "R-RELAY-64");
    let note = newest.cosign("witness", &witness(3), 1_000).unwrap();
    assert_eq!(add(&mut world, note), done());
}
