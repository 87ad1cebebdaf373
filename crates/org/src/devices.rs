//! How the desk carries out orders of members' devices: another device, or one less (R-ORG-18 to R-ORG-21).

use alloc::vec::Vec;

use chancery_crypto::label;
use chancery_crypto::rng::CryptoRng;
use chancery_identity::{Credential, DeviceId, Kind, MemberId, reply_mailbox};
use chancery_wire::records::{Batch, Records};
use chancery_wire::{Limit, Timestamp, Unverified, decode, proto};
use proto::device_order_body::Order;
use proto::enrolment_answer::Outcome;

use crate::answer::{Granted, Request, Work, repeat, seal};
use crate::channel::{Answering, ORDER, REQUEST, unpad};
use crate::guests::Changed;
use crate::refusal::Refusal;
use crate::state::{self, InvitationState, damaged};
use crate::{Desk, OrgError};

/// What came of an order. Commit the batch before anything is sent.
#[derive(Debug)]
pub struct CarriedOut {
    /// What the desk must remember; empty for a refusal and for a repeated order.
    pub batch: Batch,
    /// To the device that ordered, and with an approval to the new device.
    pub replies: Vec<Reply>,
    /// The member's directory entry, if it is still to be published; after a removal the update of the directory key
    /// goes before it, see [`Desk::pending_directory`].
    pub directory: Option<proto::SealedDirectoryEntry>,
    /// Whether a device was removed and the directory key could not change because it is the last, as
    /// [`crate::Removed::key_stays`].
    pub key_stays: bool,
}

/// A sealed answer and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// A reply mailbox.
    pub mailbox: [u8; 16],
    /// The envelope.
    pub envelope: Vec<u8>,
}

/// An order whose signature verified.
struct Verified {
    channel: Answering,
    credential: Credential,
    body: proto::DeviceOrderBody,
    request: Vec<u8>,
}

/// What is decided: for the device that orders, and for a new device whose request could be read.
struct Decision {
    outcome: Result<DeviceId, Refusal>,
    newcomer: Option<Reply>,
    directory: Option<proto::SealedDirectoryEntry>,
    key_stays: bool,
}

impl Desk {
    /// Carries out a member device's order (R-ORG-19). A refusal is an answer, not an error.
    ///
    /// # Errors
    ///
    /// [`OrgError::NotAuthentic`]: drop the envelope, there is nobody to answer. For the others leave it in the
    /// mailbox and try again.
    pub fn carry_out(
        &self,
        records: &dyn Records,
        envelope: &[u8],
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<CarriedOut, OrgError> {
        let order = self.verify_order(envelope, now)?;
        let settings = state::settings(records)?;
        let mut work = Work { records, settings, batch: Batch::default(), now, rng };
        let Decision { outcome, newcomer, directory, key_stays } = self.decide_order(&mut work, &order)?;
        let outcome = match outcome {
            Ok(device) => Outcome::Done(proto::DeviceOrderDone { device_id: device.as_bytes().to_vec() }),
            Err(refusal) => refused(refusal),
        };
        let mailbox = reply_mailbox(order.credential.signing_key());
        let mut replies = Vec::from([Reply { mailbox, envelope: seal(&order.channel, outcome, work.rng)? }]);
        replies.extend(newcomer);
        Ok(CarriedOut { batch: work.batch, replies, directory, key_stays })
    }

    /// Opens an order; only who holds the key of a valid credential is answered.
    fn verify_order(&self, envelope: &[u8], now: Timestamp) -> Result<Verified, OrgError> {
        let (channel, plaintext) = self.open(&ORDER, envelope)?;
        let order = unpad(plaintext.expose()).ok_or(OrgError::NotAuthentic)?;
        let order: proto::DeviceOrder =
            decode(order, Limit::ENVELOPE).map_err(|_| OrgError::NotAuthentic)?.into_unchecked();
        let credential = Unverified::new(order.credential.ok_or(OrgError::NotAuthentic)?);
        let credential =
            self.organisation.verify_credential(credential, now).map_err(|_| OrgError::NotAuthentic)?;
        let signed = order.order.ok_or(OrgError::NotAuthentic)?;
        credential.signing_key().verify(label::SIGN_DEVICE_ORDER, &signed.body, &signed.signature)?;
        let body: proto::DeviceOrderBody =
            decode(&signed.body, Limit::STATEMENT).map_err(|_| OrgError::NotAuthentic)?.into_unchecked();
        if body.context != channel.context || Kind::of(credential.capabilities()).is_none() {
            return Err(OrgError::NotAuthentic);
        }
        Ok(Verified { channel, credential, body, request: order.request })
    }

    fn decide_order(&self, work: &mut Work<'_>, order: &Verified) -> Result<Decision, OrgError> {
        if !is_device_of(work.records, &order.credential)? {
            return Ok(Decision::refuse(Refusal::NotADevice));
        }
        if work.now.as_millis() >= order.body.expires {
            return Ok(Decision::refuse(Refusal::Expired));
        }
        match &order.body.order {
            Some(Order::Approve(approve)) => self.approve_device(work, order, approve),
            Some(Order::Remove(remove)) => self.remove_device(work, &order.credential, &remove.device_id),
            None => Ok(Decision::refuse(Refusal::Malformed)),
        }
    }

    /// Makes the device whose request the order holds one of the member's (R-ORG-20).
    fn approve_device(
        &self,
        work: &mut Work<'_>,
        order: &Verified,
        approve: &proto::ApproveDevice,
    ) -> Result<Decision, OrgError> {
        let malformed = Ok(Decision::refuse(Refusal::Malformed));
        let Ok((channel, plaintext)) = self.open(&REQUEST, &order.request) else { return malformed };
        let Some(body) = unpad(plaintext.expose()) else { return malformed };
        let Ok(body) = decode::<proto::EnrolmentRequest>(body, Limit::STATEMENT) else { return malformed };
        let body = body.into_unchecked();
        let Ok(request) = Request::read(&body, &channel.context) else { return malformed };
        if approve.link_id != request.invitation_id || approve.keys != request.keys.fingerprint() {
            return malformed;
        }
        let member_id = order.credential.member_id();
        let decided = match state::invitation(work.records, &request.invitation_id)? {
            Some(link) => match link.state {
                InvitationState::Used { by, device_id }
                    if by == request.keys.fingerprint() && link.member_id == member_id =>
                {
                    repeat(work, &member_id, &device_id)?
                }
                _ => Err(Refusal::Used),
            },
            None if !request.keys.are_valid() => Err(Refusal::Malformed),
            None => self.enrol(work, &request, (member_id, order.body.expires))?,
        };
        let mailbox = request.reply_mailbox;
        Ok(match decided {
            Err(refusal) => {
                let envelope = seal(&channel, refused(refusal), work.rng)?;
                Decision { newcomer: Some(Reply { mailbox, envelope }), ..Decision::refuse(refusal) }
            }
            Ok(granted) => {
                let Granted { device_id, ref directory, .. } = granted;
                let directory = directory.clone();
                let envelope = seal(&channel, work.welcome(granted), work.rng)?;
                let newcomer = Some(Reply { mailbox, envelope });
                Decision { outcome: Ok(device_id), newcomer, directory, key_stays: false }
            }
        })
    }

    /// Takes a device out of the member's directory entry, changes the directory key, and has the relay drop the device
    /// (R-ORG-21).
    fn remove_device(
        &self,
        work: &mut Work<'_>,
        by: &Credential,
        device_id: &[u8],
    ) -> Result<Decision, OrgError> {
        let device_id = match DeviceId::from_bytes(device_id) {
            Some(id) if id != by.device_id() => id,
            _ => return Ok(Decision::refuse(Refusal::Malformed)),
        };
        let member_id = by.member_id();
        let member = state::member(work.records, &member_id)?.ok_or_else(damaged)?;
        if !member.device_ids.iter().any(|id| id.as_slice() == device_id.as_bytes()) {
            // An order whose answer was lost comes again; what is no device of this member's is unknown.
            let was = owner_of(work.records, &device_id)? == Some(member_id);
            let directory = state::pending(work.records, &member.entry_id)?.filter(|_| was);
            let outcome = if was { Ok(device_id) } else { Err(Refusal::Unknown) };
            return Ok(Decision { outcome, newcomer: None, directory, key_stays: false });
        }
        let Work { records, batch, rng, .. } = &mut *work;
        self.queue_end_of_device(*records, batch, (&member_id, &device_id), *rng)?;
        let taken = self.take_out(work, (&member_id, member), &[device_id])?;
        self.tell_guests(work, Changed::Key)?;
        let (directory, key_stays) = (Some(taken.entry), taken.update.is_none());
        Ok(Decision { outcome: Ok(device_id), newcomer: None, directory, key_stays })
    }
}

impl Decision {
    const fn refuse(refusal: Refusal) -> Self {
        Self { outcome: Err(refusal), newcomer: None, directory: None, key_stays: false }
    }
}

const fn refused(refusal: Refusal) -> Outcome {
    Outcome::Refused(proto::EnrolmentRefusal { reason: refusal.number() })
}

/// Whether a credential is the one that the desk issued, for a device that is still the member's.
fn is_device_of(records: &dyn Records, credential: &Credential) -> Result<bool, OrgError> {
    let device_id = credential.device_id();
    let issued = state::credential(records, &device_id)?;
    let Some(member) = state::member(records, &credential.member_id())? else { return Ok(false) };
    let listed = member.device_ids.iter().any(|id| id.as_slice() == device_id.as_bytes());
    Ok(listed && issued.as_ref() == Some(credential.signed()))
}

/// The member for whom the desk issued a credential to a device.
fn owner_of(records: &dyn Records, device_id: &DeviceId) -> Result<Option<MemberId>, OrgError> {
    let Some(signed) = state::credential(records, device_id)? else { return Ok(None) };
    let body: proto::CredentialBody =
        decode(&signed.body, Limit::STATEMENT).map_err(|_| damaged())?.into_unchecked();
    Ok(MemberId::from_bytes(&body.member_id))
}
