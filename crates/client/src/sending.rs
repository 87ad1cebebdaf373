//! Sending: a message is stored first, and then sent by whoever reaches the relay.

use std::path::PathBuf;
use std::time::Duration;

use chancery_engine::{Draft, Effect, Input, Letter, MessageState, is_outdated, waits_for};
use chancery_identity::MemberId;
use chancery_wire::proto::{Attachment, MessageRecord};
use chancery_wire::records::Records;
use tokio::time::{Instant, timeout_at};

use crate::acting::{MessageRef, OutgoingFile};
use crate::client::Client;
use crate::error::{Error, ErrorCode};
use crate::outbox::Emptied;
use crate::worker::{State, blocking};
use crate::{attachment, clock, outbox};

/// How often a sender looks whether another process has sent its message.
const SENT_POLL: Duration = Duration::from_millis(200);

/// Why a message has failed, for [`ErrorCode::SendFailed`].
pub(crate) const REFUSED: &str = "the relay refuses it";
const HAS_LEFT: &str = "the recipient has left the organisation";
const UNKNOWN_NAME: &str =
    "nobody of that name was enrolled when it was written, or their entry has changed since";

/// Why something that is stored waits. It goes by itself as soon as that is over: to call again would do it twice, whatever the reason.
///
/// [`Self::code`] says which it is; whether a call that *failed* with this code may be repeated, [`Error::is_retryable`], is
/// another question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting(Error);

impl Waiting {
    pub(crate) const fn new(why: Error) -> Self {
        Self(why)
    }

    /// Returns the stable code of the reason.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        self.0.code()
    }

    /// Returns the reason as an error, for texts: the call has not failed, and must not be repeated.
    #[must_use]
    pub const fn why(&self) -> &Error {
        &self.0
    }
}

impl std::fmt::Display for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

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
    /// Why this message waits; it goes by itself.
    pub waiting: Option<Waiting>,
}

impl Sent {
    /// Returns what names the message: for [`Client::react`], [`Client::edit`] and the others.
    #[must_use]
    pub const fn reference(&self) -> MessageRef {
        MessageRef { author: self.author, id: self.id }
    }
}

impl Client {
    /// Sends text and files to a member, by handle or identifier, and waits until the relay has them durably, `patience` at most. The
    /// identifier of a group names the group; its name does not, since anybody may call a group like a colleague.
    ///
    /// If the directory here has nobody of that name and the relay cannot be asked within `patience`, it is the *name* that waits:
    /// [`Self::unaddressed`] says for how long, for whom, and how to take it back. `patience` is how long this call waits, and not after
    /// what time a message is given up.
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
        if let Some(group) = self.group_of_id(to).await? {
            return group.send(text, files, patience).await;
        }
        // Somebody who enrolled after the last synchronisation is written to all the same: the message waits
        // until the relay can be asked who that is.
        let known = match self.resolve_by(to, deadline).await {
            Err(error) if !error.is_retryable() => return Err(error),
            found => found.ok().map(|member| member.member_id),
        };
        let id = self.store_message((to, known), text, files).await?;
        self.delivered(id, deadline).await
    }

    /// Sends until a stored message or act is on its way, `deadline` at most, and says what became of it.
    pub(crate) async fn delivered(&self, id: [u8; 16], deadline: Instant) -> Result<Sent, Error> {
        let flushed = tokio::select! {
            flushed = timeout_at(deadline, outbox::empty(self.shared(), deadline)) => flushed,
            () = self.leaves_the_queue(id) => Ok(Ok(Emptied::default())),
        };
        // From here on the message is stored, and no error may say otherwise.
        let of_all = match flushed {
            Ok(Ok(emptied)) => emptied.stopped,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(ErrorCode::TimedOut.into()),
        };
        if let Some(error) = of_all.as_ref().filter(|error| error.code() == ErrorCode::Revoked) {
            // There is no message any more, nor anything else.
            return Err(error.clone());
        }
        let author = self.me().member_id;
        match self.message_state(id).await {
            Ok(MessageState::Failed) => Err(Error::with(ErrorCode::SendFailed, self.why_failed(id).await)),
            Ok(MessageState::Queued) => {
                self.shared().wake.notify_one();
                let waiting = self.why_waiting(id, of_all).await.map(Waiting::new);
                Ok(Sent { id, author, state: MessageState::Queued, waiting })
            }
            Ok(state) => Ok(Sent { id, author, state, waiting: None }),
            Err(error) => {
                Ok(Sent { id, author, state: MessageState::Queued, waiting: Some(Waiting::new(error)) })
            }
        }
    }

    /// Says why this message waits, and not what else of the outbox does: what lies with its recipient or file goes before what
    /// holds up everything.
    async fn why_waiting(&self, id: [u8; 16], of_all: Option<Error>) -> Option<Error> {
        let targets = self.shared().worker.call(move |state| state.read(|it| waits_for(it, &id))).await;
        let own = targets.ok().and_then(|targets| self.shared().holds.why_of(&targets, Instant::now()));
        if own.is_some() || of_all.is_some() {
            return own.or(of_all);
        }
        let letter = self.letter(id).await.ok().flatten();
        Some(letter.map_or(ErrorCode::Queued.into(), |it| Error::with(ErrorCode::UnknownRecipient, it.to)))
    }

    /// Says why a message of one's own has failed (R-ENGINE-35, R-ENGINE-143).
    async fn why_failed(&self, id: [u8; 16]) -> &'static str {
        let stored = self.stored(id).await.ok().flatten();
        let Some(to) = stored.as_ref().and_then(|record| MemberId::from_bytes(&record.conversation)) else {
            return UNKNOWN_NAME;
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
        if let Some(record) = self.stored(id).await? {
            return Ok(MessageState::from_stored(record.state));
        }
        let has_failed = self.letter(id).await?.is_some_and(|letter| letter.failed.is_some());
        Ok(if has_failed { MessageState::Failed } else { MessageState::Queued })
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
