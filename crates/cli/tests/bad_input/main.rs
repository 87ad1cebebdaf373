//! What a hostile or broken relay, disk or file may do: each gets its code, and nothing is lost or half changed.
//!
//! What people type wrong is in `commands/refusals.rs`. Here files are edited behind the programs' backs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    reason = "a test"
)]

#[cfg(target_os = "linux")]
mod full_disk;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../commands/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use serde_json::{Value, json};

use support::{Company, Daemon, Outcome, chancery, run, start_relay, string};

/// What a test does to a sealed envelope.
type Damage = fn(&mut Vec<u8>);

/// Alice and Bob are members, and their session has turned: the next messages are session messages.
fn two_who_talk() -> (Company, Value) {
    let company = Company::open();
    company.member("alice");
    let bob = company.member("bob");
    company.command("alice", &["send", "bob", "hello"]).ok();
    company.command("bob", &["receive"]).ok();
    company.command("bob", &["send", "alice", "hello back"]).ok();
    company.command("alice", &["receive"]).ok();
    // Alice's receipt; from here on nothing waits at the relay but what the test sends.
    assert!(company.command("bob", &["receive"]).lines.is_empty());
    (company, bob)
}

/// Sends messages from alice to bob; they wait at the relay.
fn send_all(company: &Company, texts: &[&str]) {
    for text in texts {
        assert_eq!(company.command("alice", &["send", "bob", text]).ok()["state"], "sent");
    }
}

/// What `receive` prints of somebody's messages, after it has ended well.
#[track_caller]
fn received(company: &Company, who: &str) -> Vec<String> {
    let received = company.command(who, &["receive"]);
    assert_eq!(received.code, 0, "{received:?}");
    received.lines.iter().map(|line| string(&line["text"])).collect()
}

/// Both can still write to each other.
#[track_caller]
fn honest_traffic_goes_on(company: &Company) {
    company.command("alice", &["send", "bob", "honest"]).ok();
    assert_eq!(received(company, "bob"), ["honest"]);
    company.command("bob", &["send", "alice", "likewise"]).ok();
    assert_eq!(received(company, "alice"), ["likewise"]);
    company.command("alice", &["send", "bob", "once more"]).ok();
    assert_eq!(received(company, "bob"), ["once more"]);
}

/// What was damaged comes again by itself, once, and then both can write to each other as before.
#[track_caller]
fn the_session_heals(company: &Company, damaged: &[&str]) {
    company.command("alice", &["send", "bob", "meanwhile"]).ok();
    let mut texts = received(company, "bob");
    let mut expected = [damaged, &["meanwhile"]].concat();
    expected.sort_unstable();
    // What was damaged is asked for after 1 to 20 s (R-ENGINE-19).
    let begun = Instant::now();
    while texts.len() < expected.len() && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(received(company, "alice"), Vec::<String>::new());
        texts.extend(received(company, "bob"));
    }
    texts.sort();
    assert_eq!(texts, expected);
    honest_traffic_goes_on(company);
}

/// Stops the relay, edits its database, and starts it again.
fn edit_relay<T>(company: &mut Company, edit: impl FnOnce(&Connection) -> T) -> T {
    company.relay.stop();
    let database = Connection::open(company.path("data/relay.db")).unwrap();
    let result = edit(&database);
    database.close().unwrap();
    company.restart_relay();
    result
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = string(value);
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn envelopes(database: &Connection, mailbox: &[u8]) -> BTreeMap<i64, Vec<u8>> {
    let sql = "SELECT sequence, envelope FROM envelopes WHERE mailbox = ?1";
    let mut select = database.prepare(sql).unwrap();
    let rows = select.query_map([mailbox], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Stores a copy of an envelope, as the relay would store a new one.
fn replay(database: &Connection, mailbox: &[u8], envelope: &[u8]) {
    let length = i64::try_from(envelope.len()).unwrap();
    let raised = database.execute(
        "UPDATE mailboxes SET last_sequence = last_sequence + 1, envelopes = envelopes + 1, bytes = bytes + ?2
         WHERE mailbox = ?1",
        params![mailbox, length],
    );
    assert_eq!(raised, Ok(1));
    let stored = database.execute(
        "INSERT INTO envelopes (mailbox, sequence, envelope, expires)
         SELECT mailbox, last_sequence, ?2, 9000000000000 FROM mailboxes WHERE mailbox = ?1",
        params![mailbox, envelope],
    );
    assert_eq!(stored, Ok(1));
}

#[test]
fn a_cut_or_flipped_envelope_is_dropped_and_the_others_arrive() {
    const DAMAGES: [(&str, Damage); 10] = [
        ("kind", |envelope| envelope[0] = 0x7F),
        ("other kind", |envelope| envelope[0] = 0x11),
        ("tag", |envelope| envelope[5] ^= 1),
        ("header", |envelope| envelope[30] ^= 0x80),
        ("body", |envelope| envelope[200] ^= 1),
        ("last bit", |envelope| *envelope.last_mut().unwrap() ^= 0x80),
        ("cut in half", |envelope| envelope.truncate(256)),
        ("cut by one", |envelope| envelope.truncate(511)),
        ("nothing left", Vec::clear),
        ("longer", |envelope| envelope.push(0)),
    ];
    let (mut company, bob) = two_who_talk();
    send_all(&company, &["before"]);
    send_all(&company, &DAMAGES.map(|(name, _)| name));
    send_all(&company, &["after"]);
    let mailbox = unhex(&bob["device"]);
    edit_relay(&mut company, |database| {
        let stored = envelopes(database, &mailbox);
        assert_eq!(stored.len(), DAMAGES.len() + 2);
        for ((sequence, mut envelope), (_, damage)) in stored.into_iter().skip(1).zip(DAMAGES) {
            assert_eq!(envelope.len(), 512, "the smallest bucket");
            damage(&mut envelope);
            let sql = "UPDATE envelopes SET envelope = ?3 WHERE mailbox = ?1 AND sequence = ?2";
            assert_eq!(database.execute(sql, params![mailbox, sequence, envelope]), Ok(1));
        }
    });
    let (texts, complaints) = receive_aloud(&company, "bob");
    assert_eq!(texts, ["before", "after"]);
    assert_eq!(complaints.matches("not-authentic").count(), DAMAGES.len(), "{complaints}");
    assert_eq!(company.texts("bob", "alice"), ["hello", "hello back", "before", "after"]);
    // The relay was told: nothing comes again.
    assert_eq!(receive_aloud(&company, "bob"), (Vec::new(), String::new()));
    the_session_heals(&company, &DAMAGES.map(|(name, _)| name));
}

/// Texts that `receive` prints, and what it says on stderr.
fn receive_aloud(company: &Company, who: &str) -> (Vec<String>, String) {
    let words = company.words(who, &["receive"]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let output = chancery(&words).output().unwrap();
    let received = Outcome::of(&output, &words);
    assert_eq!(received.code, 0, "{received:?}");
    let texts = received.lines.iter().map(|line| string(&line["text"])).collect();
    (texts, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_damaged_first_envelope_does_not_silence_two_people() {
    let mut company = Company::open();
    company.member("alice");
    let mailbox = unhex(&company.member("bob")["device"]);
    send_all(&company, &["lost by the relay"]);
    edit_relay(&mut company, |database| {
        let sql = "UPDATE envelopes SET envelope = zeroblob(length(envelope)) WHERE mailbox = ?1";
        assert_eq!(database.execute(sql, [&mailbox]), Ok(1));
    });
    assert_eq!(received(&company, "bob"), Vec::<String>::new());
    company.command("bob", &["send", "alice", "are you there?"]).ok();
    assert_eq!(received(&company, "alice"), ["are you there?"]);
    // What was lost comes again after the time that a gap is given; what is written now, within a few exchanges.
    for (from, to, text) in [("alice", "bob", "and you?"), ("bob", "alice", "I am"), ("alice", "bob", "good")]
    {
        company.command(from, &["send", to, text]).ok();
        let heard = (0..5).flat_map(|_| {
            received(&company, from);
            received(&company, to)
        });
        assert!(heard.collect::<Vec<_>>().iter().any(|it| it == text), "{text}");
    }
}

#[test]
fn a_replayed_envelope_is_nothing_new_to_anybody() {
    let mut company = Company::open();
    let alice = unhex(&company.member("alice")["device"]);
    let bob = unhex(&company.member("bob")["device"]);
    let carol = unhex(&company.member("carol")["device"]);
    send_all(&company, &["one", "two", "three"]);
    // Doubled before he has seen any, and in mailboxes that they were not meant for.
    let stored = edit_relay(&mut company, |database| {
        let stored = envelopes(database, &bob);
        for envelope in stored.values() {
            [&bob, &carol, &alice].iter().for_each(|mailbox| replay(database, mailbox, envelope));
        }
        stored
    });
    assert_eq!(stored.len(), 3);
    assert_eq!(received(&company, "bob"), ["one", "two", "three"]);
    assert_eq!(received(&company, "carol"), Vec::<String>::new());
    assert_eq!(received(&company, "alice"), Vec::<String>::new());
    // And again, long after, in another order.
    honest_traffic_goes_on(&company);
    edit_relay(&mut company, |database| {
        stored.values().rev().for_each(|envelope| replay(database, &bob, envelope));
    });
    assert_eq!(received(&company, "bob"), Vec::<String>::new());
    assert_eq!(company.texts("bob", "alice"), ["one", "two", "three", "honest", "likewise", "once more"]);
    honest_traffic_goes_on(&company);
}

/// Sends a file with contents that no other has, and returns its path at the relay.
fn send_file(company: &Company, name: &str) -> PathBuf {
    let blobs = || -> Vec<PathBuf> {
        let entries = std::fs::read_dir(company.path("data/blobs")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let before = blobs();
    let path = company.path(name);
    std::fs::write(&path, name.repeat(300_000 / name.len())).unwrap();
    company.command("alice", &["send", "bob", name, "--file", path.to_str().unwrap()]).ok();
    blobs().into_iter().find(|blob| !before.contains(blob)).unwrap()
}

fn blob_id(blob: &Path) -> Vec<u8> {
    unhex(&json!(blob.file_name().unwrap().to_str().unwrap()))
}

#[test]
fn a_swapped_cut_extended_or_missing_blob_is_told_and_holds_nothing_up() {
    // R-CONTENT-7
    let (mut company, _) = two_who_talk();
    let names =
        ["good-1", "swap-1", "swap-2", "cut--1", "cut--2", "long-1", "long-2", "gone-1", "gone-2", "good-2"];
    let blobs: BTreeMap<&str, PathBuf> = names.map(|name| (name, send_file(&company, name))).into();
    send_all(&company, &["after the files"]);
    edit_relay(&mut company, |database| {
        let set_length = |name: &str, length: u64| {
            let sql = "UPDATE blobs SET length = ?2 WHERE blob = ?1";
            let length = i64::try_from(length).unwrap();
            assert_eq!(database.execute(sql, params![blob_id(&blobs[name]), length]), Ok(1));
        };
        let other = company_file(&blobs["swap-1"], |bytes| bytes);
        std::fs::write(&blobs["swap-1"], company_file(&blobs["swap-2"], |bytes| bytes)).unwrap();
        std::fs::write(&blobs["swap-2"], other).unwrap();
        // A file that is shorter than the database says, and one of which the database says the same.
        for name in ["cut--1", "cut--2"] {
            let cut = company_file(&blobs[name], |mut bytes| bytes.drain(..bytes.len() - 70_000).collect());
            std::fs::write(&blobs[name], &cut).unwrap();
            if name == "cut--2" {
                set_length(name, cut.len() as u64);
            }
        }
        for name in ["long-1", "long-2"] {
            let long = company_file(&blobs[name], |bytes| [bytes, vec![0; 70_000]].concat());
            std::fs::write(&blobs[name], &long).unwrap();
            if name == "long-2" {
                set_length(name, long.len() as u64);
            }
        }
        std::fs::remove_file(&blobs["gone-1"]).unwrap();
        let deleted = database.execute("DELETE FROM blobs WHERE blob = ?1", [blob_id(&blobs["gone-2"])]);
        assert_eq!(deleted, Ok(1));
    });
    let folder = company.at("downloads");
    let received = company.command("bob", &["receive", "--save", &folder]);
    assert_eq!(received.code, 0, "{received:?}");
    let outcomes: Vec<(String, Option<&str>)> = received.lines[..names.len()]
        .iter()
        .map(|line| (string(&line["text"]), line["files"][0]["error"]["code"].as_str()))
        .collect();
    let (damaged, gone) = (Some("attachment-damaged"), Some("attachment-gone"));
    // A file without a row, or the other way round, is gone or damaged. What stands behind the end that the
    // relay knows is not handed out: `long-1` is whole.
    let expected =
        [None, damaged, damaged, damaged, damaged, None, damaged, damaged, gone, None].into_iter().zip(names);
    assert_eq!(outcomes, expected.map(|(error, name)| (name.to_owned(), error)).collect::<Vec<_>>());
    assert_eq!(received.lines[names.len()]["text"], "after the files");
    for (name, (_, error)) in names.iter().zip(&outcomes) {
        let saved = std::fs::read(Path::new(&folder).join(name)).ok();
        let whole = error.is_none().then(|| std::fs::read(company.path(name)).unwrap());
        assert!(saved == whole, "{name}");
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 3, "nothing half is left");
    honest_traffic_goes_on(&company);
}

/// The contents of a file, changed.
fn company_file(path: &Path, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    change(std::fs::read(path).unwrap())
}

#[test]
fn a_store_of_a_newer_format_is_left_alone() {
    let (mut company, _) = two_who_talk();
    send_all(&company, &["waits"]);
    let link = company.invite("carol");
    company.desk().stop();
    company.relay.stop();
    for file in ["alice/store.db", "org/desk.db", "data/relay.db"] {
        let path = company.path(file);
        raise_format(&path, 1);
        let before = std::fs::read(&path).unwrap();
        let attempts = match file {
            "alice/store.db" => vec![
                company.command("alice", &["send", "bob", "hello"]),
                company.command("alice", &["receive"]),
                company.command("alice", &["receive", "--follow"]),
                company.command("alice", &["history", "bob"]),
                company.command("alice", &["enroll", &link]),
            ],
            "org/desk.db" => vec![company.invite_with(&["dave"]), serve_desk(&company)],
            _ => vec![serve_relay(&company.at("org/public"), &company.at("data"), "127.0.0.1:0", &[])],
        };
        for attempt in attempts {
            attempt.fails(1, "store-newer", false);
            assert!(attempt.lines.is_empty(), "{file}: {attempt:?}");
        }
        assert!(std::fs::read(&path).unwrap() == before, "{file} was changed");
        raise_format(&path, -1);
    }
    company.restart_relay();
    company.start_desk();
    assert_eq!(received(&company, "bob"), ["waits"]);
    company.enroll("carol", &link).ok();
    honest_traffic_goes_on(&company);
}

/// Changes the number that says of which format a database is, and leaves no log beside it.
fn raise_format(path: &Path, by: i64) {
    let database = Connection::open(path).unwrap();
    let format: i64 = database.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    database.execute_batch(&format!("PRAGMA user_version = {}", format + by)).unwrap();
    database.close().unwrap();
}

fn serve_desk(company: &Company) -> Outcome {
    let (org, key) = (company.at("org"), company.at("org.key"));
    run(&["org", "serve", "--dir", &org, "--key-file", &key, "--json"])
}

/// A relay that is expected to say no.
fn serve_relay(public: &str, data: &str, listen: &str, more: &[&str]) -> Outcome {
    let fixed = ["relay", "--org", public, "--data", data, "--listen", listen, "--json"];
    run(&[&fixed, more].concat())
}

#[test]
fn a_relay_with_another_certificate_gets_nothing_from_those_who_run() {
    let (mut company, _) = two_who_talk();
    let link = company.invite("carol");
    let mut follower = company.daemon("bob", &["receive", "--follow"]);
    send_all(&company, &["before"]);
    assert_eq!(follower.line()["text"], "before");
    company.relay.kill();
    let address = company.url.trim_start_matches("wss://").to_owned();
    let mut impostor = start_relay(&company.at("org/public"), &company.at("impostor"), &address);
    impostor.line();
    // Waiting does not mend this, so those who follow end and say so.
    assert_eq!(follower.wait().code(), Some(2));
    assert_eq!(company.desk().wait().code(), Some(2));
    serve_desk(&company).fails(2, "wrong-relay", false);
    company.enroll("carol", &link).fails(2, "wrong-relay", false);
    let queued = company.command("alice", &["send", "bob", "waits"]);
    queued.is_queued("wrong-relay");
    impostor.stop();
    let seen = Connection::open(company.path("impostor/relay.db")).unwrap();
    for table in ["mailboxes", "envelopes", "deliveries", "prekey_batches", "blobs"] {
        let count = seen.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0));
        assert_eq!(count, Ok(0), "{table}");
    }
    company.restart_relay();
    company.start_desk();
    company.enroll("carol", &link).ok();
    assert_eq!(received(&company, "alice"), Vec::<String>::new());
    assert_eq!(received(&company, "bob"), ["waits"]);
    honest_traffic_goes_on(&company);
}

#[test]
fn a_relay_of_another_organisation_is_refused_although_it_has_the_key() {
    let (mut company, _) = two_who_talk();
    let other = Company::without_desk();
    let link = company.invite("carol");
    let mut follower = company.daemon("bob", &["receive", "--follow"]);
    send_all(&company, &["before"]);
    assert_eq!(follower.line()["text"], "before");
    company.relay.kill();
    let address = company.url.trim_start_matches("wss://").to_owned();
    let (certificate, key) = (company.at("data/relay-certificate.pem"), company.at("data/relay-key.pem"));
    let (public, data) = (other.at("org/public"), company.at("other"));
    // The data of one organisation are not served under another's document either.
    serve_relay(&public, &company.at("data"), "127.0.0.1:0", &[]).fails(2, "wrong-organisation", false);
    let serve = ["relay", "--org", &public, "--data", &data, "--listen", &address, "--json"];
    let mut stranger = Daemon::start(&[&serve[..], &["--cert", &certificate, "--key", &key]].concat());
    assert_eq!(stranger.line()["pin"], company.pin.as_str());
    assert_eq!(follower.wait().code(), Some(2));
    assert_eq!(company.desk().wait().code(), Some(2));
    serve_desk(&company).fails(2, "wrong-organisation", false);
    company.enroll("carol", &link).fails(2, "wrong-organisation", false);
    company.command("alice", &["receive"]).fails(2, "wrong-organisation", false);
    let queued = company.command("alice", &["send", "bob", "waits"]);
    queued.is_queued("wrong-organisation");
    stranger.stop();
    company.restart_relay();
    company.start_desk();
    company.enroll("carol", &link).ok();
    assert_eq!(received(&company, "alice"), Vec::<String>::new());
    assert_eq!(received(&company, "bob"), ["waits"]);
    honest_traffic_goes_on(&company);
}
