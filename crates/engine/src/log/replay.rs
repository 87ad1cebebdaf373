//! From pages of the log to what this device knows: all of a page, or nothing of it.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use chancery_crypto::merkle::{Hash, verify_consistency};
use chancery_crypto::rng::CryptoRng;
use chancery_identity::checkpoint::{Checkpoint, prove_fork};
use chancery_identity::log::{Leaf, LeafKind, LogHead};
use chancery_identity::{Authority, Change, DeviceId, LogError, MemberId, Policy, RelayRecord};
use chancery_wire::Timestamp;
use chancery_wire::proto::{ForkProof, LogDeviceRecord, LogPage, LogRecord};
use chancery_wire::records::{Overlay, Records};

use crate::device::Device;
use crate::directory;
use crate::effect::{Effect, Notice};
use crate::engine::Acting;
use crate::error::EngineError;
use crate::log::state::{self, FORKED, Note, ROLLED_BACK, SOUND, WITHHELD};
use crate::log::subjects::{self, Row};
use crate::log::{claims, ended, hashes};
use crate::receipts;
use crate::tables::{DIRECTORY_CURSOR, LOG_DEVICE, LOG_FORK, LOG_MEMBER, key, save, save_number};

/// Longest consistency proof: 128 hashes, two for each level of the largest log.
const MAX_PROOF: usize = 128;

/// Why a page is not taken over.
enum Bad {
    /// The log is at fault: told by its name, and nothing has changed.
    Log(LogError),
    /// The store is.
    Engine(EngineError),
}

impl From<LogError> for Bad {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl From<EngineError> for Bad {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

/// Takes over a page that follows on the first `from` entries; one that follows on others is for another process, and
/// changes nothing (R-ENGINE-30).
pub(crate) fn take_page(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    (from, page): (u64, &LogPage),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    if page.entries.is_empty() {
        return take_checkpoint(me, records, (from, &page.checkpoint), now, rng);
    }
    if state::head(&state::record(records)?)?.size() != from {
        return Ok(Vec::new());
    }
    // Nothing of a bad page may stay.
    let mut trial = Overlay::new(records);
    let taken = Replay::begin(me, &mut trial)?.take(me, page, now);
    let batch = trial.into_batch();
    match taken {
        Ok(news) => {
            records.absorb(batch);
            carry_out(me, records, &news, now, rng)
        }
        Err(Bad::Log(error)) => {
            let mut effects = Vec::from([Effect::Notify(Notice::LogInvalid(error))]);
            // What the log signed for it may contradict what it signed before.
            let authority = &me.known.authority;
            if let Ok(checkpoint) = state::verify_note(me.device, authority, &page.checkpoint) {
                effects.extend(contradicts(me.device, authority, records, &checkpoint)?);
            }
            Ok(effects)
        }
        Err(Bad::Engine(error)) => Err(error),
    }
}

/// What a page has said that leads to something else.
#[derive(Default)]
struct News {
    /// The first page of all, or one with another issuer.
    is_anew: bool,
    authority: Option<Authority>,
    devices: Vec<DeviceId>,
    members: Vec<MemberId>,
    entries: BTreeSet<MemberId>,
    policy: bool,
    checkpoint: Option<Checkpoint>,
    /// The log contradicts what was signed before.
    is_forked: bool,
    proof: Option<ForkProof>,
}

/// A page on its way.
struct Replay<'a, 'b> {
    records: &'a mut Overlay<'b>,
    log: LogRecord,
    head: LogHead,
    authority: Authority,
    leaves: Vec<Hash>,
    subjects: Vec<Row>,
    is_shown: bool,
    groups: bool,
    news: News,
}

impl<'a, 'b> Replay<'a, 'b> {
    fn begin(me: &Acting<'_>, records: &'a mut Overlay<'b>) -> Result<Self, EngineError> {
        let log = state::record(records)?;
        Ok(Self {
            head: state::head(&log)?,
            log,
            records,
            authority: me.known.authority.clone(),
            leaves: Vec::new(),
            subjects: Vec::new(),
            is_shown: false,
            groups: false,
            news: News::default(),
        })
    }

    fn take(mut self, me: &Acting<'_>, page: &LogPage, now: Timestamp) -> Result<News, Bad> {
        let before = self.head.size();
        for entry in &page.entries {
            let leaf = Leaf::from_bytes(&entry.leaf).ok_or(LogError::Malformed)?;
            let index = self.head.size();
            // No entry is older than a checkpoint without it (R-LOG-5).
            if index >= self.log.size && leaf.time.as_millis() < self.log.time {
                return Err(LogError::OutOfOrder.into());
            }
            self.head.push(&leaf)?;
            let before = self.relay_sequence();
            let change = self.authority.apply(index, &leaf, entry.content.as_ref())?;
            self.check_relay(me.device, before)?;
            self.is_shown |= leaf.kind.is_shown();
            self.news.is_anew |= leaf.kind == LeafKind::Issuer;
            self.leaves.push(leaf.hash());
            self.subjects.push(Row::of(&leaf));
            self.note(index, &leaf, change)?;
        }
        hashes::append(self.records, before, core::mem::take(&mut self.leaves))?;
        subjects::append(self.records, before, core::mem::take(&mut self.subjects))?;
        if self.log.noted_from == 0 {
            self.log.noted_from = before.saturating_add(1);
        }
        self.log.head = self.head.to_bytes();
        if self.is_shown || self.log.generation == 0 {
            self.log.policy =
                (self.authority.policy_sequence() > 0).then(|| self.authority.policy().to_proto());
            // Witnesses have as long as policy allows from when it names them, or whoever enrols could send nothing.
            match (self.authority.policy().witnesses.quorum(), self.log.witnessed_at) {
                (0, _) => self.log.witnessed_at = 0,
                (_, 0) => self.log.witnessed_at = now.as_millis().max(1),
                _ => {}
            }
            state::save_authority(self.records, &mut self.log, &self.authority, self.groups);
        }
        // What is compared next is compared with all of it.
        state::save_record(self.records, &self.log);
        self.confirm(me.device, page, now)?;
        state::save_record(self.records, &self.log);
        self.news.is_anew |= before == 0;
        self.news.authority = Some(self.authority);
        Ok(self.news)
    }

    /// Ends a page: its checkpoint must be of what was taken over, or prove that it begins what it is of (R-LOG-7).
    fn confirm(&mut self, device: &Device, page: &LogPage, now: Timestamp) -> Result<(), Bad> {
        let checkpoint = state::verify_note(device, &self.authority, &page.checkpoint)?;
        if !begins(&self.head, &checkpoint, &page.proof)? {
            return Err(LogError::NotAuthentic.into());
        }
        let (size, time) = (checkpoint.size(), checkpoint.time().as_millis());
        // Of a larger log nobody knows yet which issuers it has.
        if size == self.head.size() && self.authority.is_too_late(checkpoint.time()) {
            return Err(LogError::TooLate.into());
        }
        let is_newer = size >= self.log.size && time >= self.log.time;
        // Until the entries reach the newest checkpoint nobody knows whether it is of them: it stays.
        let is_reached = self.log.root.is_empty() || self.log.size <= self.head.size();
        let is_of_them = self.log.root.is_empty()
            || !is_reached
            || hashes::root_at(self.records, self.log.size)?.as_slice() == self.log.root;
        if is_newer && is_reached && is_of_them {
            adopt(self.records, &mut self.log, &checkpoint, now);
            hear_witnesses(&mut self.log, self.authority.policy(), &checkpoint, now);
        } else if !is_of_them || (!is_newer && size != self.log.size) {
            // Other entries than were signed before; more and an earlier time; or fewer and a later one.
            self.news.proof = proof_with(device, &self.authority, self.records, &checkpoint)?;
            self.news.is_forked = !is_of_them || self.news.proof.is_some();
        }
        if size == self.head.size() {
            self.news.checkpoint = Some(checkpoint);
        }
        Ok(())
    }

    fn relay_sequence(&self) -> u64 {
        self.authority.organisation().relay().map_or(0, RelayRecord::sequence)
    }

    /// The relay record by which this device connected, or else the first after it, must name the key that the device knows by it
    /// (R-LOG-7). Records before it may name keys that were replaced.
    fn check_relay(&self, device: &Device, before: u64) -> Result<(), LogError> {
        let (Some(known), Some(shown)) =
            (device.organisation().relay(), self.authority.organisation().relay())
        else {
            return Ok(());
        };
        let is_reached = before < known.sequence() && shown.sequence() >= known.sequence();
        if is_reached && shown.log_key() != known.log_key() { Err(LogError::NotAuthentic) } else { Ok(()) }
    }

    /// Stores what an entry says of devices, members and the directory.
    fn note(&mut self, index: u64, leaf: &Leaf, change: Change) -> Result<(), Bad> {
        let ended = index.saturating_add(1);
        match change {
            Change::Credential { device, member, issuer: _, hash } => {
                if super::device(self.records, &device)?.is_some() {
                    return Err(LogError::Duplicate.into());
                }
                if super::member(self.records, &member)?.ended != 0 {
                    return Err(LogError::NotPermitted.into());
                }
                let row = LogDeviceRecord {
                    member_id: member.as_bytes().to_vec(),
                    commitment: hash.to_vec(),
                    issuer: leaf.issuer.to_vec(),
                    index,
                    ended: 0,
                };
                save(self.records, key(LOG_DEVICE, &[device.as_bytes()]), &row);
            }
            Change::DeviceRevoked { device, member } => {
                let of = member.as_bytes().to_vec();
                let new = LogDeviceRecord { member_id: of.clone(), index, ..LogDeviceRecord::default() };
                let mut row = super::device(self.records, &device)?.unwrap_or(new);
                if row.member_id != of {
                    return Err(LogError::NotPermitted.into());
                }
                if row.ended != 0 {
                    return Err(LogError::Duplicate.into());
                }
                row.ended = ended;
                save(self.records, key(LOG_DEVICE, &[device.as_bytes()]), &row);
                self.news.devices.push(device);
            }
            Change::MemberRevoked(member) => {
                let mut row = super::member(self.records, &member)?;
                if row.ended != 0 {
                    return Err(LogError::Duplicate.into());
                }
                row.ended = ended;
                save(self.records, key(LOG_MEMBER, &[member.as_bytes()]), &row);
                self.news.members.push(member);
            }
            Change::Directory { member, issuer, version, hash } => {
                let mut row = super::member(self.records, &member)?;
                if version <= row.version {
                    return Err(LogError::OutOfOrder.into());
                }
                row.directory = hash.to_vec();
                row.version = version;
                row.issuer = issuer.as_bytes().to_vec();
                save(self.records, key(LOG_MEMBER, &[member.as_bytes()]), &row);
                self.news.entries.insert(member);
            }
            Change::GroupSuccessor(group) => {
                let members = self.authority.stated_successors(&group);
                subjects::keep_successors(self.records, index, &members);
                self.groups = true;
            }
            Change::Policy => self.news.policy = true,
            _ => {}
        }
        Ok(())
    }
}

/// Whether what was taken over is the beginning of what a checkpoint is of.
fn begins(head: &LogHead, checkpoint: &Checkpoint, proof: &[Vec<u8>]) -> Result<bool, LogError> {
    if checkpoint.size() == head.size() {
        return Ok(*checkpoint.root() == head.root());
    }
    if proof.len() > MAX_PROOF || checkpoint.size() < head.size() {
        return Ok(false);
    }
    let hashes: Option<Vec<Hash>> = proof.iter().map(|hash| hash.as_slice().try_into().ok()).collect();
    let path = hashes.ok_or(LogError::Malformed)?;
    Ok(verify_consistency(head.size(), &head.root(), checkpoint.size(), checkpoint.root(), &path))
}

/// Makes a checkpoint the newest.
fn adopt(records: &mut Overlay<'_>, log: &mut LogRecord, checkpoint: &Checkpoint, now: Timestamp) {
    log.size = checkpoint.size();
    log.root = checkpoint.root().to_vec();
    log.time = checkpoint.time().as_millis();
    (log.came_at, log.elapsed_ms) = (now.as_millis(), 0);
    if log.condition == ROLLED_BACK {
        log.condition = SOUND;
    }
    state::save_note(records, Note::Newest, Some(checkpoint.note()));
}

/// Notes when as many witnesses as policy demands had seen a checkpoint, and returns whether that is news. It is by the witnesses'
/// clocks, because a relay can keep what they have signed and show it one by one; never later than now (R-ENGINE-65).
fn hear_witnesses(log: &mut LogRecord, policy: &Policy, checkpoint: &Checkpoint, now: Timestamp) -> bool {
    let Some(seen) = policy.witnesses.seen_at(checkpoint) else { return false };
    let seen = seen.min(now).as_millis();
    let is_news = seen > log.witnessed_at;
    log.witnessed_at = log.witnessed_at.max(seen);
    is_news
}

/// Does what a page that was taken over leads to.
fn carry_out(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    news: &News,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let mut effects = Vec::new();
    if news.is_anew {
        // Entries that came before the log have to come again, to be compared with it (R-LOG-10), and so have those that came
        // before their issuer did, which nobody believed.
        save_number(records, key(DIRECTORY_CURSOR, &[]), 0);
    }
    effects.extend(ended::take(me.device, records, (&news.devices, &news.members), now)?);
    if let Some(authority) = &news.authority
        && state::record(records)?.entries_waiting > 0
    {
        for member in &news.entries {
            effects.extend(directory::committed(me.device, authority.organisation(), records, member)?);
        }
    }
    if news.policy {
        receipts::withdraw(me.device, records)?;
        effects.push(Effect::Notify(Notice::PolicyChanged));
    }
    if news.is_forked {
        effects.extend(forked(records, news.proof.as_ref())?);
    }
    if let (Some(checkpoint), Some(authority)) = (&news.checkpoint, &news.authority) {
        if checkpoint.size() < state::record(records)?.size {
            // All that the relay has is less than it has shown before.
            effects.extend(shrunk(me.device, authority, records, checkpoint)?);
        }
        effects.extend(confirmed(me.device, authority, records, checkpoint)?);
        claims::settle(records, now, rng)?;
    }
    Ok(effects)
}

/// Compares a checkpoint that was taken over with the larger one that another device has shown (R-ENGINE-34).
fn confirmed(
    device: &Device,
    authority: &Authority,
    records: &mut Overlay<'_>,
    newest: &Checkpoint,
) -> Result<Vec<Effect>, EngineError> {
    let Some(owed) = state::note(records, Note::Owed)? else { return Ok(Vec::new()) };
    let Ok(owed) = state::verify_note(device, authority, &owed) else {
        // Signed by a key that the log has replaced since.
        state::save_note(records, Note::Owed, None);
        return Ok(Vec::new());
    };
    let mut log = state::record(records)?;
    if owed.size() > newest.size() {
        if log.condition != SOUND {
            return Ok(Vec::new());
        }
        log.condition = WITHHELD;
        state::save_record(records, &log);
        return Ok([Effect::Notify(Notice::LogWithheld)].into());
    }
    state::save_note(records, Note::Owed, None);
    if log.condition == WITHHELD {
        log.condition = SOUND;
        state::save_record(records, &log);
    }
    contradicts(device, authority, records, &owed)
}

/// Compares a checkpoint with what this device has; if both cannot be of one log, that is proved and told.
pub(crate) fn contradicts(
    device: &Device,
    authority: &Authority,
    records: &mut Overlay<'_>,
    other: &Checkpoint,
) -> Result<Vec<Effect>, EngineError> {
    match proof_with(device, authority, records, other)? {
        Some(proof) => forked(records, Some(&proof)),
        None => Ok(Vec::new()),
    }
}

/// Returns the proof that a checkpoint contradicts the newest one that this device has, if it does and the entries are
/// here.
fn proof_with(
    device: &Device,
    authority: &Authority,
    records: &dyn Records,
    other: &Checkpoint,
) -> Result<Option<ForkProof>, EngineError> {
    let Some(note) = state::note(records, Note::Newest)? else { return Ok(None) };
    let Ok(own) = state::verify_note(device, authority, &note) else { return Ok(None) };
    // The newest checkpoint may be of more entries than were taken over so far.
    let here = state::head(&state::record(records)?)?.size();
    let is_of_ours =
        |it: &Checkpoint| Ok::<_, EngineError>(hashes::root_at(records, it.size())? == *it.root());
    if other.size() <= here && is_of_ours(other)? && (own.size() > here || is_of_ours(&own)?) {
        // They agree about entries; what is left are times.
        return Ok(prove_fork(&own, other, &[]).filter(|proof| proof.root.is_empty()));
    }
    let larger = own.size().max(other.size());
    let leaves = if larger <= here { hashes::leaves(records, larger)? } else { Vec::new() };
    Ok(prove_fork(&own, other, &leaves))
}

/// The log is forked: nothing is sealed any more (R-ENGINE-33).
fn forked(records: &mut Overlay<'_>, proof: Option<&ForkProof>) -> Result<Vec<Effect>, EngineError> {
    let mut log = state::record(records)?;
    if let Some(proof) = proof
        && records.get(&key(LOG_FORK, &[]))?.is_none()
    {
        save(records, key(LOG_FORK, &[]), proof);
    }
    if log.condition == FORKED {
        return Ok(Vec::new());
    }
    log.condition = FORKED;
    state::save_record(records, &log);
    Ok([Effect::Notify(Notice::LogForked)].into())
}

/// Takes over what the relay says that the log is, asked by a device that had `from` entries.
pub(crate) fn take_checkpoint(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    (from, note): (u64, &str),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let authority = &me.known.authority;
    let mut log = state::record(records)?;
    if is_known(records, &log, note)? {
        return Ok(Vec::new());
    }
    let checkpoint = match state::verify_note(me.device, authority, note) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return Ok([Effect::Notify(Notice::LogInvalid(error))].into()),
    };
    let size = state::head(&log)?.size();
    if checkpoint.size() < size.max(log.size) {
        return if from < size && checkpoint.size() >= from {
            // Another process has taken over more since this one asked.
            contradicts(me.device, authority, records, &checkpoint)
        } else {
            shrunk(me.device, authority, records, &checkpoint)
        };
    }
    if checkpoint.size() > size {
        let mut effects = contradicts(me.device, authority, records, &checkpoint)?;
        effects.push(Effect::SyncLog);
        return Ok(effects);
    }
    if hashes::root_at(records, size)? != *checkpoint.root() {
        let effects = contradicts(me.device, authority, records, &checkpoint)?;
        // Before the first checkpoint there is nothing that proves it.
        return if effects.is_empty() { forked(records, None) } else { Ok(effects) };
    }
    if authority.is_too_late(checkpoint.time()) {
        return Ok([Effect::Notify(Notice::LogInvalid(LogError::TooLate))].into());
    }
    let is_newer = checkpoint.time().as_millis() > log.time || log.size != size || log.root.is_empty();
    if is_newer {
        adopt(records, &mut log, &checkpoint, now);
    } else if log.condition == ROLLED_BACK {
        log.condition = SOUND;
    }
    let is_seen = hear_witnesses(&mut log, authority.policy(), &checkpoint, now);
    if is_seen && checkpoint.time().as_millis() == log.time {
        // The one that is known, with lines of witnesses more.
        state::save_note(records, Note::Newest, Some(checkpoint.note()));
    }
    state::save_record(records, &log);
    let effects = confirmed(me.device, authority, records, &checkpoint)?;
    claims::settle(records, now, rng)?;
    Ok(effects)
}

/// Takes a checkpoint that was known before as the least that the log may be (R-ENGINE-64). Of time it says nothing: when a
/// checkpoint came last is what it was, and nothing is sealed until the relay has shown this one's entries.
pub(crate) fn take_floor(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    note: &str,
) -> Result<Vec<Effect>, EngineError> {
    let authority = &me.known.authority;
    let floor = match state::verify_note(me.device, authority, note) {
        Ok(floor) => floor,
        Err(error) => return Ok([Effect::Notify(Notice::LogInvalid(error))].into()),
    };
    let effects = contradicts(me.device, authority, records, &floor)?;
    let mut log = state::record(records)?;
    if floor.size() > log.size && effects.is_empty() {
        log.size = floor.size();
        log.root = floor.root().to_vec();
        state::save_record(records, &log);
        state::save_note(records, Note::Newest, Some(floor.note()));
    }
    Ok(effects)
}

/// Whether a note is the very one that was verified and taken over last, and leaves nothing to be done. Every message that
/// is sent asks for it, so that this must cost neither a signature nor a commit.
fn is_known(records: &Overlay<'_>, log: &LogRecord, note: &str) -> Result<bool, EngineError> {
    Ok(log.condition == SOUND
        && state::is_confirmed(log)
        && state::note(records, Note::Newest)?.as_deref() == Some(note)
        && state::note(records, Note::Owed)?.is_none()
        && claims::none_wait(records)?)
}

/// The relay shows fewer entries than it has shown before.
fn shrunk(
    device: &Device,
    authority: &Authority,
    records: &mut Overlay<'_>,
    shown: &Checkpoint,
) -> Result<Vec<Effect>, EngineError> {
    let here = state::head(&state::record(records)?)?.size();
    if shown.size() <= here && hashes::root_at(records, shown.size())? != *shown.root() {
        return contradicts(device, authority, records, shown);
    }
    if let Some(proof) = proof_with(device, authority, records, shown)?
        && records.get(&key(LOG_FORK, &[]))?.is_none()
    {
        save(records, key(LOG_FORK, &[]), &proof);
    }
    let mut log = state::record(records)?;
    if log.condition == ROLLED_BACK || log.condition == FORKED {
        return Ok(Vec::new());
    }
    log.condition = ROLLED_BACK;
    state::save_record(records, &log);
    Ok([Effect::Notify(Notice::LogRolledBack)].into())
}
