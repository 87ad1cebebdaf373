//! Draws the model. What state something is in is always said by a word or a sign; colour only helps.

mod history;
mod over;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Modifier, Style};

use super::item::Row;
use super::model::{Focus, Link, Model};
use super::open::{Open, Writing};
use super::overlay::Overlay;
use super::wrap::{Clock, break_hard, fit, width};

/// Columns from which on list and conversation stand beside each other.
const WIDE: u16 = 60;
/// Columns of the list then.
const LIST: u16 = 26;
/// Columns of the bar that shows how far a file has come: one for each 5%.
const BAR: usize = 20;
/// Most lines of the text that is being written.
const WRITING: usize = 6;
/// Lines of a conversation without its messages, below which the lines between its parts are left out.
const ROOMY: u16 = 9;

/// How something is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tone {
    Plain,
    Dim,
    Strong,
    Name,
    Own,
    Bad,
    Bar,
}

/// What is known once it was drawn.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Drawn {
    /// The entries that are to be seen.
    pub(super) seen: Vec<u64>,
    /// Whether the window shows the oldest that was read.
    pub(super) is_at_top: bool,
    pub(super) cursor: Option<Position>,
}

/// How to draw.
pub(super) struct View {
    pub(super) clock: Clock,
    pub(super) has_colours: bool,
}

/// A place to draw that nothing is drawn outside of.
struct Canvas<'a> {
    view: &'a View,
    buffer: &'a mut Buffer,
}

impl Canvas<'_> {
    fn style(&self, tone: Tone) -> Style {
        let (modifier, colour) = match tone {
            Tone::Plain => return Style::new(),
            Tone::Dim => (Modifier::DIM, None),
            Tone::Strong => (Modifier::BOLD, None),
            Tone::Name => (Modifier::BOLD, Some(Color::Cyan)),
            Tone::Own => (Modifier::BOLD, Some(Color::Green)),
            Tone::Bad => (Modifier::BOLD, Some(Color::Red)),
            Tone::Bar => (Modifier::REVERSED, None),
        };
        let style = Style::new().add_modifier(modifier);
        colour.filter(|_| self.view.has_colours).map_or(style, |colour| style.fg(colour))
    }

    /// Writes a text into the columns of a line, as far as it fits.
    fn put(&mut self, (x, y): (u16, u16), columns: u16, text: &str, tone: Tone) {
        let columns = columns.min(self.buffer.area.right().saturating_sub(x));
        if columns > 0 && self.buffer.area.contains(Position { x, y }) {
            let style = self.style(tone);
            self.buffer.set_stringn(x, y, fit(text, columns.into()), columns.into(), style);
        }
    }

    /// Writes a text at the right edge of the columns.
    fn put_right(&mut self, (x, y): (u16, u16), columns: u16, text: &str, tone: Tone) {
        let wide = u16::try_from(width(text)).unwrap_or(columns).min(columns);
        self.put((x.saturating_add(columns.saturating_sub(wide)), y), wide, text, tone);
    }

    fn fill(&mut self, (x, y): (u16, u16), columns: u16, letter: &str, tone: Tone) {
        self.put((x, y), columns, &letter.repeat(columns.into()), tone);
    }

    /// A line between two parts; that the part has the focus is seen by its weight.
    fn rule(&mut self, at: (u16, u16), columns: u16, is_focused: bool) {
        let (letter, tone) = if is_focused { ("━", Tone::Strong) } else { ("─", Tone::Dim) };
        self.fill(at, columns, letter, tone);
    }
}

impl Canvas<'_> {
    fn clear(&mut self, area: Rect) {
        for y in area.top()..area.bottom() {
            self.fill((area.x, y), area.width, " ", Tone::Plain);
        }
    }

    /// Joins a line of the conversation to the one at its left, if there is one.
    fn cross(&mut self, (x, y): (u16, u16), sign: &str) {
        if let Some(x) = x.checked_sub(1) {
            self.put((x, y), 1, sign, Tone::Dim);
        }
    }
}

impl View {
    /// Draws everything.
    pub(super) fn draw(&self, model: &mut Model, buffer: &mut Buffer) -> Drawn {
        let area = buffer.area;
        model.come_back();
        let mut canvas = Canvas { view: self, buffer };
        let mut drawn = Drawn::default();
        if area.height >= 3 {
            canvas.top(model, area);
            canvas.bottom(model, area);
            let body = Rect { y: area.y.saturating_add(1), height: area.height.saturating_sub(2), ..area };
            drawn = canvas.body(model, body);
        }
        // Between the lines at the top and at the bottom.
        let body = Rect { y: area.y.saturating_add(1), height: area.height.saturating_sub(2), ..area };
        if let Some(error) = &model.ended {
            canvas.clear(body);
            canvas.ended(error, body);
            return Drawn::default();
        }
        if let Some(Overlay::Help(at)) = &mut model.overlay {
            canvas.clear(body);
            drawn.cursor = None;
            *at = canvas.help(*at, body);
        } else if let Some(overlay) = &model.overlay {
            let beside = if area.width < WIDE { 0 } else { LIST.saturating_add(1) };
            let (x, width) = (area.x.saturating_add(beside), area.width.saturating_sub(beside));
            drawn.cursor = canvas.overlay(model, overlay, Rect { x, width, ..body });
        }
        drawn
    }
}

impl Canvas<'_> {
    fn top(&mut self, model: &Model, area: Rect) {
        let at = (area.x, area.y);
        self.fill(at, area.width, " ", Tone::Bar);
        let link = match model.link {
            _ if model.ended.is_some() => "! ended".to_owned(),
            Link::Online => "online".to_owned(),
            other => format!("! {}", other.words()),
        };
        let right = format!("{link} ");
        let room = area.width.saturating_sub(u16::try_from(width(&right)).unwrap_or(0)).saturating_sub(1);
        let own = format!(" Chancery   {} at {}", model.own.handle, model.own.organisation);
        self.put(at, room, &own, Tone::Bar);
        self.put_right(at, area.width, &right, Tone::Bar);
    }

    fn bottom(&mut self, model: &Model, area: Rect) {
        let at = (area.x, area.bottom().saturating_sub(1));
        let inner = (at.0.saturating_add(1), at.1);
        let room = area.width.saturating_sub(2);
        match (&model.notice, &model.transfer) {
            (Some(notice), _) if notice.is_error => {
                self.put(inner, room, &format!("! {}", notice.text), Tone::Bad);
            }
            (_, Some(transfer)) => {
                let done =
                    usize::try_from(transfer.percent).unwrap_or(0).checked_div(5).unwrap_or(0).min(BAR);
                let (done, open) = ("█".repeat(done), "░".repeat(BAR.saturating_sub(done)));
                self.put(inner, room, &format!("{done}{open} {}", transfer.line()), Tone::Strong);
            }
            (Some(notice), None) => self.put(inner, room, &notice.text, Tone::Strong),
            (None, None) if model.ended.is_some() => {}
            (None, None) => self.put(inner, room, hint(model), Tone::Dim),
        }
    }

    fn body(&mut self, model: &mut Model, area: Rect) -> Drawn {
        if area.width < WIDE {
            if model.open.is_none() || model.focus == Focus::List {
                self.list(model, area);
                return Drawn::default();
            }
            return self.conversation(model, area);
        }
        let list = Rect { width: LIST, ..area };
        self.list(model, list);
        let line = area.x.saturating_add(LIST);
        for y in area.top()..area.bottom() {
            self.put((line, y), 1, "│", Tone::Dim);
        }
        let x = line.saturating_add(1);
        self.conversation(model, Rect { x, width: area.right().saturating_sub(x), ..area })
    }

    fn list(&mut self, model: &Model, area: Rect) {
        let inner = area.width.saturating_sub(2);
        let x = area.x.saturating_add(1);
        let is_focused = model.focus == Focus::List;
        self.put((x, area.y), inner, "Conversations", Tone::Strong);
        let unread: u64 = model.rows.iter().map(|row| row.unread).sum();
        let new = if unread == 0 { "nothing new".to_owned() } else { format!("{unread} new") };
        self.put((x, area.y.saturating_add(1)), inner, &new, Tone::Dim);
        self.rule((area.x, area.y.saturating_add(2)), area.width, is_focused);
        if model.rows.is_empty() {
            self.put((x, area.y.saturating_add(4)), inner, "None yet.", Tone::Plain);
            self.put((x, area.y.saturating_add(5)), inner, "F3: write to somebody", Tone::Plain);
        }
        let rooms = usize::from(area.height.saturating_sub(3)).checked_div(2).unwrap_or(0).max(1);
        let first = model.at.saturating_sub(rooms.saturating_sub(1));
        for (index, row) in model.rows.iter().enumerate().skip(first).take(rooms) {
            let down = u16::try_from(index.saturating_sub(first)).unwrap_or(0).saturating_mul(2);
            let y = area.y.saturating_add(3).saturating_add(down);
            if y < area.bottom() {
                self.row(model, (index, row), Rect { y, height: 2, ..area });
            }
        }
    }

    fn row(&mut self, model: &Model, (index, row): (usize, &Row), area: Rect) {
        let is_chosen = model.focus == Focus::List && index == model.at;
        let is_open = model.open.as_ref().is_some_and(|open| open.row.id == row.id);
        let sign = match (is_chosen, is_open) {
            (true, _) => "▶",
            (false, true) => "▌",
            (false, false) => " ",
        };
        let x = area.x.saturating_add(2);
        let columns = area.width.saturating_sub(3);
        let time = self.view.clock.short(row.at, model.now);
        let room = columns.saturating_sub(u16::try_from(width(&time)).unwrap_or(0)).saturating_sub(1);
        let tone = match (is_chosen, row.unread > 0) {
            (true, _) => Tone::Bar,
            (_, true) => Tone::Strong,
            _ => Tone::Plain,
        };
        if is_chosen {
            self.fill((area.x, area.y), area.width, " ", Tone::Bar);
        }
        self.put((area.x, area.y), 1, sign, tone);
        self.put((x, area.y), room, &row.title, tone);
        self.put_right((x, area.y), columns, &time, if is_chosen { Tone::Bar } else { Tone::Dim });
        let below = (x, area.y.saturating_add(1));
        let draft = row.draft.as_ref().filter(|_| !is_open);
        match (row.unread, draft) {
            (0, None) => self.put(below, columns, &row.last, Tone::Dim),
            (0, Some(draft)) => {
                self.put(below, columns, &format!("draft: {}", crate::text::tame_line(draft)), Tone::Dim);
            }
            (unread, _) => self.put(below, columns, &format!("● {unread} new  {}", row.last), Tone::Strong),
        }
    }

    fn conversation(&mut self, model: &mut Model, area: Rect) -> Drawn {
        let x = area.x.saturating_add(1);
        let columns = area.width.saturating_sub(2);
        if model.open.is_none() {
            for (line, down) in WELCOME.iter().zip(1_u16..) {
                self.put((x, area.y.saturating_add(down)), columns, line, Tone::Plain);
            }
            return Drawn::default();
        }
        let (focus, writers) = (model.focus, context(model));
        let Some(open) = &mut model.open else { return Drawn::default() };
        self.put((x, area.y), columns, &open.row.title, Tone::Strong);
        let readers = format!("F2: {}", open.readers.summary());
        let tone = if open.readers.closed.is_some() { Tone::Bad } else { Tone::Plain };
        self.put((x, area.y.saturating_add(1)), columns, &readers, tone);
        let is_roomy = area.height >= ROOMY;
        let mut top = area.y.saturating_add(2);
        if is_roomy {
            self.rule((area.x, top), area.width, focus == Focus::Messages);
            self.cross((area.x, top), "┼");
            top = top.saturating_add(1);
        }
        let (height, cursor) =
            self.writing(open, focus == Focus::Writing, Rect { x, width: columns, ..area });
        let mut bottom = area.bottom().saturating_sub(height);
        if is_roomy {
            bottom = bottom.saturating_sub(1);
            self.rule((area.x, bottom), area.width, focus == Focus::Writing);
            self.cross((area.x, bottom), "├");
        }
        if let Some(text) = writers {
            bottom = bottom.saturating_sub(1);
            self.put((x, bottom), columns, &text, Tone::Dim);
        }
        let window = Rect { x: area.x, y: top, width: area.width, height: bottom.saturating_sub(top) };
        let mut drawn = self.messages(open, focus == Focus::Messages, window);
        if open.below > 0 {
            let y = area.bottom().saturating_sub(height.saturating_add(1));
            self.put_right((area.x, y), columns, &format!(" ↓ {} lines more ", open.below), Tone::Bar);
        }
        model.window = window.height.into();
        drawn.cursor = cursor;
        drawn
    }

    /// Draws the text that is being written at the bottom; returns its height, and where the cursor is.
    fn writing(&mut self, open: &Open, is_focused: bool, area: Rect) -> (u16, Option<Position>) {
        let columns = usize::from(area.width.saturating_sub(2));
        let (before, _) = open.editor.halves();
        let lines = break_hard(open.editor.text(), columns);
        let up_to = break_hard(before, columns);
        let row = up_to.len().saturating_sub(1);
        let first = row.saturating_sub(WRITING.saturating_sub(1));
        let shown: Vec<&String> = lines.iter().skip(first).take(WRITING).collect();
        let most = area.height.saturating_sub(3).max(1);
        let height = u16::try_from(shown.len()).unwrap_or(1).clamp(1, most);
        let y = area.bottom().saturating_sub(height);
        self.put((area.x, y), 1, ">", if is_focused { Tone::Strong } else { Tone::Dim });
        let x = area.x.saturating_add(2);
        if open.editor.is_empty() {
            let text = if is_focused { "write a message" } else { "Tab: write a message" };
            self.put((x, y), area.width.saturating_sub(2), text, Tone::Dim);
        }
        for (line, down) in shown.iter().zip(0_u16..height) {
            self.put((x, y.saturating_add(down)), area.width.saturating_sub(2), line, Tone::Plain);
        }
        let down = u16::try_from(row.saturating_sub(first)).unwrap_or(0);
        let right = up_to.last().map_or(0, |line| u16::try_from(width(line)).unwrap_or(0));
        let cursor = Position { x: x.saturating_add(right), y: y.saturating_add(down) };
        (height, Some(cursor).filter(|_| is_focused))
    }

    fn messages(&mut self, open: &mut Open, is_focused: bool, window: Rect) -> Drawn {
        let columns = window.width.saturating_sub(3);
        let height = usize::from(window.height);
        let mut lines = history::lines(open, columns.into(), &self.view.clock);
        let follows = std::mem::take(&mut open.follow_new);
        let first_new = open.first_new().filter(|_| follows);
        let is_above =
            history::place(&lines, first_new).is_some_and(|place| place.saturating_add(height) < lines.len());
        if is_above && open.new_from != first_new {
            open.new_from = first_new;
            lines = history::lines(open, columns.into(), &self.view.clock);
        }
        let most = lines.len().saturating_sub(height);
        let last = open.entries.keys().next_back().copied();
        if open.below > 0 && open.drawn.0 != last {
            // Who reads what stands above goes on reading when something comes below.
            open.below = open.below.saturating_add(lines.len().saturating_sub(open.drawn.1));
        }
        open.drawn = (last, lines.len());
        if is_above {
            // What was not seen is read from its beginning, which stands below the line that says so.
            let first = history::place(&lines, first_new);
            open.below = most.saturating_sub(first.unwrap_or(most).saturating_sub(1));
        }
        open.below = open.below.min(most);
        if std::mem::take(&mut open.follow) {
            let first = lines.iter().position(|line| line.of == open.chosen).unwrap_or(0);
            let behind = lines.iter().rposition(|line| line.of == open.chosen).unwrap_or(0).saturating_add(1);
            // Its beginning counts more than its end.
            let begin = most.saturating_sub(open.below).max(behind.saturating_sub(height)).min(first);
            open.below = most.saturating_sub(begin);
        }
        let begin = most.saturating_sub(open.below);
        let mut seen = Vec::new();
        // The newest stands next to what is written, also when there is little.
        let empty = u16::try_from(height.saturating_sub(lines.len())).unwrap_or(0);
        for ((at, line), down) in lines.iter().enumerate().skip(begin).zip(empty..window.height) {
            let y = window.y.saturating_add(down);
            let is_chosen = is_focused && line.of.is_some() && line.of == open.chosen;
            if is_chosen {
                self.put((window.x, y), 1, "▌", Tone::Strong);
            }
            let x = window.x.saturating_add(1);
            let room = columns.saturating_add(1);
            if line.is_centred {
                let wide = u16::try_from(width(&line.text)).unwrap_or(0);
                let left = columns.saturating_sub(wide).checked_div(2).unwrap_or(0);
                self.put((x.saturating_add(left), y), wide, &line.text, line.tone);
            } else {
                self.put((x, y), room, &line.text, line.tone);
                self.put_right((x, y), columns, &line.right, line.right_tone);
            }
            // Who has not seen its end has not read it.
            let next = lines.get(at.saturating_add(1));
            if next.is_none_or(|next| next.of != line.of) {
                seen.extend(line.of);
            }
        }
        Drawn { seen, is_at_top: begin == 0, cursor: None }
    }
}

/// What stands where no conversation is open.
const WELCOME: &[&str] = &[
    "Choose a conversation with Up and Down, and open it",
    "with Enter.",
    "",
    "F3  write to somebody of your organisation",
    "F4  found a group",
    "F1  every key",
];

/// Who is writing, or what is being written.
fn context(model: &Model) -> Option<String> {
    let open = model.open.as_ref()?;
    let quote =
        |which| open.message(which).map_or_else(String::new, |said| format!("{}: {}", said.who, said.line()));
    match open.writing {
        Writing::Reply(which) => return Some(format!("Replying (Esc stops) to {}", quote(which))),
        Writing::Edit(_) => return Some("Editing your message (Esc leaves it as it was)".to_owned()),
        Writing::New => {}
    }
    let writers = model.writers();
    match writers.as_slice() {
        [] => None,
        [one] => Some(format!("{one} is writing …")),
        several => Some(format!("{} are writing …", several.join(", "))),
    }
}

/// The keys that are of use now.
fn hint(model: &Model) -> &'static str {
    match (&model.overlay, model.focus) {
        (Some(Overlay::Help(_)), _) => "Up Down scroll   Esc close",
        (Some(Overlay::Who(_)), _) if model.open.as_ref().is_some_and(|open| open.row.is_group) => {
            "a add   x remove   t rename   l leave   Esc close"
        }
        (Some(Overlay::Who(_)), _) => "Esc close",
        (Some(Overlay::Pick(picker)), _) if picker.purpose.takes_several() => {
            "Up Down choose   Tab mark   Enter take   Esc close"
        }
        (Some(Overlay::Pick(_)), _) => "Up Down choose   Enter write to them   Esc close",
        (Some(Overlay::Ask(_)), _) => "Enter do it   Esc close",
        (Some(Overlay::Confirm { .. }), _) => "y yes   n no",
        (None, Focus::List) => {
            "Up Down choose   Enter open   n write   g group   w who reads   ? help   q end"
        }
        (None, Focus::Messages) => {
            "r reply  + react  e edit  d delete  s save  w who reads  Esc back  ? help"
        }
        (None, Focus::Writing) => {
            "Enter send   Up messages   Tab list   F2 who reads   Ctrl-F file   F1 help"
        }
    }
}
