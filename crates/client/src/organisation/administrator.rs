//! What administrators do: end members and devices, set policy, hold ceremonies with the root, and look at the log.
//!
//! Everything is committed to the desk's records first. [`Administrator::send`] then hands it to the log; without a relay
//! it waits, and whatever process of the desk connects next hands it over.

mod ceremonies;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chancery_identity::log::LeafKind;
use chancery_identity::{DeviceId, Handle, MemberId, OrgId, Policy};
use chancery_org::{
    AdminKeys, ConfirmedEnd, Desk, IssuerInfo, Member as DeskMember, OffboardingPlan, OffboardingReport,
    OrgError, RecordedAct,
};
use chancery_store::{KeySource, Store, sealed_file};
use chancery_wire::records::{Batch, Overlay, Records};

use super::desk::Office;
use super::log::Log;
use super::queue::Waiting;
use super::verify::OffboardingCheck;
use super::{Folder, org_error, who};
use crate::clock;
use crate::error::{Error, ErrorCode};
use crate::replay::LogLine;

pub use ceremonies::{NewIssuer, RootFile};

/// Which administrator's keys sign.
#[derive(Debug, Clone, Copy)]
pub struct SignedWith<'a> {
    /// The sealed file; `None` for `admin.key` in the organisation's folder.
    pub file: Option<&'a Path>,
    /// What opens it.
    pub key: &'a KeySource,
}

impl SignedWith<'_> {
    pub(super) fn open(&self, folder: &Folder) -> Result<AdminKeys, Error> {
        let path: PathBuf = self.file.map_or_else(|| folder.admin(), Path::to_path_buf);
        let secret = sealed_file::read(&path, self.key).map_err(|error| match Error::from(error) {
            error if error.code() == ErrorCode::StoreNotFound => {
                Error::with(ErrorCode::FileNotFound, path.display().to_string())
            }
            error => error,
        })?;
        AdminKeys::from_secret_bytes(secret.expose()).ok_or_else(|| ErrorCode::StoreDamaged.into())
    }
}

/// An administrator at work in an organisation's folder.
///
/// Others may work there at the same time, [`serve`](super::serve) included: each call is one transaction.
pub struct Administrator {
    folder: Folder,
    pub(super) office: Office,
    actor: String,
}

impl std::fmt::Debug for Administrator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Administrator").field("actor", &self.actor).finish_non_exhaustive()
    }
}

impl Administrator {
    /// Opens the organisation in `dir`. `actor` is who the records of acts name; `None` for the user of the operating
    /// system, as the environment has it.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::StoreNotFound`], [`ErrorCode::WrongPassphrase`]: nothing was opened.
    /// [`ErrorCode::DeskExpired`]: [`Self::renew_desk`].
    pub fn open(dir: &Path, key: &KeySource, actor: Option<&str>) -> Result<Self, Error> {
        let folder = Folder::new(dir);
        let (_, desk, store) = folder.open_desk(key)?;
        Self::at_work(folder, (desk, store), actor)
    }

    fn at_work(folder: Folder, (desk, store): (Desk, Store), actor: Option<&str>) -> Result<Self, Error> {
        let actor = actor.map_or_else(who, str::to_owned);
        let office = Office::new(folder.clone(), desk.with_actor(&actor), store)?;
        Ok(Self { folder, office, actor })
    }

    /// Has the log replayed from its first entry each time, and not from where the last replay ended.
    #[must_use]
    pub fn replaying_all(mut self, all: bool) -> Self {
        self.office.replays_all = all;
        self
    }

    /// Returns the organisation's identifier.
    #[must_use]
    pub fn org_id(&self) -> OrgId {
        self.office.desk.organisation().id()
    }

    /// Says what [`Self::offboard`] would end.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownRecipient`]: nobody has this handle.
    pub fn plan_offboarding(&self, handle: &str) -> Result<OffboardingPlan, Error> {
        let parsed = parse(handle)?;
        self.read(|records| self.office.desk.plan_offboarding(records, &parsed, clock::now()))
            .map_err(|error| named(error, handle))
    }

    /// Ends a member, for ever, and frees the handle (R-ORG-42); returns how far that has come. For somebody who was
    /// offboarded before, and whose handle nobody has had since, it changes nothing (R-ORG-43).
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownRecipient`]: nobody has this handle. [`ErrorCode::KeysNotPermitted`]: the keys are no issuer's
    /// with OFFBOARD.
    pub fn offboard(&self, with: SignedWith<'_>, handle: &str) -> Result<OffboardingReport, Error> {
        let (admin, parsed) = (self.admin(with)?, parse(handle)?);
        let mut rng = clock::rng()?;
        let (desk, now) = (&self.office.desk, clock::now());
        self.commit(|records| desk.offboard(&admin, (records, &parsed), now, &mut rng))
            .map_err(|error| named(error, handle))?;
        self.offboarding(handle)
    }

    /// Checks all that [`Self::offboard`] does and returns the report as it would begin; nothing is changed (R-ORG-62).
    ///
    /// # Errors
    ///
    /// Those of [`Self::offboard`].
    pub fn preview_offboarding(
        &self,
        with: SignedWith<'_>,
        handle: &str,
    ) -> Result<OffboardingReport, Error> {
        let (admin, parsed) = (self.admin(with)?, parse(handle)?);
        let mut rng = clock::rng()?;
        let (desk, now) = (&self.office.desk, clock::now());
        let report = self.read(|records| {
            let mut after = Overlay::new(records);
            after.absorb(desk.offboard(&admin, (records, &parsed), now, &mut rng)?);
            Desk::offboarding(&after, desk.organisation(), &parsed)
        });
        report.map_err(|error| named(error, handle))?.ok_or_else(|| ErrorCode::Internal.into())
    }

    /// Says how far the last offboarding under this handle has come.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownRecipient`]: nobody of this handle was offboarded.
    pub fn offboarding(&self, handle: &str) -> Result<OffboardingReport, Error> {
        let parsed = parse(handle)?;
        let organisation = self.office.desk.organisation();
        let report = self.read(|records| Desk::offboarding(records, organisation, &parsed))?;
        report.ok_or_else(|| Error::with(ErrorCode::UnknownRecipient, format!("{handle} was not offboarded")))
    }

    /// Says whether who has this handle is out, by the replayed log and by what the relay answers anybody (R-ORG-44): who
    /// has it now with a device, and is not; else who was offboarded last under it.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownRecipient`]: nobody has or had this handle. [`ErrorCode::LogNotBelieved`]: the relay's
    /// log does not verify. Errors of the connection.
    pub async fn verify_offboarded(&self, handle: &str) -> Result<OffboardingCheck, Error> {
        let holder = match self.plan_offboarding(handle) {
            Ok(plan) => Some(plan),
            Err(error) if error.code() == ErrorCode::UnknownRecipient => None,
            Err(error) => return Err(error),
        };
        let (plan, report) = match (self.offboarding(handle), &holder) {
            // Whoever has the handle now, with devices, is whom it means, and is not out.
            (Ok(report), Some(plan))
                if plan.member_id != report.plan.member_id && !plan.device_ids.is_empty() =>
            {
                (plan.clone(), None)
            }
            (Ok(report), _) => (report.plan.clone(), Some(report)),
            (Err(error), Some(plan)) if error.code() == ErrorCode::UnknownRecipient => (plan.clone(), None),
            (Err(error), _) => return Err(error),
        };
        let (devices, doubts) = self.office.check(&plan, report.as_ref()).await?;
        let holder = holder.map(|plan| plan.member_id);
        Ok(OffboardingCheck { member: plan.member_id, devices, doubts, holder })
    }

    /// Asks the relay which devices of an offboarding have confirmed their end (R-ORG-57).
    ///
    /// # Errors
    ///
    /// Errors of the connection.
    pub async fn confirmed_ends(&self, plan: &OffboardingPlan) -> Result<Vec<ConfirmedEnd>, Error> {
        let connection = self.office.errand().await?;
        self.office.confirmed_ends(&connection, &plan.member_id, &plan.device_ids).await
    }

    /// Ends a device of a member, as the member could; for one that was removed before it changes nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownRecipient`], [`ErrorCode::DeviceUnknown`]: look at `device list`.
    pub fn remove_device(&self, handle: &str, device: &str) -> Result<DeviceId, Error> {
        let parsed = parse(handle)?;
        let id = DeviceId::from_hex(device).ok_or_else(|| Error::with(ErrorCode::DeviceUnknown, device))?;
        let mut rng = clock::rng()?;
        let desk = &self.office.desk;
        self.commit(|records| desk.end_device(records, (&parsed, &id), clock::now(), &mut rng))
            .map_err(|error| named(error, handle))?;
        Ok(id)
    }

    /// Returns the policy that was signed last; the default if none was.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn policy(&self) -> Result<Policy, Error> {
        self.read(Desk::policy)
    }

    /// Changes the policy, and returns it as it was and as it is. What was signed last is read, changed and signed in one
    /// transaction, so that the change of another administrator at the same time stays (R-ORG-60). A change of nothing is
    /// not signed.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::PolicyOutOfRange`], [`ErrorCode::KeysNotPermitted`], or that of `change`: nothing has changed.
    pub fn change_policy(
        &self,
        with: SignedWith<'_>,
        change: impl FnOnce(Policy) -> Result<Policy, Error>,
    ) -> Result<(Policy, Policy), Error> {
        let admin = self.admin(with)?;
        let mut rng = clock::rng()?;
        let (desk, now) = (&self.office.desk, clock::now());
        self.office.store().transaction(|records| {
            let before = Desk::policy(records).map_err(|error| acts_error(&error))?;
            let after = change(before)?;
            let batch = desk.set_policy(&admin, (records, &after), now, &mut rng);
            Ok((batch.map_err(|error| acts_error(&error))?, (before, after)))
        })
    }

    /// Signs who takes a group over when its last administrator is gone, in the order of precedence; `None` is every group that
    /// has no statement of its own. Returns who they are.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownRecipient`]: nobody has one of the handles. [`ErrorCode::KeysNotPermitted`],
    /// [`ErrorCode::Usage`] for too many. Nothing has changed.
    pub fn set_group_successors(
        &self,
        with: SignedWith<'_>,
        group: Option<[u8; 16]>,
        handles: &[String],
    ) -> Result<Vec<MemberId>, Error> {
        let admin = self.admin(with)?;
        let mut members = Vec::new();
        for handle in handles {
            members.push(self.plan_offboarding(handle)?.member_id);
        }
        let (group, mut rng, desk) = (group.unwrap_or_default(), clock::rng()?, &self.office.desk);
        self.commit(|records| {
            let at = (clock::now(), &mut rng as _);
            desk.set_group_successors(&admin, records, (&group, &members), at)
        })?;
        Ok(members)
    }

    /// Lists the issuers.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn issuers(&self) -> Result<Vec<IssuerInfo>, Error> {
        let organisation = self.office.desk.organisation();
        self.read(|records| Desk::issuers(records, organisation))
    }

    /// Returns the handle of a member, also of one who was offboarded.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn handle_of(&self, member: &MemberId) -> Result<Option<String>, Error> {
        let members = self.read(Desk::members)?;
        Ok(members.iter().find(|it| it.member_id == *member).map(|it| it.handle.to_string()))
    }

    /// Lists everybody who was invited, in that order, as the desk has them.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn members(&self) -> Result<Vec<DeskMember>, Error> {
        self.read(Desk::members)
    }

    /// Returns the records of administrative acts, the oldest first, each compared with what commits to it (R-ORG-46).
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn acts(&self) -> Result<Vec<RecordedAct>, Error> {
        let organisation = self.office.desk.organisation();
        self.read(|records| Desk::acts(records, organisation))
    }

    /// Returns the statements that wait for the log, first the one that is next.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn waiting(&self) -> Result<Vec<Waiting>, Error> {
        Ok(self.read(Desk::queued_statements)?.iter().map(Waiting::from).collect())
    }

    /// Takes the statement that is next out of the queue, for good, undoes or marks what it belonged to, and records that:
    /// for one that the log refuses (R-ORG-59). An end that was dropped is signed anew by [`Self::offboard`] or
    /// [`Self::remove_device`].
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Usage`] if another is next. [`ErrorCode::NotDroppable`]: it is a root, a desk or its issuer, which the
    /// organisation's document names already; find out why the log refuses it.
    pub fn drop_statement(&self, number: u64) -> Result<(), Error> {
        let next = self.read(Desk::next_statement)?.filter(|next| next.number == number);
        let name =
            next.map(|next| Waiting::from(&next).kind).ok_or_else(|| acts_error(&OrgError::NotNext))?;
        let (mut rng, desk) = (clock::rng()?, &self.office.desk);
        self.commit(|records| desk.drop_statement(records, (number, name), clock::now(), &mut rng))
    }

    /// Hands the log everything that waits for it, and the relay the directory entries that it lacks.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::StatementRefused`]: the log does not take a statement, and what follows it waits. Errors of the
    /// connection: everything stays stored, and the desk hands it over when it connects.
    pub async fn send(&self) -> Result<(), Error> {
        let connection = self.office.errand().await?;
        self.office.publish(&connection).await
    }

    /// Fetches, replays and verifies the log, from where the last replay ended, and returns all of it.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::LogNotBelieved`]: the relay shows a log that is not honest, or another than before. Errors of the
    /// connection.
    pub async fn log(&self) -> Result<Log, Error> {
        let connection = self.office.errand().await?;
        self.office.replay(&connection).await
    }

    /// Compares a recorded act with the log (R-ORG-46): whether the entry it names commits to it, or none is known yet.
    #[must_use]
    pub fn is_in_log(act: &RecordedAct, log: &Log) -> bool {
        let entry = act.entry.and_then(|index| log.lines.get(usize::try_from(index).ok()?));
        act.entry.is_none() || entry.is_some_and(|line| line.commitment == act.commitment)
    }

    /// Returns the log's entries about acts of which there is no record (R-ORG-46): somebody has removed it, or put the records
    /// back from an old copy.
    pub fn missing_acts<'a>(acts: &[RecordedAct], log: &'a Log) -> Vec<&'a LogLine> {
        let recorded: BTreeSet<[u8; 32]> = acts.iter().map(|act| act.commitment).collect();
        let about_acts = log.lines.iter().zip(&log.leaves).filter(|(_, leaf)| leaf.kind == LeafKind::Audit);
        about_acts.map(|(line, _)| line).filter(|line| !recorded.contains(&line.commitment)).collect()
    }

    pub(super) fn admin(&self, with: SignedWith<'_>) -> Result<AdminKeys, Error> {
        with.open(&self.folder)
    }

    fn read<T>(&self, work: impl FnOnce(&dyn Records) -> Result<T, OrgError>) -> Result<T, Error> {
        self.office.store().read(|records| work(records).map_err(|error| acts_error(&error)))
    }

    fn commit(&self, work: impl FnOnce(&dyn Records) -> Result<Batch, OrgError>) -> Result<(), Error> {
        let mut store = self.office.store();
        store.transaction(|records| Ok((work(records).map_err(|error| acts_error(&error))?, ())))
    }
}

/// An administrator's keys come from any file; the desk's are checked when it opens.
pub(super) fn acts_error(error: &OrgError) -> Error {
    match error {
        OrgError::WrongKeys => ErrorCode::KeysNotPermitted.into(),
        OrgError::NotNext => Error::with(ErrorCode::Usage, error.to_string()),
        OrgError::NotDroppable => Error::with(ErrorCode::NotDroppable, error.to_string()),
        OrgError::TooManySuccessors => {
            let most = chancery_identity::MAX_SUCCESSOR_MEMBERS;
            Error::with(ErrorCode::Usage, format!("at most {most} members can be named"))
        }
        error => org_error(error),
    }
}

pub(super) fn parse(handle: &str) -> Result<Handle, Error> {
    Handle::parse(handle).map_err(|_| ErrorCode::NameNotAllowed.into())
}

pub(super) fn named(error: Error, handle: &str) -> Error {
    match error.code() {
        ErrorCode::UnknownRecipient => Error::with(ErrorCode::UnknownRecipient, handle),
        _ => error,
    }
}
