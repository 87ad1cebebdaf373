//! What is typed to set up a shell and the manual.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

#[derive(Debug, Args)]
#[command(after_help = "\
Prints a script that completes commands and options. Put it where the shell looks for such scripts, and start a new shell. In
fish the options of commands in three words, as `org root split`, are not completed.

Examples:
  chancery completions bash > ~/.local/share/bash-completion/completions/chancery
  chancery completions zsh > ~/.zfunc/_chancery         # with fpath+=~/.zfunc before compinit in ~/.zshrc
  chancery completions fish > ~/.config/fish/completions/chancery.fish
  chancery completions powershell >> $PROFILE
  chancery completions elvish >> ~/.config/elvish/rc.elv")]
pub(crate) struct CompletionsArgs {
    /// The shell.
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Writes a page for every command, chancery.1, chancery-send.1 and so on, and prints their names. DIR is made if it is not
there; pages of the same name are replaced.

Examples:
  chancery man --dir ~/.local/share/man/man1     # afterwards: man chancery-send
  chancery man --dir pages")]
pub(crate) struct ManArgs {
    /// The folder for the pages.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
}
