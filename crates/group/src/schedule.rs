//! What follows from the secret of an epoch (R-GROUP-14).

use chancery_crypto::kdf::{derive, mac, mac_matches};
use chancery_crypto::label;
use chancery_crypto::secret::Secret;

use crate::GroupError;

/// The secret of an epoch. Whoever has it reads the epoch, so it is used up by [`Self::keys`] and wiped.
#[derive(Debug)]
pub struct EpochSecret(Secret<32>);

/// What a device keeps of an epoch, beside its slot and the keys of the tree.
#[derive(Debug)]
pub struct EpochKeys {
    /// Links to the next epoch. To be erased once that begins.
    pub chain_key: Secret<32>,
    /// Root of the senders' tree, for [`crate::SenderTree::new`].
    pub senders: Secret<32>,
    /// Hides slot and generation of messages.
    pub header_key: Secret<32>,
    /// Names and seals the slots of the relay for the next commit. To be erased once that was followed.
    pub slot_key: Secret<32>,
    /// Name of the epoch's set at the relay. Not secret from the relay.
    pub set_name: [u8; 16],
    /// Key of the epoch's set at the relay.
    pub set_key: Secret<16>,
}

impl EpochSecret {
    /// Makes the secret of the epoch that a commit begins; `chain_key` is that of the epoch before, `None` for the founding, `transcript`
    /// that of the epoch begun.
    #[must_use]
    pub fn next(chain_key: Option<&Secret<32>>, commit_secret: &Secret<32>, transcript: &[u8; 32]) -> Self {
        let salt = chain_key.map_or(&[0; 32], Secret::expose);
        Self(derive(label::KDF_GROUP_EPOCH, salt, &[commit_secret.expose()], transcript))
    }

    /// Takes over the secret that a welcome brought. It is to be believed only after [`Self::check`].
    #[must_use]
    pub const fn from_welcome(secret: Secret<32>) -> Self {
        Self(secret)
    }

    /// Returns the secret, for a welcome.
    #[must_use]
    pub const fn secret(&self) -> &Secret<32> {
        &self.0
    }

    /// Returns the confirmation of the epoch with this transcript, 32 bytes, which is not secret.
    #[must_use]
    pub fn confirmation(&self, transcript: &[u8; 32]) -> [u8; 32] {
        *mac(label::KDF_GROUP_CONFIRMATION, &self.confirmation_key(), &[transcript]).expose()
    }

    /// Checks a commit's confirmation, in constant time (R-GROUP-15).
    ///
    /// # Errors
    ///
    /// [`GroupError::NotAuthentic`]: leave the group as it is; throw the secret away if somebody handed it out, and ask another.
    pub fn check(&self, transcript: &[u8; 32], confirmation: &[u8]) -> Result<(), GroupError> {
        let key = self.confirmation_key();
        if mac_matches(label::KDF_GROUP_CONFIRMATION, &key, &[transcript], confirmation) {
            Ok(())
        } else {
            Err(GroupError::NotAuthentic)
        }
    }

    fn confirmation_key(&self) -> Secret<32> {
        mac(label::KDF_GROUP_CONFIRMATION_KEY, &self.0, &[])
    }

    /// Derives what is kept of the epoch; the secret itself is wiped.
    #[must_use]
    pub fn keys(self) -> EpochKeys {
        let set: Secret<32> = derive(label::KDF_GROUP_SET, &[], &[self.0.expose()], &[]);
        let (name, key) = set.expose().split_at(16);
        let mut set_name = [0; 16];
        set_name.copy_from_slice(name);
        EpochKeys {
            chain_key: mac(label::KDF_GROUP_CHAIN_KEY, &self.0, &[]),
            senders: mac(label::KDF_GROUP_SENDERS, &self.0, &[]),
            header_key: mac(label::KDF_GROUP_HEADER_KEY, &self.0, &[]),
            slot_key: mac(label::KDF_GROUP_SLOT_KEY, &self.0, &[]),
            set_name,
            set_key: Secret::init_with(|out| out.copy_from_slice(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confirmation_fits_one_secret_and_one_transcript_r_group_15() {
        let commit = Secret::from_bytes([1; 32]);
        let epoch = EpochSecret::next(None, &commit, &[2; 32]);
        let confirmation = epoch.confirmation(&[2; 32]);
        assert_eq!(epoch.check(&[2; 32], &confirmation), Ok(()));
        assert_eq!(epoch.check(&[3; 32], &confirmation), Err(GroupError::NotAuthentic));
        for len in 0..32 {
            assert!(epoch.check(&[2; 32], &confirmation[..len]).is_err());
            let mut bad = confirmation;
            bad[len] ^= 1;
            assert!(epoch.check(&[2; 32], &bad).is_err());
        }
        let chain = Secret::from_bytes([4; 32]);
        assert!(EpochSecret::next(Some(&chain), &commit, &[2; 32]).check(&[2; 32], &confirmation).is_err());
        assert!(EpochSecret::next(None, &chain, &[2; 32]).check(&[2; 32], &confirmation).is_err());
    }

    #[test]
    fn everything_that_follows_from_an_epoch_differs_r_group_14() {
        let keys = EpochSecret::from_welcome(Secret::from_bytes([1; 32])).keys();
        let all = [&keys.chain_key, &keys.senders, &keys.header_key, &keys.slot_key];
        for (i, a) in all.iter().enumerate() {
            assert!(all.iter().skip(i + 1).all(|b| !a.ct_eq(b.expose().as_slice())));
        }
        assert_ne!(&keys.set_name, keys.set_key.expose());
    }
}
