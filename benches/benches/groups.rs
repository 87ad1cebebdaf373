//! What do groups cost at 10 to 10,000 devices? One line of JSON a size; times in microseconds, medians.
//!
//! `cargo bench -p chancery-benches --bench groups -- [sizes…]`. `dh_us` is one X25519 by x25519-dalek in
//! the same run, the unit in which others are measured: ratios count.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    reason = "a measurement"
)]

use std::hint::black_box;
use std::time::Instant;

use chancery_benches::groups::{Company, GROUP, add_stranger, follow, make, relay_slots};
use chancery_benches::{NOW, two_devices};
use chancery_core::{InitialEnvelope, Session, initiate, respond};
use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_crypto::secret::Secret;
use chancery_group::limit::MAX_DEVICES;
use chancery_group::{
    Attempt, BuiltCommit, Duty, HAND_OUT_LEN, HandOutContext, Keying, MESSAGE_LENGTHS, MESSAGE_OVERHEAD,
    Node, Reason, Roster, RowError, Rows, Slot, SlotRange, UnverifiedCommit, assign, build, cover, duties,
    evictions, remove,
};
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::{encode, proto};
use serde_json::json;
use x25519_dalek::{PublicKey, StaticSecret};

/// Operations of a kind; messages are cheap, and there are more of them.
const RUNS: usize = 41;
const MESSAGES: usize = 1_001;
/// Senders of whom a device has a chain when its state is counted.
const SENDERS: u32 = 16;

/// Times of one kind, in nanoseconds.
#[derive(Default)]
struct Times(Vec<u128>);

impl Times {
    fn time<T>(&mut self, run: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let out = black_box(run());
        self.0.push(start.elapsed().as_nanos());
        out
    }

    /// The median, in microseconds.
    fn median(&mut self) -> f64 {
        self.0.sort_unstable();
        (self.0[self.0.len() / 2] as f64 / 100.0).round() / 10.0
    }
}

fn main() {
    let mut rng = seeded([1; 32]);
    let sizes: Vec<u32> = std::env::args().filter_map(|size| size.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![10, 100, 1_000, 10_000] } else { sizes };
    for size in sizes {
        println!("{}", measure(size, &mut rng));
    }
}

fn measure(size: u32, rng: &mut dyn CryptoRng) -> serde_json::Value {
    let mut company = Company::new(size, rng);
    let (ours, theirs) = (StaticSecret::from([7; 32]), PublicKey::from(&StaticSecret::from([9; 32])));
    // A full group has no room for one more.
    let fewer = (size == MAX_DEVICES).then(|| Company::new(size - 1, rng));
    let (mut dh, mut create, mut rows) = (Times::default(), Times::default(), company.member.rows.clone());
    let [mut add_make, mut add_apply, mut make_, mut apply, mut apply_admin, mut join, mut join_admin] =
        [(); 7].map(|()| Times::default());
    let (mut bytes, mut add_bytes) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        for _ in 0..10 {
            dh.time(|| black_box(&ours).diffie_hellman(black_box(&theirs)));
        }
        create.time(|| company.create(rng));
        let slot = stranger_slot(size, run);
        let (founder, log) = (&company.founder, &company.log);
        let changes = vec![remove(slot, Reason::Role)];
        let content = make_.time(|| make(founder, log, changes, Keying::Tree, rng));
        bytes.push(content.len());
        rows.clone_from(&company.member.rows);
        apply.time(|| follow(&company.member, log, &content, &mut rows));
        rows.clone_from(&company.administrator.rows);
        apply_admin.time(|| follow(&company.administrator, log, &content, &mut rows));
        let Company { founder, member, log, .. } = fewer.as_ref().unwrap_or(&company);
        let changes = vec![add_stranger(fewer.as_ref().unwrap_or(&company).outsider())];
        let content = add_make.time(|| make(founder, log, changes, Keying::Tree, rng));
        add_bytes.push(content.len());
        rows.clone_from(&member.rows);
        add_apply.time(|| follow(member, log, &content, &mut rows));
        let log = &company.log;
        join_admin.time(|| company.welcomes[0].join(&company.administrator.credential, log));
        join.time(|| company.welcomes[1].join(&company.member.credential, log));
    }
    bytes.sort_unstable();
    let mut out = json!({
        "members": size, "dh_us": dh.median(), "create_us": create.median(),
        "remove_make_us": make_.median(), "remove_bytes": bytes[RUNS / 2], "remove_apply_us": apply.median(),
        "remove_apply_admin_us": apply_admin.median(),
        "add_make_us": add_make.median(), "add_bytes": add_bytes[0], "add_apply_us": add_apply.median(),
        "join_us": join.median(), "join_admin_us": join_admin.median(),
    });
    let parts = [eviction(&company, false, rng), eviction(&company, true, rng), messages(&mut company, rng)];
    for part in parts {
        out.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
    }
    out
}

/// The slot of some device that is not real.
fn stranger_slot(size: u32, run: usize) -> Slot {
    Slot::from_u32(1 + u32::try_from(run * 7919).unwrap() % (size - 3)).unwrap()
}

/// A message of 256 bytes, and what both have to keep once they know the chains of 16 senders.
fn messages(company: &mut Company, rng: &mut dyn CryptoRng) -> serde_json::Value {
    let [mut send, mut receive, mut stored_send, mut stored_receive] = [(); 4].map(|()| Times::default());
    let content = [7; 256];
    // What a device has after a while.
    company.know_senders(SENDERS);
    let Company { administrator, member, .. } = company;
    let key = *administrator.credential.group_key();
    let states = [member.state_bytes(), administrator.state_bytes()];
    // The head, tag and signature around a content that leaves no padding.
    let full = MESSAGE_LENGTHS[0] - MESSAGE_OVERHEAD;
    assert_eq!(administrator.seal(&vec![7; full], rng).len(), MESSAGE_LENGTHS[0]);
    for _ in 0..MESSAGES {
        let sealed = send.time(|| administrator.seal(&content, rng));
        receive.time(|| member.open(&key, &sealed));
    }
    let mut kept = [administrator.messages().to_bytes(), member.messages().to_bytes()];
    for _ in 0..MESSAGES {
        let [ours, theirs] = &mut kept;
        let sealed = stored_send.time(|| administrator.stored(ours, |it| it.seal(&content, rng)));
        stored_receive.time(|| member.stored(theirs, |it| it.open(&key, &sealed)));
    }
    json!({ "send_us": send.median(), "receive_us": receive.median(), "overhead_bytes": MESSAGE_OVERHEAD,
        "send_stored_us": stored_send.median(), "receive_stored_us": stored_receive.median(),
        "messages_bytes": kept[1].expose().len(),
        "member_state_bytes": states[0], "admin_state_bytes": states[1] })
}

/// The rows of a device that is not real: it holds the keys above its slot.
struct Path<'a>(&'a Roster<'a>, Slot);

impl Rows for Path<'_> {
    fn entry(&self, slot: Slot) -> Result<Option<[u8; 105]>, RowError> {
        self.0.entry(slot)
    }
    fn hash(&self, node: Node) -> Result<[u8; 32], RowError> {
        self.0.hash(node)
    }
    fn key(&self, node: Node) -> Result<Option<Secret<32>>, RowError> {
        Ok(node.covers(self.1).then(|| Secret::from_bytes([1; 32])))
    }
    fn slots_of(&self, member: &MemberId) -> Result<Vec<Slot>, RowError> {
        self.0.slots_of(member)
    }
    fn slot_of(&self, device: &DeviceId) -> Result<Option<Slot>, RowError> {
        self.0.slot_of(device)
    }
}

/// A device has ended in the log, and a member commits it: with all that goes to helpers over sessions, and from them.
fn eviction(company: &Company, of_admin: bool, rng: &mut dyn CryptoRng) -> serde_json::Value {
    let (member, size) = (&company.member, company.member.rows.head.taken);
    let (mut make_, mut bytes, mut helpers) = (Times::default(), Vec::new(), 0);
    let mut session = session(rng);
    for run in 0..RUNS {
        let slot = if of_admin { company.administrator.slot() } else { stranger_slot(size, run) };
        let device = member.group().roster().unwrap().get(slot).unwrap().unwrap().device;
        let log = company.log.ending(device);
        let (built, content, sessions, ranges) = make_.time(|| {
            let all = evictions(member.group(), &[], &log).unwrap();
            let author = member.author(&log, all.log_size);
            let built = build(member.group(), author, all.changes, Keying::HandOut, rng).unwrap();
            let content =
                relay_slots(member, |slots| slots.seal(Attempt::FIRST, built.bytes(), rng).unwrap());
            let roster = built.roster();
            let ranges = assign(&cover(roster, roster.dead()).unwrap(), member.slot());
            let send = |range: &SlotRange| session.encrypt(&hand_out(&built, *range), rng).unwrap().len();
            let sessions: usize = ranges.helpers.iter().map(send).sum();
            (built, content, sessions, ranges)
        });
        let (roster, own) = (built.roster(), member.slot());
        let cover = cover(roster, roster.dead()).unwrap();
        let mut all: Vec<Duty> = Vec::new();
        for range in &ranges.helpers {
            let helper = range.taken(roster).unwrap()[0];
            all.extend(duties(&Path(roster, helper), roster.dead(), &cover, *range, helper).unwrap());
        }
        for range in ranges.own.iter() {
            all.extend(duties(&Path(roster, own), roster.dead(), &cover, *range, own).unwrap());
        }
        let duty = |duty: &Duty| match duty {
            Duty::Publish(_) => HAND_OUT_LEN,
            Duty::Send(_) => sessions / ranges.helpers.len(),
        };
        bytes.push(content.len() + sessions + all.iter().map(duty).sum::<usize>());
        helpers = ranges.helpers.len();
    }
    bytes.sort_unstable();
    if of_admin {
        return json!({ "evict_admin_without_admin_us": make_.median(),
            "evict_admin_without_admin_bytes": bytes[RUNS / 2], "evict_admin_helpers": helpers });
    }
    json!({ "evict_without_admin_us": make_.median(), "evict_without_admin_bytes": bytes[RUNS / 2],
        "evict_helpers": helpers, "evict_apply_us": hand_out_apply(company, rng) })
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

/// The member follows such a commit with what a helper published.
fn hand_out_apply(company: &Company, rng: &mut dyn CryptoRng) -> f64 {
    let (author, member) = (&company.administrator, &company.member);
    let (mut times, mut rows) = (Times::default(), member.rows.clone());
    for run in 0..RUNS {
        let slot = stranger_slot(member.rows.head.taken, run);
        let log = company.log.ending(member.group().roster().unwrap().get(slot).unwrap().unwrap().device);
        let all = evictions(author.group(), &[], &log).unwrap();
        let by = author.author(&log, all.log_size);
        let built = build(author.group(), by, all.changes, Keying::HandOut, rng).unwrap();
        let content = relay_slots(author, |slots| slots.seal(Attempt::FIRST, built.bytes(), rng).unwrap());
        let cover = cover(built.roster(), built.roster().dead()).unwrap();
        let node = *cover.iter().find(|node| node.covers(member.slot())).unwrap();
        let key = author.rows.key(node).unwrap().unwrap();
        let epoch = member.rows.head.epoch + 1;
        let context = HandOutContext { group_id: &GROUP, epoch, commit: built.hash() };
        let envelope = context.seal(&[1; 16], node, &key, built.secret());
        rows.clone_from(&member.rows);
        times.time(|| {
            let bytes = relay_slots(member, |slots| slots.open(Attempt::FIRST, &content).unwrap());
            let verified =
                UnverifiedCommit::from_bytes(&bytes).unwrap().verify(member.group(), &log).unwrap();
            let dead = verified.roster().dead();
            let secret = context.open(member.slot(), &member.rows, dead, &envelope).unwrap();
            rows.apply(verified.by_hand_out(secret, NOW).unwrap().into_parts().0);
        });
    }
    times.median()
}

/// A session that has been answered, to know what goes over it.
fn session(rng: &mut dyn CryptoRng) -> Session {
    let (alice, bob) = two_devices(rng);
    let first = initiate(alice.local(), &bob.verified_bundle(), &[7; 256], NOW, rng).unwrap();
    let envelope = InitialEnvelope::parse(&first.envelope).unwrap();
    respond(&bob.responder(), &envelope, NOW, rng).unwrap().session
}
