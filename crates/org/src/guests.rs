//! Guests and bots: on what terms somebody is invited, what a guest is told of the directory, and who is left with nobody
//! in reach (R-ORG-50 to R-ORG-56, R-ORG-64 to R-ORG-65).

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::SecretBytes;
use chancery_identity::delivery::DeliveryKey;
use chancery_identity::guest::{blob_token, part_id, token};
use chancery_identity::{DeviceId, DisplayName, GuestKey, Handle, Kind, MAX_REACH, MemberId};
use chancery_wire::records::{Batch, Overlay, Records};
use chancery_wire::{Timestamp, proto};

use crate::answer::{CREDENTIAL_VALIDITY, Work};
use crate::state::{self, damaged};
use crate::{Desk, DirectoryKeys, OrgError};

/// How long the credentials of a guest or bot are valid if nobody says otherwise: 90 days.
pub const DEFAULT_LIMITED_VALIDITY: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// The most guests and bots of an organisation: 1,000. With every change of the directory key the desk seals anew what
/// each guest is told.
pub const MAX_LIMITED: usize = 1_000;
/// Parts for guests that are sealed in one transaction: 512, about 2 MiB, and one more member's for all devices of a guest.
const PARTS_AT_A_TIME: usize = 512;
/// While so many entries wait to be published, nothing more is sealed for guests: 4,096. Their names are in one record,
/// which is written anew with each.
const MAX_PENDING_TO_TELL: usize = 4_096;

/// On what terms somebody is invited (R-ORG-50).
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms<'a> {
    /// Department or place.
    pub unit: Option<&'a DisplayName>,
    /// A person, a guest or a bot.
    pub kind: Kind,
    /// Whom a guest or bot reaches; see [`Desk::reachable`]. For a guest at least one, at most [`MAX_REACH`]; none for
    /// a person; a bot with none reaches everybody.
    pub reach: &'a [MemberId],
    /// How long a guest's or bot's credential is valid, from the enrolment on: more than nothing, at most
    /// [`CREDENTIAL_VALIDITY`]; `None` for [`DEFAULT_LIMITED_VALIDITY`]. For a person only `None`.
    pub validity: Option<Duration>,
    /// The member who answers for a guest or bot, and with whom it ends; see [`Desk::owning`]. For a person only `None`.
    pub owner: Option<MemberId>,
}

/// What a new device can open of the directory.
#[derive(Debug)]
pub enum DirectoryAccess {
    /// A member's device: all of it.
    Member(DirectoryKeys),
    /// A guest's device: what the desk seals for it.
    Guest(GuestKey),
}

impl DirectoryAccess {
    /// Returns the keys of a member's device.
    #[must_use]
    pub const fn keys(&self) -> Option<&DirectoryKeys> {
        match self {
            Self::Member(keys) => Some(keys),
            Self::Guest(_) => None,
        }
    }
}

/// Whose entry has changed.
#[derive(Clone, Copy)]
pub(crate) enum Changed<'a> {
    /// That of one member.
    Entry(&'a MemberId),
    /// The directory key, and with it all delivery tokens.
    Key,
}

impl Desk {
    /// Returns the member whom a guest or bot that is to be invited can be given as reach: somebody of the organisation,
    /// invited or enrolled, and no guest (R-ORG-50).
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn reachable(records: &dyn Records, handle: &Handle) -> Result<Option<MemberId>, OrgError> {
        let Some(id) = state::member_of_handle(records, handle)? else { return Ok(None) };
        let member = state::member(records, &id)?.ok_or_else(damaged)?;
        Ok((member.ended == 0 && !kind_of(&member)?.is_guest()).then_some(id))
    }

    /// Returns the member who can own a guest or bot: a person of the organisation, invited or enrolled (R-ORG-64).
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn owning(records: &dyn Records, handle: &Handle) -> Result<Option<MemberId>, OrgError> {
        let Some(id) = state::member_of_handle(records, handle)? else { return Ok(None) };
        let member = state::member(records, &id)?.ok_or_else(damaged)?;
        Ok(can_own(&member)?.then_some(id))
    }

    /// Checks the terms of an invitation, and makes of them what the desk remembers of the member.
    pub(crate) fn member_on(
        records: &dyn Records,
        batch: &mut Batch,
        (member_id, terms): (&MemberId, &Terms<'_>),
        rng: &mut dyn CryptoRng,
    ) -> Result<proto::DeskMember, OrgError> {
        let validity = match (terms.kind, terms.validity) {
            (Kind::Person, None) => None,
            (Kind::Person, Some(_)) => return Err(OrgError::ValidityOutOfRange),
            (_, validity) => Some(validity.unwrap_or(DEFAULT_LIMITED_VALIDITY)),
        };
        if validity.is_some_and(|it| it.as_millis() == 0 || it > CREDENTIAL_VALIDITY) {
            return Err(OrgError::ValidityOutOfRange);
        }
        let suits = match terms.kind {
            Kind::Person => terms.reach.is_empty(),
            Kind::Bot => true,
            Kind::Guest | Kind::GuestBot => !terms.reach.is_empty(),
        };
        if !suits || terms.reach.len() > MAX_REACH {
            return Err(OrgError::ReachOutOfRange);
        }
        let mut reach: Vec<Vec<u8>> = Vec::with_capacity(terms.reach.len());
        for id in terms.reach {
            let known = state::member(records, id)?.ok_or(OrgError::ReachOutOfRange)?;
            if known.ended != 0 || kind_of(&known)?.is_guest() || id == member_id {
                return Err(OrgError::ReachOutOfRange);
            }
            if !reach.iter().any(|other| other.as_slice() == id.as_bytes()) {
                reach.push(id.as_bytes().to_vec());
            }
        }
        let owner = owner(records, terms)?;
        set_limited(records, batch, member_id, terms.kind != Kind::Person)?;
        let guest_key = if terms.kind.is_guest() {
            GuestKey::generate(rng).secret().expose().to_vec()
        } else {
            Vec::new()
        };
        Ok(proto::DeskMember {
            unit: terms.unit.map(|unit| unit.as_str().into()).unwrap_or_default(),
            kind: terms.kind.number(),
            reach,
            validity: validity.map_or(0, |it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX)),
            guest_key,
            owner,
            ..Default::default()
        })
    }

    /// Notes of whom guests are to be told anew (R-ORG-53); [`Self::tell_next`] does it. The last thing in a batch: it looks at
    /// what the batch makes of the records.
    pub(crate) fn tell_guests(&self, work: &mut Work<'_>, changed: Changed<'_>) -> Result<(), OrgError> {
        let mut view = Overlay::new(work.records);
        view.absorb(work.batch.clone());
        for guest_id in limited(&view)? {
            let guest = state::member(&view, &guest_id)?.ok_or_else(damaged)?;
            if !is_told(&guest)? {
                continue;
            }
            match changed {
                Changed::Entry(id) if *id != guest_id => {
                    if !guest.reach.iter().any(|about| about.as_slice() == id.as_bytes()) {
                        continue;
                    }
                    let mut about = match state::untold(&view, &guest_id)? {
                        Some(all) if all.is_empty() => continue,
                        untold => untold.unwrap_or_default(),
                    };
                    if !about.contains(id) {
                        about.push(*id);
                    }
                    state::put_untold(&mut work.batch, &guest_id, &about);
                }
                Changed::Entry(_) | Changed::Key => state::put_untold(&mut work.batch, &guest_id, &[]),
            }
        }
        Ok(())
    }

    /// Seals what one of the guests is to be told, or a part of it, and puts it among what is to be published (R-ORG-67);
    /// `None` when all have been told, or so much waits to be published that this has to come first. Ask before and after
    /// everything was published.
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer. Nothing is to be committed.
    pub fn tell_next(
        &self,
        records: &dyn Records,
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<Option<Batch>, OrgError> {
        if state::pending_index(records)?.len() >= MAX_PENDING_TO_TELL {
            return Ok(None);
        }
        for guest_id in limited(records)? {
            let Some(untold) = state::untold(records, &guest_id)? else { continue };
            let guest = state::member(records, &guest_id)?.ok_or_else(damaged)?;
            let settings = state::settings(records)?;
            let mut work = Work { records, settings, batch: Batch::default(), now, rng };
            let mut about = if is_told(&guest)? { subjects(&guest_id, &guest)? } else { Vec::new() };
            about.retain(|id| untold.is_empty() || untold.contains(id));
            let at_a_time = PARTS_AT_A_TIME.checked_div(guest.device_ids.len()).unwrap_or_default().max(1);
            let later = about.split_off(about.len().min(at_a_time));
            let mut ids = Vec::new();
            for id in &about {
                ids.extend(self.tell(&mut work, (&guest_id, &guest, id))?);
            }
            let mut batch = work.batch;
            state::add_pending(records, &mut batch, &ids)?;
            match later.is_empty() {
                true => state::delete_untold(&mut batch, &guest_id),
                false => state::put_untold(&mut batch, &guest_id, &later),
            }
            return Ok(Some(batch));
        }
        Ok(None)
    }

    /// Seals what one guest is told of one member, for each of its devices; returns the names.
    fn tell(
        &self,
        work: &mut Work<'_>,
        (guest_id, guest, about): (&MemberId, &proto::DeskMember, &MemberId),
    ) -> Result<Vec<Vec<u8>>, OrgError> {
        let Work { records, settings, batch, now, rng } = work;
        let member = state::member(*records, about)?.ok_or_else(damaged)?;
        // Invited and not enrolled: there is nothing to tell yet.
        let Some(sealed) = state::entry(*records, &member.entry_id)? else { return Ok(Vec::new()) };
        let org = self.organisation.id();
        let key = &settings.directory_key;
        let signed = key.open(&sealed)?.into_unchecked();
        let delivery = DeliveryKey::of(&org, key);
        let (mut tokens, mut send_key) = (Vec::new(), Vec::new());
        for id in device_ids(&member)? {
            tokens.push(token(*id.as_bytes(), &delivery));
        }
        if about == guest_id {
            tokens.push(blob_token(&delivery));
            send_key = delivery.send_key().secret().expose().to_vec();
        }
        let part = proto::GuestDirectory { entries: [signed].into(), epoch: key.epoch(), tokens, send_key };
        let guest_key = GuestKey::from_slice(&guest.guest_key).ok_or_else(damaged)?;
        let mut ids = Vec::new();
        for device in device_ids(guest)? {
            let last = state::entry(*records, &part_id(&org, &device, about))?.map_or(0, |last| last.version);
            let version = last.checked_add(1).ok_or_else(damaged)?.max(now.as_millis());
            let sealed = guest_key.seal((&org, &device, about), part.clone(), version, *rng);
            state::put_entry(batch, &sealed);
            ids.push(sealed.entry_id);
        }
        Ok(ids)
    }

    /// Drops members who end from the reach of every guest and bot that stays (R-ORG-54).
    pub(crate) fn drop_from_reach(
        &self,
        view: &mut Overlay<'_>,
        gone: &[MemberId],
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), OrgError> {
        let is_gone = |id: &Vec<u8>| gone.iter().any(|gone| gone.as_bytes() == id.as_slice());
        for id in limited(view)? {
            let mut member = state::member(view, &id)?.ok_or_else(damaged)?;
            if member.ended != 0 || !member.reach.iter().any(is_gone) {
                continue;
            }
            member.reach.retain(|id| !is_gone(id));
            let mut batch = Batch::default();
            if member.entry_id.is_empty() {
                state::put_member(&mut batch, &id, &member);
            } else {
                let key = state::settings(view)?.directory_key;
                let entry = self.make_entry(&mut batch, &key, (&id, &mut member), (now, &mut *rng))?;
                state::add_pending(view, &mut batch, &[entry.entry_id])?;
            }
            view.absorb(batch);
        }
        Ok(())
    }

    /// Returns the names of everything that a guest was told, for a relay that may have lost it (R-ORG-23).
    pub(crate) fn told(
        &self,
        records: &dyn Records,
        (guest_id, guest): (&MemberId, &proto::DeskMember),
    ) -> Result<Vec<Vec<u8>>, OrgError> {
        let mut ids = Vec::new();
        if !kind_of(guest)?.is_guest() || guest.ended != 0 {
            return Ok(ids);
        }
        for about in subjects(guest_id, guest)? {
            for device in device_ids(guest)? {
                let id = part_id(&self.organisation.id(), &device, &about);
                if state::entry(records, &id)?.is_some() {
                    ids.push(id.to_vec());
                }
            }
        }
        Ok(ids)
    }
}

/// A guest or bot that somebody owns, or has in reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Who.
    pub member_id: MemberId,
    /// The handle.
    pub handle: String,
    /// A guest or a bot.
    pub kind: Kind,
    /// Who owns it; `None` if a desk of an earlier version invited it.
    pub owner: Option<MemberId>,
}

/// What an end does to guests and bots.
pub(crate) struct Concerned {
    /// They end with the member.
    pub(crate) ending: Vec<Issued>,
    /// They lose the member from their reach.
    pub(crate) staying: Vec<Issued>,
}

/// Returns the guests and bots that a member owns, or that are left with nobody in reach once the member is ended, and those
/// that are left with nobody then (R-ORG-54, R-ORG-65); and those that lose one who ends from their reach, and stay.
pub(crate) fn concerned(records: &dyn Records, leaver: &MemberId) -> Result<Concerned, OrgError> {
    let mut ended = Vec::from([leaver.as_bytes().to_vec()]);
    let mut ending = Vec::new();
    let mut all = Vec::new();
    for id in limited(records)? {
        let member = state::member(records, &id)?.ok_or_else(damaged)?;
        if member.ended == 0 && id != *leaver {
            all.push((id, member));
        }
    }
    loop {
        let before = all.len();
        let mut left = Vec::with_capacity(before);
        for (id, member) in all {
            let is_left = !member.reach.is_empty() && member.reach.iter().all(|id| ended.contains(id));
            if is_left || ended.contains(&member.owner) {
                ended.push(id.as_bytes().to_vec());
                ending.push(shown(&id, &member)?);
            } else {
                left.push((id, member));
            }
        }
        all = left;
        if all.len() == before {
            break;
        }
    }
    let mut staying = Vec::new();
    for (id, member) in &all {
        if member.reach.iter().any(|id| ended.contains(id)) {
            staying.push(shown(id, member)?);
        }
    }
    Ok(Concerned { ending, staying })
}

/// Whether somebody may own a guest or bot.
fn can_own(member: &proto::DeskMember) -> Result<bool, OrgError> {
    Ok(member.ended == 0 && kind_of(member)? == Kind::Person)
}

/// The owner that terms name, as it is kept.
fn owner(records: &dyn Records, terms: &Terms<'_>) -> Result<Vec<u8>, OrgError> {
    match (terms.kind, terms.owner) {
        (Kind::Person, None) => Ok(Vec::new()),
        (Kind::Person, Some(_)) | (_, None) => Err(OrgError::OwnerNotAllowed),
        (_, Some(id)) => {
            let member = state::member(records, &id)?.ok_or(OrgError::OwnerNotAllowed)?;
            if can_own(&member)? { Ok(id.as_bytes().to_vec()) } else { Err(OrgError::OwnerNotAllowed) }
        }
    }
}

/// Returns what was ended with somebody, by identifier.
pub(crate) fn issued(records: &dyn Records, ids: &[Vec<u8>]) -> Result<Vec<Issued>, OrgError> {
    let mut issued = Vec::with_capacity(ids.len());
    for id in ids {
        let id = MemberId::from_bytes(id).ok_or_else(damaged)?;
        issued.push(shown(&id, &state::member(records, &id)?.ok_or_else(damaged)?)?);
    }
    Ok(issued)
}

fn shown(id: &MemberId, member: &proto::DeskMember) -> Result<Issued, OrgError> {
    let owner = MemberId::from_bytes(&member.owner);
    Ok(Issued { member_id: *id, handle: member.handle.clone(), kind: kind_of(member)?, owner })
}

/// Returns when the devices of a guest or bot end at the latest; `None` for others.
pub(crate) fn end_of(member: &proto::DeskMember, from: Timestamp) -> Option<Timestamp> {
    match (member.ends, member.validity) {
        (0, 0) => None,
        (0, validity) => Some(from.after(Duration::from_millis(validity))),
        (ends, _) => Some(Timestamp::from_millis(ends)),
    }
}

pub(crate) fn kind_of(member: &proto::DeskMember) -> Result<Kind, OrgError> {
    Kind::from_number(member.kind).ok_or_else(damaged)
}

/// The guest's key, to be sent.
pub(crate) fn guest_key(member: &proto::DeskMember) -> Result<GuestKey, OrgError> {
    GuestKey::from_slice(SecretBytes::new(member.guest_key.clone()).expose()).ok_or_else(damaged)
}

/// The guests and bots, in the order in which they were invited.
pub(crate) fn limited(records: &dyn Records) -> Result<Vec<MemberId>, OrgError> {
    Ok(state::limited(records)?.into_iter().map(MemberId::new).collect())
}

/// Notes that a member is a guest or bot, or is not.
fn set_limited(
    records: &dyn Records,
    batch: &mut Batch,
    member_id: &MemberId,
    is_limited: bool,
) -> Result<(), OrgError> {
    let mut ids = state::limited(records)?;
    let was = ids.contains(member_id.as_bytes());
    if was == is_limited {
        return Ok(());
    }
    if is_limited {
        // Those who have left keep no place.
        let mut staying = Vec::with_capacity(ids.len());
        for id in ids {
            if state::member(records, &MemberId::new(id))?.is_some_and(|member| member.ended == 0) {
                staying.push(id);
            } else {
                state::delete_untold(batch, &MemberId::new(id));
            }
        }
        ids = staying;
        if ids.len() >= MAX_LIMITED {
            return Err(OrgError::TooManyLimited);
        }
        ids.push(*member_id.as_bytes());
    } else {
        ids.retain(|id| id != member_id.as_bytes());
    }
    state::put_limited(batch, &ids);
    Ok(())
}

/// Whether somebody is a guest with devices.
fn is_told(member: &proto::DeskMember) -> Result<bool, OrgError> {
    Ok(kind_of(member)?.is_guest() && member.ended == 0 && !member.device_ids.is_empty())
}

/// Of whom a guest is told: of itself, and of those within reach.
fn subjects(guest_id: &MemberId, guest: &proto::DeskMember) -> Result<Vec<MemberId>, OrgError> {
    let mut all = Vec::from([*guest_id]);
    for id in &guest.reach {
        all.push(MemberId::from_bytes(id).ok_or_else(damaged)?);
    }
    Ok(all)
}

fn device_ids(member: &proto::DeskMember) -> Result<Vec<DeviceId>, OrgError> {
    member.device_ids.iter().map(|id| DeviceId::from_bytes(id).ok_or_else(damaged)).collect()
}
