//! Messages as an application sees them.

use std::time::Duration;

use chancery_engine::{ChangeKind, EngineError, MessageState, Unaddressed, WhyFailed, member};
use chancery_identity::{DeviceId, Kind, MemberId};
use chancery_wire::Timestamp;
use chancery_wire::proto::{Attachment, MessageRecord};
use chancery_wire::records::Records;

use crate::acting::{self, Answer, Form, Mention, MessageRef, Quote, Reaction};
use crate::clock;
use crate::conversation::called;
use crate::group::{GroupAct, GroupName, Person};
use crate::letters::name_of;
use crate::receipts::MessageReceipt;

/// Something that happened and was not shown yet.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Event {
    /// The event's number, for [`crate::Client::take_events`].
    pub number: u64,
    /// What happened.
    pub happening: Happening,
}

/// What happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Happening {
    /// A message arrived, or another device of this member sent one.
    Message(Box<Message>),
    /// A message was edited or deleted by its author, or somebody has reacted to it or answered it; it is here as it is now. What this
    /// device does itself is not told.
    MessageChanged {
        /// The message.
        message: Box<Message>,
        /// Who has done it.
        by: Person,
        /// What.
        kind: ChangeKind,
    },
    /// A member with whom there is a conversation has one device more, or the own member has: messages go to it from now on. Whoever
    /// has added no device of their own has somebody who reads along: show it.
    DeviceAdded {
        /// The member.
        member: MemberId,
        /// The member's handle as the directory has it now.
        handle: String,
        /// The device.
        device: DeviceId,
    },
    /// Messages that a member's device sent will never come, although this device asked for them.
    Lost {
        /// The member.
        member: MemberId,
        /// The member's handle as the directory has it now.
        handle: String,
        /// How many.
        count: u64,
    },
    /// A member with whom there is a conversation has left the organisation; nothing is sent to them any more.
    MemberLeft {
        /// The member.
        member: MemberId,
        /// The handle that they had, which may be somebody else's by now.
        handle: String,
    },
    /// A message of one's own was delivered to a member, or read.
    Receipt {
        /// Who has it.
        member: MemberId,
        /// The member's handle as the directory has it now.
        handle: String,
        /// The message as it is now.
        message: Box<Message>,
        /// Whether it was read; otherwise it has come.
        read: bool,
    },
    /// Something happened in a group.
    GroupAct(Box<GroupAct>),
    /// A handle belongs to another member from now on. The conversation with the old one stays under their identifier.
    HandleReassigned {
        /// Who had it.
        old: MemberId,
        /// Who has it.
        new: MemberId,
        /// The handle.
        handle: String,
    },
    /// A message that this device wrote has reached the relay for a device of the recipient, or for the group.
    MessageSent {
        /// The message; the own member is its author.
        id: [u8; 16],
        /// The same, as [`crate::Client::react`] and the others name it.
        message: MessageRef,
        /// The conversation: the other member, or the group.
        conversation: MemberId,
        /// The other member's handle as the directory has it now, or the group's name.
        to: String,
    },
    /// A message that this device wrote will never reach anybody.
    MessageFailed {
        /// The message; the own member is its author.
        id: [u8; 16],
        /// The same, as [`crate::Client::react`] and the others name it.
        message: MessageRef,
        /// The conversation: the other member, or the group; the own member for [`WhyFailed::UnknownName`], since there is none.
        conversation: MemberId,
        /// The other member's handle as the directory has it now, or the group's name; or the name that nobody had, as it was given.
        to: String,
        /// Why.
        why: WhyFailed,
    },
    /// Another device of the own member has read messages of a conversation, which are unread here no longer.
    Read {
        /// The conversation: the other member, or the group.
        conversation: MemberId,
        /// Messages in it that are unread now.
        unread: u64,
    },
    /// Messages of a conversation are gone, by their own time or as policy says: read again what is shown of it. However many go at
    /// once, it comes once for each conversation.
    Gone {
        /// The conversation: the other member, or the group.
        conversation: MemberId,
    },
    /// A new device of the own member asks for approval ([`crate::Client::approve_device`]). Of what is over by now there is none:
    /// [`crate::Client::device_requests`] has the same.
    DeviceRequest {
        /// To be compared with the code that the new device shows.
        code: String,
    },
}

impl Event {
    /// `None` for a kind of event that this version does not show.
    pub(crate) fn read(
        records: &dyn Records,
        own: &MemberId,
        (number, event): (u64, chancery_engine::Event),
    ) -> Result<Option<Self>, EngineError> {
        let happening = match event {
            chancery_engine::Event::Message(record) if record.act.is_some() => {
                let Some(act) = GroupAct::read(records, *record)? else { return Ok(None) };
                Happening::GroupAct(Box::new(act))
            }
            chancery_engine::Event::Message(record) => {
                Happening::Message(Box::new(Message::read(records, own, *record)?))
            }
            chancery_engine::Event::MessageChanged { message, by, kind } => Happening::MessageChanged {
                message: Box::new(Message::read(records, own, *message)?),
                by: Person::read(records, by)?,
                kind,
            },
            chancery_engine::Event::DeviceAdded { member: id, device } => {
                let handle = member(records, &id)?.map(|member| member.handle).unwrap_or_default();
                Happening::DeviceAdded { member: id, handle, device }
            }
            chancery_engine::Event::Lost { member: id, count } => {
                let handle = member(records, &id)?.map(|member| member.handle).unwrap_or_default();
                Happening::Lost { member: id, handle, count }
            }
            chancery_engine::Event::Receipt { member: id, message, read } => {
                let handle = member(records, &id)?.map(|member| member.handle).unwrap_or_default();
                let message = Box::new(Message::read(records, own, *message)?);
                Happening::Receipt { member: id, handle, message, read }
            }
            chancery_engine::Event::MemberLeft { member: id } => {
                let handle = member(records, &id)?.map(|member| member.handle).unwrap_or_default();
                Happening::MemberLeft { member: id, handle }
            }
            chancery_engine::Event::HandleReassigned { old, new } => {
                let handle = member(records, &new)?.map(|member| member.handle).unwrap_or_default();
                Happening::HandleReassigned { old, new, handle }
            }
            chancery_engine::Event::Settled(settled) => {
                let (id, conversation) = (settled.id, settled.conversation);
                // What was written to a name that nobody had stands in nobody's conversation.
                let is_unaddressed = conversation == *own;
                let to =
                    if is_unaddressed { name_of(records, &id)? } else { called(records, &conversation)? };
                let message = MessageRef { author: *own, id };
                match settled.failed {
                    None => Happening::MessageSent { id, message, conversation, to },
                    Some(why) => Happening::MessageFailed { id, message, conversation, to, why },
                }
            }
            other => match Happening::of_screen(records, other)? {
                Some(happening) => happening,
                None => return Ok(None),
            },
        };
        Ok(Some(Self { number, happening }))
    }
}

impl Happening {
    /// Reads what changes a screen without a message having come; `None` for what is over by now.
    fn of_screen(records: &dyn Records, event: chancery_engine::Event) -> Result<Option<Self>, EngineError> {
        Ok(match event {
            chancery_engine::Event::Read { conversation } => {
                let unread = chancery_engine::conversation_summary(records, &conversation)?.unread;
                Some(Self::Read { conversation, unread })
            }
            chancery_engine::Event::Gone { conversation } => Some(Self::Gone { conversation }),
            chancery_engine::Event::DeviceRequest { keys, code } => {
                let waiting = chancery_engine::waiting_devices(records, clock::now())?;
                let is_there = waiting.iter().any(|request| *request.fingerprint() == keys);
                is_there.then_some(Self::DeviceRequest { code })
            }
            _ => None,
        })
    }
}

/// A message of a conversation.
///
/// Its `Debug` shows who and when, and neither the content nor the keys of the files.
#[derive(Clone)]
pub struct Message {
    /// The identifier that its sender chose: unique together with [`Self::from`], not alone.
    pub id: [u8; 16],
    /// Who wrote it.
    pub from: MemberId,
    /// The sender's handle as the directory has it now; empty if the sender is not in it (yet).
    pub handle: String,
    /// The sender's department or place, if the directory says one.
    pub unit: Option<String>,
    /// Whether the sender is a guest or a bot; a person as long as the sender is not in the directory.
    pub kind: Kind,
    /// The conversation: the other member; the own one while the recipient is not in the directory yet.
    pub conversation: MemberId,
    /// The group, if it is a message to one; its identifier is the conversation too.
    pub group: Option<GroupName>,
    /// The handle of the member who has sent it again, if its author did not send it to this device: then nothing but that member's word
    /// says who wrote it (R-CONTENT-17). Empty if that member is not in the directory.
    pub resent_by: Option<String>,
    /// When it was sent, by the sender's clock.
    pub sent_at: Timestamp,
    /// When this device stored it.
    pub stored_at: Timestamp,
    /// The text; `None` for content of a later version, which is kept, and of what was deleted.
    pub text: Option<String>,
    /// The files, in the order of their indices for [`crate::Client::save_attachment`].
    pub files: Vec<FileInfo>,
    /// Its state.
    pub state: MessageState,
    /// Why it has failed, if it has; `None` also where an earlier version took note of that.
    pub why_failed: Option<WhyFailed>,
    /// What it replies to.
    pub reply_to: Option<Quote>,
    /// Whom its text names, in the order of the text. Nobody has checked that they are in the conversation.
    pub mentions: Vec<Mention>,
    /// When its author edited it last, by their clock.
    pub edited_at: Option<Timestamp>,
    /// Whether its author has deleted it: then nothing is left but who wrote it and when.
    pub deleted: bool,
    /// Who has reacted with what, in the order in which they did by their clocks.
    pub reactions: Vec<Reaction>,
    /// Questions to whoever reads it.
    pub form: Option<Form>,
    /// The newest answer of each who has answered them.
    pub answers: Vec<Answer>,
    /// Of one's own: who has got it, and who has read it, as far as it is told (R-CONTENT-28, R-CONTENT-29).
    pub receipts: Vec<MessageReceipt>,
    /// Whether it is somebody else's and this member has not read it: [`crate::Client::mark_read`].
    pub unread: bool,
    /// Its position in its conversation, for [`crate::Client::mark_read`]; `None` for what an earlier version has stored, what was sent
    /// again from before, and what has no recipient yet.
    pub position: Option<u64>,
    /// When this device learned that this member has read it; `None` for one's own.
    pub read_at: Option<Timestamp>,
    /// How long it stays after it was read, at its author's after it was sent; `None`: as policy says.
    pub disappears_after: Option<Duration>,
    /// When it goes from this device at the latest, by its own time and by the policy of the organisation and its group as they are now;
    /// `None` while nothing lets it go, and while what would begins only when it is read. What policy lets go may stay an hour longer.
    pub expires_at: Option<Timestamp>,
    attachments: Vec<Attachment>,
}

/// A file of a message.
///
/// Its `Debug` shows neither name nor place.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInfo {
    /// Its name, without a path.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// What its sender says that it is (RFC 6838); empty if nothing.
    pub media_type: String,
    /// A small picture of it, if its sender has made one: at most 16 KiB, of a format that nobody has checked.
    pub preview: Vec<u8>,
    /// Where this device saved it last.
    pub path: Option<String>,
}

impl std::fmt::Debug for FileInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { size, .. } = self;
        f.debug_struct("FileInfo").field("size", size).finish_non_exhaustive()
    }
}

/// A file that could not be saved when its message was shown.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WaitingFile {
    /// The message.
    pub message: Message,
    /// The file's position in [`Message::files`].
    pub index: usize,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("from", &self.from)
            .field("conversation", &self.conversation)
            .field("sent_at", &self.sent_at)
            .field("stored_at", &self.stored_at)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Message {
    pub(crate) fn read(
        records: &dyn Records,
        own: &MemberId,
        record: MessageRecord,
    ) -> Result<Self, EngineError> {
        let id = |bytes: &[u8]| MemberId::from_bytes(bytes).ok_or(EngineError::DamagedRecord);
        let from = id(&record.from)?;
        // The own directory entry arrives like everybody's; nothing special is needed for it.
        let (handle, unit, kind) = member(records, &from)?
            .map(|member| (member.handle, member.unit, member.kind))
            .unwrap_or_default();
        let reply_to = acting::quote(records, &record)?;
        let reactions = acting::reactions(records, &record)?;
        let answers = acting::answers(records, &record)?;
        let edited_at = (!record.edit.is_empty()).then(|| Timestamp::from_millis(record.edited_at));
        let receipts = MessageReceipt::all(&record);
        let position = chancery_engine::position_of(records, &record)?;
        let expires_at = chancery_engine::expires_at(records, &record)?;
        let timer = record.text.as_ref().map_or(0, |text| text.disappear_after);
        let has_text = record.text.is_some();
        let why_failed = WhyFailed::of(&record);
        let text = record.text.unwrap_or_default();
        let (mentions, form) = (acting::mentions(&text.mentions)?, text.form.map(Form::from));
        let (text, attachments) = (has_text.then_some(text.text), text.attachments);
        let mut paths = record.paths.into_iter();
        let files = attachments
            .iter()
            .map(|file| FileInfo {
                name: file.name.clone(),
                size: file.size,
                media_type: file.media_type.clone(),
                preview: file.preview.clone(),
                path: paths.next().filter(|path| !path.is_empty()),
            })
            .collect();
        let group =
            if record.group.is_empty() { None } else { Some(GroupName::read(records, &record.group)?) };
        let resent_by = match record.resent.as_slice() {
            [] => None,
            by => Some(member(records, &id(by)?)?.map(|member| member.handle).unwrap_or_default()),
        };
        debug_assert!(from != *own || record.state != MessageState::Received as u32);
        Ok(Self {
            id: record.id.try_into().map_err(|_| EngineError::DamagedRecord)?,
            from,
            handle,
            unit,
            kind: kind.unwrap_or_default(),
            conversation: id(&record.conversation)?,
            group,
            resent_by,
            sent_at: Timestamp::from_millis(record.sent_at),
            stored_at: Timestamp::from_millis(record.stored_at),
            text,
            files,
            state: MessageState::from_stored(record.state),
            why_failed,
            reply_to,
            mentions,
            edited_at,
            deleted: record.deleted,
            reactions,
            form,
            answers,
            receipts,
            unread: record.unread,
            position,
            read_at: (record.read_at != 0).then(|| Timestamp::from_millis(record.read_at)),
            disappears_after: (timer != 0).then(|| Duration::from_secs(timer.into())),
            expires_at,
            attachments,
        })
    }

    /// A message of one's own that waits for its recipient to appear in the directory.
    pub(crate) fn waiting(own: MemberId, handle: String, waiting: Unaddressed) -> Self {
        let attachments = waiting.text.attachments;
        let files = attachments
            .iter()
            .map(|file| FileInfo {
                name: file.name.clone(),
                size: file.size,
                media_type: file.media_type.clone(),
                preview: file.preview.clone(),
                path: None,
            })
            .collect();
        Self {
            id: waiting.message_id,
            from: own,
            handle,
            unit: None,
            kind: Kind::Person,
            conversation: own,
            group: None,
            resent_by: None,
            sent_at: waiting.written_at,
            stored_at: waiting.written_at,
            text: Some(waiting.text.text),
            files,
            state: if waiting.failed.is_some() { MessageState::Failed } else { MessageState::Queued },
            why_failed: waiting.failed,
            reply_to: None,
            mentions: Vec::new(),
            edited_at: None,
            deleted: false,
            reactions: Vec::new(),
            form: None,
            answers: Vec::new(),
            receipts: Vec::new(),
            unread: false,
            position: None,
            read_at: None,
            disappears_after: None,
            expires_at: None,
            attachments,
        }
    }

    /// Returns what names it: for [`crate::Client::reply`], [`crate::Client::edit`] and the others.
    #[must_use]
    pub const fn reference(&self) -> MessageRef {
        MessageRef { author: self.from, id: self.id }
    }

    pub(crate) fn attachment(&self, index: usize) -> Option<&Attachment> {
        self.attachments.get(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_prints_neither_its_content_nor_the_keys_of_its_files() {
        let attachment = Attachment { key: vec![0xa5; 32], name: "notes.txt".into(), ..Default::default() };
        let (media_type, preview) = ("text/notes".into(), vec![0xa5]);
        let path = Some("/notes.txt".into());
        let file = FileInfo { name: "notes.txt".into(), size: 12, media_type, preview, path };
        assert!(!format!("{file:?}").contains("notes"), "{file:?}");
        let id = MemberId::new([1; 16]);
        let message = Message {
            id: [2; 16],
            from: id,
            handle: "alice".into(),
            unit: Some("alice".into()),
            kind: Kind::Person,
            conversation: id,
            group: None,
            resent_by: None,
            sent_at: Timestamp::from_millis(3),
            stored_at: Timestamp::from_millis(4),
            text: Some("Tea at four".into()),
            files: vec![file],
            state: MessageState::Received,
            why_failed: None,
            reply_to: None,
            mentions: Vec::new(),
            edited_at: None,
            deleted: false,
            reactions: Vec::new(),
            form: None,
            answers: Vec::new(),
            receipts: Vec::new(),
            unread: false,
            position: None,
            read_at: None,
            disappears_after: None,
            expires_at: None,
            attachments: vec![attachment],
        };
        let printed = format!("{:?}", Event { number: 5, happening: Happening::Message(Box::new(message)) });
        for hidden in ["165", "a5", "Tea", "notes", "alice"] {
            assert!(!printed.contains(hidden), "{printed}");
        }
    }
}
