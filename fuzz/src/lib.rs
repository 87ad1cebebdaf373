//! Fuzz targets: one function for every decoder of bytes that somebody else made.
//!
//! ```
//! chancery_fuzz::invitation_link(b"chancery:AAAA");
//! ```
//!
//! Each function takes any bytes and must come back: it panics when a promise is broken. The programs in
//! `fuzz/targets` hand them to libFuzzer (`.ci/fuzz`); `cargo test` runs them on the committed corpora.
//!
//! Where random bytes would not get past a signature or a tag, the first byte chooses: 0 takes the rest as it
//! is, anything else as a list of changes to a sound message, three bytes each, place and what to flip.
//!
//! What this crate does not do: it has no target for what only the own processes write (configuration, logs).
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::missing_panics_doc,
    reason = "a panic is how a target reports what it found"
)]

use std::sync::LazyLock;

use chancery_crypto::rng::seeded;
use chancery_testkit::company::Company;

mod devices;
mod groups;
mod identity;
mod local;
mod log;
mod messages;
mod seeds;
mod wire;

pub use devices::{device_order, five_devices, heal, link_request};
pub use groups::{
    group_commit, group_hand_out, group_message, group_order, group_slot, group_snapshot_welcome, group_world,
};
pub use identity::{
    credential, directory_entry, directory_key_update, directory_sealed, enrolment_answer, enrolment_request,
    invitation_link, organisation, prekey_bundle, prekey_upload, relay_record, root_share,
};
pub use local::{merkle, sealed_file, session_record, stored_keys, stream, wrapped_key};
pub use log::{checkpoint, fork_proof, log_entry};
pub use messages::{content, envelope, initial_envelope, session_message, two_devices};
pub use seeds::seeds;
pub use wire::{client_frame, relay_frame};

/// A target's name and function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target; `fuzz/targets` has a program for each.
pub const TARGETS: &[Target] = &[
    ("checkpoint", checkpoint),
    ("client_frame", client_frame),
    ("content", content),
    ("credential", credential),
    ("device_order", device_order),
    ("directory_entry", directory_entry),
    ("directory_key_update", directory_key_update),
    ("directory_sealed", directory_sealed),
    ("enrolment_answer", enrolment_answer),
    ("enrolment_request", enrolment_request),
    ("envelope", envelope),
    ("five_devices", five_devices),
    ("fork_proof", fork_proof),
    ("group_commit", group_commit),
    ("group_hand_out", group_hand_out),
    ("group_message", group_message),
    ("group_order", group_order),
    ("group_slot", group_slot),
    ("group_snapshot_welcome", group_snapshot_welcome),
    ("group_world", group_world),
    ("heal", heal),
    ("initial_envelope", initial_envelope),
    ("invitation_link", invitation_link),
    ("link_request", link_request),
    ("log_entry", log_entry),
    ("merkle", merkle),
    ("organisation", organisation),
    ("prekey_bundle", prekey_bundle),
    ("prekey_upload", prekey_upload),
    ("relay_frame", relay_frame),
    ("relay_record", relay_record),
    ("root_share", root_share),
    ("sealed_file", sealed_file),
    ("session_message", session_message),
    ("session_record", session_record),
    ("stored_keys", stored_keys),
    ("stream", stream),
    ("two_devices", two_devices),
    ("wrapped_key", wrapped_key),
];

static COMPANY: LazyLock<Company> = LazyLock::new(|| Company::found(1));

/// What a target tries: the input itself, or a changed copy of something sound.
struct Tried {
    bytes: Vec<u8>,
    /// Whether it is still the sound one, byte for byte.
    sound: bool,
}

fn tried(sound: &[u8], data: &[u8]) -> Tried {
    let (mode, rest) = data.split_first().unwrap_or((&1, &[]));
    let bytes = if *mode == 0 { rest.to_vec() } else { patched(sound, rest) };
    Tried { sound: bytes == sound, bytes }
}

/// Changes a copy of `sound`: three bytes each name a place (from the front, or above 0x8000 from the end)
/// and what to flip; flipping nothing cuts there.
fn patched(sound: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    for [high, low, flip] in changes.as_chunks::<3>().0 {
        let place = usize::from(u16::from_be_bytes([*high & 0x7F, *low]));
        let Some(last) = bytes.len().checked_sub(1) else { break };
        let place = if *high & 0x80 == 0 { place.min(last) } else { last.saturating_sub(place) };
        if *flip == 0 {
            bytes.truncate(place);
        } else {
            bytes[place] ^= flip;
        }
    }
    bytes
}

fn rng() -> impl chancery_crypto::rng::CryptoRng + Send {
    seeded([9; 32])
}
