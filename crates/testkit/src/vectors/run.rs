//! Runs of the ratchet and single session messages.
//!
//! Envelopes come from the sessions themselves; secrets on the way are computed again from the document, out of the
//! stored records.

use chancery_core::{BUCKETS, SESSION_MESSAGE_OVERHEAD, Session};
use chancery_crypto::aead::OneTimeKey;
use chancery_crypto::label;
use chancery_crypto::secret::Secret;
use chancery_crypto::x25519::DhSecret;
use chancery_wire::proto::SessionRecord;
use chancery_wire::{Limit, Timestamp, decode};
use serde_json::{Value, json};

use super::book::{self, Draws, sample_hex};
use super::braid::{self, Frame};
use super::{Computation, Computed, Draft, Inputs, Kind, Plan, hex, same};
use crate::company::{Company, NOW};

pub(super) const PLANS: &[Plan] =
    &[("ratchet-run", ratchet_run), ("braid-epochs", braid_epochs), ("session-envelope", session_envelope)];

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "ratchet-run",
        requirements: &[
            "R-RATCHET-3",
            "R-RATCHET-4",
            "R-RATCHET-8",
            "R-RATCHET-9",
            "R-RATCHET-13",
            "R-RATCHET-14",
            "R-RATCHET-17",
            "R-RATCHET-18",
            "R-RATCHET-19",
            "R-RATCHET-20",
        ],
        compute: compute_run,
    },
    Kind {
        name: "braid-epochs",
        requirements: &[
            "R-BRAID-1",
            "R-BRAID-2",
            "R-BRAID-3",
            "R-BRAID-4",
            "R-BRAID-5",
            "R-BRAID-6",
            "R-BRAID-7",
            "R-RATCHET-17",
        ],
        compute: compute_epochs,
    },
    Kind {
        name: "session-envelope",
        requirements: &[
            "R-ENVELOPE-2",
            "R-ENVELOPE-4",
            "R-ENVELOPE-5",
            "R-RATCHET-5",
            "R-RATCHET-6",
            "R-RATCHET-7",
            "R-RATCHET-18",
            "R-RATCHET-20",
            "R-BRAID-2",
        ],
        compute: compute_envelope,
    },
];

/// Both sides of a session after its first message.
fn records() -> (String, String) {
    let mut draws = Draws::new([5; 32]);
    let (alice, bob, _) = Company::found(1).two_sessions(draws.rng());
    (hex(alice.to_bytes().expose()), hex(bob.to_bytes().expose()))
}

fn ratchet_run() -> Vec<Draft> {
    let (initiator, responder) = records();
    let run = |id: &str, steps: &str| {
        let steps: Vec<&str> = steps.split(", ").collect();
        let inputs = json!({
            "initiator": initiator, "responder": responder, "steps": steps,
            "now": NOW.as_millis(), "rng_seed": sample_hex(id, 32),
        });
        (format!("ratchet-run-{id}"), "ratchet-run", inputs)
    };
    vec![
        run("in-order", "i send one, r receive 0, r send two, i receive 1, i send three, r receive 2"),
        run(
            "turns",
            "r send a, i receive 0, i send b, r receive 1, r send c, i receive 2, i send d, \
             r receive 3, r send e, i receive 4, i send f, r receive 5, r send g, i receive 6, \
             i send h, r receive 7",
        ),
        run(
            "loss-and-reordering",
            "i send a0, i send a1, i send a2, i send a3, r receive 3, r receive 1, r send b0, \
             r send b1, i receive 5, i send a4, r receive 6, r receive 0, i receive 4, \
             r receive 1, r receive 2",
        ),
        run(
            "both-at-once",
            "i send a0, r send b0, r receive 0, i receive 1, r send b1, i send a1, i receive 2, \
             r receive 3, r receive 0",
        ),
    ]
}

/// Two runs that end two epochs each. In the first a third of all messages is lost and the others overtake each other: in
/// each turn three are sent, of which the last arrives first, the first after it, and the second never. In the second
/// nothing is lost, but the initiator's messages leave room for four codewords only, so that every state comes up.
fn braid_epochs() -> Vec<Draft> {
    let (initiator, responder) = records();
    let draft = |id: &str, steps: Vec<String>| {
        let inputs = json!({
            "initiator": initiator, "responder": responder, "steps": steps,
            "now": NOW.as_millis(), "rng_seed": sample_hex(id, 32),
        });
        (format!("braid-epochs-{id}"), "braid-epochs", inputs)
    };
    let sides = |turn: usize| if turn.is_multiple_of(2) { ("r", "i") } else { ("i", "r") };
    let mut loss = Vec::new();
    for turn in 0..13 {
        let ((from, to), sent) = (sides(turn), 3 * turn);
        loss.extend(
            (sent..sent + 3).map(|number| format!("{from} send message {number} of a run with loss")),
        );
        loss.extend([sent + 2, sent].map(|number| format!("{to} receive {number}")));
    }
    let mut narrow = Vec::new();
    for turn in 0..46 {
        let (from, to) = sides(turn);
        let length = if from == "i" { 280 } else { 40 };
        narrow.push(format!("{from} send {}", "x".repeat(length)));
        narrow.push(format!("{to} receive {turn}"));
    }
    vec![draft("with-loss", loss), draft("in-narrow-messages", narrow)]
}

fn session(inputs: &Inputs<'_>, name: &str) -> Result<Session, String> {
    Session::from_bytes(&inputs.bytes(name)?).map_err(|e| format!("inputs.{name}: {e}"))
}

pub(super) fn read(record: &[u8]) -> Result<SessionRecord, String> {
    Ok(decode::<SessionRecord>(record, Limit::RECORD).map_err(|e| e.to_string())?.into_unchecked())
}

/// What a run shows of each step.
struct Shown {
    results: Vec<Value>,
    braid: Vec<Value>,
    records: Vec<Value>,
    sides: [Session; 2],
}

fn run(inputs: &Inputs<'_>) -> Result<Shown, String> {
    let mut shown = Shown {
        results: Vec::new(),
        braid: Vec::new(),
        records: Vec::new(),
        sides: [session(inputs, "initiator")?, session(inputs, "responder")?],
    };
    let now = Timestamp::from_millis(inputs.number("now")?);
    let mut draws = Draws::new(inputs.array("rng_seed")?);
    let steps = inputs.0.get("steps").and_then(Value::as_array).ok_or("inputs.steps: no list")?;
    let mut sent: Vec<(Vec<u8>, Vec<Frame>)> = Vec::new();
    for step in steps {
        let words: Vec<&str> = step.as_str().ok_or("inputs.steps: no text")?.splitn(3, ' ').collect();
        let [who, what, which] = words.as_slice() else { return Err("inputs.steps: three words".into()) };
        let side = match *who {
            "i" => &mut shown.sides[0],
            "r" => &mut shown.sides[1],
            _ => return Err("inputs.steps: i or r".into()),
        };
        let before = side.to_bytes();
        let frames = match *what {
            "send" => {
                let envelope = side.encrypt(which.as_bytes(), draws.rng()).map_err(|e| e.to_string())?;
                let message = Sent::compute(before.expose(), &envelope)?;
                same("content", &message.content, which.as_bytes())?;
                braid::check_frames(side.to_bytes().expose(), &message.frames)?;
                shown.results.push(json!({ "envelope": hex(&envelope), "sending": message.shown() }));
                sent.push((envelope, message.frames.clone()));
                message.frames
            }
            "receive" => {
                let envelope = which.parse().ok().and_then(|which: usize| sent.get(which));
                let (envelope, frames) = envelope.ok_or("inputs.steps: no such envelope")?;
                shown.results.push(match side.decrypt(envelope, now, draws.rng()) {
                    Ok(decrypted) => json!({ "plaintext": hex(decrypted.plaintext.expose()) }),
                    Err(error) => {
                        same("state after a refusal", before.expose(), side.to_bytes().expose())?;
                        json!({ "error": error.to_string() })
                    }
                });
                frames.clone()
            }
            _ => return Err("inputs.steps: send or receive".into()),
        };
        let after = side.to_bytes();
        shown.braid.push(braid::step(&read(before.expose())?, &read(after.expose())?, &frames)?);
        shown.records.push(json!(hex(after.expose())));
    }
    Ok(shown)
}

fn compute_run(inputs: &Inputs<'_>) -> Computation {
    let shown = run(inputs)?;
    let mut computed = Computed::default();
    computed.via("braid_at_each_step", Value::Array(shown.braid));
    computed.via("records_after_each_step", Value::Array(shown.records));
    computed.out("results", Value::Array(shown.results));
    Ok(computed)
}

fn compute_epochs(inputs: &Inputs<'_>) -> Computation {
    let shown = run(inputs)?;
    let mut computed = Computed::default();
    computed.via("braid_at_each_step", Value::Array(shown.braid));
    computed.out("results", Value::Array(shown.results));
    let [initiator, responder] = shown.sides;
    computed.out("initiator_after", initiator.to_bytes().expose());
    computed.out("responder_after", responder.to_bytes().expose());
    Ok(computed)
}

/// A session message and all that it was made of, computed from the record before it.
struct Sent {
    before: SessionRecord,
    tag: Vec<u8>,
    single_header_key: [u8; 32],
    header: Vec<u8>,
    message_key: [u8; 32],
    next_chain_key: [u8; 32],
    position: (u32, u32),
    pq_message_key: [u8; 32],
    next_pq_chain_key: [u8; 32],
    combined_key: Vec<u8>,
    associated_data: Vec<u8>,
    content: Vec<u8>,
    frames: Vec<Frame>,
}

impl Sent {
    fn compute(record: &[u8], envelope: &[u8]) -> Result<Self, String> {
        let before = read(record)?;
        let chain = before.sending.clone().ok_or("no sending chain")?;
        let number = chain.next.to_be_bytes();
        let tag = book::mac(label::KDF_TAG, &chain.header_key, &number)[..16].to_vec();
        same("tag", &tag, envelope.get(1..17).unwrap_or_default())?;

        let pq =
            before.post_quantum.as_ref().and_then(|it| it.sending.clone()).ok_or("no post-quantum chain")?;
        let index = pq.last.checked_add(1).ok_or("the index is used up")?;
        let secret = Secret::from_slice(&before.ratchet_secret).ok_or("ratchet secret: not 32 bytes")?;
        let mut header = DhSecret::from_secret(secret).public().as_bytes().to_vec();
        for field in [before.previous_chain_len, pq.epoch, index] {
            header.extend(field.to_be_bytes());
        }
        let single_header_key = book::mac(label::KDF_HEADER, &chain.header_key, &number);
        let sealed = book::seal(&single_header_key, b"", &header)?;
        same("sealed header", &sealed, envelope.get(17..77).unwrap_or_default())?;

        let message_key = book::mac(label::KDF_MESSAGE, &chain.chain_key, b"");
        let pq_message_key = book::mac(label::KDF_PQ_MESSAGE, &pq.chain_key, &index.to_be_bytes());
        let triple = book::label("kdf triple ratchet message")?;
        let combined_key = book::derive(triple, &pq_message_key, &[&message_key], b"", 32);
        let associated_data = [before.associated_data.as_slice(), &tag, &sealed].concat();
        let key = OneTimeKey::new(Secret::from_slice(&combined_key).ok_or("32 bytes")?);
        let body = key.open(&associated_data, envelope.get(77..).unwrap_or_default());
        let body = body.map_err(|_| "the combined key does not open the body")?;
        let (length, rest) = body.expose().split_first_chunk::<2>().ok_or("body: too short")?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (content, padding) = rest.split_at_checked(length).ok_or("body: too short")?;
        Ok(Self {
            tag,
            single_header_key,
            header,
            message_key,
            next_chain_key: book::mac(label::KDF_CHAIN, &chain.chain_key, b""),
            position: (pq.epoch, index),
            pq_message_key,
            next_pq_chain_key: book::mac(label::KDF_PQ_CHAIN, &pq.chain_key, &index.to_be_bytes()),
            combined_key,
            associated_data,
            content: content.to_vec(),
            frames: braid::frames(padding)?,
            before,
        })
    }

    fn shown(&self) -> Value {
        let chain = self.before.sending.clone().unwrap_or_default();
        let pq = self.before.post_quantum.clone().and_then(|it| it.sending).unwrap_or_default();
        json!({
            "number": chain.next, "previous_chain_len": self.before.previous_chain_len,
            "header_key": hex(&chain.header_key), "chain_key": hex(&chain.chain_key),
            "ratchet_public_key": hex(&self.header[..32]), "tag": hex(&self.tag),
            "single_use_header_key": hex(&self.single_header_key), "header": hex(&self.header),
            "classical_message_key": hex(&self.message_key), "next_chain_key": hex(&self.next_chain_key),
            "epoch": self.position.0, "index": self.position.1,
            "post_quantum_chain_key": hex(&pq.chain_key),
            "post_quantum_message_key": hex(&self.pq_message_key),
            "next_post_quantum_chain_key": hex(&self.next_pq_chain_key),
            "message_key": hex(&self.combined_key),
            "frames": self.frames.iter().map(Frame::shown).collect::<Vec<_>>(),
        })
    }
}

fn session_envelope() -> Vec<Draft> {
    let (initiator, responder) = records();
    let draft = |id: &str, record: &str, content: Vec<u8>| {
        let inputs = json!({ "record": record, "content": hex(&content), "rng_seed": sample_hex(id, 32) });
        (format!("session-envelope-{id}"), "session-envelope", inputs)
    };
    vec![
        draft("initiator", &initiator, b"vector".to_vec()),
        draft("responder", &responder, b"vector".to_vec()),
        draft("empty", &initiator, Vec::new()),
        draft("fills-its-bucket", &initiator, vec![b'x'; BUCKETS[0] - SESSION_MESSAGE_OVERHEAD]),
        draft("one-more", &initiator, vec![b'x'; BUCKETS[0] - SESSION_MESSAGE_OVERHEAD + 1]),
    ]
}

fn compute_envelope(inputs: &Inputs<'_>) -> Computation {
    let (record, content) = (inputs.bytes("record")?, inputs.bytes("content")?);
    let mut session = session(inputs, "record")?;
    let mut draws = Draws::new(inputs.array("rng_seed")?);
    let envelope = session.encrypt(&content, draws.rng()).map_err(|e| e.to_string())?;
    let message = Sent::compute(&record, &envelope)?;
    same("content", &message.content, &content)?;
    braid::check_frames(session.to_bytes().expose(), &message.frames)?;
    // Sealed again, from what was found inside.
    let length = u16::try_from(content.len()).map_err(|e| e.to_string())?.to_be_bytes();
    let mut body = [&length, content.as_slice()].concat();
    message.frames.iter().for_each(|frame| body.extend(frame.encode()));
    body.resize(envelope.len() - 77 - 16, 0);
    let sealed = book::seal(&message.combined_key, &message.associated_data, &body)?;
    same("sealed body", &sealed, &envelope[77..])?;
    let mut computed = Computed::default();
    computed.via("sending", message.shown());
    computed.via("associated_data", &message.associated_data);
    computed.via("body", &body);
    computed.out("envelope", &envelope);
    computed.out("record_after", session.to_bytes().expose());
    Ok(computed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_runs_show_every_state_of_the_braid_and_end_two_epochs() {
        let mut states = BTreeSet::new();
        for (id, _, inputs) in braid_epochs() {
            let computed = compute_epochs(&Inputs(inputs.as_object().unwrap())).unwrap();
            let steps = computed.intermediates["braid_at_each_step"].as_array().unwrap();
            states.extend(steps.iter().map(|step| step["state"][1].as_str().unwrap().to_owned()));
            assert!(steps[steps.len() - 4..].iter().all(|step| step["epoch"][1] == 3), "{id}");
            let results = computed.outputs["results"].as_array().unwrap();
            assert!(results.iter().all(|result| result["error"].is_null()), "{id}: a message was refused");
        }
        assert_eq!(states.len(), 10, "{states:?}");
    }
}
