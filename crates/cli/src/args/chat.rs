//! What whoever talks at a terminal types.

use clap::Args;

use super::HomeArgs;

#[derive(Debug, Args)]
#[command(after_help = "\
Conversations beside each other, groups, who can read them (F2), what became of each message, files. F1 shows every key.
What is on the screen counts as read. It goes on without the relay, and connects again by itself. With NO_COLOR nothing
has a colour.

With --plain, and where no terminal is, every event is a line and so is every command: for screen readers and pipes.
/help lists the commands.

Examples:
  chancery chat
  chancery chat bob --home alice
  chancery chat --plain")]
pub(crate) struct ChatArgs {
    /// The conversation to begin with: a member's handle, or a group's name.
    pub(crate) who: Option<String>,
    /// Print lines, and draw nothing.
    #[arg(long)]
    pub(crate) plain: bool,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
}
