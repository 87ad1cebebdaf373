//! The relay as a process: it starts, serves, refuses and ends.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chancery_crypto::hash::sha256;
use chancery_crypto::rng::seeded;
use chancery_crypto::signature::{SigningKey, VerifyingKey};
use chancery_identity::checkpoint::Checkpoint;
use chancery_identity::log::Leaf;
use chancery_relay_server::{Config, Limits, Ready, ServerError, run};
use chancery_transport::{Connector as _, Link};
use chancery_transport_ws::WsConnector;
use chancery_wire::{RefusalCode, encode, proto};
use proto::client_frame::Body as Request;
use proto::relay_frame::Body;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::fixture::{Acme, Device, append, blob_token, deliver, frame, read, set_key};

mod slots;

/// A directory with an organisation's public export and the relay's data.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new(acme: &Acme) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("public")).unwrap();
        acme.write(&directory.path().join("public"));
        Self { directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn config(&self) -> Config {
        Config {
            organisation_dir: self.path().join("public"),
            data: self.path().join("data"),
            listen: ([127, 0, 0, 1], 0).into(),
            certificate: None,
            limits: Limits::default(),
        }
    }

    async fn start(&self) -> Server {
        let (ready, is_ready) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let config = self.config();
        let task = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            run(config, |now| ready.send(now).unwrap(), shutdown).await
        });
        Server { ready: is_ready.await.unwrap(), stop, task }
    }
}

struct Server {
    ready: Ready,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ServerError>>,
}

impl Server {
    async fn stop(self) {
        self.stop.send(()).unwrap();
        assert_eq!(self.task.await.unwrap(), Ok(()));
    }
}

/// A client that speaks frames.
struct Client {
    link: Box<dyn Link>,
    request: u64,
}

impl Client {
    async fn anonymous(acme: &Acme, url: &str, pin: [u8; 32]) -> Self {
        Self::greeted(acme, url, pin).await.0
    }

    async fn greeted(acme: &Acme, url: &str, pin: [u8; 32]) -> (Self, Vec<u8>) {
        let link = WsConnector::new(url, pin).unwrap().connect().await.unwrap();
        let mut client = Self { link, request: 0 };
        match client.ask(acme.hello()).await {
            Body::Welcome(welcome) => (client, welcome.challenge),
            other => panic!("{other:?}"),
        }
    }

    /// Logs in as a member, whose credential the desk puts into the log before.
    async fn reading(acme: &mut Acme, device: &Device, url: &str, pin: [u8; 32]) -> Self {
        let mut desk = Self::desk(acme, url, pin).await;
        assert!(matches!(desk.ask(append(4, &device.credential)).await, Body::Appended(_)));
        let (client, answer) = Self::try_login(acme, device, url, pin).await;
        assert!(matches!(answer, Body::Done(_)), "{answer:?}");
        client
    }

    async fn desk(acme: &mut Acme, url: &str, pin: [u8; 32]) -> Self {
        let desk = acme.desk();
        let (mut client, answer) = Self::try_login(acme, &desk, url, pin).await;
        assert!(matches!(answer, Body::Done(_)), "{answer:?}");
        assert_eq!(client.ask(set_key()).await, Body::Done(proto::Done::default()), "R-RELAY-56");
        client
    }

    async fn try_login(acme: &mut Acme, device: &Device, url: &str, pin: [u8; 32]) -> (Self, Body) {
        let (mut client, challenge) = Self::greeted(acme, url, pin).await;
        let login = acme.login(device, &challenge, &pin);
        let answer = client.ask(login).await;
        (client, answer)
    }

    /// Returns the newest checkpoint, which must verify under the key that the relay gives.
    async fn checkpoint(&mut self, acme: &Acme) -> Checkpoint {
        let Body::LogKey(key) = self.ask(Request::GetLogKey(proto::GetLogKey {})).await else {
            panic!("no key")
        };
        let get = Request::GetCheckpoint(proto::GetCheckpoint { from: 0 });
        let Body::Checkpoint(answer) = self.ask(get).await else { panic!("no checkpoint") };
        let key = VerifyingKey::from_bytes(&key.key).unwrap();
        Checkpoint::verify(&answer.note, &acme.org_id, &key).unwrap()
    }

    async fn next(&mut self) -> proto::RelayFrame {
        let frame = timeout(Duration::from_secs(10), self.link.receive()).await.unwrap();
        read(&frame.unwrap().unwrap())
    }

    async fn ask(&mut self, body: Request) -> Body {
        self.request = self.request.wrapping_add(1);
        self.link.send(frame(self.request, body)).await.unwrap();
        loop {
            let answer = self.next().await;
            // Others' entries make the log grow at any time.
            if !matches!(answer.body, Some(Body::LogGrown(_))) {
                assert_eq!(answer.request, self.request, "R-RELAY-2");
                return answer.body.unwrap();
            }
        }
    }

    /// Subscribes and returns everything up to `CaughtUp`.
    async fn drain(&mut self) -> Vec<proto::StoredEnvelope> {
        assert_eq!(
            self.ask(Request::Subscribe(proto::Subscribe {})).await,
            Body::Done(proto::Done::default())
        );
        let mut envelopes = Vec::new();
        loop {
            match self.next().await.body.unwrap() {
                Body::Envelope(envelope) => envelopes.push(envelope),
                Body::CaughtUp(_) => return envelopes,
                Body::LogGrown(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

fn acknowledge(envelopes: &[proto::StoredEnvelope]) -> Request {
    let sequences = envelopes.iter().map(|envelope| envelope.sequence).collect();
    Request::Acknowledge(proto::Acknowledge { sequences })
}

fn texts(envelopes: &[proto::StoredEnvelope]) -> Vec<&[u8]> {
    envelopes.iter().map(|envelope| envelope.envelope.as_slice()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_delivered_is_still_there_after_a_restart_until_it_is_acknowledged() {
    let mut acme = Acme::new(1);
    let alice = acme.device([1; 16]);
    let place = Place::new(&acme);
    let done = Body::Done(proto::Done::default());

    let server = place.start().await;
    let Ready { url, pin, .. } = server.ready.clone();
    let mut reading = Client::reading(&mut acme, &alice, &url, pin).await;
    assert_eq!(reading.drain().await, []);
    let mut sending = Client::anonymous(&acme, &url, pin).await;
    assert_eq!(sending.ask(deliver(&alice, 1, b"one")).await, done);
    assert_eq!(sending.ask(deliver(&alice, 2, b"two")).await, done);
    for expected in [b"one", b"two"] {
        let Body::Envelope(envelope) = reading.next().await.body.unwrap() else { panic!("no envelope") };
        assert_eq!(envelope.envelope, expected, "pushed");
    }
    server.stop().await;
    assert_eq!(reading.link.receive().await, Ok(None), "the relay says goodbye");

    let server = place.start().await;
    assert_eq!(server.ready.pin, pin, "the relay keeps its key");
    let url = server.ready.url.clone();
    let mut reading = Client::reading(&mut acme, &alice, &url, pin).await;
    let envelopes = reading.drain().await;
    assert_eq!(texts(&envelopes), [b"one", b"two"], "R-RELAY-10");
    assert_eq!(reading.ask(acknowledge(&envelopes[..1])).await, done);
    server.stop().await;

    let server = place.start().await;
    let mut reading = Client::reading(&mut acme, &alice, &server.ready.url, pin).await;
    assert_eq!(texts(&reading.drain().await), [b"two"], "R-RELAY-21");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_goes_up_and_comes_down() {
    let mut acme = Acme::new(2);
    let place = Place::new(&acme);
    let server = place.start().await;
    Client::desk(&mut acme, &server.ready.url, server.ready.pin).await;
    let mut client = Client::anonymous(&acme, &server.ready.url, server.ready.pin).await;
    let content: Vec<u8> = (0..3_000_000_u32).map(|i| u8::try_from(i % 253).unwrap()).collect();
    let parts: Vec<&[u8]> = content.chunks(256 * 1024).collect();
    let mut offset = 0;
    for (i, part) in parts.iter().enumerate() {
        let last = i + 1 == parts.len();
        let (blob_id, part) = (vec![1; 16], part.to_vec());
        let (len, token) = (part.len() as u64, blob_token());
        let put = proto::PutBlob { blob_id, offset, part, last, token };
        offset += len;
        let status = proto::BlobStatus { length: offset, complete: last };
        assert_eq!(client.ask(Request::PutBlob(put)).await, Body::BlobStatus(status), "R-RELAY-30");
    }
    let mut back = Vec::new();
    while back.len() < content.len() {
        let get = proto::GetBlob { blob_id: vec![1; 16], offset: back.len() as u64, length: u32::MAX };
        let Body::BlobPart(part) = client.ask(Request::GetBlob(get)).await else { panic!("no part") };
        back.extend(part.part);
    }
    assert!(back == content, "R-RELAY-32");
    assert_eq!(
        files(&place.path().join("data")),
        ledger_files(),
        "R-RELAY-38: left the disk, right the ledger"
    );
    server.stop().await;
}

/// The files in a relay's directory, as the ledger names them.
fn files(directory: &Path) -> BTreeSet<String> {
    let list = |path: &Path| {
        let entries = std::fs::read_dir(path).unwrap().map(Result::unwrap);
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect::<BTreeSet<_>>()
    };
    let mut files = list(directory);
    assert!(files.remove("blobs"));
    assert_eq!(list(&directory.join("blobs")), BTreeSet::from(["01".repeat(16)]));
    files.insert("blobs/<blob>".to_owned());
    files
}

fn ledger_files() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ledger.json");
    let ledger: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let entries = ledger["files"].as_array().unwrap();
    entries.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_relays_do_not_share_a_directory() {
    let acme = Acme::new(3);
    let place = Place::new(&acme);
    let server = place.start().await;
    let second = run(place.config(), |_| panic!("it must not start"), async {}).await;
    assert_eq!(second, Err(ServerError::InUse));
    server.stop().await;
    let other = Acme::new(4);
    other.write(&place.path().join("public"));
    let foreign = run(place.config(), |_| panic!("it must not start"), async {}).await;
    assert_eq!(foreign, Err(ServerError::OtherOrganisation));
    std::fs::write(place.path().join("public/organisation.bin"), b"\xFF").unwrap();
    let damaged = run(place.config(), |_| panic!("it must not start"), async {}).await;
    assert!(matches!(damaged, Err(ServerError::Organisation(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_public_file_is_used_without_a_restart() {
    let mut acme = Acme::new(5);
    let place = Place::new(&acme);
    let server = place.start().await;
    let mut client = Client::anonymous(&acme, &server.ready.url, server.ready.pin).await;
    let get = || Request::GetOrganisation(proto::GetOrganisation {});
    assert_eq!(client.ask(get()).await, Body::Organisation(acme.document.clone()));
    let Body::LogKey(log) = client.ask(Request::GetLogKey(proto::GetLogKey {})).await else {
        panic!("R-RELAY-54");
    };
    // A record of another log's key is left out.
    let unlogged = acme.document.clone();
    let foreign = SigningKey::generate(&mut seeded([9; 32])).verifying_key().as_bytes().to_vec();
    acme.document.relay = Some(acme.relay_record(1, foreign));
    acme.write(&place.path().join("public"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(client.ask(get()).await, Body::Organisation(unlogged), "R-RELAY-47");
    acme.document.relay = Some(acme.relay_record(1, log.key));
    acme.write(&place.path().join("public"));
    let expected = Body::Organisation(acme.document.clone());
    let changed = async {
        while client.ask(get()).await != expected {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(10), changed).await.expect("R-RELAY-55");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_breaks_the_rules_is_answered_and_closed() {
    let acme = Acme::new(6);
    let place = Place::new(&acme);
    let server = place.start().await;
    let mut client = Client::anonymous(&acme, &server.ready.url, server.ready.pin).await;
    client.link.send(vec![0xFF; 600]).await.unwrap();
    let refused = proto::Refused { code: RefusalCode::BadRequest.code(), retry_after_ms: 0 };
    assert_eq!(client.next().await.body, Some(Body::Refused(refused)), "R-RELAY-1");
    assert_eq!(client.link.receive().await, Ok(None));
    server.stop().await;
}

/// The binary, killed when dropped.
struct Process {
    child: Child,
    url: String,
    pin: [u8; 32],
    log_key: String,
}

impl Process {
    fn start(place: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_chancery-relay"))
            .args([
                "--org",
                "public",
                "--data",
                "data",
                "--listen",
                "127.0.0.1:0",
                "--json",
                "--log",
                "trace",
            ])
            .current_dir(place)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["event"], "ready");
        let hex = ready["pin"].as_str().unwrap();
        let mut pin = [0; 32];
        for (byte, digits) in pin.iter_mut().zip(hex.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
        }
        let text = |name: &str| ready[name].as_str().unwrap().to_owned();
        Self { child, url: text("url"), pin, log_key: text("log_key") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9_exactly_once() {
    let mut acme = Acme::new(7);
    let alice = acme.device([1; 16]);
    let place = Place::new(&acme);
    {
        let relay = Process::start(place.path());
        Client::reading(&mut acme, &alice, &relay.url, relay.pin).await;
    }
    let mut confirmed = BTreeSet::new();
    for round in 0..6_u8 {
        let relay = Process::start(place.path());
        let mut sending = Client::anonymous(&acme, &relay.url, relay.pin).await;
        // Repeats the end of the round before, whose answers may have been lost.
        for delivery in (round * 20).saturating_sub(3)..round * 20 + 10 {
            let answer = sending.ask(deliver(&alice, delivery, &[delivery; 100])).await;
            assert_eq!(answer, Body::Done(proto::Done::default()));
            confirmed.insert(delivery);
        }
        // More are under way when it dies.
        for delivery in round * 20 + 10..round * 20 + 20 {
            sending.link.send(frame(1, deliver(&alice, delivery, &[delivery; 100]))).await.unwrap();
        }
        drop(relay);
    }
    let relay = Process::start(place.path());
    let mut reading = Client::reading(&mut acme, &alice, &relay.url, relay.pin).await;
    let mut seen = BTreeSet::new();
    let mut last = 0;
    assert_eq!(
        reading.ask(Request::Subscribe(proto::Subscribe {})).await,
        Body::Done(proto::Done::default())
    );
    loop {
        match reading.next().await.body.unwrap() {
            Body::Envelope(envelope) => {
                assert!(envelope.sequence > last, "R-RELAY-15");
                last = envelope.sequence;
                assert!(seen.insert(envelope.envelope[0]), "R-RELAY-14: stored twice");
                let sequences = vec![envelope.sequence];
                let body = Request::Acknowledge(proto::Acknowledge { sequences });
                reading.link.send(frame(9, body)).await.unwrap();
            }
            Body::CaughtUp(_) => break,
            Body::Done(_) | Body::LogGrown(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(seen.is_superset(&confirmed), "R-RELAY-10: lost {:?}", confirmed.difference(&seen));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_survives_kill_9_with_one_root_for_each_size_and_its_key() {
    let mut acme = Acme::new(10);
    let place = Place::new(&acme);
    let devices: Vec<Device> = (0..40).map(|n| acme.device([n; 16])).collect();
    let (mut roots, mut entered, mut key) = (BTreeMap::new(), 0, None);
    for round in 0..5 {
        let relay = Process::start(place.path());
        let mut asking = Client::anonymous(&acme, &relay.url, relay.pin).await;
        let Body::LogKey(shown) = asking.ask(Request::GetLogKey(proto::GetLogKey {})).await else { panic!() };
        let hash: String = sha256(&[&shown.key]).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(relay.log_key, hash, "R-RELAY-54: the line that says that the relay is ready");
        assert_eq!(*key.get_or_insert(hash.clone()), hash, "R-RELAY-54");
        let checkpoint = asking.checkpoint(&acme).await;
        assert!(checkpoint.size() >= 2 + entered, "R-RELAY-10");
        assert_eq!(
            *roots.entry(checkpoint.size()).or_insert(*checkpoint.root()),
            *checkpoint.root(),
            "R-RELAY-53"
        );
        let mut desk = Client::desk(&mut acme, &relay.url, relay.pin).await;
        // What was answered, and what may have entered without an answer, enters once.
        for (index, device) in (2..).zip(&devices[..round * 8 + 4]) {
            let appended = Body::Appended(proto::Appended { index });
            assert_eq!(desk.ask(append(4, &device.credential)).await, appended, "R-RELAY-46");
            entered = entered.max(index - 1);
        }
        let checkpoint = asking.checkpoint(&acme).await;
        roots.insert(checkpoint.size(), *checkpoint.root());
        for device in &devices[round * 8 + 4..round * 8 + 8] {
            desk.link.send(frame(1, append(4, &device.credential))).await.unwrap();
        }
        // Some of them are under way when it dies.
        drop(relay);
    }
    std::fs::remove_file(place.path().join("data/log-key.bin")).unwrap();
    let without = run(place.config(), |_| panic!("it must not start"), async {}).await;
    assert_eq!(without, Err(ServerError::LogKeyMissing), "R-RELAY-54");
    assert!(!place.path().join("data/log-key.bin").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_device_is_told_and_cut_off() {
    let mut acme = Acme::new(11);
    let alice = acme.device([1; 16]);
    let place = Place::new(&acme);
    let server = place.start().await;
    let Ready { url, pin, .. } = server.ready.clone();
    let mut reading = Client::reading(&mut acme, &alice, &url, pin).await;
    let mut desk = Client::desk(&mut acme, &url, pin).await;
    let end = acme.end(&alice);
    assert!(matches!(desk.ask(append(5, &end)).await, Body::Appended(_)));
    let told = loop {
        match reading.next().await.body.unwrap() {
            Body::LogGrown(_) => {}
            Body::Revoked(revoked) => break revoked,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(reading.link.receive().await, Ok(None), "R-RELAY-50");
    let (mut late, answer) = Client::try_login(&mut acme, &alice, &url, pin).await;
    let Body::Revoked(again) = answer else { panic!("{answer:?}") };
    assert_eq!((&again.leaf, again.index), (&told.leaf, told.index), "R-RELAY-50");
    assert_eq!(Leaf::from_bytes(&again.leaf).unwrap().device().as_bytes(), &alice.id);
    let log = late.ask(Request::SyncLog(proto::SyncLog { from: 0 })).await;
    assert!(matches!(log, Body::LogPage(_)), "R-RELAY-67");
    let mut sending = Client::anonymous(&acme, &url, pin).await;
    let not_found = proto::Refused { code: RefusalCode::NotFound.code(), retry_after_ms: 0 };
    assert_eq!(sending.ask(deliver(&alice, 1, b"late")).await, Body::Refused(not_found), "R-RELAY-50");
    server.stop().await;
}

/// A line of `/proc/PID/status`, in KiB.
#[cfg(target_os = "linux")]
fn memory(process: &Process, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let line = status.lines().find(|found| found.starts_with(line)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_small_when_idle_and_while_a_large_blob_passes() {
    let mut acme = Acme::new(9);
    let alice = acme.device([1; 16]);
    let place = Place::new(&acme);
    let relay = Process::start(place.path());
    let _reading = Client::reading(&mut acme, &alice, &relay.url, relay.pin).await;
    let mut client = Client::anonymous(&acme, &relay.url, relay.pin).await;
    assert!(memory(&relay, "VmRSS:") < 30 * 1024, "idle: {} KiB", memory(&relay, "VmRSS:"));
    let (part, count) = (vec![7; 256 * 1024], 256_u64);
    for i in 0..count {
        let put = proto::PutBlob {
            blob_id: vec![1; 16],
            offset: i.wrapping_mul(256 * 1024),
            part: part.clone(),
            last: i.wrapping_add(1) == count,
            token: blob_token(),
        };
        assert!(matches!(client.ask(Request::PutBlob(put)).await, Body::BlobStatus(_)));
    }
    for i in 0..count {
        let offset = i.wrapping_mul(256 * 1024);
        let get = proto::GetBlob { blob_id: vec![1; 16], offset, length: u32::MAX };
        client.request = client.request.wrapping_add(1);
        client.link.send(frame(client.request, Request::GetBlob(get))).await.unwrap();
    }
    // They were all asked for at once, and nobody has read an answer yet.
    tokio::time::sleep(Duration::from_millis(500)).await;
    for _ in 0..count {
        let Some(Body::BlobPart(got)) = client.next().await.body else { panic!("no part") };
        assert!(got.part == part, "R-RELAY-32");
    }
    println!("idle {} KiB, peak {} KiB", memory(&relay, "VmRSS:"), memory(&relay, "VmHWM:"));
    assert!(memory(&relay, "VmHWM:") < 64 * 1024, "peak: {} KiB", memory(&relay, "VmHWM:"));
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_most_talkative_log_names_nobody() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let mut acme = Acme::new(8);
    let alice = acme.device([0xAB; 16]);
    let place = Place::new(&acme);
    let server = place.start().await;
    let Ready { url, pin, listen, .. } = server.ready.clone();
    let mut reading = Client::reading(&mut acme, &alice, &url, pin).await;
    let mut sending = Client::anonymous(&acme, &url, pin).await;
    sending.ask(deliver(&alice, 0xCD, b"a marker in an envelope")).await;
    let envelopes = reading.drain().await;
    reading.ask(acknowledge(&envelopes)).await;
    sending.link.send(encode(&proto::ClientFrame::default())).await.unwrap();
    sending.next().await;
    server.stop().await;
    let bytes = log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains("opened") && text.contains("handled"), "{text}");
    let org = acme.org_id.to_string();
    for secret in
        ["marker", "abab", "cdcd", "171, 171", "127.0.0.1", &listen.port().to_string(), &org[..8], "wss:"]
    {
        // Time stamps may hold any digits; they stand before the first space.
        let found = text.lines().find(|line| {
            line.split_once(' ').is_some_and(|(_, message)| message.to_lowercase().contains(secret))
        });
        assert_eq!(found, None, "R-RELAY-39: {secret}");
    }
}
