//! Devices at a true relay, with a log that the test fills as the desk and the administrator do.

use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chancery_crypto::secret::Secret;
use chancery_crypto::signature::SigningKey;
use chancery_identity::log::{LeafKind, commitment, directory_object};
use chancery_identity::{DirectoryKey, Issuer, IssuerId, sign};
use chancery_org::DeskKeys;
use chancery_relay_server::{Config, Limits, run};
use chancery_store::{KeySource, sealed_file};
use chancery_transport::{BoxFuture, ConnectError, Connector, Link, memory};
use chancery_wire::proto::{
    AppendLog, ClientFrame, DirectoryKeysRecord, GetConfirmations, IssuerBody, LogCommitmentBody, LogEntry,
    PolicyBody, RelayFrame, RelayRecordBody, RevocationBody, Signed, SyncDirectory, Welcome,
};
use chancery_wire::records::{RecordKey, Table};
use chancery_wire::{Limit, decode};

use super::*;
use crate::connection::LoggedIn;
use crate::organisation;
use crate::{Happening, read_or_create_key_file};

mod conversations;
mod groups;
mod tokens;

const PATIENCE: Duration = Duration::from_secs(30);

/// An organisation whose desk answers enrolments, and the keys that sign for its log.
struct Acme {
    folder: tempfile::TempDir,
    desk: DeskKeys,
    enrolling: (IssuerId, SigningKey),
    administering: (IssuerId, SigningKey),
}

/// Takes the issuer out of stored keys: version (1), identifier (32), seed (64).
fn issuer(stored: &[u8]) -> (IssuerId, SigningKey) {
    let seed = Secret::from_slice(&stored[33..97]).unwrap();
    (IssuerId::from_bytes(&stored[1..33]).unwrap(), SigningKey::from_seed(seed))
}

impl Acme {
    async fn found() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (acme, key) = (folder.path().join("acme"), read_or_create_key_file(folder.path().join("key")));
        let key = key.unwrap();
        organisation::found(&acme, "Acme", &key).unwrap();
        let config = Config {
            organisation_dir: acme.join(organisation::PUBLIC),
            data: folder.path().join("relay"),
            listen: ([127, 0, 0, 1], 0).into(),
            certificate: None,
            limits: Limits::default(),
            trust_clock: false,
        };
        let (tell, told) = tokio::sync::oneshot::channel();
        tokio::spawn(run(config, |ready| tell.send(ready).unwrap_or_default(), pending()));
        let relay = told.await.unwrap();
        let log_key = organisation::fetch_log_key(&acme, &relay.url, &relay.pin, None).await.unwrap();
        organisation::record_relay(&acme, &key, &relay.url, &relay.pin, &log_key).unwrap();
        let stored = sealed_file::read(acme.join("desk.key"), &key).unwrap();
        let admin = sealed_file::read(acme.join("admin.key"), &key).unwrap();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let (dir, office) = (acme.clone(), key.clone());
        tokio::spawn(async move {
            organisation::serve(&dir, &office, |_| ready.send(()).unwrap_or_default(), pending()).await
        });
        is_ready.await.unwrap();
        Self {
            desk: DeskKeys::from_secret_bytes(stored.expose()).unwrap(),
            enrolling: issuer(stored.expose()),
            administering: issuer(admin.expose()),
            folder,
        }
    }

    fn home(&self, handle: &str) -> (PathBuf, KeySource) {
        let key = read_or_create_key_file(self.folder.path().join(format!("{handle}.key"))).unwrap();
        (self.folder.path().join(handle), key)
    }

    /// Enrols a device, and vouches for it in the log.
    async fn enrol(&self, handle: &str) -> Client {
        let acme = self.folder.path().join("acme");
        let key = read_or_create_key_file(self.folder.path().join("key")).unwrap();
        let invited = organisation::invite(&acme, &key, handle, None, PATIENCE).unwrap();
        let (home, key) = self.home(handle);
        let client = Client::enroll(&home, &key, &invited.link, PATIENCE).await.unwrap();
        let credential = client.shared().device.credential.clone();
        self.append(&client, LeafKind::Credential, &credential).await;
        client
    }

    /// Appends a statement as the desk, over a connection of its own.
    async fn append(&self, client: &Client, kind: LeafKind, statement: &Signed) {
        let shared = client.shared();
        let (connection, _pushes, pin) = shared.connect().await.unwrap();
        let (keys, credential) = self.desk_device();
        connection.log_in(&shared.org, &pin, &keys, Some(&credential)).await.unwrap();
        let (kind, statement) = (kind.number().into(), Some(statement.clone()));
        let append = client_frame::Body::AppendLog(AppendLog { kind, statement });
        let answer = connection.request(append).await.unwrap();
        assert!(matches!(answer, relay_frame::Body::Appended(_)), "{answer:?}");
    }

    /// Asks the relay, as the desk, how many confirmations it has of a device.
    async fn confirmations(&self, by: &Client, of: &chancery_identity::DeviceId) -> usize {
        let shared = by.shared();
        let (connection, _pushes, pin) = shared.connect().await.unwrap();
        let (keys, credential) = self.desk_device();
        connection.log_in(&shared.org, &pin, &keys, Some(&credential)).await.unwrap();
        let device_ids = vec![of.as_bytes().to_vec()];
        let get = client_frame::Body::GetConfirmations(GetConfirmations { device_ids });
        let relay_frame::Body::Confirmations(shown) = connection.request(get).await.unwrap() else {
            panic!("no answer")
        };
        shown.confirmations.len()
    }

    fn desk_device(&self) -> (chancery_identity::DeviceKeys, Signed) {
        let stored = self.desk.to_secret_bytes();
        let rest = &stored.expose()[97..];
        let (device, rest) = rest.split_at(chancery_identity::DeviceKeys::SECRET_LEN);
        let keys = chancery_identity::DeviceKeys::from_secret_bytes(device).unwrap();
        (keys, decode(&rest[96..], Limit::STATEMENT).unwrap().into_unchecked())
    }

    /// Commits to every directory entry that the relay has.
    async fn commit(&self, client: &Client) {
        let shared = client.shared();
        let mailbox = Mailbox::open(shared).await.unwrap();
        let request = client_frame::Body::SyncDirectory(SyncDirectory { after: 0 });
        let answer = mailbox.connection().request(request).await.unwrap();
        let relay_frame::Body::DirectoryPage(page) = answer else { panic!("no page: {answer:?}") };
        let key = shared.worker.call(|state| state.read(directory_key)).await.unwrap();
        for sealed in page.changes.into_iter().filter_map(|change| change.entry) {
            let entry = key.open(&sealed).unwrap().into_unchecked();
            let organisation =
                shared.worker.call(|state| state.read_with(chancery_engine::Engine::organisation)).await;
            let read = organisation
                .unwrap()
                .verify_directory_entry(chancery_wire::Unverified::new(entry.clone()))
                .unwrap();
            let body = LogCommitmentBody {
                org_id: shared.org.as_bytes().to_vec(),
                issuer_id: self.enrolling.0.as_bytes().to_vec(),
                kind: LeafKind::Directory.number().into(),
                subject: read.member_id().as_bytes().to_vec(),
                object: directory_object(read.version()).to_vec(),
                commitment: commitment(LeafKind::Directory, &entry).to_vec(),
            };
            let rng = &mut clock::rng().unwrap();
            let statement = sign::sign_log_commitment(&self.enrolling.1, &body, rng);
            self.append(client, LeafKind::Directory, &statement).await;
        }
    }

    /// Has the root make another issuer, who administers from now on.
    async fn new_administrator(&mut self, by: &Client) {
        let acme = self.folder.path().join("acme");
        let key = read_or_create_key_file(self.folder.path().join("key")).unwrap();
        let root = sealed_file::read(acme.join(organisation::ROOT_KEY), &key).unwrap();
        let root = SigningKey::from_seed(Secret::from_slice(&root.expose()[1..]).unwrap());
        let issuer = SigningKey::generate(&mut clock::rng().unwrap());
        let body = IssuerBody {
            suite: 1,
            org_id: by.me().org_id.as_bytes().to_vec(),
            key: issuer.verifying_key().as_bytes().to_vec(),
            capabilities: 0x1F,
            not_before: 0,
            not_after: 1 << 50,
        };
        let statement = sign::sign_issuer(&root, &body, &mut clock::rng().unwrap());
        self.append(by, LeafKind::Issuer, &statement).await;
        self.administering = (Issuer::id_of(&statement), issuer);
    }

    /// Ends a member.
    async fn end(&self, by: &Client, who: &Client) {
        let body = RevocationBody {
            org_id: who.me().org_id.as_bytes().to_vec(),
            issuer_id: self.administering.0.as_bytes().to_vec(),
            member_id: who.me().member_id.as_bytes().to_vec(),
            device_id: Vec::new(),
        };
        let statement = sign::sign_revocation(&self.administering.1, &body, &mut clock::rng().unwrap());
        self.append(by, LeafKind::MemberRevoked, &statement).await;
    }
}

fn directory_key(
    records: &dyn chancery_wire::records::Records,
) -> Result<DirectoryKey, chancery_engine::EngineError> {
    let bytes = records.get(&RecordKey::new(Table(0x0113), [])).unwrap().unwrap();
    let record = decode::<DirectoryKeysRecord>(&bytes, Limit::RECORD).unwrap().into_unchecked();
    Ok(DirectoryKey::new(record.epoch, Secret::from_slice(&record.directory_key).unwrap()).unwrap())
}

/// An organisation with alice and bob, who have heard of each other.
async fn pair() -> (Acme, Client, Client) {
    let acme = Acme::found().await;
    let (alice, bob) = (acme.enrol("alice").await, acme.enrol("bob").await);
    acme.commit(&alice).await;
    for client in [&alice, &bob] {
        client.sync(PATIENCE).await.unwrap();
        assert_eq!(client.log_status().await.unwrap().state, chancery_engine::LogState::Current);
    }
    (acme, alice, bob)
}

fn has_store(home: &Path) -> bool {
    ["store.db", "store.db-wal", "store.db-shm", "spool"].iter().any(|name| home.join(name).exists())
}

#[tokio::test]
async fn a_device_that_was_ended_destroys_what_it_has_and_a_forged_word_destroys_nothing_r_engine_37() {
    let (acme, alice, bob) = pair().await;
    let sent = alice.send("bob", "before", &[], PATIENCE).await.unwrap();
    assert_eq!((sent.state, sent.waiting), (chancery_engine::MessageState::Sent, None));
    bob.sync(PATIENCE).await.unwrap();
    assert_eq!(bob.history("alice", 0).await.unwrap().len(), 1, "the control");
    let forged = Revoked { leaf: vec![1; 90], ..Revoked::default() };
    let mailbox = Mailbox::open(bob.shared()).await.unwrap();
    let error = ended(bob.shared(), mailbox.connection(), forged).await;
    assert_eq!(error.code(), ErrorCode::RelayProtocol);
    assert_eq!(bob.history("alice", 0).await.unwrap().len(), 1, "nothing has changed");
    let home = acme.home("bob");
    assert!(has_store(&home.0));

    acme.end(&alice, &bob).await;
    // Alice has not heard of it, and asks before she delivers.
    let refused = alice.send("bob", "after", &[], PATIENCE).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::SendFailed);
    assert_eq!(refused.to_string(), "the message cannot be sent: the recipient has left the organisation");
    let events = alice.events().await.unwrap();
    let left =
        |happening: &Happening| matches!(happening, Happening::MemberLeft { handle, .. } if handle == "bob");
    assert!(events.iter().any(|event| left(&event.happening)), "{events:?}");
    let again = alice.send("bob", "and again", &[], PATIENCE).await.unwrap_err();
    assert_eq!(again.code(), ErrorCode::UnknownRecipient);

    let told = bob.sync(PATIENCE).await.unwrap_err();
    assert_eq!((told.code(), told.kind() as u8), (ErrorCode::Revoked, 2));
    assert!(!has_store(&home.0));
    assert_eq!(bob.history("alice", 0).await.unwrap_err().code(), ErrorCode::Revoked);
    assert_eq!(Client::open(&home.0, &home.1).unwrap_err().code(), ErrorCode::StoreNotFound);
    assert_eq!(bob.send("alice", "never", &[], PATIENCE).await.unwrap_err().code(), ErrorCode::Revoked);
}

#[tokio::test]
async fn what_policy_forbids_is_refused_with_its_code_r_engine_36() {
    let (acme, alice, bob) = pair().await;
    let file = acme.folder.path().join("notes.txt");
    std::fs::write(&file, "Tea at four.").unwrap();
    alice.send("bob", "with a file", &[file], PATIENCE).await.unwrap();
    bob.sync(PATIENCE).await.unwrap();
    let message = bob.history("alice", 0).await.unwrap().entries.remove(0);
    let downloads = acme.folder.path().join("downloads");
    bob.save_attachment(&message, 0, &downloads).await.unwrap();
    let mut policy = Policy::default();
    policy.may_save_attachments = false;
    let body = PolicyBody {
        org_id: alice.me().org_id.as_bytes().to_vec(),
        issuer_id: acme.administering.0.as_bytes().to_vec(),
        sequence: 1,
        policy: Some(policy.to_proto()),
    };
    let statement = sign::sign_policy(&acme.administering.1, &body, &mut clock::rng().unwrap());
    acme.append(&alice, LeafKind::Policy, &statement).await;
    bob.sync(PATIENCE).await.unwrap();
    assert!(!bob.policy().await.unwrap().may_save_attachments);
    let refused = bob.save_attachment(&message, 0, &downloads).await.unwrap_err();
    assert_eq!((refused.code(), refused.kind() as u8), (ErrorCode::PolicyForbids, 4));
    assert_eq!(bob.fork_proof().await.unwrap(), None);
}

#[tokio::test]
async fn a_device_that_was_stopped_before_it_destroyed_its_store_does_so_when_it_is_next_used_r_engine_37() {
    for is_opened_anew in [true, false] {
        end_and_stop(is_opened_anew).await;
    }
}

/// Has a device take over its end, and nothing more; then it is opened anew, or somebody reads in the process that has it open.
async fn end_and_stop(is_opened_anew: bool) {
    let (acme, alice, bob) = pair().await;
    let home = acme.home("bob");
    acme.end(&alice, &bob).await;
    // The page is taken over, as by a process that is stopped right after that.
    let size = alice.shared().worker.call(|state| state.read(log_size)).await.unwrap();
    let mailbox = Mailbox::open(alice.shared()).await.unwrap();
    let request = client_frame::Body::SyncLog(SyncLog { from: size });
    let relay_frame::Body::LogPage(page) = mailbox.connection().request(request).await.unwrap() else {
        panic!("no page")
    };
    let from = bob.shared().worker.call(|state| state.read(log_size)).await.unwrap();
    assert_eq!(from, size, "both have the same");
    let take = move |state: &mut State| state.handle(Input::Log { from, page: &page });
    bob.shared().worker.call(take).await.unwrap();
    assert!(has_store(&home.0), "the control");
    let refused = if is_opened_anew {
        Client::open(&home.0, &home.1).unwrap_err()
    } else {
        bob.history("alice", 0).await.unwrap_err()
    };
    assert_eq!(refused.code(), ErrorCode::Revoked);
    assert!(!has_store(&home.0));
}

#[tokio::test]
async fn an_end_by_an_issuer_that_the_device_has_not_heard_of_reaches_it_r_engine_66() {
    let (mut acme, alice, bob) = pair().await;
    let home = acme.home("bob");
    acme.new_administrator(&alice).await;
    acme.end(&alice, &bob).await;
    // The control: by what the device has of the log the word does not hold.
    let (connection, _pushes, pin) = bob.shared().connect().await.unwrap();
    let login = &bob.shared().device;
    let answer =
        connection.log_in_member(&bob.shared().org, &pin, &login.keys, &login.credential).await.unwrap();
    let LoggedIn::Ended(revoked) = answer else { panic!("not ended") };
    let verify = move |state: &mut State| {
        state.read_with(|engine, records| chancery_engine::verify_revoked(engine, records, &revoked))
    };
    assert!(bob.shared().worker.call(verify).await.unwrap().is_err());
    assert!(has_store(&home.0));
    let device = bob.me().device_id;
    assert_eq!(acme.confirmations(&alice, &device).await, 0);
    assert_eq!(bob.sync(PATIENCE).await.unwrap_err().code(), ErrorCode::Revoked);
    assert!(!has_store(&home.0));
    assert_eq!(acme.confirmations(&alice, &device).await, 1, "R-ENGINE-62");
}

/// Forwards what comes in at a new port to the relay, until the task is aborted with all its connections.
async fn forward(port: &tokio::net::TcpListener, relay: &str) {
    let mut open = tokio::task::JoinSet::new();
    loop {
        let (mut from, _) = port.accept().await.unwrap();
        let mut to = tokio::net::TcpStream::connect(relay).await.unwrap();
        open.spawn(async move { tokio::io::copy_bidirectional(&mut from, &mut to).await.map(drop) });
    }
}

#[tokio::test]
async fn a_device_follows_the_relay_to_its_new_place_and_not_back_r_engine_69() {
    let (acme, alice, bob) = pair().await;
    let at = |client: &Client| {
        let shared = Arc::clone(client.shared());
        async move {
            let places = shared.worker.call(|state| state.read_with(chancery_engine::relay_places)).await;
            places.unwrap().into_iter().map(|place| place.url).collect::<Vec<_>>()
        }
    };
    let old = at(&bob).await.remove(0);
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let new = format!("wss://{}", port.local_addr().unwrap());
    let organisation =
        bob.shared().worker.call(|state| state.read_with(chancery_engine::Engine::organisation));
    let record = organisation.await.unwrap().relay().unwrap().clone();
    let body = RelayRecordBody {
        org_id: bob.me().org_id.as_bytes().to_vec(),
        issuer_id: acme.administering.0.as_bytes().to_vec(),
        sequence: record.sequence().saturating_add(1),
        url: new.clone(),
        pin: record.pin().to_vec(),
        log_key: record.log_key().as_bytes().to_vec(),
    };
    let statement = sign::sign_relay_record(&acme.administering.1, &body, &mut clock::rng().unwrap());
    acme.append(&alice, LeafKind::Relay, &statement).await;
    bob.sync(PATIENCE).await.unwrap();
    assert_eq!(at(&bob).await, [new.clone(), old.clone()]);
    // Nobody speaks TLS there yet: the device goes on at the old place.
    let address = port.local_addr().unwrap();
    drop(port);
    bob.sync(PATIENCE).await.unwrap();
    assert_eq!(at(&bob).await.len(), 2);
    let port = tokio::net::TcpListener::bind(address).await.unwrap();
    let relay = old.trim_start_matches("wss://").to_owned();
    let forwarding = tokio::spawn(async move { forward(&port, &relay).await });
    drop(bob);
    let (home, key) = acme.home("bob");
    let bob = Client::open(&home, &key).unwrap();
    bob.sync(PATIENCE).await.unwrap();
    assert_eq!(at(&bob).await, std::slice::from_ref(&new));
    forwarding.abort();
    let _ = forwarding.await;
    let lost = bob.sync(PATIENCE).await.unwrap_err();
    assert_eq!(lost.code(), ErrorCode::RelayUnreachable, "it does not go back");
    // The control: somebody who was not there yet finds the old place open still.
    alice.sync(PATIENCE).await.unwrap();
    alice.sync(PATIENCE).await.unwrap();
    assert_eq!(at(&alice).await, [new, old]);
}

/// A relay of which nothing is there but pages of two entries, up to the ninth, each with its own checkpoint.
struct Pages;

impl Connector for Pages {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Link>, ConnectError>> {
        let (here, there) = memory::pair(memory::Faults::none());
        tokio::spawn(async move {
            let (mut sender, mut receiver) = (Box::new(there) as Box<dyn Link>).split();
            while let Ok(Some(frame)) = receiver.receive().await {
                let frame = decode::<ClientFrame>(&frame, Limit::FRAME).unwrap().into_unchecked();
                let body = match frame.body.unwrap() {
                    client_frame::Body::SyncLog(sync) => {
                        let end = sync.from.saturating_add(2).min(9);
                        let entry = |n: u64| LogEntry { leaf: n.to_be_bytes().to_vec(), content: None };
                        relay_frame::Body::LogPage(LogPage {
                            entries: (sync.from..end).map(entry).collect(),
                            more: end < 9,
                            checkpoint: format!("of {end}"),
                            proof: vec![end.to_be_bytes().to_vec()],
                        })
                    }
                    _ => relay_frame::Body::Welcome(Welcome { challenge: vec![0; 32], time: 0 }),
                };
                let answer = encode(&RelayFrame { request: frame.request, body: Some(body) });
                sender.send(answer).await.unwrap();
            }
        });
        Box::pin(async move { Ok(Box::new(here) as Box<dyn Link>) })
    }
}

#[tokio::test]
async fn pages_become_one_with_the_checkpoint_and_proof_of_the_last_r_engine_70() {
    let (connection, _pushes) =
        Connection::open(&Pages, &chancery_identity::OrgId::new([1; 32])).await.unwrap();
    let mut page = fetch(&connection, 3).await.unwrap();
    for (end, more) in [(7_u64, true), (9, false), (9, false)] {
        join(&connection, 3, &mut page).await.unwrap();
        let numbers = page.entries.iter().map(|entry| entry.leaf.clone());
        assert!(numbers.eq((3..end).map(|n| n.to_be_bytes().to_vec())), "{end}");
        assert_eq!((page.more, page.checkpoint.as_str()), (more, format!("of {end}").as_str()));
        assert_eq!(page.proof, [end.to_be_bytes().to_vec()]);
    }
}

#[tokio::test]
async fn a_checkpoint_from_elsewhere_is_taken_if_it_is_of_this_log_r_engine_64() {
    let (acme, alice, bob) = pair().await;
    let note = alice.checkpoint().await.unwrap().unwrap();
    let beside = std::fs::read_to_string(acme.home("alice").0.join("checkpoint")).unwrap();
    assert_eq!(beside, note, "R-ENGINE-63");
    bob.raise_checkpoint(&note).await.unwrap();
    assert!(bob.log_status().await.unwrap().state.allows_sealing());
    let wrong = bob.raise_checkpoint(&note.replacen("time 1", "time 2", 1)).await.unwrap_err();
    assert_eq!(wrong.code(), ErrorCode::LogInvalid);
    // A log that has grown where bob does not look yet.
    acme.end(&alice, &alice).await;
    acme.commit(&bob).await;
    bob.sync(PATIENCE).await.unwrap();
    assert_ne!(bob.checkpoint().await.unwrap().unwrap(), note);
}
