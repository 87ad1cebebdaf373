//! Policy, the succession in groups, and where the relay is, as an administrator signs them (R-ORG-47).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::log::LeafKind;
use chancery_identity::{Capabilities, MAX_SUCCESSOR_MEMBERS, MemberId, Policy, sign};
use chancery_wire::records::{Batch, RecordKey, Records, Table};
use chancery_wire::{Timestamp, encode, proto};

use crate::audit::Act;
use crate::queue::{self, Beside, Queued};
use crate::state::{self, damaged};
use crate::{AdminKeys, Desk, OrgError, ceremony};

/// Most devices that a member has in all time: 500, half of what a log takes of one member (R-RELAY-20). With a device more
/// than that the queue would stand still, and the ends of others would wait behind it.
const MAX_ISSUED_DEVICES: u32 = 500;

const POLICY: Table = Table(0x0229);
const GROUP_SUCCESSORS: Table = Table(0x022a);
/// End of the name of the highest sequence that was dropped.
const USED: &[u8] = b"used";

impl Desk {
    /// Returns the policy that was signed last; the default if none was.
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn policy(records: &dyn Records) -> Result<Policy, OrgError> {
        let Some(body) = policy_body(records)? else { return Ok(Policy::default()) };
        Policy::from_proto(&body.policy.ok_or_else(damaged)?).map_err(|_| damaged())
    }

    /// Whether a member can have no other device: the policy's limit is reached, or that of all time (R-ORG-10).
    pub(crate) fn is_full(records: &dyn Records, member: &proto::DeskMember) -> Result<bool, OrgError> {
        let limit = Self::policy(records)?.device_limit;
        let is_many = usize::try_from(limit).is_ok_and(|limit| member.device_ids.len() >= limit);
        Ok(is_many || member.issued >= MAX_ISSUED_DEVICES)
    }

    /// Signs a policy, queues it and records the act. If it is the one in force the batch is empty.
    ///
    /// # Errors
    ///
    /// [`OrgError::WrongKeys`]: the administrator's keys are no issuer's with POLICY. [`OrgError::PolicyOutOfRange`]: a value
    /// is one that no client takes.
    pub fn set_policy(
        &self,
        admin: &AdminKeys,
        (records, policy): (&dyn Records, &Policy),
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<Batch, OrgError> {
        let mut batch = Batch::default();
        let before = Self::policy(records)?;
        if Policy::from_proto(&policy.to_proto()) != Ok(*policy) {
            return Err(OrgError::PolicyOutOfRange);
        }
        ceremony::check_may_sign(records, &self.organisation, (admin, Capabilities::POLICY), now)?;
        if before == *policy {
            return Ok(batch);
        }
        let replaced: Option<proto::Signed> = state::read(records, &RecordKey::new(POLICY, []))?;
        let last =
            last_sequence(records, POLICY, &[], policy_body(records)?.map_or(0, |body| body.sequence))?;
        let body = proto::PolicyBody {
            org_id: self.organisation.id().as_bytes().to_vec(),
            issuer_id: admin.issuer().id().as_bytes().to_vec(),
            sequence: last.checked_add(1).ok_or_else(damaged)?,
            policy: Some(policy.to_proto()),
        };
        let signed = sign::sign_policy(admin.issuer().signing(), &body, rng);
        batch.put(RecordKey::new(POLICY, []), encode(&signed));
        let beside = Beside { act: None, before: replaced };
        queue::push_with(records, &mut batch, (LeafKind::Policy, signed), beside)?;
        let (before, after) = (describe(&before), describe(policy));
        let act = Act { action: "policy", before: &before, after: &after, ..Act::default() };
        self.record_act((records, &mut batch), &act, now, rng)?;
        Ok(batch)
    }

    /// Queues a relay record that an administrator has signed, and records the act.
    ///
    /// # Errors
    ///
    /// [`OrgError::WrongKeys`]: the administrator's issuer was ended or may not; nothing is queued. [`OrgError::Records`] when the store cannot answer.
    pub fn relay_recorded(
        &self,
        admin: &AdminKeys,
        (records, record, place): (&dyn Records, &proto::Signed, &str),
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<Batch, OrgError> {
        let mut batch = Batch::default();
        ceremony::check_may_sign(records, &self.organisation, (admin, Capabilities::POLICY), now)?;
        queue::push(records, &mut batch, LeafKind::Relay, record.clone())?;
        let before = self.organisation.relay().map_or("", chancery_identity::RelayRecord::url);
        let act = Act { action: "relay", before, after: place, ..Act::default() };
        self.record_act((records, &mut batch), &act, now, rng)?;
        Ok(batch)
    }

    /// Signs who takes a group over, or with zeros every group that has no statement of its own; queues it and records the
    /// act.
    ///
    /// # Errors
    ///
    /// [`OrgError::WrongKeys`]: the administrator's keys are no issuer's with GROUPS. [`OrgError::TooManySuccessors`]: above
    /// [`MAX_SUCCESSOR_MEMBERS`].
    pub fn set_group_successors(
        &self,
        admin: &AdminKeys,
        records: &dyn Records,
        (group, members): (&[u8; 16], &[MemberId]),
        (now, rng): (Timestamp, &mut dyn CryptoRng),
    ) -> Result<Batch, OrgError> {
        if members.len() > MAX_SUCCESSOR_MEMBERS {
            return Err(OrgError::TooManySuccessors);
        }
        ceremony::check_may_sign(records, &self.organisation, (admin, Capabilities::GROUPS), now)?;
        let key = RecordKey::new(GROUP_SUCCESSORS, *group);
        let replaced: Option<proto::Signed> = state::read(records, &key)?;
        let before = replaced.as_ref().map(queue::body::<proto::GroupSuccessorBody>).transpose()?;
        let last = before.as_ref().map_or(0, |body| body.sequence);
        let last = last_sequence(records, GROUP_SUCCESSORS, group, last)?;
        let body = proto::GroupSuccessorBody {
            org_id: self.organisation.id().as_bytes().to_vec(),
            issuer_id: admin.issuer().id().as_bytes().to_vec(),
            group_id: group.to_vec(),
            member_ids: members.iter().map(|id| id.as_bytes().to_vec()).collect(),
            sequence: last.checked_add(1).ok_or_else(damaged)?,
        };
        let signed = sign::sign_group_successor(admin.issuer().signing(), &body, rng);
        let mut batch = Batch::default();
        batch.put(key, encode(&signed));
        let beside = Beside { act: None, before: replaced };
        queue::push_with(records, &mut batch, (LeafKind::GroupSuccessor, signed), beside)?;
        let group = hex(group);
        let before = names(&before.unwrap_or_default().member_ids);
        let after = names(&body.member_ids);
        let act = Act {
            action: "group successors",
            target: &group,
            before: &before,
            after: &after,
            ..Act::default()
        };
        self.record_act((records, &mut batch), &act, now, rng)?;
        Ok(batch)
    }
}

fn policy_body(records: &dyn Records) -> Result<Option<proto::PolicyBody>, OrgError> {
    let signed: Option<proto::Signed> = state::read(records, &RecordKey::new(POLICY, []))?;
    signed.map(|signed| queue::body(&signed)).transpose()
}

/// Takes back a policy or a succession that was dropped: what was the newest before it is so again, its sequence is never
/// used again, and one that follows it in the queue replaces what it replaced.
pub(crate) fn dropped(
    records: &dyn Records,
    batch: &mut Batch,
    queued: &Queued,
    before: Option<proto::Signed>,
) -> Result<(), OrgError> {
    let (table, name, sequence) = place(queued)?;
    let last = last_sequence(records, table, &name, sequence)?;
    batch.put(used(table, &name), last.to_be_bytes().to_vec());
    let key = RecordKey::new(table, name.as_slice());
    if state::read(records, &key)?.as_ref() == Some(&queued.statement) {
        match &before {
            Some(before) => batch.put(key, encode(before)),
            None => batch.delete(key),
        }
        return Ok(());
    }
    for later in Desk::queued_statements(records)? {
        let is_later = later.number > queued.number && later.kind == queued.kind;
        if is_later && place(&later)?.1 == name {
            return queue::replaces(records, batch, later.number, before);
        }
    }
    Ok(())
}

/// Where the newest statement of a kind is kept, and the sequence of this one.
fn place(queued: &Queued) -> Result<(Table, Vec<u8>, u64), OrgError> {
    if queued.kind == LeafKind::Policy {
        let body: proto::PolicyBody = queue::body(&queued.statement)?;
        return Ok((POLICY, Vec::new(), body.sequence));
    }
    let body: proto::GroupSuccessorBody = queue::body(&queued.statement)?;
    Ok((GROUP_SUCCESSORS, body.group_id, body.sequence))
}

/// The highest sequence that was ever signed, also in a statement that was dropped since: whoever has that could still put
/// it into the log.
fn last_sequence(records: &dyn Records, table: Table, name: &[u8], newest: u64) -> Result<u64, OrgError> {
    let Some(bytes) = records.get(&used(table, name))? else { return Ok(newest) };
    Ok(newest.max(u64::from_be_bytes(bytes.try_into().map_err(|_| damaged())?)))
}

fn used(table: Table, name: &[u8]) -> RecordKey {
    RecordKey::new(table, [name, USED].concat())
}

/// A policy in one line, for the record of the act (R-ORG-58).
fn describe(policy: &Policy) -> String {
    let span = |span: Option<Duration>| match span {
        Some(span) => format!("{}s", span.as_secs()),
        None => "none".into(),
    };
    format!(
        "suite {}, freshness {}, retention {}, disappearing {}, export {}, saving {}, offline {}, devices {}, receipts {}, witnesses {} of {}",
        policy.minimum_suite,
        span(Some(policy.freshness)),
        span(policy.retention),
        span(policy.disappearing),
        policy.may_export,
        policy.may_save_attachments,
        span(policy.max_offline),
        policy.device_limit,
        policy.receipts,
        policy.witnesses.quorum(),
        witnesses(policy),
    )
}

/// The witnesses of a policy by the beginnings of their keys.
fn witnesses(policy: &Policy) -> String {
    let short: Vec<String> =
        policy.witnesses.keys().iter().filter_map(|key| Some(hex(key.get(..4)?))).collect();
    if short.is_empty() { "none".into() } else { short.join(" ") }
}

fn names(ids: &[Vec<u8>]) -> String {
    let names: Vec<String> = ids.iter().map(|id| hex(id)).collect();
    names.join(" ")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
