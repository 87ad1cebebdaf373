//! Values as text: durations, times, pins, and text of others made safe for a terminal.

use std::time::Duration;

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

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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

/// A time as `2026-11-22T08:30:00.125Z`.
pub(crate) fn rfc3339(millis: u64) -> String {
    let (year, month, day) = date(millis / DAY);
    let rest = millis % DAY;
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, milli) = (rest / 1_000 % 60, rest % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// A time for people, to the minute, in UTC.
pub(crate) fn short_time(millis: u64) -> String {
    rfc3339(millis).chars().take(16).map(|c| if c == 'T' { ' ' } else { c }).collect()
}

/// Milliseconds of a day.
const DAY: u64 = 86_400_000;

/// The proleptic Gregorian date of a day counted from 1970-01-01.
///
/// Years are taken to begin in March, so that the leap day is a year's last (Howard Hinnant,
/// "chrono-compatible low-level date algorithms", `civil_from_days`).
#[expect(
    clippy::arithmetic_side_effects,
    reason = "a day number is below 2^64 / 86,400,000, far from overflow"
)]
const fn date(days: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / ERA, shifted % ERA);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / (ERA - 1)) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day)
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
    fn times_are_written_as_in_rfc_3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(1_709_251_199_999), "2024-02-29T23:59:59.999Z");
        assert_eq!(rfc3339(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
        assert_eq!(short_time(1_709_251_199_999), "2024-02-29 23:59");
        // A peer chooses this number; it must not bring the command down.
        let _ = rfc3339(u64::MAX);
    }

    #[test]
    fn text_of_others_cannot_steer_the_terminal() {
        assert_eq!(tame("a\u{1b}[2Jb\u{9b}c\rd"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
        assert_eq!(tame("gpj.\u{202e}exe"), "gpj.\u{fffd}exe");
        assert_eq!(tame("one\n[2026-01-01 00:00] boss: two"), "one\n    [2026-01-01 00:00] boss: two");
        assert_eq!(tame_line("a\nb"), "a b");
    }
}
