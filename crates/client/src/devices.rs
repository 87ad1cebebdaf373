//! Several devices of one member: the device link, its approval, the list, and removal.

use std::time::Duration;

use chancery_engine::{Device, Input, log_time, relay_places, waiting_devices};
use chancery_identity::delivery::Use;
use chancery_identity::{DeviceId, Organisation};
use chancery_org::{DeviceLink, LinkRequest, OrderError, Orderer, PendingOrder, approve, remove};
use chancery_wire::Timestamp;
use chancery_wire::proto::{Acknowledge, Subscribe, client_frame};
use tokio::time::{Instant, timeout_at};

use crate::client::Client;
use crate::clock;
use crate::connection::Push;
use crate::enroll::{deliver, not_found};
use crate::error::{Error, ErrorCode};
use crate::mailbox::Mailbox;

/// A link for another device of the same member.
///
/// Its `Debug` does not show the link, which is a secret until it was used.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewDeviceLink {
    /// The text, for `Client::enroll_with` on the new device. Keep it private: whoever has it can ask for approval.
    pub link: String,
    /// When it ends.
    pub expires: Timestamp,
}

impl std::fmt::Debug for NewDeviceLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { link: _, expires } = self;
        f.debug_struct("NewDeviceLink").field("expires", expires).finish_non_exhaustive()
    }
}

/// A device of the member, or one that asks to become one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OwnDevice {
    /// In the directory: others write to it.
    Active {
        /// The device.
        id: DeviceId,
        /// Whether it is this one.
        this: bool,
    },
    /// Waits for approval by this device.
    Waiting {
        /// To be compared with the code that the new device shows.
        code: String,
    },
}

impl Client {
    /// Makes a link with which another device asks this one to approve it, within ten minutes, once.
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), chancery_dev::Error> {
    /// # use chancery_dev::PATIENCE;
    /// # let acme = chancery_dev::Organisation::start("Acme").await?;
    /// # let alice = acme.member("alice").await?;
    /// # let home = acme.folder().join("phone");
    /// # let key = chancery::read_or_create_key_file(acme.folder().join("phone.key"))?;
    /// use chancery::Client;
    ///
    /// let link = alice.device_link().await?.link; // shown on the old device, perhaps as a QR code
    ///
    /// // On the new device, which shows a code and waits.
    /// let (show, code) = tokio::sync::oneshot::channel();
    /// let shown = |code: &str| show.send(code.to_owned()).unwrap_or_default();
    /// let enrolling = Client::enroll_with(&home, &key, &link, PATIENCE, shown);
    ///
    /// // On the old device, whose person types what the new one shows.
    /// let approving = async { alice.approve_device(&code.await?, PATIENCE).await.map_err(chancery_dev::Error::from) };
    ///
    /// let (phone, approved) = tokio::join!(enrolling, approving);
    /// assert_eq!(phone?.me().device_id, approved?);
    /// assert_eq!(alice.devices().await?.len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Only if the store is not writable.
    pub async fn device_link(&self) -> Result<NewDeviceLink, Error> {
        self.shared()
            .worker
            .call(|state| {
                let places = state.read_with(relay_places)?;
                // A new device has nothing to fall back to: it is told of the place where this one was last.
                let place = places.last().ok_or(ErrorCode::Internal)?;
                let device = state.device();
                let names = (device.organisation().id(), device.device_id());
                let relay = (place.url.as_str(), place.pin);
                let link = DeviceLink::new(names, relay, clock::now(), &mut clock::rng()?);
                // The new device cannot make it (R-ENGINE-55).
                let mailbox = *link.mailbox.as_bytes();
                let token = state
                    .read_with(|engine, records| engine.delivery_token(records, (Use::Mailbox, &mailbox)))?;
                let link = link.with_token(token);
                state.handle(Input::DeviceLinkMade(&link))?;
                Ok(NewDeviceLink { link: link.encode(), expires: link.expires })
            })
            .await
    }

    /// Lists this member's devices, as the local directory has them, and those that wait for approval here.
    ///
    /// # Errors
    ///
    /// Only if the store is not readable.
    pub async fn devices(&self) -> Result<Vec<OwnDevice>, Error> {
        let me = self.me().clone();
        let find = move |records: &dyn chancery_wire::records::Records| {
            chancery_engine::member(records, &me.member_id)
        };
        let own = self.shared().worker.call(move |state| state.read(find)).await?;
        // A device that has not seen the directory yet knows itself at least.
        let ids = own.map_or_else(|| vec![self.me().device_id], |member| member.device_ids);
        let active = ids.into_iter().map(|id| OwnDevice::Active { id, this: id == self.me().device_id });
        let waiting = self.device_requests().await?.into_iter().map(|code| OwnDevice::Waiting { code });
        Ok(active.chain(waiting).collect())
    }

    /// Returns the codes of the devices that wait for approval by this one.
    ///
    /// # Errors
    ///
    /// Only if the store is not readable.
    pub async fn device_requests(&self) -> Result<Vec<String>, Error> {
        let org = self.me().org_id;
        let waiting = self.waiting().await?;
        let mut codes: Vec<String> = Vec::new();
        for code in waiting.iter().map(|request| request.code(&org)) {
            // Whoever else has the link may have sent something under the same code, and between others.
            if !codes.contains(&code) {
                codes.push(code);
            }
        }
        Ok(codes)
    }

    async fn waiting(&self) -> Result<Vec<LinkRequest>, Error> {
        let now = clock::now();
        self.shared().worker.call(move |state| state.read(|records| waiting_devices(records, now))).await
    }

    /// Approves the device that shows `code`, which the person has read there. Returns its identifier.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::DeviceRequestUnknown`]: no device with this code has asked. [`ErrorCode::DeskUnavailable`],
    /// [`ErrorCode::RelayUnreachable`], [`ErrorCode::TimedOut`]: try again. [`ErrorCode::TooManyDevices`],
    /// [`ErrorCode::InvitationUsed`],
    /// [`ErrorCode::DeviceRemoved`], [`ErrorCode::OrderRefused`]: see their texts.
    pub async fn approve_device(&self, code: &str, patience: Duration) -> Result<DeviceId, Error> {
        let deadline = clock::deadline(patience);
        let mut found = self.requests_with(code).await?;
        if found.is_empty() {
            self.sync(patience).await?;
            found = self.requests_with(code).await?;
        }
        let mut refused = ErrorCode::DeviceRequestUnknown.into();
        for request in found {
            let link_id = *request.link();
            let make = move |by: Orderer<'_>, now| {
                approve(by, &request, now, &mut clock::rng()?).map_err(|error| order_error(&error))
            };
            match self.order(make, deadline).await {
                Ok(device) => {
                    let used = Input::DeviceLinkUsed { link_id };
                    self.shared().worker.call(move |state| state.handle(used)).await?;
                    self.glance(deadline).await;
                    return Ok(device);
                }
                // Whoever else has the link may have sent something unfit under the same code.
                Err(error) if error.code() == ErrorCode::OrderRefused => refused = error,
                Err(error) => return Err(error),
            }
        }
        Err(refused)
    }

    async fn requests_with(&self, code: &str) -> Result<Vec<LinkRequest>, Error> {
        let org = self.me().org_id;
        let wanted: String = code.split_whitespace().collect();
        let mut waiting = self.waiting().await?;
        waiting.retain(|request| request.code(&org).split_whitespace().collect::<String>() == wanted);
        Ok(waiting)
    }

    /// Removes another device of this member, named by the 32 hexadecimal digits of its identifier: nobody
    /// writes to it any more.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::DeviceUnknown`]: this member has no other device of that identifier. Otherwise as
    /// [`Self::approve_device`].
    pub async fn remove_device(&self, device: &str, patience: Duration) -> Result<DeviceId, Error> {
        let deadline = clock::deadline(patience);
        let id = DeviceId::from_hex(device).ok_or_else(|| Error::with(ErrorCode::DeviceUnknown, device))?;
        if id == self.me().device_id {
            return Err(Error::with(ErrorCode::DeviceUnknown, "a device does not remove itself"));
        }
        let make = move |by: Orderer<'_>, now| {
            remove(by, &id, now, &mut clock::rng()?).map_err(|error| order_error(&error))
        };
        let removed = self.order(make, deadline).await?;
        self.glance(deadline).await;
        Ok(removed)
    }

    /// Brings the directory up to date where that is possible; what was asked for has been done anyway.
    async fn glance(&self, deadline: Instant) {
        let sync = async { Mailbox::open(self.shared()).await?.sync_directory(self.shared()).await };
        if let Ok(Err(error)) = timeout_at(deadline, sync).await {
            tracing::info!(code = error.code().name(), "the directory is not up to date");
        }
    }

    /// Makes an order, hands it to the desk, and waits for the answer in this device's reply mailbox.
    async fn order(
        &self,
        make: impl FnOnce(Orderer<'_>, Timestamp) -> Result<PendingOrder, Error> + Send + 'static,
        deadline: Instant,
    ) -> Result<DeviceId, Error> {
        let shared = self.shared();
        let (order, desk) = shared
            .worker
            .call(move |state| {
                let (organisation, now) = state.read_with(|engine, records| {
                    Ok((engine.organisation(records)?, log_time(records, clock::now())?))
                })?;
                let desk = organisation.desk().ok_or(ErrorCode::DeskUnavailable)?.device_id();
                Ok((make(orderer(state.device(), &organisation), now)?, desk))
            })
            .await?;
        let exchange = async {
            let (mailbox, mut pushes, pin) = shared.connect().await?;
            mailbox.log_in(&shared.org, &pin, &shared.device.keys, None).await?;
            mailbox.done(client_frame::Body::Subscribe(Subscribe {})).await?;
            let (anonymous, ..) = shared.connect().await?;
            let delivered = deliver(&anonymous, (&desk, &[]), order.envelope().to_vec()).await;
            not_found(delivered, ErrorCode::DeskUnavailable)?;
            loop {
                let push = pushes.recv().await.ok_or(ErrorCode::RelayUnreachable)?;
                let Push::Envelope(stored) = push else { continue };
                let sequences = vec![stored.sequence];
                mailbox.done(client_frame::Body::Acknowledge(Acknowledge { sequences })).await?;
                match order.complete(&stored.envelope) {
                    // An answer to an earlier order, or nothing of the desk's.
                    Err(OrderError::NotAuthentic) => {}
                    other => return other.map_err(|error| order_error(&error)),
                }
            }
        };
        timeout_at(deadline, exchange).await.unwrap_or_else(|_| Err(ErrorCode::DeskUnavailable.into()))
    }
}

const fn orderer<'a>(device: &'a Device, organisation: &'a Organisation) -> Orderer<'a> {
    Orderer { organisation, credential: device.credential(), keys: device.keys() }
}

fn order_error(error: &OrderError) -> Error {
    Error::new(match error {
        OrderError::NoDesk => ErrorCode::DeskUnavailable,
        OrderError::UnknownDevice => ErrorCode::DeviceUnknown,
        OrderError::LinkUsed => ErrorCode::InvitationUsed,
        OrderError::Expired => ErrorCode::InvitationExpired,
        OrderError::TooManyDevices => ErrorCode::TooManyDevices,
        OrderError::Removed => ErrorCode::DeviceRemoved,
        _ => ErrorCode::OrderRefused,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_link_does_not_print() {
        let link = NewDeviceLink { link: "chancery:secret".into(), expires: Timestamp::from_millis(7) };
        assert!(!format!("{link:?}").contains("secret"), "{link:?}");
    }
}
