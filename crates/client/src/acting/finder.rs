//! Finding a message by how it is typed.

use chancery_engine::{EngineError, history_before};
use chancery_identity::MemberId;
use chancery_wire::proto::MessageRecord;
use chancery_wire::records::Records;

use crate::client::Client;
use crate::error::{Error, ErrorCode};
use crate::group::Group;
use crate::home::hex;
use crate::message::Message;

/// Digits of a message's identifier from which on its beginning is enough.
const SHORTEST_BEGINNING: usize = 4;
/// The word for the newest message of a conversation.
const LAST: &str = "last";
/// Entries read from the store at once.
const PAGE: usize = 256;

impl Client {
    /// Finds a message of the conversation with a member or group, which are named as for [`Self::conversation`]: by its identifier as 32
    /// hexadecimal digits, at least 4 of them from the beginning, or `last` for the newest.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::MessageUnknown`]; [`ErrorCode::MessageAmbiguous`]: use more of the identifier; as [`Self::conversation`].
    pub async fn find_message(&self, with: &str, which: &str) -> Result<Message, Error> {
        let conversation = self.conversation_id(with).await?;
        self.find_in(conversation, which).await
    }

    async fn find_in(&self, conversation: MemberId, which: &str) -> Result<Message, Error> {
        let (own, which) = (self.me().member_id, which.to_ascii_lowercase());
        let mut found: Option<Message> = None;
        let mut before = None;
        loop {
            let wanted = which.clone();
            let look = move |records: &dyn Records| page(records, (&own, &conversation), before, &wanted);
            let (messages, next) = self.shared().worker.call(move |state| state.read_shown(look)).await?;
            for message in messages {
                if found.is_some() {
                    return Err(Error::with(ErrorCode::MessageAmbiguous, which));
                }
                found = Some(message);
            }
            before = next;
            // An author may take the identifier of another's message, so that a whole one is looked for to the beginning as well.
            if before.is_none() || (found.is_some() && which == LAST) {
                return found.ok_or_else(|| Error::with(ErrorCode::MessageUnknown, which));
            }
        }
    }
}

impl Group {
    /// Finds a message of the group, as [`Client::find_message`] does.
    ///
    /// # Errors
    ///
    /// As [`Client::find_message`].
    pub async fn find_message(&self, which: &str) -> Result<Message, Error> {
        self.client().find_in(MemberId::new(*self.id()), which).await
    }
}

/// What one page of a conversation has of what is looked for, the newest first: two at most, since they are one too many.
fn page(
    records: &dyn Records,
    (own, conversation): (&MemberId, &MemberId),
    before: Option<u64>,
    which: &str,
) -> Result<(Vec<Message>, Option<u64>), EngineError> {
    let page = history_before(records, conversation, before, PAGE)?;
    let next = page.next;
    let most = if which == LAST { 1 } else { 2 };
    let messages = page.entries.into_iter().rev().map(|(_, record)| record).filter(|it| is_meant(it, which));
    let read = messages.take(most).map(|record| Message::read(records, own, record));
    Ok((read.collect::<Result<_, _>>()?, next))
}

fn is_meant(record: &MessageRecord, which: &str) -> bool {
    let begins = || which.len() >= SHORTEST_BEGINNING && hex(&record.id).starts_with(which);
    record.act.is_none() && (which == LAST || begins())
}
