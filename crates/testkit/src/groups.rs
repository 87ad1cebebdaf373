//! What people's devices do for groups: the steps of the engine, carried out at the relay.

use std::collections::BTreeSet;
use std::time::Duration;

use chancery_crypto::hash::sha256;
use chancery_crypto::rng::random_bytes;
use chancery_engine::{
    ActKind, EngineError, GroupDraft, GroupInput, GroupOperation, GroupStep, GroupView, Input, Step, group,
    group_act, group_history, next_group_care,
};
use chancery_group::{Info, Role};
use chancery_identity::{DisplayName, MemberId};
use chancery_relay::{SetId, SlotId};
use chancery_wire::proto::{SlotContent, client_frame, relay_frame};
use chancery_wire::{RefusalCode, proto};

use crate::line::Line;
use crate::person::PersonId;
use crate::world::World;

/// How long a dishonest relay keeps what it made.
const OLD: Duration = Duration::from_secs(30 * 24 * 3600);

/// Names a group of a world.
pub type GroupId = [u8; 16];

impl World {
    /// Founds a group; [`Self::run_groups`] adds its members.
    pub fn found_group(&mut self, by: PersonId, members: &[PersonId]) -> GroupId {
        let group_id = random_bytes(self.rng.as_mut());
        let members = self.members(members);
        let info = Info::new(DisplayName::parse("Group").expect("a good name"));
        self.operate(by, group_id, GroupOperation::Create { info, members }).expect("founded");
        group_id
    }

    /// Returns who the devices' members are.
    #[must_use]
    pub fn members(&self, of: &[PersonId]) -> Vec<MemberId> {
        of.iter().map(|id| self.people[id.0].member_id).collect()
    }

    /// Has a person want something done in a group.
    ///
    /// # Errors
    ///
    /// What the engine refuses at once.
    pub fn operate(
        &mut self,
        by: PersonId,
        group_id: GroupId,
        operation: GroupOperation<'_>,
    ) -> Result<(), EngineError> {
        self.try_handle(by, Input::Group(GroupInput::Operation { group_id, operation })).map(drop)
    }

    /// Has a person add others as members.
    pub fn add_to_group(&mut self, by: PersonId, group_id: GroupId, whom: &[PersonId], role: Role) {
        let members = self.members(whom);
        self.operate(by, group_id, GroupOperation::Add { members, role }).expect("allowed");
    }

    /// Stores a message to a group.
    pub fn say_to_group(&mut self, from: PersonId, group_id: GroupId, text: &str) -> [u8; 16] {
        let message_id = random_bytes(self.rng.as_mut());
        let draft = GroupDraft { group_id, message_id, text, attachments: Vec::new() };
        self.handle(from, Input::Group(GroupInput::Send(draft)));
        message_id
    }

    /// Returns the texts that a device has of a group, its own included, in their order.
    #[must_use]
    pub fn group_texts(&self, who: PersonId, group_id: GroupId) -> Vec<String> {
        let all = group_history(&self.people[who.0].disk, &group_id, 0, usize::MAX).expect("readable");
        all.into_iter().filter_map(|message| message.text.map(|text| text.text)).collect()
    }

    /// Returns what has happened in a group as a device has it, with the code of what was refused.
    #[must_use]
    pub fn group_acts(&self, who: PersonId, group_id: GroupId) -> Vec<(ActKind, u32)> {
        let all = group_history(&self.people[who.0].disk, &group_id, 0, usize::MAX).expect("readable");
        let act = |message| group_act(&message).map(|(kind, act)| (kind, act.code));
        all.into_iter().filter_map(act).collect()
    }

    /// Returns a group as a device has it.
    #[must_use]
    pub fn group(&self, who: PersonId, group_id: GroupId) -> Option<GroupView> {
        group(&self.people[who.0].disk, &group_id).expect("readable")
    }

    /// Lets everybody do all that there is to do, in groups too, until nothing is left at this time.
    pub fn run_groups(&mut self) {
        self.run_groups_of((0..self.people.len()).map(PersonId).collect());
    }

    /// As [`Self::run_groups`], for these devices alone.
    pub fn run_groups_of(&mut self, people: Vec<PersonId>) {
        let mut quiet = 0;
        for _ in 0..100 {
            let mut done = 0;
            for id in &people {
                self.flush(*id);
                done += self.flush_groups(*id);
                self.flush(*id);
                self.sync(*id);
            }
            let is_idle = |id: &PersonId| {
                self.next_possible_step(*id, &BTreeSet::new()).is_none() && !self.has_mail(*id)
            };
            // What was read last may have led to something to do.
            quiet = if done == 0 && people.iter().all(is_idle) { quiet + 1 } else { 0 };
            if quiet == 2 {
                return;
            }
        }
        panic!("the groups do not come to rest");
    }

    /// Lets time pass to what is due next in groups, and everybody act, until nothing is due within the time given.
    pub fn settle_groups(&mut self, within: Duration) {
        let all: Vec<PersonId> = (0..self.people.len()).map(PersonId).collect();
        self.settle_groups_of(&all, within);
    }

    /// As [`Self::settle_groups`], for these devices alone.
    pub fn settle_groups_of(&mut self, people: &[PersonId], within: Duration) {
        let end = self.now.after(within);
        self.run_groups_of(people.to_vec());
        for _ in 0..200 {
            let disks = people.iter().map(|id| &self.people[id.0].disk);
            let due = disks.filter_map(|disk| next_group_care(disk).expect("readable")).min();
            match due {
                Some(due) if due <= end => self.now = self.now.max(due),
                _ => return,
            }
            self.run_groups_of(people.to_vec());
        }
        panic!("the groups have something to do for ever");
    }

    /// Returns the next step of a device for its groups.
    #[must_use]
    pub fn group_step(&mut self, id: PersonId, blocked: &BTreeSet<[u8; 16]>) -> Option<GroupStep> {
        let now = self.clock_of(id);
        let person = &mut self.people[id.0];
        person.start(now);
        let engine = person.engine.as_ref().expect("started");
        engine.next_group_step(&person.disk, now, blocked).expect("readable")
    }

    /// Carries out what a device has to do for its groups; returns how many steps that were. Stops at a fault.
    pub fn flush_groups(&mut self, id: PersonId) -> usize {
        self.check_log(id);
        let mut line = self.exchange.connect(self.now, self.rng.as_mut());
        let (mut blocked, mut steps) = (BTreeSet::new(), 0);
        while let Some(step) = self.group_step(id, &blocked) {
            assert!(steps < 5000, "for ever: {step:?}");
            let target = step.target();
            match self.take_group_step(id, &mut line, step) {
                Some(true) => steps += 1,
                Some(false) => drop(blocked.insert(target)),
                None => return steps,
            }
        }
        self.exchange.close(&line, self.now, self.rng.as_mut());
        steps
    }

    /// Carries out one step; `Some(false)` if that cannot be done now, `None` if the connection broke.
    pub(crate) fn take_group_step(&mut self, id: PersonId, line: &mut Line, step: GroupStep) -> Option<bool> {
        use GroupInput as In;
        use client_frame::Body as Ask;
        use relay_frame::Body as Answer;
        self.listen_in(&step);
        let input = match step {
            GroupStep::Fetch { group_id, attempt, .. } if self.withheld.contains(&id) => {
                In::SlotFetched { group_id, attempt, content: None }
            }
            GroupStep::Fetch { group_id, attempt, frame } => match self.ask(line, Ask::GetSlot(frame))? {
                Answer::SlotContent(content) => {
                    self.tell(id, In::SlotFetched { group_id, attempt, content: Some(&content) });
                    return Some(true);
                }
                Answer::Refused(_) => In::SlotFetched { group_id, attempt, content: None },
                other => panic!("unexpected {other:?}"),
            },
            GroupStep::Credential { device, frame } => {
                let credential = match self.ask(line, Ask::GetCredential(frame))? {
                    Answer::Credential(it) => it.credential,
                    Answer::Refused(_) => None,
                    other => panic!("unexpected {other:?}"),
                };
                In::CredentialFetched { device, credential }
            }
            GroupStep::FetchFile { file, .. } => {
                let blob_id = file.blob_id.as_slice().try_into().expect("16 bytes");
                let content = self.group_files.get(&blob_id).cloned();
                self.tell(id, In::FileFetched { blob_id, content: content.as_deref() });
                return Some(true);
            }
            GroupStep::StoreFile { group_id, file, content } => {
                let blob_id = file.blob_id.as_slice().try_into().expect("16 bytes");
                self.group_files.insert(blob_id, content.expose().to_vec());
                In::FileStored { group_id, blob_id }
            }
            GroupStep::CreateSet { group_id, frame } => {
                let answer = self.ask(line, Ask::CreateSet(frame))?;
                assert!(matches!(answer, Answer::Done(_)), "{answer:?}");
                In::SetCreated { group_id }
            }
            GroupStep::PutSlot { group_id, attempt, frame } => match self.ask(line, Ask::PutSlot(frame))? {
                Answer::SlotContent(taken) => return self.slot_taken(id, group_id, (attempt, &taken)),
                Answer::Done(_) => In::SlotAnswer { group_id, attempt, taken: None },
                Answer::Refused(it) if it.code == RefusalCode::NotFound.code() => In::SetUnknown { group_id },
                other => panic!("unexpected {other:?}"),
            },
            GroupStep::FanOut { group_id, item, frame } => match self.ask(line, Ask::FanOut(frame))? {
                Answer::Done(_) => In::Sent { group_id, item },
                Answer::Refused(it) if it.code == RefusalCode::NotFound.code() => In::SetUnknown { group_id },
                other => panic!("unexpected {other:?}"),
            },
            GroupStep::Commit { group_id } => In::Commit { group_id },
            GroupStep::Seal { group_id, item } => In::Seal { group_id, item },
            GroupStep::Care { group_id } => In::Care { group_id },
            other => panic!("unexpected step {other:?}"),
        };
        self.tell(id, input);
        if self.takes(crate::world::Fault::DieAfterCommit) { None } else { Some(true) }
    }

    fn slot_taken(
        &mut self,
        id: PersonId,
        group_id: GroupId,
        (attempt, taken): (u32, &SlotContent),
    ) -> Option<bool> {
        self.tell(id, GroupInput::SlotAnswer { group_id, attempt, taken: Some(taken) });
        Some(true)
    }

    fn tell(&mut self, id: PersonId, input: GroupInput<'_>) {
        self.handle(id, Input::Group(input));
    }

    /// Lets a device put its commit into the slot of the relay, and go before it hears that it did. What goes with the commit is at
    /// the relay.
    pub fn win_and_die(&mut self, id: PersonId) {
        for _ in 0..10 {
            self.flush(id);
            let mut line = self.exchange.connect(self.now, self.rng.as_mut());
            while let Some(step) = self.group_step(id, &BTreeSet::new()) {
                if let GroupStep::PutSlot { frame, .. } = step {
                    self.done(&mut line, client_frame::Body::PutSlot(frame));
                    self.restart(id);
                    return;
                }
                self.take_group_step(id, &mut line, step).expect("no faults");
            }
        }
        panic!("no commit came to its slot");
    }
}

/// A dishonest relay.
impl World {
    /// From here on the relay has two faces: [`Self::turn_relay`] shows the other.
    pub fn part_relay(&mut self) {
        self.twin = Some(self.exchange.twin());
    }

    /// Shows everybody the relay's other face.
    pub fn turn_relay(&mut self) {
        let twin = self.twin.as_mut().expect("parted");
        std::mem::swap(twin, &mut self.exchange);
    }

    /// Withholds from these devices what is of groups: from their mailboxes and in slots. What others tell them over sessions it
    /// cannot tell from other messages.
    pub fn withhold_groups_from(&mut self, people: &[PersonId]) {
        self.withheld = people.iter().copied().collect();
    }

    /// From here on the relay keeps a copy of whatever this device takes out of its mailbox.
    pub fn tap(&mut self, of: PersonId) {
        self.tapped.insert(of, Vec::new());
    }

    /// Returns what the relay kept of a device's mail, oldest first, and lets it keep what follows.
    #[must_use]
    pub fn tapped(&mut self, of: PersonId) -> Vec<Vec<u8>> {
        std::mem::take(self.tapped.get_mut(&of).expect("tapped"))
    }

    /// From here on the relay puts this device's mailbox into every set that something is sent to.
    pub fn add_listener(&mut self, listener: PersonId) {
        self.listener = Some(listener);
    }

    /// Puts an envelope of any kind into a mailbox, as whoever has the relay's disk can.
    pub fn plant(&mut self, to: PersonId, envelope: &[u8]) {
        use chancery_relay::{Room, SetStorage as _, Storage as _};
        let (mailbox, expires) = (self.people[to.0].device_id.into(), self.now.after(OLD));
        let room = Room { envelopes: u64::MAX, bytes: u64::MAX };
        let storage = &mut self.exchange.storage;
        storage.begin().expect("memory");
        let stored = storage.multiply(&[mailbox], envelope, expires, room).expect("memory");
        storage.commit().expect("memory");
        assert_eq!(stored, [mailbox]);
    }

    /// Puts the listener's mailbox into the set that a step names, as whoever has the relay's disk can.
    fn listen_in(&mut self, step: &GroupStep) {
        use chancery_relay::{SetStorage as _, Storage as _};
        let set = match step {
            GroupStep::PutSlot { frame, .. } => &frame.set,
            GroupStep::FanOut { frame, .. } => &frame.set,
            _ => return,
        };
        let Some(listener) = self.listener else { return };
        let (set, mailbox) =
            (SetId::from_bytes(set).expect("16 bytes"), self.people[listener.0].device_id.into());
        let storage = &mut self.exchange.storage;
        let Some(mut row) = storage.set(&set).expect("memory") else { return };
        if !row.mailboxes.contains(&mailbox) {
            row.mailboxes.push(mailbox);
            storage.begin().expect("memory");
            storage.remove_set(&set).expect("memory");
            storage.put_set(&set, &row).expect("memory");
            storage.commit().expect("memory");
        }
    }

    /// Hands envelopes to a device, as somebody does who has its disk: what it refuses is lost, and of all that it wants
    /// done it is brought the credentials alone, which everybody may have.
    pub fn hand_over(&mut self, to: PersonId, envelopes: &[Vec<u8>]) {
        for (sequence, envelope) in (1..).zip(envelopes) {
            let _ = self.try_handle(to, Input::Received { sequence, envelope });
        }
        let mut line = self.exchange.connect(self.now, self.rng.as_mut());
        let mut blocked = BTreeSet::new();
        while let Some(step) = self.group_step(to, &blocked) {
            let target = step.target();
            let is_fetched = matches!(step, GroupStep::Credential { .. })
                && self.take_group_step(to, &mut line, step) == Some(true);
            if !is_fetched {
                blocked.insert(target);
            }
        }
        self.exchange.close(&line, self.now, self.rng.as_mut());
    }

    /// Whether a dishonest relay gives this to nobody.
    pub(crate) fn is_withheld(&self, from: PersonId, envelope: &[u8]) -> bool {
        self.withheld.contains(&from) && matches!(envelope.first(), Some(0x17..=0x19))
    }
}

impl World {
    /// Takes one step of a device for its groups; returns whether there was one.
    pub fn take_one_group_step(&mut self, id: PersonId) -> bool {
        self.take_group_step_beside(id, &BTreeSet::new())
    }

    /// As [`Self::take_one_group_step`], leaving these groups alone.
    pub fn take_group_step_beside(&mut self, id: PersonId, others: &BTreeSet<GroupId>) -> bool {
        let Some(step) = self.group_step(id, others) else { return false };
        let mut line = self.exchange.connect(self.now, self.rng.as_mut());
        self.take_group_step(id, &mut line, step).expect("no faults");
        self.exchange.close(&line, self.now, self.rng.as_mut());
        true
    }

    /// Carries out what a device has to do for its groups up to putting a commit into its slot.
    pub fn flush_groups_until_put(&mut self, id: PersonId) {
        self.check_log(id);
        while !matches!(self.group_step(id, &BTreeSet::new()), None | Some(GroupStep::PutSlot { .. })) {
            self.take_one_group_step(id);
        }
    }

    /// Lets a device come to the point where it puts its commit into the relay's slot, and has somebody put something else there
    /// before.
    pub fn spoil_slot(&mut self, id: PersonId) {
        self.fill_slot(id, |frame| {
            let mut envelope = frame.envelope.clone();
            *envelope.last_mut().expect("long") ^= 1;
            envelope
        });
    }

    /// The same by the relay itself, with what `content` makes of the frame, whatever that is; it goes to nobody's mailbox.
    pub fn fill_slot(&mut self, id: PersonId, content: impl FnOnce(&proto::PutSlot) -> Vec<u8>) {
        for _ in 0..10 {
            self.flush(id);
            self.flush_groups_until_put(id);
            if let Some(GroupStep::PutSlot { frame, .. }) = self.group_step(id, &BTreeSet::new()) {
                use chancery_relay::{SetStorage as _, Storage as _};
                let (slot, content) = (SlotId::from_bytes(&frame.slot).expect("16 bytes"), content(&frame));
                let (hash, expires) = (sha256(&[&content]), self.now.after(OLD));
                let storage = &mut self.exchange.storage;
                storage.begin().expect("memory");
                storage.take_slot(&slot, &hash, &content, expires).expect("memory");
                storage.commit().expect("memory");
                return;
            }
        }
        panic!("no commit came to its slot");
    }

    /// Lets all that a device would send to others fail for a reason that may pass.
    pub fn postpone_all(&mut self, id: PersonId) {
        let mut blocked = BTreeSet::new();
        while let Some(step) = self.next_possible_step(id, &blocked) {
            let (Step::Claim { device_id, .. } | Step::Seal { device_id, .. }) = step else {
                panic!("not begun: {step:?}");
            };
            self.handle(id, Input::Postponed { item: step.item() });
            blocked.insert(device_id);
        }
    }
}
