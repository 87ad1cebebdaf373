//! The process: data directory, certificate, socket, thread, and the loop that accepts connections.

use std::fs::{self, File, TryLockError};
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chancery_crypto::hash::sha256;
use chancery_relay::{ConnectionId, Limits, Setup, Storage as _};
use chancery_transport_ws::{Acceptor, ServerIdentity};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::ServerError;
use crate::client::Shared;
use crate::log_key;
use crate::machine::{Job, Machine, rng};
use crate::organisation::OrganisationFile;
use crate::sqlite::SqliteStorage;

/// Jobs that wait for the relay's thread: two batches.
const JOBS: usize = 512;
/// Time between ticks.
const TICK: Duration = Duration::from_secs(1);
/// How long connections get to take their last frames when the relay ends.
const GOODBYE: Duration = Duration::from_secs(3);
/// A pause after the system could give no socket, so that the relay does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a relay is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The directory with `organisation.bin`, the organisation's public document. Only read.
    pub organisation_dir: PathBuf,
    /// Where the relay keeps everything; made if it is not there, with access for its owner only.
    pub data: PathBuf,
    /// The address to listen on; port 0 picks one.
    pub listen: SocketAddr,
    /// Certificate chain and key in PEM. Without them the relay makes its own in `data`.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// What the relay puts up with.
    pub limits: Limits,
    /// Whether to believe the system's clock at the start, though it is more than a week ahead of the log (R-RELAY-68).
    pub trust_clock: bool,
}

/// A relay that accepts connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// The address that it listens on.
    pub listen: SocketAddr,
    /// The address for clients, `wss://host:port`.
    pub url: String,
    /// SHA-256 of the certificate's public key, by which clients know the relay.
    pub pin: [u8; 32],
    /// SHA-256 of the key that signs the log, for whoever records where the relay is.
    pub log_key: [u8; 32],
}

/// Serves until `shutdown` resolves; `on_ready` is called once, when connections are accepted.
///
/// # Errors
///
/// [`ServerError`]: the relay has not started, or, for [`ServerError::Stopped`], it is no longer running.
pub async fn run(
    config: Config,
    on_ready: impl FnOnce(Ready),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServerError> {
    let _lock = lock(&config.data)?;
    let (file, organisation) = OrganisationFile::open(&config.organisation_dir)?;
    let identity = match &config.certificate {
        Some((certificate, key)) => ServerIdentity::load(certificate, key)?,
        None => ServerIdentity::load_or_create(&config.data)?,
    };
    let pin = identity.pin();
    let storage = SqliteStorage::open(&config.data, &organisation.id())?;
    let mut rng = rng()?;
    let has_log = !storage.log_page(0, 1).map_err(|_| ServerError::Database)?.is_empty();
    let log_key = log_key::load_or_create(&config.data, has_log, &mut *rng)?;
    let log_key_hash = sha256(&[log_key.verifying_key().as_bytes()]);
    let setup = Setup { organisation, pin, log_key, limits: config.limits };
    let machine = Machine::new(setup, storage, file, rng, config.trust_clock)?;
    let listener =
        TcpListener::bind(config.listen).await.map_err(|error| ServerError::Listen(error.kind()))?;
    let listen = listener.local_addr().map_err(|error| ServerError::Listen(error.kind()))?;

    let (jobs, queue) = mpsc::channel(JOBS);
    let mut ended = machine.start(queue)?;
    on_ready(Ready { listen, url: format!("wss://{listen}"), pin, log_key: log_key_hash });
    let mut server = Server {
        listener,
        acceptor: Acceptor::new(identity),
        places: Arc::new(Semaphore::new(config.limits.connections)),
        shared: Arc::new(Shared::new(jobs.clone())),
        clients: JoinSet::new(),
        next: 0,
    };
    tokio::select! {
        () = server.accept() => {}
        () = tick(&jobs) => return Err(ServerError::Stopped),
        () = shutdown => {}
        _ = &mut ended => return Err(ServerError::Stopped),
    }
    server.end(&jobs, ended).await;
    Ok(())
}

struct Server {
    listener: TcpListener,
    acceptor: Acceptor,
    places: Arc<Semaphore>,
    shared: Arc<Shared>,
    clients: JoinSet<()>,
    next: u64,
}

impl Server {
    /// Accepts connections for ever, each in a task of its own.
    async fn accept(&mut self) {
        loop {
            // Ended tasks are collected, so that they do not pile up.
            while self.clients.try_join_next().is_some() {}
            match self.listener.accept().await {
                Ok((stream, _)) => self.admit(stream),
                Err(error) => {
                    tracing::warn!(kind = ?error.kind(), "no connection can be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Serves a connection if there is a place for it, handshakes included (R-RELAY-20).
    fn admit(&mut self, stream: TcpStream) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            tracing::warn!("a connection was turned away: all places are taken");
            return;
        };
        self.next = self.next.saturating_add(1);
        let connection = ConnectionId(self.next);
        let (acceptor, shared) = (self.acceptor.clone(), Arc::clone(&self.shared));
        self.clients.spawn(async move {
            match acceptor.accept(stream).await {
                Ok(link) => shared.serve(link, connection).await,
                Err(error) => tracing::debug!(connection = connection.0, %error, "not accepted"),
            }
            drop(place);
        });
    }

    /// Lets the thread finish what it was given, and the clients take their last frames.
    async fn end(mut self, jobs: &mpsc::Sender<Job>, ended: oneshot::Receiver<()>) {
        drop(self.listener);
        if jobs.send(Job::Stop).await.is_ok() {
            // It resolves with an error, because the thread drops its end.
            let _ = ended.await;
        }
        let goodbye = async { while self.clients.join_next().await.is_some() {} };
        if timeout(GOODBYE, goodbye).await.is_err() {
            tracing::debug!("some clients did not take their last frames");
        }
        tracing::info!("ended");
    }
}

/// Ticks until the relay's thread has ended.
async fn tick(jobs: &mpsc::Sender<Job>) {
    let mut interval = interval(TICK);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if jobs.send(Job::Tick).await.is_err() {
            return;
        }
    }
}

/// Makes the data directory and keeps every other relay out of it for as long as the file is held.
pub(crate) fn lock(data: &Path) -> Result<File, ServerError> {
    let unusable = |error: std::io::Error| ServerError::Data(error.kind());
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(data).map_err(unusable)?;
    let file = File::create(data.join("relay.lock")).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ServerError::InUse),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}
