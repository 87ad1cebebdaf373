//! The fenced blocks of the documents. What stands behind the three backticks says what is done with a block:
//!
//! - `sh run`: run here with a real relay, all such blocks of a document in one shell in a temporary folder. A comment
//!   `# prints: …` at the end of a line must be part of what the document's shell prints, in this order.
//! - `rust`: run as a documentation test; the document must be included by `crates/client/src/lib.rs`.
//! - a language and `by=PATH`: run by the file at PATH, which must name the document. Of `by=.ci/run` every command must
//!   be one that the script takes out of the document.
//! - `text`: nothing to run.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::support::PATIENCE;

/// The port that documents name. Another is used here, for others may test on this machine.
const PORT: &str = "7443";
const EXPECTED: &str = "# prints: ";

struct Block {
    line: usize,
    info: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The documents: all of the top level and of `docs`.
fn documents() -> Vec<PathBuf> {
    let folders = [root(), root().join("docs")];
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    found.sort();
    found
}

fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(info), None) => {
                open = Some(Block { line: index + 1, info: info.trim().to_owned(), text: String::new() });
            }
            (Some(_), Some(_)) => found.extend(open.take()),
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block without an end");
    found
}

/// What is wrong with how a block is marked.
fn fault(name: &str, block: &Block) -> Option<String> {
    let words: Vec<&str> = block.info.split_whitespace().collect();
    match words.as_slice() {
        ["text"] | ["sh", "run"] => None,
        ["rust"] => {
            let library = fs::read_to_string(root().join("crates/client/src/lib.rs")).unwrap();
            let included = library.contains(&format!("include_str!(\"../../../{name}\")"));
            (!included).then(|| "the library's documentation tests do not include the document".to_owned())
        }
        [_language, by] => {
            let Some(path) = by.strip_prefix("by=") else { return Some("not marked".to_owned()) };
            let Ok(runner) = fs::read_to_string(root().join(path)) else {
                return Some(format!("there is no {path}"));
            };
            if !runner.contains(name) {
                return Some(format!("{path} does not name {name}"));
            }
            let taken = |line: &str| {
                let names = runner.split("$(readme_command \"").skip(1);
                names.filter_map(|rest| rest.split('"').next()).any(|command| line.starts_with(command))
            };
            let line = block.text.lines().find(|line| path == ".ci/run" && !taken(line));
            line.map(|line| format!("{path} does not run {line:?}"))
        }
        _ => Some("not marked".to_owned()),
    }
}

/// Runs the blocks one after the other in one shell that stops at the first failure; returns what it printed, and an error
/// with the line at which it stopped.
fn run(name: &str, blocks: &[&Block]) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    // What was started in the background ends with the shell.
    let mut script = "set -euo pipefail\ntrap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n".to_owned();
    for block in blocks {
        script.push_str(&format!("at={}\n{}", block.line, block.text.replace(PORT, &port)));
        script.push_str("echo \"$at\" > \"$DONE\"\n");
    }
    let done = folder.path().join("done");
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    let place = folder.path().join("place");
    fs::create_dir(&place).unwrap();
    fs::write(folder.path().join("script"), script).unwrap();
    let beside = Path::new(env!("CARGO_BIN_EXE_chancery")).parent().unwrap();
    let path = format!("{}:{}", beside.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("bash");
    shell
        .arg(folder.path().join("script"))
        .current_dir(&place)
        .env("PATH", path)
        .env("DONE", &done)
        .process_group(0);
    for variable in ["CHANCERY_PASSPHRASE", "CHANCERY_HOME", "CHANCERY_LOG"] {
        shell.env_remove(variable);
    }
    shell
        .stdin(Stdio::null())
        .stdout(fs::File::create(&out).unwrap())
        .stderr(fs::File::create(&err).unwrap());
    let mut child = shell.spawn().unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > PATIENCE * 3 {
            // With all that it has started.
            let _ = Command::new("kill").args(["-TERM", "--", &format!("-{}", child.id())]).status();
            break child.wait().unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    let [out, err] = [out, err].map(|path| fs::read_to_string(path).unwrap());
    if status.success() {
        return Ok(out);
    }
    let done: usize = fs::read_to_string(done).unwrap_or_default().trim().parse().unwrap_or(0);
    let at = blocks.iter().map(|block| block.line).find(|line| *line > done).unwrap_or(0);
    Err(format!("{name}:{at}: {status}\n{out}\n{err}"))
}

/// The first of what the blocks say is printed that was not, each looked for behind the one before.
fn missing<'a>(blocks: &[&'a Block], printed: &str) -> Option<&'a str> {
    let mut rest = printed;
    let lines = blocks.iter().flat_map(|block| block.text.lines());
    lines.filter_map(|line| Some(line.split_once(EXPECTED)?.1.trim())).find(|expected| {
        let found = rest.find(expected);
        rest = found.map_or(rest, |at| &rest[at + expected.len()..]);
        found.is_none()
    })
}

#[test]
fn every_block_says_how_it_is_run() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for document in documents() {
        let name = document.strip_prefix(root()).unwrap().display().to_string();
        for block in blocks(&fs::read_to_string(&document).unwrap()) {
            count += 1;
            wrong.extend(fault(&name, &block).map(|fault| format!("{name}:{}: {fault}", block.line)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 40, "only {count} blocks were found");
}

#[test]
fn the_shell_snippets_of_every_document_run_with_a_real_relay() {
    let mut ran = 0;
    for document in documents() {
        let name = document.strip_prefix(root()).unwrap().display().to_string();
        let blocks = blocks(&fs::read_to_string(&document).unwrap());
        let shell: Vec<&Block> = blocks.iter().filter(|block| block.info == "sh run").collect();
        if shell.is_empty() {
            continue;
        }
        ran += shell.len();
        let printed = run(&name, &shell).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(missing(&shell, &printed), None, "{name} printed:\n{printed}");
    }
    assert!(ran > 5, "only {ran} snippets were run");
}

/// The checks above pass when they find nothing, so what they look with must be seen to find something.
#[test]
fn a_snippet_that_fails_and_a_block_without_a_mark_are_found() {
    let text = "```sh run\necho one; sleep 60 &\n```\n```sh\nx\n```\n```\ny\n```\n```sh run\nfalse\necho two # prints: three\n```\n";
    let blocks = blocks(text);
    let marked: Vec<bool> = blocks.iter().map(|block| fault("README.md", block).is_none()).collect();
    assert_eq!(marked, [true, false, false, true]);
    let refused = run("x.md", &[&blocks[0], &blocks[3]]).unwrap_err();
    assert!(refused.starts_with("x.md:10: exit status: 1\none\n"), "{refused}");
    assert_eq!(missing(&[&blocks[3]], "two"), Some("three"));
    assert_eq!(missing(&[&blocks[3]], "two three"), None);
    let block = |info: &str, text: &str| Block { line: 1, info: info.to_owned(), text: text.to_owned() };
    assert!(fault("docs/X.md", &block("rust", "")).is_some());
    assert!(fault("README.md", &block("c by=nowhere.sh", "")).is_some());
    assert!(fault("README.md", &block("sh by=.ci/run", "cargo test --workspace\n")).is_none());
    assert!(fault("README.md", &block("sh by=.ci/run", "cargo install x\n")).is_some());
}
