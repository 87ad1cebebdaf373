//! What is shown: conversations, what stands in them, and who can read them. Text of others is tame from here on.

use chancery::{
    Conversation, GroupEntry, GroupPhase, GroupState, HistoryEntry, Member, MemberId, Mention, Message,
    MessageRef, MessageState, Participant, json,
};

use crate::group::act_words;
use crate::mention;
use crate::message::called;
use crate::text::tame_line;

/// Digits of a device's identifier that are shown.
pub(super) const DEVICE_DIGITS: usize = 8;

/// A conversation in the list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Row {
    /// By which the library knows it.
    pub(super) id: String,
    pub(super) is_group: bool,
    pub(super) title: String,
    pub(super) unread: u64,
    /// When its last entry was written, in milliseconds; 0 if there is none.
    pub(super) at: u64,
    /// Its last entry on one line.
    pub(super) last: String,
    /// What was begun, as it was typed.
    pub(super) draft: Option<String>,
}

impl Row {
    pub(super) fn of(conversation: &Conversation, own: &MemberId) -> Self {
        let last = conversation.last.as_ref();
        let said = last.map(|last| match (&last.entry, &last.summary, &last.from) {
            (GroupEntry::Act(act), ..) => act_words(act),
            (GroupEntry::Message(message), ..) if message.deleted => "(deleted)".to_owned(),
            (_, Some(summary), Some(from)) if from.member == *own => format!("you: {}", tame_line(summary)),
            (_, Some(summary), Some(from)) if conversation.handle.is_empty() => {
                format!("{}: {}", called(&from.member.to_string(), &from.handle), tame_line(summary))
            }
            (_, Some(summary), _) => tame_line(summary),
            _ => LATER.to_owned(),
        });
        Self {
            id: conversation.id.to_string(),
            is_group: conversation.kind == chancery::ConversationKind::Group,
            title: tame_line(&conversation.title()),
            unread: conversation.unread,
            at: last.map_or(0, |last| last.at.as_millis()),
            last: said.unwrap_or_default(),
            draft: conversation.draft.clone(),
        }
    }
}

/// What stands for content of a later version.
const LATER: &str = "(written by a newer version; update to read it)";

/// An entry of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) position: u64,
    /// When, in milliseconds.
    pub(super) at: u64,
    pub(super) what: What,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Said(Box<Said>),
    /// Something that happened in a group.
    Happened(String),
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) key: MessageRef,
    pub(super) is_mine: bool,
    pub(super) who: String,
    /// What else is to be known of who wrote it: a guest, a bot, sent again by somebody else.
    pub(super) mark: String,
    /// Lines of text, none of which can steer a terminal.
    pub(super) text: String,
    pub(super) is_deleted: bool,
    pub(super) is_edited: bool,
    pub(super) is_unread: bool,
    pub(super) names_me: bool,
    pub(super) quote: Option<String>,
    pub(super) files: Vec<Attached>,
    pub(super) form: Vec<String>,
    pub(super) reactions: Vec<(String, String)>,
    pub(super) state: State,
}

/// A file of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attached {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) path: Option<String>,
}

impl Attached {
    pub(super) fn line(&self) -> String {
        let size = indicatif::HumanBytes(self.size);
        match &self.path {
            Some(path) => format!("{} ({size}), saved as {path}", self.name),
            None => format!("{} ({size})", self.name),
        }
    }
}

/// What became of a message of one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Received,
    Queued,
    Sent,
    Delivered,
    Read,
    ReadBy(usize),
    Failed,
}

impl State {
    fn of(message: &Message) -> Self {
        let read = message.receipts.iter().filter(|it| it.read_at.is_some()).count();
        let is_delivered = message.receipts.iter().any(|it| it.delivered_at.is_some());
        match message.state {
            MessageState::Queued => Self::Queued,
            MessageState::Failed => Self::Failed,
            MessageState::Sent if message.group.is_some() && read > 0 => Self::ReadBy(read),
            MessageState::Sent if read > 0 => Self::Read,
            MessageState::Sent if is_delivered && message.group.is_none() => Self::Delivered,
            MessageState::Sent => Self::Sent,
            _ => Self::Received,
        }
    }

    /// The word for it, empty for what others wrote.
    pub(super) fn word(self) -> String {
        match self {
            Self::Received => String::new(),
            Self::Queued => "queued".to_owned(),
            Self::Sent => "sent".to_owned(),
            Self::Delivered => "delivered".to_owned(),
            Self::Read => "read".to_owned(),
            Self::ReadBy(count) => format!("read by {count}"),
            Self::Failed => "not sent".to_owned(),
        }
    }
}

/// Makes each line harmless, and keeps them apart.
pub(super) fn tame_lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(tame_line).collect();
    lines.join("\n")
}

impl Entry {
    pub(super) fn of(entry: &HistoryEntry, own: &MemberId) -> Self {
        let position = entry.position;
        match &entry.entry {
            GroupEntry::Message(message) => {
                let what = What::Said(Box::new(Said::of(message, own)));
                Self { position, at: message.sent_at.as_millis(), what }
            }
            GroupEntry::Act(act) => {
                Self { position, at: act.at.as_millis(), what: What::Happened(act_words(act)) }
            }
            _ => Self { position, at: 0, what: What::Happened(LATER.to_owned()) },
        }
    }

    pub(super) fn said(&self) -> Option<&Said> {
        match &self.what {
            What::Said(said) => Some(said),
            What::Happened(_) => None,
        }
    }
}

impl Said {
    pub(super) fn of(message: &Message, own: &MemberId) -> Self {
        let name = |member: &MemberId, handle: &str| match member == own {
            true => "you".to_owned(),
            false => called(&member.to_string(), handle),
        };
        let text = match &message.text {
            Some(text) => tame_lines(text),
            None if message.deleted => "(deleted)".to_owned(),
            None => LATER.to_owned(),
        };
        let quote = message.reply_to.as_ref().map(|quote| {
            let claimed = if quote.is_known { "" } else { " (as quoted; not on this device)" };
            let who = name(&quote.message.author, &quote.handle);
            format!("{who}: {}{claimed}", tame_line(&quote.text))
        });
        let file = |file: &chancery::FileInfo| Attached {
            name: tame_line(&file.name),
            size: file.size,
            path: file.path.as_deref().map(tame_line),
        };
        let reaction = |it: &chancery::Reaction| (tame_line(&it.emoji), name(&it.by.member, &it.by.handle));
        let is_mine = message.from == *own;
        Self {
            key: message.reference(),
            is_mine,
            who: name(&message.from, &message.handle),
            mark: mark(message),
            text,
            is_deleted: message.deleted,
            is_edited: message.edited_at.is_some(),
            is_unread: message.unread,
            names_me: !is_mine && message.mentions.iter().any(|it| it.member == *own),
            quote,
            files: message.files.iter().map(file).collect(),
            form: form_lines(message, name),
            reactions: message.reactions.iter().map(reaction).collect(),
            state: if is_mine { State::of(message) } else { State::Received },
        }
    }

    /// The message on one line.
    pub(super) fn line(&self) -> String {
        let mut parts = Vec::new();
        if !self.text.is_empty() {
            parts.push(self.text.replace('\n', " "));
        }
        parts.extend(self.files.iter().map(|file| format!("file {}", file.line())));
        parts.extend(self.form.iter().map(|line| line.trim().to_owned()));
        parts.join("; ")
    }
}

fn mark(message: &Message) -> String {
    let mut marks = Vec::new();
    if message.kind != chancery::Kind::Person {
        marks.push(message.kind.name().to_owned());
    }
    match message.resent_by.as_deref() {
        Some("") => marks.push("sent again by somebody else".to_owned()),
        Some(by) => marks.push(format!("sent again by {}", tame_line(by))),
        None => {}
    }
    marks.join(", ")
}

/// The questions of a form, and what was answered.
fn form_lines(message: &Message, name: impl Fn(&MemberId, &str) -> String) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(form) = &message.form {
        lines.push(format!("Form: {}", tame_line(&form.title)));
        for field in &form.fields {
            let options: Vec<_> = field.options.iter().map(|it| tame_line(it)).collect();
            let kind = json::field_kind(field.kind).to_owned();
            let choice = if options.is_empty() { kind } else { options.join("|") };
            let must = if field.required { ", required" } else { "" };
            lines.push(format!("  {}: {} ({choice}{must})", tame_line(&field.id), tame_line(&field.label)));
        }
    }
    for answer in &message.answers {
        let value = |(id, value): &(String, String)| format!("{}={}", tame_line(id), tame_line(value));
        let values: Vec<_> = answer.values.iter().map(value).collect();
        lines.push(format!(
            "  {} answered {}",
            name(&answer.by.member, &answer.by.handle),
            values.join(", ")
        ));
    }
    lines
}

/// Somebody whose devices have the keys of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Reader {
    pub(super) id: String,
    pub(super) handle: String,
    pub(super) name: String,
    /// A role in a group, or that it is a guest or bot.
    pub(super) mark: String,
    pub(super) devices: Vec<String>,
    pub(super) is_me: bool,
}

/// Who can read what is written in a conversation from now on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Readers {
    pub(super) people: Vec<Reader>,
    pub(super) is_group: bool,
    /// Why nothing can be written, if that is so.
    pub(super) closed: Option<String>,
}

impl Reader {
    /// Somebody of the directory.
    pub(super) fn of(member: &Member, own: &MemberId, devices: &[chancery::DeviceId], role: &str) -> Self {
        let short = |id: &chancery::DeviceId| id.to_string().chars().take(DEVICE_DIGITS).collect();
        let kind = member.kind.filter(|kind| *kind != chancery::Kind::Person).map(chancery::Kind::name);
        let marks: Vec<&str> = [Some(role), kind].into_iter().flatten().filter(|it| !it.is_empty()).collect();
        Self {
            id: member.member_id.to_string(),
            handle: tame_line(&member.handle),
            name: tame_line(&member.name),
            mark: marks.join(", "),
            devices: devices.iter().map(short).collect(),
            is_me: member.member_id == *own,
        }
    }

    /// A member of a group; `known` is how the directory has them.
    pub(super) fn of_group(it: &Participant, known: Option<&Member>, own: &MemberId) -> Self {
        let role = json::role_name(it.role);
        let member = Member {
            member_id: it.person.member,
            handle: it.person.handle.clone(),
            name: String::new(),
            device_ids: Vec::new(),
            unit: None,
            kind: None,
            reach: Vec::new(),
        };
        Self::of(known.unwrap_or(&member), own, &it.devices, role)
    }

    pub(super) fn called(&self) -> String {
        let called = called(&self.id, &self.handle);
        if self.is_me { format!("{called} (you)") } else { called }
    }

    /// Who it is, for a list to choose from.
    pub(super) fn about(&self) -> String {
        let name = if self.name == self.handle { "" } else { self.name.as_str() };
        let parts = [self.called(), name.to_owned(), self.mark.clone()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn line(&self) -> String {
        format!("{}: {} {}", self.about(), devices(self.devices.len()), self.devices.join(" "))
    }
}

fn devices(count: usize) -> String {
    if count == 1 { "1 device".to_owned() } else { format!("{count} devices") }
}

impl Readers {
    /// One line, for the header.
    pub(super) fn summary(&self) -> String {
        if let Some(closed) = &self.closed {
            return closed.clone();
        }
        let count: usize = self.people.iter().map(|reader| reader.devices.len()).sum();
        match self.people.as_slice() {
            [] => "asking who can read this".to_owned(),
            [only] if only.is_me => format!("you alone can read this, {}", devices(count)),
            people if self.is_group => {
                let members = people.len();
                format!("{members} members can read this, {}", devices(count))
            }
            people => {
                let other = people.iter().find(|it| !it.is_me).map(Reader::called).unwrap_or_default();
                format!("you and {other} can read this, {}", devices(count))
            }
        }
    }

    /// What is said of an archive. Organisations with one are refused by this version, so that there is none.
    pub(super) const ARCHIVE: &str = "No archive: neither the organisation nor the relay has a key.";
}

/// Why nothing can be written to a group, if that is so.
pub(super) fn closed(state: &GroupState) -> Option<String> {
    let why = match state.summary.phase {
        GroupPhase::Open => return None,
        GroupPhase::Withheld => "others are further on; nothing is sent until that comes here",
        GroupPhase::Forked => "members are shown different commits; nothing is sent here any more",
        GroupPhase::Dissolved => "this group has ended",
        GroupPhase::Left => "you have left this group",
        GroupPhase::Removed => "you are in this group no more",
        _ => "nothing can be written here",
    };
    Some(why.to_owned())
}

impl Readers {
    /// Whom a text names with `@handle`, of those who can read it.
    pub(super) fn mentions(&self, text: &str) -> Vec<Mention> {
        let mut found = Vec::new();
        for reader in &self.people {
            let Some(member) = MemberId::from_hex(&reader.id) else { continue };
            let length = reader.handle.len().saturating_add(1);
            let places = mention::places(text, &reader.handle).into_iter();
            found.extend(places.map(|start| Mention { start, length, member }));
        }
        found.sort_by_key(|mention| mention.start);
        found
    }

    /// Handles that begin so, of others.
    pub(super) fn handles<'a>(&'a self, begun: &'a str) -> impl Iterator<Item = &'a str> {
        let others = self.people.iter().filter(|reader| !reader.is_me);
        others.map(|reader| reader.handle.as_str()).filter(move |handle| handle.starts_with(begun))
    }
}
