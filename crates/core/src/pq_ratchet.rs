//! The post-quantum ratchet: a message key for every message, from chains that each epoch of the braid starts anew.
//!
//! It runs beside the Double Ratchet and encrypts nothing itself; [`MessageKey::combine`](crate::message_key::MessageKey)
//! puts the two keys together.
//!
//! Source: Double Ratchet, revision 4, section 5; `docs/PROTOCOL.md`, section "Ratchet" (R-RATCHET-16 onwards).

use alloc::vec::Vec;

use chancery_crypto::NotAuthentic;
use chancery_crypto::kdf::{MacKey, derive};
use chancery_crypto::label;
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::Secret;
use chancery_wire::proto;

use crate::braid::{Braid, EpochSecret, Frames, Room};

/// Where a message stands in the post-quantum ratchet of its sender: epoch, and index from 1 in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) epoch: u32,
    pub(crate) index: u32,
}

/// The chain of one direction in one epoch.
#[derive(Debug)]
pub(crate) struct PqChain {
    epoch: u32,
    key: Secret<32>,
    /// Index of the last message, 0 for none.
    last: u32,
}

/// One side of the ratchet.
#[derive(Debug)]
pub(crate) struct PqRatchet {
    /// Whether this is the initiator of the session, whose direction's chain comes first in each derivation.
    initiator: bool,
    root_key: Secret<32>,
    /// Of the newest epoch that the peer surely knows.
    sending: PqChain,
    /// Of the newest epoch in which a message has arrived.
    receiving: PqChain,
    /// The chain key of the epoch after that of `sending`, if its secret is known here.
    next_sending: Option<Secret<32>>,
    /// The chain key of the epoch after that of `receiving`, if its secret is known here.
    next_receiving: Option<Secret<32>>,
    /// Agrees on the epoch after that of `sending`.
    braid: Braid,
}

/// A step of the sending chain that has not been taken yet.
pub(crate) struct Step {
    pub(crate) position: Position,
    pub(crate) message_key: Secret<32>,
    chain_key: Secret<32>,
}

impl PqRatchet {
    /// Starts from the last 32 bytes of the session's secrets (R-RATCHET-16).
    pub(crate) fn start(initiator: bool, secret: &Secret<32>) -> Self {
        let all: Secret<160> = derive(label::KDF_PQ_START, &[0; 32], &[secret.expose()], &[]);
        let [root_key, from_initiator, from_responder] = parts(all.expose());
        let authenticator = Secret::init_with(|out| copy(out, all.expose().iter().skip(96)));
        let (sending, receiving) = in_and_out(initiator, from_initiator, from_responder);
        Self {
            initiator,
            root_key,
            sending: PqChain { epoch: 0, key: sending, last: 0 },
            receiving: PqChain { epoch: 0, key: receiving, last: 0 },
            next_sending: None,
            next_receiving: None,
            braid: Braid::start(initiator, authenticator),
        }
    }

    /// The next step of the sending chain; `None` when the index is used up.
    pub(crate) fn step(&self) -> Option<Step> {
        let index = self.sending.last.checked_add(1)?;
        let (chain_key, message_key) = step(&self.sending.key, index);
        Some(Step { position: Position { epoch: self.sending.epoch, index }, message_key, chain_key })
    }

    /// Takes the step; the chain key before it is erased (R-RATCHET-21).
    pub(crate) fn take(&mut self, step: Step) {
        self.sending = PqChain { epoch: step.position.epoch, key: step.chain_key, last: step.position.index };
    }

    /// Fills the room behind a content with what the braid has to say.
    pub(crate) fn fill(&mut self, room: &mut Room<'_>, rng: &mut dyn CryptoRng) {
        if let Some(secret) = self.braid.send(room, rng) {
            let (sending, receiving) = self.add_epoch(self.braid.epoch(), &secret);
            self.next_sending = Some(sending);
            self.next_receiving = Some(receiving);
        }
    }

    /// Begins to walk the receiving chain over `skipped` messages to the one at `position`.
    ///
    /// The sender's messages form one line, of which this is the next piece: their positions follow from where the line is and
    /// where it must end (R-RATCHET-19).
    pub(crate) fn walk(&self, position: Position, skipped: u32) -> Result<Walk<'_>, NotAuthentic> {
        let receiving = &self.receiving;
        let behind = position.index.checked_sub(1).ok_or(NotAuthentic)?;
        if position.epoch == receiving.epoch {
            let expected = receiving.last.checked_add(skipped).ok_or(NotAuthentic)?;
            return (behind == expected).then(|| Walk::new(receiving, None, 0)).ok_or(NotAuthentic);
        }
        let next = self.next_receiving.as_ref().ok_or(NotAuthentic)?;
        if Some(position.epoch) != receiving.epoch.checked_add(1) {
            return Err(NotAuthentic);
        }
        let before = skipped.checked_sub(behind).ok_or(NotAuthentic)?;
        receiving.last.checked_add(before).ok_or(NotAuthentic)?;
        Ok(Walk::new(receiving, Some(next), before))
    }

    /// Takes over what an authentic message of `epoch` brought: the end of the walk if it was not a skipped one, and frames.
    ///
    /// Returns whether an epoch has ended. After an error nothing has changed.
    pub(crate) fn receive(
        &mut self,
        epoch: u32,
        frames: &Frames<'_>,
        receiving: Option<PqChain>,
    ) -> Result<bool, NotAuthentic> {
        let progress = self.braid.receive(epoch.checked_add(1).ok_or(NotAuthentic)?, frames)?;
        if let Some(receiving) = receiving {
            if receiving.epoch != self.receiving.epoch {
                self.next_receiving = None;
            }
            self.receiving = receiving;
        }
        if let Some(secret) = &progress.agreed {
            // The braid is already in the next epoch.
            let epoch = self.sending.epoch.saturating_add(1);
            let (sending, receiving) = self.add_epoch(epoch, secret);
            self.sending = PqChain { epoch, key: sending, last: 0 };
            self.next_receiving = Some(receiving);
        }
        if progress.peer_agreed {
            let next = self.next_sending.take();
            if let Some(key) = next {
                self.sending = PqChain { epoch: self.sending.epoch.saturating_add(1), key, last: 0 };
            }
        }
        Ok(progress.peer_agreed || progress.agreed.is_some())
    }

    /// Whether nothing has been sent yet in the newest epoch, so that the peer may not know that it began.
    pub(crate) const fn is_unannounced(&self) -> bool {
        self.sending.epoch > 0 && self.sending.last == 0
    }

    /// `KDF_SCKA_RK`: mixes an epoch's secret into the root; returns the chain keys for sending and receiving (R-RATCHET-17).
    fn add_epoch(&mut self, epoch: u32, secret: &EpochSecret) -> (Secret<32>, Secret<32>) {
        let ikm = secret.secret().expose().as_slice();
        let all: Secret<96> =
            derive(label::KDF_PQ_ROOT, self.root_key.expose(), &[ikm], &epoch.to_be_bytes());
        let [root_key, from_initiator, from_responder] = parts(all.expose());
        self.root_key = root_key;
        in_and_out(self.initiator, from_initiator, from_responder)
    }

    /// Writes the state. The caller wipes what it gets.
    pub(crate) fn to_record(&self) -> proto::PostQuantum {
        let optional =
            |key: &Option<Secret<32>>| key.as_ref().map_or_else(Vec::new, |key| key.expose().to_vec());
        proto::PostQuantum {
            initiator: self.initiator,
            root_key: self.root_key.expose().to_vec(),
            sending: Some(self.sending.to_record()),
            receiving: Some(self.receiving.to_record()),
            next_sending: optional(&self.next_sending),
            next_receiving: optional(&self.next_receiving),
            braid: Some(self.braid.to_record()),
        }
    }

    /// Reads the state; empties the record of its public values. `None` if it is damaged.
    pub(crate) fn from_record(record: &mut proto::PostQuantum) -> Option<Self> {
        let optional = |key: &[u8]| match key {
            [] => Some(None),
            key => Secret::from_slice(key).map(Some),
        };
        let sending = PqChain::from_record(record.sending.as_ref()?)?;
        let epoch = sending.epoch.checked_add(1)?;
        Some(Self {
            initiator: record.initiator,
            root_key: Secret::from_slice(&record.root_key)?,
            sending,
            receiving: PqChain::from_record(record.receiving.as_ref()?)?,
            next_sending: optional(&record.next_sending)?,
            next_receiving: optional(&record.next_receiving)?,
            braid: Braid::from_record(record.braid.as_mut()?, epoch)?,
        })
    }
}

/// A piece of the receiving direction, message by message, without changing it.
pub(crate) struct Walk<'a> {
    at: &'a PqChain,
    next: Option<&'a Secret<32>>,
    /// Messages that are still to come of the epoch of `at`, if the epoch changes.
    before: u32,
    /// The chain after the first step.
    moved: Option<PqChain>,
}

impl<'a> Walk<'a> {
    const fn new(at: &'a PqChain, next: Option<&'a Secret<32>>, before: u32) -> Self {
        Self { at, next, before, moved: None }
    }

    /// The next message's epoch and key.
    pub(crate) fn step(&mut self) -> (u32, Secret<32>) {
        let (epoch, key, last) = match (self.before, self.next) {
            (0, Some(next)) => {
                self.next = None;
                (self.at.epoch.saturating_add(1), next, 0)
            }
            (before, _) => {
                self.before = before.saturating_sub(1);
                let chain = self.moved.as_ref().unwrap_or(self.at);
                (chain.epoch, &chain.key, chain.last)
            }
        };
        // `PqRatchet::walk` has made sure that no index overflows.
        let last = last.saturating_add(1);
        let (key, message_key) = step(key, last);
        self.moved = Some(PqChain { epoch, key, last });
        (epoch, message_key)
    }

    /// The chain after the last step.
    pub(crate) fn finish(self) -> Option<PqChain> {
        self.moved
    }
}

impl PqChain {
    fn to_record(&self) -> proto::PostQuantumChain {
        proto::PostQuantumChain { epoch: self.epoch, chain_key: self.key.expose().to_vec(), last: self.last }
    }

    fn from_record(record: &proto::PostQuantumChain) -> Option<Self> {
        Some(Self { epoch: record.epoch, key: Secret::from_slice(&record.chain_key)?, last: record.last })
    }
}

/// `KDF_SCKA_CK`: the next chain key, and the key of message `index` (R-RATCHET-18).
fn step(key: &Secret<32>, index: u32) -> (Secret<32>, Secret<32>) {
    let index = index.to_be_bytes();
    let key = MacKey::new(key);
    (key.mac(label::KDF_PQ_CHAIN, &[&index]), key.mac(label::KDF_PQ_MESSAGE, &[&index]))
}

fn in_and_out<T>(initiator: bool, from_initiator: T, from_responder: T) -> (T, T) {
    if initiator { (from_initiator, from_responder) } else { (from_responder, from_initiator) }
}

/// The first 96 bytes, in three.
fn parts(bytes: &[u8]) -> [Secret<32>; 3] {
    let (parts, _) = bytes.as_chunks::<32>();
    core::array::from_fn(|i| Secret::init_with(|out| copy(out, parts.get(i).into_iter().flatten())))
}

fn copy<'a>(out: &mut [u8], from: impl Iterator<Item = &'a u8>) {
    out.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

#[cfg(test)]
pub(crate) mod tests;
