//! What the desk remembers.

use alloc::string::{String, ToString};

use super::*;
use crate::{MAX_INVITATION_LIFETIME, Member, MemberState, state};
use chancery_identity::MemberId;
use chancery_wire::records::{Records, RecordsError};

fn states(world: &World) -> Vec<(String, MemberState)> {
    let members = Desk::members(&world.store).unwrap();
    members.iter().map(|Member { handle, state, .. }| (handle.to_string(), *state)).collect()
}

#[test]
fn a_handle_is_taken_while_it_is_invited_and_for_ever_once_enrolled() {
    // R-ORG-9
    let mut world = World::new(20);
    let link = world.invite("alice");
    assert_eq!(world.try_invite("alice", WEEK).unwrap_err(), OrgError::HandleTaken);
    let alice = world.device();
    world.enrol(&link, &alice).unwrap();
    assert_eq!(world.try_invite("alice", WEEK).unwrap_err(), OrgError::HandleTaken);
    world.now = NOW.after(WEEK);
    assert_eq!(world.try_invite("alice", WEEK).unwrap_err(), OrgError::HandleTaken);
}

#[test]
fn nobody_is_given_a_handle_that_reads_like_an_identifier_r_org_71() {
    let mut world = World::new(22);
    for (handle, refused) in [("0123456789abcdef".repeat(2), true), ("0123456789abcde".repeat(2), false)] {
        let expected = if refused { Err(OrgError::HandleNotAllowed) } else { Ok(()) };
        assert_eq!(world.try_invite(&handle, WEEK).map(drop), expected, "{handle}");
    }
}

#[test]
fn an_invitation_that_expired_unused_is_replaced_and_the_old_link_ends() {
    // R-ORG-9
    let mut world = World::new(21);
    let old = world.invite("alice");
    let member = Desk::members(&world.store).unwrap()[0].member_id;
    world.now = NOW.after(WEEK);
    let new = world.invite("alice");
    let alice = world.device();
    world.now = NOW;
    assert_eq!(world.enrol(&old, &alice).unwrap_err(), EnrolError::InvitationUnknown);
    world.now = NOW.after(WEEK);
    assert_eq!(world.enrol(&new, &alice).unwrap().credential.member_id(), member);
    assert_eq!(states(&world), [("alice".into(), MemberState::Enrolled)]);
}

#[test]
fn lifetimes_have_bounds() {
    let mut world = World::new(22);
    let mut check = |lifetime| world.try_invite("alice", lifetime).map(|invited| invited.link.expires);
    assert_eq!(check(Duration::ZERO), Err(OrgError::LifetimeOutOfRange));
    assert_eq!(check(Duration::from_nanos(1)), Err(OrgError::LifetimeOutOfRange));
    let most = MAX_INVITATION_LIFETIME;
    assert_eq!(check(most), Ok(NOW.after(most)));
    assert_eq!(check(most + Duration::from_millis(1)), Err(OrgError::LifetimeOutOfRange));
}

#[test]
fn a_member_identifier_is_never_drawn_twice() {
    // R-ORG-9: with a broken generator the desk stops instead of issuing an identifier again.
    let mut world = World::new(23);
    world.rng = Box::new(seeded([0; 32]));
    world.invite("alice");
    world.rng = Box::new(seeded([0; 32]));
    assert_eq!(world.try_invite("bob", WEEK).unwrap_err(), OrgError::IdentifierTaken);
}

#[test]
fn members_are_listed_in_the_order_of_their_invitations() {
    let mut world = World::new(24);
    let link = world.invite("bob");
    world.invite("alice");
    let bob = world.device();
    world.enrol(&link, &bob).unwrap();
    let open = MemberState::Open { expires: NOW.after(WEEK) };
    assert_eq!(states(&world), [("bob".into(), MemberState::Enrolled), ("alice".into(), open)]);
}

#[test]
fn the_index_goes_on_when_a_chunk_is_full() {
    let mut store = Store::new();
    let ids: Vec<MemberId> = (0_u128..2050).map(|number| MemberId::new(number.to_be_bytes())).collect();
    for id in &ids {
        let mut batch = Batch::default();
        state::index_member(&store, &mut batch, id).unwrap();
        assert!(batch.0.values().flatten().all(|value| value.len() <= 16 * 1024));
        apply(&mut store, &batch);
    }
    assert_eq!(state::member_ids(&store).unwrap(), ids);
}

#[test]
fn a_crash_between_answer_and_publication_loses_no_entry() {
    // R-ORG-12
    let mut world = World::new(25);
    for who in ["alice", "bob"] {
        let (link, keys) = (world.invite(who), world.device());
        world.enrol(&link, &keys).unwrap();
    }
    let [alice, bob] = &Desk::pending_directory(&world.store).unwrap()[..] else { panic!("two entries") };
    let published = |store: &Store, version| Desk::directory_published(store, &alice.entry_id, version, 0);
    assert!(published(&world.store, 0).unwrap().is_empty(), "an older version does not count");
    let batch = published(&world.store, alice.version).unwrap();
    apply(&mut world.store, &batch);
    assert_eq!(Desk::pending_directory(&world.store).unwrap(), core::slice::from_ref(bob));
    assert!(published(&world.store, alice.version).unwrap().is_empty());
    let entry = world.public.open_directory_entry(&state::settings(&world.store).unwrap().directory_key, bob);
    assert_eq!(entry.unwrap().handle(), &handle("bob"));
}

#[test]
fn an_entry_that_the_relay_has_newer_is_not_sent_for_ever_r_org_12() {
    let mut world = World::new(31);
    let (link, keys) = (world.invite("alice"), world.device());
    world.enrol(&link, &keys).unwrap();
    let [entry] = Desk::pending_directory(&world.store).unwrap().try_into().unwrap();
    let superseded =
        |store: &Store, version| Desk::directory_superseded(store, &entry.entry_id, version).unwrap();
    assert!(superseded(&world.store, entry.version - 1).is_empty(), "a newer one came up meanwhile");
    let batch = superseded(&world.store, entry.version);
    apply(&mut world.store, &batch);
    assert_eq!(Desk::pending_directory(&world.store), Ok(Vec::new()));
}

/// Publishes everything that is pending to a relay whose directory then ends with `directory`.
fn publish(world: &mut World, directory: u64) -> Vec<proto::SealedDirectoryEntry> {
    let pending = Desk::pending_directory(&world.store).unwrap();
    for entry in &pending {
        let batch = Desk::directory_published(&world.store, &entry.entry_id, entry.version, directory);
        apply(&mut world.store, &batch.unwrap());
    }
    assert_eq!(Desk::pending_directory(&world.store), Ok(Vec::new()));
    pending
}

/// A relay says at login what its directory ends with; returns everything that is published then.
fn login(world: &mut World, directory: u64) -> Vec<proto::SealedDirectoryEntry> {
    let batch = Desk::compare_directory(&world.store, directory).unwrap();
    apply(&mut world.store, &batch);
    let mut published = Vec::new();
    while let Some(batch) = world.desk.catch_up(&world.store, NOW, &mut *world.rng).unwrap() {
        apply(&mut world.store, &batch);
        published.extend(publish(world, directory.saturating_add(1)));
    }
    published
}

#[test]
fn a_relay_that_was_put_back_is_given_every_entry_again_r_org_23() {
    let mut world = World::new(28);
    let mut entries = Vec::new();
    for number in 0..70_u64 {
        let link = world.invite(&alloc::format!("member{number}"));
        if number % 10 == 0 {
            let keys = world.device();
            world.enrol(&link, &keys).unwrap();
            entries.extend(publish(&mut world, 1_000 + number));
        }
    }
    assert_eq!(entries.len(), 7);
    assert_eq!(login(&mut world, 1_060), [], "an up-to-date relay costs nothing");
    assert!(Desk::compare_directory(&world.store, 1_060).unwrap().is_empty());
    let sorted = |mut entries: Vec<proto::SealedDirectoryEntry>| {
        entries.sort_by(|a, b| a.entry_id.cmp(&b.entry_id));
        entries
    };
    let entries = sorted(entries);
    assert_eq!(sorted(login(&mut world, 1_030)), entries, "byte for byte, so that what is there stays");
    assert_eq!(login(&mut world, 1_031), [], "and now it has them");
    assert_eq!(sorted(login(&mut world, 0)), entries, "an empty relay");
}

#[test]
fn a_desk_that_kept_nothing_signs_its_entries_anew_r_org_23() {
    let mut world = World::new(29);
    let (link, keys) = (world.invite("alice"), world.device());
    let enrolment = world.enrol(&link, &keys).unwrap();
    let first = publish(&mut world, 5).remove(0);
    world.store.retain(|key, _| ![0x0206, 0x0209].contains(&key.table.0));
    let [again] = login(&mut world, 5).try_into().unwrap();
    assert_eq!((again.version, &again.entry_id), (first.version + 1, &first.entry_id));
    let key = state::settings(&world.store).unwrap().directory_key;
    let entry = world.public.open_directory_entry(&key, &again).unwrap();
    assert_eq!(entry.device_ids(), [enrolment.credential.device_id()]);
}

#[test]
fn a_crash_while_catching_up_skips_nobody_r_org_23() {
    let mut world = World::new(30);
    for number in 0..3 {
        let (link, keys) = (world.invite(&alloc::format!("member{number}")), world.device());
        world.enrol(&link, &keys).unwrap();
    }
    publish(&mut world, 7);
    let batch = Desk::compare_directory(&world.store, 3).unwrap();
    apply(&mut world.store, &batch);
    let batch = world.desk.catch_up(&world.store, NOW, &mut *world.rng).unwrap().unwrap();
    apply(&mut world.store, &batch);
    // One entry goes out; then the desk dies and another relay login says what that entry left.
    let one = Desk::pending_directory(&world.store).unwrap().remove(0);
    let batch = Desk::directory_published(&world.store, &one.entry_id, one.version, 8).unwrap();
    apply(&mut world.store, &batch);
    assert!(Desk::compare_directory(&world.store, 8).unwrap().is_empty());
    assert_eq!(publish(&mut world, 9).len(), 2);
}

/// Answers a number of reads, then fails.
struct Failing<'a>(&'a Store, core::cell::Cell<usize>);

impl Records for Failing<'_> {
    fn get(&self, key: &RecordKey) -> Result<Option<Vec<u8>>, RecordsError> {
        let left = self.1.get().checked_sub(1).ok_or(RecordsError::Io)?;
        self.1.set(left);
        Records::get(self.0, key)
    }
}

#[test]
fn a_store_that_fails_at_any_read_gives_no_invitation_and_no_answer() {
    let mut world = World::new(26);
    let (link, keys) = (world.invite("alice"), world.device());
    let pending = world.request(&link, &keys);
    let mut reads = 0;
    let answered = loop {
        let records = Failing(&world.store, core::cell::Cell::new(reads));
        match world.desk.answer(&records, pending.envelope(), NOW, &mut *world.rng) {
            Ok(answered) => break answered,
            Err(error) => assert_eq!(error, OrgError::Records(RecordsError::Io)),
        }
        reads += 1;
    };
    assert!(reads >= 4 && !answered.batch.is_empty());
    let bob = handle("bob");
    let relay = world.public.relay().unwrap();
    let invite =
        Invite { handle: &bob, name: &name("Bob"), relay, lifetime: WEEK, terms: crate::Terms::default() };
    for reads in 0..4 {
        let records = Failing(&world.store, core::cell::Cell::new(reads));
        let error = world.desk.invite(&records, invite, NOW, &mut *world.rng).unwrap_err();
        assert_eq!(error, OrgError::Records(RecordsError::Io));
    }
}

#[test]
fn an_empty_or_damaged_store_is_named() {
    let mut world = World::new(27);
    let link = world.invite("alice");
    let whole = world.store.clone();
    world.store.clear();
    assert_eq!(world.try_invite("bob", WEEK).unwrap_err(), OrgError::NotFounded);
    let keys = world.device();
    let pending = world.request(&link, &keys);
    assert_eq!(world.answer(pending.envelope()).unwrap_err(), OrgError::NotFounded);
    // Any record cut to nonsense is an error or, where it is not read, without effect; never a panic.
    for key in whole.keys() {
        world.store = whole.clone();
        world.store.insert(key.clone(), [0xFF; 5].to_vec());
        let _ = world.answer(pending.envelope());
        let _ = world.try_invite("alice", WEEK);
        let unread = [0x0200, 0x0202].contains(&key.table.0) || key.table.0 >= 0x0220;
        assert!(Desk::members(&world.store).is_err() || unread, "{key:?}");
        let _ = Desk::pending_directory(&world.store);
    }
}
