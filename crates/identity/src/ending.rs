//! An ended device's word that it has verified its end, and goes on to destroy its store (R-LOG-12).

use alloc::vec::Vec;

use chancery_crypto::label;
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::signature::{SigningKey, VerifyingKey};
use chancery_wire::{Timestamp, proto};

use crate::log::{Leaf, LeafKind};
use crate::{DeviceId, LogError, MemberId, OrgId};

/// Signs that a device has verified the leaf that ended it; `time` is by the device's clock.
pub fn confirm_end(
    key: &SigningKey,
    (org, device): (&OrgId, &DeviceId),
    leaf: &Leaf,
    time: Timestamp,
    rng: &mut dyn CryptoRng,
) -> proto::EndConfirmation {
    let leaf = leaf.to_bytes();
    let signature = key.sign(label::SIGN_END_CONFIRMATION, &message(org, device, &leaf, time), rng);
    proto::EndConfirmation {
        device_id: device.as_bytes().to_vec(),
        leaf: leaf.to_vec(),
        time: time.as_millis(),
        signature,
    }
}

/// Verifies that a device of a member has signed its own end, and returns when it did, by its clock (R-LOG-12). It says
/// nothing of what the device still has: whoever controls it can sign and keep everything.
///
/// # Errors
///
/// [`LogError::Malformed`], [`LogError::NotPermitted`] for another device's or another kind of leaf,
/// [`LogError::NotAuthentic`]: the device has confirmed nothing.
pub fn verify_end_confirmation(
    confirmation: &proto::EndConfirmation,
    org: &OrgId,
    (member, device): (&MemberId, &DeviceId),
    key: &VerifyingKey,
) -> Result<Timestamp, LogError> {
    let leaf = Leaf::from_bytes(&confirmation.leaf).ok_or(LogError::Malformed)?;
    let is_own = match leaf.kind {
        LeafKind::DeviceRevoked => leaf.device() == *device && leaf.member() == *member,
        LeafKind::MemberRevoked => leaf.member() == *member,
        _ => false,
    };
    if !is_own || confirmation.device_id != device.as_bytes() {
        return Err(LogError::NotPermitted);
    }
    let time = Timestamp::from_millis(confirmation.time);
    let message = message(org, device, &leaf.to_bytes(), time);
    key.verify(label::SIGN_END_CONFIRMATION, &message, &confirmation.signature)?;
    Ok(time)
}

fn message(org: &OrgId, device: &DeviceId, leaf: &[u8; Leaf::LEN], time: Timestamp) -> Vec<u8> {
    [org.as_bytes().as_slice(), device.as_bytes(), leaf, &time.as_millis().to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_crypto::rng::seeded;

    #[test]
    fn only_the_ended_device_confirms_its_own_end_r_log_12() {
        let mut rng = seeded([7; 32]);
        let (key, other) = (SigningKey::generate(&mut rng), SigningKey::generate(&mut rng));
        let (org, member, device) = (OrgId::new([1; 32]), MemberId::new([2; 16]), DeviceId::new([3; 16]));
        let time = Timestamp::from_millis(5);
        let end = |kind, subject: [u8; 16], object: [u8; 16]| Leaf {
            kind,
            time,
            subject,
            object,
            issuer: [4; 16],
            commitment: [5; 32],
        };
        let (id, of) = (*device.as_bytes(), *member.as_bytes());
        let mut ends = [end(LeafKind::DeviceRevoked, id, of), end(LeafKind::MemberRevoked, of, [0; 16])];
        let verify = |it: &proto::EndConfirmation, key: &SigningKey| {
            verify_end_confirmation(it, &org, (&member, &device), key.verifying_key())
        };
        for leaf in &ends {
            let confirmed = confirm_end(&key, (&org, &device), leaf, time, &mut rng);
            assert_eq!(verify(&confirmed, &key), Ok(time));
            assert_eq!(verify(&confirmed, &other), Err(LogError::NotAuthentic), "another device's key");
            let elsewhere = confirm_end(&key, (&OrgId::new([9; 32]), &device), leaf, time, &mut rng);
            assert_eq!(verify(&elsewhere, &key), Err(LogError::NotAuthentic), "another organisation");
            let later = proto::EndConfirmation { time: 6, ..confirmed.clone() };
            assert_eq!(verify(&later, &key), Err(LogError::NotAuthentic));
            let cut = proto::EndConfirmation { leaf: confirmed.leaf[1..].to_vec(), ..confirmed.clone() };
            assert_eq!(verify(&cut, &key), Err(LogError::Malformed));
            let foreign = proto::EndConfirmation { device_id: [8; 16].to_vec(), ..confirmed };
            assert_eq!(verify(&foreign, &key), Err(LogError::NotPermitted));
        }
        ends[0].subject = [6; 16];
        ends[1].kind = LeafKind::Credential;
        for leaf in &ends {
            let confirmed = confirm_end(&key, (&org, &device), leaf, time, &mut rng);
            assert_eq!(verify(&confirmed, &key), Err(LogError::NotPermitted), "no end of this device");
        }
    }
}
