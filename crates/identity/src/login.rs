//! How a device proves itself to a relay, and where an enrolling device waits for its answer.

use alloc::vec::Vec;

use chancery_crypto::hash::hash16;
use chancery_crypto::label;
use chancery_crypto::signature::VerifyingKey;

use crate::OrgId;

/// Returns what a device signs under [`label::SIGN_RELAY_LOGIN`]: `challenge || org_id || relay_pin`, 96 bytes
/// (R-ID-14).
///
/// The pin inside makes the signature worthless at any other relay, so that a relay cannot pass a challenge on.
#[must_use]
pub fn login_message(challenge: &[u8; 32], org: &OrgId, relay_pin: &[u8; 32]) -> Vec<u8> {
    [challenge.as_slice(), org.as_bytes(), relay_pin].concat()
}

/// Returns the mailbox of a device that has no credential yet: a hash of its verifying key (R-ID-15).
#[must_use]
pub fn reply_mailbox(key: &VerifyingKey) -> [u8; 16] {
    hash16(label::HASH_REPLY_MAILBOX, &[key.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_crypto::{rng::seeded, signature::SigningKey};

    #[test]
    fn a_login_is_bound_to_challenge_organisation_and_relay() {
        // R-ID-14
        let message = |a, b, c| login_message(&[a; 32], &OrgId::new([b; 32]), &[c; 32]);
        assert_eq!(message(1, 2, 3), [[1; 32], [2; 32], [3; 32]].concat());
        let mut rng = seeded([1; 32]);
        let key = SigningKey::generate(&mut rng);
        let signature = key.sign(label::SIGN_RELAY_LOGIN, &message(1, 2, 3), &mut rng);
        for other in [message(9, 2, 3), message(1, 9, 3), message(1, 2, 9)] {
            assert!(key.verifying_key().verify(label::SIGN_RELAY_LOGIN, &other, &signature).is_err());
        }
    }

    #[test]
    fn reply_mailboxes_of_two_keys_differ() {
        // R-ID-15
        let mut rng = seeded([2; 32]);
        let (a, b) = (SigningKey::generate(&mut rng), SigningKey::generate(&mut rng));
        assert_ne!(reply_mailbox(a.verifying_key()), reply_mailbox(b.verifying_key()));
        assert_eq!(reply_mailbox(a.verifying_key()), reply_mailbox(a.verifying_key()));
    }
}
