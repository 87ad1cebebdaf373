//! Line by line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use crate::support::{Company, PATIENCE, chancery};

/// Somebody who types and reads.
struct Typist {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    read: Vec<String>,
}

impl Typist {
    fn start(company: &Company, who: &str, arguments: &[&str]) -> Self {
        let words = company.chat(who, &[&["--plain"], arguments].concat());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = chancery(&words);
        command.env("TZ", "UTC").current_dir(company.folder.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let stdin = child.stdin.take();
        Self { child, stdin, lines, read: Vec::new() }
    }

    fn types(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for a line with this in it, and returns it.
    #[track_caller]
    fn hears(&mut self, part: &str) -> String {
        let begun = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("{part:?} did not come; last was read:\n{}", self.read.join("\n"));
            };
            assert!(!line.contains(char::is_control), "{line:?}");
            self.read.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Waits for these lines in any order.
    #[track_caller]
    fn hears_all(&mut self, parts: &[&str]) {
        let mut missing = parts.to_vec();
        while let Some(part) = missing.first() {
            if !self.read.iter().any(|line| line.contains(part)) {
                self.hears(part);
            }
            missing.remove(0);
        }
    }

    /// Waits for a line, and returns the number of the message that is in it.
    #[track_caller]
    fn hears_message(&mut self, part: &str) -> usize {
        let line = self.hears(part);
        line.split_once(". ").unwrap_or_else(|| panic!("no number in {line:?}")).0.parse().unwrap()
    }

    #[track_caller]
    fn ends_with(&mut self, code: i32) {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert_eq!(status.code(), Some(code));
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

impl Drop for Typist {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn two_people_talk_send_a_file_and_change_what_they_wrote() {
    let company = Company::open();
    for who in ["alice", "bob"] {
        company.member(who);
    }
    std::fs::write(company.path("notes.txt"), "Tea at four.\n").unwrap();
    let mut alice = Typist::start(&company, "alice", &[]);
    let mut bob = Typist::start(&company, "bob", &[]);
    alice.hears("Chancery, alice at Acme.");
    alice.hears("* online");
    bob.hears("* online");
    alice.types("/to bob");
    alice.hears("bob: you and bob can read this, 2 devices.");
    alice.types("Tea at four?\u{1b}[2J");
    let tea = alice.hears_message("Tea at four?");
    alice.hears(&format!("* message {tea}: sent"));

    let heard = bob.hears_message(": Tea at four?\u{fffd}[2J");
    bob.types("/to alice");
    alice.hears(&format!("* message {tea}: read"));
    bob.types(&format!("/reply {heard} Gladly"));
    bob.types(&format!("/react {heard} 👍"));
    let gladly = alice.hears_message("in reply to you: Tea at four?\u{fffd}[2J: Gladly");
    alice.hears(&format!("* message {tea}: 👍 from bob"));
    let mine = bob.hears_message("you, ");
    bob.types(&format!("/edit {mine} Gladly, and cake"));
    alice.hears(&format!("* message {gladly} was edited: Gladly, and cake"));

    bob.types("/file notes.txt");
    let file = alice.hears_message("file notes.txt (13 B)");
    alice.types(&format!("/save {file} downloads"));
    let saved = alice.hears("saved as ");
    assert!(saved.ends_with("downloads/notes.txt"), "{saved}");
    assert_eq!(std::fs::read_to_string(company.path("downloads/notes.txt")).unwrap(), "Tea at four.\n");

    bob.types(&format!("/delete {mine}"));
    alice.hears(&format!("* message {gladly} was deleted"));
    alice.types("/delete 99");
    alice.hears("! there is no message 99");
    alice.types("/edit 2 mine");
    alice.hears("! ");
    alice.types("/nothing");
    alice.hears("! there is no /nothing");
    alice.types("/who");
    alice.hears("No archive");
    alice.types("/quit");
    alice.ends_with(0);
    // The end of the input is an end as well.
    drop(bob.stdin.take());
    bob.ends_with(0);
}

#[test]
fn a_group_loses_whom_the_organisation_ends() {
    let company = Company::open();
    for who in ["carol", "bob", "alice"] {
        company.member(who);
    }
    let mut alice = Typist::start(&company, "alice", &[]);
    let mut carol = Typist::start(&company, "carol", &[]);
    alice.hears("* online");
    carol.hears("* online");
    alice.types("/members ro");
    alice.hears("carol");
    alice.types("/group new Crew, bob carol");
    alice.hears("Group Crew: ");
    alice.hears("* Crew is founded");
    alice.types("Hello all");
    carol.hears("you are in the group, by alice");
    carol.hears("alice in Crew, ");
    alice.types("/who");
    alice.hears("alice (you), owner: 1 device");

    company.offboard("carol");
    carol.hears("Your organisation has ended this device.");
    carol.ends_with(2);
    alice.types("Carol has left us.");
    alice.hears("carol is out: ended by the organisation");
    alice.hears("* now 2 members can read this, 2 devices");
}

#[test]
fn what_is_written_while_the_relay_is_away_goes_once_it_is_back() {
    let mut company = Company::open();
    for who in ["bob", "alice"] {
        company.member(who);
    }
    let mut alice = Typist::start(&company, "alice", &["bob"]);
    alice.hears_all(&["bob: you and bob can read this", "* online"]);
    company.relay.kill();
    alice.hears("* offline, trying again");
    alice.types("Are you there?");
    let number = alice.hears_message("Are you there? (queued)");
    company.restart_relay();
    alice.hears("* online");
    alice.hears(&format!("* message {number}: sent"));
    drop(alice);
    assert_eq!(company.command("bob", &["receive"]).lines.len(), 1);
}

#[test]
fn programs_are_sent_elsewhere_and_nobody_is_an_error() {
    let company = Company::open();
    company.member("alice");
    let refused = company.command("alice", &["chat", "--plain"]);
    refused.fails(64, "usage", false);
    assert!(refused.message().contains("chancery rpc"), "{refused:?}");
    let mut alice = Typist::start(&company, "alice", &["nobody"]);
    alice.hears("! ");
    alice.types("Hello?");
    alice.hears("! open a conversation first");
    alice.types("/group leave");
    alice.hears("! open a group first");
}

#[test]
fn what_follows_a_name_that_is_wrong_goes_to_nobody() {
    let company = Company::open();
    for who in ["bob", "alice"] {
        company.member(who);
    }
    let mut alice = Typist::start(&company, "alice", &[]);
    alice.hears("* online");
    for line in ["/to bob", "Tea at four?", "/to caarol", "a secret", "/to bob", "Gladly"] {
        alice.types(line);
    }
    drop(alice.stdin.take());
    alice.hears("! open a conversation first");
    alice.hears("Gladly");
    alice.ends_with(0);
    let received = company.command("bob", &["receive"]);
    assert_eq!(received.lines.len(), 2, "{received:?}");
}
