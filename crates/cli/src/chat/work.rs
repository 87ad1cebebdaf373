//! Does what the model wants, with the library, and says what came of it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use chancery::{
    Client, Connection, Direction, Error, ErrorCode, Event, Group, GroupRole, Happening, Member, MemberId,
    Message, MessageRef, MessageState, Outgoing, OutgoingFile, Progress, ProgressFn, Sent,
};
use indicatif::HumanBytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{broadcast, watch};
use tokio::task::{JoinHandle, spawn_local};

use super::command::GroupWish;
use super::item::{DEVICE_DIGITS, Entry, Reader, Readers, Row, Said, What, closed};
use super::model::{Came, News, Page, Place, Saying, Transfer, Want};
use super::overlay::Person;
use crate::group::act_words;
use crate::message::{
    called, device_added_text, handle_reassigned_text, lost_text, member_left_text, settled_text,
};
use crate::text::{tame, tame_line};

/// Messages wait for nothing: once they are stored, whatever follows sends them.
const STORE_ONLY: Duration = Duration::ZERO;
/// How long a change of a group is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often to look for what another process has changed, and for what has disappeared.
const LOOK: Duration = Duration::from_secs(5);
/// How long to hope for the first connection before it is said that there is none.
const HOPE: Duration = Duration::from_secs(3);
/// Entries read at once: some screens full.
const PAGE: usize = 64;
/// Entries that are read at once at most to find the first that is new.
const MOST_NEW: usize = 1024;
/// Members of a group up to which each is looked up in the directory: of more the handles have to do.
const NAMED: usize = 64;
/// Members that a search lists: more nobody reads.
const FOUND: usize = 200;

/// Says how far files have come.
pub(super) fn progress(news: UnboundedSender<News>) -> ProgressFn {
    std::sync::Arc::new(move |progress: &Progress| {
        let doing = if progress.direction == Direction::Sending { "sending" } else { "saving" };
        let what = format!("{doing} {}", tame_line(&progress.name));
        let percent = progress.done.saturating_mul(100).checked_div(progress.total).unwrap_or(100);
        let is_done = progress.done >= progress.total;
        let transfer = Transfer { what, percent, size: HumanBytes(progress.total).to_string() };
        // Nobody listens any more once the client ends.
        let _ = news.send(News::Transfer(Some(transfer).filter(|_| !is_done)));
    })
}

/// One device at work.
pub(super) struct Worker {
    client: Client,
    own: MemberId,
    news: UnboundedSender<News>,
    /// Whether events were handed over that were not shown yet.
    is_waiting: Cell<bool>,
    /// Codes of new devices of which was told.
    requests: RefCell<BTreeSet<String>>,
    /// How much is being done that takes long.
    slow: watch::Sender<usize>,
    /// How many messages are not stored yet.
    sending: Cell<usize>,
}

impl Worker {
    pub(super) fn new(client: Client, news: UnboundedSender<News>) -> Rc<Self> {
        let own = client.me().member_id;
        let (is_waiting, requests, slow) = (Cell::new(false), RefCell::default(), watch::Sender::new(0));
        Rc::new(Self { client, own, news, is_waiting, requests, slow, sending: Cell::new(0) })
    }

    /// How many messages are lost if the program ends now.
    pub(super) fn sending(&self) -> usize {
        self.sending.get()
    }

    /// Begins to work, on this thread: does what is wanted in turn, keeps connected, and watches.
    /// What is returned ends once nothing more is wanted.
    pub(super) fn start(self: &Rc<Self>, mut wants: UnboundedReceiver<Want>) -> JoinHandle<()> {
        let worker = Rc::clone(self);
        let doing = spawn_local(async move {
            while let Some(want) = wants.recv().await {
                worker.handle(want).await;
            }
        });
        let worker = Rc::clone(self);
        spawn_local(async move {
            if let Err(error) = worker.client.follow(std::future::pending()).await {
                worker.tell(News::Ended(error));
            }
        });
        let worker = Rc::clone(self);
        spawn_local(async move { worker.watch().await });
        doing
    }

    fn tell(&self, news: News) {
        // Nobody listens any more once the client ends.
        let _ = self.news.send(news);
    }

    fn fail(&self, error: Error) {
        if error.code() == ErrorCode::Revoked {
            return self.tell(News::Ended(error));
        }
        self.tell(News::Failed(tame(&error.to_string())));
    }

    async fn watch(&self) {
        let (mut changes, mut connection) = (self.client.changes(), self.client.connection());
        let mut typing = self.client.typing_news();
        let hope = tokio::time::sleep(HOPE);
        tokio::pin!(hope);
        let mut is_hoping = true;
        loop {
            self.events().await;
            tokio::select! {
                Ok(()) = changes.changed() => {}
                Ok(()) = connection.changed() => {
                    let state = connection.borrow_and_update().clone();
                    // While it is tried, what was known counts.
                    if state != Connection::Connecting {
                        is_hoping = false;
                        let is_there = matches!(state, Connection::CatchingUp | Connection::Connected);
                        self.tell(News::Connected(is_there));
                    }
                }
                () = &mut hope, if is_hoping => {
                    is_hoping = false;
                    self.tell(News::Connected(false));
                }
                who = typing.recv() => self.somebody_writes(who).await,
                () = tokio::time::sleep(LOOK) => self.tell(News::Tick),
            }
        }
    }

    async fn somebody_writes(&self, who: Result<chancery::Typing, broadcast::error::RecvError>) {
        let Ok(typing) = who else { return };
        let place = typing.member.to_string();
        let handle = self.client.member(&place).await.map(|member| member.handle).unwrap_or_default();
        let who = called(&place, &handle);
        self.tell(News::Typing { place, who, stopped: typing.stopped });
    }

    /// Does something in its turn; what takes long goes on beside.
    async fn handle(self: &Rc<Self>, want: Want) {
        let is_slow = match &want {
            Want::Save { .. } | Want::Typing(_) | Want::Found { .. } | Want::Group(..) => true,
            Want::Echo => return self.echo(),
            Want::Say(saying) => !saying.files.is_empty(),
            Want::Open(which) => self.client.conversation(which).await.is_err(),
            _ => false,
        };
        self.slow.send_modify(|count| *count = count.saturating_add(is_slow.into()));
        let worker = Rc::clone(self);
        let work = async move {
            if let Err(error) = worker.done(want).await {
                worker.fail(error);
            }
            worker.slow.send_modify(|count| *count = count.saturating_sub(is_slow.into()));
        };
        if is_slow { drop(spawn_local(work)) } else { work.await }
    }

    /// Says so once what takes long is done as well.
    fn echo(self: &Rc<Self>) {
        let worker = Rc::clone(self);
        spawn_local(async move {
            // The worker lives as long as this: it has the sender.
            let _ = worker.slow.subscribe().wait_for(|count| *count == 0).await;
            worker.tell(News::Echo);
        });
    }

    async fn done(&self, want: Want) -> Result<(), Error> {
        let client = &self.client;
        match want {
            Want::List => self.list().await?,
            Want::Open(which) => self.opened(&which, self.open(&which, &which).await)?,
            Want::Page { id, known } => {
                let page = self.newest(&id, known).await?;
                self.tell(News::Page { id, page });
            }
            Want::Older { id, before } => {
                let page = self.page(&id, Some(before)).await?;
                self.tell(News::Page { id, page });
            }
            Want::Readers(id) => {
                let readers = self.readers(&id).await?;
                self.tell(News::Readers { id, readers });
            }
            Want::Say(saying) => self.say(saying).await?,
            Want::Edit(message, text) => self.edit(message, text).await?,
            Want::Delete(message) => self.acted(client.delete(message, STORE_ONLY).await)?,
            Want::React { message, emoji, remove } => {
                self.acted(client.react(message, &emoji, remove, STORE_ONLY).await)?;
            }
            Want::Answer(message, values) => {
                self.acted(client.answer_form(message, &values, STORE_ONLY).await)?;
            }
            Want::Save { message, folder } => self.save(message, &folder).await?,
            Want::MarkRead { id, up_to } => drop(client.mark_read(&id, up_to).await?),
            Want::Draft { id, text } => client.set_draft(&id, &text).await?,
            // Whether anybody was told is of no use here.
            Want::Typing(place) if place.is_group => {}
            Want::Typing(place) => drop(client.typing(&place.id, false).await),
            Want::Search(filter) => self.search(filter).await?,
            Want::Found { name, members } => self.opened(&name, self.found(&name, &members).await)?,
            Want::Group(id, wish) => self.change(&id, wish).await?,
            // Said above, in its turn.
            Want::Echo => {}
            Want::Taken(number) => {
                let taken = client.take_events(number).await;
                // What could not be taken comes again.
                self.is_waiting.set(false);
                taken?;
                self.events().await;
            }
        }
        Ok(())
    }

    async fn list(&self) -> Result<(), Error> {
        let all = self.client.conversations().await?;
        self.tell(News::Listed(all.iter().map(|it| Row::of(it, &self.own)).collect()));
        Ok(())
    }

    /// Says so if what was asked for could not be opened.
    fn opened(&self, asked: &str, opened: Result<(), Error>) -> Result<(), Error> {
        match opened {
            Err(error) if error.code() != ErrorCode::Revoked => {
                self.tell(News::NotOpened { asked: asked.to_owned(), why: tame(&error.to_string()) });
                Ok(())
            }
            opened => opened,
        }
    }

    async fn open(&self, asked: &str, which: &str) -> Result<(), Error> {
        let found = match self.client.conversation(which).await {
            // Somebody may have come since the directory was here last.
            Err(error) if error.code() == ErrorCode::UnknownRecipient => {
                let member = self.client.resolve(which).await?;
                self.client.conversation(&member.member_id.to_string()).await?
            }
            found => found?,
        };
        let row = Row::of(&found, &self.own);
        let (readers, page) = (self.readers(&row.id).await?, self.newest(&row.id, None).await?);
        self.tell(News::Opened { asked: asked.to_owned(), row, readers, page });
        Ok(())
    }

    async fn page(&self, id: &str, before: Option<u64>) -> Result<Page, Error> {
        let found = self.client.history_before(id, before, PAGE).await?;
        let entries = found.iter().map(|entry| Entry::of(entry, &self.own)).collect();
        Ok(Page { entries, before, older: found.next })
    }

    /// Reads the newest entries, and before them until there is no gap to the last that is known; if none is, until all that is
    /// new is there: it is shown from its beginning.
    async fn newest(&self, id: &str, known: Option<u64>) -> Result<Page, Error> {
        let unread = if known.is_none() { self.client.conversation(id).await?.unread } else { 0 };
        let mut page = self.page(id, None).await?;
        while let Some(before) = page.older {
            let is_enough = match known {
                Some(known) => page.entries.first().is_none_or(|first| first.position <= known),
                None => page.unread() >= unread || page.entries.len() >= MOST_NEW,
            };
            if is_enough {
                break;
            }
            let mut older = self.page(id, Some(before)).await?;
            older.entries.append(&mut page.entries);
            page = Page { before: None, ..older };
        }
        Ok(page)
    }

    async fn readers(&self, id: &str) -> Result<Readers, Error> {
        let mut readers = Readers::default();
        match self.client.group(id).await {
            Ok(group) => {
                let state = group.state().await?;
                readers.is_group = true;
                readers.closed = closed(&state);
                let has_names = state.members.len() <= NAMED;
                for it in state.members {
                    let id = it.person.member.to_string();
                    let known = if has_names { self.client.member(&id).await.ok() } else { None };
                    readers.people.push(Reader::of_group(&it, known.as_ref(), &self.own));
                }
            }
            Err(error) if error.code() == ErrorCode::GroupUnknown => {
                let of = |member: &Member| Reader::of(member, &self.own, &member.device_ids, "");
                match self.client.member(id).await {
                    Ok(member) => readers.people.push(of(&member)),
                    Err(_) => {
                        readers.closed = Some("nothing is sent: they have left the organisation".to_owned())
                    }
                }
                if id != self.own.to_string() {
                    readers.people.push(self.myself().await);
                }
            }
            Err(error) => return Err(error),
        }
        Ok(readers)
    }

    /// The own member as the directory has it, or this device as long as it has not come.
    async fn myself(&self) -> Reader {
        let me = self.client.me();
        match self.client.member(&self.own.to_string()).await {
            Ok(member) => Reader::of(&member, &self.own, &member.device_ids, ""),
            Err(_) => Reader {
                id: self.own.to_string(),
                handle: tame_line(&me.handle),
                devices: vec![me.device_id.to_string().chars().take(DEVICE_DIGITS).collect()],
                is_me: true,
                ..Reader::default()
            },
        }
    }

    async fn say(&self, saying: Box<Saying>) -> Result<(), Error> {
        let file = |path: &std::path::PathBuf| OutgoingFile { path: path.clone(), ..OutgoingFile::default() };
        let outgoing = Outgoing {
            text: saying.text.clone(),
            files: saying.files.iter().map(file).collect(),
            reply_to: saying.reply_to,
            mentions: saying.mentions.clone(),
            form: None,
        };
        let to = &saying.to.id;
        self.sending.set(self.sending.get().saturating_add(1));
        let sent = if saying.to.is_group {
            match self.client.group(to).await {
                Ok(group) => group.send_message(outgoing, STORE_ONLY).await,
                Err(error) => Err(error),
            }
        } else {
            self.client.send_message(to, outgoing, STORE_ONLY).await
        };
        self.sending.set(self.sending.get().saturating_sub(1));
        match sent {
            // It is stored, and shown as what was not sent.
            Err(error) if matches!(error.code(), ErrorCode::SendFailed | ErrorCode::Revoked) => Err(error),
            Err(error) => {
                self.tell(News::NotSaid { saying, why: tame(&error.to_string()) });
                Ok(())
            }
            Ok(_) => {
                self.tell(News::Done(None));
                Ok(())
            }
        }
    }

    async fn edit(&self, message: MessageRef, text: String) -> Result<(), Error> {
        match self.client.edit(message, &text, &[], STORE_ONLY).await {
            Err(error) if !matches!(error.code(), ErrorCode::SendFailed | ErrorCode::Revoked) => {
                self.tell(News::NotEdited { message, text, why: tame(&error.to_string()) });
                Ok(())
            }
            edited => self.acted(edited),
        }
    }

    fn acted(&self, sent: Result<Sent, Error>) -> Result<(), Error> {
        sent.map(|_| self.tell(News::Done(None)))
    }

    async fn save(&self, message: MessageRef, folder: &Path) -> Result<(), Error> {
        let found = self.client.message(&message.author, &message.id).await?;
        let message = found.ok_or(ErrorCode::MessageUnknown)?;
        if message.files.is_empty() {
            return Err(Error::with(ErrorCode::Usage, "the message has no files"));
        }
        let mut saved = Vec::new();
        for index in 0..message.files.len() {
            let path = self.client.save_attachment(&message, index, folder).await;
            self.tell(News::Transfer(None));
            saved.push(tame_line(&path?.to_string_lossy()));
        }
        self.tell(News::Done(Some(format!("saved as {}", saved.join(", ")))));
        Ok(())
    }

    async fn search(&self, filter: String) -> Result<(), Error> {
        let found = self.client.members(&filter, None).await?;
        let person = |member: &Member| Person {
            handle: tame_line(&member.handle),
            line: Reader::of(member, &self.own, &member.device_ids, member.unit.as_deref().unwrap_or(""))
                .about(),
        };
        let people = found.iter().take(FOUND).map(person).collect();
        self.tell(News::Members { filter, people });
        Ok(())
    }

    async fn found(&self, name: &str, members: &[String]) -> Result<(), Error> {
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        let (group, done) = self.client.create_group(name, &members, PATIENCE).await?;
        self.open(name, &MemberId::new(*group.id()).to_string()).await?;
        self.tell(News::Done(Some(match done.waiting {
            None => format!("{} is founded", tame_line(name)),
            Some(why) => format!("{} is founded; its members wait: {why}", tame_line(name)),
        })));
        Ok(())
    }

    async fn change(&self, id: &str, wish: GroupWish) -> Result<(), Error> {
        let group: Group = self.client.group(id).await?;
        let names = |members: &[String]| members.join(", ");
        let (done, what) = match &wish {
            GroupWish::Add(members) => {
                let these: Vec<&str> = members.iter().map(String::as_str).collect();
                (group.add(&these, GroupRole::Member, PATIENCE).await?, format!("{} added", names(members)))
            }
            GroupWish::Remove(members) => {
                let these: Vec<&str> = members.iter().map(String::as_str).collect();
                (group.remove(&these, PATIENCE).await?, "removed".to_owned())
            }
            GroupWish::Rename(name) => (group.rename(name, PATIENCE).await?, "renamed".to_owned()),
            GroupWish::Leave => (group.leave(PATIENCE).await?, "you have left".to_owned()),
        };
        self.tell(News::Done(Some(match done.waiting {
            None => tame_line(&what),
            Some(why) => format!("not done yet, and need not be repeated: {}", tame(&why.to_string())),
        })));
        Ok(())
    }

    /// Hands over what happened; more of it once that was shown.
    async fn events(&self) {
        if self.is_waiting.get() {
            return;
        }
        let page = match self.client.events().await {
            Ok(page) => page,
            // Reading waits for the relay, or for another process.
            Err(error) if error.is_retryable() || error.code() == ErrorCode::StoreLocked => return,
            Err(error) => return self.fail(error),
        };
        let mut notes = self.new_devices().await;
        let (Some(up_to), mut came) = (page.last().map(|event| event.number), Vec::new()) else {
            notes.into_iter().for_each(|note| self.tell(News::Done(Some(note))));
            return;
        };
        self.is_waiting.set(true);
        page.into_iter().for_each(|event| self.happened(event, &mut came, &mut notes));
        self.tell(News::Events { came, notes, up_to });
    }

    async fn new_devices(&self) -> Vec<String> {
        let waiting = self.client.device_requests().await.unwrap_or_default();
        let new = waiting.into_iter().filter(|code| self.requests.borrow_mut().insert(code.clone()));
        new.map(|code| format!("a new device waits: chancery device approve {code}")).collect()
    }

    fn happened(&self, event: Event, came: &mut Vec<Came>, notes: &mut Vec<String>) {
        let note = match event.happening {
            Happening::Message(message)
            | Happening::MessageChanged { message, .. }
            | Happening::Receipt { message, .. } => return came.push(self.came(&message)),
            Happening::GroupAct(act) => {
                let place = Place { id: MemberId::new(act.group.id).to_string(), is_group: true };
                let what = What::Happened(act_words(&act));
                let entry = Entry { position: 0, at: act.at.as_millis(), what };
                return came.push(Came { place, title: tame_line(&act.group.name), entry });
            }
            Happening::DeviceAdded { member, handle, device } => {
                device_added_text(&member.to_string(), &handle, &device.to_string())
            }
            Happening::Lost { member, handle, count } => lost_text(&member.to_string(), &handle, count),
            Happening::MemberLeft { member, handle } => member_left_text(&member.to_string(), &handle),
            Happening::HandleReassigned { handle, .. } => handle_reassigned_text(&handle),
            Happening::MessageFailed { conversation, to, why, .. } => {
                settled_text(&conversation.to_string(), &to, Some(why))
            }
            _ => return,
        };
        notes.push(note.trim_start_matches("* ").to_owned());
    }

    fn came(&self, message: &Message) -> Came {
        debug_assert!(message.state != MessageState::Received || message.from != self.own);
        let place = Place { id: message.conversation.to_string(), is_group: message.group.is_some() };
        let said = Said::of(message, &self.own);
        let title = message.group.as_ref().map_or_else(|| said.who.clone(), |group| tame_line(&group.name));
        let (position, at) = (message.position.unwrap_or(0), message.sent_at.as_millis());
        Came { place, title, entry: Entry { position, at, what: What::Said(Box::new(said)) } }
    }
}
