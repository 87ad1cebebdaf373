//! The root's key in shares.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Outcome, chancery, run, string, text};

/// An organisation without a relay: nothing here needs one.
struct Office(TempDir);

impl Office {
    fn found() -> Self {
        let office = Self(tempfile::tempdir().unwrap());
        office.org(&["init", "--name", "Acme"]).ok();
        office
    }

    fn at(&self, name: &str) -> String {
        text(&self.0.path().join(name))
    }

    fn has(&self, name: &str) -> bool {
        self.0.path().join("org").join(name).exists()
    }

    fn words(&self, arguments: &[&str]) -> Vec<String> {
        let (dir, key) = (self.at("org"), self.at("org.key"));
        let fixed = ["--dir", &dir, "--key-file", &key, "--json"];
        ["org"].iter().chain(arguments).chain(&fixed).map(ToString::to_string).collect()
    }

    fn org(&self, arguments: &[&str]) -> Outcome {
        run(&self.words(arguments).iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn org_with_stdin(&self, arguments: &[&str], input: &str) -> Outcome {
        let words = self.words(arguments);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = chancery(&words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Outcome::of(&child.wait_with_output().unwrap(), &words)
    }

    /// Splits, and writes each share into a file of its own.
    fn split(&self, more: &[&str]) -> Vec<String> {
        let split = self.org(&[&["root", "split", "--threshold", "2", "--shares", "3"], more].concat());
        assert_eq!((split.code, split.lines.len()), (0, 3), "{split:?}");
        split.lines.iter().map(|line| string(&line["share"])).collect()
    }

    fn paper(&self, name: &str, contents: &str) -> String {
        let path = self.at(name);
        std::fs::write(&path, contents).unwrap();
        path
    }

    fn join(&self, files: &[&str]) -> Outcome {
        let files = files.iter().flat_map(|file| ["--share-file", file]);
        self.org(&["root", "join"].into_iter().chain(files).collect::<Vec<_>>())
    }
}

#[test]
fn two_of_three_people_bring_the_root_back_r_org_25() {
    let office = Office::found();
    let before = std::fs::read(office.at("org/root.key")).unwrap();
    let shares = office.split(&["--remove"]);
    assert!(office.has("root.shared") && !office.has("root.key"));
    assert!(shares.iter().all(|share| share.starts_with("chancery-share:") && share.len() == 89));
    let (one, three) =
        (office.paper("one", &shares[0]), office.paper("three", &format!("{}\r\n", shares[2])));
    let joined = office.join(&[&one, &three]).ok();
    assert_eq!(joined["root"], Value::from(office.at("org/root.key")));
    assert!(office.has("root.key") && office.has("root.shared"));
    assert_ne!(std::fs::read(office.at("org/root.key")).unwrap(), before, "sealed anew");
    // It is the root: it can be split again, once its old shares are given up.
    let again = ["root", "split", "--threshold", "2", "--shares", "2"];
    office.org(&again).fails(1, "already-exists", false);
    std::fs::remove_file(office.at("org/root.shared")).unwrap();
    assert_eq!(office.org(&again).lines.len(), 2);
}

#[test]
fn shares_come_from_stdin_too_and_a_text_line_is_a_share() {
    let office = Office::found();
    let (dir, key) = (office.at("org"), office.at("org.key"));
    let split =
        ["org", "root", "split", "--dir", &dir, "--key-file", &key, "--threshold", "3", "--shares", "3"];
    let output = chancery(&split).output().unwrap();
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.lines().count() == 3 && printed.lines().all(|line| line.starts_with("chancery-share:")));
    assert!(office.has("root.key"), "only --remove removes it");
    std::fs::remove_file(office.at("org/root.key")).unwrap();
    let stdin = format!("\n{}\r\n\n", printed.replace('\n', "\r\n"));
    office.org_with_stdin(&["root", "join", "--share-file", "-"], &stdin).ok();
    assert!(office.has("root.key"));
    let twice = ["root", "join", "--share-file", "-", "--share-file", "-"];
    office.org_with_stdin(&twice, &stdin).fails(64, "usage", false);
}

#[test]
fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let office = Office::found();
    let dry = ["root", "split", "--threshold", "2", "--shares", "3", "--remove", "--dry-run"];
    let said = office.org(&dry).ok();
    assert_eq!((&said["dry_run"], &said["shares"]), (&Value::from(true), &Value::from(3)));
    assert_eq!(said["removes"], Value::from(office.at("org/root.key")));
    assert!(office.has("root.key") && !office.has("root.shared"));
    std::fs::write(office.at("org.key"), [9; 32]).unwrap();
    office.org(&dry).fails(2, "wrong-passphrase", false);
}

#[test]
fn shares_that_do_not_suffice_are_told_apart_and_change_nothing_r_org_24() {
    let (office, other) = (Office::found(), Office::found());
    let (ours, theirs) = (office.split(&["--remove"]), other.split(&[]));
    let one = office.paper("one", &ours[0]);
    let stranger = office.paper("stranger", &theirs[1]);
    let mistyped = office.paper("mistyped", &ours[1].replace(&ours[1][40..44], "????"));
    let long = office.paper("long", &"A".repeat(20_000));
    let refused = office.join(&[&one]);
    refused.fails(2, "shares-too-few", false);
    assert!(refused.message().contains("1 of 2"), "{refused:?}");
    office.join(&[&one, &one]).fails(2, "share-doubled", false);
    office.join(&[&one, &stranger]).fails(2, "shares-mixed", false);
    let refused = office.join(&[&one, &mistyped]);
    refused.fails(2, "share-damaged", false);
    assert!(refused.message().contains(&mistyped) && !refused.message().contains(&ours[1][16..40]));
    office.join(&[&one, &long]).fails(2, "share-damaged", false);
    office.join(&[&one, &office.at("nobody")]).fails(3, "file-not-found", false);
    // All three are good, and of another organisation.
    let papers: Vec<String> =
        theirs.iter().enumerate().map(|(i, share)| office.paper(&format!("t{i}"), share)).collect();
    office.join(&papers.iter().map(String::as_str).collect::<Vec<_>>()).fails(2, "shares-wrong", false);
    assert!(!office.has("root.key") && office.has("root.shared"));
    std::fs::remove_file(office.at("org/root.shared")).unwrap();
    let two = office.paper("two", &ours[1]);
    office.join(&[&one, &two]).fails(3, "file-not-found", false);
    other.join(&[&stranger, &papers[0]]).fails(1, "already-exists", false);
}

#[test]
fn numbers_of_shares_out_of_range_are_wrong_usage() {
    let office = Office::found();
    for (threshold, shares) in [("1", "3"), ("0", "0"), ("4", "3"), ("2", "17"), ("17", "17"), ("2", "256")] {
        let split = ["root", "split", "--threshold", threshold, "--shares", shares];
        office.org(&split).fails(64, "usage", false);
    }
    assert!(!office.has("root.shared"));
    let away = office.at("away");
    std::fs::rename(office.at("org/root.key"), away).unwrap();
    let split = ["root", "split", "--threshold", "2", "--shares", "3"];
    office.org(&split).fails(3, "file-not-found", false);
}

#[cfg(target_os = "linux")]
#[test]
fn shares_that_cannot_be_printed_leave_nothing_behind() {
    let office = Office::found();
    let words = office.words(&["root", "split", "--threshold", "2", "--shares", "3", "--remove"]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = chancery(&words.iter().map(String::as_str).collect::<Vec<_>>())
        .stdout(full)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_ne!(status.code(), Some(0));
    assert!(office.has("root.key") && !office.has("root.shared"));
}
