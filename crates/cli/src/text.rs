//! Values as text: durations, times, pins, and text of others made safe for a terminal.

use std::time::Duration;

pub(crate) use chancery::json::{hex, rfc3339};

/// Reads `90s`, `30m`, `12h` or `7d`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a number and a unit, as in 90s, 30m, 12h or 7d".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text.trim_end_matches(unit).parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).filter(|&total| total > 0).map(Duration::from_secs).ok_or_else(wrong)
}

/// Reads a number of seconds, also a fraction.
pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    // A year and more is a slip of the keyboard, and far from overflowing any clock.
    if !(0.0..=31_536_000.0).contains(&seconds) {
        return Err("expected 0 to 31536000 seconds".to_owned());
    }
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Reads 64 hexadecimal digits.
pub(crate) fn parse_pin(text: &str) -> Result<[u8; 32], String> {
    unhex(text)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| "expected 64 hexadecimal digits, as the relay prints them".to_owned())
}

/// Reads hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| (byte << 4) | digit)).collect())
}

/// A time in the largest unit that it is a whole number of.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let unit = units.into_iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    match unit {
        Some((unit, name)) => format!("{}{name}", seconds.checked_div(unit).unwrap_or_default()),
        None => format!("{seconds}s"),
    }
}

/// A time for people, to the minute, in UTC.
pub(crate) fn short_time(millis: u64) -> String {
    rfc3339(millis).chars().take(16).map(|c| if c == 'T' { ' ' } else { c }).collect()
}

/// Makes somebody else's text harmless on a terminal: no control characters, so no escape sequences, and
/// nothing that turns the direction of writing round. Further lines are indented, so that no text can pose
/// as a line of its own.
pub(crate) fn tame(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\n    "),
            '\t' => safe.push('\t'),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}' => {
                safe.push(char::REPLACEMENT_CHARACTER);
            }
            '\u{2028}' | '\u{2029}' => safe.push(char::REPLACEMENT_CHARACTER),
            c if c.is_control() => safe.push(char::REPLACEMENT_CHARACTER),
            c => safe.push(c),
        }
    }
    safe
}

/// As [`tame`], on one line.
pub(crate) fn tame_line(text: &str) -> String {
    tame(&text.replace(['\n', '\t'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(parse_duration("12h"), Ok(Duration::from_secs(43_200)));
        assert_eq!(parse_duration("30m"), Ok(Duration::from_secs(1_800)));
        assert_eq!(parse_duration("1s"), Ok(Duration::from_secs(1)));
        for wrong in [
            "",
            "7",
            "d",
            "-1d",
            "1.5h",
            "7w",
            "0s",
            "7dd ",
            "99999999999999999999d",
            "213503982334602d",
            "1ß",
        ] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_have_the_largest_whole_unit() {
        let text = |seconds| span(Duration::from_secs(seconds));
        assert_eq!([text(604_800), text(5_400), text(61), text(0)], ["7d", "90m", "61s", "0s"]);
    }

    #[test]
    fn seconds_are_not_negative_endless_or_no_number() {
        assert_eq!(parse_seconds("2.5"), Ok(Duration::from_millis(2_500)));
        assert_eq!(parse_seconds("0"), Ok(Duration::ZERO));
        for wrong in ["-1", "NaN", "inf", "1e300", "soon"] {
            assert!(parse_seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pins_are_64_digits() {
        assert_eq!(parse_pin(&"a5".repeat(32)), Ok([0xA5; 32]));
        for wrong in ["", "a5", &"a5".repeat(33), &"g5".repeat(32), &"ä".repeat(32)] {
            assert!(parse_pin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hexadecimal_is_read_as_it_is_written() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(unhex(&hex(&bytes)), Some(bytes));
        assert_eq!(unhex("abc"), None);
    }

    #[test]
    fn times_for_people_end_at_the_minute() {
        assert_eq!(short_time(1_709_251_199_999), "2024-02-29 23:59");
    }

    #[test]
    fn text_of_others_cannot_steer_the_terminal() {
        assert_eq!(tame("a\u{1b}[2Jb\u{9b}c\rd"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
        assert_eq!(tame("gpj.\u{202e}exe"), "gpj.\u{fffd}exe");
        assert_eq!(tame("one\n[2026-01-01 00:00] boss: two"), "one\n    [2026-01-01 00:00] boss: two");
        assert_eq!(tame_line("a\nb"), "a b");
    }
}
