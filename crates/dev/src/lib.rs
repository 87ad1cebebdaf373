//! An organisation with its relay and its enrolment desk in one process: for examples, and for tests of applications.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), chancery_dev::Error> {
//! let acme = chancery_dev::Organisation::start("Acme").await?;
//! let (alice, bob) = (acme.member("alice").await?, acme.member("bob").await?);
//! alice.send("bob", "Tea?", &[], chancery_dev::PATIENCE).await?;
//! bob.sync(chancery_dev::PATIENCE).await?;
//! assert_eq!(bob.events().await?.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! Nothing is simulated: the relay listens on a port of this machine, keeps its records in SQLite and is reached over TLS; the
//! desk checks the invitations. What is left out is everything that keeps an organisation safe: all its keys lie
//! beside each other, in a temporary folder that goes with the [`Organisation`]. It is no way to run one.
//!
//! What this crate does not do: it brings no runtime. [`Organisation::start`] spawns its two tasks on the caller's, which
//! needs time and I/O enabled.

use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chancery::organisation::{self, Kind, Wanted};
use chancery::{Client, KeySource, read_or_create_key_file};
use chancery_relay_server::{Config, Limits, Ready, run};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What any part of this may fail with: errors of the library, of the relay and of the temporary folder.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// How long this crate waits for the relay and the desk: 30 s, though everything is on one machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long invitations hold: a day.
const VALID: Duration = Duration::from_secs(86_400);

/// A running organisation. When it is dropped, relay and desk end and its folder is removed.
#[derive(Debug)]
pub struct Organisation {
    // Ended before the folder is removed.
    relay: Task,
    desk: Task,
    key: KeySource,
    folder: TempDir,
}

/// A task that ends with its owner.
#[derive(Debug)]
struct Task(JoinHandle<Result<(), Error>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Task {
    /// Waits for what a task tells when it is ready, or for why it ended before.
    async fn ready<T>(&mut self, told: oneshot::Receiver<T>) -> Result<T, Error> {
        match told.await {
            Ok(ready) => Ok(ready),
            Err(_) => match (&mut self.0).await? {
                Ok(()) => Err("it ended before it was ready".into()),
                Err(error) => Err(error),
            },
        }
    }
}

impl Organisation {
    /// Founds an organisation in a temporary folder, and returns when its relay and its desk answer.
    ///
    /// # Errors
    ///
    /// A name that is not allowed, or what the system refuses: a folder, a port.
    pub async fn start(name: &str) -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        let key = read_or_create_key_file(folder.path().join("organisation.key"))?;
        let dir = folder.path().join("organisation");
        organisation::found(&dir, name, &key)?;
        let (relay, ready) = start_relay(&dir, folder.path().join("relay")).await?;
        let log_key = organisation::fetch_log_key(&dir, &ready.url, &ready.pin, Some(&ready.log_key)).await?;
        organisation::record_relay(&dir, &key, &ready.url, &ready.pin, &log_key)?;
        let desk = start_desk(dir, read_or_create_key_file(folder.path().join("organisation.key"))?).await?;
        Ok(Self { relay, desk, key, folder })
    }

    /// Returns the folder that goes with this: a place for homes, key files and whatever else a test makes.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Invites a person, and returns the link for [`Client::enroll`]. It works once.
    ///
    /// # Errors
    ///
    /// A handle that is taken or not allowed.
    pub fn invite(&self, handle: &str) -> Result<String, Error> {
        Ok(organisation::invite(&self.dir(), &self.key, handle, None, VALID)?.link)
    }

    /// Invites a bot for which `owner`, a member, answers, and with whom it ends.
    ///
    /// # Errors
    ///
    /// A handle that is taken or not allowed, or an owner who is no member.
    pub fn invite_bot(&self, handle: &str, owner: &str) -> Result<String, Error> {
        let bot = Wanted { handle, kind: Kind::Bot, owner: Some(owner), ..Wanted::default() };
        Ok(organisation::invite_as(&self.dir(), &self.key, &bot, VALID)?.link)
    }

    /// Invites a person and enrols a device for them, all in one: its home and its key file stand in [`Self::folder`], under
    /// the handle and the handle with `.key`.
    ///
    /// # Errors
    ///
    /// Those of [`Self::invite`] and of [`Client::enroll`].
    pub async fn member(&self, handle: &str) -> Result<Client, Error> {
        let key = read_or_create_key_file(self.folder().join(format!("{handle}.key")))?;
        let home = self.folder().join(handle);
        Ok(Client::enroll(&home, &key, &self.invite(handle)?, PATIENCE).await?)
    }

    /// Says whether relay and desk still run.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.relay.0.is_finished() && !self.desk.0.is_finished()
    }

    fn dir(&self) -> PathBuf {
        self.folder().join("organisation")
    }
}

/// Founds an organisation of alice and bob, who know each other: what most examples begin with.
///
/// # Errors
///
/// Those of [`Organisation::start`] and [`Organisation::member`].
pub async fn two_people() -> Result<(Organisation, Client, Client), Error> {
    let acme = Organisation::start("Acme").await?;
    let (alice, bob) = (acme.member("alice").await?, acme.member("bob").await?);
    Ok((acme, alice, bob))
}

async fn start_relay(dir: &Path, data: PathBuf) -> Result<(Task, Ready), Error> {
    let config = Config {
        organisation_dir: dir.join(organisation::PUBLIC),
        data,
        listen: ([127, 0, 0, 1], 0).into(),
        certificate: None,
        limits: Limits::default(),
        trust_clock: false,
    };
    let (tell, told) = oneshot::channel();
    let relay = async move {
        let ready = |ready| tell.send(ready).unwrap_or_default();
        run(config, ready, pending()).await.map_err(Error::from)
    };
    let mut relay = Task(tokio::spawn(relay));
    let ready = relay.ready(told).await?;
    Ok((relay, ready))
}

async fn start_desk(dir: PathBuf, key: KeySource) -> Result<Task, Error> {
    let (tell, told) = oneshot::channel();
    let desk = async move {
        let ready = |_: &_| tell.send(()).unwrap_or_default();
        organisation::serve(&dir, &key, ready, pending()).await.map_err(Error::from)
    };
    let mut desk = Task(tokio::spawn(desk));
    desk.ready(told).await?;
    Ok(desk)
}
