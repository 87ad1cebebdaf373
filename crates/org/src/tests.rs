//! An organisation with a desk in memory, and people who want to join.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_crypto::signature::{SigningKey, VerifyingKey};
use chancery_identity::{DeviceKeys, DisplayName, Handle, Organisation, key_epoch};
use chancery_wire::records::{Batch, RecordKey};
use chancery_wire::{Timestamp, Unverified, proto};

use crate::{
    AdminKeys, Answered, DEFAULT_INVITATION_LIFETIME, Desk, EnrolError, Enrolment, InvitationLink, Invite,
    Invited, NewOrganisation, OrgError, PendingEnrolment, RelayPlace, Root, found, request,
};

mod attack;
mod authority;
mod books;
mod devices;
mod ended;
mod enrol;
mod founding;
mod guests;
mod standing;
mod tree;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const WEEK: Duration = DEFAULT_INVITATION_LIFETIME;

type Store = BTreeMap<RecordKey, Vec<u8>>;

fn apply(store: &mut Store, batch: &Batch) {
    for (key, value) in &batch.0 {
        match value {
            Some(value) => store.insert(key.clone(), value.clone()),
            None => store.remove(key),
        };
    }
}

fn verified(public: &proto::Organisation) -> Organisation {
    Organisation::verify(Unverified::new(public.clone()), None).unwrap()
}

fn name(text: &str) -> DisplayName {
    DisplayName::parse(text).unwrap()
}

fn handle(text: &str) -> Handle {
    Handle::parse(text).unwrap()
}

/// The directory entries that are to be published once the relay has all updates of the key.
fn pending_entries(store: &Store) -> Vec<proto::SealedDirectoryEntry> {
    let mut store = store.clone();
    loop {
        let pending = Desk::pending_directory(&store).unwrap();
        if pending.first().is_none_or(|entry| key_epoch(entry) != Some(0)) {
            return pending;
        }
        for update in pending {
            let batch = Desk::directory_published(&store, &update.entry_id, update.version, 0).unwrap();
            apply(&mut store, &batch);
        }
    }
}

struct World {
    rng: Box<dyn CryptoRng>,
    now: Timestamp,
    root: Root,
    admin: AdminKeys,
    public: Organisation,
    desk: Desk,
    store: Store,
}

/// The key of a log that these tests never ask.
fn log_key() -> VerifyingKey {
    SigningKey::generate(&mut seeded([0x10; 32])).verifying_key().clone()
}

fn place<'a>(url: &'a str, log_key: &'a VerifyingKey) -> RelayPlace<'a> {
    RelayPlace { url, pin: &[9; 32], log_key }
}

impl World {
    fn new(seed: u8) -> Self {
        let mut rng = Box::new(seeded([seed; 32]));
        let NewOrganisation { root, desk, admin, public, records } = found(&name("Acme"), NOW, &mut *rng);
        let public = verified(&public);
        let public =
            admin.record_relay(&public, place("wss://relay.example:443", &log_key()), &mut *rng).unwrap();
        let public = verified(&public);
        let desk = Desk::new(desk, public.clone(), NOW).unwrap();
        let mut store = Store::new();
        apply(&mut store, &records);
        Self { rng, now: NOW, root, admin, public, desk, store }
    }

    fn try_invite(&mut self, who: &str, lifetime: Duration) -> Result<Invited, OrgError> {
        let (handle, name) = (handle(who), name("Some Body"));
        let relay = self.public.relay().unwrap();
        let invite = Invite { handle: &handle, name: &name, relay, lifetime, terms: crate::Terms::default() };
        self.desk.invite(&self.store, invite, self.now, &mut *self.rng)
    }

    /// Invites and commits.
    fn invite(&mut self, who: &str) -> InvitationLink {
        let invited = self.try_invite(who, WEEK).unwrap();
        apply(&mut self.store, &invited.batch);
        invited.link
    }

    fn device(&mut self) -> DeviceKeys {
        DeviceKeys::generate(&mut *self.rng)
    }

    fn request(&mut self, link: &InvitationLink, keys: &DeviceKeys) -> PendingEnrolment {
        request(link, &self.public, keys, self.now, &mut *self.rng).unwrap()
    }

    /// Answers without committing.
    fn answer(&mut self, envelope: &[u8]) -> Result<Answered, OrgError> {
        self.desk.answer(&self.store, envelope, self.now, &mut *self.rng)
    }

    /// Request, answer, commit, completion.
    fn enrol(&mut self, link: &InvitationLink, keys: &DeviceKeys) -> Result<Enrolment, EnrolError> {
        let pending = self.request(link, keys);
        let answered = self.answer(pending.envelope()).unwrap();
        apply(&mut self.store, &answered.batch);
        assert_eq!(answered.reply_mailbox, pending.reply_mailbox());
        pending.complete(&self.public, keys, &answered.reply, self.now)
    }
}
