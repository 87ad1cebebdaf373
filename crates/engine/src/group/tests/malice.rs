//! What others of the group, or the relay, do against it.

use super::*;
use chancery_crypto::hash::hash;
use chancery_crypto::label;
use chancery_crypto::secret::Secret;
use chancery_group::{EpochSecret, GroupError, MAX_ATTEMPTS};
use chancery_wire::proto::{
    GroupCommit, GroupCommitHead, GroupCommitTail, GroupForkRecord, GroupHandOut, GroupMark,
};
use chancery_wire::{Limit, decode, encode};

use crate::group::turn::Turn;
use crate::tables::{GROUP_FORK, key, load};

#[test]
fn two_commits_for_one_place_stop_the_group_r_engine_75() {
    let mut town = three();
    let (one, other) = (town.build(0, vec![], Keying::Tree, 0), town.build(0, vec![], Keying::Tree, 0));
    // Once the one is followed the other proves nothing: an honest author may have lost with it (R-GROUP-22).
    town.run(1);
    town.give(1, &one.envelope);
    assert_eq!(town.epoch(1), 3);
    let before = town.acts(1);
    assert_eq!(town.give(1, &other.envelope).len(), 1);
    assert_eq!(town.give(1, &one.envelope).len(), 1);
    assert_eq!(town.acts(1), before);
    // While its secret is lacking the roster before is here, and says that both hold.
    let mut town = three();
    town.run(2);
    let (one, other) = (town.build(0, vec![], Keying::Regrow, 0), town.build(0, vec![], Keying::Tree, 0));
    town.give(2, &one.envelope);
    assert_eq!(town.epoch(2), 2);
    let before = town.acts(2);
    town.give(2, &one.envelope);
    assert_eq!(town.acts(2), before);
    town.give(2, &other.envelope);
    assert_eq!(town.acts(2)[before.len()..], [ActKind::Forked]);
    assert_eq!(town.epoch(2), 2);
    let draft = GroupDraft { group_id: GROUP, message_id: [9; 16], text: "x", attachments: vec![] };
    assert_eq!(town.try_handle(2, Input::Group(GroupInput::Send(draft))), Err(EngineError::GroupForked));
    let view = group(town.disk(2), &GROUP).unwrap().unwrap();
    assert_eq!(view.summary.phase, GroupPhase::Forked);
    // R-GROUP-22: what shows it stays, both as they were signed.
    assert_eq!(view.fork, Some(GroupFork { attempt: Some(0), hash: other.hash }));
    let proof: GroupForkRecord = load(town.disk(2), &key(GROUP_FORK, &[&GROUP])).unwrap().unwrap();
    assert_eq!((proof.commit, proof.known), (other.own.commit, one.own.commit));
}

#[test]
fn a_mark_that_shows_a_fork_is_kept_r_group_22_r_group_27() {
    let mut town = three();
    let mark = GroupMark { epoch: town.epoch(2), transcript: vec![7; 32] };
    let content = GroupControl { group_id: GROUP.to_vec(), control: Some(Control::Mark(mark.clone())) };
    assert!(town.control_as_is(2, 1, &content));
    let view = group(town.disk(2), &GROUP).unwrap().unwrap();
    assert_eq!(view.summary.phase, GroupPhase::Forked);
    assert_eq!(view.fork, Some(GroupFork { attempt: None, hash: [7; 32] }));
    let proof: GroupForkRecord = load(town.disk(2), &key(GROUP_FORK, &[&GROUP])).unwrap().unwrap();
    assert_eq!((proof.mark, proof.from), (Some(mark), town.device(1).as_bytes().to_vec()));
}

#[test]
fn a_commit_that_does_not_hold_changes_nothing_and_is_told_r_engine_74() {
    let mut town = three();
    town.run(2);
    let mut bad = town.build(0, vec![], Keying::Tree, 0);
    town.spoil(0, &mut bad, |commit, _| commit.signature = vec![7; 96]);
    let before = town.group_records(2);
    let acts = town.acts(2).len();
    let effects = town.give(2, &bad.envelope);
    assert!(effects.contains(&Effect::Notify(Notice::Undecryptable)));
    assert_eq!(town.acts(2)[acts..], [ActKind::Refused]);
    assert_eq!(town.group_records(2), before);
    // In the relay's slot it is passed over, and the next slot counts.
    let content = SlotContent { envelope: bad.envelope, ..SlotContent::default() };
    let input = GroupInput::SlotFetched { group_id: GROUP, attempt: 0, content: Some(&content) };
    town.handle(2, Input::Group(input));
    let good = town.build(0, vec![], Keying::Tree, 1);
    town.give(2, &good.envelope);
    assert_eq!(town.epoch(2), 3);
}

#[test]
fn what_does_not_fit_here_keeps_the_device_at_the_commit_that_has_won_r_group_15() {
    // R-GROUP-18: a path counts from the commit's author alone.
    let mut town = three();
    town.run(2);
    let made = town.build(0, vec![], Keying::Regrow, 0);
    // R-GROUP-21: what names another slot than the one of its attempt is nothing.
    let mut elsewhere = made.envelope.clone();
    elsewhere[17] ^= 1;
    assert!(town.give(2, &elsewhere).contains(&Effect::Notify(Notice::Undecryptable)));
    town.give(2, &made.envelope);
    let acts = town.acts(2);
    let device = town.device(2);
    let path = made.contents.iter().find(|(_, to, _)| *to == device).unwrap().2.clone();
    let content = |control: Control| GroupControl { group_id: GROUP.to_vec(), control: Some(control) };
    let Control::Path(right) = path else { unreachable!() };
    assert!(town.control_as_is(2, 1, &content(Control::Path(right.clone()))));
    assert_eq!((town.epoch(2), town.acts(2)), (2, acts.clone()), "not the author's");
    let mut wrong = right.clone();
    wrong.path[479] ^= 1;
    for _ in 0..3 {
        assert!(town.control_as_is(2, 0, &content(Control::Path(wrong.clone()))));
        assert_eq!(town.epoch(2), 2);
        assert_eq!(town.acts(2)[acts.len()..], [ActKind::Refused], "told once");
    }
    let later = town.build(0, vec![], Keying::Tree, 1);
    town.put_slot(2, 0, made.envelope.clone());
    town.give(2, &later.envelope);
    town.run(2);
    assert_eq!(town.epoch(2), 2, "no later slot counts");
    town.say(2, "not yet");
    assert!(town.run(2).is_empty());
    assert!(town.control_as_is(2, 0, &content(Control::Path(right))));
    assert_eq!((town.epoch(2), town.commit_of(2)), (3, made.hash));
}

#[test]
fn nobody_but_the_author_says_whom_a_device_is_to_serve_r_group_18() {
    let mut town = three();
    town.enrol("dave");
    (0..4).for_each(|id| town.grow(id));
    let made = town.commit(0, vec![add(&town.credential(3), Role::Member)], Keying::Tree);
    town.deliver(&made, &[1, 2, 3]);
    town.revoke(3);
    (0..3).for_each(|id| town.grow(id));
    let slot = town.slot(1, 3);
    let made = town.commit(1, vec![remove(slot, chancery_group::Reason::Log)], Keying::HandOut);
    let hand_out = GroupHandOut {
        epoch: town.epoch(1),
        commit: made.hash.to_vec(),
        secret: made.own.secret.clone(),
        first: 0,
        count: 16_384,
    };
    let content = GroupControl { group_id: GROUP.to_vec(), control: Some(Control::HandOut(hand_out)) };
    town.give(2, &made.envelope);
    town.run(2);
    assert!(town.control_as_is(2, 0, &content));
    town.run(2);
    assert_eq!(town.epoch(2), 4, "the secret may come from anybody");
    assert!(town.outbox(2).is_empty(), "and nothing else");
    assert!(town.control_as_is(2, 1, &content));
    assert_eq!(town.outbox(2).len(), 2, "it has the key of nobody else");
    town.give(0, &made.envelope);
    town.run(0);
    town.carry(2, 0);
    assert_eq!(town.epoch(0), 4);
}

#[test]
fn a_commit_that_names_entries_that_there_are_not_is_passed_over_r_group_5() {
    let mut town = three();
    town.run(2);
    let honest = town.build(0, vec![], Keying::Tree, 1);
    let log = town.log();
    town.enrol("nobody");
    town.grow(0);
    let made = town.build(0, vec![], Keying::Tree, 0);
    town.set_log(log);
    town.put_slot(2, 0, made.envelope.clone());
    let before = town.acts(2).len();
    assert!(town.give(2, &made.envelope).contains(&Effect::SyncLog));
    town.grow(2);
    assert_eq!(town.acts(2).len(), before, "the first answer may have been on its way");
    town.grow(2);
    assert_eq!(town.acts(2)[before..], [ActKind::Refused]);
    // In its slot it is judged anew.
    town.give(2, &honest.envelope);
    town.run(2);
    for _ in 0..2 {
        assert_eq!(town.epoch(2), 2);
        town.grow(2);
        town.run(2);
    }
    assert_eq!((town.epoch(2), town.commit_of(2)), (3, honest.hash), "there is no such entry");
}

/// The codes of what was refused.
fn refused(town: &Town, id: usize) -> Vec<u32> {
    let history = group_history(town.disk(id), &GROUP, 0, 1000).unwrap();
    let acts = history.iter().filter_map(group_act);
    acts.filter(|(kind, _)| *kind == ActKind::Refused).map(|(_, act)| act.code).collect()
}

#[test]
fn a_group_whose_slots_are_all_junk_stops_and_says_so_once_r_group_21() {
    let mut town = three();
    town.run(0);
    let (group_id, role) = (GROUP, Role::Reader);
    let operation = GroupOperation::SetRole { member: town.member(2), role };
    town.handle(0, Input::Group(GroupInput::Operation { group_id, operation }));
    assert!(matches!(town.next(0, &BTreeSet::new()), Some(GroupStep::Commit { .. })), "the control");
    let junk = SlotContent { envelope: vec![0x18; 512], ..SlotContent::default() };
    for attempt in 0..MAX_ATTEMPTS {
        assert!(refused(&town, 0).is_empty(), "slot {attempt}");
        let input = GroupInput::SlotFetched { group_id, attempt, content: Some(&junk) };
        town.handle(0, Input::Group(input));
    }
    assert_eq!(refused(&town, 0), [acts::code(GroupError::Limit)]);
    // A later epoch is told of, what is of no known one comes, and the member wants something: there is no slot for either.
    let mark = GroupMark { epoch: town.epoch(0) + 1, transcript: vec![7; 32] };
    let content = GroupControl { group_id: GROUP.to_vec(), control: Some(Control::Mark(mark)) };
    town.control_as_is(0, 1, &content);
    town.give(0, &[0x17; 512]);
    for _ in 0..3 {
        town.run(0);
        assert!(town.next(0, &BTreeSet::new()).is_none(), "{:?}", town.next(0, &BTreeSet::new()));
        town.wait(11 * 60 * SECOND);
    }
    assert_eq!(refused(&town, 0).len(), 1);
}

/// Another seed in a commit, as if its author had meant it.
fn spoil_seed(commit: &mut GroupCommit, turn: &mut Turn<'_, '_>, secret: &[u8]) {
    let mut tail: GroupCommitTail = decode(&commit.tail, Limit::ENVELOPE).unwrap().into_unchecked();
    tail.seed[0] ^= 1;
    commit.tail = encode(&tail);
    let mut head: GroupCommitHead = decode(&commit.head, Limit::STATEMENT).unwrap().into_unchecked();
    head.tail_hash = hash(label::HASH_GROUP_COMMIT_TAIL, &[&commit.tail]).to_vec();
    commit.head = encode(&head);
    let before = rows::head(turn.records, &GROUP).unwrap().unwrap();
    let transcript = hash(label::HASH_GROUP_TRANSCRIPT, &[&before.transcript, &commit.head]);
    let (chain, secret) =
        (Secret::from_slice(&before.chain_key).unwrap(), Secret::from_slice(secret).unwrap());
    let epoch = EpochSecret::next(Some(&chain), &secret, &transcript);
    commit.confirmation = epoch.confirmation(&transcript).to_vec();
    let signed = [&commit.head[..], &commit.confirmation].concat();
    commit.signature = turn.me.keys().signing.sign(label::SIGN_GROUP_COMMIT, &signed, turn.rng);
}

#[test]
fn a_keyholder_whose_seed_is_spoilt_follows_says_so_and_renews_all_keys_r_engine_89_r_group_15() {
    let mut town = three();
    let made = town.commit(0, vec![set_role(&town.member(1), Role::Administrator)], Keying::Tree);
    town.deliver_in(&made, &[1], true);
    town.deliver(&made, &[2]);
    town.run(1);
    let mut made = town.build(0, vec![], Keying::Tree, 0);
    let secret = made.secret.clone();
    town.spoil(0, &mut made, |commit, turn| spoil_seed(commit, turn, &secret));
    let (epoch, before) = (town.epoch(1), refused(&town, 1).len());
    for id in [1, 2] {
        town.give(id, &made.envelope);
        assert_eq!(town.epoch(id), epoch + 1, "by its boxes");
    }
    assert_eq!(refused(&town, 1)[before..], [acts::code(GroupError::SecretUnfit)]);
    assert_eq!(refused(&town, 2).len(), 0, "whoever holds no tree sees nothing of it");
    for _ in 0..4 {
        town.wait(60 * SECOND);
        town.run(1);
        town.handle(1, Input::Group(GroupInput::Care { group_id: GROUP }));
    }
    town.handle(1, Input::Group(GroupInput::Commit { group_id: GROUP }));
    let own = commit::pending(town.disk(1), &GROUP).unwrap().unwrap();
    let commit: GroupCommit = decode(&own.commit, Limit::ENVELOPE).unwrap().into_unchecked();
    let head: GroupCommitHead = decode(&commit.head, Limit::STATEMENT).unwrap().into_unchecked();
    assert_eq!((head.epoch, head.keying), (epoch + 2, Keying::Regrow as u32));
}
