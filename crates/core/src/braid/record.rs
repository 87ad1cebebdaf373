//! The braid as it is stored: seeds and public values only.

use alloc::vec::Vec;

use chancery_crypto::kem_incremental::{
    CT1_LEN, Encapsulation, HEADER_LEN, IncrementalSecret, KemHeader, VECTOR_LEN,
};
use chancery_crypto::secret::Secret;
use chancery_wire::proto;

use super::codewords::{Incoming, Outgoing};
use super::states::{
    CT2_BLOCKS, Ct1Acknowledged, Ct1Received, Ct1Sampled, Ct2Sampled, EkSentCt1Received, HEADER_BLOCKS,
    HeaderReceived, HeaderSent, KeysSampled, NoHeaderReceived, State, Vector,
};
use super::{Authenticator, Braid};
use crate::erasure::CODEWORD_LEN;

impl Braid {
    /// Writes the state. The caller wipes what it gets.
    pub(crate) fn to_record(&self) -> proto::Braid {
        let mut record = proto::Braid {
            authenticator: self.authenticator.secret().expose().to_vec(),
            ..Default::default()
        };
        self.state.write_record(&mut record);
        record
    }

    /// Reads the state of an epoch; empties the record. `None` if it is damaged.
    pub(crate) fn from_record(record: &mut proto::Braid, epoch: u32) -> Option<Self> {
        Some(Self {
            epoch,
            authenticator: Authenticator::new(Secret::from_slice(&record.authenticator)?),
            state: State::read_record(record)?,
        })
    }
}

impl State {
    fn write_record(&self, record: &mut proto::Braid) {
        let seed = |secret: &IncrementalSecret| secret.seed().expose().to_vec();
        match self {
            Self::KeysUnsampled => record.state = 0,
            Self::KeysSampled(state) => {
                record.state = 1;
                record.secret = seed(&state.secret);
                record.header_out = out(&state.header);
                record.vector_out = out(&state.vector);
            }
            Self::HeaderSent(state) => {
                record.state = 2;
                record.secret = seed(&state.secret);
                record.vector_out = out(&state.vector);
                record.ct1_in = state.ct1.as_bytes().to_vec();
            }
            Self::Ct1Received(state) => {
                record.state = 3;
                record.secret = seed(&state.secret);
                record.vector_out = out(&state.vector);
                record.ct1.clone_from(&state.ct1);
            }
            Self::EkSentCt1Received(state) => {
                record.state = 4;
                record.secret = seed(&state.secret);
                record.ct1.clone_from(&state.ct1);
                record.ct2_in = state.ct2.as_bytes().to_vec();
            }
            Self::NoHeaderReceived(state) => {
                record.state = 5;
                record.header_in = state.header.as_bytes().to_vec();
                record.vector_in = state.vector.as_bytes().to_vec();
            }
            Self::HeaderReceived(state) => {
                record.state = 6;
                record.header = state.header.as_bytes().to_vec();
                state.vector.write_record(record);
            }
            Self::Ct1Sampled(state) => {
                record.state = 7;
                write_encapsulation(&state.encapsulation, record);
                record.ct1_out = out(&state.ct1);
                state.vector.write_record(record);
            }
            Self::Ct1Acknowledged(state) => {
                record.state = 8;
                write_encapsulation(&state.encapsulation, record);
                record.ct1.clone_from(&state.ct1);
                record.vector_in = state.vector.as_bytes().to_vec();
            }
            Self::Ct2Sampled(state) => {
                record.state = 9;
                record.ct2_out = out(&state.ct2);
            }
        }
    }

    fn read_record(record: &mut proto::Braid) -> Option<Self> {
        let header_len = HEADER_BLOCKS.checked_mul(CODEWORD_LEN)?;
        let ct2_len = CT2_BLOCKS.checked_mul(CODEWORD_LEN)?;
        Some(match record.state {
            0 => Self::KeysUnsampled,
            1 => Self::KeysSampled(KeysSampled {
                secret: seed(record)?,
                header: outgoing(&mut record.header_out, header_len)?,
                vector: outgoing(&mut record.vector_out, VECTOR_LEN)?,
            }),
            2 => Self::HeaderSent(HeaderSent {
                secret: seed(record)?,
                vector: outgoing(&mut record.vector_out, VECTOR_LEN)?,
                ct1: incoming(&mut record.ct1_in)?,
            }),
            3 => Self::Ct1Received(Ct1Received {
                secret: seed(record)?,
                vector: outgoing(&mut record.vector_out, VECTOR_LEN)?,
                ct1: whole(&mut record.ct1, CT1_LEN)?,
            }),
            4 => Self::EkSentCt1Received(EkSentCt1Received {
                secret: seed(record)?,
                ct1: whole(&mut record.ct1, CT1_LEN)?,
                ct2: incoming(&mut record.ct2_in)?,
            }),
            5 => Self::NoHeaderReceived(NoHeaderReceived {
                header: incoming(&mut record.header_in)?,
                vector: incoming(&mut record.vector_in)?,
            }),
            6 => Self::HeaderReceived(HeaderReceived {
                header: header(record)?,
                vector: Vector::read_record(record)?,
            }),
            7 => Self::Ct1Sampled(Ct1Sampled {
                encapsulation: encapsulation(record)?,
                ct1: outgoing(&mut record.ct1_out, CT1_LEN)?,
                vector: Vector::read_record(record)?,
            }),
            8 => Self::Ct1Acknowledged(Ct1Acknowledged {
                encapsulation: encapsulation(record)?,
                ct1: whole(&mut record.ct1, CT1_LEN)?,
                vector: incoming(&mut record.vector_in)?,
            }),
            9 => Self::Ct2Sampled(Ct2Sampled { ct2: outgoing(&mut record.ct2_out, ct2_len)? }),
            _ => return None,
        })
    }
}

impl Vector {
    fn write_record(&self, record: &mut proto::Braid) {
        match self {
            Self::Gathering(incoming) => record.vector_in = incoming.as_bytes().to_vec(),
            Self::Whole(whole) => record.vector.clone_from(whole),
        }
    }

    fn read_record(record: &mut proto::Braid) -> Option<Self> {
        if record.vector.is_empty() {
            return incoming(&mut record.vector_in).map(Self::Gathering);
        }
        whole(&mut record.vector, VECTOR_LEN).map(Self::Whole)
    }
}

fn out(outgoing: &Outgoing) -> Option<proto::BraidOutgoing> {
    let (value, next, allowance) = outgoing.parts();
    Some(proto::BraidOutgoing { value: value.to_vec(), next, allowance })
}

fn outgoing(record: &mut Option<proto::BraidOutgoing>, len: usize) -> Option<Outgoing> {
    let record = record.take().filter(|record| record.value.len() == len)?;
    Outgoing::from_parts(record.value, record.next, record.allowance)
}

fn incoming<const K: usize>(bytes: &mut Vec<u8>) -> Option<Incoming<K>> {
    Incoming::from_bytes(core::mem::take(bytes))
}

fn whole(bytes: &mut Vec<u8>, len: usize) -> Option<Vec<u8>> {
    (bytes.len() == len).then(|| core::mem::take(bytes))
}

fn seed(record: &proto::Braid) -> Option<IncrementalSecret> {
    Some(IncrementalSecret::from_seed(Secret::from_slice(&record.secret)?))
}

fn header(record: &proto::Braid) -> Option<KemHeader> {
    const { assert!(HEADER_LEN == 64, "the record says so") };
    KemHeader::from_bytes(&record.header)
}

fn write_encapsulation(encapsulation: &Encapsulation, record: &mut proto::Braid) {
    record.secret = encapsulation.coins().expose().to_vec();
    record.header = encapsulation.header().as_bytes().to_vec();
}

fn encapsulation(record: &proto::Braid) -> Option<Encapsulation> {
    Some(Encapsulation::from_parts(Secret::from_slice(&record.secret)?, header(record)?))
}
