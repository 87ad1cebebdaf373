//! What goes with a commit over sessions.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use chancery_crypto::hash::sha256;
use chancery_crypto::rng::{CryptoRng, random_bytes};
use chancery_group::{BuiltCommit, Slot};
use chancery_identity::DeviceId;
use chancery_wire::proto::GroupFile;
use chancery_wire::proto::group_control::Control;

/// Welcomes for who is added or helped on, and paths for who needs them; long rosters and trees become files.
pub(super) fn contents(
    built: &BuiltCommit<'_>,
    (from, as_files, helped): (DeviceId, bool, Option<Slot>),
    files: &mut BTreeMap<Vec<u8>, Vec<u8>>,
    rng: &mut dyn CryptoRng,
) -> Vec<(DeviceId, DeviceId, Control)> {
    let mut file = |content: Vec<u8>| {
        let name = sha256(&[&content, &random_bytes::<8>(rng)])[..16].to_vec();
        let file = GroupFile { blob_id: name.clone(), key: [1; 32].to_vec(), size: content.len() as u64 };
        files.insert(name, content);
        file
    };
    let device = |slot: Slot| built.roster().get(slot).unwrap().unwrap();
    let mut contents = Vec::new();
    for slot in built.outcome().added.iter().chain(&helped) {
        let snapshot = as_files.then(|| file(built.snapshot().unwrap()));
        let is_keyholder = device(*slot).role.is_keyholder();
        let tree = is_keyholder.then(|| file(built.tree().unwrap().expose().to_vec()));
        let welcome = built.welcome(*slot, snapshot, tree).unwrap();
        contents.push((from, device(*slot).device, Control::Welcome(welcome)));
    }
    for slot in built.paths() {
        let is_keyholder = device(slot).role.is_keyholder();
        let tree = is_keyholder.then(|| file(built.tree().unwrap().expose().to_vec()));
        contents.push((from, device(slot).device, Control::Path(built.path(slot, tree).unwrap())));
    }
    contents
}
