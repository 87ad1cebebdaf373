//! Full disks: what cannot be written now is written later, and nothing is lost or half changed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Outcome, chancery, string};
use crate::{honest_traffic_goes_on, received, send_all, send_file, two_who_talk};

/// A small file system in the place of a folder, with the folder's contents; unmounted on drop.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Returns `None` where the test may not mount. What happens in store and relay is then tested by theirs,
    /// with a limit on pages instead of a disk.
    fn over(folder: &Path, size: &str) -> Option<Self> {
        let aside = folder.with_extension("aside");
        std::fs::create_dir_all(folder).unwrap();
        std::fs::rename(folder, &aside).unwrap();
        std::fs::create_dir(folder).unwrap();
        let options = format!("size={size},mode=0700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(folder).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            println!("skipped: a small disk cannot be mounted here (root is needed)");
            return None;
        }
        let copied = Command::new("cp").arg("-a").arg(aside.join(".")).arg(folder).status();
        assert!(copied.unwrap().success());
        Some(Self(folder.into()))
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let ballast = self.0.join("ballast");
        let mut ballast = std::fs::File::options().create(true).append(true).open(ballast).unwrap();
        for block in [65_536, 4_096, 1] {
            while std::io::Write::write_all(&mut ballast, &vec![7; block]).is_ok() {}
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _done = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_home_on_a_full_disk_loses_nothing() {
    let (company, _) = two_who_talk();
    company.member("carol");
    company.learn_directory("alice");
    let Some(disk) = SmallDisk::over(&company.path("alice"), "4m") else { return };
    let file = company.at("large");
    std::fs::write(&file, vec![1; 3 << 20]).unwrap();
    let spooled = || std::fs::read_dir(company.path("alice/spool")).unwrap().count();

    // A log that is there already has room for a few commits more.
    let mut sent = until_full(&disk, || company.command("alice", &["send", "bob", "no room"]));
    let for_a_file = ["send", "bob", "no room for a file", "--file", &file];
    sent += until_full(&disk, || company.command("alice", &for_a_file));
    assert_eq!(until_full(&disk, || company.command("alice", &["send", "carol", "no room"])), 0);
    assert_eq!(spooled(), 0);
    company.command("bob", &["send", "alice", "for alice"]).ok();
    disk.fill();
    let full = company.command("alice", &["receive"]);
    full.fails(5, "disk-full", true);
    assert!(full.lines.is_empty(), "{full:?}");
    disk.empty();
    assert_eq!(received(&company, "alice"), ["for alice"]);
    assert_eq!(received(&company, "bob"), vec!["no room"; sent]);
    assert_eq!(received(&company, "carol"), Vec::<String>::new());
    // There is room for a text now and not for two such files.
    let two_files = ["send", "bob", "too large", "--file", &file, "--file", &file];
    company.command("alice", &two_files).fails(5, "disk-full", true);
    assert_eq!(spooled(), 0);
    assert_eq!(company.texts("alice", "bob").len(), 3 + sent);
    honest_traffic_goes_on(&company);
}

#[test]
fn a_follower_outlives_a_full_disk() {
    let (company, _) = two_who_talk();
    let Some(disk) = SmallDisk::over(&company.path("bob"), "4m") else { return };
    let mut follower = company.daemon("bob", &["receive", "--follow"]);
    send_all(&company, &["there is room"]);
    assert_eq!(follower.line()["text"], "there is room");
    disk.fill();
    // More than can be put where something has been before.
    let texts: Vec<String> = (0..40).map(|number| format!("{number} ").repeat(8_000)).collect();
    send_all(&company, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    std::thread::sleep(Duration::from_millis(700));
    let stored = company.texts("bob", "alice").len();
    assert!(stored < texts.len(), "the disk was not full");
    disk.empty();
    // A line whose number could not be noted on the full disk may come again, with the same identifier.
    let mut line = follower.line();
    if line["text"] == "there is room" {
        line = follower.line();
    }
    for (number, text) in texts.iter().enumerate() {
        assert_eq!(line["text"], text.as_str());
        if number + 1 < texts.len() {
            line = follower.line();
        }
    }
    follower.stop();
    assert_eq!(received(&company, "bob"), Vec::<String>::new());
}

/// Repeats a command on a full disk until it fails; returns how often it did not.
#[track_caller]
fn until_full(disk: &SmallDisk, attempt: impl Fn() -> Outcome) -> usize {
    for sent in 0..500 {
        disk.fill();
        let outcome = attempt();
        if outcome.code != 0 {
            outcome.fails(5, "disk-full", true);
            assert!(outcome.lines.is_empty(), "{outcome:?}");
            return sent;
        }
    }
    panic!("the disk is never full");
}

#[test]
fn a_relay_on_a_full_disk_loses_nothing() {
    let (mut company, _) = two_who_talk();
    let file = company.at("file");
    std::fs::write(&file, vec![1; 600_000]).unwrap();
    send_all(&company, &["before"]);
    company.relay.stop();
    let Some(disk) = SmallDisk::over(&company.path("data"), "6m") else { return };
    company.restart_relay();
    disk.fill();
    let mut ids = Vec::new();
    for arguments in [&["send", "bob", "first"][..], &["send", "bob", "second", "--file", &file]] {
        let queued = company.command("alice", arguments);
        queued.is_queued("relay-full");
        ids.push(queued.lines[0]["id"].clone());
    }
    disk.empty();
    assert_eq!(received(&company, "alice"), Vec::<String>::new());
    let received = company.command("bob", &["receive", "--save", &company.at("downloads")]);
    assert_eq!(received.code, 0, "{received:?}");
    let texts: Vec<&Value> = received.lines.iter().map(|line| &line["text"]).collect();
    assert_eq!(texts, ["before", "first", "second"]);
    assert_eq!([&received.lines[1]["id"], &received.lines[2]["id"]], [&ids[0], &ids[1]]);
    let saved = std::fs::read(string(&received.lines[2]["files"][0]["path"])).unwrap();
    assert!(saved == vec![1; 600_000]);
    honest_traffic_goes_on(&company);
    company.relay.stop();
}

#[test]
fn a_full_disk_for_downloads_holds_up_no_message() {
    let (company, _) = two_who_talk();
    let Some(disk) = SmallDisk::over(&company.path("downloads"), "1m") else { return };
    disk.fill();
    send_file(&company, "attached");
    send_all(&company, &["after"]);
    let folder = company.at("downloads");
    let full = company.command("bob", &["receive", "--save", &folder]);
    full.fails(5, "disk-full", true);
    assert_eq!(full.lines[0]["files"][0]["error"]["code"], "disk-full", "{full:?}");
    assert_eq!((full.lines.len(), &full.lines[1]["text"]), (2, &"after".into()), "{full:?}");
    let left: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["ballast"]);
    disk.empty();
    let received = company.command("bob", &["receive", "--save", &folder]);
    assert_eq!((received.code, received.lines.len()), (0, 1), "{received:?}");
    let saved = std::fs::read(string(&received.lines[0]["file"]["path"])).unwrap();
    assert!(saved == std::fs::read(company.path("attached")).unwrap());
}

/// `/dev/full` takes nothing, as a disk does that a shell's redirection has filled.
#[test]
fn lines_that_nobody_could_store_are_printed_again() {
    let (company, _) = two_who_talk();
    send_all(&company, &["one", "two"]);
    let words = company.words("bob", &["receive"]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = chancery(&words).stdout(full).stderr(Stdio::piped()).output().unwrap();
    Outcome::of(&output, &words).fails(5, "disk-full", true);
    assert_eq!(received(&company, "bob"), ["one", "two"]);
}
