//! What lies over the conversation: help, who can read it, a search, a question. And what keys do there.

use chancery::MessageRef;
use crossterm::event::{KeyCode, KeyEvent};

use super::command::{self, GroupWish};
use super::editor::Editor;
use super::keys::{self, is_ctrl};
use super::model::{Model, Want};

/// What lies over the conversation.
#[derive(Debug, Clone)]
pub(super) enum Overlay {
    /// Every key; lines that are scrolled away above.
    Help(usize),
    /// Who can read it; which of them is chosen.
    Who(usize),
    Pick(Picker),
    Ask(Ask),
    Confirm {
        question: String,
        wants: Vec<Want>,
    },
}

/// Somebody of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) handle: String,
    pub(super) line: String,
}

/// A search in the directory.
#[derive(Debug, Clone)]
pub(super) struct Picker {
    pub(super) purpose: Purpose,
    pub(super) editor: Editor,
    pub(super) people: Vec<Person>,
    pub(super) at: usize,
    pub(super) picked: Vec<String>,
}

/// What somebody is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    Write,
    /// To found a group of this name.
    Found(String),
    /// To add them to this group.
    Add(String),
}

/// Something that has to be typed.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) about: About,
    pub(super) editor: Editor,
}

/// What has to be typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum About {
    GroupName,
    Rename(String),
    File,
    Reaction(MessageRef),
    Folder(MessageRef),
    Answer(MessageRef),
}

impl Purpose {
    pub(super) const fn takes_several(&self) -> bool {
        !matches!(self, Self::Write)
    }

    pub(super) fn title(&self) -> String {
        match self {
            Self::Write => "Write to".to_owned(),
            Self::Found(name) => format!("Who is to be in {name}?"),
            Self::Add(_) => "Add to the group".to_owned(),
        }
    }
}

impl About {
    /// What is asked, and what may be typed.
    pub(super) const fn question(&self) -> (&'static str, &'static str) {
        match self {
            Self::GroupName => ("Found a group", "Its name"),
            Self::Rename(_) => ("Rename the group", "Its new name"),
            Self::File => ("Send a file", "Its path; ~/ is your home"),
            Self::Reaction(_) => ("React", "An emoji or a short word; one of yours again takes it back"),
            Self::Folder(_) => ("Save the files", "The folder; it is made if it is not there"),
            Self::Answer(_) => ("Answer the form", "ID=VALUE, a comma and a space before the next"),
        }
    }
}

impl Model {
    pub(super) fn ask(&mut self, about: About, typed: &str) {
        self.overlay = Some(Overlay::Ask(Ask { about, editor: Editor::with(typed) }));
    }

    /// Looks for somebody: all are listed until something is typed.
    pub(super) fn pick(&mut self, purpose: Purpose) -> Vec<Want> {
        let (editor, people, picked) = (Editor::default(), Vec::new(), Vec::new());
        self.overlay = Some(Overlay::Pick(Picker { purpose, editor, people, at: 0, picked }));
        vec![Want::Search(String::new())]
    }

    /// Takes over who was found, if that is what is looked for now.
    pub(super) fn found(&mut self, filter: &str, people: Vec<Person>) {
        if let Some(Overlay::Pick(picker)) = &mut self.overlay
            && picker.editor.text() == filter
        {
            let own = &self.own.handle;
            let others =
                people.into_iter().filter(|it| it.handle != *own || picker.purpose == Purpose::Write);
            picker.people = others.collect();
            picker.at = 0;
        }
    }

    /// What a key does to an overlay, which was taken off and is put back unless the key closes it.
    pub(super) fn overlay_key(&mut self, overlay: Overlay, key: KeyEvent) -> Vec<Want> {
        if key.code == KeyCode::Esc {
            return Vec::new();
        }
        match overlay {
            Overlay::Help(at) => self.help_key(at, key),
            Overlay::Who(at) => return self.who_key(at, key),
            Overlay::Pick(picker) => return self.pick_key(picker, key),
            Overlay::Ask(ask) => return self.ask_key(ask, key),
            Overlay::Confirm { question, wants } => match key.code {
                KeyCode::Char('y' | 'Y') => return wants,
                KeyCode::Char('n' | 'N') => {}
                _ => self.overlay = Some(Overlay::Confirm { question, wants }),
            },
        }
        Vec::new()
    }

    fn help_key(&mut self, at: usize, key: KeyEvent) {
        let at = match key.code {
            KeyCode::Down | KeyCode::Char('j') => at.saturating_add(1),
            KeyCode::Up | KeyCode::Char('k') => at.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ') => at.saturating_add(self.window),
            KeyCode::PageUp => at.saturating_sub(self.window),
            KeyCode::F(1) | KeyCode::Char('q' | '?') | KeyCode::Enter => return,
            _ => at,
        };
        self.overlay = Some(Overlay::Help(at));
    }

    fn who_key(&mut self, at: usize, key: KeyEvent) -> Vec<Want> {
        let Some(open) = &self.open else { return Vec::new() };
        let (id, is_group) = (open.row.id.clone(), open.row.is_group);
        let last = open.readers.people.len().saturating_sub(1);
        let chosen = open.readers.people.get(at.min(last));
        let group = |wish| vec![Want::Group(id.clone(), wish)];
        match key.code {
            KeyCode::F(2) | KeyCode::Char('w' | 'q') | KeyCode::Enter => return Vec::new(),
            KeyCode::Char('a') if is_group => return self.pick(Purpose::Add(id)),
            KeyCode::Char('t') if is_group => {
                let title = open.row.title.clone();
                self.ask(About::Rename(id), &title);
                return Vec::new();
            }
            KeyCode::Char('l') if is_group => {
                let question = format!("Leave {}? You read nothing that is written then.", open.row.title);
                self.overlay = Some(Overlay::Confirm { question, wants: group(GroupWish::Leave) });
                return Vec::new();
            }
            KeyCode::Char('x') if is_group => {
                if let Some(reader) = chosen.filter(|reader| !reader.is_me) {
                    let question = format!("Remove {} from {}?", reader.called(), open.row.title);
                    let wants = group(GroupWish::Remove(vec![reader.id.clone()]));
                    self.overlay = Some(Overlay::Confirm { question, wants });
                    return Vec::new();
                }
            }
            _ => {}
        }
        let at = match key.code {
            KeyCode::Down | KeyCode::Char('j') => at.saturating_add(1).min(last),
            KeyCode::Up | KeyCode::Char('k') => at.saturating_sub(1),
            _ => at,
        };
        self.overlay = Some(Overlay::Who(at));
        Vec::new()
    }

    fn pick_key(&mut self, mut picker: Picker, key: KeyEvent) -> Vec<Want> {
        let last = picker.people.len().saturating_sub(1);
        let chosen = picker.people.get(picker.at.min(last)).map(|person| person.handle.clone());
        let mut wants = Vec::new();
        match key.code {
            KeyCode::Down => picker.at = picker.at.saturating_add(1).min(last),
            KeyCode::Up => picker.at = picker.at.saturating_sub(1),
            KeyCode::Tab if picker.purpose.takes_several() => {
                let Some(handle) = chosen else { return self.put_back(picker, wants) };
                match picker.picked.iter().position(|it| *it == handle) {
                    Some(at) => drop(picker.picked.remove(at)),
                    None => picker.picked.push(handle),
                }
                if !picker.editor.take().is_empty() {
                    wants.push(Want::Search(String::new()));
                }
            }
            KeyCode::Enter => return self.picked(picker, chosen),
            _ => {
                let before = picker.editor.text().to_owned();
                keys::edit(&mut picker.editor, key);
                if picker.editor.text() != before {
                    wants.push(Want::Search(picker.editor.text().to_owned()));
                }
            }
        }
        self.put_back(picker, wants)
    }

    fn put_back(&mut self, picker: Picker, wants: Vec<Want>) -> Vec<Want> {
        self.overlay = Some(Overlay::Pick(picker));
        wants
    }

    fn picked(&mut self, picker: Picker, chosen: Option<String>) -> Vec<Want> {
        let mut members = picker.picked.clone();
        if members.is_empty() {
            members.extend(chosen.clone());
        }
        match (&picker.purpose, chosen) {
            (Purpose::Write, Some(handle)) => self.want_open(handle),
            (Purpose::Found(name), _) => {
                self.say(format!("founding {name}"));
                self.want_found(name.clone(), members)
            }
            (Purpose::Add(id), _) if !members.is_empty() => {
                self.say("adding them");
                vec![Want::Group(id.clone(), GroupWish::Add(members))]
            }
            _ => self.put_back(picker, Vec::new()),
        }
    }

    fn ask_key(&mut self, mut ask: Ask, key: KeyEvent) -> Vec<Want> {
        if key.code != KeyCode::Enter || is_ctrl(key) {
            keys::edit(&mut ask.editor, key);
            self.overlay = Some(Overlay::Ask(ask));
            return Vec::new();
        }
        let typed = ask.editor.text().trim().to_owned();
        if typed.is_empty() {
            return Vec::new();
        }
        match ask.about {
            About::GroupName => self.pick(Purpose::Found(typed)),
            About::Rename(id) => vec![Want::Group(id, GroupWish::Rename(typed))],
            About::File => {
                let path = command::path(&typed).into_iter().collect();
                let said = self.saying(String::new(), path, None);
                said.map_or_else(
                    |why| {
                        self.fail(why);
                        Vec::new()
                    },
                    |want| vec![want],
                )
            }
            About::Reaction(message) => vec![self.reaction(message, typed)],
            About::Folder(message) => {
                let folder = command::path(&typed).unwrap_or_else(|| ".".into());
                self.say("saving");
                vec![Want::Save { message, folder }]
            }
            About::Answer(message) => {
                let pair =
                    |it: &str| it.trim().split_once('=').map(|(id, value)| (id.to_owned(), value.to_owned()));
                let values: Option<Vec<_>> = typed.split(", ").map(pair).collect();
                match values {
                    Some(values) => vec![Want::Answer(message, values)],
                    None => {
                        self.fail("an answer is ID=VALUE");
                        Vec::new()
                    }
                }
            }
        }
    }

    /// Reacts, or takes the same reaction back.
    fn reaction(&self, message: MessageRef, emoji: String) -> Want {
        let said = self.open.as_ref().and_then(|open| open.message(message));
        let remove =
            said.is_some_and(|said| said.reactions.iter().any(|(it, who)| *it == emoji && who == "you"));
        Want::React { message, emoji, remove }
    }
}
