//! The post-quantum ratchet: its chains, its epochs and its limits.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that goes wrong may panic"
)]

use alloc::collections::BTreeMap;

use chancery_crypto::rng::seeded;

use super::*;

/// Who stole a state of this ratchet and has overheard everything that crossed in the braid.
pub(crate) struct Thief {
    /// Chain keys, and the index of the last message of each.
    chains: Vec<([u8; 32], u32)>,
}

/// What crosses in each epoch: header and MAC, vector, ct1, ct2 and MAC.
pub(crate) type Crossed = BTreeMap<u32, [Vec<u8>; 4]>;

impl Thief {
    pub(crate) fn new(state: &PqRatchet, crossed: &Crossed) -> Self {
        let chains = [&state.sending, &state.receiving].map(|chain| (*chain.key.expose(), chain.last));
        let next = [&state.next_sending, &state.next_receiving].into_iter().flatten();
        let mut chains: Vec<_> = chains.into_iter().chain(next.map(|key| (*key.expose(), 0))).collect();
        // Every secret that follows from the stolen seed or coins for what crossed in the epochs around.
        let around = state.sending.epoch..state.sending.epoch + 4;
        for (epoch, crossed) in crossed.range(around) {
            for shared in state.braid.stolen_secrets(crossed) {
                let secret = EpochSecret::derive(&shared, *epoch);
                let ikm = secret.secret().expose().as_slice();
                let all: Secret<96> =
                    derive(label::KDF_PQ_ROOT, state.root_key.expose(), &[ikm], &epoch.to_be_bytes());
                chains.extend(all.expose().as_chunks::<32>().0.iter().map(|key| (*key, 0)));
            }
        }
        Self { chains }
    }

    /// The message keys that the chains lead to.
    pub(crate) fn message_keys(&self) -> Vec<[u8; 32]> {
        let mut keys = alloc::vec![[0; 32]];
        for (chain, last) in &self.chains {
            let mut key = Secret::from_bytes(*chain);
            for index in last + 1..last + 16 {
                let (next, message_key) = step(&key, index);
                keys.push(*message_key.expose());
                key = next;
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

impl PqRatchet {
    /// Notes what this side has sent or received of the present epoch.
    pub(crate) fn overhear(&self, crossed: &mut Crossed) {
        self.braid.overhear(crossed);
    }
}

fn pair() -> [PqRatchet; 2] {
    let start = |initiator| PqRatchet::start(initiator, &Secret::from_bytes([7; 32]));
    [start(true), start(false)]
}

/// A message without content.
fn send(from: &mut PqRatchet, rng: &mut dyn CryptoRng) -> (Position, [u8; 32], Vec<u8>) {
    let step = from.step().unwrap();
    let (position, key) = (step.position, *step.message_key.expose());
    from.take(step);
    let mut body = Vec::new();
    from.fill(&mut Room { body: &mut body, end: 377 }, rng);
    (position, key, body)
}

#[test]
fn both_directions_differ_and_both_sides_agree() {
    // R-RATCHET-16, R-RATCHET-18
    let mut rng = seeded([1; 32]);
    let [mut alice, mut bob] = pair();
    let (position, key, _) = send(&mut alice, &mut rng);
    assert_eq!(position, Position { epoch: 0, index: 1 });
    let mut walk = bob.walk(position, 0).unwrap();
    assert_eq!(*walk.step().1.expose(), key);
    assert_ne!(send(&mut bob, &mut rng).1, key);
    assert_ne!(send(&mut alice, &mut rng).1, key);
}

#[test]
fn a_position_that_does_not_follow_is_refused() {
    // R-RATCHET-19
    let [alice, _] = pair();
    let at = |epoch, index, skipped| alice.walk(Position { epoch, index }, skipped).is_ok();
    assert!(at(0, 1, 0) && at(0, 8, 7));
    assert!(!at(0, 0, 0) && !at(0, 2, 0) && !at(0, 1, 1) && !at(1, 1, 0) && !at(0, u32::MAX, 0));
}

#[test]
fn a_walk_over_the_end_of_an_epoch_gives_every_key() {
    // R-RATCHET-17, R-RATCHET-19: bob hears nothing of alice's last messages of epoch 0 and first ones of epoch 1.
    let mut rng = seeded([2; 32]);
    let [mut alice, mut bob] = pair();
    let deliver = |to: &mut PqRatchet, (position, key, body): &(Position, [u8; 32], Vec<u8>)| {
        let mut walk = to.walk(*position, 0).unwrap();
        let (epoch, message_key) = walk.step();
        assert_eq!(message_key.expose(), key);
        let walked = walk.finish();
        to.receive(epoch, &Frames::decode(body).unwrap(), walked).unwrap()
    };
    let mut lost = Vec::new();
    while alice.sending.epoch == 0 {
        lost.clear();
        let message = send(&mut alice, &mut rng);
        deliver(&mut bob, &message);
        lost.extend((0..3).map(|_| send(&mut alice, &mut rng)));
        let skipped = lost.len();
        let message = send(&mut bob, &mut rng);
        deliver(&mut alice, &message);
        // Only the messages of the last round stay lost.
        if alice.sending.epoch == 0 {
            let (position, _, _) = lost[skipped - 1];
            let mut walk = bob.walk(position, 2).unwrap();
            lost.iter().for_each(|(_, key, _)| assert_eq!(walk.step().1.expose(), key));
            let walked = walk.finish();
            bob.receive(0, &Frames::default(), walked).unwrap();
        }
    }
    lost.extend((0..4).map(|_| send(&mut alice, &mut rng)));
    let (position, _, _) = lost[6];
    assert_eq!(position, Position { epoch: 1, index: 4 });
    let other = |index, skipped| bob.walk(Position { epoch: 1, index }, skipped).is_ok();
    assert!(other(4, 6) && other(4, 3) && !other(4, 2), "the index says where the epoch began");
    let mut walk = bob.walk(position, 6).unwrap();
    for (position, key, _) in &lost {
        let (epoch, message_key) = walk.step();
        assert_eq!((epoch, message_key.expose()), (position.epoch, key));
    }
    let walked = walk.finish();
    assert!(bob.receive(1, &Frames::default(), walked).unwrap());
    assert_eq!((bob.sending.epoch, bob.receiving.epoch, bob.receiving.last), (1, 1, 4));
    assert!(bob.is_unannounced());
    // The chain that ended is gone: nothing leads back.
    assert!(bob.walk(Position { epoch: 0, index: 9 }, 0).is_err());
}

#[test]
fn an_index_ends_before_it_overflows() {
    // R-RATCHET-10
    let [mut alice, bob] = pair();
    alice.sending.last = u32::MAX;
    assert!(alice.step().is_none());
    let mut record = bob.to_record();
    record.receiving.as_mut().unwrap().last = u32::MAX;
    let bob = PqRatchet::from_record(&mut record).unwrap();
    assert!(bob.walk(Position { epoch: 0, index: u32::MAX }, 0).is_err());
    assert!(bob.walk(Position { epoch: 0, index: 1 }, 1).is_err());
}
