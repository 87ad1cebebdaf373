//! What a call over each transport costs beside the same call in Rust. The figures in docs/FIGURES.md are of
//! `cargo test --release -p chancery-cli --test rpc overhead -- --nocapture`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::caller::{ALL, Caller, Transport};
use crate::support::Company;

/// Calls of each kind in a round: some in a test, many where figures are wanted.
const CALLS: usize = if cfg!(debug_assertions) { 10 } else { 100 };
/// Rounds, so that what else the machine does meets all alike.
const ROUNDS: usize = if cfg!(debug_assertions) { 1 } else { 5 };
/// Entries of the history that is read.
const PAGE: usize = 50;
/// How long a message may take to the relay.
const WAIT: Duration = Duration::from_secs(30);

/// Times of `me`, of a history of 50 and of sending.
type Times = [Vec<Duration>; 3];

/// How long each of some calls takes, past the first ones.
fn times(mut call: impl FnMut()) -> Vec<Duration> {
    (0..3).for_each(|_| call());
    let timed = (0..CALLS).map(|_| {
        let begun = Instant::now();
        call();
        begun.elapsed()
    });
    timed.collect()
}

/// The medians in microseconds.
fn medians(rounds: &[Times]) -> [f64; 3] {
    [0, 1, 2].map(|at| {
        let mut all: Vec<Duration> = rounds.iter().flat_map(|times| times[at].iter().copied()).collect();
        all.sort();
        all[all.len() / 2].as_secs_f64() * 1e6
    })
}

/// One connection over HTTP that stays open, as programs use it.
struct Http {
    stream: BufReader<TcpStream>,
    head: String,
}

impl Http {
    fn call(&mut self, method: &str, params: &Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let request = format!("{}Content-Length: {}\r\n\r\n{body}", self.head, body.len());
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            self.stream.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        serde_json::from_slice(&body).unwrap()
    }
}

/// The times over one transport.
fn over(company: &Company, transport: Transport) -> Times {
    let mut caller = Caller::start(company, "alice", transport, &["--receive-mode", "manual"]);
    let mut http = (transport == Transport::Http).then(|| {
        let address = caller.address();
        let token = std::fs::read_to_string(company.at("alice.token")).unwrap();
        let token = token.trim();
        let head = format!("POST /rpc HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n");
        let stream = TcpStream::connect(&address).unwrap();
        stream.set_nodelay(true).unwrap();
        Http { stream: BufReader::new(stream), head }
    });
    let mut call = |method: &str, params: Value| match &mut http {
        Some(http) => http.call(method, &params)["result"].clone(),
        None => caller.ok(method, params),
    };
    let me = times(|| assert_eq!(call("me", json!({}))["handle"], "alice"));
    let history = times(|| {
        let page = call("conversations.history", json!({"with": "bob", "limit": PAGE}));
        assert_eq!(page["entries"].as_array().unwrap().len(), PAGE);
    });
    let send = times(|| {
        let sent = call("send", json!({"to": "bob", "text": "The pump has stopped."}));
        assert_eq!(sent["state"], "sent");
    });
    [me, history, send]
}

/// The same in Rust, connected as the process that serves is.
fn in_rust(company: &Company) -> Times {
    // One thread, as the command has.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let key = chancery::read_key_file(company.at("alice.key")).unwrap();
    let client = chancery::Client::open(&company.path("alice"), &key).unwrap();
    let follower = client.clone();
    let following = runtime.spawn(async move { follower.follow(std::future::pending()).await });
    let send = || {
        let sent = runtime.block_on(client.send("bob", "The pump has stopped.", &[], WAIT)).unwrap();
        assert!(sent.waiting.is_none());
    };
    (0..PAGE).for_each(|_| send());
    let me = times(|| assert_eq!(std::hint::black_box(&client).me().handle, "alice"));
    let history = times(|| {
        let page = runtime.block_on(client.history_before("bob", None, PAGE)).unwrap();
        assert_eq!(page.iter().count(), PAGE);
    });
    let send = times(send);
    following.abort();
    [me, history, send]
}

#[test]
fn a_call_costs_little_beside_the_same_in_rust() {
    let company = Company::open();
    company.member("bob");
    company.member("alice");
    company.learn_directory("alice");
    let (mut rust, mut rpc) = (Vec::new(), ALL.map(|_| Vec::new()));
    for _ in 0..ROUNDS {
        rust.push(in_rust(&company));
        for (transport, rounds) in ALL.iter().zip(&mut rpc) {
            rounds.push(over(&company, *transport));
        }
    }
    let rust = medians(&rust);
    println!("medians of {}, in microseconds, and times the same in Rust", CALLS * ROUNDS);
    println!("in Rust: me {:.1}, history of {PAGE} {:.0}, send {:.0}", rust[0], rust[1], rust[2]);
    for (transport, rounds) in ALL.iter().zip(&rpc) {
        let [me, history, send] = medians(rounds);
        println!(
            "{transport:?}: me {me:.0}, history of {PAGE} {history:.0} ({:.2}), send {send:.0} ({:.2})",
            history / rust[1],
            send / rust[2]
        );
        // Far above what it takes, so that a machine that is busy does not matter.
        assert!(me < 50_000.0, "{transport:?}: {me} us");
    }
}
