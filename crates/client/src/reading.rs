//! Reading what this device has stored.

use chancery_engine::{Input, Page};
use chancery_wire::records::Records;
use tokio::sync::watch;

use crate::client::Client;
use crate::error::{Error, ErrorCode};
use crate::message::{Event, Message, WaitingFile};
use crate::worker::State;

/// Messages read from the store at once.
const PAGE: usize = 256;

impl Client {
    /// Returns up to 256 events that were not taken yet, oldest first. Some are no message: a member has a new device,
    /// or messages are lost. Show each before [`Self::take_events`] forgets it. [`Self::event_stream`] waits for them.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::StoreLocked`]: policy demands that the relay is reached first. Otherwise only if the store is not readable.
    pub async fn events(&self) -> Result<Vec<Event>, Error> {
        self.events_from(0).await
    }

    /// Returns up to 256 events that were not taken yet and have at least this [`Event::number`], oldest first: what has come
    /// since, for whoever takes events later than it reads them.
    ///
    /// # Errors
    ///
    /// As [`Self::events`].
    pub async fn events_from(&self, number: u64) -> Result<Vec<Event>, Error> {
        let own = self.me().member_id;
        let read = move |records: &dyn Records| {
            let mut from = number;
            loop {
                let found = chancery_engine::events_from(records, from, PAGE)?;
                let Some((last, _)) = found.last() else { return Ok(Vec::new()) };
                from = last.saturating_add(1);
                let known =
                    found.into_iter().filter_map(|found| Event::read(records, &own, found).transpose());
                let known: Vec<Event> = known.collect::<Result<_, _>>()?;
                // A page of what only later versions know must not hide what stands behind it.
                if !known.is_empty() {
                    return Ok(known);
                }
            }
        };
        self.shared().worker.call(move |state| state.read_shown(read)).await
    }

    /// Says that events up to and including `number` were shown. A process that is killed before sees them
    /// again, with the same message identifiers.
    ///
    /// # Errors
    ///
    /// Only if the store is not writable.
    pub async fn take_events(&self, number: u64) -> Result<(), Error> {
        let taken = move |state: &mut State| state.handle(Input::EventsTaken { up_to: number });
        self.shared().worker.call(taken).await.map(drop)
    }

    /// Returns a receiver that changes whenever this process has stored an event.
    ///
    /// Another process's events change nothing here: poll.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared().worker.changes()
    }

    /// Returns up to 256 messages of the conversation with a member, oldest first, from position `from` on: 0, then
    /// [`Page::next`].
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownRecipient`] if the directory has nobody of that name; the relay is not asked.
    /// [`ErrorCode::StoreLocked`]: policy demands that it is reached first.
    pub async fn history(&self, with: &str, from: u64) -> Result<Page<Message>, Error> {
        let own = self.me().member_id;
        let Some(member) = self.lookup(with).await? else {
            return self.unaddressed_to(with, from).await;
        };
        self.shared()
            .worker
            .call(move |state| {
                state.read_shown(|records| {
                    let found = chancery_engine::conversation(records, &member.member_id, from, PAGE)?;
                    found.try_map(|record| Message::read(records, &own, record))
                })
            })
            .await
    }

    /// What waits for a name that the directory does not know.
    async fn unaddressed_to(&self, with: &str, from: u64) -> Result<Page<Message>, Error> {
        let (own, name) = (self.me().member_id, with.to_owned());
        let skip = usize::try_from(from).unwrap_or(usize::MAX);
        let waiting =
            self.shared().worker.call(move |state| state.read_shown(chancery_engine::unaddressed)).await?;
        let of_name: Vec<_> = waiting.into_iter().filter(|waiting| waiting.to == name).collect();
        if of_name.is_empty() {
            return Err(Error::with(ErrorCode::UnknownRecipient, with));
        }
        let handle = self.me().handle.clone();
        let end = skip.saturating_add(PAGE);
        let next = (end < of_name.len()).then_some(end as u64);
        let shown = of_name.into_iter().skip(skip).take(PAGE);
        let entries = shown.map(|waiting| Message::waiting(own, handle.clone(), waiting)).collect();
        Ok(Page { entries, next })
    }

    /// Notes that a file of a received message could not be saved when the message was shown: it is among
    /// [`Self::waiting_files`] until it is saved or given up.
    ///
    /// # Errors
    ///
    /// Only if the store is not writable.
    pub async fn file_waits(&self, message: &Message, index: usize) -> Result<(), Error> {
        self.note_file(message, index, true).await
    }

    /// Notes that there is no hope for a file of a received message: it is among [`Self::waiting_files`] no longer.
    ///
    /// # Errors
    ///
    /// Only if the store is not writable.
    pub async fn give_up_file(&self, message: &Message, index: usize) -> Result<(), Error> {
        self.note_file(message, index, false).await
    }

    async fn note_file(&self, message: &Message, index: usize, waits: bool) -> Result<(), Error> {
        let (from, message_id) = (message.from, message.id);
        let note =
            move |state: &mut State| state.handle(Input::AttachmentWaits { from, message_id, index, waits });
        self.shared().worker.call(note).await.map(drop)
    }

    /// Returns the files that could not be saved when their message was shown, oldest first, at most 256. Try
    /// [`Self::save_attachment`] again.
    ///
    /// # Errors
    ///
    /// Only if the store is not readable.
    pub async fn waiting_files(&self) -> Result<Vec<WaitingFile>, Error> {
        let own = self.me().member_id;
        let read = move |records: &dyn Records| {
            let found = chancery_engine::waiting_files(records)?.into_iter();
            let read =
                |(record, index)| Ok(WaitingFile { message: Message::read(records, &own, record)?, index });
            found.map(read).collect()
        };
        self.shared().worker.call(move |state| state.read_shown(read)).await
    }
}
