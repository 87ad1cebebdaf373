//! Why something of a group is refused.

use chancery_identity::DeviceId;

use crate::rows::RowError;

/// Why a commit, a message or a request is refused. The group stays as it was, byte for byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// It is cut, has a field of the wrong length, or breaks a limit: drop it.
    #[error("it is malformed")]
    Malformed,
    /// It is for another group: drop it.
    #[error("it is for another group")]
    OtherGroup,
    /// It does not follow the epoch that this device is in: get what is missing, or drop it.
    #[error("it does not follow this epoch")]
    OtherEpoch,
    /// Its author is not in the roster, or the credential is not the one that roster and log have: drop it.
    #[error("its author is not in the group")]
    NotAMember,
    /// A signature, a tag, a confirmation or a key does not fit: drop it.
    #[error("it is not authentic")]
    NotAuthentic,
    /// A commit is valid, and what its author sent for this device does not fit it: the commit has won all the same. Stop
    /// there, tell the user, and ask (R-GROUP-19); a keyholder whose seed does not fit follows by its own boxes.
    #[error("the commit's secret does not fit here")]
    SecretUnfit,
    /// The author's role does not allow it: drop it, and tell the user.
    #[error("the author may not do that")]
    NotAllowed,
    /// It names more of the log than this device has: get the log, then try again with one that [is
    /// fresh](crate::LogView::is_fresh).
    #[error("the log has to be fetched first")]
    LogTooShort,
    /// It names a log that is not this device's, or entries that there are not: it is not valid; tell the user.
    #[error("it stands on another log")]
    OtherLog,
    /// The credential of this device is needed and not at hand: get it, then try again.
    #[error("a credential has to be fetched first")]
    NeedCredential(DeviceId),
    /// It adds a device that the log does not have as the commit says, or that has ended: drop it.
    #[error("the log does not vouch for a device")]
    NotInLog,
    /// It changes something twice, or changes nothing, or names who is not there: drop it.
    #[error("a change has no effect, or stands twice")]
    Redundant,
    /// An order has expired, was carried out before, or is not for this: have a new one signed.
    #[error("an order does not hold")]
    OrderInvalid,
    /// Nobody would be left who administers the group: name somebody first.
    #[error("nobody would administer the group")]
    NoKeyholder,
    /// The group's keys may not be changed in this way by this author: drop it.
    #[error("the keys may not be changed in this way")]
    WrongKeying,
    /// This device lacks keys or a file that it should have: fetch the file, or ask a keyholder.
    #[error("keys are missing here")]
    NeedKeys,
    /// It leaves somebody in the group who has ended: drop it.
    #[error("somebody who has left would stay")]
    LeaverStays,
    /// The roster that it leads to is not the one that it names: drop it.
    #[error("the roster does not fit")]
    OtherRoster,
    /// It would exceed a limit of groups: change less.
    #[error("a limit of groups is exceeded")]
    Limit,
    /// It requires a policy that this device does not know: update the program.
    #[error("the group requires a policy that is not known here")]
    UnknownPolicy,
    /// The group was dissolved: nothing more may be done in it.
    #[error("the group was dissolved")]
    Dissolved,
    /// There is a group with this identifier already: refuse the invitation.
    #[error("a group with this identifier exists")]
    Exists,
    /// The device's own rows could not be read, or do not fit each other.
    #[error("what is stored of the group cannot be read")]
    Rows(#[from] RowError),
}
