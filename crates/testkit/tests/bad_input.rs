//! Keys that nobody may use, and envelopes with any bit wrong, at every place where a key or an envelope is read.
#![allow(
    missing_docs,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test"
)]

use std::time::{Duration, Instant};

use chancery_core::{Bundle, HANDSHAKE_LEN, InitialEnvelope, RespondError, Session, respond};
use chancery_crypto::aead::OneTimeKey;
use chancery_crypto::kdf::derive;
use chancery_crypto::rng::seeded;
use chancery_crypto::secret::Secret;
use chancery_crypto::signature::SigningKey;
use chancery_crypto::{label, merkle};
use chancery_identity::prekey::leaf_hash;
use chancery_identity::{DeviceKeys, sign};
use chancery_org::{DeviceLink, LinkRequest, Orderer, OrgError, approve, request_by_link};
use chancery_testkit::company::{Company, NOW, RELAY_PIN, RELAY_URL};
use chancery_wire::proto::{
    self, CredentialBody, DeskBody, DeviceLinkRequest, PrekeyBatchBody, PrekeyBundle,
};
use chancery_wire::{Limit, Unverified, decode, encode};

/// X25519 keys that R-CRYPTO-6 refuses: all u-coordinates of small order, and values that are not canonical.
fn doubtful_curve_keys() -> Vec<[u8; 32]> {
    let hex = |text: &str| -> [u8; 32] {
        core::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
    };
    let below_two_255 = |last: u8| {
        let mut key = [0xFF; 32];
        (key[0], key[31]) = (last, 0x7F);
        key
    };
    let mut one = [0; 32];
    one[0] = 1;
    let mut top_bit = [9; 32];
    top_bit[31] |= 0x80;
    vec![
        [0; 32],
        one,
        hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        hex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
        below_two_255(0xEC),
        below_two_255(0xED),
        below_two_255(0xEE),
        below_two_255(0xFF),
        [0xFF; 32],
        top_bit,
    ]
}

/// Ed25519 keys that R-CRYPTO-10 refuses: of small order, or not canonical.
fn doubtful_signing_keys() -> Vec<[u8; 32]> {
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut minus_identity = identity;
    minus_identity[31] = 0x80;
    let mut order_two = [0xFF; 32];
    (order_two[0], order_two[31]) = (0xEC, 0x7F);
    vec![[0; 32], identity, minus_identity, order_two, [0xFF; 32]]
}

fn company() -> Company {
    Company::found(1)
}

/// The enrolling issuer, out of the desk's keys: version (1), issuer (32), seed (64).
fn issuer(company: &Company) -> SigningKey {
    SigningKey::from_seed(Secret::from_slice(&company.desk_keys.expose()[33..97]).unwrap())
}

#[test]
fn a_credential_with_a_doubtful_key_is_refused_although_it_is_signed_r_id_3_r_crypto_6_r_crypto_10() {
    let (company, rng) = (company(), &mut seeded([1; 32]));
    let (issuer, genuine) = (issuer(&company), company.alice.credential.signed());
    let body: CredentialBody = decode(&genuine.body, Limit::STATEMENT).unwrap().into_unchecked();
    let mut verify = |body: &CredentialBody| {
        let signed = sign::sign_credential(&issuer, body, rng);
        company.organisation.verify_credential(Unverified::new(signed), NOW).is_ok()
    };
    assert!(verify(&body));
    for key in doubtful_curve_keys() {
        assert!(!verify(&CredentialBody { identity_key: key.to_vec(), ..body.clone() }), "{key:x?}");
    }
    for key in doubtful_signing_keys() {
        assert!(!verify(&CredentialBody { group_key: key.to_vec(), ..body.clone() }), "{key:x?}");
        let signing_key = [&key, &body.signing_key[32..]].concat();
        assert!(!verify(&CredentialBody { signing_key, ..body.clone() }), "{key:x?}");
    }
    // Each key's length, and none at all.
    for len in [0, 31, 33] {
        assert!(!verify(&CredentialBody { identity_key: vec![9; len], ..body.clone() }));
        assert!(!verify(&CredentialBody { group_key: vec![9; len], ..body.clone() }));
        assert!(!verify(&CredentialBody { signing_key: vec![9; len], ..body.clone() }));
    }
}

#[test]
fn a_desk_with_a_doubtful_key_is_refused_although_it_is_signed_r_id_9_r_crypto_6_r_crypto_7() {
    let (company, rng) = (company(), &mut seeded([2; 32]));
    let (issuer, document) = (issuer(&company), company.organisation.as_proto().clone());
    let genuine = document.desk.clone().unwrap();
    let body: DeskBody = decode(&genuine.body, Limit::STATEMENT).unwrap().into_unchecked();
    let mut verify = |body: &DeskBody| {
        let desk = Some(sign::sign_desk(&issuer, body, rng));
        let document = proto::Organisation { desk, ..document.clone() };
        chancery_identity::Organisation::verify(Unverified::new(document), None).is_ok()
    };
    assert!(verify(&body));
    for key in doubtful_curve_keys() {
        assert!(!verify(&DeskBody { dh_key: key.to_vec(), ..body.clone() }), "{key:x?}");
    }
    // Coefficients that are not reduced.
    let kem_key = [&[0xFF; 1152], &body.kem_key[1152..]].concat();
    assert!(!verify(&DeskBody { kem_key, ..body.clone() }));
}

/// Bob's bundle, signed anew after `change` to its three prekeys; a batch of one signed key, one pair and a last resort.
fn bundle(company: &Company, change: impl FnOnce(&mut [proto::Prekey; 3])) -> PrekeyBundle {
    let bob = &company.bob;
    let genuine = bob.bundle(Some(0));
    let mut keys =
        [genuine.signed.clone().unwrap(), genuine.one_time.clone().unwrap(), genuine.kem.clone().unwrap()];
    let last_resort = bob.bundle(None).kem.unwrap();
    change(&mut keys);
    let [signed, one_time, kem] = keys;
    let mut leaves = [signed, one_time, kem, last_resort];
    let hash = |leaf: &proto::Prekey| {
        let kind = chancery_core::PrekeyKind::from_number(leaf.kind).unwrap();
        leaf_hash(&bob.credential.device_id(), chancery_core::PrekeyId { kind, id: leaf.id }, &leaf.key)
    };
    let hashes: Vec<_> = leaves.iter().map(hash).collect();
    for (index, leaf) in leaves.iter_mut().enumerate() {
        leaf.index = index as u32;
        leaf.proof = merkle::inclusion_proof(&hashes, index).unwrap().iter().map(|it| it.to_vec()).collect();
    }
    let body = PrekeyBatchBody {
        device_id: bob.credential.device_id().as_bytes().to_vec(),
        sequence: 9,
        size: 4,
        root: merkle::root(&hashes).to_vec(),
        expires: NOW.as_millis() + 1,
    };
    let batch = Some(sign::sign_prekey_batch(&bob.keys.signing, &body, &mut seeded([3; 32])));
    let [signed, one_time, kem, _] = leaves;
    PrekeyBundle { batch, signed: Some(signed), one_time: Some(one_time), kem: Some(kem), ..genuine }
}

#[test]
fn a_bundle_with_a_doubtful_key_is_refused_although_the_device_signed_it_r_prekey_102_r_crypto_6() {
    let company = company();
    let expected = (&company.bob.credential.member_id(), &company.bob.credential.device_id());
    let verify = |bundle| Bundle::verify(Unverified::new(bundle), &company.organisation, expected, NOW);
    assert!(verify(bundle(&company, |_| {})).is_ok());
    for key in doubtful_curve_keys() {
        assert!(verify(bundle(&company, |keys| keys[0].key = key.to_vec())).is_err(), "signed {key:x?}");
        assert!(verify(bundle(&company, |keys| keys[1].key = key.to_vec())).is_err(), "one-time {key:x?}");
    }
    for len in [0, 31, 33, 1183, 1185] {
        assert!(verify(bundle(&company, |keys| keys[0].key = vec![9; len])).is_err());
        assert!(verify(bundle(&company, |keys| keys[1].key = vec![9; len])).is_err());
        assert!(verify(bundle(&company, |keys| keys[2].key = vec![9; len])).is_err());
    }
    assert!(verify(bundle(&company, |keys| keys[2].key[..1152].fill(0xFF))).is_err(), "not reduced");
}

#[test]
fn parts_of_a_bundle_can_be_neither_swapped_nor_stripped_nor_mixed_r_prekey_102() {
    let company = company();
    let (bob, alice) = (&company.bob, &company.alice);
    let expected = (&bob.credential.member_id(), &bob.credential.device_id());
    let verify = |bundle| Bundle::verify(Unverified::new(bundle), &company.organisation, expected, NOW);
    let (one, other) = (bob.bundle(Some(0)), bob.bundle(Some(1)));
    assert!(verify(one.clone()).is_ok());
    let newer = bundle(&company, |_| {});
    let theirs = alice.bundle(Some(0));
    let refused: [(&str, PrekeyBundle); 12] = [
        ("no credential", PrekeyBundle { credential: None, ..one.clone() }),
        ("no batch", PrekeyBundle { batch: None, ..one.clone() }),
        ("no signed prekey", PrekeyBundle { signed: None, ..one.clone() }),
        ("no KEM prekey", PrekeyBundle { kem: None, ..one.clone() }),
        ("of another batch: signed", PrekeyBundle { signed: newer.signed.clone(), ..one.clone() }),
        ("of another batch: one-time", PrekeyBundle { one_time: newer.one_time.clone(), ..one.clone() }),
        ("of another batch: KEM", PrekeyBundle { kem: newer.kem.clone(), ..one.clone() }),
        ("head of another batch", PrekeyBundle { batch: newer.batch, ..one.clone() }),
        ("head of another device", PrekeyBundle { batch: theirs.batch.clone(), ..one.clone() }),
        ("credential of another device", PrekeyBundle { credential: theirs.credential, ..one.clone() }),
        (
            "curve keys exchanged",
            PrekeyBundle { signed: one.one_time.clone(), one_time: one.signed.clone(), ..one.clone() },
        ),
        ("a curve key for the KEM", PrekeyBundle { kem: one.one_time.clone(), ..one.clone() }),
    ];
    for (what, bundle) in refused {
        assert!(verify(bundle).is_err(), "{what}");
    }
    // What the relay may do: no one-time curve key, or parts of two pairs of one batch.
    assert!(verify(PrekeyBundle { one_time: None, ..one.clone() }).is_ok());
    assert!(verify(PrekeyBundle { kem: other.kem, ..one }).is_ok());
}

#[test]
fn an_ephemeral_key_of_small_order_gets_no_other_answer_than_a_wrong_tag_r_crypto_3_r_crypto_6() {
    let company = company();
    let (_, _, initial) = company.two_sessions(&mut seeded([4; 32]));
    let responder = company.bob.responder(&company.organisation);
    let order = order(&company);
    for key in doubtful_curve_keys() {
        let mut bad = initial.clone();
        bad[16..48].copy_from_slice(&key);
        let error =
            InitialEnvelope::parse(&bad).map(|it| respond(&responder, &it, NOW, &mut seeded([5; 32])));
        assert!(matches!(error, Err(_) | Ok(Err(RespondError::NotAuthentic))), "{key:x?}");
        let mut bad = company.alice.pending.envelope().to_vec();
        bad[1..33].copy_from_slice(&key);
        assert!(matches!(company.answer(&bad), Err(OrgError::NotAuthentic)), "{key:x?}");
        let mut bad = order.clone();
        bad[1..33].copy_from_slice(&key);
        assert!(matches!(carry_out(&company, &bad), Err(OrgError::NotAuthentic)), "{key:x?}");
    }
}

fn device_link(company: &Company) -> DeviceLink {
    let names = (company.organisation.id(), company.alice.credential.device_id());
    DeviceLink::new(names, (RELAY_URL, RELAY_PIN), NOW, &mut seeded([6; 32]))
}

/// A newcomer's request by alice's link, in clear and sealed.
fn link_request(company: &Company, link: &DeviceLink) -> (DeviceLinkRequest, Vec<u8>) {
    let (rng, keys) = (&mut seeded([7; 32]), DeviceKeys::generate(&mut seeded([8; 32])));
    let asked = request_by_link(link, &company.organisation, &keys, NOW, rng).unwrap();
    let body = DeviceLinkRequest {
        signing_key: keys.signing.verifying_key().as_bytes().to_vec(),
        identity_key: keys.identity.public().as_bytes().to_vec(),
        group_key: keys.group.verifying_key().as_bytes().to_vec(),
        request: asked.envelope().to_vec(),
    };
    (body, link.seal_request(&keys, asked.envelope(), rng).unwrap())
}

/// Alice's order to add the newcomer.
fn order(company: &Company) -> Vec<u8> {
    let link = device_link(company);
    let (_, envelope) = link_request(company, &link);
    let seen = LinkRequest::open(&link.org_id, &link.secret, &envelope).unwrap();
    let (credential, keys) = (&company.alice.credential, &company.alice.keys);
    let by = Orderer { organisation: &company.organisation, credential, keys };
    approve(by, &seen, NOW, &mut seeded([9; 32])).unwrap().envelope().to_vec()
}

fn carry_out(company: &Company, envelope: &[u8]) -> Result<(), OrgError> {
    company.desk.carry_out(&company.desk_disk, envelope, NOW, &mut seeded([10; 32])).map(drop)
}

#[test]
fn a_link_request_with_a_doubtful_key_is_ignored_although_it_is_sealed_r_org_16() {
    let company = company();
    let link = device_link(&company);
    let (body, genuine) = link_request(&company, &link);
    let open = |body: &DeviceLinkRequest| {
        let (head, salt) = (&genuine[..49], &genuine[17..49]);
        let context = [link.org_id.as_bytes().as_slice(), &link.link_id].concat();
        let key = OneTimeKey::new(derive(label::KDF_DEVICE_LINK, salt, &[link.secret.expose()], &context));
        let encoded = encode(body);
        let mut plaintext = [&(encoded.len() as u32).to_be_bytes(), encoded.as_slice()].concat();
        plaintext.resize(12_288, 0);
        let envelope = [head, &key.seal(head, &plaintext)].concat();
        LinkRequest::open(&link.org_id, &link.secret, &envelope).is_ok()
    };
    assert!(open(&body));
    for key in doubtful_curve_keys() {
        assert!(!open(&DeviceLinkRequest { identity_key: key.to_vec(), ..body.clone() }), "{key:x?}");
    }
    for key in doubtful_signing_keys() {
        assert!(!open(&DeviceLinkRequest { group_key: key.to_vec(), ..body.clone() }), "{key:x?}");
        let signing_key = [&key, &body.signing_key[32..]].concat();
        assert!(!open(&DeviceLinkRequest { signing_key, ..body.clone() }), "{key:x?}");
    }
    for len in [0, 9328, 9330] {
        assert!(!open(&DeviceLinkRequest { request: vec![0x13; len], ..body.clone() }), "{len}");
    }
}

/// Every length but the right one, and every bit, `step` apart and all of the first 64 bytes.
fn spoilt(envelope: &[u8], step: usize) -> impl Iterator<Item = Vec<u8>> + '_ {
    let cuts = (0..envelope.len()).filter(move |len| len % step == 0 || *len < 64);
    let longer = [1, 16, 512].map(|more| [envelope, &vec![0; more]].concat());
    let bits = (0..envelope.len() * 8).filter(move |bit| bit % step == 0 || *bit < 64 * 8);
    let flipped = bits.map(|bit| {
        let mut bad = envelope.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        bad
    });
    cuts.map(|len| envelope[..len].to_vec()).chain(longer).chain(flipped)
}

#[test]
fn every_cut_and_every_flipped_bit_of_what_goes_to_a_desk_or_by_a_link_is_one_error_r_crypto_3() {
    let company = company();
    let link = device_link(&company);
    let (_, request) = link_request(&company, &link);
    assert!(LinkRequest::open(&link.org_id, &link.secret, &request).is_ok());
    for bad in spoilt(&request, 61) {
        assert!(LinkRequest::open(&link.org_id, &link.secret, &bad).is_err());
    }
    let order = order(&company);
    assert!(carry_out(&company, &order).is_ok());
    for bad in spoilt(&order, 997) {
        assert!(matches!(carry_out(&company, &bad), Err(OrgError::NotAuthentic)));
    }
    for bad in spoilt(company.alice.pending.envelope(), 997) {
        assert!(matches!(company.answer(&bad), Err(OrgError::NotAuthentic)));
    }
}

/// The median of so many failures, in which nothing but the attempt counts.
fn median_failure(attempts: usize, mut attempt: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..attempts).map(|_| attempt()).collect();
    times.sort_unstable();
    times[attempts / 2]
}

/// The first check and the last take about the same, within a ratio that no busy machine reaches by chance. What is left
/// goes by lengths, which whoever sent the message knows, and by the public key operations behind the first seal.
#[test]
fn the_first_check_and_the_last_take_about_as_long_r_crypto_3() {
    const MOST: u32 = 50;
    let company = company();
    let (mut alice, bob, initial) = company.two_sessions(&mut seeded([11; 32]));
    let envelope = alice.encrypt(b"short", &mut seeded([12; 32])).unwrap();
    let stored = bob.to_bytes();
    let time = |at: usize| {
        let mut bad = envelope.clone();
        bad[at] ^= 1;
        median_failure(51, || {
            let mut bob = Session::from_bytes(stored.expose()).unwrap();
            let begin = Instant::now();
            assert!(bob.decrypt(&bad, NOW, &mut seeded([13; 32])).is_err());
            begin.elapsed()
        })
    };
    let (tag, header, body) = (time(1), time(20), time(envelope.len() - 1));
    println!("unknown tag {tag:?}, header {header:?}, body {body:?}");
    assert!(header < MOST * body && body < MOST * header, "header {header:?}, body {body:?}");

    let responder = company.bob.responder(&company.organisation);
    let time = |at: usize| {
        let mut bad = initial.clone();
        bad[at] ^= 1;
        median_failure(15, || {
            let begin = Instant::now();
            let parsed = InitialEnvelope::parse(&bad).unwrap();
            assert!(respond(&responder, &parsed, NOW, &mut seeded([14; 32])).is_err());
            begin.elapsed()
        })
    };
    let (identity, message) = (time(HANDSHAKE_LEN - 1), time(initial.len() - 1));
    println!("identity {identity:?}, first message {message:?}");
    assert!(identity < MOST * message && message < MOST * identity, "{identity:?}, {message:?}");
}
