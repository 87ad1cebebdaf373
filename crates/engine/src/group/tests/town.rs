//! Several devices of one organisation, and what goes between them.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::rng::{CryptoRng, random_bytes, seeded};
use chancery_crypto::secret::Secret;
use chancery_crypto::signature::SigningKey;
use chancery_group::{
    Author, Group, Info, Keying, LogView as _, RelaySlots, Rows as _, Slot, UnverifiedCommit,
};
use chancery_identity::checkpoint::Checkpoint;
use chancery_identity::log::{LeafKind, LogHead};
use chancery_identity::{
    Authority, Credential, DeviceId, DeviceKeys, DisplayName, Handle, IssuerId, MemberId, Organisation, sign,
};
use chancery_org::{Desk, Invite, RelayPlace, request};
use chancery_wire::proto::group_control::Control;
use chancery_wire::proto::{
    self, CreateSet, GroupCommitRecord, GroupControl, LogEntry, LogPage, RevocationBody, SlotContent,
    content::Body, outbox_item,
};
use chancery_wire::records::{Batch, Overlay, RecordKey};
use chancery_wire::{Limit, Timestamp, Unverified, decode};

use crate::device::{Device, NewDevice};
use crate::effect::{Effect, Input};
use crate::engine::{Acting, Engine};
use crate::error::EngineError;
use crate::group::acts::{ActKind, read};
use crate::group::log_view::DeviceLog;
use crate::group::receive::attempt_of;
use crate::group::rows::{self, GroupRows};
use crate::group::turn::Turn;
use crate::group::waiting::Seen;
use crate::group::{GroupDraft, GroupInput, GroupStep, control, group_history, join, state};
use crate::messages::message;
use crate::sending::{outbox, outbox_item};
use crate::tables::{GROUP_COMMIT, key, save};

mod waiting;

type Disk = BTreeMap<RecordKey, Vec<u8>>;

pub(super) const GROUP: [u8; 16] = [0x6A; 16];

pub(super) struct Resident {
    pub(super) disk: Disk,
    pub(super) engine: Engine,
}

/// A commit with all that goes with it.
pub(super) struct Made {
    pub(super) envelope: Vec<u8>,
    pub(super) hash: [u8; 32],
    attempt: u32,
    pub(super) contents: Vec<(DeviceId, DeviceId, Control)>,
    pub(super) own: GroupCommitRecord,
    pub(super) secret: Vec<u8>,
}

pub(super) struct Town {
    pub(super) rng: Box<dyn CryptoRng>,
    pub(super) now: Timestamp,
    pub(super) organisation: Organisation,
    authority: Authority,
    head: LogHead,
    entries: Vec<LogEntry>,
    log_key: SigningKey,
    pub(super) admin: (IssuerId, SigningKey),
    desk: Desk,
    desk_disk: Disk,
    pub(super) residents: Vec<Resident>,
    slots: BTreeMap<Vec<u8>, Vec<u8>>,
    files: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) snapshots_as_files: bool,
    /// Who is welcomed by the next commit without being added.
    pub(super) helped: Option<usize>,
    pub(super) files_fetched: usize,
    pub(super) sets_created: Vec<CreateSet>,
}

fn commit_batch(disk: &mut Disk, batch: Batch) {
    for (key, value) in batch {
        match value {
            Some(value) => disk.insert(key, value),
            None => disk.remove(&key),
        };
    }
}

impl Town {
    pub(super) fn new(handles: &[&str]) -> Self {
        let mut rng: Box<dyn CryptoRng> = Box::new(seeded([0x77; 32]));
        let now = Timestamp::from_millis(1_800_000_000_000);
        let new = chancery_org::found(&DisplayName::parse("Acme").unwrap(), now, rng.as_mut());
        let organisation = Organisation::verify(Unverified::new(new.public), None).unwrap();
        let log_key = SigningKey::generate(rng.as_mut());
        let place =
            RelayPlace { url: "wss://relay.example:443", pin: &[0x70; 32], log_key: log_key.verifying_key() };
        let document = new.admin.record_relay(&organisation, place, rng.as_mut()).unwrap();
        let organisation = Organisation::verify(Unverified::new(document), None).unwrap();
        let stored = new.admin.to_secret_bytes();
        let admin = (
            IssuerId::from_bytes(&stored.expose()[1..33]).unwrap(),
            SigningKey::from_seed(Secret::from_slice(&stored.expose()[33..97]).unwrap()),
        );
        let mut desk_disk = Disk::new();
        commit_batch(&mut desk_disk, new.records);
        let mut town = Self {
            rng,
            now,
            authority: Authority::new(&organisation),
            head: LogHead::default(),
            entries: Vec::new(),
            log_key,
            admin,
            desk: Desk::new(new.desk, organisation.clone(), now).unwrap(),
            desk_disk,
            residents: Vec::new(),
            slots: BTreeMap::new(),
            files: BTreeMap::new(),
            snapshots_as_files: false,
            helped: None,
            files_fetched: 0,
            sets_created: Vec::new(),
            organisation,
        };
        let document = town.organisation.as_proto().clone();
        document.issuers.iter().for_each(|issuer| town.append(LeafKind::Issuer, issuer));
        document.desk.iter().for_each(|desk| town.append(LeafKind::Desk, desk));
        document.relay.iter().for_each(|relay| town.append(LeafKind::Relay, relay));
        handles.iter().for_each(|handle| town.enrol(handle));
        (0..handles.len()).for_each(|id| town.grow(id));
        town
    }

    pub(super) fn append(&mut self, kind: LeafKind, statement: &proto::Signed) {
        let submission = self.authority.prepare(kind, statement, self.now).unwrap();
        self.authority.apply(self.head.size(), &submission.leaf, submission.content.as_ref()).unwrap();
        self.head.push(&submission.leaf).unwrap();
        let leaf = submission.leaf.to_bytes().to_vec();
        self.entries.push(LogEntry { leaf, content: submission.content });
    }

    /// Enrols a device: of a new member, or one more of the member who has the handle.
    pub(super) fn enrol(&mut self, handle: &str) {
        let keys = DeviceKeys::generate(self.rng.as_mut());
        let (parsed, name) = (Handle::parse(handle).unwrap(), DisplayName::parse(handle).unwrap());
        let relay = self.organisation.relay().unwrap();
        let (lifetime, terms) = (Duration::from_secs(3600), chancery_org::Terms::default);
        let invite = || Invite { handle: &parsed, name: &name, relay, lifetime, terms: terms() };
        let rng = self.rng.as_mut();
        let invited = match self.desk.invite(&self.desk_disk, invite(), self.now, rng) {
            Ok(invited) => invited,
            Err(_) => self.desk.invite_device(&self.desk_disk, invite(), self.now, rng).unwrap(),
        };
        commit_batch(&mut self.desk_disk, invited.batch);
        let pending = request(&invited.link, &self.organisation, &keys, self.now, rng).unwrap();
        let answered = self.desk.answer(&self.desk_disk, pending.envelope(), self.now, rng).unwrap();
        commit_batch(&mut self.desk_disk, answered.batch);
        let enrolment = pending.complete(&self.organisation, &keys, &answered.reply, self.now).unwrap();
        let mut disk = Disk::new();
        let new = NewDevice {
            keys: &keys,
            enrolment: &enrolment,
            organisation: &self.organisation,
            relay_url: "wss://relay.example:443",
            relay_pin: [0x70; 32],
        };
        commit_batch(&mut disk, Device::install(&new));
        let engine = Engine::load(&disk, self.now).unwrap();
        self.residents.push(Resident { disk, engine });
        self.append(LeafKind::Credential, &enrolment.credential.signed().clone());
        let id = self.residents.len().saturating_sub(1);
        self.grow(id);
    }

    /// Has the log say who takes groups over.
    pub(super) fn succeed(&mut self, group: [u8; 16], sequence: u64, members: &[MemberId]) {
        let body = proto::GroupSuccessorBody {
            org_id: self.organisation.id().as_bytes().to_vec(),
            issuer_id: self.admin.0.as_bytes().to_vec(),
            group_id: group.to_vec(),
            sequence,
            member_ids: members.iter().map(|member| member.as_bytes().to_vec()).collect(),
        };
        let statement = sign::sign_group_successor(&self.admin.1, &body, self.rng.as_mut());
        self.append(LeafKind::GroupSuccessor, &statement);
    }

    /// Looks at a device's log.
    pub(super) fn with_log<R>(&mut self, id: usize, look: impl FnOnce(&DeviceLog<'_>) -> R) -> R {
        self.act(id, |turn| {
            let log = DeviceLog::new(turn.me, turn.records).unwrap();
            let seen = look(&log);
            log.check().unwrap();
            seen
        })
    }

    pub(super) fn admin(&self) -> IssuerId {
        self.admin.0
    }

    pub(super) fn asked(&self, id: usize) -> Vec<Vec<u8>> {
        let state = state::load(self.disk(id), &GROUP).unwrap().unwrap();
        state.asked.into_iter().map(|asked| asked.device_id).collect()
    }

    /// Gives a device a content as if it had come over a session.
    pub(super) fn control_as_is(&mut self, id: usize, from: usize, content: &GroupControl) -> bool {
        let (member, device) = (self.member(from), self.device(from));
        let taken = self.act(id, |turn| {
            let since = Seen::now(turn).unwrap();
            control::process(turn, (&member, &device), content, since).unwrap()
        });
        taken == crate::group::Taken::Well
    }

    /// Ends a device's member.
    pub(super) fn revoke(&mut self, id: usize) {
        let body = RevocationBody {
            org_id: self.organisation.id().as_bytes().to_vec(),
            issuer_id: self.admin.0.as_bytes().to_vec(),
            member_id: self.member(id).as_bytes().to_vec(),
            device_id: Vec::new(),
        };
        let statement = sign::sign_revocation(&self.admin.1, &body, self.rng.as_mut());
        self.append(LeafKind::MemberRevoked, &statement);
    }

    /// Returns the log, to go back to with [`Self::set_log`].
    pub(super) fn log(&self) -> (LogHead, Vec<LogEntry>) {
        (self.head.clone(), self.entries.clone())
    }

    pub(super) fn set_log(&mut self, (head, entries): (LogHead, Vec<LogEntry>)) {
        (self.head, self.entries) = (head, entries);
    }

    /// Gives a device what the log has.
    pub(super) fn grow(&mut self, id: usize) {
        let from = crate::log::log_size(&self.residents[id].disk).unwrap();
        let entries = self.entries[usize::try_from(from).unwrap()..].to_vec();
        let tree = (self.head.size(), self.head.root());
        let org = self.organisation.id();
        let checkpoint = Checkpoint::sign(&self.log_key, &org, tree, self.now, self.rng.as_mut());
        let page =
            LogPage { entries, more: false, checkpoint: checkpoint.note().to_string(), proof: Vec::new() };
        self.handle(id, Input::Log { from, page: &page });
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    pub(super) fn disk(&self, id: usize) -> &Disk {
        &self.residents[id].disk
    }

    pub(super) fn member(&self, id: usize) -> MemberId {
        self.residents[id].engine.device().member_id()
    }

    pub(super) fn device(&self, id: usize) -> DeviceId {
        self.residents[id].engine.device().device_id()
    }

    pub(super) fn credential(&self, id: usize) -> Credential {
        self.residents[id].engine.device().credential().clone()
    }

    pub(super) fn place(&self, device: &DeviceId) -> usize {
        (0..self.residents.len()).find(|id| self.device(*id) == *device).unwrap()
    }

    pub(super) fn try_handle(&mut self, id: usize, input: Input<'_>) -> Result<Vec<Effect>, EngineError> {
        let Resident { disk, engine } = &mut self.residents[id];
        let outcome = engine.handle(disk, input, self.now, self.rng.as_mut())?;
        commit_batch(disk, outcome.batch);
        Ok(outcome.effects)
    }

    pub(super) fn handle(&mut self, id: usize, input: Input<'_>) -> Vec<Effect> {
        self.try_handle(id, input).unwrap()
    }

    pub(super) fn act<R>(&mut self, id: usize, act: impl FnOnce(&mut Turn<'_, '_>) -> R) -> R {
        let Resident { disk, engine } = &mut self.residents[id];
        let known = engine.known(disk).unwrap();
        let me = Acting { device: engine.device(), known: &known };
        let mut overlay = Overlay::new(disk);
        let mut turn = Turn::new(&me, &mut overlay, self.now, self.rng.as_mut());
        let result = act(&mut turn);
        turn.settle().unwrap();
        let batch = overlay.into_batch();
        commit_batch(disk, batch);
        result
    }

    pub(super) fn found(&mut self, id: usize) {
        self.act(id, |turn| {
            let log = DeviceLog::new(turn.me, turn.records).unwrap();
            let info = Info::new(DisplayName::parse("Board").unwrap());
            let author = Author {
                keys: turn.me.keys(),
                credential: turn.me.credential(),
                log: &log,
                log_size: log.size(),
                now: turn.now,
            };
            let (bytes, changes, keys) = chancery_group::found(&GROUP, &info, author, turn.rng).unwrap();
            let hash = *UnverifiedCommit::from_bytes(&bytes).unwrap().hash();
            join::enter(turn, &GROUP, None, (hash, (changes, keys))).unwrap();
        });
    }

    /// Makes a commit, which nobody has yet.
    pub(super) fn build(
        &mut self,
        id: usize,
        changes: Vec<proto::GroupChange>,
        keying: Keying,
        attempt: u32,
    ) -> Made {
        let as_files = self.snapshots_as_files;
        let from = self.device(id);
        let helped = self.helped.take().map(|helped| self.slot(id, helped));
        let (made, files) = self.act(id, |turn| {
            let head = rows::head(turn.records, &GROUP).unwrap().unwrap();
            let rows = GroupRows::new(turn.records, GROUP);
            let log = DeviceLog::new(turn.me, turn.records).unwrap();
            let author = Author {
                keys: turn.me.keys(),
                credential: turn.me.credential(),
                log: &log,
                log_size: log.size(),
                now: turn.now,
            };
            let before = Group { id: &GROUP, head: &head, rows: &rows };
            let built = chancery_group::build(before, author, changes, keying, turn.rng).unwrap();
            let mut files = BTreeMap::new();
            let contents = super::contents::contents(&built, (from, as_files, helped), &mut files, turn.rng);
            let own = Slot::from_u32(head.slot).unwrap();
            let path = (keying == Keying::Regrow).then(|| built.path(own, None).unwrap());
            let all = built.secret().expose().to_vec();
            let secret = if keying == Keying::HandOut { all.clone() } else { Vec::new() };
            let state = state::load(turn.records, &GROUP).unwrap().unwrap();
            let slot_key = Secret::from_slice(&head.slot_key).unwrap();
            let set_name = state.set_name.as_slice().try_into().unwrap();
            let slots = RelaySlots { slot_key: &slot_key, set_name };
            let envelope = slots.seal(attempt_of(attempt).unwrap(), built.bytes(), turn.rng).unwrap();
            let own = GroupCommitRecord {
                commit: built.bytes().to_vec(),
                path,
                secret,
                ..GroupCommitRecord::default()
            };
            (Made { envelope, hash: *built.hash(), attempt, contents, own, secret: all }, files)
        });
        self.files.extend(files);
        made
    }

    /// Makes a commit, and its author follows it.
    pub(super) fn commit(&mut self, id: usize, changes: Vec<proto::GroupChange>, keying: Keying) -> Made {
        self.run(id);
        let made = self.build(id, changes, keying, 0);
        self.follow_own(id, &made);
        made
    }

    /// A commit's author follows it.
    pub(super) fn follow_own(&mut self, id: usize, made: &Made) {
        let before = self.epoch(id);
        self.act(id, |turn| save(turn.records, key(GROUP_COMMIT, &[&GROUP]), &made.own));
        let content = SlotContent { envelope: made.envelope.clone(), ..SlotContent::default() };
        let input =
            GroupInput::SlotFetched { group_id: GROUP, attempt: made.attempt, content: Some(&content) };
        self.handle(id, Input::Group(input));
        self.act(id, |turn| turn.records.delete(key(GROUP_COMMIT, &[&GROUP])));
        assert_eq!(self.epoch(id), before.saturating_add(1));
    }

    /// Changes a commit, and puts it into an envelope anew.
    pub(super) fn spoil(
        &mut self,
        id: usize,
        made: &mut Made,
        spoil: impl FnOnce(&mut proto::GroupCommit, &mut Turn<'_, '_>),
    ) {
        let commit = decode(&made.own.commit, Limit::ENVELOPE).unwrap();
        let mut commit: proto::GroupCommit = commit.into_unchecked();
        self.act(id, |turn| spoil(&mut commit, turn));
        made.own.commit = chancery_wire::encode(&commit);
        made.envelope = self.act(id, |turn| {
            let head = rows::head(turn.records, &GROUP).unwrap().unwrap();
            let state = state::load(turn.records, &GROUP).unwrap().unwrap();
            let slot_key = Secret::from_slice(&head.slot_key).unwrap();
            let set_name = state.set_name.as_slice().try_into().unwrap();
            let slots = RelaySlots { slot_key: &slot_key, set_name };
            slots.seal(attempt_of(made.attempt).unwrap(), &made.own.commit, turn.rng).unwrap()
        });
    }

    /// Puts something into the relay's slot for the epoch that a device is in.
    pub(super) fn put_slot(&mut self, id: usize, attempt: u32, content: Vec<u8>) {
        let name = self.act(id, |turn| {
            let head = rows::head(turn.records, &GROUP).unwrap().unwrap();
            let state = state::load(turn.records, &GROUP).unwrap().unwrap();
            let slot_key = Secret::from_slice(&head.slot_key).unwrap();
            let set_name = state.set_name.as_slice().try_into().unwrap();
            RelaySlots { slot_key: &slot_key, set_name }.name(attempt_of(attempt).unwrap()).to_vec()
        });
        self.slots.insert(name, content);
    }

    /// Brings a commit and what goes with it to devices.
    pub(super) fn deliver(&mut self, made: &Made, to: &[usize]) {
        self.deliver_in(made, to, false);
    }

    pub(super) fn deliver_in(&mut self, made: &Made, to: &[usize], commit_first: bool) {
        for id in to {
            // It goes to the set of the epoch before: whoever is added has the welcome alone.
            let is_in = self.epoch(*id) > 0;
            if commit_first {
                self.give(*id, &made.envelope);
            }
            for (from, device, content) in &made.contents {
                if *device == self.device(*id) {
                    self.control(*id, self.place(from), content.clone());
                }
            }
            self.run(*id);
            if !commit_first && is_in {
                self.give(*id, &made.envelope);
            }
            self.run(*id);
        }
    }

    fn control(&mut self, id: usize, from: usize, content: Control) {
        let (member, device) = (self.member(from), self.device(from));
        let content = GroupControl { group_id: GROUP.to_vec(), control: Some(content) };
        self.act(id, |turn| {
            let since = Seen::now(turn).unwrap();
            control::process(turn, (&member, &device), &content, since).unwrap();
        });
    }

    /// Gives a device an envelope from its mailbox.
    pub(super) fn give(&mut self, id: usize, envelope: &[u8]) -> Vec<Effect> {
        self.handle(id, Input::Received { sequence: 1, envelope })
    }

    pub(super) fn say(&mut self, id: usize, text: &str) -> [u8; 16] {
        let message_id = random_bytes(self.rng.as_mut());
        let draft = GroupDraft { group_id: GROUP, message_id, text, attachments: Vec::new() };
        self.handle(id, Input::Group(GroupInput::Send(draft)));
        message_id
    }

    /// Does what is to be done for a device's groups; returns what it sent to all.
    pub(super) fn run(&mut self, id: usize) -> Vec<Vec<u8>> {
        let (mut sent, mut blocked) = (Vec::new(), BTreeSet::new());
        loop {
            let resident = &self.residents[id];
            let step = resident.engine.next_group_step(&resident.disk, self.now, &blocked).unwrap();
            let Some(step) = step else { return sent };
            let target = step.target();
            if !self.step(id, step, &mut sent) {
                blocked.insert(target);
            }
        }
    }

    pub(super) fn step(&mut self, id: usize, step: GroupStep, sent: &mut Vec<Vec<u8>>) -> bool {
        match step {
            GroupStep::Credential { device, .. } => {
                let credential = Some(self.credential(self.place(&device)).signed().clone());
                self.handle(id, Input::Group(GroupInput::CredentialFetched { device, credential }));
            }
            GroupStep::Fetch { group_id, attempt, frame } => {
                let content = self.slots.get(&frame.slot).cloned();
                let content = content.map(|envelope| SlotContent { envelope, ..SlotContent::default() });
                let content = content.as_ref();
                self.handle(id, Input::Group(GroupInput::SlotFetched { group_id, attempt, content }));
            }
            GroupStep::FetchFile { file, .. } => {
                let Some(content) = self.files.get(&file.blob_id).cloned() else { return false };
                self.files_fetched = self.files_fetched.saturating_add(1);
                let blob_id = file.blob_id.as_slice().try_into().unwrap();
                let input = GroupInput::FileFetched { blob_id, content: Some(&content) };
                self.handle(id, Input::Group(input));
            }
            GroupStep::CreateSet { group_id, frame } => {
                self.sets_created.push(frame);
                self.handle(id, Input::Group(GroupInput::SetCreated { group_id }));
            }
            GroupStep::Seal { group_id, item } => {
                self.handle(id, Input::Group(GroupInput::Seal { group_id, item }));
            }
            GroupStep::FanOut { group_id, item, frame } => {
                sent.push(frame.envelope);
                self.handle(id, Input::Group(GroupInput::Sent { group_id, item }));
            }
            GroupStep::Care { group_id } => {
                self.handle(id, Input::Group(GroupInput::Care { group_id }));
            }
            // Commits are made by hand here.
            GroupStep::Commit { .. } | GroupStep::PutSlot { .. } => return false,
            other => panic!("unexpected step {other:?}"),
        }
        true
    }

    /// Seals what is next, and loses the connection before it is sent.
    pub(super) fn seal_only(&mut self, id: usize) -> Vec<u8> {
        loop {
            let resident = &self.residents[id];
            let step = resident.engine.next_group_step(&resident.disk, self.now, &BTreeSet::new()).unwrap();
            match step.unwrap() {
                GroupStep::FanOut { frame, .. } => return frame.envelope,
                step => assert!(self.step(id, step, &mut Vec::new())),
            }
        }
    }

    pub(super) fn run_all(&mut self) {
        for _ in 0..10 {
            let sent: Vec<_> = (0..self.residents.len()).flat_map(|id| self.run(id)).collect();
            for envelope in &sent {
                (0..self.residents.len()).for_each(|id| drop(self.give(id, envelope)));
            }
        }
    }

    /// Contents that wait in a device's outbox, and for whom.
    pub(super) fn outbox(&self, id: usize) -> Vec<(DeviceId, Control)> {
        let disk = &self.residents[id].disk;
        let mut found = Vec::new();
        for number in outbox().numbers(disk).unwrap() {
            let Some(item) = outbox_item(disk, number).unwrap() else { continue };
            let Some(outbox_item::Step::Unsealed(bytes)) = item.step else { continue };
            let content: proto::Content = decode(&bytes, Limit::RECORD).unwrap().into_unchecked();
            let Some(Body::Group(content)) = content.body else { continue };
            found.push((DeviceId::from_bytes(&item.device_id).unwrap(), content.control.unwrap()));
        }
        found
    }

    /// Carries what waits in a device's outbox to another.
    pub(super) fn carry(&mut self, from: usize, to: usize) {
        for (device, content) in self.outbox(from) {
            if device == self.device(to) {
                self.control(to, from, content);
            }
        }
    }

    pub(super) fn epoch(&self, id: usize) -> u64 {
        state::load(self.disk(id), &GROUP).unwrap().map_or(0, |state| state.epoch)
    }

    pub(super) fn commit_of(&self, id: usize) -> [u8; 32] {
        state::load(self.disk(id), &GROUP).unwrap().unwrap().commit.try_into().unwrap()
    }

    /// The slot of a device in the group, as another has it.
    pub(super) fn slot(&self, id: usize, of: usize) -> Slot {
        GroupRows::new(self.disk(id), GROUP).slot_of(&self.device(of)).unwrap().unwrap()
    }

    pub(super) fn acts(&self, id: usize) -> Vec<ActKind> {
        let history = group_history(self.disk(id), &GROUP, 0, 1000).unwrap();
        history.iter().filter_map(|record| read(record).map(|(kind, _)| kind)).collect()
    }

    /// What others have written, in the order in which it came.
    pub(super) fn heard(&self, id: usize) -> Vec<String> {
        let own = self.member(id);
        let history = group_history(self.disk(id), &GROUP, 0, 1000).unwrap();
        let others = history.into_iter().filter(|record| record.from != own.as_bytes());
        others.filter_map(|record| record.text.map(|text| text.text)).collect()
    }

    pub(super) fn state(&self, id: usize, message_id: &[u8; 16]) -> u32 {
        message(self.disk(id), &self.member(id), message_id).unwrap().unwrap().state
    }
}
