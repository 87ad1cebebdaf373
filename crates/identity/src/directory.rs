//! The directory: who is behind a member's identifier. The relay stores only sealed entries.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use chancery_crypto::aead::OneTimeKey;
use chancery_crypto::hash::{hash, hash16};
use chancery_crypto::kdf::derive;
use chancery_crypto::rng::{CryptoRng, random_bytes};
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_crypto::{NotAuthentic, label};
use chancery_wire::{Limit, Unverified, decode, encode, proto};

use crate::guest::{Kind, MAX_REACH};
use crate::organisation::check_org;
use crate::{Capabilities, DeviceId, IdentityError, MemberId, OrgId, Organisation};

/// Longest handle, in characters. As long as the local part of an e-mail address may be.
pub const MAX_HANDLE_LEN: usize = 64;
/// Longest name, in characters. Room for a name with title and department.
pub const MAX_NAME_LEN: usize = 128;
/// Most devices of one member: 16 (R-ID-12). Every message is sealed for each of them, so the number bounds what
/// one message costs its sender; it also keeps an entry small.
pub const MAX_DEVICES: usize = 16;
/// Step to which an entry is padded before it is sealed, in bytes. An entry with few devices fits into one.
pub const PADDING_STEP: usize = 4096;
/// Last epoch of a directory key: 65,536. The key can change 65,535 times, five times a day for 35 years, and whoever
/// holds the newest finds the first one in a hundredth of a second.
pub const LAST_KEY_EPOCH: u64 = 65_536;

pub(crate) const SALT_LEN: usize = 32;
/// Version of every update of the directory key: each is published under a name of its own, once.
const UPDATE_VERSION: u64 = 1;

/// Text that is no handle or no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It is empty; give one.
    #[error("name is empty")]
    Empty,
    /// It is longer than [`MAX_HANDLE_LEN`] or [`MAX_NAME_LEN`] characters; shorten it.
    #[error("name is too long")]
    TooLong,
    /// It holds a character that is not allowed; choose another.
    #[error("name holds a character that is not allowed")]
    Character,
}

/// A member's short name: 1 to 64 of `a-z 0-9 . _ -`, starting with a letter or digit (R-ID-11).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(String);

impl Handle {
    /// Reads a handle.
    ///
    /// # Errors
    ///
    /// [`NameError`]: ask for another.
    ///
    /// ```
    /// use chancery_identity::{Handle, NameError};
    /// assert_eq!(Handle::parse("alice.b").map(|h| h.to_string()), Ok("alice.b".into()));
    /// assert_eq!(Handle::parse("Alice"), Err(NameError::Character));
    /// ```
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let first = text.bytes().next().ok_or(NameError::Empty)?;
        let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if !alphanumeric(first) || !text.bytes().all(|byte| alphanumeric(byte) || b"._-".contains(&byte)) {
            return Err(NameError::Character);
        }
        if text.len() > MAX_HANDLE_LEN {
            return Err(NameError::TooLong);
        }
        Ok(Self(text.into()))
    }

    /// Whether it reads like a member's identifier: nobody may be given such a handle any more, since whoever writes to an identifier
    /// means it (R-ORG-71). One that was given before stays readable.
    #[must_use]
    pub fn is_like_identifier(&self) -> bool {
        MemberId::from_hex(&self.0).is_some()
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name to show: 1 to 128 characters that a terminal or screen can show as they are (R-ID-11).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DisplayName(String);

impl DisplayName {
    /// Reads a name. Refused are control characters, line and paragraph separators, and the characters that
    /// turn the direction of writing, because a name must not rewrite the line it is shown on.
    ///
    /// # Errors
    ///
    /// [`NameError`]: ask for another.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if !is_plain(text) {
            return Err(NameError::Character);
        }
        if text.chars().count() > MAX_NAME_LEN {
            return Err(NameError::TooLong);
        }
        Ok(Self(text.into()))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&Handle> for DisplayName {
    /// A handle is a name for whom no other is known.
    fn from(handle: &Handle) -> Self {
        Self(handle.0.clone())
    }
}

/// Whether a text can be shown as it is in a line with others: without control characters, line and paragraph separators, and what turns
/// the direction of writing (R-ID-11).
#[must_use]
pub fn is_plain(text: &str) -> bool {
    !text.chars().any(is_unfit)
}

fn is_unfit(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Who a member is to the others, as an issuer signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    member_id: MemberId,
    handle: Handle,
    name: DisplayName,
    device_ids: Vec<DeviceId>,
    version: u64,
    unit: Option<DisplayName>,
    kind: Kind,
    reach: Vec<MemberId>,
}

impl DirectoryEntry {
    pub(crate) fn verify(organisation: &Organisation, signed: &proto::Signed) -> Result<Self, IdentityError> {
        let body: proto::DirectoryEntryBody = decode(&signed.body, Limit::STATEMENT)?.into_unchecked();
        check_org(&body.org_id, &organisation.id())?;
        let issuer = organisation.permitted(&body.issuer_id, Capabilities::ENROL)?;
        issuer.key().verify(label::SIGN_DIRECTORY, &signed.body, &signed.signature)?;
        if body.device_ids.len() > MAX_DEVICES || body.version == 0 {
            return Err(IdentityError::Malformed);
        }
        let mut device_ids = Vec::with_capacity(body.device_ids.len());
        for bytes in &body.device_ids {
            let id = DeviceId::from_bytes(bytes).ok_or(IdentityError::Malformed)?;
            if device_ids.contains(&id) {
                return Err(IdentityError::Malformed);
            }
            device_ids.push(id);
        }
        let unit = (!body.unit.is_empty()).then(|| DisplayName::parse(&body.unit)).transpose();
        let kind = Kind::from_number(body.kind).ok_or(IdentityError::Malformed)?;
        let reach = read_reach(kind, &body.reach).ok_or(IdentityError::Malformed)?;
        Ok(Self {
            member_id: MemberId::from_bytes(&body.member_id).ok_or(IdentityError::Malformed)?,
            handle: Handle::parse(&body.handle).map_err(|_| IdentityError::Malformed)?,
            name: DisplayName::parse(&body.name).map_err(|_| IdentityError::Malformed)?,
            device_ids,
            version: body.version,
            unit: unit.map_err(|_| IdentityError::Malformed)?,
            kind,
            reach,
        })
    }

    /// Returns the member.
    #[must_use]
    pub const fn member_id(&self) -> MemberId {
        self.member_id
    }

    /// Returns the handle.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Returns the name to show.
    #[must_use]
    pub const fn name(&self) -> &DisplayName {
        &self.name
    }

    /// Returns the member's devices; none for a member who has left.
    #[must_use]
    pub fn device_ids(&self) -> &[DeviceId] {
        &self.device_ids
    }

    /// Returns the version; of two entries for one member the higher counts.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Returns the department or place, if one is said.
    #[must_use]
    pub const fn unit(&self) -> Option<&DisplayName> {
        self.unit.as_ref()
    }

    /// Returns what kind of member it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the members that a guest or bot reaches; nobody for a person, who reaches all, and for a bot that does.
    #[must_use]
    pub fn reach(&self) -> &[MemberId] {
        &self.reach
    }
}

/// Reads a reach that suits the kind (R-ID-21): none for a person, one at least for a guest.
fn read_reach(kind: Kind, bytes: &[Vec<u8>]) -> Option<Vec<MemberId>> {
    let suits = match kind {
        Kind::Person => bytes.is_empty(),
        Kind::Guest | Kind::GuestBot => !bytes.is_empty(),
        Kind::Bot => true,
    };
    if !suits || bytes.len() > MAX_REACH {
        return None;
    }
    let mut reach = Vec::with_capacity(bytes.len());
    for bytes in bytes {
        let id = MemberId::from_bytes(bytes).filter(|id| !reach.contains(id))?;
        reach.push(id);
    }
    Some(reach)
}

/// The key under which directory entries are sealed in one epoch. Every member device has the newest.
///
/// Each key follows from the one after it and from none before it (R-ID-18): who holds one reads all that was sealed
/// in its epoch and earlier. It hides the directory from the relay and from those who left; it authenticates nothing,
/// the issuer's signature does.
#[derive(Debug)]
pub struct DirectoryKey {
    epoch: u64,
    key: Secret<32>,
}

impl DirectoryKey {
    /// Makes the key of the last epoch, [`LAST_KEY_EPOCH`], from which all others follow.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self { epoch: LAST_KEY_EPOCH, key: Secret::random(rng) }
    }

    /// Takes over the key of an epoch; `None` unless there is one, from 1 to [`LAST_KEY_EPOCH`].
    #[must_use]
    pub fn new(epoch: u64, key: Secret<32>) -> Option<Self> {
        (1..=LAST_KEY_EPOCH).contains(&epoch).then_some(Self { epoch, key })
    }

    /// Returns the epoch, from 1.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns the key, for the store and for enrolment answers.
    #[must_use]
    pub const fn secret(&self) -> &Secret<32> {
        &self.key
    }

    /// Returns the key of this or an earlier epoch; `None` for a later one and for 0. It costs a hash for each epoch
    /// between them.
    #[must_use]
    pub fn at(&self, epoch: u64) -> Option<Self> {
        if epoch == 0 || epoch > self.epoch {
            return None;
        }
        let mut key = Secret::init_with(|own| own.copy_from_slice(self.key.expose()));
        for _ in epoch..self.epoch {
            key = Secret::from_bytes(hash(label::HASH_DIRECTORY_CHAIN, &[key.expose()]));
        }
        Some(Self { epoch, key })
    }

    /// Seals a signed entry for the relay, under a key of its own (R-ID-13).
    pub fn seal(
        &self,
        signed: &proto::Signed,
        entry_id: &[u8; 16],
        version: u64,
        rng: &mut dyn CryptoRng,
    ) -> proto::SealedDirectoryEntry {
        let salt: [u8; SALT_LEN] = random_bytes(rng);
        let aad = associated_data(entry_id, version, self.epoch);
        let plaintext = pad(&encode(signed));
        let mut sealed = self.epoch.to_be_bytes().to_vec();
        sealed.extend_from_slice(&salt);
        sealed.extend_from_slice(&entry_key(&self.key, &salt, &aad).seal(&aad, plaintext.expose()));
        proto::SealedDirectoryEntry {
            entry_id: entry_id.to_vec(),
            version,
            sealed,
            removed: Vec::new(),
            reader: Vec::new(),
        }
    }

    /// Opens what [`Self::seal`] made, in this epoch or an earlier one. [`Organisation::open_directory_entry`] does this
    /// and the rest.
    ///
    /// # Errors
    ///
    /// [`NotAuthentic`]: ignore the entry.
    pub fn open(
        &self,
        entry: &proto::SealedDirectoryEntry,
    ) -> Result<Unverified<proto::Signed>, NotAuthentic> {
        let entry_id: &[u8; 16] = entry.entry_id.as_slice().try_into().map_err(|_| NotAuthentic)?;
        let (epoch, rest) = entry.sealed.split_first_chunk().ok_or(NotAuthentic)?;
        let key = self.at(u64::from_be_bytes(*epoch)).ok_or(NotAuthentic)?;
        let aad = associated_data(entry_id, entry.version, key.epoch);
        let (salt, sealed) = rest.split_first_chunk::<SALT_LEN>().ok_or(NotAuthentic)?;
        let plaintext = entry_key(&key.key, salt, &aad).open(&aad, sealed)?;
        decode(unpad(plaintext.expose()).ok_or(NotAuthentic)?, Limit::STATEMENT).map_err(|_| NotAuthentic)
    }
}

/// The key of one entry (R-ID-13).
pub(crate) fn entry_key(key: &Secret<32>, salt: &[u8; SALT_LEN], context: &[u8; 32]) -> OneTimeKey {
    OneTimeKey::new(derive(label::KDF_DIRECTORY_ENTRY, salt, &[key.expose()], context))
}

/// Returns in which epoch an entry was sealed, as it says itself: 0 for an update of the key, `None` for what is neither.
#[must_use]
pub fn key_epoch(entry: &proto::SealedDirectoryEntry) -> Option<u64> {
    let epoch = u64::from_be_bytes(*entry.sealed.first_chunk()?);
    (epoch <= LAST_KEY_EPOCH).then_some(epoch)
}

/// A change of the directory key, as an issuer signed it (R-ID-19). What it holds is sealed for the key tree of
/// `chancery-org`, which also opens it.
#[derive(Debug, Clone, PartialEq)]
pub struct DirectoryKeyUpdate(proto::DirectoryKeyUpdateBody);

impl DirectoryKeyUpdate {
    /// Returns the signed update as the relay stores it.
    #[must_use]
    pub fn publish(org: &OrgId, epoch: u64, signed: &proto::Signed) -> proto::SealedDirectoryEntry {
        let mut sealed = 0_u64.to_be_bytes().to_vec();
        sealed.extend_from_slice(pad(&encode(signed)).expose());
        let entry_id = update_id(org, epoch).to_vec();
        proto::SealedDirectoryEntry {
            entry_id,
            version: UPDATE_VERSION,
            sealed,
            removed: Vec::new(),
            reader: Vec::new(),
        }
    }

    /// Returns the epoch of the key that a published update brings, if it stands under the name of that update. Nothing
    /// of it is verified.
    #[must_use]
    pub fn epoch_of(org: &OrgId, entry: &proto::SealedDirectoryEntry) -> Option<u64> {
        let (_, body) = unpack(entry)?;
        (entry.entry_id == update_id(org, body.epoch)).then_some(body.epoch)
    }

    /// Returns the epoch of the key that it brings.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.0.epoch
    }

    /// Returns the new keys of the tree, sealed, in the order of the statement.
    #[must_use]
    pub fn nodes(&self) -> &[proto::NodeKey] {
        &self.0.nodes
    }

    /// Returns the directory key, sealed under the root of the tree.
    #[must_use]
    pub fn directory_key(&self) -> &[u8] {
        &self.0.directory_key
    }
}

impl Organisation {
    /// Verifies a published update of the directory key: name, version, issuer and signature (R-ID-19).
    ///
    /// # Errors
    ///
    /// [`IdentityError`]: ignore it.
    pub fn open_directory_key_update(
        &self,
        entry: &proto::SealedDirectoryEntry,
    ) -> Result<DirectoryKeyUpdate, IdentityError> {
        let (signed, body) = unpack(entry).ok_or(IdentityError::Malformed)?;
        check_org(&body.org_id, &self.id())?;
        let issuer = self.permitted(&body.issuer_id, Capabilities::ENROL)?;
        issuer.key().verify(label::SIGN_DIRECTORY_UPDATE, &signed.body, &signed.signature)?;
        if !(2..=LAST_KEY_EPOCH).contains(&body.epoch) || entry.version != UPDATE_VERSION {
            return Err(IdentityError::Malformed);
        }
        if entry.entry_id != update_id(&self.id(), body.epoch) {
            return Err(IdentityError::Malformed);
        }
        Ok(DirectoryKeyUpdate(body))
    }
}

fn unpack(entry: &proto::SealedDirectoryEntry) -> Option<(proto::Signed, proto::DirectoryKeyUpdateBody)> {
    let (epoch, padded) = entry.sealed.split_first_chunk()?;
    if u64::from_be_bytes(*epoch) != 0 {
        return None;
    }
    // A body longer than a statement may be is refused with its signature around it.
    let signed: proto::Signed = decode(unpad(padded)?, Limit::ENVELOPE).ok()?.into_unchecked();
    let body = decode(&signed.body, Limit::STATEMENT).ok()?.into_unchecked();
    Some((signed, body))
}

fn update_id(org: &OrgId, epoch: u64) -> [u8; 16] {
    hash16(label::HASH_DIRECTORY_UPDATE, &[org.as_bytes(), &epoch.to_be_bytes()])
}

/// `entry_id || version (8, big-endian) || epoch (8, big-endian)`.
pub(crate) fn associated_data(entry_id: &[u8; 16], version: u64, epoch: u64) -> [u8; 32] {
    let mut out = [0; 32];
    let bytes = entry_id.iter().copied().chain(version.to_be_bytes()).chain(epoch.to_be_bytes());
    out.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    out
}

/// `length (4, big-endian) || content || zeros`, to a multiple of [`PADDING_STEP`].
pub(crate) fn pad(content: &[u8]) -> SecretBytes {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    let padded = content.len().saturating_add(4).next_multiple_of(PADDING_STEP);
    let mut out = Vec::with_capacity(padded);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(content);
    out.resize(padded, 0);
    SecretBytes::new(out)
}

pub(crate) fn unpad(padded: &[u8]) -> Option<&[u8]> {
    let (length, rest) = padded.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn handles_are_short_lower_case_and_start_with_a_letter_or_digit() {
        // R-ID-11
        for good in ["a", "0", "alice", "alice.b-c_d", &"x".repeat(64)] {
            assert_eq!(Handle::parse(good).map(|handle| handle.as_str().len()), Ok(good.len()));
        }
        assert_eq!(Handle::parse(""), Err(NameError::Empty));
        assert_eq!(Handle::parse(&"x".repeat(65)), Err(NameError::TooLong));
        for (handle, is_like_identifier) in
            [("ab", 16), ("0a", 15), ("0g", 16)].map(|(text, times)| (text.repeat(times), text == "ab"))
        {
            // What was given before it was refused is still read.
            assert_eq!(Handle::parse(&handle).unwrap().is_like_identifier(), is_like_identifier, "{handle}");
        }
        for bad in [".a", "-a", "_", "Alice", "a b", "a\n", "é", "a@b"] {
            assert_eq!(Handle::parse(bad), Err(NameError::Character), "{bad}");
        }
    }

    #[test]
    fn names_cannot_rewrite_the_line_they_are_shown_on() {
        // R-ID-11
        assert!(DisplayName::parse("Zoë d'Arc, 東京").is_ok());
        assert!(DisplayName::parse(&"é".repeat(128)).is_ok());
        assert_eq!(DisplayName::parse(&"é".repeat(129)), Err(NameError::TooLong));
        assert_eq!(DisplayName::parse(""), Err(NameError::Empty));
        for bad in ["a\u{1b}[2J", "a\nb", "\u{202e}ecila", "a\u{2066}", "a\u{2028}", "\u{85}"] {
            assert_eq!(DisplayName::parse(bad), Err(NameError::Character), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn padding_comes_off_again(content in proptest::collection::vec(any::<u8>(), 0..9000)) {
            let padded = pad(&content);
            prop_assert_eq!(padded.expose().len() % PADDING_STEP, 0);
            prop_assert_eq!(unpad(padded.expose()), Some(content.as_slice()));
        }

        #[test]
        fn any_bytes_unpad_to_something_or_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(content) = unpad(&bytes) {
                prop_assert!(content.len() <= bytes.len().saturating_sub(4));
            }
        }
    }
}
