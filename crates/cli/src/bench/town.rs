//! An organisation in memory for `chancery bench group`: its desk, its log, and a relay without a network.

mod post;
mod resident;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chancery_crypto::merkle::Hash;
use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_crypto::signature::SigningKey;
use chancery_engine::{Device, Effect, Engine, Input, NewDevice};
use chancery_identity::checkpoint::Checkpoint;
use chancery_identity::log::{LeafKind, LogHead};
use chancery_identity::prekey::VerifiedUpload;
use chancery_identity::{Authority, DeviceId, DeviceKeys, DisplayName, Handle, MemberId, Organisation};
use chancery_org::{AdminKeys, Desk, Entered, Invite, RelayPlace, Terms, found, request};
use chancery_wire::proto::{self, DirectoryChange, DirectoryPage, LogEntry, LogPage, PrekeyBundle};
use chancery_wire::records::{Batch, RecordKey};
use chancery_wire::{Timestamp, Unverified};

pub(super) use post::Post;
pub(super) use resident::{Resident, Spent};

use crate::process::Failure;

const RELAY_URL: &str = "wss://relay.example:443";
const RELAY_PIN: [u8; 32] = [0x70; 32];
/// Entries of the log in one page, and changes of the directory: so few that the smallest group's log has several.
const PAGE: usize = 128;
/// How long an invitation holds.
const HOUR: Duration = Duration::from_secs(3600);

/// What lies on a disk that is none.
pub(super) type Memory = BTreeMap<RecordKey, Vec<u8>>;

/// A member's device: who it is, and what the relay hands out of it.
#[derive(Debug)]
pub(super) struct Citizen {
    pub(super) member: MemberId,
    pub(super) credential: proto::Signed,
    pub(super) bundle: PrekeyBundle,
}

/// The organisation.
pub(super) struct Town {
    pub(super) rng: Box<dyn CryptoRng>,
    pub(super) now: Timestamp,
    organisation: Organisation,
    authority: Authority,
    head: LogHead,
    entries: Vec<LogEntry>,
    /// The log's root behind each full page.
    roots: Vec<Hash>,
    directory: Vec<DirectoryChange>,
    log_key: SigningKey,
    admin: AdminKeys,
    desk: Desk,
    books: Memory,
    citizens: Vec<Citizen>,
    /// Where each device's citizen is in the list.
    by_device: BTreeMap<DeviceId, usize>,
    pub(super) post: Post,
}

pub(super) fn failed(error: impl Display) -> Failure {
    Failure::new(error.to_string())
}

pub(super) fn write(disk: &mut Memory, batch: Batch) {
    for (key, value) in batch {
        match value {
            Some(value) => disk.insert(key, value),
            None => disk.remove(&key),
        };
    }
}

impl Town {
    pub(super) fn found() -> Result<Self, Failure> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(failed)?;
        let mut rng: Box<dyn CryptoRng> = Box::new(seeded(seed));
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        let new = found(&DisplayName::parse("Bench").map_err(failed)?, now, rng.as_mut());
        let organisation = Organisation::verify(Unverified::new(new.public), None).map_err(failed)?;
        let log_key = SigningKey::generate(rng.as_mut());
        let place = RelayPlace { url: RELAY_URL, pin: &RELAY_PIN, log_key: log_key.verifying_key() };
        let document = new.admin.record_relay(&organisation, place, rng.as_mut()).map_err(failed)?;
        let organisation = Organisation::verify(Unverified::new(document), None).map_err(failed)?;
        let mut books = Memory::new();
        write(&mut books, new.records);
        let mut town = Self {
            rng,
            now,
            authority: Authority::new(&organisation),
            head: LogHead::default(),
            entries: Vec::new(),
            roots: Vec::new(),
            directory: Vec::new(),
            log_key,
            admin: new.admin,
            desk: Desk::new(new.desk, organisation.clone(), now).map_err(failed)?,
            books,
            citizens: Vec::new(),
            by_device: BTreeMap::new(),
            post: Post::default(),
            organisation,
        };
        let document = town.organisation.as_proto().clone();
        for (kind, statements) in [
            (LeafKind::Issuer, document.issuers),
            (LeafKind::Desk, document.desk.into_iter().collect()),
            (LeafKind::Relay, document.relay.into_iter().collect()),
        ] {
            for statement in statements {
                town.append(kind, &statement)?;
            }
        }
        town.publish()?;
        Ok(town)
    }

    fn append(&mut self, kind: LeafKind, statement: &proto::Signed) -> Result<u64, Failure> {
        let submission = self.authority.prepare(kind, statement, self.now).map_err(failed)?;
        let index = self.head.size();
        self.authority.apply(index, &submission.leaf, submission.content.as_ref()).map_err(failed)?;
        self.head.push(&submission.leaf).map_err(failed)?;
        self.entries
            .push(LogEntry { leaf: submission.leaf.to_bytes().to_vec(), content: submission.content });
        if self.entries.len().is_multiple_of(PAGE) {
            self.roots.push(self.head.root());
        }
        Ok(index)
    }

    /// Hands the log what waits for it, and then the directory.
    fn publish(&mut self) -> Result<(), Failure> {
        while let Some(next) = Desk::next_statement(&self.books).map_err(failed)? {
            // What the organisation's document has is in the log already.
            let entered = match self.append(next.kind, &next.statement) {
                Ok(index) => Entered::At(index),
                Err(_) => Entered::Refused,
            };
            let batch = Desk::entered(&self.books, next.number, entered, self.now).map_err(failed)?;
            write(&mut self.books, batch);
        }
        loop {
            let entries = Desk::pending_directory(&self.books).map_err(failed)?;
            if entries.is_empty() {
                return Ok(());
            }
            for entry in entries {
                let sequence = self.directory.len().saturating_add(1) as u64;
                let published =
                    Desk::directory_published(&self.books, &entry.entry_id, entry.version, sequence);
                write(&mut self.books, published.map_err(failed)?);
                self.directory.push(DirectoryChange { sequence, entry: Some(entry) });
            }
        }
    }

    /// Makes somebody a member; returns what the device's disk has.
    pub(super) fn enroll(&mut self, handle: &str) -> Result<Memory, Failure> {
        let keys = DeviceKeys::generate(self.rng.as_mut());
        let parsed = Handle::parse(handle).map_err(failed)?;
        let name = DisplayName::parse(handle).map_err(failed)?;
        let relay = self.organisation.relay().ok_or_else(|| failed("no relay"))?;
        let invite = Invite { handle: &parsed, name: &name, relay, lifetime: HOUR, terms: Terms::default() };
        let rng = self.rng.as_mut();
        let invited = self.desk.invite(&self.books, invite, self.now, rng).map_err(failed)?;
        write(&mut self.books, invited.batch);
        let pending = request(&invited.link, &self.organisation, &keys, self.now, rng).map_err(failed)?;
        let answered = self.desk.answer(&self.books, pending.envelope(), self.now, rng).map_err(failed)?;
        write(&mut self.books, answered.batch);
        let enrolment =
            pending.complete(&self.organisation, &keys, &answered.reply, self.now).map_err(failed)?;
        let mut disk = Memory::new();
        let new = NewDevice {
            keys: &keys,
            enrolment: &enrolment,
            organisation: &self.organisation,
            relay_url: RELAY_URL,
            relay_pin: RELAY_PIN,
        };
        write(&mut disk, Device::install(&new));
        self.publish()?;
        let engine = Engine::load(&disk, self.now).map_err(failed)?;
        let outcome = engine.handle(&disk, Input::Upkeep, self.now, self.rng.as_mut()).map_err(failed)?;
        write(&mut disk, outcome.batch);
        let upload = outcome.effects.into_iter().find_map(|effect| match effect {
            Effect::PublishPrekeys(upload) => Some(upload),
            _ => None,
        });
        let upload = Unverified::new(upload.ok_or_else(|| failed("a device publishes no prekeys"))?);
        let upload = VerifiedUpload::verify(upload, &enrolment.credential, 0, self.now).map_err(failed)?;
        let credential = enrolment.credential.signed().clone();
        let bundle = PrekeyBundle {
            credential: Some(credential.clone()),
            batch: Some(upload.batch().clone()),
            signed: Some(upload.signed().clone()),
            one_time: None,
            kem: Some(upload.last_resort().clone()),
            padding: Vec::new(),
        };
        let (member, device) = (enrolment.credential.member_id(), enrolment.credential.device_id());
        self.by_device.insert(device, self.citizens.len());
        self.citizens.push(Citizen { member, credential, bundle });
        Ok(disk)
    }

    /// The members, in the order of their enrolment.
    pub(super) fn members(&self) -> impl Iterator<Item = MemberId> {
        self.citizens.iter().map(|citizen| citizen.member)
    }

    /// Who was enrolled last.
    pub(super) fn newest(&self) -> Option<MemberId> {
        self.citizens.last().map(|citizen| citizen.member)
    }

    /// Whose device this is.
    pub(super) fn citizen(&self, device: &DeviceId) -> Option<&Citizen> {
        self.by_device.get(device).and_then(|number| self.citizens.get(*number))
    }

    /// Ends a member in the log, for everybody who asks.
    pub(super) fn offboard(&mut self, handle: &str) -> Result<(), Failure> {
        let handle = Handle::parse(handle).map_err(failed)?;
        let (admin, rng) = (&self.admin, self.rng.as_mut());
        let batch = self.desk.offboard(admin, (&self.books, &handle), self.now, rng).map_err(failed)?;
        write(&mut self.books, batch);
        self.publish()
    }

    /// The page of the log behind its first `from` entries, with a checkpoint of where it ends.
    pub(super) fn log_page(&mut self, from: u64) -> LogPage {
        let start = usize::try_from(from).unwrap_or(usize::MAX).min(self.entries.len());
        let page = start / PAGE;
        let (root, end) = match self.roots.get(page) {
            Some(root) => (*root, page.saturating_add(1).saturating_mul(PAGE)),
            None => (self.head.root(), self.entries.len()),
        };
        let entries = self.entries.get(start..end).unwrap_or_default().to_vec();
        let more = end < self.entries.len();
        let (tree, org) = ((end as u64, root), self.organisation.id());
        let checkpoint = Checkpoint::sign(&self.log_key, &org, tree, self.now, self.rng.as_mut());
        LogPage { entries, more, checkpoint: checkpoint.note().to_owned(), proof: Vec::new() }
    }

    /// The page of the directory behind a change.
    pub(super) fn directory_page(&self, after: u64) -> DirectoryPage {
        // Change n is the n-th.
        let behind = self.directory.iter().skip(usize::try_from(after).unwrap_or(usize::MAX));
        let changes: Vec<_> = behind.take(PAGE).cloned().collect();
        let last = changes.last().map_or(after, |change| change.sequence);
        DirectoryPage { changes, more: last < self.directory.len() as u64 }
    }
}
