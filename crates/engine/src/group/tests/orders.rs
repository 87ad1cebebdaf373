//! Orders and duties that cannot be done, or not yet: they stop nothing else.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use chancery_crypto::hash::hash;
use chancery_crypto::label;
use chancery_group::{GroupError, Reason, sign_order};
use chancery_wire::proto::group_change::Change;
use chancery_wire::proto::group_ordered::Change as Ordered;
use chancery_wire::proto::{
    GroupChange, GroupCommit, GroupCommitHead, GroupCommitTail, GroupInfo, GroupOrderBody, GroupOrdered,
    GroupRequest, GroupSetRole, Signed,
};
use chancery_wire::{Limit, decode, encode};

use super::*;
use crate::engine::Engine;
use crate::group::acts::code;
use crate::group::{GroupOperation, commit, duties, group_act};

const HOUR: Duration = Duration::from_secs(3600);

impl Town {
    /// An issuer's order to the group, made without knowing its epoch.
    pub(super) fn order(&mut self, changes: Vec<Ordered>) -> Signed {
        self.order_until(HOUR.saturating_mul(24), changes)
    }

    fn order_until(&mut self, expires: Duration, changes: Vec<Ordered>) -> Signed {
        let body = GroupOrderBody {
            org_id: self.organisation.id().as_bytes().to_vec(),
            issuer_id: self.admin.0.as_bytes().to_vec(),
            device_id: Vec::new(),
            group_id: GROUP.to_vec(),
            epoch: 0,
            expires: self.now.after(expires).as_millis(),
            changes: changes.into_iter().map(|it| GroupOrdered { change: Some(it) }).collect(),
        };
        sign_order(&self.admin.1, &body, self.rng.as_mut())
    }

    /// Has a device ask another to carry an order out.
    pub(super) fn ask(&mut self, id: usize, from: usize, order: &Signed) {
        let request = Control::Request(GroupRequest { order: Some(order.clone()) });
        let content = GroupControl { group_id: GROUP.to_vec(), control: Some(request) };
        assert!(self.control_as_is(id, from, &content));
    }

    /// Does what a device has to do, its commits included, until there is nothing left; the relay lacks the credentials of some
    /// devices. Returns how many messages went to all, and what each commit changes.
    pub(super) fn work(&mut self, id: usize, unknown: &[usize]) -> (usize, Vec<Vec<GroupChange>>) {
        let (mut sent, mut made, mut asked) = (0_usize, Vec::new(), BTreeSet::new());
        for _ in 0..60 {
            let engine = Engine::load(self.disk(id), self.now).unwrap();
            let step = engine.next_group_step(self.disk(id), self.now, &asked).unwrap();
            let Some(step) = step else { return (sent, made) };
            let input = match step {
                GroupStep::Credential { device, .. } => {
                    let of = self.place(&device);
                    let credential = Some(self.credential(of).signed().clone());
                    asked.insert(*device.as_bytes());
                    let credential = credential.filter(|_| !unknown.contains(&of));
                    GroupInput::CredentialFetched { device, credential }
                }
                GroupStep::Care { group_id } => GroupInput::Care { group_id },
                GroupStep::Commit { group_id } => GroupInput::Commit { group_id },
                GroupStep::CreateSet { group_id, .. } => GroupInput::SetCreated { group_id },
                GroupStep::Seal { group_id, item } => GroupInput::Seal { group_id, item },
                GroupStep::Fetch { group_id, attempt, .. } => {
                    GroupInput::SlotFetched { group_id, attempt, content: None }
                }
                GroupStep::StoreFile { group_id, file, .. } => {
                    GroupInput::FileStored { group_id, blob_id: file.blob_id.try_into().unwrap() }
                }
                GroupStep::PutSlot { group_id, attempt, .. } => {
                    GroupInput::SlotAnswer { group_id, attempt, taken: None }
                }
                GroupStep::FanOut { group_id, item, .. } => {
                    sent = sent.saturating_add(1);
                    GroupInput::Sent { group_id, item }
                }
                other => panic!("unexpected {other:?}"),
            };
            let makes = matches!(input, GroupInput::Commit { .. });
            self.handle(id, Input::Group(input));
            made.extend(self.made(id).filter(|_| makes));
        }
        panic!("it goes on for ever");
    }

    /// What the commit changes that a device has made.
    fn made(&self, id: usize) -> Option<Vec<GroupChange>> {
        let record = commit::pending(self.disk(id), &GROUP).unwrap()?;
        let commit: GroupCommit = decode(&record.commit, Limit::ENVELOPE).unwrap().into_unchecked();
        let tail: GroupCommitTail = decode(&commit.tail, Limit::ENVELOPE).unwrap().into_unchecked();
        Some(tail.changes)
    }

    pub(super) fn requests(&self, id: usize) -> usize {
        duties::load(self.disk(id), &GROUP).unwrap().requests.len()
    }
}

fn carried(order: &Signed) -> GroupChange {
    GroupChange { change: Some(Change::Order(order.clone())) }
}

#[test]
fn an_order_that_was_carried_out_and_is_shown_again_stops_nobody_r_engine_91() {
    let mut town = three();
    let removal = Ordered::Remove(town.member(2).as_bytes().to_vec());
    let removal = town.order(vec![removal]);
    let slot = town.slot(0, 2);
    let made = town.commit(0, vec![carried(&removal), remove(slot, Reason::Order)], Keying::Tree);
    town.deliver(&made, &[1]);
    let mut info = group(town.disk(0), &GROUP).unwrap().unwrap().info.unwrap();
    let before = info.clone();
    info.name = chancery_identity::DisplayName::parse("Other").unwrap();
    let named = town.order(vec![Ordered::SetInfo(info.to_bytes())]);
    let made = town.commit(0, vec![carried(&named), set_info(&info)], Keying::Tree);
    town.deliver(&made, &[1]);
    // She is added again, and the name is as it was.
    let back = vec![add(&town.credential(2), Role::Member), set_info(&before)];
    let made = town.commit(0, back, Keying::Tree);
    town.deliver(&made, &[1]);
    let epoch = town.epoch(0);
    for (id, from) in [(0, 1), (1, 0)] {
        for order in [&removal, &named] {
            town.ask(id, from, order);
        }
        town.say(id, "undisturbed");
        assert_eq!(town.work(id, &[]), (1, vec![]));
        assert_eq!(town.requests(id), 0);
        town.wait(HOUR);
        assert_eq!(town.work(id, &[]), (0, vec![]));
        assert_eq!(town.epoch(id), epoch);
    }
}

#[test]
fn an_order_that_cannot_be_carried_out_is_dropped_and_the_others_are_carried_out_r_engine_91() {
    let mut town = three();
    let nobody = GroupSetRole { member_id: vec![9; 16], role: 1 };
    let bad = |town: &mut Town| {
        let out = Ordered::Remove(town.member(2).as_bytes().to_vec());
        town.order(vec![out, Ordered::SetRole(nobody.clone())])
    };
    let first = bad(&mut town);
    town.ask(0, 1, &first);
    town.say(0, "undisturbed");
    assert_eq!(town.work(0, &[]), (1, vec![]));
    assert_eq!((town.requests(0), town.epoch(0)), (0, 2));
    // Whatever the order in which they came.
    let out = Ordered::Remove(town.member(1).as_bytes().to_vec());
    let good = town.order(vec![out]);
    let last = bad(&mut town);
    for order in [&first, &good, &last] {
        town.ask(0, 1, order);
    }
    let out = remove(town.slot(0, 1), Reason::Order);
    assert_eq!(town.work(0, &[]), (0, vec![vec![carried(&good), out]]));
    assert_eq!(town.requests(0), 0);
}

#[test]
fn a_request_whose_credential_the_relay_does_not_have_stops_nothing_r_engine_92() {
    let mut town = three();
    let honest = town.order(vec![Ordered::Remove(town.member(1).as_bytes().to_vec())]);
    let leaving = |town: &Town, id: usize| GroupOrderBody {
        org_id: town.organisation.id().as_bytes().to_vec(),
        issuer_id: Vec::new(),
        device_id: town.device(id).as_bytes().to_vec(),
        group_id: GROUP.to_vec(),
        epoch: 1,
        expires: town.now.after(24 * HOUR).as_millis(),
        changes: vec![GroupOrdered { change: Some(Ordered::Remove(town.member(id).as_bytes().to_vec())) }],
    };
    // Nobody has signed it.
    let unsigned = Signed { body: encode(&leaving(&town, 2)), signature: vec![1; 64] };
    town.ask(0, 1, &unsigned);
    town.say(0, "undisturbed");
    assert_eq!(town.work(0, &[2]), (1, vec![]));
    assert_eq!(town.requests(0), 1, "it may come");
    town.wait(Duration::from_secs(3));
    assert_eq!(town.work(0, &[2]), (0, vec![]));
    // Once the credential is there it is judged.
    town.wait(HOUR);
    town.work(0, &[]);
    town.wait(HOUR);
    town.work(0, &[]);
    assert_eq!((town.requests(0), town.epoch(0)), (0, 2));
    // Whose device has ended in the meantime is not asked after.
    let mut town = three();
    let body = encode(&leaving(&town, 1));
    town.ask(0, 2, &Signed { body, signature: vec![1; 64] });
    town.ask(0, 2, &honest);
    town.revoke(1);
    town.grow(0);
    let out = remove(town.slot(0, 1), Reason::Log);
    assert_eq!(town.work(0, &[1]), (0, vec![vec![out]]));
    assert_eq!(town.requests(0), 0);
}

#[test]
fn who_takes_over_comes_in_with_the_devices_whose_credentials_there_are_r_group_8() {
    let mut town = three();
    for handle in ["dave", "dave", "dave"] {
        town.enrol(handle);
    }
    town.succeed([0; 16], 1, &[town.member(3)]);
    town.revoke(0);
    (0..6).for_each(|id| town.grow(id));
    town.say(1, "who is next");
    let slot = town.slot(1, 0);
    // None of them: there is no commit, and no end of trying either.
    assert_eq!(town.work(1, &[3, 4, 5]), (0, vec![]));
    town.wait(Duration::from_secs(70));
    let changes = vec![remove(slot, Reason::Log), add(&town.credential(4), Role::Owner)];
    assert_eq!(town.work(1, &[3, 5]), (0, vec![changes]), "what goes with it has to go first");
}

#[test]
fn an_order_that_finds_no_room_is_refused_and_not_called_done_r_engine_91() {
    let mut town = three();
    let out = |town: &Town, id: usize| vec![Ordered::Remove(town.member(id).as_bytes().to_vec())];
    let mut changes = Vec::new();
    for hours in 0..64 {
        let out = out(&town, 2);
        changes.push(carried(&town.order_until((24 + hours) * HOUR, out)));
    }
    let last = changes[63].clone();
    changes.push(remove(town.slot(0, 2), Reason::Order));
    let made = town.commit(0, changes, Keying::Tree);
    town.deliver(&made, &[1]);
    let execute = |town: &mut Town, order: &Signed| {
        let operation = GroupOperation::Execute(order);
        town.handle(0, Input::Group(GroupInput::Operation { group_id: GROUP, operation }));
        assert_eq!(town.work(0, &[]), (0, vec![]));
        let history = group_history(town.disk(0), &GROUP, 0, 1000).unwrap();
        let act = history.last().and_then(group_act).map(|(kind, act)| (kind, act.code));
        act.filter(|(kind, _)| *kind == ActKind::Refused)
    };
    let Some(Change::Order(done)) = last.change else { unreachable!() };
    assert_eq!(execute(&mut town, &done), None, "it is done");
    let out = out(&town, 1);
    let order = town.order(out);
    assert_eq!(execute(&mut town, &order), Some((ActKind::Refused, code(GroupError::Limit))));
    assert_eq!(group(town.disk(0), &GROUP).unwrap().unwrap().summary.waiting, 0);
    // Once the others have expired there is room.
    town.wait(89 * HOUR);
    town.enrol("dave");
    town.grow(0);
    let out = vec![Ordered::Remove(town.member(1).as_bytes().to_vec())];
    let order = town.order(out);
    let operation = GroupOperation::Execute(&order);
    town.handle(0, Input::Group(GroupInput::Operation { group_id: GROUP, operation }));
    let slot = town.slot(0, 1);
    assert_eq!(town.work(0, &[]).1, [vec![carried(&order), remove(slot, Reason::Order)]]);
}

#[test]
fn nobody_is_removed_to_come_back_whose_credential_the_relay_does_not_have_r_engine_90() {
    let mut town = three();
    let lost = town.commit(0, vec![], Keying::Regrow);
    town.give(1, &lost.envelope);
    town.deliver(&lost, &[2]);
    for _ in 0..4 {
        town.wait(60 * SECOND);
        town.run(1);
    }
    town.carry(1, 0);
    assert_eq!(town.asked(0), [town.device(1).as_bytes().to_vec()]);
    let slot = town.slot(0, 1);
    for _ in 0..2 {
        assert_eq!(town.work(0, &[1]), (0, vec![]), "it could never be added again");
        town.wait(2 * HOUR);
    }
    let back = add(&town.credential(1), Role::Member);
    assert_eq!(town.work(0, &[]).1, [vec![remove(slot, Reason::Role)], vec![back]]);
}

#[test]
fn if_nobody_who_administers_is_there_another_removes_who_has_ended_r_group_20_r_engine_86() {
    let mut town = three();
    town.enrol("dave");
    (0..4).for_each(|id| town.grow(id));
    let made = town.commit(0, vec![add(&town.credential(3), Role::Member)], Keying::Tree);
    town.deliver(&made, &[1, 2, 3]);
    for id in [1, 2] {
        town.work(id, &[]);
    }
    town.revoke(3);
    let out = remove(town.slot(1, 3), Reason::Log);
    for id in [1, 2] {
        town.grow(id);
        assert_eq!(town.work(id, &[]), (0, vec![]), "those who administer go first");
        let due = next_group_care(town.disk(id)).unwrap();
        let turn = Duration::from_secs(65 + 5 * u64::from(town.slot(id, id).get()));
        assert_eq!(due, Some(town.now.after(turn)), "each in its turn");
    }
    // Nobody has anything to say, and still nobody waits for it.
    town.wait(Duration::from_secs(70));
    assert_eq!(town.work(2, &[]), (0, vec![]), "not its turn");
    assert_eq!(town.work(1, &[]), (0, vec![vec![out]]));
}

/// A commit that its author's device would not build: signed by it, and in its slot.
fn forged(
    town: &mut Town,
    by: usize,
    changes: Vec<GroupChange>,
    spoil: fn(&mut GroupCommitHead),
) -> town::Made {
    let mut made = town.build(0, vec![], Keying::Tree, 0);
    let mut commit: GroupCommit = decode(&made.own.commit, Limit::ENVELOPE).unwrap().into_unchecked();
    let mut tail: GroupCommitTail = decode(&commit.tail, Limit::ENVELOPE).unwrap().into_unchecked();
    tail.changes = changes;
    commit.tail = encode(&tail);
    let mut head: GroupCommitHead = decode(&commit.head, Limit::ENVELOPE).unwrap().into_unchecked();
    head.tail_hash = hash(label::HASH_GROUP_COMMIT_TAIL, &[&commit.tail]).to_vec();
    head.author = town.slot(0, by).get().into();
    spoil(&mut head);
    commit.head = encode(&head);
    let signed = [commit.head.as_slice(), &commit.confirmation].concat();
    commit.signature =
        town.act(by, |turn| turn.me.keys().signing.sign(label::SIGN_GROUP_COMMIT, &signed, turn.rng));
    made.own.commit = encode(&commit);
    town.spoil(0, &mut made, |_, _| {});
    made
}

/// The codes of what a device has refused.
fn refusals(town: &Town, id: usize) -> Vec<u32> {
    let history = group_history(town.disk(id), &GROUP, 0, 1000).unwrap();
    let acts = history.iter().filter_map(group_act).filter(|(kind, _)| *kind == ActKind::Refused);
    acts.map(|(_, act)| act.code).collect()
}

/// What is wrong, whose commit it is, its changes, what becomes of its head, and why it is refused.
type BadCommit = (&'static str, usize, Vec<GroupChange>, fn(&mut GroupCommitHead), GroupError);

/// Gives a device a bad commit: nothing changes but that it is told.
fn refuses(town: &mut Town, id: usize, (envelope, expected): (&[u8], Option<GroupError>), case: &str) {
    let (before, told) = (town.group_records(id), refusals(town, id).len());
    town.give(id, envelope);
    town.run(id);
    assert!(town.group_records(id) == before, "{case}");
    let codes: Vec<u32> = expected.map(code).into_iter().collect();
    assert_eq!(refusals(town, id)[told..], codes, "{case}");
}

#[test]
fn whatever_is_wrong_with_a_commit_changes_nothing_and_is_told_once_r_engine_74() {
    let mut town = three();
    town.enrol("dave");
    town.enrol("erin");
    (0..5).for_each(|id| town.grow(id));
    let made = town.commit(0, vec![add(&town.credential(3), Role::Administrator)], Keying::Tree);
    town.deliver(&made, &[1, 2, 3]);
    for id in [0, 1, 3] {
        town.say(id, "known to all");
    }
    town.run_all();
    let mut info: GroupInfo = {
        let info = group(town.disk(0), &GROUP).unwrap().unwrap().info.unwrap();
        decode(&info.to_bytes(), Limit::RECORD).unwrap().into_unchecked()
    };
    info.name = "Other".into();
    let named = |info: &GroupInfo| GroupChange { change: Some(Change::SetInfo(encode(info))) };
    let erin = add(&town.credential(4), Role::Member);
    let out = remove(town.slot(0, 1), Reason::Role);
    let up = set_role(&town.member(1), Role::Owner);
    let required = GroupInfo { required: vec![999], ..info.clone() };
    let cases: [BadCommit; 11] = [
        ("a member names", 1, vec![named(&info)], |_| {}, GroupError::NotAllowed),
        ("a member adds", 1, vec![erin.clone()], |_| {}, GroupError::NotAllowed),
        ("a member makes itself owner", 1, vec![up.clone()], |_| {}, GroupError::NotAllowed),
        ("an administrator makes an owner", 3, vec![up], |_| {}, GroupError::NotAllowed),
        (
            "an owner, of another group",
            0,
            vec![named(&info)],
            |it| it.group_id[0] ^= 1,
            GroupError::OtherGroup,
        ),
        ("in another's name", 1, vec![named(&info)], |it| it.author = 0, GroupError::NotAuthentic),
        ("added twice", 0, vec![erin.clone(), erin], |_| {}, GroupError::Redundant),
        ("removed twice", 0, vec![out.clone(), out.clone()], |_| {}, GroupError::Redundant),
        ("an unknown policy", 0, vec![named(&required)], |_| {}, GroupError::UnknownPolicy),
        ("more than a commit holds", 0, vec![out; 501], |_| {}, GroupError::Limit),
        ("another roster", 0, vec![named(&info)], |_| {}, GroupError::OtherRoster),
    ];
    for (case, by, changes, spoil, error) in cases {
        let bad = forged(&mut town, by, changes, spoil);
        refuses(&mut town, 2, (&bad.envelope, Some(error)), case);
    }
    // What does not open comes from nobody who has the slot's key.
    let mut bad = forged(&mut town, 0, vec![], |_| {}).envelope;
    *bad.last_mut().unwrap() ^= 1;
    refuses(&mut town, 2, (&bad, None), "not sealed by a member");
    // An administrator who is none any more: in the old epoch, with it in the new one, and in the new one.
    let mut old = forged(&mut town, 3, vec![named(&info)], |_| {});
    let made = town.commit(0, vec![set_role(&town.member(3), Role::Member)], Keying::Regrow);
    town.deliver(&made, &[2, 3]);
    assert_eq!(town.epoch(2), 4);
    refuses(&mut town, 2, (&old.envelope, None), "an epoch that is over");
    town.spoil(0, &mut old, |_, _| {});
    refuses(&mut town, 2, (&old.envelope, Some(GroupError::OtherEpoch)), "the old epoch in the new");
    let bad = forged(&mut town, 3, vec![named(&info)], |_| {});
    refuses(&mut town, 2, (&bad.envelope, Some(GroupError::NotAllowed)), "an administrator that was");
}
