//! Messages to names that the directory did not have when they were written.

use chancery_engine::{Input, Unaddressed as Stored};
use chancery_wire::records::Records;

use crate::client::Client;
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorCode;
use crate::message::Message;
use crate::outbox;
use crate::worker::State;

/// A message that waits for somebody of a name to appear in the directory, or has failed because nobody did.
///
/// Its `Debug` names nobody.
#[derive(Clone)]
#[non_exhaustive]
pub struct Unaddressed {
    /// The name as it was given.
    pub to: String,
    /// The message: [`crate::MessageState::Queued`] while it waits, else failed. It stands in no conversation yet, so that its own is the
    /// writer's, and nothing can be done to it but [`Client::discard`].
    pub message: Message,
}

impl std::fmt::Debug for Unaddressed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unaddressed").field("message", &self.message).finish_non_exhaustive()
    }
}

impl Client {
    /// Lists the messages that [`Self::send`] has stored for a name because the relay could not be asked who that is, oldest first.
    ///
    /// Each goes by itself, once the directory has somebody of that name who was enrolled when it was written, or within 10 minutes
    /// after that; then it stands in the conversation. Nobody else gets it, nor somebody whose entry has changed since and was not
    /// known here before, as by linking a device: it does not show whether they had the name. If there is nobody by then, and at the
    /// latest after 30 days, it has failed, [`crate::Happening::MessageFailed`] says so, and it is listed here for 30 days more.
    /// ```
    /// # use chancery_dev::{PATIENCE, two_people};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), chancery_dev::Error> {
    /// # let (_acme, alice, _bob) = two_people().await?;
    /// use std::time::Duration;
    ///
    /// // There is no time to ask the relay whether somebody is called so.
    /// let sent = alice.send("bbo", "Tea at four?", &[], Duration::ZERO).await?;
    /// let waiting = alice.unaddressed().await?;
    /// assert_eq!((waiting[0].to.as_str(), waiting[0].message.id), ("bbo", sent.id));
    /// alice.discard(sent.id).await?; // a slip
    /// assert!(alice.unaddressed().await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorCode::StoreLocked`]: policy demands that the relay is reached first.
    pub async fn unaddressed(&self) -> Result<Vec<Unaddressed>, Error> {
        let (own, handle) = (self.me().member_id, self.me().handle.clone());
        let stored = self.letters().await?.into_iter();
        Ok(stored
            .map(|letter| Unaddressed {
                to: letter.to.clone(),
                message: Message::waiting(own, handle.clone(), letter),
            })
            .collect())
    }

    /// Takes back a message that [`Self::unaddressed`] lists, with its files.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::MessageUnknown`]: none of this identifier is listed, because it is on its way already; [`Self::delete`] may
    /// help.
    pub async fn discard(&self, id: [u8; 16]) -> Result<(), Error> {
        let discard = move |state: &mut State| state.handle(Input::Discard { message_id: id });
        self.shared().worker.call(discard).await?;
        outbox::sweep(self.shared()).await;
        Ok(())
    }

    async fn letters(&self) -> Result<Vec<Stored>, Error> {
        self.shared().worker.call(|state| state.read_shown(chancery_engine::unaddressed)).await
    }

    /// Returns a message that waits for a name, or has failed to find somebody.
    pub(crate) async fn letter(&self, id: [u8; 16]) -> Result<Option<Stored>, Error> {
        let all = self.shared().worker.call(|state| state.read(chancery_engine::unaddressed)).await?;
        Ok(all.into_iter().find(|letter| letter.message_id == id))
    }
}

/// Returns the name that a message was written to which is in nobody's conversation; empty if it is listed no more.
pub(crate) fn name_of(records: &dyn Records, id: &[u8; 16]) -> Result<String, chancery_engine::EngineError> {
    let all = chancery_engine::unaddressed(records)?.into_iter();
    Ok(all.filter(|letter| letter.message_id == *id).map(|letter| letter.to).next().unwrap_or_default())
}
