//! Offboarding: a member's end, in one batch, and what has come of it since (R-ORG-42 to R-ORG-44).
//!
//! Everything that ends a member is in the batch; what is left after it is to hand the log and the relay what the batch put
//! into the queue and among the entries to be published. A desk that stops at any point goes on where it was.

use alloc::string::String;
use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::log::LeafKind;
use chancery_identity::{Capabilities, DeviceId, Handle, IssuerId, MemberId, Organisation, sign};
use chancery_wire::records::{Batch, Overlay, RecordKey, Records, Table};
use chancery_wire::{Timestamp, encode, proto};

use crate::answer::Work;
use crate::audit::Act;
use crate::ceremony;
use crate::guests::Changed;
use crate::state::{self, InvitationState, damaged};
use crate::{AdminKeys, Desk, Issued, OrgError, guests, queue};

const OFFBOARDINGS: Table = Table(0x0225);
const BY_HANDLE: Table = Table(0x0226);
const DROPPED_ENDS: Table = Table(0x022e);

/// What an offboarding would end, or has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffboardingPlan {
    /// Who.
    pub member_id: MemberId,
    /// The handle, free afterwards.
    pub handle: String,
    /// The name.
    pub name: String,
    /// Their devices.
    pub device_ids: Vec<DeviceId>,
    /// Invitations that are open.
    pub invitations: u32,
    /// Issuers whose keys they hold and that were not ended: only the root can (R-LOG-2).
    pub issuer_ids: Vec<IssuerId>,
    /// Guests and bots that end with them, because nobody else is within their reach.
    pub issued: Vec<Issued>,
}

/// How far the log has come with a statement of an offboarding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffboardingStep {
    /// There was nothing to do: the member never had a directory entry.
    NotNeeded,
    /// The statement waits for the log.
    Queued,
    /// It is in the log.
    Logged {
        /// Index of the entry, from 0.
        entry: u64,
        /// When the desk heard of it.
        time: Timestamp,
    },
    /// The log had said so before, or something that this contradicts.
    Refused {
        /// When the desk heard of it.
        time: Timestamp,
    },
    /// An administrator has dropped it; offboarding again signs it anew.
    Dropped {
        /// When.
        time: Timestamp,
    },
}

/// What an offboarding has cut, and what has yet to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffboardingReport {
    /// Who, and what they had. `issuer_ids` are those that have not been ended yet.
    pub plan: OffboardingPlan,
    /// When invitations and links ended and the handle came free: at once, with the desk's records.
    pub started: Timestamp,
    /// The member's end in the log. The relay cuts logins, mailboxes and prekeys of every device in the transaction of
    /// this entry.
    pub revocation: OffboardingStep,
    /// The commitment to the directory entry without devices.
    pub directory: OffboardingStep,
    /// Whether the relay hands out that entry.
    pub is_published: bool,
}

impl OffboardingReport {
    /// Whether the member's end is in the log, by which the relay lets none of their devices in.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        // What the log refuses of this kind is the second end of a member.
        matches!(self.revocation, OffboardingStep::Logged { .. } | OffboardingStep::Refused { .. })
    }

    /// Whether everything is done (R-ORG-62): nothing waits for the relay, and nothing was refused or dropped. Whether a
    /// device has heard of it is another matter.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        let is_listed = matches!(self.directory, OffboardingStep::Logged { .. } | OffboardingStep::NotNeeded);
        self.is_cut() && is_listed && self.is_published
    }
}

impl Desk {
    /// Says what an offboarding would end.
    ///
    /// # Errors
    ///
    /// [`OrgError::NotAMember`]: nobody has this handle. [`OrgError::Records`] when the store cannot answer.
    pub fn plan_offboarding(
        &self,
        records: &dyn Records,
        handle: &Handle,
        now: Timestamp,
    ) -> Result<OffboardingPlan, OrgError> {
        let member_id = state::member_of_handle(records, handle)?.ok_or(OrgError::NotAMember)?;
        let member = state::member(records, &member_id)?.ok_or_else(damaged)?;
        let open = open_invitations(records, (&member_id, &member), now)?;
        Ok(OffboardingPlan {
            member_id,
            device_ids: device_ids(&member.device_ids)?,
            handle: member.handle,
            name: member.name,
            invitations: u32::try_from(open.len()).unwrap_or(u32::MAX),
            issuer_ids: ceremony::held_by(records, &self.organisation, &member_id)?,
            issued: guests::issued_by(records, &member_id)?,
        })
    }

    /// Ends a member, in one batch (R-ORG-42): the statement for the log, the directory entry without devices, the
    /// invitations, the handle, and the record of the act. For a handle whose member was ended, and that nobody has had since,
    /// the batch is empty: [`Self::offboarding`] says how far it has come.
    ///
    /// # Errors
    ///
    /// [`OrgError::NotAMember`]: nobody has this handle. [`OrgError::WrongKeys`]: the administrator's keys are no issuer's
    /// with OFFBOARD. [`OrgError::Records`] when the store cannot answer. Nothing is to be committed.
    pub fn offboard(
        &self,
        admin: &AdminKeys,
        (records, handle): (&dyn Records, &Handle),
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<Batch, OrgError> {
        let mut batch = Batch::default();
        ceremony::check_may_sign(records, &self.organisation, (admin, Capabilities::OFFBOARD), now)?;
        if let (None, Some(last)) = (state::member_of_handle(records, handle)?, last_of(records, handle)?) {
            self.sign_anew(admin, (records, &mut batch), &last, (now, rng))?;
            return Ok(batch);
        }
        let plan = self.plan_offboarding(records, handle, now)?;
        let mut view = Overlay::new(records);
        self.end_one(admin, &mut view, (&plan, now), rng)?;
        let mut gone = Vec::from([plan.member_id]);
        for issued in &plan.issued {
            let handle = Handle::parse(&issued.handle).map_err(|_| damaged())?;
            // Whoever has nobody in reach but this one is in the plan already, and its own plan names it again.
            let own = OffboardingPlan { issued: Vec::new(), ..self.plan_offboarding(&view, &handle, now)? };
            self.end_one(admin, &mut view, (&own, now), rng)?;
            gone.push(issued.member_id);
        }
        self.drop_from_reach(&mut view, &gone, now, rng)?;
        let settings = state::settings(&view)?;
        let mut work = Work { records: &view, settings, batch, now, rng };
        self.tell_guests(&mut work, Changed::Key)?;
        let told = work.batch;
        view.absorb(told);
        Ok(view.into_batch())
    }

    /// Ends one member.
    fn end_one(
        &self,
        admin: &AdminKeys,
        view: &mut Overlay<'_>,
        (plan, now): (&OffboardingPlan, Timestamp),
        rng: &mut dyn CryptoRng,
    ) -> Result<(), OrgError> {
        let mut batch = Batch::default();
        self.queue_end_of_member(admin, (view, &mut batch), &plan.member_id, rng)?;
        let entry = self.end_member((view, &mut batch), plan, now, rng)?;
        self.note((view, &mut batch), (plan, entry), now, rng)?;
        view.absorb(batch);
        Ok(())
    }

    /// Signs anew what of an offboarding was dropped, and an entry without devices whose commitment the log refused.
    fn sign_anew(
        &self,
        admin: &AdminKeys,
        (records, batch): (&dyn Records, &mut Batch),
        member_id: &MemberId,
        (now, rng): (Timestamp, &mut dyn CryptoRng),
    ) -> Result<(), OrgError> {
        let mut record = read(records, member_id.as_bytes())?.ok_or_else(damaged)?;
        let before = record.clone();
        if is_given_up(records, member_id)? {
            record.revocation = None;
            self.queue_end_of_member(admin, (records, batch), member_id, rng)?;
        }
        if record.directory.as_ref().is_some_and(|step| step.refused) {
            record.directory = None;
            self.renew_entry((records, batch), member_id, now, rng)?;
        }
        if record != before {
            put(batch, member_id.as_bytes(), &record);
        }
        Ok(())
    }

    /// Signs a member's directory entry anew, as it is, and its commitment, and tells the guests whom it concerns.
    pub(crate) fn renew_entry(
        &self,
        (records, batch): (&dyn Records, &mut Batch),
        member_id: &MemberId,
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), OrgError> {
        let settings = state::settings(records)?;
        let mut member = state::member(records, member_id)?.ok_or_else(damaged)?;
        let entry =
            self.make_entry(batch, &settings.directory_key, (member_id, &mut member), (now, &mut *rng))?;
        state::add_pending(records, batch, core::slice::from_ref(&entry.entry_id))?;
        let mut work = Work { records, settings, batch: core::mem::take(batch), now, rng };
        self.tell_guests(&mut work, Changed::Entry(member_id))?;
        *batch = work.batch;
        Ok(())
    }

    /// Ends a device of a member on an administrator's word: the statement for the log, the directory entry without it, and
    /// the record of the act. For one that was removed before, the batch is empty, unless its end was dropped: then that is
    /// signed anew.
    ///
    /// # Errors
    ///
    /// [`OrgError::NotAMember`]: nobody has this handle. [`OrgError::UnknownDevice`]: the member never had the device.
    /// [`OrgError::Records`] when the store cannot answer. Nothing is to be committed.
    pub fn end_device(
        &self,
        records: &dyn Records,
        (handle, device_id): (&Handle, &DeviceId),
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<Batch, OrgError> {
        let mut batch = Batch::default();
        let member_id = state::member_of_handle(records, handle)?.ok_or(OrgError::NotAMember)?;
        let member = state::member(records, &member_id)?.ok_or_else(damaged)?;
        let is_it = |id: &Vec<u8>| id.as_slice() == device_id.as_bytes();
        if !member.device_ids.iter().any(is_it) {
            if !member.removed_ids.iter().any(is_it) {
                return Err(OrgError::UnknownDevice);
            }
            if records.get(&dropped_end(device_id))?.is_some() {
                batch.delete(dropped_end(device_id));
                self.queue_end_of_device(records, &mut batch, (&member_id, device_id), rng)?;
            }
            return Ok(batch);
        }
        self.queue_end_of_device(records, &mut batch, (&member_id, device_id), rng)?;
        let settings = state::settings(records)?;
        let mut work = Work { records, settings, batch, now, rng };
        self.take_out(&mut work, (&member_id, member), &[*device_id])?;
        self.tell_guests(&mut work, Changed::Key)?;
        let Work { mut batch, rng, .. } = work;
        let device = alloc::string::ToString::to_string(device_id);
        let act = Act {
            action: "remove device",
            target: handle.as_str(),
            before: &device,
            after: "",
            member: Some(member_id),
        };
        self.record_act((records, &mut batch), &act, now, rng)?;
        Ok(batch)
    }

    /// Queues the end of a device, on the word of its member or of an administrator (R-ORG-40).
    pub(crate) fn queue_end_of_device(
        &self,
        records: &dyn Records,
        batch: &mut Batch,
        (member_id, device_id): (&MemberId, &DeviceId),
        rng: &mut dyn CryptoRng,
    ) -> Result<(), OrgError> {
        let body = proto::RevocationBody {
            org_id: self.organisation.id().as_bytes().to_vec(),
            issuer_id: self.keys.issuer.id().as_bytes().to_vec(),
            member_id: member_id.as_bytes().to_vec(),
            device_id: device_id.as_bytes().to_vec(),
        };
        let signed = sign::sign_revocation(self.keys.issuer.signing(), &body, rng);
        queue::push(records, batch, LeafKind::DeviceRevoked, signed).map(drop)
    }

    /// Queues the end of a member.
    fn queue_end_of_member(
        &self,
        admin: &AdminKeys,
        (records, batch): (&dyn Records, &mut Batch),
        member_id: &MemberId,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), OrgError> {
        let body = proto::RevocationBody {
            org_id: self.organisation.id().as_bytes().to_vec(),
            issuer_id: admin.issuer().id().as_bytes().to_vec(),
            member_id: member_id.as_bytes().to_vec(),
            device_id: Vec::new(),
        };
        let signed = sign::sign_revocation(admin.issuer().signing(), &body, rng);
        queue::push(records, batch, LeafKind::MemberRevoked, signed).map(drop)
    }

    /// Ends what the desk itself has of a member, and returns the directory entry that says so.
    fn end_member(
        &self,
        (records, batch): (&dyn Records, &mut Batch),
        plan: &OffboardingPlan,
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<Option<proto::SealedDirectoryEntry>, OrgError> {
        let settings = state::settings(records)?;
        let mut member = state::member(records, &plan.member_id)?.ok_or_else(damaged)?;
        for id in open_invitations(records, (&plan.member_id, &member), now)? {
            state::delete_invitation(batch, &id);
        }
        state::delete_handle(batch, &plan.handle);
        member.ended = now.as_millis().max(1);
        member.open_invitations.clear();
        if member.entry_id.is_empty() {
            state::put_member(batch, &plan.member_id, &member);
            return Ok(None);
        }
        let mut work = Work { records, settings, batch: core::mem::take(batch), now, rng };
        // Also for a member whose last device was ended before: the entry's number rises, and with it the log's commitment.
        let taken = self.take_out(&mut work, (&plan.member_id, member), &plan.device_ids)?;
        *batch = work.batch;
        Ok(Some(taken.entry))
    }

    /// Notes the offboarding itself, and the act.
    fn note(
        &self,
        (records, batch): (&dyn Records, &mut Batch),
        (plan, entry): (&OffboardingPlan, Option<proto::SealedDirectoryEntry>),
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), OrgError> {
        let devices = alloc::format!("{} devices", plan.device_ids.len());
        let act = Act {
            action: "offboard",
            target: &plan.handle,
            before: &devices,
            after: "ended",
            member: Some(plan.member_id),
        };
        self.record_act((records, batch), &act, now, rng)?;
        let entry = entry.unwrap_or_default();
        let value = proto::DeskOffboarding {
            handle: plan.handle.clone(),
            name: plan.name.clone(),
            started: now.as_millis(),
            device_ids: plan.device_ids.iter().map(|id| id.as_bytes().to_vec()).collect(),
            invitations: plan.invitations,
            issuer_ids: plan.issuer_ids.iter().map(|id| id.as_bytes().to_vec()).collect(),
            entry_id: entry.entry_id,
            entry_version: entry.version,
            revocation: None,
            directory: None,
            issued: plan.issued.iter().map(|issued| issued.member_id.as_bytes().to_vec()).collect(),
        };
        put(batch, plan.member_id.as_bytes(), &value);
        batch.put(RecordKey::new(BY_HANDLE, plan.handle.as_str()), plan.member_id.as_bytes().to_vec());
        Ok(())
    }

    /// Says how far the last offboarding of a member with this handle has come; `None` if there was none.
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn offboarding(
        records: &dyn Records,
        organisation: &Organisation,
        handle: &Handle,
    ) -> Result<Option<OffboardingReport>, OrgError> {
        let Some(member_id) = last_of(records, handle)? else { return Ok(None) };
        let record = read(records, member_id.as_bytes())?.ok_or_else(damaged)?;
        let needs_entry = !record.entry_id.is_empty();
        let directory = if needs_entry { shown(record.directory) } else { OffboardingStep::NotNeeded };
        let pending = state::pending_index(records)?;
        let is_published = !pending.iter().any(|id| id.as_slice() == record.entry_id);
        let issuers = ceremony::held_by(records, organisation, &member_id)?;
        let plan = OffboardingPlan {
            member_id,
            device_ids: device_ids(&record.device_ids)?,
            handle: record.handle,
            name: record.name,
            invitations: record.invitations,
            issuer_ids: issuers,
            issued: guests::issued(records, &record.issued)?,
        };
        Ok(Some(OffboardingReport {
            plan,
            started: Timestamp::from_millis(record.started),
            revocation: shown(record.revocation),
            directory,
            is_published,
        }))
    }

    /// Returns what the log's newest commitment to a member's directory entry has to be; `None` if the member never had
    /// an entry.
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn entry_commitment(
        records: &dyn Records,
        member_id: &MemberId,
    ) -> Result<Option<[u8; 32]>, OrgError> {
        let Some(member) = state::member(records, member_id)? else { return Ok(None) };
        let body = queue::entry_commitment(records, &member.entry_id)?;
        body.map(|body| body.commitment.try_into().map_err(|_| damaged())).transpose()
    }
}

/// Names the note that a device's end was dropped: the log does not have it, and it does not wait.
pub(crate) fn dropped_end(device_id: &DeviceId) -> RecordKey {
    RecordKey::new(DROPPED_ENDS, *device_id.as_bytes())
}

/// Notes what the log said to a member's end.
pub(crate) fn revoked(
    records: &dyn Records,
    batch: &mut Batch,
    member_id: &[u8],
    step: proto::DeskStep,
) -> Result<(), OrgError> {
    if let Some(record) = read(records, member_id)? {
        put(batch, member_id, &proto::DeskOffboarding { revocation: Some(step), ..record });
    }
    Ok(())
}

/// Notes what the log said to the commitment of an entry, if that is one without devices.
pub(crate) fn committed(
    records: &dyn Records,
    batch: &mut Batch,
    body: &proto::LogCommitmentBody,
    step: proto::DeskStep,
) -> Result<(), OrgError> {
    let version = body.object.first_chunk::<8>().map(|version| u64::from_be_bytes(*version));
    match read(records, &body.subject)? {
        Some(record) if version.is_some_and(|version| version >= record.entry_version) => {
            put(batch, &body.subject, &proto::DeskOffboarding { directory: Some(step), ..record });
        }
        _ => {}
    }
    Ok(())
}

/// The invitations of a member that somebody could still use.
pub(crate) fn open_invitations(
    records: &dyn Records,
    (member_id, member): (&MemberId, &proto::DeskMember),
    now: Timestamp,
) -> Result<Vec<Vec<u8>>, OrgError> {
    let mut ids = member.open_invitations.clone();
    // One of a desk of an earlier version, which kept no list.
    if !ids.contains(&member.invitation_id) {
        ids.push(member.invitation_id.clone());
    }
    let mut open = Vec::new();
    for id in ids {
        let invitation = state::invitation(records, &id)?;
        let usable = invitation.is_some_and(|it| {
            it.member_id == *member_id
                && matches!(it.state, InvitationState::Open(_))
                && now.as_millis() < it.expires
        });
        if usable {
            open.push(id);
        }
    }
    Ok(open)
}

/// Whether the end of a member neither reached the log nor waits for it, because it was dropped.
fn is_given_up(records: &dyn Records, member_id: &MemberId) -> Result<bool, OrgError> {
    let record = read(records, member_id.as_bytes())?.ok_or_else(damaged)?;
    if let Some(step) = record.revocation {
        return Ok(step.dropped);
    }
    // A desk of an earlier version noted nothing when it was dropped.
    for queued in Desk::queued_statements(records)? {
        if queued.kind == LeafKind::MemberRevoked {
            let body: proto::RevocationBody = queue::body(&queued.statement)?;
            if body.member_id == member_id.as_bytes() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn last_of(records: &dyn Records, handle: &Handle) -> Result<Option<MemberId>, OrgError> {
    match records.get(&RecordKey::new(BY_HANDLE, handle.as_str()))? {
        None => Ok(None),
        Some(bytes) => MemberId::from_bytes(&bytes).map(Some).ok_or_else(damaged),
    }
}

fn shown(step: Option<proto::DeskStep>) -> OffboardingStep {
    let Some(step) = step else { return OffboardingStep::Queued };
    let time = Timestamp::from_millis(step.time);
    match step.entry.checked_sub(1) {
        Some(entry) => OffboardingStep::Logged { entry, time },
        None if step.dropped => OffboardingStep::Dropped { time },
        None => OffboardingStep::Refused { time },
    }
}

fn device_ids(ids: &[Vec<u8>]) -> Result<Vec<DeviceId>, OrgError> {
    ids.iter().map(|id| DeviceId::from_bytes(id).ok_or_else(damaged)).collect()
}

fn read(records: &dyn Records, member_id: &[u8]) -> Result<Option<proto::DeskOffboarding>, OrgError> {
    state::read(records, &RecordKey::new(OFFBOARDINGS, member_id))
}

fn put(batch: &mut Batch, member_id: &[u8], record: &proto::DeskOffboarding) {
    batch.put(RecordKey::new(OFFBOARDINGS, member_id), encode(record));
}
