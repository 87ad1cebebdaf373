//! Handshakes, and what is refused.

use chancery_core::{
    BatchError, BatchPlan, Bundle, BundleError, InitialEnvelope, InitiateError, MAX_CONTENT, PrekeyKind,
    RespondError, generate_batch, initiate, respond,
};
use chancery_crypto::rng::seeded;
use chancery_identity::prekey::{MAX_ONE_TIME_PAIRS, PrekeyError, VerifiedUpload};
use chancery_identity::{Capabilities, IdentityError};
use chancery_wire::{Unverified, encode, proto};

use crate::company::{Company, DAY, Device, NOW, Prekeys};

fn verify(device: &Device, bundle: proto::PrekeyBundle) -> Result<Bundle, BundleError> {
    let expected = (&device.credential.member_id(), &device.credential.device_id());
    Bundle::verify(Unverified::new(bundle), &device.organisation, expected, NOW)
}

#[test]
fn a_handshake_with_one_time_prekeys_names_them_for_deletion() {
    // R-HANDSHAKE-11
    let (alice, mut bob) = Company::found(1).alice_and_bob();
    let mut rng = seeded([1; 32]);
    let initiated = alice.write_to(&bob, b"hello", &mut rng);
    let envelope = InitialEnvelope::parse(&initiated.envelope).unwrap();
    let accepted = respond(&bob.responder(), &envelope, NOW, &mut rng).unwrap();
    assert_eq!(accepted.plaintext.expose(), b"hello");
    assert_eq!(accepted.peer, alice.credential);
    assert_eq!(accepted.session.peer_device(), alice.credential.device_id());
    assert_eq!(initiated.session.peer_device(), bob.credential.device_id());
    assert_eq!(accepted.session.id(), initiated.session.id());
    assert!(!accepted.last_resort);
    let kinds: Vec<_> = accepted.used.iter().map(|id| id.kind).collect();
    assert_eq!(kinds, [PrekeyKind::OneTimeCurve, PrekeyKind::OneTimeKem]);
    accepted.used.iter().for_each(|id| assert!(bob.prekeys.0.remove(id).is_some()));
    let again = respond(&bob.responder(), &envelope, NOW, &mut rng);
    assert_eq!(again.unwrap_err(), RespondError::UnknownPrekey);
}

#[test]
fn without_one_time_prekeys_a_replay_has_the_same_name() {
    // R-HANDSHAKE-11: the caller's replay record refuses the second.
    let (alice, bob) = Company::found(1).alice_and_bob();
    let mut rng = seeded([2; 32]);
    let bundle = bob.verified_bundle(None);
    assert!(bundle.is_last_resort() && !bob.verified_bundle(Some(1)).is_last_resort());
    let initiated = initiate(alice.local(), &bundle, b"hello", NOW, &mut rng).unwrap();
    let envelope = InitialEnvelope::parse(&initiated.envelope).unwrap();
    let first = respond(&bob.responder(), &envelope, NOW, &mut rng).unwrap();
    let replay = respond(&bob.responder(), &envelope, NOW, &mut rng).unwrap();
    assert!(first.used.is_empty() && first.last_resort);
    assert_eq!(first.handshake, replay.handshake);
    let other = initiate(alice.local(), &bundle, b"hello", NOW, &mut rng).unwrap();
    let envelope = InitialEnvelope::parse(&other.envelope).unwrap();
    assert_ne!(respond(&bob.responder(), &envelope, NOW, &mut rng).unwrap().handshake, first.handshake);
}

#[test]
fn both_may_start_at_once_and_both_sessions_work() {
    let (alice, bob) = Company::found(1).alice_and_bob();
    let mut rng = seeded([3; 32]);
    let mut from_alice = alice.write_to(&bob, b"from alice", &mut rng);
    let mut from_bob = bob.write_to(&alice, b"from bob", &mut rng);
    let envelope = InitialEnvelope::parse(&from_alice.envelope).unwrap();
    let mut at_bob = respond(&bob.responder(), &envelope, NOW, &mut rng).unwrap();
    let envelope = InitialEnvelope::parse(&from_bob.envelope).unwrap();
    let mut at_alice = respond(&alice.responder(), &envelope, NOW, &mut rng).unwrap();
    assert_ne!(at_alice.session.id(), at_bob.session.id());
    for (one, other) in
        [(&mut from_alice.session, &mut at_bob.session), (&mut from_bob.session, &mut at_alice.session)]
    {
        let answer = other.encrypt(b"answer", &mut rng).unwrap();
        assert_eq!(one.decrypt(&answer, NOW, &mut rng).unwrap().plaintext.expose(), b"answer");
        let thanks = one.encrypt(b"thanks", &mut rng).unwrap();
        assert_eq!(other.decrypt(&thanks, NOW, &mut rng).unwrap().plaintext.expose(), b"thanks");
    }
}

#[test]
fn several_messages_follow_the_first_without_an_answer() {
    let (alice, bob) = Company::found(1).alice_and_bob();
    let mut rng = seeded([3; 32]);
    let mut initiated = alice.write_to(&bob, b"0", &mut rng);
    let more: Vec<_> = (1..4_u8).map(|i| initiated.session.encrypt(&[i], &mut rng).unwrap()).collect();
    let envelope = InitialEnvelope::parse(&initiated.envelope).unwrap();
    let mut session = respond(&bob.responder(), &envelope, NOW, &mut rng).unwrap().session;
    for (i, envelope) in (1..4_u8).zip(&more) {
        assert_eq!(session.decrypt(envelope, NOW, &mut rng).unwrap().plaintext.expose(), [i]);
    }
}

#[test]
fn the_first_envelope_names_nobody() {
    // R-HANDSHAKE-5
    let (alice, bob) = Company::found(1).alice_and_bob();
    let envelope = alice.write_to(&bob, b"hello", &mut seeded([4; 32])).envelope;
    let credential = &alice.credential;
    let found = |needle: &[u8]| envelope.windows(needle.len()).any(|window| window == needle);
    assert!(!found(credential.member_id().as_bytes()));
    assert!(!found(credential.device_id().as_bytes()));
    assert!(!found(credential.identity_key().as_bytes()));
    assert!(!found(&credential.signing_key().as_bytes()[..32]));
    assert!(!found(&credential.hash()));
    assert!(!found(bob.credential.device_id().as_bytes()));
    assert!(found(&envelope[16..48]), "the search finds what is there");
}

#[test]
fn first_envelope_and_bundle_fit_into_12_kib() {
    let company = Company::found(1);
    let (alice, bob) = company.alice_and_bob();
    let envelope = alice.write_to(&bob, b"hello", &mut seeded([5; 32])).envelope;
    assert_eq!(envelope.len(), 10_368 + 512);
    // The largest batch has the longest proofs.
    let plan = BatchPlan {
        device_id: bob.credential.device_id(),
        sequence: u64::MAX,
        first_id: u32::MAX - 2 * MAX_ONE_TIME_PAIRS - 2,
        one_time_pairs: MAX_ONE_TIME_PAIRS,
        expires: NOW.after(DAY),
    };
    let batch = generate_batch(&bob.keys, &plan, &mut seeded([6; 32])).unwrap();
    let upload = VerifiedUpload::verify(Unverified::new(batch.upload), &bob.credential, 1, NOW).unwrap();
    let bob = Device { upload, ..bob };
    let bundle = encode(&bob.bundle(Some(7)));
    assert!(bundle.len() <= 12 * 1024, "{} bytes", bundle.len());
    assert!(verify(&bob, bob.bundle(Some(7))).is_ok());
}

#[test]
fn a_batch_has_one_number_for_each_prekey_and_only_so_many() {
    // R-PREKEY-100, R-PREKEY-101
    let (_, bob) = Company::found(1).alice_and_bob();
    let good = BatchPlan {
        device_id: bob.credential.device_id(),
        sequence: 2,
        first_id: 40,
        one_time_pairs: 2,
        expires: NOW.after(DAY),
    };
    let make = |plan: &BatchPlan| generate_batch(&bob.keys, plan, &mut seeded([7; 32]));
    let batch = make(&good).unwrap();
    let ids: Vec<_> = batch.secrets.iter().map(|(id, secret)| (id.id, secret.expose().len())).collect();
    assert_eq!(ids, [(40, 64), (41, 64), (42, 64), (43, 64), (44, 64), (45, 64)]);
    assert_eq!(batch.next_id, 46);
    assert!(VerifiedUpload::verify(Unverified::new(batch.upload), &bob.credential, 1, NOW).is_ok());
    let error = |plan: BatchPlan| make(&plan).unwrap_err();
    assert_eq!(error(BatchPlan { first_id: 0, ..good }), BatchError::OutOfRange);
    assert_eq!(error(BatchPlan { sequence: 0, ..good }), BatchError::OutOfRange);
    assert_eq!(error(BatchPlan { one_time_pairs: MAX_ONE_TIME_PAIRS + 1, ..good }), BatchError::OutOfRange);
    assert_eq!(error(BatchPlan { first_id: u32::MAX - 5, ..good }), BatchError::Exhausted);
    assert!(make(&BatchPlan { first_id: u32::MAX - 6, ..good }).is_ok());
}

#[test]
fn a_bundle_with_a_prekey_in_another_place_is_refused() {
    // R-PREKEY-102
    let (_, bob) = Company::found(1).alice_and_bob();
    let good = bob.bundle(Some(0));
    let with = |change: &dyn Fn(&mut proto::PrekeyBundle)| {
        let mut bundle = good.clone();
        change(&mut bundle);
        verify(&bob, bundle).map(|_| ()).unwrap_err()
    };
    assert_eq!(with(&|b| b.credential = None), BundleError::Malformed);
    assert_eq!(with(&|b| b.batch = None), BundleError::Malformed);
    assert_eq!(with(&|b| b.signed = None), BundleError::Malformed);
    assert_eq!(with(&|b| b.kem = None), BundleError::Malformed);
    assert_eq!(with(&|b| b.signed = b.one_time.clone()), BundleError::Malformed);
    assert_eq!(with(&|b| b.one_time = b.signed.clone()), BundleError::Malformed);
    assert_eq!(with(&|b| b.one_time = b.kem.clone()), BundleError::Malformed);
    assert_eq!(with(&|b| b.kem = b.one_time.clone()), BundleError::Malformed);
    // A last-resort key cannot pose as a one-time key: the kind is in the leaf.
    let pose = with(&|b| {
        b.kem = bob.bundle(None).kem;
        b.kem.as_mut().unwrap().kind = PrekeyKind::OneTimeKem.number().into();
    });
    assert_eq!(pose, BundleError::Prekeys(PrekeyError::NotAuthentic));
    let other_number = with(&|b| b.signed.as_mut().unwrap().id += 1);
    assert_eq!(other_number, BundleError::Prekeys(PrekeyError::NotAuthentic));
    let forged = with(&|b| b.batch.as_mut().unwrap().signature[100] ^= 1);
    assert_eq!(forged, BundleError::Prekeys(PrekeyError::NotAuthentic));
    let forged = with(&|b| b.credential.as_mut().unwrap().signature[100] ^= 1);
    assert_eq!(forged, BundleError::Credential(IdentityError::NotAuthentic));
    // A mixture is allowed: PQXDH needs no pairs.
    let mut mixture = good.clone();
    mixture.one_time = None;
    assert!(!verify(&bob, mixture).unwrap().is_last_resort());
}

#[test]
fn a_bundle_of_somebody_else_is_refused() {
    // R-PREKEY-102
    let company = Company::found(1);
    let (alice, bob) = company.alice_and_bob();
    assert_eq!(verify(&alice, bob.bundle(Some(0))).unwrap_err(), BundleError::WrongDevice);
    let mut mixed = bob.bundle(Some(0));
    mixed.batch = alice.bundle(None).batch;
    assert!(matches!(verify(&bob, mixed), Err(BundleError::Prekeys(_))));
    let desk = company.enrol(33, Capabilities::DESK);
    assert_eq!(verify(&desk, desk.bundle(Some(0))).unwrap_err(), BundleError::WrongDevice);
    let (_, stranger) = Company::found(2).alice_and_bob();
    let bundle = stranger.bundle(Some(0));
    let expected = (&stranger.credential.member_id(), &stranger.credential.device_id());
    let result = Bundle::verify(Unverified::new(bundle), &bob.organisation, expected, NOW);
    assert!(matches!(result, Err(BundleError::Credential(_))));
}

#[test]
fn an_initiator_refuses_what_cannot_work() {
    // R-HANDSHAKE-3
    let company = Company::found(1);
    let (alice, bob) = company.alice_and_bob();
    let bundle = bob.verified_bundle(Some(0));
    let start =
        |local, text: &[u8], now| initiate(local, &bundle, text, now, &mut seeded([8; 32])).unwrap_err();
    let long = vec![0; MAX_CONTENT + 1];
    let too_long = InitiateError::TooLong { len: MAX_CONTENT + 1, limit: MAX_CONTENT };
    assert_eq!(start(alice.local(), &long, NOW), too_long);
    assert_eq!(start(alice.local(), b"", NOW.after(DAY * 60)), InitiateError::BundleExpired);
    assert_eq!(start(bob.local(), b"", NOW), InitiateError::OwnDevice);
    let mixed = chancery_core::Local { credential: &alice.credential, keys: &bob.keys };
    assert_eq!(start(mixed, b"", NOW), InitiateError::OwnCredential);
    let desk = company.enrol(33, Capabilities::DESK);
    assert_eq!(start(desk.local(), b"", NOW), InitiateError::OwnCredential);
    let (stranger, _) = Company::found(2).alice_and_bob();
    assert_eq!(start(stranger.local(), b"", NOW), InitiateError::OwnCredential);
    assert!(initiate(alice.local(), &bundle, &long[1..], NOW, &mut seeded([8; 32])).is_ok());
}

#[test]
fn an_initiator_refuses_credentials_that_have_expired_since() {
    // R-HANDSHAKE-3: prekeys that outlive the credential are worth nothing without it.
    let (alice, bob) = Company::found(1).alice_and_bob();
    let plan = BatchPlan {
        device_id: bob.credential.device_id(),
        sequence: 2,
        first_id: 100,
        one_time_pairs: 1,
        expires: NOW.after(DAY * 1000),
    };
    let batch = generate_batch(&bob.keys, &plan, &mut seeded([6; 32])).unwrap();
    let upload = VerifiedUpload::verify(Unverified::new(batch.upload), &bob.credential, 1, NOW).unwrap();
    let bob = Device { upload, ..bob };
    let bundle = bob.verified_bundle(Some(0));
    let start = |now| initiate(alice.local(), &bundle, b"", now, &mut seeded([8; 32])).map(|_| ());
    assert_eq!(start(NOW.after(DAY * 364)), Ok(()));
    assert_eq!(start(NOW.after(DAY * 365)), Err(InitiateError::BundleExpired));
}

#[test]
fn a_responder_believes_its_own_organisation_and_its_own_clock_only() {
    // R-HANDSHAKE-10
    let company = Company::found(1);
    let (alice, bob) = company.alice_and_bob();
    let mut rng = seeded([9; 32]);
    let initiated = alice.write_to(&bob, b"hello", &mut rng);
    let envelope = InitialEnvelope::parse(&initiated.envelope).unwrap();
    let expired = respond(&bob.responder(), &envelope, NOW.after(DAY * 365), &mut rng);
    assert_eq!(expired.unwrap_err(), RespondError::NotAuthentic);
    let elsewhere = Company::found(2).organisation;
    let mut responder = bob.responder();
    responder.organisation = &elsewhere;
    assert_eq!(respond(&responder, &envelope, NOW, &mut rng).unwrap_err(), RespondError::NotAuthentic);
    // Another device with prekeys of the same numbers.
    let carol = company.enrol(33, Capabilities::MEMBER);
    assert_eq!(
        respond(&carol.responder(), &envelope, NOW, &mut rng).unwrap_err(),
        RespondError::NotAuthentic
    );
    // Secrets of a wrong length are none.
    let broken = Prekeys(bob.prekeys.0.iter().map(|(id, secret)| (*id, secret[1..].to_vec())).collect());
    let mut responder = bob.responder();
    responder.prekeys = &broken;
    assert_eq!(respond(&responder, &envelope, NOW, &mut rng).unwrap_err(), RespondError::UnknownPrekey);
    assert!(respond(&bob.responder(), &envelope, NOW, &mut rng).is_ok());
}
