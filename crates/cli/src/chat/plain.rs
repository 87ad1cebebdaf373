//! `chancery chat --plain`: one line for each thing that happens and one for each that is wanted, for screen readers, braille and
//! pipes. Nothing is ever drawn over.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal as _, Read as _, Write as _};
use std::time::Duration;

use chancery::MessageRef;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender, channel};
use tokio::time::Instant;

use super::command::{self, COMMANDS, Command};
use super::item::{Entry, Readers, Said, State, What};
use super::model::{Came, Link, Model, News, Place, Want, end_words};
use super::open::Open;
use super::overlay::Person;
use super::screen::now;
use super::wrap::Clock;
use crate::failure::{Failure, system};
use crate::stop::Stop;

/// Entries that are printed of a conversation that is opened.
const LAST: usize = 10;

/// How long after the end of the input messages may take to go.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Lines that are read ahead: the pipe keeps the others.
const AHEAD: usize = 16;

/// Bytes of a line at most (128 KiB): several times what a message can have.
const LINE: u64 = 131_072;

/// What was printed.
struct Plain {
    clock: Clock,
    link: Link,
    /// Messages by number, from 1 on, as they were printed last.
    messages: Vec<(Place, Said)>,
    numbers: BTreeMap<MessageRef, usize>,
    shown: Option<Shown>,
    is_moving: bool,
    /// What was said to have failed since a line was typed.
    failure: String,
}

/// What was printed of the conversation that is open.
struct Shown {
    id: String,
    first: u64,
    last: Option<u64>,
    readers: String,
    /// Whether what stands before is printed as soon as it is here.
    wants_more: bool,
}

fn print(line: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::StdoutClosed,
        _ => system(&error, "standard output").into(),
    })
}

/// A line, or why it is none.
type Line = Result<String, &'static str>;

/// Reads lines on a thread of its own: a blocking read must hold up nothing.
fn lines() -> Receiver<Line> {
    let (sender, lines) = channel(AHEAD);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        while let Ok(Some(line)) = read_line(&mut stdin) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Reads a line; of one that is too long nothing is kept. `None` at the end.
fn read_line(input: &mut impl BufRead) -> std::io::Result<Option<Line>> {
    let mut line = Vec::new();
    if input.by_ref().take(LINE).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.len() as u64 == LINE && line.last() != Some(&b'\n') {
        input.skip_until(b'\n')?;
        return Ok(Some(Err("the line is too long, and nothing of it was sent")));
    }
    Ok(Some(String::from_utf8(line).map_err(|_| "the line is not text in UTF-8, and nothing of it was sent")))
}

/// What is typed. Of lines that are piped in each waits until the one before has had its effect.
struct Input {
    lines: Receiver<Line>,
    is_piped: bool,
    is_waiting: bool,
    /// Since there was no more, until when what was typed may take.
    end: Option<Instant>,
}

impl Input {
    /// Returns the next line, or once `None` at the end; `is_held`: none yet, as it may be meant for what is being opened.
    async fn next(&mut self, is_held: bool) -> Option<Line> {
        if is_held || self.is_waiting || self.end.is_some() {
            return std::future::pending().await;
        }
        let line = self.lines.recv().await;
        self.is_waiting = self.is_piped || line.is_none();
        if line.is_none() {
            self.end = Instant::now().checked_add(LAST_WORDS);
        }
        line
    }

    const fn is_over(&self) -> bool {
        self.end.is_some() && !self.is_waiting
    }
}

/// Waits until even the last line has had its time.
async fn is_late(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// Prints and reads lines until the end.
pub(super) async fn run(
    model: &mut Model,
    (news, wants): (&mut UnboundedReceiver<News>, &UnboundedSender<Want>),
    stop: &Stop,
) -> Result<(), Failure> {
    let mut plain = Plain {
        clock: Clock::system(),
        link: Link::Connecting,
        messages: Vec::new(),
        numbers: BTreeMap::new(),
        shown: None,
        is_moving: false,
        failure: String::new(),
    };
    print(&format!(
        "Chancery, {} at {}. /help lists the commands.",
        model.own.handle, model.own.organisation
    ))?;
    let is_piped = !std::io::stdin().is_terminal();
    let mut input = Input { lines: lines(), is_piped, is_waiting: false, end: None };
    let mut pending = vec![Want::List];
    let mut is_listed = false;
    while !model.has_quit && model.ended.is_none() {
        pending.drain(..).for_each(|want| drop(wants.send(want)));
        let (end, is_held) = (input.end, model.opening.is_some());
        tokio::select! {
            line = input.next(is_held) => {
                model.now = now();
                match line {
                    Some(Ok(line)) => pending = plain.line(model, line.trim_end())?,
                    Some(Err(why)) => print(&format!("! {why}"))?,
                    None => {}
                }
                if input.is_waiting {
                    pending.push(Want::Echo);
                }
            }
            Some(told) = news.recv() => {
                model.now = now();
                let is_first_list = !is_listed && matches!(told, News::Listed(_));
                if matches!(told, News::Echo) {
                    input.is_waiting = false;
                }
                pending = plain.told(model, told)?;
                if is_first_list {
                    is_listed = true;
                    plain.list(model)?;
                }
            }
            () = is_late(end) => break,
            () = stop.wait() => break,
        }
        pending.extend(plain.show(model)?);
        // Who pipes lines in wants them sent.
        model.has_quit |= input.is_over() && !plain.has_queued(model);
    }
    pending.extend(model.leave());
    pending.into_iter().for_each(|want| drop(wants.send(want)));
    match &model.ended {
        Some(error) => print(&end_words(error)),
        None => Ok(()),
    }
}

impl Plain {
    /// Does what a line says.
    fn line(&mut self, model: &mut Model, line: &str) -> Result<Vec<Want>, Failure> {
        if line.is_empty() {
            return Ok(Vec::new());
        }
        self.failure.clear();
        let command = match command::parse(line) {
            Ok(command) => command,
            Err(why) => {
                print(&format!("! {why}"))?;
                return Ok(Vec::new());
            }
        };
        match command {
            Command::Help => {
                print("A line is sent to the conversation that is open. // begins a line with one slash.")?;
                for (command, what) in COMMANDS {
                    print(&format!("{command}: {what}"))?;
                }
            }
            Command::To(None) => self.list(model)?,
            Command::Who => who(model)?,
            Command::Status => print(&format!("{}, {}", model.own.handle, model.link.words()))?,
            Command::More => return self.more(model),
            command => {
                let find = |number: usize| {
                    let (place, said) = self.messages.get(number.checked_sub(1)?)?;
                    Some((place.clone(), said.key))
                };
                return Ok(model.command(command, find));
            }
        }
        Ok(Vec::new())
    }

    /// Prints what stands before, or asks for it.
    fn more(&mut self, model: &mut Model) -> Result<Vec<Want>, Failure> {
        let (Some(open), Some(shown)) = (&model.open, &mut self.shown) else { return Ok(Vec::new()) };
        if open.entries.range(..shown.first).next().is_some() || open.older.is_some() {
            shown.wants_more = true;
        } else {
            print("* this is the beginning")?;
        }
        let is_here = open.entries.range(..shown.first).next().is_some();
        Ok(if is_here { Vec::new() } else { model.want_older() })
    }

    /// Whether something that was written here waits for the relay, and the relay is not away.
    fn has_queued(&self, model: &Model) -> bool {
        model.link != Link::Offline && self.messages.iter().any(|(_, said)| said.state == State::Queued)
    }

    fn list(&self, model: &Model) -> Result<(), Failure> {
        if model.rows.is_empty() {
            return print(
                "No conversations yet. /members searches the directory, /to NAME opens a conversation.",
            );
        }
        for row in &model.rows {
            let what = if row.is_group { "group " } else { "" };
            let new = if row.unread > 0 { format!(", {} new", row.unread) } else { String::new() };
            let draft = if row.draft.is_some() { ", with a draft" } else { "" };
            let at = self.clock.short(row.at, model.now);
            print(&format!("{what}{}{new}{draft}. {at} {}", row.title, row.last))?;
        }
        Ok(())
    }

    /// Takes news in, and prints what is of another conversation than the one that is open.
    fn told(&mut self, model: &mut Model, told: News) -> Result<Vec<Want>, Failure> {
        let open = model.open.as_ref().map(|open| open.row.id.clone());
        match &told {
            News::Events { came, notes, .. } => {
                for it in came.iter().filter(|it| Some(&it.place.id) != open.as_ref()) {
                    self.came(it)?;
                }
                for note in notes {
                    print(&format!("* {note}"))?;
                }
            }
            News::Members { people, .. } => members(people)?,
            _ => {}
        }
        let is_not_opened = matches!(told, News::NotOpened { .. });
        let is_told = matches!(told, News::Events { .. });
        let mut wants = model.news(told);
        if is_told {
            model.notice = None;
        }
        if is_not_opened && model.opening.is_none() {
            // Nobody sees here what is open still: what follows was meant for somebody else.
            wants.extend(model.leave());
            (model.open, self.shown) = (None, None);
        }
        Ok(wants)
    }

    fn came(&mut self, came: &Came) -> Result<(), Failure> {
        match &came.entry.what {
            What::Said(said) => self.said(&came.place, (&came.title, &came.entry), said),
            What::Happened(text) => {
                print(&format!("* {}, {}: {text}", came.title, self.clock.time(came.entry.at)))
            }
        }
    }

    /// Prints a message, or what has changed of one that was printed.
    fn said(&mut self, place: &Place, (title, entry): (&str, &Entry), said: &Said) -> Result<(), Failure> {
        if let Some(number) = self.numbers.get(&said.key).copied() {
            let Some((_, before)) = number.checked_sub(1).and_then(|at| self.messages.get_mut(at)) else {
                return Ok(());
            };
            let changes = changes(before, said);
            *before = said.clone();
            return changes.into_iter().try_for_each(|change| print(&format!("* message {number}{change}")));
        }
        self.messages.push((place.clone(), said.clone()));
        let number = self.messages.len();
        self.numbers.insert(said.key, number);
        let place = if place.is_group { format!(" in {title}") } else { String::new() };
        let mark = if said.mark.is_empty() { String::new() } else { format!(" ({})", said.mark) };
        let time = self.clock.time(entry.at);
        let mut line = format!("{number}. {}{mark}{place}, {time}", said.who);
        if let Some(quote) = &said.quote {
            line.push_str(&format!(", in reply to {quote}"));
        }
        line.push_str(&format!(": {}", said.line()));
        for (word, holds) in [("edited", said.is_edited), ("names you", said.names_me)] {
            line.push_str(&if holds { format!(" ({word})") } else { String::new() });
        }
        if !said.reactions.is_empty() {
            line.push_str(&format!(" ({})", reactions(said)));
        }
        let state = said.state.word();
        line.push_str(&if state.is_empty() { state } else { format!(" ({state})") });
        print(&line)
    }

    /// Prints what has become different, and returns what is to be done then.
    fn show(&mut self, model: &mut Model) -> Result<Vec<Want>, Failure> {
        if self.link != model.link {
            self.link = model.link;
            print(&format!("* {}", model.link.words()))?;
        }
        // What fails again by itself is said once.
        if let Some(notice) = model.notice.take().filter(|it| !it.is_error || self.failure != it.text) {
            print(&format!("{} {}", if notice.is_error { "!" } else { "*" }, notice.text))?;
            if notice.is_error {
                self.failure = notice.text;
            }
        }
        if let Some(transfer) = model.transfer.as_ref().filter(|_| !self.is_moving) {
            print(&format!("* {}", transfer.line()))?;
        }
        self.is_moving = model.transfer.is_some();
        let Some(open) = &model.open else { return Ok(Vec::new()) };
        let mut shown = match self.shown.take() {
            Some(shown) if shown.id == open.row.id => shown,
            _ => begin(open)?,
        };
        let readers = open.readers.summary();
        if shown.readers != readers {
            print(&format!("* now {readers}"))?;
            shown.readers = readers;
        }
        if shown.wants_more && open.entries.range(..shown.first).next().is_some() {
            shown.wants_more = false;
            let mut older: Vec<_> = open.entries.range(..shown.first).rev().take(LAST).collect();
            older.reverse();
            shown.first = older.first().map_or(shown.first, |(position, _)| **position);
            for (_, entry) in older {
                self.entry(open, entry)?;
            }
        }
        for (position, entry) in open.entries.range(shown.first..) {
            if entry.said().is_some() || shown.last.is_none_or(|last| *position > last) {
                self.entry(open, entry)?;
            }
            shown.last = shown.last.max(Some(*position));
        }
        let seen: Vec<u64> = open.entries.range(shown.first..).map(|(position, _)| *position).collect();
        self.shown = Some(shown);
        Ok(model.seen(&seen))
    }

    fn entry(&mut self, open: &Open, entry: &Entry) -> Result<(), Failure> {
        match &entry.what {
            What::Said(said) => self.said(&open.place(), (&open.row.title, entry), said),
            What::Happened(text) => print(&format!("* {}: {text}", self.clock.time(entry.at))),
        }
    }
}

/// Prints what a conversation is, before its last entries.
fn begin(open: &Open) -> Result<Shown, Failure> {
    let readers = open.readers.summary();
    let what = if open.row.is_group { "Group " } else { "" };
    print(&format!("{what}{}: {readers}.", open.row.title))?;
    if open.entries.is_empty() {
        print("* nothing was written here yet")?;
    }
    if let Some(draft) = open.row.draft.as_ref() {
        print(&format!("* you began to write: {}", crate::text::tame_line(draft)))?;
    }
    let before = open.entries.len().saturating_sub(LAST);
    let first = open.entries.keys().nth(before).copied().unwrap_or(0);
    // All that is new, so that nothing counts as read that was not printed.
    let first = first.min(open.new_from.unwrap_or(first));
    Ok(Shown { id: open.row.id.clone(), first, last: None, readers, wants_more: false })
}

fn who(model: &Model) -> Result<(), Failure> {
    let Some(open) = &model.open else { return print("! open a conversation first") };
    print(&format!("{}: {}.", open.row.title, open.readers.summary()))?;
    for reader in &open.readers.people {
        print(&reader.line())?;
    }
    print(Readers::ARCHIVE)
}

fn members(people: &[Person]) -> Result<(), Failure> {
    if people.is_empty() {
        return print("* nobody of that name");
    }
    people.iter().try_for_each(|person| print(&person.line))
}

fn reactions(said: &Said) -> String {
    let all: Vec<_> = said.reactions.iter().map(|(emoji, who)| format!("{emoji} from {who}")).collect();
    all.join(", ")
}

/// What is said of a message that has changed, behind its number.
fn changes(before: &Said, said: &Said) -> Vec<String> {
    let mut changes = Vec::new();
    if said.is_deleted && !before.is_deleted {
        return vec![" was deleted".to_owned()];
    }
    if said.text != before.text {
        changes.push(format!(" was edited: {}", said.line()));
    }
    if said.reactions != before.reactions {
        let all = reactions(said);
        changes.push(if all.is_empty() {
            " has no reactions any more".to_owned()
        } else {
            format!(": {all}")
        });
    }
    let new = said.form.iter().filter(|line| !before.form.contains(line));
    changes.extend(new.map(|line| format!(": {}", line.trim())));
    if said.state != before.state {
        changes.push(format!(": {}", said.state.word()));
    }
    changes
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_or_no_text_is_refused_and_the_next_one_counts() {
        let long = "x".repeat(usize::try_from(LINE).unwrap());
        let all = [long.as_bytes(), b"y\nTea?\n\xff\nGladly"].concat();
        let mut input = all.as_slice();
        let mut next = || read_line(&mut input).unwrap();
        assert!(next().unwrap().unwrap_err().contains("too long"));
        assert_eq!(next(), Some(Ok("Tea?\n".into())));
        assert!(next().unwrap().unwrap_err().contains("UTF-8"));
        assert_eq!(next(), Some(Ok("Gladly".into())));
        assert_eq!(next(), None);
    }
}
