//! FIPS 203 and 204 against second implementations.
//!
//! The ACVP files are in no package of the registry, so key generation, encapsulation, decapsulation (of sound and
//! of broken ciphertexts) and signing run on 200 seeds each against `ml-kem` and `ml-dsa`, which are tested
//! with those files and share no code with what we use.
use chancery_crypto::hash::sha256;
use chancery_crypto::kem::{KemCiphertext, KemSecret};
use chancery_crypto::label;
use chancery_crypto::rng::{random_bytes, seeded};
use chancery_crypto::secret::Secret;
use chancery_crypto::signature::SigningKey;

use rand_core::Rng as _;

const SEEDS: u8 = 200;

#[test]
fn ml_kem_768_agrees_with_a_second_implementation_on_200_seeds() {
    use ml_kem::kem::{Decapsulate, KeyExport};
    for seed in 0..SEEDS {
        let mut rng = seeded([seed; 32]);
        let key = KemSecret::generate(&mut rng);
        let theirs = ml_kem::DecapsulationKey::<ml_kem::MlKem768>::from_seed((*key.seed().expose()).into());
        assert_eq!(theirs.encapsulation_key().to_bytes().as_slice(), key.public().as_bytes(), "{seed}");
        let (ciphertext, secret) = key.public().encapsulate(&mut rng);
        assert_eq!(
            theirs.decapsulate(&(*ciphertext.as_bytes()).into()).as_slice(),
            secret.expose(),
            "{seed}"
        );
        let mut broken = *ciphertext.as_bytes();
        broken[usize::from(seed) * 5] ^= 1 << (seed % 8);
        let ours = key.decapsulate(&KemCiphertext::from_bytes(&broken).unwrap());
        assert_eq!(
            theirs.decapsulate(&broken.into()).as_slice(),
            ours.expose(),
            "implicit rejection, {seed}"
        );
        assert_ne!(ours.expose(), secret.expose());
        let noise = random_bytes::<1088>(&mut rng);
        let ours = key.decapsulate(&KemCiphertext::from_bytes(&noise).unwrap());
        assert_eq!(theirs.decapsulate(&noise.into()).as_slice(), ours.expose(), "noise, {seed}");
    }
}

#[test]
fn ml_dsa_65_agrees_with_a_second_implementation_on_200_seeds() {
    use ml_dsa::signature::{Keypair, Verifier};
    for seed in 0..SEEDS {
        let mut rng = seeded([seed; 32]);
        let mut message = vec![0; usize::from(seed) * 7];
        rng.fill_bytes(&mut message);
        let key = SigningKey::from_seed(Secret::random(&mut rng));
        let ml_seed: [u8; 32] = key.seed().expose()[32..].try_into().unwrap();
        let theirs = ml_dsa::SigningKey::<ml_dsa::MlDsa65>::from_seed(&ml_seed.into());
        assert_eq!(
            theirs.verifying_key().encode().as_slice(),
            &key.verifying_key().as_bytes()[32..],
            "{seed}"
        );
        let signature = key.sign(label::SIGN_DESK, &message, &mut rng);
        let half = ml_dsa::Signature::<ml_dsa::MlDsa65>::try_from(&signature[64..]).unwrap();
        let length = u8::try_from(label::SIGN_DESK.as_bytes().len()).unwrap();
        let signed =
            [&[length], label::SIGN_DESK.as_bytes(), &sha256(&[key.verifying_key().as_bytes()]), &message]
                .concat();
        assert!(theirs.verifying_key().verify(&signed, &half).is_ok(), "{seed}");
        // The other way: what they sign without randomness is what ours gives with 32 zero bytes.
        let theirs = theirs.expanded_key().sign_deterministic(&signed, &[]).unwrap();
        let mine = libcrux_ml_dsa::ml_dsa_65::sign(
            &libcrux_ml_dsa::ml_dsa_65::generate_key_pair(ml_seed).signing_key,
            &signed,
            b"",
            [0; 32],
        );
        assert_eq!(theirs.encode().as_slice(), mine.unwrap().as_slice(), "{seed}");
    }
}
