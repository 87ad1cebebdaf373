//! Two devices in conversation.

use chancery_core::{DecryptError, EncryptError, MAX_CONTENT, RecordError, Session, SessionEnvelope};
use chancery_crypto::rng::seeded;

use crate::company::{NOW, copy_of, two_sessions};

fn say(from: &mut Session, text: &[u8]) -> Vec<u8> {
    from.encrypt(text, &mut seeded([1; 32])).unwrap()
}

#[track_caller]
fn hear(to: &mut Session, envelope: &[u8], text: &[u8]) {
    // The record is the session: what was written and read back goes on in its place.
    *to = copy_of(to);
    let decrypted = to.decrypt(envelope, NOW, &mut seeded([to.tags().len() as u8; 32])).unwrap();
    assert_eq!(decrypted.plaintext.expose(), text);
}

#[test]
fn a_conversation_goes_back_and_forth() {
    let (mut alice, mut bob) = two_sessions();
    assert_eq!(alice.id(), bob.id());
    assert!(!alice.has_received() && bob.has_received());
    for round in 0..5_u8 {
        for i in 0..3 {
            let text = [b'b', round, i];
            let envelope = say(&mut bob, &text);
            hear(&mut alice, &envelope, &text);
        }
        let text = [b'a', round];
        let envelope = say(&mut alice, &text);
        hear(&mut bob, &envelope, &text);
    }
    assert!(alice.has_received());
}

#[test]
fn a_reply_after_a_lost_message_still_decrypts() {
    let (mut alice, mut bob) = two_sessions();
    let _lost = say(&mut alice, b"lost");
    let arrives = say(&mut alice, b"arrives");
    hear(&mut bob, &arrives, b"arrives");
    let reply = say(&mut bob, b"reply");
    hear(&mut alice, &reply, b"reply");
}

#[test]
fn messages_of_an_earlier_chain_arrive_after_the_turn() {
    // R-RATCHET-8, R-RATCHET-11
    let (mut alice, mut bob) = two_sessions();
    let late: Vec<_> = (0..3).map(|i| say(&mut alice, &[i])).collect();
    let reply = say(&mut bob, b"reply");
    hear(&mut alice, &reply, b"reply");
    let next = say(&mut alice, b"next chain");
    hear(&mut bob, &next, b"next chain");
    for (i, envelope) in late.iter().enumerate().rev() {
        hear(&mut bob, envelope, &[i as u8]);
    }
}

#[test]
fn a_duplicate_is_refused_and_changes_nothing() {
    // R-RATCHET-13
    let (mut alice, mut bob) = two_sessions();
    let (first, second) = (say(&mut alice, b"1"), say(&mut alice, b"2"));
    hear(&mut bob, &second, b"2");
    hear(&mut bob, &first, b"1");
    let before = bob.to_bytes();
    for envelope in [&first, &second] {
        let again = bob.decrypt(envelope, NOW, &mut seeded([2; 32]));
        assert_eq!(again.unwrap_err(), DecryptError::NotAuthentic);
        assert_eq!(bob.to_bytes().expose(), before.expose());
        assert!(!bob.search(&SessionEnvelope::parse(envelope).unwrap().tag()));
    }
}

#[test]
fn a_message_to_oneself_is_refused() {
    let (mut alice, mut bob) = two_sessions();
    let envelope = say(&mut alice, b"mirror");
    assert!(alice.decrypt(&envelope, NOW, &mut seeded([2; 32])).is_err());
    let reply = say(&mut bob, b"reply");
    assert!(bob.decrypt(&reply, NOW, &mut seeded([2; 32])).is_err());
}

#[test]
fn a_message_is_as_long_as_its_bucket() {
    // R-ENVELOPE-4
    let (mut alice, mut bob) = two_sessions();
    for (len, expected) in [(0, 512), (417, 512), (418, 1024), (MAX_CONTENT, 65536)] {
        let text = vec![7; len];
        let envelope = say(&mut alice, &text);
        assert_eq!(envelope.len(), expected);
        hear(&mut bob, &envelope, &text);
    }
    let before = alice.to_bytes();
    let too_long = alice.encrypt(&vec![7; MAX_CONTENT + 1], &mut seeded([1; 32]));
    assert_eq!(too_long, Err(EncryptError::TooLong { len: MAX_CONTENT + 1, limit: MAX_CONTENT }));
    assert_eq!(alice.to_bytes().expose(), before.expose());
}

#[test]
fn nothing_repeats_on_the_wire() {
    let (mut alice, _) = two_sessions();
    let (a, b) = (say(&mut alice, b"same"), say(&mut alice, b"same"));
    assert_eq!(a[0], b[0]);
    let equal = a.iter().zip(&b).skip(1).filter(|(a, b)| a == b).count();
    assert!(equal < 20, "{equal} of 511 bytes are equal");
}

#[test]
fn a_damaged_record_is_refused_and_a_newer_one_is_named() {
    // R-RATCHET-14
    let (session, _) = two_sessions();
    let bytes = session.to_bytes();
    for len in 0..bytes.expose().len() {
        assert_eq!(Session::from_bytes(&bytes.expose()[..len]).unwrap_err(), RecordError::Damaged, "{len}");
    }
    let mut newer = bytes.expose().to_vec();
    assert_eq!(newer[..2], [0x08, 1], "field 1, version 1");
    newer[1] = 2;
    let error = Session::from_bytes(&newer).unwrap_err();
    assert_eq!(error, RecordError::NewerVersion { found: 2, supported: 1 });
    newer[1] = 0;
    assert_eq!(Session::from_bytes(&newer).unwrap_err(), RecordError::Damaged);
}

#[test]
fn nothing_secret_prints() {
    let (mut alice, mut bob) = two_sessions();
    let envelope = say(&mut alice, b"text");
    let decrypted = bob.decrypt(&envelope, NOW, &mut seeded([2; 32])).unwrap();
    assert_eq!(format!("{alice:?}"), "Session(..)");
    assert!(format!("{decrypted:?}").contains("SecretBytes(..)"));
}
