//! Statements that are to enter the log, in the order in which they were signed (R-ORG-40, R-ORG-41).

use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::log::{LeafKind, commitment};
use chancery_identity::{MemberId, sign};
use chancery_wire::records::{Batch, RecordKey, Records, Table};
use chancery_wire::{Limit, Timestamp, decode, encode, proto};

use crate::keys::IssuerKey;
use crate::state::{self, damaged};
use crate::{Desk, OrgError, audit, ceremony, log_view, offboard};

const STATEMENTS: Table = Table(0x0220);
const ENDS: Table = Table(0x0221);
const COMMITMENTS: Table = Table(0x0222);

/// A statement that waits for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// Its place in the queue; rises by one with each.
    pub number: u64,
    /// What it is about.
    pub kind: LeafKind,
    /// What is to be appended.
    pub statement: proto::Signed,
}

/// What the log said to a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// It is entry `index`, counted from 0.
    At(u64),
    /// It contradicts what the log has, and never enters.
    Refused,
}

impl Desk {
    /// Returns the statement that is to enter the log next; the others wait for it (R-ORG-41).
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn next_statement(records: &dyn Records) -> Result<Option<Queued>, OrgError> {
        let ends = ends(&Batch::default(), records)?;
        if ends.first >= ends.next {
            return Ok(None);
        }
        read(records, ends.first).map(|(queued, _)| Some(queued))
    }

    /// Returns all statements that wait, first the one that is next.
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn queued_statements(records: &dyn Records) -> Result<Vec<Queued>, OrgError> {
        let ends = ends(&Batch::default(), records)?;
        (ends.first..ends.next).map(|number| read(records, number).map(|(queued, _)| queued)).collect()
    }

    /// Notes what the log said to statement `number`, which waits no longer. Without effect for one that waits no longer
    /// anyway, as when two processes have sent it, or is not the next.
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn entered(
        records: &dyn Records,
        number: u64,
        entered: Entered,
        now: Timestamp,
    ) -> Result<Batch, OrgError> {
        let mut batch = Batch::default();
        let ends = ends(&batch, records)?;
        if number != ends.first || number >= ends.next {
            return Ok(batch);
        }
        let (Queued { kind, statement, .. }, more) = read(records, number)?;
        take_first(&mut batch, ends);
        if let Entered::At(index) = entered {
            log_view::appended(records, &mut batch, index)?;
        }
        match (kind, entered) {
            (LeafKind::Audit, Entered::At(index)) => {
                audit::entered(records, &mut batch, more.act.ok_or_else(damaged)?, index)?;
            }
            (LeafKind::MemberRevoked, _) => {
                let body: proto::RevocationBody = body(&statement)?;
                offboard::revoked(records, &mut batch, &body.member_id, step(entered, now))?;
            }
            (LeafKind::Directory, _) => {
                let body: proto::LogCommitmentBody = body(&statement)?;
                offboard::committed(records, &mut batch, &body, step(entered, now))?;
            }
            (LeafKind::Desk, _) => ceremony::forget_former(&mut batch),
            _ => {}
        }
        Ok(batch)
    }
}

/// What the queue keeps beside a statement.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Beside {
    /// The act that it commits to.
    pub(crate) act: Option<u64>,
    /// The statement that it replaces in the desk's records, for kinds of which there is a newest one.
    pub(crate) before: Option<proto::Signed>,
}

/// Takes the statement that is next out of the queue: it, what is beside it, and what follows. `None` if none waits.
pub(crate) fn take_next(
    records: &dyn Records,
    batch: &mut Batch,
) -> Result<Option<(Queued, Beside)>, OrgError> {
    let ends = ends(batch, records)?;
    if ends.first >= ends.next {
        return Ok(None);
    }
    let taken = read(records, ends.first)?;
    take_first(batch, ends);
    Ok(Some(taken))
}

fn take_first(batch: &mut Batch, ends: proto::DeskQueue) {
    batch.delete(name(ends.first));
    put_ends(batch, proto::DeskQueue { first: ends.first.saturating_add(1), ..ends });
}

/// Notes that a statement that waits replaces another one than it did, because that was dropped.
pub(crate) fn replaces(
    records: &dyn Records,
    batch: &mut Batch,
    number: u64,
    before: Option<proto::Signed>,
) -> Result<(), OrgError> {
    let value: proto::DeskStatement = state::read(records, &name(number))?.ok_or_else(damaged)?;
    batch.put(name(number), encode(&proto::DeskStatement { before, ..value }));
    Ok(())
}

/// Puts a statement at the end of the queue.
pub(crate) fn push(
    records: &dyn Records,
    batch: &mut Batch,
    kind: LeafKind,
    statement: proto::Signed,
) -> Result<u64, OrgError> {
    push_with(records, batch, (kind, statement), Beside::default())
}

/// Puts a statement at the end of the queue, and notes what is beside it. The batch may have others already.
pub(crate) fn push_with(
    records: &dyn Records,
    batch: &mut Batch,
    (kind, statement): (LeafKind, proto::Signed),
    beside: Beside,
) -> Result<u64, OrgError> {
    let ends = ends(batch, records)?;
    let number = ends.next;
    let act = beside.act.map_or(Ok(0), |act| act.checked_add(1).ok_or_else(damaged))?;
    let (kind, before) = (kind.number().into(), beside.before);
    let value = proto::DeskStatement { kind, statement: Some(statement), act, before };
    batch.put(name(number), encode(&value));
    let next = number.checked_add(1).ok_or_else(damaged)?;
    put_ends(batch, proto::DeskQueue { next, ..ends });
    Ok(number)
}

/// Signs what commits to a directory entry, and keeps it beside the entry until that is made pending (R-ORG-40).
pub(crate) fn commit_to_entry(
    batch: &mut Batch,
    issuer: &IssuerKey,
    (entry_id, entry): (&[u8], &proto::Signed),
    (org, member_id, version): (&[u8; 32], &MemberId, u64),
    rng: &mut dyn CryptoRng,
) {
    let object = [version.to_be_bytes(), [0; 8]].concat();
    let body = proto::LogCommitmentBody {
        org_id: org.to_vec(),
        issuer_id: issuer.id().as_bytes().to_vec(),
        kind: LeafKind::Directory.number().into(),
        subject: member_id.as_bytes().to_vec(),
        object,
        commitment: commitment(LeafKind::Directory, entry).to_vec(),
    };
    let signed = sign::sign_log_commitment(issuer.signing(), &body, rng);
    batch.put(RecordKey::new(COMMITMENTS, entry_id), encode(&signed));
}

/// Queues what commits to an entry that was made in this batch; an entry of before is in the log or the queue.
pub(crate) fn push_commitment(
    records: &dyn Records,
    batch: &mut Batch,
    entry_id: &[u8],
) -> Result<(), OrgError> {
    let made = batch.0.get(&RecordKey::new(COMMITMENTS, entry_id)).cloned().flatten();
    let Some(bytes) = made else { return Ok(()) };
    let statement = decode(&bytes, Limit::STATEMENT).map_err(|_| damaged())?.into_unchecked();
    push(records, batch, LeafKind::Directory, statement).map(drop)
}

/// The commitment of a member's newest entry, as the log has it or is to have it.
pub(crate) fn entry_commitment(
    records: &dyn Records,
    entry_id: &[u8],
) -> Result<Option<proto::LogCommitmentBody>, OrgError> {
    let statement: Option<proto::Signed> = state::read(records, &RecordKey::new(COMMITMENTS, entry_id))?;
    statement.map(|statement| body(&statement)).transpose()
}

fn step(entered: Entered, now: Timestamp) -> proto::DeskStep {
    let (entry, refused) = match entered {
        Entered::At(index) => (index.saturating_add(1), false),
        Entered::Refused => (0, true),
    };
    proto::DeskStep { entry, time: now.as_millis(), refused, dropped: false }
}

fn read(records: &dyn Records, number: u64) -> Result<(Queued, Beside), OrgError> {
    let value: proto::DeskStatement = state::read(records, &name(number))?.ok_or_else(damaged)?;
    let kind = LeafKind::from_number(value.kind).ok_or_else(damaged)?;
    let statement = value.statement.ok_or_else(damaged)?;
    let beside = Beside { act: value.act.checked_sub(1), before: value.before };
    Ok((Queued { number, kind, statement }, beside))
}

/// The ends as a batch will leave them.
fn ends(batch: &Batch, records: &dyn Records) -> Result<proto::DeskQueue, OrgError> {
    let key = RecordKey::new(ENDS, []);
    let stored = match batch.0.get(&key) {
        Some(value) => value.clone(),
        None => records.get(&key)?,
    };
    let Some(bytes) = stored else { return Ok(proto::DeskQueue::default()) };
    Ok(decode(&bytes, Limit::RECORD).map_err(|_| damaged())?.into_unchecked())
}

fn put_ends(batch: &mut Batch, ends: proto::DeskQueue) {
    batch.put(RecordKey::new(ENDS, []), encode(&ends));
}

fn name(number: u64) -> RecordKey {
    RecordKey::new(STATEMENTS, number.to_be_bytes())
}

/// The body of a statement of ours.
pub(crate) fn body<T: chancery_wire::WireMessage>(statement: &proto::Signed) -> Result<T, OrgError> {
    Ok(decode(&statement.body, Limit::STATEMENT).map_err(|_| damaged())?.into_unchecked())
}
