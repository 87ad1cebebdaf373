//! How far an offboarding has come (R-ORG-43, R-ORG-62, R-ORG-65).

use alloc::vec::Vec;

use chancery_identity::{Handle, MemberId, Organisation};
use chancery_wire::records::Records;
use chancery_wire::{Timestamp, proto};

use crate::offboard::{device_ids, last_of, read};
use crate::state::{self, damaged};
use crate::{Desk, OffboardingPlan, OrgError, ceremony, guests};

/// How far the log has come with a statement of an offboarding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffboardingStep {
    /// There was nothing to do: the member never had a directory entry.
    NotNeeded,
    /// The statement waits for the log.
    Queued,
    /// It is in the log.
    Logged {
        /// Index of the entry, from 0.
        entry: u64,
        /// When the desk heard of it.
        time: Timestamp,
    },
    /// The log had said so before, or something that this contradicts.
    Refused {
        /// When the desk heard of it.
        time: Timestamp,
    },
    /// An administrator has dropped it; offboarding again signs it anew.
    Dropped {
        /// When.
        time: Timestamp,
    },
}

/// Whether the relay has taken what shuts a member out of the directory, or of the delivery tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStep {
    /// There was nothing to change: the member never had a directory entry, or a desk of an earlier version kept no note of it.
    NotNeeded,
    /// It waits for the relay.
    Pending,
    /// The relay refused it when it was last asked; the desk asks again.
    Refused,
    /// The relay has taken it.
    Done,
    /// The directory key was the last, and has not changed (R-ORG-35): the member keeps it, and the tokens.
    Stays,
}

impl KeyStep {
    /// `taken` is the newest epoch of which the relay has it.
    const fn of(record: &proto::DeskOffboarding, taken: u64, refused: bool) -> Self {
        match (record.key_epoch, record.key_stays, refused) {
            (0, ..) => Self::NotNeeded,
            (_, true, _) => Self::Stays,
            (epoch, ..) if taken >= epoch => Self::Done,
            (_, _, true) => Self::Refused,
            _ => Self::Pending,
        }
    }

    const fn is_done(self) -> bool {
        matches!(self, Self::Done | Self::NotNeeded)
    }

    const fn waits(self) -> bool {
        matches!(self, Self::Done | Self::NotNeeded | Self::Pending)
    }
}

/// What an offboarding has cut, and what has yet to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffboardingReport {
    /// Who, and what they had. `issuer_ids` are those that have not been ended yet.
    pub plan: OffboardingPlan,
    /// When invitations and links ended and the handle came free: at once, with the desk's records.
    pub started: Timestamp,
    /// The member's end in the log. The relay cuts logins, mailboxes and prekeys of every device in the transaction of
    /// this entry.
    pub revocation: OffboardingStep,
    /// The commitment to the directory entry without devices.
    pub directory: OffboardingStep,
    /// Whether the relay hands out that entry.
    pub is_published: bool,
    /// Whether the relay checks delivery tokens by the key since.
    pub delivery_key: KeyStep,
    /// Whether the relay has the update of the directory key.
    pub directory_key: KeyStep,
    /// How far the ends of the plan's `issued` have come, in that order.
    pub issued: Vec<Self>,
}

impl OffboardingReport {
    /// Whether the member's end is in the log, by which the relay lets none of their devices in.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        // What the log refuses of this kind is the second end of a member.
        matches!(self.revocation, OffboardingStep::Logged { .. } | OffboardingStep::Refused { .. })
    }

    /// Whether everything is done (R-ORG-62, R-ORG-65), also with those who end with the member: nothing waits for the relay,
    /// and nothing was refused or dropped. Whether a device has heard of it is another matter.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_done() && self.issued.iter().all(Self::is_done)
    }

    /// Whether what is not done waits for the relay, and nothing was refused or dropped.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        let is_held = |report: &Self| report.is_done() || report.waits();
        !self.is_complete() && is_held(self) && self.issued.iter().all(is_held)
    }

    /// Whether everything is done with this one member.
    fn is_done(&self) -> bool {
        let is_listed = matches!(self.directory, OffboardingStep::Logged { .. } | OffboardingStep::NotNeeded);
        let has_keys = self.delivery_key.is_done() && self.directory_key.is_done();
        self.is_cut() && is_listed && self.is_published && has_keys
    }

    /// Whether nothing of this one member was given up.
    fn waits(&self) -> bool {
        let was_dropped = matches!(self.revocation, OffboardingStep::Dropped { .. });
        let has_failed =
            matches!(self.directory, OffboardingStep::Dropped { .. } | OffboardingStep::Refused { .. });
        !was_dropped && !has_failed && self.delivery_key.waits() && self.directory_key.waits()
    }
}

impl Desk {
    /// Says how far the last offboarding of a member with this handle has come; `None` if there was none.
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn offboarding(
        records: &dyn Records,
        organisation: &Organisation,
        handle: &Handle,
    ) -> Result<Option<OffboardingReport>, OrgError> {
        let Some(member_id) = last_of(records, handle)? else { return Ok(None) };
        let mut report = report_of(records, organisation, member_id)?;
        for issued in &report.plan.issued {
            report.issued.push(report_of(records, organisation, issued.member_id)?);
        }
        Ok(Some(report))
    }
}

/// How far the offboarding of one member has come, without those who ended with them.
fn report_of(
    records: &dyn Records,
    organisation: &Organisation,
    member_id: MemberId,
) -> Result<OffboardingReport, OrgError> {
    let record = read(records, member_id.as_bytes())?.ok_or_else(damaged)?;
    let needs_entry = !record.entry_id.is_empty();
    let directory = if needs_entry { shown(record.directory) } else { OffboardingStep::NotNeeded };
    let pending = state::pending_index(records)?;
    let is_published = !pending.iter().any(|id| id.as_slice() == record.entry_id);
    let relay = state::publication(records)?;
    let delivery_key = KeyStep::of(&record, relay.delivery_epoch, relay.delivery_refused);
    let directory_key = KeyStep::of(&record, relay.taken_epoch, relay.update_refused);
    let issuers = ceremony::held_by(records, organisation, &member_id)?;
    let plan = OffboardingPlan {
        member_id,
        device_ids: device_ids(&record.device_ids)?,
        handle: record.handle,
        name: record.name,
        invitations: record.invitations,
        issuer_ids: issuers,
        issued: guests::issued(records, &record.issued)?,
        staying: guests::issued(records, &record.staying)?,
    };
    Ok(OffboardingReport {
        plan,
        started: Timestamp::from_millis(record.started),
        revocation: shown(record.revocation),
        directory,
        is_published,
        delivery_key,
        directory_key,
        issued: Vec::new(),
    })
}

fn shown(step: Option<proto::DeskStep>) -> OffboardingStep {
    let Some(step) = step else { return OffboardingStep::Queued };
    let time = Timestamp::from_millis(step.time);
    match step.entry.checked_sub(1) {
        Some(entry) => OffboardingStep::Logged { entry, time },
        None if step.dropped => OffboardingStep::Dropped { time },
        None => OffboardingStep::Refused { time },
    }
}
