//! The braid, step by step: what a side held, what came in or went out, what it computed.
//!
//! Everything is computed again from the stored records before and after a step, and compared with them.

use chancery_crypto::kem_incremental::{Encapsulation, IncrementalSecret, KemHeader, KemVector};
use chancery_crypto::label;
use chancery_crypto::secret::Secret;
use chancery_wire::proto::{self, SessionRecord};
use serde_json::{Map, Value, json};

use super::erasure::{CODEWORD, codeword, rebuild};
use super::{book, hex, same};

/// The states by their stored numbers.
const STATES: [&str; 10] = [
    "KeysUnsampled",
    "KeysSampled",
    "HeaderSent",
    "Ct1Received",
    "EkSentCt1Received",
    "NoHeaderReceived",
    "HeaderReceived",
    "Ct1Sampled",
    "Ct1Acknowledged",
    "Ct2Sampled",
];

const HEADER: u8 = 1;
const VECTOR: u8 = 2;
const CT1: u8 = 3;
const CT2: u8 = 4;
const VECTOR_AND_ACKNOWLEDGEMENT: u8 = 5;

/// A frame in clear (R-BRAID-2).
#[derive(Clone)]
pub(super) struct Frame {
    kind: u8,
    first: u16,
    codewords: Vec<[u8; CODEWORD]>,
}

impl Frame {
    pub(super) fn shown(&self) -> Value {
        let codewords: Vec<String> = self.codewords.iter().map(|codeword| hex(codeword)).collect();
        json!({ "kind": self.kind, "first_index": self.first, "codewords": codewords })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.kind, u8::try_from(self.codewords.len()).unwrap_or(u8::MAX)];
        bytes.extend(self.first.to_be_bytes());
        bytes.extend(self.codewords.as_flattened());
        bytes
    }

    fn entries(&self) -> impl Iterator<Item = (u16, [u8; CODEWORD])> + '_ {
        (self.first..).zip(self.codewords.iter().copied())
    }
}

/// Reads the frames of a padding.
pub(super) fn frames(mut padding: &[u8]) -> Result<Vec<Frame>, String> {
    let mut frames = Vec::new();
    while let Some([kind, count, a, b]) = padding.first_chunk().filter(|head| head[0] != 0) {
        let end = 4 + usize::from(*count) * CODEWORD;
        let bytes = padding.get(4..end).ok_or("padding: a frame is cut")?;
        let (codewords, _) = bytes.as_chunks();
        let first = u16::from_be_bytes([*a, *b]);
        frames.push(Frame { kind: *kind, first, codewords: codewords.to_vec() });
        padding = &padding[end..];
    }
    padding.iter().all(|byte| *byte == 0).then_some(frames).ok_or_else(|| "padding: not zero".into())
}

fn parts(record: &SessionRecord) -> Result<(&proto::PostQuantum, &proto::Braid, u32), String> {
    let pq = record.post_quantum.as_ref().ok_or("record: no post-quantum state")?;
    let epoch = pq.sending.as_ref().ok_or("record: no post-quantum chain")?.epoch;
    Ok((pq, pq.braid.as_ref().ok_or("record: no braid")?, epoch + 1))
}

/// Compares the codewords of a message with the values in the record after it.
pub(super) fn check_frames(record: &[u8], frames: &[Frame]) -> Result<(), String> {
    let record = super::run::read(record)?;
    let (_, braid, _) = parts(&record)?;
    for frame in frames {
        let out = match frame.kind {
            HEADER => &braid.header_out,
            VECTOR | VECTOR_AND_ACKNOWLEDGEMENT => &braid.vector_out,
            CT1 => &braid.ct1_out,
            _ => &braid.ct2_out,
        };
        let out = out.as_ref().ok_or("a frame of a value that is not going out")?;
        for (index, sent) in frame.entries() {
            same(&format!("codeword {index}"), &sent, &codeword(&out.value, index))?;
        }
    }
    Ok(())
}

/// The value of `k` blocks, once the entries at hand and those of the frames suffice.
fn gather(k: u16, held: &[u8], frames: &[Frame], kinds: &[u8]) -> Option<Vec<u8>> {
    let (entries, _) = held.as_chunks::<{ 2 + CODEWORD }>();
    let held = entries.iter().filter_map(|entry| {
        let (index, codeword) = entry.split_first_chunk::<2>()?;
        Some((u16::from_be_bytes(*index), codeword.try_into().ok()?))
    });
    let new = frames.iter().filter(|frame| kinds.contains(&frame.kind)).flat_map(Frame::entries);
    rebuild(k, &held.chain(new).collect::<Vec<_>>())
}

/// The indices of the codewords at hand.
fn indices(held: &[u8]) -> Vec<u16> {
    let (entries, _) = held.as_chunks::<{ 2 + CODEWORD }>();
    entries.iter().map(|entry| u16::from_be_bytes([entry[0], entry[1]])).collect()
}

/// Shows a step: states, codewords at hand, and every value that came into being, each compared with the record.
pub(super) fn step(before: &SessionRecord, after: &SessionRecord, frames: &[Frame]) -> Result<Value, String> {
    let ((_, old, epoch), (_, new, next)) = (parts(before)?, parts(after)?);
    let mut shown = Map::new();
    let name = |braid: &proto::Braid| STATES.get(braid.state as usize).copied().unwrap_or("unknown");
    shown.insert("epoch".into(), json!([epoch, next]));
    shown.insert("state".into(), json!([name(old), name(new)]));
    let held =
        [("header", &new.header_in), ("vector", &new.vector_in), ("ct1", &new.ct1_in), ("ct2", &new.ct2_in)];
    for (what, held) in held.into_iter().filter(|(_, held)| !held.is_empty()) {
        shown.insert(format!("{what}_codewords_held"), json!(indices(held)));
    }
    let mut show = |name: &str, bytes: &[u8]| drop(shown.insert(name.to_owned(), hex(bytes).into()));
    match (old.state, new.state) {
        (0, 1) => key_pair(old, new, epoch, &mut show)?,
        (5, 6) => header(old, new, (epoch, frames), &mut show)?,
        (6, 7) => encapsulation(before, after, &mut show)?,
        (7 | 8, 9) => ciphertext(old, new, (epoch, frames), &mut show)?,
        (3 | 4, 5) => agreement(before, after, frames, &mut show)?,
        _ => {}
    }
    if !new.vector.is_empty() && old.vector.is_empty() {
        let whole = gather(36, &old.vector_in, frames, &[VECTOR, VECTOR_AND_ACKNOWLEDGEMENT]);
        same("vector", &whole.ok_or("the vector is not complete")?, &new.vector)?;
        show("vector", &new.vector);
    }
    if !new.ct1.is_empty() && old.ct1.is_empty() && new.state == 3 {
        let whole = gather(30, &old.ct1_in, frames, &[CT1]).ok_or("ct1 is not complete")?;
        same("ct1", &whole, &new.ct1)?;
        show("ct1", &whole);
    }
    Ok(Value::Object(shown))
}

type Show<'a> = &'a mut dyn FnMut(&str, &[u8]);

/// KeysUnsampled → KeysSampled.
fn key_pair(old: &proto::Braid, new: &proto::Braid, epoch: u32, show: Show<'_>) -> Result<(), String> {
    let secret = IncrementalSecret::from_seed(Secret::from_slice(&new.secret).ok_or("seed: not 64 bytes")?);
    let (header, vector) = secret.public();
    let mac = header_mac(old, epoch, header.as_bytes());
    let out = |out: &Option<proto::BraidOutgoing>| out.clone().unwrap_or_default().value;
    same("header", &[header.as_bytes().as_slice(), &mac].concat(), &out(&new.header_out))?;
    same("vector", vector.as_bytes(), &out(&new.vector_out))?;
    show("seed", &new.secret);
    show("authenticator", &old.authenticator);
    show("header", header.as_bytes());
    show("header_mac", &mac);
    show("vector", vector.as_bytes());
    Ok(())
}

fn header_mac(braid: &proto::Braid, epoch: u32, header: &[u8]) -> [u8; 32] {
    let message = [&epoch.to_be_bytes(), header].concat();
    book::mac(label::MAC_BRAID_HEADER, braid.authenticator.get(32..).unwrap_or_default(), &message)
}

/// NoHeaderReceived → HeaderReceived.
fn header(
    old: &proto::Braid,
    new: &proto::Braid,
    (epoch, frames): (u32, &[Frame]),
    show: Show<'_>,
) -> Result<(), String> {
    let whole = gather(3, &old.header_in, frames, &[HEADER]).ok_or("the header is not complete")?;
    let (header, mac) = whole.split_at(64);
    same("header", header, &new.header)?;
    same("header MAC", mac, &header_mac(old, epoch, header))?;
    show("authenticator", &old.authenticator);
    show("header", header);
    show("header_mac", mac);
    Ok(())
}

/// HeaderReceived → Ct1Sampled: coins are drawn, and the epoch's secret is known here.
fn encapsulation(before: &SessionRecord, after: &SessionRecord, show: Show<'_>) -> Result<(), String> {
    let ((_, old, epoch), (_, new, _)) = (parts(before)?, parts(after)?);
    let coins = Secret::from_slice(&new.secret).ok_or("coins: not 32 bytes")?;
    let header = KemHeader::from_bytes(&old.header).ok_or("header: not 64 bytes")?;
    let (ct1, shared) = Encapsulation::from_parts(coins, header).first().map_err(|e| e.to_string())?;
    same("ct1", ct1.as_slice(), &new.ct1_out.clone().unwrap_or_default().value)?;
    show("coins", &new.secret);
    show("ct1", ct1.as_slice());
    mix((before, after, epoch), shared.expose(), show)
}

/// Ct1Sampled or Ct1Acknowledged → Ct2Sampled: the vector is there and ct1 acknowledged.
fn ciphertext(
    old: &proto::Braid,
    new: &proto::Braid,
    (epoch, frames): (u32, &[Frame]),
    show: Show<'_>,
) -> Result<(), String> {
    let kinds = [VECTOR, VECTOR_AND_ACKNOWLEDGEMENT];
    let whole = Some(old.vector.clone()).filter(|it| !it.is_empty());
    let whole = whole.or_else(|| gather(36, &old.vector_in, frames, &kinds));
    let whole = whole.ok_or("the vector is not complete")?;
    let coins = Secret::from_slice(&old.secret).ok_or("coins: not 32 bytes")?;
    let header = KemHeader::from_bytes(&old.header).ok_or("header: not 64 bytes")?;
    let encapsulation = Encapsulation::from_parts(coins, header);
    let vector = KemVector::from_bytes(&header, &whole).map_err(|e| e.to_string())?;
    let (ct1, _) = encapsulation.first().map_err(|e| e.to_string())?;
    let ct2 = encapsulation.second(&vector).map_err(|e| e.to_string())?;
    let mac = ciphertext_mac(&old.authenticator, epoch, &[ct1.as_slice(), ct2.as_slice()].concat());
    let out = new.ct2_out.clone().unwrap_or_default().value;
    same("ct2", &[ct2.as_slice(), &mac].concat(), &out)?;
    show("vector", &whole);
    show("ct2", ct2.as_slice());
    show("ciphertext_mac", &mac);
    Ok(())
}

fn ciphertext_mac(authenticator: &[u8], epoch: u32, ciphertext: &[u8]) -> [u8; 32] {
    let message = [&epoch.to_be_bytes(), ciphertext].concat();
    book::mac(label::MAC_BRAID_CIPHERTEXT, authenticator.get(32..).unwrap_or_default(), &message)
}

/// Ct1Received or EkSentCt1Received → the next epoch: ct2 is complete, and the secret is known on both sides.
fn agreement(
    before: &SessionRecord,
    after: &SessionRecord,
    frames: &[Frame],
    show: Show<'_>,
) -> Result<(), String> {
    let ((_, old, epoch), (_, new, _)) = (parts(before)?, parts(after)?);
    let whole = gather(5, &old.ct2_in, frames, &[CT2]).ok_or("ct2 is not complete")?;
    let (ct2, mac) = whole.split_at(128);
    let seed = Secret::from_slice(&old.secret).ok_or("seed: not 64 bytes")?;
    let shared = IncrementalSecret::from_seed(seed).decapsulate(&old.ct1, ct2).map_err(|e| e.to_string())?;
    let ciphertext = [old.ct1.as_slice(), ct2].concat();
    same("ciphertext MAC", mac, &ciphertext_mac(&new.authenticator, epoch, &ciphertext))?;
    show("ct2", ct2);
    show("ciphertext_mac", mac);
    mix((before, after, epoch), shared.expose(), show)
}

/// What follows from the KEM's shared secret: the epoch's secret, the next authenticator, root and chains.
fn mix(
    (before, after, epoch): (&SessionRecord, &SessionRecord, u32),
    shared: &[u8],
    show: Show<'_>,
) -> Result<(), String> {
    let ((pq, old, _), (pq_after, new, _)) = (parts(before)?, parts(after)?);
    let context = epoch.to_be_bytes();
    let secret = book::derive(label::KDF_BRAID_EPOCH, &[0; 32], &[shared], &context, 32);
    let root = old.authenticator.get(..32).ok_or("authenticator: too short")?;
    let authenticator = book::derive(label::KDF_BRAID_AUTHENTICATOR, root, &[&secret], &context, 64);
    same("authenticator", &authenticator, &new.authenticator)?;
    let chains = book::derive(label::KDF_PQ_ROOT, &pq.root_key, &[&secret], &context, 96);
    same("RK_pq", &chains[..32], &pq_after.root_key)?;
    show("kem_secret", shared);
    show("epoch_secret", &secret);
    show("authenticator", &old.authenticator);
    show("next_authenticator", &authenticator);
    show("next_post_quantum_root_key", &chains[..32]);
    show("chain_key_of_initiator", &chains[32..64]);
    show("chain_key_of_responder", &chains[64..]);
    Ok(())
}
