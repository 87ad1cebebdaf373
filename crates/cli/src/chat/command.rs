//! What is typed as a line that begins with a slash: the same words in both modes.

use std::path::PathBuf;

/// What a line asks for. Messages are named by the numbers with which the plain mode prints them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// Write a text to the conversation that is open.
    Say(String),
    /// Open a conversation; without a name say which there are.
    To(Option<String>),
    Reply(usize, String),
    Edit(usize, String),
    Delete(usize),
    React(usize, String),
    Unreact(usize, String),
    Answer(usize, Vec<(String, String)>),
    File(PathBuf),
    Save(usize, Option<PathBuf>),
    /// Say who can read the conversation that is open.
    Who,
    /// Say whom the directory names.
    Members(String),
    Found(String, Vec<String>),
    Group(GroupWish),
    /// Print what was written before.
    More,
    /// Say what there is: connection and own name.
    Status,
    Help,
    Quit,
}

impl Command {
    /// Whether it is about a message by number, as only the plain mode prints them.
    pub(super) const fn names_a_message(&self) -> bool {
        matches!(
            self,
            Self::Reply(..)
                | Self::Edit(..)
                | Self::Delete(_)
                | Self::React(..)
                | Self::Unreact(..)
                | Self::Answer(..)
                | Self::Save(..)
        )
    }
}

/// What is wanted of the group that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GroupWish {
    Add(Vec<String>),
    Remove(Vec<String>),
    Rename(String),
    Leave,
}

/// Every command with its arguments and what it does.
pub(super) const COMMANDS: &[(&str, &str)] = &[
    ("/to NAME", "open the conversation with a member or a group; without a name list all"),
    ("/who", "say who can read what is written here: members and their devices"),
    ("/reply N TEXT", "reply to message N"),
    ("/react N EMOJI", "react to message N; /unreact N EMOJI takes it back"),
    ("/edit N TEXT", "give your message N another text"),
    ("/delete N", "delete your message N everywhere"),
    ("/answer N ID=VALUE …", "answer the form of message N"),
    ("/file PATH", "send a file"),
    ("/save N [DIR]", "save the files of message N, in the folder where you are or in DIR"),
    ("/members [TEXT]", "search the directory"),
    ("/group new NAME, MEMBER …", "found a group"),
    ("/group add MEMBER …", "add members to the group that is open"),
    ("/group remove MEMBER …", "remove members from it"),
    ("/group rename NAME", "give it another name"),
    ("/group leave", "leave it"),
    ("/more", "show what was written before"),
    ("/status", "say who you are and whether the relay is reached"),
    ("/help", "list the commands"),
    ("/quit", "end"),
];

/// Reads a line; a text that is to begin with a slash begins with two.
///
/// # Errors
///
/// What is wrong with it, for people.
pub(super) fn parse(line: &str) -> Result<Command, String> {
    let Some(typed) = line.strip_prefix('/') else { return Ok(Command::Say(line.to_owned())) };
    if typed.starts_with('/') {
        return Ok(Command::Say(typed.to_owned()));
    }
    let (word, rest) = cut(typed);
    let command = match word {
        "to" => Command::To(Some(rest.to_owned()).filter(|name| !name.is_empty())),
        "who" => Command::Who,
        "reply" => with_text(rest, "/reply N TEXT").map(|(n, text)| Command::Reply(n, text))?,
        "edit" => with_text(rest, "/edit N TEXT").map(|(n, text)| Command::Edit(n, text))?,
        "react" => with_text(rest, "/react N EMOJI").map(|(n, emoji)| Command::React(n, emoji))?,
        "unreact" => with_text(rest, "/unreact N EMOJI").map(|(n, emoji)| Command::Unreact(n, emoji))?,
        "delete" => Command::Delete(number(rest).ok_or("type /delete N")?),
        "answer" => answer(rest)?,
        "file" => Command::File(path(rest).ok_or("type /file PATH")?),
        "save" => {
            let (which, folder) = cut(rest);
            Command::Save(number(which).ok_or("type /save N DIR")?, path(folder))
        }
        "members" => Command::Members(rest.to_owned()),
        "group" => group(rest)?,
        "more" => Command::More,
        "status" => Command::Status,
        "help" | "?" => Command::Help,
        "quit" | "exit" | "q" => Command::Quit,
        _ => return Err(format!("there is no /{word}; /help lists what there is")),
    };
    Ok(command)
}

fn cut(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim())
}

fn number(text: &str) -> Option<usize> {
    text.parse().ok().filter(|number| *number > 0)
}

fn with_text(rest: &str, usage: &str) -> Result<(usize, String), String> {
    let (which, text) = cut(rest);
    let found = number(which).filter(|_| !text.is_empty()).map(|number| (number, text.to_owned()));
    found.ok_or_else(|| format!("type {usage}"))
}

fn answer(rest: &str) -> Result<Command, String> {
    let usage = "type /answer N ID=VALUE; a comma and a space before the next";
    let (which, values) = cut(rest);
    let pair = |text: &str| text.trim().split_once('=').map(|(id, value)| (id.to_owned(), value.to_owned()));
    let values: Option<Vec<_>> = values.split(", ").map(pair).collect();
    number(which).zip(values).map(|(which, values)| Command::Answer(which, values)).ok_or(usage.into())
}

/// A path as a shell would have it, as far as a leading `~` goes.
pub(super) fn path(text: &str) -> Option<PathBuf> {
    let text = text.trim();
    let home = || std::env::var_os("HOME").map(PathBuf::from);
    match text.strip_prefix("~/").zip(home()) {
        _ if text.is_empty() => None,
        Some((rest, home)) => Some(home.join(rest)),
        None => Some(PathBuf::from(text)),
    }
}

fn group(rest: &str) -> Result<Command, String> {
    let (word, rest) = cut(rest);
    let names = |text: &str| -> Vec<String> {
        text.split([' ', ',']).filter(|it| !it.is_empty()).map(str::to_owned).collect()
    };
    match (word, rest) {
        ("leave", "") => Ok(Command::Group(GroupWish::Leave)),
        ("new" | "add" | "remove" | "rename", "") | ("leave", _) => {
            Err(format!("type /group {word} and then what /help says"))
        }
        ("new", rest) => {
            // A name may have spaces, so that a comma ends it.
            let (name, members) = rest.split_once(',').unwrap_or((rest, ""));
            Ok(Command::Found(name.trim().to_owned(), names(members)))
        }
        ("add", rest) => Ok(Command::Group(GroupWish::Add(names(rest)))),
        ("remove", rest) => Ok(Command::Group(GroupWish::Remove(names(rest)))),
        ("rename", rest) => Ok(Command::Group(GroupWish::Rename(rest.to_owned()))),
        _ => Err("type /group new, add, remove, rename or leave".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_without_a_slash_are_texts_and_two_slashes_stand_for_one() {
        assert_eq!(parse("Tea at four?"), Ok(Command::Say("Tea at four?".into())));
        assert_eq!(parse("//etc/hosts"), Ok(Command::Say("/etc/hosts".into())));
    }

    #[test]
    fn commands_have_their_arguments() {
        assert_eq!(parse("/to bob"), Ok(Command::To(Some("bob".into()))));
        assert_eq!(parse("/to"), Ok(Command::To(None)));
        assert_eq!(parse("/reply 3  Yes, please "), Ok(Command::Reply(3, "Yes, please".into())));
        assert_eq!(parse("/react 3 👍"), Ok(Command::React(3, "👍".into())));
        assert_eq!(parse("/save 4 down loads"), Ok(Command::Save(4, Some("down loads".into()))));
        assert_eq!(parse("/save 4"), Ok(Command::Save(4, None)));
        let values = vec![("day".into(), "Mon".into()), ("why".into(), "a = b".into())];
        assert_eq!(parse("/answer 2 day=Mon, why=a = b"), Ok(Command::Answer(2, values)));
        let found = Command::Found("The Crew".into(), vec!["bob".into(), "carol".into()]);
        assert_eq!(parse("/group new The Crew, bob carol"), Ok(found));
        assert_eq!(parse("/group leave"), Ok(Command::Group(GroupWish::Leave)));
    }

    #[test]
    fn what_is_not_understood_says_how_it_is_typed() {
        for wrong in
            ["/reply", "/reply x y", "/reply 3", "/delete", "/save", "/save 0", "/file", "/answer 1 x"]
        {
            let said = parse(wrong).unwrap_err();
            assert!(said.starts_with("type /"), "{wrong}: {said}");
        }
        for wrong in ["/nothing", "/", "/group", "/group leave now", "/group add", "/group melt it"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
