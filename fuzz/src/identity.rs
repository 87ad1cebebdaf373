//! Signed statements, bundles, and what goes to and from the desk.

use std::sync::LazyLock;

use chancery_core::Bundle;
use chancery_crypto::secret::Secret;
use chancery_crypto::signature::SigningKey;
use chancery_identity::prekey::VerifiedUpload;
use chancery_identity::{DirectoryKeyUpdate, Organisation, is_relay_url, sign};
use chancery_org::{DeviceLink, InvitationLink, RootShare, join_root_key, split_root_key};
use chancery_testkit::company::NOW;
use chancery_wire::proto::{PrekeyBundle, PrekeyUpload, SealedDirectoryEntry, Signed};
use chancery_wire::{Limit, Unverified, decode, encode, proto};

use crate::{COMPANY, tried};

/// The organisation's public document under its identifier.
pub fn organisation(data: &[u8]) {
    let tried = tried(&encode(COMPANY.organisation.as_proto()), data);
    let Ok(document) = decode::<proto::Organisation>(&tried.bytes, Limit::ORGANISATION) else { return };
    let read = Organisation::verify(document, Some(COMPANY.organisation.id()));
    assert!(read.is_ok() || !tried.sound);
    if let Ok(read) = read {
        assert_eq!(read.id(), COMPANY.organisation.id());
    }
}

fn signed(bytes: &[u8]) -> Option<Unverified<Signed>> {
    decode(bytes, Limit::STATEMENT).ok()
}

/// A device's credential.
pub fn credential(data: &[u8]) {
    let genuine = COMPANY.alice.credential.signed();
    let tried = tried(&encode(genuine), data);
    let Some(statement) = signed(&tried.bytes) else { return };
    let same = statement.unchecked() == genuine;
    let read = COMPANY.organisation.verify_credential(statement, NOW);
    assert_eq!(read.is_ok(), same, "exactly what was signed verifies");
}

/// A directory entry out of its seal.
pub fn directory_entry(data: &[u8]) {
    let genuine = COMPANY.directory_keys.key().open(&COMPANY.alice.entry).expect("sealed").into_unchecked();
    let tried = tried(&encode(&genuine), data);
    let Some(statement) = signed(&tried.bytes) else { return };
    let same = *statement.unchecked() == genuine;
    let read = COMPANY.organisation.verify_directory_entry(statement);
    assert_eq!(read.is_ok(), same, "exactly what was signed verifies");
}

/// A sealed directory entry as a relay hands it out.
pub fn directory_sealed(data: &[u8]) {
    let genuine = &COMPANY.alice.entry;
    let tried = tried(&encode(genuine), data);
    let Ok(entry) = decode::<SealedDirectoryEntry>(&tried.bytes, Limit::FRAME) else { return };
    let entry = entry.into_unchecked();
    let read = COMPANY.organisation.open_directory_entry(COMPANY.directory_keys.key(), &entry);
    assert_eq!(read.is_ok(), entry == *genuine, "exactly what was sealed opens");
}

/// What the desk publishes when alice leaves, and the key that it signs with.
static REMOVAL: LazyLock<(SealedDirectoryEntry, SigningKey)> = LazyLock::new(|| {
    let alice = COMPANY.alice.credential.member_id();
    let removed = COMPANY.desk.remove_devices(&COMPANY.desk_disk, (&alice, None), NOW, &mut crate::rng());
    let update = removed.expect("a member").entries.remove(0);
    // Version (1), issuer (32), seed (64).
    let seed = Secret::from_slice(&COMPANY.desk_keys.expose()[33..97]).expect("64 bytes");
    (update, SigningKey::from_seed(seed))
});

/// An update of the directory key as a relay hands it out, at bob's device; with 2 in front, what is changed is the body, and
/// the desk signs what came of it.
pub fn directory_key_update(data: &[u8]) {
    let (genuine, key) = &*REMOVAL;
    let org = COMPANY.organisation.id();
    let follow = |entry: &SealedDirectoryEntry| {
        let _ = DirectoryKeyUpdate::epoch_of(&org, entry);
        let update = COMPANY.organisation.open_directory_key_update(entry).ok()?;
        Some((COMPANY.directory_keys.follow(&org, &update).is_ok(), update))
    };
    let (follows, sound) = follow(genuine).expect("the desk's");
    assert!(follows, "bob stays");
    if let [2, changes @ ..] = data {
        let signed = &genuine.sealed[12..];
        let length = u32::from_be_bytes(*genuine.sealed[8..].first_chunk().expect("a length"));
        let signed = signed_bytes(&signed[..length as usize]);
        let body = crate::patched(&signed.body, changes);
        let Ok(body) = decode::<proto::DirectoryKeyUpdateBody>(&body, Limit::STATEMENT) else { return };
        let body = body.into_unchecked();
        let signed = sign::sign_directory_key_update(key, &body, &mut crate::rng());
        let read = follow(&DirectoryKeyUpdate::publish(&org, body.epoch, &signed));
        if let Some((true, update)) = read {
            assert_eq!(update.directory_key(), sound.directory_key(), "no other key fits the one at hand");
        }
        return;
    }
    let tried = tried(&encode(genuine), data);
    let Ok(entry) = decode::<SealedDirectoryEntry>(&tried.bytes, Limit::FRAME) else { return };
    match follow(&entry.into_unchecked()) {
        Some((follows, update)) => assert!(follows && update == sound, "exactly what was signed verifies"),
        None => assert!(!tried.sound),
    }
}

fn signed_bytes(bytes: &[u8]) -> Signed {
    decode(bytes, Limit::ENVELOPE).expect("the desk's").into_unchecked()
}

/// A relay record that the desk publishes.
pub fn relay_record(data: &[u8]) {
    let genuine = COMPANY.organisation.as_proto().relay.clone().unwrap_or_default();
    let tried = tried(&encode(&genuine), data);
    let Some(statement) = signed(&tried.bytes) else { return };
    let same = *statement.unchecked() == genuine;
    let read = COMPANY.organisation.verify_relay_record(statement);
    assert_eq!(read.is_ok(), same, "exactly what was signed verifies");
    let _ = core::str::from_utf8(&tried.bytes).map(is_relay_url);
}

/// A prekey bundle.
pub fn prekey_bundle(data: &[u8]) {
    let with = data.first().is_none_or(|mode| mode % 2 == 1);
    let sound = encode(&COMPANY.bob.bundle(with.then_some(0)));
    let tried = tried(&sound, data);
    let Ok(bundle) = decode::<PrekeyBundle>(&tried.bytes, Limit::BUNDLE) else { return };
    assert!(check_bundle(bundle.into_unchecked()) || !tried.sound);
}

pub(crate) fn check_bundle(bundle: PrekeyBundle) -> bool {
    let bob = &COMPANY.bob.credential;
    let expected = (&bob.member_id(), &bob.device_id());
    match Bundle::verify(Unverified::new(bundle), &COMPANY.organisation, expected, NOW) {
        Ok(bundle) => {
            assert_eq!(bundle.credential().device_id(), bob.device_id());
            true
        }
        Err(_) => false,
    }
}

/// A prekey batch as a relay takes it.
pub fn prekey_upload(data: &[u8]) {
    let tried = tried(&encode(&COMPANY.bob.upload), data);
    let Ok(upload) = decode::<PrekeyUpload>(&tried.bytes, Limit::FRAME) else { return };
    let read = VerifiedUpload::verify(upload, &COMPANY.bob.credential, 0, NOW);
    assert!(read.is_ok() || !tried.sound);
}

/// An invitation link or a device link; what reads also writes, and reads the same again.
pub fn invitation_link(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let own = COMPANY.alice.link.encode();
    let changed = patched_text(&own, data);
    for text in [text.as_ref(), &format!("chancery:{text}"), &changed] {
        if let Ok(link) = InvitationLink::parse(text) {
            let again = InvitationLink::parse(&link.encode()).expect("what it wrote");
            assert_eq!((again.org_id, again.invitation_id), (link.org_id, link.invitation_id));
            assert!(is_relay_url(&link.relay_url));
        }
        if let Ok(link) = DeviceLink::parse(text) {
            let again = DeviceLink::parse(&link.encode()).expect("what it wrote");
            assert_eq!(
                (again.org_id, again.link_id, again.mailbox),
                (link.org_id, link.link_id, link.mailbox)
            );
            assert!(InvitationLink::parse(text).is_err(), "no link is of both kinds");
        }
    }
}

/// A share of the root's key; what reads also writes, and only two genuine ones give the key.
pub fn root_share(data: &[u8]) {
    let key = Secret::from_bytes([4; 32]);
    let organisation = COMPANY.organisation.id();
    let genuine = split_root_key(&key, &organisation, (2, 3), &mut crate::rng()).expect("in range");
    let own = genuine[0].encode();
    let text = String::from_utf8_lossy(data);
    for text in [text.as_ref(), &format!("chancery-share:{text}"), &patched_text(&own, data)] {
        let Ok(share) = RootShare::parse(text) else { continue };
        assert_eq!(share.encode(), text.trim());
        let second = RootShare::parse(&genuine[1].encode()).expect("what it wrote");
        let joined = join_root_key(&[share, second]).is_ok_and(|joined| joined.ct_eq(key.expose()));
        assert_eq!(joined, text.trim() == own || text.trim() == genuine[2].encode());
    }
}

fn patched_text(text: &str, data: &[u8]) -> String {
    String::from_utf8_lossy(&crate::patched(text.as_bytes(), data)).into_owned()
}

/// An enrolment request at the desk, which must answer it or drop it and forget it.
pub fn enrolment_request(data: &[u8]) {
    let tried = tried(COMPANY.alice.pending.envelope(), data);
    let answered = COMPANY.answer(&tried.bytes);
    assert_eq!(answered.is_ok(), tried.sound, "only the sound request opens");
}

/// The desk's answer at the device.
pub fn enrolment_answer(data: &[u8]) {
    let alice = &COMPANY.alice;
    let tried = tried(&alice.answer, data);
    let done = alice.pending.complete(&COMPANY.organisation, &alice.keys, &tried.bytes, NOW);
    assert_eq!(done.is_ok(), tried.sound, "only the sound answer opens");
}
