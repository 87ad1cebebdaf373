//! Chancery: hybrid signatures, everything hidden and padded. Bytes are those of the relay's slot.

use chancery_benches::groups::{Company, follow, make};
use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_group::{Keying, MESSAGE_OVERHEAD, MemoryRows, Reason, Slot, remove};

use crate::{MESSAGES, Peer, Times, timed};

pub struct Ours {
    company: Company,
    rows: MemoryRows,
    next: u32,
    rng: Box<dyn CryptoRng>,
}

impl Ours {
    pub fn new(members: u32) -> Self {
        let mut rng: Box<dyn CryptoRng> = Box::new(seeded([1; 32]));
        let company = Company::new(members, &mut *rng);
        let rows = company.member.rows.clone();
        Self { company, rows, next: 0, rng }
    }
}

impl Peer for Ours {
    fn name(&self) -> String {
        "chancery, quantum-safe".into()
    }

    fn round(&mut self, times: &mut Times) {
        let Company { log, founder, administrator, member, welcomes, .. } = &mut self.company;
        let slot = Slot::from_u32(1 + self.next * 7919 % (member.rows.head.taken - 3)).unwrap();
        self.next += 1;
        let changes = vec![remove(slot, Reason::Role)];
        let content = timed(&mut times.make, || make(founder, log, changes, Keying::Tree, &mut *self.rng));
        times.bytes.push(content.len() as u128);
        self.rows.clone_from(&member.rows);
        timed(&mut times.apply, || follow(member, log, &content, &mut self.rows));
        timed(&mut times.join, || welcomes[1].join(&member.credential, log));
        let key = *administrator.credential.group_key();
        for _ in 0..MESSAGES {
            let sealed = timed(&mut times.send, || administrator.seal(&[7; 256], &mut *self.rng));
            timed(&mut times.receive, || member.open(&key, &sealed));
        }
        times.overhead = MESSAGE_OVERHEAD;
    }
}
