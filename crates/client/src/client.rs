//! One device of a member, as an application sees it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chancery_engine::{Engine, Input};
use chancery_identity::{DeviceId, DeviceKeys, Kind, MemberId, OrgId};
use chancery_store::{KeySource, Store, StoreError};
use chancery_wire::Timestamp;
use chancery_wire::proto::Signed;
use tokio::sync::{Mutex, Notify, broadcast};
use tokio::time::{Instant, timeout_at};

use crate::attachment::{Listener, ProgressFn};
use crate::checkpoint;
use crate::clock;
use crate::connection::Connection;
use crate::connection_state::Line;
use crate::error::{Error, ErrorCode};
use crate::hearing::Hearing;
use crate::holds::Holds;
use crate::home::Home;
use crate::mailbox::{Mailbox, announce};
use crate::outbox;
use crate::receipts::{TYPING_BACKLOG, Typing};
use crate::relays::Relays;
use crate::transport::{Transport, WebSocket};
use crate::worker::{Worker, destroy, is_revoked};

/// How long the relay is asked for a name where the caller gives no time: 30 s, as long as it may take for one answer.
const RESOLVE_PATIENCE: Duration = Duration::from_secs(30);

/// What all parts of a client share.
pub(crate) struct Shared {
    pub(crate) worker: Worker,
    pub(crate) home: Home,
    pub(crate) relays: Relays,
    pub(crate) org: OrgId,
    pub(crate) device: Login,
    pub(crate) anonymous: Mutex<Option<Connection>>,
    pub(crate) progress: Listener,
    pub(crate) wake: Notify,
    /// Who is writing, as it comes.
    pub(crate) typing: broadcast::Sender<Typing>,
    /// How a follower stands to the relay.
    pub(crate) line: Line,
    pub(crate) holds: Holds,
    /// Whether this process has tidied up the spool.
    pub(crate) swept: AtomicBool,
    /// Connections of this process on which the mailbox was read to its end.
    pub(crate) caught_up: AtomicUsize,
    /// Whether what comes is heard.
    pub(crate) hearing: Hearing,
}

impl Shared {
    /// Whether this process has read its mailbox to the end on a connection that it still has: before that nothing is sealed for
    /// a group, since what has removed somebody may be among what waits there (R-ENGINE-79).
    pub(crate) fn has_caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Relaxed) > 0
    }

    /// Whether messages wait for their recipient to appear in the directory.
    pub(crate) async fn has_unaddressed(&self) -> Result<bool, Error> {
        let any = |records: &dyn chancery_wire::records::Records| {
            chancery_engine::unaddressed(records).map(|all| all.iter().any(|letter| letter.failed.is_none()))
        };
        self.worker.call(move |state| state.read(any)).await
    }

    /// Sends on, into the outbox, messages whose recipient the directory knows by now.
    pub(crate) async fn address_waiting(&self) -> Result<(), Error> {
        if self.has_unaddressed().await? {
            let effects = self.worker.call(|state| state.handle(Input::Address)).await?;
            // Some may have failed, and need their files no more.
            if announce(self, &effects) {
                outbox::sweep(self).await;
            }
            self.wake.notify_one();
        }
        Ok(())
    }
}

/// What a login needs; loaded once.
pub(crate) struct Login {
    pub(crate) keys: DeviceKeys,
    pub(crate) credential: Signed,
}

/// Who a client is.
///
/// Its `Debug` names nobody.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Me {
    /// The organisation's identifier.
    pub org_id: OrgId,
    /// The member's identifier.
    pub member_id: MemberId,
    /// The device's identifier.
    pub device_id: DeviceId,
    /// The member's handle.
    pub handle: String,
    /// The member's display name.
    pub name: String,
    /// The organisation's display name.
    pub organisation: String,
    /// Whether it is a person's, a guest's or a bot's device.
    pub kind: Kind,
    /// When the device's credential ends: from then on it can do nothing.
    pub expires: Timestamp,
}

impl std::fmt::Debug for Me {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Me");
        shown.field("org_id", &self.org_id).field("member_id", &self.member_id);
        shown.field("device_id", &self.device_id).finish_non_exhaustive()
    }
}

/// A device of a member: sends, receives, keeps history.
///
/// All methods may be called from several tasks at once, and several clients (also in several processes) may
/// use one home at once. Nothing happens in the background unless [`Client::follow`] runs. A clone is the same client.
///
/// Every future is `Send`, and may be dropped: what only reads leaves nothing behind; what stores something has stored all of it or
/// nothing, and whatever call connects next goes on from there.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    me: Me,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("me", &self.me).finish_non_exhaustive()
    }
}

impl Client {
    /// Whether `home` has a device's store, be it enrolled or still enrolling: it opens with the key that it was made
    /// with.
    #[must_use]
    pub fn exists(home: &Path) -> bool {
        Store::exists(Home::new(home).store())
    }

    /// Opens the store of an enrolled device. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::StoreNotFound`] or [`ErrorCode::NotEnrolled`]: enrol first. [`ErrorCode::WrongPassphrase`]:
    /// ask again. [`ErrorCode::Revoked`]: the organisation has ended the device, and nothing of it is left.
    /// [`ErrorCode::StoreNewer`], [`ErrorCode::StoreDamaged`]: see their texts.
    pub fn open(home: &Path, key: &KeySource) -> Result<Self, Error> {
        Self::open_with(home, key, None)
    }

    /// Opens like [`Self::open`], and tells `progress` how far files have come.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_with(home: &Path, key: &KeySource, progress: Option<ProgressFn>) -> Result<Self, Error> {
        Self::open_over(home, key, Arc::new(WebSocket), progress)
    }

    /// Opens like [`Self::open_with`], and reaches the relay by `transport` only.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_over(
        home: &Path,
        key: &KeySource,
        transport: Arc<dyn Transport>,
        progress: Option<ProgressFn>,
    ) -> Result<Self, Error> {
        let place = Home::new(home);
        let store = Store::open(place.store(), key).map_err(|error| match error {
            StoreError::NotFound => Error::with(ErrorCode::StoreNotFound, home.display().to_string()),
            error => error.into(),
        })?;
        Self::start(place, store, transport, progress)
    }

    pub(crate) fn start(
        home: Home,
        mut store: Store,
        transport: Arc<dyn Transport>,
        progress: Option<ProgressFn>,
    ) -> Result<Self, Error> {
        if store.read(|records| is_revoked(records).map_err(Error::from))? {
            // Whoever wrote that down was stopped before the store was gone (R-ENGINE-37).
            destroy(store, &home)?;
            return Err(ErrorCode::Revoked.into());
        }
        let engine = store.read(|records| Engine::load(records, clock::now()).map_err(Error::from))?;
        let checkpoint = checkpoint::compare(&home, &mut store, &engine)?;
        let device = engine.device();
        let me = Me {
            org_id: device.organisation().id(),
            member_id: device.member_id(),
            device_id: device.device_id(),
            handle: device.handle().into(),
            name: device.name().into(),
            organisation: device.organisation_name().into(),
            kind: Kind::of(device.credential().capabilities()).unwrap_or_default(),
            expires: device.credential().not_after(),
        };
        let keys = DeviceKeys::from_secret_bytes(device.keys().to_secret_bytes().expose());
        let login = Login {
            keys: keys.ok_or(ErrorCode::Internal)?,
            credential: device.credential().signed().clone(),
        };
        let shared = Shared {
            worker: Worker::spawn(store, engine, (home.clone(), checkpoint))?,
            home,
            relays: Relays::over(transport),
            org: me.org_id,
            device: login,
            anonymous: Mutex::new(None),
            progress: Listener::new(progress),
            wake: Notify::new(),
            typing: broadcast::Sender::new(TYPING_BACKLOG),
            line: Line::default(),
            holds: Holds::default(),
            swept: AtomicBool::new(false),
            caught_up: AtomicUsize::new(0),
            hearing: Hearing::default(),
        };
        Ok(Self { shared: Arc::new(shared), me })
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Returns who this client is.
    #[must_use]
    pub const fn me(&self) -> &Me {
        &self.me
    }

    /// Finds a member by identifier or handle in the local directory, asking the relay for changes, for at most 30 s, if nobody
    /// of that name is known yet. What reads like an identifier, 32 hexadecimal digits, is nobody's handle.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownRecipient`] if there is nobody of that name; [`ErrorCode::RelayUnreachable`] or [`ErrorCode::TimedOut`]
    /// if there is nobody locally and the relay cannot be asked.
    pub async fn resolve(&self, who: &str) -> Result<chancery_engine::Member, Error> {
        self.resolve_by(who, clock::deadline(RESOLVE_PATIENCE)).await
    }

    /// Does what [`Self::resolve`] does, and asks the relay until `deadline` at most. Whom the directory has is found whatever that is.
    pub(crate) async fn resolve_by(
        &self,
        who: &str,
        deadline: Instant,
    ) -> Result<chancery_engine::Member, Error> {
        if let Some(member) = self.lookup(who).await? {
            return Ok(member);
        }
        let ask = async { Mailbox::open(&self.shared).await?.sync_directory(&self.shared).await };
        timeout_at(deadline, ask).await.unwrap_or_else(|_| Err(ErrorCode::TimedOut.into()))?;
        self.lookup(who).await?.ok_or_else(|| Error::with(ErrorCode::UnknownRecipient, who))
    }

    pub(crate) async fn lookup(&self, who: &str) -> Result<Option<chancery_engine::Member>, Error> {
        let who = who.to_owned();
        let find =
            move |records: &dyn chancery_wire::records::Records| chancery_engine::resolve(records, &who);
        self.shared.worker.call(move |state| state.read(find)).await
    }
}
