//! Conversations, members and the desk's list, as the commands print them.

use serde_json::{Value, json};

use crate::support::{Company, run, string};

/// The titles of a list of conversations, with what is unread.
fn titles(lines: &[Value]) -> Vec<(String, u64)> {
    lines.iter().map(|line| (string(&line["title"]), line["unread"].as_u64().unwrap())).collect()
}

#[test]
fn conversations_say_what_is_unread_what_came_last_and_what_was_begun() {
    let company = Company::open();
    company.member("alice");
    let bob = company.member("bob");
    company.member("carol");
    company.learn_directory("alice");
    for text in ["one", "two", "three\nand more"] {
        company.command("bob", &["send", "alice", text]).ok();
    }
    company.command("carol", &["send", "alice", "mine"]).ok();
    assert_eq!(company.command("alice", &["receive", "--unread"]).lines.len(), 4);

    let listed = company.command("alice", &["conversations"]).lines;
    assert_eq!(titles(&listed), [("carol".to_owned(), 1), ("bob".to_owned(), 3)]);
    let last = &listed[1]["last"];
    assert_eq!(
        (&listed[1]["kind"], &listed[1]["conversation"], &last["summary"], &last["from"], &last["handle"]),
        (&json!("direct"), &bob["member"], &json!("three and more"), &bob["member"], &json!("bob"))
    );

    // The end of a history, and all of it read.
    let newest = company.command("alice", &["history", "bob", "--last", "2", "--mark-read"]).lines;
    assert_eq!(
        newest.iter().map(|line| string(&line["text"])).collect::<Vec<_>>(),
        ["two", "three\nand more"]
    );
    assert_eq!((&newest[1]["position"], &last["act"]), (&last["position"], &Value::Null));
    let listed = company.command("alice", &["conversations"]).lines;
    assert_eq!(titles(&listed), [("carol".to_owned(), 1), ("bob".to_owned(), 0)]);

    // Own messages count for nobody's unread, and make the conversation the newest.
    company.command("alice", &["send", "bob", "four"]).ok();
    let listed = company.command("alice", &["conversations"]).lines;
    assert_eq!(titles(&listed), [("bob".to_owned(), 0), ("carol".to_owned(), 1)]);
    assert_eq!(listed[0]["last"]["summary"], "four");
    company.command("alice", &["history", "nobody", "--last", "2"]).fails(3, "unknown-recipient", false);
}

#[test]
fn a_draft_stays_until_it_is_forgotten_and_its_conversation_is_listed() {
    let company = Company::open();
    company.member("alice");
    company.member("bob");
    company.learn_directory("alice");
    assert!(company.command("alice", &["conversations"]).lines.is_empty());
    company.command("alice", &["draft", "bob", "Dear", "Bob,"]).ok();
    assert_eq!(company.command("alice", &["draft", "bob"]).ok(), json!({"draft": "Dear Bob,"}));
    let listed = company.command("alice", &["conversations"]).ok();
    assert_eq!((&listed["draft"], &listed["last"]), (&json!("Dear Bob,"), &Value::Null));
    company.command("alice", &["draft", "bob", &"x".repeat(32 * 1024 + 1)]).fails(
        64,
        "message-too-large",
        false,
    );
    assert_eq!(company.command("alice", &["draft", "bob", "--clear"]).ok(), json!({"draft": null}));
    assert!(company.command("alice", &["draft", "bob"]).lines.is_empty());
    assert!(company.command("alice", &["conversations"]).lines.is_empty());
}

#[test]
fn members_and_the_desks_list_name_everybody_in_their_order() {
    let company = Company::open();
    for (handle, more) in [
        ("carol", &["--unit", "Sales"][..]),
        ("alice", &["--name", "Alice Liddell"]),
        ("helper", &["--bot", "--owner", "alice"]),
    ] {
        let invited = company.invite_with(&[&[handle], more].concat()).ok();
        company.enroll(handle, &string(&invited["link"])).ok();
    }
    company.invite("dora");
    company.learn_directory("carol");
    let handles = |lines: &[Value]| lines.iter().map(|line| string(&line["handle"])).collect::<Vec<_>>();
    let members = company.command("carol", &["members"]).lines;
    assert_eq!(handles(&members), ["alice", "carol", "helper"], "dora has no device");
    assert_eq!(
        members.iter().map(|it| (&it["name"], &it["unit"], &it["kind"])).collect::<Vec<_>>(),
        [
            (&json!("Alice Liddell"), &Value::Null, &json!("member")),
            (&json!("carol"), &json!("Sales"), &json!("member")),
            (&json!("helper"), &Value::Null, &json!("bot")),
        ]
    );
    assert_eq!(handles(&company.command("carol", &["members", "SALES"]).lines), ["carol"]);
    assert_eq!(handles(&company.command("carol", &["members", "liddell"]).lines), ["alice"]);

    let (org, key) = (company.at("org"), company.at("org.key"));
    run(&["org", "offboard", "carol", "--dir", &org, "--key-file", &key, "--json"]);
    let listed = run(&["org", "list", "--dir", &org, "--key-file", &key, "--json"]);
    assert_eq!(listed.code, 0, "{listed:?}");
    assert_eq!(handles(&listed.lines), ["carol", "alice", "helper", "dora"], "as they were invited");
    let states: Vec<_> = listed.lines.iter().map(|line| string(&line["state"])).collect();
    assert_eq!(states, ["ended", "enrolled", "enrolled", "invited"]);
    let helper = &listed.lines[2];
    assert_eq!((&helper["kind"], &helper["owner"]), (&json!("bot"), &json!("alice")));
    assert!(helper["expires"].is_string() && helper["devices"].as_array().unwrap().len() == 1, "{helper}");
    assert_eq!(members[0]["member"], listed.lines[1]["member"]);
    assert_eq!(members[0]["devices"], listed.lines[1]["devices"], "by their identifiers");

    // Whoever has left is in nobody's list of members.
    company.learn_directory("alice");
    assert_eq!(handles(&company.command("alice", &["members"]).lines), ["alice", "helper"]);
}

#[test]
fn what_became_of_own_messages_is_said_to_who_asks_r_engine_119() {
    let mut company = Company::open();
    company.member("alice");
    company.member("bob");
    company.learn_directory("alice");
    let first = company.command("alice", &["send", "bob", "one"]).ok();
    let told = company.command("alice", &["receive", "--all-events"]).ok();
    assert_eq!(
        (&told["event"], &told["id"], &told["to"], told.get("why")),
        (&json!("sent"), &first["id"], &json!("bob"), None)
    );
    assert!(company.command("alice", &["receive", "--all-events"]).lines.is_empty(), "once");

    // What waits is told once it goes.
    company.relay.kill();
    company.command("alice", &["send", "bob", "two"]).is_queued("relay-unreachable");
    company.restart_relay();
    let third = company.command("alice", &["send", "bob", "three"]).ok();
    let told = company.command("alice", &["receive", "--all-events"]).lines;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|line| line["event"] == "sent"), "{told:?}");
    assert_eq!(told[1]["id"], third["id"]);
}
