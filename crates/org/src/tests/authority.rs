//! What the desk hands the log: enrolments, ends, offboardings, ceremonies, acts. Each statement is put before the log's own
//! rules, and replayed.

use super::*;
use crate::state;
use crate::{
    Act, ActFault, DeskKeys, Entered, LogView, MemberState, OffboardingReport, OffboardingStep, Queued,
    capability_names, finished, former_desk, parse_capabilities, unfinished,
};
use chancery_identity::log::{LeafKind, LogHead};
use chancery_identity::{
    Authority, Capabilities, Change, Credential, DeviceId, LEAST_FRESHNESS, LogError, MemberId, Policy,
};
use chancery_wire::{Limit, decode, encode};

mod dropping;

/// A log that takes what its rules allow, and once.
struct Log {
    authority: Authority,
    head: LogHead,
    commitments: Vec<[u8; 32]>,
    changes: Vec<Change>,
}

impl Log {
    /// With what a relay takes over from the public folder.
    fn of(public: &Organisation) -> Self {
        let (authority, head) = (Authority::new(public), LogHead::default());
        let mut log = Self { authority, head, commitments: Vec::new(), changes: Vec::new() };
        let document = public.as_proto().clone();
        let issuers = document.issuers.into_iter().map(|signed| (LeafKind::Issuer, signed));
        let rest = [(LeafKind::Desk, document.desk), (LeafKind::Relay, document.relay)];
        let rest = rest.into_iter().filter_map(|(kind, signed)| signed.map(|signed| (kind, signed)));
        for (kind, signed) in issuers.chain(rest) {
            log.append(kind, &signed, NOW).unwrap();
        }
        log
    }

    fn append(&mut self, kind: LeafKind, signed: &proto::Signed, now: Timestamp) -> Result<u64, LogError> {
        let submission = self.authority.prepare(kind, signed, now)?;
        if let Some(at) = self.commitments.iter().position(|it| *it == submission.leaf.commitment) {
            return Ok(at as u64);
        }
        let index = self.head.size();
        let change = self.authority.apply(index, &submission.leaf, submission.content.as_ref())?;
        self.head.push(&submission.leaf).unwrap();
        self.commitments.push(submission.leaf.commitment);
        self.changes.push(change);
        Ok(index)
    }
}

fn next(world: &World) -> Option<Queued> {
    Desk::next_statement(&world.store).unwrap()
}

fn kinds(world: &World) -> Vec<LeafKind> {
    Desk::queued_statements(&world.store).unwrap().iter().map(|queued| queued.kind).collect()
}

impl World {
    /// Hands the log one statement and notes what it said; `false` if none waits.
    fn flush_one(&mut self, log: &mut Log) -> bool {
        let Some(queued) = next(self) else { return false };
        let entered = match log.append(queued.kind, &queued.statement, self.now) {
            Ok(index) => Entered::At(index),
            Err(LogError::OutOfOrder | LogError::Duplicate) => Entered::Refused,
            Err(error) => panic!("{:?}: {error}", queued.kind),
        };
        let batch = Desk::entered(&self.store, queued.number, entered, self.now).unwrap();
        apply(&mut self.store, &batch);
        true
    }

    fn flush(&mut self, log: &mut Log) {
        while self.flush_one(log) {}
    }

    fn publish(&mut self) {
        loop {
            let pending = Desk::pending_directory(&self.store).unwrap();
            if pending.is_empty() {
                return;
            }
            for entry in pending {
                let batch =
                    Desk::directory_published(&self.store, &entry.entry_id, entry.version, 1).unwrap();
                apply(&mut self.store, &batch);
            }
        }
    }

    fn enrolled(&mut self, who: &str) -> (InvitationLink, DeviceKeys, Credential) {
        let (link, keys) = (self.invite(who), self.device());
        let credential = self.enrol(&link, &keys).unwrap().credential;
        (link, keys, credential)
    }

    fn offboard(&mut self, who: &str) -> Batch {
        self.desk.offboard(&self.admin, (&self.store, &handle(who)), self.now, &mut *self.rng).unwrap()
    }

    fn report(&self, who: &str) -> OffboardingReport {
        Desk::offboarding(&self.store, &self.public, &handle(who)).unwrap().unwrap()
    }

    /// The devices in the newest entry that waits for publication.
    fn pending_devices(&self) -> Vec<Vec<DeviceId>> {
        let key = state::settings(&self.store).unwrap().directory_key;
        let pending = state::pending_index(&self.store).unwrap();
        let open = |id: &[u8; 16]| {
            let entry = state::entry(&self.store, id).unwrap().unwrap();
            self.public.open_directory_entry(&key, &entry).unwrap().device_ids().to_vec()
        };
        pending.iter().map(open).collect()
    }
}

#[test]
fn an_enrolment_enters_the_log_device_first_and_then_the_directory_r_org_40() {
    let mut world = World::new(120);
    let mut log = Log::of(&world.public);
    let (_, _, credential) = world.enrolled("alice");
    assert_eq!(kinds(&world), [LeafKind::Audit, LeafKind::Credential, LeafKind::Directory]);
    world.flush(&mut log);
    assert_eq!(next(&world), None);
    let (device, member) = (credential.device_id(), credential.member_id());
    let issuer = credential.issuer_id();
    let expected = Change::Credential { device, member, issuer, hash: credential.hash() };
    let [audit, vouched, listed] = &log.changes[log.changes.len() - 3..] else { panic!("three") };
    assert_eq!((audit, vouched), (&Change::Audit, &expected));
    let hash = Desk::entry_commitment(&world.store, &member).unwrap().unwrap();
    let version = Desk::pending_directory(&world.store).unwrap()[0].version;
    assert_eq!(listed, &Change::Directory { member, issuer, version, hash }, "R-LOG-10");
}

#[test]
fn the_queue_survives_a_crash_before_and_after_every_answer_r_org_41() {
    let mut world = World::new(121);
    let mut log = Log::of(&world.public);
    for who in ["alice", "bob"] {
        world.enrolled(who);
    }
    let all = kinds(&world);
    let mut seen = Vec::new();
    while let Some(queued) = next(&world) {
        let before = world.store.clone();
        assert!(world.flush_one(&mut log));
        // The log has it, and the desk died before it could note that: the same is said again, with the same answer.
        let (after, size) = (core::mem::replace(&mut world.store, before), log.head.size());
        assert_eq!(next(&world), Some(queued.clone()));
        assert!(world.flush_one(&mut log));
        assert_eq!((log.head.size(), &world.store), (size, &after));
        // Another process has sent it too.
        let again = Desk::entered(&world.store, queued.number, Entered::At(0), NOW).unwrap();
        assert!(again.is_empty(), "waits no longer");
        let later = Desk::entered(&world.store, queued.number + 2, Entered::At(0), NOW).unwrap();
        assert!(later.is_empty(), "is not the next");
        seen.push(queued.kind);
    }
    assert_eq!(seen, all);
}

#[test]
fn a_removed_device_ends_in_the_log_before_the_directory_says_so_r_org_40() {
    let mut world = World::new(122);
    let mut log = Log::of(&world.public);
    let (_, _, first) = world.enrolled("alice");
    let (bob, some) = (handle("bob"), DeviceId::new([1; 16]));
    let alice = handle("alice");
    world.flush(&mut log);
    let device = first.device_id();
    let end = |world: &mut World, who, device| {
        world.desk.end_device(&world.store, (who, device), world.now, &mut *world.rng)
    };
    assert_eq!(end(&mut world, &bob, &some).unwrap_err(), OrgError::NotAMember);
    assert_eq!(end(&mut world, &alice, &some).unwrap_err(), OrgError::UnknownDevice);
    let batch = end(&mut world, &alice, &device).unwrap();
    apply(&mut world.store, &batch);
    assert_eq!(kinds(&world), [LeafKind::DeviceRevoked, LeafKind::Directory, LeafKind::Audit]);
    assert!(end(&mut world, &alice, &device).unwrap().is_empty(), "once");
    world.flush(&mut log);
    let member = first.member_id();
    assert!(log.changes.contains(&Change::DeviceRevoked { device, member }));
    assert_eq!(world.pending_devices(), [[]]);
    // It was the last one: the member is the member still, and gets another (R-ORG-22).
    world.now = NOW.after(WEEK);
    assert_eq!(world.try_invite("alice", WEEK).unwrap_err(), OrgError::HandleTaken);
    let (shown, relay) = (name("Alice"), world.public.relay().unwrap());
    let invite =
        Invite { handle: &alice, name: &shown, relay, lifetime: WEEK, terms: crate::Terms::default() };
    let invited = world.desk.invite_device(&world.store, invite, world.now, &mut *world.rng).unwrap();
    apply(&mut world.store, &invited.batch);
    let keys = world.device();
    let again = world.enrol(&invited.link, &keys).unwrap().credential;
    assert_eq!(again.member_id(), member);
    world.flush(&mut log);
}

#[test]
fn a_member_ends_in_one_batch_and_what_they_had_answers_nobody_r_org_42() {
    let mut world = World::new(123);
    let mut log = Log::of(&world.public);
    let (link, keys, credential) = world.enrolled("alice");
    let relay = world.public.relay().unwrap();
    let (alice, shown) = (handle("alice"), name("Alice"));
    let invite =
        Invite { handle: &alice, name: &shown, relay, lifetime: WEEK, terms: crate::Terms::default() };
    let second = world.desk.invite_device(&world.store, invite, NOW, &mut *world.rng).unwrap();
    apply(&mut world.store, &second.batch);
    world.flush(&mut log);

    let plan = world.desk.plan_offboarding(&world.store, &alice, NOW).unwrap();
    assert_eq!((plan.invitations, &plan.device_ids[..]), (1, &[credential.device_id()][..]));
    let batch = world.offboard("alice");
    apply(&mut world.store, &batch);
    assert_eq!(kinds(&world), [LeafKind::MemberRevoked, LeafKind::Directory, LeafKind::Audit]);
    assert_eq!(world.pending_devices(), [[]]);
    let ended = MemberState::Ended { at: NOW };
    assert_eq!(Desk::members(&world.store).unwrap()[0].state, ended);
    // The device that enrolled asks again, and another uses the open invitation.
    assert_eq!(world.enrol(&link, &keys).unwrap_err(), EnrolError::InvitationUnknown);
    let other = world.device();
    assert_eq!(world.enrol(&second.link, &other).unwrap_err(), EnrolError::InvitationUnknown);
    // The handle is free, for somebody else.
    let (_, _, new) = world.enrolled("alice");
    assert_ne!(new.member_id(), credential.member_id());
    world.flush(&mut log);
    assert!(log.changes.contains(&Change::MemberRevoked(credential.member_id())));
    assert_eq!(world.report("alice").plan.member_id, credential.member_id());
    let again = world.desk.plan_offboarding(&world.store, &alice, NOW).unwrap();
    assert_eq!(again.member_id, new.member_id(), "the handle means whoever has it now");
}

#[test]
fn somebody_who_never_enrolled_is_offboarded_too_r_org_42() {
    let mut world = World::new(124);
    let mut log = Log::of(&world.public);
    let link = world.invite("alice");
    let batch = world.offboard("alice");
    apply(&mut world.store, &batch);
    let keys = world.device();
    assert_eq!(world.enrol(&link, &keys).unwrap_err(), EnrolError::InvitationUnknown);
    world.flush(&mut log);
    let report = world.report("alice");
    assert_eq!((report.directory, report.plan.invitations), (OffboardingStep::NotNeeded, 1));
    assert!(report.is_complete());
    let nobody = world.desk.offboard(&world.admin, (&world.store, &handle("bob")), NOW, &mut *world.rng);
    assert_eq!(nobody.unwrap_err(), OrgError::NotAMember);
}

#[test]
fn an_offboarding_that_stops_anywhere_goes_on_and_comes_to_the_same_r_org_43() {
    let prepare = || {
        let mut world = World::new(125);
        let mut log = Log::of(&world.public);
        world.enrolled("alice");
        world.flush(&mut log);
        world.publish();
        (world, log)
    };
    // Steps: the batch, then one statement at a time, then the publication. After `cut` of them the desk dies: the store is what
    // was committed, and somebody runs the whole command again.
    let mut reports = Vec::new();
    for cut in 0..6 {
        let (mut world, mut log) = prepare();
        for step in 0..cut {
            match step {
                0 => {
                    let batch = world.offboard("alice");
                    apply(&mut world.store, &batch);
                }
                4 => world.publish(),
                _ => assert!(world.flush_one(&mut log), "three statements"),
            }
        }
        if cut > 0 {
            let (report, waits) = (world.report("alice"), OffboardingStep::Queued);
            assert_eq!(report.revocation == waits, cut < 2);
            assert_eq!(report.directory == waits, cut < 3);
            assert_eq!(report.is_published, cut > 4);
            assert_eq!(report.is_complete(), cut > 4);
        }
        world.now = world.now.after(Duration::from_secs(1));
        let batch = world.offboard("alice");
        assert_eq!(batch.is_empty(), cut > 0, "what was done is not done again");
        apply(&mut world.store, &batch);
        world.flush(&mut log);
        world.publish();
        assert!(world.report("alice").is_complete());
        let ends = log.changes.iter().filter(|change| matches!(change, Change::MemberRevoked(_))).count();
        assert_eq!((ends, next(&world)), (1, None));
        let report = world.report("alice");
        let entry = |step| match step {
            OffboardingStep::Logged { entry, .. } => entry,
            other => panic!("{other:?}"),
        };
        reports.push((report.plan.clone(), entry(report.revocation), entry(report.directory)));
    }
    assert!(reports.windows(2).all(|pair| pair[0] == pair[1]), "{reports:?}");
}

#[test]
fn a_member_whom_the_log_has_ended_already_counts_as_cut_r_org_43() {
    let mut world = World::new(126);
    let mut log = Log::of(&world.public);
    world.enrolled("alice");
    world.flush(&mut log);
    let batch = world.offboard("alice");
    apply(&mut world.store, &batch);
    let number = next(&world).unwrap().number;
    let batch = Desk::entered(&world.store, number, Entered::Refused, NOW).unwrap();
    apply(&mut world.store, &batch);
    assert_eq!(world.report("alice").revocation, OffboardingStep::Refused { time: NOW });
    world.flush(&mut log);
    world.publish();
    assert!(world.report("alice").is_complete());
}

#[test]
fn only_keys_that_may_offboard_do_r_org_42() {
    let mut world = World::new(127);
    world.enrolled("alice");
    let narrow = (Capabilities::POLICY, WEEK);
    let (keys, ceremony) = world.root.add_issuer(&world.public, narrow, NOW, &mut *world.rng).unwrap();
    world.public = verified(&ceremony.document);
    let alice = handle("alice");
    let refused = world.desk.offboard(&keys, (&world.store, &alice), NOW, &mut *world.rng);
    assert_eq!(refused.unwrap_err(), OrgError::WrongKeys);
    // Nor do those whose time is over: the log would refuse what they sign.
    let late = NOW.after(crate::ISSUER_VALIDITY);
    let refused = world.desk.offboard(&world.admin, (&world.store, &alice), late, &mut *world.rng);
    assert_eq!(refused.unwrap_err(), OrgError::WrongKeys);
}

/// The default policy with a change.
fn policy_with(change: fn(&mut Policy)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy);
    policy
}

/// Carries a ceremony out and takes the new document over.
fn hold(world: &mut World, log: &mut Log, ceremony: &crate::Ceremony, act: &Act<'_>) {
    let mut batch = Batch::default();
    let now = world.now;
    world
        .desk
        .carry_out_ceremony((&world.store, &mut batch), (ceremony, None), act, (now, &mut *world.rng))
        .unwrap();
    apply(&mut world.store, &batch);
    let open = unfinished(&world.store).unwrap();
    assert_eq!(open.document.as_ref(), Some(&ceremony.document), "a crash leaves it to be written");
    apply(&mut world.store, &finished());
    assert!(unfinished(&world.store).unwrap().document.is_none());
    world.public = verified(&ceremony.document);
    world.flush(log);
}

#[test]
fn issuers_come_and_go_and_what_they_signed_stands_r_org_45() {
    let mut world = World::new(128);
    let mut log = Log::of(&world.public);
    let (_, _, alice) = world.enrolled("alice");
    let both = Capabilities::OFFBOARD.union(Capabilities::POLICY);
    let (keys, ceremony) = world.root.add_issuer(&world.public, (both, WEEK), NOW, &mut *world.rng).unwrap();
    let holder = Some(alice.member_id());
    hold(&mut world, &mut log, &ceremony, &Act { action: "issuer add", member: holder, ..Act::default() });
    let id = keys.issuer().id();
    assert!(log.authority.is_active(&id));
    let listed = Desk::issuers(&world.store, &world.public).unwrap();
    let it = listed.iter().find(|it| it.id == id).unwrap();
    assert_eq!((it.capabilities, it.holder, it.ended, it.is_desks), (both, holder, None, false));
    // Whoever holds it: an offboarding says so.
    world.desk = reopened(&world);
    let plan = world.desk.plan_offboarding(&world.store, &handle("alice"), NOW).unwrap();
    assert_eq!(plan.issuer_ids, [id]);
    // Its end: later statements are refused, earlier ones stand.
    let policy = policy_with(|it| it.device_limit = 3);
    let batch = world.desk.set_policy(&keys, (&world.store, &policy), NOW, &mut *world.rng).unwrap();
    apply(&mut world.store, &batch);
    world.flush(&mut log);
    let ceremony = world.root.end_issuer(&world.public, &id, &mut *world.rng).unwrap();
    hold(&mut world, &mut log, &ceremony, &Act { action: "issuer revoke", ..Act::default() });
    assert!(!log.authority.is_active(&id));
    assert_eq!(log.authority.policy(), &policy);
    let desks = world.public.desk().unwrap().issuer_id();
    let refused = world.root.end_issuer(&world.public, &desks, &mut *world.rng).unwrap_err();
    assert_eq!(refused, crate::AdminError::DesksIssuer);
    // Its keys sign nothing more here, and what they would sign the log refuses.
    let policy = policy_with(|it| it.device_limit = 4);
    let refused = world.desk.set_policy(&keys, (&world.store, &policy), NOW, &mut *world.rng);
    assert_eq!(refused.unwrap_err(), OrgError::WrongKeys);
    world.store.retain(|key, _| key.table.0 != 0x0227);
    let batch = world.desk.set_policy(&keys, (&world.store, &policy), NOW, &mut *world.rng).unwrap();
    apply(&mut world.store, &batch);
    let queued = next(&world).unwrap();
    assert_eq!(log.append(queued.kind, &queued.statement, NOW), Err(LogError::NotPermitted));
}

/// The desk as another process opens it.
fn reopened(world: &World) -> Desk {
    let keys = DeskKeys::from_secret_bytes(world.desk.keys.to_secret_bytes().expose()).unwrap();
    Desk::new(keys, world.public.clone(), world.now).unwrap()
}

#[test]
fn a_renewed_desk_keeps_its_records_and_nobody_enrols_again_r_org_45() {
    let mut world = World::new(129);
    let mut log = Log::of(&world.public);
    let (_, _, alice) = world.enrolled("alice");
    let old = world.desk.keys.to_secret_bytes();
    let records_key = || DeskKeys::records_key(old.expose()).unwrap();
    let (keys, ceremony) = world.root.renew_desk(&world.public, records_key(), NOW, &mut *world.rng).unwrap();
    let contents = keys.to_secret_bytes();
    let again = DeskKeys::records_key(contents.expose()).unwrap();
    assert_eq!(again.expose(), records_key().expose(), "R-ORG-14: the same records");
    let before = world.public.desk().unwrap().clone();
    world.public = verified(&ceremony.document);
    world.desk =
        Desk::new(DeskKeys::from_secret_bytes(contents.expose()).unwrap(), world.public.clone(), NOW)
            .unwrap();
    let mut batch = Batch::default();
    let (act, files) = (Act { action: "desk renew", ..Act::default() }, Some([&contents, &old]));
    world
        .desk
        .carry_out_ceremony((&world.store, &mut batch), (&ceremony, files), &act, (NOW, &mut *world.rng))
        .unwrap();
    apply(&mut world.store, &batch);
    assert_eq!(unfinished(&world.store).unwrap().desk.unwrap().expose(), contents.expose());
    let former = former_desk(&world.store).unwrap().unwrap();
    assert_eq!(former.to_secret_bytes().expose(), old.expose(), "until the log lets the new one in");
    let (_, _, bob) = world.enrolled("bob");
    world.flush(&mut log);
    assert!(former_desk(&world.store).unwrap().is_none());
    assert_ne!(alice.issuer_id(), bob.issuer_id());
    assert_ne!(before.device_id(), world.public.desk().unwrap().device_id());
    // The old issuer may go now; what it vouched for stands (R-LOG-9).
    let ceremony = world.root.end_issuer(&world.public, &alice.issuer_id(), &mut *world.rng).unwrap();
    hold(&mut world, &mut log, &ceremony, &act);
    assert!(world.public.verify_credential(Unverified::new(alice.signed().clone()), NOW).is_ok());
}

#[test]
fn a_root_that_has_a_successor_signs_no_more_r_org_45() {
    let mut world = World::new(130);
    let mut log = Log::of(&world.public);
    let (id, act) = (world.public.id(), Act { action: "root succeed", ..Act::default() });
    let (next_root, ceremony) = world.root.succeed(&world.public, &mut *world.rng).unwrap();
    hold(&mut world, &mut log, &ceremony, &act);
    assert_eq!((world.public.id(), log.authority.organisation().root_key()), (id, world.public.root_key()));
    let add = (Capabilities::GROUPS, WEEK);
    let old = world.root.add_issuer(&world.public, add, NOW, &mut *world.rng).unwrap_err();
    assert_eq!(old, crate::AdminError::WrongKeys);
    let (keys, ceremony) = next_root.add_issuer(&world.public, add, NOW, &mut *world.rng).unwrap();
    hold(&mut world, &mut log, &ceremony, &act);
    assert!(log.authority.is_active(&keys.issuer().id()));
    let ids = |text: &str| parse_capabilities(text).map(capability_names);
    assert_eq!(ids("offboard, enrol").as_deref(), Some("enrol,offboard"));
    assert_eq!((ids(""), ids("enrol,everything")), (None, None));
}

#[test]
fn policy_and_successors_rise_in_number_and_reach_the_log_r_org_47() {
    let mut world = World::new(131);
    let mut log = Log::of(&world.public);
    let set = |world: &mut World, policy: &Policy| {
        let batch = world.desk.set_policy(&world.admin, (&world.store, policy), NOW, &mut *world.rng)?;
        apply(&mut world.store, &batch);
        Ok::<_, OrgError>(batch.is_empty())
    };
    let strict = policy_with(|it| (it.may_export, it.freshness) = (false, LEAST_FRESHNESS));
    assert_eq!(set(&mut world, &Policy::default()), Ok(true), "nothing to say");
    assert_eq!(set(&mut world, &strict), Ok(false));
    assert_eq!(set(&mut world, &strict), Ok(true), "said already");
    let wrong = policy_with(|it| it.freshness = Duration::from_secs(1));
    assert_eq!(set(&mut world, &wrong), Err(OrgError::PolicyOutOfRange));
    assert_eq!(set(&mut world, &Policy::default()), Ok(false));
    assert_eq!(set(&mut world, &strict), Ok(false));
    assert_eq!(Desk::policy(&world.store), Ok(strict));
    let (group, members) = ([0; 16], [MemberId::new([1; 16]), MemberId::new([2; 16])]);
    for members in [&members[..], &members[..1]] {
        let said = (&group, members);
        let batch = world.desk.set_group_successors(&world.admin, &world.store, said, (NOW, &mut *world.rng));
        apply(&mut world.store, &batch.unwrap());
    }
    let many = [MemberId::new([3; 16]); 17];
    let said = (&group, &many[..]);
    let batch = world.desk.set_group_successors(&world.admin, &world.store, said, (NOW, &mut *world.rng));
    assert_eq!(batch.unwrap_err(), OrgError::TooManySuccessors);
    world.flush(&mut log);
    assert_eq!((log.authority.policy(), log.authority.policy_sequence()), (&strict, 3));
    assert_eq!(log.authority.group_successors(&[7; 16]), members[..1]);
}

#[test]
fn acts_are_kept_with_their_place_in_the_log_and_a_changed_one_is_found_r_org_46() {
    let mut world = World::new(132);
    let mut log = Log::of(&world.public);
    world.desk = reopened(&world).with_actor("ann");
    world.invite("alice");
    let batch = world.offboard("alice");
    apply(&mut world.store, &batch);
    assert!(Desk::acts(&world.store, &world.public).unwrap().iter().all(|act| act.entry.is_none()));
    world.flush(&mut log);
    let acts = Desk::acts(&world.store, &world.public).unwrap();
    let said: Vec<_> =
        acts.iter().map(|act| (act.actor.as_str(), act.action.as_str(), act.target.as_str())).collect();
    assert_eq!(said, [("ann", "invite", "alice"), ("ann", "offboard", "alice")]);
    for act in &acts {
        let at = usize::try_from(act.entry.unwrap()).unwrap();
        assert_eq!((log.commitments[at], act.fault), (act.commitment, None));
    }
    // Somebody with the desk's keys rewrites who did it.
    let key = RecordKey::new(chancery_wire::records::Table(0x0223), 0_u64.to_be_bytes());
    let record = decode::<proto::DeskAct>(&world.store[&key], Limit::RECORD).unwrap().into_unchecked();
    let act = decode::<proto::AdministrativeAct>(&record.act, Limit::RECORD).unwrap().into_unchecked();
    let forged = encode(&proto::AdministrativeAct { actor: "bob".into(), ..act });
    world.store.insert(key.clone(), encode(&proto::DeskAct { act: forged, ..record.clone() }));
    let faults = |world: &World| {
        let acts = Desk::acts(&world.store, &world.public).unwrap();
        acts.iter().map(|act| act.fault).collect::<Vec<_>>()
    };
    assert_eq!(faults(&world), [Some(ActFault::Changed), None]);
    let mut commitment = record.commitment.clone().unwrap();
    commitment.signature[5] ^= 1;
    world.store.insert(key, encode(&proto::DeskAct { commitment: Some(commitment), ..record }));
    assert_eq!(faults(&world), [Some(ActFault::NotAuthentic), None]);
}

#[test]
fn two_acts_with_the_same_words_have_different_commitments_r_org_46() {
    let mut world = World::new(133);
    let mut batch = Batch::default();
    let act = Act { action: "policy", ..Act::default() };
    for _ in 0..2 {
        world.desk.record_act((&world.store, &mut batch), &act, NOW, &mut *world.rng).unwrap();
    }
    apply(&mut world.store, &batch);
    let acts = Desk::acts(&world.store, &world.public).unwrap();
    assert_eq!((acts.len(), kinds(&world).len()), (2, 2), "both in one batch");
    assert_ne!(acts[0].commitment, acts[1].commitment);
    assert_eq!((acts[0].number, acts[1].number), (0, 1));
}

#[test]
fn the_desk_remembers_the_longest_log_it_has_verified_r_org_48() {
    let mut world = World::new(134);
    let mut log = Log::of(&world.public);
    world.enrolled("alice");
    world.flush(&mut log);
    let mut store = world.store.clone();
    assert_eq!(Desk::log_view(&store), Ok(None), "nobody has verified it");
    assert_eq!(Desk::least_log_size(&store), Ok(log.head.size()), "but it has these");
    let size = log.head.size();
    let view = |size| LogView { size, root: [7; 32], time: NOW };
    for (size, kept) in [(3, 3), (size + 5, size + 5), (4, size + 5)] {
        let batch = Desk::log_verified(&store, &view(size)).unwrap();
        apply(&mut store, &batch);
        assert_eq!(Desk::log_view(&store), Ok(Some(view(kept))));
        assert_eq!(Desk::least_log_size(&store), Ok(kept.max(log.head.size())));
    }
}
