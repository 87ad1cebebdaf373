//! What all connections of a process share: the accounts, and what happens in them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chancery::{Client, Error, ErrorCode, Event, Happening, KeySource, Progress, json};
use serde_json::Value;
use tokio::sync::{broadcast, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::limit::{MAX_ACCOUNT_NAME, MAX_ACCOUNTS, NEWS_BACKLOG, POLL};
use crate::shapes::ReceiveMode;

/// Accounts of members' devices, for every connection alike: whoever can connect can use them all.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    mode: ReceiveMode,
    accounts: Mutex<BTreeMap<String, Arc<Account>>>,
    /// Counts what happens in any account.
    happened: watch::Sender<u64>,
    /// What is told as it happens, and to nobody who comes later.
    news: broadcast::Sender<Value>,
    /// Accounts that were added.
    added: AtomicU64,
}

/// A device that is served.
pub(crate) struct Account {
    /// Which one it is in this process: a name may be given again.
    pub(crate) serial: u64,
    pub(crate) name: String,
    pub(crate) home: PathBuf,
    key: KeySource,
    state: Mutex<State>,
    /// Every event of a lower number was handed out by this process, or before.
    handed_out: AtomicU64,
    /// One enrolment at a time.
    enrolling: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    client: Option<Client>,
    /// The code to compare while a device link is being used.
    code: Option<String>,
    /// Why it is connected no longer.
    stopped: Option<Error>,
    following: Option<AbortHandle>,
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(following) = &self.following {
            following.abort();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds a lock, and each change is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Service {
    /// Makes a service without accounts.
    #[must_use]
    pub fn new(mode: ReceiveMode) -> Self {
        let (happened, news) = (watch::Sender::new(0), broadcast::Sender::new(NEWS_BACKLOG));
        let (accounts, added) = (Mutex::default(), AtomicU64::new(0));
        Self(Arc::new(Inner { mode, accounts, happened, news, added }))
    }

    /// Says how events come.
    #[must_use]
    pub fn mode(&self) -> ReceiveMode {
        self.0.mode
    }

    /// Serves the device of this folder under a name. A folder that is not enrolled yet is served as well, so that a program
    /// can enrol it. Works on the calling thread, with a passphrase for some tens of milliseconds; it is called in a `tokio` runtime, in which
    /// the device then stays connected to its relay.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::AccountExists`], [`ErrorCode::AccountLimit`], [`ErrorCode::NameNotAllowed`]; those of [`Client::open`].
    pub fn add(&self, name: &str, home: &Path, key: KeySource) -> Result<(), Error> {
        if name.is_empty() || name.len() > MAX_ACCOUNT_NAME || name.chars().any(char::is_control) {
            let what = format!("the name of an account has 1 to {MAX_ACCOUNT_NAME} bytes");
            return Err(Error::with(ErrorCode::Usage, what));
        }
        let home = std::path::absolute(home).map_err(|_| ErrorCode::FileUnreadable)?;
        may_add(&lock(&self.0.accounts), name, &home)?;
        let client = if Client::exists(&home) {
            match Client::open(&home, &key) {
                Ok(client) => Some(client),
                // An enrolment that was interrupted can be resumed.
                Err(error) if error.code() == ErrorCode::NotEnrolled => None,
                Err(error) => return Err(error),
            }
        } else {
            None
        };
        let account = Arc::new(Account {
            serial: self.0.added.fetch_add(1, Ordering::Relaxed),
            name: name.to_owned(),
            home: home.clone(),
            key,
            state: Mutex::default(),
            handed_out: AtomicU64::new(0),
            enrolling: tokio::sync::Mutex::default(),
        });
        if let Some(client) = client {
            self.start(&account, client);
        }
        let mut accounts = lock(&self.0.accounts);
        // Others may have come while the store was opened.
        may_add(&accounts, name, &home)?;
        accounts.insert(name.to_owned(), account);
        drop(accounts);
        self.bump();
        Ok(())
    }

    /// Keeps an account connected from now on.
    fn start(&self, account: &Arc<Account>, client: Client) {
        let (weak, service, follower) = (Arc::downgrade(account), self.clone(), client.clone());
        let name = account.name.clone();
        let (news_of, told_at) = (self.0.news.clone(), Mutex::new(None));
        let of_account = account.name.clone();
        client.set_progress(Some(Arc::new(move |now: &Progress| {
            if is_worth_telling(now, &mut lock(&told_at)) {
                // Nobody may be there to hear it.
                let _ = news_of.send(progress(&of_account, now));
            }
        })));
        let following = tokio::spawn(async move {
            let (mut changes, mut typing) = (follower.changes(), follower.typing_news());
            let mut connection = std::pin::pin!(follower.follow(std::future::pending()));
            let stopped = loop {
                tokio::select! {
                    ended = &mut connection => break ended.err(),
                    Ok(()) = changes.changed() => service.bump(),
                    Ok(typing) = typing.recv() => {
                        let member = follower.member(&typing.member.to_string()).await;
                        let handle = member.map(|member| member.handle).unwrap_or_default();
                        // Nobody may be there to hear it.
                        let _ = service.0.news.send(news(&name, json::typing(&typing, &handle)));
                    }
                }
            };
            if let (Some(account), Some(error)) = (weak.upgrade(), stopped) {
                tracing::warn!(code = error.code().name(), "an account is connected no longer");
                lock(&account.state).stopped = Some(error);
            }
            service.bump();
        });
        let mut state = lock(&account.state);
        state.client = Some(client);
        state.following = Some(following.abort_handle());
    }

    fn bump(&self) {
        self.0.happened.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Waits until something may have happened in an account, in this process or another.
    pub(crate) async fn something(&self, happened: &mut watch::Receiver<u64>) {
        // Whoever waits has the service, and with it the sender.
        let _ = timeout(POLL, happened.changed()).await;
    }

    pub(crate) fn happened(&self) -> watch::Receiver<u64> {
        self.0.happened.subscribe()
    }

    /// What is told as it happens from now on.
    pub(crate) fn news(&self) -> broadcast::Receiver<Value> {
        self.0.news.subscribe()
    }

    pub(crate) fn accounts(&self) -> Vec<Arc<Account>> {
        lock(&self.0.accounts).values().cloned().collect()
    }

    /// Finds an account; without a name, the only one.
    pub(crate) fn account(&self, name: Option<&str>) -> Result<Arc<Account>, Error> {
        let accounts = lock(&self.0.accounts);
        let found = match name {
            Some(name) => accounts.get(name).ok_or_else(|| Error::with(ErrorCode::AccountUnknown, name))?,
            None if accounts.len() == 1 => accounts.values().next().ok_or(ErrorCode::Internal)?,
            None => return Err(ErrorCode::AccountUnnamed.into()),
        };
        Ok(found.clone())
    }

    /// The client of an account, which need not be named while there is only one; an error until it is enrolled.
    pub(crate) fn client(&self, name: Option<&str>) -> Result<Client, Error> {
        self.account(name)?.client()
    }

    /// Stops serving an account.
    pub(crate) fn close(&self, name: Option<&str>) -> Result<(), Error> {
        let account = self.account(name)?;
        lock(&self.0.accounts).remove(&account.name);
        // Calls that have begun keep their client; nobody else gets it.
        drop(std::mem::take(&mut *lock(&account.state)));
        self.bump();
        Ok(())
    }

    /// Makes the account's folder a device and serves it from then on. Of several calls at once one enrols, and the others are told
    /// that it was done; while it waits for an approval, `accounts.list` has the code.
    pub(crate) async fn enrol(
        &self,
        name: Option<&str>,
        link: &str,
        patience: Duration,
    ) -> Result<Client, Error> {
        let account = self.account(name)?;
        let _alone = account.enrolling.lock().await;
        if account.client().is_ok() {
            return Err(ErrorCode::AlreadyEnrolled.into());
        }
        let show = |code: &str| lock(&account.state).code = Some(code.to_owned());
        let enrolled = Client::enroll_with(&account.home, &account.key, link, patience, show).await;
        lock(&account.state).code = None;
        let client = enrolled?;
        self.start(&account, client.clone());
        Ok(client)
    }
}

fn may_add(accounts: &BTreeMap<String, Arc<Account>>, name: &str, home: &Path) -> Result<(), Error> {
    if accounts.len() >= MAX_ACCOUNTS {
        return Err(Error::with(ErrorCode::AccountLimit, MAX_ACCOUNTS.to_string()));
    }
    let taken = |account: &Arc<Account>| account.name == name || account.home == home;
    match accounts.values().any(taken) {
        true => Err(Error::with(ErrorCode::AccountExists, name)),
        false => Ok(()),
    }
}

/// How often it is told at most how far the files of an account have come: every 250 ms.
const PROGRESS_PAUSE: Duration = Duration::from_millis(250);

/// Whether it is time to tell how far a file has come; that all of it has, it always is.
fn is_worth_telling(now: &Progress, told_at: &mut Option<Instant>) -> bool {
    let is_due = told_at.is_none_or(|told_at| told_at.elapsed() >= PROGRESS_PAUSE);
    if is_due {
        *told_at = Some(Instant::now());
    }
    is_due || now.done >= now.total
}

/// How far a file of an account has come.
fn progress(account: &str, now: &Progress) -> Value {
    let mut object = json::progress(now);
    if let Some(fields) = object.as_object_mut() {
        fields.insert("account".to_owned(), account.into());
    }
    object
}

/// What is told of an account and kept nowhere.
fn news(account: &str, event: Value) -> Value {
    serde_json::json!({"account": account, "event": event})
}

impl Account {
    /// A clone of the client: it stays usable by who has it when the account is closed. An error before the account is enrolled.
    pub(crate) fn client(&self) -> Result<Client, Error> {
        lock(&self.state).client.clone().ok_or_else(|| ErrorCode::NotEnrolled.into())
    }

    /// Returns what `accounts.list` says of it.
    pub(crate) fn object(&self) -> Value {
        let state = lock(&self.state);
        let phase = match (&state.client, &state.stopped) {
            (None, _) => "not-enrolled",
            (Some(_), None) => "open",
            (Some(_), Some(_)) => "stopped",
        };
        serde_json::json!({
            "account": self.name,
            "home": self.home.display().to_string(),
            "state": phase,
            "me": state.client.as_ref().map(|client| json::me(client.me())),
            "code": state.code,
            "error": state.stopped.as_ref().map(json::error),
        })
    }

    /// Returns events that were not acknowledged and have a number above `after`, oldest first.
    pub(crate) async fn events(&self, after: Option<u64>) -> Result<Vec<Event>, Error> {
        let mut events = self.client()?.events().await?;
        events.retain(|event| after.is_none_or(|after| event.number > after));
        Ok(events)
    }

    /// Returns the codes of the own member's new devices that ask for approval and are not among those `told`, which they are then.
    pub(crate) async fn requests(&self, told: &mut BTreeSet<String>) -> Result<Vec<Value>, Error> {
        let codes = self.client()?.device_requests().await?;
        told.retain(|code| codes.contains(code));
        let new = codes.into_iter().filter(|code| told.insert(code.clone()));
        Ok(new.map(|code| news(&self.name, json::device_request(&code))).collect())
    }

    /// Notes that an event is being handed out, and returns it as that is done; `None` for a kind that this version does not know.
    pub(crate) fn hand_out(&self, event: &Event) -> Option<Value> {
        // A device that asks is news here, without a number.
        let is_news = matches!(event.happening, Happening::DeviceRequest { .. });
        let object = json::event(event).filter(|_| !is_news)?;
        self.handed_out.fetch_max(event.number.saturating_add(1), Ordering::AcqRel);
        Some(serde_json::json!({"account": self.name, "number": event.number, "event": object}))
    }

    /// Waits for the oldest event with a number above `after`.
    pub(crate) async fn next(
        &self,
        service: &Service,
        after: Option<u64>,
        patience: Duration,
    ) -> Result<Option<Value>, Error> {
        let deadline = Instant::now().checked_add(patience).ok_or(ErrorCode::Usage)?;
        let mut happened = service.happened();
        loop {
            happened.mark_unchanged();
            let stopped = lock(&self.state).stopped.clone();
            let found = self.events(after).await;
            if let Some(object) = found?.iter().find_map(|event| self.hand_out(event)) {
                return Ok(Some(object));
            }
            if let Some(error) = stopped {
                // Nothing will come any more, and whoever waits should know.
                return Err(error);
            }
            if timeout_at(deadline, service.something(&mut happened)).await.is_err() {
                return Ok(None);
            }
        }
    }

    /// Acknowledges what was handed out up to this number.
    pub(crate) async fn acknowledge(&self, number: u64) -> Result<(), Error> {
        // A number out of thin air would take events away that nobody has seen.
        if number >= self.handed_out.load(Ordering::Acquire) {
            return Err(Error::with(ErrorCode::EventUnknown, number.to_string()));
        }
        self.client()?.take_events(number).await
    }
}
