//! An initiator written from `docs/PROTOCOL.md` alone, line by line, with none of the crate's code: it must
//! be understood, and where it does wrong on purpose, it must be refused.

use chancery_core::{BUCKETS, InitialEnvelope, RespondError, respond};
use chancery_crypto::aead::OneTimeKey;
use chancery_crypto::hash::hash;
use chancery_crypto::kdf::{derive, mac};
use chancery_crypto::kem::KemPublic;
use chancery_crypto::kem_incremental::IncrementalSecret;
use chancery_crypto::label;
use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_crypto::secret::Secret;
use chancery_crypto::x25519::{DhPublic, DhSecret};
use chancery_wire::{encode, proto};

use crate::company::{Company, Device, NOW};

/// What the initiator does otherwise than the book says.
#[derive(Default, Clone, Copy)]
struct Otherwise {
    signed_by_another: bool,
    position: Option<(u32, u32)>,
    padding: u8,
    braid_mac: u8,
    unexpected_frame: bool,
    identity_padding: u8,
    low_order_ratchet_key: bool,
    message_number: u32,
    larger_bucket: bool,
    unbound_message: bool,
    desk_credential: bool,
    to_itself: bool,
}

struct Book {
    envelope: Vec<u8>,
    associated_data: [u8; 32],
    root_key: Secret<32>,
    ratchet_key: DhSecret,
    header_key_b: Secret<32>,
    pq_chain_to_initiator: Secret<32>,
}

#[expect(clippy::too_many_lines, reason = "one text, read from top to bottom beside the document")]
fn initiate(company: &Company, alice: &Device, bob: &Device, otherwise: Otherwise) -> Book {
    let mut rng = seeded([42; 32]);
    let bundle = bob.bundle(Some(0));
    let (spk, opk, kem) = (bundle.signed.unwrap(), bundle.one_time.unwrap(), bundle.kem.unwrap());
    let dh = |secret: &DhSecret, key: &[u8]| secret.agree(&DhPublic::from_bytes(key).unwrap()).unwrap();
    let desk = company.enrol(99, chancery_identity::Capabilities::DESK);
    let alice = if otherwise.desk_credential { &desk } else { alice };
    let alice = if otherwise.to_itself { bob } else { alice };

    // Agreement.
    let ek = DhSecret::generate(&mut rng);
    let dh1 = dh(&alice.keys.identity, &spk.key);
    let dh2 = dh(&ek, bob.credential.identity_key().as_bytes());
    let dh3 = dh(&ek, &spk.key);
    let dh4 = dh(&ek, &opk.key);
    let (ct, ss) = KemPublic::from_bytes(&kem.key).unwrap().encapsulate(&mut rng);

    // Transcript.
    let numbered = |key: &proto::Prekey| [key.id.to_be_bytes().as_slice(), &key.key].concat();
    let (from, to) = (alice.credential.hash(), bob.credential.hash());
    let kem_part = [&[kem.kind as u8], numbered(&kem).as_slice()].concat();
    let p = hash(
        label::HASH_HANDSHAKE,
        &[
            &1_u32.to_be_bytes(),
            &to,
            &numbered(&spk),
            &numbered(&opk),
            &kem_part,
            ek.public().as_bytes(),
            ct.as_bytes(),
        ],
    );

    // Envelope up to the identity.
    let mut envelope = vec![0x11, 0, 1];
    envelope.extend(spk.id.to_be_bytes());
    envelope.extend(opk.id.to_be_bytes());
    envelope.push(kem.kind as u8);
    envelope.extend(kem.id.to_be_bytes());
    envelope.extend(ek.public().as_bytes());
    envelope.extend(ct.as_bytes());

    // Identity.
    let f = [0xFF; 32];
    let ikm: [&[u8]; 5] = [&f, dh2.expose(), dh3.expose(), dh4.expose(), ss.expose()];
    let k_id: Secret<32> = derive(label::KDF_HANDSHAKE_IDENTITY, &[0; 32], &ikm, &p);
    let signer = if otherwise.signed_by_another { &bob.keys.signing } else { &alice.keys.signing };
    let signature = signer.sign(label::SIGN_HANDSHAKE, &[p, from, to].concat(), &mut rng);
    let identity =
        encode(&proto::HandshakeIdentity { credential: Some(alice.credential.signed().clone()), signature });
    let mut padded = (identity.len() as u32).to_be_bytes().to_vec();
    padded.extend(&identity);
    padded.resize(9215, 0);
    padded.push(otherwise.identity_padding);
    let sealed = OneTimeKey::new(k_id).seal(&envelope, &padded);
    envelope.extend(sealed);
    assert_eq!(envelope.len(), 10_368);

    // Session secrets.
    let ikm: [&[u8]; 6] = [&f, dh1.expose(), dh2.expose(), dh3.expose(), dh4.expose(), ss.expose()];
    let context = hash(label::HASH_HANDSHAKE_PARTIES, &[&p, &from, &to]);
    let secrets: Secret<128> = derive(label::KDF_HANDSHAKE_SESSION, &[0; 32], &ikm, &context);
    let (rk, hka): (Secret<32>, Secret<32>) = (secrets.part(0).unwrap(), secrets.part(1).unwrap());
    let ik = [alice.credential.identity_key().as_bytes(), bob.credential.identity_key().as_bytes()];
    let associated_data = hash(label::HASH_SESSION_AD, &[&from, &to, ik[0], ik[1]]);

    // Ratchet: first root step, then message n.
    let ratchet_key = DhSecret::generate(&mut rng);
    let step: Secret<96> = derive(label::KDF_ROOT, rk.expose(), &[dh(&ratchet_key, &spk.key).expose()], &[]);
    let mut ck: Secret<32> = step.part(1).unwrap();
    for _ in 0..otherwise.message_number {
        ck = mac(label::KDF_CHAIN, &ck, &[]);
    }
    let ec_mk = mac(label::KDF_MESSAGE, &ck, &[]);

    // Post-quantum ratchet: start, then message n + 1 of epoch 0.
    let start: Secret<160> =
        derive(label::KDF_PQ_START, &[0; 32], &[secrets.part::<32>(3).unwrap().expose()], &[]);
    let mut pq_ck: Secret<32> = start.part(1).unwrap();
    for index in 1..=otherwise.message_number {
        pq_ck = mac(label::KDF_PQ_CHAIN, &pq_ck, &[&index.to_be_bytes()]);
    }
    let pq_mk = mac(label::KDF_PQ_MESSAGE, &pq_ck, &[&(otherwise.message_number + 1).to_be_bytes()]);
    let mk: Secret<32> = derive(label::KDF_TRIPLE, pq_mk.expose(), &[ec_mk.expose()], &[]);
    let n = otherwise.message_number.to_be_bytes();
    let tag = &mac(label::KDF_TAG, &hka, &[&n]).expose()[..16].to_vec();
    let mut header =
        if otherwise.low_order_ratchet_key { vec![0; 32] } else { ratchet_key.public().as_bytes().to_vec() };
    let (epoch, index) = otherwise.position.unwrap_or((0, otherwise.message_number + 1));
    header.extend([0, 0, 0, 0]);
    header.extend(epoch.to_be_bytes());
    header.extend(index.to_be_bytes());
    let sealed_header = OneTimeKey::new(mac(label::KDF_HEADER, &hka, &[&n])).seal(&[], &header);
    let bucket = if otherwise.larger_bucket { BUCKETS[3] } else { BUCKETS[0] };
    let mut body = 11_u16.to_be_bytes().to_vec();
    body.extend(b"by the book");
    body.extend(braid_frames(&start, otherwise, &mut rng));
    body.resize(bucket - 93 - 1, 0);
    body.push(otherwise.padding);
    let before = if otherwise.unbound_message { &[] } else { envelope.as_slice() };
    let aad = [&associated_data, before, tag, &sealed_header].concat();
    let sealed_body = OneTimeKey::new(mk).seal(&aad, &body);
    envelope.push(0x12);
    envelope.extend(tag);
    envelope.extend(sealed_header);
    envelope.extend(sealed_body);
    Book {
        envelope,
        associated_data,
        root_key: step.part(0).unwrap(),
        ratchet_key,
        header_key_b: secrets.part(2).unwrap(),
        pq_chain_to_initiator: start.part(2).unwrap(),
    }
}

/// The first epoch's key pair: header and first codewords of the vector, or something else (R-BRAID-2, R-BRAID-5).
fn braid_frames(start: &Secret<160>, otherwise: Otherwise, rng: &mut dyn CryptoRng) -> Vec<u8> {
    let (header, vector) = IncrementalSecret::generate(rng).public();
    let key: Secret<32> = start.part(4).unwrap();
    let epoch = 1_u32.to_be_bytes();
    let mut mac = *mac(label::MAC_BRAID_HEADER, &key, &[&epoch, header.as_bytes()]).expose();
    mac[31] ^= otherwise.braid_mac;
    let mut frames = vec![1, 3, 0, 0];
    frames.extend(header.as_bytes());
    frames.extend(mac);
    frames.extend([2, 2, 0, 5]);
    frames.extend(&vector.as_bytes()[5 * 32..7 * 32]);
    if otherwise.unexpected_frame {
        frames.extend([3, 1, 0, 0]);
        frames.extend([7; 32]);
    }
    frames
}

fn outcome(otherwise: Otherwise) -> Result<Vec<u8>, RespondError> {
    let company = Company::found(1);
    let (alice, bob) = company.alice_and_bob();
    let book = initiate(&company, &alice, &bob, otherwise);
    let envelope = InitialEnvelope::parse(&book.envelope).unwrap();
    let accepted = respond(&bob.responder(), &envelope, NOW, &mut seeded([1; 32]))?;
    Ok(accepted.plaintext.expose().to_vec())
}

#[test]
fn an_initiator_by_the_book_is_understood() {
    // R-HANDSHAKE-2, R-HANDSHAKE-4, R-HANDSHAKE-5, R-HANDSHAKE-6, R-HANDSHAKE-7, R-HANDSHAKE-8,
    // R-HANDSHAKE-9, R-RATCHET-1, R-RATCHET-2, R-RATCHET-5, R-RATCHET-6, R-RATCHET-7, R-RATCHET-16, R-RATCHET-18,
    // R-RATCHET-20
    assert_eq!(outcome(Otherwise::default()).unwrap(), b"by the book");
    let larger = Otherwise { larger_bucket: true, ..Otherwise::default() };
    assert_eq!(outcome(larger).unwrap(), b"by the book", "a sender may take a larger bucket");
}

#[test]
fn an_initiator_that_does_otherwise_is_refused() {
    let ok = Otherwise::default();
    let all = [
        // R-HANDSHAKE-6
        ("signature", Otherwise { signed_by_another: true, ..ok }),
        // R-HANDSHAKE-3
        ("capability", Otherwise { desk_credential: true, ..ok }),
        // R-HANDSHAKE-10
        ("own device", Otherwise { to_itself: true, ..ok }),
        // R-HANDSHAKE-7
        ("identity padding", Otherwise { identity_padding: 1, ..ok }),
        // R-HANDSHAKE-10
        ("second message first", Otherwise { message_number: 1, ..ok }),
        // R-ENVELOPE-3
        ("unbound message", Otherwise { unbound_message: true, ..ok }),
        // R-ENVELOPE-5
        ("padding", Otherwise { padding: 1, ..ok }),
        // R-RATCHET-19
        ("epoch", Otherwise { position: Some((1, 1)), ..ok }),
        ("index 0", Otherwise { position: Some((0, 0)), ..ok }),
        ("index 2", Otherwise { position: Some((0, 2)), ..ok }),
        // R-BRAID-5
        ("what vouches for the header", Otherwise { braid_mac: 1, ..ok }),
        // R-BRAID-7
        ("a frame that cannot come yet", Otherwise { unexpected_frame: true, ..ok }),
        // R-RATCHET-12
        ("low order", Otherwise { low_order_ratchet_key: true, ..ok }),
    ];
    for (what, otherwise) in all {
        assert_eq!(outcome(otherwise), Err(RespondError::NotAuthentic), "{what}");
    }
}

#[test]
fn an_answer_is_by_the_book() {
    // R-RATCHET-3, R-RATCHET-4, R-RATCHET-8: the responder's turn, opened from the book's secrets.
    let company = Company::found(1);
    let (alice, bob) = company.alice_and_bob();
    let book = initiate(&company, &alice, &bob, Otherwise::default());
    let envelope = InitialEnvelope::parse(&book.envelope).unwrap();
    let mut rng = seeded([1; 32]);
    let mut session = respond(&bob.responder(), &envelope, NOW, &mut rng).unwrap().session;
    session.encrypt(b"lost", &mut rng).unwrap();
    let answer = session.encrypt(b"answer", &mut rng).unwrap();

    let hk = &book.header_key_b;
    let n = 1_u32.to_be_bytes();
    assert_eq!(answer[0], 0x12);
    assert_eq!(answer[1..17], mac(label::KDF_TAG, hk, &[&n]).expose()[..16]);
    let header = OneTimeKey::new(mac(label::KDF_HEADER, hk, &[&n])).open(&[], &answer[17..77]).unwrap();
    assert_eq!(header.expose()[32..], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2], "PN, epoch 0, index 2");
    let theirs = DhPublic::from_bytes(&header.expose()[..32]).unwrap();
    let dh = book.ratchet_key.agree(&theirs).unwrap();
    let step: Secret<96> = derive(label::KDF_ROOT, book.root_key.expose(), &[dh.expose()], &[]);
    let ck = mac(label::KDF_CHAIN, &step.part(1).unwrap(), &[]);
    let ec_mk = mac(label::KDF_MESSAGE, &ck, &[]);
    let pq_ck = mac(label::KDF_PQ_CHAIN, &book.pq_chain_to_initiator, &[&1_u32.to_be_bytes()]);
    let pq_mk = mac(label::KDF_PQ_MESSAGE, &pq_ck, &[&2_u32.to_be_bytes()]);
    let mk: Secret<32> = derive(label::KDF_TRIPLE, pq_mk.expose(), &[ec_mk.expose()], &[]);
    let aad = [book.associated_data.as_slice(), &answer[1..77]].concat();
    let body = OneTimeKey::new(mk).open(&aad, &answer[77..]).unwrap();
    assert_eq!(body.expose()[..8], *b"\0\x06answer");
    assert_eq!(body.expose()[8], 3, "codewords of ct1");
}
