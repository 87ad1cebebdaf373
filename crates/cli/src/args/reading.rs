//! What can be typed about reading.

use std::time::Duration;

use clap::Args;

use crate::args::{HomeArgs, TimeLimit};
use crate::text;

#[derive(Debug, Args)]
#[command(after_help = "\
`chancery receive` marks what it prints as read unless it is told not to. Authors are told as far as your settings and
your organisation's policy let it.

Examples:
  chancery read bob
  chancery read Crew")]
pub(crate) struct ReadArgs {
    /// The other member's handle or identifier, or the group's name or identifier.
    pub(crate) who: String,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
    /// Seconds to wait for the relay.
    #[arg(long, value_name = "S", default_value = "10", value_parser = text::parse_seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Prints what is set; it holds on all your devices. With delivery receipts off, others' programs are told not to show what
has come; that it has come their devices know all the same, or they would send it again.

Examples:
  chancery settings
  chancery settings --read-receipts off --typing off")]
pub(crate) struct SettingsArgs {
    /// Whether authors are told that you have read their messages: on or off.
    #[arg(long, value_name = "WHICH", value_parser = parse_switch)]
    pub(crate) read_receipts: Option<Switch>,
    /// Whether authors are shown that their messages have come: on or off.
    #[arg(long, value_name = "WHICH", value_parser = parse_switch)]
    pub(crate) delivery_receipts: Option<Switch>,
    /// Whether others are told that you are writing to them, and you that they are: on or off.
    #[arg(long, value_name = "WHICH", value_parser = parse_switch)]
    pub(crate) typing: Option<Switch>,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
    /// Seconds to wait for the relay.
    #[arg(long, value_name = "S", default_value = "10", value_parser = text::parse_seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "\
What you write from now on is deleted that long after it was read, on each device by itself, and on yours that long after
it was sent. A screenshot or another program keeps what it likes. Without a time it says what is set.

Examples:
  chancery disappearing bob 1d
  chancery disappearing bob off")]
pub(crate) struct DisappearingArgs {
    /// The other member's handle or identifier.
    pub(crate) who: String,
    /// How long, from 1s to 366d, as in 90s, 30m, 12h, 7d; or `off`.
    #[arg(value_name = "TIME", value_parser = parse_time)]
    pub(crate) after: Option<TimeLimit>,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
    /// Seconds to wait for the relay.
    #[arg(long, value_name = "S", default_value = "10", value_parser = text::parse_seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "\
For programs that show it while somebody types. Told at once or not at all, at most every 5 seconds, and it holds for 15.
Only devices with which messages went to and fro within the last 10 minutes are told, unless your settings, theirs or
your organisation's policy say no. Groups are told nothing.

Examples:
  chancery typing bob
  chancery typing bob --stop")]
pub(crate) struct TypingArgs {
    /// The other member's handle or identifier.
    pub(crate) who: String,
    /// Say that you no longer are.
    #[arg(long)]
    pub(crate) stop: bool,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Switch(pub(crate) bool);

fn parse_switch(text: &str) -> Result<Switch, String> {
    match text {
        "on" => Ok(Switch(true)),
        "off" => Ok(Switch(false)),
        _ => Err("expected on or off".to_owned()),
    }
}

fn parse_time(text: &str) -> Result<TimeLimit, String> {
    match text {
        "off" => Ok(TimeLimit(None)),
        text => text::parse_duration(text).map(|time| TimeLimit(Some(time))),
    }
}
