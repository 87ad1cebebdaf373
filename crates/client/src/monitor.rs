//! What the log says of the member whose device this is.

use chancery_identity::log::Leaf;

use crate::client::Client;
use crate::errand::Errand;
use crate::error::Error;
use crate::mailbox::Mailbox;
use crate::replay::{LogLine, Replayed, is_about_member, replay};

impl Client {
    /// Fetches the organisation's whole log, replays and verifies it, and returns the entries about this member: devices that
    /// came and went, directory entries, acts of administrators. A device that the member does not know is one that somebody
    /// else was given.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::LogNotBelieved`](crate::ErrorCode::LogNotBelieved): the relay shows a log that is not honest. Errors of
    /// the connection.
    pub async fn log_entries(&self) -> Result<Vec<LogLine>, Error> {
        let shared = self.shared();
        // What this device itself has to say of the log, it says first.
        drop(Mailbox::open(shared).await?);
        let organisation = shared.worker.call(|state| Ok(state.device().organisation().clone())).await?;
        let (connection, pushes, pin) = shared.connect().await?;
        let connection = Errand::new(connection, pushes);
        let (keys, credential) = (&shared.device.keys, &shared.device.credential);
        connection.log_in(&shared.org, &pin, keys, Some(credential)).await?;
        let Replayed { log, .. } = replay(&connection, &organisation, (None, None)).await?;
        let me = self.me();
        let is_mine = |leaf: &Leaf| is_about_member(leaf.kind) && leaf.member() == me.member_id;
        let mine = (0..).zip(&log.leaves).filter(|(_, leaf)| is_mine(leaf));
        Ok(mine.map(|(index, leaf)| LogLine::new(index, leaf, Some(me.handle.clone()))).collect())
    }
}
