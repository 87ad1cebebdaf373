//! What keys do. Each stands in [`HELP`], which is the help screen.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::command;
use super::editor::Editor;
use super::item::{Entry, Said};
use super::model::{Focus, Model, Want};
use super::open::{Open, Writing};
use super::overlay::{About, Overlay, Purpose};

/// Every key, by where it works.
pub(super) const HELP: &[(&str, &[(&str, &str)])] = &[
    (
        "Everywhere",
        &[
            ("F1, ?", "this help; ? only where nothing is written"),
            ("F2, w", "who can read this: members, devices; w only where nothing is written"),
            ("F3, Ctrl-N", "write to somebody: search the directory"),
            ("F4, Ctrl-G", "found a group"),
            ("Ctrl-F", "send a file"),
            ("Tab, Shift-Tab", "next part of the screen, the part before"),
            ("Alt-Up, Alt-Down", "conversation above, below"),
            ("PgUp, PgDn", "scroll the conversation"),
            ("Esc", "one step back"),
            ("Ctrl-L", "draw the screen anew"),
            ("Ctrl-C, Ctrl-Q", "end; what you began to write is kept"),
        ],
    ),
    (
        "Conversations",
        &[
            ("Up, Down, k, j", "choose"),
            ("Enter", "open"),
            ("n", "write to somebody"),
            ("g", "found a group"),
            ("q", "end"),
        ],
    ),
    (
        "Messages",
        &[
            ("Up, Down, k, j", "choose a message; Home and End the oldest and newest"),
            ("Enter, r", "reply to it"),
            ("+", "react to it"),
            ("e", "edit it, if it is yours"),
            ("d", "delete it everywhere, if it is yours"),
            ("s", "save its files"),
            ("a", "answer its form"),
        ],
    ),
    (
        "Writing",
        &[
            ("Enter", "send"),
            ("Alt-Enter, Ctrl-J", "begin a new line"),
            ("Up", "in an empty text: choose a message"),
            ("Tab", "behind @ and a name begun: complete the name"),
            ("Ctrl-A, Ctrl-E", "to the beginning, the end of the line; also Home and End"),
            ("Ctrl-W, Ctrl-U", "delete the word, all that stands before the cursor"),
            ("/help", "commands that can be typed"),
        ],
    ),
    (
        "Who can read this, in a group",
        &[
            ("a", "add members"),
            ("x", "remove the one that is chosen"),
            ("t", "rename the group"),
            ("l", "leave the group"),
        ],
    ),
    (
        "Search",
        &[
            ("Up, Down", "choose"),
            ("Tab", "mark several, for a group"),
            ("Enter", "take who is chosen, or all who are marked"),
        ],
    ),
];

pub(super) const fn is_ctrl(key: KeyEvent) -> bool {
    key.modifiers.contains(KeyModifiers::CONTROL)
}

const fn is_alt(key: KeyEvent) -> bool {
    key.modifiers.contains(KeyModifiers::ALT)
}

/// What a key does to a text.
pub(super) fn edit(editor: &mut Editor, key: KeyEvent) {
    match key.code {
        KeyCode::Char('a') if is_ctrl(key) => editor.home(),
        KeyCode::Char('e') if is_ctrl(key) => editor.end(),
        KeyCode::Char('w') if is_ctrl(key) => editor.delete_word(),
        KeyCode::Char('u') if is_ctrl(key) => editor.delete_before(),
        KeyCode::Char('h') if is_ctrl(key) => editor.backspace(),
        KeyCode::Char(letter) if !is_ctrl(key) && !is_alt(key) => {
            editor.insert(letter.encode_utf8(&mut [0; 4]))
        }
        KeyCode::Backspace if is_alt(key) => editor.delete_word(),
        KeyCode::Backspace => editor.backspace(),
        KeyCode::Delete => editor.delete(),
        KeyCode::Left => editor.left(),
        KeyCode::Right => editor.right(),
        KeyCode::Home => editor.home(),
        KeyCode::End => editor.end(),
        _ => {}
    }
}

impl Model {
    /// What a key does.
    pub(super) fn key(&mut self, key: KeyEvent) -> Vec<Want> {
        if key.kind == KeyEventKind::Release {
            return Vec::new();
        }
        self.notice = None;
        if self.ended.is_some() {
            self.has_quit = true;
            return Vec::new();
        }
        if is_ctrl(key) && matches!(key.code, KeyCode::Char('c' | 'q')) {
            self.has_quit = true;
            return self.leave();
        }
        if let Some(overlay) = self.overlay.take() {
            return self.overlay_key(overlay, key);
        }
        if let Some(wants) = self.anywhere(key) {
            return wants;
        }
        match self.focus {
            Focus::List => self.list_key(key),
            Focus::Messages => self.message_key(key),
            Focus::Writing => self.writing_key(key),
        }
    }

    /// What was pasted.
    pub(super) fn paste(&mut self, text: &str) -> Vec<Want> {
        match &mut self.overlay {
            Some(Overlay::Ask(ask)) => ask.editor.insert(&text.replace('\n', " ")),
            Some(Overlay::Pick(picker)) => {
                picker.editor.insert(&text.replace('\n', " "));
                return vec![Want::Search(picker.editor.text().to_owned())];
            }
            Some(_) => {}
            None => {
                if let Some(open) = &mut self.open {
                    open.editor.insert(text);
                    self.focus = Focus::Writing;
                }
                return self.tell_typing();
            }
        }
        Vec::new()
    }

    fn anywhere(&mut self, key: KeyEvent) -> Option<Vec<Want>> {
        let is_writing = self.focus == Focus::Writing;
        match key.code {
            KeyCode::F(1) => self.overlay = Some(Overlay::Help(0)),
            KeyCode::Char('?') if !is_writing => self.overlay = Some(Overlay::Help(0)),
            KeyCode::F(2) => return Some(self.show_readers()),
            KeyCode::Char('w') if !is_writing && !is_ctrl(key) => return Some(self.show_readers()),
            KeyCode::F(3) => return Some(self.pick(Purpose::Write)),
            KeyCode::Char('n') if is_ctrl(key) => return Some(self.pick(Purpose::Write)),
            KeyCode::F(4) => self.ask(About::GroupName, ""),
            KeyCode::Char('g') if is_ctrl(key) => self.ask(About::GroupName, ""),
            KeyCode::Char('f') if is_ctrl(key) => match self.open {
                Some(_) => self.ask(About::File, ""),
                None => self.fail("open a conversation first"),
            },
            KeyCode::Tab if is_writing && self.complete() => {}
            KeyCode::Tab => self.turn(true),
            KeyCode::BackTab => self.turn(false),
            KeyCode::PageUp => return Some(self.scroll(true)),
            KeyCode::PageDown => return Some(self.scroll(false)),
            KeyCode::Up if is_alt(key) => return Some(self.open_beside(false)),
            KeyCode::Down if is_alt(key) => return Some(self.open_beside(true)),
            _ => return None,
        }
        Some(Vec::new())
    }

    fn show_readers(&mut self) -> Vec<Want> {
        let Some(open) = &self.open else {
            self.fail("open a conversation first");
            return Vec::new();
        };
        let want = Want::Readers(open.row.id.clone());
        self.overlay = Some(Overlay::Who(0));
        vec![want]
    }

    fn turn(&mut self, on: bool) {
        let next = match (self.focus, on) {
            (Focus::List, true) | (Focus::Messages, false) => Focus::Writing,
            (Focus::Writing, true) | (Focus::List, false) => Focus::Messages,
            (Focus::Messages, true) | (Focus::Writing, false) => Focus::List,
        };
        self.focus = if self.open.is_some() { next } else { Focus::List };
        if self.focus == Focus::Messages {
            self.choose_last();
        }
    }

    fn choose_last(&mut self) {
        let Some(open) = &mut self.open else { return };
        let last = open.entries.values().rev().find(|entry| entry.said().is_some());
        if let Some(entry) = last.filter(|_| open.chosen.is_none()) {
            open.chosen = Some(entry.position);
            open.follow = true;
        }
    }

    fn scroll(&mut self, up: bool) -> Vec<Want> {
        let step = self.window.saturating_sub(2).max(1);
        if let Some(open) = &mut self.open {
            open.below = if up { open.below.saturating_add(step) } else { open.below.saturating_sub(step) };
        }
        Vec::new()
    }

    fn open_beside(&mut self, on: bool) -> Vec<Want> {
        let last = self.rows.len().saturating_sub(1);
        let here = self.open.as_ref().and_then(|open| self.rows.iter().position(|row| row.id == open.row.id));
        let at = match here {
            None => 0,
            Some(at) if on => at.saturating_add(1).min(last),
            Some(at) => at.saturating_sub(1),
        };
        self.open_row(at)
    }

    fn open_row(&mut self, at: usize) -> Vec<Want> {
        let id = self.rows.get(at).map(|row| row.id.clone());
        id.map(|id| self.want_open(id)).unwrap_or_default()
    }

    fn list_key(&mut self, key: KeyEvent) -> Vec<Want> {
        let last = self.rows.len().saturating_sub(1);
        match key.code {
            KeyCode::Down | KeyCode::Char('j') => self.at = self.at.saturating_add(1).min(last),
            KeyCode::Up | KeyCode::Char('k') => self.at = self.at.saturating_sub(1),
            KeyCode::Home => self.at = 0,
            KeyCode::End => self.at = last,
            KeyCode::Enter | KeyCode::Right => {
                return self.open_row(self.at);
            }
            KeyCode::Char('n') => return self.pick(Purpose::Write),
            KeyCode::Char('g') => self.ask(About::GroupName, ""),
            KeyCode::Char('q') => {
                self.has_quit = true;
                return self.leave();
            }
            KeyCode::Esc if self.open.is_some() => self.focus = Focus::Writing,
            _ => {}
        }
        Vec::new()
    }

    fn message_key(&mut self, key: KeyEvent) -> Vec<Want> {
        match key.code {
            KeyCode::Esc => {
                self.stop_choosing();
                return Vec::new();
            }
            KeyCode::Up | KeyCode::Char('k') => return self.choose(false),
            KeyCode::Down | KeyCode::Char('j') => return self.choose(true),
            KeyCode::Home | KeyCode::End => return self.choose_end(key.code == KeyCode::Home),
            _ => {}
        }
        let chosen =
            self.open.as_ref().and_then(Open::chosen_message).filter(|said| !said.is_deleted).cloned();
        let Some(said) = chosen else { return Vec::new() };
        self.message_act(key.code, &said);
        Vec::new()
    }

    fn message_act(&mut self, code: KeyCode, said: &Said) {
        match code {
            KeyCode::Enter | KeyCode::Char('r') => self.write(Writing::Reply(said.key), None),
            KeyCode::Char('+') => self.ask(About::Reaction(said.key), ""),
            KeyCode::Char('e' | 'd') if !said.is_mine => self.fail("that is not yours"),
            KeyCode::Char('e') => self.write(Writing::Edit(said.key), Some(&said.text)),
            KeyCode::Char('d') => {
                let question = "Delete this message everywhere? Who has read it has read it.".to_owned();
                self.overlay = Some(Overlay::Confirm { question, wants: vec![Want::Delete(said.key)] });
            }
            KeyCode::Char('s') if said.files.is_empty() => self.fail("it has no files"),
            KeyCode::Char('s') => self.ask(About::Folder(said.key), "."),
            KeyCode::Char('a') if said.form.is_empty() => self.fail("it asks nothing"),
            KeyCode::Char('a') => self.ask(About::Answer(said.key), ""),
            _ => {}
        }
    }

    fn write(&mut self, writing: Writing, text: Option<&str>) {
        if let Some(open) = &mut self.open {
            open.writing = writing;
            if let Some(text) = text {
                open.editor = Editor::with(text);
            }
        }
        self.stop_choosing();
    }

    fn stop_choosing(&mut self) {
        if let Some(open) = &mut self.open {
            open.chosen = None;
            open.below = 0;
        }
        self.focus = Focus::Writing;
    }

    /// Chooses the message behind or before the chosen one.
    fn choose(&mut self, on: bool) -> Vec<Want> {
        let Some(open) = &mut self.open else { return Vec::new() };
        let Some(at) = open.chosen else {
            self.choose_last();
            return Vec::new();
        };
        let is_message = |(_, entry): &(&u64, &Entry)| entry.said().is_some();
        let next = if on {
            open.entries.range(at.saturating_add(1)..).find(is_message)
        } else {
            open.entries.range(..at).rfind(is_message)
        };
        match next.map(|(position, _)| *position) {
            Some(position) => {
                open.chosen = Some(position);
                open.follow = true;
                Vec::new()
            }
            None if on => {
                self.stop_choosing();
                Vec::new()
            }
            None => self.want_older(),
        }
    }

    fn choose_end(&mut self, first: bool) -> Vec<Want> {
        let Some(open) = &mut self.open else { return Vec::new() };
        let mut messages = open.entries.values().filter(|entry| entry.said().is_some());
        let found = if first { messages.next() } else { messages.next_back() };
        open.chosen = found.map(|entry| entry.position);
        open.follow = true;
        if first { self.want_older() } else { Vec::new() }
    }

    fn writing_key(&mut self, key: KeyEvent) -> Vec<Want> {
        let Some(open) = &mut self.open else {
            self.focus = Focus::List;
            return Vec::new();
        };
        let is_enter = key.code == KeyCode::Enter;
        match key.code {
            KeyCode::Enter | KeyCode::Char('j')
                if (is_enter && is_alt(key)) || (!is_enter && is_ctrl(key)) =>
            {
                open.editor.insert("\n");
            }
            KeyCode::Enter => return self.send(),
            KeyCode::Up if open.editor.is_empty() => {
                self.focus = Focus::Messages;
                self.choose_last();
                return Vec::new();
            }
            KeyCode::Esc => {
                match open.writing {
                    Writing::New => self.focus = Focus::List,
                    Writing::Reply(_) => open.writing = Writing::New,
                    Writing::Edit(_) => {
                        open.writing = Writing::New;
                        open.editor.take();
                    }
                }
                return Vec::new();
            }
            _ => edit(&mut open.editor, key),
        }
        self.tell_typing()
    }

    /// Completes the name behind `@`, if it is that of somebody who can read this.
    fn complete(&mut self) -> bool {
        let Some(open) = &mut self.open else { return false };
        let found = open.editor.mention().and_then(|begun| open.readers.handles(begun).next());
        let Some(handle) = found.map(str::to_owned) else { return false };
        open.editor.complete_mention(&handle);
        true
    }

    fn send(&mut self) -> Vec<Want> {
        let not_now = self.not_now();
        let Some(open) = &mut self.open else { return Vec::new() };
        let text = open.editor.text().trim_end().to_owned();
        if text.is_empty() {
            return Vec::new();
        }
        if let Some(why) = not_now {
            self.fail(why);
            return Vec::new();
        }
        if let Some(closed) = open.readers.closed.clone().filter(|_| !text.starts_with('/')) {
            self.fail(closed);
            return Vec::new();
        }
        open.below = 0;
        open.new_from = None;
        let (writing, place) = (std::mem::replace(&mut open.writing, Writing::New), open.place());
        let typed = open.editor.take();
        let mut wants = match writing {
            Writing::Edit(message) => vec![Want::Edit(message, text)],
            Writing::Reply(message) => {
                self.saying(text, Vec::new(), Some((place, message))).into_iter().collect()
            }
            Writing::New => self.typed(&text, &typed),
        };
        wants.extend(self.leave());
        wants
    }

    fn typed(&mut self, line: &str, typed: &str) -> Vec<Want> {
        let command = match command::parse(line) {
            Ok(command) => command,
            Err(why) => {
                self.fail(why);
                if let Some(open) = &mut self.open {
                    open.editor = Editor::with(typed);
                }
                return Vec::new();
            }
        };
        match command {
            command::Command::Help | command::Command::Status => self.overlay = Some(Overlay::Help(0)),
            command::Command::Who => return self.show_readers(),
            command::Command::To(None) => self.focus = Focus::List,
            command::Command::Members(filter) => {
                let wants = self.pick(Purpose::Write);
                if let Some(Overlay::Pick(picker)) = &mut self.overlay {
                    picker.editor = Editor::with(&filter);
                }
                return if filter.is_empty() { wants } else { vec![Want::Search(filter)] };
            }
            command if command.names_a_message() => {
                self.fail(
                    "choose the message with Up; then r replies, + reacts, e edits, d deletes, s saves",
                );
            }
            command => return self.command(command, |_| None),
        }
        Vec::new()
    }
}
