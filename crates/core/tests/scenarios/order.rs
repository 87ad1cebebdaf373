//! Whatever the order of delivery: messages decrypt once, and the index of tags follows.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use chancery_core::{Session, SessionEnvelope, Tag, TagChange};
use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_wire::Timestamp;
use proptest::prelude::*;

use crate::company::{DAY, NOW, copy_of, two_sessions};

/// What happens next. Positions are taken modulo what there is.
#[derive(Debug, Clone)]
enum Event {
    /// A side encrypts; the message is on its way.
    Send(bool),
    /// A side encrypts many messages; only the last is on its way.
    Lose(bool, u16),
    /// A message arrives at a side.
    Deliver(bool, usize),
    /// A message that has arrived arrives again.
    Repeat(bool, usize),
    /// Time passes.
    Wait(Duration),
}

struct Side {
    session: Session,
    /// Kept up from changes alone.
    index: BTreeSet<Tag>,
    on_the_way: Vec<(Vec<u8>, u32)>,
    arrived: Vec<Vec<u8>>,
}

impl Side {
    fn new(session: &Session) -> Self {
        let index = session.tags().into_iter().collect();
        Self { session: copy_of(session), index, on_the_way: Vec::new(), arrived: Vec::new() }
    }

    fn apply(&mut self, change: TagChange) {
        let both = change.added.iter().filter(|tag| change.removed.contains(tag)).count();
        assert_eq!(both, 0, "a tag is added and removed at once");
        change.removed.iter().for_each(|tag| assert!(self.index.remove(tag), "removed twice"));
        change.added.iter().for_each(|tag| assert!(self.index.insert(*tag), "added twice"));
    }

    /// The index and the record are those of the session.
    fn check(&mut self) {
        let tags = self.session.tags();
        assert_eq!(tags.iter().copied().collect::<BTreeSet<_>>(), self.index);
        assert_eq!(tags.len(), self.index.len(), "a tag stands twice");
        let read_back = copy_of(&self.session);
        assert_eq!(read_back.to_bytes().expose(), self.session.to_bytes().expose());
        self.session = read_back;
    }
}

struct Talk {
    sides: [Side; 2],
    now: Timestamp,
    sent: u32,
    rng: Box<dyn CryptoRng>,
    /// Whether every message that arrives for the first time must decrypt.
    within_limits: bool,
}

impl Talk {
    fn new(within_limits: bool) -> Self {
        static SESSIONS: OnceLock<(Session, Session)> = OnceLock::new();
        let (alice, bob) = SESSIONS.get_or_init(two_sessions);
        let sides = [Side::new(alice), Side::new(bob)];
        Self { sides, now: NOW, sent: 0, rng: Box::new(seeded([7; 32])), within_limits }
    }

    fn handle(&mut self, event: &Event) {
        match event {
            Event::Send(side) => self.send(*side, 1),
            Event::Lose(side, count) => self.send(*side, *count),
            Event::Deliver(to, position) => self.deliver(usize::from(*to), *position),
            Event::Repeat(to, position) => self.repeat(usize::from(*to), *position),
            Event::Wait(duration) => {
                self.now = self.now.after(*duration);
                let now = self.now;
                for side in &mut self.sides {
                    let change = side.session.expire(now);
                    assert!(change.added.is_empty());
                    side.apply(change);
                }
            }
        }
        self.sides.iter_mut().for_each(Side::check);
    }

    fn send(&mut self, from: bool, count: u16) {
        let (from, to) = (usize::from(from), usize::from(!from));
        let mut last = Vec::new();
        for _ in 0..count {
            self.sent += 1;
            last = self.sides[from].session.encrypt(&self.sent.to_be_bytes(), &mut *self.rng).unwrap();
        }
        self.sides[to].on_the_way.push((last, self.sent));
    }

    fn deliver(&mut self, to: usize, position: usize) {
        let side = &mut self.sides[to];
        if side.on_the_way.is_empty() {
            return;
        }
        let (envelope, number) = side.on_the_way.swap_remove(position % side.on_the_way.len());
        let known = side.session.search(&SessionEnvelope::parse(&envelope).unwrap().tag());
        let before = side.session.to_bytes();
        match side.session.decrypt(&envelope, self.now, &mut *self.rng) {
            Ok(decrypted) => {
                assert_eq!(decrypted.plaintext.expose(), number.to_be_bytes());
                assert!(known);
                side.apply(decrypted.tags);
                side.arrived.push(envelope);
            }
            Err(error) => {
                assert!(!self.within_limits, "{error}");
                assert_eq!(side.session.to_bytes().expose(), before.expose());
            }
        }
    }

    fn repeat(&mut self, to: usize, position: usize) {
        let side = &mut self.sides[to];
        if side.arrived.is_empty() {
            return;
        }
        let envelope = &side.arrived[position % side.arrived.len()];
        let before = side.session.to_bytes();
        assert!(side.session.decrypt(envelope, self.now, &mut *self.rng).is_err());
        assert_eq!(side.session.to_bytes().expose(), before.expose());
    }
}

fn any_order() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => any::<bool>().prop_map(Event::Send),
        4 => (any::<bool>(), any::<usize>()).prop_map(|(to, position)| Event::Deliver(to, position)),
        1 => (any::<bool>(), any::<usize>()).prop_map(|(to, position)| Event::Repeat(to, position)),
        1 => (any::<bool>(), 2..90_u16).prop_map(|(from, count)| Event::Lose(from, count)),
    ]
}

fn anything() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => any_order(),
        1 => (any::<bool>(), 900..1100_u16).prop_map(|(from, count)| Event::Lose(from, count)),
        1 => (0..40_u32).prop_map(|days| Event::Wait(DAY * days)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// R-RATCHET-8, R-RATCHET-9, R-RATCHET-13: at most ten losses of ninety are below every limit.
    #[test]
    fn every_message_decrypts_once_in_any_order(
        events in prop::collection::vec(any_order(), 0..60)
    ) {
        let losses = |event: &Event| matches!(event, Event::Lose(..));
        prop_assume!(events.iter().filter(|event| losses(event)).count() <= 10);
        let mut talk = Talk::new(true);
        events.iter().for_each(|event| talk.handle(event));
        // In the end everything that is still on its way arrives, last first.
        for to in [false, true] {
            while let Some(last) = talk.sides[usize::from(to)].on_the_way.len().checked_sub(1) {
                talk.handle(&Event::Deliver(to, last));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    /// R-RATCHET-9, R-RATCHET-11: also when keys expire, make room or are too far ahead.
    #[test]
    fn the_index_follows_whatever_happens(events in prop::collection::vec(anything(), 0..50)) {
        let mut talk = Talk::new(false);
        events.iter().for_each(|event| talk.handle(event));
    }
}
