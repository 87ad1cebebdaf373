//! The examples run: two people, a transport of one's own, and a bot that is killed.
//!
//! Cargo builds them before it runs this, unless it was told to build this alone.
#![cfg(test)]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use chancery::{Client, Happening};
use chancery_dev::{Error, Organisation, PATIENCE};

/// The program of an example, beside the folder in which this test stands.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let path: PathBuf = test.parent().unwrap().with_file_name("examples").join(name);
    assert!(path.is_file(), "{}: build it with cargo build -p chancery --examples", path.display());
    Command::new(path)
}

/// What an example prints that ends by itself.
fn printed(name: &str) -> String {
    let output = example(name).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {stdout}{stderr}");
    stdout.into_owned()
}

#[test]
fn two_people_talk_in_one_process() {
    let expected = "\
alice: The notes + notes.txt (Sent)
bob hears from alice: The notes
bob reads in the file: Tea at four.
alice hears from bob: Thank you!
alice has of the conversation with bob:
  The notes
  Thank you!
bob has of the conversation with alice:
  The notes
  Thank you!
";
    assert_eq!(printed("two_people"), expected);
}

#[test]
fn a_device_reaches_its_relay_through_a_transport_of_ones_own() {
    let printed = printed("own_transport");
    let bytes: Vec<u64> = printed
        .lines()
        .map(|line| line.rsplit_once(": ").unwrap().1.split(' ').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(bytes.len(), 3, "{printed}");
    assert!(bytes[0] > 1_000 && bytes.is_sorted_by(|before, after| before < after), "{printed}");
    assert!(printed.contains("bob has 1 message") && printed.contains("alice took over"), "{printed}");
}

/// A running bot; killed when it is dropped.
struct Bot(Child, BufReader<ChildStdout>);

impl Bot {
    fn start(acme: &Organisation, link: &str) -> Self {
        let (home, key) = (acme.folder().join("echo"), acme.folder().join("echo.key"));
        let mut child =
            example("echo_bot").args([&home, &key]).arg(link).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self(child, stdout)
    }

    /// Reads the next line on a thread for what blocks: the relay that it waits for runs here.
    async fn line(mut self) -> (Self, String) {
        let read = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            self.1.read_line(&mut line).unwrap();
            (self, line.trim_end().to_owned())
        });
        tokio::time::timeout(PATIENCE, read).await.expect("the bot says nothing").unwrap()
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        // SIGKILL: nothing of the bot runs any more.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The texts of those messages that have arrived by now.
async fn heard(client: &Client) -> Result<Vec<String>, Error> {
    client.sync(PATIENCE).await?;
    let mut texts = Vec::new();
    for event in client.events().await? {
        if let Happening::Message(message) = event.happening {
            texts.extend(message.text);
        }
        client.take_events(event.number).await?;
    }
    Ok(texts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_that_is_killed_again_and_again_answers_every_message() -> Result<(), Error> {
    let acme = Organisation::start("Acme").await?;
    let alice = acme.member("alice").await?;
    let link = acme.invite_bot("echo", "alice")?;
    let (mut bot, ready) = Bot::start(&acme, &link).line().await;
    assert_eq!(ready, "ready echo");

    let mut open: BTreeSet<String> = (0..6).map(|number| format!("message {number}")).collect();
    for text in &open {
        alice.send("echo", text, &[], PATIENCE).await?;
    }
    // Each is killed as soon as it says that it begins to answer: before, while or after the answer is stored.
    for round in 0..4 {
        let (killed, line) = bot.line().await;
        assert!(line.starts_with("answering message "), "round {round}: {line}");
        drop(killed);
        let (next, line) = Bot::start(&acme, &link).line().await;
        assert_eq!(line, "ready echo", "round {round}: its home was enrolled and is whole");
        bot = next;
    }
    let begun = Instant::now();
    while !open.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "without an answer: {open:?}");
        for text in heard(&alice).await? {
            open.remove(&text);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(alice.resolve("echo").await?.kind, Some(chancery::Kind::Bot));
    drop(bot);
    Ok(())
}

#[test]
fn the_first_example_of_the_documentation_has_at_most_25_lines() {
    let documentation = include_str!("../src/lib.rs");
    let example = documentation.split("//! ```").nth(1).unwrap();
    let lines = example.lines().filter(|line| line.starts_with("//!")).count();
    assert!((10..=25).contains(&lines) && example.contains("fn main()"), "{lines}: {example}");
    assert!(!example.contains("//! # "), "all of it is shown");
}
