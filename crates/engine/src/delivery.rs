//! Delivery tokens: what the relay asks of whoever puts something into a mailbox, takes prekeys or stores a blob.

use alloc::vec::Vec;

use chancery_identity::delivery::{BLOB_TOKEN_NAME, DeliveryKey};
use chancery_wire::records::Records;

use crate::directory_keys;
use crate::effect::Step;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::guest::{self, guest_token};

impl Engine {
    /// Returns the token for a mailbox and its prekeys, by the newest directory key that this device has, or the one that a
    /// guest was given (R-ENGINE-52, R-ENGINE-60); for blobs that of [`BLOB_TOKEN_NAME`]. It is not kept with what was
    /// sealed: a change of the key changes it. A guest that was given none gets an empty one, which the relay refuses like one
    /// of an earlier epoch: the directory may bring it.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the store is not readable.
    pub fn delivery_token(&self, records: &dyn Records, name: &[u8; 16]) -> Result<Vec<u8>, EngineError> {
        if guest::guest_key(records)?.is_some() {
            return Ok(guest_token(records, name)?.map_or_else(Vec::new, Vec::from));
        }
        let keys = directory_keys::newest(records)?;
        Ok(DeliveryKey::of(&self.device().organisation().id(), keys.key()).token(name).to_vec())
    }

    /// Returns the token that the frame of a step must carry; nothing for a step that asks nothing of the relay.
    ///
    /// Ask anew for every frame (R-ENGINE-53): when the relay refuses the token, a synchronised directory gives another,
    /// and what was sealed stays as it is.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the store is not readable.
    pub fn step_token(&self, records: &dyn Records, step: &Step) -> Result<Vec<u8>, EngineError> {
        let name = match step {
            Step::Upload { .. } => BLOB_TOKEN_NAME,
            Step::Claim { device_id, .. } => *device_id,
            Step::Deliver { deliver, .. } => {
                deliver.mailbox.as_slice().try_into().map_err(|_| EngineError::DamagedRecord)?
            }
            Step::Hold { hold, .. } => {
                let mailbox = hold.deliver.as_ref().map(|deliver| deliver.mailbox.as_slice());
                mailbox.and_then(|name| name.try_into().ok()).ok_or(EngineError::DamagedRecord)?
            }
            Step::Seal { .. } => return Ok(Vec::new()),
        };
        self.delivery_token(records, &name)
    }
}
