//! An organisation in memory: one log, devices with rows, and a relay that brings everything to everybody.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    reason = "only tests use it, each of them a part"
)]

use std::collections::{BTreeMap, BTreeSet};

use chancery_crypto::hash::{hash, sha256};
use chancery_crypto::label;
use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_crypto::secret::Secret;
use chancery_crypto::signature::{SigningKey, VerifyingKey};
use chancery_group::{
    Author, BuiltCommit, Changes, Ended, Group, GroupError, Head, Info, Joiner, Keying, LogView, MemoryRows,
    Node, Role, Roster, Slot, UnverifiedCommit, UnverifiedWelcome, adopt_tree, build, evictions, found,
};
use chancery_identity::{
    Capabilities, Credential, DeviceId, DeviceKeys, DisplayName, Issuer, IssuerId, MemberId, OrgId,
    Organisation, sign,
};
use chancery_wire::{Timestamp, Unverified, encode, proto};

pub const NOW: Timestamp = Timestamp::from_millis(1_000_000);
pub const GROUP: [u8; 16] = [7; 16];
pub const GROUPS_ISSUER: [u8; 32] = [9; 32];

#[derive(Debug, Clone)]
pub enum Event {
    Credential(DeviceId, MemberId, [u8; 32]),
    Device(DeviceId),
    Member(MemberId),
    Successors([u8; 16], Vec<MemberId>),
    IssuerEnds,
}

#[derive(Clone)]
pub struct Log {
    pub org: OrgId,
    pub events: Vec<Event>,
    pub credentials: BTreeMap<DeviceId, Credential>,
    pub groups_key: VerifyingKey,
    /// Whether it was fetched after everything that is judged.
    pub fresh: bool,
    /// How much later than the beginning all entries were made, in milliseconds.
    pub clock: u64,
}

impl Log {
    fn first(&self, size: u64) -> &[Event] {
        &self.events[..usize::try_from(size).unwrap().min(self.events.len())]
    }
}

impl LogView for Log {
    fn org_id(&self) -> OrgId {
        self.org
    }

    fn size(&self) -> u64 {
        self.events.len() as u64
    }

    fn is_fresh(&self) -> bool {
        self.fresh
    }

    fn root(&self, size: u64) -> Option<[u8; 32]> {
        (size <= self.size()).then(|| sha256(&[format!("{:?}", self.first(size)).as_bytes()]))
    }

    fn time(&self, size: u64) -> Option<Timestamp> {
        (0 < size && size <= self.size()).then(|| Timestamp::from_millis(NOW.as_millis() + self.clock + size))
    }

    fn device(&self, device: &DeviceId, size: u64) -> Option<(MemberId, [u8; 32])> {
        self.first(size).iter().find_map(|event| match event {
            Event::Credential(of, member, hash) if of == device => Some((*member, *hash)),
            _ => None,
        })
    }

    fn devices_of(&self, member: &MemberId, size: u64) -> Vec<DeviceId> {
        let of = |event: &Event| match event {
            Event::Credential(device, of, _) if of == member => Some(*device),
            _ => None,
        };
        let all = self.first(size).iter().filter_map(of);
        all.filter(|device| !self.is_ended(device, member, size)).collect()
    }

    fn is_ended(&self, device: &DeviceId, member: &MemberId, size: u64) -> bool {
        self.first(size).iter().any(|event| match event {
            Event::Device(ended) => ended == device,
            Event::Member(ended) => ended == member,
            _ => false,
        })
    }

    fn ended(&self, from: u64, to: u64) -> Vec<Ended> {
        let events = self.first(to).iter().skip(usize::try_from(from).unwrap());
        events
            .filter_map(|event| match event {
                Event::Device(device) => Some(Ended::Device(*device)),
                Event::Member(member) => Some(Ended::Member(*member)),
                _ => None,
            })
            .collect()
    }

    fn group_successors(&self, group: &[u8; 16], size: u64) -> Vec<MemberId> {
        let of = |wanted: &[u8; 16]| {
            self.first(size).iter().rev().find_map(|event| match event {
                Event::Successors(group, members) if group == wanted => Some(members.clone()),
                _ => None,
            })
        };
        of(group).or_else(|| of(&[0; 16])).unwrap_or_default()
    }

    fn groups_issuer(&self, issuer: &IssuerId, size: u64) -> Option<VerifyingKey> {
        let ended = self.first(size).iter().any(|event| matches!(event, Event::IssuerEnds));
        (issuer.as_bytes() == &GROUPS_ISSUER && !ended).then(|| self.groups_key.clone())
    }

    fn credential(&self, device: &DeviceId) -> Option<Credential> {
        self.credentials.get(device).cloned()
    }
}

pub struct Device {
    pub keys: DeviceKeys,
    pub credential: Credential,
    pub member: usize,
    /// What it has of the group; `None` outside.
    pub rows: Option<MemoryRows>,
    /// Every secret that it ever had of the group.
    pub hoard: BTreeSet<[u8; 32]>,
}

impl Device {
    pub fn group(&self) -> Option<Group<'_>> {
        self.rows.as_ref().map(|rows| Group { id: &GROUP, head: &rows.head, rows })
    }

    pub fn author<'a>(&'a self, log: &'a Log, log_size: u64) -> Author<'a> {
        Author { keys: &self.keys, credential: &self.credential, log, log_size, now: NOW }
    }

    pub fn take(&mut self, changes: Changes) {
        let rows = self.rows.get_or_insert_default();
        rows.apply(changes);
        let head = &rows.head;
        for secret in [&head.chain_key, &head.slot_key, &head.administrators_key] {
            self.hoard.extend(<[u8; 32]>::try_from(secret.as_slice()).ok());
        }
        let group = self.group().unwrap();
        let nodes = occupied(&group.roster().unwrap());
        let keys: Vec<_> = nodes.iter().filter_map(|node| group.rows.key(*node).unwrap()).collect();
        self.hoard.extend(keys.iter().map(|key| *key.expose()));
    }
}

pub struct World {
    pub log: Log,
    pub devices: Vec<Device>,
    pub groups_issuer: SigningKey,
    pub rng: Box<dyn CryptoRng>,
}

pub fn member(number: usize) -> MemberId {
    MemberId::new([u8::try_from(number).unwrap() + 1; 16])
}

pub fn info(name: &str) -> Info {
    Info::new(DisplayName::parse(name).unwrap())
}

pub fn occupied(roster: &Roster<'_>) -> BTreeSet<Node> {
    roster.slots().flat_map(|slot| std::iter::successors(Some(slot.node()), |node| node.parent())).collect()
}

impl World {
    /// Enrols members, each with so many devices; nobody is in a group yet.
    pub fn new(seed: u8, devices: &[usize]) -> Self {
        let mut rng: Box<dyn CryptoRng> = Box::new(seeded([seed; 32]));
        let [root, enrol, groups] = [(); 3].map(|()| SigningKey::generate(&mut *rng));
        let org = OrgId::of(root.verifying_key());
        let body = proto::IssuerBody {
            suite: 1,
            org_id: org.as_bytes().to_vec(),
            key: enrol.verifying_key().as_bytes().to_vec(),
            capabilities: Capabilities::ENROL.bits(),
            not_before: 1,
            not_after: 9_000_000,
        };
        let issuer = sign::sign_issuer(&root, &body, &mut *rng);
        let issuer_id = Issuer::id_of(&issuer);
        let root_key = root.verifying_key().as_bytes().to_vec();
        let document = proto::Organisation { root_key, issuers: vec![issuer], ..Default::default() };
        let organisation = Organisation::verify(Unverified::new(document), None).unwrap();
        let groups_key = groups.verifying_key().clone();
        let log =
            Log { org, events: Vec::new(), credentials: BTreeMap::new(), groups_key, clock: 0, fresh: false };
        let mut world = Self { log, devices: Vec::new(), groups_issuer: groups, rng };
        for (number, count) in devices.iter().enumerate() {
            for _ in 0..*count {
                let keys = DeviceKeys::generate(&mut *world.rng);
                let id = DeviceId::new([100 + u8::try_from(world.devices.len()).unwrap(); 16]);
                let body = proto::CredentialBody {
                    suite: 1,
                    org_id: org.as_bytes().to_vec(),
                    issuer_id: issuer_id.as_bytes().to_vec(),
                    member_id: member(number).as_bytes().to_vec(),
                    device_id: id.as_bytes().to_vec(),
                    signing_key: keys.signing.verifying_key().as_bytes().to_vec(),
                    identity_key: keys.identity.public().as_bytes().to_vec(),
                    group_key: keys.group.verifying_key().as_bytes().to_vec(),
                    capabilities: Capabilities::MEMBER.bits(),
                    not_before: 1,
                    not_after: 8_000_000,
                };
                let signed = sign::sign_credential(&enrol, &body, &mut *world.rng);
                let credential = organisation.verify_credential(Unverified::new(signed), NOW).unwrap();
                world.log.events.push(Event::Credential(id, member(number), credential.hash()));
                world.log.credentials.insert(id, credential.clone());
                let hoard = BTreeSet::new();
                world.devices.push(Device { keys, credential, member: number, rows: None, hoard });
            }
        }
        world
    }

    /// Founds the group with the first device, and adds the first device of others with their roles.
    pub fn with_group(seed: u8, devices: &[usize], others: &[(usize, Role)]) -> Self {
        let mut world = Self::new(seed, devices);
        world.found(0);
        let adds = others.iter().map(|(device, role)| world.add(*device, *role)).collect();
        world.commit(0, adds, Keying::Tree).unwrap();
        world
    }

    pub fn found(&mut self, device: usize) {
        let by = &self.devices[device];
        let author = by.author(&self.log, self.log.size());
        let (_, changes, _) = found(&GROUP, &info("Crew"), author, &mut *self.rng).unwrap();
        self.devices[device].take(changes);
    }

    pub fn id(&self, device: usize) -> DeviceId {
        self.devices[device].credential.device_id()
    }

    pub fn add(&self, device: usize, role: Role) -> proto::GroupChange {
        chancery_group::add(&self.devices[device].credential, role)
    }

    pub fn group(&self, device: usize) -> Group<'_> {
        self.devices[device].group().unwrap()
    }

    pub fn inside(&self) -> Vec<usize> {
        (0..self.devices.len()).filter(|device| self.devices[*device].rows.is_some()).collect()
    }

    pub fn slot(&self, device: usize) -> Slot {
        self.group(device).slot().unwrap()
    }

    pub fn role(&self, device: usize) -> Role {
        let roster = self.group(device).roster().unwrap();
        roster.get(self.slot(device)).unwrap().unwrap().role
    }

    /// Builds a commit by `device`, with the removals that every commit must have before `changes`.
    pub fn build(
        &mut self,
        device: usize,
        mut changes: Vec<proto::GroupChange>,
        keying: Keying,
    ) -> Result<BuiltCommit<'_>, GroupError> {
        let by = &self.devices[device];
        let group = by.group().unwrap();
        let mut all = evictions(group, &[], &self.log)?;
        all.changes.append(&mut changes);
        let author = by.author(&self.log, all.log_size);
        build(group, author, all.changes, keying, &mut *self.rng)
    }

    /// Builds a commit, brings it and what goes with it to everybody, and checks that all are in one group then.
    pub fn commit(
        &mut self,
        device: usize,
        changes: Vec<proto::GroupChange>,
        keying: Keying,
    ) -> Result<(), GroupError> {
        let sent = Sent::of(self.build(device, changes, keying)?);
        self.deliver(device, sent);
        self.check();
        Ok(())
    }

    pub fn deliver(&mut self, author: usize, mut sent: Sent) {
        let own = sent.own.take().unwrap();
        for device in self.inside().into_iter().filter(|device| *device != author) {
            self.receive(device, &sent).unwrap();
        }
        self.devices[author].take(own);
        for (slot, welcome) in &sent.welcomes {
            let entry = self.group(author).roster().unwrap().get(*slot).unwrap().unwrap();
            let device = (0..self.devices.len()).find(|device| self.id(*device) == entry.device).unwrap();
            self.welcome(device, author, welcome, &sent.tree).unwrap();
        }
    }

    pub fn welcome(
        &mut self,
        device: usize,
        from: usize,
        welcome: &proto::GroupWelcome,
        tree: &[u8],
    ) -> Result<(), GroupError> {
        let to = &self.devices[device];
        let joiner = Joiner {
            group_id: &GROUP,
            credential: &to.credential,
            log: &self.log,
            behind: None,
            next: None,
            exists: to.rows.is_some(),
        };
        let from = self.id(from);
        let arrived = UnverifiedWelcome { welcome, snapshot: None, tree: Some(tree), from };
        let (changes, _) = arrived.verify(joiner, NOW)?.into_parts();
        self.devices[device].take(changes);
        Ok(())
    }

    /// One device follows a commit; on an error its rows are as they were.
    pub fn receive(&mut self, device: usize, sent: &Sent) -> Result<(), GroupError> {
        let group = self.group(device);
        let slot = group.slot()?;
        let verified = UnverifiedCommit::from_bytes(&sent.bytes)?.verify(group, &self.log)?;
        if verified.removes_me()? {
            self.devices[device].rows = None;
            return Ok(());
        }
        let keyholder = group.head.keyholders.contains(&group.head.slot);
        let staged = match verified.keying() {
            Keying::Tree if keyholder => verified.by_seed(NOW),
            Keying::Tree => verified.by_boxes(NOW),
            Keying::Regrow => verified.by_path(&sent.paths[&slot], &sent.author, NOW),
            Keying::HandOut => verified.by_hand_out(Secret::from_bytes(sent.secret), NOW),
        };
        let (changes, _, _) = staged?.into_parts();
        self.devices[device].take(changes);
        if let Some(path) = sent.paths.get(&slot).filter(|path| path.seed.is_empty() && path.path.is_empty())
        {
            let changes = adopt_tree(self.group(device), path, &sent.tree, &sent.author)?;
            self.devices[device].take(changes);
        }
        Ok(())
    }

    /// Whether everybody has one roster and one epoch, and exactly the keys that are due; and nobody outside any of them.
    pub fn check(&self) {
        let inside = self.inside();
        let first = self.group(inside[0]);
        let expected = first.roster().unwrap();
        let nodes = occupied(&expected);
        let mut keys: BTreeMap<Node, [u8; 32]> = BTreeMap::new();
        let mut administrators = BTreeSet::new();
        assert_eq!(expected.slots().count(), inside.len());
        for device in &inside {
            let group = self.group(*device);
            assert_eq!(shared(group.head), shared(first.head));
            let (roster, own) = (group.roster().unwrap(), group.slot().unwrap());
            assert_eq!(roster.members().unwrap(), expected.members().unwrap());
            assert_eq!(roster.get(own).unwrap().unwrap().device, self.id(*device));
            let keyholder = roster.keyholders().contains(&own);
            for node in &nodes {
                let due = !roster.dead().contains(node) && (keyholder || node.covers(own));
                let key = group.rows.key(*node).unwrap().map(|key| *key.expose());
                assert_eq!(key.is_some(), due, "{node:?} of {own:?}");
                if let Some(key) = key {
                    assert_eq!(*keys.entry(*node).or_insert(key), key, "one key of {node:?}");
                }
                assert_eq!(group.rows.hash(*node).unwrap(), first.rows.hash(*node).unwrap());
            }
            if keyholder {
                administrators.insert(group.head.administrators_key.clone());
            } else {
                assert!(group.head.administrators_key.is_empty());
            }
        }
        assert!(administrators.len() <= 1);
        let outside = self.devices.iter().filter(|device| device.rows.is_none());
        for device in outside {
            for secret in keys.values().map(|key| &key[..]).chain(administrators.iter().map(|key| &key[..])) {
                assert!(
                    secret.is_empty() || !device.hoard.contains(secret),
                    "{:?} has a key",
                    device.credential
                );
            }
            assert!(!device.hoard.contains(first.head.chain_key.as_slice()));
        }
    }

    /// A commit that no builder would make, signed by `device`.
    pub fn forge(&mut self, device: usize, forgery: Forgery) -> Vec<u8> {
        let by = &self.devices[device];
        let group = by.group().unwrap();
        let size = forgery.log_size.unwrap_or(self.log.size());
        let tail = encode(&proto::GroupCommitTail { changes: forgery.changes, ..Default::default() });
        let mut head = proto::GroupCommitHead {
            group_id: GROUP.to_vec(),
            epoch: group.head.epoch + 1,
            transcript: group.head.transcript.clone(),
            author: group.head.slot,
            log_size: size,
            log_root: self.log.root(size).unwrap().to_vec(),
            salt: vec![1; 32],
            keying: forgery.keying as u32,
            roster: vec![2; 32],
            tail_hash: hash(label::HASH_GROUP_COMMIT_TAIL, &[&tail]).to_vec(),
        };
        (forgery.head)(&mut head);
        let (head, confirmation) = (encode(&head), vec![3; 32]);
        let signed = [head.as_slice(), &confirmation].concat();
        let signature = by.keys.signing.sign(label::SIGN_GROUP_COMMIT, &signed, &mut *self.rng);
        encode(&proto::GroupCommit { head, tail, confirmation, signature })
    }

    pub fn rows(&self) -> Vec<Option<MemoryRows>> {
        self.devices.iter().map(|device| device.rows.clone()).collect()
    }

    pub fn set_rows(&mut self, rows: &[Option<MemoryRows>]) {
        for (device, rows) in self.devices.iter_mut().zip(rows) {
            device.rows.clone_from(rows);
        }
    }

    /// What everybody inside says to a commit, which is the same, and leaves nothing behind.
    pub fn refusal(&self, bytes: &[u8]) -> GroupError {
        let mut errors = Vec::new();
        let rows = format!("{:?}", self.rows());
        for device in self.inside() {
            let verify =
                UnverifiedCommit::from_bytes(bytes).and_then(|it| it.verify(self.group(device), &self.log));
            errors.push(verify.map(|_| ()).unwrap_err());
        }
        assert_eq!(format!("{:?}", self.rows()), rows);
        assert!(errors.windows(2).all(|pair| pair[0] == pair[1]), "{errors:?}");
        errors.remove(0)
    }
}

/// What is not this device's own in its record.
pub fn shared(head: &Head) -> Head {
    Head { slot: 0, administrators_key: Vec::new(), regrown_at: 0, ..head.clone() }
}

pub struct Forgery {
    pub changes: Vec<proto::GroupChange>,
    pub keying: Keying,
    pub head: fn(&mut proto::GroupCommitHead),
    /// Entries of the log; all, if it does not say.
    pub log_size: Option<u64>,
}

impl Forgery {
    pub fn of(changes: Vec<proto::GroupChange>, keying: Keying) -> Self {
        Self { changes, keying, head: |_| {}, log_size: None }
    }
}

/// A commit with all that goes with it.
pub struct Sent {
    pub bytes: Vec<u8>,
    pub hash: [u8; 32],
    pub secret: [u8; 32],
    pub paths: BTreeMap<Slot, proto::GroupPath>,
    pub welcomes: Vec<(Slot, proto::GroupWelcome)>,
    pub tree: Vec<u8>,
    pub author: DeviceId,
    pub own: Option<Changes>,
}

impl Sent {
    pub fn of(built: BuiltCommit<'_>) -> Self {
        let file = Some(proto::GroupFile::default());
        let path = |slot| (slot, built.path(slot, file.clone()).unwrap());
        let author = built.author();
        let welcome = |slot: &Slot| {
            (*slot, built.welcome(*slot, None, file.clone().filter(|_| built.tree().is_ok())).unwrap())
        };
        Self {
            bytes: built.bytes().to_vec(),
            hash: *built.hash(),
            secret: *built.secret().expose(),
            paths: built.paths().into_iter().map(path).collect(),
            welcomes: built.outcome().added.iter().map(welcome).collect(),
            tree: built.tree().map(|tree| tree.expose().to_vec()).unwrap_or_default(),
            author: built.roster().get(author).unwrap().unwrap().device,
            own: Some(built.into_parts().0),
        }
    }
}
