//! The same script over every transport, and who may connect.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::caller::{ALL, Caller, Transport, http, http_with};
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
        ("messages.edit", json!({"with": "bob", "message": "ID", "text": text(3)})),
        ("messages.react", json!({"with": "bob", "message": "last", "emoji": "👍"})),
        ("messages.answer", json!({"with": "bob", "message": "last", "values": {"ok": "yes"}})),
        ("send", json!({"to": "bob", "text": text(4), "replyTo": {"id": "ID", "from": "ME"}})),
        ("send", json!({"to": "bob", "text": text(4), "replyTo": {"id": "7", "from": "ME"}})),
        ("send", json!({"to": "bob", "text": text(4), "replyTo": {"id": 7, "from": "ME"}})),
        ("messages.delete", json!({"with": "bob", "message": "last"})),
        ("messages.delete", json!({"with": "bob", "message": "0000000000000000"})),
        ("conversations.setDraft", json!({"with": "bob", "text": "begun"})),
        ("conversations.show", json!({"with": "bob"})),
        ("conversations.history", json!({"with": "bob", "limit": 2})),
        ("conversations.markRead", json!({"with": "bob", "position": 1_000})),
        ("members.list", json!({"filter": "b"})),
        ("settings.set", json!({"typing": false})),
        ("settings.show", json!({})),
        ("disappearing.set", json!({"with": "bob", "seconds": 90})),
        ("disappearing.set", json!({"with": "bob", "seconds": 0})),
        ("typing", json!({"to": "bob"})),
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
    assert!(calls.len() >= 30);
    let (mut last, mut own) = (String::new(), String::new());
    calls
        .into_iter()
        .map(|(method, params)| {
            let params = params.to_string().replace("\"ID\"", &json!(last).to_string());
            let params = params.replace("\"ME\"", &json!(own).to_string());
            let mut answer = caller.call(method, serde_json::from_str(&params).unwrap());
            let of = |name: &str| answer["result"][name].as_str().map(str::to_owned);
            // Of the first message, for what is done to it.
            last = if last.is_empty() { of("id").unwrap_or_default() } else { last.clone() };
            own = if own.is_empty() { of("member").unwrap_or_default() } else { own.clone() };
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
                    "id" | "group" | "conversation" | "sent_at" | "edited_at" | "at" | "time"
                    | "fingerprint" | "envelopes" | "home" | "position" | "next" | "receipts" => {
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
fn the_same_calls_give_the_same_answers_over_every_transport() {
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
    assert_eq!(failed, 17, "{:#?}", answers[0]);
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
fn no_web_page_is_served_whatever_name_leads_here() {
    let company = Company::open();
    company.member("alice");
    let token_file = company.at("alice.token");
    let mut daemon = company.daemon("alice", &["rpc", "--http", "127.0.0.1:0", "--token-file", &token_file]);
    let address = string(&daemon.line()["listen"]);
    let port = address.rsplit(':').next().unwrap();
    let token = std::fs::read_to_string(&token_file).unwrap().trim().to_owned();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"version"}"#;
    let ask = |lines: &str| http_with(&address, "POST /rpc", &format!("{lines}\r\n{bearer}"), call);
    for host in ["127.0.0.1", "localhost", "LocalHost:1", "[::1]:80", &address] {
        assert_eq!(ask(&format!("Host: {host}")).0, 200, "{host}");
    }
    // The page's own name leads here (DNS rebinding): the browser takes it to be the page's own server.
    for lines in [
        format!("Host: evil.example:{port}"),
        "Host: 192.0.2.1".to_owned(),
        "Host: localhost.evil.example".to_owned(),
        "Host:".to_owned(),
        format!("Host: {address}\r\nHost: evil.example"),
        format!("Host: {address}\r\nOrigin: https://evil.example"),
        format!("Host: {address}\r\nOrigin: null"),
        format!("Host: {address}\r\nOrigin: http://{address}"),
    ] {
        let (status, body) = ask(&lines);
        assert_eq!(status, 403, "{lines}");
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["error"]["data"]["name"], "origin-refused", "{lines}");
    }
    let other = format!("Host: evil.example\r\n{bearer}");
    assert_eq!(http_with(&address, "GET /events", &other, b"").0, 403);
    let absolute = format!("Host: {address}\r\n{bearer}");
    assert_eq!(http_with(&address, "POST http://evil.example/rpc", &absolute, call).0, 403);
    // What a browser asks before it sends a token somewhere else.
    let asked =
        format!("Host: {address}\r\nOrigin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n");
    assert_eq!(http_with(&address, "OPTIONS /rpc", &asked, b"").0, 403);
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
