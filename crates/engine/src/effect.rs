//! What the engine is told, and what it asks its shell to do.

use alloc::boxed::Box;
use alloc::vec::Vec;

use chancery_identity::{DeviceId, LogError, MemberId};
use chancery_wire::proto::{Attachment, DirectoryPage, LogPage, PrekeyBundle, PrekeyUpload, Text};
use chancery_wire::records::Batch;
use chancery_wire::{Unverified, proto};

use crate::amend::ActDraft;
use crate::group::GroupInput;
use crate::receipts::ReceiptInput;

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// The person sends a message.
    Send(Draft<'a>),
    /// The person sends a message with more than text and files.
    Compose(Composed),
    /// The person reacts to a message, edits or deletes one of their own, or answers a form.
    Act(ActDraft),
    /// The person sends a message to a name that the directory may not know yet.
    SendLater(Letter<'a>),
    /// The directory was synchronised to its end: messages whose recipient is known by now are sent, and those have failed that
    /// nobody can be meant by any more.
    Address,
    /// The person takes a message back that waits for its recipient, or has failed to find one ([`crate::unaddressed`]).
    Discard {
        /// The message.
        message_id: [u8; 16],
    },
    /// The relay delivered an envelope from this device's mailbox.
    Received {
        /// The relay's number of the envelope, to acknowledge it by.
        sequence: u64,
        /// The envelope.
        envelope: &'a [u8],
    },
    /// A directory page arrived.
    Directory(&'a DirectoryPage),
    /// A page of the log arrived.
    Log {
        /// How many entries this device had, by [`crate::log_size`], when it asked for the page.
        from: u64,
        /// The page.
        page: &'a LogPage,
    },
    /// The relay said what the log is.
    Checkpoint {
        /// How many entries this device had when it asked.
        from: u64,
        /// The signed note.
        note: &'a str,
    },
    /// A checkpoint that this device, or another of the organisation, is known to have had: from beside a store that may
    /// have been restored from an old copy, or from elsewhere. The log must not be shown with fewer entries.
    Floor {
        /// The signed note.
        note: &'a str,
    },
    /// Everything that waited in the mailbox was read: what the log has ended goes for good.
    CaughtUp,
    /// The relay was reached at a place that [`crate::relay_places`] has named.
    RelayReached(&'a crate::relays::RelayPlace),
    /// Nothing has happened; how much time has passed is noted, as with every input: [`crate::is_time_due`].
    TimePasses,
    /// A bundle arrived for an outbox item that waits for a session.
    Bundle {
        /// The outbox item.
        item: u64,
        /// What the relay handed out.
        bundle: Box<Unverified<PrekeyBundle>>,
    },
    /// An unsealed outbox item can be sealed, because its session exists by now.
    Seal {
        /// The outbox item.
        item: u64,
    },
    /// An outbox item is done: the relay has it durably.
    Done {
        /// The outbox item.
        item: u64,
    },
    /// An outbox item can never be done: the relay refuses it for good.
    Failed {
        /// The outbox item.
        item: u64,
    },
    /// An outbox item could not be done now, for a reason that lies with its device or file and may pass: given up
    /// once it has waited long enough. Not for a relay that takes nothing from anybody.
    Postponed {
        /// The outbox item.
        item: u64,
    },
    /// This device has made a device link and is about to show it.
    DeviceLinkMade(&'a chancery_org::DeviceLink),
    /// A device was approved by a link; the link is over.
    DeviceLinkUsed {
        /// The link.
        link_id: [u8; 16],
    },
    /// Time for upkeep of prekeys: they are renewed when due.
    Upkeep,
    /// Time for upkeep of sessions: what is missing is asked for or given up, what was not acknowledged is, what is old is
    /// dropped. Only once the relay has said that it has pushed all that it had: the answers may be among it (R-ENGINE-29).
    SessionUpkeep,
    /// What the relay said at the login that it has of this device's prekeys.
    PrekeysAtRelay {
        /// The batch's sequence number, 0 for none.
        sequence: u64,
        /// One-time pairs of it that were not handed out.
        pairs: u32,
    },
    /// The relay has the prekey batch.
    PrekeysPublished {
        /// The batch's sequence number.
        sequence: u64,
    },
    /// The relay will never take the prekey batch.
    PrekeysRefused {
        /// The batch's sequence number.
        sequence: u64,
    },
    /// The shell has shown events up to and including this number.
    EventsTaken {
        /// The last event's number.
        up_to: u64,
    },
    /// Something that concerns typing, and what others are told.
    Receipts(ReceiptInput),
    /// The person has read a conversation up to and including a position: others are told as far as the settings allow. At most 1,000 entries become read by one input:
    /// repeat it until [`crate::read_up_to`] says that it is done.
    MarkRead {
        /// The other member, or the group.
        conversation: MemberId,
        /// The position.
        up_to: u64,
    },
    /// The person has begun a message and not sent it.
    KeepDraft {
        /// The other member, or the group.
        conversation: MemberId,
        /// What there is of it; nothing if it is empty.
        draft: &'a str,
    },
    /// Something that concerns groups.
    Group(GroupInput<'a>),
    /// An attachment was saved.
    AttachmentSaved {
        /// The member who sent the message.
        from: MemberId,
        /// The message.
        message_id: [u8; 16],
        /// Position of the attachment in the message.
        index: usize,
        /// Where it was saved.
        path: &'a str,
    },
    /// An attachment could not be saved when its message was shown, and is among [`crate::waiting_files`] from now
    /// on; or there is no hope for it.
    AttachmentWaits {
        /// The member who sent the message.
        from: MemberId,
        /// The message.
        message_id: [u8; 16],
        /// Position of the attachment in the message.
        index: usize,
        /// Whether it is still to be saved.
        waits: bool,
    },
}

/// A message to send.
#[derive(Debug)]
pub struct Draft<'a> {
    /// The recipient.
    pub to: MemberId,
    /// A fresh random identifier.
    pub message_id: [u8; 16],
    /// The text.
    pub text: &'a str,
    /// Files that are already encrypted and wait in the spool.
    pub attachments: Vec<Attachment>,
}

/// Where something is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the conversation with a member.
    Member(MemberId),
    /// In a group.
    Group([u8; 16]),
}

/// A message with all that one may have.
#[derive(Debug)]
pub struct Composed {
    /// Where to.
    pub to: Place,
    /// A fresh random identifier.
    pub message_id: [u8; 16],
    /// The text; its files are already encrypted and wait in the spool.
    pub text: Text,
}

/// A message to somebody whom the local directory may not know.
#[derive(Debug)]
pub struct Letter<'a> {
    /// The recipient's handle or identifier.
    pub to: &'a str,
    /// A fresh random identifier.
    pub message_id: [u8; 16],
    /// The text.
    pub text: &'a str,
    /// Files that are already encrypted and wait in the spool.
    pub attachments: Vec<Attachment>,
}

/// What a call wants done, in this order: commit [`Outcome::batch`], then the effects.
#[derive(Debug, Default)]
#[must_use]
pub struct Outcome {
    /// Writes to commit before any effect is carried out.
    pub batch: Batch,
    /// What to do afterwards.
    pub effects: Vec<Effect>,
}

/// Something that the shell has to do after the commit.
#[derive(Debug, PartialEq)]
#[non_exhaustive]
pub enum Effect {
    /// Tell the relay that the envelope is stored here.
    Acknowledge(u64),
    /// Publish prekeys, then say [`Input::PrekeysPublished`] or [`Input::PrekeysRefused`].
    PublishPrekeys(PrekeyUpload),
    /// The log has more entries than this device: ask for them.
    SyncLog,
    /// Deliver an envelope once, over an anonymous connection that is open, with its token ([`crate::Engine::delivery_token`]); whether
    /// that goes well is of no concern.
    DeliverOnce(proto::Deliver),
    /// Tell whoever listens.
    Notify(Notice),
}

/// News for the person or the log; everything that matters is already in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// An event was appended; read it with [`crate::events`].
    EventStored(u64),
    /// A message came from a member who is not in the local directory: synchronise it.
    UnknownSender,
    /// A new device asks for approval; it is among [`crate::waiting_devices`].
    DeviceRequest,
    /// An envelope could not be decrypted. It was acknowledged and changed nothing.
    Undecryptable,
    /// A bundle did not verify; the message stays queued.
    BundleRejected,
    /// A directory entry did not verify and was skipped.
    DirectoryEntryRejected,
    /// A page or checkpoint of the log is none of an honest log, and was not taken over.
    LogInvalid(LogError),
    /// The log is forked: [`crate::fork_proof`]. Nothing is sealed any more.
    LogForked,
    /// The relay shows fewer entries of the log than before. Nothing is sealed until it has them again.
    LogRolledBack,
    /// The relay withholds entries of the log that another device has. Nothing is sealed until it shows them.
    LogWithheld,
    /// The log was not heard of for more than half of the time that policy allows; after all of it nothing is sealed.
    LogAging,
    /// The log was not heard of for longer than policy allows: nothing is sealed.
    LogStale,
    /// The organisation's policy has changed: [`crate::policy`].
    PolicyChanged,
    /// Another member is writing to this one, or no longer. It holds for 15 s.
    Typing {
        /// The member.
        member: MemberId,
        /// Whether no longer.
        stopped: bool,
    },
    /// A device showed a credential that the log does not vouch for; nothing is sent to it or believed of it.
    UnloggedCredential {
        /// The device.
        device: DeviceId,
        /// The member whom the credential names.
        member: MemberId,
    },
    /// Somebody wrote who is out of reach, or showed a credential of another kind than the directory says: nothing was
    /// taken from them.
    OutOfReach {
        /// The member.
        member: MemberId,
    },
    /// A device wrote whose credential has expired: nothing was taken from it.
    CredentialExpired {
        /// The device.
        device: DeviceId,
        /// Its member.
        member: MemberId,
    },
    /// The log has ended a member. What waited for them has failed.
    MemberLeft {
        /// The member.
        member: MemberId,
    },
    /// A handle belongs to somebody else from now on; the handle is the new member's.
    HandleReassigned {
        /// Who had it.
        old: MemberId,
        /// Who has it.
        new: MemberId,
    },
    /// Something of a group was refused, or waits for long; it is among its acts.
    GroupTrouble {
        /// The group.
        group_id: [u8; 16],
    },
    /// There is something to do for a group: ask [`crate::Engine::next_group_step`].
    GroupWork,
    /// The log has ended this device.
    Revoked,
}

/// The next thing to do for the outbox.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// Upload a blob from the spool, with its token, then say [`Input::Done`].
    Upload {
        /// The outbox item.
        item: u64,
        /// The blob's name.
        blob_id: [u8; 16],
    },
    /// Claim a bundle for this device, with its token, then say [`Input::Bundle`].
    Claim {
        /// The outbox item.
        item: u64,
        /// The recipient device.
        device_id: [u8; 16],
    },
    /// Say [`Input::Seal`].
    Seal {
        /// The outbox item.
        item: u64,
        /// The recipient device.
        device_id: [u8; 16],
    },
    /// Deliver an envelope, then say [`Input::Done`].
    Deliver {
        /// The outbox item.
        item: u64,
        /// The frame to send over an anonymous connection, without its token ([`crate::Engine::step_token`]).
        deliver: proto::Deliver,
    },
    /// Have the relay hold an envelope until a group's commit is stored, then say [`Input::Done`].
    Hold {
        /// The outbox item.
        item: u64,
        /// The frame to send over an anonymous connection; its delivery is without its token.
        hold: proto::Hold,
    },
}

impl Step {
    /// Returns the outbox item.
    #[must_use]
    pub const fn item(&self) -> u64 {
        match self {
            Self::Upload { item, .. }
            | Self::Claim { item, .. }
            | Self::Seal { item, .. }
            | Self::Deliver { item, .. }
            | Self::Hold { item, .. } => *item,
        }
    }
}
