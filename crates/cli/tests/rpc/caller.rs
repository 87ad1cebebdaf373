//! Callers that know nothing of Chancery: lines on a pipe or socket, and HTTP by hand.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use serde_json::{Value, json};

use crate::support::{Company, Daemon, PATIENCE, chancery, string};

/// Which transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Stdio,
    Socket,
    Tcp,
    Http,
}

pub(crate) const ALL: [Transport; 4] = [Transport::Stdio, Transport::Socket, Transport::Tcp, Transport::Http];

/// A process that serves, and a connection to it.
pub(crate) struct Caller {
    pub(crate) process: Process,
    connection: Connection,
    last_id: u64,
    /// Events that were pushed while an answer was waited for.
    pub(crate) events: VecDeque<Value>,
    /// What was told besides while something else was waited for.
    news: VecDeque<Value>,
    progress: VecDeque<Value>,
}

/// What serves.
pub(crate) enum Process {
    Pipe(Child),
    Daemon(Daemon),
    Elsewhere,
}

enum Connection {
    Lines { writer: Box<dyn Write>, lines: Receiver<Vec<u8>> },
    Http { address: String, token: String },
}

impl Connection {
    fn lines(writer: impl Write + 'static, reader: impl Read + Send + 'static) -> Self {
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(reader).split(b'\n') {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self::Lines { writer: Box::new(writer), lines }
    }
}

impl Caller {
    /// Starts `chancery rpc` for somebody's home and connects to it.
    pub(crate) fn start(company: &Company, who: &str, transport: Transport, more: &[&str]) -> Self {
        let (socket, token) = (company.at(&format!("{who}.sock")), company.at(&format!("{who}.token")));
        let mut words = vec!["rpc"];
        words.extend(match transport {
            Transport::Stdio => vec![],
            Transport::Socket => vec!["--socket", &socket],
            Transport::Tcp => vec!["--tcp", "127.0.0.1:0", "--token-file", &token],
            Transport::Http => vec!["--http", "127.0.0.1:0", "--token-file", &token],
        });
        words.extend(more);
        let words = company.words(who, &words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = chancery(&words);
        let (process, connection) = if transport == Transport::Stdio {
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            (Process::Pipe(child), Connection::lines(stdin, stdout))
        } else {
            let mut daemon = Daemon::spawn(&mut command);
            let address = string(&daemon.line()["listen"]);
            let connection = connect(transport, &address, &token);
            (Process::Daemon(daemon), connection)
        };
        let mut caller = Self::new(process, connection);
        if transport == Transport::Tcp {
            let token = std::fs::read_to_string(&token).unwrap();
            assert_eq!(caller.ok("authenticate", json!({"token": token.trim()})), json!({"done": true}));
        }
        caller
    }

    fn new(process: Process, connection: Connection) -> Self {
        Self {
            process,
            connection,
            last_id: 0,
            events: VecDeque::new(),
            news: VecDeque::new(),
            progress: VecDeque::new(),
        }
    }

    /// Connects to a process that serves already, without showing the token.
    pub(crate) fn over_tcp(address: &str) -> Self {
        Self::new(Process::Elsewhere, connect(Transport::Tcp, address, ""))
    }

    /// Connects to a process that serves a socket already.
    pub(crate) fn over_socket(path: &str) -> Self {
        Self::new(Process::Elsewhere, connect(Transport::Socket, path, ""))
    }

    /// Calls a method and returns the whole answer.
    #[track_caller]
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.begin(method, params);
        self.answer(id)
    }

    /// Calls a method and returns the result.
    #[track_caller]
    pub(crate) fn ok(&mut self, method: &str, params: Value) -> Value {
        let answer = self.call(method, params.clone());
        assert!(answer.get("error").is_none(), "{method} {params}: {answer}");
        answer["result"].clone()
    }

    /// Calls a method that fails with an application's error, and returns its name.
    #[track_caller]
    pub(crate) fn fails(&mut self, method: &str, params: Value) -> String {
        let answer = self.call(method, params);
        let error = &answer["error"];
        assert_eq!(error["code"], error["data"]["code"], "{answer}");
        assert!(error["code"].as_i64().unwrap() > 0 && error["data"]["retry"].is_boolean(), "{answer}");
        string(&error["data"]["name"])
    }

    /// Writes a request without waiting for its answer.
    pub(crate) fn begin(&mut self, method: &str, params: Value) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        self.raw(
            json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string().as_bytes(),
        );
        id
    }

    /// Writes bytes as a request; with HTTP, waits for the answer.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        match &mut self.connection {
            Connection::Lines { writer, .. } => {
                writer.write_all(&[bytes, b"\n"].concat()).unwrap();
                writer.flush().unwrap();
            }
            Connection::Http { address, token } => {
                let (_, body) = http(address, "POST", "/rpc", Some(token), bytes);
                self.events.push_back(serde_json::from_slice(&body).unwrap_or_default());
            }
        }
    }

    /// Reads the next thing that comes.
    #[track_caller]
    pub(crate) fn read(&mut self) -> Value {
        if let Connection::Http { .. } = self.connection {
            return self.events.pop_front().unwrap();
        }
        let Connection::Lines { lines, .. } = &self.connection else { unreachable!() };
        let line = lines.recv_timeout(PATIENCE).expect("nothing comes");
        serde_json::from_slice(&line).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&line)))
    }

    /// Whether the other side has ended.
    pub(crate) fn is_closed(&self) -> bool {
        let Connection::Lines { lines, .. } = &self.connection else { return false };
        lines.recv_timeout(PATIENCE).is_err_and(|error| error == RecvTimeoutError::Disconnected)
    }

    /// Reads the answer to a request, and keeps events that come before it.
    #[track_caller]
    pub(crate) fn answer(&mut self, id: u64) -> Value {
        loop {
            let value = self.read();
            if value["id"] == id {
                assert_eq!(value["jsonrpc"], "2.0");
                return value;
            }
            self.keep(&value);
        }
    }

    #[track_caller]
    fn keep(&mut self, notification: &Value) {
        let queue = match notification["method"].as_str() {
            Some("event") => &mut self.events,
            Some("news") => &mut self.news,
            Some("progress") => &mut self.progress,
            _ => panic!("{notification}"),
        };
        assert!(notification.get("id").is_none(), "{notification}");
        queue.push_back(notification["params"].clone());
    }

    /// Returns the next event that is pushed.
    #[track_caller]
    pub(crate) fn event(&mut self) -> Value {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            let value = self.read();
            self.keep(&value);
        }
    }

    /// Returns the next event that is pushed and of this kind, past others.
    #[track_caller]
    pub(crate) fn event_of(&mut self, kind: &str) -> Value {
        loop {
            let event = self.event();
            if event["event"]["event"] == kind {
                return event;
            }
        }
    }

    /// Returns the next of what is told and has no number.
    #[track_caller]
    pub(crate) fn news(&mut self) -> Value {
        loop {
            if let Some(news) = self.news.pop_front() {
                return news;
            }
            let value = self.read();
            self.keep(&value);
        }
    }

    /// Returns the next of what is told of how far files have come.
    #[track_caller]
    pub(crate) fn progress(&mut self) -> Value {
        loop {
            if let Some(progress) = self.progress.pop_front() {
                return progress;
            }
            let value = self.read();
            self.keep(&value);
        }
    }

    /// Where an HTTP caller calls.
    pub(crate) fn address(&self) -> String {
        let Connection::Http { address, .. } = &self.connection else { panic!("not HTTP") };
        address.clone()
    }

    /// Reads server-sent events, each of which must come in time.
    pub(crate) fn stream(address: &str, token: &str) -> impl Iterator<Item = Value> {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head =
            format!("GET /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let lines = BufReader::new(stream).lines().map(Result::unwrap);
        lines.filter_map(|line| Some(serde_json::from_str(line.strip_prefix("data: ")?).unwrap()))
    }

    /// Ends the process at once, as a crash does.
    pub(crate) fn kill(mut self) {
        match &mut self.process {
            Process::Pipe(child) => {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            Process::Daemon(daemon) => daemon.kill(),
            Process::Elsewhere => {}
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        match &self.process {
            Process::Pipe(child) => child.id(),
            Process::Daemon(daemon) => daemon.id(),
            Process::Elsewhere => 0,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Self::Pipe(child) = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn connect(transport: Transport, address: &str, token: &str) -> Connection {
    match transport {
        Transport::Socket => {
            let stream = UnixStream::connect(address).unwrap();
            Connection::lines(stream.try_clone().unwrap(), stream)
        }
        Transport::Tcp => {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            Connection::lines(stream.try_clone().unwrap(), stream)
        }
        _ => {
            let token = std::fs::read_to_string(token).unwrap().trim().to_owned();
            Connection::Http { address: address.to_owned(), token }
        }
    }
}

/// Makes an HTTP request by hand, and returns status and body.
pub(crate) fn http(
    address: &str,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &[u8],
) -> (u16, Vec<u8>) {
    let token = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    http_with(address, &format!("{method} {path}"), &format!("Host: {address}\r\n{token}"), body)
}

/// Makes an HTTP request with these lines for a head, and returns status and body.
pub(crate) fn http_with(address: &str, what: &str, lines: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!("{what} HTTP/1.1\r\n{lines}Content-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    // Who refuses a body need not read it.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let at = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    (status, answer[at + 4..].to_vec())
}
