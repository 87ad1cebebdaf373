//! What is typed to send text and files.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::HomeArgs;
use crate::text;

#[derive(Debug, Args)]
#[command(after_help = "\
Returns when the relay has the message durably for a device of the recipient; what the recipient's other devices
lack is tried for 30 days. If nothing could be sent, the message is kept, the exit code is 5, the error \"queued\",
and whatever command connects next sends it: sending it again would send it twice.

Examples:
  chancery send bob \"Lunch at noon?\"
  chancery send bob The menu: --file menu.pdf --file map.png --preview map-small.png
  chancery send bob \"@carol has the key\" --mention carol")]
pub(crate) struct SendArgs {
    /// The recipient's handle or member identifier.
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) message: MessageArgs,
}

/// What is sent, from which device, and how long to wait.
#[derive(Debug, Args)]
pub(crate) struct MessageArgs {
    /// The text; several words are joined by spaces.
    #[arg(required_unless_present = "file")]
    pub(crate) text: Vec<String>,
    #[command(flatten)]
    pub(crate) files: FileArgs,
    #[command(flatten)]
    pub(crate) mentions: MentionArgs,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
    /// Seconds to wait for the relay [default: 30, to a group 60, longer with files].
    #[arg(long, value_name = "S", value_parser = text::parse_seconds)]
    pub(crate) timeout: Option<Duration>,
}

/// Whom a text names.
#[derive(Debug, Args)]
pub(crate) struct MentionArgs {
    /// Mark every @HANDLE in the text as naming this member; may be given several times.
    #[arg(long, value_name = "HANDLE")]
    pub(crate) mention: Vec<String>,
}

/// Files to send, each with its preview, which stands behind it.
#[derive(Debug, Default)]
pub(crate) struct FileArgs {
    /// The files.
    pub(crate) file: Vec<PathBuf>,
    /// Their previews.
    pub(crate) preview: Vec<Option<PathBuf>>,
}

impl Args for FileArgs {
    fn augment_args(command: Command) -> Command {
        let paths = |name: &'static str, help: &'static str| {
            let arg = Arg::new(name).long(name).value_name("PATH").help(help);
            arg.action(ArgAction::Append).value_parser(ValueParser::path_buf())
        };
        let file = paths("file", "A file to send along; may be given several times");
        let preview = paths("preview", "A small picture of the --file before it, of at most 16 KiB");
        command.arg(file).arg(preview.requires("file"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for FileArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |name: &str| {
            let places = matches.indices_of(name).into_iter().flatten();
            places.zip(matches.get_many::<PathBuf>(name).into_iter().flatten().cloned()).collect::<Vec<_>>()
        };
        let files = given("file");
        let mut preview = vec![None; files.len()];
        for (place, path) in given("preview") {
            let before = files.iter().rposition(|(file, _)| *file < place).and_then(|at| preview.get_mut(at));
            match before {
                Some(of_file @ None) => *of_file = Some(path),
                _ => return Err(clap::Error::raw(ErrorKind::ArgumentConflict, MISPLACED)),
            }
        }
        Ok(Self { file: files.into_iter().map(|(_, path)| path).collect(), preview })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// What is said of a preview without a file.
const MISPLACED: &str = "a --preview stands behind the --file that it is of, one behind each\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command as Which, help};

    fn files(line: &str) -> Result<FileArgs, clap::Error> {
        let matches = help::command().try_get_matches_from(line.split(' '))?;
        match Cli::from_arg_matches(&matches)?.command {
            Which::Send(args) => Ok(args.message.files),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_preview_is_of_the_file_before_it() {
        let read =
            files("chancery send bob x --file a --file b --preview p --file c --file d --preview=q").unwrap();
        assert_eq!(read.file, ["a", "b", "c", "d"].map(PathBuf::from));
        let path = |name: &str| Some(PathBuf::from(name));
        assert_eq!(read.preview, [None, path("p"), None, path("q")]);
        assert_eq!(files("chancery send bob x --file a").unwrap().preview, [None]);
        assert!(files("chancery send bob x").unwrap().file.is_empty());
    }

    #[test]
    fn a_preview_without_a_file_of_its_own_is_refused() {
        for wrong in ["--preview p", "--preview p --file a", "--file a --preview p --preview q"] {
            let error = files(&format!("chancery send bob x {wrong}")).unwrap_err();
            assert!(error.to_string().contains("--file"), "{error}");
        }
    }
}
