//! A clock that is not believed, and who says the same as it does (R-RELAY-68, R-RELAY-77).

use alloc::collections::BTreeSet;
use core::time::Duration;

use chancery_identity::{Capabilities, Credential, DeviceId};
use chancery_wire::Timestamp;

use crate::relay::Relay;

/// Devices that must state the clock's time: 2, so that no single wrong clock beside the relay's own moves the log.
const VOUCHING: usize = 2;
/// How far their clocks may be from the relay's: an hour, more than clocks that are set by the network or by hand differ, and
/// too little for two wrong ones to agree by chance.
const AGREEING: Duration = Duration::from_secs(3_600);

/// What the system's clock says while the relay counts on from what it knows.
#[derive(Debug, Clone)]
pub(crate) struct Doubt {
    pub(crate) system: Timestamp,
    vouching: BTreeSet<DeviceId>,
}

impl Relay {
    /// Tells what the system's clock says while it is not believed, before each input; `None` when it is (R-RELAY-68). The time
    /// of the inputs is then counted on from the last that is known.
    pub fn doubt_clock(&mut self, system: Option<Timestamp>) {
        let before = self.doubt.take();
        self.doubt = system.map(|system| match before {
            Some(before) if apart(before.system, system) <= AGREEING => Doubt { system, ..before },
            _ => Doubt { system, vouching: BTreeSet::new() },
        });
    }

    /// Whether the doubted clock may be believed: two devices that are in the log have logged in and state the same time, and
    /// an issuer of the log is still valid then.
    #[must_use]
    pub fn is_clock_vouched(&self) -> bool {
        let is_possible = |doubt: &Doubt| !self.log.authority.is_too_late(doubt.system);
        self.doubt.as_ref().is_some_and(|doubt| doubt.vouching.len() >= VOUCHING && is_possible(doubt))
    }

    pub(crate) const fn doubts_clock(&self) -> bool {
        self.doubt.is_some()
    }

    /// Takes the time that a device stated which has proved to be one; guests have no say.
    pub(crate) fn vouch(&mut self, credential: &Credential, time: u64) {
        let has_say = credential.capabilities().contains(Capabilities::DESK)
            || credential.capabilities().contains(Capabilities::MEMBER);
        if let Some(doubt) = self.doubt.as_mut().filter(|_| has_say)
            && apart(doubt.system, Timestamp::from_millis(time)) <= AGREEING
        {
            doubt.vouching.insert(credential.device_id());
        }
    }
}

fn apart(a: Timestamp, b: Timestamp) -> Duration {
    a.since(b).max(b.since(a))
}
