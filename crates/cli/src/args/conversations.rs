//! What can be typed about conversations, and with whom they are.

use clap::Args;

use crate::args::HomeArgs;

#[derive(Debug, Args)]
#[command(after_help = "\
Reads what this device has stored, oldest first; the relay is not asked.

With --last it may be a group too, by name or identifier. With --mark-read all of it counts as read from then on, as
`chancery conversations` shows.

Examples:
  chancery history bob
  chancery history Crew --last 20 --mark-read")]
pub(crate) struct HistoryArgs {
    /// The other member's handle or identifier.
    pub(crate) who: String,
    /// Print only the last N entries.
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<usize>,
    /// Mark the conversation as read once it is printed.
    #[arg(long)]
    pub(crate) mark_read: bool,
    /// Print before each message how its identifier begins, for `reply`, `edit` and the like.
    #[arg(long)]
    pub(crate) ids: bool,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The newest first, with how many messages of others were not marked as read, what was written or done last, and what was
begun and not sent. Reads what this device has stored; the relay is not asked.

Example:
  chancery conversations --json")]
pub(crate) struct ConversationsArgs {
    #[command(flatten)]
    pub(crate) home: HomeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
In the order of their handles, without who has left, as the directory was when this device was connected last. A guest
sees whom it may write to.

Examples:
  chancery members
  chancery members sales --json")]
pub(crate) struct MembersArgs {
    /// Print only those in whose handle, name or unit this stands, in upper or lower case.
    pub(crate) filter: Option<String>,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Every member for whom messages of the conversation are encrypted from now on, with the devices, as this device knows it. There
is nobody else: neither relay nor organisation has a key.

Examples:
  chancery readers bob
  chancery readers Crew --json")]
pub(crate) struct ReadersArgs {
    /// The other member, by handle or identifier, or the group, by name or identifier.
    pub(crate) who: String,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A draft stays on this device. Without a text it is printed; sending a message leaves it.

Examples:
  chancery draft bob \"Dear Bob,\"
  chancery draft bob
  chancery draft bob --clear")]
pub(crate) struct DraftArgs {
    /// The other member's handle or identifier, or the group's name or identifier.
    pub(crate) who: String,
    /// The text, `-` to read it from stdin; several words are joined by spaces.
    pub(crate) text: Vec<String>,
    /// Forget the draft.
    #[arg(long, conflicts_with = "text")]
    pub(crate) clear: bool,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
}
