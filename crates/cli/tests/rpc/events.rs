//! Events: pushed or asked for, and never lost between receiving and acting.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::caller::{Caller, Transport, http};
use crate::support::{Company, string};

fn two() -> Company {
    let company = Company::open();
    company.member("alice");
    company.member("bob");
    company
}

#[test]
fn a_bot_killed_between_receiving_and_acknowledging_gets_the_event_again() {
    let company = two();
    company.command("alice", &["send", "bob", "one"]).ok();
    company.command("alice", &["send", "bob", "two"]).ok();
    let manual = ["--receive-mode", "manual"];
    let next = json!({"timeoutMs": 20_000});
    for (transport, mode) in [(Transport::Stdio, manual.as_slice()), (Transport::Socket, &[])] {
        let mut bot = Caller::start(&company, "bob", transport, mode);
        let seen =
            if mode.is_empty() { bot.event_of("message") } else { bot.ok("events.next", next.clone()) };
        assert_eq!(seen["event"]["text"], "one");
        bot.kill();
        let mut bot = Caller::start(&company, "bob", Transport::Stdio, &manual);
        let again = bot.ok("events.next", next.clone());
        assert_eq!(again, seen, "the same, with the same number and identifier");
    }
    let mut bot = Caller::start(&company, "bob", Transport::Stdio, &manual);
    let first = bot.ok("events.next", next.clone());
    let second = bot.ok("events.next", json!({"timeoutMs": 20_000, "after": first["number"]}));
    assert_eq!(second["event"]["text"], "two", "before the first is acknowledged");
    bot.ok("events.ack", json!({"number": first["number"]}));
    bot.kill();
    let mut bot = Caller::start(&company, "bob", Transport::Stdio, &manual);
    assert_eq!(bot.fails("events.ack", json!({"number": second["number"]})), "event-unknown");
    assert_eq!(bot.ok("events.next", next.clone()), second, "what was acknowledged comes no more");
    bot.ok("events.ack", json!({"number": second["number"]}));
    assert_eq!(bot.ok("events.next", json!({})), Value::Null);
}

#[test]
fn who_waits_for_an_event_holds_nobody_up_and_is_woken() {
    let company = two();
    let mut bot = Caller::start(&company, "bob", Transport::Stdio, &["--receive-mode", "manual"]);
    let waiting = bot.begin("events.next", json!({"timeoutMs": 30_000}));
    let begun = Instant::now();
    for _ in 0..20 {
        bot.ok("me", json!({}));
    }
    assert!(begun.elapsed() < Duration::from_secs(15));
    company.command("alice", &["send", "bob", "wake up"]).ok();
    assert_eq!(bot.answer(waiting)["result"]["event"]["text"], "wake up");
    assert!(begun.elapsed() < Duration::from_secs(25));
}

#[test]
fn events_are_pushed_once_to_a_connection_and_again_to_the_next() {
    let company = two();
    let mut bot = Caller::start(&company, "bob", Transport::Stdio, &[]);
    company.command("alice", &["send", "bob", "hello"]).ok();
    let seen = bot.event_of("message");
    assert_eq!((&seen["account"], &seen["event"]["handle"]), (&json!("default"), &json!("alice")));
    std::thread::sleep(Duration::from_millis(1_500));
    bot.ok("version", json!({}));
    assert!(bot.events.is_empty(), "{:?}", bot.events);
    drop(bot);
    let mut bot = Caller::start(&company, "bob", Transport::Stdio, &[]);
    assert_eq!(bot.event_of("message"), seen);
}

#[test]
fn in_manual_mode_nothing_is_pushed() {
    let company = two();
    let mut bot = Caller::start(&company, "bob", Transport::Socket, &["--receive-mode", "manual"]);
    assert_eq!(bot.ok("version", json!({}))["receive_mode"], "manual");
    company.command("alice", &["send", "bob", "quietly"]).ok();
    let event = bot.ok("events.next", json!({"timeoutMs": 20_000}));
    assert_eq!(event["event"]["text"], "quietly");
    std::thread::sleep(Duration::from_millis(1_500));
    bot.ok("events.ack", json!({"number": event["number"]}));
    assert!(bot.events.is_empty(), "{:?}", bot.events);
    drop(bot);
    let bot = Caller::start(&company, "bob", Transport::Http, &["--receive-mode", "manual"]);
    let token = std::fs::read_to_string(company.at("bob.token")).unwrap();
    assert_eq!(http(&bot.address(), "GET", "/events", Some(token.trim()), b"").0, 405);
}

#[test]
fn two_clients_hear_the_same_and_what_one_acknowledges_is_done_for_both() {
    let company = two();
    let mut one = Caller::start(&company, "bob", Transport::Socket, &[]);
    let mut two = Caller::over_socket(&company.at("bob.sock"));
    company.command("alice", &["send", "bob", "to both"]).ok();
    let seen = one.event_of("message");
    assert_eq!(two.event_of("message"), seen);
    // Each has identifiers of its own, and answers go to who has asked.
    let (first, second) = (one.begin("me", json!({})), two.begin("version", json!({})));
    assert_eq!(first, second, "the same identifier");
    assert_eq!(two.answer(second)["result"]["receive_mode"], "automatic");
    assert_eq!(one.answer(first)["result"]["handle"], "bob");
    two.ok("events.ack", json!({"number": seen["number"]}));
    assert_eq!(one.ok("events.next", json!({})), Value::Null);
    // One that goes away in the middle of a call takes nothing with it.
    two.begin("events.next", json!({"timeoutMs": 30_000}));
    drop(two);
    company.command("alice", &["send", "bob", "to one"]).ok();
    assert_eq!(one.event_of("message")["event"]["text"], "to one");
}

#[test]
fn what_is_done_to_messages_and_who_has_read_them_comes_as_events() {
    let company = two();
    let mut alice = Caller::start(&company, "alice", Transport::Socket, &[]);
    let mut bob = Caller::start(&company, "bob", Transport::Socket, &[]);
    let sent = alice.ok("send", json!({"to": "bob", "text": "Tea at four"}));
    let seen = bob.event_of("message")["event"].clone();
    assert_eq!((&seen["id"], &seen["unread"]), (&sent["id"], &json!(true)));
    let read = json!({"with": "alice", "position": seen["position"]});
    assert_eq!(bob.ok("conversations.markRead", read), json!({"unread": 0}));
    // What answers acknowledges as well.
    let delivered = alice.event_of("receipt")["event"].clone();
    assert_eq!((&delivered["kind"], &delivered["id"]), (&json!("delivered"), &sent["id"]));
    let read = alice.event_of("receipt");
    assert_eq!((&read["event"]["kind"], &read["event"]["handle"]), (&json!("read"), &json!("bob")));
    assert!(read["number"].is_u64());

    alice.ok("messages.edit", json!({"with": "bob", "message": sent["id"], "text": "Tea at five"}));
    let changed = bob.event_of("message-changed")["event"].clone();
    assert_eq!((&changed["change"], &changed["text"]), (&json!("edited"), &json!("Tea at five")));
    bob.ok("messages.react", json!({"with": "alice", "message": "last", "emoji": "👍"}));
    let changed = alice.event_of("message-changed")["event"].clone();
    assert_eq!((&changed["change"], &changed["by"]["handle"]), (&json!("reacted"), &json!("bob")));
    assert_eq!(changed["reactions"][0]["emoji"], "👍");
    let reply = json!({"to": "alice", "text": "Gladly", "replyTo": {"id": seen["id"], "from": seen["from"]}});
    bob.ok("send", reply);
    assert_eq!(alice.event_of("message")["event"]["reply_to"]["text"], "Tea at five");
    alice.ok("messages.delete", json!({"with": "bob", "message": sent["id"]}));
    let changed = bob.event_of("message-changed")["event"].clone();
    assert_eq!((&changed["change"], &changed["text"]), (&json!("deleted"), &Value::Null));
}

#[test]
fn who_is_writing_and_which_device_asks_is_told_without_a_number_and_writing_never_again() {
    let company = two();
    let mut alice = Caller::start(&company, "alice", Transport::Socket, &[]);
    let mut bob = Caller::start(&company, "bob", Transport::Socket, &[]);
    // Only devices with which messages went to and fro are told.
    alice.ok("send", json!({"to": "bob", "text": "Are you there?"}));
    bob.event_of("message");
    bob.ok("send", json!({"to": "alice", "text": "Yes"}));
    alice.event_of("message");
    assert_eq!(bob.ok("typing", json!({"to": "alice"})), json!({"devices": 1}));
    let news = alice.news();
    let member = bob.ok("me", json!({}))["member"].clone();
    let typing = json!({"event": "typing", "member": member, "handle": "bob", "stopped": false});
    assert_eq!(news, json!({"account": "default", "event": typing}));
    bob.ok("typing", json!({"to": "alice", "stopped": true}));
    assert_eq!(alice.news()["event"]["stopped"], json!(true));

    let link = string(&alice.ok("devices.link", json!({}))["link"]);
    let mut phone = Caller::start(&company, "phone", Transport::Stdio, &[]);
    let enrolling = phone.begin("accounts.enrol", json!({"link": link, "timeoutMs": 60_000}));
    let news = alice.news();
    assert_eq!(news["event"]["event"], "device-request");
    // Who connects later hears of it as long as it waits, and of typing no more.
    let mut later = Caller::over_socket(&company.at("alice.sock"));
    assert_eq!(later.news(), news);
    later.ok("devices.approve", json!({"code": news["event"]["code"], "timeoutMs": 60_000}));
    assert_eq!(phone.answer(enrolling)["result"]["handle"], "alice");
}

#[test]
fn how_far_files_have_come_is_told_with_their_message_in_bytes_of_the_file() {
    let company = two();
    let mut alice = Caller::start(&company, "alice", Transport::Socket, &[]);
    let mut bob = Caller::start(&company, "bob", Transport::Socket, &[]);
    let path = company.at("big.bin");
    std::fs::write(&path, vec![7; 700_000]).unwrap();
    let sent = alice.ok("send", json!({"to": "bob", "text": "The notes", "files": [path]}));
    let whole = |caller: &mut Caller, direction: &str| {
        let mut last = 0;
        for told in 1.. {
            let progress = caller.progress();
            assert_eq!((&progress["account"], &progress["index"]), (&json!("default"), &json!(0)));
            assert_eq!((&progress["direction"], &progress["name"]), (&json!(direction), &json!("big.bin")));
            assert_eq!((&progress["message"]["id"], &progress["total"]), (&sent["id"], &json!(700_000)));
            let done = progress["done"].as_u64().unwrap();
            assert!(done >= last && told < 100, "{progress}");
            last = done;
            if done == 700_000 {
                return;
            }
        }
    };
    whole(&mut alice, "sending");
    let event = bob.event_of("message");
    bob.ok("events.saveFile", json!({"number": event["number"], "index": 0, "folder": company.at("saved")}));
    whole(&mut bob, "receiving");
}

#[test]
fn http_streams_events_until_they_are_acknowledged() {
    let company = two();
    let token_file = company.at("bob.token");
    let mut bot = Caller::start(&company, "bob", Transport::Http, &[]);
    let token = std::fs::read_to_string(&token_file).unwrap().trim().to_owned();
    let address = bot.address();
    let stream = || Caller::stream(&address, &token);
    company.command("alice", &["send", "bob", "hello"]).ok();
    let of_message = |event: &Value| event["event"]["event"] == "message";
    let seen = stream().find(of_message).unwrap();
    assert_eq!(seen["event"]["text"], "hello");
    assert_eq!(stream().find(of_message).unwrap(), seen, "on a new stream");
    let number = seen["number"].clone();
    bot.ok("events.ack", json!({"number": number}));
    company.command("alice", &["send", "bob", "again"]).ok();
    let next = stream().find(of_message).unwrap();
    assert_eq!(next["event"]["text"], "again");
}

#[test]
fn what_is_piped_in_is_answered_before_the_end() {
    use std::process::Stdio;
    let company = two();
    let words = company.words("alice", &["rpc", "--receive-mode", "manual"]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut command = crate::support::chancery(&words);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let call = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "send", "params": {"to": "bob", "text": id.to_string()}});
    for id in 1..=3 {
        writeln!(stdin, "{}", call(id)).unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 3);
    assert!(answers.iter().all(|answer| string(&answer["result"]["state"]) == "sent"), "{answers:?}");
}
