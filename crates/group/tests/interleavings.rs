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
    Changes, GroupError, Keying, LogView as _, Reason, Role, UnverifiedCommit, build, evictions, leave,
    remove, set_info, set_role, sign_order,
};
use chancery_wire::proto;
use proto::group_change::Change;
use proto::group_ordered::Change as Ordered;
use world::{Event, GROUP, GROUPS_ISSUER, Sent, World, info, member};

/// A relay's slots, each filled once, by name: the transcript that is followed and the attempt.
type Slots = BTreeMap<(Vec<u8>, u32), Vec<u8>>;

/// What somebody wants done, by whom, and with which keyings it may be, the best first.
struct Operation {
    name: &'static str,
    by: usize,
    keyings: &'static [Keying],
    wish: Wish,
}

enum Wish {
    Changes(fn(&World) -> Vec<proto::GroupChange>),
    /// What the log or others order.
    Order(proto::Signed),
    /// Whoever the log has ended goes, and nothing else happens.
    Evict,
}

struct Pending {
    sent: Sent,
    own: Changes,
    before: Vec<u8>,
    attempt: u32,
}

struct Race<'a> {
    world: World,
    operations: [&'a Operation; 3],
    slots: Slots,
    sent: BTreeMap<[u8; 32], (usize, Sent)>,
    pending: BTreeMap<usize, Pending>,
    /// Which of the three have won, in their order.
    won: Vec<usize>,
    /// Why those that have not cannot.
    refused: BTreeMap<usize, GroupError>,
}

impl<'a> Race<'a> {
    fn new(world: World, operations: [&'a Operation; 3]) -> Self {
        Self {
            world,
            operations,
            slots: Slots::new(),
            sent: BTreeMap::new(),
            pending: BTreeMap::new(),
            won: Vec::new(),
            refused: BTreeMap::new(),
        }
    }

    /// Makes the commit of one of the three on what its device follows.
    fn prepare(&mut self, which: usize) {
        match self.made(which) {
            Ok(pending) => drop(self.pending.insert(which, pending)),
            Err(error) => drop(self.refused.insert(which, error)),
        }
    }

    fn made(&mut self, which: usize) -> Result<Pending, GroupError> {
        let Operation { by, keyings, wish, .. } = self.operations[which];
        let world = &mut self.world;
        if matches!(wish, Wish::Evict) && !world.log.events.iter().any(|it| matches!(it, Event::Member(_))) {
            world.log.events.push(ENDED);
        }
        let device = &world.devices[*by];
        let group = device.group().ok_or(GroupError::NotAMember)?;
        let orders = if let Wish::Order(order) = wish { std::slice::from_ref(order) } else { &[] };
        let all = evictions(group, orders, &world.log)?;
        let mut changes = all.changes;
        match wish {
            Wish::Changes(wanted) => changes.extend(wanted(world)),
            Wish::Order(_) if !changes.iter().any(|it| matches!(it.change, Some(Change::Order(_)))) => {
                return Err(GroupError::Redundant);
            }
            Wish::Evict if changes.is_empty() => return Err(GroupError::Redundant),
            Wish::Order(_) | Wish::Evict => {}
        }
        let mut last = GroupError::WrongKeying;
        for keying in *keyings {
            let author = device.author(&world.log, all.log_size);
            match build(group, author, changes.clone(), *keying, &mut *world.rng) {
                Ok(built) => {
                    let mut sent = Sent::of(built);
                    let own = sent.own.take().unwrap();
                    return Ok(Pending { sent, own, before: group.head.transcript.clone(), attempt: 0 });
                }
                Err(error) => last = error,
            }
            if !matches!(last, GroupError::WrongKeying | GroupError::NeedKeys) {
                break;
            }
        }
        Err(last)
    }

    /// Puts what was prepared into the first slot that is free; follows whoever was faster, and then prepares anew.
    fn put(&mut self, which: usize) {
        let device = self.operations[which].by;
        while let Some(mut pending) = self.pending.remove(&which) {
            let now = self.world.devices[device].group().map(|group| group.head.transcript.clone());
            if now.as_ref() != Some(&pending.before) {
                // Its device has followed another of its own meanwhile.
                self.prepare(which);
                continue;
            }
            let name = (pending.before.clone(), pending.attempt);
            let Some(content) = self.slots.get(&name).cloned() else {
                self.slots.insert(name, pending.sent.bytes.clone());
                self.world.devices[device].take(pending.own);
                self.sent.insert(pending.sent.hash, (device, pending.sent));
                self.won.push(which);
                return;
            };
            if self.is_valid(device, &content) {
                self.follow(device);
                self.prepare(which);
            } else {
                pending.attempt += 1;
                self.pending.insert(which, pending);
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

/// Keyholders and others begin with what is cheapest; heals and evictions are what they are.
const ANY: &[Keying] = &[Keying::Tree, Keying::Regrow, Keying::HandOut];
/// Who ends in the log, when somebody is evicted: an owner, who may be in the midst of something.
const ENDED: Event = Event::Member(chancery_identity::MemberId::new([2; 16]));

/// Eleven operations of four members: two owners, an administrator and a member; the fifth device is outside.
fn operations(world: &mut World) -> Vec<Operation> {
    let (three, epoch) = (&world.devices[3], world.group(3).head.epoch);
    let leaving =
        leave((&three.keys, &three.credential), (&GROUP, epoch), &world.log, &mut *world.rng).unwrap();
    let body = proto::GroupOrderBody {
        org_id: world.log.org.as_bytes().to_vec(),
        issuer_id: GROUPS_ISSUER.to_vec(),
        device_id: Vec::new(),
        group_id: GROUP.to_vec(),
        epoch,
        expires: world.log.time(world.log.size()).unwrap().as_millis() + 1_000,
        changes: vec![proto::GroupOrdered { change: Some(Ordered::Remove(member(2).as_bytes().to_vec())) }],
    };
    let order = sign_order(&world.groups_issuer, &body, &mut *world.rng);
    let change = |name, by, wanted| Operation { name, by, keyings: ANY, wish: Wish::Changes(wanted) };
    vec![
        change("add", 0, |world| vec![world.add(4, Role::Member)]),
        change("remove", 2, |world| {
            let group = world.devices[3].group();
            group.map(|it| remove(it.slot().unwrap(), Reason::Role)).into_iter().collect()
        }),
        Operation { name: "leave", by: 1, keyings: ANY, wish: Wish::Order(leaving) },
        change("promote", 0, |_| vec![set_role(&member(3), Role::Administrator)]),
        change("demote", 1, |_| vec![set_role(&member(0), Role::Member)]),
        change("hand over", 0, |_| {
            vec![set_role(&member(2), Role::Owner), set_role(&member(0), Role::Administrator)]
        }),
        change("rename", 2, |_| vec![set_info(&info("Renamed"))]),
        Operation { name: "heal", by: 1, keyings: &[Keying::Regrow], wish: Wish::Changes(|_| Vec::new()) },
        change("dissolve", 1, |_| {
            let mut end = info("Crew");
            end.dissolved = true;
            vec![set_info(&end)]
        }),
        Operation { name: "order", by: 3, keyings: ANY, wish: Wish::Order(order) },
        Operation { name: "evict", by: 3, keyings: &[Keying::HandOut], wish: Wish::Evict },
    ]
}

/// Runs one race in one order, and returns who won.
fn run(race: &mut Race<'_>, order: &[usize], garbage: usize) -> Vec<usize> {
    // Garbage is in the first slots, of one kind or another.
    let first = race.world.group(0).head.transcript.clone();
    if garbage > 0 {
        race.slots.insert((first.clone(), 0), vec![0xFF; 40]);
    }
    if garbage > 1 {
        let forged = race.world.forge(3, world::Forgery::of(Vec::new(), Keying::Regrow));
        race.slots.insert((first, 1), forged);
    }
    let mut begun = [false; 3];
    for which in order {
        if begun[*which] {
            race.put(*which);
        } else {
            begun[*which] = true;
            race.prepare(*which);
        }
    }
    for _ in 0..2 {
        (0..5).for_each(|device| race.follow(device));
        race.welcome();
    }
    race.world.check();
    std::mem::take(&mut race.won)
}

/// How often each operation has won, and how many races there were.
type Tally = (Vec<usize>, usize);

/// Races of every `parts`-th triple of operations, from `part` on.
fn races(part: usize, parts: usize) -> Tally {
    let others = [(1, Role::Owner), (2, Role::Administrator), (3, Role::Member)];
    let mut inner = World::with_group(21, &[1; 5], &others);
    let operations = operations(&mut inner);
    let (start, entries) = (inner.rows(), inner.log.events.len());
    // Keys that follow from the beginning come again in each race: what was learned in another one does not count.
    let hoards: Vec<_> = inner.devices.iter().map(|device| device.hoard.clone()).collect();
    let mut world = Some(inner);
    let mut orders = Vec::new();
    interleavings(&mut Vec::new(), &mut [2, 2, 2], &mut orders);
    assert_eq!(orders.len(), 90);
    // All three are made before one arrives: every order of arrival. Of the others, some for each triple.
    let (concurrent, rest): (Vec<_>, Vec<_>) = orders.into_iter().partition(|order| {
        let mut made = order[..3].to_vec();
        made.sort_unstable();
        made == [0, 1, 2] && order[..3] == made[..]
    });
    assert_eq!((concurrent.len(), rest.len()), (6, 84));
    let count = operations.len();
    let triples = (0..count)
        .flat_map(|a| (a + 1..count).flat_map(move |b| (b + 1..count).map(move |c| [a, b, c])))
        .enumerate();
    let (mut wins, mut all) = (vec![0; count], 0);
    for (number, triple) in triples.filter(|(number, _)| number % parts == part) {
        let some = (0..SAMPLED).map(|at| &rest[(number * SAMPLED + at) * 29 % rest.len()]);
        for (at, order) in concurrent.iter().chain(some).enumerate() {
            let mut inner = world.take().unwrap();
            inner.set_rows(&start);
            inner.log.events.truncate(entries);
            inner.devices.iter_mut().zip(&hoards).for_each(|(device, hoard)| device.hoard.clone_from(hoard));
            let mut race = Race::new(inner, triple.map(|which| &operations[which]));
            let won = run(&mut race, order, (number + at) % 3);
            let names = triple.map(|which| operations[which].name);
            // All but what a device cannot even make: it has ended.
            let mut arrived = order.iter().enumerate().filter(|(at, it)| order[..*at].contains(it));
            let first = arrived.find(|(_, it)| !race.refused.contains_key(it)).unwrap().1;
            assert_eq!(won.first(), Some(first), "the first to arrive wins: {names:?}, {order:?}");
            for which in (0..3).filter(|which| !won.contains(which)) {
                let why = race.refused.get(&which);
                assert!(why.is_some_and(is_overtaken), "{names:?}, {order:?}: {which} {why:?}");
            }
            let epoch = race.world.group(race.world.inside()[0]).head.epoch;
            assert_eq!(epoch, 2 + u64::try_from(won.len()).unwrap());
            won.iter().for_each(|which| wins[triple[*which]] += 1);
            all += 1;
            world = Some(race.world);
        }
    }
    (wins, all)
}

/// Whether that is what becomes of an operation which another one forestalls.
fn is_overtaken(error: &GroupError) -> bool {
    use GroupError as E;
    matches!(
        error,
        E::NotAMember | E::NotAllowed | E::Redundant | E::Dissolved | E::WrongKeying | E::OrderInvalid
    )
}

/// Orders of each triple in which some are made only after others have arrived.
const SAMPLED: usize = 3;

#[test]
fn concurrent_commits_of_three_end_in_one_roster_everywhere_whoever_arrives_first_r_group_21() {
    const PARTS: usize = 2;
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let parts: Vec<_> = (0..PARTS).map(|part| scope.spawn(move || races(part, PARTS))).collect();
        parts.into_iter().map(|part| part.join().unwrap()).collect()
    });
    let races: usize = tallies.iter().map(|(_, all)| all).sum();
    assert_eq!(races, 165 * (6 + SAMPLED));
    let wins: Vec<usize> = (0..11).map(|which| tallies.iter().map(|(wins, _)| wins[which]).sum()).collect();
    println!("{races} races: {wins:?}");
    // Each is in 45 triples, and first in a third of the orders of each.
    assert!(wins.iter().all(|wins| *wins > 45), "{wins:?}");
}

#[test]
fn of_two_owners_who_demote_each_other_the_first_in_the_slot_stays_r_group_21() {
    let others = [(1, Role::Owner), (2, Role::Administrator), (3, Role::Member)];
    let mut world = Some(World::with_group(22, &[1; 5], &others));
    let start = world.as_ref().unwrap().rows();
    let change = |name, by, wanted| Operation { name, by, keyings: ANY, wish: Wish::Changes(wanted) };
    let three = [
        change("demote 1", 0, |_| vec![set_role(&member(1), Role::Member)]),
        change("demote 0", 1, |_| vec![set_role(&member(0), Role::Member)]),
        change("rename", 2, |_| vec![set_info(&info("Renamed"))]),
    ];
    let mut orders = Vec::new();
    interleavings(&mut Vec::new(), &mut [2, 2, 2], &mut orders);
    for (at, order) in orders.iter().enumerate() {
        let mut inner = world.take().unwrap();
        inner.set_rows(&start);
        let mut race = Race::new(inner, [&three[0], &three[1], &three[2]]);
        let won = run(&mut race, order, at % 3);
        let first = won.iter().find(|which| **which < 2).unwrap();
        assert_eq!(won.len(), 2, "{order:?}");
        let owners = [0, 1].into_iter().filter(|device| race.world.role(*device) == Role::Owner);
        assert!(owners.eq([*first]), "{order:?}");
        world = Some(race.world);
    }
}
