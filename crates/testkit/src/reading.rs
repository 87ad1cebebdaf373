//! What people read, are told of, and type.

use std::time::Duration;

use chancery_engine::{
    Effect, Input, Notice, ReceiptInput, ReceiptSettings, conversation, conversation_summary, events,
};
use chancery_identity::MemberId;
use chancery_identity::delivery::Use;
use chancery_wire::proto::{Deliver, client_frame};

use crate::groups::GroupId;
use crate::person::PersonId;
use crate::world::World;

impl World {
    /// A person reads everything of a conversation, as its device shows it.
    pub fn read_all(&mut self, who: PersonId, with: PersonId) {
        let conversation = self.people[with.0].member_id;
        self.handle(who, Input::MarkRead { conversation, up_to: u64::MAX });
    }

    /// A person reads everything of a group.
    pub fn read_group(&mut self, who: PersonId, group: GroupId) {
        let conversation = MemberId::new(group);
        self.handle(who, Input::MarkRead { conversation, up_to: u64::MAX });
    }

    /// Returns how many messages of a conversation are unread on a device, by its list; each of them bears the mark.
    #[must_use]
    pub fn unread(&self, who: PersonId, with: PersonId) -> usize {
        let (disk, with) = (&self.people[who.0].disk, self.people[with.0].member_id);
        let marked = conversation(disk, &with, 0, usize::MAX).expect("readable");
        let marked = marked.iter().filter(|record| record.unread).count();
        let listed = conversation_summary(disk, &with).expect("readable").unread;
        assert_eq!(usize::try_from(listed), Ok(marked), "the list counts what bears the mark");
        marked
    }

    /// Returns whether, by the device of its author, a message was delivered to a member, and read.
    #[must_use]
    pub fn receipt(&self, (author, id): (PersonId, [u8; 16]), of: PersonId) -> (bool, bool) {
        let of = self.people[of.0].member_id;
        let record = self.record(author, author, id).expect("stored");
        let found = record.receipts.iter().find(|it| it.member_id == of.as_bytes());
        found.map_or((false, false), |it| (it.delivered_at != 0, it.read_at != 0))
    }

    /// A person sets what others are told.
    pub fn set_receipts(&mut self, who: PersonId, settings: ReceiptSettings) {
        self.handle(who, Input::Receipts(ReceiptInput::Set(settings)));
    }

    /// A person sets how long what it writes to another stays.
    pub fn set_disappearing(&mut self, who: PersonId, with: PersonId, after: Option<Duration>) {
        let with = self.people[with.0].member_id;
        self.handle(who, Input::Receipts(ReceiptInput::SetDisappearing { with, after }));
    }

    /// A person writes, or no longer; returns how many devices were told.
    pub fn type_to(&mut self, who: PersonId, to: PersonId, stopped: bool) -> usize {
        let to = self.people[to.0].member_id;
        let effects = self.handle(who, Input::Receipts(ReceiptInput::Typing { to, stopped }));
        let mut line = self.exchange.connect(self.now, self.rng.as_mut());
        let mut told = 0;
        for effect in effects {
            let Effect::DeliverOnce(deliver) = effect else { continue };
            let mailbox = deliver.mailbox.as_slice().try_into().expect("a mailbox");
            let person = &self.people[who.0];
            let engine = person.engine.as_ref().expect("running");
            let token = engine.delivery_token(&person.disk, (Use::Mailbox, mailbox)).expect("a token");
            self.done(&mut line, client_frame::Body::Deliver(Deliver { token, ..deliver }));
            told += 1;
        }
        self.exchange.close(&line, self.now, self.rng.as_mut());
        told
    }

    /// Returns what a person was told of who is writing, and whether no longer.
    #[must_use]
    pub fn typing(&self, who: PersonId) -> Vec<bool> {
        let notices = self.people[who.0].notices.iter();
        notices
            .filter_map(|notice| match notice {
                Notice::Typing { stopped, .. } => Some(*stopped),
                _ => None,
            })
            .collect()
    }

    /// Returns how many events say that a message was delivered, and how many that one was read.
    #[must_use]
    pub fn receipt_events(&self, who: PersonId) -> (usize, usize) {
        let found = events(&self.people[who.0].disk, usize::MAX).expect("readable");
        let count = |is_read| {
            let is_one = |event: &chancery_engine::Event| matches!(event, chancery_engine::Event::Receipt { read, .. } if *read == is_read);
            found.iter().filter(|(_, event)| is_one(event)).count()
        };
        (count(false), count(true))
    }
}
