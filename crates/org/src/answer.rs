//! How the desk answers an enrolment request.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::kdf::mac_matches;
use chancery_crypto::label;
use chancery_crypto::rng::{CryptoRng, random_bytes};
use chancery_crypto::secret::SecretBytes;
use chancery_crypto::signature::VerifyingKey;
use chancery_identity::log::LeafKind;
use chancery_identity::{DeviceId, DirectoryKey, Kind, MemberId, SUITE, reply_mailbox, sign};
use chancery_wire::records::{Batch, Records};
use chancery_wire::{Limit, Timestamp, decode, encode, proto};
use proto::enrolment_answer::Outcome;

use crate::channel::{Answering, Form, REQUEST, RequestedKeys, seal_answer, unpad};
use crate::found::Dates;
use crate::guests::Changed;
use crate::places;
use crate::refusal::Refusal;
use crate::state::{self, Invitation, InvitationState, Settings, damaged};
use crate::{Desk, DirectoryAccess, DirectoryKeys, OrgError, guests, queue};

/// How long a device credential is valid, at most until its issuer's end: two years.
pub const CREDENTIAL_VALIDITY: Duration = Duration::from_secs(730 * 24 * 60 * 60);

/// How far a credential may be dated ahead of the desk's clock, so that it is not older than the entry before it: 12 hours,
/// half of the day by which it begins earlier than it is dated.
const MOST_AHEAD: Duration = Duration::from_secs(12 * 60 * 60);

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
        let (channel, plaintext) = self.open(&REQUEST, envelope)?;
        let body = unpad(plaintext.expose()).ok_or(OrgError::NotAuthentic)?;
        let request: proto::EnrolmentRequest =
            decode(body, Limit::STATEMENT).map_err(|_| OrgError::NotAuthentic)?.into_unchecked();
        let request = Request::read(&request, &channel.context)?;
        let settings = state::settings(records)?;
        let mut work = Work { records, settings, batch: Batch::default(), now, rng };
        let (outcome, directory) = match self.decide(&mut work, &request)? {
            Err(refusal) => (Outcome::Refused(proto::EnrolmentRefusal { reason: refusal.number() }), None),
            Ok(granted) => {
                let directory = granted.directory.clone();
                (work.welcome(granted), directory)
            }
        };
        let reply = seal(&channel, outcome, work.rng)?;
        Ok(Answered { batch: work.batch, reply_mailbox: request.reply_mailbox, reply, directory })
    }

    /// Opens an envelope of one kind: what answers are sealed with, and the padded body.
    pub(crate) fn open(&self, form: &Form, envelope: &[u8]) -> Result<(Answering, SecretBytes), OrgError> {
        let desk = self.organisation.desk().ok_or(OrgError::WrongKeys)?;
        let parts = form.parse(envelope).ok_or(OrgError::NotAuthentic)?;
        Ok(form.open(&parts, (&self.organisation.id(), desk), (&self.keys.dh, &self.keys.kem))?)
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
        // Whoever was offboarded has no invitation any more, used or not (R-ORG-42).
        if state::member(records, &invitation.member_id)?.is_some_and(|member| member.ended != 0) {
            return Ok(Err(Refusal::Unknown));
        }
        match &invitation.state {
            InvitationState::Used { by, device_id } if *by == request.keys.fingerprint() => {
                repeat(work, &invitation.member_id, device_id)
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
            InvitationState::Open(_) => self.enrol(work, request, (invitation.member_id, invitation.expires)),
        }
    }

    /// Makes a member of the device: credential, used invitation and directory entry, in one batch.
    pub(crate) fn enrol(
        &self,
        work: &mut Work<'_>,
        request: &Request<'_>,
        (member_id, expires): (MemberId, u64),
    ) -> Result<Result<Granted, Refusal>, OrgError> {
        let Work { records, settings, batch, now, rng } = work;
        let mut member = state::member(*records, &member_id)?.ok_or_else(damaged)?;
        if state::is_key_used(*records, &request.reply_mailbox)? {
            return Ok(Err(Refusal::Malformed));
        }
        if Self::is_full(*records, &member)? {
            return Ok(Err(Refusal::TooManyDevices));
        }
        let kind = guests::kind_of(&member)?;
        let directory_key = &settings.directory_key;
        let device_id = DeviceId::random(*rng);
        if device_id == self.credential().device_id() || state::credential(*records, &device_id)?.is_some() {
            return Err(OrgError::IdentifierTaken);
        }
        // A clock that was ahead has dated the last entry: to whoever holds that one the device is newer (R-ENGINE-15).
        let issued = Timestamp::from_millis(member.entry_version).min(now.after(MOST_AHEAD)).max(*now);
        if guests::end_of(&member, issued).is_some_and(|end| *now >= end) {
            return Ok(Err(Refusal::Expired));
        }
        // A guest holds no key of the directory and has no place in the tree (R-ORG-52).
        let keys = if kind.is_guest() {
            DirectoryAccess::Guest(guests::guest_key(&member)?)
        } else {
            let others = (member.device_ids.as_slice(), &device_id);
            let Some((slot, path)) = places::join(*records, batch, others, *rng)? else {
                return Ok(Err(Refusal::NoPlace));
            };
            let current = directory_key.at(directory_key.epoch()).ok_or_else(damaged)?;
            DirectoryAccess::Member(DirectoryKeys::new(current, slot, path))
        };
        let dates = self.dates(&member, issued)?;
        if kind != Kind::Person {
            // No later device outlives the first (R-ORG-51).
            member.ends = dates.not_after;
        }
        let of = (member_id, device_id, kind);
        let credential = self.sign_credential(request.keys, of, &dates, *rng);
        state::put_credential(batch, &device_id, &credential);
        state::put_used_key(batch, &request.reply_mailbox, &device_id);
        // Before the directory entry: a reader of the log hears of the device first (R-ORG-40).
        queue::push(*records, batch, LeafKind::Credential, credential.clone())?;

        member.device_ids.push(device_id.as_bytes().to_vec());
        member.issued = member.issued.saturating_add(1);
        member.open_invitations.retain(|id| id.as_slice() != request.invitation_id);
        let used = InvitationState::Used { by: request.keys.fingerprint(), device_id };
        let used = Invitation { member_id, expires, state: used };
        state::put_invitation(batch, &request.invitation_id, &used);
        let entry = self.make_entry(batch, directory_key, (&member_id, &mut member), (*now, *rng))?;
        state::add_pending(*records, batch, core::slice::from_ref(&entry.entry_id))?;
        self.tell_guests(work, Changed::Entry(&member_id))?;
        Ok(Ok(Granted { credential, device_id, member, keys, directory: Some(entry) }))
    }

    /// Notes a member's new devices, and signs and keeps the directory entry that says so (R-ORG-12); it is still
    /// to be made pending. Its version is the time, so that a reader can tell whether it is newer than a device's credential.
    pub(crate) fn make_entry(
        &self,
        batch: &mut Batch,
        key: &DirectoryKey,
        (member_id, member): (&MemberId, &mut proto::DeskMember),
        (now, rng): (Timestamp, &mut dyn CryptoRng),
    ) -> Result<proto::SealedDirectoryEntry, OrgError> {
        if member.entry_id.is_empty() {
            member.entry_id = random_bytes::<16>(rng).to_vec();
        }
        member.entry_version = member.entry_version.checked_add(1).ok_or_else(damaged)?.max(now.as_millis());
        let mut entry = self.seal_entry(batch, key, (*member_id, member), rng)?;
        entry.removed.clone_from(&member.removed_ids);
        state::put_entry(batch, &entry);
        state::put_member(batch, member_id, member);
        Ok(entry)
    }

    /// Returns the dates of a member's next credential: within the issuer's (R-ORG-13), and within what was said of a guest or
    /// bot (R-ORG-51).
    fn dates(&self, member: &proto::DeskMember, now: Timestamp) -> Result<Dates, OrgError> {
        let issuer = self.organisation.issuer(&self.keys.issuer.id()).ok_or(OrgError::WrongKeys)?;
        if now < issuer.not_before() || now >= issuer.not_after() {
            return Err(OrgError::OutsideValidity);
        }
        let mut dates = Dates::from(now, CREDENTIAL_VALIDITY).within(issuer);
        if let Some(end) = guests::end_of(member, now) {
            dates.not_after = dates.not_after.min(end.as_millis());
        }
        Ok(dates)
    }

    /// Signs a credential.
    fn sign_credential(
        &self,
        keys: RequestedKeys<'_>,
        (member_id, device_id, kind): (MemberId, DeviceId, Kind),
        dates: &Dates,
        rng: &mut dyn CryptoRng,
    ) -> proto::Signed {
        let body = proto::CredentialBody {
            suite: SUITE,
            org_id: self.organisation.id().as_bytes().to_vec(),
            issuer_id: self.keys.issuer.id().as_bytes().to_vec(),
            member_id: member_id.as_bytes().to_vec(),
            device_id: device_id.as_bytes().to_vec(),
            signing_key: keys.signing.to_vec(),
            identity_key: keys.identity.to_vec(),
            group_key: keys.group.to_vec(),
            capabilities: kind.capabilities().bits(),
            not_before: dates.not_before,
            not_after: dates.not_after,
        };
        sign::sign_credential(self.keys.issuer.signing(), &body, rng)
    }

    fn seal_entry(
        &self,
        batch: &mut Batch,
        key: &DirectoryKey,
        (member_id, member): (MemberId, &proto::DeskMember),
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
            unit: member.unit.clone(),
            kind: member.kind,
            reach: member.reach.clone(),
        };
        let signed = sign::sign_directory_entry(self.keys.issuer.signing(), &body, rng);
        let entry_id: &[u8; 16] = member.entry_id.as_slice().try_into().map_err(|_| damaged())?;
        let org = self.organisation.id();
        let about = (org.as_bytes(), &member_id, member.entry_version);
        queue::commit_to_entry(batch, &self.keys.issuer, (entry_id, &signed), about, rng);
        Ok(key.seal(&signed, entry_id, member.entry_version, rng))
    }
}

/// What one answer works with.
pub(crate) struct Work<'a> {
    pub(crate) records: &'a dyn Records,
    pub(crate) settings: Settings,
    pub(crate) batch: Batch,
    pub(crate) now: Timestamp,
    pub(crate) rng: &'a mut dyn CryptoRng,
}

impl Work<'_> {
    /// What a device is told that has become a member's.
    pub(crate) fn welcome(&self, granted: Granted) -> Outcome {
        let enrolled = proto::Enrolled {
            credential: Some(granted.credential),
            handle: granted.member.handle,
            name: granted.member.name,
            organisation_name: self.settings.organisation_name.to_string(),
            ..Default::default()
        };
        Outcome::Enrolled(match granted.keys {
            DirectoryAccess::Guest(key) => {
                proto::Enrolled { guest_key: key.secret().expose().to_vec(), ..enrolled }
            }
            DirectoryAccess::Member(keys) => proto::Enrolled {
                directory_key: keys.key().secret().expose().to_vec(),
                key_epoch: keys.key().epoch(),
                slot: keys.slot(),
                key_path: keys.path().expose().to_vec(),
                ..enrolled
            },
        })
    }
}

/// A device that has become a member's.
pub(crate) struct Granted {
    pub(crate) credential: proto::Signed,
    pub(crate) device_id: DeviceId,
    pub(crate) member: proto::DeskMember,
    pub(crate) keys: DirectoryAccess,
    pub(crate) directory: Option<proto::SealedDirectoryEntry>,
}

/// What the desk granted to a device before, with the directory keys of now. A device that was removed since gets nothing:
/// the keys would open what it was shut out of.
pub(crate) fn repeat(
    work: &Work<'_>,
    member_id: &MemberId,
    device_id: &DeviceId,
) -> Result<Result<Granted, Refusal>, OrgError> {
    let records = work.records;
    let credential = state::credential(records, device_id)?.ok_or_else(damaged)?;
    let member = state::member(records, member_id)?.ok_or_else(damaged)?;
    if !member.device_ids.iter().any(|id| id.as_slice() == device_id.as_bytes()) {
        return Ok(Err(Refusal::Used));
    }
    let key = &work.settings.directory_key;
    let keys = if guests::kind_of(&member)?.is_guest() {
        DirectoryAccess::Guest(guests::guest_key(&member)?)
    } else {
        let key = key.at(key.epoch()).ok_or_else(damaged)?;
        DirectoryAccess::Member(places::keys_of(records, device_id, key)?)
    };
    let directory = state::pending(records, &member.entry_id)?;
    Ok(Ok(Granted { credential, device_id: *device_id, member, keys, directory }))
}

/// Seals an outcome for whoever opened the channel.
pub(crate) fn seal(
    channel: &Answering,
    outcome: Outcome,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<u8>, OrgError> {
    let content = SecretBytes::new(encode(&proto::EnrolmentAnswer { outcome: Some(outcome) }));
    Ok(seal_answer(&channel.secret, &content, rng)?)
}

/// A request whose signature verified: its sender holds the signing key, and reads the reply mailbox.
pub(crate) struct Request<'a> {
    pub(crate) invitation_id: [u8; 16],
    proof: &'a [u8],
    pub(crate) keys: RequestedKeys<'a>,
    statement: Vec<u8>,
    pub(crate) reply_mailbox: [u8; 16],
}

impl<'a> Request<'a> {
    pub(crate) fn read(request: &'a proto::EnrolmentRequest, context: &[u8; 32]) -> Result<Self, OrgError> {
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
