//! Group messages, sealed and opened (R-GROUP-23).

use alloc::vec::Vec;

use chancery_crypto::committing::{self, Opener, Sealer};
use chancery_crypto::ed25519::{GroupSigningKey, GroupVerifyingKey, SIGNATURE_LEN};
use chancery_crypto::kdf::{derive, mac};
use chancery_crypto::label;
use chancery_crypto::rng::{CryptoRng, random_bytes};
use chancery_crypto::secret::{Secret, SecretBytes};

use crate::sender::Lookup;
use crate::{GroupError, SenderTree, Slot};

/// First byte of the envelope of a group message.
pub const KIND_GROUP_MESSAGE: u8 = 0x17;
/// Lengths that an envelope may have, in bytes: those of session messages (R-ENVELOPE-4).
pub const MESSAGE_LENGTHS: [usize; 8] = [512, 1024, 2048, 4096, 8192, 16_384, 32_768, MAX_LEN];
/// Bytes of an envelope that are neither content nor padding.
pub const MESSAGE_OVERHEAD: usize = 127;
/// Most bytes of a content.
pub const MAX_MESSAGE_CONTENT: usize = MAX_LEN - MESSAGE_OVERHEAD;
/// Most epochs that are over and may still be read: their messages may be on their way (R-GROUP-24).
pub const MAX_OLD_EPOCHS: usize = 4;
/// How long an epoch that is over may still be read, in milliseconds: 7 days (R-GROUP-24).
pub const OLD_EPOCH_MS: u64 = 7 * 24 * 3_600_000;

const MAX_LEN: usize = 65_536;
/// Slot, generation and guard.
const HEAD_LEN: usize = 12;
/// What stands around the padded content with its length.
const AROUND: usize = MESSAGE_OVERHEAD - 2;
/// First byte of the stored form.
const FORMAT: u8 = 1;

/// What a device needs to read the messages of an epoch, and to write while it is the newest.
#[derive(Debug)]
pub struct Messages {
    transcript: [u8; 32],
    set_name: [u8; 16],
    header_key: Secret<32>,
    senders: SenderTree,
}

/// An envelope of kind 0x17, taken apart; nothing of it is proven.
#[derive(Debug, Clone, Copy)]
pub struct MessageEnvelope<'a> {
    /// Names group and epoch.
    pub set_name: &'a [u8; 16],
    head: &'a [u8; HEAD_LEN],
    sealed: &'a [u8],
    tag: &'a [u8; committing::TAG_LEN],
}

impl<'a> MessageEnvelope<'a> {
    /// Takes an envelope apart.
    ///
    /// # Errors
    ///
    /// [`GroupError::Malformed`] for another kind or length: drop it.
    pub fn parse(envelope: &'a [u8]) -> Result<Self, GroupError> {
        if !MESSAGE_LENGTHS.contains(&envelope.len()) {
            return Err(GroupError::Malformed);
        }
        let parts = || {
            let (&KIND_GROUP_MESSAGE, rest) = envelope.split_first()? else { return None };
            let (set_name, rest) = rest.split_first_chunk()?;
            let (head, rest) = rest.split_first_chunk()?;
            let (sealed, tag) = rest.split_last_chunk()?;
            Some(Self { set_name, head, sealed, tag })
        };
        parts().ok_or(GroupError::Malformed)
    }
}

/// A message whose sender says that it is in [`Self::slot`]; not proven yet.
#[derive(Debug)]
pub struct Found<'a> {
    envelope: MessageEnvelope<'a>,
    index: Index,
    transcript: &'a [u8; 32],
    lookup: Lookup<'a>,
}

/// A message of somebody in the epoch, whose tag was checked; who of them sent it is not proven yet.
#[derive(Debug)]
pub struct Tagged<'a> {
    found: Found<'a>,
    opener: Opener,
}

/// Slot, generation and guard.
#[derive(Debug, Clone, Copy)]
struct Index {
    slot: Slot,
    generation: u32,
    guard: [u8; 4],
}

impl Index {
    fn to_bytes(self) -> [u8; HEAD_LEN] {
        let [a, b, c, d] = u32::from(self.slot.get()).to_be_bytes();
        let [e, f, g, h] = self.generation.to_be_bytes();
        let [i, j, k, l] = self.guard;
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }

    fn from_bytes(bytes: [u8; HEAD_LEN]) -> Option<Self> {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        let slot = Slot::from_u32(u32::from_be_bytes([a, b, c, d]))?;
        Some(Self { slot, generation: u32::from_be_bytes([e, f, g, h]), guard: [i, j, k, l] })
    }

    fn keys(&self, message_key: &Secret<32>) -> Secret<64> {
        derive(label::KDF_GROUP_MESSAGE_KEYS, &self.guard, &[message_key.expose()], &[])
    }
}

impl Messages {
    /// Starts an epoch with the `set_name`, `header_key` and `senders` of its [`crate::EpochKeys`].
    #[must_use]
    pub fn new(
        transcript: [u8; 32],
        set_name: [u8; 16],
        header_key: Secret<32>,
        senders: Secret<32>,
    ) -> Self {
        Self { transcript, set_name, header_key, senders: SenderTree::new(senders) }
    }

    /// Returns the epoch's set name, by which its envelopes are found.
    #[must_use]
    pub const fn set_name(&self) -> &[u8; 16] {
        &self.set_name
    }

    /// Returns the senders' secrets, to forget slots and to count skipped keys.
    #[must_use]
    pub const fn senders(&mut self) -> &mut SenderTree {
        &mut self.senders
    }

    /// Seals a content in the smallest length that fits. The chain has moved on then: store this before the envelope leaves the device.
    ///
    /// # Errors
    ///
    /// [`GroupError::Limit`] for more than [`MAX_MESSAGE_CONTENT`] bytes or 2^32 − 1 messages, [`GroupError::NotAMember`] once the own slot
    /// was forgotten; nothing has changed then.
    pub fn seal(
        &mut self,
        own: Slot,
        key: &GroupSigningKey,
        content: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, GroupError> {
        let whole = content.len().saturating_add(MESSAGE_OVERHEAD);
        let len = MESSAGE_LENGTHS.into_iter().find(|len| *len >= whole).ok_or(GroupError::Limit)?;
        let content_len = u16::try_from(content.len()).map_err(|_| GroupError::Limit)?;
        let (generation, message_key) = self.senders.send(own)?;
        let index = Index { slot: own, generation, guard: random_bytes(rng) };
        let mut sealed = Vec::with_capacity(len);
        sealed.extend(content_len.to_be_bytes());
        sealed.extend_from_slice(content);
        sealed.resize(len.saturating_sub(AROUND), 0);
        let mut sealer = Sealer::new(&index.keys(&message_key));
        sealer.encrypt(&mut sealed).map_err(|_| GroupError::Limit)?;
        let mut signature = key.sign(label::SIGN_GROUP_MESSAGE, &signed(&self.transcript, index, &sealed));
        sealer.encrypt(&mut signature).map_err(|_| GroupError::Limit)?;
        sealed.extend(signature);
        let tag = sealer.tag(label::MAC_GROUP_MESSAGE, &[&front(&self.set_name), &index.to_bytes(), &sealed]);
        let head = masked(&self.header_key, &tag, index.to_bytes());
        Ok([&front(&self.set_name)[..], &head, &sealed, &tag].concat())
    }

    /// Returns the slot that a message says to come from; nothing of it is proven. A device's own messages, which the relay gives it too, are
    /// to be dropped by this: their keys are gone.
    ///
    /// # Errors
    ///
    /// [`GroupError::OtherEpoch`] if the set name is not this epoch's, [`GroupError::NotAuthentic`] if there is no such slot: drop it.
    pub fn slot_of(&self, envelope: &MessageEnvelope<'_>) -> Result<Slot, GroupError> {
        self.index(envelope).map(|index| index.slot)
    }

    fn index(&self, envelope: &MessageEnvelope<'_>) -> Result<Index, GroupError> {
        if *envelope.set_name != self.set_name {
            return Err(GroupError::OtherEpoch);
        }
        let head = masked(&self.header_key, envelope.tag, *envelope.head);
        Index::from_bytes(head).ok_or(GroupError::NotAuthentic)
    }

    /// Finds who says to have sent a message, and its key.
    ///
    /// # Errors
    ///
    /// [`GroupError::OtherEpoch`] if the set name is not this epoch's, [`GroupError::NotAuthentic`] if the head makes no sense or the key is
    /// gone: drop the message.
    pub fn find<'a>(&'a mut self, envelope: MessageEnvelope<'a>) -> Result<Found<'a>, GroupError> {
        let index = self.index(&envelope)?;
        let lookup = self.senders.find(index.slot, index.generation)?;
        Ok(Found { envelope, index, transcript: &self.transcript, lookup })
    }

    /// Returns the stored form: 81 bytes and the senders' secrets.
    #[must_use]
    pub fn to_bytes(&self) -> SecretBytes {
        let senders = self.senders.to_bytes();
        let mut out = Vec::with_capacity(senders.expose().len().saturating_add(81));
        out.push(FORMAT);
        out.extend(self.transcript);
        out.extend(self.set_name);
        out.extend_from_slice(self.header_key.expose());
        out.extend_from_slice(senders.expose());
        SecretBytes::new(out)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    ///
    /// [`GroupError::Malformed`] for anything else: the store is damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, GroupError> {
        let parts = || {
            let (&FORMAT, rest) = bytes.split_first()? else { return None };
            let (transcript, rest) = rest.split_first_chunk()?;
            let (set_name, rest) = rest.split_first_chunk()?;
            let (header_key, rest) = rest.split_at_checked(32)?;
            Some((*transcript, *set_name, Secret::from_slice(header_key)?, rest))
        };
        let (transcript, set_name, header_key, rest) = parts().ok_or(GroupError::Malformed)?;
        Ok(Self { transcript, set_name, header_key, senders: SenderTree::from_bytes(rest)? })
    }
}

impl<'a> Found<'a> {
    /// Returns the slot that the message says to come from.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        self.index.slot
    }

    /// Checks the tag.
    ///
    /// # Errors
    ///
    /// [`GroupError::NotAuthentic`]: drop the message; nothing has changed.
    pub fn check(self) -> Result<Tagged<'a>, GroupError> {
        let key = self.lookup.key().ok_or(GroupError::NotAuthentic)?;
        let (front, index) = (front(self.envelope.set_name), self.index.to_bytes());
        let opener = Opener::new(
            &self.index.keys(key),
            label::MAC_GROUP_MESSAGE,
            &[&front, &index, self.envelope.sealed],
            self.envelope.tag,
        );
        let opener = opener.map_err(|_| GroupError::NotAuthentic)?;
        Ok(Tagged { found: self, opener })
    }
}

impl Tagged<'_> {
    /// Returns the slot that the message says to come from.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        self.found.index.slot
    }

    /// Verifies the signature and returns the content; the message's key is gone then. `group_key` is the one of the slot's entry, whose
    /// credential the caller has verified.
    ///
    /// # Errors
    ///
    /// [`GroupError::NotAuthentic`]: drop the message; nothing has changed.
    pub fn open(mut self, group_key: &GroupVerifyingKey) -> Result<SecretBytes, GroupError> {
        let content = self.content(group_key).ok_or(GroupError::NotAuthentic)?;
        self.found.lookup.adopt();
        Ok(content)
    }

    fn content(&mut self, group_key: &GroupVerifyingKey) -> Option<SecretBytes> {
        let (text, signature) = self.found.envelope.sealed.split_last_chunk::<SIGNATURE_LEN>()?;
        let padded = self.opener.decrypt(text).ok()?;
        let signature = self.opener.decrypt(signature).ok()?;
        let signed = signed(self.found.transcript, self.found.index, text);
        group_key.verify(label::SIGN_GROUP_MESSAGE, &signed, signature.expose().first_chunk()?).ok()?;
        let (len, rest) = padded.expose().split_first_chunk()?;
        let (content, padding) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        padding.iter().all(|byte| *byte == 0).then(|| SecretBytes::new(content.to_vec()))
    }
}

/// The envelope's first 17 bytes.
fn front(set_name: &[u8; 16]) -> [u8; 17] {
    let mut front = [KIND_GROUP_MESSAGE; 17];
    front.iter_mut().skip(1).zip(set_name).for_each(|(to, from)| *to = *from);
    front
}

fn masked(
    header_key: &Secret<32>,
    tag: &[u8; committing::TAG_LEN],
    mut head: [u8; HEAD_LEN],
) -> [u8; HEAD_LEN] {
    let mask = mac(label::KDF_GROUP_HEADER, header_key, &[tag]);
    head.iter_mut().zip(mask.expose()).for_each(|(to, mask)| *to ^= mask);
    head
}

fn signed(transcript: &[u8; 32], index: Index, text: &[u8]) -> Vec<u8> {
    [&transcript[..], &index.to_bytes(), text].concat()
}

#[cfg(test)]
mod tests;
