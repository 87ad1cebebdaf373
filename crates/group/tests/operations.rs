//! Groups of simulated devices: every operation, in random orders, keeps all members equal and leaves nobody a key
//! who was removed (R-GROUP-5, R-GROUP-10, R-GROUP-12, R-GROUP-13, R-GROUP-16, R-GROUP-25, R-GROUP-26).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::too_many_lines,
    reason = "a test that overflows or finds nothing fails"
)]

mod world;

use std::collections::{BTreeMap, BTreeSet};

use chancery_crypto::rng::{CryptoRng, random_bytes, seeded};
use chancery_group::{
    GroupError, Keying, LogView as _, Reason, Role, build, evictions, leave, remove, set_info, set_role,
    sign_order,
};
use chancery_wire::{Limit, decode, proto};
use proto::group_ordered::Change as Ordered;
use world::{Event, GROUP, GROUPS_ISSUER, NOW, Sent, World, info, member};

const ROLES: [Role; 4] = [Role::Reader, Role::Member, Role::Administrator, Role::Owner];

fn issuer_order(world: &mut World, epoch: u64, change: Ordered) -> proto::Signed {
    let expires = world.log.time(world.log.size()).unwrap().as_millis() + 1_000;
    let body = proto::GroupOrderBody {
        org_id: world.log.org.as_bytes().to_vec(),
        issuer_id: GROUPS_ISSUER.to_vec(),
        device_id: Vec::new(),
        group_id: GROUP.to_vec(),
        epoch,
        expires,
        changes: vec![proto::GroupOrdered { change: Some(change) }],
    };
    sign_order(&world.groups_issuer, &body, &mut *world.rng)
}

fn leaving(world: &mut World, device: usize) -> proto::Signed {
    let by = &world.devices[device];
    let epoch = by.group().unwrap().head.epoch;
    leave((&by.keys, &by.credential), (&GROUP, epoch), &world.log, &mut *world.rng).unwrap()
}

/// Somebody carries orders out, together with what the log demands.
fn carry_out(
    world: &mut World,
    by: usize,
    orders: &[proto::Signed],
    keying: Keying,
) -> Result<(), GroupError> {
    let device = &world.devices[by];
    let group = device.group().unwrap();
    let evicted = evictions(group, orders, &world.log)?;
    let author = device.author(&world.log, evicted.log_size);
    let sent = Sent::of(build(group, author, evicted.changes, keying, &mut *world.rng)?);
    world.deliver(by, sent);
    world.check();
    Ok(())
}

/// Tries the keyings from the cheapest on.
fn with_any_keying(mut commit: impl FnMut(Keying) -> Result<(), GroupError>) -> Result<(), GroupError> {
    let mut last = Err(GroupError::WrongKeying);
    for keying in [Keying::Tree, Keying::Regrow, Keying::HandOut] {
        last = commit(keying);
        if !matches!(last, Err(GroupError::WrongKeying | GroupError::NeedKeys)) {
            break;
        }
    }
    last
}

fn random_operation(world: &mut World, rng: &mut dyn CryptoRng) -> (&'static str, bool) {
    let mut pick = |below: usize| usize::from(u16::from_be_bytes(random_bytes(rng))) % below;
    let inside = world.inside();
    let by = inside[pick(inside.len())];
    let other = inside[pick(inside.len())];
    let (role, kind) = (ROLES[pick(4)], pick(10));
    let outside: Vec<usize> = (0..world.devices.len())
        .filter(|device| world.devices[*device].rows.is_none())
        .filter(|device| {
            let id = world.devices[*device].credential.device_id();
            !world.log.is_ended(&id, &member(world.devices[*device].member), world.log.size())
        })
        .collect();
    let (name, changes) = match kind {
        0 if !outside.is_empty() => ("add", vec![world.add(outside[pick(outside.len())], role)]),
        1 => ("add many", outside.iter().take(3).map(|device| world.add(*device, Role::Member)).collect()),
        2 => ("remove", vec![remove(world.slot(other), Reason::Role)]),
        3 | 4 => ("role", vec![set_role(&member(world.devices[other].member), role)]),
        5 => ("info", vec![set_info(&info(&format!("Crew {}", pick(1_000))))]),
        6 => ("heal", Vec::new()),
        7 if inside.len() > 2 => {
            let ended = if pick(2) == 0 {
                Event::Device(world.id(other))
            } else {
                Event::Member(member(world.devices[other].member))
            };
            world.log.events.push(ended);
            ("evict", Vec::new())
        }
        8 => {
            let order = leaving(world, other);
            let done = with_any_keying(|keying| carry_out(world, by, std::slice::from_ref(&order), keying));
            return ("leave", done.is_ok());
        }
        _ => {
            let epoch = world.group(by).head.epoch;
            let out = member(world.devices[other].member).as_bytes().to_vec();
            let order = issuer_order(world, epoch, Ordered::Remove(out));
            let done = with_any_keying(|keying| carry_out(world, by, std::slice::from_ref(&order), keying));
            return ("order", done.is_ok());
        }
    };
    if kind == 1 && changes.is_empty() {
        return (name, false);
    }
    let regrow = kind == 6 && pick(2) == 0;
    let done = with_any_keying(|keying| match keying {
        Keying::Tree if regrow => Err(GroupError::WrongKeying),
        _ => world.commit(by, changes.clone(), keying),
    });
    (if regrow { "regrow" } else { name }, done.is_ok())
}

#[test]
fn random_operations_keep_all_members_equal_and_removed_devices_without_keys_r_group_5_r_group_16() {
    let mut done: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..6 {
        let mut world = World::new(seed, &[2, 2, 1, 1, 1, 1, 1]);
        let successors = vec![member(5), member(0)];
        world.log.events.push(Event::Successors([0; 16], successors));
        world.found(0);
        let mut rng = seeded([100 + seed; 32]);
        let adds = (1..6).map(|device| world.add(device, Role::Member)).collect::<Vec<_>>();
        let mut adds = adds;
        adds[0] = world.add(1, Role::Owner);
        world.commit(0, adds, Keying::Tree).unwrap();
        for _ in 0..40 {
            let (name, changed) = random_operation(&mut world, &mut rng);
            *done.entry(name).or_default() += usize::from(changed);
            if world.inside().len() < 2 {
                break;
            }
        }
    }
    println!("{done:?}");
    for name in ["add", "add many", "remove", "role", "info", "heal", "regrow", "evict", "leave", "order"] {
        assert!(done.get(name).copied().unwrap_or_default() > 1, "{name}: {done:?}");
    }
}

#[test]
fn a_plain_member_evicts_anybody_and_a_keyholder_mends_the_tree_r_group_8_r_group_16() {
    for (evicted, author) in [(3, 4), (2, 3), (1, 3), (3, 1), (2, 5)] {
        let others = [
            (1, Role::Administrator),
            (2, Role::Administrator),
            (3, Role::Member),
            (4, Role::Member),
            (5, Role::Reader),
        ];
        let mut world = World::with_group(11, &[1; 6], &others);
        world.log.events.push(Event::Member(member(99)));
        assert!(!world.group(author).has_ended(&world.log).unwrap(), "R-GROUP-20: nobody who is here");
        world.log.events.push(Event::Member(member(evicted)));
        assert!(world.group(author).has_ended(&world.log).unwrap());
        let held_tree = evicted < 3;
        world.commit(author, Vec::new(), Keying::HandOut).unwrap();
        assert!(!world.group(author).has_ended(&world.log).unwrap());
        assert!(world.devices[evicted].rows.is_none());
        let dead = world.group(0).roster().unwrap().dead().len();
        assert!(dead >= 14);
        // Where a device that is still there has a dead slot, the tree has to grow anew.
        let tree = world.commit(0, Vec::new(), Keying::Tree);
        assert_eq!(tree, if held_tree { Err(GroupError::WrongKeying) } else { Ok(()) });
        if held_tree {
            world.commit(0, Vec::new(), Keying::Regrow).unwrap();
        }
        assert!(world.group(0).roster().unwrap().dead().is_empty());
        world.commit(0, Vec::new(), Keying::Tree).unwrap();
    }
}

#[test]
fn what_a_removed_device_held_opens_the_boxes_of_a_commit_that_keeps_it_and_none_of_one_that_removes_it() {
    // R-GROUP-11, R-GROUP-12; ATTACKS A05, A08: with every key that it ever held, in every place.
    for (removed, keying) in [(3, Keying::Tree), (1, Keying::Regrow)] {
        let others = [(1, Role::Administrator), (2, Role::Member), (3, Role::Member), (4, Role::Member)];
        let mut world = World::with_group(12, &[1; 5], &others);
        world.commit(0, Vec::new(), Keying::Tree).unwrap();
        let slot = world.slot(removed);
        let keeps = Sent::of(world.build(0, Vec::new(), Keying::Tree).unwrap());
        assert!(opened(&world, removed, &keeps.bytes) > 0, "the control: it opens what is for it");
        let drops = Sent::of(world.build(0, vec![remove(slot, Reason::Role)], keying).unwrap());
        assert_eq!(opened(&world, removed, &drops.bytes), 0);
        world.deliver(0, drops);
        world.check();
        for _ in 0..3 {
            let later = Sent::of(world.build(0, Vec::new(), Keying::Tree).unwrap());
            assert_eq!(opened(&world, removed, &later.bytes), 0);
            world.deliver(0, later);
        }
    }
}

/// How many boxes and seeds of a commit a device opens with all it ever held.
fn opened(world: &World, device: usize, commit: &[u8]) -> usize {
    opened_with(world, &world.devices[device].hoard, commit)
}

/// How many boxes and seeds of a commit these secrets open.
fn opened_with(world: &World, hoard: &BTreeSet<[u8; 32]>, commit: &[u8]) -> usize {
    use chancery_crypto::{aead::OneTimeKey, kdf::derive, label};
    let commit: proto::GroupCommit = decode(commit, Limit::FRAME).unwrap().into_unchecked();
    let head: proto::GroupCommitHead = decode(&commit.head, Limit::ENVELOPE).unwrap().into_unchecked();
    let tail: proto::GroupCommitTail = decode(&commit.tail, Limit::ENVELOPE).unwrap().into_unchecked();
    let nodes = world::occupied(&world.group(0).roster().unwrap());
    let mut count = 0;
    for key in hoard {
        for node in &nodes {
            let [level, high, low] = node.to_bytes();
            for side in [0, 1] {
                let info = [&GROUP[..], &head.epoch.to_be_bytes(), &[level, high, low, side]].concat();
                let open = OneTimeKey::new(derive(label::KDF_GROUP_BOX, &head.salt, &[key], &info));
                count += tail
                    .nodes
                    .chunks(48)
                    .filter(|sealed| open.open(&head.transcript, sealed).is_ok())
                    .count();
            }
        }
        let info = [&GROUP[..], &head.epoch.to_be_bytes()].concat();
        let open = OneTimeKey::new(derive(label::KDF_GROUP_SEED, &head.salt, &[key], &info));
        count += usize::from(open.open(&head.transcript, &tail.seed).is_ok());
    }
    count
}

#[test]
fn the_last_owner_is_followed_by_whom_the_log_names_else_by_the_lowest_slot_r_group_8() {
    let others = [(1, Role::Reader), (2, Role::Member), (3, Role::Member)];
    // Named for this group, and in it.
    let mut world = World::with_group(13, &[1; 5], &others);
    world.log.events.push(Event::Successors([0; 16], vec![member(2)]));
    world.log.events.push(Event::Successors(GROUP, vec![member(4), member(3)]));
    world.log.events.push(Event::Member(member(4)));
    world.log.events.push(Event::Member(member(0)));
    world.commit(1, Vec::new(), Keying::HandOut).unwrap();
    assert_eq!(world.role(3), Role::Owner);
    world.commit(3, Vec::new(), Keying::Regrow).unwrap();
    // Named for all groups, and added by a reader.
    let mut world = World::with_group(14, &[1; 5], &others);
    world.log.events.push(Event::Successors([0; 16], vec![member(4)]));
    world.log.events.push(Event::Device(world.id(0)));
    world.commit(1, Vec::new(), Keying::HandOut).unwrap();
    assert_eq!((world.role(4), world.slot(4).get()), (Role::Owner, 0));
    world.commit(4, Vec::new(), Keying::Regrow).unwrap();
    world.commit(4, Vec::new(), Keying::Tree).unwrap();
    // Nobody named: the lowest slot that is not a reader's.
    let mut world = World::with_group(15, &[1; 5], &others);
    world.log.events.push(Event::Member(member(0)));
    let wrong = [set_role(&member(3), Role::Owner), set_role(&member(2), Role::Administrator)];
    let out = remove(world.slot(0), Reason::Log);
    for wrong in wrong {
        let bytes = world.forge(1, world::Forgery::of(vec![out.clone(), wrong], Keying::HandOut));
        assert_eq!(world.refusal(&bytes), GroupError::NotAllowed);
    }
    let nobody = world.forge(1, world::Forgery::of(vec![out], Keying::HandOut));
    assert_eq!(world.refusal(&nobody), GroupError::NoKeyholder);
    world.commit(3, Vec::new(), Keying::HandOut).unwrap();
    assert_eq!(world.role(2), Role::Owner);
    // An owner who leaves is not its own successor.
    let mut world = World::with_group(16, &[1; 5], &others);
    world.log.events.push(Event::Successors(GROUP, vec![member(0)]));
    let order = leaving(&mut world, 0);
    carry_out(&mut world, 1, &[order], Keying::HandOut).unwrap();
    assert_eq!(world.role(2), Role::Owner);
}

#[test]
fn a_group_is_handed_over_and_dissolved_r_group_7() {
    let mut world = World::with_group(17, &[2, 1, 1], &[(2, Role::Member), (3, Role::Member)]);
    // Promoted devices hold the whole tree; other devices of a member have its role.
    world.commit(0, vec![set_role(&member(1), Role::Owner)], Keying::Tree).unwrap();
    world.commit(2, vec![world.add(1, Role::Owner)], Keying::Tree).unwrap();
    world.commit(2, vec![set_role(&member(0), Role::Member)], Keying::Regrow).unwrap();
    world.commit(2, Vec::new(), Keying::Tree).unwrap();
    assert_eq!(world.commit(0, Vec::new(), Keying::Tree), Err(GroupError::WrongKeying));
    let mut end = info("Crew");
    end.dissolved = true;
    world.commit(2, vec![set_info(&end)], Keying::Tree).unwrap();
    assert_eq!(world.commit(2, Vec::new(), Keying::Tree), Err(GroupError::Dissolved));
    let bytes = world.forge(2, world::Forgery::of(Vec::new(), Keying::Regrow));
    assert_eq!(world.refusal(&bytes), GroupError::Dissolved);
}

#[test]
fn a_device_that_has_fallen_behind_is_welcomed_back_r_group_25() {
    use chancery_group::{Joiner, UnverifiedWelcome};
    let others = [(1, Role::Administrator), (2, Role::Member), (3, Role::Member)];
    for behind in [1, 2] {
        let mut world = World::with_group(18, &[1; 4], &others);
        let rows = world.devices[behind].rows.take();
        for _ in 0..2 {
            let sent = Sent::of(world.build(0, Vec::new(), Keying::Tree).unwrap());
            world.deliver(0, sent);
        }
        world.devices[behind].rows = rows;
        let slot = world.slot(behind);
        let built = world.build(0, Vec::new(), Keying::Tree).unwrap();
        let file = Some(proto::GroupFile::default()).filter(|_| behind == 1);
        let (welcome, tree) =
            (built.welcome(slot, None, file).unwrap(), built.tree().unwrap().expose().to_vec());
        let sent = Sent::of(built);
        let device = &world.devices[behind];
        let joiner = |asked: bool| Joiner {
            group_id: &GROUP,
            credential: &device.credential,
            log: &world.log,
            behind: device.group().filter(|_| asked),
            next: None,
            exists: true,
        };
        let from = world.id(0);
        let arrived = UnverifiedWelcome { welcome: &welcome, snapshot: None, tree: Some(&tree), from };
        let before = format!("{:?}", world.rows());
        assert_eq!(arrived.verify(joiner(false), NOW).unwrap_err(), GroupError::Exists, "A15");
        assert_eq!(format!("{:?}", world.rows()), before);
        let by_member = UnverifiedWelcome { from: world.id(3), ..arrived };
        assert_eq!(by_member.verify(joiner(true), NOW).unwrap_err(), GroupError::NotAllowed);
        let arrived = UnverifiedWelcome { from, ..by_member };
        let (changes, _) = arrived.verify(joiner(true), NOW).unwrap().into_parts();
        world.devices[behind].take(changes);
        let rows = world.devices[behind].rows.take();
        world.deliver(0, sent);
        world.devices[behind].rows = rows;
        world.check();
    }
}

#[test]
fn an_issuers_order_is_carried_out_once_by_whom_it_is_for_r_group_9() {
    let others = [(1, Role::Administrator), (2, Role::Member), (3, Role::Member)];
    let mut world = World::with_group(19, &[1; 5], &others);
    let owner = proto::GroupSetRole { member_id: member(1).as_bytes().to_vec(), role: 4 };
    let order = issuer_order(&mut world, 0, Ordered::SetRole(owner));
    let carried = proto::GroupChange { change: Some(proto::group_change::Change::Order(order)) };
    let changes = vec![carried, set_role(&member(1), Role::Owner)];
    // Not by a member, and not by an administrator without the order; then by one with it.
    let by_member = world.forge(2, world::Forgery::of(changes.clone(), Keying::HandOut));
    assert_eq!(world.refusal(&by_member), GroupError::NotAllowed);
    let without = world.forge(1, world::Forgery::of(changes[1..].to_vec(), Keying::Tree));
    assert_eq!(world.refusal(&without), GroupError::NotAllowed);
    world.commit(1, changes.clone(), Keying::Tree).unwrap();
    // Lowered again, it cannot use the order a second time; nor does anybody who joined later know less.
    world.commit(0, vec![set_role(&member(1), Role::Administrator)], Keying::Tree).unwrap();
    world.commit(0, vec![world.add(4, Role::Member)], Keying::Tree).unwrap();
    let again = world.forge(1, world::Forgery::of(changes, Keying::Tree));
    assert_eq!(world.refusal(&again), GroupError::OrderInvalid);
    assert!(world.group(4).rows.entry(world.slot(4)).unwrap().is_some());
}

#[test]
fn an_evictions_secret_reaches_all_who_stay_through_helpers_and_nobody_who_is_gone_r_group_17() {
    use chancery_group::{Duty, HandOutContext, UnverifiedCommit, assign, cover, duties};
    let others: Vec<_> = (1..9).map(|device| (device, Role::Member)).collect();
    for (evicted, author) in [(3, 5), (8, 1), (0, 4)] {
        let mut world = World::with_group(20, &[1; 9], &others);
        // Another keyholder, whose end would leave none.
        world.commit(0, vec![set_role(&member(1), Role::Administrator)], Keying::Tree).unwrap();
        world.log.events.push(Event::Member(member(evicted)));
        let sent = Sent::of(world.build(author, Vec::new(), Keying::HandOut).unwrap());
        let verify = |device: usize| {
            UnverifiedCommit::from_bytes(&sent.bytes)
                .unwrap()
                .verify(world.group(device), &world.log)
                .unwrap()
        };
        let by_author = verify(author);
        let (roster, dead) = (by_author.roster(), by_author.roster().dead());
        let cover = cover(roster, dead).unwrap();
        let shared = assign(&cover, world.slot(author));
        let device_in = |slot| world.inside().into_iter().find(|device| world.slot(*device) == slot).unwrap();
        let mut serving: Vec<_> = shared.own.map(|range| (author, range)).into_iter().collect();
        for range in shared.helpers {
            serving.push((device_in(range.taken(roster).unwrap()[0]), range));
        }
        let mut has: BTreeSet<usize> = serving.iter().map(|(device, _)| *device).collect();
        has.insert(author);
        for (helper, range) in serving {
            let verified = verify(helper);
            let own = world.slot(helper);
            for duty in duties(verified.roster(), verified.roster().dead(), &cover, range, own).unwrap() {
                match duty {
                    Duty::Send(slot) => drop(has.insert(device_in(slot))),
                    Duty::Publish(node) => {
                        let key = world.group(helper).rows.key(node).unwrap().unwrap();
                        let secret = chancery_crypto::secret::Secret::from_bytes(sent.secret);
                        let context: HandOutContext<'_> = verified.hand_out_context();
                        let envelope = context.seal(&[1; 16], node, &key, &secret);
                        for device in world.inside() {
                            let opened = verify(device).open_hand_out(&envelope);
                            let below = node.covers(world.slot(device));
                            assert_eq!(opened.is_ok(), below && device != evicted);
                            has.extend(opened.is_ok().then_some(device));
                        }
                        assert!(!world.devices[evicted].hoard.contains(key.expose()));
                    }
                }
            }
        }
        let staying: BTreeSet<usize> =
            world.inside().into_iter().filter(|device| *device != evicted).collect();
        assert_eq!(has, staying);
        world.deliver(author, sent);
        world.check();
    }
}

#[test]
fn who_comes_back_as_administrator_opens_nothing_of_the_epochs_between_r_group_11_r_group_17() {
    // ATTACKS A05: with everything that it ever held, and with the whole tree that it is given now.
    use chancery_crypto::{kdf::mac, label, secret::Secret};
    use chancery_group::{Node, UnverifiedCommit};
    let others: Vec<_> = (1..7).map(|device| (device, Role::Member)).collect();
    for return_by in [Keying::Tree, Keying::Regrow] {
        let mut world = World::with_group(22, &[1; 8], &others);
        world.commit(0, vec![set_role(&member(1), Role::Administrator)], Keying::Tree).unwrap();
        world.commit(0, vec![remove(world.slot(1), Reason::Role)], Keying::Regrow).unwrap();
        let mut between: Vec<(Vec<u8>, BTreeSet<[u8; 32]>)> = Vec::new();
        // What each of the rest had before each commit.
        let held = |world: &World| {
            let group = world.group(0);
            let nodes = world::occupied(&group.roster().unwrap());
            let keys = nodes.iter().filter_map(|node| group.rows.key(*node).unwrap());
            keys.map(|key| *key.expose()).collect::<BTreeSet<_>>()
        };
        let adds: Vec<Vec<proto::GroupChange>> =
            vec![vec![], vec![world.add(7, Role::Reader)], vec![remove(world.slot(5), Reason::Role)], vec![]];
        for changes in adds {
            let sent = Sent::of(world.build(0, changes, Keying::Tree).unwrap());
            between.push((sent.bytes.clone(), held(&world)));
            world.deliver(0, sent);
            world.check();
        }
        world.log.events.push(Event::Member(member(6)));
        let cover_before = held(&world);
        let built = world.build(3, Vec::new(), Keying::HandOut).unwrap();
        let published: Vec<(Node, Vec<u8>)> =
            built.hand_outs().iter().map(|(node, envelope)| (*node, envelope.clone())).collect();
        assert!(!published.is_empty());
        let sent = Sent::of(built);
        let staged = UnverifiedCommit::from_bytes(&sent.bytes).unwrap();
        let staged = staged.verify(world.group(0), &world.log).unwrap();
        let staged = staged.by_hand_out(Secret::from_bytes(sent.secret), NOW).unwrap();
        // Who holds the whole tree can serve all, and everybody makes the same envelope for a node.
        let mut envelopes = staged.hand_outs().clone();
        assert!(published.iter().all(|(node, envelope)| envelopes.get(node) == Some(envelope)));
        envelopes.extend(published);
        let (hash, epoch) = (sent.hash, world.group(0).head.epoch + 1);
        world.deliver(3, sent);
        world.check();
        let back = vec![world.add(1, Role::Administrator)];
        world.commit(0, back, return_by).unwrap();
        let hoard = world.devices[1].hoard.clone();
        assert!(held(&world).is_subset(&hoard), "it has the whole tree");
        // What the tree would hold if keys were not replaced: each key of before whose replacement is in it.
        let kept = |before: &BTreeSet<[u8; 32]>| {
            let in_tree = |key: &[u8; 32]| {
                let mut key = Secret::from_bytes(*key);
                (0..8).any(|_| {
                    key = mac(label::KDF_GROUP_USED, &key, &[]);
                    hoard.contains(key.expose())
                })
            };
            before.iter().filter(|key| in_tree(key)).copied().collect::<BTreeSet<_>>()
        };
        let hand_outs = |keys: &BTreeSet<[u8; 32]>| {
            let opens = |key: &[u8; 32], envelope: &[u8]| {
                let info = [&GROUP[..], &epoch.to_be_bytes()].concat();
                let key = chancery_crypto::kdf::derive(label::KDF_GROUP_HAND_OUT, &hash, &[key], &info);
                chancery_crypto::aead::OneTimeKey::new(key).open(&envelope[..20], &envelope[20..]).is_ok()
            };
            envelopes.values().filter(|envelope| keys.iter().any(|key| opens(key, envelope))).count()
        };
        let mut control = hand_outs(&kept(&cover_before));
        assert_eq!(hand_outs(&cover_before), envelopes.len());
        assert_eq!(hand_outs(&hoard), 0);
        for (commit, before) in &between {
            assert_eq!(opened_with(&world, &hoard, commit), 0);
            control += opened_with(&world, &kept(before), commit);
        }
        assert!(control > 0 || return_by == Keying::Regrow, "the control: without replacement it would open");
    }
}

#[test]
fn orders_that_add_nothing_are_left_out_and_none_is_carried_out_in_part_r_group_9() {
    let others = [(1, Role::Member), (2, Role::Member), (3, Role::Member)];
    let mut world = World::with_group(23, &[1, 1, 1, 2], &others);
    let epoch = world.group(0).head.epoch;
    let out = |number: usize| Ordered::Remove(member(number).as_bytes().to_vec());
    // Two for one member, and the member's own leaving.
    let mut orders = vec![issuer_order(&mut world, epoch, out(1)), issuer_order(&mut world, 0, out(1))];
    orders.push(leaving(&mut world, 1));
    let changes = evictions(world.group(2), &orders, &world.log).unwrap().changes;
    assert_eq!(changes.len(), 2, "one order, one removal");
    carry_out(&mut world, 2, &orders, Keying::HandOut).unwrap();
    // For whom the log ends, too: by an issuer, and by its own device.
    let orders = vec![leaving(&mut world, 2), issuer_order(&mut world, 0, out(2))];
    world.log.events.push(Event::Member(member(2)));
    carry_out(&mut world, 3, &orders, Keying::HandOut).unwrap();
    assert_eq!(world.inside(), [0, 3]);
    // Two leavings of one member, of which the later covers more.
    world.commit(0, Vec::new(), Keying::Tree).unwrap();
    let early = leaving(&mut world, 3);
    world.commit(0, vec![world.add(4, Role::Member)], Keying::Tree).unwrap();
    let late = leaving(&mut world, 3);
    let changes = evictions(world.group(0), &[early.clone(), late.clone()], &world.log).unwrap().changes;
    assert_eq!(changes.len(), 4);
    carry_out(&mut world, 0, &[early, late], Keying::Tree).unwrap();
    assert_eq!(world.inside(), [0]);
    // A removal with something else: not by who can do the removal alone, and not the removal alone.
    let mut world = World::with_group(24, &[1; 4], &others);
    let renamed = info("Named");
    let expires = world.log.time(world.log.size()).unwrap().as_millis() + 1_000;
    let body = proto::GroupOrderBody {
        org_id: world.log.org.as_bytes().to_vec(),
        issuer_id: GROUPS_ISSUER.to_vec(),
        device_id: Vec::new(),
        group_id: GROUP.to_vec(),
        epoch: 0,
        expires,
        changes: [out(1), Ordered::SetInfo(renamed.to_bytes())]
            .map(|change| proto::GroupOrdered { change: Some(change) })
            .to_vec(),
    };
    let order = sign_order(&world.groups_issuer, &body, &mut *world.rng);
    assert!(evictions(world.group(2), std::slice::from_ref(&order), &world.log).unwrap().changes.is_empty());
    let carried = proto::GroupChange { change: Some(proto::group_change::Change::Order(order)) };
    let parts = vec![carried, remove(world.slot(1), Reason::Order), set_info(&renamed)];
    for part in [parts[..2].to_vec(), vec![parts[0].clone(), parts[2].clone()]] {
        let bytes = world.forge(0, world::Forgery::of(part, Keying::Regrow));
        let error = world.refusal(&bytes);
        assert!(matches!(error, GroupError::OrderInvalid | GroupError::LeaverStays), "{error}");
    }
    world.commit(0, parts, Keying::Tree).unwrap();
}
