//! Four members' devices in one group, whatever they do: the input is a list of operations, four bytes each.

use std::sync::LazyLock;

use chancery_crypto::rng::seeded;
use chancery_group::{Group, Keying, Reason, Role, UnverifiedCommit, remove, set_info, set_role};
use chancery_testkit::crew::{Crew, GROUP, Sent, info, member};
use chancery_wire::proto;

use super::{shown, slot};

/// Most operations of an input: each that is followed costs a signature and four verifications.
const MAX_OPERATIONS: usize = 8;
/// Devices; the last two are outside at first.
const DEVICES: [u8; 6] = [0, 1, 2, 3, 4, 2];

static BEGUN: LazyLock<Crew> = LazyLock::new(|| {
    let roles = [(1, Role::Administrator), (2, Role::Member), (3, Role::Reader)];
    Crew::with_group(18, &DEVICES, &roles, &mut seeded([18; 32]))
});

/// Devices that commit, end and are fed damaged commits: whoever is inside agrees, and what is refused changes nothing.
pub fn group_world(data: &[u8]) {
    let mut crew = BEGUN.clone();
    let mut last: Option<Vec<u8>> = None;
    for operation in data.as_chunks::<4>().0.iter().take(MAX_OPERATIONS) {
        let inside = crew.inside();
        let Some(device) = inside.get(usize::from(operation[1]) % inside.len().max(1)).copied() else {
            return;
        };
        match operation[0] % 4 {
            0 | 1 => commit(&mut crew, device, *operation, &mut last),
            2 => end(&mut crew, *operation),
            _ => damaged(&crew, device, *operation, last.as_deref()),
        }
        agree(&crew);
    }
}

fn role(number: u8) -> Role {
    [Role::Reader, Role::Member, Role::Administrator, Role::Owner][usize::from(number % 4)]
}

fn change(crew: &Crew, kind: u8, what: u8) -> Vec<proto::GroupChange> {
    let whom = usize::from(what) % DEVICES.len();
    let of = member(DEVICES[whom]);
    match kind % 6 {
        0 => Vec::new(),
        1 => vec![crew.add(whom, role(what >> 4))],
        2 => vec![remove(slot(u16::from(what % 8)), Reason::Role)],
        3 => vec![set_role(&of, role(what >> 4))],
        4 => vec![set_info(&info(if what & 1 == 0 { "Crew" } else { "Others" }))],
        _ => vec![remove(slot(u16::from(what % 8)), Reason::Role), crew.add(whom, role(what >> 4))],
    }
}

fn commit(crew: &mut Crew, device: usize, [_, _, kind, what]: [u8; 4], last: &mut Option<Vec<u8>>) {
    let keying = [Keying::Tree, Keying::Regrow, Keying::HandOut][usize::from(kind / 6 % 3)];
    let before = rows(crew);
    let changes = change(crew, kind, what);
    let seed = [kind ^ what.rotate_left(3); 32];
    let epoch = crew.group(device).head.epoch;
    let made = crew.commit(
        device,
        changes,
        keying,
        &mut seeded([seed, epoch_bytes(epoch)].concat()[..32].try_into().expect("long enough")),
    );
    assert_eq!(rows(crew), before, "making a commit stores nothing");
    let Ok(sent) = made else { return };
    *last = Some(sent.bytes.clone());
    follow(crew, device, sent);
}

fn epoch_bytes(epoch: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&epoch.to_be_bytes());
    bytes
}

/// Everybody follows what somebody could build. Devices that the log has ended are not sent anything.
fn follow(crew: &mut Crew, author: usize, sent: Sent) {
    for device in crew.inside().into_iter().filter(|device| *device != author) {
        crew.receive(device, &sent).expect("what can be built can be followed");
    }
    crew.deliver_rest(author, sent);
}

fn end(crew: &mut Crew, [_, _, kind, what]: [u8; 4]) {
    let whom = usize::from(what) % DEVICES.len();
    let credential = crew.devices[whom].credential.clone();
    let of = credential.member_id();
    match kind % 3 {
        0 => crew.log.end_device(&credential),
        1 => crew.log.end_member(&of),
        _ => crew.log.name_successors(if what & 0x80 == 0 { GROUP } else { [0; 16] }, vec![of]),
    }
}

/// A commit that was followed, or the same with a byte changed, once more: refused, and nothing changes.
fn damaged(crew: &Crew, device: usize, [_, _, place, flip]: [u8; 4], last: Option<&[u8]>) {
    let Some(mut bytes) = last.map(<[u8]>::to_vec) else { return };
    let at = usize::from(place) * bytes.len() / 256;
    bytes[at] ^= flip;
    let before = rows(crew);
    let group: Group<'_> = crew.group(device);
    let verified = UnverifiedCommit::from_bytes(&bytes).and_then(|it| it.verify(group, &crew.log));
    assert!(verified.is_err(), "a commit is followed once");
    assert_eq!(rows(crew), before, "a refusal changes nothing");
}

fn rows(crew: &Crew) -> String {
    crew.devices.iter().filter_map(|device| device.rows.as_ref()).map(shown).collect()
}

/// Whether all inside have one epoch, one roster and, of what two hold, one key; and just the keys that are due.
fn agree(crew: &Crew) {
    let inside = crew.inside();
    let Some(first) = inside.first().map(|device| crew.group(*device)) else { return };
    let roster = first.roster().expect("as stored");
    assert!(!roster.keyholders().is_empty(), "somebody administers");
    assert_eq!(roster.slots().count(), inside.len(), "whoever is inside stands in the roster");
    let slots = roster.slots();
    let above = slots.flat_map(|slot| std::iter::successors(Some(slot.node()), |node| node.parent()));
    let nodes: std::collections::BTreeSet<_> = above.collect();
    for device in inside {
        let group = crew.group(device);
        assert_eq!(group.head.transcript, first.head.transcript);
        assert_eq!(
            (&group.head.chain_key, &group.head.slot_key),
            (&first.head.chain_key, &first.head.slot_key)
        );
        assert_eq!((&group.head.root_hash, &group.head.dead), (&first.head.root_hash, &first.head.dead));
        let (own, rows): (_, &dyn chancery_group::Rows) = (group.slot().expect("as stored"), group.rows);
        let keyholder = roster.keyholders().contains(&own);
        for node in nodes.iter().copied() {
            let key = rows.key(node).expect("in memory");
            let due = !roster.dead().contains(&node) && (keyholder || node.covers(own));
            assert_eq!(key.is_some(), due, "exactly the keys that are due");
            let other = first.rows.key(node).expect("in memory");
            if let (Some(one), Some(other)) = (key, other) {
                assert!(one.ct_eq(other.expose()), "one key of a node");
            }
        }
    }
}
