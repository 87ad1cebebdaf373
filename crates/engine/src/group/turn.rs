//! One call's work on groups: what comes may let go on what waits, and that may let go on more.

use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_group::GroupError;
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;
use chancery_wire::proto::MessageRecord;
use chancery_wire::records::Overlay;

use crate::effect::{Effect, Notice};
use crate::engine::Acting;
use crate::error::EngineError;
use crate::group::acts::{Act, ActKind, code, read};
use crate::group::{credentials, group_history, receive, waiting};
use crate::queue::Queue;
use crate::tables::CONVERSATION;

/// What may let go on something that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// A group has come into another epoch, or knows a commit more, or a slot of the relay.
    Group([u8; 16]),
    /// A credential came.
    Credential(DeviceId),
    /// The log has grown.
    Log,
    /// A file came.
    File([u8; 16]),
}

pub(crate) struct Turn<'a, 'r> {
    pub(crate) me: &'a Acting<'a>,
    pub(crate) records: &'a mut Overlay<'r>,
    pub(crate) now: Timestamp,
    pub(crate) rng: &'a mut dyn CryptoRng,
    pub(crate) effects: Vec<Effect>,
    pub(crate) triggers: Vec<Trigger>,
    /// Whether the relay has to be asked for something.
    pub(crate) work: bool,
}

impl<'a, 'r> Turn<'a, 'r> {
    pub(crate) const fn new(
        me: &'a Acting<'a>,
        records: &'a mut Overlay<'r>,
        now: Timestamp,
        rng: &'a mut dyn CryptoRng,
    ) -> Self {
        Self { me, records, now, rng, effects: Vec::new(), triggers: Vec::new(), work: false }
    }

    /// Goes on with everything that may go on, until nothing is left. It ends because every round takes what waits out of its
    /// place, and what a group can follow is finite.
    pub(crate) fn settle(mut self) -> Result<Vec<Effect>, EngineError> {
        while let Some(trigger) = self.triggers.pop() {
            for (entry, item) in waiting::take(self.records, trigger)? {
                receive::again(&mut self, &entry, item)?;
            }
        }
        if self.work {
            self.effects.push(Effect::Notify(Notice::GroupWork));
        }
        Ok(self.effects)
    }

    /// Has a device's credential fetched.
    pub(crate) fn want(&mut self, device: &DeviceId) -> Result<(), EngineError> {
        self.work = true;
        credentials::want(self.records, device)
    }

    /// Stores what happened, and tells it.
    pub(crate) fn act(&mut self, group: &[u8; 16], act: Act) -> Result<(), EngineError> {
        let told = act.store(self.records, group, self.now)?;
        self.effects.push(told);
        Ok(())
    }

    /// Tells that something of a member's was refused: once in a row, so that nobody fills the history with it (R-ENGINE-122).
    pub(crate) fn refused(
        &mut self,
        group: &[u8; 16],
        (by, error): (&MemberId, GroupError),
    ) -> Result<(), EngineError> {
        let last = Queue::new(CONVERSATION, group).state(self.records)?.next.saturating_sub(1);
        let is_told = |record: &MessageRecord| {
            read(record).is_some_and(|(kind, act)| kind == ActKind::Refused && act.code == code(error))
        };
        if group_history(self.records, group, last, 1)?.iter().any(is_told) {
            return Ok(());
        }
        self.act(group, Act::new(ActKind::Refused, Some(by)).code(error))
    }
}
