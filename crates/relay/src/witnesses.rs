//! What witnesses say of the newest checkpoint (R-RELAY-64).

use chancery_identity::LogError;
use chancery_identity::checkpoint::MAX_NOTE_LEN;
use chancery_wire::{RefusalCode, proto};

use crate::connection::{Answer, done};
use crate::step::{Step, at_most};

impl Step<'_> {
    /// R-RELAY-64. Whoever has said hello may bring a line; it is one of a witness that the policy names, or none.
    pub(crate) fn add_cosignature(&mut self, add: &proto::AddCosignature) -> Answer {
        at_most(add.note.len(), MAX_NOTE_LEN)?;
        self.checkpoint()?;
        let log = &self.relay.log;
        let witnesses = log.authority.policy().witnesses.verifying_keys();
        let newest = log.checkpoint.as_ref().ok_or(RefusalCode::Unavailable)?;
        match newest.add_cosignatures(&add.note, &witnesses) {
            Ok(None) => done(),
            Ok(Some(cosigned)) => {
                self.storage.put_note(cosigned.note())?;
                self.relay.log_mut().checkpoint = Some(cosigned);
                done()
            }
            Err(LogError::OutOfOrder) => Err(RefusalCode::Conflict.into()),
            Err(LogError::TooMany) => Err(RefusalCode::QuotaExceeded.into()),
            Err(LogError::NotAuthentic) => Err(RefusalCode::NotAuthorised.into()),
            Err(_) => Err(RefusalCode::BadRequest.into()),
        }
    }
}
