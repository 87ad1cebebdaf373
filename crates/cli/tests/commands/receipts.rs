//! What was read and delivered, what others are told, and what disappears, as people type it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Company, Daemon};

/// The next line of a follower that says something of a message, and not of the connection.
fn told(follower: &mut Daemon) -> Value {
    loop {
        let line = follower.line();
        if line["event"] != "connection" {
            return line;
        }
        assert!(line["state"].is_string(), "{line}");
    }
}

/// What alice's history says of one of her messages.
fn own(company: &Company, text: &str) -> Value {
    let history = company.command("alice", &["history", "bob"]);
    history.lines.into_iter().find(|line| line["text"] == text).unwrap()
}

#[test]
fn what_is_printed_is_read_unless_it_is_to_stay_unread_and_its_author_is_told() {
    let company = Company::open();
    company.member("alice");
    let bob = company.member("bob");
    company.command("alice", &["send", "bob", "first"]).ok();
    let received = company.command("bob", &["receive", "--unread"]).ok();
    assert_eq!(received["unread"], json!(true));
    company.command("alice", &["receive"]);
    assert_eq!(own(&company, "first")["receipts"], Value::Null);
    assert_eq!(company.command("bob", &["history", "alice"]).lines[0]["unread"], json!(true));
    assert_eq!(company.command("bob", &["read", "alice"]).ok(), json!({"read": 1}));
    assert_eq!(company.command("bob", &["read", "alice"]).ok(), json!({"read": 0}));
    let mut follower = company.daemon("alice", &["receive", "--follow", "--all-events"]);
    let said = told(&mut follower);
    // What is acknowledged is told as well; it comes first.
    assert_eq!((&said["event"], &said["kind"]), (&json!("receipt"), &json!("delivered")), "{said}");
    let said = told(&mut follower);
    assert_eq!(
        (&said["kind"], &said["handle"], &said["id"]),
        (&json!("read"), &json!("bob"), &received["id"])
    );
    let first = own(&company, "first");
    assert_eq!(first["receipts"][0]["member"], bob["member"]);
    assert!(first["receipts"][0]["read_at"].is_string() && first["receipts"][0]["delivered_at"].is_string());
    // Without --unread, and with the follower still there.
    company.command("alice", &["send", "bob", "second"]).ok();
    company.command("bob", &["receive"]).ok();
    assert_eq!(told(&mut follower)["event"], "sent");
    assert_eq!(told(&mut follower)["kind"], "delivered");
    assert_eq!(told(&mut follower)["kind"], "read");
    assert_eq!(company.command("bob", &["history", "alice"]).lines[1]["unread"], Value::Null);
}

#[test]
fn settings_are_kept_and_a_message_disappears() {
    let company = Company::open();
    company.member("alice");
    company.member("bob");
    let all = json!({"read_receipts": true, "delivery_receipts": true, "typing": true});
    assert_eq!(company.command("bob", &["settings"]).ok(), all);
    let off = json!({"read_receipts": false, "delivery_receipts": true, "typing": false});
    let set = ["settings", "--read-receipts", "off", "--typing", "off"];
    assert_eq!(company.command("bob", &set).ok(), off);
    assert_eq!(company.command("bob", &["settings"]).ok(), off);
    company.command("bob", &["settings", "--typing", "perhaps"]).fails(64, "usage", false);

    assert_eq!(company.command("alice", &["disappearing", "bob"]).ok(), json!({"disappears_after_s": null}));
    company.command("alice", &["disappearing", "bob", "367d"]).fails(64, "usage", false);
    company.command("alice", &["disappearing", "nobody", "1d"]).fails(3, "unknown-recipient", false);
    assert_eq!(
        company.command("alice", &["disappearing", "bob", "2s"]).ok(),
        json!({"disappears_after_s": 2})
    );
    company.command("alice", &["send", "bob", "soon gone"]).ok();
    let received = company.command("bob", &["receive", "--unread"]).ok();
    assert_eq!(received["disappears_after_s"], json!(2));
    std::thread::sleep(Duration::from_millis(2_500));
    assert!(company.texts("alice", "bob").is_empty(), "at its author's");
    assert_eq!(company.texts("bob", "alice"), ["soon gone"], "nobody has read it");
    company.command("bob", &["read", "alice"]).ok();
    assert_eq!(company.texts("bob", "alice"), ["soon gone"]);
    std::thread::sleep(Duration::from_millis(2_500));
    assert!(company.texts("bob", "alice").is_empty());
    let off = json!({"disappears_after_s": null});
    assert_eq!(company.command("alice", &["disappearing", "bob", "off"]).ok(), off);
}

#[test]
fn who_writes_is_told_while_messages_go_to_and_fro() {
    let company = Company::open();
    company.member("alice");
    let bob = company.member("bob");
    company.learn_directory("bob");
    assert_eq!(
        company.command("bob", &["typing", "alice"]).ok(),
        json!({"told": 0}),
        "nothing was exchanged"
    );
    company.command("alice", &["send", "bob", "there?"]).ok();
    company.command("bob", &["receive"]).ok();
    company.command("bob", &["send", "alice", "yes"]).ok();
    company.command("alice", &["receive"]).ok();
    let mut follower = company.daemon("alice", &["receive", "--follow", "--all-events"]);
    let mut next = |event: &str| loop {
        let line = follower.line();
        if line["event"] == event {
            break line;
        }
    };
    company.command("bob", &["send", "alice", "and you?"]).ok();
    next("message");
    assert_eq!(company.command("bob", &["typing", "alice"]).ok(), json!({"told": 1}));
    assert_eq!(company.command("bob", &["typing", "alice"]).ok(), json!({"told": 0}), "not within 5 s");
    let typing =
        |stopped| json!({"event": "typing", "member": bob["member"], "handle": "bob", "stopped": stopped});
    assert_eq!(next("typing"), typing(false));
    assert_eq!(company.command("bob", &["typing", "alice", "--stop"]).ok(), json!({"told": 1}));
    assert_eq!(next("typing"), typing(true));
    company.command("bob", &["typing", "nobody"]).fails(3, "unknown-recipient", false);
    company.command("bob", &["settings", "--typing", "off"]).ok();
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(company.command("bob", &["typing", "alice"]).ok(), json!({"told": 0}), "switched off");
    company.command("bob", &["settings", "--typing", "on"]).ok();
    assert_eq!(company.command("bob", &["typing", "alice"]).ok(), json!({"told": 1}));
}
