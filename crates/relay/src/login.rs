//! Login: a connection proves whose mailbox it reads (R-RELAY-6 to R-RELAY-8).

use alloc::sync::Arc;

use chancery_crypto::label;
use chancery_crypto::signature::VerifyingKey;
use chancery_identity::{Capabilities, Credential, login_message, reply_mailbox};
use chancery_wire::{RefusalCode, Unverified, proto};
use proto::login::Who;
use proto::relay_frame::Body;

use crate::connection::{Answer, Fault, Reader, Stage};
use crate::relay::ConnectionId;
use crate::step::Step;
use crate::storage::MailboxId;

impl Step<'_> {
    /// R-RELAY-6, R-RELAY-7, R-RELAY-49, R-RELAY-50, R-RELAY-61, R-RELAY-67. Whatever is wrong, the answer is the same and the connection ends, so that a
    /// challenge is answered once at most (R-RELAY-8).
    pub(crate) fn login(&mut self, id: ConnectionId, login: proto::Login) -> Answer {
        let challenge = match self.stage(id) {
            Some(Stage::Greeted { challenge }) => *challenge,
            Some(Stage::Anonymous | Stage::Mailbox(_) | Stage::Ended(_)) => {
                return Err(RefusalCode::NotAuthorised.into());
            }
            Some(Stage::Fresh) | None => return Err(Fault::Fatal(RefusalCode::BadRequest)),
        };
        let refused = Fault::Fatal(RefusalCode::NotAuthorised);
        let organisation = self.relay.organisation();
        let (key, mailbox, credential) = match login.who {
            Some(Who::Credential(signed)) => {
                let Ok(credential) = organisation.verify_credential(Unverified::new(signed), self.now) else {
                    return Err(refused);
                };
                let mailbox = MailboxId::from(credential.device_id());
                (credential.signing_key().clone(), mailbox, Some(credential))
            }
            Some(Who::EnrollingKey(key)) => {
                let Ok(key) = VerifyingKey::from_bytes(&key) else { return Err(refused) };
                let mailbox = MailboxId::new(reply_mailbox(&key));
                (key, mailbox, None)
            }
            None => return Err(refused),
        };
        let message = login_message(&challenge, &organisation.id(), &self.relay.pin);
        if key.verify(label::SIGN_RELAY_LOGIN, &message, &login.signature).is_err() {
            return Err(refused);
        }
        if let Some(credential) = &credential {
            // Only who has the device's key is told that it was ended.
            if let Some(index) = self.end_of(credential)? {
                let revoked = self.revoked(index)?;
                self.await_confirmation(id, Arc::new(credential.clone()), &revoked);
                return Ok(Body::Revoked(revoked));
            }
            if !self.may_log_in(credential)? {
                return Err(refused);
            }
        }
        self.admit(id, mailbox, credential)
    }

    fn admit(&mut self, id: ConnectionId, mailbox: MailboxId, credential: Option<Credential>) -> Answer {
        // An enrolling device leaves no trace: anybody can make such a key.
        if credential.is_some() && self.storage.mailbox(&mailbox)?.is_none() {
            self.new_mailbox(&mailbox, None).map_err(Fault::fatal)?;
        }
        let state =
            credential.as_ref().map_or(Ok(proto::Done::default()), |credential| self.state(credential))?;
        let reader = Reader {
            mailbox,
            credential: credential.map(Arc::new),
            subscription: None,
            told: self.relay.log_size(),
        };
        self.set_stage(id, Stage::Mailbox(reader));
        self.relay.reads(mailbox, id);
        let readers = self.relay.readers(&mailbox);
        let surplus = readers.len().saturating_sub(self.relay.limits.mailbox_connections);
        for oldest in readers.into_iter().take(surplus) {
            self.close(oldest);
        }
        Ok(Body::Done(state))
    }

    /// What a device is told of what the relay has of it, so that it notices a relay that was put back from an
    /// old copy (R-RELAY-41, R-RELAY-42).
    fn state(&self, credential: &Credential) -> Result<proto::Done, Fault> {
        let device = credential.device_id();
        let batch = self.storage.prekey_batch(&device)?;
        let is_desk = credential.capabilities().contains(Capabilities::DESK);
        Ok(proto::Done {
            log_size: self.relay.log_size(),
            prekeys: batch.map_or(0, |batch| batch.sequence),
            pairs: self.storage.prekey_pairs(&device)?,
            directory: if is_desk { self.storage.directory_sequence()? } else { 0 },
        })
    }
}
