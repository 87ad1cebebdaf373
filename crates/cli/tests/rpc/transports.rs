//! The same script over every transport, and who may connect.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::caller::{ALL, Caller, Transport, http};
use crate::support::{Company, run, string};

/// Calls that anybody may make in this order; what they answer says nothing of who serves, or how.
fn script(caller: &mut Caller, tag: &str) -> Vec<Value> {
    let group = format!("Team {tag}");
    let text = |n: u64| format!("{n} over {tag}");
    let calls = [
        ("version", json!({})),
        ("accounts.list", json!({})),
        ("me", json!({})),
        ("me", json!({"account": "default"})),
        ("me", json!({"account": "nobody"})),
        ("sync", json!({"timeoutMs": 20_000})),
        ("policy", json!({})),
        ("logStatus", json!({})),
        ("devices.list", json!({})),
        ("members.resolve", json!({"who": "bob"})),
        ("members.resolve", json!({"who": "nobody"})),
        ("send", json!({"to": "bob", "text": text(1)})),
        ("send", json!({"to": "nobody", "text": "lost"})),
        ("send", json!({"to": "bob"})),
        ("send", json!({"to": "bob", "text": "x", "files": ["/nowhere/at/all"]})),
        ("send", json!({"text": "to whom?"})),
        ("history", json!({"with": "bob", "from": 1_000})),
        ("history", json!({"with": "nobody"})),
        ("groups.create", json!({"name": group, "members": ["bob"], "timeoutMs": 30_000})),
        ("groups.list", json!({"account": 7})),
        ("groups.send", json!({"group": group, "text": text(2), "timeoutMs": 30_000})),
        ("groups.show", json!({"group": group})),
        ("groups.role", json!({"group": group, "member": "bob", "role": "admin", "timeoutMs": 30_000})),
        ("groups.role", json!({"group": group, "member": "bob", "role": "king"})),
        ("groups.history", json!({"group": group})),
        ("groups.show", json!({"group": "no such group"})),
        ("events.next", json!({"after": 1_000_000, "timeoutMs": 50})),
        ("events.ack", json!({"number": 1_000_000})),
        ("no.such.method", json!({})),
        ("version", json!([])),
    ];
    assert_eq!(calls.len(), 30);
    calls
        .into_iter()
        .map(|(method, params)| {
            let mut answer = caller.call(method, params);
            simplify(&mut answer, tag);
            json!([method, answer])
        })
        .collect()
}

/// Takes out what cannot be the same twice: identifiers, times, counters and the name of the transport.
fn simplify(value: &mut Value, tag: &str) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    "id" | "group" | "conversation" | "sent_at" | "at" | "time" | "fingerprint"
                    | "envelopes" | "home" => {
                        *value = Value::Null;
                    }
                    _ => simplify(value, tag),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| simplify(value, tag)),
        Value::String(text) => *text = text.replace(tag, "TAG"),
        _ => {}
    }
}

#[test]
fn thirty_calls_give_the_same_answers_over_every_transport() {
    let company = Company::open();
    company.member("alice");
    company.member("bob");
    let answers = ALL.map(|transport| {
        // Of one length, since errors name the column.
        let tag = format!("way-{}", transport as u8);
        let mut caller = Caller::start(&company, "alice", transport, &["--receive-mode", "manual"]);
        script(&mut caller, &tag)
    });
    for (transport, found) in ALL.iter().zip(&answers) {
        for (call, first) in found.iter().zip(&answers[0]) {
            assert_eq!(call, first, "{transport:?}");
        }
    }
    let failed = answers[0].iter().filter(|call| call[1].get("error").is_some()).count();
    assert_eq!(failed, 13, "{:#?}", answers[0]);
}

#[test]
fn nobody_without_the_token_is_served() {
    let company = Company::open();
    company.member("alice");
    let mut caller = Caller::start(&company, "alice", Transport::Tcp, &[]);
    let token = std::fs::read_to_string(company.at("alice.token")).unwrap().trim().to_owned();
    caller.ok("me", json!({}));
    drop(caller);

    let mut daemon =
        company.daemon("alice", &["rpc", "--tcp", "127.0.0.1:0", "--token-file", &company.at("alice.token")]);
    let address = string(&daemon.line()["listen"]);
    for first in [
        json!({"jsonrpc": "2.0", "id": 1, "method": "me"}),
        json!({"jsonrpc": "2.0", "id": 1, "method": "authenticate", "params": {"token": "0".repeat(64)}}),
        json!([{"jsonrpc": "2.0", "id": 1, "method": "authenticate", "params": {"token": token}}]),
    ] {
        let mut stranger = Caller::over_tcp(&address);
        stranger.raw(first.to_string().as_bytes());
        let answer = stranger.read();
        let error = answer.pointer("/error").or_else(|| answer.pointer("/0/error")).unwrap();
        assert_eq!(error["data"]["name"], "token-missing", "{answer}");
        assert!(stranger.is_closed(), "{first}");
    }
    drop(daemon);

    let mut daemon = company
        .daemon("alice", &["rpc", "--http", "127.0.0.1:0", "--token-file", &company.at("alice.token")]);
    let address = string(&daemon.line()["listen"]);
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"version"}"#;
    assert_eq!(http(&address, "POST", "/rpc", None, call).0, 401);
    assert_eq!(http(&address, "POST", "/rpc", Some("wrong"), call).0, 401);
    assert_eq!(http(&address, "GET", "/events", None, b"").0, 401);
    assert_eq!(http(&address, "POST", "/rpc", Some(&token), call).0, 200);
    assert_eq!(http(&address, "GET", "/rpc", Some(&token), b"").0, 405);
    assert_eq!(http(&address, "GET", "/", Some(&token), b"").0, 404);
    let notification = br#"{"jsonrpc":"2.0","method":"version"}"#;
    assert_eq!(http(&address, "POST", "/rpc", Some(&token), notification), (204, Vec::new()));
}

#[test]
fn what_others_could_get_at_is_refused_before_anything_is_served() {
    let company = Company::open();
    company.member("alice");
    let refused = |arguments: &[&str], name: &str, code: i32| {
        company.command("alice", &[&["rpc"], arguments].concat()).fails(code, name, false);
    };
    let open = company.path("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    refused(&["--socket", &company.at("open/rpc")], "socket-unsafe", 2);
    std::fs::write(company.path("token"), "0".repeat(64)).unwrap();
    std::fs::set_permissions(company.path("token"), std::fs::Permissions::from_mode(0o644)).unwrap();
    refused(&["--tcp", "127.0.0.1:0", "--token-file", &company.at("token")], "socket-unsafe", 2);
    refused(&["--http", "127.0.0.1:0", "--token-file", &company.at("token")], "socket-unsafe", 2);
    let fresh = company.at("fresh");
    refused(&["--tcp", "0.0.0.0:0", "--token-file", &fresh], "not-loopback", 64);
    refused(&["--http", "[::]:0", "--token-file", &fresh], "not-loopback", 64);
    refused(&["--tcp", "127.0.0.1:0"], "usage", 64);
    assert_eq!(run(&["rpc", "--no-account", "--socket", &company.at("nowhere/rpc"), "--json"]).code, 3);

    let mode = |path: &str| std::fs::metadata(company.path(path)).unwrap().permissions().mode() & 0o777;
    let caller = Caller::start(&company, "alice", Transport::Socket, &[]);
    assert_eq!(mode("alice.sock"), 0o600);
    drop(caller);
    let caller = Caller::start(&company, "alice", Transport::Socket, &["--group-access"]);
    assert_eq!(mode("alice.sock"), 0o660);
    drop(caller);
}
