//! Orders and duties that cannot be done, or not yet: they stop nothing else.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use chancery_group::{GroupError, Reason, sign_order};
use chancery_wire::proto::group_change::Change;
use chancery_wire::proto::group_ordered::Change as Ordered;
use chancery_wire::proto::{
    GroupChange, GroupCommit, GroupCommitTail, GroupOrderBody, GroupOrdered, GroupRequest, GroupSetRole,
    Signed,
};
use chancery_wire::{Limit, decode};

use super::*;
use crate::engine::Engine;
use crate::group::acts::code;
use crate::group::{GroupOperation, commit, duties, group_act};

const HOUR: Duration = Duration::from_secs(3600);

impl Town {
    /// An issuer's order to the group, made without knowing its epoch.
    fn order(&mut self, changes: Vec<Ordered>) -> Signed {
        self.order_until(24 * HOUR, changes)
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
    fn ask(&mut self, id: usize, from: usize, order: &Signed) {
        let request = Control::Request(GroupRequest { order: Some(order.clone()) });
        let content = GroupControl { group_id: GROUP.to_vec(), control: Some(request) };
        assert!(self.control_as_is(id, from, &content));
    }

    /// Does what a device has to do, its commits included, until there is nothing left; the relay lacks the credentials of some
    /// devices. Returns how many messages went to all, and what each commit changes.
    fn work(&mut self, id: usize, unknown: &[usize]) -> (usize, Vec<Vec<GroupChange>>) {
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

    fn requests(&self, id: usize) -> usize {
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
    let unsigned = Signed { body: chancery_wire::encode(&leaving(&town, 2)), signature: vec![1; 64] };
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
    let body = chancery_wire::encode(&leaving(&town, 1));
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
