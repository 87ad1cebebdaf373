//! Conversations as a list, and each of them from its end; members as the directory has them.

use chancery_engine::{ConversationSummary, EngineError, Input, Member, Page};
use chancery_identity::MemberId;
use chancery_wire::Timestamp;
use chancery_wire::proto::MessageRecord;
use chancery_wire::records::Records;

use crate::client::Client;
use crate::error::{Error, ErrorCode};
use crate::group::{GroupEntry, GroupName, Person};
use crate::message::Message;
use crate::worker::State;

/// Entries read from the store at once.
const PAGE: usize = 256;
/// Characters of a message that stand in the list: one line of a wide window.
const SUMMARY: usize = 140;

/// With whom a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConversationKind {
    /// With another member, or with oneself.
    Direct,
    /// With a group.
    Group,
}

impl ConversationKind {
    /// Returns the name by which programs know it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Group => "group",
        }
    }
}

/// A conversation in the list.
///
/// Its `Debug` shows neither what was written nor the draft.
#[derive(Clone)]
#[non_exhaustive]
pub struct Conversation {
    /// The other member's identifier, or the group's.
    pub id: MemberId,
    /// With whom it is.
    pub kind: ConversationKind,
    /// The other member's handle as the directory has it now; empty for a group, and for somebody who is not in it.
    pub handle: String,
    /// The other member's display name, or the group's name.
    pub name: String,
    /// The newest entry; `None` if there is none, or all have expired.
    pub last: Option<LastEntry>,
    /// Messages of others that were not marked as read.
    pub unread: u64,
    /// What was begun and not sent.
    pub draft: Option<String>,
}

impl std::fmt::Debug for Conversation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversation")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("unread", &self.unread)
            .finish_non_exhaustive()
    }
}

/// The newest entry of a conversation.
///
/// Its `Debug` shows the position only.
#[derive(Clone)]
#[non_exhaustive]
pub struct LastEntry {
    /// Its position: [`Client::mark_read`] up to it marks all as read.
    pub position: u64,
    /// When it was sent, by the sender's clock; of what happened in a group, when this device took note of it.
    pub at: Timestamp,
    /// Who wrote or did it, if that is known.
    pub from: Option<Person>,
    /// Up to 140 characters of the text on one line, or the names of the files; `None` for what happened in a group, and for
    /// content of a later version.
    pub summary: Option<String>,
    /// The entry.
    pub entry: GroupEntry,
}

impl std::fmt::Debug for LastEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LastEntry").field("position", &self.position).finish_non_exhaustive()
    }
}

/// An entry of a conversation, and where it stands.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HistoryEntry {
    /// Its position, for [`Client::mark_read`] and [`Client::history_before`].
    pub position: u64,
    /// The entry.
    pub entry: GroupEntry,
}

impl HistoryEntry {
    fn read(
        records: &dyn Records,
        own: &MemberId,
        (position, record): (u64, MessageRecord),
    ) -> Result<Self, EngineError> {
        Ok(Self { position, entry: GroupEntry::read(records, own, record)? })
    }
}

impl Conversation {
    /// Returns what it is called: the group's name, or the other member's handle and, if it is another, display name. A member
    /// whom the directory does not have is called by the identifier.
    #[must_use]
    pub fn title(&self) -> String {
        match (self.handle.as_str(), self.name.as_str()) {
            ("", "") => self.id.to_string(),
            ("", name) => name.to_owned(),
            (handle, name) if name.is_empty() || name == handle => handle.to_owned(),
            (handle, name) => format!("{handle} ({name})"),
        }
    }

    fn read(records: &dyn Records, own: &MemberId, found: ConversationSummary) -> Result<Self, EngineError> {
        let id = found.conversation;
        let (kind, handle, name) = match chancery_engine::group_summary(records, id.as_bytes())? {
            Some(group) => (ConversationKind::Group, String::new(), group.name),
            None => {
                let member = chancery_engine::member(records, &id)?;
                let (handle, name) = member.map(|member| (member.handle, member.name)).unwrap_or_default();
                (ConversationKind::Direct, handle, name)
            }
        };
        let last = found.last.map(|last| LastEntry::read(records, own, last)).transpose()?;
        Ok(Self { id, kind, handle, name, last, unread: found.unread, draft: found.draft })
    }
}

impl LastEntry {
    fn read(
        records: &dyn Records,
        own: &MemberId,
        (position, record): (u64, MessageRecord),
    ) -> Result<Self, EngineError> {
        let stored_at = Timestamp::from_millis(record.stored_at);
        let entry = GroupEntry::read(records, own, record)?;
        let (at, from, summary) = match &entry {
            GroupEntry::Message(message) => {
                let from = Person { member: message.from, handle: message.handle.clone() };
                (message.sent_at, Some(from), summary(message))
            }
            GroupEntry::Act(act) => (act.at, act.by.clone(), None),
            GroupEntry::Unknown => (stored_at, None, None),
        };
        Ok(Self { position, at, from, summary, entry })
    }
}

/// What stands in the list for a message.
fn summary(message: &Message) -> Option<String> {
    let text = message.text.as_deref()?;
    let names: Vec<&str> = message.files.iter().map(|file| file.name.as_str()).collect();
    let shown = if text.is_empty() { names.join(", ") } else { text.to_owned() };
    let one_line = shown.split_whitespace().flat_map(|word| word.chars().chain([' ']));
    Some(one_line.take(SUMMARY).collect::<String>().trim_end().to_owned())
}

impl Client {
    /// Lists the conversations of this device, the newest first, without reading their histories. What waits for a name that the
    /// directory does not have is in none of them.
    /// ```
    /// # use chancery_dev::{PATIENCE, two_people};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), chancery_dev::Error> {
    /// # let (_acme, alice, bob) = two_people().await?;
    /// use chancery::Happening;
    ///
    /// alice.send("bob", "Tea at four?", &[], PATIENCE).await?;
    /// bob.sync(PATIENCE).await?;
    /// for conversation in bob.conversations().await? {
    ///     println!("{}: {} unread", conversation.title(), conversation.unread);
    ///     let which = conversation.id.to_string();
    ///     let page = bob.history_before(&which, None, 50).await?; // then `page.next`, towards the beginning
    ///     if let Some(newest) = page.entries.last() {
    ///         bob.mark_read(&which, newest.position).await?;
    ///     }
    /// }
    /// bob.send_waiting(PATIENCE).await?; // the receipts
    ///
    /// alice.sync(PATIENCE).await?;
    /// let is_read = |event: &chancery::Event| matches!(event.happening, Happening::Receipt { read: true, .. });
    /// assert!(alice.events().await?.iter().any(is_read));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorCode::StoreLocked`]: policy demands that the relay is reached first.
    pub async fn conversations(&self) -> Result<Vec<Conversation>, Error> {
        let own = self.me().member_id;
        let read = move |records: &dyn Records| {
            let found = chancery_engine::conversations(records)?.into_iter();
            found.map(|summary| Conversation::read(records, &own, summary)).collect()
        };
        self.shared().worker.call(move |state| state.read_shown(read)).await
    }

    /// Returns the conversation with a member, by handle or identifier, or with a group, by name, identifier or at least 8 digits
    /// of it. What both a member and a group is called is refused: use the identifier. The relay is not asked.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownRecipient`]: there is nobody and no group of that name; [`ErrorCode::GroupAmbiguous`]: several
    /// are called so; use the identifier. [`ErrorCode::StoreLocked`]: policy demands that the relay is reached first.
    pub async fn conversation(&self, which: &str) -> Result<Conversation, Error> {
        let (own, id) = (self.me().member_id, self.conversation_id(which).await?);
        let read = move |records: &dyn Records| {
            let found = chancery_engine::conversation_summary(records, &id)?;
            Conversation::read(records, &own, found)
        };
        self.shared().worker.call(move |state| state.read_shown(read)).await
    }

    /// Returns up to `limit` entries, at most 256, of a conversation that stand before position `before`, or its newest, oldest
    /// first. [`Page::next`] is the position to give for the page before it; `None` at the beginning.
    ///
    /// # Errors
    ///
    /// As [`Self::conversation`].
    pub async fn history_before(
        &self,
        which: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Page<HistoryEntry>, Error> {
        let (own, id) = (self.me().member_id, self.conversation_id(which).await?);
        let read = move |records: &dyn Records| {
            let found = chancery_engine::history_before(records, &id, before, limit.clamp(1, PAGE))?;
            found.try_map(|entry| HistoryEntry::read(records, &own, entry))
        };
        self.shared().worker.call(move |state| state.read_shown(read)).await
    }

    /// Returns a message by its author and identifier; `None` if there is none, or it has expired.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::StoreLocked`]: policy demands that the relay is reached first.
    pub async fn message(&self, author: &MemberId, id: &[u8; 16]) -> Result<Option<Message>, Error> {
        let (own, author, id) = (self.me().member_id, *author, *id);
        let read = move |records: &dyn Records| {
            let found = chancery_engine::message(records, &author, &id)?;
            let is_message =
                |record: &MessageRecord| record.act.is_none() && record.done.is_none() && !record.expired;
            let shown = found.filter(is_message);
            shown.map(|record| Message::read(records, &own, record)).transpose()
        };
        self.shared().worker.call(move |state| state.read_shown(read)).await
    }

    /// Marks a conversation as read up to and including a position, and returns how many messages are unread then. What was read
    /// stays read: an earlier position changes nothing. Authors of what becomes read are told, as far as [`Self::receipt_settings`] and
    /// the organisation's policy let it, and so are one's other devices; what is to disappear has its time from now on.
    ///
    /// Receipts are sent by whatever call connects next, or by [`Self::send_waiting`].
    ///
    /// # Errors
    ///
    /// As [`Self::conversation`].
    pub async fn mark_read(&self, which: &str, up_to: u64) -> Result<u64, Error> {
        let conversation = self.conversation_id(which).await?;
        loop {
            let step = move |state: &mut State| {
                let read = |records: &dyn Records| chancery_engine::read_up_to(records, &conversation);
                let before = state.read(read)?;
                state.handle(Input::MarkRead { conversation, up_to })?;
                let after = state.read(read)?;
                let left =
                    state.read(|records| chancery_engine::conversation_summary(records, &conversation))?;
                Ok((left.unread, after == before || after > up_to))
            };
            // Each step is a transaction, and others may come between.
            let (unread, is_done) = self.shared().worker.call(step).await?;
            if is_done {
                self.shared().wake.notify_one();
                return Ok(unread);
            }
        }
    }

    /// Keeps what was begun and not sent in a conversation, at most 32 KiB; an empty text forgets it. Sending does not: that is
    /// for the application to do once the message is stored.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::MessageTooLarge`]; otherwise as [`Self::conversation`].
    pub async fn set_draft(&self, which: &str, text: &str) -> Result<(), Error> {
        let (conversation, text) = (self.conversation_id(which).await?, text.to_owned());
        let keep =
            move |state: &mut State| state.handle(Input::KeepDraft { conversation, draft: &text }).map(drop);
        self.shared().worker.call(keep).await
    }

    /// Returns what was begun and not sent in a conversation.
    ///
    /// # Errors
    ///
    /// As [`Self::conversation`].
    pub async fn draft(&self, which: &str) -> Result<Option<String>, Error> {
        Ok(self.conversation(which).await?.draft)
    }

    /// Lists up to 1,000 members in the order of their handles, those behind the handle `after` if one is given, as the directory
    /// was when it was synchronised last; without who has left. `filter` is any part of a handle, name or unit, in upper or
    /// lower case; everybody if it is empty. A guest sees whom it may write to.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::StoreLocked`]: policy demands that the relay is reached first.
    pub async fn members(&self, filter: &str, after: Option<&str>) -> Result<Vec<Member>, Error> {
        let (filter, after) = (filter.to_owned(), after.map(str::to_owned));
        let read = move |records: &dyn Records| chancery_engine::members(records, &filter, after.as_deref());
        self.shared().worker.call(move |state| state.read_shown(read)).await
    }

    /// Returns a member by handle or identifier, as the local directory has them; [`Self::resolve`] asks the relay too.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownRecipient`] if there is nobody of that name.
    pub async fn member(&self, which: &str) -> Result<Member, Error> {
        self.lookup(which).await?.ok_or_else(|| Error::with(ErrorCode::UnknownRecipient, which))
    }

    /// Returns the identifier under which a conversation is kept.
    pub(crate) async fn conversation_id(&self, which: &str) -> Result<MemberId, Error> {
        let member = self.lookup(which).await?.map(|member| member.member_id);
        if let Some(member) = member.filter(|_| MemberId::from_hex(which).is_some()) {
            // Identifiers go before names, and no name is both.
            return Ok(member);
        }
        match (member, self.group(which).await) {
            (None, Ok(group)) => return Ok(MemberId::new(*group.id())),
            // Anybody may call a group like a colleague, and an organisation a colleague like a group.
            (Some(_), Ok(_)) => {
                let both = format!("{which} is a member and a group");
                return Err(Error::with(ErrorCode::GroupAmbiguous, both));
            }
            (Some(member), Err(error)) if error.code() == ErrorCode::GroupUnknown => return Ok(member),
            (None, Err(error)) if error.code() == ErrorCode::GroupUnknown => {}
            (_, Err(error)) => return Err(error),
        }
        // Somebody whom the directory does not have may have written.
        if let Some(id) = MemberId::from_hex(which) {
            let find = move |records: &dyn Records| chancery_engine::conversation_summary(records, &id);
            let found = self.shared().worker.call(move |state| state.read(find)).await?;
            if found.last.is_some() {
                return Ok(id);
            }
        }
        Err(Error::with(ErrorCode::UnknownRecipient, which))
    }
}

/// Returns how people call a conversation: the other member's handle, or the group's name.
pub(crate) fn called(records: &dyn Records, conversation: &MemberId) -> Result<String, EngineError> {
    match GroupName::read(records, conversation.as_bytes())?.name {
        name if !name.is_empty() => Ok(name),
        _ => Ok(Person::read(records, *conversation)?.handle),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Instant;

    use chancery_crypto::secret::Secret;
    use chancery_engine::MessageState;
    use chancery_store::{KeySource, Store};
    use chancery_wire::encode;
    use chancery_wire::proto::{ConversationIndex, DirectoryRecord, QueueState, Text};
    use chancery_wire::records::{Batch, RecordKey, Table};

    use super::*;

    #[test]
    fn a_conversation_is_called_by_what_there_is() {
        let id = MemberId::new([0xab; 16]);
        let called = |handle: &str, name: &str| {
            let (handle, name) = (handle.to_owned(), name.to_owned());
            let kind = ConversationKind::Direct;
            Conversation { id, kind, handle, name, last: None, unread: 0, draft: None }.title()
        };
        assert_eq!(called("bob", "Robert Roe"), "bob (Robert Roe)");
        assert_eq!(called("bob", "bob"), "bob");
        assert_eq!(called("", "Crew"), "Crew");
        assert_eq!(called("", ""), "ab".repeat(16));
    }

    /// A store as a version left it that kept no list: as many conversations, the last of them the oldest.
    fn old_store(path: &std::path::Path, count: u16, messages: u64) -> Store {
        let mut rng = crate::clock::rng().unwrap();
        let mut store =
            Store::create(path, &KeySource::KeyFile(Secret::from_bytes([7; 32])), &mut rng).unwrap();
        let mut batch = Batch::default();
        let mut index = ConversationIndex::default();
        for at in 0..count {
            let with = [&at.to_be_bytes()[..], &[9; 14]].concat();
            index.member_ids.push(with.clone());
            for place in 0..messages {
                let record = MessageRecord {
                    id: [[0; 8], place.to_be_bytes()].concat(),
                    conversation: with.clone(),
                    from: with.clone(),
                    stored_at: 1_000_000_u64.saturating_sub(at.into()),
                    text: Some(Text { text: format!("{at}\n{place}"), ..Text::default() }),
                    state: MessageState::Received as u32,
                    ..MessageRecord::default()
                };
                let reference = [with.as_slice(), &record.id].concat();
                batch.put(RecordKey::new(Table(0x0150), reference.clone()), encode(&record));
                let item = [with.as_slice(), &place.to_be_bytes()].concat();
                batch.put(RecordKey::new(Table(0x0151), item), reference);
            }
            let state = QueueState { next: messages, ..QueueState::default() };
            let name = [&0x0151_u16.to_be_bytes()[..], &with].concat();
            batch.put(RecordKey::new(Table(0x0180), name), encode(&state));
        }
        batch.put(RecordKey::new(Table(0x0152), []), encode(&index));
        store.transaction(|_| Ok::<_, Error>((batch, ()))).unwrap();
        store
    }

    #[test]
    fn a_thousand_conversations_of_an_old_store_are_listed_at_once_r_engine_117() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = old_store(&folder.path().join("store"), 1000, 10);
        let (own, begun) = (MemberId::new([1; 16]), Instant::now());
        let listed: Vec<Conversation> = store
            .read(|records| {
                let found = chancery_engine::conversations(records)?.into_iter();
                let read = |found| Ok(Conversation::read(records, &own, found)?);
                found.map(read).collect::<Result<_, Error>>()
            })
            .unwrap();
        println!("1,000 conversations in {} ms", begun.elapsed().as_millis());
        assert_eq!(listed.len(), 1000);
        let newest = listed.first().unwrap();
        let last = newest.last.as_ref().unwrap();
        assert_eq!((last.position, last.summary.as_deref(), newest.unread), (9, Some("0 9"), 0));
        let by_id: BTreeMap<MemberId, u64> = listed.iter().map(|it| (it.id, it.unread)).collect();
        assert_eq!(by_id.len(), 1000, "each once");
        assert!(!format!("{newest:?}").contains("0 9"), "{newest:?}");
    }

    #[test]
    fn thousands_of_members_are_listed_by_pages_each_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = old_store(&folder.path().join("store"), 0, 0);
        let mut batch = Batch::default();
        for at in 0..2_500_u64 {
            // Seven and 2,500 have no common divisor: everybody, in no order.
            let id = [&(at.wrapping_mul(7) % 2_500).to_be_bytes()[..], &[9; 8]].concat();
            let handle = format!("person-{:05}", at.wrapping_mul(7) % 2_500);
            let device_ids = vec![id.clone(); 2];
            let entry = DirectoryRecord { handle, name: "Somebody".into(), device_ids, ..Default::default() };
            batch.put(RecordKey::new(Table(0x0110), id.clone()), encode(&entry));
            batch.put(RecordKey::new(Table(0x01CB), at.to_be_bytes()), id);
        }
        let state = QueueState { next: 2_500, ..QueueState::default() };
        batch.put(RecordKey::new(Table(0x0180), 0x01CB_u16.to_be_bytes()), encode(&state));
        store.transaction(|_| Ok::<_, Error>((batch, ()))).unwrap();
        let (begun, mut pages) = (Instant::now(), 0);
        let mut handles: Vec<String> = Vec::new();
        loop {
            let after = handles.last().map(String::as_str);
            let page =
                store.read(|records| Ok::<_, Error>(chancery_engine::members(records, "", after)?)).unwrap();
            if page.is_empty() {
                break;
            }
            pages = usize::saturating_add(pages, 1);
            handles.extend(page.into_iter().map(|member| member.handle));
        }
        println!("2,500 members in {pages} pages in {} ms", begun.elapsed().as_millis());
        assert_eq!((pages, handles.len()), (3, 2_500));
        assert!(handles.is_sorted(), "in the order of their handles");
    }
}
