//! Several devices of a person, and what happens to them: an authority signs for them as the desk would.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chancery_crypto::rng::random_bytes;
use chancery_crypto::secret::Secret;
use chancery_crypto::signature::SigningKey;
use chancery_engine::{Event, events};
use chancery_identity::log::{Leaf, LeafKind, short_issuer};
use chancery_identity::{
    Capabilities, DeviceId, DeviceKeys, DisplayName, Handle, IssuerId, MemberId, SUITE, sign,
};
use chancery_org::{CLOCK_TOLERANCE, Desk, DeskKeys, DirectoryAccess, DirectoryKeys, Enrolment};
use chancery_relay::Storage as _;
use chancery_wire::proto::{
    CredentialBody, DirectoryEntryBody, DirectoryKeysRecord, OutboxTarget, PeerRecord, SealedDirectoryEntry,
    SentRecord, Signed,
};
use chancery_wire::records::{RecordKey, Table};
use chancery_wire::{Timestamp, Unverified};

use crate::person::{Disk, PersonId, commit};
use crate::world::World;

/// How long a credential lasts.
const CREDENTIAL_LIFETIME: Duration = Duration::from_secs(400 * 24 * 3600);

/// The enrolling issuer's key, and what it has signed in the directory.
#[derive(Clone)]
pub(crate) struct Authority {
    issuer_id: IssuerId,
    key: Arc<SigningKey>,
    entries: BTreeMap<MemberId, u64>,
}

impl Authority {
    pub(crate) const fn issuer_id(&self) -> IssuerId {
        self.issuer_id
    }

    pub(crate) fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Signs with another issuer from now on.
    pub(crate) fn replace(&mut self, issuer_id: IssuerId, key: SigningKey) {
        self.issuer_id = issuer_id;
        self.key = Arc::new(key);
    }

    /// Takes the issuer out of the desk's keys: version (1), issuer (32), seed (64).
    pub(crate) fn new(desk: &DeskKeys) -> Self {
        let bytes = desk.to_secret_bytes();
        let bytes = bytes.expose();
        let seed = Secret::from_slice(&bytes[33..97]).expect("64 bytes");
        Self {
            issuer_id: IssuerId::from_bytes(&bytes[1..33]).expect("32 bytes"),
            key: Arc::new(SigningKey::from_seed(seed)),
            entries: BTreeMap::new(),
        }
    }
}

impl World {
    /// Gives a person one device more, which the directory names from now on.
    pub fn add_device(&mut self, of: PersonId) -> PersonId {
        let new = self.add_device_unlisted(of);
        self.publish_devices(self.people[of.0].member_id);
        self.sync(new);
        new
    }

    /// Gives a person one device more, which the directory does not name yet.
    pub fn add_device_unlisted(&mut self, of: PersonId) -> PersonId {
        self.add_device_of(of, true, CREDENTIAL_LIFETIME)
    }

    /// Gives a person one device more with a credential that is not in the log, as whoever stole the issuer's key can.
    pub fn add_device_unlogged(&mut self, of: PersonId) -> PersonId {
        self.add_device_of(of, false, CREDENTIAL_LIFETIME)
    }

    /// Gives a person one device more, whose credential lasts so long and which the directory does not name yet.
    pub fn add_device_for(&mut self, of: PersonId, lifetime: Duration) -> PersonId {
        self.add_device_of(of, true, lifetime)
    }

    /// Has the directory name all devices of a person.
    pub fn list_devices(&mut self, of: PersonId) {
        self.publish_devices(self.people[of.0].member_id);
    }

    /// Gives the handle of somebody who was ended to a new member.
    pub fn enrol_again(&mut self, handle: &str, old: PersonId) -> PersonId {
        let member_id = self.people[old.0].member_id;
        let version = self.now.as_millis() + 1;
        let entry = self.sign_entry(member_id, handle, Vec::new(), version);
        self.publish(&[entry]);
        let new = self.enrol(&format!("{handle}.new"));
        self.people[new.0].handle = handle.to_owned();
        self.list_devices(new);
        new
    }

    /// Returns a credential for one device more, signed by the issuer that was replaced last, and its leaf.
    pub fn credential_by_former_issuer(&mut self, of: PersonId) -> (Leaf, Signed) {
        let former = self.former.last().expect("one was replaced").clone();
        let now = std::mem::replace(&mut self.authority, former);
        let keys = DeviceKeys::generate(self.rng.as_mut());
        let signed = self.sign_credential(of, &keys, CREDENTIAL_LIFETIME);
        let issuer = short_issuer(&self.authority.issuer_id);
        self.authority = now;
        let organisation = self.log.authority().organisation();
        let credential = organisation.verify_credential(Unverified::new(signed.clone()), self.now);
        let credential = credential.expect("well signed");
        let leaf = Leaf {
            kind: LeafKind::Credential,
            time: self.now,
            subject: *credential.device_id().as_bytes(),
            object: *credential.member_id().as_bytes(),
            issuer,
            commitment: credential.hash(),
        };
        (leaf, signed)
    }

    fn sign_credential(&mut self, of: PersonId, keys: &DeviceKeys, lifetime: Duration) -> Signed {
        let device_id = DeviceId::random(self.rng.as_mut());
        let body = CredentialBody {
            suite: SUITE,
            org_id: self.organisation.id().as_bytes().to_vec(),
            issuer_id: self.authority.issuer_id.as_bytes().to_vec(),
            member_id: self.people[of.0].member_id.as_bytes().to_vec(),
            device_id: device_id.as_bytes().to_vec(),
            signing_key: keys.signing.verifying_key().as_bytes().to_vec(),
            identity_key: keys.identity.public().as_bytes().to_vec(),
            group_key: keys.group.verifying_key().as_bytes().to_vec(),
            capabilities: Capabilities::MEMBER.bits(),
            not_before: self.now.as_millis() - u64::try_from(CLOCK_TOLERANCE.as_millis()).expect("a day"),
            not_after: self.now.after(lifetime).as_millis(),
        };
        sign::sign_credential(&self.authority.key, &body, self.rng.as_mut())
    }

    fn add_device_of(&mut self, of: PersonId, logged: bool, lifetime: Duration) -> PersonId {
        let handle = self.people[of.0].handle.clone();
        let keys = DeviceKeys::generate(self.rng.as_mut());
        let signed = self.sign_credential(of, &keys, lifetime);
        let credential =
            self.log.authority().organisation().verify_credential(Unverified::new(signed.clone()), self.now);
        let credential = credential.expect("sound");
        if logged {
            self.append(LeafKind::Credential, &signed);
        }
        let enrolment = Enrolment {
            credential,
            handle: Handle::parse(&handle).expect("a good handle"),
            name: DisplayName::parse(&handle).expect("a good name"),
            organisation_name: DisplayName::parse("Acme").expect("a good name"),
            directory: self.directory_access(of),
        };
        self.install(&keys, &enrolment)
    }

    /// Takes a device out of the directory. It goes on as if it had not heard of that.
    pub fn remove_device(&mut self, id: PersonId) {
        let member_id = self.people[id.0].member_id;
        self.people[id.0].handle.clear();
        self.publish_devices(member_id);
    }

    /// Has the desk remove all devices of a member whom it enrolled: it changes the directory key. They hear of it, or
    /// not, as the directory tells.
    pub fn offboard(&mut self, id: PersonId) {
        let member = (&self.people[id.0].member_id, None);
        let removed = self.desk.remove_devices(&self.desk_disk, member, self.now, self.rng.as_mut());
        commit(&mut self.desk_disk, removed.expect("a member").batch);
        self.publish_directory();
    }

    /// Publishes what the desk has made since.
    pub(crate) fn publish_directory(&mut self) {
        loop {
            let entries = Desk::pending_directory(&self.desk_disk).expect("readable");
            if entries.is_empty() {
                return;
            }
            self.publish(&entries);
            for entry in entries {
                let batch = Desk::directory_published(&self.desk_disk, &entry.entry_id, entry.version, 0);
                commit(&mut self.desk_disk, batch.expect("readable"));
            }
        }
    }

    /// Publishes which devices a member has.
    fn publish_devices(&mut self, member_id: MemberId) {
        let entry = self.entry_of(member_id);
        self.publish(&[entry]);
    }

    /// Has the directory name all devices of a person before the log commits to it; returns the entry.
    pub fn list_devices_uncommitted(&mut self, of: PersonId) -> SealedDirectoryEntry {
        let entry = self.entry_of(self.people[of.0].member_id);
        self.publish_uncommitted(std::slice::from_ref(&entry));
        entry
    }

    /// Signs an entry of a person above the one that is published, and publishes nothing.
    pub fn sign_newer_entry(&mut self, of: PersonId) -> SealedDirectoryEntry {
        self.entry_of(self.people[of.0].member_id)
    }

    fn entry_of(&mut self, member_id: MemberId) -> SealedDirectoryEntry {
        let own: Vec<_> =
            self.people.iter().filter(|p| p.member_id == member_id && !p.handle.is_empty()).collect();
        let handle = own.first().expect("one device is left").handle.clone();
        let device_ids = own.iter().map(|person| person.device_id.as_bytes().to_vec()).collect();
        // As the desk's own, above which the first one is.
        let last = self.authority.entries.get(&member_id).copied().unwrap_or_default();
        let version = last.max(self.now.as_millis()) + 1;
        self.authority.entries.insert(member_id, version);
        self.sign_entry(member_id, &handle, device_ids, version)
    }

    /// Signs and seals a directory entry, and publishes nothing.
    pub(crate) fn sign_entry(
        &mut self,
        member_id: MemberId,
        handle: &str,
        device_ids: Vec<Vec<u8>>,
        version: u64,
    ) -> SealedDirectoryEntry {
        let body = DirectoryEntryBody {
            org_id: self.organisation.id().as_bytes().to_vec(),
            issuer_id: self.authority.issuer_id.as_bytes().to_vec(),
            member_id: member_id.as_bytes().to_vec(),
            handle: handle.to_owned(),
            name: handle.to_owned(),
            device_ids,
            version,
            ..Default::default()
        };
        let signed = sign::sign_directory_entry(&self.authority.key, &body, self.rng.as_mut());
        let entry_id = random_bytes(self.rng.as_mut());
        let keys = self.directory_keys(PersonId(0));
        keys.key().seal(&signed, &entry_id, version, self.rng.as_mut())
    }

    /// What opens the directory for one device more of a person.
    fn directory_access(&self, of: PersonId) -> DirectoryAccess {
        DirectoryAccess::Member(self.directory_keys(of))
    }

    /// The directory keys of a device. A device that is added here has those of another, place in the key tree included.
    #[must_use]
    pub fn directory_keys(&self, of: PersonId) -> DirectoryKeys {
        const DIRECTORY_KEYS: Table = Table(0x0113);
        let bytes = &self.people[of.0].disk[&RecordKey::new(DIRECTORY_KEYS, [])];
        let record = chancery_wire::decode::<DirectoryKeysRecord>(bytes, chancery_wire::Limit::RECORD);
        let record = record.expect("sound").into_unchecked();
        let (key, path) = ((record.epoch, &*record.directory_key), (record.slot, &*record.key_path));
        DirectoryKeys::from_parts(key, path).expect("sound")
    }

    /// Puts back what was on a device's disk at an earlier time.
    pub fn restore(&mut self, id: PersonId, disk: Disk) {
        self.people[id.0].disk = disk;
        self.restart(id);
    }

    /// Ends a device's process; the next thing it does starts it from its disk.
    pub fn restart(&mut self, id: PersonId) {
        self.people[id.0].engine = None;
    }

    /// Returns how many handshakes a device has sent.
    #[must_use]
    pub fn handshakes(&self, id: PersonId) -> usize {
        self.people[id.0].handshakes
    }

    /// Returns when a device has claimed bundles.
    #[must_use]
    pub fn claims(&self, id: PersonId) -> &[Timestamp] {
        &self.people[id.0].claims
    }

    /// Returns when a device has delivered envelopes.
    #[must_use]
    pub fn deliveries(&self, id: PersonId) -> &[Timestamp] {
        &self.people[id.0].deliveries
    }

    /// Returns how many messages a device was told of as lost, in the order of the events.
    #[must_use]
    pub fn lost(&self, id: PersonId) -> Vec<u64> {
        let events = events(&self.people[id.0].disk, usize::MAX).expect("readable");
        let lost = events.into_iter().filter_map(|(_, event)| match event {
            Event::Lost { count, .. } => Some(count),
            _ => None,
        });
        lost.collect()
    }

    /// Returns how often messages that a device holds for another were sent again.
    #[must_use]
    pub fn resent(&self, id: PersonId, for_device: PersonId) -> Vec<u32> {
        const SENT: Table = Table(0x0135);
        let device_id = self.people[for_device.0].device_id;
        let records = self.people[id.0].disk.iter();
        let held = records.filter(|(key, _)| key.table == SENT && key.name.starts_with(device_id.as_bytes()));
        let read = |bytes: &[u8]| chancery_wire::decode::<SentRecord>(bytes, chancery_wire::Limit::RECORD);
        held.map(|(_, bytes)| read(bytes).expect("sound").into_unchecked().resent).collect()
    }

    /// Returns which devices a device was told of as new, in the order of their events.
    #[must_use]
    pub fn devices_added(&self, id: PersonId) -> Vec<DeviceId> {
        let events = events(&self.people[id.0].disk, usize::MAX).expect("readable");
        let added = events.into_iter().filter_map(|(_, event)| match event {
            Event::DeviceAdded { device, .. } => Some(device),
            _ => None,
        });
        added.collect()
    }

    /// Returns the session that a device encrypts with to another, if there is one, and how many archived ones it keeps.
    #[must_use]
    pub fn session(&self, id: PersonId, with: PersonId) -> (Option<Vec<u8>>, usize) {
        const PEER: Table = Table(0x0131);
        let name = RecordKey::new(PEER, *self.people[with.0].device_id.as_bytes());
        let Some(bytes) = self.people[id.0].disk.get(&name) else { return (None, 0) };
        let peer = chancery_wire::decode::<PeerRecord>(bytes, chancery_wire::Limit::RECORD);
        let peer = peer.expect("sound").into_unchecked();
        (Some(peer.active).filter(|active| !active.is_empty()), peer.archived.len())
    }

    /// Returns how many items of a device's outbox wait for another.
    #[must_use]
    pub fn waiting_for(&self, id: PersonId, for_device: PersonId) -> u64 {
        const OUTBOX: Table = Table(0x0140);
        let name = RecordKey::new(OUTBOX, *self.people[for_device.0].device_id.as_bytes());
        let Some(bytes) = self.people[id.0].disk.get(&name) else { return 0 };
        let target = chancery_wire::decode::<OutboxTarget>(bytes, chancery_wire::Limit::RECORD);
        target.expect("sound").unchecked().waiting
    }

    /// Returns how many messages to another device a device holds until they are acknowledged.
    #[must_use]
    pub fn held(&self, id: PersonId, for_device: PersonId) -> usize {
        const SENT: Table = Table(0x0135);
        let device_id = self.people[for_device.0].device_id;
        let disk = &self.people[id.0].disk;
        disk.keys().filter(|key| key.table == SENT && key.name.starts_with(device_id.as_bytes())).count()
    }

    /// Lets time pass until `is_done`, while everybody connects now and then; returns whether it came to that.
    pub fn settle(&mut self, is_done: impl Fn(&Self) -> bool) -> bool {
        for minutes in [0, 1, 1, 2].into_iter().chain(core::iter::repeat_n(61, 12)) {
            self.wait(Duration::from_secs(minutes * 60 + 1));
            self.run();
            if is_done(self) {
                return true;
            }
        }
        false
    }

    /// Has the relay forget what has expired.
    pub fn tidy_relay(&mut self) {
        self.exchange.storage.expire(self.now, u32::MAX).expect("memory");
    }

    /// Empties a device's histories, and nothing else.
    pub fn forget_history(&mut self, id: PersonId) {
        let history = [Table(0x0150), Table(0x0151), Table(0x0160)];
        self.people[id.0].disk.retain(|key, _| !history.contains(&key.table));
    }

    /// Returns the identifier of a device.
    #[must_use]
    pub fn device_id(&self, id: PersonId) -> DeviceId {
        self.people[id.0].device_id
    }
}
