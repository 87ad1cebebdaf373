//! Blobs: append, close, read (R-RELAY-30 to R-RELAY-33).

use chancery_wire::{RefusalCode, proto};
use proto::relay_frame::Body;

use crate::connection::{Answer, Fault};
use crate::limits::{MAX_BLOB_PART, MAX_TOKEN, end};
use crate::step::{Step, at_most};
use crate::storage::{BlobId, BlobState};

impl Step<'_> {
    /// R-RELAY-30. An empty part that is not the last changes nothing and asks for the state.
    pub(crate) fn put_blob(&mut self, put: &proto::PutBlob) -> Answer {
        let blob = BlobId::from_bytes(&put.blob_id).ok_or(RefusalCode::BadRequest)?;
        at_most(put.token.len(), MAX_TOKEN)?;
        at_most(put.part.len(), MAX_BLOB_PART)?;
        let held = self.storage.blob(&blob)?;
        let state = held.unwrap_or_default();
        if put.part.is_empty() && !put.last {
            return Ok(status(state));
        }
        let len = u64::try_from(put.part.len()).unwrap_or(u64::MAX);
        let after = put.offset.checked_add(len).ok_or(RefusalCode::BadRequest)?;
        if after <= state.length && (!put.part.is_empty() || state.complete) {
            return self.repeated_part(&blob, put, after, state);
        }
        if state.complete || put.offset != state.length {
            return Err(RefusalCode::Conflict.into());
        }
        self.blob_fits(after, len)?;
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
            self.storage.complete_blob(blob, end(self.now, self.relay.limits.keep_blobs))?;
        }
        Ok(status(BlobState { complete: state.complete || put.last, ..state }))
    }

    fn blob_fits(&self, length: u64, added: u64) -> Result<(), Fault> {
        if length > self.relay.limits.blob_bytes {
            return Err(RefusalCode::TooLarge.into());
        }
        let all = self.storage.blob_bytes()?.saturating_add(added);
        if all > self.relay.limits.all_blob_bytes {
            return Err(RefusalCode::QuotaExceeded.into());
        }
        Ok(())
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
