//! Sets: made once, multiplied to, used by who knows their key, and emptied of who has left.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use chancery_identity::delivery::Use;
use chancery_identity::log::LeafKind;
use chancery_wire::{RefusalCode, proto};
use proto::client_frame::Body as Request;
use proto::relay_frame::Body;

use super::world::{DESK, Device, EPOCH, World, append, done, key, refusal, token_for};
use crate::{ConnectionId, Limits, MailboxId, Rate, SetId, SetStorage as _, Storage as _, StorageError};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3_600);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const KEY: [u8; 16] = [0x4B; 16];

/// Three devices that are logged in and subscribed, a connection to send on, and the set `name` with a gap in it.
pub(crate) struct Team {
    pub(crate) world: World,
    pub(crate) devices: Vec<Device>,
    pub(crate) reading: Vec<ConnectionId>,
    pub(crate) sending: ConnectionId,
}

pub(crate) const NAME: u8 = 0xA0;

impl Team {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let mut world = World::with(limits);
        let devices: Vec<Device> = (1..=3).map(|id| world.member(id)).collect();
        let reading: Vec<ConnectionId> = devices.iter().map(|device| world.login(device)).collect();
        reading.iter().for_each(|connection| world.subscribe(*connection));
        reading.iter().for_each(|connection| drop(world.take(*connection)));
        let sending = world.anonymous();
        let mut team = Self { world, devices, reading, sending };
        assert_eq!(team.ask(create(NAME, &team.places())), done(), "R-RELAY-70");
        team
    }

    pub(crate) fn ask(&mut self, request: Request) -> Body {
        self.world.ask(self.sending, request)
    }

    /// The slots of the set: one is empty.
    pub(crate) fn places(&self) -> Vec<[u8; 16]> {
        let id = |n: usize| *self.devices[n].id.as_bytes();
        vec![id(0), [0; 16], id(1), id(2)]
    }

    /// The relay dies; another one starts, and everybody comes back.
    pub(crate) fn restart(&mut self) {
        self.world.restart();
        self.reading = self.devices.iter().map(|device| self.world.login(device)).collect();
        self.reading.iter().for_each(|connection| self.world.subscribe(*connection));
        self.sending = self.world.anonymous();
    }

    pub(crate) fn got(&mut self) -> Vec<Vec<Vec<u8>>> {
        self.reading.clone().into_iter().map(|connection| self.world.envelopes(connection)).collect()
    }

    pub(crate) fn stored(&self, device: usize) -> Vec<Vec<u8>> {
        self.world.storage.envelopes(&self.devices[device].mailbox()).map(<[u8]>::to_vec).collect()
    }

    pub(crate) fn set(&self, name: u8) -> Option<Vec<[u8; 16]>> {
        let row = self.world.storage.set(&SetId::new([name; 16])).unwrap()?;
        Some(row.mailboxes.iter().map(|mailbox| *mailbox.as_bytes()).collect())
    }

    pub(crate) fn end(&mut self, device: usize) {
        let (member, id) = (self.devices[device].member, self.devices[device].id);
        let end = self.world.end(member, Some(id));
        assert!(matches!(self.world.enter(LeafKind::DeviceRevoked, &end), Body::Appended(_)));
    }
}

pub(crate) fn create(name: u8, places: &[[u8; 16]]) -> Request {
    let (token, name, key) = (set_token(name), vec![name; 16], KEY.to_vec());
    Request::CreateSet(proto::CreateSet { name, key, token, mailboxes: places.concat() })
}

pub(crate) fn fan(set: u8, first: u32, count: u32, id: u8, envelope: &[u8]) -> Request {
    Request::FanOut(fan_out(set, first, count, id, envelope))
}

fn fan_out(set: u8, first: u32, count: u32, id: u8, envelope: &[u8]) -> proto::FanOut {
    proto::FanOut {
        set: vec![set; 16],
        key: KEY.to_vec(),
        first,
        count,
        delivery_id: vec![id; 16],
        envelope: envelope.to_vec(),
        token: send_token(set),
    }
}

fn send_token(set: u8) -> Vec<u8> {
    token_for(Use::Send, &[set; 16])
}

pub(crate) fn set_token(set: u8) -> Vec<u8> {
    token_for(Use::Set, &[set; 16])
}

#[test]
fn what_is_sent_to_a_set_reaches_every_device_in_it_at_once_and_is_kept_once_r_relay_71() {
    let mut team = Team::new();
    assert_eq!(team.ask(fan(NAME, 0, 0, 1, b"\x17hello")), done());
    assert_eq!(
        team.got(),
        vec![vec![b"\x17hello".to_vec()]; 3],
        "the sender's too, pushed as other envelopes"
    );
    assert_eq!(team.world.storage.multiplied(), 1, "one copy");
    for device in 0..3 {
        assert_eq!(team.world.storage.multiplied(), 1, "kept as long as somebody has not read it");
        let connection = team.reading[device];
        let mailbox = team.devices[device].mailbox();
        let last = team.world.storage.mailbox(&mailbox).unwrap().unwrap().last_sequence;
        team.world.acknowledge(connection, &[last]);
        assert!(team.stored(device).is_empty());
    }
    assert_eq!(team.world.storage.multiplied(), 0, "freed with the last acknowledgement");
    assert_eq!(team.world.storage.totals().unwrap().envelope_bytes, 0);
}

#[test]
fn a_range_of_slots_gets_what_is_for_it_alone() {
    // R-RELAY-71
    let mut team = Team::new();
    assert_eq!(team.ask(fan(NAME, 1, 2, 1, b"\x19part")), done());
    assert_eq!(team.got(), [vec![], vec![b"\x19part".to_vec()], vec![]]);
    assert_eq!(team.ask(fan(NAME, 3, 0, 2, b"\x19end")), done());
    assert_eq!(team.got(), [vec![], vec![], vec![b"\x19end".to_vec()]]);
    assert_eq!(team.ask(fan(NAME, 4, 9, 3, b"\x19none")), done());
    assert_eq!(team.ask(fan(NAME, u32::MAX, u32::MAX, 4, b"\x19none")), done());
    assert_eq!(team.got(), vec![Vec::<Vec<u8>>::new(); 3]);
    assert_eq!(team.world.storage.multiplied(), 2, "nothing is kept for nobody");
}

#[test]
fn a_delivery_id_stores_once_also_when_the_set_is_gone() {
    // R-RELAY-71
    let mut team = Team::new();
    for _ in 0..2 {
        assert_eq!(team.ask(fan(NAME, 0, 0, 1, b"\x17once")), done());
    }
    assert_eq!(team.stored(0).len(), 1);
    team.world.restart();
    team.sending = team.world.anonymous();
    assert_eq!(team.ask(fan(NAME, 0, 0, 1, b"\x17once")), done());
    assert_eq!(team.stored(0).len(), 1, "after a restart");
    team.world.storage.remove_set(&SetId::new([NAME; 16])).unwrap();
    assert_eq!(team.ask(fan(NAME, 0, 0, 1, b"\x17once")), done());
    assert_eq!(team.ask(fan(NAME, 0, 0, 2, b"\x17new")), refusal(RefusalCode::NotFound));
}

#[test]
fn an_unknown_set_and_a_wrong_key_have_one_answer_r_relay_71() {
    let mut team = Team::new();
    let wrong = proto::FanOut { key: vec![1; 16], ..fan_out(NAME, 0, 0, 1, b"\x17x") };
    assert_eq!(team.ask(Request::FanOut(wrong)), refusal(RefusalCode::NotFound));
    assert_eq!(team.ask(fan(0xEE, 0, 0, 1, b"\x17x")), refusal(RefusalCode::NotFound));
    assert_eq!(team.got(), vec![Vec::<Vec<u8>>::new(); 3]);
    assert_eq!(team.ask(fan(NAME, 0, 0, 1, b"\x17x")), done(), "and no delivery was noted");
    assert_eq!(team.stored(0).len(), 1);
}

#[test]
fn what_is_malformed_is_refused_and_changes_nothing() {
    // R-RELAY-70, R-RELAY-71
    let mut team = Team::new();
    let bad = refusal(RefusalCode::BadRequest);
    for envelope in [b"".as_slice(), b"\x16x", b"\x18x", b"\x1ax"] {
        assert_eq!(team.ask(fan(NAME, 0, 0, 1, envelope)), bad, "{envelope:?}");
    }
    let long = vec![0x17; 96 * 1024 + 1];
    assert_eq!(team.ask(fan(NAME, 0, 0, 1, &long)), refusal(RefusalCode::TooLarge), "R-RELAY-20");
    let good = || fan_out(NAME, 0, 0, 1, b"\x17x");
    for malformed in [
        proto::FanOut { set: vec![NAME; 15], ..good() },
        proto::FanOut { key: vec![0; 17], ..good() },
        proto::FanOut { delivery_id: vec![], ..good() },
    ] {
        assert_eq!(team.ask(Request::FanOut(malformed)), bad);
    }
    let set = |name: &[u8], key: &[u8], mailboxes: &[u8]| {
        let (name, key, mailboxes) = (name.to_vec(), key.to_vec(), mailboxes.to_vec());
        Request::CreateSet(proto::CreateSet { name, key, token: set_token(1), mailboxes })
    };
    assert_eq!(team.ask(set(&[1; 15], &KEY, &[1; 16])), bad);
    assert_eq!(team.ask(set(&[1; 16], &KEY[1..], &[1; 16])), bad);
    assert_eq!(team.ask(set(&[1; 16], &KEY, &[1; 17])), bad);
    assert_eq!(team.ask(set(&[1; 16], &KEY, &[1; 32])), bad, "a mailbox stands once in a set");
    let many = vec![0; 16 * 16_385];
    assert_eq!(team.ask(set(&[1; 16], &KEY, &many)), refusal(RefusalCode::TooLarge), "R-RELAY-70");
    for (token, code) in [
        (vec![0; 65], RefusalCode::TooLarge),
        (set_token(2), RefusalCode::Token),
        (vec![], RefusalCode::Token),
    ] {
        let named = proto::CreateSet { token, name: vec![1; 16], key: KEY.to_vec(), mailboxes: vec![] };
        assert_eq!(team.ask(Request::CreateSet(named)), refusal(code), "R-RELAY-20, R-RELAY-57");
    }
    assert_eq!(team.set(1), None);
    assert_eq!(team.ask(set(&[1; 16], &KEY, &many[16..])), done(), "the largest");
    let reading = team.reading[0];
    let asked = team.world.ask(reading, fan(NAME, 0, 0, 1, b"\x17x"));
    assert_eq!(asked, refusal(RefusalCode::NotAuthorised), "R-RELAY-5: of an anonymous connection");
}

#[test]
fn who_has_left_sends_to_no_set_that_was_made_before_r_relay_57_r_relay_71() {
    let mut team = Team::new();
    let by = |token: Vec<u8>, id: u8| {
        Request::FanOut(proto::FanOut { token, ..fan_out(NAME, 0, 0, id, b"\x17from outside") })
    };
    let refused = refusal(RefusalCode::Token);
    assert_eq!(team.ask(by(send_token(NAME), 1)), done(), "the control");
    for token in [vec![], send_token(NAME + 1), set_token(NAME), token_for(Use::Slot, &[NAME; 16])] {
        assert_eq!(team.ask(by(token, 2)), refused);
    }
    assert_eq!(team.ask(by(vec![0; 65], 2)), refusal(RefusalCode::TooLarge));
    let desk = team.world.desk();
    let desks = team.world.login(&desk);
    let newer = proto::DeliveryKey { epoch: EPOCH + 1, key: vec![2; 32], update: None };
    assert_eq!(team.world.ask(desks, Request::SetDeliveryKey(newer)), done());
    team.got();
    // Nor does the old token learn what has been delivered.
    for id in [1, 3] {
        assert_eq!(team.ask(by(send_token(NAME), id)), refused);
    }
    assert_eq!(team.got(), vec![Vec::<Vec<u8>>::new(); 3]);
    let of_now = key(EPOCH + 1, 2).token(Use::Send, &[NAME; 16]).to_vec();
    assert_eq!(team.ask(by(of_now, 3)), done(), "the set outlives the key");
    assert_eq!(team.got(), vec![vec![b"\x17from outside".to_vec()]; 3]);
}

#[test]
fn who_may_only_send_to_sets_makes_none_r_relay_70() {
    let mut team = Team::new();
    let set = |token| {
        let (name, key) = (vec![NAME + 1; 16], KEY.to_vec());
        Request::CreateSet(proto::CreateSet { name, key, token, mailboxes: vec![] })
    };
    assert_eq!(team.ask(set(send_token(NAME + 1))), refusal(RefusalCode::Token));
    assert_eq!(team.ask(set(set_token(NAME + 1))), done(), "the control");
}

#[test]
fn zeros_name_no_set_and_no_slot_r_relay_57() {
    let mut team = Team::new();
    let zero = vec![0; 16];
    let set =
        proto::CreateSet { name: zero.clone(), key: KEY.to_vec(), token: set_token(0), mailboxes: vec![] };
    let put = proto::PutSlot {
        slot: zero.clone(),
        token: token_for(Use::Slot, &[0; 16]),
        set: vec![NAME; 16],
        key: KEY.to_vec(),
        envelope: [&[0x18][..], &[NAME; 16], &[0; 16]].concat(),
        next: None,
    };
    for request in [Request::CreateSet(set), fan(0, 0, 0, 1, b"\x17x"), Request::PutSlot(put.clone())] {
        assert_eq!(team.ask(request), refusal(RefusalCode::BadRequest));
    }
    let envelope = [&[0x18][..], &[NAME; 16], &[1; 16], b"x"].concat();
    let named = proto::PutSlot { slot: vec![1; 16], token: token_for(Use::Slot, &[1; 16]), envelope, ..put };
    assert_eq!(team.ask(Request::PutSlot(named)), done(), "the control");
}

#[test]
fn the_same_set_again_changes_nothing_and_another_conflicts_r_relay_70() {
    let mut team = Team::new();
    let places = team.places();
    assert_eq!(team.ask(create(NAME, &places)), done());
    let conflict = refusal(RefusalCode::Conflict);
    assert_eq!(team.ask(create(NAME, &places[1..])), conflict);
    let other_key = proto::CreateSet {
        name: vec![NAME; 16],
        key: vec![1; 16],
        token: set_token(NAME),
        mailboxes: places.concat(),
    };
    assert_eq!(team.ask(Request::CreateSet(other_key)), conflict);
    assert_eq!(team.set(NAME), Some(places));
}

#[test]
fn a_full_mailbox_is_left_out_and_this_is_not_told_r_relay_71() {
    let mut team = Team::with(Limits { mailbox_envelopes: 2, mailbox_bytes: 100, ..Limits::default() });
    let mailbox = team.devices[1].mailbox();
    for id in 1..=2 {
        let sending = team.sending;
        assert_eq!(team.world.deliver(sending, mailbox, id, b"x"), done());
    }
    team.got();
    assert_eq!(team.ask(fan(NAME, 0, 0, 1, b"\x17x")), done());
    assert_eq!(team.got(), [vec![b"\x17x".to_vec()], vec![], vec![b"\x17x".to_vec()]]);
    assert_eq!(team.ask(fan(NAME, 0, 0, 2, &[0x17; 99])), done(), "nor one that has no room for so much");
    assert_eq!(team.got(), vec![Vec::<Vec<u8>>::new(); 3]);
}

#[test]
fn neither_the_desk_nor_who_enrols_nor_who_is_unknown_is_given_anything() {
    // R-RELAY-71, R-RELAY-23
    let mut team = Team::new();
    let desk = team.world.desk();
    let desks = team.world.login(&desk);
    let reply = proto::Reply { mailbox: vec![7; 16], delivery_id: vec![1; 16], envelope: b"answer".to_vec() };
    assert_eq!(team.world.ask(desks, Request::Reply(reply)), done());
    let alice = *team.devices[0].id.as_bytes();
    assert_eq!(team.ask(create(2, &[DESK, [7; 16], [9; 16], alice])), done());
    assert_eq!(team.ask(fan(2, 0, 0, 1, b"\x17x")), done());
    let count = |name| team.world.storage.envelopes(&MailboxId::new(name)).count();
    assert_eq!((count(DESK), count([7; 16]), count([9; 16]), count(alice)), (0, 1, 0, 1));
}

#[test]
fn a_device_that_ends_leaves_every_set_and_takes_its_references_with_it_r_relay_75() {
    let mut team = Team::new();
    let places = team.places();
    assert_eq!(team.ask(create(2, &[places[2]])), done());
    assert_eq!(team.ask(fan(2, 0, 0, 1, b"\x17only")), done());
    assert_eq!(team.ask(fan(NAME, 0, 0, 1, b"\x17all")), done());
    assert_eq!(team.world.storage.multiplied(), 2);
    team.end(1);
    assert_eq!(team.set(NAME), Some(vec![places[0], [0; 16], [0; 16], places[3]]));
    assert_eq!(team.set(2), Some(vec![[0; 16]]));
    assert_eq!(team.world.storage.multiplied(), 1, "what it alone had is gone");
    assert_eq!(team.ask(create(NAME, &places)), done(), "the same set still is the same");
    assert_eq!(team.ask(create(3, &places)), done());
    assert_eq!(team.set(3).unwrap()[2], [0; 16], "and it enters no new one");
    assert_eq!(team.ask(fan(NAME, 0, 0, 2, b"\x17rest")), done());
    assert!(team.stored(1).is_empty());
    assert_eq!(team.stored(0).len(), 2);
}

#[test]
fn an_end_that_cannot_be_stored_leaves_the_set_as_it_was() {
    // R-RELAY-75, R-RELAY-10
    let mut team = Team::new();
    let (member, id) = (team.devices[1].member, team.devices[1].id);
    let end = team.world.end(member, Some(id));
    let desk = team.world.desk();
    let connection = team.world.login(&desk);
    team.world.storage.fail_commits(2, StorageError::Full);
    let refused = team.world.ask(connection, append(LeafKind::DeviceRevoked, &end));
    assert!(matches!(refused, Body::Refused(_)));
    assert_eq!(team.set(NAME), Some(team.places()));
    assert_eq!(team.ask(fan(NAME, 0, 0, 1, b"\x17x")), done());
    assert_eq!(team.stored(1).len(), 1);
}

#[test]
fn a_fan_out_that_cannot_be_stored_reaches_nobody() {
    // R-RELAY-10, R-RELAY-11
    let mut team = Team::new();
    team.world.storage.fail_commits(2, StorageError::Full);
    assert!(matches!(team.ask(fan(NAME, 0, 0, 1, b"\x17x")), Body::Refused(_)));
    assert_eq!((team.got(), team.world.storage.multiplied()), (vec![Vec::new(); 3], 0));
    assert_eq!(team.ask(fan(NAME, 0, 0, 1, b"\x17x")), done());
    assert_eq!(team.got(), vec![vec![b"\x17x".to_vec()]; 3]);
}

#[test]
fn a_set_that_nothing_is_sent_to_ends_and_one_that_is_used_stays_r_relay_75() {
    let mut team = Team::new();
    assert_eq!(team.ask(create(2, &[[1; 16]])), done());
    for day in 0..6 {
        team.world.wait(DAY * 6);
        team.sending = team.world.anonymous();
        assert_eq!(team.ask(fan(NAME, 0, 0, day, b"\x17x")), done());
    }
    assert_eq!((team.set(2), team.set(NAME)), (None, Some(team.places())));
    team.world.wait(DAY * 30 + HOUR);
    assert_eq!(team.set(NAME), None);
    team.world.wait(DAY * 30 + HOUR);
    assert_eq!(team.world.storage.multiplied(), 0, "R-RELAY-19: references end as envelopes do");
}

#[test]
fn sets_and_what_is_multiplied_are_limited_r_relay_20() {
    let limits = Limits { sets: 2, set_places: 6, ..Limits::default() };
    let mut team = Team::with(limits);
    let full = refusal(RefusalCode::QuotaExceeded);
    assert_eq!(team.ask(create(2, &[[1; 16], [2; 16], [3; 16]])), full, "four and three slots");
    assert_eq!(team.ask(create(2, &[[1; 16], [2; 16]])), done());
    assert_eq!(team.ask(create(3, &[])), full, "a third set");
    team.world.restart_with(Limits { all_mailbox_bytes: 2 + 3 * 128, ..limits });
    team.sending = team.world.anonymous();
    assert_eq!(team.ask(fan(NAME, 0, 0, 1, b"\x17xx")), full, "one copy and three references");
    assert_eq!(team.ask(fan(NAME, 0, 0, 1, b"\x17x")), done());
    let few = Rate { per_second: 1, burst: 2 };
    let fan_outs = Rate { per_second: 3, burst: 6 };
    team.world.restart_with(Limits { fan_outs, set_changes: few, ..Limits::default() });
    team.sending = team.world.anonymous();
    let is_limited = |answer: &Body| matches!(answer, Body::Refused(refused) if refused.code == 6 && refused.retry_after_ms == 1_000);
    for id in 2..=3 {
        assert_eq!(team.ask(fan(NAME, 0, 0, id, b"\x17x")), done());
        assert_eq!(team.ask(create(id + 1, &[])), done());
    }
    assert!(is_limited(&team.ask(fan(NAME, 0, 0, 4, b"\x17x"))));
    assert!(is_limited(&team.ask(create(6, &[]))));
    assert_eq!(team.ask(fan(NAME, 0, 0, 3, b"\x17x")), done(), "a repetition costs nothing");
    team.sending = team.world.anonymous();
    assert_eq!(team.ask(create(6, &[])), done(), "another connection has its own");
    team.world.restart_with(Limits { multiplied: Rate { per_second: 3, burst: 6 }, ..Limits::default() });
    team.sending = team.world.anonymous();
    assert_eq!(team.ask(fan(NAME, 0, 0, 10, b"\x17x")), done());
    assert_eq!(team.ask(fan(NAME, 0, 0, 11, b"\x17x")), done());
    assert!(is_limited(&team.ask(fan(NAME, 0, 0, 12, b"\x17x"))), "nine mailboxes of six, three a second");
    team.world.wait(Duration::from_secs(1));
    assert_eq!(team.ask(fan(NAME, 0, 0, 12, b"\x17x")), done());
}
