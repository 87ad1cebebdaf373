//! Measurements of Chancery: what they have in common.
//!
//! `cargo bench -p chancery-benches` runs all. Figures are medians and ratios of one run; nothing here is
//! tested against the clock.

pub mod groups;

use std::collections::BTreeMap;
use std::time::Duration;

use chancery_core::{BatchPlan, Bundle, Local, PrekeyId, PrekeySecrets, Responder, generate_batch};
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::SecretBytes;
use chancery_crypto::signature::SigningKey;
use chancery_identity::prekey::VerifiedUpload;
use chancery_identity::{Credential, DeviceKeys, DisplayName, Handle, Organisation};
use chancery_org::{Desk, Invite, RelayPlace, found, request};
use chancery_wire::records::{Batch, RecordKey};
use chancery_wire::{Timestamp, Unverified, proto};

/// When everything happens.
pub const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// An enrolled device with published prekeys.
pub struct Device {
    /// Its organisation.
    pub organisation: Organisation,
    /// Its credential.
    pub credential: Credential,
    /// Its keys.
    pub keys: DeviceKeys,
    upload: VerifiedUpload,
    secrets: BTreeMap<PrekeyId, Vec<u8>>,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Device(..)")
    }
}

impl PrekeySecrets for Device {
    fn secret(&self, id: PrekeyId) -> Option<SecretBytes> {
        self.secrets.get(&id).cloned().map(SecretBytes::new)
    }
}

impl Device {
    /// What an initiator works with.
    #[must_use]
    pub const fn local(&self) -> Local<'_> {
        Local { credential: &self.credential, keys: &self.keys }
    }

    /// What a responder works with.
    #[must_use]
    pub const fn responder(&self) -> Responder<'_> {
        Responder { local: self.local(), organisation: &self.organisation, prekeys: self }
    }

    /// What the relay hands out: with a pair of one-time prekeys.
    #[must_use]
    pub fn bundle(&self) -> proto::PrekeyBundle {
        let pair = self.upload.pairs().first().cloned().unwrap_or_default();
        proto::PrekeyBundle {
            credential: Some(self.credential.signed().clone()),
            batch: Some(self.upload.batch().clone()),
            signed: Some(self.upload.signed().clone()),
            one_time: Some(pair.0),
            kem: Some(pair.1),
            padding: Vec::new(),
        }
    }

    /// The same, verified by somebody else.
    #[must_use]
    pub fn verified_bundle(&self) -> Bundle {
        let expected = (&self.credential.member_id(), &self.credential.device_id());
        must(Bundle::verify(Unverified::new(self.bundle()), &self.organisation, expected, NOW))
    }
}

/// Two members of one organisation.
pub fn two_devices(rng: &mut dyn CryptoRng) -> (Device, Device) {
    let new = found(&must(DisplayName::parse("Acme")), NOW, rng);
    let organisation = must(Organisation::verify(Unverified::new(new.public), None));
    let log_key = SigningKey::generate(rng);
    let place =
        RelayPlace { url: "wss://relay.example:443", pin: &[7; 32], log_key: log_key.verifying_key() };
    let document = must(new.admin.record_relay(&organisation, place, rng));
    let organisation = must(Organisation::verify(Unverified::new(document), None));
    let desk = must(Desk::new(new.desk, organisation.clone(), NOW));
    let mut disk = BTreeMap::new();
    commit(&mut disk, new.records);
    let mut enrol = |handle: &str| {
        let (handle, name) = (must(Handle::parse(handle)), must(DisplayName::parse(handle)));
        let relay = organisation.relay().cloned();
        let relay = must(relay.as_ref().ok_or("recorded above"));
        let invite = Invite {
            handle: &handle,
            name: &name,
            relay,
            lifetime: Duration::from_secs(3600),
            terms: chancery_org::Terms::default(),
        };
        let invited = must(desk.invite(&disk, invite, NOW, rng));
        commit(&mut disk, invited.batch);
        let keys = DeviceKeys::generate(rng);
        let pending = must(request(&invited.link, &organisation, &keys, NOW, rng));
        let answered = must(desk.answer(&disk, pending.envelope(), NOW, rng));
        commit(&mut disk, answered.batch);
        let credential = must(pending.complete(&organisation, &keys, &answered.reply, NOW)).credential;
        let plan = BatchPlan {
            device_id: credential.device_id(),
            sequence: 1,
            first_id: 1,
            one_time_pairs: 4,
            expires: NOW.after(Duration::from_secs(30 * 24 * 3600)),
        };
        let batch = must(generate_batch(&keys, &plan, rng));
        let upload = must(VerifiedUpload::verify(Unverified::new(batch.upload), &credential, 0, NOW));
        let secrets = batch.secrets.into_iter().map(|(id, secret)| (id, secret.expose().to_vec())).collect();
        Device { organisation: organisation.clone(), credential, keys, upload, secrets }
    };
    (enrol("alice"), enrol("bob"))
}

fn commit(disk: &mut BTreeMap<RecordKey, Vec<u8>>, batch: Batch) {
    for (key, value) in batch {
        match value {
            Some(value) => disk.insert(key, value),
            None => disk.remove(&key),
        };
    }
}

/// Unwraps what cannot fail in a measurement.
///
/// # Panics
///
/// When the preparation of a measurement fails, which then has nothing to report.
#[allow(clippy::panic, reason = "said above")]
pub fn must<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("preparing a measurement: {error:?}"),
    }
}
