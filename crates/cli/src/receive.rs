//! `chancery receive`: prints what arrives, then moves the cursor, so that a kill repeats and never omits.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chancery::{Client, Error, ErrorCode, Event, Happening, MemberId, Message, WaitingFile, json};
use tokio::sync::watch;

use crate::args::ReceiveArgs;
use crate::failure::{Failure, system};
use crate::group;
use crate::key::Purpose;
use crate::message::{self, File};
use crate::output::Output;
use crate::progress::Bar;
use crate::reading;
use crate::stop::Stop;

/// How often to look for what another process has stored in this home.
const POLL: Duration = Duration::from_secs(1);
/// How long a follower waits before it tries again to reach its store.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// How long a follower waits before it tries again to save a file, at first; each time in vain twice as long.
const FILE_PAUSE: Duration = Duration::from_secs(5);
/// The longest that it waits for that: 10 min. A file may be 2 GiB, and a disk stays full for long.
const LONGEST_FILE_PAUSE: Duration = Duration::from_secs(600);

pub(crate) async fn run(args: &ReceiveArgs, output: Output) -> Result<(), Failure> {
    let home = args.home.folder()?;
    let save = args.save.as_deref().map(std::path::absolute).transpose();
    let save = save.map_err(|error| system(&error, "--save"))?;
    let key = args.home.key.source(Purpose::Open)?;
    let bar = Bar::new(output);
    let client = Client::open_with(&home, &key, bar.function())?;
    let stop = if args.follow { Some(Stop::listen(false)?) } else { None };
    let (requests, failed, offline) = (RefCell::default(), RefCell::default(), OnceCell::new());
    let (all_events, unread, shown) = (args.all_events, args.unread, RefCell::default());
    let printer =
        Printer { client, save, all_events, output, bar, stop, requests, failed, unread, shown, offline };
    if let Some(stop) = &printer.stop {
        return follow(&printer, stop).await;
    }
    // What is stored is printed also when the relay does not answer.
    let synced = printer.client.sync(args.timeout).await;
    printer.bar.clear();
    match &synced {
        Err(error) => printer.offline.set(error.clone()).unwrap_or_default(),
        Ok(_) => drop(printer.save_waiting().await?),
    }
    printer.drain().await?;
    synced?;
    printer.tell_read(args.timeout).await;
    // Every message was printed; the exit code says that a file still waits.
    match printer.failed.take() {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

async fn follow(printer: &Printer, stop: &Stop) -> Result<(), Failure> {
    let ended = watch::Sender::new(false);
    let connection = async {
        let until = async {
            tokio::select! {
                () = stop.wait() => {}
                () = is_true(&ended) => {}
            }
        };
        let result = printer.client.follow(until).await;
        ended.send_replace(true);
        result
    };
    let printing = async {
        let result = printer.print_as_they_come(stop, &ended).await;
        ended.send_replace(true);
        result
    };
    let saving = async {
        let result = printer.save_as_it_goes(stop, &ended).await;
        if result.is_err() {
            ended.send_replace(true);
        }
        result
    };
    let (connection, printing, saving) = tokio::join!(connection, printing, saving);
    printing?;
    saving?;
    Ok(connection?)
}

async fn is_true(flag: &watch::Sender<bool>) {
    // The sender lives as long as the borrow, so the wait ends only with the value.
    let _ = flag.subscribe().wait_for(|&value| value).await;
}

struct Printer {
    client: Client,
    save: Option<PathBuf>,
    all_events: bool,
    output: Output,
    bar: Bar,
    stop: Option<Stop>,
    /// Codes of the new devices that were printed.
    requests: RefCell<BTreeSet<String>>,
    /// Why the first file that could not be saved was not.
    failed: RefCell<Option<Error>>,
    /// Whether what is printed stays unread.
    unread: bool,
    /// Up to where conversations were printed and not marked as read yet.
    shown: RefCell<BTreeMap<MemberId, u64>>,
    /// Why the relay could not be asked; it is then not asked for each file again.
    offline: OnceCell<Error>,
}

impl Printer {
    /// Prints until `stop`, or until the connection has `ended` and all that is stored was printed.
    async fn print_as_they_come(&self, stop: &Stop, ended: &watch::Sender<bool>) -> Result<(), Failure> {
        let (mut changes, mut typing) = (self.client.changes(), self.client.typing_news());
        let mut line = self.client.connection();
        loop {
            let last = *ended.borrow();
            changes.mark_unchanged();
            let pause = match self.drain().await {
                Err(Failure::Error(error)) if error.is_retryable() => {
                    tracing::warn!(code = error.code().name(), "printing waits");
                    RETRY_PAUSE
                }
                Err(failure) => return Err(failure),
                Ok(()) => POLL,
            };
            if last || stop.is_due() {
                return Ok(());
            }
            tokio::select! {
                _ = changes.changed() => {}
                Ok(typing) = typing.recv(), if self.all_events => self.print_typing(typing).await?,
                Ok(()) = line.changed(), if self.all_events => {
                    let now = line.borrow_and_update().clone();
                    self.bar.clear();
                    self.output.result(&json::connection(&now), || reading::connection_text(&now))?;
                }
                () = tokio::time::sleep(pause) => {}
                () = stop.wait() => {}
                () = is_true(ended) => {}
            }
        }
    }

    /// Prints everything that was stored and not taken. The cursor moves behind what was printed, also if it
    /// ends early.
    async fn drain(&self) -> Result<(), Failure> {
        loop {
            let page = self.client.events().await?;
            if page.is_empty() {
                return self.print_requests().await;
            }
            let mut printed = None;
            let result = self.print_page(&page, &mut printed).await;
            if let Some(number) = printed {
                self.taken(number).await?;
            }
            result?;
        }
    }

    /// Marks what was printed as read, and moves the cursor behind it.
    async fn taken(&self, number: u64) -> Result<(), Failure> {
        // Before the cursor moves: what is killed here comes again, and nothing that was printed stays unread.
        for (conversation, position) in self.shown.take() {
            self.client.mark_read(&conversation.to_string(), position).await?;
        }
        Ok(self.client.take_events(number).await?)
    }

    /// Sends the receipts of what was printed; those that must wait go with the next command.
    async fn tell_read(&self, patience: Duration) {
        if self.unread {
            return;
        }
        if let Err(error) = self.client.send_waiting(patience).await {
            tracing::info!(code = error.code().name(), "receipts wait");
        }
    }

    /// Prints that somebody is writing.
    async fn print_typing(&self, typing: chancery::Typing) -> Result<(), Failure> {
        let member = typing.member.to_string();
        let handle = self.client.resolve(&member).await.map(|member| member.handle).unwrap_or_default();
        let object = json::typing(&typing, &handle);
        self.bar.clear();
        self.output.result(&object, || reading::typing_text(&member, &handle, typing.stopped))
    }

    /// Says once, for as long as this command runs, that a new device asks for approval.
    async fn print_requests(&self) -> Result<(), Failure> {
        for code in self.client.device_requests().await? {
            if self.requests.borrow_mut().insert(code.clone()) {
                let object = json::device_request(&code);
                self.bar.clear();
                self.output
                    .result(&object, || format!("* a new device waits for your approval, code {code}"))?;
            }
        }
        Ok(())
    }

    async fn print_page(&self, page: &[Event], printed: &mut Option<u64>) -> Result<(), Failure> {
        for event in page {
            match &event.happening {
                Happening::Message(message) => self.print_message(message, printed).await?,
                Happening::GroupAct(act) => {
                    self.bar.clear();
                    self.output.result(&group::act_object(act), || group::act_text(act))?;
                }
                Happening::Receipt { .. }
                | Happening::MessageSent { .. }
                | Happening::MessageFailed { .. }
                | Happening::Read { .. }
                | Happening::Gone { .. }
                    if !self.all_events => {}
                // Said once, by `print_requests`.
                Happening::DeviceRequest { .. } => {}
                happening => {
                    if let Some(object) = json::event(event) {
                        self.bar.clear();
                        self.output.result(&object, || other_text(happening))?;
                    }
                }
            }
            *printed = Some(event.number);
        }
        Ok(())
    }

    async fn print_message(&self, message: &Message, printed: &mut Option<u64>) -> Result<(), Failure> {
        let mut files = message::files(message);
        let mut failed = Vec::new();
        if let Some(folder) = self.save.as_deref().filter(|_| !message.files.is_empty()) {
            // A download takes long; what was printed before must not come again if it is cut short.
            if let Some(number) = printed.take() {
                self.taken(number).await?;
            }
            for (index, file) in files.iter_mut().enumerate() {
                // A file that cannot be had now holds up neither its message nor those behind it (R-ENGINE-13).
                if let Some(waits) = self.save(message, index, folder, file).await? {
                    failed.push((index, waits));
                }
            }
        }
        let object = message::object(message, &files);
        // A follower's uploads go on meanwhile.
        self.bar.clear();
        self.output.result(&object, || message::text(message, &files))?;
        if let Some(position) = message.position.filter(|_| message.unread && !self.unread) {
            self.shown.borrow_mut().insert(message.conversation, position);
        }
        // Not before: nothing is said of a file, and nobody tries it beside this, until its message was printed.
        for (index, waits) in failed {
            if waits {
                self.client.file_waits(message, index).await?;
            } else {
                self.client.give_up_file(message, index).await?;
            }
        }
        Ok(())
    }

    /// Saves a file, or notes in `file` why it could not be: then returns whether it may still be had.
    async fn save(
        &self,
        message: &Message,
        index: usize,
        folder: &Path,
        file: &mut File,
    ) -> Result<Option<bool>, Failure> {
        // A kill between download and line leaves the file behind; it is not fetched twice.
        let saved = message.files.get(index).and_then(|info| Some((info.path.as_deref()?, info.size)));
        if saved.is_some_and(|(path, size)| is_saved(Path::new(path), folder, size)) {
            return Ok(None);
        }
        let download = async {
            match self.offline.get() {
                Some(error) => Err(error.clone()),
                None => self.client.save_attachment(message, index, folder).await,
            }
        };
        let saved = tokio::select! {
            saved = download => saved,
            // The message was not printed, and comes again.
            () = self.stopped() => return Err(Failure::Stopped),
        };
        match saved {
            Ok(path) => {
                file.saved(path.to_string_lossy().into_owned());
                Ok(None)
            }
            Err(error) => {
                tracing::warn!(code = error.code().name(), "a file was not saved");
                file.failed(&error);
                let waits = !is_lost(error.code());
                if waits {
                    self.failed.borrow_mut().get_or_insert(error);
                }
                Ok(Some(waits))
            }
        }
    }

    /// Tries again to save what could not be saved when its message was printed, and says what became of it.
    /// Returns whether something still waits.
    async fn save_waiting(&self) -> Result<bool, Failure> {
        let Some(folder) = &self.save else { return Ok(false) };
        let mut waits = false;
        for WaitingFile { message, index, .. } in self.client.waiting_files().await? {
            let Some(mut file) = message::files(&message).into_iter().nth(index) else { continue };
            let outcome = self.save(&message, index, folder, &mut file).await?;
            if outcome == Some(true) {
                waits = true;
                continue;
            }
            let object = message::later_file(&message, index, &file);
            self.bar.clear();
            self.output.result(&object, || message::later_file_text(&message, &file))?;
            if outcome == Some(false) {
                self.client.give_up_file(&message, index).await?;
            }
        }
        Ok(waits)
    }

    /// Tries again for as long as a follower runs, beside what it prints.
    async fn save_as_it_goes(&self, stop: &Stop, ended: &watch::Sender<bool>) -> Result<(), Failure> {
        let mut pause = FILE_PAUSE;
        loop {
            let waits = match self.save_waiting().await {
                Err(Failure::Error(error)) if error.is_retryable() => true,
                other => other?,
            };
            pause = if waits { pause.saturating_mul(2).min(LONGEST_FILE_PAUSE) } else { FILE_PAUSE };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.wait() => return Ok(()),
                () = is_true(ended) => return Ok(()),
            }
        }
    }

    /// Waits until a follower is told to end: a download in progress is then cut short.
    async fn stopped(&self) {
        match &self.stop {
            Some(stop) => stop.wait().await,
            None => std::future::pending().await,
        }
    }
}

/// Returns the line for people about what is neither a message nor an act.
fn other_text(happening: &Happening) -> String {
    match happening {
        Happening::DeviceAdded { member, handle, device } => {
            message::device_added_text(&member.to_string(), handle, &device.to_string())
        }
        Happening::Lost { member, handle, count } => message::lost_text(&member.to_string(), handle, *count),
        Happening::MemberLeft { member, handle } => message::member_left_text(&member.to_string(), handle),
        Happening::HandleReassigned { handle, .. } => message::handle_reassigned_text(handle),
        Happening::Receipt { member, handle, message, read } => {
            reading::receipt_text(message, (&member.to_string(), handle), *read)
        }
        Happening::MessageChanged { message, by, kind } => message::changed_text(message, by, *kind),
        Happening::MessageSent { conversation, to, .. } => {
            message::settled_text(&conversation.to_string(), to, None)
        }
        Happening::MessageFailed { conversation, to, why, .. } => {
            message::settled_text(&conversation.to_string(), to, Some(*why))
        }
        Happening::Read { unread, .. } => {
            format!("* another device of yours has read messages; {unread} of the conversation are unread")
        }
        Happening::Gone { .. } => "* messages have disappeared".to_owned(),
        _ => String::new(),
    }
}

/// Whether nobody will ever get the file.
const fn is_lost(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::AttachmentDamaged | ErrorCode::AttachmentGone)
}

fn is_saved(path: &Path, folder: &Path, size: u64) -> bool {
    path.parent() == Some(folder)
        && std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() == size)
}
