//! The Double Ratchet with header encryption: turns, skipped messages and limits.

use alloc::collections::BTreeSet;
use alloc::string::String;

use chancery_crypto::hash::sha256;
use chancery_crypto::rng::seeded;
use chancery_crypto::secret::Secret;

use super::*;
use crate::padding::BodyPlan;
use crate::pq_ratchet::Position;

const BOUND: Bound<'_> = Bound { associated_data: &[6; 32], before: &[] };
const NOW: Timestamp = Timestamp::from_millis(1);

fn secrets() -> InitialSecrets {
    InitialSecrets {
        root_key: RootKey::new(Secret::from_bytes([1; 32])),
        header_key_a: HeaderKey::new(Secret::from_bytes([2; 32])),
        header_key_b: HeaderKey::new(Secret::from_bytes([3; 32])),
        post_quantum: Secret::from_bytes([7; 32]),
    }
}

fn signed_prekey() -> DhSecret {
    DhSecret::from_secret(Secret::from_bytes([4; 32]))
}

/// The initiator of the published vector: its first ratchet key is fixed.
fn initiator() -> DoubleRatchet {
    let ratchet_secret = DhSecret::from_secret(Secret::from_bytes([5; 32]));
    let dh = ratchet_secret.agree(signed_prekey().public()).unwrap();
    let step = secrets().root_key.step(&dh);
    DoubleRatchet {
        root_key: step.root_key,
        ratchet_secret,
        sending: Some(SendingChain {
            header_key: secrets().header_key_a,
            chain_key: step.chain_key,
            next: 0,
        }),
        next_sending_header_key: step.next_header_key,
        ..DoubleRatchet::initiate(secrets(), signed_prekey().public(), &mut seeded([1; 32])).unwrap()
    }
}

fn decrypt(ratchet: &mut DoubleRatchet, bytes: &[u8]) -> Result<Received, NotAuthentic> {
    let message = SessionEnvelope::parse(bytes).unwrap();
    ratchet.decrypt(&Incoming { bound: BOUND, message: &message, now: NOW }, &mut seeded([2; 32]))
}

fn try_encrypt(ratchet: &mut DoubleRatchet, content: &[u8]) -> Option<Vec<u8>> {
    let plan = BodyPlan::new(content.len(), 0).unwrap();
    ratchet.encrypt(BOUND, (content, plan.len), &mut seeded([8; 32]))
}

fn encrypt(ratchet: &mut DoubleRatchet, content: &[u8]) -> Vec<u8> {
    try_encrypt(ratchet, content).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| alloc::format!("{byte:02x}")).collect()
}

/// What an attacker may well know: the post-quantum half of the first message's key.
fn first_post_quantum_key() -> Secret<32> {
    PqRatchet::start(true, &secrets().post_quantum).step().unwrap().message_key
}

/// A message as somebody seals it who chose the keys.
fn forge(header_key: &HeaderKey, chain_key: &ChainKey, header: &Header) -> Vec<u8> {
    let ready = header_key.ready();
    let (tag, sealed_header) = (ready.tag(0), ready.seal(0, header));
    let aad = BOUND.body_aad(&tag, &sealed_header);
    let mut body = begin_body(b"forged", 419).unwrap();
    body.resize(419, 0);
    let message_key = chain_key.step().1.combine(&first_post_quantum_key());
    let body = message_key.seal(&aad, &SecretBytes::new(body));
    [&[SESSION], tag.as_bytes().as_slice(), &sealed_header, &body].concat()
}

#[test]
fn a_responder_does_nothing_before_it_has_a_chain() {
    // R-RATCHET-8
    let mut responder = DoubleRatchet::respond(secrets(), signed_prekey());
    assert!(try_encrypt(&mut responder, b"too early").is_none());
    // Keys that an attacker would guess for a chain that does not exist.
    let header = Header {
        ratchet_key: *DhSecret::generate(&mut seeded([3; 32])).public(),
        previous_chain_len: 0,
        position: Position { epoch: 0, index: 1 },
    };
    for header_key in [[0; 32], [1; 32], [3; 32]].map(|bytes| HeaderKey::new(Secret::from_bytes(bytes))) {
        for chain_key in [[0; 32], [1; 32]].map(|bytes| ChainKey::new(Secret::from_bytes(bytes))) {
            assert!(decrypt(&mut responder, &forge(&header_key, &chain_key, &header)).is_err());
        }
    }
    // With the true header key, a chain key that is not from the root step is worth nothing.
    let zero = ChainKey::new(Secret::from_bytes([0; 32]));
    assert!(decrypt(&mut responder, &forge(&secrets().header_key_a, &zero, &header)).is_err());
    assert!(responder.receiving.is_none() && responder.sending.is_none());
    let first = encrypt(&mut initiator(), b"first");
    assert_eq!(decrypt(&mut responder, &first).unwrap().plaintext.expose(), b"first");
    assert!(try_encrypt(&mut responder, b"now").is_some());
}

#[test]
fn another_ratchet_key_in_the_same_chain_is_refused() {
    // R-RATCHET-8
    let (mut initiator, mut responder) = (initiator(), DoubleRatchet::respond(secrets(), signed_prekey()));
    let first = encrypt(&mut initiator, b"first");
    decrypt(&mut responder, &first).unwrap();
    initiator.ratchet_secret = DhSecret::generate(&mut seeded([4; 32]));
    let second = encrypt(&mut initiator, b"second");
    assert!(decrypt(&mut responder, &second).is_err());
}

#[test]
fn associated_data_and_what_stands_before_are_bound() {
    // R-RATCHET-7, R-ENVELOPE-3
    let first = encrypt(&mut initiator(), b"first");
    let message = SessionEnvelope::parse(&first).unwrap();
    for bound in [Bound { before: b"x", ..BOUND }, Bound { associated_data: &[7; 32], ..BOUND }] {
        let mut responder = DoubleRatchet::respond(secrets(), signed_prekey());
        let incoming = Incoming { bound, message: &message, now: NOW };
        assert!(responder.decrypt(&incoming, &mut seeded([2; 32])).is_err());
    }
}

#[test]
fn both_sides_hold_the_same_keys_after_a_turn() {
    // R-RATCHET-2, R-RATCHET-8
    let (mut initiator, mut responder) = (initiator(), DoubleRatchet::respond(secrets(), signed_prekey()));
    let first = encrypt(&mut initiator, b"first");
    decrypt(&mut responder, &first).unwrap();
    let bytes = |key: &HeaderKey| *key.secret().expose();
    assert_eq!(bytes(&responder.sending.as_ref().unwrap().header_key), [3; 32]);
    assert_eq!(bytes(&initiator.next_receiving_header_key), [3; 32]);
    assert_eq!(bytes(&initiator.next_sending_header_key), bytes(&responder.next_receiving_header_key));
    let reply = encrypt(&mut responder, b"reply");
    decrypt(&mut initiator, &reply).unwrap();
    assert_eq!(initiator.previous_chain_len, 1);
    assert_eq!(bytes(&initiator.next_receiving_header_key), bytes(&responder.next_sending_header_key));
}

#[test]
fn a_peer_that_counts_its_chain_too_short_confuses_no_index() {
    // R-RATCHET-9
    let (mut initiator, mut responder) = (initiator(), DoubleRatchet::respond(secrets(), signed_prekey()));
    for _ in 0..3 {
        let message = encrypt(&mut initiator, b"chain");
        decrypt(&mut responder, &message).unwrap();
    }
    let reply = encrypt(&mut responder, b"reply");
    decrypt(&mut initiator, &reply).unwrap();
    assert_eq!(initiator.previous_chain_len, 3);
    initiator.previous_chain_len = 1;
    let turn = encrypt(&mut initiator, b"turn");
    let mut index: BTreeSet<Tag> = responder.tags().into_iter().collect();
    let change = decrypt(&mut responder, &turn).unwrap().tags;
    change.removed.iter().for_each(|tag| assert!(index.remove(tag)));
    change.added.iter().for_each(|tag| assert!(index.insert(*tag)));
    assert_eq!(index, responder.tags().into_iter().collect());
}

#[test]
fn the_published_vector_holds() {
    // R-RATCHET-15
    let mut ratchet = initiator();
    let sending = ratchet.sending.as_ref().unwrap();
    assert_eq!(hex(ratchet.ratchet_secret.public().as_bytes()), RATCHET_KEY);
    assert_eq!(hex(ratchet.root_key.secret().expose()), ROOT_KEY);
    assert_eq!(hex(sending.chain_key.secret().expose()), CHAIN_KEY);
    assert_eq!(hex(ratchet.next_sending_header_key.secret().expose()), NEXT_HEADER_KEY);
    assert_eq!(hex(sending.chain_key.step().1.secret().expose()), MESSAGE_KEY);
    assert_eq!(hex(sending.header_key.ready().tag(0).as_bytes()), TAG);
    let step = ratchet.post_quantum.step().unwrap();
    assert_eq!(hex(step.message_key.expose()), POST_QUANTUM_KEY);
    let message_key = sending.chain_key.step().1.combine(&step.message_key);
    assert_eq!(hex(message_key.secret().expose()), TRIPLE_KEY);
    let message = encrypt(&mut ratchet, &[0x2A; 417]);
    assert_eq!(message.len(), 512);
    assert_eq!(hex(&message[17..77]), SEALED_HEADER);
    assert_eq!(hex(&sha256(&[&message])), MESSAGE_SHA256);
}

const RATCHET_KEY: &str = "50a61409b1ddd0325e9b16b700e719e9772c07000b1bd7786e907c653d20495d";
const ROOT_KEY: &str = "c05840f7b76205d91d62c5b93103d08ef484d7066fa9492b6e3d6659808a31f9";
const CHAIN_KEY: &str = "982d07e35913a08ec6cee305ec65a9f279053e602a733d4dd892e187e56b0b2f";
const NEXT_HEADER_KEY: &str = "e04781b6fe68b3a32ce58d935c20919506babd4eb7353eec2d8f2dd4307b6a2b";
const MESSAGE_KEY: &str = "fb5a694e3c5d78f102005aef5f8c78d4e15986661c0f480adac8ad3a8de7640d";
const POST_QUANTUM_KEY: &str = "c33c89ccbafc2be4a43e5726c9c990cd48780883aa9b96fef6dfe0231eba6821";
const TRIPLE_KEY: &str = "b221a7f57b09380bf1965368e4a0ca6a275d684a93dfed457acb0b44ce01df9c";
const TAG: &str = "df30014ad810fd32af81c145029aad96";
const SEALED_HEADER: &str = "4567f04210b60b258fb3f2f08d439099ddcb1fd06766b4619e1d11259478e8229e013fd03c4ca9fc995033b8efcbcbf456d9666c7b72daaac1b78135";
const MESSAGE_SHA256: &str = "4d7a3386aa5d74aaf9c8403d52b0a07e18a3228c509f529aa9d61538f35c06a6";
