//! What happens: messages, acts and news, as they come and as histories have them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::accounts::Failure;
use super::content::{Form, Mention};

account_parameters! {
    /// What to wait for.
    NextEvent {
        /// Only an event with a greater number: lets several be fetched before the first is acknowledged.
        after: Option<u64>,
        /// How long to wait for one; not at all if it is left out, and at most 600,000.
        timeout_ms: Option<u64>,
    }
    /// What was acted upon.
    Acknowledge {
        /// The number of the event; those before it are acknowledged with it.
        number: u64,
    }
    /// A file of a message.
    SaveFile {
        /// The number of the message's event, which is not acknowledged yet.
        number: u64,
        /// The file's position among the message's files.
        index: usize,
        /// The folder to save it in.
        folder: PathBuf,
    }
}

/// An event, or null if none came in time.
pub(crate) type MaybeEvent = Option<Event>;

/// What happened. Of a later version there may be others, which another `event` names.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Happening {
    /// A message.
    Message(Box<Message>),
    /// A message that has changed.
    Changed(Box<MessageChanged>),
    /// Something happened in a group.
    GroupAct(Box<GroupAct>),
    /// An own message is with the relay, or will never be.
    Settled(Settled),
    /// An own message was delivered or read.
    Receipt(Receipt),
    /// A member has one device more.
    DeviceAdded(DeviceAdded),
    /// Messages will never come.
    Lost(Lost),
    /// A member has left.
    MemberLeft(MemberLeft),
    /// A handle is somebody else's.
    HandleReassigned(HandleReassigned),
    /// Another own device has read.
    Read(ReadElsewhere),
    /// Messages are gone.
    Gone(Gone),
    /// Something in a history that a later version wrote.
    Unknown(Unknown),
}

/// What is told as it happens and kept nowhere.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum PassingEvent {
    /// Somebody is writing, or no longer.
    Typing(TypingNews),
    /// A new device of the own member asks for approval.
    DeviceRequest(DeviceRequest),
}

words! {
    /// What became of a message.
    MessageState {
        /// Somebody else has sent it.
        Received,
        /// The relay has it.
        Sent,
        /// It waits.
        Queued,
        /// It will never reach anybody.
        Failed,
    }
    /// What was done to a message.
    Change {
        /// Its author has given it another text.
        Edited,
        /// Its author has deleted it.
        Deleted,
        /// Somebody has reacted to it, or taken that back.
        Reacted,
        /// Somebody has answered its form.
        Answered,
    }
    /// What a receipt says.
    ReceiptKind {
        /// A device of the member has it.
        Delivered,
        /// The member has read it.
        Read,
    }
}

results! {
    /// An event that was not acknowledged, with its number.
    Event {
        /// Whose it is.
        account: String,
        /// For `events.ack`: it stays the same if the event comes again.
        number: u64,
        /// What happened.
        event: Happening,
    }
    /// What is told as it happens and need not be acknowledged: it never comes again.
    News {
        /// Whose it is.
        account: String,
        /// What happens.
        event: PassingEvent,
    }
    /// How far a file has come.
    Progress {
        /// Whose it is.
        account: String,
        /// The message that it belongs to.
        message: ProgressMessage,
        /// The file's position among the message's files.
        index: usize,
        /// Which way it goes: `sending` or `receiving`.
        direction: String,
        /// Its name.
        name: String,
        /// Bytes of the file done.
        done: u64,
        /// Its size in bytes.
        total: u64,
    }
    /// A message, as the progress of its file names it.
    ProgressMessage {
        /// Its identifier.
        id: String,
        /// The identifier of who wrote it.
        from: String,
    }
    /// Where a file is.
    SavedFile {
        /// Its path.
        path: String,
    }
    /// What is in a message.
    MessageFields {
        /// The message's identifier, unique together with who wrote it.
        id: String,
        /// The identifier of who wrote it.
        from: String,
        /// The handle of who wrote it; empty if that is not known yet.
        handle: String,
        /// The author's department or place.
        unit: Option<String>,
        /// What the author is: `member`, `guest`, `bot` or `guest-bot`.
        kind: String,
        /// The other member's identifier, or the group's.
        conversation: String,
        /// The group, if it is to one.
        group: Option<GroupName>,
        /// When it was sent, by the author's clock.
        sent_at: String,
        /// The text; null if it was deleted, or is of a later version.
        text: Option<String>,
        /// The files.
        files: Vec<File>,
        /// What became of it.
        state: MessageState,
        /// Where it stands in its conversation, for `conversations.markRead`.
        position: Option<u64>,
        /// What it replies to.
        reply_to: Option<Quote>,
        /// Whom its text names.
        mentions: Option<Vec<Mention>>,
        /// When its author has edited it last.
        edited_at: Option<String>,
        /// True if its author has deleted it.
        deleted: Option<bool>,
        /// Who has reacted with what.
        reactions: Option<Vec<Reaction>>,
        /// Questions to whoever reads it.
        form: Option<Form>,
        /// The newest answer of each who has answered them.
        answers: Option<Vec<FormAnswer>>,
        /// True if it was not marked as read.
        unread: Option<bool>,
        /// Of one's own: who has got it and read it, as far as they tell.
        receipts: Option<Vec<MessageReceipt>>,
        /// How long it stays after it was read.
        disappears_after_s: Option<u64>,
        /// When it goes from this device at the latest, as far as that is known.
        expires_at: Option<String>,
        /// Of a group: the handle of who has sent it again in place of its author, and alone vouches for it.
        resent_by: Option<String>,
    }
    /// A message: of somebody else, or of another device of the own member.
    Message {
        /// What happened.
        #[schemars(extend("const" = "message"))]
        event: String,
        /// What is in it.
        #[serde(flatten)]
        fields: MessageFields,
    }
    /// A message has changed. It is here as it is now.
    MessageChanged {
        /// What happened.
        #[schemars(extend("const" = "message-changed"))]
        event: String,
        /// What was done to it.
        change: Change,
        /// Who has done it.
        by: Person,
        /// What is in it.
        #[serde(flatten)]
        fields: MessageFields,
    }
    /// Something happened in a group.
    GroupAct {
        /// What happened; `group-gap` if messages will never come.
        #[schemars(extend("enum" = ["group-act", "group-gap"]))]
        event: String,
        /// What was done: `created`, `added`, `removed`, `left`, `evicted`, `role`, `renamed`, `policy`, `dissolved`, `healed`, `joined`, `forked`,
        /// `withheld`, `refused`, `gap`, or `unknown` for what a later version does.
        act: String,
        /// The group's identifier.
        group: String,
        /// What the group is called.
        name: String,
        /// Who has done it, if that is known.
        by: Option<Person>,
        /// To whom.
        targets: Vec<Person>,
        /// The role, if it is about one.
        role: Option<String>,
        /// How often the group had changed.
        epoch: u64,
        /// When this device took note of it.
        at: String,
        /// Why it was refused.
        error: Option<Failure>,
        /// How many messages will never come.
        count: Option<u64>,
        /// Where it stands in its conversation; in `conversations.history` alone.
        position: Option<u64>,
    }
    /// An own message that had waited is with the relay, or will never be.
    Settled {
        /// What happened.
        #[schemars(extend("enum" = ["sent", "failed"]))]
        event: String,
        /// The message's identifier.
        id: String,
        /// The other member's identifier, or the group's.
        conversation: String,
        /// The other member's handle, or the group's name.
        to: String,
        /// Why it has failed: `relay`, `file`, `no-recipient`, `group` or `unknown-name`.
        why: Option<String>,
    }
    /// An own message was delivered to a member, or read.
    Receipt {
        /// What happened.
        #[schemars(extend("const" = "receipt"))]
        event: String,
        /// Which of both.
        kind: ReceiptKind,
        /// The message's identifier.
        id: String,
        /// The identifier of who has it.
        member: String,
        /// The handle of who has it.
        handle: String,
        /// The other member's identifier, or the group's.
        conversation: String,
    }
    /// A member with whom there is a conversation has one device more; messages go to it from now on.
    DeviceAdded {
        /// What happened.
        #[schemars(extend("const" = "device-added"))]
        event: String,
        /// The member's identifier.
        member: String,
        /// The member's handle.
        handle: String,
        /// The device's identifier.
        device: String,
    }
    /// Messages of a member will never come, although they were asked for.
    Lost {
        /// What happened.
        #[schemars(extend("const" = "lost"))]
        event: String,
        /// The member's identifier.
        member: String,
        /// The member's handle.
        handle: String,
        /// How many.
        count: u64,
    }
    /// A member has left the organisation; nothing is sent to them any more.
    MemberLeft {
        /// What happened.
        #[schemars(extend("const" = "member-left"))]
        event: String,
        /// The member's identifier.
        member: String,
        /// The handle that they had.
        handle: String,
    }
    /// A handle is another member's from now on.
    HandleReassigned {
        /// What happened.
        #[schemars(extend("const" = "handle-reassigned"))]
        event: String,
        /// The handle.
        handle: String,
        /// The identifier of who had it.
        old: String,
        /// The identifier of who has it.
        new: String,
    }
    /// Another device of the own member has read messages of a conversation.
    ReadElsewhere {
        /// What happened.
        #[schemars(extend("const" = "read"))]
        event: String,
        /// The identifier of the conversation: the other member, or the group.
        conversation: String,
        /// Messages in it that are unread now.
        unread: u64,
    }
    /// Messages of a conversation are gone: they have disappeared, or are older than policy lets them be.
    Gone {
        /// What happened.
        #[schemars(extend("const" = "gone"))]
        event: String,
        /// The identifier of the conversation: the other member, or the group.
        conversation: String,
    }
    /// Something in a history that a later version wrote. It is kept.
    Unknown {
        /// What happened.
        #[schemars(extend("const" = "unknown"))]
        event: String,
        /// Where it stands in its conversation.
        position: u64,
    }
    /// Somebody is writing, or no longer. It holds for 15 s.
    TypingNews {
        /// What happens.
        #[schemars(extend("const" = "typing"))]
        event: String,
        /// The member's identifier.
        member: String,
        /// The member's handle.
        handle: String,
        /// Whether no longer.
        stopped: bool,
    }
    /// A new device of the own member asks for approval.
    DeviceRequest {
        /// What happens.
        #[schemars(extend("const" = "device-request"))]
        event: String,
        /// The code that it shows, for `devices.approve`.
        code: String,
    }
    /// A group, as a message names it.
    GroupName {
        /// Its identifier.
        id: String,
        /// What it is called.
        name: String,
    }
    /// A file of a message.
    File {
        /// Its name.
        name: String,
        /// Its size in bytes.
        size: u64,
        /// Where it was saved last.
        path: Option<String>,
        /// What its sender says that it is.
        media_type: Option<String>,
        /// A small picture of it, in base64, of a format that nobody has checked.
        preview: Option<String>,
    }
    /// What a message replies to.
    Quote {
        /// The message's identifier.
        id: String,
        /// The identifier of who wrote it.
        from: String,
        /// The handle of who wrote it.
        handle: String,
        /// How it begins.
        text: String,
        /// Whether that is how this device has it; else only who replies says so.
        known: bool,
    }
    /// What somebody has reacted with.
    Reaction {
        /// With what.
        emoji: String,
        /// The identifier of who has.
        from: String,
        /// The handle of who has.
        handle: String,
    }
    /// What somebody has answered.
    FormAnswer {
        /// The identifier of who has.
        from: String,
        /// The handle of who has.
        handle: String,
        /// When, by their clock.
        at: String,
        /// What, by the fields' names.
        values: BTreeMap<String, String>,
    }
    /// What became of an own message at one member's.
    MessageReceipt {
        /// The member's identifier.
        member: String,
        /// When it was delivered.
        delivered_at: Option<String>,
        /// When it was read.
        read_at: Option<String>,
    }
    /// A member.
    Person {
        /// The identifier.
        member: String,
        /// The handle.
        handle: String,
    }
}
