//! Guests and bots: what kind of member somebody is, whom they reach, and the little directory that a guest gets.

use alloc::vec::Vec;

use chancery_crypto::hash::hash16;
use chancery_crypto::label;
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_crypto::{NotAuthentic, rng::random_bytes};
use chancery_wire::{Limit, Unverified, decode, encode, proto};

use crate::delivery::{BLOB_TOKEN_NAME, DELIVERY_TOKEN_LEN, DeliveryKey, SendKey, Use};
use crate::directory::{SALT_LEN, associated_data, entry_key, pad, unpad};
use crate::{Capabilities, DeviceId, MemberId, OrgId};

/// The most members that a guest or bot reaches by name: 256 (R-ID-21). A customer's team and those who work for them;
/// whoever has to reach more is a member, or a bot that reaches all.
pub const MAX_REACH: usize = 256;
/// What stands for the epoch of a directory key in what is sealed for a guest: no directory key has it.
pub const GUEST_EPOCH: u64 = u64::MAX;

/// What kind of member somebody is (R-ID-21). The numbers are part of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// A person of the organisation.
    #[default]
    Person = 0,
    /// A person of another organisation, who reaches those that the entry names.
    Guest = 1,
    /// A program of the organisation.
    Bot = 2,
    /// A program of another organisation, which reaches those that the entry names.
    GuestBot = 3,
}

impl Kind {
    /// Reads the number; `None` for one that this version does not know.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Person),
            1 => Some(Self::Guest),
            2 => Some(Self::Bot),
            3 => Some(Self::GuestBot),
            _ => None,
        }
    }

    /// Returns the number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// Returns the kind of member that a device with these capabilities is of; `None` if it is no member's, the desk's
    /// for instance, or claims to be both a member's and a guest's (R-ID-22).
    #[must_use]
    pub const fn of(capabilities: Capabilities) -> Option<Self> {
        let member = capabilities.contains(Capabilities::MEMBER);
        let guest = capabilities.contains(Capabilities::GUEST);
        match (member, guest, capabilities.contains(Capabilities::BOT)) {
            (true, false, false) => Some(Self::Person),
            (false, true, false) => Some(Self::Guest),
            (true, false, true) => Some(Self::Bot),
            (false, true, true) => Some(Self::GuestBot),
            _ => None,
        }
    }

    /// Returns what the devices of such a member may do.
    #[must_use]
    pub const fn capabilities(self) -> Capabilities {
        let of = if self.is_guest() { Capabilities::GUEST } else { Capabilities::MEMBER };
        if self.is_bot() { of.union(Capabilities::BOT) } else { of }
    }

    /// Whether such a member holds no key of the directory.
    #[must_use]
    pub const fn is_guest(self) -> bool {
        matches!(self, Self::Guest | Self::GuestBot)
    }

    /// Whether such a member is a program.
    #[must_use]
    pub const fn is_bot(self) -> bool {
        matches!(self, Self::Bot | Self::GuestBot)
    }

    /// Returns the name of the kind, as it is shown and typed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Person => "member",
            Self::Guest => "guest",
            Self::Bot => "bot",
            Self::GuestBot => "guest-bot",
        }
    }

    /// Whether a member of this kind may exchange messages with another, as far as its own `reach` says (R-ID-21): a
    /// person reaches everybody, a bot too if nobody is named, and otherwise who is named.
    #[must_use]
    pub fn reaches(self, reach: &[MemberId], other: &MemberId) -> bool {
        match self {
            Self::Person => true,
            Self::Bot if reach.is_empty() => true,
            _ => reach.contains(other),
        }
    }
}

/// The key under which a guest's devices get what they know of the directory (R-ID-23).
///
/// It is random, made by the desk for one guest, and follows from no other key. It hides names from the relay;
/// it authenticates nothing.
#[derive(Debug)]
pub struct GuestKey(Secret<32>);

/// One part of a guest's directory: an entry, and the delivery tokens that belong to it (R-ID-24).
#[derive(Debug)]
pub struct GuestPart {
    /// The signed entry, not verified.
    pub entry: Unverified<proto::Signed>,
    /// Epoch of the directory key from which the tokens follow.
    pub epoch: u64,
    /// Tokens by the name of what they are for.
    pub tokens: Vec<([u8; 16], [u8; DELIVERY_TOKEN_LEN])>,
    /// Key of the tokens for sending to sets, of the same epoch; `None` if the part gives none.
    pub send_key: Option<SendKey>,
}

impl GuestKey {
    /// Makes a key.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self(Secret::random(rng))
    }

    /// Takes over a key that was stored or sent; `None` unless it has 32 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Secret::from_slice(bytes).map(Self)
    }

    /// Returns the key, for the store and for enrolment answers.
    #[must_use]
    pub const fn secret(&self) -> &Secret<32> {
        &self.0
    }

    /// Seals the part about a member for one device of the guest (R-ID-23).
    pub fn seal(
        &self,
        (org, reader, about): (&OrgId, &DeviceId, &MemberId),
        part: proto::GuestDirectory,
        version: u64,
        rng: &mut dyn CryptoRng,
    ) -> proto::SealedDirectoryEntry {
        let entry_id = part_id(org, reader, about);
        let salt: [u8; SALT_LEN] = random_bytes(rng);
        let aad = associated_data(&entry_id, version, GUEST_EPOCH);
        let plaintext = pad(&encode(&part));
        let mut sealed = GUEST_EPOCH.to_be_bytes().to_vec();
        sealed.extend_from_slice(&salt);
        sealed.extend_from_slice(&entry_key(&self.0, &salt, &aad).seal(&aad, plaintext.expose()));
        proto::SealedDirectoryEntry {
            entry_id: entry_id.to_vec(),
            version,
            sealed,
            removed: Vec::new(),
            reader: reader.as_bytes().to_vec(),
        }
    }

    /// Opens what [`Self::seal`] made for this device (R-ID-23, R-ID-24). The entry in it is still to be verified.
    ///
    /// # Errors
    ///
    /// [`NotAuthentic`]: ignore it.
    pub fn open(
        &self,
        (org, own): (&OrgId, &DeviceId),
        sealed: &proto::SealedDirectoryEntry,
    ) -> Result<GuestPart, NotAuthentic> {
        let entry_id: &[u8; 16] = sealed.entry_id.as_slice().try_into().map_err(|_| NotAuthentic)?;
        let (epoch, rest) = sealed.sealed.split_first_chunk().ok_or(NotAuthentic)?;
        let (salt, ciphertext) = rest.split_first_chunk::<SALT_LEN>().ok_or(NotAuthentic)?;
        if u64::from_be_bytes(*epoch) != GUEST_EPOCH || sealed.reader != own.as_bytes() {
            return Err(NotAuthentic);
        }
        let aad = associated_data(entry_id, sealed.version, GUEST_EPOCH);
        let plaintext = entry_key(&self.0, salt, &aad).open(&aad, ciphertext)?;
        let part: proto::GuestDirectory =
            decode(unpad(plaintext.expose()).ok_or(NotAuthentic)?, Limit::ENVELOPE)
                .map_err(|_| NotAuthentic)?
                .into_unchecked();
        let [entry] = <[proto::Signed; 1]>::try_from(part.entries).map_err(|_| NotAuthentic)?;
        let body: proto::DirectoryEntryBody =
            decode(&entry.body, Limit::STATEMENT).map_err(|_| NotAuthentic)?.into_unchecked();
        let about = MemberId::from_bytes(&body.member_id).ok_or(NotAuthentic)?;
        if *entry_id != part_id(org, own, &about) {
            return Err(NotAuthentic);
        }
        let given = SecretBytes::new(part.send_key);
        let send_key = match given.expose() {
            [] => None,
            bytes => Some(SendKey::from_slice(bytes).ok_or(NotAuthentic)?),
        };
        let read =
            |token: proto::DeliveryToken| Some((token.name.try_into().ok()?, token.token.try_into().ok()?));
        let tokens: Option<Vec<_>> = part.tokens.into_iter().map(read).collect();
        Ok(GuestPart {
            entry: Unverified::new(entry),
            epoch: part.epoch,
            tokens: tokens.ok_or(NotAuthentic)?,
            send_key,
        })
    }
}

/// Returns the name of the part about a member that one device of a guest gets (R-ID-23).
#[must_use]
pub fn part_id(org: &OrgId, reader: &DeviceId, about: &MemberId) -> [u8; 16] {
    hash16(label::HASH_GUEST_DIRECTORY, &[org.as_bytes(), reader.as_bytes(), about.as_bytes()])
}

/// Returns the token of a device's mailbox for a guest, as it is sent.
#[must_use]
pub fn token(name: [u8; 16], key: &DeliveryKey) -> proto::DeliveryToken {
    proto::DeliveryToken { name: name.to_vec(), token: key.token(Use::Mailbox, &name).to_vec() }
}

/// Returns the token for blobs, as it is sent.
#[must_use]
pub fn blob_token(key: &DeliveryKey) -> proto::DeliveryToken {
    let token = key.token(Use::Blob, &BLOB_TOKEN_NAME).to_vec();
    proto::DeliveryToken { name: BLOB_TOKEN_NAME.to_vec(), token }
}
