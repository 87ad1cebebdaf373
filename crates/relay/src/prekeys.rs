//! Prekeys: publish, and claim once (R-RELAY-25 to R-RELAY-29).

use alloc::vec;
use alloc::vec::Vec;

use chancery_crypto::secret::ct_eq;
use chancery_identity::DeviceId;
use chancery_identity::delivery::Use;
use chancery_identity::log::{LeafKind, commitment};
use chancery_identity::prekey::{PrekeyError, VerifiedUpload};
use chancery_wire::{Limit, RefusalCode, Timestamp, Unverified, WireMessage, decode, encode, proto};
use proto::relay_frame::Body;

use crate::connection::{Answer, Fault, done};
use crate::limits::{BUNDLE_LEN, MAX_TOKEN};
use crate::relay::ConnectionId;
use crate::step::{Step, at_most};
use crate::storage::{MAX_NUMBER, PrekeyBatch, PrekeyPair, StorageError};

impl Step<'_> {
    /// R-RELAY-25, R-RELAY-26. A device that was removed publishes nothing (R-RELAY-43).
    pub(crate) fn publish_prekeys(&mut self, id: ConnectionId, upload: proto::PrekeyUpload) -> Answer {
        let credential = self.device(id)?;
        let device = credential.device_id();
        if self.storage.mailbox(&device.into())?.is_some_and(|mailbox| mailbox.removed) {
            return Err(RefusalCode::NotAuthorised.into());
        }
        let held = self.storage.prekey_batch(&device)?;
        if let (Some(held), Some(batch)) = (&held, &upload.batch)
            && held.batch == encode(batch)
        {
            // The answer to this upload was lost; what has been handed out since stays handed out.
            return done();
        }
        let previous = held.map_or(0, |held| held.sequence);
        let verified = VerifiedUpload::verify(Unverified::new(upload), &credential, previous, self.now)
            .map_err(|error| if self.relay.doubts_clock() { Fault::doubting() } else { refusal(error) })?;
        if verified.head().sequence() > MAX_NUMBER {
            return Err(RefusalCode::BadRequest.into());
        }
        let batch = PrekeyBatch {
            credential: encode(credential.signed()),
            batch: encode(verified.batch()),
            sequence: verified.head().sequence(),
            expires: Timestamp::from_millis(verified.head().expires().as_millis().min(MAX_NUMBER)),
            signed: encode(verified.signed()),
            last_resort: encode(verified.last_resort()),
        };
        let pairs: Vec<PrekeyPair> = verified
            .pairs()
            .iter()
            .map(|(curve, kem)| PrekeyPair { curve: encode(curve), kem: encode(kem) })
            .collect();
        if bundle(&batch, pairs.first()).is_none() {
            return Err(RefusalCode::TooLarge.into());
        }
        self.storage.put_prekeys(&device, &batch, &pairs)?;
        done()
    }

    /// R-RELAY-27: a pair of one-time prekeys leaves the storage in the transaction that hands it out; without
    /// one the last-resort key takes its place (R-RELAY-28).
    pub(crate) fn claim_prekeys(&mut self, claim: &proto::ClaimPrekeys) -> Answer {
        let device = DeviceId::from_bytes(&claim.device_id).ok_or(RefusalCode::BadRequest)?;
        at_most(claim.token.len(), MAX_TOKEN)?;
        self.needs_token(Use::Mailbox, device.as_bytes(), &claim.token)?;
        let batch = self.storage.prekey_batch(&device)?.ok_or(RefusalCode::NotFound)?;
        if batch.expires <= self.now {
            return Err(RefusalCode::NotFound.into());
        }
        let pair = self.storage.take_prekey_pair(&device)?;
        let bundle = bundle(&batch, pair.as_ref()).ok_or(RefusalCode::Unavailable)?;
        Ok(Body::Bundle(bundle))
    }

    /// R-RELAY-76, R-RELAY-78, R-RELAY-79. The log has the hash of the credential and the member's identifier; the credential itself comes
    /// from the device.
    pub(crate) fn get_credential(&self, get: &proto::GetCredential) -> Answer {
        let device = DeviceId::from_bytes(&get.device_id).ok_or(RefusalCode::BadRequest)?;
        // A guest has no token of a mailbox outside its reach, and shows what stands in the roster of a group alone.
        let of = if get.group_key.is_empty() { Use::Mailbox } else { Use::Send };
        self.admitted(of, device.as_bytes(), &get.token)?;
        let has_ended = self.storage.mailbox(&device.into())?.is_some_and(|held| held.removed);
        let found = if has_ended {
            self.storage.kept_credential(&device)?.and_then(|kept| read(&kept))
        } else {
            self.shown_credential(&device)?
        };
        let credential: proto::Signed = found.ok_or(RefusalCode::NotFound)?;
        let commitment = commitment(LeafKind::Credential, &credential);
        if self.storage.log_commitment(LeafKind::Credential, &commitment)?.is_none() {
            return Err(RefusalCode::NotFound.into());
        }
        if of == Use::Send && !has_group_key(&credential, &get.group_key) {
            return Err(RefusalCode::NotFound.into());
        }
        Ok(Body::Credential(proto::CredentialAnswer { credential: Some(credential) }))
    }

    /// Returns the credential that a device has shown: with its prekeys, or else on a connection that reads its mailbox now.
    pub(crate) fn shown_credential(&self, device: &DeviceId) -> Result<Option<proto::Signed>, StorageError> {
        let batch = self.storage.prekey_batch(device)?;
        let published = batch.and_then(|batch| read(&batch.credential));
        let online = self.relay.readers(&(*device).into()).into_iter().find_map(|id| self.device(id).ok());
        Ok(published.or_else(|| online.map(|credential| credential.signed().clone())))
    }
}

/// Puts a bundle together and pads it to [`BUNDLE_LEN`] bytes (R-RELAY-29); `None` if it cannot be.
fn bundle(batch: &PrekeyBatch, pair: Option<&PrekeyPair>) -> Option<proto::PrekeyBundle> {
    let mut bundle = proto::PrekeyBundle {
        credential: Some(read(&batch.credential)?),
        batch: Some(read(&batch.batch)?),
        signed: Some(read(&batch.signed)?),
        one_time: pair.map(|pair| read(&pair.curve).ok_or(())).transpose().ok()?,
        kem: Some(read(pair.map_or(&batch.last_resort, |pair| &pair.kem))?),
        padding: Vec::new(),
    };
    // One byte of tag and two of length, which holds from 128 to 16,383 bytes of padding.
    let room = BUNDLE_LEN.checked_sub(encode(&bundle).len())?.checked_sub(3)?;
    if room < 128 {
        return None;
    }
    bundle.padding = vec![0; room];
    Some(bundle)
}

/// Whether this is the key of a device's group messages.
fn has_group_key(credential: &proto::Signed, group_key: &[u8]) -> bool {
    let body: Option<proto::CredentialBody> = read(&credential.body);
    body.is_some_and(|body| ct_eq(&body.group_key, group_key))
}

fn read<T: WireMessage>(bytes: &[u8]) -> Option<T> {
    Some(decode(bytes, Limit::BUNDLE).ok()?.into_unchecked())
}

fn refusal(error: PrekeyError) -> Fault {
    match error {
        PrekeyError::Stale => RefusalCode::Conflict,
        PrekeyError::NotAuthentic => RefusalCode::NotAuthorised,
        _ => RefusalCode::BadRequest,
    }
    .into()
}
