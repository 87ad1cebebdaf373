//! One connection to the relay: requests with answers, and what the relay pushes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chancery_crypto::label;
use chancery_identity::{DeviceKeys, OrgId, login_message};
use chancery_transport::{Connector, LinkReceiver, LinkSender};
use chancery_wire::proto::{
    ClientFrame, Done, Hello, Login, RelayFrame, Revoked, Signed, StoredEnvelope, Welcome, client_frame,
    login, relay_frame,
};
use chancery_wire::{Limit, decode, encode};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use crate::clock;
use crate::error::{Error, ErrorCode, refused};

/// Version of the relay's protocol.
const VERSION: u32 = 1;
/// How long the relay may take to answer: 30 s. It commits to disk first, and may be busy with others.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait when the relay says that requests come too fast.
pub(crate) const RATE_PAUSE: Duration = Duration::from_millis(250);
/// To what the time that a device states is rounded.
const MINUTE_MS: u64 = 60_000;
/// Frames that may wait for the socket.
const OUTGOING: usize = 16;
/// Pushes that may wait for the store: 256, four times what the relay pushes ahead of acknowledgements. Another
/// process that acknowledges faster makes it push more; then the connection ends and is made anew, because
/// waiting for room would hold up the answers behind the pushes.
const PUSHES: usize = 256;

/// Something that the relay sends unasked.
#[derive(Debug)]
pub(crate) enum Push {
    Envelope(StoredEnvelope),
    CaughtUp,
    /// The log has more entries.
    LogGrown,
    /// The log has ended this device, the relay says.
    Revoked(Box<Revoked>),
}

/// What a relay answers to the login of a member's device.
pub(crate) enum LoggedIn {
    /// What it has of the device.
    In(Done),
    /// That the device was ended. Nobody has verified that yet.
    Ended(Box<Revoked>),
}

type Answer = Result<relay_frame::Body, Error>;
type Waiting = Arc<Mutex<Option<BTreeMap<u64, oneshot::Sender<Answer>>>>>;

/// An open connection. Dropping it closes the link.
#[derive(Debug)]
pub(crate) struct Connection {
    outgoing: mpsc::Sender<Vec<u8>>,
    waiting: Waiting,
    next_request: std::sync::atomic::AtomicU64,
    /// Whether what comes too fast for the relay is repeated.
    repeats: AtomicBool,
    tasks: [tokio::task::JoinHandle<()>; 2],
    challenge: [u8; 32],
}

const fn to_minute(ms: u64) -> u64 {
    ms.saturating_sub(ms % MINUTE_MS)
}

impl Connection {
    /// Connects and says hello; the connection is anonymous until [`Self::log_in`].
    pub(crate) async fn open(
        connector: &dyn Connector,
        org: &OrgId,
    ) -> Result<(Self, mpsc::Receiver<Push>), Error> {
        let (sender, receiver) = connector.connect().await?.split();
        let (outgoing, frames) = mpsc::channel(OUTGOING);
        let (pushes, pushed) = mpsc::channel(PUSHES);
        let waiting: Waiting = Arc::new(Mutex::new(Some(BTreeMap::new())));
        let tasks =
            [tokio::spawn(write(sender, frames)), tokio::spawn(read(receiver, Arc::clone(&waiting), pushes))];
        let next_request = 1.into();
        let repeats = true.into();
        let mut connection = Self { outgoing, waiting, next_request, repeats, tasks, challenge: [0; 32] };
        let hello = Hello { version: VERSION, org_id: org.as_bytes().to_vec() };
        match connection.request(client_frame::Body::Hello(hello)).await? {
            relay_frame::Body::Welcome(Welcome { challenge, .. }) => {
                connection.challenge = challenge.try_into().map_err(|_| ErrorCode::RelayProtocol)?;
                Ok((connection, pushed))
            }
            _ => Err(ErrorCode::RelayProtocol.into()),
        }
    }

    /// Proves the device and turns this into a mailbox connection. Without a credential, the device's
    /// signing key opens its reply mailbox. Returns what the relay says that it has of the device.
    pub(crate) async fn log_in(
        &self,
        org: &OrgId,
        pin: &[u8; 32],
        keys: &DeviceKeys,
        credential: Option<&Signed>,
    ) -> Result<Done, Error> {
        match self.answer_login(org, pin, keys, credential).await? {
            relay_frame::Body::Done(state) => Ok(state),
            _ => Err(ErrorCode::RelayProtocol.into()),
        }
    }

    /// As [`Self::log_in`] with a credential, for a device that may have been ended.
    pub(crate) async fn log_in_member(
        &self,
        org: &OrgId,
        pin: &[u8; 32],
        keys: &DeviceKeys,
        credential: &Signed,
    ) -> Result<LoggedIn, Error> {
        match self.answer_login(org, pin, keys, Some(credential)).await? {
            relay_frame::Body::Done(state) => Ok(LoggedIn::In(state)),
            relay_frame::Body::Revoked(revoked) => Ok(LoggedIn::Ended(Box::new(revoked))),
            _ => Err(ErrorCode::RelayProtocol.into()),
        }
    }

    async fn answer_login(
        &self,
        org: &OrgId,
        pin: &[u8; 32],
        keys: &DeviceKeys,
        credential: Option<&Signed>,
    ) -> Result<relay_frame::Body, Error> {
        let message = login_message(&self.challenge, org, pin);
        let signature = keys.signing.sign(label::SIGN_RELAY_LOGIN, &message, &mut clock::rng()?);
        let who = match credential {
            Some(credential) => login::Who::Credential(credential.clone()),
            None => login::Who::EnrollingKey(keys.signing.verifying_key().as_bytes().to_vec()),
        };
        // A minute is enough to show the relay that its clock is right, and tells nothing about this one (R-RELAY-77).
        let time = if credential.is_some() { to_minute(clock::now().as_millis()) } else { 0 };
        self.request(client_frame::Body::Login(Login { who: Some(who), signature, time })).await
    }

    /// Sends a request and waits for its answer; a refusal is an error. One that comes too fast for the relay
    /// is repeated for as long as an answer may take, unless [`Self::repeat`] says otherwise: it was not carried out.
    pub(crate) async fn request(&self, body: client_frame::Body) -> Result<relay_frame::Body, Error> {
        let deadline = clock::deadline(ANSWER_TIMEOUT);
        let mut frame = ClientFrame { request: 0, body: Some(body) };
        loop {
            let answer = self.ask(&mut frame, deadline).await;
            let limited = matches!(&answer, Err(error) if error.code() == ErrorCode::RateLimited);
            let may_repeat = self.repeats.load(Ordering::Relaxed) && Instant::now() < deadline;
            if !limited || !may_repeat {
                return answer;
            }
            sleep(RATE_PAUSE).await;
        }
    }

    /// Says whether requests that come too fast for the relay are repeated. Who has other things to do meanwhile has the refusal
    /// at once.
    pub(crate) fn repeat(&self, repeats: bool) {
        self.repeats.store(repeats, Ordering::Relaxed);
    }

    async fn ask(&self, frame: &mut ClientFrame, deadline: Instant) -> Result<relay_frame::Body, Error> {
        let request = self.next_request.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        match lock(&self.waiting).as_mut() {
            Some(waiting) => waiting.insert(request, answer),
            None => return Err(ErrorCode::RelayUnreachable.into()),
        };
        frame.request = request;
        let frame = encode(frame);
        let result = async {
            self.outgoing.send(frame).await.map_err(|_| ErrorCode::RelayUnreachable)?;
            answered.await.map_err(|_| ErrorCode::RelayUnreachable)?
        };
        match timeout_at(deadline, result).await {
            Ok(answer) => answer,
            Err(_) => {
                // An answer that comes too late is for nobody.
                lock(&self.waiting).as_mut().and_then(|waiting| waiting.remove(&request));
                Err(ErrorCode::RelayUnreachable.into())
            }
        }
    }

    /// Sends a request whose answer carries nothing.
    pub(crate) async fn done(&self, body: client_frame::Body) -> Result<(), Error> {
        self.state(body).await.map(drop)
    }

    /// Sends a request whose answer says at most what the relay has now.
    pub(crate) async fn state(&self, body: client_frame::Body) -> Result<Done, Error> {
        match self.request(body).await? {
            relay_frame::Body::Done(state) => Ok(state),
            _ => Err(ErrorCode::RelayProtocol.into()),
        }
    }

    /// Whether the link is still up, as far as this side knows.
    pub(crate) fn is_open(&self) -> bool {
        lock(&self.waiting).is_some()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn lock(waiting: &Waiting) -> std::sync::MutexGuard<'_, Option<BTreeMap<u64, oneshot::Sender<Answer>>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn write(mut sender: Box<dyn LinkSender>, mut frames: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = frames.recv().await {
        if let Err(error) = sender.send(frame).await {
            tracing::debug!(%error, "sending to the relay failed");
            break;
        }
    }
    sender.close().await;
}

async fn read(mut receiver: Box<dyn LinkReceiver>, waiting: Waiting, pushes: mpsc::Sender<Push>) {
    loop {
        let frame = match receiver.receive().await {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(error) => {
                tracing::debug!(%error, "the connection to the relay ended");
                break;
            }
        };
        let Ok(frame) = decode::<RelayFrame>(&frame, Limit::FRAME) else { break };
        let RelayFrame { request, body: Some(body) } = frame.into_unchecked() else { break };
        let push = match body {
            relay_frame::Body::Envelope(envelope) => Push::Envelope(envelope),
            relay_frame::Body::CaughtUp(_) => Push::CaughtUp,
            relay_frame::Body::LogGrown(_) => Push::LogGrown,
            relay_frame::Body::Revoked(revoked) if request == 0 => {
                // What was under way is not carried out any more (R-RELAY-67).
                if let Some(waiting) = lock(&waiting).as_mut() {
                    waiting.clear();
                }
                Push::Revoked(Box::new(revoked))
            }
            body => {
                let answer = lock(&waiting).as_mut().and_then(|waiting| waiting.remove(&request));
                if let Some(answer) = answer {
                    let _ = answer.send(match body {
                        relay_frame::Body::Refused(refusal) => Err(refused(refusal.code)),
                        body => Ok(body),
                    });
                }
                continue;
            }
        };
        if pushes.try_send(push).is_err() {
            break;
        }
    }
    // Nobody waits for an answer on a connection that is gone.
    lock(&waiting).take();
}

#[cfg(test)]
mod tests {
    use chancery_transport::{BoxFuture, ConnectError, Link, memory};
    use chancery_wire::RefusalCode;
    use chancery_wire::proto::{Refused, Subscribe};

    use super::*;

    /// A relay to which the first two requests come too fast.
    struct Busy;

    impl Connector for Busy {
        fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Link>, ConnectError>> {
            let (here, there) = memory::pair(memory::Faults::none());
            tokio::spawn(async move {
                let (mut sender, mut receiver) = (Box::new(there) as Box<dyn Link>).split();
                let mut asked = 0;
                while let Ok(Some(frame)) = receiver.receive().await {
                    let frame = decode::<ClientFrame>(&frame, Limit::FRAME).unwrap().into_unchecked();
                    let body = match frame.body.unwrap() {
                        client_frame::Body::Hello(_) => {
                            relay_frame::Body::Welcome(Welcome { challenge: vec![0; 32], time: 0 })
                        }
                        _ if asked < 2 => {
                            asked = i32::saturating_add(asked, 1);
                            let code = RefusalCode::RateLimited.code();
                            relay_frame::Body::Refused(Refused { code, retry_after_ms: 1 })
                        }
                        _ => relay_frame::Body::Done(Done::default()),
                    };
                    let answer = encode(&RelayFrame { request: frame.request, body: Some(body) });
                    sender.send(answer).await.unwrap();
                }
            });
            Box::pin(async move { Ok(Box::new(here) as Box<dyn Link>) })
        }
    }

    #[tokio::test]
    async fn what_comes_too_fast_is_repeated_unless_others_wait_behind_it_r_engine_94() {
        let subscribe = || client_frame::Body::Subscribe(Subscribe {});
        for repeats in [true, false] {
            let (connection, _pushes) = Connection::open(&Busy, &OrgId::new([1; 32])).await.unwrap();
            connection.repeat(repeats);
            let code = connection.done(subscribe()).await.err().map(|error| error.code());
            assert_eq!(code, if repeats { None } else { Some(ErrorCode::RateLimited) });
            connection.repeat(true);
            connection.done(subscribe()).await.unwrap();
        }
    }
}
