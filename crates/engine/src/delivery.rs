//! Delivery tokens: what the relay asks of whoever puts something into a mailbox, takes prekeys or stores a blob.

use alloc::vec::Vec;

use chancery_identity::delivery::{BLOB_TOKEN_NAME, DeliveryKey, Use};
use chancery_wire::records::Records;

use crate::directory_keys;
use crate::effect::Step;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::guest::{self, guest_token};

impl Engine {
    /// Returns the token of a name for one use (R-ID-20), by the newest directory key that this device has, or the one that a
    /// guest was given (R-ENGINE-52, R-ENGINE-60), which is given none for making sets and for slots; for blobs the name is
    /// [`BLOB_TOKEN_NAME`]. It is not kept with what was sealed: a change of the key changes it. A guest that was given none gets an empty one, which the relay refuses like one
    /// of an earlier epoch: the directory may bring it.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the store is not readable.
    pub fn delivery_token(
        &self,
        records: &dyn Records,
        (of, name): (Use, &[u8; 16]),
    ) -> Result<Vec<u8>, EngineError> {
        if guest::guest_key(records)?.is_some() {
            if of == Use::Send {
                let key = guest::send_key(records)?;
                return Ok(key.map_or_else(Vec::new, |key| key.token(name).to_vec()));
            }
            // What a guest has is kept by name; the name of no device is zero.
            let is_given = match of {
                Use::Mailbox => *name != BLOB_TOKEN_NAME,
                Use::Blob => *name == BLOB_TOKEN_NAME,
                Use::Set | Use::Slot | Use::Send => false,
            };
            let token = if is_given { guest_token(records, name)? } else { None };
            return Ok(token.map_or_else(Vec::new, Vec::from));
        }
        let keys = directory_keys::newest(records)?;
        Ok(DeliveryKey::of(&self.device().organisation().id(), keys.key()).token(of, name).to_vec())
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
        let named = match step {
            Step::Upload { .. } => (Use::Blob, BLOB_TOKEN_NAME),
            Step::Claim { device_id, .. } => (Use::Mailbox, *device_id),
            Step::Deliver { deliver, .. } => {
                let mailbox = deliver.mailbox.as_slice().try_into();
                (Use::Mailbox, mailbox.map_err(|_| EngineError::DamagedRecord)?)
            }
            Step::Hold { hold, .. } => {
                let mailbox = hold.deliver.as_ref().map(|deliver| deliver.mailbox.as_slice());
                let mailbox = mailbox.and_then(|name| name.try_into().ok());
                (Use::Mailbox, mailbox.ok_or(EngineError::DamagedRecord)?)
            }
            Step::Seal { .. } => return Ok(Vec::new()),
        };
        self.delivery_token(records, (named.0, &named.1))
    }
}
