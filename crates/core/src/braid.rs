//! The ML-KEM Braid: a sparse continuous key agreement, whose values travel in the padding of messages.
//!
//! In each epoch one side makes an ML-KEM-768 key pair and the other encapsulates to it; then they swap. Both halves
//! cross at the same time: ct1 needs only the 64-byte header of the key. An epoch ends with a secret that both sides know;
//! the [`PqRatchet`](crate::pq_ratchet::PqRatchet) mixes it in.
//!
//! Source: Signal, "The ML-KEM Braid Protocol", revision 1; `docs/PROTOCOL.md`, section "Braid" (R-BRAID).

use chancery_crypto::NotAuthentic;
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::Secret;

mod authenticator;
mod codewords;
mod frame;
mod record;
mod states;

pub(crate) use authenticator::{Authenticator, EpochSecret};
use frame::MIN_FRAME_LEN;
pub(crate) use frame::{FRAME_HEAD_LEN, Frames, Room};
use states::State;

/// One side of the agreement.
#[derive(Debug)]
pub(crate) struct Braid {
    /// The epoch that is being agreed on, from 1.
    epoch: u32,
    /// Of this epoch; of the next from the moment on that its secret is known here.
    authenticator: Authenticator,
    state: State,
}

/// What a message did to the agreement.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The secret of the epoch that has just ended, for the side that made the key pair.
    pub(crate) agreed: Option<EpochSecret>,
    /// The peer has ended the epoch, for the side that encapsulated and has known its secret for long.
    pub(crate) peer_agreed: bool,
}

impl Braid {
    /// The first epoch, in which the initiator of the session makes the key pair (R-BRAID-1).
    pub(crate) fn start(initiator: bool, authenticator: Secret<64>) -> Self {
        let state = if initiator { State::KeysUnsampled } else { State::no_header_received() };
        Self { epoch: 1, authenticator: Authenticator::new(authenticator), state }
    }

    /// The epoch that is being agreed on.
    pub(crate) const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Fills the room that a content leaves; returns the secret of the epoch if the encapsulation happened now.
    ///
    /// Key pairs are made and secrets encapsulated only when there is room to send what comes of it. As many codewords as fit go
    /// into each message, which is what lets chat messages heal within twelve (R-BRAID-8).
    pub(crate) fn send(&mut self, room: &mut Room<'_>, rng: &mut dyn CryptoRng) -> Option<EpochSecret> {
        if room.left() >= MIN_FRAME_LEN {
            let (state, shared) = self.take_state().prepare(&self.authenticator, self.epoch, rng);
            self.state = state;
            self.state.write(room);
            let secret = EpochSecret::derive(&shared?, self.epoch);
            self.authenticator = self.authenticator.next(&secret, self.epoch);
            return Some(secret);
        }
        self.state.write(room);
        None
    }

    /// Takes over what an authentic body of `epoch` carried (R-BRAID-7).
    ///
    /// What an honest peer never sends is an error, after which nothing has changed. Only somebody who holds the keys of the
    /// session can cause one.
    pub(crate) fn receive(&mut self, epoch: u32, frames: &Frames<'_>) -> Result<Progress, NotAuthentic> {
        if epoch > self.epoch {
            return self.follow(epoch, frames);
        }
        if epoch < self.epoch {
            self.state.refill();
            return Ok(Progress::default());
        }
        if !frames.are_only(self.state.expects()) {
            return Err(NotAuthentic);
        }
        match self.take_state().receive(frames, &self.authenticator, self.epoch) {
            states::Outcome::Continues(state) => self.state = state,
            states::Outcome::Refused(state) => {
                self.state = state;
                return Err(NotAuthentic);
            }
            states::Outcome::Agreed { secret, authenticator } => {
                // Checked when the ciphertext was, so that an epoch without a successor is refused and not ended.
                self.epoch = self.epoch.saturating_add(1);
                self.authenticator = authenticator;
                self.state = State::no_header_received();
                return Ok(Progress { agreed: Some(secret), peer_agreed: false });
            }
        }
        self.state.refill();
        Ok(Progress::default())
    }

    /// The peer is an epoch ahead: it has the ciphertext. Now the roles change.
    fn follow(&mut self, epoch: u32, frames: &Frames<'_>) -> Result<Progress, NotAuthentic> {
        let next = self.epoch.checked_add(1) == Some(epoch);
        if !next || !matches!(self.state, State::Ct2Sampled(_)) || !frames.are_only(&[]) {
            return Err(NotAuthentic);
        }
        self.epoch = epoch;
        self.state = State::KeysUnsampled;
        Ok(Progress { agreed: None, peer_agreed: true })
    }

    /// Moves the state out, to be consumed; every path puts one back.
    fn take_state(&mut self) -> State {
        core::mem::replace(&mut self.state, State::KeysUnsampled)
    }
}

#[cfg(test)]
mod tests;
