//! Blobs: append, close, read (R-RELAY-30 to R-RELAY-33, R-RELAY-40).

use chancery_identity::delivery::BLOB_TOKEN_NAME;
use chancery_wire::{RefusalCode, proto};
use proto::relay_frame::Body;

use crate::connection::{Answer, Fault};
use crate::limits::{BLOB_OVERHEAD, MAX_BLOB_PART, MAX_TOKEN, end};
use crate::relay::ConnectionId;
use crate::step::{Step, at_most};
use crate::storage::{BlobId, BlobState};

impl Step<'_> {
    /// R-RELAY-30. An empty part that is not the last changes nothing and asks for the state.
    pub(crate) fn put_blob(&mut self, id: ConnectionId, put: &proto::PutBlob) -> Answer {
        let blob = BlobId::from_bytes(&put.blob_id).ok_or(RefusalCode::BadRequest)?;
        at_most(put.token.len(), MAX_TOKEN)?;
        at_most(put.part.len(), MAX_BLOB_PART)?;
        self.needs_token(&BLOB_TOKEN_NAME, &put.token)?;
        let held = self.storage.blob(&blob)?;
        let state = held.unwrap_or_default();
        if put.part.is_empty() && !put.last {
            return Ok(status(state));
        }
        let len = u64::try_from(put.part.len()).unwrap_or(u64::MAX);
        let after = put.offset.checked_add(len).ok_or(RefusalCode::BadRequest)?;
        // Nobody has anything to say with an empty blob, and it would cost a file.
        if after == 0 {
            return Err(RefusalCode::BadRequest.into());
        }
        if after <= state.length && (!put.part.is_empty() || state.complete) {
            return self.repeated_part(&blob, put, after, state);
        }
        if state.complete || put.offset != state.length {
            return Err(RefusalCode::Conflict.into());
        }
        self.blob_fits(held.is_none(), after, len)?;
        if held.is_none() {
            self.may_stay_incomplete(put.last)?;
            self.may_begin(id)?;
        }
        if put.last {
            self.may_complete()?;
        }
        let limits = self.relay.limits;
        self.storage.append_blob(&blob, &put.part, end(self.now, limits.keep_incomplete_blobs))?;
        if put.last {
            self.storage.complete_blob(&blob, end(self.now, limits.keep_blobs))?;
        }
        Ok(status(BlobState { length: after, complete: put.last }))
    }

    /// R-RELAY-31: what is there already is confirmed if it is the same, and is never overwritten.
    fn repeated_part(&mut self, blob: &BlobId, put: &proto::PutBlob, after: u64, state: BlobState) -> Answer {
        let ends_here = after == state.length;
        if (put.last && !ends_here) || (state.complete && ends_here && !put.last) {
            return Err(RefusalCode::Conflict.into());
        }
        if self.storage.read_blob(blob, put.offset, put.part.len())? != put.part {
            return Err(RefusalCode::Conflict.into());
        }
        if put.last && !state.complete {
            self.may_complete()?;
            self.storage.complete_blob(blob, end(self.now, self.relay.limits.keep_blobs))?;
        }
        Ok(status(BlobState { complete: state.complete || put.last, ..state }))
    }

    /// R-RELAY-20: the length of one blob, their number, and their bytes with what each costs beside them.
    fn blob_fits(&self, is_new: bool, length: u64, added: u64) -> Result<(), Fault> {
        let limits = &self.relay.limits;
        if length > limits.blob_bytes {
            return Err(RefusalCode::TooLarge.into());
        }
        let totals = self.storage.totals()?;
        let blobs = totals.blobs.saturating_add(u64::from(is_new));
        let bytes = totals.blob_bytes.saturating_add(added);
        let all = bytes.saturating_add(blobs.saturating_mul(BLOB_OVERHEAD));
        if blobs > limits.blobs || all > limits.all_blob_bytes {
            return Err(RefusalCode::QuotaExceeded.into());
        }
        Ok(())
    }

    /// R-RELAY-20: what is begun and left must not keep out what is put whole.
    fn may_stay_incomplete(&self, is_whole: bool) -> Result<(), Fault> {
        let is_full = self.storage.totals()?.incomplete_blobs >= self.relay.limits.incomplete_blobs;
        if is_full && !is_whole { Err(RefusalCode::QuotaExceeded.into()) } else { Ok(()) }
    }

    /// R-RELAY-40. The ration of all counts too, since whoever connects again has a new one of their own.
    fn may_begin(&mut self, id: ConnectionId) -> Result<(), Fault> {
        let (limits, now) = (self.relay.limits, self.now);
        if let Some(connection) = self.relay.connection_mut(id) {
            connection.blobs_begun.take(limits.blobs_begun, now).map_err(Fault::limited)?;
        }
        self.relay.shared.blobs_begun.take(limits.all_blobs_begun, now).map_err(Fault::limited)
    }

    /// R-RELAY-40.
    fn may_complete(&mut self) -> Result<(), Fault> {
        let rate = self.relay.limits.blobs_completed;
        self.relay.shared.blobs_completed.take(rate, self.now).map_err(Fault::limited)
    }

    /// R-RELAY-32. An incomplete blob does not exist for readers.
    pub(crate) fn get_blob(&mut self, get: &proto::GetBlob) -> Answer {
        let blob = BlobId::from_bytes(&get.blob_id).ok_or(RefusalCode::BadRequest)?;
        let state = self.storage.blob(&blob)?.filter(|state| state.complete).ok_or(RefusalCode::NotFound)?;
        if get.offset > state.length {
            return Err(RefusalCode::BadRequest.into());
        }
        let length = usize::try_from(get.length).unwrap_or(usize::MAX).min(MAX_BLOB_PART);
        let part = self.storage.read_blob(&blob, get.offset, length)?;
        Ok(Body::BlobPart(proto::BlobPart { part, length: state.length }))
    }
}

fn status(state: BlobState) -> Body {
    Body::BlobStatus(proto::BlobStatus { length: state.length, complete: state.complete })
}
