//! A company with one group, as large as wanted, for measurements.
//!
//! Three devices are real: the founder, an administrator and a member. The others stand in the log and in the roster
//! with credentials that nobody has; nothing that is measured asks for them.

use std::collections::{BTreeMap, BTreeSet};

use chancery_crypto::ed25519::GroupVerifyingKey;
use chancery_crypto::hash::sha256;
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_crypto::signature::{SigningKey, VerifyingKey};
use chancery_group::{
    Attempt, Author, Ended, Entry, EpochKeys, Group, Info, Joiner, Keying, LogView, MAX_INLINE_SNAPSHOT,
    MemoryRows, MessageEnvelope, Messages, Node, RelaySlots, Role, Rows, Slot, UnverifiedCommit,
    UnverifiedWelcome, add, build, evictions, found,
};
use chancery_identity::{
    Capabilities, Credential, DeviceId, DeviceKeys, DisplayName, Issuer, IssuerId, MemberId, OrgId,
    Organisation, sign,
};
use chancery_wire::{Timestamp, Unverified, encode, proto};
use proto::group_change::Change;

use crate::{NOW, must};

/// The group's identifier.
pub const GROUP: [u8; 16] = [7; 16];
/// When what the organisation signs ends: long after [`NOW`].
const END: u64 = 2_000_000_000_000;
/// Bytes of a stored key of a node: level, index, key.
const NODE_KEY: usize = 3 + 32;
/// Devices that one commit adds: as many as it may.
const BATCH: usize = chancery_group::limit::MAX_CHANGES;

/// A log in memory.
#[derive(Clone)]
pub struct Log {
    org: OrgId,
    /// Entries before anybody ended.
    enrolled: u64,
    devices: BTreeMap<DeviceId, (MemberId, [u8; 32])>,
    credentials: BTreeMap<DeviceId, Credential>,
    /// Devices that ended, one an entry.
    ended: Vec<DeviceId>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("size", &self.size()).finish_non_exhaustive()
    }
}

impl Log {
    /// Returns the log with one more entry, which ends a device.
    #[must_use]
    pub fn ending(&self, device: DeviceId) -> Self {
        let mut log = self.clone();
        log.ended.push(device);
        log
    }

    fn ended_in(&self, size: u64) -> impl Iterator<Item = (u64, &DeviceId)> {
        (self.enrolled..size).zip(&self.ended)
    }
}

impl LogView for Log {
    fn org_id(&self) -> OrgId {
        self.org
    }

    fn size(&self) -> u64 {
        self.enrolled.saturating_add(self.ended.len() as u64)
    }

    fn root(&self, size: u64) -> Option<[u8; 32]> {
        (size <= self.size()).then(|| sha256(&[&size.to_be_bytes()]))
    }

    fn time(&self, size: u64) -> Option<Timestamp> {
        (size <= self.size()).then_some(NOW)
    }

    fn device(&self, device: &DeviceId, _: u64) -> Option<(MemberId, [u8; 32])> {
        self.devices.get(device).copied()
    }

    fn devices_of(&self, member: &MemberId, size: u64) -> Vec<DeviceId> {
        let of = self.devices.iter().filter(|(_, (of, _))| of == member).map(|(device, _)| *device);
        of.filter(|device| !self.is_ended(device, member, size)).collect()
    }

    fn is_ended(&self, device: &DeviceId, _: &MemberId, size: u64) -> bool {
        self.ended_in(size).any(|(_, ended)| ended == device)
    }

    fn ended(&self, from: u64, to: u64) -> Vec<Ended> {
        self.ended_in(to).filter(|(at, _)| *at >= from).map(|(_, ended)| Ended::Device(*ended)).collect()
    }

    fn group_successors(&self, _: &[u8; 16], _: u64) -> Vec<MemberId> {
        Vec::new()
    }

    fn groups_issuer(&self, _: &IssuerId, _: u64) -> Option<VerifyingKey> {
        None
    }

    fn credential(&self, device: &DeviceId) -> Option<Credential> {
        self.credentials.get(device).cloned()
    }
}

/// A real device, and what it has of the group.
pub struct Person {
    /// Its keys.
    pub keys: DeviceKeys,
    /// Its credential.
    pub credential: Credential,
    /// What it has stored of the group.
    pub rows: MemoryRows,
    /// Name of the epoch's set.
    pub set_name: [u8; 16],
    messages: Option<Messages>,
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Person").field("credential", &self.credential).finish_non_exhaustive()
    }
}

impl Person {
    fn enter(&mut self, rows: MemoryRows, epoch: EpochKeys) {
        self.rows = rows;
        self.set_name = epoch.set_name;
        let transcript = must(self.rows.head.transcript.as_slice().try_into());
        self.messages = Some(Messages::new(transcript, epoch.set_name, epoch.header_key, epoch.senders));
    }

    /// Returns the group as it has it.
    #[must_use]
    pub const fn group(&self) -> Group<'_> {
        Group { id: &GROUP, head: &self.rows.head, rows: &self.rows }
    }

    /// Returns its slot.
    #[must_use]
    pub fn slot(&self) -> Slot {
        must(self.group().slot())
    }

    /// Returns it as an author.
    #[must_use]
    pub const fn author<'a>(&'a self, log: &'a dyn LogView, log_size: u64) -> Author<'a> {
        Author { keys: &self.keys, credential: &self.credential, log, log_size, now: NOW }
    }

    /// Seals a message to everybody.
    pub fn seal(&mut self, content: &[u8], rng: &mut dyn CryptoRng) -> Vec<u8> {
        let own = self.slot();
        let messages = must(self.messages.as_mut().ok_or("not in the group"));
        must(messages.seal(own, &self.keys.group, content, rng))
    }

    /// Opens a message of somebody whose key is known.
    pub fn open(&mut self, key: &GroupVerifyingKey, envelope: &[u8]) -> SecretBytes {
        let envelope = must(MessageEnvelope::parse(envelope));
        must(must(must(self.messages().find(envelope)).check()).open(key))
    }

    /// Reads what it keeps of the epoch's messages from the store, runs something, and stores it again.
    pub fn stored<T>(&mut self, bytes: &mut SecretBytes, run: impl FnOnce(&mut Self) -> T) -> T {
        self.messages = Some(must(Messages::from_bytes(bytes.expose())));
        let out = run(self);
        *bytes = self.messages().to_bytes();
        out
    }

    /// Returns what it reads and writes messages with.
    pub fn messages(&mut self) -> &mut Messages {
        must(self.messages.as_mut().ok_or("not in the group"))
    }

    /// Returns the bytes of what it has to keep beside the roster: its record without the roster's lists, keys of nodes,
    /// and the epoch's messages.
    #[must_use]
    pub fn state_bytes(&mut self) -> usize {
        let roster = must(self.group().roster());
        let nodes: BTreeSet<Node> = roster
            .slots()
            .flat_map(|slot| std::iter::successors(Some(slot.node()), |node| node.parent()))
            .collect();
        let keys = nodes.iter().filter(|node| must(self.rows.key(**node)).is_some()).count();
        let mut head = self.rows.head.clone();
        (head.info, head.slots, head.keyholders) = (Vec::new(), Vec::new(), Vec::new());
        let messages = self.messages().to_bytes().expose().len();
        [encode(&head).len(), keys.saturating_mul(NODE_KEY), messages].into_iter().sum()
    }
}

/// Returns the slots of the relay for the commit that ends a group's epoch.
pub fn relay_slots<T>(person: &Person, run: impl FnOnce(RelaySlots<'_>) -> T) -> T {
    let slot_key = must(Secret::from_slice(&person.rows.head.slot_key).ok_or("none"));
    run(RelaySlots { slot_key: &slot_key, set_name: &person.set_name })
}

/// A welcome with its files.
#[derive(Debug, Clone)]
pub struct Welcome {
    /// What comes over the session.
    pub welcome: proto::GroupWelcome,
    /// The snapshot, if it is a file.
    pub snapshot: Option<Vec<u8>>,
    /// The keys of the tree, for keyholders.
    pub tree: Option<Vec<u8>>,
    from: DeviceId,
}

impl Welcome {
    /// Enters the group and stores it.
    pub fn join(&self, credential: &Credential, log: &Log) -> (MemoryRows, EpochKeys) {
        let joiner = Joiner { group_id: &GROUP, credential, log, behind: None, exists: false };
        let (snapshot, tree) = (self.snapshot.as_deref(), self.tree.as_deref());
        let arrived = UnverifiedWelcome { welcome: &self.welcome, snapshot, tree, from: self.from };
        let (changes, epoch) = must(arrived.verify(joiner, NOW)).into_parts();
        let mut rows = MemoryRows::default();
        rows.apply(changes);
        (rows, epoch)
    }
}

/// A company whose devices are all in one group.
#[derive(Debug)]
pub struct Company {
    /// The log.
    pub log: Log,
    /// Who founded the group.
    pub founder: Person,
    /// Another keyholder.
    pub administrator: Person,
    /// A member.
    pub member: Person,
    /// How the administrator and the member were welcomed.
    pub welcomes: [Welcome; 2],
    adds: Vec<proto::GroupChange>,
}

/// A device that stands in log and roster, and nowhere else.
#[must_use]
pub fn stranger(number: u32) -> Entry {
    let hash = |what: u8| sha256(&[&[what], &number.to_be_bytes()]);
    let id = |what| must(hash(what).first_chunk().copied().ok_or("32 bytes"));
    Entry {
        member: MemberId::new(id(1)),
        device: DeviceId::new(id(2)),
        credential: hash(3),
        group_key: hash(4),
        role: Role::Member,
        added: 0,
    }
}

/// Returns the change that adds a device of [`stranger`].
#[must_use]
pub fn add_stranger(number: u32) -> proto::GroupChange {
    proto::GroupChange { change: Some(Change::Add(stranger(number).to_add())) }
}

impl Company {
    /// Enrols so many devices, at least 3, and brings them into one group that has one administrator beside its founder.
    pub fn new(devices: u32, rng: &mut dyn CryptoRng) -> Self {
        let (mut log, [founder, administrator, member]) = enrol(rng);
        let others = devices.saturating_sub(3);
        // One more than are in the group, who can be added.
        for number in 0..=others {
            let entry = stranger(number);
            log.devices.insert(entry.device, (entry.member, entry.credential));
        }
        log.enrolled = u64::from(others).saturating_add(4);
        let mut adds: Vec<_> = (0..others).map(add_stranger).collect();
        adds.push(add(&administrator.credential, Role::Administrator));
        adds.push(add(&member.credential, Role::Member));
        let (rows, epoch, mut welcomes) = create(&log, &founder, &adds, rng);
        let last = must(welcomes.pop().ok_or("there are two"));
        let welcomes = [must(welcomes.pop().ok_or("there are two")), last];
        let mut company = Self { log, founder, administrator, member, welcomes, adds };
        company.founder.enter(rows, epoch);
        let [first, second] = &company.welcomes;
        for (person, welcome) in [(&mut company.administrator, first), (&mut company.member, second)] {
            let (rows, epoch) = welcome.join(&person.credential, &company.log);
            person.enter(rows, epoch);
        }
        company
    }

    /// Creates the same group once more and throws it away: founding, and commits that add everybody else, with a welcome
    /// for each. Sessions, over which the welcomes go, are not part of it.
    pub fn create(&self, rng: &mut dyn CryptoRng) -> MemoryRows {
        create(&self.log, &self.founder, &self.adds, rng).0
    }

    /// Lets administrator and member have had one message each of so many others, from all over the tree.
    pub fn know_senders(&mut self, count: u32) {
        for person in [&mut self.administrator, &mut self.member] {
            let others = person.rows.head.taken.saturating_sub(3);
            let count = count.min(others);
            for number in 0..count {
                let place = number.saturating_mul(others.checked_div(count).unwrap_or_default());
                let slot = must(Slot::from_u32(place.saturating_add(1)).ok_or("a slot"));
                must(person.messages().senders().find(slot, 0)).adopt();
            }
        }
    }

    /// Returns the number of the device that is in the log and not in the group.
    #[must_use]
    pub fn outsider(&self) -> u32 {
        must(u32::try_from(self.adds.len().saturating_sub(2)))
    }
}

/// Makes a commit as a device does: with whoever must go, sealed for the relay.
pub fn make(
    person: &Person,
    log: &Log,
    changes: Vec<proto::GroupChange>,
    keying: Keying,
    rng: &mut dyn CryptoRng,
) -> Vec<u8> {
    let mut all = must(evictions(person.group(), &[], log));
    all.changes.extend(changes);
    let author = person.author(log, all.log_size);
    let built = must(build(person.group(), author, all.changes, keying, rng));
    relay_slots(person, |slots| must(slots.seal(Attempt::FIRST, built.bytes(), rng)))
}

/// Follows a commit of keying 1 from the relay's slot to the stored rows.
pub fn follow(person: &Person, log: &Log, content: &[u8], rows: &mut MemoryRows) {
    let bytes = relay_slots(person, |slots| must(slots.open(Attempt::FIRST, content)));
    let verified = must(must(UnverifiedCommit::from_bytes(&bytes)).verify(person.group(), log));
    let keyholder = person.rows.head.keyholders.contains(&person.rows.head.slot);
    let staged = if keyholder { verified.by_seed(NOW) } else { verified.by_boxes(NOW) };
    rows.apply(must(staged).into_parts().0);
}

fn create(
    log: &Log,
    founder: &Person,
    adds: &[proto::GroupChange],
    rng: &mut dyn CryptoRng,
) -> (MemoryRows, EpochKeys, Vec<Welcome>) {
    let info = Info::new(must(DisplayName::parse("Everybody")));
    let author = founder.author(log, log.enrolled);
    let (_, changes, mut epoch) = must(found(&GROUP, &info, author, rng));
    let mut rows = MemoryRows::default();
    rows.apply(changes);
    let mut welcomes = Vec::new();
    for changes in adds.chunks(BATCH) {
        let group = Group { id: &GROUP, head: &rows.head, rows: &rows };
        let built = must(build(group, author, changes.to_vec(), Keying::Tree, rng));
        let snapshot = must(built.snapshot());
        let file = (snapshot.len() > MAX_INLINE_SNAPSHOT).then(proto::GroupFile::default);
        welcomes.clear();
        for slot in &built.outcome().added {
            let keyholder = built.roster().keyholders().contains(slot);
            let tree = keyholder.then(|| must(built.tree()).expose().to_vec());
            let tree_file = keyholder.then(proto::GroupFile::default);
            let welcome = must(built.welcome(*slot, file.clone(), tree_file));
            welcomes.push(Welcome { welcome, snapshot: None, tree, from: founder.credential.device_id() });
        }
        let last = welcomes.len().saturating_sub(2);
        welcomes = welcomes.split_off(last);
        for welcome in &mut welcomes {
            welcome.snapshot = file.is_some().then(|| snapshot.clone());
        }
        let (changes, keys, _) = built.into_parts();
        rows.apply(changes);
        epoch = keys;
    }
    (rows, epoch, welcomes)
}

/// Makes the organisation and its three real devices.
fn enrol(rng: &mut dyn CryptoRng) -> (Log, [Person; 3]) {
    let (root, enrol) = (SigningKey::generate(rng), SigningKey::generate(rng));
    let org = OrgId::of(root.verifying_key());
    let body = proto::IssuerBody {
        suite: 1,
        org_id: org.as_bytes().to_vec(),
        key: enrol.verifying_key().as_bytes().to_vec(),
        capabilities: Capabilities::ENROL.bits(),
        not_before: 1,
        not_after: END,
    };
    let issuer = sign::sign_issuer(&root, &body, rng);
    let issuer_id = Issuer::id_of(&issuer);
    let root_key = root.verifying_key().as_bytes().to_vec();
    let document = proto::Organisation { root_key, issuers: vec![issuer], ..Default::default() };
    let organisation = must(Organisation::verify(Unverified::new(document), None));
    let (devices, credentials) = (BTreeMap::new(), BTreeMap::new());
    let mut log = Log { org, enrolled: 0, devices, credentials, ended: Vec::new() };
    let people = [1u8, 2, 3].map(|number| {
        let keys = DeviceKeys::generate(rng);
        let body = proto::CredentialBody {
            suite: 1,
            org_id: org.as_bytes().to_vec(),
            issuer_id: issuer_id.as_bytes().to_vec(),
            member_id: vec![number; 16],
            device_id: vec![number; 16],
            signing_key: keys.signing.verifying_key().as_bytes().to_vec(),
            identity_key: keys.identity.public().as_bytes().to_vec(),
            group_key: keys.group.verifying_key().as_bytes().to_vec(),
            capabilities: Capabilities::MEMBER.bits(),
            not_before: 1,
            not_after: END,
        };
        let signed = sign::sign_credential(&enrol, &body, rng);
        let credential = must(organisation.verify_credential(Unverified::new(signed), NOW));
        log.devices.insert(credential.device_id(), (credential.member_id(), credential.hash()));
        log.credentials.insert(credential.device_id(), credential.clone());
        Person { keys, credential, rows: MemoryRows::default(), set_name: [0; 16], messages: None }
    });
    (log, people)
}
