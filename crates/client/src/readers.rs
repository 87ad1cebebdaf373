//! Who can read a conversation.

use chancery_engine::EngineError;
use chancery_identity::{DeviceId, Kind, MemberId};
use chancery_wire::records::Records;

use crate::client::Client;
use crate::error::Error;

/// Somebody who can read what is written in a conversation from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reader {
    /// The member.
    pub member: MemberId,
    /// The member's handle as the directory has it now; empty if the member is not in it.
    pub handle: String,
    /// The member's display name; empty as the handle is.
    pub name: String,
    /// Whether it is a person, a guest or a bot; a person if the directory does not say.
    pub kind: Kind,
    /// The devices for which messages are encrypted.
    pub devices: Vec<DeviceId>,
}

impl Reader {
    /// Reads a member, with these devices or else those of the directory.
    fn read(
        records: &dyn Records,
        member: MemberId,
        devices: Option<Vec<DeviceId>>,
    ) -> Result<Self, EngineError> {
        Ok(match chancery_engine::member(records, &member)? {
            Some(known) => Self {
                member,
                handle: known.handle,
                name: known.name,
                kind: known.kind.unwrap_or_default(),
                devices: devices.unwrap_or(known.device_ids),
            },
            None => {
                let (handle, name, kind) = (String::new(), String::new(), Kind::default());
                Self { member, handle, name, kind, devices: devices.unwrap_or_default() }
            }
        })
    }
}

impl Client {
    /// Returns who can read what is written from now on in a conversation, named as for [`Self::conversation`]: of two, the other
    /// member and this one, each with all devices that the directory has; of a group, its members with the devices that are in it. There
    /// is nobody else: neither the relay nor the organisation has a copy or a key.
    ///
    /// What was written before may have been read by others, who have left since. The relay is not asked: a device that was approved
    /// a moment ago is here once this device has heard of it, and no message is encrypted for it before.
    ///
    /// ```
    /// # use chancery_dev::{PATIENCE, two_people};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), chancery_dev::Error> {
    /// # let (_acme, alice, _bob) = two_people().await?;
    /// # alice.resolve("bob").await?;
    /// for reader in alice.readers("bob").await? {
    ///     println!("{} ({}), {} devices", reader.handle, reader.name, reader.devices.len());
    /// }
    /// # assert_eq!(alice.readers("bob").await?.len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::conversation`].
    pub async fn readers(&self, which: &str) -> Result<Vec<Reader>, Error> {
        let (own, id) = (self.me().member_id, self.conversation_id(which).await?);
        let this = self.me().device_id;
        let read = move |records: &dyn Records| {
            if let Some(group) = chancery_engine::group(records, id.as_bytes())? {
                let members = group.members.into_iter();
                return members.map(|it| Reader::read(records, it.member, Some(it.devices))).collect();
            }
            let mut readers = vec![Reader::read(records, id, None)?];
            if id != own {
                readers.push(Reader::read(records, own, None)?);
            }
            // A device that has not seen the directory yet knows itself at least.
            for reader in readers.iter_mut().filter(|it| it.member == own && it.devices.is_empty()) {
                reader.devices.push(this);
            }
            Ok(readers)
        };
        self.shared().worker.call(move |state| state.read_shown(read)).await
    }
}
