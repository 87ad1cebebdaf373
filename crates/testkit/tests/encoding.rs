//! What holds for every message of `/proto`.
#![allow(missing_docs, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};

use chancery_crypto::rng::seeded;
use chancery_identity::sign;
use chancery_testkit::company::{Company, NOW};
use chancery_wire::proto::{CredentialBody, Hello, Signed, Text};
use chancery_wire::{DecodeError, Limit, Unverified, decode, encode};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn structures_are_proto3_messages_of_one_package_r_wire_1() {
    let hello = Hello { version: 1, org_id: vec![7; 3] };
    assert_eq!(encode(&hello), [0x08, 1, 0x12, 3, 7, 7, 7], "as the protobuf page encodes it");
    assert_eq!(encode(&Hello::default()), [0_u8; 0], "proto3 leaves defaults out");
    let mut files = 0;
    for entry in fs::read_dir(root().join("proto")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "proto") {
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains("\nsyntax = \"proto3\";\npackage chancery.v1;\n"), "{}", path.display());
            files += 1;
        }
    }
    assert!(files >= 7);
}

#[test]
fn fields_of_later_versions_are_ignored_and_what_is_cut_is_refused_r_wire_2() {
    let text = Text { text: "hello".into(), ..Text::default() };
    let known = encode(&text);
    // Field 1000: a number, then bytes.
    for unknown in [&[0xC0, 0x3E, 5][..], &[0xC2, 0x3E, 2, 0xFF, 0xFF]] {
        for bytes in [[&known, unknown].concat(), [unknown, &known].concat()] {
            assert_eq!(decode::<Text>(&bytes, Limit::CONTENT).unwrap().into_unchecked(), text);
        }
        let cut = [&known, unknown.split_last().unwrap().1].concat();
        assert_eq!(decode::<Text>(&cut, Limit::CONTENT).unwrap_err(), DecodeError::Malformed);
    }
    for len in 1..known.len() {
        assert_eq!(decode::<Text>(&known[..len], Limit::CONTENT).unwrap_err(), DecodeError::Malformed);
    }
}

#[test]
fn what_is_signed_counts_as_it_travels_and_not_as_it_would_be_encoded_again_r_wire_2() {
    let company = Company::found(3);
    let (genuine, keys) = (company.alice.credential.signed(), company.desk_keys.expose());
    // The issuer's seed lies behind version (1) and issuer (32).
    let seed = chancery_crypto::secret::Secret::from_slice(&keys[33..97]).unwrap();
    let issuer = chancery_crypto::signature::SigningKey::from_seed(seed);
    let rng = &mut seeded([8; 32]);
    let body: CredentialBody = decode(&genuine.body, Limit::STATEMENT).unwrap().into_unchecked();
    assert!(verifies(&company, sign::sign_credential(&issuer, &body, rng)));
    // A field of a later version, signed: the bytes differ from every encoding that we would make.
    let body = [genuine.body.as_slice(), &[0xC0, 0x3E, 5]].concat();
    let signature = issuer.sign(chancery_crypto::label::SIGN_CREDENTIAL, &body, rng);
    assert!(verifies(&company, Signed { body: body.clone(), signature: signature.clone() }));
    // The same message without it is another body.
    assert!(!verifies(&company, Signed { body: genuine.body.clone(), signature }));
    assert!(!verifies(&company, Signed { body, signature: genuine.signature.clone() }));
}

fn verifies(company: &Company, statement: Signed) -> bool {
    company.organisation.verify_credential(Unverified::new(statement), NOW).is_ok()
}

#[test]
fn an_input_above_the_limit_of_its_kind_is_refused_unread_r_wire_3() {
    let kinds = [
        ("frame between client and relay", Limit::FRAME),
        ("envelope", Limit::ENVELOPE),
        ("body of a signed statement about an identity", Limit::STATEMENT),
        ("organisation's public document", Limit::ORGANISATION),
        ("prekey bundle", Limit::BUNDLE),
        ("content of a message", Limit::CONTENT),
        ("record of a store", Limit::RECORD),
    ];
    let page = fs::read_to_string(root().join("docs/PROTOCOL.md")).unwrap();
    for (kind, limit) in kinds {
        let row = page.lines().find_map(|line| line.strip_prefix(&format!("| {kind} | "))).unwrap();
        let written = row.split(" |").next().unwrap().replace(',', "");
        assert_eq!(written.parse(), Ok(limit.bytes()), "{kind}: as the page says");
        // Bytes that are no message: what is too long is told by its length alone.
        let bytes = vec![0xFF; limit.bytes() + 1];
        let too_long = DecodeError::TooLong { len: bytes.len(), limit: limit.bytes() };
        assert_eq!(decode::<Hello>(&bytes, limit).unwrap_err(), too_long);
        assert_eq!(decode::<Hello>(&bytes[1..], limit).unwrap_err(), DecodeError::Malformed);
    }
}
