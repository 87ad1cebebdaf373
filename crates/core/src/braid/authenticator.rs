//! What the two sides of a braid vouch for their public values with.

use chancery_crypto::kdf::{derive, mac, mac_matches};
use chancery_crypto::label;
use chancery_crypto::secret::Secret;

/// Length of what vouches for a header or a ciphertext, in bytes.
pub(crate) const MAC_LEN: usize = 32;

/// The secret of one epoch: what the KEM agreed on, bound to the number of the epoch (R-BRAID-6).
#[derive(Debug)]
pub(crate) struct EpochSecret(Secret<32>);

impl EpochSecret {
    pub(crate) fn derive(shared: &Secret<32>, epoch: u32) -> Self {
        Self(derive(label::KDF_BRAID_EPOCH, &[0; 32], &[shared.expose()], &epoch.to_be_bytes()))
    }

    pub(crate) const fn secret(&self) -> &Secret<32> {
        &self.0
    }
}

/// The authenticator: a root that every epoch's secret enters, and the key of this epoch (R-BRAID-5).
#[derive(Debug)]
pub(crate) struct Authenticator(Secret<64>);

impl Authenticator {
    /// Takes over root (32) and key (32).
    pub(crate) const fn new(secret: Secret<64>) -> Self {
        Self(secret)
    }

    pub(crate) const fn secret(&self) -> &Secret<64> {
        &self.0
    }

    /// The authenticator from `epoch` on, once its secret is known.
    pub(crate) fn next(&self, secret: &EpochSecret, epoch: u32) -> Self {
        let (root, _) = self.halves();
        let ikm = secret.secret().expose().as_slice();
        Self(derive(label::KDF_BRAID_AUTHENTICATOR, root, &[ikm], &epoch.to_be_bytes()))
    }

    pub(crate) fn vouch_for_header(&self, epoch: u32, header: &[u8]) -> Secret<MAC_LEN> {
        mac(label::MAC_BRAID_HEADER, &self.key(), &[&epoch.to_be_bytes(), header])
    }

    pub(crate) fn header_matches(&self, epoch: u32, header: &[u8], mac: &[u8]) -> bool {
        mac_matches(label::MAC_BRAID_HEADER, &self.key(), &[&epoch.to_be_bytes(), header], mac)
    }

    pub(crate) fn vouch_for_ciphertext(&self, epoch: u32, ct1: &[u8], ct2: &[u8]) -> Secret<MAC_LEN> {
        mac(label::MAC_BRAID_CIPHERTEXT, &self.key(), &[&epoch.to_be_bytes(), ct1, ct2])
    }

    pub(crate) fn ciphertext_matches(&self, epoch: u32, (ct1, ct2): (&[u8], &[u8]), mac: &[u8]) -> bool {
        mac_matches(label::MAC_BRAID_CIPHERTEXT, &self.key(), &[&epoch.to_be_bytes(), ct1, ct2], mac)
    }

    fn key(&self) -> Secret<32> {
        let (_, key) = self.halves();
        Secret::init_with(|out| out.iter_mut().zip(key).for_each(|(to, from)| *to = *from))
    }

    fn halves(&self) -> (&[u8], &[u8]) {
        self.0.expose().split_at(32)
    }
}
