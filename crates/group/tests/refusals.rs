//! What nobody can do to a group: each is refused with its reason by everybody, and leaves every row as it was.
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

use chancery_crypto::secret::Secret;
use chancery_group::{
    Attempt, GroupError, Info, Joiner, Keying, LogView as _, Posting, Reason, Role, Roster, UnverifiedCommit,
    UnverifiedWelcome, leave, remove, set_info, set_role, sign_order,
};

use chancery_wire::{Limit, decode, encode, proto};
use proto::group_change::Change;
use proto::group_ordered::Change as Ordered;
use world::{Event, Forgery, GROUP, GROUPS_ISSUER, NOW, Sent, World, info, member};

/// What is done to something good, and what becomes of it.
type Spoilt<T> = (fn(&mut T), GroupError);

/// Owner, administrator, member, reader, another administrator; the sixth device is outside.
fn crew(seed: u8) -> World {
    let others = [(1, Role::Administrator), (2, Role::Member), (3, Role::Reader), (4, Role::Administrator)];
    World::with_group(seed, &[1, 1, 1, 1, 1, 1, 2], &others)
}

fn order(world: &mut World, change: Ordered, spoil: fn(&mut proto::GroupOrderBody)) -> proto::GroupChange {
    let mut body = proto::GroupOrderBody {
        org_id: world.log.org.as_bytes().to_vec(),
        issuer_id: GROUPS_ISSUER.to_vec(),
        device_id: Vec::new(),
        group_id: GROUP.to_vec(),
        epoch: world.group(0).head.epoch,
        expires: world.log.time(world.log.size()).unwrap().as_millis() + 10,
        changes: vec![proto::GroupOrdered { change: Some(change) }],
    };
    spoil(&mut body);
    let signed = sign_order(&world.groups_issuer, &body, &mut *world.rng);
    proto::GroupChange { change: Some(Change::Order(signed)) }
}

fn refusal(world: &mut World, by: usize, changes: &[proto::GroupChange], keying: Keying) -> GroupError {
    let bytes = world.forge(by, Forgery::of(changes.to_vec(), keying));
    world.refusal(&bytes)
}

/// Whether nothing but the forged roster's name is wrong with a commit.
fn is_allowed(world: &mut World, by: usize, changes: &[proto::GroupChange]) -> bool {
    let error = refusal(world, by, changes, Keying::Regrow);
    assert!(
        matches!(error, GroupError::OtherRoster | GroupError::NotAllowed | GroupError::WrongKeying),
        "{error}"
    );
    error == GroupError::OtherRoster
}

#[test]
fn each_role_does_what_it_may_and_no_more_r_group_7() {
    let mut world = crew(31);
    let (owner, other, reader) = (world.slot(0), world.slot(4), world.slot(3));
    let mut dissolved = info("Crew");
    dissolved.dissolved = true;
    // Each change, and whether an owner, an administrator, a member, a reader may make it.
    let cases = [
        (world.add(5, Role::Reader), [true, true, false, false]),
        (world.add(5, Role::Administrator), [true, true, false, false]),
        (world.add(5, Role::Owner), [true, false, false, false]),
        (remove(reader, Reason::Role), [true, true, false, false]),
        (remove(other, Reason::Role), [true, false, false, false]),
        (remove(owner, Reason::Role), [false, false, false, false]),
        (remove(reader, Reason::Log), [false; 4]),
        (set_role(&member(3), Role::Administrator), [true, true, false, false]),
        (set_role(&member(3), Role::Owner), [true, false, false, false]),
        (set_role(&member(4), Role::Owner), [true, false, false, false]),
        (set_role(&member(4), Role::Member), [true, false, false, false]),
        (set_info(&info("Other")), [true, true, false, false]),
        (set_info(&dissolved), [true, false, false, false]),
    ];
    for (number, (change, may)) in cases.into_iter().enumerate() {
        for (by, may) in may.into_iter().enumerate() {
            assert_eq!(
                is_allowed(&mut world, by, std::slice::from_ref(&change)),
                may,
                "case {number} by {by}"
            );
        }
    }
    // Who steps down would keep the keys that it made.
    let error = refusal(&mut world, 1, &[set_role(&member(1), Role::Member)], Keying::Regrow);
    assert_eq!(error, GroupError::NotAllowed);
    let error = refusal(&mut world, 0, &[set_role(&member(0), Role::Member)], Keying::Regrow);
    assert_eq!(error, GroupError::WrongKeying);
    // Keying: a keyholder's end by tree, anything by hand-out, a heal by a member.
    let cases = [
        (0, vec![remove(other, Reason::Role)], Keying::Tree),
        (0, vec![set_role(&member(4), Role::Reader)], Keying::Tree),
        (0, vec![remove(reader, Reason::Role)], Keying::HandOut),
        (2, vec![], Keying::Tree),
        (2, vec![], Keying::Regrow),
        (2, vec![], Keying::HandOut),
    ];
    for (by, changes, keying) in cases {
        assert_eq!(refusal(&mut world, by, &changes, keying), GroupError::WrongKeying);
    }
}

#[test]
fn a_demoted_administrator_does_nothing_any_more_with_an_old_epoch_either_r_group_5() {
    // ATTACKS A06
    let mut world = crew(32);
    let old = Sent::of(world.build(1, vec![world.add(5, Role::Member)], Keying::Tree).unwrap()).bytes;
    world.commit(0, vec![set_role(&member(1), Role::Member)], Keying::Regrow).unwrap();
    assert_eq!(world.refusal(&old), GroupError::OtherEpoch);
    let add = world.add(5, Role::Member);
    let mut forgery = Forgery::of(vec![add.clone()], Keying::Regrow);
    forgery.head = |head| head.epoch -= 1;
    let bytes = world.forge(1, forgery);
    assert_eq!(world.refusal(&bytes), GroupError::OtherEpoch);
    assert_eq!(refusal(&mut world, 1, &[add], Keying::Regrow), GroupError::NotAllowed);
}

#[test]
fn a_commit_that_is_not_for_this_epoch_group_log_or_author_is_refused_r_group_5() {
    let mut world = crew(33);
    let mut refused = |by: usize, head: fn(&mut proto::GroupCommitHead)| {
        let bytes = world.forge(by, Forgery { head, ..Forgery::of(vec![], Keying::Regrow) });
        world.refusal(&bytes)
    };
    // The owner's right in another group is none here.
    assert_eq!(refused(0, |head| head.group_id = vec![8; 16]), GroupError::OtherGroup);
    assert_eq!(refused(0, |head| head.epoch += 1), GroupError::OtherEpoch);
    assert_eq!(refused(0, |head| head.transcript[0] ^= 1), GroupError::OtherEpoch);
    assert_eq!(refused(0, |head| head.author = 77), GroupError::NotAMember);
    assert_eq!(refused(1, |head| head.author = 0), GroupError::NotAuthentic, "in the owner's name");
    assert_eq!(refused(0, |head| head.log_size += 1), GroupError::LogTooShort);
    assert_eq!(refused(0, |head| head.log_size = 1 << 61), GroupError::LogTooShort);
    assert_eq!(refused(0, |head| head.log_size -= 1), GroupError::OtherLog);
    assert_eq!(refused(0, |head| head.log_root[0] ^= 1), GroupError::OtherLog);
    assert_eq!(refused(0, |head| head.roster[0] ^= 1), GroupError::OtherRoster);
    assert_eq!(refused(0, |head| head.keying = 4), GroupError::Malformed);
    assert_eq!(refused(0, |head| head.tail_hash[0] ^= 1), GroupError::Malformed);
    assert_eq!(refused(0, |head| head.salt = vec![1; 31]), GroupError::Malformed);
    // Who has looked again since it saw the commit waits for no entries.
    let ahead: fn(&mut proto::GroupCommitHead) = |head| head.log_size += 1;
    let bytes = world.forge(0, Forgery { head: ahead, ..Forgery::of(vec![], Keying::Regrow) });
    assert_eq!(world.refusal(&bytes), GroupError::LogTooShort);
    world.log.fresh = true;
    assert_eq!(world.refusal(&bytes), GroupError::OtherLog);
    world.log.fresh = false;
    // Somebody has ended: the author, or who would stay.
    let bytes = world.forge(0, Forgery::of(vec![], Keying::Regrow));
    world.log.events.push(Event::Device(world.id(4)));
    assert_eq!(world.refusal(&bytes), GroupError::OtherRoster, "it is judged by the log that it names");
    assert_eq!(refusal(&mut world, 4, &[], Keying::Regrow), GroupError::NotAMember);
    assert_eq!(refusal(&mut world, 0, &[], Keying::Regrow), GroupError::LeaverStays);
    let gone = world.devices[0].credential.device_id();
    world.log.credentials.remove(&gone);
    assert_eq!(refusal(&mut world, 0, &[], Keying::Regrow), GroupError::NeedCredential(gone));
}

#[test]
fn no_byte_of_head_confirmation_and_signature_can_be_another_r_group_4() {
    // ATTACKS A12. A bit of each byte of these, with the framing before them; of the tail, whose hash the head names, one in each 97 bytes.
    let mut world = crew(63);
    let good = Sent::of(world.build(0, vec![], Keying::Tree).unwrap()).bytes;
    let verify = |bytes: &[u8]| {
        UnverifiedCommit::from_bytes(bytes).and_then(|it| it.verify(world.group(2), &world.log)).map(drop)
    };
    assert_eq!(verify(&good), Ok(()), "the control");
    let commit: proto::GroupCommit = decode(&good, Limit::FRAME).unwrap().into_unchecked();
    let tail = good.windows(commit.tail.len()).position(|it| it == commit.tail).unwrap();
    let tail = tail..tail + commit.tail.len();
    let mut tried = 0;
    for at in (0..good.len()).filter(|at| !tail.contains(at) || at % 97 == 0) {
        let mut spoiled = good.clone();
        spoiled[at] ^= 1 << (at % 8);
        let refused = verify(&spoiled);
        assert!(refused.is_err_and(|error| error != GroupError::OtherRoster), "byte {at}");
        tried += 1;
    }
    assert!(tried > commit.head.len() + commit.confirmation.len() + commit.signature.len());
}

#[test]
fn duplicates_ghosts_and_changes_without_effect_are_refused_r_group_6() {
    let mut world = crew(34);
    let (add, slot) = (world.add(5, Role::Member), world.slot(3));
    let (two, three) = (member(2), member(3));
    let spoiled = |spoil: fn(&mut proto::GroupAdd)| {
        let mut change = add.clone();
        let Some(Change::Add(add)) = &mut change.change else { panic!() };
        spoil(add);
        vec![change]
    };
    let cases: Vec<(Vec<proto::GroupChange>, GroupError)> = vec![
        (vec![add.clone(), add.clone()], GroupError::Redundant),
        (vec![add.clone(), set_role(&member(5), Role::Reader)], GroupError::Redundant),
        (vec![remove(slot, Reason::Role), remove(slot, Reason::Role)], GroupError::Redundant),
        (vec![remove(slot, Reason::Role), world.add(3, Role::Member)], GroupError::Redundant),
        (vec![set_role(&three, Role::Member), remove(slot, Reason::Role)], GroupError::Redundant),
        (vec![set_role(&three, Role::Member), set_role(&three, Role::Reader)], GroupError::Redundant),
        (vec![set_info(&info("A")), set_info(&info("B"))], GroupError::Redundant),
        (vec![set_info(&info("Crew"))], GroupError::Redundant),
        (vec![set_role(&two, Role::Member)], GroupError::Redundant),
        (vec![set_role(&member(6), Role::Member)], GroupError::Redundant),
        (vec![world.add(2, Role::Member)], GroupError::Redundant),
        (vec![world.add(2, Role::Owner)], GroupError::NotAllowed),
        // Devices that the log does not have so (A04, B02), and another role for a member's second device.
        (spoiled(|add| add.credential_hash[0] ^= 1), GroupError::NotInLog),
        (spoiled(|add| add.member_id[0] ^= 1), GroupError::NotInLog),
        (spoiled(|add| add.device_id[0] ^= 1), GroupError::NotInLog),
        (spoiled(|add| add.group_key.clear()), GroupError::Malformed),
        (spoiled(|add| add.role = 5), GroupError::Malformed),
        (vec![world.add(6, Role::Member), world.add(7, Role::Reader)], GroupError::NotAllowed),
        (vec![proto::GroupChange::default()], GroupError::Malformed),
        (vec![add.clone(); 501], GroupError::Limit),
    ];
    for (number, (changes, expected)) in cases.iter().enumerate() {
        assert_eq!(refusal(&mut world, 0, changes, Keying::Regrow), *expected, "case {number}");
    }
    let unknown = |spoil: fn(&mut proto::GroupInfo)| {
        let mut info: proto::GroupInfo =
            decode(&info("Crew").to_bytes(), Limit::CONTENT).unwrap().into_unchecked();
        spoil(&mut info);
        vec![proto::GroupChange { change: Some(Change::SetInfo(encode(&info))) }]
    };
    let policy = unknown(|info| info.required = vec![1]);
    assert_eq!(refusal(&mut world, 0, &policy, Keying::Regrow), GroupError::UnknownPolicy);
    let long = unknown(|info| info.history = 101);
    assert_eq!(refusal(&mut world, 0, &long, Keying::Regrow), GroupError::Limit);
}

#[test]
fn orders_that_do_not_hold_move_nobody_r_group_9() {
    let mut world = crew(35);
    let (slot, three) = (world.slot(3), member(3).as_bytes().to_vec());
    let out = remove(slot, Reason::Order);
    let good = order(&mut world, Ordered::Remove(three.clone()), |_| {});
    assert_eq!(
        refusal(&mut world, 2, &[good.clone(), out.clone()], Keying::HandOut),
        GroupError::OtherRoster
    );
    assert_eq!(
        refusal(&mut world, 2, &[out.clone(), good.clone()], Keying::HandOut),
        GroupError::OrderInvalid
    );
    assert_eq!(
        refusal(&mut world, 0, std::slice::from_ref(&good), Keying::Regrow),
        GroupError::Redundant,
        "unused"
    );
    let other = remove(world.slot(2), Reason::Order);
    assert_eq!(refusal(&mut world, 0, &[good, other], Keying::Regrow), GroupError::OrderInvalid);
    let cases: [Spoilt<proto::GroupOrderBody>; 9] = [
        (|body| body.group_id[0] ^= 1, GroupError::OtherGroup),
        (|body| body.org_id[0] ^= 1, GroupError::OtherGroup),
        (|body| body.epoch += 1, GroupError::OrderInvalid),
        (|body| body.epoch = 1, GroupError::OrderInvalid),
        (|body| body.expires -= 10, GroupError::OrderInvalid),
        (|body| body.expires += 31 * 24 * 3_600_000, GroupError::OrderInvalid),
        (|body| body.changes.clear(), GroupError::OrderInvalid),
        (|body| body.issuer_id[0] ^= 1, GroupError::NotAllowed),
        (|body| body.device_id = vec![103; 16], GroupError::NotAllowed),
    ];
    for (number, (spoil, expected)) in cases.into_iter().enumerate() {
        let order = order(&mut world, Ordered::Remove(three.clone()), spoil);
        assert_eq!(refusal(&mut world, 2, &[order, out.clone()], Keying::HandOut), expected, "case {number}");
    }
    let order = order(&mut world, Ordered::Remove(three), |_| {});
    world.log.events.push(Event::IssuerEnds);
    assert_eq!(refusal(&mut world, 2, &[order, out], Keying::HandOut), GroupError::NotAllowed);
}

#[test]
fn an_old_order_to_leave_does_not_remove_who_came_back_and_no_old_commit_brings_anybody_back_r_group_9() {
    let mut world = crew(36);
    let (device, epoch) = (&world.devices[3], world.group(3).head.epoch);
    let signed =
        leave((&device.keys, &device.credential), (&GROUP, epoch), &world.log, &mut *world.rng).unwrap();
    let order = proto::GroupChange { change: Some(Change::Order(signed)) };
    let out = remove(world.slot(3), Reason::Order);
    let added = Sent::of(world.build(0, vec![world.add(5, Role::Member)], Keying::Tree).unwrap());
    let (old_commit, old_welcome) = (added.bytes.clone(), added.welcomes[0].1.clone());
    world.deliver(0, added);
    // Nobody leaves in another's name, nor with others.
    let wrong = vec![order.clone(), remove(world.slot(2), Reason::Order)];
    assert_eq!(refusal(&mut world, 1, &wrong, Keying::HandOut), GroupError::OrderInvalid);
    world.commit(1, vec![order.clone(), out.clone()], Keying::Tree).unwrap();
    assert_eq!(refusal(&mut world, 1, std::slice::from_ref(&order), Keying::Regrow), GroupError::NotAMember);
    world.commit(1, vec![world.add(3, Role::Member)], Keying::Tree).unwrap();
    let back = remove(world.slot(3), Reason::Order);
    assert_eq!(refusal(&mut world, 2, &[order, back], Keying::HandOut), GroupError::OrderInvalid);
    // Nor does an old commit or welcome bring back who was removed.
    world.commit(0, vec![remove(world.slot(5), Reason::Role)], Keying::Tree).unwrap();
    assert_eq!(world.refusal(&old_commit), GroupError::OtherEpoch);
    world.welcome(5, 0, &old_welcome, &[]).unwrap();
    let alone = world.group(5).head.epoch;
    assert!(alone < world.group(0).head.epoch, "it is back where it was, where nobody else is");
    let later = Sent::of(world.build(0, vec![], Keying::Tree).unwrap());
    assert_eq!(world.receive(5, &later), Err(GroupError::OtherEpoch));
}

#[test]
fn no_kind_of_change_changes_anything_but_its_own_r_group_6() {
    // ATTACKS A18: every field, by every kind of change but the one for it.
    let mut world = crew(37);
    let mut set = info("Crew");
    (set.posting, set.history, set.retention) = (Posting::Keyholders, 7, Some(NOW.since(Default::default())));
    let kinds: Vec<(&str, Vec<proto::GroupChange>, Keying)> = vec![
        ("add", vec![world.add(5, Role::Member)], Keying::Tree),
        ("role", vec![set_role(&member(2), Role::Reader)], Keying::Tree),
        ("info", vec![set_info(&set)], Keying::Tree),
        ("heal", vec![], Keying::Tree),
        ("regrow", vec![], Keying::Regrow),
        ("remove", vec![remove(world.slot(3), Reason::Role)], Keying::Regrow),
    ];
    for (kind, changes, keying) in kinds {
        let fields = |world: &World| {
            let roster: Roster<'_> = world.group(0).roster().unwrap();
            let info = Info::from_bytes(roster.info()).unwrap();
            let entries: Vec<_> = roster.members().unwrap().into_iter().flat_map(|it| it.devices).collect();
            (info, entries)
        };
        let (info_before, before) = fields(&world);
        world.commit(0, changes, keying).unwrap();
        let (info_after, after) = fields(&world);
        assert_eq!(info_before != info_after, kind == "info", "{kind}");
        let stayed = before.iter().filter(|it| after.contains(it)).count();
        let expected = before.len() - usize::from(kind == "role" || kind == "remove");
        assert_eq!(stayed, expected, "{kind}");
        let added = after.iter().filter(|it| !before.contains(it)).collect::<Vec<_>>();
        assert_eq!(added.len(), usize::from(kind == "add" || kind == "role"), "{kind}");
        if kind == "role" {
            let old = before.iter().find(|it| it.0 == added[0].0).unwrap().1;
            assert_eq!(added[0].1, chancery_group::Entry { role: Role::Reader, ..old });
        }
    }
    // An order for one thing covers no other, and an administrator dissolves nothing by what looks like a rename.
    let mut end = set.clone();
    end.dissolved = true;
    let ordered = order(&mut world, Ordered::SetInfo(info("Named").to_bytes()), |_| {});
    let error = refusal(&mut world, 1, &[ordered, set_info(&end)], Keying::Regrow);
    assert_eq!(error, GroupError::NotAllowed);
}

#[test]
fn planted_secrets_are_thrown_away_and_the_honest_ones_still_taken_r_group_15() {
    // ATTACKS A08
    let mut world = crew(38);
    let regrown = Sent::of(world.build(0, vec![], Keying::Regrow).unwrap());
    for device in [2, 1] {
        let slot = world.slot(device);
        let before = format!("{:?}", world.rows());
        let verified = || {
            UnverifiedCommit::from_bytes(&regrown.bytes)
                .unwrap()
                .verify(world.group(device), &world.log)
                .unwrap()
        };
        let spoils: [Spoilt<proto::GroupPath>; 4] = [
            (
                |path| {
                    path.path[479] ^= 1;
                    path.seed = vec![1; 32];
                },
                GroupError::SecretUnfit,
            ),
            (
                |path| {
                    path.path.pop();
                    path.seed.clear();
                },
                GroupError::Malformed,
            ),
            (|path| path.commit[0] ^= 1, GroupError::OtherEpoch),
            (|path| path.epoch += 1, GroupError::OtherEpoch),
        ];
        for (spoil, expected) in spoils {
            let mut path = regrown.paths[&slot].clone();
            spoil(&mut path);
            let expected = if device == 1 && path.seed.is_empty() { GroupError::NeedKeys } else { expected };
            assert_eq!(verified().by_path(&path, &regrown.author, NOW).unwrap_err(), expected);
        }
        assert_eq!(verified().by_boxes(NOW).unwrap_err(), GroupError::WrongKeying);
        assert_eq!(format!("{:?}", world.rows()), before);
        assert!(verified().by_path(&regrown.paths[&slot], &regrown.author, NOW).is_ok());
    }
    world.log.events.push(Event::Member(member(4)));
    let evicted = Sent::of(world.build(2, vec![], Keying::HandOut).unwrap());
    let verified =
        || UnverifiedCommit::from_bytes(&evicted.bytes).unwrap().verify(world.group(3), &world.log).unwrap();
    assert_eq!(
        verified().by_hand_out(Secret::from_bytes([1; 32]), NOW).unwrap_err(),
        GroupError::NotAuthentic
    );
    assert!(verified().by_hand_out(Secret::from_bytes(evicted.secret), NOW).is_ok());
    let gone =
        UnverifiedCommit::from_bytes(&evicted.bytes).unwrap().verify(world.group(4), &world.log).unwrap();
    assert!(gone.removes_me().unwrap());
    let error = gone.by_hand_out(Secret::from_bytes(evicted.secret), NOW).unwrap_err();
    assert_eq!(error, GroupError::NotAMember, "also with the secret");
}

/// Reads, changes and writes a welcome's snapshot.
fn respun(welcome: &proto::GroupWelcome, spoil: impl Fn(&mut proto::GroupSnapshot)) -> proto::GroupWelcome {
    let mut snapshot: proto::GroupSnapshot =
        decode(&welcome.snapshot, Limit::SNAPSHOT).unwrap().into_unchecked();
    spoil(&mut snapshot);
    proto::GroupWelcome { snapshot: encode(&snapshot), ..welcome.clone() }
}

#[test]
fn a_joiner_refuses_a_welcome_that_is_not_of_the_group_that_everybody_has_r_group_26() {
    // ATTACKS A09, A17
    let mut world = crew(39);
    let sent = Sent::of(world.build(1, vec![world.add(5, Role::Administrator)], Keying::Tree).unwrap());
    let (good, tree) = (sent.welcomes[0].1.clone(), sent.tree);
    let verify = |world: &World, welcome: &proto::GroupWelcome, tree: &[u8], from: usize| {
        let joiner = Joiner {
            group_id: &GROUP,
            credential: &world.devices[5].credential,
            log: &world.log,
            behind: None,
            next: None,
            exists: false,
        };
        let from = world.id(from);
        let arrived = UnverifiedWelcome { welcome, snapshot: None, tree: Some(tree), from };
        arrived.verify(joiner, NOW).map(|_| ())
    };
    let refused = |welcome: &proto::GroupWelcome| verify(&world, welcome, &tree, 1).unwrap_err();
    assert_eq!(verify(&world, &good, &tree, 1), Ok(()));
    assert_eq!(verify(&world, &good, &tree, 0), Ok(()), "by another keyholder");
    assert_eq!(verify(&world, &good, &tree, 2), Err(GroupError::NotAllowed), "by a member");
    assert_eq!(verify(&world, &good, &tree, 6), Err(GroupError::NotAllowed), "from outside");
    let hidden = |snapshot: &mut proto::GroupSnapshot| {
        let mut ghost = snapshot.entries[..107].to_vec();
        (ghost[1], ghost[20]) = (99, 1);
        ghost[18..34].fill(0xEE);
        snapshot.entries.extend(ghost);
    };
    assert!(matches!(refused(&respun(&good, hidden)), GroupError::OtherRoster | GroupError::Malformed));
    let drop_one = |it: &mut proto::GroupSnapshot| drop(it.entries.drain(107..214));
    let rename = |it: &mut proto::GroupSnapshot| it.info = info("Other").to_bytes();
    let kill = |it: &mut proto::GroupSnapshot| it.dead = vec![14, 0, 0];
    let forget = |it: &mut proto::GroupSnapshot| it.orders = vec![1; 40];
    let promote = |it: &mut proto::GroupSnapshot| it.entries[2 * 107 + 2 + 96] = 3;
    for spoil in [&drop_one as &dyn Fn(&mut proto::GroupSnapshot), &rename, &kill, &forget, &promote] {
        assert_eq!(refused(&respun(&good, spoil)), GroupError::OtherRoster);
    }
    let cut = |it: &mut proto::GroupSnapshot| it.entries.truncate(it.entries.len() - 1);
    let swap = |it: &mut proto::GroupSnapshot| it.entries.rotate_left(107);
    let twice = |it: &mut proto::GroupSnapshot| it.dead = vec![14, 0, 0, 14, 0, 0];
    for spoil in [&cut as &dyn Fn(&mut proto::GroupSnapshot), &swap, &twice] {
        assert_eq!(refused(&respun(&good, spoil)), GroupError::Malformed);
    }
    let spoils: [Spoilt<proto::GroupWelcome>; 6] = [
        (|it| it.epoch_secret[0] ^= 1, GroupError::NotAuthentic),
        (|it| it.path[0] ^= 1, GroupError::NotAuthentic),
        (|it| it.path[..32].fill(0), GroupError::Malformed),
        (|it| it.administrators_key = vec![1; 31], GroupError::Malformed),
        (|it| it.commit.as_mut().unwrap().signature[0] ^= 1, GroupError::NotAuthentic),
        (|it| it.commit.as_mut().unwrap().confirmation[0] ^= 1, GroupError::NotAuthentic),
    ];
    for (number, (spoil, expected)) in spoils.into_iter().enumerate() {
        let mut welcome = good.clone();
        spoil(&mut welcome);
        assert_eq!(refused(&welcome), expected, "case {number}");
    }
    let mut planted = tree.clone();
    *planted.last_mut().unwrap() ^= 1;
    assert_eq!(verify(&world, &good, &planted, 1), Err(GroupError::NotAuthentic));
    assert_eq!(verify(&world, &good, &tree[35..], 1), Err(GroupError::Malformed));
    // R-GROUP-25: the administrators' key is kept with the tree alone.
    for tree_file in [good.tree_file.clone(), None] {
        let with_tree = tree_file.is_some();
        let joiner = Joiner {
            group_id: &GROUP,
            credential: &world.devices[5].credential,
            log: &world.log,
            behind: None,
            next: None,
            exists: false,
        };
        let welcome = proto::GroupWelcome { tree_file, ..good.clone() };
        let arrived =
            UnverifiedWelcome { welcome: &welcome, snapshot: None, tree: Some(&tree), from: world.id(1) };
        let (changes, _) = arrived.verify(joiner, NOW).unwrap().into_parts();
        assert_eq!(!changes.head.administrators_key.is_empty(), with_tree);
    }
    // Whom the log ended after the commit does not matter; a log that is shorter does.
    world.log.events.push(Event::Member(member(4)));
    assert_eq!(verify(&world, &good, &tree, 1), Ok(()));
    world.log.events.truncate(4);
    assert_eq!(verify(&world, &good, &tree, 1), Err(GroupError::LogTooShort));
}

#[test]
fn two_valid_commits_of_one_attempt_prove_a_fork_and_one_that_lost_does_not_r_group_22() {
    let mut world = crew(40);
    let one = Sent::of(world.build(0, vec![], Keying::Tree).unwrap()).bytes;
    let two = Sent::of(world.build(1, vec![], Keying::Tree).unwrap()).bytes;
    let rows = world.devices[2].rows.clone().unwrap();
    let group = chancery_group::Group { id: &GROUP, head: &rows.head, rows: &rows };
    let verify = |bytes: &[u8]| UnverifiedCommit::from_bytes(bytes).unwrap().verify(group, &world.log);
    let (first, second) = (Attempt::FIRST, Attempt::FIRST.next().unwrap());
    let (won, other) = (verify(&one).unwrap(), verify(&two).unwrap());
    assert!(won.proves_fork(first, (&other, first)));
    assert!(!won.proves_fork(first, (&other, second)), "it lost, and went on to the next");
    assert!(!won.proves_fork(first, (&verify(&one).unwrap(), first)), "the same again");
    // What is not valid proves nothing: there is no value of it to compare.
    let mut forged: proto::GroupCommit = decode(&two, Limit::ENVELOPE).unwrap().into_unchecked();
    forged.signature[0] ^= 1;
    assert_eq!(verify(&encode(&forged)).err(), Some(GroupError::NotAuthentic));
    let by_member = world.forge(2, Forgery::of(vec![], Keying::Regrow));
    let verified = UnverifiedCommit::from_bytes(&by_member).unwrap().verify(group, &world.log);
    assert_eq!(verified.err(), Some(GroupError::WrongKeying));
    // Nor does a commit of a later epoch.
    let sent = Sent::of(world.build(0, vec![], Keying::Tree).unwrap());
    world.deliver(0, sent);
    let later = Sent::of(world.build(0, vec![], Keying::Tree).unwrap()).bytes;
    let later = UnverifiedCommit::from_bytes(&later).unwrap().verify(world.group(2), &world.log).unwrap();
    assert!(!won.proves_fork(first, (&later, first)));
}
