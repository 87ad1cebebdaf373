//! The new device's side of an enrolment.

use alloc::vec::Vec;

use chancery_crypto::kdf::mac;
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_crypto::{NotAuthentic, label};
use chancery_identity::{
    Credential, DeviceKeys, DisplayName, GuestKey, Handle, IdentityError, Kind, OrgId, Organisation,
    reply_mailbox,
};
use chancery_wire::{Limit, Timestamp, Unverified, decode, encode, proto};
use proto::enrolment_answer::Outcome;

use crate::channel::{
    ANSWER_PLAINTEXT_LEN, REQUEST, REQUEST_LEN, RequestedKeys, open_answer, public_keys, unpad,
};
use crate::refusal::Refusal;
use crate::{DeviceLink, DirectoryAccess, DirectoryKeys, InvitationLink};

/// First byte of a stored [`PendingEnrolment`].
const VERSION: u8 = 1;

/// Why a device is not a member's. The device has changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolError {
    /// The link is another organisation's than the document; ask the right relay for the document.
    #[error("invitation belongs to another organisation")]
    WrongOrganisation,
    /// The document names no desk, or one whose keys are not valid now; ask for a new document, compare clocks.
    #[error("organisation has no enrolment desk at this time")]
    NoDesk,
    /// The desk does not know the invitation, or the secret is wrong; ask for a new link.
    #[error("invitation is not known")]
    InvitationUnknown,
    /// Another device has used the invitation; ask for a new link.
    #[error("invitation has been used")]
    InvitationUsed,
    /// The invitation has expired; ask for a new link.
    #[error("invitation has expired")]
    InvitationExpired,
    /// The member has as many devices as a member may have; remove one first.
    #[error("member has too many devices")]
    TooManyDevices,
    /// The desk refused for another reason, perhaps of a newer version; update, then ask the administrator.
    #[error("enrolment was refused")]
    Refused,
    /// The answer is not the desk's to this request, or is damaged; drop it and keep waiting.
    #[error("not authentic")]
    NotAuthentic,
    /// The credential is not valid at this time; compare clocks.
    #[error("credential is not valid at this time")]
    OutsideValidity,
}

impl From<NotAuthentic> for EnrolError {
    fn from(_: NotAuthentic) -> Self {
        Self::NotAuthentic
    }
}

/// What a device has after its enrolment.
#[derive(Debug)]
pub struct Enrolment {
    /// The device's credential, verified.
    pub credential: Credential,
    /// The member's handle.
    pub handle: Handle,
    /// The member's name.
    pub name: DisplayName,
    /// The organisation's name.
    pub organisation_name: DisplayName,
    /// What opens the directory, and what comes of it.
    pub directory: DirectoryAccess,
}

/// A request that has been made and not yet answered.
///
/// Store it, beside the device's keys, before the request is sent: a device that starts anew with other keys
/// finds its invitation used.
#[derive(Debug)]
pub struct PendingEnrolment {
    envelope: Vec<u8>,
    reply_mailbox: [u8; 16],
    answer_key: Secret<32>,
}

/// Makes a request for the holder of an invitation (R-ORG-5, R-ORG-6, R-ORG-7).
///
/// `organisation` has been verified against `link.org_id`; `keys` are the device's own, new ones.
///
/// # Errors
///
/// [`EnrolError`]: nothing was sent, and the invitation is still open.
pub fn request(
    link: &InvitationLink,
    organisation: &Organisation,
    keys: &DeviceKeys,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<PendingEnrolment, EnrolError> {
    let asked = Asked { org_id: link.org_id, id: link.invitation_id, expires: link.expires };
    make(&asked, Some(&link.secret), (organisation, keys), now, rng)
}

/// Makes a request for a device that another device of the member is to approve (R-ORG-17). It proves no
/// invitation: until the approval the desk does not know it.
///
/// # Errors
///
/// As [`request`].
pub fn request_by_link(
    link: &DeviceLink,
    organisation: &Organisation,
    keys: &DeviceKeys,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<PendingEnrolment, EnrolError> {
    let asked = Asked { org_id: link.org_id, id: link.link_id, expires: link.expires };
    make(&asked, None, (organisation, keys), now, rng)
}

/// What a link of either kind says to the desk.
struct Asked {
    org_id: OrgId,
    id: [u8; 16],
    expires: Timestamp,
}

fn make(
    link: &Asked,
    secret: Option<&Secret<32>>,
    (organisation, keys): (&Organisation, &DeviceKeys),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<PendingEnrolment, EnrolError> {
    if link.org_id != organisation.id() {
        return Err(EnrolError::WrongOrganisation);
    }
    if now >= link.expires {
        return Err(EnrolError::InvitationExpired);
    }
    let desk = organisation.desk().filter(|desk| desk.is_valid_at(now)).ok_or(EnrolError::NoDesk)?;
    let (head, channel) = REQUEST.begin(&link.org_id, desk, rng)?;

    let mut body = public_keys(keys);
    let statement =
        RequestedKeys::read(&body).ok_or(EnrolError::NotAuthentic)?.statement(&channel.context, &link.id);
    body.invitation_id = link.id.to_vec();
    if let Some(secret) = secret {
        body.proof = mac(label::MAC_INVITATION, secret, &[&statement]).expose().to_vec();
    }
    body.signature = keys.signing.sign(label::SIGN_ENROLMENT, &statement, rng);

    let envelope = REQUEST.seal(head, channel.request, &encode(&body))?;
    Ok(PendingEnrolment {
        envelope,
        reply_mailbox: reply_mailbox(keys.signing.verifying_key()),
        answer_key: channel.answer,
    })
}

impl PendingEnrolment {
    /// Returns the request for the desk's mailbox, [`REQUEST_LEN`] bytes. It may be sent more than once.
    #[must_use]
    pub fn envelope(&self) -> &[u8] {
        &self.envelope
    }

    /// Returns the mailbox in which the answer will be.
    #[must_use]
    pub const fn reply_mailbox(&self) -> [u8; 16] {
        self.reply_mailbox
    }

    /// Takes the desk's answer (R-ORG-11).
    ///
    /// # Errors
    ///
    /// [`EnrolError::NotAuthentic`] for an answer that is not the desk's: keep waiting for the right one. Every
    /// other error is the desk's decision.
    pub fn complete(
        &self,
        organisation: &Organisation,
        keys: &DeviceKeys,
        answer: &[u8],
        now: Timestamp,
    ) -> Result<Enrolment, EnrolError> {
        let plaintext = open_answer(&self.answer_key, answer)?;
        debug_assert_eq!(plaintext.expose().len(), ANSWER_PLAINTEXT_LEN, "answers have one length");
        let body = unpad(plaintext.expose()).ok_or(EnrolError::NotAuthentic)?;
        let answer: proto::EnrolmentAnswer =
            decode(body, Limit::STATEMENT).map_err(|_| EnrolError::NotAuthentic)?.into_unchecked();
        match answer.outcome {
            Some(Outcome::Enrolled(enrolled)) => accept(enrolled, organisation, keys, now),
            Some(Outcome::Refused(refused)) => Err(match Refusal::from_number(refused.reason) {
                Some(Refusal::Unknown) => EnrolError::InvitationUnknown,
                Some(Refusal::Used) => EnrolError::InvitationUsed,
                Some(Refusal::Expired) => EnrolError::InvitationExpired,
                Some(Refusal::TooManyDevices) => EnrolError::TooManyDevices,
                Some(Refusal::Malformed | Refusal::NotADevice | Refusal::NoPlace) | None => {
                    EnrolError::Refused
                }
            }),
            Some(Outcome::Done(_)) | None => Err(EnrolError::Refused),
        }
    }

    /// Returns the request for the store: version (1), reply mailbox (16), answer key (32), envelope.
    #[must_use]
    pub fn to_secret_bytes(&self) -> SecretBytes {
        let mut out = Vec::with_capacity(REQUEST_LEN.saturating_add(49));
        out.push(VERSION);
        out.extend_from_slice(&self.reply_mailbox);
        out.extend_from_slice(self.answer_key.expose());
        out.extend_from_slice(&self.envelope);
        SecretBytes::new(out)
    }

    /// Reads what [`Self::to_secret_bytes`] wrote; `None` for anything else.
    #[must_use]
    pub fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[version], rest) = bytes.split_first_chunk()?;
        let (reply_mailbox, rest) = rest.split_first_chunk()?;
        let (answer_key, envelope) = rest.split_first_chunk::<32>()?;
        if version != VERSION || envelope.len() != REQUEST_LEN {
            return None;
        }
        Some(Self {
            envelope: envelope.to_vec(),
            reply_mailbox: *reply_mailbox,
            answer_key: Secret::from_slice(answer_key)?,
        })
    }
}

fn accept(
    enrolled: proto::Enrolled,
    organisation: &Organisation,
    keys: &DeviceKeys,
    now: Timestamp,
) -> Result<Enrolment, EnrolError> {
    let (directory_key, path) =
        (SecretBytes::new(enrolled.directory_key), SecretBytes::new(enrolled.key_path));
    let guest_key = SecretBytes::new(enrolled.guest_key);
    let (epoch, slot) = (enrolled.key_epoch, enrolled.slot);
    let credential = enrolled.credential.ok_or(EnrolError::NotAuthentic)?;
    let credential =
        organisation.verify_credential(Unverified::new(credential), now).map_err(|error| match error {
            IdentityError::NotYetValid | IdentityError::Expired => EnrolError::OutsideValidity,
            _ => EnrolError::NotAuthentic,
        })?;
    let kind = Kind::of(credential.capabilities()).filter(|_| keys.match_credential(&credential));
    // A guest has its own key and nothing of the tree; everybody else the other way round (R-ORG-11).
    let has_tree = epoch != 0 || slot != 0 || !directory_key.expose().is_empty() || !path.expose().is_empty();
    let directory = match kind.ok_or(EnrolError::NotAuthentic)? {
        kind if kind.is_guest() && !has_tree => {
            GuestKey::from_slice(guest_key.expose()).map(DirectoryAccess::Guest)
        }
        kind if !kind.is_guest() && guest_key.expose().is_empty() => {
            DirectoryKeys::from_parts((epoch, directory_key.expose()), (slot, path.expose()))
                .map(DirectoryAccess::Member)
        }
        _ => None,
    };
    let name = |text: &str| DisplayName::parse(text).map_err(|_| EnrolError::NotAuthentic);
    Ok(Enrolment {
        credential,
        handle: Handle::parse(&enrolled.handle).map_err(|_| EnrolError::NotAuthentic)?,
        name: name(&enrolled.name)?,
        organisation_name: name(&enrolled.organisation_name)?,
        directory: directory.ok_or(EnrolError::NotAuthentic)?,
    })
}
