//! A device's credential, and the private keys behind it.

use alloc::vec::Vec;

use chancery_crypto::ed25519::{GroupSigningKey, GroupVerifyingKey};
use chancery_crypto::hash::hash;
use chancery_crypto::label;
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_crypto::signature::{SigningKey, VerifyingKey};
use chancery_crypto::x25519::{DhPublic, DhSecret};
use chancery_wire::{Limit, Timestamp, decode, proto};

use crate::organisation::{check_org, check_suite};
use crate::validity::Validity;
use crate::{Capabilities, DeviceId, IdentityError, IssuerId, MemberId, OrgId, Organisation};

/// A device that the organisation has vouched for.
///
/// Only [`Organisation::verify_credential`] makes one. It was valid at the time that was asked for then;
/// [`Credential::is_valid_at`] tells about another.
#[derive(Clone)]
pub struct Credential {
    hash: [u8; 32],
    org_id: OrgId,
    issuer_id: IssuerId,
    member_id: MemberId,
    device_id: DeviceId,
    signing_key: VerifyingKey,
    identity_key: DhPublic,
    group_key: GroupVerifyingKey,
    capabilities: Capabilities,
    validity: Validity,
    signed: proto::Signed,
}

impl core::fmt::Debug for Credential {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Credential")
            .field("member_id", &self.member_id)
            .field("device_id", &self.device_id)
            .finish_non_exhaustive()
    }
}

/// Two credentials are one when they were signed as one, byte for byte.
impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for Credential {}

impl Credential {
    pub(crate) fn verify(
        organisation: &Organisation,
        signed: proto::Signed,
        now: Timestamp,
    ) -> Result<Self, IdentityError> {
        let body: proto::CredentialBody = decode(&signed.body, Limit::STATEMENT)?.into_unchecked();
        check_suite(body.suite)?;
        check_org(&body.org_id, &organisation.id())?;
        let issuer = organisation.permitted(&body.issuer_id, Capabilities::ENROL)?;
        issuer.key().verify(label::SIGN_CREDENTIAL, &signed.body, &signed.signature)?;
        let validity = Validity::new(body.not_before, body.not_after)?;
        if !issuer.validity().contains(&validity) {
            return Err(IdentityError::NotPermitted);
        }
        let capabilities = Capabilities::from_bits(body.capabilities);
        if !capabilities.suit_device() {
            return Err(IdentityError::Malformed);
        }
        validity.check(now)?;
        Ok(Self {
            hash: hash(label::HASH_CREDENTIAL, &[&signed.body, &signed.signature]),
            org_id: organisation.id(),
            issuer_id: issuer.id(),
            member_id: MemberId::from_bytes(&body.member_id).ok_or(IdentityError::Malformed)?,
            device_id: DeviceId::from_bytes(&body.device_id).ok_or(IdentityError::Malformed)?,
            signing_key: VerifyingKey::from_bytes(&body.signing_key)?,
            identity_key: DhPublic::from_bytes(&body.identity_key)?,
            group_key: GroupVerifyingKey::from_bytes(&body.group_key)?,
            capabilities,
            validity,
            signed,
        })
    }

    /// Returns the hash that transcripts bind: over body and signature (R-ID-8).
    #[must_use]
    pub const fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Returns the organisation.
    #[must_use]
    pub const fn org_id(&self) -> OrgId {
        self.org_id
    }

    /// Returns who signed the credential.
    #[must_use]
    pub const fn issuer_id(&self) -> IssuerId {
        self.issuer_id
    }

    /// Returns whose device it is.
    #[must_use]
    pub const fn member_id(&self) -> MemberId {
        self.member_id
    }

    /// Returns the device, which is also its mailbox.
    #[must_use]
    pub const fn device_id(&self) -> DeviceId {
        self.device_id
    }

    /// Returns the key that verifies what the device signs.
    #[must_use]
    pub const fn signing_key(&self) -> &VerifyingKey {
        &self.signing_key
    }

    /// Returns the X25519 key for handshakes.
    #[must_use]
    pub const fn identity_key(&self) -> &DhPublic {
        &self.identity_key
    }

    /// Returns the Ed25519 key for group messages.
    #[must_use]
    pub const fn group_key(&self) -> &GroupVerifyingKey {
        &self.group_key
    }

    /// Returns what the device may do.
    #[must_use]
    pub const fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Returns the first moment of validity.
    #[must_use]
    pub const fn not_before(&self) -> Timestamp {
        self.validity.not_before
    }

    /// Returns the moment from which on it is no longer valid.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.validity.not_after
    }

    /// Whether the credential is valid at `now`.
    #[must_use]
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.validity.check(now).is_ok()
    }

    /// Returns the credential as it is sent and stored.
    #[must_use]
    pub const fn signed(&self) -> &proto::Signed {
        &self.signed
    }
}

/// The private keys of one device. They are made on the device and never leave it.
#[derive(Debug)]
pub struct DeviceKeys {
    /// Signs handshakes, prekey batches and logins.
    pub signing: SigningKey,
    /// Agrees on sessions.
    pub identity: DhSecret,
    /// Signs group messages.
    pub group: GroupSigningKey,
}

impl DeviceKeys {
    /// Length of [`Self::to_secret_bytes`].
    pub const SECRET_LEN: usize = 64 + 32 + 32;

    /// Makes new keys.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self {
            signing: SigningKey::generate(rng),
            identity: DhSecret::generate(rng),
            group: GroupSigningKey::generate(rng),
        }
    }

    /// Returns the keys for the store: signing seed (64), identity secret (32), group seed (32).
    #[must_use]
    pub fn to_secret_bytes(&self) -> SecretBytes {
        let mut bytes = Vec::with_capacity(Self::SECRET_LEN);
        bytes.extend_from_slice(self.signing.seed().expose());
        bytes.extend_from_slice(self.identity.secret().expose());
        bytes.extend_from_slice(self.group.seed().expose());
        SecretBytes::new(bytes)
    }

    /// Reads what [`Self::to_secret_bytes`] wrote; `None` for any other length.
    #[must_use]
    pub fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        let (signing, rest) = bytes.split_first_chunk::<64>()?;
        let (identity, group) = rest.split_first_chunk::<32>()?;
        Some(Self {
            signing: SigningKey::from_seed(Secret::from_slice(signing)?),
            identity: DhSecret::from_secret(Secret::from_slice(identity)?),
            group: GroupSigningKey::from_seed(Secret::from_slice(group)?),
        })
    }

    /// Whether `credential` was issued for these keys.
    #[must_use]
    pub fn match_credential(&self, credential: &Credential) -> bool {
        self.signing.verifying_key() == &credential.signing_key
            && self.identity.public() == &credential.identity_key
            && self.group.verifying_key() == credential.group_key
    }
}
