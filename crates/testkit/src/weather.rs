//! What happens to envelopes between the relay and a device.

use chancery_crypto::rng::random_bytes;
use chancery_wire::proto::{StoredEnvelope, relay_frame};

use crate::line::Line;
use crate::person::{Fate, PersonId};
use crate::world::World;

/// How likely an envelope meets what, in percent.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Weather {
    late: u8,
    twice: u8,
    shuffled: bool,
}

impl World {
    /// Lets `late` percent of all envelopes be lost at first and delivered again at a later synchronisation, `twice` percent
    /// arrive twice, and all that wait together arrive in any order.
    pub fn storm(&mut self, late: u8, twice: u8) {
        self.weather = Weather { late, twice, shuffled: late != 0 || twice != 0 };
    }

    /// Fixes what happens to the next envelopes that reach a device.
    pub fn fate(&mut self, id: PersonId, fates: impl IntoIterator<Item = Fate>) {
        self.people[id.0].fates.extend(fates);
    }

    /// A number below `end`, from the world's randomness.
    pub fn dice(&mut self, end: u32) -> u32 {
        u32::from_be_bytes(random_bytes(self.rng.as_mut())) % end
    }

    /// Returns what a device is given of what the line has pushed, each with whether it may be acknowledged after
    /// that; `None` if nothing is left.
    pub(crate) fn fated(&mut self, id: PersonId, line: &mut Line) -> Option<Vec<(StoredEnvelope, bool)>> {
        let mut pushed: Vec<StoredEnvelope> = Vec::new();
        for body in line.pushed.drain(..) {
            if let relay_frame::Body::Envelope(envelope) = body
                && !self.is_withheld(id, &envelope.envelope)
            {
                pushed.push(envelope);
            }
        }
        if pushed.is_empty() {
            return None;
        }
        if self.weather.shuffled {
            for last in (1..pushed.len()).rev() {
                let other = self.dice(u32::try_from(last).expect("few") + 1) as usize;
                pushed.swap(last, other);
            }
        }
        let mut given = Vec::new();
        for envelope in pushed {
            let fate = self.draw(id);
            self.meet(line, (envelope, fate), &mut given);
        }
        Some(given)
    }

    fn draw(&mut self, id: PersonId) -> Fate {
        if let Some(fate) = self.people[id.0].fates.pop_front() {
            return fate;
        }
        let Weather { late, twice, shuffled } = self.weather;
        let dice = if shuffled { self.dice(100) } else { 100 };
        match dice {
            dice if dice < u32::from(late) => Fate::Delay,
            dice if dice < u32::from(late) + u32::from(twice) => Fate::Repeat,
            _ => Fate::Arrive,
        }
    }

    fn meet(
        &mut self,
        line: &mut Line,
        (mut envelope, fate): (StoredEnvelope, Fate),
        given: &mut Vec<(StoredEnvelope, bool)>,
    ) {
        match fate {
            Fate::Arrive => {}
            Fate::Delay => return,
            Fate::Lose => {
                self.acknowledge(line, envelope.sequence);
                return;
            }
            Fate::Corrupt => *envelope.envelope.last_mut().expect("not empty") ^= 1,
            Fate::Estrange => envelope.envelope[1] ^= 1,
            Fate::Repeat => given.push((envelope.clone(), false)),
        }
        given.push((envelope, true));
    }
}
