//! What do sessions cost beside those of libsignal and vodozemac, in one process and in turns?
//!
//! `cargo run --release` in `benches/peers`. Each figure is a median; the unit "DH" is one X25519 of the same run, so that
//! ratios of different machines can be put side by side.

mod libsignal;
mod ours;
mod vodozemac;

use std::hint::black_box;
use std::time::Instant;

use x25519_dalek::{PublicKey, StaticSecret};

/// Rounds; every peer has its turn in each, so that a busy machine slows all of them down.
const ROUNDS: usize = 60;
/// Messages of one kind in a round.
const MESSAGES: usize = 40;

/// A pair of sessions that can be timed. Times are nanoseconds of one operation.
trait Peer {
    fn name(&self) -> &'static str;
    /// First contact from a verified or unverified bundle to the first message opened: (initiator, responder).
    fn first_contact(&mut self) -> (u128, u128);
    /// One message of 256 bytes on a chain that both sides know: (to bytes, from bytes).
    fn message(&mut self) -> (u128, u128);
    /// One message of 256 bytes with a turn of the ratchet, sealed and opened.
    fn turn(&mut self) -> u128;
    /// Bytes of: first message, later message of 256 bytes, stored session.
    fn sizes(&mut self) -> [usize; 3];
}

fn timed<T>(run: impl FnOnce() -> T) -> (u128, T) {
    let start = Instant::now();
    let out = black_box(run());
    (start.elapsed().as_nanos(), out)
}

#[derive(Default)]
struct Times {
    initiator: Vec<u128>,
    responder: Vec<u128>,
    seal: Vec<u128>,
    open: Vec<u128>,
    turn: Vec<u128>,
}

fn median(times: &mut [u128]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2] as f64 / 1000.0
}

fn main() {
    let mut peers: Vec<Box<dyn Peer>> = vec![
        Box::new(ours::Ours::new(false)),
        Box::new(ours::Ours::new(true)),
        Box::new(libsignal::Libsignal::new()),
        Box::new(vodozemac::Vodozemac::new()),
    ];
    let mut all: Vec<Times> = peers.iter().map(|_| Times::default()).collect();
    let (secret, public) = (StaticSecret::from([7; 32]), PublicKey::from(&StaticSecret::from([9; 32])));
    let mut dh = Vec::new();
    for _ in 0..ROUNDS {
        dh.extend((0..10).map(|_| timed(|| black_box(&secret).diffie_hellman(black_box(&public))).0));
        for (peer, times) in peers.iter_mut().zip(&mut all) {
            for _ in 0..4 {
                let (initiator, responder) = peer.first_contact();
                times.initiator.push(initiator);
                times.responder.push(responder);
            }
            for _ in 0..MESSAGES {
                let (seal, open) = peer.message();
                times.seal.push(seal);
                times.open.push(open);
            }
            times.turn.extend((0..MESSAGES).map(|_| peer.turn()));
        }
    }
    let dh = median(&mut dh);
    println!("one X25519 (x25519-dalek): {dh:.1} µs\n");
    println!(
        "{:<34} {:>11} {:>11} {:>8} {:>8} {:>11} {:>8}",
        "µs", "initiator", "responder", "seal", "open", "seal+open", "turn"
    );
    let mut rows = Vec::new();
    for (peer, times) in peers.iter_mut().zip(&mut all) {
        let (seal, open) = (median(&mut times.seal), median(&mut times.open));
        let row = [
            median(&mut times.initiator),
            median(&mut times.responder),
            seal,
            open,
            seal + open,
            median(&mut times.turn),
        ];
        println!(
            "{:<34} {:>11.1} {:>11.1} {:>8.2} {:>8.2} {:>11.2} {:>8.1}",
            peer.name(),
            row[0],
            row[1],
            row[2],
            row[3],
            row[4],
            row[5]
        );
        rows.push((peer.name(), row));
    }
    println!("\n{:<34} {:>14} {:>11} {:>8}", "DH", "first contact", "seal+open", "turn");
    for (name, row) in &rows {
        println!("{:<34} {:>14.2} {:>11.3} {:>8.2}", name, (row[0] + row[1]) / dh, row[4] / dh, row[5] / dh);
    }
    let theirs = rows[2].1;
    println!("\n{:<34} {:>14} {:>11} {:>8}", "times libsignal", "first contact", "seal+open", "turn");
    for (name, row) in &rows {
        let contact = (row[0] + row[1]) / (theirs[0] + theirs[1]);
        println!("{:<34} {:>14.2} {:>11.2} {:>8.2}", name, contact, row[4] / theirs[4], row[5] / theirs[5]);
    }
    println!("\n{:<34} {:>14} {:>11} {:>15}", "bytes", "first message", "later", "stored session");
    for peer in &mut peers {
        let [first, later, stored] = peer.sizes();
        println!("{:<34} {:>14} {:>11} {:>15}", peer.name(), first, later, stored);
    }
}
