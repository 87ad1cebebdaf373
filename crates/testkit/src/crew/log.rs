//! The log as a device of a [`super::Crew`] has it: its leaves, whose statements are taken as verified.

use std::collections::BTreeMap;

use chancery_crypto::merkle;
use chancery_crypto::signature::VerifyingKey;
use chancery_group::{Ended, LogView};
use chancery_identity::log::{Leaf, LeafKind};
use chancery_identity::{Capabilities, Credential, DeviceId, IssuerId, MemberId, OrgId, Organisation};
use chancery_wire::Timestamp;

use super::NOW;

/// A leaf, and of the statement beside it what groups need.
#[derive(Debug, Clone)]
pub struct CrewEntry {
    /// The leaf.
    pub leaf: Leaf,
    /// The `member_ids` of a statement of kind 8.
    pub member_ids: Vec<MemberId>,
}

/// A log.
#[derive(Debug, Clone)]
pub struct CrewLog {
    organisation: Organisation,
    entries: Vec<CrewEntry>,
    credentials: BTreeMap<DeviceId, Credential>,
}

impl CrewLog {
    /// An empty log.
    #[must_use]
    pub fn new(organisation: &Organisation) -> Self {
        Self { organisation: organisation.clone(), entries: Vec::new(), credentials: BTreeMap::new() }
    }

    /// A log of these entries, with these credentials at hand.
    #[must_use]
    pub fn of(organisation: &Organisation, entries: Vec<CrewEntry>, credentials: Vec<Credential>) -> Self {
        let credentials = credentials.into_iter().map(|it| (it.device_id(), it)).collect();
        Self { organisation: organisation.clone(), entries, credentials }
    }

    /// Returns all entries.
    #[must_use]
    pub fn entries(&self) -> &[CrewEntry] {
        &self.entries
    }

    /// Returns the credentials at hand.
    pub fn credentials(&self) -> impl Iterator<Item = &Credential> {
        self.credentials.values()
    }

    /// Returns how many entries there are.
    #[must_use]
    pub fn size_now(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Appends a leaf, a second after the one before.
    pub fn push(
        &mut self,
        kind: LeafKind,
        about: ([u8; 16], [u8; 16]),
        issuer: [u8; 16],
        commitment: [u8; 32],
    ) {
        let time = Timestamp::from_millis(NOW.as_millis() + 1_000 * self.size_now());
        let leaf = super::leaf(kind, time, about, (issuer, commitment));
        self.entries.push(CrewEntry { leaf, member_ids: Vec::new() });
    }

    /// Appends a credential, and keeps it at hand.
    pub fn enter(&mut self, credential: &Credential) {
        let about = (*credential.device_id().as_bytes(), *credential.member_id().as_bytes());
        self.push(LeafKind::Credential, about, [0; 16], credential.hash());
        self.credentials.insert(credential.device_id(), credential.clone());
    }

    /// Ends a device.
    pub fn end_device(&mut self, credential: &Credential) {
        let about = (*credential.device_id().as_bytes(), *credential.member_id().as_bytes());
        self.push(LeafKind::DeviceRevoked, about, [0; 16], [5; 32]);
    }

    /// Ends a member.
    pub fn end_member(&mut self, member: &MemberId) {
        self.push(LeafKind::MemberRevoked, (*member.as_bytes(), [0; 16]), [0; 16], [6; 32]);
    }

    /// Names who takes a group over; zeros stand for all groups.
    pub fn name_successors(&mut self, group: [u8; 16], members: Vec<MemberId>) {
        self.push(LeafKind::GroupSuccessor, (group, [0; 16]), [0; 16], [8; 32]);
        if let Some(entry) = self.entries.last_mut() {
            entry.member_ids = members;
        }
    }

    /// Loses a credential, which then has to be fetched.
    pub fn forget(&mut self, device: &DeviceId) {
        self.credentials.remove(device);
    }

    fn first(&self, size: u64) -> &[CrewEntry] {
        let size = usize::try_from(size).map_or(self.entries.len(), |size| size.min(self.entries.len()));
        &self.entries[..size]
    }

    fn of_kind(&self, kind: LeafKind, size: u64) -> impl DoubleEndedIterator<Item = &CrewEntry> {
        self.first(size).iter().filter(move |entry| entry.leaf.kind == kind)
    }
}

impl LogView for CrewLog {
    fn org_id(&self) -> OrgId {
        self.organisation.id()
    }

    fn size(&self) -> u64 {
        self.size_now()
    }

    fn root(&self, size: u64) -> Option<[u8; 32]> {
        let leaves: Vec<_> = self.first(size).iter().map(|entry| entry.leaf.hash()).collect();
        (size <= self.size()).then(|| merkle::root(&leaves))
    }

    fn time(&self, size: u64) -> Option<Timestamp> {
        let last = size.checked_sub(1).and_then(|last| usize::try_from(last).ok())?;
        self.entries.get(last).map(|entry| entry.leaf.time)
    }

    fn device(&self, device: &DeviceId, size: u64) -> Option<(MemberId, [u8; 32])> {
        let mut all = self.of_kind(LeafKind::Credential, size);
        let leaf = all.find(|entry| entry.leaf.subject == *device.as_bytes())?.leaf;
        Some((MemberId::new(leaf.object), leaf.commitment))
    }

    fn devices_of(&self, member: &MemberId, size: u64) -> Vec<DeviceId> {
        let all = self.of_kind(LeafKind::Credential, size);
        let all = all.filter(|entry| entry.leaf.object == *member.as_bytes());
        let all = all.map(|entry| DeviceId::new(entry.leaf.subject));
        all.filter(|device| !self.is_ended(device, member, size)).collect()
    }

    fn is_ended(&self, device: &DeviceId, member: &MemberId, size: u64) -> bool {
        self.ended(0, size).iter().any(|ended| match ended {
            Ended::Device(ended) => ended == device,
            Ended::Member(ended) => ended == member,
        })
    }

    fn ended(&self, from: u64, to: u64) -> Vec<Ended> {
        let skip = usize::try_from(from).unwrap_or(usize::MAX);
        let entries = self.first(to).iter().skip(skip).map(|entry| entry.leaf);
        let ended = |leaf: Leaf| match leaf.kind {
            LeafKind::DeviceRevoked => Some(Ended::Device(DeviceId::new(leaf.subject))),
            LeafKind::MemberRevoked => Some(Ended::Member(MemberId::new(leaf.subject))),
            _ => None,
        };
        entries.filter_map(ended).collect()
    }

    fn group_successors(&self, group: &[u8; 16], size: u64) -> Vec<MemberId> {
        let of = |wanted: &[u8; 16]| {
            let mut newest = self.of_kind(LeafKind::GroupSuccessor, size).rev();
            newest.find(|entry| entry.leaf.subject == *wanted).map(|entry| entry.member_ids.clone())
        };
        of(group).or_else(|| of(&[0; 16])).unwrap_or_default()
    }

    fn groups_issuer(&self, issuer: &IssuerId, size: u64) -> Option<VerifyingKey> {
        let (found, time) = (self.organisation.issuer(issuer)?, self.time(size)?);
        let short = chancery_identity::log::short_issuer(issuer);
        let stands = |kind| self.of_kind(kind, size).any(|entry| entry.leaf.subject == short);
        let active = stands(LeafKind::Issuer) && !stands(LeafKind::IssuerRevoked);
        let in_time = found.not_before() <= time && time < found.not_after();
        let may = found.capabilities().contains(Capabilities::GROUPS);
        (active && in_time && may).then(|| found.key().clone())
    }

    fn credential(&self, device: &DeviceId) -> Option<Credential> {
        self.credentials.get(device).cloned()
    }
}
