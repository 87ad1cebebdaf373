//! What a call of the engine can fail with.

use chancery_group::GroupError;
use chancery_wire::records::RecordsError;

use crate::log::LogState;

/// Why a call changed nothing.
///
/// What a peer or the relay does wrong is not an error of the call: it is an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The store cannot be read; see the cause.
    #[error("store is not readable")]
    Records(#[source] RecordsError),
    /// A record is not what this version wrote: the store is damaged.
    #[error("record is malformed")]
    DamagedRecord,
    /// The device is not enrolled; enrol it first.
    #[error("device is not enrolled")]
    NotEnrolled,
    /// The recipient is not in the directory; synchronise it, or correct the name.
    #[error("recipient is unknown")]
    UnknownRecipient,
    /// The log commits to a newer directory entry of the recipient than the one that is here: keep the message by
    /// [`crate::Input::SendLater`], under the recipient's identifier, until the directory was synchronised.
    #[error("recipient's directory entry is outdated")]
    OutdatedRecipient,
    /// The directory lets this member and the recipient exchange nothing: one of them is a guest or bot with another reach
    /// (R-ENGINE-58). Ask an administrator.
    #[error("recipient is out of reach")]
    OutOfReach,
    /// The credentials of all the recipient's devices have expired; nothing is sealed for them any more.
    #[error("recipient's credential has expired")]
    Expired,
    /// The message or its attachments exceed a limit; shorten it.
    #[error("message exceeds a limit")]
    TooLarge,
    /// A queue of the device is full; connect to the relay so that it empties.
    #[error("queue is full")]
    QueueFull,
    /// Nothing may be sealed while the log is in this state; synchronise it, or see what the state says.
    #[error("nothing is sealed: {0}")]
    Log(LogState),
    /// The log does not vouch for the recipient's device, or the entry that the log commits to does not name it, or is not here
    /// yet; nothing is sealed for it. Synchronise log and directory, and try again.
    #[error("the log does not vouch for the recipient")]
    NotVouched,
    /// The organisation's policy locks what is stored until the log was heard of again; connect to the relay.
    #[error("the store is locked until the log was heard of")]
    Locked,
    /// Nothing was done in a group, for the reason named.
    #[error("the group refuses it: {0}")]
    Group(#[from] GroupError),
    /// This device knows no group of this identifier, or is in it no more.
    #[error("no such group")]
    NoGroup,
    /// Two commits of the group claim the same place: somebody deceives its members. Nothing is sent in it any more.
    #[error("the group is forked")]
    GroupForked,
    /// There is no such message here, or it was deleted; nothing can be done to it.
    #[error("no such message")]
    NoMessage,
    /// Only its author may edit or delete a message.
    #[error("the message is somebody else's")]
    NotAuthor,
    /// A reaction, form or answer breaks a rule (R-CONTENT-20, R-CONTENT-25, R-CONTENT-26); correct it.
    #[error("reaction, form or answer breaks a rule")]
    InvalidAct,
    /// The call does not fit the state, a bug in the calling code; the text says what.
    #[error("misuse: {0}")]
    Misuse(&'static str),
}

impl From<RecordsError> for EngineError {
    fn from(error: RecordsError) -> Self {
        Self::Records(error)
    }
}
