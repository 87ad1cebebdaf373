//! What ended devices confirm, and who may ask for it (R-RELAY-62, R-RELAY-63).

use alloc::sync::Arc;
use alloc::vec::Vec;

use chancery_identity::{Credential, DeviceId, verify_end_confirmation};
use chancery_wire::{Limit, RefusalCode, decode, encode, proto};
use proto::relay_frame::Body;

use crate::connection::{Answer, Ended, Fault, Stage, done};
use crate::limits::MAX_CONFIRMATIONS;
use crate::relay::ConnectionId;
use crate::step::Step;
use crate::storage::StorageError;

impl Step<'_> {
    /// Leaves a connection whose device was told of its end open for what it may still do (R-RELAY-62, R-RELAY-67).
    pub(crate) fn await_confirmation(
        &mut self,
        id: ConnectionId,
        credential: Arc<Credential>,
        revoked: &proto::Revoked,
    ) {
        let ended = Ended { credential, index: revoked.index, leaf: revoked.leaf.clone(), since: self.now };
        self.relay.reads_no_more(&ended.credential.device_id().into(), id);
        self.set_stage(id, Stage::Ended(ended));
    }

    /// R-RELAY-62. The connection ends with the answer, whatever that is.
    pub(crate) fn confirm_end(&mut self, id: ConnectionId, confirmation: &proto::EndConfirmation) -> Answer {
        let ended = match self.stage(id) {
            Some(Stage::Ended(ended)) => ended,
            Some(Stage::Greeted { .. } | Stage::Anonymous | Stage::Mailbox(_)) => {
                return Err(RefusalCode::NotAuthorised.into());
            }
            Some(Stage::Fresh) | None => return Err(Fault::Fatal(RefusalCode::BadRequest)),
        };
        let (credential, org) = (&ended.credential, self.relay.organisation().id());
        let (member, device) = (credential.member_id(), credential.device_id());
        let verified =
            verify_end_confirmation(confirmation, &org, (&member, &device), credential.signing_key());
        if verified.is_err() || confirmation.leaf != ended.leaf {
            return Err(Fault::Fatal(RefusalCode::NotAuthorised));
        }
        // The first counts: a copy of the device that comes back later says nothing new.
        if self.storage.end_confirmation(&device)?.is_none() {
            self.storage.put_end_confirmation(&device, &encode(confirmation))?;
        }
        self.to_close.push(id);
        done()
    }

    /// R-RELAY-63.
    pub(crate) fn get_confirmations(&mut self, id: ConnectionId, get: &proto::GetConfirmations) -> Answer {
        self.desk(id)?;
        if get.device_ids.len() > MAX_CONFIRMATIONS {
            return Err(RefusalCode::TooLarge.into());
        }
        let mut confirmations = Vec::new();
        for device in &get.device_ids {
            let device = DeviceId::from_bytes(device).ok_or(RefusalCode::BadRequest)?;
            if let Some(stored) = self.storage.end_confirmation(&device)? {
                let confirmation = decode::<proto::EndConfirmation>(&stored, Limit::RECORD);
                confirmations.push(confirmation.map_err(|_| StorageError::Io)?.into_unchecked());
            }
        }
        Ok(Body::Confirmations(proto::Confirmations { confirmations }))
    }
}
