//! A commit in a slot of the relay (R-GROUP-21).

use alloc::vec::Vec;

use chancery_crypto::aead::{OneTimeKey, TAG_LEN};
use chancery_crypto::kdf::{derive, mac};
use chancery_crypto::label;
use chancery_crypto::rng::{CryptoRng, random_bytes};
use chancery_crypto::secret::Secret;

use crate::GroupError;

/// First byte of the envelope of a commit in a slot.
pub const KIND_GROUP_COMMIT: u8 = 0x18;
/// Attempts at an epoch: who fills slots with what is not valid can be outrun, but not for ever.
pub const MAX_ATTEMPTS: u32 = 256;
/// The content of a slot has a multiple of this many bytes, so that its length tells little of the commit.
pub const SLOT_STEP: usize = 512;
/// Most bytes of a slot's content: 480 KiB, which leaves 32 KiB of a frame for what stores it (R-WIRE-3).
pub const MAX_SLOT_CONTENT: usize = 480 * 1024;

/// Kind, set name, slot name, attempt and salt.
const FRONT: usize = 69;
/// The length of the commit before it.
const PREFIX: usize = 4;
/// What is not the commit or padding.
pub(crate) const AROUND: usize = FRONT + PREFIX + TAG_LEN;

/// The number of a slot of the relay for one epoch's commit, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt(u32);

impl Attempt {
    /// The first slot.
    pub const FIRST: Self = Self(0);

    /// Returns the slot after this; `None` after the last, when a device has to stop and say so.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(next) if next < MAX_ATTEMPTS => Some(Self(next)),
            _ => None,
        }
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The slots of the relay for the commit that ends an epoch.
#[derive(Debug, Clone, Copy)]
pub struct RelaySlots<'a> {
    /// The slot key of the epoch that the commit ends.
    pub slot_key: &'a Secret<32>,
    /// The set name of that epoch.
    pub set_name: &'a [u8; 16],
}

impl RelaySlots<'_> {
    /// Returns a slot's name, 16 bytes.
    #[must_use]
    pub fn name(&self, attempt: Attempt) -> [u8; 16] {
        let whole = mac(label::KDF_GROUP_SLOT_NAME, self.slot_key, &[&attempt.0.to_be_bytes()]);
        let mut name = [0; 16];
        name.iter_mut().zip(whole.expose()).for_each(|(to, from)| *to = *from);
        name
    }

    /// Seals an encoded `GroupCommit` for a slot.
    ///
    /// # Errors
    ///
    /// [`GroupError::Limit`] if it would have more than [`MAX_SLOT_CONTENT`] bytes: regrow, or change less at once.
    pub fn seal(
        &self,
        attempt: Attempt,
        commit: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, GroupError> {
        let whole = commit.len().checked_add(AROUND).and_then(|len| len.checked_next_multiple_of(SLOT_STEP));
        let whole = whole.filter(|len| *len <= MAX_SLOT_CONTENT).ok_or(GroupError::Limit)?;
        let len = u32::try_from(commit.len()).map_err(|_| GroupError::Limit)?;
        let front = self.front(attempt, &random_bytes(rng));
        let mut padded = Vec::with_capacity(whole);
        padded.extend(len.to_be_bytes());
        padded.extend_from_slice(commit);
        padded.resize(whole.saturating_sub(FRONT).saturating_sub(TAG_LEN), 0);
        let sealed = self.key(attempt, &front).seal(&front, &padded);
        Ok([&front[..], &sealed].concat())
    }

    /// Opens what is in a slot and returns the encoded `GroupCommit`, of which nothing is checked yet.
    ///
    /// # Errors
    ///
    /// [`GroupError::Malformed`] or [`GroupError::NotAuthentic`]: the slot holds no valid commit, the next one counts.
    pub fn open(&self, attempt: Attempt, content: &[u8]) -> Result<Vec<u8>, GroupError> {
        if content.len() > MAX_SLOT_CONTENT || !content.len().is_multiple_of(SLOT_STEP) {
            return Err(GroupError::Malformed);
        }
        let (front, sealed) = content.split_first_chunk::<FRONT>().ok_or(GroupError::Malformed)?;
        let salt = front.last_chunk().ok_or(GroupError::Malformed)?;
        if self.front(attempt, salt) != *front {
            return Err(GroupError::Malformed);
        }
        let padded = self.key(attempt, front).open(front, sealed).map_err(|_| GroupError::NotAuthentic)?;
        let parts = || {
            let (len, rest) = padded.expose().split_first_chunk()?;
            let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
            let (commit, padding) = rest.split_at_checked(len)?;
            let shortest = padding.len() < SLOT_STEP && padding.iter().all(|byte| *byte == 0);
            shortest.then(|| commit.to_vec())
        };
        parts().ok_or(GroupError::Malformed)
    }

    fn front(&self, attempt: Attempt, salt: &[u8; 32]) -> [u8; FRONT] {
        let mut front = [KIND_GROUP_COMMIT; FRONT];
        let parts = [&self.set_name[..], &self.name(attempt), &attempt.0.to_be_bytes(), salt];
        front.iter_mut().skip(1).zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        front
    }

    fn key(&self, attempt: Attempt, front: &[u8; FRONT]) -> OneTimeKey {
        let salt = front.last_chunk::<32>().map_or(&[][..], |salt| salt);
        OneTimeKey::new(derive(
            label::KDF_GROUP_SLOT,
            salt,
            &[self.slot_key.expose()],
            &attempt.0.to_be_bytes(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_crypto::rng::seeded;

    #[test]
    fn a_commit_opens_in_its_slot_alone_r_group_21() {
        let (key, other) = (Secret::from_bytes([1; 32]), Secret::from_bytes([2; 32]));
        let slots = RelaySlots { slot_key: &key, set_name: &[3; 16] };
        let mut rng = seeded([4; 32]);
        let second = Attempt::FIRST.next().unwrap();
        for len in [0, 1, SLOT_STEP - AROUND, SLOT_STEP - AROUND + 1, 70_000, MAX_SLOT_CONTENT - AROUND] {
            let commit = alloc::vec![7; len];
            let sealed = slots.seal(Attempt::FIRST, &commit, &mut rng).unwrap();
            assert!(sealed.len().is_multiple_of(SLOT_STEP) && sealed.len() < len + AROUND + SLOT_STEP);
            assert_eq!(slots.open(Attempt::FIRST, &sealed).unwrap(), commit);
            assert!(slots.open(second, &sealed).is_err());
            assert!(RelaySlots { slot_key: &other, ..slots }.open(Attempt::FIRST, &sealed).is_err());
            assert!(RelaySlots { set_name: &[5; 16], ..slots }.open(Attempt::FIRST, &sealed).is_err());
        }
        let sealed = slots.seal(Attempt::FIRST, b"commit", &mut rng).unwrap();
        // What the relay compares with the slot that it puts this into (R-RELAY-72).
        assert_eq!(sealed[17..33], slots.name(Attempt::FIRST));
        for bit in 0..8 * sealed.len() {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(slots.open(Attempt::FIRST, &bad).is_err(), "bit {bit}");
        }
        // Sealed well, but not padded as it has to be: something in the padding, more of it than needed, a length beyond the end.
        let sound = || [&6u32.to_be_bytes()[..], b"commit", &[0; SLOT_STEP - AROUND - 6]].concat();
        let (mut marked, mut beyond) = (sound(), sound());
        marked[PREFIX + 6] = 1;
        beyond[PREFIX - 2] = 2;
        let padded_more = [sound(), alloc::vec![0; SLOT_STEP]].concat();
        for (padded, opens) in [(sound(), true), (marked, false), (beyond, false), (padded_more, false)] {
            let front = slots.front(Attempt::FIRST, &[6; 32]);
            let sealed = slots.key(Attempt::FIRST, &front).seal(&front, &padded);
            let content = [&front[..], &sealed].concat();
            assert!(content.len().is_multiple_of(SLOT_STEP));
            assert_eq!(slots.open(Attempt::FIRST, &content).is_ok(), opens);
        }
        let too_long = alloc::vec![7; MAX_SLOT_CONTENT - AROUND + 1];
        assert_eq!(slots.seal(Attempt::FIRST, &too_long, &mut rng), Err(GroupError::Limit));
    }

    #[test]
    fn slots_have_names_of_their_own_and_end_after_256_r_group_21() {
        let key = Secret::from_bytes([1; 32]);
        let slots = RelaySlots { slot_key: &key, set_name: &[3; 16] };
        let attempts: Vec<_> =
            core::iter::successors(Some(Attempt::FIRST), |attempt| attempt.next()).collect();
        assert_eq!(attempts.len(), 256);
        let names: alloc::collections::BTreeSet<_> =
            attempts.into_iter().map(|attempt| slots.name(attempt)).collect();
        assert_eq!(names.len(), 256);
    }
}
