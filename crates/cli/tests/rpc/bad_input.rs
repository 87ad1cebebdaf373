//! What no program should send: each gets its error, and the process lives.

use serde_json::{Value, json};

use crate::caller::{ALL, Caller, Transport, http};
use crate::support::{Company, string};

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
        "POST /rpc HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n"
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
