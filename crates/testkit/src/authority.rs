//! What the organisation says in its log, and what the relay shows of it to whom.

use chancery_crypto::cosignature::WitnessSigningKey;
use chancery_crypto::rng::random_bytes;
use chancery_crypto::secret::Secret;
use chancery_crypto::signature::SigningKey;
use chancery_engine::{Draft, Effect, Input, LogStatus, Notice, fork_proof, log_size, log_status};
use chancery_identity::log::{Leaf, LeafKind, short_issuer};
use chancery_identity::{
    Capabilities, DirectoryKey, Issuer, IssuerId, MemberId, OrgId, Policy, SUITE, key_epoch, sign,
};
use chancery_wire::proto::{
    DeskSettings, ForkProof, IssuerBody, IssuerRevocationBody, LogPage, PolicyBody, RelayRecordBody,
    RevocationBody, Revoked, SealedDirectoryEntry, Signed,
};
use chancery_wire::records::{RecordKey, Table};
use chancery_wire::{Limit, Timestamp, decode};

use crate::log::OrgLog;
use crate::person::PersonId;
use crate::world::World;

/// Entries of a page, as many as 256 KiB hold.
const PAGE: usize = 2800;

/// An issuer's key with its identifier.
pub(crate) struct Signer {
    pub(crate) id: IssuerId,
    pub(crate) key: SigningKey,
}

/// The keys that stand above the desk's.
pub(crate) struct Offices {
    pub(crate) root: SigningKey,
    pub(crate) admin: Signer,
}

impl Offices {
    /// Takes the keys out of how they are stored: version (1), for an issuer its identifier (32), seed (64).
    pub(crate) fn from_stored(root: &[u8], admin: &[u8]) -> Self {
        let key = |seed: &[u8]| SigningKey::from_seed(Secret::from_slice(seed).expect("64 bytes"));
        let id = IssuerId::from_bytes(&admin[1..33]).expect("32 bytes");
        Self { root: key(&root[1..65]), admin: Signer { id, key: key(&admin[33..97]) } }
    }
}

impl Clone for Offices {
    fn clone(&self) -> Self {
        let copy = |key: &SigningKey| {
            SigningKey::from_seed(Secret::from_slice(key.seed().expose()).expect("64 bytes"))
        };
        let admin = Signer { id: self.admin.id, key: copy(&self.admin.key) };
        Self { root: copy(&self.root), admin }
    }
}

impl World {
    /// Puts a statement into the log; panics if it may not enter.
    pub fn append(&mut self, kind: LeafKind, statement: &Signed) -> u64 {
        let index = self.log.append(kind, statement, self.now);
        if matches!(kind, LeafKind::Root | LeafKind::Issuer) {
            self.exchange.append(&self.desk, kind, statement, self.now);
        }
        index
    }

    /// Returns the log.
    pub const fn log(&mut self) -> &mut OrgLog {
        &mut self.log
    }

    /// Shows one device another log from now on, as a dishonest relay does; `None` for the honest one.
    pub fn show(&mut self, to: PersonId, log: Option<OrgLog>) {
        match log {
            Some(log) => self.shown.insert(to, log),
            None => self.shown.remove(&to),
        };
    }

    /// Commits to a directory entry in the log.
    pub fn commit_to(&mut self, sealed: &SealedDirectoryEntry) {
        let Some(epoch) = key_epoch(sealed).filter(|epoch| *epoch != 0) else {
            // An update of the directory key, which the log says nothing of.
            return;
        };
        let signed = self
            .desk_directory_key()
            .at(epoch)
            .expect("a past epoch")
            .open(sealed)
            .expect("sealed for the directory")
            .into_unchecked();
        let entry = self
            .log
            .authority()
            .organisation()
            .verify_directory_entry(chancery_wire::Unverified::new(signed.clone()))
            .expect("signed by the desk");
        let signer = (self.authority.issuer_id(), self.authority.key());
        let what = (&entry.member_id(), sealed.version, &signed);
        self.log.commit(signer, what, self.now, self.rng.as_mut());
    }

    /// The directory's key of this epoch, as the desk has it.
    fn desk_directory_key(&self) -> DirectoryKey {
        const SETTINGS: Table = Table(0x0200);
        let bytes = &self.desk_disk[&RecordKey::new(SETTINGS, [])];
        let settings = decode::<DeskSettings>(bytes, Limit::RECORD).expect("sound").into_unchecked();
        let key = Secret::from_slice(&settings.directory_key).expect("32 bytes");
        DirectoryKey::new(settings.key_epoch, key).expect("an epoch")
    }

    /// Makes the statement that ends a device, or with `whole` its member.
    pub fn revocation(&mut self, of: PersonId, whole: bool) -> (LeafKind, Signed) {
        let (member, device) = (self.people[of.0].member_id, self.people[of.0].device_id);
        let body = RevocationBody {
            org_id: self.organisation.id().as_bytes().to_vec(),
            issuer_id: self.offices.admin.id.as_bytes().to_vec(),
            member_id: member.as_bytes().to_vec(),
            device_id: if whole { Vec::new() } else { device.as_bytes().to_vec() },
        };
        let kind = if whole { LeafKind::MemberRevoked } else { LeafKind::DeviceRevoked };
        (kind, sign::sign_revocation(&self.offices.admin.key, &body, self.rng.as_mut()))
    }

    /// Ends a device, or with `whole` its member, in the log; returns the entry's number.
    pub fn revoke(&mut self, of: PersonId, whole: bool) -> u64 {
        let (kind, statement) = self.revocation(of, whole);
        self.append(kind, &statement)
    }

    /// As [`Self::revoke`], in the log that the relay goes by, too: it drops what it has of the devices.
    pub fn revoke_at_relay(&mut self, of: PersonId, whole: bool) -> u64 {
        let (kind, statement) = self.revocation(of, whole);
        self.exchange.append(&self.desk, kind, &statement, self.now);
        self.append(kind, &statement)
    }

    /// Sets the policy.
    pub fn set_policy(&mut self, policy: &Policy, sequence: u64) {
        let body = PolicyBody {
            org_id: self.organisation.id().as_bytes().to_vec(),
            issuer_id: self.offices.admin.id.as_bytes().to_vec(),
            sequence,
            policy: Some(policy.to_proto()),
        };
        let statement = sign::sign_policy(&self.offices.admin.key, &body, self.rng.as_mut());
        self.append(LeafKind::Policy, &statement);
    }

    /// Records another log key, with which the log signs from now on.
    pub fn replace_log_key(&mut self) {
        let key = SigningKey::generate(self.rng.as_mut());
        let before = self.log.authority().organisation().relay().expect("recorded");
        let body = RelayRecordBody {
            org_id: self.organisation.id().as_bytes().to_vec(),
            issuer_id: self.offices.admin.id.as_bytes().to_vec(),
            url: before.url().into(),
            pin: before.pin().to_vec(),
            sequence: before.sequence() + 1,
            log_key: key.verifying_key().as_bytes().to_vec(),
        };
        let statement = sign::sign_relay_record(&self.offices.admin.key, &body, self.rng.as_mut());
        self.append(LeafKind::Relay, &statement);
        self.log.replace_key(key);
    }

    /// Replaces the issuer that enrols: the root names another one and ends the old one. From now on the new one signs.
    pub fn replace_enrolling_issuer(&mut self) {
        let key = SigningKey::generate(self.rng.as_mut());
        let certificate = self.certify(&key);
        self.append(LeafKind::Issuer, &certificate);
        let end = IssuerRevocationBody {
            org_id: self.organisation.id().as_bytes().to_vec(),
            issuer_id: self.authority.issuer_id().as_bytes().to_vec(),
        };
        let end = sign::sign_issuer_revocation(&self.offices.root, &end, self.rng.as_mut());
        self.append(LeafKind::IssuerRevoked, &end);
        self.former.push(self.authority.clone());
        self.authority.replace(Issuer::id_of(&certificate), key);
    }

    /// Returns what the root says of one issuer more, and its leaf; neither is in the log.
    pub fn issuer_by_the_root(&mut self) -> (Leaf, Signed) {
        let key = SigningKey::generate(self.rng.as_mut());
        let certificate = self.certify(&key);
        let prepared = self.log.authority().prepare(LeafKind::Issuer, &certificate, self.now);
        (prepared.expect("it may enter").leaf, certificate)
    }

    fn certify(&mut self, key: &SigningKey) -> Signed {
        let body = IssuerBody {
            suite: SUITE,
            org_id: self.organisation.id().as_bytes().to_vec(),
            key: key.verifying_key().as_bytes().to_vec(),
            capabilities: Capabilities::ENROL.bits(),
            not_before: self.now.as_millis() - 24 * 3_600_000,
            not_after: self.now.as_millis() + 730 * 24 * 3_600_000,
        };
        sign::sign_issuer(&self.offices.root, &body, self.rng.as_mut())
    }

    /// The root names its successor, which signs from now on.
    pub fn replace_root(&mut self) {
        let next = SigningKey::generate(self.rng.as_mut());
        let org = self.organisation.id();
        let statement = sign::sign_root_successor(&self.offices.root, &next, &org, self.rng.as_mut());
        self.append(LeafKind::Root, &statement);
        self.offices.root = next;
    }

    /// Has a device ask what the log is, and take over what it lacks; returns whether anything may be sealed.
    pub fn check_log(&mut self, id: PersonId) -> bool {
        let from = log_size(&self.people[id.0].disk).expect("readable");
        let (now, rng) = (self.relay_time(), self.rng.as_mut());
        let note = self.shown.get_mut(&id).unwrap_or(&mut self.log).checkpoint(now, rng);
        if self.handle(id, Input::Checkpoint { from, note: &note }).contains(&Effect::SyncLog) {
            self.sync_log(id);
        }
        self.log_status(id).state.allows_sealing()
    }

    /// Has a device take over what the relay shows it of the log.
    pub fn sync_log(&mut self, id: PersonId) {
        while self.sync_log_page(id) {}
    }

    /// Has a witness cosign what the log is now.
    pub fn cosign(&mut self, witness: &WitnessSigningKey) {
        self.log.cosign(witness, self.now, self.rng.as_mut());
    }

    /// Hands a device a checkpoint from beside its store, or from elsewhere.
    pub fn give_floor(&mut self, id: PersonId, note: &str) {
        self.handle(id, Input::Floor { note });
    }

    /// Has a device take over one page; returns whether there are more.
    pub fn sync_log_page(&mut self, id: PersonId) -> bool {
        let from = log_size(&self.people[id.0].disk).expect("readable");
        let (now, rng) = (self.relay_time(), self.rng.as_mut());
        let page = self.shown.get_mut(&id).unwrap_or(&mut self.log).page(from, PAGE, now, rng);
        self.handle(id, Input::Log { from, page: &page });
        page.more
    }

    /// Returns by what leaves name the issuer that enrols.
    #[must_use]
    pub fn enrolling_issuer(&self) -> [u8; 16] {
        short_issuer(&self.authority.issuer_id())
    }

    /// Returns a page of at most `most` entries.
    pub fn page_of(&mut self, from: u64, most: usize) -> LogPage {
        self.log.page(from, most, self.now, self.rng.as_mut())
    }

    /// Returns the page that the log has from `from` on.
    pub fn page(&mut self, from: u64) -> LogPage {
        self.log.page(from, usize::MAX, self.now, self.rng.as_mut())
    }

    /// Gives a device a page that it asked for with so many entries.
    pub fn give_page(&mut self, id: PersonId, from: u64, page: &LogPage) {
        self.handle(id, Input::Log { from, page });
    }

    /// Sets another policy in the log that one device is shown.
    pub fn grow_shown(&mut self, to: PersonId, sequence: u64) {
        let mut shown = self.shown.remove(&to).expect("shown another one");
        std::mem::swap(&mut self.log, &mut shown);
        self.set_policy(&Policy::default(), sequence);
        std::mem::swap(&mut self.log, &mut shown);
        self.shown.insert(to, shown);
    }

    /// Has a log sign a checkpoint of any time.
    pub fn sign_checkpoint(&mut self, log: &mut OrgLog, time: Timestamp) {
        log.sign_at(time, self.rng.as_mut());
    }

    /// Returns what the relay answers to the login of a device that entry `index` has ended.
    pub fn revoked(&mut self, index: u64) -> Revoked {
        self.log.revoked(index, self.now, self.rng.as_mut())
    }

    /// Stores a message if it can be; the recipient may not be one any more.
    pub fn say_unchecked(&mut self, from: PersonId, to: PersonId, text: &str) {
        let (to, message_id) = (self.people[to.0].member_id, random_bytes(self.rng.as_mut()));
        let _ = self.try_handle(from, Input::Send(Draft { to, message_id, text, attachments: Vec::new() }));
    }

    /// Gives a device what lies in its mailbox, and never says that this was all.
    pub fn give_mail(&mut self, id: PersonId) {
        for (sequence, envelope) in (1..).zip(self.mail(id)) {
            self.handle(id, Input::Received { sequence, envelope: &envelope });
        }
    }

    /// Has a device do what its own prekeys demand, which it does as long as it runs.
    pub fn pass_upkeep(&mut self, id: PersonId) {
        self.handle(id, Input::Upkeep);
    }

    /// Has a device note how much time has passed.
    pub fn pass_time(&mut self, id: PersonId) {
        self.handle(id, Input::TimePasses);
    }

    /// Returns the organisation's identifier.
    #[must_use]
    pub fn org_id(&self) -> OrgId {
        self.organisation.id()
    }

    /// Returns the identifier of a person.
    #[must_use]
    pub fn member_id(&self, id: PersonId) -> MemberId {
        self.people[id.0].member_id
    }

    /// Returns the time.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Returns what a device makes of the log.
    #[must_use]
    pub fn log_status(&self, id: PersonId) -> LogStatus {
        log_status(&self.people[id.0].disk, self.clock_of(id)).expect("readable")
    }

    /// Returns the proof of a fork that a device has.
    #[must_use]
    pub fn fork_proof(&self, id: PersonId) -> Option<ForkProof> {
        fork_proof(&self.people[id.0].disk).expect("readable")
    }

    /// Returns what a device was told of, oldest first.
    #[must_use]
    pub fn notices(&self, id: PersonId) -> &[Notice] {
        &self.people[id.0].notices
    }
}
