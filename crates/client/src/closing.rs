//! Giving the home back.

use crate::client::Client;
use crate::error::Error;
use crate::worker::State;

impl Client {
    /// Closes the client, and returns when its store is closed and its files are released: the home may then be moved or removed, or opened
    /// with another key. Files that are being saved, and connections, end with the calls that have them.
    ///
    /// Every other clone, [`crate::Group`] and [`crate::EventStream`] of it fails from then on with
    /// [`crate::ErrorCode::ClientClosed`], [`Self::follow`] too. Without this call the store is closed some time after the last of
    /// them was dropped.
    ///
    /// # Errors
    ///
    /// Only if the thread that has the store has ended by a bug, and with it the store.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, it may or may not be closed.
    pub async fn close(self) -> Result<(), Error> {
        let close = |state: &mut State| {
            state.close();
            Ok(())
        };
        self.shared().worker.call(close).await?;
        drop(self.shared().anonymous.lock().await.take());
        Ok(())
    }
}
