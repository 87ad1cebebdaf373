//! Events, and two devices with one session and a bad network between them that they drive; [`crate::five`] are more.
//!
//! An event is read from four bytes, so that a fuzzer, a property test and a committed corpus speak of the
//! same runs.

use std::collections::BTreeSet;
use std::time::Duration;

use chancery_core::{MAX_CONTENT, Session};
use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_wire::Timestamp;

use crate::company::{Company, NOW};

/// Bytes of an encoded event.
pub const EVENT_LEN: usize = 4;
/// The most envelopes that are under way to one device; more are refused by the run, not by the session.
const MOST_UNDER_WAY: usize = 64;

/// Something that happens to a device or to what is under way to it. Of two devices even numbers are alice's and odd ones
/// bob's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The device writes a message of this many bytes.
    Send(u8, usize),
    /// One of the envelopes under way to the device arrives; which one says the number.
    Deliver(u8, usize),
    /// One of them arrives, and stays under way to arrive again.
    Duplicate(u8, usize),
    /// One of them arrives with a bit flipped at this place, and stays under way.
    Damage(u8, usize),
    /// The device is switched off and on: it reads its session from what it stored.
    Restart(u8),
    /// This many hours pass.
    Wait(u16),
}

impl Event {
    /// Reads an event; every four bytes are one.
    #[must_use]
    pub fn decode([kind, device, high, low]: [u8; EVENT_LEN]) -> Self {
        let number = usize::from(u16::from_be_bytes([high, low]));
        match kind % 8 {
            0 | 1 => Self::Send(device, number % 600),
            2 | 3 => Self::Deliver(device, number),
            4 => Self::Duplicate(device, number),
            5 => Self::Damage(device, number),
            6 => Self::Restart(device),
            _ => Self::Wait(u16::from_be_bytes([high, low]) % 48),
        }
    }

    /// Reads events until the bytes end; a rest of fewer than four is left.
    #[must_use]
    pub fn decode_all(bytes: &[u8]) -> Vec<Self> {
        bytes.as_chunks::<EVENT_LEN>().0.iter().map(|four| Self::decode(*four)).collect()
    }
}

struct Side {
    session: Session,
    /// Envelopes under way to this device, with their plaintexts.
    inbox: Vec<(Vec<u8>, Vec<u8>)>,
    heard: BTreeSet<Vec<u8>>,
}

/// Two devices in the middle of a conversation.
pub struct Pair {
    sides: [Side; 2],
    rng: Box<dyn CryptoRng>,
    now: Timestamp,
    sent: u32,
}

impl Pair {
    /// Starts a conversation between alice and bob of `company`.
    #[must_use]
    pub fn new(company: &Company) -> Self {
        let (alice, bob, _) = company.two_sessions(&mut seeded([77; 32]));
        Self::between(alice, bob)
    }

    /// Goes on with two sessions that were stored, which is quicker than a handshake for each run.
    #[must_use]
    pub fn resume(alice: &[u8], bob: &[u8]) -> Self {
        let read = |record| Session::from_bytes(record).expect("a stored session");
        Self::between(read(alice), read(bob))
    }

    fn between(alice: Session, bob: Session) -> Self {
        let side = |session| Side { session, inbox: Vec::new(), heard: BTreeSet::new() };
        Self { sides: [side(alice), side(bob)], rng: Box::new(seeded([78; 32])), now: NOW, sent: 0 }
    }

    /// Lets an event happen, and panics when a promise of the session is broken by it.
    pub fn apply(&mut self, event: Event) {
        let side = |device: u8| usize::from(device % 2);
        match event {
            Event::Send(from, length) => self.send(side(from), length),
            Event::Deliver(to, number) => self.deliver(side(to), number, false),
            Event::Duplicate(to, number) => self.deliver(side(to), number, true),
            Event::Damage(to, place) => self.damage(side(to), place),
            Event::Restart(device) => {
                let side = &mut self.sides[side(device)];
                let stored = side.session.to_bytes();
                side.session = Session::from_bytes(stored.expose()).expect("what it wrote");
                assert_eq!(side.session.to_bytes().expose(), stored.expose(), "read and written is the same");
            }
            Event::Wait(hours) => self.now = self.now.after(Duration::from_secs(u64::from(hours) * 3600)),
        }
    }

    /// Delivers everything that is under way and checks that each message was heard.
    pub fn finish(&mut self) {
        for device in 0..2 {
            while !self.sides[device].inbox.is_empty() {
                self.deliver(device, 0, false);
            }
        }
    }

    fn send(&mut self, from: usize, length: usize) {
        let to = 1 - from;
        if self.sides[to].inbox.len() >= MOST_UNDER_WAY {
            return;
        }
        // Numbered, so that no two messages are alike.
        let mut text = self.sent.to_be_bytes().to_vec();
        self.sent += 1;
        text.resize(length.clamp(4, MAX_CONTENT), b'.');
        let envelope = self.sides[from].session.encrypt(&text, self.rng.as_mut()).expect("can send");
        self.sides[to].inbox.push((envelope, text));
    }

    fn deliver(&mut self, device: usize, number: usize, stays: bool) {
        let side = &mut self.sides[device];
        if side.inbox.is_empty() {
            return;
        }
        let index = number % side.inbox.len();
        let (envelope, text) = if stays { side.inbox[index].clone() } else { side.inbox.remove(index) };
        let before = side.session.to_bytes();
        match side.session.decrypt(&envelope, self.now, self.rng.as_mut()) {
            Ok(decrypted) => {
                assert_eq!(decrypted.plaintext.expose(), text);
                assert!(side.heard.insert(text), "a message is heard once");
            }
            Err(_) => {
                assert_eq!(side.session.to_bytes().expose(), before.expose(), "a refusal changes nothing");
                // Keys of skipped messages live for thirty days; until then nothing is lost.
                let lately = self.now.since(NOW) < Duration::from_secs(30 * 24 * 3600);
                assert!(side.heard.contains(&text) || !lately, "a message within the limits is heard");
            }
        }
    }

    fn damage(&mut self, device: usize, place: usize) {
        let side = &mut self.sides[device];
        let Some((envelope, _)) = side.inbox.last() else { return };
        let mut envelope = envelope.clone();
        let index = place / 8 % envelope.len();
        envelope[index] ^= 1 << (place % 8);
        let before = side.session.to_bytes();
        let damaged = side.session.decrypt(&envelope, self.now, self.rng.as_mut());
        assert!(damaged.is_err(), "a damaged envelope does not authenticate");
        assert_eq!(side.session.to_bytes().expose(), before.expose(), "a refusal changes nothing");
    }
}
