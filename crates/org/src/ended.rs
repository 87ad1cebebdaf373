//! What ended devices have confirmed, as far as that can be verified (R-ORG-57).

use alloc::vec::Vec;

use chancery_crypto::signature::VerifyingKey;
use chancery_identity::{DeviceId, MemberId, verify_end_confirmation};
use chancery_wire::records::Records;
use chancery_wire::{Limit, Timestamp, decode, proto};

use crate::state::{self, damaged};
use crate::{Desk, OrgError};

/// A device that was ended, and whether it has said that it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfirmedEnd {
    /// The device.
    pub device: DeviceId,
    /// When it signed that it had verified its end, by its own clock; `None`: nothing is known of it. Whoever controls the
    /// device can sign and keep everything, so this proves that its key was used, and no more.
    pub confirmed: Option<Timestamp>,
}

impl Desk {
    /// Looks for each device of a member for its confirmation among what a relay has shown. One that does not verify
    /// under the credential that this desk issued counts as none.
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn confirmed_ends(
        &self,
        records: &dyn Records,
        (member, devices): (&MemberId, &[DeviceId]),
        shown: &[proto::EndConfirmation],
    ) -> Result<Vec<ConfirmedEnd>, OrgError> {
        let org = self.organisation.id();
        let mut ends = Vec::new();
        for device in devices {
            let key = signing_key(records, device)?;
            let mut of_device = shown.iter().filter(|it| it.device_id == device.as_bytes());
            let confirmed = key.and_then(|key| {
                of_device.find_map(|it| verify_end_confirmation(it, &org, (member, device), &key).ok())
            });
            ends.push(ConfirmedEnd { device: *device, confirmed });
        }
        Ok(ends)
    }
}

/// The key of a credential that this desk issued; also of one whose time is over.
fn signing_key(records: &dyn Records, device: &DeviceId) -> Result<Option<VerifyingKey>, OrgError> {
    let Some(credential) = state::credential(records, device)? else { return Ok(None) };
    let body = decode::<proto::CredentialBody>(&credential.body, Limit::STATEMENT).map_err(|_| damaged())?;
    VerifyingKey::from_bytes(&body.unchecked().signing_key).map(Some).map_err(|_| damaged())
}
