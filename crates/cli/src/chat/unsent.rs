//! What could not be stored is not lost.

use chancery::MessageRef;

use super::editor::Editor;
use super::model::{Model, Saying, Want};
use super::open::Writing;

impl Model {
    /// Keeps what could not be stored: where it is written, or else as a draft, before what stands there by now.
    pub(super) fn not_said(&mut self, saying: Saying, why: String) -> Vec<Want> {
        let files = saying.files.iter().map(|path| format!("/file {}", path.display()));
        let lines: Vec<String> = [saying.text].into_iter().filter(|it| !it.is_empty()).chain(files).collect();
        let (id, text) = (saying.to.id, lines.join("\n"));
        self.fail(why);
        if let Some(open) = self.opened_as(&id)
            && !matches!(open.writing, Writing::Edit(_))
        {
            if open.editor.is_empty() {
                open.writing = saying.reply_to.map_or(Writing::New, Writing::Reply);
            }
            open.editor = Editor::with(&before(text, open.editor.text()));
            return Vec::new();
        }
        let row = self.rows.iter_mut().find(|row| row.id == id);
        let text = before(text, row.as_ref().and_then(|row| row.draft.as_deref()).unwrap_or_default());
        if let Some(row) = row {
            row.draft = Some(text.clone());
        }
        vec![Want::Draft { id, text }]
    }

    /// Puts a change that could not be stored back, or at least says what it was.
    pub(super) fn not_edited(&mut self, message: MessageRef, text: &str, why: String) {
        let open =
            self.open.as_mut().filter(|open| open.editor.is_empty() && open.message(message).is_some());
        match open {
            Some(open) => {
                open.editor = Editor::with(text);
                open.writing = Writing::Edit(message);
                self.fail(why);
            }
            None => self.fail(format!("{why}; the text was: {}", crate::text::tame_line(text))),
        }
    }
}

/// One text before another, if there is another.
fn before(text: String, behind: &str) -> String {
    if behind.is_empty() { text } else { format!("{text}\n{behind}") }
}
