//! A world at rest, from which many others start: quicker than enrolling everybody for each run.

use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_crypto::secret::SecretBytes;
use chancery_identity::delivery::DeliveryKey;
use chancery_identity::{DeviceId, MemberId, Organisation};
use chancery_org::{Desk, DeskKeys};
use chancery_relay::{DirectoryRow, LogEntry, Mailbox, NewEntry, PrekeyBatch, PrekeyPair, Storage};
use chancery_wire::Timestamp;

use crate::authority::Offices;
use crate::devices::Authority;
use crate::line::Exchange;
use crate::log::OrgLog;
use crate::person::{Disk, Person};
use crate::world::World;

/// All that lasts of a world: disks, and what the relay keeps. Mailboxes are empty, and nothing is under way.
pub struct Snapshot {
    organisation: Organisation,
    desk_keys: SecretBytes,
    desk_disk: Disk,
    now: Timestamp,
    authority: Authority,
    offices: Offices,
    log: OrgLog,
    devices: Vec<Stored>,
    directory: Vec<DirectoryRow>,
    /// The relay's log, and its newest checkpoint.
    relay_log: (Vec<LogEntry>, String),
}

/// A device, and what the relay has of it.
struct Stored {
    disk: Disk,
    member_id: MemberId,
    device_id: DeviceId,
    handle: String,
    mailbox: Mailbox,
    batch: PrekeyBatch,
    pairs: Vec<PrekeyPair>,
}

impl World {
    /// Ends a world in which no mail waits, to start others from it.
    #[must_use]
    pub fn into_snapshot(mut self) -> Snapshot {
        let storage = &mut self.exchange.storage;
        let mut devices = Vec::new();
        for person in self.people {
            let mailbox = storage.mailbox(&person.device_id.into()).expect("memory").expect("logged in");
            assert_eq!(mailbox.envelopes, 0, "a world at rest");
            let batch = storage.prekey_batch(&person.device_id).expect("memory").expect("published");
            let mut pairs = Vec::new();
            while let Some(pair) = storage.take_prekey_pair(&person.device_id).expect("memory") {
                pairs.push(pair);
            }
            let Person { disk, member_id, device_id, handle, .. } = person;
            devices.push(Stored { disk, member_id, device_id, handle, mailbox, batch, pairs });
        }
        let mut directory: Vec<DirectoryRow> = Vec::new();
        while let Some(row) = storage
            .next_directory_entry(directory.last().map_or(0, |row| row.sequence), None)
            .expect("memory")
        {
            directory.push(row);
        }
        let note = storage.note().expect("memory").expect("signed");
        let relay_log = (storage.log_page(0, usize::MAX).expect("memory"), note);
        Snapshot {
            organisation: self.organisation,
            desk_keys: self.desk_keys,
            desk_disk: self.desk_disk,
            now: self.now,
            authority: self.authority,
            offices: self.offices,
            log: self.log,
            devices,
            directory,
            relay_log,
        }
    }
}

impl Snapshot {
    /// Starts a world; everything random from here on follows from `seed`.
    #[must_use]
    pub fn start(&self, seed: u64) -> World {
        let mut bytes = [0; 32];
        bytes[8..16].copy_from_slice(&seed.to_be_bytes());
        let rng: Box<dyn CryptoRng> = Box::new(seeded(bytes));
        let desk = DeskKeys::from_secret_bytes(self.desk_keys.expose()).expect("its own");
        let desk = Desk::new(desk, self.organisation.clone(), self.now).expect("sound");
        let mut exchange = Exchange::new(self.organisation.clone());
        self.fill(&mut exchange, &desk.delivery_key(&self.desk_disk).expect("founded"));
        let people = self.devices.iter().map(|stored| {
            Person::new(stored.disk.clone(), stored.member_id, stored.device_id, stored.handle.clone())
        });
        World {
            held: None,
            rng,
            now: self.now,
            organisation: self.organisation.clone(),
            desk,
            desk_keys: SecretBytes::new(self.desk_keys.expose().to_vec()),
            desk_disk: self.desk_disk.clone(),
            exchange,
            people: people.collect(),
            faults: Vec::new(),
            authority: self.authority.clone(),
            former: Vec::new(),
            offices: self.offices.clone(),
            log: self.log.clone(),
            shown: std::collections::BTreeMap::new(),
            weather: crate::weather::Weather::default(),
            twin: None,
            withheld: std::collections::BTreeSet::new(),
            tapped: std::collections::BTreeMap::new(),
            listener: None,
            group_files: std::collections::BTreeMap::new(),
        }
    }

    fn fill(&self, exchange: &mut Exchange, key: &DeliveryKey) {
        let storage = &mut exchange.storage;
        storage.begin().expect("memory");
        for stored in &self.devices {
            let mailbox = stored.device_id.into();
            storage.create_mailbox(&mailbox, stored.mailbox.last_sequence, None).expect("memory");
            storage.put_prekeys(&stored.device_id, &stored.batch, &stored.pairs).expect("memory");
        }
        for row in &self.directory {
            let new = NewEntry { version: row.version, sealed: &row.sealed, reader: row.reader };
            let entry = storage.put_directory_entry(&row.entry_id, &new, row.sequence);
            entry.expect("memory");
        }
        let (entries, note) = &self.relay_log;
        for (index, entry) in (0..).zip(entries) {
            storage.log_append(index, entry).expect("memory");
        }
        storage.put_note(note).expect("memory");
        storage.put_delivery_key(key).expect("memory");
        storage.commit().expect("memory");
        exchange.restart();
    }
}
