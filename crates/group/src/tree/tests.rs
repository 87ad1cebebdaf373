#![allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

use super::*;
use crate::hand_out::{Duty, HandOutChange, HandOutContext, assign, cover, dead_after, duties};
use crate::{Changes, MemoryRows};
use chancery_crypto::rng::{CryptoRng, random_bytes, seeded};

type Keys = BTreeMap<Node, [u8; 32]>;
type Hoard = BTreeSet<(Node, [u8; 32])>;

const GROUP: [u8; 16] = [9; 16];

fn slot(number: u16) -> Slot {
    Slot::new(number).unwrap()
}

fn rows(taken: &BTreeSet<u16>, keys: &Keys) -> MemoryRows {
    let mut rows = MemoryRows::default();
    let hashes = taken.iter().flat_map(|number| up_from(slot(*number).node())).map(|node| (node, [1; 32]));
    let keys = keys.iter().map(|(node, key)| (*node, Some(Secret::from_bytes(*key))));
    rows.apply(Changes { hashes: hashes.collect(), keys: keys.collect(), ..Changes::default() });
    rows
}

fn plain(keys: &BTreeMap<Node, Secret<32>>) -> Keys {
    keys.iter().map(|(node, key)| (*node, *key.expose())).collect()
}

/// A group: who is in it with which keys, what keyholders have, and what everybody who was removed ever had.
struct World<R> {
    rng: R,
    taken: BTreeSet<u16>,
    devices: BTreeMap<u16, Keys>,
    /// Everything that the device in this slot ever had, by node and key.
    hoards: BTreeMap<u16, Hoard>,
    gone: Vec<(u16, Hoard)>,
    all: Keys,
    dead: BTreeSet<Node>,
    epoch: u64,
}

impl<R: CryptoRng> World<R> {
    fn new(rng: R) -> Self {
        Self {
            rng,
            taken: BTreeSet::new(),
            devices: BTreeMap::new(),
            hoards: BTreeMap::new(),
            gone: Vec::new(),
            all: Keys::new(),
            dead: BTreeSet::new(),
            epoch: 0,
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(u16::from_be_bytes(random_bytes(&mut self.rng))) % bound
    }

    fn pick(&mut self, most: usize) -> Vec<u16> {
        let count = self.below(most + 1).min(self.taken.len() - 1);
        let mut from: Vec<u16> = self.taken.iter().copied().collect();
        (0..count).map(|_| from.remove(self.below(from.len()))).collect()
    }

    /// Changes who is in the group, and gives the slots.
    fn change(&mut self, removed: &[u16], fresh: usize, width: u16) -> (Vec<Slot>, Vec<Slot>) {
        for number in removed {
            self.taken.remove(number);
            self.devices.remove(number);
            self.gone.push((*number, self.hoards.remove(number).unwrap()));
        }
        let mut added = Vec::new();
        for _ in 0..fresh {
            let number = u16::from_be_bytes(random_bytes(&mut self.rng)) % width;
            if self.taken.insert(number) {
                added.push(slot(number));
            }
        }
        self.epoch += 1;
        (added, removed.iter().map(|number| slot(*number)).collect())
    }

    fn give(&mut self, number: u16, keys: Keys) {
        self.hoards.entry(number).or_default().extend(keys.iter().map(|(node, key)| (*node, *key)));
        self.devices.entry(number).or_default().extend(keys);
    }

    fn author_but(&mut self, added: &[Slot]) -> u16 {
        let place = self.below(self.taken.len() - added.len());
        *self.taken.iter().filter(|number| !added.contains(&slot(**number))).nth(place).unwrap()
    }

    /// A commit with keying 2.
    fn regrow(&mut self, salt: &[u8; 32], r: &Secret<32>) {
        let (taken, transcript) = (self.taken.clone(), [7; 32]);
        let ctx = TreeContext { group_id: &GROUP, epoch: self.epoch, salt, transcript: &transcript };
        let refresh = Refresh::regrow(&rows(&taken, &Keys::new())).unwrap();
        assert_eq!(refresh.nodes_len(), 0);
        let made = refresh.make(ctx, &MemoryRows::default(), r).unwrap();
        self.all = plain(&made.keys);
        self.dead.clear();
        self.devices.clear();
        for number in taken {
            let opened = open_path(slot(number), made.path(slot(number)).unwrap().expose()).unwrap().unwrap();
            assert_eq!(opened.secret.expose(), made.secret.expose());
            self.give(number, plain(&opened.keys));
        }
    }

    /// A commit with keying 1.
    fn tree(&mut self, added: &[Slot], removed: &[Slot], salt: &[u8; 32], r: &Secret<32>) {
        let (author, transcript) = (slot(self.author_but(added)), [7; 32]);
        let after = rows(&self.taken, &Keys::new());
        let ctx = TreeContext { group_id: &GROUP, epoch: self.epoch, salt, transcript: &transcript };
        let refresh = Refresh::plan(&after, added, removed, author, &self.dead).unwrap();
        // Neither keys of dead nodes nor of removed slots are there to be used.
        for node in emptied(&after, removed).unwrap().iter().chain(&self.dead) {
            self.all.remove(node);
        }
        let made = refresh.make(ctx, &rows(&self.taken, &self.all), r).unwrap();
        assert_eq!(made.nodes.len(), refresh.nodes_len());
        for (number, keys) in self.devices.clone() {
            let opened = refresh.open(ctx, slot(number), &rows(&self.taken, &keys), &made.nodes).unwrap();
            assert_eq!(opened.secret.expose(), made.secret.expose(), "slot {number}");
            let hoard = &self.hoards[&number];
            assert!(
                made.nodes.is_empty() || can_open(&refresh, ctx, &made.nodes, hoard),
                "control, {number}"
            );
            self.give(number, plain(&opened.keys));
        }
        for (number, hoard) in &self.gone {
            assert!(!can_open(&refresh, ctx, &made.nodes, hoard), "removed slot {number}");
            let keys = hoard.iter().copied().collect();
            let opened = refresh.open(ctx, slot(*number), &rows(&self.taken, &keys), &made.nodes);
            assert!(opened.is_err(), "removed slot {number}");
        }
        for new in added {
            let opened = open_path(*new, made.path(*new).unwrap().expose()).unwrap().unwrap();
            assert_eq!(opened.secret.expose(), made.secret.expose());
            // A welcome brings the keys after the commit.
            let keys = plain(&made.keys).into_iter().filter(|(node, _)| node.covers(*new));
            self.give(new.get(), keys.collect());
        }
        let before: Hoard = self.all.iter().map(|(node, key)| (*node, *key)).collect();
        assert!(made.nodes.is_empty() || can_open(&refresh, ctx, &made.nodes, &before), "the control");
        self.all.extend(plain(&made.keys));
        let tree: Hoard = self.all.iter().map(|(node, key)| (*node, *key)).collect();
        assert!(!can_open(&refresh, ctx, &made.nodes, &tree), "keys do not outlive their boxes");
        // R-GROUP-13: `check` finds a key of every node then.
        self.dead.clear();
    }

    /// A commit with keying 3, whose secret reaches everybody.
    fn hand_out(&mut self, (added, removed): (&[Slot], &[Slot]), author: u16, keyholder: bool) {
        let after = rows(&self.taken, &Keys::new());
        let change = HandOutChange { removed, added, keyholder };
        added.iter().for_each(|slot| self.give(slot.get(), Keys::new()));
        self.dead = dead_after(&after, &self.dead, change).unwrap();
        let dead = self.dead.clone();
        self.all.retain(|node, _| !dead.contains(node) && after.hash(*node).unwrap() != [0; 32]);
        self.devices.values_mut().for_each(|keys| keys.retain(|node, _| !dead.contains(node)));
        let cover = cover(&after, &dead).unwrap();
        let assignment = assign(&cover, slot(author));
        assert!(assignment.helpers.len() <= crate::MAX_HELPERS);
        let secret = Secret::random(&mut self.rng);
        let ctx = HandOutContext { group_id: &GROUP, epoch: self.epoch, commit: &[5; 32] };
        let mut reached = BTreeSet::from([author]);
        let mut ranges: Vec<_> = assignment.own.map(|range| (author, range)).into_iter().collect();
        for range in assignment.helpers {
            let helper = range.taken(&after).unwrap()[0].get();
            assert_ne!(helper, author);
            reached.insert(helper);
            ranges.push((helper, range));
        }
        for (server, range) in ranges {
            let own = rows(&self.taken, &self.devices[&server]);
            for duty in duties(&own, &dead, &cover, range, slot(server)).unwrap() {
                let Duty::Publish(node) = duty else {
                    let Duty::Send(to) = duty else { unreachable!() };
                    assert!(reached.insert(to.get()), "slot {to:?} is served once");
                    continue;
                };
                let key = own.key(node).unwrap().unwrap();
                let envelope = ctx.seal(&[4; 16], node, &key, &secret);
                assert_eq!(envelope.len(), 68);
                for (number, keys) in &self.devices {
                    let opened = ctx.open(slot(*number), &rows(&self.taken, keys), &dead, &envelope);
                    assert_eq!(opened.is_ok(), node.covers(slot(*number)));
                    if let Ok(opened) = opened {
                        assert_eq!(opened.expose(), secret.expose());
                        assert!(reached.insert(*number) || *number == server);
                    }
                }
                for (number, hoard) in &self.gone {
                    // With every key it ever had, one after the other, and as if nothing were dead.
                    for (node, key) in hoard {
                        let keys = rows(&self.taken, &Keys::from([(*node, *key)]));
                        assert!(ctx.open(slot(*number), &keys, &BTreeSet::new(), &envelope).is_err());
                    }
                }
            }
        }
        assert_eq!(reached, self.taken, "everybody has the secret");
        // R-GROUP-17: whoever has the key of a node of the cover replaces it.
        let holders = self.devices.values_mut().chain([&mut self.all]);
        for keys in holders {
            for (node, key) in keys.iter_mut().filter(|(node, _)| cover.contains(node)) {
                assert!(!dead.contains(node));
                *key = *used(&Secret::from_bytes(*key)).expose();
            }
        }
        for (number, keys) in &self.devices {
            self.hoards.entry(*number).or_default().extend(keys.iter().map(|(node, key)| (*node, *key)));
        }
    }

    /// Everybody has the keys of the live nodes above it, the same as keyholders have, and nobody else's.
    fn check(&self) {
        let live: BTreeSet<Node> = self
            .taken
            .iter()
            .flat_map(|number| up_from(slot(*number).node()))
            .filter(|node| !self.dead.contains(node))
            .collect();
        assert_eq!(self.all.keys().copied().collect::<BTreeSet<_>>(), live);
        assert_eq!(self.devices.keys().copied().collect::<BTreeSet<_>>(), self.taken);
        for (number, keys) in &self.devices {
            let own = self.all.iter().filter(|(node, _)| node.covers(slot(*number)));
            assert_eq!(*keys, own.map(|(node, key)| (*node, *key)).collect::<Keys>());
        }
        for (_, hoard) in &self.gone {
            assert!(hoard.iter().all(|(node, key)| self.all.get(node) != Some(key)));
        }
    }
}

/// Whether any of the keys opens any of the boxes.
fn can_open(refresh: &Refresh, ctx: TreeContext<'_>, nodes: &[u8], hoard: &Hoard) -> bool {
    refresh.steps.iter().any(|(node, step)| {
        step.boxes.iter().any(|child| {
            hoard.iter().any(|(_, key)| {
                open_box(ctx, (*node, step), *child, &Secret::from_bytes(*key), nodes).is_ok()
            })
        })
    })
}

#[test]
fn who_stays_shares_every_secret_and_who_is_removed_none_r_group_11_12_16_17() {
    let (mut trees, mut hand_outs) = (0, 0);
    for seed in 0..12 {
        let mut world = World::new(seeded([seed; 32]));
        // Crowded, and scattered over the whole tree.
        let width = if seed % 2 == 0 { 24 } else { 16_384 };
        world.change(&[], 14, width);
        let (salt, r) = (random_bytes(&mut world.rng), Secret::random(&mut world.rng));
        world.regrow(&salt, &r);
        world.check();
        for _ in 0..10 {
            let (kind, removed) = (world.below(5), world.pick(3));
            let (salt, r) = (random_bytes(&mut world.rng), Secret::random(&mut world.rng));
            let slots_dead = world.dead.iter().any(|node| node.level() == 0);
            match kind {
                0 | 1 if !removed.is_empty() => {
                    let fresh = world.below(2);
                    let (added, removed) = world.change(&removed, fresh, width);
                    let author = world.author_but(&added);
                    world.hand_out((&added, &removed), author, kind == 0 && seed % 3 == 0);
                    hand_outs += 1;
                }
                _ if slots_dead => {
                    world.change(&[], 0, width);
                    world.regrow(&salt, &r);
                }
                _ => {
                    let fresh = world.below(3);
                    let (added, removed) = world.change(&removed, fresh, width);
                    world.tree(&added, &removed, &salt, &r);
                    trees += 1;
                }
            }
            world.check();
        }
    }
    // More than by chance: both keyings, in many shapes.
    assert!(trees > 40 && hand_outs > 15, "{trees} {hand_outs}");
}

#[test]
fn a_box_that_a_member_needs_cannot_be_changed_and_the_length_is_fixed_r_group_11() {
    let mut world = World::new(seeded([77; 32]));
    world.taken.extend([0, 1, 2, 3, 5, 9, 200]);
    let r = Secret::random(&mut world.rng);
    world.regrow(&[1; 32], &r);
    world.taken.remove(&3);
    let after = rows(&world.taken, &Keys::new());
    let ctx = TreeContext { group_id: &GROUP, epoch: 2, salt: &[2; 32], transcript: &[7; 32] };
    let refresh = Refresh::plan(&after, &[], &[slot(3)], slot(0), &BTreeSet::new()).unwrap();
    let made = refresh.make(ctx, &rows(&world.taken, &world.all), &r).unwrap();
    let mut needed = 0;
    for number in &world.taken {
        let keys = rows(&world.taken, &world.devices[number]);
        let open = |ctx, nodes: &[u8]| refresh.open(ctx, slot(*number), &keys, nodes);
        for bit in 0..8 * made.nodes.len() {
            let mut bad = made.nodes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            match open(ctx, &bad) {
                Ok(opened) => assert_eq!(opened.secret.expose(), made.secret.expose()),
                Err(error) => {
                    assert_eq!(error, GroupError::NotAuthentic);
                    needed += 1;
                }
            }
        }
        // Each opens one box: the rest follows by `up`.
        assert_eq!(needed % (8 * BOX_LEN), 0);
        let cut = &made.nodes[..made.nodes.len() - 1];
        assert_eq!(open(ctx, cut).err(), Some(GroupError::Malformed));
        let long = [&made.nodes[..], &[0; BOX_LEN]].concat();
        assert_eq!(open(ctx, &long).err(), Some(GroupError::Malformed));
        for other in [
            TreeContext { group_id: &[8; 16], ..ctx },
            TreeContext { epoch: 3, ..ctx },
            TreeContext { salt: &[3; 32], ..ctx },
            TreeContext { transcript: &[8; 32], ..ctx },
        ] {
            assert_eq!(open(other, &made.nodes).err(), Some(GroupError::NotAuthentic));
        }
    }
    assert_eq!(needed, 8 * BOX_LEN * world.taken.len());
}

#[test]
fn a_removal_costs_few_boxes_r_group_11() {
    for (size, most) in [(1_000, 10), (10_000, 14)] {
        let mut taken: BTreeSet<u16> = (0..size).collect();
        taken.remove(&(size / 3));
        let after = rows(&taken, &Keys::new());
        let plan = |removed| Refresh::plan(&after, &[], &[slot(removed)], slot(0), &BTreeSet::new()).unwrap();
        assert!(plan(size / 3).nodes_len() <= most * BOX_LEN, "{size}");
    }
}

#[test]
fn while_a_slot_that_stays_is_dead_the_tree_must_be_regrown_r_group_11() {
    let taken = BTreeSet::from([0, 1, 2]);
    let after = rows(&taken, &Keys::new());
    let plan = |added: &[Slot], removed: &[Slot], dead: u16| {
        Refresh::plan(&after, added, removed, slot(0), &BTreeSet::from([slot(dead).node()])).err()
    };
    assert_eq!(plan(&[], &[], 1), Some(GroupError::NotAllowed));
    // Emptied, and emptied and filled anew.
    assert_eq!(plan(&[], &[slot(5)], 5), None);
    assert_eq!(plan(&[slot(1)], &[slot(1)], 1), None);
    assert_eq!(plan(&[slot(6)], &[], 5), Some(GroupError::Malformed));
}

#[test]
fn keyholders_alone_read_the_seed_and_their_key_moves_on_r_group_11_12() {
    let (key, r) = (Secret::from_bytes([1; 32]), Secret::from_bytes([2; 32]));
    let ctx = TreeContext { group_id: &GROUP, epoch: 2, salt: &[2; 32], transcript: &[7; 32] };
    let seed = seal_seed(ctx, &key, &r);
    assert_eq!(seed.len(), BOX_LEN);
    assert_eq!(open_seed(ctx, &key, &seed).unwrap().expose(), r.expose());
    assert!(open_seed(ctx, &r, &seed).is_err());
    assert!(open_seed(TreeContext { epoch: 3, ..ctx }, &key, &seed).is_err());
    for bit in 0..8 * seed.len() {
        let mut bad = seed.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(open_seed(ctx, &key, &bad).is_err());
    }
    let next = next_administrators_key(Some(&key), &r, &[3; 32]);
    assert!(!next.ct_eq(next_administrators_key(None, &r, &[3; 32]).expose()));
    assert!(!next.ct_eq(next_administrators_key(Some(&key), &r, &[4; 32]).expose()));
}

#[test]
fn a_path_is_whole_or_of_zeros_r_group_25() {
    let mut path = [1; PATH_LEN];
    assert_eq!(open_path(slot(3), &path).unwrap().unwrap().keys.len(), 15);
    path[32..64].fill(0);
    assert_eq!(open_path(slot(3), &path).err(), Some(GroupError::Malformed));
    assert_eq!(open_path(slot(3), &path[1..]).err(), Some(GroupError::Malformed));
    assert!(open_path(slot(3), &[0; PATH_LEN]).unwrap().is_none());
}

#[test]
fn many_who_need_a_hand_out_are_shared_among_64_helpers_r_group_17() {
    let taken: BTreeSet<u16> = (0..10_000).filter(|number| *number != 4_000).collect();
    let after = rows(&taken, &Keys::new());
    for (keyholder, expected) in [(false, 10), (true, 9_999)] {
        let change = HandOutChange { removed: &[slot(4_000)], added: &[], keyholder };
        let dead = dead_after(&after, &BTreeSet::new(), change).unwrap();
        let cover = cover(&after, &dead).unwrap();
        assert!(cover.len() >= expected, "{}", cover.len());
        for author in [0, 5_000, 9_999] {
            let assignment = assign(&cover, slot(author));
            assert!(assignment.helpers.len() <= 64);
            let mut served: BTreeSet<u16> = BTreeSet::new();
            for range in assignment.own.iter().chain(&assignment.helpers) {
                for slot in range.taken(&after).unwrap() {
                    assert!(served.insert(slot.get()), "one range for each");
                }
            }
            served.insert(author);
            assert_eq!(served, taken);
        }
    }
}
