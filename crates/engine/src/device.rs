//! Who this device is: loaded once, since nothing but enrolment changes it, but for where the relay is (R-ENGINE-69). The directory
//! keys, which change, are apart.

use alloc::string::String;

use chancery_core::Local;
use chancery_crypto::secret::SecretBytes;
use chancery_identity::{Credential, DeviceId, DeviceKeys, MemberId, Organisation};
use chancery_org::DirectoryAccess;
use chancery_wire::proto::{CredentialBody, DeviceRecord, Signed};
use chancery_wire::records::{Batch, Records};
use chancery_wire::{Limit, Timestamp, Unverified, decode, encode};

use crate::directory_keys;
use crate::error::EngineError;
use crate::guest;
use crate::tables::{DEVICE, DIRECTORY_KEYS, key, load};

/// Version of the device record.
const VERSION: u32 = 1;

/// The enrolled device: its keys, its credential and its organisation.
#[derive(Debug)]
pub struct Device {
    keys: DeviceKeys,
    credential: Credential,
    organisation: Organisation,
    handle: String,
    name: String,
    organisation_name: String,
    relay_url: String,
    relay_pin: [u8; 32],
}

/// What an enrolment yields, to be stored as the device.
#[derive(Debug)]
pub struct NewDevice<'a> {
    /// The device's private keys.
    pub keys: &'a DeviceKeys,
    /// What the desk answered.
    pub enrolment: &'a chancery_org::Enrolment,
    /// The organisation, verified against the invitation.
    pub organisation: &'a Organisation,
    /// Where the relay is.
    pub relay_url: &'a str,
    /// SHA-256 of the relay's public key.
    pub relay_pin: [u8; 32],
}

impl Device {
    /// Returns the writes that make a store the store of an enrolled device.
    #[must_use]
    pub fn install(new: &NewDevice<'_>) -> Batch {
        let record = DeviceRecord {
            version: VERSION,
            keys: new.keys.to_secret_bytes().expose().to_vec(),
            credential: Some(new.enrolment.credential.signed().clone()),
            organisation: Some(new.organisation.as_proto().clone()),
            handle: new.enrolment.handle.as_str().into(),
            name: new.enrolment.name.as_str().into(),
            organisation_name: new.enrolment.organisation_name.as_str().into(),
            relay_url: new.relay_url.into(),
            relay_pin: new.relay_pin.to_vec(),
        };
        let mut batch = Batch::default();
        batch.put(key(DEVICE, &[]), encode(&record));
        let keys = match &new.enrolment.directory {
            DirectoryAccess::Member(keys) => directory_keys::record(keys, None),
            DirectoryAccess::Guest(key) => guest::record(key),
        };
        batch.put(key(DIRECTORY_KEYS, &[]), encode(&keys));
        batch
    }

    /// Reads the device from a store; `None` if the store is not enrolled.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the store is not readable or damaged.
    pub fn load(records: &dyn Records, now: Timestamp) -> Result<Option<Self>, EngineError> {
        let Some(record) = load::<DeviceRecord>(records, &key(DEVICE, &[]))? else {
            return Ok(None);
        };
        Self::from_record(record, now).map(Some).ok_or(EngineError::DamagedRecord)
    }

    fn from_record(record: DeviceRecord, now: Timestamp) -> Option<Self> {
        if record.version != VERSION {
            return None;
        }
        let organisation = Organisation::verify(Unverified::new(record.organisation?), None).ok()?;
        let credential = own_credential(&organisation, record.credential?, now)?;
        Some(Self {
            keys: DeviceKeys::from_secret_bytes(SecretBytes::new(record.keys).expose())?,
            credential,
            organisation,
            handle: record.handle,
            name: record.name,
            organisation_name: record.organisation_name,
            relay_url: record.relay_url,
            relay_pin: record.relay_pin.try_into().ok()?,
        })
    }

    pub(crate) const fn local(&self) -> Local<'_> {
        Local { credential: &self.credential, keys: &self.keys }
    }

    /// Returns the member this device belongs to.
    #[must_use]
    pub fn member_id(&self) -> MemberId {
        self.credential.member_id()
    }

    /// Returns the device's identifier, which is also its mailbox.
    #[must_use]
    pub fn device_id(&self) -> DeviceId {
        self.credential.device_id()
    }

    /// Returns the device's private keys.
    #[must_use]
    pub const fn keys(&self) -> &DeviceKeys {
        &self.keys
    }

    /// Returns the device's credential.
    #[must_use]
    pub const fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Returns the organisation.
    #[must_use]
    pub const fn organisation(&self) -> &Organisation {
        &self.organisation
    }

    /// Returns the handle that the organisation gave the member at enrolment.
    #[must_use]
    pub fn handle(&self) -> &str {
        &self.handle
    }

    /// Returns the member's display name at enrolment.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the organisation's display name.
    #[must_use]
    pub fn organisation_name(&self) -> &str {
        &self.organisation_name
    }

    /// Returns the relay's address, as it was when the store was opened; [`crate::relay_places`] knows the newest.
    #[must_use]
    pub fn relay_url(&self) -> &str {
        &self.relay_url
    }

    /// Returns the SHA-256 of the relay's public key.
    #[must_use]
    pub const fn relay_pin(&self) -> &[u8; 32] {
        &self.relay_pin
    }
}

/// Verifies the own credential. One that has expired still names this device and lets it read its history:
/// it is peers and relay who refuse it.
fn own_credential(organisation: &Organisation, signed: Signed, now: Timestamp) -> Option<Credential> {
    if let Ok(credential) = organisation.verify_credential(Unverified::new(signed.clone()), now) {
        return Some(credential);
    }
    let body: CredentialBody = decode(&signed.body, Limit::STATEMENT).ok()?.into_unchecked();
    let issued = Timestamp::from_millis(body.not_before);
    organisation.verify_credential(Unverified::new(signed), issued).ok()
}
