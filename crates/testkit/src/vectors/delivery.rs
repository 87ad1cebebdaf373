//! Delivery tokens: the key of an epoch, and the tokens that follow from it.

use chancery_crypto::label;
use chancery_crypto::secret::Secret;
use chancery_identity::delivery::{BLOB_TOKEN_NAME, DeliveryKey, Use};
use chancery_identity::{DirectoryKey, OrgId};
use serde_json::json;

use super::book::{self, sample_hex};
use super::{Computation, Computed, Draft, Inputs, Kind, Plan, hex, same};

pub(super) const PLANS: &[Plan] = &[("delivery-token", tokens)];

pub(super) const KINDS: &[Kind] = &[Kind { name: "delivery-token", requirements: &["R-ID-20"], compute }];

fn tokens() -> Vec<Draft> {
    let case = |index: usize, epoch: u64, of: Use, name: String| {
        let inputs = json!({
            "org_id": sample_hex("org id", 32), "directory_key": sample_hex("delivery", 32), "epoch": epoch,
            "use": of as u8, "name": name,
        });
        (format!("delivery-token-{index}"), "delivery-token", inputs)
    };
    vec![
        case(0, 1, Use::Mailbox, sample_hex("mailbox", 16)),
        // The same key bytes in another epoch, another mailbox, and what blobs have.
        case(1, 65_536, Use::Mailbox, sample_hex("mailbox", 16)),
        case(2, 1, Use::Mailbox, sample_hex("other mailbox", 16)),
        case(3, 1, Use::Blob, hex(&BLOB_TOKEN_NAME)),
        // The name of case 0 for other uses.
        case(4, 1, Use::Set, sample_hex("mailbox", 16)),
        case(5, 1, Use::Slot, sample_hex("mailbox", 16)),
        case(6, 1, Use::Send, sample_hex("mailbox", 16)),
    ]
}

fn compute(inputs: &Inputs<'_>) -> Computation {
    let (org, epoch) = (inputs.array::<32>("org_id")?, inputs.number("epoch")?);
    let (directory_key, name) = (inputs.array::<32>("directory_key")?, inputs.array::<16>("name")?);
    let number = u8::try_from(inputs.number("use")?).map_err(|_| "use: none")?;
    let uses = [Use::Mailbox, Use::Blob, Use::Set, Use::Slot, Use::Send];
    let of = uses.into_iter().find(|of| *of as u8 == number).ok_or("use: none")?;
    let theirs = book::derive(label::KDF_DELIVERY, &org, &[&directory_key], &epoch.to_be_bytes(), 32);
    let send_key = book::mac(label::MAC_DELIVERY, &theirs, &[number]);
    let from = if of == Use::Send { send_key.as_slice() } else { theirs.as_slice() };
    let token = &book::mac(label::MAC_DELIVERY, from, &[&[number], name.as_slice()].concat())[..16];
    let directory = DirectoryKey::new(epoch, Secret::from_bytes(directory_key)).ok_or("epoch: none")?;
    let ours = DeliveryKey::of(&OrgId::new(org), &directory);
    same("delivery_key", ours.secret().expose(), &theirs)?;
    same("token", &ours.token(of, &name), token)?;
    let mut computed = Computed::default();
    computed.via("delivery_key", &theirs);
    if of == Use::Send {
        same("send_key", ours.send_key().secret().expose(), &send_key)?;
        computed.via("send_key", &send_key);
    }
    computed.out("token", token);
    Ok(computed)
}
