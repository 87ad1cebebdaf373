//! What the log says of the organisation: replayed entry by entry, by clients, relay and desk alike.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use chancery_crypto::label;
use chancery_wire::{Limit, Timestamp, Unverified, WireMessage, decode, proto};

use crate::log::{self, Leaf, LeafKind, commitment, short_issuer};
use crate::organisation::check_org;
use crate::{
    Capabilities, DeviceId, IdentityError, Issuer, IssuerId, LogError, MemberId, Organisation, Policy,
    RelayRecord,
};

/// Most groups for which a successor is remembered: 10,000. One more is refused by the log.
pub const MAX_GROUP_SUCCESSORS: usize = 10_000;
/// Most members whom a statement names as successors of a group.
pub const MAX_SUCCESSOR_MEMBERS: usize = 16;

/// What an entry changes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The organisation's document: root, issuer, desk or relay. [`Authority::organisation`] is the new one.
    Document,
    /// An issuer ended. What it signed before stands.
    IssuerRevoked(IssuerId),
    /// A device was vouched for. The first entry about a device counts; the caller refuses another, and one for a
    /// member who was ended.
    Credential {
        /// The device.
        device: DeviceId,
        /// Whose it is.
        member: MemberId,
        /// Who vouched.
        issuer: IssuerId,
        /// [`crate::Credential::hash`] of its credential.
        hash: [u8; 32],
    },
    /// A device ended, for ever.
    DeviceRevoked {
        /// The device.
        device: DeviceId,
        /// Whose it was.
        member: MemberId,
    },
    /// A member ended, with every device, for ever.
    MemberRevoked(MemberId),
    /// The policy is a new one: [`Authority::policy`].
    Policy,
    /// Somebody else takes a group over: [`Authority::group_successors`].
    GroupSuccessor([u8; 16]),
    /// A directory entry was committed to; the newest of a member counts. The caller refuses one whose version is
    /// not above the last.
    Directory {
        /// Whose entry.
        member: MemberId,
        /// Who signed it.
        issuer: IssuerId,
        /// Its version.
        version: u64,
        /// [`commitment`] of the signed entry.
        hash: [u8; 32],
    },
    /// An administrative act was committed to.
    Audit,
}

/// A statement that may enter the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Its leaf.
    pub leaf: Leaf,
    /// The statement, if the log shows it.
    pub content: Option<proto::Signed>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Standing {
    id: IssuerId,
    added: u64,
    revoked: Option<u64>,
}

/// The organisation as the log has it up to some entry (R-LOG-6).
#[derive(Debug, Clone)]
pub struct Authority {
    organisation: Organisation,
    standings: Vec<Standing>,
    policy: Policy,
    policy_sequence: u64,
    policy_statement: Option<proto::Signed>,
    group_successors: BTreeMap<[u8; 16], (proto::GroupSuccessorBody, proto::Signed)>,
}

impl Authority {
    /// Begins before the first entry: of the organisation nothing is known but its first root.
    #[must_use]
    pub fn new(organisation: &Organisation) -> Self {
        Self {
            organisation: Organisation::of_root(organisation.first_root().clone()),
            standings: Vec::new(),
            policy: Policy::default(),
            policy_sequence: 0,
            policy_statement: None,
            group_successors: BTreeMap::new(),
        }
    }

    /// Returns the organisation with every root, issuer, desk and relay that the log has shown.
    #[must_use]
    pub const fn organisation(&self) -> &Organisation {
        &self.organisation
    }

    /// Returns the policy in force.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Returns the number of the policy in force; 0 for the default.
    #[must_use]
    pub const fn policy_sequence(&self) -> u64 {
        self.policy_sequence
    }

    /// Returns who takes a group over, in the order of precedence: what was said for this group, else what was said
    /// for all.
    #[must_use]
    pub fn group_successors(&self, group: &[u8; 16]) -> Vec<MemberId> {
        let of = |id| self.group_successors.get(id);
        let ids = of(group).or_else(|| of(&[0; 16])).map(|(body, _)| body.member_ids.as_slice());
        ids.unwrap_or_default().iter().filter_map(|id| MemberId::from_bytes(id)).collect()
    }

    /// Returns whom the newest statement names that is for this very group; for all groups it is that of 16 zeros.
    #[must_use]
    pub fn stated_successors(&self, group: &[u8; 16]) -> Vec<MemberId> {
        let stated = self.group_successors.get(group).map(|(body, _)| body.member_ids.as_slice());
        stated.unwrap_or_default().iter().filter_map(|id| MemberId::from_bytes(id)).collect()
    }

    /// Returns an issuer that was active (R-LOG-4) after the first `size` entries, at `time`.
    #[must_use]
    pub fn issuer_at(&self, issuer: &IssuerId, size: u64, time: Timestamp) -> Option<&Issuer> {
        let standing = self.standings.iter().find(|it| it.id == *issuer)?;
        let active = standing.added < size && standing.revoked.is_none_or(|revoked| revoked >= size);
        self.organisation.issuer(issuer).filter(|it| active && it.validity().check(time).is_ok())
    }

    /// Whether an issuer is in the log and has not been ended.
    #[must_use]
    pub fn is_active(&self, issuer: &IssuerId) -> bool {
        self.standings.iter().any(|it| it.id == *issuer && it.revoked.is_none())
    }

    /// Checks a statement that somebody wants in the log, as [`Self::apply`] will, and makes its leaf (R-LOG-4).
    ///
    /// # Errors
    ///
    /// [`LogError`]: it may not enter.
    pub fn prepare(
        &self,
        kind: LeafKind,
        statement: &proto::Signed,
        now: Timestamp,
    ) -> Result<Submission, LogError> {
        let mut leaf = Leaf {
            kind,
            time: now,
            subject: [0; 16],
            object: [0; 16],
            issuer: [0; 16],
            commitment: commitment(kind, statement),
        };
        match kind {
            LeafKind::Credential => {
                let credential =
                    self.organisation.verify_credential(Unverified::new(statement.clone()), now)?;
                leaf.subject = *credential.device_id().as_bytes();
                leaf.object = *credential.member_id().as_bytes();
                leaf.issuer = self.active(&credential.issuer_id(), now)?;
            }
            LeafKind::Directory | LeafKind::Audit => {
                let body: proto::LogCommitmentBody = read(statement)?;
                let (issuer, short) = self.issuer(&body.org_id, &body.issuer_id, now)?;
                let may = kind == LeafKind::Audit || issuer.capabilities().contains(Capabilities::ENROL);
                issuer.key().verify(label::SIGN_LOG_COMMITMENT, &statement.body, &statement.signature)?;
                if !may || body.kind != u32::from(kind.number()) {
                    return Err(LogError::NotPermitted);
                }
                leaf.subject = id(&body.subject)?;
                leaf.object = id(&body.object)?;
                if kind == LeafKind::Directory {
                    directory_version(&leaf.object)?;
                }
                leaf.issuer = short;
                leaf.commitment = body.commitment.try_into().map_err(|_| LogError::Malformed)?;
            }
            _ => {
                let shown = self.check(kind, statement, now)?;
                (leaf.subject, leaf.object, leaf.issuer) = (shown.subject, shown.object, shown.issuer);
            }
        }
        Ok(Submission { leaf, content: kind.is_shown().then(|| statement.clone()) })
    }

    /// Takes over entry `index`, counted from 0 (R-LOG-6).
    ///
    /// # Errors
    ///
    /// [`LogError`]: an honest log has no such entry; nothing has changed, and nothing after it may be believed.
    pub fn apply(
        &mut self,
        index: u64,
        leaf: &Leaf,
        content: Option<&proto::Signed>,
    ) -> Result<Change, LogError> {
        if leaf.kind.is_shown() {
            let statement = content.ok_or(LogError::Malformed)?;
            if commitment(leaf.kind, statement) != leaf.commitment {
                return Err(LogError::NotAuthentic);
            }
            let shown = self.check(leaf.kind, statement, leaf.time)?;
            if (shown.subject, shown.object, shown.issuer) != (leaf.subject, leaf.object, leaf.issuer) {
                return Err(LogError::NotAuthentic);
            }
            self.take(index, shown.step, statement);
            return Ok(shown.change);
        }
        if content.is_some() {
            return Err(LogError::Malformed);
        }
        let named = self.standings.iter().find(|it| short_issuer(&it.id) == leaf.issuer);
        let issuer = named.and_then(|it| self.organisation.issuer(&it.id)).ok_or(LogError::NotPermitted)?;
        self.active(&issuer.id(), leaf.time)?;
        if leaf.kind != LeafKind::Audit && !issuer.capabilities().contains(Capabilities::ENROL) {
            return Err(LogError::NotPermitted);
        }
        Ok(match leaf.kind {
            LeafKind::Credential => {
                let (device, member) = (leaf.device(), leaf.member());
                Change::Credential { device, member, issuer: issuer.id(), hash: leaf.commitment }
            }
            LeafKind::Directory => Change::Directory {
                member: leaf.member(),
                issuer: issuer.id(),
                version: directory_version(&leaf.object)?,
                hash: leaf.commitment,
            },
            _ => Change::Audit,
        })
    }

    /// Checks a statement that everybody is shown; nothing changes yet.
    fn check(&self, kind: LeafKind, signed: &proto::Signed, time: Timestamp) -> Result<Shown, LogError> {
        match kind {
            LeafKind::Root => {
                let mut organisation = self.organisation.clone();
                organisation.add_successor(signed.clone())?;
                Ok(Shown::new([0; 16], [0; 16], Change::Document, Step::document(organisation)))
            }
            LeafKind::Issuer => {
                // The root of the moment, and none before it.
                let root = self.organisation.root_key();
                root.verify(label::SIGN_ISSUER, &signed.body, &signed.signature)?;
                let mut organisation = self.organisation.clone();
                organisation.add_issuer(signed.clone())?;
                let id = Issuer::id_of(signed);
                let step = Step::Issuer(organisation.into(), id);
                Ok(Shown::new(short_issuer(&id), [0; 16], Change::Document, step))
            }
            LeafKind::IssuerRevoked => self.check_end_of_issuer(signed),
            LeafKind::DeviceRevoked | LeafKind::MemberRevoked => self.check_revocation(kind, signed, time),
            LeafKind::Policy => self.check_policy(signed, time),
            LeafKind::GroupSuccessor => self.check_group_successor(signed, time),
            LeafKind::Desk => {
                let mut organisation = self.organisation.clone();
                organisation.set_desk(signed.clone())?;
                let desk = organisation.desk().ok_or(LogError::Malformed)?;
                // So that nobody puts an earlier desk, whose keys may be stolen, in its place again.
                if self.organisation.desk().is_some_and(|old| desk.not_before() <= old.not_before()) {
                    return Err(LogError::OutOfOrder);
                }
                let (issuer, subject) = (self.active(&desk.issuer_id(), time)?, *desk.device_id().as_bytes());
                Ok(Shown::new(subject, issuer, Change::Document, Step::document(organisation)))
            }
            LeafKind::Relay => {
                let before = self.organisation.relay().map_or(0, RelayRecord::sequence);
                let mut organisation = self.organisation.clone();
                organisation.set_relay(signed.clone())?;
                let relay = organisation.relay().ok_or(LogError::Malformed)?;
                if relay.sequence() <= before {
                    return Err(LogError::OutOfOrder);
                }
                let issuer = self.active(&relay.issuer_id(), time)?;
                Ok(Shown::new([0; 16], issuer, Change::Document, Step::document(organisation)))
            }
            LeafKind::Credential | LeafKind::Directory | LeafKind::Audit => Err(LogError::Malformed),
        }
    }

    fn check_end_of_issuer(&self, signed: &proto::Signed) -> Result<Shown, LogError> {
        let root = self.organisation.root_key();
        root.verify(label::SIGN_ISSUER_REVOCATION, &signed.body, &signed.signature)?;
        let body: proto::IssuerRevocationBody = read(signed)?;
        check_org(&body.org_id, &self.organisation.id())?;
        let id = IssuerId::from_bytes(&body.issuer_id).ok_or(LogError::Malformed)?;
        let at = self.standings.iter().position(|it| it.id == id).ok_or(LogError::NotPermitted)?;
        if !self.is_active(&id) {
            return Err(LogError::Duplicate);
        }
        Ok(Shown::new(short_issuer(&id), [0; 16], Change::IssuerRevoked(id), Step::EndOfIssuer(at)))
    }

    fn check_revocation(
        &self,
        kind: LeafKind,
        signed: &proto::Signed,
        time: Timestamp,
    ) -> Result<Shown, LogError> {
        let body: proto::RevocationBody = read(signed)?;
        let (issuer, short) = self.issuer(&body.org_id, &body.issuer_id, time)?;
        issuer.key().verify(label::SIGN_REVOCATION, &signed.body, &signed.signature)?;
        let (may, member) = (issuer.capabilities(), id(&body.member_id)?);
        let offboards = may.contains(Capabilities::OFFBOARD);
        if kind == LeafKind::MemberRevoked {
            if !body.device_id.is_empty() {
                return Err(LogError::Malformed);
            }
            let change = Change::MemberRevoked(MemberId::new(member));
            let shown = Shown::new(member, short, change, Step::Nothing);
            return if offboards { Ok(shown) } else { Err(LogError::NotPermitted) };
        }
        // The desk ends single devices on the word of their members, and has no more than ENROL.
        if !offboards && !may.contains(Capabilities::ENROL) {
            return Err(LogError::NotPermitted);
        }
        let device = id(&body.device_id)?;
        let change = Change::DeviceRevoked { device: DeviceId::new(device), member: MemberId::new(member) };
        Ok(Shown { object: member, ..Shown::new(device, short, change, Step::Nothing) })
    }

    fn check_policy(&self, signed: &proto::Signed, time: Timestamp) -> Result<Shown, LogError> {
        let body: proto::PolicyBody = read(signed)?;
        let (issuer, short) = self.issuer(&body.org_id, &body.issuer_id, time)?;
        issuer.key().verify(label::SIGN_POLICY, &signed.body, &signed.signature)?;
        if !issuer.capabilities().contains(Capabilities::POLICY) {
            return Err(LogError::NotPermitted);
        }
        if body.sequence <= self.policy_sequence {
            return Err(LogError::OutOfOrder);
        }
        let policy = Policy::from_proto(&body.policy.ok_or(LogError::Malformed)?)?;
        Ok(Shown::new([0; 16], short, Change::Policy, Step::Policy(policy.into(), body.sequence)))
    }

    fn check_group_successor(&self, signed: &proto::Signed, time: Timestamp) -> Result<Shown, LogError> {
        let body: proto::GroupSuccessorBody = read(signed)?;
        let (issuer, short) = self.issuer(&body.org_id, &body.issuer_id, time)?;
        issuer.key().verify(label::SIGN_GROUP_SUCCESSOR, &signed.body, &signed.signature)?;
        if !issuer.capabilities().contains(Capabilities::GROUPS) {
            return Err(LogError::NotPermitted);
        }
        let group = id(&body.group_id)?;
        let named = body.member_ids.len();
        if named > MAX_SUCCESSOR_MEMBERS || !body.member_ids.iter().all(|member| id(member).is_ok()) {
            return Err(LogError::Malformed);
        }
        match self.group_successors.get(&group) {
            Some((old, _)) if body.sequence <= old.sequence => return Err(LogError::OutOfOrder),
            None if self.group_successors.len() >= MAX_GROUP_SUCCESSORS => return Err(LogError::TooMany),
            _ => {}
        }
        Ok(Shown::new(group, short, Change::GroupSuccessor(group), Step::GroupSuccessor(group, body)))
    }

    /// Carries out what was checked.
    fn take(&mut self, index: u64, step: Step, signed: &proto::Signed) {
        match step {
            Step::Nothing => {}
            Step::Document(organisation) => self.organisation = *organisation,
            Step::Issuer(organisation, id) => {
                self.organisation = *organisation;
                self.standings.push(Standing { id, added: index, revoked: None });
            }
            Step::EndOfIssuer(at) => {
                if let Some(standing) = self.standings.get_mut(at) {
                    standing.revoked = Some(index);
                }
            }
            Step::Policy(policy, sequence) => {
                self.policy = *policy;
                self.policy_sequence = sequence;
                self.policy_statement = Some(signed.clone());
            }
            Step::GroupSuccessor(group, body) => {
                self.group_successors.insert(group, (body, signed.clone()));
            }
        }
    }

    fn issuer(&self, org: &[u8], issuer: &[u8], time: Timestamp) -> Result<(&Issuer, [u8; 16]), LogError> {
        check_org(org, &self.organisation.id())?;
        let id = IssuerId::from_bytes(issuer).ok_or(LogError::Malformed)?;
        let short = self.active(&id, time)?;
        Ok((self.organisation.issuer(&id).ok_or(LogError::NotPermitted)?, short))
    }

    /// Whether an issuer may have signed what entered the log at `time`; returns its short name.
    fn active(&self, issuer: &IssuerId, time: Timestamp) -> Result<[u8; 16], LogError> {
        let dates = self.organisation.issuer(issuer).map(Issuer::validity).filter(|_| self.is_active(issuer));
        dates.ok_or(LogError::NotPermitted)?.check(time)?;
        Ok(short_issuer(issuer))
    }

    /// Returns the state for a store.
    #[must_use]
    pub fn to_record(&self) -> proto::AuthorityRecord {
        let standing = |it: &Standing| proto::IssuerStanding {
            issuer_id: it.id.as_bytes().to_vec(),
            added: it.added,
            revoked: it.revoked.map_or(0, |index| index.saturating_add(1)),
        };
        proto::AuthorityRecord {
            organisation: Some(self.organisation.as_proto().clone()),
            issuers: self.standings.iter().map(standing).collect(),
            policy: self.policy_statement.clone(),
            group_successors: self.group_successors.values().map(|(_, signed)| signed.clone()).collect(),
        }
    }

    /// Reads what [`Self::to_record`] gave, from one's own store.
    ///
    /// # Errors
    ///
    /// [`LogError`]: the record is damaged.
    pub fn from_record(record: proto::AuthorityRecord) -> Result<Self, LogError> {
        let document = record.organisation.ok_or(LogError::Malformed)?;
        let organisation = Organisation::verify(Unverified::new(document), None)?;
        let mut authority = Self::new(&organisation);
        authority.organisation = organisation;
        for it in record.issuers {
            let id = IssuerId::from_bytes(&it.issuer_id).ok_or(LogError::Malformed)?;
            authority.standings.push(Standing { id, added: it.added, revoked: it.revoked.checked_sub(1) });
        }
        if let Some(signed) = record.policy {
            let body: proto::PolicyBody = read(&signed)?;
            authority.policy = Policy::from_proto(&body.policy.ok_or(LogError::Malformed)?)?;
            authority.policy_sequence = body.sequence;
            authority.policy_statement = Some(signed);
        }
        for signed in record.group_successors {
            let body: proto::GroupSuccessorBody = read(&signed)?;
            authority.group_successors.insert(id(&body.group_id)?, (body, signed));
        }
        Ok(authority)
    }
}

/// What a statement that everybody is shown comes to.
struct Shown {
    subject: [u8; 16],
    object: [u8; 16],
    issuer: [u8; 16],
    change: Change,
    step: Step,
}

impl Shown {
    const fn new(subject: [u8; 16], issuer: [u8; 16], change: Change, step: Step) -> Self {
        Self { subject, object: [0; 16], issuer, change, step }
    }
}

/// What is left to do once the leaf has been compared.
enum Step {
    Nothing,
    Document(Box<Organisation>),
    Issuer(Box<Organisation>, IssuerId),
    EndOfIssuer(usize),
    Policy(Box<Policy>, u64),
    GroupSuccessor([u8; 16], proto::GroupSuccessorBody),
}

impl Step {
    fn document(organisation: Organisation) -> Self {
        Self::Document(organisation.into())
    }
}

fn read<T: WireMessage>(signed: &proto::Signed) -> Result<T, LogError> {
    Ok(decode::<T>(&signed.body, Limit::STATEMENT).map_err(IdentityError::from)?.into_unchecked())
}

/// Reads the object of a leaf about a directory entry: `version (8, big-endian) || zeros`.
fn directory_version(object: &[u8; 16]) -> Result<u64, LogError> {
    let version = object.split_first_chunk::<8>().map_or(0, |(head, _)| u64::from_be_bytes(*head));
    if version == 0 || *object != log::directory_object(version) {
        return Err(LogError::Malformed);
    }
    Ok(version)
}

fn id(bytes: &[u8]) -> Result<[u8; 16], LogError> {
    bytes.try_into().map_err(|_| LogError::Malformed)
}
