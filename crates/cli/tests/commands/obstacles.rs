//! Files that cannot be sent or saved, and what goes past them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::conversation::receive_deaf;
use crate::support::{Company, chancery, string};

/// Alice, Bob and Carol, and a file of Alice's.
fn three() -> (Company, String) {
    let company = Company::open();
    for who in ["alice", "bob", "carol"] {
        company.member(who);
    }
    company.learn_directory("alice");
    let file = company.at("note.txt");
    std::fs::write(&file, b"a note").unwrap();
    (company, file)
}

fn every_file(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(every_file(&path)) } else { found.push(path) }
    }
    found
}

fn error_of(file: &Value) -> (&Value, &Value, &Value) {
    assert!(!string(&file["error"]["message"]).is_empty(), "{file}");
    (&file["path"], &file["error"]["code"], &file["error"]["retry"])
}

#[test]
fn a_file_that_the_relay_cannot_store_does_not_hold_up_what_is_for_others_r_engine_13() {
    let (company, file) = three();
    let blobs = company.path("data/blobs");
    std::fs::rename(&blobs, company.path("data/away")).unwrap();
    std::fs::write(&blobs, b"").unwrap();
    let queued = company.command("alice", &["send", "bob", "with a file", "--file", &file]);
    queued.is_queued("relay-unavailable");
    assert_eq!(company.command("alice", &["send", "carol", "without"]).ok()["state"], "sent");
    assert_eq!(company.command("carol", &["receive"]).ok()["text"], "without");

    std::fs::remove_file(&blobs).unwrap();
    std::fs::rename(company.path("data/away"), &blobs).unwrap();
    company.command("alice", &["receive"]);
    assert_eq!(company.command("bob", &["receive"]).ok()["id"], queued.lines[0]["id"]);
}

#[test]
fn a_file_that_cannot_be_saved_holds_up_no_message_and_is_tried_again_r_engine_13() {
    let (company, file) = three();
    let downloads = company.at("downloads");
    company.command("alice", &["send", "bob", "first"]).ok();
    company.command("alice", &["send", "bob", "second", "--file", &file, "--file", &file]).ok();
    company.command("alice", &["send", "bob", "third"]).ok();
    // A folder that is a file.
    std::fs::write(&downloads, b"").unwrap();
    let refused = company.command("bob", &["receive", "--save", &downloads]);
    refused.fails(1, "file-unreadable", false);
    let texts: Vec<_> = refused.lines.iter().map(|line| &line["text"]).collect();
    assert_eq!(texts, ["first", "second", "third"]);
    for file in refused.lines[1]["files"].as_array().unwrap() {
        assert_eq!(error_of(file), (&Value::Null, &json!("file-unreadable"), &json!(false)));
    }
    let again = company.command("bob", &["receive", "--save", &downloads]);
    again.fails(1, "file-unreadable", false);
    assert!(again.lines.is_empty(), "{again:?}");

    std::fs::remove_file(&downloads).unwrap();
    let saved = company.command("bob", &["receive", "--save", &downloads]);
    assert_eq!((saved.code, saved.lines.len()), (0, 2), "{saved:?}");
    for (index, line) in saved.lines.iter().enumerate() {
        assert_eq!((&line["event"], &line["id"]), (&json!("file"), &refused.lines[1]["id"]));
        assert_eq!((&line["index"], &line["handle"]), (&json!(index), &json!("alice")));
        assert_eq!(std::fs::read(string(&line["file"]["path"])).unwrap(), b"a note");
    }
    let history = company.command("bob", &["history", "alice"]);
    assert_eq!(history.lines[1]["files"][1]["path"], saved.lines[1]["file"]["path"]);
    let rest = company.command("bob", &["receive", "--save", &downloads]);
    assert_eq!((rest.code, rest.lines.len()), (0, 0), "{rest:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_of_a_message_that_was_not_printed_is_not_reported_before_it() {
    let (company, file) = three();
    let downloads = company.at("downloads");
    company.command("alice", &["send", "bob", "with a file", "--file", &file]).ok();
    std::fs::write(&downloads, b"").unwrap();
    let words = company.words("bob", &["receive", "--save", &downloads]);
    let mut unheard = chancery(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    assert!(!unheard.stdout(full).status().unwrap().success());

    std::fs::remove_file(&downloads).unwrap();
    let heard = company.command("bob", &["receive", "--save", &downloads]).ok();
    assert_eq!(heard["text"], "with a file");
    assert_eq!(std::fs::read(string(&heard["files"][0]["path"])).unwrap(), b"a note");
    assert_eq!(std::fs::read_dir(&downloads).unwrap().count(), 1);
}

#[test]
fn a_follower_saves_what_it_could_not_while_the_relay_was_away() {
    let (mut company, file) = three();
    let downloads = company.at("downloads");
    company.command("alice", &["send", "bob", "with a file", "--file", &file]).ok();
    receive_deaf(&company, "bob");
    company.relay.kill();
    // What is stored here is printed although the relay is away; only its file is not there.
    let waits = company.command("bob", &["receive", "--save", &downloads]);
    waits.fails(5, "relay-unreachable", true);
    assert_eq!(waits.lines.len(), 1, "{waits:?}");
    assert_eq!(
        error_of(&waits.lines[0]["files"][0]),
        (&Value::Null, &json!("relay-unreachable"), &json!(true))
    );
    let mut follower = company.daemon("bob", &["receive", "--follow", "--save", &downloads]);
    std::thread::sleep(Duration::from_millis(500));
    company.restart_relay();
    let line = follower.line();
    assert_eq!((&line["event"], &line["id"]), (&json!("file"), &waits.lines[0]["id"]));
    assert_eq!(std::fs::read(string(&line["file"]["path"])).unwrap(), b"a note");
    follower.stop();
}

#[test]
fn ten_thousand_files_of_one_name_hold_up_no_message() {
    let (company, file) = three();
    let downloads = company.path("downloads");
    std::fs::create_dir(&downloads).unwrap();
    std::fs::write(downloads.join("note.txt"), b"").unwrap();
    for number in 1..10_000 {
        std::fs::write(downloads.join(format!("note ({number}).txt")), b"").unwrap();
    }
    company.command("alice", &["send", "bob", "one more", "--file", &file]).ok();
    company.command("alice", &["send", "bob", "after"]).ok();
    let received = company.command("bob", &["receive", "--save", &company.at("downloads")]);
    received.fails(1, "file-unreadable", false);
    assert_eq!(received.lines.len(), 2, "{received:?}");
    assert_eq!(error_of(&received.lines[0]["files"][0]).1, "file-unreadable");
    assert_eq!(received.lines[1]["text"], "after");
    assert_eq!(std::fs::read_dir(&downloads).unwrap().count(), 10_000, "nothing half saved stays");
}

#[test]
fn a_damaged_file_does_not_hold_up_what_comes_after_it() {
    let (company, file) = three();
    company.command("alice", &["send", "bob", "damaged", "--file", &file]).ok();
    let blobs = every_file(&company.path("data/blobs"));
    assert_eq!(blobs.len(), 1, "{blobs:?}");
    let mut bytes = std::fs::read(&blobs[0]).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&blobs[0], bytes).unwrap();
    company.command("alice", &["send", "bob", "after"]).ok();

    let downloads = company.at("downloads");
    let received = company.command("bob", &["receive", "--save", &downloads]);
    assert_eq!((received.code, received.lines.len()), (0, 2), "{received:?}");
    let file = &received.lines[0]["files"][0];
    assert_eq!(error_of(file), (&Value::Null, &json!("attachment-damaged"), &json!(false)));
    assert_eq!((&file["name"], &file["size"]), (&json!("note.txt"), &json!(6)));
    assert_eq!(received.lines[1]["text"], "after");
    assert!(every_file(&company.path("downloads")).is_empty());
    let again = company.command("bob", &["receive", "--save", &downloads]);
    assert_eq!((again.code, again.lines.len()), (0, 0), "there is no hope, and no other try: {again:?}");
}
