//! The organisation's public document: root key, issuers, desk and relay, all verified.

use alloc::string::String;
use alloc::vec::Vec;

use chancery_crypto::hash::hash;
use chancery_crypto::kem::KemPublic;
use chancery_crypto::label;
use chancery_crypto::signature::VerifyingKey;
use chancery_crypto::x25519::DhPublic;
use chancery_wire::{Limit, Timestamp, Unverified, decode, proto};

use crate::validity::Validity;
use crate::{
    Capabilities, Credential, DeviceId, DirectoryEntry, DirectoryKey, IdentityError, IssuerId, OrgId,
};

/// The suite that this version speaks.
pub const SUITE: u32 = 1;
/// Most issuers of an organisation. 40 certificates fill most of [`Limit::ORGANISATION`].
pub const MAX_ISSUERS: usize = 40;
/// Most successors of the first root. A root is replaced when it is lost or stolen; eight times is a long life.
pub const MAX_SUCCESSORS: usize = 8;
/// Longest address of a relay, in bytes. It has to fit into a QR code beside the rest of an invitation.
pub const MAX_RELAY_URL_LEN: usize = 256;

impl OrgId {
    /// Returns the identifier of the organisation with this root key (R-ID-1).
    #[must_use]
    pub fn of(root: &VerifyingKey) -> Self {
        Self::new(hash(label::HASH_ORG_ID, &[root.as_bytes()]))
    }
}

/// Somebody whom the root lets sign for the organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    id: IssuerId,
    key: VerifyingKey,
    capabilities: Capabilities,
    validity: Validity,
}

impl Issuer {
    pub(crate) fn verify(
        signed: &proto::Signed,
        org: &OrgId,
        root: &VerifyingKey,
    ) -> Result<Self, IdentityError> {
        root.verify(label::SIGN_ISSUER, &signed.body, &signed.signature)?;
        let body: proto::IssuerBody = decode(&signed.body, Limit::STATEMENT)?.into_unchecked();
        check_suite(body.suite)?;
        check_org(&body.org_id, org)?;
        let capabilities = Capabilities::from_bits(body.capabilities);
        if !capabilities.suit_issuer() {
            return Err(IdentityError::Malformed);
        }
        Ok(Self {
            id: Self::id_of(signed),
            key: VerifyingKey::from_bytes(&body.key)?,
            capabilities,
            validity: Validity::new(body.not_before, body.not_after)?,
        })
    }

    /// Returns the identifier of the issuer with this certificate, verified or not (R-ID-4).
    #[must_use]
    pub fn id_of(certificate: &proto::Signed) -> IssuerId {
        IssuerId::new(hash(label::HASH_ISSUER, &[&certificate.body, &certificate.signature]))
    }

    /// Returns the identifier.
    #[must_use]
    pub const fn id(&self) -> IssuerId {
        self.id
    }

    /// Returns the key that verifies what the issuer signs.
    #[must_use]
    pub const fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// Returns what the issuer may sign.
    #[must_use]
    pub const fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Returns the first moment at which it may sign.
    #[must_use]
    pub const fn not_before(&self) -> Timestamp {
        self.validity.not_before
    }

    /// Returns the moment from which on it may no longer sign.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.validity.not_after
    }
}

/// The public keys of the enrolment desk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desk {
    issuer_id: IssuerId,
    device_id: DeviceId,
    dh_key: DhPublic,
    kem_key: KemPublic,
    validity: Validity,
    statement_hash: [u8; 32],
}

impl Desk {
    /// Returns who signed the keys.
    #[must_use]
    pub const fn issuer_id(&self) -> IssuerId {
        self.issuer_id
    }

    /// Returns the desk's device, which is also its mailbox.
    #[must_use]
    pub const fn device_id(&self) -> DeviceId {
        self.device_id
    }

    /// Returns the X25519 key to which requests are sealed.
    #[must_use]
    pub const fn dh_key(&self) -> &DhPublic {
        &self.dh_key
    }

    /// Returns the ML-KEM key to which requests are sealed.
    #[must_use]
    pub const fn kem_key(&self) -> &KemPublic {
        &self.kem_key
    }

    /// Returns the first moment of validity.
    #[must_use]
    pub const fn not_before(&self) -> Timestamp {
        self.validity.not_before
    }

    /// Returns the moment from which on the keys are no longer valid.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.validity.not_after
    }

    /// Whether the keys may be used at `now`.
    #[must_use]
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.validity.check(now).is_ok()
    }

    /// Returns the hash of the desk's statement, which the enrolment's transcript binds (R-ID-9).
    #[must_use]
    pub const fn statement_hash(&self) -> &[u8; 32] {
        &self.statement_hash
    }
}

/// Where the organisation's relay is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayRecord {
    url: String,
    pin: [u8; 32],
    sequence: u64,
    log_key: VerifyingKey,
    issuer_id: IssuerId,
}

impl RelayRecord {
    /// Returns the address: `wss://host:port`, at most [`MAX_RELAY_URL_LEN`] bytes of visible ASCII.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the pin: SHA-256 of the relay certificate's `SubjectPublicKeyInfo`.
    #[must_use]
    pub const fn pin(&self) -> &[u8; 32] {
        &self.pin
    }

    /// Returns the position among the organisation's records; of two, the higher counts.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns the key that signs the log's checkpoints. It orders entries and authorises nothing.
    #[must_use]
    pub const fn log_key(&self) -> &VerifyingKey {
        &self.log_key
    }

    /// Returns who signed the record.
    #[must_use]
    pub const fn issuer_id(&self) -> IssuerId {
        self.issuer_id
    }
}

/// Whether `url` has the form of a relay's address: `wss://`, then 1 or more bytes of visible ASCII (R-ID-10).
#[must_use]
pub fn is_relay_url(url: &str) -> bool {
    let rest = url.strip_prefix("wss://").unwrap_or_default();
    !rest.is_empty() && url.len() <= MAX_RELAY_URL_LEN && rest.bytes().all(|byte| byte.is_ascii_graphic())
}

/// An organisation whose public document has been verified; the anchor of everything else.
///
/// Only [`Organisation::verify`] makes one, so whoever holds one may believe all of it.
#[derive(Clone)]
pub struct Organisation {
    id: OrgId,
    /// The newest root.
    root: VerifyingKey,
    /// Those before it, oldest first.
    former_roots: Vec<VerifyingKey>,
    issuers: Vec<Issuer>,
    desk: Option<Desk>,
    relay: Option<RelayRecord>,
    document: proto::Organisation,
}

impl core::fmt::Debug for Organisation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Organisation").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Organisation {
    /// Verifies an organisation's public document (R-ID-6).
    ///
    /// `expected` is what an invitation or the store says; with `None` the document may be any
    /// organisation's, which is right only where it comes from a trusted place, such as the relay's own disk.
    ///
    /// # Errors
    ///
    /// [`IdentityError`]: believe nothing of the document and ask for it elsewhere.
    pub fn verify(
        document: Unverified<proto::Organisation>,
        expected: Option<OrgId>,
    ) -> Result<Self, IdentityError> {
        let document = document.into_unchecked();
        let root = VerifyingKey::from_bytes(&document.root_key)?;
        let id = OrgId::of(&root);
        if expected.is_some_and(|expected| expected != id) {
            return Err(IdentityError::WrongOrganisation);
        }
        let mut organisation = Self::of_root(root);
        for signed in document.successors {
            organisation.add_successor(signed)?;
        }
        for signed in document.issuers {
            organisation.add_issuer(signed)?;
        }
        if let Some(signed) = document.desk {
            organisation.set_desk(signed)?;
        }
        if let Some(signed) = document.relay {
            organisation.set_relay(signed)?;
        }
        Ok(organisation)
    }

    /// Returns an organisation of which nothing but the first root is known.
    #[must_use]
    pub fn of_root(root: VerifyingKey) -> Self {
        let document = proto::Organisation { root_key: root.as_bytes().to_vec(), ..Default::default() };
        let id = OrgId::of(&root);
        Self { id, root, former_roots: Vec::new(), issuers: Vec::new(), desk: None, relay: None, document }
    }

    /// Takes over a statement by which the newest root names its successor (R-ID-16).
    ///
    /// # Errors
    ///
    /// [`IdentityError`]: nothing has changed.
    pub fn add_successor(&mut self, signed: proto::Signed) -> Result<(), IdentityError> {
        let root = &self.root;
        root.verify(label::SIGN_ROOT_SUCCESSOR, &signed.body, &signed.signature)?;
        let body: proto::RootSuccessorBody = decode(&signed.body, Limit::STATEMENT)?.into_unchecked();
        check_org(&body.org_id, &self.id)?;
        let next = VerifyingKey::from_bytes(&body.root_key)?;
        let accepted = root_acceptance(&self.id, root);
        next.verify(label::SIGN_ROOT_ACCEPTANCE, &accepted, &body.acceptance)?;
        if self.document.successors.len() >= MAX_SUCCESSORS
            || *root == next
            || self.former_roots.contains(&next)
        {
            return Err(IdentityError::Malformed);
        }
        self.former_roots.push(core::mem::replace(&mut self.root, next));
        self.document.successors.push(signed);
        Ok(())
    }

    /// Takes over an issuer that one of the roots signed (R-ID-4).
    ///
    /// # Errors
    ///
    /// [`IdentityError`]: nothing has changed.
    pub fn add_issuer(&mut self, signed: proto::Signed) -> Result<(), IdentityError> {
        // Usually the newest root's; the log tells which root signed when (R-LOG-6).
        let mut verified = Err(IdentityError::NotAuthentic);
        for root in core::iter::once(&self.root).chain(self.former_roots.iter().rev()) {
            verified = Issuer::verify(&signed, &self.id, root);
            if verified != Err(IdentityError::NotAuthentic) {
                break;
            }
        }
        let issuer = verified?;
        if self.issuers.len() >= MAX_ISSUERS
            || self.issuers.iter().any(|other| other.id == issuer.id || other.key == issuer.key)
        {
            return Err(IdentityError::Malformed);
        }
        self.issuers.push(issuer);
        self.document.issuers.push(signed);
        Ok(())
    }

    /// Takes over the desk's statement in place of the one at hand (R-ID-9).
    ///
    /// # Errors
    ///
    /// [`IdentityError`]: nothing has changed.
    pub fn set_desk(&mut self, signed: proto::Signed) -> Result<(), IdentityError> {
        self.desk = Some(self.verify_desk(&signed)?);
        self.document.desk = Some(signed);
        Ok(())
    }

    /// Takes over a relay record in place of the one at hand, whatever its sequence (R-ID-10).
    ///
    /// # Errors
    ///
    /// [`IdentityError`]: nothing has changed.
    pub fn set_relay(&mut self, signed: proto::Signed) -> Result<(), IdentityError> {
        self.relay = Some(self.verify_relay(&signed)?);
        self.document.relay = Some(signed);
        Ok(())
    }

    /// Returns the identifier.
    #[must_use]
    pub const fn id(&self) -> OrgId {
        self.id
    }

    /// Returns the verifying key of the newest root.
    #[must_use]
    pub const fn root_key(&self) -> &VerifyingKey {
        &self.root
    }

    /// Returns the first root's key, of which the identifier is the hash.
    #[must_use]
    pub fn first_root(&self) -> &VerifyingKey {
        self.former_roots.first().unwrap_or(&self.root)
    }

    /// Whether a key is that of one of the roots, of the newest or of one before it.
    #[must_use]
    pub fn has_root(&self, key: &VerifyingKey) -> bool {
        self.root == *key || self.former_roots.contains(key)
    }

    /// Returns all issuers, expired ones too.
    #[must_use]
    pub fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    /// Returns the issuer with this identifier.
    #[must_use]
    pub fn issuer(&self, id: &IssuerId) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| issuer.id == *id)
    }

    /// Returns the enrolment desk's keys, valid now or not.
    #[must_use]
    pub const fn desk(&self) -> Option<&Desk> {
        self.desk.as_ref()
    }

    /// Returns where the relay is, if that has been recorded.
    #[must_use]
    pub const fn relay(&self) -> Option<&RelayRecord> {
        self.relay.as_ref()
    }

    /// Returns the document, byte for byte what was verified once encoded.
    #[must_use]
    pub const fn as_proto(&self) -> &proto::Organisation {
        &self.document
    }

    /// Verifies a device's credential at the time `now` (R-ID-7).
    ///
    /// # Errors
    ///
    /// [`IdentityError`]: the device is not one of the organisation's; drop what it sent.
    pub fn verify_credential(
        &self,
        credential: Unverified<proto::Signed>,
        now: Timestamp,
    ) -> Result<Credential, IdentityError> {
        Credential::verify(self, credential.into_unchecked(), now)
    }

    /// Verifies a directory entry (R-ID-12). The caller keeps the one with the highest version per member.
    ///
    /// # Errors
    ///
    /// [`IdentityError`]: ignore the entry.
    pub fn verify_directory_entry(
        &self,
        entry: Unverified<proto::Signed>,
    ) -> Result<DirectoryEntry, IdentityError> {
        DirectoryEntry::verify(self, &entry.into_unchecked())
    }

    /// Opens and verifies a directory entry as a relay hands it out, and that it is of the version that
    /// the relay claims (R-ID-13).
    ///
    /// # Errors
    ///
    /// [`IdentityError`]: ignore the entry.
    pub fn open_directory_entry(
        &self,
        key: &DirectoryKey,
        sealed: &proto::SealedDirectoryEntry,
    ) -> Result<DirectoryEntry, IdentityError> {
        let entry = self.verify_directory_entry(key.open(sealed)?)?;
        if entry.version() != sealed.version {
            return Err(IdentityError::NotAuthentic);
        }
        Ok(entry)
    }

    /// Verifies a statement of where the relay is (R-ID-10). The caller keeps the one with the highest sequence.
    ///
    /// # Errors
    ///
    /// [`IdentityError`]: keep the record at hand.
    pub fn verify_relay_record(
        &self,
        record: Unverified<proto::Signed>,
    ) -> Result<RelayRecord, IdentityError> {
        self.verify_relay(&record.into_unchecked())
    }

    /// Finds the issuer that a body names and checks that it may sign this kind of statement.
    pub(crate) fn permitted(
        &self,
        issuer_id: &[u8],
        capability: Capabilities,
    ) -> Result<&Issuer, IdentityError> {
        let id = IssuerId::from_bytes(issuer_id).ok_or(IdentityError::Malformed)?;
        let issuer = self.issuer(&id).ok_or(IdentityError::UnknownIssuer)?;
        if !issuer.capabilities.contains(capability) {
            return Err(IdentityError::NotPermitted);
        }
        Ok(issuer)
    }

    fn verify_desk(&self, signed: &proto::Signed) -> Result<Desk, IdentityError> {
        let body: proto::DeskBody = decode(&signed.body, Limit::STATEMENT)?.into_unchecked();
        check_suite(body.suite)?;
        check_org(&body.org_id, &self.id)?;
        let issuer = self.permitted(&body.issuer_id, Capabilities::ENROL)?;
        issuer.key.verify(label::SIGN_DESK, &signed.body, &signed.signature)?;
        let validity = Validity::new(body.not_before, body.not_after)?;
        if !issuer.validity.contains(&validity) {
            return Err(IdentityError::NotPermitted);
        }
        Ok(Desk {
            issuer_id: issuer.id,
            device_id: DeviceId::from_bytes(&body.device_id).ok_or(IdentityError::Malformed)?,
            dh_key: DhPublic::from_bytes(&body.dh_key)?,
            kem_key: KemPublic::from_bytes(&body.kem_key)?,
            validity,
            statement_hash: hash(label::HASH_DESK, &[&signed.body, &signed.signature]),
        })
    }

    fn verify_relay(&self, signed: &proto::Signed) -> Result<RelayRecord, IdentityError> {
        let body: proto::RelayRecordBody = decode(&signed.body, Limit::STATEMENT)?.into_unchecked();
        check_org(&body.org_id, &self.id)?;
        let issuer = self.permitted(&body.issuer_id, Capabilities::POLICY)?;
        issuer.key.verify(label::SIGN_RELAY_RECORD, &signed.body, &signed.signature)?;
        if !is_relay_url(&body.url) || body.sequence == 0 {
            return Err(IdentityError::Malformed);
        }
        let pin = body.pin.as_slice().try_into().map_err(|_| IdentityError::Malformed)?;
        let log_key = VerifyingKey::from_bytes(&body.log_key)?;
        Ok(RelayRecord { url: body.url, pin, sequence: body.sequence, log_key, issuer_id: issuer.id })
    }
}

impl Issuer {
    pub(crate) const fn validity(&self) -> &Validity {
        &self.validity
    }
}

/// What a new root signs to accept: the organisation and the root before it.
pub(crate) fn root_acceptance(org: &OrgId, before: &VerifyingKey) -> Vec<u8> {
    [org.as_bytes().as_slice(), before.as_bytes()].concat()
}

pub(crate) fn check_suite(suite: u32) -> Result<(), IdentityError> {
    if suite == SUITE { Ok(()) } else { Err(IdentityError::UnsupportedSuite) }
}

pub(crate) fn check_org(org_id: &[u8], expected: &OrgId) -> Result<(), IdentityError> {
    match OrgId::from_bytes(org_id) {
        None => Err(IdentityError::Malformed),
        Some(id) if id == *expected => Ok(()),
        Some(_) => Err(IdentityError::WrongOrganisation),
    }
}
