//! What `chancery --help` teaches: the commands by what people do, and the first steps.

use std::fmt::Write as _;

use clap::{Command, CommandFactory as _};

use super::Cli;

/// The commands by what people do with them, in the order in which a newcomer meets them.
const GROUPS: &[(&str, &[&str])] = &[
    ("See it work", &["demo"]),
    (
        "Write and read",
        &["chat", "send", "receive", "conversations", "history", "read", "readers", "members", "group"],
    ),
    ("Answer and change", &["reply", "edit", "delete", "react", "form", "answer", "draft"]),
    ("Become a member, use several devices", &["enroll", "device", "monitor"]),
    ("Say what others are told, and how long", &["settings", "disappearing", "typing"]),
    ("Serve programs", &["rpc"]),
    ("Run an organisation", &["org", "up", "relay", "witness"]),
    ("Set up the shell, learn, measure", &["completions", "man", "help", "bench"]),
];
/// Where commands stand that are in no group.
const OTHERS: &str = "More";
/// Columns of a terminal that the list of commands fits into.
const WIDTH: usize = 80;

/// Returns the command line as it is parsed, shown and documented.
pub(crate) fn command() -> Command {
    let command = Cli::command();
    let list = list(&command);
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{list}{{options}}{{after-help}}"
    ))
}

fn list(command: &Command) -> String {
    let style = *command.get_styles().get_header();
    let mut text = String::new();
    let mut add = |title: &str, entries: &[(&str, String)]| {
        if !entries.is_empty() {
            let _ = writeln!(text, "{style}{title}:{style:#}");
            entries.iter().for_each(|(name, about)| entry(&mut text, name, about));
            text.push('\n');
        }
    };
    for (title, names) in GROUPS {
        let entries: Vec<_> = names.iter().filter_map(|name| Some((*name, about(command, name)?))).collect();
        add(title, &entries);
    }
    let others = command.get_subcommands().map(Command::get_name);
    let others = others.filter(|name| !GROUPS.iter().any(|(_, names)| names.contains(name)));
    let others: Vec<_> = others.filter_map(|name| Some((name, about(command, name)?))).collect();
    add(OTHERS, &others);
    let _ = writeln!(text, "{style}Options:{style:#}");
    text
}

/// Returns a subcommand's one line; `None` if there is no such command.
fn about(command: &Command, name: &str) -> Option<String> {
    if name == "help" {
        return Some("Print this, or the help of a command, as in `chancery help group create`".to_owned());
    }
    let found = command.get_subcommands().find(|found| found.get_name() == name)?;
    Some(found.get_about()?.to_string())
}

/// Writes one line, and what does not fit into it below its text.
fn entry(text: &mut String, name: &str, about: &str) {
    const INDENT: usize = 15;
    let mut column = INDENT;
    let _ = write!(text, "  {name:<12}");
    for word in about.split(' ') {
        let wide = word.chars().count().saturating_add(1);
        if column.saturating_add(wide) > WIDTH {
            let _ = write!(text, "\n{:1$}", "", INDENT.saturating_sub(1));
            column = INDENT;
        }
        let _ = write!(text, " {word}");
        column = column.saturating_add(wide);
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    /// Every command of the tree with its words, without `help` and what is hidden.
    fn tree() -> Vec<(String, Command)> {
        let mut found = Vec::new();
        let mut open = vec![("chancery".to_owned(), command())];
        while let Some((path, command)) = open.pop() {
            for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
                open.push((format!("{path} {}", sub.get_name()), sub.clone()));
            }
            found.push((path, command));
        }
        found
    }

    fn examples(command: &Command) -> Vec<String> {
        let help = command.get_after_long_help().or_else(|| command.get_after_help());
        let lines = help.map(ToString::to_string).unwrap_or_default();
        lines.lines().filter_map(|line| line.strip_prefix("  ")).map(str::to_owned).collect()
    }

    /// The words of a line as a shell has them, up to a comment or to where its input or output goes.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
        for letter in line.chars() {
            match (letter, quote) {
                (_, Some(end)) if letter == end => quote = None,
                ('"' | '\'', None) => {
                    quote = Some(letter);
                    word.get_or_insert_default();
                }
                (' ', None) => words.extend(word.take()),
                ('#' | '<' | '>' | '|' | '&', None) if word.is_none() => return words,
                (_, _) => word.get_or_insert_default().push(letter),
            }
        }
        words.extend(word);
        words
    }

    #[test]
    fn every_command_stands_in_a_group_and_every_group_lists_commands_that_are_there() {
        let command = command();
        let list = list(&command);
        assert!(!list.contains(OTHERS), "put it into GROUPS:\n{list}");
        for (title, names) in GROUPS {
            for name in *names {
                assert!(about(&command, name).is_some(), "{title}: there is no command {name}");
            }
        }
        let listed = GROUPS.iter().map(|(_, names)| names.len()).sum::<usize>();
        assert_eq!(listed, command.get_subcommands().count() + 1, "each once, and help");
        assert!(list.lines().all(|line| line.chars().count() <= WIDTH + 9), "with its ANSI codes:\n{list}");
    }

    #[test]
    fn every_command_has_an_example_of_its_own_and_every_example_is_understood() {
        let mut wrong = Vec::new();
        for (path, found) in tree() {
            let examples = examples(&found);
            let lines: Vec<_> = examples.iter().filter(|line| line.starts_with("chancery ")).collect();
            if !lines.iter().any(|line| line.starts_with(&format!("{path} ")) || **line == path) {
                wrong.push(format!("{path}: no example"));
            }
            for line in lines {
                match command().try_get_matches_from(words(line)) {
                    // A key, a pin or a link that is cut short with `…`.
                    Err(error) if error.kind() == ErrorKind::ValueValidation && line.contains('…') => {}
                    Err(error) => wrong.push(format!("{path}: {line}: {error}")),
                    Ok(_) => {}
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn words_are_those_of_a_shell() {
        let line = "chancery send bob \"Lunch at noon?\" '' --file a#b < x # comment";
        assert_eq!(words(line), ["chancery", "send", "bob", "Lunch at noon?", "", "--file", "a#b"]);
    }

    #[test]
    fn the_command_line_is_consistent_in_itself() {
        command().debug_assert();
    }
}
