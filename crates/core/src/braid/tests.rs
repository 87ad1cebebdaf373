//! The ML-KEM Braid: both sides agree on keys whatever is lost, late or damaged.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that goes wrong may panic"
)]

use alloc::vec;
use alloc::vec::Vec;

use chancery_crypto::rng::seeded;
use proptest::prelude::*;

use super::*;
use chancery_wire::encode;

/// Both sides, and the secrets that each has come to know.
struct Pair {
    braids: [Braid; 2],
    secrets: [Vec<[u8; 32]>; 2],
    rng: alloc::boxed::Box<dyn CryptoRng>,
}

/// A body without content, and the epoch in which it was sent.
type Body = (u32, Vec<u8>);

impl Pair {
    fn new(seed: u8) -> Self {
        let braid = |initiator| Braid::start(initiator, Secret::from_bytes([9; 64]));
        Self {
            braids: [braid(true), braid(false)],
            secrets: [vec![], vec![]],
            rng: alloc::boxed::Box::new(seeded([seed; 32])),
        }
    }

    /// A message of a side, of which `room` bytes are left.
    fn send(&mut self, side: usize, room: usize) -> Body {
        self.reread(side);
        let mut body = vec![];
        let braid = &mut self.braids[side];
        let epoch = braid.epoch();
        let agreed = braid.send(&mut Room { body: &mut body, end: room }, &mut *self.rng);
        self.secrets[side].extend(agreed.map(|secret| *secret.secret().expose()));
        assert!(body.len() <= room);
        body.resize(room, 0);
        (epoch, body)
    }

    fn receive(&mut self, side: usize, (epoch, body): &Body) -> Result<(), NotAuthentic> {
        self.reread(side);
        let before = bytes(&self.braids[side]);
        let progress = Frames::decode(body).and_then(|frames| self.braids[side].receive(*epoch, &frames));
        match progress {
            Ok(progress) => {
                self.secrets[side].extend(progress.agreed.map(|secret| *secret.secret().expose()));
                Ok(())
            }
            Err(error) => {
                assert_eq!(bytes(&self.braids[side]), before, "a refusal changes nothing");
                Err(error)
            }
        }
    }

    /// The record is the state: what was written and read back goes on in its place.
    fn reread(&mut self, side: usize) {
        let braid = &self.braids[side];
        let (mut record, epoch) = (braid.to_record(), braid.epoch);
        assert!(encode(&record).len() < 2600);
        let read = Braid::from_record(&mut record, epoch).unwrap();
        assert_eq!(bytes(&read), bytes(braid));
        self.braids[side] = read;
    }

    /// One side is never more than an epoch ahead, and all secrets agree.
    fn check(&self) {
        let [a, b] = &self.secrets;
        let known = a.len().min(b.len());
        assert!(a.len().abs_diff(b.len()) <= 1);
        assert_eq!(a[..known], b[..known]);
        assert!(self.braids[0].epoch().abs_diff(self.braids[1].epoch()) <= 1);
    }
}

fn bytes(braid: &Braid) -> Vec<u8> {
    encode(&braid.to_record())
}

/// Messages in strict alternation until both sides have ended `epochs`.
fn messages_until(epochs: u32, room: usize) -> u32 {
    let mut pair = Pair::new(1);
    let mut count = 0;
    while pair.braids.iter().any(|braid| braid.epoch() <= epochs) {
        let from = usize::from(count % 2 == 1);
        let body = pair.send(from, room);
        pair.receive(1 - from, &body).unwrap();
        pair.check();
        count += 1;
        assert!(count < 1000, "no end in sight");
    }
    count
}

#[test]
fn an_epoch_ends_and_the_roles_change() {
    // R-BRAID-1, R-BRAID-4, R-BRAID-6
    assert_eq!(messages_until(1, 377), 9, "40 bytes in 512");
    assert_eq!(messages_until(1, 36), 87, "one codeword in each message");
    assert_eq!(messages_until(5, 377), 45);
    assert_eq!(messages_until(3, 4000), 15);
}

#[test]
fn a_header_that_is_not_vouched_for_is_refused_and_the_true_one_taken() {
    // R-BRAID-5
    let mut pair = Pair::new(2);
    let (epoch, body) = pair.send(0, 377);
    for at in 4..100 {
        let mut bad = body.clone();
        bad[at] ^= 1;
        assert_eq!(pair.receive(1, &(epoch, bad)), Err(NotAuthentic), "byte {at}");
    }
    assert_eq!(pair.receive(1, &(epoch, body)), Ok(()));
}

#[test]
fn a_vector_of_another_key_and_a_ciphertext_that_is_not_vouched_for_are_refused() {
    // R-BRAID-5
    let mut pair = Pair::new(3);
    let header = pair.send(0, 100);
    pair.receive(1, &header).unwrap();
    let ct1 = pair.send(1, 1000);
    pair.receive(0, &ct1).unwrap();
    let (epoch, vector) = pair.send(0, 1200);
    for at in [4, 600, 1155] {
        let mut bad = vector.clone();
        bad[at] ^= 1;
        assert_eq!(pair.receive(1, &(epoch, bad)), Err(NotAuthentic), "byte {at}");
    }
    pair.receive(1, &(epoch, vector)).unwrap();
    let (epoch, ct2) = pair.send(1, 200);
    assert_eq!(ct2[0], 4);
    for at in 4..164 {
        let mut bad = ct2.clone();
        bad[at] ^= 1;
        assert_eq!(pair.receive(0, &(epoch, bad)), Err(NotAuthentic), "byte {at}");
    }
    // Also when the codewords came one by one.
    let mut last = ct2[..36].to_vec();
    last[1] = 1;
    pair.receive(0, &(epoch, last)).unwrap();
    let mut bad = ct2.clone();
    bad[40] ^= 1;
    assert_eq!(pair.receive(0, &(epoch, bad)), Err(NotAuthentic));
    pair.receive(0, &(epoch, ct2)).unwrap();
    assert_eq!(pair.braids[0].epoch(), 2);
    pair.check();
}

#[test]
fn what_an_honest_peer_never_sends_is_refused_in_every_state() {
    // R-BRAID-7
    let frames = |kind: u8| match kind {
        5 => vec![5, 0, 0, 0],
        kind => [vec![kind, 1, 0, 0], vec![7; 32]].concat(),
    };
    let mut pair = Pair::new(4);
    let mut seen = alloc::collections::BTreeSet::new();
    for count in 0..90_usize {
        for side in [0, 1] {
            let state = &pair.braids[side].state;
            let expects: Vec<u8> = state.expects().iter().map(|kind| *kind as u8).collect();
            seen.insert(pair.braids[side].to_record().state);
            let epoch = pair.braids[side].epoch();
            for kind in (1..=5).filter(|kind| !expects.contains(kind)) {
                assert_eq!(pair.receive(side, &(epoch, frames(kind))), Err(NotAuthentic), "frame {kind}");
                if epoch > 1 {
                    // Of an epoch that has ended, everything is ignored.
                    assert_eq!(pair.receive(side, &(epoch - 1, frames(kind))), Ok(()));
                }
            }
            // An epoch ahead is believed only when it can be.
            if pair.braids[side].to_record().state != 9 {
                assert_eq!(pair.receive(side, &(epoch + 1, vec![])), Err(NotAuthentic));
            }
            assert_eq!(pair.receive(side, &(epoch + 2, vec![])), Err(NotAuthentic));
        }
        let from = count % 2;
        let body = pair.send(from, if from == 0 { 140 } else { 100 });
        pair.receive(1 - from, &body).unwrap();
    }
    assert_eq!(seen.len(), 10, "{seen:?}");
}

#[test]
fn nothing_is_drawn_before_there_is_room_for_it() {
    // R-BRAID-4
    let mut pair = Pair::new(5);
    pair.send(0, 35);
    assert!(matches!(pair.braids[0].state, State::KeysUnsampled));
    pair.send(0, 36);
    assert!(matches!(pair.braids[0].state, State::KeysSampled(_)));
}

#[test]
fn a_record_of_no_state_is_refused() {
    let mut pair = Pair::new(6);
    for count in 0..12_usize {
        for side in [0, 1] {
            let braid = &pair.braids[side];
            for state in 10..12 {
                let mut record = braid.to_record();
                record.state = state;
                assert!(Braid::from_record(&mut record, braid.epoch).is_none());
            }
            let record = braid.to_record();
            // Every secret and every whole value has one length.
            let mut short = record.clone();
            short.authenticator.pop();
            assert!(Braid::from_record(&mut short, braid.epoch).is_none());
            let mut short = record.clone();
            if short.secret.pop().is_some() {
                assert!(Braid::from_record(&mut short, braid.epoch).is_none());
            }
            let mut short = record.clone();
            if short.ct1.pop().is_some() || short.vector.pop().is_some() || short.header.pop().is_some() {
                assert!(Braid::from_record(&mut short, braid.epoch).is_none());
            }
        }
        let from = count % 2;
        let body = pair.send(from, 377);
        pair.receive(1 - from, &body).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// R-BRAID-1, R-BRAID-7: whatever is lost, repeated or late, honest sides agree; and when messages arrive again, an
    /// epoch ends.
    #[test]
    fn honest_sides_agree_under_loss_and_disorder(
        seed in any::<u8>(),
        events in prop::collection::vec((any::<bool>(), 0..4_u8, any::<prop::sample::Index>(), 30..600_usize), 0..120),
    ) {
        let mut pair = Pair::new(seed);
        let mut on_the_way: [Vec<Body>; 2] = [vec![], vec![]];
        // A body of an epoch can arrive only after one that shows that the sender has reached it.
        for (side, what, which, room) in events {
            let side = usize::from(side);
            match what {
                0 | 1 => {
                    let body = pair.send(side, room);
                    on_the_way[1 - side].push(body);
                }
                _ if on_the_way[side].is_empty() => {}
                2 => {
                    let body = which.get(&on_the_way[side]).clone();
                    prop_assert_eq!(pair.receive(side, &body), Ok(()));
                }
                _ => {
                    let body = on_the_way[side].swap_remove(which.index(on_the_way[side].len()));
                    prop_assert_eq!(pair.receive(side, &body), Ok(()));
                }
            }
            pair.check();
        }
        let epochs = pair.braids.iter().map(Braid::epoch).max().unwrap();
        for count in 0..80_usize {
            let body = pair.send(count % 2, 377);
            prop_assert_eq!(pair.receive(1 - count % 2, &body), Ok(()));
            pair.check();
        }
        prop_assert!(pair.braids.iter().all(|braid| braid.epoch() > epochs));
    }
}

impl Braid {
    /// Notes what this side has sent or received of the present epoch.
    pub(crate) fn overhear(&self, crossed: &mut alloc::collections::BTreeMap<u32, [Vec<u8>; 4]>) {
        let record = self.to_record();
        let value = |out: &Option<chancery_wire::proto::BraidOutgoing>| {
            out.as_ref().map_or_else(Vec::new, |out| out.value.clone())
        };
        let sent = [&record.header_out, &record.vector_out, &record.ct1_out, &record.ct2_out].map(value);
        let whole = [vec![], record.vector, record.ct1, vec![]];
        let noted = crossed.entry(self.epoch).or_default();
        for values in [sent, whole] {
            let pairs = noted.iter_mut().zip(values);
            pairs.filter(|(_, value)| !value.is_empty()).for_each(|(noted, value)| *noted = value);
        }
    }

    /// Every shared secret that a thief of this state computes from its seed or its coins, for what crossed in an epoch.
    pub(crate) fn stolen_secrets(&self, crossed: &[Vec<u8>; 4]) -> Vec<Secret<32>> {
        use chancery_crypto::kem_incremental::{Encapsulation, IncrementalSecret};
        let record = self.to_record();
        let mut secrets = vec![];
        if let Some(seed) = Secret::from_slice(&record.secret) {
            let [_, _, ct1, ct2] = crossed;
            let ct2 = ct2.get(..128).unwrap_or_default();
            secrets.extend(IncrementalSecret::from_seed(seed).decapsulate(ct1, ct2).ok());
        }
        if let Some(coins) = Secret::from_slice(&record.secret) {
            let header = crossed[0].first_chunk().copied();
            let encapsulation = header.map(|header| {
                Encapsulation::from_parts(coins, chancery_crypto::kem_incremental::KemHeader::new(header))
            });
            secrets.extend(encapsulation.and_then(|encapsulation| Some(encapsulation.first().ok()?.1)));
        }
        secrets
    }
}
