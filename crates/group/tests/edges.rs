//! What a dishonest member could make up for somebody who joins, or has fallen behind, or for an order; and the edges
//! of the log (R-GROUP-5, R-GROUP-6, R-GROUP-9, R-GROUP-26; ATTACKS A09).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that overflows or finds nothing fails"
)]

mod world;

use std::collections::BTreeMap;

use chancery_crypto::hash::{hash, sha256};
use chancery_crypto::label;
use chancery_crypto::secret::Secret;
use chancery_group::{
    Changes, Entry, EpochSecret, GroupError, Joiner, Keying, LogView as _, Reason, Role, Slot,
    UnverifiedCommit, UnverifiedWelcome, remove, set_role, sign_order,
};
use chancery_wire::{Limit, decode, encode, proto};
use proto::group_change::Change;
use proto::group_ordered::Change as Ordered;
use world::{Event, Forgery, GROUP, NOW, Sent, World, member};

/// Owner, administrator, member, reader; outside a device of another member and two of a third.
fn crew(seed: u8) -> World {
    let others = [(1, Role::Administrator), (2, Role::Member), (3, Role::Reader)];
    World::with_group(seed, &[1, 1, 1, 1, 1, 2], &others)
}

/// A roster as whoever makes up a welcome lists it.
type Listed = BTreeMap<u16, Entry>;

fn listed(world: &World) -> Listed {
    let members = world.group(0).roster().unwrap().members().unwrap();
    members.into_iter().flat_map(|it| it.devices).map(|(slot, entry)| (slot.get(), entry)).collect()
}

fn entry(world: &World, device: usize, role: Role, added: u64) -> Entry {
    let credential = &world.devices[device].credential;
    Entry {
        member: credential.member_id(),
        device: credential.device_id(),
        credential: credential.hash(),
        group_key: *credential.group_key().as_bytes(),
        role,
        added,
    }
}

fn root(entries: &Listed) -> [u8; 32] {
    let mut level: BTreeMap<u16, [u8; 32]> =
        entries.iter().map(|(slot, entry)| (*slot, entry.hash())).collect();
    for _ in 0..14 {
        let parents: Vec<u16> = level.keys().map(|index| index >> 1).collect();
        let at = |index: u16| level.get(&index).copied().unwrap_or_default();
        let hash = |parent: u16| (parent, sha256(&[&[1], &at(parent << 1), &at(parent << 1 | 1)]));
        level = parents.into_iter().map(hash).collect();
    }
    level[&0]
}

/// A welcome in which all fits together but what the log and the joiner know.
fn made_up(world: &mut World, author: usize, entries: &Listed, keying: Keying) -> proto::GroupWelcome {
    let by = &world.devices[author];
    let head_before = &by.group().unwrap().head;
    let info = head_before.info.clone();
    let size = world.log.size();
    let head = encode(&proto::GroupCommitHead {
        group_id: GROUP.to_vec(),
        epoch: head_before.epoch + 1,
        transcript: head_before.transcript.clone(),
        author: head_before.slot,
        log_size: size,
        log_root: world.log.root(size).unwrap().to_vec(),
        salt: vec![1; 32],
        keying: keying as u32,
        roster: hash(label::HASH_GROUP_ROSTER, &[&root(entries), &info, &[], &[]]).to_vec(),
        tail_hash: vec![2; 32],
    });
    let transcript = hash(label::HASH_GROUP_TRANSCRIPT, &[&head_before.transcript, &head]);
    let secret = EpochSecret::from_welcome(Secret::from_bytes([3; 32]));
    let confirmation = secret.confirmation(&transcript).to_vec();
    let signed = [head.as_slice(), &confirmation].concat();
    let signature = by.keys.signing.sign(label::SIGN_GROUP_COMMIT, &signed, &mut *world.rng);
    let rows = entries.iter().flat_map(|(slot, entry)| [&slot.to_be_bytes()[..], &entry.to_bytes()].concat());
    let snapshot = proto::GroupSnapshot { info, entries: rows.collect(), ..Default::default() };
    proto::GroupWelcome {
        commit: Some(proto::GroupCommit { head, tail: Vec::new(), confirmation, signature }),
        epoch_secret: vec![3; 32],
        path: vec![4; 480],
        snapshot: encode(&snapshot),
        ..Default::default()
    }
}

fn verify(world: &World, to: usize, welcome: &proto::GroupWelcome, from: usize) -> Result<(), GroupError> {
    let device = &world.devices[to];
    let joiner = Joiner {
        group_id: &GROUP,
        credential: &device.credential,
        log: &world.log,
        behind: device.group(),
        next: None,
        exists: device.rows.is_some(),
    };
    let arrived = UnverifiedWelcome { welcome, snapshot: None, tree: None, from: world.id(from) };
    arrived.verify(joiner, NOW).map(|_| ())
}

#[test]
fn what_is_made_up_for_a_joiner_is_refused_r_group_26() {
    let mut world = crew(51);
    let epoch = world.group(0).head.epoch + 1;
    let mut honest = listed(&world);
    honest.insert(4, entry(&world, 4, Role::Member, epoch));
    let refused = |world: &mut World, by: usize, keying: Keying, change: &dyn Fn(&mut Listed)| {
        let mut entries = honest.clone();
        change(&mut entries);
        let welcome = made_up(world, by, &entries, keying);
        verify(world, 4, &welcome, by)
    };
    let nothing = |_: &mut Listed| {};
    // The control: from an owner it is a group like any other.
    assert_eq!(refused(&mut world, 0, Keying::Tree, &nothing), Ok(()));
    assert_eq!(refused(&mut world, 2, Keying::Tree, &nothing), Err(GroupError::NotAllowed));
    assert_eq!(refused(&mut world, 2, Keying::HandOut, &nothing), Err(GroupError::NotAllowed));
    let owner = |entries: &mut Listed| entries.get_mut(&4).unwrap().role = Role::Owner;
    assert_eq!(refused(&mut world, 2, Keying::HandOut, &owner), Err(GroupError::NotAllowed));
    world.log.events.push(Event::Successors(GROUP, vec![member(4)]));
    assert_eq!(refused(&mut world, 2, Keying::HandOut, &owner), Ok(()), "the control: now the log names it");
    assert_eq!(refused(&mut world, 2, Keying::Tree, &owner), Err(GroupError::NotAllowed));
    let earlier = |entries: &mut Listed| {
        let own = entries.get_mut(&4).unwrap();
        (own.role, own.added) = (Role::Owner, 1);
    };
    assert_eq!(refused(&mut world, 2, Keying::HandOut, &earlier), Err(GroupError::NotAllowed));
    // Its own entry, and others'.
    let key = |entries: &mut Listed| entries.get_mut(&4).unwrap().group_key = [9; 32];
    assert_eq!(refused(&mut world, 0, Keying::Tree, &key), Err(GroupError::NotAMember));
    let absent = |entries: &mut Listed| entries.retain(|slot, _| *slot != 4);
    assert_eq!(refused(&mut world, 0, Keying::Tree, &absent), Err(GroupError::NotAMember));
    let ghost = |entries: &mut Listed| entries.get_mut(&3).unwrap().credential = [9; 32];
    assert_eq!(refused(&mut world, 0, Keying::Tree, &ghost), Err(GroupError::NotInLog));
    let later = |entries: &mut Listed| entries.get_mut(&3).unwrap().added = epoch + 1;
    assert_eq!(refused(&mut world, 0, Keying::Tree, &later), Err(GroupError::Malformed));
    let (six, seven) = (entry(&world, 5, Role::Member, epoch), entry(&world, 6, Role::Reader, epoch));
    let two_roles = |entries: &mut Listed| entries.extend([(5, six), (6, seven)]);
    assert_eq!(refused(&mut world, 0, Keying::Tree, &two_roles), Err(GroupError::Malformed));
    let twice = |entries: &mut Listed| entries.extend([(5, entries[&4])]);
    assert_eq!(refused(&mut world, 0, Keying::Tree, &twice), Err(GroupError::Malformed));
    world.log.events.push(Event::Device(world.id(3)));
    assert_eq!(refused(&mut world, 0, Keying::Tree, &nothing), Err(GroupError::LeaverStays));
}

#[test]
fn who_has_fallen_behind_believes_no_member_who_made_itself_an_owner_r_group_26() {
    let mut world = crew(52);
    let mut entries = listed(&world);
    let honest = made_up(&mut world, 0, &entries, Keying::Tree);
    assert_eq!(verify(&world, 3, &honest, 0), Ok(()), "the control");
    assert_eq!(verify(&world, 3, &honest, 2), Err(GroupError::NotAllowed));
    entries.get_mut(&2).unwrap().role = Role::Owner;
    let usurped = made_up(&mut world, 2, &entries, Keying::Tree);
    assert_eq!(verify(&world, 3, &usurped, 2), Err(GroupError::NotAllowed));
    world.commit(0, Vec::new(), Keying::Tree).unwrap();
    assert_eq!(verify(&world, 3, &honest, 0), Err(GroupError::OtherEpoch), "what is past");
}

fn device_order(world: &mut World, by: usize, changes: Vec<Ordered>, epoch: u64) -> proto::GroupChange {
    let body = proto::GroupOrderBody {
        org_id: world.log.org.as_bytes().to_vec(),
        issuer_id: Vec::new(),
        device_id: world.id(by).as_bytes().to_vec(),
        group_id: GROUP.to_vec(),
        epoch,
        expires: world.log.time(world.log.size()).unwrap().as_millis() + 10,
        changes: changes.into_iter().map(|change| proto::GroupOrdered { change: Some(change) }).collect(),
    };
    let signed = sign_order(&world.devices[by].keys.signing, &body, &mut *world.rng);
    proto::GroupChange { change: Some(Change::Order(signed)) }
}

#[test]
fn a_device_orders_nothing_but_its_own_members_leaving_r_group_9() {
    let mut world = crew(53);
    let epoch = world.group(0).head.epoch;
    let out = |number: usize| Ordered::Remove(member(number).as_bytes().to_vec());
    let promotion = proto::GroupSetRole { member_id: member(2).as_bytes().to_vec(), role: 4 };
    let slots = [world.slot(2), world.slot(3)];
    let refused = |world: &mut World, changes: Vec<Ordered>, epoch: u64, slot: usize| {
        let order = device_order(world, 2, changes, epoch);
        let changes = vec![order, remove(slots[slot], Reason::Order)];
        let bytes = world.forge(3, Forgery::of(changes, Keying::HandOut));
        world.refusal(&bytes)
    };
    assert_eq!(refused(&mut world, vec![out(2)], epoch, 0), GroupError::OtherRoster, "the control");
    assert_eq!(refused(&mut world, vec![out(3)], epoch, 1), GroupError::NotAllowed);
    assert_eq!(refused(&mut world, vec![out(2), out(3)], epoch, 0), GroupError::NotAllowed);
    assert_eq!(refused(&mut world, vec![Ordered::SetRole(promotion)], epoch, 0), GroupError::NotAllowed);
    assert_eq!(refused(&mut world, vec![out(2)], 0, 0), GroupError::NotAllowed);
    world.log.events.push(Event::Device(world.id(2)));
    assert_eq!(refused(&mut world, vec![out(2)], epoch, 0), GroupError::NotAMember);
}

#[test]
fn all_devices_of_who_leaves_go_at_once_r_group_9() {
    let mut world = crew(54);
    let adds = vec![world.add(5, Role::Member), world.add(6, Role::Member)];
    world.commit(0, adds, Keying::Tree).unwrap();
    let epoch = world.group(0).head.epoch;
    let out = Ordered::Remove(member(5).as_bytes().to_vec());
    let order = device_order(&mut world, 5, vec![out], epoch);
    let both = [5, 6].map(|device| remove(world.slot(device), Reason::Order));
    let bytes = world.forge(2, Forgery::of(vec![order.clone(), both[0].clone()], Keying::HandOut));
    assert_eq!(world.refusal(&bytes), GroupError::LeaverStays);
    world.commit(2, [vec![order], both.to_vec()].concat(), Keying::HandOut).unwrap();
    assert_eq!(world.inside(), [0, 1, 2, 3]);
}

#[test]
fn who_has_ended_is_not_added_and_who_has_expired_commits_nothing_r_group_5_r_group_6() {
    let mut world = crew(55);
    let last = world.log.size() - 1;
    let bytes = world.forge(0, Forgery { log_size: Some(last), ..Forgery::of(vec![], Keying::Regrow) });
    assert_eq!(world.refusal(&bytes), GroupError::OtherLog, "the log as it was before this epoch");
    world.log.events.push(Event::Device(world.id(4)));
    let add = world.add(4, Role::Member);
    let bytes = world.forge(0, Forgery::of(vec![add], Keying::Regrow));
    assert_eq!(world.refusal(&bytes), GroupError::NotInLog);
    world.log.clock = 7_500_000;
    let bytes = world.forge(0, Forgery::of(vec![], Keying::Regrow));
    assert_eq!(world.refusal(&bytes), GroupError::NotAMember);
    let sent: Result<Sent, _> = world.build(0, vec![], Keying::Tree).map(Sent::of);
    let commit: proto::GroupCommit = decode(&sent.unwrap().bytes, Limit::FRAME).unwrap().into_unchecked();
    assert_eq!(world.refusal(&encode(&commit)), GroupError::NotAMember);
}

#[test]
fn nothing_comes_after_who_takes_over_r_group_8() {
    let mut world = crew(56);
    for gone in [0, 1, 3] {
        world.log.events.push(Event::Member(member(gone)));
    }
    let [owner, administrator, reader] = [0, 1, 3].map(|device| remove(world.slot(device), Reason::Log));
    let next = set_role(&member(2), Role::Owner);
    let mut refused = |changes: Vec<proto::GroupChange>| {
        let bytes = world.forge(2, Forgery::of(changes, Keying::HandOut));
        world.refusal(&bytes)
    };
    let [one, two, three, four] = [owner, administrator, reader, next];
    let good = vec![one.clone(), two.clone(), three.clone(), four.clone()];
    assert_eq!(refused(good), GroupError::OtherRoster, "the control");
    assert_eq!(refused(vec![one.clone(), two.clone(), four.clone(), three]), GroupError::NotAllowed);
    assert_eq!(refused(vec![one, four, two]), GroupError::NotAllowed, "while somebody is left");
}

#[test]
fn a_commit_that_splits_the_group_wins_for_all_and_who_it_does_not_fit_stops_or_mends_r_group_15() {
    // ATTACKS A08: a seed or a box that fits some alone must not make them follow different commits.
    let mut world = crew(57);
    let sent = Sent::of(world.build(0, vec![], Keying::Tree).unwrap());
    let own = world.build(0, vec![], Keying::Tree).map(|_| ());
    assert_eq!(own, Ok(()));
    let again = |world: &mut World, spoil: fn(&mut proto::GroupCommitTail)| {
        let commit: proto::GroupCommit = decode(&sent.bytes, Limit::FRAME).unwrap().into_unchecked();
        let mut tail: proto::GroupCommitTail = decode(&commit.tail, Limit::FRAME).unwrap().into_unchecked();
        spoil(&mut tail);
        let tail = encode(&tail);
        let mut head: proto::GroupCommitHead = decode(&commit.head, Limit::FRAME).unwrap().into_unchecked();
        head.tail_hash = hash(label::HASH_GROUP_COMMIT_TAIL, &[&tail]).to_vec();
        let by = &world.devices[0];
        let before = &by.group().unwrap().head;
        let head = encode(&head);
        let transcript = hash(label::HASH_GROUP_TRANSCRIPT, &[&before.transcript, &head]);
        let chain = Secret::from_slice(&before.chain_key).unwrap();
        let epoch = EpochSecret::next(Some(&chain), &Secret::from_bytes(sent.secret), &transcript);
        let confirmation = epoch.confirmation(&transcript).to_vec();
        let signed = [head.as_slice(), &confirmation].concat();
        let signature = by.keys.signing.sign(label::SIGN_GROUP_COMMIT, &signed, &mut *world.rng);
        encode(&proto::GroupCommit { head, tail, confirmation, signature })
    };
    let read = |world: &World, device: usize, bytes: &[u8]| {
        let rows = world.devices[device].rows.clone().unwrap();
        let group = chancery_group::Group { id: &GROUP, head: &rows.head, rows: &rows };
        let verified = || UnverifiedCommit::from_bytes(bytes).unwrap().verify(group, &world.log).unwrap();
        let staged = [verified().by_seed(NOW), verified().by_boxes(NOW)];
        staged.map(|staged| staged.map(|staged| staged.into_parts().0))
    };
    let good = again(&mut world, |_| {});
    let [by_seed, by_boxes] = read(&world, 1, &good);
    assert!(by_seed.is_ok() && by_boxes.is_ok(), "the control");
    assert_eq!(by_seed.unwrap().head.administrators_key.len(), 32);
    // The members' boxes fit and the keyholders' seed does not.
    let seed = again(&mut world, |tail| tail.seed[0] ^= 1);
    let [by_seed, by_boxes] = read(&world, 1, &seed);
    assert_eq!(by_seed.err(), Some(GroupError::SecretUnfit));
    let keyholder = by_boxes.unwrap();
    let [_, member] = read(&world, 2, &seed);
    let member = member.unwrap();
    assert_eq!(keyholder.head.transcript, member.head.transcript);
    assert!(keyholder.head.administrators_key.is_empty(), "it counts as lacking the tree");
    // A box that one member needs is spoilt, and the seed is good: keyholders notice, the member stops.
    let mut stopped = 0;
    let boxed = again(&mut world, |tail| *tail.nodes.last_mut().unwrap() ^= 1);
    for device in [1, 2, 3] {
        let [by_seed, by_boxes] = read(&world, device, &boxed);
        let expected = if device == 1 { GroupError::SecretUnfit } else { GroupError::NeedKeys };
        assert_eq!(by_seed.err(), Some(expected));
        if let Err(error) = by_boxes {
            assert_eq!(error, GroupError::SecretUnfit);
            stopped += 1;
        }
    }
    assert!(stopped > 0 && stopped < 3, "{stopped}");
    // Who followed by its boxes has the keys of its path alone, makes no tree, and mends all by a regrow.
    let own = world.slot(1);
    world.devices[1].take(keyholder);
    world.devices[2].take(member);
    let [_, reader] = read(&world, 3, &seed);
    world.devices[3].take(reader.unwrap());
    for node in world::occupied(&world.group(1).roster().unwrap()) {
        let has = world.group(1).rows.key(node).unwrap().is_some();
        assert_eq!(has, node.covers(own), "{node:?}");
    }
    world.devices[0].rows = None;
    assert_eq!(world.build(1, vec![], Keying::Tree).err(), Some(GroupError::NeedKeys));
    let regrown = Sent::of(world.build(1, vec![], Keying::Regrow).unwrap());
    world.deliver(1, regrown);
    assert_eq!(world.group(1).head.transcript, world.group(3).head.transcript);
    assert!(world.build(1, vec![], Keying::Tree).is_ok());
}

#[test]
fn node_keys_planted_under_a_proven_root_count_from_nobody_but_the_author_r_group_18() {
    // ATTACKS A08: every member has the root's secret, which is all that the confirmation proves.
    let mut world = crew(58);
    let sent = Sent::of(world.build(0, vec![], Keying::Regrow).unwrap());
    let slot = world.slot(2);
    let verified = || {
        let commit = UnverifiedCommit::from_bytes(&sent.bytes).unwrap();
        commit.verify(world.group(2), &world.log).unwrap()
    };
    for level in 0..14 {
        let mut planted = sent.paths[&slot].clone();
        planted.path[32 * level..32 * (level + 1)].fill(9);
        for from in [1, 2, 3, 4] {
            let taken = verified().by_path(&planted, &world.id(from), NOW);
            assert_eq!(taken.unwrap_err(), GroupError::NotAllowed, "level {level} from {from}");
        }
        // The control: nothing but where it came from tells it from the author's.
        let (changes, _, _) = verified().by_path(&planted, &sent.author, NOW).unwrap().into_parts();
        let honest = verified().by_path(&sent.paths[&slot], &sent.author, NOW).unwrap().into_parts().0;
        assert_eq!(changes.head, honest.head, "level {level}");
    }
    // Another keyholder's path is none either; whose range a helper serves is judged alike.
    assert_eq!(verified().by_path(&sent.paths[&slot], &world.id(1), NOW).err(), Some(GroupError::NotAllowed));
    assert!(verified().is_author(&world.id(0)).unwrap());
    assert!(!verified().is_author(&world.id(1)).unwrap());
}

#[test]
fn a_tree_file_counts_from_keyholders_alone_r_group_18() {
    let mut world = crew(59);
    let sent =
        Sent::of(world.build(0, vec![set_role(&member(2), Role::Administrator)], Keying::Tree).unwrap());
    let (path, tree) = (sent.paths[&world.slot(2)].clone(), sent.tree.clone());
    let mut planted = tree.clone();
    // The key of another device's slot, which the receiver cannot judge.
    planted[3] ^= 1;
    world.deliver(0, sent);
    let adopt = |tree: &[u8], from: usize| {
        chancery_group::adopt_tree(world.group(2), &path, tree, &world.id(from)).map(|_| ()).err()
    };
    for from in [2, 3, 4] {
        assert_eq!(adopt(&planted, from), Some(GroupError::NotAllowed), "from {from}");
    }
    assert_eq!(adopt(&tree, 0), None);
    assert_eq!(adopt(&tree, 1), None, "from another keyholder");
    assert_eq!(adopt(&planted, 0), None, "the control");
}

#[test]
fn a_welcome_leads_on_from_the_newest_commit_that_was_verified_r_group_26() {
    let mut world = crew(60);
    // The member has found the commit that demotes the administrator, and lacks its secret.
    let change = vec![set_role(&member(1), Role::Member)];
    let sent = Sent::of(world.build(0, change, Keying::Regrow).unwrap());
    let commit = UnverifiedCommit::from_bytes(&sent.bytes).unwrap();
    let rows = world.devices[2].rows.clone().unwrap();
    let behind = chancery_group::Group { id: &GROUP, head: &rows.head, rows: &rows };
    let next = commit.verify(behind, &world.log).unwrap();
    let mut entries = listed(&world);
    let welcomes: Vec<_> = (0..2)
        .map(|extra| {
            let by = if extra == 0 { 0 } else { 1 };
            entries.get_mut(&2).unwrap().added = 1;
            made_up(&mut world, by, &entries, Keying::Tree)
        })
        .collect();
    let arrive = |welcome: &proto::GroupWelcome, from: usize, known: bool| {
        let joiner = Joiner {
            group_id: &GROUP,
            credential: &world.devices[2].credential,
            log: &world.log,
            behind: Some(behind),
            next: known.then_some(&next),
            exists: true,
        };
        let arrived = UnverifiedWelcome { welcome, snapshot: None, tree: None, from: world.id(from) };
        arrived.verify(joiner, NOW).map(|_| ()).err()
    };
    // The controls: to who has verified nothing both could be what has become of the group.
    assert_eq!(arrive(&welcomes[0], 0, false), None);
    assert_eq!(arrive(&welcomes[1], 1, false), None);
    assert_eq!(arrive(&welcomes[0], 0, true), Some(GroupError::OtherEpoch), "another commit for that epoch");
    let spoilt = |spoil: &dyn Fn(&mut proto::GroupCommitHead)| {
        let mut welcome = welcomes[1].clone();
        let commit = welcome.commit.as_mut().unwrap();
        let mut head: proto::GroupCommitHead =
            decode(&commit.head, Limit::STATEMENT).unwrap().into_unchecked();
        spoil(&mut head);
        commit.head = encode(&head);
        let signed = [commit.head.as_slice(), &commit.confirmation].concat();
        let mut rng = chancery_crypto::rng::seeded([61; 32]);
        let key = &world.devices[1].keys.signing;
        commit.signature = key.sign(label::SIGN_GROUP_COMMIT, &signed, &mut rng);
        welcome
    };
    let (epoch, size) = (rows.head.epoch, rows.head.log_size);
    let later = spoilt(&|head| head.epoch = epoch + 2);
    assert_eq!(arrive(&later, 1, true), Some(GroupError::NotAllowed), "from who administers no more");
    assert_eq!(arrive(&later, 0, true), Some(GroupError::NotAuthentic), "the control: who still does");
    let shorter = spoilt(&|head| (head.epoch, head.log_size) = (epoch + 2, size - 1));
    assert_eq!(arrive(&shorter, 0, false), Some(GroupError::OtherLog));
    let far = |ahead: u64| spoilt(&|head| head.epoch = epoch + ahead);
    assert_eq!(arrive(&far(1_000_000), 0, false), Some(GroupError::NotAuthentic), "the control");
    assert_eq!(arrive(&far(1_000_001), 0, false), Some(GroupError::Limit));
    assert_eq!(arrive(&spoilt(&|head| head.epoch = u64::MAX), 0, false), Some(GroupError::Malformed));
    assert_eq!(arrive(&spoilt(&|head| head.epoch = epoch), 0, false), Some(GroupError::OtherEpoch));
}

#[test]
fn an_epochs_name_binds_its_secret_which_the_transcript_alone_does_not_r_group_4() {
    // Two confirmations for one head: an author who gives two secrets to two halves.
    let mut world = crew(62);
    let sent = Sent::of(world.build(0, vec![], Keying::Regrow).unwrap());
    let before: [u8; 32] = world.group(2).head.transcript.as_slice().try_into().unwrap();
    let commit: proto::GroupCommit = decode(&sent.bytes, Limit::FRAME).unwrap().into_unchecked();
    world.deliver(0, sent);
    let transcript = hash(label::HASH_GROUP_TRANSCRIPT, &[&before, &commit.head]);
    let name = |confirmation: &[u8]| hash(label::HASH_GROUP_EPOCH, &[&transcript, confirmation]);
    for device in world.inside() {
        assert_eq!(world.group(device).head.transcript, name(&commit.confirmation));
        assert_ne!(world.group(device).head.transcript, transcript);
    }
    // A commit that goes on from the other half's secret is refused, though its head is the same.
    let forged = world.forge(0, Forgery::of(vec![], Keying::Regrow));
    let next: proto::GroupCommit = decode(&forged, Limit::FRAME).unwrap().into_unchecked();
    let mut head: proto::GroupCommitHead = decode(&next.head, Limit::FRAME).unwrap().into_unchecked();
    assert_eq!(world.refusal(&forged), GroupError::OtherRoster, "the control");
    head.transcript = name(&[9; 32]).to_vec();
    let spoilt = encode(&proto::GroupCommit { head: encode(&head), ..next });
    assert_eq!(world.refusal(&spoilt), GroupError::OtherEpoch);
}

/// An entry of a device that nobody has.
fn stranger(number: u16) -> Entry {
    let id = |what: u8| hash(label::HASH_GROUP_EPOCH, &[&[what], &number.to_be_bytes()]);
    let short = |what| *id(what).first_chunk().unwrap();
    Entry {
        member: chancery_identity::MemberId::new(short(1)),
        device: chancery_identity::DeviceId::new(short(2)),
        credential: id(3),
        group_key: id(4),
        role: Role::Member,
        added: 1,
    }
}

#[test]
fn a_roster_over_the_limit_is_refused_in_a_commit_and_in_a_snapshot_and_changes_no_row_r_group_1() {
    let mut world = crew(64);
    let adds: Vec<_> = [4, 5].map(|device| world.add(device, Role::Member)).into();
    let sent = Sent::of(world.build(0, vec![adds[0].clone()], Keying::Tree).unwrap());
    let (before, welcome) = (format!("{:?}", world.rows()), &sent.welcomes[0].1);
    let snapshot: proto::GroupSnapshot = decode(&welcome.snapshot, Limit::SNAPSHOT).unwrap().into_unchecked();
    let row = |slot: u16| [&slot.to_be_bytes()[..], &stranger(slot).to_bytes()].concat();
    for (taken, expected) in [(10_000, GroupError::OtherRoster), (10_001, GroupError::Malformed)] {
        let entries = [snapshot.entries.clone(), (5..taken).flat_map(row).collect()].concat();
        assert_eq!(entries.len(), 107 * usize::from(taken));
        let full = encode(&proto::GroupSnapshot { entries, ..snapshot.clone() });
        let full = proto::GroupWelcome { snapshot: full, ..welcome.clone() };
        assert_eq!(verify(&world, 4, &full, 0), Err(expected), "of {taken}");
    }
    assert_eq!(format!("{:?}", world.rows()), before);
    // Rows with room for one, of two devices: nothing that is judged here asks for hashes or keys of the others.
    [1, 3].into_iter().for_each(|device| world.devices[device].rows = None);
    for device in [0, 2] {
        let rows = world.devices[device].rows.as_mut().unwrap();
        let mut head = rows.head.clone();
        (head.slots, head.taken) = (vec![0xFF; 1_250], 9_999);
        *head.slots.last_mut().unwrap() = 0x7F;
        let stored = |number| (Slot::new(number).unwrap(), Some(stranger(number).to_bytes()));
        let entries = (4..9_999).map(stored).collect();
        rows.apply(Changes { head, entries, ..Changes::default() });
        assert_eq!(world.group(device).roster().unwrap().taken(), 9_999);
    }
    for (count, expected) in [(1, GroupError::OtherRoster), (2, GroupError::Limit)] {
        let bytes = world.forge(0, Forgery::of(adds[..count].to_vec(), Keying::Regrow));
        assert_eq!(world.refusal(&bytes), expected, "{count} more");
    }
}
