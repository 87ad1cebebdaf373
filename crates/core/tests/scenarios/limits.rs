//! Limits: how far a jump may go, how long keys are kept, where counters end.

use chancery_core::{
    DecryptError, EncryptError, MAX_SKIP, MAX_SKIPPED, SKIPPED_KEY_LIFETIME, Session, SessionEnvelope, WINDOW,
};
use chancery_crypto::rng::seeded;
use chancery_wire::{Limit, Timestamp, decode, encode, proto};

use crate::company::{NOW, two_sessions};

fn send(from: &mut Session, count: u32) -> Vec<Vec<u8>> {
    (0..count).map(|n| from.encrypt(&n.to_be_bytes(), &mut seeded([1; 32])).unwrap()).collect()
}

fn receive(to: &mut Session, envelope: &[u8], now: Timestamp) -> Result<Vec<u8>, DecryptError> {
    let decrypted = to.decrypt(envelope, now, &mut seeded([2; 32]))?;
    Ok(decrypted.plaintext.expose().to_vec())
}

fn edit(session: &Session, change: impl FnOnce(&mut proto::SessionRecord)) -> Session {
    let mut record: proto::SessionRecord =
        decode(session.to_bytes().expose(), Limit::RECORD).unwrap().into_unchecked();
    change(&mut record);
    Session::from_bytes(&encode(&record)).unwrap()
}

#[test]
fn a_jump_may_pass_over_a_thousand_messages_and_no_more() {
    // R-RATCHET-8
    let (mut alice, mut bob) = two_sessions();
    let envelopes = send(&mut alice, MAX_SKIP + 2);
    let [at_limit, beyond] = [MAX_SKIP, MAX_SKIP + 1].map(|n| envelopes[n as usize].clone());
    let tag = |envelope: &[u8]| SessionEnvelope::parse(envelope).unwrap().tag();
    assert!(bob.search(&tag(&at_limit)) && !bob.search(&tag(&beyond)));
    let before = bob.to_bytes();
    assert_eq!(receive(&mut bob, &beyond, NOW), Err(DecryptError::NotAuthentic));
    assert_eq!(bob.to_bytes().expose(), before.expose());
    assert_eq!(receive(&mut bob, &at_limit, NOW), Ok(MAX_SKIP.to_be_bytes().to_vec()));
    assert_eq!(bob.tags().len(), (MAX_SKIP + 2 * WINDOW) as usize);
    assert_eq!(receive(&mut bob, &beyond, NOW), Ok((MAX_SKIP + 1).to_be_bytes().to_vec()));
    assert_eq!(receive(&mut bob, &envelopes[500], NOW), Ok(500_u32.to_be_bytes().to_vec()));
}

#[test]
fn the_rest_of_an_ended_chain_counts_as_a_jump() {
    // R-RATCHET-8
    for (lost, works) in [(MAX_SKIP, true), (MAX_SKIP + 1, false)] {
        let (mut alice, mut bob) = two_sessions();
        send(&mut alice, lost);
        let reply = send(&mut bob, 1).remove(0);
        receive(&mut alice, &reply, NOW).unwrap();
        let turn = send(&mut alice, 1).remove(0);
        let before = bob.to_bytes();
        assert_eq!(receive(&mut bob, &turn, NOW).is_ok(), works, "{lost} lost");
        assert_eq!(bob.to_bytes().expose() != before.expose(), works);
    }
}

#[test]
fn the_oldest_skipped_keys_make_room() {
    // R-RATCHET-11
    let (mut alice, mut bob) = two_sessions();
    let envelopes = send(&mut alice, 3 * (MAX_SKIP + 1));
    for jump in 1..=3 {
        receive(&mut bob, &envelopes[(jump * (MAX_SKIP + 1) - 1) as usize], NOW).unwrap();
    }
    assert_eq!(bob.tags().len(), MAX_SKIPPED + 2 * WINDOW as usize);
    assert!(receive(&mut bob, &envelopes[MAX_SKIP as usize - 1], NOW).is_err(), "of the first jump");
    assert!(receive(&mut bob, &envelopes[MAX_SKIP as usize + 1], NOW).is_ok(), "of the second");
    let record = bob.to_bytes();
    assert!(record.expose().len() < 140 * 1024, "{} bytes", record.expose().len());
    assert!(Session::from_bytes(record.expose()).is_ok());
}

#[test]
fn a_late_message_decrypts_for_thirty_days() {
    // R-RATCHET-11
    let late = NOW.after(SKIPPED_KEY_LIFETIME);
    let in_time = Timestamp::from_millis(late.as_millis() - 1);
    for (now, works) in [(in_time, true), (late, false)] {
        let (mut alice, mut bob) = two_sessions();
        let envelopes = send(&mut alice, 2);
        receive(&mut bob, &envelopes[1], NOW).unwrap();
        assert_eq!(receive(&mut bob, &envelopes[0], now).is_ok(), works);
        let removed = bob.expire(now).removed;
        assert_eq!(removed.len(), usize::from(!works));
        assert!(!removed.iter().any(|tag| bob.tags().contains(tag)));
    }
}

#[test]
fn a_chain_ends_before_its_counter_overflows() {
    // R-RATCHET-10
    let (alice, bob) = two_sessions();
    let last = u32::MAX - 1;
    let mut alice = edit(&alice, |record| record.sending.as_mut().unwrap().next = last);
    let mut bob = edit(&bob, |record| {
        // The chain keys of both stand at the same step; only the numbers are changed.
        record.receiving.as_mut().unwrap().next = last;
    });
    let envelope = send(&mut alice, 1).remove(0);
    let before = alice.to_bytes();
    assert_eq!(alice.encrypt(b"", &mut seeded([1; 32])), Err(EncryptError::Exhausted));
    assert_eq!(alice.to_bytes().expose(), before.expose());

    assert_eq!(bob.tags().len(), 1 + WINDOW as usize, "one number is left, and the next chain");
    assert!(receive(&mut bob, &envelope, NOW).is_ok());
    assert_eq!(bob.tags().len(), WINDOW as usize);
    assert!(receive(&mut bob, &envelope, NOW).is_err());
    // An answer starts new chains, and both go on.
    let answer = send(&mut bob, 1).remove(0);
    receive(&mut alice, &answer, NOW).unwrap();
    let more = send(&mut alice, 1).remove(0);
    assert!(receive(&mut bob, &more, NOW).is_ok());
}

#[test]
fn a_record_with_more_skipped_keys_than_allowed_is_refused() {
    // R-RATCHET-14
    let (session, _) = two_sessions();
    let mut record: proto::SessionRecord =
        decode(session.to_bytes().expose(), Limit::RECORD).unwrap().into_unchecked();
    let key = proto::SkippedKey { tag: vec![1; 16], message_key: vec![2; 32], stored_at: 3, epoch: 0 };
    record.skipped = vec![key; MAX_SKIPPED];
    assert!(Session::from_bytes(&encode(&record)).is_ok());
    record.skipped.push(record.skipped[0].clone());
    assert!(Session::from_bytes(&encode(&record)).is_err());
    record.skipped.clear();
    record.sending = None;
    assert!(Session::from_bytes(&encode(&record)).is_err(), "a session can always send");
}
