//! The desk's records: their tables, their names and their reading and writing (R-ORG-14).
//!
//! ```text
//! table   name                   value
//! 0x0200  (empty)                DeskSettings
//! 0x0201  invitation id (16)     DeskInvitation
//! 0x0202  handle                 member id (16)
//! 0x0203  member id (16)         DeskMember
//! 0x0204  chunk number (4, be)   member ids, 16 bytes each, at most 1,024
//! 0x0205  device id (16)         Signed credential
//! 0x0206  entry id (16)          SealedDirectoryEntry, the newest, published or not
//! 0x0207  (empty)                entry ids that are still to be published, 16 bytes each
//! 0x0208  reply mailbox (16)     device id: whose signing key names this mailbox
//! 0x0209  (empty)                DeskPublication
//! 0x020a  level (1), index (4)   key of a node of the key tree (32)
//! 0x020b  device id (16)         the device's place in the key tree (4)
//! 0x020c  (empty)                member numbers that are taken: bit n % 8 of byte n / 8
//! 0x020d  epoch (8)              SealedDirectoryEntry, the update that brought its directory key
//! 0x0230  (empty)                member ids of guests and bots, 16 bytes each
//! 0x0220  number (8, be)         DeskStatement, in `queue`
//! 0x0221  (empty)                DeskQueue, in `queue`
//! 0x0222  entry id (16)          Signed commitment to the newest entry, in `queue`
//! 0x0223  number (8, be)         DeskAct, in `audit`
//! 0x0224  (empty)                number of acts (8), in `audit`
//! 0x0225  member id (16)         DeskOffboarding, in `offboard`
//! 0x0226  handle                 member id of the newest offboarding, in `offboard`
//! 0x0227  issuer id (32)         DeskIssuer, in `ceremony`
//! 0x0228  (empty)                DeskLogView, in `log_view`
//! 0x0229  (empty)                Signed policy, in `policy`
//! 0x022a  group id (16)          Signed successor of a group's administrators, in `policy`
//! 0x022b  `desk`, `document`, `former`  files to be written, and the desk before, in `ceremony`
//! ```

use alloc::vec::Vec;

use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_identity::{DeviceId, DirectoryKey, DisplayName, Handle, LAST_KEY_EPOCH, MemberId};
use chancery_wire::records::{Batch, RecordKey, Records, RecordsError, Table};
use chancery_wire::{Limit, WireMessage, decode, encode, proto};

use crate::tree::Node;
use crate::{OrgError, queue};

const SETTINGS: Table = Table(0x0200);
const INVITATIONS: Table = Table(0x0201);
const HANDLES: Table = Table(0x0202);
const MEMBERS: Table = Table(0x0203);
const MEMBER_INDEX: Table = Table(0x0204);
const CREDENTIALS: Table = Table(0x0205);
const ENTRIES: Table = Table(0x0206);
const PENDING_INDEX: Table = Table(0x0207);
const USED_KEYS: Table = Table(0x0208);
const PUBLICATION: Table = Table(0x0209);
const NODES: Table = Table(0x020a);
const SLOTS: Table = Table(0x020b);
const MEMBER_NUMBERS: Table = Table(0x020c);
const KEY_UPDATES: Table = Table(0x020d);
const LIMITED: Table = Table(0x0230);

/// Member identifiers in one record of the index: 16 KiB, so that an invitation rewrites little.
const IDS_PER_CHUNK: usize = 1024;
const ID_LEN: usize = 16;

/// The organisation's name and its directory keys: that of this epoch, and the last, from which all follow.
pub(crate) struct Settings {
    pub(crate) organisation_name: DisplayName,
    pub(crate) directory_key: DirectoryKey,
    pub(crate) last_key: DirectoryKey,
}

impl Settings {
    /// Returns the directory key of the next epoch; `None` in the last.
    pub(crate) fn next_key(&self) -> Option<DirectoryKey> {
        self.last_key.at(self.directory_key.epoch().checked_add(1)?)
    }
}

pub(crate) fn put_settings(batch: &mut Batch, settings: &Settings) {
    let value = proto::DeskSettings {
        organisation_name: settings.organisation_name.as_str().into(),
        directory_key: settings.directory_key.secret().expose().to_vec(),
        key_epoch: settings.directory_key.epoch(),
        last_key: settings.last_key.secret().expose().to_vec(),
    };
    batch.put(RecordKey::new(SETTINGS, []), encode(&value));
}

pub(crate) fn settings(records: &dyn Records) -> Result<Settings, OrgError> {
    let value: proto::DeskSettings =
        read(records, &RecordKey::new(SETTINGS, []))?.ok_or(OrgError::NotFounded)?;
    let key = |epoch, bytes: Vec<u8>| {
        let secret = Secret::from_slice(SecretBytes::new(bytes).expose());
        secret.and_then(|secret| DirectoryKey::new(epoch, secret)).ok_or_else(damaged)
    };
    Ok(Settings {
        organisation_name: DisplayName::parse(&value.organisation_name).map_err(|_| damaged())?,
        directory_key: key(value.key_epoch, value.directory_key)?,
        last_key: key(LAST_KEY_EPOCH, value.last_key)?,
    })
}

/// An invitation, open as long as it has a secret.
pub(crate) struct Invitation {
    pub(crate) member_id: MemberId,
    pub(crate) expires: u64,
    pub(crate) state: InvitationState,
}

pub(crate) enum InvitationState {
    Open(Secret<32>),
    /// Used by the device whose keys have this fingerprint.
    Used {
        by: [u8; 32],
        device_id: DeviceId,
    },
}

pub(crate) fn put_invitation(batch: &mut Batch, id: &[u8; ID_LEN], invitation: &Invitation) {
    let mut value = proto::DeskInvitation {
        member_id: invitation.member_id.as_bytes().to_vec(),
        expires: invitation.expires,
        ..Default::default()
    };
    match &invitation.state {
        InvitationState::Open(secret) => value.secret = secret.expose().to_vec(),
        InvitationState::Used { by, device_id } => {
            value.used_by = by.to_vec();
            value.device_id = device_id.as_bytes().to_vec();
        }
    }
    batch.put(RecordKey::new(INVITATIONS, *id), encode(&value));
}

pub(crate) fn delete_invitation(batch: &mut Batch, id: &[u8]) {
    batch.delete(RecordKey::new(INVITATIONS, id));
}

pub(crate) fn invitation(records: &dyn Records, id: &[u8]) -> Result<Option<Invitation>, OrgError> {
    let Some(value) = read::<proto::DeskInvitation>(records, &RecordKey::new(INVITATIONS, id))? else {
        return Ok(None);
    };
    let secret = SecretBytes::new(value.secret);
    let state = if value.used_by.is_empty() {
        InvitationState::Open(Secret::from_slice(secret.expose()).ok_or_else(damaged)?)
    } else {
        InvitationState::Used {
            by: value.used_by.try_into().map_err(|_| damaged())?,
            device_id: DeviceId::from_bytes(&value.device_id).ok_or_else(damaged)?,
        }
    };
    let member_id = MemberId::from_bytes(&value.member_id).ok_or_else(damaged)?;
    Ok(Some(Invitation { member_id, expires: value.expires, state }))
}

pub(crate) fn put_handle(batch: &mut Batch, handle: &Handle, member: &MemberId) {
    batch.put(RecordKey::new(HANDLES, handle.as_str()), member.as_bytes().to_vec());
}

pub(crate) fn delete_handle(batch: &mut Batch, handle: &str) {
    batch.delete(RecordKey::new(HANDLES, handle));
}

pub(crate) fn member_of_handle(records: &dyn Records, handle: &Handle) -> Result<Option<MemberId>, OrgError> {
    match records.get(&RecordKey::new(HANDLES, handle.as_str()))? {
        None => Ok(None),
        Some(bytes) => MemberId::from_bytes(&bytes).map(Some).ok_or_else(damaged),
    }
}

pub(crate) fn put_member(batch: &mut Batch, id: &MemberId, member: &proto::DeskMember) {
    batch.put(RecordKey::new(MEMBERS, *id.as_bytes()), encode(member));
}

pub(crate) fn member(records: &dyn Records, id: &MemberId) -> Result<Option<proto::DeskMember>, OrgError> {
    read(records, &RecordKey::new(MEMBERS, *id.as_bytes()))
}

/// Appends a member to the index.
pub(crate) fn index_member(records: &dyn Records, batch: &mut Batch, id: &MemberId) -> Result<(), OrgError> {
    let mut number = 0_u32;
    let mut chunk = index_chunk(records, number)?.unwrap_or_default();
    while chunk.len() >= IDS_PER_CHUNK.saturating_mul(ID_LEN) {
        number = number.checked_add(1).ok_or_else(damaged)?;
        chunk = index_chunk(records, number)?.unwrap_or_default();
    }
    chunk.extend_from_slice(id.as_bytes());
    batch.put(RecordKey::new(MEMBER_INDEX, number.to_be_bytes()), chunk);
    Ok(())
}

/// Returns all members, in the order in which they were invited.
pub(crate) fn member_ids(records: &dyn Records) -> Result<Vec<MemberId>, OrgError> {
    let mut ids = Vec::new();
    for number in 0..=u32::MAX {
        let Some(chunk) = index_chunk(records, number)? else { break };
        ids.extend(chunk.as_chunks().0.iter().copied().map(MemberId::new));
    }
    Ok(ids)
}

/// Reads a chunk of whole identifiers.
fn index_chunk(records: &dyn Records, number: u32) -> Result<Option<Vec<u8>>, OrgError> {
    let chunk = records.get(&RecordKey::new(MEMBER_INDEX, number.to_be_bytes()))?;
    match &chunk {
        Some(ids) if !ids.len().is_multiple_of(ID_LEN) => Err(damaged()),
        _ => Ok(chunk),
    }
}

pub(crate) fn put_credential(batch: &mut Batch, device: &DeviceId, credential: &proto::Signed) {
    batch.put(RecordKey::new(CREDENTIALS, *device.as_bytes()), encode(credential));
}

pub(crate) fn credential(
    records: &dyn Records,
    device: &DeviceId,
) -> Result<Option<proto::Signed>, OrgError> {
    read(records, &RecordKey::new(CREDENTIALS, *device.as_bytes()))
}

/// Notes that a signing key has a credential; its reply mailbox names it.
pub(crate) fn put_used_key(batch: &mut Batch, mailbox: &[u8; ID_LEN], device: &DeviceId) {
    batch.put(RecordKey::new(USED_KEYS, *mailbox), device.as_bytes().to_vec());
}

/// Whether a signing key has a credential already.
pub(crate) fn is_key_used(records: &dyn Records, mailbox: &[u8; ID_LEN]) -> Result<bool, OrgError> {
    Ok(records.get(&RecordKey::new(USED_KEYS, *mailbox))?.is_some())
}

/// Keeps the newest version of an entry.
pub(crate) fn put_entry(batch: &mut Batch, entry: &proto::SealedDirectoryEntry) {
    batch.put(RecordKey::new(ENTRIES, entry.entry_id.as_slice()), encode(entry));
}

/// Returns the newest version of an entry, published or not.
pub(crate) fn entry(
    records: &dyn Records,
    entry_id: &[u8],
) -> Result<Option<proto::SealedDirectoryEntry>, OrgError> {
    read(records, &RecordKey::new(ENTRIES, entry_id))
}

/// Notes entries that the relay has yet to be given, and queues what commits to those that were made in this batch. Once in
/// a batch: it starts from what is stored.
pub(crate) fn add_pending(records: &dyn Records, batch: &mut Batch, ids: &[Vec<u8>]) -> Result<(), OrgError> {
    let mut index = pending_index(records)?;
    for id in ids {
        queue::push_commitment(records, batch, id)?;
        let id: [u8; ID_LEN] = id.as_slice().try_into().map_err(|_| damaged())?;
        if !index.contains(&id) {
            index.push(id);
        }
    }
    put_pending_index(batch, &index);
    Ok(())
}

pub(crate) fn remove_pending(
    records: &dyn Records,
    batch: &mut Batch,
    entry_id: &[u8],
) -> Result<(), OrgError> {
    let mut index = pending_index(records)?;
    index.retain(|id| id.as_slice() != entry_id);
    put_pending_index(batch, &index);
    Ok(())
}

fn put_pending_index(batch: &mut Batch, index: &[[u8; ID_LEN]]) {
    batch.put(RecordKey::new(PENDING_INDEX, []), index.concat());
}

pub(crate) fn pending_index(records: &dyn Records) -> Result<Vec<[u8; ID_LEN]>, OrgError> {
    let bytes = records.get(&RecordKey::new(PENDING_INDEX, []))?.unwrap_or_default();
    let (ids, rest) = bytes.as_chunks();
    if rest.is_empty() { Ok(ids.to_vec()) } else { Err(damaged()) }
}

/// Returns an entry that the relay has yet to be given.
pub(crate) fn pending(
    records: &dyn Records,
    entry_id: &[u8],
) -> Result<Option<proto::SealedDirectoryEntry>, OrgError> {
    if pending_index(records)?.iter().any(|id| id.as_slice() == entry_id) {
        return entry(records, entry_id);
    }
    Ok(None)
}

pub(crate) fn publication(records: &dyn Records) -> Result<proto::DeskPublication, OrgError> {
    Ok(read(records, &RecordKey::new(PUBLICATION, []))?.unwrap_or_default())
}

pub(crate) fn put_publication(batch: &mut Batch, publication: &proto::DeskPublication) {
    batch.put(RecordKey::new(PUBLICATION, []), encode(publication));
}

fn node_name(node: Node) -> RecordKey {
    let level = u8::try_from(node.level).unwrap_or(u8::MAX);
    RecordKey::new(NODES, [[level].as_slice(), &node.index.to_be_bytes()].concat())
}

/// Returns the key of a node that is above a device.
pub(crate) fn node(records: &dyn Records, node: Node) -> Result<Option<Secret<32>>, OrgError> {
    let Some(key) = records.get(&node_name(node))?.map(SecretBytes::new) else { return Ok(None) };
    Secret::from_slice(key.expose()).map(Some).ok_or_else(damaged)
}

pub(crate) fn put_node(batch: &mut Batch, node: Node, key: &Secret<32>) {
    batch.put(node_name(node), key.expose().to_vec());
}

pub(crate) fn delete_node(batch: &mut Batch, node: Node) {
    batch.delete(node_name(node));
}

/// Returns a device's place in the key tree.
pub(crate) fn slot(records: &dyn Records, device: &[u8]) -> Result<Option<u32>, OrgError> {
    let Some(bytes) = records.get(&RecordKey::new(SLOTS, device))? else { return Ok(None) };
    bytes.try_into().map(|bytes| Some(u32::from_be_bytes(bytes))).map_err(|_: Vec<u8>| damaged())
}

pub(crate) fn put_slot(batch: &mut Batch, device: &DeviceId, slot: u32) {
    batch.put(RecordKey::new(SLOTS, *device.as_bytes()), slot.to_be_bytes().to_vec());
}

pub(crate) fn delete_slot(batch: &mut Batch, device: &DeviceId) {
    batch.delete(RecordKey::new(SLOTS, *device.as_bytes()));
}

/// Returns which member numbers are taken, a bit for each.
pub(crate) fn member_numbers(records: &dyn Records) -> Result<Vec<u8>, OrgError> {
    Ok(records.get(&RecordKey::new(MEMBER_NUMBERS, []))?.unwrap_or_default())
}

pub(crate) fn put_member_numbers(batch: &mut Batch, taken: &[u8]) {
    batch.put(RecordKey::new(MEMBER_NUMBERS, []), taken.to_vec());
}

/// Keeps the update that brought the directory key of an epoch.
pub(crate) fn put_key_update(batch: &mut Batch, epoch: u64, update: &proto::SealedDirectoryEntry) {
    batch.put(RecordKey::new(KEY_UPDATES, epoch.to_be_bytes()), encode(update));
}

/// Returns the update that brought the directory key of an epoch; the first has none.
pub(crate) fn key_update(
    records: &dyn Records,
    epoch: u64,
) -> Result<Option<proto::SealedDirectoryEntry>, OrgError> {
    read(records, &RecordKey::new(KEY_UPDATES, epoch.to_be_bytes()))
}

/// Returns the members who are guests or bots.
pub(crate) fn limited(records: &dyn Records) -> Result<Vec<[u8; ID_LEN]>, OrgError> {
    let bytes = records.get(&RecordKey::new(LIMITED, []))?.unwrap_or_default();
    let (ids, rest) = bytes.as_chunks();
    if rest.is_empty() { Ok(ids.to_vec()) } else { Err(damaged()) }
}

pub(crate) fn put_limited(batch: &mut Batch, ids: &[[u8; ID_LEN]]) {
    batch.put(RecordKey::new(LIMITED, []), ids.concat());
}

pub(crate) fn read<T: WireMessage>(records: &dyn Records, key: &RecordKey) -> Result<Option<T>, OrgError> {
    let Some(bytes) = records.get(key)?.map(SecretBytes::new) else { return Ok(None) };
    match decode(bytes.expose(), Limit::RECORD) {
        Ok(value) => Ok(Some(value.into_unchecked())),
        Err(_) => Err(damaged()),
    }
}

/// A record of ours that we cannot read.
pub(crate) const fn damaged() -> OrgError {
    OrgError::Records(RecordsError::Damaged)
}
