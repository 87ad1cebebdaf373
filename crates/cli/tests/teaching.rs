//! What the command tells of itself: help, completions and manual pages, each of the command as it is.
#![cfg(test)]
#![allow(clippy::arithmetic_side_effects, reason = "a test")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const SHELLS: [&str; 5] = ["bash", "zsh", "fish", "powershell", "elvish"];

fn chancery(arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
    command.args(arguments).env_remove("CHANCERY_LOG").env_remove("CHANCERY_HOME");
    command.output().unwrap()
}

fn stdout(arguments: &[&str]) -> String {
    let output = chancery(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The names of the subcommands that a command's help lists.
fn subcommands(path: &[&str]) -> Vec<String> {
    let help = stdout(&[path, &["--help"]].concat());
    let is_entry = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let listed = help.split("\nOptions:").next().unwrap();
    let entries = listed.lines().skip_while(|line| !line.starts_with("Usage:")).filter(is_entry);
    let names = entries.filter_map(|line| line.split_whitespace().next());
    let names = names.filter(|name| name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-'));
    names.filter(|name| *name != "help" && !name.starts_with('-')).map(str::to_owned).collect()
}

/// The words of every command, as the helps list them from the top down.
fn tree() -> Vec<Vec<String>> {
    let (mut found, mut open) = (Vec::new(), vec![Vec::<String>::new()]);
    while let Some(path) = open.pop() {
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let help = stdout(&[words.as_slice(), &["--help"]].concat());
        if help.contains("<COMMAND>") {
            open.extend(subcommands(&words).into_iter().map(|name| [path.clone(), vec![name]].concat()));
        }
        found.push(path);
    }
    assert!(found.len() > 50, "{found:?}");
    found
}

/// Runs a tool on a text; returns what it says on stdout. `None` if this machine does not have it, which is a failure where
/// `CHANCERY_ALL_TOOLS` says that all of them are there.
fn tool(name: &str, arguments: &[&str], input: &str) -> Option<String> {
    let child = Command::new(name)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let missing = |error| assert!(std::env::var_os("CHANCERY_ALL_TOOLS").is_none(), "{name}: {error}");
    let mut child = child.map_err(missing).ok()?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{name} {arguments:?}: {errors}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn help_lists_commands_by_what_people_do_and_begins_with_first_steps() {
    let help = stdout(&["--help"]);
    for part in ["Write and read:\n  chat ", "Run an organisation:\n  org ", "First steps, on one machine:\n"]
    {
        assert!(help.contains(part), "{part:?} is not in:\n{help}");
    }
    assert_eq!(stdout(&["help"]), help);
    assert_eq!(stdout(&["-h"]), help);
    let listed = help.split("\nOptions:").next().unwrap();
    assert!(listed.lines().all(|line| line.chars().count() <= 80), "{listed}");
    assert!(!help.contains('\u{1b}'), "colours, and nobody at a terminal");
}

#[test]
fn completions_of_every_shell_know_every_command() {
    let tree = tree();
    let names: BTreeSet<&String> = tree.iter().filter_map(|path| path.last()).collect();
    for shell in SHELLS {
        let script = stdout(&["completions", shell]);
        for name in &names {
            assert!(script.contains(name.as_str()), "{shell}: {name}");
        }
        // What completes in fish ends with the second word: `org root split` is completed, and its options are not.
        let options = ["--passphrase-file", "--follow", "--threshold"];
        for option in &options[..if shell == "fish" { 2 } else { 3 }] {
            let known = script.contains(option) || script.contains(&format!("-l {}", &option[2..]));
            assert!(known, "{shell}: {option}");
        }
    }
    let refused = chancery(&["completions", "tcsh"]);
    assert_eq!(refused.status.code(), Some(64));
}

#[test]
fn scripts_of_completions_are_well_formed() {
    // The shells that are installed read the scripts; brackets are counted in those of the others.
    for (shell, arguments) in [("bash", ["-n"]), ("zsh", ["-n"]), ("fish", ["--no-execute"])] {
        let read = tool(shell, &arguments, &stdout(&["completions", shell]));
        assert!(read.is_some() || shell != "bash", "no bash");
    }
    for shell in ["powershell", "elvish"] {
        let script = stdout(&["completions", shell]);
        // Without what is in quotes, in which '' stands for a quote.
        let code: String = script.replace("''", "").split('\'').step_by(2).collect();
        for (open, close) in [('{', '}'), ('(', ')'), ('[', ']')] {
            assert_eq!(code.matches(open).count(), code.matches(close).count(), "{shell}: {open}{close}");
        }
    }
}

#[test]
fn bash_completes_commands_and_options() {
    let script = stdout(&["completions", "bash"]);
    let complete = |words: &str, current: &str| {
        let ask = format!(
            "{script}\nCOMP_WORDS=({words} '{current}'); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
             _chancery chancery '{current}' \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        tool("bash", &["--norc", "-s"], &ask).expect("no bash")
    };
    assert_eq!(complete("chancery", "of"), "\n");
    assert_eq!(complete("chancery org", "off"), "offboard\n");
    assert_eq!(complete("chancery group", "hand"), "hand-over\n");
    assert_eq!(complete("chancery send bob", "--fi"), "--file\n");
}

#[test]
fn every_command_has_a_manual_page_that_roff_takes_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("share/man/man1");
    let printed = stdout(&["man", "--dir", dir.to_str().unwrap()]);
    let pages: BTreeSet<String> = printed
        .lines()
        .map(|line| Path::new(line).strip_prefix(&dir).unwrap().display().to_string())
        .collect();
    let tree = tree();
    let expected: BTreeSet<String> = tree
        .iter()
        .map(|path| [&["chancery".to_owned()], path.as_slice()].concat().join("-") + ".1")
        .collect();
    assert_eq!(pages, expected);

    for path in &tree {
        let name = [&["chancery".to_owned()], path.as_slice()].concat().join("-");
        let page = fs::read_to_string(dir.join(format!("{name}.1"))).unwrap().replace("\\-", "-");
        assert!(page.is_ascii() && page.contains("\n.TH "), "{name}: {page}");
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "\"NOTES AND EXAMPLES\""] {
            assert_eq!(page.matches(&format!("\n.SH {section}\n")).count(), 1, "{name}: {section}\n{page}");
        }
        let words = path.join(" ");
        assert!(page.contains(format!("chancery {words}").trim_end()), "{name} has no example of its own");
        if let Some(shown) = tool("groff", &["-man", "-Tutf8", "-ww", "-P-cbou"], &page) {
            assert!(shown.contains("NOTES AND EXAMPLES"), "{name}: {shown}");
        }
    }
    // Made again, they replace themselves; with --json each is an object.
    let again = stdout(&["man", "--json", "--dir", dir.to_str().unwrap()]);
    assert_eq!(again.lines().count(), tree.len());
    assert!(again.lines().all(|line| line.starts_with("{\"page\":\"")), "{again}");
}

#[test]
fn manual_pages_need_a_folder_that_can_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = chancery(&["man", "--json", "--dir", file.join("pages").to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("\"code\":\"file-unreadable\""));
    assert!(refused.stdout.is_empty());
}
