//! Statements that are dropped from the queue, and what they belonged to (R-ORG-59).

use super::*;
use crate::AdminKeys;

impl World {
    /// Takes the next statement out of the queue.
    fn try_drop(&mut self) -> Result<Batch, OrgError> {
        let number = next(self).unwrap().number;
        self.desk.drop_statement(&self.store, (number, "statement"), self.now, &mut *self.rng)
    }

    #[track_caller]
    fn drop_next(&mut self) {
        let batch = self.try_drop().unwrap();
        apply(&mut self.store, &batch);
    }

    /// Hands the log everything that is before the next statement of a kind.
    fn flush_up_to(&mut self, kind: LeafKind, log: &mut Log) {
        while next(self).unwrap().kind != kind {
            self.flush_one(log);
        }
    }

    fn set_policy(&mut self, change: fn(&mut Policy)) {
        let mut policy = Desk::policy(&self.store).unwrap();
        change(&mut policy);
        let batch = self.desk.set_policy(&self.admin, (&self.store, &policy), self.now, &mut *self.rng);
        apply(&mut self.store, &batch.unwrap());
    }

    fn end(&mut self, who: &str, device: &DeviceId) -> Batch {
        self.desk.end_device(&self.store, (&handle(who), device), self.now, &mut *self.rng).unwrap()
    }

    /// What the last recorded act says that is since.
    fn last_act(&self) -> alloc::string::String {
        Desk::acts(&self.store, &self.public).unwrap().pop().unwrap().after
    }
}

/// Sequences of the policies that wait.
fn policies(world: &World) -> Vec<u64> {
    let queued = Desk::queued_statements(&world.store).unwrap();
    let policies = queued.iter().filter(|queued| queued.kind == LeafKind::Policy);
    let sequence = |queued: &Queued| {
        let body = decode::<proto::PolicyBody>(&queued.statement.body, Limit::STATEMENT);
        body.unwrap().into_unchecked().sequence
    };
    policies.map(sequence).collect()
}

#[test]
fn an_end_that_was_dropped_from_the_queue_is_signed_anew_r_org_43_r_org_59() {
    let mut world = World::new(135);
    let mut log = Log::of(&world.public);
    let (_, _, alice) = world.enrolled("alice");
    world.flush(&mut log);
    let batch = world.offboard("alice");
    apply(&mut world.store, &batch);
    assert!(world.offboard("alice").is_empty(), "it waits");
    world.drop_next();
    assert_eq!(world.report("alice").revocation, OffboardingStep::Dropped { time: NOW });
    world.flush(&mut log);
    world.publish();
    assert!(!world.report("alice").is_complete(), "nothing claims that it is in the log");
    let batch = world.offboard("alice");
    apply(&mut world.store, &batch);
    assert_eq!(kinds(&world), [LeafKind::MemberRevoked]);
    world.flush(&mut log);
    assert!(log.changes.contains(&Change::MemberRevoked(alice.member_id())));
    assert!(world.report("alice").is_complete());
}

#[test]
fn a_dropped_policy_is_the_newest_no_more_and_its_sequence_is_never_used_again_r_org_59() {
    let mut world = World::new(140);
    let mut log = Log::of(&world.public);
    world.set_policy(|it| it.device_limit = 3);
    world.flush(&mut log);
    world.set_policy(|it| it.device_limit = 4);
    assert_eq!(policies(&world), [2]);
    world.drop_next();
    assert_eq!(Desk::policy(&world.store).unwrap().device_limit, 3, "the log's");
    assert!(world.last_act().contains("before"));
    // Whoever has the dropped one could still append it: the next one comes after it.
    world.set_policy(|it| it.device_limit = 5);
    assert_eq!(policies(&world), [3]);
    world.flush(&mut log);
    assert_eq!(log.authority.policy().device_limit, 5);
}

#[test]
fn a_dropped_policy_that_another_follows_leaves_what_was_before_both_r_org_59() {
    let mut world = World::new(141);
    let mut log = Log::of(&world.public);
    world.set_policy(|it| it.device_limit = 3);
    world.set_policy(|it| it.device_limit = 4);
    world.drop_next();
    assert_eq!(Desk::policy(&world.store).unwrap().device_limit, 4, "the one that follows");
    world.flush_up_to(LeafKind::Policy, &mut log);
    world.drop_next();
    assert_eq!(Desk::policy(&world.store).unwrap(), Policy::default(), "none is left");
    world.flush(&mut log);
    assert_eq!(log.authority.policy(), &Policy::default());
    world.set_policy(|it| it.device_limit = 4);
    assert_eq!(policies(&world), [3]);
}

#[test]
fn a_dropped_succession_is_that_of_its_group_alone_r_org_59() {
    let mut world = World::new(142);
    let mut log = Log::of(&world.public);
    let alice = world.enrolled("alice").2.member_id();
    world.flush(&mut log);
    let succeed = |world: &mut World, group: &[u8; 16], members: &[MemberId]| {
        let at = (world.now, &mut *world.rng as &mut dyn CryptoRng);
        let batch =
            world.desk.set_group_successors(&world.admin, &world.store, (group, members), at).unwrap();
        apply(&mut world.store, &batch);
        Desk::queued_statements(&world.store).unwrap().iter().rev().nth(1).unwrap().statement.clone()
    };
    let sequence = |signed: &proto::Signed| {
        let body = decode::<proto::GroupSuccessorBody>(&signed.body, Limit::STATEMENT);
        body.unwrap().into_unchecked().sequence
    };
    succeed(&mut world, &[1; 16], &[alice]);
    succeed(&mut world, &[2; 16], &[alice]);
    world.drop_next();
    let (one, two) = (succeed(&mut world, &[1; 16], &[]), succeed(&mut world, &[2; 16], &[]));
    assert_eq!((sequence(&one), sequence(&two)), (2, 2), "not used again, and of its own group");
    world.flush(&mut log);
}

#[test]
fn a_device_whose_entry_is_dropped_is_none_of_the_members_r_org_59() {
    let mut world = World::new(143);
    let mut log = Log::of(&world.public);
    let (link, keys, alice) = world.enrolled("alice");
    world.flush_up_to(LeafKind::Credential, &mut log);
    world.drop_next();
    assert_eq!(world.pending_devices(), [[]], "it is not published");
    assert!(kinds(&world).contains(&LeafKind::DeviceRevoked), "should the log take it after all");
    assert_eq!(world.enrol(&link, &keys).unwrap_err(), EnrolError::InvitationUsed);
    world.flush(&mut log);
    let hash = Desk::entry_commitment(&world.store, &alice.member_id()).unwrap().unwrap();
    let is_listed = |change: &Change| matches!(change, Change::Directory { hash: it, .. } if *it == hash);
    assert_eq!(log.changes.iter().filter(|change| is_listed(change)).count(), 1);
    // The member is one still, and gets another device; a credential of a device that is gone is dropped without more.
    world.now = NOW.after(WEEK);
    let (shown, relay) = (name("Alice"), world.public.relay().unwrap());
    let terms = crate::Terms::default();
    let invite = Invite { handle: &handle("alice"), name: &shown, relay, lifetime: WEEK, terms };
    let invited = world.desk.invite_device(&world.store, invite, world.now, &mut *world.rng).unwrap();
    apply(&mut world.store, &invited.batch);
    let keys = world.device();
    let second = world.enrol(&invited.link, &keys).unwrap().credential;
    let batch = world.end("alice", &second.device_id());
    apply(&mut world.store, &batch);
    world.flush_up_to(LeafKind::Credential, &mut log);
    world.drop_next();
    assert!(world.last_act().contains("removed before"));
    world.flush(&mut log);
}

#[test]
fn a_dropped_end_of_a_device_is_signed_anew_when_it_is_removed_again_r_org_59() {
    let mut world = World::new(144);
    let mut log = Log::of(&world.public);
    let (_, _, alice) = world.enrolled("alice");
    world.flush(&mut log);
    let device = alice.device_id();
    let batch = world.end("alice", &device);
    apply(&mut world.store, &batch);
    world.drop_next();
    world.flush(&mut log);
    let ended = Change::DeviceRevoked { device, member: alice.member_id() };
    assert!(!log.changes.contains(&ended));
    let batch = world.end("alice", &device);
    apply(&mut world.store, &batch);
    assert_eq!(kinds(&world), [LeafKind::DeviceRevoked]);
    assert!(world.end("alice", &device).is_empty(), "it waits");
    world.flush(&mut log);
    assert!(log.changes.contains(&ended));
}

#[test]
fn a_directory_entry_whose_commitment_is_dropped_is_signed_anew_r_org_59() {
    let mut world = World::new(145);
    let mut log = Log::of(&world.public);
    let (_, _, alice) = world.enrolled("alice");
    world.enrolled("bob");
    world.flush_up_to(LeafKind::Directory, &mut log);
    world.drop_next();
    let version = Desk::pending_directory(&world.store).unwrap()[0].version;
    world.flush(&mut log);
    let hash = Desk::entry_commitment(&world.store, &alice.member_id()).unwrap().unwrap();
    let (member, issuer) = (alice.member_id(), alice.issuer_id());
    assert!(log.changes.contains(&Change::Directory { member, issuer, version, hash }));
    assert_eq!(world.pending_devices()[0], [alice.device_id()]);
    // One that a newer one follows needs nothing.
    let batch = world.end("alice", &alice.device_id());
    apply(&mut world.store, &batch);
    let batch = world.offboard("alice");
    apply(&mut world.store, &batch);
    world.flush_up_to(LeafKind::Directory, &mut log);
    world.drop_next();
    assert!(world.last_act().contains("newer"));
    world.flush(&mut log);
    world.publish();
    assert!(world.report("alice").is_complete());
}

#[test]
fn an_offboarding_whose_entry_the_log_refused_is_not_complete_and_goes_on_r_org_62() {
    let mut world = World::new(146);
    let mut log = Log::of(&world.public);
    world.enrolled("alice");
    world.flush(&mut log);
    let batch = world.offboard("alice");
    apply(&mut world.store, &batch);
    world.flush_up_to(LeafKind::Directory, &mut log);
    let number = next(&world).unwrap().number;
    let batch = Desk::entered(&world.store, number, Entered::Refused, NOW).unwrap();
    apply(&mut world.store, &batch);
    world.flush(&mut log);
    world.publish();
    let report = world.report("alice");
    assert!(report.is_cut() && report.is_published && !report.is_complete());
    let batch = world.offboard("alice");
    apply(&mut world.store, &batch);
    assert_eq!(kinds(&world), [LeafKind::Directory]);
    world.flush(&mut log);
    world.publish();
    assert!(world.report("alice").is_complete());
    assert!(world.offboard("alice").is_empty());
}

#[test]
fn an_act_without_its_entry_is_marked_r_org_59() {
    let mut world = World::new(147);
    let mut log = Log::of(&world.public);
    world.set_policy(|it| it.device_limit = 3);
    world.flush_up_to(LeafKind::Audit, &mut log);
    world.drop_next();
    world.flush(&mut log);
    let acts = Desk::acts(&world.store, &world.public).unwrap();
    let marks: Vec<_> =
        acts.iter().map(|act| (act.action.as_str(), act.entry.is_some(), act.is_dropped)).collect();
    assert_eq!(marks, [("policy", false, true), ("drop statement", true, false)]);
}

/// Carries a ceremony out and hands the log nothing.
fn hold(world: &mut World, ceremony: &crate::Ceremony) {
    let (mut batch, act) = (Batch::default(), Act { action: "ceremony", ..Act::default() });
    let at = (world.now, &mut *world.rng as &mut dyn CryptoRng);
    world.desk.carry_out_ceremony((&world.store, &mut batch), (ceremony, None), &act, at).unwrap();
    apply(&mut world.store, &batch);
    apply(&mut world.store, &finished());
    world.public = verified(&ceremony.document);
    world.desk = reopened(world);
}

#[test]
fn an_issuer_of_whom_the_log_never_heard_signs_nothing_and_one_whose_end_was_dropped_does_r_org_59() {
    let mut world = World::new(148);
    let mut log = Log::of(&world.public);
    let may_sign = |world: &mut World, keys: &AdminKeys| {
        let policy = policy_with(|it| it.device_limit = 3);
        world.desk.set_policy(keys, (&world.store, &policy), NOW, &mut *world.rng).is_ok()
    };
    let wanted = (Capabilities::POLICY, WEEK);
    let (lost, ceremony) = world.root.add_issuer(&world.public, wanted, NOW, &mut *world.rng).unwrap();
    hold(&mut world, &ceremony);
    assert!(may_sign(&mut world, &lost));
    world.drop_next();
    assert!(!may_sign(&mut world, &lost));
    let (kept, ceremony) = world.root.add_issuer(&world.public, wanted, NOW, &mut *world.rng).unwrap();
    hold(&mut world, &ceremony);
    let ceremony = world.root.end_issuer(&world.public, &kept.issuer().id(), &mut *world.rng).unwrap();
    hold(&mut world, &ceremony);
    assert!(!may_sign(&mut world, &kept));
    world.flush_up_to(LeafKind::IssuerRevoked, &mut log);
    world.drop_next();
    assert!(may_sign(&mut world, &kept) && log.authority.is_active(&kept.issuer().id()));
}

#[test]
fn what_the_document_names_cannot_be_dropped_r_org_59() {
    let mut world = World::new(149);
    let (_, ceremony) = world.root.succeed(&world.public, &mut *world.rng).unwrap();
    hold(&mut world, &ceremony);
    assert_eq!(next(&world).unwrap().kind, LeafKind::Root);
    let before = world.store.clone();
    assert_eq!(world.try_drop().unwrap_err(), OrgError::NotDroppable);
    let late = world.desk.drop_statement(&world.store, (7, "act"), NOW, &mut *world.rng);
    assert_eq!(late.unwrap_err(), OrgError::NotNext);
    assert!(world.store == before);
}
