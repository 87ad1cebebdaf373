//! What people's devices do when they connect: sending, reading, and all of it until nothing is left to do.

use std::collections::BTreeSet;

use chancery_crypto::label;
use chancery_engine::{Effect, EngineError, Input, Notice, Step, directory_cursor};
use chancery_identity::login_message;
use chancery_wire::proto::{
    Acknowledge, ClaimPrekeys, Deliver, Login, PrekeyBatchBody, Subscribe, SyncDirectory, client_frame,
    login, relay_frame,
};
use chancery_wire::{Limit, RefusalCode, Unverified, decode};

use crate::line::{Line, PIN};
use crate::person::PersonId;
use crate::world::{Fault, World};

/// Whether the relay refuses a delivery token.
fn refuses_token(answer: Option<&relay_frame::Body>) -> bool {
    matches!(answer, Some(relay_frame::Body::Refused(refused)) if refused.code == RefusalCode::Token.code())
}

impl World {
    /// Lets everybody send and receive until nothing is left to do.
    pub fn run(&mut self) {
        self.run_those((0..self.people.len()).map(PersonId).collect());
    }

    /// As [`Self::run`], for everybody but one.
    pub fn run_but(&mut self, left_out: PersonId) {
        self.run_those((0..self.people.len()).map(PersonId).filter(|id| *id != left_out).collect());
    }

    fn is_at_rest(&self, people: &[PersonId]) -> bool {
        let is_idle = |id| self.next_possible_step(id, &BTreeSet::new()).is_none() && !self.has_mail(id);
        people.iter().all(|id| is_idle(*id))
    }

    fn run_those(&mut self, people: Vec<PersonId>) {
        for _ in 0..100 {
            for id in &people {
                self.flush(*id);
                self.sync(*id);
            }
            if self.is_at_rest(&people) {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    /// Sends what a person's outbox holds; stops at a fault.
    pub fn flush(&mut self, id: PersonId) {
        self.check_log(id);
        self.flush_blindly(id);
    }

    /// As [`Self::flush`], without asking what the log is.
    pub fn flush_blindly(&mut self, id: PersonId) {
        self.flush_beside(id, BTreeSet::new());
    }

    /// As [`Self::flush`], leaving another's device alone.
    pub fn flush_but(&mut self, id: PersonId, left_out: PersonId) {
        self.check_log(id);
        self.flush_beside(id, [*self.device_id(left_out).as_bytes()].into());
    }

    fn flush_beside(&mut self, id: PersonId, mut blocked: BTreeSet<[u8; 16]>) {
        let mut line = self.exchange.connect(self.now, self.rng.as_mut());
        let mut renewed = false;
        while let Some(step) = self.next_possible_step(id, &blocked) {
            let (item, token) = (step.item(), self.token_of(id, &step));
            match step {
                Step::Seal { device_id, .. } => match self.try_handle(id, Input::Seal { item }) {
                    Err(EngineError::NotVouched) => drop(blocked.insert(device_id)),
                    sealed => drop(sealed.expect("sealed")),
                },
                Step::Claim { device_id, .. } => {
                    let claim = ClaimPrekeys { device_id: device_id.to_vec(), token };
                    let answer = self.ask(&mut line, client_frame::Body::ClaimPrekeys(claim));
                    if refuses_token(answer.as_ref()) && !core::mem::replace(&mut renewed, true) {
                        self.renew(id);
                        continue;
                    }
                    let Some(relay_frame::Body::Bundle(bundle)) = answer else { return };
                    self.people[id.0].claims.push(self.now);
                    let bundle = Box::new(Unverified::new(bundle));
                    match self.try_handle(id, Input::Bundle { item, bundle }) {
                        Ok(effects) if effects.is_empty() => {}
                        Ok(_) | Err(EngineError::NotVouched) => drop(blocked.insert(device_id)),
                        Err(error) => panic!("{error}"),
                    }
                }
                Step::Deliver { deliver, .. } => {
                    let begins = deliver.envelope.first() == Some(&0x11);
                    self.people[id.0].handshakes += usize::from(begins);
                    self.people[id.0].deliveries.push(self.now);
                    let deliver = Deliver { token, ..deliver };
                    let answer = self.ask(&mut line, client_frame::Body::Deliver(deliver));
                    if refuses_token(answer.as_ref()) && !core::mem::replace(&mut renewed, true) {
                        self.renew(id);
                        continue;
                    }
                    let Some(relay_frame::Body::Done(_)) = answer else { return };
                    self.handle(id, Input::Done { item });
                    renewed = false;
                }
                Step::Hold { mut hold, .. } => {
                    hold.deliver.as_mut().expect("of a delivery").token = token;
                    let answer = self.ask(&mut line, client_frame::Body::Hold(hold));
                    if refuses_token(answer.as_ref()) && !core::mem::replace(&mut renewed, true) {
                        self.renew(id);
                        continue;
                    }
                    match answer {
                        Some(relay_frame::Body::Done(_)) => self.handle(id, Input::Done { item }),
                        Some(relay_frame::Body::Refused(_)) => self.handle(id, Input::Failed { item }),
                        _ => return,
                    };
                    renewed = false;
                }
                other => panic!("unexpected step {other:?}"),
            }
            if self.takes(Fault::DieAfterCommit) {
                return;
            }
        }
        self.exchange.close(&line, self.now, self.rng.as_mut());
    }

    /// Claims prekeys for what is next in a person's outbox, and seals it.
    pub fn claim_next(&mut self, id: PersonId) {
        let step = self.next_step(id).expect("something to send");
        let token = self.token_of(id, &step);
        let Step::Claim { item, device_id } = step else { panic!("nothing to claim for") };
        let mut line = self.exchange.connect(self.now, self.rng.as_mut());
        let claim = ClaimPrekeys { device_id: device_id.to_vec(), token };
        let answer = self.ask(&mut line, client_frame::Body::ClaimPrekeys(claim));
        let Some(relay_frame::Body::Bundle(bundle)) = answer else { panic!("no bundle: {answer:?}") };
        let bundle = Box::new(Unverified::new(bundle));
        assert_eq!(self.handle(id, Input::Bundle { item, bundle }), []);
        self.exchange.close(&line, self.now, self.rng.as_mut());
    }

    /// Lets what is next in a person's outbox fail for a reason that may pass.
    pub fn postpone_next(&mut self, id: PersonId) {
        let step = self.next_step(id).expect("something to send");
        self.handle(id, Input::Postponed { item: step.item() });
    }

    /// Lets the relay refuse for good what is next in a person's outbox.
    pub fn refuse_next(&mut self, id: PersonId) {
        let step = self.next_step(id).expect("something to send");
        assert!(matches!(step, Step::Deliver { .. }), "{step:?}");
        self.handle(id, Input::Failed { item: step.item() });
    }

    /// Renews prekeys, takes over directory and mailbox, and looks after sessions; stops at a fault.
    pub fn sync(&mut self, id: PersonId) {
        let mut line = self.log_in(id);
        self.sync_log(id);
        if !self.sync_directory(id, &mut line) {
            return;
        }
        for effect in self.handle(id, Input::Upkeep) {
            if matches!(effect, Effect::Notify(_)) {
                continue;
            }
            let Effect::PublishPrekeys(upload) = effect else { panic!("unexpected {effect:?}") };
            let body = &upload.batch.as_ref().expect("signed").body;
            let sequence =
                decode::<PrekeyBatchBody>(body, Limit::STATEMENT).expect("sound").unchecked().sequence;
            if self.ask(&mut line, client_frame::Body::PublishPrekeys(upload)).is_none() {
                return;
            }
            self.handle(id, Input::PrekeysPublished { sequence });
        }
        if self.ask(&mut line, client_frame::Body::Subscribe(Subscribe {})).is_none() {
            return;
        }
        if self.read_mail(id, &mut line) {
            self.handle(id, Input::CaughtUp);
            self.handle(id, Input::SessionUpkeep);
        }
    }

    /// Takes over what a line has pushed; `false` at a fault.
    fn read_mail(&mut self, id: PersonId, line: &mut Line) -> bool {
        while let Some(envelopes) = self.fated(id, line) {
            for (envelope, is_last) in envelopes {
                if let Some(kept) = self.tapped.get_mut(&id) {
                    kept.push(envelope.envelope.clone());
                }
                let input = Input::Received { sequence: envelope.sequence, envelope: &envelope.envelope };
                let effects = self.handle(id, input);
                if self.takes(Fault::DieAfterCommit) {
                    return false;
                }
                if effects.contains(&Effect::SyncLog) {
                    self.sync_log(id);
                }
                let unread = |effect: &&Effect| **effect == Effect::Notify(Notice::Undecryptable);
                self.people[id.0].undecryptable += effects.iter().filter(unread).count();
                let acknowledges = effects.contains(&Effect::Acknowledge(envelope.sequence));
                let is_kept = effects == [Effect::SyncLog];
                assert!(acknowledges || is_kept, "R-ENGINE-57: only the log's word is waited for");
                if is_last && acknowledges && !self.acknowledge(line, envelope.sequence) {
                    return false;
                }
            }
        }
        self.exchange.close(line, self.now, self.rng.as_mut());
        true
    }

    /// Returns whether the connection lasted.
    pub(crate) fn acknowledge(&mut self, line: &mut Line, sequence: u64) -> bool {
        let body = client_frame::Body::Acknowledge(Acknowledge { sequences: vec![sequence] });
        self.ask(line, body).is_some()
    }

    /// Synchronises the directory alone, for a new token (R-ENGINE-54).
    fn renew(&mut self, id: PersonId) {
        let mut line = self.log_in(id);
        self.sync_log(id);
        self.sync_directory(id, &mut line);
        self.exchange.close(&line, self.now, self.rng.as_mut());
    }

    /// Returns whether the connection lasted.
    fn sync_directory(&mut self, id: PersonId, line: &mut Line) -> bool {
        loop {
            let after = directory_cursor(&self.people[id.0].disk).expect("readable");
            let request = client_frame::Body::SyncDirectory(SyncDirectory { after });
            let Some(relay_frame::Body::DirectoryPage(page)) = self.ask(line, request) else { return false };
            self.handle(id, Input::Directory(&page));
            let cursor = directory_cursor(&self.people[id.0].disk).expect("readable");
            if !page.more && page.changes.last().is_none_or(|change| cursor >= change.sequence) {
                return true;
            }
        }
    }

    fn log_in(&mut self, id: PersonId) -> Line {
        let mut line = self.exchange.connect(self.now, self.rng.as_mut());
        self.people[id.0].start(self.now);
        let device = self.people[id.0].engine.as_ref().expect("started").device();
        let message = login_message(&line.challenge, &self.organisation.id(), &PIN);
        let signature = device.keys().signing.sign(label::SIGN_RELAY_LOGIN, &message, self.rng.as_mut());
        let who = Some(login::Who::Credential(device.credential().signed().clone()));
        self.done(&mut line, client_frame::Body::Login(Login { who, signature, time: 0 }));
        line
    }
}
