//! `chancery completions` and `chancery man`: what shells and the manual know of the commands, made from their definition.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use chancery::{Error, ErrorCode};
use clap::Command;
use clap_mangen::Man;
use serde_json::json;

use crate::args::{CompletionsArgs, ManArgs, help};
use crate::failure::{self, Failure};
use crate::output::Output;

/// What follows the title of a page.
const MANUAL: &str = "Chancery";
/// The library's name for what stands below a command's options, and ours.
const EXTRA: (&str, &str) = (".SH EXTRA\n", ".SH \"NOTES AND EXAMPLES\"\n");

pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut help::command(), "chancery", &mut script);
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&script).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::StdoutClosed,
        _ => failure::system(&error, "standard output").into(),
    })
}

pub(crate) fn man(args: &ManArgs, output: Output) -> Result<(), Failure> {
    let at = |error: std::io::Error, path: &Path| failure::system(&error, &path.display().to_string());
    fs::create_dir_all(&args.dir).map_err(|error| at(error, &args.dir))?;
    for (name, page) in pages()? {
        let path = args.dir.join(name);
        fs::write(&path, page).map_err(|error| at(error, &path))?;
        let shown = path.display().to_string();
        output.result(&json!({ "page": shown }), || shown.clone())?;
    }
    Ok(())
}

/// Returns all pages with the names of their files, the one of the whole command first.
fn pages() -> Result<Vec<(String, String)>, Error> {
    // `help` has no page: every other page is one of it.
    let mut root = help::command().disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    let mut open = vec![root];
    while let Some(command) = open.pop() {
        let commands: Vec<Command> =
            command.get_subcommands().filter(|sub| !sub.is_hide_set()).cloned().collect();
        open.extend(commands.into_iter().rev());
        let man = Man::new(command).manual(MANUAL);
        let mut page = Vec::new();
        man.render(&mut page).map_err(|_| ErrorCode::Internal)?;
        let page = String::from_utf8(page).map_err(|_| ErrorCode::Internal)?;
        pages.push((man.get_filename(), ascii(&page.replacen(EXTRA.0, EXTRA.1, 1))));
    }
    Ok(pages)
}

/// Writes what is not ASCII as roff has it: not every `man` takes UTF-8.
fn ascii(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    for letter in page.chars() {
        match letter.is_ascii() {
            true => text.push(letter),
            false => text.push_str(&format!("\\[u{:04X}]", u32::from(letter))),
        }
    }
    text
}
