//! Our calls are the primitives that the vectors ran against, on the documented inputs.
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use chancery_crypto::aead::OneTimeKey;
use chancery_crypto::ed25519::{GroupSigningKey, GroupVerifyingKey};
use chancery_crypto::secret::Secret;
use chancery_crypto::signature::{SigningKey, VerifyingKey};
use chancery_crypto::{kdf, label, stream};
use ed25519_dalek::Signer;
use hmac::{Hmac, Mac};
use libcrux_ml_dsa::ml_dsa_65;
use sha2::{Digest, Sha256};

use crate::Prescribed;

fn one_time(key: [u8; 32]) -> OneTimeKey {
    OneTimeKey::new(Secret::from_bytes(key))
}

#[test]
fn a_single_use_key_is_rfc_8439_under_the_zero_nonce_r_crypto_11() {
    for length in [0, 1, 15, 16, 17, 63, 64, 65, 4096] {
        let plain: Vec<u8> = (0..=255).cycle().take(length).collect();
        let payload = Payload { msg: &plain, aad: b"aad" };
        let theirs = ChaCha20Poly1305::new(&[3; 32].into()).encrypt(&[0; 12].into(), payload).unwrap();
        assert_eq!(one_time([3; 32]).seal(b"aad", &plain), theirs);
        assert_eq!(one_time([3; 32]).open(b"aad", &theirs).unwrap().expose(), plain);
    }
}

#[test]
fn derive_and_mac_are_rfc_5869_and_rfc_2104_with_a_label_r_crypto_4() {
    let label = label::KDF_ROOT;
    let info = [label.as_bytes(), &[0], b"context"].concat();
    let mut okm = [0; 96];
    hkdf::Hkdf::<Sha256>::new(Some(b"salt"), b"onetwo").expand(&info, &mut okm).unwrap();
    assert_eq!(kdf::derive::<96>(label, b"salt", &[b"one", b"two"], b"context").expose(), &okm);
    let mut state = <Hmac<Sha256> as KeyInit>::new_from_slice(&[5; 32]).unwrap();
    state.update(&[label.as_bytes(), &[0], b"message"].concat());
    let tag = state.finalize().into_bytes();
    let key = Secret::from_bytes([5; 32]);
    assert_eq!(kdf::mac(label, &key, &[b"mess", b"age"]).expose()[..], tag[..]);
    assert!(kdf::mac_matches(label, &key, &[b"message"], &tag));
    // R-CRYPTO-5: no shorter tag passes.
    assert!(!kdf::mac_matches(label, &key, &[b"message"], &tag[..16]));
}

#[test]
fn a_group_signature_is_rfc_8032_over_label_and_message_r_crypto_10() {
    let key = GroupSigningKey::from_seed(Secret::from_bytes([6; 32]));
    let theirs = ed25519_dalek::SigningKey::from_bytes(&[6; 32]);
    let signed = [label::SIGN_HANDSHAKE.as_bytes(), &[0], b"m"].concat();
    let signature = theirs.sign(&signed).to_bytes();
    assert_eq!(key.sign(label::SIGN_HANDSHAKE, b"m"), signature);
    let public = GroupVerifyingKey::from_bytes(theirs.verifying_key().as_bytes()).unwrap();
    assert!(public.verify(label::SIGN_HANDSHAKE, b"m", &signature).is_ok());
    assert!(public.verify(label::SIGN_DESK, b"m", &signature).is_err());
}

#[test]
fn a_hybrid_signature_is_both_primitives_over_the_bound_message_r_crypto_9() {
    let (ed_seed, ml_seed, hedge) = ([1; 32], [2; 32], [3; 32]);
    let ed = ed25519_dalek::SigningKey::from_bytes(&ed_seed);
    let ml = ml_dsa_65::generate_key_pair(ml_seed);
    let public = [ed.verifying_key().as_bytes().as_slice(), ml.verification_key.as_slice()].concat();
    let label = label::SIGN_CREDENTIAL.as_bytes();
    let signed =
        [&[u8::try_from(label.len()).unwrap()], label, &Sha256::digest(&public)[..], b"message"].concat();
    let ml_half = ml_dsa_65::sign(&ml.signing_key, &signed, b"", hedge).unwrap();
    let theirs = [ed.sign(&signed).to_bytes().as_slice(), ml_half.as_slice()].concat();

    let key = SigningKey::from_seed(Secret::from_slice(&[ed_seed, ml_seed].concat()).unwrap());
    assert_eq!(key.verifying_key().as_bytes()[..], public);
    assert_eq!(key.sign(label::SIGN_CREDENTIAL, b"message", &mut Prescribed(&hedge)), theirs);
    let reader = VerifyingKey::from_bytes(&public).unwrap();
    assert!(reader.verify(label::SIGN_CREDENTIAL, b"message", &theirs).is_ok());

    // Edge cases of the classical half reach the hybrid: S + L is refused there too.
    let order = ed25519_order_added(&theirs[32..64]);
    let malleable = [&theirs[..32], &order, &theirs[64..]].concat();
    assert!(reader.verify(label::SIGN_CREDENTIAL, b"message", &malleable).is_err());
}

fn ed25519_order_added(s: &[u8]) -> Vec<u8> {
    let order = crate::unhex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut carry = 0;
    s.iter()
        .zip(order)
        .map(|(a, b)| {
            let sum = u16::from(*a) + u16::from(b) + carry;
            carry = sum >> 8;
            sum.to_le_bytes()[0]
        })
        .collect()
}

#[test]
fn a_stream_is_rfc_8439_chunk_by_chunk_r_crypto_12() {
    let both: Secret<64> = kdf::derive(label::KDF_STREAM, b"", &[&[9; 32]], b"");
    let (sealer, header) = stream::Sealer::new(&Secret::from_bytes([9; 32]));
    let mut sealer = sealer;
    assert_eq!(header[0], 1);
    assert_eq!(header[1..], both.expose()[32..]);
    let cipher = ChaCha20Poly1305::new_from_slice(&both.expose()[..32]).unwrap();
    let full = vec![7; stream::CHUNK_LEN];
    let first = cipher.encrypt(&[0; 12].into(), full.as_slice()).unwrap();
    assert_eq!(sealer.seal(&full, false).unwrap(), first);
    let mut nonce = [0; 12];
    (nonce[10], nonce[11]) = (1, 1);
    let last = cipher.encrypt(&nonce.into(), b"end".as_slice()).unwrap();
    assert_eq!(sealer.seal(b"end", true).unwrap(), last);
}
