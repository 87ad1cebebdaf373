//! The key tree: who can follow a change of the directory key, and who cannot, with everything they ever held.

use super::*;
use crate::places;
use crate::state;
use crate::tree::{Change, MAX_PLACED_MEMBERS, MEMBER_LEVEL, Node, ROOT_LEVEL, Side};
use crate::{DirectoryKeys, Removed};
use chancery_crypto::secret::Secret;
use chancery_identity::{DeviceId, DirectoryKeyUpdate, LAST_KEY_EPOCH, MAX_DEVICES, MemberId, sign};
use chancery_wire::{Limit, decode};
use proptest::prelude::*;

/// A device, and every key of the tree that it ever held, by level and index.
struct Placed {
    member: MemberId,
    device: DeviceId,
    keys: DirectoryKeys,
    held: Vec<((u32, u32), [u8; 32])>,
}

impl Placed {
    fn note(&mut self) {
        let path = self.keys.path();
        for (level, key) in path.expose().as_chunks::<32>().0.iter().enumerate() {
            let node = Node::above(self.keys.slot(), u32::try_from(level).unwrap());
            self.held.push(((node.level, node.index), *key));
        }
    }
}

/// Everybody who was removed, together: all that they held, and what they make of updates.
#[derive(Default)]
struct Pool(BTreeMap<(u32, u32), Vec<Secret<32>>>);

impl Pool {
    fn add(&mut self, node: (u32, u32), key: Secret<32>) {
        self.0.entry(node).or_default().push(key);
    }

    /// Opens of an update what can be opened, with every key on every place; returns the directory key if that is among it.
    fn open(&mut self, org: &chancery_identity::OrgId, update: &DirectoryKeyUpdate) -> Option<Secret<32>> {
        let change = Change { org, epoch: update.epoch() };
        let top = proto::NodeKey {
            level: Node::TOP.level,
            for_left: update.directory_key().to_vec(),
            ..proto::NodeKey::default()
        };
        let mut found = None;
        for sealed in update.nodes().iter().chain([&top]) {
            let node = Node { level: sealed.level, index: sealed.index };
            for (side, sealed) in [(Side::Left, &sealed.for_left), (Side::Right, &sealed.for_right)] {
                let child = (node.level.saturating_sub(1), node.index << 1 | side as u32);
                let held = self.0.get(&child).into_iter().flatten();
                let opened: Vec<_> =
                    held.filter_map(|key| change.open(key, (node, side), sealed).ok()).collect();
                for key in opened {
                    found = (node == Node::TOP).then(|| Secret::from_bytes(*key.expose())).or(found);
                    self.add((node.level, node.index), key);
                }
            }
        }
        found
    }
}

/// A desk whose devices come without an enrolment, which has its own tests.
struct Office {
    world: World,
    live: Vec<Placed>,
    pool: Pool,
}

impl Office {
    /// Begins near the end of the chain, where one step of it is not a minute of a test's time.
    fn new(seed: u8, epoch: u64) -> Self {
        let mut world = World::new(seed);
        let settings = state::settings(&world.store).unwrap();
        let directory_key = settings.last_key.at(epoch).unwrap();
        let mut batch = Batch::default();
        state::put_settings(&mut batch, &state::Settings { directory_key, ..settings });
        let publication = proto::DeskPublication { key_epoch: epoch, ..Default::default() };
        state::put_publication(&mut batch, &publication);
        apply(&mut world.store, &batch);
        Self { world, live: Vec::new(), pool: Pool::default() }
    }

    fn admit(&mut self, member_id: MemberId) -> usize {
        let World { store, rng, .. } = &mut self.world;
        let device = DeviceId::random(&mut **rng);
        let mut member = state::member(store, &member_id).unwrap().unwrap_or_else(|| proto::DeskMember {
            handle: "somebody".into(),
            name: "Some Body".into(),
            ..Default::default()
        });
        let mut batch = Batch::default();
        let place = places::join(store, &mut batch, (&member.device_ids, &device), &mut **rng).unwrap();
        let (slot, path) = place.expect("there is room");
        member.device_ids.push(device.as_bytes().to_vec());
        state::put_member(&mut batch, &member_id, &member);
        apply(store, &batch);
        let keys = DirectoryKeys::new(state::settings(store).unwrap().directory_key, slot, path);
        let mut placed = Placed { member: member_id, device, keys, held: Vec::new() };
        placed.note();
        self.live.push(placed);
        self.live.len().saturating_sub(1)
    }

    /// Removes devices; everybody else follows, and those who went put together what they have.
    fn remove(&mut self, member: &MemberId, devices: Option<&[DeviceId]>) -> DirectoryKeyUpdate {
        let World { desk, store, rng, .. } = &mut self.world;
        let Removed { batch, entries, key_stays } =
            desk.remove_devices(store, (member, devices), NOW, &mut **rng).unwrap();
        apply(store, &batch);
        let [update, entry] = &entries[..] else { panic!("an update and an entry") };
        assert!(!key_stays);
        let newest = state::settings(store).unwrap().directory_key;
        assert_eq!(key_epoch(entry), Some(newest.epoch()), "sealed under the new key");
        let update = self.world.public.open_directory_key_update(update).unwrap();
        let is_gone =
            |it: &mut Placed| it.member == *member && devices.is_none_or(|ids| ids.contains(&it.device));
        for mut gone in self.live.extract_if(.., is_gone).collect::<Vec<_>>() {
            assert!(gone.keys.follow(&self.world.public.id(), &update).is_err());
            gone.held.drain(..).for_each(|(node, key)| self.pool.add(node, Secret::from_bytes(key)));
        }
        for one in &mut self.live {
            one.keys = one.keys.follow(&self.world.public.id(), &update).unwrap();
            assert!(one.keys.key().secret().ct_eq(newest.secret().expose()));
            one.note();
        }
        update
    }

    fn taken(&self) -> u32 {
        state::member_numbers(&self.world.store).unwrap().iter().map(|byte| byte.count_ones()).sum()
    }

    fn nodes(&self) -> usize {
        self.world.store.keys().filter(|key| key.table.0 == 0x020a).count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// R-ORG-34, R-ORG-35, R-ORG-36: in any order of comings and goings.
    #[test]
    fn exactly_those_who_are_there_follow_every_change(
        seed in any::<u8>(),
        steps in proptest::collection::vec((0..6_u8, 0..5_u8), 10..40),
    ) {
        let mut office = Office::new(seed, LAST_KEY_EPOCH - 50);
        let org = office.world.public.id();
        for (member, what) in steps {
            let member = MemberId::new([member; 16]);
            let mine: Vec<DeviceId> =
                office.live.iter().filter(|it| it.member == member).map(|it| it.device).collect();
            let devices = match what {
                0..3 if mine.len() < MAX_DEVICES => { office.admit(member); continue }
                3 if mine.len() > 1 => Some(&mine[mine.len() / 2..=mine.len() / 2]),
                _ if mine.is_empty() => continue,
                _ => None,
            };
            let update = office.remove(&member, devices);
            prop_assert!(office.pool.open(&org, &update).is_none(), "those who left open nothing");
            let slots: alloc::collections::BTreeSet<u32> =
                office.live.iter().map(|it| it.keys.slot()).collect();
            prop_assert_eq!(slots.len(), office.live.len(), "no place twice");
            let nodes: usize = (0..=ROOT_LEVEL)
                .map(|level| slots.iter().map(|slot| slot >> level).collect::<alloc::collections::BTreeSet<_>>().len())
                .sum();
            prop_assert_eq!(office.nodes(), nodes, "a node for each that is above a device, and no other");
        }
    }
}

#[test]
fn who_leaves_reads_on_if_the_keys_above_them_stay() {
    // The control to the test above: without new keys on the path (R-ORG-35) it would fail.
    let mut office = Office::new(130, LAST_KEY_EPOCH - 9);
    let [alice, bob] = [[1; 16], [2; 16]].map(MemberId::new);
    let (org, gone) = (office.world.public.id(), office.admit(alice));
    office.admit(bob);
    let settings = state::settings(&office.world.store).unwrap();
    let next = settings.next_key().unwrap();
    let change = Change { org: &org, epoch: next.epoch() };
    let (root, below) = (Node { level: ROOT_LEVEL, index: 0 }, Node { level: ROOT_LEVEL - 1, index: 0 });
    let (fresh, child) =
        (Secret::from_bytes([5; 32]), state::node(&office.world.store, below).unwrap().unwrap());
    let body = proto::DirectoryKeyUpdateBody {
        org_id: org.as_bytes().to_vec(),
        issuer_id: office.world.desk.keys.issuer.id().as_bytes().to_vec(),
        epoch: next.epoch(),
        nodes: Vec::from([proto::NodeKey {
            level: root.level,
            for_left: change.seal(&child, (root, Side::Left), &fresh),
            ..Default::default()
        }]),
        directory_key: change.seal(&fresh, (Node::TOP, Side::Left), next.secret()),
    };
    let key = office.world.desk.keys.issuer.signing();
    let signed = sign::sign_directory_key_update(key, &body, &mut *office.world.rng);
    let update = DirectoryKeyUpdate::publish(&org, next.epoch(), &signed);
    let update = office.world.public.open_directory_key_update(&update).unwrap();
    let mut gone = office.live.remove(gone);
    assert_eq!(gone.keys.follow(&org, &update).unwrap().key().epoch(), next.epoch());
    gone.held.drain(..).for_each(|(node, key)| office.pool.add(node, Secret::from_bytes(key)));
    assert!(office.pool.open(&org, &update).unwrap().ct_eq(next.secret().expose()));
}

#[test]
fn the_lowest_member_number_and_place_are_given_first() {
    // R-ORG-34
    let mut office = Office::new(131, LAST_KEY_EPOCH - 9);
    let members = [1, 2, 3].map(|it| MemberId::new([it; 16]));
    for member in members.iter().chain(&members) {
        office.admit(*member);
    }
    let slots = |office: &Office| office.live.iter().map(|it| it.keys.slot()).collect::<Vec<_>>();
    assert_eq!(slots(&office), [0, 16, 32, 1, 17, 33]);
    let first = office.live[0].device;
    office.remove(&members[0], Some(&[first]));
    office.remove(&members[1], None);
    assert_eq!((slots(&office), office.taken()), ([32, 1, 33].into(), 2));
    office.admit(members[0]);
    office.admit(MemberId::new([4; 16]));
    office.admit(members[1]);
    assert_eq!(slots(&office), [32, 1, 33, 0, 16, 48]);
}

#[test]
fn a_device_follows_one_change_after_the_other_and_nothing_else() {
    // R-ORG-36
    let mut office = Office::new(132, LAST_KEY_EPOCH - 9);
    let [alice, bob] = [[1; 16], [2; 16]].map(MemberId::new);
    let org = office.world.public.id();
    let there = office.admit(alice);
    let away = |office: &Office| {
        let (keys, path) = (&office.live[there].keys, office.live[there].keys.path());
        let key = (keys.key().epoch(), keys.key().secret().expose().as_slice());
        DirectoryKeys::from_parts(key, (keys.slot(), path.expose())).unwrap()
    };
    let away = away(&office);
    let updates = [(); 2].map(|()| {
        office.admit(bob);
        office.remove(&bob, None)
    });
    assert!(away.follow(&org, &updates[1]).is_err(), "one is missing");
    let next = away.follow(&org, &updates[0]).unwrap();
    assert!(next.follow(&org, &updates[0]).is_err(), "not twice");
    let next = next.follow(&org, &updates[1]).unwrap();
    let there = &office.live[there].keys;
    assert!(next.path().expose() == there.path().expose());
    assert!(next.key().secret().ct_eq(there.key().secret().expose()));
    let foreign = chancery_identity::OrgId::new([7; 32]);
    assert!(away.follow(&foreign, &updates[0]).is_err());
}

#[test]
fn a_spoilt_update_is_not_followed() {
    // R-ORG-36: what no honest desk signs either.
    let mut office = Office::new(133, LAST_KEY_EPOCH - 9);
    let [alice, bob] = [[1; 16], [2; 16]].map(MemberId::new);
    let org = office.world.public.id();
    for member in [alice, alice, bob] {
        office.admit(member);
    }
    let keys = office.live.remove(0).keys;
    let next_door = office.live[0].device;
    let World { desk, store, rng, public, .. } = &mut office.world;
    let removed = desk.remove_devices(store, (&alice, Some(&[next_door])), NOW, &mut **rng).unwrap();
    let good = public.open_directory_key_update(&removed.entries[0]).unwrap();
    assert!(keys.follow(&org, &good).is_ok());
    let body = proto::DirectoryKeyUpdateBody {
        org_id: org.as_bytes().to_vec(),
        issuer_id: desk.keys.issuer.id().as_bytes().to_vec(),
        epoch: good.epoch(),
        nodes: good.nodes().to_vec(),
        directory_key: good.directory_key().to_vec(),
    };
    let change = Change { org: &org, epoch: good.epoch() };
    let other_key = {
        let mut pool = Pool::default();
        let path = keys.path();
        pool.add((0, keys.slot()), Secret::from_slice(&path.expose()[..32]).unwrap());
        assert!(pool.open(&org, &good).is_some());
        let root = &pool.0[&(ROOT_LEVEL, 0)][0];
        change.seal(root, (Node::TOP, Side::Left), &Secret::from_bytes([9; 32]))
    };
    let bad: [&dyn Fn(&mut proto::DirectoryKeyUpdateBody); 8] = [
        &|body| body.nodes.clear(),
        &|body| body.nodes.reverse(),
        &|body| body.nodes.insert(0, body.nodes[0].clone()),
        &|body| body.nodes[0].for_left.clear(),
        &|body| body.nodes[5].for_left[0] ^= 1,
        &|body| body.directory_key.clear(),
        // A key that does not lead back to the one at hand.
        &|body| body.directory_key.clone_from(&other_key),
        &|body| body.nodes.insert(0, proto::NodeKey { level: 0, index: keys.slot(), ..Default::default() }),
    ];
    for (index, change) in bad.into_iter().enumerate() {
        let mut body = body.clone();
        change(&mut body);
        let signed = sign::sign_directory_key_update(desk.keys.issuer.signing(), &body, &mut **rng);
        let update = DirectoryKeyUpdate::publish(&org, body.epoch, &signed);
        let update = public.open_directory_key_update(&update).unwrap();
        assert!(keys.follow(&org, &update).is_err(), "case {index}");
    }
    let mut more = body;
    more.nodes.push(proto::NodeKey { level: u32::MAX, index: u32::MAX, ..Default::default() });
    let signed = sign::sign_directory_key_update(desk.keys.issuer.signing(), &more, &mut **rng);
    let update = DirectoryKeyUpdate::publish(&org, more.epoch, &signed);
    let update = public.open_directory_key_update(&update).unwrap();
    assert!(keys.follow(&org, &update).is_ok(), "a node elsewhere is not its affair");
}

/// Puts the tree as full around a place as it can be: whatever it needs a key of is there.
fn fill(store: &mut Store, slot: u32) {
    let mut batch = Batch::default();
    for level in 0..ROOT_LEVEL {
        let index = slot >> level ^ 1;
        state::put_node(&mut batch, Node { level, index }, &Secret::from_bytes([1; 32]));
    }
    apply(store, &batch);
}

#[test]
fn an_update_fits_a_statement_in_the_largest_tree() {
    // R-ORG-35
    let mut longest = 0;
    for removed in [0x0001_u32, 0x00FF, 0x5555, 0x7FFF, 0x8001, 0x0110, 0xFFFF] {
        let mut office = Office::new(134, LAST_KEY_EPOCH - 9);
        let alice = MemberId::new([1; 16]);
        let devices: Vec<DeviceId> = (0..MAX_DEVICES)
            .map(|_| {
                let at = office.admit(alice);
                office.live[at].device
            })
            .collect();
        for level in MEMBER_LEVEL..ROOT_LEVEL {
            fill(&mut office.world.store, 1 << level);
            fill(&mut office.world.store, 0);
        }
        let gone: Vec<DeviceId> =
            (0..MAX_DEVICES).filter(|bit| removed >> bit & 1 == 1).map(|bit| devices[bit]).collect();
        let World { desk, store, rng, .. } = &mut office.world;
        let done = desk.remove_devices(store, (&alice, Some(&gone)), NOW, &mut **rng).unwrap();
        let length = u32::from_be_bytes(*done.entries[0].sealed[8..].first_chunk().unwrap());
        let signed = &done.entries[0].sealed[12..12 + length as usize];
        let signed: proto::Signed = decode(signed, Limit::ENVELOPE).unwrap().into_unchecked();
        assert!(decode::<proto::DirectoryKeyUpdateBody>(&signed.body, Limit::STATEMENT).is_ok());
        assert!(office.world.public.open_directory_key_update(&done.entries[0]).is_ok());
        longest = longest.max(signed.body.len());
    }
    // No node more than 15 of a member's and 17 above, each for two children: a quarter of what a statement may have.
    assert!((3_000..=4_096).contains(&longest), "{longest}");
}

#[test]
fn the_longest_answer_fits_its_envelope() {
    // R-ORG-8, R-ORG-34
    let mut world = World::new(135);
    let (long, relay) = (name(&"\u{10FFFF}".repeat(128)), world.public.relay().unwrap().clone());
    let (handle, mut settings) = (handle(&"h".repeat(64)), state::settings(&world.store).unwrap());
    settings.organisation_name = long.clone();
    let mut batch = Batch::default();
    state::put_settings(&mut batch, &settings);
    apply(&mut world.store, &batch);
    let invite = Invite {
        handle: &handle,
        name: &long,
        relay: &relay,
        lifetime: WEEK,
        terms: crate::Terms::default(),
    };
    let invited = world.desk.invite(&world.store, invite, NOW, &mut *world.rng).unwrap();
    apply(&mut world.store, &invited.batch);
    let keys = world.device();
    let enrolment = world.enrol(&invited.link, &keys).unwrap();
    assert_eq!(enrolment.organisation_name, long);
    assert_eq!(enrolment.directory.keys().unwrap().path().expose().len(), 704);
}

#[test]
fn a_full_tree_refuses_another_member_and_changes_nothing() {
    // R-ORG-10, R-ORG-34
    let mut world = World::new(136);
    let (link, keys) = (world.invite("alice"), world.device());
    let mut batch = Batch::default();
    state::put_member_numbers(&mut batch, &[0xFF].repeat(MAX_PLACED_MEMBERS as usize / 8));
    apply(&mut world.store, &batch);
    let store = world.store.clone();
    assert_eq!(world.enrol(&link, &keys).unwrap_err(), EnrolError::Refused);
    assert!(world.store == store);
}

#[test]
fn a_removed_device_that_asks_again_gets_no_keys() {
    // R-ORG-10
    let mut world = World::new(137);
    let (link, keys) = (world.invite("alice"), world.device());
    let enrolment = world.enrol(&link, &keys).unwrap();
    let pending = world.request(&link, &keys);
    let (member, device) = (enrolment.credential.member_id(), enrolment.credential.device_id());
    let World { desk, store, rng, .. } = &mut world;
    let removed = desk.remove_devices(store, (&member, None), NOW, &mut **rng).unwrap();
    apply(store, &removed.batch);
    let again = desk.remove_devices(store, (&member, Some(&[device])), NOW, &mut **rng).unwrap();
    assert!(again.batch.is_empty() && again.entries.is_empty(), "once is enough");
    let nobody = desk.remove_devices(store, (&MemberId::new([9; 16]), None), NOW, &mut **rng);
    assert_eq!(nobody.unwrap_err(), OrgError::NotAMember);
    let answered = world.answer(pending.envelope()).unwrap();
    let told = pending.complete(&world.public, &keys, &answered.reply, NOW);
    assert_eq!(told.unwrap_err(), EnrolError::InvitationUsed);
    // Nor does the identifier go to whoever is invited under the handle later.
    world.now = NOW.after(WEEK).after(WEEK);
    assert_eq!(world.try_invite("alice", WEEK).unwrap_err(), OrgError::HandleTaken);
}

#[test]
fn the_last_key_stays_and_devices_go_all_the_same() {
    // R-ORG-35
    let mut office = Office::new(138, LAST_KEY_EPOCH - 1);
    let [alice, bob] = [[1; 16], [2; 16]].map(MemberId::new);
    for member in [alice, alice, alice, bob] {
        office.admit(member);
    }
    let devices: Vec<DeviceId> = office.live.iter().map(|it| it.device).collect();
    let last = office.remove(&alice, Some(&devices[..1]));
    assert_eq!(last.epoch(), LAST_KEY_EPOCH);
    let World { desk, store, rng, .. } = &mut office.world;
    let removed = desk.remove_devices(store, (&alice, Some(&devices[1..2])), NOW, &mut **rng).unwrap();
    apply(store, &removed.batch);
    let [entry] = &removed.entries[..] else { panic!("no update") };
    assert!(removed.key_stays && key_epoch(entry) == Some(LAST_KEY_EPOCH));
    let entry = office.world.public.open_directory_entry(office.live[0].keys.key(), entry).unwrap();
    assert_eq!(entry.device_ids(), &devices[2..3]);
    let slots = (0..3).map(|at| state::slot(&office.world.store, devices[at].as_bytes()).unwrap());
    assert_eq!(slots.collect::<Vec<_>>(), [None, None, Some(2)]);
}

#[test]
fn updates_are_published_before_what_is_sealed_under_their_keys() {
    // R-ORG-37
    let mut world = World::new(139);
    let (link, keys) = (world.invite("alice"), world.device());
    let alice = world.enrol(&link, &keys).unwrap().credential;
    let (link, keys) = (world.invite("bob"), world.device());
    let bob = world.enrol(&link, &keys).unwrap().credential;
    let mut entries = Vec::new();
    for member in [alice.member_id(), bob.member_id()] {
        let World { desk, store, rng, .. } = &mut world;
        let removed = desk.remove_devices(store, (&member, None), NOW, &mut **rng).unwrap();
        apply(store, &removed.batch);
        entries.extend(removed.entries);
    }
    let (link, keys) = (world.invite("carol"), world.device());
    world.enrol(&link, &keys).unwrap();
    let order = |world: &mut World| {
        let mut order = Vec::new();
        loop {
            let pending = Desk::pending_directory(&world.store).unwrap();
            if pending.is_empty() {
                return order;
            }
            for entry in pending {
                order.push((key_epoch(&entry).unwrap(), entry.entry_id.clone()));
                let done = Desk::directory_published(&world.store, &entry.entry_id, entry.version, 9);
                apply(&mut world.store, &done.unwrap());
            }
        }
    };
    let first = order(&mut world);
    assert_eq!(first.iter().map(|(epoch, _)| *epoch).collect::<Vec<_>>(), [0, 0, 2, 3, 3]);
    assert_eq!((&first[0].1, &first[1].1), (&entries[0].entry_id, &entries[2].entry_id));
    assert_eq!(order(&mut world), []);
    // A relay that was put back gets them again, first (R-ORG-23).
    let batch = Desk::compare_directory(&world.store, 1).unwrap();
    apply(&mut world.store, &batch);
    let batch = world.desk.catch_up(&world.store, NOW, &mut *world.rng).unwrap().unwrap();
    apply(&mut world.store, &batch);
    assert_eq!(order(&mut world), first);
    // Another update under that name at the relay does not hold up the rest (R-ORG-12).
    let batch = Desk::compare_directory(&world.store, 2).unwrap();
    apply(&mut world.store, &batch);
    for update in [&entries[0], &entries[2]] {
        let batch = Desk::directory_superseded(&world.store, &update.entry_id, update.version).unwrap();
        apply(&mut world.store, &batch);
    }
    assert_eq!(Desk::pending_directory(&world.store), Ok(Vec::new()));
}

#[test]
fn at_most_64_updates_are_handed_out_at_a_time() {
    // R-ORG-37
    let mut office = Office::new(140, LAST_KEY_EPOCH);
    let mut batch = Batch::default();
    let publication = proto::DeskPublication { key_epoch: LAST_KEY_EPOCH - 70, ..Default::default() };
    state::put_publication(&mut batch, &publication);
    for epoch in LAST_KEY_EPOCH - 70..=LAST_KEY_EPOCH {
        let entry_id = [[0; 8], epoch.to_be_bytes()].concat();
        let update = proto::SealedDirectoryEntry { entry_id, ..Default::default() };
        state::put_key_update(&mut batch, epoch, &update);
    }
    apply(&mut office.world.store, &batch);
    let mut sizes = Vec::new();
    loop {
        let pending = Desk::pending_directory(&office.world.store).unwrap();
        sizes.push(pending.len());
        if pending.is_empty() {
            break;
        }
        for update in pending {
            let done = Desk::directory_published(&office.world.store, &update.entry_id, 1, 1).unwrap();
            apply(&mut office.world.store, &done);
        }
    }
    assert_eq!(sizes, [64, 6, 0]);
}
