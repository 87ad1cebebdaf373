//! An organisation with two enrolled devices and their prekeys, below the engine: what sessions, fuzz targets
//! and vectors start from.

use std::collections::BTreeMap;
use std::time::Duration;

use chancery_core::{
    BatchPlan, Bundle, InitialEnvelope, Local, PrekeyId, PrekeySecrets, Responder, Session, generate_batch,
    initiate, respond,
};
use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_crypto::signature::SigningKey;
use chancery_engine::{Engine, Input};
use chancery_identity::log::LeafKind;
use chancery_identity::prekey::VerifiedUpload;
use chancery_identity::{Credential, DeviceKeys, DisplayName, Handle, IssuerId, Organisation};
use chancery_org::{
    Answered, Desk, DeskKeys, DirectoryAccess, DirectoryKeys, InvitationLink, Invite, PendingEnrolment,
    RelayPlace, found, request,
};
use chancery_wire::records::Batch;
use chancery_wire::{Timestamp, Unverified, proto};

use crate::log::OrgLog;
use crate::person::{Disk, commit};

/// When everything of a [`Company`] happens.
pub const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// The address of its relay.
pub const RELAY_URL: &str = "wss://relay.example:443";
/// SHA-256 of its relay's public key.
pub const RELAY_PIN: [u8; 32] = [0x70; 32];

/// An organisation, its desk, and alice and bob.
pub struct Company {
    /// The verified public document.
    pub organisation: Organisation,
    /// What bob's device holds of the directory's keys.
    pub directory_keys: DirectoryKeys,
    /// The enrolment desk.
    pub desk: Desk,
    /// What the desk has on its disk.
    pub desk_disk: Disk,
    /// The desk's keys as they are stored.
    pub desk_keys: SecretBytes,
    /// A member's device.
    pub alice: Member,
    /// Another's.
    pub bob: Member,
    /// The whole log: its statements, both credentials, and commitments to both directory entries.
    pub log: proto::LogPage,
}

/// An enrolled device, and all that went to and fro to enrol it.
pub struct Member {
    /// What it is certified as.
    pub credential: Credential,
    /// Its private keys.
    pub keys: DeviceKeys,
    /// The invitation that it used.
    pub link: InvitationLink,
    /// Its request.
    pub pending: PendingEnrolment,
    /// The desk's answer.
    pub answer: Vec<u8>,
    /// Its member's directory entry.
    pub entry: proto::SealedDirectoryEntry,
    /// Its prekeys as it published them.
    pub upload: proto::PrekeyUpload,
    /// The same, verified.
    pub verified: VerifiedUpload,
    /// The private halves.
    pub prekeys: Prekeys,
}

/// Private halves of prekeys, by their numbers.
pub struct Prekeys(pub BTreeMap<PrekeyId, Vec<u8>>);

impl PrekeySecrets for Prekeys {
    fn secret(&self, id: PrekeyId) -> Option<SecretBytes> {
        self.0.get(&id).cloned().map(SecretBytes::new)
    }
}

impl Company {
    /// Founds it; everything random follows from `seed`.
    #[must_use]
    pub fn found(seed: u8) -> Self {
        let rng = &mut seeded([seed; 32]);
        let new = found(&DisplayName::parse("Acme").expect("a good name"), NOW, rng);
        let organisation = Organisation::verify(Unverified::new(new.public), None).expect("sound");
        let log_key = SigningKey::generate(rng);
        let place = RelayPlace { url: RELAY_URL, pin: &RELAY_PIN, log_key: log_key.verifying_key() };
        let document = new.admin.record_relay(&organisation, place, rng).expect("sound");
        let organisation = Organisation::verify(Unverified::new(document), None).expect("sound");
        let desk_keys = new.desk.to_secret_bytes();
        let again = DeskKeys::from_secret_bytes(desk_keys.expose()).expect("own keys");
        let desk = Desk::new(again, organisation.clone(), NOW).expect("sound");
        let mut disk = Disk::new();
        commit(&mut disk, new.records);
        let (alice, _) = Member::enrol("alice", &desk, &mut disk, rng);
        let (bob, directory_keys) = Member::enrol("bob", &desk, &mut disk, rng);
        // With randomness of its own, so that nothing that follows depends on how long the log is.
        let mut own = seeded([seed ^ 0x55; 32]);
        let mut log = OrgLog::new(&organisation, log_key, NOW);
        let issuer = IssuerId::from_bytes(&desk_keys.expose()[1..33]).expect("32 bytes");
        let key = Secret::from_slice(&desk_keys.expose()[33..97]).expect("64 bytes");
        let signer = (issuer, &SigningKey::from_seed(key));
        for member in [&alice, &bob] {
            log.append(LeafKind::Credential, member.credential.signed(), NOW);
            let entry =
                directory_keys.key().open(&member.entry).expect("sealed for the directory").into_unchecked();
            let what = (&member.credential.member_id(), member.entry.version, &entry);
            log.commit(signer, what, NOW, &mut own);
        }
        let log = log.page(0, usize::MAX, NOW, &mut own);
        Self { organisation, directory_keys, desk, desk_disk: disk, desk_keys, alice, bob, log }
    }

    /// Has an enrolled device take over the log.
    pub fn take_log(&self, disk: &mut Disk) {
        let engine = Engine::load(disk, NOW).expect("enrolled");
        let input = Input::Log { from: 0, page: &self.log };
        let taken = engine.handle(disk, input, NOW, &mut seeded([9; 32])).expect("an honest log");
        commit(disk, taken.batch);
    }

    /// Sessions of alice and bob after alice's first message arrived, and that message.
    #[must_use]
    pub fn two_sessions(&self, rng: &mut dyn CryptoRng) -> (Session, Session, Vec<u8>) {
        let bundle = self.bob.verified_bundle(&self.organisation, Some(0));
        let started = initiate(self.alice.local(), &bundle, b"hello", NOW, rng).expect("sound");
        let envelope = InitialEnvelope::parse(&started.envelope).expect("our own");
        let accepted = respond(&self.bob.responder(&self.organisation), &envelope, NOW, rng).expect("sound");
        assert_eq!(accepted.plaintext.expose(), b"hello");
        (started.session, accepted.session, started.envelope)
    }

    /// Has the desk answer a request, and keeps nothing of it.
    ///
    /// # Errors
    ///
    /// What the desk says.
    pub fn answer(&self, envelope: &[u8]) -> Result<Answered, chancery_org::OrgError> {
        self.desk.answer(&self.desk_disk, envelope, NOW, &mut seeded([3; 32]))
    }

    /// A new invitation and the request of a device that uses it, both unknown to `desk_disk` but for `batch`.
    #[must_use]
    pub fn invite(&self, handle: &str, rng: &mut dyn CryptoRng) -> (InvitationLink, Batch) {
        invite(handle, &self.desk, &self.desk_disk, rng)
    }
}

impl Member {
    fn enrol(handle: &str, desk: &Desk, disk: &mut Disk, rng: &mut dyn CryptoRng) -> (Self, DirectoryKeys) {
        let organisation = desk.organisation();
        let (link, batch) = invite(handle, desk, disk, rng);
        commit(disk, batch);
        let keys = DeviceKeys::generate(rng);
        let pending = request(&link, organisation, &keys, NOW, rng).expect("a good invitation");
        let answered = desk.answer(disk, pending.envelope(), NOW, rng).expect("an honest request");
        commit(disk, answered.batch);
        let enrolment =
            pending.complete(organisation, &keys, &answered.reply, NOW).expect("an honest answer");
        let credential = enrolment.credential;
        let plan = BatchPlan {
            device_id: credential.device_id(),
            sequence: 1,
            first_id: 1,
            one_time_pairs: 2,
            expires: NOW.after(Duration::from_secs(60 * 24 * 3600)),
        };
        let batch = generate_batch(&keys, &plan, rng).expect("a good plan");
        let upload = Unverified::new(batch.upload.clone());
        let member = Self {
            verified: VerifiedUpload::verify(upload, &credential, 0, NOW).expect("sound"),
            upload: batch.upload,
            prekeys: Prekeys(
                batch.secrets.into_iter().map(|(id, secret)| (id, secret.expose().to_vec())).collect(),
            ),
            credential,
            keys,
            link,
            pending,
            answer: answered.reply,
            entry: answered.directory.expect("a new member"),
        };
        let DirectoryAccess::Member(keys) = enrolment.directory else { panic!("a member's") };
        (member, keys)
    }

    /// What the device proves itself with.
    #[must_use]
    pub const fn local(&self) -> Local<'_> {
        Local { credential: &self.credential, keys: &self.keys }
    }

    /// The device as somebody to whom others write.
    #[must_use]
    pub const fn responder<'a>(&'a self, organisation: &'a Organisation) -> Responder<'a> {
        Responder { local: self.local(), organisation, prekeys: &self.prekeys }
    }

    /// What the relay hands out: with a pair of one-time prekeys, or without when they have run out.
    #[must_use]
    pub fn bundle(&self, one_time: Option<usize>) -> proto::PrekeyBundle {
        let (curve, kem) = match one_time {
            Some(pair) => {
                let (curve, kem) = &self.verified.pairs()[pair];
                (Some(curve.clone()), kem.clone())
            }
            None => (None, self.verified.last_resort().clone()),
        };
        proto::PrekeyBundle {
            credential: Some(self.credential.signed().clone()),
            batch: Some(self.verified.batch().clone()),
            signed: Some(self.verified.signed().clone()),
            one_time: curve,
            kem: Some(kem),
            padding: Vec::new(),
        }
    }

    /// The same, verified.
    #[must_use]
    pub fn verified_bundle(&self, organisation: &Organisation, one_time: Option<usize>) -> Bundle {
        let expected = (&self.credential.member_id(), &self.credential.device_id());
        Bundle::verify(Unverified::new(self.bundle(one_time)), organisation, expected, NOW).expect("sound")
    }
}

fn invite(handle: &str, desk: &Desk, disk: &Disk, rng: &mut dyn CryptoRng) -> (InvitationLink, Batch) {
    let handle = Handle::parse(handle).expect("a good handle");
    let name = DisplayName::parse(handle.as_str()).expect("a good name");
    let relay = desk.organisation().relay().expect("recorded");
    let invite = Invite {
        handle: &handle,
        name: &name,
        relay,
        lifetime: Duration::from_secs(3600),
        terms: chancery_org::Terms::default(),
    };
    let invited = desk.invite(disk, invite, NOW, rng).expect("a free handle");
    (invited.link, invited.batch)
}
