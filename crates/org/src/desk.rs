//! The enrolment desk and its books: invitations, members, and the directory to publish.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::rng::{CryptoRng, random_bytes};
use chancery_crypto::secret::Secret;
use chancery_identity::{
    Capabilities, Credential, DeviceId, DeviceKeys, DisplayName, Handle, IdentityError, Kind, MemberId,
    Organisation, RelayRecord,
};
use chancery_wire::records::{Batch, Records};
use chancery_wire::{Timestamp, Unverified, proto};

use crate::audit::Act;
use crate::keys::DeskKeys;
use crate::state::{self, Invitation, InvitationState, damaged};
use crate::{InvitationLink, OrgError, Terms, guests, offboard};

/// How long an invitation lives if nobody says otherwise: a week.
pub const DEFAULT_INVITATION_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The longest that an invitation may live: 90 days. A link that lies in a mailbox for longer is a key under a mat.
pub const MAX_INVITATION_LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Whom to invite, and how.
#[derive(Debug, Clone, Copy)]
pub struct Invite<'a> {
    /// The handle, which must be free.
    pub handle: &'a Handle,
    /// The name to show.
    pub name: &'a DisplayName,
    /// The relay that the new device is sent to.
    pub relay: &'a RelayRecord,
    /// From now on; more than nothing, at most [`MAX_INVITATION_LIFETIME`].
    pub lifetime: Duration,
    /// As what. For another device of somebody who is a member already, nothing of it counts.
    pub terms: Terms<'a>,
}

/// A new invitation. Commit the batch before the link is shown.
#[derive(Debug)]
pub struct Invited {
    /// What the invited person gets.
    pub link: InvitationLink,
    /// Who they will be.
    pub member_id: MemberId,
    /// What the desk must remember.
    pub batch: Batch,
}

/// A person in the desk's books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The identifier, never issued to another.
    pub member_id: MemberId,
    /// The handle.
    pub handle: Handle,
    /// The name.
    pub name: DisplayName,
    /// Department or place, if one is said.
    pub unit: Option<DisplayName>,
    /// A person, a guest or a bot.
    pub kind: Kind,
    /// Whom a guest or bot reaches.
    pub reach: Vec<MemberId>,
    /// Who owns a guest or bot; `None` for others, and for those that a desk of an earlier version invited.
    pub owner: Option<MemberId>,
    /// When the credentials of a guest or bot who has enrolled end.
    pub ends: Option<Timestamp>,
    /// The devices.
    pub devices: Vec<DeviceId>,
    /// Whether they have a device.
    pub state: MemberState,
}

/// How far a person has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberState {
    /// Invited, without a device; the invitation ends, or ended, at this time.
    Open {
        /// When the newest invitation expires.
        expires: Timestamp,
    },
    /// Has enrolled a device. An administrator may have ended the last one since.
    Enrolled,
    /// Was offboarded.
    Ended {
        /// When.
        at: Timestamp,
    },
}

/// The enrolment desk of one organisation.
///
/// It holds keys only; what it remembers is in the records that each call reads and the batch it returns.
/// Each call belongs into one transaction: read, commit the batch, then send.
#[derive(Debug)]
pub struct Desk {
    pub(crate) keys: DeskKeys,
    pub(crate) organisation: Organisation,
    credential: Credential,
    /// Who works with it, for the records of what they do.
    pub(crate) actor: String,
}

impl Desk {
    /// Opens the desk with its keys and the organisation's public document.
    ///
    /// # Errors
    ///
    /// [`OrgError::WrongKeys`] when the keys are not the document's, [`OrgError::OutsideValidity`] when they
    /// are not valid at `now`.
    pub fn new(keys: DeskKeys, organisation: Organisation, now: Timestamp) -> Result<Self, OrgError> {
        let desk = organisation.desk().ok_or(OrgError::WrongKeys)?;
        if !keys.issuer.is_issuer_of(&organisation, Capabilities::ENROL)
            || desk.dh_key() != keys.dh.public()
            || *desk.kem_key() != keys.kem.public()
        {
            return Err(OrgError::WrongKeys);
        }
        let credential = organisation
            .verify_credential(Unverified::new(keys.credential.clone()), now)
            .map_err(|error| match error {
                IdentityError::NotYetValid | IdentityError::Expired => OrgError::OutsideValidity,
                _ => OrgError::WrongKeys,
            })?;
        if !desk.is_valid_at(now) {
            return Err(OrgError::OutsideValidity);
        }
        if credential.device_id() != desk.device_id() || !keys.device.match_credential(&credential) {
            return Err(OrgError::WrongKeys);
        }
        Ok(Self { keys, organisation, credential, actor: String::new() })
    }

    /// Says who works with the desk, for the records of administrative acts (R-ORG-46).
    #[must_use]
    pub fn with_actor(self, actor: &str) -> Self {
        Self { actor: actor.into(), ..self }
    }

    /// Returns the desk's own credential, with which it logs in at the relay.
    #[must_use]
    pub const fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Returns the keys of the desk's device, with which it logs in at the relay.
    #[must_use]
    pub const fn device_keys(&self) -> &DeviceKeys {
        &self.keys.device
    }

    /// Returns the organisation that the desk was opened with.
    #[must_use]
    pub const fn organisation(&self) -> &Organisation {
        &self.organisation
    }

    /// Invites a person (R-ORG-9, R-ORG-71). A handle whose invitation has expired unused may be invited again.
    ///
    /// # Errors
    ///
    /// [`OrgError::HandleTaken`] and the others: nothing is to be committed, there is no link.
    pub fn invite(
        &self,
        records: &dyn Records,
        invite: Invite<'_>,
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<Invited, OrgError> {
        if invite.handle.is_like_identifier() {
            return Err(OrgError::HandleNotAllowed);
        }
        let mut batch = Batch::default();
        let member_id = match state::member_of_handle(records, invite.handle)? {
            Some(id) => self.reopen(records, &mut batch, id, now)?,
            None => self.new_member(records, &mut batch, invite.handle, rng)?,
        };
        let link = self.open_invitation((records, &mut batch), (invite, member_id), now, rng)?;
        let terms = Self::member_on(records, &mut batch, (&member_id, &invite.terms), rng)?;
        let member = proto::DeskMember {
            handle: invite.handle.to_string(),
            name: invite.name.to_string(),
            invitation_id: link.invitation_id.to_vec(),
            open_invitations: [link.invitation_id.to_vec()].into(),
            ..terms
        };
        state::put_member(&mut batch, &member_id, &member);
        let action = match invite.terms.kind {
            Kind::Person => "invite",
            Kind::Guest => "invite guest",
            Kind::Bot => "invite bot",
            Kind::GuestBot => "invite guest bot",
        };
        self.record_invitation((records, &mut batch), (action, invite, member_id), now, rng)?;
        Ok(Invited { link, member_id, batch })
    }

    /// Invites another device of somebody who has or had one (R-ORG-22). The invitation is used like any other.
    ///
    /// # Errors
    ///
    /// [`OrgError::NotAMember`], [`OrgError::TooManyDevices`] and the others: nothing is to be committed.
    pub fn invite_device(
        &self,
        records: &dyn Records,
        invite: Invite<'_>,
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<Invited, OrgError> {
        let member_id = state::member_of_handle(records, invite.handle)?.ok_or(OrgError::NotAMember)?;
        let mut member = state::member(records, &member_id)?.ok_or_else(damaged)?;
        if member.device_ids.is_empty() && member.entry_id.is_empty() {
            return Err(OrgError::NotAMember);
        }
        if Self::is_full(records, &member)? {
            return Err(OrgError::TooManyDevices);
        }
        if guests::end_of(&member, now).is_some_and(|end| now >= end) {
            return Err(OrgError::ValidityOutOfRange);
        }
        let mut batch = Batch::default();
        let link = self.open_invitation((records, &mut batch), (invite, member_id), now, rng)?;
        member.open_invitations = offboard::open_invitations(records, (&member_id, &member), now)?;
        member.open_invitations.push(link.invitation_id.to_vec());
        state::put_member(&mut batch, &member_id, &member);
        self.record_invitation((records, &mut batch), ("invite device", invite, member_id), now, rng)?;
        Ok(Invited { link, member_id, batch })
    }

    /// Lists everybody who was invited, in that order.
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn members(records: &dyn Records) -> Result<Vec<Member>, OrgError> {
        let mut members = Vec::new();
        for member_id in state::member_ids(records)? {
            let member = state::member(records, &member_id)?.ok_or_else(damaged)?;
            let state = if member.ended != 0 {
                MemberState::Ended { at: Timestamp::from_millis(member.ended) }
            } else if member.entry_id.is_empty() {
                let open = state::invitation(records, &member.invitation_id)?.ok_or_else(damaged)?;
                MemberState::Open { expires: Timestamp::from_millis(open.expires) }
            } else {
                MemberState::Enrolled
            };
            members.push(Member {
                member_id,
                handle: Handle::parse(&member.handle).map_err(|_| damaged())?,
                name: DisplayName::parse(&member.name).map_err(|_| damaged())?,
                unit: (!member.unit.is_empty())
                    .then(|| DisplayName::parse(&member.unit).map_err(|_| damaged()))
                    .transpose()?,
                kind: guests::kind_of(&member)?,
                reach: member.reach.iter().filter_map(|id| MemberId::from_bytes(id)).collect(),
                owner: MemberId::from_bytes(&member.owner),
                devices: offboard::device_ids(&member.device_ids)?,
                ends: (member.ends != 0).then(|| Timestamp::from_millis(member.ends)),
                state,
            });
        }
        Ok(members)
    }

    /// Returns the organisation's name.
    ///
    /// # Errors
    ///
    /// [`OrgError::NotFounded`] or [`OrgError::Records`].
    pub fn organisation_name(records: &dyn Records) -> Result<DisplayName, OrgError> {
        Ok(state::settings(records)?.organisation_name)
    }

    /// Makes an invitation for a member and notes it.
    fn open_invitation(
        &self,
        (records, batch): (&dyn Records, &mut Batch),
        (invite, member_id): (Invite<'_>, MemberId),
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<InvitationLink, OrgError> {
        if invite.lifetime.as_millis() == 0 || invite.lifetime > MAX_INVITATION_LIFETIME {
            return Err(OrgError::LifetimeOutOfRange);
        }
        // An invitation from a store without an organisation could never be answered.
        state::settings(records)?;
        let link = InvitationLink {
            org_id: self.organisation.id(),
            relay_url: invite.relay.url().into(),
            relay_pin: *invite.relay.pin(),
            invitation_id: random_bytes(rng),
            secret: Secret::random(rng),
            expires: now.after(invite.lifetime),
        };
        if state::invitation(records, &link.invitation_id)?.is_some() {
            return Err(OrgError::IdentifierTaken);
        }
        let invitation = Invitation {
            member_id,
            expires: link.expires.as_millis(),
            state: InvitationState::Open(Secret::init_with(|own| own.copy_from_slice(link.secret.expose()))),
        };
        state::put_invitation(batch, &link.invitation_id, &invitation);
        Ok(link)
    }

    /// Records that somebody was invited (R-ORG-46).
    fn record_invitation(
        &self,
        to: (&dyn Records, &mut Batch),
        (action, invite, member_id): (&str, Invite<'_>, MemberId),
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), OrgError> {
        let (target, after) = (invite.handle.as_str(), invite.name.as_str());
        let act = Act { action, target, after, member: Some(member_id), ..Act::default() };
        self.record_act(to, &act, now, rng)
    }

    /// Gives a handle whose invitation expired unused its member back, and ends the old invitation.
    fn reopen(
        &self,
        records: &dyn Records,
        batch: &mut Batch,
        id: MemberId,
        now: Timestamp,
    ) -> Result<MemberId, OrgError> {
        let member = state::member(records, &id)?.ok_or_else(damaged)?;
        let old = state::invitation(records, &member.invitation_id)?.ok_or_else(damaged)?;
        // Who has an entry was a member: the identifier is theirs, also when they have no device any more.
        if !member.entry_id.is_empty() || now.as_millis() < old.expires {
            return Err(OrgError::HandleTaken);
        }
        state::delete_invitation(batch, &member.invitation_id);
        Ok(id)
    }

    fn new_member(
        &self,
        records: &dyn Records,
        batch: &mut Batch,
        handle: &Handle,
        rng: &mut dyn CryptoRng,
    ) -> Result<MemberId, OrgError> {
        let id = MemberId::random(rng);
        if id == self.credential.member_id() || state::member(records, &id)?.is_some() {
            return Err(OrgError::IdentifierTaken);
        }
        state::put_handle(batch, handle, &id);
        state::index_member(records, batch, &id)?;
        Ok(id)
    }
}
