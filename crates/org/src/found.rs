//! The founding of an organisation.

use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::kem::KemSecret;
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::signature::{SigningKey, VerifyingKey};
use chancery_crypto::x25519::DhSecret;
use chancery_identity::{
    Capabilities, DeviceId, DeviceKeys, DirectoryKey, DisplayName, Issuer, MemberId, OrgId, SUITE, sign,
};
use chancery_wire::records::Batch;
use chancery_wire::{Timestamp, proto};

use crate::keys::{AdminKeys, DeskKeys, IssuerKey, Root};
use crate::state::{self, Settings};

/// How long an issuer's certificate and the desk's keys are valid: two years. The root has to be fetched from
/// its safe that often.
pub const ISSUER_VALIDITY: Duration = Duration::from_secs(730 * DAY);
/// How far statements are dated back, so that a device whose clock is slow believes them: one day.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(DAY);

const DAY: u64 = 24 * 60 * 60;

/// A new organisation: what goes into which file.
#[derive(Debug)]
pub struct NewOrganisation {
    /// To be sealed into a file that leaves the machine.
    pub root: Root,
    /// To be sealed into the desk's file.
    pub desk: DeskKeys,
    /// To be sealed into the administrator's file.
    pub admin: AdminKeys,
    /// The public document. It holds no name.
    pub public: proto::Organisation,
    /// The desk's first records: the organisation's name and the directory keys.
    pub records: Batch,
}

/// Founds an organisation: a root, an issuer that enrols, one that administers, and a desk (R-ORG-1).
///
/// After this the root is not needed until an issuer has to be replaced.
pub fn found(name: &DisplayName, now: Timestamp, rng: &mut dyn CryptoRng) -> NewOrganisation {
    let root = Root::generate(rng);
    let validity = Dates::from(now, ISSUER_VALIDITY);
    let admin_capabilities =
        [Capabilities::GROUPS, Capabilities::POLICY, Capabilities::LOG, Capabilities::ARCHIVE]
            .into_iter()
            .fold(Capabilities::OFFBOARD, Capabilities::union);
    let org = root.org_id();
    let (enrol, enrol_certificate) = issuer(&root, (&org, Capabilities::ENROL), validity, rng);
    let (admin, admin_certificate) = issuer(&root, (&org, admin_capabilities), validity, rng);
    let (desk, desk_statement) = desk(&org, enrol, validity, rng);
    let public = proto::Organisation {
        root_key: key_bytes(root.signing().verifying_key()),
        issuers: [enrol_certificate, admin_certificate].into(),
        desk: Some(desk_statement),
        ..Default::default()
    };
    let mut records = Batch::default();
    let last_key = DirectoryKey::generate(rng);
    if let Some(directory_key) = last_key.at(1) {
        let settings = Settings { organisation_name: name.clone(), directory_key, last_key };
        state::put_settings(&mut records, &settings);
    }
    NewOrganisation { root, desk, admin: AdminKeys::new(admin), public, records }
}

/// A span of time for a statement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dates {
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
}

impl Dates {
    /// From a little before `now` until `validity` after it.
    pub(crate) fn from(now: Timestamp, validity: Duration) -> Self {
        let tolerance = u64::try_from(CLOCK_TOLERANCE.as_millis()).unwrap_or(u64::MAX);
        Self {
            not_before: now.as_millis().saturating_sub(tolerance),
            not_after: now.after(validity).as_millis(),
        }
    }

    /// Cuts the span to an issuer's own, outside of which nobody would believe it.
    pub(crate) fn within(self, issuer: &Issuer) -> Self {
        Self {
            not_before: self.not_before.max(issuer.not_before().as_millis()),
            not_after: self.not_after.min(issuer.not_after().as_millis()),
        }
    }
}

/// Makes an issuer of an organisation, of which this is the newest root.
pub(crate) fn issuer(
    root: &Root,
    (org, capabilities): (&OrgId, Capabilities),
    dates: Dates,
    rng: &mut dyn CryptoRng,
) -> (IssuerKey, proto::Signed) {
    let key = SigningKey::generate(rng);
    let body = proto::IssuerBody {
        suite: SUITE,
        org_id: org.as_bytes().to_vec(),
        key: key_bytes(key.verifying_key()),
        capabilities: capabilities.bits(),
        not_before: dates.not_before,
        not_after: dates.not_after,
    };
    let certificate = sign::sign_issuer(root.signing(), &body, rng);
    (IssuerKey::new(Issuer::id_of(&certificate), key), certificate)
}

/// Makes a desk that signs as `issuer`: keys, statement and credential.
pub(crate) fn desk(
    org: &OrgId,
    issuer: IssuerKey,
    dates: Dates,
    rng: &mut dyn CryptoRng,
) -> (DeskKeys, proto::Signed) {
    let device = DeviceKeys::generate(rng);
    let (dh, kem) = (DhSecret::generate(rng), KemSecret::generate(rng));
    let device_id = DeviceId::random(rng);
    let body = proto::DeskBody {
        suite: SUITE,
        org_id: org.as_bytes().to_vec(),
        issuer_id: issuer.id().as_bytes().to_vec(),
        device_id: device_id.as_bytes().to_vec(),
        dh_key: dh.public().as_bytes().to_vec(),
        kem_key: kem.public().as_bytes().to_vec(),
        not_before: dates.not_before,
        not_after: dates.not_after,
    };
    let statement = sign::sign_desk(issuer.signing(), &body, rng);
    let body = proto::CredentialBody {
        suite: SUITE,
        org_id: body.org_id,
        issuer_id: body.issuer_id,
        member_id: MemberId::random(rng).as_bytes().to_vec(),
        device_id: body.device_id,
        signing_key: key_bytes(device.signing.verifying_key()),
        identity_key: device.identity.public().as_bytes().to_vec(),
        group_key: device.group.verifying_key().as_bytes().to_vec(),
        capabilities: Capabilities::DESK.bits(),
        not_before: dates.not_before,
        not_after: dates.not_after,
    };
    let credential = sign::sign_credential(issuer.signing(), &body, rng);
    (DeskKeys { issuer, device, dh, kem, credential, records_key: None }, statement)
}

fn key_bytes(key: &VerifyingKey) -> Vec<u8> {
    key.as_bytes().to_vec()
}
