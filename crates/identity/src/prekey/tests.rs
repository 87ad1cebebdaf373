//! Batches that a relay or an initiator must refuse.

use alloc::vec;

use chancery_crypto::kem::KemSecret;
use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_crypto::x25519::DhSecret;

use super::*;
use crate::tests::{NOW, World};
use crate::{DeviceKeys, sign};

struct Device {
    keys: DeviceKeys,
    credential: Credential,
}

fn device(rng: &mut dyn CryptoRng) -> Device {
    let world = World::new(rng);
    let keys = DeviceKeys::generate(rng);
    Device { credential: world.credential(&keys, rng), keys }
}

/// Leaves with distinct valid keys: signed, last resort, then pairs.
fn leaves(pairs: u32, rng: &mut dyn CryptoRng) -> Vec<proto::Prekey> {
    let mut kinds = vec![(1, 1), (4, 1)];
    kinds.extend((1..=pairs).flat_map(|id| [(2, id), (3, id)]));
    let mut out = Vec::new();
    for (index, (kind, id)) in (0..).zip(kinds) {
        let key = match kind {
            1 | 2 => DhSecret::generate(rng).public().as_bytes().to_vec(),
            _ => KemSecret::generate(rng).public().as_bytes().to_vec(),
        };
        out.push(proto::Prekey { kind, id, key, index, proof: vec![] });
    }
    out
}

fn body(device: &Device, leaves: &[proto::Prekey]) -> proto::PrekeyBatchBody {
    let hashes: Vec<Hash> = leaves
        .iter()
        .map(|leaf| {
            let kind = PrekeyKind::from_number(leaf.kind).unwrap_or(PrekeyKind::Signed);
            leaf_hash(&device.credential.device_id(), PrekeyId { kind, id: leaf.id }, &leaf.key)
        })
        .collect();
    proto::PrekeyBatchBody {
        device_id: device.credential.device_id().as_bytes().to_vec(),
        sequence: 5,
        size: u32::try_from(leaves.len()).unwrap(),
        root: merkle::root(&hashes).to_vec(),
        expires: NOW.as_millis().saturating_add(1),
    }
}

fn upload(device: &Device, leaves: Vec<proto::Prekey>, rng: &mut dyn CryptoRng) -> proto::PrekeyUpload {
    let batch = Some(sign::sign_prekey_batch(&device.keys.signing, &body(device, &leaves), rng));
    proto::PrekeyUpload { batch, leaves }
}

fn verify(device: &Device, upload: proto::PrekeyUpload) -> Result<VerifiedUpload, PrekeyError> {
    VerifiedUpload::verify(Unverified::new(upload), &device.credential, 4, NOW)
}

#[test]
fn every_prekey_of_a_verified_batch_proves_itself() {
    // R-PREKEY-1, R-PREKEY-4, R-PREKEY-5
    let mut rng = seeded([1; 32]);
    let device = device(&mut rng);
    for pairs in [0, 1, 2, 3, 7] {
        let upload = upload(&device, leaves(pairs, &mut rng), &mut rng);
        let verified = verify(&device, upload).unwrap();
        assert_eq!(verified.pairs().len(), usize::try_from(pairs).unwrap());
        let head =
            BatchHead::verify(&Unverified::new(verified.batch().clone()), &device.credential, NOW).unwrap();
        assert_eq!(&head, verified.head());
        let one_time = verified.pairs().iter().flat_map(|(curve, kem)| [curve, kem]);
        for prekey in [verified.signed(), verified.last_resort()].into_iter().chain(one_time) {
            let read = head.verify_prekey(&Unverified::new(prekey.clone())).unwrap();
            assert_eq!(read.id().kind.number(), u8::try_from(prekey.kind).unwrap());
            assert_eq!(read.curve().is_some(), read.id().kind.is_curve());
            assert_eq!(read.kem().is_some(), !read.id().kind.is_curve());
        }
    }
}

#[test]
fn no_field_of_a_proven_prekey_can_be_changed() {
    // R-PREKEY-5: in particular a last-resort key does not pass for a one-time key.
    let mut rng = seeded([2; 32]);
    let device = device(&mut rng);
    let verified = verify(&device, upload(&device, leaves(3, &mut rng), &mut rng)).unwrap();
    let other = KemSecret::generate(&mut rng).public().as_bytes().to_vec();
    let check = |change: &dyn Fn(&mut proto::Prekey)| {
        let mut prekey = verified.last_resort().clone();
        change(&mut prekey);
        verified.head().verify_prekey(&Unverified::new(prekey)).map(|read| read.id())
    };
    assert!(check(&|_| {}).is_ok());
    assert_eq!(check(&|prekey| prekey.kind = 3), Err(PrekeyError::NotAuthentic));
    assert_eq!(check(&|prekey| prekey.id = 2), Err(PrekeyError::NotAuthentic));
    assert_eq!(check(&|prekey| prekey.index = 2), Err(PrekeyError::NotAuthentic));
    assert_eq!(check(&|prekey| prekey.key = other.clone()), Err(PrekeyError::NotAuthentic));
    assert_eq!(check(&|prekey| prekey.proof[0][0] ^= 1), Err(PrekeyError::NotAuthentic));
    assert_eq!(check(&|prekey| drop(prekey.proof.pop())), Err(PrekeyError::NotAuthentic));
    assert_eq!(check(&|prekey| prekey.kind = 1), Err(PrekeyError::Malformed));
    assert_eq!(check(&|prekey| prekey.kind = 5), Err(PrekeyError::Malformed));
    assert_eq!(check(&|prekey| prekey.id = 0), Err(PrekeyError::Malformed));
    assert_eq!(check(&|prekey| prekey.key.truncate(1183)), Err(PrekeyError::Malformed));
    assert_eq!(check(&|prekey| prekey.key.fill(0xFF)), Err(PrekeyError::Malformed));
    assert_eq!(check(&|prekey| prekey.proof[0].truncate(31)), Err(PrekeyError::Malformed));
    assert_eq!(check(&|prekey| prekey.proof = vec![vec![0; 32]; 10]), Err(PrekeyError::Malformed));
}

#[test]
fn a_head_is_believed_only_from_its_device_and_in_its_time() {
    // R-PREKEY-2
    let mut rng = seeded([3; 32]);
    let (alice, bob) = (device(&mut rng), device(&mut rng));
    let leaves = leaves(0, &mut rng);
    let mut check = |change: fn(&mut proto::PrekeyBatchBody), key: &DeviceKeys| {
        let mut body = body(&alice, &leaves);
        change(&mut body);
        let batch = Unverified::new(sign::sign_prekey_batch(&key.signing, &body, &mut rng));
        BatchHead::verify(&batch, &alice.credential, NOW).map(|head| head.sequence())
    };
    assert_eq!(check(|_| {}, &alice.keys), Ok(5));
    assert_eq!(check(|_| {}, &bob.keys), Err(PrekeyError::NotAuthentic));
    assert_eq!(check(|body| body.device_id = vec![9; 16], &alice.keys), Err(PrekeyError::WrongDevice));
    assert_eq!(check(|body| body.expires = NOW.as_millis(), &alice.keys), Err(PrekeyError::Expired));
    let malformed: [fn(&mut proto::PrekeyBatchBody); 6] = [
        |body| body.device_id.clear(),
        |body| body.sequence = 0,
        |body| body.size = 0,
        |body| body.size = 3,
        |body| body.size = 404,
        |body| body.root.clear(),
    ];
    for change in malformed {
        assert_eq!(check(change, &alice.keys), Err(PrekeyError::Malformed));
    }
}

#[test]
fn an_upload_with_any_wrong_leaf_is_refused_even_when_the_device_signed_it() {
    // R-PREKEY-3, R-PREKEY-4
    let mut rng = seeded([4; 32]);
    let device = device(&mut rng);
    let good = leaves(2, &mut rng);
    let mut check = |change: fn(&mut Vec<proto::Prekey>)| {
        let mut leaves = good.clone();
        change(&mut leaves);
        verify(&device, upload(&device, leaves, &mut rng)).map(|verified| verified.pairs().len())
    };
    assert_eq!(check(|_| {}), Ok(2));
    let cases: [fn(&mut Vec<proto::Prekey>); 12] = [
        |leaves| leaves.truncate(5),
        |leaves| leaves.truncate(1),
        |leaves| leaves.clear(),
        |leaves| leaves[0].id = 0,
        |leaves| leaves[0].kind = 2,
        |leaves| leaves[1].kind = 3,
        |leaves| leaves[3].kind = 4,
        |leaves| leaves[0].kind = 9,
        |leaves| leaves[4].id = leaves[2].id,
        |leaves| leaves[2].key.fill(0),
        |leaves| leaves[2].index = 3,
        |leaves| leaves[2].proof.push(vec![0; 32]),
    ];
    for (index, change) in cases.into_iter().enumerate() {
        assert_eq!(check(change), Err(PrekeyError::Malformed), "case {index}");
    }
    assert_eq!(check(|leaves| leaves.retain(|leaf| leaf.kind != 1)), Err(PrekeyError::Malformed));
}

#[test]
fn an_upload_must_match_what_was_signed_and_be_newer() {
    // R-PREKEY-4
    let mut rng = seeded([5; 32]);
    let device = device(&mut rng);
    let good = upload(&device, leaves(1, &mut rng), &mut rng);
    let other = leaves(1, &mut rng);
    let mut swapped = good.clone();
    swapped.leaves[2].key = other[2].key.clone();
    assert_eq!(verify(&device, swapped), Err(PrekeyError::NotAuthentic));
    let mut short = good.clone();
    short.leaves.truncate(2);
    assert_eq!(verify(&device, short), Err(PrekeyError::Malformed));
    let unsigned = proto::PrekeyUpload { batch: None, ..good.clone() };
    assert_eq!(verify(&device, unsigned), Err(PrekeyError::Malformed));
    let at = |previous| {
        VerifiedUpload::verify(Unverified::new(good.clone()), &device.credential, previous, NOW).map(drop)
    };
    assert_eq!(at(0), Ok(()));
    assert_eq!(at(5), Err(PrekeyError::Stale));
    assert_eq!(at(6), Err(PrekeyError::Stale));
}

#[test]
fn the_largest_upload_fits_into_a_frame_and_one_more_pair_is_refused() {
    // R-PREKEY-3
    let mut rng = seeded([6; 32]);
    let device = device(&mut rng);
    let upload = upload(&device, leaves(MAX_ONE_TIME_PAIRS, &mut rng), &mut rng);
    assert!(chancery_wire::encode(&upload).len() < Limit::FRAME.bytes());
    let verified = verify(&device, upload).unwrap();
    assert_eq!(verified.pairs().len(), 200);
    assert_eq!(verified.signed().proof.len(), MAX_PROOF_LEN);
    let upload = self::upload(&device, leaves(MAX_ONE_TIME_PAIRS + 1, &mut rng), &mut rng);
    assert_eq!(verify(&device, upload), Err(PrekeyError::Malformed));
}

#[test]
fn proofs_are_those_of_rfc_6962() {
    for size in 1..40_usize {
        let hashes: Vec<Hash> = (0..size).map(|i| merkle::leaf_hash(&i.to_be_bytes())).collect();
        let mut proofs = vec![Vec::new(); size];
        assert_eq!(prove(&hashes, &mut proofs), merkle::root(&hashes));
        for (index, proof) in proofs.iter().enumerate() {
            assert_eq!(Some(proof), merkle::inclusion_proof(&hashes, index).as_ref());
        }
    }
}
