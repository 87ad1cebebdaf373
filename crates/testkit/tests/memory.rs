//! How much memory the worst inputs take: the peak of this process, so nothing else must run in it.
#![allow(
    missing_docs,
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test"
)]
#![cfg(target_os = "linux")]

use std::fs;

use chancery_core::{InitialEnvelope, MAX_CONTENT, Session, respond};
use chancery_crypto::rng::seeded;
use chancery_testkit::company::{Company, NOW};

/// The most that an input may take, in KiB: 4 MiB.
const MOST: u64 = 4 * 1024;

fn status(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// By how many KiB the peak rises above what is taken at the start. What the allocator kept of earlier work does not count.
fn peak(work: impl FnOnce()) -> u64 {
    // Makes the kernel forget the peak so far.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS:");
    work();
    status("VmHWM:").saturating_sub(before)
}

/// What is tried, and how.
type Case<'a> = (&'static str, Box<dyn FnMut() + 'a>);

/// One test, because a second one would run beside it. (R-WIRE-3, R-RATCHET-8, R-RATCHET-11)
#[test]
fn the_worst_inputs_stay_below_four_mebibytes() {
    // That it measures at all.
    let control = peak(|| drop(std::hint::black_box(vec![1_u8; 16 << 20])));
    assert!(control > 15 * 1024, "{control} KiB");

    let company = Company::found(1);
    let rng = &mut seeded([1; 32]);
    let (mut alice, bob, initial) = company.two_sessions(rng);
    let stored = bob.to_bytes();
    // The longest jump twice over, so that the most keys are stored, each time in the longest message.
    let mut chain: Vec<Vec<u8>> = Vec::new();
    for number in 0..2002_usize {
        let long = number % 1001 == 1000;
        let envelope = alice.encrypt(&vec![7; if long { MAX_CONTENT } else { 0 }], rng).unwrap();
        if long {
            chain.push(envelope);
        }
    }
    let mut damaged = chain[0].clone();
    *damaged.last_mut().unwrap() ^= 1;
    let responder = company.bob.responder(&company.organisation);
    let mut longest = initial.clone();
    longest.resize(initial.len().next_multiple_of(512) + 65_536, 7);
    let garbage = vec![0x12; 96 * 1024];

    let read = || Session::from_bytes(stored.expose()).unwrap();
    let mut session = read();
    let cases: [Case<'_>; 5] = [
        (
            "garbage of 96 KiB",
            Box::new(|| assert!(read().decrypt(&garbage, NOW, &mut seeded([2; 32])).is_err())),
        ),
        (
            "a damaged jump",
            Box::new(|| assert!(read().decrypt(&damaged, NOW, &mut seeded([2; 32])).is_err())),
        ),
        (
            "jumps that store the most keys",
            Box::new(|| {
                for envelope in &chain {
                    assert!(session.decrypt(envelope, NOW, &mut seeded([2; 32])).is_ok());
                }
                assert!(Session::from_bytes(session.to_bytes().expose()).is_ok());
            }),
        ),
        (
            "a first message",
            Box::new(|| {
                let parsed = InitialEnvelope::parse(&initial).unwrap();
                assert!(respond(&responder, &parsed, NOW, &mut seeded([2; 32])).is_ok());
            }),
        ),
        (
            "a first message that is too long",
            Box::new(|| {
                let parsed = InitialEnvelope::parse(&longest);
                let opened = parsed.map(|it| respond(&responder, &it, NOW, &mut seeded([2; 32])).is_ok());
                assert!(!opened.unwrap_or(false));
            }),
        ),
    ];
    for (what, mut work) in cases {
        let taken = peak(&mut work);
        println!("{what}: {taken} KiB");
        assert!(taken < MOST, "{what}: {taken} KiB");
    }
}
