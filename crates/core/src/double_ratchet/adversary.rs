//! An adversary who is given a device's whole state at one message, and half of all secrets there ever are, and tries
//! everything it holds on every message.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that goes wrong may panic"
)]

use alloc::collections::{BTreeMap, BTreeSet};

use chancery_crypto::kdf::derive;
use chancery_crypto::label;

use super::*;
use crate::message_key::switched_off::{Half, switch_off};
use crate::padding::BodyPlan;
use crate::pq_ratchet::tests::Thief;
use crate::refresh::Refresh;
use crate::session::Session;

const MESSAGES: usize = 64;

/// A message, and what only its sender knew of it.
struct Sent {
    envelope: Vec<u8>,
    classical_key: [u8; 32],
    post_quantum_key: [u8; 32],
    ratchet_key: DhPublic,
}

/// A conversation in strict alternation, with the states of both sides before each message.
struct Talk {
    sent: Vec<Sent>,
    states: Vec<[Vec<u8>; 2]>,
    /// For each epoch what crossed in it: header, vector, ct1, ct2; an eavesdropper on the braid has all of it.
    crossed: BTreeMap<u32, [Vec<u8>; 4]>,
}

fn session(ratchet: DoubleRatchet) -> Session {
    Session {
        id: [1; 16],
        peer_device: chancery_identity::DeviceId::new([2; 16]),
        associated_data: [6; 32],
        ratchet,
        filled: 0,
        refresh: Refresh::start(Timestamp::from_millis(1)),
    }
}

fn read(bytes: &[u8]) -> DoubleRatchet {
    Session::from_bytes(bytes).unwrap().ratchet
}

impl Talk {
    fn run(secrets: impl Fn() -> InitialSecrets) -> Self {
        let mut rng = chancery_crypto::rng::seeded([77; 32]);
        let prekey = DhSecret::generate(&mut rng);
        let alice = DoubleRatchet::initiate(secrets(), prekey.public(), &mut rng).unwrap();
        let mut sides = [session(alice), session(DoubleRatchet::respond(secrets(), prekey))];
        let mut talk = Self { sent: Vec::new(), states: Vec::new(), crossed: BTreeMap::new() };
        for count in 0..=MESSAGES {
            let (from, to) = (count % 2, 1 - count % 2);
            if count > 0 {
                talk.states.push(sides.each_ref().map(|side| side.to_bytes().expose().to_vec()));
            }
            let ratchet = &mut sides[from].ratchet;
            let classical_key = ratchet.sending.as_ref().unwrap().chain_key.step().1;
            let post_quantum_key = ratchet.post_quantum.step().unwrap().message_key;
            let plan = BodyPlan::new(40, 0).unwrap();
            let bound = Bound { associated_data: &[6; 32], before: &[] };
            let envelope = ratchet.encrypt(bound, (&[b'm'; 40], plan.len), &mut rng).unwrap();
            let ratchet_key = *ratchet.ratchet_secret.public();
            let decrypted = sides[to].decrypt(&envelope, Timestamp::from_millis(1), &mut rng).unwrap();
            assert_eq!(decrypted.plaintext.expose(), [b'm'; 40]);
            for side in &sides {
                side.ratchet.post_quantum.overhear(&mut talk.crossed);
            }
            if count > 0 {
                talk.sent.push(Sent {
                    envelope,
                    classical_key: *classical_key.secret().expose(),
                    post_quantum_key: *post_quantum_key.expose(),
                    ratchet_key,
                });
            }
        }
        talk
    }

    /// The messages that open to one of `classical` with one of `post_quantum`, or to a key that was stored.
    fn read_by(
        &self,
        classical: impl Fn(&Sent) -> Vec<[u8; 32]>,
        post_quantum: impl Fn(&Sent) -> Vec<[u8; 32]>,
        skipped: &SkippedKeys,
    ) -> Vec<usize> {
        let opens = |sent: &Sent| {
            let message = SessionEnvelope::parse(&sent.envelope).unwrap();
            let aad = Bound { associated_data: &[6; 32], before: &[] }
                .body_aad(&message.tag, message.sealed_header);
            let post_quantum = post_quantum(sent);
            let combined = classical(sent).into_iter().flat_map(|ec| {
                post_quantum
                    .iter()
                    .map(move |pq| MessageKey::new(derive(label::KDF_TRIPLE, pq, &[&ec], &[])))
                    .collect::<Vec<_>>()
            });
            let stored = skipped
                .iter()
                .map(|key| MessageKey::new(Secret::from_bytes(*key.message_key.secret().expose())));
            combined.chain(stored).any(|key| key.open(&aad, message.body).is_ok())
        };
        (0..self.sent.len()).filter(|i| opens(&self.sent[*i])).collect()
    }
}

/// All classical keys that follow from a state and from any ratchet key that was ever seen.
fn classical_keys(state: &DoubleRatchet, seen: &BTreeSet<DhPublic>) -> Vec<[u8; 32]> {
    let mut chains: Vec<[u8; 32]> = Vec::new();
    chains.extend(state.sending.iter().map(|chain| *chain.chain_key.secret().expose()));
    chains.extend(state.receiving.iter().map(|chain| *chain.chain_key.secret().expose()));
    let mut roots = alloc::vec![*state.root_key.secret().expose()];
    for _ in 0..2 {
        let mut next = Vec::new();
        for root in &roots {
            for key in seen {
                let dh = state.ratchet_secret.agree(key).unwrap();
                let step = RootKey::new(Secret::from_bytes(*root)).step(&dh);
                chains.push(*step.chain_key.secret().expose());
                next.push(*step.root_key.secret().expose());
            }
        }
        roots = next;
    }
    let mut keys = alloc::vec![[0; 32]];
    for chain in chains {
        let mut chain = ChainKey::new(Secret::from_bytes(chain));
        for _ in 0..3 {
            let (next, key) = chain.step();
            keys.push(*key.secret().expose());
            chain = next;
        }
    }
    keys
}

fn secrets() -> InitialSecrets {
    let secret = |byte| Secret::from_bytes([byte; 32]);
    InitialSecrets {
        root_key: RootKey::new(secret(1)),
        header_key_a: HeaderKey::new(secret(2)),
        header_key_b: HeaderKey::new(secret(3)),
        post_quantum: secret(7),
    }
}

/// Which messages somebody reads who stole a side's state before message `k` and knows every classical key there is.
fn with_the_classical_half_broken(talk: &Talk, side: usize, k: usize) -> Vec<usize> {
    let state = read(&talk.states[k][side]);
    let thief = Thief::new(&state.post_quantum, &talk.crossed);
    let keys = thief.message_keys();
    talk.read_by(|sent| alloc::vec![sent.classical_key], |_| keys.clone(), &state.skipped)
}

/// Which messages somebody reads who stole a side's state before message `k` and knows every post-quantum key there is.
fn with_the_post_quantum_half_broken(talk: &Talk, side: usize, k: usize) -> Vec<usize> {
    let state = read(&talk.states[k][side]);
    let near = &talk.sent[k.saturating_sub(3)..(k + 6).min(talk.sent.len())];
    let seen = near.iter().map(|sent| sent.ratchet_key).collect();
    let keys = classical_keys(&state, &seen);
    talk.read_by(|_| keys.clone(), |sent| alloc::vec![sent.post_quantum_key, [0; 32]], &state.skipped)
}

#[test]
fn with_the_classical_half_broken_a_stolen_state_opens_nothing_before_it_and_nothing_after_healing() {
    // R-RATCHET-21
    let talk = Talk::run(secrets);
    let mut worst = 0;
    for k in (0..MESSAGES - 24).step_by(3) {
        let read = with_the_classical_half_broken(&talk, k / 3 % 2, k);
        assert!(read.iter().all(|i| *i >= k), "{read:?} before {k}");
        // The thief is a real one: it reads on until an epoch has healed it out.
        assert_eq!(read, (k..k + read.len()).collect::<Vec<_>>());
        assert!(!read.is_empty());
        worst = worst.max(read.len());
    }
    // The rest of the epoch of the theft, and one whole epoch more.
    assert!(worst <= 20, "{worst} messages");
}

#[test]
fn with_the_post_quantum_half_broken_a_stolen_state_opens_nothing_before_it_and_nothing_after_healing() {
    // R-RATCHET-21
    let talk = Talk::run(secrets);
    for k in (0..MESSAGES - 24).step_by(5) {
        let read = with_the_post_quantum_half_broken(&talk, k / 5 % 2, k);
        assert!(read.iter().all(|i| *i >= k), "{read:?} before {k}");
        assert_eq!(read, (k..k + read.len()).collect::<Vec<_>>());
        assert!((1..=3).contains(&read.len()), "{} messages from {k} on", read.len());
    }
}

#[test]
fn the_adversary_succeeds_where_the_other_half_is_switched_off() {
    // R-RATCHET-21: the controls of both tests above.
    switch_off(Half::PostQuantum);
    let talk = Talk::run(secrets);
    assert_eq!(with_the_classical_half_broken(&talk, 0, 20), (0..MESSAGES).collect::<Vec<_>>());
    switch_off(Half::Classical);
    let talk = Talk::run(secrets);
    assert_eq!(with_the_post_quantum_half_broken(&talk, 1, 20), (0..MESSAGES).collect::<Vec<_>>());
    switch_off(Half::Neither);
}
