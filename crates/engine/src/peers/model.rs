//! A model of two devices that choose their sessions, over all orders in which they begin, send and read.
#![allow(clippy::arithmetic_side_effects, reason = "a test")]

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use super::*;

/// What a side does of its own accord.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Send,
    Heal,
}

/// A message: on which session, and when that was begun if it is the first.
type Message = (u8, Option<u64>);

#[derive(Debug, Clone, Default, PartialEq)]
struct Side {
    clock: u64,
    peer: PeerRecord,
    received: BTreeSet<u8>,
    acts: Vec<Act>,
    inbox: Vec<Message>,
}

impl Side {
    /// What of this side decides how it goes on.
    fn key(&self) -> Vec<u8> {
        let notes = self.peer.notes.iter().map(|note| (&note.session_id, note.begun_at));
        let notes: Vec<_> = notes.collect();
        let known = (&self.peer.active, notes, &self.received, &self.acts, &self.inbox);
        alloc::format!("{known:?}").into_bytes()
    }

    fn add(&mut self, id: u8, begun_at: u64) {
        let note = SessionNote { session_id: vec![id], begun_at, ..SessionNote::default() };
        self.peer.notes.push(note);
        activate(&mut self.peer, vec![id], Timestamp::from_millis(1));
    }

    /// What is written, on the active session or a new one with the next of this side's identifiers.
    fn write(&mut self, act: Act, ids: &[u8]) -> Message {
        if act == Act::Send && !self.peer.active.is_empty() {
            return (self.peer.active[0], None);
        }
        let known: BTreeSet<u8> = self.peer.notes.iter().map(|note| note.session_id[0]).collect();
        let id = *ids.iter().find(|id| !known.contains(id)).unwrap();
        let begun_at = begin_at(&self.peer, Timestamp::from_millis(self.clock));
        self.add(id, begun_at);
        (id, Some(begun_at))
    }

    /// As `add_session` and `used` do it.
    fn read(&mut self, (id, begun_at): Message) {
        self.received.insert(id);
        match begun_at {
            Some(begun_at) => self.add(id, begun_at),
            None if self.peer.active != [id]
                && takes_over(&self.peer, &[id], self.received.contains(&self.peer.active[0])) =>
            {
                activate(&mut self.peer, vec![id], Timestamp::from_millis(1));
            }
            None => {}
        }
    }
}

/// The identifiers that each side gives to the sessions that it begins.
type Ids = [[u8; 2]; 2];
type Seen = BTreeSet<Vec<u8>>;

fn step(sides: &[Side; 2], of: usize, reads: bool, ids: &Ids) -> Option<[Side; 2]> {
    let mut next = sides.clone();
    if reads {
        if next[of].inbox.is_empty() {
            return None;
        }
        let message = next[of].inbox.remove(0);
        next[of].read(message);
    } else {
        if next[of].acts.is_empty() {
            return None;
        }
        let act = next[of].acts.remove(0);
        let message = next[of].write(act, &ids[of]);
        next[1 - of].inbox.push(message);
    }
    Some(next)
}

/// Goes on in every order, and looks at each end.
fn explore(sides: &[Side; 2], ids: &Ids, seen: &mut Seen) -> usize {
    if !seen.insert([sides[0].key(), sides[1].key()].concat()) {
        return 0;
    }
    let mut ends = 0;
    for (of, reads) in [(0, false), (0, true), (1, false), (1, true)] {
        if let Some(next) = step(sides, of, reads, ids) {
            ends += explore(&next, ids, seen);
        }
    }
    if sides.iter().all(|side| side.acts.is_empty() && side.inbox.is_empty()) {
        ends += 1;
        for first in [0, 1] {
            let mut last = sides.clone();
            for of in [first, 1 - first] {
                let message = last[of].write(Act::Send, &ids[of]);
                last[1 - of].read(message);
            }
            assert_eq!(last[0].peer.active, last[1].peer.active, "{sides:?}");
            let both = last[0].received.intersection(&last[1].received);
            let greatest = both.max_by_key(|id| (note(&last[0].peer, &[**id]).unwrap().begun_at, **id));
            assert_eq!(last[0].peer.active, [*greatest.unwrap()], "{sides:?}");
        }
    }
    ends
}

#[test]
fn both_sides_settle_on_one_session_in_whatever_order_all_is_read_r_engine_16() {
    use Act::{Heal, Send};
    let plans: BTreeMap<&str, [Vec<Act>; 2]> = [
        ("both begin", [vec![Send; 3], vec![Send; 3]]),
        ("the first heals", [vec![Send, Heal, Send, Send], vec![Send; 3]]),
        ("the second heals later", [vec![Send; 3], vec![Send, Send, Heal, Send]]),
        ("both heal", [vec![Send, Heal, Send], vec![Heal, Send, Send]]),
    ]
    .into();
    for (name, acts) in &plans {
        let mut ends = 0;
        for ids in [[[1, 2], [3, 4]], [[3, 4], [1, 2]], [[4, 1], [3, 2]]] {
            for clock in [1, 100, 200] {
                let side = |clock, acts: &Vec<Act>| Side { clock, acts: acts.clone(), ..Side::default() };
                let mut seen = Seen::new();
                ends += explore(&[side(100, &acts[0]), side(clock, &acts[1])], &ids, &mut seen);
            }
        }
        assert!(ends > 9, "{name}");
    }
}
