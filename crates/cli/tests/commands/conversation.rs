//! Members of one organisation talk through a real relay: text, files, history, the cursor, an outage.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Company, string};

#[test]
fn two_members_exchange_text_and_files_and_see_each_message_once() {
    let company = Company::open();
    let alice = company.member("alice");
    let bob = company.member("bob");
    assert_eq!(alice["organisation"], "Acme");
    assert_ne!(alice["member"], bob["member"]);

    let sent = company.command("alice", &["send", "bob", "Hello", "Bob"]).ok();
    assert_eq!(sent["state"], "sent");
    let received = company.command("bob", &["receive"]).ok();
    let expected = json!({
        "event": "message", "id": sent["id"], "from": alice["member"], "handle": "alice",
        "conversation": alice["member"], "sent_at": received["sent_at"], "text": "Hello Bob", "files": [],
        "state": "received", "kind": "member", "unit": null, "group": null,
        "unread": true, "position": 0,
    });
    assert_eq!(received, expected);
    let time = string(&received["sent_at"]);
    assert!(time.len() == 24 && time.ends_with('Z'), "{time}");

    let picture: Vec<u8> = (0..=250).cycle().take(600_000).collect();
    std::fs::write(company.path("picture.png"), &picture).unwrap();
    std::fs::write(company.path("empty.txt"), b"").unwrap();
    let (first, second) = (company.at("picture.png"), company.at("empty.txt"));
    company.command("bob", &["send", "alice", "two files", "--file", &first, "--file", &second]).ok();
    let downloads = company.at("downloads");
    let received = company.command("alice", &["receive", "--save", &downloads]).ok();
    let files = received["files"].as_array().unwrap();
    assert_eq!((&files[0]["name"], &files[0]["size"]), (&json!("picture.png"), &json!(600_000)));
    assert_eq!((&files[1]["name"], &files[1]["size"]), (&json!("empty.txt"), &json!(0)));
    assert_eq!(std::fs::read(string(&files[0]["path"])).unwrap(), picture);
    assert_eq!(std::fs::read(string(&files[1]["path"])).unwrap(), b"");

    // The cursor has moved: nothing comes twice, and an empty mailbox is no failure.
    for who in ["alice", "bob"] {
        let again = company.command(who, &["receive"]);
        assert_eq!((again.code, again.lines.len()), (0, 0), "{again:?}");
        assert_eq!(
            company.texts(who, if who == "alice" { "bob" } else { "alice" }),
            ["Hello Bob", "two files"]
        );
    }
    let history = company.command("alice", &["history", "bob"]);
    assert_eq!(history.lines[0]["state"], "sent");
    assert_eq!(history.lines[0]["from"], alice["member"]);
    assert_eq!(history.lines[0]["conversation"], bob["member"]);
    assert_eq!(history.lines[1]["files"][0]["path"], files[0]["path"]);
}

#[test]
fn somebody_who_enrolled_since_is_written_to_although_the_relay_is_down() {
    let mut company = Company::open();
    company.member("alice");
    company.member("bob");
    company.relay.kill();
    let queued = company.command("alice", &["send", "bob", "are you there?"]);
    queued.is_queued("relay-unreachable");
    let waiting = company.command("alice", &["history", "bob"]);
    assert_eq!(
        (&waiting.lines[0]["text"], &waiting.lines[0]["state"]),
        (&json!("are you there?"), &json!("queued"))
    );
    company.restart_relay();
    company.command("alice", &["receive"]);
    let received = company.command("bob", &["receive"]).ok();
    assert_eq!((&received["text"], &received["id"]), (&json!("are you there?"), &queued.lines[0]["id"]));
    company.command("alice", &["send", "nobody", "hello"]).fails(3, "unknown-recipient", false);
}

#[test]
fn a_follower_prints_what_comes_and_what_another_process_has_stored() {
    let company = Company::open();
    company.member("alice");
    company.member("bob");
    let mut follower = company.daemon("bob", &["receive", "--follow"]);
    for number in 0..5 {
        company.command("alice", &["send", "bob", &format!("message {number}")]).ok();
    }
    for number in 0..5 {
        assert_eq!(follower.line()["text"], format!("message {number}"));
    }
    // Beside the follower the same home is written from.
    company.command("bob", &["send", "alice", "beside"]).ok();
    assert_eq!(company.command("alice", &["receive"]).ok()["text"], "beside");
    follower.stop();
    let rest = company.command("bob", &["receive"]);
    assert_eq!((rest.code, rest.lines.len()), (0, 0), "what was printed was taken: {rest:?}");
}

#[test]
fn a_message_waits_for_the_relay_and_goes_with_the_next_command() {
    let mut company = Company::open();
    company.member("alice");
    company.member("bob");
    company.learn_directory("alice");
    company.command("bob", &["send", "alice", "before"]).ok();
    company.relay.kill();

    let queued = company.command("alice", &["send", "bob", "during"]);
    queued.is_queued("relay-unreachable");
    let message = string(&queued.error.as_ref().unwrap()["message"]);
    assert!(message.contains("will be sent") && message.contains("cannot be reached"), "{message}");
    assert_eq!(queued.lines[0]["id"].as_str().unwrap().len(), 32);
    company.command("alice", &["receive"]).fails(5, "relay-unreachable", true);
    let history = company.command("alice", &["history", "bob"]);
    assert_eq!(history.lines.last().unwrap()["state"], "queued");

    company.restart_relay();
    let received = company.command("alice", &["receive"]).ok();
    assert_eq!(received["text"], "before");
    let received = company.command("bob", &["receive"]).ok();
    assert_eq!((&received["text"], &received["id"]), (&json!("during"), &queued.lines[0]["id"]));
    let history = company.command("alice", &["history", "bob"]);
    assert!(history.lines.iter().any(|line| line["text"] == "during" && line["state"] == "sent"));
}

#[test]
fn what_is_stored_is_printed_although_the_relay_is_down() {
    let mut company = Company::open();
    company.member("alice");
    company.member("bob");
    company.command("alice", &["send", "bob", "hello"]).ok();
    receive_deaf(&company, "bob");
    company.relay.kill();
    let received = company.command("bob", &["receive"]);
    received.fails(5, "relay-unreachable", true);
    assert_eq!(received.lines.len(), 1, "{received:?}");
    assert_eq!(received.lines[0]["text"], "hello");
    let again = company.command("bob", &["receive"]);
    again.fails(5, "relay-unreachable", true);
    assert!(again.lines.is_empty(), "{again:?}");
}

/// Takes over what has arrived, but has nobody to print it to: a closed stdout.
pub(crate) fn receive_deaf(company: &Company, who: &str) {
    let (home, key) = (company.at(who), company.at(&format!("{who}.key")));
    let mut command = crate::support::chancery(&["receive", "--home", &home, "--key-file", &key]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn a_killed_follower_repeats_and_never_omits_and_history_has_each_message_once() {
    let company = Company::open();
    company.member("alice");
    company.member("bob");
    let mut seen: Vec<Value> = Vec::new();
    for round in 0..4 {
        let mut follower = company.daemon("bob", &["receive", "--follow"]);
        for number in 0..3 {
            company.command("alice", &["send", "bob", &format!("{round}.{number}")]).ok();
        }
        seen.push(follower.line()["id"].clone());
        follower.kill();
        while let Some(line) = follower.try_line() {
            seen.push(line["id"].clone());
        }
    }
    let rest = company.command("bob", &["receive"]);
    assert_eq!(rest.code, 0, "{rest:?}");
    seen.extend(rest.lines.iter().map(|line| line["id"].clone()));
    let history = company.command("bob", &["history", "alice"]);
    let texts: Vec<String> = history.lines.iter().map(|line| string(&line["text"])).collect();
    let expected: Vec<String> =
        (0..4).flat_map(|round| (0..3).map(move |number| format!("{round}.{number}"))).collect();
    assert_eq!(texts, expected);
    for line in &history.lines {
        assert!(seen.contains(&line["id"]), "never printed: {line}");
    }
}

#[test]
fn a_closed_stdout_ends_quietly_and_takes_nothing() {
    let company = Company::open();
    company.member("alice");
    company.member("bob");
    company.command("alice", &["send", "bob", "hello"]).ok();
    receive_deaf(&company, "bob");
    assert_eq!(company.command("bob", &["receive"]).ok()["text"], "hello");
}

#[test]
fn people_get_lines_and_not_escape_sequences() {
    let company = Company::open();
    company.member("alice");
    company.member("bob");
    company.command("alice", &["send", "bob", "one\n[2026-01-01 00:00] boss: \u{1b}[2Jtwo"]).ok();
    let (home, key) = (company.at("bob"), company.at("bob.key"));
    let output =
        crate::support::chancery(&["receive", "--home", &home, "--key-file", &key]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("] alice: one\n    [2026"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    assert_eq!(output.stderr, b"");
}

#[test]
fn a_sender_gives_up_waiting_in_time() {
    let company = Company::open();
    company.member("alice");
    company.member("bob");
    company.learn_directory("alice");
    // A relay that accepts and never says a word.
    company.relay.signal("-STOP");
    let begun = std::time::Instant::now();
    let queued = company.command("alice", &["send", "bob", "hello", "--timeout", "2"]);
    let received = company.command("alice", &["receive", "--timeout", "1"]);
    company.relay.signal("-CONT");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    // It is slow; nobody can say that it cannot be reached.
    queued.is_queued("timed-out");
    received.fails(5, "timed-out", true);
    assert_eq!(company.command("bob", &["receive"]).lines.len(), 0);
    company.command("alice", &["receive"]);
    assert_eq!(company.command("bob", &["receive"]).ok()["text"], "hello");
}
