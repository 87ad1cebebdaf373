//! Groups: commits, messages, slots, hand-outs, welcomes, orders, and four devices in one group.

use std::sync::LazyLock;

use chancery_crypto::ed25519::GroupVerifyingKey;
use chancery_crypto::rng::seeded;
use chancery_crypto::secret::Secret;
use chancery_group::{
    Attempt, GroupError, GroupOrder, HandOutContext, Joiner, Keying, MemoryRows, MessageEnvelope, Messages,
    Node, RelaySlots, Role, Slot, UnverifiedCommit, UnverifiedWelcome, leave,
};
use chancery_identity::DeviceKeys;
use chancery_testkit::crew::{Crew, Forgery, GROUP, NOW, Sent};
use chancery_wire::{Limit, decode, encode, proto};

use crate::tried;

mod world;

pub use world::group_world;

/// A group of four, a device outside, and what goes about in it.
struct Gathered {
    crew: Crew,
    keys: Vec<DeviceKeys>,
    commit: Sent,
    welcome: proto::GroupWelcome,
    order: proto::Signed,
    message: Vec<u8>,
}

const KEYS: [u8; 32] = [3; 32];

fn messages() -> Messages {
    Messages::new([1; 32], [2; 16], Secret::from_bytes(KEYS), Secret::from_bytes([4; 32]))
}

static GATHERED: LazyLock<Gathered> = LazyLock::new(|| {
    let rng = &mut seeded([8; 32]);
    let roles = [(1, Role::Administrator), (2, Role::Member), (3, Role::Reader)];
    let crew = Crew::with_group(8, &[0, 1, 2, 3, 4], &roles, rng);
    let added = vec![crew.add(4, Role::Administrator)];
    let commit = crew.commit(0, added, Keying::Tree, rng).expect("an owner may");
    let keys: Vec<_> = crew.devices.iter().map(chancery_testkit::crew::CrewDevice::keys).collect();
    let order = leave((&keys[3], &crew.devices[3].credential), (&GROUP, 2), &crew.log, rng).expect("a log");
    let message = messages().seal(slot(2), &keys[2].group, b"hello", rng).expect("short");
    let welcome = commit.welcomes[0].1.clone();
    Gathered { crew, keys, commit, welcome, order, message }
});

fn slot(number: u16) -> Slot {
    Slot::new(number).expect("a slot")
}

fn shown(rows: &MemoryRows) -> String {
    format!("{rows:?}")
}

/// A commit at a keyholder and at a member. The first byte 2 has the owner sign whatever head and changes follow.
pub fn group_commit(data: &[u8]) {
    let crew = &GATHERED.crew;
    let tried = match data.split_first() {
        Some((2, rest)) => crate::Tried { bytes: signed(rest), sound: false },
        _ => tried(&GATHERED.commit.bytes, data),
    };
    for device in [1, 2] {
        let group = crew.group(device);
        let before = crew.devices[device].rows.as_ref().expect("inside");
        let verified = UnverifiedCommit::from_bytes(&tried.bytes).and_then(|it| it.verify(group, &crew.log));
        let Ok(verified) = verified else {
            assert!(!tried.sound, "the sound commit is valid");
            continue;
        };
        let roster = verified.roster();
        assert!(!roster.keyholders().is_empty(), "somebody administers");
        assert_eq!(roster.slots().count(), usize::try_from(roster.taken()).expect("few"));
        let staged = if device == 1 { verified.by_seed(NOW) } else { verified.by_boxes(NOW) };
        assert_eq!(staged.is_ok(), tried.sound, "only the sound commit is followed");
        if let Ok(staged) = staged {
            let (changes, ..) = staged.into_parts();
            assert_eq!((changes.head.epoch, before.head.epoch), (3, 2));
        }
    }
}

/// A commit whose signature is good: changes to the sound head up to the byte 0xFF, then the tail.
fn signed(data: &[u8]) -> Vec<u8> {
    let at = data.iter().position(|byte| *byte == 0xFF).unwrap_or(data.len());
    let (changes, tail) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    let crew = &GATHERED.crew;
    let rng = &mut crate::rng();
    if changes.is_empty() {
        let read = decode::<proto::GroupCommitTail>(tail, Limit::FRAME);
        let changes = read.map(|it| it.into_unchecked().changes).unwrap_or_default();
        return crew.forge(0, Forgery { changes, keying: Keying::Tree, head: |_| {} }, rng);
    }
    let sound =
        decode::<proto::GroupCommit>(&GATHERED.commit.bytes, Limit::FRAME).expect("ours").into_unchecked();
    let head = crate::patched(&sound.head, changes);
    let head = decode::<proto::GroupCommitHead>(&head, Limit::FRAME);
    let head = head.map(chancery_wire::Unverified::into_unchecked).unwrap_or_default();
    crew.sign(0, head, if tail.is_empty() { sound.tail } else { tail.to_vec() }, rng)
}

/// A message's envelope in an epoch: what is refused changes nothing.
pub fn group_message(data: &[u8]) {
    let tried = tried(&GATHERED.message, data);
    let mut epoch = messages();
    let before = epoch.to_bytes();
    let key: &GroupVerifyingKey = GATHERED.crew.devices[2].credential.group_key();
    let mut open = || epoch.find(MessageEnvelope::parse(&tried.bytes)?)?.check()?.open(key);
    let opened: Result<_, GroupError> = open();
    assert_eq!(opened.is_ok(), tried.sound, "only the sound message opens");
    match opened {
        Ok(content) => assert_eq!(content.expose(), b"hello"),
        Err(_) => assert_eq!(epoch.to_bytes().expose(), before.expose(), "a refusal changes nothing"),
    }
    if let Ok(stored) = Messages::from_bytes(&tried.bytes) {
        let again = Messages::from_bytes(stored.to_bytes().expose()).expect("what was written is read");
        assert_eq!(again.to_bytes().expose(), stored.to_bytes().expose());
    }
}

/// What lies in a slot of the relay. The first byte 2 seals what follows, padded or not.
pub fn group_slot(data: &[u8]) {
    let key = Secret::from_bytes(KEYS);
    let slots = RelaySlots { slot_key: &key, set_name: &[2; 16] };
    let commit = match data.split_first() {
        Some((2, rest)) => rest,
        _ => b"a commit".as_slice(),
    };
    let sound = slots.seal(Attempt::FIRST, commit, &mut crate::rng()).expect("short");
    assert_eq!(slots.open(Attempt::FIRST, &sound).as_deref(), Ok(commit), "what was sealed opens");
    let tried = tried(&sound, data);
    let opened = slots.open(Attempt::FIRST, &tried.bytes);
    assert!(opened.is_err() || tried.bytes == sound, "only what was sealed opens");
    let next = Attempt::FIRST.next().expect("there are more");
    assert!(slots.open(next, &tried.bytes).is_err(), "in one slot alone");
}

/// A published hand-out at a device.
pub fn group_hand_out(data: &[u8]) {
    let (crew, commit) = (&GATHERED.crew, &GATHERED.commit.hash);
    let rows = crew.devices[1].rows.as_ref().expect("inside");
    let context = HandOutContext { group_id: &GROUP, epoch: 3, commit };
    let node = slot(1).node().parent().expect("above a slot");
    let key = chancery_group::Rows::key(rows, node).expect("in memory").expect("its own");
    let sound = context.seal(&[2; 16], node, &key, &GATHERED.commit.secret());
    let tried = tried(&sound, data);
    let none = std::collections::BTreeSet::new();
    let opened = context.open(slot(1), rows, &none, &tried.bytes);
    assert_eq!(opened.is_ok(), tried.sound, "only the sound hand-out opens");
    let dead = std::collections::BTreeSet::from([node, Node::ROOT]);
    assert!(context.open(slot(1), rows, &dead, &tried.bytes).is_err(), "nothing opens under a dead node");
}

/// A welcome. The first byte 2 changes the snapshot, 3 the file with the tree.
pub fn group_snapshot_welcome(data: &[u8]) {
    let (mode, rest) = data.split_first().unwrap_or((&1, &[]));
    let (mut welcome, mut tree) = (GATHERED.welcome.clone(), GATHERED.commit.tree.clone());
    let sound;
    match mode {
        2 | 3 => {
            let part = if *mode == 2 { &mut welcome.snapshot } else { &mut tree };
            let changed = crate::patched(part, rest);
            sound = *part == changed;
            *part = changed;
        }
        _ => {
            let tried = tried(&encode(&welcome), data);
            sound = tried.sound;
            let Ok(read) = decode::<proto::GroupWelcome>(&tried.bytes, Limit::FRAME) else {
                return assert!(!sound);
            };
            welcome = read.into_unchecked();
        }
    }
    let crew = &GATHERED.crew;
    let credential = &crew.devices[4].credential;
    let joiner =
        Joiner { group_id: &GROUP, credential, log: &crew.log, behind: None, next: None, exists: false };
    let tree = Some(tree.as_slice());
    let arrived = UnverifiedWelcome { welcome: &welcome, snapshot: None, tree, from: crew.id(0) };
    let joined = arrived.verify(joiner, NOW);
    assert!(joined.is_ok() || !sound, "the sound welcome is taken");
    if let Ok(joined) = joined {
        let (changes, _) = joined.into_parts();
        assert_eq!((changes.head.epoch, changes.head.slot, changes.entries.len()), (3, 4, 5));
        // Keys that it has not got a joiner cannot compare; the roster is what was signed.
        assert!(sound || *mode != 2, "no other roster is taken");
    }
}

/// An order. The first byte 2 has a member sign whatever follows.
pub fn group_order(data: &[u8]) {
    let (crew, sound) = (&GATHERED.crew, encode(&GATHERED.order));
    let group = crew.group(0);
    let roster = group.roster().expect("as stored");
    let (signed, intact) = if let Some((2, rest)) = data.split_first() {
        let body = crate::patched(&GATHERED.order.body, rest);
        let Ok(body) = decode::<proto::GroupOrderBody>(&body, Limit::STATEMENT) else { return };
        (
            chancery_group::sign_order(&GATHERED.keys[3].signing, &body.into_unchecked(), &mut crate::rng()),
            None,
        )
    } else {
        let tried = tried(&sound, data);
        let Ok(signed) = decode::<proto::Signed>(&tried.bytes, Limit::STATEMENT) else {
            return assert!(!tried.sound);
        };
        let signed = signed.into_unchecked();
        let same = signed == GATHERED.order;
        (signed, Some(same))
    };
    let size = crew.log.size_now();
    let order = GroupOrder::verify(&signed, (&GROUP, group.head.epoch), &roster, &crew.log, size);
    assert!(intact.is_none_or(|intact| order.is_ok() == intact), "only what was signed holds");
    if let Ok(order) = order {
        let own = crew.devices[3].credential.member_id().as_bytes().to_vec();
        let leaves = [proto::group_ordered::Change::Remove(own)];
        assert_eq!(order.changes(), leaves.as_slice(), "a member orders nothing but its own leaving");
    }
}
