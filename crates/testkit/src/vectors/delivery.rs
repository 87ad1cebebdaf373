//! Delivery tokens: the key of an epoch, and the tokens that follow from it.

use chancery_crypto::label;
use chancery_crypto::secret::Secret;
use chancery_identity::delivery::{BLOB_TOKEN_NAME, DeliveryKey};
use chancery_identity::{DirectoryKey, OrgId};
use serde_json::json;

use super::book::{self, sample_hex};
use super::{Computation, Computed, Draft, Inputs, Kind, Plan, hex, same};

pub(super) const PLANS: &[Plan] = &[("delivery-token", tokens)];

pub(super) const KINDS: &[Kind] = &[Kind { name: "delivery-token", requirements: &["R-ID-20"], compute }];

fn tokens() -> Vec<Draft> {
    let case = |index: usize, epoch: u64, name: String| {
        let inputs = json!({
            "org_id": sample_hex("org id", 32), "directory_key": sample_hex("delivery", 32), "epoch": epoch,
            "name": name,
        });
        (format!("delivery-token-{index}"), "delivery-token", inputs)
    };
    vec![
        case(0, 1, sample_hex("mailbox", 16)),
        // The same key bytes in another epoch, another mailbox, and what blobs have.
        case(1, 65_536, sample_hex("mailbox", 16)),
        case(2, 1, sample_hex("other mailbox", 16)),
        case(3, 1, hex(&BLOB_TOKEN_NAME)),
    ]
}

fn compute(inputs: &Inputs<'_>) -> Computation {
    let (org, epoch) = (inputs.array::<32>("org_id")?, inputs.number("epoch")?);
    let (directory_key, name) = (inputs.array::<32>("directory_key")?, inputs.array::<16>("name")?);
    let theirs = book::derive(label::KDF_DELIVERY, &org, &[&directory_key], &epoch.to_be_bytes(), 32);
    let token = &book::mac(label::MAC_DELIVERY, &theirs, &name)[..16];
    let directory = DirectoryKey::new(epoch, Secret::from_bytes(directory_key)).ok_or("epoch: none")?;
    let ours = DeliveryKey::of(&OrgId::new(org), &directory);
    same("delivery_key", ours.secret().expose(), &theirs)?;
    same("token", &ours.token(&name), token)?;
    let mut computed = Computed::default();
    computed.via("delivery_key", &theirs);
    computed.out("token", token);
    Ok(computed)
}
