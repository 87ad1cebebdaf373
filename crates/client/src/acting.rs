//! What is done to messages: replies, edits, deletions, reactions, forms and their answers.

mod finder;
mod outgoing;

use std::path::PathBuf;
use std::time::Duration;

use chancery_engine::content::MAX_PREVIEW;
use chancery_engine::{ActDraft, Composed, EngineError, Input, Place, form};
use chancery_identity::MemberId;
use chancery_wire::Timestamp;
use chancery_wire::proto::message_act::Act;
use chancery_wire::proto::{self, MessageRecord};
use chancery_wire::records::Records;

pub use chancery_engine::form::FieldKind;
pub use outgoing::{Outgoing, OutgoingFile};

use crate::client::Client;
use crate::clock;
use crate::error::{Error, ErrorCode};
use crate::group::{Group, Person};
use crate::sending::Sent;
use crate::worker::State;

/// What names a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageRef {
    /// Who wrote it.
    pub author: MemberId,
    /// The identifier that its author chose.
    pub id: [u8; 16],
}

impl From<MessageRef> for proto::MessageRef {
    fn from(it: MessageRef) -> Self {
        Self { author: it.author.as_bytes().to_vec(), id: it.id.to_vec() }
    }
}

/// The message that another replies to.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quote {
    /// Which.
    pub message: MessageRef,
    /// Its author's handle as the directory has it now; empty if the author is not in it.
    pub handle: String,
    /// How it begins: at most 140 characters; empty once it was deleted, or is gone.
    pub text: String,
    /// Whether that is how this device has it, or has had it. Otherwise nothing but the word of who replies says what it reads.
    pub is_known: bool,
}

/// A part of a text that names a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mention {
    /// Where it begins, in bytes of the text.
    pub start: usize,
    /// How long it is, in bytes.
    pub length: usize,
    /// Whom it names.
    pub member: MemberId,
}

impl Mention {
    /// Names a member in `length` bytes of the text from `start` on.
    #[must_use]
    pub const fn new(start: usize, length: usize, member: MemberId) -> Self {
        Self { start, length, member }
    }
}

/// What somebody has reacted with.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reaction {
    /// Who.
    pub by: Person,
    /// At most 32 bytes, without control characters. That it is an emoji nobody has checked.
    pub emoji: String,
}

/// Questions to whoever reads a message.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Form {
    /// What they are about: at most 256 bytes.
    pub title: String,
    /// At least one, at most 32.
    pub fields: Vec<FormField>,
}

/// One question.
#[derive(Clone, PartialEq, Eq)]
pub struct FormField {
    /// Its name in answers: once in the form, at most 64 bytes.
    pub id: String,
    /// What it asks: at most 256 bytes.
    pub label: String,
    /// What it asks for.
    pub kind: FieldKind,
    /// What there is to choose from: of a choice 1 to 32, else none.
    pub options: Vec<String>,
    /// Whether it has to be answered.
    pub required: bool,
}

/// What somebody has answered.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// Who.
    pub by: Person,
    /// When, by their clock.
    pub at: Timestamp,
    /// The fields' names and what was answered, each as its field demands.
    pub values: Vec<(String, String)>,
}

impl std::fmt::Debug for Quote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quote").field("message", &self.message).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Form").field("fields", &self.fields.len()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for FormField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FormField").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Reaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reaction").field("by", &self.by).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("by", &self.by).field("at", &self.at).finish_non_exhaustive()
    }
}

impl From<proto::Form> for Form {
    fn from(form: proto::Form) -> Self {
        // The engine lets no field of a later kind in.
        let field = |field: proto::FormField| FormField {
            kind: FieldKind::from_number(field.kind).unwrap_or(FieldKind::Text),
            id: field.id,
            label: field.label,
            options: field.options,
            required: field.required,
        };
        Self { title: form.title, fields: form.fields.into_iter().map(field).collect() }
    }
}

impl From<Form> for proto::Form {
    fn from(form: Form) -> Self {
        let field = |field: FormField| proto::FormField {
            id: field.id,
            label: field.label,
            kind: field.kind as u32,
            options: field.options,
            required: field.required,
        };
        Self { title: form.title, fields: form.fields.into_iter().map(field).collect() }
    }
}

impl Client {
    /// Sends a message with all that one may have to a member, as [`Self::send`] does; the directory has to know the member.
    /// ```
    /// # use chancery_dev::{PATIENCE, two_people};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), chancery_dev::Error> {
    /// # let (_acme, alice, bob) = two_people().await?;
    /// use chancery::{Mention, Outgoing};
    ///
    /// let member = bob.me().member_id;
    /// let mentions = vec![Mention::new(0, "@bob".len(), member)];
    /// let message = Outgoing { text: "@bob lunch at noon?".into(), mentions, ..Outgoing::default() };
    /// alice.send_message("bob", message, PATIENCE).await?;
    ///
    /// bob.sync(PATIENCE).await?;
    /// let asked = bob.find_message("alice", "last").await?; // or the beginning of its identifier
    /// bob.react(asked.reference(), "👍", false, PATIENCE).await?;
    /// bob.reply(asked.reference(), "Gladly", &[], PATIENCE).await?;
    ///
    /// alice.edit(asked.reference(), "@bob lunch at one?", &asked.mentions, PATIENCE).await?;
    /// # alice.sync(PATIENCE).await?;
    /// # let answer = alice.find_message("bob", "last").await?;
    /// # assert_eq!(answer.reply_to.unwrap().text, "@bob lunch at one?");
    /// # assert_eq!(alice.message(&asked.from, &asked.id).await?.unwrap().reactions[0].emoji, "👍");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::send`]; whatever keeps the relay from being asked for a name that the directory here does not have, for no name waits
    /// here: nothing was stored. [`ErrorCode::ActInvalid`] for a mention or form that breaks a rule, [`ErrorCode::MessageUnknown`] for a
    /// reply to a message that is not in this conversation: nothing was stored.
    ///
    /// # Cancellation
    ///
    /// As [`Self::send`].
    pub async fn send_message(&self, to: &str, message: Outgoing, patience: Duration) -> Result<Sent, Error> {
        let deadline = clock::deadline(patience);
        if let Some(group) = self.group_of_id(to).await? {
            return group.send_message(message, patience).await;
        }
        let member = self.resolve_by(to, deadline).await?.member_id;
        let id = self.compose(Place::Member(member), message).await?;
        self.delivered(id, deadline).await
    }

    /// Sends questions to a member, who answers with [`Self::answer_form`].
    /// ```
    /// # use chancery_dev::{PATIENCE, two_people};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), chancery_dev::Error> {
    /// # let (_acme, alice, bob) = two_people().await?;
    /// use chancery::{FieldKind, Form, FormField};
    ///
    /// let ok = FormField { required: true, ..FormField::new("ok", "Approved?", FieldKind::Approval) };
    /// let form = Form { title: "A laptop for Carol".into(), fields: vec![ok] };
    /// let sent = alice.send_form("bob", "", form, PATIENCE).await?;
    ///
    /// bob.sync(PATIENCE).await?;
    /// let asked = bob.find_message("alice", "last").await?;
    /// bob.answer_form(asked.reference(), &[("ok".into(), "yes".into())], PATIENCE).await?;
    ///
    /// alice.sync(PATIENCE).await?;
    /// let asked = alice.message(&alice.me().member_id, &sent.id).await?.ok_or("expired")?;
    /// assert_eq!(asked.answers[0].values, [("ok".to_owned(), "yes".to_owned())]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::send_message`].
    pub async fn send_form(
        &self,
        to: &str,
        text: &str,
        form: Form,
        patience: Duration,
    ) -> Result<Sent, Error> {
        self.send_message(
            to,
            Outgoing { text: text.into(), form: Some(form), ..Outgoing::default() },
            patience,
        )
        .await
    }

    /// Replies to a message, in the conversation or group where it is.
    ///
    /// # Errors
    ///
    /// As [`Self::send_message`] or [`Group::send`].
    pub async fn reply(
        &self,
        to: MessageRef,
        text: &str,
        files: &[PathBuf],
        patience: Duration,
    ) -> Result<Sent, Error> {
        let deadline = clock::deadline(patience);
        let files = files.iter().map(OutgoingFile::from_path);
        let reply_to = Some(to);
        let message = Outgoing { text: text.into(), files: files.collect(), reply_to, ..Outgoing::default() };
        let place = self.place_of(to).await?;
        let id = self.compose(place, message).await?;
        self.delivered_at(place, id, deadline).await
    }

    /// Gives a message of one's own another text. Files and what it replies to stay.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::MessageUnknown`], [`ErrorCode::NotYourMessage`], [`ErrorCode::MessageTooLarge`], [`ErrorCode::ActInvalid`] for a
    /// message with a form, of which nothing may change under the answers: nothing has changed. Otherwise it
    /// is changed here at least, and [`Sent::waiting`] says why nowhere else.
    pub async fn edit(
        &self,
        message: MessageRef,
        text: &str,
        mentions: &[Mention],
        patience: Duration,
    ) -> Result<Sent, Error> {
        let mentions = mentions.iter().map(to_proto).collect::<Result<_, _>>()?;
        let edit = proto::Edit { target: Some(message.into()), text: text.into(), mentions };
        self.act(message, Act::Edit(edit), patience).await
    }

    /// Deletes a message of one's own everywhere. Who has seen it has seen it, and files that were saved stay.
    ///
    /// # Errors
    ///
    /// As [`Self::edit`].
    pub async fn delete(&self, message: MessageRef, patience: Duration) -> Result<Sent, Error> {
        self.act(message, Act::Deletion(proto::Deletion { target: Some(message.into()) }), patience).await
    }

    /// Reacts to a message, or takes that back with `remove`.
    ///
    /// # Errors
    ///
    /// As [`Self::edit`]; [`ErrorCode::ActInvalid`]: `emoji` is empty, has more than 32 bytes, control characters
    /// or such as turn the direction of writing.
    pub async fn react(
        &self,
        message: MessageRef,
        emoji: &str,
        remove: bool,
        patience: Duration,
    ) -> Result<Sent, Error> {
        let reaction = proto::Reaction { target: Some(message.into()), emoji: emoji.into(), remove };
        self.act(message, Act::Reaction(reaction), patience).await
    }

    /// Answers the form of a message: names of fields and values. It takes the place of an earlier answer.
    ///
    /// # Errors
    ///
    /// As [`Self::edit`]; [`ErrorCode::ActInvalid`]: the message has no form, the answer does not fit it, or
    /// somebody else has sent the message again.
    pub async fn answer_form(
        &self,
        message: MessageRef,
        values: &[(String, String)],
        patience: Duration,
    ) -> Result<Sent, Error> {
        let value = |(field, value): &(String, String)| proto::FormValue {
            field: field.clone(),
            value: value.clone(),
        };
        let values = values.iter().map(value).collect();
        self.act(message, Act::Answer(proto::FormAnswer { target: Some(message.into()), values }), patience)
            .await
    }

    async fn act(&self, target: MessageRef, act: Act, patience: Duration) -> Result<Sent, Error> {
        let deadline = clock::deadline(patience);
        let place = self.place_of(target).await?;
        let message_id: [u8; 16] = chancery_crypto::rng::random_bytes(&mut clock::rng()?);
        let store = move |state: &mut State| state.handle(Input::Act(ActDraft { message_id, act }));
        self.shared().worker.call(store).await?;
        self.delivered_at(place, message_id, deadline).await
    }

    async fn delivered_at(
        &self,
        place: Place,
        id: [u8; 16],
        deadline: tokio::time::Instant,
    ) -> Result<Sent, Error> {
        match place {
            Place::Member(_) => self.delivered(id, deadline).await,
            Place::Group(group) => Group::new(self.clone(), group).delivered(id, deadline).await,
        }
    }

    async fn record_of(&self, which: MessageRef) -> Result<MessageRecord, Error> {
        let find = move |records: &dyn Records| chancery_engine::message(records, &which.author, &which.id);
        let record = self.shared().worker.call(move |state| state.read_shown(find)).await?;
        let is_there =
            |it: &MessageRecord| it.act.is_none() && it.done.is_none() && !it.expired && !it.deleted;
        record.filter(is_there).ok_or_else(|| ErrorCode::MessageUnknown.into())
    }

    async fn place_of(&self, which: MessageRef) -> Result<Place, Error> {
        place(&self.record_of(which).await?)
    }

    async fn compose(&self, to: Place, message: Outgoing) -> Result<[u8; 16], Error> {
        let Outgoing { text, files, reply_to, mentions, form } = message;
        if text.is_empty() && files.is_empty() && form.is_none() {
            return Err(Error::with(ErrorCode::Usage, "an empty message"));
        }
        if files.iter().any(|file| file.preview.len() > MAX_PREVIEW) {
            return Err(Error::with(ErrorCode::MessageTooLarge, "a preview has at most 16 KiB"));
        }
        let reply_to = match reply_to {
            Some(target) => {
                let record = self.record_of(target).await?;
                if place(&record)? != to {
                    return Err(ErrorCode::MessageUnknown.into());
                }
                let quote = record.text.map(|text| beginning(&text.text)).unwrap_or_default();
                Some(proto::ReplyTo { target: Some(target.into()), quote })
            }
            None => None,
        };
        let mentions = mentions.iter().map(to_proto).collect::<Result<_, _>>()?;
        let store = move |state: &mut State, message_id, attachments: Vec<proto::Attachment>| {
            let form = form.map(Into::into);
            let text = proto::Text { text, attachments, reply_to, mentions, form, ..Default::default() };
            state.handle(Input::Compose(Composed { to, message_id, text }))
        };
        self.store_with_files(files, store).await
    }
}

impl Group {
    /// Writes a message with all that one may have to the group, as [`Self::send`] does.
    ///
    /// # Errors
    ///
    /// As [`Self::send`] and [`Client::send_message`].
    pub async fn send_message(&self, message: Outgoing, patience: Duration) -> Result<Sent, Error> {
        let deadline = clock::deadline(patience);
        self.inside().await?;
        let id = self.client().compose(Place::Group(*self.id()), message).await?;
        self.delivered(id, deadline).await
    }

    /// Sends questions to the group; each member may answer, with [`Client::answer_form`].
    ///
    /// # Errors
    ///
    /// As [`Self::send_message`].
    pub async fn send_form(&self, text: &str, form: Form, patience: Duration) -> Result<Sent, Error> {
        self.send_message(Outgoing { text: text.into(), form: Some(form), ..Outgoing::default() }, patience)
            .await
    }
}

fn place(record: &MessageRecord) -> Result<Place, Error> {
    if let Some(group) = record.group.first_chunk() {
        return Ok(Place::Group(*group));
    }
    let member = MemberId::from_bytes(&record.conversation).ok_or(EngineError::DamagedRecord)?;
    Ok(Place::Member(member))
}

fn beginning(text: &str) -> String {
    text.chars().take(chancery_engine::content::MAX_QUOTE).collect()
}

fn to_proto(mention: &Mention) -> Result<proto::Mention, Error> {
    let number = |at: usize| u32::try_from(at).map_err(|_| Error::from(ErrorCode::ActInvalid));
    let (start, length) = (number(mention.start)?, number(mention.length)?);
    Ok(proto::Mention { start, length, member_id: mention.member.as_bytes().to_vec() })
}

fn person(records: &dyn Records, id: &[u8]) -> Result<Person, EngineError> {
    Person::read(records, MemberId::from_bytes(id).ok_or(EngineError::DamagedRecord)?)
}

/// Returns what a message replies to, as this device has it, or else as its author says.
pub(crate) fn quote(records: &dyn Records, record: &MessageRecord) -> Result<Option<Quote>, EngineError> {
    let Some(reply) = record.text.as_ref().and_then(|text| text.reply_to.as_ref()) else { return Ok(None) };
    let target = reply.target.as_ref().ok_or(EngineError::DamagedRecord)?;
    let author = person(records, &target.author)?;
    let id = target.id.as_slice().try_into().map_err(|_| EngineError::DamagedRecord)?;
    let known = chancery_engine::message(records, &author.member, &target.id)?;
    let known = known.filter(|it| it.conversation == record.conversation && it.done.is_none());
    let text = match &known {
        Some(known) => known.text.as_ref().map(|text| beginning(&text.text)).unwrap_or_default(),
        None => reply.quote.clone(),
    };
    let message = MessageRef { author: author.member, id };
    Ok(Some(Quote { message, handle: author.handle, text, is_known: known.is_some() }))
}

pub(crate) fn mentions(mentions: &[proto::Mention]) -> Result<Vec<Mention>, EngineError> {
    let number = |at: u32| usize::try_from(at).map_err(|_| EngineError::DamagedRecord);
    let read = |it: &proto::Mention| {
        let member = MemberId::from_bytes(&it.member_id).ok_or(EngineError::DamagedRecord)?;
        Ok(Mention { start: number(it.start)?, length: number(it.length)?, member })
    };
    mentions.iter().map(read).collect()
}

pub(crate) fn reactions(records: &dyn Records, record: &MessageRecord) -> Result<Vec<Reaction>, EngineError> {
    let standing = record.reactions.iter().filter(|it| !it.removed);
    let read = |it: &proto::ReactionRecord| {
        Ok(Reaction { by: person(records, &it.member_id)?, emoji: it.emoji.clone() })
    };
    standing.map(read).collect()
}

pub(crate) fn answers(records: &dyn Records, record: &MessageRecord) -> Result<Vec<Answer>, EngineError> {
    let read = |it: &proto::AnswerRecord| {
        let values = it.values.iter().map(|it| (it.field.clone(), it.value.clone())).collect();
        Ok(Answer { by: person(records, &it.member_id)?, at: Timestamp::from_millis(it.sent_at), values })
    };
    record.answers.iter().map(read).collect()
}

impl FormField {
    /// A question that need not be answered, and has nothing to choose from.
    #[must_use]
    pub fn new(id: impl Into<String>, label: impl Into<String>, kind: FieldKind) -> Self {
        Self { id: id.into(), label: label.into(), kind, options: Vec::new(), required: false }
    }
}

impl Form {
    /// Whether it keeps every rule of R-CONTENT-25.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        form::is_sound(&self.clone().into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chancery_wire::encode;
    use chancery_wire::records::{RecordKey, Table};

    use super::*;

    #[test]
    fn nothing_of_a_message_that_is_gone_is_shown_in_replies_r_content_36() {
        let (id, author) = (vec![1; 16], vec![2; 16]);
        let target = Some(proto::MessageRef { author: author.clone(), id: id.clone() });
        let reply_to = Some(proto::ReplyTo { target, quote: "soon gone".into() });
        let conversation = author.clone();
        let reply = MessageRecord {
            conversation: conversation.clone(),
            text: Some(proto::Text { reply_to, ..Default::default() }),
            ..Default::default()
        };
        let mut records: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let shown = |records: &BTreeMap<_, _>| {
            let quote = quote(records, &reply).unwrap().unwrap();
            (quote.text, quote.is_known)
        };
        assert_eq!(shown(&records), ("soon gone".into(), false), "the word of who replies");
        let key = RecordKey::new(Table(0x0150), [author.clone(), id.clone()].concat());
        let gone = MessageRecord { id, from: author, conversation, expired: true, ..Default::default() };
        records.insert(key, encode(&gone));
        assert_eq!(shown(&records), (String::new(), true));
    }
}
