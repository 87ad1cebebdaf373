//! What the desk's books say of a handle, for lists of people that are invited again and again (R-ORG-26).

use chancery_crypto::secret::Secret;
use chancery_identity::{DisplayName, Handle, MemberId, RelayRecord};
use chancery_wire::Timestamp;
use chancery_wire::records::Records;

use crate::state::{self, InvitationState, damaged};
use crate::{Desk, InvitationLink, OrgError};

/// Where a handle stands in the desk's books.
#[derive(Debug)]
#[non_exhaustive]
pub enum Standing {
    /// It can be invited: nobody has it, or its invitation has expired unused.
    Free,
    /// An open invitation holds it.
    Open {
        /// Who they will be.
        member_id: MemberId,
        /// The name that they were invited under.
        name: DisplayName,
        /// The link once more: the same invitation, with the relay that is given.
        link: InvitationLink,
    },
    /// Somebody who has a device has it.
    Enrolled {
        /// Who they are.
        member_id: MemberId,
        /// Their name.
        name: DisplayName,
    },
}

impl Desk {
    /// Looks a handle up; `relay` is where a link that is given again sends its device.
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn standing(
        &self,
        records: &dyn Records,
        handle: &Handle,
        relay: &RelayRecord,
        now: Timestamp,
    ) -> Result<Standing, OrgError> {
        let Some(member_id) = state::member_of_handle(records, handle)? else { return Ok(Standing::Free) };
        let member = state::member(records, &member_id)?.ok_or_else(damaged)?;
        let name = DisplayName::parse(&member.name).map_err(|_| damaged())?;
        // Whoever has or had a device is a member; another device is another matter (R-ORG-22).
        if !member.entry_id.is_empty() {
            return Ok(Standing::Enrolled { member_id, name });
        }
        let open = state::invitation(records, &member.invitation_id)?.ok_or_else(damaged)?;
        if now.as_millis() >= open.expires {
            return Ok(Standing::Free);
        }
        let InvitationState::Open(secret) = open.state else { return Err(damaged()) };
        let link = InvitationLink {
            org_id: self.organisation.id(),
            relay_url: relay.url().into(),
            relay_pin: *relay.pin(),
            invitation_id: member.invitation_id.try_into().map_err(|_| damaged())?,
            secret: Secret::init_with(|own| own.copy_from_slice(secret.expose())),
            expires: Timestamp::from_millis(open.expires),
        };
        Ok(Standing::Open { member_id, name, link })
    }
}
