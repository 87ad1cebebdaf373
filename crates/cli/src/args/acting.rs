//! What members type to act on messages: reply, edit, delete, react, ask and answer.

use std::time::Duration;

use clap::Args;

use super::{FileArgs, HomeArgs, MentionArgs};
use crate::text;

/// Which message, of which conversation, from which device, and how long to wait.
#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// The other member's handle or identifier; with --group, a group.
    pub(crate) who: String,
    /// The message: its `id` as `--json` prints it, 4 or more digits of the beginning as `history --ids` prints, or `last`.
    pub(crate) message: String,
    #[command(flatten)]
    pub(crate) at: PlaceArgs,
}

/// Of what kind the conversation is, from which device, and how long to wait.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// WHO is a group: its name, identifier, or the identifier's beginning.
    #[arg(long)]
    pub(crate) group: bool,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
    /// Seconds to wait for the relay.
    #[arg(long, value_name = "S", default_value = "60", value_parser = text::parse_seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chancery reply bob last \"Gladly\"
  chancery reply Crew 3fa9 \"The menu:\" --file menu.pdf --group")]
pub(crate) struct ReplyArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// The text; several words are joined by spaces.
    #[arg(required_unless_present = "file")]
    pub(crate) text: Vec<String>,
    #[command(flatten)]
    pub(crate) files: FileArgs,
    #[command(flatten)]
    pub(crate) mentions: MentionArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Only what you wrote yourself; everybody sees that it was edited. Whom the new text shall name is said again.

Examples:
  chancery edit bob last \"Lunch at one?\"
  chancery edit Crew 3fa9 \"@carol has the key\" --mention carol --group")]
pub(crate) struct EditArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// The new text; several words are joined by spaces.
    #[arg(required = true)]
    pub(crate) text: Vec<String>,
    #[command(flatten)]
    pub(crate) mentions: MentionArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Only what you wrote yourself. Everybody's devices wipe it and keep that it was there; who has read it has read it, and files
that were saved stay.

Example:
  chancery delete bob last")]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chancery react bob last 👍
  chancery react Crew 3fa9 👍 --remove --group")]
pub(crate) struct ReactArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// What to react with: at most 32 bytes.
    pub(crate) emoji: String,
    /// Take it back.
    #[arg(long)]
    pub(crate) remove: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A field is ID=LABEL; a choice ID=LABEL:OPTION|OPTION. A `!` behind the ID says that it has to be answered.

Examples:
  chancery form bob \"Laptop for Carol, 1,400 €\" --approval 'ok!=Approved?'
  chancery form Crew \"Lunch\" --choice 'dish!=What?:soup|stew' --number 'guests=How many?' --text 'note=Anything else?' --group")]
pub(crate) struct FormArgs {
    /// The member who is asked; with --group, a group.
    pub(crate) who: String,
    /// What it is about.
    pub(crate) title: String,
    /// Ask for `yes` or `no`.
    #[arg(long, value_name = "FIELD")]
    pub(crate) approval: Vec<String>,
    /// Ask for one of several options.
    #[arg(long, value_name = "FIELD")]
    pub(crate) choice: Vec<String>,
    /// Ask for a number.
    #[arg(long, value_name = "FIELD")]
    pub(crate) number: Vec<String>,
    /// Ask for words.
    #[arg(long, value_name = "FIELD")]
    pub(crate) text: Vec<String>,
    #[command(flatten)]
    pub(crate) at: PlaceArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
An answer takes the place of your earlier one.

Examples:
  chancery answer alice last ok=yes
  chancery answer Crew 3fa9 dish=soup guests=2 --group")]
pub(crate) struct AnswerArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// The fields' identifiers and what you answer.
    #[arg(required = true, value_name = "ID=VALUE")]
    pub(crate) values: Vec<String>,
}
