//! What lies over the conversation.

use chancery::Error;
use ratatui::layout::{Position, Rect};

use super::{Canvas, Tone};
use crate::chat::command::COMMANDS;
use crate::chat::editor::Editor;
use crate::chat::item::Readers;
use crate::chat::keys::HELP;
use crate::chat::model::{Model, end_words};
use crate::chat::overlay::{Ask, Overlay, Picker};
use crate::chat::wrap::{width, wrap};

/// Columns of a box at most.
const COLUMNS: u16 = 70;

impl Canvas<'_> {
    /// Draws it; returns where the cursor is.
    pub(super) fn overlay(&mut self, model: &Model, overlay: &Overlay, area: Rect) -> Option<Position> {
        match overlay {
            Overlay::Help(_) => {}
            Overlay::Who(at) => self.who(model, *at, area),
            Overlay::Pick(picker) => return self.picker(picker, area),
            Overlay::Ask(ask) => return self.asked(ask, area),
            Overlay::Confirm { question, .. } => {
                let lines = wrap(question, usize::from(COLUMNS.min(area.width)).saturating_sub(4));
                let inside = self.frame("Sure?", lines.len().saturating_add(2), area);
                for (line, down) in lines.iter().zip(0_u16..) {
                    self.inside(inside, down, line, Tone::Plain);
                }
                let down = u16::try_from(lines.len()).unwrap_or(0).saturating_add(1);
                self.inside(inside, down, "y  yes      n  no", Tone::Strong);
            }
        }
        None
    }

    /// Says that this device is at its end.
    pub(super) fn ended(&mut self, error: &Error, area: Rect) {
        let text = format!("{}\n\nAny key ends this program.", end_words(error));
        let lines = wrap(&text, usize::from(COLUMNS.min(area.width)).saturating_sub(4));
        let inside = self.frame("The end of this device", lines.len(), area);
        for (line, down) in lines.iter().zip(0_u16..) {
            self.inside(inside, down, line, Tone::Plain);
        }
    }

    /// Clears the lines in the middle and draws a box there; returns what is inside.
    fn frame(&mut self, title: &str, lines: usize, area: Rect) -> Rect {
        let columns = area.width.min(COLUMNS);
        let rows = u16::try_from(lines.saturating_add(2)).unwrap_or(area.height);
        let height = rows.min(area.height);
        let x = area.x.saturating_add(area.width.saturating_sub(columns).checked_div(2).unwrap_or(0));
        let middle = area.height.saturating_sub(height).checked_div(2).unwrap_or(0);
        let y = area.y.saturating_add(middle);
        let wide = columns.saturating_sub(2);
        for row in 0..height {
            let at = (x, y.saturating_add(row));
            self.fill((area.x, at.1), area.width, " ", Tone::Plain);
            let (left, fill, right) = match row {
                0 => ("┏", "━", "┓"),
                row if row.saturating_add(1) == height => ("┗", "━", "┛"),
                _ => ("┃", " ", "┃"),
            };
            self.put(at, 1, left, Tone::Plain);
            self.fill((at.0.saturating_add(1), at.1), wide, fill, Tone::Plain);
            self.put((x.saturating_add(columns).saturating_sub(1), at.1), 1, right, Tone::Plain);
        }
        self.put((x.saturating_add(2), y), wide.saturating_sub(2), &format!(" {title} "), Tone::Strong);
        Rect {
            x: x.saturating_add(2),
            y: y.saturating_add(1),
            width: columns.saturating_sub(4),
            height: height.saturating_sub(2),
        }
    }

    /// Writes a line of a box, if the box has so many.
    fn inside(&mut self, area: Rect, down: u16, text: &str, tone: Tone) {
        if down < area.height {
            self.put((area.x, area.y.saturating_add(down)), area.width, text, tone);
        }
    }

    /// Shows every key and command from a line on, or from the last line from which on the box is full; returns which.
    pub(super) fn help(&mut self, at: usize, area: Rect) -> usize {
        let mut lines = Vec::new();
        // What names a message by its number is for the plain mode.
        let commands: Vec<_> =
            COMMANDS.iter().copied().filter(|(command, _)| !command.contains(" N")).collect();
        let all = HELP.iter().copied().chain([("Typed as a message", commands.as_slice())]);
        for (place, keys) in all {
            if !lines.is_empty() {
                lines.push((String::new(), Tone::Plain));
            }
            lines.push((place.to_owned(), Tone::Strong));
            for (key, what) in keys {
                let begin = format!("  {key:<18} ");
                let room =
                    usize::from(COLUMNS.min(area.width)).saturating_sub(width(&begin).saturating_add(4));
                for (index, part) in wrap(what, room).into_iter().enumerate() {
                    let begin = if index == 0 { begin.clone() } else { " ".repeat(width(&begin)) };
                    lines.push((format!("{begin}{part}"), Tone::Plain));
                }
            }
        }
        let inside = self.frame("Keys", lines.len(), area);
        let first = at.min(lines.len().saturating_sub(inside.height.into()));
        for ((line, tone), down) in lines.iter().skip(first).zip(0..inside.height) {
            self.inside(inside, down, line, *tone);
        }
        let below = lines.len().saturating_sub(first.saturating_add(inside.height.into()));
        if below > 0 {
            let at = (inside.x, inside.bottom());
            self.put_right(at, inside.width, &format!(" ↓ {below} lines more "), Tone::Bar);
        }
        first
    }

    fn who(&mut self, model: &Model, at: usize, area: Rect) {
        let Some(open) = &model.open else { return };
        let readers = &open.readers;
        let columns = usize::from(COLUMNS.min(area.width)).saturating_sub(6);
        let mut lines: Vec<_> =
            wrap(&readers.summary(), columns).into_iter().map(|line| (line, Tone::Plain)).collect();
        lines.push((String::new(), Tone::Plain));
        let mut chosen_line = 0;
        for (index, reader) in readers.people.iter().enumerate() {
            let is_chosen = readers.is_group && index == at;
            if is_chosen {
                chosen_line = lines.len();
            }
            for (nth, part) in wrap(&reader.line(), columns).into_iter().enumerate() {
                let sign = if is_chosen && nth == 0 { "▶ " } else { "  " };
                lines.push((format!("{sign}{part}"), if is_chosen { Tone::Strong } else { Tone::Plain }));
            }
        }
        lines.push((String::new(), Tone::Plain));
        lines.extend(wrap(Readers::ARCHIVE, columns).into_iter().map(|line| (line, Tone::Plain)));
        let inside = self.frame("Who can read this", lines.len(), area);
        let first = chosen_line.saturating_add(2).saturating_sub(inside.height.into());
        for ((line, tone), down) in lines.iter().skip(first).zip(0..inside.height) {
            self.inside(inside, down, line, *tone);
        }
    }

    fn picker(&mut self, picker: &Picker, area: Rect) -> Option<Position> {
        let inside = self.frame(&picker.purpose.title(), 14, area);
        let cursor = self.typed(&picker.editor, "Search: ", inside);
        let mut top = 1_u16;
        if !picker.picked.is_empty() {
            self.inside(inside, top, &format!("Marked: {}", picker.picked.join(", ")), Tone::Strong);
            top = top.saturating_add(1);
        }
        if picker.people.is_empty() {
            self.inside(inside, top.saturating_add(1), "nobody of that name", Tone::Dim);
        }
        let rooms = usize::from(inside.height.saturating_sub(top).saturating_sub(1)).max(1);
        let first = picker.at.saturating_sub(rooms.saturating_sub(1));
        for ((index, person), down) in
            picker.people.iter().enumerate().skip(first).take(rooms).zip(top.saturating_add(1)..)
        {
            let is_picked = picker.picked.contains(&person.handle);
            let sign = if index == picker.at { "▶" } else { " " };
            let mark = match (picker.purpose.takes_several(), is_picked) {
                (false, _) => "",
                (true, true) => "[x] ",
                (true, false) => "[ ] ",
            };
            let tone = if index == picker.at { Tone::Bar } else { Tone::Plain };
            self.inside(inside, down, &format!("{sign} {mark}{}", person.line), tone);
        }
        cursor
    }

    fn asked(&mut self, ask: &Ask, area: Rect) -> Option<Position> {
        let (title, question) = ask.about.question();
        let inside = self.frame(title, 3, area);
        self.inside(inside, 0, question, Tone::Dim);
        let line = Rect { y: inside.y.saturating_add(2), height: 1, ..inside };
        self.typed(&ask.editor, "> ", line)
    }

    /// Draws a line that is being typed, so that the cursor is in it.
    fn typed(&mut self, editor: &Editor, begin: &str, area: Rect) -> Option<Position> {
        let room = usize::from(area.width).saturating_sub(width(begin).saturating_add(1));
        let (before, behind) = editor.halves();
        let mut shown = before;
        while width(shown) > room {
            let mut letters = shown.chars();
            letters.next();
            shown = letters.as_str();
        }
        self.inside(area, 0, &format!("{begin}{shown}{behind}"), Tone::Plain);
        let right = u16::try_from(width(begin).saturating_add(width(shown))).ok()?;
        Some(Position { x: area.x.saturating_add(right), y: area.y })
    }
}
