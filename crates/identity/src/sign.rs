//! The signing side: each function makes one kind of [`Signed`] statement (R-ID-2).
//!
//! Nothing is checked here; a statement that its verifier would refuse can be signed, and is refused.

use chancery_crypto::label::{self, Label};
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::signature::SigningKey;
use chancery_wire::{encode, proto};
use proto::Signed;

use crate::OrgId;
use crate::organisation::root_acceptance;

/// Signs an issuer's certificate with the organisation's root (R-ID-4).
pub fn sign_issuer(root: &SigningKey, body: &proto::IssuerBody, rng: &mut dyn CryptoRng) -> Signed {
    sign(root, label::SIGN_ISSUER, encode(body), rng)
}

/// Signs a device's credential with an issuer's key (R-ID-7).
pub fn sign_credential(issuer: &SigningKey, body: &proto::CredentialBody, rng: &mut dyn CryptoRng) -> Signed {
    sign(issuer, label::SIGN_CREDENTIAL, encode(body), rng)
}

/// Signs the enrolment desk's keys with an issuer's key (R-ID-9).
pub fn sign_desk(issuer: &SigningKey, body: &proto::DeskBody, rng: &mut dyn CryptoRng) -> Signed {
    sign(issuer, label::SIGN_DESK, encode(body), rng)
}

/// Signs where the relay is with an issuer's key (R-ID-10).
pub fn sign_relay_record(
    issuer: &SigningKey,
    body: &proto::RelayRecordBody,
    rng: &mut dyn CryptoRng,
) -> Signed {
    sign(issuer, label::SIGN_RELAY_RECORD, encode(body), rng)
}

/// Signs a directory entry with an issuer's key (R-ID-12).
pub fn sign_directory_entry(
    issuer: &SigningKey,
    body: &proto::DirectoryEntryBody,
    rng: &mut dyn CryptoRng,
) -> Signed {
    sign(issuer, label::SIGN_DIRECTORY, encode(body), rng)
}

/// Signs a root's successor with the root before it (R-ID-16).
pub fn sign_root_successor(
    root: &SigningKey,
    next: &SigningKey,
    org: &OrgId,
    rng: &mut dyn CryptoRng,
) -> Signed {
    let accepted = root_acceptance(org, root.verifying_key());
    let body = proto::RootSuccessorBody {
        org_id: org.as_bytes().to_vec(),
        root_key: next.verifying_key().as_bytes().to_vec(),
        acceptance: next.sign(label::SIGN_ROOT_ACCEPTANCE, &accepted, rng),
    };
    sign(root, label::SIGN_ROOT_SUCCESSOR, encode(&body), rng)
}

/// Signs the end of an issuer with the organisation's root (R-LOG-4).
pub fn sign_issuer_revocation(
    root: &SigningKey,
    body: &proto::IssuerRevocationBody,
    rng: &mut dyn CryptoRng,
) -> Signed {
    sign(root, label::SIGN_ISSUER_REVOCATION, encode(body), rng)
}

/// Signs the end of a device or a member with an issuer's key (R-LOG-4).
pub fn sign_revocation(issuer: &SigningKey, body: &proto::RevocationBody, rng: &mut dyn CryptoRng) -> Signed {
    sign(issuer, label::SIGN_REVOCATION, encode(body), rng)
}

/// Signs the policy with an issuer's key (R-LOG-4).
pub fn sign_policy(issuer: &SigningKey, body: &proto::PolicyBody, rng: &mut dyn CryptoRng) -> Signed {
    sign(issuer, label::SIGN_POLICY, encode(body), rng)
}

/// Signs who takes a group over with an issuer's key (R-LOG-4).
pub fn sign_group_successor(
    issuer: &SigningKey,
    body: &proto::GroupSuccessorBody,
    rng: &mut dyn CryptoRng,
) -> Signed {
    sign(issuer, label::SIGN_GROUP_SUCCESSOR, encode(body), rng)
}

/// Signs a commitment with an issuer's key (R-LOG-4).
pub fn sign_log_commitment(
    issuer: &SigningKey,
    body: &proto::LogCommitmentBody,
    rng: &mut dyn CryptoRng,
) -> Signed {
    sign(issuer, label::SIGN_LOG_COMMITMENT, encode(body), rng)
}

/// Signs an update of the directory key with an issuer's key (R-ID-19).
pub fn sign_directory_key_update(
    issuer: &SigningKey,
    body: &proto::DirectoryKeyUpdateBody,
    rng: &mut dyn CryptoRng,
) -> Signed {
    sign(issuer, label::SIGN_DIRECTORY_UPDATE, encode(body), rng)
}

/// Signs a prekey batch with a device's key (R-PREKEY-2).
pub fn sign_prekey_batch(
    device: &SigningKey,
    body: &proto::PrekeyBatchBody,
    rng: &mut dyn CryptoRng,
) -> Signed {
    sign(device, label::SIGN_PREKEYS, encode(body), rng)
}

fn sign(key: &SigningKey, label: Label, body: alloc::vec::Vec<u8>, rng: &mut dyn CryptoRng) -> Signed {
    let signature = key.sign(label, &body, rng);
    Signed { body, signature }
}
