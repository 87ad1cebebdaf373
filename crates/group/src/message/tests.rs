use super::*;
use crate::{BOX_LEN, EpochSecret, LEVELS, MAX_AHEAD, MAX_SKIPPED, MAX_SKIPPED_OF_CHAIN};
use chancery_crypto::rng::seeded;

const TRANSCRIPT: [u8; 32] = [8; 32];

fn messages() -> Messages {
    let keys = EpochSecret::from_welcome(Secret::from_bytes([1; 32])).keys();
    Messages::new(TRANSCRIPT, keys.set_name, keys.header_key, keys.senders)
}

fn slot(number: u16) -> Slot {
    Slot::new(number).unwrap()
}

fn key(number: u16) -> GroupSigningKey {
    GroupSigningKey::from_seed(Secret::init_with(|out| out[..2].copy_from_slice(&number.to_be_bytes())))
}

fn open(reader: &mut Messages, envelope: &[u8]) -> Result<(Slot, Vec<u8>), GroupError> {
    let tagged = reader.find(MessageEnvelope::parse(envelope)?)?.check()?;
    let slot = tagged.slot();
    let content = tagged.open(&key(slot.get()).verifying_key())?;
    Ok((slot, content.expose().to_vec()))
}

fn bytes(reader: &Messages) -> Vec<u8> {
    reader.to_bytes().expose().to_vec()
}

#[test]
fn a_message_of_every_length_opens_once_and_has_127_bytes_around_it_r_group_23() {
    let (mut writer, mut reader, mut rng) = (messages(), messages(), seeded([2; 32]));
    for len in MESSAGE_LENGTHS {
        for (content, expected) in [(len - 127, len), (len - 126, 2 * len)] {
            let content = alloc::vec![7; content];
            let sealed = writer.seal(slot(3), &key(3), &content, &mut rng);
            if expected > MAX_LEN {
                assert_eq!(sealed, Err(GroupError::Limit));
                continue;
            }
            let sealed = sealed.unwrap();
            assert_eq!(sealed.len(), expected);
            assert_eq!(open(&mut reader, &sealed), Ok((slot(3), content)));
            assert_eq!(open(&mut reader, &sealed), Err(GroupError::NotAuthentic), "again");
            assert_eq!(writer.slot_of(&MessageEnvelope::parse(&sealed).unwrap()), Ok(slot(3)), "its own");
        }
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused_and_changes_nothing_r_group_23() {
    let (mut writer, mut reader, mut rng) = (messages(), messages(), seeded([2; 32]));
    let before = bytes(&reader);
    let sealed = writer.seal(slot(3), &key(3), b"hello", &mut rng).unwrap();
    for bit in 0..8 * sealed.len() {
        let mut bad = sealed.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&mut reader, &bad).is_err(), "bit {bit}");
        assert_eq!(bytes(&reader), before);
    }
    for cut in 1..=32 {
        assert_eq!(open(&mut reader, &sealed[..sealed.len() - cut]), Err(GroupError::Malformed));
        // The same with another length that is allowed, and with the rest of the tag moved or blanked.
        let mut blank = sealed.clone();
        let end = blank.len();
        blank[end - cut..].fill(0);
        assert!(open(&mut reader, &blank).is_err());
        let mut shifted = sealed[..end - cut].to_vec();
        shifted.splice(29..29, core::iter::repeat_n(0, cut));
        assert!(open(&mut reader, &shifted).is_err());
    }
    let longer = [&sealed[..], &[0; 512]].concat();
    assert!(open(&mut reader, &longer).is_err());
    assert_eq!(bytes(&reader), before);
    assert_eq!(open(&mut reader, &sealed), Ok((slot(3), b"hello".to_vec())));
}

#[test]
fn a_member_cannot_write_as_another_r_group_23() {
    let (mut writer, mut reader, mut rng) = (messages(), messages(), seeded([2; 32]));
    let before = bytes(&reader);
    // A member has the secrets of all slots, but the signing key of its own alone.
    let forged = writer.seal(slot(4), &key(3), b"hello", &mut rng).unwrap();
    let found = reader.find(MessageEnvelope::parse(&forged).unwrap()).unwrap();
    assert_eq!(found.slot(), slot(4));
    let tagged = found.check().unwrap();
    assert_eq!(tagged.open(&key(4).verifying_key()).err(), Some(GroupError::NotAuthentic));
    assert_eq!(bytes(&reader), before);
    let real = messages().seal(slot(4), &key(4), b"hello", &mut rng).unwrap();
    assert_eq!(open(&mut reader, &real).unwrap().0, slot(4));
}

#[test]
fn a_signature_counts_in_its_place_and_epoch_alone_r_group_23() {
    let (mut writer, mut rng) = (messages(), seeded([2; 32]));
    let sealed = writer.seal(slot(3), &key(3), b"hello", &mut rng).unwrap();
    // The same keys, and another transcript: the tag fits, the signature does not.
    let mut other = messages();
    other.transcript = [9; 32];
    let tagged = other.find(MessageEnvelope::parse(&sealed).unwrap()).unwrap().check().unwrap();
    assert_eq!(tagged.open(&key(3).verifying_key()).err(), Some(GroupError::NotAuthentic));
    other.set_name = [0; 16];
    let elsewhere = other.find(MessageEnvelope::parse(&sealed).unwrap());
    assert_eq!(elsewhere.err(), Some(GroupError::OtherEpoch));
}

#[test]
fn padding_is_zeros_and_the_length_is_within_r_envelope_5() {
    let mut rng = seeded([2; 32]);
    for (place, value) in [(0, 0xFF), (2 + 5, 1), (512 - AROUND - 1, 1)] {
        let (mut writer, mut reader) = (messages(), messages());
        let before = bytes(&reader);
        let mut text = alloc::vec![0; 512 - AROUND];
        text[1] = 5;
        text[place] = value;
        let (generation, message_key) = writer.senders.send(slot(3)).unwrap();
        let index = Index { slot: slot(3), generation, guard: random_bytes(&mut rng) };
        let mut sealer = Sealer::new(&index.keys(&message_key));
        sealer.encrypt(&mut text).unwrap();
        let mut signature = key(3).sign(label::SIGN_GROUP_MESSAGE, &signed(&TRANSCRIPT, index, &text));
        sealer.encrypt(&mut signature).unwrap();
        text.extend(signature);
        let front = front(&writer.set_name);
        let tag = sealer.tag(label::MAC_GROUP_MESSAGE, &[&front, &index.to_bytes(), &text]);
        let head = masked(&writer.header_key, &tag, index.to_bytes());
        let envelope = [&front[..], &head, &text, &tag].concat();
        assert_eq!(open(&mut reader, &envelope), Err(GroupError::NotAuthentic));
        assert_eq!(bytes(&reader), before);
    }
}

#[test]
fn messages_may_overtake_each_other_within_limits_r_group_23() {
    let (mut writer, mut reader, mut rng) = (messages(), messages(), seeded([2; 32]));
    let mut sealed: Vec<_> = (0..=MAX_AHEAD + 1)
        .map(|number| writer.seal(slot(3), &key(3), &number.to_be_bytes(), &mut rng).unwrap())
        .collect();
    let before = bytes(&reader);
    let too_far = sealed.pop().unwrap();
    assert_eq!(open(&mut reader, &too_far), Err(GroupError::NotAuthentic));
    assert_eq!(bytes(&reader), before);
    // The last that may be read first, then the others backwards, by way of the store.
    for (number, envelope) in sealed.iter().enumerate().rev() {
        if number % 250 == 0 {
            reader = Messages::from_bytes(&bytes(&reader)).unwrap();
        }
        let content = u32::try_from(number).unwrap().to_be_bytes();
        assert_eq!(open(&mut reader, envelope), Ok((slot(3), content.to_vec())));
        assert_eq!(reader.senders().skipped(), number);
        assert!(open(&mut reader, envelope).is_err());
    }
    assert!(open(&mut reader, &too_far).is_ok());
}

#[test]
fn skipped_keys_are_bounded_and_the_oldest_go_first_r_group_23() {
    let mut tree = SenderTree::new(Secret::from_bytes([1; 32]));
    let skip =
        |tree: &mut SenderTree, number, generation| tree.find(slot(number), generation).unwrap().adopt();
    skip(&mut tree, 1, 600);
    skip(&mut tree, 1, 1_201);
    assert_eq!(tree.skipped(), MAX_SKIPPED_OF_CHAIN);
    assert!(tree.find(slot(1), 199).is_err() && tree.find(slot(1), 200).is_ok());
    skip(&mut tree, 2, 1_000);
    assert_eq!(tree.skipped(), MAX_SKIPPED);
    skip(&mut tree, 3, 10);
    assert_eq!(tree.skipped(), MAX_SKIPPED);
    assert!(tree.find(slot(1), 209).is_err() && tree.find(slot(1), 210).is_ok());
    assert!(tree.find(slot(2), 0).is_ok());
    tree.trim(5);
    assert!(tree.skipped() == 5 && tree.find(slot(3), 4).is_err() && tree.find(slot(3), 5).is_ok());
}

#[test]
fn what_was_used_or_forgotten_is_nowhere_in_what_is_kept_r_group_23_24() {
    let mut tree = SenderTree::new(Secret::from_bytes([1; 32]));
    let (_, first) = tree.send(slot(5)).unwrap();
    let kept = tree.to_bytes();
    assert!(kept.expose().windows(32).all(|part| part != [1; 32] && part != first.expose()));
    // A chain that had begun, and one that had not, beside which every other slot still works.
    for gone in [5, 6] {
        tree.forget(slot(gone));
        assert!(tree.find(slot(gone), 1).is_err());
        assert_eq!(tree.send(slot(gone)).err(), Some(GroupError::NotAMember));
    }
    let mut whole = SenderTree::new(Secret::from_bytes([1; 32]));
    for number in [0, 4, 7, 9_999, 16_383] {
        let key = whole.send(slot(number)).unwrap().1;
        assert_eq!(tree.find(slot(number), 0).unwrap().key().unwrap().expose(), key.expose());
    }
}

#[test]
fn what_is_stored_is_read_back_and_nothing_else_r_group_23() {
    let (mut writer, mut rng) = (messages(), seeded([2; 32]));
    for number in [1, 1, 9] {
        writer.seal(slot(number), &key(number), b"", &mut rng).unwrap();
    }
    writer.senders.find(slot(9), 7).unwrap().adopt();
    let stored = bytes(&writer);
    assert_eq!(bytes(&Messages::from_bytes(&stored).unwrap()), stored);
    for len in 0..stored.len() {
        assert!(Messages::from_bytes(&stored[..len]).is_err());
    }
    assert!(Messages::from_bytes(&[&stored[..], &[0]].concat()).is_err());
}

#[test]
fn with_16_senders_in_a_group_of_10_000_a_member_keeps_at_most_16_kib() {
    let mut reader = messages();
    // As far from each other as they can be.
    for sender in 0..16 {
        reader.senders.find(slot(sender * 625), 0).unwrap().adopt();
    }
    let path = usize::from(LEVELS) * 35;
    let keys = 2 * 32 + 16 + 32;
    let whole = bytes(&reader).len() + path + keys;
    assert!(whole <= 16 * 1024 && BOX_LEN == 48, "{whole}");
}
