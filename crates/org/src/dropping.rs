//! Statements that an administrator takes out of the queue because the log refuses them, and what they belonged to
//! (R-ORG-59).

use alloc::format;
use alloc::string::String;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::log::LeafKind;
use chancery_identity::{DeviceId, Issuer, MemberId};
use chancery_wire::records::{Batch, Records};
use chancery_wire::{Timestamp, proto};

use crate::answer::Work;
use crate::audit::{self, Act};
use crate::guests::Changed;
use crate::queue::{self, Beside, Queued};
use crate::state::{self, damaged};
use crate::{Desk, OrgError, ceremony, offboard, policy};

impl Desk {
    /// Takes the statement that is next out of the queue, for good, undoes or marks what it belonged to, and records the act
    /// (R-ORG-59). `name` is what the record calls it.
    ///
    /// # Errors
    ///
    /// [`OrgError::NotNext`], [`OrgError::NotDroppable`] for a root, a desk and its issuer. [`OrgError::Records`] when the
    /// store cannot answer. Nothing is to be committed.
    pub fn drop_statement(
        &self,
        records: &dyn Records,
        (number, name): (u64, &str),
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<Batch, OrgError> {
        let mut batch = Batch::default();
        let (queued, beside) = queue::take_next(records, &mut batch)?.ok_or(OrgError::NotNext)?;
        if queued.number != number {
            return Err(OrgError::NotNext);
        }
        let after = self.undo((records, &mut batch), (&queued, beside), now, rng)?;
        let target = format!("{number}, {name}");
        let act = Act { action: "drop statement", target: &target, after: &after, ..Act::default() };
        self.record_act((records, &mut batch), &act, now, rng)?;
        Ok(batch)
    }

    /// Undoes or marks what a statement belonged to; returns in words what is since.
    fn undo(
        &self,
        (records, batch): (&dyn Records, &mut Batch),
        (queued, beside): (&Queued, Beside),
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<String, OrgError> {
        let statement = &queued.statement;
        let words = match queued.kind {
            LeafKind::Root | LeafKind::Desk => return Err(OrgError::NotDroppable),
            LeafKind::Issuer if Issuer::id_of(statement) == self.keys.issuer.id() => {
                return Err(OrgError::NotDroppable);
            }
            LeafKind::Issuer | LeafKind::IssuerRevoked => {
                ceremony::dropped(records, batch, (queued.kind, statement), now)?;
                if queued.kind == LeafKind::Issuer {
                    "the issuer signs nothing"
                } else {
                    "the issuer may sign"
                }
            }
            LeafKind::Credential => self.drop_credential((records, batch), statement, now, rng)?,
            LeafKind::DeviceRevoked => {
                let body: proto::RevocationBody = queue::body(statement)?;
                let device = DeviceId::from_bytes(&body.device_id).ok_or_else(damaged)?;
                batch.put(offboard::dropped_end(&device), alloc::vec![1]);
                "removing the device again signs its end anew"
            }
            LeafKind::MemberRevoked => {
                let body: proto::RevocationBody = queue::body(statement)?;
                let step = proto::DeskStep { time: now.as_millis(), dropped: true, ..Default::default() };
                offboard::revoked(records, batch, &body.member_id, step)?;
                "offboarding again signs the end anew"
            }
            LeafKind::Directory => self.drop_commitment((records, batch), statement, now, rng)?,
            LeafKind::Policy | LeafKind::GroupSuccessor => {
                policy::dropped(records, batch, queued, beside.before)?;
                "what was before holds"
            }
            LeafKind::Audit => {
                audit::dropped(records, batch, beside.act.ok_or_else(damaged)?)?;
                "the act stays without an entry"
            }
            LeafKind::Relay => "the desk offers its record of the relay at every login",
        };
        Ok(words.into())
    }

    /// A device without an entry in the log counts for nobody: it is taken out again, and the invitation stays used. Its end
    /// is signed as well, should the log take the credential after all.
    fn drop_credential(
        &self,
        (records, batch): (&dyn Records, &mut Batch),
        statement: &proto::Signed,
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<&'static str, OrgError> {
        let body: proto::CredentialBody = queue::body(statement)?;
        let member_id = MemberId::from_bytes(&body.member_id).ok_or_else(damaged)?;
        let device = DeviceId::from_bytes(&body.device_id).ok_or_else(damaged)?;
        let member = state::member(records, &member_id)?.ok_or_else(damaged)?;
        if !member.device_ids.iter().any(|id| id.as_slice() == device.as_bytes()) {
            return Ok("the device was removed before");
        }
        self.queue_end_of_device(records, batch, (&member_id, &device), rng)?;
        let settings = state::settings(records)?;
        let mut work = Work { records, settings, batch: core::mem::take(batch), now, rng };
        self.take_out(&mut work, (&member_id, member), &[device])?;
        self.tell_guests(&mut work, Changed::Key)?;
        *batch = work.batch;
        Ok("the device is removed")
    }

    /// An entry is published only once the log has its commitment: unless a newer one waits, the same is signed anew, at the
    /// end of the queue, so that what waited behind goes first.
    fn drop_commitment(
        &self,
        (records, batch): (&dyn Records, &mut Batch),
        statement: &proto::Signed,
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<&'static str, OrgError> {
        let body: proto::LogCommitmentBody = queue::body(statement)?;
        let member_id = MemberId::from_bytes(&body.subject).ok_or_else(damaged)?;
        let member = state::member(records, &member_id)?.ok_or_else(damaged)?;
        let newest = queue::entry_commitment(records, &member.entry_id)?;
        if newest.is_some_and(|newest| newest.object != body.object) {
            return Ok("a newer entry follows");
        }
        self.renew_entry((records, batch), &member_id, now, rng)?;
        Ok("the entry is signed anew")
    }
}
