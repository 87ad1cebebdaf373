//! What others are told of reading, who is writing, and how long messages stay.

use std::time::Duration;

use chancery_engine::{Effect, Input, ReceiptInput, ReceiptSettings};
use chancery_identity::MemberId;
use chancery_identity::delivery::Use;
use chancery_wire::Timestamp;
use chancery_wire::proto::{Deliver, MessageRecord, client_frame};
use chancery_wire::records::Records;
use tokio::sync::broadcast;
use tokio::time::timeout_at;

use crate::client::{Client, Shared};
use crate::error::{Error, ErrorCode};
use crate::worker::State;
use crate::{clock, outbox};

/// News of who is writing that a slow listener may be behind by: 64; older ones are of no use.
pub(crate) const TYPING_BACKLOG: usize = 64;
/// How long an application waits for a word of who is writing to be on its way: 5 s; later it is of no use.
const TYPING_PATIENCE: Duration = Duration::from_secs(5);

/// What became of a message of one's own at one member's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageReceipt {
    /// The member.
    pub member: MemberId,
    /// When this device learned that a device of the member has it.
    pub delivered_at: Option<Timestamp>,
    /// When this device learned that the member has read it.
    pub read_at: Option<Timestamp>,
}

impl MessageReceipt {
    /// Reads those of a record.
    pub(crate) fn all(record: &MessageRecord) -> Vec<Self> {
        let time = |millis: u64| (millis != 0).then(|| Timestamp::from_millis(millis));
        let read = |it: &chancery_wire::proto::MemberReceipt| {
            let (delivered_at, read_at) = (time(it.delivered_at), time(it.read_at));
            Some(Self { member: MemberId::from_bytes(&it.member_id)?, delivered_at, read_at })
        };
        record.receipts.iter().filter_map(read).collect()
    }
}

/// Somebody is writing to this member, or no longer. It holds for 15 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Typing {
    /// Who.
    pub member: MemberId,
    /// Whether no longer.
    pub stopped: bool,
}

impl Client {
    /// Returns what this member lets others know.
    ///
    /// # Errors
    ///
    /// Only if the store is not readable.
    pub async fn receipt_settings(&self) -> Result<ReceiptSettings, Error> {
        self.shared().worker.call(|state| state.read(chancery_engine::receipt_settings)).await
    }

    /// Sets what this member lets others know, on all its devices.
    ///
    /// # Errors
    ///
    /// Only if the store is not writable.
    pub async fn set_receipt_settings(&self, settings: ReceiptSettings) -> Result<(), Error> {
        let set = move |state: &mut State| state.handle(Input::Receipts(ReceiptInput::Set(settings)));
        self.shared().worker.call(set).await?;
        self.shared().wake.notify_one();
        Ok(())
    }

    /// Returns how long what this member writes to another stays after it was read; `None`: for ever.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownRecipient`] as [`Self::resolve`].
    pub async fn disappearing(&self, with: &str) -> Result<Option<Duration>, Error> {
        let member = self.resolve(with).await?.member_id;
        let find = move |records: &dyn Records| chancery_engine::disappearing(records, &member);
        self.shared().worker.call(move |state| state.read(find)).await
    }

    /// Sets how long what this member writes to another from now on stays after it was read, from 1 s to 366 days, on all its devices;
    /// `None`: for ever.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownRecipient`] as [`Self::disappearing`]; [`ErrorCode::Usage`] for another time.
    pub async fn set_disappearing(&self, with: &str, after: Option<Duration>) -> Result<(), Error> {
        if after.is_some_and(|after| !chancery_engine::is_disappearing_time(after)) {
            return Err(Error::with(ErrorCode::Usage, "from 1 second to 366 days"));
        }
        let member = self.resolve(with).await?.member_id;
        let set = move |state: &mut State| {
            state.handle(Input::Receipts(ReceiptInput::SetDisappearing { with: member, after }))
        };
        self.shared().worker.call(set).await?;
        self.shared().wake.notify_one();
        Ok(())
    }

    /// Tells a member that this one is writing, or no longer: within 5 s or not at all, and at most every 5 s. Returns how many devices
    /// were told: those with which messages went to and fro within the last 10 minutes.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownRecipient`] as [`Self::resolve`]. What keeps the word from being sent is no error.
    pub async fn typing(&self, to: &str, stopped: bool) -> Result<usize, Error> {
        let deadline = clock::deadline(TYPING_PATIENCE);
        let to = self.resolve_by(to, deadline).await?.member_id;
        let tell = move |state: &mut State| {
            let effects = state.handle(Input::Receipts(ReceiptInput::Typing { to, stopped }))?;
            let mut told = Vec::new();
            for effect in effects {
                let Effect::DeliverOnce(deliver) = effect else { continue };
                let mailbox: [u8; 16] =
                    deliver.mailbox.as_slice().try_into().map_err(|_| ErrorCode::Internal)?;
                let token = state
                    .read_with(|engine, records| engine.delivery_token(records, (Use::Mailbox, &mailbox)))?;
                told.push(Deliver { token, ..deliver });
            }
            Ok(told)
        };
        let told = self.shared().worker.call(tell).await?;
        if told.is_empty() {
            return Ok(0);
        }
        let sent = timeout_at(deadline, deliver_once(self.shared(), told)).await;
        Ok(sent.unwrap_or(Ok(0)).unwrap_or(0))
    }

    /// Returns a receiver of who is writing, by what this process takes over from the relay. It is nowhere kept.
    #[must_use]
    pub fn typing_news(&self) -> broadcast::Receiver<Typing> {
        self.shared().typing.subscribe()
    }

    /// Sends what waits, receipts among it, for at most `patience`.
    ///
    /// # Errors
    ///
    /// As [`Self::sync`]; what was not sent goes on waiting.
    pub async fn send_waiting(&self, patience: Duration) -> Result<(), Error> {
        let deadline = clock::deadline(patience);
        let flushed = timeout_at(deadline, outbox::flush(self.shared(), deadline)).await;
        flushed.unwrap_or_else(|_| Err(ErrorCode::TimedOut.into())).map(drop)
    }
}

/// Delivers each over the anonymous connection, and returns how many the relay took.
async fn deliver_once(shared: &Shared, told: Vec<Deliver>) -> Result<usize, Error> {
    let mut connection = shared.anonymous.lock().await;
    let open = match connection.take().filter(crate::connection::Connection::is_open) {
        Some(open) => open,
        None => shared.connect().await?.0,
    };
    let mut count = 0_usize;
    for deliver in told {
        let taken = open.done(client_frame::Body::Deliver(deliver)).await.is_ok();
        count = count.saturating_add(taken.into());
    }
    *connection = Some(open);
    Ok(count)
}
