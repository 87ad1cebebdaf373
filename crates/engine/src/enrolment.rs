//! An enrolment that has begun: kept, so that a device that is killed resumes with the same keys.

use alloc::string::String;

use chancery_crypto::secret::SecretBytes;
use chancery_identity::DeviceKeys;
use chancery_wire::encode;
use chancery_wire::proto::PendingEnrolmentRecord;
use chancery_wire::records::{Batch, Records};

use crate::error::EngineError;
use crate::tables::{PENDING_ENROLMENT, key, load};

/// A device that waits for the desk's answer.
#[derive(Debug)]
pub struct PendingDevice {
    /// The invitation link that it uses.
    pub link: String,
    /// The keys that it asks a credential for.
    pub keys: DeviceKeys,
    /// The request as made, in the form of [`chancery_org::PendingEnrolment`].
    pub pending: SecretBytes,
}

impl PendingDevice {
    /// Returns the writes that keep a begun enrolment.
    #[must_use]
    pub fn save(&self) -> Batch {
        let record = PendingEnrolmentRecord {
            link: self.link.clone(),
            keys: self.keys.to_secret_bytes().expose().to_vec(),
            pending: self.pending.expose().to_vec(),
        };
        let mut batch = Batch::default();
        batch.put(key(PENDING_ENROLMENT, &[]), encode(&record));
        batch
    }

    /// Reads a begun enrolment, if there is one.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the store is not readable or damaged.
    pub fn load(records: &dyn Records) -> Result<Option<Self>, EngineError> {
        let Some(record) = load::<PendingEnrolmentRecord>(records, &key(PENDING_ENROLMENT, &[]))? else {
            return Ok(None);
        };
        let keys = DeviceKeys::from_secret_bytes(SecretBytes::new(record.keys).expose())
            .ok_or(EngineError::DamagedRecord)?;
        Ok(Some(Self { link: record.link, keys, pending: SecretBytes::new(record.pending) }))
    }

    /// Adds to `batch` the write that ends the enrolment, for the commit that installs the device.
    pub fn end(batch: &mut Batch) {
        batch.delete(key(PENDING_ENROLMENT, &[]));
    }
}
