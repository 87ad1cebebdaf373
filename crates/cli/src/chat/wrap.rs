//! Text in columns, as terminals count them, and times as people here read them.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// Columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// Cuts a text to so many columns; that it was cut is seen.
pub(super) fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let (mut cut, mut used) = (String::new(), 1_usize);
    for letter in text.graphemes(true) {
        used = used.saturating_add(width(letter));
        if used > columns {
            break;
        }
        cut.push_str(letter);
    }
    if columns > 0 {
        cut.push('…');
    }
    cut
}

/// Breaks a text into lines of at most so many columns, between words where that is possible.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(2);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split_inclusive(' ') {
            let is_too_long = width(&line).saturating_add(width(word.trim_end())) > columns;
            if is_too_long && !line.is_empty() {
                lines.push(std::mem::take(&mut line).trim_end().to_owned());
            }
            if width(word.trim_end()) > columns {
                let mut parts = break_hard(word, columns);
                line = parts.pop().unwrap_or_default();
                lines.extend(parts);
            } else {
                line.push_str(word);
            }
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// Breaks a text at line breaks and wherever a line is full.
pub(super) fn break_hard(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(2);
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0_usize);
    for letter in text.graphemes(true) {
        let wide = width(letter);
        if letter == "\n" || used.saturating_add(wide) > columns {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if letter != "\n" {
            line.push_str(letter);
            used = used.saturating_add(wide);
        }
    }
    lines.push(line);
    lines
}

/// Where people are, as far as it concerns the time of day.
#[derive(Debug, Clone)]
pub(super) struct Clock(TimeZone);

impl Clock {
    /// As the system or `TZ` says.
    pub(super) fn system() -> Self {
        Self(TimeZone::system())
    }

    #[cfg(test)]
    pub(super) fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    fn zoned(&self, millis: u64) -> Option<Zoned> {
        let millis = i64::try_from(millis).ok()?;
        Some(Timestamp::from_millisecond(millis).ok()?.to_zoned(self.0.clone()))
    }

    pub(super) fn time(&self, millis: u64) -> String {
        self.zoned(millis).map_or_else(String::new, |at| at.strftime("%H:%M").to_string())
    }

    pub(super) fn day(&self, millis: u64) -> String {
        self.zoned(millis).map_or_else(String::new, |at| at.strftime("%A, %-d %B %Y").to_string())
    }

    /// The time if it was today, else the day.
    pub(super) fn short(&self, millis: u64, now: u64) -> String {
        match (self.zoned(millis), self.zoned(now)) {
            _ if millis == 0 => String::new(),
            (Some(at), Some(now)) if at.date() == now.date() => self.time(millis),
            (Some(at), Some(now)) if at.year() == now.year() => at.strftime("%-d %b").to_string(),
            (Some(at), _) => at.strftime("%Y-%m-%d").to_string(),
            (None, _) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_long_words_anywhere() {
        assert_eq!(wrap("Tea at four, please", 8), ["Tea at", "four,", "please"]);
        assert_eq!(wrap("a\n\nb", 8), ["a", "", "b"]);
        assert_eq!(wrap("see https://acme.example/x", 10), ["see", "https://ac", "me.example", "/x"]);
        assert_eq!(wrap("", 8), [""]);
        assert_eq!(wrap("abc", 0), ["ab", "c"], "a window of no width");
    }

    #[test]
    fn wide_letters_take_two_columns_and_combined_ones_stay_whole() {
        assert_eq!(wrap("漢字漢字", 5), ["漢字", "漢字"]);
        assert_eq!(break_hard("e\u{301}e\u{301}e\u{301}", 2), ["e\u{301}e\u{301}", "e\u{301}"]);
        assert_eq!(fit("漢字漢字", 5), "漢字…");
        assert_eq!(width("漢e\u{301}"), 3);
        assert_eq!([fit("abc", 3), fit("abcd", 3), fit("abc", 0)], ["abc", "ab…", ""]);
    }

    #[test]
    fn writing_from_right_to_left_passes_through() {
        assert_eq!(wrap("שלום עולם", 5), ["שלום", "עולם"]);
    }

    #[test]
    fn times_are_of_today_this_year_or_before() {
        let clock = Clock::utc();
        let now = 1_709_251_199_999;
        assert_eq!(clock.time(now), "23:59");
        assert_eq!(clock.day(now), "Thursday, 29 February 2024");
        assert_eq!(clock.short(now, now), "23:59");
        assert_eq!(clock.short(now - 86_400_000, now), "28 Feb");
        assert_eq!(clock.short(now - 40_000_000_000, now), "2022-11-24");
        assert_eq!([clock.short(0, now), clock.time(u64::MAX)], ["", ""]);
    }
}
