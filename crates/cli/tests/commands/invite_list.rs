//! Lists of people to invite.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Company, Outcome, chancery, string};

impl Company {
    fn list(&self, contents: impl AsRef<[u8]>, more: &[&str]) -> Outcome {
        let path = self.at("people.csv");
        std::fs::write(&path, contents).unwrap();
        self.invite_with(&[&["--csv", &path], more].concat())
    }
}

/// Each line's handle and state.
fn states(outcome: &Outcome) -> Vec<(String, String)> {
    assert_eq!(outcome.code, 0, "{outcome:?}");
    outcome.lines.iter().map(|line| (string(&line["handle"]), string(&line["state"]))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(handle, state)| ((*handle).to_owned(), (*state).to_owned())).collect()
}

/// The lines that an error names.
fn faulty(outcome: &Outcome) -> Vec<u64> {
    outcome.fails(64, "list-invalid", false);
    let lines = outcome.error.as_ref().unwrap()["lines"].as_array().unwrap();
    assert!(lines.iter().all(|line| !line["message"].as_str().unwrap().is_empty()));
    lines.iter().map(|line| line["line"].as_u64().unwrap()).collect()
}

#[test]
fn people_of_a_list_join_and_the_list_may_be_given_again_r_org_26() {
    let company = Company::open();
    let excel = "\u{feff}handle,name,unit\r\nalice,\"Liddell, Alice\",Sales\r\nbob,Bob,\r\n";
    let dry = company.list(excel, &["--dry-run"]);
    assert_eq!(states(&dry), pairs(&[("alice", "invite"), ("bob", "invite")]));
    assert!(dry.lines.iter().all(|line| line.get("link").is_none()), "{dry:?}");
    let first = company.list(excel, &["--valid", "2h"]);
    assert_eq!(states(&first), pairs(&[("alice", "invited"), ("bob", "invited")]));
    assert_eq!((&first.lines[0]["unit"], &first.lines[1]["unit"]), (&Value::from("Sales"), &Value::Null));
    assert!(first.lines[0]["member"].is_string() && first.lines[0]["expires"].is_string());
    company.enroll("alice", &string(&first.lines[0]["link"])).ok();
    let again = company.list(excel, &["--dry-run"]);
    assert_eq!(states(&again), pairs(&[("alice", "unchanged"), ("bob", "unchanged")]));
    let more = format!("{excel}carol,Carol,\r\n");
    assert_eq!(states(&company.list(&more, &[])), pairs(&[("carol", "invited")]));
    // Only those who have not joined have a link, and it is the one that was lost.
    let reprinted = company.list(&more, &["--reprint"]);
    assert_eq!(states(&reprinted), pairs(&[("bob", "open"), ("carol", "open")]));
    assert_eq!(reprinted.lines[0]["link"], first.lines[1]["link"]);
    assert_eq!(reprinted.lines[0]["expires"], first.lines[1]["expires"]);
    company.enroll("bob", &string(&reprinted.lines[0]["link"])).ok();
}

#[test]
fn a_list_prints_a_handle_a_tab_and_a_link_for_each_and_comes_from_stdin_too() {
    let company = Company::without_desk();
    let (org, key) = (company.at("org"), company.at("org.key"));
    let mut command = chancery(&["org", "invite", "--csv", "-", "--dir", &org, "--key-file", &key]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"name,handle\nAlice,alice\nBob,bob\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = printed.lines().map(|line| line.split_once('\t').unwrap()).collect();
    assert_eq!(lines.iter().map(|(handle, _)| *handle).collect::<Vec<_>>(), ["alice", "bob"]);
    assert!(lines.iter().all(|(_, link)| link.starts_with("chancery:")));
    assert!(String::from_utf8(output.stderr).unwrap().contains("2 invited, 0 left alone"));
}

#[test]
fn whatever_is_wrong_is_told_with_its_lines_and_nobody_is_invited() {
    let company = Company::without_desk();
    let wrong = "handle,name\nalice,Alice\nBob,Bob\n\nalice,Other\neve,\"Eve\n";
    let refused = company.list(wrong, &[]);
    assert_eq!(faulty(&refused), [3, 5, 6]);
    assert!(refused.lines.is_empty());
    assert!(format!("{refused:?}").contains("handle alice stands in line 2 too"), "{refused:?}");
    assert_eq!(faulty(&company.list(wrong, &["--dry-run"])), [3, 5, 6]);
    assert_eq!(faulty(&company.list("", &[])), [1]);
    assert_eq!(faulty(&company.list("handle,name,mail\nalice,Alice,a@b\n", &[])), [1]);
    assert_eq!(faulty(&company.list([b"handle,name\nbob,".as_slice(), &[0xFF]].concat(), &[])), [2]);
    let long = format!("handle,name\nalice,{}\n", "A".repeat(1 << 20));
    assert_eq!(faulty(&company.list(long, &[])), [2]);
    let missing = company.at("nobody.csv");
    company.invite_with(&["--csv", &missing]).fails(3, "file-not-found", false);
    company.list("handle,name\nalice,\n", &["--valid", "9000d"]).fails(64, "usage", false);
    assert_eq!(
        states(&company.list("handle,name\nalice,Alice\n", &["--dry-run"])),
        pairs(&[("alice", "invite")])
    );
    assert_eq!(states(&company.list("handle,name\n", &[])), []);
}

#[test]
fn a_handle_of_somebody_else_is_a_conflict() {
    let company = Company::without_desk();
    company.invite_with(&["alice", "--name", "Alice Liddell"]).ok();
    let list = "handle,name\nbob,Bob\nalice,Alice Springs\n";
    let dry = company.list(list, &["--dry-run"]);
    assert_eq!(faulty(&dry), [3]);
    let said: Vec<_> = dry.lines.iter().map(|line| string(&line["state"])).collect();
    assert_eq!(said, ["invite", "conflict"]);
    assert_eq!(dry.lines[1]["taken_by"], "Alice Liddell");
    assert_eq!(faulty(&company.list(list, &[])), [3]);
    assert_eq!(states(&company.list("handle,name\nbob,Bob\n", &[])), pairs(&[("bob", "invited")]));
}

#[test]
fn a_command_that_is_killed_has_invited_everybody_or_nobody_r_org_26() {
    const PEOPLE: usize = 1_500;
    let company = Company::without_desk();
    let (org, key, path) = (company.at("org"), company.at("org.key"), company.at("people.csv"));
    let list: String = (0..PEOPLE).map(|number| format!("p{number},\n")).collect();
    std::fs::write(&path, format!("handle,name\n{list}")).unwrap();
    let (mut before, mut after) = (0, 0);
    for round in 0..200 {
        let mut child = chancery(&["org", "invite", "--csv", &path, "--dir", &org, "--key-file", &key])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(15 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let dry = states(&company.invite_with(&["--csv", &path, "--dry-run"]));
        let invite = dry.iter().filter(|(_, state)| state == "invite").count();
        assert!(invite == 0 || invite == PEOPLE, "{invite} of {PEOPLE} are not invited");
        if invite == PEOPLE {
            before += 1;
        } else {
            after += 1;
            break;
        }
    }
    assert!(before > 0 && after > 0, "killed {before} times before the commit and {after} times after it");
    let again = company.invite_with(&["--csv", &path, "--reprint"]);
    assert_eq!(again.lines.len(), PEOPLE);
    assert!(again.lines.iter().all(|line| line["state"] == "open" && line["link"].is_string()));
}

#[test]
fn a_list_goes_with_no_single_person_and_its_options_with_no_other() {
    let company = Company::without_desk();
    for wrong in [
        &["alice", "--csv", "people.csv"][..],
        &["--csv", "people.csv", "--name", "Alice"],
        &["--csv", "people.csv", "--device"],
        &["--csv", "people.csv", "--dry-run", "--reprint"],
        &["alice", "--dry-run"],
        &["alice", "--reprint"],
        &["--csv", "-", "--passphrase-file", "-"],
        &[],
    ] {
        company.invite_with(wrong).fails(64, "usage", false);
    }
}
