//! The states of the braid. Each is consumed by what happens to it.
//!
//! The names are those of the specification. Two of its states are one here, because what differs between them is only
//! whether the vector is whole: `Ct1Sampled` and `EkReceivedCt1Sampled`.

use alloc::vec::Vec;

use chancery_crypto::kem_incremental::{
    CT2_LEN, Encapsulation, HEADER_LEN, IncrementalSecret, KemHeader, KemVector,
};
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::Secret;

use super::authenticator::{Authenticator, EpochSecret};
use super::codewords::{Incoming, Outgoing};
use super::frame::{Frames, Kind, Room, Run};

/// Blocks of a header and what vouches for it.
pub(super) const HEADER_BLOCKS: usize = 3;
/// Blocks of a vector.
pub(super) const VECTOR_BLOCKS: usize = 36;
/// Blocks of ct1.
pub(super) const CT1_BLOCKS: usize = 30;
/// Blocks of ct2 and what vouches for both parts.
pub(super) const CT2_BLOCKS: usize = 5;

/// Where one side stands in an epoch.
#[derive(Debug)]
pub(crate) enum State {
    /// The side that makes the key pair, before it does.
    KeysUnsampled,
    /// Header and vector go out; nothing of ct1 has arrived.
    KeysSampled(KeysSampled),
    /// The peer has the header, as a codeword of ct1 shows. The vector goes out, ct1 comes in.
    HeaderSent(HeaderSent),
    /// ct1 is there and acknowledged in every message; the vector goes out.
    Ct1Received(Ct1Received),
    /// The peer has the vector, as a codeword of ct2 shows. ct2 comes in.
    EkSentCt1Received(EkSentCt1Received),
    /// The side that encapsulates, before it has the header.
    NoHeaderReceived(NoHeaderReceived),
    /// The header is authentic; there was no message yet to encapsulate for.
    HeaderReceived(HeaderReceived),
    /// ct1 goes out, the vector comes in.
    Ct1Sampled(Ct1Sampled),
    /// ct1 is acknowledged, the vector comes in.
    Ct1Acknowledged(Ct1Acknowledged),
    /// ct2 goes out, until the peer shows that it has ended the epoch.
    Ct2Sampled(Ct2Sampled),
}

#[derive(Debug)]
pub(crate) struct KeysSampled {
    pub(super) secret: IncrementalSecret,
    pub(super) header: Outgoing,
    pub(super) vector: Outgoing,
}

#[derive(Debug)]
pub(crate) struct HeaderSent {
    pub(super) secret: IncrementalSecret,
    pub(super) vector: Outgoing,
    pub(super) ct1: Incoming<CT1_BLOCKS>,
}

#[derive(Debug)]
pub(crate) struct Ct1Received {
    pub(super) secret: IncrementalSecret,
    pub(super) vector: Outgoing,
    pub(super) ct1: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct EkSentCt1Received {
    pub(super) secret: IncrementalSecret,
    pub(super) ct1: Vec<u8>,
    pub(super) ct2: Incoming<CT2_BLOCKS>,
}

#[derive(Debug, Default)]
pub(crate) struct NoHeaderReceived {
    pub(super) header: Incoming<HEADER_BLOCKS>,
    pub(super) vector: Incoming<VECTOR_BLOCKS>,
}

#[derive(Debug)]
pub(crate) struct HeaderReceived {
    pub(super) header: KemHeader,
    pub(super) vector: Vector,
}

#[derive(Debug)]
pub(crate) struct Ct1Sampled {
    pub(super) encapsulation: Encapsulation,
    pub(super) ct1: Outgoing,
    pub(super) vector: Vector,
}

#[derive(Debug)]
pub(crate) struct Ct1Acknowledged {
    pub(super) encapsulation: Encapsulation,
    pub(super) ct1: Vec<u8>,
    pub(super) vector: Incoming<VECTOR_BLOCKS>,
}

#[derive(Debug)]
pub(crate) struct Ct2Sampled {
    pub(super) ct2: Outgoing,
}

/// A vector of which the header is known.
#[derive(Debug)]
pub(crate) enum Vector {
    /// Some codewords are missing.
    Gathering(Incoming<VECTOR_BLOCKS>),
    /// All there, belongs to the header, reduced.
    Whole(Vec<u8>),
}

/// What came of a message.
pub(super) enum Outcome {
    /// The state after it.
    Continues(State),
    /// The state before it: the message is not what an honest peer sends.
    Refused(State),
    /// The epoch has ended.
    Agreed { secret: EpochSecret, authenticator: Authenticator },
}

impl State {
    pub(super) fn no_header_received() -> Self {
        Self::NoHeaderReceived(NoHeaderReceived::default())
    }

    /// The frames that an honest peer may send in this state.
    pub(super) const fn expects(&self) -> &'static [Kind] {
        match self {
            Self::KeysUnsampled => &[],
            Self::KeysSampled(_) | Self::HeaderSent(_) => &[Kind::Ct1],
            Self::Ct1Received(_) | Self::EkSentCt1Received(_) => &[Kind::Ct1, Kind::Ct2],
            Self::NoHeaderReceived(_) | Self::HeaderReceived(_) => &[Kind::Header, Kind::Vector],
            Self::Ct1Sampled(_) | Self::Ct1Acknowledged(_) | Self::Ct2Sampled(_) => {
                &[Kind::Header, Kind::Vector, Kind::Ct1Acknowledged]
            }
        }
    }

    /// Makes what a message is about to carry: a key pair, or an encapsulation with its shared secret.
    pub(super) fn prepare(
        self,
        authenticator: &Authenticator,
        epoch: u32,
        rng: &mut dyn CryptoRng,
    ) -> (Self, Option<Secret<32>>) {
        match self {
            Self::KeysUnsampled => {
                let secret = IncrementalSecret::generate(rng);
                let (header, vector) = secret.public();
                let mac = authenticator.vouch_for_header(epoch, header.as_bytes());
                let header = Outgoing::new([header.as_bytes().as_slice(), mac.expose()].concat());
                let vector = Outgoing::new(vector.as_bytes().to_vec());
                (Self::KeysSampled(KeysSampled { secret, header, vector }), None)
            }
            Self::HeaderReceived(state) => {
                let encapsulation = Encapsulation::generate(state.header, rng);
                let Ok((ct1, shared)) = encapsulation.first() else {
                    return (Self::HeaderReceived(state), None);
                };
                let ct1 = Outgoing::new(ct1.to_vec());
                (Self::Ct1Sampled(Ct1Sampled { encapsulation, ct1, vector: state.vector }), Some(shared))
            }
            state => (state, None),
        }
    }

    /// Writes what this side has to say.
    pub(super) fn write(&mut self, room: &mut Room<'_>) {
        match self {
            Self::KeysSampled(state) => {
                let blocks = u16::try_from(HEADER_BLOCKS).unwrap_or(u16::MAX);
                state.header.send(Kind::Header, room, blocks);
                state.vector.send(Kind::Vector, room, u16::MAX);
            }
            Self::HeaderSent(state) => state.vector.send(Kind::Vector, room, u16::MAX),
            Self::Ct1Received(state) => state.vector.send(Kind::Ct1Acknowledged, room, u16::MAX),
            Self::Ct1Sampled(state) => state.ct1.send(Kind::Ct1, room, u16::MAX),
            Self::Ct2Sampled(state) => state.ct2.send(Kind::Ct2, room, u16::MAX),
            Self::KeysUnsampled
            | Self::EkSentCt1Received(_)
            | Self::NoHeaderReceived(_)
            | Self::HeaderReceived(_)
            | Self::Ct1Acknowledged(_) => {}
        }
    }

    /// The peer was heard: what it lacks may be sent again.
    pub(super) const fn refill(&mut self) {
        match self {
            Self::KeysSampled(state) => {
                state.header.refill();
                state.vector.refill();
            }
            Self::HeaderSent(state) => state.vector.refill(),
            Self::Ct1Received(state) => state.vector.refill(),
            Self::Ct1Sampled(state) => state.ct1.refill(),
            Self::Ct2Sampled(state) => state.ct2.refill(),
            Self::KeysUnsampled
            | Self::EkSentCt1Received(_)
            | Self::NoHeaderReceived(_)
            | Self::HeaderReceived(_)
            | Self::Ct1Acknowledged(_) => {}
        }
    }

    /// Takes over frames of the kinds that [`Self::expects`] names.
    pub(super) fn receive(self, frames: &Frames<'_>, authenticator: &Authenticator, epoch: u32) -> Outcome {
        match self {
            Self::KeysSampled(state) => match &frames.ct1 {
                None => Outcome::Continues(Self::KeysSampled(state)),
                Some(run) => state.header_arrived().receive(run),
            },
            Self::HeaderSent(state) => match &frames.ct1 {
                None => Outcome::Continues(Self::HeaderSent(state)),
                Some(run) => state.receive(run),
            },
            Self::Ct1Received(state) => match &frames.ct2 {
                None => Outcome::Continues(Self::Ct1Received(state)),
                Some(run) => state.receive(run, authenticator, epoch),
            },
            Self::EkSentCt1Received(state) => state.receive(frames.ct2.as_ref(), authenticator, epoch),
            Self::NoHeaderReceived(state) => state.receive(frames, authenticator, epoch),
            Self::HeaderReceived(state) => state.receive(frames.vector.as_ref()),
            Self::Ct1Sampled(state) => state.receive(frames, authenticator, epoch),
            Self::Ct1Acknowledged(state) => state.receive(frames.vector.as_ref(), authenticator, epoch),
            state @ (Self::KeysUnsampled | Self::Ct2Sampled(_)) => Outcome::Continues(state),
        }
    }
}

impl KeysSampled {
    fn header_arrived(self) -> HeaderSent {
        HeaderSent { secret: self.secret, vector: self.vector, ct1: Incoming::default() }
    }
}

impl HeaderSent {
    fn receive(mut self, ct1: &Run<'_>) -> Outcome {
        self.ct1.add(Some(ct1));
        Outcome::Continues(match self.ct1.value() {
            None => State::HeaderSent(self),
            Some(ct1) => State::Ct1Received(Ct1Received { secret: self.secret, vector: self.vector, ct1 }),
        })
    }
}

impl Ct1Received {
    fn receive(self, run: &Run<'_>, authenticator: &Authenticator, epoch: u32) -> Outcome {
        let mut ct2 = Incoming::default();
        ct2.add(Some(run));
        let Some(value) = ct2.value() else {
            let (secret, ct1) = (self.secret, self.ct1);
            return Outcome::Continues(State::EkSentCt1Received(EkSentCt1Received { secret, ct1, ct2 }));
        };
        agree(&self.secret, (&self.ct1, &value), authenticator, epoch)
            .unwrap_or(Outcome::Refused(State::Ct1Received(self)))
    }
}

impl EkSentCt1Received {
    fn receive(mut self, run: Option<&Run<'_>>, authenticator: &Authenticator, epoch: u32) -> Outcome {
        let before = self.ct2.add(run);
        let Some(value) = self.ct2.value() else {
            return Outcome::Continues(State::EkSentCt1Received(self));
        };
        if let Some(agreed) = agree(&self.secret, (&self.ct1, &value), authenticator, epoch) {
            return agreed;
        }
        self.ct2.go_back(before);
        Outcome::Refused(State::EkSentCt1Received(self))
    }
}

/// Decapsulates, and believes the result if the next authenticator vouches for the ciphertext (R-BRAID-5).
fn agree(
    secret: &IncrementalSecret,
    (ct1, value): (&[u8], &[u8]),
    authenticator: &Authenticator,
    epoch: u32,
) -> Option<Outcome> {
    epoch.checked_add(1)?;
    let (ct2, mac) = value.split_at_checked(CT2_LEN)?;
    let shared = secret.decapsulate(ct1, ct2).ok()?;
    let secret = EpochSecret::derive(&shared, epoch);
    let authenticator = authenticator.next(&secret, epoch);
    let authentic = authenticator.ciphertext_matches(epoch, (ct1, ct2), mac);
    authentic.then_some(Outcome::Agreed { secret, authenticator })
}

impl NoHeaderReceived {
    fn receive(mut self, frames: &Frames<'_>, authenticator: &Authenticator, epoch: u32) -> Outcome {
        let header = self.header.add(frames.header.as_ref());
        let vector = self.vector.add(frames.vector.as_ref());
        let Some(value) = self.header.value() else {
            return Outcome::Continues(State::NoHeaderReceived(self));
        };
        let authentic = authentic_header(&value, authenticator, epoch);
        let checked = authentic.and_then(|header| Some((header, check(&self.vector, &header)?)));
        let Some((header, whole)) = checked else {
            self.header.go_back(header);
            self.vector.go_back(vector);
            return Outcome::Refused(State::NoHeaderReceived(self));
        };
        let vector = whole.map_or(Vector::Gathering(self.vector), Vector::Whole);
        Outcome::Continues(State::HeaderReceived(HeaderReceived { header, vector }))
    }
}

fn authentic_header(value: &[u8], authenticator: &Authenticator, epoch: u32) -> Option<KemHeader> {
    let (header, mac) = value.split_at_checked(HEADER_LEN)?;
    if !authenticator.header_matches(epoch, header, mac) {
        return None;
    }
    KemHeader::from_bytes(header)
}

/// Checks a vector once all codewords are there: `None` if it is wrong, `Some(None)` if some are missing.
fn check(vector: &Incoming<VECTOR_BLOCKS>, header: &KemHeader) -> Option<Option<Vec<u8>>> {
    match vector.value() {
        None => Some(None),
        Some(whole) => {
            KemVector::from_bytes(header, &whole).ok()?;
            Some(Some(whole))
        }
    }
}

impl Vector {
    /// Takes over codewords; the vector as it was if the whole is wrong.
    fn receive(self, run: Option<&Run<'_>>, header: &KemHeader) -> Result<Self, Self> {
        let Self::Gathering(mut incoming) = self else { return Ok(self) };
        let before = incoming.add(run);
        match check(&incoming, header) {
            Some(None) => Ok(Self::Gathering(incoming)),
            Some(Some(whole)) => Ok(Self::Whole(whole)),
            None => {
                incoming.go_back(before);
                Err(Self::Gathering(incoming))
            }
        }
    }
}

impl HeaderReceived {
    fn receive(self, run: Option<&Run<'_>>) -> Outcome {
        let header = self.header;
        match self.vector.receive(run, &header) {
            Ok(vector) => Outcome::Continues(State::HeaderReceived(Self { header, vector })),
            Err(vector) => Outcome::Refused(State::HeaderReceived(Self { header, vector })),
        }
    }
}

impl Ct1Sampled {
    fn receive(self, frames: &Frames<'_>, authenticator: &Authenticator, epoch: u32) -> Outcome {
        let Self { encapsulation, ct1, vector } = self;
        match vector.receive(frames.vector.as_ref(), encapsulation.header()) {
            Err(vector) => Outcome::Refused(State::Ct1Sampled(Self { encapsulation, ct1, vector })),
            Ok(vector) if !frames.ct1_acknowledged => {
                Outcome::Continues(State::Ct1Sampled(Self { encapsulation, ct1, vector }))
            }
            Ok(Vector::Gathering(vector)) => {
                let ct1 = ct1.into_value();
                Outcome::Continues(State::Ct1Acknowledged(Ct1Acknowledged { encapsulation, ct1, vector }))
            }
            Ok(Vector::Whole(whole)) => {
                match finish(&encapsulation, (ct1.parts().0, &whole), authenticator, epoch) {
                    Some(state) => Outcome::Continues(state),
                    None => {
                        let vector = Vector::Whole(whole);
                        Outcome::Refused(State::Ct1Sampled(Self { encapsulation, ct1, vector }))
                    }
                }
            }
        }
    }
}

impl Ct1Acknowledged {
    fn receive(mut self, run: Option<&Run<'_>>, authenticator: &Authenticator, epoch: u32) -> Outcome {
        let before = self.vector.add(run);
        let Some(whole) = self.vector.value() else {
            return Outcome::Continues(State::Ct1Acknowledged(self));
        };
        if let Some(state) = finish(&self.encapsulation, (&self.ct1, &whole), authenticator, epoch) {
            return Outcome::Continues(state);
        }
        self.vector.go_back(before);
        Outcome::Refused(State::Ct1Acknowledged(self))
    }
}

/// Computes ct2 and vouches for the ciphertext. `None` for a vector that is not the header's or not reduced.
fn finish(
    encapsulation: &Encapsulation,
    (ct1, vector): (&[u8], &[u8]),
    authenticator: &Authenticator,
    epoch: u32,
) -> Option<State> {
    let vector = KemVector::from_bytes(encapsulation.header(), vector).ok()?;
    let ct2 = encapsulation.second(&vector).ok()?;
    let mac = authenticator.vouch_for_ciphertext(epoch, ct1, ct2.as_slice());
    let ct2 = Outgoing::new([ct2.as_slice(), mac.expose()].concat());
    Some(State::Ct2Sampled(Ct2Sampled { ct2 }))
}
