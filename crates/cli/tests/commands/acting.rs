//! Replies, edits, deletions, reactions and forms, between two members, on a second device, and in a group.

use serde_json::{Value, json};

use crate::support::{Company, chancery, string};

/// What a command prints for people.
fn printed(company: &Company, who: &str, arguments: &[&str]) -> String {
    let words = company.words(who, arguments);
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| *word != "--json").collect();
    String::from_utf8(chancery(&words).output().unwrap().stdout).unwrap()
}

#[test]
fn what_is_done_to_a_message_is_seen_by_both_and_only_its_author_changes_it() {
    let company = Company::open();
    let alice = company.member("alice");
    company.member("bob");
    let sent = company.command("alice", &["send", "bob", "Lunch at noon?"]).ok();
    company.command("bob", &["receive"]).ok();
    company.command("bob", &["react", "alice", "last", "👍"]).ok();
    company.command("bob", &["reply", "alice", "last", "Gladly"]).ok();
    company.command("bob", &["edit", "alice", &string(&sent["id"]), "forged"]).fails(
        2,
        "not-your-message",
        false,
    );
    company.command("bob", &["delete", "alice", &string(&sent["id"])]).fails(2, "not-your-message", false);
    company.command("bob", &["react", "alice", "last", ""]).fails(64, "act-invalid", false);
    company.command("bob", &["react", "alice", "ffffffffff", "x"]).fails(3, "message-unknown", false);
    let received = company.command("alice", &["receive"]);
    let [changed, reply] = received.lines.as_slice() else { panic!("{received:?}") };
    assert_eq!((&changed["event"], &changed["change"]), (&json!("message-changed"), &json!("reacted")));
    assert_eq!((&changed["id"], &changed["reactions"][0]["handle"]), (&sent["id"], &json!("bob")));
    let quote = json!({"id": sent["id"], "from": alice["member"], "handle": "alice", "text": "Lunch at noon?", "known": true});
    assert_eq!((&reply["text"], &reply["reply_to"]), (&json!("Gladly"), &quote));

    let id = string(&sent["id"]);
    company.command("alice", &["edit", "bob", &id[..8], "Lunch at one?"]).ok();
    let changed = company.command("bob", &["receive"]).ok();
    assert_eq!((&changed["change"], &changed["text"]), (&json!("edited"), &json!("Lunch at one?")));
    company.command("bob", &["react", "alice", &id, "👍", "--remove"]).ok();
    company.command("alice", &["receive"]).ok();
    company.command("alice", &["delete", "bob", &id]).ok();
    let changed = company.command("bob", &["receive"]).ok();
    assert_eq!(
        (&changed["change"], &changed["text"], &changed["deleted"]),
        (&json!("deleted"), &Value::Null, &json!(true))
    );
    for (who, with) in [("alice", "bob"), ("bob", "alice")] {
        let history = company.command(who, &["history", with]);
        assert_eq!(
            (&history.lines[0]["deleted"], &history.lines[0]["reactions"]),
            (&json!(true), &Value::Null)
        );
        assert_eq!(history.lines[1]["reply_to"]["text"], "", "nor does a reply show it here");
    }
    let text = printed(&company, "bob", &["history", "alice", "--ids"]);
    assert!(text.starts_with(&id[..8]) && text.contains("(deleted)"), "{text}");
    company.command("alice", &["edit", "bob", &id, "again"]).fails(3, "message-unknown", false);
}

#[test]
fn a_form_is_asked_and_answered_in_a_group() {
    let company = Company::open();
    company.member("alice");
    company.member("bob");
    company.command("alice", &["group", "create", "Crew", "bob"]).ok();
    company
        .command(
            "alice",
            &[
                "form",
                "Crew",
                "Lunch",
                "--choice",
                "dish!=What?:soup|stew",
                "--number",
                "guests=How many?",
                "--group",
            ],
        )
        .ok();
    let received = company.command("bob", &["receive"]);
    let asked = received.lines.last().unwrap();
    assert_eq!(
        (&asked["form"]["title"], &asked["form"]["fields"][0]["kind"]),
        (&json!("Lunch"), &json!("choice"))
    );
    company.command("bob", &["answer", "Crew", "last", "dish=fish", "--group"]).fails(
        64,
        "act-invalid",
        false,
    );
    company.command("bob", &["answer", "Crew", "last", "dish=soup", "guests=2", "--group"]).ok();
    let received = company.command("alice", &["receive"]);
    let changed = received.lines.last().unwrap();
    assert_eq!((&changed["change"], &changed["by"]["handle"]), (&json!("answered"), &json!("bob")));
    assert_eq!(changed["answers"][0]["values"], json!({"dish": "soup", "guests": "2"}));
    let text = printed(&company, "alice", &["group", "history", "Crew"]);
    assert!(text.contains("= bob: dish=soup, guests=2"), "{text}");
}

#[test]
fn who_is_named_is_marked_in_messages_replies_edits_and_groups() {
    let company = Company::open();
    let alice = company.member("alice");
    let bob = company.member("bob");
    company.learn_directory("alice");
    let mention = |start: usize, length: usize, who: &Value| json!({"start": start, "length": length, "member": who["member"]});
    let text = "@Alice, see é @bob; ask @bobby or @alice.";
    let named = ["send", "bob", text, "--mention", "alice", "--mention", "@bob"];
    company.command("alice", &named).ok();
    let received = company.command("bob", &["receive"]).ok();
    assert_eq!(
        received["mentions"],
        json!([mention(0, 6, &alice), mention(15, 4, &bob), mention(35, 6, &alice)])
    );

    company.command("bob", &["reply", "alice", "last", "@alice yes", "--mention", "alice"]).ok();
    let reply = company.command("alice", &["receive"]).ok();
    assert_eq!(
        (&reply["mentions"], &reply["reply_to"]["text"]),
        (&json!([mention(0, 6, &alice)]), &json!(text))
    );
    company.command("bob", &["edit", "alice", "last", "no @alice", "--mention", "alice"]).ok();
    assert_eq!(company.command("alice", &["receive"]).ok()["mentions"], json!([mention(3, 6, &alice)]));

    company.command("alice", &["group", "create", "Crew", "bob"]).ok();
    company.command("alice", &["group", "send", "Crew", "hi @bob", "--mention", "bob"]).ok();
    let received = company.command("bob", &["receive"]).lines;
    let said = received.iter().find(|line| line["event"] == "message").unwrap();
    assert_eq!(said["mentions"], json!([mention(3, 4, &bob)]));

    company.command("alice", &["send", "bob", "@bobby", "--mention", "bob"]).fails(64, "usage", false);
    company.command("alice", &["send", "bob", "@who", "--mention", "who"]).fails(
        3,
        "unknown-recipient",
        false,
    );
}

#[test]
fn a_preview_goes_with_the_file_before_it() {
    let company = Company::open();
    company.member("alice");
    company.member("bob");
    company.learn_directory("alice");
    let file = |name: &str, content: &[u8]| {
        std::fs::write(company.at(name), content).unwrap();
        company.at(name)
    };
    let (map, small, menu) = (file("map.png", b"map"), file("small.png", b"\xa5"), file("menu.pdf", b"menu"));
    company
        .command("alice", &["send", "bob", "here", "--file", &menu, "--file", &map, "--preview", &small])
        .ok();
    let received = company.command("bob", &["receive"]).ok();
    let files: Vec<_> =
        received["files"].as_array().unwrap().iter().map(|it| (&it["name"], it.get("preview"))).collect();
    assert_eq!(files, [(&json!("menu.pdf"), None), (&json!("map.png"), Some(&json!("pQ==")))]);

    let with =
        |preview: &str| company.command("alice", &["send", "bob", "x", "--file", &map, "--preview", preview]);
    with(&file("large.png", &[0; 16 * 1024 + 1])).fails(64, "message-too-large", false);
    with(&company.at("none.png")).fails(3, "file-not-found", false);
    company.command("alice", &["send", "bob", "x", "--preview", &small]).fails(64, "usage", false);
    with(&file("full.png", &[0; 16 * 1024])).ok();
    assert_eq!(company.texts("alice", "bob"), ["here", "x"], "nothing of what was refused");
}
