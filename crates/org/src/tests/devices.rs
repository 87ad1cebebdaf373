//! Another device of a member: link, request, approval, removal, and everybody who should not have one.

use super::*;
use crate::state;
use crate::{
    CarriedOut, DEVICE_LINK_LIFETIME, DeviceLink, LINK_REQUEST_LEN, Link, LinkError, LinkRequest, ORDER_LEN,
    ORDER_LIFETIME, OrderError, Orderer, PendingOrder, approve, remove, request_by_link,
};
use alloc::string::String;
use chancery_crypto::label;
use chancery_crypto::secret::Secret;
use chancery_identity::{Credential, DeviceId, MAX_DEVICES, reply_mailbox};
use chancery_wire::{Limit, decode};

/// A device of a member.
struct Device {
    keys: DeviceKeys,
    credential: Credential,
}

impl Device {
    fn orderer<'a>(&'a self, world: &'a World) -> Orderer<'a> {
        Orderer { organisation: &world.public, credential: &self.credential, keys: &self.keys }
    }
}

/// A new device that has asked, and what the old one makes of it.
struct Newcomer {
    keys: DeviceKeys,
    pending: PendingEnrolment,
    seen: LinkRequest,
}

impl World {
    fn member(&mut self, who: &str) -> Device {
        let (link, keys) = (self.invite(who), self.device());
        let credential = self.enrol(&link, &keys).unwrap().credential;
        Device { keys, credential }
    }

    fn device_link(&mut self, of: &Device) -> DeviceLink {
        let names = (self.public.id(), of.credential.device_id());
        DeviceLink::new(names, ("wss://relay.example:443", [9; 32]), self.now, &mut *self.rng)
    }

    fn newcomer(&mut self, link: &DeviceLink) -> Newcomer {
        let keys = self.device();
        let pending = request_by_link(link, &self.public, &keys, self.now, &mut *self.rng).unwrap();
        let envelope = link.seal_request(&keys, pending.envelope(), &mut *self.rng).unwrap();
        assert_eq!((envelope.len(), envelope[0]), (LINK_REQUEST_LEN, 0x15));
        assert_eq!(LinkRequest::link_id(&envelope), Some(link.link_id));
        let seen = LinkRequest::open(&self.public.id(), &link.secret, &envelope).unwrap();
        assert_eq!(seen.code(&self.public.id()), link.code(&keys));
        Newcomer { keys, pending, seen }
    }

    fn approve(&mut self, by: &Device, seen: &LinkRequest) -> PendingOrder {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        approve(by.orderer(self), seen, self.now, &mut seeded(seed)).unwrap()
    }

    /// Carries an order out and commits.
    fn carry_out(&mut self, order: &PendingOrder) -> CarriedOut {
        assert_eq!((order.envelope().len(), order.envelope()[0]), (ORDER_LEN, 0x16));
        let done = self.desk.carry_out(&self.store, order.envelope(), self.now, &mut *self.rng).unwrap();
        assert_eq!(done.replies[0].mailbox, order.reply_mailbox());
        apply(&mut self.store, &done.batch);
        done
    }

    fn remove(&mut self, by: &Device, whom: &DeviceId) -> Result<DeviceId, OrderError> {
        let order = remove(by.orderer(self), whom, self.now, &mut seeded([77; 32])).unwrap();
        let done = self.carry_out(&order);
        assert_eq!(done.replies.len(), 1);
        order.complete(&done.replies[0].envelope)
    }

    /// Link, request, approval, completion.
    fn second(&mut self, of: &Device) -> Result<Device, OrderError> {
        let link = self.device_link(of);
        let new = self.newcomer(&link);
        let order = self.approve(of, &new.seen);
        let done = self.carry_out(&order);
        let device = order.complete(&done.replies[0].envelope)?;
        let reply = &done.replies[1];
        assert_eq!(reply.mailbox, new.pending.reply_mailbox());
        let enrolment = new.pending.complete(&self.public, &new.keys, &reply.envelope, self.now).unwrap();
        assert_eq!(enrolment.credential.device_id(), device);
        Ok(Device { keys: new.keys, credential: enrolment.credential })
    }

    /// The newest directory entry of a member: version and devices.
    fn listed(&self, device: &Device) -> (u64, Vec<DeviceId>) {
        let key = state::settings(&self.store).unwrap().directory_key;
        pending_entries(&self.store)
            .iter()
            .map(|entry| self.public.open_directory_entry(&key, entry).unwrap())
            .find(|entry| entry.member_id() == device.credential.member_id())
            .map(|entry| (entry.version(), entry.device_ids().to_vec()))
            .unwrap()
    }
}

#[test]
fn an_approved_device_becomes_the_same_members() {
    // R-ORG-15, R-ORG-16, R-ORG-17, R-ORG-18, R-ORG-19, R-ORG-20
    let mut world = World::new(90);
    let old = world.member("alice");
    let link = world.device_link(&old);
    let Ok(Link::Device(read)) = Link::parse(&link.encode()) else { panic!("a device link") };
    assert_eq!((read.mailbox, read.expires), (old.credential.device_id(), NOW.after(DEVICE_LINK_LIFETIME)));
    let new = world.newcomer(&read);
    let code = link.code(&new.keys);
    let groups: Vec<&str> = code.split(' ').collect();
    assert!(groups.len() == 6 && groups.iter().all(|group| group.len() == 5), "{code}");

    // Until somebody approves, the desk does not know the link.
    let early = world.answer(new.pending.envelope()).unwrap();
    assert!(early.batch.is_empty());
    let refused = new.pending.complete(&world.public, &new.keys, &early.reply, NOW).unwrap_err();
    assert_eq!(refused, EnrolError::InvitationUnknown);

    let order = world.approve(&old, &new.seen);
    let done = world.carry_out(&order);
    let device = order.complete(&done.replies[0].envelope).unwrap();
    assert_eq!(done.replies[1].mailbox, new.pending.reply_mailbox());
    let answer = &done.replies[1].envelope;
    let enrolment = new.pending.complete(&world.public, &new.keys, answer, NOW).unwrap();
    assert_eq!(enrolment.credential.member_id(), old.credential.member_id());
    assert_eq!((enrolment.credential.device_id(), enrolment.handle), (device, handle("alice")));
    let second = NOW.as_millis() + 1;
    assert_eq!(world.listed(&old), (second, [old.credential.device_id(), device].into()));
    // Neither side can read what is for the other: the old device learns no answer of the new one's.
    assert_eq!(order.complete(answer), Err(OrderError::NotAuthentic));
    // A new device whose answer was lost asks the desk itself, and is answered as before.
    let again = world.answer(new.pending.envelope()).unwrap();
    let again = new.pending.complete(&world.public, &new.keys, &again.reply, NOW).unwrap();
    assert_eq!(again.credential, enrolment.credential);
}

#[test]
fn a_clock_that_was_ahead_leaves_no_entry_that_is_newer_than_the_next_device_r_org_13() {
    const HOUR: Duration = Duration::from_secs(3600);
    for (ahead, dated) in [(6, 6), (20, 12)] {
        let mut world = World::new(74);
        world.now = NOW.after(HOUR * ahead);
        let first = world.member("alice");
        let (version, _) = world.listed(&first);
        assert_eq!(version, world.now.as_millis());
        world.now = NOW;
        let second = world.second(&first).unwrap().credential;
        // R-ENGINE-15 compares with this time.
        let issued = second.not_before().after(HOUR * 24);
        assert_eq!(issued, NOW.after(HOUR * dated), "{ahead} hours ahead");
        assert!(second.is_valid_at(NOW));
    }
}

#[test]
fn a_lost_answer_to_an_approval_is_given_again() {
    // R-ORG-20
    let mut world = World::new(91);
    let old = world.member("alice");
    let link = world.device_link(&old);
    let new = world.newcomer(&link);
    let order = world.approve(&old, &new.seen);
    let first = order.complete(&world.carry_out(&order).replies[0].envelope).unwrap();
    let store = world.store.clone();
    let order = world.approve(&old, &new.seen);
    let done = world.carry_out(&order);
    assert!(done.batch.is_empty() && world.store == store);
    assert_eq!(order.complete(&done.replies[0].envelope), Ok(first));
    assert!(new.pending.complete(&world.public, &new.keys, &done.replies[1].envelope, NOW).is_ok());
}

#[test]
fn a_device_link_serves_one_device() {
    // R-ORG-20
    let mut world = World::new(92);
    let old = world.member("alice");
    let link = world.device_link(&old);
    let (first, second) = (world.newcomer(&link), world.newcomer(&link));
    assert_ne!(first.seen.code(&link.org_id), second.seen.code(&link.org_id));
    let order = world.approve(&old, &first.seen);
    world.carry_out(&order);
    let store = world.store.clone();
    let order = world.approve(&old, &second.seen);
    let done = world.carry_out(&order);
    assert_eq!(order.complete(&done.replies[0].envelope), Err(OrderError::LinkUsed));
    let told = second.pending.complete(&world.public, &second.keys, &done.replies[1].envelope, NOW);
    assert_eq!(told.unwrap_err(), EnrolError::InvitationUsed);
    let asked = world.answer(second.pending.envelope()).unwrap();
    let told = second.pending.complete(&world.public, &second.keys, &asked.reply, NOW);
    assert_eq!(told.unwrap_err(), EnrolError::InvitationUsed);
    assert_eq!(world.store, store);
    // Another member cannot claim the outcome of this link either.
    let bob = world.member("bob");
    let order = world.approve(&bob, &first.seen);
    let done = world.carry_out(&order);
    assert_eq!(order.complete(&done.replies[0].envelope), Err(OrderError::LinkUsed));
    assert_eq!(world.listed(&old).1.len(), 2);
}

#[test]
fn an_approval_is_for_the_keys_whose_code_was_compared() {
    // R-ORG-19, R-ORG-20: a request of other keys, or by another link, under the approved fingerprint.
    let mut world = World::new(93);
    let old = world.member("alice");
    let (link, other) = (world.device_link(&old), world.device_link(&old));
    let (good, evil, elsewhere) = (world.newcomer(&link), world.newcomer(&link), world.newcomer(&other));
    for foreign in [evil.pending.envelope(), elsewhere.pending.envelope(), &[0; 9329]] {
        let mixed = LinkRequest::from_parts(link.link_id, *good.seen.fingerprint(), foreign.to_vec());
        let order = world.approve(&old, &mixed);
        let done = world.carry_out(&order);
        assert!(done.batch.is_empty() && done.replies.len() == 1);
        assert_eq!(order.complete(&done.replies[0].envelope), Err(OrderError::Refused));
    }
    let order = world.approve(&old, &good.seen);
    assert!(order.complete(&world.carry_out(&order).replies[0].envelope).is_ok());
}

#[test]
fn keys_that_have_a_credential_get_no_other() {
    // R-ORG-20
    let mut world = World::new(94);
    let old = world.member("alice");
    let link = world.device_link(&old);
    let pending = request_by_link(&link, &world.public, &old.keys, NOW, &mut *world.rng).unwrap();
    let envelope = link.seal_request(&old.keys, pending.envelope(), &mut *world.rng).unwrap();
    let seen = LinkRequest::open(&link.org_id, &link.secret, &envelope).unwrap();
    let order = world.approve(&old, &seen);
    let done = world.carry_out(&order);
    assert!(done.batch.is_empty());
    assert_eq!(order.complete(&done.replies[0].envelope), Err(OrderError::Refused));
}

#[test]
fn a_member_has_at_most_sixteen_devices() {
    // R-ID-12, R-ORG-20, R-ORG-22
    let mut world = World::new(95);
    let old = world.member("alice");
    let mut last = None;
    for _ in 1..MAX_DEVICES {
        last = Some(world.second(&old).unwrap());
    }
    assert_eq!(world.listed(&old).1.len(), MAX_DEVICES);
    assert_eq!(world.second(&old).err(), Some(OrderError::TooManyDevices));
    let (name, alice) = (name("Alice"), handle("alice"));
    let relay = world.public.relay().unwrap().clone();
    let invite =
        Invite { handle: &alice, name: &name, relay: &relay, lifetime: WEEK, terms: crate::Terms::default() };
    let refused = world.desk.invite_device(&world.store, invite, NOW, &mut *world.rng);
    assert_eq!(refused.unwrap_err(), OrgError::TooManyDevices);
    world.remove(&old, &last.unwrap().credential.device_id()).unwrap();
    assert!(world.second(&old).is_ok());
}

#[test]
fn policy_may_allow_fewer_devices_and_takes_none_away_r_org_10() {
    let mut world = World::new(96);
    let old = world.member("alice");
    world.second(&old).unwrap();
    let mut strict = Desk::policy(&world.store).unwrap();
    strict.device_limit = 1;
    let batch = world.desk.set_policy(&world.admin, (&world.store, &strict), NOW, &mut *world.rng);
    apply(&mut world.store, &batch.unwrap());
    assert_eq!(world.listed(&old).1.len(), 2);
    assert_eq!(world.second(&old).err(), Some(OrderError::TooManyDevices));
}

#[test]
fn a_member_has_at_most_five_hundred_devices_in_all_time_r_org_10() {
    let mut world = World::new(97);
    let old = world.member("alice");
    let id = old.credential.member_id();
    for (issued, is_full) in [(499, false), (500, true)] {
        let mut member = state::member(&world.store, &id).unwrap().unwrap();
        let mut batch = Batch::default();
        member.issued = issued;
        state::put_member(&mut batch, &id, &member);
        apply(&mut world.store, &batch);
        assert_eq!(world.second(&old).is_err(), is_full, "{issued}");
    }
}

#[test]
fn the_organisation_invites_another_device() {
    // R-ORG-22
    let mut world = World::new(96);
    let old = world.member("alice");
    let (alice, bob, any) = (handle("alice"), handle("bob"), name("Alice"));
    let relay = world.public.relay().unwrap().clone();
    let invite =
        |handle| Invite { handle, name: &any, relay: &relay, lifetime: WEEK, terms: crate::Terms::default() };
    let invited = world.desk.invite_device(&world.store, invite(&alice), NOW, &mut *world.rng).unwrap();
    apply(&mut world.store, &invited.batch);
    let keys = world.device();
    let enrolment = world.enrol(&invited.link, &keys).unwrap();
    assert_eq!(enrolment.credential.member_id(), old.credential.member_id());
    assert_eq!(enrolment.name, name("Some Body"), "the name stays");
    assert_eq!(world.listed(&old).1.len(), 2);
    assert_eq!(world.enrol(&invited.link, &world_device(96)).unwrap_err(), EnrolError::InvitationUsed);
    // Somebody without a device is invited in the ordinary way.
    let refused = world.desk.invite_device(&world.store, invite(&bob), NOW, &mut *world.rng);
    assert_eq!(refused.unwrap_err(), OrgError::NotAMember);
    world.invite("bob");
    let refused = world.desk.invite_device(&world.store, invite(&bob), NOW, &mut *world.rng);
    assert_eq!(refused.unwrap_err(), OrgError::NotAMember);
    assert_eq!(world.try_invite("alice", WEEK).unwrap_err(), OrgError::HandleTaken);
}

fn world_device(seed: u8) -> DeviceKeys {
    DeviceKeys::generate(&mut seeded([seed; 32]))
}

/// The removed devices that the relay is told of.
fn told(world: &World) -> Vec<Vec<u8>> {
    let pending = pending_entries(&world.store);
    pending.into_iter().flat_map(|entry| entry.removed).collect()
}

#[test]
fn the_relay_is_told_of_the_newest_removed_devices_only() {
    // R-ORG-21
    let mut world = World::new(89);
    let old = world.member("alice");
    let new = world.second(&old).unwrap();
    let (member_id, new_id) = (old.credential.member_id(), new.credential.device_id());
    let mut member = state::member(&world.store, &member_id).unwrap().unwrap();
    member.removed_ids = (0..64).map(|id| [id; 16].to_vec()).collect();
    let mut batch = Batch::default();
    state::put_member(&mut batch, &member_id, &member);
    apply(&mut world.store, &batch);
    world.remove(&old, &new_id).unwrap();
    let told = told(&world);
    assert_eq!((told.len(), &told[0], &told[63]), (64, &[1; 16].to_vec(), &new_id.as_bytes().to_vec()));
}

#[test]
fn a_removed_device_is_no_longer_listed_and_orders_nothing() {
    // R-ORG-19, R-ORG-21
    let mut world = World::new(97);
    let old = world.member("alice");
    let new = world.second(&old).unwrap();
    let (old_id, new_id) = (old.credential.device_id(), new.credential.device_id());
    assert_eq!(world.remove(&old, &old_id), Err(OrderError::Refused), "not itself");
    assert_eq!(world.remove(&old, &DeviceId::new([1; 16])), Err(OrderError::UnknownDevice));
    let bob = world.member("bob");
    assert_eq!(world.remove(&old, &bob.credential.device_id()), Err(OrderError::UnknownDevice));
    assert_eq!(world.remove(&bob, &new_id), Err(OrderError::UnknownDevice));
    let enrolled = NOW.as_millis();
    assert_eq!(world.listed(&old), (enrolled + 1, [old_id, new_id].into()), "the time, and above the last");

    assert_eq!(world.remove(&old, &new_id), Ok(new_id));
    assert_eq!(world.listed(&old), (enrolled + 2, [old_id].into()));
    assert_eq!(told(&world), [new_id.as_bytes().to_vec()], "R-RELAY-43");
    let store = world.store.clone();
    assert_eq!(world.remove(&old, &new_id), Ok(new_id), "an answer that was lost is given again");
    assert_eq!(world.remove(&new, &old_id), Err(OrderError::Removed));
    let link = world.device_link(&new);
    let guest = world.newcomer(&link);
    let order = world.approve(&new, &guest.seen);
    let done = world.carry_out(&order);
    assert_eq!(order.complete(&done.replies[0].envelope), Err(OrderError::Removed));
    assert_eq!(done.replies.len(), 1);
    assert_eq!(world.store, store);
}

#[test]
fn an_order_expires_and_is_dropped_if_it_is_not_authentic() {
    // R-ORG-18, R-ORG-19
    let mut world = World::new(98);
    let (old, bob) = (world.member("alice"), world.member("bob"));
    let link = world.device_link(&old);
    let new = world.newcomer(&link);
    let order = world.approve(&old, &new.seen);
    world.now = NOW.after(ORDER_LIFETIME);
    let done = world.carry_out(&order);
    assert_eq!(order.complete(&done.replies[0].envelope), Err(OrderError::Expired));
    world.now = NOW;
    // Bob's key under Alice's credential.
    let posing = Orderer { organisation: &world.public, credential: &old.credential, keys: &bob.keys };
    let order = approve(posing, &new.seen, NOW, &mut seeded([5; 32])).unwrap();
    let dropped = world.desk.carry_out(&world.store, order.envelope(), NOW, &mut *world.rng);
    assert_eq!(dropped.unwrap_err(), OrgError::NotAuthentic);
    // Every kind of damage, and an envelope of the other kind.
    let order = world.approve(&old, &new.seen);
    for position in [0, 1, 40, 1_200, ORDER_LEN - 1] {
        let mut bad = order.envelope().to_vec();
        bad[position] ^= 1;
        let dropped = world.desk.carry_out(&world.store, &bad, NOW, &mut *world.rng);
        assert_eq!(dropped.unwrap_err(), OrgError::NotAuthentic, "{position}");
    }
    let dropped = world.desk.carry_out(&world.store, new.pending.envelope(), NOW, &mut *world.rng);
    assert_eq!(dropped.unwrap_err(), OrgError::NotAuthentic);
    assert_eq!(world.answer(order.envelope()).unwrap_err(), OrgError::NotAuthentic);
    assert_eq!(world.listed(&old).0, NOW.as_millis());
}

#[test]
fn an_order_taken_out_of_its_envelope_is_dropped() {
    // R-ORG-18, R-ORG-19: the statement names the envelope that carries it, so a desk's recording serves no other.
    let mut world = World::new(99);
    let old = world.member("alice");
    let link = world.device_link(&old);
    let new = world.newcomer(&link);
    let order = world.approve(&old, &new.seen);
    let (_, plaintext) = world.desk.open(&crate::channel::ORDER, order.envelope()).unwrap();
    let body = crate::channel::unpad(plaintext.expose()).unwrap();
    let desk = world.public.desk().unwrap();
    let (head, channel) =
        crate::channel::ORDER.begin(&world.public.id(), desk, &mut seeded([6; 32])).unwrap();
    let moved = crate::channel::ORDER.seal(head, channel.request, body).unwrap();
    let dropped = world.desk.carry_out(&world.store, &moved, NOW, &mut *world.rng);
    assert_eq!(dropped.unwrap_err(), OrgError::NotAuthentic);
    // And it is no other statement of the device's.
    let message: proto::DeviceOrder = decode(body, Limit::ENVELOPE).unwrap().into_unchecked();
    let signed = message.order.unwrap();
    let key = old.keys.signing.verifying_key();
    assert!(key.verify(label::SIGN_DEVICE_ORDER, &signed.body, &signed.signature).is_ok());
    assert!(key.verify(label::SIGN_ENROLMENT, &signed.body, &signed.signature).is_err());
    assert_eq!(order.reply_mailbox(), reply_mailbox(key));
}

#[test]
fn the_kinds_of_links_cannot_be_mistaken_for_each_other() {
    // R-ORG-15
    let mut world = World::new(89);
    let old = world.member("alice");
    let (device, invitation) = (world.device_link(&old).encode(), world.invite("bob").encode());
    assert_eq!(InvitationLink::parse(&device).unwrap_err(), LinkError::OtherKind);
    assert_eq!(DeviceLink::parse(&invitation).unwrap_err(), LinkError::OtherKind);
    assert!(matches!(Link::parse(&device), Ok(Link::Device(_))));
    assert!(matches!(Link::parse(&invitation), Ok(Link::Invitation(_))));
    // Fields of both kinds in one payload are neither.
    let payload = |text: &str| crate::link::read_payload(text).unwrap().expose().to_vec();
    for both in [[payload(&device), payload(&invitation)], [payload(&invitation), payload(&device)]] {
        let both = crate::link::write_payload(both.concat());
        assert_eq!(InvitationLink::parse(&both).unwrap_err(), LinkError::Damaged);
        assert_eq!(DeviceLink::parse(&both).unwrap_err(), LinkError::Damaged);
        assert_eq!(Link::parse(&both).unwrap_err(), LinkError::Damaged);
    }
    assert_eq!(Link::parse("chancery:").unwrap_err(), LinkError::Damaged);
    let cut: String = device.chars().take(device.len() - 1).collect();
    assert_eq!(Link::parse(&cut).unwrap_err(), LinkError::Damaged);
    let text = alloc::format!("{:?}", world.device_link(&old));
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn a_device_link_carries_a_whole_token_or_none_r_org_15() {
    let mut world = World::new(98);
    let alice = world.member("alice");
    for (len, is_sound) in [(0, true), (1, false), (15, false), (16, true), (17, false), (64, false)] {
        let link = world.device_link(&alice).with_token(alloc::vec![0xA5; len]);
        match DeviceLink::parse(&link.encode()) {
            Ok(read) => assert_eq!((read.token, is_sound), (link.token, true)),
            Err(error) => assert_eq!((error, is_sound), (LinkError::Damaged, false), "{len}"),
        }
    }
}

#[test]
fn the_key_of_tokens_changes_with_every_removal_r_relay_56() {
    let mut world = World::new(99);
    let alice = world.member("alice");
    world.member("bob");
    let key = |world: &World| world.desk.delivery_key(&world.store).unwrap();
    let before = key(&world);
    let token = before.token(&[1; 16]);
    assert!(key(&world).admits(&[1; 16], &token), "joining changes nothing");
    let member = alice.credential.member_id();
    let removed =
        world.desk.remove_devices(&world.store, (&member, None), world.now, &mut seeded([78; 32])).unwrap();
    assert!(key(&world).admits(&[1; 16], &token), "nothing is committed yet");
    apply(&mut world.store, &removed.batch);
    let after = key(&world);
    assert_eq!(after.epoch(), before.epoch() + 1);
    assert!(!after.admits(&[1; 16], &token));
}

#[test]
fn a_link_request_opens_with_its_link_alone() {
    // R-ORG-16
    let mut world = World::new(88);
    let old = world.member("alice");
    let link = world.device_link(&old);
    let keys = world.device();
    let pending = request_by_link(&link, &world.public, &keys, NOW, &mut *world.rng).unwrap();
    let envelope = link.seal_request(&keys, pending.envelope(), &mut *world.rng).unwrap();
    let again = link.seal_request(&keys, pending.envelope(), &mut *world.rng).unwrap();
    assert_ne!(envelope, again, "no key and nonce twice");
    let org = world.public.id();
    let open = |secret: &Secret<32>, envelope: &[u8]| LinkRequest::open(&org, secret, envelope);
    assert_eq!(open(&link.secret, &envelope), open(&link.secret, &again));
    assert!(open(&Secret::from_bytes([0; 32]), &envelope).is_err());
    for position in [0, 1, 17, 49, LINK_REQUEST_LEN - 1] {
        let mut bad = envelope.clone();
        bad[position] ^= 1;
        assert!(open(&link.secret, &bad).is_err(), "{position}");
    }
    assert!(open(&link.secret, &envelope[..LINK_REQUEST_LEN - 1]).is_err());
    assert!(link.seal_request(&keys, &[0; 10], &mut *world.rng).is_err());
    let late = NOW.after(DEVICE_LINK_LIFETIME);
    let asked = request_by_link(&link, &world.public, &keys, late, &mut *world.rng);
    assert_eq!(asked.unwrap_err(), EnrolError::InvitationExpired);
}
