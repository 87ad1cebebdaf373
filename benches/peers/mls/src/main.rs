//! What do groups cost beside those of MLS, in one process and in turns?
//!
//! `cargo run --release [members [fresh]]` in `benches/peers/mls`. Each figure is a median. *Fresh*: one administrator made the group and makes every change. *Populated*: every member has committed
//! once, the best case of MLS. Populating takes minutes; `fresh` leaves it out.

mod mls_rs;
mod openmls;
mod ours;

use std::hint::black_box;
use std::time::Instant;

use x25519_dalek::{PublicKey, StaticSecret};

/// Rounds; every group has its turn in each, so that a busy machine slows all of them down.
const ROUNDS: usize = 31;
/// Messages in a round.
const MESSAGES: usize = 10;

/// A group that can be timed.
trait Peer {
    fn name(&self) -> String;
    /// Removes somebody, follows that at a member, joins, and sends a few messages of 256 bytes; keeps nothing of it.
    fn round(&mut self, times: &mut Times);
}

/// Times are nanoseconds of one operation.
#[derive(Default)]
struct Times {
    make: Vec<u128>,
    apply: Vec<u128>,
    /// Bytes that everybody gets for a removal.
    bytes: Vec<u128>,
    join: Vec<u128>,
    send: Vec<u128>,
    receive: Vec<u128>,
    /// Bytes of a message beside its content, before padding.
    overhead: usize,
}

fn timed<T>(times: &mut Vec<u128>, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let out = black_box(run());
    times.push(start.elapsed().as_nanos());
    out
}

fn median(times: &mut [u128]) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::NAN, |time| *time as f64)
}

fn main() {
    let members: u32 = std::env::args().nth(1).map_or(1_000, |members| members.parse().unwrap());
    let mut peers: Vec<Box<dyn Peer>> = vec![Box::new(ours::Ours::new(members))];
    for populated in [false, true] {
        if populated && std::env::args().nth(2).is_some_and(|only| only == "fresh") {
            continue;
        }
        for quantum_safe in [false, true] {
            let start = Instant::now();
            peers.push(Box::new(openmls::OpenMls::new(members, quantum_safe, populated)));
            peers.push(mls_rs::new(members, quantum_safe, populated));
            eprintln!("prepared two groups in {:.0} s", start.elapsed().as_secs_f64());
        }
    }
    let (secret, public) = (StaticSecret::from([7; 32]), PublicKey::from(&StaticSecret::from([9; 32])));
    let (mut dh, mut all) = (Vec::new(), peers.iter().map(|_| Times::default()).collect::<Vec<_>>());
    for _ in 0..ROUNDS {
        for (peer, times) in peers.iter_mut().zip(&mut all) {
            timed(&mut dh, || black_box(&secret).diffie_hellman(black_box(&public)));
            peer.round(times);
        }
    }
    report(members, median(&mut dh), peers.iter().map(|peer| peer.name()).zip(all).collect());
}

fn report(members: u32, dh: f64, peers: Vec<(String, Times)>) {
    println!("{members} members; one X25519 (x25519-dalek): {:.1} µs\n", dh / 1000.0);
    println!(
        "{:<44} {:>9} {:>9} {:>9} {:>9} {:>8} {:>8} {:>8}",
        "", "bytes", "make ms", "apply ms", "join ms", "send µs", "recv µs", "overhead"
    );
    let mut rows = Vec::new();
    for (name, mut times) in peers {
        let [bytes, make, apply] = [&mut times.bytes, &mut times.make, &mut times.apply].map(|it| median(it));
        let (join, send, receive) =
            (median(&mut times.join), median(&mut times.send), median(&mut times.receive));
        println!(
            "{name:<44} {bytes:>9} {:>9.3} {:>9.3} {:>9.2} {:>8.1} {:>8.1} {:>8}",
            make / 1e6,
            apply / 1e6,
            join / 1e6,
            send / 1e3,
            receive / 1e3,
            times.overhead
        );
        rows.push((name, [bytes, make, apply, join, send, receive]));
    }
    let ours = rows[0].1;
    println!(
        "\n{:<44} {:>9} {:>9} {:>9} {:>9} {:>8} {:>8}",
        "times ours", "bytes", "make", "apply", "join", "send", "recv"
    );
    for (name, row) in &rows[1..] {
        print!("{name:<44}");
        for (width, (theirs, ours)) in [9, 9, 9, 9, 8, 8].into_iter().zip(row.iter().zip(ours)) {
            print!(" {:>width$.1}", theirs / ours);
        }
        println!();
    }
    println!(
        "\nours, in X25519: make {:.1}, apply {:.1}, send {:.2}, receive {:.2}",
        ours[1] / dh,
        ours[2] / dh,
        ours[4] / dh,
        ours[5] / dh
    );
}
