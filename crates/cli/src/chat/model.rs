//! What the client knows and shows, and what news does to it: pure, so that it is tested without a terminal or a relay.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chancery::{Error, ErrorCode, Mention, MessageRef};

use super::command::{Command, GroupWish};
use super::item::{Entry, Readers, Row};
use super::open::{Open, Writing};
use super::overlay::{Overlay, Person};

/// For how long a word of who is writing holds, in milliseconds (15 s).
const TYPING_HOLDS: u64 = 15_000;

/// What is to be done for the model; what comes of it is [`News`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Want {
    List,
    /// Opens a conversation by whatever names it.
    Open(String),
    /// Reads the newest entries again: as many as have come behind the last that is known.
    Page {
        id: String,
        known: Option<u64>,
    },
    Older {
        id: String,
        before: u64,
    },
    Readers(String),
    Say(Box<Saying>),
    Edit(MessageRef, String),
    Delete(MessageRef),
    React {
        message: MessageRef,
        emoji: String,
        remove: bool,
    },
    Answer(MessageRef, Vec<(String, String)>),
    Save {
        message: MessageRef,
        folder: PathBuf,
    },
    MarkRead {
        id: String,
        up_to: u64,
    },
    Draft {
        id: String,
        text: String,
    },
    Typing(Place),
    Search(String),
    Found {
        name: String,
        members: Vec<String>,
    },
    Group(String, GroupWish),
    /// Events up to this number were shown.
    Taken(u64),
    /// Says [`News::Echo`] once what was wanted before is done.
    Echo,
}

/// A conversation to write to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) id: String,
    pub(super) is_group: bool,
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Saying {
    pub(super) to: Place,
    pub(super) text: String,
    pub(super) files: Vec<PathBuf>,
    pub(super) reply_to: Option<MessageRef>,
    pub(super) mentions: Vec<Mention>,
}

/// What has become known.
#[derive(Debug)]
pub(super) enum News {
    Listed(Vec<Row>),
    Opened {
        /// As it was asked for.
        asked: String,
        row: Row,
        readers: Readers,
        page: Page,
    },
    /// A conversation that was asked for is not there.
    NotOpened {
        asked: String,
        why: String,
    },
    Page {
        id: String,
        page: Page,
    },
    Readers {
        id: String,
        readers: Readers,
    },
    Connected(bool),
    /// It is time to look for what nobody tells: what other processes of this home did, and what has disappeared.
    Tick,
    /// What was wanted before [`Want::Echo`] is done.
    Echo,
    /// Something that was wanted is done, and has to be looked at.
    Done(Option<String>),
    Failed(String),
    /// A text that was not stored.
    NotSaid {
        saying: Box<Saying>,
        why: String,
    },
    /// A change of a message that was not stored.
    NotEdited {
        message: MessageRef,
        text: String,
        why: String,
    },
    Typing {
        place: String,
        who: String,
        stopped: bool,
    },
    Transfer(Option<Transfer>),
    Members {
        filter: String,
        people: Vec<Person>,
    },
    Events {
        came: Vec<Came>,
        notes: Vec<String>,
        up_to: u64,
    },
    /// The connection has ended for good.
    Ended(Error),
}

/// How far a file has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transfer {
    pub(super) what: String,
    pub(super) percent: u64,
    pub(super) size: String,
}

impl Transfer {
    pub(super) fn line(&self) -> String {
        format!("{}: {}% of {}", self.what, self.percent, self.size)
    }
}

/// Entries of a conversation, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Page {
    pub(super) entries: Vec<Entry>,
    /// Before which position it was asked for; `None`: the newest.
    pub(super) before: Option<u64>,
    /// The position to give for the page before.
    pub(super) older: Option<u64>,
}

impl Page {
    /// How many of its messages are new.
    pub(super) fn unread(&self) -> u64 {
        self.entries.iter().filter(|it| it.said().is_some_and(|said| said.is_unread)).count() as u64
    }
}

/// An entry that came, or has changed.
#[derive(Debug, Clone)]
pub(super) struct Came {
    pub(super) place: Place,
    pub(super) title: String,
    pub(super) entry: Entry,
}

/// Where keys go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Focus {
    List,
    Messages,
    Writing,
}

/// Whether the relay is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Connecting,
    Online,
    Offline,
}

impl Link {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Online => "online",
            Self::Offline => "offline, trying again",
        }
    }
}

/// Who uses this device.
#[derive(Debug, Clone, Default)]
pub(super) struct Own {
    pub(super) handle: String,
    pub(super) organisation: String,
}

/// A sentence at the bottom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) text: String,
    pub(super) is_error: bool,
}

/// Everything.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) own: Own,
    pub(super) link: Link,
    pub(super) rows: Vec<Row>,
    pub(super) at: usize,
    pub(super) open: Option<Open>,
    /// What was asked for last and is not open yet. Nothing is written meanwhile: it was meant for that.
    pub(super) opening: Option<String>,
    pub(super) focus: Focus,
    pub(super) overlay: Option<Overlay>,
    pub(super) notice: Option<Notice>,
    pub(super) transfer: Option<Transfer>,
    /// Who is writing where, and until when that holds.
    typing: BTreeMap<(String, String), u64>,
    told_typing: u64,
    /// The time, in milliseconds.
    pub(super) now: u64,
    /// Lines of the history that fit into the window.
    pub(super) window: usize,
    pub(super) is_watched: bool,
    /// Whether nobody could see the conversation when it was drawn last.
    was_away: bool,
    pub(super) has_quit: bool,
    pub(super) ended: Option<Error>,
}

impl Model {
    pub(super) fn new(own: Own) -> Self {
        Self {
            own,
            link: Link::Connecting,
            rows: Vec::new(),
            at: 0,
            open: None,
            opening: None,
            focus: Focus::List,
            overlay: None,
            notice: None,
            transfer: None,
            typing: BTreeMap::new(),
            told_typing: 0,
            now: 0,
            window: 10,
            is_watched: true,
            was_away: false,
            has_quit: false,
            ended: None,
        }
    }

    /// Takes news in, and returns what is to be done then.
    pub(super) fn news(&mut self, news: News) -> Vec<Want> {
        match news {
            News::Listed(rows) => self.listed(rows),
            // Another was asked for since.
            News::Opened { asked, .. } | News::NotOpened { asked, .. }
                if self.opening.as_ref().is_some_and(|last| *last != asked) => {}
            News::Opened { row, readers, page, .. } => return self.opened(row, readers, page),
            News::NotOpened { why, .. } => {
                self.opening = None;
                self.fail(why);
            }
            News::Page { id, page } => {
                if let Some(open) = self.opened_as(&id) {
                    open.take_page(page);
                }
            }
            News::Readers { id, readers } => {
                if let Some(open) = self.opened_as(&id) {
                    open.readers = readers;
                }
            }
            News::Connected(true) => {
                self.link = Link::Online;
                return self.look();
            }
            News::Connected(false) => (self.link, self.transfer) = (Link::Offline, None),
            News::Tick => return self.look_again(),
            News::Done(said) => {
                if let Some(text) = said {
                    self.say(text);
                }
                return self.look();
            }
            // Nothing is read again at once: it might fail again, and for ever.
            News::Failed(text) => self.fail(text),
            News::NotSaid { saying, why } => return self.not_said(*saying, why),
            News::NotEdited { message, text, why } => self.not_edited(message, &text, why),
            News::Typing { place, who, stopped: true } => drop(self.typing.remove(&(place, who))),
            News::Typing { place, who, stopped: false } => {
                self.typing.insert((place, who), self.now.saturating_add(TYPING_HOLDS));
            }
            News::Transfer(transfer) => self.transfer = transfer,
            News::Members { filter, people } => self.found(&filter, people),
            News::Events { came, notes, up_to } => return self.events(&came, notes, up_to),
            News::Echo => {}
            News::Ended(error) => {
                if error.code() == ErrorCode::Revoked {
                    // It is destroyed, so that it is shown no more either.
                    (self.open, self.overlay, self.transfer) = (None, None, None);
                    self.rows.clear();
                }
                self.ended = Some(error);
            }
        }
        Vec::new()
    }

    /// What is to be read again when something has changed.
    pub(super) fn look(&self) -> Vec<Want> {
        let readers = self.open.as_ref().map(|open| Want::Readers(open.row.id.clone()));
        self.look_again().into_iter().chain(readers).collect()
    }

    /// What is to be read again now and then.
    fn look_again(&self) -> Vec<Want> {
        let page = self.open.as_ref().map(Open::want_page);
        page.into_iter().chain([Want::List]).collect()
    }

    fn events(&mut self, came: &[Came], notes: Vec<String>, up_to: u64) -> Vec<Want> {
        for it in came {
            let from = it.entry.said().map(|said| said.who.clone()).unwrap_or_default();
            self.typing.remove(&(it.place.id.clone(), from));
            if let Some(open) = self.opened_as(&it.place.id)
                && let Some(entry) = open.entries.get_mut(&it.entry.position)
            {
                *entry = it.entry.clone();
            }
        }
        if let Some(note) = notes.into_iter().next_back() {
            self.say(note);
        }
        let mut wants = self.look();
        wants.push(Want::Taken(up_to));
        wants
    }

    fn listed(&mut self, rows: Vec<Row>) {
        let chosen = self.rows.get(self.at).map(|row| row.id.clone());
        self.rows = rows;
        let found = chosen.and_then(|id| self.rows.iter().position(|row| row.id == id));
        self.at = found.unwrap_or(0);
        if let Some(open) = &mut self.open
            && let Some(row) = self.rows.iter().find(|row| row.id == open.row.id)
        {
            open.row = row.clone();
        }
    }

    fn opened(&mut self, row: Row, readers: Readers, page: Page) -> Vec<Want> {
        let wants = self.leave();
        self.opening = None;
        if let Some(at) = self.rows.iter().position(|it| it.id == row.id) {
            self.at = at;
        }
        self.open = Some(Open::new(row, readers, page));
        self.focus = Focus::Writing;
        self.overlay = None;
        wants
    }

    /// Asks for a conversation, by whatever names it.
    pub(super) fn want_open(&mut self, which: String) -> Vec<Want> {
        self.opening = Some(which.clone());
        vec![Want::Open(which)]
    }

    /// Asks for a group to be founded, which is opened then.
    pub(super) fn want_found(&mut self, name: String, members: Vec<String>) -> Vec<Want> {
        self.opening = Some(name.clone());
        vec![Want::Found { name, members }]
    }

    /// Why nothing can be written just now, if that is so.
    pub(super) fn not_now(&self) -> Option<String> {
        let which = crate::text::tame_line(self.opening.as_ref()?);
        Some(format!("{which} is being opened, and nothing was sent"))
    }

    /// Keeps what was begun, before another conversation is opened or the client ends.
    pub(super) fn leave(&mut self) -> Vec<Want> {
        let Some(open) = &mut self.open else { return Vec::new() };
        open.keep_draft().map(|text| Want::Draft { id: open.row.id.clone(), text }).into_iter().collect()
    }

    pub(super) fn opened_as(&mut self, id: &str) -> Option<&mut Open> {
        self.open.as_mut().filter(|open| open.row.id == id)
    }

    const fn is_seen(&self) -> bool {
        self.is_watched && self.overlay.is_none()
    }

    /// Before it is drawn: who comes back sees first what has come.
    pub(super) fn come_back(&mut self) {
        let is_away = !self.is_seen();
        let was_away = std::mem::replace(&mut self.was_away, is_away);
        if let Some(open) = self.open.as_mut().filter(|_| was_away && !is_away) {
            open.catch_up();
        }
    }

    /// What stands at these positions was shown.
    pub(super) fn seen(&mut self, shown: &[u64]) -> Vec<Want> {
        let is_seen = self.is_seen();
        let Some(open) = self.open.as_mut().filter(|_| is_seen) else { return Vec::new() };
        let Some(up_to) = open.mark(shown) else { return Vec::new() };
        vec![Want::MarkRead { id: open.row.id.clone(), up_to }, open.want_page(), Want::List]
    }

    pub(super) fn say(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice { text: text.into(), is_error: false });
    }

    pub(super) fn fail(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice { text: text.into(), is_error: true });
    }

    /// Who is writing in the conversation that is open.
    pub(super) fn writers(&self) -> Vec<&str> {
        let Some(open) = &self.open else { return Vec::new() };
        let here =
            self.typing.iter().filter(|((place, _), until)| *place == open.row.id && **until > self.now);
        here.map(|((_, who), _)| who.as_str()).collect()
    }

    /// When a word of who is writing ends, in milliseconds; `None` if there is none.
    pub(super) fn next_end(&self) -> Option<u64> {
        self.typing.values().copied().filter(|until| *until > self.now).min()
    }

    /// Tells whom one writes to, at most every 5 s: more often the library says nothing either.
    pub(super) fn tell_typing(&mut self) -> Vec<Want> {
        const OFTEN: u64 = 5_000;
        let is_due = self.now.saturating_sub(self.told_typing) >= OFTEN;
        let Some(open) = self.open.as_ref().filter(|open| is_due && !open.editor.is_empty()) else {
            return Vec::new();
        };
        if open.editor.text().starts_with('/') || open.writing != Writing::New {
            return Vec::new();
        }
        let place = open.place();
        self.told_typing = self.now;
        vec![Want::Typing(place)]
    }

    /// Does what a line says. `find` knows messages by their numbers.
    pub(super) fn command(
        &mut self,
        command: Command,
        find: impl Fn(usize) -> Option<(Place, MessageRef)>,
    ) -> Vec<Want> {
        match self.wanted(command, find) {
            Ok(wants) => wants,
            Err(why) => {
                self.fail(why);
                Vec::new()
            }
        }
    }

    fn wanted(
        &mut self,
        command: Command,
        find: impl Fn(usize) -> Option<(Place, MessageRef)>,
    ) -> Result<Vec<Want>, String> {
        let found = |number| find(number).ok_or_else(|| format!("there is no message {number}"));
        let want = match command {
            Command::Say(text) => return self.saying(text, Vec::new(), None).map(|it| vec![it]),
            Command::File(path) => return self.saying(String::new(), vec![path], None).map(|it| vec![it]),
            Command::To(Some(name)) => return Ok(self.want_open(name)),
            Command::Reply(number, text) => {
                return self.saying(text, Vec::new(), Some(found(number)?)).map(|it| vec![it]);
            }
            Command::Edit(number, text) => Want::Edit(found(number)?.1, text),
            Command::Delete(number) => Want::Delete(found(number)?.1),
            Command::React(number, emoji) => Want::React { message: found(number)?.1, emoji, remove: false },
            Command::Unreact(number, emoji) => Want::React { message: found(number)?.1, emoji, remove: true },
            Command::Answer(number, values) => Want::Answer(found(number)?.1, values),
            Command::Save(number, folder) => {
                Want::Save { message: found(number)?.1, folder: folder.unwrap_or_else(|| ".".into()) }
            }
            Command::Members(filter) => Want::Search(filter),
            Command::Found(name, members) => return Ok(self.want_found(name, members)),
            Command::Group(wish) => {
                self.not_now().map_or(Ok(()), Err)?;
                let open = self.open.as_ref().filter(|open| open.row.is_group);
                Want::Group(open.ok_or("open a group first")?.row.id.clone(), wish)
            }
            Command::More => return Ok(self.want_older()),
            Command::Quit => {
                self.has_quit = true;
                return Ok(self.leave());
            }
            Command::To(None) | Command::Who | Command::Status | Command::Help => return Ok(Vec::new()),
        };
        Ok(vec![want])
    }

    /// What sends a message to the conversation that is open, or where the message is that it replies to.
    pub(super) fn saying(
        &self,
        text: String,
        files: Vec<PathBuf>,
        reply_to: Option<(Place, MessageRef)>,
    ) -> Result<Want, String> {
        let open = self.open.as_ref();
        let (to, reply_to) = match (reply_to, open) {
            (Some((place, message)), _) => (place, Some(message)),
            (None, _) if self.opening.is_some() => return Err(self.not_now().unwrap_or_default()),
            (None, Some(open)) => (open.place(), None),
            (None, None) => return Err("open a conversation first".to_owned()),
        };
        let readers = open.filter(|open| open.row.id == to.id).map(|open| &open.readers);
        let mentions = readers.map(|readers| readers.mentions(&text)).unwrap_or_default();
        Ok(Want::Say(Box::new(Saying { to, text, files, reply_to, mentions })))
    }

    /// Asks for what stands before, once.
    pub(super) fn want_older(&mut self) -> Vec<Want> {
        let Some(open) = self.open.as_mut().filter(|open| !open.is_loading) else { return Vec::new() };
        let Some(before) = open.older else { return Vec::new() };
        open.is_loading = true;
        vec![Want::Older { id: open.row.id.clone(), before }]
    }
}

/// Says why the connection has ended for good.
pub(super) fn end_words(error: &Error) -> String {
    if error.code() == ErrorCode::Revoked {
        return "Your organisation has ended this device. What it had of your messages is destroyed, nobody seals anything for it \
                any more, and it is in no group. If that is a mistake, ask your organisation for an invitation."
            .to_owned();
    }
    format!("This cannot go on: {}", crate::text::tame(&error.to_string()))
}
