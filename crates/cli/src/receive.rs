//! `chancery receive`: prints what arrives, then moves the cursor, so that a kill repeats and never omits.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chancery::{Client, Error, ErrorCode, Happening, Message, News};
use serde_json::json;
use tokio::sync::watch;

use crate::args::ReceiveArgs;
use crate::failure::{Failure, system};
use crate::key::Purpose;
use crate::message::{self, File};
use crate::output::Output;
use crate::progress::Bar;
use crate::stop::Stop;

/// How often to look for what another process has stored in this home.
const POLL: Duration = Duration::from_secs(1);
/// How long a follower waits before it tries again to download a file or to reach its store.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

pub(crate) async fn run(args: &ReceiveArgs, output: Output) -> Result<(), Failure> {
    let home = args.home.folder()?;
    let save = args.save.as_deref().map(std::path::absolute).transpose();
    let save = save.map_err(|error| system(&error, "--save"))?;
    let key = args.home.key.source(Purpose::Open)?;
    let bar = Bar::new(output);
    let client = Client::open_with(&home, &key, bar.function())?;
    if args.follow {
        let stop = Stop::listen(false)?;
        return follow(
            &Printer { client, save, output, bar, stop: Some(stop.clone()), requests: RefCell::default() },
            &stop,
        )
        .await;
    }
    let printer = Printer { client, save, output, bar, stop: None, requests: RefCell::default() };
    // What is stored is printed also when the relay does not answer.
    let synced = printer.client.sync(args.timeout).await;
    printer.bar.clear();
    printer.drain().await?;
    Ok(synced.map(drop)?)
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
    let (connection, printing) = tokio::join!(connection, printing);
    printing?;
    Ok(connection?)
}

async fn is_true(flag: &watch::Sender<bool>) {
    // The sender lives as long as the borrow, so the wait ends only with the value.
    let _ = flag.subscribe().wait_for(|&value| value).await;
}

struct Printer {
    client: Client,
    save: Option<PathBuf>,
    output: Output,
    bar: Bar,
    stop: Option<Stop>,
    /// Codes of the new devices that were printed.
    requests: RefCell<BTreeSet<String>>,
}

impl Printer {
    /// Prints until `stop`, or until the connection has `ended` and all that is stored was printed.
    async fn print_as_they_come(&self, stop: &Stop, ended: &watch::Sender<bool>) -> Result<(), Failure> {
        let mut changes = self.client.changes();
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
            let change = async {
                let _ = changes.changed().await;
                // Something new is no reason to try a failed download sooner.
                if pause != POLL {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = change => {}
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
            let page = self.client.news().await?;
            if page.is_empty() {
                return self.print_requests().await;
            }
            let mut printed = None;
            let result = self.print_page(&page, &mut printed).await;
            if let Some(number) = printed {
                self.client.take_events(number).await?;
            }
            result?;
        }
    }

    /// Says once, for as long as this command runs, that a new device asks for approval.
    async fn print_requests(&self) -> Result<(), Failure> {
        for code in self.client.device_requests().await? {
            if self.requests.borrow_mut().insert(code.clone()) {
                let object = json!({"event": "device-request", "code": code});
                self.bar.clear();
                self.output
                    .result(&object, || format!("* a new device waits for your approval, code {code}"))?;
            }
        }
        Ok(())
    }

    async fn print_page(&self, page: &[News], printed: &mut Option<u64>) -> Result<(), Failure> {
        for news in page {
            match &news.happening {
                Happening::Message(message) => self.print_message(message, printed).await?,
                Happening::DeviceAdded { member, handle, device } => {
                    let object = message::device_added(&member.to_string(), handle, &device.to_string());
                    self.bar.clear();
                    self.output
                        .result(&object, || message::device_added_text(handle, &device.to_string()))?;
                }
                Happening::Lost { member, handle, count } => {
                    let object = message::lost(&member.to_string(), handle, *count);
                    self.bar.clear();
                    self.output.result(&object, || message::lost_text(handle, *count))?;
                }
                _ => {}
            }
            *printed = Some(news.number);
        }
        Ok(())
    }

    async fn print_message(&self, message: &Message, printed: &mut Option<u64>) -> Result<(), Failure> {
        let files = match &self.save {
            Some(folder) if !message.files.is_empty() => {
                // A download takes long; what was printed before must not come again if it is cut short.
                if let Some(number) = printed.take() {
                    self.client.take_events(number).await?;
                }
                self.save_files(message, folder).await?
            }
            _ => message::files(message),
        };
        let object = message::object(message, &files);
        // A follower's uploads go on meanwhile.
        self.bar.clear();
        self.output.result(&object, || message::text(message, &files))?;
        Ok(())
    }

    async fn save_files(&self, message: &Message, folder: &Path) -> Result<Vec<File>, Error> {
        let mut files = message::files(message);
        for (index, (file, info)) in files.iter_mut().zip(&message.files).enumerate() {
            // A kill between download and line leaves the file behind; it is not fetched twice.
            if info.path.as_deref().is_some_and(|path| is_saved(Path::new(path), folder, info.size)) {
                continue;
            }
            let saved = tokio::select! {
                saved = self.client.save_attachment(message, index, folder) => saved,
                () = self.stopped() => Err(ErrorCode::RelayUnreachable.into()),
            };
            match saved {
                Ok(path) => file.saved(path.to_string_lossy().into_owned()),
                Err(error) if is_lost(error.code()) => file.lost(error.code()),
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    }

    /// Waits until a follower is told to end: a download in progress is then cut short.
    async fn stopped(&self) {
        match &self.stop {
            Some(stop) => stop.wait().await,
            None => std::future::pending().await,
        }
    }
}

/// Whether nobody will ever get the file: waiting for it would hold up every later message.
const fn is_lost(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::AttachmentDamaged | ErrorCode::AttachmentGone)
}

fn is_saved(path: &Path, folder: &Path, size: u64) -> bool {
    path.parent() == Some(folder)
        && std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() == size)
}
