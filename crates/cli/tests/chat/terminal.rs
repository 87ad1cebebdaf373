//! In a terminal. With `CHANCERY_WRITE_SCREENS=1` the screens are written to `docs/screens`, and README.md shows one of them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::support::{Company, PATIENCE};

/// A terminal of 80 columns and 24 lines for each member who sits at one.
struct Terminals<'a> {
    company: &'a Company,
    socket: PathBuf,
}

impl<'a> Terminals<'a> {
    /// `None` if this machine has no tmux, which is a failure where `CHANCERY_ALL_TOOLS` says that all tools are there.
    fn open(company: &'a Company, socket: &str) -> Option<Self> {
        if let Err(error) = Command::new("tmux").arg("-V").output() {
            assert!(std::env::var_os("CHANCERY_ALL_TOOLS").is_none(), "tmux: {error}");
            return None;
        }
        Some(Self { company, socket: company.path(socket) })
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.args(["-u", "-f", "/dev/null", "-S"]).arg(&self.socket).args(arguments);
        command
            .env_remove("TMUX")
            .env("LC_ALL", "C.UTF-8")
            .env("SHELL", "/bin/sh")
            .env_remove("CHANCERY_HOME");
        command.current_dir(self.company.folder.path()).output().unwrap()
    }

    /// Somebody sits down and starts to chat; the terminal says afterwards how it ended.
    fn chat(&self, who: &str, environment: &str) {
        let words = self.company.chat(who, &[]).join(" ");
        let program = env!("CARGO_BIN_EXE_chancery");
        let chat = format!("sh -c 'echo $$ > {who}.pid; TZ=UTC {environment} exec {program} {words}'");
        let line = format!("{chat}; echo \"ended with $?\"; sleep 600");
        let started = self.tmux(&["new-session", "-d", "-s", who, "-x", "80", "-y", "24", &line]);
        assert!(started.status.success(), "{started:?}");
    }

    /// Presses keys by tmux's names for them.
    fn press(&self, who: &str, keys: &[&str]) {
        for key in keys {
            assert!(self.tmux(&["send-keys", "-t", who, key]).status.success());
            if *key == "Escape" {
                // What follows at once would be one key with it.
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    /// Types a text as it is.
    fn write(&self, who: &str, text: &str) {
        assert!(self.tmux(&["send-keys", "-t", who, "-l", text]).status.success());
    }

    fn screen(&self, who: &str) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-p", "-t", who]).stdout).unwrap()
    }

    /// Waits until all of this is on a screen, and returns it.
    #[track_caller]
    fn sees(&self, who: &str, parts: &[&str]) -> String {
        let begun = Instant::now();
        let mut before = String::new();
        loop {
            let screen = self.screen(who);
            let missing = parts.iter().find(|part| !screen.contains(**part));
            // A screen that is being drawn is not yet one.
            if missing.is_none() && screen == before {
                return screen;
            }
            assert!(begun.elapsed() < PATIENCE, "{who} does not see {missing:?}:\n{screen}");
            before = screen;
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Terminals<'_> {
    /// Waits until a line ends so.
    #[track_caller]
    fn sees_end(&self, who: &str, end: &str) {
        let begun = Instant::now();
        while !self.screen(who).lines().any(|line| line.trim_end().ends_with(end)) {
            assert!(begun.elapsed() < PATIENCE, "{who} sees no {end:?}:\n{}", self.screen(who));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Terminals<'_> {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

/// Keeps a screen for people to look at, with a time, a day and identifiers that are always the same.
fn keep(name: &str, screen: &str) {
    if std::env::var_os("CHANCERY_WRITE_SCREENS").is_none() {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/screens");
    std::fs::create_dir_all(&folder).unwrap();
    let lines: Vec<String> =
        screen.trim_end().lines().map(|line| stable(line).trim_end().to_owned()).collect();
    std::fs::write(folder.join(name).with_extension("txt"), lines.join("\n") + "\n").unwrap();
}

fn stable(line: &str) -> String {
    let letters: Vec<char> = line.chars().collect();
    let mut made = String::new();
    let mut at = 0;
    while at < letters.len() {
        let is = |from: usize, what: &dyn Fn(char) -> bool| letters.get(at + from).is_some_and(|c| what(*c));
        let digit = |c: char| c.is_ascii_digit();
        if is(0, &digit) && is(1, &digit) && is(2, &|c| c == ':') && is(3, &digit) && is(4, &digit) {
            made.push_str("10:24");
            at += 5;
        } else if (0..8).all(|next| is(next, &|c| c.is_ascii_hexdigit())) {
            made.push_str("5f3a09c1");
            at += 8;
        } else {
            made.push(letters[at]);
            at += 1;
        }
    }
    match made.split_once("── ").and_then(|(before, rest)| Some((before, rest.split_once(" ──")?))) {
        Some((before, (text, behind))) if text.ends_with(|c: char| c.is_ascii_digit()) => {
            format!("{before}── Monday, 23 November 2026 ──{behind}")
        }
        _ => made,
    }
}

#[test]
fn kept_screens_have_the_same_time_and_day_always() {
    let line = "│ ── Sunday, 1 March 2026 ── 09:59 bob: 1 device 0a1b2c3d";
    assert_eq!(stable(line), "│ ── Monday, 23 November 2026 ── 10:24 bob: 1 device 5f3a09c1");
    assert_eq!(stable("── new ──"), "── new ──");
}

#[test]
fn the_readme_shows_a_screen_as_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let [readme, screen] = ["README.md", "docs/screens/conversation.txt"]
        .map(|it| std::fs::read_to_string(root.join(it)).unwrap());
    assert!(readme.contains(&format!("\n{screen}```\n")), "README.md is to show:\n{screen}");
}

#[test]
fn two_people_and_a_group_at_their_terminals() {
    let mut company = Company::open();
    for (handle, name) in [("alice", "Alice Liddell"), ("bob", "Robert Roe"), ("carol", "Carol King")] {
        let link = company.invite_with(&[handle, "--name", name]).ok()["link"].as_str().unwrap().to_owned();
        company.enroll(handle, &link).ok();
    }
    std::fs::write(company.path("figures.csv"), "quarter;sum\n".repeat(20_000)).unwrap();
    {
        let Some(at) = Terminals::open(&company, "first.tmux") else { return };
        at.chat("alice", "");
        at.chat("bob", "NO_COLOR=1");
        at.sees("alice", &["alice at Acme", "online"]);
        at.sees("bob", &["bob at Acme", "online"]);
        conversation(&at);
        group(&at);
        eviction(&at);
    }
    offline(&mut company);
}

fn conversation(at: &Terminals<'_>) {
    at.press("alice", &["F3"]);
    at.write("alice", "rob");
    keep("search", &at.sees("alice", &["Search: rob", "▶ bob, Robert Roe"]));
    at.press("alice", &["Enter"]);
    at.sees("alice", &["bob (Robert Roe)", "F2: you and bob can read this, 2 devices"]);
    at.write("alice", "Good morning! Are the figures ready?");
    at.press("alice", &["Enter"]);
    at.sees_end("alice", " sent");
    keep("list", &at.sees("bob", &["● 1 new  Good morning!", "Choose a conversation"]));
    at.press("bob", &["Enter"]);
    at.sees("bob", &["── new ──", "Are the figures ready?"]);
    at.sees_end("alice", "ready?          read");
    at.press("bob", &["Up"]);
    at.sees("bob", &["▌Good morning!", "r reply"]);
    at.press("bob", &["r"]);
    at.write("bob", "Yes: 完了 ✓. They come with this.");
    keep("reply", &at.sees("bob", &["Replying (Esc stops) to alice: Good", "> Yes: 完了 ✓."]));
    at.press("bob", &["Enter", "C-f"]);
    at.write("bob", "figures.csv");
    at.sees("bob", &["Send a file", "> figures.csv"]);
    at.press("bob", &["Enter"]);
    at.sees("alice", &["> you: Good morning!", "[file] figures.csv (234.38 KiB)"]);
    at.press("alice", &["Up", "s", "BSpace"]);
    at.write("alice", "downloads");
    at.press("alice", &["Enter"]);
    at.sees("alice", &["saved as downloads/figures.csv"]);
    let saved = std::fs::read(at.company.path("downloads/figures.csv")).unwrap();
    assert_eq!(saved.len(), 240_000);
    at.press("alice", &["+"]);
    at.write("alice", "👍");
    at.press("alice", &["Enter"]);
    at.sees("bob", &["👍 alice"]);
    at.press("alice", &["Escape"]);
    // It is told at most every five seconds that somebody writes.
    std::thread::sleep(Duration::from_secs(5));
    at.write("alice", "Thank you, @bo");
    at.press("alice", &["Tab"]);
    at.sees("alice", &["> Thank you, @bob"]);
    keep("typing", &at.sees("bob", &["alice is writing …"]));
    // Names of others are in cyan, of 8 or of 256 colours.
    let has_colour = |who| {
        let drawn = at.tmux(&["capture-pane", "-p", "-e", "-t", who]).stdout;
        let drawn = String::from_utf8(drawn).unwrap();
        ["36m", "38;5;6m"].iter().any(|colour| drawn.contains(colour))
    };
    assert!(has_colour("alice") && !has_colour("bob"), "Bob has NO_COLOR");
    keep("conversation", &at.sees("alice", &["saved as", "👍 you", "> Thank you, @bob"]));
    at.press("alice", &["Enter"]);
    at.sees("bob", &["Thank you, @bob"]);
    at.press("bob", &["F2"]);
    let parts = ["Who can read this", "alice, Alice Liddell: 1 device", "No archive"];
    keep("who", &at.sees("bob", &parts));
    at.press("bob", &["Escape", "F1"]);
    keep("help", &at.sees("bob", &["Keys", "Everywhere", "lines more"]));
    at.press("bob", &["Escape"]);
}

fn group(at: &Terminals<'_>) {
    at.press("alice", &["F4"]);
    at.write("alice", "Crew");
    at.press("alice", &["Enter"]);
    at.sees("alice", &["Who is to be in Crew?", "carol, Carol King"]);
    at.press("alice", &["Tab", "Down", "Tab"]);
    keep("found", &at.sees("alice", &["Marked: bob, carol"]));
    at.press("alice", &["Enter"]);
    at.sees("alice", &["F2: 3 members can read this, 3 devices", "* alice added "]);
    at.write("alice", "Lunch at noon?");
    at.press("alice", &["Enter"]);
    at.sees("bob", &["Crew", "● 1 new  alice: Lunch"]);
    at.press("bob", &["M-Up"]);
    at.sees("bob", &["you are in the group, by alice", "Lunch at noon?"]);
    at.write("bob", "I am coming.");
    at.press("bob", &["Enter"]);
    keep("group", &at.sees("alice", &["I am coming.", "read by 1"]));
}

fn eviction(at: &Terminals<'_>) {
    at.chat("carol", "");
    at.sees("carol", &["Crew", "2 new"]);
    at.company.offboard("carol");
    let gone = ["The end of this device", "Your organisation has ended this device."];
    let screen = at.sees("carol", &gone);
    assert!(!screen.contains("Lunch"), "{screen}");
    keep("ended", &screen);
    at.press("carol", &["q"]);
    at.sees("carol", &["ended with 2"]);
    at.write("alice", "Carol has left us.");
    at.press("alice", &["Enter"]);
    let parts = ["carol is out: ended by the organisation", "F2: 2 members can read this, 2 devices"];
    at.sees("bob", &["Carol has left us."]);
    keep("eviction", &at.sees("alice", &parts));
    // A window of another size is drawn anew.
    at.tmux(&["resize-window", "-t", "alice", "-x", "44", "-y", "14"]);
    keep("narrow", &at.sees("alice", &["F2: 2 members can read this, 2 devices\n", "Carol has left us."]));
    at.press("alice", &["C-c"]);
    at.sees("alice", &["ended with 0"]);
}

/// The relay goes and comes back; a draft outlives the program.
fn offline(company: &mut Company) {
    let at = Terminals::open(company, "second.tmux").unwrap();
    at.chat("alice", "");
    at.sees("alice", &["online", "bob (Robert Roe)"]);
    at.press("alice", &["Down", "Enter"]);
    at.sees("alice", &["F2: you and bob"]);
    company.relay.signal("-KILL");
    at.sees("alice", &["! offline, trying again"]);
    at.write("alice", "Are you there?");
    at.press("alice", &["Enter"]);
    at.write("alice", "P.S. ");
    keep("offline", &at.sees("alice", &["Are you there?", "queued", "! offline, trying again"]));
    let pid = std::fs::read_to_string(at.company.path("alice.pid")).unwrap();
    assert!(Command::new("kill").args(["-TERM", pid.trim()]).status().unwrap().success());
    at.sees("alice", &["ended with 0"]);
    drop(at);
    company.restart_relay();
    let at = Terminals::open(company, "third.tmux").unwrap();
    at.chat("alice", "");
    at.sees("alice", &["draft: P.S.", "online"]);
    at.press("alice", &["Enter"]);
    let screen = at.sees("alice", &["Are you there?", "> P.S.", "sent"]);
    assert!(!screen.contains("queued"), "{screen}");
}
