//! Accounts: one that enrols here, several in a process, and what none has of another.

use serde_json::{Value, json};

use crate::caller::{Caller, Transport};
use crate::support::{Company, string};

#[test]
fn a_bot_enrols_through_what_serves_it() {
    let company = Company::open();
    company.member("alice");
    let link = string(&company.invite_with(&["alarm", "--bot", "--owner", "alice"]).ok()["link"]);
    let mut bot = Caller::start(&company, "alarm", Transport::Stdio, &[]);
    assert_eq!(bot.ok("accounts.list", json!({}))["accounts"][0]["state"], "not-enrolled");
    for (method, params) in [
        ("me", json!({})),
        ("send", json!({"to": "alice", "text": "too early"})),
        ("events.next", json!({})),
        ("conversations.list", json!({})),
    ] {
        assert_eq!(bot.fails(method, params), "not-enrolled", "{method}");
    }
    let damaged = json!({"link": &link[..link.len() - 8]});
    assert_eq!(bot.fails("accounts.enrol", damaged), "invitation-damaged");
    let me = bot.ok("accounts.enrol", json!({"link": link, "timeoutMs": 60_000}));
    assert_eq!(me["handle"], "alarm");
    assert_eq!(bot.fails("accounts.enrol", json!({"link": link})), "already-enrolled");
    assert_eq!(bot.ok("send", json!({"to": "alice", "text": "The pump has stopped"}))["state"], "sent");
    let heard = company.command("alice", &["receive"]).ok();
    assert_eq!((&heard["text"], &heard["kind"]), (&json!("The pump has stopped"), &json!("bot")));
    // It is an account like any other from then on, and events come to it without another word.
    company.command("alice", &["send", "alarm", "Thank you"]).ok();
    assert_eq!(bot.event_of("message")["event"]["text"], "Thank you");
}

/// A process that serves alice and bob, whose homes and keys are as the command made them.
fn both(company: &Company) -> Caller {
    company.member("alice");
    company.member("bob");
    let token = company.at("token");
    let words = ["rpc", "--no-account", "--tcp", "127.0.0.1:0", "--token-file", &token, "--json"];
    let mut daemon = crate::support::Daemon::start(&words);
    let address = string(&daemon.line()["listen"]);
    let mut caller = Caller::over_tcp(&address);
    let token = std::fs::read_to_string(token).unwrap();
    caller.ok("authenticate", json!({"token": token.trim()}));
    caller.process = crate::caller::Process::Daemon(daemon);
    assert_eq!(caller.ok("accounts.list", json!({})), json!({"accounts": []}));
    assert_eq!(caller.fails("me", json!({})), "account-unnamed");
    for who in ["alice", "bob"] {
        let add =
            json!({"account": who, "home": company.at(who), "keyFile": company.at(&format!("{who}.key"))});
        assert_eq!(caller.ok("accounts.add", add)["state"], "open");
    }
    caller
}

#[test]
fn several_accounts_are_told_apart_by_name_and_none_has_what_is_anothers() {
    let company = Company::open();
    let mut caller = both(&company);
    let names = caller.ok("accounts.list", json!({}))["accounts"].clone();
    let names: Vec<&Value> = names.as_array().unwrap().iter().map(|it| &it["account"]).collect();
    assert_eq!(names, ["alice", "bob"]);
    assert_eq!(caller.fails("me", json!({})), "account-unnamed");
    assert_eq!(caller.fails("me", json!({"account": "carol"})), "account-unknown");
    assert_eq!(caller.ok("me", json!({"account": "bob"}))["handle"], "bob");

    let sent = caller.ok("send", json!({"account": "alice", "to": "bob", "text": "Hello"}));
    let event = caller.event_of("message");
    assert_eq!((&event["account"], &event["event"]["id"]), (&json!("bob"), &sent["id"]));
    let number = event["number"].clone();
    let save = json!({"account": "alice", "number": number, "index": 0, "folder": company.at("saved")});
    assert_eq!(caller.fails("events.saveFile", save), "event-unknown");
    let edit = json!({"account": "bob", "with": "alice", "message": sent["id"], "text": "Not mine"});
    assert_eq!(caller.fails("messages.edit", edit), "not-your-message");
    let made = caller.ok("groups.create", json!({"account": "alice", "name": "Mine", "timeoutMs": 30_000}));
    let many = json!({"account": "bob", "number": 1_000_000});
    assert_eq!(caller.fails("events.ack", many), "event-unknown");
    let show = json!({"account": "bob", "group": made["group"]});
    assert_eq!(caller.fails("groups.show", show), "group-unknown");
    caller.ok("events.ack", json!({"account": "bob", "number": number}));

    // A home is served once, and with its own key.
    let add = |name: &str, home: &str, key: &str| json!({"account": name, "home": company.at(home), "keyFile": company.at(key)});
    assert_eq!(caller.fails("accounts.add", add("other", "bob", "bob.key")), "account-exists");
    assert_eq!(caller.fails("accounts.add", add("alice", "fresh", "fresh.key")), "account-exists");
    assert_eq!(caller.ok("accounts.close", json!({"account": "bob"})), json!({"done": true}));
    let refused = caller.fails("accounts.add", add("bob", "bob", "alice.key"));
    assert_eq!(refused, "wrong-passphrase");
    assert_eq!(caller.ok("me", json!({}))["handle"], "alice", "the only one that is left");
    let again = caller.ok("accounts.add", add("bob", "bob", "bob.key"));
    assert_eq!(again["me"]["handle"], "bob");
}

#[test]
fn a_recipients_new_device_never_stops_an_alarm() {
    let company = Company::open();
    company.member("alice");
    let link = string(&company.invite_with(&["alarm", "--bot", "--owner", "alice"]).ok()["link"]);
    let mut bot = Caller::start(&company, "alarm", Transport::Stdio, &[]);
    bot.ok("accounts.enrol", json!({"link": link, "timeoutMs": 60_000}));
    let alarm = |bot: &mut Caller, text: &str| {
        let sent = bot.ok("send", json!({"to": "alice", "text": text, "timeoutMs": 30_000}));
        assert_eq!((&sent["state"], &sent["waiting"]), (&json!("sent"), &Value::Null), "{text}");
    };
    alarm(&mut bot, "one");
    assert_eq!(company.command("alice", &["receive"]).ok()["text"], "one");

    let link = string(&company.command("alice", &["device", "link"]).ok()["link"]);
    let mut phone = Caller::start(&company, "phone", Transport::Stdio, &[]);
    let enrolling = phone.begin("accounts.enrol", json!({"link": link, "timeoutMs": 60_000}));
    // Also while it waits for approval.
    alarm(&mut bot, "two");
    let code = loop {
        let account = phone.ok("accounts.list", json!({}))["accounts"][0].clone();
        if let Some(code) = account["code"].as_str() {
            break code.to_owned();
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    company.command("alice", &["device", "approve", &code]).ok();
    assert_eq!(phone.answer(enrolling)["result"]["handle"], "alice");
    // That there is one more is told, and waits for no answer: the next alarm goes there too.
    assert_eq!(bot.event_of("device-added")["event"]["handle"], "alice");
    alarm(&mut bot, "three");
    assert_eq!(phone.event_of("message")["event"]["text"], "three");
    let heard = company.command("alice", &["receive"]);
    let texts: Vec<&Value> =
        heard.lines.iter().filter(|it| it["event"] == "message").map(|it| &it["text"]).collect();
    assert_eq!(texts, ["two", "three"]);
}
