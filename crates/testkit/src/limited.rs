//! What guests and bots are given, and what a device makes of it that has been tampered with.

use chancery_crypto::label;
use chancery_engine::{Engine, guest_token, member};
use chancery_identity::delivery::Use;
use chancery_identity::{DeviceId, Kind, MemberId, login_message};
use chancery_wire::proto::{
    DirectoryRecord, GuestTokenRecord, Login, SealedDirectoryEntry, SyncDirectory, client_frame, login,
    relay_frame,
};
use chancery_wire::records::{RecordKey, Table};
use chancery_wire::{Limit, decode, encode};

use crate::line::PIN;
use crate::person::PersonId;
use crate::world::World;

const DIRECTORY: Table = Table(0x0110);
const GUEST_TOKEN: Table = Table(0x0114);

impl World {
    /// Returns whether the relay lets a device in, and all that it hands it of the directory.
    pub fn handed(&mut self, id: PersonId) -> Option<Vec<SealedDirectoryEntry>> {
        let mut line = self.exchange.connect(self.now, self.rng.as_mut());
        self.people[id.0].start(self.now);
        let device = self.people[id.0].engine.as_ref().expect("started").device();
        let message = login_message(&line.challenge, &self.organisation.id(), &PIN);
        let signature = device.keys().signing.sign(label::SIGN_RELAY_LOGIN, &message, self.rng.as_mut());
        let who = Some(login::Who::Credential(device.credential().signed().clone()));
        let login = client_frame::Body::Login(Login { who, signature, time: 0 });
        let answer = self.exchange.request(&mut line, login, self.now, self.rng.as_mut());
        if !matches!(answer, relay_frame::Body::Done(_)) {
            return None;
        }
        let (mut entries, mut after) = (Vec::new(), 0);
        loop {
            let sync = client_frame::Body::SyncDirectory(SyncDirectory { after });
            let answer = self.exchange.request(&mut line, sync, self.now, self.rng.as_mut());
            let relay_frame::Body::DirectoryPage(page) = answer else { panic!("{answer:?}") };
            after = page.changes.last().map_or(after, |change| change.sequence);
            entries.extend(page.changes.into_iter().filter_map(|change| change.entry));
            if !page.more {
                self.exchange.close(&line, self.now, self.rng.as_mut());
                return Some(entries);
            }
        }
    }

    /// Whether a device knows of a person.
    #[must_use]
    pub fn knows(&self, id: PersonId, of: PersonId) -> bool {
        member(&self.people[id.0].disk, &self.people[of.0].member_id).expect("readable").is_some()
    }

    /// Has a device believe that somebody's entry names this reach, as one does that was tampered with.
    pub fn tamper_reach(&mut self, id: PersonId, whose: PersonId, reach: &[PersonId]) {
        let reach = reach.iter().map(|id| self.people[id.0].member_id.as_bytes().to_vec()).collect();
        let name = RecordKey::new(DIRECTORY, *self.people[whose.0].member_id.as_bytes());
        let bytes = &self.people[id.0].disk[&name];
        let record = decode::<DirectoryRecord>(bytes, Limit::RECORD).expect("sound").into_unchecked();
        self.people[id.0].disk.insert(name, encode(&DirectoryRecord { reach, ..record }));
    }

    /// Gives a guest's device the entry of somebody that another device has, and the delivery token of their device.
    pub fn leak_entry(&mut self, from: PersonId, to: PersonId, of: PersonId) {
        let key = self.delivery_key();
        let device = self.device_id(of);
        let token = GuestTokenRecord {
            epoch: key.epoch(),
            token: key.token(Use::Mailbox, device.as_bytes()).to_vec(),
        };
        self.people[to.0].disk.insert(RecordKey::new(GUEST_TOKEN, *device.as_bytes()), encode(&token));
        let name = RecordKey::new(DIRECTORY, *self.people[of.0].member_id.as_bytes());
        let bytes = self.people[from.0].disk[&name].clone();
        self.people[to.0].disk.insert(name, bytes);
    }

    /// Returns the delivery token that a guest has for a device.
    #[must_use]
    pub fn token_at_guest(&self, id: PersonId, device: DeviceId) -> Option<[u8; 16]> {
        guest_token(&self.people[id.0].disk, device.as_bytes()).expect("readable")
    }

    /// Returns the token that a device has of a name for one use; empty if it has none.
    #[must_use]
    pub fn delivery_token(&self, id: PersonId, of: Use, name: &[u8; 16]) -> Vec<u8> {
        let disk = &self.people[id.0].disk;
        let engine = Engine::load(disk, self.now).expect("loaded");
        engine.delivery_token(disk, (of, name)).expect("readable")
    }

    /// Returns of which kind a device takes somebody to be.
    #[must_use]
    pub fn kind_known(&self, id: PersonId, of: MemberId) -> Option<Kind> {
        member(&self.people[id.0].disk, &of).expect("readable").and_then(|member| member.kind)
    }
}
