//! A member device's orders to the desk: to add the device that waits, or to remove one (R-ORG-18).

use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::Secret;
use chancery_crypto::{NotAuthentic, label};
use chancery_identity::{Credential, DeviceId, DeviceKeys, Organisation, reply_mailbox};
use chancery_wire::{Limit, Timestamp, decode, encode, proto};
use proto::device_order_body::Order;
use proto::enrolment_answer::Outcome;

use crate::LinkRequest;
use crate::channel::{ORDER, open_answer, unpad};
use crate::refusal::Refusal;

/// How long an order may be carried out after it was made: one hour, for a desk that starts late and clocks
/// that differ.
pub const ORDER_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Why an order was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// The organisation has no desk whose keys are valid now; ask for a new document, compare clocks.
    #[error("organisation has no enrolment desk at this time")]
    NoDesk,
    /// The answer is not the desk's to this order, or is damaged; drop it and keep waiting.
    #[error("not authentic")]
    NotAuthentic,
    /// The device to be removed is none of this member's; look at the list.
    #[error("device is none of this member's")]
    UnknownDevice,
    /// The link was used by another device; make a new one.
    #[error("device link has been used")]
    LinkUsed,
    /// The order came too late, or the clocks differ; order again.
    #[error("order has expired")]
    Expired,
    /// The member has as many devices as a member may have; remove one first.
    #[error("member has too many devices")]
    TooManyDevices,
    /// This device is no longer one of the member's.
    #[error("this device was removed")]
    Removed,
    /// The desk refused for another reason; make a new link.
    #[error("order was refused")]
    Refused,
}

impl From<NotAuthentic> for OrderError {
    fn from(_: NotAuthentic) -> Self {
        Self::NotAuthentic
    }
}

/// The device that gives an order.
#[derive(Debug, Clone, Copy)]
pub struct Orderer<'a> {
    /// Its organisation.
    pub organisation: &'a Organisation,
    /// Its credential.
    pub credential: &'a Credential,
    /// Its keys.
    pub keys: &'a DeviceKeys,
}

/// An order that has been made and not yet answered. Nothing of it need be stored: the same order made again has
/// the same effect.
#[derive(Debug)]
pub struct PendingOrder {
    envelope: Vec<u8>,
    reply_mailbox: [u8; 16],
    answer_key: Secret<32>,
}

/// Orders the desk to make the device of `request` one of this member's. The person has compared its code.
///
/// # Errors
///
/// [`OrderError::NoDesk`]: nothing was made.
pub fn approve(
    by: Orderer<'_>,
    request: &LinkRequest,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<PendingOrder, OrderError> {
    let approve =
        proto::ApproveDevice { link_id: request.link().to_vec(), keys: request.fingerprint().to_vec() };
    order(by, (Order::Approve(approve), request.request()), now, rng)
}

/// Orders the desk to remove another device of this member.
///
/// # Errors
///
/// [`OrderError::NoDesk`]: nothing was made.
pub fn remove(
    by: Orderer<'_>,
    device: &DeviceId,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<PendingOrder, OrderError> {
    let remove = proto::RemoveDevice { device_id: device.as_bytes().to_vec() };
    order(by, (Order::Remove(remove), &[]), now, rng)
}

fn order(
    by: Orderer<'_>,
    (order, request): (Order, &[u8]),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<PendingOrder, OrderError> {
    let desk = by.organisation.desk().filter(|desk| desk.is_valid_at(now)).ok_or(OrderError::NoDesk)?;
    let (head, channel) = ORDER.begin(&by.organisation.id(), desk, rng)?;
    let body = encode(&proto::DeviceOrderBody {
        context: channel.context.to_vec(),
        expires: now.after(ORDER_LIFETIME).as_millis(),
        order: Some(order),
    });
    let signature = by.keys.signing.sign(label::SIGN_DEVICE_ORDER, &body, rng);
    let message = proto::DeviceOrder {
        credential: Some(by.credential.signed().clone()),
        order: Some(proto::Signed { body, signature }),
        request: request.to_vec(),
    };
    Ok(PendingOrder {
        envelope: ORDER.seal(head, channel.request, &encode(&message))?,
        reply_mailbox: reply_mailbox(by.keys.signing.verifying_key()),
        answer_key: channel.answer,
    })
}

impl PendingOrder {
    /// Returns the order for the desk's mailbox, [`crate::ORDER_LEN`] bytes.
    #[must_use]
    pub fn envelope(&self) -> &[u8] {
        &self.envelope
    }

    /// Returns the mailbox in which the answer will be: the reply mailbox of this device's signing key.
    #[must_use]
    pub const fn reply_mailbox(&self) -> [u8; 16] {
        self.reply_mailbox
    }

    /// Takes the desk's answer: the device that was added or removed.
    ///
    /// # Errors
    ///
    /// [`OrderError::NotAuthentic`] for an answer to something else: keep waiting. Every other error is the
    /// desk's decision.
    pub fn complete(&self, answer: &[u8]) -> Result<DeviceId, OrderError> {
        let plaintext = open_answer(&self.answer_key, answer)?;
        let body = unpad(plaintext.expose()).ok_or(OrderError::NotAuthentic)?;
        let answer: proto::EnrolmentAnswer =
            decode(body, Limit::STATEMENT).map_err(|_| OrderError::NotAuthentic)?.into_unchecked();
        match answer.outcome {
            Some(Outcome::Done(done)) => DeviceId::from_bytes(&done.device_id).ok_or(OrderError::Refused),
            Some(Outcome::Refused(refused)) => Err(match Refusal::from_number(refused.reason) {
                Some(Refusal::Unknown) => OrderError::UnknownDevice,
                Some(Refusal::Used) => OrderError::LinkUsed,
                Some(Refusal::Expired) => OrderError::Expired,
                Some(Refusal::TooManyDevices) => OrderError::TooManyDevices,
                Some(Refusal::NotADevice) => OrderError::Removed,
                Some(Refusal::Malformed | Refusal::NoPlace) | None => OrderError::Refused,
            }),
            Some(Outcome::Enrolled(_)) | None => Err(OrderError::Refused),
        }
    }
}
