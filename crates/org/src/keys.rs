//! Private keys of the organisation, each kind for a file of its own (R-ORG-14).

use alloc::vec::Vec;

use chancery_crypto::kdf::derive;
use chancery_crypto::kem::KemSecret;
use chancery_crypto::label;
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_crypto::signature::{SEED_LEN, SigningKey, VerifyingKey};
use chancery_crypto::x25519::DhSecret;
use chancery_identity::{Capabilities, DeviceKeys, IssuerId, OrgId, Organisation, is_relay_url, sign};
use chancery_wire::{Limit, decode, encode, proto};

use crate::AdminError;

/// First byte of every kind of stored keys.
const VERSION: u8 = 1;
/// First byte of the keys of a desk that was renewed, which name the key of its records.
const RENEWED: u8 = 2;

/// The organisation's root key. It signs issuers and nothing else, and is kept away from every running machine.
#[derive(Debug)]
pub struct Root(SigningKey);

impl Root {
    /// Makes a root.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self(SigningKey::generate(rng))
    }

    /// Rebuilds a root from its seed.
    #[must_use]
    pub fn from_seed(seed: Secret<SEED_LEN>) -> Self {
        Self(SigningKey::from_seed(seed))
    }

    /// Returns the seed.
    #[must_use]
    pub const fn seed(&self) -> &Secret<SEED_LEN> {
        self.0.seed()
    }

    /// Returns the organisation's identifier, which is the root's (R-ID-1).
    #[must_use]
    pub fn org_id(&self) -> OrgId {
        OrgId::of(self.0.verifying_key())
    }

    /// Returns the key that signs.
    pub(crate) const fn signing(&self) -> &SigningKey {
        &self.0
    }

    /// Returns the public half.
    #[must_use]
    pub const fn verifying_key(&self) -> &VerifyingKey {
        self.0.verifying_key()
    }

    /// Returns the root for its encrypted file: version (1), seed (64).
    #[must_use]
    pub fn to_secret_bytes(&self) -> SecretBytes {
        concat(&[&[VERSION], self.0.seed().expose()])
    }

    /// Reads what [`Self::to_secret_bytes`] wrote; `None` for anything else.
    #[must_use]
    pub fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        Secret::from_slice(versioned(bytes)?).map(Self::from_seed)
    }
}

/// An issuer's signing key and the identifier of its certificate.
#[derive(Debug)]
pub struct IssuerKey {
    id: IssuerId,
    key: SigningKey,
}

impl IssuerKey {
    pub(crate) const fn new(id: IssuerId, key: SigningKey) -> Self {
        Self { id, key }
    }

    /// Returns the issuer's identifier.
    #[must_use]
    pub const fn id(&self) -> IssuerId {
        self.id
    }

    /// Returns the key that signs.
    pub(crate) const fn signing(&self) -> &SigningKey {
        &self.key
    }

    /// Whether the organisation knows this very key as an issuer with `capability`.
    pub(crate) fn is_issuer_of(&self, organisation: &Organisation, capability: Capabilities) -> bool {
        organisation.issuer(&self.id).is_some_and(|issuer| {
            issuer.key() == self.key.verifying_key() && issuer.capabilities().contains(capability)
        })
    }
}

/// Where a relay is, and by what it is known.
#[derive(Debug, Clone, Copy)]
pub struct RelayPlace<'a> {
    /// `wss://host:port`.
    pub url: &'a str,
    /// SHA-256 of its certificate's `SubjectPublicKeyInfo`.
    pub pin: &'a [u8; 32],
    /// The key that signs the log's checkpoints.
    pub log_key: &'a VerifyingKey,
}

/// Everything that an administrator signs with: offboarding, groups, policy, log and archive.
#[derive(Debug)]
pub struct AdminKeys(IssuerKey);

impl AdminKeys {
    pub(crate) const fn new(issuer: IssuerKey) -> Self {
        Self(issuer)
    }

    /// Returns the issuer.
    #[must_use]
    pub const fn issuer(&self) -> &IssuerKey {
        &self.0
    }

    /// Signs where the relay is, one sequence above what the document says, and returns the new document.
    ///
    /// The statement itself is the document's `relay`; a relay takes either (R-ORG-2). If the document says so
    /// already it comes back unchanged.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: the document at hand stays as it is.
    pub fn record_relay(
        &self,
        organisation: &Organisation,
        place: RelayPlace<'_>,
        rng: &mut dyn CryptoRng,
    ) -> Result<proto::Organisation, AdminError> {
        let RelayPlace { url, pin, log_key } = place;
        if !is_relay_url(url) {
            return Err(AdminError::RelayUrl);
        }
        if !self.0.is_issuer_of(organisation, Capabilities::POLICY) {
            return Err(AdminError::WrongKeys);
        }
        if organisation
            .relay()
            .is_some_and(|it| it.url() == url && it.pin() == pin && it.log_key() == log_key)
        {
            return Ok(organisation.as_proto().clone());
        }
        let last = organisation.relay().map_or(0, chancery_identity::RelayRecord::sequence);
        let body = proto::RelayRecordBody {
            org_id: organisation.id().as_bytes().to_vec(),
            issuer_id: self.0.id.as_bytes().to_vec(),
            url: url.into(),
            pin: pin.to_vec(),
            sequence: last.checked_add(1).ok_or(AdminError::SequenceExhausted)?,
            log_key: log_key.as_bytes().to_vec(),
        };
        let relay = Some(sign::sign_relay_record(&self.0.key, &body, rng));
        Ok(proto::Organisation { relay, ..organisation.as_proto().clone() })
    }

    /// Returns the keys for their encrypted file: version (1), issuer identifier (32), seed (64).
    #[must_use]
    pub fn to_secret_bytes(&self) -> SecretBytes {
        concat(&[&[VERSION], self.0.id.as_bytes(), self.0.key.seed().expose()])
    }

    /// Reads what [`Self::to_secret_bytes`] wrote; `None` for anything else.
    #[must_use]
    pub fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        let (issuer, rest) = take_issuer(versioned(bytes)?)?;
        rest.is_empty().then_some(Self(issuer))
    }
}

/// Everything that the enrolment desk works with: the enrolling issuer's key, and the desk's own device.
#[derive(Debug)]
pub struct DeskKeys {
    pub(crate) issuer: IssuerKey,
    pub(crate) device: DeviceKeys,
    pub(crate) dh: DhSecret,
    pub(crate) kem: KemSecret,
    pub(crate) credential: proto::Signed,
    /// Of a desk that was renewed.
    pub(crate) records_key: Option<Secret<32>>,
}

impl DeskKeys {
    /// Returns the key of the desk's records, from the contents of its file (R-ORG-14); `None` for anything else.
    #[must_use]
    pub fn records_key(contents: &[u8]) -> Option<Secret<32>> {
        match contents.split_first() {
            Some((&VERSION, _)) => Some(derive(label::KDF_DESK_RECORDS, &[], &[contents], &[])),
            Some((&RENEWED, rest)) => Secret::from_slice(rest.first_chunk::<32>()?),
            _ => None,
        }
    }

    /// Returns the keys of the desk's device, with which it logs in at the relay.
    #[must_use]
    pub const fn device(&self) -> &DeviceKeys {
        &self.device
    }

    /// Returns the desk's credential, not verified.
    #[must_use]
    pub const fn credential(&self) -> &proto::Signed {
        &self.credential
    }

    /// Lets the keys of a renewed desk open the records of the one before.
    pub(crate) fn with_records_key(self, key: Secret<32>) -> Self {
        Self { records_key: Some(key), ..self }
    }

    /// Returns the keys for their encrypted file: version (1), issuer identifier (32), issuer seed (64), device
    /// keys (128), X25519 secret (32), ML-KEM seed (64), then the encoded credential. The keys of a renewed desk have
    /// version 2, and after it the key of the records (32).
    #[must_use]
    pub fn to_secret_bytes(&self) -> SecretBytes {
        let (version, records_key) = match &self.records_key {
            Some(key) => (RENEWED, key.expose().as_slice()),
            None => (VERSION, [].as_slice()),
        };
        concat(&[
            &[version],
            records_key,
            self.issuer.id.as_bytes(),
            self.issuer.key.seed().expose(),
            self.device.to_secret_bytes().expose(),
            self.dh.secret().expose(),
            self.kem.seed().expose(),
            &encode(&self.credential),
        ])
    }

    /// Reads what [`Self::to_secret_bytes`] wrote; `None` for anything else.
    #[must_use]
    pub fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        let (records_key, rest) = match bytes.split_first() {
            Some((&VERSION, rest)) => (None, rest),
            Some((&RENEWED, rest)) => {
                let (key, rest) = rest.split_first_chunk::<32>()?;
                (Some(Secret::from_slice(key)?), rest)
            }
            _ => return None,
        };
        let (issuer, rest) = take_issuer(rest)?;
        let (device, rest) = rest.split_first_chunk::<{ DeviceKeys::SECRET_LEN }>()?;
        let (dh, rest) = rest.split_first_chunk::<32>()?;
        let (kem, credential) = rest.split_first_chunk::<64>()?;
        Some(Self {
            issuer,
            device: DeviceKeys::from_secret_bytes(device)?,
            dh: DhSecret::from_secret(Secret::from_slice(dh)?),
            kem: KemSecret::from_seed(Secret::from_slice(kem)?),
            // Believed only once the desk has verified it against the organisation.
            credential: decode(credential, Limit::STATEMENT).ok()?.into_unchecked(),
            records_key,
        })
    }
}

fn versioned(bytes: &[u8]) -> Option<&[u8]> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => Some(rest),
        _ => None,
    }
}

fn take_issuer(bytes: &[u8]) -> Option<(IssuerKey, &[u8])> {
    let (id, rest) = bytes.split_first_chunk::<32>()?;
    let (seed, rest) = rest.split_first_chunk::<SEED_LEN>()?;
    let key = SigningKey::from_seed(Secret::from_slice(seed)?);
    Some((IssuerKey { id: IssuerId::new(*id), key }, rest))
}

fn concat(parts: &[&[u8]]) -> SecretBytes {
    // One allocation of the final size, so that growing leaves no copy behind.
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| out.extend_from_slice(part));
    SecretBytes::new(out)
}
