//! One label for every use of a key, a hash or a signature (R-CRYPTO-1).
//!
//! A label is ASCII, unique, and starts with the suite (`chancery/1 `), so that no output of one use can
//! stand for another, nor one suite's for another's.

/// The name of one use of a primitive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(&'static str);

impl Label {
    /// The bytes that enter the derivation, without length.
    #[must_use]
    pub const fn as_bytes(self) -> &'static [u8] {
        self.0.as_bytes()
    }
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: Label = Label(concat!("chancery/1 ", $text));)*

        /// Every label of the suite, for the test that they differ.
        pub const ALL: &[Label] = &[$($name),*];
    };
}

labels! {
    /// Identifier of an organisation: hash of its first root's public key.
    HASH_ORG_ID = "hash organisation id";
    /// Hash of a signed credential.
    HASH_CREDENTIAL = "hash credential";
    /// Hash of a signed issuer certificate, which is the issuer's identifier.
    HASH_ISSUER = "hash issuer";
    /// Hash of the desk's signed statement.
    HASH_DESK = "hash desk";
    /// Hash of a verifying key, which names an enrolling device's reply mailbox.
    HASH_REPLY_MAILBOX = "hash reply mailbox";
    /// Transcript of a handshake.
    HASH_HANDSHAKE = "hash handshake";
    /// Both devices of a handshake: transcript and credentials, from which the session's secrets are derived.
    HASH_HANDSHAKE_PARTIES = "hash handshake parties";
    /// Associated data of a session: both credentials and both identity keys.
    HASH_SESSION_AD = "hash session associated data";
    /// Identifier of a session.
    HASH_SESSION_ID = "hash session id";
    /// Transcript of an enrolment.
    HASH_ENROLMENT = "hash enrolment";
    /// Public keys of an enrolling device, by which the desk recognises it when it asks again.
    HASH_ENROLLING_KEYS = "hash enrolling keys";
    /// Transcript of a member device's order to the desk.
    HASH_DEVICE_ORDER = "hash device order";
    /// Confirmation code that a person compares on an old and a new device.
    HASH_DEVICE_CODE = "hash device code";
    /// Leaf of a prekey batch.
    HASH_PREKEY = "hash prekey";
    /// Statement that an entry of the log commits to.
    HASH_LOG_STATEMENT = "hash log statement";
    /// Administrative act that an entry of the log commits to.
    HASH_ADMINISTRATIVE_ACT = "hash administrative act";
    /// Fingerprint of an envelope, by which a second delivery is noticed.
    HASH_ENVELOPE = "hash envelope";
    /// One directory key out of the next.
    HASH_DIRECTORY_CHAIN = "hash directory key chain";
    /// Name under which an update of the directory key is published.
    HASH_DIRECTORY_UPDATE = "hash directory key update id";
    /// A group's roster: root of its tree of entries, info, dead nodes.
    HASH_GROUP_ROSTER = "hash group roster";
    /// Tail of a group's commit, which its head names.
    HASH_GROUP_COMMIT_TAIL = "hash group commit tail";
    /// Transcript of a group's epoch.
    HASH_GROUP_TRANSCRIPT = "hash group transcript";
    /// Epoch of a group: its transcript and the confirmation of its secret.
    HASH_GROUP_EPOCH = "hash group epoch";
    /// A group's commit.
    HASH_GROUP_COMMIT = "hash group commit";
    /// Body of an order to a group, by which it is remembered.
    HASH_GROUP_ORDER = "hash group order";
    /// Directory: name of what a guest's device is told of one member.
    HASH_GUEST_DIRECTORY = "hash guest directory";

    /// Root signs an issuer's certificate.
    SIGN_ISSUER = "sign issuer";
    /// Issuer signs a device's credential.
    SIGN_CREDENTIAL = "sign credential";
    /// Issuer signs the enrolment desk's keys.
    SIGN_DESK = "sign desk";
    /// Issuer signs where the relay is.
    SIGN_RELAY_RECORD = "sign relay record";
    /// Issuer signs a directory entry.
    SIGN_DIRECTORY = "sign directory entry";
    /// Root signs its successor.
    SIGN_ROOT_SUCCESSOR = "sign root successor";
    /// New root accepts the organisation.
    SIGN_ROOT_ACCEPTANCE = "sign root acceptance";
    /// Root ends an issuer.
    SIGN_ISSUER_REVOCATION = "sign issuer revocation";
    /// Issuer ends a device or a member.
    SIGN_REVOCATION = "sign revocation";
    /// Issuer sets the policy.
    SIGN_POLICY = "sign policy";
    /// Issuer names who takes a group over.
    SIGN_GROUP_SUCCESSOR = "sign group successor";
    /// Issuer commits to something that the log does not show.
    SIGN_LOG_COMMITMENT = "sign log commitment";
    /// Log signs a checkpoint.
    SIGN_CHECKPOINT = "sign checkpoint";
    /// Ended device confirms that it has verified its end.
    SIGN_END_CONFIRMATION = "sign end confirmation";
    /// Issuer signs an update of the directory key.
    SIGN_DIRECTORY_UPDATE = "sign directory key update";
    /// Device signs the root of a prekey batch.
    SIGN_PREKEYS = "sign prekey batch";
    /// Initiator signs a handshake.
    SIGN_HANDSHAKE = "sign handshake";
    /// New device proves that it holds the keys it asks a credential for.
    SIGN_ENROLMENT = "sign enrolment";
    /// Member's device orders the desk to add or remove a device of the same member.
    SIGN_DEVICE_ORDER = "sign device order";
    /// Device answers the relay's challenge.
    SIGN_RELAY_LOGIN = "sign relay login";
    /// Device signs a group's commit.
    SIGN_GROUP_COMMIT = "sign group commit";
    /// Issuer or leaving device signs an order to a group.
    SIGN_GROUP_ORDER = "sign group order";
    /// Device signs a group message, with its group key.
    SIGN_GROUP_MESSAGE = "sign group message";

    /// Keys of a handshake that hide the initiator.
    KDF_HANDSHAKE_IDENTITY = "kdf handshake identity";
    /// Session secrets of a handshake.
    KDF_HANDSHAKE_SESSION = "kdf handshake session";
    /// Root step of the Double Ratchet with header encryption.
    KDF_ROOT = "kdf ratchet root";
    /// Next chain key.
    KDF_CHAIN = "kdf ratchet chain";
    /// Message key.
    KDF_MESSAGE = "kdf ratchet message";
    /// Tag of message n under a header key.
    KDF_TAG = "kdf ratchet tag";
    /// Single-use key of header n under a header key.
    KDF_HEADER = "kdf ratchet header";
    /// First secrets of the post-quantum ratchet: root, a chain for each direction, authenticator.
    KDF_PQ_START = "kdf post-quantum start";
    /// Root step of the post-quantum ratchet.
    KDF_PQ_ROOT = "kdf post-quantum root";
    /// Next chain key of the post-quantum ratchet.
    KDF_PQ_CHAIN = "kdf post-quantum chain";
    /// Message key of the post-quantum ratchet.
    KDF_PQ_MESSAGE = "kdf post-quantum message";
    /// Message key of both ratchets together.
    KDF_TRIPLE = "kdf triple ratchet message";
    /// Secret of an epoch of the braid, from the KEM's shared secret.
    KDF_BRAID_EPOCH = "kdf braid epoch";
    /// Next authenticator of the braid.
    KDF_BRAID_AUTHENTICATOR = "kdf braid authenticator";
    /// The braid's authenticator vouches for a header.
    MAC_BRAID_HEADER = "mac braid header";
    /// The braid's authenticator vouches for a ciphertext.
    MAC_BRAID_CIPHERTEXT = "mac braid ciphertext";
    /// Enrolment: request key, and the secret that answers' keys come from.
    KDF_ENROLMENT = "kdf enrolment";
    /// Enrolment: one answer's key.
    KDF_ENROLMENT_ANSWER = "kdf enrolment answer";
    /// Device order: request key, and the secret that answers' keys come from.
    KDF_DEVICE_ORDER = "kdf device order";
    /// Device link: key of one request from a new device to an old one.
    KDF_DEVICE_LINK = "kdf device link";
    /// Invitation secret: proof that its holder sends this request.
    MAC_INVITATION = "mac invitation";
    /// Directory: one entry's key.
    KDF_DIRECTORY_ENTRY = "kdf directory entry";
    /// Delivery: key from which the tokens of one epoch follow.
    KDF_DELIVERY = "kdf delivery";
    /// Delivery: token of one mailbox.
    MAC_DELIVERY = "mac delivery";
    /// Key tree: what seals a node's new key, or the new directory key, for one child.
    KDF_KEY_TREE = "kdf key tree";
    /// Group: a node's key out of its secret.
    KDF_GROUP_NODE = "kdf group node";
    /// Group: the secret of the node above.
    KDF_GROUP_UP = "kdf group up";
    /// What follows the key of a node under which a commit sealed something.
    KDF_GROUP_USED = "kdf group used";
    /// Group: a new secret of a node out of a commit's random bytes.
    KDF_GROUP_FRESH = "kdf group fresh";
    /// Group: key of a node's secret sealed for one child.
    KDF_GROUP_BOX = "kdf group box";
    /// Group: key of a commit's random bytes sealed for keyholders.
    KDF_GROUP_SEED = "kdf group seed";
    /// Group: a commit's secret out of the root's.
    KDF_GROUP_COMMIT = "kdf group commit";
    /// Group: the next administrators' key.
    KDF_GROUP_ADMINISTRATORS = "kdf group administrators";
    /// Group: an epoch's secret.
    KDF_GROUP_EPOCH = "kdf group epoch";
    /// Group: what links an epoch to the next.
    KDF_GROUP_CHAIN_KEY = "kdf group chain key";
    /// Group: root of the tree of senders' secrets.
    KDF_GROUP_SENDERS = "kdf group senders";
    /// Group: key that hides slots and generations of messages.
    KDF_GROUP_HEADER_KEY = "kdf group header key";
    /// Group: key for the relay's slots of the next epoch's commit.
    KDF_GROUP_SLOT_KEY = "kdf group slot key";
    /// Group: key of an epoch's confirmation.
    KDF_GROUP_CONFIRMATION_KEY = "kdf group confirmation key";
    /// Group: confirmation of an epoch.
    KDF_GROUP_CONFIRMATION = "kdf group confirmation";
    /// Group: name and key of an epoch's set at the relay.
    KDF_GROUP_SET = "kdf group set";
    /// Group: key of a commit's secret handed out below one node.
    KDF_GROUP_HAND_OUT = "kdf group hand-out";
    /// Group: name of a slot of the relay.
    KDF_GROUP_SLOT_NAME = "kdf group slot name";
    /// Group: key of one commit in a slot of the relay.
    KDF_GROUP_SLOT = "kdf group slot";
    /// Group: a node's secret for one of its children in the tree of senders.
    KDF_GROUP_SENDER_TREE = "kdf group sender tree";
    /// Group: a message's key out of the chain.
    KDF_GROUP_MESSAGE = "kdf group message";
    /// Group: next chain key of a sender.
    KDF_GROUP_CHAIN = "kdf group chain";
    /// Group: encryption and MAC key of a message.
    KDF_GROUP_MESSAGE_KEYS = "kdf group message keys";
    /// Group: mask of a message's slot, generation and guard.
    KDF_GROUP_HEADER = "kdf group header";
    /// Group: tag of a message.
    MAC_GROUP_MESSAGE = "mac group message";
    /// Stream: encryption key and commitment of an attachment.
    KDF_STREAM = "kdf stream";
    /// Store: key that seals rows.
    KDF_STORE_ROWS = "kdf store rows";
    /// Store: key that blinds row names.
    KDF_STORE_INDEX = "kdf store index";
    /// Store: key by which each row name vouches for the next.
    KDF_STORE_CHAIN = "kdf store chain";
    /// Desk: key of its records, from its own keys.
    KDF_DESK_RECORDS = "kdf desk records";
    /// Key file of a store or root: key that wraps the master key.
    KDF_KEY_FILE = "kdf key file";
    /// Files sealed with a passphrase or key file.
    KDF_SEALED_FILE = "kdf sealed file";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_differ_and_none_is_a_prefix_of_another_within_the_length_byte() {
        // R-CRYPTO-1
        for (i, a) in ALL.iter().enumerate() {
            assert!(a.as_bytes().len() < 256);
            assert!(a.as_bytes().starts_with(b"chancery/1 "));
            assert!(ALL.iter().skip(i + 1).all(|b| a != b), "{a:?} stands twice");
        }
    }
}
