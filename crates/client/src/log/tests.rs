//! Devices at a true relay, with a log that the test fills as the desk and the administrator do.

use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chancery_crypto::secret::Secret;
use chancery_crypto::signature::SigningKey;
use chancery_identity::log::{LeafKind, commitment, directory_object};
use chancery_identity::{DirectoryKey, IssuerId, sign};
use chancery_org::DeskKeys;
use chancery_relay_server::{Config, Limits, run};
use chancery_store::{KeySource, sealed_file};
use chancery_wire::proto::{
    AppendLog, DirectoryKeysRecord, LogCommitmentBody, PolicyBody, RevocationBody, Signed, SyncDirectory,
};
use chancery_wire::records::{RecordKey, Table};
use chancery_wire::{Limit, decode};

use super::*;
use crate::organisation;
use crate::{Happening, read_or_create_key_file};

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
        };
        let (tell, told) = tokio::sync::oneshot::channel();
        tokio::spawn(run(config, |ready| tell.send(ready).unwrap_or_default(), pending()));
        let relay = told.await.unwrap();
        let log_key = organisation::fetch_log_key(&acme, &relay.url, &relay.pin, None).await.unwrap();
        organisation::record_relay(&acme, &key, &relay.url, &relay.pin, &log_key).unwrap();
        let stored = sealed_file::read(acme.join("desk.key"), &key).unwrap();
        let admin = sealed_file::read(acme.join("admin.key"), &key).unwrap();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let (dir, office) = (acme.clone(), crate::key::copy(&key));
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
        let (connection, _pushes) = Connection::open(shared.connector.as_ref(), &shared.org).await.unwrap();
        let (keys, credential) = self.desk_device();
        connection.log_in(&shared.org, &shared.pin, &keys, Some(&credential)).await.unwrap();
        let (kind, statement) = (kind.number().into(), Some(statement.clone()));
        let append = client_frame::Body::AppendLog(AppendLog { kind, statement });
        let answer = connection.request(append).await.unwrap();
        assert!(matches!(answer, relay_frame::Body::Appended(_)), "{answer:?}");
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
    let (connection, _pushes) =
        Connection::open(bob.shared().connector.as_ref(), &bob.shared().org).await.unwrap();
    assert_eq!(ended(bob.shared(), &connection, forged).await.code(), ErrorCode::RelayProtocol);
    assert_eq!(bob.history("alice", 0).await.unwrap().len(), 1, "nothing has changed");
    let home = acme.home("bob");
    assert!(has_store(&home.0));

    acme.end(&alice, &bob).await;
    // Alice has not heard of it, and asks before she delivers.
    let refused = alice.send("bob", "after", &[], PATIENCE).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::SendFailed);
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
    let message = bob.history("alice", 0).await.unwrap().remove(0);
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
