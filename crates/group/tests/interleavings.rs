//! Concurrent commits end in one roster everywhere, in whatever order slots are seen and filled, and with garbage in
//! them (R-GROUP-5, R-GROUP-21; ATTACKS A06).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::too_many_lines,
    reason = "a test that overflows or finds nothing fails"
)]

mod world;

use std::collections::BTreeMap;

use chancery_group::{
    Changes, GroupError, Keying, Reason, Role, UnverifiedCommit, remove, set_info, set_role,
};
use chancery_wire::proto;
use world::{Sent, World, info, member};

/// A relay's slots, each filled once, by name: the transcript that is followed and the attempt.
type Slots = BTreeMap<(Vec<u8>, u32), Vec<u8>>;
type Operation = fn(&World) -> (usize, Vec<proto::GroupChange>);

struct Pending {
    sent: Sent,
    own: Changes,
    before: Vec<u8>,
    attempt: u32,
}

struct Race {
    world: World,
    slots: Slots,
    sent: BTreeMap<[u8; 32], (usize, Sent)>,
    pending: BTreeMap<usize, Pending>,
    won: usize,
}

impl Race {
    fn prepare(&mut self, operation: Operation) -> bool {
        let (device, changes) = operation(&self.world);
        if self.world.devices[device].rows.is_none() {
            return false;
        }
        let before = self.world.group(device).head.transcript.clone();
        for keying in [Keying::Tree, Keying::Regrow] {
            match self.world.build(device, changes.clone(), keying) {
                Ok(built) => {
                    let mut sent = Sent::of(built);
                    let own = sent.own.take().unwrap();
                    self.pending.insert(device, Pending { sent, own, before, attempt: 0 });
                    return true;
                }
                Err(GroupError::WrongKeying) => {}
                Err(_) => return false,
            }
        }
        false
    }

    /// Puts what was prepared into the first slot that is free; follows whoever was faster, and then prepares anew.
    fn put(&mut self, operation: Operation) {
        let device = operation(&self.world).0;
        while let Some(mut pending) = self.pending.remove(&device) {
            let name = (pending.before.clone(), pending.attempt);
            let Some(content) = self.slots.get(&name).cloned() else {
                self.slots.insert(name, pending.sent.bytes.clone());
                self.world.devices[device].take(pending.own);
                self.sent.insert(pending.sent.hash, (device, pending.sent));
                self.won += 1;
                return;
            };
            if self.is_valid(device, &content) {
                self.follow(device);
                self.prepare(operation);
            } else {
                pending.attempt += 1;
                self.pending.insert(device, pending);
            }
        }
    }

    fn is_valid(&self, device: usize, content: &[u8]) -> bool {
        let read = UnverifiedCommit::from_bytes(content);
        read.is_ok_and(|commit| commit.verify(self.world.group(device), &self.world.log).is_ok())
    }

    /// Follows whatever has won, as far as there is something.
    fn follow(&mut self, device: usize) {
        let mut attempt = 0;
        while self.world.devices[device].rows.is_some() {
            let before = self.world.group(device).head.transcript.clone();
            let Some(content) = self.slots.get(&(before, attempt)).cloned() else { return };
            if !self.is_valid(device, &content) {
                attempt += 1;
                continue;
            }
            let hash = *UnverifiedCommit::from_bytes(&content).unwrap().hash();
            let (_, sent) = &self.sent[&hash];
            self.world.receive(device, sent).unwrap();
            attempt = 0;
        }
    }

    /// Brings the welcomes of what has won, each to the device that it was made for.
    fn welcome(&mut self) {
        let mut welcomes = Vec::new();
        for (author, sent) in self.sent.values() {
            for (slot, welcome) in &sent.welcomes {
                let entry = self.world.group(*author).roster().unwrap().get(*slot).unwrap();
                welcomes
                    .extend(entry.map(|entry| (entry.device, *author, welcome.clone(), sent.tree.clone())));
            }
        }
        for (id, author, welcome, tree) in welcomes {
            let device = (0..self.world.devices.len()).find(|device| self.world.id(*device) == id).unwrap();
            if self.world.devices[device].rows.is_none() {
                self.world.welcome(device, author, &welcome, &tree).unwrap();
            }
        }
    }
}

fn interleavings(steps: &mut Vec<usize>, left: &mut [usize], out: &mut Vec<Vec<usize>>) {
    if left.iter().all(|left| *left == 0) {
        out.push(steps.clone());
    }
    for device in 0..left.len() {
        if left[device] > 0 {
            left[device] -= 1;
            steps.push(device);
            interleavings(steps, left, out);
            steps.pop();
            left[device] += 1;
        }
    }
}

const DEMOTE_1: Operation = |_| (0, vec![set_role(&member(1), Role::Member)]);
const DEMOTE_0: Operation = |_| (1, vec![set_role(&member(0), Role::Member)]);
const RENAME: Operation = |_| (2, vec![set_info(&info("Renamed"))]);
const ADD_4: Operation = |world| (0, vec![world.add(4, Role::Member)]);
const ADD_4_TOO: Operation = |world| (1, vec![world.add(4, Role::Reader)]);
const REMOVE_3: Operation = |world| {
    (2, world.devices[3].group().map(|it| remove(it.slot().unwrap(), Reason::Role)).into_iter().collect())
};
const REMOVE_2: Operation = |world| {
    (1, world.devices[2].group().map(|it| remove(it.slot().unwrap(), Reason::Role)).into_iter().collect())
};
const HEAL: Operation = |_| (2, Vec::new());

#[test]
fn all_interleavings_of_three_concurrent_commits_end_in_one_roster_everywhere_r_group_21() {
    let others = [(1, Role::Owner), (2, Role::Administrator), (3, Role::Member)];
    let mut world = Some(World::with_group(21, &[1; 5], &others));
    let start = world.as_ref().unwrap().rows();
    let mut orders = Vec::new();
    interleavings(&mut Vec::new(), &mut [2, 2, 2], &mut orders);
    assert_eq!(orders.len(), 90);
    let races: [[Operation; 3]; 4] = [
        [DEMOTE_1, DEMOTE_0, RENAME],
        [ADD_4, ADD_4_TOO, REMOVE_3],
        [ADD_4, REMOVE_2, HEAL],
        [DEMOTE_1, REMOVE_2, REMOVE_3],
    ];
    for (number, race) in races.iter().enumerate() {
        for (at, order) in orders.iter().enumerate() {
            let mut inner = world.take().unwrap();
            inner.set_rows(&start);
            let mut running = Race {
                world: inner,
                slots: Slots::new(),
                sent: BTreeMap::new(),
                pending: BTreeMap::new(),
                won: 0,
            };
            // Garbage is in the first slots, of one kind or another.
            let first = running.world.group(0).head.transcript.clone();
            if at % 3 > 0 {
                running.slots.insert((first.clone(), 0), vec![0xFF; 40]);
            }
            if at % 3 > 1 {
                let forged = running.world.forge(3, world::Forgery::of(Vec::new(), Keying::Regrow));
                running.slots.insert((first, 1), forged);
            }
            let mut begun = [false; 3];
            for device in order {
                if begun[*device] {
                    running.put(race[*device]);
                } else {
                    begun[*device] = true;
                    running.prepare(race[*device]);
                }
            }
            for device in 0..5 {
                running.follow(device);
            }
            running.welcome();
            for device in 0..5 {
                running.follow(device);
            }
            running.world.check();
            assert!((1..=3).contains(&running.won), "race {number}, order {at}");
            let epoch = running.world.group(running.world.inside()[0]).head.epoch;
            assert_eq!(epoch, 2 + u64::try_from(running.won).unwrap());
            if number == 0 {
                let owners = [0, 1].into_iter().filter(|device| running.world.role(*device) == Role::Owner);
                assert_eq!(owners.count(), 1, "of two who demote each other the first in the slot stays");
            }
            world = Some(running.world);
        }
    }
}
