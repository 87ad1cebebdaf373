//! Devices with a log, and a group of them, below engine and relay: what the vectors and the fuzz targets of groups
//! start from.

use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_crypto::signature::SigningKey;
use chancery_group::{
    Author, BuiltCommit, Changes, Group, GroupError, Info, Joiner, Keying, MemoryRows, Role, Slot,
    UnverifiedCommit, UnverifiedWelcome, adopt_tree, build, evictions, found,
};
use chancery_identity::log::{Leaf, LeafKind, commitment, short_issuer};
use chancery_identity::{
    Capabilities, Credential, DeviceId, DeviceKeys, DisplayName, Issuer, IssuerId, MemberId, Organisation,
    sign,
};
use chancery_wire::{Timestamp, Unverified, proto};

mod log;
mod sent;

pub use log::{CrewEntry, CrewLog};
pub use sent::{Forgery, Sent};

/// When everything of a [`Crew`] happens; every entry of its log is a second later than the one before.
pub const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// The group.
pub const GROUP: [u8; 16] = [7; 16];

/// An enrolled device, and what it has of the group.
#[derive(Clone)]
pub struct CrewDevice {
    /// Its private keys, as they are stored.
    keys: Vec<u8>,
    /// What it is certified as.
    pub credential: Credential,
    /// Its rows; `None` outside the group.
    pub rows: Option<MemoryRows>,
}

impl CrewDevice {
    /// Returns its private keys.
    #[must_use]
    pub fn keys(&self) -> DeviceKeys {
        DeviceKeys::from_secret_bytes(&self.keys).expect("as they were stored")
    }

    /// Returns the group as this device has it; `None` outside.
    #[must_use]
    pub fn group(&self) -> Option<Group<'_>> {
        self.rows.as_ref().map(|rows| Group { id: &GROUP, head: &rows.head, rows })
    }
}

/// An organisation's log, devices of its members, and the issuer that orders in groups.
#[derive(Clone)]
pub struct Crew {
    /// The verified public document.
    pub organisation: Organisation,
    /// The log.
    pub log: CrewLog,
    /// The devices, the numbers by which everything here names them.
    pub devices: Vec<CrewDevice>,
    /// The identifier of the issuer with GROUPS.
    pub orders: IssuerId,
    orders_seed: [u8; 64],
}

/// The member with this number.
#[must_use]
pub fn member(number: u8) -> MemberId {
    MemberId::new([number.wrapping_add(1); 16])
}

/// A group's name and policy, with nothing special.
#[must_use]
pub fn info(name: &str) -> Info {
    Info::new(DisplayName::parse(name).expect("a good name"))
}

impl Crew {
    /// Enrols a device for each entry of `members`, of the member with that number; all follows from `seed`.
    #[must_use]
    pub fn new(seed: u8, members: &[u8]) -> Self {
        let rng: &mut dyn CryptoRng = &mut seeded([seed; 32]);
        let [root, enrol, groups] = [(); 3].map(|()| SigningKey::generate(rng));
        let root_key = root.verifying_key().as_bytes().to_vec();
        let unsigned = proto::Organisation { root_key, ..Default::default() };
        let org = Organisation::verify(Unverified::new(unsigned.clone()), None).expect("sound").id();
        let issuer = |key: &SigningKey, capabilities: Capabilities, rng: &mut dyn CryptoRng| {
            let body = proto::IssuerBody {
                suite: 1,
                org_id: org.as_bytes().to_vec(),
                key: key.verifying_key().as_bytes().to_vec(),
                capabilities: capabilities.bits(),
                not_before: NOW.as_millis() - 1_000_000,
                not_after: NOW.as_millis() + 10_000_000_000,
            };
            sign::sign_issuer(&root, &body, rng)
        };
        let issuers =
            vec![issuer(&enrol, Capabilities::ENROL, rng), issuer(&groups, Capabilities::GROUPS, rng)];
        let [enrols, orders] = [0, 1].map(|at: usize| Issuer::id_of(&issuers[at]));
        let document = proto::Organisation { issuers: issuers.clone(), ..unsigned };
        let organisation = Organisation::verify(Unverified::new(document), None).expect("sound");
        let mut log = CrewLog::new(&organisation);
        for (id, statement) in [enrols, orders].iter().zip(&issuers) {
            let commitment = commitment(LeafKind::Issuer, statement);
            log.push(LeafKind::Issuer, (short_issuer(id), [0; 16]), [0; 16], commitment);
        }
        let orders_seed = *groups.seed().expose();
        let mut crew = Self { organisation, log, devices: Vec::new(), orders, orders_seed };
        for number in members {
            crew.enrol(*number, (&enrol, enrols), rng);
        }
        crew
    }

    fn enrol(&mut self, number: u8, (enrol, issuer): (&SigningKey, IssuerId), rng: &mut dyn CryptoRng) {
        let keys = DeviceKeys::generate(rng);
        let id = u8::try_from(self.devices.len()).expect("few").wrapping_add(100);
        let body = proto::CredentialBody {
            suite: 1,
            org_id: self.organisation.id().as_bytes().to_vec(),
            issuer_id: issuer.as_bytes().to_vec(),
            member_id: member(number).as_bytes().to_vec(),
            device_id: vec![id; 16],
            signing_key: keys.signing.verifying_key().as_bytes().to_vec(),
            identity_key: keys.identity.public().as_bytes().to_vec(),
            group_key: keys.group.verifying_key().as_bytes().to_vec(),
            capabilities: Capabilities::MEMBER.bits(),
            not_before: NOW.as_millis() - 1_000_000,
            not_after: NOW.as_millis() + 1_000_000_000,
        };
        let signed = sign::sign_credential(enrol, &body, rng);
        let credential = self.organisation.verify_credential(Unverified::new(signed), NOW).expect("sound");
        self.log.enter(&credential);
        let keys = keys.to_secret_bytes().expose().to_vec();
        self.devices.push(CrewDevice { keys, credential, rows: None });
    }

    /// Founds the group with device 0 and adds others with their roles.
    #[must_use]
    pub fn with_group(seed: u8, members: &[u8], others: &[(usize, Role)], rng: &mut dyn CryptoRng) -> Self {
        let mut crew = Self::new(seed, members);
        crew.found(0, rng);
        let adds = others.iter().map(|(device, role)| crew.add(*device, *role)).collect();
        let sent = crew.commit(0, adds, Keying::Tree, rng).expect("an owner may");
        crew.deliver(0, sent);
        crew
    }

    /// Founds the group with a device; returns the commit.
    pub fn found(&mut self, device: usize, rng: &mut dyn CryptoRng) -> Vec<u8> {
        let keys = self.devices[device].keys();
        let author = self.author(device, &keys, self.log.size_now());
        let (bytes, changes, _) = found(&GROUP, &info("Crew"), author, rng).expect("a sound founding");
        self.take(device, changes);
        bytes
    }

    /// What a device needs to make a commit.
    #[must_use]
    pub fn author<'a>(&'a self, device: usize, keys: &'a DeviceKeys, log_size: u64) -> Author<'a> {
        Author { keys, credential: &self.devices[device].credential, log: &self.log, log_size, now: NOW }
    }

    /// Returns the key of the issuer with GROUPS.
    #[must_use]
    pub fn orders_key(&self) -> SigningKey {
        SigningKey::from_seed(chancery_crypto::secret::Secret::from_bytes(self.orders_seed))
    }

    /// Returns a device's identifier.
    #[must_use]
    pub fn id(&self, device: usize) -> DeviceId {
        self.devices[device].credential.device_id()
    }

    /// Returns the change that adds a device.
    #[must_use]
    pub fn add(&self, device: usize, role: Role) -> proto::GroupChange {
        chancery_group::add(&self.devices[device].credential, role)
    }

    /// Returns the group as a device inside has it.
    #[must_use]
    pub fn group(&self, device: usize) -> Group<'_> {
        self.devices[device].group().expect("inside")
    }

    /// Returns the devices that have the group.
    #[must_use]
    pub fn inside(&self) -> Vec<usize> {
        (0..self.devices.len()).filter(|device| self.devices[*device].rows.is_some()).collect()
    }

    /// Returns the slot of a device inside.
    #[must_use]
    pub fn slot(&self, device: usize) -> Slot {
        self.group(device).slot().expect("as stored")
    }

    /// Stores what a commit changed for a device.
    pub fn take(&mut self, device: usize, changes: Changes) {
        self.devices[device].rows.get_or_insert_default().apply(changes);
    }

    /// Has a device make a commit, with the removals that every commit must have before `changes`; nothing is stored.
    ///
    /// # Errors
    ///
    /// What [`build`] refuses.
    pub fn commit(
        &self,
        device: usize,
        changes: Vec<proto::GroupChange>,
        keying: Keying,
        rng: &mut dyn CryptoRng,
    ) -> Result<Sent, GroupError> {
        let (keys, group) = (self.devices[device].keys(), self.group(device));
        let mut all = evictions(group, &[], &self.log)?;
        all.changes.extend(changes);
        let author = self.author(device, &keys, all.log_size);
        let built: BuiltCommit<'_> = build(group, author, all.changes, keying, rng)?;
        Ok(Sent::of(built))
    }

    /// Brings a commit and all that goes with it to everybody.
    pub fn deliver(&mut self, author: usize, sent: Sent) {
        for device in self.inside().into_iter().filter(|device| *device != author) {
            self.receive(device, &sent).expect("an honest commit");
        }
        self.deliver_rest(author, sent);
    }

    /// What is left once those inside have followed: the author stores it, and the welcomes arrive.
    pub fn deliver_rest(&mut self, author: usize, sent: Sent) {
        self.take(author, sent.own);
        for (slot, welcome) in &sent.welcomes {
            let entry = self.group(author).roster().expect("as stored").get(*slot).expect("as stored");
            let id = entry.expect("it was added").device;
            let device = (0..self.devices.len()).find(|device| self.id(*device) == id).expect("it is ours");
            self.welcome(device, author, welcome, &sent.tree).expect("an honest welcome");
        }
    }

    /// Has a device take a welcome that came from another.
    ///
    /// # Errors
    ///
    /// What it refuses; nothing has changed then.
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
        self.take(device, changes);
        Ok(())
    }

    /// Has a device inside follow a commit.
    ///
    /// # Errors
    ///
    /// What it refuses; nothing has changed then.
    pub fn receive(&mut self, device: usize, sent: &Sent) -> Result<(), GroupError> {
        let group = self.group(device);
        let slot = group.slot()?;
        let verified = UnverifiedCommit::from_bytes(&sent.bytes)?.verify(group, &self.log)?;
        if verified.removes_me()? {
            self.devices[device].rows = None;
            return Ok(());
        }
        let keyholder = group.head.keyholders.contains(&group.head.slot);
        let path = sent.paths.get(&slot);
        let author = verified.roster().get(verified.author())?.ok_or(GroupError::NotAMember)?.device;
        let staged = match verified.keying() {
            Keying::Tree if keyholder => verified.by_seed(NOW),
            Keying::Tree => verified.by_boxes(NOW),
            Keying::Regrow => verified.by_path(path.ok_or(GroupError::NeedKeys)?, &author, NOW),
            Keying::HandOut => verified.by_hand_out(sent.secret(), NOW),
        };
        let (changes, _, _) = staged?.into_parts();
        self.take(device, changes);
        if let Some(path) = path.filter(|path| path.seed.is_empty() && path.path.is_empty()) {
            let changes = adopt_tree(self.group(device), path, &sent.tree, &author)?;
            self.take(device, changes);
        }
        Ok(())
    }
}

/// A leaf of a log, as [`CrewLog`] makes them.
pub(crate) const fn leaf(
    kind: LeafKind,
    time: Timestamp,
    (subject, object): ([u8; 16], [u8; 16]),
    (issuer, commitment): ([u8; 16], [u8; 32]),
) -> Leaf {
    Leaf { kind, time, subject, object, issuer, commitment }
}
