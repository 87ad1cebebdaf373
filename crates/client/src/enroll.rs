//! Becoming a member's device: an invitation, keys made here, an answer from the desk.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chancery_crypto::rng::random_bytes;
use chancery_engine::{Device, Engine, EngineError, NewDevice, PendingDevice};
use chancery_identity::{DeviceKeys, Organisation};
use chancery_org::{EnrolError, Enrolment, InvitationLink, LinkError, PendingEnrolment, request};
use chancery_store::{KeySource, Store};
use chancery_transport::Connector;
use chancery_transport_ws::WsConnector;
use chancery_wire::proto::{Acknowledge, Deliver, GetOrganisation, Subscribe, client_frame, relay_frame};
use chancery_wire::records::Batch;
use chancery_wire::{Timestamp, Unverified};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::client::Client;
use crate::clock;
use crate::connection::{Connection, Push};
use crate::error::{Error, ErrorCode};
use crate::home::Home;

impl Client {
    /// Makes the folder `home` a device of the member that the invitation is for.
    ///
    /// The keys are made here and never leave. A call that is killed is resumed by calling again with the
    /// same link; the store is protected by `key` from its first byte.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvitationDamaged`], [`ErrorCode::InvitationExpired`], [`ErrorCode::InvitationUsed`],
    /// [`ErrorCode::InvitationUnknown`]: ask for another invitation. [`ErrorCode::DeskUnavailable`],
    /// [`ErrorCode::RelayUnreachable`]: try again later. [`ErrorCode::WrongRelay`],
    /// [`ErrorCode::WrongOrganisation`]: somebody else answers; tell the administrator.
    /// [`ErrorCode::AlreadyEnrolled`]: use another folder.
    pub async fn enroll(home: &Path, key: &KeySource, link: &str, patience: Duration) -> Result<Self, Error> {
        let deadline = clock::deadline(patience);
        let invitation = parse(link)?;
        let home = Home::new(home);
        refuse_if_enrolled(&home, key)?;
        refuse_if_expired(&home, key, link, invitation.expires)?;
        let connector: Arc<dyn Connector> = Arc::new(
            WsConnector::new(&invitation.relay_url, invitation.relay_pin)
                .map_err(|_| ErrorCode::InvitationDamaged)?,
        );
        let attempt = Attempt { invitation, link: link.trim().into(), connector, deadline };
        let organisation = attempt.organisation().await?;
        home.create()?;
        let mut store = open_or_create(&home, key)?;
        let (device, pending) = attempt.begin(&mut store, &organisation)?;
        let enrolment = match attempt.ask(&organisation, &device, &pending).await {
            Ok(enrolment) => enrolment,
            Err(error) => {
                // Only the desk's word ends the attempt: after any other fault, a wrong clock among them, it may
                // have issued a credential already, and to these keys alone.
                if is_refusal(error.code()) {
                    forget(&mut store)?;
                }
                return Err(error);
            }
        };
        install(&mut store, &attempt, &organisation, &device.keys, &enrolment)?;
        let client = Self::start(home, store, None)?;
        // The device is enrolled from here on; publishing its prekeys is repeated by every later call.
        if let Err(error) = client.sync(patience).await {
            tracing::warn!(code = error.code().name(), "enrolled, but not synchronised yet");
        }
        Ok(client)
    }
}

fn parse(link: &str) -> Result<InvitationLink, Error> {
    let invitation = InvitationLink::parse(link.trim()).map_err(|error| match error {
        LinkError::UnsupportedVersion => ErrorCode::InvitationVersion,
        _ => ErrorCode::InvitationDamaged,
    })?;
    Ok(invitation)
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
    if Store::exists(home.store()) {
        return Ok(Store::open(home.store(), key)?);
    }
    Ok(Store::create(home.store(), key, &mut clock::rng()?)?)
}

const fn is_refusal(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::InvitationUnknown | ErrorCode::InvitationUsed | ErrorCode::InvitationExpired)
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
        relay_url: &attempt.invitation.relay_url,
        relay_pin: attempt.invitation.relay_pin,
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
    invitation: InvitationLink,
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
        let answer = timeout_at(self.deadline, fetch).await.map_err(|_| ErrorCode::RelayUnreachable)??;
        let relay_frame::Body::Organisation(document) = answer else {
            return Err(ErrorCode::RelayProtocol.into());
        };
        Organisation::verify(Unverified::new(document), Some(self.invitation.org_id))
            .map_err(|_| ErrorCode::NotAuthentic.into())
    }

    async fn connect(&self) -> Result<(Connection, mpsc::Receiver<Push>), Error> {
        Connection::open(self.connector.as_ref(), &self.invitation.org_id).await
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
        let pending = request(&self.invitation, organisation, &keys, clock::now(), &mut rng)
            .map_err(|error| enrol_error(&error))?;
        let device = PendingDevice { link: self.link.clone(), keys, pending: pending.to_secret_bytes() };
        store.transaction(|_| Ok::<_, Error>((device.save(), ())))?;
        Ok((device, pending))
    }

    /// Sends the request to the desk and waits for its answer.
    async fn ask(
        &self,
        organisation: &Organisation,
        device: &PendingDevice,
        pending: &PendingEnrolment,
    ) -> Result<Enrolment, Error> {
        let exchange = async {
            let (mailbox, mut pushes) = self.connect().await?;
            let org = self.invitation.org_id;
            mailbox.log_in(&org, &self.invitation.relay_pin, &device.keys, None).await?;
            mailbox.done(client_frame::Body::Subscribe(Subscribe {})).await?;
            self.deliver(organisation, pending).await?;
            loop {
                let push = pushes.recv().await.ok_or(ErrorCode::RelayUnreachable)?;
                let Push::Envelope(stored) = push else { continue };
                let answer = pending.complete(organisation, &device.keys, &stored.envelope, clock::now());
                let sequences = vec![stored.sequence];
                let acknowledge = client_frame::Body::Acknowledge(Acknowledge { sequences });
                match answer {
                    // Anybody may write into the mailbox; only the desk's answer counts.
                    Err(EnrolError::NotAuthentic) => mailbox.done(acknowledge).await?,
                    Err(error) => {
                        mailbox.done(acknowledge).await?;
                        return Err(enrol_error(&error));
                    }
                    Ok(enrolment) => return Ok(enrolment),
                }
            }
        };
        timeout_at(self.deadline, exchange).await.unwrap_or_else(|_| Err(ErrorCode::DeskUnavailable.into()))
    }

    async fn deliver(&self, organisation: &Organisation, pending: &PendingEnrolment) -> Result<(), Error> {
        let desk = organisation.desk().ok_or(ErrorCode::DeskUnavailable)?;
        let (anonymous, _) = self.connect().await?;
        let deliver = Deliver {
            mailbox: desk.device_id().as_bytes().to_vec(),
            delivery_id: random_bytes::<16>(&mut clock::rng()?).to_vec(),
            token: Vec::new(),
            envelope: pending.envelope().to_vec(),
        };
        match anonymous.done(client_frame::Body::Deliver(deliver)).await {
            Err(error) if error.code() == ErrorCode::RelayNotFound => Err(ErrorCode::DeskUnavailable.into()),
            other => other,
        }
    }
}

fn enrol_error(error: &EnrolError) -> Error {
    Error::new(match error {
        EnrolError::InvitationUnknown => ErrorCode::InvitationUnknown,
        EnrolError::InvitationUsed => ErrorCode::InvitationUsed,
        EnrolError::InvitationExpired => ErrorCode::InvitationExpired,
        EnrolError::NotAuthentic => ErrorCode::NotAuthentic,
        _ => ErrorCode::Internal,
    })
}
