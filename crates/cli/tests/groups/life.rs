//! A group from its founding to its end.

use serde_json::{Value, json};

use crate::support::{Company, string};
use crate::{acts, handles, roles, texts};

#[test]
fn a_group_is_founded_written_to_and_read_by_all_its_members() {
    let company = Company::open();
    company.people(&["alice", "bob", "carol"]);
    let id = company.found("alice", "Crew", &["bob", "carol"]);
    let file = company.at("menu.txt");
    std::fs::write(&file, b"soup").unwrap();
    let sent = company.group("alice", &["send", "Crew", "lunch", "at", "noon?", "--file", &file]).ok();
    assert_eq!((&sent["state"], &sent["group"]), (&json!("sent"), &json!(id)));

    for who in ["bob", "carol"] {
        let downloads = company.at(&format!("{who}-downloads"));
        let received = company.command(who, &["receive", "--save", &downloads]);
        assert_eq!(received.code, 0, "{received:?}");
        assert_eq!(
            (acts(&received.lines), texts(&received.lines)),
            (vec!["joined".to_owned()], vec!["lunch at noon?".to_owned()])
        );
        let message = received.lines.iter().find(|line| line["event"] == "message").unwrap();
        assert_eq!((&message["group"], &message["id"]), (&json!({"id": id, "name": "Crew"}), &sent["id"]));
        assert_eq!((&message["handle"], &message["conversation"]), (&json!("alice"), &json!(id)));
        assert_eq!(std::fs::read(string(&message["files"][0]["path"])).unwrap(), b"soup");
    }
    let readers = company.command("bob", &["readers", "Crew"]).lines;
    assert_eq!(readers.len(), 3, "{readers:?}");
    assert!(
        readers.iter().all(|it| it["devices"].as_array().is_some_and(|devices| devices.len() == 1)),
        "{readers:?}"
    );
    let names: std::collections::BTreeSet<_> = readers.iter().map(|it| string(&it["handle"])).collect();
    assert_eq!(names, ["alice", "bob", "carol"].map(str::to_owned).into());
    company.command("bob", &["readers", "nobody"]).fails(3, "unknown-recipient", false);
    company.writes("bob", &id[..8], "gladly");
    for (who, other) in [("alice", "carol"), ("carol", "alice")] {
        assert_eq!(company.reads(who), ["gladly"], "{who}, as {other} does");
        assert_eq!(company.hears(who), Vec::<Value>::new(), "nothing comes twice");
    }
    let all = ["alice", "bob", "carol"];
    let shown = all.map(|who| company.show(who, "Crew"));
    for one in &shown {
        assert_eq!(handles(one), all);
        assert_eq!((&one["fingerprint"], &one["epoch"]), (&shown[0]["fingerprint"], &shown[0]["epoch"]));
    }
    assert_eq!(roles(&shown[1])[0].1, "owner");
    for who in all {
        let history = company.group(who, &["history", &id]);
        assert_eq!(
            (history.code, texts(&history.lines)),
            (0, vec!["lunch at noon?".to_owned(), "gladly".to_owned()])
        );
        let list = company.group(who, &["list"]).ok();
        assert_eq!(
            (&list["group"], &list["name"], &list["devices"]),
            (&json!(id), &json!("Crew"), &json!(3))
        );
    }
}

#[test]
fn a_group_stands_in_the_list_with_its_messages_as_unread_and_its_acts_not() {
    let company = Company::open();
    company.people(&["alice", "bob"]);
    let id = company.found("alice", "Crew", &["bob"]);
    company.hears("bob");
    let listed = company.command("bob", &["conversations"]).ok();
    assert_eq!(
        (&listed["kind"], &listed["conversation"], &listed["title"], &listed["unread"]),
        (&json!("group"), &json!(id), &json!("Crew"), &json!(0))
    );
    let last = &listed["last"];
    assert_eq!((&last["summary"], &last["act"]["name"]), (&Value::Null, &json!("Crew")), "{listed}");

    company.writes("alice", "Crew", "lunch at noon?");
    company.command("alice", &["send", "bob", "and you?"]).ok();
    company.command("bob", &["receive", "--unread"]);
    let listed = company.command("bob", &["conversations"]).lines;
    assert_eq!(listed.iter().map(|line| &line["unread"]).collect::<Vec<_>>(), [1, 1]);
    let crew = listed.iter().find(|line| line["title"] == "Crew").unwrap();
    assert_eq!(crew["last"]["summary"], "lunch at noon?");
    let newest = company.command("bob", &["history", "Crew", "--last", "2", "--mark-read"]).lines;
    assert_eq!((newest.len(), texts(&newest)), (2, vec!["lunch at noon?".to_owned()]));
    let listed = company.command("bob", &["conversations"]).lines;
    let unread = |title: &str| listed.iter().find(|line| line["title"] == title).unwrap()["unread"].clone();
    assert_eq!((unread("Crew"), unread("alice")), (json!(0), json!(1)));
    company.command("bob", &["draft", &id, "Soup?"]).ok();
    assert_eq!(company.command("bob", &["draft", "Crew"]).ok(), json!({"draft": "Soup?"}));
    let told = company.command("alice", &["receive", "--all-events"]).lines;
    let sent: Vec<_> = told.iter().filter(|line| line["event"] == "sent").map(|line| &line["to"]).collect();
    assert_eq!(sent, ["Crew", "bob"]);
}

#[test]
fn members_come_and_go_roles_change_and_the_group_ends() {
    let company = Company::open();
    company.people(&["alice", "bob", "carol", "dave"]);
    company.found("alice", "Crew", &["bob"]);
    company.hears("bob");
    company.group("bob", &["add", "Crew", "carol"]).fails(2, "group-not-allowed", false);
    company.group("alice", &["role", "Crew", "bob", "admin"]).ok();
    company.hears("bob");
    company.group("bob", &["add", "Crew", "carol", "dave"]).ok();
    company.group("bob", &["remove", "Crew", "dave"]).ok();
    company.writes("bob", "Crew", "without dave");
    assert_eq!(company.reads("dave"), Vec::<String>::new());
    assert_eq!(company.show("dave", "Crew")["phase"], "removed");
    company.group("dave", &["send", "Crew", "hello?"]).fails(3, "group-left", false);
    assert_eq!(company.reads("carol"), ["without dave"]);
    company.hears("alice");
    assert_eq!(handles(&company.show("alice", "Crew")), ["alice", "bob", "carol"]);

    company.group("alice", &["rename", "Crew", "Night crew"]).ok();
    let changes = [
        "policy",
        "Night crew",
        "--retention",
        "30d",
        "--posting",
        "admins",
        "--heal",
        "7d",
        "--history",
        "5",
    ];
    company.group("alice", &changes).ok();
    let lines = company.hears("carol");
    assert_eq!(acts(&lines), ["renamed", "policy"]);
    let policy = &company.show("carol", "Night crew")["policy"];
    assert_eq!(
        (&policy["retention_s"], &policy["posting"], &policy["heal_s"], &policy["history"]),
        (&json!(2_592_000), &json!("admins"), &json!(604_800), &json!(5))
    );
    company.group("carol", &["send", "Night crew", "may I?"]).fails(2, "group-not-allowed", false);
    company.group("alice", &["heal", "Night crew"]).ok();
    company.group("alice", &["hand-over", "Night crew", "bob"]).ok();
    company.hears("bob");
    let shown = company.show("bob", "Night crew");
    assert_eq!(roles(&shown)[..2], [("alice".into(), "admin".into()), ("bob".into(), "owner".into())]);
    // Somebody who stays has to make the keys without her.
    let leaves = company.group("alice", &["leave", "Night crew", "--timeout", "3"]);
    leaves.fails(5, "group-queued", false);
    // It is bob's turn after 5 s, in which an administrator before him could have done it.
    let begun = std::time::Instant::now();
    while company.show("alice", "Night crew")["phase"] != "left" {
        assert!(begun.elapsed().as_secs() < 45, "{}", company.show("alice", "Night crew"));
        company.hears("bob");
        company.hears("alice");
    }
    assert_eq!(handles(&company.show("bob", "Night crew")), ["bob", "carol"]);
    company.group("bob", &["dissolve", "Night crew"]).ok();
    assert!(acts(&company.hears("carol")).contains(&"dissolved".to_owned()));
    company.group("carol", &["send", "Night crew", "anybody?"]).fails(1, "group-dissolved", false);
    assert!(
        texts(&company.group("carol", &["history", "Night crew"]).lines).contains(&"without dave".to_owned())
    );
}

#[test]
fn whoever_was_offline_catches_up_with_all_that_happened() {
    let company = Company::open();
    company.people(&["alice", "bob", "carol", "dave"]);
    company.found("alice", "Crew", &["bob", "carol"]);
    // Carol has not even heard of the group.
    company.hears("bob");
    company.writes("bob", "Crew", "one");
    company.group("alice", &["add", "Crew", "dave"]).ok();
    company.writes("alice", "Crew", "two");
    company.group("alice", &["rename", "Crew", "Team"]).ok();
    company.writes("bob", "Crew", "three");
    company.hears("dave");
    company.writes("dave", "Team", "four");
    // Of each sender in order; whose message waits for a credential comes behind.
    let mut read = company.reads("carol");
    read.sort();
    assert_eq!(read, ["four", "one", "three", "two"]);
    assert_eq!(company.show("carol", "Team")["fingerprint"], company.show("dave", "Team")["fingerprint"]);
    company.writes("carol", "Team", "five");
    assert_eq!(company.reads("bob"), ["two", "four", "five"]);
}

#[test]
fn what_is_wanted_without_a_relay_is_done_by_the_next_command_that_reaches_it() {
    let mut company = Company::open();
    company.people(&["alice", "bob", "carol"]);
    company.found("alice", "Crew", &["bob"]);
    company.hears("alice");
    company.relay.stop();
    let queued = company.group("alice", &["rename", "Crew", "Team", "--timeout", "2"]);
    queued.fails(5, "group-queued", false);
    assert_eq!(queued.lines[0]["state"], "queued");
    company.group("alice", &["send", "Crew", "hello", "--timeout", "2"]).is_queued("relay-unreachable");
    assert_eq!(company.group("alice", &["list"]).ok()["waiting"], 1);
    company.restart_relay();
    company.hears("alice");
    let lines = company.hears("bob");
    assert_eq!(texts(&lines), ["hello"]);
    assert_eq!(company.show("bob", "Team")["name"], "Team");
    assert_eq!(company.group("alice", &["list"]).ok()["waiting"], 0);
}

#[test]
fn two_administrators_who_act_at_once_both_have_their_way() {
    let company = Company::open();
    company.people(&["alice", "bob", "carol", "dave", "erin"]);
    let id = company.found("alice", "Crew", &["bob"]);
    company.group("alice", &["role", "Crew", "bob", "admin"]).ok();
    company.hears("bob");
    let mut both = [("alice", "carol"), ("bob", "dave")]
        .map(|(who, whom)| company.daemon(who, &["group", "add", &id, whom]));
    for process in &mut both {
        assert_eq!(process.line()["state"], "done");
        assert_eq!(process.wait().code(), Some(0));
    }
    let all = ["alice", "bob", "carol", "dave"];
    for who in all {
        company.hears(who);
    }
    let shown = all.map(|who| company.show(who, &id));
    for one in &shown {
        assert_eq!(handles(one), all);
        assert_eq!(one["fingerprint"], shown[0]["fingerprint"]);
    }
    // The same, twice: it is done once, and nobody is told of a failure that is none.
    let mut both = ["alice", "bob"].map(|who| company.daemon(who, &["group", "add", &id, "erin"]));
    for process in &mut both {
        assert_eq!(process.line()["state"], "done");
    }
    company.hears("erin");
    assert_eq!(handles(&company.show("erin", &id)), ["alice", "bob", "carol", "dave", "erin"]);
}

#[test]
fn a_follower_shows_group_messages_as_they_come_and_follows_commits() {
    let company = Company::open();
    company.people(&["alice", "bob"]);
    let mut bob = company.daemon("bob", &["receive", "--follow"]);
    let id = company.found("alice", "Crew", &["bob"]);
    assert_eq!(bob.line()["act"], "joined");
    company.writes("alice", &id, "one");
    assert_eq!(bob.line()["text"], "one");
    company.group("alice", &["rename", &id, "Team"]).ok();
    assert_eq!(bob.line()["act"], "renamed");
    // Another process of bob's home writes meanwhile.
    company.writes("bob", "Team", "two");
    assert_eq!(company.reads("alice"), ["two"]);
    bob.stop();
}

#[test]
fn every_device_of_a_member_is_in_the_group_and_new_ones_come_in_by_themselves() {
    let company = Company::open();
    company.people(&["alice", "bob"]);
    let id = company.found("alice", "Crew", &["bob"]);
    company.hears("bob");
    let (org, key) = (company.at("org"), company.at("org.key"));
    let invited = crate::support::run(&[
        "org",
        "invite",
        "bob",
        "--device",
        "--dir",
        &org,
        "--key-file",
        &key,
        "--json",
    ]);
    company.enroll("bob2", &string(&invited.ok()["link"])).ok();
    // An administrator of the group comes by.
    let mut alice = company.daemon("alice", &["receive", "--follow"]);
    let begun = std::time::Instant::now();
    loop {
        company.hears("bob2");
        let list = company.group("bob2", &["list"]);
        if list.lines.first().is_some_and(|group| group["devices"] == 3) {
            break;
        }
        assert!(begun.elapsed().as_secs() < 60, "{list:?}");
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    company.writes("bob2", &id, "from my other device");
    let heard = std::iter::from_fn(|| alice.try_line()).find(|line| line["event"] == "message").unwrap();
    assert_eq!((&heard["text"], &heard["handle"]), (&json!("from my other device"), &json!("bob")));
    let own = company.hears("bob");
    let own = own.iter().find(|line| line["event"] == "message").unwrap();
    assert_eq!((&own["text"], &own["state"]), (&json!("from my other device"), &json!("sent")));
    alice.stop();
}

#[test]
fn a_joiner_sees_what_was_written_before_and_who_sent_it_again_r_content_17() {
    let company = Company::open();
    company.people(&["alice", "bob", "carol"]);
    let id = company.found("alice", "Crew", &["bob"]);
    company.group("alice", &["policy", "Crew", "--history", "1"]).ok();
    company.hears("bob");
    company.writes("bob", &id[..8], "first");
    company.writes("bob", &id[..8], "second");
    company.hears("alice");
    company.group("alice", &["add", "Crew", "carol"]).ok();
    assert_eq!(texts(&company.hears("carol")), Vec::<String>::new(), "it is no event");
    let history = company.group("carol", &["history", &id]);
    assert_eq!(texts(&history.lines), ["second"], "{history:?}");
    assert_eq!(
        (&history.lines[0]["handle"], &history.lines[0]["resent_by"]),
        (&json!("bob"), &json!("alice"))
    );
    let own = company.group("alice", &["history", &id]);
    assert!(own.lines.iter().all(|line| line["resent_by"].is_null()), "{own:?}");
}
