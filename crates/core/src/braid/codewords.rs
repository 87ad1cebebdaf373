//! A value on its way out, and one on its way in.

use alloc::vec::Vec;

use super::frame::{Kind, Room, Run};
use crate::erasure::{CODEWORD_LEN, MAX_BLOCKS, MAX_INDEX, decode};

/// The most codewords of one value that are sent before the peer was heard again (R-BRAID-4).
///
/// 72: twice the longest value. A peer that answers has received enough of them, or lets more be sent; one that does not
/// answer would not finish the epoch with any number, and computing them would slow a one-sided chain down for nothing.
pub(crate) const ALLOWANCE: u16 = 72;

const _: () = assert!(ALLOWANCE as usize == 2 * MAX_BLOCKS, "the whole of every value, twice");

/// A value that is being sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    value: Vec<u8>,
    /// The codeword that is sent next.
    next: u16,
    /// How many may be sent before the peer was heard again.
    allowance: u16,
}

impl Outgoing {
    pub(crate) const fn new(value: Vec<u8>) -> Self {
        Self { value, next: 0, allowance: ALLOWANCE }
    }

    /// Rebuilds a value on its way out; `None` for numbers out of range.
    pub(crate) fn from_parts(value: Vec<u8>, next: u32, allowance: u32) -> Option<Self> {
        let next = u16::try_from(next).ok().filter(|next| *next <= MAX_INDEX)?;
        let allowance = u16::try_from(allowance).ok().filter(|allowance| *allowance <= ALLOWANCE)?;
        Some(Self { value, next, allowance })
    }

    pub(crate) fn parts(&self) -> (&[u8], u32, u32) {
        (&self.value, self.next.into(), self.allowance.into())
    }

    pub(crate) fn into_value(self) -> Vec<u8> {
        self.value
    }

    /// Writes as many codewords as fit and are allowed, at most `most`.
    pub(crate) fn send(&mut self, kind: Kind, room: &mut Room<'_>, most: u16) {
        let sent = room.put(kind, &self.value, self.next, self.allowance.min(most));
        self.allowance = self.allowance.saturating_sub(sent);
        self.next = self.next.saturating_add(sent);
        if self.next > MAX_INDEX {
            self.next = 0;
        }
    }

    /// The peer was heard.
    pub(crate) const fn refill(&mut self) {
        self.allowance = ALLOWANCE;
    }
}

/// A value of `K` blocks that is being gathered: at most `K` codewords, each as index (2) and bytes (32).
#[derive(Debug, Default)]
pub(crate) struct Incoming<const K: usize>(Vec<u8>);

const ENTRY_LEN: usize = 2 + CODEWORD_LEN;

impl<const K: usize> Incoming<K> {
    /// Rebuilds a value on its way in; `None` unless it is whole entries, at most `K`.
    ///
    /// That their indices differ is not looked at: from entries that were damaged comes a value that nothing vouches for.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let incoming = Self(bytes);
        let (entries, rest) = incoming.0.as_chunks::<ENTRY_LEN>();
        (rest.is_empty() && entries.len() <= K).then_some(incoming)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes over codewords that are missing; returns the length to go back to if the value is refused.
    pub(crate) fn add(&mut self, run: Option<&Run<'_>>) -> usize {
        let before = self.0.len();
        let Some(run) = run else { return before };
        for (index, codeword) in (run.first..=MAX_INDEX).zip(run.codewords) {
            if self.entries().count() == K {
                break;
            }
            if self.entries().all(|(known, _)| known != index) {
                self.0.extend_from_slice(&index.to_be_bytes());
                self.0.extend_from_slice(codeword);
            }
        }
        before
    }

    /// Goes back to a length that [`Self::add`] returned.
    pub(crate) fn go_back(&mut self, before: usize) {
        self.0.truncate(before);
    }

    /// The value, once `K` codewords are there.
    pub(crate) fn value(&self) -> Option<Vec<u8>> {
        (self.entries().count() == K).then(|| decode(K, self.entries()))
    }

    fn entries(&self) -> impl ExactSizeIterator<Item = (u16, &[u8; CODEWORD_LEN])> {
        let (entries, _) = self.0.as_chunks::<ENTRY_LEN>();
        entries.iter().map(|entry| {
            let [a, b, codeword @ ..] = entry;
            (u16::from_be_bytes([*a, *b]), codeword)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::braid::frame::Frames;
    use alloc::vec;

    #[test]
    fn a_value_arrives_whatever_is_lost_and_the_allowance_ends_it() {
        // R-BRAID-3, R-BRAID-4
        let value: Vec<u8> = (0..1152_u32).map(|i| i.to_le_bytes()[0] ^ 0x5A).collect();
        let mut outgoing = Outgoing::new(value.clone());
        let mut incoming = Incoming::<36>::default();
        let mut sent = 0;
        for message in 0..100 {
            let mut body = vec![];
            outgoing.send(Kind::Vector, &mut Room { body: &mut body, end: 377 }, u16::MAX);
            let frames = Frames::decode(&body).unwrap();
            sent += frames.vector.map_or(0, |run| run.codewords.len());
            if message % 2 == 1 {
                incoming.add(frames.vector.as_ref());
                incoming.add(frames.vector.as_ref());
            }
        }
        assert_eq!(sent, usize::from(ALLOWANCE));
        assert!(incoming.value().is_none());
        outgoing.refill();
        for _ in 0..2 {
            let mut body = vec![];
            outgoing.send(Kind::Vector, &mut Room { body: &mut body, end: 377 }, u16::MAX);
            incoming.add(Frames::decode(&body).unwrap().vector.as_ref());
        }
        assert_eq!(incoming.value(), Some(value));
        assert_eq!(incoming.as_bytes().len(), 36 * 34);
    }

    #[test]
    fn records_out_of_range_are_refused() {
        assert!(Outgoing::from_parts(vec![], 65_535, 0).is_none());
        assert!(Outgoing::from_parts(vec![], 65_534, 72).is_some());
        assert!(Outgoing::from_parts(vec![], 0, 73).is_none());
        let entry = |n: u8| [[0, n].as_slice(), &[7; 32]].concat();
        assert!(Incoming::<2>::from_bytes([entry(1), entry(2)].concat()).is_some());
        // Two entries of one index give some value, and no panic.
        assert!(Incoming::<2>::from_bytes([entry(1), entry(1)].concat()).unwrap().value().is_some());
        assert!(Incoming::<2>::from_bytes([entry(1), entry(2), entry(3)].concat()).is_none());
        assert!(Incoming::<2>::from_bytes(vec![0; 33]).is_none());
    }
}
