//! The conversation that is open.

use std::collections::{BTreeMap, BTreeSet};

use chancery::MessageRef;

use super::editor::Editor;
use super::item::{Entry, Readers, Row, Said};
use super::model::{Page, Place, Want};

/// What is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    New,
    Reply(MessageRef),
    Edit(MessageRef),
}

/// The conversation that is open.
#[derive(Debug, Clone)]
pub(super) struct Open {
    pub(super) row: Row,
    pub(super) entries: BTreeMap<u64, Entry>,
    pub(super) older: Option<u64>,
    pub(super) is_loading: bool,
    pub(super) readers: Readers,
    pub(super) editor: Editor,
    pub(super) writing: Writing,
    /// Which message keys act on.
    pub(super) chosen: Option<u64>,
    /// Lines of the history that are below the window.
    pub(super) below: usize,
    /// Whether the window has to move to where the chosen message is.
    pub(super) follow: bool,
    /// The first message that was unread when it was opened.
    pub(super) new_from: Option<u64>,
    /// Whether the window has to move to the first message that is new and was not shown.
    pub(super) follow_new: bool,
    /// The last entry and the number of lines when it was drawn before.
    pub(super) drawn: (Option<u64>, usize),
    /// Where new messages stand that were shown.
    seen: BTreeSet<u64>,
    /// Up to where it was marked as read since it was opened.
    marked: Option<u64>,
    kept: String,
}

impl Open {
    pub(super) fn new(row: Row, readers: Readers, page: Page) -> Self {
        let draft = row.draft.clone().unwrap_or_default();
        let new_from = page.entries.iter().find(|it| it.said().is_some_and(|said| said.is_unread));
        let mut open = Self {
            row,
            entries: BTreeMap::new(),
            older: None,
            is_loading: false,
            readers,
            editor: Editor::with(&draft),
            writing: Writing::New,
            chosen: None,
            below: 0,
            follow: false,
            new_from: new_from.map(|it| it.position),
            follow_new: new_from.is_some(),
            drawn: (None, 0),
            seen: BTreeSet::new(),
            marked: None,
            kept: draft,
        };
        open.take_page(page);
        open
    }

    /// Returns what has to be stored as the draft, if it is another than before.
    pub(super) fn keep_draft(&mut self) -> Option<String> {
        let text = if matches!(self.writing, Writing::Edit(_)) { "" } else { self.editor.text() };
        if text == self.kept {
            return None;
        }
        text.clone_into(&mut self.kept);
        Some(self.kept.clone())
    }

    /// Where the messages stand that are new, oldest first.
    fn unread(&self) -> impl Iterator<Item = u64> {
        let new = self.entries.values().filter(|it| it.said().is_some_and(|said| said.is_unread));
        new.map(|entry| entry.position)
    }

    /// The first message that is new and was not shown yet.
    pub(super) fn first_new(&self) -> Option<u64> {
        self.unread().find(|position| !self.seen.contains(position))
    }

    /// Goes to what has come while nobody looked, unless somebody reads elsewhere.
    pub(super) fn catch_up(&mut self) {
        self.follow_new |= self.below == 0 && self.chosen.is_none();
    }

    /// Notes what was shown; returns up to where everything was by now, if something of it is new and was not noted yet.
    pub(super) fn mark(&mut self, shown: &[u64]) -> Option<u64> {
        let new: BTreeSet<u64> = self.unread().collect();
        self.seen.extend(shown.iter().filter(|position| new.contains(position)));
        // Others stand before what was read.
        if self.older.is_some() && self.row.unread > new.len() as u64 {
            return None;
        }
        let up_to = new.iter().take_while(|position| self.seen.contains(position)).last().copied();
        if up_to <= self.marked {
            return None;
        }
        self.marked = up_to;
        up_to
    }

    /// What reads again what has come.
    pub(super) fn want_page(&self) -> Want {
        Want::Page { id: self.row.id.clone(), known: self.entries.keys().next_back().copied() }
    }

    pub(super) fn place(&self) -> Place {
        Place { id: self.row.id.clone(), is_group: self.row.is_group }
    }

    pub(super) fn chosen_message(&self) -> Option<&Said> {
        self.entries.get(&self.chosen?)?.said()
    }

    pub(super) fn message(&self, which: MessageRef) -> Option<&Said> {
        self.entries.values().rev().filter_map(Entry::said).find(|said| said.key == which)
    }

    /// Takes over what was read: nothing twice, and nothing that has gone.
    pub(super) fn take_page(&mut self, page: Page) {
        let Page { entries, before, older } = page;
        let first = entries.first().map(|entry| entry.position);
        if before.is_none() && self.first_new().is_none() {
            // More may have come at once than the window shows.
            self.catch_up();
        }
        match (before, first) {
            (Some(_), _) => {
                self.is_loading = false;
                self.older = older;
            }
            (None, Some(first)) => {
                let is_gap =
                    older.is_some() && self.entries.keys().next_back().is_none_or(|last| *last < first);
                if is_gap {
                    self.entries.clear();
                }
                self.entries.retain(|position, _| *position < first);
                if self.entries.is_empty() {
                    self.older = older;
                }
            }
            (None, None) => {
                self.entries.clear();
                self.older = None;
            }
        }
        self.entries.extend(entries.into_iter().map(|entry| (entry.position, entry)));
        if self.chosen.is_some_and(|chosen| !self.entries.contains_key(&chosen)) {
            self.chosen = self.entries.keys().next_back().copied();
        }
    }
}
