//! Events: pushed or asked for, and never lost between receiving and acting.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::caller::{Caller, Transport};
use crate::support::{Company, string};

fn two() -> Company {
    let company = Company::open();
    company.member("alice");
    company.member("bob");
    company
}

/// Returns the next message that is pushed, past what else happens.
fn message(caller: &mut Caller) -> Value {
    loop {
        let event = caller.event();
        if event["event"]["event"] == "message" {
            return event;
        }
    }
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
        let seen = if mode.is_empty() { message(&mut bot) } else { bot.ok("events.next", next.clone()) };
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
    let seen = message(&mut bot);
    assert_eq!((&seen["account"], &seen["event"]["handle"]), (&json!("default"), &json!("alice")));
    std::thread::sleep(Duration::from_millis(1_500));
    bot.ok("version", json!({}));
    assert!(bot.events.is_empty(), "{:?}", bot.events);
    drop(bot);
    let mut bot = Caller::start(&company, "bob", Transport::Stdio, &[]);
    assert_eq!(message(&mut bot), seen);
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
