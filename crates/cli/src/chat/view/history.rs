//! A conversation as lines of a certain width.

use super::Tone;
use crate::chat::item::{Entry, Said, State, What};
use crate::chat::open::Open;
use crate::chat::wrap::{Clock, fit, width, wrap};

/// How long somebody's messages stand under one name, in milliseconds (5 min).
const TOGETHER: u64 = 300_000;

/// A line of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) tone: Tone,
    /// What stands at the right edge.
    pub(super) right: String,
    pub(super) right_tone: Tone,
    /// The entry that it belongs to.
    pub(super) of: Option<u64>,
    pub(super) is_centred: bool,
}

impl Line {
    fn new(text: impl Into<String>, tone: Tone, of: Option<u64>) -> Self {
        let (right, right_tone) = (String::new(), Tone::Dim);
        Self { text: text.into(), tone, right, right_tone, of, is_centred: false }
    }

    fn rule(text: &str, columns: usize, tone: Tone) -> Self {
        let text = fit(&format!("── {text} ──"), columns);
        Self { is_centred: true, ..Self::new(text, tone, None) }
    }
}

/// Lays a conversation out in so many columns.
pub(super) fn lines(open: &Open, columns: usize, clock: &Clock) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut before: Option<&Entry> = None;
    if open.older.is_none() && open.entries.is_empty() {
        lines.push(Line::rule("nothing was written here yet", columns, Tone::Dim));
    }
    let mut entries = open.entries.values().peekable();
    while let Some(entry) = entries.next() {
        let is_new_day = before.is_none_or(|it| clock.day(it.at) != clock.day(entry.at));
        if is_new_day {
            space(&mut lines);
            lines.push(Line::rule(&clock.day(entry.at), columns, Tone::Dim));
        }
        let is_first_new = open.new_from == Some(entry.position);
        if is_first_new {
            space(&mut lines);
            lines.push(Line::rule("new", columns, Tone::Strong));
        }
        let follows = !is_new_day && !is_first_new && before.is_some_and(|before| belongs(before, entry));
        match &entry.what {
            What::Said(said) => {
                if !follows {
                    space(&mut lines);
                    lines.push(head(entry, said, columns, clock));
                }
                body(&mut lines, entry.position, said, columns);
                // Once is enough for several that stand together.
                let next = entries.peek().filter(|next| belongs(entry, next)).and_then(|next| next.said());
                if next.is_none_or(|next| next.state != said.state) {
                    state(&mut lines, said.state, columns, Some(entry.position));
                }
            }
            What::Happened(text) => {
                if before.is_none_or(|it| it.said().is_some()) {
                    space(&mut lines);
                }
                let text = format!("* {text}");
                let all = wrap(&text, columns.saturating_sub(6));
                lines.extend(all.into_iter().map(|text| Line::new(text, Tone::Dim, Some(entry.position))));
                if let Some(line) = lines.last_mut() {
                    line.right = clock.time(entry.at);
                }
            }
        }
        before = Some(entry);
    }
    lines
}

/// The line at which an entry begins.
pub(super) fn place(lines: &[Line], of: Option<u64>) -> Option<usize> {
    lines.iter().position(|line| line.of.is_some() && line.of == of)
}

/// An empty line, if there is something above.
fn space(lines: &mut Vec<Line>) {
    if lines.last().is_some_and(|line| !line.is_centred) {
        lines.push(Line::new("", Tone::Plain, None));
    }
}

fn belongs(before: &Entry, entry: &Entry) -> bool {
    let is_soon = entry.at.saturating_sub(before.at) < TOGETHER;
    let pair = before.said().zip(entry.said());
    is_soon && pair.is_some_and(|(one, two)| one.key.author == two.key.author && one.mark == two.mark)
}

fn head(entry: &Entry, said: &Said, columns: usize, clock: &Clock) -> Line {
    let mark = if said.mark.is_empty() { String::new() } else { format!(" ({})", said.mark) };
    let time = clock.time(entry.at);
    let text = fit(&format!("{}{mark}", said.who), columns.saturating_sub(width(&time).saturating_add(1)));
    let tone = if said.is_mine { Tone::Own } else { Tone::Name };
    Line { right: time, ..Line::new(text, tone, Some(entry.position)) }
}

fn body(lines: &mut Vec<Line>, position: u64, said: &Said, columns: usize) {
    let of = Some(position);
    if let Some(quote) = &said.quote {
        lines.push(Line::new(fit(&format!("> {quote}"), columns), Tone::Dim, of));
    }
    let tone = match (said.is_deleted, said.names_me) {
        (true, _) => Tone::Dim,
        (_, true) => Tone::Strong,
        _ => Tone::Plain,
    };
    if !said.text.is_empty() || said.files.is_empty() && said.form.is_empty() {
        let edited = if said.is_edited { " (edited)" } else { "" };
        let all = wrap(&format!("{}{edited}", said.text), columns);
        lines.extend(all.into_iter().map(|text| Line::new(text, tone, of)));
    }
    for file in &said.files {
        let all = wrap(&format!("[file] {}", file.line()), columns);
        lines.extend(all.into_iter().map(|text| Line::new(text, Tone::Plain, of)));
    }
    for line in &said.form {
        let all = wrap(line, columns);
        lines.extend(all.into_iter().map(|text| Line::new(text, Tone::Plain, of)));
    }
    if !said.reactions.is_empty() {
        let all: Vec<_> = said.reactions.iter().map(|(emoji, who)| format!("{emoji} {who}")).collect();
        let all = wrap(&all.join("  "), columns);
        lines.extend(all.into_iter().map(|text| Line::new(text, Tone::Dim, of)));
    }
}

/// What became of it stands behind it where there is room, else below.
fn state(lines: &mut Vec<Line>, state: State, columns: usize, of: Option<u64>) {
    let word = state.word();
    if word.is_empty() {
        return;
    }
    let room = lines.last().map_or(0, |line| columns.saturating_sub(width(&line.text)));
    if room < width(&word).saturating_add(2) {
        lines.push(Line::new("", Tone::Plain, of));
    }
    if let Some(line) = lines.last_mut() {
        line.right = word;
        line.right_tone = if state == State::Failed { Tone::Bad } else { Tone::Dim };
    }
}
