//! A text that is being written: what keys do to it, by what people see as one letter.

use unicode_segmentation::UnicodeSegmentation as _;

/// A text and where the next letter goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Editor {
    text: String,
    /// In bytes; between two letters.
    at: usize,
}

impl Editor {
    pub(super) fn with(text: &str) -> Self {
        Self { text: text.to_owned(), at: text.len() }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// What stands before and behind the cursor.
    pub(super) fn halves(&self) -> (&str, &str) {
        self.text.split_at_checked(self.at).unwrap_or((&self.text, ""))
    }

    /// Empties it and returns what it was.
    pub(super) fn take(&mut self) -> String {
        self.at = 0;
        std::mem::take(&mut self.text)
    }

    /// Writes a text at the cursor; of control characters only line breaks, and tabs as spaces.
    pub(super) fn insert(&mut self, text: &str) {
        let text = text.replace("\r\n", "\n").replace('\r', "\n").replace('\t', "    ");
        let clean: String = text.chars().filter(|c| *c == '\n' || !c.is_control()).collect();
        let (before, behind) = self.halves();
        let begun = format!("{before}{clean}");
        let at = begun.len();
        self.text = format!("{begun}{behind}");
        self.at = at;
    }

    pub(super) fn left(&mut self) {
        let back = self.halves().0.graphemes(true).next_back().map_or(0, str::len);
        self.at = self.at.saturating_sub(back);
    }

    pub(super) fn right(&mut self) {
        let on = self.halves().1.graphemes(true).next().map_or(0, str::len);
        self.at = self.at.saturating_add(on);
    }

    /// To the beginning of the line.
    pub(super) fn home(&mut self) {
        self.at = self.halves().0.rfind('\n').map_or(0, |at| at.saturating_add(1));
    }

    /// To the end of the line.
    pub(super) fn end(&mut self) {
        let rest = self.halves().1.find('\n').unwrap_or_else(|| self.halves().1.len());
        self.at = self.at.saturating_add(rest);
    }

    pub(super) fn backspace(&mut self) {
        let end = self.at;
        self.left();
        self.cut(self.at, end);
    }

    pub(super) fn delete(&mut self) {
        let begin = self.at;
        self.right();
        self.cut(begin, self.at);
    }

    /// Deletes the word before the cursor, and spaces behind it.
    pub(super) fn delete_word(&mut self) {
        let before = self.halves().0.trim_end();
        let begin = before.rfind(char::is_whitespace).map_or(0, |at| {
            at.saturating_add(before.get(at..).and_then(|it| it.chars().next()).map_or(1, char::len_utf8))
        });
        self.cut(begin, self.at);
    }

    /// Deletes what stands before the cursor.
    pub(super) fn delete_before(&mut self) {
        self.cut(0, self.at);
    }

    fn cut(&mut self, begin: usize, end: usize) {
        let kept = self.text.get(..begin).zip(self.text.get(end..));
        if let Some((before, behind)) = kept {
            self.text = format!("{before}{behind}");
            self.at = begin;
        }
    }

    /// The word that ends at the cursor, if it begins with `@`: without that letter.
    pub(super) fn mention(&self) -> Option<&str> {
        let word = self.halves().0.rsplit(char::is_whitespace).next()?;
        word.strip_prefix('@').filter(|name| !name.is_empty())
    }

    /// Puts another name in place of the one that [`Self::mention`] returns.
    pub(super) fn complete_mention(&mut self, name: &str) {
        let Some(begun) = self.mention().map(str::len) else { return };
        self.cut(self.at.saturating_sub(begun), self.at);
        self.insert(&format!("{name} "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_what_people_see_as_one() {
        let mut editor = Editor::with("ae\u{301}👩‍👩‍👧 ");
        editor.left();
        editor.backspace();
        assert_eq!(editor.text(), "ae\u{301} ");
        editor.backspace();
        assert_eq!(editor.text(), "a ");
        editor.home();
        editor.delete();
        editor.delete();
        editor.delete();
        editor.backspace();
        assert_eq!(editor.text(), "");
    }

    #[test]
    fn control_characters_are_not_pasted_and_line_breaks_are() {
        let mut editor = Editor::default();
        editor.insert("one\r\ntwo\u{1b}[2J\t\u{7}three\rfour");
        assert_eq!(editor.text(), "one\ntwo[2J    three\nfour");
        editor.home();
        editor.insert("> ");
        editor.end();
        editor.insert("!");
        assert_eq!(editor.text(), "one\ntwo[2J    three\n> four!");
    }

    #[test]
    fn words_and_halves_are_deleted() {
        let mut editor = Editor::with("eins zwei\u{3000}drei  ");
        editor.delete_word();
        assert_eq!(editor.text(), "eins zwei\u{3000}");
        editor.delete_word();
        assert_eq!(editor.text(), "eins ");
        editor.insert("zwei");
        editor.left();
        editor.delete_before();
        assert_eq!(editor.halves(), ("", "i"));
        editor.delete_word();
        assert_eq!(editor.take(), "i");
        assert!(editor.is_empty());
    }

    #[test]
    fn a_name_behind_an_at_sign_is_completed() {
        let mut editor = Editor::with("ask @bo");
        assert_eq!(editor.mention(), Some("bo"));
        editor.complete_mention("bob");
        assert_eq!((editor.text(), editor.mention()), ("ask @bob ", None));
        assert_eq!(Editor::with("ask bo").mention(), None);
        assert_eq!(Editor::with("@").mention(), None);
    }
}
