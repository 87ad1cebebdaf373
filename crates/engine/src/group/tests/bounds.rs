//! Bounds, from both of their sides.

use super::need::{evicted, makes, many};
use super::*;
use chancery_group::{GroupError, Posting};
use chancery_identity::log::LeafKind;
use chancery_identity::{Policy, sign};
use chancery_wire::encode;
use chancery_wire::proto::group_change::Change;
use chancery_wire::proto::{GroupRequest, GroupSecretRecord, GroupSecretsRecord, PolicyBody, Signed};
use chancery_wire::records::Overlay;

use crate::tables::{GROUP_SECRETS, key, load};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const TICK: Duration = Duration::from_millis(1);

/// The organisation's policy is another.
fn set_policy(town: &mut Town, policy: &Policy) {
    let body = PolicyBody {
        org_id: town.organisation.id().as_bytes().to_vec(),
        issuer_id: town.admin.0.as_bytes().to_vec(),
        sequence: 1,
        policy: Some(policy.to_proto()),
    };
    let statement = sign::sign_policy(&town.admin.1, &body, town.rng.as_mut());
    town.append(LeafKind::Policy, &statement);
}

/// A device's commit is in its slot.
fn wins(town: &mut Town, id: usize) {
    let before = town.epoch(id);
    town.handle(id, Input::Group(GroupInput::SlotAnswer { group_id: GROUP, attempt: 0, taken: None }));
    assert_eq!(town.epoch(id), before.saturating_add(1));
}

#[test]
fn a_history_whose_oldest_are_gone_is_read_page_by_page_and_once() {
    let mut town = three();
    let mut info = group(town.disk(0), &GROUP).unwrap().unwrap().info.unwrap();
    info.retention = Some(3600 * SECOND);
    let made = town.commit(0, vec![set_info(&info)], Keying::Tree);
    town.deliver(&made, &[1]);
    for text in ["gone", "gone too", "gone with them"] {
        town.say(0, text);
    }
    town.run_all();
    town.wait(3601 * SECOND);
    town.handle(1, Input::SessionUpkeep);
    let said = ["one", "two", "three", "four", "five"];
    for text in said {
        town.say(0, text);
    }
    town.run_all();
    let (mut from, mut read, mut pages) = (0, Vec::new(), 0);
    loop {
        let page = group_history(town.disk(1), &GROUP, from, 2).unwrap();
        pages += 1;
        assert!(page.len() <= 2 && pages < 10);
        let next = page.next;
        read.extend(page.into_iter().filter_map(|record| record.text).map(|text| text.text));
        let Some(next) = next else { break };
        from = next;
    }
    assert_eq!(read, said);
    assert!(group_history(town.disk(1), &GROUP, from, 2).unwrap().next.is_none());
}

#[test]
fn where_administrators_alone_may_write_nobody_else_is_heard_r_group_3_r_group_23() {
    let mut town = three();
    (0..3).for_each(|id| drop(town.run(id)));
    let said = town.say(1, "I may not");
    let sealed = town.seal_only(1);
    let mut info = group(town.disk(0), &GROUP).unwrap().unwrap().info.unwrap();
    info.posting = Posting::Keyholders;
    let made = town.commit(0, vec![set_info(&info)], Keying::Tree);
    town.deliver(&made, &[2]);
    town.give(2, &sealed);
    town.run(2);
    assert!(town.heard(2).is_empty());
    assert_eq!(town.acts(2).last(), Some(&ActKind::Refused));
    town.say(0, "I may");
    town.run(0).iter().for_each(|envelope| drop(town.give(2, envelope)));
    town.run(2);
    assert_eq!(town.heard(2), ["I may"]);
    // Whoever knows of it does not try.
    town.give(1, &made.envelope);
    assert!(town.run(1).is_empty());
    assert_eq!(town.state(1, &said), MessageState::Failed as u32);
    let draft = GroupDraft { group_id: GROUP, message_id: [9; 16], text: "x", attachments: vec![] };
    let refused = Err(EngineError::Group(GroupError::NotAllowed));
    assert_eq!(town.try_handle(1, Input::Group(GroupInput::Send(draft))), refused);
}

#[test]
fn of_the_times_of_organisation_and_group_the_shortest_counts_from_arrival_or_reading_r_group_3() {
    // Retention of the organisation and of the group, the group's disappearing; whether it is read an hour after it came.
    let cases = [
        (Some(HOUR), Some(2 * HOUR), None, false),
        (Some(2 * HOUR), Some(HOUR), None, false),
        (Some(3 * HOUR), None, Some(HOUR), true),
        (None, Some(3 * HOUR), Some(HOUR), true),
        (None, Some(HOUR), Some(HOUR), false),
    ];
    let before_and_after = [(HOUR - SECOND, 1), (HOUR + SECOND, 0)];
    for (case, (after, left)) in cases.into_iter().flat_map(|case| before_and_after.map(|it| (case, it))) {
        let (organisation, retention, disappearing, is_read) = case;
        let mut town = three();
        let mut policy = Policy::default();
        policy.retention = organisation;
        set_policy(&mut town, &policy);
        town.grow(0);
        town.grow(1);
        let mut info = group(town.disk(0), &GROUP).unwrap().unwrap().info.unwrap();
        (info.retention, info.disappearing) = (retention, disappearing);
        let made = town.commit(0, vec![set_info(&info)], Keying::Tree);
        town.deliver(&made, &[1]);
        town.say(0, "not for ever");
        town.run(0).iter().for_each(|envelope| drop(town.give(1, envelope)));
        town.run(1);
        if is_read {
            town.wait(HOUR);
            town.handle(1, Input::SessionUpkeep);
            assert_eq!(town.heard(1).len(), 1, "nobody has read it: {case:?}");
            let conversation = MemberId::new(GROUP);
            town.handle(1, Input::MarkRead { conversation, up_to: u64::MAX });
        }
        town.wait(after);
        town.handle(1, Input::SessionUpkeep);
        assert_eq!(town.heard(1).len(), left, "{case:?} after {after:?}");
    }
}

#[test]
fn a_device_is_helped_back_once_a_day_r_engine_90() {
    let mut town = three();
    let lost = |town: &mut Town| {
        let need = GroupNeed { epoch: 1, commit: vec![1; 32], ..GroupNeed::default() };
        let need = GroupControl { group_id: GROUP.to_vec(), control: Some(Control::Need(need)) };
        assert!(town.control_as_is(0, 1, &need));
    };
    let back = |town: &mut Town| {
        let slot = u32::from(town.slot(0, 1).get());
        let made = makes(town, 0).expect("a removal");
        assert!(matches!(&story::changes(&made.commit)[..], [Change::Remove(it)] if it.slot == slot));
        wins(town, 0);
        let made = makes(town, 0).expect("an addition");
        assert!(matches!(&story::changes(&made.commit)[..], [Change::Add(_)]));
        wins(town, 0);
        assert!(makes(town, 0).is_none());
    };
    lost(&mut town);
    back(&mut town);
    town.wait(DAY - SECOND);
    town.grow(0);
    lost(&mut town);
    assert!(makes(&mut town, 0).is_none(), "it was today");
    town.wait(SECOND);
    town.grow(0);
    assert!(makes(&mut town, 0).is_none(), "and has to ask again");
    lost(&mut town);
    back(&mut town);
}

#[test]
fn what_is_over_is_kept_for_seven_days_r_group_19_r_group_24() {
    let mut town = many(4);
    let made = evicted(&mut town, 4, (3, 1));
    let epochs = |town: &Town| state::load(town.disk(1), &GROUP).unwrap().unwrap().epochs.len();
    let keeps = |town: &Town| follow::secret_of(town.disk(1), &GROUP, &made.hash).unwrap().is_some();
    for (after, kept) in [(7 * DAY, true), (TICK, false)] {
        town.wait(after);
        town.handle(1, Input::Upkeep);
        assert_eq!((epochs(&town), keeps(&town)), (if kept { 2 } else { 1 }, kept));
    }
}

#[test]
fn of_secrets_the_newest_sixteen_are_kept_r_engine_78() {
    let mut town = many(4);
    let name = || key(GROUP_SECRETS, &[&GROUP]);
    let secret = |number: u8| GroupSecretRecord {
        commit: vec![number; 32],
        at: town.now.as_millis(),
        ..GroupSecretRecord::default()
    };
    let kept = GroupSecretsRecord { secrets: (0..16).map(secret).collect() };
    town.residents[1].disk.insert(name(), encode(&kept));
    let made = evicted(&mut town, 4, (3, 1));
    let kept: GroupSecretsRecord = load(town.disk(1), &name()).unwrap().unwrap();
    assert_eq!(kept.secrets.len(), 16);
    assert_eq!((&kept.secrets[0].commit, &kept.secrets[15].commit), (&vec![1; 32], &made.hash.to_vec()));
}

#[test]
fn of_requests_the_newest_sixty_four_are_kept_r_engine_83() {
    let mut town = three();
    for number in 0..65 {
        let order = Signed { body: vec![number], ..Signed::default() };
        let request = Control::Request(GroupRequest { order: Some(order) });
        let request = GroupControl { group_id: GROUP.to_vec(), control: Some(request) };
        assert!(town.control_as_is(0, 1, &request));
    }
    let kept = duties::load(town.disk(0), &GROUP).unwrap().requests;
    let first = kept[0].order.as_ref().unwrap();
    assert_eq!((kept.len(), &first.body), (64, &vec![1]));
}

#[test]
fn a_thousand_wishes_and_messages_wait_and_no_more_r_engine_79_r_engine_81() {
    let mut town = three();
    let wish = || {
        let operation = GroupOperation::Heal;
        Input::Group(GroupInput::Operation { group_id: GROUP, operation })
    };
    for _ in 0..1000 {
        town.handle(0, wish());
        town.say(1, "x");
    }
    assert_eq!(town.try_handle(0, wish()), Err(EngineError::QueueFull));
    let draft = GroupDraft { group_id: GROUP, message_id: [9; 16], text: "x", attachments: vec![] };
    assert_eq!(town.try_handle(1, Input::Group(GroupInput::Send(draft))), Err(EngineError::QueueFull));
}

#[test]
fn a_device_is_in_a_thousand_groups_and_no_more_r_engine_77() {
    let town = Town::new(&["alice"]);
    let mut records = Overlay::new(town.disk(0));
    for number in 0..1000_u128 {
        state::enter(&mut records, &number.to_be_bytes()).unwrap();
    }
    let full = Err(EngineError::Group(GroupError::Limit));
    assert_eq!(state::enter(&mut records, &[0xFF; 16]), full);
    state::enter(&mut records, &[0; 16]).unwrap();
}

#[test]
fn nothing_is_sealed_while_the_log_is_not_fresh_r_engine_80() {
    let mut town = three();
    town.run(1);
    town.wait(Policy::default().freshness + SECOND);
    let said = town.say(1, "once the log is here");
    assert!(town.run(1).is_empty());
    assert_eq!(town.state(1, &said), MessageState::Queued as u32);
    town.grow(1);
    assert_eq!(town.run(1).len(), 1);
}
