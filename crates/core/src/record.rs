//! A session as it is stored: `SessionRecord` of `proto/session.proto`.

use alloc::vec::Vec;

use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_crypto::x25519::{DhPublic, DhSecret};
use chancery_identity::DeviceId;
use chancery_wire::{Limit, Timestamp, decode, encode, proto};

use crate::chain_key::ChainKey;
use crate::double_ratchet::{DoubleRatchet, ReceivingChain, SendingChain};
use crate::header::HeaderKey;
use crate::message_key::MessageKey;
use crate::pq_ratchet::PqRatchet;
use crate::refresh::Refresh;
use crate::root_key::RootKey;
use crate::session::Session;
use crate::skipped::{SkippedKey, SkippedKeys};
use crate::tag::Tag;

/// Version of the record that this version writes, and the only one so far (R-RATCHET-14).
const VERSION: u32 = 1;

/// Why stored bytes are no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A newer version wrote the record: leave it as it is and update the software.
    #[error("session record of version {found}, the newest known is {supported}")]
    NewerVersion {
        /// Version of the record.
        found: u32,
        /// Newest version that can be read.
        supported: u32,
    },
    /// The record is damaged: start a new session with the device.
    #[error("session record is damaged")]
    Damaged,
}

impl Session {
    /// Writes the whole state, for an encrypted store.
    ///
    /// Equal states give equal bytes: below 1 KiB between epochs of the post-quantum ratchet, at most 4 KiB with one in flight,
    /// and 70 bytes for each message that was passed over, at most about 140 KiB.
    #[must_use]
    pub fn to_bytes(&self) -> SecretBytes {
        let ratchet = &self.ratchet;
        let record = Wiped(proto::SessionRecord {
            version: VERSION,
            session_id: self.id.to_vec(),
            peer_device_id: self.peer_device.as_bytes().to_vec(),
            associated_data: self.associated_data.to_vec(),
            root_key: copy(ratchet.root_key.secret()),
            ratchet_secret: copy(ratchet.ratchet_secret.secret()),
            sending: ratchet.sending.as_ref().map(|chain| proto::SendingChain {
                header_key: copy(chain.header_key.secret()),
                chain_key: copy(chain.chain_key.secret()),
                next: chain.next,
            }),
            receiving: ratchet.receiving.as_ref().map(|chain| proto::ReceivingChain {
                header_key: copy(chain.header_key.secret()),
                chain_key: copy(chain.chain_key.secret()),
                next: chain.next,
                ratchet_key: chain.ratchet_key.as_bytes().to_vec(),
            }),
            next_sending_header_key: copy(ratchet.next_sending_header_key.secret()),
            next_receiving_header_key: copy(ratchet.next_receiving_header_key.secret()),
            previous_chain_len: ratchet.previous_chain_len,
            skipped: ratchet.skipped.iter().map(write_skipped).collect(),
            ratchet_public: ratchet.ratchet_secret.public().as_bytes().to_vec(),
            post_quantum: Some(ratchet.post_quantum.to_record()),
            filled: self.filled,
            refresh: Some(self.refresh.to_record()),
        });
        SecretBytes::new(encode(&record.0))
    }

    /// Reads what [`Session::to_bytes`] wrote.
    ///
    /// # Errors
    ///
    /// [`RecordError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let record: proto::SessionRecord =
            decode(bytes, Limit::RECORD).map_err(|_| RecordError::Damaged)?.into_unchecked();
        let mut record = Wiped(record);
        if record.0.version > VERSION {
            return Err(RecordError::NewerVersion { found: record.0.version, supported: VERSION });
        }
        read(&mut record.0).ok_or(RecordError::Damaged)
    }
}

fn read(record: &mut proto::SessionRecord) -> Option<Session> {
    if record.version != VERSION {
        return None;
    }
    let sending = record.sending.as_ref()?;
    let receiving = match &record.receiving {
        None => None,
        Some(chain) => Some(ReceivingChain {
            header_key: HeaderKey::new(Secret::from_slice(&chain.header_key)?),
            chain_key: ChainKey::new(Secret::from_slice(&chain.chain_key)?),
            next: chain.next,
            ratchet_key: DhPublic::from_bytes(&chain.ratchet_key).ok()?,
        }),
    };
    let skipped: Option<Vec<SkippedKey>> = record.skipped.iter().map(read_skipped).collect();
    Some(Session {
        id: record.session_id.as_slice().try_into().ok()?,
        peer_device: DeviceId::from_bytes(&record.peer_device_id)?,
        associated_data: record.associated_data.as_slice().try_into().ok()?,
        ratchet: DoubleRatchet {
            root_key: RootKey::new(Secret::from_slice(&record.root_key)?),
            ratchet_secret: DhSecret::from_stored(
                Secret::from_slice(&record.ratchet_secret)?,
                DhPublic::from_bytes(&record.ratchet_public).ok()?,
            ),
            sending: Some(SendingChain {
                header_key: HeaderKey::new(Secret::from_slice(&sending.header_key)?),
                chain_key: ChainKey::new(Secret::from_slice(&sending.chain_key)?),
                next: sending.next,
            }),
            receiving,
            next_sending_header_key: HeaderKey::new(Secret::from_slice(&record.next_sending_header_key)?),
            next_receiving_header_key: HeaderKey::new(Secret::from_slice(&record.next_receiving_header_key)?),
            previous_chain_len: record.previous_chain_len,
            skipped: SkippedKeys::from_oldest_first(skipped?)?,
            post_quantum: PqRatchet::from_record(record.post_quantum.as_mut()?)?,
        },
        filled: record.filled,
        refresh: Refresh::from_record(record.refresh.as_ref()?),
    })
}

fn write_skipped(key: &SkippedKey) -> proto::SkippedKey {
    proto::SkippedKey {
        tag: key.tag.as_bytes().to_vec(),
        message_key: copy(key.message_key.secret()),
        epoch: key.epoch,
        stored_at: key.stored_at.as_millis(),
    }
}

fn read_skipped(key: &proto::SkippedKey) -> Option<SkippedKey> {
    Some(SkippedKey {
        tag: Tag::from_bytes(&key.tag)?,
        message_key: MessageKey::new(Secret::from_slice(&key.message_key)?),
        epoch: key.epoch,
        stored_at: Timestamp::from_millis(key.stored_at),
    })
}

/// Copies a secret into a record; [`Wiped`] wipes it there.
fn copy(secret: &Secret<32>) -> Vec<u8> {
    secret.expose().to_vec()
}

/// A record whose secrets are wiped when it goes.
struct Wiped(proto::SessionRecord);

impl Drop for Wiped {
    fn drop(&mut self) {
        let record = &mut self.0;
        wipe(&mut record.root_key);
        wipe(&mut record.ratchet_secret);
        wipe(&mut record.next_sending_header_key);
        wipe(&mut record.next_receiving_header_key);
        if let Some(chain) = &mut record.sending {
            wipe(&mut chain.header_key);
            wipe(&mut chain.chain_key);
        }
        if let Some(chain) = &mut record.receiving {
            wipe(&mut chain.header_key);
            wipe(&mut chain.chain_key);
        }
        record.skipped.iter_mut().for_each(|key| wipe(&mut key.message_key));
        if let Some(post_quantum) = &mut record.post_quantum {
            wipe(&mut post_quantum.root_key);
            wipe(&mut post_quantum.next_sending);
            wipe(&mut post_quantum.next_receiving);
            let chains = [&mut post_quantum.sending, &mut post_quantum.receiving];
            chains.into_iter().flatten().for_each(|chain| wipe(&mut chain.chain_key));
            if let Some(braid) = &mut post_quantum.braid {
                wipe(&mut braid.authenticator);
                wipe(&mut braid.secret);
            }
        }
    }
}

fn wipe(bytes: &mut Vec<u8>) {
    drop(SecretBytes::new(core::mem::take(bytes)));
}
