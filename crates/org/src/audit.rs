//! Records of administrative acts, each with a commitment in the log (R-ORG-46).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use chancery_crypto::hash::hash;
use chancery_crypto::label;
use chancery_crypto::rng::{CryptoRng, random_bytes};
use chancery_identity::log::LeafKind;
use chancery_identity::{MemberId, Organisation, sign};
use chancery_wire::records::{Batch, RecordKey, Records, Table};
use chancery_wire::{Limit, Timestamp, decode, encode, proto};

use crate::queue::{self, Beside};
use crate::state::{self, damaged};
use crate::{Desk, OrgError};

const ACTS: Table = Table(0x0223);
const COUNT: Table = Table(0x0224);

/// Longest text of each kind in an act, in characters: 1,024. A policy fits; more is cut.
pub const MAX_ACT_TEXT: usize = 1024;

/// What an administrator did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Act<'a> {
    /// In one word or two, as in `invite`.
    pub action: &'a str,
    /// To whom or what: a handle, a device, an issuer; empty for the organisation as a whole.
    pub target: &'a str,
    /// What was before.
    pub before: &'a str,
    /// What is since.
    pub after: &'a str,
    /// The member it is about, if it is about one; the log's entry names them.
    pub member: Option<MemberId>,
}

/// What is wrong with the record of an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ActFault {
    /// It is not what was committed to: somebody has changed it.
    Changed,
    /// The commitment is not signed by one of the organisation's issuers.
    NotAuthentic,
}

/// A recorded act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedAct {
    /// Its number, from 0.
    pub number: u64,
    /// When, by the administrator's clock.
    pub time: Timestamp,
    /// Who, as the operating system or the person said.
    pub actor: String,
    /// As [`Act::action`].
    pub action: String,
    /// As [`Act::target`].
    pub target: String,
    /// As [`Act::before`].
    pub before: String,
    /// As [`Act::after`].
    pub after: String,
    /// Index of the log's entry that commits to it; `None` while it waits, or if it was dropped.
    pub entry: Option<u64>,
    /// Whether its commitment was dropped and never enters the log.
    pub is_dropped: bool,
    /// What it is committed to with.
    pub commitment: [u8; 32],
    /// Whether it is not what was committed to.
    pub fault: Option<ActFault>,
}

impl Desk {
    /// Records an act in the batch that carries it out, and queues the commitment (R-ORG-46).
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn record_act(
        &self,
        (records, batch): (&dyn Records, &mut Batch),
        act: &Act<'_>,
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), OrgError> {
        let number = count(batch, records)?;
        let value = encode(&proto::AdministrativeAct {
            time: now.as_millis(),
            actor: cut(&self.actor),
            action: cut(act.action),
            target: cut(act.target),
            before: cut(act.before),
            after: cut(act.after),
            salt: random_bytes::<32>(rng).to_vec(),
        });
        let body = proto::LogCommitmentBody {
            org_id: self.organisation.id().as_bytes().to_vec(),
            issuer_id: self.keys.issuer.id().as_bytes().to_vec(),
            kind: LeafKind::Audit.number().into(),
            subject: act.member.map_or([0; 16], |member| *member.as_bytes()).to_vec(),
            object: [0; 16].to_vec(),
            commitment: commitment(&value).to_vec(),
        };
        let signed = sign::sign_log_commitment(self.keys.issuer.signing(), &body, rng);
        put(
            batch,
            number,
            &proto::DeskAct { act: value, commitment: Some(signed.clone()), ..Default::default() },
        );
        let next = number.checked_add(1).ok_or_else(damaged)?;
        batch.put(RecordKey::new(COUNT, []), next.to_be_bytes().to_vec());
        let beside = Beside { act: Some(number), before: None };
        queue::push_with(records, batch, (LeafKind::Audit, signed), beside).map(drop)
    }

    /// Reads all recorded acts, the oldest first, each compared with what commits to it (R-ORG-46).
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn acts(records: &dyn Records, organisation: &Organisation) -> Result<Vec<RecordedAct>, OrgError> {
        let count = count(&Batch::default(), records)?;
        (0..count).map(|number| read(records, number, organisation)).collect()
    }
}

/// Notes the log's entry of an act.
pub(crate) fn entered(
    records: &dyn Records,
    batch: &mut Batch,
    number: u64,
    index: u64,
) -> Result<(), OrgError> {
    let act: proto::DeskAct = state::read(records, &name(number))?.ok_or_else(damaged)?;
    put(batch, number, &proto::DeskAct { entry: index.saturating_add(1), ..act });
    Ok(())
}

/// Notes that the commitment of an act was dropped.
pub(crate) fn dropped(records: &dyn Records, batch: &mut Batch, number: u64) -> Result<(), OrgError> {
    let act: proto::DeskAct = state::read(records, &name(number))?.ok_or_else(damaged)?;
    put(batch, number, &proto::DeskAct { dropped: true, ..act });
    Ok(())
}

fn read(records: &dyn Records, number: u64, organisation: &Organisation) -> Result<RecordedAct, OrgError> {
    let record: proto::DeskAct = state::read(records, &name(number))?.ok_or_else(damaged)?;
    let act: proto::AdministrativeAct =
        decode(&record.act, Limit::RECORD).map_err(|_| damaged())?.into_unchecked();
    let signed = record.commitment.ok_or_else(damaged)?;
    let body: proto::LogCommitmentBody = queue::body(&signed)?;
    let committed: [u8; 32] = body.commitment.try_into().map_err(|_| damaged())?;
    let authentic = organisation.issuers().iter().any(|issuer| {
        issuer.id().as_bytes() == body.issuer_id.as_slice()
            && issuer.key().verify(label::SIGN_LOG_COMMITMENT, &signed.body, &signed.signature).is_ok()
    });
    let fault = match authentic {
        false => Some(ActFault::NotAuthentic),
        true => (committed != commitment(&record.act)).then_some(ActFault::Changed),
    };
    Ok(RecordedAct {
        number,
        time: Timestamp::from_millis(act.time),
        actor: act.actor,
        action: act.action,
        target: act.target,
        before: act.before,
        after: act.after,
        entry: record.entry.checked_sub(1),
        is_dropped: record.dropped,
        commitment: committed,
        fault,
    })
}

/// What an act is committed to with; the salt is inside (R-ORG-46).
fn commitment(act: &[u8]) -> [u8; 32] {
    hash(label::HASH_ADMINISTRATIVE_ACT, &[act])
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_ACT_TEXT) {
        Some((at, _)) => text.get(..at).unwrap_or_default().to_string(),
        None => text.to_string(),
    }
}

fn count(batch: &Batch, records: &dyn Records) -> Result<u64, OrgError> {
    let key = RecordKey::new(COUNT, []);
    let bytes = match batch.0.get(&key) {
        Some(value) => value.clone(),
        None => records.get(&key)?,
    };
    let Some(bytes) = bytes else { return Ok(0) };
    Ok(u64::from_be_bytes(bytes.try_into().map_err(|_| damaged())?))
}

fn put(batch: &mut Batch, number: u64, act: &proto::DeskAct) {
    batch.put(name(number), encode(act));
}

fn name(number: u64) -> RecordKey {
    RecordKey::new(ACTS, number.to_be_bytes())
}
