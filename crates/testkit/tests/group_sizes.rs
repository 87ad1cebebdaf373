//! The bytes of groups of a thousand and of ten thousand devices: what a commit costs everybody, what a device keeps.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test"
)]

use chancery_benches::groups::{Company, GROUP, follow, make, relay_slots};
use chancery_benches::{NOW, two_devices};
use chancery_core::{InitialEnvelope, Session, initiate, respond};
use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_crypto::secret::Secret;
use chancery_crypto::signature::SIGNATURE_LEN;
use chancery_group::{
    Attempt, BuiltCommit, Duty, HAND_OUT_LEN, Keying, LogView as _, MESSAGE_LENGTHS, MESSAGE_OVERHEAD,
    Reason, Roster, RowError, Rows, Slot, SlotRange, assign, build, cover, duties, evictions, remove,
};
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::{encode, proto};

/// Senders of whom a device has a chain when its state is counted.
const SENDERS: u32 = 16;

/// Slots of devices that are not real, from all over the tree.
fn strangers(size: u32) -> impl Iterator<Item = Slot> {
    (0..5).map(move |run| Slot::from_u32(1 + run * 7919 % (size - 3)).unwrap())
}

/// Panics unless what removes one of them stays below both lengths, and is what the others can follow.
fn removal(company: &Company, size: u32, (most, most_beside): (usize, usize), rng: &mut dyn CryptoRng) {
    for slot in strangers(size) {
        let changes = vec![remove(slot, Reason::Role)];
        let content = make(&company.founder, &company.log, changes, Keying::Tree, rng);
        let beside = content.len() - SIGNATURE_LEN;
        assert!(content.len() <= most && beside <= most_beside, "{slot:?}: {} {beside}", content.len());
        let mut rows = company.member.rows.clone();
        follow(&company.member, &company.log, &content, &mut rows);
        assert_eq!(rows.head.taken, size - 1);
    }
}

/// Panics unless what the administrator and the member have to keep stays below the marks.
fn state(company: &mut Company) {
    company.know_senders(SENDERS);
    let (member, administrator) = (company.member.state_bytes(), company.administrator.state_bytes());
    assert!(member > 32 * 14 + 32 * SENDERS as usize, "{member}");
    assert!(member <= 16 * 1024, "{member}");
    assert!(administrator > 2 * 32 * company.administrator.rows.head.taken as usize, "{administrator}");
    assert!(administrator <= 4 * 1024 * 1024, "{administrator}");
}

#[test]
fn a_group_of_a_thousand_keeps_to_its_bytes_r_group_10_r_group_17_r_group_23() {
    let mut rng = seeded([1; 32]);
    let mut company = Company::new(1_000, &mut rng);
    removal(&company, 1_000, (5 * 1024, 1_536), &mut rng);
    eviction(&company, &mut rng);
    state(&mut company);
    let full = MESSAGE_LENGTHS[0] - MESSAGE_OVERHEAD;
    const { assert!(MESSAGE_OVERHEAD <= 128) };
    let lengths = [0, 1].map(|more| company.member.seal(&vec![7; full + more], &mut rng).len());
    assert_eq!(lengths, [MESSAGE_LENGTHS[0], MESSAGE_LENGTHS[1]], "it is all that stands around a content");
}

#[test]
fn a_group_of_ten_thousand_keeps_to_its_bytes_r_group_10_r_group_23() {
    let mut rng = seeded([2; 32]);
    let mut company = Company::new(10_000, &mut rng);
    removal(&company, 10_000, (5 * 1024 + 512, 5 * 1024 + 512 - SIGNATURE_LEN), &mut rng);
    state(&mut company);
}

/// The rows of a device that is not real: it holds the keys above its slot.
struct Path<'a>(&'a Roster<'a>, Slot);

impl Rows for Path<'_> {
    fn entry(&self, slot: Slot) -> Result<Option<[u8; 105]>, RowError> {
        self.0.entry(slot)
    }
    fn hash(&self, node: chancery_group::Node) -> Result<[u8; 32], RowError> {
        self.0.hash(node)
    }
    fn key(&self, node: chancery_group::Node) -> Result<Option<Secret<32>>, RowError> {
        Ok(node.covers(self.1).then(|| Secret::from_bytes([1; 32])))
    }
    fn slots_of(&self, member: &MemberId) -> Result<Vec<Slot>, RowError> {
        self.0.slots_of(member)
    }
    fn slot_of(&self, device: &DeviceId) -> Result<Option<Slot>, RowError> {
        self.0.slot_of(device)
    }
}

/// Panics unless a member evicts whom the log has ended with at most 64 KiB of everybody together: the commit, what goes to helpers
/// over sessions, and what these publish and send. Who held all keys costs a message over a session to each of the others.
fn eviction(company: &Company, rng: &mut dyn CryptoRng) {
    let (member, own) = (&company.member, company.member.slot());
    let mut session = session(rng);
    for slot in strangers(1_000).chain([company.administrator.slot()]) {
        let log = company.log.ending(member.group().roster().unwrap().get(slot).unwrap().unwrap().device);
        let all = evictions(member.group(), &[], &log).unwrap();
        assert!(log.size() == all.log_size && all.changes.len() == 1);
        let author = member.author(&log, all.log_size);
        let built = build(member.group(), author, all.changes, Keying::HandOut, rng).unwrap();
        let content = relay_slots(member, |slots| slots.seal(Attempt::FIRST, built.bytes(), rng).unwrap());
        let (roster, dead) = (built.roster(), built.roster().dead());
        let cover = cover(roster, dead).unwrap();
        let ranges = assign(&cover, own);
        let one = session.encrypt(&hand_out(&built, ranges.helpers[0]), rng).unwrap().len();
        let mut all: Vec<Duty> = Vec::new();
        for range in &ranges.helpers {
            let helper = range.taken(roster).unwrap()[0];
            all.extend(duties(&Path(roster, helper), dead, &cover, *range, helper).unwrap());
        }
        if let Some(range) = &ranges.own {
            all.extend(duties(&Path(roster, own), dead, &cover, *range, own).unwrap());
        }
        let published = all.iter().filter(|duty| matches!(duty, Duty::Publish(_))).count();
        assert_eq!(published + all.iter().filter(|duty| matches!(duty, Duty::Send(_))).count(), all.len());
        let sent = ranges.helpers.len() + all.len() - published;
        let whole = content.len() + published * HAND_OUT_LEN + sent * one;
        if slot == company.administrator.slot() {
            assert_eq!((published, sent), (0, 998));
        } else {
            assert!(whole <= 64 * 1024, "{slot:?}: {whole} of {published} and {sent}");
            assert!(published > 0 && sent > 0);
        }
    }
}

/// What goes to a helper.
fn hand_out(built: &BuiltCommit<'_>, range: SlotRange) -> Vec<u8> {
    let hand_out = proto::GroupHandOut {
        epoch: 2,
        commit: built.hash().to_vec(),
        secret: built.secret().expose().to_vec(),
        first: range.first.into(),
        count: range.count.into(),
    };
    let control = Some(proto::group_control::Control::HandOut(hand_out));
    encode(&proto::GroupControl { group_id: GROUP.to_vec(), control })
}

/// A session that has been answered, to know what goes over it.
fn session(rng: &mut dyn CryptoRng) -> Session {
    let (alice, bob) = two_devices(rng);
    let first = initiate(alice.local(), &bob.verified_bundle(), &[7; 256], NOW, rng).unwrap();
    let envelope = InitialEnvelope::parse(&first.envelope).unwrap();
    respond(&bob.responder(), &envelope, NOW, rng).unwrap().session
}
