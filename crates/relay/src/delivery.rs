//! Delivery tokens: the key that the desk gives, and who may put something in or take prekeys out (R-RELAY-56 to R-RELAY-59).

use chancery_crypto::secret::{Secret, SecretBytes, ct_eq};
use chancery_identity::LAST_KEY_EPOCH;
use chancery_identity::delivery::DeliveryKey;
use chancery_wire::{RefusalCode, proto};

use crate::connection::{Answer, Fault, done};
use crate::relay::ConnectionId;
use crate::step::Step;

impl Step<'_> {
    /// R-RELAY-56. The epoch only rises, so that a desk that was put back from an old copy, or a frame that comes late,
    /// does not bring back the tokens of somebody who was removed.
    pub(crate) fn set_delivery_key(&mut self, id: ConnectionId, key: proto::DeliveryKey) -> Answer {
        self.desk(id)?;
        let bytes = SecretBytes::new(key.key);
        let secret = Secret::from_slice(bytes.expose()).ok_or(RefusalCode::BadRequest)?;
        if !(1..=LAST_KEY_EPOCH).contains(&key.epoch) {
            return Err(RefusalCode::BadRequest.into());
        }
        if let Some(held) = self.storage.delivery_key()? {
            if held.epoch() == key.epoch && ct_eq(held.secret().expose(), secret.expose()) {
                return done();
            }
            if held.epoch() >= key.epoch {
                return Err(RefusalCode::Conflict.into());
            }
        }
        self.storage.put_delivery_key(&DeliveryKey::new(key.epoch, secret))?;
        done()
    }

    /// Lets a request pass whose token is that of `name` in the newest epoch; none while there is no key (R-RELAY-57,
    /// R-RELAY-59).
    pub(crate) fn needs_token(&self, name: &[u8; 16], token: &[u8]) -> Result<(), Fault> {
        let is_admitted = self.storage.delivery_key()?.is_some_and(|key| key.admits(name, token));
        if is_admitted { Ok(()) } else { Err(RefusalCode::Token.into()) }
    }
}
