//! Damaged and forged envelopes: one error, and the state stays byte for byte.

use chancery_core::{
    DecryptError, EnvelopeError, HANDSHAKE_LEN, InitialEnvelope, RespondError, Session, respond,
};
use chancery_crypto::rng::seeded;

use crate::company::{Company, Device, NOW, two_sessions};

/// A session with a message of each sort waiting for it: the next, a later one, a skipped one, a turn.
fn sorts() -> Vec<(&'static str, Session, Vec<u8>)> {
    let mut rng = seeded([3; 32]);
    let mut all = Vec::new();
    let (mut alice, mut bob) = two_sessions();
    let skipped = alice.encrypt(b"skipped", &mut rng).unwrap();
    let second = alice.encrypt(b"second", &mut rng).unwrap();
    let turn = bob.encrypt(b"turn", &mut rng).unwrap();
    all.push(("the next", two_sessions().1, skipped.clone()));
    all.push(("a later one", two_sessions().1, second.clone()));
    bob.decrypt(&second, NOW, &mut rng).unwrap();
    all.push(("a skipped one", bob, skipped));
    all.push(("a turn", alice, turn));
    all
}

#[test]
fn every_truncation_and_every_flipped_byte_of_a_message_changes_nothing() {
    // R-RATCHET-13, R-CRYPTO-3
    for (sort, mut session, envelope) in sorts() {
        let before = session.to_bytes();
        let mut refuse = |bytes: &[u8], what: &str, at: usize| {
            let result = session.decrypt(bytes, NOW, &mut seeded([4; 32]));
            assert_eq!(result.map(|_| ()), Err(DecryptError::NotAuthentic), "{sort}: {what} {at}");
            assert_eq!(session.to_bytes().expose(), before.expose(), "{sort}: {what} {at}");
        };
        for len in 0..envelope.len() {
            refuse(&envelope[..len], "cut to", len);
        }
        refuse(&[envelope.as_slice(), &[0; 512]].concat(), "longer", 1024);
        for at in 0..envelope.len() {
            let mut bad = envelope.clone();
            bad[at] ^= 1 << (at % 8);
            refuse(&bad, "flipped", at);
        }
        assert!(session.decrypt(&envelope, NOW, &mut seeded([4; 32])).is_ok(), "{sort}");
    }
}

fn attempt(bob: &Device, bytes: &[u8]) -> Result<(), Result<RespondError, EnvelopeError>> {
    let envelope = InitialEnvelope::parse(bytes).map_err(Err)?;
    respond(&bob.responder(), &envelope, NOW, &mut seeded([5; 32])).map(|_| ()).map_err(Ok)
}

#[test]
fn no_byte_of_an_initial_envelope_can_be_changed() {
    // R-HANDSHAKE-10, R-ENVELOPE-3, R-CRYPTO-3
    let (alice, bob) = Company::found(1).alice_and_bob();
    let envelope = alice.write_to(&bob, b"hello", &mut seeded([6; 32])).envelope;
    let positions = (0..64).chain((64..envelope.len()).step_by(61)).chain(HANDSHAKE_LEN..HANDSHAKE_LEN + 80);
    for at in positions {
        let mut bad = envelope.clone();
        bad[at] ^= 0x40;
        let expected = match at {
            // Kind and suite; the session message's kind.
            0..3 | HANDSHAKE_LEN => Err(EnvelopeError::UnsupportedVersion),
            // Kind of the KEM prekey.
            11 => Err(EnvelopeError::Malformed),
            3..16 => Ok(RespondError::UnknownPrekey),
            _ => Ok(RespondError::NotAuthentic),
        };
        assert_eq!(attempt(&bob, &bad).unwrap_err(), expected, "byte {at}");
    }
    for len in (0..envelope.len()).step_by(53) {
        assert!(matches!(attempt(&bob, &envelope[..len]), Err(Err(_))), "cut to {len}");
    }
    assert_eq!(attempt(&bob, &envelope), Ok(()));
}

#[test]
fn handshake_and_message_cannot_be_exchanged() {
    // R-ENVELOPE-3: the message is bound to the bytes before it, the session to the message's key.
    let (alice, bob) = Company::found(1).alice_and_bob();
    let mut rng = seeded([7; 32]);
    let first = alice.write_to(&bob, b"first", &mut rng);
    let second = alice.write_to(&bob, b"second", &mut rng);
    let spliced = [&first.envelope[..HANDSHAKE_LEN], &second.envelope[HANDSHAKE_LEN..]].concat();
    assert_eq!(attempt(&bob, &spliced), Err(Ok(RespondError::NotAuthentic)));
    // A later message of the same session does not stand in for the first.
    let mut session = first.session;
    let later = session.encrypt(b"later", &mut rng).unwrap();
    let spliced = [&first.envelope[..HANDSHAKE_LEN], &later].concat();
    assert_eq!(attempt(&bob, &spliced), Err(Ok(RespondError::NotAuthentic)));
    // The first message without its handshake is nothing.
    let envelope = InitialEnvelope::parse(&first.envelope).unwrap();
    let mut accepted = respond(&bob.responder(), &envelope, NOW, &mut rng).unwrap().session;
    assert!(accepted.decrypt(&first.envelope[HANDSHAKE_LEN..], NOW, &mut rng).is_err());
}
