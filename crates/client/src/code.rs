//! The one table of error codes. Numbers and names are never changed or reused.

/// What kind of failure: the numbers are the exit codes of the `chancery` command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Something failed that neither waiting nor permission mends.
    Failed = 1,
    /// The caller has not shown the right to do this.
    NotAuthorised = 2,
    /// What was named does not exist.
    NotFound = 3,
    /// The organisation's policy forbids it.
    Policy = 4,
    /// It may work later.
    TryLater = 5,
    /// The call itself is wrong.
    Usage = 64,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, $kind:ident, $message:literal;)*) => {
        /// A stable error code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        #[repr(u32)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant = $number,)*
        }

        impl ErrorCode {
            /// Every code, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Returns the number.
            #[must_use]
            pub const fn number(self) -> u32 {
                self as u32
            }

            /// Returns the name, in lower case with hyphens.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Returns the kind of failure.
            #[must_use]
            pub const fn kind(self) -> ErrorKind {
                match self { $(Self::$variant => ErrorKind::$kind,)* }
            }

            /// Returns what to tell the person.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $(Self::$variant => $message,)* }
            }
        }
    };
}

codes! {
    /// A bug; please report it.
    Internal = 1, "internal", Failed, "internal error: a bug in the library; open the store again, and report it";
    /// The operating system gave no randomness.
    NoRandomness = 2, "no-randomness", Failed, "the operating system gives no randomness";
    /// The arguments do not fit together.
    Usage = 3, "usage", Usage, "wrong arguments; the text behind this, or the documentation of the call, says which";

    /// There is no store or organisation at this place.
    StoreNotFound = 100, "store-not-found", NotFound, "there is no device or organisation here";
    /// Passphrase or key file is wrong.
    WrongPassphrase = 101, "wrong-passphrase", NotAuthorised, "wrong passphrase or key file";
    /// The store was written by a later version.
    StoreNewer = 102, "store-newer", Failed, "the store was written by a newer version; update";
    /// The store is damaged or was tampered with.
    StoreDamaged = 103, "store-damaged", Failed, "the store is damaged; enrol the device anew, and remove the old one";
    /// The disk is full; nothing was changed.
    DiskFull = 104, "disk-full", TryLater, "the disk is full; nothing was changed";
    /// Another process holds the store.
    StoreBusy = 105, "store-busy", TryLater, "another process or call has held the store for too long; try again, and end that process if it hangs";
    /// The store cannot be read or written.
    StoreUnreadable = 106, "store-unreadable", Failed, "the store cannot be read or written; check the permissions of its folder and the disk";
    /// There is something already.
    AlreadyExists = 107, "already-exists", Failed, "there is something at this place already";
    /// The key file has the wrong length or mode.
    KeyFileUnusable = 108, "key-file-unusable", NotAuthorised, "the key file cannot be used";
    /// No passphrase was given and there is nobody to ask.
    NoPassphrase = 109, "no-passphrase", NotAuthorised, "there is no passphrase and nobody to ask for one";

    /// The device is not enrolled.
    NotEnrolled = 200, "not-enrolled", NotAuthorised, "this device is not enrolled";
    /// The home belongs to a member already.
    AlreadyEnrolled = 201, "already-enrolled", Failed, "this home is enrolled already";
    /// The text is no invitation.
    InvitationDamaged = 202, "invitation-damaged", NotAuthorised, "the link is damaged or incomplete";
    /// The invitation is over.
    InvitationExpired = 203, "invitation-expired", NotAuthorised, "the link has expired; ask for a new one";
    /// The invitation was used by another device.
    InvitationUsed = 204, "invitation-used", NotAuthorised, "the link was used already; ask for a new one";
    /// The desk does not know the invitation.
    InvitationUnknown = 205, "invitation-unknown", NotAuthorised, "the organisation does not know this invitation";
    /// The invitation is of a later version.
    InvitationVersion = 206, "invitation-version", Failed, "the invitation is of a newer version; update";
    /// Nobody answers enrolments at the moment.
    DeskUnavailable = 207, "desk-unavailable", TryLater, "the enrolment desk does not answer; try again later";
    /// An answer or document does not verify.
    NotAuthentic = 208, "not-authentic", NotAuthorised, "what the relay handed out is not authentic";
    /// Nobody has approved the device in time.
    NotApproved = 209, "not-approved", TryLater,
        "no other device of yours has approved this one yet";
    /// No new device waits with this code.
    DeviceRequestUnknown = 210, "device-request-unknown", NotFound,
        "no device waits with this code; compare it with the one on the new device";
    /// The member has as many devices as a member may have.
    TooManyDevices = 211, "too-many-devices", Failed, "the member has 16 devices already; remove one first";
    /// The member has no such device.
    DeviceUnknown = 212, "device-unknown", NotFound, "you have no other device of this identifier";
    /// This device was removed by another of the member's.
    DeviceRemoved = 213, "device-removed", NotAuthorised, "this device was removed by another of your devices";
    /// The desk refuses what a device ordered.
    OrderRefused = 214, "order-refused", Failed, "the enrolment desk refuses; make a new link and try again";

    /// The relay does not answer.
    RelayUnreachable = 300, "relay-unreachable", TryLater, "the relay cannot be reached";
    /// What answers has another key than the invitation names.
    WrongRelay = 301, "wrong-relay", NotAuthorised, "the relay's key is not the one that was pinned";
    /// The relay serves another organisation.
    WrongOrganisation = 302, "wrong-organisation", NotAuthorised, "the relay serves another organisation";
    /// The relay refuses the login or the request.
    RelayNotAuthorised = 303, "relay-not-authorised", NotAuthorised, "the relay refuses this device: check this machine's clock, and ask whether the device was removed";
    /// The relay has no such thing.
    RelayNotFound = 304, "relay-not-found", NotFound, "the relay does not have it";
    /// A quota is used up.
    QuotaExceeded = 305, "quota-exceeded", TryLater, "a quota of the relay is used up";
    /// Too many requests.
    RateLimited = 306, "rate-limited", TryLater, "too many requests; wait a little";
    /// The relay's disk is full.
    RelayFull = 307, "relay-full", TryLater, "the relay's disk is full";
    /// The relay speaks another version.
    RelayVersion = 308, "relay-version", Failed, "the relay does not speak this version; update";
    /// The relay breaks the protocol.
    RelayProtocol = 309, "relay-protocol", Failed, "the relay breaks the protocol; tell its operator, and update";
    /// The relay's address is not `wss://host:port`.
    RelayUrl = 310, "relay-url", Usage, "the relay's address is not of the form wss://host:port";
    /// A relay cannot listen on its address: another program does, or it is not this machine's.
    ListenFailed = 311, "listen-failed", Failed, "the address cannot be listened on";
    /// The relay refuses this request and will refuse it again.
    RelayRefused = 312, "relay-refused", Failed, "the relay refuses the request";
    /// The relay's state is not the one that the request assumes.
    RelayConflict = 313, "relay-conflict", TryLater, "the relay has something else under this name; try again";
    /// The relay cannot carry out this request at the moment; others it may.
    RelayUnavailable = 314, "relay-unavailable", TryLater, "the relay cannot do this at the moment; try again later";
    /// The patience that was given ended first.
    TimedOut = 315, "timed-out", TryLater, "there was not enough time; what was done stays";
    /// The relay does not take the delivery token that this device has.
    TokenRefused = 316, "token-refused", TryLater,
        "the relay asks for a newer delivery token than this device has; it is sent as soon as that is here";
    /// The relay signs the log with another key than was named.
    WrongLogKey = 330, "wrong-log-key", Failed, "the relay signs the log with another key than was named";

    /// The recipient is not in the directory.
    UnknownRecipient = 400, "unknown-recipient", NotFound, "nobody of that name is in the directory";
    /// The message exceeds a limit.
    MessageTooLarge = 401, "message-too-large", Usage, "the message exceeds a limit";
    /// Too much waits for the relay.
    QueueFull = 402, "queue-full", TryLater, "too many messages wait for the relay";
    /// The message is stored and waits for the relay.
    Queued = 403, "queued", TryLater, "the message is stored and will be sent as soon as that is possible";
    /// The message was refused for good, or its recipient has left; the text says which.
    SendFailed = 404, "send-failed", Failed, "the message cannot be sent";
    /// A recipient's device has published no prekeys, or they do not verify.
    RecipientNotReady = 405, "recipient-not-ready", TryLater, "the recipient's device cannot be written to yet";

    /// One of the two is a guest or bot whom the organisation gave another reach.
    OutOfReach = 430, "out-of-reach", Policy, "the organisation lets you and this recipient exchange nothing";
    /// All credentials of the recipient have expired.
    CredentialExpired = 431, "credential-expired", Policy, "the recipient's credential has expired";

    /// The file does not exist.
    FileNotFound = 500, "file-not-found", NotFound, "file not found";
    /// The file cannot be read or written.
    FileUnreadable = 501, "file-unreadable", Failed, "file cannot be read or written";
    /// The attachment was swapped, cut, extended or damaged.
    AttachmentDamaged = 502, "attachment-damaged", Failed, "the attachment is damaged and was not saved";
    /// The relay keeps the attachment no longer.
    AttachmentGone = 503, "attachment-gone", NotFound, "the relay does not have the attachment any more";

    /// The handle belongs to somebody or is reserved by an open invitation.
    HandleTaken = 600, "handle-taken", Failed, "the handle is taken";
    /// The handle or name is not allowed.
    NameNotAllowed = 601, "name-not-allowed", Usage,
        "a handle has 1 to 64 of a-z 0-9 . _ - and is not 32 hexadecimal digits; a name has 1 to 128 characters";
    /// It was not recorded where the relay is.
    RelayNotRecorded = 602, "relay-not-recorded", Failed,
        "it is not recorded where the relay is; record that first";
    /// The log refuses a statement, and with it everything that waits behind it.
    StatementRefused = 603, "statement-refused", Failed,
        "the relay's log refuses a statement of the organisation; what follows it waits";
    /// The desk's keys or its issuer's are over, or not yet valid.
    DeskExpired = 604, "desk-expired", Failed, "the desk's keys are not valid now; renew the desk, or set the clock";
    /// The keys are not those that this takes.
    KeysNotPermitted = 605, "keys-not-permitted", NotAuthorised, "these keys may not sign this";
    /// The root has a successor, or is another organisation's.
    RootNotNewest = 606, "root-not-newest", NotAuthorised, "this is not the organisation's newest root";
    /// There is no such issuer.
    IssuerUnknown = 607, "issuer-unknown", NotFound, "the organisation has no such issuer";
    /// The desk signs with this issuer.
    IssuerInUse = 608, "issuer-in-use", Failed, "the desk signs with this issuer; renew the desk first";
    /// There are as many issuers or roots as there may be.
    TooManyIssuers = 609, "too-many-issuers", Failed, "the organisation has as many of these as it may have";
    /// A value of the policy is out of range.
    PolicyOutOfRange = 610, "policy-out-of-range", Usage,
        "a policy has a freshness and an offline time of at least 1h and 1 to 16 devices";
    /// Something of somebody who was offboarded is still there.
    NotOffboarded = 611, "not-offboarded", Failed, "the offboarding is not verified";
    /// A record of an administrative act is not what was committed to.
    ActChanged = 612, "act-changed", Failed, "a record of an administrative act was changed";
    /// The log is not the one that was verified before.
    LogNotBelieved = 613, "log-not-believed", NotAuthorised, "the relay's log does not verify";
    /// It is stored and waits for the log.
    StatementQueued = 614, "statement-queued", TryLater,
        "it is stored, and enters the log as soon as the relay can be reached";

    /// The text is no share of a root's key.
    ShareDamaged = 620, "share-damaged", NotAuthorised, "the share is damaged or incomplete; compare it with the paper";
    /// The share is of a later version.
    ShareVersion = 621, "share-version", Failed, "the share is of a newer version; update";
    /// More shares are needed.
    SharesTooFew = 622, "shares-too-few", NotAuthorised, "there are not enough shares";
    /// The shares were not made together.
    SharesMixed = 623, "shares-mixed", NotAuthorised, "the shares are of different splits or organisations";
    /// A share was given twice.
    ShareDoubled = 624, "share-doubled", NotAuthorised, "a share was given twice; bring another one";
    /// The shares do not open the file that they are for.
    SharesWrong = 625, "shares-wrong", NotAuthorised, "the shares do not open the root's file";
    /// A list of people has faults; nobody was invited.
    ListInvalid = 626, "list-invalid", Usage, "the list has faults; nobody was invited";
    /// Nobody could sign something any more.
    LastIssuer = 640, "last-issuer", Failed,
        "no other issuer could sign this; name another one first, or confirm that nobody shall";
    /// What depends on the statement cannot be undone.
    NotDroppable = 641, "not-droppable", Failed, "the statement cannot be dropped";
    /// Something of an offboarding was refused, and not everything is cut.
    OffboardingIncomplete = 642, "offboarding-incomplete", Failed, "the offboarding is not complete";

    /// A guest has nobody in reach, or a reach names somebody who cannot be in it.
    ReachNotAllowed = 643, "reach-not-allowed", Usage,
        "a guest reaches 1 to 256 members, none of them a guest; a bot as many or all; other people have no reach";
    /// The time of a guest or bot is out of range, or over.
    ValidityNotAllowed = 644, "validity-not-allowed", Usage,
        "guests and bots are invited for 1 to 730 days, others without a limit; whose time is over must be invited anew";
    /// There are as many guests and bots as there may be.
    TooManyGuests = 645, "too-many-guests", Failed, "the organisation has 1000 guests and bots; offboard some first";
    /// A guest or bot has no owner, or the owner is no member.
    OwnerNotAllowed = 646, "owner-not-allowed", Usage,
        "a guest or bot needs an owner, who is a member of the organisation and neither guest nor bot; nobody else has one";

    /// Two signed checkpoints of the organisation's log contradict each other.
    LogForked = 700, "log-forked", NotAuthorised,
        "the organisation's log is forked, and nothing is sent any more; show the proof to your administrator";
    /// The relay shows fewer entries of the log than before.
    LogRolledBack = 701, "log-rolled-back", TryLater, "the organisation's log was rolled back; nothing is sent until it is whole";
    /// The relay does not show entries of the log that others have.
    LogWithheld = 702, "log-withheld", TryLater, "the relay withholds entries of the organisation's log; nothing is sent until it shows them";
    /// What the relay shows of the log does not hold.
    LogInvalid = 703, "log-invalid", Failed, "what the relay shows of the organisation's log is not valid";
    /// The log was not heard of for too long.
    LogStale = 704, "log-stale", TryLater, "the organisation's log was not heard of for too long; nothing is sent until it was";
    /// The log does not vouch for a device.
    UnloggedCredential = 705, "unlogged-credential", NotAuthorised, "the organisation's log does not vouch for the device";
    /// The organisation has ended this device.
    Revoked = 706, "revoked", NotAuthorised, "the organisation has ended this device; what was on it is destroyed";
    /// The organisation's policy does not allow it.
    PolicyForbids = 707, "policy-forbids", Policy, "the organisation's policy does not allow it";
    /// The organisation's policy locks what is stored until the relay was reached.
    StoreLocked = 708, "store-locked", Policy, "the organisation's policy locks this device until it has reached the relay";

    /// This device knows no such group.
    GroupUnknown = 800, "group-unknown", NotFound, "this device is in no such group";
    /// The own role in the group does not allow it.
    GroupNotAllowed = 801, "group-not-allowed", NotAuthorised, "your role in the group does not allow it";
    /// Two commits of the group claim the same place.
    GroupForked = 802, "group-forked", NotAuthorised,
        "somebody shows this group's members different commits; nothing is sent in it any more, show this to your administrator";
    /// The group was ended for all.
    GroupDissolved = 803, "group-dissolved", Failed, "the group was dissolved";
    /// The group is another by now than the call assumes.
    GroupConflict = 804, "group-conflict", Failed, "the group has changed, and this would change nothing or what is not there";
    /// A limit of groups is exceeded.
    GroupLimit = 805, "group-limit", Usage, "a limit of groups is exceeded";
    /// The own member has left the group, or was removed.
    GroupLeft = 806, "group-left", NotFound, "you are not in this group any more";
    /// The group requires a policy that this version does not know.
    GroupUnknownPolicy = 807, "group-unknown-policy", Failed, "the group requires what this version does not know; update";
    /// What was wanted of the group cannot be done; the text says why.
    GroupRefused = 808, "group-refused", Failed, "the group refuses it; the text behind this says why";
    /// Several groups have this name or begin with these digits, or a member and a group have it.
    GroupAmbiguous = 809, "group-ambiguous", Usage, "several are called so; use the identifier";
    /// It is stored and is done as soon as the relay can be reached.
    GroupQueued = 810, "group-queued", TryLater, "it is stored and will be done as soon as that is possible";
    /// The text is no order to a group.
    OrderDamaged = 811, "order-damaged", Usage, "the text is no order to a group, or is incomplete";

    /// There is no such message here, or it was deleted.
    MessageUnknown = 830, "message-unknown", NotFound, "there is no such message here, or it was deleted";
    /// Only its author may edit or delete a message.
    NotYourMessage = 831, "not-your-message", NotAuthorised, "only its author can edit or delete a message";
    /// A mention, reaction, form or answer breaks a rule.
    ActInvalid = 832, "act-invalid", Usage, "the mention, reaction, form or answer is not valid";
    /// Several messages begin like that.
    MessageAmbiguous = 833, "message-ambiguous", Usage, "several messages begin like that; use more of the identifier";
    /// The client was closed.
    ClientClosed = 860, "client-closed", Usage, "the client was closed; open it again";

    /// A pointer is NULL that must not be.
    NullArgument = 900, "null-argument", Usage, "an argument is NULL that must not be";
    /// A panic was caught; it is a bug, please report it.
    Panicked = 901, "panicked", Failed, "the library has failed within itself; this handle can only be freed";
    /// The handle was closed or freed.
    HandleClosed = 902, "handle-closed", Usage, "the handle was closed or freed";
    /// The handle is none, or of another kind or account.
    WrongHandle = 903, "wrong-handle", Usage, "this is no handle, or one of another kind";
    /// Text is not UTF-8.
    NotUtf8 = 904, "not-utf-8", Usage, "the text is not UTF-8";
    /// Nothing happened within the time that was given.
    NoEvent = 905, "no-event", TryLater, "nothing has happened in this time";
    /// A callback has called what it must not call.
    WithinCallback = 906, "within-callback", Usage, "this cannot be called from within a callback";
    /// A buffer is too short for what is to be copied into it.
    ShortBuffer = 907, "short-buffer", Usage, "the buffer is too short";
    /// There is no account of this name.
    AccountUnknown = 910, "account-unknown", NotFound, "there is no account of this name";
    /// There is an account of this name or home.
    AccountExists = 911, "account-exists", Failed, "there is an account of this name or with this home";
    /// There are several accounts, or none, and the request names none.
    AccountUnnamed = 912, "account-unnamed", Usage, "there is not exactly one account; name one";
    /// There are as many accounts as there may be.
    AccountLimit = 913, "account-limit", Failed, "there are as many accounts as one process serves";
    /// A socket or token file would be open to others.
    SocketUnsafe = 914, "socket-unsafe", NotAuthorised, "others than its owner could get at it";
    /// The address is not of this machine alone.
    NotLoopback = 915, "not-loopback", Usage, "only addresses of this machine itself are listened on, 127.0.0.1 or ::1";
    /// The connection has not shown the token.
    TokenMissing = 916, "token-missing", NotAuthorised, "show the token first";
    /// Too many requests of the connection are being worked on.
    TooBusy = 917, "too-busy", TryLater, "too many requests at once; wait for answers";
    /// The event was not handed out.
    EventUnknown = 918, "event-unknown", NotFound, "no event of this number was handed out";
    /// A request over HTTP comes from a web page, or names another machine.
    OriginRefused = 919, "origin-refused", NotAuthorised, "the request has an Origin, or its Host is not this machine: web pages are not served";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_names_and_messages_are_distinct() {
        for (i, a) in ErrorCode::ALL.iter().enumerate() {
            for b in ErrorCode::ALL.iter().skip(i + 1) {
                assert_ne!(a.number(), b.number());
                assert_ne!(a.name(), b.name());
                assert_ne!(a.message(), b.message());
            }
        }
    }

    /// Numbers and names are an interface; this list only ever grows.
    #[test]
    fn codes_are_never_renumbered() {
        let table: String = ErrorCode::ALL
            .iter()
            .map(|code| format!("{} {} {}\n", code.number(), code.name(), code.kind() as u8))
            .collect();
        assert_eq!(table, include_str!("code.snapshot"));
    }
}
