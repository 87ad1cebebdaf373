//! What a relay does for devices and groups, without a network and without checking tokens.

use std::collections::BTreeMap;

use chancery_crypto::hash::sha256;
use chancery_wire::proto::{CreateSet, Deliver, FanOut, Hold, PutSlot, SlotContent};

type Name = Vec<u8>;

/// Bytes of a mailbox's name.
const NAME: usize = 16;

/// Mailboxes, sets and slots.
#[derive(Debug, Default)]
pub(in crate::bench) struct Post {
    /// Only of those who read: what others get is counted and dropped.
    pub(super) mail: BTreeMap<Name, Vec<Vec<u8>>>,
    sets: BTreeMap<Name, Vec<Name>>,
    slots: BTreeMap<Name, Vec<u8>>,
    held: Vec<(Name, Name, Deliver)>,
    pub(super) files: BTreeMap<Name, Vec<u8>>,
    /// The newest envelope of a commit, and of a message.
    pub(in crate::bench) newest: [usize; 2],
    /// Bytes that devices have handed in.
    pub(in crate::bench) taken: usize,
}

impl Post {
    /// From now on envelopes to this device are kept.
    pub(in crate::bench) fn open_mailbox(&mut self, device: &[u8]) {
        self.mail.entry(device.to_vec()).or_default();
    }

    pub(super) fn deliver(&mut self, deliver: Deliver) {
        self.taken = self.taken.saturating_add(deliver.envelope.len());
        self.put(&deliver.mailbox, deliver.envelope);
    }

    fn put(&mut self, mailbox: &[u8], envelope: Vec<u8>) {
        if let Some(mail) = self.mail.get_mut(mailbox) {
            mail.push(envelope);
        }
    }

    pub(super) fn hold(&mut self, hold: Hold) {
        let Some(deliver) = hold.deliver else { return };
        self.taken = self.taken.saturating_add(deliver.envelope.len());
        match self.slots.get(&hold.slot) {
            None => self.held.push((hold.slot, hold.hash, deliver)),
            Some(content) if sha256(&[content]).as_slice() == hold.hash => {
                self.put(&deliver.mailbox, deliver.envelope);
            }
            Some(_) => {}
        }
    }

    pub(super) fn create_set(&mut self, create: CreateSet) {
        self.taken = self.taken.saturating_add(create.mailboxes.len());
        let mailboxes = create.mailboxes.chunks(NAME).map(<[u8]>::to_vec).collect();
        self.sets.entry(create.name).or_insert(mailboxes);
    }

    pub(super) fn store(&mut self, blob_id: Name, content: Vec<u8>) {
        self.taken = self.taken.saturating_add(content.len());
        self.files.insert(blob_id, content);
    }

    /// Whether the set is known.
    pub(super) fn fan_out(&mut self, fan: FanOut) -> bool {
        let Some(set) = self.sets.get(&fan.set).cloned() else { return false };
        let [_, message] = &mut self.newest;
        *message = fan.envelope.len();
        self.taken = self.taken.saturating_add(fan.envelope.len());
        let count = if fan.count == 0 { usize::MAX } else { fan.count as usize };
        for mailbox in set.iter().skip(fan.first as usize).take(count) {
            self.put(mailbox, fan.envelope.clone());
        }
        true
    }

    pub(super) fn slot(&self, name: &[u8]) -> Option<SlotContent> {
        let envelope = self.slots.get(name)?.clone();
        Some(SlotContent { envelope, ..SlotContent::default() })
    }

    /// Puts a commit into its slot, multiplies it, and makes the set that follows; `None` if the set is not known, else what was
    /// in the slot before.
    pub(super) fn put_slot(&mut self, put: PutSlot) -> Option<Option<SlotContent>> {
        if let Some(taken) = self.slot(&put.slot) {
            return Some(Some(taken));
        }
        let set = self.sets.get(&put.set)?.clone();
        let [commit, _] = &mut self.newest;
        *commit = put.envelope.len();
        self.taken = self.taken.saturating_add(put.envelope.len());
        let hash = sha256(&[&put.envelope]);
        for mailbox in &set {
            self.put(mailbox, put.envelope.clone());
        }
        self.slots.insert(put.slot.clone(), put.envelope);
        if let Some(next) = put.next {
            self.taken = self.taken.saturating_add(next.filled.len().saturating_mul(NAME));
            let mut mailboxes = set;
            for slot in &next.emptied {
                if let Some(mailbox) = mailboxes.get_mut(*slot as usize) {
                    *mailbox = vec![0; NAME];
                }
            }
            for filled in &next.filled {
                let slot = filled.slot as usize;
                if mailboxes.len() <= slot {
                    mailboxes.resize(slot.saturating_add(1), vec![0; NAME]);
                }
                if let Some(mailbox) = mailboxes.get_mut(slot) {
                    mailbox.clone_from(&filled.mailbox);
                }
            }
            if !next.emptied.is_empty() {
                self.sets.remove(&put.set);
            }
            self.sets.entry(next.name).or_insert(mailboxes);
        }
        let (here, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.held).into_iter().partition(|(slot, ..)| *slot == put.slot);
        self.held = rest;
        for (_, wanted, deliver) in here {
            if wanted == hash {
                self.put(&deliver.mailbox, deliver.envelope);
            }
        }
        Some(None)
    }
}
