//! Two people with three and two devices, a relay and a bad network, driven by the events of [`crate::event`].

use std::time::Duration;

use crate::event::Event;
use crate::person::{Fate, PersonId};
use crate::snapshot::Snapshot;
use crate::world::World;

/// The most messages of a run.
const MOST_SENT: usize = 24;
/// The most envelopes of a run that are lost for good, damaged or estranged: a message is sent again three times at most
/// (R-ENGINE-20), and each of these may be one and the same.
const MOST_LOST: usize = 3;
/// The most hours that an event lets pass; a run stays far below the thirty days for which messages are held
/// (R-ENGINE-18).
const MOST_HOURS: u16 = 6;

/// Whose devices the five are.
const PEOPLE: [&[usize]; 2] = [&[0, 1, 2], &[3, 4]];

/// The five in the middle of a conversation.
pub struct Five {
    world: World,
    /// Each message: the person who wrote it, the one it is for, its text.
    said: Vec<(usize, usize, String)>,
    lost: usize,
}

impl Five {
    /// Enrols the five and lets each hear of all others, so that every two have a session.
    #[must_use]
    pub fn meet(seed: u64) -> Snapshot {
        let mut world = World::new(seed);
        let (alice, bob) = (world.enrol("alice"), world.enrol("bob"));
        let _ = (world.add_device(alice), world.add_device(alice), world.add_device(bob));
        world.run();
        // Enrolled in another order than they are named here: alice's are 0, 2 and 3, bob's 1 and 4.
        world.people.swap(1, 3);
        world.people.swap(1, 2);
        for (person, devices) in PEOPLE.iter().enumerate() {
            for device in *devices {
                world.say(PersonId(*device), PersonId(PEOPLE[1 - person][0]), "");
                world.run();
            }
        }
        world.into_snapshot()
    }

    /// Starts a run.
    #[must_use]
    pub fn start(from: &Snapshot) -> Self {
        Self { world: from.start(1), said: Vec::new(), lost: 0 }
    }

    /// Lets an event happen.
    pub fn apply(&mut self, event: Event) {
        let device = |number: u8| PersonId(usize::from(number) % 5);
        match event {
            Event::Send(from, length) => self.send(device(from), length),
            Event::Deliver(who, number) if number % 2 == 0 => self.world.flush(device(who)),
            Event::Deliver(who, _) => self.world.sync(device(who)),
            Event::Duplicate(who, _) => self.world.fate(device(who), [Fate::Repeat]),
            Event::Damage(who, number) => self.damage(device(who), number),
            Event::Restart(who) => self.world.restart(device(who)),
            Event::Wait(hours) => {
                self.world.wait(Duration::from_secs(u64::from(hours % MOST_HOURS) * 3600));
            }
        }
    }

    fn send(&mut self, from: PersonId, length: usize) {
        if self.said.len() >= MOST_SENT {
            return;
        }
        let person = usize::from(!PEOPLE[0].contains(&from.0));
        // Now and then a note to oneself.
        let to = if length.is_multiple_of(5) { person } else { 1 - person };
        // Numbered, so that no two messages are alike.
        let text = format!("{:02}{}", self.said.len(), ".".repeat(length));
        self.world.say(from, PersonId(PEOPLE[to][0]), &text);
        self.said.push((person, to, text));
    }

    fn damage(&mut self, device: PersonId, number: usize) {
        let fate = match number % 4 {
            0 => Fate::Delay,
            1 => Fate::Corrupt,
            2 => Fate::Estrange,
            _ => Fate::Lose,
        };
        if fate == Fate::Delay || self.lost < MOST_LOST {
            self.lost += usize::from(fate != Fate::Delay);
            self.world.fate(device, [fate]);
        }
    }

    /// Ends the bad weather, and panics unless each device comes to have each message once.
    pub fn finish(&mut self) {
        self.world.people.iter_mut().for_each(|person| person.fates.clear());
        let said = &self.said;
        let is_whole = |world: &World| Self::lacking(world, said).is_none();
        let settled = (0..3).any(|_| self.world.settle(is_whole));
        assert!(settled, "{:?}", Self::lacking(&self.world, said));
    }

    /// A device and a conversation that is not what was said.
    fn lacking(world: &World, said: &[(usize, usize, String)]) -> Option<(usize, Vec<String>, Vec<String>)> {
        for (person, devices) in PEOPLE.iter().enumerate() {
            for (with, theirs) in PEOPLE.iter().enumerate() {
                let among = |pair: (usize, usize)| pair == (person, with) || pair == (with, person);
                let expected = said.iter().filter(|(from, to, _)| among((*from, *to)));
                let expected: Vec<String> = expected.map(|(.., text)| text.clone()).collect();
                for device in *devices {
                    let mut there = world.history(PersonId(*device), PersonId(theirs[0]));
                    // What they said when they met.
                    there.retain(|text| !text.is_empty());
                    there.sort_unstable();
                    if there != expected {
                        return Some((*device, there, expected));
                    }
                }
            }
        }
        None
    }
}
