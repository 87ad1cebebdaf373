//! Guests and bots at the desk: on what terms they are enrolled, what guests are told, and who ends with whom.

use super::*;
use crate::guests::{DEFAULT_LIMITED_VALIDITY, DirectoryAccess};
use crate::{CREDENTIAL_VALIDITY, OffboardingPlan, Terms};
use alloc::string::String;
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_identity::delivery::{BLOB_TOKEN_NAME, DeliveryKey, Use};
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

    /// Who answers for guests and bots, if a test does not say.
    fn keeper(&mut self) -> MemberId {
        if let Some(id) = crate::state::member_of_handle(&self.store, &handle("keeper")).unwrap() {
            return id;
        }
        let invited = self.try_invite_as("keeper", Terms::default()).unwrap();
        apply(&mut self.store, &invited.batch);
        invited.member_id
    }

    fn enrol_as(&mut self, who: &str, terms: Terms<'_>) -> Enrolment {
        let owner = terms.owner.or_else(|| (terms.kind != Kind::Person).then(|| self.keeper()));
        let terms = Terms { owner, ..terms };
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
    fn told(&mut self, guest: &Enrolment) -> Vec<GuestPart> {
        let DirectoryAccess::Guest(key) = &guest.directory else { panic!("no guest") };
        let own = guest.credential.device_id();
        self.tell_all();
        let parts = pending_entries(&self.store).into_iter().filter(|it| it.reader == own.as_bytes());
        parts.map(|part| key.open((&self.public.id(), &own), &part).unwrap()).collect()
    }

    fn tell_all(&mut self) {
        while let Some(told) = self.desk.tell_next(&self.store, self.now, &mut *self.rng).unwrap() {
            apply(&mut self.store, &told);
        }
    }

    fn handles(&mut self, guest: &Enrolment) -> Vec<String> {
        let public = self.public.clone();
        let name =
            |part: GuestPart| public.verify_directory_entry(part.entry).unwrap().handle().as_str().into();
        let mut handles: Vec<_> = self.told(guest).into_iter().map(name).collect();
        handles.sort();
        handles
    }

    fn publish_all(&mut self) {
        self.tell_all();
        let epoch = self.desk.delivery_key(&self.store).unwrap().epoch();
        let given = Desk::delivery_key_given(&self.store, epoch, true).unwrap();
        apply(&mut self.store, &given);
        for update in Desk::pending_directory(&self.store).unwrap() {
            let batch = Desk::directory_published(&self.store, &update.entry_id, update.version, 0).unwrap();
            apply(&mut self.store, &batch);
        }
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
    let owner = Some(alice);
    let reach = |kind, reach| Terms { kind, reach, owner, ..Terms::default() };
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
    let lasting = |kind, validity| {
        let owner = owner.filter(|_| kind != Kind::Person);
        Terms { validity: Some(validity), kind, owner, ..Terms::default() }
    };
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
    let terms =
        Terms { kind: Kind::Bot, reach: &[alice], validity: Some(3 * DAY), unit: Some(&unit), owner: None };
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
    for (of, name) in [(Use::Mailbox, own), (Use::Blob, BLOB_TOKEN_NAME)] {
        assert!(tokens.contains(&(name, delivery.token(of, &name))));
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
    let terms = Terms { kind: Kind::Guest, reach: &[alice], owner: Some(alice), ..Terms::default() };
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

#[test]
fn a_guest_or_bot_needs_an_owner_who_is_a_member_and_nobody_else_has_one_r_org_64() {
    let mut world = World::new(159);
    let alice = world.person("alice");
    let robo = world.enrol_as("robo", Terms { kind: Kind::Bot, owner: Some(alice), ..Terms::default() });
    assert_eq!(world.booked("robo").owner, Some(alice));
    let (robo, ghost) = (robo.credential.member_id(), MemberId::new([9; 16]));
    for (kind, owner) in
        [(Kind::Bot, None), (Kind::Bot, Some(robo)), (Kind::Bot, Some(ghost)), (Kind::Person, Some(alice))]
    {
        let terms = Terms { kind, owner, ..Terms::default() };
        assert_eq!(world.try_invite_as("dora", terms).unwrap_err(), OrgError::OwnerNotAllowed, "{terms:?}");
    }
    world.offboard_with_plan("alice");
    let terms = Terms { kind: Kind::Bot, owner: Some(alice), ..Terms::default() };
    assert_eq!(world.try_invite_as("late", terms).unwrap_err(), OrgError::OwnerNotAllowed, "who has left");
}

#[test]
fn what_a_leaver_owns_ends_too_and_nothing_is_complete_before_it_is_cut_r_org_65() {
    let mut world = World::new(160);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let owned = Terms { kind: Kind::Bot, reach: &[bob], owner: Some(alice), ..Terms::default() };
    let robo = world.enrol_as("robo", owned).credential.member_id();
    world.enrol_as("all", Terms { kind: Kind::Bot, owner: Some(alice), ..Terms::default() });
    let stays = [alice, bob];
    let dora = Terms { kind: Kind::Guest, reach: &stays, owner: Some(bob), ..Terms::default() };
    world.enrol_as("dora", dora);
    let enter = |world: &mut World, entered: &dyn Fn(&crate::Queued) -> bool| {
        while let Some(next) = Desk::next_statement(&world.store).unwrap() {
            if !entered(&next) {
                return;
            }
            let batch =
                Desk::entered(&world.store, next.number, crate::Entered::At(next.number), world.now).unwrap();
            apply(&mut world.store, &batch);
        }
    };
    enter(&mut world, &|_| true);
    world.publish_all();
    let plan = world.offboard_with_plan("alice");
    let handles = |all: &[crate::Issued]| all.iter().map(|it| it.handle.clone()).collect::<Vec<_>>();
    assert_eq!(handles(&plan.issued), ["robo", "all"]);
    assert_eq!(handles(&plan.staying), ["dora"]);
    assert!(plan.issued.iter().all(|issued| issued.owner == Some(alice)));
    // Everything enters the log but the end of the bot, which is dropped.
    let is_robo = |queued: &crate::Queued| {
        let body: proto::RevocationBody = crate::queue::body(&queued.statement).unwrap_or_default();
        queued.kind == chancery_identity::log::LeafKind::MemberRevoked && body.member_id == robo.as_bytes()
    };
    enter(&mut world, &|queued| !is_robo(queued));
    world.publish_all();
    let report =
        |world: &World| Desk::offboarding(&world.store, &world.public, &handle("alice")).unwrap().unwrap();
    assert_eq!(report(&world).issued[0].revocation, crate::OffboardingStep::Queued);
    assert!(report(&world).is_waiting());
    let next = Desk::next_statement(&world.store).unwrap().unwrap();
    let dropped = world.desk.drop_statement(&world.store, (next.number, "end"), world.now, &mut *world.rng);
    apply(&mut world.store, &dropped.unwrap());
    enter(&mut world, &|_| true);
    world.publish_all();
    assert!(report(&world).is_cut(), "she herself is out");
    assert!(!report(&world).is_complete() && !report(&world).is_waiting());
    // Offboarding her again signs it anew.
    let to = (&world.store as &dyn Records, &handle("alice"));
    let again = world.desk.offboard(&world.admin, to, world.now, &mut *world.rng).unwrap();
    apply(&mut world.store, &again);
    assert!(report(&world).is_waiting());
    enter(&mut world, &|_| true);
    world.publish_all();
    assert!(report(&world).is_complete());
    assert_eq!(handles(&report(&world).plan.staying), ["dora"]);
}

#[test]
fn devices_of_guests_and_bots_whose_time_is_over_are_ended_by_the_desk_r_org_66() {
    let mut world = World::new(161);
    let alice = world.person("alice");
    let limited = |kind| Terms { kind, validity: Some(3 * DAY), owner: Some(alice), ..Terms::default() };
    let robo = world.enrol_as("robo", limited(Kind::Bot));
    let carol = world.enrol_as("carol", Terms { reach: &[alice], ..limited(Kind::Guest) });
    let dora = world.guest("dora", &[alice]);
    world.publish_all();
    let end = world.booked("robo").ends.unwrap();
    world.now = Timestamp::from_millis(end.as_millis() - 1);
    assert_eq!(world.desk.end_expired(&world.store, world.now, &mut *world.rng), Ok(None));
    world.now = end;
    let epoch = world.desk.delivery_key(&world.store).unwrap().epoch();
    let ended = world.desk.end_expired(&world.store, end, &mut *world.rng).unwrap().unwrap();
    apply(&mut world.store, &ended);
    assert_eq!(world.desk.end_expired(&world.store, end, &mut *world.rng), Ok(None), "once");
    assert!(world.desk.delivery_key(&world.store).unwrap().epoch() > epoch, "no token of theirs counts");
    let ends: Vec<_> = Desk::queued_statements(&world.store).unwrap();
    let ends = ends.iter().filter(|it| it.kind == chancery_identity::log::LeafKind::DeviceRevoked);
    let ends: Vec<DeviceId> = ends
        .map(|it| crate::queue::body::<proto::RevocationBody>(&it.statement).unwrap().device_id)
        .map(|id| DeviceId::from_bytes(&id).unwrap())
        .collect();
    assert_eq!(ends, [robo.credential.device_id(), carol.credential.device_id()]);
    for who in ["robo", "carol"] {
        let id = world.booked(who).member_id;
        assert!(crate::state::member(&world.store, &id).unwrap().unwrap().device_ids.is_empty(), "{who}");
    }
    let told = world.told(&dora);
    assert!(told.len() == 2 && told.iter().all(|part| part.epoch > epoch), "who stays gets new tokens");
    let acts = Desk::acts(&world.store, &world.public).unwrap();
    let acts: Vec<_> = acts.iter().filter(|act| act.actor == "desk").collect();
    let acts: Vec<_> = acts.iter().map(|act| (act.action.as_str(), act.target.as_str())).collect();
    assert_eq!(acts, [("expire", "robo"), ("expire", "carol")]);
}

#[test]
fn a_removal_among_two_thousand_devices_of_guests_fits_the_store_r_org_67() {
    /// The store's limit for a record, 1 MiB.
    const MAX_RECORD: usize = 1 << 20;
    const DEVICES: u8 = 16;
    let mut world = World::new(162);
    let reach: Vec<_> = (0..33).map(|n| world.person(&alloc::format!("member{n}"))).collect();
    let carol = world.guest("carol", &reach).credential.member_id();
    world.publish_all();
    let template = crate::state::member(&world.store, &carol).unwrap().unwrap();
    let mut ids = crate::state::limited(&world.store).unwrap();
    let mut batch = Batch::default();
    for guest in 0..125_u8 {
        let id = MemberId::new([guest; 16]);
        let device_ids = (0..DEVICES).map(|n| [&[guest; 15][..], &[n]].concat()).collect();
        // Without an entry of its own each is told of 33 others.
        let member = proto::DeskMember { device_ids, entry_id: Vec::new(), ..template.clone() };
        crate::state::put_member(&mut batch, &id, &member);
        ids.push(*id.as_bytes());
    }
    crate::state::put_limited(&mut batch, &ids);
    apply(&mut world.store, &batch);
    let gone =
        world.desk.remove_devices(&world.store, (&reach[0], None), world.now, &mut *world.rng).unwrap();
    let len = |batch: &Batch| batch.0.values().flatten().map(Vec::len).sum::<usize>();
    assert!(len(&gone.batch) < MAX_RECORD, "nothing is sealed for guests in the transaction of the removal");
    apply(&mut world.store, &gone.batch);
    let (mut steps, mut sealed) = (0, 0);
    // Nothing is published meanwhile: it stops by itself, and no record grows beyond the limit.
    while let Some(batch) = world.desk.tell_next(&world.store, world.now, &mut *world.rng).unwrap() {
        assert!(batch.0.values().flatten().all(|value| value.len() < MAX_RECORD));
        assert!(len(&batch) < 4 * MAX_RECORD, "{}", len(&batch));
        sealed += batch.0.iter().filter(|(key, value)| key.table.0 == 0x0206 && value.is_some()).count();
        apply(&mut world.store, &batch);
        steps += 1;
    }
    assert!((4_000..6_000).contains(&sealed), "{sealed} in {steps}");
    for entry in pending_entries(&world.store) {
        let batch = Desk::directory_published(&world.store, &entry.entry_id, entry.version, 0).unwrap();
        apply(&mut world.store, &batch);
    }
    let more = world.desk.tell_next(&world.store, world.now, &mut *world.rng).unwrap();
    assert!(more.is_some(), "and goes on once there is room");
}
