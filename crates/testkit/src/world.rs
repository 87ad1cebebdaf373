//! The world and what can go wrong in it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chancery_crypto::label;
use chancery_crypto::rng::{CryptoRng, random_bytes, seeded};
use chancery_crypto::secret::SecretBytes;
use chancery_crypto::signature::SigningKey;
use chancery_engine::{
    Device, Draft, Effect, EngineError, Event, Input, Letter, NewDevice, Step, conversation, events, member,
    message, next_step,
};
use chancery_identity::delivery::{DeliveryKey, Use};
use chancery_identity::log::LeafKind;
use chancery_identity::{DeviceKeys, DisplayName, Handle, Kind, Organisation, login_message};
use chancery_org::{Desk, Enrolment, InvitationLink, Invite, RelayPlace, Terms, found, request};
use chancery_wire::proto::{
    self, ClaimPrekeys, Login, SealedDirectoryEntry, client_frame, login, relay_frame,
};
use chancery_wire::{Timestamp, Unverified};

use crate::authority::Offices;
use crate::devices::Authority;
use crate::line::{Exchange, Line, PIN};
use crate::log::OrgLog;
use crate::person::{Disk, Person, PersonId, commit};
use crate::weather::Weather;

/// What may go wrong at one step of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process dies after its commit, before it carries out the effects.
    DieAfterCommit,
    /// The relay has done what was asked, but the answer is lost with the connection.
    LoseAnswer,
    /// The relay is killed and started again.
    RestartRelay,
}

/// An organisation with its relay and its people.
pub struct World {
    pub(crate) rng: Box<dyn CryptoRng>,
    pub(crate) now: Timestamp,
    /// What the relay signs checkpoints with, if that is not the time.
    pub(crate) held: Option<Timestamp>,
    pub(crate) organisation: Organisation,
    pub(crate) desk: Desk,
    pub(crate) desk_keys: SecretBytes,
    pub(crate) desk_disk: Disk,
    pub(crate) exchange: Exchange,
    pub(crate) people: Vec<Person>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) authority: Authority,
    /// Issuers that were replaced.
    pub(crate) former: Vec<Authority>,
    pub(crate) offices: Offices,
    /// The organisation's log.
    pub(crate) log: OrgLog,
    /// To whom the relay shows another one.
    pub(crate) shown: BTreeMap<PersonId, OrgLog>,
    pub(crate) weather: Weather,
    /// What else the relay shows, if it is dishonest.
    pub(crate) twin: Option<Exchange>,
    /// From whom it withholds what is of groups.
    pub(crate) withheld: BTreeSet<PersonId>,
    /// What the relay keeps for itself of what devices take out of their mailboxes.
    pub(crate) tapped: BTreeMap<PersonId, Vec<Vec<u8>>>,
    /// Whose mailbox it puts into every set.
    pub(crate) listener: Option<PersonId>,
    /// Files of groups at the relay, as they are inside.
    pub(crate) group_files: BTreeMap<[u8; 16], Vec<u8>>,
}

impl World {
    /// Founds an organisation; everything random follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let mut rng: Box<dyn CryptoRng> = Box::new(seeded(bytes));
        let now = Timestamp::from_millis(1_800_000_000_000);
        let name = DisplayName::parse("Acme").expect("a good name");
        let new = found(&name, now, rng.as_mut());
        let organisation = Organisation::verify(Unverified::new(new.public), None).expect("sound");
        let log_key = SigningKey::generate(rng.as_mut());
        let place =
            RelayPlace { url: crate::company::RELAY_URL, pin: &PIN, log_key: log_key.verifying_key() };
        let document = new.admin.record_relay(&organisation, place, rng.as_mut()).expect("sound");
        let organisation = Organisation::verify(Unverified::new(document), None).expect("sound");
        let (authority, desk_keys) = (Authority::new(&new.desk), new.desk.to_secret_bytes());
        let (root, admin) = (new.root.to_secret_bytes(), new.admin.to_secret_bytes());
        let offices = Offices::from_stored(root.expose(), admin.expose());
        let log = OrgLog::new(&organisation, log_key, now);
        let desk = Desk::new(new.desk, organisation.clone(), now).expect("sound");
        let mut desk_disk = Disk::new();
        commit(&mut desk_disk, new.records);
        let exchange = Exchange::new(organisation.clone());
        Self {
            rng,
            now,
            held: None,
            organisation,
            desk,
            desk_keys,
            desk_disk,
            exchange,
            people: Vec::new(),
            faults: Vec::new(),
            authority,
            former: Vec::new(),
            offices,
            log,
            shown: BTreeMap::new(),
            weather: Weather::default(),
            twin: None,
            withheld: BTreeSet::new(),
            tapped: BTreeMap::new(),
            listener: None,
            group_files: BTreeMap::new(),
        }
    }

    /// Founds an organisation in which Alice and Bob are enrolled and know of each other.
    #[must_use]
    pub fn pair(seed: u64) -> (Self, PersonId, PersonId) {
        let mut world = Self::new(seed);
        let (alice, bob) = (world.enrol("alice"), world.enrol("bob"));
        // Whoever enrolled first learns of the others at the next synchronisation.
        world.run();
        (world, alice, bob)
    }

    /// Lets time pass.
    pub fn wait(&mut self, duration: Duration) {
        self.now = self.now.after(duration);
    }

    /// Schedules faults: each step that can go wrong takes the next one.
    pub fn schedule(&mut self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.extend(faults);
        self.faults.reverse();
    }

    /// Invites a person and enrols their device through the relay.
    pub fn enrol(&mut self, handle: &str) -> PersonId {
        self.enrol_on(handle, Terms::default())
    }

    /// Invites a guest or bot that reaches these people, for so many days, and enrols its device through the relay.
    pub fn enrol_as(&mut self, handle: &str, kind: Kind, reach: &[PersonId], days: u64) -> PersonId {
        let reach: Vec<_> = reach.iter().map(|id| self.people[id.0].member_id).collect();
        let validity = Some(Duration::from_secs(days * 24 * 3600));
        // Whoever came first answers for them.
        let owner = self.people.first().map(|person| person.member_id);
        self.enrol_on(handle, Terms { kind, reach: &reach, validity, owner, ..Terms::default() })
    }

    fn enrol_on(&mut self, handle: &str, terms: Terms<'_>) -> PersonId {
        let link = self.invite(handle, terms);
        let keys = DeviceKeys::generate(self.rng.as_mut());
        let pending = request(&link, &self.organisation, &keys, self.now, self.rng.as_mut())
            .expect("a good invitation");
        let answered = self
            .desk
            .answer(&self.desk_disk, pending.envelope(), self.now, self.rng.as_mut())
            .expect("an honest request");
        commit(&mut self.desk_disk, answered.batch);
        let enrolment =
            pending.complete(&self.organisation, &keys, &answered.reply, self.now).expect("an honest answer");
        self.append(LeafKind::Credential, &enrolment.credential.signed().clone());
        self.publish_directory();
        self.install(&keys, &enrolment)
    }

    /// Sets a device up and lets it publish its prekeys.
    pub(crate) fn install(&mut self, keys: &DeviceKeys, enrolment: &Enrolment) -> PersonId {
        let mut disk = Disk::new();
        let new = NewDevice {
            keys,
            enrolment,
            organisation: self.log.authority().organisation(),
            relay_url: "wss://relay.example:443",
            relay_pin: PIN,
        };
        commit(&mut disk, Device::install(&new));
        self.exchange.vouch(&self.desk, enrolment.credential.signed(), self.now);
        let (member_id, device_id) = (enrolment.credential.member_id(), enrolment.credential.device_id());
        self.people.push(Person::new(disk, member_id, device_id, enrolment.handle.to_string()));
        self.sync(PersonId(self.people.len() - 1));
        PersonId(self.people.len() - 1)
    }

    fn invite(&mut self, handle: &str, terms: Terms<'_>) -> InvitationLink {
        let handle = Handle::parse(handle).expect("a good handle");
        let name = DisplayName::parse(handle.as_str()).expect("a good name");
        let relay = self.organisation.relay().expect("recorded");
        let lifetime = Duration::from_secs(3600);
        let invite = Invite { handle: &handle, name: &name, relay, lifetime, terms };
        let invited =
            self.desk.invite(&self.desk_disk, invite, self.now, self.rng.as_mut()).expect("a free handle");
        commit(&mut self.desk_disk, invited.batch);
        invited.link
    }

    /// Publishes directory entries as the desk, which commits to them in the log before.
    pub(crate) fn publish(&mut self, entries: &[SealedDirectoryEntry]) {
        entries.iter().for_each(|entry| self.commit_to(entry));
        self.publish_uncommitted(entries);
    }

    /// Publishes directory entries that the log says nothing of.
    pub(crate) fn publish_uncommitted(&mut self, entries: &[SealedDirectoryEntry]) {
        let mut line = self.exchange.connect(self.now, self.rng.as_mut());
        let (keys, credential) = (self.desk.device_keys(), self.desk.credential().signed().clone());
        let message = login_message(&line.challenge, &self.organisation.id(), &PIN);
        let signature = keys.signing.sign(label::SIGN_RELAY_LOGIN, &message, self.rng.as_mut());
        let login = Login { who: Some(login::Who::Credential(credential)), signature, time: 0 };
        self.done(&mut line, client_frame::Body::Login(login));
        self.give_delivery_key(&mut line);
        for entry in entries {
            self.done(&mut line, client_frame::Body::PublishDirectory(entry.clone()));
        }
        self.exchange.close(&line, self.now, self.rng.as_mut());
    }

    /// Stores a message to be sent; [`Self::run`] or [`Self::flush`] sends it.
    pub fn say(&mut self, from: PersonId, to: PersonId, text: &str) -> [u8; 16] {
        let message_id = random_bytes(self.rng.as_mut());
        let to = self.people[to.0].member_id;
        if member(&self.people[from.0].disk, &to).expect("readable").is_none() {
            self.sync(from);
        }
        let draft = Draft { to, message_id, text, attachments: Vec::new() };
        self.handle(from, Input::Send(draft));
        message_id
    }

    /// Stores a message to be sent, if that is not refused.
    ///
    /// # Errors
    ///
    /// [`EngineError`], as the device says.
    pub fn try_say(&mut self, from: PersonId, to: PersonId, text: &str) -> Result<(), EngineError> {
        let message_id = random_bytes(self.rng.as_mut());
        let to = self.people[to.0].member_id;
        let draft = Draft { to, message_id, text, attachments: Vec::new() };
        self.try_handle(from, Input::Send(draft)).map(drop)
    }

    /// Stores a message to a name, as somebody does who cannot ask the relay who that is.
    pub fn say_by_name(&mut self, from: PersonId, to: &str, text: &str) -> [u8; 16] {
        let message_id = random_bytes(self.rng.as_mut());
        self.handle(from, Input::SendLater(Letter { to, message_id, text, attachments: Vec::new() }));
        message_id
    }

    /// Takes a message back that waits for its recipient, or has failed to find one.
    ///
    /// # Errors
    ///
    /// [`EngineError`], as the device says.
    pub fn discard(&mut self, id: PersonId, message_id: [u8; 16]) -> Result<(), EngineError> {
        self.try_handle(id, Input::Discard { message_id }).map(drop)
    }

    /// Sends on what waits for its recipient to appear in a person's directory.
    pub fn address(&mut self, id: PersonId) {
        self.handle(id, Input::Address);
    }

    /// Puts an envelope into a person's mailbox, as every member can.
    pub fn inject(&mut self, to: PersonId, envelope: Vec<u8>) {
        let mailbox = self.people[to.0].device_id.as_bytes().to_vec();
        let delivery_id = random_bytes::<16>(self.rng.as_mut()).to_vec();
        let token = self.delivery_key().token(Use::Mailbox, self.people[to.0].device_id.as_bytes()).to_vec();
        let deliver = proto::Deliver { mailbox, delivery_id, token, envelope };
        let mut line = self.exchange.connect(self.now, self.rng.as_mut());
        self.done(&mut line, client_frame::Body::Deliver(deliver));
        self.exchange.close(&line, self.now, self.rng.as_mut());
    }

    /// Returns the request for a person's prekeys, with the token that every member has.
    pub(crate) fn claim_of(&self, id: PersonId) -> ClaimPrekeys {
        let device = self.people[id.0].device_id;
        let token = self.delivery_key().token(Use::Mailbox, device.as_bytes()).to_vec();
        ClaimPrekeys { device_id: device.as_bytes().to_vec(), token }
    }

    /// Returns the key of delivery tokens, as the desk has it.
    pub(crate) fn delivery_key(&self) -> DeliveryKey {
        self.desk.delivery_key(&self.desk_disk).expect("founded")
    }

    /// Gives the relay the key of delivery tokens, on a line of the desk's (R-RELAY-56).
    fn give_delivery_key(&mut self, line: &mut Line) {
        let key = self.delivery_key();
        let (epoch, key) = (key.epoch(), key.secret().expose().to_vec());
        self.done(line, client_frame::Body::SetDeliveryKey(proto::DeliveryKey { epoch, key, update: None }));
    }

    /// Returns the token that a person's device puts into the frame of a step.
    pub(crate) fn token_of(&mut self, id: PersonId, step: &Step) -> Vec<u8> {
        let now = self.clock_of(id);
        let person = &mut self.people[id.0];
        person.start(now);
        person.engine.as_ref().expect("started").step_token(&person.disk, step).expect("readable")
    }

    /// Returns the envelopes that wait for a person at the relay, oldest first.
    #[must_use]
    pub fn mail(&self, id: PersonId) -> Vec<Vec<u8>> {
        let mailbox = self.people[id.0].device_id.into();
        self.exchange.storage.envelopes(&mailbox).map(<[u8]>::to_vec).collect()
    }

    /// Claims a bundle for a person's device and throws it away, as somebody does who wants to drain them.
    pub fn drain_prekey(&mut self, id: PersonId) {
        let mut line = self.exchange.connect(self.now, self.rng.as_mut());
        let claim = client_frame::Body::ClaimPrekeys(self.claim_of(id));
        let answer = self.ask(&mut line, claim);
        assert!(matches!(answer, Some(relay_frame::Body::Bundle(_))), "{answer:?}");
        self.exchange.close(&line, self.now, self.rng.as_mut());
    }

    /// Makes a device forget which envelopes it has handled, as happens after 8,192 others.
    pub fn forget_seen(&mut self, id: PersonId) {
        const SEEN: chancery_wire::records::Table = chancery_wire::records::Table(0x0170);
        self.people[id.0].disk.retain(|key, _| key.table != SEEN);
    }

    /// Forgets the faults that were not taken.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }

    pub(crate) fn has_mail(&self, id: PersonId) -> bool {
        self.mail(id).iter().any(|envelope| !self.is_withheld(id, envelope))
    }

    /// Returns the texts that a person has received, from everybody, in the order of their events.
    #[must_use]
    pub fn heard(&self, id: PersonId) -> Vec<String> {
        let stored = events(&self.people[id.0].disk, usize::MAX).expect("readable");
        let text = |(_, event)| match event {
            Event::Message(message) => message.text.map(|text| text.text),
            _ => None,
        };
        stored.into_iter().filter_map(text).collect()
    }

    /// Returns the texts of a conversation, both sides, as `who` has them.
    #[must_use]
    pub fn history(&self, who: PersonId, with: PersonId) -> Vec<String> {
        let with = self.people[with.0].member_id;
        let stored = conversation(&self.people[who.0].disk, &with, 0, usize::MAX).expect("readable");
        stored.into_iter().filter_map(|message| message.text.map(|text| text.text)).collect()
    }

    /// Returns the stored state number of a message that a person sent.
    #[must_use]
    pub fn state(&self, who: PersonId, id: [u8; 16]) -> u32 {
        let person = &self.people[who.0];
        message(&person.disk, &person.member_id, &id).expect("readable").expect("stored").state
    }

    /// Returns how many envelopes a person could not decrypt.
    #[must_use]
    pub fn undecryptable(&self, id: PersonId) -> usize {
        self.people[id.0].undecryptable
    }

    /// Returns everything on a person's disk, to be compared or put back.
    #[must_use]
    pub fn disk(&self, id: PersonId) -> BTreeMap<chancery_wire::records::RecordKey, Vec<u8>> {
        self.people[id.0].disk.clone()
    }

    #[cfg(test)]
    fn device(&self, id: PersonId) -> [u8; 16] {
        *self.people[id.0].device_id.as_bytes()
    }

    pub(crate) fn next_step(&self, id: PersonId) -> Option<Step> {
        next_step(&self.people[id.0].disk, &BTreeSet::new()).expect("readable")
    }

    /// Returns the next step that may be taken: where nothing may be sealed, what was sealed before.
    pub(crate) fn next_possible_step(&self, id: PersonId, blocked: &BTreeSet<[u8; 16]>) -> Option<Step> {
        let may_seal = self.log_status(id).state.allows_sealing();
        let mut blocked = blocked.clone();
        loop {
            match next_step(&self.people[id.0].disk, &blocked).expect("readable")? {
                Step::Seal { device_id, .. } | Step::Claim { device_id, .. } if !may_seal => {
                    blocked.insert(device_id);
                }
                step => return Some(step),
            }
        }
    }

    /// Sets a device's clock ahead by so many milliseconds, or back.
    pub fn set_clock(&mut self, id: PersonId, skew: i64) {
        self.people[id.0].skew = skew;
    }

    /// The time by a device's clock.
    pub(crate) fn clock_of(&self, id: PersonId) -> Timestamp {
        Timestamp::from_millis(self.now.as_millis().saturating_add_signed(self.people[id.0].skew))
    }

    /// The time by the relay's clock.
    pub(crate) fn relay_time(&self) -> Timestamp {
        self.held.unwrap_or(self.now)
    }

    /// Has the relay sign nothing later than now, until it is let go on.
    pub const fn hold_log_time(&mut self, is_held: bool) {
        self.held = if is_held { Some(self.now) } else { None };
    }

    pub(crate) fn handle(&mut self, id: PersonId, input: Input<'_>) -> Vec<Effect> {
        self.try_handle(id, input).expect("handled")
    }

    /// Handles an input, which may be refused.
    pub(crate) fn try_handle(&mut self, id: PersonId, input: Input<'_>) -> Result<Vec<Effect>, EngineError> {
        let now = self.clock_of(id);
        let person = &mut self.people[id.0];
        person.start(now);
        let engine = person.engine.as_mut().expect("started");
        engine.refresh(&person.disk).expect("readable");
        let outcome = engine.handle(&person.disk, input, now, self.rng.as_mut())?;
        commit(&mut person.disk, outcome.batch);
        for effect in &outcome.effects {
            if let Effect::Notify(notice) = effect {
                person.notices.push(*notice);
            }
        }
        Ok(outcome.effects)
    }

    /// Asks the relay; `None` when a fault swallowed the answer.
    pub(crate) fn ask(&mut self, line: &mut Line, body: client_frame::Body) -> Option<relay_frame::Body> {
        let answer = self.exchange.request(line, body, self.now, self.rng.as_mut());
        if self.takes(Fault::RestartRelay) {
            self.exchange.restart();
            return None;
        }
        if self.takes(Fault::LoseAnswer) { None } else { Some(answer) }
    }

    pub(crate) fn done(&mut self, line: &mut Line, body: client_frame::Body) {
        let answer = self.exchange.request(line, body, self.now, self.rng.as_mut());
        assert!(matches!(answer, relay_frame::Body::Done(_)), "{answer:?}");
    }

    /// Whether the next scheduled fault is this one; takes it.
    pub(crate) fn takes(&mut self, fault: Fault) -> bool {
        let takes = self.faults.last() == Some(&fault);
        if takes {
            self.faults.pop();
        }
        if takes && fault == Fault::DieAfterCommit {
            self.people.iter_mut().for_each(|person| person.engine = None);
        }
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_wire::proto::PrekeyBatchBody;
    use chancery_wire::{Limit, decode};

    #[test]
    fn one_seed_gives_one_world() {
        let run = |seed| {
            let mut world = World::new(seed);
            let (alice, bob) = (world.enrol("alice"), world.enrol("bob"));
            world.say(alice, bob, "hello");
            world.run();
            world.disk(bob)
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// The sequences of the prekey batches that a device wants published, and when they expire.
    fn batches(effects: &[Effect]) -> Vec<(u64, u64)> {
        let batch = |effect: &Effect| {
            let Effect::PublishPrekeys(upload) = effect else { return None };
            let body = &upload.batch.as_ref().expect("signed").body;
            let body = decode::<PrekeyBatchBody>(body, Limit::STATEMENT).expect("sound").into_unchecked();
            Some((body.sequence, body.expires))
        };
        effects.iter().filter_map(batch).collect()
    }

    #[test]
    fn an_upload_that_waited_until_it_expired_is_replaced_r_engine_12() {
        let mut world = World::new(1);
        let alice = world.enrol("alice");
        world.wait(DAY);
        let unpublished = batches(&world.handle(alice, Input::Upkeep));
        assert_eq!(batches(&world.handle(alice, Input::Upkeep)), unpublished, "repeated while it is new");
        world.wait(40 * DAY);
        let replaced = batches(&world.handle(alice, Input::Upkeep));
        assert!(replaced[0].0 > unpublished[0].0);
        assert!(replaced[0].1 > world.now.as_millis(), "a relay refuses a batch that has expired");
    }

    #[test]
    fn a_refused_upload_is_not_repeated_for_ever_r_engine_12() {
        let mut world = World::new(2);
        let alice = world.enrol("alice");
        world.wait(DAY);
        let (first, _) = batches(&world.handle(alice, Input::Upkeep))[0];
        assert!(world.handle(alice, Input::PrekeysRefused { sequence: first - 1 }).is_empty());
        world.wait(DAY / 12);
        let (second, _) = batches(&world.handle(alice, Input::PrekeysRefused { sequence: first }))[0];
        assert!(second > first, "an old one is replaced at once");
        assert!(world.handle(alice, Input::PrekeysRefused { sequence: second }).is_empty());
        assert!(world.handle(alice, Input::Upkeep).is_empty(), "a new one at its renewal");
        world.wait(DAY);
        let (third, _) = batches(&world.handle(alice, Input::Upkeep))[0];
        assert!(third >= second + (1 << 40), "above whatever a wrong clock has left at the relay");
    }

    #[test]
    fn a_relay_that_was_put_back_gets_new_prekeys_r_engine_28() {
        let mut world = World::new(4);
        let alice = world.enrol("alice");
        world.wait(DAY);
        let (now, _) = batches(&world.handle(alice, Input::Upkeep))[0];
        let at_relay = |sequence, pairs| Input::PrekeysAtRelay { sequence, pairs };
        assert!(world.handle(alice, at_relay(now - 1, 64)).is_empty(), "not confirmed yet");
        world.handle(alice, Input::PrekeysPublished { sequence: now });
        for pairs in [0, 1, 64] {
            assert!(world.handle(alice, at_relay(now, pairs)).is_empty());
        }
        assert!(world.handle(alice, at_relay(now, 65)).is_empty(), "it is young");
        world.wait(DAY / 24);
        let (second, _) = batches(&world.handle(alice, at_relay(now, 65)))[0];
        world.handle(alice, Input::PrekeysPublished { sequence: second });
        // A relay that says so at each login gets one an hour.
        assert!(world.handle(alice, at_relay(0, 0)).is_empty());
        world.wait(DAY / 24);
        let (third, _) = batches(&world.handle(alice, at_relay(now, 64)))[0];
        assert!(third > second && second > now);
        assert_eq!(batches(&world.handle(alice, Input::Upkeep))[0].0, third, "until the relay has it");
    }

    #[test]
    fn a_file_that_is_held_up_holds_up_its_recipient_and_nobody_else_r_engine_13() {
        let mut world = World::new(3);
        let (alice, bob, carol) = (world.enrol("alice"), world.enrol("bob"), world.enrol("carol"));
        world.run();
        let attachment = |number| proto::Attachment {
            blob_id: vec![number; 16],
            key: vec![0; 32],
            size: 1,
            name: "file".into(),
            media_type: String::new(),
            ..Default::default()
        };
        let to = world.people[bob.0].member_id;
        let attachments = vec![attachment(1), attachment(2)];
        world.handle(alice, Input::Send(Draft { to, message_id: [1; 16], text: "with files", attachments }));
        world.say(alice, bob, "must not come before");
        world.say(alice, carol, "to somebody else");
        let to = world.people[carol.0].member_id;
        let attachments = vec![attachment(3)];
        world.handle(alice, Input::Send(Draft { to, message_id: [2; 16], text: "a file", attachments }));
        let (bob, carol) = (world.device(bob), world.device(carol));
        let mut blocked = BTreeSet::from([[1; 16]]);
        let mut offered = Vec::new();
        while let Some(step) = next_step(&world.people[alice.0].disk, &blocked).expect("readable") {
            let target = match step {
                Step::Upload { blob_id, .. } => blob_id,
                Step::Claim { device_id, .. } | Step::Seal { device_id, .. } => device_id,
                other => panic!("unexpected {other:?}"),
            };
            offered.push(target);
            blocked.insert(target);
        }
        assert!(!offered.contains(&bob));
        assert!(offered.contains(&carol));
        assert!(offered.contains(&[3; 16]));
        let waiting = chancery_engine::waiting_uploads(&world.people[alice.0].disk).expect("readable");
        assert_eq!(waiting, BTreeSet::from([[1; 16], [2; 16], [3; 16]]));
    }
}
