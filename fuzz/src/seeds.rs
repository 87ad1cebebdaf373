//! The seeds of the corpora, made from nothing but the code.
//!
//! Most are lists of changes, which stay small and stay good when a format changes.

use chancery_identity::checkpoint::Checkpoint;
use chancery_identity::delivery::{BLOB_TOKEN_NAME, Use};
use chancery_identity::log::{LeafKind, LogHead};
use chancery_identity::{Authority, Submission};
use chancery_testkit::company::{NOW, RELAY_PIN, RELAY_URL};
use chancery_wire::encode;
use chancery_wire::proto::{
    self, AppendLog, Appended, CheckpointAnswer, ClaimPrekeys, ClientFrame, Content, Deliver, DeliveryKey,
    DirectoryChange, DirectoryPage, GetCheckpoint, GetLogKey, GetOrganisation, LogEntry, LogGrown, LogKey,
    LogPage, PutBlob, RelayFrame, Revoked, StoredEnvelope, SyncDirectory, SyncLog, Text, client_frame,
    content, relay_frame,
};

use crate::{COMPANY, TARGETS};

/// Returns every target's seeds: target, name of the file, bytes.
#[must_use]
pub fn seeds() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut all = Vec::new();
    for (target, _) in TARGETS {
        let mut add = |name: &str, bytes: Vec<u8>| all.push((*target, name.to_owned(), bytes));
        for (name, bytes) in common() {
            add(name, bytes);
        }
        for (name, bytes) in own(target) {
            add(name, bytes);
        }
    }
    all
}

/// Nothing, the sound thing, a flipped bit at both ends and in the middle, cuts.
fn common() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("empty", vec![]),
        ("sound", vec![1]),
        ("first-bit", vec![1, 0, 0, 1]),
        ("second-byte", vec![1, 0, 1, 0xFF]),
        ("byte-40", vec![1, 0, 40, 0x80]),
        ("last-bit", vec![1, 0x80, 0, 1]),
        ("cut-at-17", vec![1, 0, 17, 0]),
        ("cut-last", vec![1, 0x80, 0, 0]),
        ("raw-zeros", vec![0; 64]),
    ]
}

fn own(target: &str) -> Vec<(&'static str, Vec<u8>)> {
    let raw = |bytes: Vec<u8>| [vec![0], bytes].concat();
    match target {
        "client_frame" => client_frames(),
        "relay_frame" => relay_frames(),
        "content" => contents(),
        "invitation_link" => vec![
            ("own", COMPANY.alice.link.encode().into_bytes()),
            ("no-checksum", b"chancery:AAAAAAAA".to_vec()),
            ("other-scheme", b"https://example.org".to_vec()),
            ("device", device_link().into_bytes()),
        ],
        "envelope" => (0x10..=0x16_u8)
            .map(|kind| ("kind", kind))
            .zip(["kind-0", "initial", "session", "request", "answer", "link-request", "order"])
            .map(|((_, kind), name)| (name, [vec![kind, 0, 1], vec![1; 509]].concat()))
            .collect(),
        "directory_sealed" => vec![("raw-sound", raw(encode(&COMPANY.alice.entry)))],
        "directory_key_update" => key_updates(),
        "merkle" => trees(),
        "root_share" => vec![
            ("prefix", b"chancery-share:".to_vec()),
            ("other-scheme", b"chancery:AAAAAAAA".to_vec()),
            ("short", b"AAAAAAAA".to_vec()),
        ],
        "link_request" => vec![
            ("inside-sound", vec![2]),
            ("inside-first-key", vec![2, 0, 4, 1]),
            ("inside-last-byte", vec![2, 0x80, 0, 1]),
            ("inside-cut", vec![2, 0x20, 0, 0]),
            ("inside-empty", vec![3]),
            ("inside-long", [vec![3], vec![0x22; 4000]].concat()),
        ],
        "device_order" => vec![
            ("inside-sound", vec![2]),
            ("inside-cut", vec![2, 0x20, 0, 0]),
            ("inside-empty", vec![3]),
            ("order-context", vec![4, 0, 3, 1]),
            ("order-expired", vec![4, 0, 36, 0xFF]),
            ("order-cut", vec![4, 0, 42, 0]),
            ("order-other-keys", vec![4, 0x80, 0, 1]),
            ("request-damaged", vec![5, 0x80, 0, 1]),
            ("request-empty", vec![5, 0, 0, 0]),
        ],
        "heal" => vec![
            ("nothing-missing", vec![0, 5, 0, 5]),
            ("all-missing", vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 5]),
            ("two-gaps", vec![0, 5, 0, 1, 0, 5, 0, 0, 0, 2, 0, 2, 0, 4, 0, 4]),
            ("gone", vec![0, 5, 0, 1, 0, 9, 0, 1, 0, 6, 0, 8]),
            ("never-sent", vec![2, 0, 2, 0, 2, 0, 0, 0, 0, 1, 2, 0]),
            ("falling", vec![0, 5, 0, 0, 0, 0, 0, 0, 0, 4, 0, 2]),
        ],
        "five_devices" => vec![
            ("all-write", (0..5).flat_map(|device| [0, device, 0, 41]).collect()),
            ("lost", [[0, 0, 0, 9], [5, 3, 0, 3], [2, 0, 0, 0], [2, 3, 0, 1], [0, 3, 0, 9]].concat()),
            ("damaged", [[0, 1, 0, 9], [5, 4, 0, 1], [5, 0, 0, 2], [2, 1, 0, 0], [2, 4, 0, 1]].concat()),
            ("note", [[0, 2, 0, 10], [4, 0, 0, 0], [6, 2, 0, 0], [7, 0, 0, 5]].concat()),
            ("late", [[0, 4, 0, 1], [5, 0, 0, 0], [2, 4, 0, 0], [2, 0, 0, 1], [0, 4, 0, 1]].concat()),
        ],
        "two_devices" => vec![
            ("turns", [[0, 0, 0, 40], [2, 1, 0, 0], [0, 1, 0, 40], [2, 0, 0, 0]].repeat(4).concat()),
            ("reordered", [[0, 0, 0, 9].repeat(6), [2, 1, 0, 5].repeat(3)].concat()),
            ("damaged", [[0, 1, 0, 9], [5, 0, 0, 200], [5, 0, 2, 80], [2, 0, 0, 0]].concat()),
            ("twice", [[0, 1, 0, 9], [4, 0, 0, 0], [4, 0, 0, 0], [6, 0, 0, 0]].concat()),
            ("late", [[0, 0, 0, 9], [0, 0, 0, 9], [2, 1, 0, 1], [7, 0, 0, 47]].concat()),
        ],
        _ => of_groups(target),
    }
}

fn of_groups(target: &str) -> Vec<(&'static str, Vec<u8>)> {
    match target {
        "group_commit" | "group_order" | "group_slot" | "group_snapshot_welcome" => vec![
            ("inside-sound", vec![2]),
            ("inside-first-bit", vec![2, 0, 1, 1]),
            ("inside-byte-20", vec![2, 0, 20, 2]),
            ("inside-last-byte", vec![2, 0x80, 0, 1]),
            ("inside-cut", vec![2, 0, 19, 0]),
            ("inside-changes", vec![2, 0xFF, 0x0A, 6, 0x12, 4, 8, 2, 16, 0]),
            ("tree-byte", vec![3, 0, 3, 1]),
            ("tree-cut", vec![3, 0, 35, 0]),
        ],
        "group_world" => vec![
            ("heals", [[0, 0, 0, 0], [0, 1, 0, 0], [3, 2, 0, 0], [0, 0, 6, 0]].concat()),
            ("comes-and-goes", [[0, 0, 1, 4], [0, 0, 2, 4], [0, 1, 1, 0x14], [0, 0, 5, 0x15]].concat()),
            ("roles", [[0, 0, 3, 0x22], [0, 2, 0, 0], [0, 0, 9, 0x12], [0, 0, 9, 0x11]].concat()),
            ("evicted", [[2, 0, 0, 3], [0, 2, 12, 0], [0, 0, 0, 0], [2, 0, 1, 1], [0, 1, 12, 0]].concat()),
            ("takes-over", [[2, 0, 2, 2], [2, 0, 1, 0], [2, 0, 1, 1], [0, 2, 12, 0], [0, 2, 6, 0]].concat()),
            ("damaged", [[0, 0, 0, 0], [3, 1, 0, 1], [3, 2, 128, 1], [3, 0, 255, 1]].concat()),
        ],
        _ => Vec::new(),
    }
}

fn trees() -> Vec<(&'static str, Vec<u8>)> {
    let second = chancery_crypto::merkle::leaf_hash(&1_usize.to_be_bytes());
    let state = |size: [u8; 8], hashes: usize| [size.to_vec(), vec![9; hashes * 32]].concat();
    vec![
        ("one-leaf", vec![1, 0, 1]),
        ("two-leaves", [&[2, 0, 1], second.as_slice()].concat()),
        ("many-leaves", vec![255, 254, 1]),
        ("grown", [&[2, 1, 0], second.as_slice()].concat()),
        ("no-growth", vec![5, 5, 0]),
        ("state-empty", vec![0; 8]),
        ("state", state([0, 0, 0, 0, 0, 0, 0, 6], 3)),
        ("state-full", state([64, 0, 0, 0, 0, 0, 0, 0], 63)),
    ]
}

fn key_updates() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("inside-sound", vec![2]),
        ("inside-epoch", vec![2, 0, 69, 1]),
        ("inside-level", vec![2, 0, 73, 2]),
        ("inside-index", vec![2, 0, 75, 1]),
        ("inside-key", vec![2, 0, 90, 1]),
        ("inside-cut", vec![2, 1, 0, 0]),
        ("inside-last-byte", vec![2, 0x80, 0, 1]),
    ]
}

fn device_link() -> String {
    let names = (COMPANY.organisation.id(), COMPANY.alice.credential.device_id());
    let link = chancery_org::DeviceLink::new(names, (RELAY_URL, RELAY_PIN), NOW, &mut crate::rng());
    link.with_token(vec![9; 16]).encode()
}

fn client_frames() -> Vec<(&'static str, Vec<u8>)> {
    let frame = |body| encode(&ClientFrame { request: 2, body: Some(body) });
    let key = crate::wire::delivery_key();
    let token = |name: &[u8; 16]| key.token(Use::Mailbox, name).to_vec();
    let alice = COMPANY.alice.credential.device_id();
    let deliver = Deliver {
        mailbox: alice.as_bytes().to_vec(),
        delivery_id: vec![1; 16],
        token: token(alice.as_bytes()),
        envelope: vec![0x12; 512],
    };
    let claim = ClaimPrekeys { device_id: vec![1; 16], token: token(&[1; 16]) };
    let (part, last, blobs) = (vec![7; 32], true, key.token(Use::Blob, &BLOB_TOKEN_NAME).to_vec());
    let put = PutBlob { blob_id: vec![1; 16], offset: 0, part, last, token: blobs };
    let newer = DeliveryKey { epoch: 2, key: vec![8; 32], update: None };
    let deliver = frame(client_frame::Body::Deliver(deliver));
    let append = |kind: LeafKind| {
        let statement = Some(COMPANY.alice.credential.signed().clone());
        frame(client_frame::Body::AppendLog(AppendLog { kind: kind.number().into(), statement }))
    };
    let enter = append(LeafKind::Credential);
    let sync = frame(client_frame::Body::SyncLog(SyncLog { from: 1 }));
    let checkpoint = frame(client_frame::Body::GetCheckpoint(GetCheckpoint { from: 3 }));
    vec![
        ("append", [enter.as_slice(), &[0xFF, 0xFF], &sync, &[0xFF, 0xFF], &checkpoint].concat()),
        ("append-twice", [enter.as_slice(), &[0xFF, 0xFF], &enter].concat()),
        ("append-as-end", append(LeafKind::DeviceRevoked)),
        ("append-nothing", frame(client_frame::Body::AppendLog(AppendLog { kind: 9, statement: None }))),
        ("sync-log", frame(client_frame::Body::SyncLog(SyncLog { from: u64::MAX }))),
        ("log-key", frame(client_frame::Body::GetLogKey(GetLogKey {}))),
        ("claim", frame(client_frame::Body::ClaimPrekeys(claim))),
        ("put", frame(client_frame::Body::PutBlob(put))),
        ("delivery-key", frame(client_frame::Body::SetDeliveryKey(newer))),
        ("sync", frame(client_frame::Body::SyncDirectory(SyncDirectory { after: u64::MAX }))),
        ("organisation", frame(client_frame::Body::GetOrganisation(GetOrganisation {}))),
        ("deliver-twice", [deliver.as_slice(), &[0xFF, 0xFF], &deliver].concat()),
    ]
}

fn relay_frames() -> Vec<(&'static str, Vec<u8>)> {
    let frame = |body| encode(&RelayFrame { request: 0, body: Some(body) });
    let envelope = StoredEnvelope { sequence: 1, envelope: vec![0x12; 512] };
    let change = DirectoryChange { sequence: 1, entry: Some(COMPANY.bob.entry.clone()) };
    let page = DirectoryPage { changes: vec![change], more: false };
    let refused = proto::Refused { code: 3, retry_after_ms: 1000 };
    vec![
        ("log-page", frame(relay_frame::Body::LogPage(log_page()))),
        (
            "checkpoint",
            frame(relay_frame::Body::Checkpoint(CheckpointAnswer { note: note(), proof: vec![vec![1; 32]] })),
        ),
        ("revoked", frame(relay_frame::Body::Revoked(revoked()))),
        ("log-grown", frame(relay_frame::Body::LogGrown(LogGrown { size: 5 }))),
        ("appended", frame(relay_frame::Body::Appended(Appended { index: 4 }))),
        ("log-key", frame(relay_frame::Body::LogKey(LogKey { key: vec![1; 1_984] }))),
        ("envelope", frame(relay_frame::Body::Envelope(envelope))),
        ("page", frame(relay_frame::Body::DirectoryPage(page))),
        ("refused", frame(relay_frame::Body::Refused(refused))),
    ]
}

/// The log as it begins: the issuers, the desk, the relay record, and alice's credential.
fn entries() -> Vec<Submission> {
    let mut authority = Authority::new(&COMPANY.organisation);
    let document = COMPANY.organisation.as_proto();
    let issuers = document.issuers.iter().map(|issuer| (LeafKind::Issuer, issuer));
    let others = [(LeafKind::Desk, document.desk.as_ref()), (LeafKind::Relay, document.relay.as_ref())];
    let others = others.into_iter().filter_map(|(kind, statement)| Some((kind, statement?)));
    let alice = (LeafKind::Credential, COMPANY.alice.credential.signed());
    let mut entries = Vec::new();
    for (index, (kind, statement)) in (0..).zip(issuers.chain(others).chain([alice])) {
        let entry = authority.prepare(kind, statement, NOW).expect("sound");
        authority.apply(index, &entry.leaf, entry.content.as_ref()).expect("sound");
        entries.push(entry);
    }
    entries
}

fn log_page() -> LogPage {
    let entries = entries().into_iter();
    let entries = entries.map(|it| LogEntry { leaf: it.leaf.to_bytes().to_vec(), content: it.content });
    LogPage { entries: entries.collect(), more: false, checkpoint: note(), proof: Vec::new() }
}

fn note() -> String {
    let mut head = LogHead::default();
    for entry in entries() {
        head.push(&entry.leaf).expect("in order");
    }
    let (org, what) = (COMPANY.organisation.id(), (head.size(), head.root()));
    Checkpoint::sign(&crate::wire::log_key(), &org, what, NOW, &mut crate::rng()).note().to_owned()
}

/// The form of an end, with the last entry in its place.
fn revoked() -> Revoked {
    let entries = entries();
    let leaves: Vec<_> = entries.iter().map(|entry| entry.leaf.hash()).collect();
    let last = leaves.len() - 1;
    let proof = chancery_crypto::merkle::inclusion_proof(&leaves, last).expect("it is there");
    Revoked {
        leaf: entries[last].leaf.to_bytes().to_vec(),
        statement: None,
        index: last as u64,
        proof: proof.into_iter().map(|hash| hash.to_vec()).collect(),
        note: note(),
    }
}

fn contents() -> Vec<(&'static str, Vec<u8>)> {
    let file = |name: &str| proto::Attachment {
        blob_id: vec![1; 16],
        key: vec![2; 32],
        size: 3,
        name: name.to_owned(),
        media_type: "text/plain".to_owned(),
        ..proto::Attachment::default()
    };
    let content = |text: &str, attachments| {
        let body = Some(content::Body::Text(Text { text: text.to_owned(), attachments, ..Text::default() }));
        encode(&Content { id: vec![5; 16], sent_at: NOW.as_millis(), body, ..Content::default() })
    };
    let mut seeds = acts();
    seeds.extend([
        ("text", content("hello", Vec::new())),
        ("file", content("", vec![file("../../etc/passwd"), file("\u{202e}fdp.exe")])),
        ("no-body", encode(&Content { id: vec![5; 16], ..Content::default() })),
        ("short-id", encode(&Content { id: vec![5; 3], ..Content::default() })),
        ("name", "..\\a/b:c\u{202e}".as_bytes().to_vec()),
    ]);
    seeds
}

/// What bob's device says of messages of alice's, which hers has, and of ones that it has not; and what has no identifier.
fn acts() -> Vec<(&'static str, Vec<u8>)> {
    use content::Body;
    let [alice, bob] = [&COMPANY.alice, &COMPANY.bob].map(|it| it.credential.member_id().as_bytes().to_vec());
    let of = |author: &[u8], id: u8| Some(proto::MessageRef { author: author.to_vec(), id: vec![id; 16] });
    let act = |body| {
        let (id, sent_at) = (vec![6; 16], NOW.as_millis());
        encode(&Content { id, sent_at, body: Some(body), ..Content::default() })
    };
    let quiet = |body| encode(&Content { sent_at: NOW.as_millis(), body: Some(body), ..Content::default() });
    let react =
        |target, emoji: &str| Body::Reaction(proto::Reaction { target, emoji: emoji.into(), remove: false });
    let edit = |target| Body::Edit(proto::Edit { target, text: "forged".into(), mentions: Vec::new() });
    let delete = |target| Body::Deletion(proto::Deletion { target });
    let value = proto::FormValue { field: "ok".into(), value: "yes".into() };
    let answer = Body::Answer(proto::FormAnswer { target: of(&alice, 1), values: vec![value] });
    let read = |id: u8| [alice.as_slice(), &[id; 16]].concat();
    let receipt = |kind, targets| Body::Receipt(proto::Receipt { kind, targets });
    let told = proto::ReceiptSettings { no_read: true, changed_at: 1, ..Default::default() };
    let settings = proto::OwnSettings { what: Some(proto::own_settings::What::Receipts(told)) };
    vec![
        ("reaction", act(react(of(&alice, 1), "👍"))),
        ("reaction-that-waits", act(react(of(&bob, 9), "👍"))),
        ("reaction-turned", act(react(of(&alice, 1), "\u{202e}"))),
        ("edit-of-another", act(edit(of(&alice, 1)))),
        ("edit-that-waits", act(edit(of(&bob, 9)))),
        ("deletion-of-another", act(delete(of(&alice, 1)))),
        ("deletion-without-target", act(delete(None))),
        ("answer", act(answer)),
        ("receipt", quiet(receipt(1, vec![read(1), read(9)]))),
        ("receipt-short", quiet(receipt(1, vec![vec![1; 31]]))),
        ("receipt-later", quiet(receipt(9, vec![read(1)]))),
        ("typing", quiet(Body::Typing(proto::Typing { stopped: false }))),
        ("settings", quiet(Body::Settings(settings))),
    ]
}
