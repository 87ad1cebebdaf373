//! What no program should send: each gets its error, and the process lives.

use serde_json::{Value, json};

use crate::caller::{ALL, Caller, Transport, http};
use crate::support::{Company, PATIENCE, string};

/// The most memory that a process may ever have held after 100 MiB of JSON came, in KiB.
const MOST_MEMORY: u64 = 90 * 1024;

#[test]
fn what_is_no_request_gets_the_standards_error_and_the_process_lives() {
    let company = Company::open();
    company.member("alice");
    let cases: &[(&[u8], i64)] = &[
        (b"{", -32_700),
        (b"hello", -32_700),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\xfe\"}", -32_700),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"version\"} x", -32_700),
        (b"1", -32_600),
        (b"null", -32_600),
        (b"\"version\"", -32_600),
        (b"[]", -32_600),
        (b"{}", -32_600),
        (br#"{"jsonrpc":"1.0","id":1,"method":"version"}"#, -32_600),
        (br#"{"id":1,"method":"version"}"#, -32_600),
        (br#"{"jsonrpc":"2.0","id":1}"#, -32_600),
        (br#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32_600),
        (br#"{"jsonrpc":"2.0","id":{},"method":"version"}"#, -32_600),
        (br#"{"jsonrpc":"2.0","id":1,"method":"version","params":"x"}"#, -32_600),
        (br#"{"jsonrpc":"2.0","id":1,"id":2,"method":"version"}"#, -32_600),
        (br#"{"jsonrpc":"2.0","id":1,"method":"nothing"}"#, -32_601),
        (br#"{"jsonrpc":"2.0","id":1,"method":"version","params":[1]}"#, -32_602),
        (br#"{"jsonrpc":"2.0","id":1,"method":"version","params":{"extra":1}}"#, -32_602),
        (br#"{"jsonrpc":"2.0","id":1,"method":"send"}"#, -32_602),
        (br#"{"jsonrpc":"2.0","id":1,"method":"send","params":{"to":"bob"}}"#, 3),
        (br#"{"jsonrpc":"2.0","id":1,"method":"send","params":{"to":7,"text":"x"}}"#, -32_602),
        (br#"{"jsonrpc":"2.0","id":1,"method":"send","params":{"to":"bob","text":"\ud800"}}"#, -32_602),
        (br#"{"jsonrpc":"2.0","id":1,"method":"events.ack","params":{"number":-1}}"#, -32_602),
        (br#"{"jsonrpc":"2.0","id":1,"method":"events.ack","params":{"number":1.5}}"#, -32_602),
        (br#"{"jsonrpc":"2.0","id":1,"method":"me","params":{"account":"nobody"}}"#, 910),
    ];
    for transport in ALL {
        let mut caller = Caller::start(&company, "alice", transport, &[]);
        for (bytes, code) in cases {
            caller.raw(bytes);
            let answer = caller.read();
            let shown = String::from_utf8_lossy(bytes);
            assert_eq!(answer["error"]["code"], *code, "{transport:?} {shown}: {answer}");
            assert!(answer["error"]["message"].is_string() && answer.get("id").is_some(), "{answer}");
        }
        deep_and_many(&mut caller);
        caller.ok("version", json!({}));
    }
}

fn deep_and_many(caller: &mut Caller) {
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    caller.raw(&deep);
    assert_eq!(caller.read()[0]["error"]["code"], -32_600);
    let params =
        [br#"{"jsonrpc":"2.0","id":1,"method":"send","params":{"to":"#.to_vec(), deep, b"}}".to_vec()];
    caller.raw(&params.concat());
    assert_eq!(caller.read()["error"]["code"], -32_602);

    let call = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "version"});
    let many = Value::Array((0..257).map(call).collect());
    caller.raw(many.to_string().as_bytes());
    assert_eq!(caller.read()["error"]["code"], -32_600);
    let most = Value::Array((0..256).map(call).collect());
    caller.raw(most.to_string().as_bytes());
    let answers = caller.read();
    let answers = answers.as_array().unwrap();
    assert!(
        answers.iter().enumerate().all(|(at, answer)| answer["id"] == at && answer.get("result").is_some())
    );
    let mixed = json!([call(1), 1, {"jsonrpc": "2.0", "method": "version"}, {"jsonrpc": "2.0", "id": null, "method": "x"}]);
    caller.raw(mixed.to_string().as_bytes());
    let answers = caller.read();
    assert_eq!(answers.as_array().unwrap().len(), 3, "{answers}");
    assert_eq!(answers[1]["error"]["code"], -32_600);
    assert_eq!(answers[2]["error"]["code"], -32_601);
}

#[test]
fn a_hundred_mebibytes_are_refused_without_being_held() {
    let company = Company::open();
    company.member("alice");
    let mut huge = br#"{"jsonrpc":"2.0","id":1,"method":"send","params":{"to":"bob","text":""#.to_vec();
    huge.resize(100 * 1024 * 1024, b'x');
    huge.extend(br#""}}"#);
    for transport in ALL {
        let mut caller = Caller::start(&company, "alice", transport, &[]);
        caller.raw(&huge);
        let answer = caller.read();
        assert_eq!(answer["error"]["code"], -32_600, "{transport:?}: {answer}");
        assert_eq!(answer["id"], Value::Null);
        caller.ok("version", json!({}));
        let most = peak(caller.pid());
        assert!(most < MOST_MEMORY, "{transport:?}: {most} KiB");
    }
}

#[test]
fn notifications_are_not_answered_and_a_batch_of_them_neither() {
    let company = Company::open();
    company.member("bob");
    company.member("alice");
    let notification =
        |method: &str, params: Value| json!({"jsonrpc": "2.0", "method": method, "params": params});
    let call = |id: Value| json!({"jsonrpc": "2.0", "id": id, "method": "version"});
    for transport in ALL {
        let mut caller = Caller::start(&company, "alice", transport, &["--receive-mode", "manual"]);
        // Done or in vain, nobody hears of them.
        let silent = [
            notification("version", json!({})),
            notification("nothing", json!({})),
            notification("version", json!({"extra": 1})),
            notification("me", json!({"account": "nobody"})),
            notification("send", json!({"to": "bob", "text": format!("{transport:?}")})),
        ];
        for request in silent.iter().chain([&json!([silent[0], silent[1]])]) {
            caller.raw(request.to_string().as_bytes());
            if transport == Transport::Http {
                assert_eq!(caller.read(), Value::Null, "{request}");
            }
        }
        // The specification's own example of a mixed batch, as far as it goes here.
        let mixed = json!([call(json!("1")), silent[0], call(json!("2")), {"foo": "boo"},
            {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"}, call(json!("9"))]);
        caller.raw(mixed.to_string().as_bytes());
        let answers = caller.read();
        let told: Vec<(Value, Value)> = answers
            .as_array()
            .unwrap()
            .iter()
            .map(|answer| (answer["id"].clone(), answer["error"]["code"].clone()))
            .collect();
        let expected = [
            (json!("1"), Value::Null),
            (json!("2"), Value::Null),
            (Value::Null, json!(-32_600)),
            (json!("5"), json!(-32_601)),
            (json!("9"), Value::Null),
        ];
        assert_eq!(told, expected, "{transport:?}");
        for wrong in ["[1]", "[1,2,3]"] {
            caller.raw(wrong.as_bytes());
            let answers = caller.read();
            let count = wrong.matches(|letter: char| letter.is_ascii_digit()).count();
            assert_eq!(answers.as_array().unwrap().len(), count, "{answers}");
            assert!(answers.as_array().unwrap().iter().all(|it| it["error"]["code"] == -32_600));
        }
        caller.raw(br#"[{"jsonrpc": "2.0", "method": "sum", "id": "1"},{"jsonrpc": "2.0", "method""#);
        assert_eq!(caller.read()["error"]["code"], -32_700);
        // What a notification asks for is done all the same.
        let begun = std::time::Instant::now();
        let last =
            |caller: &mut Caller| caller.ok("conversations.show", json!({"with": "bob"}))["last"].clone();
        while last(&mut caller)["summary"] != format!("{transport:?}") {
            assert!(begun.elapsed() < PATIENCE, "{transport:?}: {}", last(&mut caller));
        }
    }
}

#[test]
fn no_method_takes_a_parameter_that_is_unknown_missing_or_of_another_type() {
    let company = Company::open();
    let mut caller = Caller::start(&company, "alice", Transport::Stdio, &["--receive-mode", "manual"]);
    let document = caller.ok("rpc.discover", json!({}));
    let mut count = 0;
    let mut refused = |method: &str, params: Value, named: &str| {
        let answer = caller.call(method, params.clone());
        assert_eq!(answer["error"]["code"], -32_602, "{method} {params}: {answer}");
        // Who has made a mistake is told which.
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(named.is_empty() || message.contains(named), "{method} {params}: {message}");
        count += 1;
    };
    for method in document["methods"].as_array().unwrap() {
        let name = string(&method["name"]);
        refused(&name, json!({"surely not": 1}), "surely not");
        refused(&name, json!([]), "by name");
        let params = method["params"].as_array().unwrap();
        if params.iter().any(|param| param["required"] == true) {
            refused(&name, json!({}), "missing field");
        }
        for param in params {
            // No parameter is a number below 0, a list of lists, or true in place of a text.
            for wrong in [json!(-1.5), json!([[[]]]), json!([true])] {
                let field = string(&param["name"]);
                refused(&name, json!({field: wrong}), "");
            }
        }
    }
    assert!(count > 400, "{count}");
    assert_eq!(caller.fails("me", json!({})), "not-enrolled", "and the process lives");
}

/// The most memory that a process has held, in KiB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_body_that_does_not_say_its_length_is_cut_too() {
    use std::io::{Read as _, Write as _};
    let company = Company::open();
    company.member("alice");
    let token_file = company.at("alice.token");
    let mut daemon = company.daemon("alice", &["rpc", "--http", "127.0.0.1:0", "--token-file", &token_file]);
    let address = string(&daemon.line()["listen"]);
    let token = std::fs::read_to_string(&token_file).unwrap().trim().to_owned();
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    let head = format!(
        "POST /rpc HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = [b"100000\r\n".to_vec(), vec![b' '; 0x10_0000], b"\r\n".to_vec()].concat();
    for _ in 0..32 {
        if stream.write_all(&chunk).is_err() {
            break;
        }
    }
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer[9..], b"413");
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"version"}"#;
    assert_eq!(http(&address, "POST", "/rpc", Some(&token), call).0, 200);
}

#[test]
fn more_calls_than_there_are_places_are_told_so_and_the_rest_goes_on() {
    let company = Company::open();
    company.member("alice");
    let mut caller = Caller::start(&company, "alice", Transport::Stdio, &["--receive-mode", "manual"]);
    let waiting: Vec<u64> =
        (0..256).map(|_| caller.begin("events.next", json!({"timeoutMs": 4_000}))).collect();
    assert_eq!(caller.fails("version", json!({})), "too-busy");
    for _ in waiting {
        let answer = caller.read();
        assert_eq!(answer["result"], Value::Null, "{answer}");
    }
    caller.ok("version", json!({}));
}
