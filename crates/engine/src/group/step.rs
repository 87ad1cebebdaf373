//! What the shell tells of groups, and what it is asked to do for them.

use alloc::vec::Vec;

use chancery_crypto::secret::SecretBytes;
use chancery_group::{Info, Role};
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::proto::{self, Attachment, GroupFile, SlotContent};

/// What happened that concerns groups.
#[derive(Debug)]
#[non_exhaustive]
pub enum GroupInput<'a> {
    /// The person wants something done. It is refused at once if the role does not allow it, and stored otherwise: a commit
    /// follows when the relay can be reached.
    Operation {
        /// The group; of one that is founded a fresh random identifier.
        group_id: [u8; 16],
        /// What is to be done.
        operation: GroupOperation<'a>,
    },
    /// The person sends a message. It is stored, and sealed only when it can be sent.
    Send(GroupDraft<'a>),
    /// The answer to [`GroupStep::Fetch`].
    SlotFetched {
        /// The group.
        group_id: [u8; 16],
        /// Which of the relay's slots.
        attempt: u32,
        /// What is in it; `None` if it is empty.
        content: Option<&'a SlotContent>,
    },
    /// The answer to [`GroupStep::Credential`].
    CredentialFetched {
        /// The device.
        device: DeviceId,
        /// Its credential; `None` if the relay has none.
        credential: Option<proto::Signed>,
    },
    /// The answer to [`GroupStep::FetchFile`].
    FileFetched {
        /// The file.
        blob_id: [u8; 16],
        /// What was in it, opened; `None` if it is gone, or not what it should be.
        content: Option<&'a [u8]>,
    },
    /// [`GroupStep::StoreFile`] is done: the relay has the file durably.
    FileStored {
        /// The group.
        group_id: [u8; 16],
        /// The file.
        blob_id: [u8; 16],
    },
    /// [`GroupStep::CreateSet`] is done.
    SetCreated {
        /// The group.
        group_id: [u8; 16],
    },
    /// The answer to [`GroupStep::CreateSet`] if there is a set of that name and it is not the same (`conflict`).
    SetTaken {
        /// The group.
        group_id: [u8; 16],
    },
    /// The relay does not know the set of a [`GroupStep::FanOut`] or [`GroupStep::PutSlot`] (`not-found`).
    SetUnknown {
        /// The group.
        group_id: [u8; 16],
    },
    /// The answer to [`GroupStep::PutSlot`].
    SlotAnswer {
        /// The group.
        group_id: [u8; 16],
        /// Which of the relay's slots.
        attempt: u32,
        /// `None` if it has this device's commit now; else what was in it before.
        taken: Option<&'a SlotContent>,
    },
    /// Make the commit that [`GroupStep::Commit`] names.
    Commit {
        /// The group.
        group_id: [u8; 16],
    },
    /// Seal the message that [`GroupStep::Seal`] names.
    Seal {
        /// The group.
        group_id: [u8; 16],
        /// The message's place in what waits.
        item: u64,
    },
    /// [`GroupStep::FanOut`] is done: the relay has the envelope.
    Sent {
        /// The group.
        group_id: [u8; 16],
        /// The message's place in what waits.
        item: u64,
    },
    /// Do what has become due in a group ([`GroupStep::Care`]).
    Care {
        /// The group.
        group_id: [u8; 16],
    },
}

/// What a member wants done in a group.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum GroupOperation<'a> {
    /// Found it, with the own member as owner, and add these as members.
    Create {
        /// Name and policy.
        info: Info,
        /// Who is added.
        members: Vec<MemberId>,
    },
    /// Add members with all their devices.
    Add {
        /// Who.
        members: Vec<MemberId>,
        /// As what.
        role: Role,
    },
    /// Remove members with all their devices.
    Remove {
        /// Who.
        members: Vec<MemberId>,
    },
    /// Set a member's role.
    SetRole {
        /// Who.
        member: MemberId,
        /// The role.
        role: Role,
    },
    /// Set name and policy.
    SetInfo(Info),
    /// Make somebody else owner, and oneself an administrator.
    HandOver {
        /// Who becomes owner.
        to: MemberId,
    },
    /// Leave.
    Leave,
    /// End the group for all.
    Dissolve,
    /// Renew all keys.
    Heal,
    /// Carry out an issuer's order.
    Execute(&'a proto::Signed),
}

/// A message to a group.
#[derive(Debug)]
pub struct GroupDraft<'a> {
    /// The group.
    pub group_id: [u8; 16],
    /// A fresh random identifier.
    pub message_id: [u8; 16],
    /// The text.
    pub text: &'a str,
    /// Files that are already encrypted and wait in the spool.
    pub attachments: Vec<Attachment>,
}

/// The next thing to do for groups, on an anonymous connection, after the relay was asked what the log is (R-ENGINE-32). Frames
/// carry the token of now: when the relay refuses it (`token`), synchronise the directory and ask for the step again.
#[derive(Debug)]
#[non_exhaustive]
pub enum GroupStep {
    /// Ask what is in a slot of the relay, then say [`GroupInput::SlotFetched`].
    Fetch {
        /// The group.
        group_id: [u8; 16],
        /// Which slot.
        attempt: u32,
        /// The frame.
        frame: proto::GetSlot,
    },
    /// Ask for a device's credential, then say [`GroupInput::CredentialFetched`].
    Credential {
        /// The device.
        device: DeviceId,
        /// The frame.
        frame: proto::GetCredential,
    },
    /// Download a file, open it as an attachment is opened, then say [`GroupInput::FileFetched`].
    FetchFile {
        /// The group.
        group_id: [u8; 16],
        /// The file.
        file: GroupFile,
    },
    /// Seal a file as an attachment is sealed, with this name and key, upload it, then say [`GroupInput::FileStored`].
    StoreFile {
        /// The group.
        group_id: [u8; 16],
        /// Name, key and length.
        file: GroupFile,
        /// What is in it.
        content: SecretBytes,
    },
    /// Create the epoch's set, then say [`GroupInput::SetCreated`], or [`GroupInput::SetTaken`].
    CreateSet {
        /// The group.
        group_id: [u8; 16],
        /// The frame.
        frame: proto::CreateSet,
    },
    /// Store a commit in a slot, then say [`GroupInput::SlotAnswer`], or [`GroupInput::SetUnknown`].
    PutSlot {
        /// The group.
        group_id: [u8; 16],
        /// Which slot.
        attempt: u32,
        /// The frame.
        frame: proto::PutSlot,
    },
    /// Send an envelope to the epoch's set, then say [`GroupInput::Sent`], or [`GroupInput::SetUnknown`].
    FanOut {
        /// The group.
        group_id: [u8; 16],
        /// What it is in what waits.
        item: u64,
        /// The frame.
        frame: proto::FanOut,
    },
    /// Say [`GroupInput::Commit`].
    Commit {
        /// The group.
        group_id: [u8; 16],
    },
    /// Say [`GroupInput::Seal`].
    Seal {
        /// The group.
        group_id: [u8; 16],
        /// The message's place in what waits.
        item: u64,
    },
    /// Say [`GroupInput::Care`].
    Care {
        /// The group.
        group_id: [u8; 16],
    },
}

impl GroupStep {
    /// Returns what to leave out of the next steps if this one cannot be done now: the group, and for a credential or a file that
    /// device or file.
    #[must_use]
    pub fn target(&self) -> [u8; 16] {
        match self {
            Self::Credential { device, .. } => *device.as_bytes(),
            Self::FetchFile { file, .. } => file.blob_id.as_slice().try_into().unwrap_or_default(),
            Self::Fetch { group_id, .. }
            | Self::StoreFile { group_id, .. }
            | Self::CreateSet { group_id, .. }
            | Self::PutSlot { group_id, .. }
            | Self::FanOut { group_id, .. }
            | Self::Commit { group_id }
            | Self::Seal { group_id, .. }
            | Self::Care { group_id } => *group_id,
        }
    }
}
