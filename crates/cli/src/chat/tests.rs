//! The model and the view without a terminal and without a relay.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test"
)]

mod drawing;
mod typing;

use chancery::{MemberId, MessageRef};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::item::{Attached, Entry, Reader, Readers, Row, Said, State, What};
use super::model::{Model, News, Own, Page, Want};
use super::view::{Drawn, View};
use super::wrap::Clock;

/// 2026-11-22 14:00 UTC.
const NOON: u64 = 1_795_356_000_000;
const BOB: &str = "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b";
const CREW: &str = "0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c";

fn key_of(position: u64, is_mine: bool) -> MessageRef {
    let author = MemberId::new([if is_mine { 0x0a } else { 0x0b }; 16]);
    MessageRef { author, id: u128::from(position).to_be_bytes() }
}

/// A message that was written so many minutes after noon.
fn said(position: u64, is_mine: bool, text: &str) -> Entry {
    let said = Said {
        key: key_of(position, is_mine),
        is_mine,
        who: if is_mine { "you" } else { "bob" }.into(),
        mark: String::new(),
        text: text.into(),
        is_deleted: false,
        is_edited: false,
        is_unread: false,
        names_me: false,
        quote: None,
        files: Vec::new(),
        form: Vec::new(),
        reactions: Vec::new(),
        state: if is_mine { State::Sent } else { State::Received },
    };
    Entry { position, at: NOON + position * 60_000, what: What::Said(Box::new(said)) }
}

/// The same with something changed.
fn with(mut entry: Entry, change: impl FnOnce(&mut Said)) -> Entry {
    if let What::Said(said) = &mut entry.what {
        change(said);
    }
    entry
}

fn happened(position: u64, text: &str) -> Entry {
    Entry { position, at: NOON + position * 60_000, what: What::Happened(text.into()) }
}

fn row(id: &str, title: &str, last: &str) -> Row {
    let is_group = id == CREW;
    Row { id: id.into(), is_group, title: title.into(), at: NOON, last: last.into(), ..Row::default() }
}

fn reader(id: u8, handle: &str, mark: &str) -> Reader {
    let id = MemberId::new([id; 16]).to_string();
    let devices = vec!["0123abcd".into()];
    let is_me = handle == "alice";
    Reader { id, handle: handle.into(), name: String::new(), mark: mark.into(), devices, is_me }
}

fn readers(is_group: bool) -> Readers {
    let people = if is_group {
        vec![reader(0x0a, "alice", "owner"), reader(0x0b, "bob", "member"), reader(0x0d, "carol", "member")]
    } else {
        vec![reader(0x0b, "bob", ""), reader(0x0a, "alice", "")]
    };
    Readers { people, is_group, closed: None }
}

fn page(entries: Vec<Entry>) -> Page {
    Page { entries, before: None, older: None }
}

/// A model that knows Bob and a group, with nothing open.
fn model() -> Model {
    let mut model = Model::new(Own { handle: "alice".into(), organisation: "Acme".into() });
    model.now = NOON + 3_600_000;
    model.news(News::Connected(true));
    let mut crew = row(CREW, "Crew", "carol: Lunch?");
    crew.unread = 2;
    model.news(News::Listed(vec![row(BOB, "bob (Robert Roe)", "Thank you!"), crew]));
    model
}

/// With Bob's conversation open.
fn talking(entries: Vec<Entry>) -> Model {
    let mut model = model();
    open(&mut model, row(BOB, "bob (Robert Roe)", "Thank you!"), entries);
    model
}

fn open(model: &mut Model, row: Row, entries: Vec<Entry>) -> Vec<Want> {
    let readers = readers(row.is_group);
    model.news(News::Opened { asked: row.id.clone(), row, readers, page: page(entries) })
}

fn press(model: &mut Model, code: KeyCode) -> Vec<Want> {
    model.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn ctrl(model: &mut Model, letter: char) -> Vec<Want> {
    model.key(KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL))
}

/// Types a text, and returns what its last letter wants.
fn write(model: &mut Model, text: &str) -> Vec<Want> {
    text.chars().map(|letter| press(model, KeyCode::Char(letter))).last().unwrap_or_default()
}

fn draw(model: &mut Model, (columns, rows): (u16, u16)) -> (Buffer, Drawn) {
    let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
    let view = View { clock: Clock::utc(), has_colours: true };
    let drawn = view.draw(model, &mut buffer);
    (buffer, drawn)
}

/// What stands on the screen, without spaces at the ends of lines.
fn screen(model: &mut Model, size: (u16, u16)) -> String {
    let (buffer, _) = draw(model, size);
    let mut lines = Vec::new();
    for y in 0..size.1 {
        let (mut line, mut x) = (String::new(), 0);
        while x < size.0 {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += u16::try_from(super::wrap::width(symbol).max(1)).unwrap();
        }
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n")
}

fn notice(model: &Model) -> &str {
    model.notice.as_ref().map_or("", |notice| notice.text.as_str())
}
