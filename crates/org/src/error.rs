//! What can go wrong at the desk and at the administrator's.

use chancery_wire::records::RecordsError;

/// Why the desk did not do what it was asked. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrgError {
    /// The handle is a member's, or an open invitation holds it; choose another, or wait until that expires.
    #[error("handle is taken")]
    HandleTaken,
    /// The handle reads like a member's identifier; choose another.
    #[error("handle reads like an identifier")]
    HandleNotAllowed,
    /// Nobody who has a device has the handle; invite the person first.
    #[error("handle is no member's")]
    NotAMember,
    /// The member has as many devices as a member may have; remove one first.
    #[error("member has too many devices")]
    TooManyDevices,
    /// The invitation would live for no time or longer than [`crate::MAX_INVITATION_LIFETIME`]; ask for less.
    #[error("lifetime of the invitation is out of range")]
    LifetimeOutOfRange,
    /// The envelope is no request that was sealed to this desk by the device it names; drop it.
    #[error("not authentic")]
    NotAuthentic,
    /// The keys are not those of the organisation's public document; use the matching pair.
    #[error("keys do not belong to this organisation's document")]
    WrongKeys,
    /// The desk's or its issuer's validity is over, or has not begun; the root has to sign new keys.
    #[error("keys of the desk are not valid at this time")]
    OutsideValidity,
    /// A new random identifier exists already: the source of randomness is broken; stop.
    #[error("a random identifier was drawn twice")]
    IdentifierTaken,
    /// A value of the policy is one that no client takes; choose another.
    #[error("policy is out of range")]
    PolicyOutOfRange,
    /// More members are to succeed than a statement may name; name fewer.
    #[error("too many successors of a group")]
    TooManySuccessors,
    /// A guest needs somebody in reach, a person has no reach, and it names at most 256 members who are no guests;
    /// correct it.
    #[error("reach is out of range")]
    ReachOutOfRange,
    /// A guest or bot needs an owner, who is a member and no guest or bot, and nobody else has one; correct it.
    #[error("owner is not allowed")]
    OwnerNotAllowed,
    /// Only guests and bots are given a time, of more than nothing and at most two years, or theirs is over; correct it.
    #[error("validity is out of range")]
    ValidityOutOfRange,
    /// There are as many guests and bots as there may be; end one first.
    #[error("too many guests and bots")]
    TooManyLimited,
    /// The device is none of this member's; look at the list.
    #[error("device is none of this member's")]
    UnknownDevice,
    /// Another statement is the next, or none waits; look at the queue.
    #[error("only the statement that is next can be dropped")]
    NotNext,
    /// The organisation's document has what the statement says, and cannot be without it: the root, the desk, its issuer. Find out
    /// why the log refuses it.
    #[error("the organisation's document names what the statement says")]
    NotDroppable,
    /// The store holds no organisation; commit what [`crate::found()`] returned first.
    #[error("the store holds no organisation")]
    NotFounded,
    /// The store cannot answer; see [`RecordsError`].
    #[error("the store cannot answer")]
    Records(#[source] RecordsError),
}

impl From<RecordsError> for OrgError {
    fn from(error: RecordsError) -> Self {
        Self::Records(error)
    }
}

impl From<chancery_crypto::NotAuthentic> for OrgError {
    fn from(_: chancery_crypto::NotAuthentic) -> Self {
        Self::NotAuthentic
    }
}

/// Why an administrator's statement was not signed. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The address is not `wss://host:port`, or too long; correct it.
    #[error("address of the relay is not wss://host:port")]
    RelayUrl,
    /// The keys are not an issuer's of this organisation that may set policy; use the matching pair.
    #[error("keys do not belong to this organisation's document")]
    WrongKeys,
    /// The last possible sequence number has been used; nothing can follow it.
    #[error("sequence numbers are used up")]
    SequenceExhausted,
    /// The document has as many issuers or roots as it may have.
    #[error("the organisation has too many of these")]
    TooMany,
    /// No capability was named, or no time; name some.
    #[error("an issuer needs a capability and a time")]
    Malformed,
    /// There is no such issuer; look at the list.
    #[error("issuer is not known")]
    UnknownIssuer,
    /// The desk signs with this issuer; renew the desk first.
    #[error("the desk signs with this issuer")]
    DesksIssuer,
}
