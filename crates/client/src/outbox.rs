//! Emptying the outbox over an anonymous connection.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chancery_engine::{
    Effect, Engine, EngineError, GroupOutlook, GroupStep, Input, Notice, Step, next_group_care, next_step,
};
use chancery_store::file_lock::FileLock;
use chancery_wire::proto::{ClaimPrekeys, Deliver, Hold as HoldFrame, client_frame, relay_frame};
use chancery_wire::records::Records;
use chancery_wire::{Timestamp, Unverified};
use tokio::time::{Instant, sleep};

use crate::attachment;
use crate::client::Shared;
use crate::clock;
use crate::connection::{ANSWER_TIMEOUT, Connection, RATE_PAUSE};
use crate::error::{Error, ErrorCode};
use crate::group::steps;
use crate::log;
use crate::mailbox::{Mailbox, announce};
use crate::sending::REFUSED;

/// How often to look whether another process has finished with the outbox.
const LOCK_POLL: Duration = Duration::from_millis(5);
/// How long one file is uploaded before the other steps get their turn.
const UPLOAD_TURN: Duration = Duration::from_secs(1);
/// Steps for one group in one go: 4,096, more than founding the largest takes. What is left has its turn with the next.
const GROUP_STEPS: usize = 4096;
/// Steps for one group before the others get their turn: 64, more than most things that are done in a group (R-ENGINE-94).
const GROUP_TURN: usize = 64;
/// Sends everything that can be sent, in order. Returns the reason if something was left behind.
///
/// What is for groups goes only once the mailbox was read to its end ([`Shared::has_caught_up`]), and while its link is known to be
/// alive ([`Hearing`](crate::hearing::Hearing)).
///
/// Only one process at a time empties a home's outbox; the others wait their turn until `deadline`. Dropping
/// the future is safe at any point: what was done but not recorded is repeated with the same bytes.
pub(crate) async fn flush(shared: &Arc<Shared>, deadline: Instant) -> Result<Option<Error>, Error> {
    Ok(empty(shared, deadline).await?.left)
}

/// What a go through the outbox came to.
#[derive(Default)]
pub(crate) struct Emptied {
    /// Why something was left behind: the last of the reasons, whatever it was of.
    pub(crate) left: Option<Error>,
    /// Why nothing goes to anybody, if that is so.
    pub(crate) stopped: Option<Error>,
    /// When something of a group becomes due.
    pub(crate) due: Option<Timestamp>,
}

/// Does what [`flush`] does, and says what its last look at the groups said.
pub(crate) async fn empty(shared: &Arc<Shared>, deadline: Instant) -> Result<Emptied, Error> {
    if shared.has_unaddressed().await? {
        Mailbox::open(shared).await?.sync_directory(shared).await?;
    }
    let _lock = lock(shared, deadline).await?;
    let mut connection = shared.anonymous.lock().await;
    let now = Instant::now();
    let (blocked, left) = (shared.holds.at(now), shared.holds.why(now));
    let (postponed, turns) = (BTreeSet::new(), Turns::default());
    let limited = BTreeMap::new();
    let mut pass = Pass {
        shared,
        blocked,
        postponed,
        left,
        stopped: None,
        renewed: false,
        turns,
        limited,
        was_limited: false,
    };
    if !shared.swept.swap(true, Ordering::Relaxed) {
        sweep(shared).await;
    }
    let mut stopped: Option<Option<Error>> = None;
    let mut hears = true;
    loop {
        let blocked = pass.blocked.union(&pass.postponed).copied().collect();
        let groups = hears && shared.has_caught_up();
        let step = match look(shared, blocked, groups).await? {
            Look::Work(step) => step,
            Look::Idle(due) if pass.postponed.is_empty() => return pass.end(due).await,
            Look::Idle(_) => {
                pass.again().await;
                continue;
            }
        };
        if matches!(step, Next::Group(_)) && !shared.hearing.is_fresh() {
            // What is to be done may be another thing afterwards.
            hears = shared.hearing.ask().await;
            if !hears {
                pass.left = Some(ErrorCode::RelayUnreachable.into());
            }
            continue;
        }
        // Taken out, so that a step that fails or is given up half way leaves no connection that may be dead.
        let open = match connection.take().filter(Connection::is_open) {
            Some(open) => open,
            None => shared.connect().await?.0,
        };
        // Once in each go, before the first step of any kind.
        let Some(stop) = &stopped else {
            stopped = Some(log::before_sending(shared, &open).await?);
            *connection = Some(open);
            continue;
        };
        match (step, stop) {
            (Next::Device(Step::Seal { device_id, .. } | Step::Claim { device_id, .. }, _), Some(why)) => {
                pass.blocked.insert(device_id);
                pass.stop(why.clone());
            }
            (Next::Device(Step::Seal { item, device_id }, _), None) => pass.seal(item, device_id).await?,
            (Next::Device(step, token), _) => pass.take(&open, step, &token).await?,
            (Next::Group(step), Some(why)) if steps::seals(&step) => {
                pass.blocked.insert(step.target());
                pass.stop(why.clone());
            }
            (Next::Group(step), _) => pass.take_group(&open, *step).await?,
        }
        *connection = Some(open);
    }
}

/// The next thing to do.
pub(crate) enum Next {
    /// For single devices, with the token that it needs at the relay.
    Device(Step, Vec<u8>),
    /// For a group, once nothing is left to do for single devices: what goes with a commit goes before it.
    Group(Box<GroupStep>),
}

/// What one look at all that waits says.
pub(crate) enum Look {
    /// There is something to do.
    Work(Next),
    /// There is not, and when something of a group becomes due.
    Idle(Option<Timestamp>),
}

/// Looks once for something to send or to do at the moment, leaving out what is blocked and, unless they go, groups.
pub(crate) async fn look(shared: &Shared, blocked: BTreeSet<[u8; 16]>, groups: bool) -> Result<Look, Error> {
    let next = move |engine: &Engine, records: &dyn Records| next(engine, records, (&blocked, groups));
    shared.worker.call(move |state| state.read_with(next)).await
}

fn next(
    engine: &Engine,
    records: &dyn Records,
    (blocked, groups): (&BTreeSet<[u8; 16]>, bool),
) -> Result<Look, EngineError> {
    if let Some(step) = next_step(records, blocked)? {
        let token = engine.step_token(records, &step)?;
        return Ok(Look::Work(Next::Device(step, token)));
    }
    if !groups {
        return Ok(Look::Idle(next_group_care(records)?));
    }
    Ok(match engine.group_outlook(records, clock::now(), blocked)? {
        GroupOutlook::Step(step) => Look::Work(Next::Group(step)),
        GroupOutlook::Idle(due) => Look::Idle(due),
        // One of a later engine: left alone until the program is that late as well.
        _ => Look::Idle(None),
    })
}

/// Removes spooled files that no message needs. What fails is tried again by the next process.
pub(crate) async fn sweep(shared: &Shared) {
    let home = shared.home.clone();
    let swept = shared
        .worker
        .call(move |state| attachment::sweep_spool(&home, || state.read(chancery_engine::waiting_uploads)))
        .await;
    if let Err(error) = swept {
        tracing::debug!(code = error.code().name(), "the spool was not tidied up");
    }
}

async fn lock(shared: &Arc<Shared>, deadline: Instant) -> Result<FileLock, Error> {
    loop {
        if let Some(lock) = FileLock::try_acquire(shared.home.flush_lock())? {
            return Ok(lock);
        }
        if Instant::now() >= deadline {
            return Err(ErrorCode::StoreBusy.into());
        }
        sleep(LOCK_POLL).await;
    }
}

/// One go through the outbox.
struct Pass<'a> {
    shared: &'a Arc<Shared>,
    blocked: BTreeSet<[u8; 16]>,
    /// Files and groups that have had their turn; the next one comes after everything else had its own.
    postponed: BTreeSet<[u8; 16]>,
    left: Option<Error>,
    /// Why nothing is sealed for anybody.
    stopped: Option<Error>,
    /// The directory was synchronised for a new token, and nothing was sent with one since.
    renewed: bool,
    turns: Turns,
    /// Groups whose steps came too fast for the relay, and since when.
    limited: BTreeMap<[u8; 16], Instant>,
    /// Whether that was so since everything else had its turn.
    was_limited: bool,
}

/// How many steps each group had in this go.
#[derive(Default)]
struct Turns(BTreeMap<[u8; 16], usize>);

/// Whose turn it is.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// The group's own.
    Own,
    /// The group's own for one step more, then that of the others.
    Others,
    /// The group has had its share of this go.
    Over,
}

impl Turns {
    fn take(&mut self, group: [u8; 16]) -> Turn {
        let steps = self.0.entry(group).or_default();
        *steps = steps.saturating_add(1);
        match *steps {
            steps if steps > GROUP_STEPS => Turn::Over,
            steps if steps.is_multiple_of(GROUP_TURN) => Turn::Others,
            _ => Turn::Own,
        }
    }
}

impl Pass<'_> {
    /// Everything had its turn.
    async fn end(self, due: Option<Timestamp>) -> Result<Emptied, Error> {
        let left = match self.left {
            // What waits for a name says nothing about what waits for anything else.
            None if self.shared.has_unaddressed().await? => Some(ErrorCode::UnknownRecipient.into()),
            left => left,
        };
        Ok(Emptied { left, stopped: self.stopped, due })
    }

    /// Nothing is sealed for anybody.
    fn stop(&mut self, why: Error) {
        self.left = Some(why.clone());
        self.stopped = Some(why);
    }

    /// Gives what was postponed its turn.
    async fn again(&mut self) {
        self.postponed.clear();
        if core::mem::take(&mut self.was_limited) {
            sleep(RATE_PAUSE).await;
        }
    }

    /// Does one step. A refusal that may pass blocks the step's device for a while; one that will not ends
    /// the message; an error of the connection or the store ends the go.
    async fn take(&mut self, connection: &Connection, step: Step, token: &[u8]) -> Result<(), Error> {
        let item = step.item();
        let target = target(&step);
        let result = match step {
            Step::Claim { device_id, .. } => self.claim(connection, item, (device_id, token)).await,
            Step::Deliver { deliver, .. } => {
                self.deliver(connection, item, Deliver { token: token.to_vec(), ..deliver }).await
            }
            Step::Upload { blob_id, .. } => self.upload(connection, item, (&blob_id, token)).await,
            Step::Hold { hold, .. } => self.hold(connection, item, (hold, token)).await,
            _ => Ok(()),
        };
        match result {
            Ok(()) => {
                self.shared.holds.release(&target);
                self.renewed = false;
                Ok(())
            }
            Err(error) if error.code() == ErrorCode::TokenRefused && !self.renewed => self.renew().await,
            Err(error) if is_temporary(error.code()) => self.block(target, item, error).await,
            Err(error) if is_final(error.code()) => {
                tracing::warn!(code = error.code().name(), "a message cannot be sent");
                self.left = Some(Error::with(ErrorCode::SendFailed, REFUSED));
                self.handle(move || Input::Failed { item }).await?;
                sweep(self.shared).await;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Does one step for a group. A group, device or file that cannot be served now is left alone for a while.
    async fn take_group(&mut self, connection: &Connection, step: GroupStep) -> Result<(), Error> {
        let target = step.target();
        let is_group = steps::of(&step) == target && !matches!(step, GroupStep::Credential { .. });
        match self.turns.take(steps::of(&step)) {
            Turn::Own => {}
            Turn::Others => drop(self.postponed.insert(target)),
            Turn::Over => {
                self.blocked.insert(target);
                self.left = Some(ErrorCode::GroupQueued.into());
                return Ok(());
            }
        }
        // Others wait behind it, of other groups and single devices.
        connection.repeat(false);
        let outcome = steps::carry_out(self.shared, connection, step).await;
        connection.repeat(true);
        match outcome {
            Ok(()) => {
                self.shared.holds.release(&target);
                self.limited.remove(&target);
                self.renewed = false;
                Ok(())
            }
            Err(error) if error.code() == ErrorCode::RateLimited && self.may_come_again(target) => Ok(()),
            Err(error) if error.code() == ErrorCode::TokenRefused && !self.renewed => self.renew().await,
            Err(error) if ends_the_go(error.code()) => Err(error),
            Err(error) => {
                tracing::info!(code = error.code().name(), "a group waits");
                self.blocked.insert(target);
                self.shared.holds.hold((target, is_group), error.clone(), Instant::now());
                self.left = Some(error);
                Ok(())
            }
        }
    }

    /// What came too fast for the relay comes again once everything else had its turn, for as long as an answer may take (R-ENGINE-94).
    fn may_come_again(&mut self, target: [u8; 16]) -> bool {
        let now = Instant::now();
        let since = *self.limited.entry(target).or_insert(now);
        let again = now.saturating_duration_since(since) < ANSWER_TIMEOUT;
        if again {
            self.postponed.insert(target);
            self.was_limited = true;
        }
        again
    }

    /// Synchronises the directory, which brings the newest directory key and with it other tokens: the same step comes
    /// again with its own, sealed as it was (R-ENGINE-54).
    async fn renew(&mut self) -> Result<(), Error> {
        tracing::info!(code = ErrorCode::TokenRefused.name(), "the directory may have changed");
        self.renewed = true;
        Mailbox::open(self.shared).await?.sync_directory(self.shared).await
    }

    /// Leaves a device or file alone for a while; what has waited for it in vain for too long ends.
    async fn block(&mut self, target: [u8; 16], item: u64, why: Error) -> Result<(), Error> {
        tracing::info!(code = why.code().name(), "a message waits");
        self.blocked.insert(target);
        self.shared.holds.hold((target, false), why.clone(), Instant::now());
        let counts = is_of_target(why.code());
        self.left = Some(why);
        if counts {
            self.handle(move || Input::Postponed { item }).await?;
        }
        Ok(())
    }

    async fn seal(&mut self, item: u64, device_id: [u8; 16]) -> Result<(), Error> {
        match self.handle(move || Input::Seal { item }).await {
            Err(error) if is_final(error.code()) || is_refused(error.code()) => {
                self.block(device_id, item, error).await
            }
            other => other.map(drop),
        }
    }

    async fn claim(
        &mut self,
        connection: &Connection,
        item: u64,
        (device, token): ([u8; 16], &[u8]),
    ) -> Result<(), Error> {
        let claim = ClaimPrekeys { device_id: device.to_vec(), token: token.to_vec() };
        let bundle = match connection.request(client_frame::Body::ClaimPrekeys(claim)).await {
            Ok(relay_frame::Body::Bundle(bundle)) => bundle,
            Ok(_) => return Err(ErrorCode::RelayProtocol.into()),
            Err(error) if error.code() == ErrorCode::RelayNotFound => {
                return Err(ErrorCode::RecipientNotReady.into());
            }
            Err(error) => return Err(error),
        };
        let effects = self
            .shared
            .worker
            .call(move |state| {
                let bundle = Box::new(Unverified::new(bundle));
                state.handle(Input::Bundle { item, bundle })
            })
            .await?;
        let is_unlogged =
            |effect: &Effect| matches!(effect, Effect::Notify(Notice::UnloggedCredential { .. }));
        if effects.iter().any(is_unlogged) {
            return Err(ErrorCode::UnloggedCredential.into());
        }
        if effects.contains(&Effect::Notify(Notice::BundleRejected)) {
            return Err(ErrorCode::RecipientNotReady.into());
        }
        Ok(())
    }

    async fn deliver(&mut self, connection: &Connection, item: u64, deliver: Deliver) -> Result<(), Error> {
        match connection.done(client_frame::Body::Deliver(deliver)).await {
            Err(error) if error.code() == ErrorCode::RelayNotFound => {
                Err(ErrorCode::RecipientNotReady.into())
            }
            Err(error) => Err(error),
            Ok(()) => self.handle(move || Input::Done { item }).await.map(drop),
        }
    }

    async fn hold(
        &mut self,
        connection: &Connection,
        item: u64,
        (hold, token): (HoldFrame, &[u8]),
    ) -> Result<(), Error> {
        let deliver = hold.deliver.map(|deliver| Deliver { token: token.to_vec(), ..deliver });
        match connection.done(client_frame::Body::Hold(HoldFrame { deliver, ..hold })).await {
            Err(error) if error.code() == ErrorCode::RelayNotFound => {
                Err(ErrorCode::RecipientNotReady.into())
            }
            // Its commit has lost: nobody waits for it any more.
            Err(error) if error.code() == ErrorCode::RelayConflict => {
                self.handle(move || Input::Done { item }).await.map(drop)
            }
            Err(error) => Err(error),
            Ok(()) => self.handle(move || Input::Done { item }).await.map(drop),
        }
    }

    async fn upload(
        &mut self,
        connection: &Connection,
        item: u64,
        (blob_id, token): (&[u8; 16], &[u8]),
    ) -> Result<(), Error> {
        let teller = attachment::teller_of_upload(self.shared, item, blob_id).await?;
        let (home, pause) = (&self.shared.home, clock::deadline(UPLOAD_TURN));
        if !attachment::upload(home, connection, (blob_id, token), teller.as_ref(), pause).await? {
            self.postponed.insert(*blob_id);
            return Ok(());
        }
        self.handle(move || Input::Done { item }).await?;
        attachment::remove_spooled(&self.shared.home, blob_id);
        Ok(())
    }

    async fn handle(
        &self,
        input: impl FnOnce() -> Input<'static> + Send + 'static,
    ) -> Result<Vec<Effect>, Error> {
        let effects = self.shared.worker.call(move |state| state.handle(input())).await?;
        // A message of one's own may have become sent or failed by it.
        announce(self.shared, &effects);
        Ok(effects)
    }
}

fn target(step: &Step) -> [u8; 16] {
    match step {
        Step::Upload { blob_id, .. } => *blob_id,
        Step::Claim { device_id, .. } | Step::Seal { device_id, .. } => *device_id,
        Step::Deliver { deliver, .. } => deliver.mailbox.as_slice().try_into().unwrap_or_default(),
        Step::Hold { hold, .. } => {
            let mailbox = hold.deliver.as_ref().map(|deliver| deliver.mailbox.as_slice());
            mailbox.and_then(|mailbox| mailbox.try_into().ok()).unwrap_or_default()
        }
        _ => [0; 16],
    }
}

const fn is_temporary(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::RecipientNotReady
            | ErrorCode::UnloggedCredential
            | ErrorCode::OutOfReach
            | ErrorCode::CredentialExpired
            | ErrorCode::QuotaExceeded
            | ErrorCode::RelayFull
            | ErrorCode::RateLimited
            | ErrorCode::RelayConflict
            | ErrorCode::RelayUnavailable
            | ErrorCode::TokenRefused
            | ErrorCode::FileUnreadable
    )
}

/// Whether it lies with the connection, the relay as a whole, or this device, so that nothing else would go well either.
const fn ends_the_go(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::RelayUnreachable
            | ErrorCode::WrongRelay
            | ErrorCode::WrongOrganisation
            | ErrorCode::RelayVersion
            | ErrorCode::RelayProtocol
            | ErrorCode::StoreBusy
            | ErrorCode::StoreDamaged
            | ErrorCode::StoreUnreadable
            | ErrorCode::StoreLocked
            | ErrorCode::DiskFull
            | ErrorCode::Revoked
            | ErrorCode::NoRandomness
    )
}

/// Whether it lies with the recipient's device alone that nothing is sealed for it.
const fn is_refused(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::UnloggedCredential | ErrorCode::OutOfReach | ErrorCode::CredentialExpired)
}

/// Whether what keeps an item waiting lies with its device or file, and not with a relay that is busy, full or
/// failing, or with a token that this device has yet to get: only that says after 30 days that there is no hope (R-ENGINE-13).
const fn is_of_target(code: ErrorCode) -> bool {
    !matches!(
        code,
        ErrorCode::RelayFull | ErrorCode::RateLimited | ErrorCode::RelayUnavailable | ErrorCode::TokenRefused
    )
}

const fn is_final(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::MessageTooLarge
            | ErrorCode::RelayRefused
            | ErrorCode::RelayNotAuthorised
            | ErrorCode::RelayNotFound
            | ErrorCode::FileNotFound
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_never_ends_takes_no_turn_from_the_others_r_engine_94() {
        let (mut turns, mut own, mut of_other) = (Turns::default(), 0, 0);
        let (endless, other) = ([1; 16], [2; 16]);
        loop {
            match turns.take(endless) {
                Turn::Own => own += 1,
                Turn::Others => {
                    own += 1;
                    of_other += usize::from(turns.take(other) == Turn::Own);
                }
                Turn::Over => break,
            }
        }
        assert_eq!(
            (own, of_other),
            (GROUP_STEPS, GROUP_STEPS / GROUP_TURN - 1),
            "one of the others' is their own last"
        );
        assert_ne!(turns.take(other), Turn::Over);
    }

    #[test]
    fn a_relay_that_is_busy_full_or_failing_says_nothing_about_a_device_r_engine_13() {
        let counts = [
            ErrorCode::RecipientNotReady,
            ErrorCode::UnloggedCredential,
            ErrorCode::OutOfReach,
            ErrorCode::CredentialExpired,
            ErrorCode::QuotaExceeded,
            ErrorCode::FileUnreadable,
        ];
        for code in ErrorCode::ALL.iter().filter(|code| is_temporary(**code)) {
            let of_target = counts.contains(code) || *code == ErrorCode::RelayConflict;
            assert_eq!(is_of_target(*code), of_target, "{code:?}");
        }
    }

    #[test]
    fn only_what_is_refused_for_good_ends_a_message() {
        for code in [ErrorCode::RelayProtocol, ErrorCode::RelayConflict, ErrorCode::FileUnreadable] {
            assert!(!is_final(code), "{code:?}");
        }
        for code in ErrorCode::ALL {
            assert!(!(is_final(*code) && is_temporary(*code)), "{code:?}");
        }
    }
}
