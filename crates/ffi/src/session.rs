//! What a `chancery_client` stands for: a client, the runtime that it runs in, and where its reader has come to.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use chancery::{Client, Error, ErrorCode, Event, KeySource, Progress, ProgressFn, json};
use serde_json::Value;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::bell::Bell;
use crate::news::Board;
use crate::text::chancery_str;

/// How often to look for what another process has stored in the same home: every second.
const POLL: Duration = Duration::from_secs(1);
/// How long the runtime's threads may take to end when a client is freed: 5 s. What they still do then is work on the disk.
const LEAVE: Duration = Duration::from_secs(5);
/// For ever: thirty years, which no clock overflows by.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 86_400);

type ProgressCallback = unsafe extern "C" fn(*mut c_void, chancery_str, u64, u64);

struct Listener {
    userdata: *mut c_void,
    function: ProgressCallback,
}

// SAFETY: the header says that the function is called on other threads, and that the caller sees to what `userdata` points to.
unsafe impl Send for Listener {}

/// Turns a number of milliseconds as C hands it in into a time.
pub(crate) fn patience(millis: u32) -> Duration {
    if millis == u32::MAX { FOREVER } else { Duration::from_millis(millis.into()) }
}

#[derive(Clone)]
enum Following {
    No,
    Yes,
    Ended(Error),
}

/// What the runtime's tasks share with the calls.
struct Shared {
    closed: watch::Sender<bool>,
    following: watch::Sender<Following>,
    bell: OnceLock<Bell>,
    board: Board,
}

/// What is handed out next.
pub(crate) enum Next {
    /// Something that is stored until it is taken.
    Stored(Event),
    /// Who is writing, as it is shown; it is nowhere stored.
    News(Value),
}

impl Shared {
    async fn until_closed(&self) {
        // The sender lives as long as the borrow, so the wait ends only with the value.
        let _ = self.closed.subscribe().wait_for(|&closed| closed).await;
    }

    /// Whether nothing will come any more, unless following begins anew.
    fn has_ended(&self) -> bool {
        *self.closed.borrow() || matches!(*self.following.borrow(), Following::Ended(_))
    }

    fn ring(&self) {
        if let Some(bell) = self.bell.get() {
            bell.ring();
        }
    }
}

/// Where the reader of events has come to.
#[derive(Default)]
struct Cursor {
    /// The lowest number that was not handed out.
    next: u64,
    /// Events that were read and not handed out.
    ahead: VecDeque<Event>,
}

impl Cursor {
    /// Makes sure that the next event is at hand, if there is one.
    async fn look(&mut self, client: &Client) -> Result<(), Error> {
        if self.ahead.is_empty() {
            let events = client.events().await?.into_iter();
            self.ahead = events.filter(|event| event.number >= self.next).collect();
        }
        Ok(())
    }
}

pub(crate) struct Session {
    client: Client,
    shared: Arc<Shared>,
    cursor: Arc<tokio::sync::Mutex<Cursor>>,
    listener: Arc<Mutex<Option<Listener>>>,
    poisoned: AtomicBool,
    runtime: Option<Runtime>,
}

/// A runtime of one worker thread; refused within one, where nothing may wait.
fn runtime() -> Result<Runtime, Error> {
    refuse_within_callback()?;
    let mut builder = Builder::new_multi_thread();
    let built = builder.worker_threads(1).thread_name("chancery").enable_all().build();
    built.map_err(|error| Error::with(ErrorCode::Internal, error.to_string()))
}

pub(crate) fn refuse_within_callback() -> Result<(), Error> {
    if Handle::try_current().is_ok() { Err(ErrorCode::WithinCallback.into()) } else { Ok(()) }
}

/// Puts who is writing on the board, until the client is closed.
fn hear_typing(runtime: &Runtime, client: &Client, shared: &Arc<Shared>) {
    let (client, shared, mut heard) = (client.clone(), Arc::clone(shared), client.typing_news());
    runtime.spawn(async move {
        loop {
            let typing = tokio::select! {
                () = shared.until_closed() => return,
                typing = heard.recv() => typing,
            };
            let typing = match typing {
                Ok(typing) => typing,
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            };
            let known = client.member(&typing.member.to_string()).await;
            let handle = known.map(|member| member.handle).unwrap_or_default();
            shared.board.post(typing.member, json::typing(&typing, &handle), Instant::now());
            shared.ring();
        }
    });
}

impl Session {
    pub(crate) fn open(home: &Path, key: &KeySource) -> Result<Self, Error> {
        Self::start(runtime()?, home, key)
    }

    /// Enrols first.
    pub(crate) fn enroll(
        (home, key): (&Path, &KeySource),
        link: &str,
        patience: Duration,
        show_code: impl FnOnce(&str),
    ) -> Result<Self, Error> {
        let runtime = runtime()?;
        // Opened once more, since a client is told only by its opening who listens to its progress.
        drop(runtime.block_on(Client::enroll_with(home, key, link, patience, show_code))?);
        Self::start(runtime, home, key)
    }

    fn start(runtime: Runtime, home: &Path, key: &KeySource) -> Result<Self, Error> {
        let listener = Arc::new(Mutex::new(None::<Listener>));
        let told = Arc::clone(&listener);
        let progress: ProgressFn = Arc::new(move |progress: &Progress| {
            let listener = told.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(Listener { userdata, function }) = &*listener {
                let name = chancery_str { data: progress.name.as_ptr().cast(), len: progress.name.len() };
                // SAFETY: a function of this type, as C has handed it in; the name lives until it returns.
                unsafe { function(*userdata, name, progress.done, progress.total) }
            }
        });
        let client = Client::open_with(home, key, Some(progress))?;
        let shared = Arc::new(Shared {
            closed: watch::Sender::new(false),
            following: watch::Sender::new(Following::No),
            bell: OnceLock::new(),
            board: Board::new(),
        });
        hear_typing(&runtime, &client, &shared);
        let (cursor, poisoned) = (Arc::default(), AtomicBool::new(false));
        Ok(Self { client, shared, cursor, listener, poisoned, runtime: Some(runtime) })
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Whether anything may be called.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(ErrorCode::Panicked.into());
        }
        if *self.shared.closed.borrow() {
            return Err(ErrorCode::HandleClosed.into());
        }
        Ok(())
    }

    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
        self.close();
    }

    /// Ends what is under way; whoever waits is woken.
    pub(crate) fn close(&self) {
        self.shared.closed.send_replace(true);
        self.shared.ring();
    }

    fn runtime(&self) -> Result<&Runtime, Error> {
        refuse_within_callback()?;
        self.runtime.as_ref().ok_or_else(|| ErrorCode::HandleClosed.into())
    }

    /// Waits for a call, until it is done or the client is closed.
    pub(crate) fn wait<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.runtime()?.block_on(async {
            tokio::select! {
                biased;
                () = self.shared.until_closed() => Err(ErrorCode::HandleClosed.into()),
                done = call => done,
            }
        })
    }

    /// Keeps connected from now on, if it is not yet.
    pub(crate) fn follow(&self) -> Result<(), Error> {
        let runtime = self.runtime()?;
        let begins = self.shared.following.send_if_modified(|now| {
            let begins = !matches!(now, Following::Yes);
            if begins {
                *now = Following::Yes;
            }
            begins
        });
        if begins {
            let (client, shared) = (self.client.clone(), Arc::clone(&self.shared));
            let stop = Arc::clone(&self.shared);
            let followed =
                runtime.spawn(async move { client.follow(async move { stop.until_closed().await }).await });
            runtime.spawn(async move {
                let why = match followed.await {
                    Ok(Ok(())) => ErrorCode::HandleClosed.into(),
                    Ok(Err(error)) => error,
                    Err(_) => ErrorCode::Panicked.into(),
                };
                shared.following.send_replace(Following::Ended(why));
                shared.ring();
            });
        }
        Ok(())
    }

    /// Waits for the next event; [`ErrorCode::NoEvent`] if none comes in time.
    pub(crate) fn next_event(&self, timeout: Duration) -> Result<Next, Error> {
        self.wait(async {
            let now = Instant::now();
            let deadline = now.checked_add(timeout).unwrap_or(now);
            let (mut changes, mut following) = (self.client.changes(), self.shared.following.subscribe());
            let mut news = self.shared.board.changes();
            loop {
                changes.mark_unchanged();
                news.mark_unchanged();
                let state = following.borrow_and_update().clone();
                if let Some(event) = self.take_next().await? {
                    return Ok(event);
                }
                if let Following::Ended(why) = state {
                    return Err(why);
                }
                if Instant::now() >= deadline {
                    return Err(ErrorCode::NoEvent.into());
                }
                tokio::select! {
                    _ = changes.changed() => {}
                    _ = following.changed() => {}
                    _ = news.changed() => {}
                    () = sleep(POLL) => {}
                    () = sleep_until(deadline) => {}
                }
            }
        })
    }

    async fn take_next(&self) -> Result<Option<Next>, Error> {
        let mut cursor = self.cursor.lock().await;
        let bell = self.shared.bell.get();
        if let Some(bell) = bell {
            // Before looking: what comes meanwhile rings again.
            bell.silence();
            // An end rang once, and may have been what was silenced.
            if self.shared.has_ended() {
                bell.ring();
            }
        }
        // First, as whoever writes has mostly done so before what they have written is here.
        if let Some(news) = self.shared.board.take(Instant::now()) {
            self.shared.ring();
            return Ok(Some(Next::News(news)));
        }
        cursor.look(&self.client).await?;
        let Some(event) = cursor.ahead.pop_front() else { return Ok(None) };
        cursor.next = event.number.saturating_add(1);
        // A store that cannot be read is for the next call to say: this event was read.
        if bell.is_some() && (cursor.look(&self.client).await.is_err() || !cursor.ahead.is_empty()) {
            self.shared.ring();
        }
        Ok(Some(Next::Stored(event)))
    }

    /// Takes events up to a number that was handed out by this handle; any other would take away what nobody has seen.
    pub(crate) fn take_events(&self, number: u64) -> Result<(), Error> {
        self.wait(async {
            if number >= self.cursor.lock().await.next {
                return Err(Error::with(ErrorCode::EventUnknown, number.saturating_add(1).to_string()));
            }
            self.client.take_events(number).await
        })
    }

    /// Returns the descriptor that can be read as long as an event waits.
    pub(crate) fn fd(&self) -> Result<i32, Error> {
        let runtime = self.runtime()?;
        let is_new = self.shared.bell.get().is_none();
        if is_new && self.shared.bell.set(Bell::new()?).is_ok() {
            let (client, shared) = (self.client.clone(), Arc::clone(&self.shared));
            let cursor = Arc::clone(&self.cursor);
            // What rang before there was a bell.
            if shared.has_ended() || !shared.board.is_empty() {
                shared.ring();
            }
            runtime.spawn(async move {
                let mut changes = client.changes();
                loop {
                    changes.mark_unchanged();
                    let mut cursor = cursor.lock().await;
                    // A store that cannot be read is for whoever calls to see.
                    if cursor.look(&client).await.is_err() || !cursor.ahead.is_empty() {
                        shared.ring();
                    }
                    drop(cursor);
                    tokio::select! {
                        _ = changes.changed() => {}
                        () = sleep(POLL) => {}
                        () = shared.until_closed() => return,
                    }
                }
            });
        }
        self.shared.bell.get().map(Bell::fd).ok_or_else(|| ErrorCode::Internal.into())
    }

    /// Names who is told how far files have come; whoever was before is not called any more once this returns.
    pub(crate) fn listen(&self, listener: Option<(*mut c_void, ProgressCallback)>) -> Result<(), Error> {
        refuse_within_callback()?;
        let listener = listener.map(|(userdata, function)| Listener { userdata, function });
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = listener;
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.close();
        let Some(runtime) = self.runtime.take() else { return };
        match Handle::try_current() {
            // A callback has freed another client: there is nothing that may wait.
            Ok(_) => runtime.shutdown_background(),
            Err(_) => runtime.shutdown_timeout(LEAVE),
        }
    }
}
