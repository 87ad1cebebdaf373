//! Guests and bots at the desk: on what terms they are enrolled, what guests are told, and who ends with whom.

use super::*;
use crate::guests::{DEFAULT_LIMITED_VALIDITY, DirectoryAccess};
use crate::{CREDENTIAL_VALIDITY, OffboardingPlan, Terms};
use alloc::string::String;
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_identity::delivery::{BLOB_TOKEN_NAME, DeliveryKey};
use chancery_identity::guest::{GuestPart, part_id};
use chancery_identity::{Capabilities, DeviceId, Kind, MemberId};
use chancery_wire::encode;
use chancery_wire::records::Records;

const DAY: Duration = Duration::from_secs(24 * 3600);

impl World {
    fn try_invite_as(&mut self, who: &str, terms: Terms<'_>) -> Result<Invited, OrgError> {
        let (handle, name) = (handle(who), name(who));
        let relay = self.public.relay().unwrap();
        let invite = Invite { handle: &handle, name: &name, relay, lifetime: WEEK, terms };
        self.desk.invite(&self.store, invite, self.now, &mut *self.rng)
    }

    fn enrol_as(&mut self, who: &str, terms: Terms<'_>) -> Enrolment {
        let invited = self.try_invite_as(who, terms).unwrap();
        apply(&mut self.store, &invited.batch);
        let keys = self.device();
        self.enrol(&invited.link, &keys).unwrap()
    }

    fn guest(&mut self, who: &str, reach: &[MemberId]) -> Enrolment {
        self.enrol_as(who, Terms { kind: Kind::Guest, reach, ..Terms::default() })
    }

    fn person(&mut self, who: &str) -> MemberId {
        self.enrol_as(who, Terms::default()).credential.member_id()
    }

    /// What waits to be published for a guest's device, opened.
    fn told(&self, guest: &Enrolment) -> Vec<GuestPart> {
        let DirectoryAccess::Guest(key) = &guest.directory else { panic!("no guest") };
        let own = guest.credential.device_id();
        let parts = pending_entries(&self.store).into_iter().filter(|it| it.reader == own.as_bytes());
        parts.map(|part| key.open((&self.public.id(), &own), &part).unwrap()).collect()
    }

    fn handles(&self, guest: &Enrolment) -> Vec<String> {
        let name = |part: GuestPart| {
            self.public.verify_directory_entry(part.entry).unwrap().handle().as_str().into()
        };
        let mut handles: Vec<_> = self.told(guest).into_iter().map(name).collect();
        handles.sort();
        handles
    }

    fn publish_all(&mut self) {
        for entry in pending_entries(&self.store) {
            let batch = Desk::directory_published(&self.store, &entry.entry_id, entry.version, 0).unwrap();
            apply(&mut self.store, &batch);
        }
    }

    fn offboard_with_plan(&mut self, who: &str) -> OffboardingPlan {
        let plan = self.desk.plan_offboarding(&self.store, &handle(who), self.now).unwrap();
        let to = (&self.store as &dyn Records, &handle(who));
        let batch = self.desk.offboard(&self.admin, to, self.now, &mut *self.rng).unwrap();
        apply(&mut self.store, &batch);
        plan
    }

    fn booked(&self, who: &str) -> crate::Member {
        Desk::members(&self.store).unwrap().into_iter().find(|it| it.handle.as_str() == who).unwrap()
    }
}

#[test]
fn terms_that_suit_nobody_are_refused_r_org_50() {
    let mut world = World::new(150);
    let (alice, bot) = (world.person("alice"), Kind::Bot);
    let ghost = MemberId::new([9; 16]);
    let guest = world.guest("carol", &[alice]).credential.member_id();
    let long: Vec<_> = (0..=256).map(|n: u16| MemberId::new([n.to_be_bytes()[1]; 16])).collect();
    let reach = |kind, reach| Terms { kind, reach, ..Terms::default() };
    for terms in [
        reach(Kind::Guest, &[]),
        reach(Kind::GuestBot, &[]),
        reach(Kind::Person, &[alice]),
        reach(bot, &[ghost]),
        reach(bot, &[guest]),
        reach(Kind::Guest, &[alice, guest]),
        reach(bot, &long),
    ] {
        assert_eq!(world.try_invite_as("dora", terms).unwrap_err(), OrgError::ReachOutOfRange, "{terms:?}");
    }
    let lasting = |kind, validity| Terms { validity: Some(validity), reach: &[], kind, unit: None };
    for terms in [
        lasting(Kind::Person, DAY),
        lasting(bot, Duration::ZERO),
        lasting(bot, CREDENTIAL_VALIDITY + Duration::from_millis(1)),
    ] {
        assert_eq!(world.try_invite_as("dora", terms).unwrap_err(), OrgError::ValidityOutOfRange);
    }
    assert!(world.try_invite_as("dora", lasting(bot, CREDENTIAL_VALIDITY)).is_ok());
}

#[test]
fn a_bot_is_a_member_with_an_end_and_a_unit_is_in_the_entry_r_org_51() {
    let mut world = World::new(151);
    let (alice, unit) = (world.person("alice"), name("Works"));
    let terms = Terms { kind: Kind::Bot, reach: &[alice], validity: Some(3 * DAY), unit: Some(&unit) };
    let bot = world.enrol_as("robo", terms);
    assert_eq!(bot.credential.capabilities(), Capabilities::MEMBER.union(Capabilities::BOT));
    assert_eq!(bot.credential.not_after(), NOW.after(3 * DAY));
    let key = bot.directory.keys().unwrap().key();
    let entry = pending_entries(&world.store).into_iter().next_back().unwrap();
    let entry = world.public.open_directory_entry(key, &entry).unwrap();
    assert_eq!((entry.kind(), entry.reach(), entry.unit()), (Kind::Bot, [alice].as_slice(), Some(&unit)));
    assert_eq!(world.booked("robo").ends, Some(NOW.after(3 * DAY)));
    let plain = world.enrol_as("other", Terms { kind: Kind::Bot, ..Terms::default() });
    assert_eq!(plain.credential.not_after(), NOW.after(DEFAULT_LIMITED_VALIDITY));
}

#[test]
fn a_later_device_keeps_the_kind_and_ends_with_the_first_r_org_51() {
    let mut world = World::new(152);
    let alice = world.person("alice");
    let first = world.guest("carol", &[alice]);
    world.now = NOW.after(60 * DAY);
    let (carol, relay) = (handle("carol"), world.public.relay().unwrap().clone());
    let invite = |world: &mut World| {
        let name = name("Carol");
        let terms = Terms::default();
        let invite = Invite { handle: &carol, name: &name, relay: &relay, lifetime: WEEK, terms };
        world.desk.invite_device(&world.store, invite, world.now, &mut *world.rng)
    };
    let invited = invite(&mut world).unwrap();
    apply(&mut world.store, &invited.batch);
    let keys = world.device();
    let second = world.enrol(&invited.link, &keys).unwrap();
    assert_eq!(second.credential.capabilities(), Capabilities::GUEST);
    assert_eq!(second.credential.not_after(), first.credential.not_after());
    assert!(matches!(second.directory, DirectoryAccess::Guest(_)));
    assert_eq!(world.handles(&second), ["alice", "carol"], "of the second device too");
    let last = invite(&mut world).unwrap();
    apply(&mut world.store, &last.batch);
    world.now = first.credential.not_after();
    assert_eq!(invite(&mut world).unwrap_err(), OrgError::ValidityOutOfRange);
}

#[test]
fn a_guest_is_told_of_its_reach_and_has_no_key_of_the_directory_r_org_52() {
    let mut world = World::new(153);
    let (alice, _bob) = (world.person("alice"), world.person("bob"));
    let places = crate::state::member_numbers(&world.store).unwrap();
    let carol = world.guest("carol", &[alice]);
    assert_eq!(carol.credential.capabilities(), Capabilities::GUEST);
    assert_eq!(crate::state::member_numbers(&world.store).unwrap(), places, "no place in the tree");
    assert_eq!(world.handles(&carol), ["alice", "carol"]);
    let key = crate::state::settings(&world.store).unwrap().directory_key;
    let delivery = DeliveryKey::of(&world.public.id(), &key);
    let tokens: Vec<_> = world.told(&carol).into_iter().flat_map(|part| part.tokens).collect();
    let own = *carol.credential.device_id().as_bytes();
    assert_eq!(tokens.len(), 3, "a device of each, and blobs");
    for name in [own, BLOB_TOKEN_NAME] {
        assert!(tokens.contains(&(name, delivery.token(&name))));
    }
    // Names stand for one device and one member.
    let id = part_id(&world.public.id(), &carol.credential.device_id(), &alice);
    assert!(pending_entries(&world.store).iter().any(|entry| entry.entry_id == id));
    assert_ne!(id, part_id(&world.public.id(), &DeviceId::new([1; 16]), &alice));
}

#[test]
fn a_guest_is_told_anew_when_its_reach_or_the_key_changes_and_not_otherwise_r_org_53() {
    let mut world = World::new(154);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let carol = world.guest("carol", &[alice]);
    world.publish_all();
    world.person("dora");
    assert!(world.told(&carol).is_empty(), "of nobody else");
    world.publish_all();
    let gone = world.desk.remove_devices(&world.store, (&alice, None), world.now, &mut *world.rng).unwrap();
    apply(&mut world.store, &gone.batch);
    let told = world.told(&carol);
    assert_eq!(told.len(), 2, "with the key all tokens are new");
    assert!(told.iter().all(|part| part.epoch == 2));
    world.publish_all();
    let gone = world.desk.remove_devices(&world.store, (&bob, None), world.now, &mut *world.rng).unwrap();
    apply(&mut world.store, &gone.batch);
    assert_eq!(world.told(&carol).len(), 2);
}

#[test]
fn the_key_changes_when_a_guest_goes_so_that_its_tokens_end_r_org_55() {
    let mut world = World::new(155);
    let alice = world.enrol_as("alice", Terms::default());
    let carol = world.guest("carol", &[alice.credential.member_id()]);
    let keys = alice.directory.keys().unwrap();
    let member = carol.credential.member_id();
    let gone = world.desk.remove_devices(&world.store, (&member, None), world.now, &mut *world.rng).unwrap();
    assert!(!gone.key_stays);
    let update = world.public.open_directory_key_update(&gone.entries[0]).unwrap();
    assert!(update.nodes().is_empty(), "a guest knew no key of the tree");
    assert_eq!(keys.follow(&world.public.id(), &update).unwrap().key().epoch(), 2);
}

#[test]
fn who_is_left_with_nobody_ends_with_the_leaver_and_the_others_lose_it_from_their_reach_r_org_54() {
    let mut world = World::new(156);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let bot = Terms { kind: Kind::Bot, reach: &[alice], ..Terms::default() };
    let robo = world.enrol_as("robo", bot).credential.member_id();
    let carol = world.guest("carol", &[alice]);
    world.guest("chain", &[robo, alice]);
    let dora = world.guest("dora", &[alice, bob]);
    let everybody = world.enrol_as("all", Terms { kind: Kind::Bot, ..Terms::default() });
    world.publish_all();
    let plan = world.offboard_with_plan("alice");
    let issued: Vec<_> = plan.issued.iter().map(|issued| issued.handle.as_str()).collect();
    assert_eq!(issued, ["robo", "carol", "chain"]);
    for who in ["alice", "robo", "carol", "chain"] {
        assert!(matches!(world.booked(who).state, crate::MemberState::Ended { .. }), "{who}");
    }
    let report = Desk::offboarding(&world.store, &world.public, &handle("alice")).unwrap().unwrap();
    assert_eq!(report.plan.issued, plan.issued);
    assert!(Desk::offboarding(&world.store, &world.public, &handle("carol")).unwrap().is_some());
    assert_eq!(world.booked("dora").reach, [bob]);
    assert_eq!(world.handles(&dora), ["bob", "dora"]);
    assert!(world.told(&carol).is_empty());
    assert_eq!(world.booked("all").reach, []);
    assert_eq!(world.booked("all").member_id, everybody.credential.member_id());
    let ended = Desk::queued_statements(&world.store).unwrap();
    let ended = ended.iter().filter(|it| it.kind == chancery_identity::log::LeafKind::MemberRevoked);
    assert_eq!(ended.count(), 4);
}

#[test]
fn a_relay_that_lost_it_gets_what_guests_were_told_again_r_org_53() {
    let mut world = World::new(157);
    let alice = world.person("alice");
    let carol = world.guest("carol", &[alice]);
    world.publish_all();
    let behind = Desk::compare_directory(&world.store, 77).unwrap();
    apply(&mut world.store, &behind);
    let again = world.desk.catch_up(&world.store, world.now, &mut *world.rng).unwrap().unwrap();
    apply(&mut world.store, &again);
    assert_eq!(world.handles(&carol), ["alice", "carol"]);
}

#[test]
fn a_guest_takes_no_key_of_the_directory_and_a_member_none_of_a_guest_r_org_11() {
    let mut world = World::new(158);
    let alice = world.person("alice");
    let terms = Terms { kind: Kind::Guest, reach: &[alice], ..Terms::default() };
    let link = world.try_invite_as("carol", terms).unwrap();
    apply(&mut world.store, &link.batch);
    let (link, keys) = (link.link, world.device());
    let guest = world.enrol(&link, &keys).unwrap().credential.signed().clone();
    let (bob_link, bob_keys) = (world.invite("bob"), world.device());
    let bob = world.enrol(&bob_link, &bob_keys).unwrap().credential.signed().clone();
    let of_guest = proto::Enrolled {
        credential: Some(guest),
        handle: "carol".into(),
        name: "Carol".into(),
        organisation_name: "Acme".into(),
        guest_key: [1; 32].to_vec(),
        ..Default::default()
    };
    let tree = proto::Enrolled {
        directory_key: [1; 32].to_vec(),
        key_epoch: 1,
        key_path: [2; 22 * 32].to_vec(),
        ..of_guest.clone()
    };
    let of_member = proto::Enrolled { credential: Some(bob), guest_key: Vec::new(), ..tree.clone() };
    let mut takes = |enrolled: proto::Enrolled, by_guest: bool| {
        let (link, keys) = if by_guest { (&link, &keys) } else { (&bob_link, &bob_keys) };
        let pending = world.request(link, keys);
        let outcome = Some(proto::enrolment_answer::Outcome::Enrolled(enrolled));
        let content = SecretBytes::new(encode(&proto::EnrolmentAnswer { outcome }));
        let key = Secret::from_slice(&pending.to_secret_bytes().expose()[17..49]).unwrap();
        let reply = crate::channel::seal_answer(&key, &content, &mut *world.rng).unwrap();
        pending.complete(&world.public, keys, &reply, NOW).is_ok()
    };
    assert!(takes(of_guest.clone(), true));
    assert!(takes(of_member.clone(), false));
    assert!(!takes(tree, true));
    assert!(!takes(proto::Enrolled { slot: 1, ..of_guest.clone() }, true));
    assert!(!takes(proto::Enrolled { guest_key: [1; 31].to_vec(), ..of_guest.clone() }, true));
    assert!(!takes(proto::Enrolled { guest_key: Vec::new(), ..of_guest }, true));
    assert!(!takes(proto::Enrolled { guest_key: [1; 32].to_vec(), ..of_member }, false));
}
