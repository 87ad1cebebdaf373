//! What people do to messages, and what becomes of these.

use chancery_crypto::rng::random_bytes;
use chancery_engine::{ActDraft, ChangeKind, Composed, EngineError, Event, Input, Place, events, message};
use chancery_wire::proto::message_act::Act;
use chancery_wire::proto::{Deletion, Edit, MessageRecord, MessageRef, Reaction, ReplyTo, Text};

use crate::World;
use crate::person::PersonId;

impl World {
    /// Names a message of a person's.
    #[must_use]
    pub fn reference(&self, author: PersonId, id: [u8; 16]) -> MessageRef {
        MessageRef { author: self.people[author.0].member_id.as_bytes().to_vec(), id: id.to_vec() }
    }

    /// Gives a message another text.
    ///
    /// # Errors
    ///
    /// [`EngineError`], as the device says.
    pub fn edit(&mut self, who: PersonId, target: &MessageRef, text: &str) -> Result<(), EngineError> {
        let edit = Edit { target: Some(target.clone()), text: text.into(), mentions: Vec::new() };
        self.act(who, Act::Edit(edit))
    }

    /// Deletes a message.
    ///
    /// # Errors
    ///
    /// [`EngineError`], as the device says.
    pub fn delete(&mut self, who: PersonId, target: &MessageRef) -> Result<(), EngineError> {
        self.act(who, Act::Deletion(Deletion { target: Some(target.clone()) }))
    }

    /// Replies to a message of the conversation with a member, with a quote of it.
    pub fn reply(
        &mut self,
        (who, to): (PersonId, PersonId),
        target: &MessageRef,
        (text, quote): (&str, &str),
    ) -> [u8; 16] {
        let message_id = random_bytes(self.rng.as_mut());
        let reply_to = Some(ReplyTo { target: Some(target.clone()), quote: quote.into() });
        let text = Text { text: text.into(), reply_to, ..Text::default() };
        let to = Place::Member(self.people[to.0].member_id);
        self.handle(who, Input::Compose(Composed { to, message_id, text }));
        message_id
    }

    /// Reacts to a message.
    ///
    /// # Errors
    ///
    /// [`EngineError`], as the device says.
    pub fn react(&mut self, who: PersonId, target: &MessageRef, emoji: &str) -> Result<(), EngineError> {
        let reaction = Reaction { target: Some(target.clone()), emoji: emoji.into(), remove: false };
        self.act(who, Act::Reaction(reaction))
    }

    fn act(&mut self, who: PersonId, act: Act) -> Result<(), EngineError> {
        let message_id = random_bytes(self.rng.as_mut());
        self.try_handle(who, Input::Act(ActDraft { message_id, act })).map(drop)
    }

    /// Returns a message of `author`'s as a device has it.
    #[must_use]
    pub fn record(&self, who: PersonId, author: PersonId, id: [u8; 16]) -> Option<MessageRecord> {
        let author = self.people[author.0].member_id;
        message(&self.people[who.0].disk, &author, &id).expect("readable")
    }

    /// Returns what a device was told of messages that have changed.
    #[must_use]
    pub fn changes(&self, who: PersonId) -> Vec<ChangeKind> {
        let stored = events(&self.people[who.0].disk, usize::MAX).expect("readable");
        let kind = |(_, event)| match event {
            Event::MessageChanged { kind, .. } => Some(kind),
            _ => None,
        };
        stored.into_iter().filter_map(kind).collect()
    }
}
