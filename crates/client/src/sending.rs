//! Sending: a message is stored first, and then sent by whoever reaches the relay.

use std::path::PathBuf;
use std::time::Duration;

use chancery_engine::{Draft, Effect, Input, Letter, MessageState, is_outdated};
use chancery_identity::MemberId;
use chancery_wire::proto::{Attachment, MessageRecord};
use chancery_wire::records::Records;
use tokio::time::{Instant, timeout_at};

use crate::acting::{MessageRef, OutgoingFile};
use crate::client::Client;
use crate::error::{Error, ErrorCode};
use crate::worker::{State, blocking};
use crate::{attachment, clock, outbox};

/// How often a sender looks whether another process has sent its message.
const SENT_POLL: Duration = Duration::from_millis(200);

/// Why a message has failed, for [`ErrorCode::SendFailed`].
pub(crate) const REFUSED: &str = "the relay refuses it";
const HAS_LEFT: &str = "the recipient has left the organisation";

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// The message's identifier.
    pub id: [u8; 16],
    /// Its author: the own member.
    pub author: MemberId,
    /// `Sent` when the relay has it durably for a device of the recipient; `Queued` when it waits, for the reason
    /// in `waiting`.
    pub state: MessageState,
    /// Why the message waits.
    pub waiting: Option<Error>,
}

impl Sent {
    /// Returns what names the message: for [`Client::react`], [`Client::edit`] and the others.
    #[must_use]
    pub const fn reference(&self) -> MessageRef {
        MessageRef { author: self.author, id: self.id }
    }
}

impl Client {
    /// Sends text and files to a member and waits until the relay has them durably, `patience` at most.
    ///
    /// Files are encrypted into the home first, so the originals may change or go afterwards. When this
    /// returns, the message is stored here at least: a message that is [`MessageState::Queued`] is sent by
    /// whatever call connects next.
    /// ```
    /// # use chancery_dev::{PATIENCE, two_people};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), chancery_dev::Error> {
    /// # let (_acme, alice, bob) = two_people().await?;
    /// let sent = alice.send("bob", "Tea at four?", &[], PATIENCE).await?;
    /// if let Some(why) = &sent.waiting {
    ///     println!("it goes as soon as that is over: {why}"); // and must not be sent again
    /// }
    /// # bob.sync(PATIENCE).await?;
    /// # assert_eq!(bob.history("alice", 0).await?[0].id, sent.id);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownRecipient`] (the relay was asked), [`ErrorCode::MessageTooLarge`],
    /// [`ErrorCode::FileNotFound`], [`ErrorCode::DiskFull`] and others: nothing was stored. [`ErrorCode::SendFailed`]:
    /// the relay refuses it
    /// for good. Whatever else keeps the message from going is in [`Sent::waiting`], since repeating the call
    /// would send it twice.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the message may or may not have been stored; look in [`Self::history`]. Never repeat it
    /// blindly.
    pub async fn send(
        &self,
        to: &str,
        text: &str,
        files: &[PathBuf],
        patience: Duration,
    ) -> Result<Sent, Error> {
        if text.is_empty() && files.is_empty() {
            return Err(Error::with(ErrorCode::Usage, "an empty message"));
        }
        let deadline = clock::deadline(patience);
        // Somebody who enrolled after the last synchronisation is written to all the same: the message waits
        // until the relay can be asked who that is.
        let known = match timeout_at(deadline, self.resolve(to)).await {
            Ok(Err(error)) if !error.is_retryable() => return Err(error),
            Ok(Ok(member)) => Some(member.member_id),
            _ => None,
        };
        let id = self.store_message((to, known), text, files).await?;
        self.delivered(id, deadline).await
    }

    /// Sends until a stored message or act is on its way, `deadline` at most, and says what became of it.
    pub(crate) async fn delivered(&self, id: [u8; 16], deadline: Instant) -> Result<Sent, Error> {
        let flushed = tokio::select! {
            flushed = timeout_at(deadline, outbox::flush(self.shared(), deadline)) => flushed,
            () = self.leaves_the_queue(id) => Ok(Ok(None)),
        };
        // From here on the message is stored, and no error may say otherwise.
        let waiting = match flushed {
            Ok(Ok(left)) => left,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(ErrorCode::TimedOut.into()),
        };
        if let Some(error) = waiting.as_ref().filter(|error| error.code() == ErrorCode::Revoked) {
            // There is no message any more, nor anything else.
            return Err(error.clone());
        }
        match self.message_state(id).await {
            Ok(MessageState::Failed) => Err(Error::with(ErrorCode::SendFailed, self.why_failed(id).await)),
            Ok(MessageState::Queued) => {
                self.shared().wake.notify_one();
                Ok(Sent { id, author: self.me().member_id, state: MessageState::Queued, waiting })
            }
            Ok(state) => Ok(Sent { id, author: self.me().member_id, state, waiting: None }),
            Err(error) => Ok(Sent {
                id,
                author: self.me().member_id,
                state: MessageState::Queued,
                waiting: Some(error),
            }),
        }
    }

    /// Says why a message of one's own has failed (R-ENGINE-35).
    async fn why_failed(&self, id: [u8; 16]) -> &'static str {
        let stored = self.stored(id).await.ok().flatten();
        let Some(to) = stored.and_then(|record| MemberId::from_bytes(&record.conversation)) else {
            return REFUSED;
        };
        let has_left = move |state: &mut State| state.read(|records| chancery_engine::has_left(records, &to));
        if self.shared().worker.call(has_left).await.unwrap_or(false) { HAS_LEFT } else { REFUSED }
    }

    /// Waits until nothing of a message is left to send, be it by another process that empties the outbox at the
    /// moment. That one device has it is no reason to stop sending it to the others.
    async fn leaves_the_queue(&self, id: [u8; 16]) {
        loop {
            tokio::time::sleep(SENT_POLL).await;
            if self.stored(id).await.is_ok_and(|record| record.is_some_and(|record| record.pending == 0)) {
                return;
            }
        }
    }

    async fn store_message(
        &self,
        (name, known): (&str, Option<MemberId>),
        text: &str,
        files: &[PathBuf],
    ) -> Result<[u8; 16], Error> {
        let (name, text) = (name.to_owned(), text.to_owned());
        let store = move |state: &mut State, message_id, attachments| {
            let (to, text) = (name.as_str(), text.as_str());
            match known {
                Some(to) => send(state, to, (message_id, text, attachments)),
                None => state.handle(Input::SendLater(Letter { to, message_id, text, attachments })),
            }
        };
        let files = files.iter().map(OutgoingFile::from_path).collect();
        self.store_with_files(files, store).await
    }

    /// Encrypts files into the spool and has `store` store the message of a new identifier that they belong to.
    pub(crate) async fn store_with_files(
        &self,
        files: Vec<OutgoingFile>,
        store: impl FnOnce(&mut State, [u8; 16], Vec<Attachment>) -> Result<Vec<Effect>, Error> + Send + 'static,
    ) -> Result<[u8; 16], Error> {
        if files.len() > chancery_engine::content::MAX_ATTACHMENTS {
            return Err(ErrorCode::MessageTooLarge.into());
        }
        let home = self.shared().home.clone();
        let (attachments, spool) = blocking(move || attachment::spool_all(&home, &files)).await?;
        let message_id: [u8; 16] = chancery_crypto::rng::random_bytes(&mut clock::rng()?);
        let store = move |state: &mut State| {
            let stored = store(state, message_id, attachments);
            // Only now does the store say which files are needed.
            drop(spool);
            stored
        };
        let stored = self.shared().worker.call(store).await;
        if stored.is_err() {
            // A commit that fails may have taken effect: the store is asked before anything is removed.
            outbox::sweep(self.shared()).await;
        }
        stored.map(|_| message_id)
    }

    pub(crate) async fn message_state(&self, id: [u8; 16]) -> Result<MessageState, Error> {
        let stored = self.stored(id).await?;
        Ok(stored.map_or(MessageState::Queued, |record| MessageState::from_stored(record.state)))
    }

    /// Returns a message of one's own; `None` while its recipient is not in the directory.
    async fn stored(&self, id: [u8; 16]) -> Result<Option<MessageRecord>, Error> {
        let own = self.me().member_id;
        let find = move |records: &dyn Records| chancery_engine::message(records, &own, &id);
        self.shared().worker.call(move |state| state.read(find)).await
    }
}

/// Stores a message to a member whom the directory knows. While the log is ahead of the directory, it waits for the entry.
fn send(
    state: &mut State,
    to: MemberId,
    (message_id, text, attachments): ([u8; 16], &str, Vec<Attachment>),
) -> Result<Vec<Effect>, Error> {
    let own = state.device().member_id();
    if state.read(|records| Ok(is_outdated(records, &to)? || is_outdated(records, &own)?))? {
        let to = &to.to_string();
        return state.handle(Input::SendLater(Letter { to, message_id, text, attachments }));
    }
    state.handle(Input::Send(Draft { to, message_id, text, attachments }))
}
