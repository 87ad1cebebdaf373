//! The Triple Ratchet: the Double Ratchet with header encryption, its state and its two moves, and beside it the
//! post-quantum ratchet, whose key enters every message key.
//!
//! Source: Double Ratchet, revision 4, sections 4 and 6; `docs/PROTOCOL.md`, section "Ratchet", with the vector
//! that R-RATCHET-15 names.

use alloc::vec::Vec;
use core::ops::Range;

use chancery_crypto::NotAuthentic;
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_crypto::x25519::{DhPublic, DhSecret};
use chancery_wire::Timestamp;

use crate::braid::Room;
use crate::chain_key::ChainKey;
use crate::envelope::{SESSION, SessionEnvelope};
use crate::header::{Header, HeaderKey, ReadyHeaderKey};
use crate::message_key::MessageKey;
use crate::padding::{begin_body, split_body};
use crate::pq_ratchet::{PqRatchet, Walk};
use crate::root_key::{RootKey, RootStep};
use crate::skipped::{MAX_SKIP, SkippedKey, SkippedKeys};
use crate::tag::{Tag, TagChange, WINDOW};

/// The state of one side. Symbols in the fields are those of the specification.
pub(crate) struct DoubleRatchet {
    /// RK.
    pub(crate) root_key: RootKey,
    /// DHs.
    pub(crate) ratchet_secret: DhSecret,
    /// HKs, CKs, Ns; `None` only between a responder's start and its first message.
    pub(crate) sending: Option<SendingChain>,
    /// HKr, CKr, Nr, DHr; without it nothing can be tried against a chain that does not exist (R-RATCHET-8).
    pub(crate) receiving: Option<ReceivingChain>,
    /// NHKs.
    pub(crate) next_sending_header_key: HeaderKey,
    /// NHKr.
    pub(crate) next_receiving_header_key: HeaderKey,
    /// PN.
    pub(crate) previous_chain_len: u32,
    /// MKSKIPPED, keys of both ratchets together.
    pub(crate) skipped: SkippedKeys,
    /// The post-quantum ratchet. Its secrets never enter RK (R-RATCHET-20).
    pub(crate) post_quantum: PqRatchet,
}

pub(crate) struct SendingChain {
    /// HKs.
    pub(crate) header_key: HeaderKey,
    /// CKs.
    pub(crate) chain_key: ChainKey,
    /// Ns, at most `u32::MAX`, which is the number of no message.
    pub(crate) next: u32,
}

pub(crate) struct ReceivingChain {
    /// HKr.
    pub(crate) header_key: HeaderKey,
    /// CKr.
    pub(crate) chain_key: ChainKey,
    /// Nr.
    pub(crate) next: u32,
    /// DHr.
    pub(crate) ratchet_key: DhPublic,
}

/// The secrets that a handshake hands over.
pub(crate) struct InitialSecrets {
    /// SK.
    pub(crate) root_key: RootKey,
    /// `shared_hka`: HKs of the initiator.
    pub(crate) header_key_a: HeaderKey,
    /// `shared_nhkb`: NHKs of the responder.
    pub(crate) header_key_b: HeaderKey,
    /// SK of the post-quantum ratchet.
    pub(crate) post_quantum: Secret<32>,
}

/// What is bound to a message besides its header.
#[derive(Clone, Copy)]
pub(crate) struct Bound<'a> {
    /// AD of the session.
    pub(crate) associated_data: &'a [u8; 32],
    /// What stands before the session message in the same envelope: a handshake, or nothing (R-ENVELOPE-3).
    pub(crate) before: &'a [u8],
}

/// A session message as it arrives.
#[derive(Clone, Copy)]
pub(crate) struct Incoming<'a> {
    pub(crate) bound: Bound<'a>,
    pub(crate) message: &'a SessionEnvelope<'a>,
    pub(crate) now: Timestamp,
}

/// A message that authenticated.
pub(crate) struct Received {
    pub(crate) plaintext: SecretBytes,
    pub(crate) tags: TagChange,
    /// Whether an epoch of the post-quantum ratchet has ended.
    pub(crate) healed: bool,
}

/// Under which header key a tag was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chain {
    Current,
    Next,
}

/// Where a tag was found.
struct Located {
    chain: Chain,
    n: u32,
    header_key: ReadyHeaderKey,
}

impl DoubleRatchet {
    /// `RatchetInitAliceHE` (R-RATCHET-1).
    pub(crate) fn initiate(
        secrets: InitialSecrets,
        responder: &DhPublic,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, NotAuthentic> {
        let ratchet_secret = DhSecret::generate(rng);
        let dh = ratchet_secret.agree(responder).map_err(|_| NotAuthentic)?;
        let RootStep { root_key, chain_key, next_header_key } = secrets.root_key.step(&dh);
        Ok(Self {
            root_key,
            ratchet_secret,
            sending: Some(SendingChain { header_key: secrets.header_key_a, chain_key, next: 0 }),
            receiving: None,
            next_sending_header_key: next_header_key,
            next_receiving_header_key: secrets.header_key_b,
            previous_chain_len: 0,
            skipped: SkippedKeys::default(),
            post_quantum: PqRatchet::start(true, &secrets.post_quantum),
        })
    }

    /// `RatchetInitBobHE` (R-RATCHET-2); `signed_prekey` is the responder's first ratchet key.
    pub(crate) fn respond(secrets: InitialSecrets, signed_prekey: DhSecret) -> Self {
        Self {
            root_key: secrets.root_key,
            ratchet_secret: signed_prekey,
            sending: None,
            receiving: None,
            next_sending_header_key: secrets.header_key_b,
            next_receiving_header_key: secrets.header_key_a,
            previous_chain_len: 0,
            skipped: SkippedKeys::default(),
            post_quantum: PqRatchet::start(false, &secrets.post_quantum),
        }
    }

    /// `RatchetEncryptHE`: seals a content into a session message whose body has `body_len` bytes, at least two more
    /// than the content. What is left of them carries the braid, and zeros.
    ///
    /// `None`, and nothing changed, when the chain has no number left or does not exist (R-RATCHET-10).
    pub(crate) fn encrypt(
        &mut self,
        bound: Bound<'_>,
        (content, body_len): (&[u8], usize),
        rng: &mut dyn CryptoRng,
    ) -> Option<Vec<u8>> {
        let sending = self.sending.as_mut()?;
        let n = sending.next;
        let next = n.checked_add(1)?;
        let step = self.post_quantum.step()?;
        let mut body = begin_body(content, body_len)?;
        let header = Header {
            ratchet_key: *self.ratchet_secret.public(),
            previous_chain_len: self.previous_chain_len,
            position: step.position,
        };
        let (chain_key, message_key) = sending.chain_key.step();
        let message_key = message_key.combine(&step.message_key);
        self.post_quantum.take(step);
        self.post_quantum.fill(&mut Room { body: &mut body, end: body_len }, rng);
        body.resize(body_len, 0);
        let header_key = sending.header_key.ready();
        let tag = header_key.tag(n);
        let sealed_header = header_key.seal(n, &header);
        let body = message_key.seal(&bound.body_aad(&tag, &sealed_header), &SecretBytes::new(body));
        sending.chain_key = chain_key;
        sending.next = next;
        Some([&[SESSION], tag.as_bytes().as_slice(), &sealed_header, &body].concat())
    }

    /// `RatchetDecryptHE`: opens a session message. The state changes only if the body authenticates and its
    /// padding is what it must be (R-RATCHET-13).
    pub(crate) fn decrypt(
        &mut self,
        incoming: &Incoming<'_>,
        rng: &mut dyn CryptoRng,
    ) -> Result<Received, NotAuthentic> {
        let tag = incoming.message.tag;
        if let Some(key) = self.skipped.find(&tag, incoming.now) {
            let body = incoming.open(&key.message_key)?;
            let (plaintext, frames) = split_body(&body)?;
            let healed = self.post_quantum.receive(key.epoch, &frames, None)?;
            self.skipped.remove(&tag);
            let mut removed = self.skipped.expire(incoming.now);
            removed.push(tag);
            return Ok(Received { plaintext, tags: TagChange { added: Vec::new(), removed }, healed });
        }
        let located = self.locate(&tag).ok_or(NotAuthentic)?;
        match located.chain {
            Chain::Current => self.receive_in_chain(incoming, &located),
            Chain::Next => self.receive_turn(incoming, &located, rng),
        }
    }

    /// Whether the tag could be one that the peer has sent: skipped, or at most [`MAX_SKIP`] ahead.
    pub(crate) fn knows(&self, tag: &Tag) -> bool {
        self.skipped.iter().any(|key| key.tag == *tag) || self.locate(tag).is_some()
    }

    /// All tags that are expected (R-RATCHET-9): those of skipped messages and the two windows.
    pub(crate) fn tags(&self) -> Vec<Tag> {
        let skipped = self.skipped.iter().map(|key| key.tag);
        let mut tags: Vec<Tag> = skipped.collect();
        if let Some(chain) = &self.receiving {
            let header_key = chain.header_key.ready();
            tags.extend(chain.numbers(0, WINDOW).map(|n| header_key.tag(n)));
        }
        let header_key = self.next_receiving_header_key.ready();
        tags.extend((0..WINDOW).map(|n| header_key.tag(n)));
        tags
    }

    /// Drops skipped keys whose time is over.
    pub(crate) fn expire(&mut self, now: Timestamp) -> TagChange {
        TagChange { added: Vec::new(), removed: self.skipped.expire(now) }
    }

    /// Finds chain and number of a tag: both windows first, then as far as a jump may go.
    fn locate(&self, tag: &Tag) -> Option<Located> {
        let end = MAX_SKIP.saturating_add(1);
        let current = self.receiving.as_ref().map(|chain| (chain, chain.header_key.ready()));
        let find_current = |from, to| {
            let (chain, header_key) = current.as_ref()?;
            chain.numbers(from, to).find(|n| header_key.tag(*n) == *tag)
        };
        if let Some(n) = find_current(0, WINDOW) {
            let (_, header_key) = current?;
            return Some(Located { chain: Chain::Current, n, header_key });
        }
        let next = self.next_receiving_header_key.ready();
        let find_next = |from, to| (from..to).find(|n| next.tag(*n) == *tag);
        if let Some(n) = find_next(0, WINDOW) {
            return Some(Located { chain: Chain::Next, n, header_key: next });
        }
        if let Some(n) = find_current(WINDOW, end) {
            let (_, header_key) = current?;
            return Some(Located { chain: Chain::Current, n, header_key });
        }
        let n = find_next(WINDOW, end)?;
        Some(Located { chain: Chain::Next, n, header_key: next })
    }

    /// A message of the current receiving chain.
    fn receive_in_chain(
        &mut self,
        incoming: &Incoming<'_>,
        located: &Located,
    ) -> Result<Received, NotAuthentic> {
        let Located { n, header_key, .. } = located;
        let n = *n;
        let chain = self.receiving.as_mut().ok_or(NotAuthentic)?;
        let header = header_key.open(n, incoming.message.sealed_header)?;
        if header.ratchet_key != chain.ratchet_key {
            return Err(NotAuthentic);
        }
        let mut walk = self.post_quantum.walk(header.position, n.saturating_sub(chain.next))?;
        let skipped = skip(header_key, &chain.chain_key, chain.next..n, (&mut walk, incoming.now));
        let (chain_key, message_key) = skipped.chain_key.as_ref().unwrap_or(&chain.chain_key).step();
        let (epoch, post_quantum) = walk.step();
        let body = incoming.open(&message_key.combine(&post_quantum))?;
        let (plaintext, frames) = split_body(&body)?;
        let walked = walk.finish();
        let healed = self.post_quantum.receive(epoch, &frames, walked)?;

        let mut tags = TagChange::default();
        tags.pass((header_key, &incoming.message.tag), chain.next, n);
        chain.chain_key = chain_key;
        chain.next = n.saturating_add(1);
        self.store(skipped.keys, incoming.now, &mut tags);
        Ok(Received { plaintext, tags, healed })
    }

    /// The first message to arrive of the peer's next chain: `DHRatchetHE` (R-RATCHET-8).
    fn receive_turn(
        &mut self,
        incoming: &Incoming<'_>,
        located: &Located,
        rng: &mut dyn CryptoRng,
    ) -> Result<Received, NotAuthentic> {
        let Located { n, header_key, .. } = located;
        let n = *n;
        let header = header_key.open(n, incoming.message.sealed_header)?;
        let rest_len = self.rest_of_chain(header.previous_chain_len)?;
        let mut walk =
            self.post_quantum.walk(header.position, rest_len.checked_add(n).ok_or(NotAuthentic)?)?;
        let dh = self.ratchet_secret.agree(&header.ratchet_key).map_err(|_| NotAuthentic)?;
        let receiving = self.root_key.step(&dh);
        let mut rest = self.skip_rest(header.previous_chain_len, (&mut walk, incoming.now));
        let skipped = skip(header_key, &receiving.chain_key, 0..n, (&mut walk, incoming.now));
        let (chain_key, message_key) = skipped.chain_key.as_ref().unwrap_or(&receiving.chain_key).step();
        let (epoch, post_quantum) = walk.step();
        let body = incoming.open(&message_key.combine(&post_quantum))?;
        let (plaintext, frames) = split_body(&body)?;
        let walked = walk.finish();

        // The message is authentic; what follows is the answering half of the turn.
        let ratchet_secret = DhSecret::generate(rng);
        let dh = ratchet_secret.agree(&header.ratchet_key).map_err(|_| NotAuthentic)?;
        let sending = receiving.root_key.step(&dh);
        let healed = self.post_quantum.receive(epoch, &frames, walked)?;
        let mut tags = TagChange::default();
        if let Some(old) = &self.receiving {
            tags.close(&old.header_key.ready(), old.next, header.previous_chain_len);
        }
        tags.pass((header_key, &incoming.message.tag), 0, n);
        let next = receiving.next_header_key.ready();
        tags.added.extend((0..WINDOW).map(|n| next.tag(n)));

        self.previous_chain_len = self.sending.as_ref().map_or(0, |chain| chain.next);
        self.receiving = Some(ReceivingChain {
            header_key: core::mem::replace(&mut self.next_receiving_header_key, receiving.next_header_key),
            chain_key,
            next: n.saturating_add(1),
            ratchet_key: header.ratchet_key,
        });
        self.sending = Some(SendingChain {
            header_key: core::mem::replace(&mut self.next_sending_header_key, sending.next_header_key),
            chain_key: sending.chain_key,
            next: 0,
        });
        self.root_key = sending.root_key;
        self.ratchet_secret = ratchet_secret;
        rest.extend(skipped.keys);
        self.store(rest, incoming.now, &mut tags);
        Ok(Received { plaintext, tags, healed })
    }

    /// How many messages of the chain that ends are still to come; none where there is no chain.
    fn rest_of_chain(&self, previous_chain_len: u32) -> Result<u32, NotAuthentic> {
        let from = self.receiving.as_ref().map_or(0, |chain| chain.next);
        let rest = previous_chain_len.saturating_sub(from);
        if rest > MAX_SKIP {
            return Err(NotAuthentic);
        }
        Ok(if self.receiving.is_some() { rest } else { 0 })
    }

    /// `SkipMessageKeysHE(PN)` for the chain that ends; nothing to skip where there is none.
    fn skip_rest(&self, previous_chain_len: u32, at: (&mut Walk<'_>, Timestamp)) -> Vec<SkippedKey> {
        let Some(chain) = &self.receiving else { return Vec::new() };
        if chain.next >= previous_chain_len {
            return Vec::new();
        }
        skip(&chain.header_key.ready(), &chain.chain_key, chain.next..previous_chain_len, at).keys
    }

    fn store(&mut self, skipped: Vec<SkippedKey>, now: Timestamp, tags: &mut TagChange) {
        tags.removed.extend(self.skipped.expire(now));
        tags.removed.extend(self.skipped.store(skipped));
    }
}

impl ReceivingChain {
    /// The numbers `from..to` ahead of the next one. The end of the range is at most `u32::MAX`, so that no number is it and the counter never overflows.
    fn numbers(&self, from: u32, to: u32) -> impl Iterator<Item = u32> + use<> {
        self.next.saturating_add(from)..self.next.saturating_add(to)
    }
}

/// Keys passed over, and the chain key behind them; `None` while it is still the one at the start.
struct Skip {
    keys: Vec<SkippedKey>,
    chain_key: Option<ChainKey>,
}

/// `SkipMessageKeysHE`: walks a receiving chain without changing it. Stops before `numbers.end`, the message
/// at hand, whose key is never stored.
fn skip(
    header_key: &ReadyHeaderKey,
    start: &ChainKey,
    numbers: Range<u32>,
    (walk, now): (&mut Walk<'_>, Timestamp),
) -> Skip {
    let mut skip = Skip { keys: Vec::new(), chain_key: None };
    for n in numbers {
        let (next, message_key) = skip.chain_key.as_ref().unwrap_or(start).step();
        let (epoch, post_quantum) = walk.step();
        let message_key = message_key.combine(&post_quantum);
        skip.keys.push(SkippedKey { tag: header_key.tag(n), message_key, epoch, stored_at: now });
        skip.chain_key = Some(next);
    }
    skip
}

impl TagChange {
    /// Message `n` of a chain, with the tag `tag`, arrived while `next` was expected: the window moves behind `n`, and those
    /// between stay expected as skipped ones.
    fn pass(&mut self, (header_key, tag): (&ReadyHeaderKey, &Tag), next: u32, n: u32) {
        let window_end = next.saturating_add(WINDOW);
        let new_end = n.saturating_add(1).saturating_add(WINDOW);
        if n < window_end {
            self.removed.push(*tag);
        }
        self.added.extend((window_end..new_end).filter(|i| *i != n).map(|i| header_key.tag(i)));
    }

    /// A chain ended with `len` messages while `next` was expected: no window any more, and the rest of the
    /// chain is expected as skipped messages.
    fn close(&mut self, header_key: &ReadyHeaderKey, next: u32, len: u32) {
        let window_end = next.saturating_add(WINDOW);
        self.added.extend((window_end..len).map(|i| header_key.tag(i)));
        self.removed.extend((len.max(next)..window_end).map(|i| header_key.tag(i)));
    }
}

impl Bound<'_> {
    /// `CONCAT(AD, enc_header)`: AD, what stands before, tag, sealed header (R-RATCHET-7).
    fn body_aad(&self, tag: &Tag, sealed_header: &[u8]) -> Vec<u8> {
        [self.associated_data.as_slice(), self.before, tag.as_bytes(), sealed_header].concat()
    }
}

impl Incoming<'_> {
    /// Opens the body; what comes out is content, frames and zeros.
    fn open(&self, key: &MessageKey) -> Result<SecretBytes, NotAuthentic> {
        let aad = self.bound.body_aad(&self.message.tag, self.message.sealed_header);
        key.open(&aad, self.message.body)
    }
}

#[cfg(test)]
mod adversary;
#[cfg(test)]
mod tests;
