//! Prekeys: published by their device, handed out once each, verified by nobody but who uses them.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::kem::KemSecret;
use chancery_crypto::merkle;
use chancery_crypto::x25519::DhSecret;
use chancery_identity::prekey::{BatchHead, PrekeyId, PrekeyKind, leaf_hash};
use chancery_identity::sign;
use chancery_wire::{RefusalCode, Unverified, encode, proto};
use proto::client_frame::Body as Request;
use proto::relay_frame::Body;

use super::world::{Device, World, done, refusal, token};
use crate::ConnectionId;
use crate::limits::BUNDLE_LEN;

pub(crate) fn upload(world: &mut World, device: &Device, sequence: u64, pairs: u32) -> proto::PrekeyUpload {
    let mut kinds = vec![(PrekeyKind::Signed, 1), (PrekeyKind::LastResortKem, 1)];
    for id in 1..=pairs {
        kinds.extend([(PrekeyKind::OneTimeCurve, id), (PrekeyKind::OneTimeKem, id)]);
    }
    let mut leaves = Vec::new();
    let mut hashes = Vec::new();
    for (index, (kind, id)) in (0..).zip(kinds) {
        let key = if kind.is_curve() {
            DhSecret::generate(&mut *world.rng).public().as_bytes().to_vec()
        } else {
            KemSecret::generate(&mut *world.rng).public().as_bytes().to_vec()
        };
        hashes.push(leaf_hash(&device.id, PrekeyId { kind, id }, &key));
        leaves.push(proto::Prekey { kind: kind.number().into(), id, key, index, proof: vec![] });
    }
    let body = proto::PrekeyBatchBody {
        device_id: device.id.as_bytes().to_vec(),
        sequence,
        size: u32::try_from(leaves.len()).unwrap(),
        root: merkle::root(&hashes).to_vec(),
        expires: world.now.after(Duration::from_secs(86_400)).as_millis(),
    };
    let batch = sign::sign_prekey_batch(&device.keys.signing, &body, &mut *world.rng);
    proto::PrekeyUpload { batch: Some(batch), leaves }
}

fn publish(world: &mut World, connection: ConnectionId, upload: &proto::PrekeyUpload) -> Body {
    world.ask(connection, Request::PublishPrekeys(upload.clone()))
}

fn claim(world: &mut World, connection: ConnectionId, device: &Device) -> Body {
    let device_id = device.id.as_bytes().to_vec();
    let token = token(device.id.as_bytes());
    world.ask(connection, Request::ClaimPrekeys(proto::ClaimPrekeys { device_id, token }))
}

fn bundle(world: &mut World, connection: ConnectionId, device: &Device) -> proto::PrekeyBundle {
    match claim(world, connection, device) {
        Body::Bundle(bundle) => bundle,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_pair_is_handed_out_once_and_then_the_last_resort() {
    let mut world = World::new();
    let bob = world.member(2);
    let (bobs, mut claiming) = (world.login(&bob), world.anonymous());
    assert_eq!(claim(&mut world, claiming, &bob), refusal(RefusalCode::NotFound), "R-RELAY-27");
    let upload = upload(&mut world, &bob, 1, 3);
    assert_eq!(publish(&mut world, bobs, &upload), done(), "R-RELAY-25");
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let bundle = bundle(&mut world, claiming, &bob);
        let (curve, kem) = (bundle.one_time.clone().unwrap(), bundle.kem.clone().unwrap());
        assert_eq!((curve.kind, kem.kind), (2, 3), "R-RELAY-27");
        assert!(seen.insert(curve.key) && seen.insert(kem.key), "R-RELAY-27: handed out twice");
        assert_eq!(encode(&bundle).len(), BUNDLE_LEN, "R-RELAY-29");
        world.restart();
        claiming = world.anonymous();
    }
    for _ in 0..2 {
        let bundle = bundle(&mut world, claiming, &bob);
        assert_eq!((bundle.one_time.clone(), bundle.kem.clone().unwrap().kind), (None, 4), "R-RELAY-28");
        assert_eq!(encode(&bundle).len(), BUNDLE_LEN, "R-RELAY-29");
    }
}

#[test]
fn what_is_handed_out_verifies() {
    let mut world = World::new();
    let bob = world.member(2);
    let (bobs, claiming) = (world.login(&bob), world.anonymous());
    let upload = upload(&mut world, &bob, 1, 1);
    publish(&mut world, bobs, &upload);
    for _ in 0..2 {
        let bundle = bundle(&mut world, claiming, &bob);
        let credential = Unverified::new(bundle.credential.unwrap());
        let credential = world.relay.organisation().verify_credential(credential, world.now).unwrap();
        let head =
            BatchHead::verify(&Unverified::new(bundle.batch.unwrap()), &credential, world.now).unwrap();
        for prekey in [bundle.signed, bundle.one_time, bundle.kem].into_iter().flatten() {
            assert!(head.verify_prekey(&Unverified::new(prekey)).is_ok(), "R-RELAY-27");
        }
    }
}

#[test]
fn the_largest_batch_has_bundles_of_the_same_size() {
    let mut world = World::new();
    let bob = world.member(2);
    let (bobs, claiming) = (world.login(&bob), world.anonymous());
    let upload = upload(&mut world, &bob, 1, 200);
    assert!(encode(&upload).len() < 512 * 1024);
    assert_eq!(publish(&mut world, bobs, &upload), done());
    assert_eq!(encode(&bundle(&mut world, claiming, &bob)).len(), BUNDLE_LEN, "R-RELAY-29");
}

#[test]
fn a_repeated_upload_gives_nothing_back_and_a_later_one_replaces() {
    let mut world = World::new();
    let bob = world.member(2);
    let (bobs, claiming) = (world.login(&bob), world.anonymous());
    let (first, second) = (upload(&mut world, &bob, 5, 1), upload(&mut world, &bob, 6, 1));
    assert_eq!(publish(&mut world, bobs, &first), done());
    assert!(bundle(&mut world, claiming, &bob).one_time.is_some());
    assert_eq!(publish(&mut world, bobs, &first), done(), "R-RELAY-26");
    assert_eq!(bundle(&mut world, claiming, &bob).one_time, None, "R-RELAY-26: it stays handed out");
    assert_eq!(publish(&mut world, bobs, &second), done());
    assert!(bundle(&mut world, claiming, &bob).one_time.is_some());
    assert_eq!(publish(&mut world, bobs, &first), refusal(RefusalCode::Conflict), "R-RELAY-26");
    let again = upload(&mut world, &bob, 6, 1);
    assert_eq!(publish(&mut world, bobs, &again), refusal(RefusalCode::Conflict), "R-RELAY-26");
}

#[test]
fn forged_foreign_and_damaged_uploads_are_refused() {
    let mut world = World::new();
    let (alice, bob) = (world.member(1), world.member(2));
    let (bobs, claiming) = (world.login(&bob), world.anonymous());
    let foreign = upload(&mut world, &alice, 1, 1);
    assert_eq!(publish(&mut world, bobs, &foreign), refusal(RefusalCode::NotAuthorised), "R-RELAY-25");
    let mut swapped = upload(&mut world, &bob, 1, 1);
    swapped.leaves[2].id = 9;
    assert_eq!(publish(&mut world, bobs, &swapped), refusal(RefusalCode::NotAuthorised), "R-RELAY-25");
    let mut short = upload(&mut world, &bob, 1, 1);
    short.leaves.pop();
    assert_eq!(publish(&mut world, bobs, &short), refusal(RefusalCode::BadRequest), "R-RELAY-25");
    assert_eq!(claim(&mut world, claiming, &bob), refusal(RefusalCode::NotFound));
}

#[test]
fn expired_prekeys_are_not_handed_out() {
    let mut world = World::new();
    let bob = world.member(2);
    let (bobs, claiming) = (world.login(&bob), world.anonymous());
    let upload = upload(&mut world, &bob, 1, 1);
    publish(&mut world, bobs, &upload);
    world.now = world.now.after(Duration::from_secs(86_400));
    assert_eq!(claim(&mut world, claiming, &bob), refusal(RefusalCode::NotFound), "R-RELAY-27");
}

#[test]
fn a_device_learns_at_login_which_of_its_prekeys_the_relay_has_r_relay_42() {
    let mut world = World::new();
    let bob = world.member(2);
    let (bobs, claiming) = (world.login(&bob), world.anonymous());
    let told = |world: &mut World| {
        world.login(&bob);
        (world.state.prekeys, world.state.pairs)
    };
    assert_eq!(told(&mut world), (0, 0));
    let (first, second) = (upload(&mut world, &bob, 5, 3), upload(&mut world, &bob, 6, 3));
    publish(&mut world, bobs, &first);
    let old = world.storage.clone();
    publish(&mut world, bobs, &second);
    bundle(&mut world, claiming, &bob);
    assert_eq!(told(&mut world), (6, 2));
    world.storage = old;
    assert_eq!(told(&mut world), (5, 3), "a relay that was put back says so");
}
