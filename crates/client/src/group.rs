//! Groups as an application sees them.

mod act;
mod file;
pub(crate) mod steps;

use std::path::PathBuf;
use std::time::Duration;

use chancery_engine::{
    ActKind, Effect, GroupDraft, GroupFork, GroupInput, GroupOperation, GroupPhase, GroupSummary, Input,
    MessageState, Page,
};
use chancery_group::{Info, Role};
use chancery_identity::{DeviceId, DisplayName, MemberId};
use chancery_wire::records::Records;
use tokio::time::{Instant, sleep, timeout_at};

pub use act::{GroupAct, GroupEntry, GroupName, Person};

use crate::acting::OutgoingFile;
use crate::client::Client;
use crate::error::{Error, ErrorCode};
use crate::organisation::read_order;
use crate::sending::{REFUSED, Sent, Waiting};
use crate::worker::State;
use crate::{clock, outbox};

/// Entries read from the store at once.
const PAGE: usize = 256;
/// How long to wait before looking again whether something that others have to do with is done.
const PAUSE: Duration = Duration::from_millis(200);
/// Digits of a group's identifier from which on its beginning is enough.
const SHORTEST_BEGINNING: usize = 8;

/// What became of what was wanted of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct GroupDone {
    /// Why it is stored and not done yet; whatever call connects next does it. `None` once it is done.
    pub waiting: Option<Waiting>,
}

/// A group as this device has it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GroupState {
    /// As in the list.
    pub summary: GroupSummary,
    /// Name and policy; `None` once this device is in it no more.
    pub info: Option<Info>,
    /// What all members' devices of the epoch have in common; members compare it to be sure that they see the same group.
    pub transcript: [u8; 32],
    /// The members, in the order in which they came.
    pub members: Vec<Participant>,
    /// What is kept to show a fork.
    pub fork: Option<GroupFork>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Participant {
    /// Who.
    pub person: Person,
    /// As what.
    pub role: Role,
    /// With which devices.
    pub devices: Vec<DeviceId>,
}

impl Client {
    /// Founds a group with the own member as owner, and adds these members with all their devices.
    /// ```
    /// # use chancery_dev::{PATIENCE, two_people};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), chancery_dev::Error> {
    /// # let (_acme, alice, bob) = two_people().await?;
    /// use chancery::GroupEntry;
    ///
    /// let (crew, done) = alice.create_group("Crew", &["bob"], PATIENCE).await?;
    /// assert!(done.waiting.is_none()); // else it is stored, and must not be repeated
    /// crew.send("Lunch at noon?", &[], PATIENCE).await?;
    ///
    /// bob.sync(PATIENCE).await?;
    /// for entry in bob.group("Crew").await?.history(0).await? {
    ///     match entry {
    ///         GroupEntry::Message(message) => println!("{}: {:?}", message.handle, message.text),
    ///         GroupEntry::Act(act) => println!("{:?} by {:?}", act.kind, act.by),
    ///         _ => {} // of a later version
    ///     }
    /// }
    /// # let GroupEntry::Message(last) = bob.group("Crew").await?.history(0).await?.entries.pop().unwrap() else { panic!() };
    /// # assert_eq!(last.text.as_deref(), Some("Lunch at noon?"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownRecipient`], [`ErrorCode::NameNotAllowed`], [`ErrorCode::GroupLimit`]: nothing was stored. What keeps
    /// members from being added now is in [`GroupDone::waiting`].
    pub async fn create_group(
        &self,
        name: &str,
        members: &[&str],
        patience: Duration,
    ) -> Result<(Group, GroupDone), Error> {
        let deadline = clock::deadline(patience);
        let name = DisplayName::parse(name).map_err(|_| Error::with(ErrorCode::NameNotAllowed, name))?;
        let members = self.member_ids(members, deadline).await?;
        let id: [u8; 16] = chancery_crypto::rng::random_bytes(&mut clock::rng()?);
        let group = Group { client: self.clone(), id };
        let make = move || GroupOperation::Create { info: Info::new(name), members };
        let done = group.operate(make, deadline).await?;
        Ok((group, done))
    }

    /// Lists the groups that this device is in or was in, in the order in which it came to know them.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::StoreLocked`]: policy demands that the relay is reached first.
    pub async fn groups(&self) -> Result<Vec<GroupSummary>, Error> {
        self.shared().worker.call(|state| state.read_shown(chancery_engine::groups)).await
    }

    /// Finds a group by its name, if only one has it, by its identifier as 32 hexadecimal digits, or by at least 8 of them from
    /// the beginning.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::GroupUnknown`]; [`ErrorCode::GroupAmbiguous`]: use more of the identifier.
    pub async fn group(&self, which: &str) -> Result<Group, Error> {
        let all = self.groups().await?;
        let digits = which.to_ascii_lowercase();
        let begins = |group: &GroupSummary| {
            digits.len() >= SHORTEST_BEGINNING && crate::home::hex(&group.group_id).starts_with(&digits)
        };
        let exact = all.iter().find(|group| crate::home::hex(&group.group_id) == digits);
        let mut found: Vec<&GroupSummary> = exact
            .map_or_else(|| all.iter().filter(|it| it.name == which || begins(it)).collect(), |it| vec![it]);
        if found.len() > 1 && found.iter().any(|group| group.phase == GroupPhase::Open) {
            // A group that this device is in goes before others of the same name that it was in.
            found.retain(|group| group.phase == GroupPhase::Open);
        }
        match found.as_slice() {
            [group] => Ok(Group { client: self.clone(), id: group.group_id }),
            [] => Err(Error::with(ErrorCode::GroupUnknown, which)),
            _ => Err(Error::with(ErrorCode::GroupAmbiguous, which)),
        }
    }

    /// Returns the group of this identifier, as 32 hexadecimal digits, if that is no member's; `None` for a name.
    pub(crate) async fn group_of_id(&self, which: &str) -> Result<Option<Group>, Error> {
        let Some(id) = MemberId::from_hex(which) else { return Ok(None) };
        let find = move |records: &dyn Records| {
            let is_group = chancery_engine::member(records, &id)?.is_none()
                && chancery_engine::group_summary(records, id.as_bytes())?.is_some();
            Ok(is_group)
        };
        let is_group = self.shared().worker.call(move |state| state.read(find)).await?;
        Ok(is_group.then(|| Group::new(self.clone(), *id.as_bytes())))
    }

    async fn member_ids(&self, names: &[&str], deadline: Instant) -> Result<Vec<MemberId>, Error> {
        let mut members = Vec::with_capacity(names.len());
        for name in names {
            let member = self.resolve_by(name, deadline).await.map_err(|error| match error.code() {
                ErrorCode::UnknownRecipient => Error::with(ErrorCode::UnknownRecipient, *name),
                _ => error,
            })?;
            if !members.contains(&member.member_id) {
                members.push(member.member_id);
            }
        }
        Ok(members)
    }
}

/// A group, as one device of a member uses it.
///
/// What changes the group is a commit that all members' devices follow. Each such call returns once it is done, or says in
/// [`GroupDone::waiting`] that it is stored and why it waits; it must then not be repeated. Nor blindly after its future was dropped: it
/// may have been stored, which [`Group::state`] shows.
#[derive(Debug, Clone)]
pub struct Group {
    client: Client,
    id: [u8; 16],
}

impl Group {
    pub(crate) const fn new(client: Client, id: [u8; 16]) -> Self {
        Self { client, id }
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the group's identifier.
    #[must_use]
    pub const fn id(&self) -> &[u8; 16] {
        &self.id
    }

    /// Adds members with all their devices. They read what is written from then on, and before as the group's policy says.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::GroupNotAllowed`], [`ErrorCode::UnknownRecipient`], [`ErrorCode::GroupLimit`]: nothing has changed. Who is in
    /// it already is left as they are.
    pub async fn add(&self, members: &[&str], role: Role, patience: Duration) -> Result<GroupDone, Error> {
        let deadline = clock::deadline(patience);
        let members = self.client.member_ids(members, deadline).await?;
        self.operate(move || GroupOperation::Add { members, role }, deadline).await
    }

    /// Removes members with all their devices. They keep what they have read.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::GroupNotAllowed`]: nothing has changed. Who is not in it is left alone.
    pub async fn remove(&self, members: &[&str], patience: Duration) -> Result<GroupDone, Error> {
        let deadline = clock::deadline(patience);
        let members = self.client.member_ids(members, deadline).await?;
        self.operate(move || GroupOperation::Remove { members }, deadline).await
    }

    /// Sets a member's role.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::GroupNotAllowed`], [`ErrorCode::GroupConflict`] for who is not in it: nothing has changed.
    pub async fn set_role(&self, member: &str, role: Role, patience: Duration) -> Result<GroupDone, Error> {
        let deadline = clock::deadline(patience);
        let member = self.one(member, deadline).await?;
        self.operate(move || GroupOperation::SetRole { member, role }, deadline).await
    }

    /// Makes somebody else owner, and the own member an administrator.
    ///
    /// # Errors
    ///
    /// As [`Self::set_role`].
    pub async fn hand_over(&self, to: &str, patience: Duration) -> Result<GroupDone, Error> {
        let deadline = clock::deadline(patience);
        let to = self.one(to, deadline).await?;
        self.operate(move || GroupOperation::HandOver { to }, deadline).await
    }

    /// Leaves the group with all own devices. Somebody who stays has to make the new keys: until a device of theirs has done so,
    /// this waits.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::GroupRefused`] if nobody would administer it: name somebody first.
    pub async fn leave(&self, patience: Duration) -> Result<GroupDone, Error> {
        self.operate(|| GroupOperation::Leave, clock::deadline(patience)).await
    }

    /// Gives the group another name.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::NameNotAllowed`], [`ErrorCode::GroupNotAllowed`]: nothing has changed.
    pub async fn rename(&self, name: &str, patience: Duration) -> Result<GroupDone, Error> {
        let name = DisplayName::parse(name).map_err(|_| Error::with(ErrorCode::NameNotAllowed, name))?;
        self.set_policy(move |info| info.name = name, patience).await
    }

    /// Changes name and policy as this device has them.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::GroupNotAllowed`], [`ErrorCode::GroupLimit`]: nothing has changed. That nothing is to change is no error.
    pub async fn set_policy(
        &self,
        change: impl FnOnce(&mut Info) + Send,
        patience: Duration,
    ) -> Result<GroupDone, Error> {
        let deadline = clock::deadline(patience);
        let mut info = self.inside().await?.info.ok_or(ErrorCode::GroupLeft)?;
        change(&mut info);
        self.operate(move || GroupOperation::SetInfo(info), deadline).await
    }

    /// Ends the group for all; what was written stays.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::GroupNotAllowed`]: only owners may.
    pub async fn dissolve(&self, patience: Duration) -> Result<GroupDone, Error> {
        self.operate(|| GroupOperation::Dissolve, clock::deadline(patience)).await
    }

    /// Renews all keys of the group.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::GroupNotAllowed`]: only owners and administrators may.
    pub async fn heal(&self, patience: Duration) -> Result<GroupDone, Error> {
        self.operate(|| GroupOperation::Heal, clock::deadline(patience)).await
    }

    /// Carries out an order that an administrator of the organisation has signed.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::OrderDamaged`]: it is not whole. [`ErrorCode::GroupRefused`]: it has expired, was carried out before or is
    /// for another group.
    pub async fn execute(&self, order: &str, patience: Duration) -> Result<GroupDone, Error> {
        let order = read_order(order)?;
        let deadline = clock::deadline(patience);
        // It may have been made in an epoch that is not here yet.
        let reached = timeout_at(deadline, self.client.sync(patience)).await;
        if let Ok(Err(error)) = reached
            && !error.is_retryable()
        {
            return Err(error);
        }
        self.submit(move |state, id| operation(state, id, GroupOperation::Execute(&order)), deadline).await
    }

    /// Writes text and files to the group and waits until the relay has them durably. Who the log has ended by then is removed
    /// first, whoever writes.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::GroupNotAllowed`], [`ErrorCode::MessageTooLarge`], [`ErrorCode::FileNotFound`] and others: nothing was
    /// stored. What keeps the message from going is in [`Sent::waiting`], since repeating the call would send it twice.
    pub async fn send(&self, text: &str, files: &[PathBuf], patience: Duration) -> Result<Sent, Error> {
        if text.is_empty() && files.is_empty() {
            return Err(Error::with(ErrorCode::Usage, "an empty message"));
        }
        let deadline = clock::deadline(patience);
        self.inside().await?;
        let (group_id, text) = (self.id, text.to_owned());
        let store = move |state: &mut State, message_id, attachments| {
            let draft = GroupDraft { group_id, message_id, text: &text, attachments };
            state.handle(Input::Group(GroupInput::Send(draft)))
        };
        let files = files.iter().map(OutgoingFile::from_path).collect();
        let id = self.client.store_with_files(files, store).await?;
        self.delivered(id, deadline).await
    }

    /// Sends until a stored message or act is on its way, `deadline` at most, and says what became of it.
    pub(crate) async fn delivered(&self, id: [u8; 16], deadline: Instant) -> Result<Sent, Error> {
        let sent = || async move {
            let state = self.client.message_state(id).await?;
            Ok(Some(state).filter(|state| *state != MessageState::Queued))
        };
        let (state, waiting) = match self.carry_out(sent, deadline).await {
            Ok((state, waiting)) => (state.unwrap_or(MessageState::Queued), waiting),
            Err(error) if error.code() == ErrorCode::Revoked => return Err(error),
            // From here on the message is stored, and no error may say otherwise.
            Err(error) => (MessageState::Queued, Some(error)),
        };
        match state {
            MessageState::Failed => Err(Error::with(ErrorCode::SendFailed, REFUSED)),
            MessageState::Queued => {
                let own = self.client.shared().holds.why_of(&[self.id].into(), Instant::now());
                let waiting = own.or(waiting).map(Waiting::new);
                Ok(Sent { id, author: self.client.me().member_id, state, waiting })
            }
            state => Ok(Sent { id, author: self.client.me().member_id, state, waiting: None }),
        }
    }

    /// Returns up to 256 messages and acts, oldest first, from position `from` on: 0, then [`Page::next`].
    ///
    /// # Errors
    ///
    /// [`ErrorCode::StoreLocked`]: policy demands that the relay is reached first.
    pub async fn history(&self, from: u64) -> Result<Page<GroupEntry>, Error> {
        let (id, own) = (self.id, self.client.me().member_id);
        let read = move |records: &dyn Records| {
            let found = chancery_engine::group_history(records, &id, from, PAGE)?;
            found.try_map(|record| GroupEntry::read(records, &own, record))
        };
        self.client.shared().worker.call(move |state| state.read_shown(read)).await
    }

    /// Returns the members.
    ///
    /// # Errors
    ///
    /// As [`Self::state`].
    pub async fn members(&self) -> Result<Vec<Participant>, Error> {
        Ok(self.state().await?.members)
    }

    /// Returns the group as this device has it.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::GroupUnknown`], [`ErrorCode::StoreLocked`].
    pub async fn state(&self) -> Result<GroupState, Error> {
        let id = self.id;
        let read = move |records: &dyn Records| {
            let Some(view) = chancery_engine::group(records, &id)? else { return Ok(None) };
            let mut members = Vec::with_capacity(view.members.len());
            for member in view.members {
                let person = Person::read(records, member.member)?;
                members.push(Participant { person, role: member.role, devices: member.devices });
            }
            let (summary, info, transcript) = (view.summary, view.info, view.transcript);
            Ok(Some(GroupState { summary, info, transcript, members, fork: view.fork }))
        };
        let state = self.client.shared().worker.call(move |state| state.read_shown(read)).await?;
        state.ok_or_else(|| ErrorCode::GroupUnknown.into())
    }

    async fn one(&self, member: &str, deadline: Instant) -> Result<MemberId, Error> {
        self.client
            .member_ids(&[member], deadline)
            .await?
            .pop()
            .ok_or_else(|| ErrorCode::UnknownRecipient.into())
    }

    /// Returns the group's state if something may be done in it.
    pub(crate) async fn inside(&self) -> Result<GroupState, Error> {
        let state = self.state().await?;
        match state.summary.phase {
            GroupPhase::Open | GroupPhase::Withheld => Ok(state),
            GroupPhase::Dissolved => Err(ErrorCode::GroupDissolved.into()),
            GroupPhase::Forked => Err(ErrorCode::GroupForked.into()),
            GroupPhase::Left | GroupPhase::Removed | _ => Err(ErrorCode::GroupLeft.into()),
        }
    }

    async fn operate(
        &self,
        make: impl FnOnce() -> GroupOperation<'static> + Send + 'static,
        deadline: Instant,
    ) -> Result<GroupDone, Error> {
        self.submit(move |state, id| operation(state, id, make()), deadline).await
    }

    /// Stores what is wanted, and waits until it is done, refused, or `deadline` is over.
    async fn submit(
        &self,
        store: impl FnOnce(&mut State, [u8; 16]) -> Result<Vec<Effect>, Error> + Send + 'static,
        deadline: Instant,
    ) -> Result<GroupDone, Error> {
        let (id, seen) = (self.id, self.end_of_history().await?);
        let stored = self.client.shared().worker.call(move |state| store(state, id)).await;
        if let Err(error) = stored {
            // The engine does not say why it is in a group no more; the group's state does.
            return Err(match error.code() {
                ErrorCode::GroupUnknown => self.inside().await.err().unwrap_or(error),
                _ => error,
            });
        }
        let done = || async move {
            let read = move |records: &dyn Records| chancery_engine::group_summary(records, &id);
            let summary = self.client.shared().worker.call(move |state| state.read(read)).await?;
            Ok(summary.is_none_or(|summary| summary.waiting == 0).then_some(()))
        };
        let (_, waiting) = self.carry_out(done, deadline).await?;
        if waiting.is_none()
            && let Some(refusal) = self.refusal(seen).await?
        {
            return Err(refusal);
        }
        let own = self.client.shared().holds.why_of(&[self.id].into(), Instant::now());
        Ok(GroupDone { waiting: waiting.map(|of_all| Waiting::new(own.unwrap_or(of_all))) })
    }

    /// Sends and receives until `done` says something, as long as that can lead anywhere; else returns why it waits.
    async fn carry_out<T, F: Future<Output = Result<Option<T>, Error>>>(
        &self,
        done: impl Fn() -> F,
        deadline: Instant,
    ) -> Result<(Option<T>, Option<Error>), Error> {
        let shared = self.client.shared();
        let first = async {
            // Nothing is sealed for a group before the mailbox was read.
            if shared.has_caught_up() {
                return outbox::flush(shared, deadline).await;
            }
            let (mut mailbox, _) = self.client.receive().await?;
            mailbox.attending(shared, outbox::flush(shared, deadline)).await
        };
        let mut outcome = timeout_at(deadline, first).await;
        loop {
            let left = match outcome {
                Ok(Ok(left)) => left,
                Ok(Err(error)) if error.code() == ErrorCode::Revoked => return Err(error),
                Ok(Err(error)) => {
                    shared.wake.notify_one();
                    return Ok((done().await?, Some(error)));
                }
                Err(_) => Some(ErrorCode::TimedOut.into()),
            };
            if let Some(done) = done().await? {
                return Ok((Some(done), None));
            }
            let stops = left.as_ref().is_some_and(|error| !error.is_retryable());
            let rest = deadline.saturating_duration_since(Instant::now());
            if stops || rest <= PAUSE {
                shared.wake.notify_one();
                return Ok((None, left.or_else(|| Some(ErrorCode::TimedOut.into()))));
            }
            sleep(PAUSE).await;
            // What others have sent may be what it waits for.
            outcome = Ok(self.client.sync(rest.saturating_sub(PAUSE)).await.map(|_| left));
        }
    }

    /// Returns the position behind the last entry of the history.
    async fn end_of_history(&self) -> Result<u64, Error> {
        let id = self.id;
        let end = move |records: &dyn Records| {
            let is_there = |at| chancery_engine::group_history(records, &id, at, 1).map(|it| !it.is_empty());
            let (mut low, mut high) = (0_u64, 1_u64);
            while is_there(high)? {
                (low, high) = (high, high.saturating_mul(2));
            }
            while low < high {
                let middle = low.midpoint(high);
                if is_there(middle)? { low = middle.saturating_add(1) } else { high = middle }
            }
            Ok(low)
        };
        self.client.shared().worker.call(move |state| state.read(end)).await
    }

    /// Returns why the last wish of the own member was refused, if one was since position `from`.
    async fn refusal(&self, from: u64) -> Result<Option<Error>, Error> {
        let own = self.client.me().member_id;
        let mut from = from;
        loop {
            let id = self.id;
            let page = self
                .client
                .shared()
                .worker
                .call(move |state| {
                    state.read(|records| chancery_engine::group_history(records, &id, from, PAGE))
                })
                .await?;
            let refused = page.iter().filter_map(|record| record.act.as_ref()).rfind(|act| {
                ActKind::from_stored(act.kind) == Some(ActKind::Refused) && act.by == own.as_bytes()
            });
            if let Some(act) = refused {
                return Ok(Some(act::refusal(act.code)));
            }
            let Some(next) = page.next else { return Ok(None) };
            from = next;
        }
    }
}

fn operation(
    state: &mut State,
    group_id: [u8; 16],
    operation: GroupOperation<'_>,
) -> Result<Vec<Effect>, Error> {
    state.handle(Input::Group(GroupInput::Operation { group_id, operation }))
}
