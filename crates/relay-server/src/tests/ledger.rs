//! `docs/ledger.json` says everything that a relay stores and sees, and nothing else (R-RELAY-38).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use chancery_identity::OrgId;
use serde_json::Value;

use crate::sqlite::SqliteStorage;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The names in one part of the ledger; each entry has to say everything.
fn ledger(part: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("docs/ledger.json")).unwrap();
    let ledger: Value = serde_json::from_str(&text).unwrap();
    let entries = ledger[part].as_array().unwrap();
    let names: BTreeSet<String> = entries
        .iter()
        .map(|entry| {
            for key in ["what", "kept", "tells"] {
                assert!(entry[key].as_str().is_some_and(|text| text.len() > 3), "{key} of {entry}");
            }
            entry["name"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(names.len(), entries.len(), "an entry of {part} stands twice");
    names
}

#[test]
fn every_column_of_the_database_is_in_the_ledger_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let storage = SqliteStorage::open(directory.path(), &OrgId::new([1; 32])).unwrap();
    let columns: BTreeSet<String> = storage.columns().unwrap().into_iter().collect();
    assert!(columns.contains("envelopes.envelope"));
    assert_eq!(columns, ledger("columns"), "R-RELAY-38: left the schema, right the ledger");
}

/// The fields of every message in `/proto`: name and type.
fn messages() -> BTreeMap<String, Vec<(String, String)>> {
    let mut messages: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for file in fs::read_dir(root().join("proto")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "proto") {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        let mut current = None;
        for line in text.lines() {
            let code = line.split("//").next().unwrap().trim();
            if let Some(name) = code.strip_prefix("message ") {
                let name = name.trim_end_matches(['{', '}', ' ']).to_owned();
                messages.entry(name.clone()).or_default();
                current = Some(name);
            } else if let (Some(message), Some((field, _))) = (&current, code.split_once(" = ")) {
                let words: Vec<&str> = field.split_whitespace().collect();
                let [.., kind, name] = words.as_slice() else { panic!("{line}") };
                messages.get_mut(message).unwrap().push(((*name).to_owned(), (*kind).to_owned()));
            }
        }
    }
    messages
}

#[test]
fn every_field_that_a_client_sends_is_in_the_ledger_and_no_other() {
    let messages = messages();
    let mut fields = BTreeSet::new();
    let mut open = vec!["ClientFrame".to_owned()];
    while let Some(message) = open.pop() {
        for (name, kind) in &messages[&message] {
            if fields.insert(format!("{message}.{name}")) && messages.contains_key(kind) {
                open.push(kind.clone());
            }
        }
    }
    // The bodies of the frame are named by their own fields.
    fields.retain(|field| !field.starts_with("ClientFrame.") || field == "ClientFrame.request");
    assert!(fields.contains("Deliver.mailbox") && fields.contains("Signed.body"));
    assert_eq!(fields, ledger("fields"), "R-RELAY-38: left the protocol, right the ledger");
}
