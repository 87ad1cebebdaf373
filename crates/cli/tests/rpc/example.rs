//! `examples/node/echo.mjs` with a real relay: it enrols, answers, and is killed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::support::{Company, PATIENCE, string};

/// The bot; it is killed when a test is over.
struct Bot(Child);

impl Drop for Bot {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the bot and waits until it has said who it is. `None` if this machine does not have Node, which is a failure where
/// `CHANCERY_ALL_TOOLS` says that all tools are there.
fn echo(company: &Company, more: &[&str]) -> Option<Bot> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/node/echo.mjs");
    let mut command = Command::new("node");
    command.arg(script).args(["--home", &company.at("echo"), "--key-file", &company.at("echo.key")]);
    command.args(more).env("CHANCERY", env!("CARGO_BIN_EXE_chancery"));
    for variable in ["CHANCERY_PASSPHRASE", "CHANCERY_HOME", "CHANCERY_LOG"] {
        command.env_remove(variable);
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let missing = |error| assert!(std::env::var_os("CHANCERY_ALL_TOOLS").is_none(), "node: {error}");
    let mut bot = Bot(child.map_err(missing).ok()?);
    let mut line = String::new();
    BufReader::new(bot.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "echo: I am echo\n");
    Some(bot)
}

/// Waits until a text has come to somebody, and checks that nothing comes but what may be answered once more after a crash.
fn hears(company: &Company, who: &str, text: &str, before: &str) {
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < PATIENCE, "{text} does not come");
        let heard = company.command(who, &["receive"]);
        let texts = heard.lines.iter().filter(|it| it["event"] == "message").map(|it| string(&it["text"]));
        let texts: Vec<String> = texts.collect();
        assert!(texts.iter().all(|it| it == text || it == before), "{texts:?}");
        if texts.iter().any(|it| it == text) {
            return;
        }
    }
}

/// README.md has the command that starts it.
#[test]
fn the_node_example_enrols_and_answers_and_goes_on_after_it_was_killed() {
    let company = Company::open();
    company.member("alice");
    let link = string(&company.invite_with(&["echo", "--bot", "--owner", "alice"]).ok()["link"]);
    let Some(bot) = echo(&company, &["--link", &link]) else { return };
    let hello = "Is there an echo? Ναι 👋";
    company.command("alice", &["send", "echo", hello]).ok();
    hears(&company, "alice", hello, "");
    company.command("alice", &["group", "create", "Crew", "echo"]).ok();
    company.command("alice", &["group", "send", "Crew", "In a group"]).ok();
    hears(&company, "alice", "In a group", "");
    drop(bot);
    // What came meanwhile is answered once it is there again, without an invitation.
    company.command("alice", &["send", "echo", "Still there?"]).ok();
    let _bot = echo(&company, &[]);
    hears(&company, "alice", "Still there?", "In a group");
}
