//! What do sessions cost, in microseconds and in X25519 multiplications of the same run?
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    reason = "a measurement"
)]

use std::hint::black_box;
use std::time::Instant;

use chancery_benches::{NOW, two_devices};
use chancery_core::{Bundle, InitialEnvelope, Session, initiate, respond};
use chancery_crypto::rng::seeded;
use chancery_crypto::x25519::DhSecret;
use chancery_wire::Unverified;

const RUNS: usize = 400;

/// Median time of one run in microseconds; `prepare` is not measured.
fn median<S, T>(mut prepare: impl FnMut() -> S, mut run: impl FnMut(S) -> T) -> f64 {
    let mut times: Vec<u128> = (0..RUNS)
        .map(|_| {
            let input = prepare();
            let start = Instant::now();
            black_box(run(black_box(input)));
            start.elapsed().as_nanos()
        })
        .collect();
    times.sort_unstable();
    times[RUNS / 2] as f64 / 1000.0
}

fn main() {
    let mut rng = seeded([1; 32]);
    let (alice, bob) = two_devices(&mut rng);
    let (ours, theirs) = (DhSecret::generate(&mut rng), DhSecret::generate(&mut rng));
    let dh = median(|| (), |()| ours.agree(theirs.public()).unwrap());
    let report = |what: &str, micros: f64| println!("{what:<58} {micros:>9.1} µs {:>7.2} DH", micros / dh);
    report("one X25519", dh);

    let raw = bob.bundle();
    let expected = (&bob.credential.member_id(), &bob.credential.device_id());
    let verify = |bundle| Bundle::verify(bundle, &alice.organisation, expected, NOW).unwrap();
    report("verify a bundle", median(|| Unverified::new(raw.clone()), verify));
    let verified = bob.verified_bundle();
    let mut other = seeded([2; 32]);
    report(
        "first contact, initiator, bundle verified",
        median(|| (), |()| initiate(alice.local(), &verified, &[7; 256], NOW, &mut other).unwrap()),
    );
    let first = initiate(alice.local(), &verified, &[7; 256], NOW, &mut rng).unwrap();
    let envelope = InitialEnvelope::parse(&first.envelope).unwrap();
    report(
        "first contact, responder",
        median(|| (), |()| respond(&bob.responder(), &envelope, NOW, &mut other).unwrap()),
    );
    println!("{:<58} {:>9} bytes", "first envelope with 256 bytes", first.envelope.len());

    let accepted = respond(&bob.responder(), &envelope, NOW, &mut rng).unwrap();
    let (mut a, mut b) = (first.session, accepted.session);
    turn(&mut b, &mut a);
    turn(&mut a, &mut b);
    let (mut from, mut to) = (a.to_bytes(), b.to_bytes());
    let mut seal_rng = seeded([3; 32]);
    let mut open_rng = seeded([4; 32]);
    let sealed = median(|| (), |()| a.encrypt(&[7; 256], &mut seal_rng).unwrap());
    report("seal 256 bytes, same chain", sealed);
    // The receiver catches up over the messages that were measured and thrown away.
    let mut queue: Vec<Vec<u8>> = (0..RUNS).map(|_| a.encrypt(&[7; 256], &mut seal_rng).unwrap()).collect();
    queue.reverse();
    let opened = median(|| queue.pop().unwrap(), |message| b.decrypt(&message, NOW, &mut open_rng).unwrap());
    report("open 256 bytes, same chain", opened);
    report("seal and open together", sealed + opened);
    // As a device does it: the session is read from its record and written again for every message.
    let recorded = median(
        || (),
        |()| {
            let mut session = Session::from_bytes(from.expose()).unwrap();
            let envelope = session.encrypt(&[7; 256], &mut seal_rng).unwrap();
            from = session.to_bytes();
            let mut session = Session::from_bytes(to.expose()).unwrap();
            session.decrypt(&envelope, NOW, &mut open_rng).unwrap();
            to = session.to_bytes();
        },
    );
    report("seal and open, each from bytes and to bytes", recorded);
    println!("{:<58} {:>9} bytes", "stored sessions", from.expose().len().max(to.expose().len()));
    let mut pair = (a, b);
    report(
        "a message with a turn, sealed and opened",
        median(
            || (),
            |()| {
                turn(&mut pair.0, &mut pair.1);
                std::mem::swap(&mut pair.0, &mut pair.1);
            },
        ),
    );
    println!("{:<58} {:>9} bytes", "stored session", pair.0.to_bytes().expose().len());
}

fn turn(from: &mut Session, to: &mut Session) {
    let mut rng = seeded([9; 32]);
    let message = from.encrypt(&[7; 256], &mut rng).unwrap();
    to.decrypt(&message, NOW, &mut rng).unwrap();
}
