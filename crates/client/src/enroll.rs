//! Becoming a member's device: an invitation, keys made here, an answer from the desk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chancery_crypto::rng::random_bytes;
use chancery_engine::{Device, Engine, EngineError, NewDevice, PendingDevice};
use chancery_identity::{DeviceId, DeviceKeys, Organisation};
use chancery_org::{EnrolError, Enrolment, Link, LinkError, PendingEnrolment, request, request_by_link};
use chancery_store::{KeySource, Store};
use chancery_transport::Connector;
use chancery_wire::proto::{Acknowledge, Deliver, GetOrganisation, Subscribe, client_frame, relay_frame};
use chancery_wire::records::Batch;
use chancery_wire::{Timestamp, Unverified};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use crate::client::Client;
use crate::clock;
use crate::connection::{Connection, Push};
use crate::error::{Error, ErrorCode};
use crate::home::Home;
use crate::transport::{Transport, WebSocket};
use crate::worker::blocking;

/// How long after its end by this clock a device link may still be approved: one minute, for clocks that differ and
/// a desk that takes its time.
const LATE_APPROVAL: Duration = Duration::from_secs(60);

/// How long the desk's last word is waited for if nobody can approve any more: 5 s after it has said that it does not know
/// the link, which it may have said before the approval.
const LAST_ANSWER: Duration = Duration::from_secs(5);

impl Client {
    /// Makes the folder `home` a device of the member that the link is for.
    ///
    /// The keys are made here and never leave. A call that is killed is resumed by calling again with the
    /// same link; the store is protected by `key` from its first byte.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvitationDamaged`], [`ErrorCode::InvitationExpired`], [`ErrorCode::InvitationUsed`],
    /// [`ErrorCode::InvitationUnknown`]: ask for another invitation. [`ErrorCode::InvitationVersion`]: update.
    /// [`ErrorCode::DeskUnavailable`], [`ErrorCode::RelayUnreachable`], [`ErrorCode::TimedOut`]: try again later.
    /// [`ErrorCode::WrongRelay`], [`ErrorCode::WrongOrganisation`]: somebody else answers; tell the administrator.
    /// [`ErrorCode::AlreadyEnrolled`]: use another folder. [`ErrorCode::Usage`]: the link is one that another device has made
    /// ([`is_device_link`]); call [`Self::enroll_with`].
    pub async fn enroll(home: &Path, key: &KeySource, link: &str, patience: Duration) -> Result<Self, Error> {
        if is_device_link(link)? {
            let why = "a link of another device: somebody has to compare a code, which `enroll_with` shows";
            return Err(Error::with(ErrorCode::Usage, why));
        }
        Self::enroll_with(home, key, link, patience, |_| {}).await
    }

    /// As [`Self::enroll`], and takes a device link as well: `show_code` is then called once, when
    /// the relay has the request, with the code that the person compares on the device that made the link, and
    /// approves there.
    ///
    /// # Errors
    ///
    /// As [`Self::enroll`]. [`ErrorCode::NotApproved`]: nobody approved within `patience`; call again.
    /// [`ErrorCode::TooManyDevices`]: remove one on another device.
    pub async fn enroll_with(
        home: &Path,
        key: &KeySource,
        link: &str,
        patience: Duration,
        show_code: impl FnOnce(&str),
    ) -> Result<Self, Error> {
        Self::enroll_over(Arc::new(WebSocket), (home, key), link, patience, show_code).await
    }

    /// As [`Self::enroll_with`], and reaches the relay by `transport` only, as the client that it returns does.
    ///
    /// # Errors
    ///
    /// As [`Self::enroll_with`], and whatever `transport` says of the relay's address.
    pub async fn enroll_over(
        transport: Arc<dyn Transport>,
        (home, key): (&Path, &KeySource),
        link: &str,
        patience: Duration,
        show_code: impl FnOnce(&str),
    ) -> Result<Self, Error> {
        let deadline = clock::deadline(patience);
        let way = parse(link)?;
        let (home, key) = (Home::new(home), Arc::new(key.clone()));
        refuse(&home, &key, link, way.expires()).await?;
        let connector = transport.connector(way.relay_url(), way.relay_pin()).map_err(bad_address)?;
        let attempt = Attempt { way, link: link.trim().into(), connector, deadline };
        let organisation = attempt.organisation().await?;
        let place = home.clone();
        let mut store = blocking(move || open_or_create(&place, &key)).await?;
        let (device, pending) = attempt.begin(&mut store, &organisation)?;
        let show_code = || {
            if let Link::Device(link) = &attempt.way {
                show_code(&link.code(&device.keys));
            }
        };
        let enrolment = match attempt.ask(&organisation, (&device, &pending), show_code).await? {
            Ok(enrolment) => enrolment,
            Err(refused) => {
                // Only the desk's word ends the attempt: after any other fault, a wrong clock among them, it may
                // have issued a credential already, and to these keys alone (R-ORG-5).
                if is_final(&refused) {
                    forget(&mut store)?;
                }
                return Err(enrol_error(&refused));
            }
        };
        install(&mut store, &attempt, &organisation, &device.keys, &enrolment)?;
        let client = Self::start(home, store, transport, None)?;
        // The device is enrolled from here on; publishing its prekeys is repeated by every later call.
        if let Err(error) = client.sync(patience).await {
            tracing::warn!(code = error.code().name(), "enrolled, but not synchronised yet");
        }
        Ok(client)
    }
}

fn parse(link: &str) -> Result<Link, Error> {
    let link = Link::parse(link.trim()).map_err(|error| match error {
        LinkError::UnsupportedVersion => ErrorCode::InvitationVersion,
        _ => ErrorCode::InvitationDamaged,
    })?;
    Ok(link)
}

/// Whether a link is a device link: one that waits for another device's approval.
///
/// # Errors
///
/// [`ErrorCode::InvitationDamaged`], [`ErrorCode::InvitationVersion`]: it is no link that [`Client::enroll`] takes.
pub fn is_device_link(text: &str) -> Result<bool, Error> {
    Ok(matches!(parse(text)?, Link::Device(_)))
}

/// An address that is none is a fault of the link.
fn bad_address(error: Error) -> Error {
    if error.code() == ErrorCode::RelayUrl { ErrorCode::InvitationDamaged.into() } else { error }
}

/// Refuses what needs no relay to be refused. A passphrase takes its time, so this is not done on the runtime.
async fn refuse(home: &Home, key: &Arc<KeySource>, link: &str, expires: Timestamp) -> Result<(), Error> {
    let (home, key, link) = (home.clone(), Arc::clone(key), link.to_owned());
    blocking(move || {
        refuse_if_enrolled(&home, &key)?;
        refuse_if_expired(&home, &key, &link, expires)
    })
    .await
}

/// An invitation that has expired begins no enrolment, but one that began in time may end: the desk answers
/// the same keys again.
fn refuse_if_expired(home: &Home, key: &KeySource, link: &str, expires: Timestamp) -> Result<(), Error> {
    if clock::now() <= expires {
        return Ok(());
    }
    if Store::exists(home.store()) {
        let mut store = Store::open(home.store(), key)?;
        let begun = store.read(|records| PendingDevice::load(records).map_err(Error::from))?;
        if begun.is_some_and(|begun| begun.link == link.trim()) {
            return Ok(());
        }
    }
    Err(ErrorCode::InvitationExpired.into())
}

fn refuse_if_enrolled(home: &Home, key: &KeySource) -> Result<(), Error> {
    if !Store::exists(home.store()) {
        return Ok(());
    }
    let mut store = Store::open(home.store(), key)?;
    let loaded = store.read(|records| match Engine::load(records, clock::now()) {
        Err(EngineError::NotEnrolled) => Ok(false),
        Err(error) => Err(Error::from(error)),
        Ok(_) => Ok(true),
    })?;
    if loaded { Err(ErrorCode::AlreadyEnrolled.into()) } else { Ok(()) }
}

fn open_or_create(home: &Home, key: &KeySource) -> Result<Store, Error> {
    home.create()?;
    if Store::exists(home.store()) {
        return Ok(Store::open(home.store(), key)?);
    }
    Ok(Store::create(home.store(), key, &mut clock::rng()?)?)
}

/// Whether the desk will never say anything else to the same request.
const fn is_final(refused: &EnrolError) -> bool {
    matches!(
        refused,
        EnrolError::InvitationUnknown | EnrolError::InvitationUsed | EnrolError::InvitationExpired
    )
}

/// Drops a refused request, so that the next invitation starts with new keys.
fn forget(store: &mut Store) -> Result<(), Error> {
    store.transaction(|_| {
        let mut batch = Batch::default();
        PendingDevice::end(&mut batch);
        Ok::<_, Error>((batch, ()))
    })
}

fn install(
    store: &mut Store,
    attempt: &Attempt,
    organisation: &Organisation,
    keys: &DeviceKeys,
    enrolment: &Enrolment,
) -> Result<(), Error> {
    let new = NewDevice {
        keys,
        enrolment,
        organisation,
        relay_url: attempt.way.relay_url(),
        relay_pin: *attempt.way.relay_pin(),
    };
    store.transaction(|records| {
        // Another call may have been faster; its device must not be replaced.
        if Device::load(records, clock::now())?.is_some() {
            return Err(ErrorCode::AlreadyEnrolled.into());
        }
        let mut batch = Device::install(&new);
        PendingDevice::end(&mut batch);
        Ok::<_, Error>((batch, ()))
    })
}

struct Attempt {
    way: Link,
    link: String,
    connector: Arc<dyn Connector>,
    deadline: Instant,
}

impl Attempt {
    /// Fetches the organisation's document and verifies it against the invitation.
    async fn organisation(&self) -> Result<Organisation, Error> {
        let fetch = async {
            let (connection, _) = self.connect().await?;
            connection.request(client_frame::Body::GetOrganisation(GetOrganisation {})).await
        };
        let answer = timeout_at(self.deadline, fetch).await.map_err(|_| ErrorCode::TimedOut)??;
        let relay_frame::Body::Organisation(document) = answer else {
            return Err(ErrorCode::RelayProtocol.into());
        };
        Organisation::verify(Unverified::new(document), Some(self.way.org_id()))
            .map_err(|_| ErrorCode::NotAuthentic.into())
    }

    async fn connect(&self) -> Result<(Connection, mpsc::Receiver<Push>), Error> {
        Connection::open(self.connector.as_ref(), &self.way.org_id()).await
    }

    /// Makes keys and request and stores them, or takes those of an earlier call with the same link.
    fn begin(
        &self,
        store: &mut Store,
        organisation: &Organisation,
    ) -> Result<(PendingDevice, PendingEnrolment), Error> {
        if let Some(device) = store.read(|records| PendingDevice::load(records).map_err(Error::from))?
            && device.link == self.link
            && let Some(pending) = PendingEnrolment::from_secret_bytes(device.pending.expose())
        {
            return Ok((device, pending));
        }
        let mut rng = clock::rng()?;
        let keys = DeviceKeys::generate(&mut rng);
        let now = clock::now();
        let pending = match &self.way {
            Link::Invitation(link) => request(link, organisation, &keys, now, &mut rng),
            Link::Device(link) => request_by_link(link, organisation, &keys, now, &mut rng),
        };
        let pending = pending.map_err(|error| enrol_error(&error))?;
        let device = PendingDevice { link: self.link.clone(), keys, pending: pending.to_secret_bytes() };
        store.transaction(|_| Ok::<_, Error>((device.save(), ())))?;
        Ok((device, pending))
    }

    /// Sends the request to the desk and waits for its answer; the inner error is the desk's word.
    async fn ask(
        &self,
        organisation: &Organisation,
        (device, pending): (&PendingDevice, &PendingEnrolment),
        when_asked: impl FnOnce(),
    ) -> Result<Result<Enrolment, EnrolError>, Error> {
        // Whether somebody can approve: not before they were asked.
        let asked = AtomicBool::new(true);
        let exchange = async {
            let (mailbox, mut pushes) = self.connect().await?;
            mailbox.log_in(&self.way.org_id(), self.way.relay_pin(), &device.keys, None).await?;
            mailbox.done(client_frame::Body::Subscribe(Subscribe {})).await?;
            let unanswered = self.deliver(organisation, &device.keys, pending).await?;
            asked.store(unanswered.is_none(), Ordering::Relaxed);
            if unanswered.is_none() {
                when_asked();
            }
            let mut is_unknown = false;
            loop {
                let push = match unanswered.as_ref().filter(|_| is_unknown) {
                    None => pushes.recv().await,
                    // It may have been the answer to an earlier call, before the approval.
                    Some(why) => timeout(LAST_ANSWER, pushes.recv()).await.map_err(|_| why.clone())?,
                };
                let push = push.ok_or(ErrorCode::RelayUnreachable)?;
                let Push::Envelope(stored) = push else { continue };
                let answer = pending.complete(organisation, &device.keys, &stored.envelope, clock::now());
                let sequences = vec![stored.sequence];
                let acknowledge = client_frame::Body::Acknowledge(Acknowledge { sequences });
                match answer {
                    // Anybody may write into the mailbox; only the desk's answer counts.
                    Err(EnrolError::NotAuthentic) => mailbox.done(acknowledge).await?,
                    Err(EnrolError::InvitationUnknown) if self.is_device_link() => {
                        is_unknown = true;
                        mailbox.done(acknowledge).await?;
                    }
                    Err(refused) => {
                        mailbox.done(acknowledge).await?;
                        return Ok(Err(refused));
                    }
                    Ok(enrolment) => return Ok(Ok(enrolment)),
                }
            }
        };
        match timeout_at(self.deadline, exchange).await {
            Ok(result) => result,
            Err(_) if !self.is_device_link() || !asked.load(Ordering::Relaxed) => {
                Err(ErrorCode::DeskUnavailable.into())
            }
            Err(_) if clock::now() > self.way.expires().after(LATE_APPROVAL) => {
                Err(ErrorCode::InvitationExpired.into())
            }
            Err(_) => Err(ErrorCode::NotApproved.into()),
        }
    }

    const fn is_device_link(&self) -> bool {
        matches!(self.way, Link::Device(_))
    }

    /// Asks the desk and, with a device link, the device that made it. The desk then only knows the request if it
    /// was approved before. Returns why nobody can approve any more, if that is so: the device that made the link may be gone,
    /// or the link's token be refused because somebody was (R-ENGINE-55), and the desk may have the approval all the same.
    async fn deliver(
        &self,
        organisation: &Organisation,
        keys: &DeviceKeys,
        pending: &PendingEnrolment,
    ) -> Result<Option<Error>, Error> {
        let desk = organisation.desk().ok_or(ErrorCode::DeskUnavailable)?;
        let (anonymous, _) = self.connect().await?;
        let asked = deliver(&anonymous, (&desk.device_id(), &[]), pending.envelope().to_vec()).await;
        not_found(asked, ErrorCode::DeskUnavailable)?;
        let Link::Device(link) = &self.way else { return Ok(None) };
        let envelope = link.seal_request(keys, pending.envelope(), &mut clock::rng()?);
        let envelope = envelope.map_err(|_| ErrorCode::Internal)?;
        match deliver(&anonymous, (&link.mailbox, &link.token), envelope).await {
            Err(error) if error.code() == ErrorCode::RelayNotFound => {
                let text = "the device that made the link is gone";
                Ok(Some(Error::with(ErrorCode::InvitationUnknown, text)))
            }
            // Somebody was removed since the link was made.
            Err(error) if error.code() == ErrorCode::TokenRefused => {
                Ok(Some(ErrorCode::InvitationExpired.into()))
            }
            other => other.map(|()| None),
        }
    }
}

/// Hands an envelope to the relay for a mailbox, with its delivery token; the desk's needs none.
pub(crate) async fn deliver(
    anonymous: &Connection,
    (mailbox, token): (&DeviceId, &[u8]),
    envelope: Vec<u8>,
) -> Result<(), Error> {
    let deliver = Deliver {
        mailbox: mailbox.as_bytes().to_vec(),
        delivery_id: random_bytes::<16>(&mut clock::rng()?).to_vec(),
        token: token.to_vec(),
        envelope,
    };
    anonymous.done(client_frame::Body::Deliver(deliver)).await
}

/// Gives a mailbox that does not exist its name.
pub(crate) fn not_found(result: Result<(), Error>, code: ErrorCode) -> Result<(), Error> {
    match result {
        Err(error) if error.code() == ErrorCode::RelayNotFound => Err(code.into()),
        other => other,
    }
}

fn enrol_error(error: &EnrolError) -> Error {
    Error::new(match error {
        EnrolError::InvitationUnknown => ErrorCode::InvitationUnknown,
        EnrolError::InvitationUsed => ErrorCode::InvitationUsed,
        EnrolError::InvitationExpired => ErrorCode::InvitationExpired,
        EnrolError::NotAuthentic => ErrorCode::NotAuthentic,
        EnrolError::TooManyDevices => ErrorCode::TooManyDevices,
        _ => ErrorCode::Internal,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_crypto::rng::seeded;
    use chancery_crypto::secret::SecretBytes;

    #[tokio::test]
    async fn a_passphrase_is_stretched_while_the_runtime_does_other_things() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        let key = Arc::new(KeySource::Passphrase(SecretBytes::new(b"a passphrase".to_vec())));
        drop(Store::create(home.store(), &key, &mut seeded([1; 32])).unwrap());
        let refused = refuse(&home, &key, "chancery:link", Timestamp::from_millis(u64::MAX));
        tokio::pin!(refused);
        tokio::select! {
            biased;
            _ = &mut refused => panic!("the runtime's one thread was held up"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(refused.await, Ok(()), "the store is there, and no device in it");
    }
}
