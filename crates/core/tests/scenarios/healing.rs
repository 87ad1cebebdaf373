//! How the post-quantum ratchet heals: figures, loss, one-sided and quiet sessions, sizes.

use std::time::Duration;

use chancery_core::{EncryptError, MAX_REFRESH_CONTENT, REFRESH_ANSWER_INTERVAL, REFRESH_INTERVAL, Session};
use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_wire::{Limit, Timestamp, decode, proto};

use crate::company::{NOW, copy_of, two_sessions};

fn record(session: &Session) -> proto::PostQuantum {
    let record: proto::SessionRecord =
        decode(session.to_bytes().expose(), Limit::RECORD).unwrap().into_unchecked();
    record.post_quantum.unwrap()
}

/// The epochs in which a side sends, and in which it has received.
fn epochs(session: &Session) -> (u32, u32) {
    let record = record(session);
    (record.sending.unwrap().epoch, record.receiving.unwrap().epoch)
}

fn deliver(from: &mut Session, to: &mut Session, len: usize, rng: &mut dyn CryptoRng) -> usize {
    // R-RATCHET-14: the record is the session, at every step, and stays small.
    (*from, *to) = (copy_of(from), copy_of(to));
    let content = vec![7; len];
    let envelope = from.encrypt(&content, rng).unwrap();
    assert_eq!(to.decrypt(&envelope, NOW, rng).unwrap().plaintext.expose(), content);
    for session in [from, to] {
        assert!(session.to_bytes().expose().len() <= 4096, "{} bytes", session.to_bytes().expose().len());
    }
    envelope.len()
}

/// Messages in alternation, the first one included, until both sides have sent under `epoch`; and their bytes.
fn until(epoch: u32, len: usize) -> (u32, usize) {
    let mut rng = seeded([1; 32]);
    let (mut alice, mut bob) = two_sessions();
    // The first message came with the handshake; it had five bytes, as many codewords as one of forty.
    let (mut count, mut bytes) = (1, 512);
    loop {
        let (a, b) = (epochs(&alice), epochs(&bob));
        assert!(a.0.abs_diff(b.0) <= 1 && a.1 <= b.0 && b.1 <= a.0, "epochs agree");
        if a.1 >= epoch && b.1 >= epoch {
            return (count, bytes);
        }
        let (from, to) = if count % 2 == 1 { (&mut bob, &mut alice) } else { (&mut alice, &mut bob) };
        bytes += deliver(from, to, len, &mut rng);
        count += 1;
        assert!(count < 400);
    }
}

#[test]
fn chat_messages_heal_within_twelve_and_cost_no_byte() {
    // R-BRAID-8
    for (len, most) in [(40, 12), (200, 18), (1000, 8)] {
        let (count, bytes) = until(1, len);
        let (later, _) = until(4, len);
        let bucket = [512, 1024, 2048].into_iter().find(|bucket| *bucket >= len + 95).unwrap();
        println!(
            "{len:>5} bytes: healed after {count} messages, then every {:.1}; {:.0} bytes a message with the \
             post-quantum ratchet, {bucket} without",
            f64::from(later - count) / 3.0,
            (bytes - 512) as f64 / f64::from(count - 1),
        );
        assert!(count <= most, "{len} bytes: {count} messages");
    }
    let (count, bytes) = until(1, 40);
    assert_eq!(bytes, 512 * count as usize);
}

#[test]
fn messages_that_fill_their_bucket_heal_too() {
    // R-ENVELOPE-6
    let (count, bytes) = until(1, 417);
    println!("  417 bytes: healed after {count} messages, {} bytes a message", bytes / count as usize);
    assert!(count <= 200, "{count}");
    assert!(bytes <= 512 * (count as usize + count as usize / 8 + 2));
}

#[test]
fn sessions_heal_though_every_third_message_is_lost() {
    // R-BRAID-4
    let mut rng = seeded([2; 32]);
    let (mut alice, mut bob) = two_sessions();
    let mut messages = 0;
    while epochs(&alice).1 < 3 || epochs(&bob).1 < 3 {
        deliver(&mut bob, &mut alice, 40, &mut rng);
        alice.encrypt(&[7; 40], &mut rng).unwrap();
        deliver(&mut alice, &mut bob, 40, &mut rng);
        messages += 3;
        assert!(messages < 200);
    }
}

#[test]
fn a_long_chain_without_an_answer_carries_no_more_than_is_of_use() {
    // R-BRAID-4: and the answer lets it go on.
    let mut rng = seeded([3; 32]);
    let (mut alice, mut bob) = two_sessions();
    deliver(&mut bob, &mut alice, 40, &mut rng);
    for _ in 0..40 {
        deliver(&mut alice, &mut bob, 40, &mut rng);
    }
    let out = record(&alice).braid.unwrap().vector_out.unwrap();
    assert_eq!((out.allowance, out.next), (0, 9 + 72));
    deliver(&mut bob, &mut alice, 40, &mut rng);
    assert_eq!(record(&alice).braid.unwrap().vector_out.unwrap().allowance, 72);
}

/// Lets time pass, minute by minute, and sends what the sessions want; returns the messages and the bytes of one.
fn quiet(alice: &mut Session, bob: &mut Session, from: Timestamp, time: Duration) -> Vec<usize> {
    let mut rng = seeded([4; 32]);
    let mut sent = Vec::new();
    let minutes = u32::try_from(time.as_secs() / 60).unwrap();
    for minute in 0..minutes {
        let now = from.after(Duration::from_secs(60) * minute);
        for _ in 0..2 {
            if alice.wants_refresh(now) {
                (*alice, *bob) = (copy_of(alice), copy_of(bob));
                let content = [7; MAX_REFRESH_CONTENT];
                let envelope = alice.refresh_with(&content, now, &mut rng).unwrap();
                assert_eq!(bob.decrypt(&envelope, now, &mut rng).unwrap().plaintext.expose(), content);
                sent.push(envelope.len());
                assert!(!alice.wants_refresh(now));
            }
            std::mem::swap(alice, bob);
        }
    }
    sent
}

#[test]
fn a_quiet_session_heals_once_a_day_and_is_quiet_again() {
    // R-RATCHET-22
    let (mut alice, mut bob) = two_sessions();
    let day = REFRESH_INTERVAL;
    let nothing = quiet(&mut alice, &mut bob, NOW, day);
    assert!(nothing.is_empty(), "a fresh session wants nothing");
    let sent = quiet(&mut alice, &mut bob, NOW.after(day), day / 2);
    assert!((3..=8).contains(&sent.len()), "{} messages", sent.len());
    assert!(sent.iter().all(|len| *len == 2048));
    assert!(epochs(&alice).1 >= 1 && epochs(&bob).1 >= 1, "both sides have heard of the epoch");
    let again = quiet(&mut alice, &mut bob, NOW.after(day + day / 2), day * 3);
    assert!((9..=30).contains(&again.len()), "{} messages in three days", again.len());
    assert!(epochs(&alice).1 >= 4);
}

#[test]
fn a_session_in_which_one_side_writes_heals_by_the_other() {
    // R-RATCHET-22
    let mut rng = seeded([5; 32]);
    let (mut alice, mut bob) = two_sessions();
    let mut answers = 0;
    for hour in 0..72 {
        let now = NOW.after(Duration::from_secs(3600) * hour);
        let envelope = alice.encrypt(&[7; 40], &mut rng).unwrap();
        bob.decrypt(&envelope, now, &mut rng).unwrap();
        if bob.wants_refresh(now) {
            let envelope = bob.refresh(now, &mut rng).unwrap();
            alice.decrypt(&envelope, now, &mut rng).unwrap();
            answers += 1;
        }
    }
    assert!(epochs(&alice).0 >= 1 && epochs(&bob).0 >= 1, "{:?} {:?}", epochs(&alice), epochs(&bob));
    assert!(answers <= 12, "{answers}");
}

#[test]
fn a_peer_that_never_heals_costs_one_small_message_a_minute_at_most() {
    // R-RATCHET-22
    let mut rng = seeded([6; 32]);
    let (mut alice, mut bob) = two_sessions();
    let late = NOW.after(REFRESH_INTERVAL * 2);
    let mut count = 0;
    for second in 0..600 {
        let now = late.after(Duration::from_secs(1) * second);
        if bob.wants_refresh(now) {
            bob.refresh(now, &mut rng).unwrap();
            count += 1;
        }
        // A message that carries nothing, so that no epoch ever ends.
        let envelope = alice.encrypt(&[7; 417], &mut rng).unwrap();
        bob.decrypt(&envelope, now, &mut rng).unwrap();
    }
    assert_eq!(count, 10);
    assert_eq!(REFRESH_ANSWER_INTERVAL.as_secs(), 60);
}

#[test]
fn a_refreshing_message_says_a_few_words_at_most() {
    // R-RATCHET-22
    let mut rng = seeded([9; 32]);
    let (mut alice, _) = two_sessions();
    let long = alice.refresh_with(&[7; MAX_REFRESH_CONTENT + 1], NOW, &mut rng);
    assert_eq!(long, Err(EncryptError::TooLong { len: MAX_REFRESH_CONTENT + 1, limit: MAX_REFRESH_CONTENT }));
}

#[test]
fn a_policy_sets_another_interval() {
    // R-RATCHET-22
    let (alice, _) = two_sessions();
    let hour = Duration::from_secs(3600);
    assert!(!alice.wants_refresh(NOW.after(hour)));
    assert!(alice.wants_refresh_after(hour, NOW.after(hour)));
    assert!(!alice.wants_refresh_after(hour, NOW));
}
