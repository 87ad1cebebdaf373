//! How the desk answers an enrolment request.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::kdf::mac_matches;
use chancery_crypto::kem::KemCiphertext;
use chancery_crypto::label;
use chancery_crypto::rng::{CryptoRng, random_bytes};
use chancery_crypto::secret::SecretBytes;
use chancery_crypto::signature::VerifyingKey;
use chancery_crypto::x25519::DhPublic;
use chancery_identity::{Capabilities, DeviceId, DirectoryKey, MemberId, SUITE, reply_mailbox, sign};
use chancery_wire::records::{Batch, Records};
use chancery_wire::{Limit, Timestamp, decode, encode, proto};
use proto::enrolment_answer::Outcome;

use crate::channel::{
    Channel, HEAD_LEN, REQUEST_KIND, REQUEST_LEN, RequestedKeys, context, seal_answer, unpad,
};
use crate::found::Dates;
use crate::refusal::Refusal;
use crate::state::{self, Invitation, InvitationState, Settings, damaged};
use crate::{Desk, OrgError};

/// How long a device credential is valid, at most until its issuer's end: two years.
pub const CREDENTIAL_VALIDITY: Duration = Duration::from_secs(730 * 24 * 60 * 60);

/// The desk's answer to a request. Commit the batch before anything is sent.
#[derive(Debug)]
pub struct Answered {
    /// What the desk must remember; empty for a refusal and for a repeated request.
    pub batch: Batch,
    /// Where the reply goes.
    pub reply_mailbox: [u8; 16],
    /// The sealed reply.
    pub reply: Vec<u8>,
    /// The member's directory entry, if it is still to be published.
    pub directory: Option<proto::SealedDirectoryEntry>,
}

impl Desk {
    /// Answers an enrolment request (R-ORG-10).
    ///
    /// The device that used an invitation gets the same credential however often it asks; every other device
    /// is refused. A refusal is an answer, not an error.
    ///
    /// # Errors
    ///
    /// [`OrgError::NotAuthentic`]: drop the envelope, there is nobody to answer. For the others leave it in the
    /// mailbox and try again.
    pub fn answer(
        &self,
        records: &dyn Records,
        envelope: &[u8],
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<Answered, OrgError> {
        let (channel, plaintext) = self.open(envelope)?;
        let body = unpad(plaintext.expose()).ok_or(OrgError::NotAuthentic)?;
        let request: proto::EnrolmentRequest =
            decode(body, Limit::STATEMENT).map_err(|_| OrgError::NotAuthentic)?.into_unchecked();
        let request = Request::read(&request, &channel.context)?;
        let settings = state::settings(records)?;
        let mut work = Work { records, settings, batch: Batch::default(), now, rng };
        let (outcome, directory) = match self.decide(&mut work, &request)? {
            Err(refusal) => (Outcome::Refused(proto::EnrolmentRefusal { reason: refusal.number() }), None),
            Ok(Granted { credential, member, directory }) => {
                let enrolled = proto::Enrolled {
                    credential: Some(credential),
                    handle: member.handle,
                    name: member.name,
                    organisation_name: work.settings.organisation_name.to_string(),
                    directory_key: work.settings.directory_key.secret().expose().to_vec(),
                };
                (Outcome::Enrolled(enrolled), directory)
            }
        };
        let content = SecretBytes::new(encode(&proto::EnrolmentAnswer { outcome: Some(outcome) }));
        let reply = seal_answer(&channel.answer, &content, work.rng)?;
        Ok(Answered { batch: work.batch, reply_mailbox: request.reply_mailbox, reply, directory })
    }

    /// Opens a request's envelope.
    fn open(&self, envelope: &[u8]) -> Result<(Channel, SecretBytes), OrgError> {
        let desk = self.organisation.desk().ok_or(OrgError::WrongKeys)?;
        if envelope.len() != REQUEST_LEN || envelope.first() != Some(&REQUEST_KIND) {
            return Err(OrgError::NotAuthentic);
        }
        let (head, sealed) = envelope.split_at_checked(HEAD_LEN).ok_or(OrgError::NotAuthentic)?;
        let (ephemeral, ciphertext) =
            head.get(1..).and_then(<[u8]>::split_first_chunk::<32>).ok_or(OrgError::NotAuthentic)?;
        let peer = DhPublic::from_bytes(ephemeral).map_err(|_| OrgError::NotAuthentic)?;
        let dh = self.keys.dh.agree(&peer).map_err(|_| OrgError::NotAuthentic)?;
        let kem_ciphertext = KemCiphertext::from_bytes(ciphertext).map_err(|_| OrgError::NotAuthentic)?;
        let kem_secret = self.keys.kem.decapsulate(&kem_ciphertext);
        let context = context(&self.organisation.id(), desk, ephemeral, ciphertext);
        let channel = Channel::derive(context, &dh, &kem_secret)?;
        let plaintext = channel.request.open(head, sealed)?;
        Ok((channel, plaintext))
    }

    /// Decides on a request whose sender has proven its signing key.
    fn decide(
        &self,
        work: &mut Work<'_>,
        request: &Request<'_>,
    ) -> Result<Result<Granted, Refusal>, OrgError> {
        let records = work.records;
        let Some(invitation) = state::invitation(records, &request.invitation_id)? else {
            return Ok(Err(Refusal::Unknown));
        };
        match &invitation.state {
            InvitationState::Used { by, device_id } if *by == request.keys.fingerprint() => {
                let credential = state::credential(records, device_id)?.ok_or_else(damaged)?;
                let member = state::member(records, &invitation.member_id)?.ok_or_else(damaged)?;
                let directory = state::pending(records, &member.entry_id)?;
                Ok(Ok(Granted { credential, member, directory }))
            }
            InvitationState::Used { .. } => Ok(Err(Refusal::Used)),
            InvitationState::Open(secret)
                if !mac_matches(label::MAC_INVITATION, secret, &[&request.statement], request.proof) =>
            {
                Ok(Err(Refusal::Unknown))
            }
            InvitationState::Open(_) if work.now.as_millis() >= invitation.expires => {
                Ok(Err(Refusal::Expired))
            }
            InvitationState::Open(_) if !request.keys.are_valid() => Ok(Err(Refusal::Malformed)),
            InvitationState::Open(_) => self.enrol(work, request, &invitation),
        }
    }

    /// Makes a member of the device: credential, used invitation and directory entry, in one batch.
    fn enrol(
        &self,
        work: &mut Work<'_>,
        request: &Request<'_>,
        invitation: &Invitation,
    ) -> Result<Result<Granted, Refusal>, OrgError> {
        let Work { records, settings, batch, now, rng } = work;
        let member_id = invitation.member_id;
        let mut member = state::member(*records, &member_id)?.ok_or_else(damaged)?;
        let device_id = DeviceId::random(*rng);
        if device_id == self.credential().device_id() || state::credential(*records, &device_id)?.is_some() {
            return Err(OrgError::IdentifierTaken);
        }
        let credential = self.sign_credential(request.keys, (member_id, device_id), *now, *rng)?;
        state::put_credential(batch, &device_id, &credential);

        member.device_ids.push(device_id.as_bytes().to_vec());
        if member.entry_id.is_empty() {
            member.entry_id = random_bytes::<16>(*rng).to_vec();
        }
        member.entry_version = member.entry_version.checked_add(1).ok_or_else(damaged)?;
        let entry = self.seal_entry(&settings.directory_key, member_id, &member, *rng)?;
        state::put_pending(*records, batch, &entry)?;
        state::put_member(batch, &member_id, &member);

        let used = InvitationState::Used { by: request.keys.fingerprint(), device_id };
        let used = Invitation { member_id, expires: invitation.expires, state: used };
        state::put_invitation(batch, &request.invitation_id, &used);
        Ok(Ok(Granted { credential, member, directory: Some(entry) }))
    }

    /// Signs a credential that lies within the issuer's dates (R-ORG-13).
    fn sign_credential(
        &self,
        keys: RequestedKeys<'_>,
        (member_id, device_id): (MemberId, DeviceId),
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<proto::Signed, OrgError> {
        let issuer = self.organisation.issuer(&self.keys.issuer.id()).ok_or(OrgError::WrongKeys)?;
        let dates = Dates::from(now, CREDENTIAL_VALIDITY).within(issuer);
        if now < issuer.not_before() || now >= issuer.not_after() {
            return Err(OrgError::OutsideValidity);
        }
        let body = proto::CredentialBody {
            suite: SUITE,
            org_id: self.organisation.id().as_bytes().to_vec(),
            issuer_id: issuer.id().as_bytes().to_vec(),
            member_id: member_id.as_bytes().to_vec(),
            device_id: device_id.as_bytes().to_vec(),
            signing_key: keys.signing.to_vec(),
            identity_key: keys.identity.to_vec(),
            group_key: keys.group.to_vec(),
            capabilities: Capabilities::MEMBER.bits(),
            not_before: dates.not_before,
            not_after: dates.not_after,
        };
        Ok(sign::sign_credential(self.keys.issuer.signing(), &body, rng))
    }

    fn seal_entry(
        &self,
        key: &DirectoryKey,
        member_id: MemberId,
        member: &proto::DeskMember,
        rng: &mut dyn CryptoRng,
    ) -> Result<proto::SealedDirectoryEntry, OrgError> {
        let body = proto::DirectoryEntryBody {
            org_id: self.organisation.id().as_bytes().to_vec(),
            issuer_id: self.keys.issuer.id().as_bytes().to_vec(),
            member_id: member_id.as_bytes().to_vec(),
            handle: member.handle.clone(),
            name: member.name.clone(),
            device_ids: member.device_ids.clone(),
            version: member.entry_version,
        };
        let signed = sign::sign_directory_entry(self.keys.issuer.signing(), &body, rng);
        let entry_id = member.entry_id.as_slice().try_into().map_err(|_| damaged())?;
        Ok(key.seal(&signed, entry_id, member.entry_version, rng))
    }
}

/// What one answer works with.
struct Work<'a> {
    records: &'a dyn Records,
    settings: Settings,
    batch: Batch,
    now: Timestamp,
    rng: &'a mut dyn CryptoRng,
}

/// What a device is told that has become a member's.
struct Granted {
    credential: proto::Signed,
    member: proto::DeskMember,
    directory: Option<proto::SealedDirectoryEntry>,
}

/// A request whose signature verified: its sender holds the signing key, and reads the reply mailbox.
struct Request<'a> {
    invitation_id: [u8; 16],
    proof: &'a [u8],
    keys: RequestedKeys<'a>,
    statement: Vec<u8>,
    reply_mailbox: [u8; 16],
}

impl<'a> Request<'a> {
    fn read(request: &'a proto::EnrolmentRequest, context: &[u8; 32]) -> Result<Self, OrgError> {
        let keys = RequestedKeys::read(request).ok_or(OrgError::NotAuthentic)?;
        let invitation_id: [u8; 16] =
            request.invitation_id.as_slice().try_into().map_err(|_| OrgError::NotAuthentic)?;
        let signing = VerifyingKey::from_bytes(keys.signing).map_err(|_| OrgError::NotAuthentic)?;
        let statement = keys.statement(context, &invitation_id);
        signing.verify(label::SIGN_ENROLMENT, &statement, &request.signature)?;
        Ok(Self {
            invitation_id,
            proof: &request.proof,
            keys,
            statement,
            reply_mailbox: reply_mailbox(&signing),
        })
    }
}
