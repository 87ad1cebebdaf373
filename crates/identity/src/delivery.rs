//! Delivery tokens: who may put something into a mailbox, claim prekeys or store a blob, without saying who it is.

use chancery_crypto::kdf::{derive, mac};
use chancery_crypto::label;
use chancery_crypto::secret::{Secret, ct_eq};

use crate::{DirectoryKey, OrgId};

/// Length of a delivery token, in bytes.
pub const DELIVERY_TOKEN_LEN: usize = 16;
/// What a blob is stored with has the token of this name: blobs have no recipient.
pub const BLOB_TOKEN_NAME: [u8; 16] = [0; 16];

/// What a token is for. One of one use admits to no other, whatever the names are (R-ID-20).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Use {
    /// Putting something into a device's mailbox, and taking its prekeys or credential.
    Mailbox = 0,
    /// Storing a blob, under [`BLOB_TOKEN_NAME`].
    Blob = 1,
    /// Making a set.
    Set = 2,
    /// Putting something into a slot.
    Slot = 3,
    /// Sending to a set. The tokens follow from a key of their own, which guests are given: see [`SendKey`].
    Send = 4,
}

/// The key from which one epoch's delivery tokens follow (R-ID-20).
///
/// Every member device derives it from the directory key of the epoch, and the relay is given it by the desk. It is
/// the same for every sender, so a token names nobody; it changes with the directory key, so whoever was removed
/// has none for what comes after. From it follows nothing about the directory key.
#[derive(Debug)]
pub struct DeliveryKey {
    epoch: u64,
    key: Secret<32>,
}

impl DeliveryKey {
    /// Derives the delivery key of a directory key's epoch.
    #[must_use]
    pub fn of(org: &OrgId, directory: &DirectoryKey) -> Self {
        let epoch = directory.epoch();
        let key =
            derive(label::KDF_DELIVERY, org.as_bytes(), &[directory.secret().expose()], &epoch.to_be_bytes());
        Self { epoch, key }
    }

    /// Takes over a key that the desk gave the relay.
    #[must_use]
    pub const fn new(epoch: u64, key: Secret<32>) -> Self {
        Self { epoch, key }
    }

    /// Returns the epoch of the directory key that it belongs to.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns the key, for the relay.
    #[must_use]
    pub const fn secret(&self) -> &Secret<32> {
        &self.key
    }

    /// Returns the token of a name for one use; for blobs the name is [`BLOB_TOKEN_NAME`].
    #[must_use]
    pub fn token(&self, of: Use, name: &[u8; 16]) -> [u8; DELIVERY_TOKEN_LEN] {
        match of {
            Use::Send => self.send_key().token(name),
            Use::Mailbox | Use::Blob | Use::Set | Use::Slot => token_of(&self.key, of, name),
        }
    }

    /// Returns the key of the tokens for sending to sets, for guests.
    #[must_use]
    pub fn send_key(&self) -> SendKey {
        SendKey(mac(label::MAC_DELIVERY, &self.key, &[&[Use::Send as u8]]))
    }

    /// Whether `token` is that of `name` for this use, compared in constant time.
    #[must_use]
    pub fn admits(&self, of: Use, name: &[u8; 16], token: &[u8]) -> bool {
        ct_eq(&self.token(of, name), token)
    }
}

/// The key from which one epoch's tokens for sending to sets follow, and no others (R-ID-20).
///
/// Guests are given it: whoever has it can send to every set whose key it has, and can make no set.
#[derive(Debug)]
pub struct SendKey(Secret<32>);

impl SendKey {
    /// Takes over a key that was stored or sent; `None` unless it has 32 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Secret::from_slice(bytes).map(Self)
    }

    /// Returns the key, for the store and for what guests are told.
    #[must_use]
    pub const fn secret(&self) -> &Secret<32> {
        &self.0
    }

    /// Returns the token for sending to the set of this name.
    #[must_use]
    pub fn token(&self, name: &[u8; 16]) -> [u8; DELIVERY_TOKEN_LEN] {
        token_of(&self.0, Use::Send, name)
    }
}

fn token_of(key: &Secret<32>, of: Use, name: &[u8; 16]) -> [u8; DELIVERY_TOKEN_LEN] {
    let tag = mac(label::MAC_DELIVERY, key, &[&[of as u8], name]);
    let mut token = [0; DELIVERY_TOKEN_LEN];
    token.iter_mut().zip(tag.expose()).for_each(|(to, from)| *to = *from);
    token
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_crypto::rng::seeded;

    #[test]
    fn a_token_is_for_one_mailbox_one_epoch_and_one_organisation_r_id_20() {
        let newest = DirectoryKey::generate(&mut seeded([1; 32]));
        let org = OrgId::new([1; 32]);
        let key =
            |org: &OrgId, epoch| newest.at(epoch).map(|directory| DeliveryKey::of(org, &directory)).unwrap();
        let token = key(&org, 5).token(Use::Mailbox, &[7; 16]);
        assert!(key(&org, 5).admits(Use::Mailbox, &[7; 16], &token));
        assert!(!key(&org, 5).admits(Use::Mailbox, &[8; 16], &token));
        assert!(!key(&org, 6).admits(Use::Mailbox, &[7; 16], &token));
        assert!(!key(&org, 4).admits(Use::Mailbox, &[7; 16], &token));
        assert!(!key(&OrgId::new([2; 32]), 5).admits(Use::Mailbox, &[7; 16], &token));
        assert!(!key(&org, 5).admits(Use::Mailbox, &[7; 16], &token[..15]));
        assert!(!key(&org, 5).admits(Use::Mailbox, &[7; 16], &[]));
    }

    #[test]
    fn a_token_of_one_use_admits_to_no_other_r_id_20() {
        let key = DeliveryKey::new(1, Secret::from_bytes([3; 32]));
        let uses = [Use::Mailbox, Use::Blob, Use::Set, Use::Slot, Use::Send];
        for (name, of) in [[0; 16], [7; 16]].iter().flat_map(|name| uses.map(|of| (name, of))) {
            for to in uses {
                assert_eq!(key.admits(to, name, &key.token(of, name)), of == to, "{of:?} for {to:?}");
            }
        }
    }

    #[test]
    fn the_send_key_gives_the_tokens_for_sending_and_no_others_r_id_20() {
        let key = DeliveryKey::new(1, Secret::from_bytes([3; 32]));
        let given = SendKey::from_slice(key.send_key().secret().expose()).unwrap();
        assert!(key.admits(Use::Send, &[7; 16], &given.token(&[7; 16])));
        for of in [Use::Mailbox, Use::Blob, Use::Set, Use::Slot] {
            assert!(!key.admits(of, &[7; 16], &given.token(&[7; 16])), "{of:?}");
        }
        assert!(SendKey::from_slice(&[3; 31]).is_none());
    }
}
