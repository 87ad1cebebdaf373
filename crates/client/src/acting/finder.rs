//! Finding a message by how it is typed.

use crate::error::{Error, ErrorCode};
use crate::home::hex;
use crate::message::Message;

/// Digits of a message's identifier from which on its beginning is enough.
const SHORTEST_BEGINNING: usize = 4;
/// The word for the newest message of a conversation.
const LAST: &str = "last";

/// Looks for one message among those of a conversation.
pub(super) struct Finder {
    which: String,
    found: Option<Message>,
    is_ambiguous: bool,
}

impl Finder {
    pub(super) fn new(which: &str) -> Self {
        Self { which: which.to_ascii_lowercase(), found: None, is_ambiguous: false }
    }

    pub(super) fn see(&mut self, message: Message) {
        if self.which == LAST {
            self.found = Some(message);
        } else if self.which.len() >= SHORTEST_BEGINNING && hex(&message.id).starts_with(&self.which) {
            self.is_ambiguous |= self.found.is_some();
            self.found = Some(message);
        }
    }

    pub(super) fn end(self) -> Result<Message, Error> {
        if self.is_ambiguous {
            return Err(Error::with(ErrorCode::MessageAmbiguous, self.which));
        }
        self.found.ok_or_else(|| Error::with(ErrorCode::MessageUnknown, self.which))
    }
}
