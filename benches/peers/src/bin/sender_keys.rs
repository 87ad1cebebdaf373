//! What does a message to a group of 1,000 cost beside libsignal's sender keys, in one process and in turns?
//!
//! `cargo run --release --bin sender_keys` in `benches/peers`. Ours is padded, hides sender and generation and commits to its
//! key; libsignal's stands in its in-memory store. `stored`: what is kept of the epoch is read and written for every
//! message, with 16 senders known.

use std::hint::black_box;
use std::time::Instant;

use chancery_benches::groups::Company;
use chancery_crypto::rng::seeded;
use futures_util::FutureExt;
use libsignal_protocol::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use uuid::Uuid;
use x25519_dalek::{PublicKey, StaticSecret};

const ROUNDS: usize = 4_001;
const CONTENT: [u8; 256] = [7; 256];
const GROUP: Uuid = Uuid::from_u128(7);

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

fn timed<T>(times: &mut Vec<u128>, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let out = black_box(run());
    times.push(start.elapsed().as_nanos());
    out
}

fn main() {
    let mut rng = StdRng::seed_from_u64(1);
    let address = ProtocolAddress::new("alice".into(), DeviceId::new(1).unwrap());
    let [mut from, mut to] =
        [1, 2].map(|id| InMemSignalProtocolStore::new(IdentityKeyPair::generate(&mut rng), id).unwrap());
    let first = now(create_sender_key_distribution_message(&address, GROUP, &mut from, &mut rng)).unwrap();
    let first = SenderKeyDistributionMessage::try_from(first.serialized()).unwrap();
    now(process_sender_key_distribution_message(&address, &first, &mut to)).unwrap();

    let mut ours = seeded([1; 32]);
    let mut company = Company::new(1_000, &mut ours);
    company.know_senders(16);
    let Company { administrator, member, .. } = &mut company;
    let key = *administrator.credential.group_key();
    let (secret, public) = (StaticSecret::from([7; 32]), PublicKey::from(&StaticSecret::from([9; 32])));
    let mut kept = [administrator.messages().to_bytes(), member.messages().to_bytes()];
    let mut times: [Vec<u128>; 7] = Default::default();
    let mut overhead = 0;
    for _ in 0..ROUNDS {
        let [dh, send, receive, stored_send, stored_receive, their_send, their_receive] = &mut times;
        timed(dh, || black_box(&secret).diffie_hellman(black_box(&public)));
        let message = timed(send, || administrator.seal(&CONTENT, &mut ours));
        timed(receive, || member.open(&key, &message));
        let [ours_kept, theirs_kept] = &mut kept;
        (*ours_kept, *theirs_kept) = (administrator.messages().to_bytes(), member.messages().to_bytes());
        let message =
            timed(stored_send, || administrator.stored(ours_kept, |it| it.seal(&CONTENT, &mut ours)));
        timed(stored_receive, || member.stored(theirs_kept, |it| it.open(&key, &message)));
        let message = timed(their_send, || {
            now(group_encrypt(&mut from, &address, GROUP, &CONTENT, &mut rng)).unwrap().serialized().to_vec()
        });
        overhead = message.len() - CONTENT.len();
        timed(their_receive, || now(group_decrypt(&message, &mut to, &address)).unwrap());
    }
    let [dh, send, receive, stored_send, stored_receive, their_send, their_receive] =
        times.map(|mut times| {
            times.sort_unstable();
            times[times.len() / 2] as f64 / 1000.0
        });
    println!("256 bytes to a group; one X25519 (x25519-dalek): {dh:.1} µs; medians of {ROUNDS}\n");
    println!("{:<28} {:>8} {:>8} {:>8} {:>8} {:>9}", "", "send µs", "DH", "recv µs", "DH", "overhead");
    let overhead_ours = chancery_group::MESSAGE_OVERHEAD;
    for (name, send, receive, overhead) in [
        ("chancery", send, receive, overhead_ours),
        ("chancery, stored", stored_send, stored_receive, overhead_ours),
        ("libsignal sender keys", their_send, their_receive, overhead),
    ] {
        println!(
            "{name:<28} {send:>8.1} {:>8.2} {receive:>8.1} {:>8.2} {overhead:>9}",
            send / dh,
            receive / dh
        );
    }
}
